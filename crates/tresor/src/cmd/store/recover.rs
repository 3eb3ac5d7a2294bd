//! `tresor store recover`: the way back when only the objects and a key are left.

use std::io::{self, BufRead, IsTerminal};
use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use tresor_store::{Repair, Secret, Store};
use zeroize::Zeroizing;

use super::image::Format;
use super::key;
use super::place::{Place, Session};
use super::points;
use super::restore::{self, RestoreArgs};
use crate::terminal::note;
use crate::usage::Usage;

#[derive(Args)]
#[command(after_help = "Needs the objects and one key: a key file, the passphrase in \
    TRESOR_PASSPHRASE, or the recovery key in TRESOR_RECOVERY_KEY or typed in. The configuration \
    and the index may be lost or damaged: where they are, what is in the packs is looked through \
    and kept in memory. Nothing is written to the store.\n\n\
    Examples:\n  \
    tresor store recover --store s3://bucket/backup --recovery-key\n  \
    tresor store recover --store s3://bucket/backup --recovery-key --point latest disk.img")]
pub(super) struct RecoverArgs {
    #[command(flatten)]
    place: Place,
    /// Open with the recovery key, from TRESOR_RECOVERY_KEY or standard input, and with no other
    #[arg(long)]
    recovery_key: bool,
    /// Point to restore [default: list the points]
    #[arg(long, value_name = "POINT", requires = "out")]
    point: Option<String>,
    /// File that is made, or `-` for standard output
    #[arg(requires = "point")]
    out: Option<PathBuf>,
    /// Layout of the file [default: by its name's ending; raw]
    #[arg(long)]
    format: Option<Format>,
    /// Only these bytes of the disk
    #[arg(long, value_name = "OFFSET:LENGTH", value_parser = restore::range)]
    range: Option<Range<u64>>,
    /// Write over a file or block device that is there
    #[arg(long)]
    overwrite: bool,
}

/// Lists or restores what is left.
pub(super) fn run(session: &Session, args: &RecoverArgs) -> Result<()> {
    let secret = match args.recovery_key {
        true => recovery_key()?,
        false => key::existing(args.place.key_file.as_deref())?,
    };
    let store = open(session, &args.place, &secret)?;
    let (Some(point), Some(out)) = (&args.point, &args.out) else {
        return points::list_of(&store, args.place.json);
    };
    let wanted = RestoreArgs {
        place: args.place.clone(),
        point: point.clone(),
        out: out.clone(),
        format: args.format,
        range: args.range.clone(),
        overwrite: args.overwrite,
    };
    restore::to(session, &store, &wanted, false)
}

fn open(session: &Session, place: &Place, secret: &Secret) -> Result<Store> {
    let (objects, rt) = (place.store.open(&session.handle())?, session.handle());
    let cache = session.cache(place)?;
    let store = Store::open_remains(objects, rt, cache, secret, session.env.clone())
        .with_context(|| format!("cannot open what is left of {}", place.store))?;
    let watcher = session.watcher("looking through packs", place);
    let wanted = Repair { dry_run: true, ..Repair::default() };
    let found = store.repair(&wanted, &watcher).context("the packs cannot be looked through")?;
    watcher.done();
    if found.frames_found > 0 {
        note(format_args!("note: the index lacked {} entries", found.frames_found));
    }
    for finding in &found.verified.findings {
        note(format_args!("damaged: {}: {}", finding.object, finding.why));
    }
    Ok(store)
}

fn recovery_key() -> Result<Secret> {
    if let Ok(text) = std::env::var(key::RECOVERY) {
        return key::recovery(&Zeroizing::new(text));
    }
    if io::stdin().is_terminal() {
        note("recovery key (what you type is shown):");
    }
    let mut line = Zeroizing::new(String::new());
    let read = io::stdin().lock().read_line(&mut line);
    read.context(Usage("the recovery key cannot be read from standard input".to_owned()))?;
    key::recovery(&line)
}
