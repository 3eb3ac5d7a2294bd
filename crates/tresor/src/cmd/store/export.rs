//! `tresor store export`: points as files that need no store.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use tresor_store::{PointRecord, Store};

use super::image::{self, Format};
use super::place::{Place, Session, unpin};
use super::points::{NAMES, newest_first, pick};
use super::report::{Point, Report};
use crate::durable::{self, Access};
use crate::usage::Usage;

#[derive(Args)]
#[command(after_help = format!("{NAMES}\n\n\
    Writes POINT.raw (or .qcow2) and POINT.json, its description, for each point; with --records \
    the descriptions only.\n\nExamples:\n  \
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
    seconds: f64,
}

impl Report for Exported {
    fn text(&self) -> String {
        let (count, folder) = (self.points.len(), &self.folder);
        format!("exported {count} points to {folder} in {:.2} s", self.seconds)
    }
}

/// Exports points.
pub(super) fn run(session: &Session, args: &ExportArgs) -> Result<()> {
    let store = session.open(&args.place)?;
    let points = match args.all {
        true => newest_first(&store)?,
        false => args.points.iter().map(|text| pick(&store, text)).collect::<Result<_>>()?,
    };
    std::fs::create_dir_all(&args.folder)
        .with_context(|| Usage(format!("cannot make {}", args.folder.display())))?;
    let begun = session.env.monotonic();
    let mut done = Vec::new();
    for point in &points {
        done.push(export(session, &store, args, point)?);
    }
    Exported {
        folder: args.folder.display().to_string(),
        points: done,
        seconds: session.since(begun),
    }
    .print(args.place.json)
}

fn export(
    session: &Session,
    store: &Store,
    args: &ExportArgs,
    point: &PointRecord,
) -> Result<Description> {
    let file = (!args.records).then(|| format!("{}.{}", point.key, args.format.ending()));
    if let Some(file) = &file {
        let pin = session.pin(store, &point.key, "export")?;
        let written = write(session, store, args, point, &args.folder.join(file));
        unpin(pin);
        written.with_context(|| format!("cannot export {}", point.key))?;
    }
    let description = Description {
        point: Point::of(point),
        store: store.id().to_string(),
        domain: store.domain().id().to_string(),
        format: file.is_some().then(|| args.format.ending()),
        file,
    };
    let mut text = serde_json::to_vec_pretty(&description)?;
    text.push(b'\n');
    // The description comes last: an image that has one is whole.
    let path = args.folder.join(format!("{}.json", point.key));
    durable::write(&path, &text, Access::Private)?;
    Ok(description)
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
