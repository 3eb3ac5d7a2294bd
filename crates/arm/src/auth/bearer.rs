//! Who asks: the bearer token of a request, and those of others who stand behind it.

use crate::App;
use crate::wire::error::ArmError;
use http::{HeaderMap, HeaderName, StatusCode, header};
use tresor_core::model::Principal;
use tresor_core::service::Caller;
use uuid::Uuid;

/// Where a request carries the tokens of others, as ARM calls it.
const AUXILIARY: HeaderName = HeaderName::from_static("x-ms-authorization-auxiliary");
/// Tokens of others that a request can carry: ARM's own bound.
const AUXILIARY_MAX: usize = 3;

/// The caller of a request, and who else stands behind it.
///
/// # Errors
/// 401 with a challenge that says where to sign in and what is wrong.
pub(crate) async fn caller(
    app: &App,
    headers: &HeaderMap,
    base: &str,
    correlation: Uuid,
) -> Result<Caller, ArmError> {
    let refuse = |why| refusal(app, base, why);
    let mut sent = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = sent.next() else {
        return Err(refuse("The 'Authorization' header is not present or provided."));
    };
    let (Some(token), None) = (value.to_str().ok().and_then(bearer), sent.next()) else {
        return Err(refuse("The 'Authorization' header must hold one bearer token."));
    };
    let who = principal(app, token, base).await?;
    let mut caller = Caller::new(who.object_id, who.client_id, who.name, correlation);
    for token in auxiliary(headers).map_err(refuse)? {
        let other = principal(app, token, base).await?.object_id;
        if !caller.auxiliary.contains(&other) {
            caller.auxiliary.push(other);
        }
    }
    Ok(caller)
}

/// The principal of a token that is good here and now.
async fn principal(app: &App, token: &str, base: &str) -> Result<Principal, ArmError> {
    let refuse = |why| refusal(app, base, why);
    let now = app.service.env().real();
    let claims = app.authority.check(token, base, now).map_err(refuse)?;
    // A token does not outlive its principal.
    match app.service.principal(claims.oid).await? {
        Some(who) if who.client_id == claims.appid => Ok(who),
        _ => Err(refuse("The access token's principal does not exist any more.")),
    }
}

/// The token of `Bearer token`.
fn bearer(text: &str) -> Option<&str> {
    let (scheme, token) = text.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The tokens of others: `Bearer token, Bearer token`.
fn auxiliary(headers: &HeaderMap) -> Result<Vec<&str>, &'static str> {
    let mut tokens = vec![];
    for value in headers.get_all(AUXILIARY) {
        let text = value.to_str().unwrap_or("not a token");
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            let token = bearer(part)
                .ok_or("The 'x-ms-authorization-auxiliary' header must hold bearer tokens.")?;
            tokens.push(token);
        }
    }
    if tokens.len() > AUXILIARY_MAX {
        return Err("The 'x-ms-authorization-auxiliary' header holds more than three tokens.");
    }
    Ok(tokens)
}

fn refusal(app: &App, base: &str, why: &str) -> ArmError {
    let tenant = app.authority.tenant();
    let challenge = format!(
        "Bearer authorization_uri=\"{base}/{tenant}\", error=\"invalid_token\", \
         error_description=\"{why}\""
    );
    let text = format!("Authentication failed. {why}");
    ArmError::new(StatusCode::UNAUTHORIZED, "AuthenticationFailed", text)
        .header(header::WWW_AUTHENTICATE, &challenge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn read(values: &[&str]) -> Result<Vec<String>, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUXILIARY, HeaderValue::from_str(value).unwrap());
        }
        let found = auxiliary(&headers)?;
        Ok(found.into_iter().map(str::to_owned).collect())
    }

    #[test]
    fn auxiliary_tokens_are_a_short_list() {
        assert_eq!(read(&[]), Ok(vec![]));
        assert_eq!(read(&["", " , "]), Ok(vec![]));
        let two = Ok(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(read(&["Bearer a, bearer b"]), two);
        assert_eq!(read(&["BEARER a,", "Bearer  b"]), two);
        assert_eq!(read(&["Bearer a,Bearer b,Bearer c"]).unwrap().len(), 3);
        for bad in ["a", "Basic a", "Bearer", "Bearer a, b", "EncryptedBearer a"] {
            assert!(read(&[bad]).unwrap_err().contains("bearer tokens"), "{bad}");
        }
        let many = ["Bearer a, Bearer b", "Bearer c, Bearer d"];
        assert!(read(&many).unwrap_err().contains("more than three"));
    }
}
