//! The change map of an open volume: marks in memory, intents and exact marks on disk.
//!
//! What always holds: the marks on disk cover `live` and `frozen` together. Freezing therefore
//! changes nothing on disk, and a crash gives the marks of both back by itself. Only `adopt`
//! drops the frozen ones, by putting a new map in the old one's place.

use crate::changed::{Base, Bits, Header, Identity, MapFile, Mark, Stamp, bytes, units, windows};
use crate::durable::Directory;
use crate::error::{Error, ErrorKind, Result};
use crate::snapshot::{MAX_VIEWS, Preserve, Purpose};
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Tracker {
    /// `None` once the volume has been removed from its pool.
    folder: Option<Directory>,
    map: MapFile,
    header: Header,
    /// Units changed since the freeze, or since the base where nothing is frozen.
    live: Bits,
    /// Units changed between the base and the freeze.
    frozen: Option<Arc<Bits>>,
    /// Windows whose record on disk is an intent.
    intents: Bits,
    /// Windows written to since the last flush.
    warm: Bits,
    views: Vec<Arc<Preserve>>,
    poisoned: bool,
}

/// The marks of a freeze.
#[derive(Clone, Debug)]
pub(crate) struct Marks {
    pub(crate) base: Option<Base>,
    pub(crate) units: Arc<Bits>,
}

impl Tracker {
    /// Makes the map of a new volume.
    pub(super) fn make(
        folder: &Directory,
        size: u64,
        generation: [u8; 16],
        identity: Identity,
        stamp: Stamp,
    ) -> Result<()> {
        let header = Header {
            sequence: 0,
            generation,
            identity,
            size,
            target: None,
            base: None,
            clean: Some(stamp),
        };
        MapFile::replace(folder, &header, std::iter::empty()).map(drop)
    }

    /// Opens the map and decides what of it can be believed.
    pub(super) fn open(
        folder: Directory,
        data: &File,
        length: u64,
        generation: [u8; 16],
    ) -> Result<Self> {
        let identity = Identity::of(data)?;
        let stamp = Stamp::of(data)?;
        let found = MapFile::open(&folder)?;
        let believed = found
            .as_ref()
            .is_some_and(|(_, header)| provable(header, length, generation, identity, stamp));
        let header = Header {
            sequence: found.as_ref().map_or(0, |(_, header)| header.sequence),
            generation,
            identity,
            size: length,
            target: None,
            base: found.as_ref().and_then(|(_, header)| header.base).filter(|_| believed),
            clean: found.as_ref().and_then(|(_, header)| header.clean).filter(|_| believed),
        };
        let map = match found {
            Some((map, _)) => map,
            None => MapFile::replace(&folder, &header, std::iter::empty())?,
        };
        // Whoever was here before may have been killed between a change of the map and its sync:
        // what is read now, and believed to be on the disk, must be there.
        map.settle()?;
        folder.sync()?;
        let marks = map.read(length.div_ceil(crate::changed::WINDOW))?;
        let (live, intents) = in_memory(marks, length);
        let mut tracker = Self {
            folder: Some(folder),
            map,
            header,
            live,
            frozen: None,
            intents,
            warm: Bits::default(),
            views: Vec::new(),
            poisoned: false,
        };
        if !believed {
            // The old base must not come back at the next opening.
            tracker.write_header(|header| header.clean = None)?;
        }
        Ok(tracker)
    }

    /// Fails if the volume is poisoned.
    pub(super) fn check(&self) -> Result<()> {
        if self.poisoned {
            let text = "the volume is poisoned by an earlier failed fsync; open it again";
            return Err(Error::new(ErrorKind::Poisoned, text));
        }
        Ok(())
    }

    /// Passes a result on; a failed fsync in it poisons the volume.
    pub(super) fn poison_if_failed<T>(&mut self, result: Result<T>) -> Result<T> {
        if let Err(error) = &result {
            self.poisoned |= error.kind() == ErrorKind::Poisoned;
        }
        result
    }

