//! `tresor group`: resource groups.

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use super::consent::Consent;
use super::output::{Column, Shown};
use super::session::{Session, Waiting};
use super::tags::Tags;
use crate::client::{Api, text};

#[derive(Args)]
pub(crate) struct GroupArgs {
    #[command(flatten)]
    shown: Shown,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a group
    #[command(after_help = "Examples:\n  tresor group create -n rg-1\n  \
        tresor group create -n rg-2 -l westus --tags team=a")]
    Create {
        /// Name
        #[arg(short, long, visible_alias = "resource-group", short_alias = 'g')]
        name: String,
        /// Location [default: the service's first]
        #[arg(short, long)]
        location: Option<String>,
        #[command(flatten)]
        tags: Tags,
    },
    /// Show a group
    #[command(after_help = "Examples:\n  tresor group show -n rg-1\n  \
        tresor group show -n rg-1 -o json | jq -r .id")]
    Show {
        /// Name
        #[arg(short, long, visible_alias = "resource-group", short_alias = 'g')]
        name: String,
    },
    /// List all groups
    #[command(after_help = "Examples:\n  tresor group list\n  tresor group list -o tsv | cut -f1")]
    List,
    /// Delete a group and all that is in it
    #[command(after_help = "Examples:\n  tresor group delete -n rg-1\n  \
        tresor group delete -n rg-1 --yes --no-wait")]
    Delete {
        /// Name
        #[arg(short, long, visible_alias = "resource-group", short_alias = 'g')]
        name: String,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        waiting: Waiting,
    },
}

const COLUMNS: &[Column] = &[
    Column::at("Name", "/name"),
    Column::at("Location", "/location"),
    Column::at("State", "/properties/provisioningState"),
    Column::pairs("Tags", "/tags"),
    Column::at("Id", "/id").wide(),
];

pub(super) async fn run(args: GroupArgs) -> Result<()> {
    let session = Session::open(args.shown.output)?;
    match args.action {
        Action::Create { name, location, tags } => {
            let location = match location {
                Some(location) => location,
                None => first_location(&session).await?,
            };
            let mut body = json!({"location": location});
            tags.put_into(&mut body)?;
            let at = (&*session.group(&name).await?, Api::Groups);
            session.change(Method::PUT, at, &body, COLUMNS, false).await
        }
        Action::Show { name } => {
            session.print_one(COLUMNS, &session.group(&name).await?, Api::Groups).await
        }
        Action::List => {
            let path = format!("{}/resourceGroups", session.root().await?);
            session.print_list(COLUMNS, &path, Api::Groups, &[]).await
        }
        Action::Delete { name, consent, waiting } => {
            let id = session.group(&name).await?;
            session.remove((&id, Api::Groups), "resource group", &consent, waiting.no_wait).await
        }
    }
}

async fn first_location(session: &Session) -> Result<String> {
    let path = format!("{}/locations", session.root().await?);
    let all = session.client.list(&path, Api::Subscriptions, &[]).await?;
    let first = all.first().and_then(|row| text(row, "/name"));
    Ok(first.context("the service names no location: give -l")?.to_owned())
}
