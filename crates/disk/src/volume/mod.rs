//! A volume: a disk of our own, a sparse raw file and the change map beside it.
//!
//! Every write goes through the same three steps, in this order: the change is admitted to the
//! map (durably, where the window has no intent yet), old blocks that an open view still needs
//! are copied aside, and only then the data is written. Writers share the *gate*; a freeze and a
//! growth hold it alone, so that neither ever falls into the middle of a write.

mod tracker;

#[cfg(test)]
mod campaign;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use crate::changed::{Identity, Stamp, WINDOW};
use crate::durable::{self, Directory};
use crate::error::{Error, ErrorKind, Result};
use crate::extent;
use crate::pool::{Registration, VolumeName};
use crate::snapshot::{Preserve, Purpose, View};
use fail::fail_point;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
pub(crate) use tracker::Marks;
use tracker::Tracker;

/// Bytes of a sector; sizes of volumes are multiples of it.
pub const SECTOR: u64 = 512;

/// The largest size of a volume, 64 TiB.
pub const MAX_SIZE: u64 = 1 << 46;

/// A clear is admitted to the map in pieces of this many bytes.
const CLEAR_STEP: u64 = 1024 * WINDOW;

/// An open volume. All methods may be called from many threads at once.
#[derive(Debug)]
pub struct Volume {
    generation: [u8; 16],
    data: File,
    /// The size. Shared by writers, held alone by a freeze and a growth.
    gate: RwLock<u64>,
    tracker: Mutex<Tracker>,
    /// Held over a sync and what is made of its outcome, before the tracker: the kernel tells an
    /// error of writing back once, and no second sync may pass between that and the poisoning.
    syncing: Mutex<()>,
    sides: AtomicU64,
    /// Last: it lets the next opener in, after the lock on `data` has gone.
    registration: Registration,
}

/// The name of a volume's data inside its folder; it binds the data to the generation.
pub(crate) fn data_name(generation: &[u8; 16]) -> String {
    format!("{:032x}.raw", u128::from_be_bytes(*generation))
}

/// The generation that a data file's name tells.
fn generation_of(name: &str) -> Option<[u8; 16]> {
    let digits = name.strip_suffix(".raw").filter(|digits| digits.len() == 32)?;
    let generation = u128::from_str_radix(digits, 16).ok()?.to_be_bytes();
    (data_name(&generation) == name).then_some(generation)
}

/// Checks the size of a volume.
pub(crate) fn check_size(size: u64) -> Result<()> {
    if size == 0 || size > MAX_SIZE {
        let text = format!("a volume of {size} bytes: sizes go from {SECTOR} to {MAX_SIZE}");
        return Err(Error::new(ErrorKind::OutOfRange, text));
    }
    if !size.is_multiple_of(SECTOR) {
        let text = format!("a volume of {size} bytes: no multiple of {SECTOR}");
        return Err(Error::new(ErrorKind::Unaligned, text));
    }
    Ok(())
}

/// Checks that a range of `length` bytes lies inside a disk and returns it.
pub(crate) fn check_range(offset: u64, length: u64, size: u64) -> Result<Range<u64>> {
    match offset.checked_add(length) {
        Some(end) if end <= size => Ok(offset..end),
        _ => {
            let text = format!("{length} bytes at {offset} are outside a disk of {size} bytes");
            Err(Error::new(ErrorKind::OutOfRange, text))
        }
    }
}

/// Fills a buffer from a file.
pub(crate) fn read_exact(file: &File, buffer: &mut [u8], offset: u64) -> Result<()> {
    let length = buffer.len();
    file.read_exact_at(buffer, offset)
        .map_err(|error| Error::io(format!("cannot read {length} bytes at {offset}"), error))
}