    pub(super) fn base(&self) -> Option<Base> {
        self.header.base
    }

    pub(super) fn is_clean(&self) -> bool {
        self.header.clean.is_some()
    }

    /// Marks a range, durably as far as needed, and returns the views to copy blocks aside for.
    pub(super) fn admit(&mut self, range: &Range<u64>) -> Result<Vec<Arc<Preserve>>> {
        self.check()?;
        if self.is_clean() {
            self.write_header(|header| header.clean = None)?;
        }
        let windows = windows(range);
        let missing = self.intents.gaps(windows.clone());
        if !missing.is_empty() {
            let records = missing.iter().cloned().flatten().map(|window| (window, Mark::Intent));
            let written = self.map.write(records);
            self.poison_if_failed(written)?;
            for run in missing {
                self.intents.insert(run);
            }
        }
        self.warm.insert(windows);
        self.live.insert(units(range));
        Ok(self.views.clone())
    }

    /// Gives windows without a write since the last flush exact marks on disk.
    pub(super) fn settle_idle(&mut self) -> Result<()> {
        let warm = std::mem::take(&mut self.warm);
        self.settle(&warm)
    }

    /// Gives every window exact marks on disk.
    pub(super) fn settle_all(&mut self) -> Result<()> {
        self.warm = Bits::default();
        self.settle(&Bits::default())
    }

    fn settle(&mut self, keep: &Bits) -> Result<()> {
        self.check()?;
        let mut idle = self.intents.clone();
        for run in keep.runs() {
            idle.remove(run);
        }
        let idle = idle.runs();
        if idle.is_empty() {
            return Ok(());
        }
        // First: if the writing fails half-way, some records are exact already, and the next
        // write to their windows needs a new intent.
        for run in &idle {
            self.intents.remove(run.clone());
        }
        let (live, frozen) = (&self.live, self.frozen.as_deref());
        let records = idle.into_iter().flatten().map(|window| {
            let mut group = live.group(window);
            let before = frozen.map(|bits| bits.group(window)).unwrap_or_default();
            for (word, bits) in group.iter_mut().zip(before) {
                *word |= bits;
            }
            (window, Mark::Exact(group))
        });
        let written = self.map.write(records);
        self.poison_if_failed(written)
    }

    /// Starts a view. The caller holds the gate alone.
    pub(super) fn freeze(&mut self, purpose: Purpose, preserve: &Arc<Preserve>) -> Result<Marks> {
        self.check()?;
        if self.views.len() >= MAX_VIEWS {
            let text = format!("the volume has {MAX_VIEWS} open views already");
            return Err(Error::new(ErrorKind::Busy, text));
        }
        let units = match purpose {
            Purpose::Copy => Arc::default(),
            Purpose::Backup if self.frozen.is_some() => {
                return Err(Error::new(ErrorKind::Busy, "a backup of the volume is under way"));
            }
            Purpose::Backup => {
                let units = Arc::new(std::mem::take(&mut self.live));
                self.frozen = Some(Arc::clone(&units));
                units
            }
        };
        self.views.push(Arc::clone(preserve));
        let base = self.header.base.filter(|_| purpose == Purpose::Backup);
        Ok(Marks { base, units })
    }

    /// Makes the map relative to a root; the frozen marks are part of its point.
    pub(super) fn adopt(&mut self, root: [u8; 32], size: u64) -> Result<()> {
        self.check()?;
        let mut header = self.header.clone();
        header.sequence += 1;
        header.base = Some(Base { root, size });
        header.clean = None;
        let mut intents = Bits::default();
        if let Some(folder) = &self.folder {
            let records: Vec<(u64, Mark)> = self
                .live
                .groups()
                .map(|(window, group)| match self.intents.contains(window) {
                    true => (window, Mark::Intent),
                    false => (window, Mark::Exact(group)),
                })
                .collect();
            for (window, _) in records.iter().filter(|(_, mark)| *mark == Mark::Intent) {
                intents.insert(*window..window + 1);
            }
            let replaced = MapFile::replace(folder, &header, records.into_iter());
            self.map = self.poison_if_failed(replaced)?;
        }
        self.header = header;
        self.intents = intents;
        self.frozen = None;
        Ok(())
    }

