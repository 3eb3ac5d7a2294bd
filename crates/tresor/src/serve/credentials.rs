//! The files through which the owner of a data folder gets in.
//!
//! `owner.json`: tenant, subscription and the owner service principal with its secret, and
//! `recovery-key.txt`: the key that opens the store when all others are lost. Both are written at
//! the first start, before the service listens, readable by their owner only, and never logged.
//! `identity-endpoint.json` holds the address and secret of the managed identity endpoint, while
//! one is served. `endpoint.json` says where the running service listens; it is there only while
//! one does (after a kill it may be stale: its `pid` tells).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::durable::{self, Access};
use crate::usage::Usage;

/// The owner service principal.
#[derive(Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) tenant: Uuid,
    pub(crate) subscription: Uuid,
    pub(crate) client_id: Uuid,
    #[serde(with = "secret")]
    pub(crate) client_secret: Zeroizing<String>,
}

/// A secret is written out only where a field asks for it by name.
pub(crate) mod secret {
    use serde::{Deserialize, Deserializer, Serializer};
    use zeroize::Zeroizing;

    pub(crate) fn serialize<S: Serializer>(
        secret: &Zeroizing<String>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Zeroizing<String>, D::Error> {
        String::deserialize(from).map(Zeroizing::new)
    }
}

impl Owner {
    fn file(data: &Path) -> PathBuf {
        data.join("owner.json")
    }

    /// Writes the file; returns where it is.
    pub(crate) fn keep(&self, data: &Path) -> Result<PathBuf> {
        let file = Owner::file(data);
        let text = Zeroizing::new(serde_json::to_vec_pretty(self)?);
        durable::write(&file, &text, Access::Private)?;
        Ok(file)
    }

    /// Reads the file of an earlier start.
    pub(crate) fn read(data: &Path) -> Result<Owner> {
        let file = Owner::file(data);
        let text = Zeroizing::new(fs::read(&file).with_context(|| {
            Usage(format!(
                "cannot read {}: give the data folder of a service that has been started",
                file.display()
            ))
        })?);
        serde_json::from_slice(&text).with_context(|| format!("{} is damaged", file.display()))
    }

    /// Whether the file is there.
    pub(crate) fn is_kept(data: &Path) -> bool {
        Owner::file(data).exists()
    }
}

/// Writes the recovery key; returns where it is.
pub(crate) fn keep_recovery_key(data: &Path, key: &str) -> Result<PathBuf> {
    let file = data.join("recovery-key.txt");
    let line = Zeroizing::new(format!("{key}\n"));
    durable::write(&file, line.as_bytes(), Access::Private)?;
    Ok(file)
}

/// Where a running service is reached.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    pub(crate) base_url: String,
    pub(crate) pid: u32,
    pub(crate) ca_file: PathBuf,
}

impl Endpoint {
    fn file(data: &Path) -> PathBuf {
        data.join("endpoint.json")
    }

    /// Tells other processes that the service listens.
    pub(crate) fn publish(&self, data: &Path) -> Result<()> {
        durable::write(&Endpoint::file(data), &serde_json::to_vec(self)?, Access::Public)
    }

    /// The service listens no longer.
    pub(crate) fn withdraw(data: &Path) -> Result<()> {
        durable::remove(&Endpoint::file(data))
    }

    /// Reads what the running service published.
    pub(crate) fn read(data: &Path) -> Result<Endpoint> {
        let file = Endpoint::file(data);
        let text = fs::read(&file).with_context(|| {
            Usage(format!(
                "cannot read {}: no service runs on this folder; start one with `tresor serve \
                 --data {}`",
                file.display(),
                data.display()
            ))
        })?;
        serde_json::from_slice(&text).with_context(|| format!("{} is damaged", file.display()))
    }
}

/// How programs on this machine get tokens of managed identities.
#[derive(Serialize, Deserialize)]
pub(crate) struct IdentityAccess {
    /// The address that clients call `IDENTITY_ENDPOINT`.
    pub(crate) endpoint: String,
    /// The secret that they send along.
    #[serde(with = "secret")]
    pub(crate) header: Zeroizing<String>,
    /// The address of the metadata form, when that is on.
    pub(crate) metadata: Option<String>,
}

