//! What things cost: bytes read, bytes stored, requests; and the smaller promises of the API.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod rig;

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use object_store::ObjectStore;
use object_store::memory::InMemory;
use rig::{Rig, begin, ingest, key, patterned, restore, small};
use tresor_store::{ErrorKind, Plan, Sink, Source, Store, StoreConfig};
use tresor_testkit::{Fault, Faulty, Memory, Operation, Progress, Rng, Target};

/// With the parameters that ship: scattered changes of 64 KiB units of a 96 MiB disk.
#[test]
fn an_increment_reads_little_more_than_what_changed() {
    let rig = Rig::new();
    let config = StoreConfig { level: -5, ..StoreConfig::default() };
    let store = rig.init(config);
    let (size, unit) = (96u64 << 20, 64u64 << 10);
    let mut disk = vec![0; size as usize];
    let mut rng = Rng::new(1);
    rng.fill(&mut disk);
    ingest(&store, 1, None, &Memory::sparse(disk.clone()), None).unwrap();
    let mut changed: Vec<Range<u64>> = Vec::new();
    for _ in 0..40 {
        let start = rng.below(size / unit) * unit;
        let place = start as usize + 4096 * rng.below(16) as usize;
        rng.fill(&mut disk[place..place + 4096]);
        changed.push(start..start + unit);
    }
    changed.sort_by_key(|r| r.start);
    changed.dedup();
    let bytes: u64 = changed.iter().map(|r| r.end - r.start).sum();
    let source = Memory::sparse(disk.clone());
    let (done, _) = ingest(&store, 2, Some(1), &source, Some(&changed)).unwrap();
    assert_eq!(done.bytes_read, source.read(), "what is counted is what was read");
    let bound = 4 * bytes + size / 100;
    println!("changed {bytes}, read {}, bound {bound}, new {}", done.bytes_read, done.bytes_new);
    assert!(done.bytes_read <= bound, "read {} of {bound}", done.bytes_read);
    assert!(done.bytes_new <= 4 * bytes + (1 << 20), "stored {}", done.bytes_new);
    assert!(restore(&store, 2).unwrap() == disk);
    let (none, _) = ingest(&store, 3, Some(2), &source, Some(&[])).unwrap();
    assert_eq!((none.bytes_read, none.bytes_new, none.root), (0, 0, done.root));
}

/// A disk of 4 TiB with a few blocks on it, never held in memory.
struct Huge {
    blocks: Vec<u64>,
}

impl Source for Huge {
    fn len(&self) -> u64 {
        (4 << 40) + 512
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
        buf.fill(0);
        for block in &self.blocks {
            let (start, end) = (*block.max(&offset), (block + 4096).min(offset + buf.len() as u64));
            if start < end {
                buf[(start - offset) as usize..(end - offset) as usize]
                    .fill((block >> 12) as u8 | 1);
            }
        }
        Ok(())
    }

    fn allocated(&self, range: Range<u64>) -> std::io::Result<Vec<Range<u64>>> {
        let inside = self.blocks.iter().filter(|b| range.contains(b));
        Ok(inside.map(|b| *b..(*b + 4096).min(self.len())).collect())
    }
}

