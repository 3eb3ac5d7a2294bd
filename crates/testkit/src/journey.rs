//! The whole way of a store's bytes, on any target: made, filled, read back, damaged.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;
use tresor_store::{Begun, ErrorKind, Plan, PointKey, Result, Store, StoreConfig};

use crate::conformance::Place;
use crate::{Fault, Faulty, Memory, Operation, Rng, Target, key, secret, sim_env, small};

/// One user of a store: a cache and chance of its own.
struct Visitor {
    store: Store,
    _cache: tempfile::TempDir,
}

impl Visitor {
    fn init(
        objects: &Arc<dyn ObjectStore>,
        rt: &Handle,
        config: StoreConfig,
        seed: u64,
    ) -> Result<Self> {
        let (cache, env) = (tempfile::tempdir().unwrap(), sim_env(seed).0);
        let (objects, rt) = (Arc::clone(objects), rt.clone());
        let made = Store::init(objects, rt, cache.path(), config, &secret(), env)?;
        Ok(Self { store: made.0, _cache: cache })
    }

    fn open(objects: &Arc<dyn ObjectStore>, rt: &Handle, seed: u64) -> Result<Self> {
        let (cache, env) = (tempfile::tempdir().unwrap(), sim_env(seed).0);
        let (objects, rt) = (Arc::clone(objects), rt.clone());
        let store = Store::open(objects, rt, cache.path(), &secret(), env)?;
        Ok(Self { store, _cache: cache })
    }

    fn backup(
        &self,
        point: u64,
        parent: Option<u64>,
        disk: &[u8],
        changed: Option<&[Range<u64>]>,
    ) -> Result<()> {
        let plan = Plan { point: key(point), parent: parent.map(key), size: disk.len() as u64 };
        let Begun::New(mut ingest) = self.store.begin(plan)? else {
            panic!("point {point} is there");
        };
        ingest.run(&Memory::sparse(disk.to_vec()), changed, &())?;
        assert!(ingest.commit(BTreeMap::new(), jiff::Timestamp::UNIX_EPOCH)?.won);
        Ok(())
    }

    fn restore(&self, point: u64) -> Result<Vec<u8>> {
        let reader = self.store.reader(&key(point))?;
        let target = Target::new(reader.size());
        reader.restore(&target, &[], &())?;
        let bytes = target.bytes().clone();
        Ok(bytes)
    }

    fn points(&self) -> Vec<PointKey> {
        self.store.points().unwrap().iter().map(|record| record.key).collect()
    }
}

/// Random bytes with a hole.
fn disk(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Rng::new(seed).fill(&mut bytes);
    if let Some(hole) = bytes.get_mut(len / 4..len / 2) {
        hole.fill(0);
    }
    bytes
}

/// The disk a day later, and which bytes differ.
fn later(disk: &[u8]) -> (Vec<u8>, Vec<Range<u64>>) {
    let mut next = disk.to_vec();
    let changed = vec![96 << 10..116 << 10, 600 << 10..601 << 10];
    for range in &changed {
        if let Some(bytes) = next.get_mut(range.start as usize..range.end as usize) {
            Rng::new(range.start).fill(bytes);
        }
    }
    (next, changed)
}

/// Init, backup, incremental, restore by somebody else bit for bit, removal; a second store at
/// the same place is refused.
pub fn a_store_lives_there(place: &Place) {
    let (objects, rt) = (&place.objects, place.rt.handle());
    let first = disk(1, 1200 << 10);
    let (second, changed) = later(&first);
    let writer = Visitor::init(objects, rt, small(), 1).unwrap();
    writer.backup(1, None, &first, None).unwrap();
    writer.backup(2, Some(1), &second, Some(&changed)).unwrap();
    let again = Visitor::init(objects, rt, small(), 2).err().unwrap();
    assert_eq!(again.kind(), ErrorKind::Exists);
    let other = Visitor::open(objects, rt, 3).unwrap();
    assert_eq!(other.points(), [key(1), key(2)]);
    assert!(other.restore(1).unwrap() == first);
    assert!(other.restore(2).unwrap() == second);
    other.store.remove_point(&key(1)).unwrap();
    other.store.remove_point(&key(1)).unwrap();
    assert_eq!(writer.points(), [key(2)]);
    assert!(writer.restore(2).unwrap() == second);
    writer.backup(3, Some(2), &first, None).unwrap();
    assert!(Visitor::open(objects, rt, 4).unwrap().restore(3).unwrap() == first);
}

