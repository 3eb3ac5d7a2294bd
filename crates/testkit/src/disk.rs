//! Disks in memory, and targets to restore to.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tresor_store::{Sink, Source, Watch};

/// A small generator of numbers for making test data; not for secrets.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit.max(1)
    }

    /// Fills `out` with incompressible bytes.
    pub fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            for (to, from) in chunk.iter_mut().zip(self.number().to_le_bytes()) {
                *to = from;
            }
        }
    }
}

/// A disk in memory that counts what is read of it.
#[derive(Debug)]
pub struct Memory {
    bytes: Vec<u8>,
    /// Tell what is zero, like a sparse file, or say that all is allocated.
    sparse: bool,
    read: AtomicU64,
}

impl Memory {
    /// A disk that knows which 4 KiB blocks of it are zero.
    pub fn sparse(bytes: Vec<u8>) -> Self {
        Self { bytes, sparse: true, read: AtomicU64::new(0) }
    }

    /// A disk that says that all of it is allocated.
    pub fn dense(bytes: Vec<u8>) -> Self {
        Self { bytes, sparse: false, read: AtomicU64::new(0) }
    }

    /// What is on the disk.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes read so far.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::SeqCst)
    }

    fn slice(&self, range: Range<u64>) -> io::Result<&[u8]> {
        let range = range.start as usize..range.end as usize;
        self.bytes.get(range).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl Source for Memory {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.read.fetch_add(buf.len() as u64, Ordering::SeqCst);
        buf.copy_from_slice(self.slice(offset..offset + buf.len() as u64)?);
        Ok(())
    }

    fn allocated(&self, range: Range<u64>) -> io::Result<Vec<Range<u64>>> {
        if !self.sparse {
            return Ok(vec![range]);
        }
        let mut out: Vec<Range<u64>> = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let end = (at / 4096 * 4096 + 4096).min(range.end);
            if self.slice(at..end)?.iter().any(|b| *b != 0) {
                match out.last_mut().filter(|last| last.end == at) {
                    Some(last) => last.end = end,
                    None => out.push(at..end),
                }
            }
            at = end;
        }
        Ok(out)
    }
}

/// A disk in memory that a restore writes to.
#[derive(Debug)]
pub struct Target(Mutex<Vec<u8>>);

impl Target {
    /// A disk of zeros.
    pub fn new(size: u64) -> Self {
        Self(Mutex::new(vec![0; size as usize]))
    }

    /// What is on the disk.
    pub fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Target {
    fn reserve(&self, _range: Range<u64>) -> io::Result<()> {
        Ok(())
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let mut bytes = self.bytes();
        let range = offset as usize..offset as usize + data.len();
        bytes.get_mut(range).ok_or(io::ErrorKind::WriteZero)?.copy_from_slice(data);
        Ok(())
    }
}

/// A watcher that adds up and can cancel after so many bytes.
#[derive(Debug, Default)]
pub struct Progress {
    expected: AtomicU64,
    done: AtomicU64,
    stored: AtomicU64,
    cancelled: AtomicBool,
    limit: Option<u64>,
}

impl Progress {
    /// Cancels once `bytes` of the work are done.
    pub fn until(bytes: u64) -> Self {
        Self { limit: Some(bytes), ..Self::default() }
    }

    /// Bytes of work that were announced.
    pub fn expected(&self) -> u64 {
        self.expected.load(Ordering::SeqCst)
    }

    /// Bytes of work that were done.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::SeqCst)
    }

    /// Bytes that were stored.
    pub fn stored(&self) -> u64 {
        self.stored.load(Ordering::SeqCst)
    }

    /// Cancels now.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
    }
}

impl Watch for Progress {
    fn expect(&self, bytes: u64) {
        self.expected.store(bytes, Ordering::SeqCst);
    }

    fn advance(&self, bytes: u64, stored: u64) {
        self.done.fetch_add(bytes, Ordering::SeqCst);
        self.stored.fetch_add(stored, Ordering::SeqCst);
    }

    fn cancelled(&self) -> bool {
        let over = self.limit.is_some_and(|limit| self.done() >= limit);
        over || self.cancelled.load(Ordering::SeqCst)
    }
}
