//! The journey: a disk is uploaded, protected, changed, protected again, restored and compared.
//!
//! Everything goes through the service's own HTTPS API, in the order in which a person would do it
//! by hand with `az`. Each step leaves one row of numbers; the first step that fails ends it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tresor_store::env::Env;

use super::image::Image;
use super::summary::Row;
use crate::client::blob::Access;
use crate::client::job::{self, Figures};
use crate::client::policy::Plan;
use crate::client::transfer::{self, Digests, IN_FLIGHT, Source, Zeros};
use crate::client::{Api, Client, PATIENCE, body, text};
use crate::terminal::{Progress, note, size};

/// Where the demo's disk is said to be.
const LOCATION: &str = "westus";
/// The rule of the demo's policy by which its backups are asked for.
const RULE: &str = "BackupHourly";
/// How long one access to a disk's bytes may last, in seconds.
const GRANTED: u32 = 86_400;

/// Every four hours, kept for a week.
fn plan() -> Plan {
    Plan {
        every: "PT4H".to_owned(),
        start: "2026-01-01T13:00:00+00:00".to_owned(),
        time_zone: None,
        keep: "P7D".to_owned(),
        longer: [None, None, None, None],
    }
}

/// The ids of what the demo makes.
struct Names {
    group: String,
    snapshots: String,
    target: String,
    disk: String,
    restored: String,
    vault: String,
    policy: String,
    instance: String,
}

impl Names {
    /// Names of their own for every run, so that one data folder can be used again.
    fn new(subscription: &str, env: &Env) -> Names {
        let run = env.uuid().simple().to_string();
        let run = format!("demo-{}", run.get(..6).unwrap_or_default());
        let group = |kind: &str| format!("{subscription}/resourceGroups/{run}-{kind}");
        let disk_in = |group: &str, name: &str| {
            format!("{group}/providers/Microsoft.Compute/disks/{run}-{name}")
        };
        let (source, target) = (group("rg"), group("target-rg"));
        let vault = format!("{source}/providers/Microsoft.DataProtection/backupVaults/{run}-vault");
        Names {
            disk: disk_in(&source, "disk"),
            restored: disk_in(&target, "restored"),
            policy: format!("{vault}/backupPolicies/{run}-policy"),
            instance: format!("{vault}/backupInstances/{run}-disk-{}", env.uuid()),
            snapshots: group("snapshots-rg"),
            group: source,
            target,
            vault,
        }
    }
}

/// What the journey found.
pub(super) struct Outcome {
    pub(super) rows: Vec<Row>,
    /// Of the local disk after the change.
    pub(super) local: Digests,
    /// Of the restored disk as it was downloaded.
    pub(super) restored: Digests,
    pub(super) incremental: Incremental,
}

/// What the second backup cost.
pub(super) struct Incremental {
    pub(super) changed: u64,
    pub(super) first: Figures,
    pub(super) second: Figures,
}

/// The journey under way.
pub(super) struct Journey {
    client: Arc<Client>,
    /// The id of the subscription that everything is in.
    subscription: String,
    env: Env,
    names: Names,
    rows: Vec<Row>,
    last: Duration,
}

impl Journey {
    /// A journey with names of its own.
    pub(super) fn new(client: Arc<Client>, subscription: String, env: Env) -> Journey {
        let names = Names::new(&subscription, &env);
        let last = env.monotonic();
        Journey { client, subscription, env, names, rows: Vec::new(), last }
    }

    /// Walks it; the restored disk's bytes are kept at `download`.
    pub(super) async fn walk(mut self, mut image: Image, download: &Path) -> Result<Outcome> {
        self.groups().await?;
        let image_before = Arc::new(image.snapshot()?);
        self.upload(&image_before).await?;
        self.protect().await?;
        let first = self.backup("first backup").await?;
        let ranges = image.change()?;
        let changed = ranges.iter().map(|range| range.end - range.start).sum();
        let image = Arc::new(image);
        self.change(&image, ranges).await?;
        let second = self.backup("second backup").await?;
        let point = self.newest_point().await?;
        self.restore(&point).await?;
        let (local, restored) = self.compare(&image, download).await?;
        let incremental = Incremental { changed, first, second };
        Ok(Outcome { rows: self.rows, local, restored, incremental })
    }

    /// Ends a step: its row gets the time since the step before.
    fn row(&mut self, row: Row) {
        let now = self.env.monotonic();
        let took = now.saturating_sub(self.last);
        self.last = now;
        self.rows.push(Row { took, ..row });
    }

    async fn groups(&mut self) -> Result<()> {
        note("groups ...");
        self.client.sign_in().await?;
        let body = json!({"location": LOCATION});
        for group in [&self.names.group, &self.names.snapshots, &self.names.target] {
            self.client.put(group, Api::Groups, &body).await?;
        }
        let note = "a token and three resource groups".to_owned();
        self.row(Row { step: "sign in, groups", note, ..Row::default() });
        Ok(())
    }

    async fn upload(&mut self, image: &Arc<Image>) -> Result<()> {
        let disk = &self.names.disk;
        let body = body::upload_disk(LOCATION, image.len());
        self.client.put(disk, Api::Compute, &body).await?;
        let sas = self.client.grant(disk, Access::Write, GRANTED).await?;
        let progress = Progress::bytes("uploading the disk", image.len());
        let uploaded =
            transfer::upload(&self.client, &sas, image, Zeros::Skip, IN_FLIGHT, &progress).await?;
        progress.done(format_args!("{} uploaded, zeros skipped", size(uploaded)));
        self.client.revoke(disk).await?;
        let note = format!("of a disk of {}", size(image.len()));
        self.row(Row { step: "upload", bytes: Some(uploaded), note, ..Row::default() });
        Ok(())
    }

