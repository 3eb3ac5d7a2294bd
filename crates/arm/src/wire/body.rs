//! Reading JSON bodies: names without regard to case, `null` as absent, the path in every error.

use super::error::ArmError;
use serde_json::Value;
use std::collections::BTreeMap;
use tresor_core::model::ResourceId;

/// Items that a list in a body may hold.
const ITEMS_MAX: usize = 1000;
/// Tags that a resource may have, and the bytes of a name and a value.
const TAGS_MAX: usize = 50;
const TAG_NAME_MAX: usize = 512;
const TAG_VALUE_MAX: usize = 256;

/// Whose error codes a route speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Resource manager itself, authorization and everything else.
    Arm,
    /// Microsoft.Compute.
    Compute,
    /// Microsoft.DataProtection.
    DataProtection,
    /// Microsoft Graph.
    Graph,
}

impl Dialect {
    /// The dialect of a route's path.
    pub(crate) fn of_path(path: &str) -> Self {
        if crate::graph::is_graph(path) {
            return Self::Graph;
        }
        let last = path.to_ascii_lowercase().rsplit_once("/providers/").map(|(_, tail)| {
            let namespace = tail.split('/').next().unwrap_or_default();
            match namespace {
                "microsoft.compute" => Self::Compute,
                "microsoft.dataprotection" => Self::DataProtection,
                _ => Self::Arm,
            }
        });
        last.unwrap_or(Self::Arm)
    }
}

/// A place in a JSON body, present or not.
#[derive(Clone, Debug)]
pub(crate) struct Field<'a> {
    path: String,
    value: Option<&'a Value>,
    dialect: Dialect,
}

impl<'a> Field<'a> {
    /// The body itself.
    pub(crate) fn root(value: &'a Value, dialect: Dialect) -> Self {
        Self { path: String::new(), value: Some(value), dialect }
    }

