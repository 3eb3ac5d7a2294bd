//! What the tests of collection have in common: stores with garbage, ways to collect it, and what
//! must hold afterwards.

#![allow(dead_code, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use tresor_store::{Collect, Collected, Result, Store};
use tresor_testkit::{Memory, Rng};

use crate::rig::{Rig, ingest, key, patterned, restore, small};

pub const SIZE: usize = 400 << 10;

/// Without rewriting: only what is wholly unused goes.
pub fn plain() -> Collect {
    Collect { max_unused_percent: 100.0, small_pack_bytes: 0, ..Collect::default() }
}

/// Rewrites whatever has a byte that nothing needs, and small packs.
pub fn tight() -> Collect {
    Collect { max_unused_percent: 0.0, small_pack_bytes: 24 << 10, ..Collect::default() }
}

/// Writers that have not committed are given up at once.
pub fn ruthless() -> Collect {
    Collect { void_after: Duration::ZERO, ..plain() }
}

/// Somebody else at the same objects, with a cache and a runtime of its own.
pub struct Other {
    pub store: Store,
    _rig: Rig,
}

impl std::ops::Deref for Other {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

pub fn other(rig: &Rig, seed: u64) -> Other {
    let rig = rig.beside(seed);
    Other { store: rig.open().unwrap(), _rig: rig }
}

pub fn disk(seed: u64) -> Memory {
    Memory::sparse(patterned(&mut Rng::new(seed), SIZE))
}

pub fn make(store: &Store, point: u64, seed: u64) {
    assert!(ingest(store, point, None, &disk(seed), None).unwrap().1.won);
}

pub fn commit(ingest: tresor_store::Ingest) -> Result<bool> {
    Ok(ingest.commit(BTreeMap::new(), Timestamp::UNIX_EPOCH)?.won)
}

pub fn folder(rig: &Rig, name: &str) -> BTreeSet<String> {
    let prefix = format!("{name}/");
    rig.dump().into_keys().filter(|object| object.starts_with(&prefix)).collect()
}

pub fn collect(store: &Store, how: &Collect) -> Collected {
    let done = store.collect(how, &()).unwrap();
    assert_eq!(done.lost_ids, 0, "{done:?}");
    done
}

/// A store with points 1 to 4, in which 1 and 3 are removed and share parts with the others.
pub fn store_with_garbage(rig: &Rig) -> Store {
    let store = rig.init(small());
    for point in 1..=4 {
        let mut bytes = disk(point).bytes().to_vec();
        bytes[..SIZE / 4].copy_from_slice(&disk(9).bytes()[..SIZE / 4]);
        ingest(&store, point, None, &Memory::sparse(bytes), None).unwrap();
    }
    store.remove_point(&key(1)).unwrap();
    store.remove_point(&key(3)).unwrap();
    store
}

/// The objects of such a store, made once.
pub fn garbage() -> BTreeMap<String, Vec<u8>> {
    let rig = Rig::new();
    drop(store_with_garbage(&rig));
    rig.dump()
}

pub fn copy_of(objects: &BTreeMap<String, Vec<u8>>) -> Rig {
    let rig = Rig::new();
    for (name, bytes) in objects {
        rig.overwrite(name, bytes.clone());
    }
    rig
}

pub fn whole(store: &Store, point: u64) -> bool {
    let bytes = restore(store, point).unwrap();
    bytes[SIZE / 4..] == disk(point).bytes()[SIZE / 4..]
        && bytes[..SIZE / 4] == disk(9).bytes()[..SIZE / 4]
}

/// Every pack that is left is needed: without it some point does not restore.
pub fn every_pack_is_needed(rig: &Rig, points: &[u64]) {
    let objects = rig.dump();
    let packs: Vec<_> = objects.keys().filter(|name| name.starts_with("packs/")).collect();
    for pack in packs {
        let copy = Rig::new();
        for (name, bytes) in objects.iter().filter(|(name, _)| *name != pack) {
            copy.overwrite(name, bytes.clone());
        }
        let store = copy.open().unwrap();
        let hurt = points.iter().any(|point| restore(&store, *point).is_err());
        assert!(hurt, "{pack} is needed by nobody");
    }
}

pub fn nothing_is_left_open(rig: &Rig) {
    for name in ["condemned", "awaited", "confirmed"] {
        assert_eq!(folder(rig, name), BTreeSet::new());
    }
}
