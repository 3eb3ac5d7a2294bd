//! Collecting, verifying, repairing, healing, copying, changing keys: whatever operation of theirs
//! fails, once, for ever or because the disk is full, no point suffers and the next try works.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod garbage;
mod rig;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use garbage::{nothing_is_left_open, tight};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use rig::{Rig, ingest, key, patterned, restore, scratch, secret, small, until_none, wanted};
use tresor_store::{
    Collect, ErrorKind, LocalObjects, Repair, Result, Secret, Store, StoreConfig, Verified, Verify,
};
use tresor_testkit::{Fault, Faulty, FaultyFiles, FileOperation, Memory, Operation, Rng};

type Dump = BTreeMap<String, Vec<u8>>;

/// A store with points 2 and 3 and the garbage of point 1, a sibling of its domain with the same
/// points, and the disks.
struct Sample {
    dump: Dump,
    sibling: Dump,
    disks: [Vec<u8>; 2],
    /// A pack of chunks that point 2 needs.
    pack: String,
    run: String,
}

fn config() -> StoreConfig {
    StoreConfig { check_codec: false, ..small() }
}

fn sibling_of(store: &Store, rig: &Rig) -> Store {
    let (objects, rt) = (Arc::clone(&rig.objects), rig.rt.handle().clone());
    let (cache, env) = (rig.cache.path(), rig.env.clone());
    Store::init_in(store.domain(), objects, rt, cache, config(), &secret(), env).unwrap().0
}

impl Sample {
    fn new() -> Self {
        let rig = Rig::new();
        let store = rig.init(config());
        let mut rng = Rng::new(81);
        let first = patterned(&mut rng, 90 << 10);
        let mut second = first.clone();
        rng.fill(&mut second[20 << 10..60 << 10]);
        let third = patterned(&mut rng, 50 << 10);
        ingest(&store, 1, None, &Memory::sparse(first), None).unwrap();
        ingest(&store, 2, Some(1), &Memory::sparse(second.clone()), None).unwrap();
        ingest(&store, 3, None, &Memory::sparse(third.clone()), None).unwrap();
        let there = Rig::on(Arc::new(InMemory::new()), 2);
        let sibling = sibling_of(&store, &there);
        for point in [2, 3] {
            store.copy_point(&key(point), &sibling, &()).unwrap();
        }
        store.remove_point(&key(1)).unwrap();
        let dump = rig.dump();
        let needed = |pack: &&String| {
            let copy = Rig::of(&dump, 3);
            copy.delete(pack);
            let store = copy.open().unwrap();
            restore(&store, 2).is_err() && store.reader(&key(2)).is_ok()
        };
        let mut packs = dump.keys().filter(|name| name.starts_with("packs/"));
        let pack = packs.find(needed).unwrap().clone();
        let run = dump.keys().find(|name| name.starts_with("index/")).unwrap().clone();
        Self { sibling: there.dump(), disks: [second, third], pack, run, dump }
    }

    /// With a bit of the pack wrong, behind its head.
    fn damaged(&self) -> Dump {
        let mut dump = self.dump.clone();
        dump.get_mut(&self.pack).unwrap()[200] ^= 1;
        dump
    }

    /// With a bit of an index run wrong.
    fn gappy(&self) -> Dump {
        let mut dump = self.dump.clone();
        dump.get_mut(&self.run).unwrap()[200] ^= 1;
        dump
    }
}

/// What is done to a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upkeep {
    Collect,
    Verify,
    Repair,
    Heal,
    CopyOut,
    CopyIn,
    Keys,
}

const ALL: [Upkeep; 7] = [
    Upkeep::Collect,
    Upkeep::Verify,
    Upkeep::Repair,
    Upkeep::Heal,
    Upkeep::CopyOut,
    Upkeep::CopyIn,
    Upkeep::Keys,
];

fn verify(store: &Store) -> Result<Verified> {
    store.verify(&Verify::deep(), &())
}

impl Upkeep {
    /// The store that it is done to.
    fn before(self, sample: &Sample) -> Dump {
        match self {
            Self::Verify | Self::Heal => sample.damaged(),
            Self::Repair => sample.gappy(),
            Self::CopyIn => {
                let rig = Rig::of(&sample.sibling, 4);
                let store = rig.open().unwrap();
                let empty = Rig::on(Arc::new(InMemory::new()), 5);
                drop(sibling_of(&store, &empty));
                empty.dump()
            }
            Self::Collect | Self::CopyOut | Self::Keys => sample.dump.clone(),
        }
    }

