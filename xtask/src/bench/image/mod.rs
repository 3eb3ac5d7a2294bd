//! The disk images of the race, the same for the same seed and scale.
//!
//! D0 is a machine's disk, D1 the same disk a day later, D2 a sibling with most of the same files
//! at other places, R random bytes, Z a large disk that is almost empty. Content and places are
//! made so that what tools differ in is there as in real machines: kinds of content, small files,
//! free room, changes in place and changes of place, copies. Generating needs little memory, for
//! a child's peak begins with what this tool held when it started the child.

mod binary;
mod changed;
mod content;
mod day;
mod disk;
mod layout;
mod machine;
mod pages;
mod words;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde::Serialize;

use super::random::Random;
use content::{Content, Kind, PIECE};
use disk::Disk;
use layout::{BLOCK, Layout};
use machine::Scale;

pub(super) use changed::{Changes, compare};

/// MiB at scale 1 of each disk.
const DISK: u64 = 8 << 10;
const RANDOM: u64 = 2 << 10;
const SPARSE: u64 = 64 << 10;

/// MiB at scale 1 of the journal that a day may use.
const JOURNAL: u64 = 48;

/// MiB at scale 1 of the almost empty disk: logs, and what is allocated but zero.
const SPARSE_LOGS: u64 = 96;
const SPARSE_ZERO: u64 = 200;

/// One of the images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    D0,
    D1,
    D2,
    R,
    Z,
}

impl Name {
    pub(super) const ALL: [Self; 5] = [Self::D0, Self::D1, Self::D2, Self::R, Self::Z];

    pub(super) fn file(self) -> &'static str {
        match self {
            Self::D0 => "D0.img",
            Self::D1 => "D1.img",
            Self::D2 => "D2.img",
            Self::R => "R.img",
            Self::Z => "Z.img",
        }
    }
}

/// The images and what is known of them.
pub(super) struct Images {
    pub(super) folder: PathBuf,
    /// Where the lists of changes are, as lines and as JSON.
    lists: PathBuf,
    pub(super) changes: Changes,
    /// Length of each image that there is.
    sizes: BTreeMap<Name, u64>,
}

/// What a reader of the figures wants to know of the images.
#[derive(Debug, Default, Serialize)]
pub(super) struct Shape {
    sizes: BTreeMap<&'static str, u64>,
    pub(super) changes: Changes,
}

impl Images {
    /// Makes the wanted images in a folder.
    pub(super) fn make(
        wanted: &[Name],
        permille: u64,
        seed: u64,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let scale = Scale { permille, seed };
        std::thread::scope(|threads| {
            let has = |name: Name| wanted.contains(&name);
            let first = has(Name::D0) || has(Name::D1);
            let pair = first.then(|| threads.spawn(move || first_and_next(scale, folder)));
            if has(Name::D2) {
                sibling(scale, folder).context("make D2")?;
            }
            if has(Name::R) {
                random(scale, &folder.join(Name::R.file())).context("make R")?;
            }
            if has(Name::Z) {
                sparse(scale, &folder.join(Name::Z.file())).context("make Z")?;
            }
            let pair = pair.map(std::thread::ScopedJoinHandle::join);
            match pair {
                Some(Ok(done)) => done.context("make D0 and D1"),
                Some(Err(_)) => anyhow::bail!("the thread that makes D0 has failed"),
                None => Ok(()),
            }
        })?;
        Self::open(folder, folder)
    }

    /// Uses the images of a folder; the lists of changes go to another one.
    pub(super) fn open(folder: &Path, lists: &Path) -> anyhow::Result<Self> {
        let mut sizes = BTreeMap::new();
        for name in Name::ALL {
            let path = folder.join(name.file());
            if path.is_file() {
                sizes.insert(name, std::fs::metadata(&path)?.len());
            }
        }
        ensure!(!sizes.is_empty(), "{} holds no D0.img, D1.img, ...", folder.display());
        let path = |name: Name| folder.join(name.file());
        let both = sizes.contains_key(&Name::D0) && sizes.contains_key(&Name::D1);
        let changes = match both {
            true => changed::find(&path(Name::D0), &path(Name::D1), lists)?,
            false => Changes::default(),
        };
        Ok(Self { folder: folder.to_owned(), lists: lists.to_owned(), changes, sizes })
    }

    /// The image's file.
    pub(super) fn path(&self, name: Name) -> PathBuf {
        self.folder.join(name.file())
    }

    /// The image's length.
    pub(super) fn size(&self, name: Name) -> anyhow::Result<u64> {
        let size = self.sizes.get(&name).copied();
        size.with_context(|| format!("there is no {}", self.path(name).display()))
    }

    /// Lines `offset length`: where D1 differs from D0.
    pub(super) fn list(&self) -> PathBuf {
        self.lists.join(changed::LINES)
    }

    /// The same as JSON, in the shape of `rbd diff`.
    pub(super) fn hints(&self) -> PathBuf {
        self.lists.join(changed::HINTS)
    }

    /// All that is known, for the figures.
    pub(super) fn shape(&self) -> Shape {
        let sizes = self.sizes.iter().map(|(name, size)| (name.file(), *size)).collect();
        Shape { sizes, changes: self.changes }
    }
}

