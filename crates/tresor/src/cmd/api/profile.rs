//! Who is signed in: from the environment, or from what `tresor login` kept.
//!
//! `BASE_URL` decides: where it is set the environment is the whole sign-in, and no kept secret or
//! token ever goes to an address that only the environment named. What is kept is as little as
//! does the work: a sign-in by a data folder keeps the folder's path (its `owner.json` is private
//! already), one by the machine's identity keeps nothing secret, one by a service principal keeps
//! the token until it ends, and the secret only if asked to. The file is private (0600), written
//! whole or not at all, and refused when others can read it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::client::credential::{Credential, Token};
use crate::client::{self, Site};
use crate::durable::{self, Access};
use crate::serve::credentials::{Endpoint, Owner};
use crate::usage::Usage;

/// A variable of the environment, if it is set to something.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A sign-in, ready to be used.
pub(super) struct Login {
    pub(super) site: Site,
    pub(super) credential: Credential,
    pub(super) subscription: Option<String>,
    pub(super) who: Who,
}

/// What a sign-in is, in words; nothing of it is secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) tenant: Option<String>,
    pub(super) client_id: Option<String>,
    /// Where it comes from.
    pub(super) source: String,
    /// How tokens are come by.
    pub(super) by: String,
}

/// What is kept.
#[derive(Serialize, Deserialize)]
pub(super) struct Profile {
    /// Of a sign-in by a data folder: the address is read anew each time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) base_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ca_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subscription: Option<String>,
    pub(super) sign_in: Kept,
}

/// How a kept sign-in comes by tokens.
#[derive(Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub(super) enum Kept {
    Data { folder: PathBuf },
    Token { tenant: String, client_id: String, token: Secret, ends: Timestamp },
    Secret { tenant: String, client_id: String, secret: Secret },
    Machine { client_id: Option<String> },
}

/// A text that is zeroised and has no `Debug`.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Secret(#[serde(with = "crate::serve::credentials::secret")] Zeroizing<String>);

impl Secret {
    /// Keeps a text.
    pub(super) fn new(text: &str) -> Secret {
        Secret(Zeroizing::new(text.to_owned()))
    }
}

impl Login {
    /// The sign-in of the environment, else the kept one.
    pub(super) fn find() -> Result<Login> {
        if let Some(login) = Login::of_environment(variable)? {
            return Ok(login);
        }
        let file = Profile::file()?;
        let Some(profile) = Profile::read(&file)? else {
            return Err(Usage::error(
                "nobody is signed in: run `tresor login --data DIR`, or eval \"$(tresor env \
                 --data DIR)\"",
            ));
        };
        profile.login(&file)
    }

    /// The sign-in that variables make, as `tresor env` prints them.
    fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Login>> {
        let Some(base_url) = variable("BASE_URL") else {
            return Ok(None);
        };
        let site = Site::new(&base_url, variable("CA_FILE").map(PathBuf::from))?;
        let (tenant, client_id) = (variable("TENANT_ID"), variable("CLIENT_ID"));
        let credential = match (tenant, client_id, variable("CLIENT_SECRET")) {
            (Some(tenant), Some(client_id), Some(secret)) => {
                Credential::Secret { tenant, client_id, secret: Zeroizing::new(secret) }
            }
            (_, client_id, None) if variable("IDENTITY_ENDPOINT").is_some() => {
                machine(client_id, &variable)?
            }
            _ => {
                return Err(Usage::error(
                    "BASE_URL is set, so the environment has to say who calls: set TENANT_ID, \
                     CLIENT_ID and CLIENT_SECRET, or unset BASE_URL",
                ));
            }
        };
        let who = Who { source: "environment".to_owned(), ..Who::of(&credential) };
        let subscription = variable("SUBSCRIPTION_ID");
        Ok(Some(Login { site, credential, subscription, who }))
    }

    /// The owner of the service that runs on a data folder.
    pub(super) fn of_data(data: &Path) -> Result<Login> {
        let (owner, endpoint) = (Owner::read(data)?, Endpoint::read(data)?);
        let credential = client::owner(&owner);
        let by = format!("the owner's secret in {}", data.display());
        let who = Who { by, ..Who::of(&credential) };
        Ok(Login {
            site: Site::new(&endpoint.base_url, Some(endpoint.ca_file))?,
            credential,
            subscription: Some(owner.subscription.to_string()),
            who,
        })
    }
}

impl Who {
    fn of(credential: &Credential) -> Who {
        let (tenant, client_id, by) = match credential {
            Credential::Secret { tenant, client_id, .. } => {
                (Some(tenant.clone()), Some(client_id.clone()), "secret".to_owned())
            }
            Credential::Kept(token) => (None, None, format!("token until {:.0}", token.ends)),
            Credential::Machine { client_id, .. } => {
                (None, client_id.clone(), "machine identity (IDENTITY_ENDPOINT)".to_owned())
            }
        };
        Who { tenant, client_id, source: String::new(), by }
    }
}

/// The machine's identity, as the environment names its endpoint.
pub(super) fn machine(
    client_id: Option<String>,
    variable: &impl Fn(&str) -> Option<String>,
) -> Result<Credential> {
    let endpoint = variable("IDENTITY_ENDPOINT").ok_or_else(|| {
        Usage::error("IDENTITY_ENDPOINT is not set: this machine has no identity endpoint")
    })?;
    let header = Zeroizing::new(variable("IDENTITY_HEADER").unwrap_or_default());
    Ok(Credential::Machine { endpoint, header, client_id })
}

