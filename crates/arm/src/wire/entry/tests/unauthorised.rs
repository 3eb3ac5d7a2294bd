//! Every route of the table against who may not: with every kind of bad token, and with the right
//! in the wrong place. A new route is asked here without anything being added.

use super::{example, routes};
use crate::site::{HOST, Site};
use crate::table::{Action, Route};
use crate::wire::settings::WireSettings;
use http::{Method, StatusCode};
use jiff::SignedDuration;
use serde_json::json;
use tresor_core::model::Principal;
use uuid::Uuid;

fn guarded() -> impl Iterator<Item = Route> {
    routes().into_iter().filter(|route| route.action != Action::Public)
}

async fn owner(site: &Site) -> Principal {
    let secret = site.first.client_secret.as_str();
    site.app.service.sign_in(site.first.client_id, secret).await.unwrap().unwrap()
}

/// Tokens that are wrong in one way each.
async fn bad_tokens(site: &Site) -> Vec<(&'static str, String)> {
    let who = owner(site).await;
    let (base, now) = (format!("https://{HOST}"), site.app.service.env().real());
    let authority = &site.app.authority;
    let long_ago = now - SignedDuration::from_hours(2);
    let later = now + SignedDuration::from_hours(2);
    let elsewhere = "https://elsewhere.example";
    let other = crate::auth::authority::tests::fresh(site.app.service.tenant());
    let other_tenant = crate::auth::authority::tests::elsewhere(authority, Uuid::from_u128(99));
    let gone = Principal { object_id: Uuid::from_u128(77), ..who.clone() };
    let renamed = Principal { client_id: Uuid::from_u128(78), ..who.clone() };
    let mut signature = authority.issue(&who, &base, &base, now).unwrap();
    let flipped = if signature.pop() == Some('A') { 'Q' } else { 'A' };
    signature.push(flipped);
    let issue = |who: &Principal, audience: &str, base: &str, at| {
        authority.issue(who, audience, base, at).unwrap()
    };
    vec![
        ("expired", issue(&who, &base, &base, long_ago)),
        ("not yet valid", issue(&who, &base, &base, later)),
        ("another audience", issue(&who, elsewhere, &base, now)),
        ("another issuer", issue(&who, &base, elsewhere, now)),
        ("another tenant", other_tenant.issue(&who, &base, &base, now).unwrap()),
        ("another key", other.issue(&who, &base, &base, now).unwrap()),
        ("a changed signature", signature),
        ("a principal that is gone", issue(&gone, &base, &base, now)),
        ("a client that is another", issue(&renamed, &base, &base, now)),
    ]
}

#[tokio::test]
async fn every_route_refuses_every_bad_token() {
    let mut wire = WireSettings::default();
    wire.rates.anonymous.burst = 0;
    let site = Site::with(routes(), wire).await;
    let subscription = site.app.service.subscription().to_string();
    let good = site.ask(Method::GET, "/subscriptions", None).await;
    assert_eq!(good.status, StatusCode::OK, "{good:?}");
    let bad = bad_tokens(&site).await;
    for route in guarded() {
        let path = example(&route, &subscription);
        for (what, token) in &bad {
            let told = format!("{what}: {} {path} {}", route.method, route.name);
            let answer = site.ask_as(token, route.method.clone(), &path, Some(json!({}))).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{told} {answer:?}");
            assert_eq!(answer.header("x-ms-error-code"), "AuthenticationFailed", "{told}");
        }
    }
}

/// Makes a role of one action and gives it to a principal at a scope.
async fn give(site: &Site, who: &Principal, action: &str, scope: &str) {
    let provider = "providers/Microsoft.Authorization";
    let role = site.below(&format!("/{provider}/roleDefinitions/{}", Uuid::new_v4()));
    let body = json!({ "properties": {
        "roleName": format!("role {}", Uuid::new_v4()),
        "assignableScopes": [site.below("")],
        "permissions": [{ "actions": [action], "notActions": [] }],
    }});
    let made = site.ask(Method::PUT, &role, Some(body)).await;
    assert!(made.status.is_success(), "{made:?}");
    let path = format!("{scope}/{provider}/roleAssignments/{}", Uuid::new_v4());
    let body = json!({ "properties": {
        "roleDefinitionId": role, "principalId": who.object_id, "principalType": "ServicePrincipal",
    }});
    let made = site.ask(Method::PUT, &path, Some(body)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
}

/// The right is held at another group, whose name even begins with this one's.
#[tokio::test]
async fn every_route_refuses_a_right_at_a_sibling() {
    let site = Site::new().await;
    let subscription = site.app.service.subscription().to_string();
    let who = site.stranger().await;
    let token = site.token_of(&who);
    let sibling = site.group("some-resourceGroupName-2").await;
    let actions: std::collections::BTreeSet<&str> = guarded()
        .filter_map(|route| match route.action {
            Action::Rbac(action) => Some(action),
            _ => None,
        })
        .collect();
    for action in actions {
        give(&site, &who, action, &sibling).await;
    }
    for route in guarded() {
        let Action::Rbac(action) = route.action else { continue };
        let path = example(&route, &subscription);
        let told = format!("{} {path} {}", route.method, route.name);
        let answer = site.ask_as(&token, route.method.clone(), &path, Some(json!({}))).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{told} {answer:?}");
        let named = answer.body["error"]["message"].as_str().unwrap_or(action);
        assert!(named.contains(action), "{told}: {named}");
    }
    // The same right, used where it is held, lets through.
    let disk = format!("{sibling}/providers/Microsoft.Compute/disks/d");
    let answer = site.ask_as(&token, Method::GET, &disk, None).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{answer:?}");
}

/// A right belongs to the provider that the path names; one copied from another route would open
/// this one to whoever has that.
#[test]
fn rights_are_those_of_the_paths_provider() {
    for route in guarded() {
        let Action::Rbac(action) = route.action else { continue };
        let tail = route.path.rsplit_once("/providers/").map(|(_, tail)| tail);
        let provider = match tail.and_then(|tail| tail.split('/').next()) {
            None if route.path.starts_with("/_tresor/") => "Tresor.Testing",
            // The directory of principals: who may give roles administers it.
            None if route.path.starts_with("/v1.0/") => "Microsoft.Authorization",
            Some(named) if !named.starts_with('{') => named,
            _ => "Microsoft.Resources",
        };
        let own = action.split('/').next().unwrap_or_default();
        assert_eq!(own, provider, "{} {} needs {action}", route.method, route.path);
    }
}

/// Every route that changes something asks for a right, not for a token alone.
#[test]
fn no_change_is_open_to_everybody() {
    for route in routes() {
        let reads = [Method::GET, Method::HEAD].contains(&route.method);
        let sign_in = route.action == Action::Public && route.path.ends_with("/token");
        let guarded = matches!(route.action, Action::Rbac(_));
        let asks = reads || crate::wire::audit::QUERIES.contains(&route.name);
        assert!(asks || sign_in || guarded, "{} {}", route.method, route.path);
    }
}
