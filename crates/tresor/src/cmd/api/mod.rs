//! The commands that are a client of the API: of a service here or anywhere.
//!
//! Words and flags are those of `az`. Every command does what its requests say and nothing behind
//! the API's back, so whoever may do it here may do it with any other client too.

mod account;
mod backup;
mod consent;
mod disk;
mod group;
mod instance;
mod job;
mod names;
mod output;
mod point;
mod policy;
mod principal;
mod profile;
mod restore;
mod role;
mod session;
mod setup;
mod snapshot;
mod tags;
mod vault;

use anyhow::Result;
use clap::Subcommand;

/// The nouns of the API.
#[derive(Subcommand)]
pub(crate) enum ApiCommand {
    /// Sign in to a service and keep that for later commands
    Login(account::LoginArgs),
    /// Forget the kept sign-in
    Logout,
    /// Tell who is signed in, and where
    Account(account::AccountArgs),
    /// Resource groups
    Group(group::GroupArgs),
    /// Disks, and the bytes in them
    Disk(disk::DiskArgs),
    /// Snapshots of disks
    Snapshot(snapshot::SnapshotArgs),
    /// Backup vaults
    Vault(vault::VaultArgs),
    /// Backup policies: how often, and for how long
    Policy(policy::PolicyArgs),
    /// Backup instances: the protection of disks
    Instance(instance::InstanceArgs),
    /// Recovery points
    Point(point::PointArgs),
    /// Back up a protected disk now
    Backup(backup::BackupCommand),
    /// Restore a recovery point to a new disk
    Restore(restore::RestoreArgs),
    /// Jobs: backups and restores, running and done
    Job(job::JobArgs),
    /// Who may do what, and where
    Role(role::RoleArgs),
    /// Service principals: who can sign in
    Principal(principal::PrincipalArgs),
    /// Print, or check, the exact steps that point another tool at the service
    Setup(setup::SetupArgs),
}

/// Runs one command.
pub(crate) fn run(command: ApiCommand) -> Result<()> {
    let runtime = crate::serve::runtime()?;
    runtime.block_on(async {
        match command {
            ApiCommand::Login(args) => account::login(args).await,
            ApiCommand::Logout => account::logout(),
            ApiCommand::Account(args) => account::run(&args),
            ApiCommand::Group(args) => group::run(args).await,
            ApiCommand::Disk(args) => disk::run(args).await,
            ApiCommand::Snapshot(args) => snapshot::run(args).await,
            ApiCommand::Vault(args) => vault::run(args).await,
            ApiCommand::Policy(args) => policy::run(args).await,
            ApiCommand::Instance(args) => instance::run(args).await,
            ApiCommand::Point(args) => point::run(args).await,
            ApiCommand::Backup(args) => backup::run(args).await,
            ApiCommand::Restore(args) => restore::run(args).await,
            ApiCommand::Job(args) => job::run(args).await,
            ApiCommand::Role(args) => role::run(args).await,
            ApiCommand::Principal(args) => principal::run(args).await,
            ApiCommand::Setup(args) => setup::run(args).await,
        }
    })
}
