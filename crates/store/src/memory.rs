//! Memory for bytes on their way from or to a disk.
//!
//! It begins on a page of memory, as files want that are read and written past the page cache, and
//! asks for huge pages: a request for a megabyte then names one piece of memory and not 256.
//! `docs/performance.md` tells what that brings. Where the system has no huge pages it is memory
//! like any other.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use memmap2::{Advice, MmapMut};

use crate::error::{Error, Result};
use crate::field::part_mut;

/// Bytes of a huge page.
const HUGE: usize = 2 << 20;

/// Bytes that begin on a huge page. They take room in whole huge pages, from when they are first
/// touched.
#[derive(Default)]
pub(crate) struct Memory {
    /// Nothing: no room yet.
    map: Option<MmapMut>,
    start: usize,
    len: usize,
}

impl Memory {
    /// Memory of `len` zeros.
    pub(crate) fn new(len: usize) -> Result<Self> {
        let size = len.max(1).next_multiple_of(HUGE);
        // One more, of which nothing is ever touched: the system may begin anywhere.
        let map = MmapMut::map_anon(size + HUGE)
            .map_err(|e| Error::internal("the system gives no more memory").because(e))?;
        let start = map.as_ptr().align_offset(HUGE).min(HUGE);
        // Only advice: a system without huge pages does as well.
        let _ = map.advise_range(Advice::HugePage, start, size);
        Ok(Self { map: Some(map), start, len })
    }

    /// Bytes that it has room for without growing.
    fn room(&self) -> usize {
        self.map.as_ref().map_or(0, |map| map.len() - HUGE)
    }

    /// Forgets what is there; the room stays.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// `count` bytes that hold anything, behind what is there. [`Memory::filled`] makes them a
    /// part of it.
    pub(crate) fn spare(&mut self, count: usize) -> Result<&mut [u8]> {
        let need = self.len + count;
        if need > self.room() {
            let mut larger = Self::new(need.max(2 * self.room()))?;
            larger.len = self.len;
            larger.copy_from_slice(self);
            *self = larger;
        }
        let start = self.start + self.len;
        part_mut(self.map.as_deref_mut().unwrap_or_default(), start..start + count)
    }

    /// The first `count` bytes of what was spare belong to it now.
    pub(crate) fn filled(&mut self, count: usize) {
        self.len = (self.len + count).min(self.room());
    }

    /// Adds some bytes.
    pub(crate) fn extend(&mut self, bytes: &[u8]) -> Result<()> {
        self.spare(bytes.len())?.copy_from_slice(bytes);
        self.filled(bytes.len());
        Ok(())
    }
}

impl Deref for Memory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let map = self.map.as_deref().unwrap_or_default();
        map.get(self.start..self.start + self.len).unwrap_or_default()
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [u8] {
        let map = self.map.as_deref_mut().unwrap_or_default();
        map.get_mut(self.start..self.start + self.len).unwrap_or_default()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("len", &self.len).finish_non_exhaustive()
    }
}

/// Memory that is lent and comes back, because memory that was never used is dear: the system
/// has to clear it first.
#[derive(Debug)]
pub(crate) struct Pool {
    free: Mutex<Vec<Memory>>,
    pieces: usize,
    largest: usize,
}

impl Pool {
    /// A pool that keeps at most so many pieces while nobody has them, none of which has room for
    /// more than `largest` bytes and the rest of a huge page.
    pub(crate) fn new(pieces: usize, largest: usize) -> Arc<Self> {
        Arc::new(Self { free: Mutex::default(), pieces, largest: largest.next_multiple_of(HUGE) })
    }

    /// Memory of `len` bytes that hold anything.
    pub(crate) fn lend(self: &Arc<Self>, len: usize) -> Result<Lent> {
        let fit = {
            let mut free = self.free();
            let fits = free.iter().enumerate().filter(|(_, memory)| memory.room() >= len);
            let best = fits.min_by_key(|(_, memory)| memory.room()).map(|(place, _)| place);
            best.map(|place| free.swap_remove(place))
        };
        let mut memory = fit.map_or_else(|| Memory::new(len), Ok)?;
        memory.len = len;
        Ok(Lent { memory, pool: Arc::clone(self) })
    }

    fn free(&self) -> MutexGuard<'_, Vec<Memory>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Memory that goes back to its pool.
#[derive(Debug)]
pub(crate) struct Lent {
    memory: Memory,
    pool: Arc<Pool>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.memory
    }
}

impl Deref for Lent {
    type Target = Memory;

    fn deref(&self) -> &Memory {
        &self.memory
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Memory {
        &mut self.memory
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        let mut free = self.pool.free();
        if free.len() < self.pool.pieces && memory.room() <= self.pool.largest {
            free.push(memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_begins_on_a_page_and_comes_back() {
        let pool = Pool::new(9, 9 * HUGE);
        let mut first = pool.lend(HUGE + 1).unwrap();
        let second = pool.lend(5).unwrap();
        for (lent, len) in [(&first, HUGE + 1), (&second, 5)] {
            assert_eq!(lent.len(), len);
            assert!(lent.as_ptr().align_offset(HUGE) == 0);
            assert!(lent.iter().all(|byte| *byte == 0));
        }
        first[HUGE] = 7;
        let places = [&first, &second].map(|lent| lent.as_ptr());
        drop((first, second));
        // The one that fits best comes first, with what it held.
        let small = pool.lend(9).unwrap();
        let large = pool.lend(2 * HUGE).unwrap();
        assert_eq!([&large, &small].map(|lent| lent.as_ptr()), places);
        assert_eq!(large[HUGE], 7);
        assert_eq!(small.len(), 9);
    }

    #[test]
    fn a_pool_keeps_no_more_than_its_bounds() {
        let pool = Pool::new(3, HUGE + 1);
        drop(pool.lend(2 * HUGE + 1).unwrap());
        assert_eq!(pool.free().len(), 0);
        let lent: Vec<_> = (0..5).map(|_| pool.lend(2 * HUGE).unwrap()).collect();
        drop(lent);
        assert_eq!(pool.free().len(), 3);
    }

    #[test]
    fn memory_grows_with_what_is_there() {
        let mut memory = Memory::default();
        let mut expected = Vec::new();
        for round in 0..40u8 {
            let bytes = vec![round; 300_001];
            memory.extend(&bytes).unwrap();
            expected.extend_from_slice(&bytes);
            // What was spare and not taken is not there.
            memory.spare(9).unwrap().fill(99);
        }
        assert!(*memory == expected[..]);
        memory.clear();
        assert!(memory.is_empty());
    }
}
