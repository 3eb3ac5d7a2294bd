//! Mistakes in how the program was called, told apart from failures of its work.
//!
//! Scripts rely on the exit code: 0 done, 1 failed, 2 called wrongly (nothing was begun), 3 damaged
//! data found, 4 what was named is not there, 128 and the signal's number if one ended it. An error
//! that is a [`Usage`], or has one as context, ends the program with 2.

use std::io;
use std::process::ExitCode;

use tresor_store::ErrorKind;

use crate::client::refusal;

/// The number of the signal that ends a program whose reader has gone.
const SIGPIPE: u8 = 13;

/// The caller can put this right: a missing key, an unknown setting, options that exclude each
/// other.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

impl Usage {
    /// A usage error as `anyhow` carries it.
    pub(crate) fn error(text: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Usage(text.into()))
    }

    /// Whether the caller can put the error right.
    pub(crate) fn is_in(error: &anyhow::Error) -> bool {
        error.downcast_ref::<Usage>().is_some()
    }
}

/// A store was looked through, and some of it is damaged. The report has been printed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Damage(pub(crate) String);

/// A signal ended the work.
#[derive(Debug, thiserror::Error)]
#[error("stopped by signal {0}")]
pub(crate) struct Interrupted(pub(crate) u8);

impl Interrupted {
    /// What a shell tells of a program that the signal killed.
    pub(crate) fn exit_code(&self) -> u8 {
        128 | self.0
    }
}

/// The exit code for an error that reached `main`.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    if let Some(interrupted) = error.downcast_ref::<Interrupted>() {
        return ExitCode::from(interrupted.exit_code());
    }
    if Usage::is_in(error) {
        return ExitCode::from(2);
    }
    if error.downcast_ref::<Damage>().is_some() {
        return ExitCode::from(3);
    }
    if kind(error) == Some(ErrorKind::Corrupt) {
        return ExitCode::from(3);
    }
    if is_of_reader(error) {
        return ExitCode::from(128 | SIGPIPE);
    }
    if refusal::not_found(error) {
        return ExitCode::from(4);
    }
    ExitCode::FAILURE
}

/// Whether whoever read standard output has gone, as `head` does when it has enough: nothing to
/// complain about.
pub(crate) fn is_of_reader(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// The kind of the failure of a store that is behind an error.
fn kind(error: &anyhow::Error) -> Option<ErrorKind> {
    let of_store = error.chain().find_map(|link| link.downcast_ref::<tresor_store::Error>());
    of_store.map(tresor_store::Error::kind)
}

/// What the user can do next, if that follows from the error.
pub(crate) fn advice(error: &anyhow::Error) -> Option<String> {
    of_store(error).map(str::to_owned).or_else(|| refusal::advice(error))
}

/// Of a failure of a store, if it follows from its kind.
fn of_store(error: &anyhow::Error) -> Option<&'static str> {
    match kind(error)? {
        ErrorKind::WrongKey => Some(
            "give the key that the store was made with (--key-file or TRESOR_PASSPHRASE), or its \
             recovery key: `tresor store recover`",
        ),
        ErrorKind::Corrupt => Some(
            "`tresor store verify --deep` names what is damaged; `tresor store repair` salvages \
             what is whole",
        ),
        ErrorKind::NotFound => Some(
            "`tresor store init` makes a store; where only its configuration is lost, `tresor \
             store recover` still reads it",
        ),
        ErrorKind::Full => {
            Some("make room; `tresor store gc` frees what no recovery point reaches")
        }
        ErrorKind::Transient => Some("run the command again: what was stored is found again"),
        ErrorKind::Denied => Some("see to it that this user, or these credentials, may do that"),
        ErrorKind::Pinned => Some(
            "wait for whoever reads it; `tresor store inspect` lists pins, `tresor store remove \
             --release-pins` gives up those that a killed command left",
        ),
        ErrorKind::Poisoned => {
            Some("the storage failed to keep data: check the disk, then run the command again")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_usage_error_keeps_its_code_under_context() {
        let error = Err::<(), _>(Usage::error("no key")).context("opening the store");
        let code = exit_code(&error.unwrap_err());
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(2)));
    }

    #[test]
    fn a_usage_error_can_be_the_context() {
        let error = std::fs::read("/nowhere/file").context(Usage("no file".to_owned()));
        assert!(Usage::is_in(&error.context("reading").unwrap_err()));
    }

    #[test]
    fn damage_has_a_code_of_its_own() {
        let error = anyhow::Error::new(Damage("2 findings".to_owned())).context("verify");
        assert_eq!(format!("{:?}", exit_code(&error)), format!("{:?}", ExitCode::from(3)));
    }

    #[test]
    fn damage_that_a_restore_meets_has_that_code_too() {
        let error = tresor_store::Error::new(ErrorKind::Corrupt, "a chunk");
        let error = anyhow::Error::new(error).context("the restore failed");
        assert_eq!(format!("{:?}", exit_code(&error)), format!("{:?}", ExitCode::from(3)));
    }

    #[test]
    fn a_failure_deep_down_has_its_advice() {
        let error = tresor_store::Error::new(ErrorKind::Full, "a pack");
        let error = anyhow::Error::new(error).context("the backup failed");
        assert!(advice(&error).unwrap().contains("gc"));
        assert_eq!(advice(&anyhow::anyhow!("else")), None);
    }

    #[test]
    fn a_signal_tells_its_number() {
        let error = anyhow::Error::new(Damage("a finding".to_owned())).context(Interrupted(2));
        assert_eq!(format!("{:?}", exit_code(&error)), format!("{:?}", ExitCode::from(130)));
    }

    #[test]
    fn any_other_error_is_a_failure() {
        let code = exit_code(&anyhow::anyhow!("disk full"));
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::FAILURE));
    }
}
