//! The model that a volume is run against: the disk, what of it is durable, and its bases.
//!
//! Every write fills whole sectors with one tag, so the model is one number for each sector. A
//! kill drops the volume without a clean close. A power loss may come in the middle of a step; it
//! also takes back, sector by sector and at random, what was written to the data and to the map
//! since their last sync, and a renaming since the last sync of the folder. Checked after each
//! backup view: the marks cover every real difference from the adopted content, are there
//! whenever a base is, and name no window that was not touched (no unit, as long as nothing
//! crashed).

use crate::changed::{UNIT, WINDOW};
use crate::durable::power;
use crate::{ErrorKind, Pool, Purpose, Result, SECTOR, View, Volume, VolumeName};
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

pub(super) const SIZE: u64 = 2 * WINDOW + 5 * UNIT + 3 * SECTOR;
const GENERATION: [u8; 16] = [7; 16];

/// One tag for each sector; zero is a cleared one.
type Content = Vec<u16>;

#[derive(Clone, Debug)]
pub(super) enum Step {
    Write(u64, u64),
    Clear(u64, u64),
    Grow(u64),
    Flush,
    Close,
    Freeze,
    Copy,
    ReadDone(u64, u64),
    Adopt,
    Abandon,
    Reopen,
    Kill,
    PowerLoss,
}

/// What ends a step after some inner steps.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cut {
    Power(u64),
    Kill(u64),
}

struct Base {
    root: [u8; 32],
    content: Content,
    /// Whether marks may be whole windows, because of a crash since the base.
    coarse: bool,
}

struct Frozen {
    view: View,
    content: Content,
    touched: BTreeSet<u64>,
    /// Units that were given up.
    given_up: BTreeSet<u64>,
}

pub(super) struct Run {
    folder: TempDir,
    pool: Pool,
    volume: Option<Arc<Volume>>,
    now: Content,
    synced: Content,
    base: Option<Base>,
    /// Units written since the base (or since the freeze, while a view is open).
    touched: BTreeSet<u64>,
    /// A base whose adoption was cut, and the units written since its freeze.
    perhaps: Option<(Base, BTreeSet<u64>)>,
    frozen: Option<Frozen>,
    copy: Option<(View, Content)>,
    tag: u16,
    roots: u64,
    seed: u64,
    path: PathBuf,
    inode: u64,
}

fn name() -> VolumeName {
    VolumeName::new("model").unwrap()
}

fn sectors(range: &Range<u64>) -> Range<usize> {
    (range.start / SECTOR) as usize..(range.end / SECTOR) as usize
}

fn units(range: &Range<u64>) -> Range<u64> {
    range.start / UNIT..range.end.div_ceil(UNIT)
}

/// Compares a disk with its content, reading only what it says is allocated.
fn compare(
    content: &Content,
    allocated: &[Range<u64>],
    skip: impl Fn(u64) -> bool,
    read: impl Fn(&mut [u8], u64),
) {
    let mut outside = vec![true; content.len()];
    for range in allocated {
        let start = range.start / SECTOR * SECTOR;
        for sector in start / SECTOR..range.end.div_ceil(SECTOR) {
            if skip(sector * SECTOR / UNIT) {
                outside[sector as usize] = false;
                continue;
            }
            let mut bytes = [0xee; SECTOR as usize];
            read(&mut bytes, sector * SECTOR);
            let tag = content[sector as usize];
            assert_eq!(bytes, filled(tag), "sector {sector} has not the tag {tag}");
            outside[sector as usize] = false;
        }
    }
    for (sector, &tag) in content.iter().enumerate() {
        let given_up = skip(sector as u64 * SECTOR / UNIT);
        assert!(tag == 0 || !outside[sector] || given_up, "sector {sector} is not allocated");
    }
}

fn filled(tag: u16) -> [u8; SECTOR as usize] {
    let mut bytes = [0; SECTOR as usize];
    for pair in bytes.chunks_exact_mut(2) {
        pair.copy_from_slice(&tag.to_le_bytes());
    }
    bytes
}

