//! An index as large as that of a store of many terabytes, made through the real code: what it
//! takes on disk and in memory, and what a look-up reads.
//!
//! `TRESOR_CAPACITY_TIB` says how large; the entries of 64 KiB chunks, in runs of a first backup.

use std::fs;
use std::process::Command;
use std::sync::atomic::Ordering;

use tempfile::TempDir;

use super::run::READS;
use super::*;
use crate::keys::Domain;
use crate::object::LocalObjects;
use crate::pack::Pack;

const SIZE: &str = "TRESOR_CAPACITY_TIB";
const CHILD: &str = "TRESOR_CAPACITY_CHILD";

/// Without a wish: enough for several tiers, and small enough to be run every time.
const DEFAULT: &str = "0.0625";

/// Chunks of 64 KiB in a tebibyte.
const CHUNKS: f64 = (1u64 << 24) as f64;

/// Entries of a run, and chunks of a pack.
const RUN: u64 = 24_000;
const PACK: u64 = 256;

const LOOK_UPS: u64 = 10_000;

/// Memory that the process may need beside what it has when the test begins.
const MEMORY: u64 = 96 << 20;

fn id(number: u64) -> Id {
    Id(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

fn location(number: u64) -> Location {
    let pack = number / PACK;
    let name = Uuid::from_u128(u128::from(pack) << 64 | u128::from(pack.wrapping_mul(0x9E37)));
    let pack = Pack { name, salt: [pack as u8; 32], epoch: 1, size: 16 << 20 };
    Location { pack, offset: (number % PACK * 60_000) as u32, len: 60_000 }
}

/// A field of this process's status, in bytes.
fn status(field: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let size = |entry: fs::DirEntry| match entry.metadata().unwrap() {
        meta if meta.is_dir() => bytes_below(&entry.path()),
        meta => meta.len(),
    };
    entries.map(size).sum()
}

/// In a process of its own: memory is counted for the whole process.
#[test]
fn a_large_index_is_small() {
    if std::env::var_os(CHILD).is_some() {
        return measure();
    }
    let test = "index::capacity::a_large_index_is_small";
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = [child.stdout, child.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    let line = said[0].lines().find(|line| line.starts_with("capacity:"));
    assert!(child.status.success() && line.is_some(), "{}\n{}", said[0], said[1]);
    eprintln!("{}", line.unwrap());
}

fn measure() {
    let tib: f64 = std::env::var(SIZE).unwrap_or(DEFAULT.to_owned()).parse().unwrap();
    let count = (tib * CHUNKS) as u64;
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let (cache, kept) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let env = Env::system();
    let ring = Arc::new(KeyRing::random(env.uuid(), Domain::random(&env), &env));
    let local = Arc::new(LocalObjects::open(kept.path()).unwrap());
    let objects = Objects::new(local, rt.handle().clone(), env.clone());
    let open =
        || Index::open(objects.clone(), Arc::clone(&ring), env.clone(), cache.path()).unwrap();
    let before = status("VmRSS:");
    let index = open();
    let mut entries = Vec::new();
    for start in (0..count).step_by(RUN as usize) {
        entries.clear();
        entries.extend((start..count.min(start + RUN)).map(|n| (id(n), location(n))));
        index.publish(&PointKey::new([7; 16]), &entries).unwrap();
    }
    let written = READS.load(Ordering::Relaxed);

    let (in_store, here) = (bytes_below(&kept.path().join(FOLDER)), bytes_below(cache.path()));
    for (what, bytes) in [("in the store", in_store), ("here", here)] {
        assert!(bytes <= 48 * count, "{what}: {} bytes for {count} entries", bytes);
    }
    let (segments, resident) = resident(&index);
    assert!(segments <= tier::most(count), "{segments} segments");
    let stated = (8 << 10) * count / 1_000_000 + (64 << 10);
    assert!(resident <= stated, "{resident} bytes are kept for {count} entries");

    let [hits, misses] = [0, count].map(|base| look_up(&index, base, count));
    let most = LOOK_UPS * (segments as u64 + 4);
    assert!(hits <= most && misses <= most, "{hits} and {misses} pages for {LOOK_UPS} look-ups");

    // The next handle takes the folder over and fetches nothing.
    drop(index);
    let listed = READS.load(Ordering::Relaxed);
    let index = open();
    let opened = READS.load(Ordering::Relaxed) - listed;
    assert!(opened <= segments as u64 * 3 + count / 20_000, "{opened} pages to open {segments}");
    look_up(&index, 0, count);

    let memory = status("VmHWM:").saturating_sub(before);
    assert!(memory <= MEMORY, "{memory} bytes of memory");
    println!(
        "capacity: {count} entries, {:.2} bytes each in the store and {:.2} here, {segments} \
         segments, {resident} bytes kept, {:.1} MiB of memory at most, {:.2} pages a hit, \
         {:.2} a miss, {:.1} pages read to write an entry's page",
        in_store as f64 / count as f64,
        here as f64 / count as f64,
        memory as f64 / f64::from(1 << 20),
        hits as f64 / LOOK_UPS as f64,
        misses as f64 / LOOK_UPS as f64,
        written as f64 * 4096.0 / here as f64,
    );
}

/// Segments, and the bytes that the index keeps in memory besides its cache of pages.
fn resident(index: &Index) -> (usize, u64) {
    let state = index.state.read().unwrap();
    let runs: usize = state.segments.iter().map(|run| run.resident()).sum();
    // A set of names: a node has 11 of them and is at least half full.
    let known = state.known.len() * 2 * (size_of::<Uuid>() + 8);
    (state.segments.len(), (runs + known) as u64)
}

/// Looks up ids spread over `count` from `base`; says how many pages that read.
fn look_up(index: &Index, base: u64, count: u64) -> u64 {
    let before = READS.load(Ordering::Relaxed);
    for turn in 0..LOOK_UPS {
        // Golden-ratio steps: spread over everything, the same at every run.
        let number = base
            + ((u128::from(turn.wrapping_mul(0x9E37_79B9_7F4A_7C15)) * u128::from(count)) >> 64)
                as u64;
        let found = index.find(&id(number)).unwrap();
        assert_eq!(found, (base == 0).then(|| location(number)), "entry {number}");
    }
    READS.load(Ordering::Relaxed) - before
}
