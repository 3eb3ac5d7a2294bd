//! The keys of a store.
//!
//! A *bundle* holds everything secret: the keys of the epochs, from which every object's own key
//! is derived, and the dedup domain (id key and cut seed). The bundle is random and encrypted
//! under the *store key*; key slots wrap that, each under another secret. Losing all slots is
//! losing the store, on purpose: that is crypto-erase.
//!
//! Every encrypted object has a key of its own, HKDF-SHA256 of its epoch's key and 256 bits drawn
//! when the object is begun. A nonce is a counter inside one object, and no object is ever
//! continued or written again under its old salt: no nonce can repeat.
//!
//! # What a change of slots protects against
//!
//! Whoever opened the store once may have kept the store key or the bundle. Removing his slot
//! keeps him out only if he did not. [`crate::Store::rotate`] draws a new store key, so that
//! nothing he kept opens the slots of today, and [`crate::Store::new_epoch`] after it begins an
//! epoch that he cannot know: new packs, records and index runs are closed to him. What was
//! written before stays readable to him, and so do the id key and the cut seed, with which he
//! can tell whether the store holds contents that he knows: the keys of a dedup domain do not
//! change; only copying everything into a store of another domain would.
//!
//! Secrets are wiped from memory when they are dropped: by `zeroize` here, by `aws-lc` for the
//! keys of ciphers.

mod bundle;
mod change;
mod copies;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;
mod recovery;
mod sheet;
mod slot;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{PoisonError, RwLock};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use uuid::Uuid;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::object::Objects;

use bundle::{Bundle, Epochs};
use copies::Copies;
use slot::StoreKey;

pub(crate) use change::found;
pub use change::{SlotCopies, SlotInfo};
pub use recovery::RecoveryKey;
pub use slot::{Secret, SlotKind};

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
///
/// Handles live long and slots change: an object of an epoch that is newer than all that are
/// known makes the ring read the slots again, and where these were rotated meanwhile, open them
/// with the secret that opened the store.
pub(crate) struct KeyRing {
    pub(crate) store: Uuid,
    pub(crate) domain: Domain,
    held: RwLock<Held>,
    /// Where the slots are; `None` in tests of other parts.
    copies: Option<Copies>,
    /// What the store was opened with.
    secret: Option<Secret>,
}

/// What a change of slots changes.
struct Held {
    /// `None` once the store was erased through this handle.
    key: Option<StoreKey>,
    epochs: Epochs,
}

