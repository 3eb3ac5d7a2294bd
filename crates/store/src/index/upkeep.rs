//! What is known stays findable: while runs are replaced, on a full disk, with damage here.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use object_store::memory::InMemory;
use object_store::path::Path as Name;
use tresor_testkit::{Fault, Faulty, Operation};

use super::page::{HEAD, PAGE};
use super::tests::{Rig, id, location, point};
use super::*;
use crate::durable::{Disk, Durable, Files, Written};
use crate::error::Error;

/// What becomes of reads of runs.
#[derive(Debug)]
struct Gate {
    /// The next one waits here until it was met, and again until it may go on.
    armed: AtomicBool,
    barrier: Barrier,
    /// Whether they fail.
    down: AtomicBool,
    reads: AtomicU64,
}

impl Gate {
    fn rig() -> (Arc<Self>, Rig) {
        let gate = Arc::new(Self {
            armed: AtomicBool::new(false),
            barrier: Barrier::new(2),
            down: AtomicBool::new(false),
            reads: AtomicU64::new(0),
        });
        let own = Arc::clone(&gate);
        let plan = move |operation, name: &Name, _| own.pass(operation, name);
        (gate, Rig::on(Arc::new(Faulty::new(Arc::new(InMemory::new()), plan))))
    }

    fn pass(&self, operation: Operation, name: &Name) -> Fault {
        if operation != Operation::Get || !name.as_ref().starts_with(FOLDER) {
            return Fault::None;
        }
        self.reads.fetch_add(1, Ordering::SeqCst);
        if self.armed.swap(false, Ordering::SeqCst) {
            self.barrier.wait();
            self.barrier.wait();
        }
        if self.down.load(Ordering::SeqCst) { Fault::Refuse } else { Fault::None }
    }

    /// Looks at something while `busy` stands before the next read of a run.
    fn during<T>(&self, busy: impl FnOnce() + Send, look: impl FnOnce() -> T) -> T {
        self.armed.store(true, Ordering::SeqCst);
        thread::scope(|scope| {
            let busy = scope.spawn(busy);
            self.barrier.wait();
            let seen = look();
            self.barrier.wait();
            busy.join().unwrap();
            seen
        })
    }
}

const RUNS: u32 = 30;

/// A handle on a store with runs of one entry each, most of which were merged here.
fn filled(rig: &Rig) -> Index {
    let index = rig.open();
    for run in 0..RUNS {
        index.publish(&point(run as u8), &[(id(run, 0), location(run))]).unwrap();
    }
    index
}

/// Removes the run with this entry from the store.
fn remove_run(index: &Index, run: u32) {
    let names = index.objects.list(FOLDER).unwrap();
    let name = names.into_iter().find(|name| parse(name).unwrap().0 == point(run as u8)).unwrap();
    index.objects.delete(&format!("{FOLDER}/{name}")).unwrap();
}

/// How many of the entries are found in every way there is.
fn found(index: &Index) -> usize {
    let mut all = BTreeMap::new();
    let snapshot = index.snapshot();
    let mut entries = snapshot.entries().unwrap();
    while let Some((id, at)) = entries.next().unwrap() {
        all.insert(id, at);
    }
    let here = |run: &u32| {
        let (id, at) = (id(*run, 0), location(*run));
        let known = index.locations(&id).unwrap() == [at] && all.get(&id) == Some(&at);
        known && index.find(&id).unwrap() == Some(at)
    };
    (0..RUNS).filter(here).count()
}

fn files(index: &Index) -> usize {
    std::fs::read_dir(&index.folder.path).unwrap().count()
}

#[test]
fn nothing_is_missing_while_runs_are_fetched() {
    let (gate, rig) = Gate::rig();
    let index = filled(&rig);
    remove_run(&index, 3);
    let seen = gate.during(|| index.refresh().unwrap(), || found(&index));
    assert!(seen >= RUNS as usize - 1, "{seen} of {RUNS}");
    assert_eq!(index.find(&id(3, 0)).unwrap(), None, "it was replaced");
    assert_eq!(found(&index), RUNS as usize - 1);
    assert_eq!(files(&index), index.segments().len(), "files left over");
    assert_eq!(index.state.read().unwrap().known.len(), RUNS as usize - 1);
}

