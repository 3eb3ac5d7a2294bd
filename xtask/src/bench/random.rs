//! Numbers that look random and are the same on every machine.

/// `SplitMix64`: good enough to be incompressible.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// The sequence of one thing: `seed` names the run, `stream` the kind of thing, `number` which.
    pub(super) fn new(seed: u64, stream: u64, number: u64) -> Self {
        let mut random = Self(seed);
        let first = random.next() ^ stream;
        let second = Self(first).next() ^ number;
        Self(Self(second).next())
    }

    /// 64 random bits.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, each as likely as the others; 0 for an empty range.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        scale(self.next(), limit)
    }

    /// As `below`, for a place in memory.
    pub(super) fn index(&mut self, limit: usize) -> usize {
        usize::try_from(self.below(limit as u64)).unwrap_or_default()
    }

    /// A place below `limit` that is low far more often than high, as the ranks of words are.
    pub(super) fn rank(&mut self, limit: usize) -> usize {
        let draw = self.next();
        let part = scale(draw, 1 << 21);
        let cube = (part * part * part) << 1;
        usize::try_from(scale(cube, limit as u64)).unwrap_or_default()
    }

    /// True in `percent` of 100 cases.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// `smallest` doubled a binomial number of times, at most `doublings`, and spread between: a
    /// size as files have it, most of them small and few of them very large.
    pub(super) fn size(&mut self, smallest: u64, doublings: u32) -> u64 {
        let mask = (1_u64 << doublings.min(40)) - 1;
        let base = smallest << (self.next() & mask).count_ones();
        base + self.below(base)
    }

    /// Fills `out` with bytes that no tool can shrink.
    pub(super) fn fill(&mut self, out: &mut [u8]) {
        let mut words = out.chunks_exact_mut(8);
        for word in &mut words {
            word.copy_from_slice(&self.next().to_le_bytes());
        }
        let rest = words.into_remainder();
        for (to, from) in rest.iter_mut().zip(self.next().to_le_bytes()) {
            *to = from;
        }
    }

    /// Appends `length` such bytes.
    pub(super) fn append(&mut self, length: usize, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + length, 0);
        self.fill(out.get_mut(start..).unwrap_or_default());
    }
}

/// The upper half of a product: maps 64 bits to a number below `limit`.
fn scale(bits: u64, limit: u64) -> u64 {
    let product = u128::from(bits) * u128::from(limit);
    u64::try_from(product >> 64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_differ_by_seed_stream_and_number() {
        let first = |seed, stream, number| Random::new(seed, stream, number).next();
        let all = [first(1, 2, 3), first(2, 2, 3), first(1, 3, 3), first(1, 2, 4)];
        assert_eq!(first(1, 2, 3), all[0]);
        assert!((1..4).all(|other| all[other] != all[0]));
    }

    #[test]
    fn draws_stay_below_their_limit() {
        let mut random = Random::new(1, 0, 0);
        let mut low = 0;
        for _ in 0..10_000 {
            assert!(random.below(7) < 7);
            let rank = random.rank(1000);
            assert!(rank < 1000);
            low += usize::from(rank < 125);
            assert!((100..3200).contains(&random.size(100, 4)));
        }
        // An eighth of the ranks takes half of the draws.
        assert!((4_500..5_500).contains(&low), "{low}");
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn every_byte_is_filled() {
        let mut bytes = [0; 61];
        Random::new(1, 0, 0).fill(&mut bytes);
        assert!(bytes.iter().filter(|byte| **byte == 0).count() < 4);
        assert!(bytes[56..].iter().any(|byte| *byte != 0));
    }
}
