//! Reading a point at any place.

use std::ops::Range;

use crate::error::{Error, ErrorKind, Result};
use crate::field::{part, part_mut};
use crate::id::{Id, Root};
use crate::map::{Item, leaf, seek};
use crate::point::{PointKey, PointRecord};
use crate::store::Store;

/// Random access to the bytes of a point. Whoever reads over a long time holds a pin too.
#[derive(Debug, Clone)]
pub struct Reader {
    pub(crate) store: Store,
    pub(crate) record: PointRecord,
}

/// A chunk and where it lies on the disk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placed {
    pub(crate) offset: u64,
    pub(crate) len: u32,
    pub(crate) id: Id,
}

impl Store {
    /// Opens a point for reading. A pinned point can be read even after it was removed.
    pub fn reader(&self, point: &PointKey) -> Result<Reader> {
        let record = self.find_or_pinned(point)?;
        Ok(Reader { store: self.clone(), record })
    }
}

impl Reader {
    /// Bytes of the disk.
    pub fn size(&self) -> u64 {
        self.record.size
    }

    /// Names the whole content.
    pub fn root(&self) -> Root {
        self.record.root
    }

    /// The point.
    pub fn record(&self) -> &PointRecord {
        &self.record
    }

    /// Fills `buf` from `offset`.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let range = self.within(offset..offset.saturating_add(buf.len() as u64))?;
        buf.fill(0);
        let mut next = Some(range.start);
        while let Some(from) = next {
            let mut found = Vec::new();
            next = self.placed(from..range.end, &mut found)?;
            for chunk in found {
                let bytes = self.store.inner().loader.chunk(&chunk.id)?;
                let start = chunk.offset.max(range.start);
                let end = (chunk.offset + u64::from(chunk.len)).min(range.end);
                let from = (start - chunk.offset) as usize..(end - chunk.offset) as usize;
                let to = (start - range.start) as usize..(end - range.start) as usize;
                part_mut(buf, to)?.copy_from_slice(part(&bytes, from)?);
            }
        }
        Ok(())
    }

    /// The parts of `range` that are stored, merged where they touch; all else is zero.
    pub fn extents(&self, range: Range<u64>) -> Result<Vec<Range<u64>>> {
        let range = self.within(range)?;
        let mut out: Vec<Range<u64>> = Vec::new();
        let mut next = Some(range.start);
        while let Some(from) = next {
            let mut found = Vec::new();
            next = self.placed(from..range.end, &mut found)?;
            for chunk in found {
                let start = chunk.offset.max(range.start);
                let end = (chunk.offset + u64::from(chunk.len)).min(range.end);
                match out.last_mut().filter(|last| last.end == start) {
                    Some(last) => last.end = end,
                    None => out.push(start..end),
                }
            }
        }
        Ok(out)
    }

    /// The chunks of the first window in `range` that has any, as far as they lie in it;
    /// returns where to go on.
    pub(crate) fn placed(&self, range: Range<u64>, out: &mut Vec<Placed>) -> Result<Option<u64>> {
        let (map, loader) = (&self.record.map, &self.store.inner().loader);
        if range.start >= range.end {
            return Ok(None);
        }
        let first = range.start / u64::from(map.window.max(1));
        let Some(window) = seek(map, loader, first)? else {
            return Ok(None);
        };
        let mut at = map.start(window);
        if at >= range.end {
            return Ok(None);
        }
        if let Some((_, node)) = leaf(map, loader, window)? {
            for item in node.items(map.len(window))? {
                let end = at + u64::from(item.len());
                if let Item::Chunk { id, len } = *item
                    && at < range.end
                    && end > range.start
                {
                    out.push(Placed { offset: at, len, id });
                }
                at = end;
            }
        }
        Ok(Some(map.start(window + 1)).filter(|next| *next < range.end))
    }

    pub(crate) fn within(&self, range: Range<u64>) -> Result<Range<u64>> {
        if range.start > range.end || range.end > self.size() {
            return Err(Error::new(ErrorKind::Invalid, "the range lies outside the disk"));
        }
        Ok(range)
    }
}
