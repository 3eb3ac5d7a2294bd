//! What the tests of the store have in common: a store on some objects, and short ways to fill
//! and read it.

#![allow(dead_code, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tresor_store::env::Env;
use tresor_store::{Begun, Committed, Ingest, Ingested, Plan, Result, Secret, Store, StoreConfig};
use tresor_testkit::{Memory, Rng, Target, sim_env};
pub use tresor_testkit::{key, secret, small};

/// A folder in memory, where the machine has one for that.
pub fn scratch() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}

/// How much more than usual a campaign shall do: the number in the variable, or `usual`.
pub fn wanted(variable: &str, usual: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")),
        Err(_) => usual,
    }
}

/// Runs `each` of the numbers on all processors, two at least.
pub fn parallel(numbers: Range<u64>, each: impl Fn(u64) + Sync) {
    let next = std::sync::atomic::AtomicU64::new(numbers.start);
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get().max(2));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if number >= numbers.end {
                        return;
                    }
                    each(number);
                }
            });
        }
    });
}

/// Runs `each` with 0, 1, ... until it says that there is no such operation; how many there were.
pub fn until_none(each: impl Fn(u64) -> bool + Sync) -> u64 {
    let (end, block) = (std::sync::atomic::AtomicU64::new(u64::MAX), 16);
    let mut start = 0;
    while end.load(std::sync::atomic::Ordering::SeqCst) == u64::MAX {
        parallel(start..start + block, |which| {
            if !each(which) {
                end.fetch_min(which, std::sync::atomic::Ordering::SeqCst);
            }
        });
        start += block;
    }
    end.into_inner()
}

/// Objects, a runtime to reach them and a folder for the index.
pub struct Rig {
    pub objects: Arc<dyn ObjectStore>,
    pub rt: Runtime,
    pub cache: TempDir,
    pub env: Env,
}

impl Rig {
    pub fn new() -> Self {
        Self::on(Arc::new(InMemory::new()), 1)
    }

    pub fn on(objects: Arc<dyn ObjectStore>, seed: u64) -> Self {
        let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        Self { objects, rt, cache: TempDir::new().unwrap(), env: sim_env(seed).0 }
    }

    /// One of thousands: its folder is in memory and it has no threads of its own. Only for
    /// objects that never wait for a reactor.
    pub fn light(objects: Arc<dyn ObjectStore>, seed: u64) -> Self {
        let rt = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self { objects, rt, cache: scratch(), env: sim_env(seed).0 }
    }

    pub fn init(&self, config: StoreConfig) -> Store {
        self.try_init(config).unwrap()
    }

    pub fn try_init(&self, config: StoreConfig) -> Result<Store> {
        let (objects, rt) = (Arc::clone(&self.objects), self.rt.handle().clone());
        let made =
            Store::init(objects, rt, self.cache.path(), config, &secret(), self.env.clone())?;
        Ok(made.0)
    }

    pub fn open(&self) -> Result<Store> {
        self.open_with(&secret())
    }

    pub fn open_with(&self, secret: &Secret) -> Result<Store> {
        let (objects, rt) = (Arc::clone(&self.objects), self.rt.handle().clone());
        Store::open(objects, rt, self.cache.path(), secret, self.env.clone())
    }

    /// The same objects seen by somebody else: another cache, other chance.
    pub fn beside(&self, seed: u64) -> Self {
        Self::on(Arc::clone(&self.objects), seed)
    }

    /// All objects with their bytes.
    pub fn dump(&self) -> BTreeMap<String, Vec<u8>> {
        use futures::TryStreamExt;
        use object_store::ObjectStoreExt;
        self.rt.block_on(async {
            let listed: Vec<_> = self.objects.list(None).try_collect().await.unwrap();
            let mut out = BTreeMap::new();
            for meta in listed {
                let bytes = self.objects.get(&meta.location).await.unwrap().bytes().await.unwrap();
                out.insert(meta.location.to_string(), bytes.to_vec());
            }
            out
        })
    }

    /// All objects whose bytes mean something.
    pub fn meaning(&self) -> BTreeMap<String, Vec<u8>> {
        let mut dump = self.dump();
        dump.retain(|name, _| !name.starts_with("reserve/"));
        dump
    }

    /// A store of these objects.
    pub fn of(dump: &BTreeMap<String, Vec<u8>>, seed: u64) -> Self {
        let rig = Self::on(Arc::new(InMemory::new()), seed);
        dump.iter().for_each(|(name, bytes)| rig.overwrite(name, bytes.clone()));
        rig
    }

    /// Deletes an object.
    pub fn delete(&self, name: &str) {
        use object_store::ObjectStoreExt;
        let path = object_store::path::Path::from(name);
        self.rt.block_on(self.objects.delete(&path)).unwrap();
    }

    /// Overwrites an object, as only damage does.
    pub fn overwrite(&self, name: &str, bytes: Vec<u8>) {
        use object_store::ObjectStoreExt;
        let path = object_store::path::Path::from(name);
        self.rt.block_on(self.objects.put(&path, bytes.into())).unwrap();
    }
}

pub fn begin(store: &Store, point: u64, parent: Option<u64>, size: u64) -> Result<Ingest> {
    let plan = Plan { point: key(point), parent: parent.map(key), size };
    match store.begin(plan)? {
        Begun::New(ingest) => Ok(ingest),
        Begun::Exists(record) => panic!("point {} exists", record.key),
    }
}

/// Makes a point of `disk`.
pub fn ingest(
    store: &Store,
    point: u64,
    parent: Option<u64>,
    disk: &Memory,
    changed: Option<&[Range<u64>]>,
) -> Result<(Ingested, Committed)> {
    let mut ingest = begin(store, point, parent, disk.bytes().len() as u64)?;
    let done = ingest.run(disk, changed, &())?;
    let committed = ingest.commit(BTreeMap::new(), jiff::Timestamp::UNIX_EPOCH)?;
    Ok((done, committed))
}

/// The bytes of a point, by way of a restore.
pub fn restore(store: &Store, point: u64) -> Result<Vec<u8>> {
    let reader = store.reader(&key(point))?;
    let target = Target::new(reader.size());
    reader.restore(&target, &[], &())?;
    let bytes = target.bytes().clone();
    Ok(bytes)
}

/// A disk whose blocks come from a few patterns, so that runs of zeros, equal blocks and changes
/// that meet each other are frequent.
pub fn patterned(rng: &mut Rng, size: usize) -> Vec<u8> {
    let mut disk = vec![0; size];
    let mut at = 0;
    while at < size {
        let run = 1 + rng.below(6) as usize;
        let kind = rng.below(5);
        for block in disk.get_mut(at..).unwrap_or_default().chunks_mut(4096).take(run) {
            pattern(rng, kind, block);
        }
        at += run * 4096;
    }
    disk
}

/// Fills one block.
pub fn pattern(rng: &mut Rng, kind: u64, block: &mut [u8]) {
    match kind {
        0 | 1 => block.fill(0),
        2 => block.fill(rng.below(3) as u8 + 1),
        _ => rng.fill(block),
    }
}