impl Run {
    pub(super) fn new(seed: u64) -> Self {
        power::reset();
        let folder = tempfile::tempdir().unwrap();
        let pool = Pool::open(folder.path()).unwrap();
        let volume = pool.create(&name(), SIZE, GENERATION).unwrap();
        let path = pool.data_path(&volume);
        let inode = std::fs::metadata(&path).unwrap().ino();
        let now = vec![0; (SIZE / SECTOR) as usize];
        Self {
            folder,
            pool,
            volume: Some(volume),
            synced: now.clone(),
            now,
            base: None,
            touched: BTreeSet::new(),
            perhaps: None,
            frozen: None,
            copy: None,
            tag: 0,
            roots: 0,
            seed,
            path,
            inode,
        }
    }

    fn volume(&self) -> &Arc<Volume> {
        self.volume.as_ref().unwrap()
    }

    fn size(&self) -> u64 {
        self.now.len() as u64 * SECTOR
    }

    /// A range of sectors from two random numbers.
    fn range(&self, at: u64, length: u64) -> Range<u64> {
        let start = at % (self.size() / SECTOR) * SECTOR;
        start..(start + length * SECTOR).min(self.size())
    }

    /// Takes a step and notes whether the data was synced in it.
    pub(super) fn step(&mut self, step: Step) -> Result<()> {
        power::forget_data(self.inode);
        let done = match step {
            Step::Write(at, length) => self.write(&self.range(at, length)),
            Step::Clear(at, length) => self.clear(self.range(at, length)),
            Step::Grow(by) => self.grow(self.size() + by * SECTOR),
            Step::Flush => self.volume().flush(),
            Step::Close => self.volume().close(),
            Step::Freeze => self.freeze(),
            Step::Copy => self.copy(),
            Step::ReadDone(at, length) => {
                self.read_done(self.range(at, length));
                Ok(())
            }
            Step::Adopt => self.adopt(),
            Step::Abandon => {
                self.abandon();
                Ok(())
            }
            Step::Reopen => self.reopen(),
            Step::Kill => {
                self.stop();
                self.open();
                Ok(())
            }
            Step::PowerLoss => {
                self.lose_power();
                Ok(())
            }
        };
        if power::was_synced(self.inode) {
            self.synced.clone_from(&self.now);
        }
        done
    }

    /// Takes a step that is cut somewhere inside, and comes back.
    pub(super) fn step_cut(&mut self, step: Step, cut: Cut) {
        let (Cut::Power(after) | Cut::Kill(after)) = cut;
        power::cut_after(Some(after));
        // Whether it was cut or not, the power goes now, or the process ends.
        let _cut: Result<()> = self.step(step);
        power::cut_after(None);
        match cut {
            Cut::Power(_) => self.lose_power(),
            Cut::Kill(_) => {
                self.stop();
                self.now = self.content();
                self.open();
            }
        }
    }

    fn write(&mut self, range: &Range<u64>) -> Result<()> {
        self.tag += 1;
        let bytes = filled(self.tag).repeat(sectors(range).len());
        self.touched.extend(units(range));
        self.volume().write_at(&bytes, range.start)?;
        self.now[sectors(range)].fill(self.tag);
        Ok(())
    }

    fn clear(&mut self, range: Range<u64>) -> Result<()> {
        self.touched.extend(units(&range));
        self.volume().clear(range.clone())?;
        self.now[sectors(&range)].fill(0);
        Ok(())
    }

    fn grow(&mut self, size: u64) -> Result<()> {
        self.touched.extend(units(&(self.size()..size)));
        self.volume().grow(size)?;
        self.now.resize((size / SECTOR) as usize, 0);
        assert_eq!(self.volume().size(), size);
        Ok(())
    }

