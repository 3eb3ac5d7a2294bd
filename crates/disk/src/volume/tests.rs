//! What a volume believes when it is opened, its limits, and its views.
#![expect(clippy::single_range_in_vec_init, reason = "one range is what is expected")]

use crate::changed::{UNIT, WINDOW};
use crate::snapshot::Preserve;
use crate::{Error, ErrorKind, Pool, Purpose, SECTOR, Volume, VolumeName};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

const ROOT: [u8; 32] = [9; 32];
const SIZE: u64 = 2 * WINDOW;

fn name() -> VolumeName {
    VolumeName::new("disk-1").unwrap()
}

fn pool() -> (TempDir, Pool) {
    let folder = tempfile::tempdir().unwrap();
    let pool = Pool::open(folder.path()).unwrap();
    (folder, pool)
}

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.unwrap_err().kind()
}

/// A closed volume with a base and one changed unit; returns where its data is.
fn closed_with_base(pool: &Pool) -> PathBuf {
    let volume = pool.create(&name(), SIZE, [1; 16]).unwrap();
    volume.write_at(&[1; 4096], 0).unwrap();
    volume.freeze().unwrap().adopt(ROOT).unwrap();
    volume.write_at(&[2; 4096], 3 * UNIT).unwrap();
    volume.close().unwrap();
    pool.data_path(&volume)
}

fn changed(volume: &Arc<Volume>) -> Option<Vec<std::ops::Range<u64>>> {
    let view = volume.freeze().unwrap();
    let changed = view.changed(&ROOT);
    view.abandon();
    changed
}

#[test]
fn a_clean_close_keeps_the_exact_marks() {
    let (_folder, pool) = pool();
    closed_with_base(&pool);
    let volume = pool.open_volume(&name()).unwrap();
    assert_eq!(volume.base(), Some(ROOT));
    assert_eq!(changed(&volume), Some(vec![3 * UNIT..4 * UNIT]));
}

#[test]
fn a_kill_leaves_whole_windows_where_nothing_was_flushed() {
    let (_folder, pool) = pool();
    closed_with_base(&pool);
    let volume = pool.open_volume(&name()).unwrap();
    volume.write_at(&[3; 512], WINDOW + UNIT).unwrap();
    volume.crash();
    drop(volume);
    let volume = pool.open_volume(&name()).unwrap();
    assert_eq!(changed(&volume), Some(vec![3 * UNIT..4 * UNIT, WINDOW..2 * WINDOW]));
}

#[test]
fn a_kill_leaves_exact_marks_where_the_second_flush_found_no_new_write() {
    let (_folder, pool) = pool();
    closed_with_base(&pool);
    let volume = pool.open_volume(&name()).unwrap();
    volume.write_at(&[3; 512], WINDOW + UNIT).unwrap();
    volume.flush().unwrap();
    volume.flush().unwrap();
    volume.crash();
    drop(volume);
    let volume = pool.open_volume(&name()).unwrap();
    let marked = vec![3 * UNIT..4 * UNIT, WINDOW + UNIT..WINDOW + 2 * UNIT];
    assert_eq!(changed(&volume), Some(marked));
}

#[test]
fn an_intent_of_before_the_freeze_does_not_outlive_the_adoption() {
    let (_folder, pool) = pool();
    let volume = pool.create(&name(), SIZE, [1; 16]).unwrap();
    // As when a write comes between the settling of a freeze and the freeze.
    volume.write_at(&[1; 512], WINDOW).unwrap();
    let preserve = Arc::new(Preserve::new(volume.side_file().unwrap(), SIZE));
    let marks = volume.tracker().freeze(Purpose::Backup, &preserve).unwrap();
    volume.adopt(ROOT, SIZE).unwrap();
    volume.release(&marks, &preserve);
    volume.write_at(&[2; 512], WINDOW).unwrap();
    volume.crash();
    drop(volume);
    let volume = pool.open_volume(&name()).unwrap();
    assert_eq!(changed(&volume), Some(vec![WINDOW..2 * WINDOW]));
}

