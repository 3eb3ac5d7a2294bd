//! `tresor login`, `logout` and `account`: who calls.

use std::io::{IsTerminal, Read, stdin};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::output::{Column, Format, Shown};
use super::profile::{Kept, Login, Profile, Secret, Who, machine, variable};
use super::session::Session;
use crate::client::Site;
use crate::client::credential::{Credential, Token, claim};
use crate::durable;
use crate::terminal::{ask_secret, note};
use crate::usage::Usage;

/// The most that a secret's file may hold.
const SECRET_MAX: u64 = 64 << 10;

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tresor login --data /var/lib/tresor              the owner of a service on this machine\n  \
    tresor login --base-url https://backup:8443 --ca-file ca.pem --tenant T --client-id C\n  \
    pass show tresor | tresor login ... --secret-file -\n\n\
    What is kept, in $XDG_CONFIG_HOME/tresor/profile.json (0600): with --data the folder's path, \
    with --identity\nnothing secret, otherwise a token until it ends (an hour); the secret only \
    with --keep-secret.\nScripts need no login: BASE_URL, TENANT_ID, CLIENT_ID, CLIENT_SECRET, \
    CA_FILE and SUBSCRIPTION_ID,\nas `tresor env` prints them, win over what is kept.")]
pub(crate) struct LoginArgs {
    /// Sign in as the owner of the service that runs on this data folder
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Sign in with the machine's identity, over IDENTITY_ENDPOINT
    #[arg(long, conflicts_with_all = ["data", "tenant", "secret_file", "keep_secret"])]
    identity: bool,
    /// Address of the service [default: BASE_URL]
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    base_url: Option<String>,
    /// Certificate authority (PEM) to believe [default: CA_FILE, else the machine's own list]
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    ca_file: Option<PathBuf>,
    /// Tenant of the service principal [default: TENANT_ID]
    #[arg(long, value_name = "TENANT", conflicts_with = "data")]
    tenant: Option<String>,
    /// Application id of the service principal [default: CLIENT_ID]
    #[arg(long, value_name = "ID", conflicts_with = "data")]
    client_id: Option<String>,
    /// File with the secret, `-` for standard input [default: CLIENT_SECRET, else it is asked for]
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    secret_file: Option<PathBuf>,
    /// Keep the secret too, so that the sign-in does not end with its token
    #[arg(long, conflicts_with = "data")]
    keep_secret: bool,
    /// Subscription [default: SUBSCRIPTION_ID, else the first that the caller sees]
    #[arg(long, value_name = "ID")]
    subscription: Option<String>,
    #[command(flatten)]
    shown: Shown,
}

#[derive(Args)]
pub(crate) struct AccountArgs {
    #[command(subcommand)]
    action: AccountAction,
}

#[derive(Subcommand)]
enum AccountAction {
    /// Tell who is signed in, where, and how that is kept; asks nobody
    #[command(after_help = "Examples:\n  tresor account show\n  \
        tresor account show -o json | jq -r .subscriptionId")]
    Show {
        #[command(flatten)]
        shown: Shown,
    },
}

/// Signs in and keeps that.
pub(super) async fn login(args: LoginArgs) -> Result<()> {
    let (login, kept) = args.login()?;
    let (site, who) = (login.site.clone(), login.who.clone());
    let format = args.shown.output;
    let session = Session::of(login, format)?;
    let token = session.client.sign_in().await?;
    let subscription = match args.subscription.clone().or_else(|| variable("SUBSCRIPTION_ID")) {
        Some(named) => Some(named),
        None => session.subscription().await.ok().map(str::to_owned),
    };
    let of_data = matches!(kept, Wanted::Data(_));
    let profile = Profile {
        base_url: (!of_data).then(|| site.base_url.clone()),
        ca_file: site.ca_file.clone().filter(|_| !of_data),
        subscription: subscription.clone(),
        sign_in: kept.with(&token, &who),
    };
    let file = Profile::file()?;
    profile.keep(&file)?;
    note(format_args!("signed in; kept in {}", file.display()));
    let who = Who { source: file.display().to_string(), ..who };
    show(format, &site, &who, subscription.as_deref(), Some(&token))
}

/// What is to be kept of a sign-in.
enum Wanted {
    Data(PathBuf),
    Machine,
    Token,
    Secret(Zeroizing<String>),
}

impl Wanted {
    fn with(self, token: &Token, who: &Who) -> Kept {
        let tenant = who.tenant.clone().unwrap_or_default();
        let client_id = who.client_id.clone();
        let named = client_id.clone().unwrap_or_default();
        match self {
            Wanted::Data(folder) => Kept::Data { folder },
            Wanted::Machine => Kept::Machine { client_id },
            Wanted::Secret(secret) => {
                Kept::Secret { tenant, client_id: named, secret: Secret::new(&secret) }
            }
            Wanted::Token => Kept::Token {
                tenant,
                client_id: named,
                token: Secret::new(token.text()),
                ends: token.ends,
            },
        }
    }
}

