//! Repair: the index from packs, key slots from each other, contents from another store.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod rig;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use object_store::memory::InMemory;
use rig::{Rig, begin, ingest, key, patterned, restore, secret, small};
use tresor_store::{Depth, ErrorKind, Plan, Repair, Store, Verify};
use tresor_testkit::{Memory, Progress, Rng};

type Dump = BTreeMap<String, Vec<u8>>;

/// Two points of one disk and one of another.
fn sample() -> (Dump, [Vec<u8>; 3]) {
    let rig = Rig::new();
    let store = rig.init(small());
    let mut rng = Rng::new(61);
    let first = patterned(&mut rng, 700 << 10);
    let mut second = first.clone();
    rng.fill(&mut second[100 << 10..140 << 10]);
    let third = patterned(&mut rng, 300 << 10);
    ingest(&store, 1, None, &Memory::sparse(first.clone()), None).unwrap();
    let changed = std::slice::from_ref(&(100 << 10..140 << 10));
    ingest(&store, 2, Some(1), &Memory::sparse(second.clone()), Some(changed)).unwrap();
    ingest(&store, 3, None, &Memory::sparse(third.clone()), None).unwrap();
    (rig.dump(), [first, second, third])
}

fn in_folder(dump: &Dump, folder: &str) -> Vec<String> {
    dump.keys().filter(|name| name.starts_with(folder)).cloned().collect()
}

fn all_restore(store: &Store, disks: &[Vec<u8>; 3]) -> [bool; 3] {
    std::array::from_fn(|number| match restore(store, number as u64 + 1) {
        Ok(read) => {
            assert!(read == disks[number], "wrong bytes");
            true
        }
        Err(e) => {
            assert_eq!(e.kind(), ErrorKind::Corrupt, "{e:?}");
            false
        }
    })
}

#[test]
fn a_healthy_store_is_not_touched() {
    let (dump, _) = sample();
    let rig = Rig::of(&dump, 5);
    let store = rig.open().unwrap();
    for all_packs in [false, true] {
        let done = store.repair(&Repair { all_packs, ..Repair::default() }, &()).unwrap();
        assert!(done.verified.is_clean(), "{done:?}");
        assert_eq!((done.runs_written, done.frames_found), (0, 0));
        assert!(done.runs_dropped.is_empty() && !done.slots_restored);
        assert_eq!(done.packs_scanned > 0, all_packs);
        assert_eq!(rig.dump(), dump);
    }
}

#[test]
fn the_index_is_made_anew_from_packs() {
    let (dump, disks) = sample();
    let runs = in_folder(&dump, "index/");
    assert!(runs.len() >= 3, "{runs:?}");
    let half: Vec<_> = runs.iter().step_by(2).cloned().collect();
    for (what, hurt) in [("all", &runs), ("half", &half)] {
        for gone in [true, false] {
            let rig = Rig::of(&dump, 5);
            for name in hurt {
                let mut bytes = dump[name].clone();
                let place = bytes.len() / 3;
                bytes[place] ^= 1;
                if gone { rig.delete(name) } else { rig.overwrite(name, bytes) }
            }
            made_anew(&rig, &disks, if gone { &[] } else { hurt }, what);
        }
    }
}

fn made_anew(rig: &Rig, disks: &[Vec<u8>; 3], dropped: &[String], what: &str) {
    let hurt = rig.dump();
    let store = rig.open().unwrap();
    assert!(all_restore(&store, disks).contains(&false), "{what}");
    // A dry run writes nothing, and yet its handle reads everything.
    let dry = Repair { dry_run: true, ..Repair::default() };
    let planned = store.repair(&dry, &()).unwrap();
    assert_eq!(rig.dump(), hurt, "{what}: a dry run touched something");
    assert_eq!(all_restore(&store, disks), [true; 3], "{what}");
    let plan = Plan { point: key(50), parent: None, size: 512 };
    assert_eq!(store.begin(plan).unwrap_err().kind(), ErrorKind::Invalid);
    drop(store);
    let store = rig.open().unwrap();
    assert!(all_restore(&store, disks).contains(&false), "{what}: nothing of it stayed");
    let done = store.repair(&Repair::default(), &()).unwrap();
    assert_eq!((done.frames_found, &done.runs_dropped[..]), (planned.frames_found, dropped));
    assert!(done.frames_found > 0 && done.runs_written > 0, "{what}: {done:?}");
    assert!(done.verified.is_clean() && done.damaged_packs.is_empty(), "{what}: {done:?}");
    assert_eq!(all_restore(&store, disks), [true; 3], "{what}");
    let beside = rig.beside(9);
    let fresh = beside.open().unwrap();
    assert!(fresh.damaged_runs().is_empty(), "{what}");
    assert_eq!(all_restore(&fresh, disks), [true; 3], "{what}");
    assert!(fresh.verify(&Verify::deep(), &()).unwrap().is_clean(), "{what}");
    assert!(fresh.writers().unwrap().is_empty());
    let again = rig.dump();
    let once_more = store.repair(&Repair::default(), &()).unwrap();
    assert_eq!((once_more.frames_found, rig.dump()), (0, again), "{what}: twice is once");
    // Whatever is there is found again, and nothing is stored twice.
    let (done, _) = ingest(&fresh, 60, None, &Memory::sparse(disks[0].clone()), None).unwrap();
    assert_eq!(done.bytes_new, 0, "{what}");
}

