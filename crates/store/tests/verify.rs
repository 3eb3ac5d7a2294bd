//! Verification, quarantine and healing: damage is found and named, and heals.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod rig;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use rig::{Rig, begin, ingest, key, patterned, restore, small};
use tresor_store::{
    Collect, Depth, FindingKind, PointKey, Sample, Slice, Store, StoreConfig, Verify, VerifyMark,
    Watch,
};
use tresor_testkit::{Memory, Progress, Rng, SimChance, SimClock};

type Dump = BTreeMap<String, Vec<u8>>;

/// Three points: two of one disk, which share most, and one of another disk.
struct Sample3 {
    dump: Dump,
    disks: [Vec<u8>; 3],
}

fn sample(config: &StoreConfig) -> Sample3 {
    let rig = Rig::new();
    let store = rig.init(config.clone());
    let mut rng = Rng::new(21);
    let first = patterned(&mut rng, 900 << 10);
    let mut second = first.clone();
    rng.fill(&mut second[200 << 10..240 << 10]);
    let third = patterned(&mut rng, 300 << 10);
    ingest(&store, 1, None, &Memory::sparse(first.clone()), None).unwrap();
    let changed = std::slice::from_ref(&(200 << 10..240 << 10));
    ingest(&store, 2, Some(1), &Memory::sparse(second.clone()), Some(changed)).unwrap();
    ingest(&store, 3, None, &Memory::sparse(third.clone()), None).unwrap();
    // A pin and a writer that stay.
    let _pin = store.pin(&key(1), "a holder").unwrap();
    let _writer = begin(&store, 9, None, 512).unwrap();
    Sample3 { dump: rig.meaning(), disks: [first, second, third] }
}

fn packs(dump: &Dump) -> Vec<String> {
    dump.keys().filter(|name| name.starts_with("packs/")).cloned().collect()
}

fn read_only(depth: Depth) -> Verify {
    Verify { depth, read_only: true, ..Verify::default() }
}

/// What can be read of a point, block by block.
fn readable(store: &Store, point: u64, disk: &[u8]) -> Vec<bool> {
    let reader = store.reader(&key(point)).unwrap();
    let mut out = Vec::new();
    for (number, block) in disk.chunks(4096).enumerate() {
        let mut found = vec![0; block.len()];
        let read = reader.read_at(&mut found, number as u64 * 4096);
        assert!(read.is_err() || found == block, "wrong bytes");
        out.push(read.is_ok());
    }
    out
}

fn inside(ranges: &[Range<u64>], block: usize) -> bool {
    let (start, end) = (block as u64 * 4096, block as u64 * 4096 + 4096);
    ranges.iter().any(|range| range.start < end && start < range.end)
}

#[test]
fn a_whole_store_is_clean() {
    let made = sample(&small());
    let rig = Rig::of(&made.dump, 5);
    let store = rig.open().unwrap();
    for wanted in [Verify::shallow(), Verify::deep()] {
        let watch = Progress::default();
        let done = store.verify(&wanted, &watch).unwrap();
        assert!(done.is_clean() && done.complete, "{done:?}");
        assert_eq!((done.points, done.packs), (3, packs(&made.dump).len() as u64));
        assert_eq!(watch.done(), watch.expected());
        let bytes: usize = packs(&made.dump).iter().map(|name| made.dump[name].len()).sum();
        let deep = wanted.depth == Depth::Deep;
        assert_eq!(done.bytes_read, if deep { bytes as u64 } else { 0 });
    }
    assert_eq!(rig.dump(), made.dump, "nothing was written");
}

/// A bit of every object of every kind: the object is named, and for packs exactly the points
/// and byte ranges that cannot be read.
#[test]
fn a_flipped_bit_is_found_and_named() {
    let made = sample(&small());
    let (mut rng, mut kinds) = (Rng::new(30), BTreeSet::new());
    for (name, bytes) in &made.dump {
        for try_ in 0..4 {
            let place = match try_ {
                // Any, the middle, the head of a pack's first frame, the head of a pack.
                0 => rng.below(bytes.len() as u64) as usize,
                1 => bytes.len() / 2,
                2 => 80.min(bytes.len() - 1),
                _ => 40.min(bytes.len() - 1),
            };
            let rig = Rig::of(&made.dump, 6);
            let mut wrong = bytes.clone();
            wrong[place] ^= 1 << rng.below(8);
            if name == "config" {
                continue;
            }
            rig.overwrite(name, wrong);
            let store = rig.open().unwrap();
            let done = store.verify(&read_only(Depth::Deep), &()).unwrap();
            let finding = done.findings.iter().find(|finding| finding.object == *name);
            let Some(finding) = finding else { panic!("{name} at {place}: {done:?}") };
            kinds.insert(format!("{:?}", finding.kind));
            assert!(!finding.why.is_empty());
            if name.starts_with("packs/") {
                names_the_ranges(&rig, &made, &done.findings);
            }
            assert!(rig.dump().len() == made.dump.len(), "nothing was written");
        }
    }
    let expected = "DamagedFrame DamagedPack DamagedRecord DamagedRun DamagedSlots";
    assert_eq!(kinds.into_iter().collect::<Vec<_>>().join(" "), expected);
}

