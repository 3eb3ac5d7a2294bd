//! Damaged and foreign bytes: an error, never wrong data.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod rig;

use std::collections::BTreeSet;

use rig::{Rig, begin, ingest, key, patterned, restore, secret, small};
use tresor_store::{Error, ErrorKind, Plan, RecoveryKey, Secret, Store};
use tresor_testkit::{Memory, Rng};

fn made() -> (Rig, Vec<u8>) {
    let rig = Rig::new();
    let store = rig.init(small());
    let disk = patterned(&mut Rng::new(8), 500 << 10);
    ingest(&store, 1, None, &Memory::sparse(disk.clone()), None).unwrap();
    (rig, disk)
}

/// Opens the store with a fresh cache and reads everything in it.
fn read_all(rig: &Rig) -> Result<Vec<u8>, Error> {
    let beside = rig.beside(77);
    let store = beside.open()?;
    store.points()?;
    store.pins()?;
    store.writers()?;
    restore(&store, 1)
}

#[test]
fn a_flipped_bit_anywhere_is_an_error_or_harmless() {
    let (rig, disk) = made();
    assert!(read_all(&rig).unwrap() == disk);
    let mut rng = Rng::new(9);
    let (mut refused, mut kinds, mut seen) = (0, BTreeSet::new(), BTreeSet::new());
    for (name, bytes) in rig.meaning() {
        let folder = name.split('/').next().unwrap().to_owned();
        // Every byte of the head of one object of a kind, some of all the rest.
        let first = seen.insert(folder.clone());
        let dense = if first { bytes.len().min(160) as u64 } else { 0 };
        let rest: Vec<_> = (0..6).map(|_| rng.below(bytes.len() as u64)).collect();
        for place in (0..dense).chain(rest) {
            let mut wrong = bytes.clone();
            wrong[place as usize] ^= 1 << rng.below(8);
            rig.overwrite(&name, wrong);
            match read_all(&rig) {
                Ok(read) => {
                    assert!(read == disk, "{name} at {place}: wrong bytes");
                    // Copies of the key slots stand in for each other, and a pack's own head is
                    // only needed for rebuilding the index.
                    let spare = folder == "keys" || folder == "packs" && place < 68;
                    assert!(spare, "{name} at {place}: nobody noticed");
                }
                Err(e) => {
                    let expected = [ErrorKind::Corrupt, ErrorKind::Unsupported];
                    assert!(expected.contains(&e.kind()), "{name} at {place}: {e:?}");
                    refused += 1;
                    kinds.insert(folder.clone());
                }
            }
        }
        rig.overwrite(&name, bytes);
    }
    assert!(refused > 300, "{refused} refused");
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["config", "index", "packs", "points"]);
    assert!(read_all(&rig).unwrap() == disk, "the damage was undone");
}

#[test]
fn a_truncated_object_is_an_error() {
    let (rig, disk) = made();
    for (name, bytes) in rig.meaning() {
        if name.starts_with("keys/") {
            continue;
        }
        rig.overwrite(&name, bytes[..bytes.len() / 2].to_vec());
        let e = read_all(&rig).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Corrupt, "{name}: {e:?}");
        rig.overwrite(&name, bytes);
    }
    assert!(read_all(&rig).unwrap() == disk);
}

#[test]
fn a_missing_object_is_an_error() {
    use object_store::ObjectStoreExt;
    let (rig, disk) = made();
    for (name, bytes) in rig.meaning() {
        let path = object_store::path::Path::from(name.as_str());
        rig.rt.block_on(rig.objects.delete(&path)).unwrap();
        match (name.split('/').next().unwrap(), read_all(&rig).map_err(|e| e.kind())) {
            ("keys", read) => assert!(read.unwrap() == disk, "other copies stand in"),
            ("config" | "points", Err(kind)) => assert_eq!(kind, ErrorKind::NotFound),
            (_, Err(kind)) => assert_eq!(kind, ErrorKind::Corrupt, "{name}"),
            (_, Ok(_)) => panic!("{name} is not needed"),
        }
        rig.overwrite(&name, bytes);
    }
    assert!(read_all(&rig).unwrap() == disk);
}

