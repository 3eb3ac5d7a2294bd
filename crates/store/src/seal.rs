//! Small encrypted records: points, writers, pins, the quarantine and what collection of garbage
//! writes down.
//!
//! ```text
//! 0   magic "TRSRRECD"        8
//! 8   format version          2
//! 10  kind                    2
//! 12  epoch                   4
//! 16  salt                   32
//! 48  length of the rest      4
//! 52  ciphertext and tag
//! ```
//! The head, the store's id and the *name* of the object are authenticated with the body, so a
//! record cannot be passed off under another name.

use crate::config::FORMAT;
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::field::{Fields, narrow};
use crate::keys::{KeyRing, TAG};

const MAGIC: &[u8; 8] = b"TRSRRECD";
const PURPOSE: &str = "tresor 0 record";
const HEAD: usize = 52;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Record {
    /// A recovery point.
    Point,
    /// A writer at work.
    Writer,
    /// A pin.
    Pin,
    /// A key that no attempt can commit under any more.
    Void,
    /// A point was removed.
    Removed,
    /// An attempt at a key was given up that may still be alive.
    Stale,
    /// Packs that a collection wants to delete.
    Condemned,
    /// Those of them that are dead for ever.
    Confirmed,
    /// Places that are damaged.
    Quarantine,
    /// The writers that a decision about condemned packs waits for.
    Awaited,
}

impl Record {
    fn code(self) -> u16 {
        match self {
            Self::Point => 1,
            Self::Writer => 2,
            Self::Pin => 3,
            Self::Void => 4,
            Self::Removed => 5,
            Self::Stale => 6,
            Self::Condemned => 7,
            Self::Confirmed => 8,
            Self::Quarantine => 9,
            Self::Awaited => 11,
        }
    }
}

/// Encrypts a record that will be stored under `name`.
pub(crate) fn seal(
    ring: &KeyRing,
    env: &Env,
    record: Record,
    name: &str,
    body: &[u8],
) -> Result<Vec<u8>> {
    let salt = env.bytes();
    let epoch = ring.epoch();
    let mut out = Vec::with_capacity(HEAD + body.len() + TAG);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&FORMAT.to_le_bytes());
    out.extend_from_slice(&record.code().to_le_bytes());
    out.extend_from_slice(&epoch.to_le_bytes());
    out.extend_from_slice(&salt);
    out.extend_from_slice(&narrow(body.len() + TAG)?.to_le_bytes());
    let aad = aad(ring, &out, name);
    out.extend_from_slice(body);
    let text = out.get_mut(HEAD..).ok_or_else(|| Error::internal("record head"))?;
    let tag = ring.object(PURPOSE, epoch, &salt)?.seal(0, &aad, text)?;
    out.extend_from_slice(&tag);
    Ok(out)
}

/// Whether `bytes` say that they are a record of this kind. Opening proves it.
pub(crate) fn is(record: Record, bytes: &[u8]) -> bool {
    let mut fields = Fields::new("a record", bytes);
    let kind = fields.magic(MAGIC).and_then(|()| fields.u16()).and_then(|_| fields.u16());
    kind.is_ok_and(|code| code == record.code())
}

/// Decrypts a record that was read from `name`.
pub(crate) fn open(ring: &KeyRing, record: Record, name: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut fields = Fields::new("a record", bytes);
    fields.magic(MAGIC)?;
    let version = fields.u16()?;
    if version != FORMAT {
        let context = format!("record {name} has format {version}");
        return Err(Error::new(ErrorKind::Unsupported, context));
    }
    let code = fields.u16()?;
    if code != record.code() {
        let context = format!("record {name} has kind {code}");
        return Err(Error::new(ErrorKind::Unsupported, context));
    }
    let (epoch, salt, len) = (fields.u32()?, fields.array()?, fields.u32()?);
    let mut text = fields.take(len as usize)?.to_vec();
    fields.end()?;
    let aad = aad(ring, bytes.get(..HEAD).unwrap_or_default(), name);
    let key = ring.object(PURPOSE, epoch, &salt)?;
    let body = key
        .open(0, &aad, &mut text)
        .ok_or_else(|| Error::corrupt(format!("record {name} is not authentic")))?;
    Ok(body.to_vec())
}

fn aad(ring: &KeyRing, head: &[u8], name: &str) -> Vec<u8> {
    [ring.store.as_bytes(), head, name.as_bytes()].concat()
}
