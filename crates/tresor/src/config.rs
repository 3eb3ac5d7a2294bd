//! Configuration: defaults, then one TOML file, then the environment, then flags; later wins.
//!
//! Every setting has exactly one name (`section.key`), one default and one line in [`DOCS`]. A
//! name that is not in the defaults is refused wherever it comes from: a misspelt setting that is
//! silently ignored is worse than a service that does not start.

mod docs;
mod load;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tresor_core::audit::AuditSettings;
use tresor_core::limits::Limits;
use tresor_store::StoreConfig;

use crate::usage::Usage;

pub(crate) use docs::render;
pub(crate) use load::Sources;

/// Every setting of the service, with its effective value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Config {
    pub(crate) data: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) base_url: String,
    pub(crate) locations: Vec<String>,
    pub(crate) workers: usize,
    pub(crate) ready_file: PathBuf,
    pub(crate) storage: Storage,
    pub(crate) import: Import,
    pub(crate) limits: LimitsSection,
    pub(crate) fidelity: Fidelity,
    pub(crate) wire: Wire,
    pub(crate) tokens: Tokens,
    pub(crate) identity: Identity,
    pub(crate) rate: Rate,
    pub(crate) audit: Audit,
    pub(crate) tls: Tls,
    pub(crate) log: Log,
    pub(crate) shutdown: Shutdown,
    pub(crate) test: Test,
    pub(crate) store: StoreConfig,
}

/// Where the bytes lie.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Storage {
    pub(crate) volumes: PathBuf,
    pub(crate) store: PathBuf,
}

/// Image files on this machine that a disk may be made from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Import {
    pub(crate) folders: Vec<PathBuf>,
}

/// Azure's service quotas.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct LimitsSection {
    pub(crate) mode: Limits,
}

/// How closely timing follows Azure's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fidelity {
    pub(crate) retry_after: RetryMode,
}

/// The `Retry-After` that clients are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RetryMode {
    /// One second, with polls held open.
    #[default]
    Tresor,
    /// Azure's 10, 15 and 30 seconds.
    Azure,
}

/// Bounds of the HTTP interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Wire {
    pub(crate) poll_hold_ms: u64,
    pub(crate) max_polls: usize,
    pub(crate) max_connections: usize,
    pub(crate) max_connections_per_address: usize,
    pub(crate) max_requests: usize,
    pub(crate) max_body_bytes: usize,
    pub(crate) max_target_bytes: usize,
    pub(crate) request_seconds: u64,
}

/// Tokens of the service's own authority.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tokens {
    pub(crate) lifetime_seconds: u64,
    pub(crate) key_days: u64,
}

/// The endpoint of managed identities.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) listen: String,
    pub(crate) identities: Vec<String>,
    pub(crate) imds: bool,
}

impl Identity {
    /// Where it listens; None when it is off.
    ///
    /// # Errors
    /// When the address is none, or not one of this machine alone: the endpoint speaks plain HTTP
    /// and hands out tokens.
    pub(crate) fn address(&self) -> anyhow::Result<Option<SocketAddr>> {
        if self.listen.is_empty() {
            return Ok(None);
        }
        match self.listen.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() => Ok(Some(address)),
            Ok(_) => Err(Usage::error(format!(
                "identity.listen must be a loopback address such as 127.0.0.1:8480, not {}: \
                 whoever reaches it can get tokens",
                self.listen
            ))),
            Err(_) => Err(Usage::error(format!(
                "identity.listen must be an address and port such as 127.0.0.1:8480, not \"{}\"",
                self.listen
            ))),
        }
    }
}

/// How often each may ask: what at once, and what comes back in a minute. 0 at once: no limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rate {
    pub(crate) reads: u32,
    pub(crate) reads_per_minute: u32,
    pub(crate) writes: u32,
    pub(crate) writes_per_minute: u32,
    pub(crate) deletes: u32,
    pub(crate) deletes_per_minute: u32,
    pub(crate) anonymous: u32,
    pub(crate) anonymous_per_minute: u32,
    pub(crate) wrong_secrets: u32,
    pub(crate) wrong_secrets_per_minute: u32,
}

