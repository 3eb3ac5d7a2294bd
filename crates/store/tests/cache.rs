//! What a handle knows of the store is only a copy: whatever becomes of it, nothing is lost.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod rig;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use rig::{Rig, ingest, key, patterned, restore, small};
use tresor_store::{Collect, ErrorKind, FindingKind, Repair, Store, Verify};
use tresor_testkit::{Fault, Faulty, Memory, Operation, Rng};

/// A store with some points, and their disks.
fn made(seed: u64) -> (Rig, Vec<Vec<u8>>) {
    let rig = Rig::on(Arc::new(InMemory::new()), seed);
    let store = rig.init(small());
    let mut rng = Rng::new(3);
    let disks: Vec<_> = (0..3).map(|_| patterned(&mut rng, 300 << 10)).collect();
    for (number, disk) in (1..).zip(&disks) {
        ingest(&store, number, None, &Memory::sparse(disk.clone()), None).unwrap();
    }
    (rig, disks)
}

fn check(store: &Store, disks: &[Vec<u8>]) {
    for (number, disk) in (1..).zip(disks) {
        assert!(restore(store, number).unwrap() == *disk, "point {number}");
    }
}

/// All files below a folder, with their sizes.
fn files(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
        match entry.metadata().unwrap() {
            meta if meta.is_dir() => out.extend(files(&entry.path())),
            meta => out.push((entry.path(), meta.len())),
        }
    }
    out
}

fn size(folder: &Path) -> u64 {
    files(folder).iter().map(|(_, size)| size).sum()
}

/// The folder of the first handle.
fn slot(rig: &Rig) -> PathBuf {
    let mut top = fs::read_dir(rig.cache.path()).unwrap();
    top.next().unwrap().unwrap().path().join("0")
}

