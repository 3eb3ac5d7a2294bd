//! Every state that a machine may find after a loss of power, over whole lives of stores: what
//! was promised is there, bit for bit, nothing half-made is, and the next backup works.
//!
//! A life runs once, on files that keep a journal. After each step of the journal the states are
//! made that stable storage may be in (see `Journal`), and each is opened as a store by the
//! shipped code. Leaving out any one kind of flush must be noticed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod rig;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use rig::{Rig, begin, ingest, key, parallel, pattern, patterned, restore, scratch, small, wanted};
use tempfile::TempDir;
use tresor_store::{Collect, ErrorKind, LocalObjects, Pin, Result, Store, StoreConfig};
use tresor_testkit::{Image, Journal, Memory, Rng, Sync};
use uuid::Uuid;

/// Lives of one ordinary run, and states of each step of them.
const LIVES: u64 = 14;
/// So many states are enough.
const ENOUGH: usize = 20_000;
const STATES: usize = 16;

/// What somebody was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Made,
    Point(u64),
    /// From now on the point may go.
    Removing(u64),
    Removed(u64),
    Pinned(u64),
    /// From now on the pin may go.
    Releasing(u64),
    /// The pin of this name is gone.
    Released(Uuid),
}

/// What happened in one life.
struct Life {
    journal: Journal,
    folder: TempDir,
    /// When, as a place in the journal, and what.
    told: Vec<(usize, Told)>,
    disks: BTreeMap<u64, Vec<u8>>,
    listed: BTreeSet<u64>,
    pins: BTreeMap<u64, Pin>,
    rng: Rng,
    next: u64,
}

fn config() -> StoreConfig {
    StoreConfig { check_codec: false, ..small() }
}

fn open(journal: &Journal, folder: &Path, seed: u64) -> Result<(Rig, Store)> {
    let objects = LocalObjects::open_on(folder, Arc::new(journal.clone())).unwrap();
    let rig = Rig::light(Arc::new(objects), seed);
    let store = rig.open()?;
    Ok((rig, store))
}

impl Life {
    fn tell(&mut self, told: Told) {
        self.told.push((self.journal.len(), told));
    }

    /// A disk that is another one with a few changes, or a new one.
    fn disk(&mut self, parent: Option<u64>) -> Vec<u8> {
        let size = (1 + self.rng.below(100)) as usize * 1024;
        let Some(mut disk) = parent.and_then(|parent| self.disks.get(&parent).cloned()) else {
            return patterned(&mut self.rng, size);
        };
        for _ in 0..self.rng.below(3) {
            let (at, kind) = (self.rng.below(disk.len() as u64) as usize, self.rng.below(5));
            let end = (at + 4096).min(disk.len());
            pattern(&mut self.rng, kind, &mut disk[at..end]);
        }
        disk
    }

    fn any(&mut self) -> Option<u64> {
        let listed: Vec<u64> = self.listed.iter().copied().collect();
        listed.get(self.rng.below(listed.len().max(1) as u64) as usize).copied()
    }

    fn plan(&mut self) -> (u64, Option<u64>, Memory) {
        let parent = self.any().filter(|_| self.rng.below(3) > 0);
        let disk = self.disk(parent);
        self.next += 1;
        self.disks.insert(self.next, disk.clone());
        (self.next, parent, Memory::sparse(disk))
    }

    fn committed(&mut self, point: u64) {
        self.tell(Told::Point(point));
        self.listed.insert(point);
    }

    fn backup(&mut self, store: &Store) {
        let (point, parent, disk) = self.plan();
        assert!(ingest(store, point, parent, &disk, None).unwrap().1.won);
        self.committed(point);
    }

    /// Whoever opens the store after a process was killed may rely on what is there.
    fn settle(&mut self, store: &Store) {
        let points = store.points().unwrap();
        for point in 1..=self.next {
            if points.iter().any(|record| record.key == key(point)) {
                self.committed(point);
            }
        }
    }

