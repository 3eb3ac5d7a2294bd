//! The two lists over HTTP: filtered, paged, and each row only to those who may read it.

use super::query::tests::{instances, jobs};
use crate::dataprotection::tests::{
    CONTRIBUTOR, READER, Stage, backup_body, instance_body, policy_body,
};
use crate::site::Answered;
use http::{Method, StatusCode};
use serde_json::{Value, json};

const PATH: &str = "/providers/Microsoft.ResourceGraph/resources";
/// The general role, which reads everything.
const LOOKER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";

struct Ground {
    stage: Stage,
    vault: String,
    instances: Vec<String>,
}

impl Ground {
    /// Two protected disks, the first with two backups.
    async fn new() -> Self {
        let stage = Stage::new("2025-07-01").await;
        let group = stage.site.group("Rg").await;
        let (vault, principal) = stage.vault(&group).await;
        for role in [READER, CONTRIBUTOR] {
            stage.assign(&group, role, &principal).await;
        }
        let policy = format!("{vault}/backupPolicies/Policy");
        let made = stage.ask(Method::PUT, &policy, Some(policy_body())).await;
        assert_eq!(made.status, StatusCode::OK, "{made:?}");
        let mut instances = vec![];
        for name in ["One", "Two"] {
            let disk = stage.disk(&group, name).await;
            let instance = format!("{vault}/backupInstances/{name}");
            let body = json!({ "properties": instance_body(&disk, &vault, &group) });
            stage.finish(Method::PUT, &instance, Some(body)).await;
            instances.push(instance);
        }
        for _ in 0..2 {
            let path = format!("{}/backup", instances[0]);
            let job = stage.job(&path, backup_body()).await;
            assert_eq!(job["properties"]["status"], "Completed", "{job}");
        }
        Self { stage, vault, instances }
    }

    async fn ask(&self, token: &str, query: &str, options: Value) -> Answered {
        let subscription = self.stage.site.app.service.subscription();
        let body = json!({"query": query, "subscriptions": [subscription], "options": options});
        let path = format!("{PATH}?api-version=2021-03-01");
        self.stage.site.ask_as(token, Method::POST, &path, Some(body)).await
    }

    async fn rows(&self, query: &str) -> Vec<Value> {
        let found =
            self.ask(&self.stage.site.token, query, json!({"$top": 1000, "$skip": 0})).await;
        assert_eq!(found.status, StatusCode::OK, "{found:?}");
        let rows = found.body["data"].as_array().unwrap().clone();
        assert_eq!(found.body["count"], rows.len());
        assert_eq!(found.body["totalRecords"], rows.len());
        assert_eq!(found.body["resultTruncated"], "false");
        assert!(found.body.get("$skipToken").is_none(), "all fit: {found:?}");
        rows
    }

    async fn count(&self, query: &str) -> usize {
        self.rows(query).await.len()
    }
}

#[tokio::test]
async fn the_lists_of_az_are_filtered() {
    let ground = Ground::new().await;
    let all = ground.rows(&instances("")).await;
    assert_eq!(all.len(), 2);
    let one = &all[0];
    assert_eq!(one["id"], ground.instances[0]);
    assert_eq!(one["type"], "microsoft.dataprotection/backupvaults/backupinstances");
    assert_eq!((&one["resourceGroup"], &one["vaultName"]), (&json!("rg"), &json!("TestVault")));
    assert_eq!(one["protectionState"], "ProtectionConfigured");
    assert_eq!(one["properties"]["dataSourceInfo"]["resourceID"], one["datasourceId"]);
    let disk = one["datasourceId"].as_str().unwrap().to_uppercase();
    for (filter, count) in [
        ("properties.dataSourceInfo.datasourceType in~ ('microsoft.compute/DISKS')", 2),
        ("properties.dataSourceInfo.datasourceType in~ ('Microsoft.Storage/blobs')", 0),
        ("resourceGroup in~ ('x','RG')", 2),
        ("vaultName in~ ('testvault')", 2),
        ("protectionState in~ ('ProtectionStopped')", 0),
        (&format!("datasourceId in~ ('{disk}')"), 1),
        (&format!("id in~ ('{}')", ground.instances[1]), 1),
        ("name in~ ('two')", 1),
    ] {
        assert_eq!(
            ground.count(&instances(&format!(" | where {filter}"))).await,
            count,
            "{filter}"
        );
    }
    let all = ground.rows(&jobs("")).await;
    assert_eq!(all.len(), 2);
    assert_eq!(
        (&all[0]["operation"], &all[0]["status"]),
        (&json!("OnDemandBackup"), &json!("Completed"))
    );
    assert_eq!(all[0]["properties"]["vaultName"], "TestVault");
    for (filter, count) in [
        ("operation in~ ('ondemandbackup','Restore')", 2),
        ("operation in~ ('ScheduledBackup')", 0),
        ("status in~ ('Failed','InProgress')", 0),
        ("properties.dataSourceType in~ ('Microsoft.Compute/disks')", 2),
        (&format!("datasourceId in~ ('{disk}')"), 2),
        ("properties.startTime > datetime(2020-01-01T00:00:00Z)", 2),
        ("properties.startTime > datetime(2120-01-01T00:00:00Z)", 0),
        ("properties.endTime > datetime(2020-01-01T00:00:00Z)", 2),
    ] {
        assert_eq!(ground.count(&jobs(&format!(" | where {filter}"))).await, count, "{filter}");
    }
    pages(&ground).await;
    rights(&ground).await;
}

