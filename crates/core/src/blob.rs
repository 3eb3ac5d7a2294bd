//! The bytes behind a grant, as pages: a disk's volume or a snapshot's point, with a VHD footer.
//!
//! Azure serves a managed disk as a page blob of the disk's size plus a 512-byte fixed-VHD footer.
//! Every method blocks and belongs on a thread that may.

use crate::error::{Fault, Result};
use crate::model::{Grant, Snapshot};
use crate::service::FOOTER_BYTES;
use jiff::Timestamp;
use std::ops::Range;
use std::sync::Arc;
use tresor_disk::{Volume, image::vhd};
use tresor_store::{DiffKind, PointKey, Reader, Store};
use uuid::Uuid;

/// An opened page blob.
#[derive(Clone)]
pub struct Blob {
    /// The grant that opened it.
    pub grant: Grant,
    content: Content,
    size: u64,
    modified: Timestamp,
}

#[derive(Clone)]
enum Content {
    Disk(Arc<Volume>),
    Snapshot { store: Store, reader: Arc<Reader>, point: PointKey, lineage: Uuid },
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blob").field("grant", &self.grant).finish_non_exhaustive()
    }
}

impl Blob {
    pub(crate) fn of_disk(grant: Grant, volume: Arc<Volume>, modified: Timestamp) -> Self {
        Self { grant, size: volume.size(), content: Content::Disk(volume), modified }
    }

    pub(crate) fn of_snapshot(
        grant: Grant,
        store: Store,
        (point, reader): (PointKey, Reader),
        snapshot: &Snapshot,
        modified: Timestamp,
    ) -> Self {
        let lineage = snapshot.source_unique_id;
        let size = reader.size();
        let content = Content::Snapshot { store, reader: Arc::new(reader), point, lineage };
        Self { grant, content, size, modified }
    }

    /// Size of the disk in bytes, without the footer.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// When the resource was last changed.
    #[must_use]
    pub fn last_modified(&self) -> Timestamp {
        self.modified
    }

    /// Tells this content from another resource's.
    #[must_use]
    pub fn etag(&self) -> String {
        format!("\"0x{:X}\"", self.grant.unique_id.as_u64_pair().0 ^ self.size)
    }

    /// The footer behind the disk: a fixed VHD of its size and identity.
    #[must_use]
    pub fn footer(&self) -> [u8; 512] {
        vhd::footer(self.size, *self.grant.unique_id.as_bytes(), 0)
    }

    /// Reads a range of disk and footer.
    ///
    /// # Errors
    /// When the range leaves the blob or the bytes cannot be read.
    pub fn read(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let length = self.checked(&range)?;
        let mut out = vec![0; length];
        let on_disk =
            usize::try_from(self.size.saturating_sub(range.start).min(range.end - range.start))
                .unwrap_or_default();
        let (disk, behind) = out.split_at_mut_checked(on_disk).unwrap_or_default();
        match &self.content {
            Content::Disk(volume) => volume.read_at(disk, range.start)?,
            Content::Snapshot { reader, .. } => reader.read_at(disk, range.start)?,
        }
        let footer = self.footer();
        let skip = usize::try_from(range.start.saturating_sub(self.size)).unwrap_or_default();
        for (to, from) in behind.iter_mut().zip(footer.iter().skip(skip)) {
            *to = *from;
        }
        Ok(out)
    }

    /// Data inside a range, on 512-byte bounds; what it leaves out reads as zeros.
    ///
    /// # Errors
    /// When the range leaves the blob.
    pub fn extents(&self, range: Range<u64>) -> Result<Vec<Range<u64>>> {
        self.checked(&range)?;
        let on_disk = range.start.min(self.size)..range.end.min(self.size);
        let mut found = match &self.content {
            _ if on_disk.is_empty() => vec![],
            Content::Disk(volume) => volume.extents(on_disk)?,
            Content::Snapshot { reader, .. } => reader.extents(on_disk)?,
        };
        for extent in &mut found {
            let end = extent.end.next_multiple_of(FOOTER_BYTES).min(range.end.min(self.size));
            *extent = (extent.start / FOOTER_BYTES * FOOTER_BYTES).max(range.start)..end;
        }
        if range.end > self.size {
            found.push(self.size.max(range.start)..range.end);
        }
        Ok(found)
    }

    /// What differs from an older snapshot of the same disk; true marks ranges that are zeros now.
    ///
    /// # Errors
    /// `InvalidInput` when either is no snapshot or they are of different disks.
    pub fn diff(&self, older: &Self, range: Range<u64>) -> Result<Vec<(Range<u64>, bool)>> {
        self.checked(&range)?;
        let header = "x-ms-previous-snapshot-url";
        let (
            Content::Snapshot { store, point, lineage, .. },
            Content::Snapshot { point: old, lineage: of, .. },
        ) = (&self.content, &older.content)
        else {
            let message = format!("{header}: both must be snapshots.");
            return Err(Fault::invalid(header, message).into());
        };
        if lineage != of {
            let message = format!("{header}: the older snapshot is not of the same disk.");
            return Err(Fault::invalid(header, message).into());
        }
        if older.modified > self.modified {
            let message = format!("{header}: that snapshot is the newer one.");
            return Err(Fault::invalid(header, message).into());
        }
        let mut out = vec![];
        for change in store.diff(old, point)? {
            let start = (change.offset / FOOTER_BYTES * FOOTER_BYTES).max(range.start);
            let end = (change.offset + change.len).next_multiple_of(FOOTER_BYTES).min(range.end);
            if start < end {
                out.push((start..end, change.kind == DiffKind::Zero));
            }
        }
        if range.end > self.size && older.size != self.size {
            out.push((self.size.max(range.start)..range.end, false));
        }
        Ok(out)
    }

    /// Writes bytes into the disk.
    ///
    /// # Errors
    /// When this is no disk, or the range leaves it.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        Ok(self.writable()?.write_at(bytes, offset)?)
    }

    /// Makes a range of the disk zeros.
    ///
    /// # Errors
    /// When this is no disk, or the range leaves it.
    pub fn clear(&self, range: Range<u64>) -> Result<()> {
        Ok(self.writable()?.clear(range)?)
    }

    fn writable(&self) -> Result<&Volume> {
        match &self.content {
            Content::Disk(volume) => Ok(volume),
            Content::Snapshot { .. } => {
                Err(Fault::invalid("access", "A snapshot cannot be written.").into())
            }
        }
    }

    fn checked(&self, range: &Range<u64>) -> Result<usize> {
        let inside = range.start < range.end && range.end <= self.size + FOOTER_BYTES;
        match usize::try_from(range.end.saturating_sub(range.start)) {
            Ok(length) if inside => Ok(length),
            _ => Err(Fault::invalid("range", "The range is not inside the blob.").into()),
        }
    }
}
