//! What could not be read, without failing what can.
//!
//! One damaged object must not take the whole store with it: a damaged index run counts as
//! absent, a damaged point is listed apart from the good ones. Only where damage could hide a
//! promise to somebody is it an error: a pin that cannot be read may protect any point.

use crate::error::{Error, ErrorKind, chain};
use crate::point::PointRecord;

/// An object that cannot be used as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// The name of the object.
    pub object: String,
    /// Why: damaged, or of a kind that this version does not know.
    pub kind: ErrorKind,
    /// The whole chain of reasons, in words.
    pub why: String,
}

impl Damaged {
    pub(crate) fn new(object: impl Into<String>, error: &Error) -> Self {
        Self { object: object.into(), kind: error.kind(), why: chain(error) }
    }
}

/// All points: those that can be read, and those that cannot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Points {
    /// The records of the points that can be read, by key.
    pub good: Vec<PointRecord>,
    /// Records that are there and cannot be read.
    pub damaged: Vec<Damaged>,
}

/// The records of a folder.
pub(crate) struct Records<T> {
    /// By the names of their objects.
    pub(crate) good: Vec<(String, T)>,
    pub(crate) damaged: Vec<(String, Error)>,
}

impl<T> Records<T> {
    /// The records, if all of them can be read: for those that must not overlook one.
    pub(crate) fn all(self) -> Result<Vec<T>, Error> {
        match self.damaged.into_iter().next() {
            Some((object, error)) => {
                let hope = match error.kind() {
                    ErrorKind::Corrupt => "; if `verify` says so too, a repair can drop it",
                    _ => "",
                };
                let context = format!("{object} cannot be read{hope}");
                Err(Error::new(error.kind(), context).because(error))
            }
            None => Ok(self.good.into_iter().map(|(_, record)| record).collect()),
        }
    }

    /// The records that can be read: for those who only look for one that suits them.
    pub(crate) fn readable(self) -> Vec<T> {
        for (object, error) in &self.damaged {
            tracing::warn!(object, error = chain(error), "a damaged record is passed over");
        }
        self.good.into_iter().map(|(_, record)| record).collect()
    }
}

/// Whether an error says that the bytes of an object are wrong, and not that they could not be
/// had now.
pub(crate) fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported)
}
