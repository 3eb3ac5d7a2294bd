//! The keys of a store.
//!
//! A *bundle* holds everything secret: the keys of the epochs, from which every object's own key
//! is derived, and the dedup domain (id key and cut seed). The bundle is random; key slots wrap
//! it, each under another secret. Losing all slots is losing the store, on purpose: that is
//! crypto-erase.
//!
//! Every encrypted object has a key of its own, HKDF-SHA256 of its epoch's key and 256 bits drawn
//! when the object is begun. A nonce is a counter inside one object, and no object is ever
//! continued or written again under its old salt: no nonce can repeat.

mod recovery;
mod slot;

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use uuid::Uuid;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::env::Env;
use crate::error::{Error, Result};
use crate::field::Fields;

pub use recovery::RecoveryKey;
pub use slot::Secret;
pub(crate) use slot::{Slots, folder, object};

/// Bytes that authentication adds to what is encrypted.
pub(crate) const TAG: usize = 16;

/// What makes the ids, and so the deduplication, of several stores agree: a key for ids and a
/// seed for cuts. Kept by whoever makes a second store for the same installation.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Domain {
    #[zeroize(skip)]
    pub(crate) id: Uuid,
    pub(crate) id_key: [u8; 32],
    pub(crate) seed: [u8; 16],
}

impl Domain {
    /// A new domain.
    pub fn random(env: &Env) -> Self {
        Self { id: env.uuid(), id_key: env.bytes(), seed: env.bytes() }
    }

    /// The domain's name, which is no secret.
    pub fn id(&self) -> Uuid {
        self.id
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Domain").field("id", &self.id).finish_non_exhaustive()
    }
}

/// All secrets of one opened store.
pub(crate) struct KeyRing {
    pub(crate) store: Uuid,
    pub(crate) domain: Domain,
    epochs: BTreeMap<u32, Zeroizing<[u8; 32]>>,
}

impl KeyRing {
    /// The keys of a new store.
    pub(crate) fn random(store: Uuid, domain: Domain, env: &Env) -> Self {
        let epochs = BTreeMap::from([(1, Zeroizing::new(env.bytes()))]);
        Self { store, domain, epochs }
    }

    /// The epoch that new objects belong to.
    pub(crate) fn epoch(&self) -> u32 {
        self.epochs.last_key_value().map_or(0, |(number, _)| *number)
    }

    /// The key of one object.
    pub(crate) fn object(&self, purpose: &str, epoch: u32, salt: &[u8; 32]) -> Result<ObjectKey> {
        let secret = self
            .epochs
            .get(&epoch)
            .ok_or_else(|| Error::corrupt(format!("there is no key of epoch {epoch}")))?;
        let key = derive(salt, secret.as_slice(), &[purpose.as_bytes(), self.store.as_bytes()])?;
        ObjectKey::new(&key)
    }

    /// A code that only a holder of the keys can make.
    pub(crate) fn code(&self, purpose: &str, bytes: &[u8]) -> Result<[u8; 32]> {
        let first = self.epochs.values().next().ok_or_else(|| Error::internal("no epoch"))?;
        let key = derive(&[0; 32], first.as_slice(), &[purpose.as_bytes(), self.store.as_bytes()])?;
        Ok(*blake3::keyed_hash(&key, bytes).as_bytes())
    }

    /// The bundle that key slots wrap.
    pub(crate) fn bundle(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(256));
        out.extend_from_slice(self.domain.id.as_bytes());
        out.extend_from_slice(&self.domain.id_key);
        out.extend_from_slice(&self.domain.seed);
        out.extend_from_slice(&(self.epochs.len() as u32).to_le_bytes());
        for (number, key) in &self.epochs {
            out.extend_from_slice(&number.to_le_bytes());
            out.extend_from_slice(key.as_slice());
        }
        out
    }

    /// The keys in an unwrapped bundle.
    pub(crate) fn from_bundle(store: Uuid, bundle: &[u8]) -> Result<Self> {
        let mut fields = Fields::new("the key bundle", bundle);
        let id = Uuid::from_bytes(fields.array()?);
        let domain = Domain { id, id_key: fields.array()?, seed: fields.array()? };
        let mut epochs = BTreeMap::new();
        for _ in 0..fields.u32()? {
            epochs.insert(fields.u32()?, Zeroizing::new(fields.array()?));
        }
        fields.end()?;
        Ok(Self { store, domain, epochs })
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("store", &self.store).finish_non_exhaustive()
    }
}

/// The key of one object, with a counter for a nonce.
pub(crate) struct ObjectKey(LessSafeKey);

impl ObjectKey {
    pub(crate) fn new(key: &[u8; 32]) -> Result<Self> {
        let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| Error::internal("key length"))?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Encrypts `bytes` in place and returns their tag.
    pub(crate) fn seal(&self, number: u64, aad: &[u8], bytes: &mut [u8]) -> Result<[u8; TAG]> {
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce(number), Aad::from(aad), bytes)
            .map_err(|_| Error::internal("encryption failed"))?;
        tag.as_ref().try_into().map_err(|_| Error::internal("tag length"))
    }

    /// Decrypts `bytes`, which end with their tag, in place; `None` if they are not authentic.
    pub(crate) fn open<'a>(
        &self,
        number: u64,
        aad: &[u8],
        bytes: &'a mut [u8],
    ) -> Option<&'a mut [u8]> {
        self.0.open_in_place(nonce(number), Aad::from(aad), bytes).ok()
    }
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    for (to, from) in bytes.iter_mut().rev().zip(number.to_le_bytes()) {
        *to = from;
    }
    Nonce::assume_unique_for_key(bytes)
}

struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        32
    }
}

/// HKDF-SHA256.
fn derive(salt: &[u8; 32], secret: &[u8], info: &[&[u8]]) -> Result<Zeroizing<[u8; 32]>> {
    let mut out = Zeroizing::new([0; 32]);
    Salt::new(HKDF_SHA256, salt)
        .extract(secret)
        .expand(info, Length)
        .and_then(|okm| okm.fill(out.as_mut_slice()))
        .map_err(|_| Error::internal("key derivation failed"))?;
    Ok(out)
}
