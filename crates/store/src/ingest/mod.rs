//! Making a point.
//!
//! The order is: writer announced; chunks and map nodes in packs; index runs that name durable
//! packs only; point record. A node that is found in the index does not stand for its children:
//! those are stored, or found, each for itself. Killed at any moment, an attempt leaves nothing
//! that is listed; what its index runs name is found again by the next attempt and not stored
//! twice.
//!
//! One window of the disk is the unit of parallel work: a worker reads, cuts, hashes, compresses
//! and encrypts it from end to end while its bytes are warm. Packs go to uploaders through a
//! bounded queue, finished windows to the map builder in order. Memory is bounded by the number
//! of workers and packs in flight, whatever the size of the disk.

mod deposit;
mod dispatch;
mod jobs;
mod transfer;
mod window;

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use jiff::Timestamp;
use uuid::Uuid;

use crate::damage;
use crate::error::{Error, ErrorKind, Result, chain};
use crate::gc;
use crate::id::{Kind, Root};
use crate::index::Attempt;
use crate::map::{Tree, Update};
use crate::margins;
use crate::object::Put;
use crate::point::{self, PointKey, PointRecord};
use crate::present::Present;
use crate::seal::{self, Record};
use crate::source::{Source, Watch};
use crate::standing::{Standing, voided};
use crate::store::Store;

use deposit::{Deposit, Hand};
use dispatch::Dispatcher;
use jobs::{Job, Jobs};
use window::Cutter;

/// What is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The key of the point; equal for all attempts of one job.
    pub point: PointKey,
    /// The point that changes are relative to.
    pub parent: Option<PointKey>,
    /// Bytes of the disk.
    pub size: u64,
}

/// The beginning of an attempt.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)]
pub enum Begun {
    /// Go on.
    New(Ingest),
    /// An earlier attempt of the same job has committed already.
    Exists(PointRecord),
}

/// An attempt to make a point. Dropping it is like a crash: its announcement stays.
pub struct Ingest {
    store: Store,
    plan: Plan,
    parent: Option<PointRecord>,
    writer: Uuid,
    attempt: Attempt,
    present: Present,
    done: Option<Tree>,
}

impl std::fmt::Debug for Ingest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ingest").field("plan", &self.plan).finish_non_exhaustive()
    }
}

/// What an attempt did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingested {
    /// Names the whole content.
    pub root: Root,
    /// Bytes read from the source.
    pub bytes_read: u64,
    /// Bytes of the parts looked at that are zero and take no room.
    pub bytes_zero: u64,
    /// Chunks looked at.
    pub chunks: u64,
    /// Bytes of chunks and map nodes that are new in the store.
    pub bytes_new: u64,
    /// Bytes that those take in packs.
    pub bytes_stored: u64,
    /// Bytes that the store had already, from other points.
    pub bytes_deduplicated: u64,
    /// Bytes that an earlier, unfinished attempt at this very point had stored already.
    pub bytes_found_again: u64,
}

/// What is known from the parent.
#[derive(Clone, Copy)]
struct Old<'a> {
    /// The map that the new one is made from; of zeros where everything is read.
    map: Tree,
    /// The parent's map where everything is read all the same: a chunk that it has at the same
    /// place is hashed and looked up, not cut.
    alike: Option<Tree>,
    /// Tidy ranges of the parent that cannot be read; they are stored anew.
    wounds: &'a [Range<u64>],
}

/// What became of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The record that has the key now.
    pub record: PointRecord,
    /// Whether it is ours; otherwise another attempt was faster.
    pub won: bool,
}

