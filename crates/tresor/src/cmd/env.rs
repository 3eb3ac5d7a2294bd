//! `tresor env`: the environment of a client of the service that runs on a data folder.
//!
//! Meant for `eval "$(tresor env --data DIR)"`, so every value is quoted for a POSIX shell.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use zeroize::Zeroizing;

use crate::serve::credentials::{Endpoint, IdentityAccess, Owner};
use crate::terminal::say;

/// Prints the `export` lines.
pub(crate) fn run(data: &Path) -> Result<()> {
    let (owner, endpoint) = (Owner::read(data)?, Endpoint::read(data)?);
    let identity = IdentityAccess::read(data)?;
    say(exports(&owner, &endpoint, identity.as_ref())?.trim_end())?;
    Ok(())
}

fn exports(
    owner: &Owner,
    endpoint: &Endpoint,
    identity: Option<&IdentityAccess>,
) -> Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    for (name, value) in variables(owner, endpoint) {
        writeln!(text, "export {name}={}", quoted(&value))?;
    }
    if let Some(identity) = identity {
        writeln!(text, "export IDENTITY_ENDPOINT={}", quoted(&identity.endpoint))?;
        writeln!(text, "export IDENTITY_HEADER={}", quoted(&identity.header))?;
        if let Some(host) = &identity.metadata {
            writeln!(text, "export AZURE_POD_IDENTITY_AUTHORITY_HOST={}", quoted(host))?;
        }
    }
    Ok(text)
}

/// What a client needs, by the names that all examples use.
pub(crate) fn variables(
    owner: &Owner,
    endpoint: &Endpoint,
) -> [(&'static str, Zeroizing<String>); 6] {
    let ca_file = endpoint.ca_file.to_string_lossy().into_owned();
    [
        ("BASE_URL", Zeroizing::new(endpoint.base_url.clone())),
        ("TENANT_ID", Zeroizing::new(owner.tenant.to_string())),
        ("CLIENT_ID", Zeroizing::new(owner.client_id.to_string())),
        ("CLIENT_SECRET", owner.client_secret.clone()),
        ("SUBSCRIPTION_ID", Zeroizing::new(owner.subscription.to_string())),
        ("CA_FILE", Zeroizing::new(ca_file)),
    ]
}

/// A POSIX shell word that means exactly `text`: within single quotes only the single quote itself
/// has a meaning.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        for text in ["", "plain", "it's", "$HOME `id` \"x\" \\ ;&|\n!", "''"] {
            let script = format!("printf %s {}", quoted(text));
            let output = Command::new("sh").arg("-c").arg(script).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
        }
    }

    #[test]
    fn the_six_variables_reach_the_shell() {
        let owner = Owner {
            tenant: Uuid::from_u128(1),
            subscription: Uuid::from_u128(2),
            client_id: Uuid::from_u128(3),
            client_secret: Zeroizing::new("a'b$c".to_owned()),
        };
        let endpoint = Endpoint {
            base_url: "https://localhost:8443".to_owned(),
            pid: 1,
            ca_file: "/my data/tls/ca.pem".into(),
        };
        let text = exports(&owner, &endpoint, None).unwrap();
        let script = format!(
            "{}\necho \"$BASE_URL|$TENANT_ID|$CLIENT_ID|$CLIENT_SECRET|$SUBSCRIPTION_ID|$CA_FILE\"",
            *text
        );
        let output = Command::new("sh").arg("-c").arg(script).output().unwrap();
        assert_eq!(
            String::from_utf8(output.stdout).unwrap(),
            "https://localhost:8443|00000000-0000-0000-0000-000000000001|\
             00000000-0000-0000-0000-000000000003|a'b$c|\
             00000000-0000-0000-0000-000000000002|/my data/tls/ca.pem\n"
        );
        assert_eq!(text.lines().count(), 6);
        let identity = IdentityAccess {
            endpoint: "http://127.0.0.1:8480/msi/token".to_owned(),
            header: Zeroizing::new("s".to_owned()),
            metadata: Some("http://127.0.0.1:8480".to_owned()),
        };
        let more = exports(&owner, &endpoint, Some(&identity)).unwrap();
        let rest: Vec<&str> = more.lines().skip(6).collect();
        assert_eq!(
            rest,
            [
                "export IDENTITY_ENDPOINT='http://127.0.0.1:8480/msi/token'",
                "export IDENTITY_HEADER='s'",
                "export AZURE_POD_IDENTITY_AUTHORITY_HOST='http://127.0.0.1:8480'",
            ]
        );
    }
}
