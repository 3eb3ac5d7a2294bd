//! Where the slots are kept: several equal copies of the newest generation.
//!
//! Copies are `keys/<store>-<generation>-<copy>`. A change writes the next generation, copy 0
//! first, create-only: that put is the change, and of two changes that race for one generation
//! one wins. Then come the other copies, all of them are read back, and only then the copies of
//! older generations are deleted. Whatever happens between, one whole generation is there.
//!
//! # Which generation counts
//!
//! The highest of which one copy is whole, so a slot that was removed stays removed although the
//! generation that listed it may still lie there. An older one is used only if *every* copy of
//! all newer ones is damaged (its checksum, its name or, for whoever holds the store key, its
//! tag is wrong); a copy that cannot be read just now is no damage, and fails the opening. A
//! fall-back is logged and reported by [`crate::Store::slot_copies`]. It can give a removed
//! secret its access back; refusing would instead let damage to a few hundred bytes take all
//! data away for ever, and gains little: whoever can damage all copies of one generation and
//! holds the removed secret could as well have kept a copy of the older generation. Against
//! that only [`crate::Store::rotate`] and [`crate::Store::new_epoch`] help.
//!
//! # Names that come again
//!
//! A process may sleep between reading generation 5 and creating 6, while others make 6 and 7
//! and delete 5 and 6. Its put of 6 then succeeds although its change is lost. So whoever created
//! a generation lists the folder again before it believes itself: 6 was deleted only after 7 was
//! durable, so 7 (or a later one) is there, and does not name the sleeper's change as its parent.
//!
//! # Erasing
//!
//! `keys/<store>-erased` is created before the first copy is deleted and stays for ever. Whoever
//! changes slots looks for it after its put and takes its own copies back; whoever opens the
//! store finishes the erasure.

use bytes::Bytes;
use uuid::Uuid;

use super::sheet::Sheet;
use crate::config::FORMAT;
use crate::error::{Error, ErrorKind, Result};
use crate::margins;
use crate::object::{Objects, Put};

pub(super) const FOLDER: &str = "keys";
const ERASED: &str = "erased";
const ERASED_MAGIC: &[u8; 8] = b"TRSRGONE";

/// The copies of the key slots of one store.
#[derive(Clone)]
pub(super) struct Copies {
    objects: Objects,
    store: Uuid,
}

/// What is in the folder.
pub(super) struct Listing {
    /// Generations and copies, ascending.
    pub(super) copies: Vec<(u32, u32)>,
    erased: bool,
}

impl Listing {
    /// The generation that a change must make.
    fn next(&self) -> Result<u32> {
        let highest = self.copies.last().map(|(generation, _)| *generation);
        highest
            .map_or(Some(0), |generation| generation.checked_add(1))
            .ok_or_else(|| Error::internal("there are no more generations of key slots"))
    }

    /// The copies of one generation.
    pub(super) fn of(&self, generation: u32) -> impl Iterator<Item = u32> + '_ {
        self.copies.iter().filter(move |(of, _)| *of == generation).map(|(_, copy)| *copy)
    }
}

/// The generation that counts, with what its finder made of it.
pub(super) struct Newest<T> {
    pub(super) sheet: Sheet,
    pub(super) value: T,
    /// The generation that a change must make.
    pub(super) next: u32,
    pub(super) listing: Listing,
}

impl Copies {
    pub(super) fn new(objects: Objects, store: Uuid) -> Self {
        Self { objects, store }
    }

    pub(super) fn name(&self, generation: u32, copy: u32) -> String {
        format!("{FOLDER}/{}-{generation:08x}-{copy}", self.store.simple())
    }

    fn marker(&self) -> String {
        format!("{FOLDER}/{}-{ERASED}", self.store.simple())
    }

    /// Lists the copies; fails if the store was erased, and then deletes what is left of it.
    pub(super) fn list(&self) -> Result<Listing> {
        let listing = self.look()?;
        if !listing.erased {
            return Ok(listing);
        }
        if let Err(e) = self.wipe() {
            tracing::warn!(store = %self.store, error = %e, "an erasure is not finished");
        }
        Err(erased())
    }