    /// The process dies in the middle of a backup; another one takes over.
    fn killed(&mut self, seed: u64) {
        let (point, parent, disk) = self.plan();
        let doomed = self.journal.beside();
        let (rig, store) = open(&doomed, self.folder.path(), seed).unwrap();
        match self.rng.below(3) {
            0 => doomed.kill_after_naming("points"),
            _ => doomed.kill_after(self.rng.below(70)),
        }
        let done = ingest(&store, point, parent, &disk, None);
        assert!(done.is_ok() || doomed.killed(), "{done:?}");
        drop((store, rig));
        let (_rig, store) = open(&self.journal, self.folder.path(), seed + 1).unwrap();
        self.settle(&store);
        if !self.listed.contains(&point) && self.rng.below(2) == 0 {
            assert!(ingest(&store, point, parent, &disk, None).unwrap().1.won);
            self.committed(point);
        }
    }

    /// Of two attempts at one point the first dies as it commits; the second, which was there
    /// before, is told that there is a point. Or a third asks for it afterwards.
    fn raced(&mut self, seed: u64) {
        let (point, parent, disk) = self.plan();
        let doomed = self.journal.beside();
        let (one, first) = open(&doomed, self.folder.path(), seed).unwrap();
        let (_two, second) = open(&self.journal, self.folder.path(), seed + 1).unwrap();
        let size = disk.bytes().len() as u64;
        let mut a = begin(&first, point, parent, size).unwrap();
        let mut b = begin(&second, point, parent, size).unwrap();
        a.run(&disk, None, &()).unwrap();
        b.run(&disk, None, &()).unwrap();
        doomed.kill_after_naming("points");
        let time = jiff::Timestamp::UNIX_EPOCH;
        let lost = a.commit(BTreeMap::new(), time);
        assert!(lost.is_err() && doomed.killed(), "{lost:?}");
        drop((first, one));
        if self.rng.below(2) == 0 {
            assert!(!b.commit(BTreeMap::new(), time).unwrap().won);
        } else {
            let plan = tresor_store::Plan { point: key(point), parent: None, size };
            let begun = second.begin(plan).unwrap();
            assert!(matches!(begun, tresor_store::Begun::Exists(_)));
        }
        self.committed(point);
    }

    /// A process dies as it makes findable what it stored; another one, which was there before,
    /// finds it and builds on it.
    fn adopted(&mut self, seed: u64) {
        let (_, _, disk) = self.plan();
        let doomed = self.journal.beside();
        let (one, first) = open(&doomed, self.folder.path(), seed).unwrap();
        let (_two, second) = open(&self.journal, self.folder.path(), seed + 1).unwrap();
        doomed.kill_after_naming("index");
        let lost = ingest(&first, self.next, None, &disk, None);
        assert!(lost.is_err() == doomed.killed(), "{lost:?}");
        if lost.is_ok() {
            self.committed(self.next);
        }
        drop((first, one));
        self.next += 1;
        self.disks.insert(self.next, disk.bytes().to_vec());
        ingest(&second, self.next, None, &disk, None).unwrap();
        self.committed(self.next);
    }

    /// A point is removed and what it reached is collected. Attempts that died are given up, so
    /// that nothing is waited for.
    fn collected(&mut self, store: &Store) {
        self.remove(store);
        let how = Collect { void_after: std::time::Duration::ZERO, ..Collect::default() };
        let done = store.collect(&how, &()).unwrap();
        assert_eq!((done.lost_ids, done.waiting_for.len()), (0, 0), "{done:?}");
    }

    fn release(&mut self, point: u64, pin: Pin) {
        let name = pin.record().id;
        self.tell(Told::Releasing(point));
        pin.release().unwrap();
        self.tell(Told::Released(name));
    }

    fn remove(&mut self, store: &Store) {
        let Some(point) = self.any().filter(|point| !self.pins.contains_key(point)) else {
            return;
        };
        self.tell(Told::Removing(point));
        store.remove_point(&key(point)).unwrap();
        self.listed.remove(&point);
        self.tell(Told::Removed(point));
    }

    fn act(&mut self, store: &Store, seed: u64) {
        match self.rng.below(10) {
            0..=2 => self.backup(store),
            3 => self.killed(seed),
            4 => self.raced(seed),
            5 => {
                if let Some(point) = self.any() {
                    let pin = store.pin(&key(point), "somebody").unwrap();
                    self.tell(Told::Pinned(point));
                    self.pins.insert(point, pin);
                }
            }
            6 => {
                if let Some((point, pin)) = self.pins.pop_first() {
                    self.release(point, pin);
                }
            }
            _ => self.remove(store),
        }
    }

