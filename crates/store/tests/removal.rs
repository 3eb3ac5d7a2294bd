//! Removed points, voids and pins that race: what is hidden stays hidden, what is fenced stays
//! fenced, and a pin that is handed out protects.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod rig;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use jiff::Timestamp;
use rig::{Rig, begin, ingest, key, patterned, restore, small};
use tresor_store::{ErrorKind, Plan};
use tresor_testkit::{Fault, Faulty, Memory, Operation, Rng};

fn disk(seed: u64) -> Memory {
    Memory::sparse(patterned(&mut Rng::new(seed), 300 << 10))
}

#[test]
fn a_removed_point_is_gone_for_everybody_but_pins_and_its_key_is_spent() {
    let rig = Rig::new();
    let store = rig.init(small());
    let size = disk(1).bytes().len() as u64;
    ingest(&store, 1, None, &disk(1), None).unwrap();
    ingest(&store, 2, Some(1), &disk(2), None).unwrap();
    // A writer that began before the removal and knows nothing of it.
    let plan = Plan { point: key(3), parent: Some(key(1)), size };
    store.remove_point(&key(1)).unwrap();
    store.remove_point(&key(1)).unwrap();
    store.remove_point(&key(9)).unwrap();
    assert!(store.point(&key(1)).unwrap().is_none());
    assert_eq!(store.points().unwrap().len(), 1);
    assert_eq!(store.reader(&key(1)).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.pin(&key(1), "late").unwrap_err().kind(), ErrorKind::NotFound);
    let tresor_store::Begun::New(ingest) = store.begin(plan).unwrap() else { panic!("new") };
    assert!(ingest.parent().is_none());
    ingest.abandon().unwrap();
    assert_eq!(begin(&store, 1, None, size).unwrap_err().kind(), ErrorKind::Voided);
    assert!(store.writers().unwrap().is_empty());
    assert!(rig.dump().contains_key(&format!("removed/{}", key(1))), "found after a restart too");
    assert_eq!(restore(&rig.beside(2).open().unwrap(), 2).unwrap(), disk(2).bytes());
}

/// Removed between the end of an attempt and its commit's reply: the loser must not think that
/// it made a point.
#[test]
fn a_commit_that_meets_a_removed_point_is_told() {
    let rig = Rig::new();
    let store = rig.init(small());
    let size = disk(1).bytes().len() as u64;
    let [mut one, mut two] = [1, 1].map(|point| begin(&store, point, None, size).unwrap());
    one.run(&disk(1), None, &()).unwrap();
    two.run(&disk(1), None, &()).unwrap();
    assert!(one.commit(BTreeMap::new(), Timestamp::UNIX_EPOCH).unwrap().won);
    store.remove_point(&key(1)).unwrap();
    let lost = two.commit(BTreeMap::new(), Timestamp::UNIX_EPOCH).unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::Voided, "{lost}");
    assert!(store.writers().unwrap().is_empty(), "both took their announcements back");
}

/// The facts of a point are bounded so that a pin and a writer can hold a copy of it.
#[test]
fn a_point_with_the_longest_facts_can_be_pinned_and_built_on() {
    let rig = Rig::new();
    let store = rig.init(small());
    let commit = |point: u64, bytes: usize| {
        let mut made = begin(&store, point, None, disk(1).bytes().len() as u64).unwrap();
        made.run(&disk(1), None, &()).unwrap();
        let facts = BTreeMap::from([("a".to_owned(), "x".repeat(bytes))]);
        made.commit(facts, Timestamp::UNIX_EPOCH)
    };
    assert_eq!(commit(1, 2 << 20).unwrap_err().kind(), ErrorKind::Invalid);
    assert!(commit(2, (2 << 20) - 1024).unwrap().won);
    let holder = "h".repeat(1000);
    drop(store.pin(&key(2), &holder).unwrap());
    let (_, third) = ingest(&store, 3, Some(2), &disk(3), None).unwrap();
    assert!(third.won);
    assert_eq!(store.pins().unwrap()[0].point.key, key(2));
}

/// The point is removed while a pin is being made: the pin must not be handed out, not even
/// because another late pin of the same point is seen.
#[test]
fn late_pins_cannot_vouch_for_each_other() {
    let rig = Rig::new();
    let store = rig.init(small());
    ingest(&store, 1, None, &disk(1), None).unwrap();
    // While the pin of the first is put, the point is removed and another one begins a pin.
    let removed = Arc::new(AtomicBool::new(false));
    let (flag, objects) = (Arc::clone(&removed), Arc::clone(&rig.objects));
    let other = rig.beside(5).open().unwrap();
    let late = Arc::new(std::sync::Mutex::new(None));
    let kept = Arc::clone(&late);
    let faulty = Faulty::new(Arc::clone(&rig.objects), move |operation, path, _| {
        let pin = operation == Operation::Put && path.as_ref().starts_with("pins/");
        if pin && !flag.swap(true, SeqCst) {
            let (other, objects, kept) = (other.clone(), Arc::clone(&objects), Arc::clone(&kept));
            // A thread of its own: calls of the store block.
            std::thread::spawn(move || {
                let record = other.pin(&key(1), "second").unwrap().record().clone();
                // The second's pin was made in time; now it goes, and a copy of it that was
                // late appears under another name.
                *kept.lock().unwrap() = Some(record);
                other.release_by("second").unwrap();
                other.remove_point(&key(1)).unwrap();
                drop(objects);
            })
            .join()
            .unwrap();
        }
        Fault::None
    });
    let slow = Rig::on(Arc::new(faulty), 6);
    let store = slow.open().unwrap();
    let refused = store.pin(&key(1), "first").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound, "{refused}");
    assert!(removed.load(SeqCst) && late.lock().unwrap().is_some());
    assert!(store.pins().unwrap().is_empty(), "a pin that failed is taken back");
}

/// A pin of a removed point through another pin, as long as that one lives.
#[test]
fn a_pinned_point_can_be_pinned_again_after_its_removal() {
    let rig = Rig::new();
    let store = rig.init(small());
    ingest(&store, 1, None, &disk(1), None).unwrap();
    let objects = rig.dump();
    let first = store.pin(&key(1), "first").unwrap();
    // Removed by somebody who did not see the pin in time.
    let name = format!("removed/{}", key(1));
    assert_eq!(store.remove_point(&key(1)).unwrap_err().kind(), ErrorKind::Pinned);
    let beside = Rig::new();
    for (name, bytes) in objects {
        beside.overwrite(&name, bytes);
    }
    beside.open().unwrap().remove_point(&key(1)).unwrap();
    rig.overwrite(&name, beside.dump().remove(&name).unwrap());
    assert!(store.points().unwrap().is_empty());
    let second = store.pin(&key(1), "second").unwrap();
    first.release().unwrap();
    assert_eq!(restore(&store, 1).unwrap(), disk(1).bytes());
    second.release().unwrap();
    assert_eq!(store.pin(&key(1), "third").unwrap_err().kind(), ErrorKind::NotFound);
}