    /// Ends a view.
    pub(super) fn release(&mut self, marks: &Marks, preserve: &Arc<Preserve>) {
        self.views.retain(|view| !Arc::ptr_eq(view, preserve));
        // After an adoption the frozen marks may be those of the next backup already.
        if let Some(frozen) = self.frozen.take_if(|units| Arc::ptr_eq(units, &marks.units)) {
            self.live.union(&frozen);
        }
    }

    /// Records that the data is about to become longer.
    pub(super) fn announce_growth(&mut self, size: u64) -> Result<()> {
        self.check()?;
        self.write_header(|header| {
            header.target = Some(size);
            header.clean = None;
        })
    }

    /// Records that the data is longer now.
    pub(super) fn finish_growth(&mut self, size: u64) -> Result<()> {
        self.write_header(|header| {
            header.target = None;
            header.size = size;
        })
    }

    /// Records that the map is exact and the data is as it is now.
    pub(super) fn record_clean(&mut self, stamp: Stamp) -> Result<()> {
        self.write_header(|header| header.clean = Some(stamp))
    }

    /// Stops keeping anything: the folder is gone.
    pub(super) fn detach(&mut self) {
        self.folder = None;
    }

    /// Whether the volume has been removed from its pool.
    pub(super) fn is_detached(&self) -> bool {
        self.folder.is_none()
    }

    /// Makes a file without a name in the folder of the volume.
    pub(super) fn side_file(&self, name: &str) -> Result<File> {
        self.check()?;
        match &self.folder {
            Some(folder) => folder.create_unnamed(name),
            None => Err(Error::new(ErrorKind::NotFound, "the volume has been removed")),
        }
    }

    fn write_header(&mut self, change: impl FnOnce(&mut Header)) -> Result<()> {
        let mut header = self.header.clone();
        header.sequence += 1;
        change(&mut header);
        let written = self.map.write_header(&header);
        self.poison_if_failed(written)?;
        self.header = header;
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn crash(&mut self) {
        self.poisoned = true;
    }
}

/// Whether a map can prove that it belongs to this data.
///
/// After a clean close the times of the data must be those recorded. After an unclean stop they
/// cannot be, and intents tell what we may have written ourselves.
fn provable(
    header: &Header,
    length: u64,
    generation: [u8; 16],
    identity: Identity,
    stamp: Stamp,
) -> bool {
    header.generation == generation
        && header.identity == identity
        && (header.size == length || header.target == Some(length))
        && header.clean.is_none_or(|clean| clean == stamp)
}

/// Marks of the file as units, and the windows that are intents there.
fn in_memory(marks: BTreeMap<u64, Mark>, length: u64) -> (Bits, Bits) {
    let (mut live, mut intents) = (Bits::default(), Bits::default());
    for (window, mark) in marks {
        match mark {
            Mark::Exact(group) => live.insert_group(window, group),
            Mark::Intent => {
                let range = window * crate::changed::WINDOW..(window + 1) * crate::changed::WINDOW;
                live.insert(units(&(range.start..range.end.min(length))));
                intents.insert(window..window + 1);
            }
        }
    }
    (live, intents)
}

impl Marks {
    /// The ranges that may differ from a base, if the marks are relative to it.
    pub(crate) fn since(&self, root: &[u8; 32], size: u64) -> Option<Vec<Range<u64>>> {
        let base = self.base.filter(|base| base.root == *root && base.size <= size)?;
        let mut changed = Bits::clone(&self.units);
        // Growth needs no marks of its own: the base tells where it ended.
        let grown = units(&(base.size..size));
        if base.size < size {
            changed.insert(grown);
        }
        Some(changed.runs().iter().map(|run| bytes(run, size)).collect())
    }
}
