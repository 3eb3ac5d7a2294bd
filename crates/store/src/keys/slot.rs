//! A key slot: the store key, wrapped under a secret that a person or a machine holds.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{ObjectKey, RecoveryKey, TAG, derive};
use crate::config::StoreConfig;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::field::{Fields, narrow};
use crate::margins;

/// The key that all slots of a store wrap and that encrypts the bundle.
pub(super) type StoreKey = Zeroizing<[u8; 32]>;

/// Something that opens a store.
#[derive(Clone)]
pub enum Secret {
    /// The content of a key file.
    KeyFile(Zeroizing<[u8; 32]>),
    /// A passphrase.
    Passphrase(Zeroizing<String>),
    /// The recovery key that was printed when the store was made.
    Recovery(RecoveryKey),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeyFile(_) => "KeyFile(..)",
            Self::Passphrase(_) => "Passphrase(..)",
            Self::Recovery(_) => "Recovery(..)",
        })
    }
}

impl Secret {
    /// Which kind of slot the secret opens.
    pub fn kind(&self) -> SlotKind {
        match self {
            Self::KeyFile(_) => SlotKind::KeyFile,
            Self::Passphrase(_) => SlotKind::Passphrase,
            Self::Recovery(_) => SlotKind::Recovery,
        }
    }

    /// The key that wraps the store key in a slot with this head.
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

/// What kind of secret opens a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SlotKind {
    /// A key file.
    KeyFile,
    /// A passphrase.
    Passphrase,
    /// A recovery key.
    Recovery,
    /// A kind that this version does not know; it cannot be opened, but it is kept.
    Unknown(u8),
}

impl SlotKind {
    pub(super) fn code(self) -> u8 {
        match self {
            Self::KeyFile => 1,
            Self::Passphrase => 2,
            Self::Recovery => 3,
            Self::Unknown(code) => code,
        }
    }

    fn from_code(code: u8) -> Self {
        match code {
            1 => Self::KeyFile,
            2 => Self::Passphrase,
            3 => Self::Recovery,
            other => Self::Unknown(other),
        }
    }
}

impl fmt::Display for SlotKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyFile => f.write_str("key file"),
            Self::Passphrase => f.write_str("passphrase"),
            Self::Recovery => f.write_str("recovery key"),
            Self::Unknown(code) => write!(f, "unknown kind {code}"),
        }
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
#[derive(Clone)]
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

/// One slot.
#[derive(Clone)]
pub(super) struct Slot {
    head: Head,
    wrapped: Vec<u8>,
}

impl Slot {
    /// Wraps `key` under `secret`, in a slot with this id and a salt of its own.
    pub(super) fn wrap(
        id: Uuid,
        store: Uuid,
        key: &StoreKey,
        secret: &Secret,
        config: &StoreConfig,
        env: &Env,
    ) -> Result<Self> {
        let passphrase = matches!(secret, Secret::Passphrase(_));
        let head = Head {
            kind: secret.kind().code(),
            id,
            salt: env.bytes(),
            kib: if passphrase { config.argon2_kib } else { 0 },
            passes: if passphrase { config.argon2_passes } else { 0 },
        };
        // Encrypted in place: the buffer is wiped also where that fails.
        let mut text = Zeroizing::new(Vec::with_capacity(key.len() + TAG));
        text.extend_from_slice(key.as_slice());
        let tag = secret.key(store, &head)?.seal(0, &head.aad(store), &mut text)?;
        text.extend_from_slice(&tag);
        Ok(Self { head, wrapped: text.to_vec() })
    }

    /// The store key, if `secret` opens this slot.
    pub(super) fn unwrap(&self, store: Uuid, secret: &Secret) -> Result<Option<StoreKey>> {
        if self.kind() != secret.kind() {
            return Ok(None);
        }
        let mut text = Zeroizing::new(self.wrapped.clone());
        let opened = secret.key(store, &self.head)?.open(0, &self.head.aad(store), &mut text);
        let Some(key) = opened else { return Ok(None) };
        let key: &[u8; 32] = key
            .first_chunk()
            .ok_or_else(|| Error::corrupt("a key slot holds a key of another length"))?;
        Ok(Some(Zeroizing::new(*key)))
    }

    pub(super) fn id(&self) -> Uuid {
        self.head.id
    }

    pub(super) fn kind(&self) -> SlotKind {
        SlotKind::from_code(self.head.kind)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(&self.head.encode());
        out.extend_from_slice(&narrow(self.wrapped.len())?.to_le_bytes());
        out.extend_from_slice(&self.wrapped);
        Ok(())
    }

    pub(super) fn decode(fields: &mut Fields<'_>) -> Result<Self> {
        let head = Head::decode(fields)?;
        let len = fields.u32()? as usize;
        Ok(Self { head, wrapped: fields.take(len)?.to_vec() })
    }
}