/// Bytes that the images take on the disk at most.
pub(super) fn room(wanted: &[Name], permille: u64) -> u64 {
    let mib = |name: &Name| match name {
        Name::D0 | Name::D1 => 5_600,
        Name::D2 => 5_500,
        Name::R => RANDOM,
        Name::Z => 400,
    };
    Scale { permille, seed: 0 }.bytes(wanted.iter().map(mib).sum())
}

/// Blocks of a disk of so many MiB at scale 1, never too few for a file system.
fn blocks(scale: Scale, mib: u64) -> u64 {
    (scale.bytes(mib) >> 20).max(16) << 8
}

fn identity(scale: Scale, number: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    Random::new(scale.seed, 0x6964, number).fill(&mut bytes);
    bytes
}

/// Writes all that was placed.
fn write(disk: &mut Disk, content: &Content, layout: &Layout) -> anyhow::Result<()> {
    for placed in layout.placed().iter().chain(&layout.tables()) {
        disk.write(content, placed)?;
    }
    Ok(())
}

fn first_layout(scale: Scale) -> anyhow::Result<(Layout, Vec<machine::File>)> {
    let mut installed = machine::installed(scale);
    let mut own = machine::first(scale, &installed);
    let journal = scale.bytes(JOURNAL) / BLOCK;
    let mut layout = Layout::new(blocks(scale, DISK), journal, scale.seed);
    layout.place(&mut installed)?;
    layout.place(&mut own)?;
    Ok((layout, installed))
}

fn first_and_next(scale: Scale, folder: &Path) -> anyhow::Result<()> {
    let (mut layout, installed) = first_layout(scale)?;
    let content = Content::new(scale.seed);
    let path = folder.join(Name::D0.file());
    let mut disk = Disk::create(&path, blocks(scale, DISK))?;
    disk.partition(identity(scale, 1))?;
    write(&mut disk, &content, &layout)?;
    disk.file.sync_all()?;
    let mut next = Disk::create(&folder.join(Name::D1.file()), blocks(scale, DISK))?;
    changed::copy_sparse(&disk.file, &next.file).context("copy D0")?;
    day::pass(&mut next, &content, &mut layout, scale, &installed)?;
    next.file.sync_all().context("sync D1")
}

fn sibling(scale: Scale, folder: &Path) -> anyhow::Result<()> {
    let (_, mut installed) = first_layout(scale)?;
    let journal = scale.bytes(JOURNAL) / BLOCK;
    let mut layout = Layout::new(blocks(scale, DISK), journal, scale.seed ^ 0xd2);
    layout.place(&mut machine::sibling(scale))?;
    layout.place(&mut installed)?;
    let mut disk = Disk::create(&folder.join(Name::D2.file()), blocks(scale, DISK))?;
    disk.partition(identity(scale, 2))?;
    write(&mut disk, &Content::new(scale.seed), &layout)?;
    disk.file.sync_all().context("sync D2")
}

fn random(scale: Scale, path: &Path) -> anyhow::Result<()> {
    let total = scale.bytes(RANDOM) / BLOCK * BLOCK;
    let mut disk = Disk::create(path, total / BLOCK)?;
    let whole = machine::File {
        kind: Kind::Packed,
        seed: scale.seed ^ 0x52,
        from: 0,
        size: total,
        lane: 16,
        package: 0,
    };
    disk.write(&Content::new(scale.seed), &layout::Placed { file: whole, start: 0 })?;
    disk.file.sync_all().context("sync R")
}

fn sparse(scale: Scale, path: &Path) -> anyhow::Result<()> {
    let total = blocks(scale, SPARSE);
    let mut disk = Disk::create(path, total)?;
    disk.partition(identity(scale, 3))?;
    let mut layout = Layout::new(total, 0, scale.seed ^ 0x5a);
    let mut logs: Vec<machine::File> = (0..6)
        .map(|number| machine::File {
            kind: Kind::Log,
            seed: scale.seed ^ (0x5a00 + u64::from(number)),
            from: 0,
            size: scale.bytes(SPARSE_LOGS) / 6,
            lane: 16,
            package: number,
        })
        .collect();
    layout.place(&mut logs)?;
    write(&mut disk, &Content::new(scale.seed), &layout)?;
    // What a file system writes as zeros when it is made, and single blocks far out.
    let zeros = vec![0; usize::try_from(PIECE)?];
    for piece in 0..scale.bytes(SPARSE_ZERO) / PIECE {
        disk.poke(total / 2 + piece * 256, &zeros)?;
    }
    let mut random = Random::new(scale.seed, 0x5a, 0);
    let mut block = vec![0; usize::try_from(BLOCK)?];
    for _ in 0..512 {
        random.fill(&mut block);
        disk.poke(total / 4 + random.below(total / 2), &block)?;
    }
    disk.file.sync_all().context("sync Z")
}

/// Opens a file to read.
fn open(path: &Path) -> anyhow::Result<File> {
    File::open(path).with_context(|| format!("open {}", path.display()))
}

#[cfg(test)]
mod tests;