impl KeyRing {
    /// Random keys that no slot keeps.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn random(store: Uuid, domain: Domain, env: &Env) -> Self {
        let epochs = Epochs::from([(1, Zeroizing::new(env.bytes()))]);
        let held = RwLock::new(Held { key: Some(Zeroizing::new(env.bytes())), epochs });
        Self { store, domain, held, copies: None, secret: None }
    }

    fn new(store: Uuid, key: StoreKey, bundle: &Bundle, copies: Copies, secret: Secret) -> Self {
        let held = RwLock::new(Held { key: Some(key), epochs: bundle.epochs.clone() });
        let (copies, secret) = (Some(copies), Some(secret));
        Self { store, domain: bundle.domain.clone(), held, copies, secret }
    }

    /// The keys of a store, if one of its slots opens with `secret`.
    pub(crate) fn unlock(objects: &Objects, store: Uuid, secret: &Secret) -> Result<Self> {
        let copies = Copies::new(objects.clone(), store);
        let (key, bundle) = copies.newest(|sheet| sheet.unlock(secret))?.value;
        Ok(Self::new(store, key, &bundle, copies, secret.clone()))
    }

    /// The stores of which there are key slots.
    pub(crate) fn stores(objects: &Objects) -> Result<BTreeSet<Uuid>> {
        let names = objects.list(copies::FOLDER)?;
        let id = |name: String| Uuid::try_parse(name.split_once('-')?.0).ok();
        Ok(names.into_iter().filter_map(id).collect())
    }

    /// The epoch that new objects belong to.
    pub(crate) fn epoch(&self) -> u32 {
        self.read(|held| held.epochs.last_key_value().map_or(0, |(number, _)| *number))
    }

    /// The key of one object.
    pub(crate) fn object(&self, purpose: &str, epoch: u32, salt: &[u8; 32]) -> Result<ObjectKey> {
        let secret = match self.secret(epoch)? {
            None if epoch > self.epoch() => {
                self.reread()?;
                self.secret(epoch)?
            }
            known => known,
        };
        let secret =
            secret.ok_or_else(|| Error::corrupt(format!("there is no key of epoch {epoch}")))?;
        let key = derive(salt, secret.as_slice(), &[purpose.as_bytes(), self.store.as_bytes()])?;
        ObjectKey::new(&key)
    }

    /// A code that only a holder of the keys can make.
    pub(crate) fn code(&self, purpose: &str, bytes: &[u8]) -> Result<[u8; 32]> {
        let first = self.read(|held| held.epochs.values().next().cloned());
        let first = first.ok_or_else(copies::erased)?;
        let key = derive(&[0; 32], first.as_slice(), &[purpose.as_bytes(), self.store.as_bytes()])?;
        Ok(*blake3::keyed_hash(&key, bytes).as_bytes())
    }

    fn secret(&self, epoch: u32) -> Result<Option<Zeroizing<[u8; 32]>>> {
        self.read(|held| match held.key {
            Some(_) => Ok(held.epochs.get(&epoch).cloned()),
            None => Err(copies::erased()),
        })
    }

    /// Learns of the epochs that others began.
    fn reread(&self) -> Result<()> {
        let Some(copies) = &self.copies else { return Ok(()) };
        let bundle = copies.newest(|sheet| self.open(sheet))?.value;
        self.write(|held| held.epochs = bundle.epochs);
        Ok(())
    }

    /// Opens a generation of slots with the store key that this handle knows; if it was rotated
    /// since, with the secret that opened the store.
    fn open(&self, sheet: &sheet::Sheet) -> Result<Bundle> {
        if let Some(bundle) = sheet.open(&self.key()?)? {
            return Ok(bundle);
        }
        let rotated = || {
            let context = "the key slots were rotated since the store was opened, and what opened \
                           it then opens none of them: open it with another secret";
            Error::new(ErrorKind::WrongKey, context)
        };
        let secret = self.secret.as_ref().ok_or_else(rotated)?;
        let (key, bundle) = sheet.unlock(secret).map_err(|e| match e.kind() {
            ErrorKind::WrongKey => rotated(),
            _ => e,
        })?;
        self.adopt(key, bundle.epochs.clone());
        Ok(bundle)
    }

    fn key(&self) -> Result<StoreKey> {
        self.read(|held| held.key.clone()).ok_or_else(copies::erased)
    }

    fn adopt(&self, key: StoreKey, epochs: Epochs) {
        self.write(|held| *held = Held { key: Some(key), epochs });
    }

    /// Forgets all keys.
    fn forget(&self) {
        self.write(|held| *held = Held { key: None, epochs: Epochs::new() });
    }

    fn read<T>(&self, with: impl FnOnce(&Held) -> T) -> T {
        with(&self.held.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, with: impl FnOnce(&mut Held)) {
        with(&mut self.held.write().unwrap_or_else(PoisonError::into_inner));
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

    /// Decrypts `text`, whose tag stands apart, into `out`, which has the same length; tells
    /// whether it is authentic. If not, `out` may hold anything.
    pub(crate) fn open_apart(
        &self,
        number: u64,
        aad: &[u8],
        (text, tag): (&[u8], &[u8; TAG]),
        out: &mut [u8],
    ) -> bool {
        self.0.open_separate_gather(nonce(number), Aad::from(aad), text, tag, out).is_ok()
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
