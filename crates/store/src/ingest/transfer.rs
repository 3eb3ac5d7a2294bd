//! Taking over a point of another store that cuts and names contents alike.
//!
//! The map of the source is walked beside that of the attempt's parent, which is announced and
//! so cannot go: a subtree that both have is skipped. That a *node* is in the target's index
//! proves nothing about what lies below it, so every other subtree is walked to its chunks, and
//! each of those is looked for by itself. So is all of it where the parent is damaged. What the
//! target lacks is fetched in the order of the source's packs, decoded, compared with its id and
//! encoded anew at the target's own level. Memory is bounded by one batch of references and the
//! packs in flight.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::deposit::{Deposit, Hand};
use super::{Ingest, Ingested, keep};
use crate::error::{Error, ErrorKind, Result};
use crate::fetch::{self, Fetch};
use crate::id::{Id, Kind};
use crate::load::Loader;
use crate::map::{Compare, Difference, Item, Seen, Tree};
use crate::margins;
use crate::pack::Location;
use crate::read::Reader;
use crate::source::Watch;

/// A chunk that the target lacks: where it is, its id and its length.
type Missing = (Location, (Id, u32));

/// What the workers of one transfer share.
struct Transfer<'a> {
    deposit: &'a Deposit<'a>,
    from: &'a Loader,
    watch: &'a dyn Watch,
    stop: AtomicBool,
    failed: Mutex<Option<Error>>,
}

impl Ingest {
    /// Stores what `from`, a point of a store of the same domain and cutting, reaches. When this
    /// returns, all of it is durable and the map is that of `from`.
    pub(crate) fn transfer(&mut self, from: &Reader, watch: &dyn Watch) -> Result<Ingested> {
        self.done = None;
        let map = from.record.map;
        // Nothing stands for a parent that is not whole: what it lacks is copied again, which
        // heals every point that shares it.
        let lessons = self.store.inner().index.lessons();
        let whole = self.wounds(watch)?.is_empty();
        let inner = self.store.inner();
        let parent = self.parent.as_ref().filter(|_| whole);
        let old = parent.map_or_else(|| Tree::zero(0, map.window), |parent| parent.map);
        let source = &from.store.inner().loader;
        let compare = Compare::new(
            Seen { tree: old, loader: &inner.loader },
            Seen { tree: map, loader: source },
            0,
        )?;
        watch.expect(map.size);
        let (packs, waiting) = sync_channel(margins::PACKS_WAITING);
        let deposit = Deposit::new(self, packs, watch);
        let (stop, failed) = (AtomicBool::new(false), Mutex::new(None));
        let transfer = Transfer { deposit: &deposit, from: source, watch, stop, failed };
        keep(&deposit, waiting, || transfer.run(compare, &map))?;
        let ingested = deposit.tally().ingested(map.root(&inner.loader.hasher));
        // All that was taken over is whole, and all else was found or stored.
        inner.index.know_whole(ingested.root, lessons);
        self.done = Some(map);
        Ok(ingested)
    }
}

