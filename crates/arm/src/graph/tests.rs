//! Principals over HTTP: made, given secrets, rotated, found as `az` finds them, deleted.

use crate::site::{Answered, HOST, Site};
use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};
use tresor_core::model::Principal;

const ALL: &str = "/v1.0/servicePrincipals";
const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";

/// What the token endpoint says to a secret.
async fn sign_in(site: &Site, who: &Principal, secret: &str) -> Answered {
    let pairs = [
        ("grant_type", "client_credentials"),
        ("client_id", &who.client_id.to_string()),
        ("client_secret", secret),
        ("scope", "https://localhost:8443//.default"),
    ];
    let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let request = Request::post("/adfs/oauth2/token")
        .header(header::HOST, HOST)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(form));
    site.send(request.unwrap()).await
}

async fn add(site: &Site, who: &Principal, wanted: Value) -> Answered {
    let path = format!("{ALL}/{}/addPassword", who.object_id);
    site.ask(Method::POST, &path, Some(json!({"passwordCredential": wanted}))).await
}

async fn take(site: &Site, who: &Principal, key: &Value) -> Answered {
    let path = format!("{ALL}/{}/removePassword", who.object_id);
    site.ask(Method::POST, &path, Some(json!({"keyId": key}))).await
}

#[tokio::test]
async fn secrets_are_rotated_without_a_gap() {
    let site = Site::new().await;
    let who = site.application("ci").await;
    assert!(who.secrets.is_empty());
    let first = add(&site, &who, json!({"displayName": "one"})).await;
    assert_eq!(first.status, StatusCode::OK, "{first:?}");
    assert_eq!(first.header("cache-control"), "no-store");
    let secret = |made: &Answered| made.body["secretText"].as_str().unwrap().to_owned();
    assert_eq!(secret(&first).len(), 64);
    assert_eq!(first.body["hint"], secret(&first)[..3]);
    assert_eq!(sign_in(&site, &who, &secret(&first)).await.status, StatusCode::OK);
    let second = add(&site, &who, json!({})).await;
    for made in [&first, &second] {
        assert_eq!(sign_in(&site, &who, &secret(made)).await.status, StatusCode::OK);
    }
    // A secret is shown once.
    let seen = site.ask(Method::GET, &format!("{ALL}/{}", who.object_id), None).await;
    let kept = seen.body["passwordCredentials"].as_array().unwrap();
    assert_eq!((kept.len(), &kept[0]["secretText"]), (2, &Value::Null));
    assert_eq!(kept[0]["displayName"], "one");
    assert!(!seen.body.to_string().contains(&secret(&first)));

    assert_eq!(take(&site, &who, &first.body["keyId"]).await.status, StatusCode::NO_CONTENT);
    let refused = sign_in(&site, &who, &secret(&first)).await;
    assert_eq!(refused.body["error_codes"][0], 7_000_215);
    assert_eq!(sign_in(&site, &who, &secret(&second)).await.status, StatusCode::OK);
    let again = take(&site, &who, &first.body["keyId"]).await;
    assert_eq!((again.status.as_u16(), again.code()), (404, "Request_ResourceNotFound"));
}

