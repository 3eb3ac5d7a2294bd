//! Copies between stores: the copy is the point, costs what the target lacks, and survives being
//! killed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod rig;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use object_store::ObjectStore;
use object_store::memory::InMemory;
use rig::{Rig, begin, ingest, key, pattern, patterned, restore, secret, small};
use tresor_store::{
    COPIED_FROM_POINT, COPIED_FROM_STORE, DiffKind, ErrorKind, Reader, Store, StoreConfig, Watch,
};
use tresor_testkit::{Fault, Faulty, Memory, Operation, Progress, Rng};

/// A store in the domain of `of`.
fn sibling(of: &Store, rig: &Rig, config: StoreConfig) -> Store {
    let (objects, rt) = (Arc::clone(&rig.objects), rig.rt.handle().clone());
    let (cache, env) = (rig.cache.path(), rig.env.clone());
    Store::init_in(of.domain(), objects, rt, cache, config, &secret(), env).unwrap().0
}

fn rig(seed: u64) -> Rig {
    Rig::on(Arc::new(InMemory::new()), seed)
}

/// Changes some blocks; returns the ranges.
fn change(rng: &mut Rng, disk: &mut [u8]) -> Vec<Range<u64>> {
    let mut out = Vec::new();
    for _ in 0..4 {
        let start = rng.below(disk.len() as u64 / 4096) as usize * 4096;
        let end = (start + 3 * 4096).min(disk.len());
        let kind = rng.below(5);
        pattern(rng, kind, &mut disk[start..end]);
        out.push(start as u64..end as u64);
    }
    out
}

/// Everything that is not zero, counted by hand.
fn packed(rig: &Rig) -> u64 {
    let dump = rig.dump();
    let packs = dump.iter().filter(|(name, _)| name.starts_with("packs/"));
    packs.map(|(_, bytes)| bytes.len() as u64).sum()
}

#[test]
fn a_copy_in_the_domain_is_the_point_and_moves_only_what_is_missing() {
    let (here, there) = (rig(1), rig(2));
    let source = here.init(small());
    let target = sibling(&source, &there, StoreConfig { level: 6, ..small() });
    let mut rng = Rng::new(7);
    let mut disk = patterned(&mut rng, 3 << 20);
    ingest(&source, 1, None, &Memory::sparse(disk.clone()), None).unwrap();
    let first = disk.clone();
    let changed = change(&mut rng, &mut disk);
    let (second, _) =
        ingest(&source, 2, Some(1), &Memory::sparse(disk.clone()), Some(&changed)).unwrap();
    ingest(&source, 3, None, &Memory::sparse(disk.clone()), None).unwrap();

    let watch = Progress::default();
    let copied = source.copy_point(&key(1), &target, &watch).unwrap();
    assert_eq!((watch.done(), watch.expected()), (3 << 20, 3 << 20));
    let moved = copied.moved.unwrap();
    assert!(!copied.anew && moved.bytes_read > 0);
    assert_eq!(copied.record.root, source.point(&key(1)).unwrap().unwrap().root);
    assert_eq!(copied.record.facts[COPIED_FROM_STORE], source.id().to_string());
    assert_eq!(copied.record.facts[COPIED_FROM_POINT], key(1).to_string());
    assert!(restore(&target, 1).unwrap() == first);

    let moved = source.copy_point(&key(2), &target, &()).unwrap().moved.unwrap();
    assert_eq!(moved.bytes_new, second.bytes_new, "an increment moves what it brought");
    assert!(moved.chunks < 200, "equal subtrees are not walked: {} chunks", moved.chunks);
    assert!(restore(&target, 2).unwrap() == disk);

    // All of it is there, though no ancestor says so.
    let before = packed(&there);
    let moved = source.copy_point(&key(3), &target, &()).unwrap().moved.unwrap();
    assert_eq!((moved.bytes_read, moved.bytes_new, packed(&there)), (0, 0, before));
    assert!(moved.bytes_deduplicated > 0);
    assert!(restore(&target, 3).unwrap() == disk);

    let dump = there.dump();
    assert_eq!(source.copy_point(&key(3), &target, &()).unwrap().moved, None);
    assert!(there.dump() == dump, "what is there is left alone");
    assert!(source.pins().unwrap().is_empty() && target.writers().unwrap().is_empty());
    // The target stands alone.
    drop((source, here));
    let again = there.beside(9).open().unwrap();
    assert!(restore(&again, 2).unwrap() == disk);
}

