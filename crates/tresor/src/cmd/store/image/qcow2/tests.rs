use std::os::unix::fs::FileExt;

use tempfile::TempDir;

use super::super::{Format, create, open};
use super::*;

/// Bytes of an image, and where they go.
type Patch<'a> = (u64, &'a [u8]);

/// An image of 1 MiB with some bytes, in a folder, with changes to its file.
fn made(folder: &TempDir, name: &str, patches: &[Patch]) -> PathBuf {
    let path = folder.path().join(name);
    let out = create(&path, Format::Qcow2, 1 << 20).unwrap();
    out.write_at(&[7; 70_000], 0).unwrap();
    out.keep().unwrap();
    patch(&path, patches);
    path
}

fn patch(path: &Path, patches: &[Patch]) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    patches.iter().for_each(|(at, bytes)| file.write_all_at(bytes, *at).unwrap());
}

/// What is said about an image that is refused as one that the caller named wrongly.
fn refused(path: &Path, backing: bool) -> String {
    let error = open(path, None, backing).err().unwrap();
    assert!(Usage::is_in(&error), "{error:#}");
    format!("{error:#}")
}

/// Makes an image read through another one.
const OVER: [Patch; 3] = [(8, &4096u64.to_be_bytes()), (16, &[0, 0, 0, 10]), (4096, b"base.qcow2")];

#[test]
fn an_encrypted_image_is_refused_and_kept_as_it_is_when_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let over = made(&folder, "over.qcow2", &OVER);
    for method in [1, 2] {
        let path = made(&folder, "base.qcow2", &[(32, &[0, 0, 0, method])]);
        for said in [refused(&path, false), refused(&over, true)] {
            assert!(said.contains("encrypted") && said.contains("--format raw"), "{said}");
            assert!(!said.contains("--allow-backing"), "{said}");
        }
        assert!(open(&path, Some(Format::Raw), false).unwrap().len() > 70_000);
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn features_that_are_not_understood_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for (bit, named) in ["not closed", "corrupt", "external", "zlib", "L2"].iter().enumerate() {
        let path = made(&folder, "disk.qcow2", &[(79, &[1 << bit])]);
        let said = refused(&path, false);
        assert!(said.contains(named) && !said.contains("--allow-backing"), "{said}");
        fs::remove_file(path).unwrap();
    }
    for (version, what) in [(1, "version 1"), (4, "version 4")] {
        let path = made(&folder, "disk.qcow2", &[(7, &[version])]);
        assert!(refused(&path, false).contains(what));
        fs::remove_file(path).unwrap();
    }
    fs::write(folder.path().join("empty.qcow2"), b"").unwrap();
    assert!(refused(&folder.path().join("empty.qcow2"), false).contains("too short"));
}

#[test]
fn other_files_are_read_only_where_that_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    made(&folder, "base.qcow2", &[]);
    // An overlay without clusters of its own.
    let over = made(&folder, "over.qcow2", &OVER);
    let said = refused(&over, false);
    assert!(said.contains("base.qcow2") && said.contains("--allow-backing"), "{said}");
    assert_eq!(open(&over, None, true).unwrap().len(), 1 << 20);
    fs::remove_file(folder.path().join("base.qcow2")).unwrap();
    fs::create_dir(folder.path().join("base.qcow2")).unwrap();
    assert!(refused(&over, true).contains("a folder"));
}

/// A number in an image's file.
fn number(path: &Path, at: u64) -> u64 {
    let mut bytes = [0; 8];
    fs::File::open(path).unwrap().read_exact_at(&mut bytes, at).unwrap();
    u64::from_be_bytes(bytes)
}

/// All bytes of the disk, if the image is not refused.
fn contents(path: &Path) -> Option<Vec<u8>> {
    let image = Qcow2Image::open(path, false).ok()?;
    let mut bytes = vec![1; image.len() as usize];
    image.read_at(&mut bytes, 0).unwrap();
    Some(bytes)
}