    fn freeze(&mut self) -> Result<()> {
        let view = self.volume().freeze();
        if self.frozen.is_some() {
            assert!(view.is_err_and(|error| error.kind() != ErrorKind::Poisoned));
            return Ok(());
        }
        let frozen = Frozen {
            view: view?,
            content: self.now.clone(),
            touched: std::mem::take(&mut self.touched),
            given_up: BTreeSet::new(),
        };
        self.check_marks(&frozen);
        self.frozen = Some(frozen);
        Ok(())
    }

    /// The marks cover, are there, and are as sharp as they can be.
    fn check_marks(&self, frozen: &Frozen) {
        assert_eq!(frozen.view.size(), frozen.content.len() as u64 * SECTOR);
        assert_eq!(frozen.view.changed(&[0xff; 32]), None);
        let Some(base) = &self.base else { return };
        let changed =
            frozen.view.changed(&base.root).expect("a map with a base tells what changed");
        assert!(changed.windows(2).all(|pair| pair[0].end < pair[1].start));
        assert!(changed.iter().all(|range| range.end <= frozen.view.size()));
        let marked: BTreeSet<u64> = changed.iter().flat_map(units).collect();
        for (sector, tag) in frozen.content.iter().enumerate() {
            let unit = sector as u64 * SECTOR / UNIT;
            let same = base.content.get(sector).copied().unwrap_or(0) == *tag;
            assert!(same || marked.contains(&unit), "unit {unit} changed and is not marked");
        }
        if base.coarse {
            let per_window = WINDOW / UNIT;
            let windows: BTreeSet<u64> = frozen.touched.iter().map(|u| u / per_window).collect();
            let outside = marked.iter().find(|unit| !windows.contains(&(**unit / per_window)));
            assert_eq!(outside, None, "marked outside of what was touched");
        } else {
            assert_eq!(marked, frozen.touched);
        }
    }

    fn copy(&mut self) -> Result<()> {
        match self.copy.take() {
            Some((view, content)) => {
                let allocated = view.allocated(0..u64::MAX)?;
                compare(&content, &allocated, |_| false, |b, at| view.read_at(b, at).unwrap());
            }
            None => {
                let view = self.volume().freeze_for(Purpose::Copy)?;
                self.copy = Some((view, self.now.clone()));
            }
        }
        Ok(())
    }

    fn read_done(&mut self, range: Range<u64>) {
        let Some(frozen) = &mut self.frozen else {
            return;
        };
        let range = range.start..range.end.min(frozen.view.size());
        let end = match range.end == frozen.view.size() {
            true => range.end.div_ceil(UNIT),
            false => range.end / UNIT,
        };
        frozen.given_up.extend(range.start.div_ceil(UNIT)..end);
        frozen.view.read_done(range);
    }

    /// Reads the view whole; it must be the disk of the freeze.
    fn check_view(frozen: &Frozen) {
        let allocated = frozen.view.allocated(0..u64::MAX).unwrap();
        let skip = |unit: u64| frozen.given_up.contains(&unit);
        compare(&frozen.content, &allocated, skip, |bytes, at| {
            frozen.view.read_at(bytes, at).unwrap();
        });
    }

    fn adopt(&mut self) -> Result<()> {
        let Some(frozen) = self.frozen.take() else {
            return Ok(());
        };
        Self::check_view(&frozen);
        let mut root = [0; 32];
        self.roots += 1;
        root[..8].copy_from_slice(&self.roots.to_le_bytes());
        let adopted = Base { root, content: frozen.content, coarse: false };
        if let Err(error) = frozen.view.adopt(root) {
            // Cut in the middle: both bases are right, and the next opening shows which it is.
            self.perhaps = Some((adopted, self.touched.clone()));
            self.touched.extend(frozen.touched);
            return Err(error);
        }
        self.base = Some(adopted);
        assert_eq!(self.volume().base(), Some(root));
        Ok(())
    }

