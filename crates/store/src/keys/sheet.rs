//! The slot object: all slots of a store and the bundle that they give access to.
//!
//! The slots wrap one *store key*, which encrypts the bundle: a new epoch or a new slot needs
//! nobody's secret but the one that opened the store. The list of slots, their generation and
//! the change that made them are authenticated with the bundle, so nobody without the store key
//! can put a removed slot back.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::bundle::Bundle;
use super::slot::{Secret, Slot, SlotKind, StoreKey};
use super::{ObjectKey, TAG, derive};
use crate::config::FORMAT;
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::field::{Fields, narrow};
use crate::margins;

const MAGIC: &[u8; 8] = b"TRSRKEYS";
const PURPOSE: &[u8] = b"tresor 0 bundle";

/// One generation of the slots.
#[derive(Clone)]
pub(super) struct Sheet {
    pub(super) store: Uuid,
    pub(super) generation: u32,
    /// Names the change that made this generation.
    pub(super) change: Uuid,
    /// The change that made the generation which this one replaces; nil for the first.
    pub(super) parent: Uuid,
    salt: [u8; 32],
    pub(super) slots: Vec<Slot>,
    sealed: Vec<u8>,
}

impl Sheet {
    /// A generation of these slots, with `bundle` encrypted under `key`.
    pub(super) fn seal(
        (store, generation, parent): (Uuid, u32, Uuid),
        slots: Vec<Slot>,
        key: &StoreKey,
        bundle: &Bundle,
        env: &Env,
    ) -> Result<Self> {
        let (change, salt) = (env.uuid(), env.bytes());
        let mut sheet = Self { store, generation, change, parent, salt, slots, sealed: Vec::new() };
        let mut text = bundle.encode()?;
        let tag = sheet.key(key)?.seal(0, &sheet.clear()?, &mut text)?;
        sheet.sealed = text.to_vec();
        sheet.sealed.extend_from_slice(&tag);
        Ok(sheet)
    }

    /// The store key and the bundle, if one of the slots opens with `secret`.
    pub(super) fn unlock(&self, secret: &Secret) -> Result<(StoreKey, Bundle)> {
        for slot in &self.slots {
            let Some(key) = slot.unwrap(self.store, secret)? else { continue };
            let bundle = self.open(&key)?;
            let bundle = bundle
                .ok_or_else(|| Error::corrupt("the key bundle is not authentic: it was changed"))?;
            return Ok((key, bundle));
        }
        let context = format!(
            "no key slot opens with this {}: the store has slots for {}",
            secret.kind(),
            self.kinds()
        );
        Err(Error::new(ErrorKind::WrongKey, context))
    }

    /// The bundle; `None` if it was not made under `key`.
    pub(super) fn open(&self, key: &StoreKey) -> Result<Option<Bundle>> {
        let mut text = zeroize::Zeroizing::new(self.sealed.clone());
        match self.key(key)?.open(0, &self.clear()?, &mut text) {
            Some(bundle) => Bundle::decode(bundle).map(Some),
            None => Ok(None),
        }
    }

    fn key(&self, key: &StoreKey) -> Result<ObjectKey> {
        let info = [PURPOSE, self.store.as_bytes()];
        ObjectKey::new(&*derive(&self.salt, key.as_slice(), &info)?)
    }

    /// Which kinds of slots there are, for people.
    fn kinds(&self) -> String {
        let mut counts = BTreeMap::<SlotKind, usize>::new();
        for slot in &self.slots {
            *counts.entry(slot.kind()).or_default() += 1;
        }
        let counts: Vec<_> =
            counts.into_iter().map(|(kind, count)| format!("{count} x {kind}")).collect();
        if counts.is_empty() { "nothing".to_owned() } else { counts.join(", ") }
    }

    /// All before the length of the sealed bundle: what is authenticated with it.
    fn clear(&self) -> Result<Vec<u8>> {
        let count = u16::try_from(self.slots.len())
            .map_err(|e| Error::internal("too many key slots").because(e))?;
        let mut out = Vec::with_capacity(1024);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(self.store.as_bytes());
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(self.change.as_bytes());
        out.extend_from_slice(self.parent.as_bytes());
        out.extend_from_slice(&self.salt);
        self.slots.iter().try_for_each(|slot| slot.encode(&mut out))?;
        Ok(out)
    }

    /// The slot object.
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let mut out = self.clear()?;
        out.extend_from_slice(&narrow(self.sealed.len())?.to_le_bytes());
        out.extend_from_slice(&self.sealed);
        out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
        Ok(out)
    }

    /// Reads a slot object; damage is found by its checksum.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
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
        let generation = fields.u32()?;
        let change = Uuid::from_bytes(fields.array()?);
        let parent = Uuid::from_bytes(fields.array()?);
        let salt = fields.array()?;
        let mut slots = Vec::new();
        for _ in 0..count {
            slots.push(Slot::decode(&mut fields)?);
        }
        let len = fields.u32()? as usize;
        let sealed = fields.take(len)?.to_vec();
        fields.end()?;
        if sealed.len() < TAG {
            return Err(damaged());
        }
        Ok(Self { store, generation, change, parent, salt, slots, sealed })
    }
}
