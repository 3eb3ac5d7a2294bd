//! A store of the format as it is now, kept as bytes: what was written once is read for ever.
//!
//! `TRESOR_GOLDEN_WRITE=1` makes the store anew. That is right only when the format is meant to
//! have changed, and while its version is still 0.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod rig;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use rig::{Rig, begin, ingest, key, patterned, restore, secret, small};
use tresor_store::{Secret, Store};
use tresor_testkit::{Memory, Rng};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v0")
}

/// The disks of the points: one that compresses in parts, one a change of it, one of zeros.
fn disks() -> [Vec<u8>; 3] {
    let first = patterned(&mut Rng::new(100), 300 << 10 | 512);
    let mut second = first.clone();
    second.truncate(290 << 10);
    second[9000..30_000].fill(b'x');
    [first, second, vec![0; 1 << 20]]
}

fn write(folder: &Path) {
    let rig = Rig::on(Arc::new(InMemory::new()), 100);
    let (objects, rt) = (Arc::clone(&rig.objects), rig.rt.handle().clone());
    let made =
        Store::init(objects, rt, rig.cache.path(), small(), &secret(), rig.env.clone()).unwrap();
    let (store, recovery) = made;
    let mut lines = Vec::new();
    for (point, disk) in (1..).zip(disks()) {
        let parent = (point == 2).then_some(1);
        ingest(&store, point, parent, &Memory::sparse(disk.clone()), None).unwrap();
        let (size, hash) = (disk.len(), blake3::hash(&disk).to_hex());
        lines.push(format!("{} {size} {hash}\n", key(point)));
    }
    let _kept = store.pin(&key(1), "golden").unwrap();
    drop(begin(&store, 9, Some(2), 4096).unwrap());
    let _ = fs::remove_dir_all(folder);
    for (name, bytes) in rig.dump() {
        let path = folder.join("store").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    fs::write(folder.join("points"), lines.concat()).unwrap();
    fs::write(folder.join("recovery-key"), format!("{}\n", recovery.to_string().as_str())).unwrap();
    fs::write(folder.join("key-file"), "07".repeat(32) + "\n").unwrap();
}

/// Puts all files below a folder into memory.
fn load(rig: &Rig, root: &Path, inner: &Path) {
    for entry in fs::read_dir(root.join(inner)).unwrap() {
        let name = inner.join(entry.unwrap().file_name());
        if root.join(&name).is_dir() {
            load(rig, root, &name);
        } else {
            let bytes = fs::read(root.join(&name)).unwrap();
            let path = object_store::path::Path::from(name.to_str().unwrap());
            rig.rt.block_on(rig.objects.put(&path, bytes.into())).unwrap();
        }
    }
}

#[test]
fn the_golden_store_is_read_bit_for_bit() {
    let folder = folder();
    if std::env::var_os("TRESOR_GOLDEN_WRITE").is_some() {
        write(&folder);
    }
    let rig = Rig::on(Arc::new(InMemory::new()), 5);
    load(&rig, &folder.join("store"), Path::new(""));
    let recovery = fs::read_to_string(folder.join("recovery-key")).unwrap();
    let recovery = Secret::Recovery(recovery.trim().parse().unwrap());
    for secret in [secret(), recovery] {
        let store = rig.open_with(&secret).unwrap();
        let mut read = String::new();
        for record in store.points().unwrap() {
            let number = u128::from_be_bytes(*record.key.as_bytes()) as u64;
            let bytes = restore(&store, number).unwrap();
            let (size, hash) = (bytes.len(), blake3::hash(&bytes).to_hex());
            read += &format!("{} {size} {hash}\n", record.key);
        }
        assert_eq!(read, fs::read_to_string(folder.join("points")).unwrap());
        assert_eq!(store.pins().unwrap().len(), 1);
        assert_eq!(store.writers().unwrap().len(), 1);
    }
    // And it goes on: the same disks find all their parts.
    let store = rig.open().unwrap();
    let expected: BTreeMap<u64, Vec<u8>> = (11..).zip(disks()).collect();
    for (point, disk) in &expected {
        let (done, _) = ingest(&store, *point, None, &Memory::sparse(disk.clone()), None).unwrap();
        assert_eq!(done.bytes_new, 0, "point {point} is cut in another way than it was");
        assert!(restore(&store, *point).unwrap() == *disk);
    }
}
