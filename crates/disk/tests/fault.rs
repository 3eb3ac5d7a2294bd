//! Steps that fail: a failed fsync is final, a failed map write loses no mark.
//!
//! Fail points belong to the process, so each test holds a scenario, which excludes the others.
#![allow(clippy::unwrap_used, reason = "a test may fail")]
#![expect(clippy::single_range_in_vec_init, reason = "one range is what is expected")]

use fail::FailScenario;
use tempfile::TempDir;
use tresor_disk::{Error, ErrorKind, Pool, UNIT, VolumeName, WINDOW};

const SIZE: u64 = 2 * WINDOW;
const ROOT: [u8; 32] = [1; 32];

fn pool() -> (TempDir, Pool, VolumeName) {
    let folder = tempfile::tempdir().unwrap();
    let pool = Pool::open(folder.path()).unwrap();
    (folder, pool, VolumeName::new("a").unwrap())
}

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn a_failed_fsync_poisons_until_the_next_opening() {
    let scenario = FailScenario::setup();
    let (_folder, pool, name) = pool();
    let volume = pool.create(&name, SIZE, [0; 16]).unwrap();
    volume.freeze().unwrap().adopt(ROOT).unwrap();
    volume.write_at(&[1; 512], 0).unwrap();
    fail::cfg("disk.volume.flush", "1*return->off").unwrap();
    assert_eq!(kind(volume.flush()), ErrorKind::Poisoned);
    assert_eq!(kind(volume.flush()), ErrorKind::Poisoned);
    assert_eq!(kind(volume.write_at(&[2; 512], 0)), ErrorKind::Poisoned);
    assert_eq!(kind(volume.clear(0..512)), ErrorKind::Poisoned);
    assert_eq!(kind(volume.grow(2 * SIZE)), ErrorKind::Poisoned);
    assert_eq!(kind(volume.freeze()), ErrorKind::Poisoned);
    assert_eq!(kind(volume.close()), ErrorKind::Poisoned);
    let mut bytes = [0; 512];
    volume.read_at(&mut bytes, 0).unwrap();
    drop(volume);
    let volume = pool.open_volume(&name).unwrap();
    let view = volume.freeze().unwrap();
    assert_eq!(view.changed(&ROOT), Some(vec![0..WINDOW]));
    scenario.teardown();
}

#[test]
fn an_adoption_whose_fsync_fails_keeps_the_old_base() {
    let scenario = FailScenario::setup();
    let (_folder, pool, name) = pool();
    let volume = pool.create(&name, SIZE, [0; 16]).unwrap();
    volume.freeze().unwrap().adopt(ROOT).unwrap();
    volume.write_at(&[1; 512], WINDOW).unwrap();
    let view = volume.freeze().unwrap();
    fail::cfg("disk.volume.flush", "return").unwrap();
    assert_eq!(kind(view.adopt([2; 32])), ErrorKind::Poisoned);
    drop(volume);
    fail::remove("disk.volume.flush");
    let volume = pool.open_volume(&name).unwrap();
    assert_eq!(volume.base(), Some(ROOT));
    let changed = volume.freeze().unwrap().changed(&ROOT);
    assert_eq!(changed, Some(vec![WINDOW..WINDOW + UNIT]));
    scenario.teardown();
}

#[test]
fn a_map_that_cannot_be_written_refuses_the_write_and_the_adoption() {
    let scenario = FailScenario::setup();
    let (_folder, pool, name) = pool();
    let volume = pool.create(&name, SIZE, [0; 16]).unwrap();
    volume.freeze().unwrap().adopt(ROOT).unwrap();
    volume.write_at(&[1; 512], 0).unwrap();
    let view = volume.freeze().unwrap();
    fail::cfg("disk.map.write", "return").unwrap();
    assert_eq!(kind(volume.write_at(&[2; 512], WINDOW)), ErrorKind::Io);
    assert_eq!(kind(view.adopt([2; 32])), ErrorKind::Io);
    fail::remove("disk.map.write");
    // Nothing was written, and nothing is forgotten.
    let mut bytes = [9; 512];
    volume.read_at(&mut bytes, WINDOW).unwrap();
    assert_eq!((bytes, volume.base()), ([0; 512], Some(ROOT)));
    volume.write_at(&[2; 512], 5 * UNIT).unwrap();
    let changed = volume.freeze().unwrap().changed(&ROOT);
    assert_eq!(changed, Some(vec![0..UNIT, 5 * UNIT..6 * UNIT]));
    drop(volume);
    let volume = pool.open_volume(&name).unwrap();
    let changed = volume.freeze().unwrap().changed(&ROOT);
    assert_eq!(changed, Some(vec![0..UNIT, 5 * UNIT..6 * UNIT]));
    scenario.teardown();
}
