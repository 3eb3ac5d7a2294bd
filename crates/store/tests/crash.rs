//! Kills and failures: whatever operation fails or is the last one, every committed point is
//! whole, nothing half-made is listed, and the next attempt gets through.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod rig;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use rig::{Rig, begin, ingest, key, patterned, restore, small};
use tresor_store::{Begun, ErrorKind, Plan, Result, Store};
use tresor_testkit::{Fault, Faulty, Memory, Operation, Progress, Rng};

/// A store with one point, the disk of it and the disk of the next one.
fn start(seed: u64) -> (Rig, Vec<u8>, Vec<u8>) {
    let rig = Rig::on(Arc::new(InMemory::new()), seed);
    let store = rig.init(small());
    let mut rng = Rng::new(seed);
    let first = patterned(&mut rng, 700 << 10);
    ingest(&store, 1, None, &Memory::sparse(first.clone()), None).unwrap();
    let second = patterned(&mut rng, 700 << 10);
    (rig, first, second)
}

/// Runs one backup against objects that fail as planned.
fn attempt(
    objects: &Arc<dyn ObjectStore>,
    seed: u64,
    disk: &[u8],
    plan: impl Fn(Operation, u64) -> Fault + Send + Sync + 'static,
) -> (Result<bool>, u64) {
    // Probes of the target are meant to fail; they are not what is tested here.
    let puts = std::sync::atomic::AtomicU64::new(0);
    let faulty = Faulty::new(Arc::clone(objects), move |operation, path, before| {
        if path.as_ref().starts_with("probe") {
            return Fault::None;
        }
        let put = operation == Operation::Put;
        plan(operation, if put { puts.fetch_add(1, SeqCst) } else { before })
    });
    let faulty = Arc::new(faulty);
    let rig = Rig::on(Arc::clone(&faulty) as Arc<dyn ObjectStore>, seed);
    let run = || -> Result<bool> {
        let store = rig.open()?;
        let (_, committed) = ingest(&store, 2, Some(1), &Memory::sparse(disk.to_vec()), None)?;
        Ok(committed.won)
    };
    (run(), faulty.count(Operation::Put) - 2)
}

fn check(store: &Store, first: &[u8], second: &[u8], context: &str) -> bool {
    assert!(restore(store, 1).unwrap() == first, "{context}: the first point is whole");
    let listed = store.points().unwrap();
    match listed.iter().any(|record| record.key == key(2)) {
        true => {
            assert!(restore(store, 2).unwrap() == second, "{context}: what is listed is whole");
            true
        }
        false => false,
    }
}

/// The process dies at its Nth put: this one and all later operations do nothing.
#[test]
fn a_backup_killed_at_any_put_leaves_whole_points_and_can_be_repeated() {
    let mut found_again = 0;
    for fatal in 0.. {
        let (rig, first, second) = start(2);
        let dead = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let flag = Arc::clone(&dead);
        let (done, _) = attempt(&rig.objects, 200 + fatal, &second, move |operation, before| {
            if operation == Operation::Put && before >= fatal {
                flag.store(true, SeqCst);
            }
            if flag.load(SeqCst) { Fault::Refuse } else { Fault::None }
        });
        let context = format!("killed at put {fatal}");
        if done.is_ok() {
            // How many packs there are depends on how threads meet; this many were enough.
            assert!(fatal > 8, "{fatal} puts are enough to be killed at");
            break;
        }
        let beside = rig.beside(300 + fatal);
        let store = beside.open().unwrap();
        assert!(!check(&store, &first, &second, &context), "{context}: nothing is half-made");
        let mut again = begin(&store, 2, Some(1), second.len() as u64).unwrap();
        let disk = Memory::sparse(second.clone());
        let facts = again.run(&disk, None, &()).unwrap();
        found_again += facts.bytes_found_again;
        assert!(again.commit(Default::default(), jiff::Timestamp::UNIX_EPOCH).unwrap().won);
        assert!(check(&store, &first, &second, &context));
    }
    assert!(found_again > 0, "some attempt was interrupted late enough to find its chunks again");
}

