//! Key slots: the bundle, wrapped under secrets that people or machines hold.
//!
//! All slots are in one object, stored in several equal copies under
//! `keys/<store>-<generation>-<copy>`. Changing slots writes the next generation; the highest
//! generation of which one copy is whole counts.

use argon2::{Algorithm, Argon2, Params, Version};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{KeyRing, ObjectKey, RecoveryKey, derive};
use crate::config::{FORMAT, StoreConfig};
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::field::{Fields, narrow};
use crate::margins;

const MAGIC: &[u8; 8] = b"TRSRKEYS";

/// The folder of slot objects.
pub(crate) fn folder() -> &'static str {
    "keys"
}

/// The name of one copy of the slot object.
pub(crate) fn object(store: Uuid, generation: u32, copy: u32) -> String {
    format!("{}/{}-{generation:08x}-{copy}", folder(), store.simple())
}

/// Something that opens a store.
pub enum Secret {
    /// The content of a key file.
    KeyFile(Zeroizing<[u8; 32]>),
    /// A passphrase.
    Passphrase(Zeroizing<String>),
    /// The recovery key that was printed when the store was made.
    Recovery(RecoveryKey),
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::KeyFile(_) => "KeyFile(..)",
            Self::Passphrase(_) => "Passphrase(..)",
            Self::Recovery(_) => "Recovery(..)",
        })
    }
}

impl Secret {
    fn code(&self) -> u8 {
        match self {
            Self::KeyFile(_) => 1,
            Self::Passphrase(_) => 2,
            Self::Recovery(_) => 3,
        }
    }

    /// The key that wraps the bundle in a slot with this head.
    fn key(&self, store: Uuid, head: &Head) -> Result<ObjectKey> {
        let stretched;
        let material: &[u8] = match self {
            Self::KeyFile(bytes) => bytes.as_slice(),
            Self::Recovery(key) => key.0.as_slice(),
            Self::Passphrase(text) => {
                stretched = stretch(text, head)?;
                stretched.as_slice()
            }
        };
        let info: [&[u8]; 3] = [b"tresor 0 slot", store.as_bytes(), &[head.kind]];
        ObjectKey::new(&*derive(&head.salt, material, &info)?)
    }
}

fn stretch(text: &str, head: &Head) -> Result<Zeroizing<[u8; 32]>> {
    if head.kib > margins::ARGON2_KIB || head.passes > margins::ARGON2_PASSES {
        return Err(Error::corrupt("a key slot asks for too much work"));
    }
    let params = Params::new(head.kib, head.passes, 1, Some(32))
        .map_err(|e| Error::corrupt(format!("a key slot has bad parameters: {e}")))?;
    let mut out = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(text.as_bytes(), &head.salt, out.as_mut_slice())
        .map_err(|e| Error::internal(format!("the passphrase cannot be stretched: {e}")))?;
    Ok(out)
}

/// The clear part of a slot.
struct Head {
    kind: u8,
    id: Uuid,
    salt: [u8; 32],
    kib: u32,
    passes: u32,
}

impl Head {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(60);
        out.extend_from_slice(&[self.kind, 0, 0, 0]);
        out.extend_from_slice(self.id.as_bytes());
        out.extend_from_slice(&self.salt);
        out.extend_from_slice(&self.kib.to_le_bytes());
        out.extend_from_slice(&self.passes.to_le_bytes());
        out
    }

    fn decode(fields: &mut Fields<'_>) -> Result<Self> {
        let [kind, _, _, _] = fields.array()?;
        let id = Uuid::from_bytes(fields.array()?);
        let (salt, kib, passes) = (fields.array()?, fields.u32()?, fields.u32()?);
        Ok(Self { kind, id, salt, kib, passes })
    }

    fn aad(&self, store: Uuid) -> Vec<u8> {
        let mut out = store.as_bytes().to_vec();
        out.extend_from_slice(&self.encode());
        out
    }
}

/// The slots of a store.
pub(crate) struct Slots {
    store: Uuid,
    slots: Vec<(Head, Vec<u8>)>,
}

impl Slots {
    /// No slots yet.
    pub(crate) fn new(store: Uuid) -> Self {
        Self { store, slots: Vec::new() }
    }

    /// Adds a slot that `secret` opens.
    pub(crate) fn add(
        &mut self,
        ring: &KeyRing,
        secret: &Secret,
        config: &StoreConfig,
        env: &Env,
    ) -> Result<()> {
        let passphrase = matches!(secret, Secret::Passphrase(_));
        let head = Head {
            kind: secret.code(),
            id: env.uuid(),
            salt: env.bytes(),
            kib: if passphrase { config.argon2_kib } else { 0 },
            passes: if passphrase { config.argon2_passes } else { 0 },
        };
        let key = secret.key(self.store, &head)?;
        let mut bundle = ring.bundle();
        let tag = key.seal(0, &head.aad(self.store), &mut bundle)?;
        let mut wrapped = bundle.to_vec();
        wrapped.extend_from_slice(&tag);
        self.slots.push((head, wrapped));
        Ok(())
    }

    /// The keys, if one of the slots opens with `secret`.
    pub(crate) fn open(&self, secret: &Secret) -> Result<KeyRing> {
        for (head, wrapped) in self.slots.iter().filter(|(h, _)| h.kind == secret.code()) {
            let key = secret.key(self.store, head)?;
            let mut bundle = Zeroizing::new(wrapped.clone());
            if let Some(bundle) = key.open(0, &head.aad(self.store), &mut bundle) {
                return KeyRing::from_bundle(self.store, bundle);
            }
        }
        Err(Error::new(ErrorKind::WrongKey, "no key slot opens with this secret"))
    }

    /// The slot object.
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&(self.slots.len() as u16).to_le_bytes());
        out.extend_from_slice(self.store.as_bytes());
        for (head, wrapped) in &self.slots {
            out.extend_from_slice(&head.encode());
            out.extend_from_slice(&narrow(wrapped.len())?.to_le_bytes());
            out.extend_from_slice(wrapped);
        }
        out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
        Ok(out)
    }

    /// Reads a slot object; damage is found by its checksum.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let damaged = || Error::corrupt("a copy of the key slots is damaged");
        let (body, sum) = bytes.split_last_chunk::<4>().ok_or_else(damaged)?;
        if crc32fast::hash(body).to_le_bytes() != *sum {
            return Err(damaged());
        }
        let mut fields = Fields::new("the key slots", body);
        fields.magic(MAGIC)?;
        let version = fields.u16()?;
        let count = fields.u16()?;
        if version != FORMAT || count > margins::SLOTS {
            return Err(Error::new(ErrorKind::Unsupported, "the key slots have another format"));
        }
        let store = Uuid::from_bytes(fields.array()?);
        let mut slots = Vec::new();
        for _ in 0..count {
            let head = Head::decode(&mut fields)?;
            let len = fields.u32()? as usize;
            slots.push((head, fields.take(len)?.to_vec()));
        }
        fields.end()?;
        Ok(Self { store, slots })
    }

    /// The store that the slots belong to.
    pub(crate) fn store(&self) -> Uuid {
        self.store
    }
}
