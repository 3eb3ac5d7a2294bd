//! The maps of points: is everything that they reach to be had?

use std::cell::RefCell;
use std::collections::HashSet;

use uuid::Uuid;

use super::{Check, FindingKind};
use crate::damage;
use crate::error::{Error, ErrorKind, Result};
use crate::id::Id;
use crate::margins;
use crate::point::PointRecord;
use crate::wound::{Walk, Wound};

impl Check<'_> {
    /// The points to look at.
    fn chosen(&self) -> Result<Vec<PointRecord>> {
        let Some(keys) = &self.wanted.points else {
            return Ok(self.store.all_points()?.good);
        };
        let mut out = Vec::with_capacity(keys.len());
        for key in keys {
            match self.store.find_or_pinned(key) {
                Ok(point) => out.push(point),
                // Reported already.
                Err(e) if damage::is_damage(&e) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(out)
    }

    /// The packs that the chosen points reach; nothing if all are to be looked at.
    pub(super) fn reached(&self) -> Result<Option<HashSet<Uuid>>> {
        if self.wanted.points.is_none() {
            return Ok(None);
        }
        let points = self.chosen()?;
        self.inner.index.refresh()?;
        let packs = RefCell::new(HashSet::new());
        let usable = |id: &Id| {
            let found = self.inner.index.find(id)?;
            packs.borrow_mut().extend(found.map(|at| at.pack.name));
            Ok(found.is_some())
        };
        let mut walk = Walk::new(self.inner, &usable, self.watch);
        for point in points {
            walk.map(&point.map, &mut |_| Ok(()))?;
            if packs.borrow().len() > margins::REACHED_PACKS {
                let context = "these points reach too many packs: verify all, in slices";
                return Err(Error::new(ErrorKind::Invalid, context));
            }
        }
        Ok(Some(packs.into_inner()))
    }

    /// Walks the maps.
    pub(super) fn maps(&mut self) -> Result<()> {
        let points = self.chosen()?;
        // Whatever these points reach is named by a run that is there now.
        self.inner.index.refresh()?;
        let usable = |id: &Id| {
            let found = self.inner.index.find_where(id, &|at| !self.is_bad(at))?;
            Ok(found.is_some())
        };
        let mut walk = Walk::new(self.inner, &usable, self.watch);
        for point in points {
            let mut sure = false;
            let walked = walk.map(&point.map, &mut |wound| {
                if !sure && self.store.find_or_pinned(&point.key).is_err() {
                    // Removed meanwhile: its bytes may be gone rightly.
                    return Err(gone());
                }
                sure = true;
                self.wounded(&point, wound)
            });
            match walked {
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                other => other?,
            }
            self.report.borrow_mut().done.points += 1;
        }
        self.report.borrow_mut().done.nodes = walk.nodes;
        Ok(())
    }

    /// Files a wound of a point with the finding that is its cause.
    fn wounded(&self, point: &PointRecord, wound: Wound) -> Result<()> {
        let places = self.inner.index.locations(&wound.id)?;
        if let Some(why) = &wound.why {
            // It has a place that should be good and is not.
            for at in &places {
                let (pack, kind) = (at.pack, FindingKind::DamagedFrame);
                self.report.borrow_mut().of_pack(pack.name, &pack.object(), kind, why);
                self.spoil(wound.id, at);
            }
        }
        let mut report = self.report.borrow_mut();
        let number = match places.first() {
            Some(at) => {
                let why = "known to be damaged and not healed yet";
                let (name, object) = (at.pack.name, at.pack.object());
                report.of_pack(name, &object, FindingKind::Quarantined, why)
            }
            None => {
                let why = "map nodes or chunks are in no index run";
                let number = report.of_object(&point.key.object(), why);
                report.name(number, &wound.id);
                let mut missing = self.missing.borrow_mut();
                if missing.len() < margins::BAD_PLACES {
                    missing.insert(wound.id);
                }
                number
            }
        };
        report.hit(number, point.key, wound.range);
        Ok(())
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::NotFound, "the point was removed meanwhile")
}