#[test]
fn data_changed_behind_our_back_has_no_base() {
    let (_folder, pool) = pool();
    let path = closed_with_base(&pool);
    let data = OpenOptions::new().write(true).open(path).unwrap();
    data.write_all_at(&[5; 512], WINDOW).unwrap();
    drop(data);
    for _ in 0..2 {
        let volume = pool.open_volume(&name()).unwrap();
        assert_eq!((volume.base(), changed(&volume)), (None, None));
    }
}

#[test]
fn data_copied_from_elsewhere_has_no_base() {
    let (_folder, pool) = pool();
    let path = closed_with_base(&pool);
    let copy = path.with_extension("copy");
    fs::copy(&path, &copy).unwrap();
    fs::rename(copy, path).unwrap();
    let volume = pool.open_volume(&name()).unwrap();
    assert_eq!(volume.base(), None);
    let mut bytes = [0; 512];
    volume.read_at(&mut bytes, 3 * UNIT).unwrap();
    assert_eq!(bytes, [2; 512]);
}

#[test]
fn data_of_another_length_has_no_base() {
    let (_folder, pool) = pool();
    let path = closed_with_base(&pool);
    let data = OpenOptions::new().write(true).open(path).unwrap();
    data.set_len(WINDOW).unwrap();
    let volume = pool.open_volume(&name()).unwrap();
    assert_eq!((volume.size(), volume.base()), (WINDOW, None));
    drop(volume);
    data.set_len(WINDOW + 1).unwrap();
    assert_eq!(kind(pool.open_volume(&name())), ErrorKind::Corrupt);
}

#[test]
fn a_base_that_was_dropped_does_not_come_back() {
    let (_folder, pool) = pool();
    let path = closed_with_base(&pool);
    let volume = pool.open_volume(&name()).unwrap();
    volume.write_at(&[3; 512], 0).unwrap();
    volume.crash();
    drop(volume);
    let data = OpenOptions::new().write(true).open(path).unwrap();
    data.set_len(WINDOW).unwrap();
    let volume = pool.open_volume(&name()).unwrap();
    assert_eq!(volume.base(), None);
    volume.crash();
    drop(volume);
    data.set_len(SIZE).unwrap();
    assert_eq!(pool.open_volume(&name()).unwrap().base(), None);
}

#[test]
fn data_of_another_generation_has_no_base() {
    let (_folder, pool) = pool();
    let path = closed_with_base(&pool);
    fs::rename(&path, path.with_file_name(super::data_name(&[2; 16]))).unwrap();
    let volume = pool.open_volume(&name()).unwrap();
    assert_eq!((volume.generation(), volume.base()), ([2; 16], None));
}

