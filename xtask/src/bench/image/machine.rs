//! Which files a machine holds: so many bytes of each kind, in packages of many small files and
//! few large ones.

use super::super::random::Random;
use super::content::Kind;

/// A budget of bytes of one kind.
type Budget = (Kind, u64);

/// MiB at scale 1 of what both machines have installed.
const INSTALLED: [Budget; 4] =
    [(Kind::Code, 1080), (Kind::Records, 870), (Kind::Program, 1380), (Kind::Packed, 30)];

/// MiB at scale 1 of what only the first machine holds, and the part of it that is a copy.
const FIRST: [Budget; 7] = [
    (Kind::Log, 240),
    (Kind::Packed, 500),
    (Kind::Table, 380),
    (Kind::Heap, 220),
    (Kind::Program, 190),
    (Kind::Code, 60),
    (Kind::Records, 130),
];
const COPIED: u64 = 110;

/// MiB at scale 1 of what only its sibling holds.
const SIBLING: [Budget; 6] = [
    (Kind::Program, 650),
    (Kind::Code, 290),
    (Kind::Records, 280),
    (Kind::Log, 120),
    (Kind::Table, 110),
    (Kind::Packed, 90),
];

/// MiB at scale 1 that one day adds: a package upgrade, the part of it that stays the same in
/// percent, and other new files.
const UPGRADE: u64 = 50;
const KEPT: u64 = 30;
const NEW: [Budget; 3] = [(Kind::Packed, 38), (Kind::Table, 4), (Kind::Code, 1)];

/// MiB at scale 1 by which the newest log grows in a day.
pub(super) const LOG_GROWTH: u64 = 30;

/// A file, or the part of it that starts at `from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct File {
    pub(super) kind: Kind,
    pub(super) seed: u64,
    /// Whole blocks before the part.
    pub(super) from: u64,
    /// Bytes of the whole file.
    pub(super) size: u64,
    /// Where within 64 KiB the first machine placed it, in blocks.
    pub(super) lane: u64,
    /// Files of a package lie together.
    pub(super) package: u32,
}

/// How large everything is, and which of all such machines is meant.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    /// 1000 for the full size.
    pub(super) permille: u64,
    pub(super) seed: u64,
}

impl Scale {
    /// MiB at scale 1 as bytes at this scale.
    pub(super) fn bytes(&self, mib: u64) -> u64 {
        mib.saturating_mul(self.permille).saturating_mul(1 << 20) / 1000
    }
}

/// What both machines have installed.
pub(super) fn installed(scale: Scale) -> Vec<File> {
    files(scale, 1, &INSTALLED)
}

/// What only the first machine holds: its own files and a copy of some installed ones.
pub(super) fn first(scale: Scale, installed: &[File]) -> Vec<File> {
    let mut own = files(scale, 2, &FIRST);
    let mut left = scale.bytes(COPIED);
    for file in installed.iter().skip(installed.len() / 3) {
        if left == 0 {
            break;
        }
        left = left.saturating_sub(file.size);
        own.push(File { package: u32::MAX - file.package, ..*file });
    }
    own
}

/// What only the sibling holds.
pub(super) fn sibling(scale: Scale) -> Vec<File> {
    files(scale, 3, &SIBLING)
}

/// What a day adds to the first machine as new files.
pub(super) fn day(scale: Scale, installed: &[File]) -> Vec<File> {
    let mut random = Random::new(scale.seed, 0x64, 0);
    let mut left = scale.bytes(UPGRADE);
    let mut added = Vec::new();
    for file in installed.iter().skip(installed.len() / 2) {
        if left == 0 {
            break;
        }
        let size = file.size.min(left);
        left -= size;
        let seed = if random.chance(KEPT) { file.seed } else { random.next() };
        added.push(File { seed, size, ..*file });
    }
    added.extend(files(scale, 4, &NEW));
    added
}

/// Files that use up the budgets to the byte, the kinds mixed.
fn files(scale: Scale, stream: u64, budgets: &[Budget]) -> Vec<File> {
    let mut random = Random::new(scale.seed, 0x66, stream);
    let mut left: Vec<(Kind, u64, u64)> =
        budgets.iter().map(|(kind, mib)| (*kind, scale.bytes(*mib), scale.bytes(*mib))).collect();
    let mut files = Vec::new();
    let mut package = u32::try_from(stream << 24).unwrap_or_default();
    loop {
        let weights = left.iter().map(|(kind, rest, _)| rest / mean(*kind) + u64::from(*rest > 0));
        let total: u64 = weights.clone().sum();
        if total == 0 {
            return files;
        }
        let mut draw = random.below(total);
        let mut chosen = 0;
        for (index, weight) in weights.enumerate() {
            if draw < weight {
                chosen = index;
                break;
            }
            draw -= weight;
        }
        let Some((kind, rest, whole)) = left.get_mut(chosen) else { return files };
        let size = size(&mut random, *kind, *whole).min(*rest);
        *rest -= size;
        package += u32::from(random.chance(2));
        let seed = random.next();
        files.push(File { kind: *kind, seed, from: 0, size, lane: 16, package });
    }
}

/// The size of one file, at most an eighth of all files of its kind unless it is a database.
fn size(random: &mut Random, kind: Kind, whole: u64) -> u64 {
    let size = match kind {
        Kind::Code => random.size(400, 8),
        Kind::Records => random.size(1024, 10),
        Kind::Program => random.size(6 << 10, 12),
        Kind::Packed => random.size(24 << 10, 10),
        Kind::Log => return whole / 5 + 1,
        Kind::Table | Kind::Heap => return whole.next_multiple_of(8192),
        Kind::Meta => 4096,
    };
    size.min(whole / 8 + 1)
}

/// The mean of `size`, for the choice of the next file's kind.
fn mean(kind: Kind) -> u64 {
    match kind {
        Kind::Code => 15 << 10,
        Kind::Records => 88 << 10,
        Kind::Program => 1160 << 10,
        Kind::Packed => 2070 << 10,
        Kind::Log | Kind::Table | Kind::Heap => 32 << 20,
        Kind::Meta => 4096,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_used_up_to_the_byte() {
        let scale = Scale { permille: 20, seed: 1 };
        let files = installed(scale);
        for (kind, mib) in INSTALLED {
            let bytes: u64 =
                files.iter().filter(|file| file.kind == kind).map(|file| file.size).sum();
            assert_eq!(bytes, scale.bytes(mib), "{kind:?}");
        }
    }

    #[test]
    fn most_files_are_small_and_most_bytes_are_in_large_ones() {
        let files = installed(Scale { permille: 100, seed: 1 });
        let small = files.iter().filter(|file| file.size < 64 << 10).count();
        let bytes = |large: bool| -> u64 {
            files.iter().filter(|file| (file.size > 64 << 10) == large).map(|file| file.size).sum()
        };
        assert!(small * 10 > files.len() * 8, "{small} of {}", files.len());
        assert!(bytes(true) > bytes(false));
    }

    #[test]
    fn an_upgrade_keeps_some_files_and_replaces_others() {
        let scale = Scale { permille: 100, seed: 1 };
        let installed = installed(scale);
        let added = day(scale, &installed);
        let known = |file: &&File| installed.iter().any(|other| other.seed == file.seed);
        let kept = added.iter().filter(known).count();
        assert!(kept > added.len() / 10 && kept < added.len() / 2, "{kept} of {}", added.len());
    }
}