#[test]
fn two_packs_cannot_change_places() {
    let (rig, disk) = made();
    let packs: Vec<_> = rig.dump().into_iter().filter(|(n, _)| n.starts_with("packs/")).collect();
    let [(a, a_bytes), (b, b_bytes), ..] = packs.as_slice() else { panic!("two packs") };
    rig.overwrite(a, b_bytes.clone());
    rig.overwrite(b, a_bytes.clone());
    assert_eq!(read_all(&rig).unwrap_err().kind(), ErrorKind::Corrupt);
    rig.overwrite(a, a_bytes.clone());
    rig.overwrite(b, b_bytes.clone());
    assert!(read_all(&rig).unwrap() == disk);
}

/// A point's record under another key is not that point.
#[test]
fn a_record_under_another_name_is_refused() {
    let (rig, _) = made();
    let dump = rig.dump();
    let (_, record) = dump.iter().find(|(name, _)| name.starts_with("points/")).unwrap();
    rig.overwrite("points/000000000000000000000000000000ff", record.clone());
    let store = rig.open().unwrap();
    let points = store.all_points().unwrap();
    assert_eq!(points.good.len(), 1);
    assert_eq!(points.damaged[0].object, "points/000000000000000000000000000000ff");
    assert_eq!(store.points().unwrap(), points.good);
    assert_eq!(store.point(&key(0xff)).unwrap_err().kind(), ErrorKind::Corrupt);
}

