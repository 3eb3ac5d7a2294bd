//! Bytes kept for ever: chunks, packs, maps and recovery points.
//!
//! A [`Store`] keeps points of disks, deduplicated, compressed, encrypted and verified, as
//! objects in a folder or a bucket. It knows disks only as a [`Source`] and a [`Sink`] of bytes,
//! and nothing of whoever serves them. `FORMAT.md` beside this crate describes every byte.
//!
//! # What must always hold
//!
//! 1. A point record is written only after everything that it reaches is durable.
//! 2. Nothing that a point record reaches is ever deleted or changed.
//! 3. Every object is created once, under a name that no other object ever had, and is then only
//!    read or deleted. Nothing needs compare-and-swap.
//! 4. Bytes handed to a reader have been verified against their id.
//! 5. Equal contents have equal roots: how a point was made cannot be seen in its map.
//! 6. Memory is bounded, whatever the size of the disk or of the store (see `margins`).
//!
//! # The order of a commit
//!
//! ```text
//! writer announced -> chunks in packs -> map nodes in packs -> index run -> point record
//! ```
//! Each is durable before the next is begun. The point's key is fixed first and derives from the
//! job: attempts of one job race for it, and whoever creates it wins. A process killed anywhere
//! leaves nothing that is listed; its index runs let the next attempt find again what it stored.
//!
//! # What may run beside what
//!
//! Within one process and across processes, on one store:
//!
//! | | ingest | read | pin | remove | collect |
//! |---|---|---|---|---|---|
//! | ingest | yes (1) | yes | yes | yes (2) | yes (6) |
//! | read | yes | yes | yes | with a pin (3) | with a pin (3) |
//! | pin | yes | yes | yes | yes (4) | yes (7) |
//! | remove | yes (2) | with a pin (3) | yes (4) | yes (5) | yes |
//! | collect | yes (6) | with a pin (3) | yes (7) | yes | yes (8) |
//!
//! "Read" is restore, random read and difference; "remove" is the removal of a point; "collect"
//! is the collection of garbage (see `gc`).
//! 1. Names are random; of two attempts at one point, the point's key decides.
//! 2. The writer's announcement keeps a copy of the parent's record.
//! 3. Without a pin the bytes of a removed point may go at any time. Chunks of listed points
//!    move; a reader finds them again.
//! 4. A pin that is seen in time refuses the removal; one that is late keeps a copy of the record.
//! 5. Removing twice is removing once.
//! 6. A writer relies on no pack that is condemned or gone; a collector waits for the writers
//!    that cannot know, or fences them.
//! 7. A pin of a point that is listed always; a further pin of a removed point not while packs
//!    are condemned.
//! 8. Of two decisions about one pack the first counts; copies of one chunk in two packs that
//!    two collectors condemn are never both deleted.
//!
//! Copying to another store is reading, with a pin, here and ingesting there.
//!
//! Verification, repair and healing from another store run beside everything, and beside each
//! other. Verification reads, and asks again before it reports what another may have moved or
//! removed rightly; of two that find the same damage both may write it down. Repair and healing
//! announce themselves as writers, so that no collection takes what they bring back; repair names
//! no pack that is decided to be garbage, and deletes an index run only if that run is damaged and
//! everything that can be read in packs is named by others.
//!
//! # Room
//!
//! A store keeps a reserve (see `reserve`): on a full disk points can still be removed, pinned and
//! read, the index repaired and garbage collected. Only new points are refused, with
//! [`ErrorKind::Full`].
//!
//! # Damage
//!
//! One damaged object fails nothing but what needs it. A damaged index run, and a damaged place
//! in the quarantine, count as absent; a damaged point is listed apart ([`Points`]). Damaged pins
//! stop removals, pins and writers stop collections, until a repair is asked to drop them; a
//! damaged condemnation stops new points until the next collection; none stops reading.
//! [`Store::verify`]
//! finds damage and names points and byte ranges, [`Store::wounds`] tells those of one point. The
//! next incremental backup reads the wounds of its parent again, [`Store::heal_from`] fetches
//! them from another store of the domain, [`Store::repair`] makes the index and the key slots
//! anew and finds frames again.

mod cache;
mod census;
mod chunk;
mod codec;
mod config;
mod copy;
mod damage;
mod diff;
mod direct;
pub mod durable;
pub mod env;
mod error;
mod fetch;
mod field;
#[cfg(any(test, feature = "fuzzing"))]
mod fixture;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod gc;
#[cfg(test)]
mod golden;
mod id;
mod index;
mod ingest;
mod keys;
mod load;
mod map;
mod margins;
mod memory;
mod object;
mod pack;
mod pin;
mod point;
mod present;
mod quarantine;
mod read;
mod repair;
mod reserve;
mod restore;
mod seal;
mod source;
mod standing;
mod store;
mod verify;
mod wound;

pub use census::{Census, Count, Shape};
pub use chunk::BLOCK;
pub use config::{FORMAT, StoreConfig};
pub use copy::{COPIED_FROM_POINT, COPIED_FROM_ROOT, COPIED_FROM_STORE, Copied};
pub use damage::{Damaged, Points};
pub use diff::{Diff, DiffKind, DiffRange};
pub use error::{Error, ErrorKind, Result};
pub use gc::{Collect, Collected, Waiting};
pub use id::Root;
pub use ingest::{Begun, Committed, Ingest, Ingested, Plan};
pub use keys::{Domain, RecoveryKey, Secret, SlotCopies, SlotInfo, SlotKind};
pub use object::LocalObjects;
pub use pin::{Pin, PinRecord, WriterRecord};
pub use point::{PointKey, PointRecord};
pub use quarantine::{Affected, BadPlace, QuarantineRecord};
pub use read::Reader;
pub use repair::{Healed, Repair, Repaired};
pub use restore::Restored;
pub use source::{Sink, Source, Watch};
pub use store::Store;
pub use verify::{Depth, Finding, FindingKind, Sample, Slice, Verified, Verify, VerifyMark};
