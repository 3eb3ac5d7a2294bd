//! Groups, lists and providers over HTTP.

use crate::site::Site;
use http::{Method, StatusCode};
use serde_json::json;

#[tokio::test]
async fn a_group_lives_and_dies() {
    let site = Site::new().await;
    let lower = site.below("/resourcegroups/Rg-1");
    let body = json!({"location": "West US", "tags": {"a": "b"}, "unknown": 1});
    let made = site.ask(Method::PUT, &lower, Some(body.clone())).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(made.body["id"], site.below("/resourceGroups/Rg-1"));
    assert_eq!(made.body["type"], "Microsoft.Resources/resourceGroups");
    assert_eq!(made.body["location"], "westus");
    assert_eq!(made.body["properties"]["provisioningState"], "Succeeded");
    let again = site.ask(Method::PUT, &lower.to_uppercase(), Some(body)).await;
    assert_eq!((again.status, &again.body), (StatusCode::OK, &made.body));
    let moved = site.ask(Method::PUT, &lower, Some(json!({"location": "eastus"}))).await;
    assert_eq!((moved.status.as_u16(), moved.code()), (409, "InvalidResourceLocation"));
    let patched = site.ask(Method::PATCH, &lower, Some(json!({"tags": {"c": "d"}}))).await;
    assert_eq!(patched.body["tags"], json!({"c": "d"}));
    let there = site.ask(Method::HEAD, &lower, None).await;
    assert_eq!(there.status, StatusCode::NO_CONTENT);

    let gone = site.ask(Method::DELETE, &lower, None).await;
    assert_eq!(gone.status, StatusCode::ACCEPTED, "{gone:?}");
    assert_eq!(gone.header("retry-after"), "1");
    let location = gone.header("location");
    let start = format!("https://localhost:8443{}", site.below("/operationresults/"));
    assert!(location.starts_with(&start), "{location}");
    let path = location.trim_start_matches("https://localhost:8443").to_owned();
    assert_eq!(site.ask(Method::GET, &path, None).await.status, StatusCode::OK);
    assert_eq!(site.ask(Method::HEAD, &lower, None).await.status, StatusCode::NOT_FOUND);
    let absent = site.ask(Method::GET, &lower, None).await;
    assert_eq!(absent.code(), "ResourceGroupNotFound");
    let strange = site.ask(Method::GET, &site.below("/operationresults/x"), None).await;
    assert_eq!(strange.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn pages_hold_everything_once() {
    let site = Site::new().await;
    for n in 0..5 {
        site.group(&format!("g{n}")).await;
    }
    let mut next = site.below("/resourcegroups?$top=2");
    let mut names = vec![];
    for _ in 0..3 {
        let page = site.ask(Method::GET, &next, None).await;
        let rows = page.body["value"].as_array().unwrap();
        names.extend(rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()));
        let link = page.body["nextLink"].as_str().unwrap_or_default().to_owned();
        next = link.trim_start_matches("https://localhost:8443").to_owned();
        if next.is_empty() {
            break;
        }
        assert!(next.contains("api-version="), "{next}");
        let tampered =
            site.ask(Method::GET, &next.replace("skipToken=", "skipToken=A"), None).await;
        assert_eq!((tampered.status.as_u16(), tampered.code()), (400, "InvalidSkipToken"));
    }
    assert_eq!(names, ["g0", "g1", "g2", "g3", "g4"]);
    let bad = site.ask(Method::GET, &site.below("/resourcegroups?$top=none"), None).await;
    assert_eq!(bad.code(), "InvalidQueryParameter");
}

#[tokio::test]
async fn all_resources_by_filter() {
    let site = Site::new().await;
    let group = site.group("rg").await;
    site.stranger().await;
    let vault = "resourceType%20eq%20'Microsoft.DataProtection/BackupVaults'";
    let path = site.below(&format!("/resources?$filter={vault}"));
    let found = site.ask(Method::GET, &path, None).await;
    assert_eq!(found.body["value"][0]["type"], "Microsoft.DataProtection/backupVaults");
    assert_eq!(found.body["value"].as_array().unwrap().len(), 1, "{found:?}");
    let own = site.ask(Method::GET, &format!("{group}/resources"), None).await;
    assert_eq!(own.body["value"], json!([]));
    let by_group = site.below("/resources?$filter=resourceGroup%20eq%20'STRANGERS'");
    let by_group = site.ask(Method::GET, &by_group, None).await;
    assert_eq!(by_group.body["value"].as_array().unwrap().len(), 1, "{by_group:?}");
    let bad = site.ask(Method::GET, &site.below("/resources?$filter=x"), None).await;
    assert_eq!(bad.code(), "InvalidFilterInQueryString");
}

#[tokio::test]
async fn providers_are_registered() {
    let site = Site::new().await;
    let path = site.below("/providers/microsoft.dataprotection");
    let found = site.ask(Method::GET, &path, None).await;
    assert_eq!(found.body["registrationState"], "Registered");
    let types = found.body["resourceTypes"].as_array().unwrap();
    let vaults = types.iter().find(|t| t["resourceType"] == "backupVaults").unwrap();
    assert_eq!(vaults["defaultApiVersion"], "2026-07-01");
    let registered = site.ask(Method::POST, &format!("{path}/register"), None).await;
    assert_eq!(registered.status, StatusCode::OK);
    let all = site.ask(Method::GET, &site.below("/providers"), None).await;
    assert_eq!(all.body["value"].as_array().unwrap().len(), 6);
    let places = site.ask(Method::GET, &site.below("/locations"), None).await;
    assert_eq!(places.body["value"][1]["name"], "eastus");
}
