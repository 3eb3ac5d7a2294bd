//! What stands at the key of a point: nothing, a point, or the mark that it was given up.
//!
//! Three records decide, and none of them is ever changed:
//! - `points/<K>` holds the point, or a *void*: whoever creates it first wins. A void fences a
//!   writer that was lost: it can never commit under this key.
//! - `removed/<K>` hides the point at once. What it reached is freed by collection; the
//!   point's object goes later, the mark stays for ever.
//! - `stale/<K>` says that an attempt at the key was given up that may still be alive somewhere.
//!   While it is there, `points/<K>` stays, so that a late put of that attempt finds the key taken.
//!
//! `removed` is looked for before the point is read: a point that is found was listed at that
//! instant.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::damage::{self, Damaged, Points, Records};
use crate::error::{Error, ErrorKind, Result};
use crate::margins;
use crate::object::Put;
use crate::point::{self, PointKey, PointRecord};
use crate::seal::{self, Record};
use crate::store::Store;

pub(crate) const REMOVED: &str = "removed";
pub(crate) const STALE: &str = "stale";

/// The text of a void, a removal and a stale mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyRecord {
    /// The key that it is about.
    pub(crate) key: PointKey,
    /// When it was made, by the domain clock.
    pub(crate) time: Timestamp,
}

/// What stands at a key.
#[derive(Debug)]
pub(crate) enum Standing {
    /// Nothing: an attempt may commit.
    Free,
    /// A listed point.
    Point(Box<PointRecord>),
    /// A void, or a point that was removed: nothing can be committed here.
    GivenUp,
}

/// What the object of a point holds.
pub(crate) enum Held {
    Point(Box<PointRecord>),
    Void,
}

pub(crate) fn removed_object(key: &PointKey) -> String {
    format!("{REMOVED}/{key}")
}

pub(crate) fn stale_object(key: &PointKey) -> String {
    format!("{STALE}/{key}")
}

/// The error of an attempt at a key that was given up.
pub(crate) fn voided(key: &PointKey) -> Error {
    let context = format!(
        "point {key} cannot be made: its attempt was given up by garbage collection, or the \
         point was removed; start a new job"
    );
    Error::new(ErrorKind::Voided, context)
}

/// Whether a name is one of these, which are sorted.
fn among(names: &[String]) -> impl Fn(&str) -> bool {
    |name| names.binary_search_by(|one| one.as_str().cmp(name)).is_ok()
}

impl Store {
    /// All committed points that can be read, by key. Those that cannot are in the log; see
    /// [`Store::all_points`].
    pub fn points(&self) -> Result<Vec<PointRecord>> {
        let points = self.all_points()?;
        for damaged in &points.damaged {
            let Damaged { object, why, .. } = damaged;
            tracing::warn!(object, why, "a damaged point is left out");
        }
        Ok(points.good)
    }

    /// All committed points, by key, and what is in their place where one is damaged. Whoever
    /// deletes must not go on while there are damaged ones: they reach what nobody can know.
    pub fn all_points(&self) -> Result<Points> {
        let mut out = Points::default();
        self.visit_points(&mut |found| {
            match found {
                Ok(record) => out.good.push(record),
                Err(damaged) => out.damaged.push(damaged),
            }
            Ok(())
        })?;
        Ok(out)
    }

    /// Hands all committed points to `then`, one after another and by key.
    pub(crate) fn visit_points(
        &self,
        then: &mut dyn FnMut(Result<PointRecord, Damaged>) -> Result<()>,
    ) -> Result<()> {
        let objects = &self.inner().objects;
        let names = objects.list(point::FOLDER)?;
        // Listed second: what was removed before this is left out, and what is removed later
        // was a point at this instant. Marks of points that are gone are many in an old store.
        let removed = objects.list_some(REMOVED, among(&names))?;
        for name in &names {
            if removed.binary_search(name).is_ok() {
                continue;
            }
            let key = name.parse::<PointKey>().map_err(|e| {
                let context = "this is no name of a point: move the file out of the store";
                Error::new(ErrorKind::Invalid, context).because(e)
            });
            match key.and_then(|key| self.held(&key)) {
                Ok(Some(Held::Point(record))) => then(Ok(*record))?,
                // A void, or gone since it was listed: removed, no error.
                Ok(Some(Held::Void) | None) => {}
                Err(e) if damage::is_damage(&e) || e.kind() == ErrorKind::Invalid => {
                    then(Err(Damaged::new(format!("{}/{name}", point::FOLDER), &e)))?;
                }
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// The marks of removal beside which the object of the point is still there. The others stay
    /// for ever, and that they are there is all that they say: they are not read.
    pub(crate) fn removals(&self) -> Result<Records<KeyRecord>> {
        let inner = self.inner();
        let names = inner.objects.list(point::FOLDER)?;
        inner.read_some(Record::Removed, REMOVED, among(&names))
    }

    /// A committed point that was not removed.
    pub fn point(&self, key: &PointKey) -> Result<Option<PointRecord>> {
        match self.standing(key)? {
            Standing::Point(record) => Ok(Some(*record)),
            Standing::Free | Standing::GivenUp => Ok(None),
        }
    }

    /// Removes a point, durably; one that is gone already is no error. A pinned point stays and
    /// the call fails with [`ErrorKind::Pinned`]. The point is hidden at once; what only it
    /// reached becomes garbage, which [`Store::collect`] frees.
    pub fn remove_point(&self, key: &PointKey) -> Result<()> {
        if let Some(pin) = self.pins()?.into_iter().find(|pin| pin.point.key == *key) {
            let context = format!("point {key} is pinned by {}", pin.holder);
            return Err(Error::new(ErrorKind::Pinned, context));
        }
        match self.held(key) {
            Ok(None | Some(Held::Void)) => return Ok(()),
            Ok(Some(Held::Point(_))) => {}
            // Also a damaged point can be removed.
            Err(e) if damage::is_damage(&e) => {}
            Err(e) => return Err(e),
        }
        let mark = || self.mark(Record::Removed, &removed_object(key), key);
        self.inner().with_reserve(mark).map(|_| ())
    }

    /// What stands at `key` now.
    pub(crate) fn standing(&self, key: &PointKey) -> Result<Standing> {
        if self.inner().objects.exists(&removed_object(key))? {
            return Ok(Standing::GivenUp);
        }
        Ok(match self.held(key)? {
            None => Standing::Free,
            Some(Held::Void) => Standing::GivenUp,
            Some(Held::Point(record)) => Standing::Point(record),
        })
    }

    /// What the object of the point holds, whether the point was removed or not.
    pub(crate) fn held(&self, key: &PointKey) -> Result<Option<Held>> {
        let inner = self.inner();
        let name = key.object();
        let bytes = match inner.objects.get(&name, margins::RECORD) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        if seal::is(Record::Void, &bytes) {
            seal::open(&inner.ring, Record::Void, &name, &bytes)?;
            return Ok(Some(Held::Void));
        }
        let body = seal::open(&inner.ring, Record::Point, &name, &bytes)?;
        let record = PointRecord::decode(&body, key, &inner.loader.hasher)?;
        Ok(Some(Held::Point(Box::new(record))))
    }

    /// Creates a record about a key, durably. Another one that is there already does as well.
    pub(crate) fn mark(&self, record: Record, name: &str, key: &PointKey) -> Result<Put> {
        let inner = self.inner();
        let body = KeyRecord { key: *key, time: inner.env.domain() };
        inner.offer_record(record, name, &body)
    }
}
