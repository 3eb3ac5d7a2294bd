//! Naming recovery points, and listing, comparing and removing them.

use std::cmp::Reverse;
use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use tresor_store::{Damaged, DiffKind, ErrorKind, PinRecord, PointKey, PointRecord, Points, Store};

use super::failures::{Failures, Unreadable};
use super::holder;
use super::place::{Place, Session};
use super::report::{Point, Report, age};
use crate::terminal::{note, plain, size};
use crate::usage::{Damage, Usage};

/// The fact that names the image a point was made from.
pub(super) const IMAGE: &str = "image";
/// The fact that says how many bytes a point added to the store.
pub(super) const ADDED: &str = "added-bytes";

/// How a point is named, for `--help`.
pub(super) const NAMES: &str = "A POINT is its key (32 hex digits), the beginning of one (4 or \
    more), `latest`, or `latest:IMAGE` for the newest point of one image. `latest` fails while \
    the record of any point is damaged: that could be the newest.";

/// Damaged records that a message names.
const NAMED: usize = 8;

/// All points, newest first, and the records that cannot be read.
fn newest_first(store: &Store) -> Result<Points> {
    let mut points = store.all_points()?;
    points.good.sort_by_key(|point| Reverse((point.time, point.key)));
    Ok(points)
}

fn newest_of(points: Points, image: Option<&str>) -> Option<PointRecord> {
    let of_image = |point: &PointRecord| point.facts.get(IMAGE).map(String::as_str) == image;
    points.good.into_iter().find(|point| image.is_none() || of_image(point))
}

/// The newest point of an image whose record can be read: an older one where the newest is
/// damaged. For a backup that reads all of its image and takes what it can from any point.
pub(super) fn latest_of(store: &Store, image: &str) -> Result<Option<PointRecord>> {
    Ok(newest_of(newest_first(store)?, Some(image)))
}

/// The newest point, of an image or of all: for whoever relies on it that none is newer. Fails
/// with [`Damage`] while a record cannot be read, as it may be the newest.
pub(super) fn latest_for_sure(store: &Store, image: Option<&str>) -> Result<Option<PointRecord>> {
    let points = newest_first(store)?;
    if points.damaged.is_empty() {
        return Ok(newest_of(points, image));
    }
    let count = points.damaged.len();
    let text = format!(
        "which point is the latest cannot be told: {count} records of points are damaged ({}); \
         name the point by its key: `tresor store list` shows those that can be read, `tresor \
         store verify` tells more",
        objects(points.damaged.iter())
    );
    Err(anyhow::Error::new(Damage(text)))
}

/// The names of damaged records, some of them.
fn objects<'a>(damaged: impl ExactSizeIterator<Item = &'a Damaged>) -> String {
    let more = damaged.len().saturating_sub(NAMED);
    let names = damaged.take(NAMED).map(|damaged| plain(&damaged.object));
    let mut names = names.collect::<Vec<_>>().join(", ");
    if more > 0 {
        names.push_str(&format!(" and {more} more"));
    }
    names
}

/// The point that `text` names.
pub(super) fn pick(store: &Store, text: &str) -> Result<PointRecord> {
    let missing = || Usage::error(format!("the store has no recovery point {text}"));
    if let Ok(key) = text.parse::<PointKey>() {
        return store.point(&key)?.ok_or_else(missing);
    }
    if text == "latest" {
        return latest_for_sure(store, None)?.ok_or_else(missing);
    }
    if let Some(image) = text.strip_prefix("latest:") {
        return latest_for_sure(store, Some(image))?.ok_or_else(missing);
    }
    let digits = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if !(digits && (4..32).contains(&text.len())) {
        return Err(Usage::error(format!("\"{text}\" names no recovery point. {NAMES}")));
    }
    let points = store.all_points()?;
    let begins = |object: &str| object.rsplit('/').next().is_some_and(|key| key.starts_with(text));
    let damaged: Vec<&Damaged> =
        points.damaged.iter().filter(|damaged| begins(&damaged.object)).collect();
    let mut found = points.good.into_iter().filter(|point| begins(&point.key.to_string()));
    match (found.next(), found.next(), damaged.as_slice()) {
        (Some(point), None, []) => Ok(point),
        (None, _, []) => Err(missing()),
        (None, _, [one]) => {
            let text = format!("{} is damaged: {}", plain(&one.object), plain(&one.why));
            Err(anyhow::Error::new(Damage(text)))
        }
        _ => Err(Usage::error(format!("\"{text}\" begins the keys of several points"))),
    }
}