    fn look(&self) -> Result<Listing> {
        let prefix = format!("{}-", self.store.simple());
        let mut listing = Listing { copies: Vec::new(), erased: false };
        for name in self.objects.list(FOLDER)? {
            let Some(rest) = name.strip_prefix(&prefix) else { continue };
            if rest == ERASED {
                listing.erased = self.is_marker()?;
            }
            let parsed = rest.split_once('-').and_then(|(generation, copy)| {
                Some((u32::from_str_radix(generation, 16).ok()?, copy.parse().ok()?))
            });
            // Only names that this module makes: the others cannot be read or deleted by it.
            let own = parsed.filter(|(g, copy)| self.name(*g, *copy).ends_with(&name));
            listing.copies.extend(own);
        }
        listing.copies.sort_unstable();
        Ok(listing)
    }

    /// The sheet in one copy; `None` if it is gone.
    pub(super) fn read(&self, generation: u32, copy: u32) -> Result<Option<(Sheet, Bytes)>> {
        let name = self.name(generation, copy);
        let bytes = match self.objects.get(&name, margins::RECORD) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let sheet = Sheet::decode(&bytes)?;
        if sheet.store != self.store || sheet.generation != generation {
            return Err(Error::corrupt(format!("object {name} is a copy of other key slots")));
        }
        Ok(Some((sheet, bytes)))
    }

    /// The newest generation of which a copy is whole and not `Corrupt` to `open`. Any other
    /// error of `open` counts: an older generation is not asked then.
    pub(super) fn newest<T>(&self, open: impl Fn(&Sheet) -> Result<T>) -> Result<Newest<T>> {
        for _ in 0..margins::TRIES {
            let listing = self.list()?;
            if let Some(found) = self.newest_of(listing, &open)? {
                return Ok(found);
            }
        }
        let context = "the key slots change again and again: try again";
        Err(Error::new(ErrorKind::Transient, context))
    }

    /// `None` if a listed copy was gone when it was to be read.
    fn newest_of<T>(
        &self,
        listing: Listing,
        open: &impl Fn(&Sheet) -> Result<T>,
    ) -> Result<Option<Newest<T>>> {
        let next = listing.next()?;
        let mut damage = Error::new(ErrorKind::Corrupt, "the store has no key slots");
        let mut refused = None;
        let mut current = None;
        for (generation, copy) in listing.copies.iter().rev().copied() {
            if current != Some(generation) {
                // A whole copy of a newer generation said no: an older one is not asked.
                if let Some(refused) = refused {
                    return Err(refused);
                }
                current = Some(generation);
            }
            let read = match self.read(generation, copy) {
                Ok(None) => return Ok(None),
                Ok(Some((sheet, _))) => open(&sheet).map(|value| (sheet, value)),
                Err(e) => Err(e),
            };
            match read {
                Ok((sheet, value)) => {
                    if generation.checked_add(1) != Some(next) {
                        tracing::warn!(store = %self.store, generation, "older key slots are \
                            used: every copy of the newer ones is damaged");
                    }
                    return Ok(Some(Newest { sheet, value, next, listing }));
                }
                Err(e) if e.kind() == ErrorKind::Corrupt => damage = e,
                Err(e) if e.kind() == ErrorKind::WrongKey => refused = Some(e),
                Err(e) => return Err(e),
            }
        }
        Err(refused.unwrap_or(damage))
    }

    /// Makes `sheet` the newest generation. Fails with `Transient` if somebody else made that
    /// generation. The value says what could not be finished after the change was made.
    pub(super) fn publish(&self, sheet: &Sheet) -> Result<Option<Error>> {
        let bytes = Bytes::from(sheet.encode()?);
        fail::fail_point!("store.keys.put", |_| Err(Error::new(
            ErrorKind::Transient,
            "fail point store.keys.put"
        )));
        match self.objects.create(&self.name(sheet.generation, 0), bytes.clone())? {
            Put::Ours => self.believe(sheet)?,
            Put::Theirs => return Err(conflict()),
        }
        Ok(self.finish(sheet, &bytes).err())
    }

