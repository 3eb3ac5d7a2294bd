//! What clients read before they sign in: the cloud's endpoints, OpenID documents and keys.

use super::place::{ADFS, Place};
use crate::wire::error::ArmError;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use http::StatusCode;
use serde_json::{Value, json};

/// The document by which `az cloud register` and Terraform learn of a cloud.
pub(super) async fn endpoints(request: Request) -> Result<Reply, ArmError> {
    let base = request.base.as_str();
    let host = base.trim_start_matches("https://");
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    // The authority is announced in the ADFS form: clients then ask it directly, instead of
    // asking Microsoft's authority about it first.
    let document = json!({
        "name": "tresor",
        "resourceManager": base,
        "portal": base,
        "graph": base,
        "graphAudience": base,
        "gallery": base,
        "batch": base,
        "media": base,
        "sqlManagement": base,
        "microsoftGraphResourceId": format!("{base}/"),
        "activeDirectoryDataLake": base,
        "authentication": {
            "loginEndpoint": format!("{base}/{ADFS}"),
            "audiences": [base],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "suffixes": {
            "storage": format!("blob.{host}"),
            "keyVaultDns": format!("vault.{host}"),
            "acrLoginServer": format!("azurecr.{host}"),
            "sqlServerHostname": format!("database.{host}"),
        },
    });
    let list = request.query.get("api-version") == Some("2019-05-01");
    Ok(Reply::ok(if list { Value::Array(vec![document]) } else { document }))
}

/// The OpenID configuration of the authority, in the form that the path uses.
pub(super) async fn document(request: Request) -> Result<Reply, ArmError> {
    let place = checked(&request)?;
    let root = place.root(&request.base);
    let versioned = |tail: &str| {
        let version = if place.is_versioned() { "v2.0/" } else { "" };
        format!("{root}/oauth2/{version}{tail}")
    };
    let keys = if place.is_versioned() { "discovery/v2.0/keys" } else { "discovery/keys" };
    Ok(Reply::ok(json!({
        "issuer": place.issuer(&request.base, request.app.authority.tenant()),
        "authorization_endpoint": versioned("authorize"),
        "token_endpoint": versioned("token"),
        "jwks_uri": format!("{root}/{keys}"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": ["token"],
        "response_modes_supported": ["query"],
        "subject_types_supported": ["pairwise"],
        "scopes_supported": ["openid"],
        "id_token_signing_alg_values_supported": ["RS256"],
    })))
}

/// The keys that check tokens.
pub(super) async fn keys(request: Request) -> Result<Reply, ArmError> {
    checked(&request)?;
    Ok(Reply::ok(request.app.authority.keys()))
}

/// Tells a client that asks about an authority that this one is its own.
pub(super) async fn instance(request: Request) -> Result<Reply, ArmError> {
    let tenant = request.app.authority.tenant();
    let root = format!("{}/{tenant}", request.base);
    Ok(Reply::ok(json!({
        "tenant_discovery_endpoint": format!("{root}/v2.0/.well-known/openid-configuration"),
        "api-version": "1.1",
        "metadata": [],
    })))
}

fn checked(request: &Request) -> Result<Place, ArmError> {
    let place = Place::of(request);
    if place.is(request.app.authority.tenant()) {
        return Ok(place);
    }
    let text = format!("AADSTS90002: Tenant '{}' not found.", place.tenant());
    Err(ArmError::new(StatusCode::BAD_REQUEST, "invalid_tenant", text))
}
