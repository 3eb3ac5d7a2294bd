//! Each step tried from this machine, as far as that changes nothing.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;
use tokio::process::Command;

use super::super::profile::variable;
use super::super::session::Session;
use super::{Tool, Values};
use crate::client::{Api, refusal, text};
use crate::terminal::say;

/// The longest that a tool may take to say its version or its settings.
const PROGRAM: Duration = Duration::from_secs(90);

/// What was found so far.
#[derive(Default)]
struct Findings {
    checked: usize,
    missing: usize,
}

impl Findings {
    /// Tells how one step went; `todo` is what mends it.
    fn tell(&mut self, step: &str, found: Result<String>, todo: &str) -> Result<bool> {
        self.checked += 1;
        match found {
            Ok(words) => {
                say(format_args!("ok       {step}: {words}"))?;
                Ok(true)
            }
            Err(error) => {
                self.missing += 1;
                let advice = refusal::advice(&error).unwrap_or_else(|| todo.to_owned());
                say(format_args!("MISSING  {step}: {error:#}"))?;
                say(format_args!("         {advice}"))?;
                Ok(false)
            }
        }
    }
}

/// Checks the steps of a tool; fails when one is missing.
pub(super) async fn run(session: &Session, tool: Tool, values: &Values) -> Result<()> {
    let mut findings = Findings::default();
    service(session, tool, values, &mut findings).await?;
    if let Some(file) = &values.ca_file {
        let name = tool.ca_variable();
        let todo = format!("export {name}={}", crate::cmd::env::quoted(&file.to_string_lossy()));
        findings.tell(name, believed(file, variable(name)), &todo)?;
    }
    match tool {
        Tool::Az => az(values, &mut findings).await?,
        Tool::Python => {
            let program =
                ["-c", "import azure.identity, azure.mgmt.dataprotection; print('there')"];
            let todo = "pip install azure-identity azure-mgmt-dataprotection";
            findings.tell("Python libraries", output("python3", &program).await, todo)?;
        }
        Tool::Js => {
            findings.tell("Node.js", output("node", &["--version"]).await, "install Node.js")?;
            let script = "for (const name of ['@azure/identity', '@azure/arm-compute']) \
                          require.resolve(name); console.log('there')";
            let todo = "npm install @azure/identity @azure/arm-compute (in this folder)";
            findings.tell("JavaScript libraries", output("node", &["-e", script]).await, todo)?;
        }
        Tool::Terraform => {
            let found = output("terraform", &["version"]).await;
            findings.tell("terraform", found, "install Terraform")?;
            let secret = variable("ARM_CLIENT_SECRET").map(|_| "set".to_owned());
            let secret = secret.context("not set");
            let todo = "export ARM_CLIENT_SECRET=\"$CLIENT_SECRET\"";
            findings.tell("ARM_CLIENT_SECRET", secret, todo)?;
        }
    }
    let Findings { checked, missing } = findings;
    ensure!(missing == 0, "{missing} of {checked} steps are missing");
    Ok(())
}

/// The service as the tool will meet it: reached, described, signed in to, with a subscription.
async fn service(
    session: &Session,
    tool: Tool,
    values: &Values,
    findings: &mut Findings,
) -> Result<()> {
    let client = &session.client;
    let metadata = client.open("/metadata/endpoints", Api::Metadata).await;
    let reached = metadata.as_ref().map(|_| values.base_url.clone());
    let reached = reached.map_err(again);
    if !findings.tell("the service answers", reached, "start it: tresor serve --data DIR")? {
        return Ok(());
    }
    let metadata = metadata.unwrap_or_default();
    let described = described(&metadata, tool, values);
    let todo = "see `base_url` in the service's configuration (tresor config)";
    findings.tell("cloud metadata", described, todo)?;
    let authority = text(&metadata, "/authentication/loginEndpoint").unwrap_or_default();
    let path = authority.strip_prefix(&values.base_url).unwrap_or("/adfs");
    let path = format!("{path}/.well-known/openid-configuration");
    let openid = client.open(&path, Api::Graph).await.and_then(|document| {
        let endpoint = text(&document, "/token_endpoint").context("it names no token_endpoint")?;
        Ok(endpoint.to_owned())
    });
    findings.tell("authority", openid, "see the service's log")?;
    let token = client.sign_in().await.map(|token| format!("good until {:.0}", token.ends));
    if !findings.tell("token", token, "check CLIENT_ID and CLIENT_SECRET")? {
        return Ok(());
    }
    let all = client.list("/subscriptions", Api::Subscriptions, &[]).await;
    let listed = all.and_then(|rows| {
        let ids: Vec<&str> = rows.iter().filter_map(|row| text(row, "/subscriptionId")).collect();
        let wanted = Some(&*values.subscription).filter(|id| !id.is_empty());
        let found = wanted.or(ids.first().copied()).filter(|id| ids.contains(id));
        Ok(found.context("this caller does not see it")?.to_owned())
    });
    let todo = "give the caller a role: tresor role assign --assignee ID --role Reader";
    findings.tell("subscription", listed, todo)?;
    Ok(())
}

/// An error once more, when the first is needed to go on.
fn again(error: &anyhow::Error) -> anyhow::Error {
    anyhow!("{error:#}")
}

