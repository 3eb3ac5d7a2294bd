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
}
