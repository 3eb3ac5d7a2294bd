//! The store against a model: whatever is done to a disk, each point is the disk of its time,
//! and how it was made cannot be seen in its root.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod rig;

use std::ops::Range;

use proptest::prelude::*;
use rig::{Rig, ingest, key, pattern, patterned, restore, small};
use tresor_store::{DiffKind, Store, StoreConfig};
use tresor_testkit::{Memory, Rng};

/// Changes a disk and tells where, like a change map: rounded to some unit, sometimes too much.
fn change(rng: &mut Rng, disk: &mut Vec<u8>, resize: bool) -> Vec<Range<u64>> {
    if resize && rng.below(3) == 0 {
        let most = 600 << 10;
        disk.resize((1 + rng.below(most / 512)) as usize * 512, 0);
    }
    let size = disk.len() as u64;
    let mut changed = Vec::new();
    for _ in 0..rng.below(5) {
        let start = rng.below(size);
        let most = if rng.below(4) == 0 { 100_000 } else { 9_000 };
        let len = 1 + rng.below(most);
        let end = (start + len).min(size);
        let kind = rng.below(5);
        for block in disk[start as usize..end as usize].chunks_mut(4096) {
            pattern(rng, kind, block);
        }
        let unit = [512, 4096, 65536][rng.below(3) as usize];
        changed.push(start / unit * unit..end.div_ceil(unit) * unit);
    }
    changed
}

/// Applies what `diff` reports to the older disk and must get the newer one.
fn patch(store: &Store, older: u64, newer: u64, old: &[u8], new: &[u8]) {
    let mut patched = old.to_vec();
    patched.resize(new.len(), 0);
    let mut end = 0;
    for range in store.diff(&key(older), &key(newer), 0..u64::MAX).unwrap() {
        let range = range.unwrap();
        assert!(range.offset >= end, "ranges are in order");
        end = range.offset + range.len;
        let place = range.offset as usize..end as usize;
        if range.kind == DiffKind::Zero {
            assert!(new[place.clone()].iter().all(|b| *b == 0));
        }
        patched[place.clone()].copy_from_slice(&new[place]);
    }
    assert!(patched == new, "the difference of {older} and {newer} lacks something");
}

fn read_here_and_there(store: &Store, point: u64, disk: &[u8], rng: &mut Rng) {
    let reader = store.reader(&key(point)).unwrap();
    for _ in 0..4 {
        let start = rng.below(disk.len() as u64 + 1);
        let end = (start + rng.below(90_000)).min(disk.len() as u64);
        let mut buf = vec![0xEE; (end - start) as usize];
        reader.read_at(&mut buf, start).unwrap();
        assert!(buf == disk[start as usize..end as usize]);
        let mut zero = disk[start as usize..end as usize].to_vec();
        for extent in reader.extents(start..end).unwrap() {
            assert!(extent.start >= start && extent.end <= end && extent.start < extent.end);
            zero[(extent.start - start) as usize..(extent.end - start) as usize].fill(0);
        }
        assert!(zero.iter().all(|b| *b == 0), "extents cover all that is not zero");
    }
    assert!(reader.read_at(&mut [0; 2], disk.len() as u64 - 1).is_err());
}

/// One history of a disk. Each state is stored as an increment of a list of changes, as one that
/// is compared with its parent, and as a whole.
fn history(seed: u64, config: StoreConfig, steps: u64, resize: bool) {
    let mut rng = Rng::new(seed);
    let rig = Rig::new();
    let store = rig.init(config);
    let size = (1 + rng.below(1200)) as usize * 512;
    let mut disk = patterned(&mut rng, size);
    ingest(&store, 0, None, &Memory::sparse(disk.clone()), None).unwrap();
    for step in 1..=steps {
        let old = disk.clone();
        let changed = change(&mut rng, &mut disk, resize);
        let sparse = rng.below(2) == 0;
        let source = |disk: &[u8]| {
            if sparse { Memory::sparse(disk.to_vec()) } else { Memory::dense(disk.to_vec()) }
        };
        let (parent, increment, whole) = ((step - 1) * 3, step * 3, step * 3 + 1);
        let compare = || {
            let source = source(&disk);
            ingest(&store, step * 3 + 2, Some(parent), &source, None).unwrap().0.root
        };
        // One of the two cuts what is new, the other one finds it.
        let early = (rng.below(2) == 0).then(compare);
        let (part, _) =
            ingest(&store, increment, Some(parent), &source(&disk), Some(&changed)).unwrap();
        let compared = early.unwrap_or_else(compare);
        let (full, _) = ingest(&store, whole, None, &source(&disk), None).unwrap();
        assert_eq!(part.root, full.root, "seed {seed} step {step}: cut in another way");
        assert_eq!(compared, full.root, "seed {seed} step {step}: compared in another way");
        assert_eq!(full.bytes_new, 0, "seed {seed} step {step}: the whole found all its parts");
        assert!(restore(&store, increment).unwrap() == disk, "seed {seed} step {step}");
        patch(&store, parent, increment, &old, &disk);
        read_here_and_there(&store, increment, &disk, &mut rng);
    }
    let beside = rig.beside(seed.wrapping_add(1));
    let again = beside.open().unwrap();
    assert!(restore(&again, steps * 3).unwrap() == disk, "seed {seed}: through another handle");
    assert_eq!(again.points().unwrap().len() as u64, steps * 3 + 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Increments equal wholes; sizes are any multiple of a sector.
    #[test]
    fn increments_equal_wholes(seed: u64) {
        history(seed, small(), 5, false);
    }

    /// The same, while the disk grows and shrinks.
    #[test]
    fn increments_equal_wholes_while_sizes_change(seed: u64) {
        history(seed, small(), 5, true);
    }

    /// The same with windows of a few blocks, where everything meets a border.
    #[test]
    fn increments_equal_wholes_in_tiny_windows(seed: u64) {
        let config = StoreConfig {
            window: 32 << 10, chunk_min: 16 << 10, chunk_mean: 20 << 10, chunk_max: 32 << 10,
            zero_run_blocks: 4, ..small()
        };
        history(seed, config, 4, true);
    }
}
