//! Collection of garbage: it frees what nothing needs and nothing else, whatever is killed,
//! paused or done beside it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod rig;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use object_store::ObjectStore;
use rig::{Rig, begin, ingest, key, patterned, restore, small};
use tresor_store::{Collect, Collected, ErrorKind, Result, Store};
use tresor_testkit::{Fault, Faulty, Memory, Operation, Progress, Rng};

const SIZE: usize = 400 << 10;

/// Without rewriting: only what is wholly unused goes.
fn plain() -> Collect {
    Collect { max_unused_percent: 100.0, small_pack_bytes: 0, ..Collect::default() }
}

/// Writers that have not committed are given up at once.
fn ruthless() -> Collect {
    Collect { void_after: Duration::ZERO, ..plain() }
}

/// Somebody else at the same objects, with a cache and a runtime of its own.
struct Other {
    store: Store,
    _rig: Rig,
}

impl std::ops::Deref for Other {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

fn other(rig: &Rig, seed: u64) -> Other {
    let rig = rig.beside(seed);
    Other { store: rig.open().unwrap(), _rig: rig }
}

fn disk(seed: u64) -> Memory {
    Memory::sparse(patterned(&mut Rng::new(seed), SIZE))
}

fn make(store: &Store, point: u64, seed: u64) {
    assert!(ingest(store, point, None, &disk(seed), None).unwrap().1.won);
}

fn commit(ingest: tresor_store::Ingest) -> Result<bool> {
    Ok(ingest.commit(BTreeMap::new(), Timestamp::UNIX_EPOCH)?.won)
}

fn folder(rig: &Rig, name: &str) -> BTreeSet<String> {
    let prefix = format!("{name}/");
    rig.dump().into_keys().filter(|object| object.starts_with(&prefix)).collect()
}

fn collect(store: &Store, how: &Collect) -> Collected {
    let done = store.collect(how, &()).unwrap();
    assert_eq!(done.lost_ids, 0, "{done:?}");
    done
}

/// A store with points 1 to 4, in which 1 and 3 are removed and share parts with the others.
fn store_with_garbage(rig: &Rig) -> Store {
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

fn whole(store: &Store, point: u64) -> bool {
    let bytes = restore(store, point).unwrap();
    bytes[SIZE / 4..] == disk(point).bytes()[SIZE / 4..]
        && bytes[..SIZE / 4] == disk(9).bytes()[..SIZE / 4]
}

/// Every pack that is left is needed: without it some point does not restore.
fn every_pack_is_needed(rig: &Rig, points: &[u64]) {
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

fn nothing_is_left_open(rig: &Rig) {
    for name in ["condemned", "awaited", "confirmed"] {
        assert_eq!(folder(rig, name), BTreeSet::new());
    }
}

#[test]
fn what_nothing_needs_is_freed_and_nothing_else() {
    let rig = Rig::new();
    let store = store_with_garbage(&rig);
    let before = folder(&rig, "packs");
    let planned = collect(&store, &Collect { dry_run: true, ..plain() });
    let dump = rig.dump();
    let again = collect(&store, &Collect { dry_run: true, ..plain() });
    assert!(rig.dump() == dump && again == planned, "a dry run changes nothing");
    let watch = Progress::default();
    let done = store.collect(&plain(), &watch).unwrap();
    assert_eq!((done.points, done.roots, done.lost_ids), (2, 2, 0));
    assert_eq!(
        (planned.deleted_packs, planned.freed_bytes),
        (done.deleted_packs, done.freed_bytes)
    );
    assert_eq!(done.deleted_packs, done.dead_packs);
    assert_eq!((watch.expected(), watch.done()), (done.freed_bytes, done.freed_bytes));
    assert!(done.deleted_packs > 3 && done.entries_after < done.entries_before, "{done:?}");
    let after = folder(&rig, "packs");
    assert_eq!(before.len() - after.len(), done.deleted_packs as usize);
    nothing_is_left_open(&rig);
    every_pack_is_needed(&rig, &[2, 4]);
    assert!(whole(&store, 2) && whole(&store, 4));
    // Also for those who come later, and who store what was freed again.
    let second = other(&rig, 2);
    make(&second, 5, 1);
    assert!(restore(&store, 5).unwrap() == disk(1).bytes() && whole(&second, 4));
    let idle = collect(&store, &plain());
    assert_eq!((idle.dead_packs, idle.deleted_packs), (0, 0));
    for point in [2, 4, 5] {
        store.remove_point(&key(point)).unwrap();
    }
    let all = collect(&store, &ruthless());
    assert_eq!((folder(&rig, "packs").len(), all.entries_after), (0, 0), "{all:?}");
    for name in ["points", "removed", "writers", "stale"] {
        assert_eq!(folder(&rig, name), BTreeSet::new(), "old removals are cleared away");
    }
}

/// Sorting in tiny pieces gives the same answer.
#[test]
fn marking_sorts_on_disk_what_memory_does_not_hold() {
    let rig = Rig::new();
    let store = store_with_garbage(&rig);
    for point in 10..40 {
        make(&store, point, point);
    }
    let dry = Collect { dry_run: true, ..plain() };
    let roomy = collect(&store, &dry);
    let tight = collect(&store, &Collect { sort_ids: 8, ..dry });
    assert_eq!(roomy, tight);
    let files = walk(rig.cache.path());
    assert!(files.iter().all(|file| !file.ends_with(".sort")), "{files:?}");
}

fn walk(path: &std::path::Path) -> Vec<String> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { out.extend(walk(&path)) } else { out.push(path.display().to_string()) }
    }
    out
}

/// Calls `hook` before the operation of this number, counted over all kinds, on `objects`.
fn at(
    objects: &Arc<dyn ObjectStore>,
    number: u64,
    hook: impl Fn() -> Fault + Send + Sync + 'static,
) -> (Arc<dyn ObjectStore>, Arc<AtomicU64>) {
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    let faulty = Faulty::new(Arc::clone(objects), move |_, path, _| {
        if path.as_ref().starts_with("probe") {
            return Fault::None;
        }
        let before = counted.fetch_add(1, SeqCst);
        if before == number { hook() } else { Fault::None }
    });
    (Arc::new(faulty), count)
}

/// Killed at any operation: nothing that is needed is gone, and the next run ends the work.
#[test]
fn a_collection_killed_anywhere_is_ended_by_the_next() {
    let mut kills = 0;
    for fatal in 0.. {
        let rig = Rig::new();
        drop(store_with_garbage(&rig));
        let dead = Arc::new(AtomicBool::new(false));
        let (flag, count) = (Arc::clone(&dead), AtomicU64::new(0));
        // Only what changes something: a kill between two reads is the same as before them.
        let faulty = Faulty::new(Arc::clone(&rig.objects), move |operation, path, _| {
            let changes = matches!(operation, Operation::Put | Operation::Delete);
            if path.as_ref().starts_with("probe") {
                return Fault::None;
            }
            if changes && count.fetch_add(1, SeqCst) == fatal {
                flag.store(true, SeqCst);
            }
            if flag.load(SeqCst) { Fault::Refuse } else { Fault::None }
        });
        let mortal = Rig::on(Arc::new(faulty), 2);
        let done = mortal.open().unwrap().collect(&plain(), &());
        let store = other(&rig, 3);
        assert!(whole(&store, 2) && whole(&store, 4), "killed at {fatal}");
        // A backup beside the ruins, of bytes that are partly condemned.
        make(&store, 7, 1);
        collect(&store, &plain());
        let third = other(&rig, 4);
        assert!(whole(&third, 2) && whole(&third, 4), "killed at {fatal}");
        assert!(restore(&third, 7).unwrap() == disk(1).bytes(), "killed at {fatal}");
        nothing_is_left_open(&rig);
        if done.is_ok() {
            break;
        }
        kills += 1;
    }
    assert!(kills > 10, "{kills} kills");
}

/// Whatever happens in one moment of a collection, at every moment: another collection, and a
/// backup of the very bytes that are being collected.
#[test]
fn a_collection_and_others_beside_it_at_every_moment() {
    let mut moments = 0;
    for moment in 0.. {
        let rig = Rig::new();
        drop(store_with_garbage(&rig));
        let beside = Arc::new(Mutex::new(Some(other(&rig, 3))));
        let taken = Arc::clone(&beside);
        let (objects, count) = at(&rig.objects, moment, move || {
            let store = taken.lock().unwrap().take().unwrap();
            // A thread of its own: calls of the store block.
            let work = move || match moment % 3 {
                0 => drop(collect(&store, &plain())),
                1 => make(&store, 3000, 3),
                _ => {
                    drop(collect(&store, &plain()));
                    make(&store, 3000, 3);
                    store.remove_point(&key(4)).unwrap();
                    drop(collect(&store, &plain()));
                }
            };
            std::thread::spawn(work).join().unwrap();
            Fault::None
        });
        let slow = Rig::on(objects, 2);
        let store = slow.open().unwrap();
        let done = store.collect(&plain(), &()).unwrap();
        assert_eq!(done.lost_ids, 0, "moment {moment}: {done:?}");
        for store in [&other(&rig, 5).store, &store] {
            for record in store.points().unwrap() {
                match u128::from_be_bytes(*record.key.as_bytes()) as u64 {
                    3000 => assert!(restore(store, 3000).unwrap() == disk(3).bytes()),
                    point => assert!(whole(store, point), "moment {moment}, point {point}"),
                }
            }
        }
        let last = other(&rig, 6);
        collect(&last, &plain());
        nothing_is_left_open(&rig);
        if count.load(SeqCst) <= moment {
            break;
        }
        moments += 1;
    }
    assert!(moments > 30, "{moments} moments");
}

/// A writer that began before packs were condemned is waited for, and what it uses is released.
#[test]
fn a_writer_that_cannot_know_is_waited_for() {
    let rig = Rig::new();
    let store = rig.init(small());
    make(&store, 1, 1);
    make(&store, 2, 2);
    let second = other(&rig, 2);
    let mut paused = begin(&second, 3, None, SIZE as u64).unwrap();
    store.remove_point(&key(1)).unwrap();
    let done = collect(&store, &plain());
    assert!(done.dead_packs > 0 && done.deleted_packs == 0, "{done:?}");
    assert_eq!(done.waiting_for.len(), 1);
    assert_eq!(done.waiting_for[0].point, key(3));
    // It finds the bytes of the removed point while they are condemned.
    let stored = paused.run(&disk(1), None, &()).unwrap();
    assert_eq!(stored.bytes_new, 0);
    assert!(commit(paused).unwrap());
    let done = collect(&store, &plain());
    assert!(done.released_packs > 0, "{done:?}");
    assert!(restore(&other(&rig, 4), 3).unwrap() == disk(1).bytes());
    assert!(restore(&store, 3).unwrap() == disk(1).bytes());
    assert!(store.writers().unwrap().is_empty(), "those that won are cleared away");
}

/// A writer that knows of the condemned packs does not keep them.
#[test]
fn a_writer_that_comes_later_stores_condemned_bytes_again() {
    let rig = Rig::new();
    let store = rig.init(small());
    make(&store, 1, 1);
    let second = other(&rig, 2);
    let blocker = begin(&second, 9, None, SIZE as u64).unwrap();
    store.remove_point(&key(1)).unwrap();
    let condemned = collect(&store, &plain()).dead_packs;
    let mut late = begin(&second, 2, None, SIZE as u64).unwrap();
    assert!(late.run(&disk(1), None, &()).unwrap().bytes_new > 0);
    blocker.abandon().unwrap();
    let done = collect(&store, &plain());
    assert_eq!((done.deleted_packs, done.released_packs), (condemned, 0), "before it commits");
    assert!(commit(late).unwrap());
    assert!(restore(&other(&rig, 3), 2).unwrap() == disk(1).bytes());
}

/// What an attempt under way has stored stays, so that the next attempt finds it again.
#[test]
fn work_in_flight_is_found_again_after_a_collection() {
    let rig = Rig::new();
    let store = rig.init(small());
    let mut first = begin(&store, 1, None, SIZE as u64).unwrap();
    first.run(&disk(1), None, &()).unwrap();
    drop(first);
    let done = collect(&store, &plain());
    assert_eq!((done.dead_packs, done.deleted_packs), (0, 0), "{done:?}");
    let mut again = begin(&other(&rig, 2), 1, None, SIZE as u64).unwrap();
    let stored = again.run(&disk(1), None, &()).unwrap();
    assert_eq!(stored.bytes_new, 0);
    assert!(commit(again).unwrap());
    assert!(restore(&store, 1).unwrap() == disk(1).bytes());
}

/// A lost writer is given up: its bytes go, it can never commit, and what it writes when it
/// wakes up harms nobody.
#[test]
fn a_lost_writer_is_given_up_and_can_do_no_harm() {
    let rig = Rig::new();
    let store = rig.init(small());
    let second = other(&rig, 2);
    let mut lost = begin(&second, 1, None, SIZE as u64).unwrap();
    lost.run(&disk(1), None, &()).unwrap();
    let runs: Vec<_> =
        rig.dump().into_iter().filter(|(name, _)| name.starts_with("index/")).collect();
    let done = collect(&store, &ruthless());
    assert_eq!(done.voided, [key(1)]);
    assert!(done.deleted_packs > 0 && folder(&rig, "packs").is_empty(), "{done:?}");
    assert_eq!(folder(&rig, "stale").len(), 1, "it may be alive");
    // It wakes up and publishes what it had stored.
    for (name, bytes) in runs {
        rig.overwrite(&name, bytes);
    }
    let third = other(&rig, 3);
    make(&third, 2, 1);
    assert!(restore(&other(&rig, 4), 2).unwrap() == disk(1).bytes());
    assert_eq!(commit(lost).unwrap_err().kind(), ErrorKind::Voided);
    assert_eq!(begin(&third, 1, None, 512).unwrap_err().kind(), ErrorKind::Voided);
    assert!(store.point(&key(1)).unwrap().is_none());
    collect(&store, &ruthless());
    assert!(folder(&rig, "points").len() == 2, "the void stays");
    assert!(restore(&store, 2).unwrap() == disk(1).bytes());
}

/// The parent of an attempt keeps its bytes although it was removed.
#[test]
fn a_removed_parent_lives_as_long_as_who_builds_on_it() {
    let rig = Rig::new();
    let store = rig.init(small());
    make(&store, 1, 1);
    let second = other(&rig, 2);
    let mut child = begin(&second, 2, Some(1), SIZE as u64).unwrap();
    store.remove_point(&key(1)).unwrap();
    assert_eq!(collect(&store, &plain()).dead_packs, 0);
    child.run(&disk(1), Some(&[]), &()).unwrap();
    assert_eq!(collect(&store, &plain()).dead_packs, 0);
    assert!(commit(child).unwrap());
    collect(&store, &plain());
    assert!(restore(&other(&rig, 3), 2).unwrap() == disk(1).bytes());
}

/// Who wins while packs are condemned keeps the announcement until they are decided.
#[test]
fn a_commit_while_packs_are_condemned_leaves_its_announcement() {
    let rig = Rig::new();
    let store = rig.init(small());
    make(&store, 1, 1);
    make(&store, 2, 2);
    let blocker = begin(&other(&rig, 2), 9, None, SIZE as u64).unwrap();
    store.remove_point(&key(1)).unwrap();
    assert_eq!(collect(&store, &plain()).waiting_for.len(), 1);
    let (_, done) = ingest(&store, 3, Some(2), &disk(2), Some(&[])).unwrap();
    assert_eq!(store.writers().unwrap().len(), 2, "the blocker and the winner");
    assert!(store.writers().unwrap().iter().any(|writer| writer.id == done.record.nonce));
    store.remove_point(&key(2)).unwrap();
    blocker.abandon().unwrap();
    collect(&store, &plain());
    assert!(restore(&store, 3).unwrap() == disk(2).bytes());
    assert!(store.writers().unwrap().is_empty());
}

#[test]
fn pins_keep_removed_points_and_late_ones_are_refused() {
    let rig = Rig::new();
    let store = rig.init(small());
    make(&store, 1, 1);
    make(&store, 2, 2);
    let pin = store.pin(&key(1), "reader").unwrap();
    // As if the removal had not seen the pin in time.
    let copy = Rig::new();
    for (name, bytes) in rig.dump().into_iter().filter(|(name, _)| !name.starts_with("pins/")) {
        copy.overwrite(&name, bytes);
    }
    copy.open().unwrap().remove_point(&key(1)).unwrap();
    let name = format!("removed/{}", key(1));
    rig.overwrite(&name, copy.dump().remove(&name).unwrap());
    store.remove_point(&key(2)).unwrap();
    let blocker = begin(&other(&rig, 2), 9, None, SIZE as u64).unwrap();
    let done = collect(&store, &plain());
    assert!(done.dead_packs > 0 && done.roots == 1, "{done:?}");
    assert_eq!(store.pin(&key(1), "late").unwrap_err().kind(), ErrorKind::Transient);
    assert_eq!(store.pins().unwrap().len(), 1);
    blocker.abandon().unwrap();
    collect(&store, &plain());
    assert!(restore(&store, 1).unwrap() == disk(1).bytes());
    let second = store.pin(&key(1), "late").unwrap();
    pin.release().unwrap();
    assert_eq!(collect(&store, &plain()).dead_packs, 0);
    second.release().unwrap();
    assert!(collect(&store, &plain()).deleted_packs > 0);
    assert!(folder(&rig, "packs").is_empty());
}

/// A reader that knows only of packs that are gone looks again.
#[test]
fn nothing_is_deleted_while_something_is_lost() {
    let rig = Rig::new();
    let store = store_with_garbage(&rig);
    let copy = Rig::new();
    let mut hurt = false;
    for (name, bytes) in rig.dump() {
        if !hurt && name.starts_with("packs/") && bytes.len() > 40_000 {
            hurt = true;
            continue;
        }
        copy.overwrite(&name, bytes);
    }
    let dump = copy.dump();
    let damaged = copy.open().unwrap();
    let done = damaged.collect(&plain(), &()).unwrap();
    let needed = restore(&damaged, 2).is_err() || restore(&damaged, 4).is_err();
    assert_eq!(needed, done.lost_ids > 0, "{done:?}");
    if needed {
        assert!(!done.lost.is_empty() && done.deleted_packs == 0);
        assert!(copy.dump() == dump, "nothing is touched");
    }
    // Damaged records that hide what is needed stop it too.
    for name in [format!("points/{}", key(2)), "pins/00112233445566778899aabbccddeeff".into()] {
        let before = rig.dump().get(&name).cloned();
        rig.overwrite(&name, vec![1; 100]);
        let refused = store.collect(&plain(), &()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Corrupt, "{name}");
        match before {
            Some(bytes) => rig.overwrite(&name, bytes),
            None => {
                let path = object_store::path::Path::from(name);
                rig.rt
                    .block_on(object_store::ObjectStoreExt::delete(&*rig.objects, &path))
                    .unwrap();
            }
        }
    }
    assert!(collect(&store, &plain()).deleted_packs > 0);
    assert!(whole(&store, 2) && whole(&store, 4));
}
