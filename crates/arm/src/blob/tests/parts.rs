//! The parts of the data plane that need no disk.

use crate::blob::footer;
use crate::blob::pages::{Joined, begin, element};
use crate::blob::range::{Asked, of, parse};
use crate::blob::sas::{Plane, claim, claim_of_url};
use crate::blob::{PAGE, condition, digest, is_blob};
use crate::wire::request::Query;
use axum::body::Body;
use http::{HeaderMap, HeaderValue, Request};
use jiff::Timestamp;
use quick_xml::Writer;
use tresor_core::model::{Access, Grant, ResourceId};
use uuid::Uuid;

fn grant() -> Grant {
    Grant {
        id: Uuid::from_u128(0x6ea7),
        resource: ResourceId::root(),
        unique_id: Uuid::from_u128(0xd15c_0000_0000_0000_0000_0000_0000_0001),
        access: Access::Read,
        expires: Timestamp::UNIX_EPOCH,
    }
}

fn signature(url: &str) -> String {
    Query::parse(url.split_once('?').unwrap().1).get("sig").unwrap().to_owned()
}

#[test]
fn urls_have_three_segments_and_are_read_back() {
    let plane = Plane::new(&[1; 32]);
    let url = plane.url("https://localhost:8443", &grant());
    let unique = grant().unique_id.simple().to_string();
    assert!(url.starts_with(&format!("https://localhost:8443/md-{}/{unique}/disk?", &unique[..8])));
    let found = claim_of_url(&url).unwrap();
    let (path, query) = url.split_once("8443").unwrap().1.split_once('?').unwrap();
    assert_eq!(claim(path, &Query::parse(query)), Some(found));
    assert!(plane.holds(&grant(), &signature(&url)));
}

#[test]
fn a_signature_covers_everything_that_it_grants() {
    let plane = Plane::new(&[1; 32]);
    let signature = signature(&plane.url("https://h", &grant()));
    let others = [
        Grant { access: Access::Write, ..grant() },
        Grant { expires: Timestamp::MAX, ..grant() },
        Grant { id: Uuid::from_u128(1), ..grant() },
        Grant { unique_id: Uuid::from_u128(1), ..grant() },
    ];
    for other in others {
        assert!(!plane.holds(&other, &signature), "{other:?}");
    }
    assert!(!Plane::new(&[2; 32]).holds(&grant(), &signature));
    for bad in ["", "x", "!!", &signature[1..]] {
        assert!(!plane.holds(&grant(), bad), "{bad}");
    }
}

#[test]
fn urls_that_are_not_ours_claim_nothing() {
    let good = Plane::new(&[1; 32]).url("https://h", &grant());
    for (from, to) in [("/md-", "/xx-"), ("/disk?", "/disc?"), ("si=", "sj="), ("sig=", "gis=")] {
        assert_eq!(claim_of_url(&good.replacen(from, to, 1)), None, "{to}");
    }
    let account = good.replacen("/md-d15c0000", "/md-d15c0001", 1);
    assert_eq!(claim_of_url(&account), None);
    for bad in ["", "not a url", "/md-a/b/disk?si=x", "https://h/a?sig=b", &"x".repeat(5000)] {
        assert_eq!(claim_of_url(bad), None);
    }
}

#[test]
fn only_three_segments_of_a_disk_are_blobs() {
    let blob = |uri: &str| is_blob(&Request::get(uri).body(Body::empty()).unwrap());
    assert!(blob("/md-1/2/disk?sig=x") && blob("/md-1/2/disk"));
    for other in ["/subscriptions/1/resourcegroups", "/md-1/2", "/md-1/2/3/4", "/"] {
        assert!(!blob(other), "{other}");
    }
}

#[test]
fn ranges_are_parsed_strictly() {
    let parse = |text| parse("range", text);
    let asked = |header, first, last| Some(Asked { header, first, last });
    assert_eq!(parse("bytes=0-511"), asked("range", 0, Some(511)));
    assert_eq!(parse(" Bytes = 5- "), asked("range", 5, None));
    for bad in [
        "",
        "bytes",
        "bytes=",
        "bytes=-5",
        "bytes=5-4",
        "bytes=a-b",
        "bytes=0-1,3-4",
        "items=0-1",
        "bytes=+1-2",
        "bytes=99999999999999999999-",
    ] {
        assert_eq!(parse(bad), None, "{bad}");
    }
    let mut headers = HeaderMap::new();
    assert!(of(&headers).unwrap().is_none());
    headers.insert("range", HeaderValue::from_static("bytes=0-1"));
    headers.insert("x-ms-range", HeaderValue::from_static("bytes=2-3"));
    assert_eq!(of(&headers).unwrap(), asked("x-ms-range", 2, Some(3)));
    headers.insert("x-ms-range", HeaderValue::from_static("bytes=oops"));
    let fault = of(&headers).unwrap_err();
    assert!(fault.code == "InvalidHeaderValue" && fault.message.contains("x-ms-range"));
}