#[test]
fn a_huge_sparse_disk_costs_what_is_on_it() {
    let rig = Rig::new();
    let store = rig.init(StoreConfig::default());
    let mut huge = Huge { blocks: vec![0, 5 << 30, (1 << 40) + (1 << 20), 4 << 40] };
    let mut first = begin(&store, 1, None, huge.len()).unwrap();
    let watch = Progress::default();
    let done = first.run(&huge, None, &watch).unwrap();
    assert_eq!((watch.done(), watch.expected()), (huge.len(), huge.len()));
    assert_eq!(done.bytes_read, 3 * 4096 + 512);
    first.commit(Default::default(), jiff::Timestamp::UNIX_EPOCH).unwrap();
    huge.blocks[1] = 6 << 30;
    let mut second = begin(&store, 2, Some(1), huge.len()).unwrap();
    let changed = [5 << 30..(5 << 30) + 4096, 6 << 30..(6 << 30) + 4096];
    let done = second.run(&huge, Some(&changed), &()).unwrap();
    assert_eq!(done.bytes_read, 4096);
    second.commit(Default::default(), jiff::Timestamp::UNIX_EPOCH).unwrap();
    let diff = store.diff(&key(1), &key(2), 0..u64::MAX).unwrap();
    let places: Vec<_> = diff.map(|d| d.unwrap()).map(|d| (d.offset, d.len)).collect();
    assert_eq!(places, [(5 << 30, 4096), (6 << 30, 4096)]);
    let reader = store.reader(&key(2)).unwrap();
    let extents = reader.extents(0..huge.len()).unwrap();
    let expected: Vec<_> = huge.blocks.iter().map(|b| *b..(*b + 4096).min(huge.len())).collect();
    assert_eq!(extents, expected);
    let mut tail = [0; 512];
    reader.read_at(&mut tail, 4 << 40).unwrap();
    assert_eq!(tail, [1; 512]);
}

#[test]
fn the_same_bytes_are_stored_once() {
    let rig = Rig::new();
    let store = rig.init(small());
    let disk = patterned(&mut Rng::new(3), 600 << 10);
    let (first, _) = ingest(&store, 1, None, &Memory::sparse(disk.clone()), None).unwrap();
    assert!(first.bytes_new > 0 && first.bytes_stored < first.bytes_new + first.chunks * 72 + 4096);
    let (second, _) = ingest(&store, 2, None, &Memory::dense(disk.clone()), None).unwrap();
    assert_eq!((second.root, second.bytes_new, second.bytes_stored), (first.root, 0, 0));
    assert_eq!(second.bytes_read, disk.len() as u64, "a dense source is read as a whole");
    // Moved by whole blocks, most is found again, though windows cut it anew.
    let mut moved = vec![0x55; 5 * 4096];
    moved.extend_from_slice(&disk);
    let (third, _) = ingest(&store, 3, None, &Memory::dense(moved.clone()), None).unwrap();
    assert!(third.bytes_deduplicated > disk.len() as u64 / 4, "{third:?}");
    assert!(restore(&store, 3).unwrap() == moved);
}

#[test]
fn stores_of_one_domain_give_equal_names_and_others_do_not() {
    let disk = Memory::sparse(patterned(&mut Rng::new(4), 300 << 10));
    let (one, two, three) = (Rig::new(), Rig::new(), Rig::on(Arc::new(InMemory::new()), 5));
    let first = one.init(small());
    let (objects, rt) = (Arc::clone(&two.objects), two.rt.handle().clone());
    let (second, _) = Store::init_in(
        first.domain(),
        objects,
        rt,
        two.cache.path(),
        StoreConfig { level: 9, ..small() },
        &rig::secret(),
        three.env.clone(),
    )
    .unwrap();
    let third = three.init(small());
    let root = |store: &Store| ingest(store, 1, None, &disk, None).unwrap().0.root;
    let named = root(&first);
    assert_eq!(named, root(&second));
    assert_ne!(named, root(&third));
}

#[test]
fn a_restore_leaves_skipped_ranges_alone_and_tells_of_every_byte() {
    let rig = Rig::new();
    let store = rig.init(small());
    let disk = patterned(&mut Rng::new(6), 900 << 10);
    ingest(&store, 1, None, &Memory::sparse(disk.clone()), None).unwrap();
    let skip = [100..5000, 4096..70_000, 300_000..300_001, 800_000..2_000_000];
    let reader = store.reader(&key(1)).unwrap();
    let target = Target::new(reader.size());
    let watch = Progress::default();
    let done = reader.restore(&target, &skip, &watch).unwrap();
    let mut expected = disk.clone();
    for range in [100..70_000, 300_000..300_001, 800_000..disk.len()] {
        expected[range].fill(0);
    }
    assert!(*target.bytes() == expected);
    assert_eq!((watch.expected(), watch.done()), (disk.len() as u64, disk.len() as u64));
    assert!(done.bytes_written < disk.len() as u64 && done.bytes_fetched > 0);

    let watch = Progress::default();
    watch.cancel();
    let e = reader.restore(&Target::new(reader.size()), &[], &watch).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Cancelled);
    let e = reader.restore(&Target::new(10), &[], &()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Sink);
}

