//! What a signed URL is good for, and what it is not: each part of it changed, each limit reached.

use super::{disk, get, grant, put_page, revoke};
use crate::site::Site;
use crate::table::routes;
use crate::wire::settings::WireSettings;
use std::time::Duration;
use tresor_core::hook::Hooks;
use tresor_testkit::sim_env;

/// Strangers are not counted here: each change is to be judged by itself.
fn uncounted() -> WireSettings {
    let mut wire = WireSettings::default();
    wire.rates.anonymous.burst = 0;
    wire
}

#[tokio::test]
async fn any_changed_character_of_a_url_opens_nothing() {
    let site = Site::with(routes(), uncounted()).await;
    let path = disk(&site, "one").await;
    let url = grant(&site, &path, "Read").await;
    let begin = url.find("/md-").unwrap() + 1;
    let mut tried = 0;
    for at in begin..url.len() {
        let mut changed = url.clone().into_bytes();
        let old = changed[at];
        changed[at] = if old == b'0' { b'1' } else { b'0' };
        let changed = String::from_utf8(changed).unwrap();
        let status = get(&site, &changed, "bytes=0-511").await.status.as_u16();
        // What is no address of a disk's bytes any more is refused by others.
        let refused = [401, 403, 404].contains(&status);
        // The last character of a signature holds bits that are not used.
        let same = at + 1 == url.len();
        assert!(same || refused, "{at}: {status} {changed}");
        tried += 1;
    }
    assert!(tried > 150, "{tried}");
    assert_eq!(get(&site, &url, "bytes=0-511").await.status, 206);
}

/// Parameters of other kinds of signatures give nothing that the signature does not.
#[tokio::test]
async fn added_parameters_give_nothing() {
    let site = Site::with(routes(), uncounted()).await;
    let path = disk(&site, "one").await;
    let url = grant(&site, &path, "Read").await;
    for more in ["&sp=rwdl", "&se=2999-01-01T00:00:00Z", "&sr=c", "&si=00000000", "&sig=AAAA"] {
        let more = format!("{url}{more}");
        assert_eq!(get(&site, &more, "bytes=0-511").await.status, 206, "{more}");
        let put = put_page(&site, &more, 0, vec![1; 512]).await;
        assert_eq!(put.refusal(), (403, "AuthorizationPermissionMismatch"), "{more}");
    }
    for first in ["si=00000000-0000-0000-0000-000000000000&", "sig=AAAA&"] {
        let (address, query) = url.split_once('?').unwrap();
        let got = get(&site, &format!("{address}?{first}{query}"), "bytes=0-511").await;
        assert_eq!(got.refusal(), (403, "AuthenticationFailed"), "{first}");
    }
}

#[tokio::test]
async fn a_url_ends_when_its_time_is_over() {
    let (env, clock) = sim_env(7);
    let site = Site::made(routes(), WireSettings::default(), env, Hooks::new(None)).await;
    site.app.service.start().await;
    let path = disk(&site, "one").await;
    let url = grant(&site, &path, "Write").await;
    assert_eq!(put_page(&site, &url, 0, vec![1; 512]).await.status, 201);
    clock.advance(Duration::from_secs(3599));
    assert_eq!(get(&site, &url, "bytes=0-511").await.status, 206);
    clock.advance(Duration::from_secs(1));
    let got = get(&site, &url, "bytes=0-511").await;
    assert_eq!(got.refusal(), (403, "AuthenticationFailed"));
    let put = put_page(&site, &url, 0, vec![1; 512]).await;
    assert_eq!(put.refusal(), (403, "AuthenticationFailed"));
}

/// One disk has many URLs: each is closed by the end of access, whoever asked for it.
#[tokio::test]
async fn the_end_of_access_closes_every_url() {
    let site = Site::new().await;
    let path = disk(&site, "one").await;
    let urls = [
        grant(&site, &path, "Write").await,
        grant(&site, &path, "Write").await,
        grant(&site, &path, "Read").await,
    ];
    for url in &urls {
        assert_eq!(get(&site, url, "bytes=0-511").await.status, 206);
    }
    revoke(&site, &path).await;
    for url in &urls {
        let got = get(&site, url, "bytes=0-511").await;
        assert_eq!(got.refusal(), (403, "AuthenticationFailed"));
        let put = put_page(&site, url, 0, vec![1; 512]).await;
        assert_eq!(put.refusal(), (403, "AuthenticationFailed"));
    }
}
