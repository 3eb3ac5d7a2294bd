//! `$filter` of principals: the forms that `az` and Graph's own examples send.

use crate::wire::error::ArmError;
use crate::wire::filter::{quoted, word};
use tresor_core::service::PrincipalQuery;

/// Which principals are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The one of this client id; other names of principals do not exist here.
    Client(String),
    /// The one of this object id.
    Object(String),
    /// Those whose names fit.
    Named(PrincipalQuery),
}

/// Reads a filter; none asks for all.
///
/// # Errors
/// When it has another form.
pub(super) fn read(text: Option<&str>) -> Result<Wanted, ArmError> {
    let Some(text) = text else {
        return Ok(Wanted::Named(PrincipalQuery::All));
    };
    parse(text.trim()).ok_or_else(|| {
        let shown: String = text.chars().take(200).collect();
        ArmError::bad(
            "Request_UnsupportedQuery",
            format!(
                "The $filter '{shown}' is not supported. Use \"servicePrincipalNames/any(c:c eq \
                 'X')\", \"appId eq 'X'\", \"id eq 'X'\", \"displayName eq 'X'\" or \
                 \"startswith(displayName,'X')\"."
            ),
        )
    })
}

fn parse(text: &str) -> Option<Wanted> {
    if let Some(rest) = after(text, "servicePrincipalNames/any(") {
        let (variable, rest) = rest.split_once(':')?;
        let rest = rest.trim_start().strip_prefix(variable.trim())?;
        let (value, rest) = quoted(word(rest.trim_start(), "eq")?)?;
        return (rest.trim() == ")").then_some(Wanted::Client(value));
    }
    if let Some(rest) = after(text, "startswith(") {
        let rest = after(rest.trim_start(), "displayName")?.trim_start().strip_prefix(',')?;
        let (value, rest) = quoted(rest.trim_start())?;
        let wanted = Wanted::Named(PrincipalQuery::Prefix(value));
        return (rest.trim() == ")").then_some(wanted);
    }
    let (name, rest) = text.split_at_checked(text.find(char::is_whitespace)?)?;
    let (value, rest) = quoted(word(rest.trim_start(), "eq")?)?;
    if !rest.trim().is_empty() {
        return None;
    }
    match name.to_ascii_lowercase().as_str() {
        "appid" => Some(Wanted::Client(value)),
        "id" => Some(Wanted::Object(value)),
        "displayname" => Some(Wanted::Named(PrincipalQuery::Named(value))),
        _ => None,
    }
}

/// What follows a beginning; case does not count.
fn after<'a>(text: &'a str, head: &str) -> Option<&'a str> {
    let (own, rest) = text.split_at_checked(head.len())?;
    own.eq_ignore_ascii_case(head).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_known_clients() {
        let client = Wanted::Client("X".into());
        for text in [
            "servicePrincipalNames/any(c:c eq 'X')",
            "serviceprincipalnames/any( x : x  eq 'X' )",
            "appId eq 'X'",
        ] {
            assert_eq!(read(Some(text)).unwrap(), client, "{text}");
        }
        assert_eq!(read(Some("id eq 'X'")).unwrap(), Wanted::Object("X".into()));
        let named = Wanted::Named(PrincipalQuery::Named("it's".into()));
        assert_eq!(read(Some("displayName eq 'it''s'")).unwrap(), named);
        let prefix = Wanted::Named(PrincipalQuery::Prefix("a b".into()));
        assert_eq!(read(Some("startsWith(displayName, 'a b')")).unwrap(), prefix);
        assert_eq!(read(None).unwrap(), Wanted::Named(PrincipalQuery::All));
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "x",
            "displayName ne 'x'",
            "displayName eq x",
            "appId eq 'x' or id eq 'x'",
            "servicePrincipalNames/any(c:d eq 'x')",
            "servicePrincipalNames/any(c:c eq 'x'",
            "startswith(appId,'x')",
            "accountEnabled eq 'true'",
            "\u{e9}",
        ] {
            assert_eq!(read(Some(bad)).unwrap_err().code, "Request_UnsupportedQuery", "{bad}");
        }
    }
}
