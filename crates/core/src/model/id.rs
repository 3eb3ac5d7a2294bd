//! Resource ids: the names of everything, compared without regard to case and echoed as sent.
//!
//! Azure compares ids, groups, types and names case-insensitively, but clients such as Terraform
//! compare the text they get back with the text they sent. So an id keeps both: the text of its
//! creation for answers and a lower-case key for every comparison, index and permission scope.

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

/// Longest id accepted, in bytes; Azure's own limit is smaller.
pub const ID_BYTES_MAX: usize = 2048;

/// A resource id or scope: `/`, a subscription, a group, a resource or an extension of one.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResourceId {
    text: String,
    key: String,
}

/// Why a text is no resource id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a resource id: {reason}")]
pub struct IdError {
    text: String,
    reason: &'static str,
}

impl ResourceId {
    /// Parses an id; the text is kept as given apart from one trailing slash.
    ///
    /// # Errors
    /// When the text does not begin with `/`, has empty segments, an odd number of segments,
    /// a subscription that is no GUID, control characters, or more than [`ID_BYTES_MAX`] bytes.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let fail = |reason| IdError { text: text.chars().take(200).collect(), reason };
        if text.len() > ID_BYTES_MAX {
            return Err(fail("it is too long"));
        }
        if text == "/" {
            return Ok(Self::root());
        }
        let body = text.strip_prefix('/').ok_or_else(|| fail("it must begin with '/'"))?;
        let body = body.strip_suffix('/').unwrap_or(body);
        let segments: Vec<&str> = body.split('/').collect();
        if segments.iter().any(|s| s.is_empty() || *s == "." || *s == "..") {
            return Err(fail("it has an empty or relative segment"));
        }
        if body.chars().any(|c| c.is_control() || "<>%&\\?#\"".contains(c)) {
            return Err(fail("it has a character that ids must not have"));
        }
        let key = format!("/{}", body.to_lowercase());
        let id = Self { text: format!("/{body}"), key };
        id.check_shape().map_err(fail)?;
        Ok(id)
    }

    fn check_shape(&self) -> Result<(), &'static str> {
        let segments: Vec<&str> = self.segments().collect();
        let mut rest = segments.as_slice();
        if let ["subscriptions", subscription, tail @ ..] = rest {
            uuid::Uuid::try_parse(subscription).map_err(|_| "its subscription is not a GUID")?;
            rest = tail;
            if let ["resourcegroups", _, tail @ ..] = rest {
                rest = tail;
            }
        }
        while let ["providers", namespace, tail @ ..] = rest {
            if !namespace.contains('.') {
                return Err("its provider namespace has no dot");
            }
            let end = tail.iter().position(|s| *s == "providers").unwrap_or(tail.len());
            let (pairs, after) = tail.split_at_checked(end).unwrap_or((tail, &[]));
            if pairs.is_empty() || pairs.len() % 2 != 0 {
                return Err("its types and names do not come in pairs");
            }
            rest = after;
        }
        if rest.is_empty() { Ok(()) } else { Err("its segments are not those of a resource id") }
    }

    /// The scope above every subscription.
    #[must_use]
    pub fn root() -> Self {
        Self { text: "/".into(), key: "/".into() }
    }

    /// The scope of a subscription.
    #[must_use]
    pub fn of_subscription(subscription: uuid::Uuid) -> Self {
        let text = format!("/subscriptions/{subscription}");
        Self { key: text.clone(), text }
    }

    /// The text as its creator wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The lower-case form used for comparison and storage.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    fn segments(&self) -> impl Iterator<Item = &str> {
        self.key.split('/').filter(|s| !s.is_empty())
    }

    fn text_segments(&self) -> impl Iterator<Item = &str> {
        self.text.split('/').filter(|s| !s.is_empty())
    }

    /// The subscription, lower case.
    #[must_use]
    pub fn subscription(&self) -> Option<&str> {
        let mut s = self.segments();
        (s.next() == Some("subscriptions")).then(|| s.next()).flatten()
    }

    /// The resource group's name, as written.
    #[must_use]
    pub fn group(&self) -> Option<&str> {
        let is_group = self.segments().nth(2) == Some("resourcegroups");
        is_group.then(|| self.text_segments().nth(3)).flatten()
    }

    /// The id of the resource group that holds this, with this id's own casing.
    #[must_use]
    pub fn group_id(&self) -> Option<Self> {
        self.group()?;
        let text: String = self.text_segments().take(4).flat_map(|s| ["/", s]).collect();
        Some(Self { key: text.to_lowercase(), text })
    }

    /// The last segment, as written: the resource's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text.rsplit('/').next().unwrap_or_default()
    }

    /// The full type, lower case, such as `microsoft.compute/disks`; groups answer
    /// `microsoft.resources/resourcegroups`, subscriptions `microsoft.resources/subscriptions`.
    #[must_use]
    pub fn kind(&self) -> String {
        let segments: Vec<&str> = self.segments().collect();
        match segments.iter().rposition(|s| *s == "providers") {
            Some(at) => {
                let tail = segments.get(at + 1..).unwrap_or_default();
                let types = tail.iter().skip(1).step_by(2);
                let mut kind = tail.first().copied().unwrap_or_default().to_owned();
                types.for_each(|t| {
                    kind.push('/');
                    kind.push_str(t);
                });
                kind
            }
            None if segments.len() == 4 => "microsoft.resources/resourcegroups".into(),
            None if segments.len() == 2 => "microsoft.resources/subscriptions".into(),
            None => String::new(),
        }
    }

    /// The resource above: two segments less; a type directly under `providers/namespace`
    /// answers the group, subscription or resource that it is in.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let segments: Vec<&str> = self.text_segments().collect();
        if segments.len() < 2 {
            return None;
        }
        let mut keep = segments.len() - 2;
        if keep >= 2 && segments.get(keep - 2).is_some_and(|s| s.eq_ignore_ascii_case("providers"))
        {
            keep -= 2;
        }
        let text: String = segments.iter().take(keep).flat_map(|s| ["/", s]).collect();
        if text.is_empty() {
            return Some(Self::root());
        }
        Some(Self { key: text.to_lowercase(), text })
    }

    /// The id of something below this: `path` is appended as it is.
    ///
    /// # Errors
    /// When the outcome is no id.
    pub fn join(&self, path: &str) -> Result<Self, IdError> {
        Self::parse(&format!("{}/{}", self.text.trim_end_matches('/'), path.trim_matches('/')))
    }

    /// The id that this has once `from`, which it is or lies in, is called `to`; others stay.
    ///
    /// # Errors
    /// When the outcome is too long.
    pub fn moved(&self, from: &Self, to: &Self) -> Result<Self, IdError> {
        if !self.is_within(from) {
            return Ok(self.clone());
        }
        let skipped = from.segments().count();
        let rest: Vec<&str> = self.text_segments().skip(skipped).collect();
        if rest.is_empty() { Ok(to.clone()) } else { to.join(&rest.join("/")) }
    }

    /// Whether this is `scope` itself or lies below it.
    #[must_use]
    pub fn is_within(&self, scope: &Self) -> bool {
        if scope.key == "/" {
            return true;
        }
        self.key
            .strip_prefix(scope.key.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl PartialEq for ResourceId {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}
impl Eq for ResourceId {}
impl Hash for ResourceId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}
impl PartialOrd for ResourceId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for ResourceId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}
impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
impl fmt::Debug for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
impl TryFrom<String> for ResourceId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        Self::parse(&text)
    }
}
impl From<ResourceId> for String {
    fn from(id: ResourceId) -> Self {
        id.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: &str = "/subscriptions/11111111-2222-3333-4444-555555555555";

    fn id(text: &str) -> ResourceId {
        ResourceId::parse(text).unwrap()
    }

    #[test]
    fn case_is_kept_and_ignored() {
        let a = id(&format!("{S}/resourceGroups/Rg/providers/Microsoft.Compute/disks/D1"));
        let b = id(&format!(
            "{}/RESOURCEGROUPS/rg/providers/microsoft.compute/disks/d1",
            S.to_uppercase()
        ));
        assert_eq!(a, b);
        assert_eq!(a.as_str().rsplit('/').next(), Some("D1"));
        assert_eq!(a.kind(), "microsoft.compute/disks");
        assert_eq!(a.group(), Some("Rg"));
        assert_eq!(a.parent().unwrap(), id(&format!("{S}/resourceGroups/rg")));
    }

    #[test]
    fn children_and_scopes() {
        let vault =
            id(&format!("{S}/resourceGroups/r/providers/Microsoft.DataProtection/backupVaults/v"));
        let instance = vault.join("backupInstances/i").unwrap();
        assert_eq!(instance.kind(), "microsoft.dataprotection/backupvaults/backupinstances");
        assert_eq!(instance.parent().unwrap(), vault);
        assert!(instance.is_within(&vault) && instance.is_within(&ResourceId::root()));
        let sibling = id(&format!("{S}/resourceGroups/r2"));
        assert!(!instance.is_within(&sibling));
        assert!(
            !id(&format!("{S}/resourceGroups/r2")).is_within(&id(&format!("{S}/resourceGroups/r")))
        );
    }

    #[test]
    fn what_lies_in_something_moves_with_it() {
        let from = id(&format!("{S}/resourceGroups/Rg/providers/M.D/backupVaults/V"));
        let to = id(&format!("{S}/providers/M.D/locations/westus/deletedVaults/7"));
        let child = from.join("backupPolicies/P").unwrap();
        let there = child.moved(&from, &to).unwrap();
        assert_eq!(there.as_str(), format!("{to}/backupPolicies/P"));
        assert_eq!(there.moved(&to, &from).unwrap().as_str(), child.as_str());
        assert_eq!(from.moved(&from, &to).unwrap().as_str(), to.as_str());
        let sibling = id(&format!("{from}x/backupPolicies/P"));
        assert_eq!(sibling.moved(&from, &to).unwrap(), sibling);
    }

    #[test]
    fn bad_ids_say_why() {
        for bad in [
            "",
            "x",
            "/subscriptions/nope",
            "/subscriptions",
            "//",
            "/a/b",
            &format!("{S}/resourceGroups"),
            &format!("{S}/providers/Compute/disks/d"),
            &format!("{S}/resourceGroups/a/../b"),
            &format!("{S}/resourceGroups/g/providers/M.C/disks"),
        ] {
            assert!(ResourceId::parse(bad).is_err(), "{bad}");
        }
    }
}