    /// What may be relied on at a place of the journal.
    fn promises(&self, place: usize) -> Promises {
        let mut promises = Promises::default();
        for (at, told) in &self.told {
            // Before a removal was announced nothing of it can have happened.
            let begins = matches!(told, Told::Removing(_) | Told::Releasing(_));
            if *at > place || begins && *at == place {
                break;
            }
            match *told {
                Told::Made => promises.made = true,
                Told::Point(point) => drop(promises.points.insert(point)),
                Told::Removing(point) => drop(promises.points.remove(&point)),
                Told::Removed(point) => drop(promises.removed.insert(point)),
                Told::Pinned(point) => drop(promises.pins.insert(point)),
                Told::Releasing(point) => drop(promises.pins.remove(&point)),
                Told::Released(pin) => drop(promises.released.insert(pin)),
            }
        }
        promises
    }
}

#[derive(Debug, Default)]
struct Promises {
    made: bool,
    points: BTreeSet<u64>,
    removed: BTreeSet<u64>,
    pins: BTreeSet<u64>,
    released: BTreeSet<Uuid>,
}

fn live(seed: u64) -> Life {
    let folder = scratch();
    let (journal, rng) = (Journal::new(folder.path()), Rng::new(seed));
    let mut life = Life {
        journal,
        folder,
        told: Vec::new(),
        disks: BTreeMap::new(),
        listed: BTreeSet::new(),
        pins: BTreeMap::new(),
        rng,
        next: 0,
    };
    let journal = life.journal.clone();
    let objects = LocalObjects::open_on(life.folder.path(), Arc::new(journal)).unwrap();
    let rig = Rig::light(Arc::new(objects), seed);
    let store = rig.try_init(config()).unwrap();
    life.tell(Told::Made);
    life.backup(&store);
    for action in 0..7 {
        life.act(&store, seed * 1000 + action * 10);
    }
    life.raced(seed * 1000 + 500);
    life.killed(seed * 1000 + 510);
    life.adopted(seed * 1000 + 530);
    life.act(&store, seed * 1000 + 520);
    if let Some((point, pin)) = life.pins.pop_first() {
        life.release(point, pin);
    }
    life.collected(&store);
    life
}

/// What is wrong with what a machine finds.
fn examine(
    image: &Image,
    life: &Life,
    promises: &Promises,
    go_on: bool,
) -> std::result::Result<(), String> {
    let folder = scratch();
    image.write(folder.path()).unwrap();
    let objects = LocalObjects::open(folder.path()).map_err(|e| format!("no folder: {e}"))?;
    let rig = Rig::light(Arc::new(objects), 2);
    let store = match rig.open() {
        Ok(store) => store,
        Err(e) if e.kind() == ErrorKind::NotFound && !promises.made => {
            // A half-made store is no obstacle to making it.
            let store = rig.try_init(config()).map_err(|e| format!("no new store: {e:?}"))?;
            return next_backup(&store, None, &[1; 5000]);
        }
        Err(e) => return Err(format!("the store does not open: {e:?}")),
    };
    let points = store.points().map_err(|e| format!("points cannot be listed: {e:?}"))?;
    let listed = |point: u64| points.iter().any(|record| record.key == key(point));
    let pins = store.pins().map_err(|e| format!("pins cannot be listed: {e:?}"))?;
    if let Some(pin) = pins.iter().find(|pin| promises.released.contains(&pin.id)) {
        return Err(format!("the released pin {} came back", pin.id));
    }
    let mut newest = None;
    for (point, disk) in &life.disks {
        if promises.points.contains(point) && !listed(*point) {
            return Err(format!("point {point} is lost"));
        }
        if promises.removed.contains(point) && listed(*point) {
            return Err(format!("point {point} came back"));
        }
        if listed(*point) {
            let whole = restore(&store, *point).map_err(|e| format!("point {point}: {e:?}"))?;
            if whole != *disk {
                return Err(format!("point {point} has other bytes"));
            }
            newest = Some((*point, disk));
        }
    }
    let pins = store.pins().map_err(|e| format!("pins cannot be listed: {e:?}"))?;
    for point in &promises.pins {
        if !pins.iter().any(|pin| pin.point.key == key(*point)) {
            return Err(format!("the pin of point {point} is lost"));
        }
    }
    store.writers().map_err(|e| format!("writers cannot be listed: {e:?}"))?;
    if !go_on {
        return Ok(());
    }
    let mut disk = newest.map_or_else(|| vec![1; 5000], |(_, disk)| disk.clone());
    disk[0] ^= 0x55;
    next_backup(&store, newest.map(|(point, _)| point), &disk)
}