    /// After copy 0 was created: is the change made, or did it come too late?
    fn believe(&self, sheet: &Sheet) -> Result<()> {
        let listing = self.look()?;
        if listing.erased {
            self.wipe()?;
            return Err(erased());
        }
        let newer = listing.copies.iter().rev().find(|(g, _)| *g > sheet.generation);
        let Some((generation, _)) = newer.copied() else { return Ok(()) };
        for copy in listing.of(generation) {
            if let Ok(Some((theirs, _))) = self.read(generation, copy)
                && theirs.parent == sheet.change
            {
                return Ok(());
            }
        }
        // More than one change behind, this one may be among what they built on: saying that
        // it failed costs a second look, saying that it is made would lose it.
        self.objects.delete(&self.name(sheet.generation, 0))?;
        Err(conflict())
    }

    /// The other copies; then older generations go.
    fn finish(&self, sheet: &Sheet, bytes: &Bytes) -> Result<()> {
        for copy in 1..margins::SLOT_COPIES {
            self.objects.create_unique(&self.name(sheet.generation, copy), bytes.clone())?;
        }
        let listing = self.look()?;
        if listing.erased {
            return self.wipe();
        }
        let newest = listing.copies.last().map_or(sheet.generation, |(newest, _)| *newest);
        if newest > sheet.generation {
            // Replaced already, by somebody who did not see the copies made just now.
            let own = listing.of(sheet.generation);
            return own.into_iter().try_for_each(|copy| self.delete(sheet.generation, copy));
        }
        for copy in 0..margins::SLOT_COPIES {
            let name = self.name(sheet.generation, copy);
            if self.objects.get(&name, margins::RECORD)? != bytes {
                return Err(Error::corrupt(format!("object {name} is not what was written")));
            }
        }
        self.sweep(&listing, sheet.generation)
    }

    /// Deletes all generations before this one.
    fn sweep(&self, listing: &Listing, generation: u32) -> Result<()> {
        let older = listing.copies.iter().filter(|(of, _)| *of < generation);
        older.into_iter().try_for_each(|(of, copy)| self.delete(*of, *copy))
    }

    fn delete(&self, generation: u32, copy: u32) -> Result<()> {
        self.objects.delete(&self.name(generation, copy))
    }

    /// Deletes all copies, for ever.
    pub(super) fn erase(&self) -> Result<()> {
        let marker = self.encode_marker();
        if self.objects.create(&self.marker(), marker.into())? == Put::Theirs {
            return Err(Error::corrupt("the mark of an erased store is damaged: delete it"));
        }
        self.wipe()
    }

    fn wipe(&self) -> Result<()> {
        for _ in 0..margins::TRIES {
            let listing = self.look()?;
            if listing.copies.is_empty() {
                return Ok(());
            }
            for (generation, copy) in listing.copies {
                self.delete(generation, copy)?;
            }
        }
        let context = "the store's key slots come back while they are erased: stop other changes";
        Err(Error::new(ErrorKind::Transient, context))
    }

    fn encode_marker(&self) -> Vec<u8> {
        let mut out = ERASED_MAGIC.to_vec();
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(self.store.as_bytes());
        out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
        out
    }

    /// Whether the mark really is one: a damaged object must not cost the keys.
    fn is_marker(&self) -> Result<bool> {
        match self.objects.get(&self.marker(), margins::RECORD) {
            Ok(bytes) => Ok(bytes == self.encode_marker()),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }
}

fn conflict() -> Error {
    let context = "somebody else changed the key slots at the same time: try again";
    Error::new(ErrorKind::Transient, context)
}

pub(super) fn erased() -> Error {
    let context = "the store was erased: its keys are deleted and nothing can read it again";
    Error::new(ErrorKind::NotFound, context)
}
