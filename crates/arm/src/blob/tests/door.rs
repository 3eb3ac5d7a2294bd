//! Who gets in: signatures, grants and what they allow.

use super::{SIZE, clear, disk, get, grant, put_page, revoke, send, snapshot};
use crate::site::Site;
use http::Method;

#[tokio::test]
async fn a_closed_or_changed_url_opens_nothing() {
    let site = Site::new().await;
    let (one, two) = (disk(&site, "one").await, disk(&site, "two").await);
    let url = grant(&site, &one, "Read").await;
    let other = grant(&site, &two, "Read").await;
    assert_eq!(get(&site, &url, "bytes=0-511").await.status, 206);
    let parts = |url: &str| {
        let (path, query) = url.split_once('?').unwrap();
        (path.to_owned(), query.to_owned())
    };
    let mixed = format!("{}?{}", parts(&url).0, parts(&other).1);
    let signature = url.rsplit('=').next().unwrap();
    let cut = url.replace(signature, &signature[1..]);
    let bare = url.split("&sig=").next().unwrap().to_owned();
    for bad in [mixed, cut, bare, parts(&url).0, url.replacen("si=", "si=0", 1)] {
        let got = get(&site, &bad, "bytes=0-511").await;
        assert_eq!(got.refusal(), (403, "AuthenticationFailed"), "{bad}");
        assert_eq!(got.header("content-type"), "application/xml");
    }
    revoke(&site, &one).await;
    let got = get(&site, &url, "bytes=0-511").await;
    assert_eq!(got.refusal(), (403, "AuthenticationFailed"));
    assert_eq!(get(&site, &other, "bytes=0-511").await.status, 206);
    // A disk of the same name made later is another one.
    revoke(&site, &two).await;
    let deleted = site.ask(Method::DELETE, &two, None).await;
    assert_eq!(deleted.status, 202, "{deleted:?}");
    disk(&site, "two").await;
    let got = get(&site, &other, "bytes=0-511").await;
    assert_eq!(got.refusal(), (403, "AuthenticationFailed"));
}

#[tokio::test]
async fn reading_does_not_allow_writing() {
    let site = Site::new().await;
    let path = disk(&site, "one").await;
    let url = grant(&site, &path, "Read").await;
    let got = put_page(&site, &url, 0, vec![1; 512]).await;
    assert_eq!(got.refusal(), (403, "AuthorizationPermissionMismatch"));
    let got = clear(&site, &url, "bytes=0-511").await;
    assert_eq!(got.refusal(), (403, "AuthorizationPermissionMismatch"));
    let length = (SIZE + 512).to_string();
    let headers = [("x-ms-blob-type", "PageBlob"), ("x-ms-blob-content-length", length.as_str())];
    let got = send(&site, Method::PUT, &url, &headers, vec![]).await;
    assert_eq!(got.refusal(), (403, "AuthorizationPermissionMismatch"));
}

#[tokio::test]
async fn answers_name_the_request() {
    let site = Site::new().await;
    let path = disk(&site, "one").await;
    let url = grant(&site, &path, "Read").await;
    let headers = [("x-ms-version", "2026-10-06"), ("x-ms-client-request-id", "mine")];
    let head = send(&site, Method::HEAD, &url, &headers, vec![]).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), (SIZE + 512).to_string());
    assert_eq!(head.header("x-ms-blob-type"), "PageBlob");
    assert_eq!(head.header("x-ms-version"), "2026-10-06");
    assert_eq!(head.header("x-ms-client-request-id"), "mine");
    assert!(!head.header("x-ms-request-id").is_empty() && !head.header("etag").is_empty());
    let bare = send(&site, Method::HEAD, &format!("{url}x"), &headers, vec![]).await;
    assert_eq!(bare.refusal(), (403, "AuthenticationFailed"));
    assert!(bare.body.is_empty());
}

#[tokio::test]
async fn what_is_not_there_is_refused() {
    let site = Site::new().await;
    let path = disk(&site, "one").await;
    let url = grant(&site, &path, "Write").await;
    let cases = [
        (Method::DELETE, url.clone(), 405, "UnsupportedHttpVerb"),
        (Method::POST, url.clone(), 405, "UnsupportedHttpVerb"),
        (Method::PUT, format!("{url}&comp=metadata"), 400, "InvalidQueryParameterValue"),
        (Method::GET, format!("{url}&snapshot=x"), 400, "InvalidQueryParameterValue"),
        (Method::PUT, url.clone(), 400, "MissingRequiredHeader"),
        (Method::PUT, format!("{url}&comp=page"), 400, "MissingRequiredHeader"),
        (
            Method::GET,
            format!("{url}&comp=pagelist&prevsnapshot=2020-01-01"),
            400,
            "InvalidQueryParameterValue",
        ),
    ];
    for (method, url, status, code) in cases {
        let got = send(&site, method.clone(), &url, &[], vec![]).await;
        assert_eq!(got.refusal(), (status, code), "{method} {url}");
    }
}

#[tokio::test]
async fn snapshots_can_only_be_read() {
    let site = Site::new().await;
    let path = disk(&site, "one").await;
    // Only a disk that is whole can be taken.
    grant(&site, &path, "Write").await;
    revoke(&site, &path).await;
    let taken = snapshot(&site, &path, "s1").await;
    let body = serde_json::json!({ "access": "Write", "durationInSeconds": 60 });
    let refused = site.ask(Method::POST, &format!("{taken}/beginGetAccess"), Some(body)).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (400, "InvalidParameter"));
    for (body, field) in [
        (serde_json::json!({ "access": "None", "durationInSeconds": 60 }), "access"),
        (serde_json::json!({ "access": "Read" }), "durationInSeconds"),
        (serde_json::json!({ "access": "Read", "durationInSeconds": 0 }), "durationInSeconds"),
        (
            serde_json::json!({ "access": "Read", "durationInSeconds": 9, "fileFormat": "VHDX" }),
            "fileFormat",
        ),
    ] {
        let refused = site.ask(Method::POST, &format!("{taken}/beginGetAccess"), Some(body)).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (400, "InvalidParameter"));
        assert!(refused.body["error"]["message"].as_str().unwrap().contains(field));
    }
}
