//! Collection of garbage: freeing what no point reaches, beside everything else that runs.
//!
//! ```text
//! mark -> condemn (record) -> writers that cannot know end or are voided -> mark again, release
//! what is reached -> confirm (record) -> delete packs -> replace index runs -> clear records
//! ```
//!
//! # What must always hold
//!
//! 1. A pack is deleted only if it was condemned, durably, *before* the writers were listed that
//!    the decision waits for, and if the roots were listed *after* they had all ended.
//! 2. A writer relies on a pack only if, after its announcement, the pack was there and no
//!    condemned record named it (see `present`). So it is awaited or it does not matter.
//! 3. A copy of a chunk stands in for another one only if its pack is there and in no condemned
//!    record of anybody, by lists made in this order: condemned records, packs, roots. Of two
//!    collectors that condemn two copies at least one sees the other's record.
//! 4. A decision is one create-only record: the first counts. It counts only while its sentence
//!    is there, and a sentence is cleared away before its decision.
//! 5. Clocks decide when a lost writer is voided, never whether something may be deleted.
//!
//! Anybody may be killed or paused anywhere, for ever. The next run goes on from the records.
//!
//! On a full disk a collection frees the store's reserve (see `reserve`) and goes on: it needs a
//! little room for its records before it deletes, deletes all that is dead before it copies
//! anything, copies as much as there is room for, frees what that made dead, and begins again.
//! The index is replaced last, once for all that was deleted.
//!
//! `docs/adr/0003-collection.md` has the sequences that were argued.

mod compact;
mod forecast;
mod loss;
mod mark;
mod record;
mod run;
mod settle;
mod sort;
mod table;
mod tidy;

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::error::{Error, ErrorKind, Result};
use crate::margins;
use crate::point::PointKey;
use crate::quarantine::Affected;
use crate::source::Watch;
use crate::store::Store;

pub(crate) use record::{AWAITED, CONDEMNED, CONFIRMED};

/// How to collect garbage.
#[derive(Debug, Clone, PartialEq)]
pub struct Collect {
    /// Only say what would be done. Nothing is written or deleted.
    pub dry_run: bool,
    /// Unused bytes in packs that are left alone, in percent of all bytes. Above this the packs
    /// with the largest unused part are rewritten.
    pub max_unused_percent: f64,
    /// Packs below this size are gathered into larger ones, in bytes.
    pub small_pack_bytes: u64,
    /// Most bytes that one call copies out of packs that are rewritten.
    pub rewrite_bytes: u64,
    /// Age, by the domain clock, at which a writer that has not committed is given up: its point
    /// can then never be made. Longer than the longest backup.
    pub void_after: Duration,
    /// Ids sorted in memory while marking, 32 bytes each; more are sorted on disk, in the cache
    /// folder.
    pub sort_ids: usize,
    /// Entries of an index run that is written in place of others, at most; about 100 bytes of
    /// memory each.
    pub run_entries: usize,
}

impl Default for Collect {
    fn default() -> Self {
        Self {
            dry_run: false,
            max_unused_percent: 5.0,
            small_pack_bytes: 4 << 20,
            rewrite_bytes: 4 << 30,
            void_after: Duration::from_secs(24 * 3600),
            sort_ids: margins::SORT_IDS,
            run_entries: margins::REWRITE_ENTRIES,
        }
    }
}

/// A writer that a collection waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its name.
    pub writer: Uuid,
    /// The point that it wants to make.
    pub point: PointKey,
    /// When it announced itself, by the domain clock.
    pub since: Timestamp,
}

/// What a collection did or, as a dry run, would do. All sizes are bytes of whole objects, except
/// where it says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// Points that are listed.
    pub points: u64,
    /// Points, pins and parents of writers: everything that keeps bytes.
    pub roots: u64,
    /// Packs in the store before anything was done.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of frames in them that are needed.
    pub live_bytes: u64,
    /// Packs in which nothing is needed, found by this run.
    pub dead_packs: u64,
    /// Their bytes.
    pub dead_bytes: u64,
    /// Packs from which what is needed was copied, so that they can go too.
    pub rewritten_packs: u64,
    /// Their bytes.
    pub rewritten_bytes: u64,
    /// Bytes of frames copied out of them.
    pub copied_bytes: u64,
    /// Packs deleted by this run, also those that earlier runs had condemned.
    pub deleted_packs: u64,
    /// Their bytes: what was freed. Bytes of new packs are not subtracted.
    pub freed_bytes: u64,
    /// Packs that only a later run can delete, once `waiting_for` have ended or are given up. A
    /// dry run tells them; a run does not.
    pub later_packs: u64,
    /// Their bytes.
    pub later_bytes: u64,
    /// Condemned packs that were needed after all.
    pub released_packs: u64,
    /// Writers that must end, or become older than `void_after`, before the rest can be freed.
    /// If there are any, collect again later; the next run goes on.
    pub waiting_for: Vec<Waiting>,
    /// Points that can never be made any more, because their writers were given up; of a dry run
    /// those whose writers would be.
    pub voided: Vec<PointKey>,
    /// Chunks and map nodes that are needed and nowhere. If there are any, nothing was condemned
    /// or deleted: verify and repair the store first.
    pub lost_ids: u64,
    /// Some of them, in hex.
    pub lost: Vec<String>,
    /// Points whose maps cannot be read for that.
    pub lost_points: Vec<PointKey>,
    /// The points that cannot be read as a whole, with the byte ranges that are lost; the first
    /// 64. Points that live on in pins only are among them.
    pub affected: Vec<Affected>,
    /// How many points there are.
    pub affected_count: u64,
    /// Whether a full disk kept it from doing all: rewriting packs, making the index smaller or
    /// making the reserve anew. What was freed is freed; make more room, or collect again.
    pub short_of_room: bool,
    /// Bytes of memory that marking and the tables of packs held at most, by their capacity: 8 MiB
    /// of ids ([`Collect::sort_ids`]), at most 9 MiB of nodes walked, 80 for each map, 40 for each
    /// pack, twice while it is decided, and 32 for each that is condemned; beside them up to
    /// 50 MiB of frames while packs are rewritten.
    pub held_bytes: u64,
    /// Entries of the index before.
    pub entries_before: u64,
    /// Entries of the index after.
    pub entries_after: u64,
}

impl Store {
    /// Frees what no point, pin or writer needs; may run beside anything, also beside itself.
    ///
    /// The watcher is told of bytes freed (as work) and of bytes stored anew; stopped by it, or
    /// killed, the next call goes on. Check [`Collected::lost_ids`] (nothing more is deleted while
    /// something is lost) and [`Collected::waiting_for`] (the rest is freed by a later call).
    /// On a full disk it goes on with the store's reserve, and makes that anew in the end.
    ///
    /// Fails with [`ErrorKind::Corrupt`], deleting nothing more, where a damaged point, pin, writer
    /// or index run hides what is needed: verify and repair the store first.
    pub fn collect(&self, how: &Collect, watch: &dyn Watch) -> Result<Collected> {
        let inner = self.inner();
        if inner.index.supposes() {
            let context = "this handle reads a store that was repaired in memory only: \
                           repair it, or open it anew, before garbage is collected";
            return Err(Error::new(ErrorKind::Invalid, context));
        }
        // A place in quarantine is none: its content must be somewhere else too.
        inner.learn_quarantine()?;
        run::Run::new(self, how, watch).all()
    }
}

fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the collection was cancelled")
}
