//! Which store, how to open it, and what the process around it must give.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use anyhow::{Context, Result};
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use tempfile::TempDir;
use tokio::runtime::{Handle, Runtime};
use tokio::signal::unix::{self, SignalKind};
use tresor_store::env::Env;
use tresor_store::{ErrorKind, Pin, PointKey, Secret, Store};

use super::progress::{Shown, Watcher};
use super::{holder, key};
use crate::target::Target;
use crate::terminal::note;
use crate::usage::Interrupted;

/// The numbers of the signals that end a command.
const INTERRUPT: u8 = 2;
const TERMINATE: u8 = 15;

/// Reads `--store`; a path need not be Unicode.
pub(super) fn target() -> impl TypedValueParser<Value = Target> {
    OsStringValueParser::new().try_map(|text| Target::parse(&text))
}

/// Which store, and how to open it.
#[derive(Args, Clone)]
pub(super) struct Place {
    /// Where the store is: a folder, s3://BUCKET/PREFIX or az://CONTAINER/PREFIX
    #[arg(
        long,
        value_name = "PATH|URL",
        env = "TRESOR_STORE",
        alias = "from",
        value_parser = target()
    )]
    pub(super) store: Target,
    /// File with the store's key; `init` makes it when it is not there.
    /// Without it the passphrase in TRESOR_PASSPHRASE is used
    #[arg(long, value_name = "FILE", env = "TRESOR_KEY_FILE")]
    pub(super) key_file: Option<PathBuf>,
    /// Folder for copies of the store's index, to be used again by later commands; it may be
    /// deleted at any time [default: a new one, gone at the end]
    #[arg(long, value_name = "DIR", env = "TRESOR_CACHE")]
    pub(super) cache: Option<PathBuf>,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(super) json: bool,
    /// How to show on standard error what long work has done
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub(super) progress: Shown,
}

/// What a store needs of the process around it.
pub(super) struct Session {
    pub(super) env: Env,
    runtime: Runtime,
    /// Disposable copies of index runs, gone with the process.
    cache: TempDir,
    stop: Arc<AtomicBool>,
    /// The signal that came first, 0 until then.
    signal: Arc<AtomicU8>,
}

impl Session {
    /// Begins to listen to SIGINT and SIGTERM: the first ends the work cleanly, the second at
    /// once.
    pub(super) fn new() -> Result<Session> {
        let cache = tempfile::Builder::new().prefix("tresor-cache-").tempdir()?;
        let runtime = crate::serve::runtime()?;
        let stop = Arc::new(AtomicBool::new(false));
        let (flag, signal) = (Arc::clone(&stop), Arc::new(AtomicU8::new(0)));
        let came = Arc::clone(&signal);
        let (mut interrupt, mut terminate) = {
            let _inside = runtime.enter();
            (unix::signal(SignalKind::interrupt())?, unix::signal(SignalKind::terminate())?)
        };
        runtime.spawn(async move {
            loop {
                let number = tokio::select! {
                    _ = interrupt.recv() => INTERRUPT,
                    _ = terminate.recv() => TERMINATE,
                };
                if came.swap(number, Ordering::AcqRel) != 0 {
                    std::process::exit(i32::from(Interrupted(number).exit_code()));
                }
                flag.store(true, Ordering::Release);
                note("stopping; a second signal ends it at once");
            }
        });
        Ok(Session { env: Env::system(), runtime, cache, stop, signal })
    }

    /// The end of a command: what failed because a signal came says so.
    pub(super) fn conclude(&self, done: Result<()>) -> Result<()> {
        match self.signal.load(Ordering::Acquire) {
            0 => done,
            number => done.map_err(|e| e.context(Interrupted(number))),
        }
    }

    pub(super) fn handle(&self) -> Handle {
        self.runtime.handle().clone()
    }

    /// The folder for copies of the index.
    pub(super) fn cache<'a>(&'a self, place: &'a Place) -> Result<&'a Path> {
        match &place.cache {
            None => Ok(self.cache.path()),
            Some(folder) => {
                crate::durable::folder(folder)?;
                Ok(folder)
            }
        }
    }

    /// Opens a store with the key that `place` names.
    pub(super) fn open(&self, place: &Place) -> Result<Store> {
        self.open_with(place, &key::existing(place.key_file.as_deref())?)
    }

    /// Opens a store.
    pub(super) fn open_with(&self, place: &Place, secret: &Secret) -> Result<Store> {
        let objects = place.store.open(&self.handle())?;
        Store::open(objects, self.handle(), self.cache(place)?, secret, self.env.clone())
            .with_context(|| format!("cannot open the store {}", place.store))
    }

    /// Somebody who shows what long work has done, and ends it when a signal came.
    pub(super) fn watcher(&self, title: &str, place: &Place) -> Watcher {
        let shown = place.progress.for_output(place.json);
        Watcher::new(title, shown, Arc::clone(&self.stop), self.env.clone())
    }

    /// Seconds since `begun`, a time of the monotonic clock.
    pub(super) fn since(&self, begun: std::time::Duration) -> f64 {
        self.env.monotonic().saturating_sub(begun).as_secs_f64()
    }

    /// Protects a point while it is read. A store that cannot be written, or is full, can still
    /// be read: then whoever collects garbage does not know of the reader.
    pub(super) fn pin(&self, store: &Store, point: &PointKey, what: &str) -> Result<Option<Pin>> {
        match store.pin(point, &holder::own(what)) {
            Ok(pin) => Ok(Some(pin)),
            Err(e) if e.kind() == ErrorKind::NotFound => Err(e.into()),
            Err(e) => {
                let e = anyhow::Error::new(e);
                note(format_args!("note: reading without a pin, it cannot be set: {e:#}"));
                Ok(None)
            }
        }
    }
}

/// Gives up the protection.
pub(super) fn unpin(pin: Option<Pin>) {
    if let Some(Err(e)) = pin.map(Pin::release) {
        note(format_args!("note: a pin stays behind: {:#}", anyhow::Error::new(e)));
    }
}
