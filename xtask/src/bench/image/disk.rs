//! Writing an image: streamed, sparse, with a partition table.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::Context as _;

use super::content::{Content, Kind, PIECE};
use super::layout::{BLOCK, Placed};

/// An image file that is written.
pub(super) struct Disk {
    pub(super) file: File,
    blocks: u64,
    buffer: Vec<u8>,
}

impl Disk {
    /// A new image without content.
    pub(super) fn create(path: &Path, blocks: u64) -> anyhow::Result<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .with_context(|| format!("create {}", path.display()))?;
        file.set_len(blocks * BLOCK)?;
        Ok(Self { file, blocks, buffer: Vec::new() })
    }

    /// Writes a file's part to its place; the last block's slack is zero.
    pub(super) fn write(&mut self, content: &Content, placed: &Placed) -> anyhow::Result<()> {
        let file = &placed.file;
        let mut at = file.from * BLOCK;
        while at < file.size {
            let number = at / PIECE;
            let length = PIECE.min(file.size - number * PIECE);
            let length = usize::try_from(length)?;
            content.piece(file.kind, file.seed, number, length, &mut self.buffer);
            self.buffer.resize(length.next_multiple_of(usize::try_from(BLOCK)?), 0);
            let skip = usize::try_from(at % PIECE)?;
            let part = self.buffer.get(skip..).unwrap_or_default();
            let target = placed.start * BLOCK + (at - file.from * BLOCK);
            self.file.write_all_at(part, target)?;
            at = (number + 1) * PIECE;
        }
        Ok(())
    }

    /// Writes bytes at a block.
    pub(super) fn poke(&self, block: u64, bytes: &[u8]) -> anyhow::Result<()> {
        self.file.write_all_at(bytes, block * BLOCK).context("write the image")
    }

    /// Writes a database's page as a later day left it.
    pub(super) fn page(
        &mut self,
        content: &Content,
        placed: &Placed,
        page: u64,
        day: u64,
    ) -> anyhow::Result<()> {
        let blocks = if placed.file.kind == Kind::Heap { 2 } else { 1 };
        self.buffer.clear();
        content.page(placed.file.kind, placed.file.seed, page, day, &mut self.buffer);
        self.poke(placed.start + page * blocks, &self.buffer)
    }

    /// Writes a partition table with one partition, at both ends of the disk.
    pub(super) fn partition(&self, identity: [u8; 16]) -> anyhow::Result<()> {
        let sectors = self.blocks * 8;
        let mut table = vec![0_u8; 128 * 128];
        let mut entry = Vec::new();
        entry.extend_from_slice(&[
            0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47,
            0x7d, 0xe4,
        ]);
        entry.extend_from_slice(&identity.map(|byte| byte ^ 0xff));
        entry.extend_from_slice(&2048_u64.to_le_bytes());
        entry.extend_from_slice(&(sectors - 2049).to_le_bytes());
        if let Some(first) = table.get_mut(..entry.len()) {
            first.copy_from_slice(&entry);
        }
        let mut protective = vec![0_u8; 446];
        protective.extend_from_slice(&[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0]);
        let counted = u32::try_from(sectors - 1).unwrap_or(u32::MAX);
        protective.extend_from_slice(&counted.to_le_bytes());
        protective.resize(510, 0);
        protective.extend_from_slice(&[0x55, 0xaa]);

        let last = sectors - 1;
        self.file.write_all_at(&protective, 0)?;
        self.file.write_all_at(&header(identity, &table, 1, last, 2), 512)?;
        self.file.write_all_at(&table, 1024)?;
        self.file.write_all_at(&table, (last - 32) * 512)?;
        let backup = header(identity, &table, last, 1, last - 32);
        self.file.write_all_at(&backup, last * 512)?;
        Ok(())
    }
}

/// The header of a partition table, which lies at sector `own` and has a twin at `other`.
fn header(identity: [u8; 16], table: &[u8], own: u64, other: u64, entries: u64) -> Vec<u8> {
    let last = own.max(other);
    let build = |sum: u32| {
        let mut bytes = b"EFI PART".to_vec();
        for number in [0x1_0000_u32, 92, sum, 0] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for sector in [own, other, 34, last - 33] {
            bytes.extend_from_slice(&sector.to_le_bytes());
        }
        bytes.extend_from_slice(&identity);
        bytes.extend_from_slice(&entries.to_le_bytes());
        for number in [128, 128, crc32fast::hash(table)] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes
    };
    let mut bytes = build(crc32fast::hash(&build(0)));
    bytes.resize(512, 0);
    bytes
}
