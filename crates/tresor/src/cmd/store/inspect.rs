//! `tresor store inspect`.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use tresor_store::{PinRecord, Store, StoreConfig, WriterRecord};

use super::place::{Place, Session, unpin};
use super::points::{NAMES, pick};
use super::report::{Point, Report};
use crate::terminal::{plain, size};

#[derive(Args)]
#[command(after_help = NAMES)]
pub(super) struct InspectArgs {
    #[command(flatten)]
    place: Place,
    /// The point to describe [default: the store]
    point: Option<String>,
}

#[derive(Serialize)]
struct Count {
    objects: u64,
    bytes: u64,
}

/// Somebody who reads or writes.
#[derive(Serialize)]
struct Busy {
    id: String,
    point: String,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<String>,
}

#[derive(Serialize)]
struct Whole {
    store: String,
    domain: String,
    format: u16,
    epoch: u32,
    config: StoreConfig,
    objects: BTreeMap<String, Count>,
    pins: Vec<Busy>,
    writers: Vec<Busy>,
}

impl Report for Whole {
    fn text(&self) -> String {
        let mut lines = vec![
            format!("store   {}", self.store),
            format!("domain  {}", self.domain),
            format!("format  {}, epoch {}", self.format, self.epoch),
            format!(
                "level   {}, chunks of {} on average, packs of {}",
                self.config.level,
                size(u64::from(self.config.chunk_mean)),
                size(u64::from(self.config.pack_bytes))
            ),
        ];
        let count = |(name, count): (&String, &Count)| {
            format!("{name:<10}  {:>8} objects  {:>10}", count.objects, size(count.bytes))
        };
        lines.extend(self.objects.iter().map(count));
        for pin in &self.pins {
            let holder = pin.holder.as_deref().map(plain).unwrap_or_default();
            lines.push(format!("pin on {} since {} by {holder}", pin.point, pin.time));
        }
        for writer in &self.writers {
            lines.push(format!("writer of {} since {}", writer.point, writer.time));
        }
        lines.join("\n")
    }
}

#[derive(Serialize)]
struct OnePoint {
    #[serde(flatten)]
    point: Point,
    window: u32,
    height: u8,
    inner_nodes: u64,
    leaves: u64,
    chunks: u64,
    data_bytes: u64,
    zero_bytes: u64,
}

impl Report for OnePoint {
    fn text(&self) -> String {
        let point = &self.point;
        let mut lines = vec![
            format!("point   {}", point.point),
            format!("time    {}", point.time),
            format!("root    {}", point.root),
            format!("parent  {}", point.parent.as_deref().unwrap_or("none")),
            format!(
                "size    {} bytes: {} data, {} zeros",
                point.size,
                size(self.data_bytes),
                size(self.zero_bytes)
            ),
            format!(
                "map     {} leaves of {}, {} inner nodes in {} levels, {} chunks",
                self.leaves,
                size(u64::from(self.window)),
                self.inner_nodes,
                self.height,
                self.chunks
            ),
        ];
        let fact =
            |(key, value): (&String, &String)| format!("fact    {} = {}", plain(key), plain(value));
        lines.extend(point.facts.iter().map(fact));
        lines.join("\n")
    }
}

/// Describes the store or a point.
pub(super) fn run(session: &Session, args: &InspectArgs) -> Result<()> {
    let store = session.open(&args.place)?;
    let Some(text) = &args.point else {
        return whole(&store)?.print(args.place.json);
    };
    let record = pick(&store, text)?;
    let pin = session.pin(&store, &record.key, "inspect")?;
    let shape = store.reader(&record.key).and_then(|reader| reader.shape());
    unpin(pin);
    let shape = shape?;
    OnePoint {
        point: Point::of(&record),
        window: shape.window,
        height: shape.height,
        inner_nodes: shape.inner_nodes,
        leaves: shape.leaves,
        chunks: shape.chunks,
        data_bytes: shape.data_bytes,
        zero_bytes: record.size.saturating_sub(shape.data_bytes),
    }
    .print(args.place.json)
}

fn whole(store: &Store) -> Result<Whole> {
    let census = store.census()?;
    let pin = |pin: PinRecord| Busy {
        id: pin.id.to_string(),
        point: pin.point.key.to_string(),
        time: pin.time.to_string(),
        holder: Some(pin.holder),
    };
    let writer = |writer: WriterRecord| Busy {
        id: writer.id.to_string(),
        point: writer.point.to_string(),
        time: writer.time.to_string(),
        holder: None,
    };
    let objects = census
        .folders
        .into_iter()
        .map(|(name, count)| (name, Count { objects: count.objects, bytes: count.bytes }));
    Ok(Whole {
        store: store.id().to_string(),
        domain: store.domain().id().to_string(),
        format: tresor_store::FORMAT,
        epoch: census.epoch,
        config: census.config,
        objects: objects.collect(),
        pins: store.pins()?.into_iter().map(pin).collect(),
        writers: store.writers()?.into_iter().map(writer).collect(),
    })
}
