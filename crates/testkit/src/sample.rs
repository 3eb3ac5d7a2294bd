//! Small stores for tests.

use tresor_store::{PointKey, Secret, StoreConfig};

/// Small parameters: the rules of large disks, and many objects, at the size of a test.
pub fn small() -> StoreConfig {
    StoreConfig {
        window: 256 << 10,
        chunk_min: 8 << 10,
        chunk_mean: 16 << 10,
        chunk_max: 32 << 10,
        zero_run_blocks: 2,
        pack_bytes: 64 << 10,
        checkpoint_bytes: 128 << 10,
        argon2_kib: 8,
        argon2_passes: 1,
        ..StoreConfig::default()
    }
}

/// The key of a point with a number.
pub fn key(number: u64) -> PointKey {
    PointKey::new(u128::from(number).to_be_bytes())
}

/// What opens the stores of tests.
pub fn secret() -> Secret {
    Secret::KeyFile([7; 32].into())
}
