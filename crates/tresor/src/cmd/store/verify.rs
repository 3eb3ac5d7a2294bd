//! `tresor store verify`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use serde::{Deserialize, Serialize};
use tresor_store::{
    Affected, Depth, Finding, FindingKind, PointKey, Sample, Slice, Store, Verified, Verify,
    VerifyMark,
};
use uuid::Uuid;

use super::place::{Place, Session};
use super::points::{NAMES, pick};
use super::report::{Report, bytes};
use crate::durable::{self, Access};
use crate::terminal::{note, size};
use crate::usage::{Damage, Usage};

#[derive(Args)]
#[command(after_help = format!("{NAMES}\n\n\
    What is damaged is put into quarantine: the next backup that meets the same bytes stores them \
    again, and `repair --heal-from` fetches them from a copy. A verification that goes on from a \
    mark counts what was found before it was stopped.\n\n\
    Exit codes: 0 nothing is wrong, 1 failed, 2 called wrongly, 3 damaged data found.\n\n\
    Examples:\n  \
    tresor store verify --store /backup/a --key-file a.key\n  \
    tresor store verify ... --deep --slice 3/30       a thirtieth each day\n  \
    tresor store verify ... --deep --rate 50M --resume verify.mark"))]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    place: Place,
    /// Also read, decrypt, decode and hash what is in packs
    #[arg(long)]
    deep: bool,
    /// One part of the packs: the parts 1 to M are all of them
    #[arg(long, value_name = "N/M", value_parser = slice)]
    slice: Option<Slice>,
    /// A part of the packs, drawn by lot
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    percent: Option<f64>,
    /// Which packs are drawn [default: others each time]
    #[arg(long, requires = "percent")]
    seed: Option<u64>,
    /// Only this point; may be given several times
    #[arg(long = "point", value_name = "POINT")]
    points: Vec<String>,
    /// Bytes of packs read in a second, at most; K, M and G are understood
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    rate: Option<u64>,
    /// File that keeps how far an interrupted verification of this store came, to go on from
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Only tell: put nothing into quarantine
    #[arg(long)]
    read_only: bool,
}

/// Reads `N/M`.
fn slice(text: &str) -> Result<Slice, Usage> {
    let parse = || {
        let (number, of) = text.split_once('/')?;
        let slice = Slice { number: number.parse().ok()?, of: of.parse().ok()? };
        (1..=slice.of).contains(&slice.number).then_some(slice)
    };
    parse().ok_or_else(|| Usage("a slice is N/M, with N from 1 to M".to_owned()))
}

/// Reads a percentage.
fn percent(text: &str) -> Result<f64, Usage> {
    let percent = text.parse().ok().filter(|percent| *percent > 0.0 && *percent <= 100.0);
    percent.ok_or_else(|| Usage("a percentage is above 0 and at most 100".to_owned()))
}

/// What a verification found.
#[derive(Serialize)]
pub(super) struct Found {
    pub(super) complete: bool,
    pub(super) points: u64,
    pub(super) packs: u64,
    pub(super) frames: u64,
    pub(super) bytes_read: u64,
    pub(super) quarantined: u64,
    pub(super) healed: u64,
    pub(super) released: u64,
    pub(super) unkept: u64,
    pub(super) findings: Vec<OneFinding>,
    pub(super) more_findings: u64,
    /// Findings of the runs that this one goes on from, about packs that it did not look at.
    pub(super) findings_before: u64,
    pub(super) seconds: f64,
}

#[derive(Serialize)]
pub(super) struct OneFinding {
    kind: String,
    object: String,
    why: String,
    id_count: u64,
    ids: Vec<String>,
    affected_count: u64,
    affected: Vec<Hit>,
}

/// A point that cannot be read as a whole.
#[derive(Serialize)]
pub(super) struct Hit {
    point: PointKey,
    /// Whether nothing of it can be read, because its record is damaged.
    whole: bool,
    /// The first of the ranges: offset and length.
    ranges: Vec<[u64; 2]>,
    range_count: u64,
    bytes: u64,
}

impl Hit {
    pub(super) fn of(affected: &Affected) -> Hit {
        let range = |range: &std::ops::Range<u64>| [range.start, range.end - range.start];
        let whole = affected.is_whole_point();
        let ranges = affected.ranges.iter().filter(|_| !whole);
        Hit {
            point: affected.point,
            whole,
            ranges: ranges.map(range).collect(),
            range_count: if whole { 0 } else { affected.count },
            bytes: affected.bytes,
        }
    }

