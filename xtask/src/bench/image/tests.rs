use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;

use super::*;

const PERMILLE: u64 = 20;

fn made(wanted: &[Name], seed: u64) -> (tempfile::TempDir, Images) {
    let folder = tempfile::tempdir().unwrap();
    let images = Images::make(wanted, PERMILLE, seed, folder.path()).unwrap();
    (folder, images)
}

fn bytes(images: &Images, name: Name) -> Vec<u8> {
    std::fs::read(images.path(name)).unwrap()
}

/// Distinct blocks of a size that are not zero.
fn distinct(bytes: &[u8], size: usize) -> HashSet<[u8; 32]> {
    let blocks = bytes.chunks_exact(size).filter(|block| block.iter().any(|byte| *byte != 0));
    blocks.map(|block| *blake3::hash(block).as_bytes()).collect()
}

fn percent(part: usize, whole: usize) -> usize {
    part * 100 / whole
}

#[test]
fn the_seed_decides_the_bytes() {
    let all = [Name::D0, Name::D1, Name::D2, Name::R, Name::Z];
    let (_kept, first) = made(&all, 7);
    let (_kept, again) = made(&all, 7);
    let (_kept, other) = made(&all, 8);
    for name in all {
        compare(&first.path(name), &again.path(name)).unwrap();
        assert!(compare(&first.path(name), &other.path(name)).is_err(), "{name:?}");
    }
}

#[test]
fn the_bytes_never_change() {
    // A new hash makes older figures incomparable: change the generator only for a reason.
    let (_kept, images) = made(&[Name::D0, Name::D2], 1);
    let hash = |name| blake3::hash(&bytes(&images, name)).to_hex().as_str()[..16].to_owned();
    let all = [Name::D0, Name::D1, Name::D2].map(hash);
    assert_eq!(all, ["d068b9bee49722c7", "a2094b439e13decf", "656d51f6a2337718"]);
}

#[test]
fn a_disk_is_two_thirds_full_and_shrinks_as_real_ones_do() {
    let (_kept, images) = made(&[Name::D0], 1);
    let size = images.size(Name::D0).unwrap();
    let used = images.changes.used;
    assert!((60..=72).contains(&(used * 100 / size)), "{used} of {size}");
    let allocated = std::fs::metadata(images.path(Name::D0)).unwrap().blocks() * 512;
    assert!(allocated < used + (4 << 20), "{allocated} for {used}");
}

#[test]
fn a_day_changes_single_blocks_all_over_the_disk() {
    let (_kept, images) = made(&[Name::D0], 1);
    let Changes { used, in_4k, in_64k, in_4m } = images.changes;
    let permille = [in_4k, in_64k, in_4m].map(|bytes| bytes * 1000 / used);
    assert!((30..=42).contains(&permille[0]), "{permille:?}");
    assert!((65..=100).contains(&permille[1]), "{permille:?}");
    assert!(permille[2] > permille[1] * 3 / 2, "{permille:?}");
}

#[test]
fn the_list_of_changes_is_exact() {
    let (_kept, images) = made(&[Name::D0], 1);
    let (mut before, after) = (bytes(&images, Name::D0), bytes(&images, Name::D1));
    let list = std::fs::read_to_string(images.list()).unwrap();
    let hints: serde_json::Value =
        serde_json::from_slice(&std::fs::read(images.hints()).unwrap()).unwrap();
    let hints = hints.as_array().unwrap();
    assert_eq!(list.lines().count(), hints.len());
    let mut total = 0;
    for (line, hint) in list.lines().zip(hints) {
        let number = |name: &str| usize::try_from(hint[name].as_u64().unwrap()).unwrap();
        let (offset, length) = (number("offset"), number("length"));
        assert_eq!(line, format!("{offset} {length}"));
        assert_eq!(hint["exists"], "true");
        let range = offset..offset + length;
        for (old, new) in before[range.clone()].chunks(64 << 10).zip(after[range].chunks(64 << 10))
        {
            assert!(old != new);
        }
        before[offset..offset + length].copy_from_slice(&after[offset..offset + length]);
        total += length as u64;
    }
    assert!(before == after);
    assert_eq!(total, images.changes.in_64k);
}

#[test]
fn a_sibling_has_the_same_files_at_other_places() {
    let (_kept, images) = made(&[Name::D0, Name::D2], 1);
    let (first, sibling) = (bytes(&images, Name::D0), bytes(&images, Name::D2));
    let shared = |size| {
        let (known, own) = (distinct(&first, size), distinct(&sibling, size));
        percent(own.intersection(&known).count(), own.len())
    };
    assert!((60..=73).contains(&shared(4096)), "{}", shared(4096));
    assert!(shared(64 << 10) <= 3, "{}", shared(64 << 10));
}

#[test]
fn a_disk_holds_some_files_twice() {
    let (_kept, images) = made(&[Name::D0], 1);
    let bytes = bytes(&images, Name::D0);
    let used = usize::try_from(images.changes.used).unwrap() / 4096;
    let once = distinct(&bytes, 4096).len();
    assert!((1..=4).contains(&percent(used - once, used)), "{once} of {used}");
}

#[test]
fn the_sparse_disk_is_large_and_nearly_empty() {
    let (_kept, images) = made(&[Name::Z], 1);
    let size = images.size(Name::Z).unwrap();
    assert_eq!(size, Scale { permille: PERMILLE, seed: 1 }.bytes(SPARSE) >> 20 << 20);
    let allocated = std::fs::metadata(images.path(Name::Z)).unwrap().blocks() * 512;
    assert!(allocated * 50 < size, "{allocated} of {size}");
}

#[test]
fn comparison_sees_one_byte_and_one_length() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut bytes = vec![7; 9 << 20];
    std::fs::write(path("a"), &bytes).unwrap();
    std::fs::write(path("b"), &bytes).unwrap();
    compare(&path("a"), &path("b")).unwrap();
    bytes[(9 << 20) - 1] = 8;
    std::fs::write(path("b"), &bytes).unwrap();
    assert!(compare(&path("a"), &path("b")).is_err());
    std::fs::write(path("b"), &bytes[..8 << 20]).unwrap();
    assert!(compare(&path("a"), &path("b")).is_err());
    // A hole equals zeros and nothing else.
    let hole = File::create(path("c")).unwrap();
    hole.set_len(9 << 20).unwrap();
    std::fs::write(path("b"), vec![0; 9 << 20]).unwrap();
    compare(&path("b"), &path("c")).unwrap();
    assert!(compare(&path("a"), &path("c")).is_err());
}
