//! Every gate, asked over HTTP; the last test goes through every route of the table.

mod limits;
mod unauthorised;

use super::*;
use crate::site::{HOST, Site, VERSION};
use crate::table::routes;
use crate::wire::settings::WireSettings;
use http::{Request, header};
use serde_json::json;

/// Routes that check no action: polls check who began the operation, the others show nothing that
/// belongs to somebody. A route is added here on purpose or not at all.
const OPEN: [&str; 17] = [
    "BackupInstancesExtensionRouting_List",
    "BackupInstances_GetBackupInstanceOperationResult",
    "BackupVaultOperationResults_Get",
    "DataProtectionOperations_List",
    "DiskOperations_Get",
    "Graph_DirectoryObjects_GetByIds",
    "Graph_ServicePrincipals_Get",
    "Graph_ServicePrincipals_List",
    "OperationResult_Get",
    "OperationStatusBackupVaultContext_Get",
    "OperationStatusResourceGroupContext_Get",
    "OperationStatusResourceGroupLocation_Get",
    "OperationStatus_Get",
    "ResourceGraph_Resources",
    "SubscriptionOperationResults_Get",
    "Subscriptions_List",
    "Tenants_List",
];

/// A path of the route with made-up names.
fn example(route: &Route, subscription: &str) -> String {
    let segments = route.path.split('/').filter(|s| !s.is_empty()).map(|segment| {
        match segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
            Some("subscriptionId") => subscription.to_owned(),
            Some(name) if name.starts_with('*') => {
                format!("subscriptions/{subscription}/resourceGroups/some")
            }
            Some(name) => format!("some-{name}"),
            None => segment.to_owned(),
        }
    });
    format!("/{}", segments.collect::<Vec<_>>().join("/"))
}

#[tokio::test]
async fn every_route_refuses_who_has_no_token() {
    let site = Site::new().await;
    let subscription = site.app.service.subscription().to_string();
    for route in routes().into_iter().filter(|route| route.action != Action::Public) {
        let path = example(&route, &subscription);
        let bare = Request::builder()
            .method(route.method.clone())
            .uri(format!("{path}?api-version={VERSION}"))
            .header(header::HOST, HOST)
            .body(Body::empty());
        let answer = site.send(bare.unwrap()).await;
        let told = format!("{} {path} {}", route.method, route.name);
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{told}");
        assert_eq!(answer.header("x-ms-error-code"), "AuthenticationFailed", "{told}");
        assert!(answer.header("www-authenticate").starts_with("Bearer authorization_uri="));
    }
}

#[tokio::test]
async fn every_route_refuses_who_has_no_right() {
    let site = Site::new().await;
    let subscription = site.app.service.subscription().to_string();
    let stranger = site.token_of(&site.stranger().await);
    let mut open = vec![];
    for route in routes() {
        let path = example(&route, &subscription);
        let told = format!("{} {path} {}", route.method, route.name);
        let ask = site.ask_as(&stranger, route.method.clone(), &path, Some(json!({})));
        match route.action {
            Action::Rbac(action) => {
                let answer = ask.await;
                assert_eq!(answer.status, StatusCode::FORBIDDEN, "{told} {answer:?}");
                // Microsoft Graph has a word of its own.
                let code = match route.path.starts_with("/v1.0/") {
                    true => "Authorization_RequestDenied",
                    false => "AuthorizationFailed",
                };
                assert_eq!(answer.header("x-ms-error-code"), code, "{told}");
                let named = answer.body["error"]["message"].as_str().unwrap_or(action);
                assert!(named.contains(action), "{told}: {named}");
            }
            Action::Open(_) => {
                let answer = ask.await;
                assert!(!answer.status.is_server_error(), "{told} {answer:?}");
                let follows = route.path.contains("{operationId}");
                assert!(!follows || answer.status == StatusCode::NOT_FOUND, "{told} {answer:?}");
                open.push(route.name);
            }
            Action::Public => {}
        }
    }
    open.sort_unstable();
    assert_eq!(open, OPEN);
    let seen = site.ask_as(&stranger, Method::GET, "/subscriptions", None).await;
    assert_eq!(seen.body["value"], json!([]));
}