fn damage(path: &std::path::Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

#[test]
fn a_damaged_map_never_marks_less() {
    let (folder, pool) = pool();
    let map = closed_with_base(&pool).with_file_name("map");
    let sound = fs::read(&map).unwrap();
    let (mut exact, mut coarse) = (0, 0);
    for at in (0..sound.len() as u64).filter(|at| at % 4096 < 600).step_by(8) {
        damage(&map, at);
        // A pool of its own each time, so that nothing is remembered.
        let pool = Pool::open(folder.path()).unwrap();
        let volume = pool.open_volume(&name()).unwrap();
        // A damaged header leaves the one before it, of the same base and records.
        assert_eq!(volume.base(), Some(ROOT));
        match changed(&volume).unwrap().as_slice() {
            [marks] if *marks == (3 * UNIT..4 * UNIT) => exact += 1,
            [marks] if *marks == (0..WINDOW) => coarse += 1,
            other => panic!("byte {at}: {other:?}"),
        }
        volume.crash();
        drop(volume);
        fs::write(&map, &sound).unwrap();
    }
    assert_eq!((exact, coarse), (2 * 600 / 8, 64 / 8));
}

#[test]
fn a_map_without_a_sound_header_has_no_base() {
    let (_folder, pool) = pool();
    let map = closed_with_base(&pool).with_file_name("map");
    damage(&map, 100);
    damage(&map, 4096 + 100);
    for _ in 0..2 {
        let volume = pool.open_volume(&name()).unwrap();
        assert_eq!((volume.base(), changed(&volume)), (None, None));
    }
}

#[test]
fn a_missing_map_means_that_everything_is_read() {
    let (_folder, pool) = pool();
    let path = closed_with_base(&pool);
    fs::remove_file(path.with_file_name("map")).unwrap();
    let volume = pool.open_volume(&name()).unwrap();
    assert_eq!((volume.base(), volume.generation()), (None, [1; 16]));
    volume.freeze().unwrap().adopt(ROOT).unwrap();
    drop(volume);
    assert_eq!(pool.open_volume(&name()).unwrap().base(), Some(ROOT));
}

#[test]
fn ranges_and_sizes_are_checked() {
    let (_folder, pool) = pool();
    assert_eq!(kind(pool.create(&name(), 0, [0; 16])), ErrorKind::OutOfRange);
    assert_eq!(kind(pool.create(&name(), 513, [0; 16])), ErrorKind::Unaligned);
    assert_eq!(kind(pool.create(&name(), u64::MAX, [0; 16])), ErrorKind::OutOfRange);
    let volume = pool.create(&name(), SIZE, [0; 16]).unwrap();
    let mut bytes = [0; 2];
    assert_eq!(kind(volume.read_at(&mut bytes, SIZE - 1)), ErrorKind::OutOfRange);
    assert_eq!(kind(volume.write_at(&bytes, u64::MAX)), ErrorKind::OutOfRange);
    assert_eq!(kind(volume.clear(0..SIZE + 1)), ErrorKind::OutOfRange);
    let reversed = std::ops::Range { start: 2, end: 1 };
    assert_eq!(kind(volume.clear(reversed)), ErrorKind::OutOfRange);
    assert_eq!(kind(volume.grow(SIZE - SECTOR)), ErrorKind::OutOfRange);
    assert_eq!(kind(volume.grow(SIZE + 1)), ErrorKind::Unaligned);
    volume.grow(SIZE).unwrap();
    volume.write_at(&[], SIZE).unwrap();
    let view = volume.freeze().unwrap();
    assert_eq!(kind(view.read_at(&mut bytes, SIZE - 1)), ErrorKind::OutOfRange);
    assert_eq!(volume.size(), SIZE);
}

#[test]
fn any_alignment_is_accepted() {
    let (_folder, pool) = pool();
    let volume = pool.create(&name(), SIZE, [0; 16]).unwrap();
    volume.write_at(&[7; 1000], UNIT - 3).unwrap();
    let view = volume.freeze_for(Purpose::Copy).unwrap();
    volume.clear(UNIT - 1..UNIT + 2).unwrap();
    let mut now = [9; 8];
    volume.read_at(&mut now, UNIT - 5).unwrap();
    assert_eq!(now, [0, 0, 7, 7, 0, 0, 0, 7]);
    view.read_at(&mut now, UNIT - 5).unwrap();
    assert_eq!(now, [0, 0, 7, 7, 7, 7, 7, 7]);
}

#[test]
fn a_clear_gives_space_back() {
    let (_folder, pool) = pool();
    let volume = pool.create(&name(), SIZE, [0; 16]).unwrap();
    volume.write_at(&vec![7; 4 * UNIT as usize], WINDOW).unwrap();
    assert_eq!(volume.extents(0..SIZE).unwrap(), [WINDOW..WINDOW + 4 * UNIT]);
    volume.clear(WINDOW + UNIT..WINDOW + 2 * UNIT).unwrap();
    let left = [WINDOW..WINDOW + UNIT, WINDOW + 2 * UNIT..WINDOW + 4 * UNIT];
    assert_eq!(volume.extents(0..SIZE).unwrap(), left);
}

#[test]
fn a_large_disk_is_cleared_and_viewed_by_its_extents() {
    let (_folder, pool) = pool();
    let size = 64 << 30;
    let volume = pool.create(&name(), size, [0; 16]).unwrap();
    volume.write_at(&[7; 512], size - 512).unwrap();
    volume.freeze().unwrap().adopt(ROOT).unwrap();
    let view = volume.freeze().unwrap();
    volume.clear(0..size).unwrap();
    assert_eq!(volume.extents(0..size).unwrap(), []);
    let allocated = view.allocated(0..size).unwrap();
    assert_eq!(allocated.len(), 1);
    assert!(allocated[0].start >= size - UNIT && allocated[0].end == size);
    let mut bytes = [0; 512];
    view.read_at(&mut bytes, size - 512).unwrap();
    assert_eq!(bytes, [7; 512]);
    view.adopt([8; 32]).unwrap();
    let view = volume.freeze().unwrap();
    assert_eq!(view.changed(&[8; 32]), Some(vec![0..size]));
}

#[test]
fn bytes_read_are_counted() {
    let (_folder, pool) = pool();
    let volume = pool.create(&name(), SIZE, [0; 16]).unwrap();
    let view = volume.freeze().unwrap();
    let mut bytes = [0; 1000];
    view.read_at(&mut bytes, 5).unwrap();
    view.read_at(&mut bytes[..24], 5).unwrap();
    assert_eq!(view.bytes_read(), 1024);
}

#[test]
fn a_range_that_was_given_up_is_not_read_again() {
    let (_folder, pool) = pool();
    let volume = pool.create(&name(), SIZE, [0; 16]).unwrap();
    let view = volume.freeze().unwrap();
    view.read_done(UNIT / 2..3 * UNIT + 1);
    let mut bytes = [0; 512];
    view.read_at(&mut bytes, 0).unwrap();
    view.read_at(&mut bytes, 3 * UNIT).unwrap();
    assert_eq!(kind(view.read_at(&mut bytes, UNIT)), ErrorKind::OutOfRange);
    assert_eq!(kind(view.read_at(&mut bytes, 3 * UNIT - 1)), ErrorKind::OutOfRange);
}

#[test]
fn views_are_bounded_and_only_one_is_for_a_backup() {
    let (_folder, pool) = pool();
    let volume = pool.create(&name(), SIZE, [0; 16]).unwrap();
    let backup = volume.freeze().unwrap();
    assert_eq!(kind(volume.freeze()), ErrorKind::Busy);
    let copies: Vec<_> =
        (1..crate::MAX_VIEWS).map(|_| volume.freeze_for(Purpose::Copy).unwrap()).collect();
    assert_eq!(kind(volume.freeze_for(Purpose::Copy)), ErrorKind::Busy);
    drop(backup);
    let backup = volume.freeze().unwrap();
    for copy in copies {
        assert_eq!(copy.changed(&ROOT), None);
        assert_eq!(kind(copy.adopt(ROOT)), ErrorKind::Denied);
    }
    assert_eq!(kind(volume.freeze()), ErrorKind::Busy);
    backup.adopt(ROOT).unwrap();
    assert_eq!(volume.base(), Some(ROOT));
}

#[test]
fn growth_under_a_view_is_marked_for_the_next() {
    let (_folder, pool) = pool();
    let size = 3 * UNIT + SECTOR;
    let volume = pool.create(&name(), size, [0; 16]).unwrap();
    volume.write_at(&[1; 512], 3 * UNIT).unwrap();
    let view = volume.freeze().unwrap();
    volume.grow(5 * UNIT).unwrap();
    volume.write_at(&[2; 1024], 3 * UNIT).unwrap();
    assert_eq!((view.size(), volume.size()), (size, 5 * UNIT));
    let mut bytes = [0; 512];
    view.read_at(&mut bytes, 3 * UNIT).unwrap();
    assert_eq!(bytes, [1; 512]);
    view.adopt(ROOT).unwrap();
    assert_eq!(changed(&volume), Some(vec![3 * UNIT..5 * UNIT]));
}

#[test]
fn a_map_of_a_newer_version_is_refused_and_kept() {
    let (_folder, pool) = pool();
    let map = closed_with_base(&pool).with_file_name("map");
    let mut bytes = fs::read(&map).unwrap();
    for at in [0, 4096] {
        bytes[at + 8] = 9;
        let check = crc32fast::hash(&bytes[at..at + 508]).to_le_bytes();
        bytes[at + 508..at + 512].copy_from_slice(&check);
    }
    fs::write(&map, &bytes).unwrap();
    assert_eq!(kind(pool.open_volume(&name())), ErrorKind::Corrupt);
    assert_eq!(fs::read(&map).unwrap(), bytes);
}

#[test]
fn a_side_file_left_by_a_crash_is_swept() {
    let (_folder, pool) = pool();
    let left = closed_with_base(&pool).with_file_name("side-0");
    File::create(&left).unwrap();
    let volume = pool.open_volume(&name()).unwrap();
    assert!(!left.exists());
    volume.freeze().unwrap();
}
