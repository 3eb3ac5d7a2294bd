use std::fs;

use super::*;

struct Fixture {
    session: Session,
    folder: TempDir,
}

impl Fixture {
    fn new() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        Fixture { session: Session::new().unwrap(), folder }
    }

    fn place(&self) -> Place {
        Place {
            store: Target::Folder(self.folder.path().join("store")),
            key_file: Some(self.folder.path().join("key")),
            json: true,
        }
    }

    fn backup(&self, bytes: &[u8], parent: Option<&str>, changed: Option<&str>) -> Result<String> {
        let image = self.folder.path().join("image");
        fs::write(&image, bytes).unwrap();
        let changed = changed.map(|text| {
            let path = self.folder.path().join("changed");
            fs::write(&path, text).unwrap();
            path
        });
        let known = self.points();
        let parent = parent.map(str::to_owned);
        backup(&self.session, &BackupArgs { place: self.place(), image, parent, changed })?;
        Ok(self.points().into_iter().find(|point| !known.contains(point)).unwrap())
    }

    fn restore(&self, point: &str) -> Result<Vec<u8>> {
        let out = self.folder.path().join(format!("out-{point}"));
        let args = RestoreArgs { place: self.place(), point: point.to_owned(), out: out.clone() };
        restore(&self.session, &args)?;
        let bytes = fs::read(&out).unwrap();
        fs::remove_file(&out).unwrap();
        Ok(bytes)
    }

    fn points(&self) -> Vec<String> {
        let store = self.session.open(&self.place()).unwrap();
        store.points().unwrap().iter().map(|record| record.key.to_string()).collect()
    }
}

fn bytes(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

#[test]
fn what_is_backed_up_comes_back() {
    let fixture = Fixture::new();
    init(&fixture.session, &fixture.place()).unwrap();
    let mut disk = bytes(3 << 20);
    disk[1 << 20..2 << 20].fill(0);
    let first = fixture.backup(&disk, None, None).unwrap();
    let before = disk.clone();
    disk[8192..12288].fill(9);
    let second = fixture.backup(&disk, Some(&first), Some("8192 4096\n")).unwrap();
    let third = fixture.backup(&disk, Some(&second), None).unwrap();
    assert!(fixture.restore(&first).unwrap() == before);
    assert!(fixture.restore(&second).unwrap() == disk);
    assert!(fixture.restore(&third).unwrap() == disk);
    list(&fixture.session, &fixture.place()).unwrap();
    assert_eq!(fixture.points().len(), 3);
}

#[test]
fn a_list_of_changes_is_believed() {
    // Otherwise the list would not save any reading.
    let fixture = Fixture::new();
    init(&fixture.session, &fixture.place()).unwrap();
    let disk = bytes(1 << 20);
    let first = fixture.backup(&disk, None, None).unwrap();
    let second = fixture.backup(&vec![1; 1 << 20], Some(&first), Some("")).unwrap();
    assert!(fixture.restore(&second).unwrap() == disk);
}

#[test]
fn what_is_not_there_is_a_usage_error() {
    let fixture = Fixture::new();
    let usage = |error: anyhow::Error| Usage::is_in(&error);
    let missing = "0".repeat(32);
    assert!(usage(list(&fixture.session, &fixture.place()).unwrap_err()));
    init(&fixture.session, &fixture.place()).unwrap();
    assert!(usage(fixture.restore(&missing).unwrap_err()));
    assert!(usage(fixture.restore("short").unwrap_err()));
    assert!(usage(fixture.backup(&[1; 512], Some(&missing), None).unwrap_err()));
    assert!(!fixture.folder.path().join(format!("out-{missing}")).exists());
}

#[test]
fn a_store_is_made_once() {
    let fixture = Fixture::new();
    init(&fixture.session, &fixture.place()).unwrap();
    assert!(init(&fixture.session, &fixture.place()).is_err());
}

#[test]
fn another_key_does_not_open_a_store() {
    let fixture = Fixture::new();
    init(&fixture.session, &fixture.place()).unwrap();
    fs::write(fixture.folder.path().join("key"), [1; 32]).unwrap();
    assert!(list(&fixture.session, &fixture.place()).is_err());
}
