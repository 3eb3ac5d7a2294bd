//! Objects in a local folder.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod rig;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::TryStreamExt;
use object_store::path::Path as Location;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use rig::{Rig, ingest, patterned, restore, small};
use tempfile::TempDir;
use tresor_store::durable::{Disk, Files, Written};
use tresor_store::{ErrorKind, LocalObjects};
use tresor_testkit::{Memory, Rng};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

fn create(store: &LocalObjects, name: &str, bytes: &[u8]) -> Result<(), Error> {
    let payload = PutPayload::from(bytes.to_vec());
    let options = PutOptions::from(PutMode::Create);
    runtime().block_on(store.put_opts(&Location::from(name), payload, options)).map(|_| ())
}

fn names(store: &LocalObjects, prefix: Option<&str>) -> Vec<String> {
    let prefix = prefix.map(Location::from);
    let listed: Vec<_> = runtime().block_on(store.list(prefix.as_ref()).try_collect()).unwrap();
    let mut names: Vec<_> = listed.into_iter().map(|meta| meta.location.to_string()).collect();
    names.sort_unstable();
    names
}

#[test]
fn objects_are_created_once_read_in_parts_listed_and_deleted() {
    let dir = TempDir::new().unwrap();
    let store = LocalObjects::open(&dir.path().join("objects")).unwrap();
    create(&store, "a/b/one", b"0123456789").unwrap();
    create(&store, "a/two", b"").unwrap();
    create(&store, "c", b"x").unwrap();
    assert!(matches!(create(&store, "a/b/one", b"other"), Err(Error::AlreadyExists { .. })));
    assert_eq!(names(&store, None), ["a/b/one", "a/two", "c"]);
    assert_eq!(names(&store, Some("a")), ["a/b/one", "a/two"]);
    assert_eq!(names(&store, Some("nothing")), Vec::<String>::new());
    let (rt, one) = (runtime(), Location::from("a/b/one"));
    assert_eq!(rt.block_on(store.get_range(&one, 3..6)).unwrap(), "345");
    assert_eq!(rt.block_on(store.head(&one)).unwrap().size, 10);
    assert!(rt.block_on(store.get_range(&one, 30..31)).is_err());
    rt.block_on(store.put(&one, "new".into())).unwrap();
    let whole = rt.block_on(async { store.get(&one).await.unwrap().bytes().await.unwrap() });
    assert_eq!(whole, "new");
    let listed = rt.block_on(store.list_with_delimiter(Some(&Location::from("a")))).unwrap();
    assert_eq!((listed.objects.len(), listed.common_prefixes.len()), (1, 1));
    rt.block_on(store.delete(&one)).unwrap();
    rt.block_on(store.delete(&one)).unwrap();
    assert!(matches!(rt.block_on(store.get(&one)), Err(Error::NotFound { .. })));
    assert!(create(&store, ".staging/x", b"").is_err(), "the staging folder is not for objects");
}

#[test]
fn leftovers_of_a_crash_are_swept_and_those_of_the_living_are_not() {
    let dir = TempDir::new().unwrap();
    let alive = LocalObjects::open(dir.path()).unwrap();
    create(&alive, "x", b"1").unwrap();
    let staging = dir.path().join(".staging");
    let entries = || std::fs::read_dir(&staging).unwrap().count();
    let dead = staging.join("1-0");
    std::fs::create_dir(&dead).unwrap();
    std::fs::write(dead.join("lock"), "").unwrap();
    std::fs::write(dead.join("7"), "half").unwrap();
    assert_eq!(entries(), 2);
    let other = LocalObjects::open(dir.path()).unwrap();
    assert_eq!(entries(), 1, "the dead one went, and who only reads needs none");
    create(&other, "y", b"2").unwrap();
    create(&alive, "z", b"3").unwrap();
    assert_eq!(entries(), 2);
    assert_eq!(names(&alive, None), ["x", "y", "z"]);
    drop((alive, other));
    assert_eq!(entries(), 0);
}

#[test]
fn a_store_lives_in_a_local_folder() {
    let dir = TempDir::new().unwrap();
    let rig = Rig::on(Arc::new(LocalObjects::open(dir.path()).unwrap()), 3);
    let disk = patterned(&mut Rng::new(1), 800 << 10);
    let store = rig.init(small());
    ingest(&store, 1, None, &Memory::sparse(disk.clone()), None).unwrap();
    drop(store);
    let again = Rig::on(Arc::new(LocalObjects::open(dir.path()).unwrap()), 4);
    let store = again.open().unwrap();
    assert!(restore(&store, 1).unwrap() == disk);
    drop(store);
    // The same folder as a cache, used a second time.
    let store = again.open().unwrap();
    assert!(restore(&store, 1).unwrap() == disk);
}