    /// The member `name`: the exact name first, else without regard to case.
    pub(crate) fn get(&self, name: &str) -> Field<'a> {
        let object = self.value.and_then(Value::as_object);
        let value = object.and_then(|members| {
            let exact = members.get(name).filter(|v| !v.is_null());
            exact.or_else(|| {
                let mut same = members.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
                same.find_map(|(_, v)| (!v.is_null()).then_some(v))
            })
        });
        let path =
            if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Field { path, value, dialect: self.dialect }
    }

    /// Whether something other than `null` stands here.
    pub(crate) fn is_present(&self) -> bool {
        self.value.is_some_and(|v| !v.is_null())
    }

    /// What stands here.
    pub(crate) fn value(&self) -> Option<&'a Value> {
        self.value.filter(|v| !v.is_null())
    }

    /// A refusal that names this place.
    pub(crate) fn invalid(&self, message: impl std::fmt::Display) -> ArmError {
        let at = if self.path.is_empty() { "The body" } else { &self.path };
        ArmError::invalid(self.dialect, &self.path, format!("{at}: {message}"))
    }

    fn missing(&self) -> ArmError {
        self.invalid("this member is required and must not be null.")
    }

    fn typed<T>(
        &self,
        what: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ArmError> {
        match self.value() {
            None => Ok(None),
            Some(value) => match read(value) {
                Some(found) => Ok(Some(found)),
                None => Err(self.invalid(format!("must be {what}, not {}.", kind(value)))),
            },
        }
    }

    /// A string.
    pub(crate) fn str(&self) -> Result<Option<&'a str>, ArmError> {
        self.typed("a string", Value::as_str)
    }

    /// A string that must be there and not be blank.
    pub(crate) fn need_str(&self) -> Result<&'a str, ArmError> {
        let text = self.str()?.ok_or_else(|| self.missing())?;
        if text.trim().is_empty() { Err(self.invalid("must not be empty.")) } else { Ok(text) }
    }

    /// A truth value; the texts `true` and `false` are taken too.
    pub(crate) fn bool(&self) -> Result<Option<bool>, ArmError> {
        self.typed("true or false", |value| match value {
            Value::Bool(found) => Some(*found),
            Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        })
    }

    /// A truth value that must be there.
    pub(crate) fn need_bool(&self) -> Result<bool, ArmError> {
        self.bool()?.ok_or_else(|| self.missing())
    }

    /// A whole number; `5.0` is one.
    pub(crate) fn i64(&self) -> Result<Option<i64>, ArmError> {
        self.typed("a whole number", |value| {
            value.as_i64().or_else(|| {
                let number = value.as_f64()?;
                let whole = number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
                // Below 2^53 the conversion is exact.
                whole.then_some(number as i64)
            })
        })
    }

    /// A whole number that must be there.
    pub(crate) fn need_i64(&self) -> Result<i64, ArmError> {
        self.i64()?.ok_or_else(|| self.missing())
    }

    /// A number.
    pub(crate) fn f64(&self) -> Result<Option<f64>, ArmError> {
        self.typed("a number", Value::as_f64)
    }

    /// A resource id.
    pub(crate) fn id(&self) -> Result<Option<ResourceId>, ArmError> {
        let Some(text) = self.str()? else {
            return Ok(None);
        };
        ResourceId::parse(text).map(Some).map_err(|e| self.invalid(format!("{e}.")))
    }

    /// A resource id that must be there.
    pub(crate) fn need_id(&self) -> Result<ResourceId, ArmError> {
        self.need_str()?;
        self.id()?.ok_or_else(|| self.missing())
    }

    /// One of some words, matched without regard to case, given back as listed.
    pub(crate) fn word(&self, allowed: &[&'static str]) -> Result<Option<&'static str>, ArmError> {
        let Some(text) = self.str()? else {
            return Ok(None);
        };
        let found = allowed.iter().find(|word| word.eq_ignore_ascii_case(text));
        match found {
            Some(word) => Ok(Some(*word)),
            None => Err(self.invalid(format!(
                "'{}' is not allowed; use one of {}.",
                text.chars().take(100).collect::<String>(),
                allowed.join(", ")
            ))),
        }
    }

    /// One of some words that must be there.
    pub(crate) fn need_word(&self, allowed: &[&'static str]) -> Result<&'static str, ArmError> {
        self.word(allowed)?.ok_or_else(|| self.missing())
    }

    /// An object.
    pub(crate) fn object(&self) -> Result<Option<Field<'a>>, ArmError> {
        let found = self.typed("an object", |v| v.as_object().map(|_| v))?;
        Ok(found.map(|_| self.clone()))
    }

    /// An object that must be there.
    pub(crate) fn need_object(&self) -> Result<Field<'a>, ArmError> {
        self.object()?.ok_or_else(|| self.missing())
    }

    /// The members of an object, in the order sent; absent is empty.
    pub(crate) fn members(&self) -> Result<Vec<(&'a str, Field<'a>)>, ArmError> {
        let Some(members) = self.typed("an object", Value::as_object)? else {
            return Ok(vec![]);
        };
        Ok(members.keys().map(|name| (name.as_str(), self.get(name))).collect())
    }

    /// The items of a list.
    pub(crate) fn items(&self) -> Result<Option<Vec<Field<'a>>>, ArmError> {
        let Some(items) = self.typed("a list", Value::as_array)? else {
            return Ok(None);
        };
        if items.len() > ITEMS_MAX {
            return Err(self.invalid(format!("must have at most {ITEMS_MAX} items.")));
        }
        let fields = items.iter().enumerate().map(|(at, value)| Field {
            path: format!("{}[{at}]", self.path),
            value: Some(value),
            dialect: self.dialect,
        });
        Ok(Some(fields.collect()))
    }

    /// The items of a list that must be there; it may be empty.
    pub(crate) fn need_items(&self) -> Result<Vec<Field<'a>>, ArmError> {
        self.items()?.ok_or_else(|| self.missing())
    }

    /// Tags: names to texts.
    pub(crate) fn tags(&self) -> Result<Option<BTreeMap<String, String>>, ArmError> {
        if self.object()?.is_none() {
            return Ok(None);
        }
        let members = self.members()?;
        if members.len() > TAGS_MAX {
            return Err(self.invalid(format!("a resource can have at most {TAGS_MAX} tags.")));
        }
        let mut tags = BTreeMap::new();
        for (name, field) in members {
            let value = field.str()?.unwrap_or_default();
            if name.trim().is_empty() || name.len() > TAG_NAME_MAX {
                return Err(field.invalid(format!("a tag's name has 1 to {TAG_NAME_MAX} bytes.")));
            }
            if value.len() > TAG_VALUE_MAX {
                return Err(field.invalid(format!("must have at most {TAG_VALUE_MAX} bytes.")));
            }
            tags.insert(name.to_owned(), value.to_owned());
        }
        Ok(Some(tags))
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn root(value: &Value) -> Field<'_> {
        Field::root(value, Dialect::DataProtection)
    }

    #[test]
    fn names_match_without_case_and_null_is_absent() {
        let body = json!({"Properties": {"resourceId": "a", "resourceID": null, "x": null}});
        let field = root(&body).get("properties").get("resourceID");
        assert_eq!(field.str().unwrap(), Some("a"));
        assert!(!root(&body).get("properties").get("x").is_present());
        assert!(!root(&body).get("nowhere").get("deeper").is_present());
    }

    #[test]
    fn errors_name_the_path_and_the_type() {
        let body = json!({"properties": {"rules": [{"name": 5}]}});
        let rules = root(&body).get("properties").get("rules").need_items().unwrap();
        let error = rules[0].get("name").need_str().unwrap_err();
        assert_eq!(error.target.as_deref(), Some("properties.rules[0].name"));
        assert_eq!(error.code, "BMSUserErrorInvalidInput");
        assert!(error.message.contains("properties.rules[0].name: must be a string, not a number"));
        let error = rules[0].get("objectType").need_word(&["A"]).unwrap_err();
        assert!(error.message.contains("objectType: this member is required"));
        let error = Field::root(&body, Dialect::Compute).get("properties").f64().unwrap_err();
        assert_eq!(error.code, "InvalidParameter");
    }

    #[test]
    fn words_come_out_as_listed() {
        let body = json!({"state": "alwayson", "bad": "Maybe"});
        let allowed = ["Off", "On", "AlwaysOn"];
        assert_eq!(root(&body).get("state").need_word(&allowed).unwrap(), "AlwaysOn");
        let error = root(&body).get("bad").word(&allowed).unwrap_err();
        assert!(error.message.contains("use one of Off, On, AlwaysOn"));
    }

    #[test]
    fn numbers_and_truth() {
        let body = json!({"a": 5.0, "b": 5.5, "c": "TRUE", "d": 1e300});
        assert_eq!(root(&body).get("a").i64().unwrap(), Some(5));
        assert!(root(&body).get("b").i64().is_err());
        assert!(root(&body).get("d").i64().is_err());
        assert_eq!(root(&body).get("b").f64().unwrap(), Some(5.5));
        assert!(root(&body).get("c").need_bool().unwrap());
    }

    #[test]
    fn tags_are_bounded_texts() {
        let body = json!({"tags": {"a": "b", "n": null}, "bad": {"a": 1}, "list": []});
        let tags = root(&body).get("tags").tags().unwrap().unwrap();
        assert_eq!(tags.get("n").map(String::as_str), Some(""));
        assert!(root(&body).get("bad").tags().unwrap_err().message.starts_with("bad.a:"));
        assert!(root(&body).get("list").tags().is_err());
        let many: serde_json::Map<_, _> =
            (0..=TAGS_MAX).map(|n| (n.to_string(), json!("x"))).collect();
        let body = json!({"tags": many});
        assert!(root(&body).get("tags").tags().is_err());
    }

    #[test]
    fn ids_are_checked() {
        let body = json!({"id": "/subscriptions/x", "empty": ""});
        assert!(root(&body).get("id").id().unwrap_err().message.contains("not a GUID"));
        assert!(root(&body).get("empty").need_id().is_err());
    }
}
