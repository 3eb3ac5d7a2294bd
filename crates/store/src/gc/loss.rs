//! What a collection cannot find, as points and byte ranges.
//!
//! The mark knows ids only. Where it misses some for good, all maps are walked once more to say
//! whose bytes they were: that takes as long as the mark, and nothing is collected anyway.

use std::collections::BTreeMap;

use super::run::Run;
use crate::error::{ErrorKind, Result};
use crate::id::Id;
use crate::map::Tree;
use crate::margins;
use crate::point::PointKey;
use crate::quarantine::Affected;
use crate::wound::{There, Walk};

impl Run<'_> {
    /// Names the points that need what is lost.
    pub(super) fn name_losses(&mut self) -> Result<()> {
        let inner = self.store.inner();
        let there = There::new(inner);
        let usable = |id: &Id| there.holds(id);
        let mut walk = Walk::new(inner, &usable, self.watch);
        (self.out.affected, self.out.affected_count) = Default::default();
        for (key, map) in self.maps()? {
            let mut affected = Affected::new(key);
            walk.map(&map, &mut |wound| {
                affected.add(wound.range);
                Ok(())
            })?;
            if affected.count == 0 {
                continue;
            }
            // Removed and collected meanwhile, a point misses nothing.
            match self.store.find_or_pinned(&key) {
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                other => other?,
            };
            self.out.affected_count += 1;
            if self.out.affected.len() < margins::LISTED {
                self.out.affected.push(affected);
            }
        }
        Ok(())
    }

    /// The maps of all points that can be read, those in pins included.
    fn maps(&self) -> Result<BTreeMap<PointKey, Tree>> {
        let mut maps = BTreeMap::new();
        for pin in self.store.pins()? {
            maps.insert(pin.point.key, pin.point.map);
        }
        for point in self.store.points()? {
            maps.insert(point.key, point.map);
        }
        Ok(maps)
    }
}
