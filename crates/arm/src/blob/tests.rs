//! Tests of the data plane.

mod door;
mod parts;
mod revoked;
mod scope;
mod transfer;

use crate::site::{HOST, Site};
use crate::wire::entry;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use serde_json::{Value, json};
use std::sync::Arc;

const SIZE: u64 = 4 << 20;

/// An answer of the data plane.
#[derive(Debug)]
struct Got {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    /// Status and code of a refusal, which its body must tell too.
    fn refusal(&self) -> (u16, &str) {
        let code = self.header("x-ms-error-code");
        let told = format!("<Code>{code}</Code>");
        assert!(self.body.is_empty() || self.text().contains(&told), "{self:?}");
        (self.status.as_u16(), code)
    }
}

/// Sends a request to a signed URL, without a token.
async fn send(
    site: &Site,
    method: Method,
    url: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Got {
    let path = url.strip_prefix(&format!("https://{HOST}")).unwrap();
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, HOST);
    request = request.header(header::CONTENT_LENGTH, body.len());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body)).unwrap();
    let (head, body) = entry::serve(Arc::clone(&site.app), request).await.into_parts();
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap();
    Got { status: head.status, headers: head.headers, body }
}

async fn get(site: &Site, url: &str, range: &str) -> Got {
    send(site, Method::GET, url, &[("x-ms-range", range)], vec![]).await
}

async fn put_page(site: &Site, url: &str, at: u64, bytes: Vec<u8>) -> Got {
    let range = format!("bytes={at}-{}", at + bytes.len() as u64 - 1);
    let headers = [("x-ms-page-write", "update"), ("x-ms-range", range.as_str())];
    send(site, Method::PUT, &format!("{url}&comp=page"), &headers, bytes).await
}

async fn clear(site: &Site, url: &str, range: &str) -> Got {
    let headers = [("x-ms-page-write", "clear"), ("x-ms-range", range)];
    send(site, Method::PUT, &format!("{url}&comp=page"), &headers, vec![]).await
}

/// Asks the resource manager, and follows the operation to its end; the result.
async fn done(site: &Site, method: Method, path: &str, body: Option<Value>) -> Value {
    let first = site.ask(method, path, body).await;
    assert!(first.status.is_success(), "{first:?}");
    let status = first.header("azure-asyncoperation").replacen(&format!("https://{HOST}"), "", 1);
    loop {
        let poll = site.ask(Method::GET, &status, None).await;
        match poll.body["status"].as_str() {
            Some("InProgress") => tokio::task::yield_now().await,
            Some("Succeeded") => break,
            _ => panic!("{poll:?}"),
        }
    }
    let result = first.header("location").replacen(&format!("https://{HOST}"), "", 1);
    site.ask(Method::GET, &result, None).await.body
}

/// A disk that waits for its upload.
async fn disk(site: &Site, name: &str) -> String {
    let group = site.group("rg").await;
    let path = format!("{group}/providers/Microsoft.Compute/disks/{name}");
    let creation = json!({ "createOption": "Upload", "uploadSizeBytes": SIZE + 512 });
    let body = json!({ "location": "westus", "properties": { "creationData": creation } });
    let made = done(site, Method::PUT, &path, Some(body)).await;
    assert_eq!(made["properties"]["diskState"], "ReadyToUpload", "{made}");
    path
}

async fn snapshot(site: &Site, disk: &str, name: &str) -> String {
    let path = format!("{}/snapshots/{name}", disk.split_once("/disks/").unwrap().0);
    let body = json!({ "location": "westus", "properties": {
        "incremental": true,
        "creationData": { "createOption": "Copy", "sourceResourceId": disk },
    }});
    done(site, Method::PUT, &path, Some(body)).await;
    path
}

async fn grant(site: &Site, resource: &str, access: &str) -> String {
    let body = json!({ "access": access, "durationInSeconds": 3600 });
    let path = format!("{resource}/beginGetAccess");
    let result = done(site, Method::POST, &path, Some(body)).await;
    assert_eq!(result.as_object().unwrap().len(), 1, "{result}");
    result["accessSAS"].as_str().unwrap().to_owned()
}

async fn revoke(site: &Site, resource: &str) {
    let path = format!("{resource}/endGetAccess");
    let first = site.ask(Method::POST, &path, None).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{first:?}");
}

fn pattern(seed: u8, length: usize) -> Vec<u8> {
    (0..length).map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed) | 1).collect()
}
