//! Whether a target keeps its promises.
//!
//! Asked before a store is made and before the first write through a handle: what a target gets
//! wrong here would lose points later, and nobody would know why. The probe runs below the same
//! prefix and with the same credentials as everything else.

use bytes::Bytes;

use super::{Objects, Put};
use crate::error::{Error, ErrorKind, Result};
use crate::margins;

const FOLDER: &str = "probe";
const FIRST: &[u8] = b"first of two writes";
const SECOND: &[u8] = b"second of two writes";

/// A promise that a target does not keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lack {
    CreateOnly,
    Range,
    Listed,
    Gone,
    Unlisted,
}

impl Lack {
    /// What is missing, and what to do.
    fn words(self) -> &'static str {
        match self {
            Self::CreateOnly => {
                "overwrites objects that were to be created only: use a server with conditional \
                 writes and switch them on, or a local folder"
            }
            Self::Range => {
                "returns other bytes or sizes than were asked for: look for a cache or \
                 gateway in between that ignores ranges"
            }
            Self::Listed => {
                "does not list an object that was just written: use a server whose lists are \
                 consistent, and no cache in between"
            }
            Self::Gone => {
                "still returns an object that was just deleted: use a server whose deletes are \
                 consistent, and no cache in between"
            }
            Self::Unlisted => {
                "still lists an object that was just deleted: use a server whose lists are \
                 consistent, and no cache in between"
            }
        }
    }
}

impl Objects {
    /// Refuses a target whose promises do not hold: create-only puts, ranged reads, listing after
    /// writing, absence after deleting. Leaves nothing behind that counts.
    pub(crate) fn probe(&self) -> Result<()> {
        let leaf = self.env.uuid().simple().to_string();
        let name = format!("{FOLDER}/{leaf}");
        let told = |e: Error| {
            let kind = e.kind();
            let context = match kind {
                ErrorKind::Unsupported => "cannot create objects that must not be there yet",
                ErrorKind::Denied => "refuses to list, read, write or delete with this key",
                _ => "could not be tried",
            };
            Error::new(kind, format!("the object store {context}")).because(e)
        };
        let lack = self.lack(&leaf, &name).map_err(told)?;
        match lack {
            None => Ok(()),
            Some(lack) => {
                // What a liar leaves behind is one small object.
                let _ = self.delete(&name);
                let context = format!("the object store {}", lack.words());
                Err(Error::new(ErrorKind::Unsupported, context))
            }
        }
    }

    fn lack(&self, leaf: &str, name: &str) -> Result<Option<Lack>> {
        self.create_unique(name, Bytes::from_static(FIRST))?;
        let second = self.create(name, Bytes::from_static(SECOND))?;
        if second == Put::Ours || self.get(name, margins::RECORD)? != FIRST {
            return Ok(Some(Lack::CreateOnly));
        }
        if self.size(name)? != FIRST.len() as u64 {
            return Ok(Some(Lack::Range));
        }
        let part = 2..FIRST.len() - 2;
        let range = part.start as u64..part.end as u64;
        match self.get_range(name, range) {
            Ok(bytes) if Some(bytes.as_ref()) == FIRST.get(part) => {}
            // Told apart from a target that does not answer at all.
            Err(e) if self.get(name, margins::RECORD).is_err() => return Err(e),
            _ => return Ok(Some(Lack::Range)),
        }
        let listed = || Ok::<_, Error>(self.list(FOLDER)?.iter().any(|found| found == leaf));
        if !listed()? {
            return Ok(Some(Lack::Listed));
        }
        self.delete(name)?;
        match self.get(name, margins::RECORD) {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e),
            Ok(_) => return Ok(Some(Lack::Gone)),
        }
        Ok(listed()?.then_some(Lack::Unlisted))
    }
}
