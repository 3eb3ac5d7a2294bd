//! Room that a full store keeps for getting out of it.
//!
//! Removing a point, pinning one for a restore, and collecting garbage write a little down before
//! anything goes; repair writes an index run. On a full disk all of them would fail, for ever. So
//! a store keeps objects that hold nothing, `reserve/<name>`, as large as two packs and a little
//! more. Whoever frees, reads or mends deletes them when it meets [`ErrorKind::Full`], and tries
//! once more.
//!
//! # What must always hold
//!
//! 1. Nobody begins a point unless the reserve is there or can be made: backups cannot eat it.
//! 2. Nothing depends on the reserve but room: it may be deleted by anybody at any time.
//! 3. It is filled with bytes that no file system can make smaller.

use std::sync::Arc;

use object_store::ObjectStore;
use tokio::runtime::Handle;

use crate::env::Env;
use crate::error::{ErrorKind, Result};
use crate::object::Objects;
use crate::store::{Inner, Store};

const RESERVE: &str = "reserve";

/// One for the last pack that a collection copies, one for what is written down about it.
const PACKS: u64 = 2;

/// What is written down at least, whatever the size of packs.
const RECORDS: u64 = 128 << 10;

impl Inner {
    fn reserve_size(&self) -> u64 {
        u64::from(self.config.pack_bytes) * PACKS + RECORDS
    }

    /// Makes the reserve unless it is there, and takes away what is too much of it. Fails with
    /// [`ErrorKind::Full`] where there is no room for it.
    pub(crate) fn keep_reserve(&self) -> Result<()> {
        let (mut there, size) = (0, self.reserve_size());
        for (leaf, bytes) in self.objects.sizes(RESERVE)? {
            if there >= size {
                self.objects.delete(&format!("{RESERVE}/{leaf}"))?;
            }
            there += bytes;
        }
        if there >= size {
            return Ok(());
        }
        let mut bytes = vec![0; (size - there) as usize];
        blake3::Hasher::new_keyed(&self.env.bytes()).finalize_xof().fill(&mut bytes);
        let name = format!("{RESERVE}/{}", self.env.uuid().simple());
        self.objects.create_unique(&name, bytes.into())
    }

    /// Frees the reserve. False: there was none.
    pub(crate) fn spend_reserve(&self) -> Result<bool> {
        spend(&self.objects)
    }

    /// Does what a full store must not refuse: once more without the reserve if there is no other
    /// room.
    pub(crate) fn with_reserve<T>(&self, mut action: impl FnMut() -> Result<T>) -> Result<T> {
        match action() {
            Err(e) if e.kind() == ErrorKind::Full && self.spend_reserve()? => action(),
            other => other,
        }
    }
}

fn spend(objects: &Objects) -> Result<bool> {
    let names = objects.list(RESERVE)?;
    for name in &names {
        objects.delete(&format!("{RESERVE}/{name}"))?;
    }
    if !names.is_empty() {
        tracing::warn!("the store is full: its reserve is freed");
    }
    Ok(!names.is_empty())
}

impl Store {
    /// Frees the reserve of a store that cannot be opened because there is no room, perhaps
    /// since the folder for copies of the index is on the same disk. No key is needed: the
    /// reserve holds nothing. False: there was none. Collect garbage next.
    pub fn spend_reserve(objects: Arc<dyn ObjectStore>, rt: Handle, env: Env) -> Result<bool> {
        spend(&Objects::new(objects, rt, env))
    }
}
