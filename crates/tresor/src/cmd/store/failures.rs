//! What a command for all points could not do: damage of one point keeps none of the others.

use std::error::Error as StdError;
use std::io;

use anyhow::Result;
use serde::Serialize;
use tresor_store::{Damaged, Error, ErrorKind, PointKey};

use crate::terminal::{note, plain};
use crate::usage::Damage;

/// Failures, and damaged records, that are told one by one.
const LISTED: usize = 64;

/// A record that cannot be read.
#[derive(Serialize)]
pub(super) struct Unreadable {
    object: String,
    why: String,
}

impl Unreadable {
    pub(super) fn of(damaged: Damaged) -> Unreadable {
        Unreadable { object: damaged.object, why: damaged.why }
    }
}

/// A point that could not be dealt with.
#[derive(Serialize)]
struct Failed {
    point: PointKey,
    why: String,
}

/// All that went wrong while the others went well.
#[derive(Serialize, Default)]
pub(super) struct Failures {
    /// Records of points that cannot be read; the first 64.
    damaged: Vec<Unreadable>,
    damaged_count: u64,
    /// Points that failed; the first 64.
    failed: Vec<Failed>,
    failed_count: u64,
    /// Whether a point failed because it is damaged.
    #[serde(skip)]
    wounded: bool,
}

impl Failures {
    /// Records of points that cannot be read.
    pub(super) fn unreadable(damaged: Vec<Damaged>) -> Failures {
        Failures {
            damaged_count: damaged.len() as u64,
            damaged: damaged.into_iter().take(LISTED).map(Unreadable::of).collect(),
            ..Failures::default()
        }
    }

    /// Notes that a point failed, if the next one may do better; else hands the error back, for
    /// it would meet each of them: an outage, a full disk, a stop.
    pub(super) fn take(&mut self, point: &PointKey, error: anyhow::Error) -> Result<()> {
        let damage = is_damage(error.as_ref());
        if !damage && !is_of_one_point(&error) {
            return Err(error);
        }
        self.wounded |= damage;
        self.failed_count += 1;
        if self.failed.len() < LISTED {
            self.failed.push(Failed { point: *point, why: format!("{error:#}") });
        }
        Ok(())
    }

    /// One line each.
    pub(super) fn lines(&self) -> Vec<String> {
        let damaged = self.damaged.iter().map(|record| {
            let (object, why) = (plain(&record.object), plain(&record.why));
            format!("damaged: {object}: {why}")
        });
        let failed = self.failed.iter().map(|one| {
            let (point, why) = (&one.point, plain(&one.why));
            format!("failed: {point}: {why}")
        });
        let mut lines: Vec<String> = damaged.chain(failed).collect();
        let more = self.count().saturating_sub(lines.len() as u64);
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        lines
    }

    /// Tells on standard error what no report will: the work ended before its end.
    pub(super) fn note(&self) {
        self.lines().into_iter().for_each(note);
    }

    /// How many points it kept.
    pub(super) fn count(&self) -> u64 {
        self.damaged_count + self.failed_count
    }

    /// The end of the command: `what` names what was not done, such as "not copied".
    pub(super) fn conclude(&self, what: &str) -> Result<()> {
        let (count, damaged) = (self.count(), self.damaged_count);
        if count == 0 {
            return Ok(());
        }
        let records = match damaged {
            0 => String::new(),
            _ => format!(", {damaged} of them because their records are damaged"),
        };
        let text = format!("{count} points were {what}{records}; the others were");
        match damaged > 0 || self.wounded {
            false => Err(anyhow::anyhow!(text)),
            true => {
                let next = "`tresor store verify --deep` tells what is damaged";
                Err(anyhow::Error::new(Damage(format!("{text}; {next}"))))
            }
        }
    }
}

/// Whether what was read is damaged, also where it was read as the source of something else.
pub(super) fn is_damage(error: &(dyn StdError + 'static)) -> bool {
    for link in std::iter::successors(Some(error), |link| (*link).source()) {
        match link.downcast_ref().map(Error::kind) {
            Some(ErrorKind::Corrupt) => return true,
            Some(ErrorKind::Source) | None => {}
            Some(_) => return false,
        }
        // An `io::Error` hides its payload from `source()`.
        let inner = link.downcast_ref().and_then(io::Error::get_ref);
        if inner.is_some_and(|inner| is_damage(inner)) {
            return true;
        }
    }
    false
}

/// Whether something stands in the way of one point only.
fn is_of_one_point(error: &anyhow::Error) -> bool {
    let kind = error.chain().find_map(|link| link.downcast_ref()).map(Error::kind);
    matches!(kind, Some(ErrorKind::Exists | ErrorKind::Unsupported))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    fn error(kind: ErrorKind) -> Error {
        Error::new(kind, "a chunk")
    }

    fn taken(error: impl Into<anyhow::Error>) -> Option<bool> {
        let mut failures = Failures::default();
        let error = error.into().context("cannot copy");
        failures.take(&PointKey::new([7; 16]), error).ok()?;
        let end = failures.conclude("not copied").unwrap_err();
        Some(end.downcast_ref::<Damage>().is_some())
    }

    #[test]
    fn damage_is_known_wherever_it_hides() {
        let source = |inner| error(ErrorKind::Source).because(io::Error::other(inner));
        assert_eq!(taken(error(ErrorKind::Corrupt)), Some(true));
        assert_eq!(taken(source(error(ErrorKind::Corrupt))), Some(true));
        assert_eq!(taken(error(ErrorKind::Exists)), Some(false));
        let stops = [ErrorKind::Transient, ErrorKind::Full, ErrorKind::Cancelled];
        for kind in stops {
            assert_eq!(taken(error(kind)), None, "{kind:?}");
            assert_eq!(taken(source(error(kind))), None, "{kind:?}");
            let because = error(kind).because(error(ErrorKind::Corrupt));
            assert_eq!(taken(because), None, "{kind:?}");
        }
        assert_eq!(taken(io::Error::other("a disk")), None);
    }

    #[test]
    fn what_is_told_is_bounded_and_counted() {
        let mut failures = Failures::default();
        for place in 0..100 {
            let corrupt = Err::<(), _>(error(ErrorKind::Corrupt)).context("cannot copy");
            failures.take(&PointKey::new([place; 16]), corrupt.unwrap_err()).unwrap();
        }
        let lines = failures.lines();
        assert_eq!((lines.len(), lines[LISTED].as_str()), (LISTED + 1, "and 36 more"));
        assert!(failures.conclude("not copied").unwrap_err().to_string().contains("100 points"));
        assert!(Failures::default().conclude("not copied").is_ok());
    }
}
