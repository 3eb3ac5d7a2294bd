//! Runs and segments against a model.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use jiff::Timestamp;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use tempfile::TempDir;

use super::*;
use crate::env::Clock;
use crate::keys::Domain;
use crate::pack::Pack;

pub(super) struct Rig {
    pub(super) objects: Objects,
    pub(super) ring: Arc<KeyRing>,
    pub(super) env: Env,
    pub(super) cache: TempDir,
    _rt: tokio::runtime::Runtime,
}

impl Rig {
    fn new() -> Self {
        Self::on(Arc::new(InMemory::new()))
    }

    pub(super) fn on(store: Arc<dyn ObjectStore>) -> Self {
        let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let env = Env::system().with_clock(Arc::new(Hasty));
        let ring = Arc::new(KeyRing::random(env.uuid(), Domain::random(&env), &env));
        let objects = Objects::new(store, rt.handle().clone(), env.clone());
        Self { objects, ring, env, cache: TempDir::new().unwrap(), _rt: rt }
    }

    pub(super) fn open(&self) -> Index {
        self.open_in(self.cache.path())
    }

    pub(super) fn open_in(&self, cache: &Path) -> Index {
        let (ring, env) = (Arc::clone(&self.ring), self.env.clone());
        Index::open(self.objects.clone(), ring, env, cache).unwrap()
    }
}

/// A clock on which waiting takes no time.
struct Hasty;

