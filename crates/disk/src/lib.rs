//! Live disks: volumes with a change map, consistent views and image formats.
//!
//! This crate holds the bytes of disks that are in use. It knows nothing of recovery points but
//! the 32 bytes that name the content of one (a *root*), and nothing of HTTP or databases.
//!
//! What always holds:
//!
//! 1. **The change map covers.** Relative to the base it names, every 64 KiB unit that differs is
//!    marked, whatever is lost by a crash: before the first write into a 16 MiB window the
//!    window's intent is durable, and an intent without exact marks counts as the whole window.
//!    A map that cannot prove what it belongs to (generation, inode, size, time of the clean
//!    close) has no base, and then everything is read.
//! 2. **A base is adopted, never assumed.** A map becomes relative to a root only after the caller
//!    has said that the point with this root is durable; until then the marks of before the
//!    freeze are kept on disk, and they count again after failure, cancel or crash.
//! 3. **A view is one instant.** No write is half inside a freeze; a block that is overwritten
//!    later is copied aside first. If it cannot be copied the view fails and says so; the writer
//!    of the disk goes on.
//! 4. **A failed fsync is final.** It poisons the volume: nothing is written or claimed after it
//!    until the volume is opened again, and that opening trusts only what was durable.
//!
//! The API blocks and may be used from many threads; callers in an async runtime use blocking
//! tasks. Memory for marks is at most about 4 bytes for each MiB that was touched.
//!
//! A backup of what changed, and nothing else:
//!
//! ```
//! use tresor_disk::{Pool, UNIT, VolumeName};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let pool = Pool::open(&folder.path().join("disks"))?;
//! let disk = pool.create(&VolumeName::new("data-1")?, 1 << 30, [7; 16])?;
//! let first = [1; 32];
//! disk.freeze()?.adopt(first)?;
//!
//! disk.write_at(b"new", 5 * UNIT)?;
//! let view = disk.freeze()?;
//! disk.write_at(b"too late for this view", 5 * UNIT)?;
//! for range in view.changed(&first).ok_or("everything must be read")? {
//!     assert_eq!(range, 5 * UNIT..6 * UNIT);
//!     let mut bytes = [0; 3];
//!     view.read_at(&mut bytes, range.start)?;
//!     assert_eq!(&bytes, b"new");
//!     view.read_done(range);
//! }
//! view.adopt([2; 32])?;
//! # Ok(())
//! # }
//! ```
//!
//! Not built yet: lazy volumes, attached sources, the audit of hints, the NBD server, and image
//! formats other than raw and the fixed VHD footer.

mod changed;
mod durable;
mod error;
pub mod extent;
pub mod image;
mod pool;
mod range;
mod snapshot;
mod volume;

pub use changed::{UNIT, WINDOW};
pub use error::{Error, ErrorKind, Result};
pub use pool::{Pool, VolumeName};
pub use range::RangeSet;
pub use snapshot::{MAX_VIEWS, Purpose, View};
pub use volume::{MAX_SIZE, SECTOR, Volume};
