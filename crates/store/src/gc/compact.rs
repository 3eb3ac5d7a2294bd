//! Rewriting packs that are half empty or small.
//!
//! What is needed of them is copied, each frame checked by its id, into new packs; a run makes the
//! copies findable; then the old packs are condemned like dead ones. Whether a copy may stand in
//! for the original is decided by the second mark, so nothing here has to be trusted: killed
//! anywhere, this leaves packs that a later run finds dead.

use std::collections::BTreeSet;
use std::sync::Arc;

use uuid::Uuid;

use super::run::{Plan, Run};
use super::table::{Row, join};
use crate::codec::Encoder;
use crate::damage;
use crate::error::{ErrorKind, Result, chain};
use crate::fetch;
use crate::field::part;
use crate::id::{Id, Kind};
use crate::margins;
use crate::memory::Pool;
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

    /// Copies what is needed of `packs`, as far as there is room, and condemns those of which
    /// everything was copied.
    pub(super) fn rewrite(&mut self, plan: &Plan, packs: BTreeSet<Uuid>) -> Result<()> {
        if packs.is_empty() {
            return Ok(());
        }
        let frames = self.frames(plan, &packs)?;
        let mut copy = Copy::new(self)?;
        for frames in frames.chunk_by(|(_, a), (_, b)| a.pack.name == b.pack.name) {
            let Some((_, first)) = frames.first() else {
                continue;
            };
            let pack = first.pack.name;
            match copy.pack(pack, frames) {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::NotFound || damage::is_damage(&e) => {
                    tracing::warn!(%pack, error = chain(&e), "a pack is not rewritten");
                }
                Err(e) if e.kind() == ErrorKind::Full => copy.full = true,
                Err(e) => return Err(e),
            }
            if copy.full {
                break;
            }
        }
        let done = copy.finish()?;
        self.cut_short = done.full;
        let rows = done.packs.iter().filter_map(|pack| plan.table.get(pack));
        let out = &mut self.out;
        out.copied_bytes += done.bytes;
        out.rewritten_packs += done.packs.len() as u64;
        out.rewritten_bytes += rows.map(|row| row.size).sum::<u64>();
        self.store.inner().with_reserve(|| self.store.condemn(&done.packs))
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
    memory: Arc<Pool>,
    chunks: Half,
    nodes: Half,
    stored: Vec<Frame>,
    /// Packs of which all that is needed is stored anew.
    done: Vec<Uuid>,
    /// Bytes of the frames that were copied from them.
    bytes: u64,
    /// Whether there is no room for more: what is left is needed for records.
    full: bool,
}

/// The half of it that makes packs of one kind.
#[derive(Default)]
struct Half {
    writer: Option<Writer>,
    /// Packs of which all is copied and something is not stored yet.
    waiting: Vec<Uuid>,
    /// Bytes of frames that are copied and not stored yet.
    bytes: u64,
}

impl<'a> Copy<'a> {
    fn new(run: &'a Run<'a>) -> Result<Self> {
        let config = &run.store.inner().config;
        let encoder = Encoder::new(config.level, config.check_codec)?;
        let (chunks, nodes) = Default::default();
        let (stored, done) = Default::default();
        let memory = run.store.inner().pack_memory();
        Ok(Self { run, encoder, memory, chunks, nodes, stored, done, bytes: 0, full: false })
    }

    fn half(&mut self, kind: Kind) -> &mut Half {
        match kind {
            Kind::Chunk => &mut self.chunks,
            Kind::Node => &mut self.nodes,
        }
    }

    /// Copies frames of one pack, in order of their places: all that is needed of it.
    fn pack(&mut self, pack: Uuid, frames: &[Frame]) -> Result<()> {
        let mut kind = Kind::Chunk;
        for request in fetch::plan(frames.iter().map(|(id, at)| (*at, *id))) {
            if self.run.watch.cancelled() {
                return Err(super::cancelled());
            }
            let loader = &self.run.store.inner().loader;
            let bytes = loader.fetch(&request.pack, request.range.clone())?;
            for (at, id) in &request.frames {
                kind = self.frame(id, at, request.frame(at, &bytes)?)?;
            }
        }
        // A pack holds frames of one kind only.
        match self.half(kind) {
            Half { writer: None, .. } => self.done.push(pack),
            half => half.waiting.push(pack),
        }
        Ok(())
    }

    fn frame(&mut self, id: &Id, at: &Location, frame: &[u8]) -> Result<Kind> {
        let inner = self.run.store.inner();
        let kind = FrameHead::decode(part(frame, 0..FRAME_HEAD)?)?.kind;
        let half = match kind {
            Kind::Chunk => &mut self.chunks,
            Kind::Node => &mut self.nodes,
        };
        let encoder = &mut self.encoder;
        let size = inner.loader.open(at, (kind, *id), frame, |raw| {
            let writer = match &mut half.writer {
                Some(writer) => writer,
                none => none.insert(inner.begin_pack(kind, &self.memory)?),
            };
            writer.encode(*id, raw, encoder)?;
            Ok(writer.len())
        })?;
        half.bytes += u64::from(at.len);
        if size >= inner.config.pack_bytes as usize {
            self.put(kind)?;
        }
        Ok(kind)
    }

    /// Stores what was copied of one kind; with the room of the reserve if there is no other, and
    /// then nothing more.
    fn put(&mut self, kind: Kind) -> Result<()> {
        let (inner, watch) = (self.run.store.inner(), self.run.watch);
        let Some(writer) = self.half(kind).writer.take() else {
            return Ok(());
        };
        let closed = writer.close()?;
        let (name, bytes) = (closed.pack.object(), closed.bytes);
        let create = || inner.objects.create_unique(&name, bytes.clone());
        match create() {
            Err(e) if e.kind() == ErrorKind::Full && inner.spend_reserve()? => {
                self.full = true;
                create()?;
            }
            other => other?,
        }
        self.stored.extend(closed.frames);
        let half = std::mem::take(self.half(kind));
        self.done.extend(half.waiting);
        self.bytes += half.bytes;
        watch.advance(0, bytes.len() as u64);
        Ok(())
    }

    /// Makes the copies findable. On a disk that is `full` only what is stored already counts.
    fn finish(mut self) -> Result<Rewritten> {
        for kind in [Kind::Chunk, Kind::Node] {
            if self.full {
                break;
            }
            match self.put(kind) {
                Err(e) if e.kind() == ErrorKind::Full => self.full = true,
                other => other?,
            }
        }
        let (inner, owner) = (self.run.store.inner(), PointKey::from(Uuid::nil()));
        for frames in self.stored.chunks(margins::REWRITE_ENTRIES) {
            inner.with_reserve(|| inner.index.publish(&owner, frames))?;
        }
        Ok(Rewritten { packs: self.done, bytes: self.bytes, full: self.full })
    }
}

/// What was copied.
struct Rewritten {
    /// Packs of which all that is needed is somewhere else now.
    packs: Vec<Uuid>,
    /// Bytes of frames.
    bytes: u64,
    /// Whether there was no room for more.
    full: bool,
}

impl Row {
    /// Bytes of the pack that nothing needs.
    fn unused(&self) -> u64 {
        self.size.saturating_sub(self.live + PACK_HEAD as u64)
    }
}
