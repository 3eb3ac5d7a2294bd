//! `tresor policy`: how often disks are backed up, and for how long backups are kept.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::consent::Consent;
use super::names::InVault;
use super::output::{Column, Format, Shown};
use super::session::Session;
use crate::client::policy::Plan;
use crate::client::{Api, text};
use crate::usage::Usage;

#[derive(Args)]
pub(crate) struct PolicyArgs {
    #[command(flatten)]
    shown: Shown,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a policy, from flags or from a file
    Create(Box<CreateArgs>),
    /// Show a policy
    #[command(after_help = "Examples:\n  tresor policy show -g rg-1 --vault-name v-1 -n p-1\n  \
        tresor policy show -g rg-1 --vault-name v-1 -n p-1 -o json > policy.json")]
    Show(Named),
    /// List the policies of a vault
    #[command(after_help = "Examples:\n  tresor policy list -g rg-1 --vault-name v-1\n  \
        tresor policy list --vault-name /subscriptions/.../backupVaults/v-1 -o json")]
    List(InVault),
    /// Delete a policy that nothing uses
    #[command(after_help = "Examples:\n  tresor policy delete -g rg-1 --vault-name v-1 -n p-1\n  \
        tresor policy delete -g rg-1 --vault-name v-1 -n p-1 --yes")]
    Delete {
        #[command(flatten)]
        at: Named,
        #[command(flatten)]
        consent: Consent,
    },
}

#[derive(Args)]
struct Named {
    #[command(flatten)]
    vault: InVault,
    /// Policy
    #[arg(short, long, visible_alias = "policy-name")]
    name: String,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tresor policy create -g rg-1 --vault-name v-1 -n p-1 --every 4h --keep 7d\n  \
    tresor policy create -g rg-1 --vault-name v-1 -n p-2 --every P1D --keep P7D --weekly P12W\n\n\
    Spans are ISO 8601 (PT4H, P7D, P12W, P6M, P1Y) or short: 4h, 7d, 12w.")]
struct CreateArgs {
    #[command(flatten)]
    at: Named,
    /// The whole policy as JSON, `-` for standard input: the body that the API takes
    #[arg(long, value_name = "FILE", visible_alias = "policy")]
    #[arg(conflicts_with_all = ["every", "start", "time_zone", "keep", "daily", "weekly",
          "monthly", "yearly"], required_unless_present_any = ["every"])]
    file: Option<PathBuf>,
    /// Time between two backups: PT1H, PT2H, PT4H, PT6H, PT8H, PT12H or P1D
    #[arg(long, value_name = "SPAN", value_parser = span, requires = "keep")]
    every: Option<String>,
    /// When the first backup is, as 2026-01-01T13:00:00+00:00
    #[arg(long, value_name = "TIME", value_parser = start, default_value = START)]
    start: String,
    /// Windows name of the time zone in which days and weeks are counted
    #[arg(long, value_name = "NAME")]
    time_zone: Option<String>,
    /// How long a backup is kept
    #[arg(long, value_name = "SPAN", value_parser = span)]
    keep: Option<String>,
    /// How long the first backup of a day is kept
    #[arg(long, value_name = "SPAN", value_parser = span)]
    daily: Option<String>,
    /// How long the first backup of a week is kept
    #[arg(long, value_name = "SPAN", value_parser = span)]
    weekly: Option<String>,
    /// How long the first backup of a month is kept
    #[arg(long, value_name = "SPAN", value_parser = span)]
    monthly: Option<String>,
    /// How long the first backup of a year is kept
    #[arg(long, value_name = "SPAN", value_parser = span)]
    yearly: Option<String>,
}

/// When a schedule begins that nobody says a time for: midnight.
const START: &str = "2026-01-01T00:00:00+00:00";

/// A span of time: ISO 8601 as it is, `4h`, `7d`, `12w` made into it.
fn span(text: &str) -> Result<String, String> {
    let upper = text.to_ascii_uppercase();
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(hours) = upper.strip_suffix('H').filter(|rest| digits(rest)) {
        return Ok(format!("PT{hours}H"));
    }
    let short = upper.strip_suffix(['D', 'W', 'Y']).is_some_and(digits);
    if short {
        return Ok(format!("P{upper}"));
    }
    let body = upper.strip_prefix('P').unwrap_or_default();
    let iso = body.bytes().all(|byte| byte.is_ascii_digit() || b"YMWDTHS".contains(&byte));
    if body.is_empty() || !iso {
        return Err("a span is such as PT4H, P7D or P12W, or 4h, 7d, 12w".to_owned());
    }
    Ok(upper)
}

/// A time with its offset, which is what schedules begin with.
fn start(text: &str) -> Result<String, String> {
    let wrong = |_| "a time is such as 2026-01-01T13:00:00+00:00".to_owned();
    text.parse::<jiff::Timestamp>().map_err(wrong)?;
    Ok(text.to_owned())
}

const COLUMNS: &[Column] = &[
    Column::at("Name", "/name"),
    Column::at("Schedule", "/shown/schedule"),
    Column::at("Retention", "/shown/retention"),
    Column::at("TimeZone", "/shown/timeZone").wide(),
    Column::at("Id", "/id").wide(),
];

