//! `tresor store export`: points as files that need no store.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use serde_json::Value;
use tresor_store::{Error, ErrorKind, PointRecord, Store};

use super::failures::Failures;
use super::image::{self, Format};
use super::place::{Place, Session, unpin};
use super::points::{NAMES, chosen};
use super::report::{Point, Report};
use crate::durable::{self, Access};
use crate::terminal::note;
use crate::usage::Usage;

#[derive(Args)]
#[command(after_help = format!("{NAMES}\n\n\
    Writes POINT.raw (or .qcow2) and POINT.json, its description, for each point; with --records \
    the descriptions only. A point that is in the folder already, whole and in the same layout, is \
    left as it is, so an export that was stopped can be run again. With --all a damaged point does \
    not keep the others: it is named in the end.\n\n\
    Exit codes: 0 done, 1 failed, 2 called wrongly, 3 something is damaged and was not exported.\n\
    \n\
    Examples:\n  \
    tresor store export --store /backup/a --key-file a.key --point latest --format qcow2 out\n  \
    tresor store export ... --all --records out"))]
pub(super) struct ExportArgs {
    #[command(flatten)]
    place: Place,
    /// Folder for the files; it is made if it is not there
    folder: PathBuf,
    /// A point to export; may be given several times
    #[arg(long = "point", value_name = "POINT", required_unless_present = "all")]
    points: Vec<String>,
    /// Export all points
    #[arg(long, conflicts_with = "points")]
    all: bool,
    /// Layout of the images
    #[arg(long, default_value = "raw")]
    format: Format,
    /// Only the descriptions
    #[arg(long)]
    records: bool,
}

/// What stands beside an image.
#[derive(Serialize)]
struct Description {
    #[serde(flatten)]
    point: Point,
    store: String,
    domain: String,
    /// The image beside this file, if there is one.
    file: Option<String>,
    format: Option<&'static str>,
}

#[derive(Serialize)]
struct Exported {
    folder: String,
    points: Vec<Description>,
    /// How many of them were there already.
    skipped: usize,
    #[serde(flatten)]
    failures: Failures,
    seconds: f64,
}

impl Report for Exported {
    fn text(&self) -> String {
        let (count, folder) = (self.points.len() - self.skipped, &self.folder);
        let there = match self.skipped {
            0 => String::new(),
            skipped => format!(", {skipped} were there already"),
        };
        let mut lines = self.failures.lines();
        let seconds = self.seconds;
        lines.push(format!("exported {count} points to {folder}{there} in {seconds:.2} s"));
        lines.join("\n")
    }
}

/// Exports points.
pub(super) fn run(session: &Session, args: &ExportArgs) -> Result<()> {
    let store = session.open(&args.place)?;
    let (points, mut failures) = chosen(&store, args.all, &args.points)?;
    std::fs::create_dir_all(&args.folder)
        .with_context(|| Usage(format!("cannot make {}", args.folder.display())))?;
    let begun = session.env.monotonic();
    let exported = all(session, &store, args, &points, &mut failures);
    let (points, skipped) = exported.inspect_err(|_| failures.note())?;
    let exported = Exported {
        folder: args.folder.display().to_string(),
        points,
        skipped,
        failures,
        seconds: session.since(begun),
    };
    exported.print(args.place.json)?;
    exported.failures.conclude("not exported")
}

/// The points that are in the folder in the end, and how many were there already.
fn all(
    session: &Session,
    store: &Store,
    args: &ExportArgs,
    points: &[PointRecord],
    failures: &mut Failures,
) -> Result<(Vec<Description>, usize)> {
    let (mut done, mut skipped) = (Vec::new(), 0);
    for point in points {
        let description = describe(store, args, point);
        if is_there(args, &description)? {
            skipped += 1;
        } else if let Err(e) = export(session, store, args, point, &description) {
            if !args.all {
                return Err(e);
            }
            match store.point(&point.key) {
                Ok(None) => note(format_args!("note: point {} was removed meanwhile", point.key)),
                _ => failures.take(&point.key, e)?,
            }
            continue;
        }
        done.push(description);
    }
    Ok((done, skipped))
}

fn describe(store: &Store, args: &ExportArgs, point: &PointRecord) -> Description {
    let file = (!args.records).then(|| format!("{}.{}", point.key, args.format.ending()));
    Description {
        point: Point::of(point),
        store: store.id().to_string(),
        domain: store.domain().id().to_string(),
        format: file.is_some().then(|| args.format.ending()),
        file,
    }
}

impl Description {
    /// Where it stands.
    fn path(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.json", self.point.point))
    }
}

/// Whether an earlier export has made this point's files. What is there and is something else is
/// never replaced.
fn is_there(args: &ExportArgs, description: &Description) -> Result<bool> {
    let path = description.path(&args.folder);
    let text = match std::fs::read(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        read => read.with_context(|| Usage(format!("cannot read {}", path.display())))?,
    };
    let found: Value = serde_json::from_slice(&text).unwrap_or_default();
    let same = |name: &str, wanted: &str| found.get(name).and_then(Value::as_str) == Some(wanted);
    let point = same("point", &description.point.point) && same("store", &description.store);
    let image = description.file.as_deref().is_none_or(|file| same("file", file));
    if !point || !image {
        let text = format!(
            "{} is there already and describes something else; choose another folder",
            path.display()
        );
        return Err(Usage::error(text));
    }
    let image = description.file.as_deref().map(|file| args.folder.join(file));
    Ok(image.is_none_or(|image| image.exists()))
}

fn export(
    session: &Session,
    store: &Store,
    args: &ExportArgs,
    point: &PointRecord,
    description: &Description,
) -> Result<()> {
    if let Some(file) = &description.file {
        let path = args.folder.join(file);
        if path.symlink_metadata().is_ok() {
            let text = format!(
                "{} is there without its description, left by an export that was stopped or by \
                 somebody else; remove it to have the point exported",
                path.display()
            );
            let leftover = Error::new(ErrorKind::Exists, text);
            return Err(anyhow::Error::new(leftover)).context(Usage("a file is in the way".into()));
        }
        let pin = session.pin(store, &point.key, "export")?;
        let written = write(session, store, args, point, &path);
        unpin(pin);
        written.with_context(|| format!("cannot export {}", point.key))?;
    }
    let mut text = serde_json::to_vec_pretty(description)?;
    text.push(b'\n');
    // The description comes last: an image that has one is whole.
    durable::write(&description.path(&args.folder), &text, Access::Private)
}

fn write(
    session: &Session,
    store: &Store,
    args: &ExportArgs,
    point: &PointRecord,
    path: &Path,
) -> Result<()> {
    let watcher = session.watcher(&format!("export {:.8}", point.key.to_string()), &args.place);
    let reader = store.reader(&point.key)?;
    let out = image::create(path, args.format, reader.size())?;
    let whole = 0..reader.size();
    reader.restore_range(&*out, whole, &watcher)?;
    out.keep()?;
    watcher.done();
    Ok(())
}
