//! Writing a whole point to a disk.
//!
//! Chunks are fetched in the order of packs, not of the disk: one request brings many of them.
//! References are taken from the map a batch at a time, so memory is bounded; while one batch is
//! written the next one is planned. The first one is small, so that work begins at once. A worker
//! decodes what it fetched to where it is written from; neighbours are written together. What is
//! written has been hashed and compared with its id.

use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::error::{Error, ErrorKind, Result};
use crate::fetch;
use crate::field::{part, part_mut};
use crate::margins;
use crate::memory::Memory;
use crate::pack::{Location, Opener};
use crate::read::{Placed, Reader};
use crate::source::{Sink, Watch, clip, except, tidy};

/// What a restore did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Restored {
    /// Bytes written to the target.
    pub bytes_written: u64,
    /// Bytes fetched from packs.
    pub bytes_fetched: u64,
    /// Chunks decoded.
    pub chunks: u64,
}

/// Chunks that one request brings.
type Fetch = fetch::Fetch<Placed>;

/// What the workers of one restore share.
struct Job<'a> {
    reader: &'a Reader,
    sink: &'a dyn Sink,
    /// The part of the disk that is restored.
    range: Range<u64>,
    /// Tidy ranges that must not be written.
    skip: &'a [Range<u64>],
    watch: &'a dyn Watch,
    written: AtomicU64,
    fetched: AtomicU64,
    chunks: AtomicU64,
    stop: AtomicBool,
    failed: Mutex<Option<Error>>,
}

impl Reader {
    /// Writes the point to `sink`, which is all zeros, except for the ranges in `skip`. The
    /// watcher is told of every byte of the disk once, zeros and skipped ones included.
    pub fn restore(
        &self,
        sink: &dyn Sink,
        skip: &[Range<u64>],
        watch: &dyn Watch,
    ) -> Result<Restored> {
        self.restore_parts(sink, 0..self.size(), skip, watch)
    }

    /// Writes a part of the point to `sink`, which is all zeros there. The watcher is told of
    /// every byte of the part once.
    pub fn restore_range(
        &self,
        sink: &dyn Sink,
        range: Range<u64>,
        watch: &dyn Watch,
    ) -> Result<Restored> {
        let range = self.within(range)?;
        let outside = [0..range.start, range.end..self.size()];
        self.restore_parts(sink, range, &outside, watch)
    }

    /// Fills `buf` from `offset`, like [`Reader::read_at`]; for long reads: one request brings
    /// many chunks. The watcher is told of every byte once.
    pub fn fill(&self, buf: &mut [u8], offset: u64, watch: &dyn Watch) -> Result<Restored> {
        buf.fill(0);
        let range = offset..offset.saturating_add(buf.len() as u64);
        self.restore_range(&Piece { start: offset, buf: Mutex::new(buf) }, range, watch)
    }

    fn restore_parts(
        &self,
        sink: &dyn Sink,
        range: Range<u64>,
        skip: &[Range<u64>],
        watch: &dyn Watch,
    ) -> Result<Restored> {
        let skip = tidy(skip, self.size());
        let job = Job {
            reader: self,
            sink,
            range: range.clone(),
            skip: &skip,
            watch,
            written: AtomicU64::new(0),
            fetched: AtomicU64::new(0),
            chunks: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            failed: Mutex::new(None),
        };
        watch.expect(range.end - range.start);
        let planned = job.work();
        job.failed().take().map_or(planned, Err)?;
        Ok(Restored {
            bytes_written: job.written.into_inner(),
            bytes_fetched: job.fetched.into_inner(),
            chunks: job.chunks.into_inner(),
        })
    }
}

/// A part of a disk in memory.
struct Piece<'a> {
    start: u64,
    buf: Mutex<&'a mut [u8]>,
}

impl Sink for Piece<'_> {
    fn reserve(&self, _range: Range<u64>) -> io::Result<()> {
        Ok(())
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let place = offset.checked_sub(self.start).map(|start| start as usize);
        let mut buf = self.buf.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = place.and_then(|start| buf.get_mut(start..)).unwrap_or_default();
        let to = rest.get_mut(..data.len()).ok_or(io::ErrorKind::InvalidInput)?;
        to.copy_from_slice(data);
        Ok(())
    }
}