/// Files whose flushes can be made to fail, or whose folders cannot be opened to be flushed.
#[derive(Debug, Default)]
struct Failing {
    armed: Arc<AtomicBool>,
    flushes: bool,
    unopened: Arc<AtomicBool>,
}

struct FailingFile {
    inner: Box<dyn Written>,
    armed: Arc<AtomicBool>,
    flushes: bool,
}

impl Files for Failing {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        Disk.make_dir(dir)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        match self.unopened.load(Ordering::SeqCst) {
            true => Err(io::Error::from(rustix::io::Errno::MFILE)),
            false => Disk.sync_dir(dir),
        }
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn Written>> {
        let (inner, armed) = (Disk.create(path)?, Arc::clone(&self.armed));
        Ok(Box::new(FailingFile { inner, armed, flushes: self.flushes }))
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.link(from, to)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        Disk.remove(path)
    }
}

impl Written for FailingFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.flushes && self.armed.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.inner.write_all(bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        if self.flushes && self.armed.swap(false, Ordering::SeqCst) {
            return Err(io::Error::other("lost pages"));
        }
        self.inner.sync()
    }
}

/// No file handle is left for a while: what was tried then fails, and all goes on after it.
#[test]
fn a_folder_that_cannot_be_opened_poisons_nothing() {
    let dir = TempDir::new().unwrap();
    let unopened = Arc::new(AtomicBool::new(false));
    let files = Failing { unopened: Arc::clone(&unopened), ..Failing::default() };
    let objects = LocalObjects::open_on(dir.path(), Arc::new(files)).unwrap();
    let rig = Rig::on(Arc::new(objects), 3);
    let store = rig.init(small());
    let disk = Memory::sparse(patterned(&mut Rng::new(1), 800 << 10));
    unopened.store(true, Ordering::SeqCst);
    let e = ingest(&store, 1, None, &disk, None).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Transient, "{e}");
    unopened.store(false, Ordering::SeqCst);
    ingest(&store, 1, None, &disk, None).unwrap();
    assert!(restore(&store, 1).unwrap() == disk.bytes());
}

#[test]
fn one_failed_flush_ends_all_writing_through_the_handle() {
    let dir = TempDir::new().unwrap();
    let armed = Arc::new(AtomicBool::new(false));
    let files = Failing { armed: Arc::clone(&armed), flushes: true, ..Failing::default() };
    let objects = LocalObjects::open_on(dir.path(), Arc::new(files)).unwrap();
    let rig = Rig::on(Arc::new(objects), 3);
    let store = rig.init(small());
    let disk = Memory::sparse(patterned(&mut Rng::new(1), 800 << 10));
    ingest(&store, 1, None, &disk, None).unwrap();
    armed.store(true, Ordering::SeqCst);
    let other = Memory::sparse(patterned(&mut Rng::new(2), 800 << 10));
    let e = ingest(&store, 2, None, &other, None).unwrap_err();
    assert!(!armed.load(Ordering::SeqCst), "the flush did fail");
    let e2 = ingest(&store, 3, None, &other, None).unwrap_err();
    assert_eq!((e.kind(), e2.kind()), (ErrorKind::Poisoned, ErrorKind::Poisoned));
    assert!(restore(&store, 1).unwrap() == disk.bytes(), "reading goes on");
    assert_eq!(store.points().unwrap().len(), 1);
    let fresh = Rig::on(Arc::new(LocalObjects::open(dir.path()).unwrap()), 5);
    let store = fresh.open().unwrap();
    ingest(&store, 2, None, &other, None).unwrap();
    assert!(restore(&store, 2).unwrap() == other.bytes());
}

#[test]
fn a_full_disk_is_reported_as_such_and_is_no_end() {
    let dir = TempDir::new().unwrap();
    let armed = Arc::new(AtomicBool::new(false));
    let files = Failing { armed: Arc::clone(&armed), ..Failing::default() };
    let rig = Rig::on(Arc::new(LocalObjects::open_on(dir.path(), Arc::new(files)).unwrap()), 3);
    let store = rig.init(small());
    let disk = Memory::sparse(patterned(&mut Rng::new(1), 300 << 10));
    armed.store(true, Ordering::SeqCst);
    let e = ingest(&store, 1, None, &disk, None).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Full);
    armed.store(false, Ordering::SeqCst);
    ingest(&store, 1, None, &disk, None).unwrap();
    assert!(restore(&store, 1).unwrap() == disk.bytes());
}
