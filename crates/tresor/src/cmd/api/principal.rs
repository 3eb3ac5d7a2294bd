//! `tresor principal`: service principals and their secrets.
//!
//! The routes are those of Microsoft Graph. A new secret is in the answer once and never again.

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

use super::consent::Consent;
use super::names::checked;
use super::output::{Column, Format, Shown};
use super::session::Session;
use crate::client::refusal::Refusal;
use crate::client::{Api, text};
use crate::terminal::note;

#[derive(Args)]
pub(crate) struct PrincipalArgs {
    #[command(flatten)]
    shown: Shown,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a service principal; it has no role and no secret yet
    #[command(after_help = "Examples:\n  tresor principal create -n nightly\n  \
        tresor principal create -n nightly --add-secret -o json > nightly.json")]
    Create {
        /// Name that people know it by
        #[arg(short, long, visible_alias = "display-name")]
        name: String,
        /// Make a secret for it too, and print that
        #[arg(long)]
        add_secret: bool,
    },
    /// List service principals
    #[command(after_help = "Examples:\n  tresor principal list\n  \
        tresor principal list -o json | jq -r '.[].appId'")]
    List,
    /// Show a service principal and when its secrets end
    #[command(after_help = "Examples:\n  tresor principal show -n nightly\n  \
        tresor principal show -n 8f3a... -o json | jq .passwordCredentials")]
    Show(Named),
    /// Delete a service principal, its secrets and its roles
    #[command(after_help = "Examples:\n  tresor principal delete -n nightly\n  \
        tresor principal delete -n 8f3a... --yes")]
    Delete {
        #[command(flatten)]
        who: Named,
        #[command(flatten)]
        consent: Consent,
    },
    /// Make one more secret and print it, this once
    #[command(after_help = "Examples:\n  tresor principal add-secret -n nightly -o tsv\n  \
        tresor principal add-secret -n nightly --end-date 2027-01-01T00:00:00Z")]
    AddSecret {
        #[command(flatten)]
        who: Named,
        /// Name of the secret
        #[arg(long, value_name = "TEXT")]
        display_name: Option<String>,
        /// When it ends [default: what the service says]
        #[arg(long, value_name = "TIME")]
        end_date: Option<jiff::Timestamp>,
    },
    /// End a secret
    #[command(
        after_help = "Examples:\n  tresor principal remove-secret -n nightly --key-id 1f...\n  \
        tresor principal show -n nightly -o json | jq -r '.passwordCredentials[].keyId'"
    )]
    RemoveSecret {
        #[command(flatten)]
        who: Named,
        /// Id of the secret
        #[arg(long, value_name = "ID")]
        key_id: Uuid,
        #[command(flatten)]
        consent: Consent,
    },
}

#[derive(Args)]
struct Named {
    /// Name, object id or application id
    #[arg(short, long, value_name = "NAME|ID", visible_alias = "id")]
    name: String,
}

const PATH: &str = "/v1.0/servicePrincipals";

const COLUMNS: &[Column] = &[
    Column::at("Name", "/displayName"),
    Column::at("Object", "/id"),
    Column::at("Application", "/appId"),
    Column::at("Type", "/servicePrincipalType"),
    Column::at("Secrets", "/shown/secrets").wide(),
];

