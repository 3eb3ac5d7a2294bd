//! Recovery points.
//!
//! A point's record is the only commit of the store. It is created last, under a key that was
//! fixed before any byte was written and that derives from the job, not from the attempt:
//! attempts of one job race for one key, and whoever creates it wins.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, ErrorKind, Result};
use crate::id::{Hasher, Root, hex, unhex};
use crate::map::Tree;

pub(crate) const FOLDER: &str = "points";

/// The key of a point: 32 lower-case hex digits, chosen by the caller.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PointKey([u8; 16]);

impl PointKey {
    /// The key with these bytes.
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes of the key.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    pub(crate) fn object(&self) -> String {
        format!("{FOLDER}/{self}")
    }
}

impl fmt::Display for PointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for PointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl FromStr for PointKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        unhex(text).map(Self)
    }
}

impl From<Uuid> for PointKey {
    fn from(id: Uuid) -> Self {
        Self(id.into_bytes())
    }
}

impl Serialize for PointKey {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PointKey {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A committed point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointRecord {
    /// The key that the caller chose.
    pub key: PointKey,
    /// Names the whole content.
    pub root: Root,
    /// Bytes of the disk.
    pub size: u64,
    /// The instant that the caller says the content is of.
    pub time: Timestamp,
    /// The point that this one was made from.
    pub parent: Option<PointKey>,
    /// What the caller wants to know again: disk, instance, policy, tag and so on.
    pub facts: BTreeMap<String, String>,
    /// Drawn by the attempt that made the record: tells racing attempts apart.
    pub nonce: Uuid,
    pub(crate) map: Tree,
}

impl PointRecord {
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self)
            .map_err(|e| Error::new(ErrorKind::Invalid, "a point cannot be encoded").because(e))
    }

    /// Reads a record that was stored under `key` and checks that it fits together.
    pub(crate) fn decode(body: &[u8], key: &PointKey, hasher: &Hasher) -> Result<Self> {
        let record: Self = serde_json::from_slice(body)
            .map_err(|e| Error::corrupt(format!("point {key} cannot be read")).because(e))?;
        record.check(hasher)?;
        if record.key != *key {
            return Err(Error::corrupt(format!("point {key} has another key inside")));
        }
        Ok(record)
    }

    pub(crate) fn check(&self, hasher: &Hasher) -> Result<()> {
        let map = &self.map;
        if map.size != self.size || !map.is_sound() || map.root(hasher) != self.root {
            return Err(Error::corrupt(format!("point {} does not fit its map", self.key)));
        }
        Ok(())
    }
}
