//! Announcements: who reads and who writes.
//!
//! A *writer* is announced, durably, before anything is written for a point; only then is the
//! parent's record looked for. Whoever collects garbage lists points first and writers second,
//! and so sees either the parent or the writer that needs it.
//!
//! A *pin* says that somebody reads a point over a long time: a restore, a copy, a disk that
//! reads through. It is durable before the first read and carries the point's record, so what it
//! protects can be found even where the point itself was removed.
//!
//! A pin counts only if what it was made from was still there after it was durable: the listed
//! point, or the very pin through which the point was found. Two late pins cannot vouch for each
//! other. A listing of pins is no snapshot: while one pin follows another a listing can miss
//! both. So a pin through a pin is refused while packs are condemned, that is, while somebody
//! may be deciding by such a listing.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::damage::Records;
use crate::error::{Error, ErrorKind, Result};
use crate::gc;
use crate::point::{PointKey, PointRecord};
use crate::seal::Record;
use crate::store::Store;

pub(crate) const PINS: &str = "pins";
pub(crate) const WRITERS: &str = "writers";

/// What a pin protects and for whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinRecord {
    /// The pin's own name.
    pub id: Uuid,
    /// Who needs the point: a job, a disk.
    pub holder: String,
    /// When the pin was set.
    pub time: Timestamp,
    /// The point.
    pub point: PointRecord,
}

/// An announced writer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriterRecord {
    /// The writer's own name.
    pub id: Uuid,
    /// The point that it wants to create.
    pub point: PointKey,
    /// The point that it builds on.
    pub parent: Option<PointRecord>,
    /// When it was announced.
    pub time: Timestamp,
}

/// A pin that this process holds. Dropping it does not release it: whoever was protected before
/// a crash is protected after it.
#[derive(Debug)]
#[must_use = "a pin protects its point until it is released"]
pub struct Pin {
    store: Store,
    record: PinRecord,
}

impl Pin {
    /// What the pin protects.
    pub fn record(&self) -> &PinRecord {
        &self.record
    }

    /// Gives up the protection.
    pub fn release(self) -> Result<()> {
        self.store.inner().objects.delete(&pin_object(self.record.id))
    }
}

/// What a point was found through.
#[derive(Clone, Copy)]
enum Witness {
    Listed,
    Pin(Uuid),
}

fn no_point(point: &PointKey) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no point {point}"))
}

fn pin_object(id: Uuid) -> String {
    format!("{PINS}/{}", id.simple())
}

pub(crate) fn writer_object(id: Uuid) -> String {
    format!("{WRITERS}/{}", id.simple())
}

impl Store {
    /// Protects a point for `holder`; durable before this returns. A point that was removed and
    /// lives on in another pin can be pinned too, except while packs are condemned: that fails
    /// with [`ErrorKind::Transient`].
    pub fn pin(&self, point: &PointKey, holder: &str) -> Result<Pin> {
        let (found, witness) = self.find_witnessed(point)?;
        let inner = self.inner();
        let record = PinRecord {
            id: inner.env.uuid(),
            holder: holder.to_owned(),
            time: inner.env.domain(),
            point: found,
        };
        // A full store can still be restored from.
        let create = || inner.create_record(Record::Pin, &pin_object(record.id), &record);
        inner.with_reserve(create)?;
        // Removed between the look and the pin? Then the pin may be too late to protect it.
        if let Err(e) = self.confirm_witness(point, witness) {
            inner.objects.delete(&pin_object(record.id))?;
            return Err(e);
        }
        Ok(Pin { store: self.clone(), record })
    }

    /// All pins. A damaged one is an error: it may protect any point, so that nothing may be
    /// removed while it is there.
    pub fn pins(&self) -> Result<Vec<PinRecord>> {
        self.read_pins()?.all()
    }

    /// The same, damaged ones apart.
    pub(crate) fn read_pins(&self) -> Result<Records<PinRecord>> {
        let inner = self.inner();
        let mut pins: Records<PinRecord> = inner.read_records(Record::Pin, PINS)?;
        let mut good = Vec::with_capacity(pins.good.len());
        for (name, pin) in pins.good {
            match pin.point.check(&inner.loader.hasher) {
                Ok(()) => good.push((name, pin)),
                Err(e) => pins.damaged.push((name, e)),
            }
        }
        pins.good = good;
        Ok(pins)
    }

    /// Releases all pins of one holder and says how many there were: how a pin from before a
    /// crash is given up.
    pub fn release_by(&self, holder: &str) -> Result<usize> {
        self.release_pins(|pin| pin.holder == holder)
    }

    /// Releases the pins that are `meant` and says how many there were. Whoever is still reading
    /// under one of them may find that what he reads is gone.
    pub fn release_pins(&self, meant: impl Fn(&PinRecord) -> bool) -> Result<usize> {
        let mut pins = self.read_pins()?.readable();
        pins.retain(meant);
        for pin in &pins {
            self.inner().objects.delete(&pin_object(pin.id))?;
        }
        Ok(pins.len())
    }

    /// All announced writers, those that crashed included. A damaged one is an error: it may
    /// need any parent.
    pub fn writers(&self) -> Result<Vec<WriterRecord>> {
        self.read_writers()?.all()
    }

    /// The same, damaged ones apart.
    pub(crate) fn read_writers(&self) -> Result<Records<WriterRecord>> {
        self.inner().read_records(Record::Writer, WRITERS)
    }

    /// The record of a point, or the copy that a pin keeps of it.
    pub(crate) fn find_or_pinned(&self, point: &PointKey) -> Result<PointRecord> {
        self.find_witnessed(point).map(|(record, _)| record)
    }

    fn find_witnessed(&self, point: &PointKey) -> Result<(PointRecord, Witness)> {
        if let Some(record) = self.point(point)? {
            return Ok((record, Witness::Listed));
        }
        let pins = self.read_pins()?.readable();
        let pin = pins.into_iter().find(|pin| pin.point.key == *point);
        pin.map(|pin| (pin.point, Witness::Pin(pin.id))).ok_or_else(|| no_point(point))
    }

    /// Fails unless what `point` was found through is still there.
    fn confirm_witness(&self, point: &PointKey, witness: Witness) -> Result<()> {
        let inner = self.inner();
        let there = match witness {
            Witness::Listed => self.point(point)?.is_some(),
            Witness::Pin(pin) => inner.objects.exists(&pin_object(pin))?,
        };
        if !there {
            return Err(no_point(point));
        }
        if matches!(witness, Witness::Pin(_)) && !inner.objects.list(gc::CONDEMNED)?.is_empty() {
            let context = format!(
                "point {point} was removed and garbage is being collected: try again later"
            );
            return Err(Error::new(ErrorKind::Transient, context));
        }
        Ok(())
    }

    /// Announces a writer.
    pub(crate) fn announce(
        &self,
        point: PointKey,
        parent: Option<PointRecord>,
    ) -> Result<WriterRecord> {
        let inner = self.inner();
        let (id, time) = (inner.env.uuid(), inner.env.domain());
        let record = WriterRecord { id, point, parent, time };
        inner.create_record(Record::Writer, &writer_object(id), &record)?;
        Ok(record)
    }

    /// Takes a writer's announcement back.
    pub(crate) fn renounce(&self, writer: Uuid) -> Result<()> {
        self.inner().objects.delete(&writer_object(writer))
    }
}
