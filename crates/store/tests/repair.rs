//! Repair: the index from packs, key slots from each other, contents from another store.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod garbage;
mod rig;

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use garbage::{collect, commit, other, ruthless};
use object_store::memory::InMemory;
use rig::{Rig, begin, ingest, key, patterned, restore, secret, small, until_none};
use tresor_store::{Collect, Depth, ErrorKind, Plan, Repair, Repaired, Store, Verify};
use tresor_testkit::{Fault, Faulty, Memory, Operation, Progress, Rng};

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

/// Overwrites an object with a bit of it wrong.
fn flip(rig: &Rig, name: &str) {
    let mut bytes = rig.dump()[name].clone();
    let place = bytes.len() / 3;
    bytes[place] ^= 1;
    rig.overwrite(name, bytes);
}

/// The same points after a collection whose runs are small: each names nearly all packs, with a
/// part of their frames.
fn cut_by_id() -> (Dump, [Vec<u8>; 3]) {
    let (dump, disks) = sample();
    let rig = Rig::of(&dump, 5);
    let store = rig.open().unwrap();
    let garbage = Memory::sparse(patterned(&mut Rng::new(62), 100 << 10));
    ingest(&store, 4, None, &garbage, None).unwrap();
    store.remove_point(&key(4)).unwrap();
    let done = collect(&store, &Collect { run_entries: 12, ..ruthless() });
    let runs = in_folder(&rig.dump(), "index/").len();
    assert!(done.deleted_packs > 0 && runs >= 4, "{runs} runs, {done:?}");
    (rig.dump(), disks)
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
            hurt.iter().for_each(|name| if gone { rig.delete(name) } else { flip(&rig, name) });
            made_anew(&rig, &disks, if gone { &[] } else { hurt }, what);
        }
    }
}