impl Transfer<'_> {
    fn run(&self, mut compare: Compare<'_>, map: &Tree) -> Result<()> {
        let mut hand = self.deposit.hand()?;
        let (mut batch, mut done) = (Vec::new(), 0);
        while let Some(difference) = compare.next()? {
            self.go_on()?;
            match difference {
                Difference::Inner(id) => self.node(&id, &mut hand)?,
                Difference::Leaf { new: None, .. } => {}
                Difference::Leaf { window, new: Some(id), .. } => {
                    let end = map.start(window) + u64::from(map.len(window));
                    let missing = self.leaf(&id, map.len(window), &mut batch)?;
                    self.node(&id, &mut hand)?;
                    self.watch.advance((end - done).saturating_sub(missing), 0);
                    done = end;
                }
            }
            if batch.len() >= margins::COPY_BATCH {
                self.fetch_all(std::mem::take(&mut batch))?;
            }
        }
        self.fetch_all(batch)?;
        self.watch.advance(map.size - done, 0);
        Ok(())
    }

    fn go_on(&self) -> Result<()> {
        if self.deposit.stopped() || self.watch.cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "the copy was cancelled"));
        }
        Ok(())
    }

    /// Stores a node as it is.
    fn node(&self, id: &Id, hand: &mut Hand) -> Result<()> {
        let raw = self.from.node(id)?.encode();
        match self.deposit.put(Kind::Node, &raw, hand)? == *id {
            true => Ok(()),
            false => Err(Error::corrupt(format!("map node {id} is not in its plain form"))),
        }
    }

    /// Notes the chunks of a leaf that the target lacks; returns their bytes.
    fn leaf(&self, id: &Id, window: u32, batch: &mut Vec<Missing>) -> Result<u64> {
        let node = self.from.node(id)?;
        let mut missing = 0;
        for item in node.items(window)? {
            let Item::Chunk { id, len } = *item else { continue };
            self.deposit.tally().chunks.fetch_add(1, Ordering::Relaxed);
            if !self.deposit.knows(&id, u64::from(len))? {
                batch.push((self.from.locate(&id)?, (id, len)));
                missing += u64::from(len);
            }
        }
        Ok(missing)
    }

    /// Fetches and stores a batch of chunks.
    fn fetch_all(&self, mut batch: Vec<Missing>) -> Result<()> {
        batch.sort_unstable_by_key(|(at, (id, _))| (at.pack.name, at.offset, *id));
        let requests = fetch::plan(batch);
        let turn = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..margins::COPY_WORKERS.min(requests.len()) {
                scope.spawn(|| {
                    while let Some(request) = requests.get(turn.fetch_add(1, Ordering::Relaxed)) {
                        if self.stop.load(Ordering::Acquire) {
                            return;
                        }
                        let done = catch_unwind(AssertUnwindSafe(|| self.fetch(request)))
                            .unwrap_or_else(|_| Err(Error::internal("a copy panicked")));
                        if let Err(e) = done {
                            self.stop.store(true, Ordering::Release);
                            self.failed().get_or_insert(e);
                        }
                    }
                });
            }
        });
        self.failed().take().map_or(Ok(()), Err)
    }

    fn failed(&self) -> std::sync::MutexGuard<'_, Option<Error>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches chunks that lie close together in one pack.
    fn fetch(&self, request: &Fetch<(Id, u32)>) -> Result<()> {
        let mut hand = self.deposit.hand()?;
        let bytes = match self.from.fetch(&request.pack, request.range.clone()) {
            // Moved to another pack: one by one, each is looked for again.
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            other => Some(other?),
        };
        for same in request.frames.chunk_by(|(a, x), (b, y)| (a.offset, x.0) == (b.offset, y.0)) {
            self.go_on()?;
            let Some((at, (id, len))) = same.first() else { continue };
            let mut keep = |raw: &[u8]| self.chunk(id, *len, raw, &mut hand);
            match &bytes {
                None => keep(&self.from.chunk(id)?)?,
                Some(bytes) => {
                    let frame = request.frame(at, bytes)?;
                    self.from.open(at, (Kind::Chunk, *id), frame, keep)?;
                }
            }
            self.watch.advance(same.iter().map(|(_, (_, len))| u64::from(*len)).sum(), 0);
        }
        self.deposit.rest(&mut hand);
        Ok(())
    }

    fn chunk(&self, id: &Id, len: u32, raw: &[u8], hand: &mut Hand) -> Result<()> {
        self.deposit.tally().read.fetch_add(raw.len() as u64, Ordering::Relaxed);
        if raw.len() != len as usize || self.deposit.put(Kind::Chunk, raw, hand)? != *id {
            return Err(Error::corrupt(format!("{id} is not what its map says")));
        }
        Ok(())
    }
}
