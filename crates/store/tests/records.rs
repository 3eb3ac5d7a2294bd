//! Small records that cannot be read: what they hold up, and how a repair ends that.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod garbage;
mod rig;

use garbage::{SIZE, collect, disk, folder, make, plain};
use rig::{Rig, begin, key, restore, small};
use tresor_store::{ErrorKind, Repair, Repaired, Store, Verify};

fn repair(store: &Store, wanted: &Repair) -> Repaired {
    store.repair(wanted, &()).unwrap()
}

/// The only object in a folder becomes unreadable; its name.
fn spoil(rig: &Rig, name: &str) -> String {
    let objects = folder(rig, name);
    assert_eq!(objects.len(), 1, "{objects:?}");
    let object = objects.first().unwrap().clone();
    rig.overwrite(&object, vec![0]);
    object
}

#[test]
fn announcements_and_pins_go_only_when_asked_for() {
    for what in ["writers", "pins"] {
        let rig = Rig::new();
        let store = rig.init(small());
        make(&store, 1, 1);
        make(&store, 2, 2);
        match what {
            "pins" => std::mem::forget(store.pin(&key(2), "a holder").unwrap()),
            _ => drop(begin(&store, 3, Some(2), SIZE as u64).unwrap()),
        }
        let object = spoil(&rig, what);
        let mut refused = store.remove_point(&key(1)).err();
        if what == "writers" {
            assert!(refused.is_none());
            refused = store.collect(&plain(), &()).err();
        }
        let refused = refused.unwrap();
        assert!(refused.to_string().contains(&object), "{refused}");
        let left = repair(&store, &Repair::default());
        assert!(left.records_dropped.is_empty() && !left.verified.is_clean());
        let wanted = Repair { release_damaged: true, ..Repair::default() };
        let told = repair(&store, &Repair { dry_run: true, ..wanted });
        assert_eq!((told.records_dropped, folder(&rig, what).len()), (vec![object.clone()], 1));
        let done = repair(&store, &wanted);
        assert!(done.records_dropped == [object] && done.verified.is_clean(), "{done:?}");
        store.remove_point(&key(1)).unwrap();
        assert!(collect(&store, &plain()).deleted_packs > 0);
        assert!(restore(&store, 2).unwrap() == disk(2).bytes());
    }
}

#[test]
fn a_point_whose_removal_is_in_doubt_is_listed_again() {
    let rig = Rig::new();
    let store = rig.init(small());
    make(&store, 1, 1);
    store.remove_point(&key(1)).unwrap();
    let object = spoil(&rig, "removed");
    assert!(!store.verify(&Verify::shallow(), &()).unwrap().is_clean());
    let done = repair(&store, &Repair::default());
    assert!(done.records_dropped == [object] && done.verified.is_clean(), "{done:?}");
    assert!(restore(&store, 1).unwrap() == disk(1).bytes());
    store.remove_point(&key(1)).unwrap();
    assert_eq!(restore(&store, 1).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(collect(&store, &plain()).deleted_packs > 0);
}

/// What a pack that is destroyed held is lost: no repair that looked at it says otherwise, and
/// the next backup heals it.
#[test]
fn a_pack_that_is_found_destroyed_comes_to_the_quarantine() {
    let rig = Rig::new();
    let store = rig.init(small());
    make(&store, 1, 1);
    let dump = rig.dump();
    let packs = folder(&rig, "packs");
    let largest = packs.iter().max_by_key(|name| dump[*name].len()).unwrap();
    rig.overwrite(largest, vec![7; dump[largest].len()]);
    let done = repair(&store, &Repair { all_packs: true, ..Repair::default() });
    assert!(done.damaged_packs.len() == 1 && done.verified.quarantined > 0, "{done:?}");
    // A record of quarantine that cannot be read is made anew.
    let object = spoil(&rig, "quarantine");
    let again = repair(&store, &Repair { all_packs: true, ..Repair::default() });
    assert!(again.records_dropped == [object] && again.verified.quarantined > 0, "{again:?}");
    make(&store, 2, 1);
    assert!(restore(&store, 1).unwrap() == disk(1).bytes(), "healed");
}