#[tokio::test]
async fn public_routes_are_few() {
    let public: Vec<&str> = routes()
        .iter()
        .filter(|route| route.action == Action::Public)
        .map(|route| route.path)
        .collect();
    let expected = ["/oauth2/", "/.well-known/", "/discovery/", "/metadata/endpoints"];
    for path in public {
        assert!(expected.iter().any(|part| path.contains(part)), "{path}");
    }
}

#[tokio::test]
async fn tokens_are_checked() {
    let site = Site::new().await;
    let path = site.below("/resourceGroups");
    assert_eq!(site.ask(Method::GET, &path, None).await.status, StatusCode::OK);
    let half = &site.token[..site.token.len() / 2];
    for bad in ["", "x", half, "a.b.c"] {
        let answer = site.ask_as(bad, Method::GET, &path, None).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{bad}");
        assert!(answer.header("www-authenticate").contains("error=\"invalid_token\""));
    }
    for scheme in ["Basic eDp5", "Bearer", "bearer"] {
        let request = Request::get(format!("{path}?api-version={VERSION}"))
            .header(header::HOST, HOST)
            .header(header::AUTHORIZATION, scheme)
            .body(Body::empty());
        let answer = site.send(request.unwrap()).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{scheme}");
    }
    // A principal that is gone takes its tokens with it.
    let mut nobody = site.stranger().await;
    nobody.object_id = Uuid::from_u128(77);
    let answer = site.ask_as(&site.token_of(&nobody), Method::GET, &path, None).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn wrong_addresses_get_the_right_refusal() {
    let site = Site::new().await;
    let vaults = site.below("/providers/Microsoft.DataProtection/backupVaults");
    let group = site.below("/resourceGroups/rg");
    let other = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups";
    let nowhere = site.below("/providers/Microsoft.Compute/rockets");
    let unknown = site.below("/providers/Microsoft.Rockets/rockets");
    let long = format!("{group}{}", "x".repeat(9000));
    let odd = site.below("/resourceGroups/a%3Cb");
    let cases: Vec<(Method, &str, u16, &str)> = vec![
        (Method::GET, "/subscriptions?api-version=", 400, "MissingApiVersionParameter"),
        (Method::GET, "/subscriptions?api-version=soon", 400, "InvalidApiVersionParameter"),
        (Method::GET, "/subscriptions/me/resourceGroups", 400, "InvalidSubscriptionId"),
        (Method::GET, other, 404, "SubscriptionNotFound"),
        (Method::GET, &nowhere, 404, "InvalidResourceType"),
        (Method::GET, &unknown, 404, "InvalidResourceNamespace"),
        (Method::GET, "/nothing/here", 404, "NotFound"),
        (Method::POST, &group, 405, "MethodNotAllowed"),
        (Method::GET, &long, 414, "RequestUriTooLong"),
        (Method::GET, &odd, 400, "InvalidResourceName"),
        (Method::GET, "/subscriptions/%00", 400, "InvalidRequestUri"),
        (Method::GET, &group, 404, "ResourceGroupNotFound"),
    ];
    for (method, path, status, code) in cases {
        let answer = site.ask(method, path, None).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{path}");
        assert_eq!(answer.header("x-ms-error-code"), code);
        assert!(!answer.header("x-ms-request-id").is_empty());
    }
    let old = site.ask(Method::GET, &format!("{vaults}?api-version=2020-01-01"), None).await;
    assert_eq!(old.code(), "NoRegisteredProviderFound");
    let text = old.body["error"]["message"].as_str().unwrap();
    assert!(text.contains("type 'backupVaults'") && text.contains("2021-01-01"), "{text}");
    let refused = site.ask(Method::POST, &group, None).await;
    let allowed = refused.header("allow");
    assert!(["GET", "HEAD", "PUT", "PATCH", "DELETE"].iter().all(|m| allowed.contains(m)));
}

#[tokio::test]
async fn wrong_bodies_name_what_is_wrong() {
    let site = Site::new().await;
    let path = site.below("/resourceGroups/rg");
    let send = async |text: String| {
        let request = Request::put(format!("{path}?api-version={VERSION}"))
            .header(header::HOST, HOST)
            .header(header::AUTHORIZATION, format!("Bearer {}", site.token))
            .body(Body::from(text));
        site.send(request.unwrap()).await
    };
    let deep = format!("{}1{}", "[".repeat(300), "]".repeat(300));
    let long = format!("{{\"location\":\"westus\",\"x\":\"{}\"}}", "y".repeat(5 << 20));
    let cases = [
        (String::new(), 400, "InvalidRequestContent", "missing"),
        ("{".into(), 400, "InvalidRequestContent", "not valid JSON"),
        ("[]".into(), 400, "InvalidRequestContent", "JSON object"),
        ("\u{feff}{}".into(), 400, "InvalidParameter", "location"),
        (deep, 400, "InvalidRequestContent", "recursion limit"),
        (long, 413, "RequestEntityTooLarge", "4194304"),
        (json!({"location": 5}).to_string(), 400, "InvalidParameter", "location"),
        (json!({"location": "the moon"}).to_string(), 400, "InvalidParameter", "the moon"),
        (json!({"location": "westus", "tags": []}).to_string(), 400, "InvalidParameter", "tags"),
        (
            json!({"location": "westus", "tags": {"a": {}}}).to_string(),
            400,
            "InvalidParameter",
            "tags.a",
        ),
    ];
    for (text, status, code, part) in cases {
        let shown: String = text.chars().take(50).collect();
        let answer = send(text).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{shown} {answer:?}");
        let message = answer.body["error"]["message"].as_str().unwrap();
        assert!(message.contains(part), "{shown}: {message}");
    }
    assert_eq!(site.ask(Method::GET, &path, None).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn every_answer_carries_the_headers() {
    let site = Site::new().await;
    let request = Request::get("/subscriptions?api-version=2022-12-01")
        .header(header::HOST, "LOCALHOST:8443")
        .header(header::AUTHORIZATION, format!("bearer {}", site.token))
        .header("x-ms-correlation-request-id", "11111111-2222-3333-4444-555555555555")
        .header("x-ms-client-request-id", "mine")
        .header("x-ms-return-client-request-id", "true")
        .body(Body::empty());
    let answer = site.send(request.unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK);
    let correlation = answer.header("x-ms-correlation-request-id");
    assert_eq!(correlation, "11111111-2222-3333-4444-555555555555");
    assert_eq!(answer.header("x-ms-client-request-id"), "mine");
    assert_eq!(answer.header("content-type"), "application/json; charset=utf-8");
    assert_eq!(answer.header("cache-control"), "no-cache");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(answer.header("x-ms-routing-request-id").starts_with("WESTUS:"));
}

fn test_route(action: Action, path: &'static str, handler: crate::table::Handler) -> Route {
    Route {
        method: Method::GET,
        path,
        versions: Versions::None,
        since: None,
        action,
        handler,
        name: path,
    }
}

const SIGNED_IN: Action = Action::Open("a test asks it");

fn get(site: &Site, path: &str) -> Request<Body> {
    Request::get(path)
        .header(header::HOST, HOST)
        .header(header::AUTHORIZATION, format!("Bearer {}", site.token))
        .body(Body::empty())
        .unwrap()
}

/// A request that anybody can send.
fn post(path: &str, kind: &str, body: Body) -> Request<Body> {
    let request = Request::post(path).header(header::HOST, HOST);
    request.header(header::CONTENT_TYPE, kind).body(body).unwrap()
}

#[tokio::test]
async fn who_has_no_token_cannot_keep_out_who_has() {
    let site = Site::new().await;
    let token = format!("/{}/oauth2/v2.0/token", site.app.service.tenant());
    let silent = || Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
    {
        let mut waiting: Vec<_> = (0..crate::PUBLIC_REQUESTS)
            .map(|_| Box::pin(site.send(post(&token, "text/plain", silent()))))
            .collect();
        for request in &mut waiting {
            assert!(futures::poll!(request.as_mut()).is_pending());
        }
        let answer = site.send(post(&token, "text/plain", Body::empty())).await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, "1"));
        assert_eq!(answer.body["error"], "temporarily_unavailable");
        assert_eq!(site.app.requests.available_permits(), site.app.wire.max_requests);
        let list = site.ask(Method::GET, "/subscriptions", None).await;
        assert_eq!(list.status, StatusCode::OK);
    }
    assert_eq!(site.app.public.available_permits(), crate::PUBLIC_REQUESTS);
}

#[tokio::test]
async fn bodies_without_a_token_are_small_and_no_json() {
    let site = Site::new().await;
    let token = format!("/{}/oauth2/v2.0/token", site.app.service.tenant());
    let long = "x".repeat(PUBLIC_BODY + 1);
    let answer = site.send(post(&token, "application/json", long.into())).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (413, "RequestEntityTooLarge"));
    // No JSON at all, and yet it is the handler that answers.
    let answer = site.send(post(&token, "application/json", "{".into())).await;
    assert_eq!((answer.status.as_u16(), &answer.body["error"]), (400, &json!("invalid_request")));
}