    fn abandon(&mut self) {
        let Some(frozen) = self.frozen.take() else {
            return;
        };
        Self::check_view(&frozen);
        frozen.view.abandon();
        self.touched.extend(frozen.touched);
    }

    fn reopen(&mut self) -> Result<()> {
        self.end_views();
        self.volume = None;
        self.volume = Some(self.pool.open_volume(&name())?);
        assert_eq!(self.volume().base(), self.base.as_ref().map(|base| base.root));
        Ok(())
    }

    fn end_views(&mut self) {
        self.copy = None;
        if let Some(frozen) = self.frozen.take() {
            self.touched.extend(frozen.touched);
        }
    }

    /// Ends as a killed process does.
    fn stop(&mut self) {
        power::cut_after(None);
        if let Some(volume) = &self.volume {
            volume.crash();
        }
        self.end_views();
        self.volume = None;
        if let Some(base) = &mut self.base {
            base.coarse = true;
        }
    }

    fn open(&mut self) {
        self.pool = Pool::open(self.folder.path()).unwrap();
        let volume = self.pool.open_volume(&name()).unwrap();
        if let Some((base, touched)) = self.perhaps.take()
            && volume.base() == Some(base.root)
        {
            self.base = Some(Base { coarse: true, ..base });
            self.touched = touched;
        }
        assert_eq!(volume.base(), self.base.as_ref().map(|base| base.root));
        assert_eq!(volume.generation(), GENERATION);
        self.volume = Some(volume);
    }

    fn chance(&mut self) -> bool {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.seed >> 60 & 1 == 1
    }

    /// Takes back at random what is not durable, and starts again.
    fn lose_power(&mut self) {
        self.stop();
        self.lose_map();
        let mut content = self.content();
        let data = OpenOptions::new().write(true).open(&self.path).unwrap();
        for (sector, tag) in content.iter_mut().enumerate() {
            let durable = self.synced.get(sector).copied().unwrap_or(0);
            if *tag != durable && self.chance() {
                *tag = durable;
                data.write_all_at(&filled(durable), sector as u64 * SECTOR).unwrap();
            }
        }
        self.synced.clone_from(&content);
        self.now = content;
        self.open();
    }

    /// The tags that the data has.
    fn content(&self) -> Content {
        let data = OpenOptions::new().read(true).open(&self.path).unwrap();
        let length = data.metadata().unwrap().len();
        let mut content = vec![0; (length / SECTOR) as usize];
        for extent in crate::extent::data(&data, &(0..length)).unwrap() {
            for sector in extent.start / SECTOR..extent.end.div_ceil(SECTOR) {
                let mut tag = [0; 2];
                data.read_exact_at(&mut tag, sector * SECTOR).unwrap();
                content[sector as usize] = u16::from_le_bytes(tag);
            }
        }
        content
    }

    fn lose_map(&mut self) {
        let path = self.path.with_file_name("map");
        if let Some((renamed, before)) = power::take_renamed()
            && self.chance()
        {
            assert_eq!(renamed, path);
            std::fs::write(path, before).unwrap();
            return;
        }
        let map = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let inode = map.metadata().unwrap().ino();
        let durable = power::durable_content(inode);
        let now = std::fs::read(&path).unwrap();
        for at in (0..now.len()).step_by(SECTOR as usize) {
            let piece = at..now.len().min(at + SECTOR as usize);
            let mut old: Vec<u8> = durable.get(at..).unwrap_or_default().to_vec();
            old.resize(piece.len(), 0);
            if old != now[piece] && self.chance() {
                map.write_all_at(&old, at as u64).unwrap();
            }
        }
    }

    pub(super) fn finish(&mut self) {
        self.abandon();
        let volume = self.volume();
        let allocated = volume.extents(0..u64::MAX).unwrap();
        compare(&self.now, &allocated, |_| false, |b, at| volume.read_at(b, at).unwrap());
        for step in [Step::Freeze, Step::Adopt, Step::Freeze] {
            self.step(step).unwrap();
        }
    }
}
