//! A full disk: nothing that is kept is lost, points can be read and removed, and collecting
//! always gets the store out of it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod garbage;
mod rig;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use garbage::{nothing_is_left_open, tight};
use rig::{Rig, begin, ingest, key, parallel, patterned, restore, scratch, small, wanted};
use tresor_store::{Collect, ErrorKind, LocalObjects, Store};
use tresor_testkit::{Memory, Rng, Room};

/// Somebody at a store on a disk with little room; the index is cached elsewhere.
fn at(folder: &Path, room: &Room, seed: u64) -> Rig {
    let objects = LocalObjects::open_on(folder, Arc::new(room.clone())).unwrap();
    Rig::light(Arc::new(objects), seed)
}

fn all() -> Collect {
    Collect { void_after: Duration::ZERO, ..tight() }
}

/// Disks that share parts with each other, so that packs become half empty.
struct Disks {
    rng: Rng,
    common: Vec<u8>,
    made: Vec<(u64, Vec<u8>)>,
    next: u64,
}

impl Disks {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let common = patterned(&mut rng, 160 << 10);
        Self { rng, common, made: Vec::new(), next: 1 }
    }

    /// Backs up one more, which may fail.
    fn back_up(&mut self, store: &Store) -> Result<(), ErrorKind> {
        let mut disk = self.common.clone();
        let start = self.rng.below(20) as usize * 4096;
        let len = (1 + self.rng.below(20) as usize) * 4096;
        self.rng.fill(&mut disk[start..start + len]);
        let point = self.next;
        self.next += 1;
        let done = ingest(store, point, None, &Memory::sparse(disk.clone()), None);
        match done {
            Ok((_, committed)) => assert!(committed.won),
            Err(e) => return Err(e.kind()),
        }
        self.made.push((point, disk));
        Ok(())
    }

    fn all_are_whole(&self, store: &Store, context: &str) {
        for (point, disk) in &self.made {
            let read = restore(store, *point).unwrap_or_else(|e| panic!("{context}: {e:?}"));
            assert!(read == *disk, "{context}: a wrong restore of point {point}");
        }
        assert_eq!(store.points().unwrap().len(), self.made.len(), "{context}");
    }

    fn remove(&mut self, store: &Store, context: &str) {
        let place = self.rng.below(self.made.len() as u64) as usize;
        let (point, _) = self.made.swap_remove(place);
        let removed = store.remove_point(&key(point));
        removed.unwrap_or_else(|e| panic!("{context}: point {point} stays: {e:?}"));
    }
}

fn collect(store: &Store, context: &str) -> bool {
    let done = store.collect(&all(), &()).unwrap_or_else(|e| panic!("{context}: {e:?}"));
    assert_eq!((done.lost_ids, done.waiting_for.len()), (0, 0), "{context}: {done:?}");
    let left = store.collect(&Collect { dry_run: true, ..all() }, &()).unwrap();
    assert_eq!(left.dead_packs, 0, "{context}: dead packs stay: {left:?}");
    done.short_of_room
}

/// How often it went so.
#[derive(Default)]
struct Told {
    /// The reserve was needed to restore from the full store.
    spent: u64,
    /// Collections that had to leave something to later ones.
    short: u64,
    backed_up: u64,
}

