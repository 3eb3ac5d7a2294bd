//! Collectors, writers and pinners that stand still at the wrong moment: each test holds one of
//! them there while the others go on.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod garbage;
mod rig;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use object_store::ObjectStore;

use garbage::{
    SIZE, collect, commit, disk, make, nothing_is_left_open, other, plain, ruthless, tight,
};
use rig::{Rig, begin, ingest, key, restore, small};
use tresor_store::Collect;
use tresor_testkit::{Fault, Faulty, Memory, Operation, Rng, sim_env};

/// Objects that call `hook` before the first operation like this, once they are armed.
fn before(
    objects: &Arc<dyn ObjectStore>,
    like: (Operation, &'static str),
    hook: impl FnOnce() + Send + 'static,
) -> (Arc<dyn ObjectStore>, Arc<AtomicBool>) {
    let (armed, hook) = (Arc::new(AtomicBool::new(false)), Mutex::new(Some(hook)));
    let arm = Arc::clone(&armed);
    let faulty = Faulty::new(Arc::clone(objects), move |operation, path, _| {
        let meant = operation == like.0 && path.as_ref().starts_with(like.1);
        if meant && arm.swap(false, SeqCst) {
            let hook = hook.lock().unwrap().take().unwrap();
            // A thread of its own: calls of the store block.
            std::thread::spawn(hook).join().unwrap();
        }
        Fault::None
    });
    (Arc::new(faulty), armed)
}

/// A point that relies on condemned packs goes while the second mark begins; what it reached has
/// moved on to a writer or a pin, which the mark sees.
#[test]
fn what_moves_on_while_roots_are_listed_is_seen() {
    for pinned in [false, true] {
        let rig = Rig::new();
        let store = rig.init(small());
        make(&store, 1, 1);
        let second = other(&rig, 2);
        let mut early = begin(&second, 3, None, SIZE as u64).unwrap();
        store.remove_point(&key(1)).unwrap();
        assert_eq!(collect(&store, &plain()).waiting_for.len(), 1);
        assert_eq!(early.run(&disk(1), None, &()).unwrap().bytes_new, 0);
        assert!(commit(early).unwrap());
        // The removal by somebody who does not see the pin in time.
        let copy = Rig::of(&rig.dump(), 7);
        copy.open().unwrap().remove_point(&key(3)).unwrap();
        let removed = format!("removed/{}", key(3));
        let removal = copy.dump().remove(&removed).unwrap();
        let (heir, hand) = (other(&rig, 3), rig.beside(4));
        let (send, child) = std::sync::mpsc::channel();
        let (objects, armed) = before(&rig.objects, (Operation::List, "points"), move || {
            if pinned {
                let _pin = heir.pin(&key(3), "reader").unwrap();
            } else {
                let child = begin(&heir, 4, Some(3), SIZE as u64).unwrap();
                assert!(child.parent().is_some());
                send.send((child, heir)).unwrap();
            }
            hand.overwrite(&removed, removal);
        });
        let slow = Rig::on(objects, 5);
        let collector = slow.open().unwrap();
        armed.store(true, SeqCst);
        let done = collect(&collector, &plain());
        assert!(!armed.load(SeqCst));
        assert!(done.released_packs > 0 && done.deleted_packs == 0, "{pinned}: {done:?}");
        if let Ok((mut child, _heir)) = child.recv() {
            child.run(&disk(1), Some(&[]), &()).unwrap();
            assert!(commit(child).unwrap());
        }
        let point = if pinned { 3 } else { 4 };
        assert!(restore(&other(&rig, 6), point).unwrap() == disk(1).bytes());
    }
}

/// One collector has decided that a pack goes since its chunks were copied; another one, which
/// has marked before, wants the copies to go.
#[test]
fn of_two_copies_that_two_collectors_condemn_one_stays() {
    let rig = Rig::new();
    let store = rig.init(small());
    let mut bytes = vec![0; 60 << 10];
    Rng::new(1).fill(&mut bytes);
    ingest(&store, 1, None, &Memory::sparse(bytes.clone()), None).unwrap();
    bytes[40 << 10..].fill(0);
    ingest(&store, 2, None, &Memory::sparse(bytes.clone()), None).unwrap();
    store.remove_point(&key(1)).unwrap();
    collect(&store, &plain());
    let ((arrive, arrived), (go, gone)) = (std::sync::mpsc::channel(), std::sync::mpsc::channel());
    let (objects, armed) = before(&rig.objects, (Operation::Put, "condemned"), move || {
        arrive.send(()).unwrap();
        gone.recv().unwrap();
    });
    let second = Rig::on(objects, 2);
    let rival = second.open().unwrap();
    armed.store(true, SeqCst);
    let running = Arc::new(Mutex::new(None));
    let run = Arc::clone(&running);
    // The copies are there and nothing is condemned: the rival finds them superfluous.
    let (objects, copied) = before(&rig.objects, (Operation::Put, "condemned"), move || {
        *run.lock().unwrap() = Some(std::thread::spawn(move || collect(&rival, &plain())));
        arrived.recv_timeout(Duration::from_secs(60)).unwrap();
    });
    // The rival condemns the copies and decides, before the originals are gone.
    let (objects, decided) = before(&objects, (Operation::Delete, "packs"), move || {
        go.send(()).unwrap();
        let rival = running.lock().unwrap().take().unwrap().join().unwrap();
        assert!(rival.dead_packs > 0 && rival.released_packs > 0, "{rival:?}");
    });
    let third = Rig::on(objects, 3);
    let first = third.open().unwrap();
    copied.store(true, SeqCst);
    decided.store(true, SeqCst);
    let done = collect(&first, &tight());
    assert!(done.rewritten_packs > 0 && done.deleted_packs > 0, "{done:?}");
    assert!(!copied.load(SeqCst) && !decided.load(SeqCst));
    assert!(restore(&other(&rig, 4), 2).unwrap() == bytes);
}

/// A parent that was read, and was collected before its child was announced, is no parent.
#[test]
fn a_parent_that_goes_before_the_announcement_is_none() {
    let rig = Rig::new();
    make(&rig.init(small()), 1, 1);
    let remover = other(&rig, 2);
    let (objects, armed) = before(&rig.objects, (Operation::Put, "writers"), move || {
        remover.remove_point(&key(1)).unwrap();
        assert!(collect(&remover, &plain()).deleted_packs > 0);
    });
    let slow = Rig::on(objects, 3);
    let writer = slow.open().unwrap();
    armed.store(true, SeqCst);
    let mut child = begin(&writer, 2, Some(1), SIZE as u64).unwrap();
    assert!(!armed.load(SeqCst) && child.parent().is_none());
    // Nobody looks for what such a parent reached.
    assert!(collect(&other(&rig, 5), &plain()).affected.is_empty());
    let parents: Vec<_> = writer.writers().unwrap().into_iter().map(|w| w.parent).collect();
    assert_eq!(parents, [None]);
    child.run(&disk(1), Some(&[]), &()).unwrap();
    assert!(commit(child).unwrap());
    assert!(restore(&other(&rig, 4), 2).unwrap() == disk(1).bytes());
}

/// The same, killed before it can take that announcement back: it is given up in its time like
/// any other, although what its parent reached is gone.
#[test]
fn a_lost_announcement_of_a_dead_parent_blocks_nothing_for_ever() {
    let rig = Rig::new();
    let store = rig.init(small());
    make(&store, 1, 1);
    make(&store, 5, 5);
    let remover = other(&rig, 2);
    let (objects, armed) = before(&rig.objects, (Operation::Put, "writers"), move || {
        remover.remove_point(&key(1)).unwrap();
        assert!(collect(&remover, &plain()).deleted_packs > 0);
    });
    let killed = Faulty::new(objects, |operation, path, _| {
        match operation == Operation::Delete && path.as_ref().starts_with("writers") {
            true => Fault::Refuse,
            false => Fault::None,
        }
    });
    let slow = Rig::on(Arc::new(killed), 3);
    let writer = slow.open().unwrap();
    armed.store(true, SeqCst);
    assert!(begin(&writer, 2, Some(1), SIZE as u64).is_err());
    assert_eq!(store.writers().unwrap().len(), 1);
    store.remove_point(&key(5)).unwrap();
    let fresh = other(&rig, 6);
    fresh.collect(&ruthless(), &()).unwrap();
    assert!(fresh.writers().unwrap().is_empty());
    assert!(collect(&fresh, &ruthless()).deleted_packs > 0);
}

/// A mark of removal that cannot be read is no removal: nothing is freed on its word.
#[test]
fn a_removal_in_doubt_frees_nothing() {
    let rig = Rig::new();
    let store = rig.init(small());
    make(&store, 1, 1);
    make(&store, 2, 2);
    let mark = format!("removed/{}", key(1));
    rig.overwrite(&mark, Vec::new());
    store.remove_point(&key(2)).unwrap();
    assert!(collect(&store, &plain()).deleted_packs > 0);
    rig.delete(&mark);
    assert!(restore(&other(&rig, 2), 1).unwrap() == disk(1).bytes());
}

/// A writer whose clock was far ahead would be young for years.
#[test]
fn a_lost_writer_from_the_future_is_given_up() {
    let rig = Rig::new();
    let store = rig.init(small());
    make(&store, 1, 1);
    let mut ahead = rig.beside(2);
    let (env, clock) = sim_env(2);
    clock.advance(Duration::from_secs(400 * 24 * 3600));
    ahead.env = env;
    drop(begin(&ahead.open().unwrap(), 9, None, SIZE as u64).unwrap());
    store.remove_point(&key(1)).unwrap();
    let how = Collect { void_after: Duration::from_secs(7 * 24 * 3600), ..plain() };
    let done = collect(&store, &how);
    assert!(done.voided == [key(9)] && done.deleted_packs > 0, "{done:?}");
    // One that is a little ahead is not.
    let _near = begin(&other(&rig, 3), 10, None, SIZE as u64).unwrap();
    assert!(collect(&store, &how).voided.is_empty());
}

/// What an attempt under way has stored stays also where something else is freed, so that index
/// runs are replaced.
#[test]
fn work_in_flight_outlives_the_replacement_of_its_runs() {
    let rig = Rig::new();
    let store = rig.init(small());
    make(&store, 2, 2);
    let blocker = begin(&store, 9, None, SIZE as u64).unwrap();
    store.remove_point(&key(2)).unwrap();
    assert_eq!(collect(&store, &plain()).waiting_for.len(), 1);
    // It knows what is condemned and is not waited for.
    let mut first = begin(&store, 1, None, SIZE as u64).unwrap();
    first.run(&disk(1), None, &()).unwrap();
    drop(first);
    blocker.abandon().unwrap();
    assert!(collect(&store, &plain()).deleted_packs > 0);
    let done = collect(&store, &plain());
    assert_eq!((done.dead_packs, done.deleted_packs), (0, 0), "{done:?}");
    let mut again = begin(&other(&rig, 2), 1, None, SIZE as u64).unwrap();
    let stored = again.run(&disk(1), None, &()).unwrap();
    assert!(again.resumed() && stored.bytes_new == 0, "{stored:?}");
    assert!(commit(again).unwrap());
    assert!(restore(&other(&rig, 3), 1).unwrap() == disk(1).bytes());
}

/// A sentence that somebody else ends while its writers are looked up is no failure.
#[test]
fn a_sentence_that_ends_while_it_is_looked_up_is_no_failure() {
    let rig = Rig::new();
    let store = rig.init(small());
    make(&store, 1, 1);
    let blocker = begin(&store, 9, None, SIZE as u64).unwrap();
    store.remove_point(&key(1)).unwrap();
    assert_eq!(collect(&store, &plain()).waiting_for.len(), 1);
    blocker.abandon().unwrap();
    let beside = other(&rig, 2);
    let (beside, gets) = (Mutex::new(Some(beside)), AtomicU64::new(0));
    // The first look finds that the name is taken, the second one reads what is there.
    let faulty = Faulty::new(Arc::clone(&rig.objects), move |operation, path, _| {
        let meant = operation == Operation::Get && path.as_ref().starts_with("awaited");
        if meant && gets.fetch_add(1, SeqCst) == 1 {
            let beside = beside.lock().unwrap().take().unwrap();
            let work = move || assert!(collect(&beside, &plain()).deleted_packs > 0);
            std::thread::spawn(work).join().unwrap();
        }
        Fault::None
    });
    let slow = Rig::on(Arc::new(faulty), 3);
    collect(&slow.open().unwrap(), &plain());
    collect(&store, &plain());
    nothing_is_left_open(&rig);
}
