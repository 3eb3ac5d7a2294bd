//! `tresor backup`: a backup now.

use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;

use super::instance::Instance;
use super::output::Shown;
use super::session::{Session, Waiting};
use super::{job, policy};
use crate::client::job::id_of;
use crate::client::{Api, PATIENCE, body, text};
use crate::terminal::note;

/// `tresor backup` by itself.
#[derive(Args)]
pub(crate) struct BackupCommand {
    #[command(flatten)]
    shown: Shown,
    #[command(flatten)]
    args: BackupArgs,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  tresor backup -g rg-1 --vault-name v-1 -n disk-1\n  \
    tresor backup -g rg-1 --vault-name v-1 -n disk-1 --no-wait -o json | jq -r .jobId\n\n\
    With --no-wait the job goes on: `tresor job wait -n JOB` waits for it.")]
pub(crate) struct BackupArgs {
    #[command(flatten)]
    at: Instance,
    /// Backup rule of the policy [default: the one that it has]
    #[arg(long, value_name = "RULE")]
    rule_name: Option<String>,
    /// Retention tag of the new point [default: Default]
    #[arg(long, value_name = "TAG")]
    retention_tag_override: Option<String>,
    #[command(flatten)]
    waiting: Waiting,
}

pub(super) async fn run(command: BackupCommand) -> Result<()> {
    let session = Session::open(command.shown.output)?;
    start(&session, command.args).await
}

/// Begins a backup; follows its job unless told otherwise.
pub(super) async fn start(session: &Session, args: BackupArgs) -> Result<()> {
    let instance = args.at.find(session).await?;
    let id = text(&instance, "/id").context("the backup instance has no id")?;
    let rule = match args.rule_name {
        Some(rule) => rule,
        None => policy::rule_of(session, &instance).await?,
    };
    let body = body::backup(&rule, args.retention_tag_override.as_deref());
    begin(session, &format!("{id}/backup"), &body, "backup", args.waiting.no_wait).await
}

/// Begins what has a job, and follows that.
pub(super) async fn begin(
    session: &Session,
    path: &str,
    body: &Value,
    title: &str,
    no_wait: bool,
) -> Result<()> {
    let operation = session.client.post(path, Api::Protection, body).await?;
    let id = id_of(&operation)?;
    if no_wait {
        return session.format.answer(&operation, id);
    }
    note(format_args!("job {}", crate::client::last(id)));
    let job = session.client.follow(title, id, PATIENCE).await?;
    session.format.one(job::COLUMNS, &job)
}
