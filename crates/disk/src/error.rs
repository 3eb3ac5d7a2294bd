//! Errors: a kind to decide by, a context to read, and the cause as source.

use std::io;

/// What a caller can decide by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The volume or file does not exist.
    NotFound,
    /// A volume of this name exists already.
    Exists,
    /// Somebody else uses the volume, or as many views as allowed are open.
    Busy,
    /// A size is no multiple of a sector.
    Unaligned,
    /// A range or size is outside what the disk has or may have.
    OutOfRange,
    /// The path or the action is not allowed.
    Denied,
    /// Kept data does not parse or contradicts itself.
    Corrupt,
    /// No space is left.
    Full,
    /// The file system cannot hold a file that large.
    TooLarge,
    /// Any other failure of the operating system.
    Io,
    /// An fsync failed, now or earlier; the volume must be opened again.
    Poisoned,
}

/// A failure of this crate.
#[derive(Debug, thiserror::Error)]
#[error("{context}")]
pub struct Error {
    kind: ErrorKind,
    context: String,
    #[source]
    source: Option<io::Error>,
}

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), source: None }
    }

    /// An error of the operating system; its kind follows from the cause.
    pub(crate) fn io(context: impl Into<String>, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        let kind = match source.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty => ErrorKind::Exists,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Full,
            io::ErrorKind::FileTooLarge => ErrorKind::TooLarge,
            io::ErrorKind::PermissionDenied => ErrorKind::Denied,
            io::ErrorKind::WouldBlock => ErrorKind::Busy,
            _ => ErrorKind::Io,
        };
        Self { kind, context: context.into(), source: Some(source) }
    }

    /// A failed fsync, or a step after which it is unknown what is on the disk.
    pub(crate) fn poisoned(context: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self { kind: ErrorKind::Poisoned, context: context.into(), source: Some(source.into()) }
    }

    /// What to decide by.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}
