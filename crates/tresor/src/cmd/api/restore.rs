//! `tresor restore`: a recovery point becomes a new disk.

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::backup;
use super::instance::Instance;
use super::names::DISKS;
use super::output::Shown;
use super::point::Point;
use super::session::{Session, Waiting};
use crate::client::{Api, body};

#[derive(Args)]
pub(crate) struct RestoreArgs {
    #[command(flatten)]
    shown: Shown,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Check whether a restore could be done, and change nothing
    #[command(after_help = HELP)]
    Validate(Target),
    /// Restore to a new disk
    #[command(after_help = HELP)]
    Start {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        waiting: Waiting,
    },
}

const HELP: &str = "Examples:\n  \
    tresor restore start -g rg-1 --vault-name v-1 -n disk-1 --target-resource-group rg-2 \\\n    \
    --target-disk-name back-1\n  \
    tresor restore validate -g rg-1 --vault-name v-1 -n disk-1 --recovery-point-id 0a1b... \\\n    \
    --target-disk-name /subscriptions/.../disks/back-1\n\n\
    The vault's identity needs the role Disk Restore Operator at the target group:\n\
    `tresor role grant-vault --target-resource-group`. An existing disk is never written over.";

#[derive(Args)]
struct Target {
    #[command(flatten)]
    at: Instance,
    #[command(flatten)]
    point: Point,
    /// Resource group of the new disk [default: that of the vault]
    #[arg(long, value_name = "GROUP")]
    target_resource_group: Option<String>,
    /// Name of the new disk, or its whole id
    #[arg(long, value_name = "NAME|ID", visible_alias = "target-resource-id")]
    target_disk_name: String,
    /// Location of the new disk [default: that of the vault]
    #[arg(long, value_name = "LOCATION")]
    restore_location: Option<String>,
}

impl Target {
    /// The instance's id and the restore as it is sent.
    async fn request(&self, session: &Session) -> Result<(String, Value)> {
        let instance = self.at.id(session).await?;
        let point = self.point.name(session, &instance).await?;
        let group = self.target_resource_group.as_deref().or(self.at.vault.group());
        let disk = session.id(group, DISKS, &self.target_disk_name).await?;
        let location = match &self.restore_location {
            Some(location) => location.clone(),
            None => {
                let vault = instance.split("/backupInstances/").next().unwrap_or_default();
                session.location_of(vault, Api::Protection).await?
            }
        };
        Ok((instance, body::restore(&point, &disk, &location)))
    }
}

pub(super) async fn run(args: RestoreArgs) -> Result<()> {
    let session = Session::open(args.shown.output)?;
    match args.action {
        Action::Validate(target) => {
            let (instance, request) = target.request(&session).await?;
            let answer = validate(&session, &instance, &request).await?;
            session.format.answer(&answer, "the restore can be done")
        }
        Action::Start { target, waiting } => {
            let (instance, request) = target.request(&session).await?;
            let path = format!("{instance}/restore");
            backup::begin(&session, &path, &request, "restore", waiting.no_wait).await
        }
    }
}

async fn validate(session: &Session, instance: &str, request: &Value) -> Result<Value> {
    let path = format!("{instance}/validateRestore");
    let wrapped = json!({"restoreRequestObject": request});
    session.client.post(&path, Api::Protection, &wrapped).await
}