pub(super) async fn run(args: PrincipalArgs) -> Result<()> {
    let session = Session::open(args.shown.output)?;
    match args.action {
        Action::Create { name, add_secret } => create(&session, &name, add_secret).await,
        Action::List => session.print_list(COLUMNS, PATH, Api::Graph, &[]).await,
        Action::Show(who) => {
            let found = who.find(&session).await?;
            session.format.one(COLUMNS, &shown(&session, found))
        }
        Action::Delete { who, consent } => {
            let id = who.path(&session).await?;
            session.remove((&id, Api::Graph), "service principal", &consent, false).await
        }
        Action::AddSecret { who, display_name, end_date } => {
            let path = who.path(&session).await?;
            let body = json!({"passwordCredential": {
                "displayName": display_name, "endDateTime": end_date.map(|time| time.to_string()),
            }});
            let made = add_secret(&session, &path, &body).await?;
            let secret = text(&made, "/secretText").unwrap_or_default();
            note("this is the secret; it cannot be shown again");
            session.format.answer(&made, secret)
        }
        Action::RemoveSecret { who, key_id, consent } => {
            let path = who.path(&session).await?;
            consent.to(&format!("end the secret {key_id}"))?;
            let path = format!("{path}/removePassword");
            session.client.post(&path, Api::Graph, &json!({"keyId": key_id})).await?;
            note(format_args!("the secret {key_id} has ended"));
            Ok(())
        }
    }
}

async fn add_secret(session: &Session, path: &str, body: &Value) -> Result<Value> {
    let path = format!("{path}/addPassword");
    session.client.post(&path, Api::Graph, body).await
}

async fn create(session: &Session, name: &str, with_secret: bool) -> Result<()> {
    let body = json!({"displayName": name});
    let mut made = session.client.post(PATH, Api::Graph, &body).await?;
    if !with_secret {
        return session.format.one(COLUMNS, &made);
    }
    let id = text(&made, "/id").context("the new principal has no id")?;
    let path = format!("{PATH}/{}", checked(id)?);
    let body = json!({"passwordCredential": {"displayName": "first"}});
    let secret = add_secret(session, &path, &body).await?;
    // Graph answers with the secret in a place of its own; here both are one result.
    let plain = secret.get("secretText").cloned().unwrap_or_default();
    if let Some(made) = made.as_object_mut() {
        made.insert("secretText".to_owned(), plain);
    }
    note("secretText is the secret; it cannot be shown again");
    match session.format {
        Format::None => Ok(()),
        format => format.one(CREATED, &made),
    }
}

const CREATED: &[Column] = &[
    Column::at("Name", "/displayName"),
    Column::at("Object", "/id"),
    Column::at("Application", "/appId"),
    Column::at("Secret", "/secretText"),
];

impl Named {
    /// The principal: by object id, application id or, when only one has it, by name.
    async fn find(&self, session: &Session) -> Result<Value> {
        let rows = session.client.list(PATH, Api::Graph, &[]).await?;
        let is = |row: &Value, at: &str| text(row, at).is_some_and(|own| own == self.name);
        let of_id = rows.iter().find(|row| is(row, "/id") || is(row, "/appId"));
        let mut of_name = rows.iter().filter(|row| is(row, "/displayName"));
        let found = of_id.or_else(|| {
            let one = of_name.next();
            one.filter(|_| of_name.next().is_none())
        });
        let none = || {
            let message = format!("there is no one principal '{}'", self.name);
            Refusal::new(404, "Request_ResourceNotFound", &message)
        };
        Ok(found.cloned().ok_or_else(none)?)
    }

    async fn path(&self, session: &Session) -> Result<String> {
        let found = self.find(session).await?;
        let id = text(&found, "/id").context("the principal has no id")?;
        Ok(format!("{PATH}/{}", checked(id)?))
    }
}

/// A principal with its secrets in short words beside it, for tables; JSON stays as it is.
fn shown(session: &Session, mut found: Value) -> Value {
    if session.format == Format::Json {
        return found;
    }
    let secrets = found.get("passwordCredentials").and_then(Value::as_array);
    let words: Vec<String> = secrets
        .into_iter()
        .flatten()
        .map(|secret| {
            let part = |at: &str| text(secret, at).unwrap_or("-").to_owned();
            format!("{} until {}", part("/keyId"), part("/endDateTime"))
        })
        .collect();
    if let Some(found) = found.as_object_mut() {
        found.insert("shown".to_owned(), json!({"secrets": words}));
    }
    found
}