    pub(super) fn line(&self) -> String {
        let range = |[offset, length]: &[u64; 2]| format!("{offset}:{length}");
        let ranges: Vec<String> = self.ranges.iter().map(range).collect();
        let more = if self.range_count > ranges.len() as u64 { " and more" } else { "" };
        let (point, lost) = (&self.point, size(self.bytes));
        if self.whole {
            return format!("point {point} cannot be read at all: its record is damaged");
        }
        format!("point {point} lacks {lost}, at {}{more}", ranges.join(" "))
    }
}

impl OneFinding {
    fn of(finding: &Finding) -> OneFinding {
        OneFinding {
            kind: format!("{:?}", finding.kind),
            object: finding.object.clone(),
            why: finding.why.clone(),
            id_count: finding.id_count,
            ids: finding.ids.clone(),
            affected_count: finding.affected_count,
            affected: finding.affected.iter().map(Hit::of).collect(),
        }
    }

    fn lines(&self, out: &mut Vec<String>) {
        out.push(format!("{}: {}: {}", self.kind, self.object, self.why));
        out.extend(self.affected.iter().map(|hit| format!("  {}", hit.line())));
    }
}

impl Found {
    pub(super) fn of(done: &Verified, seconds: f64) -> Found {
        Found {
            complete: done.complete,
            points: done.points,
            packs: done.packs,
            frames: done.frames,
            bytes_read: done.bytes_read,
            quarantined: done.quarantined,
            healed: done.healed,
            released: done.released,
            unkept: done.unkept,
            findings: done.findings.iter().map(OneFinding::of).collect(),
            more_findings: done.more_findings,
            findings_before: 0,
            seconds,
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.findings.len() as u64 + self.more_findings
    }

    fn count_in_all(&self) -> u64 {
        self.count() + self.findings_before
    }
}

impl Report for Found {
    fn text(&self) -> String {
        let mut lines = Vec::new();
        self.findings.iter().for_each(|finding| finding.lines(&mut lines));
        if self.more_findings > 0 {
            lines.push(format!("and {} more findings", self.more_findings));
        }
        if self.findings_before > 0 {
            lines.push(format!("{} findings before the stop", self.findings_before));
        }
        if self.unkept > 0 {
            lines.push("the store is full: not all damage is in quarantine; run gc".to_owned());
        }
        lines.push(format!(
            "{}: {} points, {} packs, {} frames, {} read, {} findings, in {:.2} s",
            if self.complete { "verified" } else { "stopped" },
            self.points,
            self.packs,
            self.frames,
            size(self.bytes_read),
            self.count(),
            self.seconds
        ));
        lines.join("\n")
    }
}

/// Checks the store, or a part of it.
pub(super) fn run(session: &Session, args: &VerifyArgs) -> Result<()> {
    let store = session.open(&args.place)?;
    let points = args.points.iter().map(|text| pick(&store, text).map(|point| point.key));
    let points = points.collect::<Result<Vec<_>>>()?;
    let seed = || u64::from_le_bytes(session.env.bytes());
    let sample =
        args.percent.map(|percent| Sample { percent, seed: args.seed.unwrap_or_else(seed) });
    let file = args.resume.as_deref();
    let before = file.map(|file| Mark::read(file, &store)).transpose()?.flatten();
    let wanted = Verify {
        depth: if args.deep { Depth::Deep } else { Depth::Shallow },
        slice: args.slice,
        sample,
        points: (!points.is_empty()).then_some(points),
        rate: args.rate,
        resume: before.map(|mark| VerifyMark { pack: mark.pack }),
        read_only: args.read_only,
    };
    let begun = session.env.monotonic();
    let watcher = session.watcher("verify", &args.place);
    let done = store.verify(&wanted, &watcher).context("the store cannot be verified")?;
    watcher.done();
    if let Some(file) = file {
        Mark::keep(Mark::after(before, &done, store.id()), file)?;
    }
    let mut found = Found::of(&done, session.since(begun));
    found.findings_before = before.map_or(0, |mark| mark.findings);
    found.print(args.place.json)?;
    conclude(&found)
}

/// The end of a command that looked for damage.
pub(super) fn conclude(found: &Found) -> Result<()> {
    if found.count_in_all() > 0 {
        let text = format!("the store has {} findings of damage", found.count_in_all());
        return Err(anyhow::Error::new(Damage(text)));
    }
    if !found.complete {
        anyhow::bail!("the verification was stopped");
    }
    Ok(())
}

/// How far a verification of a store came, and what it found on the way: what was found in packs
/// that are not looked at again is nowhere else kept if nothing may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    /// Nothing in the marks of earlier versions.
    store: Option<Uuid>,
    /// All packs up to this one are done.
    pack: Uuid,
    /// How much is wrong with them.
    #[serde(default)]
    findings: u64,
}

