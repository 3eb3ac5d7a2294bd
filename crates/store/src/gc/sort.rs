//! Sorting more ids than fit into memory.
//!
//! Ids are collected in a buffer; when it is full it is sorted and written to a file in the
//! folder of the index cache. Reading merges the files. The files hold ids only, which say
//! nothing without the key of the dedup domain, and go when the sorter goes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::id::Id;
use crate::index::Index;
use crate::margins;

/// Ids on their way to being sorted, each kept once.
pub(super) struct Sorter {
    index: Arc<Index>,
    limit: usize,
    buffer: Vec<Id>,
    files: Vec<PathBuf>,
}

impl Sorter {
    /// A sorter that keeps its files in the folder of `index` and `limit` ids in memory.
    pub(super) fn new(index: Arc<Index>, limit: usize) -> Self {
        let limit = limit.max(2);
        Self { index, limit, buffer: Vec::with_capacity(limit), files: Vec::new() }
    }

    /// Bytes of memory in use.
    pub(super) fn held(&self) -> usize {
        self.buffer.capacity() * size_of::<Id>()
    }

    /// Adds an id; equal ones become one.
    pub(super) fn add(&mut self, id: Id) -> Result<()> {
        self.buffer.push(id);
        if self.buffer.len() < self.limit {
            return Ok(());
        }
        self.tidy();
        // Mostly ids that were there already: go on with the room that this made.
        if self.buffer.len() > self.limit / 2 { self.spill() } else { Ok(()) }
    }

    fn tidy(&mut self) {
        self.buffer.sort_unstable();
        self.buffer.dedup();
    }

    fn spill(&mut self) -> Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        let mut ids = buffer.iter();
        self.write(|| Ok(ids.next().copied()))?;
        self.buffer = buffer;
        self.buffer.clear();
        if self.files.len() < margins::SORT_FILES {
            return Ok(());
        }
        let old = std::mem::take(&mut self.files);
        let merged = Sorted::open(&old, &[]).and_then(|mut all| self.write(|| all.next()));
        remove(&old);
        merged
    }

    fn write(&mut self, mut next: impl FnMut() -> Result<Option<Id>>) -> Result<()> {
        let path = self.index.scratch();
        self.files.push(path.clone());
        let mut file = BufWriter::new(File::create_new(&path).map_err(failed)?);
        while let Some(id) = next()? {
            file.write_all(&id.0).map_err(failed)?;
        }
        file.flush().map_err(failed)
    }

    /// All ids in order. More can be added afterwards.
    pub(super) fn sorted(&mut self) -> Result<Sorted<'_>> {
        self.tidy();
        Sorted::open(&self.files, &self.buffer)
    }
}

impl Drop for Sorter {
    fn drop(&mut self) {
        remove(&self.files);
    }
}

/// Left over, a file goes when the folder is opened again.
fn remove(files: &[PathBuf]) {
    for file in files {
        let _ = fs::remove_file(file);
    }
}

fn failed(e: io::Error) -> Error {
    Error::io("ids cannot be sorted in the index cache folder", e)
}

/// Sorted ids, each once.
pub(super) struct Sorted<'a> {
    files: Vec<BufReader<File>>,
    buffer: std::slice::Iter<'a, Id>,
    heap: BinaryHeap<Reverse<(Id, usize)>>,
    last: Option<Id>,
}

impl<'a> Sorted<'a> {
    fn open(files: &[PathBuf], buffer: &'a [Id]) -> Result<Self> {
        let open = |path: &PathBuf| File::open(path).map(BufReader::new).map_err(failed);
        let files = files.iter().map(open).collect::<Result<Vec<_>>>()?;
        let heap = BinaryHeap::new();
        let mut sorted = Self { files, buffer: buffer.iter(), heap, last: None };
        for number in 0..=sorted.files.len() {
            sorted.advance(number)?;
        }
        Ok(sorted)
    }

    /// The next id.
    pub(super) fn next(&mut self) -> Result<Option<Id>> {
        while let Some(Reverse((id, number))) = self.heap.pop() {
            self.advance(number)?;
            if self.last.replace(id) != Some(id) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// Reads the next id of a file; the number behind the last file is the buffer's.
    fn advance(&mut self, number: usize) -> Result<()> {
        let next = match self.files.get_mut(number) {
            None => self.buffer.next().copied(),
            Some(file) => {
                let mut id = [0; 32];
                match file.read_exact(&mut id) {
                    Ok(()) => Some(Id(id)),
                    Err(e) if e.kind() == ErrorKind::UnexpectedEof => None,
                    Err(e) => return Err(failed(e)),
                }
            }
        };
        self.heap.extend(next.map(|id| Reverse((id, number))));
        Ok(())
    }
}
