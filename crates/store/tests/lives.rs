//! Whole lives of stores against a model: backups with and without lists of changes, crashes,
//! removals, pins, collections of all kinds, verifications, copies to a store of the domain and
//! to a stranger. Whatever the order, each listed point is the disk of its time.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod garbage;
mod rig;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use garbage::{nothing_is_left_open, plain, ruthless, tight};
use object_store::memory::InMemory;
use rig::{Rig, begin, ingest, key, parallel, pattern, patterned, restore, secret, small, wanted};
use tresor_store::{Collect, ErrorKind, Pin, Store, Verify};
use tresor_testkit::{Memory, Rng};

/// One store and what the model says of it.
struct Side {
    rig: Rig,
    store: Store,
    listed: BTreeSet<u64>,
    removed: BTreeSet<u64>,
}

impl Side {
    fn new(rig: Rig, store: Store) -> Self {
        let (listed, removed) = Default::default();
        Self { rig, store, listed, removed }
    }
}

struct Life {
    seed: u64,
    rng: Rng,
    /// The store that is backed up to, one of its domain, and a stranger.
    sides: [Side; 3],
    disks: BTreeMap<u64, Vec<u8>>,
    pins: BTreeMap<u64, Pin>,
    next: u64,
    log: Vec<String>,
}

/// How often it came to what.
#[derive(Default)]
struct Counts {
    freed: AtomicU64,
    rewritten: AtomicU64,
    copied: AtomicU64,
    voided: AtomicU64,
}

impl Life {
    fn new(seed: u64) -> Self {
        let rig = |number| Rig::light(Arc::new(InMemory::new()), seed * 10 + number);
        let (home, near, far) = (rig(1), rig(2), rig(3));
        let store = home.init(small());
        let (objects, rt) = (Arc::clone(&near.objects), near.rt.handle().clone());
        let (cache, env) = (near.cache.path(), near.env.clone());
        let sibling =
            Store::init_in(store.domain(), objects, rt, cache, small(), &secret(), env).unwrap().0;
        let stranger = far.init(small());
        let sides = [Side::new(home, store), Side::new(near, sibling), Side::new(far, stranger)];
        let (disks, pins, log) = Default::default();
        Self { seed, rng: Rng::new(seed), sides, disks, pins, next: 1, log }
    }

    fn told(&self) -> String {
        format!("seed {}: {}", self.seed, self.log.join(", "))
    }

    fn any(&mut self, side: usize) -> Option<u64> {
        let listed: Vec<u64> = self.sides[side].listed.iter().copied().collect();
        listed.get(self.rng.below(listed.len().max(1) as u64) as usize).copied()
    }

    /// The next disk: a change of a listed one, with the list of changes, or a new one.
    fn disk(&mut self) -> (Option<u64>, Vec<u8>, Vec<Range<u64>>) {
        let Some(parent) = self.any(0).filter(|_| self.rng.below(4) > 0) else {
            let size = (1 + self.rng.below(500)) as usize * 512;
            return (None, patterned(&mut self.rng, size), Vec::new());
        };
        let mut disk = self.disks[&parent].clone();
        if self.rng.below(4) == 0 {
            disk.resize((1 + self.rng.below(600)) as usize * 512, 0);
        }
        let mut changed = Vec::new();
        for _ in 0..self.rng.below(4) {
            let start = self.rng.below(disk.len() as u64);
            let end = (start + 1 + self.rng.below(60_000)).min(disk.len() as u64);
            let kind = self.rng.below(5);
            for block in disk[start as usize..end as usize].chunks_mut(4096) {
                pattern(&mut self.rng, kind, block);
            }
            let unit = [512, 4096, 65536][self.rng.below(3) as usize];
            changed.push(start / unit * unit..end.div_ceil(unit) * unit);
        }
        (Some(parent), disk, changed)
    }

    fn back_up(&mut self) {
        let (parent, bytes, changed) = self.disk();
        let (point, crash) = (self.next, self.rng.below(8) == 0);
        self.next += 1;
        let disk =
            if self.rng.below(2) == 0 { Memory::sparse(bytes) } else { Memory::dense(bytes) };
        let listed = Some(changed.as_slice()).filter(|_| self.rng.below(3) > 0);
        self.log.push(format!("backup {point} on {parent:?}, crash {crash}"));
        let store = &self.sides[0].store;
        if crash {
            let mut ingest = begin(store, point, parent, disk.bytes().len() as u64).unwrap();
            ingest.run(&disk, listed, &()).unwrap();
            return;
        }
        let (_, done) = ingest(store, point, parent, &disk, listed).unwrap();
        assert!(done.won, "{}", self.told());
        self.disks.insert(point, disk.bytes().to_vec());
        self.sides[0].listed.insert(point);
    }

    fn remove(&mut self, side: usize) {
        let Some(point) = self.any(side) else { return };
        self.log.push(format!("remove {point} at {side}"));
        let removed = self.sides[side].store.remove_point(&key(point));
        let pinned = side == 0 && self.is_pinned(point);
        match removed {
            Ok(()) => assert!(!pinned, "{}", self.told()),
            Err(e) => {
                assert!(pinned && e.kind() == ErrorKind::Pinned, "{}: {e:?}", self.told());
                return;
            }
        }
        self.sides[side].listed.remove(&point);
        self.sides[side].removed.insert(point);
    }