fn next_backup(store: &Store, parent: Option<u64>, disk: &[u8]) -> std::result::Result<(), String> {
    let source = Memory::sparse(disk.to_vec());
    match ingest(store, 99, parent, &source, None) {
        Ok((_, committed)) if committed.won => {}
        other => return Err(format!("the next backup fails: {other:?}")),
    }
    match restore(store, 99) {
        Ok(bytes) if bytes == disk => Ok(()),
        other => Err(format!("the next backup is not whole: {:?}", other.err())),
    }
}

#[derive(Debug, Default)]
struct Seen {
    images: HashSet<[u8; 32]>,
    objects: HashSet<[u8; 32]>,
    steps: usize,
    faults: Vec<String>,
}

/// Opens the states of one life, until the first fault.
fn survey(seed: u64, omit: Option<Sync>, (states, enough): (usize, usize), seen: &Mutex<Seen>) {
    if seen.lock().unwrap().images.len() >= enough {
        return;
    }
    let life = &live(seed);
    let (mut replay, mut rng) = (life.journal.replay(omit), Rng::new(seed));
    loop {
        let place = replay.place();
        let promises = life.promises(place);
        for image in replay.images(states, &mut rng) {
            let (all, named) = image.digests().unwrap();
            let go_on = {
                let mut seen = seen.lock().unwrap();
                let new = seen.objects.insert(named);
                if !seen.images.insert(all) {
                    continue;
                }
                // Backups on top are the longest part: one for each set of objects, and some.
                new || seen.images.len().is_multiple_of(8)
            };
            if let Err(fault) = examine(&image, life, &promises, go_on) {
                let fate = image.fate();
                let fault = format!("{fault} (life {seed}, after step {place}, {fate})");
                seen.lock().unwrap().faults.push(fault);
                return;
            }
        }
        let done = seen.lock().unwrap().images.len() >= enough;
        if done || !replay.advance() {
            seen.lock().unwrap().steps += place;
            return;
        }
    }
}

#[test]
fn whatever_a_loss_of_power_leaves_is_a_whole_store() {
    let scale = wanted("TRESOR_CAMPAIGN_SCALE", 1);
    let (lives, enough) = (LIVES * scale, ENOUGH * scale as usize);
    let first = wanted("TRESOR_CAMPAIGN_SEED", 1);
    let seen = Mutex::new(Seen::default());
    parallel(first..first + lives, |seed| survey(seed, None, (STATES, enough), &seen));
    let seen = seen.into_inner().unwrap();
    let (images, objects) = (seen.images.len(), seen.objects.len());
    println!(
        "campaign: crash, seeds {first}..{}, {} steps, {images} distinct images ({objects} \
         distinct sets of objects), {} faults",
        first + lives,
        seen.steps,
        seen.faults.len()
    );
    assert_eq!(seen.faults, Vec::<String>::new());
    assert!(images >= enough, "only {images} distinct images");
}

#[test]
fn leaving_out_any_flush_is_noticed() {
    for omit in Sync::ALL {
        let seen = Mutex::new(Seen::default());
        for seed in 1..=LIVES {
            survey(seed, Some(omit), (6, usize::MAX), &seen);
            if !seen.lock().unwrap().faults.is_empty() {
                break;
            }
        }
        let seen = seen.into_inner().unwrap();
        let fault = seen.faults.first();
        println!("campaign: crash without {omit:?}, {} images: {fault:?}", seen.images.len());
        assert!(fault.is_some(), "without flushing {omit:?} nothing was lost");
    }
}