/// All points, newest first, or those that `names` name; of all, also what cannot be read.
pub(super) fn chosen(
    store: &Store,
    all: bool,
    names: &[String],
) -> Result<(Vec<PointRecord>, Failures)> {
    if all {
        let points = newest_first(store)?;
        return Ok((points.good, Failures::unreadable(points.damaged)));
    }
    let picked = names.iter().map(|text| pick(store, text)).collect::<Result<_>>()?;
    Ok((picked, Failures::default()))
}

/// The key of the point that `text` names. The whole key of a damaged point will do.
fn pick_key(store: &Store, text: &str) -> Result<PointKey> {
    match (text.parse(), pick(store, text)) {
        (Ok(key), Err(e)) if is_unreadable(&e) => Ok(key),
        (_, picked) => picked.map(|point| point.key),
    }
}

fn is_unreadable(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref().map(tresor_store::Error::kind);
    matches!(kind, Some(ErrorKind::Corrupt | ErrorKind::Unsupported))
}

/// All recovery points, newest first.
#[derive(Serialize)]
struct List {
    points: Vec<Point>,
    damaged: Vec<Unreadable>,
}

impl Report for List {
    fn text(&self) -> String {
        let line = |point: &Point| {
            let (bytes, added) = (size(point.size), point.added.map(size).unwrap_or_default());
            let image = point.image.as_deref().map(plain).unwrap_or_default();
            format!("{}  {:<24}  {bytes:>10}  {added:>10}  {image}", point.point, point.time)
        };
        let head =
            format!("{:<32}  {:<24}  {:>10}  {:>10}  image", "point", "time", "size", "added");
        match self.points.as_slice() {
            [] => "no recovery points".to_owned(),
            points => {
                let lines = std::iter::once(head).chain(points.iter().map(line));
                lines.collect::<Vec<_>>().join("\n")
            }
        }
    }
}

/// `tresor store list`.
pub(super) fn list(session: &Session, place: &Place) -> Result<()> {
    list_of(&session.open(place)?, place.json)
}

/// The same from a store that is open.
pub(super) fn list_of(store: &Store, json: bool) -> Result<()> {
    let found = newest_first(store)?;
    for damaged in &found.damaged {
        let (object, why) = (plain(&damaged.object), plain(&damaged.why));
        note(format_args!("damaged: {object}: {why}; see `tresor store verify`"));
    }
    List {
        points: found.good.iter().map(Point::of).collect(),
        damaged: found.damaged.into_iter().map(Unreadable::of).collect(),
    }
    .print(json)
}

#[derive(Args)]
#[command(after_help = NAMES)]
pub(super) struct DiffArgs {
    #[command(flatten)]
    place: Place,
    /// The point that is compared with
    older: String,
    /// The point whose differences are told
    newer: String,
    /// Print the totals only
    #[arg(long)]
    summary: bool,
}

#[derive(Serialize)]
struct Range {
    offset: u64,
    length: u64,
    zero: bool,
}

#[derive(Serialize)]
struct Totals {
    ranges: u64,
    data_bytes: u64,
    zero_bytes: u64,
}

