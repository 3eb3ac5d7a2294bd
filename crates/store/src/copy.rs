//! Copying points from one store to another.
//!
//! A copy is an ingest whose source is a point of another store: it announces itself, keeps the
//! order of a commit and is found again after a crash like any other. It has the key, the time
//! and the facts of its source, and three facts more that say where it comes from. Only where
//! collection gave up an attempt at the copy has the next one another key, which follows from
//! that of the source.
//!
//! Stores of one domain that cut alike give equal contents equal names: the map is walked, and
//! only chunks that the target lacks are moved (see `ingest::transfer`). Between all others the
//! bytes are read and ingested anew: those that differ from the last copied point of the chain,
//! if there is one. That point stays pinned in the source, so that it can be compared with even
//! after it was removed there; the next copy of the chain releases it.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use crate::chunk::BLOCK;
use crate::error::{Error, ErrorKind, Result};
use crate::ingest::{Begun, Ingest, Ingested, Plan};
use crate::margins;
use crate::pin::Pin;
use crate::point::{PointKey, PointRecord};
use crate::read::Reader;
use crate::source::{Source, Watch};
use crate::standing::{Held, removed_object};
use crate::store::Store;

/// The fact of a copied point that names the store it was copied from.
pub const COPIED_FROM_STORE: &str = "copied-from-store";
/// The fact of a copied point that names the point it is a copy of.
pub const COPIED_FROM_POINT: &str = "copied-from-point";
/// The fact of a copied point that names the content it had in the store it was copied from.
pub const COPIED_FROM_ROOT: &str = "copied-from-root";

/// What a copy did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The point in the target.
    pub record: PointRecord,
    /// What moved: `bytes_read` were decoded from the source, `bytes_deduplicated` and
    /// `bytes_found_again` were in the target already. `None`: all of the point was.
    pub moved: Option<Ingested>,
    /// Whether the bytes were cut and named anew, because the domains differ.
    pub anew: bool,
}

impl Store {
    /// Copies a point to `target`, under the same key; a point that is there already is left as
    /// it is. The point is pinned here while it is read. The watcher is told of the bytes of the
    /// disk, or of those that differ.
    ///
    /// Fails with [`ErrorKind::Exists`] if the target has another content under the key, and with
    /// [`ErrorKind::Voided`] if the copy was removed from the target.
    pub fn copy_point(&self, point: &PointKey, target: &Self, watch: &dyn Watch) -> Result<Copied> {
        if self.id() == target.id() {
            let context = "a point cannot be copied to the store that it lies in";
            return Err(Error::new(ErrorKind::Invalid, context));
        }
        let alike = self.cuts_like(target);
        let holder = match alike {
            true => format!("copy of {point} to {}", target.id()),
            // All copies of a chain share a holder: each releases what the one before left.
            false => format!("copies to {}", target.id()),
        };
        let pin = self.pin(point, &holder)?;
        let record = pin.record().point.clone();
        let copied = match alike {
            true => self.take_over(&record, target, watch).map(|copied| (copied, None)),
            false => self.ingest_anew(&record, target, watch, &holder),
        };
        match copied {
            Ok((copied, base)) => {
                self.unpin(&pin, &copied, &holder, base);
                Ok(copied)
            }
            Err(e) => {
                if let Err(e) = pin.release() {
                    tracing::warn!(%point, error = %e, "the pin of a copy stays behind");
                }
                Err(e)
            }
        }
    }

    /// Whether equal contents have equal names in both stores.
    fn cuts_like(&self, other: &Self) -> bool {
        let (a, b) = (self.config(), other.config());
        let rule = |c: &crate::config::StoreConfig| {
            (c.window, c.chunk_min, c.chunk_mean, c.chunk_max, c.zero_run_blocks)
        };
        self.inner().ring.domain == other.inner().ring.domain && rule(a) == rule(b)
    }

