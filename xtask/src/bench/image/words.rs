//! Text as people and programs write it: words of a vocabulary, frequent ones far more often, in
//! lines that often begin as an earlier line did.

use super::super::random::Random;

/// Words that there are. Large enough that text cut at 64 KiB costs a little more than long text.
const WORDS: usize = 12_000;

/// Letters by how frequent they are; the draw prefers the front.
const LETTERS: &[u8; 26] = b"etaoinshrdlucmfwypvbgkjqxz";

/// The vocabulary.
pub(super) struct Words {
    letters: Vec<u8>,
    ends: Vec<usize>,
}

impl Words {
    /// The vocabulary of a seed.
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed, 0x77, 0);
        let (mut letters, mut ends) = (Vec::new(), Vec::new());
        for _ in 0..WORDS {
            let length = 2 + random.below(4) + random.below(6);
            for _ in 0..length {
                let pick = random.index(26).min(random.index(26));
                letters.extend(LETTERS.get(pick));
            }
            ends.push(letters.len());
        }
        Self { letters, ends }
    }

    /// A word; the front of the vocabulary is met most.
    pub(super) fn pick(&self, random: &mut Random) -> &[u8] {
        let rank = random.rank(self.ends.len());
        let start = rank.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        let end = self.ends.get(rank).copied().unwrap_or_default();
        self.letters.get(start.unwrap_or_default()..end).unwrap_or_default()
    }

    /// `count` words with spaces between.
    pub(super) fn phrase(&self, random: &mut Random, count: u64, out: &mut Vec<u8>) {
        for number in 0..count {
            if number > 0 {
                out.push(b' ');
            }
            out.extend_from_slice(self.pick(random));
        }
    }

    /// Lines of a program or of prose, at least `length` bytes.
    pub(super) fn lines(&self, random: &mut Random, length: usize, out: &mut Vec<u8>) {
        const JOINTS: [&[u8]; 12] =
            [b" ", b" ", b" ", b"_", b".", b"(", b") ", b", ", b" = ", b"::", b"\"", b"->"];
        let start = out.len();
        let mut indent = 0;
        while out.len() - start < length {
            if random.chance(56) {
                again(random, start, 160, out);
                self.phrase(random, 1, out);
            } else {
                indent = (indent + random.index(3)).saturating_sub(1).min(5);
                out.extend(std::iter::repeat_n(b' ', indent * 4));
                for _ in 0..2 + random.below(8) {
                    out.extend_from_slice(self.pick(random));
                    out.extend_from_slice(JOINTS.get(random.index(12)).copied().unwrap_or(b" "));
                }
            }
            out.extend_from_slice(if random.chance(80) { b"\n" } else { b";\n" });
        }
    }

    /// Records of an interchange format, all with the same keys, at least `length` bytes.
    pub(super) fn records(&self, random: &mut Random, length: usize, out: &mut Vec<u8>) {
        let start = out.len();
        let keys: Vec<(&[u8], u64)> =
            (0..5 + random.below(6)).map(|_| (self.pick(random), random.below(5))).collect();
        while out.len() - start < length {
            if random.chance(30) {
                again(random, start, 400, out);
            }
            out.extend_from_slice(b"  {");
            for (key, kind) in &keys {
                out.extend_from_slice(b"\"");
                out.extend_from_slice(key);
                out.extend_from_slice(b"\": ");
                self.value(random, *kind, out);
                out.extend_from_slice(b", ");
            }
            out.extend_from_slice(b"},\n");
        }
    }

    fn value(&self, random: &mut Random, kind: u64, out: &mut Vec<u8>) {
        match kind {
            0 => decimal(random.below(1_000_000) >> random.below(20), out),
            1 => out.extend_from_slice(if random.chance(70) { b"true" } else { b"false" }),
            2 => out.extend_from_slice(b"null"),
            3 => {
                out.push(b'"');
                let count = 1 + random.below(4);
                self.phrase(random, count, out);
                out.push(b'"');
            }
            _ => {
                out.push(b'"');
                out.extend_from_slice(self.pick(random));
                out.push(b'"');
            }
        }
    }

    /// Lines of a web server's log, at least `length` bytes.
    pub(super) fn log(&self, random: &mut Random, length: usize, out: &mut Vec<u8>) {
        let start = out.len();
        let mut seconds = random.below(80_000);
        while out.len() - start < length {
            seconds += random.below(4) / 3;
            let agent = u64::try_from(random.rank(250)).unwrap_or_default();
            let path = u64::try_from(random.rank(900)).unwrap_or_default();
            let address = (random.below(4), random.below(256), random.below(256));
            let clock = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
            let head = format!(
                "10.{}.{}.{} - - [21/Nov/2026:{:02}:{:02}:{:02} +0000] \"GET /",
                address.0, address.1, address.2, clock.0, clock.1, clock.2
            );
            out.extend_from_slice(head.as_bytes());
            self.phrase(&mut Random::new(1, 0x70, path), 2, out);
            let middle = format!(
                "?id={} HTTP/1.1\" {} {} \"-\" \"",
                random.below(1_000_000),
                if random.chance(93) { 200 } else { 404 },
                300 << random.below(8),
            );
            out.extend_from_slice(middle.as_bytes());
            self.phrase(&mut Random::new(1, 0x61, agent), 9, out);
            let tail = format!("\" {:.3} {:016x}\n", seconds_of(random), random.next());
            out.extend_from_slice(tail.as_bytes());
        }
    }
}

fn seconds_of(random: &mut Random) -> f64 {
    f64::from(u32::try_from(random.below(400)).unwrap_or_default()) / 1000.0
}

/// Repeats up to `longest` bytes that were appended since `start`, rather near than far back.
pub(super) fn again(random: &mut Random, start: usize, longest: usize, out: &mut Vec<u8>) {
    let back = (random.rank(48 << 10) + 24).min(out.len().saturating_sub(start));
    let from = out.len() - back;
    let length = (8 + random.index(longest)).min(back);
    out.extend_from_within(from..from + length);
}

/// A number in decimal digits.
fn decimal(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(number.to_string().as_bytes());
}