impl IdentityAccess {
    fn file(data: &Path) -> PathBuf {
        data.join("identity-endpoint.json")
    }

    /// Tells the owner's other processes that the endpoint listens.
    pub(crate) fn publish(&self, data: &Path) -> Result<()> {
        let text = Zeroizing::new(serde_json::to_vec(self)?);
        durable::write(&IdentityAccess::file(data), &text, Access::Private)
    }

    /// The endpoint listens no longer.
    pub(crate) fn withdraw(data: &Path) -> Result<()> {
        durable::remove(&IdentityAccess::file(data))
    }

    /// What the running service published; None when the endpoint is off.
    pub(crate) fn read(data: &Path) -> Result<Option<IdentityAccess>> {
        let file = IdentityAccess::file(data);
        match fs::read(&file).map(Zeroizing::new) {
            Ok(text) => {
                let read = serde_json::from_slice(&text);
                read.map(Some).with_context(|| format!("{} is damaged", file.display()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }
}

/// Tells whoever started the service that it listens, and how to get in: the variables of
/// `tresor env` as JSON, with the data folder and the process beside them.
pub(crate) fn publish_ready(file: &Path, data: &Path) -> Result<()> {
    let (owner, endpoint) = (Owner::read(data)?, Endpoint::read(data)?);
    let variables = crate::cmd::env::variables(&owner, &endpoint);
    let mut members: BTreeMap<&str, &str> =
        variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (folder, pid) = (data.to_string_lossy(), endpoint.pid.to_string());
    members.extend([("DATA_FOLDER", folder.as_ref()), ("PID", pid.as_str())]);
    let text = Zeroizing::new(serde_json::to_vec_pretty(&members)?);
    durable::write(file, &text, Access::Private)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_owner_comes_back_and_the_file_is_private() {
        let data = tempfile::tempdir().unwrap();
        let owner = Owner {
            tenant: Uuid::from_u128(1),
            subscription: Uuid::from_u128(2),
            client_id: Uuid::from_u128(3),
            client_secret: Zeroizing::new("it's \"secret\"".to_owned()),
        };
        assert!(!Owner::is_kept(data.path()));
        let file = owner.keep(data.path()).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(Owner::is_kept(data.path()));
        let back = Owner::read(data.path()).unwrap();
        assert_eq!(back.tenant, owner.tenant);
        assert_eq!(back.subscription, owner.subscription);
        assert_eq!(back.client_id, owner.client_id);
        assert_eq!(*back.client_secret, *owner.client_secret);
        let file = keep_recovery_key(data.path(), "AAAA-BBBB").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&file).unwrap(), "AAAA-BBBB\n");
    }

    #[test]
    fn the_identity_endpoint_is_told_to_the_owner_only() {
        let data = tempfile::tempdir().unwrap();
        assert!(IdentityAccess::read(data.path()).unwrap().is_none());
        let access = IdentityAccess {
            endpoint: "http://127.0.0.1:8480/msi/token".to_owned(),
            header: Zeroizing::new("secret".to_owned()),
            metadata: None,
        };
        access.publish(data.path()).unwrap();
        let file = IdentityAccess::file(data.path());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let back = IdentityAccess::read(data.path()).unwrap().unwrap();
        assert_eq!((back.endpoint, &*back.header), (access.endpoint, &*access.header));
        IdentityAccess::withdraw(data.path()).unwrap();
        assert!(IdentityAccess::read(data.path()).unwrap().is_none());
    }

    #[test]
    fn an_endpoint_is_there_only_while_it_is_published() {
        let data = tempfile::tempdir().unwrap();
        let endpoint = Endpoint {
            base_url: "https://localhost:8443".to_owned(),
            pid: 7,
            ca_file: PathBuf::from("/d/ca.pem"),
        };
        endpoint.publish(data.path()).unwrap();
        assert_eq!(Endpoint::read(data.path()).unwrap(), endpoint);
        Endpoint::withdraw(data.path()).unwrap();
        let error = Endpoint::read(data.path()).unwrap_err();
        assert!(format!("{error:#}").contains("tresor serve --data"), "{error:#}");
    }
}