    fn take_over(&self, of: &PointRecord, to: &Self, watch: &dyn Watch) -> Result<Copied> {
        let same = |record: PointRecord| match record.root == of.root {
            true => Ok(record),
            false => Err(foreign(of)),
        };
        let parent = self.ancestor(of, |key| to.copy_at(key))?.map(|(_, copy)| copy.key);
        let point = to.place_for(&of.key)?;
        let mut ingest = match to.begin(Plan { point, parent, size: of.size })? {
            Begun::Exists(record) => return same(record).map(|record| there(record, false)),
            Begun::New(ingest) => ingest,
        };
        let reader = Reader { store: self.clone(), record: of.clone() };
        match ingest.transfer(&reader, watch) {
            Ok(moved) => {
                let committed = ingest.commit(self.facts_of(of), of.time)?;
                Ok(Copied { record: same(committed.record)?, moved: Some(moved), anew: false })
            }
            Err(e) => {
                ingest.abandon()?;
                Err(e)
            }
        }
    }

    /// Reads and ingests what differs from the last copied point of the chain; also returns that
    /// point.
    fn ingest_anew(
        &self,
        of: &PointRecord,
        to: &Self,
        watch: &dyn Watch,
        holder: &str,
    ) -> Result<(Copied, Option<PointKey>)> {
        let base = self.ancestor(of, |key| {
            let (Some(found), Some(source)) = (to.copy_at(key)?, self.still(key)?) else {
                return Ok(None);
            };
            Ok(Some(found).filter(|found| is_copy(found, &source)))
        })?;
        let parent = base.as_ref().map(|(_, copy)| copy.key);
        let base = base.map(|(key, _)| key);
        let point = to.place_for(&of.key)?;
        let same = |record: PointRecord| match is_copy(&record, of) {
            true => Ok(record),
            false => Err(foreign(of)),
        };
        // What is compared with must not go while it is read.
        let pin = base.map(|key| self.pin(&key, holder)).transpose()?;
        let done = (|| {
            let mut ingest = match to.begin(Plan { point, parent, size: of.size })? {
                Begun::Exists(record) => return same(record).map(|record| there(record, true)),
                Begun::New(ingest) => ingest,
            };
            let base = base.filter(|_| ingest.parent().is_some());
            let run = |ingest: &mut Ingest| {
                let changed = base.map(|key| self.changed(&key, of)).transpose()?;
                let reader = Reader { store: self.clone(), record: of.clone() };
                ingest.run(&Disk(reader), changed.as_deref(), watch)
            };
            match run(&mut ingest) {
                Ok(moved) => {
                    let committed = ingest.commit(self.facts_of(of), of.time)?;
                    Ok(Copied { record: same(committed.record)?, moved: Some(moved), anew: true })
                }
                Err(e) => {
                    ingest.abandon()?;
                    Err(e)
                }
            }
        })();
        if let (Err(_), Some(pin)) = (&done, pin) {
            pin.release()?;
        }
        done.map(|copied| (copied, base))
    }

    /// What a copy says of where it comes from.
    fn facts_of(&self, of: &PointRecord) -> BTreeMap<String, String> {
        let mut facts = of.facts.clone();
        facts.insert(COPIED_FROM_STORE.into(), self.id().to_string());
        facts.insert(COPIED_FROM_POINT.into(), of.key.to_string());
        facts.insert(COPIED_FROM_ROOT.into(), of.root.to_string());
        facts
    }

    /// The nearest ancestor that is `found`, and what was found. The search ends where an
    /// ancestor is gone.
    fn ancestor<T>(
        &self,
        of: &PointRecord,
        mut found: impl FnMut(&PointKey) -> Result<Option<T>>,
    ) -> Result<Option<(PointKey, T)>> {
        let mut next = of.parent;
        for _ in 0..margins::COPY_ANCESTORS {
            let Some(key) = next else { break };
            if let Some(found) = found(&key)? {
                return Ok(Some((key, found)));
            }
            next = self.still(&key)?.and_then(|record| record.parent);
        }
        Ok(None)
    }

