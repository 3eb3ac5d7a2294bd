//! Signing in over HTTP, as clients do.

use crate::site::{HOST, Site};
use crate::table::routes;
use crate::wire::settings::WireSettings;
use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use jsonwebtoken::jwk::JwkSet;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tresor_testkit::sim_env;

fn form(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn post(path: &str, body: String) -> Request<Body> {
    Request::post(path)
        .header(header::HOST, HOST)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(body))
        .unwrap()
}

#[tokio::test]
async fn all_forms_of_the_authority_give_a_token() {
    let site = Site::new().await;
    let tenant = site.app.service.tenant();
    let (client, secret) = (site.first.client_id.to_string(), &site.first.client_secret);
    for root in [format!("/{tenant}"), "/adfs".into(), format!("/adfs/{tenant}"), "/common".into()]
    {
        let document = if root == "/adfs" { "" } else { "/v2.0" };
        let document = format!("{root}{document}/.well-known/openid-configuration");
        let found = Request::get(&document).header(header::HOST, HOST).body(Body::empty());
        let found = site.send(found.unwrap()).await;
        assert_eq!(found.status, StatusCode::OK, "{document}");
        let issuer = found.body["issuer"].as_str().unwrap();
        assert!(issuer.starts_with("https://localhost:8443/"));
        let part = |name: &str| {
            let url = found.body[name].as_str().unwrap();
            url.strip_prefix("https://localhost:8443").unwrap().to_owned()
        };
        let keys = Request::get(part("jwks_uri")).header(header::HOST, HOST).body(Body::empty());
        let keys = site.send(keys.unwrap()).await;
        let keys: JwkSet = serde_json::from_value(keys.body).unwrap();

        let body = form(&[
            ("grant_type", "client_credentials"),
            ("client_id", &client),
            ("client_secret", secret),
            ("scope", "https://localhost:8443/.default"),
            ("client_info", "1"),
            ("claims", "{}"),
        ]);
        let url = format!("{}?client-request-id=1", part("token_endpoint"));
        let answer = site.send(post(&url, body)).await;
        assert_eq!(answer.status, StatusCode::OK, "{root} {answer:?}");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.body["expires_in"], 3599);
        let token = answer.body["access_token"].as_str().unwrap();
        let kid = jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
        assert!(keys.find(&kid).is_some());
        let list = site.ask_as(token, Method::GET, "/subscriptions", None).await;
        assert_eq!(list.body["value"][0]["tenantId"], tenant.to_string());
    }
}

#[tokio::test]
async fn a_wrong_secret_is_refused_in_the_words_of_the_protocol() {
    let site = Site::new().await;
    let tenant = site.app.service.tenant();
    let client = site.first.client_id.to_string();
    let token = format!("/{tenant}/oauth2/v2.0/token");
    let good = [
        ("grant_type", "client_credentials"),
        ("client_id", client.as_str()),
        ("client_secret", "wrong"),
        ("scope", "https://localhost:8443/.default"),
    ];
    let answer = site.send(post(&token, form(&good))).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.body["error"], "invalid_client");
    assert_eq!(answer.body["error_codes"][0], 7_000_215);
    let text = answer.body["error_description"].as_str().unwrap();
    assert!(text.starts_with("AADSTS7000215: Invalid client secret provided"));

    let other = "/11111111-2222-3333-4444-555555555555/oauth2/v2.0/token";
    let answer = site.send(post(other, form(&good))).await;
    assert_eq!(answer.body["error_codes"][0], 90_002);
    let mut elsewhere = good;
    elsewhere[3].1 = "https://vault.azure.net/.default";
    let answer = site.send(post(&token, form(&elsewhere))).await;
    assert_eq!((answer.status.as_u16(), &answer.body["error_codes"][0]), (400, &500_011.into()));
    let answer = site.send(post(&token, String::new())).await;
    assert_eq!(answer.body["error"], "invalid_request");
}

#[tokio::test]
async fn the_cloud_describes_itself() {
    let site = Site::new().await;
    let path = "/metadata/endpoints?api-version=2022-09-01";
    let get = |path: &str| Request::get(path).header(header::HOST, HOST).body(Body::empty());
    let found = site.send(get(path).unwrap()).await.body;
    assert_eq!(found["resourceManager"], "https://localhost:8443");
    assert_eq!(found["authentication"]["loginEndpoint"], "https://localhost:8443/adfs");
    assert_eq!(found["authentication"]["audiences"][0], "https://localhost:8443");
    let list = site.send(get("/metadata/endpoints?api-version=2019-05-01").unwrap()).await.body;
    assert_eq!(list[0], found);
}