/// Fills a disk to its last blocks and gets out of it again.
fn fill_and_free(seed: u64, slack: u64) -> Told {
    let context = format!("seed {seed}, {slack} blocks left");
    let (folder, room) = (scratch(), Room::new(u64::MAX));
    let (mut disks, mut told) = (Disks::new(seed), Told::default());
    {
        let rig = at(folder.path(), &room, seed * 10);
        let store = rig.init(small());
        disks.back_up(&store).unwrap();
        room.resize(room.used() + (300 << 10) + disks.rng.below(400 << 10));
        let e = loop {
            if let Err(e) = disks.back_up(&store) {
                break e;
            }
        };
        assert_eq!(e, ErrorKind::Full, "{context}");
    }
    room.resize(room.used() + slack * 4096);
    let rig = at(folder.path(), &room, seed * 10 + 1);
    let store = rig.open().unwrap();
    // What is full can be read, under a pin.
    let (point, disk) = disks.made[0].clone();
    let pin = store.pin(&key(point), "reader").unwrap_or_else(|e| panic!("{context}: {e:?}"));
    assert!(restore(&store, point).unwrap() == disk);
    told.spent += u64::from(!store.census().unwrap().folders.contains_key("reserve"));
    pin.release().unwrap();
    let mut refills = 4;
    while !disks.made.is_empty() {
        disks.remove(&store, &context);
        if disks.rng.below(3) > 0 {
            told.short += u64::from(collect(&store, &context));
            disks.all_are_whole(&store, &context);
        }
        while refills > 0 {
            match disks.back_up(&store) {
                Ok(()) => told.backed_up += 1,
                Err(ErrorKind::Full) => refills -= 1,
                Err(e) => panic!("{context}: {e:?}"),
            }
            if disks.rng.below(4) == 0 {
                break;
            }
        }
        disks.all_are_whole(&store, &context);
        for _ in 0..disks.rng.below(3).min(disks.made.len() as u64) {
            disks.remove(&store, &context);
        }
    }
    collect(&store, &context);
    let beside = at(folder.path(), &room, seed * 10 + 2);
    let store = beside.open().unwrap();
    assert!(!collect(&store, &context), "{context}: an empty store has room");
    nothing_is_left_open(&beside);
    disks.back_up(&store).unwrap_or_else(|e| panic!("{context}: the empty store is full: {e:?}"));
    disks.all_are_whole(&store, &context);
    told
}

#[test]
fn a_full_disk_is_always_freed_by_collecting() {
    let (first, seeds) = (wanted("TRESOR_CAMPAIGN_SEED", 1), wanted("TRESOR_SEEDS", 24));
    let sums = std::sync::Mutex::new(Told::default());
    parallel(first..first + seeds, |seed| {
        for slack in [0, 1, 4] {
            let told = fill_and_free(seed, slack);
            let mut sums = sums.lock().unwrap();
            sums.spent += told.spent;
            sums.short += told.short;
            sums.backed_up += told.backed_up;
        }
    });
    let Told { spent, short, backed_up } = sums.into_inner().unwrap();
    println!(
        "campaign: full disks, seeds {first}..{}: the reserve was needed {spent} times, {short} \
         collections left something to later ones, {backed_up} backups in between",
        first + seeds
    );
    assert!(spent > seeds && backed_up > 0, "the disks were hardly ever full");
}

/// A backup that begins must leave the reserve alone: it makes it anew or does not begin.
#[test]
fn no_point_is_begun_without_the_reserve() {
    let (folder, room) = (scratch(), Room::new(u64::MAX));
    let rig = at(folder.path(), &room, 1);
    let store = rig.init(small());
    let disk = Memory::sparse(patterned(&mut Rng::new(1), 40 << 10));
    ingest(&store, 1, None, &disk, None).unwrap();
    let reserve = || store.census().unwrap().folders.get("reserve").copied().unwrap_or_default();
    assert_eq!((reserve().objects, reserve().bytes), (1, 256 << 10));
    let (objects, rt) = (Arc::clone(&rig.objects), rig.rt.handle().clone());
    assert!(Store::spend_reserve(Arc::clone(&objects), rt.clone(), rig.env.clone()).unwrap());
    assert!(!Store::spend_reserve(objects, rt, rig.env.clone()).unwrap());
    room.resize(room.used() + (100 << 10));
    assert_eq!(begin(&store, 2, None, 40 << 10).unwrap_err().kind(), ErrorKind::Full);
    assert_eq!(store.writers().unwrap().len(), 0, "it did not begin");
    room.resize(u64::MAX);
    ingest(&store, 2, None, &disk, None).unwrap();
    assert_eq!(reserve().bytes, 256 << 10);
}