#[test]
fn a_refresh_that_fails_takes_nothing_away_and_the_next_handle_goes_on() {
    let (gate, rig) = Gate::rig();
    let index = filled(&rig);
    remove_run(&index, 3);
    gate.down.store(true, Ordering::SeqCst);
    assert_eq!(index.refresh().unwrap_err().kind(), ErrorKind::Transient);
    assert_eq!(found(&index), RUNS as usize);
    drop(index);
    gate.down.store(false, Ordering::SeqCst);
    let index = rig.open();
    assert_eq!(found(&index), RUNS as usize - 1);
    assert_eq!(files(&index), index.segments().len(), "files left over");
}

#[test]
fn damage_stays_known_while_it_is_looked_at_again() {
    let (gate, rig) = Gate::rig();
    let index = filled(&rig);
    remove_run(&index, 3);
    let object = object(&point(3), &Uuid::from_u128(3));
    index.objects.create_unique(&object, Bytes::from_static(b"no run")).unwrap();
    index.refresh().unwrap();
    let lessons = index.lessons();
    let wounded = gate.during(|| index.try_damaged_again().unwrap(), || index.is_wounded());
    assert!(wounded && index.is_wounded());
    assert_eq!(index.lessons(), lessons, "it is no news");
    index.objects.delete(&object).unwrap();
    index.refresh().unwrap();
    assert!(!index.is_wounded());
}

/// What a collection writes is not fetched again by the one who wrote it.
#[test]
fn replacing_the_runs_of_the_store_fetches_none_of_them() {
    let (gate, rig) = Gate::rig();
    let index = filled(&rig);
    let dead = BTreeSet::from([location(7).pack.name]);
    let all = |n: &u32| location(*n).pack.name != location(7).pack.name;
    let more: Vec<_> = (1000..1500).map(|n| (id(n, 0), location(n))).collect();
    for some in more.chunks(200) {
        index.publish(&point(50), some).unwrap();
    }
    assert_eq!(index.segments().len() + 1, margins::SEGMENT_FAN, "one more makes a merge due");
    let before = gate.reads.load(Ordering::SeqCst);
    index.rewrite(&dead, &BTreeSet::new(), usize::MAX).unwrap();
    assert_eq!(gate.reads.load(Ordering::SeqCst), before);
    assert_eq!(index.objects.list(FOLDER).unwrap().len(), 1);
    for n in (0..RUNS).chain(1000..1500) {
        let at = Some(location(n)).filter(|_| all(&n));
        assert_eq!(index.find(&id(n, 0)).unwrap(), at);
    }
    assert_eq!(files(&index), index.segments().len(), "files left over");
    assert!(index.state.read().unwrap().leaving.is_empty(), "merging goes on");
}

/// A disk with no room for the next file; at the same moment the object store fails.
#[derive(Debug)]
struct Tight(Arc<Gate>, AtomicBool);