fn names_the_ranges(rig: &Rig, made: &Sample3, findings: &[tresor_store::Finding]) {
    let beside = rig.beside(50);
    let store = beside.open().unwrap();
    for (number, disk) in made.disks.iter().enumerate() {
        let point = number as u64 + 1;
        let affected = findings.iter().flat_map(|finding| &finding.affected);
        let ranges: Vec<_> = affected
            .filter(|affected| affected.point == key(point))
            .flat_map(|affected| affected.ranges.clone())
            .collect();
        for (block, readable) in readable(&store, point, disk).into_iter().enumerate() {
            let zero = disk[block * 4096..].iter().take(4096).all(|byte| *byte == 0);
            assert!(readable || inside(&ranges, block), "block {block} of {point} is not named");
            // Zeros below a lost node cannot be told from bytes; all else is exact.
            assert!(!readable || zero || !inside(&ranges, block), "block {block} of {point}");
        }
    }
}

#[test]
fn a_configuration_that_is_damaged_later_is_found() {
    let made = sample(&small());
    let rig = Rig::of(&made.dump, 6);
    let store = rig.open().unwrap();
    let mut wrong = made.dump["config"].clone();
    wrong[40] ^= 1;
    rig.overwrite("config", wrong);
    let done = store.verify(&read_only(Depth::Shallow), &()).unwrap();
    assert_eq!(done.findings[0].object, "config");
}

#[test]
fn shallow_finds_what_is_gone_or_short() {
    let made = sample(&small());
    for name in made.dump.keys().filter(|name| !name.starts_with("writers")) {
        if name == "config" || name.starts_with("points") || name.starts_with("pins") {
            continue;
        }
        let rig = Rig::of(&made.dump, 6);
        rig.delete(name);
        let store = rig.open().unwrap();
        let done = store.verify(&read_only(Depth::Shallow), &()).unwrap();
        assert!(!done.is_clean(), "{name} is gone");
        if name.starts_with("packs") {
            assert_eq!(done.findings[0].kind, FindingKind::MissingPack);
            names_the_ranges(&rig, &made, &done.findings);
        }
        if name.starts_with("packs") {
            let rig = Rig::of(&made.dump, 6);
            let bytes = &made.dump[name];
            rig.overwrite(name, bytes[..bytes.len() * 2 / 3].to_vec());
            let done = rig.open().unwrap().verify(&read_only(Depth::Shallow), &()).unwrap();
            assert_eq!(done.findings[0].kind, FindingKind::ShortPack, "{name}");
            names_the_ranges(&rig, &made, &done.findings);
        }
    }
}

/// What an incremental backup is told has changed: nothing. It heals all the same.
#[test]
fn an_incremental_backup_heals() {
    let made = sample(&small());
    let mut rng = Rng::new(40);
    for name in packs(&made.dump) {
        for damage in 0..3 {
            let rig = Rig::of(&made.dump, 7);
            let mut bytes = made.dump[&name].clone();
            match damage {
                0 => {
                    for _ in 0..4 {
                        let place = 68 + rng.below(bytes.len() as u64 - 68) as usize;
                        bytes[place] ^= 0x10;
                    }
                    rig.overwrite(&name, bytes);
                }
                1 => rig.overwrite(&name, bytes[..bytes.len() / 2].to_vec()),
                _ => rig.delete(&name),
            }
            heals(&rig, &made, &format!("{name}, damage {damage}"));
        }
    }
}

