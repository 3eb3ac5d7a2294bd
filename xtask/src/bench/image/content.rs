//! What the files of a machine hold, by kind.
//!
//! A file's bytes are made piece by piece, each a function of the file's seed and the piece's
//! number alone: nothing has to be kept, and a file that grows keeps what it had.

use super::super::random::Random;
use super::binary::Idioms;
use super::pages::Page;
use super::words::Words;

/// Bytes in a piece; also the longest distance over which a file's text repeats itself.
pub(super) const PIECE: u64 = 1 << 20;

/// Kinds of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Source code and prose.
    Code,
    /// JSON and the like.
    Records,
    /// A web server's log.
    Log,
    /// Programs and libraries.
    Program,
    /// A database of 4 KiB pages.
    Table,
    /// A database of 8 KiB pages.
    Heap,
    /// Pictures, archives, what is compressed or encrypted already.
    Packed,
    /// Inodes, directories and the like.
    Meta,
}

/// Makes content; holds the vocabularies.
pub(super) struct Content {
    words: Words,
    idioms: Idioms,
}

impl Content {
    /// The content of a seed.
    pub(super) fn new(seed: u64) -> Self {
        Self { words: Words::new(seed), idioms: Idioms::new(seed) }
    }

    /// Replaces `out` by the first `length` bytes of a file's piece, at most `PIECE`.
    pub(super) fn piece(
        &self,
        kind: Kind,
        seed: u64,
        number: u64,
        length: usize,
        out: &mut Vec<u8>,
    ) {
        out.clear();
        let mut random = Random::new(seed, 0x63, number);
        match kind {
            Kind::Code => self.words.lines(&mut random, length, out),
            Kind::Records => self.words.records(&mut random, length, out),
            Kind::Log => self.words.log(&mut random, length, out),
            Kind::Program => self.idioms.program(&self.words, &mut random, length, out),
            Kind::Table | Kind::Heap => {
                let size = if kind == Kind::Table { 4096 } else { 8192 };
                let first = number * (PIECE / size);
                for page in first..first + (length as u64).div_ceil(size) {
                    self.page(kind, seed, page, 0, out);
                }
            }
            Kind::Packed => random.append(length, out),
            Kind::Meta => {
                for block in 0..(length as u64).div_ceil(4096) {
                    inodes(seed, number * (PIECE / 4096) + block, 0, out);
                }
            }
        }
        out.truncate(length);
    }

    /// Appends a database's page as it is after `day` updates.
    pub(super) fn page(&self, kind: Kind, seed: u64, number: u64, day: u64, out: &mut Vec<u8>) {
        let page = Page { seed, number, day };
        match kind {
            Kind::Heap => page.write(&self.words, 8192, 6, out),
            _ => page.write(&self.words, 4096, 16, out),
        }
    }
}

/// Appends a block of 16 inodes; a later `day` has read one of the files.
pub(super) fn inodes(seed: u64, block: u64, day: u64, out: &mut Vec<u8>) {
    for slot in 0..16_u64 {
        let mut random = Random::new(seed, block, slot);
        let start = out.len();
        let read = if slot == block % 16 { day * (1 + random.below(86_400)) } else { 0 };
        let made = 1_763_000_000 + random.below(700_000);
        let length = random.size(400, 8);
        for field in
            [0x81a4, length, made + read, made, made, 0xf30a_0001_0004, random.below(1 << 21)]
        {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.resize(start + 256, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many percent of a kind's bytes are left after zstd -1.
    fn left(kind: Kind) -> usize {
        let content = Content::new(1);
        let mut piece = Vec::new();
        let mut whole = Vec::new();
        for number in 0..4 {
            content.piece(kind, 7, number, 1 << 20, &mut piece);
            whole.extend_from_slice(&piece);
        }
        zstd::encode_all(whole.as_slice(), 1).unwrap().len() * 100 / whole.len()
    }

    #[test]
    fn kinds_shrink_as_they_do_on_real_machines() {
        let all = [
            (Kind::Code, 20..=28),
            (Kind::Records, 14..=20),
            (Kind::Log, 20..=27),
            (Kind::Program, 38..=46),
            (Kind::Table, 40..=55),
            (Kind::Heap, 45..=57),
            (Kind::Packed, 100..=100),
            (Kind::Meta, 3..=30),
        ];
        let found = all.iter().map(|(kind, _)| (*kind, left(*kind))).collect::<Vec<_>>();
        for ((kind, wanted), (_, left)) in all.iter().zip(&found) {
            assert!(wanted.contains(left), "{kind:?} of {found:?}");
        }
    }

    #[test]
    fn a_file_that_grows_keeps_what_it_had() {
        let content = Content::new(1);
        let (mut long, mut short) = (Vec::new(), Vec::new());
        for kind in [Kind::Code, Kind::Records, Kind::Log, Kind::Program, Kind::Table] {
            content.piece(kind, 7, 3, 50_000, &mut long);
            content.piece(kind, 7, 3, 30_000, &mut short);
            assert_eq!((long.len(), short.len()), (50_000, 30_000));
            assert!(long[..30_000] == short[..], "{kind:?}");
        }
    }

    #[test]
    fn an_update_changes_one_row() {
        let content = Content::new(1);
        let (mut before, mut after) = (Vec::new(), Vec::new());
        content.page(Kind::Table, 7, 5, 0, &mut before);
        content.page(Kind::Table, 7, 5, 1, &mut after);
        let differ = before.iter().zip(&after).filter(|(old, new)| old != new).count();
        assert_eq!(before.len(), 4096);
        assert!((10..60).contains(&differ), "{differ}");
    }
}
