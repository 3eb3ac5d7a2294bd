//! Bytes in and out.

use super::{SIZE, clear, disk, get, grant, pattern, put_page, revoke, send, snapshot};
use crate::site::Site;
use http::Method;

const PART: usize = 64 << 10;

#[tokio::test]
async fn what_is_written_is_read() {
    let site = Site::new().await;
    let path = disk(&site, "one").await;
    let url = grant(&site, &path, "Write").await;
    let (first, second) = (pattern(3, PART), pattern(9, 4096));
    let put = put_page(&site, &url, 0, first.clone()).await;
    assert_eq!(put.status, 201, "{put:?}");
    assert!(!put.header("etag").is_empty() && !put.header("content-md5").is_empty());
    assert_eq!(put_page(&site, &url, SIZE - 4096, second.clone()).await.status, 201);
    assert_eq!(clear(&site, &url, "bytes=512-1023").await.status, 201);

    let got = get(&site, &url, "bytes=0-2047").await;
    assert_eq!(got.status, 206);
    assert_eq!(got.header("content-range"), format!("bytes 0-2047/{}", SIZE + 512));
    assert_eq!(got.header("content-length"), "2048");
    let mut expected = first[..2048].to_vec();
    expected[512..1024].fill(0);
    assert_eq!(got.body, expected);

    let all = send(&site, Method::GET, &url, &[], vec![]).await;
    assert_eq!((all.status.as_u16(), all.body.len() as u64), (200, SIZE + 512));
    let end = usize::try_from(SIZE).unwrap();
    assert_eq!(&all.body[end - 4096..end], second);
    assert!(all.body[PART..end - 4096].iter().all(|byte| *byte == 0));
    assert!(all.body[end..].starts_with(b"conectix"));
    // What was read as the footer is taken back as the footer, and nothing else is.
    let footer = all.body[end..].to_vec();
    assert_eq!(put_page(&site, &url, SIZE, footer).await.status, 201);
    let wrong = put_page(&site, &url, SIZE, vec![7; 512]).await;
    assert_eq!(wrong.refusal(), (400, "InvalidInput"));

    revoke(&site, &path).await;
    let shown = site.ask(Method::GET, &path, None).await;
    assert_eq!(shown.body["properties"]["diskState"], "Unattached", "{shown:?}");
}

#[tokio::test]
async fn page_lists_are_complete() {
    let site = Site::new().await;
    let path = disk(&site, "one").await;
    let url = grant(&site, &path, "Write").await;
    let listed = format!("{url}&comp=pagelist");
    assert_eq!(put_page(&site, &url, 1 << 20, pattern(1, PART)).await.status, 201);
    let got = send(&site, Method::GET, &listed, &[], vec![]).await;
    assert_eq!((got.status.as_u16(), got.header("content-type")), (200, "application/xml"));
    assert_eq!(got.header("x-ms-blob-content-length"), (SIZE + 512).to_string());
    let text = got.text();
    assert!(text.ends_with("</PageList>") && !text.contains("ClearRange"), "{text}");
    let ranges = ranges_of(&text);
    let written = (1 << 20, (1 << 20) + PART as u64 - 1);
    assert!(ranges.iter().any(|r| r.0 <= written.0 && r.1 >= written.1), "{ranges:?}");
    assert!(ranges.iter().any(|r| r.1 == SIZE + 511), "the footer is data: {ranges:?}");
    assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0), "{ranges:?}");
    let part = send(&site, Method::GET, &listed, &[("x-ms-range", "bytes=0-65535")], vec![]).await;
    assert!(ranges_of(&part.text()).is_empty(), "{}", part.text());
}

fn ranges_of(text: &str) -> Vec<(u64, u64)> {
    let number = |text: &str, name: &str| -> u64 {
        text.split(&format!("<{name}>")).nth(1).unwrap().split('<').next().unwrap().parse().unwrap()
    };
    text.split("Range><Start>")
        .skip(1)
        .map(|part| {
            let part = format!("<Start>{part}");
            (number(&part, "Start"), number(&part, "End"))
        })
        .collect()
}

