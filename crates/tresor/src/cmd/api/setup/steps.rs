//! The steps, with a service's own values, ready to be pasted.

use super::{Tool, Values};
use crate::cmd::env::quoted;

/// The steps for a tool.
pub(super) fn steps(tool: Tool, values: &Values) -> String {
    let rest = match tool {
        Tool::Az => az(),
        Tool::Python => python(),
        Tool::Js => js(),
        Tool::Terraform => terraform(values),
    };
    format!("{}\n{rest}", variables(tool, values))
}

/// The variables of every tool, and of this one the one about certificates.
fn variables(tool: Tool, values: &Values) -> String {
    let mut text = String::from(
        "# 1. The service, who calls, and the certificate authority to believe. On the service's\n\
         #    machine `eval \"$(tresor env --data DIR)\"` sets all of these, the secret too.\n",
    );
    for (name, value) in [
        ("BASE_URL", &values.base_url),
        ("TENANT_ID", &values.tenant),
        ("CLIENT_ID", &values.client_id),
        ("SUBSCRIPTION_ID", &values.subscription),
    ] {
        text.push_str(&format!("export {name}={}\n", quoted(value)));
    }
    text.push_str(
        "read -rs CLIENT_SECRET && export CLIENT_SECRET   # of CLIENT_ID; typed unseen\n",
    );
    if let Some(file) = &values.ca_file {
        let file = quoted(&file.to_string_lossy());
        text.push_str(&format!("export CA_FILE={file}\n"));
        text.push_str(&format!("export {}=\"$CA_FILE\"\n", tool.ca_variable()));
    }
    text
}

fn az() -> String {
    r#"# 2. az itself
pip install azure-cli

# 3. The service as a cloud of its own (its metadata name an authority of the ADFS form, so az
#    asks nobody else about it)
az cloud register -n tresor --endpoint-resource-manager "$BASE_URL"
az cloud set -n tresor

# 4. Sign in
az login --service-principal -u "$CLIENT_ID" -p "$CLIENT_SECRET" --tenant "$TENANT_ID"

# 5. Use it
az group list -o table
az disk list -o table
vaults="/subscriptions/$SUBSCRIPTION_ID/providers/Microsoft.DataProtection/backupVaults"
az rest --method get --url "$BASE_URL$vaults?api-version=2025-07-01"

# Back to Azure: az cloud set -n AzureCloud
"#
    .to_owned()
}

fn python() -> String {
    r#"# 2. The libraries
pip install azure-identity azure-mgmt-dataprotection azure-mgmt-compute

# 3. Use them
python3 - <<'PYTHON'
import os
from azure.identity import ClientSecretCredential
from azure.mgmt.dataprotection import DataProtectionMgmtClient

base = os.environ["BASE_URL"]
credential = ClientSecretCredential(
    os.environ["TENANT_ID"], os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"],
    authority=base, disable_instance_discovery=True)
client = DataProtectionMgmtClient(
    credential, os.environ["SUBSCRIPTION_ID"], base_url=base,
    credential_scopes=[base + "/.default"])
print([vault.name for vault in client.backup_vaults.get_in_subscription()])
PYTHON
"#
    .to_owned()
}

fn js() -> String {
    r#"# 2. The libraries (in your project's folder)
npm install @azure/identity @azure/arm-compute @azure/arm-resources

# 3. Use them
cat > tresor.mjs <<'JS'
import { ClientSecretCredential } from "@azure/identity";
import { ComputeManagementClient } from "@azure/arm-compute";

const { BASE_URL, TENANT_ID, CLIENT_ID, CLIENT_SECRET, SUBSCRIPTION_ID } = process.env;
const credential = new ClientSecretCredential(TENANT_ID, CLIENT_ID, CLIENT_SECRET,
  { authorityHost: BASE_URL, disableInstanceDiscovery: true });
const client = new ComputeManagementClient(credential, SUBSCRIPTION_ID,
  { endpoint: BASE_URL, credentialScopes: [BASE_URL + "/.default"] });
for await (const disk of client.disks.list()) console.log(disk.name);
JS
node tresor.mjs
"#
    .to_owned()
}

fn terraform(values: &Values) -> String {
    format!(
        r#"# 2. The secret, where the provider looks for it
export ARM_CLIENT_SECRET="$CLIENT_SECRET"

# 3. The provider
cat > provider.tf <<'HCL'
terraform {{
  required_providers {{
    azurerm = {{ source = "hashicorp/azurerm" }}
  }}
}}

provider "azurerm" {{
  features {{}}
  metadata_host                   = "{host}"
  resource_provider_registrations = "none"
  tenant_id                       = "{tenant}"
  subscription_id                 = "{subscription}"
  client_id                       = "{client_id}"
}}
HCL

# 4. Use it
terraform init
terraform plan
"#,
        host = values.host(),
        tenant = values.tenant,
        subscription = values.subscription,
        client_id = values.client_id,
    )
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn values() -> Values {
        Values {
            base_url: "https://localhost:8443".to_owned(),
            ca_file: Some("/my data/ca.pem".into()),
            tenant: "t-1".to_owned(),
            client_id: "c-1".to_owned(),
            subscription: "s-1".to_owned(),
        }
    }

    #[test]
    fn every_tool_has_its_certificate_variable() {
        for tool in [Tool::Az, Tool::Python, Tool::Js, Tool::Terraform] {
            let text = steps(tool, &values());
            let line = format!("export {}=\"$CA_FILE\"", tool.ca_variable());
            assert!(text.contains(&line) && text.contains("export CA_FILE='/my data/ca.pem'"));
            let plain = steps(tool, &Values { ca_file: None, ..values() });
            assert!(!plain.contains(tool.ca_variable()), "{plain}");
        }
    }

    #[test]
    fn a_shell_can_read_the_steps() {
        for tool in [Tool::Az, Tool::Python, Tool::Js, Tool::Terraform] {
            let text = steps(tool, &values());
            let checked = Command::new("bash").args(["-n", "-c", &text]).output().unwrap();
            assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        }
    }

    #[test]
    fn terraform_has_the_values_themselves() {
        let text = steps(Tool::Terraform, &values());
        for line in [
            "metadata_host                   = \"localhost:8443\"",
            "tenant_id                       = \"t-1\"",
            "subscription_id                 = \"s-1\"",
            "client_id                       = \"c-1\"",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
