//! The hooks over HTTP: who may use them, what they take, how a fault looks to a client.

use super::*;
use crate::site::{Answered, HOST, Site};
use crate::table::{Found, routes as all_routes};
use crate::wire::settings::WireSettings;
use axum::body::Body;
use http::Request as HttpRequest;
use serde_json::{Value, json};
use std::net::IpAddr;
use tresor_core::hook::ManualClock;
use tresor_store::env::Env;

const FAULTS: &str = "/_tresor/faults";
const CLOCK: &str = "/_tresor/clock";

async fn manual() -> Site {
    let start = "2030-01-01T00:00:00Z".parse().unwrap();
    let clock = ManualClock::new(Env::system(), start);
    let hooks = Hooks::new(Some(Arc::clone(&clock)));
    let site = Site::made(all_routes(), WireSettings::default(), clock.env(), hooks).await;
    site.app.service.start().await;
    site
}

async fn arm(site: &Site, body: Value) -> Answered {
    site.ask(Method::POST, FAULTS, Some(body)).await
}

fn from(site: &Site, peer: Option<&str>) -> HttpRequest<Body> {
    let mut request = HttpRequest::get(CLOCK)
        .header(header::HOST, HOST)
        .header(header::AUTHORIZATION, format!("Bearer {}", site.token))
        .body(Body::empty())
        .unwrap();
    let peer = peer.map(|peer| ConnectInfo(SocketAddr::new(peer.parse::<IpAddr>().unwrap(), 1)));
    peer.and_then(|peer| request.extensions_mut().insert(peer));
    request
}

#[tokio::test]
async fn only_clients_of_this_machine_are_let_in() {
    let site = Site::new().await;
    for near in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
        let answer = site.send(from(&site, Some(near))).await;
        assert_eq!(answer.status, StatusCode::OK, "{near}");
    }
    for far in ["10.0.0.1", "192.168.1.2", "::ffff:10.0.0.1", "fe80::1", "0.0.0.0"] {
        let answer = site.send(from(&site, Some(far))).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (403, "LoopbackOnly"), "{far}");
    }
    // A peer that nobody knows is no neighbour.
    let app = Arc::clone(&site.app);
    let answer = crate::wire::entry::serve(app, from(&site, None)).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_service_without_hooks_does_not_know_the_paths() {
    let folder = tempfile::tempdir().unwrap();
    let settings = tresor_core::service::Settings {
        pool: folder.path().join("disks"),
        store: folder.path().join("store"),
        import: vec![],
        limits: tresor_core::limits::Limits::None,
        workers: 1,
        locations: vec!["westus".into()],
        store_config: tresor_store::StoreConfig::default(),
        volatile: true,
        hooks: None,
        audit: tresor_core::audit::AuditSettings::default(),
    };
    let data = folder.path().join("data");
    let opened = tresor_core::service::Service::open(&data, settings, Env::system()).await;
    let app = crate::App::open(opened.unwrap().0, WireSettings::default()).unwrap();
    for route in routes() {
        let segments: Vec<String> = route.path.split('/').skip(1).map(str::to_owned).collect();
        assert!(matches!(app.table.find(&route.method, &segments), Found::Nothing));
    }
    assert!(app.table.routes().count() > 50);
}