impl Default for Rate {
    fn default() -> Rate {
        let rates = tresor_arm::Rates::default();
        Rate {
            reads: rates.reads.burst,
            reads_per_minute: rates.reads.per_minute,
            writes: rates.writes.burst,
            writes_per_minute: rates.writes.per_minute,
            deletes: rates.deletes.burst,
            deletes_per_minute: rates.deletes.per_minute,
            anonymous: rates.anonymous.burst,
            anonymous_per_minute: rates.anonymous.per_minute,
            wrong_secrets: rates.secrets.burst,
            wrong_secrets_per_minute: rates.secrets.per_minute,
        }
    }
}

/// The audit trail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Audit {
    pub(crate) file_bytes: u64,
    pub(crate) files: usize,
    pub(crate) days: u32,
}

impl Default for Audit {
    fn default() -> Audit {
        let AuditSettings { file_bytes, files, days } = AuditSettings::default();
        Audit { file_bytes, files, days }
    }
}

/// Certificates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tls {
    pub(crate) names: Vec<String>,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) ca: PathBuf,
}

/// Logs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Log {
    pub(crate) format: LogFormat,
    pub(crate) filter: String,
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// The value as the configuration writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
    }
}

/// Stopping.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Shutdown {
    pub(crate) seconds: u64,
}

/// For those who test their automation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Test {
    pub(crate) ephemeral: bool,
    pub(crate) clock: DomainClock,
}

/// Where domain time comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) enum DomainClock {
    /// From the machine.
    System,
    /// From a clock that stands still until it is moved and shows the time of the start.
    Manual,
    /// The same, showing this time.
    ManualFrom(Timestamp),
}

impl TryFrom<String> for DomainClock {
    type Error = String;

    fn try_from(text: String) -> Result<DomainClock, String> {
        match text.as_str() {
            "system" => Ok(DomainClock::System),
            "manual" => Ok(DomainClock::Manual),
            other => other.parse().map(DomainClock::ManualFrom).map_err(|_| {
                format!(
                    "test.clock: \"{other}\" is neither \"system\" nor \"manual\" nor a time \
                     such as \"2026-01-01T00:00:00Z\""
                )
            }),
        }
    }
}

impl From<DomainClock> for String {
    fn from(clock: DomainClock) -> String {
        match clock {
            DomainClock::System => "system".to_owned(),
            DomainClock::Manual => "manual".to_owned(),
            DomainClock::ManualFrom(start) => start.to_string(),
        }
    }
}

impl Default for Config {
    fn default() -> Config {
        let locations = ["westus", "westus2", "eastus", "eastus2", "westeurope", "northeurope"];
        Config {
            data: PathBuf::from("./data"),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8443)),
            base_url: String::new(),
            locations: locations.map(str::to_owned).to_vec(),
            workers: 2,
            ready_file: PathBuf::new(),
            storage: Storage::default(),
            import: Import::default(),
            limits: LimitsSection::default(),
            fidelity: Fidelity::default(),
            wire: Wire {
                poll_hold_ms: 1000,
                max_polls: 256,
                max_connections: 1024,
                max_connections_per_address: 512,
                max_requests: 1024,
                max_body_bytes: 4 << 20,
                max_target_bytes: 8 << 10,
                request_seconds: 60,
            },
            tokens: Tokens { lifetime_seconds: 3600, key_days: 30 },
            identity: Identity::default(),
            rate: Rate::default(),
            audit: Audit::default(),
            tls: Tls::default(),
            log: Log { format: LogFormat::Text, filter: "info".to_owned() },
            shutdown: Shutdown { seconds: 10 },
            test: Test { ephemeral: false, clock: DomainClock::System },
            store: StoreConfig::default(),
        }
    }
}

impl Config {
    /// The folder of the volumes of our own disks.
    pub(crate) fn volumes(&self) -> PathBuf {
        self.folder_or(&self.storage.volumes, "volumes")
    }

    /// The folder of the operational store.
    pub(crate) fn store_folder(&self) -> PathBuf {
        self.folder_or(&self.storage.store, "store")
    }

    fn folder_or(&self, set: &std::path::Path, name: &str) -> PathBuf {
        if set.as_os_str().is_empty() { self.data.join(name) } else { set.to_path_buf() }
    }
}

#[cfg(test)]
mod tests;