impl Job<'_> {
    /// Plans here, fetches and writes in threads of their own, until all is written or something
    /// failed.
    fn work(&self) -> Result<()> {
        let (send, queue) = sync_channel(margins::FETCHES_WAITING);
        let queue = Mutex::new(queue);
        thread::scope(|scope| {
            for _ in 0..margins::RESTORE_WORKERS {
                scope.spawn(|| self.write_all(&queue));
            }
            // A panic here must not leave the workers waiting for more.
            let send = send;
            catch_unwind(AssertUnwindSafe(|| self.plan_all(&send)))
                .unwrap_or_else(|_| Err(Error::internal("the planner of a restore panicked")))
        })
    }

    /// Plans batch after batch.
    fn plan_all(&self, send: &SyncSender<Fetch>) -> Result<()> {
        let (mut next, mut done) = (Some(self.range.start), self.range.start);
        let mut most = margins::RESTORE_FIRST;
        while let Some(from) = next {
            let mut batch = Vec::new();
            next = self.gather(from, most, &mut batch)?;
            most = (2 * most).min(margins::RESTORE_BATCH);
            let stored = batch.iter().map(|p| self.inside(p)).sum::<u64>();
            let end = next.unwrap_or(self.range.end);
            self.watch.advance((end - done).saturating_sub(stored), 0);
            done = end;
            for fetch in self.plan(batch)? {
                // Without anybody to send it to: whoever failed left the reason.
                if self.stop.load(Ordering::Acquire) || send.send(fetch).is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Collects a batch of about `most` references, as far as there are; returns where the
    /// next one begins.
    fn gather(&self, from: u64, most: usize, batch: &mut Vec<Placed>) -> Result<Option<u64>> {
        let mut next = Some(from);
        while let Some(at) = next.filter(|_| batch.len() < most) {
            next = self.reader.placed(at..self.range.end, batch)?;
        }
        Ok(next)
    }

    /// One worker: fetches and writes until the queue is closed. After a failure it goes on
    /// emptying the queue, so that the planner does not wait for ever.
    fn write_all(&self, queue: &Mutex<Receiver<Fetch>>) {
        let mut desk = None;
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(fetch) = next else { return };
            if self.stop.load(Ordering::Acquire) {
                continue;
            }
            let done = catch_unwind(AssertUnwindSafe(|| {
                let desk = match &mut desk {
                    Some(desk) => desk,
                    none => none.insert(Desk::new()?),
                };
                self.fetch(&fetch, desk)
            }))
            .unwrap_or_else(|_| Err(Error::internal("a restore panicked")));
            if let Err(e) = done {
                self.failed().get_or_insert(e);
                self.stop.store(true, Ordering::Release);
            }
        }
    }

    fn failed(&self) -> std::sync::MutexGuard<'_, Option<Error>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds the chunks of a batch and sorts them into requests. Chunks that are skipped as a
    /// whole are not fetched.
    fn plan(&self, batch: Vec<Placed>) -> Result<Vec<Fetch>> {
        let loader = &self.reader.store.inner().loader;
        let mut found = Vec::with_capacity(batch.len());
        let mut stretch = 0..0;
        for placed in batch {
            let wanted = self.wanted(&placed);
            if wanted.is_empty() {
                self.watch.advance(self.inside(&placed), 0);
                continue;
            }
            found.push((loader.locate(&placed.id)?, placed));
            for range in wanted {
                if range.start == stretch.end {
                    stretch.end = range.end;
                } else {
                    self.reserve(std::mem::replace(&mut stretch, range))?;
                }
            }
        }
        self.reserve(stretch)?;
        found.sort_unstable_by_key(|(at, placed)| (at.pack.name, at.offset, placed.offset));
        Ok(fetch::plan(found))
    }

    fn reserve(&self, range: Range<u64>) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        self.sink.reserve(range).map_err(unwritable)
    }

    /// Whether all of a chunk is to be written.
    fn is_wanted(&self, placed: &Placed) -> bool {
        clip(self.skip, placed.offset..placed.offset + u64::from(placed.len)).is_empty()
    }

    fn wanted(&self, placed: &Placed) -> Vec<Range<u64>> {
        except(self.skip, placed.offset..placed.offset + u64::from(placed.len))
    }

    fn fetch(&self, fetch: &Fetch, desk: &mut Desk) -> Result<()> {
        let loader = &self.reader.store.inner().loader;
        let bytes = match loader.fetch(&fetch.pack, fetch.range.clone()) {
            // Moved to another pack, or truncated: one by one, each is looked for again.
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => {
                return self.one_by_one(&fetch.frames);
            }
            other => other?,
        };
        self.fetched.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        desk.run.clear();
        for same in fetch.frames.chunk_by(|(a, x), (b, y)| (a.offset, x.id) == (b.offset, y.id)) {
            let Some((at, first)) = same.first() else {
                continue;
            };
            if !desk.run.fits(first) {
                self.flush(&mut desk.run)?;
            }
            let frame = fetch.frame(at, &bytes)?;
            let raw = desk.run.room(first.len as usize)?;
            match loader.open_into(at, first.id, frame, (&mut desk.opener, raw)) {
                // This place is damaged; there may be another one.
                Err(e) if e.kind() == ErrorKind::Corrupt => {
                    self.one_by_one(same)?;
                    continue;
                }
                opened => opened?,
            }
            self.chunks.fetch_add(1, Ordering::Relaxed);
            if same.len() == 1 && self.is_wanted(first) {
                desk.run.push(first);
                continue;
            }
            let raw = desk.run.room(first.len as usize)?;
            same.iter().try_for_each(|(_, placed)| self.place(placed, raw))?;
        }
        self.flush(&mut desk.run)
    }

    /// Writes what was collected.
    fn flush(&self, run: &mut Run) -> Result<()> {
        if run.len == 0 {
            return Ok(());
        }
        if self.watch.cancelled() {
            return Err(cancelled());
        }
        self.write(run.bytes()?, run.offset)?;
        self.watch.advance(run.len as u64, 0);
        run.clear();
        Ok(())
    }

    fn one_by_one(&self, chunks: &[(Location, Placed)]) -> Result<()> {
        for (_, placed) in chunks {
            let raw = self.reader.store.inner().loader.chunk(&placed.id)?;
            self.fetched.fetch_add(raw.len() as u64, Ordering::Relaxed);
            self.chunks.fetch_add(1, Ordering::Relaxed);
            self.place(placed, &raw)?;
        }
        Ok(())
    }

    /// Writes a chunk where it belongs.
    fn place(&self, placed: &Placed, raw: &[u8]) -> Result<()> {
        if self.watch.cancelled() {
            return Err(cancelled());
        }
        if raw.len() != placed.len as usize {
            return Err(Error::corrupt(format!("{} has the wrong length", placed.id)));
        }
        for range in self.wanted(placed) {
            let from = (range.start - placed.offset) as usize;
            let to = (range.end - placed.offset) as usize;
            self.write(part(raw, from..to)?, range.start)?;
        }
        self.watch.advance(self.inside(placed), 0);
        Ok(())
    }

    /// Bytes of a chunk that lie in the part that is restored.
    fn inside(&self, placed: &Placed) -> u64 {
        let end = (placed.offset + u64::from(placed.len)).min(self.range.end);
        end.saturating_sub(placed.offset.max(self.range.start))
    }

    fn write(&self, data: &[u8], offset: u64) -> Result<()> {
        #[cfg(feature = "failpoints")]
        tracing::info!(step = "store.restore.write", "step");
        fail::fail_point!("store.restore.write", |_| Err(Error::new(
            ErrorKind::Sink,
            "fail point store.restore.write"
        )));
        self.written.fetch_add(data.len() as u64, Ordering::Relaxed);
        self.sink.write_at(data, offset).map_err(unwritable)
    }
}

