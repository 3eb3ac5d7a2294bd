//! Every operation fails, one after the other: once, for ever, or because the disk is full. No
//! restore is wrong, what was promised stays, errors say what happened, and the next run works.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod rig;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use object_store::ObjectStore;
use object_store::memory::InMemory;
use rig::{Rig, ingest, key, patterned, restore, scratch, small, until_none, wanted};
use tresor_store::{ErrorKind, LocalObjects, Result, Store, StoreConfig};
use tresor_testkit::{Fault, Faulty, FaultyFiles, FileOperation, Memory, Operation, Rng};

/// What was told, and what is on the disks.
struct Journey {
    disks: Vec<Vec<u8>>,
    made: bool,
    points: BTreeSet<u64>,
    removing: BTreeSet<u64>,
    removed: BTreeSet<u64>,
    store: Option<Store>,
}

fn config() -> StoreConfig {
    StoreConfig { check_codec: false, ..small() }
}

impl Journey {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let first = patterned(&mut rng, 90 << 10);
        let mut second = first.clone();
        rng.fill(&mut second[20 << 10..40 << 10]);
        let third = patterned(&mut rng, 50 << 10);
        let (points, removing, removed) = Default::default();
        let disks = vec![first, second, third];
        Self { disks, made: false, points, removing, removed, store: None }
    }

    fn disk(&self, point: u64) -> &[u8] {
        &self.disks[point as usize - 1]
    }

    fn backup(&mut self, store: &Store, point: u64, parent: Option<u64>) -> Result<()> {
        let disk = Memory::sparse(self.disk(point).to_vec());
        let (_, committed) = ingest(store, point, parent, &disk, None)?;
        assert!(committed.won);
        self.points.insert(point);
        Ok(())
    }

    fn read(&self, store: &Store, point: u64) -> Result<()> {
        let bytes = restore(store, point)?;
        assert!(bytes == self.disk(point), "a wrong restore of point {point}");
        Ok(())
    }

    fn run(&mut self, rig: &Rig) -> Result<()> {
        let store = rig.try_init(config())?;
        self.made = true;
        self.store = Some(store.clone());
        self.backup(&store, 1, None)?;
        self.backup(&store, 2, Some(1))?;
        self.read(&store, 2)?;
        let pin = store.pin(&key(2), "somebody")?;
        self.removing.insert(1);
        store.remove_point(&key(1))?;
        self.removed.insert(1);
        pin.release()?;
        self.store = None;
        drop(store);
        let store = rig.open()?;
        self.store = Some(store.clone());
        self.read(&store, 2)?;
        self.backup(&store, 3, None)?;
        self.read(&store, 3)
    }

    /// After all works again: what was promised is there and the next run works.
    fn check(&self, objects: Arc<dyn ObjectStore>, seed: u64, context: &str) {
        let rig = Rig::light(objects, seed);
        let store = match rig.open() {
            Ok(store) => store,
            Err(e) if e.kind() == ErrorKind::NotFound && !self.made => {
                rig.try_init(config()).unwrap_or_else(|e| panic!("{context}: no store: {e:?}"))
            }
            Err(e) => panic!("{context}: the store does not open: {e:?}"),
        };
        self.verify(&store, 60, context);
    }

    fn verify(&self, store: &Store, next: u64, context: &str) {
        let points = store.points().unwrap();
        for point in 1..=3 {
            let listed = points.iter().any(|record| record.key == key(point));
            let promised = self.points.contains(&point) && !self.removing.contains(&point);
            assert!(listed || !promised, "{context}: point {point} is lost");
            assert!(!listed || !self.removed.contains(&point), "{context}: {point} came back");
            if listed {
                self.read(store, point).unwrap_or_else(|e| panic!("{context}: {point}: {e:?}"));
            }
        }
        let disk = Memory::sparse(vec![5; 20_000]);
        let done = ingest(store, next, Some(2), &disk, None);
        assert!(done.is_ok_and(|(_, committed)| committed.won), "{context}: the next backup");
        assert!(restore(store, next).unwrap() == disk.bytes(), "{context}: the next restore");
    }
}

