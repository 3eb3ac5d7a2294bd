//! Looking at and changing the key slots of a store.

use jiff::Timestamp;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::bundle::{Bundle, Epochs, Note};
use super::copies::Copies;
use super::sheet::Sheet;
use super::slot::{Secret, Slot, SlotKind, StoreKey};
use super::{Domain, KeyRing, RecoveryKey};
use crate::config::StoreConfig;
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::margins;
use crate::object::Objects;
use crate::store::Store;

/// What is known of a key slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotInfo {
    /// The slot's name, which it keeps when it is wrapped anew.
    pub id: Uuid,
    /// What opens it.
    pub kind: SlotKind,
    /// When it was added.
    pub created: Timestamp,
    /// What its maker called it; may be empty.
    pub label: String,
}

/// How the copies of the key slots are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotCopies {
    /// The generation that counts.
    pub generation: u32,
    /// Its copies that are there and equal.
    pub whole: u32,
    /// Copies that should be there and are not.
    pub missing: u32,
    /// Objects that are damaged or differ.
    pub damaged: Vec<String>,
    /// Objects of older generations: what an interrupted change left.
    pub left_over: Vec<String>,
}

impl SlotCopies {
    /// Whether [`Store::repair_slots`] has nothing to do.
    pub fn is_sound(&self) -> bool {
        self.missing == 0 && self.damaged.is_empty() && self.left_over.is_empty()
    }
}

/// What a change may change.
struct Draft {
    key: StoreKey,
    slots: Vec<Slot>,
    bundle: Bundle,
}

impl Draft {
    fn check(&mut self) -> Result<()> {
        let Self { slots, bundle, .. } = self;
        bundle.notes.retain(|note| slots.iter().any(|slot| slot.id() == note.slot));
        let why = if slots.is_empty() {
            "the last key slot cannot be removed: nobody could open the store any more"
        } else if slots.len() > usize::from(margins::SLOTS) {
            "the store has as many key slots as it can have: remove one first"
        } else if bundle.epochs.len() > margins::EPOCHS {
            "the store has as many epochs as it can have"
        } else if bundle.notes.iter().any(|note| note.label.len() > margins::SLOT_LABEL) {
            "the label of a key slot is longer than 256 bytes"
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Invalid, why))
    }

    /// Adds a slot that `secret` opens.
    fn add(
        &mut self,
        store: Uuid,
        (secret, label): (&Secret, &str),
        config: &StoreConfig,
        env: &Env,
    ) -> Result<Uuid> {
        let id = env.uuid();
        self.slots.push(Slot::wrap(id, store, &self.key, secret, config, env)?);
        let note = Note { slot: id, created: env.domain(), label: label.to_owned() };
        self.bundle.notes.push(note);
        Ok(id)
    }

    fn info(&self) -> Vec<SlotInfo> {
        infos(&self.slots, &self.bundle)
    }
}

fn infos(slots: &[Slot], bundle: &Bundle) -> Vec<SlotInfo> {
    let info = |slot: &Slot| {
        let note = bundle.notes.iter().find(|note| note.slot == slot.id());
        SlotInfo {
            id: slot.id(),
            kind: slot.kind(),
            created: note.map_or(Timestamp::UNIX_EPOCH, |note| note.created),
            label: note.map(|note| note.label.clone()).unwrap_or_default(),
        }
    };
    slots.iter().map(info).collect()
}

/// Writes the first generation of a new store's slots.
pub(crate) fn found(
    objects: &Objects,
    store: Uuid,
    domain: Domain,
    secrets: &[(&Secret, &str)],
    config: &StoreConfig,
    env: &Env,
) -> Result<KeyRing> {
    let epochs = Epochs::from([(1, Zeroizing::new(env.bytes()))]);
    let bundle = Bundle { domain, epochs, notes: Vec::new() };
    let mut draft = Draft { key: Zeroizing::new(env.bytes()), slots: Vec::new(), bundle };
    for secret in secrets {
        draft.add(store, *secret, config, env)?;
    }
    draft.check()?;
    let Draft { key, slots, bundle } = draft;
    let sheet = Sheet::seal((store, 0, Uuid::nil()), slots, &key, &bundle, env)?;
    let copies = Copies::new(objects.clone(), store);
    copies.publish(&sheet)?.map_or(Ok(()), Err)?;
    let (secret, _) = secrets.first().ok_or_else(|| Error::internal("a store without secrets"))?;
    Ok(KeyRing::new(store, key, &bundle, copies, (*secret).clone()))
}

/// The key slots of a store.
///
/// Changes are safe against crashes and against each other, across processes: of two that race,
/// one is made and the other fails with [`ErrorKind::Transient`]. So does one whose outcome the
/// object store did not tell: look at [`Store::slots`] before trying again.
impl Store {
    /// All key slots.
    pub fn slots(&self) -> Result<Vec<SlotInfo>> {
        let newest = self.copies()?.newest(|sheet| self.inner().ring.open(sheet))?;
        Ok(infos(&newest.sheet.slots, &newest.value))
    }

