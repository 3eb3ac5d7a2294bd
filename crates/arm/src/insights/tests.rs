//! The activity log as clients ask for it.

use crate::site::{Answered, Site};
use http::{Method, StatusCode};
use serde_json::{Value, json};

const API: &str = "api-version=2015-04-01";

/// The list of the subscription with a filter and more of a query.
async fn list(site: &Site, filter: &str, more: &str) -> Answered {
    let escaped: String = form_urlencoded::byte_serialize(filter.as_bytes()).collect();
    let path = site.below("/providers/microsoft.insights/eventtypes/management/values");
    site.ask(Method::GET, &format!("{path}?{API}&$filter={escaped}{more}"), None).await
}

async fn events(site: &Site, filter: &str) -> Vec<Value> {
    let answer = list(site, filter, "").await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.body["value"].as_array().unwrap().clone()
}

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["operationName"]["localizedValue"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_write_is_shown_in_azures_shape() {
    let site = Site::new().await;
    let group = site.group("Rg").await;
    let events = events(&site, "").await;
    let [event] = events.as_slice() else { panic!("{events:?}") };
    let owner = site.app.service.principal(owner_id(&site).await).await.unwrap().unwrap();
    let (object, client) = (owner.object_id.to_string(), owner.client_id.to_string());
    let action = "Microsoft.Resources/subscriptions/resourceGroups/write";
    assert_eq!(event["authorization"], json!({ "action": action, "scope": group }));
    assert_eq!(event["caller"], object);
    let claims = &event["claims"];
    let identity = "http://schemas.microsoft.com/identity/claims/objectidentifier";
    assert_eq!((&claims["appid"], &claims[identity]), (&json!(client), &json!(object)));
    assert_eq!(event["operationName"]["value"], action);
    assert_eq!(event["operationName"]["localizedValue"], "ResourceGroups_CreateOrUpdate");
    assert_eq!((&event["resourceId"], &event["resourceGroupName"]), (&json!(group), &json!("Rg")));
    assert_eq!(event["resourceProviderName"]["value"], "Microsoft.Resources");
    assert_eq!(event["status"]["value"], "Succeeded");
    let created =
        json!({ "value": "Created", "localizedValue": "Created (HTTP Status Code: 201)" });
    assert_eq!(event["subStatus"], created);
    assert_eq!(event["httpRequest"]["method"], "PUT");
    assert_eq!(
        (&event["level"], &event["eventName"]["value"]),
        (&json!("Informational"), &json!("EndRequest"))
    );
    let id = event["id"].as_str().unwrap();
    let data = event["eventDataId"].as_str().unwrap();
    assert!(id.starts_with(&format!("{group}/events/{data}/ticks/")), "{id}");
    for name in ["correlationId", "operationId", "eventTimestamp", "submissionTimestamp"] {
        assert!(event[name].as_str().is_some_and(|text| !text.is_empty()), "{name}");
    }
    assert_eq!(event["subscriptionId"], site.app.service.subscription().to_string());
    assert_eq!(event["tenantId"], site.app.service.tenant().to_string());
}

async fn owner_id(site: &Site) -> uuid::Uuid {
    let secret = site.first.client_secret.as_str();
    site.app.service.sign_in(site.first.client_id, secret).await.unwrap().unwrap().object_id
}

#[tokio::test]
async fn filters_of_known_clients() {
    let site = Site::new().await;
    let one = site.group("one").await;
    let two = site.group("two").await;
    let vault = site.vault(&one, "vault1").await.body["id"].as_str().unwrap().to_owned();
    let correlation = events(&site, "").await[1]["correlationId"].as_str().unwrap().to_owned();
    let owner = owner_id(&site).await;
    let between = "eventTimestamp ge 2000-01-01T00:00:00 and eventTimestamp le 2200-01-01T00:00:00";
    let of = async |filter: String| {
        let found = events(&site, &filter).await;
        found.iter().map(|e| e["resourceId"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = [vault.clone(), two.clone(), one.clone()];
    assert_eq!(of(between.to_owned()).await, all);
    assert_eq!(of(format!("{between} and eventChannels eq 'Admin, Operation'")).await, all);
    assert_eq!(of(format!("{between} and caller eq '{owner}'")).await, all);
    assert_eq!(
        of(format!("{between} and resourceGroupName eq 'ONE'")).await,
        [vault.clone(), one.clone()]
    );
    assert_eq!(of(format!("{between} and correlationId eq '{correlation}'")).await, [two]);
    assert_eq!(of(format!("{between} and resourceUri eq '{}'", one.to_uppercase())).await, [one]);
    let by_id = of(format!("{between} and resourceId eq '{vault}'")).await;
    let provider = "resourceProvider eq 'Microsoft.DataProtection'";
    assert_eq!(of(format!("{between} and {provider}")).await, by_id);
    assert_eq!(by_id, [vault]);
    assert!(of(format!("{between} and status eq 'Failed'")).await.is_empty());
    assert!(of("eventTimestamp ge '2100-01-01'".into()).await.is_empty());
    assert!(of("eventTimestamp le '2001-01-01T00:00:00Z'".into()).await.is_empty());
}

#[tokio::test]
async fn wrong_filters_are_refused_by_name() {
    let site = Site::new().await;
    for (filter, word) in [
        ("eventTimestamp ge 'soon'", "eventTimestamp"),
        ("correlationId eq 'x'", "correlationid"),
        ("resourceUri eq 'x'", "resourceuri"),
        ("status eq 'Nice'", "status"),
        ("level eq 'Error'", "level"),
        ("resourceGroupName ge 'a'", "resourceGroupName"),
        ("a or b", "a or b"),
    ] {
        let answer = list(&site, filter, "").await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "InvalidFilterInQueryString"));
        assert!(answer.body["error"]["message"].as_str().unwrap().contains(word), "{answer:?}");
    }
}

#[tokio::test]
async fn pages_and_selections() {
    let site = Site::new().await;
    for name in ["a", "b", "c"] {
        site.group(name).await;
    }
    let mut answer = list(&site, "", "&$top=2&$select=caller%20,%20operationName").await;
    let mut found = vec![];
    loop {
        for event in answer.body["value"].as_array().unwrap() {
            let members: Vec<&String> = event.as_object().unwrap().keys().collect();
            assert_eq!(members, ["caller", "operationName"]);
            found.push(event["operationName"]["value"].clone());
        }
        let Some(link) = answer.body["nextLink"].as_str() else { break };
        let path = link.strip_prefix("https://localhost:8443").unwrap();
        answer = site.ask(Method::GET, path, None).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
    assert_eq!(found.len(), 3);
}

#[tokio::test]
async fn what_is_about_no_subscription_is_in_the_list_of_the_tenant() {
    let site = Site::new().await;
    site.group("rg").await;
    let stranger = site.token_of(&site.stranger().await);
    let refused = site.ask_as(&stranger, Method::GET, &site.below("/resourceGroups"), None).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let path = "/providers/Microsoft.Insights/eventtypes/management/values";
    let refused = site.ask_as(&stranger, Method::GET, path, None).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let answer = site.ask(Method::GET, path, None).await;
    let found = answer.body["value"].as_array().unwrap();
    assert_eq!(names(found), ["TenantActivityLogs_List"]);
    assert_eq!(found[0]["properties"]["errorCode"], "AuthorizationFailed");
    let found = events(&site, "status eq 'Failed'").await;
    assert_eq!(names(&found), ["ResourceGroups_List"]);
}
