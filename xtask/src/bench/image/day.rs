//! What a day does to a disk: databases change in place, files are read, logs grow, a package is
//! replaced by its next version in free room, the journal tells of it all.

use anyhow::Context as _;

use super::super::random::Random;
use super::content::{Content, Kind, inodes};
use super::disk::Disk;
use super::layout::{BLOCK, Layout, Placed};
use super::machine::{self, LOG_GROWTH, Scale};

/// One page in so many of a database is updated.
const TABLE_UPDATES: u64 = 19;
const HEAP_UPDATES: u64 = 18;

/// One block of inodes in so many has a file that was read.
const INODES_READ: u64 = 3;

/// MiB at scale 1 that the journal takes.
const JOURNALED: u64 = 24;

/// Changes the disk, which holds what `layout` says.
pub(super) fn pass(
    disk: &mut Disk,
    content: &Content,
    layout: &mut Layout,
    scale: Scale,
    installed: &[machine::File],
) -> anyhow::Result<()> {
    let mut random = Random::new(scale.seed, 0x79, 0);
    for placed in layout.placed() {
        if matches!(placed.file.kind, Kind::Table | Kind::Heap) {
            update(disk, content, placed, &mut random)?;
        }
    }
    for table in layout.tables() {
        for block in 0..table.blocks() {
            if random.below(INODES_READ) == 0 {
                let mut bytes = Vec::new();
                inodes(table.file.seed, block, 1, &mut bytes);
                disk.poke(table.start + block, &bytes)?;
            }
        }
    }
    let mut added = machine::day(scale, installed);
    added.extend(grow_log(disk, content, layout, scale)?);
    let first = layout.place(&mut added)?;
    for placed in layout.placed().get(first..).unwrap_or_default() {
        disk.write(content, placed)?;
    }
    journal(disk, layout, scale)
}

/// Rewrites pages of a database: most of them among the newest, the rest anywhere.
fn update(
    disk: &mut Disk,
    content: &Content,
    placed: &Placed,
    random: &mut Random,
) -> anyhow::Result<()> {
    let heap = placed.file.kind == Kind::Heap;
    let pages = if heap { placed.blocks() / 2 } else { placed.blocks() };
    let updates = pages / if heap { HEAP_UPDATES } else { TABLE_UPDATES };
    for _ in 0..updates {
        let recent = random.chance(if heap { 70 } else { 50 });
        let page = match (recent, heap) {
            (true, true) => random.below(pages).min(random.below(pages)),
            (true, false) => pages - 1 - random.below((pages / 6).max(1)),
            (false, _) => random.below(pages),
        };
        disk.page(content, placed, page, 1)?;
    }
    Ok(())
}

/// Fills the last block of the newest log; the file's further part is yet to be placed.
fn grow_log(
    disk: &mut Disk,
    content: &Content,
    layout: &Layout,
    scale: Scale,
) -> anyhow::Result<Option<machine::File>> {
    let newest = layout.placed().iter().rev().find(|placed| placed.file.kind == Kind::Log);
    let Some(log) = newest.copied() else { return Ok(None) };
    let size = log.file.size + scale.bytes(LOG_GROWTH);
    let from = log.file.size / BLOCK;
    let last = machine::File { from, size: ((from + 1) * BLOCK).min(size), ..log.file };
    disk.write(content, &Placed { file: last, start: log.start + from })?;
    Ok(Some(machine::File { from: from + 1, size, package: u32::MAX, ..log.file }))
}

/// Blocks of metadata behind headers that count transactions.
fn journal(disk: &Disk, layout: &Layout, scale: Scale) -> anyhow::Result<()> {
    let (start, room) = layout.journal;
    let used = (scale.bytes(JOURNALED) / BLOCK).min(room);
    let mut bytes = Vec::new();
    for block in 0..used {
        bytes.clear();
        inodes(scale.seed ^ 1, block / 3, 1, &mut bytes);
        let transaction = u32::try_from(block / 64).context("too many transactions")?;
        let head = [[0xc0, 0x3b, 0x39, 0x98], [0, 0, 0, 1], transaction.to_be_bytes()].concat();
        if let Some(front) = bytes.get_mut(..head.len()) {
            front.copy_from_slice(&head);
        }
        disk.poke(start + block, &bytes)?;
    }
    Ok(())
}