/// Whatever the target's parent is: another size, another height of the map, zeros.
#[test]
fn a_copy_survives_growth_and_shrinking() {
    for seed in 0..10 {
        let (here, there) = (rig(seed), rig(seed + 100));
        let config = StoreConfig { window: 32 << 10, ..small() };
        let source = here.init(config.clone());
        let target = sibling(&source, &there, config);
        let mut rng = Rng::new(seed);
        let mut disk = patterned(&mut rng, 1 << 20);
        for point in 0..4u64 {
            let parent = point.checked_sub(1);
            ingest(&source, point, parent, &Memory::sparse(disk.clone()), None).unwrap();
            source.copy_point(&key(point), &target, &()).unwrap();
            assert!(restore(&target, point).unwrap() == disk, "seed {seed} point {point}");
            // Up to 12 MiB: above and below 256 windows.
            let most = [1 << 11, 24 << 10][rng.below(2) as usize];
            let size = (1 + rng.below(most)) as usize * 512;
            disk.resize(size, 0);
            if size >= 4096 {
                change(&mut rng, &mut disk);
            }
        }
    }
}

/// The copying process dies at any of its puts, to either store; the next one gets through and
/// moves nothing twice that was found again.
#[test]
fn a_copy_killed_at_any_put_can_be_repeated() {
    let mut rng = Rng::new(3);
    let disk = patterned(&mut rng, 900 << 10);
    let mut found_again = 0;
    for fatal in 0.. {
        let (here, there) = (rig(1), rig(2));
        let source = here.init(small());
        sibling(&source, &there, small());
        ingest(&source, 1, None, &Memory::sparse(disk.clone()), None).unwrap();
        let (puts, dead) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let dying = |objects: &Arc<dyn ObjectStore>| -> Arc<dyn ObjectStore> {
            let (puts, dead) = (Arc::clone(&puts), Arc::clone(&dead));
            Arc::new(Faulty::new(Arc::clone(objects), move |operation, path, _| {
                let put = operation == Operation::Put && !path.as_ref().starts_with("probe");
                if put && puts.fetch_add(1, SeqCst) >= fatal {
                    dead.store(true, SeqCst);
                }
                if dead.load(SeqCst) { Fault::Refuse } else { Fault::None }
            }))
        };
        let (from, to) = (Rig::on(dying(&here.objects), 50), Rig::on(dying(&there.objects), 51));
        let (a, b) = (from.open().unwrap(), to.open().unwrap());
        let done = a.copy_point(&key(1), &b, &());
        if done.is_ok() {
            assert!(fatal > 8, "{fatal} puts are enough to be killed at");
            break;
        }
        let (from, to) = (here.beside(60), there.beside(61));
        let (a, b) = (from.open().unwrap(), to.open().unwrap());
        assert!(b.points().unwrap().is_empty(), "killed at put {fatal}: nothing is half-made");
        let moved = a.copy_point(&key(1), &b, &()).unwrap().moved.unwrap();
        found_again += moved.bytes_found_again;
        assert!(restore(&b, 1).unwrap() == disk, "killed at put {fatal}");
        assert!(a.pins().unwrap().is_empty(), "the pin of the dead is released");
    }
    assert!(found_again > 0, "some copy was killed late enough to find its chunks again");
}

/// Cancels when so many bytes are done.
struct Impatient(AtomicU64, u64);

impl Watch for Impatient {
    fn advance(&self, bytes: u64, _stored: u64) {
        self.0.fetch_add(bytes, SeqCst);
    }

    fn cancelled(&self) -> bool {
        self.0.load(SeqCst) > self.1
    }
}

#[test]
fn a_cancelled_copy_leaves_no_pin_no_writer_and_no_point() {
    for anew in [false, true] {
        let (here, there) = (rig(1), rig(2));
        let source = here.init(small());
        let target = if anew { there.init(small()) } else { sibling(&source, &there, small()) };
        let disk = patterned(&mut Rng::new(5), 2 << 20);
        ingest(&source, 1, None, &Memory::sparse(disk.clone()), None).unwrap();
        let watch = Impatient(AtomicU64::new(0), 1 << 20);
        let error = source.copy_point(&key(1), &target, &watch).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert!(source.pins().unwrap().is_empty() && target.writers().unwrap().is_empty());
        assert!(target.points().unwrap().is_empty());
        source.copy_point(&key(1), &target, &()).unwrap();
        assert!(restore(&target, 1).unwrap() == disk);
    }
}