#[test]
fn reads_are_cut_at_the_end_and_refused_behind_it() {
    let asked = |text: &str| parse("x-ms-range", text).unwrap();
    assert_eq!(asked("bytes=0-33554431").within(1024).unwrap(), 0..1024);
    assert_eq!(asked("bytes=1023-").within(1024).unwrap(), 1023..1024);
    assert_eq!(asked("bytes=0-18446744073709551615").within(8).unwrap(), 0..8);
    let fault = asked("bytes=1024-").within(1024).unwrap_err();
    assert_eq!((fault.status.as_u16(), fault.code), (416, "InvalidRange"));
    assert!(fault.message.contains("x-ms-range"), "{}", fault.message);
}

#[test]
fn writes_are_whole_pages_inside() {
    let pages = |text: &str| parse("x-ms-range", text).unwrap().pages(2048);
    assert_eq!(pages("bytes=512-2047").unwrap(), 512..2048);
    for bad in [
        "bytes=0-",
        "bytes=0-99",
        "bytes=1-512",
        "bytes=0-510",
        "bytes=1536-2559",
        "bytes=0-18446744073709551615",
    ] {
        let fault = pages(bad).unwrap_err();
        assert_eq!(fault.code, "InvalidPageRange", "{bad}");
        assert!(fault.message.contains("x-ms-range"), "{}", fault.message);
    }
}

#[test]
fn page_lists_as_clients_read_them() {
    let mut writer = Writer::new(Vec::new());
    let mut joined = Joined::default();
    begin(&mut writer).unwrap();
    let found = [(0..512, false), (512..1024, false), (1024..2048, true), (4096..4608, true)];
    for found in found {
        if let Some(whole) = joined.push(found) {
            element(&mut writer, &whole).unwrap();
        }
    }
    element(&mut writer, &joined.take().unwrap()).unwrap();
    assert_eq!(joined.take(), None);
    assert_eq!(
        String::from_utf8(writer.into_inner()).unwrap(),
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><PageList>\
         <PageRange><Start>0</Start><End>1023</End></PageRange>\
         <ClearRange><Start>1024</Start><End>2047</End></ClearRange>\
         <ClearRange><Start>4096</Start><End>4607</End></ClearRange>"
    );
}

#[test]
fn conditions_of_reads_and_writes() {
    let etag = "\"0xAB\"";
    let modified: Timestamp = "1994-11-06T08:49:37Z".parse().unwrap();
    let check = |name: &'static str, value: &'static str, reads| {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        condition::check(&headers, etag, modified, reads).err().map(|f| f.status.as_u16())
    };
    assert_eq!(check("if-match", "\"0xAB\"", true), None);
    assert_eq!(check("if-match", "*", false), None);
    assert_eq!(check("if-match", "\"0xAC\"", true), Some(412));
    assert_eq!(check("if-none-match", "*", false), Some(412));
    assert_eq!(check("if-none-match", "\"0xAB\"", true), Some(304));
    assert_eq!(check("if-none-match", "\"0xAC\"", true), None);
    assert_eq!(check("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT", true), Some(304));
    assert_eq!(check("if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT", true), None);
    assert_eq!(check("if-unmodified-since", "Sun, 06 Nov 1994 08:49:36 GMT", false), Some(412));
    assert_eq!(check("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT", false), None);
    assert_eq!(check("x-ms-lease-id", "x", false), Some(412));
}

#[test]
fn digests() {
    assert_eq!(digest::md5(b""), "1B2M2Y8AsgTpgAmY7PhCfg==");
}

fn vhd(size: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(PAGE).unwrap()];
    bytes[..8].copy_from_slice(b"conectix");
    bytes[48..56].copy_from_slice(&size.to_be_bytes());
    bytes[60..64].copy_from_slice(&2_u32.to_be_bytes());
    let sum = !bytes.iter().map(|b| u32::from(*b)).sum::<u32>();
    bytes[64..68].copy_from_slice(&sum.to_be_bytes());
    bytes
}

#[test]
fn footers_must_be_those_of_the_disk() {
    let size = 4 << 20;
    assert_eq!(footer::problem(&vhd(size), size), None);
    assert!(footer::problem(&vhd(size), size + 512).unwrap().contains("4194304"));
    assert!(footer::problem(&[0; 512], size).unwrap().contains("conectix"));
    assert!(footer::problem(b"conectix", size).is_some());
    for at in [48, 60, 64, 100, 511] {
        let mut bad = vhd(size);
        bad[at] ^= 1;
        assert!(footer::problem(&bad, size).is_some(), "byte {at}");
    }
}
