//! How to go on by hand after the demo.

use std::path::Path;

use crate::cmd::env::quoted;

/// The words that point `az` and the SDKs at a running service; `program` prints its environment.
pub(super) fn guide(program: &Path, base_url: &str, ca_file: &Path, data: &Path) -> String {
    let word = |path: &Path| quoted(&path.to_string_lossy());
    let (program, data, ca_file) = (word(program), word(data), ca_file.display());
    format!(
        r#"The service stays up at {base_url} (Ctrl-C stops it).

Its address and the owner's credentials for your shell:
  eval "$({program} env --data {data})"
  export REQUESTS_CA_BUNDLE="$CA_FILE" NODE_EXTRA_CA_CERTS="$CA_FILE"

az:
  az cloud register -n tresor --endpoint-resource-manager "$BASE_URL"
  az cloud set -n tresor
  az login --service-principal -u "$CLIENT_ID" -p "$CLIENT_SECRET" --tenant "$TENANT_ID"
  az dataprotection backup-vault list
  (back to Azure: az cloud set -n AzureCloud)

Python (azure-identity, azure-mgmt-dataprotection):
  credential = ClientSecretCredential(TENANT_ID, CLIENT_ID, CLIENT_SECRET,
      authority=BASE_URL, disable_instance_discovery=True)
  client = DataProtectionMgmtClient(credential, SUBSCRIPTION_ID,
      base_url=BASE_URL, credential_scopes=[BASE_URL + "/.default"])

JavaScript (@azure/identity, @azure/arm-compute and the other @azure/arm-* packages):
  const credential = new ClientSecretCredential(TENANT_ID, CLIENT_ID, CLIENT_SECRET,
    {{ authorityHost: BASE_URL, disableInstanceDiscovery: true }});
  const client = new ComputeManagementClient(credential, SUBSCRIPTION_ID, {{ endpoint: BASE_URL }});

The certificate authority to trust: {ca_file}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_command_can_be_pasted() {
        let (program, data) = (Path::new("/my programs/tresor"), Path::new("/d's"));
        let text = guide(program, "https://localhost:1", Path::new("/d/ca.pem"), data);
        let line = r#"eval "$('/my programs/tresor' env --data '/d'\''s')""#;
        assert!(text.contains(line), "{text}");
    }
}