impl Mark {
    fn read(file: &Path, store: &Store) -> Result<Option<Mark>> {
        let text = match std::fs::read(file) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.with_context(|| Usage(format!("cannot read {}", file.display())))?,
        };
        let mark: Mark = serde_json::from_slice(&text)
            .with_context(|| Usage(format!("{} is no mark of a verification", file.display())))?;
        match mark.store.filter(|of| *of != store.id()) {
            None => Ok(Some(mark)),
            Some(of) => Err(Usage::error(format!(
                "{} is the mark of another store, {of}: it says nothing of {}",
                file.display(),
                store.id()
            ))),
        }
    }

    /// The mark to go on from after `done`, which itself went on from `before`; nothing where
    /// there is nothing to go on from: then the next verification begins anew.
    fn after(before: Option<Mark>, done: &Verified, store: Uuid) -> Option<Mark> {
        if done.complete {
            return None;
        }
        // Stopped before its first pack it came no further.
        let pack = done.mark.map(|mark| mark.pack).or(before.map(|mark| mark.pack))?;
        let findings = done.findings.iter().filter(|finding| is_behind(finding, &pack)).count();
        let earlier = before.map_or(0, |mark| mark.findings);
        let findings = earlier + findings as u64 + done.more_findings;
        Some(Mark { store: Some(store), pack, findings })
    }

    fn keep(mark: Option<Mark>, file: &Path) -> Result<()> {
        match mark {
            None => durable::remove(file),
            Some(mark) => {
                note(format_args!("note: --resume {} goes on from here", file.display()));
                durable::write(file, &serde_json::to_vec(&mark)?, Access::Private)
            }
        }
    }
}

/// Whether a finding is about a pack that is not looked at again. All else is.
fn is_behind(finding: &Finding, last: &Uuid) -> bool {
    use FindingKind::{DamagedFrame, DamagedPack, MissingPack, ShortPack, UnreadablePack};
    let of_pack = matches!(
        finding.kind,
        MissingPack | ShortPack | DamagedPack | DamagedFrame | UnreadablePack
    );
    let pack = finding.object.rsplit('/').next().and_then(|leaf| Uuid::try_parse(leaf).ok());
    of_pack && pack.is_some_and(|pack| pack <= *last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn finding(kind: FindingKind, object: String) -> Finding {
        let (ids, affected) = (Vec::new(), Vec::new());
        let why = "damaged".to_owned();
        Finding { kind, object, why, ids, id_count: 0, affected, affected_count: 0 }
    }

    #[test]
    fn a_mark_counts_what_is_not_found_again() {
        let of = |number| finding(FindingKind::DamagedFrame, format!("packs/00/{}", pack(number)));
        let record = finding(FindingKind::DamagedRecord, format!("points/{}", pack(1)));
        let mark = |number| Some(VerifyMark { pack: pack(number) });
        let found = vec![of(3), record.clone(), of(5), of(6)];
        let done = Verified { findings: found, mark: mark(5), ..Verified::default() };
        let first = Mark::after(None, &done, pack(9)).unwrap();
        assert_eq!(first, Mark { store: Some(pack(9)), pack: pack(5), findings: 2 });
        // The next run is stopped before its first pack, the one after it later.
        let done = Verified { findings: vec![record], ..Verified::default() };
        assert_eq!(Mark::after(Some(first), &done, pack(9)), Some(first));
        assert_eq!(Mark::after(None, &done, pack(9)), None);
        let done = Verified { findings: vec![of(6)], mark: mark(7), ..Verified::default() };
        let third = Mark::after(Some(first), &done, pack(9)).unwrap();
        assert_eq!((third.pack, third.findings), (pack(7), 3));
        let done = Verified { complete: true, mark: mark(8), ..Verified::default() };
        assert_eq!(Mark::after(Some(third), &done, pack(9)), None);
    }

    #[test]
    fn marks_of_earlier_versions_are_read() {
        let old = serde_json::to_vec(&VerifyMark { pack: pack(5) }).unwrap();
        let read: Mark = serde_json::from_slice(&old).unwrap();
        assert_eq!(read, Mark { store: None, pack: pack(5), findings: 0 });
    }
}