/// `tresor store diff`: lines that `backup --changed` understands. Nothing is held in memory.
pub(super) fn diff(session: &Session, args: &DiffArgs) -> Result<()> {
    let store = session.open(&args.place)?;
    let (older, newer) = (pick(&store, &args.older)?, pick(&store, &args.newer)?);
    let pins = [session.pin(&store, &older.key, "diff")?, session.pin(&store, &newer.key, "diff")?];
    let told = tell(&store, args, &older, &newer);
    pins.into_iter().for_each(super::place::unpin);
    told
}

fn tell(store: &Store, args: &DiffArgs, older: &PointRecord, newer: &PointRecord) -> Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let (json, list) = (args.place.json, !args.summary);
    let mut totals = Totals { ranges: 0, data_bytes: 0, zero_bytes: 0 };
    if json {
        let (old, new) = (older.key, newer.key);
        write!(out, "{{\"older\":\"{old}\",\"newer\":\"{new}\",")?;
        write!(out, "\"older_size\":{},\"newer_size\":{},", older.size, newer.size)?;
        write!(out, "{}", if list { "\"changed\":[" } else { "" })?;
    }
    for range in store.diff(&older.key, &newer.key, 0..newer.size)? {
        let range = range?;
        let zero = range.kind == DiffKind::Zero;
        match zero {
            true => totals.zero_bytes += range.len,
            false => totals.data_bytes += range.len,
        }
        if json && list {
            let comma = if totals.ranges == 0 { "" } else { "," };
            let range = Range { offset: range.offset, length: range.len, zero };
            write!(out, "{comma}{}", serde_json::to_string(&range)?)?;
        } else if list {
            let kind = if zero { "zero" } else { "data" };
            writeln!(out, "{} {} {kind}", range.offset, range.len)?;
        }
        totals.ranges += 1;
    }
    if json {
        let rest = serde_json::to_string(&totals)?;
        let rest = rest.strip_prefix('{').unwrap_or_default();
        writeln!(out, "{}{rest}", if list { "]," } else { "" })?;
    }
    out.flush()?;
    if !json {
        let (ranges, data, zero) = (totals.ranges, totals.data_bytes, totals.zero_bytes);
        let mut text = format!("{ranges} ranges: {} data, {} zeros", size(data), size(zero));
        if older.size != newer.size {
            text.push_str(&format!("; from {} to {} bytes", older.size, newer.size));
        }
        if list { note(text) } else { crate::terminal::say(text)? }
    }
    Ok(())
}

#[derive(Args)]
#[command(after_help = NAMES)]
pub(super) struct RemoveArgs {
    #[command(flatten)]
    place: Place,
    /// Points to remove; `gc` frees what only they reached
    #[arg(required = true)]
    points: Vec<String>,
    /// Also release the pins that keep them, of commands that have ended and of holders that
    /// cannot be seen from here and set them long ago; never those of a running command
    #[arg(long)]
    release_pins: bool,
    /// How long ago, such as 24h: longer than the longest restore or copy from another machine
    #[arg(
        long,
        value_name = "TIME",
        value_parser = age,
        default_value = "24h",
        requires = "release_pins"
    )]
    older_than: Duration,
}

#[derive(Serialize)]
struct Removed {
    removed: Vec<String>,
}

impl Report for Removed {
    fn text(&self) -> String {
        format!("removed {}", self.removed.join(", "))
    }
}

/// `tresor store remove`.
pub(super) fn remove(session: &Session, args: &RemoveArgs) -> Result<()> {
    let store = session.open(&args.place)?;
    let picked = args.points.iter().map(|text| pick_key(&store, text));
    // All names are understood before anything is removed.
    let keys = picked.collect::<Result<Vec<PointKey>>>()?;
    let mut removed = Vec::new();
    for key in keys {
        if args.release_pins {
            let now = session.env.domain();
            let may = |pin: &PinRecord| holder::may_go(pin, now, args.older_than);
            store.release_pins(|pin| pin.point.key == key && may(pin))?;
        }
        store.remove_point(&key).with_context(|| format!("cannot remove {key}"))?;
        removed.push(key.to_string());
    }
    Removed { removed }.print(args.place.json)
}
