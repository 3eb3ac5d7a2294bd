//! The parameters of a store: what was open at its first day and fixed since.
//!
//! Object `config`, written once, in clear (it says how to derive a key from a passphrase before
//! any key is known) and authenticated under a key of the store once one is.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::chunk::BLOCK;
use crate::error::{Error, ErrorKind, Result};
use crate::field::{Fields, narrow};
use crate::margins;

/// The format version that this crate writes. It stays 0 until the format is settled.
pub const FORMAT: u16 = 0;

const MAGIC: &[u8; 8] = b"TRSRCONF";

/// The parameters of a store. The default is the operational profile: near the disks, fast.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// Bytes of a window: cuts never cross its borders. A multiple of `chunk_max`.
    pub window: u32,
    /// Least bytes of a chunk that ends at a cut.
    pub chunk_min: u32,
    /// Mean bytes of a chunk.
    pub chunk_mean: u32,
    /// Most bytes of a chunk.
    pub chunk_max: u32,
    /// Zero blocks in a row that end a chunk and are left out.
    pub zero_run_blocks: u32,
    /// Bytes after which a pack is closed.
    pub pack_bytes: u32,
    /// Compression level of zstd.
    pub level: i32,
    /// Whether each compressed chunk is decompressed and compared before it is stored:
    /// the only defence against memory that flips bits while compressing.
    pub check_codec: bool,
    /// Stored bytes after which, at the latest, an index run makes them findable again. The
    /// first run of an ingest comes after one pack, each further one after twice as much.
    pub checkpoint_bytes: u64,
    /// Memory of Argon2id for passphrase slots, in KiB.
    pub argon2_kib: u32,
    /// Passes of Argon2id for passphrase slots.
    pub argon2_passes: u32,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            window: 16 << 20,
            chunk_min: 32 << 10,
            chunk_mean: 64 << 10,
            chunk_max: 256 << 10,
            zero_run_blocks: 4,
            pack_bytes: 16 << 20,
            level: 1,
            check_codec: true,
            checkpoint_bytes: 256 << 20,
            argon2_kib: 64 << 10,
            argon2_passes: 3,
        }
    }
}

impl StoreConfig {
    /// The profile of stores that are far away or pay by the byte.
    pub fn vault() -> Self {
        Self { level: 6, ..Self::default() }
    }

    /// Fails unless the parameters fit each other.
    pub fn check(&self) -> Result<()> {
        let block = BLOCK as u32;
        let rules = [
            (self.chunk_min >= block, "chunk_min is less than a block"),
            (self.chunk_min.is_multiple_of(block), "chunk_min is no multiple of a block"),
            (self.chunk_max.is_multiple_of(block), "chunk_max is no multiple of a block"),
            (self.chunk_mean > self.chunk_min, "chunk_mean is not above chunk_min"),
            (self.chunk_max >= self.chunk_mean, "chunk_max is below chunk_mean"),
            (self.window <= margins::RAW, "window is too large"),
            (
                self.window > 0 && self.window.is_multiple_of(self.chunk_max.max(1)),
                "window is no multiple of chunk_max",
            ),
            (self.zero_run_blocks >= 1, "zero_run_blocks is 0"),
            (
                u64::from(self.zero_run_blocks) * u64::from(block) <= u64::from(self.chunk_min),
                "zero_run_blocks is more than chunk_min",
            ),
            (self.pack_bytes >= 64 << 10, "pack_bytes is less than 64 KiB"),
            (self.pack_bytes <= 256 << 20, "pack_bytes is more than 256 MiB"),
            ((-7..=19).contains(&self.level), "level is not within -7 and 19"),
            (self.checkpoint_bytes >= 1 << 16, "checkpoint_bytes is less than 64 KiB"),
            (
                (8..=margins::ARGON2_KIB).contains(&self.argon2_kib),
                "argon2_kib is not within 8 and 1048576",
            ),
            (
                (1..=margins::ARGON2_PASSES).contains(&self.argon2_passes),
                "argon2_passes is not within 1 and 64",
            ),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            None => Ok(()),
            Some((_, why)) => Err(Error::new(ErrorKind::Invalid, why)),
        }
    }
}

/// The bytes that the configuration's code is computed over.
pub(crate) fn encode(store: Uuid, config: &StoreConfig) -> Result<Vec<u8>> {
    let json = serde_json::to_vec(config)
        .map_err(|e| Error::internal("the configuration cannot be encoded").because(e))?;
    let mut out = Vec::with_capacity(json.len() + 36);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&FORMAT.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&narrow(json.len())?.to_le_bytes());
    out.extend_from_slice(store.as_bytes());
    out.extend_from_slice(&json);
    Ok(out)
}

/// A configuration as read, with what its authentication code must be checked against.
pub(crate) struct Decoded {
    pub(crate) store: Uuid,
    pub(crate) config: StoreConfig,
    /// The bytes that the code covers.
    pub(crate) covered: Vec<u8>,
    /// The code that the object carries.
    pub(crate) code: [u8; 32],
}

/// Reads a configuration object. The caller checks the code.
pub(crate) fn decode(bytes: &[u8]) -> Result<Decoded> {
    let mut fields = Fields::new("the configuration object", bytes);
    fields.magic(MAGIC)?;
    let version = fields.u16()?;
    if version != FORMAT {
        let context = format!("the store has format {version}, this program knows {FORMAT}");
        return Err(Error::new(ErrorKind::Unsupported, context));
    }
    fields.u16()?;
    let len = fields.u32()? as usize;
    let store = Uuid::from_bytes(fields.array()?);
    let json = fields.take(len)?;
    let code = fields.array()?;
    fields.end()?;
    let config: StoreConfig = serde_json::from_slice(json)
        .map_err(|e| Error::corrupt("the configuration cannot be read").because(e))?;
    config.check().map_err(|e| Error::corrupt("the configuration is unusable").because(e))?;
    let covered = bytes.get(..bytes.len().saturating_sub(32)).unwrap_or_default().to_vec();
    Ok(Decoded { store, config, covered, code })
}
