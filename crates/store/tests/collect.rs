//! Collection of garbage: it frees what nothing needs and nothing else, also where points are
//! pinned or packs half empty, and nothing at all while something is lost.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod garbage;
mod rig;

use std::collections::BTreeSet;

use garbage::{
    SIZE, collect, disk, every_pack_is_needed, folder, make, nothing_is_left_open, other, plain,
    ruthless, store_with_garbage, tight, whole,
};
use rig::{Rig, begin, ingest, key, restore, small};
use tresor_store::{Collect, Collected, ErrorKind};
use tresor_testkit::{Memory, Progress, Rng};

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
    for name in ["points", "writers", "stale"] {
        assert_eq!(folder(&rig, name), BTreeSet::new(), "old removals are cleared away");
    }
    assert_eq!(folder(&rig, "removed").len(), 5, "what was removed is never made again");
    assert_eq!(begin(&store, 2, None, SIZE as u64).unwrap_err().kind(), ErrorKind::Voided);
}

/// A dry run tells of writers what a run does: gives up those that are overdue, and waits for the
/// others where it has something to delete.
#[test]
fn a_plan_is_what_is_done_with_writers_too() {
    let told = |out: &Collected| {
        (out.deleted_packs, out.freed_bytes, out.voided.clone(), out.waiting_for.clone())
    };
    let both = |store: &tresor_store::Store, how: &Collect| {
        let planned = collect(store, &Collect { dry_run: true, ..how.clone() });
        let done = collect(store, how);
        assert_eq!(told(&planned), told(&done), "{planned:?}");
        (planned, done)
    };
    let rig = Rig::new();
    let store = store_with_garbage(&rig);
    let writer = begin(&other(&rig, 2), 9, None, SIZE as u64).unwrap();
    // Twice: the second time there is a sentence that waits.
    for round in 0..2 {
        let (planned, done) = both(&store, &plain());
        assert_eq!((done.deleted_packs, done.waiting_for.len()), (0, 1), "round {round}");
        assert!(planned.later_packs > 3 && planned.later_bytes > 0, "{planned:?}");
    }
    // Whoever came after the sentence knows of it: nobody waits for him.
    let late = begin(&other(&rig, 3), 10, None, SIZE as u64).unwrap();
    let (_, done) = both(&store, &plain());
    assert_eq!(done.waiting_for.len(), 1);
    writer.abandon().unwrap();
    let (planned, done) = both(&store, &plain());
    assert!(done.deleted_packs > 3 && planned.later_packs == 0, "{planned:?}");
    // There is nothing to wait for.
    let (_, done) = both(&store, &plain());
    assert_eq!(done.waiting_for, []);
    let (_, done) = both(&store, &ruthless());
    assert_eq!(done.voided, [key(10)]);
    late.abandon().unwrap();
}

