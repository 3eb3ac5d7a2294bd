//! Writing a whole point to a disk.
//!
//! Chunks are fetched in the order of packs, not of the disk: one request brings many of them.
//! References are taken from the map a batch at a time, so memory is bounded. What is written
//! has been hashed and compared with its id.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::error::{Error, ErrorKind, Result};
use crate::field::part;
use crate::id::Kind;
use crate::margins;
use crate::pack::{Location, Pack};
use crate::read::{Placed, Reader};
use crate::source::{Sink, Watch, except, tidy};

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

/// A part of one pack, fetched in one request, and the chunks in it.
struct Fetch {
    pack: Pack,
    range: Range<u64>,
    chunks: Vec<(Location, Placed)>,
}

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
        let (mut next, mut done) = (Some(range.start), range.start);
        while let Some(from) = next {
            let mut batch = Vec::new();
            next = job.gather(from, &mut batch)?;
            let stored = batch.iter().map(|p| job.inside(p)).sum::<u64>();
            let end = next.unwrap_or(range.end);
            watch.advance((end - done).saturating_sub(stored), 0);
            done = end;
            job.run(batch)?;
        }
        Ok(Restored {
            bytes_written: job.written.into_inner(),
            bytes_fetched: job.fetched.into_inner(),
            chunks: job.chunks.into_inner(),
        })
    }
}

impl Job<'_> {
    /// Collects a batch of references; returns where the next one begins.
    fn gather(&self, from: u64, batch: &mut Vec<Placed>) -> Result<Option<u64>> {
        let mut next = Some(from);
        while let Some(at) = next.filter(|_| batch.len() < margins::RESTORE_BATCH) {
            next = self.reader.placed(at..self.range.end, batch)?;
        }
        Ok(next)
    }

    fn run(&self, batch: Vec<Placed>) -> Result<()> {
        let fetches = self.plan(batch)?;
        let turn = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..margins::RESTORE_WORKERS.min(fetches.len()) {
                scope.spawn(|| {
                    while let Some(fetch) = fetches.get(turn.fetch_add(1, Ordering::Relaxed)) {
                        if self.stop.load(Ordering::Acquire) {
                            return;
                        }
                        let done = catch_unwind(AssertUnwindSafe(|| self.fetch(fetch)))
                            .unwrap_or_else(|_| Err(Error::internal("a restore panicked")));
                        if let Err(e) = done {
                            self.stop.store(true, Ordering::Release);
                            let mut failed = self.failed();
                            failed.get_or_insert(e);
                        }
                    }
                });
            }
        });
        self.failed().take().map_or(Ok(()), Err)
    }

    fn failed(&self) -> std::sync::MutexGuard<'_, Option<Error>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds the chunks of a batch and sorts them into requests. Chunks that are skipped as a
    /// whole are not fetched.
    fn plan(&self, batch: Vec<Placed>) -> Result<Vec<Fetch>> {
        let loader = &self.reader.store.inner().loader;
        let mut found = Vec::with_capacity(batch.len());
        for placed in batch {
            if self.wanted(&placed).is_empty() {
                self.watch.advance(self.inside(&placed), 0);
                continue;
            }
            found.push((loader.locate(&placed.id)?, placed));
        }
        found.sort_unstable_by_key(|(at, placed)| (at.pack.name, at.offset, placed.offset));
        let mut out: Vec<Fetch> = Vec::new();
        for (at, placed) in found {
            let (start, end) = (u64::from(at.offset), u64::from(at.offset) + u64::from(at.len));
            let fits = |last: &&mut Fetch| {
                last.pack.name == at.pack.name
                    && start <= last.range.end + margins::FETCH_GAP
                    && end - last.range.start <= margins::FETCH
            };
            match out.last_mut().filter(fits) {
                Some(last) => {
                    last.range.end = last.range.end.max(end);
                    last.chunks.push((at, placed));
                }
                None => {
                    out.push(Fetch { pack: at.pack, range: start..end, chunks: vec![(at, placed)] })
                }
            }
        }
        Ok(out)
    }

    fn wanted(&self, placed: &Placed) -> Vec<Range<u64>> {
        except(self.skip, placed.offset..placed.offset + u64::from(placed.len))
    }

    fn fetch(&self, fetch: &Fetch) -> Result<()> {
        let loader = &self.reader.store.inner().loader;
        let bytes = match loader.fetch(&fetch.pack, fetch.range.clone()) {
            // Moved to another pack, or truncated: one by one, each is looked for again.
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => {
                return self.one_by_one(&fetch.chunks);
            }
            other => other?,
        };
        self.fetched.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let mut frame = Vec::new();
        for same in fetch.chunks.chunk_by(|(a, _), (b, _)| a.offset == b.offset) {
            let Some((at, first)) = same.first() else {
                continue;
            };
            let start = (u64::from(at.offset) - fetch.range.start) as usize;
            frame.clear();
            frame.extend_from_slice(part(&bytes, start..start + at.len as usize)?);
            let mut opened = false;
            let placed = loader.open(at, (Kind::Chunk, first.id), &mut frame, |raw| {
                opened = true;
                same.iter().try_for_each(|(_, placed)| self.place(placed, raw))
            });
            match placed {
                // This place is damaged; there may be another one.
                Err(e) if e.kind() == ErrorKind::Corrupt && !opened => self.one_by_one(same)?,
                other => other?,
            }
            self.chunks.fetch_add(1, Ordering::Relaxed);
        }
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
            return Err(Error::new(ErrorKind::Cancelled, "the restore was cancelled"));
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
        self.sink
            .write_at(data, offset)
            .map_err(|e| Error::new(ErrorKind::Sink, "the target cannot be written").because(e))
    }
}