fn heals(rig: &Rig, made: &Sample3, what: &str) {
    let store = rig.open().unwrap();
    let found = store.verify(&Verify::deep(), &()).unwrap();
    assert!(!found.is_clean() && found.quarantined > 0, "{what}: {found:?}");
    let again = store.verify(&Verify::deep(), &()).unwrap();
    assert!(!again.is_clean() && again.quarantined == 0, "{what}: {again:?}");
    let records = store.quarantined().unwrap();
    let hurt: BTreeSet<PointKey> =
        records.iter().flat_map(|r| &r.affected).map(|affected| affected.point).collect();
    // Another handle, that was not told, learns of it.
    let beside = rig.beside(51);
    let store = beside.open().unwrap();
    for (number, disk) in made.disks.iter().enumerate() {
        let point = number as u64 + 1;
        let wounds = store.wounds(&key(point)).unwrap();
        assert_eq!(!wounds.is_empty(), hurt.contains(&key(point)), "{what}: {point}");
        if wounds.is_empty() {
            assert!(restore(&store, point).unwrap() == *disk, "{what}: untouched");
        }
        for (block, readable) in readable(&store, point, disk).into_iter().enumerate() {
            assert!(readable || inside(&wounds, block), "{what}: {block} of {point}");
        }
    }
    // The newest point of each disk is the parent of a backup in which nothing changed. The
    // first point has bytes that the second one has not any more: its own disk is asked too.
    for (point, parent) in [(11, 1), (12, 2), (13, 3)] {
        let disk = Memory::sparse(made.disks[parent as usize - 1].clone());
        let wounds = store.wounds(&key(parent)).unwrap();
        let (done, _) = ingest(&store, point, Some(parent), &disk, Some(&[])).unwrap();
        assert_eq!(done.bytes_read == 0, wounds.is_empty(), "{what}: {done:?}");
    }
    for (number, disk) in made.disks.iter().enumerate() {
        let point = number as u64 + 1;
        assert_eq!(store.wounds(&key(point)).unwrap(), [], "{what}: {point}, {records:?}");
        assert!(restore(&store, point).unwrap() == *disk, "{what}: {point}");
        assert!(restore(&store, point + 10).unwrap() == *disk, "{what}: {point}");
    }
    let clean = store.verify(&Verify::deep(), &()).unwrap();
    assert!(clean.is_clean() && clean.quarantined == 0, "{what}: {clean:?}");
    let beside = rig.beside(52);
    let late = beside.open().unwrap();
    assert!(restore(&late, 2).unwrap() == made.disks[1], "{what}: with an empty cache");
}

/// A bad cable, not a bad disk: what reads well again leaves the quarantine.
#[test]
fn what_reads_well_again_is_released() {
    let made = sample(&small());
    let rig = Rig::of(&made.dump, 8);
    let name = &packs(&made.dump)[0];
    let mut bytes = made.dump[name].clone();
    let place = bytes.len() / 2;
    bytes[place] ^= 1;
    rig.overwrite(name, bytes);
    let store = rig.open().unwrap();
    assert!(store.verify(&Verify::deep(), &()).unwrap().quarantined > 0);
    assert_eq!(store.quarantined().unwrap().len(), 1);
    rig.overwrite(name, made.dump[name].clone());
    let done = store.verify(&Verify::shallow(), &()).unwrap();
    assert!(!done.is_clean() && done.released == 0, "not read, not released: {done:?}");
    let done = store.verify(&Verify::deep(), &()).unwrap();
    assert!(done.released > 0, "{done:?}");
    assert!(store.quarantined().unwrap().is_empty());
    assert!(store.verify(&Verify::deep(), &()).unwrap().is_clean());
    assert_eq!(rig.dump(), made.dump);
}

#[test]
fn slices_are_parts_of_the_whole_and_samples_repeat() {
    let made = sample(&small());
    let rig = Rig::of(&made.dump, 9);
    for name in packs(&made.dump) {
        let mut bytes = made.dump[&name].clone();
        let place = bytes.len() / 2;
        bytes[place] ^= 1;
        rig.overwrite(&name, bytes);
    }
    let all = packs(&made.dump).len() as u64;
    let found = |wanted: &Verify| -> BTreeSet<String> {
        let beside = rig.beside(9);
        let done = beside.open().unwrap().verify(wanted, &()).unwrap();
        let pack = |object: &String| object.starts_with("packs/");
        let kind = |kind| matches!(kind, FindingKind::DamagedFrame | FindingKind::DamagedPack);
        let names = done.findings.into_iter().filter(|f| kind(f.kind) && pack(&f.object));
        // The walk reads nodes of packs that no slice asked for: these are named, not counted.
        let names: BTreeSet<String> = names.map(|finding| finding.object).collect();
        assert!(names.len() as u64 >= done.packs);
        names
    };
    let deep = read_only(Depth::Deep);
    assert_eq!(found(&deep).len() as u64, all);
    let counts = |slice: Option<Slice>, sample: Option<Sample>| {
        let wanted = Verify { slice, sample, ..deep.clone() };
        let beside = rig.beside(9);
        let done = beside.open().unwrap().verify(&wanted, &()).unwrap();
        done.packs
    };
    for of in [1, 2, 5, 13] {
        let parts: u64 = (1..=of).map(|number| counts(Some(Slice { number, of }), None)).sum();
        assert_eq!(parts, all, "of {of}");
        let slices =
            (1..=of).map(|number| Verify { slice: Some(Slice { number, of }), ..deep.clone() });
        if of == 5 {
            let together: BTreeSet<String> = slices.flat_map(|slice| found(&slice)).collect();
            assert_eq!(together, found(&deep));
        }
    }
    let half = |seed| counts(None, Some(Sample { percent: 50.0, seed }));
    assert_eq!((half(1), half(2)), (half(1), half(2)));
    let sizes: BTreeSet<u64> = (0..20).map(half).collect();
    assert!(sizes.len() > 1 && sizes.iter().all(|size| *size <= all), "{sizes:?}");
    assert_eq!(counts(None, Some(Sample { percent: 100.0, seed: 3 })), all);
}

