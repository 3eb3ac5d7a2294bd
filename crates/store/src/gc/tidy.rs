//! Clearing away small records that have done their work.
//!
//! - The announcement of a writer that has won goes when nothing is condemned: it then hides
//!   nothing from a mark. Its point carries its name, so it is known to have ended.
//! - That of any other old writer with a settled key goes after `stale/<K>` is durable: it may
//!   be alive, and must find its key taken for ever.
//! - A removed point goes when no writer of it is announced and then no stale mark is there,
//!   and when the removal is old, so that late attempts find it. The mark of its removal stays
//!   for ever: a collector that was paused just before it deletes the point must not meet a new
//!   one of the same key, and a put that comes late shows nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use super::run::Run;
use crate::error::Result;
use crate::pin::writer_object;
use crate::point::PointKey;
use crate::seal::Record;
use crate::standing::{Held, KeyRecord, stale_object};

impl Run<'_> {
    /// Clears away what it can; what it leaves is only small.
    pub(super) fn tidy(&mut self) -> Result<()> {
        self.tidy_writers()?;
        self.tidy_removed()
    }

    /// Takes back the announcements of writers that have ended, or were given up.
    pub(super) fn tidy_writers(&self) -> Result<()> {
        let writers = self.store.writers()?;
        let objects = &self.store.inner().objects;
        for writer in &writers {
            let Ok(Some(held)) = self.store.held(&writer.point) else {
                continue;
            };
            let won = matches!(held, Held::Point(point) if point.nonce == writer.id);
            if won {
                // The point was there before this listing.
                if !objects.list(super::CONDEMNED)?.is_empty() {
                    continue;
                }
            } else if self.is_overdue(writer.time) {
                self.store.mark(Record::Stale, &stale_object(&writer.point), &writer.point)?;
            } else {
                continue;
            }
            objects.delete(&writer_object(writer.id))?;
        }
        Ok(())
    }

    fn tidy_removed(&self) -> Result<()> {
        let inner = self.store.inner();
        let removed = self.store.removals()?.readable();
        if removed.is_empty() {
            return Ok(());
        }
        let writers = self.store.writers()?;
        let busy: BTreeSet<PointKey> = writers.iter().map(|writer| writer.point).collect();
        for KeyRecord { key, time } in removed {
            let keep = busy.contains(&key)
                || !self.is_old(time)
                || inner.objects.exists(&stale_object(&key))?;
            if !keep {
                inner.objects.delete(&key.object())?;
            }
        }
        Ok(())
    }

    fn is_old(&self, time: jiff::Timestamp) -> bool {
        let age = self.store.inner().env.domain().duration_since(time);
        Duration::try_from(age).is_ok_and(|age| age >= self.how.void_after)
    }
}
