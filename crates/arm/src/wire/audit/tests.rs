//! What is recorded of requests, and what is not.

use super::*;
use crate::site::{Answered, HOST, Site, VERSION};
use crate::table::{Route, routes};
use crate::wire::reply::Reply;
use crate::wire::settings::WireSettings;
use crate::wire::version::Versions;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::Request;
use serde_json::{Value, json};
use std::net::SocketAddr;
use tresor_core::catalogue::EventFilter;

/// Everything recorded so far: about the subscription, and about nothing; oldest first.
async fn recorded(site: &Site) -> Vec<Event> {
    let mut found = vec![];
    for subscription in [Some(site.app.service.subscription()), None] {
        let filter = EventFilter { subscription, limit: 1000, ..EventFilter::default() };
        found.extend(site.app.service.events(&filter).await.unwrap().rows);
    }
    found.sort_by_key(|event| (event.recorded, event.id));
    found
}

fn told(events: &[Event]) -> Vec<(&str, u16, &str)> {
    events.iter().map(|e| (e.operation.as_str(), e.status, e.code.as_str())).collect()
}

/// A request from an address.
fn from(address: &str, mut request: Request<Body>) -> Request<Body> {
    let address: SocketAddr = address.parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(address));
    request
}

fn token_request(site: &Site, client: Uuid, secret: &str) -> Request<Body> {
    let form = format!(
        "grant_type=client_credentials&client_id={client}&client_secret={secret}\
         &scope=https://{HOST}/.default"
    );
    Request::post(format!("/{}/oauth2/v2.0/token", site.app.service.tenant()))
        .header(header::HOST, HOST)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(form))
        .unwrap()
}

async fn sign_in(site: &Site, address: &str, client: Uuid, secret: &str) -> Answered {
    site.send(from(address, token_request(site, client, secret))).await
}

#[tokio::test]
async fn every_kind_of_change_is_recorded_and_no_read_is() {
    let site = Site::new().await;
    let group = site.group("rg").await;
    let disk = format!("{group}/providers/Microsoft.Compute/disks/d1");
    let body = json!({"location": "westus", "properties": {
        "creationData": {"createOption": "Empty"}, "diskSizeGB": 1,
    }});
    site.ask(Method::PUT, &disk, Some(body)).await;
    site.ask(Method::PATCH, &disk, Some(json!({"tags": {"a": "b"}}))).await;
    let open = json!({"access": "Read", "durationInSeconds": 60});
    site.ask(Method::POST, &format!("{disk}/beginGetAccess"), Some(open)).await;
    site.ask(Method::POST, &format!("{disk}/endGetAccess"), None).await;
    site.ask(Method::GET, &disk, None).await;
    site.ask(Method::GET, &site.below("/resourceGroups"), None).await;
    site.ask(Method::DELETE, &disk, None).await;
    let role = format!("{group}/providers/Microsoft.Authorization/roleAssignments/{}", Uuid::nil());
    site.ask(Method::PUT, &role, Some(json!({}))).await;
    site.ask(Method::DELETE, &role, None).await;
    let events = recorded(&site).await;
    assert_eq!(
        told(&events),
        [
            ("ResourceGroups_CreateOrUpdate", 201, ""),
            ("Disks_CreateOrUpdate", 202, ""),
            ("Disks_Update", 202, ""),
            ("Disks_GrantAccess", 202, ""),
            ("Disks_RevokeAccess", 202, ""),
            ("Disks_Delete", 202, ""),
            ("RoleAssignments_Create", 400, "InvalidParameter"),
            ("RoleAssignments_Delete", 204, ""),
        ]
    );
    assert_eq!(events[3].action, "Microsoft.Compute/disks/beginGetAccess/action");
    assert_eq!(events[3].resource.as_str(), disk);
}

#[tokio::test]
async fn a_record_says_who_from_where_and_which_request() {
    let site = Site::new().await;
    let (correlation, path) = (Uuid::from_u128(9), site.below("/resourceGroups/rg"));
    let put = Request::put(format!("{path}?api-version={VERSION}"))
        .header(header::HOST, HOST)
        .header(header::AUTHORIZATION, format!("Bearer {}", site.token))
        .header("x-ms-correlation-request-id", correlation.to_string())
        .header("x-ms-client-request-id", "mine")
        .body(Body::from(json!({"location": "westus"}).to_string()))
        .unwrap();
    let answer = site.send(from("[::ffff:10.1.2.3]:4444", put)).await;
    let events = recorded(&site).await;
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(event.peer, Some([10, 1, 2, 3].into()));
    assert_eq!(event.request.to_string(), answer.header("x-ms-request-id"));
    assert_eq!((event.correlation, event.client_request.as_deref()), (correlation, Some("mine")));
    let actor = event.actor.clone().unwrap();
    assert_eq!((actor.client_id, actor.name.as_str()), (Some(site.first.client_id), "owner"));
    assert_eq!(event.verb, "PUT");
}

