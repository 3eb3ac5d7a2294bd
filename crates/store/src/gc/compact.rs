//! Rewriting packs that are half empty or small.
//!
//! What is needed of them is copied, each frame checked by its id, into new packs; a run makes the
//! copies findable; then the old packs are condemned like dead ones. Whether a copy may stand in
//! for the original is decided by the second mark, so nothing here has to be trusted: killed
//! anywhere, this leaves packs that a later run finds dead.

use std::collections::BTreeSet;

use bytes::Bytes;
use uuid::Uuid;

use super::run::{Plan, Run};
use super::table::{Row, join};
use crate::codec::Encoder;
use crate::damage;
use crate::error::{ErrorKind, Result};
use crate::field::part;
use crate::id::{Id, Kind};
use crate::margins;
use crate::pack::{FRAME_HEAD, FrameHead, Location, PACK_HEAD, Writer};
use crate::point::PointKey;

/// A frame that is needed.
type Frame = (Id, Location);

impl Run<'_> {
    /// The packs that are worth rewriting, within the bounds of one run.
    pub(super) fn worthwhile(&self, plan: &Plan) -> BTreeSet<Uuid> {
        let dead: BTreeSet<Uuid> = plan.dead.iter().copied().collect();
        let stays = |row: &&Row| !row.condemned && row.live > 0 && !dead.contains(&row.name);
        let rows: Vec<&Row> = plan.table.rows().iter().filter(stays).collect();
        let mut chosen: Vec<&Row> = Vec::new();
        let small = |row: &&Row| row.size < self.how.small_pack_bytes;
        let smalls: u64 = rows.iter().copied().filter(small).map(|row| row.live).sum();
        // Fewer would only become small packs again: chunks and nodes are kept apart.
        if smalls >= self.how.small_pack_bytes.saturating_mul(2) && smalls > 0 {
            chosen.extend(rows.iter().copied().filter(small));
        }
        let bytes: u64 = rows.iter().map(|row| row.size).sum();
        let mut unused: u64 = rows.iter().map(|row| row.unused()).sum();
        let share = self.how.max_unused_percent.clamp(0.0, 100.0) / 100.0;
        let allowed = (bytes as f64 * share) as u64;
        let mut rest = rows;
        rest.sort_by_key(|row| {
            std::cmp::Reverse((row.unused() * 1000 / row.size.max(1), row.name))
        });
        for row in rest {
            if unused <= allowed || row.unused() == 0 {
                break;
            }
            unused -= row.unused();
            chosen.push(row);
        }
        let (mut out, mut live, mut frames) = (BTreeSet::new(), 0, 0);
        for row in chosen {
            // Both small and half empty: counted once.
            if out.contains(&row.name) {
                continue;
            }
            live += row.live;
            frames += row.frames as usize;
            if live > self.how.rewrite_bytes || frames > margins::REWRITE_FRAMES {
                break;
            }
            out.insert(row.name);
        }
        out
    }

    /// Copies what is needed of `packs` and condemns those of which everything was copied.
    pub(super) fn rewrite(&mut self, plan: &Plan, packs: BTreeSet<Uuid>) -> Result<()> {
        if packs.is_empty() {
            return Ok(());
        }
        let frames = self.frames(plan, &packs)?;
        let mut copy = Copy::new(self)?;
        let mut done = packs;
        for frames in frames.chunk_by(|(_, a), (_, b)| a.pack.name == b.pack.name) {
            let Some((_, first)) = frames.first() else {
                continue;
            };
            match copy.pack(frames) {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::NotFound || damage::is_damage(&e) => {
                    let pack = first.pack.name;
                    tracing::warn!(%pack, error = damage::chain(&e), "a pack is not rewritten");
                    done.remove(&pack);
                }
                Err(e) => return Err(e),
            }
        }
        let copied = copy.finish()?;
        let out = &mut self.out;
        out.copied_bytes += copied;
        out.rewritten_packs += done.len() as u64;
        out.rewritten_bytes +=
            done.iter().filter_map(|pack| plan.table.get(pack)).map(|row| row.size).sum::<u64>();
        self.store.condemn(&done.into_iter().collect::<Vec<_>>())
    }

    /// The frames of `packs` that count, by pack and place.
    fn frames(&mut self, plan: &Plan, packs: &BTreeSet<Uuid>) -> Result<Vec<Frame>> {
        let index = self.store.inner().index.snapshot();
        let mut out: Vec<Frame> = Vec::new();
        join(&mut self.reach, &index, self.watch, &mut |id, places, reachable| {
            let counts = plan.table.choose(places).filter(|_| reachable);
            out.extend(counts.filter(|at| packs.contains(&at.pack.name)).map(|at| (*id, *at)));
            Ok(())
        })?;
        out.sort_unstable_by_key(|(_, at)| (at.pack.name, at.offset));
        Ok(out)
    }
}