/// One journey on objects of which one operation fails; false if there were not so many.
fn on_objects(which: u64, fault: Fault, forever: bool) -> bool {
    let (count, healed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let (seen, well) = (Arc::clone(&count), Arc::clone(&healed));
    let faulty = Faulty::new(Arc::clone(&inner), move |operation, _, _| {
        let number = seen.fetch_add(1, SeqCst);
        // Only writing takes room.
        let fails = fault != Fault::Full || operation == Operation::Put;
        let hit = fails && (number == which || forever && number > which);
        if hit && !well.load(SeqCst) { fault } else { Fault::None }
    });
    let rig = Rig::light(Arc::new(faulty), 1);
    let mut journey = Journey::new(3);
    let done = journey.run(&rig);
    let reached = count.load(SeqCst) > which;
    let times = if forever { "for ever" } else { "once" };
    let context = format!("{fault:?} {times} at operation {which}");
    if let Err(e) = &done {
        let expected = if fault == Fault::Full { ErrorKind::Full } else { ErrorKind::Transient };
        assert_eq!(e.kind(), expected, "{context}: {e:?}");
    }
    assert!(done.is_ok() || reached, "{context}: {done:?}");
    healed.store(true, SeqCst);
    if let Some(store) = journey.store.take() {
        journey.verify(&store, 50, &context);
    }
    journey.check(inner, which + 10, &context);
    reached
}

#[test]
fn any_failing_operation_on_objects_does_no_harm() {
    let mut total = 0;
    for fault in [Fault::Refuse, Fault::LoseReply, Fault::Full] {
        for forever in [false, true] {
            let count = until_none(|which| on_objects(which, fault, forever));
            println!("campaign: faults of objects, {fault:?}, for ever {forever}: {count}");
            assert!(count > 12, "{count} operations");
            total += count;
        }
    }
    println!("campaign: faults of objects: {total} journeys");
}

/// What fails, and when it works again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Once,
    Forever,
    /// From some operation on nothing has room, until somebody makes room.
    Full,
}

/// The same on files.
fn on_files(which: u64, trouble: Trouble) -> bool {
    let folder = scratch();
    let (healed, hit) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(None)));
    let (well, first) = (Arc::clone(&healed), Arc::clone(&hit));
    // A handle of which any flush failed writes nothing more: also not once all works again.
    let unflushed = Arc::new(AtomicBool::new(false));
    let flushes = Arc::clone(&unflushed);
    let flush = |o: &FileOperation| matches!(o, FileOperation::Sync | FileOperation::SyncDir);
    let files = FaultyFiles::new(move |operation: FileOperation, number| {
        let fails = match trouble {
            Trouble::Once => number == which,
            Trouble::Forever => number >= which,
            Trouble::Full => number >= which && operation.takes_room(),
        };
        if !fails || well.load(SeqCst) {
            return None;
        }
        flushes.fetch_or(flush(&operation), SeqCst);
        first.lock().unwrap().get_or_insert(operation);
        Some(if trouble == Trouble::Full {
            io::ErrorKind::StorageFull
        } else {
            io::ErrorKind::Other
        })
    });
    let context = format!("{trouble:?} at file operation {which}");
    let mut journey = Journey::new(4);
    if let Ok(objects) = LocalObjects::open_on(folder.path(), Arc::new(files.clone())) {
        let rig = Rig::light(Arc::new(objects), 1);
        let done = journey.run(&rig);
        let poisoned = hit.lock().unwrap().as_ref().is_some_and(flush);
        if let Err(e) = &done {
            let expected = match trouble {
                Trouble::Full => vec![ErrorKind::Full],
                _ if poisoned => vec![ErrorKind::Poisoned],
                Trouble::Once => vec![ErrorKind::Transient],
                Trouble::Forever => vec![ErrorKind::Transient, ErrorKind::Poisoned],
            };
            assert!(expected.contains(&e.kind()), "{context}: {e:?}");
        }
        assert!(done.is_ok() || files.count() > which, "{context}: {done:?}");
        healed.store(true, SeqCst);
        let refused = done.as_ref().is_err_and(|e| e.kind() == ErrorKind::Poisoned);
        let usable = !refused && !unflushed.load(SeqCst);
        if let Some(store) = journey.store.take().filter(|_| usable) {
            journey.verify(&store, 50, &context);
        }
    }
    let reached = hit.lock().unwrap().is_some();
    let objects = LocalObjects::open(folder.path()).unwrap();
    journey.check(Arc::new(objects), which + 10, &context);
    reached
}

#[test]
fn any_failing_operation_on_files_does_no_harm() {
    let mut total = 0;
    let stride = wanted("TRESOR_FAULTS_STRIDE", 1);
    for trouble in [Trouble::Once, Trouble::Forever, Trouble::Full] {
        let count = until_none(|which| on_files(which * stride, trouble));
        println!("campaign: faults of files, {trouble:?}: {count}");
        assert!(count > 100 / stride, "{count} operations");
        total += count;
    }
    println!("campaign: faults of files: {total} journeys");
}
