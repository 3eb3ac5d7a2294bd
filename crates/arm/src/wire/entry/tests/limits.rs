//! Limits over time, and bodies that would take more memory than they have bytes.

use super::*;
use crate::wire::bucket::Rate;
use axum::extract::ConnectInfo;
use std::net::SocketAddr;

const LEFT: &str = "x-ms-ratelimit-remaining-subscription-";

fn two(change: impl FnOnce(&mut crate::Rates, Rate)) -> WireSettings {
    let mut wire = WireSettings::default();
    change(&mut wire.rates, Rate { burst: 2, per_minute: 1 });
    wire
}

#[tokio::test]
async fn the_header_tells_what_is_left_until_nothing_is() {
    let site = Site::with(routes(), two(|rates, rate| rates.reads = rate)).await;
    let ask = || site.ask(Method::GET, "/subscriptions", None);
    for left in ["1", "0"] {
        let answer = ask().await;
        assert_eq!((answer.status, answer.header(&format!("{LEFT}reads"))), (StatusCode::OK, left));
    }
    let refused = ask().await;
    assert_eq!((refused.status.as_u16(), refused.code()), (429, "TooManyRequests"));
    assert_eq!(refused.header(&format!("{LEFT}reads")), "0");
    assert!((1..=60).contains(&refused.header("retry-after").parse::<u64>().unwrap()));
    // Writes have a bucket of their own, and so does everybody else.
    let made = site.ask(Method::PUT, &site.below("/resourceGroups/rg"), Some(json!({}))).await;
    assert_eq!((made.status.as_u16(), made.header(&format!("{LEFT}writes"))), (400, "11999"));
    let stranger = site.token_of(&site.stranger().await);
    let other = site.ask_as(&stranger, Method::GET, "/subscriptions", None).await;
    assert_eq!(other.status, StatusCode::OK, "{other:?}");
}

#[tokio::test]
async fn a_write_too_many_changes_nothing() {
    let site = Site::with(routes(), two(|rates, rate| rates.deletes = rate)).await;
    let group = site.group("rg").await;
    for name in ["x", "y"] {
        let absent = site.below(&format!("/resourceGroups/{name}"));
        let answer = site.ask(Method::DELETE, &absent, None).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{answer:?}");
    }
    let refused = site.ask(Method::DELETE, &group, None).await;
    assert_eq!(refused.status.as_u16(), 429);
    assert_eq!(site.ask(Method::GET, &group, None).await.status, StatusCode::OK);
}

#[tokio::test]
async fn strangers_are_counted_by_address_and_keep_nobody_with_a_token_out() {
    let site = Site::with(routes(), two(|rates, rate| rates.anonymous = rate)).await;
    let from = |address: &str, mut request: Request<Body>| {
        let address: SocketAddr = address.parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(address));
        site.send(request)
    };
    let bad = || {
        let mut request = get(&site, "/subscriptions?api-version=2022-12-01");
        request.headers_mut().insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer x"));
        request
    };
    let good = || get(&site, "/subscriptions?api-version=2022-12-01");
    for status in [401, 401, 429, 429] {
        assert_eq!(from("10.0.0.1:1", bad()).await.status.as_u16(), status);
        assert_eq!(from("10.0.0.1:2", good()).await.status.as_u16(), 200);
    }
    assert_eq!(from("10.0.0.2:1", bad()).await.status.as_u16(), 401);
    // The same bucket counts what needs no token, each in its own words.
    let blob = from("10.0.0.1:3", get(&site, "/md-1/2/disk?sig=x")).await;
    assert_eq!(blob.status.as_u16(), 429);
    assert_eq!(blob.header("content-type"), "application/xml");
    assert_eq!((blob.header("x-ms-error-code"), blob.header("retry-after")), ("ServerBusy", "10"));
    let token = format!("/{}/oauth2/v2.0/token", site.app.service.tenant());
    let form = post(&token, "application/x-www-form-urlencoded", Body::empty());
    let answer = from("10.0.0.1:4", form).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["error"]),
        (429, &json!("temporarily_unavailable"))
    );
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    let open = from("10.0.0.1:5", get(&site, "/metadata/endpoints?api-version=2022-09-01")).await;
    assert_eq!((open.status.as_u16(), open.code()), (429, "TooManyRequests"));
}

#[tokio::test]
async fn a_body_has_a_bounded_number_of_values() {
    let site = Site::new().await;
    let path = site.below("/resourceGroups/rg");
    let put = |values: usize| {
        let list = vec!["[]"; values].join(",");
        let request = Request::put(format!("{path}?api-version={VERSION}"))
            .header(header::HOST, HOST)
            .header(header::AUTHORIZATION, format!("Bearer {}", site.token))
            .body(Body::from(format!("{{\"location\":\"westus\",\"tags\":[{list}]}}")));
        site.send(request.unwrap())
    };
    let many = put(VALUES_MAX).await;
    assert_eq!((many.status.as_u16(), many.code()), (400, "InvalidRequestContent"));
    assert!(many.body["error"]["message"].as_str().unwrap().contains("100000"), "{many:?}");
    assert_eq!(put(10).await.code(), "InvalidParameter");
}

#[tokio::test]
async fn a_request_with_two_hosts_or_two_lengths_is_refused() {
    let site = Site::new().await;
    for (name, value) in [("host", "other.example"), ("content-length", "7")] {
        let mut request = get(&site, "/subscriptions?api-version=2022-12-01");
        request.headers_mut().append("content-length", HeaderValue::from_static("0"));
        let name = http::HeaderName::from_static(name);
        request.headers_mut().append(name, HeaderValue::from_static(value));
        let answer = site.send(request).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "InvalidHeaderValue"));
        assert_eq!(answer.header("connection"), "close");
    }
}
