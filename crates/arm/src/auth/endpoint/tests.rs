//! The endpoint of managed identities, asked as the known clients ask.

use super::*;
use crate::site::{Answered, Site};
use http::Request;
use std::sync::Arc;
use tresor_core::catalogue::EventFilter;
use tresor_core::model::Principal;

const SECRET: &str = "0123456789abcdef";
const BASE: &str = "https://localhost:8443";
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";

struct Ground {
    site: Site,
    endpoint: Endpoint,
    /// Two user-assigned identities; the endpoint speaks for these.
    own: Vec<Principal>,
    /// One that it does not speak for.
    other: Principal,
}

async fn identity(site: &Site, group: &str, name: &str) -> Principal {
    let id = format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}");
    let made = site.ask(Method::PUT, &id, Some(json!({"location": "westus"}))).await;
    let id = made.body["properties"]["principalId"].as_str().unwrap_or_else(|| panic!("{made:?}"));
    site.app.service.principal(id.parse().unwrap()).await.unwrap().unwrap()
}

impl Ground {
    async fn new(count: usize, imds: bool) -> Self {
        let site = Site::new().await;
        let group = site.group("rg").await;
        let (one, two) =
            (identity(&site, &group, "one").await, identity(&site, &group, "two").await);
        let other = identity(&site, &group, "other").await;
        // Named in different ways, one of them twice.
        let names = [
            one.resource.as_ref().unwrap().to_string().to_uppercase(),
            one.client_id.to_string(),
            two.object_id.to_string(),
        ];
        let identities = names.into_iter().take(count + 1).collect();
        let settings = IdentitySettings { base_url: BASE.into(), identities, imds };
        let endpoint =
            Endpoint::new(Arc::clone(&site.app), settings, Zeroizing::new(SECRET.to_owned()));
        Self { site, endpoint, own: vec![one, two], other }
    }

    async fn send(&self, path: &str, headers: &[(&str, &str)]) -> Answered {
        let mut request = Request::get(path).header("host", "127.0.0.1:8480");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.sent(request.body(Body::empty()).unwrap()).await
    }

    async fn sent(&self, request: Request<Body>) -> Answered {
        let response = self.endpoint.serve(request).await;
        let (head, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap();
        Answered { status: head.status, headers: head.headers, body }
    }

    async fn app_service(&self, more: &str) -> Answered {
        let path = format!("{PATH}?api-version=2019-08-01&resource={BASE}{more}");
        self.send(&path, &[("X-IDENTITY-HEADER", SECRET)]).await
    }

    async fn metadata(&self, more: &str, headers: &[(&str, &str)]) -> Answered {
        let path = format!("{METADATA_PATH}?api-version=2018-02-01&resource={BASE}{more}");
        self.send(&path, headers).await
    }
}

/// What the trail holds of the endpoint, newest first.
async fn events(ground: &Ground) -> Vec<tresor_core::model::Event> {
    let filter = EventFilter { limit: 1000, ..EventFilter::default() };
    let mut rows = ground.site.app.service.events(&filter).await.unwrap().rows;
    rows.retain(|event| event.operation == "ManagedIdentityToken");
    rows
}

#[tokio::test]
async fn the_three_protocols_give_a_token_of_the_identity() {
    let ground = Ground::new(1, true).await;
    let who = &ground.own[0];
    ground.site.give(who.object_id, READER, "/").await;
    let old = format!("{PATH}?api-version=2017-09-01&resource=https://management.azure.com/");
    let metadata = [("Metadata", "true")];
    let slash = format!("{METADATA_PATH}/?api-version=2018-02-01&resource={BASE}");
    let answers = [
        ground.app_service("").await,
        ground.send(&old, &[("secret", SECRET)]).await,
        ground.metadata("", &metadata).await,
        ground.send(&slash, &metadata).await,
    ];
    for answer in answers {
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.body["client_id"], who.client_id.to_string());
        assert_eq!(answer.body["token_type"], "Bearer");
        let ends: i64 = answer.body["expires_on"].as_str().unwrap().parse().unwrap();
        assert_eq!(answer.body["expires_in"], "3599");
        assert!((ends - jiff::Timestamp::now().as_second() - 3600).abs() < 60);
        let token = answer.body["access_token"].as_str().unwrap();
        let seen = ground.site.ask_as(token, Method::GET, "/subscriptions", None).await;
        assert_eq!(seen.body["value"].as_array().unwrap().len(), 1, "{seen:?}");
        let event = &events(&ground).await[0];
        assert_eq!((event.operation.as_str(), event.status), ("ManagedIdentityToken", 200));
        assert_eq!(event.actor.as_ref().unwrap().object_id, Some(who.object_id));
        let wrong = "/v1.0/servicePrincipals";
        let denied = ground.site.ask_as(token, Method::POST, wrong, Some(json!({}))).await;
        assert_eq!(denied.status, StatusCode::FORBIDDEN, "no more rights than it has");
    }
}