impl Profile {
    /// Where it is kept.
    pub(super) fn file() -> Result<PathBuf> {
        let home = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let folder = home("XDG_CONFIG_HOME").or_else(|| Some(home("HOME")?.join(".config")));
        let folder = folder.ok_or_else(|| {
            Usage::error("neither XDG_CONFIG_HOME nor HOME says where a sign-in can be kept")
        })?;
        Ok(folder.join("tresor").join("profile.json"))
    }

    /// Keeps it.
    pub(super) fn keep(&self, file: &Path) -> Result<()> {
        if let Some(folder) = file.parent() {
            durable::folder(folder)?;
        }
        let text = Zeroizing::new(serde_json::to_vec_pretty(self)?);
        durable::write(file, &text, Access::Private)
    }

    /// Reads what was kept, if anything was.
    pub(super) fn read(file: &Path) -> Result<Option<Profile>> {
        let unreadable = || format!("cannot read {}", file.display());
        let about = match fs::metadata(file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            about => about.with_context(unreadable)?,
        };
        if about.permissions().mode() & 0o077 != 0 {
            return Err(Usage::error(format!(
                "{} can be read by others: chmod 600 it, and consider what it holds as known",
                file.display()
            )));
        }
        let text = Zeroizing::new(fs::read(file).with_context(unreadable)?);
        let damaged = || format!("{} is damaged: `tresor login` again", file.display());
        serde_json::from_slice(&text).map(Some).with_context(damaged)
    }

    fn login(self, file: &Path) -> Result<Login> {
        let source = file.display().to_string();
        let (credential, named) = match self.sign_in {
            Kept::Data { folder } => {
                let login = Login::of_data(&folder)?;
                return Ok(Login { who: Who { source, ..login.who }, ..login });
            }
            Kept::Secret { tenant, client_id, secret } => {
                (Credential::Secret { tenant, client_id, secret: secret.0 }, None)
            }
            Kept::Token { tenant, client_id, token, ends } => {
                let credential = Credential::Kept(Token::new(token.0, ends));
                (credential, Some((tenant, client_id)))
            }
            Kept::Machine { client_id } => (machine(client_id, &variable)?, None),
        };
        let address = self.base_url.context("the kept sign-in has no address")?;
        let mut who = Who { source, ..Who::of(&credential) };
        if let Some((tenant, client_id)) = named {
            (who.tenant, who.client_id) = (Some(tenant), Some(client_id));
        }
        let site = Site::new(&address, self.ca_file)?;
        Ok(Login { site, credential, subscription: self.subscription, who })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(set: &[(&'static str, &'static str)]) -> impl Fn(&str) -> Option<String> {
        move |name| {
            let found = set.iter().find(|(own, _)| *own == name);
            found.map(|(_, value)| (*value).to_owned())
        }
    }

    #[test]
    fn the_environment_is_whole_or_refused() {
        let whole = [
            ("BASE_URL", "https://h"),
            ("TENANT_ID", "t"),
            ("CLIENT_ID", "c"),
            ("CLIENT_SECRET", "s3cret"),
            ("CA_FILE", "/ca.pem"),
            ("SUBSCRIPTION_ID", "sub"),
        ];
        let login = Login::of_environment(variables(&whole)).unwrap().unwrap();
        assert_eq!(login.site, Site::new("https://h", Some("/ca.pem".into())).unwrap());
        assert_eq!(login.subscription.as_deref(), Some("sub"));
        assert_eq!(login.who.client_id.as_deref(), Some("c"));
        assert!(!format!("{:?}", login.who).contains("s3cret"));
        // A secret alone is not the environment's sign-in; an address alone is half of one.
        assert!(Login::of_environment(variables(&whole[1..])).unwrap().is_none());
        let half = Login::of_environment(variables(&whole[..2])).err().unwrap();
        assert!(Usage::is_in(&half) && half.to_string().contains("CLIENT_SECRET"));
        let machine = [("BASE_URL", "https://h"), ("IDENTITY_ENDPOINT", "http://127.0.0.1/msi")];
        let login = Login::of_environment(variables(&machine)).unwrap().unwrap();
        assert!(matches!(login.credential, Credential::Machine { .. }));
    }

    #[test]
    fn what_is_kept_is_private_and_comes_back() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("tresor/profile.json");
        assert!(Profile::read(&file).unwrap().is_none());
        let ends: Timestamp = "2026-01-08T06:00:00Z".parse().unwrap();
        let (tenant, client_id) = ("t".to_owned(), "c".to_owned());
        let token = Secret::new("tok");
        let profile = Profile {
            base_url: Some("https://h".to_owned()),
            ca_file: None,
            subscription: Some("sub".to_owned()),
            sign_in: Kept::Token { tenant, client_id, token, ends },
        };
        profile.keep(&file).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
        let login = Profile::read(&file).unwrap().unwrap().login(&file).unwrap();
        assert_eq!(login.who.by, "token until 2026-01-08T06:00:00Z");
        assert_eq!(login.who.tenant.as_deref(), Some("t"));
        let Credential::Kept(token) = login.credential else { panic!("no token") };
        assert_eq!((token.text(), token.ends), ("tok", ends));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let error = Profile::read(&file).err().unwrap();
        assert!(Usage::is_in(&error) && error.to_string().contains("chmod 600"));
    }
}
