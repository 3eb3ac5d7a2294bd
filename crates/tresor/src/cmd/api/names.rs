//! Names made into resource ids.
//!
//! Everywhere a name is asked for, a whole id (it begins with `/`) is taken too. What would change
//! the meaning of a path is refused here, before anything is sent.

use anyhow::Result;
use clap::Args;

use super::session::Session;
use crate::client::Api;
use crate::usage::Usage;

/// A resource in a resource group.
#[derive(Args)]
pub(super) struct InGroup {
    /// Resource group
    #[arg(short = 'g', long, value_name = "GROUP")]
    resource_group: Option<String>,
    /// Name, or the whole resource id
    #[arg(short, long)]
    pub(super) name: String,
}

/// A backup vault.
#[derive(Args)]
pub(super) struct InVault {
    /// Resource group of the vault
    #[arg(short = 'g', long, value_name = "GROUP")]
    resource_group: Option<String>,
    /// Backup vault, or its whole resource id
    #[arg(long, value_name = "VAULT")]
    vault_name: Option<String>,
}

impl InGroup {
    /// The id of a resource of a type.
    pub(super) async fn id(&self, session: &Session, kind: &str) -> Result<String> {
        session.id(self.resource_group.as_deref(), kind, &self.name).await
    }
}

impl InVault {
    /// The vault's id.
    pub(super) async fn id(&self, session: &Session) -> Result<String> {
        let Some(vault) = &self.vault_name else {
            return Err(Usage::error("give --vault-name (and -g)"));
        };
        session.id(self.resource_group.as_deref(), VAULTS, vault).await
    }

    /// The id of something in the vault: `part` is `backupPolicies`, `backupJobs` or the like.
    pub(super) async fn child(&self, session: &Session, part: &str, name: &str) -> Result<String> {
        if name.starts_with('/') {
            return whole(name);
        }
        Ok(format!("{}/{part}/{}", self.id(session).await?, checked(name)?))
    }

    /// The resource group that was named.
    pub(super) fn group(&self) -> Option<&str> {
        self.resource_group.as_deref()
    }
}

/// The types of resources, as ids have them.
pub(super) const DISKS: &str = "Microsoft.Compute/disks";
pub(super) const SNAPSHOTS: &str = "Microsoft.Compute/snapshots";
pub(super) const VAULTS: &str = "Microsoft.DataProtection/backupVaults";

impl Session {
    /// The id of a resource group.
    pub(super) async fn group(&self, name: &str) -> Result<String> {
        if name.starts_with('/') {
            return whole(name);
        }
        Ok(format!("{}/resourceGroups/{}", self.root().await?, checked(name)?))
    }

    /// The id of a resource of a type in a group.
    pub(super) async fn id(&self, group: Option<&str>, kind: &str, name: &str) -> Result<String> {
        if name.starts_with('/') {
            return whole(name);
        }
        let Some(group) = group else {
            return Err(Usage::error(format!("give the resource group of '{name}' (-g)")));
        };
        let group = self.group(group).await?;
        Ok(format!("{group}/providers/{kind}/{}", checked(name)?))
    }

    /// The path of a list: of one group or of the whole subscription.
    pub(super) async fn within(&self, group: Option<&str>, kind: &str) -> Result<String> {
        let scope = match group {
            Some(group) => self.group(group).await?,
            None => self.root().await?,
        };
        Ok(format!("{scope}/providers/{kind}"))
    }

    /// The location that was asked for, else that of the resource's group.
    pub(super) async fn location(&self, asked: Option<&str>, id: &str) -> Result<String> {
        if let Some(asked) = asked {
            return Ok(asked.to_owned());
        }
        let group = super::output::group_of(id).unwrap_or_default();
        let group = self.group(group).await?;
        self.location_of(&group, Api::Groups).await
    }

    /// The location of a resource.
    pub(super) async fn location_of(&self, id: &str, api: Api) -> Result<String> {
        let found = self.client.get(id, api).await?;
        let location = crate::client::text(&found, "/location");
        Ok(location.unwrap_or_default().to_owned())
    }
}

/// A name that is one part of a path and nothing else.
pub(super) fn checked(name: &str) -> Result<&str> {
    let special = |char: char| "/\\?#%".contains(char) || char.is_control();
    if name.trim().is_empty() || name == "." || name == ".." || name.contains(special) {
        return Err(Usage::error(format!("'{}' is no name", name.escape_debug())));
    }
    Ok(name)
}

/// A whole id.
pub(super) fn whole(id: &str) -> Result<String> {
    let mut parts = id.trim_end_matches('/').split('/').skip(1).peekable();
    if parts.peek().is_none() || parts.any(|part| checked(part).is_err()) {
        return Err(Usage::error(format!("'{}' is no resource id", id.escape_debug())));
    }
    Ok(id.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_place() {
        for good in ["a", "Rg-1_(a).b", "with blank", "\u{fc}"] {
            assert!(checked(good).is_ok(), "{good}");
        }
        for bad in ["", " ", ".", "..", "a/b", "a?b", "a#b", "a%2fb", "a\\b", "a\nb"] {
            let error = checked(bad).unwrap_err();
            assert!(Usage::is_in(&error), "{bad}");
        }
    }

    #[test]
    fn ids_are_taken_whole() {
        assert_eq!(whole("/subscriptions/s/").unwrap(), "/subscriptions/s");
        for bad in ["/", "//", "/a//b", "/a/../b", "/a?b", "/a/%2e"] {
            assert!(whole(bad).is_err(), "{bad}");
        }
    }
}