impl Store {
    /// Begins an attempt: announces the writer, durably, and then looks for the parent. A parent
    /// that is gone is no error; the attempt then has none (see [`Ingest::parent`]). Fails with
    /// [`ErrorKind::Voided`] where the point was removed or its attempts were given up.
    pub fn begin(&self, plan: Plan) -> Result<Begun> {
        let inner = self.inner();
        if inner.index.supposes() {
            let context = "this handle reads a store that was repaired in memory only: \
                           repair it, or open it anew, before points are made";
            return Err(Error::new(ErrorKind::Invalid, context));
        }
        inner.probe()?;
        match self.lasting(&plan.point)? {
            Standing::Point(record) => return Ok(Begun::Exists(*record)),
            Standing::GivenUp => return Err(voided(&plan.point)),
            Standing::Free => {}
        }
        // A parent that cannot be read is as good as gone: everything is read again.
        let look = |key: &PointKey| match self.point(key) {
            Err(e) if damage::is_damage(&e) => {
                tracing::warn!(point = %key, error = chain(&e), "no parent: damaged");
                Ok(None)
            }
            other => other,
        };
        let mut parent = plan.parent.as_ref().map(look).transpose()?.flatten();
        inner.keep_reserve()?;
        // Maps of another window have nothing in common with the ones that are made now.
        parent = parent.filter(|parent| parent.map.window == inner.config.window);
        let mut writer = self.announce(plan.point, parent.clone())?.id;
        if let Some(record) = &parent
            && self.point(&record.key)?.is_none()
        {
            // Removed and perhaps collected meanwhile: an announcement that names it would have
            // every collection look for what it reached, in vain.
            self.renounce(writer)?;
            parent = None;
            writer = self.announce(plan.point, None)?.id;
        }
        // Only now: whoever condemns packs after this sees the announcement and waits.
        let present = Present::new(inner.objects.clone(), self.condemned()?);
        let standing = self.lasting(&plan.point)?;
        if !matches!(standing, Standing::Free) {
            self.renounce(writer)?;
        }
        match standing {
            Standing::Point(record) => return Ok(Begun::Exists(*record)),
            Standing::GivenUp => return Err(voided(&plan.point)),
            Standing::Free => {}
        }
        inner.index.refresh()?;
        inner.learn_quarantine()?;
        let attempt = inner.index.attempt(&plan.point)?;
        let store = self.clone();
        Ok(Begun::New(Ingest { store, plan, parent, writer, attempt, present, done: None }))
    }

    /// What became of a key, durably: whoever made the point may have been killed before its
    /// flush, and what is seen may go with the power. What was listed stays.
    fn lasting(&self, key: &PointKey) -> Result<Standing> {
        match self.standing(key)? {
            Standing::Point(_) => {
                self.inner().objects.list(point::FOLDER)?;
                self.standing(key)
            }
            other => Ok(other),
        }
    }
}

impl Ingest {
    /// The point that changes may be relative to: the one of the plan, unless it is gone.
    pub fn parent(&self) -> Option<&PointRecord> {
        self.parent.as_ref()
    }

    /// Whether an earlier attempt at this point left something to find again.
    pub fn resumed(&self) -> bool {
        !self.attempt.is_empty()
    }

    /// Stores the source. With `changed`, only these ranges may differ from the parent; a disk
    /// that grew differs in what it grew by. Without (or without a parent) everything allocated
    /// is read. When this returns, all that the point will reach is durable.
    pub fn run(
        &mut self,
        source: &dyn Source,
        changed: Option<&[Range<u64>]>,
        watch: &dyn Watch,
    ) -> Result<Ingested> {
        self.done = None;
        if source.len() != self.plan.size {
            return Err(Error::new(ErrorKind::Invalid, "the source has another size than planned"));
        }
        let lessons = self.store.inner().index.lessons();
        let wounds = self.wounds(watch)?;
        let all = changed.map(|changed| [changed, &wounds].concat());
        let changed = all.as_deref();
        let window = self.store.config().window;
        let new = Tree::zero(self.plan.size, window);
        let parent = self.parent.as_ref().map(|parent| parent.map);
        let (map, alike) = match (parent, changed) {
            (Some(parent), Some(_)) => (parent, None),
            _ => (Tree::zero(self.plan.size, window), parent),
        };
        let delta = self.parent.as_ref().and(changed);
        let jobs = Jobs::new(source, new, map, delta);
        watch.expect(jobs.work());
        let (packs, waiting) = sync_channel(margins::PACKS_WAITING);
        let deposit = Deposit::new(self, packs, watch);
        let old = Old { map, alike, wounds: &wounds };
        let tree = process(&deposit, waiting, jobs, source, watch, old)?;
        let ingested = deposit.tally().ingested(tree.root(&self.store.inner().loader.hasher));
        // All that was taken over is whole, and all else was found or stored.
        self.store.inner().index.know_whole(ingested.root, lessons);
        self.done = Some(tree);
        Ok(ingested)
    }

