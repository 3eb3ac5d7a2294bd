//! Reading the settings from their sources.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use config::{Environment, File, FileFormat};
use uuid::Uuid;

use super::{Config, DomainClock, Identity, Storage};
use crate::usage::Usage;

/// The setting whose default depends on whether the service is one for tests.
const LISTEN: &str = "listen";

/// Every environment variable that is a setting begins so.
const PREFIX: &str = "TRESOR_";

/// Variables with our prefix that are no settings: the passphrase of `tresor store`, and where the
/// project's tests find the binaries.
const RESERVED: [&str; 3] = ["TRESOR_PASSPHRASE", "TRESOR_BIN", "TRESOR_FAILPOINTS_BIN"];

/// Kubernetes sets such variables in every pod when a service is called `tresor`.
const SERVICE_LINKS: [&str; 2] = ["TRESOR_SERVICE_", "TRESOR_PORT"];

/// Settings that are lists; in the environment their values are separated by commas.
const LISTS: [&str; 4] = ["locations", "tls.names", "import.folders", "identity.identities"];

/// Where settings come from, weakest first.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// The TOML file, if one was named.
    pub(crate) file: Option<PathBuf>,
    /// The process environment, or a test's.
    pub(crate) environment: HashMap<String, String>,
    /// Flags: (setting, value).
    pub(crate) flags: Vec<(&'static str, String)>,
}

impl Sources {
    /// The process's environment; values that are not Unicode cannot be settings and are left out.
    pub(crate) fn process_environment() -> HashMap<String, String> {
        let text = |(key, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((key.into_string().ok()?, value.into_string().ok()?))
        };
        std::env::vars_os().filter_map(text).collect()
    }

    /// The effective settings.
    pub(crate) fn load(self) -> Result<Config> {
        let defaults = toml::Table::try_from(Config::default())?;
        let known = names(&defaults);
        let mut builder = config::Config::builder()
            .add_source(File::from_str(&toml::to_string(&defaults)?, FileFormat::Toml));
        let mut file_sets = false;
        if let Some(path) = &self.file {
            let text = read(path)?;
            file_sets = check_file(path, &text, &known)?.contains(LISTEN);
            builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
        }
        let environment_sets = self.environment.contains_key("TRESOR_LISTEN");
        builder = builder.add_source(environment(self.environment, &known)?);
        let mut listens = file_sets || environment_sets;
        for (name, value) in self.flags {
            listens |= name == LISTEN;
            builder = builder.set_override(name, value)?;
        }
        let mut settings: Config = builder
            .build()
            .and_then(config::Config::try_deserialize)
            .map_err(|error| Usage::error(format!("a setting is not valid: {error}")))?;
        if settings.test.ephemeral && !listens {
            // Services of several tests run side by side.
            settings.listen.set_port(0);
        }
        check(&settings)?;
        Ok(settings)
    }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path)
        .with_context(|| Usage(format!("cannot read the configuration {}", path.display())))
}

/// The names that a file sets, all of which are known.
fn check_file(path: &Path, text: &str, known: &BTreeSet<String>) -> Result<BTreeSet<String>> {
    let table: toml::Table = toml::from_str(text)
        .map_err(|error| Usage::error(format!("{}: {error}", path.display())))?;
    let set = names(&table);
    match set.difference(known).next() {
        Some(name) => Err(Usage::error(format!(
            "{}: unknown setting \"{name}\"{}",
            path.display(),
            hint(name, known)
        ))),
        None => Ok(set),
    }
}

/// The variables that are settings, after a check that each names one.
fn environment(all: HashMap<String, String>, known: &BTreeSet<String>) -> Result<Environment> {
    let ours = |name: &str| {
        name.starts_with(PREFIX)
            && !RESERVED.contains(&name)
            && !SERVICE_LINKS.iter().any(|link| name.starts_with(link))
    };
    let set: HashMap<String, String> = all.into_iter().filter(|(name, _)| ours(name)).collect();
    for variable in set.keys() {
        let name = variable.trim_start_matches(PREFIX).to_lowercase().replace("__", ".");
        if !known.contains(&name) {
            return Err(Usage::error(format!(
                "environment variable {variable}: unknown setting \"{name}\"{}",
                hint(&name, known)
            )));
        }
    }
    let environment = Environment::with_prefix("TRESOR")
        .prefix_separator("_")
        .separator("__")
        .list_separator(",")
        .try_parsing(true)
        .source(Some(set));
    Ok(LISTS.into_iter().fold(environment, Environment::with_list_parse_key))
}