#[test]
fn an_image_is_refused_where_its_end_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = made(&folder, "disk.qcow2", &[]);
    let mut expected = vec![0; 1 << 20];
    expected[..70_000].fill(7);
    let whole = fs::metadata(&path).unwrap().len();
    assert!(contents(&path).unwrap() == expected);
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let mut refused_at = Vec::new();
    for len in std::iter::once(whole - 1).chain((0..whole).rev().step_by(1000)) {
        file.set_len(len).unwrap();
        match contents(&path) {
            None => refused_at.push(len),
            Some(found) => assert!(found == expected, "cut off at {len}"),
        }
    }
    assert_eq!(refused_at[0], whole - 1, "the data is last");
    assert!(refused_at.len() as u64 > whole / 1000, "and tables are before it");
    fs::remove_file(&path).unwrap();
    let over = made(&folder, "over.qcow2", &OVER);
    let below = made(&folder, "base.qcow2", &[]);
    fs::OpenOptions::new().write(true).open(&below).unwrap().set_len(whole - 1).unwrap();
    for said in [refused(&below, false), refused(&over, true)] {
        assert!(said.contains("cut off"), "{said}");
    }
}

#[test]
fn tables_behind_the_end_are_not_taken_for_zeros() {
    let folder = tempfile::tempdir().unwrap();
    let far = (1u64 << 40).to_be_bytes();
    for (what, at) in [("first level", 40), ("reference counts", 48)] {
        let path = made(&folder, "disk.qcow2", &[(at, &far)]);
        assert!(refused(&path, false).contains("cut off"), "{what}");
        fs::remove_file(path).unwrap();
    }
    let path = made(&folder, "disk.qcow2", &[]);
    let first_level = number(&path, 40);
    patch(&path, &[(first_level, &far)]);
    assert!(refused(&path, false).contains("cut off"));
    patch(&path, &[(36, &[0; 4])]);
    assert!(refused(&path, false).contains("too small"));
}

#[test]
fn compressed_data_may_end_with_the_file_but_not_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = made(&folder, "disk.qcow2", &[]);
    // Clusters have 64 KiB; the fourth is compressed, as two blocks that are only stored.
    let bytes: Vec<u8> = (0..65_536u32).map(|n| (n % 251) as u8).collect();
    let (first, rest) = bytes.split_at(65_535);
    let data = [&[0, 0xff, 0xff, 0, 0], first, &[1, 1, 0, 0xfe, 0xff], rest].concat();
    let place = fs::metadata(&path).unwrap().len() + 100;
    let sectors = (place + data.len() as u64).div_ceil(512) - place / 512;
    let entry = 1 << 62 | (sectors - 1) << 54 | place;
    let second_level = number(&path, number(&path, 40)) & 0x00ff_ffff_ffff_fe00;
    patch(&path, &[(second_level + 3 * 8, &entry.to_be_bytes()), (place, &data)]);
    assert!(!fs::metadata(&path).unwrap().len().is_multiple_of(512));
    assert!(contents(&path).unwrap()[3 << 16..4 << 16] == bytes);
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(place + data.len() as u64 - 512).unwrap();
    assert!(refused(&path, false).contains("cut off"));
}

#[test]
fn an_image_is_made_of_whole_sectors() {
    let folder = tempfile::tempdir().unwrap();
    for (size, sectors) in [(0, 0), (1, 1), (511, 1), (512, 1), (70_001, 137)] {
        let path = folder.path().join(format!("{size}.qcow2"));
        let out = create(&path, Format::Qcow2, size).unwrap();
        out.write_at(&vec![7; size as usize], 0).unwrap();
        out.keep().unwrap();
        assert_eq!(number(&path, 24), sectors * 512);
        let mut expected = vec![7; size as usize];
        expected.resize(sectors as usize * 512, 0);
        assert!(contents(&path).unwrap() == expected, "{size}");
    }
    assert!(create(&folder.path().join("huge.qcow2"), Format::Qcow2, u64::MAX).is_err());
    assert!(!folder.path().join("huge.qcow2").exists());
}