#[test]
fn a_stopped_verification_goes_on_where_it_was() {
    let made = sample(&small());
    let rig = Rig::of(&made.dump, 9);
    let store = rig.open().unwrap();
    let all = packs(&made.dump).len() as u64;
    let bytes: u64 = packs(&made.dump).iter().map(|name| made.dump[name].len() as u64).sum();
    let (mut mark, mut seen, mut rounds): (Option<VerifyMark>, u64, u64) = (None, 0, 0);
    loop {
        let wanted = Verify { resume: mark, ..read_only(Depth::Deep) };
        let done = store.verify(&wanted, &Progress::until(bytes / 5)).unwrap();
        seen += done.packs;
        rounds += 1;
        assert!(done.is_clean());
        let next = done.mark.or(mark);
        if done.complete || next == mark {
            break;
        }
        let json = serde_json::to_string(&next).unwrap();
        mark = serde_json::from_str(&json).unwrap();
        assert!(rounds < 50);
    }
    assert!(seen >= all, "{seen} of {all}");
    assert!(rounds > 2, "{rounds}");
}

/// Time passes only when the verification looks whether it was cancelled.
struct Ticking(Arc<SimClock>);

impl Watch for Ticking {
    fn advance(&self, _bytes: u64, _stored: u64) {}

    fn cancelled(&self) -> bool {
        self.0.advance(Duration::from_millis(20));
        false
    }
}

#[test]
fn the_rate_is_kept() {
    let made = sample(&small());
    let mut rig = Rig::of(&made.dump, 9);
    let clock = Arc::new(SimClock::new(jiff::Timestamp::UNIX_EPOCH));
    rig.env = tresor_store::env::Env::new(
        Arc::clone(&clock) as Arc<dyn tresor_store::env::Clock>,
        Arc::new(SimChance::new(3)),
    );
    let store = rig.open().unwrap();
    let elapsed = |rate: u64| {
        let before = rig.env.monotonic();
        let wanted = Verify { rate: Some(rate), ..read_only(Depth::Deep) };
        let done = store.verify(&wanted, &Ticking(Arc::clone(&clock))).unwrap();
        assert!(done.is_clean());
        (rig.env.monotonic() - before, done.bytes_read)
    };
    let (slow, bytes) = elapsed(400_000);
    // All but the last pack have been paid for when the last one begins.
    let least = Duration::from_secs_f64((bytes as f64 - 70_000.0) / 400_000.0);
    assert!(slow >= least, "{slow:?} for {bytes} bytes, at least {least:?}");
    let (fast, _) = elapsed(u64::MAX);
    assert!(fast < slow, "{fast:?}, {slow:?}");
}

#[test]
fn chosen_points_take_only_their_packs() {
    let made = sample(&small());
    let rig = Rig::of(&made.dump, 9);
    let store = rig.open().unwrap();
    let of = |points: Vec<PointKey>| {
        let wanted = Verify { points: Some(points), ..read_only(Depth::Deep) };
        store.verify(&wanted, &()).unwrap()
    };
    let (one, three) = (of(vec![key(1)]), of(vec![key(3)]));
    assert_eq!((one.points, three.points), (1, 1));
    let all = packs(&made.dump).len() as u64;
    assert!(one.packs < all && three.packs < all, "{one:?}, {three:?}");
    assert_eq!(of(vec![key(1), key(2), key(3)]).packs, all);
    assert!(
        store.verify(&Verify { points: Some(vec![key(77)]), ..Verify::default() }, &()).is_err()
    );
}

