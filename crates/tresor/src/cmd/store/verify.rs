//! `tresor store verify`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use tresor_store::{
    Affected, Depth, Finding, PointKey, Sample, Slice, Verified, Verify, VerifyMark,
};

use super::place::{Place, Session};
use super::points::{NAMES, pick};
use super::report::{Report, bytes};
use crate::durable::{self, Access};
use crate::terminal::{note, size};
use crate::usage::{Damage, Usage};

#[derive(Args)]
#[command(after_help = format!("{NAMES}\n\n\
    What is damaged is put into quarantine: the next backup that meets the same bytes stores them \
    again, and `repair --heal-from` fetches them from a copy.\n\n\
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
    /// File that keeps how far an interrupted verification came, to go on from
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
    /// The first of the ranges: offset and length.
    ranges: Vec<[u64; 2]>,
    range_count: u64,
    bytes: u64,
}

impl Hit {
    pub(super) fn of(affected: &Affected) -> Hit {
        let range = |range: &std::ops::Range<u64>| [range.start, range.end - range.start];
        Hit {
            point: affected.point,
            ranges: affected.ranges.iter().map(range).collect(),
            range_count: affected.count,
            bytes: affected.bytes,
        }
    }

    pub(super) fn line(&self) -> String {
        let range = |[offset, length]: &[u64; 2]| format!("{offset}:{length}");
        let ranges: Vec<String> = self.ranges.iter().map(range).collect();
        let more = if self.range_count > ranges.len() as u64 { " and more" } else { "" };
        let (point, lost) = (&self.point, size(self.bytes));
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
            seconds,
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.findings.len() as u64 + self.more_findings
    }
}

impl Report for Found {
    fn text(&self) -> String {
        let mut lines = Vec::new();
        self.findings.iter().for_each(|finding| finding.lines(&mut lines));
        if self.more_findings > 0 {
            lines.push(format!("and {} more findings", self.more_findings));
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
    let wanted = Verify {
        depth: if args.deep { Depth::Deep } else { Depth::Shallow },
        slice: args.slice,
        sample,
        points: (!points.is_empty()).then_some(points),
        rate: args.rate,
        resume: args.resume.as_deref().map(read_mark).transpose()?.flatten(),
        read_only: args.read_only,
    };
    let begun = session.env.monotonic();
    let watcher = session.watcher("verify", &args.place);
    let done = store.verify(&wanted, &watcher).context("the store cannot be verified")?;
    watcher.done();
    if let Some(file) = &args.resume {
        keep_mark(file, &done)?;
    }
    let found = Found::of(&done, session.since(begun));
    found.print(args.place.json)?;
    conclude(&found)
}

/// The end of a command that looked for damage.
pub(super) fn conclude(found: &Found) -> Result<()> {
    if found.count() > 0 {
        let text = format!("the store has {} findings of damage", found.count());
        return Err(anyhow::Error::new(Damage(text)));
    }
    if !found.complete {
        anyhow::bail!("the verification was stopped");
    }
    Ok(())
}

fn read_mark(file: &Path) -> Result<Option<VerifyMark>> {
    let text = match std::fs::read(file) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.with_context(|| Usage(format!("cannot read {}", file.display())))?,
    };
    let mark = serde_json::from_slice(&text)
        .with_context(|| Usage(format!("{} is no mark of a verification", file.display())))?;
    Ok(Some(mark))
}

/// Keeps how far it came; a verification that came to its end begins anew.
fn keep_mark(file: &Path, done: &Verified) -> Result<()> {
    match done.mark.filter(|_| !done.complete) {
        None => durable::remove(file),
        Some(mark) => {
            note(format_args!("note: --resume {} goes on from here", file.display()));
            durable::write(file, &serde_json::to_vec(&mark)?, Access::Private)
        }
    }
}
