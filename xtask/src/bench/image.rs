//! A disk image that is the same for the same seed: text that compresses, content that does not,
//! and nothing, in regions of 1 MiB on a grid of 4 KiB blocks as a file system would place them.
//!
//! No block equals another one: what a tool saves here it saves by compression, by skipping zeros
//! and by not storing what has not changed, never by finding copies that a generator put there.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

/// The grid of file systems.
pub(super) const BLOCK: u64 = 4096;

/// Blocks in a region, which is of one kind.
const REGION: u64 = 256;

/// Phrases of text lie in a book of this size: small enough for them to recur within tens of KiB,
/// as words do, so that the text shrinks to about two fifths however it is cut.
const BOOK: usize = 1 << 14;

/// What a region holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Zero,
    Text,
    Packed,
}

/// Everything that decides the image's bytes.
pub(super) struct Layout {
    blocks: u64,
    seed: u64,
    book: Vec<u8>,
}

/// The image, its copies in which 1 % of the blocks changed, and the lists of those changes.
pub(super) struct Images {
    pub(super) base: PathBuf,
    /// Bytes of the image that are not zero.
    pub(super) used: u64,
    pub(super) changed: Changed,
    pub(super) listed: Changed,
}

/// A changed copy.
pub(super) struct Changed {
    pub(super) image: PathBuf,
    /// Lines `offset length`.
    pub(super) list: PathBuf,
    pub(super) bytes: u64,
}

impl Layout {
    /// The layout of an image of `size` bytes, rounded down to whole blocks.
    pub(super) fn new(size: u64, seed: u64) -> Self {
        let mut random = Random::new(seed, 0, 0);
        let book = (0..BOOK).map(|_| letter(random.next())).collect();
        Self { blocks: size / BLOCK, seed, book }
    }

    fn size(&self) -> u64 {
        self.blocks.saturating_mul(BLOCK)
    }

    /// 3 of 10 regions are empty, 4 hold text, 3 hold what is compressed or encrypted already.
    fn kind(&self, block: u64) -> Kind {
        match Random::new(self.seed, 1, block / REGION).next() % 10 {
            0..=2 => Kind::Zero,
            3..=6 => Kind::Text,
            _ => Kind::Packed,
        }
    }

    /// Writes the block's content at a revision; revision 0 of an empty region is empty.
    fn fill(&self, block: u64, revision: u64, out: &mut [u8]) {
        let mut random = Random::new(self.seed, revision.saturating_add(2), block);
        match self.kind(block) {
            Kind::Zero if revision == 0 => out.fill(0),
            Kind::Packed => random.fill(out),
            Kind::Zero | Kind::Text => self.write_text(&mut random, out),
        }
    }

    /// Phrases out of the book with a few bytes of their own between them.
    fn write_text(&self, random: &mut Random, out: &mut [u8]) {
        let mut rest = out;
        while !rest.is_empty() {
            let draw = random.next();
            let at = usize::try_from(draw >> 32).unwrap_or_default() % (BOOK - 32);
            let length = (6 + usize::try_from(draw % 24).unwrap_or_default()).min(rest.len());
            let (phrase, after) = rest.split_at_mut(length);
            let source = self.book.get(at..).and_then(|book| book.get(..length));
            phrase.copy_from_slice(source.unwrap_or_default());
            if let Some(last) = phrase.last_mut() {
                *last = letter(draw >> 8);
            }
            rest = after;
        }
    }

    /// The blocks of a change: runs of 1 to 16 blocks until one block in a hundred is reached.
    fn changes(&self, revision: u64) -> Vec<(u64, u64)> {
        let wanted = self.blocks.div_ceil(100);
        let mut random = Random::new(self.seed, revision, u64::MAX);
        let mut blocks = BTreeMap::new();
        while (blocks.len() as u64) < wanted {
            let start = random.next() % self.blocks;
            let length = random.next() % 16 + 1;
            let left = wanted - blocks.len() as u64;
            let end = start.saturating_add(length.min(left)).min(self.blocks);
            blocks.extend((start..end).map(|block| (block, ())));
        }
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for block in blocks.into_keys() {
            match runs.last_mut() {
                Some((start, length)) if *start + *length == block => *length += 1,
                _ => runs.push((block, 1)),
            }
        }
        runs
    }
}