#[tokio::test]
async fn the_clock_moves_by_steps_and_to_times_and_never_back() {
    let site = manual().await;
    let shown = site.ask(Method::GET, CLOCK, None).await.body;
    assert_eq!(
        (&shown["clock"], &shown["now"]),
        (&json!("manual"), &json!("2030-01-01T00:00:00Z"))
    );
    for (body, now) in [
        (json!({"advance": "PT4H"}), "2030-01-01T04:00:00Z"),
        (json!({"advance": "P1M2DT1S"}), "2030-02-03T04:00:01Z"),
        (json!({"advance": "PT0S"}), "2030-02-03T04:00:01Z"),
        (json!({"to": "2031-01-01T01:00:00+01:00"}), "2031-01-01T00:00:00Z"),
        (json!({"timeout": "PT20S"}), "2031-01-01T00:00:00Z"),
        (json!({}), "2031-01-01T00:00:00Z"),
    ] {
        let answer = site.ask(Method::POST, CLOCK, Some(body.clone())).await;
        let expected = json!({"now": now, "jobs": [], "jobsLeftOut": 0, "waiting": 0});
        assert_eq!((answer.status.as_u16(), &answer.body), (200, &expected), "{body}");
    }
    for (body, field) in [
        (json!({"advance": "-PT1S"}), "advance"),
        (json!({"advance": "soon"}), "advance"),
        (json!({"advance": 4}), "advance"),
        (json!({"advance": "P9000Y"}), "advance"),
        (json!({"to": "2030-12-31T23:59:59Z"}), "to"),
        (json!({"to": "tomorrow"}), "to"),
        (json!({"to": "2032-01-01T00:00:00Z", "advance": "PT1S"}), "to"),
        (json!({"timeout": "PT1H"}), "timeout"),
        (json!({"timeout": "-PT1S"}), "timeout"),
        (json!({"advanse": "PT1S"}), "advanse"),
    ] {
        let answer = site.ask(Method::POST, CLOCK, Some(body.clone())).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "InvalidParameter"), "{body}");
        let text = answer.body["error"]["message"].as_str().unwrap();
        assert!(text.starts_with(&format!("{field}: ")), "{body}: {text}");
    }
    let after = site.ask(Method::GET, CLOCK, None).await.body;
    assert_eq!(after["now"], "2031-01-01T00:00:00Z", "a refusal moved the clock");
    // What is made now is made at that time.
    let group = site.group("rg").await;
    let vault = site.vault(&group, "vault").await;
    let data: Value = serde_json::from_str(vault.header("x-ms-arm-resource-system-data")).unwrap();
    assert_eq!(data["createdAt"], "2031-01-01T00:00:00.0000000Z");
}

#[tokio::test]
async fn the_machines_own_clock_is_not_moved() {
    let site = Site::new().await;
    assert_eq!(site.ask(Method::GET, CLOCK, None).await.body["clock"], "system");
    let refused = site.ask(Method::POST, CLOCK, Some(json!({"advance": "PT1H"}))).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (400, "OperationNotSupported"));
    let settled = site.ask(Method::POST, CLOCK, None).await;
    assert_eq!((settled.status.as_u16(), &settled.body["waiting"]), (200, &json!(0)));
    let refused = site.ask(Method::POST, "/_tresor/reset", None).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (400, "OperationNotSupported"));
}

#[tokio::test]
async fn a_request_fails_with_the_code_status_and_form_of_its_provider() {
    let site = Site::new().await;
    let group = site.group("rg").await;
    let vault = format!("{group}/providers/Microsoft.DataProtection/backupVaults/vault");
    let disk = format!("{group}/providers/Microsoft.Compute/disks/d");
    for (operation, path, code, status, rich) in [
        ("BackupVaults_Get", &vault, "UserErrorDppConflict", 409, false),
        ("backupvaults_get", &vault, "BMSUserErrorInvalidInput", 400, true),
        ("BackupVaults_Get", &vault, "CloudServiceRetryableError", 503, false),
        ("Disks_Get", &disk, "QuotaExceeded", 429, false),
        ("Disks_Get", &disk, "internalservererror", 500, false),
        ("ResourceGroups_Get", &group, "AuthorizationFailed", 403, false),
        ("GET /subscriptions/*/resourceGroups/RG/**", &disk, "ServiceUnavailable", 503, false),
        ("* /**", &vault, "UserErrorDppConflict", 409, false),
    ] {
        let armed = arm(&site, json!({"operation": operation, "code": code})).await;
        assert_eq!(armed.status, StatusCode::CREATED, "{operation} {armed:?}");
        let answer = site.ask(Method::GET, path, None).await;
        assert_eq!(answer.status.as_u16(), status, "{operation} {code} {answer:?}");
        assert!(answer.code().eq_ignore_ascii_case(code), "{operation} {code} {answer:?}");
        assert_eq!(answer.header("x-ms-error-code"), answer.code());
        assert_eq!(answer.body["error"]["additionalInfo"].is_array(), rich, "{answer:?}");
        let again = if [429, 503].contains(&status) { "1" } else { "" };
        assert_eq!(answer.header("retry-after"), again, "{code}");
        let left = site.ask(Method::GET, FAULTS, None).await;
        assert_eq!(left.body, json!({"value": []}), "{operation}");
    }
}

