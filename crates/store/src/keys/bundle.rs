//! The bundle: every secret of a store, and what only its owners may know of its key slots.

use std::collections::BTreeMap;

use jiff::Timestamp;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::Domain;
use crate::error::{Error, Result};
use crate::field::{Fields, narrow};

/// The keys of epochs, by number.
pub(super) type Epochs = BTreeMap<u32, Zeroizing<[u8; 32]>>;

/// What is kept about a slot besides the slot itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) slot: Uuid,
    pub(super) created: Timestamp,
    pub(super) label: String,
}

/// Everything that the store key encrypts.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Bundle {
    pub(super) domain: Domain,
    pub(super) epochs: Epochs,
    pub(super) notes: Vec<Note>,
}

impl Bundle {
    pub(super) fn encode(&self) -> Result<Zeroizing<Vec<u8>>> {
        // Large enough at once: a buffer that grows leaves its bytes behind.
        let notes: usize = self.notes.iter().map(|note| 26 + note.label.len()).sum();
        let size = 128 + 36 * self.epochs.len() + notes;
        let mut out = Zeroizing::new(Vec::with_capacity(size));
        out.extend_from_slice(self.domain.id.as_bytes());
        out.extend_from_slice(&self.domain.id_key);
        out.extend_from_slice(&self.domain.seed);
        out.extend_from_slice(&narrow(self.epochs.len())?.to_le_bytes());
        for (number, key) in &self.epochs {
            out.extend_from_slice(&number.to_le_bytes());
            out.extend_from_slice(key.as_slice());
        }
        out.extend_from_slice(&narrow(self.notes.len())?.to_le_bytes());
        for note in &self.notes {
            out.extend_from_slice(note.slot.as_bytes());
            out.extend_from_slice(&note.created.as_millisecond().to_le_bytes());
            let len = u16::try_from(note.label.len())
                .map_err(|e| Error::internal("a label is too long").because(e))?;
            out.extend_from_slice(&len.to_le_bytes());
            out.extend_from_slice(note.label.as_bytes());
        }
        Ok(out)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Fields::new("the key bundle", bytes);
        let id = Uuid::from_bytes(fields.array()?);
        let domain = Domain { id, id_key: fields.array()?, seed: fields.array()? };
        let mut epochs = Epochs::new();
        for _ in 0..fields.u32()? {
            epochs.insert(fields.u32()?, Zeroizing::new(fields.array()?));
        }
        if epochs.is_empty() {
            return Err(Error::corrupt("the key bundle has no epoch"));
        }
        let mut notes = Vec::new();
        for _ in 0..fields.u32()? {
            notes.push(note(&mut fields)?);
        }
        fields.end()?;
        Ok(Self { domain, epochs, notes })
    }
}

fn note(fields: &mut Fields<'_>) -> Result<Note> {
    let wrong = |what: &str| Error::corrupt(format!("a slot in the key bundle has a bad {what}"));
    let slot = Uuid::from_bytes(fields.array()?);
    let created = i64::from_le_bytes(fields.array()?);
    let created = Timestamp::from_millisecond(created).map_err(|e| wrong("time").because(e))?;
    let len = usize::from(fields.u16()?);
    let label = std::str::from_utf8(fields.take(len)?).map_err(|e| wrong("label").because(e))?;
    Ok(Note { slot, created, label: label.to_owned() })
}