/// One handle, damage after damage: each is found, and the next backup of a chain heals it.
#[test]
fn damage_that_comes_later_heals_too() {
    let made = sample(&small());
    let rig = Rig::of(&made.dump, 11);
    let store = rig.open().unwrap();
    let disk = Memory::sparse(made.disks[1].clone());
    let mut parent = 2;
    for (round, name) in packs(&made.dump).iter().enumerate() {
        let mut bytes = made.dump[name].clone();
        (70..bytes.len()).step_by(500).for_each(|place| bytes[place] ^= 1);
        rig.overwrite(name, bytes);
        let found = store.verify(&Verify::deep(), &()).unwrap();
        assert!(found.quarantined > 0, "{name}");
        let hurt = !store.wounds(&key(parent)).unwrap().is_empty();
        let point = 100 + round as u64;
        let (done, _) = ingest(&store, point, Some(parent), &disk, Some(&[])).unwrap();
        assert_eq!(done.bytes_read > 0, hurt, "{name}");
        let (calm, _) = ingest(&store, point + 1000, Some(point), &disk, Some(&[])).unwrap();
        assert_eq!((calm.bytes_read, calm.bytes_new), (0, 0), "{name}: healed once");
        assert!(restore(&store, point).unwrap() == made.disks[1], "{name}");
        parent = point;
    }
}

/// The source has other bytes now: the new point is whole, the old one stays wounded, and a full
/// verification goes on saying so.
#[test]
fn what_the_source_has_no_more_stays_lost() {
    let made = sample(&small());
    let rig = Rig::of(&made.dump, 12);
    for name in packs(&made.dump) {
        let mut bytes = made.dump[&name].clone();
        (70..bytes.len()).step_by(3000).for_each(|place| bytes[place] ^= 1);
        rig.overwrite(&name, bytes);
    }
    let store = rig.open().unwrap();
    assert!(!store.verify(&Verify::deep(), &()).unwrap().is_clean());
    let mut other = made.disks[2].clone();
    Rng::new(99).fill(&mut other);
    let all = 0..other.len() as u64;
    ingest(&store, 30, Some(3), &Memory::sparse(other.clone()), Some(&[all])).unwrap();
    assert!(restore(&store, 30).unwrap() == other);
    assert!(!store.wounds(&key(3)).unwrap().is_empty());
    let done = store.verify(&Verify::shallow(), &()).unwrap();
    let hurt: BTreeSet<PointKey> =
        done.findings.iter().flat_map(|f| &f.affected).map(|a| a.point).collect();
    assert!(hurt.contains(&key(3)) && !hurt.contains(&key(30)), "{done:?}");
}

/// Of two places of a content collection keeps the one that is whole.
#[test]
fn collection_keeps_what_is_not_in_quarantine() {
    let made = sample(&small());
    for name in packs(&made.dump) {
        let rig = Rig::of(&made.dump, 13);
        let mut bytes = made.dump[&name].clone();
        (70..bytes.len()).step_by(40).for_each(|place| bytes[place] ^= 1);
        rig.overwrite(&name, bytes);
        rig.dump().keys().filter(|n| n.starts_with("writers/")).for_each(|n| rig.delete(n));
        let store = rig.open().unwrap();
        assert!(!store.verify(&Verify::deep(), &()).unwrap().is_clean());
        let lost = store.collect(&Collect::default(), &()).unwrap();
        assert!(lost.lost_ids > 0, "{name}: nothing is collected while something is lost");
        assert!(rig.dump().contains_key(&name));
        for (number, disk) in made.disks.iter().enumerate() {
            let (point, parent) = (number as u64 + 20, number as u64 + 1);
            let disk = Memory::sparse(disk.clone());
            ingest(&store, point, Some(parent), &disk, Some(&[])).unwrap();
        }
        for _ in 0..2 {
            let beside = rig.beside(14);
            let done = beside.open().unwrap().collect(&Collect::default(), &()).unwrap();
            assert_eq!(done.lost_ids, 0, "{name}");
        }
        assert!(!rig.dump().contains_key(&name), "{name}: nothing of it is needed");
        let beside = rig.beside(15);
        let fresh = beside.open().unwrap();
        for (number, disk) in made.disks.iter().enumerate() {
            assert!(restore(&fresh, number as u64 + 1).unwrap() == *disk, "{name}");
        }
        let done = fresh.verify(&Verify::deep(), &()).unwrap();
        assert!(done.is_clean() && done.released > 0, "{name}: {done:?}");
        assert!(fresh.quarantined().unwrap().is_empty(), "{name}");
    }
}