#[tokio::test]
async fn an_operation_is_accepted_and_then_fails() {
    let site = Site::new().await;
    let group = site.group("rg").await;
    let path = format!("{group}/providers/Microsoft.DataProtection/backupVaults/vault");
    let body = json!({
        "operation": "PUT /subscriptions/*/resourceGroups/rg/providers/Microsoft.DataProtection/**",
        "code": "CloudInternalError",
        "where": "operation",
        "message": "The vault fell.",
    });
    let armed = arm(&site, body).await;
    assert_eq!((armed.status.as_u16(), &armed.body["where"]), (201, &json!("operation")));
    // A request that begins no operation uses nothing up.
    site.ask(Method::GET, &path, None).await;
    let accepted = site.vault(&group, "vault").await;
    assert_eq!(accepted.status, StatusCode::CREATED, "{accepted:?}");
    let status = site.ask(Method::GET, &accepted.path("azure-asyncoperation"), None).await;
    assert_eq!((status.status.as_u16(), &status.body["status"]), (200, &json!("Failed")));
    assert_eq!(status.body["error"]["code"], "CloudInternalError");
    assert_eq!(status.body["error"]["message"], "The vault fell.");
    assert_eq!(site.ask(Method::GET, &path, None).await.status, StatusCode::NOT_FOUND);
    assert_eq!(site.ask(Method::GET, FAULTS, None).await.body, json!({"value": []}));
    let made = site.vault(&group, "vault").await;
    let status = site.ask(Method::GET, &made.path("azure-asyncoperation"), None).await;
    assert_eq!(status.body["status"], "Succeeded");
}

#[tokio::test]
async fn faults_are_listed_counted_and_cleared() {
    let site = Site::new().await;
    let group = site.group("rg").await;
    let body = json!({"operation": "ResourceGroups_Get", "code": "Conflict", "times": 3});
    let armed = arm(&site, body).await.body;
    let expected = json!({
        "id": 1, "operation": "ResourceGroups_Get", "code": "Conflict", "where": "request",
        "times": 3, "message": "A test made this fail (POST /_tresor/faults).",
    });
    assert_eq!(armed, expected);
    assert_eq!(site.ask(Method::GET, &group, None).await.status, StatusCode::CONFLICT);
    let listed = site.ask(Method::GET, FAULTS, None).await.body;
    assert_eq!(listed["value"][0]["times"], 2);
    assert_eq!(site.ask(Method::DELETE, FAULTS, None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(site.ask(Method::GET, &group, None).await.status, StatusCode::OK);
}

#[tokio::test]
async fn who_has_no_right_meets_no_fault() {
    let site = Site::new().await;
    let group = site.group("rg").await;
    let stranger = site.token_of(&site.stranger().await);
    arm(&site, json!({"operation": "ResourceGroups_Get", "code": "Conflict"})).await;
    let refused = site.ask_as(&stranger, Method::GET, &group, None).await;
    assert_eq!(refused.code(), "AuthorizationFailed");
    assert_eq!(site.ask(Method::GET, &group, None).await.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn what_cannot_be_armed_is_refused_by_name() {
    let site = Site::new().await;
    let good = json!({"operation": "BackupInstances_TriggerRestore", "code": "CloudInternalError"});
    for (field, value, part) in [
        ("operation", json!("BackupInstances_TriggerRestor"), "BackupInstances_TriggerRestore"),
        ("operation", json!("TresorClock_Get"), "there is no operation"),
        ("operation", json!("GET nowhere"), "begins with /"),
        ("operation", json!("DELETE /subscriptions/*/rockets"), "no operation has"),
        ("operation", json!("FETCH /**"), "no operation has"),
        ("operation", json!("POST /_tresor/clock"), "no operation has"),
        ("operation", json!(null), "required"),
        ("code", json!("UserErrorMaxConcurrentOperation"), "UserErrorMaxConcurrentOperationLimit"),
        ("code", json!("QuotaExceeded"), "never answers"),
        ("code", json!(""), "empty"),
        ("where", json!("somewhere"), "request, operation, job"),
        ("times", json!(0), "from 1 to 1000"),
        ("times", json!(-1), "at least 1"),
        ("times", json!("twice"), "whole number"),
        ("message", json!("x".repeat(501)), "at most 500"),
        ("were", json!("job"), "is unknown"),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let answer = arm(&site, body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "InvalidParameter"), "{body}");
        assert_eq!(answer.body["error"]["target"], field, "{body}");
        let text = answer.body["error"]["message"].as_str().unwrap();
        assert!(text.contains(part), "{body}: {text}");
    }
    let body = json!({"operation": "Disks_Get", "code": "Conflict", "where": "job"});
    let answer = arm(&site, body).await;
    assert_eq!(answer.body["error"]["target"], "where");
    assert_eq!(site.ask(Method::GET, FAULTS, None).await.body, json!({"value": []}));
}
