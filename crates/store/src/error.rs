//! What can go wrong in a store.
//!
//! An error is a kind (what the caller can do about it), a context (what was being done, with
//! names) and a source (why). `Display` shows the context only: whoever prints the chain prints
//! each link once. `Transient` is the only kind that is worth retrying unchanged.

use std::error::Error as StdError;

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The store, point or object does not exist.
    NotFound,
    /// Something with that name exists already.
    Exists,
    /// Stored bytes are damaged, truncated or were tampered with.
    Corrupt,
    /// The watcher asked to stop.
    Cancelled,
    /// No key slot opens with the secret that was given.
    WrongKey,
    /// The target has no room left.
    Full,
    /// A failure that may go away by itself: try again later.
    Transient,
    /// The store uses a format, option or object kind that this version does not know,
    /// or the object store cannot do what is needed.
    Unsupported,
    /// A flush failed earlier: nothing more is written through this handle.
    Poisoned,
    /// The object store refused the credentials.
    Denied,
    /// An argument makes no sense: a programming mistake of the caller.
    Invalid,
    /// The point is pinned and may not be removed now.
    Pinned,
    /// The attempt to make a point was given up by garbage collection, or the point was removed:
    /// nothing can be made under its key any more. Start again with a new key.
    Voided,
    /// Reading the source of a backup failed.
    Source,
    /// Writing the target of a restore failed.
    Sink,
    /// A rule of this crate was broken: a bug.
    Internal,
}

/// An error of the store.
#[derive(Debug, thiserror::Error)]
#[error("{context}")]
pub struct Error {
    kind: ErrorKind,
    context: String,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync + 'static>>,
}

impl Error {
    /// An error without a source.
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), source: None }
    }

    /// The same error, caused by `source`.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(crate) fn corrupt(context: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, context)
    }

    pub(crate) fn internal(context: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, context)
    }

    pub(crate) fn io(context: impl Into<String>, source: std::io::Error) -> Self {
        let kind = of_chain(&source).unwrap_or(match source.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            std::io::ErrorKind::AlreadyExists => ErrorKind::Exists,
            std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
            _ => ErrorKind::Transient,
        });
        Self::new(kind, context).because(source)
    }

    pub(crate) fn object(context: impl Into<String>, source: object_store::Error) -> Self {
        use object_store::Error as O;
        let kind = match &source {
            O::NotFound { .. } => ErrorKind::NotFound,
            O::AlreadyExists { .. } => ErrorKind::Exists,
            O::NotSupported { .. } | O::NotImplemented { .. } => ErrorKind::Unsupported,
            O::PermissionDenied { .. } | O::Unauthenticated { .. } => ErrorKind::Denied,
            other => of_chain(other).unwrap_or(ErrorKind::Transient),
        };
        // What these say of themselves repeats their source, and the context names the object.
        match source {
            O::Generic { source, .. }
            | O::NotFound { source, .. }
            | O::AlreadyExists { source, .. }
            | O::PermissionDenied { source, .. } => Self::new(kind, context).because(source),
            other => Self::new(kind, context).because(other),
        }
    }

    /// The same for a list. A client hands on what a server said to a list as words only; a
    /// refusal, or a bucket that is gone, is no outage that will pass. Neither is it the absence
    /// of some object.
    pub(crate) fn list(context: impl Into<String>, source: object_store::Error) -> Self {
        let refused = refusal(&source);
        let error = Self::object(context, source);
        match error.kind {
            ErrorKind::Transient | ErrorKind::NotFound if refused => {
                Self { kind: ErrorKind::Denied, ..error }
            }
            _ => error,
        }
    }
}

/// Whether a server refused a request for good.
fn refusal(error: &object_store::Error) -> bool {
    let said = chain(error);
    let status = said.split_once("status code: ").and_then(|(_, rest)| rest.get(..3));
    matches!(status, Some("401" | "403" | "404"))
}

/// An error with everything behind it, for a log.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    let links = std::iter::successors(Some(error), |link| (*link).source());
    links.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Whether the medium under a local folder cannot read a place: it will not get better by trying.
pub(crate) fn is_of_medium(error: &(dyn StdError + 'static)) -> bool {
    let io = rustix::io::Errno::IO.raw_os_error();
    std::iter::successors(Some(error), |link| (*link).source())
        .filter_map(|link| link.downcast_ref::<std::io::Error>())
        .any(|link| link.raw_os_error() == Some(io))
}

/// Looks for a disk that is full or cannot be written, or a poisoned handle, anywhere in a chain
/// of sources.
fn of_chain(error: &(dyn StdError + 'static)) -> Option<ErrorKind> {
    let mut link = Some(error);
    while let Some(current) = link {
        if current.downcast_ref::<crate::durable::Poisoned>().is_some() {
            return Some(ErrorKind::Poisoned);
        }
        if let Some(io) = current.downcast_ref::<std::io::Error>() {
            use std::io::ErrorKind as K;
            match io.kind() {
                K::StorageFull | K::QuotaExceeded | K::FileTooLarge => {
                    return Some(ErrorKind::Full);
                }
                // No outage that passes.
                K::ReadOnlyFilesystem => return Some(ErrorKind::Denied),
                _ => {}
            }
            // An `io::Error` hides its payload from `source()`: look at the payload itself.
            if let Some(inner) = io.get_ref()
                && let Some(kind) = of_chain(inner)
            {
                return Some(kind);
            }
        }
        link = current.source();
    }
    None
}