#[tokio::test]
async fn refusals_of_right_and_of_strangers_are_recorded() {
    let site = Site::new().await;
    let stranger = site.stranger().await;
    let before = recorded(&site).await.len();
    let path = site.below("/resourceGroups");
    site.ask_as(&site.token_of(&stranger), Method::GET, &path, None).await;
    site.ask_as("nonsense", Method::GET, &path, None).await;
    let bad = Request::get("/md-1/2/disk?sig=x").header(header::HOST, HOST);
    site.send(from("10.0.0.9:1", bad.body(Body::empty()).unwrap())).await;
    let events = recorded(&site).await.split_off(before);
    assert_eq!(
        told(&events),
        [
            ("ResourceGroups_List", 403, "AuthorizationFailed"),
            ("ResourceGroups_List", 401, "AuthenticationFailed"),
            ("PageBlob", 403, "AuthenticationFailed"),
        ]
    );
    let actor = events[0].actor.clone().unwrap();
    assert_eq!(actor.object_id, Some(stranger.object_id));
    assert_eq!((&events[1].actor, events[2].peer), (&None, Some([10, 0, 0, 9].into())));
}

#[tokio::test]
async fn tokens_are_recorded_with_who_got_or_claimed_them() {
    let site = Site::new().await;
    let client = site.first.client_id;
    let good = sign_in(&site, "10.0.0.1:1", client, &site.first.client_secret).await;
    assert_eq!(good.status, StatusCode::OK);
    let bad = sign_in(&site, "10.0.0.2:1", client, "wrong").await;
    assert_eq!(bad.status, StatusCode::UNAUTHORIZED);
    let events = recorded(&site).await;
    assert_eq!(told(&events), [("Token", 200, ""), ("Token", 401, "invalid_client")]);
    let who = |at: usize| events[at].actor.clone().unwrap();
    assert_eq!((who(0).client_id, who(0).name.as_str()), (Some(client), "owner"));
    assert!(who(0).object_id.is_some());
    assert_eq!((who(1).client_id, who(1).object_id), (Some(client), None));
    let text = serde_json::to_string(&events).unwrap();
    assert!(!text.contains("wrong") && !text.contains(site.first.client_secret.as_str()));
}

/// The secret is guessed from one address; the owner signs in from another.
#[tokio::test]
async fn guesses_are_braked_where_they_come_from() {
    let site = Site::new().await;
    let client = site.first.client_id;
    let most = site.app.wire.rates.secrets.burst;
    for _ in 0..most {
        let bad = sign_in(&site, "10.0.0.1:1", client, "guess").await;
        assert_eq!(bad.status, StatusCode::UNAUTHORIZED, "{bad:?}");
    }
    // Now not even the right one is looked at, from there.
    for secret in ["guess", &site.first.client_secret] {
        let braked = sign_in(&site, "10.0.0.1:2", client, secret).await;
        assert_eq!(braked.status, StatusCode::TOO_MANY_REQUESTS, "{braked:?}");
        assert_eq!(braked.body["error"], "temporarily_unavailable");
        assert!(braked.body["error_description"].as_str().unwrap().starts_with("AADSTS"));
        assert!(braked.header("retry-after").parse::<u64>().unwrap() >= 1);
    }
    let other = sign_in(&site, "10.0.0.1:3", Uuid::from_u128(5), "guess").await;
    assert_eq!(other.status, StatusCode::UNAUTHORIZED);
    let owner = sign_in(&site, "10.0.0.2:1", client, &site.first.client_secret).await;
    assert_eq!(owner.status, StatusCode::OK, "{owner:?}");
}

/// Many strangers are counted, and leave room for who is known.
#[tokio::test]
async fn strangers_cannot_fill_the_trail() {
    let site = Site::new().await;
    let path = site.below("/resourceGroups");
    for _ in 0..STRANGERS.burst + 50 {
        site.ask_as("nonsense", Method::GET, &path, None).await;
    }
    let events = recorded(&site).await;
    assert_eq!(events.len(), usize::try_from(STRANGERS.burst).unwrap());
    site.group("rg").await;
    assert_eq!(recorded(&site).await.len(), events.len() + 1);
    let later = site.app.service.env().monotonic() + Duration::from_secs(60);
    assert_eq!(site.app.strangers.admit(later), Some(50));
    assert_eq!(site.app.strangers.admit(later), Some(0));
}

