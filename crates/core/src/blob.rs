//! The bytes behind a grant, as pages: a disk's volume or a snapshot's point, with a VHD footer.
//!
//! Azure serves a managed disk as a page blob of the disk's size plus a 512-byte fixed-VHD footer.
//! Every method that moves bytes blocks and belongs into
//! [`Service::on_blob`](crate::service::Service::on_blob), which looks whether the grant is still
//! open and keeps it from being closed meanwhile.

use crate::error::{Error, Fault, Result};
use crate::model::Grant;
use crate::service::FOOTER_BYTES;
use jiff::Timestamp;
use std::ops::Range;
use std::sync::Arc;
use tresor_disk::{SECTOR, Volume, image::vhd};
use tresor_store::{DiffKind, Reader, Store};
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

/// What is opened behind a grant. Its copies share one handle.
#[derive(Clone)]
pub(crate) enum Content {
    Disk(Handle),
    Snapshot { store: Store, reader: Arc<Reader>, lineage: Uuid },
}

impl Content {
    /// Lets go of the handle here; blocking, because the last one flushes the volume.
    pub(crate) fn release(self) {
        if let Self::Disk(mut handle) = self {
            drop(handle.0.take());
        }
    }
}

/// A handle of a volume. The last one closes the volume, which flushes it; that is never done on a
/// thread that serves others too.
#[derive(Clone)]
pub(crate) struct Handle(Option<Arc<Volume>>);

impl Handle {
    pub(crate) fn new(volume: Arc<Volume>) -> Self {
        Self(Some(volume))
    }

    fn volume(&self) -> Result<&Volume> {
        let gone = || Error::internal("work on a disk", "its volume was let go");
        self.0.as_deref().ok_or_else(gone)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(last) = self.0.take().and_then(Arc::into_inner)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            drop(runtime.spawn_blocking(move || drop(last)));
        }
    }
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blob").field("grant", &self.grant).finish_non_exhaustive()
    }
}

impl Blob {
    pub(crate) fn new(grant: Grant, content: Content, modified: Timestamp) -> Result<Self> {
        let size = match &content {
            Content::Disk(handle) => handle.volume()?.size(),
            Content::Snapshot { reader, .. } => reader.size(),
        };
        Ok(Self { grant, content, size, modified })
    }

    /// Lets go of the handle here; blocking.
    pub(crate) fn release(self) {
        self.content.release();
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
    pub fn footer(&self) -> [u8; vhd::FOOTER] {
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
            Content::Disk(handle) => handle.volume()?.read_at(disk, range.start)?,
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
            Content::Disk(handle) => handle.volume()?.extents(on_disk)?,
            Content::Snapshot { reader, .. } => reader.extents(on_disk)?,
        };
        for extent in &mut found {
            let end = extent.end.next_multiple_of(SECTOR).min(range.end.min(self.size));
            *extent = (extent.start / SECTOR * SECTOR).max(range.start)..end;
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
            Content::Snapshot { store, reader, lineage },
            Content::Snapshot { reader: old, lineage: of, .. },
        ) = (&self.content, &older.content)
        else {
            let message = format!("{header}: both must be snapshots.");
            return Err(Fault::invalid(header, message).into());
        };
        if lineage != of {
            let message = format!("{header}: the older snapshot is not of the same disk.");
            return Err(Fault::invalid(header, message).into());
        }
        // The times of the points, not of the resources: a new tag makes nothing newer.
        let (old, new) = (old.record(), reader.record());
        if old.time > new.time {
            let message = format!("{header}: that snapshot is the newer one.");
            return Err(Fault::invalid(header, message).into());
        }
        let mut out = vec![];
        for change in store.diff(&old.key, &new.key, range.clone())? {
            let change = change?;
            let start = (change.offset / SECTOR * SECTOR).max(range.start);
            let end = (change.offset + change.len).next_multiple_of(SECTOR).min(range.end);
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
            Content::Disk(handle) => handle.volume(),
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
