//! Raw images: only regular files in allowed folders are opened.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::fs;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use tempfile::TempDir;
use tresor_disk::ErrorKind;
use tresor_disk::image::raw::RawImage;

/// `images/disk.raw` in an allowed folder, `secret` beside it.
fn folders() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("images/inner")).unwrap();
    fs::write(root.path().join("images/inner/disk.raw"), [7; 1024]).unwrap();
    fs::write(root.path().join("secret"), "secret").unwrap();
    root
}

fn open(root: &Path, path: &str) -> Result<RawImage, ErrorKind> {
    RawImage::open(&root.join(path), &[root.join("missing"), root.join("images")])
        .map_err(|error| error.kind())
}

#[test]
fn an_allowed_image_is_read() {
    let root = folders();
    let image = open(root.path(), "images/inner/disk.raw").unwrap();
    assert_eq!(image.size(), 1024);
    let mut bytes = [0; 24];
    image.read_at(&mut bytes, 1000).unwrap();
    assert_eq!(bytes, [7; 24]);
    assert_eq!(image.read_at(&mut bytes, 1001).unwrap_err().kind(), ErrorKind::OutOfRange);
    assert_eq!(image.extents(0..u64::MAX).unwrap(), std::slice::from_ref(&(0..1024)));
}

#[test]
fn holes_are_no_extents() {
    let root = folders();
    let file = fs::File::create(root.path().join("images/sparse.raw")).unwrap();
    file.set_len(1 << 24).unwrap();
    file.write_all_at(&[1; 4096], 1 << 20).unwrap();
    let image = open(root.path(), "images/sparse.raw").unwrap();
    let extents = image.extents(0..image.size()).unwrap();
    assert_eq!(extents, std::slice::from_ref(&(1 << 20..(1 << 20) + 4096)));
}

#[test]
fn links_may_lead_inside_but_not_out() {
    let root = folders();
    let at = |path: &str| root.path().join(path);
    symlink(at("images/inner/disk.raw"), at("images/inside")).unwrap();
    symlink(at("secret"), at("images/outside")).unwrap();
    symlink(root.path(), at("images/up")).unwrap();
    assert!(open(root.path(), "images/inside").is_ok());
    for path in ["images/outside", "images/up/secret", "images/../secret", "secret"] {
        assert_eq!(open(root.path(), path).unwrap_err(), ErrorKind::Denied, "{path}");
    }
}

/// What is elsewhere and what is nowhere are refused in the same words.
#[test]
fn a_refusal_does_not_tell_what_is_elsewhere() {
    let root = folders();
    let told = |path: &str| {
        let path = root.path().join(path);
        let shown = path.display().to_string();
        let error = RawImage::open(&path, &[root.path().join("images")]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{path:?}");
        error.to_string().replace(&shown, "")
    };
    let there = told("secret");
    for path in ["none", "images/../secret", "images/../none", "images/inner/../../none"] {
        assert_eq!(told(path), there, "{path}");
    }
}

#[test]
fn only_regular_files_are_images() {
    let root = folders();
    let pipe = root.path().join("images/pipe");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).unwrap();
    for path in ["images/pipe", "images/inner", "images"] {
        assert_eq!(open(root.path(), path).unwrap_err(), ErrorKind::Denied, "{path}");
    }
    assert_eq!(open(root.path(), "images/none").unwrap_err(), ErrorKind::NotFound);
}
