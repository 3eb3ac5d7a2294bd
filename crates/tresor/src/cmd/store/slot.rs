//! `tresor store key`: who can open a store.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde::Serialize;
use tresor_store::{Error, ErrorKind, RecoveryKey, Secret, SlotInfo, Store};
use uuid::Uuid;

use super::key;
use super::place::{Place, Session};
use super::report::Report;
use crate::terminal::note;
use crate::usage::Usage;

#[derive(Args)]
#[command(after_help = "A new key is a file (--new-key-file, made if it is not there) or the \
    passphrase in TRESOR_NEW_PASSPHRASE.\n\n\
    Examples:\n  \
    tresor store key add --store /backup/a --key-file a.key --new-key-file b.key --label bob\n  \
    tresor store key remove --store /backup/a --key-file a.key SLOT\n\n\
    The ids of contents depend on the domain's keys, which never change: whoever once had a key \
    can tell whether a known content is in a copy of the store that he has.")]
pub(super) struct KeyArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List the key slots
    List(Place),
    /// Let another key open the store
    Add(AddArgs),
    /// Take away a key slot
    Remove(RemoveArgs),
    /// Replace the key that the store is opened with by another one
    Change(ChangeArgs),
    /// Make a new recovery key, shown once; the old one no longer opens the store
    Recovery(Place),
    /// Draw a new store key, so that what a removed slot's holder kept opens nothing any more.
    /// Slots that the given keys do not open must be dropped
    Rotate(RotateArgs),
    /// Encrypt what is written from now on under a new key; what is there is not touched
    Epoch(Place),
    /// Make damaged copies of the key slots whole again, from a good one
    Repair(Place),
    /// Delete all key slots, for ever: nobody can read the store again
    Erase(EraseArgs),
}

#[derive(Args)]
struct AddArgs {
    #[command(flatten)]
    place: Place,
    /// File with the new key; it is made if it is not there
    #[arg(long, value_name = "FILE")]
    new_key_file: Option<PathBuf>,
    /// What the slot is called in lists
    #[arg(long, default_value = "")]
    label: String,
}

#[derive(Args)]
struct RemoveArgs {
    #[command(flatten)]
    place: Place,
    /// Slot to take away
    slot: Uuid,
}

#[derive(Args)]
struct ChangeArgs {
    #[command(flatten)]
    place: Place,
    /// File with the new key; it is made if it is not there
    #[arg(long, value_name = "FILE")]
    new_key_file: Option<PathBuf>,
    /// The slot of the old key
    #[arg(long, value_name = "SLOT")]
    old: Uuid,
}

#[derive(Args)]
struct RotateArgs {
    #[command(flatten)]
    place: Place,
    /// Another key file whose slot stays; may be given several times. The passphrase in
    /// TRESOR_PASSPHRASE and the recovery key in TRESOR_RECOVERY_KEY count too
    #[arg(long = "also", value_name = "FILE")]
    also: Vec<PathBuf>,
    /// A slot that goes; may be given several times
    #[arg(long = "drop", value_name = "SLOT")]
    drop: Vec<Uuid>,
}

#[derive(Args)]
struct EraseArgs {
    #[command(flatten)]
    place: Place,
    /// The store's id, as `inspect` tells it
    #[arg(long, value_name = "STORE")]
    confirm: Uuid,
}

#[derive(Serialize)]
struct Slot {
    slot: Uuid,
    kind: String,
    created: String,
    label: String,
}

impl Slot {
    fn of(info: SlotInfo) -> Slot {
        Slot {
            slot: info.id,
            kind: info.kind.to_string(),
            created: format!("{:.0}", info.created),
            label: info.label,
        }
    }
}

#[derive(Serialize)]
struct Slots {
    slots: Vec<Slot>,
}