/// The members of the metadata without which a tool does not start.
fn described(metadata: &Value, tool: Tool, values: &Values) -> Result<String> {
    let need = |at: &str| text(metadata, at).with_context(|| format!("it has no {at}"));
    let manager = need("/resourceManager")?;
    ensure!(manager == values.base_url, "it names {manager}, not {}", values.base_url);
    need("/name")?;
    need("/authentication/audiences/0")?;
    let authority = need("/authentication/loginEndpoint")?;
    if tool == Tool::Terraform {
        need("/microsoftGraphResourceId")?;
        ensure!(!authority.ends_with('/'), "its loginEndpoint ends in a slash");
        let provider = need("/authentication/identityProvider")?;
        let tenant = need("/authentication/tenant")?;
        ensure!(provider == "AAD" && tenant == "common", "its authority is {provider}/{tenant}");
    }
    Ok(format!("authority {authority}"))
}

/// Whether the file that a variable names holds the service's certificate authority.
fn believed(ca_file: &Path, named: Option<String>) -> Result<String> {
    let named = named.context("not set")?;
    let bundle = std::fs::read_to_string(&named).with_context(|| format!("cannot read {named}"))?;
    let own = std::fs::read_to_string(ca_file)?;
    ensure!(bundle.contains(own.trim()), "{named} does not hold the service's authority");
    Ok(named)
}

async fn az(values: &Values, findings: &mut Findings) -> Result<()> {
    let version = output("az", &["version", "--query", "\"azure-cli\"", "-o", "tsv"]).await;
    if !findings.tell("az", version, "pip install azure-cli")? {
        return Ok(());
    }
    let query = "endpoints.resourceManager";
    let shown = ["cloud", "show", "-n", "tresor", "--query", query, "-o", "tsv"];
    let cloud = output("az", &shown).await.and_then(|found| {
        let same = found.trim_end_matches('/') == values.base_url;
        ensure!(same, "it is registered for {found}, not {}", values.base_url);
        Ok(found)
    });
    let todo = "az cloud unregister -n tresor; az cloud register -n tresor \
                --endpoint-resource-manager \"$BASE_URL\"";
    findings.tell("az cloud 'tresor'", cloud, todo)?;
    let active = output("az", &["cloud", "show", "--query", "name", "-o", "tsv"]).await;
    let active = active.and_then(|found| {
        ensure!(found == "tresor", "the active cloud is {found}");
        Ok(found)
    });
    findings.tell("active cloud", active, "az cloud set -n tresor")?;
    let account = output("az", &["account", "show", "--query", "id", "-o", "tsv"]).await;
    let todo = "az login --service-principal -u \"$CLIENT_ID\" -p \"$CLIENT_SECRET\" --tenant \
                \"$TENANT_ID\"";
    findings.tell("az login", account, todo)?;
    Ok(())
}

/// What a program prints; one that is not there, fails or takes too long is an error.
async fn output(program: &str, args: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    let ended = tokio::time::timeout(PROGRAM, command.output()).await;
    let ended = ended.with_context(|| format!("{program} does not end"))?;
    let done = ended.with_context(|| format!("{program} cannot be run"))?;
    let lines = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if !done.status.success() {
        let said = lines(&done.stderr);
        let last = said.lines().last().unwrap_or_default().to_owned();
        return Err(anyhow!("{program} failed: {last}"));
    }
    Ok(lines(&done.stdout).lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values() -> Values {
        Values {
            base_url: "https://h".to_owned(),
            ca_file: None,
            tenant: "t".to_owned(),
            client_id: "c".to_owned(),
            subscription: "s".to_owned(),
        }
    }

    #[test]
    fn metadata_have_what_the_tool_needs() {
        let authentication = json!({"loginEndpoint": "https://h/adfs", "audiences": ["https://h"]});
        let mut metadata = json!({
            "name": "tresor", "resourceManager": "https://h", "authentication": authentication,
        });
        assert!(described(&metadata, Tool::Az, &values()).is_ok());
        let error = described(&metadata, Tool::Terraform, &values()).unwrap_err();
        assert!(error.to_string().contains("microsoftGraphResourceId"));
        metadata["microsoftGraphResourceId"] = "https://h/".into();
        metadata["authentication"]["identityProvider"] = "AAD".into();
        metadata["authentication"]["tenant"] = "common".into();
        assert!(described(&metadata, Tool::Terraform, &values()).is_ok());
        metadata["resourceManager"] = "https://other".into();
        assert!(described(&metadata, Tool::Az, &values()).is_err());
    }

    #[test]
    fn a_bundle_must_hold_the_authority() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).unwrap();
            file
        };
        let own = write("ca.pem", "-- own --\n");
        let both = write("both.pem", "-- other --\n-- own --\n").display().to_string();
        let other = write("other.pem", "-- other --\n").display().to_string();
        assert_eq!(believed(&own, Some(both.clone())).unwrap(), both);
        assert!(believed(&own, Some(other)).is_err());
        assert!(believed(&own, Some("/nowhere".to_owned())).is_err());
        assert!(believed(&own, None).is_err());
    }

    #[tokio::test]
    async fn programs_say_what_is_wrong() {
        assert_eq!(output("sh", &["-c", "echo 1; echo 2"]).await.unwrap(), "1");
        let error = output("sh", &["-c", "echo why >&2; exit 3"]).await.unwrap_err();
        assert_eq!(error.to_string(), "sh failed: why");
        assert!(output("no-such-program-here", &[]).await.is_err());
    }
}
