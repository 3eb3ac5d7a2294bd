//! `tresor setup`: the exact steps that point another tool at the service, printed or checked.

mod check;
mod steps;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::output::Format;
use super::profile::Login;
use super::session::Session;
use crate::client::credential::claim;
use crate::terminal::say;

#[derive(Args)]
#[command(after_help = "Examples:\n  tresor setup az\n  tresor setup terraform --check\n\n\
    --check does each step that can be done without changing anything, from this machine, and\n\
    says what is missing.")]
pub(crate) struct SetupArgs {
    /// az, python, js or terraform
    #[arg(value_enum, hide_possible_values = true)]
    tool: Tool,
    /// Check the steps instead of printing them
    #[arg(long)]
    check: bool,
}

/// A tool that can be pointed at a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Tool {
    Az,
    Python,
    Js,
    Terraform,
}

impl Tool {
    /// The variable that names the certificates which the tool believes.
    fn ca_variable(self) -> &'static str {
        match self {
            Tool::Az | Tool::Python => "REQUESTS_CA_BUNDLE",
            Tool::Js => "NODE_EXTRA_CA_CERTS",
            Tool::Terraform => "SSL_CERT_FILE",
        }
    }
}

/// What the steps are about. The secret is not among it.
struct Values {
    base_url: String,
    ca_file: Option<PathBuf>,
    tenant: String,
    client_id: String,
    subscription: String,
}

impl Values {
    /// The service's host and port.
    fn host(&self) -> &str {
        self.base_url.strip_prefix("https://").unwrap_or(&self.base_url)
    }
}

pub(super) async fn run(args: SetupArgs) -> Result<()> {
    let login = Login::find()?;
    let (site, mut who) = (login.site.clone(), login.who.clone());
    let known = login.subscription.clone();
    let session = Session::of(login, Format::Table)?;
    let subscription = match known {
        Some(known) => known,
        None if args.check => String::new(),
        None => session.subscription().await?.to_owned(),
    };
    if !args.check && (who.tenant.is_none() || who.client_id.is_none()) {
        // A machine's identity is told by its token only.
        let token = session.client.sign_in().await?;
        who.tenant = who.tenant.or_else(|| claim(&token, "tid"));
        who.client_id = who.client_id.or_else(|| claim(&token, "appid"));
    }
    let values = Values {
        base_url: site.base_url,
        ca_file: site.ca_file,
        tenant: who.tenant.unwrap_or_default(),
        client_id: who.client_id.unwrap_or_default(),
        subscription,
    };
    if args.check {
        return check::run(&session, args.tool, &values).await;
    }
    say(steps::steps(args.tool, &values).trim_end())?;
    Ok(())
}