#[test]
fn a_copy_to_another_domain_reads_what_differs() {
    let (here, there) = (rig(1), rig(2));
    let source = here.init(small());
    let target = there.init(StoreConfig { chunk_mean: 20 << 10, ..small() });
    let mut rng = Rng::new(11);
    let mut disk = vec![0; 4 << 20];
    rng.fill(&mut disk);
    let mut states = Vec::new();
    for point in 1..=4u64 {
        let parent = (point > 1).then(|| point - 1);
        ingest(&source, point, parent, &Memory::sparse(disk.clone()), None).unwrap();
        states.push(disk.clone());
        change(&mut rng, &mut disk);
    }
    let full = source.copy_point(&key(1), &target, &()).unwrap();
    assert!(full.anew && full.moved.unwrap().bytes_read == 4 << 20);
    // The base is removed from the source; the pin still lets the copy compare with it.
    assert_eq!(source.remove_point(&key(1)).unwrap_err().kind(), ErrorKind::Pinned);
    // Point 2 is never copied: 3 is compared with 1.
    let part = source.copy_point(&key(3), &target, &()).unwrap();
    assert_eq!(part.record.parent, Some(key(1)));
    let read = part.moved.unwrap().bytes_read;
    assert!(read > 0 && read < 1 << 20, "read {read}");
    for point in [1, 3] {
        assert!(restore(&target, point).unwrap() == states[point as usize - 1]);
    }
    let pinned: Vec<_> = source.pins().unwrap().iter().map(|pin| pin.point.key).collect();
    assert_eq!(pinned, [key(3)], "only the last copied point is kept");
    source.remove_point(&key(1)).unwrap();
    assert_eq!(source.copy_point(&key(3), &target, &()).unwrap().moved, None);
    source.copy_point(&key(4), &target, &()).unwrap();
    assert!(restore(&target, 4).unwrap() == states[3]);
    assert_eq!(source.pins().unwrap().len(), 1);
}

#[test]
fn what_cannot_be_copied_is_refused() {
    let (here, there) = (rig(1), rig(2));
    let source = here.init(small());
    let target = sibling(&source, &there, small());
    let disk = patterned(&mut Rng::new(5), 300 << 10);
    ingest(&source, 1, None, &Memory::sparse(disk.clone()), None).unwrap();
    let kind = |point, to: &Store| source.copy_point(&key(point), to, &()).unwrap_err().kind();
    assert_eq!(kind(2, &target), ErrorKind::NotFound);
    assert_eq!(kind(1, &source), ErrorKind::Invalid);
    ingest(&target, 1, None, &Memory::sparse(vec![1; 4096]), None).unwrap();
    assert_eq!(kind(1, &target), ErrorKind::Exists);
    assert!(restore(&target, 1).unwrap() == [1; 4096]);
    // Who removed a copy does not want it back.
    ingest(&source, 2, Some(1), &Memory::sparse(disk), None).unwrap();
    source.copy_point(&key(2), &target, &()).unwrap();
    target.remove_point(&key(2)).unwrap();
    assert_eq!(kind(2, &target), ErrorKind::Voided);
    assert!(source.pins().unwrap().is_empty());
}