#[tokio::test]
async fn a_deleted_principal_is_out_at_once() {
    let site = Site::new().await;
    let who = site.application("gone").await;
    let token = site.token_of(&who);
    let given = site.give(who.object_id, READER, "").await;
    let see = async || site.ask_as(&token, Method::GET, "/subscriptions", None).await.status;
    assert_eq!(see().await, StatusCode::OK);
    let one = format!("{ALL}/{}", who.object_id);
    assert_eq!(site.ask(Method::DELETE, &one, None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(see().await, StatusCode::UNAUTHORIZED);
    assert_eq!(site.ask(Method::GET, &given, None).await.status, StatusCode::NOT_FOUND);
    let again = site.ask(Method::DELETE, &one, None).await;
    assert_eq!((again.status.as_u16(), again.code()), (404, "Request_ResourceNotFound"));
}

#[tokio::test]
async fn names_are_open_and_administration_is_not() {
    let site = Site::new().await;
    let who = site.application("ci").await;
    let token = site.token_of(&site.stranger().await);
    let ask = async |method: Method, path: &str, body: Option<Value>| {
        site.ask_as(&token, method, path, body).await
    };
    let one = format!("{ALL}/{}", who.object_id);
    let seen = ask(Method::GET, &one, None).await;
    assert_eq!((seen.status, &seen.body["displayName"]), (StatusCode::OK, &json!("ci")));
    assert!(seen.body.get("passwordCredentials").is_none(), "not even a hint: {seen:?}");
    let wanted = json!({"passwordCredential": {}});
    for (method, path, body) in [
        (Method::POST, ALL.to_owned(), json!({"displayName": "mine"})),
        (Method::POST, format!("{one}/addPassword"), wanted.clone()),
        (Method::POST, format!("{one}/removePassword"), json!({"keyId": who.object_id})),
        (Method::DELETE, one.clone(), Value::Null),
    ] {
        let refused = ask(method, &path, Some(body)).await;
        let found = (refused.status.as_u16(), refused.code());
        assert_eq!(found, (403, "Authorization_RequestDenied"), "{path} {refused:?}");
    }
    // Being Owner of the subscription is not being Owner of the directory.
    site.give(who.object_id, OWNER, &site.below("")).await;
    let mine = format!("{one}/addPassword");
    let token = site.token_of(&who);
    let refused = site.ask_as(&token, Method::POST, &mine, Some(wanted)).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{refused:?}");
    let request = Request::get(ALL).header(header::HOST, HOST).body(Body::empty());
    assert_eq!(site.send(request.unwrap()).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn principals_are_found_as_az_looks_for_them() {
    let site = Site::new().await;
    let who = site.application("Nightly").await;
    let names = async |query: &str| -> Vec<String> {
        let found = site.ask(Method::GET, &format!("{ALL}?{query}"), None).await;
        let rows = found.body["value"].as_array().unwrap_or_else(|| panic!("{found:?}")).clone();
        rows.iter().map(|row| row["displayName"].as_str().unwrap().to_owned()).collect()
    };
    let any = |id: &str| format!("$filter=servicePrincipalNames/any(c:c%20eq%20'{id}')");
    assert_eq!(names(&any(&who.client_id.to_string())).await, ["Nightly"]);
    assert_eq!(names(&any(&who.object_id.to_string())).await, [""; 0], "no client id");
    assert_eq!(names(&any("someone@example.com")).await, [""; 0]);
    assert_eq!(names("$filter=displayName%20eq%20'nightly'").await, ["Nightly"]);
    assert_eq!(names("$filter=startswith(displayName,'Nig')").await, ["Nightly"]);
    let bad = site.ask(Method::GET, &format!("{ALL}?$filter=x%20gt%201"), None).await;
    assert_eq!((bad.status.as_u16(), bad.code()), (400, "Request_UnsupportedQuery"));

    let ids =
        json!({"ids": [who.object_id, uuid::Uuid::nil()], "types": ["user", "servicePrincipal"]});
    let by_ids = "/v1.0/directoryObjects/getByIds";
    let found = site.ask(Method::POST, by_ids, Some(ids)).await;
    assert_eq!(found.body["value"].as_array().unwrap().len(), 1);
    assert_eq!(found.body["value"][0]["@odata.type"], "#microsoft.graph.servicePrincipal");
    let users = json!({"ids": [who.object_id], "types": ["user"]});
    let found = site.ask(Method::POST, by_ids, Some(users)).await;
    assert_eq!(found.body["value"], json!([]));
}

#[tokio::test]
async fn lists_come_in_pages() {
    let site = Site::new().await;
    for number in 0..5 {
        site.application(&format!("job {number}")).await;
    }
    let mut path =
        format!("{ALL}?$top=2&$select=id,displayName&$filter=startswith(displayName,'job')");
    let mut names = vec![];
    loop {
        let page = site.ask(Method::GET, &path, None).await;
        let rows = page.body["value"].as_array().unwrap();
        assert!(rows.len() <= 2 && rows.iter().all(|row| row.as_object().unwrap().len() == 2));
        names.extend(rows.iter().map(|row| row["displayName"].as_str().unwrap().to_owned()));
        let Some(next) = page.body.get("@odata.nextLink") else { break };
        path = next.as_str().unwrap().strip_prefix("https://localhost:8443").unwrap().to_owned();
    }
    names.sort();
    assert_eq!(names, ["job 0", "job 1", "job 2", "job 3", "job 4"]);
    let none = site.ask(Method::GET, &format!("{ALL}?$top=0"), None).await;
    assert_eq!((none.status.as_u16(), none.code()), (400, "Request_BadRequest"));
}

#[tokio::test]
async fn wrong_requests_are_named() {
    let site = Site::new().await;
    let who = site.application("ci").await;
    let post = async |path: &str, body: Value| site.ask(Method::POST, path, Some(body)).await;
    let add = format!("{ALL}/{}/addPassword", who.object_id);
    for (path, body, target) in [
        (ALL, json!({}), "displayName"),
        (ALL, json!({"displayName": "x".repeat(121)}), "displayName"),
        (ALL, json!({"displayName": "x", "appId": who.client_id}), "appId"),
        (
            &add,
            json!({"passwordCredential": {"endDateTime": "soon"}}),
            "passwordCredential.endDateTime",
        ),
        (
            &add,
            json!({"passwordCredential": {"endDateTime": "2020-01-01T00:00:00Z"}}),
            "passwordCredential.endDateTime",
        ),
    ] {
        let refused = post(path, body).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (400, "Request_BadRequest"));
        assert_eq!(refused.body["error"]["target"], target, "{refused:?}");
    }
    let bad = site.ask(Method::GET, &format!("{ALL}/me"), None).await;
    assert_eq!((bad.status.as_u16(), bad.code()), (400, "Request_BadRequest"));
    let identity = site.stranger().await;
    let kept = site.ask(Method::DELETE, &format!("{ALL}/{}", identity.object_id), None).await;
    assert_eq!((kept.status.as_u16(), kept.code()), (400, "notSupported"), "{kept:?}");
}

#[tokio::test]
async fn the_last_owner_keeps_a_way_in() {
    let site = Site::new().await;
    let first = site.app.service.principal_by_client(site.first.client_id).await.unwrap().unwrap();
    let key = json!(first.secrets[0].id);
    let one = format!("{ALL}/{}", first.object_id);
    let refused = [take(&site, &first, &key).await, site.ask(Method::DELETE, &one, None).await];
    for refused in refused {
        let found = (refused.status.as_u16(), refused.code());
        assert_eq!(found, (409, "LastOwnerCannotBeRemoved"), "{refused:?}");
    }
    let roots = "/providers/Microsoft.Authorization/roleAssignments";
    let given = site.ask(Method::GET, &format!("{roots}?$filter=atScope()"), None).await;
    let given = given.body["value"][0]["id"].as_str().unwrap().to_owned();
    let refused = site.ask(Method::DELETE, &given, None).await;
    assert_eq!(refused.code(), "LastOwnerCannotBeRemoved", "{refused:?}");
    // Another Owner without a secret is no way in; with one, the first may go.
    let second = site.application("second").await;
    site.give(second.object_id, OWNER, "/").await;
    assert_eq!(site.ask(Method::DELETE, &one, None).await.status, StatusCode::CONFLICT);
    let week = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
    let short = add(&site, &second, json!({"endDateTime": week.to_string()})).await;
    assert_eq!(short.status, StatusCode::OK, "{short:?}");
    assert_eq!(site.ask(Method::DELETE, &one, None).await.status, StatusCode::CONFLICT);
    assert_eq!(add(&site, &second, json!({})).await.status, StatusCode::OK);
    assert_eq!(take(&site, &first, &key).await.status, StatusCode::NO_CONTENT);
    assert_eq!(site.ask(Method::DELETE, &one, None).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_principal_has_so_many_secrets_and_no_more() {
    let site = Site::new().await;
    let who = site.application("ci").await;
    for _ in 0..tresor_core::service::SECRETS_MAX {
        assert_eq!(add(&site, &who, json!({})).await.status, StatusCode::OK);
    }
    let refused = add(&site, &who, json!({})).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (403, "Directory_QuotaExceeded"));
}

#[tokio::test]
async fn the_rest_of_graph_says_that_it_is_not_served() {
    let site = Site::new().await;
    for (method, path) in [
        (Method::GET, "/v1.0/users"),
        (Method::GET, "/V1.0/me"),
        (Method::POST, "/v1.0/applications"),
        (Method::GET, "/beta/servicePrincipals"),
        (Method::GET, "/v1.0/servicePrincipals(appId='x')"),
    ] {
        let refused = site.ask(method, path, None).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (400, "notSupported"), "{path}");
        assert!(refused.body["error"]["innerError"]["request-id"].is_string(), "{refused:?}");
    }
    let refused = site.ask(Method::PATCH, ALL, None).await;
    assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED);
}
