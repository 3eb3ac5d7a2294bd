//! Mistakes in how the program was called, told apart from failures of its work.
//!
//! Scripts rely on the exit code: 0 done, 1 failed, 2 called wrongly (nothing was begun). An error
//! that is a [`Usage`], or has one as context, ends the program with 2.

use std::process::ExitCode;

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

/// The exit code for an error that reached `main`.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    if Usage::is_in(error) { ExitCode::from(2) } else { ExitCode::FAILURE }
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
    fn any_other_error_is_a_failure() {
        let code = exit_code(&anyhow::anyhow!("disk full"));
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::FAILURE));
    }
}
