//! Collection of garbage beside others: killed at any operation, met by backups and other
//! collections at every moment, and by writers that are slow, late, lost or about to win.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod garbage;
mod rig;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use garbage::{
    SIZE, collect, commit, copy_of, disk, folder, garbage, make, nothing_is_left_open, other,
    plain, ruthless, tight, whole,
};
use object_store::ObjectStore;
use rig::{Rig, begin, ingest, key, restore, small};
use tresor_store::ErrorKind;
use tresor_testkit::{Fault, Faulty, Operation};

/// Objects that count their operations while they are armed, and call `hook` before the one of
/// this number.
fn at(
    objects: &Arc<dyn ObjectStore>,
    number: u64,
    hook: impl Fn() + Send + Sync + 'static,
) -> (Arc<dyn ObjectStore>, Arc<AtomicU64>, Arc<AtomicBool>) {
    let (count, armed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (counted, arm) = (Arc::clone(&count), Arc::clone(&armed));
    let faulty = Faulty::new(Arc::clone(objects), move |_, path, _| {
        let counts = arm.load(SeqCst) && !path.as_ref().starts_with("probe");
        if counts && counted.fetch_add(1, SeqCst) == number {
            hook();
        }
        Fault::None
    });
    (Arc::new(faulty), count, armed)
}

/// Killed at any operation: nothing that is needed is gone, and the next run ends the work.
#[test]
fn a_collection_killed_anywhere_is_ended_by_the_next() {
    let mut kills = 0;
    let objects = garbage();
    for fatal in 0.. {
        let rig = copy_of(&objects);
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
        let done = mortal.open().unwrap().collect(&tight(), &());
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
    let garbage = garbage();
    for moment in 0.. {
        let rig = copy_of(&garbage);
        let beside = Arc::new(Mutex::new(Some(other(&rig, 3))));
        let taken = Arc::clone(&beside);
        let (objects, count, armed) = at(&rig.objects, moment, move || {
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
        });
        let slow = Rig::on(objects, 2);
        let store = slow.open().unwrap();
        armed.store(true, SeqCst);
        let done = store.collect(&tight(), &()).unwrap();
        armed.store(false, SeqCst);
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