/// Locks a mutex. A panic of another holder does not make its state unusable: every change below
/// these locks is ordered such that stopping half-way marks too much, never too little.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Volume {
    /// Makes the files of a new volume in an empty folder, durably.
    pub(crate) fn make(folder: &Directory, size: u64, generation: [u8; 16]) -> Result<()> {
        let data = folder.create(&data_name(&generation))?;
        durable::set_len(&data, size)?;
        durable::sync_all(&data)?;
        Tracker::make(folder, size, generation, Identity::of(&data)?, Stamp::of(&data)?)?;
        folder.sync()
    }

    /// Opens the volume in a folder and locks it.
    pub(crate) fn open(folder: Directory, registration: Registration) -> Result<Self> {
        let mut found = None;
        for name in folder.names()? {
            if name.starts_with(SIDE_PREFIX) {
                folder.remove_file(&name)?;
            } else if let Some(generation) = generation_of(&name)
                && found.replace((name, generation)).is_some()
            {
                let text = format!("{} holds data twice", folder.path().display());
                return Err(Error::new(ErrorKind::Corrupt, text));
            }
        }
        let path = folder.path().display().to_string();
        let Some((name, generation)) = found else {
            return Err(Error::new(ErrorKind::Corrupt, format!("{path} holds no data")));
        };
        let data = folder.file(&name)?;
        durable::lock(&data, &path)?;
        let length =
            data.metadata().map_err(|error| Error::io(format!("cannot stat {path}"), error))?.len();
        check_size(length)
            .map_err(|error| Error::new(ErrorKind::Corrupt, format!("{path}: {error}")))?;
        let tracker = Tracker::open(folder, &data, length, generation)?;
        Ok(Self {
            generation,
            data,
            gate: RwLock::new(length),
            tracker: Mutex::new(tracker),
            syncing: Mutex::new(()),
            sides: AtomicU64::new(0),
            registration,
        })
    }

    /// The name of the volume.
    pub fn name(&self) -> &VolumeName {
        self.registration.name()
    }

    /// What the creator of the volume called this incarnation of the name.
    pub fn generation(&self) -> [u8; 16] {
        self.generation
    }

    /// The size in bytes.
    pub fn size(&self) -> u64 {
        *self.shared()
    }

    /// The root of the point that the change map is relative to.
    pub fn base(&self) -> Option<[u8; 32]> {
        self.tracker().base().map(|base| base.root)
    }

    /// Fills a buffer with the bytes at an offset.
    ///
    /// # Errors
    /// `OutOfRange` when the range leaves the disk; `Io` when it cannot be read.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        check_range(offset, buffer.len() as u64, self.size())?;
        read_exact(&self.data, buffer, offset)
    }

    /// Writes bytes at an offset; they are durable after the next flush.
    ///
    /// # Errors
    /// `OutOfRange` when the range leaves the disk; `Poisoned` when an fsync failed, now or
    /// earlier; `Full` or `Io` when the bytes or the change map cannot be written.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let size = self.shared();
        let range = check_range(offset, bytes.len() as u64, *size)?;
        if range.is_empty() {
            return Ok(());
        }
        self.admit(&range)?;
        durable::write_at(&self.data, bytes, offset)
    }

    /// Makes a range read as zeros and gives its space back.
    ///
    /// # Errors
    /// `OutOfRange` when the range leaves the disk or ends before it begins; `Poisoned` when an
    /// fsync failed, now or earlier; `Full` or `Io` when the bytes or the change map cannot be
    /// written. A part of the range may be zeros then.
    pub fn clear(&self, range: Range<u64>) -> Result<()> {
        let size = self.shared();
        let length = range.end.checked_sub(range.start);
        let range = check_range(range.start, length.unwrap_or(u64::MAX), *size)?;
        let mut at = range.start;
        while at < range.end {
            let piece = at..range.end.min(at + CLEAR_STEP);
            self.admit(&piece)?;
            durable::punch(&self.data, piece.start, piece.end - piece.start)?;
            at = piece.end;
        }
        Ok(())
    }

    /// Makes every completed write durable.
    ///
    /// Windows that had no write since the flush before get exact marks on disk; the others keep
    /// their intent, so that a writer that flushes often does not pay for an intent each time.
    ///
    /// # Errors
    /// `Poisoned` when an fsync failed, now or earlier; `Full` or `Io` when the change map cannot
    /// be written.
    pub fn flush(&self) -> Result<()> {
        self.tracker().check()?;
        self.sync_data()?;
        self.tracker().settle_idle()
    }

    /// Makes the volume larger; the new bytes are zero.
    ///
    /// An open view keeps its size. The growth counts as changed.
    ///
    /// # Errors
    /// `OutOfRange` when the size is below the present one or above [`MAX_SIZE`], `Unaligned` when
    /// it is no multiple of [`SECTOR`], `TooLarge` when the file system cannot hold it; `Poisoned`
    /// when an fsync failed, now or earlier; `Full` or `Io` when the files cannot be changed.
    pub fn grow(&self, size: u64) -> Result<()> {
        let mut gate = self.alone();
        if size < *gate {
            let text = format!("a volume of {} bytes cannot shrink to {size}", *gate);
            return Err(Error::new(ErrorKind::OutOfRange, text));
        }
        check_size(size)?;
        if size == *gate {
            return Ok(());
        }
        let _turn = locked(&self.syncing);
        let mut tracker = self.tracker();
        tracker.announce_growth(size)?;
        durable::set_len(&self.data, size)?;
        let synced = durable::sync_all(&self.data);
        tracker.poison_if_failed(synced)?;
        tracker.finish_growth(size)?;
        *gate = size;
        Ok(())
    }

    /// The data extents inside a range: a superset of the bytes that are not zero.
    ///
    /// # Errors
    /// `Io` when the file system does not tell.
    pub fn extents(&self, range: Range<u64>) -> Result<Vec<Range<u64>>> {
        extent::data(&self.data, &(range.start..range.end.min(self.size())))
    }

    /// The disk of this instant, for a backup. A second one at a time is `Busy`.
    ///
    /// # Errors
    /// As [`Volume::freeze_for`].
    pub fn freeze(self: &Arc<Self>) -> Result<View> {
        self.freeze_for(Purpose::Backup)
    }

    /// The disk of this instant. Views for copies may be open beside the one for a backup.
    ///
    /// # Errors
    /// `Busy` while [`MAX_VIEWS`](crate::MAX_VIEWS) views are open, and for a second backup;
    /// `NotFound` when the volume was removed; `Poisoned` when an fsync failed, now or earlier;
    /// `Full` or `Io` when the change map or the file for old blocks cannot be written.
    pub fn freeze_for(self: &Arc<Self>, purpose: Purpose) -> Result<View> {
        if purpose == Purpose::Backup {
            // What is marked so far stays exact even if the backup is cut off by a crash.
            self.tracker().settle_all()?;
        }
        let side = self.side_file()?;
        let size = self.alone();
        durable::set_len(&side, *size)?;
        let preserve = Arc::new(Preserve::new(side, *size));
        let marks = self.tracker().freeze(purpose, &preserve)?;
        Ok(View::new(Arc::clone(self), preserve, purpose, marks))
    }

    /// Makes everything durable and records the clean state. The volume stays usable.
    ///
    /// Dropping the last handle tries the same, without a way to report a failure.
    ///
    /// # Errors
    /// `Poisoned` when an fsync failed, now or earlier; `Full` or `Io` when the change map cannot
    /// be written.
    pub fn close(&self) -> Result<()> {
        let _alone = self.alone();
        let _turn = locked(&self.syncing);
        let mut tracker = self.tracker();
        tracker.check()?;
        if tracker.is_clean() || tracker.is_detached() {
            return Ok(());
        }
        let synced = durable::sync_all(&self.data);
        tracker.poison_if_failed(synced)?;
        tracker.settle_all()?;
        tracker.record_clean(Stamp::of(&self.data)?)
    }

    /// Adopts the root of a point for the marks of the open backup view.
    pub(crate) fn adopt(&self, root: [u8; 32], size: u64) -> Result<()> {
        self.tracker().check()?;
        // What the point holds must be on our disk too before its marks go: after a power loss
        // the data must not be older than what the map is relative to.
        self.sync_data()?;
        self.tracker().adopt(root, size)
    }

    /// Ends a view; the marks of a backup that was not adopted count again.
    pub(crate) fn release(&self, marks: &Marks, preserve: &Arc<Preserve>) {
        self.tracker().release(marks, preserve);
    }

    /// The folder of this volume is gone: kept state is written nowhere any more.
    pub(crate) fn detach(&self) {
        self.tracker().detach();
    }

    pub(crate) fn data(&self) -> &File {
        &self.data
    }

    /// Lets a change of a range happen: marked, intended, and copied aside for open views.
    fn admit(&self, range: &Range<u64>) -> Result<()> {
        let views = self.tracker().admit(range)?;
        for preserve in views {
            preserve.keep(&self.data, range);
        }
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        let _turn = locked(&self.syncing);
        self.tracker().check()?;
        let synced = sync_volume(&self.data);
        self.tracker().poison_if_failed(synced)
    }

    /// A file without a name for the old blocks of a view.
    fn side_file(&self) -> Result<File> {
        let number = self.sides.fetch_add(1, Ordering::Relaxed);
        self.tracker().side_file(&format!("{SIDE_PREFIX}{number}"))
    }

    fn tracker(&self) -> MutexGuard<'_, Tracker> {
        locked(&self.tracker)
    }

    fn shared(&self) -> RwLockReadGuard<'_, u64> {
        self.gate.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn alone(&self) -> RwLockWriteGuard<'_, u64> {
        self.gate.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops as a crash would: nothing is written any more, not even at drop.
    #[cfg(test)]
    pub(crate) fn crash(&self) {
        self.tracker().crash();
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(volume = %self.name(), %error, "a volume was not closed cleanly");
        }
    }
}

/// Old blocks of views; a crash between making such a file and unlinking it leaves its name.
const SIDE_PREFIX: &str = "side-";

fn sync_volume(data: &File) -> Result<()> {
    fail_point!("disk.volume.flush", |_| {
        Err(Error::poisoned("a fail point made an fsync fail", std::io::Error::other("injected")))
    });
    durable::sync_data(data)
}
