//! Signing in over HTTP, as clients do.

use crate::site::{HOST, Site};
use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use jsonwebtoken::jwk::JwkSet;

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