pub(super) async fn run(args: PolicyArgs) -> Result<()> {
    let session = Session::open(args.shown.output)?;
    match args.action {
        Action::Create(args) => {
            let id = args.at.vault.child(&session, "backupPolicies", &args.at.name).await?;
            let body = args.body()?;
            let made = session.client.put(&id, Api::Protection, &body).await?;
            session.format.one(COLUMNS, &shown(&session, made))
        }
        Action::Show(at) => {
            let id = at.vault.child(&session, "backupPolicies", &at.name).await?;
            let found = session.client.get(&id, Api::Protection).await?;
            session.format.one(COLUMNS, &shown(&session, found))
        }
        Action::List(vault) => {
            let path = format!("{}/backupPolicies", vault.id(&session).await?);
            let rows = session.client.list(&path, Api::Protection, &[]).await?;
            let rows: Vec<Value> = rows.into_iter().map(|row| shown(&session, row)).collect();
            session.rows(COLUMNS, &rows)
        }
        Action::Delete { at, consent } => {
            let id = at.vault.child(&session, "backupPolicies", &at.name).await?;
            session.remove((&id, Api::Protection), "policy", &consent, false).await
        }
    }
}

impl CreateArgs {
    fn body(&self) -> Result<Value> {
        if let Some(file) = &self.file {
            return read(file);
        }
        let longer = [&self.daily, &self.weekly, &self.monthly, &self.yearly];
        let plan = Plan {
            every: self.every.clone().unwrap_or_default(),
            start: self.start.clone(),
            time_zone: self.time_zone.clone(),
            keep: self.keep.clone().unwrap_or_default(),
            longer: longer.map(Clone::clone),
        };
        Ok(plan.body())
    }
}

/// The policy in a file: a whole resource, or only its properties.
fn read(file: &Path) -> Result<Value> {
    let unreadable = || Usage(format!("cannot read a policy from {}", file.display()));
    let text = match file.as_os_str() == "-" {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(file),
    };
    let found: Value =
        serde_json::from_str(&text.with_context(unreadable)?).with_context(unreadable)?;
    Ok(match found.get("properties") {
        Some(properties) => json!({"properties": properties}),
        None => json!({"properties": found}),
    })
}

/// A policy with its rules in short words beside it, for tables; JSON stays as it is.
fn shown(session: &Session, mut policy: Value) -> Value {
    if session.format == Format::Json {
        return policy;
    }
    let rules = policy.pointer("/properties/policyRules").and_then(Value::as_array);
    let rules = rules.map(Vec::as_slice).unwrap_or_default();
    let is = |rule: &&Value, kind: &str| text(rule, "/objectType") == Some(kind);
    let backup = rules.iter().find(|rule| is(rule, "AzureBackupRule"));
    let schedule = backup.and_then(|rule| rule.pointer("/trigger/schedule"));
    let words = json!({
        "schedule": schedule.and_then(|schedule| schedule.get("repeatingTimeIntervals")),
        "timeZone": schedule.and_then(|schedule| schedule.get("timeZone")),
        "retention": rules
            .iter()
            .filter(|rule| is(rule, "AzureRetentionRule"))
            .map(|rule| {
                let keep = text(rule, "/lifecycles/0/deleteAfter/duration").unwrap_or_default();
                format!("{} {keep}", text(rule, "/name").unwrap_or_default())
            })
            .collect::<Vec<_>>(),
    });
    if let Some(policy) = policy.as_object_mut() {
        policy.insert("shown".to_owned(), words);
    }
    policy
}

/// The name of the rule by which an instance's policy backs up.
pub(super) async fn rule_of(session: &Session, instance: &Value) -> Result<String> {
    let policy = text(instance, "/properties/policyInfo/policyId");
    let policy = policy.context("the backup instance names no policy")?;
    let policy = session.client.get(policy, Api::Protection).await?;
    let rule = crate::client::policy::rule_of(&policy);
    Ok(rule.context("the policy has no backup rule")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_can_be_short() {
        for (text, iso) in [
            ("4h", "PT4H"),
            ("PT4H", "PT4H"),
            ("pt12h", "PT12H"),
            ("7d", "P7D"),
            ("12W", "P12W"),
            ("1y", "P1Y"),
            ("P1Y6M", "P1Y6M"),
        ] {
            assert_eq!(span(text).as_deref(), Ok(iso), "{text}");
        }
        // An m may be a month or a minute, so it has no short form.
        for bad in ["", "h", "P", "7", "6m", "P 7D", "7 days", "P7D;"] {
            assert!(span(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_has_its_offset() {
        assert!(start("2026-01-01T13:00:00+00:00").is_ok());
        assert!(start("2026-01-01T13:00:00Z").is_ok());
        for bad in ["", "13:00", "2026-01-01", "2026-01-01T13:00:00"] {
            assert!(start(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_file_may_hold_the_resource_or_its_properties() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("p.json");
        for text in [r#"{"id": "x", "properties": {"a": 1}}"#, r#"{"a": 1}"#] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(read(&file).unwrap(), json!({"properties": {"a": 1}}));
        }
        std::fs::write(&file, "{").unwrap();
        assert!(Usage::is_in(&read(&file).unwrap_err()));
    }
}
