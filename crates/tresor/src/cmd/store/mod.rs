//! `tresor store`: recovery points without a server and without a database.
//!
//! Everything is in the store's folder or bucket and its key; this command is the way back to the
//! bytes when nothing else is left, and the way in for images that no service looks after.

mod backup;
mod copy;
mod export;
mod failures;
mod gc;
mod holder;
mod image;
mod init;
mod inspect;
mod key;
mod place;
mod points;
mod progress;
mod recover;
mod repair;
mod report;
mod restore;
mod slot;
mod verify;

use anyhow::Result;
use clap::{Args, Subcommand};

use place::{Place, Session};

/// What `tresor store` can be told.
#[derive(Args)]
#[command(after_help = "The store and its key can also be given as TRESOR_STORE, TRESOR_KEY_FILE \
    or TRESOR_PASSPHRASE.\n\n\
    Example:\n  \
    export TRESOR_STORE=/backup/a TRESOR_KEY_FILE=~/a.key\n  \
    tresor store init\n  \
    tresor store backup vm.img\n  \
    tresor store list\n  \
    tresor store restore --point latest restored.img\n\n\
    Exit codes: 0 done, 1 failed, 2 called wrongly, 3 damaged data found, 130 stopped by SIGINT, \
    143 by SIGTERM.")]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a store; prints its recovery key, once
    Init(init::InitArgs),
    /// Keep an image or block device as a new recovery point
    Backup(backup::BackupArgs),
    /// Write a recovery point to a file, a block device or standard output
    Restore(restore::RestoreArgs),
    /// List the recovery points, newest first
    List(Place),
    /// Tell which bytes differ between two recovery points
    Diff(points::DiffArgs),
    /// Describe the store or one recovery point
    Inspect(inspect::InspectArgs),
    /// Write recovery points as images with descriptions
    Export(export::ExportArgs),
    /// Copy recovery points to another store
    Copy(copy::CopyArgs),
    /// Remove recovery points
    Remove(points::RemoveArgs),
    /// Free what no recovery point reaches
    Gc(gc::GcArgs),
    /// Look for damage
    Verify(verify::VerifyArgs),
    /// Mend what can be mended and list what is lost
    Repair(repair::RepairArgs),
    /// List and restore points when only the objects and a key are left
    Recover(recover::RecoverArgs),
    /// List and change the keys that open the store
    Key(slot::KeyArgs),
}

/// Runs one action.
pub(crate) fn run(args: StoreArgs) -> Result<()> {
    let session = Session::new()?;
    let done = act(&session, args.action);
    session.conclude(done)
}

fn act(session: &Session, action: Action) -> Result<()> {
    match action {
        Action::Init(args) => init::run(session, &args),
        Action::Backup(args) => backup::run(session, &args),
        Action::Restore(args) => restore::run(session, &args),
        Action::List(place) => points::list(session, &place),
        Action::Diff(args) => points::diff(session, &args),
        Action::Inspect(args) => inspect::run(session, &args),
        Action::Export(args) => export::run(session, &args),
        Action::Copy(args) => copy::run(session, &args),
        Action::Remove(args) => points::remove(session, &args),
        Action::Gc(args) => gc::run(session, &args),
        Action::Verify(args) => verify::run(session, &args),
        Action::Repair(args) => repair::run(session, &args),
        Action::Recover(args) => recover::run(session, &args),
        Action::Key(args) => slot::run(session, &args),
    }
}