#[test]
fn a_restore_asks_for_many_chunks_at_once() {
    let rig = Rig::new();
    let disk = patterned(&mut Rng::new(7), 4 << 20);
    let store = rig.init(StoreConfig { pack_bytes: 8 << 20, ..small() });
    let (made, _) = ingest(&store, 1, None, &Memory::sparse(disk.clone()), None).unwrap();
    let faulty = Arc::new(Faulty::new(Arc::clone(&rig.objects), |_, _, _| Fault::None));
    let other = Rig::on(Arc::clone(&faulty) as Arc<dyn ObjectStore>, 2);
    let store = other.open().unwrap();
    assert!(restore(&store, 1).unwrap() == disk);
    let gets = faulty.count(Operation::Get);
    assert!(gets * 4 < made.chunks, "{gets} requests for {} chunks", made.chunks);
}

#[test]
fn pins_outlive_their_process_and_keep_points() {
    let rig = Rig::new();
    let store = rig.init(small());
    let disk = patterned(&mut Rng::new(2), 100 << 10);
    ingest(&store, 1, None, &Memory::sparse(disk.clone()), None).unwrap();
    assert_eq!(store.pin(&key(9), "job 1").unwrap_err().kind(), ErrorKind::NotFound);
    drop(store.pin(&key(1), "job 1").unwrap());
    let second = store.pin(&key(1), "job 2").unwrap();
    drop(store);
    let store = rig.open().unwrap();
    assert_eq!(store.pins().unwrap().len(), 2);
    assert_eq!(store.remove_point(&key(1)).unwrap_err().kind(), ErrorKind::Pinned);
    second.release().unwrap();
    assert_eq!(store.release_by("job 1").unwrap(), 1);
    assert_eq!(store.release_by("job 1").unwrap(), 0);
    store.remove_point(&key(1)).unwrap();
    store.remove_point(&key(1)).unwrap();
    assert!(store.point(&key(1)).unwrap().is_none() && store.points().unwrap().is_empty());
    assert_eq!(store.reader(&key(1)).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_parent_that_is_gone_means_reading_everything() {
    let rig = Rig::new();
    let store = rig.init(small());
    let disk = patterned(&mut Rng::new(2), 100 << 10);
    let size = disk.len() as u64;
    let mut ingest = begin(&store, 2, Some(1), size).unwrap();
    assert!(ingest.parent().is_none());
    assert_eq!(store.writers().unwrap().len(), 1);
    ingest.run(&Memory::sparse(disk.clone()), Some(&[]), &()).unwrap();
    let facts = [("disk".to_owned(), "d1".to_owned())].into();
    let time = "2026-11-22T18:00:00Z".parse().unwrap();
    ingest.commit(facts, time).unwrap();
    let record = store.point(&key(2)).unwrap().unwrap();
    assert_eq!((record.parent, record.time, record.size), (None, time, size));
    assert_eq!(record.facts["disk"], "d1");
    assert!(restore(&store, 2).unwrap() == disk);
    assert!(store.writers().unwrap().is_empty());
    let other = begin(&store, 3, Some(2), size).unwrap();
    assert_eq!(other.parent().unwrap().key, key(2));
    other.abandon().unwrap();
    assert!(store.writers().unwrap().is_empty());
}

#[test]
fn nonsense_is_refused() {
    let rig = Rig::new();
    assert_eq!(rig.open().unwrap_err().kind(), ErrorKind::NotFound);
    let bad = StoreConfig { zero_run_blocks: 3, ..small() };
    assert_eq!(rig.try_init(bad).unwrap_err().kind(), ErrorKind::Invalid);
    let store = rig.init(small());
    assert_eq!(rig.try_init(small()).unwrap_err().kind(), ErrorKind::Exists);
    assert_eq!(rig.open().unwrap().config(), &small(), "the first store is still there");
    let mut wrong = begin(&store, 1, None, 4096).unwrap();
    let e = wrong.run(&Memory::sparse(vec![0; 512]), None, &()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Invalid);
    for text in ["", "0", "G0000000000000000000000000000000", &"a".repeat(33)] {
        assert!(text.parse::<tresor_store::PointKey>().is_err());
    }
    let plan = Plan { point: key(4), parent: None, size: 0 };
    let tresor_store::Begun::New(mut empty) = store.begin(plan).unwrap() else { panic!("new") };
    empty.run(&Memory::sparse(Vec::new()), None, &()).unwrap();
    empty.commit(Default::default(), jiff::Timestamp::UNIX_EPOCH).unwrap();
    assert!(restore(&store, 4).unwrap().is_empty());
}

/// A target that overwrites is found out before anything is entrusted to it.
#[test]
fn an_object_store_that_lies_is_refused() {
    #[derive(Debug)]
    struct Liar(InMemory);
    impl std::fmt::Display for Liar {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("liar")
        }
    }
    use futures::stream::BoxStream;
    use object_store::path::Path;
    use object_store::*;
    #[async_trait::async_trait]
    impl ObjectStore for Liar {
        async fn put_opts(&self, to: &Path, p: PutPayload, _: PutOptions) -> Result<PutResult> {
            self.0.put_opts(to, p, PutOptions::default()).await
        }
        async fn put_multipart_opts(
            &self,
            to: &Path,
            o: PutMultipartOptions,
        ) -> Result<Box<dyn MultipartUpload>> {
            self.0.put_multipart_opts(to, o).await
        }
        async fn get_opts(&self, from: &Path, o: GetOptions) -> Result<GetResult> {
            self.0.get_opts(from, o).await
        }
        fn delete_stream(
            &self,
            l: BoxStream<'static, Result<Path>>,
        ) -> BoxStream<'static, Result<Path>> {
            self.0.delete_stream(l)
        }
        fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
            self.0.list(prefix)
        }
        async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
            self.0.list_with_delimiter(prefix).await
        }
        async fn copy_opts(&self, a: &Path, b: &Path, o: CopyOptions) -> Result<()> {
            self.0.copy_opts(a, b, o).await
        }
    }
    let rig = Rig::on(Arc::new(Liar(InMemory::new())), 1);
    assert_eq!(rig.try_init(small()).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn a_restore_by_parts_is_the_whole_and_each_part_stays_in_its_bounds() {
    let rig = Rig::new();
    let store = rig.init(small());
    let disk = patterned(&mut Rng::new(7), 700 << 10);
    ingest(&store, 1, None, &Memory::sparse(disk.clone()), None).unwrap();
    let reader = store.reader(&key(1)).unwrap();
    let whole = Target::new(reader.size());
    let mut at: u64 = 0;
    for length in [1, 511, 70_001, 130_000, u64::MAX] {
        let part = at..reader.size().min(at.saturating_add(length));
        let (alone, watch) = (Target::new(reader.size()), Progress::default());
        reader.restore_range(&alone, part.clone(), &watch).unwrap();
        assert_eq!((watch.expected(), watch.done()), (part.end - at, part.end - at));
        let mut expected = vec![0; disk.len()];
        let within = part.start as usize..part.end as usize;
        expected[within.clone()].copy_from_slice(&disk[within]);
        assert!(*alone.bytes() == expected, "{part:?}");
        reader.restore_range(&whole, part.clone(), &()).unwrap();
        at = part.end;
    }
    assert!(*whole.bytes() == disk);
    assert!(reader.restore_range(&whole, 0..reader.size() + 1, &()).is_err());
}

#[test]
fn data_behind_a_hole_longer_than_any_buffer_is_kept() {
    let rig = Rig::new();
    let store = rig.init(StoreConfig::default());
    let mut disk = vec![0; 12 << 20];
    disk[..1 << 20].fill(0xa5);
    disk[9 << 20..10 << 20].fill(0x5a);
    // Once as a hole that is known, once as zeros that have to be read.
    for (number, source) in [(1, Memory::sparse(disk.clone())), (2, Memory::dense(disk.clone()))] {
        ingest(&store, number, None, &source, None).unwrap();
        let target = Target::new(disk.len() as u64);
        store.reader(&key(number)).unwrap().restore(&target, &[], &()).unwrap();
        assert!(*target.bytes() == disk);
    }
}

type Failure = fn() -> std::io::Result<()>;

/// A target that notes what it is told; from some call on it fails.
struct Noting {
    reserved: Mutex<Vec<Range<u64>>>,
    written: Mutex<Vec<Range<u64>>>,
    inner: Target,
    left: AtomicUsize,
    fail: Failure,
}

impl Noting {
    fn new(size: u64, left: usize, fail: Failure) -> Self {
        let (reserved, written) = Default::default();
        Self { reserved, written, inner: Target::new(size), left: AtomicUsize::new(left), fail }
    }
}

impl Sink for Noting {
    fn reserve(&self, range: Range<u64>) -> std::io::Result<()> {
        self.reserved.lock().unwrap().push(range);
        Ok(())
    }

    fn write_at(&self, data: &[u8], offset: u64) -> std::io::Result<()> {
        let range = offset..offset + data.len() as u64;
        let inside = |r: &Range<u64>| r.start <= range.start && range.end <= r.end;
        assert!(self.reserved.lock().unwrap().iter().any(inside), "{range:?} was not reserved");
        let take = |left: usize| left.checked_sub(1);
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_err() {
            (self.fail)()?;
        }
        self.written.lock().unwrap().push(range);
        self.inner.write_at(data, offset)
    }
}

#[test]
fn a_restore_reserves_what_it_writes_and_writes_neighbours_together() {
    let rig = Rig::new();
    let store = rig.init(StoreConfig::default());
    let mut disk = vec![0; 24 << 20];
    Rng::new(4).fill(&mut disk[1 << 20..9 << 20]);
    Rng::new(5).fill(&mut disk[17 << 20..20 << 20]);
    // A duplicate: fetched once, written twice.
    disk.copy_within(1 << 20..2 << 20, 22 << 20);
    ingest(&store, 1, None, &Memory::sparse(disk.clone()), None).unwrap();
    let reader = store.reader(&key(1)).unwrap();
    let noting = Noting::new(reader.size(), usize::MAX, || Ok(()));
    let done = reader.restore(&noting, &[], &()).unwrap();
    assert!(*noting.inner.bytes() == disk);
    let reserved = noting.reserved.into_inner().unwrap();
    assert_eq!(reserved, reader.extents(0..reader.size()).unwrap());
    let written = noting.written.into_inner().unwrap().len() as u64;
    println!("{} chunks in {written} writes", done.chunks);
    assert!(written < done.chunks / 2, "{} chunks in {written} writes", done.chunks);
}

#[test]
fn a_target_that_fails_or_panics_ends_the_restore() {
    let rig = Rig::new();
    let store = rig.init(small());
    let disk = patterned(&mut Rng::new(9), 2 << 20);
    ingest(&store, 1, None, &Memory::sparse(disk), None).unwrap();
    let reader = store.reader(&key(1)).unwrap();
    let failures: [(Failure, ErrorKind); 2] = [
        (|| Err(std::io::ErrorKind::StorageFull.into()), ErrorKind::Sink),
        (|| panic!("the target"), ErrorKind::Internal),
    ];
    for (fail, kind) in failures {
        for calls in [0, 1, 5] {
            let target = Noting::new(reader.size(), calls, fail);
            assert_eq!(reader.restore(&target, &[], &()).unwrap_err().kind(), kind);
        }
    }
}
