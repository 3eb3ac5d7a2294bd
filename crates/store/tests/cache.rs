//! The folder of index copies is only a cache: whatever becomes of it, nothing is lost.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod rig;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::memory::InMemory;
use rig::{Rig, ingest, patterned, restore, small};
use tresor_store::Store;
use tresor_testkit::{Memory, Rng};

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