/// Writes the image and both changed copies into `folder`.
pub(super) fn make(layout: &Layout, folder: &Path) -> anyhow::Result<Images> {
    let base = folder.join("base.img");
    let used = write_base(layout, &base)?;
    let changed = change(layout, &base, 1, folder, "changed")?;
    let listed = change(layout, &base, 2, folder, "listed")?;
    Ok(Images { base, used, changed, listed })
}

/// Writes the image, leaving holes where it is empty; returns the bytes written.
fn write_base(layout: &Layout, path: &Path) -> anyhow::Result<u64> {
    let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
    file.set_len(layout.size())?;
    let mut buffer = vec![0; usize::try_from(BLOCK * REGION)?];
    let mut used = 0_u64;
    for first in (0..layout.blocks).step_by(usize::try_from(REGION)?) {
        if layout.kind(first) == Kind::Zero {
            continue;
        }
        let count = REGION.min(layout.blocks - first);
        let bytes = buffer.get_mut(..usize::try_from(count * BLOCK)?).unwrap_or_default();
        for (block, out) in (first..).zip(bytes.chunks_exact_mut(usize::try_from(BLOCK)?)) {
            layout.fill(block, 0, out);
        }
        file.write_all_at(bytes, first * BLOCK)?;
        used = used.saturating_add(bytes.len() as u64);
    }
    file.sync_all()?;
    Ok(used)
}

/// Copies what is not empty; the system's own copy may fill the holes.
fn copy_sparse(layout: &Layout, from: &Path, to: &Path) -> anyhow::Result<File> {
    let source = File::open(from)?;
    let target = File::create(to).with_context(|| format!("create {}", to.display()))?;
    target.set_len(layout.size())?;
    for first in (0..layout.blocks).step_by(usize::try_from(REGION)?) {
        if layout.kind(first) != Kind::Zero {
            let count = REGION.min(layout.blocks - first);
            let mut bytes = vec![0; usize::try_from(count * BLOCK)?];
            source.read_exact_at(&mut bytes, first * BLOCK)?;
            target.write_all_at(&bytes, first * BLOCK)?;
        }
    }
    Ok(target)
}

/// Copies the image and rewrites 1 % of its blocks.
fn change(
    layout: &Layout,
    base: &Path,
    revision: u64,
    folder: &Path,
    name: &str,
) -> anyhow::Result<Changed> {
    let image = folder.join(format!("{name}.img"));
    let list = folder.join(format!("{name}.txt"));
    let file = copy_sparse(layout, base, &image).context("copy the image")?;
    let mut buffer = vec![0; usize::try_from(BLOCK)?];
    let mut lines = String::new();
    let mut bytes = 0_u64;
    for (start, length) in layout.changes(revision) {
        for block in start..start.saturating_add(length) {
            layout.fill(block, revision, &mut buffer);
            file.write_all_at(&buffer, block * BLOCK)?;
        }
        bytes = bytes.saturating_add(length * BLOCK);
        lines.push_str(&format!("{} {}\n", start * BLOCK, length * BLOCK));
    }
    file.sync_all()?;
    std::fs::write(&list, lines)?;
    Ok(Changed { image, list, bytes })
}

/// Fails unless both files hold the same bytes.
pub(super) fn compare(left: &Path, right: &Path) -> anyhow::Result<()> {
    let mut files = [File::open(left)?, File::open(right)?];
    let mut at = 0_u64;
    loop {
        let mut parts = [Vec::new(), Vec::new()];
        for (file, part) in files.iter_mut().zip(&mut parts) {
            file.by_ref().take(1 << 20).read_to_end(part)?;
        }
        let [left_part, right_part] = &parts;
        let names = || format!("{} and {}", left.display(), right.display());
        ensure!(left_part == right_part, "{} differ within 1 MiB after byte {at}", names());
        if left_part.is_empty() {
            return Ok(());
        }
        at = at.saturating_add(left_part.len() as u64);
    }
}