/// The nearest setting of the same last name, for the message.
fn hint(name: &str, known: &BTreeSet<String>) -> String {
    let last = |name: &str| name.rsplit('.').next().map(str::to_owned);
    match known.iter().find(|other| last(other) == last(name)) {
        Some(other) => format!("; did you mean \"{other}\"?"),
        None => "; `tresor config` lists them all".to_owned(),
    }
}

/// The dotted names of every value in a table.
pub(super) fn names(table: &toml::Table) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (key, value) in table {
        match value {
            toml::Value::Table(inner) => {
                let nested = names(inner);
                if nested.is_empty() {
                    found.insert(key.clone());
                }
                found.extend(nested.into_iter().map(|name| format!("{key}.{name}")));
            }
            _ => {
                found.insert(key.clone());
            }
        }
    }
    found
}

/// Rules that a type cannot say.
fn check(settings: &Config) -> Result<()> {
    let own = !settings.tls.certificate.as_os_str().is_empty();
    let key = !settings.tls.key.as_os_str().is_empty();
    if own != key {
        return Err(Usage::error("tls.certificate and tls.key must be set together"));
    }
    if settings.workers == 0 {
        return Err(Usage::error("workers must be at least 1"));
    }
    if settings.audit.file_bytes < 4096 || settings.audit.files == 0 || settings.audit.days == 0 {
        return Err(Usage::error(
            "audit.file_bytes must be at least 4096, audit.files and audit.days at least 1",
        ));
    }
    if settings.locations.is_empty() {
        return Err(Usage::error("locations must name at least one location"));
    }
    if !(600..=86_400).contains(&settings.tokens.lifetime_seconds) {
        return Err(Usage::error("tokens.lifetime_seconds must be from 600 to 86400"));
    }
    if !(1..=365).contains(&settings.tokens.key_days) {
        return Err(Usage::error("tokens.key_days must be from 1 to 365"));
    }
    check_identity(&settings.identity)?;
    if settings.test.ephemeral && !settings.identity.listen.is_empty() {
        return Err(Usage::error("identity.listen is not served by an ephemeral service"));
    }
    settings.store.check().map_err(|error| Usage::error(format!("[store]: {error}")))?;
    check_test(settings)?;
    let url = &settings.base_url;
    if !url.is_empty() && (!url.starts_with("https://") || url.ends_with('/')) {
        return Err(Usage::error("base_url must begin with https:// and have no slash at its end"));
    }
    Ok(())
}

/// Identities that one endpoint may speak for.
const IDENTITIES_MAX: usize = 20;

fn check_identity(identity: &Identity) -> Result<()> {
    let on = identity.address()?.is_some();
    let named = &identity.identities;
    if on && named.is_empty() {
        return Err(Usage::error("identity.identities must name the identities to speak for"));
    }
    if !on && (identity.imds || !named.is_empty()) {
        return Err(Usage::error("identity.listen must be set with the others of [identity]"));
    }
    if named.len() > IDENTITIES_MAX {
        let text = format!("identity.identities can name at most {IDENTITIES_MAX}");
        return Err(Usage::error(text));
    }
    match named.iter().find(|name| !name.starts_with('/') && Uuid::parse_str(name).is_err()) {
        Some(name) => Err(Usage::error(format!(
            "identity.identities: \"{name}\" is neither a resource id nor a GUID"
        ))),
        None => Ok(()),
    }
}

/// A service for tests keeps nothing and is for this machine alone; no other may be wrong about
/// time.
fn check_test(settings: &Config) -> Result<()> {
    if !settings.test.ephemeral {
        return match settings.test.clock {
            DomainClock::System => Ok(()),
            _ => Err(Usage::error(
                "test.clock (--clock) needs test.ephemeral (--ephemeral): a service that keeps its \
                 data must not be wrong about time",
            )),
        };
    }
    if !settings.listen.ip().is_loopback() {
        return Err(Usage::error(format!(
            "test.ephemeral (--ephemeral) listens on this machine only, not on {}: whoever reaches \
             the service could reset it",
            settings.listen
        )));
    }
    let Storage { volumes, store } = &settings.storage;
    if [volumes, store].iter().any(|folder| !folder.as_os_str().is_empty()) {
        return Err(Usage::error(
            "test.ephemeral (--ephemeral) keeps everything in a folder that is removed at the end: \
             leave storage.volumes and storage.store empty",
        ));
    }
    Ok(())
}
