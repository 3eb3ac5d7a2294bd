//! `tresor instance`: backup instances, the protection of disks.

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::backup::{self, BackupArgs};
use super::consent::Consent;
use super::names::{DISKS, InVault};
use super::output::{Column, Shown};
use super::session::{Session, Waiting};
use crate::client::{Api, body, last, text};
use crate::terminal::note;
use crate::usage::Usage;

#[derive(Args)]
pub(crate) struct InstanceArgs {
    #[command(flatten)]
    shown: Shown,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Check whether a disk can be protected so, and change nothing
    #[command(after_help = PROTECT_HELP)]
    Validate(ProtectArgs),
    /// Protect a disk by a policy
    #[command(visible_alias = "create", after_help = PROTECT_HELP)]
    Protect {
        #[command(flatten)]
        args: ProtectArgs,
        /// Name of the instance [default: made of the disk's name and a random id]
        #[arg(short, long, visible_alias = "backup-instance-name")]
        name: Option<String>,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Show an instance
    #[command(after_help = "Examples:\n  \
        tresor instance show -g rg-1 --vault-name v-1 -n disk-1\n  \
        tresor instance show -g rg-1 --vault-name v-1 -n disk-1 -o json")]
    Show(Instance),
    /// List the instances of a vault
    #[command(after_help = "Examples:\n  tresor instance list -g rg-1 --vault-name v-1\n  \
        tresor instance list -g rg-1 --vault-name v-1 --deleted")]
    List {
        #[command(flatten)]
        vault: InVault,
        /// Those that were deleted and can be had back
        #[arg(long)]
        deleted: bool,
    },
    /// Back up the disk now
    Backup(BackupArgs),
    /// End backups and keep all recovery points for ever
    #[command(after_help = "Examples:\n  \
        tresor instance stop -g rg-1 --vault-name v-1 -n disk-1\n  \
        tresor instance stop -g rg-1 --vault-name v-1 -n disk-1 --no-wait")]
    Stop(Pause),
    /// End backups; recovery points still expire
    #[command(after_help = "Examples:\n  \
        tresor instance suspend -g rg-1 --vault-name v-1 -n disk-1\n  \
        tresor instance suspend -g rg-1 --vault-name v-1 -n disk-1 --no-wait")]
    Suspend(Pause),
    /// Go on with backups after stop or suspend
    #[command(after_help = "Examples:\n  \
        tresor instance resume -g rg-1 --vault-name v-1 -n disk-1\n  \
        tresor instance resume -g rg-1 --vault-name v-1 -n disk-1 --no-wait")]
    Resume(Pause),
    /// Protect by another policy from now on
    #[command(after_help = "Examples:\n  \
        tresor instance update-policy -g rg-1 --vault-name v-1 -n disk-1 --policy-name p-2\n  \
        tresor instance update-policy -n /subscriptions/.../backupInstances/i --policy-name p-2")]
    UpdatePolicy {
        #[command(flatten)]
        at: Instance,
        /// The other policy, of the same vault
        #[arg(long, value_name = "POLICY", visible_alias = "policy-id")]
        policy_name: String,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Delete an instance and its recovery points; see the vault's soft delete
    #[command(after_help = "Examples:\n  \
        tresor instance delete -g rg-1 --vault-name v-1 -n disk-1\n  \
        tresor instance delete -g rg-1 --vault-name v-1 -n disk-1 --yes --no-wait")]
    Delete {
        #[command(flatten)]
        at: Instance,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Have a deleted instance back; it is stopped until it is resumed
    #[command(after_help = "Examples:\n  \
        tresor instance undelete -g rg-1 --vault-name v-1 -n disk-1-disk-1-1f3c...\n  \
        tresor instance list -g rg-1 --vault-name v-1 --deleted -o tsv")]
    Undelete {
        #[command(flatten)]
        vault: InVault,
        /// Its whole name
        #[arg(short, long, visible_alias = "backup-instance-name")]
        name: String,
    },
}

const PROTECT_HELP: &str = "Examples:\n  \
    tresor instance protect -g rg-1 --vault-name v-1 --disk disk-1 --policy-name p-1 \\\n    \
    --snapshot-resource-group rg-snap\n  \
    tresor instance validate -g rg-1 --vault-name v-1 --disk /subscriptions/.../disks/d-1 \\\n    \
    --policy-name p-1 --snapshot-resource-group rg-snap\n\n\
    The vault's identity needs roles at the disk and the group: `tresor role grant-vault`.";

/// A backup instance.
#[derive(Args)]
pub(super) struct Instance {
    #[command(flatten)]
    pub(super) vault: InVault,
    /// Name of the instance, or of its disk where only one instance has such a disk
    #[arg(short, long, value_name = "NAME", visible_alias = "backup-instance-name")]
    pub(super) name: String,
}

#[derive(Args)]
struct Pause {
    #[command(flatten)]
    at: Instance,
    #[command(flatten)]
    waiting: Waiting,
}

#[derive(Args)]
struct ProtectArgs {
    #[command(flatten)]
    vault: InVault,
    /// The disk: a name (see --disk-resource-group) or an id
    #[arg(long, value_name = "NAME|ID", visible_alias = "datasource-id")]
    disk: String,
    /// Resource group of the disk [default: that of the vault]
    #[arg(long, value_name = "GROUP")]
    disk_resource_group: Option<String>,
    /// Policy of the same vault
    #[arg(long, value_name = "POLICY", visible_alias = "policy-id")]
    policy_name: String,
    /// Resource group that its snapshots go to
    #[arg(long, value_name = "GROUP")]
    snapshot_resource_group: String,
}

pub(super) const COLUMNS: &[Column] = &[
    Column::at("Name", "/name"),
    Column::name("Disk", "/properties/dataSourceInfo/resourceID"),
    Column::name("Policy", "/properties/policyInfo/policyId"),
    Column::at("Protection", "/properties/currentProtectionState"),
    Column::at("State", "/properties/provisioningState").wide(),
    Column::at("Error", "/properties/protectionErrorDetails/message").wide(),
    Column::at("DiskId", "/properties/dataSourceInfo/resourceID").wide(),
    Column::time("PurgedAt", "/properties/deletionInfo/scheduledPurgeTime").wide(),
    Column::at("Id", "/id").wide(),
];

pub(super) async fn run(args: InstanceArgs) -> Result<()> {
    let session = Session::open(args.shown.output)?;
    match args.action {
        Action::Validate(args) => {
            let (vault, body, _) = args.body(&session).await?;
            let answer = validate(&session, &vault, &body).await?;
            session.format.answer(&answer, "the disk can be protected so")
        }
        Action::Protect { args, name, waiting } => protect(&session, args, name, waiting).await,
        Action::Show(at) => {
            let found = at.find(&session).await?;
            session.format.one(COLUMNS, &found)
        }
        Action::List { vault, deleted } => {
            let part = if deleted { "deletedBackupInstances" } else { "backupInstances" };
            let path = format!("{}/{part}", vault.id(&session).await?);
            session.print_list(COLUMNS, &path, Api::Protection, &[]).await
        }
        Action::Backup(args) => backup::start(&session, args).await,
        Action::Stop(pause) => transition(&session, pause, "stopProtection").await,
        Action::Suspend(pause) => transition(&session, pause, "suspendBackups").await,
        Action::Resume(pause) => resume(&session, pause).await,
        Action::UpdatePolicy { at, policy_name, waiting } => {
            update_policy(&session, &at, &policy_name, waiting.no_wait).await
        }
        Action::Delete { at, consent, waiting } => {
            let id = at.id(&session).await?;
            let kind = "backup instance";
            session.remove((&id, Api::Protection), kind, &consent, waiting.no_wait).await
        }
        Action::Undelete { vault, name } => {
            let id = vault.child(&session, "deletedBackupInstances", &name).await?;
            session.client.post(&format!("{id}/undelete"), Api::Protection, &json!({})).await?;
            let id = vault.child(&session, "backupInstances", last(&name)).await?;
            session.print_one(COLUMNS, &id, Api::Protection).await
        }
    }
}

impl Instance {
    /// The instance of that name, or the one whose disk has it.
    pub(super) async fn find(&self, session: &Session) -> Result<Value> {
        let id = self.vault.child(session, "backupInstances", &self.name).await?;
        match session.client.get(&id, Api::Protection).await {
            Err(error)
                if crate::client::refusal::not_found(&error) && !self.name.starts_with('/') =>
            {
                let vault = self.vault.id(session).await?;
                let all = format!("{vault}/backupInstances");
                let all = session.client.list(&all, Api::Protection, &[]).await?;
                one_of_disk(all, &self.name)?.ok_or(error)
            }
            found => found,
        }
    }

    /// Its id.
    pub(super) async fn id(&self, session: &Session) -> Result<String> {
        let found = self.find(session).await?;
        Ok(text(&found, "/id").context("the backup instance has no id")?.to_owned())
    }
}

/// The one instance whose disk has this name.
fn one_of_disk(mut all: Vec<Value>, name: &str) -> Result<Option<Value>> {
    all.retain(|row| {
        let disk = text(row, "/properties/dataSourceInfo/resourceID").map(last);
        disk.is_some_and(|disk| disk.eq_ignore_ascii_case(name))
    });
    if all.len() > 1 {
        let names: Vec<&str> = all.iter().filter_map(|row| text(row, "/name")).collect();
        return Err(Usage::error(format!(
            "{} instances have a disk '{name}': name one of {}",
            names.len(),
            names.join(", ")
        )));
    }
    Ok(all.pop())
}

impl ProtectArgs {
    /// The vault's id, the instance as it is sent, and the disk's name.
    async fn body(&self, session: &Session) -> Result<(String, Value, String)> {
        let vault = self.vault.id(session).await?;
        let group = self.disk_resource_group.as_deref().or(self.vault.group());
        let disk = session.id(group, DISKS, &self.disk).await?;
        let location = session.location_of(&disk, Api::Compute).await?;
        let policy = self.vault.child(session, "backupPolicies", &self.policy_name).await?;
        let snapshots = session.group(&self.snapshot_resource_group).await?;
        let body = body::instance(&disk, &location, &policy, &snapshots);
        Ok((vault, body, last(&disk).to_owned()))
    }
}

async fn validate(session: &Session, vault: &str, body: &Value) -> Result<Value> {
    let path = format!("{vault}/validateForBackup");
    session.client.post(&path, Api::Protection, &json!({"backupInstance": body})).await
}

/// Asks first and makes it then, as `az` does: a refusal names every missing right.
async fn protect(
    session: &Session,
    args: ProtectArgs,
    name: Option<String>,
    waiting: Waiting,
) -> Result<()> {
    let (vault, body, disk) = args.body(session).await?;
    validate(session, &vault, &body).await?;
    let name = name.unwrap_or_else(|| format!("{disk}-{disk}-{}", session.client.fresh_id()));
    let id = args.vault.child(session, "backupInstances", &name).await?;
    let body = json!({"properties": body});
    let begun = session.client.begin(Method::PUT, &id, Api::Protection, Some(&body)).await?;
    let found = if waiting.no_wait {
        begun.answer.body
    } else {
        session.client.end(begun).await?;
        session.client.protected(&id).await?
    };
    session.format.one(COLUMNS, &found)
}

async fn transition(session: &Session, pause: Pause, action: &str) -> Result<()> {
    let id = pause.at.id(session).await?;
    act(session, &id, action, pause.waiting.no_wait).await
}

async fn act(session: &Session, id: &str, action: &str, no_wait: bool) -> Result<()> {
    let path = format!("{id}/{action}");
    let begun = session.client.begin(Method::POST, &path, Api::Protection, None).await?;
    if no_wait {
        return Ok(());
    }
    session.client.end(begun).await?;
    session.print_one(COLUMNS, id, Api::Protection).await
}

/// Resumes what is paused: backups that were suspended, or protection that was stopped.
async fn resume(session: &Session, pause: Pause) -> Result<()> {
    let found = pause.at.find(session).await?;
    let id = text(&found, "/id").context("the backup instance has no id")?;
    let action = match text(&found, "/properties/currentProtectionState") {
        Some("BackupsSuspended" | "BackupSchedulesSuspended") => "resumeBackups",
        _ => "resumeProtection",
    };
    act(session, id, action, pause.waiting.no_wait).await
}

async fn update_policy(
    session: &Session,
    at: &Instance,
    policy: &str,
    no_wait: bool,
) -> Result<()> {
    let found = at.find(session).await?;
    let id = text(&found, "/id").context("the backup instance has no id")?;
    let (vault, _) = id.split_once("/backupInstances/").context("the id names no vault")?;
    let policy = match policy.starts_with('/') {
        true => super::names::whole(policy)?,
        false => format!("{vault}/backupPolicies/{}", super::names::checked(policy)?),
    };
    let body = with_policy(&found, &policy)?;
    let path = format!("{id}/validateForModifyBackup");
    let wrapped = json!({"backupInstance": &body});
    session.client.post(&path, Api::Protection, &wrapped).await?;
    let mut whole = json!({"properties": body});
    if let (Some(tags), Some(whole)) = (found.get("tags"), whole.as_object_mut()) {
        whole.insert("tags".to_owned(), tags.clone());
    }
    note(format_args!("policy: {}", last(&policy)));
    session.change(Method::PUT, (id, Api::Protection), &whole, COLUMNS, no_wait).await
}

/// What can be sent of an instance, with another policy.
fn with_policy(instance: &Value, policy: &str) -> Result<Value> {
    const SENT: [&str; 7] = [
        "objectType",
        "friendlyName",
        "dataSourceInfo",
        "dataSourceSetInfo",
        "policyInfo",
        "identityDetails",
        "validationType",
    ];
    let properties = instance.get("properties").and_then(Value::as_object);
    let mut body = properties.context("the backup instance has no properties")?.clone();
    body.retain(|name, _| SENT.contains(&name.as_str()));
    let info = body.get_mut("policyInfo").and_then(Value::as_object_mut);
    let info = info.context("the backup instance has no policyInfo")?;
    info.insert("policyId".to_owned(), policy.into());
    info.remove("policyVersion");
    Ok(Value::Object(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(name: &str, disk: &str) -> Value {
        let source = json!({"resourceID": format!("/d/{disk}")});
        json!({"name": name, "properties": {"dataSourceInfo": source}})
    }

    #[test]
    fn a_disks_name_stands_for_its_one_instance() {
        let all = || vec![instance("i-1", "a"), instance("i-2", "b"), instance("i-3", "B")];
        let found = one_of_disk(all(), "A").unwrap().unwrap();
        assert_eq!(found["name"], "i-1");
        assert_eq!(one_of_disk(all(), "c").unwrap(), None);
        let error = one_of_disk(all(), "b").unwrap_err();
        assert!(Usage::is_in(&error) && error.to_string().contains("i-2, i-3"), "{error}");
    }

    #[test]
    fn another_policy_keeps_the_rest() {
        let found = json!({"properties": {
            "objectType": "BackupInstance",
            "friendlyName": "d",
            "policyInfo": {"policyId": "/p/1", "policyVersion": "", "policyParameters": {"x": 1}},
            "protectionStatus": {"status": "ProtectionConfigured"},
            "provisioningState": "Succeeded",
        }});
        assert_eq!(
            with_policy(&found, "/p/2").unwrap(),
            json!({
                "objectType": "BackupInstance",
                "friendlyName": "d",
                "policyInfo": {"policyId": "/p/2", "policyParameters": {"x": 1}},
            })
        );
        assert!(with_policy(&json!({}), "/p/2").is_err());
    }
}
