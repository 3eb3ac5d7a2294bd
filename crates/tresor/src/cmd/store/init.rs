//! `tresor store init`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde::Serialize;
use tresor_store::{Domain, Store, StoreConfig};
use uuid::Uuid;

use super::key;
use super::place::{Place, Session, target};
use super::report::Report;
use crate::target::Target;

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tresor store init --store /backup/a --key-file a.key\n  \
    tresor store init --store /far/b --key-file b.key --profile vault \\\n      \
        --domain-of /backup/a --domain-key-file a.key     copies move missing chunks only")]
pub(super) struct InitArgs {
    #[command(flatten)]
    place: Place,
    /// What the store is for
    #[arg(long, value_name = "PROFILE", default_value = "operational")]
    profile: Profile,
    /// Another store: both will give equal contents equal names, so that copies between them
    /// move only what is missing. Whoever has either key can tell which contents both hold
    #[arg(long, value_name = "PATH|URL", value_parser = target())]
    domain_of: Option<Target>,
    /// File with the key of that store [default: that of the new one]
    #[arg(long, value_name = "FILE", requires = "domain_of")]
    domain_key_file: Option<PathBuf>,
}

/// What a store is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Profile {
    /// Near the disks: fast
    Operational,
    /// Far away or paid by the byte: small
    Vault,
}

/// A new store.
#[derive(Serialize)]
struct Init {
    store: Uuid,
    domain: Uuid,
    recovery_key: String,
}

impl Report for Init {
    fn text(&self) -> String {
        format!(
            "store {}\nrecovery key (shown only now; keep it somewhere else):\n  {}",
            self.store, self.recovery_key
        )
    }
}

/// Makes a store.
pub(super) fn run(session: &Session, args: &InitArgs) -> Result<()> {
    let place = &args.place;
    let domain = match &args.domain_of {
        None => Domain::random(&session.env),
        Some(other) => {
            let key_file = args.domain_key_file.clone().or_else(|| place.key_file.clone());
            let other = Place { store: other.clone(), key_file, ..place.clone() };
            session.open(&other)?.domain()
        }
    };
    let secret = key::new_or_existing(place.key_file.as_deref(), &session.env)?;
    let objects = place.store.make(&session.handle())?;
    let config = match args.profile {
        Profile::Operational => StoreConfig::default(),
        Profile::Vault => StoreConfig::vault(),
    };
    let (cache, env) = (session.cache(place)?, session.env.clone());
    let made = Store::init_in(domain, objects, session.handle(), cache, config, &secret, env);
    let (store, key) = made.with_context(|| format!("cannot make a store in {}", place.store))?;
    let (store, domain) = (store.id(), store.domain().id());
    Init { store, domain, recovery_key: key.to_string() }.print(place.json)
}