    /// Adds a slot: `secret` opens the store from now on, too. `label` (at most 256 bytes) is
    /// for people and encrypted.
    pub fn add_slot(&self, secret: &Secret, label: &str) -> Result<SlotInfo> {
        let inner = self.inner();
        let ((id, mut slots), unfinished) = self.change(|draft| {
            let id = draft.add(inner.id, (secret, label), &inner.config, &inner.env)?;
            Ok((id, draft.info()))
        })?;
        log(unfinished);
        slots.retain(|slot| slot.id == id);
        slots.pop().ok_or_else(|| Error::internal("a new key slot is gone"))
    }

    /// Removes a slot; never the last one (see [`Store::erase`] for that). Its secret opens the
    /// store no longer, unless its holder kept keys: see [`Store::rotate`].
    ///
    /// An error that tells of copies left over means that the slot is removed and that older
    /// copies, which list it, could not be deleted: [`Store::repair_slots`] does that.
    pub fn remove_slot(&self, id: Uuid) -> Result<()> {
        let ((), unfinished) = self.change(|draft| {
            let before = draft.slots.len();
            draft.slots.retain(|slot| slot.id() != id);
            if draft.slots.len() == before {
                let context = format!("there is no key slot {id}");
                return Err(Error::new(ErrorKind::NotFound, context));
            }
            Ok(())
        })?;
        unfinished.map_or(Ok(()), |e| Err(left_over(e)))
    }

    /// Makes a new recovery key, lets `show` show it to a person, since it is kept nowhere, and
    /// only then removes the slots of all older ones. Killed anywhere, it leaves a recovery key
    /// valid that somebody has seen. Where `show` fails, the new key goes again; where the older
    /// slots could not be removed that is logged, and [`Store::slots`] still lists them.
    pub fn new_recovery_key(&self, show: impl FnOnce(&RecoveryKey) -> Result<()>) -> Result<()> {
        let key = RecoveryKey::random(&self.inner().env);
        let new = self.add_slot(&Secret::Recovery(key.clone()), "recovery")?;
        if let Err(e) = show(&key) {
            // Nobody can use it.
            log(self.remove_slot(new.id).err());
            return Err(e);
        }
        let old = self.change(|draft| {
            let stays = |s: &Slot| s.kind() != SlotKind::Recovery || s.id() == new.id;
            draft.slots.retain(stays);
            Ok(())
        });
        log(old.map_or_else(Some, |((), unfinished)| unfinished));
        Ok(())
    }

    /// Draws a new store key and wraps it in the slots that `secrets` open, under new salts and
    /// the passphrase cost of today; slots keep their ids and labels. A slot cannot be wrapped
    /// without its secret: one that none of `secrets` opens must be named in `drop`, and is
    /// removed; otherwise nothing is changed and the error names it. No data is touched.
    ///
    /// Handles that are open elsewhere go on with the epochs that they know, and open the slots
    /// anew, with the secret that opened them, where they meet a newer one. Those whose secret
    /// has no slot any more fail there with [`ErrorKind::WrongKey`].
    pub fn rotate(&self, secrets: &[Secret], drop: &[Uuid]) -> Result<Vec<SlotInfo>> {
        let inner = self.inner();
        let (slots, unfinished) = self.change(|draft| {
            let old = std::mem::replace(&mut draft.key, Zeroizing::new(inner.env.bytes()));
            let mut wrapped = Vec::new();
            for slot in draft.slots.iter().filter(|slot| !drop.contains(&slot.id())) {
                let secret = opener(inner.id, slot, secrets, &old)?;
                let (id, key, config) = (slot.id(), &draft.key, &inner.config);
                wrapped.push(Slot::wrap(id, inner.id, key, secret, config, &inner.env)?);
            }
            draft.slots = wrapped;
            Ok(draft.info())
        })?;
        unfinished.map_or(Ok(slots), |e| Err(left_over(e)))
    }

    /// Begins an epoch: packs, records and index runs that are written from now on have keys
    /// that derive from a new random one. Returns its number. Older epochs stay for reading.
    /// Handles that are open elsewhere write under the epoch that they know until they read an
    /// object of a newer one.
    pub fn new_epoch(&self) -> Result<u32> {
        let env = &self.inner().env;
        let (number, unfinished) = self.change(|draft| {
            let epochs = &mut draft.bundle.epochs;
            let last = epochs.last_key_value().map_or(0, |(number, _)| *number);
            let number =
                last.checked_add(1).ok_or_else(|| Error::internal("there are no more epochs"))?;
            epochs.insert(number, Zeroizing::new(env.bytes()));
            Ok(number)
        })?;
        log(unfinished);
        Ok(number)
    }