#[tokio::test]
async fn identities_are_named_in_three_ways_and_only_configured_ones() {
    let ground = Ground::new(2, false).await;
    let unnamed = ground.app_service("").await;
    assert_eq!(unnamed.status, StatusCode::BAD_REQUEST, "there are two: {unnamed:?}");
    for who in &ground.own {
        let resource = who.resource.as_ref().unwrap();
        for query in [
            format!("&client_id={}", who.client_id),
            format!("&clientid={}", who.client_id),
            format!("&object_id={}", who.object_id),
            format!("&mi_res_id={resource}"),
            format!("&msi_res_id={}", resource.as_str().to_lowercase()),
        ] {
            let found = ground.app_service(&query).await;
            assert_eq!(found.body["client_id"], who.client_id.to_string(), "{query} {found:?}");
        }
    }
    let (one, other) = (&ground.own[0], &ground.other);
    for query in [
        format!("&client_id={}", other.client_id),
        format!("&object_id={}", other.object_id),
        format!("&mi_res_id={}", other.resource.as_ref().unwrap()),
        format!("&client_id={}", ground.site.first.client_id),
        format!("&client_id={}&object_id={}", one.client_id, one.object_id),
        "&client_id=me".to_owned(),
        "&mi_res_id=me".to_owned(),
    ] {
        let refused = ground.app_service(&query).await;
        let found = (refused.status, &refused.body["error"]);
        assert_eq!(found, (StatusCode::BAD_REQUEST, &json!("invalid_request")), "{query}");
    }
}

#[tokio::test]
async fn an_application_is_never_spoken_for() {
    let mut ground = Ground::new(1, false).await;
    let owner = ground.site.first.client_id;
    ground.endpoint.settings.identities = vec![owner.to_string()];
    let refused = ground.app_service("").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{refused:?}");
}

#[tokio::test]
async fn nothing_is_given_without_the_secret_or_the_header() {
    let ground = Ground::new(1, true).await;
    let path = format!("{PATH}?api-version=2019-08-01&resource={BASE}");
    assert!(events(&ground).await.is_empty());
    for headers in [
        &[][..],
        &[("X-IDENTITY-HEADER", "wrong")][..],
        &[("X-IDENTITY-HEADER", "")][..],
        &[("secret", SECRET)][..],
        &[("Metadata", "true")][..],
        &[("X-IDENTITY-HEADER", SECRET), ("X-IDENTITY-HEADER", SECRET)][..],
    ] {
        let refused = ground.send(&path, headers).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{headers:?}");
        assert!(!refused.body.to_string().contains(SECRET));
        let event = &events(&ground).await[0];
        assert_eq!((event.status, event.code.as_str()), (401, "unauthorized_client"));
        assert!(event.actor.is_none());
    }
    for headers in [&[][..], &[("Metadata", "false")][..], &[("X-IDENTITY-HEADER", SECRET)][..]] {
        assert_eq!(ground.metadata("", headers).await.status, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn forwarded_and_foreign_requests_are_refused() {
    let ground = Ground::new(1, true).await;
    let metadata = ("Metadata", "true");
    for name in ["X-Forwarded-For", "X-Forwarded-Host", "Forwarded"] {
        let refused = ground.metadata("", &[metadata, (name, "10.0.0.1")]).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{name}");
    }
    let path = format!("{METADATA_PATH}?api-version=2018-02-01&resource={BASE}");
    for (host, status) in [
        ("127.0.0.1:8480", StatusCode::OK),
        ("[::1]:8480", StatusCode::OK),
        ("LOCALHOST", StatusCode::OK),
        ("169.254.169.254", StatusCode::OK),
        ("evil.example", StatusCode::BAD_REQUEST),
        ("127.0.0.1.evil.example:8480", StatusCode::BAD_REQUEST),
        ("10.0.0.1:8480", StatusCode::BAD_REQUEST),
    ] {
        let request = Request::get(&path).header("host", host).header("metadata", "true");
        let answer = ground.sent(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, status, "{host}");
    }
    let post = Request::post(&path).header("host", "localhost").header("metadata", "true");
    let refused = ground.sent(post.body(Body::empty()).unwrap()).await;
    assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn the_metadata_form_is_off_unless_asked_for() {
    let ground = Ground::new(1, false).await;
    let refused = ground.metadata("", &[("Metadata", "true")]).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    let secret = [("X-IDENTITY-HEADER", SECRET)];
    for (path, error) in [
        (format!("{PATH}?resource={BASE}"), "invalid_request"),
        (format!("{PATH}?api-version=2019-08-01"), "invalid_request"),
        (
            format!("{PATH}?api-version=2019-08-01&resource=https://vault.azure.net"),
            "invalid_resource",
        ),
        (format!("{PATH}?api-version=2019-08-01&resource={}", "x".repeat(5000)), "invalid_request"),
    ] {
        let refused = ground.send(&path, &secret).await;
        assert_eq!((refused.status.as_u16(), &refused.body["error"]), (400, &json!(error)));
        assert_eq!(refused.body["statusCode"], 400);
    }
}