    /// The key under which a point is to be copied to this store: its own, or one that follows
    /// from it where collection gave up an earlier attempt at the copy. Fails with
    /// [`ErrorKind::Voided`] where the copy was removed.
    fn place_for(&self, of: &PointKey) -> Result<PointKey> {
        for attempt in 0..margins::COPY_KEYS {
            let key = copy_key(of, attempt);
            if self.inner().objects.exists(&removed_object(&key))? {
                let context = format!("the copy of point {of} was removed from the target");
                return Err(Error::new(ErrorKind::Voided, context));
            }
            if !matches!(self.held(&key)?, Some(Held::Void)) {
                return Ok(key);
            }
        }
        let context = format!("too many attempts to copy point {of} were given up");
        Err(Error::new(ErrorKind::Voided, context))
    }

    /// The point that is under the key for copies of `of`, if there is one.
    fn copy_at(&self, of: &PointKey) -> Result<Option<PointRecord>> {
        match self.place_for(of) {
            Ok(key) => self.point(&key),
            Err(e) if e.kind() == ErrorKind::Voided => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// A point, if it is listed or pinned.
    fn still(&self, key: &PointKey) -> Result<Option<PointRecord>> {
        match self.find_or_pinned(key) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    /// The ranges of `newer` that differ from `older`. Where there are too many, those are
    /// joined that have the least between them.
    fn changed(&self, older: &PointKey, newer: &PointRecord) -> Result<Vec<Range<u64>>> {
        let mut out: Vec<Range<u64>> = Vec::new();
        let mut gap = 0;
        for range in self.diff(older, &newer.key, 0..newer.size)? {
            let range = range?;
            join(&mut out, range.offset..range.end(), gap);
            while out.len() > margins::COPY_RANGES {
                gap = (gap * 2).max(BLOCK as u64);
                let mut fewer = Vec::new();
                out.into_iter().for_each(|range| join(&mut fewer, range, gap));
                out = fewer;
            }
        }
        Ok(out)
    }

    /// After a copy: gives up the pins that it, earlier attempts at it and the copy of its base
    /// left. The pin of a copy that was made anew stays for the next one.
    fn unpin(&self, pin: &Pin, copied: &Copied, holder: &str, base: Option<PointKey>) {
        let mine = pin.record();
        let released = self.release_pins(|other| {
            other.holder == holder
                && match copied.anew {
                    false => true,
                    true if other.point.key == mine.point.key => other.id != mine.id,
                    true => Some(other.point.key) == base,
                }
        });
        if let Err(e) = released {
            tracing::warn!(holder, error = %e, "pins of a copy stay behind");
        }
    }
}

/// The key of a copy: that of its source, and others for when it was given up.
fn copy_key(of: &PointKey, attempt: u32) -> PointKey {
    if attempt == 0 {
        return *of;
    }
    let mut hasher = blake3::Hasher::new_derive_key("tresor 0 key of a copied point");
    hasher.update(of.as_bytes()).update(&attempt.to_le_bytes());
    let mut key = [0; 16];
    hasher.finalize_xof().fill(&mut key);
    PointKey::new(key)
}

fn there(record: PointRecord, anew: bool) -> Copied {
    Copied { record, moved: None, anew }
}

fn foreign(of: &PointRecord) -> Error {
    let context = format!("the target has another content under the key {}", of.key);
    Error::new(ErrorKind::Exists, context)
}

/// Whether `record` is a copy of `of`, made at whatever place.
fn is_copy(record: &PointRecord, of: &PointRecord) -> bool {
    record.facts.get(COPIED_FROM_ROOT).is_some_and(|root| *root == of.root.to_string())
}

/// Appends a range; joins it with the last one if no more than `gap` is between them.
fn join(ranges: &mut Vec<Range<u64>>, range: Range<u64>, gap: u64) {
    match ranges.last_mut().filter(|last| range.start - last.end <= gap) {
        Some(last) => last.end = range.end,
        None => ranges.push(range),
    }
}

/// A point as the source of an ingest.
struct Disk(Reader);

impl Source for Disk {
    fn len(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        if buf.len() <= margins::COPY_CACHED {
            return self.0.read_at(buf, offset).map_err(io::Error::other);
        }
        self.0.fill(buf, offset, &()).map(drop).map_err(io::Error::other)
    }

    fn allocated(&self, range: Range<u64>) -> io::Result<Vec<Range<u64>>> {
        self.0.extents(range).map_err(io::Error::other)
    }
}