/// One single operation fails; retries inside the store may hide that, and must not hide more.
#[test]
fn any_single_failing_operation_does_no_harm() {
    let (rig, _, second) = start(1);
    let (_, puts) = attempt(&rig.objects, 100, &second, |_, _| Fault::None);
    for fault in [Fault::Refuse, Fault::LoseReply, Fault::Full] {
        for which in 0..puts {
            let (rig, first, second) = start(2);
            let (done, done_puts) =
                attempt(&rig.objects, 400 + which, &second, move |operation, n| {
                    if operation == Operation::Put && n == which { fault } else { Fault::None }
                });
            let context = format!("{fault:?} at put {which}");
            match (&done, fault) {
                // Fewer puts than the first time: packs depend on how threads meet.
                (Ok(_), Fault::Full) if done_puts <= which => {}
                (Err(e), Fault::Full) => assert_eq!(e.kind(), ErrorKind::Full, "{context}"),
                (Ok(_), Fault::Full) => panic!("{context}: a full disk went unnoticed"),
                (done, _) => assert!(*done.as_ref().unwrap(), "{context}: {done:?}"),
            }
            let beside = rig.beside(500 + which);
            let store = beside.open().unwrap();
            let listed = check(&store, &first, &second, &context);
            assert_eq!(listed, done.is_ok(), "{context}");
        }
    }
}

/// The commit's reply is lost for good: the store must find out by itself that it won.
#[test]
fn a_lost_reply_to_the_commit_is_settled_by_reading_back() {
    let (rig, first, second) = start(3);
    let faulty = Faulty::new(Arc::clone(&rig.objects), |operation, path, _| {
        let point = path.as_ref().starts_with("points/");
        if operation == Operation::Put && point { Fault::LoseReply } else { Fault::None }
    });
    let other = Rig::on(Arc::new(faulty), 9);
    let store = other.open().unwrap();
    let (_, committed) = ingest(&store, 2, Some(1), &Memory::sparse(second.clone()), None).unwrap();
    assert!(committed.won);
    assert!(check(&store, &first, &second, "lost reply"));
}

/// Two attempts of one job, both at the end: one creates the point, the other learns whose it is.
#[test]
fn of_two_writers_of_one_point_one_wins() {
    let (rig, first, second) = start(4);
    let (left, right) = (rig.beside(11), rig.beside(12));
    let (one, two) = (left.open().unwrap(), right.open().unwrap());
    let disk = Memory::sparse(second.clone());
    let size = second.len() as u64;
    let mut a = begin(&one, 2, Some(1), size).unwrap();
    let mut b = begin(&two, 2, Some(1), size).unwrap();
    a.run(&disk, None, &()).unwrap();
    b.run(&disk, None, &()).unwrap();
    let commits: Vec<_> = std::thread::scope(|scope| {
        let time = jiff::Timestamp::UNIX_EPOCH;
        let run = [a, b].map(|i| scope.spawn(move || i.commit(Default::default(), time)));
        run.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect()
    });
    assert_eq!(commits.iter().filter(|c| c.won).count(), 1);
    assert_eq!(commits[0].record.nonce, commits[1].record.nonce, "both name the same record");
    assert!(check(&one, &first, &second, "race"));
    let plan = Plan { point: key(2), parent: None, size };
    assert!(matches!(one.begin(plan).unwrap(), Begun::Exists(_)));
}

/// Cancelled in the middle, the attempt stores nothing more, and the next one finds its chunks.
#[test]
fn a_cancelled_backup_is_found_again() {
    let rig = Rig::new();
    let store = rig.init(small());
    let mut bytes = vec![0; 4 << 20];
    Rng::new(5).fill(&mut bytes);
    let disk = Memory::sparse(bytes);
    let mut ingest = begin(&store, 1, None, 4 << 20).unwrap();
    assert!(!ingest.resumed());
    let watch = Progress::until(2 << 20);
    let failed = ingest.run(&disk, None, &watch).unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Cancelled);
    let time = jiff::Timestamp::UNIX_EPOCH;
    assert_eq!(ingest.commit(Default::default(), time).unwrap_err().kind(), ErrorKind::Invalid);
    assert!(store.points().unwrap().is_empty());

    let store = rig.open().unwrap();
    let mut ingest = begin(&store, 1, None, 4 << 20).unwrap();
    assert!(ingest.resumed());
    let watch = Progress::default();
    let done = ingest.run(&disk, None, &watch).unwrap();
    assert!(done.bytes_found_again >= 1 << 20, "found {} again", done.bytes_found_again);
    assert_eq!(done.bytes_deduplicated, 0);
    assert_eq!((watch.expected(), watch.done()), (4 << 20, 4 << 20));
    assert_eq!(watch.stored() > 0, done.bytes_stored > 0);
    assert!(ingest.commit(Default::default(), time).unwrap().won);
    assert!(restore(&store, 1).unwrap() == disk.bytes());
    assert_eq!(store.writers().unwrap().len(), 1, "the announcement of the cancelled one");
}
