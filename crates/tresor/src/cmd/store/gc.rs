//! `tresor store gc`.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use tresor_store::{Collect, Collected, ErrorKind, Store};

use super::holder;
use super::place::{Place, Session};
use super::report::{Report, age, bytes};
use super::verify::Hit;
use crate::terminal::{note, size};
use crate::usage::{Damage, Usage};

#[derive(Args)]
#[command(after_help = "May run beside backups, restores and copies, also beside itself. Packs \
    that a running backup could rely on are freed by a later run. Pins of commands of this machine \
    that were killed are released.\n\n\
    Exit codes: 0 done, 1 failed, 2 called wrongly, 3 something that points need is lost: nothing \
    was deleted.\n\n\
    Examples:\n  \
    tresor store gc --store /backup/a --key-file a.key --dry-run\n  \
    tresor store gc --store /backup/a --key-file a.key --max-unused 10")]
pub(super) struct GcArgs {
    #[command(flatten)]
    place: Place,
    /// Only tell what would be freed
    #[arg(long)]
    dry_run: bool,
    /// Unused bytes in packs that are left alone, in percent of all bytes
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    max_unused: Option<f64>,
    /// Packs below this size are gathered into larger ones; K, M and G are understood
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    small_pack: Option<u64>,
    /// Most bytes that are copied out of packs that are half unused; K, M and G are understood
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    rewrite: Option<u64>,
    /// Age at which a backup that has not ended is given up for lost, such as 24h: its point can
    /// then never be made. Longer than the longest backup
    #[arg(long, value_name = "TIME", value_parser = age)]
    void_after: Option<Duration>,
}

/// Reads a percentage.
fn percent(text: &str) -> Result<f64, Usage> {
    let percent = text.parse().ok().filter(|percent| (0.0..=100.0).contains(percent));
    percent.ok_or_else(|| Usage("a percentage is at least 0 and at most 100".to_owned()))
}

#[derive(Serialize)]
struct Writer {
    writer: String,
    point: String,
    since: String,
}

#[derive(Serialize)]
struct Freed {
    dry_run: bool,
    points: u64,
    roots: u64,
    packs: u64,
    bytes: u64,
    live_bytes: u64,
    dead_packs: u64,
    dead_bytes: u64,
    rewritten_packs: u64,
    rewritten_bytes: u64,
    copied_bytes: u64,
    deleted_packs: u64,
    freed_bytes: u64,
    released_packs: u64,
    waiting_for: Vec<Writer>,
    voided: Vec<String>,
    lost_ids: u64,
    lost: Vec<String>,
    lost_points: Vec<String>,
    affected: Vec<Hit>,
    affected_count: u64,
    short_of_room: bool,
    held_bytes: u64,
    entries_before: u64,
    entries_after: u64,
    seconds: f64,
}

impl Freed {
    fn of(done: Collected, dry_run: bool, seconds: f64) -> Freed {
        let writer = |waiting: &tresor_store::Waiting| Writer {
            writer: waiting.writer.to_string(),
            point: waiting.point.to_string(),
            since: waiting.since.to_string(),
        };
        Freed {
            dry_run,
            points: done.points,
            roots: done.roots,
            packs: done.packs,
            bytes: done.bytes,
            live_bytes: done.live_bytes,
            dead_packs: done.dead_packs,
            dead_bytes: done.dead_bytes,
            rewritten_packs: done.rewritten_packs,
            rewritten_bytes: done.rewritten_bytes,
            copied_bytes: done.copied_bytes,
            deleted_packs: done.deleted_packs,
            freed_bytes: done.freed_bytes,
            released_packs: done.released_packs,
            waiting_for: done.waiting_for.iter().map(writer).collect(),
            voided: done.voided.iter().map(ToString::to_string).collect(),
            lost_ids: done.lost_ids,
            lost: done.lost,
            affected: done.affected.iter().map(Hit::of).collect(),
            affected_count: done.affected_count,
            lost_points: done.lost_points.iter().map(ToString::to_string).collect(),
            short_of_room: done.short_of_room,
            held_bytes: done.held_bytes,
            entries_before: done.entries_before,
            entries_after: done.entries_after,
            seconds,
        }
    }
}

impl Report for Freed {
    fn text(&self) -> String {
        let mut lines = vec![format!(
            "{} points need {} of {} in {} packs",
            self.points,
            size(self.live_bytes),
            size(self.bytes),
            self.packs
        )];
        lines.push(format!(
            "{} packs ({}) hold nothing that is needed; {} packs ({}) {} rewritten, {} copied",
            self.dead_packs,
            size(self.dead_bytes),
            self.rewritten_packs,
            size(self.rewritten_bytes),
            if self.dry_run { "would be" } else { "were" },
            size(self.copied_bytes)
        ));
        for writer in &self.waiting_for {
            let (point, since) = (&writer.point, &writer.since);
            lines.push(format!("waiting for the backup of {point}, begun {since}: run gc later"));
        }
        for point in &self.voided {
            lines.push(format!("gave up the backup of {point}: its point can never be made"));
        }
        if self.lost_ids > 0 {
            lines.push(format!("{} contents that points need are lost", self.lost_ids));
            lines.extend(self.affected.iter().map(|hit| format!("  {}", hit.line())));
        }
        if self.short_of_room {
            lines.push("the disk is full: remove points or make room, then run gc again".into());
        }
        lines.push(format!(
            "{} {} packs, {}, in {:.2} s",
            if self.dry_run { "would delete" } else { "deleted" },
            self.deleted_packs,
            size(self.freed_bytes),
            self.seconds
        ));
        lines.join("\n")
    }
}

/// Opens the store; where there is no room even for that, because the copies of the index are on
/// the same disk, the reserve is freed first.
fn open(session: &Session, args: &GcArgs) -> Result<Store> {
    match session.open(&args.place) {
        Err(e) if is_full(&e) && !args.dry_run => {
            let objects = args.place.store.open(&session.handle())?;
            if !Store::spend_reserve(objects, session.handle(), session.env.clone())? {
                return Err(e);
            }
            session.open(&args.place)
        }
        other => other,
    }
}

fn is_full(error: &anyhow::Error) -> bool {
    let store = error.chain().find_map(|link| link.downcast_ref::<tresor_store::Error>());
    store.is_some_and(|e| e.kind() == ErrorKind::Full)
}

/// Frees what no recovery point reaches.
pub(super) fn run(session: &Session, args: &GcArgs) -> Result<()> {
    let store = open(session, args)?;
    let usual = Collect::default();
    let how = Collect {
        dry_run: args.dry_run,
        max_unused_percent: args.max_unused.unwrap_or(usual.max_unused_percent),
        small_pack_bytes: args.small_pack.unwrap_or(usual.small_pack_bytes),
        rewrite_bytes: args.rewrite.unwrap_or(usual.rewrite_bytes),
        void_after: args.void_after.unwrap_or(usual.void_after),
        ..usual
    };
    if !args.dry_run {
        match store.release_pins(holder::is_gone)? {
            0 => {}
            count => note(format_args!("note: {count} pins of commands that were killed are gone")),
        }
    }
    let begun = session.env.monotonic();
    let watcher = session.watcher("gc", &args.place);
    let done = store.collect(&how, &watcher).context("the collection did not end; run it again")?;
    watcher.done();
    let freed = Freed::of(done, args.dry_run, session.since(begun));
    freed.print(args.place.json)?;
    if freed.lost_ids > 0 {
        let text = "nothing was deleted, because points need what is lost; see `verify`, `repair`";
        return Err(anyhow::Error::new(Damage(text.to_owned())));
    }
    Ok(())
}
