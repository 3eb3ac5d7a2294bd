//! What is gone is told as points and byte ranges, exactly, by whoever is asked first.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod rig;

use std::collections::BTreeMap;
use std::ops::Range;

use rig::{Rig, ingest, key, patterned, restore, small};
use tresor_store::{Collect, ErrorKind, Store, Verify};
use tresor_testkit::{Memory, Rng};

/// Two points that share most, and a pin on a third that was removed.
fn sample() -> (BTreeMap<String, Vec<u8>>, [Vec<u8>; 2]) {
    let rig = Rig::new();
    let store = rig.init(small());
    let mut rng = Rng::new(31);
    let first = patterned(&mut rng, 600 << 10);
    let mut second = first.clone();
    rng.fill(&mut second[200 << 10..240 << 10]);
    for (point, disk) in (1..).zip([&first, &second]) {
        ingest(&store, point, None, &Memory::sparse(disk.clone()), None).unwrap();
    }
    (rig.dump(), [first, second])
}

/// The blocks of a point that cannot be read, found by trying.
fn unreadable(store: &Store, point: u64, disk: &[u8]) -> Vec<u64> {
    let reader = store.reader(&key(point)).unwrap();
    let mut out = Vec::new();
    for (number, block) in disk.chunks(4096).enumerate() {
        let mut found = vec![0; block.len()];
        match reader.read_at(&mut found, number as u64 * 4096) {
            Ok(()) => assert!(found == block, "wrong bytes"),
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::Corrupt, "{e:?}");
                out.push(number as u64);
            }
        }
    }
    out
}

fn blocks(ranges: &[Range<u64>]) -> Vec<u64> {
    let all = ranges.iter().flat_map(|range| range.start / 4096..range.end.div_ceil(4096));
    let mut all: Vec<u64> = all.collect();
    all.dedup();
    all
}

/// No verification has run: the wounds, a collection and a verification name the same bytes, and
/// those are the ones that cannot be read.
#[test]
fn a_pack_that_is_gone_is_told_by_points_and_ranges() {
    let (dump, disks) = sample();
    let (mut exact, mut shared) = (0, 0);
    for pack in dump.keys().filter(|name| name.starts_with("packs/")) {
        let rig = Rig::of(&dump, 4);
        rig.delete(pack);
        let store = rig.open().unwrap();
        let done = store.collect(&Collect::default(), &()).unwrap();
        let found = store.verify(&Verify { read_only: true, ..Verify::shallow() }, &()).unwrap();
        let mut hurt = 0;
        for (point, disk) in (1..).zip(&disks) {
            let wounds = store.wounds(&key(point)).unwrap();
            let beside = rig.beside(50);
            let lost = unreadable(&beside.open().unwrap(), point, disk);
            let named = blocks(&wounds);
            assert!(lost.iter().all(|block| named.contains(block)), "{pack}: {lost:?} {wounds:?}");
            // Below a node that is lost, zeros cannot be told from bytes.
            exact += u64::from(lost == named);
            hurt += u64::from(!wounds.is_empty());
            assert_eq!(restore(&store, point).is_err(), !wounds.is_empty(), "{pack}");
            let mut told = done.affected.iter().filter(|affected| affected.point == key(point));
            let collected = told.next().map(|affected| affected.ranges.clone()).unwrap_or_default();
            assert_eq!(blocks(&collected), named, "{pack}: the collection");
            let affected = found.findings.iter().flat_map(|finding| &finding.affected);
            let affected = affected.filter(|affected| affected.point == key(point));
            let mut verified: Vec<_> = affected.flat_map(|a| a.ranges.clone()).collect();
            verified.sort_by_key(|range| range.start);
            assert_eq!(blocks(&verified), named, "{pack}: the verification");
        }
        assert_eq!(done.affected_count, hurt, "{pack}");
        assert_eq!(done.lost_ids > 0, hurt > 0, "{pack}");
        assert_eq!(done.deleted_packs, 0);
        shared += u64::from(hurt == 2);
    }
    assert!(exact > 3 && shared > 1, "{exact} exact, {shared} shared");
}

/// A pack that went because its contents were moved is no loss, also for who knows old places.
#[test]
fn what_was_moved_is_not_lost() {
    let (dump, disks) = sample();
    let rig = Rig::of(&dump, 4);
    let (store, early) = (rig.open().unwrap(), rig.beside(5));
    let early = early.open().unwrap();
    store.remove_point(&key(1)).unwrap();
    let how = Collect { max_unused_percent: 0.0, small_pack_bytes: 1 << 20, ..Collect::default() };
    let done = store.collect(&how, &()).unwrap();
    assert!(done.rewritten_packs > 0, "{done:?}");
    assert!(early.wounds(&key(2)).unwrap().is_empty());
    assert!(restore(&early, 2).unwrap() == disks[1]);
}