#[test]
fn a_cache_that_was_deleted_is_made_anew() {
    let (rig, disks) = made(1);
    for entry in fs::read_dir(rig.cache.path()).unwrap() {
        fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    check(&rig.open().unwrap(), &disks);
    assert!(size(rig.cache.path()) > 0);
}

#[test]
fn a_stale_cache_learns_what_others_wrote() {
    let (rig, mut disks) = made(1);
    let beside = rig.beside(31);
    let other = beside.open().unwrap();
    let disk = patterned(&mut Rng::new(4), 300 << 10);
    ingest(&other, 4, None, &Memory::sparse(disk.clone()), None).unwrap();
    disks.push(disk);
    check(&rig.open().unwrap(), &disks);
}

#[test]
fn foreign_files_do_no_harm_and_do_not_stay() {
    let (rig, disks) = made(1);
    let (other, _) = made(2);
    let slot_of_other = slot(&other);
    let foreign = files(&slot_of_other).remove(0).0;
    let slot = slot(&rig);
    let names = [
        "notes.txt",
        "0123456789abcdef0123456789abcdef.run",
        "0123456789abcdef0123456789abcdef.merged",
        "0123456789abcdef0123456789abcdef.tmp",
    ];
    for name in names {
        fs::write(slot.join(name), b"rubbish").unwrap();
    }
    // A healthy run, but of another store.
    fs::copy(&foreign, slot.join(foreign.file_name().unwrap())).unwrap();
    fs::create_dir(slot.join("folder")).unwrap();
    fs::write(slot.join("folder/file"), b"somebody's").unwrap();
    check(&rig.open().unwrap(), &disks);
    for name in names {
        assert!(!slot.join(name).exists(), "{name} stays");
    }
    assert!(!slot.join(foreign.file_name().unwrap()).exists());
    assert!(slot.join("folder/file").exists(), "a folder is nobody's cache");
    assert!(fs::metadata(&slot).unwrap().is_dir());
}

#[test]
fn closed_handles_leave_one_copy_behind() {
    let (rig, disks) = made(1);
    let one = size(rig.cache.path());
    let handles: Vec<_> = (0..5).map(|_| rig.open().unwrap()).collect();
    handles.iter().for_each(|handle| check(handle, &disks));
    assert!(size(rig.cache.path()) >= 5 * one);
    drop(handles);
    let store = rig.open().unwrap();
    assert!(size(rig.cache.path()) <= one, "copies for handles that are closed");
    check(&store, &disks);
}

/// Every page of every copy: whatever is done with the store reads it again from there.
#[test]
fn rot_in_the_cache_stops_nobody() {
    let (rig, disks) = made(1);
    drop(rig.open().unwrap());
    let copies: Vec<_> =
        files(&slot(&rig)).into_iter().map(|(path, _)| (fs::read(&path).unwrap(), path)).collect();
    let collect = Collect { dry_run: true, ..Collect::default() };
    let repair = Repair { all_packs: true, ..Repair::default() };
    let mut tried = 0;
    for (bytes, path) in &copies {
        for place in (100..bytes.len()).step_by(4096) {
            let rotten = || {
                let mut bytes = bytes.clone();
                bytes[place] ^= 1;
                fs::write(path, bytes).unwrap();
                rig.open().unwrap()
            };
            let told = rotten().collect(&collect, &()).unwrap();
            assert_eq!((told.points, told.lost_ids), (3, 0), "{told:?}");
            let done = rotten().verify(&Verify::deep(), &()).unwrap();
            assert!(done.is_clean() && done.quarantined == 0, "{done:?}");
            let mended = rotten().repair(&repair, &()).unwrap();
            assert!(mended.verified.is_clean() && mended.frames_found == 0, "{mended:?}");
            let store = rotten();
            assert!(store.wounds(&key(1)).unwrap().is_empty());
            check(&store, &disks);
            tried += 1;
        }
    }
    assert!(tried >= 8, "{tried} pages");
}

type Act = Box<dyn FnOnce() + Send>;

/// Objects in which something happens between: before a second pack is read.
struct Between {
    rig: Rig,
    act: Arc<Mutex<Option<Act>>>,
}

impl Between {
    fn new(inner: &Arc<dyn ObjectStore>) -> Self {
        let act: Arc<Mutex<Option<Act>>> = Arc::default();
        let (own, seen) = (Arc::clone(&act), Mutex::new(BTreeSet::new()));
        let plan = move |operation, name: &object_store::path::Path, _| {
            let mut act = own.lock().unwrap();
            if act.is_some() && operation == Operation::Get && name.as_ref().starts_with("packs/") {
                let mut seen = seen.lock().unwrap();
                seen.insert(name.to_string());
                let due = act.take_if(|_| seen.len() == 2);
                drop((act, seen));
                // A thread that waits for objects already cannot wait for others.
                due.into_iter().for_each(|act| thread::spawn(act).join().unwrap());
            }
            Fault::None
        };
        let objects = Arc::new(Faulty::new(Arc::clone(inner), plan));
        Self { rig: Rig::on(objects, 77), act }
    }

    /// Removes all packs between, stores the disk of the points again, and lets `store` know.
    fn move_all(&self, rig: &Rig, store: &Store, disk: &[u8]) {
        let (beside, store, disk) = (rig.beside(78), store.clone(), Memory::sparse(disk.to_vec()));
        *self.act.lock().unwrap() = Some(Box::new(move || {
            remove_packs(&beside);
            ingest(&beside.open().unwrap(), 3, None, &disk, None).unwrap();
            store.wounds(&key(3)).unwrap();
        }));
    }
}

/// All packs with their bytes, which are removed.
fn remove_packs(rig: &Rig) -> BTreeMap<String, Vec<u8>> {
    let mut packs = rig.dump();
    packs.retain(|name, _| name.starts_with("packs/"));
    packs.keys().for_each(|name| rig.delete(name));
    packs
}

/// Two points of one disk, each in packs of its own, which are gone; and all these packs.
fn twice() -> (Rig, Vec<u8>, BTreeMap<String, Vec<u8>>) {
    let rig = Rig::new();
    let store = rig.init(small());
    let disk = patterned(&mut Rng::new(5), 300 << 10);
    let mut packs = BTreeMap::new();
    for point in 1..3 {
        ingest(&store, point, None, &Memory::sparse(disk.clone()), None).unwrap();
        packs.extend(remove_packs(&rig));
    }
    (rig, disk, packs)
}

/// Somebody else on the same handle learns of new places between a look in vain and the refresh
/// after it: that brings nothing new, and yet there is something to find.
#[test]
fn what_another_thread_has_learnt_of_is_no_wound() {
    let (rig, disk, _) = twice();
    let between = Between::new(&rig.objects);
    let store = between.rig.open().unwrap();
    between.move_all(&rig, &store, &disk);
    assert_eq!(store.wounds(&key(1)).unwrap(), []);
    assert!(between.act.lock().unwrap().is_none(), "it happened");
}

#[test]
fn a_place_that_another_thread_has_learnt_of_is_read() {
    let (rig, disk, packs) = twice();
    packs.iter().for_each(|(name, bytes)| rig.overwrite(name, vec![0; bytes.len()]));
    let between = Between::new(&rig.objects);
    let store = between.rig.open().unwrap();
    between.move_all(&rig, &store, &disk);
    assert!(restore(&store, 1).unwrap() == disk);
    assert!(between.act.lock().unwrap().is_none(), "it happened");
}

/// A mount that comes late, a gateway that has lost its mind for a minute.
#[test]
fn packs_that_come_back_are_read_again() {
    let (rig, disks) = made(1);
    let store = rig.open().unwrap();
    let packs = remove_packs(&rig);
    for point in [1, 2, 1] {
        assert_eq!(restore(&store, point).unwrap_err().kind(), ErrorKind::Corrupt);
    }
    packs.into_iter().for_each(|(name, bytes)| rig.overwrite(&name, bytes));
    check(&store, &disks);
}

/// Whatever is left of a run: it is damage, at once, and what it named is found again.
#[test]
fn an_empty_run_is_found_damaged_and_repaired() {
    for left in [0, 1, 67, 68] {
        let (filled, disks) = made(1);
        // One that has no copy of it.
        let rig = filled.beside(9);
        let (name, bytes) = rig.dump().into_iter().find(|(n, _)| n.starts_with("index/")).unwrap();
        rig.overwrite(&name, bytes[..left].to_vec());
        let began = rig.env.monotonic();
        let store = rig.open().unwrap();
        let done = store.verify(&Verify::shallow(), &()).unwrap();
        let finding = done.findings.iter().find(|finding| finding.object == name).unwrap();
        assert_eq!(finding.kind, FindingKind::DamagedRun, "{left} bytes");
        let mended = store.repair(&Repair::default(), &()).unwrap();
        assert_eq!(mended.runs_dropped, [name], "{left} bytes");
        assert!(mended.verified.is_clean(), "{mended:?}");
        assert_eq!(rig.env.monotonic(), began, "nothing is waited for");
        check(&store, &disks);
    }
}
