//! endGetAccess ends requests that began before it.

use super::{SIZE, disk, get, grant, pattern, put_page, revoke};
use crate::site::{HOST, Site};
use crate::wire::entry;
use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use std::io;
use std::sync::Arc;
use tokio::sync::oneshot;

fn request(method: Method, url: &str) -> http::request::Builder {
    let path = url.strip_prefix(&format!("https://{HOST}")).unwrap();
    Request::builder().method(method).uri(path).header(header::HOST, HOST)
}

#[tokio::test]
async fn a_body_that_arrives_after_the_end_is_not_written() {
    let site = Site::new().await;
    let path = disk(&site, "one").await;
    let url = grant(&site, &path, "Write").await;
    let (asked, is_asked) = oneshot::channel();
    let (send, bytes) = oneshot::channel::<Bytes>();
    // The body is asked for once the request was let in.
    let body = stream::once(async move {
        asked.send(()).unwrap();
        bytes.await.map_err(io::Error::other)
    });
    let put = request(Method::PUT, &format!("{url}&comp=page"))
        .header("x-ms-page-write", "update")
        .header("x-ms-range", "bytes=0-511")
        .body(Body::from_stream(body))
        .unwrap();
    let answer = tokio::spawn(entry::serve(Arc::clone(&site.app), put));
    is_asked.await.unwrap();
    revoke(&site, &path).await;
    send.send(Bytes::from(pattern(1, 512))).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert_eq!(answer.headers()["x-ms-error-code"], "AuthenticationFailed");
    let url = grant(&site, &path, "Read").await;
    let got = get(&site, &url, "bytes=0-511").await;
    assert!(got.status == StatusCode::PARTIAL_CONTENT && got.body == vec![0; 512]);
}

#[tokio::test]
async fn a_running_read_breaks_off() {
    let site = Site::new().await;
    let path = disk(&site, "one").await;
    let url = grant(&site, &path, "Write").await;
    assert_eq!(put_page(&site, &url, 0, pattern(1, 4096)).await.status, 201);
    for revoked in [false, true] {
        let url = grant(&site, &path, "Read").await;
        let whole = request(Method::GET, &url).body(Body::empty()).unwrap();
        let answer = entry::serve(Arc::clone(&site.app), whole).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let mut body = answer.into_body();
        let mut first = 0;
        while first < SIZE {
            let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
            first += piece.len() as u64;
        }
        assert_eq!(first, SIZE);
        if revoked {
            revoke(&site, &path).await;
        }
        let second = body.frame().await.unwrap();
        assert_eq!(second.is_err(), revoked, "{second:?}");
    }
}