    fn run(self, rig: &Rig, sample: &Sample) -> Result<()> {
        let store = rig.open()?;
        let beside = Rig::light(Arc::new(InMemory::new()), 6);
        match self {
            Self::Collect => {
                for _ in 0..2 {
                    let done = store.collect(&tight(), &())?;
                    assert_eq!(done.lost_ids, 0, "{done:?}");
                }
                Ok(())
            }
            Self::Verify => {
                let done = verify(&store)?;
                assert!(!done.is_clean(), "the damage is not seen");
                if done.unkept > 0 {
                    return Err(tresor_store::Error::new(ErrorKind::Full, "not all is kept"));
                }
                Ok(())
            }
            Self::Repair => store.repair(&Repair::default(), &()).map(drop),
            Self::Heal => {
                let other = Rig::of(&sample.sibling, 7);
                let other = other.open().unwrap();
                verify(&store)?;
                store.heal_from(&other, &()).map(drop)
            }
            Self::CopyOut => {
                let target = sibling_of(&store, &beside);
                for point in [2, 3] {
                    store.copy_point(&key(point), &target, &())?;
                }
                assert!(restore(&target, 2).unwrap() == sample.disks[0]);
                Ok(())
            }
            Self::CopyIn => {
                let other = Rig::of(&sample.sibling, 7);
                let other = other.open().unwrap();
                for point in [2, 3] {
                    other.copy_point(&key(point), &store, &())?;
                }
                Ok(())
            }
            Self::Keys => {
                let second = Secret::KeyFile([9; 32].into());
                let slot = store.add_slot(&second, "second")?;
                store.new_epoch()?;
                let others = store.slots()?;
                let others: Vec<_> = others.iter().filter(|s| s.id != slot.id).skip(1).collect();
                let drop: Vec<_> = others.iter().map(|slot| slot.id).collect();
                store.rotate(&[secret(), second], &drop)?;
                store.remove_slot(slot.id)
            }
        }
    }

    /// After all works again: done once more it succeeds, and every point is whole.
    fn check(self, objects: Arc<dyn ObjectStore>, sample: &Sample, context: &str) {
        let rig = Rig::light(objects, 90);
        let store = rig.open().unwrap_or_else(|e| panic!("{context}: does not open: {e:?}"));
        if self == Self::Keys {
            // Done once more it would change something else: what is there is made whole.
            store.repair_slots().unwrap_or_else(|e| panic!("{context}: slots: {e:?}"));
        } else {
            self.run(&rig, sample).unwrap_or_else(|e| panic!("{context}: once more: {e:?}"));
        }
        let hurt = self == Self::Verify;
        assert!(!hurt || !store.quarantined().unwrap().is_empty(), "{context}: it is not kept");
        for (point, disk) in [2, 3].into_iter().zip(&sample.disks) {
            match restore(&store, point) {
                Ok(read) => assert!(read == *disk, "{context}: a wrong restore of {point}"),
                Err(e) if hurt && point == 2 => assert_eq!(e.kind(), ErrorKind::Corrupt),
                Err(e) => panic!("{context}: point {point}: {e:?}"),
            }
        }
        // The next backup works, and heals where there is something to heal.
        let disk = Memory::sparse(sample.disks[0].clone());
        let (_, done) = ingest(&store, 70, Some(2), &disk, None).unwrap();
        assert!(done.won && restore(&store, 70).unwrap() == sample.disks[0], "{context}");
        for _ in 0..2 {
            // Whoever failed stays announced.
            let how = Collect { void_after: Duration::ZERO, ..tight() };
            let collected = store.collect(&how, &()).unwrap();
            assert_eq!(collected.lost_ids, 0, "{context}: {collected:?}");
        }
        nothing_is_left_open(&rig);
        let found = verify(&store).unwrap();
        assert!(found.is_clean(), "{context}: {:?}", found.findings);
        assert!(restore(&store, 2).unwrap() == sample.disks[0], "{context}");
    }
}

