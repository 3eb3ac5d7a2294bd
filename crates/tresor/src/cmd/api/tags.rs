//! Tags, as `name=value` words.

use anyhow::Result;
use clap::Args;
use serde_json::{Map, Value};

use crate::usage::Usage;

/// The flag of commands that make or change a resource.
#[derive(Args)]
pub(super) struct Tags {
    /// Tags, as name=value; they take the place of all that the resource has
    #[arg(long, value_name = "NAME=VALUE", num_args = 1..)]
    tags: Option<Vec<String>>,
}

impl Tags {
    /// The tags as they are sent, if any were given.
    pub(super) fn json(&self) -> Result<Option<Value>> {
        let Some(words) = &self.tags else {
            return Ok(None);
        };
        let mut tags = Map::new();
        for word in words {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            if name.is_empty() {
                return Err(Usage::error(format!("'{word}' is no tag; one is name=value")));
            }
            tags.insert(name.to_owned(), value.into());
        }
        Ok(Some(Value::Object(tags)))
    }

    /// Puts the tags into a body, if any were given.
    pub(super) fn put_into(&self, body: &mut Value) -> Result<()> {
        if let (Some(tags), Some(body)) = (self.json()?, body.as_object_mut()) {
            body.insert("tags".to_owned(), tags);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_become_tags() {
        let tags = |words: &[&str]| {
            Tags { tags: Some(words.iter().map(|word| (*word).to_owned()).collect()) }.json()
        };
        assert_eq!(Tags { tags: None }.json().unwrap(), None);
        let read = tags(&["a=b", "c=d=e", "f"]).unwrap();
        assert_eq!(read, Some(json!({"a": "b", "c": "d=e", "f": ""})));
        assert!(Usage::is_in(&tags(&["=x"]).unwrap_err()));
    }
}
