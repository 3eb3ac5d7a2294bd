//! Where chunks and nodes go: deduplicated, encoded, packed and uploaded.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{Ingest, Ingested};
use crate::chunk::Rule;
use crate::codec::Encoder;
use crate::error::{Error, Result};
use crate::id::{Id, Kind, Root};
use crate::index::Attempt;
use crate::load::Loader;
use crate::margins;
use crate::memory::Pool;
use crate::pack::{Closed, Location, Writer};
use crate::point::PointKey;
use crate::present::Present;
use crate::source::Watch;
use crate::store::Inner;

/// The receiving end of one attempt.
pub(super) struct Deposit<'a> {
    inner: &'a Inner,
    attempt: &'a Attempt,
    present: &'a Present,
    point: PointKey,
    watch: &'a dyn Watch,
    /// Packs of chunks that nobody fills just now.
    chunks: Mutex<Vec<Writer>>,
    nodes: Mutex<Option<Writer>>,
    /// Memory of packs, used again when they were uploaded.
    memory: Arc<Pool>,
    /// Ids that this attempt stores and that no published run names yet.
    pending: Mutex<HashSet<Id>>,
    packs: Mutex<Option<SyncSender<Closed>>>,
    durable: Mutex<Durable>,
    failed: Mutex<Option<Error>>,
    stop: AtomicBool,
    tally: Tally,
}

/// What one thread stores with: its codec and the pack that it fills. Threads do not wait for
/// each other, and chunks that are neighbours on the disk are neighbours in a pack.
pub(super) struct Hand {
    encoder: Encoder,
    pack: Option<Writer>,
}

/// Frames whose packs are durable and that no published run names yet.
#[derive(Default)]
struct Durable {
    frames: Vec<(Id, Location)>,
    bytes: u64,
    /// Runs published so far.
    runs: u32,
}

/// Counts of what was done.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) read: AtomicU64,
    pub(super) zero: AtomicU64,
    pub(super) chunks: AtomicU64,
    new: AtomicU64,
    stored: AtomicU64,
    deduplicated: AtomicU64,
    again: AtomicU64,
}

