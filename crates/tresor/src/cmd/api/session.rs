//! A command at work: who calls, where, and how results are printed.

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::Value;
use tokio::sync::OnceCell;
use tresor_store::env::Env;

use super::consent::Consent;
use super::output::{Column, Format};
use super::profile::Login;
use crate::client::{Api, Client, last, text};
use crate::terminal::note;

/// One command's client and output.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) format: Format,
    subscription: OnceCell<String>,
}

impl Session {
    /// A session of whoever the environment or the kept sign-in says.
    pub(super) fn open(format: Format) -> Result<Session> {
        Session::of(Login::find()?, format)
    }

    /// A session of a sign-in.
    pub(super) fn of(login: Login, format: Format) -> Result<Session> {
        let client = Client::new(login.site, login.credential, Env::system())?;
        Ok(Session { client, format, subscription: OnceCell::new_with(login.subscription) })
    }

    /// The subscription; asked for when nothing names it.
    pub(super) async fn subscription(&self) -> Result<&str> {
        let found = self.subscription.get_or_try_init(|| async {
            let all = self.client.list("/subscriptions", Api::Subscriptions, &[]).await?;
            let first = all.first().and_then(|row| text(row, "/subscriptionId"));
            let first = first.context("this caller sees no subscription: it has no role yet")?;
            anyhow::Ok(first.to_owned())
        });
        found.await.map(String::as_str)
    }

    /// The subscription's id.
    pub(super) async fn root(&self) -> Result<String> {
        Ok(format!("/subscriptions/{}", super::names::checked(self.subscription().await?)?))
    }

    /// Prints all rows of a list.
    pub(super) async fn print_list(
        &self,
        columns: &[Column],
        path: &str,
        api: Api,
        query: &[(&str, &str)],
    ) -> Result<()> {
        let rows = self.client.list(path, api, query).await?;
        self.rows(columns, &rows)
    }

    /// Prints rows; people are told when there are none.
    pub(super) fn rows(&self, columns: &[Column], rows: &[Value]) -> Result<()> {
        if rows.is_empty() && self.format == Format::Table {
            note("there are none");
        }
        self.format.list(columns, rows)
    }

    /// Prints one resource as it is.
    pub(super) async fn print_one(&self, columns: &[Column], id: &str, api: Api) -> Result<()> {
        let found = self.client.get(id, api).await?;
        self.format.one(columns, &found)
    }

    /// Makes or changes a resource, waits unless told otherwise, and prints it.
    pub(super) async fn change(
        &self,
        method: Method,
        (id, api): (&str, Api),
        body: &Value,
        columns: &[Column],
        no_wait: bool,
    ) -> Result<()> {
        let begun = self.client.begin(method, id, api, Some(body)).await?;
        let found = match no_wait {
            true => begun.answer.body,
            false => self.client.end(begun).await?,
        };
        self.format.one(columns, &found)
    }

    /// Removes a resource. One that is not there is no error, as in the API.
    pub(super) async fn remove(
        &self,
        (id, api): (&str, Api),
        kind: &str,
        consent: &Consent,
        no_wait: bool,
    ) -> Result<()> {
        let name = last(id);
        consent.to(&format!("delete the {kind} '{name}'"))?;
        let begun = self.client.begin(Method::DELETE, id, api, None).await?;
        // Graph says so of what is gone now, Resource Manager of what was not there.
        let absent = begun.answer.status == reqwest::StatusCode::NO_CONTENT && api != Api::Graph;
        if absent {
            note(format_args!("there is no {kind} '{name}'"));
            return Ok(());
        }
        if !no_wait {
            self.client.end(begun).await?;
            note(format_args!("the {kind} '{name}' is deleted"));
        }
        Ok(())
    }
}

/// The flags of commands that begin something long.
#[derive(clap::Args)]
pub(super) struct Waiting {
    /// Wait until it is done (this is what happens anyway)
    #[arg(long, overrides_with = "no_wait", hide = true)]
    wait: bool,
    /// Do not wait until it is done
    #[arg(long, overrides_with = "wait")]
    pub(super) no_wait: bool,
}
