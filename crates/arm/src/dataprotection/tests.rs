//! Microsoft.DataProtection over HTTP, on a whole service.

mod deleted;
mod guards;
mod journey;
mod refused;
mod settings;

use crate::site::{Answered, HOST, Site};
use http::Method;
use serde_json::{Value, json};

pub(crate) const READER: &str = "3e5e47e6-65f7-47ef-90b5-e5dd4d455f24";
pub(crate) const CONTRIBUTOR: &str = "7efff54f-a5b4-42b5-a1c5-5411624893ce";
const OPERATOR: &str = "b50d9833-a0cb-478e-945f-707fcc997c13";
/// Polls of one operation or job at most; each is held until something ends.
const POLLS: usize = 200;

/// A service, and the api-version that everything is asked with.
pub(crate) struct Stage {
    pub(crate) site: Site,
    version: &'static str,
}

impl Stage {
    pub(crate) async fn new(version: &'static str) -> Self {
        Self { site: Site::new().await, version }
    }

    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Answered {
        let version = match path.to_lowercase().contains("microsoft.dataprotection") {
            true => self.version,
            false => "2024-03-02",
        };
        let joint = if path.contains('?') { '&' } else { '?' };
        let path = path.replace(' ', "%20");
        self.site.ask(method, &format!("{path}{joint}api-version={version}"), body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let got = self.ask(Method::GET, path, None).await;
        assert_eq!(got.status, 200, "{path} {got:?}");
        got.body
    }

    /// Follows an operation to its end; the status document.
    async fn follow(&self, first: &Answered) -> Value {
        assert!(first.status.is_success(), "{first:?}");
        let url = local(first.header("azure-asyncoperation"));
        for _ in 0..POLLS {
            let got = self.site.ask(Method::GET, &url, None).await;
            assert_eq!(got.status, 200, "{got:?}");
            let status = got.body["status"].as_str().unwrap();
            if !status.eq_ignore_ascii_case("inprogress") {
                return got.body;
            }
            assert_eq!(got.header("retry-after"), "1");
        }
        panic!("{url} does not end")
    }

    /// As [`Self::follow`], and it must have succeeded.
    pub(crate) async fn finish(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let first = self.ask(method, path, body).await;
        let status = self.follow(&first).await;
        assert_eq!(status["status"], "Succeeded", "{path} {status}");
        status
    }

    /// Starts a job and waits for its end; the job.
    pub(crate) async fn job(&self, path: &str, body: Value) -> Value {
        let status = self.finish(Method::POST, path, Some(body)).await;
        let job = status["properties"]["jobId"].as_str().unwrap().to_owned();
        for _ in 0..100_000 {
            let body = self.get(&job).await;
            if body["properties"]["status"] != "InProgress" {
                return body;
            }
            tokio::task::yield_now().await;
        }
        panic!("{job} does not end")
    }

    pub(crate) async fn vault(&self, group: &str) -> (String, String) {
        let path = format!("{group}/providers/Microsoft.DataProtection/backupVaults/TestVault");
        self.finish(Method::PUT, &path, Some(vault_body())).await;
        let found = self.get(&path).await;
        assert_eq!(found["properties"]["provisioningState"], "Succeeded");
        (path, found["identity"]["principalId"].as_str().unwrap().to_owned())
    }

    pub(crate) async fn disk(&self, group: &str, name: &str) -> String {
        let path = format!("{group}/providers/Microsoft.Compute/disks/{name}");
        let creation = json!({ "createOption": "Upload", "uploadSizeBytes": (4 << 20) + 512 });
        let body = json!({ "location": "westus", "properties": { "creationData": creation } });
        self.finish(Method::PUT, &path, Some(body)).await;
        // A disk whose upload has not ended is not whole and cannot be protected.
        let open = json!({ "access": "Write", "durationInSeconds": 60 });
        self.finish(Method::POST, &format!("{path}/beginGetAccess"), Some(open)).await;
        self.finish(Method::POST, &format!("{path}/endGetAccess"), None).await;
        path
    }

    pub(crate) async fn assign(&self, scope: &str, role: &str, principal: &str) {
        let name = self.site.app.service.env().uuid();
        let path = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}");
        let role = format!("/providers/Microsoft.Authorization/roleDefinitions/{role}");
        let body = json!({ "properties": {
            "roleDefinitionId": self.site.below(&role),
            "principalId": principal,
            "principalType": "ServicePrincipal",
        }});
        let got = self.ask(Method::PUT, &path, Some(body)).await;
        assert_eq!(got.status, 201, "{got:?}");
    }
}