impl Tally {
    pub(super) fn ingested(&self, root: Root) -> Ingested {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Ingested {
            root,
            bytes_read: get(&self.read),
            bytes_zero: get(&self.zero),
            chunks: get(&self.chunks),
            bytes_new: get(&self.new),
            bytes_stored: get(&self.stored),
            bytes_deduplicated: get(&self.deduplicated),
            bytes_found_again: get(&self.again),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Deposit<'a> {
    pub(super) fn new(ingest: &'a Ingest, packs: SyncSender<Closed>, watch: &'a dyn Watch) -> Self {
        Self {
            inner: ingest.store.inner(),
            attempt: &ingest.attempt,
            present: &ingest.present,
            point: ingest.plan.point,
            watch,
            chunks: Mutex::new(Vec::new()),
            nodes: Mutex::new(None),
            memory: ingest.store.inner().pack_memory(),
            pending: Mutex::new(HashSet::new()),
            packs: Mutex::new(Some(packs)),
            durable: Mutex::new(Durable::default()),
            failed: Mutex::new(None),
            stop: AtomicBool::new(false),
            tally: Tally::default(),
        }
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    pub(super) fn rule(&self) -> &Rule {
        &self.inner.rule
    }

    pub(super) fn loader(&self) -> &Loader {
        &self.inner.loader
    }

    /// Bytes of the longest chunk.
    pub(super) fn longest(&self) -> u32 {
        self.inner.config.chunk_max
    }

    pub(super) fn hand(&self) -> Result<Hand> {
        let encoder = Encoder::new(self.inner.config.level, self.inner.config.check_codec)?;
        Ok(Hand { encoder, pack: None })
    }

    /// Lays down the pack that is being filled, for whoever needs one next.
    pub(super) fn rest(&self, hand: &mut Hand) {
        lock(&self.chunks).extend(hand.pack.take());
    }

    /// Whether an uploader failed, so that further work is for nothing.
    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// The failure of an uploader, if there was one.
    pub(super) fn failure(&self) -> Option<Error> {
        lock(&self.failed).take()
    }

    /// Whether the store has `id`, of `len` bytes, or is about to; if so, counts it.
    pub(super) fn knows(&self, id: &Id, len: u64) -> Result<bool> {
        if lock(&self.pending).contains(id) {
            self.tally.deduplicated.fetch_add(len, Ordering::Relaxed);
            return Ok(true);
        }
        if !self.stored(id)? {
            return Ok(false);
        }
        let again = self.attempt.holds(id, &self.inner.index)?;
        let count = if again { &self.tally.again } else { &self.tally.deduplicated };
        count.fetch_add(len, Ordering::Relaxed);
        Ok(true)
    }

    /// The id of a chunk.
    pub(super) fn id(&self, chunk: &[u8]) -> Id {
        self.inner.loader.hasher.id(Kind::Chunk, chunk)
    }

    /// Stores `raw` unless the store has it already, and returns its id.
    pub(super) fn put(&self, kind: Kind, raw: &[u8], hand: &mut Hand) -> Result<Id> {
        let id = self.inner.loader.hasher.id(kind, raw);
        self.put_as(id, kind, raw, hand)
    }

    /// The same where the id is known.
    pub(super) fn put_as(&self, id: Id, kind: Kind, raw: &[u8], hand: &mut Hand) -> Result<Id> {
        if !self.is_new(&id, raw.len() as u64)? {
            return Ok(id);
        }
        match kind {
            Kind::Chunk => {
                let pack = hand.pack.take().or_else(|| lock(&self.chunks).pop());
                hand.pack = self.add(pack, (kind, id), raw, &mut hand.encoder)?;
            }
            Kind::Node => {
                // The lock is held while an uploader is waited for: others wait too, instead of
                // filling more packs than may be in memory.
                let mut nodes = lock(&self.nodes);
                *nodes = self.add(nodes.take(), (kind, id), raw, &mut hand.encoder)?;
            }
        }
        Ok(id)
    }

    /// Whether the store has `id`, not known to be damaged, in a pack that will stay.
    fn stored(&self, id: &Id) -> Result<bool> {
        self.present.holds(&self.inner.index, id)
    }

    /// Whether `id` has to be stored, by whoever asks. Counts its bytes if not.
    fn is_new(&self, id: &Id, len: u64) -> Result<bool> {
        if self.knows(id, len)? {
            return Ok(false);
        }
        if !lock(&self.pending).insert(*id) {
            self.tally.deduplicated.fetch_add(len, Ordering::Relaxed);
            return Ok(false);
        }
        Ok(true)
    }

    /// Adds a frame to a pack, a new one if there is none; gives the pack back unless it is full.
    fn add(
        &self,
        pack: Option<Writer>,
        (kind, id): (Kind, Id),
        raw: &[u8],
        encoder: &mut Encoder,
    ) -> Result<Option<Writer>> {
        let mut pack = match pack {
            Some(pack) => pack,
            None => self.inner.begin_pack(kind, &self.memory)?,
        };
        let stored = pack.encode(id, raw, encoder)?;
        self.tally.new.fetch_add(raw.len() as u64, Ordering::Relaxed);
        self.tally.stored.fetch_add(u64::from(stored), Ordering::Relaxed);
        if pack.len() < self.inner.config.pack_bytes as usize {
            return Ok(Some(pack));
        }
        self.send(pack).map(|()| None)
    }

    /// Hands a pack to the uploaders; waits while too many are waiting.
    fn send(&self, writer: Writer) -> Result<()> {
        if writer.is_empty() {
            return Ok(());
        }
        let gone = || Error::internal("the uploaders are gone");
        let packs = lock(&self.packs).clone().ok_or_else(gone)?;
        packs.send(writer.close()?).map_err(|_| gone())
    }

    /// Sends what is left and lets the uploaders end.
    pub(super) fn close(&self) -> Result<()> {
        let mut sent = Ok(());
        let chunks = std::mem::take(&mut *lock(&self.chunks));
        for pack in chunks.into_iter().chain(lock(&self.nodes).take()) {
            if sent.is_ok() && !self.stopped() {
                sent = self.send(pack);
            }
        }
        lock(&self.packs).take();
        sent
    }

    /// One uploader: packs from the queue to the store, until the queue is closed. After a
    /// failure it goes on emptying the queue, so that nobody waits for ever.
    pub(super) fn upload(&self, queue: &Mutex<Receiver<Closed>>) {
        loop {
            let next = lock(queue).recv();
            let Ok(pack) = next else { return };
            if self.stopped() {
                continue;
            }
            let stored = catch_unwind(AssertUnwindSafe(|| self.store(pack)))
                .unwrap_or_else(|_| Err(Error::internal("an uploader of a backup panicked")));
            if let Err(e) = stored {
                lock(&self.failed).get_or_insert(e);
                self.stop.store(true, Ordering::Release);
            }
        }
    }

    fn store(&self, closed: Closed) -> Result<()> {
        let size = closed.bytes.len() as u64;
        self.put_pack(&closed.pack.object(), closed.bytes)?;
        self.present.add(&closed.pack);
        tracing::debug!(pack = %closed.pack.name, size, kind = ?closed.kind, "pack stored");
        self.watch.advance(0, size);
        let due = {
            let mut durable = lock(&self.durable);
            durable.frames.extend(closed.frames);
            durable.bytes += size;
            durable.bytes >= self.checkpoint(durable.runs)
                || durable.frames.len() >= margins::CHECKPOINT_ENTRIES
        };
        if due { self.publish() } else { Ok(()) }
    }

    /// Stored bytes after which the next run is due. The first runs come early, so that also a
    /// short attempt is found again; later ones are larger, so that a long one leaves few.
    fn checkpoint(&self, runs: u32) -> u64 {
        let config = &self.inner.config;
        (u64::from(config.pack_bytes) << runs.min(32)).min(config.checkpoint_bytes)
    }

    fn put_pack(&self, name: &str, bytes: Bytes) -> Result<()> {
        #[cfg(feature = "failpoints")]
        tracing::info!(step = "store.pack.put", "step");
        fail::fail_point!("store.pack.put", |_| Err(Error::new(
            crate::error::ErrorKind::Transient,
            "fail point store.pack.put"
        )));
        self.inner.objects.create_unique(name, bytes)
    }

    /// Makes all frames in durable packs findable.
    pub(super) fn publish(&self) -> Result<()> {
        let frames = {
            let mut durable = lock(&self.durable);
            let runs = durable.runs + 1;
            std::mem::replace(&mut *durable, Durable { runs, ..Durable::default() }).frames
        };
        if frames.is_empty() {
            return Ok(());
        }
        self.inner.index.publish(&self.point, &frames)?;
        let mut pending = lock(&self.pending);
        for (id, _) in &frames {
            pending.remove(id);
        }
        Ok(())
    }
}