/// Pages hold every row once; a token belongs to its query.
async fn pages(ground: &Ground) {
    let token = &ground.stage.site.token;
    for query in [instances(""), jobs("")] {
        let (mut ids, mut skip) = (vec![], Value::Null);
        loop {
            let options = json!({"$top": 1, "$skipToken": skip});
            let page = ground.ask(token, &query, options).await;
            assert_eq!(page.status, StatusCode::OK, "{page:?}");
            let rows = page.body["data"].as_array().unwrap();
            assert_eq!(rows.len(), 1, "{page:?}");
            ids.push(rows[0]["id"].as_str().unwrap().to_owned());
            match page.body.get("$skipToken") {
                Some(next) => skip = next.clone(),
                None => break,
            }
        }
        let all = ground.rows(&query).await;
        let expected: Vec<&str> = all.iter().map(|row| row["id"].as_str().unwrap()).collect();
        assert_eq!(ids, expected);
        let skipped = ground.ask(token, &query, json!({"$skip": 1})).await;
        assert_eq!(skipped.body["data"][0]["id"], expected[1], "{skipped:?}");
        let other = format!("{query} | where vaultName in~ ('x')");
        let refused = ground.ask(token, &other, json!({"$skipToken": skip})).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (400, "InvalidSkipToken"));
    }
}

/// A caller sees what they may read, row by row.
async fn rights(ground: &Ground) {
    let site = &ground.stage.site;
    let who = site.application("looker").await;
    let token = site.token_of(&who);
    let count = async |query: &str| {
        let found = ground.ask(&token, query, Value::Null).await;
        assert_eq!(found.status, StatusCode::OK, "{found:?}");
        found.body["totalRecords"].as_u64().unwrap()
    };
    assert_eq!((count(&instances("")).await, count(&jobs("")).await), (0, 0));
    let given = site.give(who.object_id, LOOKER, &ground.instances[1]).await;
    assert_eq!((count(&instances("")).await, count(&jobs("")).await), (1, 0));
    site.give(who.object_id, LOOKER, &ground.vault).await;
    assert_eq!((count(&instances("")).await, count(&jobs("")).await), (2, 2));
    assert_eq!(site.ask(Method::DELETE, &given, None).await.status, StatusCode::OK);
}

#[tokio::test]
async fn other_queries_are_refused_in_the_words_of_resource_graph() {
    let stage = Stage::new("2025-07-01").await;
    let ask = async |body: Value| {
        let path = format!("{PATH}?api-version=2021-03-01");
        stage.site.ask(Method::POST, &path, Some(body)).await
    };
    let refused = ask(json!({"query": "Resources | project id"})).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (400, "BadRequest"));
    let details = refused.body["error"]["details"].as_array().unwrap();
    assert_eq!(details[0]["code"], "InvalidQuery");
    assert!(details[1]["message"].as_str().unwrap().contains("'Resources'"), "{details:?}");
    let query = instances("");
    for (body, field) in [
        (json!({}), "query"),
        (json!({"query": query, "options": {"$top": 0}}), "options.$top"),
        (json!({"query": query, "options": {"resultFormat": "table"}}), "options.resultFormat"),
        (json!({"query": query, "facets": [{}]}), "facets"),
        (json!({"query": query, "managementGroups": ["x"]}), "managementGroups"),
    ] {
        let refused = ask(body).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert_eq!(refused.body["error"]["target"], field, "{refused:?}");
    }
    let elsewhere = json!({"query": query, "subscriptions": [uuid::Uuid::nil()]});
    let found = ask(elsewhere).await;
    assert_eq!((found.status, &found.body["totalRecords"]), (StatusCode::OK, &json!(0)));
}
