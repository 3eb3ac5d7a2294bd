//! A view: the disk of one instant, readable while the disk changes.
//!
//! Before a block is overwritten its old bytes are copied aside, as long as a view may still need
//! them. A reader reads the live disk first and asks afterwards which of these blocks had been
//! copied aside by then; it takes those from the side. Because a block is copied aside before the
//! new bytes go over it, what it read of the others is what they were.

mod preserve;

pub(crate) use preserve::Preserve;

use crate::error::{Error, ErrorKind, Result};
use crate::extent;
use crate::range::RangeSet;
use crate::volume::{Marks, Volume, check_range, read_exact};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many views of one volume may be open at once.
pub const MAX_VIEWS: usize = 8;

/// What a view is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To make a recovery point: the view holds the marks and may adopt the point's root.
    Backup,
    /// To read only; such a view knows nothing about changes.
    Copy,
}

/// The disk of one instant. Ends by [`adopt`](View::adopt), [`abandon`](View::abandon) or drop.
#[derive(Debug)]
pub struct View {
    volume: Arc<Volume>,
    preserve: Arc<Preserve>,
    purpose: Purpose,
    marks: Marks,
    bytes_read: AtomicU64,
}

impl View {
    pub(crate) fn new(
        volume: Arc<Volume>,
        preserve: Arc<Preserve>,
        purpose: Purpose,
        marks: Marks,
    ) -> Self {
        Self { volume, preserve, purpose, marks, bytes_read: AtomicU64::new(0) }
    }

    /// The size of the disk at that instant.
    pub fn size(&self) -> u64 {
        self.preserve.size()
    }

    /// The volume that the view is of.
    pub fn volume(&self) -> &Arc<Volume> {
        &self.volume
    }

    /// Fills a buffer with the bytes of that instant.
    ///
    /// # Errors
    /// `OutOfRange` when the range leaves the disk, or a part of it was given up by
    /// [`read_done`](View::read_done); `Io` when it cannot be read. Once a block could not be
    /// copied aside every range fails with the kind of that failure, such as `Full`.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        let range = check_range(offset, buffer.len() as u64, self.size())?;
        read_exact(self.volume.data(), buffer, offset)?;
        self.preserve.patch(buffer, &range)?;
        self.bytes_read.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Where the disk of that instant may hold bytes that are not zero.
    ///
    /// # Errors
    /// `Io` when the file system does not tell; the kind of the failure once a block could not be
    /// copied aside.
    pub fn allocated(&self, range: Range<u64>) -> Result<Vec<Range<u64>>> {
        let range = range.start..range.end.min(self.size());
        // The live disk first: a block that is punched out after this was in it, one that was
        // punched out before is in the side file by now.
        let mut set: RangeSet = extent::data(self.volume.data(), &range)?.into_iter().collect();
        set.extend(self.preserve.extents(&range)?);
        Ok(set.iter().collect())
    }

    /// Lets the operating system begin to fetch a range that will be read soon. Only advice.
    pub fn prefetch(&self, range: Range<u64>) {
        extent::prefetch(self.volume.data(), range.start..range.end.min(self.size()));
    }

    /// The ranges that may differ from the point with this root, in 64 KiB units, merged.
    ///
    /// `None`: the change map is not relative to it, or cannot prove that it is; everything must
    /// be read.
    pub fn changed(&self, base: &[u8; 32]) -> Option<Vec<Range<u64>>> {
        self.marks.since(base, self.size())
    }

    /// How many bytes were read through this view.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// The 64 KiB units that lie wholly in this range are not needed any more.
    pub fn read_done(&self, range: Range<u64>) {
        self.preserve.give_up(&range);
    }

    /// The point with this root is durable: the change map is relative to it from now on.
    ///
    /// # Errors
    /// `Denied` for a view that is no backup's; `Poisoned` when an fsync failed, now or earlier;
    /// `Full` or `Io` when the change map cannot be written. The marks count again then, as after
    /// [`abandon`](View::abandon).
    pub fn adopt(self, root: [u8; 32]) -> Result<()> {
        if self.purpose != Purpose::Backup {
            return Err(Error::new(ErrorKind::Denied, "a view for a copy has nothing to adopt"));
        }
        self.volume.adopt(root, self.size())
    }

    /// No point came of this view: its marks count again.
    pub fn abandon(self) {
        drop(self);
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.volume.release(&self.marks, &self.preserve);
    }
}
