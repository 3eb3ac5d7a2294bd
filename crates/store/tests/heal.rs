//! New points are not built on what is known to be damaged.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod rig;

use std::sync::Arc;

use object_store::memory::InMemory;
use rig::{Rig, ingest, key, patterned, restore, secret, small};
use tresor_store::{Store, Verify};
use tresor_testkit::{Memory, Rng};

fn packs(rig: &Rig) -> Vec<String> {
    rig.dump().into_keys().filter(|name| name.starts_with("packs/")).collect()
}

/// Flips bits all over these packs, but not in their heads.
fn spoil(rig: &Rig, names: &[String]) {
    let dump = rig.dump();
    for name in names {
        let mut bytes = dump[name].clone();
        (70..bytes.len()).step_by(500).for_each(|place| bytes[place] ^= 1);
        rig.overwrite(name, bytes);
    }
}

/// A content was healed into another pack, which is lost: the first place, which is known to be
/// damaged, does not do instead.
#[test]
fn a_place_in_quarantine_is_not_relied_on() {
    let rig = Rig::on(Arc::new(InMemory::new()), 1);
    let store = rig.init(small());
    let disk = patterned(&mut Rng::new(5), 600 << 10);
    ingest(&store, 1, None, &Memory::sparse(disk.clone()), None).unwrap();
    let first = packs(&rig);
    spoil(&rig, &first);
    assert!(store.verify(&Verify::deep(), &()).unwrap().quarantined > 0);
    ingest(&store, 2, None, &Memory::sparse(disk.clone()), None).unwrap();
    assert!(restore(&store, 2).unwrap() == disk, "healed");
    for name in packs(&rig).iter().filter(|name| !first.contains(name)) {
        rig.delete(name);
    }
    ingest(&store, 3, None, &Memory::sparse(disk.clone()), None).unwrap();
    assert!(restore(&store, 3).unwrap() == disk);
    let beside = rig.beside(2);
    let fresh = beside.open().unwrap();
    assert!(restore(&fresh, 3).unwrap() == disk, "with an empty cache");
}

/// A pack that has become shorter is not relied on, also before anybody has verified it.
#[test]
fn a_pack_that_lost_bytes_is_not_relied_on() {
    let disk = patterned(&mut Rng::new(8), 600 << 10);
    for left in [0, 5000] {
        let rig = Rig::on(Arc::new(InMemory::new()), 1);
        ingest(&rig.init(small()), 1, None, &Memory::sparse(disk.clone()), None).unwrap();
        let dump = rig.dump();
        let largest = packs(&rig).into_iter().max_by_key(|name| dump[name].len()).unwrap();
        rig.overwrite(&largest, dump[&largest][..left].to_vec());
        let beside = rig.beside(2);
        let store = beside.open().unwrap();
        ingest(&store, 2, None, &Memory::sparse(disk.clone()), None).unwrap();
        assert!(restore(&store, 2).unwrap() == disk, "{left} bytes left");
    }
}

/// What a copy finds alike in the target's parent may be damaged there: it is copied again.
#[test]
fn a_copy_heals_what_it_would_share() {
    for of in ["all", "nodes"] {
        let (here, there) = (Rig::on(Arc::new(InMemory::new()), 1), Rig::new());
        let source = here.init(small());
        let (objects, rt) = (Arc::clone(&there.objects), there.rt.handle().clone());
        let (cache, env) = (there.cache.path(), there.env.clone());
        let domain = source.domain();
        let made = Store::init_in(domain, objects, rt, cache, small(), &secret(), env).unwrap();
        let target = made.0;
        let mut disk = patterned(&mut Rng::new(6), 600 << 10);
        ingest(&source, 1, None, &Memory::sparse(disk.clone()), None).unwrap();
        disk[4096..8192].fill(9);
        let changed = std::slice::from_ref(&(4096..8192));
        ingest(&source, 2, Some(1), &Memory::sparse(disk.clone()), Some(changed)).unwrap();
        source.copy_point(&key(1), &target, &()).unwrap();

        let mut bad = packs(&there);
        if of == "nodes" {
            // Nodes are few: their pack is the smallest.
            let dump = there.dump();
            bad.sort_by_key(|name| dump[name].len());
            bad.truncate(1);
        }
        spoil(&there, &bad);
        let found = target.verify(&Verify::deep(), &()).unwrap();
        assert!(found.quarantined > 0, "{of}");

        let beside = there.beside(3);
        let fresh = beside.open().unwrap();
        source.copy_point(&key(2), &fresh, &()).unwrap();
        assert!(restore(&fresh, 2).unwrap() == disk, "{of}");
        assert_eq!(fresh.wounds(&key(2)).unwrap(), [], "{of}");
    }
}
