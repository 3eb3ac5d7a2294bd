//! `tresor store gc`.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use jiff::SignedDuration;
use serde::Serialize;
use tresor_store::{Collect, Collected, ErrorKind, FindingKind, PointKey, Store, Verify, Watch};

use super::holder;
use super::place::{Place, Session};
use super::report::{Report, age, bytes};
use super::verify::Hit;
use crate::terminal::{note, plain, size};
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
    /// Only tell what would be freed, which backups would be waited for and which given up
    #[arg(long)]
    dry_run: bool,
    /// Unused bytes in packs that are left alone, in percent of all bytes
    #[arg(long, value_name = "PERCENT", value_parser = percent, default_value = "5")]
    max_unused: f64,
    /// Packs below this size are gathered into larger ones; K, M and G are understood
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value = "4M")]
    small_pack: u64,
    /// Most bytes that are copied out of packs that are half unused; K, M and G are understood
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value = "4G")]
    rewrite: u64,
    /// Age at which a backup that has not ended is given up for lost: its point can then never be
    /// made. Longer than the longest backup
    #[arg(long, value_name = "TIME", value_parser = age, default_value = "24h")]
    void_after: Duration,
}

impl GcArgs {
    fn how(&self) -> Collect {
        Collect {
            dry_run: self.dry_run,
            max_unused_percent: self.max_unused,
            small_pack_bytes: self.small_pack,
            rewrite_bytes: self.rewrite,
            void_after: self.void_after,
            ..Collect::default()
        }
    }
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
    later_packs: u64,
    later_bytes: u64,
    released_packs: u64,
    waiting_for: Vec<Writer>,
    /// As --void-after takes it.
    void_after: String,
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
    fn of(done: Collected, how: &Collect, seconds: f64) -> Freed {
        let writer = |waiting: &tresor_store::Waiting| Writer {
            writer: waiting.writer.to_string(),
            point: waiting.point.to_string(),
            since: waiting.since.to_string(),
        };
        Freed {
            dry_run: how.dry_run,
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
            later_packs: done.later_packs,
            later_bytes: done.later_bytes,
            released_packs: done.released_packs,
            waiting_for: done.waiting_for.iter().map(writer).collect(),
            void_after: told(how.void_after),
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
        let gave = if self.dry_run { "would give" } else { "gave" };
        for point in &self.voided {
            lines.push(format!("{gave} up the backup of {point}: its point can never be made"));
        }
        lines.extend(self.wait());
        if self.lost_ids > 0 {
            lines.push(format!("{} contents that points need are lost", self.lost_ids));
            lines.extend(self.affected.iter().map(|hit| format!("  {}", hit.line())));
        }
        if self.short_of_room {
            lines.push("the disk is full: remove points or make room, then run gc again".into());
        }
        let deleted = if self.dry_run { "would delete" } else { "deleted" };
        let later = match self.later_packs {
            0 => String::new(),
            packs => format!(" at once and {packs} packs, {}, later", size(self.later_bytes)),
        };
        let (packs, freed) = (self.deleted_packs, size(self.freed_bytes));
        lines.push(format!("{deleted} {packs} packs, {freed},{later} in {:.2} s", self.seconds));
        lines.join("\n")
    }
}

impl Freed {
    /// For whom it waits, and what ends that.
    fn wait(&self) -> Option<String> {
        let oldest = self.waiting_for.iter().map(|writer| &writer.since).min()?;
        let (whom, it) = match self.waiting_for.len() {
            1 => (format!("1 writer (announced {oldest})"), "it ends or is"),
            count => {
                (format!("{count} writers (the oldest announced {oldest})"), "they end or are")
            }
        };
        let nothing = match self.deleted_packs == 0 {
            true => "nothing",
            false => "no more",
        };
        let age = &self.void_after;
        Some(format!(
            "waits for {whom}; {nothing} is deleted before {it} given up after {age} (--void-after)"
        ))
    }
}

/// A time as the command line takes it.
fn told(time: Duration) -> String {
    SignedDuration::try_from(time).map_or_else(|_| format!("{time:?}"), |time| format!("{time:#}"))
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

fn collect(store: &Store, how: &Collect, watch: &dyn Watch) -> Result<Collected> {
    if how.dry_run {
        let gone = store.pins()?.iter().filter(|pin| holder::is_gone(pin)).count();
        if gone > 0 {
            note(format_args!(
                "note: {gone} pins of commands that were killed would go first; what only they \
                 keep is not counted"
            ));
        }
    } else {
        match store.release_pins(holder::is_gone)? {
            0 => {}
            count => note(format_args!("note: {count} pins of commands that were killed are gone")),
        }
    }
    store.collect(how, watch).map_err(|e| {
        let next = match e.kind() {
            ErrorKind::Corrupt => "what is damaged may hide what is needed",
            _ => "run it again",
        };
        anyhow::Error::new(e).context(format!("the collection did not end; {next}"))
    })
}

/// Where damaged records keep a collection from its work: which they are, and what ends that.
fn advise(store: &Store, error: &anyhow::Error) {
    let of_store = error.chain().find_map(|link| link.downcast_ref());
    if of_store.map(tresor_store::Error::kind) != Some(ErrorKind::Corrupt) {
        return;
    }
    // The records only: neither packs nor maps.
    let look = Verify { points: Some(Vec::new()), read_only: true, ..Verify::shallow() };
    let found = store.verify(&look, &()).unwrap_or_default();
    let records = found.findings.iter().filter(|f| f.kind == FindingKind::DamagedRecord);
    for object in records.map(|finding| plain(&finding.object)) {
        if let Some(text) = way_out(&object) {
            note(format_args!("note: {object}: {text}"));
        }
    }
}

/// What to do about a damaged record that hides what is needed.
fn way_out(object: &str) -> Option<String> {
    let (folder, leaf) = object.split_once('/')?;
    if !matches!(folder, "points" | "pins" | "writers") {
        return None;
    }
    let is_name = leaf.parse::<PointKey>().is_ok();
    Some(match folder {
        _ if !is_name => "this is no part of a store: move it elsewhere".to_owned(),
        "points" => format!("`tresor store remove {leaf}` gives this point up"),
        _ => "`tresor store repair --release-damaged` drops it; only while no backup, restore or \
              copy runs, for it may be theirs"
            .to_owned(),
    })
}

/// Frees what no recovery point reaches.
pub(super) fn run(session: &Session, args: &GcArgs) -> Result<()> {
    let store = open(session, args)?;
    let how = args.how();
    let begun = session.env.monotonic();
    let watcher = session.watcher("gc", &args.place);
    let done = collect(&store, &how, &watcher).inspect_err(|e| advise(&store, e))?;
    watcher.done();
    let freed = Freed::of(done, &how, session.since(begun));
    freed.print(args.place.json)?;
    if freed.lost_ids > 0 {
        let text = "nothing more was deleted: points need what is lost; see `verify`, `repair`";
        return Err(anyhow::Error::new(Damage(text.to_owned())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: GcArgs,
    }

    #[test]
    fn the_defaults_of_the_command_are_those_of_the_store() {
        let cli = Cli::try_parse_from(["gc", "--store", "/a"]).ok().unwrap();
        assert_eq!(cli.args.how(), Collect::default());
        assert_eq!(told(cli.args.void_after), "24h");
        assert_eq!(age(&told(Duration::from_secs(5400))).ok(), Some(Duration::from_secs(5400)));
    }
}
