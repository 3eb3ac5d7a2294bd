//! Tokens: an OAuth 2.0 authority of our own, and the check of what it issued.

pub(crate) mod authority;
pub(crate) mod bearer;
mod claims;
mod discovery;
pub(crate) mod endpoint;
mod key;
mod place;
#[cfg(test)]
mod tests;
mod token;

use crate::table::{Action, Handler, Route, handler};
use crate::wire::version::Versions;
use http::Method;

/// The routes by which clients find the authority and sign in; none needs a token.
pub(crate) fn routes() -> Vec<Route> {
    let own = [
        get("/metadata/endpoints", handler!(discovery::endpoints), "Endpoints"),
        get("/common/discovery/instance", handler!(discovery::instance), "InstanceDiscovery"),
    ];
    [own.to_vec(), tokens(), documents(), keys()].concat()
}

fn tokens() -> Vec<Route> {
    let post =
        |path, name| Route { method: Method::POST, ..get(path, handler!(token::issue), name) };
    vec![
        post("/{tenant}/oauth2/v2.0/token", "Token"),
        post("/{tenant}/oauth2/token", "TokenV1"),
        post("/adfs/oauth2/token", "TokenAdfs"),
        post("/adfs/{tenant}/oauth2/v2.0/token", "TokenAdfsTenant"),
        post("/adfs/{tenant}/oauth2/token", "TokenAdfsTenantV1"),
    ]
}

fn documents() -> Vec<Route> {
    let get = |path, name| get(path, handler!(discovery::document), name);
    vec![
        get("/{tenant}/v2.0/.well-known/openid-configuration", "OpenId"),
        get("/{tenant}/.well-known/openid-configuration", "OpenIdV1"),
        get("/adfs/.well-known/openid-configuration", "OpenIdAdfs"),
        get("/adfs/v2.0/.well-known/openid-configuration", "OpenIdAdfsV2"),
        get("/adfs/{tenant}/v2.0/.well-known/openid-configuration", "OpenIdAdfsTenant"),
        get("/adfs/{tenant}/.well-known/openid-configuration", "OpenIdAdfsTenantV1"),
    ]
}

fn keys() -> Vec<Route> {
    let get = |path, name| get(path, handler!(discovery::keys), name);
    vec![
        get("/{tenant}/discovery/v2.0/keys", "Keys"),
        get("/{tenant}/discovery/keys", "KeysV1"),
        get("/adfs/discovery/keys", "KeysAdfs"),
        get("/adfs/{tenant}/discovery/v2.0/keys", "KeysAdfsTenant"),
        get("/adfs/{tenant}/discovery/keys", "KeysAdfsTenantV1"),
    ]
}

fn get(path: &'static str, handler: Handler, name: &'static str) -> Route {
    Route {
        method: Method::GET,
        path,
        versions: Versions::None,
        since: None,
        action: Action::Public,
        handler,
        name,
    }
}
