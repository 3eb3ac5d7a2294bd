//! Healing from another store.
//!
//! Stores of one dedup domain give equal contents equal ids: what one has lost, another may have.
//! Each content is fetched by its id, hashed, and stored in new packs; nothing of the other
//! store's is believed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::codec::Encoder;
use crate::damage;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{Id, Kind};
use crate::margins;
use crate::memory::Pool;
use crate::pack::{Location, Writer};
use crate::point::PointKey;
use crate::source::Watch;
use crate::store::{Inner, Store};
use crate::wound::Walk;

/// What healing did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Healed {
    /// Chunks and map nodes that were fetched and stored anew.
    pub contents: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Chunks and map nodes that the other store could not give.
    pub lost: u64,
}

/// Contents on their way into new packs.
struct Filling<'a> {
    inner: &'a Inner,
    owner: PointKey,
    watch: &'a dyn Watch,
    encoder: Encoder,
    memory: Arc<Pool>,
    chunks: Option<Writer>,
    nodes: Option<Writer>,
    /// Frames of packs that are durable and that no run names yet.
    frames: Vec<(Id, Location)>,
}

impl Store {
    /// Fetches from `other` whatever a point of this store needs and this store cannot read, as
    /// far as that is known (see [`Store::verify`]), and stores it anew.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the stores are not of one dedup domain. What the other store has
    /// not, or not whole, is no error: it is counted.
    pub fn heal_from(&self, other: &Store, watch: &dyn Watch) -> Result<Healed> {
        if self.domain().id() != other.domain().id() || self.id() == other.id() {
            let context = "only another store of the same dedup domain can heal this one";
            return Err(Error::new(ErrorKind::Invalid, context));
        }
        let inner = self.inner();
        inner.probe()?;
        inner.learn_quarantine()?;
        // Announced, so that no garbage collection takes the new packs before a run names them.
        let owner = PointKey::from(inner.env.uuid());
        let writer = self.announce(owner, None)?;
        let done = self.heal_all(other, owner, watch);
        self.renounce(writer.id)?;
        done
    }

    fn heal_all(&self, other: &Store, owner: PointKey, watch: &dyn Watch) -> Result<Healed> {
        let mut out = Healed::default();
        let mut lost = BTreeSet::new();
        loop {
            let wanted = self.wanted(&lost, watch)?;
            if wanted.is_empty() {
                out.lost = lost.len() as u64;
                return Ok(out);
            }
            let mut filling = Filling::new(self.inner(), owner, watch)?;
            let gone_before = lost.len();
            for (id, kind) in wanted {
                let loader = &other.inner().loader;
                match loader.read(kind, &id, |raw| Ok(raw.to_vec())) {
                    Ok(raw) => {
                        filling.put(kind, id, &raw)?;
                        out.contents += 1;
                        out.bytes += raw.len() as u64;
                    }
                    Err(e) if damage::is_damage(&e) => {
                        lost.insert(id);
                    }
                    Err(e) => return Err(e),
                }
            }
            filling.finish()?;
            if lost.len() >= margins::BAD_PLACES && lost.len() > gone_before {
                return Err(Error::corrupt("the other store lacks too much of what is lost here"));
            }
        }
    }

    /// Contents that points need and that have no usable place here, some at once. What lies
    /// below a lost node shows when that node is back.
    fn wanted(&self, lost: &BTreeSet<Id>, watch: &dyn Watch) -> Result<BTreeMap<Id, Kind>> {
        let inner = self.inner();
        let points = self.all_points()?.good;
        inner.index.refresh()?;
        let usable = |id: &Id| Ok(inner.index.find(id)?.is_some());
        let mut walk = Walk::new(inner, &usable, watch);
        let mut wanted = BTreeMap::new();
        for point in points {
            walk.map(&point.map, &mut |wound| {
                // Its place is not known to be bad, yet reading failed: that is verify's to say.
                let usable = wound.why.is_some();
                if !usable && !lost.contains(&wound.id) && wanted.len() < margins::HEAL_BATCH {
                    wanted.insert(wound.id, wound.kind);
                }
                Ok(())
            })?;
        }
        Ok(wanted)
    }
}

impl<'a> Filling<'a> {
    fn new(inner: &'a Inner, owner: PointKey, watch: &'a dyn Watch) -> Result<Self> {
        let encoder = Encoder::new(inner.config.level, inner.config.check_codec)?;
        let (chunks, nodes, frames) = (None, None, Vec::new());
        let memory = inner.pack_memory();
        Ok(Self { inner, owner, watch, encoder, memory, chunks, nodes, frames })
    }

    fn put(&mut self, kind: Kind, id: Id, raw: &[u8]) -> Result<()> {
        if self.watch.cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "healing was cancelled"));
        }
        let slot = match kind {
            Kind::Chunk => &mut self.chunks,
            Kind::Node => &mut self.nodes,
        };
        let mut writer = match slot.take() {
            Some(writer) => writer,
            None => self.inner.begin_pack(kind, &self.memory)?,
        };
        writer.encode(id, raw, &mut self.encoder)?;
        if writer.len() >= self.inner.config.pack_bytes as usize {
            return self.store(writer);
        }
        *slot = Some(writer);
        Ok(())
    }

    fn store(&mut self, writer: Writer) -> Result<()> {
        let closed = writer.close()?;
        let size = closed.bytes.len() as u64;
        self.inner.objects.create_unique(&closed.pack.object(), closed.bytes)?;
        self.watch.advance(0, size);
        self.frames.extend(closed.frames);
        Ok(())
    }

    /// Makes all durable and then findable.
    fn finish(mut self) -> Result<()> {
        for writer in [self.chunks.take(), self.nodes.take()].into_iter().flatten() {
            self.store(writer)?;
        }
        match self.frames.is_empty() {
            true => Ok(()),
            false => self.inner.index.publish(&self.owner, &self.frames).map(drop),
        }
    }
}