impl Clock for Hasty {
    fn domain(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
    fn real(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
    fn pause(&self, _: Duration) {}
}

/// The segments of a handle, by their files.
fn segment_files(index: &Index) -> Vec<std::path::PathBuf> {
    index.segments().iter().map(|run| run.path().to_path_buf()).collect()
}

/// Ids that are close to each other: many share their first eight bytes.
pub(super) fn id(number: u32, prefixes: u32) -> Id {
    let hash = *blake3::hash(&number.to_le_bytes()).as_bytes();
    let mut id = hash;
    if prefixes > 0 {
        id[..8].copy_from_slice(&u64::from(number % prefixes).to_be_bytes());
    }
    Id(id)
}

pub(super) fn location(number: u32) -> Location {
    let name = Uuid::from_u128(u128::from(number / 300));
    let pack = Pack { name, salt: [number as u8; 32], epoch: 1, size: 1 << 20 };
    let pack = Pack { salt: [(number / 300) as u8; 32], ..pack };
    Location { pack, offset: number, len: number + 1 }
}

pub(super) fn point(number: u8) -> PointKey {
    PointKey::new([number; 16])
}

#[test]
fn every_entry_of_every_size_of_run_is_found_and_no_other() {
    let rig = Rig::new();
    // Around the borders of pages of entries, of filters and of packs.
    for (count, prefixes) in
        [(1, 0), (91, 0), (92, 0), (93, 0), (184, 0), (3263, 0), (3265, 0), (9000, 0), (500, 2)]
    {
        let index = rig.open();
        let base = count * 100_000;
        let entries: Vec<_> =
            (base..base + count).map(|n| (id(n, prefixes), location(n))).collect();
        index.publish(&point(1), &entries).unwrap();
        for (id, at) in &entries {
            assert_eq!(index.find(id).unwrap(), Some(*at), "{count} entries");
        }
        for n in base + count..base + count + 500 {
            assert_eq!(index.find(&id(n, prefixes)).unwrap(), None, "{count} entries");
        }
        let again = rig.open();
        assert!(entries.iter().all(|(id, at)| again.find(id).unwrap() == Some(*at)));
    }
}

#[test]
fn many_runs_become_few_segments_and_lose_nothing() {
    let rig = Rig::new();
    let index = rig.open();
    let mut model = BTreeMap::new();
    for run in 0..60 {
        let entries: Vec<_> = (0..120)
            // Some ids are in several runs.
            .map(|n| run * 90 + n)
            .map(|n| (id(n, 0), location(n)))
            .collect();
        index.publish(&point(run as u8), &entries).unwrap();
        model.extend(entries);
    }
    let check = |index: &Index, what: &str| {
        let state = index.state.read().unwrap();
        assert!(state.segments.len() <= tier::most(model.len() as u64), "{what}");
        assert_eq!(state.known.len(), 60, "{what}");
        assert!(model.iter().all(|(id, at)| index.find(id).unwrap() == Some(*at)), "{what}");
    };
    check(&index, "the writer");
    let segments = index.state.read().unwrap().segments.len();
    assert_eq!(fs::read_dir(&index.folder.path).unwrap().count(), segments, "files left over");
    let other = rig.open_in(&rig.cache.path().join("other"));
    check(&other, "a reader with an empty cache");
    drop(index);
    let index = rig.open();
    check(&index, "the next handle");
    let held = segment_files(&index);
    index.refresh().unwrap();
    assert_eq!(segment_files(&index), held, "nothing is fetched that the cache has");
}

#[test]
fn a_damaged_cache_is_only_a_cache() {
    let rig = Rig::new();
    let entries: Vec<_> = (0..400).map(|n| (id(n, 0), location(n))).collect();
    let index = rig.open();
    index.publish(&point(1), &entries).unwrap();
    let file = fs::read_dir(&index.folder.path).unwrap().next().unwrap().unwrap().path();
    drop(index);
    for damage in 0..3 {
        let mut bytes = fs::read(&file).unwrap();
        match damage {
            0 => bytes[20] ^= 1,
            1 => bytes.truncate(5000),
            _ => bytes.clear(),
        }
        fs::write(&file, bytes).unwrap();
        fs::write(file.with_extension("tmp"), "half").unwrap();
        let index = rig.open();
        assert!(entries.iter().all(|(id, at)| index.find(id).unwrap() == Some(*at)));
        assert_eq!(fs::read_dir(&index.folder.path).unwrap().count(), 1);
    }
    let mut bytes = fs::read(&file).unwrap();
    bytes[3000] ^= 1;
    fs::write(&file, bytes).unwrap();
    let index = rig.open();
    let asked: Vec<_> = entries.iter().map(|(id, _)| index.ask(id, &|_| true)).collect();
    assert!(asked.iter().any(|a| a.is_err()), "a damaged page is an error, never an answer");
    assert!(entries.iter().all(|(id, at)| index.find(id).unwrap() == Some(*at)), "made anew");
}

#[test]
fn what_an_attempt_stored_is_told_apart() {
    let rig = Rig::new();
    let index = rig.open();
    for run in 0..35 {
        index.publish(&point(1), &[(id(run, 0), location(run))]).unwrap();
    }
    index.publish(&point(2), &[(id(5000, 0), location(1))]).unwrap();
    let attempt = index.attempt(&point(1)).unwrap();
    assert!((0..35).all(|run| attempt.holds(&id(run, 0), &index).unwrap()));
    assert!(!attempt.holds(&id(5000, 0), &index).unwrap());
    assert!(index.attempt(&point(3)).unwrap().is_empty());
    let files = fs::read_dir(&index.folder.path).unwrap().count();
    drop(attempt);
    let left = fs::read_dir(&index.folder.path).unwrap().count();
    assert!(left < files, "the files of an attempt go with it");
}

#[test]
fn a_run_that_is_gone_is_forgotten_and_the_others_stay() {
    let rig = Rig::new();
    let index = rig.open();
    for run in 0..30u32 {
        index.publish(&point(run as u8), &[(id(run, 0), location(run))]).unwrap();
    }
    drop(index);
    let name = |index: &Index, run: u8| {
        let names = index.objects.list(FOLDER).unwrap();
        names.into_iter().find(|name| parse(name).unwrap().0 == point(run)).unwrap()
    };
    let index = rig.open();
    index.objects.delete(&format!("{FOLDER}/{}", name(&index, 3))).unwrap();
    assert!(index.find(&id(3, 0)).unwrap().is_some(), "not known yet");
    drop(index);
    for what in ["the next handle", "with segments made by the one before"] {
        let index = rig.open();
        for run in 0..30u32 {
            let found = index.find(&id(run, 0)).unwrap();
            assert_eq!(found, (run != 3).then(|| location(run)), "{what}: {run}");
        }
    }
}

#[test]
fn all_places_of_an_id_survive_merging() {
    let rig = Rig::new();
    let index = rig.open();
    let runs = 40u32;
    for run in 0..runs {
        // One id is in every run, in a place of its own; one has a single place.
        let mut entries: Vec<_> = (0..95).map(|n| (id(run * 100 + n, 0), location(n))).collect();
        entries.push((id(1_000_000, 0), location(run * 1000)));
        entries.push((id(1_000_001, 0), location(7)));
        index.publish(&point(run as u8), &entries).unwrap();
    }
    let places = index.locations(&id(1_000_000, 0)).unwrap();
    assert_eq!(places.len(), runs as usize);
    assert!((0..runs).all(|run| places.contains(&location(run * 1000))));
    assert_eq!(index.locations(&id(1_000_001, 0)).unwrap(), [location(7)]);
    let state = index.state.read().unwrap();
    let entries: u64 = state.segments.iter().map(|run| run.entries()).sum();
    let segments = state.segments.len() as u64;
    let most = u64::from(runs) * 96 + segments;
    assert!(entries <= most, "{entries} entries in {segments} segments");
}

#[test]
fn a_damaged_run_is_left_out_and_leaves_no_file() {
    let rig = Rig::new();
    let index = rig.open();
    index.publish(&point(1), &[(id(1, 0), location(1))]).unwrap();
    index.publish(&point(2), &[(id(2, 0), location(2))]).unwrap();
    let name = index.objects.list(FOLDER).unwrap().remove(1);
    let object = format!("{FOLDER}/{name}");
    let mut bytes = rig.objects.get(&object, margins::RUN).unwrap().to_vec();
    bytes[HEAD_AND_A_BIT] ^= 1;
    index.objects.delete(&object).unwrap();
    index.objects.create_unique(&object, bytes.into()).unwrap();
    let again = rig.open_in(&rig.cache.path().join("other"));
    assert_eq!(again.find(&id(1, 0)).unwrap(), Some(location(1)));
    assert_eq!(again.find(&id(2, 0)).unwrap(), None);
    assert_eq!(again.damaged()[0].object, object);
    let reads = again.damaged();
    again.refresh().unwrap();
    assert_eq!(again.damaged(), reads);
    assert_eq!(fs::read_dir(&again.folder.path).unwrap().count(), 1);
}

const HEAD_AND_A_BIT: usize = 100;

#[test]
fn a_pack_of_two_sizes_is_disputed_also_after_merging() {
    let rig = Rig::new();
    let index = rig.open();
    let mut shrunk = location(1);
    shrunk.pack.size -= 777;
    shrunk.offset += 5;
    index.publish(&point(1), &[(id(1, 0), location(1))]).unwrap();
    index.publish(&point(2), &[(id(1, 0), shrunk)]).unwrap();
    for run in 3..30u32 {
        index.publish(&point(run as u8), &[(id(run, 0), location(300 * run))]).unwrap();
    }
    let named = index.packs(&|_| true).unwrap();
    assert!(named[&shrunk.pack.name].disputed);
    assert_eq!(named.values().filter(|named| named.disputed).count(), 1);
    let places = index.locations(&id(1, 0)).unwrap();
    assert!(places.contains(&location(1)) && places.contains(&shrunk));
}

/// However little is left of a run: it is damage, and the store opens without it.
#[test]
fn a_run_that_was_cut_short_is_left_out() {
    for left in [0, 10, 67, 68, 4000, 68 + 4096, 68 + 4096 + 1] {
        let rig = Rig::new();
        let index = rig.open();
        index.publish(&point(1), &[(id(1, 0), location(1))]).unwrap();
        let name = index.objects.list(FOLDER).unwrap().remove(0);
        let object = format!("{FOLDER}/{name}");
        let bytes = rig.objects.get(&object, margins::RUN).unwrap();
        index.objects.delete(&object).unwrap();
        index.objects.create_unique(&object, bytes.slice(..left)).unwrap();
        let again = rig.open_in(&rig.cache.path().join("other"));
        assert_eq!(again.damaged()[0].object, object, "{left} bytes");
        assert_eq!(again.find(&id(1, 0)).unwrap(), None);
        assert_eq!(again.inspect(&object).unwrap_err().kind(), ErrorKind::Corrupt, "{left} bytes");
        assert_eq!(fs::read_dir(&again.folder.path).unwrap().count(), 0, "{left} bytes");
    }
}

/// A run that is fetched in several pieces is the run that was written.
#[test]
fn a_run_of_several_pieces_is_whole() {
    let rig = Rig::new();
    let entries: Vec<_> = (0..100_000).map(|n| (id(n, 0), location(n))).collect();
    rig.open().publish(&point(1), &entries).unwrap();
    let index = rig.open_in(&rig.cache.path().join("other"));
    let size = fs::read_dir(&index.folder.path).unwrap().next().unwrap().unwrap().metadata();
    assert!(size.unwrap().len() > margins::FETCH);
    assert!(index.damaged().is_empty());
    let some = entries.iter().step_by(37);
    assert!(some.into_iter().all(|(id, at)| index.find(id).unwrap() == Some(*at)));
}
