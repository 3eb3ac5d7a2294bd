//! A request as handlers see it: authenticated, authorised, parsed.

use super::body::{Dialect, Field};
use super::error::ArmError;
use super::version::ApiVersion;
use crate::App;
use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;
use std::sync::Arc;
use tresor_core::model::ResourceId;
use tresor_core::service::Caller;

/// A request that passed the gates of its route.
pub(crate) struct Request {
    /// The application.
    pub(crate) app: Arc<App>,
    /// Who asks; on public routes a caller without any right.
    pub(crate) caller: Caller,
    /// The api-version.
    pub(crate) version: ApiVersion,
    /// The longest part of the path, up to a name, that is a resource id, in the request's casing:
    /// the resource itself, for an action the resource acted on, for a list the scope above it.
    pub(crate) id: ResourceId,
    /// The names in the path.
    pub(crate) params: Params,
    /// The query.
    pub(crate) query: Query,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The JSON body, if one was sent.
    pub(crate) body: Option<Value>,
    /// The body's bytes, kept only where the route reads a form.
    pub(crate) form: Bytes,
    /// `https://host:port`, without a slash at the end.
    pub(crate) base: String,
    /// The path, decoded, without the query.
    pub(crate) path: String,
    /// Whose words errors and bodies use.
    pub(crate) dialect: Dialect,
}

impl Request {
    /// The body as an object.
    ///
    /// # Errors
    /// When there is none or it is no object.
    pub(crate) fn root(&self) -> Result<Field<'_>, ArmError> {
        match &self.body {
            Some(value @ Value::Object(_)) => Ok(Field::root(value, self.dialect)),
            Some(_) => Err(ArmError::content("The request's body must be a JSON object.")),
            None => Err(ArmError::content("The request's body is missing; send a JSON object.")),
        }
    }

    /// The body as an object, or None when nothing (or `null`) was sent.
    ///
    /// # Errors
    /// When it is there and no object.
    pub(crate) fn optional_root(&self) -> Result<Option<Field<'_>>, ArmError> {
        match &self.body {
            None | Some(Value::Null) => Ok(None),
            Some(_) => self.root().map(Some),
        }
    }

    /// An absolute URL below this service with the request's api-version.
    pub(crate) fn url(&self, path: &str) -> String {
        let path = super::path::encode(path);
        format!("{}{path}?api-version={}", self.base, self.version)
    }
}

/// The names in a path, percent-decoded once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(pub(crate) Vec<(&'static str, String)>);

impl Params {
    /// The segment that stood for `{name}`; empty when the route has no such name.
    pub(crate) fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(own, _)| *own == name);
        found.map_or("", |(_, value)| value.as_str())
    }
}

/// A query: names match without regard to case, the first of several counts, blank is absent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `a=b&c=d`.
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = form_urlencoded::parse(text.as_bytes());
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// The value of a name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_ignore_case_and_blanks() {
        let query = Query::parse("API-Version=2021-01-01&%24filter=&$top=5&$top=6&x=a+b%2Fc");
        assert_eq!(query.get("api-version"), Some("2021-01-01"));
        assert_eq!(query.get("$filter"), None);
        assert_eq!(query.get("$TOP"), Some("5"));
        assert_eq!(query.get("x"), Some("a b/c"));
    }
}