/// A sentence that cannot be read deletes nothing and goes with the next collection, unless what
/// was decided about it cannot be read either.
#[test]
fn a_damaged_sentence_is_cleared_away() {
    let rig = Rig::new();
    let store = store_with_garbage(&rig);
    let writer = begin(&other(&rig, 2), 9, None, SIZE as u64).unwrap();
    collect(&store, &plain());
    writer.abandon().unwrap();
    let sentence = folder(&rig, "condemned").pop_first().unwrap();
    rig.overwrite(&sentence, vec![1; 100]);
    let decision = sentence.replace("condemned", "confirmed");
    rig.overwrite(&decision, vec![1; 100]);
    let refused = store.collect(&plain(), &()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corrupt);
    assert!(refused.to_string().contains(&format!("delete {decision}")), "{refused}");
    rig.delete(&decision);
    collect(&store, &Collect { dry_run: true, ..plain() });
    assert!(collect(&store, &plain()).deleted_packs > 3);
    nothing_is_left_open(&rig);
    every_pack_is_needed(&rig, &[2, 4]);
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
    assert!(tight.held_bytes < roomy.held_bytes);
    assert_eq!(Collected { held_bytes: roomy.held_bytes, ..tight }, roomy);
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

/// Half-empty packs are rewritten; readers that knew the old places find the new ones.
#[test]
fn packs_that_are_half_empty_are_rewritten_under_readers() {
    let rig = Rig::new();
    let store = store_with_garbage(&rig);
    let reader = other(&rig, 2);
    let open = reader.reader(&key(2)).unwrap();
    let planned = collect(&store, &Collect { dry_run: true, ..tight() });
    let watch = Progress::default();
    let done = store.collect(&tight(), &watch).unwrap();
    assert!(done.rewritten_packs > 0 && done.copied_bytes < done.rewritten_bytes, "{done:?}");
    assert_eq!(
        (planned.rewritten_packs, planned.copied_bytes, planned.freed_bytes),
        (done.rewritten_packs, done.copied_bytes, done.freed_bytes)
    );
    let after = collect(&store, &Collect { dry_run: true, ..tight() });
    assert_eq!(after.rewritten_packs, 0, "rewriting comes to an end: {after:?}");
    let overhead = 68 * after.packs;
    assert_eq!(after.bytes, after.live_bytes + overhead, "every byte is needed");
    assert!(watch.stored() > 0);
    assert!(whole(&store, 2) && whole(&store, 4));
    let mut bytes = vec![0; SIZE];
    open.read_at(&mut bytes, 0).unwrap();
    assert!(bytes[SIZE / 4..] == disk(2).bytes()[SIZE / 4..]);
    assert!(whole(&reader, 4) && whole(&other(&rig, 3), 2));
    every_pack_is_needed(&rig, &[2, 4]);
}

/// Many small backups leave many small packs, which become few.
#[test]
fn small_packs_are_gathered() {
    let rig = Rig::new();
    let store = rig.init(small());
    let mut bytes = disk(1).bytes().to_vec();
    make(&store, 1, 1);
    let mut rng = Rng::new(7);
    for point in 2..20 {
        let place = rng.below(90) as usize * 4096;
        rng.fill(&mut bytes[place..place + 4096]);
        let changed = place as u64..place as u64 + 4096;
        let disk = Memory::sparse(bytes.clone());
        ingest(&store, point, Some(point - 1), &disk, Some(std::slice::from_ref(&changed)))
            .unwrap();
    }
    let before = folder(&rig, "packs").len();
    let how = Collect { max_unused_percent: 100.0, ..tight() };
    let done = collect(&store, &how);
    let after = folder(&rig, "packs").len();
    assert!(done.rewritten_packs > 20 && after * 2 < before, "{before} -> {after}: {done:?}");
    assert!(restore(&other(&rig, 2), 19).unwrap() == bytes);
    assert!(restore(&store, 1).unwrap() == disk(1).bytes());
    let again = collect(&store, &how);
    assert!(again.rewritten_packs == 0 || folder(&rig, "packs").len() < after, "{again:?}");
}

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

/// What marking and the table of packs hold grows with the packs, by a stated number of bytes
/// each, and not with the chunks.
#[test]
fn the_memory_of_a_collection_is_bounded() {
    let how = Collect { sort_ids: 64, ..plain() };
    let rig = Rig::new();
    let store = store_with_garbage(&rig);
    let held = |store: &tresor_store::Store| collect(store, &how).held_bytes;
    let first = held(&store);
    assert!(first >= 64 * 32, "the ids that are sorted count: {first}");
    // Ten times the chunks: only the maps of the new points are remembered, and their nodes.
    let (points, mut rng) = (40, Rng::new(3));
    for point in 10..10 + points {
        let mut bytes = vec![0; SIZE];
        rng.fill(&mut bytes);
        ingest(&store, point, None, &Memory::sparse(bytes), None).unwrap();
    }
    let packs = folder(&rig, "packs").len() as u64;
    let (nodes, maps) = (points * 3, points);
    let more = held(&store);
    let stated = first + packs * 80 + nodes * 2 * 33 + maps * 2 * 41;
    assert!(more <= stated, "{more} bytes for {points} more points, {stated} stated");
    // Packs that nobody knows: all of them are dead, and counted twice while that is decided.
    let many = 3000;
    for pack in 0..many {
        let name = uuid::Uuid::from_u128(0x4000 << 64 | u128::from(pack) << 80);
        let name = name.simple().to_string();
        rig.overwrite(&format!("packs/{}/{name}", &name[..2]), vec![0; 100]);
    }
    let done = collect(&store, &how);
    assert_eq!(done.deleted_packs, many);
    let each = (done.held_bytes - more) as f64 / many as f64;
    println!("memory of a collection: {each:.0} bytes for each pack that is dead");
    assert!(each <= 2.0 * 40.0 + 2.0 * 16.0 + 8.0, "{each} bytes a pack");
}