/// Bytes are missing in the middle of a pack: all behind has moved.
#[test]
fn frames_behind_damage_are_found_again() {
    let (dump, disks) = sample();
    for (number, name) in in_folder(&dump, "packs/").iter().enumerate() {
        for with_index in [true, false] {
            let rig = Rig::of(&dump, 5);
            let bytes = &dump[name];
            if bytes.len() < 4000 {
                continue;
            }
            let mut cut = bytes[..bytes.len() / 2].to_vec();
            cut.extend_from_slice(&bytes[bytes.len() / 2 + 777..]);
            rig.overwrite(name, cut);
            if !with_index {
                in_folder(&dump, "index/").iter().for_each(|run| rig.delete(run));
            }
            cut_in_the_middle(&rig, name, &disks, &format!("{number} {with_index}"));
        }
    }
}

fn cut_in_the_middle(rig: &Rig, name: &str, disks: &[Vec<u8>; 3], what: &str) {
    let before = rig.dump()[name].clone();
    let store = rig.open().unwrap();
    let done = store.repair(&Repair::default(), &()).unwrap();
    assert!(done.packs_scanned > 0, "{what}: {done:?}");
    assert!(done.damaged_packs.iter().any(|pack| pack.object == name), "{what}: {done:?}");
    assert!(rig.dump()[name] == before, "{what}: the pack is left alone");
    let lost: u64 = (1..=3)
        .map(|point| {
            let wounds = store.wounds(&key(point)).unwrap();
            wounds.iter().map(|range: &Range<u64>| range.end - range.start).sum::<u64>()
        })
        .sum();
    // One or two frames are lost, not half a pack: at most two chunks of two points, unless a
    // map node is.
    let nodes = done.verified.findings.iter().any(|finding| {
        finding.affected.iter().any(|a| a.ranges.iter().any(|r| r.end - r.start > 64 << 10))
    });
    assert!(nodes || lost <= 4 * (32 << 10), "{what}: {lost} bytes lost");
    // And the source gives them back.
    for (point, parent) in [(11, 1), (12, 2), (13, 3)] {
        let disk = Memory::sparse(disks[parent as usize - 1].clone());
        ingest(&store, point, Some(parent), &disk, Some(&[])).unwrap();
    }
    assert_eq!(all_restore(&store, disks), [true; 3], "{what}");
    let clean = store.verify(&Verify::deep(), &()).unwrap();
    assert!(clean.is_clean(), "{what}: {clean:?}");
    let beside = rig.beside(9);
    assert_eq!(all_restore(&beside.open().unwrap(), disks), [true; 3], "{what}");
}

#[test]
fn slots_are_made_anew_from_a_whole_copy() {
    let (dump, _) = sample();
    let slots = in_folder(&dump, "keys/");
    assert_eq!(slots.len(), 3);
    let rig = Rig::of(&dump, 5);
    rig.delete(&slots[0]);
    rig.overwrite(&slots[2], b"nothing".to_vec());
    let hurt = rig.dump();
    let store = rig.open().unwrap();
    let dry = store.repair(&Repair { dry_run: true, ..Repair::default() }, &()).unwrap();
    assert!(dry.slots_restored && !dry.verified.is_clean());
    assert_eq!(rig.dump(), hurt);
    let done = store.repair(&Repair::default(), &()).unwrap();
    assert!(done.slots_restored && done.verified.is_clean(), "{done:?}");
    assert!(store.slot_copies().unwrap().is_sound());
    assert!(rig.beside(7).open().is_ok());
}