    /// What cannot be read of the parent: it is read from the source again and stored anew, which
    /// heals every point that shares it.
    fn wounds(&self, watch: &dyn Watch) -> Result<Vec<Range<u64>>> {
        let inner = self.store.inner();
        match &self.parent {
            Some(parent) if inner.index.is_wounded() && !inner.index.is_whole(&parent.root) => {
                let wounds = inner.wounds(&parent.map, watch)?;
                if !wounds.is_empty() {
                    let (point, count) = (parent.key, wounds.len());
                    tracing::warn!(%point, count, "damaged ranges of the parent are read again");
                }
                Ok(wounds)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Creates the point's record: the commit. A reply that was lost is settled by reading back.
    /// Fails with [`ErrorKind::Voided`] where the attempt was given up meanwhile.
    pub fn commit(self, facts: BTreeMap<String, String>, time: Timestamp) -> Result<Committed> {
        let inner = self.store.inner();
        let Some(map) = self.done else {
            return Err(Error::new(ErrorKind::Invalid, "there is nothing to commit yet"));
        };
        let record = PointRecord {
            key: self.plan.point,
            root: map.root(&inner.loader.hasher),
            size: map.size,
            time,
            parent: self.parent.as_ref().map(|parent| parent.key),
            facts,
            nonce: self.writer,
            map,
        };
        let name = record.key.object();
        let sealed = seal::seal(&inner.ring, &inner.env, Record::Point, &name, &record.encode()?)?;
        if sealed.len() as u64 > margins::POINT_RECORD {
            return Err(Error::new(ErrorKind::Invalid, "the facts of a point are too long"));
        }
        #[cfg(feature = "failpoints")]
        tracing::info!(step = "store.point.put", "step");
        fail::fail_point!("store.point.put", |_| Err(Error::new(
            ErrorKind::Transient,
            "fail point store.point.put"
        )));
        let committed = match inner.objects.create(&name, sealed.into())? {
            Put::Ours => Committed { record, won: true },
            Put::Theirs => match self.store.standing(&record.key)? {
                Standing::Point(theirs) => {
                    Committed { won: theirs.nonce == record.nonce, record: *theirs }
                }
                Standing::GivenUp | Standing::Free => {
                    self.retire(false);
                    return Err(voided(&record.key));
                }
            },
        };
        self.retire(committed.won);
        Ok(committed)
    }

    /// Gives up. What was stored becomes garbage unless another attempt uses it.
    pub fn abandon(self) -> Result<()> {
        self.store.renounce(self.writer)
    }

    /// The announcement has done its work; one that stays is only something to clean up. Whoever
    /// won keeps it while packs are condemned: a collector that lists points and then writers
    /// could otherwise miss both the point and the announcement that holds its parent.
    fn retire(&self, won: bool) {
        let retired = match self.store.inner().objects.list(gc::CONDEMNED) {
            Ok(condemned) if won && !condemned.is_empty() => return,
            listed => listed.and_then(|_| self.store.renounce(self.writer)),
        };
        if let Err(e) = retired {
            tracing::warn!(writer = %self.writer, error = %e, "an announcement stays behind");
        }
    }
}

/// Runs workers, uploaders and the map builder until all is durable or something failed.
fn process<'a>(
    deposit: &'a Deposit<'a>,
    waiting: Receiver<crate::pack::Closed>,
    jobs: Jobs<'a>,
    source: &'a dyn Source,
    watch: &'a dyn Watch,
    old: Old<'a>,
) -> Result<Tree> {
    let (send, queue) = sync_channel::<Job>(margins::WINDOWS_AHEAD);
    let (results, finished) = sync_channel(margins::WINDOWS_AHEAD);
    let queue = Mutex::new(queue);
    keep(deposit, waiting, || {
        thread::scope(|scope| {
            for _ in 0..margins::INGEST_WORKERS {
                let results = results.clone();
                let queue = &queue;
                scope.spawn(move || work(deposit, queue, &results, source, watch, old));
            }
            drop(results);
            build(deposit, jobs, send, finished, watch, old)
        })
    })
}

/// Runs `fill` and uploads what it deposits until all is durable or something failed.
fn keep<'a, T>(
    deposit: &'a Deposit<'a>,
    waiting: Receiver<crate::pack::Closed>,
    fill: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let waiting = Mutex::new(waiting);
    let filled = thread::scope(|scope| {
        for _ in 0..margins::UPLOADS {
            scope.spawn(|| deposit.upload(&waiting));
        }
        // A panic of the source or the watcher here must not leave the uploaders waiting.
        let filled = catch_unwind(AssertUnwindSafe(fill))
            .unwrap_or_else(|_| Err(Error::internal("a backup panicked")));
        // Closing the queue of packs ends the uploaders, whatever happened.
        let closed = deposit.close();
        filled.and_then(|done| closed.map(|()| done))
    });
    // A failure in an uploader is the cause of whatever else was seen.
    deposit.failure().map_or(Ok(()), Err)?;
    // Also what a cancelled attempt has stored can be found again by the next one.
    let published = deposit.publish();
    filled.and_then(|done| published.map(|()| done))
}

/// Builds the map from the windows as they are finished.
fn build(
    deposit: &Deposit<'_>,
    jobs: Jobs<'_>,
    send: SyncSender<Job>,
    finished: Receiver<dispatch::Done>,
    watch: &dyn Watch,
    old: Old<'_>,
) -> Result<Tree> {
    let size = jobs.size();
    let mut hand = deposit.hand()?;
    let mut leaves = Dispatcher::new(jobs, send, finished, watch);
    let mut put = |node: &[u8]| deposit.put(Kind::Node, node, &mut hand);
    let loader = deposit.loader();
    let (old, wounds) = (old.map, old.wounds);
    let update = Update { loader, old, wounds, leaves: &mut leaves, put: &mut put };
    let tree = update.run(size)?;
    leaves.finish()?;
    Ok(tree)
}

/// One worker: windows from the queue, leaves to the builder.
fn work(
    deposit: &Deposit<'_>,
    queue: &Mutex<Receiver<Job>>,
    results: &SyncSender<dispatch::Done>,
    source: &dyn Source,
    watch: &dyn Watch,
    old: Old<'_>,
) {
    let mut tools: Option<(Cutter<'_>, Hand)> = None;
    loop {
        let next = queue.lock().map(|queue| queue.recv());
        let Ok(Ok(job)) = next else { return };
        let window = job.window;
        let run = || {
            if deposit.stopped() || watch.cancelled() {
                return Err(Error::new(ErrorKind::Cancelled, "the backup was cancelled"));
            }
            let (cutter, hand) = match &mut tools {
                Some(tools) => tools,
                none => none.insert((Cutter::new(deposit, source, watch)?, deposit.hand()?)),
            };
            let leaf = cutter.cut(&job, &old, hand);
            deposit.rest(hand);
            leaf
        };
        // A source that panics must not leave the builder waiting for its window.
        let leaf = catch_unwind(AssertUnwindSafe(run))
            .unwrap_or_else(|_| Err(Error::internal("a worker of a backup panicked")));
        let failed = leaf.is_err();
        if results.send(dispatch::Done { window, leaf, work: job.work }).is_err() || failed {
            return;
        }
    }
}