/// The path and query of an absolute URL of the service.
fn local(url: &str) -> String {
    url.strip_prefix(&format!("https://{HOST}")).unwrap_or_else(|| panic!("'{url}'")).to_owned()
}

fn vault_body() -> Value {
    json!({
        "location": "westus",
        "identity": { "type": "SystemAssigned" },
        "properties": { "storageSettings": [
            { "datastoreType": "VaultStore", "type": "LocallyRedundant" },
        ]},
    })
}

pub(crate) fn policy_body() -> Value {
    let store = json!({ "objectType": "DataStoreInfoBase", "dataStoreType": "OperationalStore" });
    json!({ "properties": {
        "objectType": "BackupPolicy",
        "datasourceTypes": ["Microsoft.Compute/disks"],
        "policyRules": [
            {
                "objectType": "AzureBackupRule",
                "name": "BackupHourly",
                "backupParameters": {
                    "objectType": "AzureBackupParams", "backupType": "Incremental",
                },
                "dataStore": store,
                "trigger": {
                    "objectType": "ScheduleBasedTriggerContext",
                    "schedule": {
                        "repeatingTimeIntervals": ["R/2024-01-01T00:00:00+00:00/PT4H"],
                    },
                    "taggingCriteria": [{
                        "isDefault": true,
                        "taggingPriority": 99,
                        "tagInfo": { "id": "Default_", "tagName": "Default" },
                    }],
                },
            },
            {
                "objectType": "AzureRetentionRule",
                "name": "Default",
                "isDefault": true,
                "lifecycles": [{
                    "deleteAfter": { "objectType": "AbsoluteDeleteOption", "duration": "P7D" },
                    "sourceDataStore": store,
                }],
            },
        ],
    }})
}

fn datasource(disk: &str) -> Value {
    json!({
        "objectType": "Datasource",
        "datasourceType": "Microsoft.Compute/disks",
        "resourceType": "Microsoft.Compute/disks",
        "resourceID": disk,
        "resourceUri": "",
        "resourceName": disk.rsplit('/').next(),
        "resourceLocation": "westUS",
    })
}

pub(crate) fn instance_body(disk: &str, vault: &str, group: &str) -> Value {
    json!({
        "objectType": "BackupInstance",
        "dataSourceInfo": datasource(disk),
        "policyInfo": {
            "policyId": format!("{vault}/backupPolicies/Policy"),
            "policyParameters": { "dataStoreParametersList": [{
                "objectType": "AzureOperationalStoreParameters",
                "dataStoreType": "OperationalStore",
                "resourceGroupId": group,
            }]},
        },
    })
}

pub(crate) fn backup_body() -> Value {
    json!({ "backupRuleOptions": {
        "ruleName": "BackupHourly",
        "triggerOption": { "retentionTagOverride": "Default" },
    }})
}

fn restore_body(point: &str, target: &str) -> Value {
    json!({
        "objectType": "AzureBackupRecoveryPointBasedRestoreRequest",
        "recoveryPointId": point,
        "sourceDataStoreType": "OperationalStore",
        "restoreTargetInfo": {
            "objectType": "RestoreTargetInfo",
            "recoveryOption": "FailIfExists",
            "restoreLocation": "westUS",
            "datasourceInfo": datasource(target),
        },
    })
}
