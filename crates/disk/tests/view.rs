//! A view is the disk of one instant, while several threads write.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tresor_disk::{Pool, SECTOR, UNIT, Volume, VolumeName, WINDOW};

const SIZE: u64 = 2 * WINDOW;

/// Values are written round and round into the slots of a lane; the slots are far apart.
const SLOTS: u64 = 24;
const LANES: u64 = 3;

/// Where a slot is: over the border of two units, so that a write concerns both.
fn slot(lane: u64, slot: u64) -> u64 {
    let unit = 1 + (slot * 7 % SLOTS) * 20 + lane * 5;
    unit * UNIT - SECTOR
}

fn write_lane(volume: &Volume, lane: u64, done: &AtomicU64, stop: &AtomicBool) {
    for value in 1u64.. {
        let bytes = value.to_le_bytes().repeat(2 * SECTOR as usize / 8);
        volume.write_at(&bytes, slot(lane, value % SLOTS)).unwrap();
        done.store(value, Ordering::SeqCst);
        if stop.load(Ordering::SeqCst) {
            return;
        }
    }
}

/// The last value that a lane had at the instant of the view.
fn read_lane(lane: u64, read: impl Fn(&mut [u8], u64)) -> u64 {
    let mut values = Vec::new();
    for number in 0..SLOTS {
        let mut bytes = [0; 2 * SECTOR as usize];
        read(&mut bytes, slot(lane, number));
        let (words, _) = bytes.as_chunks::<8>();
        assert!(words.iter().all(|word| *word == words[0]), "a write is half in the view");
        values.push(u64::from_le_bytes(words[0]));
    }
    let last = *values.iter().max().unwrap();
    for value in last.saturating_sub(SLOTS - 1).max(1)..=last {
        assert_eq!(values[(value % SLOTS) as usize], value, "lane {lane} at {last}: {values:?}");
    }
    last
}

#[test]
fn a_view_is_one_instant_while_others_write() {
    let folder = tempfile::tempdir().unwrap();
    let pool = Pool::open(folder.path()).unwrap();
    let name = VolumeName::new("disk-1").unwrap();
    let volume = pool.create(&name, SIZE, [0; 16]).unwrap();
    let done: [AtomicU64; LANES as usize] = std::array::from_fn(|_| AtomicU64::new(0));
    let stop = AtomicBool::new(false);
    let wait_for = |lane: usize, value: u64| {
        while done[lane].load(Ordering::SeqCst) < value {
            std::thread::yield_now();
        }
    };
    std::thread::scope(|scope| {
        for (lane, done) in (0..LANES).zip(&done) {
            let (volume, stop) = (&volume, &stop);
            scope.spawn(move || write_lane(volume, lane, done, stop));
        }
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..20 {
                let before: Vec<u64> = done.iter().map(|d| d.load(Ordering::SeqCst)).collect();
                let view = volume.freeze().unwrap();
                let after: Vec<u64> = done.iter().map(|d| d.load(Ordering::SeqCst)).collect();
                let read = |bytes: &mut [u8], at| view.read_at(bytes, at).unwrap();
                let first: Vec<u64> = (0..LANES).map(|lane| read_lane(lane, read)).collect();
                for lane in 0..LANES as usize {
                    // The write under way when we looked may be in it, and so may its follower.
                    assert!((before[lane]..=after[lane] + 1).contains(&first[lane]));
                    // By now every slot has been overwritten.
                    wait_for(lane, after[lane] + 2 * SLOTS);
                }
                let again: Vec<u64> = (0..LANES).map(|lane| read_lane(lane, read)).collect();
                assert_eq!(first, again);
                if round % 2 == 0 { view.adopt([round; 32]).unwrap() } else { drop(view) }
            }
        }));
        stop.store(true, Ordering::SeqCst);
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
}