    /// By somebody of the model, or by a copy to the stranger, which keeps its last base.
    fn is_pinned(&self, point: u64) -> bool {
        let pins = self.sides[0].store.pins().unwrap();
        assert!(self.pins.keys().all(|p| pins.iter().any(|pin| pin.point.key == key(*p))));
        pins.iter().any(|pin| pin.point.key == key(point))
    }

    fn collect(&mut self, side: usize, counts: &Counts) {
        let how = match self.rng.below(3) {
            0 => plain(),
            1 => tight(),
            _ => Collect { max_unused_percent: 0.0, ..ruthless() },
        };
        self.log.push(format!("collect at {side}"));
        let done = self.sides[side].store.collect(&how, &()).unwrap();
        assert_eq!(done.lost_ids, 0, "{}: {done:?}", self.told());
        counts.freed.fetch_add(done.deleted_packs, Relaxed);
        counts.rewritten.fetch_add(done.rewritten_packs, Relaxed);
        counts.voided.fetch_add(done.voided.len() as u64, Relaxed);
    }

    fn copy(&mut self, side: usize, counts: &Counts) {
        let Some(point) = self.any(0) else { return };
        self.log.push(format!("copy {point} to {side}"));
        let [home, others @ ..] = &mut self.sides;
        let to = &mut others[side - 1];
        match home.store.copy_point(&key(point), &to.store, &()) {
            Ok(copied) => {
                let source = home.store.point(&key(point)).unwrap().unwrap();
                assert_eq!(copied.record.root == source.root, side == 1);
                counts.copied.fetch_add(u64::from(to.listed.insert(point)), Relaxed);
            }
            Err(e) => {
                let spent = to.removed.contains(&point) && e.kind() == ErrorKind::Voided;
                assert!(spent, "{}: {e:?}", self.told());
            }
        }
    }

    fn verify(&mut self, side: usize) {
        self.log.push(format!("verify {side}"));
        let store = &self.sides[side].store;
        let found = store.verify(&Verify::deep(), &()).unwrap();
        assert!(found.is_clean() && found.complete, "{}: {:?}", self.told(), found.findings);
    }

    fn pin(&mut self) {
        if let Some((point, pin)) = self.pins.pop_first().filter(|_| self.rng.below(2) == 0) {
            self.log.push(format!("unpin {point}"));
            pin.release().unwrap();
        } else if let Some(point) = self.any(0) {
            self.log.push(format!("pin {point}"));
            let pin = self.sides[0].store.pin(&key(point), "somebody").unwrap();
            if let Some(older) = self.pins.insert(point, pin) {
                older.release().unwrap();
            }
        }
    }

    fn reopen(&mut self, side: usize) {
        self.log.push(format!("reopen {side}"));
        self.sides[side].store = self.sides[side].rig.open().unwrap();
    }

    fn is_whole(&self, side: usize, point: u64) {
        let read = restore(&self.sides[side].store, point);
        let read = read.unwrap_or_else(|e| panic!("{}: {point} at {side}: {e:?}", self.told()));
        assert!(read == self.disks[&point], "{}: wrong bytes of {point} at {side}", self.told());
    }

    fn step(&mut self, counts: &Counts) {
        let side = self.rng.below(3) as usize;
        match self.rng.below(16) {
            0..5 => self.back_up(),
            5..7 => self.remove(side),
            7..9 => self.copy(1 + side % 2, counts),
            9..12 => self.collect(side, counts),
            12 => self.verify(side),
            13 => self.reopen(side),
            _ => self.pin(),
        }
        if let Some(point) = self.any(side) {
            self.is_whole(side, point);
        }
    }

    fn end(&mut self) {
        for side in 0..3 {
            self.reopen(side);
            for _ in 0..2 {
                let how = Collect { void_after: Duration::ZERO, ..tight() };
                self.sides[side].store.collect(&how, &()).unwrap();
            }
            nothing_is_left_open(&self.sides[side].rig);
            self.verify(side);
            let listed = self.sides[side].store.points().unwrap();
            assert_eq!(listed.len(), self.sides[side].listed.len(), "{}", self.told());
            self.sides[side].listed.iter().for_each(|point| self.is_whole(side, *point));
        }
    }
}

#[test]
fn each_listed_point_is_the_disk_of_its_time() {
    let (first, seeds) = (wanted("TRESOR_CAMPAIGN_SEED", 1), wanted("TRESOR_SEEDS", 100));
    let counts = Counts::default();
    parallel(first..first + seeds, |seed| {
        let mut life = Life::new(seed);
        for _ in 0..40 {
            life.step(&counts);
        }
        life.end();
    });
    let Counts { freed, rewritten, copied, voided } = counts;
    let all = [freed, rewritten, copied, voided].map(AtomicU64::into_inner);
    println!(
        "campaign: lives, seeds {first}..{}: {} packs freed, {} rewritten, {} points copied, {} \
         attempts given up",
        first + seeds,
        all[0],
        all[1],
        all[2],
        all[3]
    );
    assert!(all.iter().all(|count| *count > 0), "something never happened");
}