fn on_objects(upkeep: Upkeep, sample: &Sample, which: u64, fault: Fault, forever: bool) -> bool {
    let (count, healed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let inner = Rig::of(&upkeep.before(sample), 1).objects;
    let (seen, well) = (Arc::clone(&count), Arc::clone(&healed));
    let faulty = Faulty::new(Arc::clone(&inner), move |operation, _, _| {
        let number = seen.fetch_add(1, SeqCst);
        let fails = fault != Fault::Full || operation == Operation::Put;
        let hit = fails && (number == which || forever && number > which);
        if hit && !well.load(SeqCst) { fault } else { Fault::None }
    });
    let times = if forever { "for ever" } else { "once" };
    let context = format!("{upkeep:?}: {fault:?} {times} at operation {which}");
    let done = upkeep.run(&Rig::light(Arc::new(faulty), 1), sample);
    let reached = count.load(SeqCst) > which;
    if let Err(e) = &done {
        let expected = if fault == Fault::Full { ErrorKind::Full } else { ErrorKind::Transient };
        assert_eq!(e.kind(), expected, "{context}: {e:?}");
    }
    assert!(done.is_ok() || reached, "{context}: {done:?}");
    healed.store(true, SeqCst);
    upkeep.check(inner, sample, &context);
    reached
}

#[test]
fn upkeep_on_failing_objects_does_no_harm() {
    let (sample, stride) = (Sample::new(), wanted("TRESOR_FAULTS_STRIDE", 3));
    let mut total = 0;
    for upkeep in ALL {
        for fault in [Fault::Refuse, Fault::LoseReply, Fault::Full] {
            for forever in [false, true] {
                let each = |which| on_objects(upkeep, &sample, which * stride, fault, forever);
                let count = until_none(each);
                assert!(count > 12 / stride, "{upkeep:?}: {count} operations");
                total += count;
            }
        }
    }
    println!("campaign: faults of objects during upkeep: {total} runs");
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Once,
    Forever,
    Full,
}

fn unpack(dump: &Dump, folder: &Path) {
    // As whoever made the store has left it.
    fs::create_dir(folder.join(".staging")).unwrap();
    for (name, bytes) in dump {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn on_files(upkeep: Upkeep, sample: &Sample, which: u64, trouble: Trouble) -> bool {
    let folder = scratch();
    unpack(&upkeep.before(sample), folder.path());
    let hit = Arc::new(Mutex::new(None));
    let first = Arc::clone(&hit);
    let files = FaultyFiles::new(move |operation: FileOperation, number| {
        let fails = match trouble {
            Trouble::Once => number == which,
            Trouble::Forever => number >= which,
            Trouble::Full => number >= which && operation.takes_room(),
        };
        if !fails {
            return None;
        }
        first.lock().unwrap().get_or_insert(operation);
        let full = trouble == Trouble::Full;
        Some(if full { io::ErrorKind::StorageFull } else { io::ErrorKind::Other })
    });
    let context = format!("{upkeep:?}: {trouble:?} at file operation {which}");
    if let Ok(objects) = LocalObjects::open_on(folder.path(), Arc::new(files)) {
        if let Err(e) = upkeep.run(&Rig::light(Arc::new(objects), 1), sample) {
            let expected: &[ErrorKind] = match trouble {
                Trouble::Full => &[ErrorKind::Full],
                _ => &[ErrorKind::Transient, ErrorKind::Poisoned],
            };
            assert!(expected.contains(&e.kind()), "{context}: {e:?}");
            assert!(hit.lock().unwrap().is_some(), "{context}: {e:?}");
        }
    } else {
        assert_ne!(trouble, Trouble::Full, "opening what is there takes no room");
    }
    let reached = hit.lock().unwrap().is_some();
    let objects = LocalObjects::open(folder.path()).unwrap();
    upkeep.check(Arc::new(objects), sample, &context);
    reached
}

#[test]
fn upkeep_on_failing_files_does_no_harm() {
    let (sample, stride) = (Sample::new(), wanted("TRESOR_FAULTS_STRIDE", 3));
    let mut total = 0;
    for upkeep in ALL {
        for trouble in [Trouble::Once, Trouble::Forever, Trouble::Full] {
            let count = until_none(|which| on_files(upkeep, &sample, which * stride, trouble));
            assert!(count > 12 / stride, "{upkeep:?}: {count} operations");
            total += count;
        }
    }
    println!("campaign: faults of files during upkeep: {total} runs");
}