impl LoginArgs {
    fn login(&self) -> Result<(Login, Wanted)> {
        if let Some(data) = &self.data {
            let folder = std::path::absolute(data)?;
            return Ok((Login::of_data(&folder)?, Wanted::Data(folder)));
        }
        let need = |given: &Option<String>, flag: &str, name: &str| {
            let found = given.clone().or_else(|| variable(name));
            found.ok_or_else(|| Usage::error(format!("give {flag} (or {name}), or --data DIR")))
        };
        let base_url = need(&self.base_url, "--base-url", "BASE_URL")?;
        let ca_file = self.ca_file.clone().or_else(|| variable("CA_FILE").map(PathBuf::from));
        let ca_file = ca_file.map(std::path::absolute).transpose()?;
        let site = Site::new(&base_url, ca_file)?;
        let mut who = Who::default();
        let (credential, kept) = if self.identity {
            who.client_id.clone_from(&self.client_id);
            who.by = "machine identity (IDENTITY_ENDPOINT)".to_owned();
            (machine(self.client_id.clone(), &variable)?, Wanted::Machine)
        } else {
            let tenant = need(&self.tenant, "--tenant", "TENANT_ID")?;
            let client_id = need(&self.client_id, "--client-id", "CLIENT_ID")?;
            let secret = self.secret()?;
            (who.tenant, who.client_id) = (Some(tenant.clone()), Some(client_id.clone()));
            let kept = match self.keep_secret {
                true => Wanted::Secret(secret.clone()),
                false => Wanted::Token,
            };
            who.by = if self.keep_secret { "secret" } else { "token" }.to_owned();
            (Credential::Secret { tenant, client_id, secret }, kept)
        };
        Ok((Login { site, credential, subscription: None, who }, kept))
    }

    /// The secret: from the file, the environment, or whoever sits at the terminal.
    fn secret(&self) -> Result<Zeroizing<String>> {
        if let Some(file) = &self.secret_file {
            return read_secret(file);
        }
        if let Some(secret) = variable("CLIENT_SECRET") {
            return Ok(Zeroizing::new(secret));
        }
        if stdin().is_terminal() {
            return Ok(ask_secret("Secret: ")?);
        }
        Err(Usage::error("give the secret as CLIENT_SECRET or with --secret-file (`-`: stdin)"))
    }
}

/// One line of a file or of standard input.
fn read_secret(file: &Path) -> Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    let unreadable = || Usage(format!("cannot read the secret from {}", file.display()));
    let read = match file.as_os_str() == "-" {
        true => stdin().lock().take(SECRET_MAX).read_to_string(&mut text),
        false => std::fs::File::open(file)
            .and_then(|file| file.take(SECRET_MAX).read_to_string(&mut text)),
    };
    read.with_context(unreadable)?;
    let secret = Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned());
    if secret.is_empty() || secret.contains('\n') {
        return Err(Usage::error(format!("{} holds no single line", file.display())));
    }
    Ok(secret)
}

/// Forgets what was kept.
pub(super) fn logout() -> Result<()> {
    let file = Profile::file()?;
    match file.exists() {
        true => durable::remove(&file)?,
        false => note("nobody was signed in"),
    }
    Ok(())
}

const COLUMNS: &[Column] = &[
    Column::at("Address", "/baseUrl"),
    Column::at("Subscription", "/subscriptionId"),
    Column::at("Tenant", "/tenantId"),
    Column::at("Application", "/clientId"),
    Column::at("Object", "/objectId"),
    Column::at("Certificates", "/caFile"),
    Column::at("SignedInBy", "/signedInBy"),
    Column::at("KeptIn", "/source"),
];

/// Tells who is signed in.
pub(super) fn run(args: &AccountArgs) -> Result<()> {
    let AccountAction::Show { shown } = &args.action;
    let login = Login::find()?;
    let token = match &login.credential {
        Credential::Kept(token) => Some(token.clone()),
        _ => None,
    };
    let subscription = login.subscription.as_deref();
    show(shown.output, &login.site, &login.who, subscription, token.as_ref())
}

fn show(
    format: Format,
    site: &Site,
    who: &Who,
    subscription: Option<&str>,
    token: Option<&Token>,
) -> Result<()> {
    let told: Value = json!({
        "baseUrl": site.base_url,
        "caFile": site.ca_file,
        "tenantId": who.tenant.clone().or_else(|| token.and_then(|token| claim(token, "tid"))),
        "clientId": who.client_id.clone().or_else(|| token.and_then(|token| claim(token, "appid"))),
        "objectId": token.and_then(|token| claim(token, "oid")),
        "subscriptionId": subscription,
        "signedInBy": who.by,
        "source": who.source,
    });
    format.one(COLUMNS, &told)
}