    /// Whether all copies of the slots are there, equal and whole.
    pub fn slot_copies(&self) -> Result<SlotCopies> {
        let copies = self.copies()?;
        let newest = copies.newest(|sheet| self.inner().ring.open(sheet))?;
        let (generation, expected) = (newest.sheet.generation, newest.sheet.encode()?);
        let (mut damaged, mut left_over, mut whole) = (Vec::new(), Vec::new(), 0);
        for (of, copy) in newest.listing.copies {
            let name = copies.name(of, copy);
            if of < generation {
                left_over.push(name);
                continue;
            }
            match copies.read(of, copy) {
                Ok(Some((_, bytes))) if bytes == expected => whole += 1,
                Ok(None) => {}
                Err(e) if e.kind() != ErrorKind::Corrupt => return Err(e),
                Ok(Some(_)) | Err(_) => damaged.push(name),
            }
        }
        let there = whole + damaged.iter().filter(|name| is_of(copies, generation, name)).count();
        let missing = (margins::SLOT_COPIES as usize).saturating_sub(there) as u32;
        Ok(SlotCopies { generation, whole: whole as u32, missing, damaged, left_over })
    }

    /// Makes all copies of the slots whole again, from a good one, and deletes what interrupted
    /// changes left over. Says whether there was anything to do.
    pub fn repair_slots(&self) -> Result<bool> {
        if self.slot_copies()?.is_sound() {
            return Ok(false);
        }
        // Objects are never written again: the same slots as a generation of their own.
        let ((), unfinished) = self.change(|_| Ok(()))?;
        unfinished.map_or(Ok(true), |e| Err(left_over(e)))
    }

    /// Deletes all key slots, for ever: nobody can read the store again, with whatever secret.
    /// `confirm` must be the store's own id. This handle and its clones forget their keys.
    ///
    /// Objects stay until somebody deletes them; what cannot be opened is only noise. An
    /// interrupted erasure is finished by whoever tries to open the store next. What the disk or
    /// the bucket under the store keeps of deleted objects (versions, snapshots, spare blocks) is
    /// out of reach here.
    pub fn erase(&self, confirm: Uuid) -> Result<()> {
        if confirm != self.id() {
            let context = format!("to erase store {}, confirm with its own id", self.id());
            return Err(Error::new(ErrorKind::Invalid, context));
        }
        self.copies()?.erase()?;
        self.inner().ring.forget();
        Ok(())
    }

    fn copies(&self) -> Result<&Copies> {
        let copies = self.inner().ring.copies.as_ref();
        copies.ok_or_else(|| Error::internal("the key ring has no slots"))
    }

    /// Makes the next generation of slots, and with it the change.
    fn change<T>(&self, edit: impl FnOnce(&mut Draft) -> Result<T>) -> Result<(T, Option<Error>)> {
        let inner = self.inner();
        let (ring, copies) = (&inner.ring, self.copies()?);
        let newest = copies.newest(|sheet| ring.open(sheet))?;
        let Sheet { store, change: parent, slots, .. } = newest.sheet;
        let mut draft = Draft { key: ring.key()?, slots, bundle: newest.value };
        let value = edit(&mut draft)?;
        draft.check()?;
        let Draft { key, slots, bundle } = draft;
        let sheet = Sheet::seal((store, newest.next, parent), slots, &key, &bundle, &inner.env)?;
        let unfinished = copies.publish(&sheet)?;
        ring.adopt(key, bundle.epochs);
        Ok((value, unfinished))
    }
}

fn is_of(copies: &Copies, generation: u32, name: &str) -> bool {
    (0..margins::SLOT_COPIES).any(|copy| copies.name(generation, copy) == name)
}

/// The secret that opens `slot`.
fn opener<'a>(
    store: Uuid,
    slot: &Slot,
    secrets: &'a [Secret],
    key: &StoreKey,
) -> Result<&'a Secret> {
    for secret in secrets {
        if slot.unwrap(store, secret)?.is_some_and(|found| found == *key) {
            return Ok(secret);
        }
    }
    let context = format!(
        "key slot {} ({}) opens with none of the secrets: give its secret, or name it as dropped",
        slot.id(),
        slot.kind()
    );
    Err(Error::new(ErrorKind::Invalid, context))
}

fn left_over(e: Error) -> Error {
    let context = "the key slots are changed, but copies of the old ones are left over or new \
                   ones are missing: repair the slots";
    Error::new(e.kind(), context).because(e)
}

/// The change is made; what is left to do is reported by verification.
fn log(unfinished: Option<Error>) {
    if let Some(error) = unfinished {
        tracing::warn!(%error, "a change of key slots left something to repair");
    }
}
