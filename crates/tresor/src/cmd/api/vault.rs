//! `tresor vault`: backup vaults.

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::consent::Consent;
use super::names::{InGroup, VAULTS};
use super::output::{Column, Shown};
use super::session::{Session, Waiting};
use super::tags::Tags;
use crate::client::{Api, body};

#[derive(Args)]
pub(crate) struct VaultArgs {
    #[command(flatten)]
    shown: Shown,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a vault, with an identity of its own
    #[command(after_help = "Examples:\n  tresor vault create -g rg-1 -n vault-1\n  \
        tresor vault create -g rg-1 -n vault-1 --soft-delete-state Off\n\n\
        Its identity needs roles before it can back up: `tresor role grant-vault`.")]
    Create {
        #[command(flatten)]
        at: InGroup,
        /// Location [default: that of the group]
        #[arg(short, long)]
        location: Option<String>,
        /// Redundancy that is noted at the vault
        #[arg(long, value_enum, ignore_case = true, default_value = "LocallyRedundant")]
        redundancy: Redundancy,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        tags: Tags,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Show a vault
    #[command(after_help = "Examples:\n  tresor vault show -g rg-1 -n vault-1\n  \
        tresor vault show -g rg-1 -n vault-1 -o json | jq -r .identity.principalId")]
    Show(InGroup),
    /// List vaults, of one group or of all
    #[command(after_help = "Examples:\n  tresor vault list\n  tresor vault list -g rg-1 -o json")]
    List {
        /// Resource group [default: all]
        #[arg(short = 'g', long, value_name = "GROUP")]
        resource_group: Option<String>,
    },
    /// Change settings or tags of a vault
    #[command(after_help = "Examples:\n  \
        tresor vault update -g rg-1 -n vault-1 --soft-delete-state On --soft-delete-days 30\n  \
        tresor vault update -g rg-1 -n vault-1 --immutability-state Unlocked")]
    Update {
        #[command(flatten)]
        at: InGroup,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        tags: Tags,
    },
    /// Delete an empty vault
    #[command(after_help = "Examples:\n  tresor vault delete -g rg-1 -n vault-1\n  \
        tresor vault delete -g rg-1 -n vault-1 --yes")]
    Delete {
        #[command(flatten)]
        at: InGroup,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        waiting: Waiting,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Redundancy {
    #[value(name = "LocallyRedundant")]
    Local,
    #[value(name = "ZoneRedundant")]
    Zone,
    #[value(name = "GeoRedundant")]
    Geo,
}

/// Settings of a vault; what is not given stays as it is.
#[derive(Args, Default)]
struct Settings {
    /// Whether deleted backup instances can be had back: Off, On or AlwaysOn
    #[arg(long, value_name = "STATE")]
    soft_delete_state: Option<String>,
    /// For how many days they can
    #[arg(long, value_name = "DAYS", visible_alias = "retention-duration-in-days")]
    soft_delete_days: Option<f64>,
    /// Whether points can be deleted before they expire: Disabled, Unlocked or Locked
    #[arg(long, value_name = "STATE")]
    immutability_state: Option<String>,
    /// Restores into other subscriptions: Disabled, PermanentlyDisabled or Enabled
    #[arg(long, value_name = "STATE")]
    cross_subscription_restore_state: Option<String>,
}

impl Settings {
    /// Puts them where a vault's body has them.
    fn put_into(&self, body: &mut Value) {
        let mut security = Map::new();
        let mut soft = Map::new();
        if let Some(state) = &self.soft_delete_state {
            soft.insert("state".to_owned(), state.as_str().into());
        }
        if let Some(days) = self.soft_delete_days {
            soft.insert("retentionDurationInDays".to_owned(), days.into());
        }
        if !soft.is_empty() {
            security.insert("softDeleteSettings".to_owned(), Value::Object(soft));
        }
        if let Some(state) = &self.immutability_state {
            security.insert("immutabilitySettings".to_owned(), json!({"state": state}));
        }
        let Some(body) = body.as_object_mut() else {
            return;
        };
        let properties = body.entry("properties").or_insert_with(|| json!({}));
        let Some(properties) = properties.as_object_mut() else {
            return;
        };
        if !security.is_empty() {
            properties.insert("securitySettings".to_owned(), Value::Object(security));
        }
        if let Some(state) = &self.cross_subscription_restore_state {
            let state = json!({"crossSubscriptionRestoreSettings": {"state": state}});
            properties.insert("featureSettings".to_owned(), state);
        }
    }
}

const COLUMNS: &[Column] = &[
    Column::at("Name", "/name"),
    Column::group("ResourceGroup", "/id"),
    Column::at("Location", "/location"),
    Column::at("SoftDelete", "/properties/securitySettings/softDeleteSettings/state"),
    Column::at("Immutability", "/properties/securitySettings/immutabilitySettings/state"),
    Column::at("State", "/properties/provisioningState"),
    Column::at("Days", "/properties/securitySettings/softDeleteSettings/retentionDurationInDays")
        .wide(),
    Column::at("Identity", "/identity/principalId").wide(),
    Column::pairs("Tags", "/tags").wide(),
    Column::at("Id", "/id").wide(),
];

pub(super) async fn run(args: VaultArgs) -> Result<()> {
    let session = Session::open(args.shown.output)?;
    match args.action {
        Action::Create { at, location, redundancy, settings, tags, waiting } => {
            let id = at.id(&session, VAULTS).await?;
            let location = session.location(location.as_deref(), &id).await?;
            let redundancy = redundancy.to_possible_value();
            let redundancy = redundancy.map(|value| value.get_name().to_owned());
            let mut body = body::vault(&location, &redundancy.unwrap_or_default());
            settings.put_into(&mut body);
            tags.put_into(&mut body)?;
            let at = (&*id, Api::Protection);
            session.change(Method::PUT, at, &body, COLUMNS, waiting.no_wait).await
        }
        Action::Show(at) => {
            session.print_one(COLUMNS, &at.id(&session, VAULTS).await?, Api::Protection).await
        }
        Action::List { resource_group } => {
            let path = session.within(resource_group.as_deref(), VAULTS).await?;
            session.print_list(COLUMNS, &path, Api::Protection, &[]).await
        }
        Action::Update { at, settings, tags } => {
            let id = at.id(&session, VAULTS).await?;
            let mut body = json!({});
            settings.put_into(&mut body);
            tags.put_into(&mut body)?;
            let at = (&*id, Api::Protection);
            session.change(Method::PATCH, at, &body, COLUMNS, false).await
        }
        Action::Delete { at, consent, waiting } => {
            let id = at.id(&session, VAULTS).await?;
            session.remove((&id, Api::Protection), "vault", &consent, waiting.no_wait).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_stand_where_a_vault_has_them() {
        let mut body = json!({});
        Settings::default().put_into(&mut body);
        assert_eq!(body, json!({"properties": {}}), "what is not given is not sent");
        let settings = Settings {
            soft_delete_state: Some("On".to_owned()),
            soft_delete_days: Some(30.0),
            immutability_state: Some("Unlocked".to_owned()),
            cross_subscription_restore_state: Some("Enabled".to_owned()),
        };
        let mut body = json!({"properties": {"storageSettings": []}});
        settings.put_into(&mut body);
        assert_eq!(
            body,
            json!({"properties": {
                "storageSettings": [],
                "securitySettings": {
                    "softDeleteSettings": {"state": "On", "retentionDurationInDays": 30.0},
                    "immutabilitySettings": {"state": "Unlocked"},
                },
                "featureSettings": {"crossSubscriptionRestoreSettings": {"state": "Enabled"}},
            }})
        );
    }
}
