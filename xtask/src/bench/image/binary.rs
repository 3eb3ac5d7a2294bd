//! Programs and libraries: instructions of a skewed set with operands, tables of addresses, names
//! and constants, and the padding between them.

use super::super::random::Random;
use super::words::{Words, again};

/// Short sequences of instructions that compilers emit again and again.
pub(super) struct Idioms(Vec<Vec<u8>>);

impl Idioms {
    /// The idioms of a seed.
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed, 0x69, 0);
        let idiom = |_| {
            let mut bytes = Vec::new();
            let length = 1 + random.index(4) + random.index(4);
            random.append(length, &mut bytes);
            bytes
        };
        Self((0..3000).map(idiom).collect())
    }

    /// Sections of a program, at least `length` bytes.
    pub(super) fn program(
        &self,
        words: &Words,
        random: &mut Random,
        length: usize,
        out: &mut Vec<u8>,
    ) {
        let start = out.len();
        while out.len() - start < length {
            let section = 2048 + random.index(30 << 10);
            match random.below(20) {
                0..=11 => self.instructions(random, section, out),
                12..=13 => addresses(random, section, out),
                14..=15 => names(words, random, section, out),
                16..=18 => constants(random, section, out),
                _ => out.resize(out.len().next_multiple_of(4096), 0),
            }
        }
    }

    fn instructions(&self, random: &mut Random, length: usize, out: &mut Vec<u8>) {
        let start = out.len();
        while out.len() - start < length {
            if random.chance(14) {
                again(random, start, 90, out);
            }
            let idiom = self.0.get(random.rank(self.0.len())).map(Vec::as_slice);
            out.extend_from_slice(idiom.unwrap_or_default());
            match random.below(8) {
                0..=2 => out.push(u8::try_from(random.rank(32) * 8).unwrap_or_default()),
                3 => {
                    let call = u32::try_from(random.rank(1 << 18)).unwrap_or_default();
                    out.extend_from_slice(&call.wrapping_neg().to_le_bytes());
                }
                4 if random.chance(20) => {
                    let padded = out.len().next_multiple_of(16);
                    out.resize(padded, 0x90);
                }
                _ => {}
            }
        }
    }
}

/// Relocations and pointers: 8 bytes each, growing by small steps.
fn addresses(random: &mut Random, length: usize, out: &mut Vec<u8>) {
    let mut address = random.below(1 << 24);
    for _ in 0..length / 24 {
        address += 8 << random.below(5);
        out.extend_from_slice(&address.to_le_bytes());
        out.extend_from_slice(&8_u64.to_le_bytes());
        let target = address + random.below(1 << 12) * 16;
        out.extend_from_slice(&target.to_le_bytes());
    }
}

/// Symbols, each ended by a zero.
fn names(words: &Words, random: &mut Random, length: usize, out: &mut Vec<u8>) {
    let start = out.len();
    while out.len() - start < length {
        if random.chance(60) {
            again(random, start, 40, out);
        }
        for _ in 0..2 + random.below(3) {
            out.extend_from_slice(words.pick(random));
            out.push(b'_');
        }
        out.push(0);
    }
}

/// Numbers in tables: the high bytes of neighbours are alike, the low ones are not.
fn constants(random: &mut Random, length: usize, out: &mut Vec<u8>) {
    let high = random.next() & 0xffff_0000_0000_0000;
    let noise = random.below(36) + 4;
    for _ in 0..length / 8 {
        let number = high | (random.next() >> (64 - noise));
        out.extend_from_slice(&number.to_le_bytes());
    }
}