#[tokio::test]
async fn differences_against_an_older_snapshot() {
    let site = Site::new().await;
    let path = disk(&site, "one").await;
    let url = grant(&site, &path, "Write").await;
    assert_eq!(put_page(&site, &url, 0, pattern(1, PART)).await.status, 201);
    assert_eq!(put_page(&site, &url, 2 << 20, pattern(2, PART)).await.status, 201);
    revoke(&site, &path).await;
    let older = snapshot(&site, &path, "s1").await;
    let url = grant(&site, &path, "Write").await;
    assert_eq!(put_page(&site, &url, 1 << 20, pattern(3, PART)).await.status, 201);
    let range = format!("bytes={}-{}", 2 << 20, (2 << 20) + PART - 1);
    assert_eq!(clear(&site, &url, &range).await.status, 201);
    revoke(&site, &path).await;
    let newer = snapshot(&site, &path, "s2").await;

    let (old, new) = (grant(&site, &older, "Read").await, grant(&site, &newer, "Read").await);
    let listed = format!("{new}&comp=pagelist");
    let header = [("x-ms-previous-snapshot-url", old.as_str())];
    let got = send(&site, Method::GET, &listed, &header, vec![]).await;
    assert_eq!(got.status, 200, "{}", got.text());
    let text = got.text();
    let changed = format!("<PageRange><Start>{}</Start>", 1 << 20);
    let cleared = format!("<ClearRange><Start>{}</Start>", 2 << 20);
    assert!(text.contains(&changed) && text.contains(&cleared), "{text}");
    assert!(!text.contains("<Start>0</Start>"), "{text}");

    let escaped: String = form_urlencoded::byte_serialize(old.as_bytes()).collect();
    let by_query = format!("{listed}&prevsnapshot={escaped}");
    assert_eq!(send(&site, Method::GET, &by_query, &[], vec![]).await.text(), text);
    // The older one must be the older one, of the same disk, and open.
    let header = [("x-ms-previous-snapshot-url", new.as_str())];
    let backwards = format!("{old}&comp=pagelist");
    let got = send(&site, Method::GET, &backwards, &header, vec![]).await;
    assert_eq!(got.refusal(), (400, "InvalidInput"));
    revoke(&site, &older).await;
    let header = [("x-ms-previous-snapshot-url", old.as_str())];
    let got = send(&site, Method::GET, &listed, &header, vec![]).await;
    assert_eq!(got.refusal(), (403, "AuthenticationFailed"));
}

#[tokio::test]
async fn put_blob_begins_anew() {
    let site = Site::new().await;
    let path = disk(&site, "one").await;
    let url = grant(&site, &path, "Write").await;
    assert_eq!(put_page(&site, &url, 0, pattern(1, PART)).await.status, 201);
    let length = (SIZE + 512).to_string();
    let headers = [("x-ms-blob-type", "PageBlob"), ("x-ms-blob-content-length", length.as_str())];
    let got = send(&site, Method::PUT, &url, &headers, vec![]).await;
    assert_eq!(got.status, 201, "{}", got.text());
    let got = get(&site, &url, "bytes=0-65535").await;
    assert!(got.body.iter().all(|byte| *byte == 0));
    let wrong = [("x-ms-blob-type", "PageBlob"), ("x-ms-blob-content-length", "512")];
    let got = send(&site, Method::PUT, &url, &wrong, vec![]).await;
    assert_eq!(got.refusal(), (400, "InvalidHeaderValue"));
    let wrong = [("x-ms-blob-type", "BlockBlob"), ("x-ms-blob-content-length", length.as_str())];
    let got = send(&site, Method::PUT, &url, &wrong, vec![]).await;
    assert_eq!(got.refusal(), (400, "InvalidHeaderValue"));
}