impl Report for Slots {
    fn text(&self) -> String {
        let line = |slot: &Slot| {
            format!("{}  {:<12}  {}  {}", slot.slot, slot.kind, slot.created, slot.label)
        };
        self.slots.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// A change in one word.
#[derive(Serialize)]
struct Done {
    store: String,
    done: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    slot: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_key: Option<String>,
}

impl Report for Done {
    fn text(&self) -> String {
        let mut text = self.done.to_owned();
        if let Some(slot) = self.slot {
            text.push_str(&format!(": slot {slot}"));
        }
        if let Some(epoch) = self.epoch {
            text.push_str(&format!(": epoch {epoch}"));
        }
        if let Some(key) = &self.recovery_key {
            text.push_str(&format!(" (shown only now; keep it somewhere else):\n  {key}"));
        }
        text
    }
}

impl Done {
    fn of(store: &Store, done: &'static str) -> Done {
        let store = store.id().to_string();
        Done { store, done, slot: None, epoch: None, recovery_key: None }
    }
}

/// Runs one action.
pub(super) fn run(session: &Session, args: &KeyArgs) -> Result<()> {
    match &args.action {
        Action::List(place) => {
            let slots = session.open(place)?.slots()?;
            Slots { slots: slots.into_iter().map(Slot::of).collect() }.print(place.json)
        }
        Action::Add(args) => add(session, args),
        Action::Remove(args) => {
            let store = session.open(&args.place)?;
            remove(&store, args.slot)?;
            let done = Done { slot: Some(args.slot), ..Done::of(&store, "removed") };
            note("note: `tresor store key rotate` also shuts out a holder who kept keys");
            done.print(args.place.json)
        }
        Action::Change(args) => change(session, args),
        Action::Recovery(place) => {
            let store = session.open(place)?;
            let show = |key: &RecoveryKey| {
                let done = Done::of(&store, "new recovery key");
                let done = Done { recovery_key: Some(key.to_string()), ..done };
                done.print(place.json).map_err(|e| {
                    let e: Box<dyn std::error::Error + Send + Sync> = e.into();
                    Error::new(ErrorKind::Sink, "the new key cannot be shown").because(e)
                })
            };
            store.new_recovery_key(show).context("no new recovery key was made")
        }
        Action::Rotate(args) => rotate(session, args),
        Action::Epoch(place) => {
            let store = session.open(place)?;
            let epoch = Some(store.new_epoch()?);
            Done { epoch, ..Done::of(&store, "new objects have a new key") }.print(place.json)
        }
        Action::Repair(place) => {
            let store = session.open(place)?;
            let repaired = store.repair_slots()?;
            let done = if repaired { "repaired" } else { "all copies are whole" };
            Done::of(&store, done).print(place.json)
        }
        Action::Erase(args) => erase(session, args),
    }
}

fn add(session: &Session, args: &AddArgs) -> Result<()> {
    let store = session.open(&args.place)?;
    let secret = new_secret(session, args.new_key_file.as_deref())?;
    let slot = store.add_slot(&secret, &args.label).context("no slot was added")?;
    Done { slot: Some(slot.id), ..Done::of(&store, "added") }.print(args.place.json)
}

fn new_secret(session: &Session, file: Option<&Path>) -> Result<Secret> {
    key::new_one(file, &session.env)
}

fn remove(store: &Store, slot: Uuid) -> Result<()> {
    if !store.slots()?.iter().any(|info| info.id == slot) {
        return Err(Usage::error(format!("the store has no key slot {slot}")));
    }
    store.remove_slot(slot).with_context(|| format!("slot {slot}"))
}

fn change(session: &Session, args: &ChangeArgs) -> Result<()> {
    let store = session.open(&args.place)?;
    if !store.slots()?.iter().any(|info| info.id == args.old) {
        return Err(Usage::error(format!("the store has no key slot {}", args.old)));
    }
    let secret = new_secret(session, args.new_key_file.as_deref())?;
    let label = store.slots()?.into_iter().find(|info| info.id == args.old);
    let label = label.map(|info| info.label).unwrap_or_default();
    let slot = store.add_slot(&secret, &label).context("nothing was changed")?;
    store
        .remove_slot(args.old)
        .context("the new key opens the store, and the old one still does")?;
    Done { slot: Some(slot.id), ..Done::of(&store, "changed") }.print(args.place.json)
}

fn rotate(session: &Session, args: &RotateArgs) -> Result<()> {
    let store = session.open(&args.place)?;
    let mut secrets = key::all_given(args.place.key_file.as_deref())?;
    for file in &args.also {
        secrets.push(key::existing(Some(file))?);
    }
    let slots = store.rotate(&secrets, &args.drop).context("nothing was changed")?;
    Slots { slots: slots.into_iter().map(Slot::of).collect() }.print(args.place.json)
}

fn erase(session: &Session, args: &EraseArgs) -> Result<()> {
    let store = session.open(&args.place)?;
    if args.confirm != store.id() {
        let text = format!("--confirm is not the id of this store, which is {}", store.id());
        return Err(Usage::error(text));
    }
    let done = Done::of(&store, "erased: nobody can read the store again");
    store.erase(args.confirm).context("the key slots could not all be deleted; try again")?;
    done.print(args.place.json)
}