fn unwritable(source: std::io::Error) -> Error {
    Error::new(ErrorKind::Sink, "the target cannot be written").because(source)
}

fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the restore was cancelled")
}

/// What one worker opens and writes with.
struct Desk {
    opener: Opener,
    run: Run,
}

impl Desk {
    fn new() -> Result<Self> {
        Ok(Self { opener: Opener::new()?, run: Run::default() })
    }
}

/// Chunks that are neighbours on the disk, to be written at once. They lie at the beginning of a
/// memory page: a sink may write them past its page cache.
#[derive(Default)]
struct Run {
    memory: Memory,
    offset: u64,
    len: usize,
}

impl Run {
    fn clear(&mut self) {
        self.len = 0;
    }

    /// Whether a chunk continues what is there, and there is room for it.
    fn fits(&self, placed: &Placed) -> bool {
        self.len > 0
            && self.offset + self.len as u64 == placed.offset
            && self.len + placed.len as usize <= margins::WRITE
    }

    /// Memory for `len` bytes behind what is there.
    fn room(&mut self, len: usize) -> Result<&mut [u8]> {
        let need = (self.len + len).max(margins::WRITE);
        if self.memory.len() < need {
            // Only before the first chunk, or for one longer than usual: nothing is there yet.
            self.memory = Memory::new(need)?;
        }
        part_mut(&mut self.memory, self.len..self.len + len)
    }

    /// The chunk that was put into the room is now part of what is there.
    fn push(&mut self, placed: &Placed) {
        if self.len == 0 {
            self.offset = placed.offset;
        }
        self.len += placed.len as usize;
    }

    fn bytes(&self) -> Result<&[u8]> {
        part(&self.memory, 0..self.len)
    }
}