    /// Vault, policy, roles, validateForBackup, instance.
    async fn protect(&mut self) -> Result<()> {
        note("vault, policy, roles, instance ...");
        let names = &self.names;
        let protection = Api::Protection;
        let vault = self
            .client
            .put(&names.vault, protection, &body::vault(LOCATION, "LocallyRedundant"))
            .await?;
        let identity = text(&vault, "/identity/principalId");
        let identity = identity.context("the vault has no identity")?.to_owned();
        self.client.put(&names.policy, protection, &plan().body()).await?;
        self.row(Row { step: "vault, policy", ..Row::default() });

        let names = &self.names;
        for (scope, role) in [
            (&names.disk, body::DISK_BACKUP_READER),
            (&names.snapshots, body::DISK_SNAPSHOT_CONTRIBUTOR),
            (&names.target, body::DISK_RESTORE_OPERATOR),
        ] {
            let path = format!(
                "{scope}/providers/Microsoft.Authorization/roleAssignments/{}",
                self.env.uuid()
            );
            let body = body::role(&self.subscription, role, &identity);
            self.client.put(&path, Api::Roles, &body).await?;
        }
        let note = "the vault's identity may read, snapshot and restore".to_owned();
        self.row(Row { step: "role assignments", note, ..Row::default() });

        let names = &self.names;
        let instance = body::instance(&names.disk, LOCATION, &names.policy, &names.snapshots);
        let path = format!("{}/validateForBackup", names.vault);
        let wrapped = json!({"backupInstance": &instance});
        self.client.post(&path, protection, &wrapped).await?;
        self.row(Row { step: "validateForBackup", ..Row::default() });
        let wrapped = json!({"properties": instance});
        self.client.put(&self.names.instance, protection, &wrapped).await?;
        self.client.protected(&self.names.instance).await?;
        self.row(Row { step: "backup instance", ..Row::default() });
        Ok(())
    }

    async fn backup(&mut self, step: &'static str) -> Result<Figures> {
        let path = format!("{}/backup", self.names.instance);
        let result =
            self.client.post(&path, Api::Protection, &body::backup(RULE, Some("Default"))).await?;
        let job = self.follow(step, &result).await?;
        let cost = Figures::of(&job);
        let note = "read from the disk, and what the store grew by".to_owned();
        self.row(Row { step, bytes: cost.read, stored: cost.stored, note, ..Row::default() });
        Ok(cost)
    }

    /// Follows the job that an operation began.
    async fn follow(&self, title: &str, operation: &Value) -> Result<Value> {
        self.client.follow(title, job::id_of(operation)?, PATIENCE).await
    }

    /// Changes the disk through a second write access.
    async fn change(
        &mut self,
        image: &Arc<Image>,
        ranges: Vec<std::ops::Range<u64>>,
    ) -> Result<()> {
        let total: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        let count = ranges.len();
        let sas = self.client.grant(&self.names.disk, Access::Write, GRANTED).await?;
        let progress = Progress::bytes("changing the disk", total);
        transfer::write(&self.client, &sas, image, ranges, &progress).await?;
        progress.done(format_args!("{} in {count} places", size(total)));
        self.client.revoke(&self.names.disk).await?;
        let note = format!("in {count} places, about 1 % of the disk");
        self.row(Row { step: "change", bytes: Some(total), note, ..Row::default() });
        Ok(())
    }

    async fn newest_point(&mut self) -> Result<String> {
        let path = format!("{}/recoveryPoints", self.names.instance);
        let list = self.client.get(&path, Api::Protection).await?;
        let points =
            list.get("value").and_then(Value::as_array).context("no list of recovery points")?;
        ensure!(points.len() == 2, "{} recovery points are listed, not 2", points.len());
        let time = |point: &&Value| {
            text(point, "/properties/recoveryPointTime").unwrap_or_default().to_owned()
        };
        let newest = points.iter().max_by_key(time).context("no recovery point")?;
        let name = text(newest, "/name").context("a recovery point without a name")?.to_owned();
        let note = "2 recovery points; the newer one is restored".to_owned();
        self.row(Row { step: "recovery points", note, ..Row::default() });
        Ok(name)
    }

    async fn restore(&mut self, point: &str) -> Result<()> {
        let request = body::restore(point, &self.names.restored, LOCATION);
        let path = format!("{}/validateRestore", self.names.instance);
        let wrapped = json!({"restoreRequestObject": &request});
        self.client.post(&path, Api::Protection, &wrapped).await?;
        self.row(Row { step: "validateRestore", ..Row::default() });
        let path = format!("{}/restore", self.names.instance);
        let result = self.client.post(&path, Api::Protection, &request).await?;
        self.follow("restore", &result).await?;
        let disk = self.client.get(&self.names.restored, Api::Compute).await?;
        let bytes = disk.pointer("/properties/diskSizeBytes").and_then(Value::as_u64);
        let note = "to a new disk in another resource group".to_owned();
        self.row(Row { step: "restore", bytes, note, ..Row::default() });
        Ok(())
    }

    /// Downloads the restored disk and computes both sides' digests.
    async fn compare(&mut self, image: &Arc<Image>, to: &Path) -> Result<(Digests, Digests)> {
        let sas = self.client.grant(&self.names.restored, Access::Read, GRANTED).await?;
        let progress = Progress::bytes("downloading the restored disk", image.len());
        let restored =
            transfer::download_digested(&self.client, &sas, image.len(), to, &progress).await?;
        progress.done(size(image.len()));
        self.client.revoke(&self.names.restored).await?;
        let note = "every byte of the restored disk".to_owned();
        self.row(Row { step: "download", bytes: Some(image.len()), note, ..Row::default() });
        let local = transfer::digests(image).await?;
        Ok((local, restored))
    }
}