#[test]
fn damaged_points_are_told_and_stay() {
    let (dump, disks) = sample();
    let rig = Rig::of(&dump, 5);
    let name = format!("points/{}", key(1));
    rig.overwrite(&name, b"not a point".to_vec());
    let store = rig.open().unwrap();
    let done = store.repair(&Repair { depth: Depth::Deep, ..Repair::default() }, &()).unwrap();
    assert_eq!(done.verified.findings.len(), 1, "{done:?}");
    assert_eq!(done.verified.findings[0].object, name);
    assert!(rig.dump().contains_key(&name));
    assert!(restore(&store, 2).unwrap() == disks[1] && restore(&store, 3).unwrap() == disks[2]);
}

#[test]
fn a_repair_that_is_stopped_goes_on() {
    let (dump, disks) = sample();
    let rig = Rig::of(&dump, 5);
    in_folder(&dump, "index/").iter().for_each(|run| rig.delete(run));
    let store = rig.open().unwrap();
    let stopped = Progress::default();
    stopped.cancel();
    let e = store.repair(&Repair::default(), &stopped).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Cancelled);
    assert!(store.writers().unwrap().is_empty());
    store.repair(&Repair::default(), &()).unwrap();
    assert_eq!(all_restore(&store, &disks), [true; 3]);
}

/// A second store of the same domain, with the same points, heals the first one; what it has
/// not, it cannot give.
#[test]
fn another_store_of_the_domain_heals() {
    let (dump, disks) = sample();
    let rig = Rig::of(&dump, 5);
    let domain = rig.open().unwrap().domain();
    let there = Rig::on(Arc::new(InMemory::new()), 6);
    let (objects, rt) = (Arc::clone(&there.objects), there.rt.handle().clone());
    let (cache, env) = (there.cache.path(), there.env.clone());
    let other = Store::init_in(domain, objects, rt, cache, small(), &secret(), env).unwrap().0;
    for point in [1, 2] {
        let disk = Memory::sparse(disks[point as usize - 1].clone());
        ingest(&other, point, None, &disk, None).unwrap();
    }
    // All packs of the first store are hurt, those of map nodes too.
    for name in in_folder(&dump, "packs/") {
        let mut bytes = dump[&name].clone();
        for place in (100..bytes.len()).step_by(9000) {
            bytes[place] ^= 2;
        }
        rig.overwrite(&name, bytes);
    }
    let store = rig.open().unwrap();
    assert!(!store.verify(&Verify::deep(), &()).unwrap().is_clean());
    let done = store.heal_from(&other, &()).unwrap();
    assert!(done.contents > 0 && done.lost > 0, "{done:?}");
    assert_eq!(all_restore(&store, &disks)[..2], [true; 2]);
    assert!(!store.wounds(&key(3)).unwrap().is_empty());
    ingest(&other, 3, None, &Memory::sparse(disks[2].clone()), None).unwrap();
    let done = store.heal_from(&other, &()).unwrap();
    assert_eq!(done.lost, 0);
    assert_eq!(all_restore(&store, &disks), [true; 3]);
    let clean = store.verify(&Verify::deep(), &()).unwrap();
    assert!(clean.is_clean(), "{clean:?}");
    assert_eq!(store.heal_from(&other, &()).unwrap().contents, 0);
    let stranger = Rig::on(Arc::new(InMemory::new()), 8);
    let e = store.heal_from(&stranger.init(small()), &()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Invalid);
    assert!(begin(&store, 99, None, 512).is_ok());
}

/// Nobody has verified anything yet: a damaged frame whose content is in another pack too is read
/// from there.
#[test]
fn a_second_place_is_read_where_the_first_is_damaged() {
    let (dump, disks) = sample();
    let rig = Rig::of(&dump, 5);
    // Stored a second time, while the first places were taken for damaged.
    for name in in_folder(&dump, "packs/") {
        let mut bytes = dump[&name].clone();
        (100..bytes.len()).step_by(700).for_each(|place| bytes[place] ^= 2);
        rig.overwrite(&name, bytes);
    }
    let store = rig.open().unwrap();
    store.verify(&Verify::deep(), &()).unwrap();
    for (number, disk) in disks.iter().enumerate() {
        let disk = Memory::sparse(disk.clone());
        ingest(&store, number as u64 + 20, None, &disk, None).unwrap();
    }
    in_folder(&rig.dump(), "quarantine/").iter().for_each(|record| rig.delete(record));
    let beside = rig.beside(9);
    let fresh = beside.open().unwrap();
    assert!(fresh.quarantined().unwrap().is_empty());
    assert_eq!(all_restore(&fresh, &disks), [true; 3]);
    for (number, disk) in disks.iter().enumerate() {
        let mut read = vec![0; disk.len()];
        let reader = fresh.reader(&key(number as u64 + 1)).unwrap();
        reader.read_at(&mut read, 0).unwrap();
        assert!(read == *disk);
    }
}
