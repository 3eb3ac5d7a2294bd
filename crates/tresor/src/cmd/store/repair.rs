//! `tresor store repair`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use tresor_store::{Depth, Healed, Repair, Repaired};

use super::key;
use super::place::{Place, Session, target};
use super::report::Report;
use super::verify::{Found, conclude};
use crate::target::Target;
use crate::terminal::size;

#[derive(Args)]
#[command(after_help = "Makes the index anew from packs where it is damaged or lost, restores \
    copies of the key slots, drops marks and records that cannot be read, puts what cannot be \
    read into quarantine and lists what is lost. Nothing that is whole is changed, and no \
    recovery point is removed.\n\n\
    Exit codes: 0 nothing is lost, 1 failed, 2 called wrongly, 3 something is lost.\n\n\
    Examples:\n  \
    tresor store repair --store /backup/a --key-file a.key --dry-run\n  \
    tresor store repair --store /backup/a --key-file a.key \\\n    \
    --heal-from /far/b --heal-from-key-file b.key")]
pub(super) struct RepairArgs {
    #[command(flatten)]
    place: Place,
    /// Only tell what would be done
    #[arg(long)]
    dry_run: bool,
    /// Look through every pack, also those of which the index names every frame
    #[arg(long)]
    all_packs: bool,
    /// Read all packs in the verification at the end; done also where damage was met before
    #[arg(long)]
    deep: bool,
    /// Also drop announcements of backups, and pins, that cannot be read: nothing is collected
    /// while they are there. Only while no backup, restore or copy runs
    #[arg(long)]
    release_damaged: bool,
    /// A store of the same domain, from which what is lost here is fetched
    #[arg(long = "heal-from", value_name = "PATH|URL", value_parser = target())]
    #[arg(conflicts_with = "dry_run")]
    heal_from: Option<Target>,
    /// File with the key of that store [default: the key of this one]
    #[arg(long, value_name = "FILE", requires = "heal_from")]
    heal_from_key_file: Option<PathBuf>,
}

#[derive(Serialize)]
struct Done {
    dry_run: bool,
    slots_restored: bool,
    records_dropped: Vec<String>,
    packs_scanned: u64,
    bytes_scanned: u64,
    frames_found: u64,
    runs_written: u64,
    runs_dropped: Vec<String>,
    damaged_packs: Vec<Bad>,
    more_damaged_packs: u64,
    unreadable: u64,
    contents_fetched: u64,
    contents_lost: u64,
    verified: Found,
}

#[derive(Serialize)]
struct Bad {
    object: String,
    why: String,
}

impl Done {
    fn of(done: &Repaired, healed: Healed, dry_run: bool, seconds: f64) -> Done {
        let bad =
            |bad: &tresor_store::Damaged| Bad { object: bad.object.clone(), why: bad.why.clone() };
        Done {
            dry_run,
            slots_restored: done.slots_restored,
            records_dropped: done.records_dropped.clone(),
            packs_scanned: done.packs_scanned,
            bytes_scanned: done.bytes_scanned,
            frames_found: done.frames_found,
            runs_written: done.runs_written,
            runs_dropped: done.runs_dropped.clone(),
            damaged_packs: done.damaged_packs.iter().map(bad).collect(),
            more_damaged_packs: done.more_damaged_packs,
            unreadable: done.unreadable,
            contents_fetched: healed.contents,
            contents_lost: healed.lost,
            verified: Found::of(&done.verified, seconds),
        }
    }
}

impl Report for Done {
    fn text(&self) -> String {
        let would = if self.dry_run { "would have " } else { "" };
        let mut lines: Vec<String> =
            self.damaged_packs.iter().map(|bad| format!("{}: {}", bad.object, bad.why)).collect();
        for object in &self.records_dropped {
            lines.push(format!("{would}dropped {object}, which cannot be read"));
        }
        lines.push(format!(
            "{would}looked through {} packs ({}), named {} frames again, dropped {} damaged runs, \
             fetched {} contents{}",
            self.packs_scanned,
            size(self.bytes_scanned),
            self.frames_found,
            self.runs_dropped.len(),
            self.contents_fetched,
            if self.slots_restored { ", restored the key slots" } else { "" }
        ));
        lines.push(self.verified.text());
        lines.join("\n")
    }
}

/// Repairs the store.
pub(super) fn run(session: &Session, args: &RepairArgs) -> Result<()> {
    let store = session.open(&args.place)?;
    let begun = session.env.monotonic();
    let depth = if args.deep { Depth::Deep } else { Depth::Shallow };
    let wanted = Repair {
        dry_run: args.dry_run,
        all_packs: args.all_packs,
        depth,
        release_damaged: args.release_damaged,
    };
    let watcher = session.watcher("repair", &args.place);
    let mut done = store.repair(&wanted, &watcher).context("the repair failed")?;
    watcher.done();
    let mut healed = Healed::default();
    if let Some(other) = &args.heal_from {
        let there = Place { store: other.clone(), ..args.place.clone() };
        let key_file = args.heal_from_key_file.as_ref().or(args.place.key_file.as_ref());
        let secret = key::of_target(key_file.map(PathBuf::as_path))?;
        let other = session.open_with(&there, &secret)?;
        let watcher = session.watcher("heal", &args.place);
        healed = store.heal_from(&other, &watcher).context("nothing more can be fetched")?;
        watcher.done();
        // What was fetched is whole again: what is left to say is found anew.
        let watcher = session.watcher("verify", &args.place);
        let depth = if done.damaged_packs.is_empty() { depth } else { Depth::Deep };
        let wanted = tresor_store::Verify { depth, ..tresor_store::Verify::default() };
        done.verified = store.verify(&wanted, &watcher)?;
        watcher.done();
    }
    let done = Done::of(&done, healed, args.dry_run, session.since(begun));
    done.print(args.place.json)?;
    conclude(&done.verified)
}