/// A token of the owner by the token endpoint, and the key that signed it.
async fn signed(site: &Site) -> (String, String) {
    let client = site.first.client_id.to_string();
    let body = form(&[
        ("grant_type", "client_credentials"),
        ("client_id", &client),
        ("client_secret", &site.first.client_secret),
        ("scope", "https://management.azure.com/.default"),
    ]);
    let answer = site.send(post("/adfs/oauth2/token", body)).await;
    let token = answer.body["access_token"].as_str().unwrap_or_else(|| panic!("{answer:?}"));
    (token.to_owned(), jsonwebtoken::decode_header(token).unwrap().kid.unwrap())
}

/// The ids of the published keys.
async fn published(site: &Site) -> BTreeSet<String> {
    let get = Request::get("/adfs/discovery/keys").header(header::HOST, HOST);
    let found = site.send(get.body(Body::empty()).unwrap()).await;
    let keys: JwkSet = serde_json::from_value(found.body).unwrap();
    keys.keys.into_iter().filter_map(|key| key.common.key_id).collect()
}

#[tokio::test]
async fn signing_keys_rotate_and_stay_until_their_tokens_have_ended() {
    let (env, clock) = sim_env(1);
    let signing_key_lifetime = Duration::from_secs(1800);
    let wire = WireSettings { signing_key_lifetime, ..WireSettings::default() };
    let site = Site::of(routes(), wire.clone(), env).await;
    let good = async |token: &str| {
        site.ask_as(token, Method::GET, "/subscriptions", None).await.status == StatusCode::OK
    };
    let (first, one) = signed(&site).await;
    clock.advance(Duration::from_secs(1799));
    assert_eq!(signed(&site).await.1, one, "not yet");
    clock.advance(Duration::from_secs(1));
    let (second, two) = signed(&site).await;
    assert_ne!(one, two);
    assert_eq!(published(&site).await, BTreeSet::from([one.clone(), two.clone()]));
    assert!(good(&first).await && good(&second).await);
    clock.advance(Duration::from_secs(1800 + 299));
    assert!(good(&first).await, "its time is over since less than the skew");
    clock.advance(Duration::from_secs(1));
    assert!(!good(&first).await && good(&second).await);

    // A day and the skew later nothing that the first key signed can be good.
    clock.advance(Duration::from_secs(86_400));
    let (third, three) = signed(&site).await;
    assert_eq!(published(&site).await, BTreeSet::from([two.clone(), three.clone()]));
    let keys = site.data().join("keys");
    let files = std::fs::read_dir(keys).unwrap().map(|entry| entry.unwrap());
    let files: Vec<_> =
        files.filter(|file| file.file_name().to_string_lossy().starts_with("signing")).collect();
    assert_eq!(files.len(), 2, "{files:?}");
    for file in &files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
    // A restart finds the same keys.
    let again = super::authority::Authority::open(&site.app.service, &wire).unwrap();
    let now = site.app.service.env().real();
    assert!(again.check(&third, "https://localhost:8443", now).is_ok());
    assert_eq!(again.keys(), site.app.authority.keys());
}

#[tokio::test]
async fn every_document_leads_to_a_token_endpoint() {
    let site = Site::new().await;
    let tenant = site.app.service.tenant();
    for root in [format!("/{tenant}"), "/adfs".into(), format!("/adfs/{tenant}"), "/common".into()]
    {
        for version in ["", "/v2.0"] {
            let path = format!("{root}{version}/.well-known/openid-configuration");
            let get = Request::get(&path).header(header::HOST, HOST).body(Body::empty());
            let found = site.send(get.unwrap()).await;
            assert_eq!(found.status, StatusCode::OK, "{path}");
            let part = |name: &str| {
                let url = found.body[name].as_str().unwrap();
                url.strip_prefix("https://localhost:8443").unwrap().to_owned()
            };
            let refused = site.send(post(&part("token_endpoint"), String::new())).await;
            assert_eq!(refused.body["error"], "invalid_request", "{path}");
            let keys = Request::get(part("jwks_uri")).header(header::HOST, HOST);
            let keys = site.send(keys.body(Body::empty()).unwrap()).await;
            assert_eq!(keys.body["keys"].as_array().map(Vec::len), Some(1), "{path}");
        }
    }
}