/// The default parameters, with packs as large as they get.
pub fn large_packs_pass(place: &Place) {
    let (objects, rt) = (&place.objects, place.rt.handle());
    let config = StoreConfig { argon2_kib: 8, argon2_passes: 1, ..StoreConfig::default() };
    let bytes = disk(5, 48 << 20);
    Visitor::init(objects, rt, config, 1).unwrap().backup(1, None, &bytes, None).unwrap();
    assert!(Visitor::open(objects, rt, 2).unwrap().restore(1).unwrap() == bytes);
}

/// Each pack is damaged in turn: a restore fails or is right, and some fail.
pub fn damage_is_noticed(place: &Place) {
    let (objects, rt) = (&place.objects, place.rt.handle());
    let bytes = disk(6, 600 << 10);
    Visitor::init(objects, rt, small(), 1).unwrap().backup(1, None, &bytes, None).unwrap();
    let mut noticed = 0;
    for name in names(place, "packs") {
        let whole = place.rt.block_on(async {
            let whole = objects.get(&name).await.unwrap().bytes().await.unwrap();
            let mut damaged = whole.to_vec();
            let middle = damaged.len() / 2;
            *damaged.get_mut(middle).unwrap() ^= 1;
            objects.put(&name, damaged.into()).await.unwrap();
            whole
        });
        match Visitor::open(objects, rt, 2).unwrap().restore(1) {
            Ok(restored) => assert!(restored == bytes, "a wrong answer"),
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::Corrupt, "{e}");
                noticed += 1;
            }
        }
        place.rt.block_on(objects.put(&name, whole.into())).unwrap();
    }
    assert!(noticed > 0);
    assert!(Visitor::open(objects, rt, 3).unwrap().restore(1).unwrap() == bytes);
}

fn names(place: &Place, folder: &str) -> Vec<Path> {
    use futures::TryStreamExt;
    let folder = Path::from(folder);
    let listed = place.objects.list(Some(&folder)).map_ok(|meta| meta.location);
    place.rt.block_on(listed.try_collect()).unwrap()
}

/// Half of all operations fail in one way or other, none of them for ever: everything succeeds
/// and nothing is wrong.
pub fn faults_are_outlasted(place: &Place) {
    let rt = place.rt.handle();
    let first = disk(7, 900 << 10);
    let (second, changed) = later(&first);
    let faulty: Arc<dyn ObjectStore> =
        Arc::new(Faulty::new(Arc::clone(&place.objects), in_turns()));
    let writer = Visitor::init(&faulty, rt, small(), 1).unwrap();
    writer.backup(1, None, &first, None).unwrap();
    writer.backup(2, Some(1), &second, Some(&changed)).unwrap();
    let other = Visitor::open(&faulty, rt, 2).unwrap();
    assert!(other.restore(1).unwrap() == first);
    assert!(other.restore(2).unwrap() == second);
    other.store.remove_point(&key(1)).unwrap();
    // Without faults it is the same store.
    let calm = Visitor::open(&place.objects, rt, 3).unwrap();
    assert_eq!(calm.points(), [key(2)]);
    assert!(calm.restore(2).unwrap() == second);
}

/// Of the operations on each object two in three fail, by turns in all the ways that pass.
fn in_turns() -> impl Fn(Operation, &Path, u64) -> Fault + Send + Sync {
    let seen: Mutex<HashMap<(Operation, Path), usize>> = Mutex::default();
    move |operation, path, _| {
        let mut seen = seen.lock().unwrap();
        let number = seen.entry((operation, path.clone())).or_default();
        *number += 1;
        let faults = match operation {
            Operation::Put => [Fault::Refuse, Fault::Conflict, Fault::None, Fault::LoseReply],
            Operation::Get => [Fault::Refuse, Fault::Short, Fault::None, Fault::None],
            Operation::List => [Fault::Refuse, Fault::Refuse, Fault::None, Fault::None],
            Operation::Delete => [Fault::LoseReply, Fault::Refuse, Fault::None, Fault::None],
        };
        // Neighbours begin at different places of the turn.
        let offset = path.as_ref().bytes().map(usize::from).sum::<usize>();
        faults.get((*number + offset) % faults.len()).copied().unwrap_or(Fault::None)
    }
}