/// One damaged object of each kind, and all that does not need it goes on.
#[test]
fn damage_to_one_object_stops_nothing_else() {
    let (rig, disk) = made();
    let before = rig.dump();
    let store = rig.open().unwrap();
    let mut rng = Rng::new(10);
    let other = patterned(&mut rng, 300 << 10);
    ingest(&store, 2, None, &Memory::sparse(other.clone()), None).unwrap();
    let pin = store.pin(&key(1), "a holder").unwrap();
    let writer = begin(&store, 3, None, 512).unwrap();
    let flip = |name: &str, bytes: &[u8]| {
        let mut wrong = bytes.to_vec();
        let last = wrong.len() - 3;
        wrong[last] ^= 4;
        rig.overwrite(name, wrong);
    };
    for (name, bytes) in rig.meaning() {
        let folder = name.split('/').next().unwrap();
        let added = !before.contains_key(&name);
        if matches!(folder, "pins" | "writers") || added && matches!(folder, "index" | "points") {
            flip(&name, &bytes);
        }
    }
    let beside = rig.beside(5);
    let store = beside.open().unwrap();
    assert!(store.damaged_runs().iter().all(|run| run.object.starts_with("index/")));
    assert!(!store.damaged_runs().is_empty());
    assert!(restore(&store, 1).unwrap() == disk);
    assert_eq!(restore(&store, 2).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(store.all_points().unwrap().damaged.len(), 1);
    // What may protect something is never overlooked.
    assert_eq!(store.pins().unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(store.writers().unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(store.remove_point(&key(1)).unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(store.point(&key(1)).unwrap().is_some());
    // A parent that cannot be read is no parent; its bytes, which nothing names, come again.
    let (done, _) = ingest(&store, 4, Some(2), &Memory::sparse(other.clone()), Some(&[])).unwrap();
    assert!(done.bytes_new > 64 << 10, "{done:?}");
    assert!(restore(&store, 4).unwrap() == other);
    drop((pin, writer));
}

#[test]
fn all_three_secrets_open_and_all_others_do_not() {
    let wrong: [Secret; 3] = [
        Secret::KeyFile([8; 32].into()),
        Secret::Passphrase("correct horse".to_owned().into()),
        Secret::Recovery(
            "0000000-0000000-0000000-0000000-0000000-0000000-0000000-0000000"
                .parse::<RecoveryKey>()
                .err()
                .map(|e| assert_eq!(e.kind(), ErrorKind::Invalid))
                .map(|()| other_recovery())
                .unwrap(),
        ),
    ];
    for right in [secret(), Secret::Passphrase("battery staple".to_owned().into())] {
        let rig = Rig::new();
        let (objects, rt) = (std::sync::Arc::clone(&rig.objects), rig.rt.handle().clone());
        let (env, cache) = (rig.env.clone(), rig.cache.path());
        let (store, recovery) = Store::init(objects, rt, cache, small(), &right, env).unwrap();
        assert_eq!(rig.open_with(&right).unwrap().id(), store.id());
        let typed: RecoveryKey = recovery.to_string().parse().unwrap();
        assert_eq!(rig.open_with(&Secret::Recovery(typed)).unwrap().id(), store.id());
        for wrong in &wrong {
            let e = rig.open_with(wrong).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::WrongKey, "{wrong:?}");
        }
        let said = format!("{right:?} {recovery:?} {:?} {:?}", store, store.domain());
        assert!(!said.contains("battery") && !said.contains("7, 7"), "{said}");
    }
}

fn other_recovery() -> RecoveryKey {
    let rig = Rig::on(std::sync::Arc::new(object_store::memory::InMemory::new()), 99);
    let (objects, rt) = (std::sync::Arc::clone(&rig.objects), rig.rt.handle().clone());
    Store::init(objects, rt, rig.cache.path(), small(), &secret(), rig.env.clone()).unwrap().1
}

#[test]
fn nothing_in_the_store_is_in_clear() {
    let rig = Rig::new();
    let store = rig.init(small());
    let mut disk = vec![0u8; 300 << 10];
    for block in disk.chunks_mut(64) {
        block[..24].copy_from_slice(b"a sentence of the owner.");
    }
    let (_, done) = ingest(&store, 1, None, &Memory::sparse(disk), None).unwrap();
    assert!(done.won);
    let wanted: [&[u8]; 2] = [b"a sentence of the owner.", b"1970-01-01"];
    for (name, bytes) in rig.meaning() {
        for wanted in wanted {
            assert!(!bytes.windows(wanted.len()).any(|w| w == wanted), "{name}");
        }
    }
}

/// The configuration is lost, or says something else: the slots and a key are enough to read.
#[test]
fn a_store_without_its_configuration_can_be_read() {
    let rig = Rig::new();
    let store = rig.init(small());
    let disk = patterned(&mut Rng::new(77), 600 << 10);
    ingest(&store, 1, None, &Memory::sparse(disk.clone()), None).unwrap();
    drop(store);
    let open = |secret: &Secret| {
        let objects = std::sync::Arc::clone(&rig.objects);
        let rt = rig.rt.handle().clone();
        Store::open_remains(objects, rt, rig.cache.path(), secret, rig.env.clone())
    };
    // A whole store is opened as ever.
    let whole = open(&secret()).unwrap();
    ingest(&whole, 2, None, &Memory::sparse(disk.clone()), None).unwrap();
    drop(whole);
    let mut config = rig.dump()["config"].clone();
    config[40] ^= 1;
    for damaged in [config, Vec::new()] {
        rig.overwrite("config", damaged);
        assert!(rig.open().is_err());
        let remains = open(&secret()).unwrap();
        assert!(restore(&remains, 1).unwrap() == disk);
        assert_eq!(remains.points().unwrap().len(), 2);
        let plan = Plan { point: key(3), parent: None, size: 4096 };
        assert_eq!(remains.begin(plan).unwrap_err().kind(), ErrorKind::Unsupported);
    }
    let wrong = open(&Secret::KeyFile([8; 32].into())).unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::WrongKey);
}