/// What was done or would be, but for what is left to complain about.
fn deeds(done: &Repaired) -> Repaired {
    Repaired { verified: Default::default(), ..done.clone() }
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
    assert_eq!((deeds(&done), &done.runs_dropped[..]), (deeds(&planned), dropped), "{what}");
    assert!(done.frames_found > 0 && done.runs_written > 0, "{what}: {done:?}");
    assert!(done.verified.is_clean() && done.damaged_packs.is_empty(), "{what}: {done:?}");
    assert_eq!(all_restore(&store, disks), [true; 3], "{what}");
    let fresh = other(rig, 9);
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

/// Every run in turn is damaged or gone. The others name all packs, and their sizes, all the same.
#[test]
fn a_run_that_was_cut_by_id_is_made_anew() {
    let (dump, disks) = cut_by_id();
    for gone in [true, false] {
        for name in in_folder(&dump, "index/") {
            let rig = Rig::of(&dump, 5);
            if gone {
                rig.delete(&name)
            } else {
                flip(&rig, &name)
            }
            let dropped = std::slice::from_ref(&name);
            made_anew(&rig, &disks, if gone { &[] } else { dropped }, &format!("{gone} {name}"));
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// A run rots in the store while a handle has a good copy of it, or one that rots too.
#[test]
fn a_good_copy_of_a_damaged_run_does_not_hide_the_damage() {
    for (dump, disks) in [sample(), cut_by_id()] {
        let runs = in_folder(&dump, "index/");
        for (which, copies_too) in (0..=runs.len()).flat_map(|n| [(n, false), (n, true)]) {
            let what = format!("{which} of {}, {copies_too}", runs.len());
            let rig = Rig::of(&dump, 5);
            let store = rig.open().unwrap();
            let hurt = runs.get(which..=which).unwrap_or(&runs);
            hurt.iter().for_each(|name| flip(&rig, name));
            for file in files(rig.cache.path()).iter().filter(|_| copies_too) {
                let mut bytes = fs::read(file).unwrap();
                let middle = bytes.len() / 2;
                bytes[100] ^= 1;
                bytes[middle] ^= 1;
                fs::write(file, bytes).unwrap();
            }
            let before = rig.dump();
            let dry = Repair { dry_run: true, ..Repair::default() };
            let cold = other(&rig, 7).repair(&dry, &()).unwrap();
            assert!(rig.dump() == before, "{what}");
            let done = store.repair(&Repair::default(), &()).unwrap();
            assert_eq!(done.runs_dropped, hurt, "{what}");
            assert_eq!(done.frames_found, cold.frames_found, "{what}: what is missing without it");
            assert_eq!(done.packs_scanned > 0, copies_too, "{what}: {done:?}");
            assert!(done.frames_found > 0 && done.verified.is_clean(), "{what}: {done:?}");
            assert_eq!(all_restore(&store, &disks), [true; 3], "{what}");
            let fresh = other(&rig, 9);
            assert_eq!(all_restore(&fresh, &disks), [true; 3], "{what}");
            assert!(fresh.verify(&Verify::deep(), &()).unwrap().is_clean(), "{what}");
            assert!(fresh.quarantined().unwrap().is_empty(), "{what}: nothing was lost");
        }
    }
}

/// What a dry run found is known to its handle only: a repair by the same handle writes it down.
#[test]
fn a_dry_run_does_not_hide_the_damage_from_a_repair() {
    let (dump, disks) = cut_by_id();
    for gone in [true, false] {
        let rig = Rig::of(&dump, 5);
        let name = &in_folder(&dump, "index/")[1];
        if gone {
            rig.delete(name)
        } else {
            flip(&rig, name)
        }
        let store = rig.open().unwrap();
        let dry = Repair { dry_run: true, ..Repair::default() };
        let planned = store.repair(&dry, &()).unwrap();
        assert_eq!(store.repair(&dry, &()).unwrap().frames_found, planned.frames_found);
        let done = store.repair(&Repair::default(), &()).unwrap();
        assert_eq!(done.frames_found, planned.frames_found);
        assert!(done.verified.is_clean(), "{done:?}");
        assert_eq!(all_restore(&other(&rig, 9), &disks), [true; 3]);
        assert!(begin(&store, 50, None, 512).is_ok(), "nothing is supposed any more");
    }
}

/// Whatever operation is the last: a damaged run is not gone before others name what it named.
#[test]
fn a_repair_that_is_killed_loses_nothing() {
    let (dump, disks) = cut_by_id();
    let name = &in_folder(&dump, "index/")[1];
    for warm in [true, false] {
        let count = until_none(|which| killed(&dump, &disks, name, warm, which * 3));
        assert!(count > 80, "{count} operations");
    }
}

fn killed(dump: &Dump, disks: &[Vec<u8>; 3], name: &str, warm: bool, which: u64) -> bool {
    let there = Rig::of(dump, 1);
    let (begun, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (counts, seen) = (Arc::clone(&begun), Arc::clone(&count));
    let faulty = Faulty::new(Arc::clone(&there.objects), move |_: Operation, _, _| {
        let hit = counts.load(SeqCst) && seen.fetch_add(1, SeqCst) >= which;
        if hit { Fault::Refuse } else { Fault::None }
    });
    let rig = Rig::light(Arc::new(faulty), 2);
    let store = warm.then(|| rig.open().unwrap());
    flip(&there, name);
    let store = store.unwrap_or_else(|| rig.open().unwrap());
    begun.store(true, SeqCst);
    let done = store.repair(&Repair::default(), &());
    let hit = count.load(SeqCst) > which;
    assert_eq!(done.is_err(), hit, "{warm} {which}: {done:?}");
    let rig = Rig::light(Arc::clone(&there.objects), 3);
    let next = rig.open().unwrap();
    let whole = all_restore(&next, disks) == [true; 3];
    assert!(whole || there.dump().contains_key(name), "{warm} {which}: lost");
    let done = next.repair(&Repair::default(), &()).unwrap();
    assert!(done.verified.is_clean(), "{warm} {which}: {done:?}");
    assert_eq!(all_restore(&next, disks), [true; 3], "{warm} {which}");
    assert!(in_folder(&there.dump(), "quarantine/").is_empty(), "{warm} {which}");
    hit
}

/// Where a pack cannot be read now, nobody knows yet what a damaged run named there.
#[test]
fn a_damaged_run_stays_while_packs_cannot_be_read() {
    let (dump, disks) = cut_by_id();
    let run = &in_folder(&dump, "index/")[1];
    let mut kept = 0;
    for pack in in_folder(&dump, "packs/") {
        let there = Rig::of(&dump, 5);
        flip(&there, run);
        let (name, healed) = (pack.clone(), Arc::new(AtomicBool::new(false)));
        let well = Arc::clone(&healed);
        let faulty = Faulty::new(Arc::clone(&there.objects), move |operation, path, _| {
            let hit = operation == Operation::Get && path.as_ref() == name;
            if hit && !well.load(SeqCst) { Fault::Refuse } else { Fault::None }
        });
        let rig = Rig::on(Arc::new(faulty), 5);
        for dry_run in [true, false] {
            let store = rig.open().unwrap();
            match store.repair(&Repair { dry_run, ..Repair::default() }, &()) {
                Ok(done) => {
                    let dropped = if done.unreadable == 0 { vec![run.clone()] } else { vec![] };
                    assert_eq!(done.runs_dropped, dropped, "{pack}: {done:?}");
                    assert_eq!(there.dump().contains_key(run), dry_run || done.unreadable > 0);
                    kept += done.unreadable;
                }
                // Map nodes are in it: nor can the store be verified.
                Err(e) => assert_eq!(e.kind(), ErrorKind::Transient, "{pack}"),
            }
        }
        healed.store(true, SeqCst);
        let store = rig.open().unwrap();
        assert!(store.repair(&Repair::default(), &()).unwrap().verified.is_clean(), "{pack}");
        assert_eq!(all_restore(&store, &disks), [true; 3], "{pack}");
    }
    assert!(kept >= 4, "{kept}");
}

/// A writer relies on packs that are condemned after it began. Nobody has decided about them when
/// the run that names them is damaged: they are named again, and then released.
#[test]
fn packs_that_may_be_released_are_named_again() {
    let (rig, disk) = (Rig::new(), patterned(&mut Rng::new(63), 200 << 10));
    let store = rig.init(small());
    ingest(&store, 1, None, &Memory::sparse(disk.clone()), None).unwrap();
    let second = other(&rig, 2);
    let mut late = begin(&second, 2, None, disk.len() as u64).unwrap();
    store.remove_point(&key(1)).unwrap();
    assert!(!collect(&store, &Collect::default()).waiting_for.is_empty());
    let done = late.run(&Memory::sparse(disk.clone()), None, &()).unwrap();
    assert!(done.bytes_new == 0 && commit(late).unwrap());
    in_folder(&rig.dump(), "index/").iter().for_each(|run| flip(&rig, run));
    let fresh = other(&rig, 9);
    assert!(restore(&fresh, 2).is_err());
    let done = fresh.repair(&Repair::default(), &()).unwrap();
    assert!(done.verified.is_clean() && !done.runs_dropped.is_empty(), "{done:?}");
    assert!(collect(&fresh, &ruthless()).released_packs > 0);
    assert!(restore(&fresh, 2).unwrap() == disk);
    garbage::nothing_is_left_open(&rig);
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
    assert_eq!(all_restore(&other(rig, 9), disks), [true; 3], "{what}");
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
    let fresh = other(&rig, 9);
    assert!(fresh.quarantined().unwrap().is_empty());
    assert_eq!(all_restore(&fresh, &disks), [true; 3]);
    for (number, disk) in disks.iter().enumerate() {
        let mut read = vec![0; disk.len()];
        let reader = fresh.reader(&key(number as u64 + 1)).unwrap();
        reader.read_at(&mut read, 0).unwrap();
        assert!(read == *disk);
    }
}
