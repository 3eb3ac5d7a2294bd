//! Pools: names, handles, locks, creation and removal.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::fs;
use std::sync::Arc;
use tempfile::TempDir;
use tresor_disk::{Error, ErrorKind, Pool, VolumeName};

const SIZE: u64 = 1 << 20;

fn pool() -> (TempDir, Pool) {
    let folder = tempfile::tempdir().unwrap();
    let pool = Pool::open(&folder.path().join("some/pool")).unwrap();
    (folder, pool)
}

fn name(text: &str) -> VolumeName {
    VolumeName::new(text).unwrap()
}

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn names_are_checked() {
    let longest = "a".repeat(64);
    for good in ["a", "0", "-", "disk-1", longest.as_str()] {
        assert_eq!(name(good).to_string(), good);
    }
    let long = "a".repeat(65);
    for bad in ["", "A", "a/b", "..", ".new-a", "a b", "\u{e4}", "a\0", long.as_str()] {
        assert_eq!(kind(VolumeName::new(bad)), ErrorKind::Denied, "{bad:?}");
    }
}

#[test]
fn volumes_are_created_once_listed_and_opened_as_one_handle() {
    let (_folder, pool) = pool();
    let b = pool.create(&name("b"), SIZE, [1; 16]).unwrap();
    pool.create(&name("a"), SIZE, [2; 16]).unwrap();
    assert_eq!(kind(pool.create(&name("b"), SIZE, [3; 16])), ErrorKind::Exists);
    assert_eq!(pool.names().unwrap(), [name("a"), name("b")]);
    assert!(Arc::ptr_eq(&b, &pool.open_volume(&name("b")).unwrap()));
    assert_eq!((b.size(), b.generation(), b.base()), (SIZE, [1; 16], None));
    assert_eq!(kind(pool.open_volume(&name("c"))), ErrorKind::NotFound);
}

#[test]
fn another_owner_of_the_pool_finds_an_open_volume_busy() {
    let (folder, pool) = pool();
    let volume = pool.create(&name("a"), SIZE, [1; 16]).unwrap();
    let other = Pool::open(&folder.path().join("some/pool")).unwrap();
    assert_eq!(kind(other.open_volume(&name("a"))), ErrorKind::Busy);
    drop(volume);
    other.open_volume(&name("a")).unwrap();
}

#[test]
fn a_view_outlives_the_removal_and_a_new_volume_of_the_name() {
    let (_folder, pool) = pool();
    let old = pool.create(&name("a"), SIZE, [1; 16]).unwrap();
    old.write_at(&[1; 512], 0).unwrap();
    let view = old.freeze().unwrap();
    pool.remove(&name("a")).unwrap();
    pool.remove(&name("a")).unwrap();
    assert_eq!(pool.names().unwrap(), []);
    let new = pool.create(&name("a"), SIZE, [2; 16]).unwrap();
    old.write_at(&[3; 512], 0).unwrap();
    let mut bytes = [0; 512];
    view.read_at(&mut bytes, 0).unwrap();
    assert_eq!(bytes, [1; 512]);
    new.read_at(&mut bytes, 0).unwrap();
    assert_eq!(bytes, [0; 512]);
    view.adopt([7; 32]).unwrap();
    old.flush().unwrap();
    drop(old);
    // The old handle's end has not taken the place of the new one.
    assert!(Arc::ptr_eq(&new, &pool.open_volume(&name("a")).unwrap()));
    assert_eq!((new.base(), new.generation()), (None, [2; 16]));
    assert_eq!(kind(pool.create(&name("a"), SIZE, [3; 16])), ErrorKind::Exists);
}

#[test]
fn a_removed_volume_makes_no_new_view() {
    let (_folder, pool) = pool();
    let volume = pool.create(&name("a"), SIZE, [1; 16]).unwrap();
    pool.remove(&name("a")).unwrap();
    assert_eq!(kind(volume.freeze()), ErrorKind::NotFound);
}

#[test]
fn what_is_half_made_or_half_removed_is_swept() {
    let (folder, pool) = pool();
    drop(pool);
    let path = folder.path().join("some/pool");
    for left in [".new-a", ".gone-b"] {
        fs::create_dir(path.join(left)).unwrap();
        fs::write(path.join(left).join("map"), "half").unwrap();
    }
    let pool = Pool::open(&path).unwrap();
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
    pool.create(&name("a"), SIZE, [1; 16]).unwrap();
}

#[test]
fn a_handle_that_is_being_closed_is_waited_for() {
    let (_folder, pool) = pool();
    drop(pool.create(&name("a"), SIZE, [1; 16]).unwrap());
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let pool = &pool;
            scope.spawn(move || {
                for _ in 0..40 {
                    let volume = pool.open_volume(&name("a")).unwrap();
                    volume.write_at(&[thread; 512], u64::from(thread) * 512).unwrap();
                }
            });
        }
    });
    let volume = pool.open_volume(&name("a")).unwrap();
    let mut bytes = [0; 4 * 512];
    volume.read_at(&mut bytes, 0).unwrap();
    for (thread, sector) in (0u8..).zip(bytes.chunks(512)) {
        assert!(sector.iter().all(|&byte| byte == thread));
    }
}