/// Headers, bytes of the body, the refusal and the header that it names.
type WrongPage<'a> = (&'a [(&'a str, &'a str)], usize, u16, &'a str, &'a str);

#[tokio::test]
async fn wrong_pages_change_nothing() {
    let site = Site::new().await;
    let path = disk(&site, "one").await;
    let url = grant(&site, &path, "Write").await;
    let page = format!("{url}&comp=page");
    let update = ("x-ms-page-write", "update");
    let first = ("x-ms-range", "bytes=0-511");
    let cases: [WrongPage<'_>; 11] = [
        (&[update, ("x-ms-range", "bytes=0-99")], 100, 416, "InvalidPageRange", "x-ms-range"),
        (&[update, ("range", "bytes=0-99")], 100, 416, "InvalidPageRange", " range "),
        (&[update, ("x-ms-range", "bytes=512-1023")], 511, 400, "InvalidHeaderValue", "x-ms-range"),
        (&[update, ("x-ms-range", "bytes=0-4194815")], 0, 413, "RequestBodyTooLarge", "x-ms-range"),
        (
            &[update, ("x-ms-range", "bytes=4194304-4195327")],
            1024,
            416,
            "InvalidPageRange",
            "x-ms-range",
        ),
        (&[("x-ms-page-write", "erase"), first], 512, 400, "InvalidHeaderValue", "x-ms-page-write"),
        (&[update, first, ("content-md5", "AAAA")], 512, 400, "Md5Mismatch", "Content-MD5"),
        (&[update, first, ("if-match", "\"x\"")], 512, 412, "ConditionNotMet", "If-Match"),
        (
            &[update, first, ("x-ms-content-crc64", "x")],
            512,
            400,
            "UnsupportedHeader",
            "x-ms-content-crc64",
        ),
        (&[("x-ms-page-write", "clear"), first], 9, 400, "InvalidHeaderValue", "x-ms-page-write"),
        (
            &[("x-ms-page-write", "clear"), ("x-ms-range", "bytes=4194304-4194815")],
            0,
            416,
            "InvalidPageRange",
            "x-ms-page-write",
        ),
    ];
    for (headers, length, status, code, name) in cases {
        let got = send(&site, Method::PUT, &page, headers, vec![1; length]).await;
        assert_eq!(got.refusal(), (status, code), "{headers:?}");
        assert!(got.text().contains(name), "{headers:?} {}", got.text());
    }
    let got = get(&site, &url, "bytes=0-4194303").await;
    assert!(got.body.iter().all(|byte| *byte == 0));
}

#[tokio::test]
async fn reads_check_their_conditions() {
    let site = Site::new().await;
    let path = disk(&site, "one").await;
    let url = grant(&site, &path, "Read").await;
    let first = get(&site, &url, "bytes=0-511").await;
    let etag = first.header("etag").to_owned();
    let same = [("if-match", etag.as_str()), ("range", "bytes=0-511")];
    assert_eq!(send(&site, Method::GET, &url, &same, vec![]).await.status, 206);
    let other = [("if-match", "\"0x1\"")];
    let got = send(&site, Method::GET, &url, &other, vec![]).await;
    assert_eq!(got.refusal(), (412, "ConditionNotMet"));
    let unchanged = [("if-none-match", etag.as_str())];
    assert_eq!(send(&site, Method::GET, &url, &unchanged, vec![]).await.status, 304);
    let got = get(&site, &url, "bytes=4194816-").await;
    assert_eq!(got.refusal(), (416, "InvalidRange"));
    assert_eq!(got.header("content-range"), "bytes */4194816");
    let digest = [("x-ms-range", "bytes=0-511"), ("x-ms-range-get-content-md5", "true")];
    let got = send(&site, Method::GET, &url, &digest, vec![]).await;
    assert_eq!(got.header("content-md5"), crate::blob::digest::md5(&[0; 512]));
}