fn post(action: Action, path: &'static str, handler: crate::table::Handler) -> Route {
    let versions = Versions::None;
    Route { method: Method::POST, path, versions, since: None, action, handler, name: path }
}

fn bare(site: &Site, path: &str) -> Request<Body> {
    Request::post(path)
        .header(header::HOST, HOST)
        .header(header::AUTHORIZATION, format!("Bearer {}", site.token))
        .body(Body::empty())
        .unwrap()
}

static GATE: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(0);

static ENTERED: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(0);

async fn gated(_: crate::wire::request::Request) -> Result<Reply, ArmError> {
    ENTERED.add_permits(1);
    GATE.acquire().await.unwrap().forget();
    Ok(Reply::no_content())
}

#[tokio::test]
async fn what_a_client_does_not_wait_for_and_what_panics_is_recorded() {
    let open = Action::Open("a test asks it");
    let gated = post(open, "/gated", crate::table::handler!(gated));
    let broken = post(open, "/broken", |_| Box::pin(async { panic!("on purpose") }));
    let site = Site::with(vec![gated, broken], WireSettings::default()).await;
    site.send(bare(&site, "/broken")).await;
    {
        let request = site.send(bare(&site, "/gated"));
        tokio::pin!(request);
        while site.app.requests.available_permits() == site.app.wire.max_requests {
            assert!(futures::poll!(request.as_mut()).is_pending());
            tokio::task::yield_now().await;
        }
        // Polled until the handler runs, then dropped as if the connection broke.
        while ENTERED.available_permits() == 0 {
            assert!(futures::poll!(request.as_mut()).is_pending());
            tokio::task::yield_now().await;
        }
        assert!(begun(&site, "/gated").await, "the trail begins before the handler does");
    }
    GATE.add_permits(1);
    while recorded(&site).await.len() < 2 {
        tokio::task::yield_now().await;
    }
    let events = recorded(&site).await;
    assert_eq!(told(&events), [("/broken", 500, "InternalServerError"), ("/gated", 204, "")]);
}

/// Whether the file says that an operation has begun.
async fn begun(site: &Site, operation: &str) -> bool {
    tokio::task::yield_now().await;
    let text = std::fs::read_to_string(site.data().join("audit.log")).unwrap();
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.any(|line| line["operation"] == operation && line["phase"] == "begun")
}

#[test]
fn routes_that_change_are_recorded() {
    for route in routes() {
        let reads = [Method::GET, Method::HEAD].contains(&route.method);
        let recorded = is_recorded(&route);
        match route.action {
            Action::Public => assert_eq!(recorded, is_sign_in(&route), "{}", route.name),
            Action::Rbac(action) if action.ends_with("/read") => assert!(!recorded || !reads),
            Action::Rbac(_) => assert!(recorded, "{}", route.name),
            Action::Open(_) => {
                let asks = reads || QUERIES.contains(&route.name);
                assert_eq!(recorded, !asks, "{}", route.name);
            }
        }
    }
    let tokens: Vec<&str> = routes().iter().filter(|r| is_sign_in(r)).map(|r| r.name).collect();
    for name in ["Token", "TokenV1", "TokenAdfs", "TokenAdfsTenant", "TokenAdfsTenantV1"] {
        assert!(tokens.contains(&name), "{tokens:?}");
    }
}

#[test]
fn the_client_of_a_token_request() {
    let id = Uuid::from_u128(7);
    let none = HeaderMap::new();
    let form = format!("a=b&client_id={id}&client_secret=x");
    assert_eq!(claimed_client(&none, form.as_bytes()), Some(id));
    assert_eq!(claimed_client(&none, b"client_id=me"), None);
    let mut basic = HeaderMap::new();
    let pair = format!("Basic {}", STANDARD.encode(format!("{id}:secret")));
    basic.insert(header::AUTHORIZATION, pair.parse().unwrap());
    assert_eq!(claimed_client(&basic, b"client_id=me"), Some(id));
    for bad in ["Basic !!", "Basic", "Basic Ojo="] {
        basic.insert(header::AUTHORIZATION, bad.parse().unwrap());
        assert_eq!(claimed_client(&basic, b""), None, "{bad}");
    }
}