/// A damaged chunk is not copied: the copy fails and names nothing it has not seen.
#[test]
fn damage_does_not_travel() {
    let (here, there) = (rig(1), rig(2));
    let source = here.init(small());
    let target = sibling(&source, &there, small());
    let disk = patterned(&mut Rng::new(6), 900 << 10);
    ingest(&source, 1, None, &Memory::sparse(disk), None).unwrap();
    for (name, mut bytes) in here.dump() {
        if name.starts_with("packs/") {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            here.overwrite(&name, bytes);
        }
    }
    let again = here.beside(3).open().unwrap();
    let error = again.copy_point(&key(1), &target, &()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(target.points().unwrap().is_empty());
}

/// Compares a difference with what byte by byte is found: nothing is missing, and nothing is
/// told of a window in which nothing changed.
fn compare(older: &[u8], newer: &[u8], found: &[(Range<u64>, DiffKind)], context: &str) {
    let byte = |disk: &[u8], at: usize| disk.get(at).copied().unwrap_or(0);
    let mut covered = vec![false; newer.len()];
    for (range, kind) in found {
        let place = range.start as usize..range.end as usize;
        covered[place.clone()].fill(true);
        if *kind == DiffKind::Zero {
            assert!(newer[place].iter().all(|b| *b == 0), "{context}: zeros are zeros");
        }
    }
    for at in 0..newer.len() {
        assert!(covered[at] || newer[at] == byte(older, at), "{context}: byte {at} is missing");
    }
    for (range, _) in found {
        // Behind a change the cuts need some chunks to come together again, within the window.
        let near = (range.start >> 18 << 18) as usize;
        let far = range.end.next_multiple_of(1 << 18).min(newer.len() as u64) as usize;
        // The last chunk of another size of disk is another chunk.
        let differs = (near..far).any(|at| newer[at] != byte(older, at))
            || far == newer.len() && newer.len() != older.len();
        assert!(differs, "{context}: {range:?} is equal in both");
    }
}

#[test]
fn a_difference_is_exact_and_can_be_asked_for_in_parts() {
    for seed in 0..16 {
        let here = rig(seed);
        let store = here.init(small());
        let mut rng = Rng::new(seed);
        let older = patterned(&mut rng, 1 << 20);
        let mut newer = older.clone();
        newer.resize((1 + rng.below(4096)) as usize * 512, 0);
        if newer.len() >= 4096 {
            change(&mut rng, &mut newer);
        }
        ingest(&store, 1, None, &Memory::sparse(older.clone()), None).unwrap();
        ingest(&store, 2, None, &Memory::sparse(newer.clone()), None).unwrap();
        let ask = |range: Range<u64>| -> Vec<(Range<u64>, DiffKind)> {
            let found = store.diff(&key(1), &key(2), range).unwrap();
            found.map(|d| d.unwrap()).map(|d| (d.offset..d.end(), d.kind)).collect()
        };
        let whole = ask(0..u64::MAX);
        compare(&older, &newer, &whole, &format!("seed {seed}"));
        // Parts, joined where they touch, are the whole.
        let mut joined: Vec<(Range<u64>, DiffKind)> = Vec::new();
        let mut at = 0;
        while at < newer.len() as u64 {
            let end = at + 1 + rng.below(300_000);
            for (range, kind) in ask(at..end) {
                assert!(range.start >= at && range.end <= end);
                match joined.last_mut().filter(|(last, k)| last.end == range.start && *k == kind) {
                    Some((last, _)) => last.end = range.end,
                    None => joined.push((range, kind)),
                }
            }
            at = end;
        }
        assert_eq!(joined, whole, "seed {seed}");
    }
}

/// Facts travel, and a copy of a copy is known for what it is.
#[test]
fn a_copy_of_a_copy_is_the_same_point() {
    let rigs = [rig(1), rig(2), rig(3)];
    let first = rigs[0].init(small());
    let second = sibling(&first, &rigs[1], small());
    let third = sibling(&first, &rigs[2], small());
    let disk = patterned(&mut Rng::new(8), 500 << 10);
    let mut made = begin(&first, 1, None, disk.len() as u64).unwrap();
    made.run(&Memory::sparse(disk.clone()), None, &()).unwrap();
    let facts = BTreeMap::from([("image".to_owned(), "x".to_owned())]);
    made.commit(facts, jiff::Timestamp::UNIX_EPOCH).unwrap();
    first.copy_point(&key(1), &second, &()).unwrap();
    first.copy_point(&key(1), &third, &()).unwrap();
    let again = second.copy_point(&key(1), &third, &()).unwrap();
    assert_eq!(again.moved, None);
    assert_eq!(again.record.facts["image"], "x");
    let reader: Reader = third.reader(&key(1)).unwrap();
    let mut bytes = vec![0; disk.len()];
    reader.read_at(&mut bytes, 0).unwrap();
    assert!(bytes == disk);
}

/// The target has every node of a map and none of its chunks: what collection can leave of a
/// point that was removed. A node that is there stands for nothing below it.
#[test]
fn nodes_that_are_there_do_not_stand_for_their_chunks() {
    use object_store::ObjectStoreExt;
    let (here, there) = (rig(1), rig(2));
    let source = here.init(small());
    let target = sibling(&source, &there, small());
    let disk = patterned(&mut Rng::new(21), 2 << 20);
    for point in [1, 2] {
        ingest(&source, point, None, &Memory::sparse(disk.clone()), None).unwrap();
    }
    source.copy_point(&key(1), &target, &()).unwrap();
    target.remove_point(&key(1)).unwrap();
    let mut deleted = 0;
    for (name, bytes) in there.dump() {
        // Byte 10 of a pack says what it holds: 1 is chunks.
        if name.starts_with("packs/") && bytes[10] == 1 {
            let path = object_store::path::Path::from(name.as_str());
            there.rt.block_on(there.objects.delete(&path)).unwrap();
            deleted += 1;
        }
    }
    assert!(deleted > 4);
    let beside = there.beside(3);
    let target = beside.open().unwrap();
    let moved = source.copy_point(&key(2), &target, &()).unwrap().moved.unwrap();
    assert!(moved.bytes_read > 1 << 19, "{moved:?}");
    assert!(restore(&target, 2).unwrap() == disk);
}