/// Copying into new packs.
struct Copy<'a> {
    run: &'a Run<'a>,
    encoder: Encoder,
    chunks: Option<Writer>,
    nodes: Option<Writer>,
    stored: Vec<Frame>,
    bytes: u64,
}

impl<'a> Copy<'a> {
    fn new(run: &'a Run<'a>) -> Result<Self> {
        let config = &run.store.inner().config;
        let encoder = Encoder::new(config.level, config.check_codec)?;
        let (chunks, nodes, stored) = (None, None, Vec::new());
        Ok(Self { run, encoder, chunks, nodes, stored, bytes: 0 })
    }

    /// Copies frames of one pack, in order of their places.
    fn pack(&mut self, frames: &[Frame]) -> Result<()> {
        let mut from = 0;
        while let Some((_, first)) = frames.get(from) {
            if self.run.watch.cancelled() {
                return Err(super::cancelled());
            }
            let start = u64::from(first.offset);
            let end = |at: &Location| u64::from(at.offset) + u64::from(at.len);
            let rest = frames.get(from..).unwrap_or_default();
            let near = rest.iter().take_while(|(_, at)| end(at) - start <= margins::FETCH).count();
            let batch = rest.get(..near.max(1)).unwrap_or_default();
            let stop = batch.last().map_or(start, |(_, at)| end(at));
            let bytes = self.run.store.inner().loader.fetch(&first.pack, start..stop)?;
            for (id, at) in batch {
                let place = (u64::from(at.offset) - start) as usize;
                let mut frame = part(&bytes, place..place + at.len as usize)?.to_vec();
                self.frame(id, at, &mut frame)?;
            }
            from += batch.len();
        }
        Ok(())
    }

    fn frame(&mut self, id: &Id, at: &Location, frame: &mut [u8]) -> Result<()> {
        let inner = self.run.store.inner();
        let kind = FrameHead::decode(part(frame, 0..FRAME_HEAD)?)?.kind;
        let (encoder, chunks, nodes) = (&mut self.encoder, &mut self.chunks, &mut self.nodes);
        let slot = if kind == Kind::Chunk { chunks } else { nodes };
        inner.loader.open(at, (kind, *id), frame, |raw| {
            let writer = match &mut *slot {
                Some(writer) => writer,
                none => none.insert(Writer::new(&inner.ring, &inner.env, kind, Vec::new())?),
            };
            writer.encode(*id, raw, encoder)
        })?;
        self.bytes += u64::from(at.len);
        let full = |writer: &mut Writer| writer.len() >= inner.config.pack_bytes as usize;
        match slot.take_if(full) {
            Some(writer) => self.put(writer),
            None => Ok(()),
        }
    }

    fn put(&mut self, writer: Writer) -> Result<()> {
        let closed = writer.close()?;
        let size = closed.bytes.len() as u64;
        self.run
            .store
            .inner()
            .objects
            .create_unique(&closed.pack.object(), Bytes::from(closed.bytes))?;
        self.stored.extend(closed.frames);
        self.run.watch.advance(0, size);
        Ok(())
    }

    /// Makes the copies findable; the bytes of frames that were copied.
    fn finish(mut self) -> Result<u64> {
        let left = [self.chunks.take(), self.nodes.take()];
        left.into_iter().flatten().try_for_each(|writer| self.put(writer))?;
        let owner = PointKey::from(Uuid::nil());
        for frames in self.stored.chunks(margins::REWRITE_ENTRIES) {
            self.run.store.inner().index.publish(&owner, frames)?;
        }
        Ok(self.bytes)
    }
}

impl Row {
    /// Bytes of the pack that nothing needs.
    fn unused(&self) -> u64 {
        self.size.saturating_sub(self.live + PACK_HEAD as u64)
    }
}
