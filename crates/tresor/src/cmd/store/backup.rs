//! `tresor store backup`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde::Serialize;
use tresor_store::{Begun, Plan, PointKey, PointRecord, Store};

use super::image::{self, Format, changed_ranges};
use super::place::{Place, Session};
use super::points::{ADDED, IMAGE, NAMES, latest_for_sure, latest_of, pick};
use super::report::Report;
use crate::terminal::size;
use crate::usage::Usage;

#[derive(Args)]
#[command(after_help = format!("{NAMES}\n\nExamples:\n  \
    tresor store backup --store /backup/a --key-file a.key vm.img\n  \
    tresor store backup ... vm.img --name vm --changed dirty.txt\n\n\
    A list of changes has lines `offset length`, or is the JSON of `rbd diff`, of \
    `nbdinfo --map=qemu:dirty-bitmap:NAME` (a map of what is allocated says nothing about changes \
    and is refused) or of `qemu-img map` (of an overlay whose backing file is what the parent \
    holds; all counts as changed that does not come from a deeper file). It is believed: bytes \
    outside it are taken from the parent."))]
pub(super) struct BackupArgs {
    #[command(flatten)]
    pub(super) place: Place,
    /// Image or block device
    pub(super) image: PathBuf,
    /// Layout of the image [default: by its name's ending; raw]
    #[arg(long)]
    pub(super) format: Option<Format>,
    /// Let a qcow2 image read through the backing files that it names
    #[arg(long)]
    pub(super) allow_backing: bool,
    /// Name of the image in lists [default: its absolute path]
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub(super) name: Option<String>,
    /// Recovery point that this one follows, or `none` [default: the newest of the same name]
    #[arg(long, value_name = "POINT")]
    pub(super) parent: Option<String>,
    /// File with a list of changes: only these bytes differ from the parent
    #[arg(long, value_name = "FILE")]
    pub(super) changed: Option<PathBuf>,
    /// Something to remember with the point; may be given several times
    #[arg(long = "fact", value_name = "KEY=VALUE", value_parser = fact)]
    pub(super) facts: Vec<(String, String)>,
}

/// Reads `KEY=VALUE`.
fn fact(text: &str) -> Result<(String, String), Usage> {
    match text.split_once('=') {
        Some((IMAGE | ADDED, _)) => Err(Usage("this fact is set by the backup itself".to_owned())),
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Usage("a fact is KEY=VALUE".to_owned())),
    }
}

/// A new recovery point.
#[derive(Serialize)]
struct Backup {
    point: String,
    parent: Option<String>,
    image: String,
    size: u64,
    bytes_read: u64,
    bytes_zero: u64,
    bytes_new: u64,
    bytes_stored: u64,
    bytes_deduplicated: u64,
    chunks: u64,
    seconds: f64,
}

impl Report for Backup {
    fn text(&self) -> String {
        format!(
            "point {}\nread {} of {}, new {}, stored {}, known already {}, in {:.2} s",
            self.point,
            size(self.bytes_read),
            size(self.size),
            size(self.bytes_new),
            size(self.bytes_stored),
            size(self.bytes_deduplicated),
            self.seconds
        )
    }
}

/// Keeps an image as a new recovery point.
pub(super) fn run(session: &Session, args: &BackupArgs) -> Result<()> {
    let mut facts = facts(args)?;
    let source = image::open(&args.image, args.format, args.allow_backing)?;
    let disk = source.len();
    let changed = args.changed.as_deref().map(|file| changed_ranges(file, disk)).transpose()?;
    let name = name(args)?;
    let store = session.open(&args.place)?;
    let parent = parent(&store, args, &name)?.map(|record| record.key);
    if changed.is_some() && parent.is_none() {
        let text = "--changed needs a parent that the changes are relative to";
        return Err(Usage::error(match args.parent {
            Some(_) => text.to_owned(),
            None => format!("{text}, and the store has no recovery point of {name}"),
        }));
    }
    let begun = session.env.monotonic();
    let point = PointKey::from(session.env.uuid());
    let Begun::New(mut ingest) = store.begin(Plan { point, parent, size: disk })? else {
        anyhow::bail!("the recovery point {point} is already there");
    };
    // Without the parent's record everything has to be read: the list says nothing then.
    let changed = changed.filter(|_| ingest.parent().is_some());
    let watcher = session.watcher("backup", &args.place);
    let ingested = match ingest.run(&*source, changed.as_deref(), &watcher) {
        Ok(ingested) => ingested,
        Err(e) => {
            ingest.abandon()?;
            return Err(e).context("the backup failed; no recovery point was made");
        }
    };
    facts.insert(IMAGE.to_owned(), name.clone());
    facts.insert(ADDED.to_owned(), ingested.bytes_stored.to_string());
    ingest.commit(facts, session.env.domain())?;
    watcher.done();
    Backup {
        point: point.to_string(),
        parent: parent.map(|key| key.to_string()),
        image: name,
        size: disk,
        bytes_read: ingested.bytes_read,
        bytes_zero: ingested.bytes_zero,
        bytes_new: ingested.bytes_new,
        bytes_stored: ingested.bytes_stored,
        bytes_deduplicated: ingested.bytes_deduplicated,
        chunks: ingested.chunks,
        seconds: session.since(begun),
    }
    .print(args.place.json)
}

fn name(args: &BackupArgs) -> Result<String> {
    if let Some(name) = &args.name {
        return Ok(name.clone());
    }
    let full = full(&args.image).context("the image's path cannot be made absolute")?;
    Ok(full.display().to_string())
}

/// The path from the root, the same one wherever it is called from. Links in it keep their names,
/// because what they lead to may be called otherwise tomorrow, unless `..` goes back over them.
fn full(path: &Path) -> io::Result<PathBuf> {
    let mut full = PathBuf::new();
    for part in std::path::absolute(path)?.components() {
        match part {
            Component::ParentDir => {
                if full.is_symlink() {
                    full = fs::canonicalize(&full)?;
                }
                full.pop();
            }
            part => full.push(part),
        }
    }
    Ok(full)
}

fn parent(store: &Store, args: &BackupArgs, name: &str) -> Result<Option<PointRecord>> {
    match args.parent.as_deref() {
        Some("none") => Ok(None),
        // Of this image: the newest of all may be of another disk.
        Some("latest") => match latest_for_sure(store, Some(name))? {
            Some(point) => Ok(Some(point)),
            None => Err(Usage::error(format!("the store has no recovery point of {name}"))),
        },
        Some(text) => pick(store, text).map(Some),
        // A list is believed: it must be relative to this very point.
        None if args.changed.is_some() => latest_for_sure(store, Some(name)),
        None => latest_of(store, name),
    }
}

fn facts(args: &BackupArgs) -> Result<BTreeMap<String, String>> {
    let mut facts = BTreeMap::new();
    for (key, value) in &args.facts {
        if facts.insert(key.clone(), value.clone()).is_some() {
            return Err(Usage::error(format!("--fact {key} is given twice")));
        }
    }
    Ok(facts)
}
