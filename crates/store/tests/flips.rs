//! One bit is wrong, at every byte of metadata and at thousands of places of the data: what is
//! read is right or an error, never silently wrong.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod rig;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use rig::{Rig, ingest, key, parallel, patterned, restore, small, wanted};
use tresor_store::{Error, ErrorKind, Result, StoreConfig};
use tresor_testkit::{Fault, Faulty, Memory, Operation, Rng};

/// Bytes of a pack's head and of a frame's.
const PACK: usize = 68;
const FRAME: usize = 56;

struct Made {
    rig: Rig,
    disks: [Vec<u8>; 2],
}

/// A store with two points, a pin and an announced writer. One point shares everything, so that
/// there is one index run.
fn made() -> Made {
    let rig = Rig::new();
    let config = StoreConfig { pack_bytes: 1 << 20, check_codec: false, ..small() };
    let store = rig.init(config);
    let mut rng = Rng::new(21);
    let first = patterned(&mut rng, 150 << 10);
    let second = first[..first.len() / 2].to_vec();
    ingest(&store, 1, None, &Memory::sparse(first.clone()), None).unwrap();
    ingest(&store, 2, None, &Memory::sparse(second.clone()), None).unwrap();
    let _kept = store.pin(&key(1), "somebody").unwrap();
    drop(rig::begin(&store, 3, Some(1), 4096).unwrap());
    Made { rig, disks: [first, second] }
}

/// Whether everything was read and is right.
fn read(rig: &Rig, disks: &[Vec<u8>; 2]) -> Result<bool> {
    let store = rig.open()?;
    let mut right = true;
    let all = store.all_points()?;
    for (point, disk) in (1..).zip(disks) {
        right &= restore(&store, point)? == *disk;
    }
    if let Some(damaged) = all.damaged.into_iter().next() {
        return Err(Error::new(ErrorKind::Corrupt, damaged.why));
    }
    store.pins()?;
    store.writers()?;
    Ok(right)
}

/// A byte of an object.
type Place = (String, usize);

/// All bytes of metadata, and those of the data.
fn places(made: &Made) -> (Vec<Place>, Vec<Place>) {
    let (mut meta, mut data) = (Vec::new(), Vec::new());
    for (name, bytes) in made.rig.meaning() {
        let chunks = name.starts_with("packs/") && bytes[10] == 1;
        let first = 0..if chunks { PACK } else { bytes.len() };
        let mut heads = Vec::from_iter([first]);
        let mut at = PACK;
        while chunks && at < bytes.len() {
            heads.push(at..at + FRAME);
            let stored = u32::from_le_bytes(bytes[at + 12..at + 16].try_into().unwrap());
            at += FRAME + stored as usize;
        }
        for place in 0..bytes.len() {
            let head = heads.iter().any(|head| head.contains(&place));
            if head { &mut meta } else { &mut data }.push((name.clone(), place));
        }
    }
    (meta, data)
}

#[test]
fn a_flipped_bit_is_an_error_or_does_not_matter() {
    let made = made();
    assert!(read(&made.rig, &made.disks).unwrap());
    let (meta, data) = places(&made);
    let scale = wanted("TRESOR_CAMPAIGN_SCALE", 1);
    let seed = wanted("TRESOR_CAMPAIGN_SEED", 31);
    let mut rng = Rng::new(seed);
    let mut flips: Vec<(String, u64)> = Vec::new();
    for (name, place) in &meta {
        for _ in 0..scale {
            flips.push((name.clone(), *place as u64 * 8 + rng.below(8)));
        }
    }
    for _ in 0..10_000 * scale {
        let (name, place) = &data[rng.below(data.len() as u64) as usize];
        flips.push((name.clone(), *place as u64 * 8 + rng.below(8)));
    }
    let (refused, harmless) = (AtomicU64::new(0), AtomicU64::new(0));
    let wrong: Mutex<Vec<String>> = Mutex::default();
    parallel(0..flips.len() as u64, |number| {
        let (name, bit) = flips[number as usize].clone();
        let object = name.clone();
        let faulty = Faulty::new(Arc::clone(&made.rig.objects), move |operation, path, _| {
            let hit = operation == Operation::Get && path.as_ref() == object;
            if hit { Fault::FlipBit(bit) } else { Fault::None }
        });
        let rig = Rig::light(Arc::new(faulty), 77);
        match read(&rig, &made.disks) {
            Ok(true) => drop(harmless.fetch_add(1, Relaxed)),
            Ok(false) => wrong.lock().unwrap().push(format!("{name}, bit {bit}: wrong bytes")),
            Err(e) if matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported) => {
                refused.fetch_add(1, Relaxed);
            }
            Err(e) => wrong.lock().unwrap().push(format!("{name}, bit {bit}: {e:?}")),
        }
    });
    let (refused, harmless) = (refused.into_inner(), harmless.into_inner());
    let wrong = wrong.into_inner().unwrap();
    println!(
        "campaign: flips, seed {seed}, {} of metadata, {} of data: {refused} refused, {harmless} \
         harmless, {} silently wrong or misnamed",
        meta.len() as u64 * scale,
        10_000 * scale,
        wrong.len()
    );
    assert_eq!(wrong, Vec::<String>::new());
    assert!(refused > harmless && refused > 10_000 * scale, "{refused} refused");
}
