//! Where a machine's files lie on its disk: a partition of four groups, in each a table of inodes,
//! then the files of whole packages one after the other on blocks of 4 KiB, then free room.

use anyhow::{Context as _, ensure};

use super::super::random::Random;
use super::content::Kind;
use super::machine::File;

/// The grid of file systems.
pub(super) const BLOCK: u64 = 4096;

/// Blocks before the partition.
const FRONT: u64 = 256;

/// Groups of a disk.
const GROUPS: u64 = 4;

/// A file and its first block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) file: File,
    pub(super) start: u64,
}

impl Placed {
    /// Blocks of it.
    pub(super) fn blocks(&self) -> u64 {
        blocks(&self.file)
    }
}

fn blocks(file: &File) -> u64 {
    file.size.div_ceil(BLOCK).saturating_sub(file.from)
}

/// One group while it is filled.
struct Group {
    inodes: u64,
    /// The first block of data that is free, and the end of the group.
    next: u64,
    end: u64,
    files: u64,
}

/// A disk's plan.
pub(super) struct Layout {
    groups: Vec<Group>,
    placed: Vec<Placed>,
    /// First block and number of blocks of the journal.
    pub(super) journal: (u64, u64),
    random: Random,
    seed: u64,
    /// Which group takes the next package.
    turn: usize,
}

impl Layout {
    /// An empty disk of so many blocks; `seed` decides the order of groups and the gaps.
    pub(super) fn new(total: u64, journal: u64, seed: u64) -> Self {
        let each = (total - 2 * FRONT) / GROUPS;
        let mut groups: Vec<Group> = (0..GROUPS)
            .map(|number| {
                let inodes = FRONT + number * each;
                let next = inodes + (each / 96).max(2);
                Group { inodes, next, end: inodes + each, files: 0 }
            })
            .collect();
        let mut place = (0, journal);
        if let Some(group) = groups.get_mut(1) {
            place.0 = group.next;
            group.next += journal;
        }
        let random = Random::new(seed, 0x6c, total);
        Self { groups, placed: Vec::new(), journal: place, random, seed, turn: 0 }
    }

    /// Places the files, those of a package in one group, and returns where the first one went.
    pub(super) fn place(&mut self, files: &mut [File]) -> anyhow::Result<usize> {
        let first = self.placed.len();
        let mut package = None;
        for file in files {
            if package != Some(file.package) {
                package = Some(file.package);
                self.turn = self.random.index(self.groups.len());
                let seed = self.random.next();
                let kind = Kind::Meta;
                let size = BLOCK;
                self.add(&mut File { kind, seed, from: 0, size, lane: 16, package: file.package })?;
            }
            self.add(file)?;
        }
        Ok(first)
    }

    fn add(&mut self, file: &mut File) -> anyhow::Result<()> {
        let wanted = blocks(file);
        // Up to 16 blocks may be left out before the file.
        let fits = |group: &Group| group.next + wanted + 16 <= group.end;
        let turns = (0..self.groups.len()).map(|step| (self.turn + step) % self.groups.len());
        let found = turns.into_iter().find(|turn| self.groups.get(*turn).is_some_and(fits));
        self.turn = found.context("the disk is full: a larger scale has more room")?;
        let group = self.groups.get_mut(self.turn).context("no such group")?;
        if self.random.chance(3) {
            group.next += 1 + self.random.below(12);
        }
        // A new file system places what an old one held too, and hardly ever on the same grid.
        if group.next % 16 == file.lane && self.random.chance(66) {
            group.next += 1 + self.random.below(14);
        }
        file.lane = group.next % 16;
        self.placed.push(Placed { file: *file, start: group.next });
        group.next += wanted;
        group.files += 1;
        ensure!(group.files.div_ceil(16) < (group.end - group.inodes) / 96, "too many files");
        Ok(())
    }

    /// Everything that was placed, in the order of placing.
    pub(super) fn placed(&self) -> &[Placed] {
        &self.placed
    }

    /// The tables of inodes as files of their own, as long as what was placed needs.
    pub(super) fn tables(&self) -> Vec<Placed> {
        let table = |(number, group): (u64, &Group)| Placed {
            file: File {
                kind: Kind::Meta,
                seed: self.seed ^ (number + 1),
                from: 0,
                size: group.files.div_ceil(16) * BLOCK,
                lane: 16,
                package: 0,
            },
            start: group.inodes,
        };
        (0..).zip(&self.groups).map(table).collect()
    }
}
