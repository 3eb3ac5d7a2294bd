//! `tresor point`: recovery points.

use anyhow::{Result, anyhow};
use clap::{Args, Subcommand};

use super::instance::Instance;
use super::names::{checked, whole};
use super::output::{Column, Shown};
use super::session::Session;
use crate::client::refusal::Refusal;
use crate::client::{Api, last, text};

#[derive(Args)]
pub(crate) struct PointArgs {
    #[command(flatten)]
    shown: Shown,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List the recovery points of an instance, the newest first
    #[command(after_help = "Examples:\n  tresor point list -g rg-1 --vault-name v-1 -n disk-1\n  \
        tresor point list -g rg-1 --vault-name v-1 -n disk-1 --start 2026-01-01T00:00:00Z -o tsv")]
    List {
        #[command(flatten)]
        at: Instance,
        /// Only those of this time or later
        #[arg(long, value_name = "TIME", visible_alias = "start-time")]
        start: Option<jiff::Timestamp>,
        /// Only those of this time or earlier
        #[arg(long, value_name = "TIME", visible_alias = "end-time")]
        end: Option<jiff::Timestamp>,
    },
    /// Show a recovery point
    #[command(after_help = "Examples:\n  \
        tresor point show -g rg-1 --vault-name v-1 -n disk-1 --recovery-point-id latest\n  \
        tresor point show -g rg-1 --vault-name v-1 -n disk-1 --recovery-point-id 0a1b... -o json")]
    Show {
        #[command(flatten)]
        at: Instance,
        #[command(flatten)]
        point: Point,
    },
}

/// A recovery point of an instance.
#[derive(Args)]
pub(super) struct Point {
    /// Id of the recovery point, or `latest`
    #[arg(long, value_name = "POINT", default_value = "latest", visible_alias = "rp")]
    recovery_point_id: String,
}

impl Point {
    /// Its name.
    pub(super) async fn name(&self, session: &Session, instance: &str) -> Result<String> {
        if self.recovery_point_id.starts_with('/') {
            return Ok(last(&whole(&self.recovery_point_id)?).to_owned());
        }
        if self.recovery_point_id != "latest" {
            return Ok(checked(&self.recovery_point_id)?.to_owned());
        }
        let path = format!("{instance}/recoveryPoints");
        let all = session.client.list(&path, Api::Protection, &[]).await?;
        let newest = all.iter().max_by_key(|row| text(row, "/properties/recoveryPointTime"));
        let name = newest.and_then(|row| text(row, "/name")).map(str::to_owned);
        name.ok_or_else(|| {
            let none = Refusal::new(404, "NoRecoveryPoint", "the instance has none yet");
            anyhow!(none)
        })
    }
}

const COLUMNS: &[Column] = &[
    Column::at("Name", "/name"),
    Column::time("Time", "/properties/recoveryPointTime"),
    Column::at("Tag", "/properties/retentionTagName"),
    Column::time("Expires", "/properties/expiryTime"),
    Column::at("Policy", "/properties/policyName").wide(),
    Column::at("State", "/properties/recoveryPointState").wide(),
    Column::at("Snapshot", "/properties/friendlyName").wide(),
    Column::at("Id", "/id").wide(),
];

pub(super) async fn run(args: PointArgs) -> Result<()> {
    let session = Session::open(args.shown.output)?;
    match args.action {
        Action::List { at, start, end } => {
            let path = format!("{}/recoveryPoints", at.id(&session).await?);
            let bounds = [("startDate", start), ("endDate", end)];
            let terms: Vec<String> = bounds
                .into_iter()
                .filter_map(|(name, time)| Some(format!("{name} eq '{}'", time?)))
                .collect();
            let filter = terms.join(" and ");
            let query: &[(&str, &str)] = &[("$filter", &filter)];
            let query = if filter.is_empty() { &[] } else { query };
            session.print_list(COLUMNS, &path, Api::Protection, query).await
        }
        Action::Show { at, point } => {
            let instance = at.id(&session).await?;
            let name = point.name(&session, &instance).await?;
            let id = format!("{instance}/recoveryPoints/{name}");
            session.print_one(COLUMNS, &id, Api::Protection).await
        }
    }
}