/// A byte as it is frequent in text.
fn letter(draw: u64) -> u8 {
    const LETTERS: &[u8; 64] = b"  \n etaoinshrdlu etaoinshrdlcumwfgypbvkETAOINSH0123456789.,;=-_/";
    let at = usize::try_from(draw % 64).unwrap_or_default();
    LETTERS.get(at).copied().unwrap_or(b' ')
}

/// SplitMix64: good enough to be incompressible, and the same on every machine.
struct Random(u64);

impl Random {
    fn new(seed: u64, stream: u64, number: u64) -> Self {
        let mut random = Self(seed);
        let first = random.next() ^ stream;
        let second = Self(first).next() ^ number;
        Self(Self(second).next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn fill(&mut self, out: &mut [u8]) {
        for part in out.chunks_mut(8) {
            let bytes = self.next().to_le_bytes();
            for (to, from) in part.iter_mut().zip(bytes) {
                *to = from;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    const SIZE: u64 = 24 << 20;

    fn made(seed: u64) -> (tempfile::TempDir, Images, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let images = make(&Layout::new(SIZE, seed), folder.path()).unwrap();
        let bytes = std::fs::read(&images.base).unwrap();
        (folder, images, bytes)
    }

    #[test]
    fn the_seed_decides_the_bytes() {
        let (_kept, _, first) = made(7);
        let (_kept, _, again) = made(7);
        let (_kept, _, other) = made(8);
        assert_eq!(first.len() as u64, SIZE);
        assert!(first == again);
        assert!(first != other);
    }

    #[test]
    fn the_bytes_never_change() {
        // A new hash makes older figures incomparable: change the generator only for a reason.
        let (_kept, _, bytes) = made(1);
        assert_eq!(blake3::hash(&bytes).to_hex().get(..16), Some("ab8b3618d805e452"));
    }

    #[test]
    fn all_three_kinds_are_there() {
        let layout = Layout::new(SIZE, 1);
        for kind in [Kind::Zero, Kind::Text, Kind::Packed] {
            let found = (0..layout.blocks).filter(|block| layout.kind(*block) == kind).count();
            assert!(found as u64 >= REGION, "{kind:?}");
        }
    }

    #[test]
    fn a_change_is_one_percent_and_its_list_is_true() {
        let (_kept, images, base) = made(1);
        let changed = std::fs::read(&images.changed.image).unwrap();
        let blocks = SIZE / BLOCK;
        assert_eq!(images.changed.bytes, blocks.div_ceil(100) * BLOCK);
        let list = std::fs::read_to_string(&images.changed.list).unwrap();
        let mut rest = base;
        for line in list.lines() {
            let (offset, length) = line.split_once(' ').unwrap();
            let (offset, length): (usize, usize) =
                (offset.parse().unwrap(), length.parse().unwrap());
            let range = offset..offset + length;
            assert!(rest[range.clone()] != changed[range.clone()]);
            rest[range.clone()].copy_from_slice(&changed[range]);
        }
        assert!(rest == changed);
    }

    #[test]
    fn empty_regions_are_holes_in_all_images() {
        let (_kept, images, _) = made(1);
        assert!(images.used < SIZE);
        for image in [&images.base, &images.changed.image, &images.listed.image] {
            let allocated = std::fs::metadata(image).unwrap().blocks() * 512;
            // A file system may allocate a little more around each write.
            assert!(allocated <= images.used + (2 << 20), "{}: {allocated}", image.display());
        }
    }

    #[test]
    fn the_two_changes_differ() {
        let (_kept, images, _) = made(1);
        let lists = [&images.changed, &images.listed].map(|one| std::fs::read(&one.list).unwrap());
        assert_ne!(lists[0], lists[1]);
    }

    #[test]
    fn comparison_sees_one_byte_and_one_length() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mut bytes = vec![7; 3 << 20];
        std::fs::write(path("a"), &bytes).unwrap();
        std::fs::write(path("b"), &bytes).unwrap();
        compare(&path("a"), &path("b")).unwrap();
        bytes[2 << 20] = 8;
        std::fs::write(path("b"), &bytes).unwrap();
        assert!(compare(&path("a"), &path("b")).is_err());
        std::fs::write(path("b"), &bytes[..2 << 20]).unwrap();
        assert!(compare(&path("a"), &path("b")).is_err());
    }
}