impl Files for Tight {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        Disk.make_dir(dir)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        Disk.sync_dir(dir)
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn Written>> {
        if self.1.swap(false, Ordering::SeqCst) {
            self.0.down.store(true, Ordering::SeqCst);
            return Err(io::ErrorKind::StorageFull.into());
        }
        Disk.create(path)
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

#[test]
fn without_room_for_both_the_old_goes_first_and_nobody_is_told_that_nothing_is_there() {
    let (gate, rig) = Gate::rig();
    let mut index = filled(&rig);
    let tight = Tight(Arc::clone(&gate), AtomicBool::new(true));
    index.folder.durable = Durable::new(Arc::new(tight));
    remove_run(&index, 3);
    let transient = |e: Error| e.kind() == ErrorKind::Transient;
    assert!(index.refresh().is_err_and(transient));
    assert!(index.segments().len() < 3 && files(&index) < 3, "there is room now");
    assert!(index.find(&id(5, 0)).is_err_and(transient));
    assert!(index.locations(&id(5, 0)).is_err_and(transient));
    assert!(index.packs(&|_| true).is_err_and(transient));
    assert!(index.for_each(&mut |_, _| Ok(())).is_err_and(transient));
    assert!(index.snapshot().entries().is_err_and(transient));
    gate.down.store(false, Ordering::SeqCst);
    assert_eq!(found(&index), RUNS as usize - 1, "whoever asks brings it back");
    assert_eq!(files(&index), index.segments().len(), "files left over");
}

/// Flips a bit in a page of a file.
fn rot(file: &Path, page: u64) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[HEAD + page as usize * PAGE + 100] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

/// Two runs; the pages of the first, and its file.
fn two_runs(rig: &Rig) -> (Index, Vec<(Id, Location)>, u64, PathBuf) {
    let index = rig.open();
    let mut entries: Vec<_> = (0..700).map(|n| (id(n, 0), location(n))).collect();
    index.publish(&point(1), &entries[..400]).unwrap();
    let file = index.segments()[0].path().to_path_buf();
    index.publish(&point(2), &entries[400..]).unwrap();
    entries.sort_unstable_by_key(|(id, _)| *id);
    let pages = (std::fs::metadata(&file).unwrap().len() - HEAD as u64) / PAGE as u64;
    (index, entries, pages, file)
}

fn drain(entries: &mut rewrite::All<'_>) -> Vec<(Id, Location)> {
    std::iter::from_fn(|| entries.next().unwrap()).collect()
}

type Way<'a> = dyn Fn(&Index) + 'a;

#[test]
fn a_rotten_page_is_read_again_from_the_store_whoever_meets_it() {
    let rig = Rig::on(Arc::new(InMemory::new()));
    let (index, all, pages, file) = two_runs(&rig);
    let whole = std::fs::read(&file).unwrap();
    drop(index);
    let packs: BTreeSet<Uuid> = all.iter().map(|(_, at)| at.pack.name).collect();
    let ways: [&Way<'_>; 5] = [
        &|index| assert_eq!(drain(&mut index.snapshot().entries().unwrap()), all),
        &|index| assert!(index.packs(&|_| true).unwrap().keys().eq(&packs)),
        &|index| {
            let mut told = BTreeMap::new();
            let mut tell = |id, at| {
                told.insert(id, at);
                Ok(())
            };
            index.for_each(&mut tell).unwrap();
            assert!(told.into_iter().eq(all.iter().copied()));
        },
        &|index| assert!(all.iter().all(|(id, at)| index.locations(id).unwrap() == [*at])),
        &|index| assert!(all.iter().all(|(id, at)| index.find(id).unwrap() == Some(*at))),
    ];
    for page in 0..pages {
        let mut mended = 0;
        for way in ways {
            let broken = rig.open();
            rot(&file, page);
            way(&broken);
            drop(broken);
            // What was rotten before the handle was opened.
            way(&rig.open());
            mended += u32::from(std::fs::read(&file).unwrap() == whole);
            std::fs::write(&file, &whole).unwrap();
        }
        // What a single run replaced is of no interest.
        assert!(mended > 0 || page == pages - 2, "page {page} is read by nobody");
    }
}

#[test]
fn entries_go_on_in_order_where_a_page_rots_on_the_way() {
    let rig = Rig::on(Arc::new(InMemory::new()));
    let (index, all, _, file) = two_runs(&rig);
    let snapshot = index.snapshot();
    let mut entries = snapshot.entries().unwrap();
    let mut told: Vec<_> = (0..300).map(|_| entries.next().unwrap().unwrap()).collect();
    rot(&file, 3);
    told.extend(drain(&mut entries));
    assert_eq!(told, all);
    assert_eq!(index.segments().len(), 2);
}

#[test]
fn runs_that_were_replaced_while_a_page_rots_are_no_longer_read() {
    let rig = Rig::on(Arc::new(InMemory::new()));
    let (index, _, _, file) = two_runs(&rig);
    let snapshot = index.snapshot();
    let mut entries = snapshot.entries().unwrap();
    entries.next().unwrap();
    remove_run(&index, 1);
    rot(&file, 3);
    let failed = std::iter::from_fn(|| entries.next().transpose()).find_map(Result::err);
    assert_eq!(failed.unwrap().kind(), ErrorKind::Transient);
}