#[tokio::test]
async fn the_data_plane_never_answers_in_json() {
    let wire = WireSettings { max_requests: 0, ..WireSettings::default() };
    let site = Site::with(routes(), wire).await;
    let list = site.ask(Method::GET, "/subscriptions", None).await;
    assert_eq!(list.code(), "TooManyRequests");
    let answer = site.send(get(&site, "/md-1/2/disk")).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(answer.header("content-type"), "application/xml");
}

#[tokio::test]
async fn a_handler_that_panics_becomes_a_500() {
    let broken = test_route(SIGNED_IN, "/broken", |_| Box::pin(async { panic!("on purpose") }));
    let site = Site::with([routes(), vec![broken]].concat(), WireSettings::default()).await;
    let answer = site.send(get(&site, "/broken")).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.code(), "InternalServerError");
    assert!(!answer.body.to_string().contains("on purpose"));
    // The place that it held is free again.
    assert_eq!(site.app.requests.available_permits(), site.app.wire.max_requests);
}

#[tokio::test]
async fn time_and_number_of_requests_are_bounded() {
    let endless = test_route(SIGNED_IN, "/endless", |_| Box::pin(std::future::pending()));
    let wire = WireSettings {
        max_requests: 2,
        request_timeout: std::time::Duration::from_millis(20),
        ..WireSettings::default()
    };
    let site = Site::with(vec![endless], wire).await;
    for _ in 0..2 {
        let answer = site.send(get(&site, "/endless")).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (503, "RequestTimeout"));
    }
    // Both handlers still run, so nothing more is taken on.
    let answer = site.send(get(&site, "/endless")).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (429, "TooManyRequests"));
    assert_eq!(answer.header("retry-after"), "1");
}

static GATE: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(0);
static DONE: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(0);

async fn gated(_: crate::wire::request::Request) -> Result<Reply, ArmError> {
    GATE.acquire().await.unwrap().forget();
    DONE.add_permits(1);
    Ok(Reply::no_content())
}

#[tokio::test]
async fn a_client_that_hangs_up_stops_nothing() {
    let gated = test_route(Action::Public, "/gated", crate::table::handler!(gated));
    let site = Site::with(vec![gated], WireSettings::default()).await;
    {
        let request = site.send(get(&site, "/gated"));
        tokio::pin!(request);
        // Polled until the handler runs, then dropped as if the connection broke.
        while site.app.public.available_permits() == crate::PUBLIC_REQUESTS {
            assert!(futures::poll!(request.as_mut()).is_pending());
        }
        for _ in 0..3 {
            assert!(futures::poll!(request.as_mut()).is_pending());
            tokio::task::yield_now().await;
        }
    }
    GATE.add_permits(1);
    DONE.acquire().await.unwrap().forget();
}
