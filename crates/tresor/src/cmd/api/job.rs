//! `tresor job`: backups and restores, running and done.

use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::names::InVault;
use super::output::{Column, Shown};
use super::session::Session;
use crate::client::{Api, PATIENCE};

#[derive(Args)]
pub(crate) struct JobArgs {
    #[command(flatten)]
    shown: Shown,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List the jobs of a vault, the newest first
    #[command(after_help = "Examples:\n  tresor job list -g rg-1 --vault-name v-1\n  \
        tresor job list -g rg-1 --vault-name v-1 -o json | jq '.[].properties.status'")]
    List(InVault),
    /// Show a job
    #[command(after_help = "Examples:\n  tresor job show -g rg-1 --vault-name v-1 -n 1f3c...\n  \
        tresor job show -n /subscriptions/.../backupJobs/1f3c... -o json")]
    Show(Job),
    /// Wait until a job has ended; a job that failed makes this fail
    #[command(after_help = "Examples:\n  \
        tresor job wait -n \"$(tresor backup ... --no-wait -o tsv)\"\n  \
        tresor job wait -g rg-1 --vault-name v-1 -n 1f3c... --timeout 600")]
    Wait {
        #[command(flatten)]
        job: Job,
        /// Give up waiting after so long; the job goes on
        #[arg(long, value_name = "SECONDS")]
        timeout: Option<u64>,
    },
}

#[derive(Args)]
struct Job {
    #[command(flatten)]
    vault: InVault,
    /// Id of the job, or its whole resource id (then no vault is needed)
    #[arg(short, long, value_name = "JOB", visible_alias = "job-id")]
    name: String,
}

pub(super) const COLUMNS: &[Column] = &[
    Column::at("Name", "/name"),
    Column::at("Operation", "/properties/operation"),
    Column::at("Status", "/properties/status"),
    Column::at("Disk", "/properties/dataSourceName"),
    Column::time("Started", "/properties/startTime"),
    Column::at("Duration", "/properties/duration"),
    Column::at("Policy", "/properties/policyName").wide(),
    Column::time("Ended", "/properties/endTime").wide(),
    Column::at("Point", "/properties/extendedInfo/targetRecoverPoint/recoveryPointID").wide(),
    Column::at("From", "/properties/extendedInfo/sourceRecoverPoint/recoveryPointID").wide(),
    Column::at("To", "/properties/extendedInfo/recoveryDestination").wide(),
    Column::pairs("Figures", "/properties/extendedInfo/additionalDetails").wide(),
    Column::at("Error", "/properties/errorDetails/0/message").wide(),
    Column::at("Instance", "/properties/backupInstanceId").wide(),
    Column::at("Id", "/id").wide(),
];

pub(super) async fn run(args: JobArgs) -> Result<()> {
    let session = Session::open(args.shown.output)?;
    match args.action {
        Action::List(vault) => {
            let path = format!("{}/backupJobs", vault.id(&session).await?);
            session.print_list(COLUMNS, &path, Api::Protection, &[]).await
        }
        Action::Show(job) => {
            let id = job.vault.child(&session, "backupJobs", &job.name).await?;
            session.print_one(COLUMNS, &id, Api::Protection).await
        }
        Action::Wait { job, timeout } => {
            let id = job.vault.child(&session, "backupJobs", &job.name).await?;
            let most = timeout.map_or(PATIENCE, Duration::from_secs);
            let job = session.client.follow("waiting for the job", &id, most).await?;
            session.format.one(COLUMNS, &job)
        }
    }
}
