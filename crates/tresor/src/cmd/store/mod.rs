//! `tresor store`: recovery points without a server and without a database.
//!
//! Everything is in the store's folder and its key; this command is the way back to the bytes when
//! nothing else is left, and the way in for images that no service looks after.

mod image;
mod key;
mod report;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Subcommand};
use tempfile::TempDir;
use tresor_store::env::Env;
use tresor_store::{Begun, Plan, PointKey, Store, StoreConfig};

use crate::target::Target;
use crate::usage::Usage;
use image::{ImageFile, OutputFile, changed_ranges};
use report::{Backup, Init, List, Report, Restore, Watcher};

/// What `tresor store` can be told.
#[derive(Args)]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a store in an empty folder; prints its recovery key, once
    Init(Place),
    /// Keep an image as a new recovery point
    Backup(BackupArgs),
    /// Write a recovery point to a new, sparse file
    Restore(RestoreArgs),
    /// List the recovery points
    List(Place),
}

/// Which store, and how to open it.
#[derive(Args)]
struct Place {
    /// Place of the store: a folder, s3://BUCKET/PREFIX or az://CONTAINER/PREFIX
    #[arg(long, value_name = "PATH|URL", value_parser = place())]
    store: Target,
    /// File with the store's key; `init` makes it when it is not there.
    /// Without it the passphrase in TRESOR_PASSPHRASE is used
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct BackupArgs {
    #[command(flatten)]
    place: Place,
    /// Raw image or block device
    image: PathBuf,
    /// Recovery point that this one follows
    #[arg(long, value_name = "POINT")]
    parent: Option<String>,
    /// File with lines `offset length`: only these bytes differ from the parent
    #[arg(long, value_name = "FILE", requires = "parent")]
    changed: Option<PathBuf>,
}

#[derive(Args)]
struct RestoreArgs {
    #[command(flatten)]
    place: Place,
    /// Recovery point
    #[arg(long, value_name = "POINT")]
    point: String,
    /// File that is made; it must not be there
    out: PathBuf,
}

/// Runs one action.
pub(crate) fn run(args: StoreArgs) -> Result<()> {
    let session = Session::new()?;
    match args.action {
        Action::Init(place) => init(&session, &place),
        Action::Backup(args) => backup(&session, &args),
        Action::Restore(args) => restore(&session, &args),
        Action::List(place) => list(&session, &place),
    }
}

/// What a store needs of the process around it.
struct Session {
    env: Env,
    runtime: tokio::runtime::Runtime,
    /// Disposable copies of index runs, gone with the process.
    cache: TempDir,
}

impl Session {
    fn new() -> Result<Session> {
        let cache = tempfile::Builder::new().prefix("tresor-cache-").tempdir()?;
        Ok(Session { env: Env::system(), runtime: crate::serve::runtime()?, cache })
    }

    fn open(&self, place: &Place) -> Result<Store> {
        let secret = key::existing(place.key_file.as_deref())?;
        let runtime = self.runtime.handle().clone();
        let objects = place.store.open(&runtime)?;
        Store::open(objects, runtime, self.cache.path(), &secret, self.env.clone())
            .with_context(|| format!("cannot open the store {}", place.store))
    }
}

/// Reads `--store`; a path need not be Unicode.
fn place() -> impl TypedValueParser<Value = Target> {
    OsStringValueParser::new().try_map(|text| Target::parse(&text))
}

fn init(session: &Session, place: &Place) -> Result<()> {
    let secret = key::new_or_existing(place.key_file.as_deref(), &session.env)?;
    let runtime = session.runtime.handle().clone();
    let objects = place.store.make(&runtime)?;
    let (cache, config) = (session.cache.path(), StoreConfig::default());
    let (store, recovery_key) =
        Store::init(objects, runtime, cache, config, &secret, session.env.clone())
            .with_context(|| format!("cannot make a store in {}", place.store))?;
    Init { store: store.id(), recovery_key: recovery_key.to_string() }.print(place.json)
}

fn backup(session: &Session, args: &BackupArgs) -> Result<()> {
    let source = ImageFile::open(&args.image)?;
    let size = source.size();
    let changed = args.changed.as_deref().map(|file| changed_ranges(file, size)).transpose()?;
    let parent = args.parent.as_deref().map(point_key).transpose()?;
    let store = session.open(&args.place)?;
    if let (Some(parent), Some(name)) = (&parent, &args.parent)
        && store.point(parent)?.is_none()
    {
        return Err(Usage::error(format!("the store has no recovery point {name}")));
    }
    let begun = session.env.monotonic();
    let point = point_key(&session.env.uuid().simple().to_string())?;
    let plan = Plan { point, parent, size };
    let Begun::New(mut ingest) = store.begin(plan)? else {
        anyhow::bail!("the recovery point {point} is already there");
    };
    // Without the parent's record everything has to be read: the list says nothing then.
    let changed = changed.filter(|_| ingest.parent().is_some());
    let watcher = Watcher::new("backup", args.place.json);
    let ingested = ingest.run(&source, changed.as_deref(), &watcher)?;
    let name = args.image.display().to_string();
    let facts = BTreeMap::from([("image".to_owned(), name)]);
    ingest.commit(facts, session.env.domain())?;
    watcher.done();
    Backup {
        point: point.to_string(),
        parent: parent.map(|key| key.to_string()),
        size,
        bytes_read: ingested.bytes_read,
        bytes_zero: ingested.bytes_zero,
        bytes_new: ingested.bytes_new,
        bytes_stored: ingested.bytes_stored,
        bytes_deduplicated: ingested.bytes_deduplicated,
        chunks: ingested.chunks,
        seconds: (session.env.monotonic().saturating_sub(begun)).as_secs_f64(),
    }
    .print(args.place.json)
}

fn restore(session: &Session, args: &RestoreArgs) -> Result<()> {
    let store = session.open(&args.place)?;
    let point = point_key(&args.point)?;
    if store.point(&point)?.is_none() {
        return Err(Usage::error(format!("the store has no recovery point {}", args.point)));
    }
    let begun = session.env.monotonic();
    let reader = store.reader(&point)?;
    let out = OutputFile::create(&args.out, reader.size())?;
    let watcher = Watcher::new("restore", args.place.json);
    reader.restore(&out, &[], &watcher).context("the restore failed; nothing was left behind")?;
    out.keep()?;
    watcher.done();
    Restore {
        point: args.point.clone(),
        size: reader.size(),
        seconds: (session.env.monotonic().saturating_sub(begun)).as_secs_f64(),
    }
    .print(args.place.json)
}

fn list(session: &Session, place: &Place) -> Result<()> {
    let points = session.open(place)?.points()?;
    List::of(&points).print(place.json)
}

fn point_key(text: &str) -> Result<PointKey> {
    let wrong = |_| Usage::error(format!("\"{text}\" is no recovery point: 32 hex digits"));
    text.parse().map_err(wrong)
}

#[cfg(test)]
mod tests;
