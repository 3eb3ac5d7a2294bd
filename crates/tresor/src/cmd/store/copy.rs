//! `tresor store copy`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use tresor_store::{Copied, ErrorKind, Ingested, PointRecord, Store};

use super::failures::{Failures, is_damage};
use super::key;
use super::place::{Place, Session, target};
use super::points::{NAMES, chosen};
use super::report::Report;
use crate::target::Target;
use crate::terminal::{note, size};
use crate::usage::Damage;

#[derive(Args)]
#[command(after_help = format!("{NAMES}\n\n\
    Between stores of one domain (see `init --domain-of`) only chunks that the target lacks are \
    moved; between others what differs from the last copied point is read and stored anew, and \
    that point stays pinned in the source for the next copy. A copy has the key of its source; \
    what is there already is left as it is, so an interrupted copy is simply run again. With --all \
    a damaged point does not keep the others: it is named in the end.\n\n\
    Exit codes: 0 done, 1 failed, 2 called wrongly, 3 something is damaged and was not copied.\n\n\
    Examples:\n  \
    tresor store copy --store /backup/a --key-file a.key --to /far/b --to-key-file b.key --all"))]
pub(super) struct CopyArgs {
    #[command(flatten)]
    place: Place,
    /// Where the points are copied to
    #[arg(long, value_name = "PATH|URL", value_parser = target())]
    to: Target,
    /// File with the key of that store; else the passphrase in TRESOR_TO_PASSPHRASE
    /// [default: the key of the source]
    #[arg(long, value_name = "FILE", env = "TRESOR_TO_KEY_FILE")]
    to_key_file: Option<PathBuf>,
    /// A point to copy; may be given several times
    #[arg(long = "point", value_name = "POINT", required_unless_present = "all")]
    points: Vec<String>,
    /// Copy all points, oldest first
    #[arg(long, conflicts_with = "points")]
    all: bool,
}

/// One copied point.
#[derive(Serialize)]
struct One {
    point: String,
    /// Its key in the target.
    copy: String,
    /// Whether the target did not have it yet.
    copied: bool,
    /// Whether its bytes were cut and named anew.
    anew: bool,
    bytes_read: u64,
    bytes_new: u64,
    bytes_stored: u64,
    bytes_deduplicated: u64,
    bytes_found_again: u64,
}

impl One {
    fn of(point: &PointRecord, copied: &Copied) -> One {
        let moved = copied.moved.as_ref();
        let of = |count: fn(&Ingested) -> u64| moved.map_or(0, count);
        One {
            point: point.key.to_string(),
            copy: copied.record.key.to_string(),
            copied: moved.is_some(),
            anew: copied.anew,
            bytes_read: of(|moved| moved.bytes_read),
            bytes_new: of(|moved| moved.bytes_new),
            bytes_stored: of(|moved| moved.bytes_stored),
            bytes_deduplicated: of(|moved| moved.bytes_deduplicated),
            bytes_found_again: of(|moved| moved.bytes_found_again),
        }
    }
}

#[derive(Serialize)]
struct Copy {
    from: String,
    to: String,
    points: Vec<One>,
    #[serde(flatten)]
    failures: Failures,
    seconds: f64,
}

impl Report for Copy {
    fn text(&self) -> String {
        let copied = self.points.iter().filter(|one| one.copied).count();
        let sum = |of: fn(&One) -> u64| size(self.points.iter().map(of).sum());
        let mut lines = self.failures.lines();
        lines.push(format!(
            "copied {copied} of {} points: read {}, stored {}, known already {}, in {:.2} s",
            self.points.len() as u64 + self.failures.count(),
            sum(|one| one.bytes_read),
            sum(|one| one.bytes_stored),
            sum(|one| one.bytes_deduplicated + one.bytes_found_again),
            self.seconds
        ));
        lines.join("\n")
    }
}

/// Copies points to another store.
pub(super) fn run(session: &Session, args: &CopyArgs) -> Result<()> {
    let source = session.open(&args.place)?;
    let there = Place { store: args.to.clone(), ..args.place.clone() };
    let key_file = args.to_key_file.as_ref().or(args.place.key_file.as_ref());
    let secret = key::of_target(key_file.map(PathBuf::as_path))?;
    let target = session.open_with(&there, &secret)?;
    let (points, mut failures) = points(&source, args)?;
    let begun = session.env.monotonic();
    let copied = all(session, args, (&source, &target), &points, &mut failures);
    let points = copied.inspect_err(|_| failures.note())?;
    if points.iter().any(|one| one.anew) {
        note("note: the stores do not share a domain; the last point of each chain stays pinned");
    }
    let copy = Copy {
        from: source.id().to_string(),
        to: target.id().to_string(),
        points,
        failures,
        seconds: session.since(begun),
    };
    copy.print(args.place.json)?;
    copy.failures.conclude("not copied")
}

fn all(
    session: &Session,
    args: &CopyArgs,
    (source, target): (&Store, &Store),
    points: &[PointRecord],
    failures: &mut Failures,
) -> Result<Vec<One>> {
    let mut done = Vec::new();
    for (number, point) in points.iter().enumerate() {
        let title = format!("copy {} of {}", number + 1, points.len());
        let watcher = session.watcher(&title, &args.place);
        match source.copy_point(&point.key, target, &watcher) {
            Ok(copied) => done.push(One::of(point, &copied)),
            // Whoever removed a copy does not want it back with the next run.
            Err(e) if args.all && e.kind() == ErrorKind::Voided => {
                note(format_args!("note: {e}; it is left out"));
            }
            // Removed since the points were listed.
            Err(e) if args.all && e.kind() == ErrorKind::NotFound => {
                if source.point(&point.key)?.is_some() {
                    return Err(blame(e.into(), format!("cannot copy {}", point.key)));
                }
                note(format_args!("note: point {} was removed meanwhile", point.key));
            }
            Err(e) => {
                let (key, count, ready) = (&point.key, points.len(), done.len());
                let e = match args.all {
                    true => failures.take(key, e.into()),
                    false => Err(e.into()),
                };
                e.map_err(|e| blame(e, format!("cannot copy {key}; {ready} of {count} are done")))?;
            }
        }
        watcher.done();
    }
    Ok(done)
}

/// Damage has its exit code also where it was met as the source of something else.
fn blame(error: anyhow::Error, context: String) -> anyhow::Error {
    match is_damage(error.as_ref()) {
        true => error.context(Damage(context)),
        false => error.context(context),
    }
}

/// What to copy, oldest first, so that each point finds its ancestors in the target; and the
/// records that cannot be read.
fn points(store: &Store, args: &CopyArgs) -> Result<(Vec<PointRecord>, Failures)> {
    let (mut points, failures) = chosen(store, args.all, &args.points)?;
    points.sort_by_key(|point| (point.time, point.key));
    points.dedup_by_key(|point| point.key);
    Ok((points, failures))
}
