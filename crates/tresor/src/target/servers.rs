//! Real servers of S3 and Azure Blob, and a network that fails in front of them.
//!
//! `cargo xtask test --only objects` starts the servers and says in the environment where they
//! are; without it these tests fail. They use the clients exactly as the product makes them.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};

use tresor_store::env::Env;
use tresor_store::{ErrorKind, Secret, Store, StoreConfig};
use tresor_testkit::conformance::{Place, runtime};
use tresor_testkit::{Wire, WireFault, WireRequest, journey};
use url::Url;

use super::*;

/// One kind of server.
struct Server {
    scheme: &'static str,
    bucket: &'static str,
    endpoint: &'static str,
    timeout: &'static str,
}

const S3: Server = Server {
    scheme: "s3",
    bucket: "TRESOR_TEST_BUCKET",
    endpoint: "AWS_ENDPOINT_URL",
    timeout: "AWS_TIMEOUT",
};

const AZURE: Server = Server {
    scheme: "az",
    bucket: "TRESOR_TEST_CONTAINER",
    endpoint: "AZURE_STORAGE_ENDPOINT",
    timeout: "AZURE_TIMEOUT",
};

fn said(name: &str) -> String {
    let told = std::env::var(name);
    told.unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask test --only objects`"))
}

impl Server {
    /// A place that nobody else has.
    fn url(&self) -> String {
        let name = uuid::Uuid::new_v4().simple();
        format!("{}://{}/test/{name}", self.scheme, said(self.bucket))
    }

    fn bucket(&self) -> Bucket {
        match Target::parse(OsStr::new(&self.url())).unwrap() {
            Target::Bucket(bucket) => bucket,
            Target::Folder(_) => panic!("a folder"),
        }
    }

    fn place(&self) -> Place {
        let rt = runtime();
        let objects = self.bucket().connect(&environment(), rt.handle()).unwrap();
        Place::new(objects, rt, ())
    }

    /// A place that is reached through a network with faults.
    fn beyond(
        &self,
        change: &[(&str, &str)],
        plan: impl Fn(&WireRequest) -> WireFault + Send + Sync + 'static,
    ) -> (Place, Arc<Wire>) {
        let mut environment = environment();
        let endpoint = Url::parse(&said(self.endpoint)).unwrap();
        let server = SocketAddr::new(
            endpoint.host_str().unwrap().parse().unwrap(),
            endpoint.port().unwrap(),
        );
        let wire = Arc::new(Wire::new(server, plan).unwrap());
        let moved = format!("http://{}{}", wire.address(), endpoint.path());
        environment.insert(self.endpoint.to_owned(), moved);
        for (name, value) in change {
            environment.insert((*name).to_owned(), (*value).to_owned());
        }
        let objects = self.bucket().client(&environment).unwrap();
        (Place::new(objects, runtime(), Arc::clone(&wire)), wire)
    }
}

/// Of the requests about each object half fail, by turns in all ways.
fn in_turns() -> impl Fn(&WireRequest) -> WireFault + Send + Sync {
    let seen: Mutex<HashMap<(String, String), usize>> = Mutex::default();
    move |request| {
        let mut seen = seen.lock().unwrap();
        let number = seen.entry((request.method.clone(), request.target.clone())).or_default();
        *number += 1;
        let turn = [
            WireFault::DropReply,
            WireFault::None,
            WireFault::CutReply,
            WireFault::Answer(503),
            WireFault::None,
            WireFault::None,
            WireFault::CutBody,
            WireFault::None,
            WireFault::Reset,
            WireFault::None,
        ];
        let offset = request.target.bytes().map(usize::from).sum::<usize>();
        turn[(*number + offset) % turn.len()]
    }
}

fn a_store_lives_beyond_a_bad_network(server: &Server) {
    let (place, wire) = server.beyond(&[], in_turns());
    journey::a_store_lives_there(&place);
    assert!(wire.requests() > 100, "{} requests", wire.requests());
}

/// A reply to a put that was done is lost each time: nothing is written twice or lost.
fn lost_replies_lose_nothing(server: &Server) {
    let (place, _) = server.beyond(&[], |request| match request.method.as_str() {
        "PUT" => WireFault::DropReply,
        _ => WireFault::None,
    });
    journey::a_store_lives_there(&place);
}

/// Bursts of refusals, as of a server that throttles; then requests that get no answer in time:
/// some were never heard, some were done.
fn throttling_and_silence_are_outlasted(server: &Server) {
    let puts = Mutex::new(0);
    let plan = move |request: &WireRequest| {
        let mut puts = puts.lock().unwrap();
        *puts += u32::from(request.method == "PUT");
        match request.number {
            10..18 => WireFault::Answer(503),
            30..33 => WireFault::Answer(429),
            _ if request.method == "PUT" && [12, 20, 21].contains(&*puts) => WireFault::HoldReply,
            40 | 60 => WireFault::Silence,
            _ => WireFault::None,
        }
    };
    let (place, _) = server.beyond(&[(server.timeout, "1s")], plan);
    journey::a_store_lives_there(&place);
}

/// What a user is told whose bucket is missing or not theirs.
fn a_wrong_place_is_explained(server: &Server) {
    let rt = runtime();
    let missing = format!("{}://no-such-place-{}/a", server.scheme, uuid::Uuid::new_v4());
    let Target::Bucket(missing) = Target::parse(OsStr::new(&missing)).unwrap() else {
        panic!("a folder");
    };
    let error = missing.connect(&environment(), rt.handle()).unwrap_err();
    let said = format!("{error:#}");
    let code = if server.scheme == "s3" { "NoSuchBucket" } else { "ContainerNotFound" };
    assert!(said.contains("there is no such") && said.contains("no-such-place"), "{said}");
    assert!(said.contains(code) && !said.contains("xml"), "{said}");
}

/// A list that is refused once the store is open is no outage: it is told at once, not retried.
fn a_refusal_after_opening_is_told_at_once(server: &Server) {
    let refusing = Arc::new(AtomicU16::new(0));
    let answer = Arc::clone(&refusing);
    let (place, wire) = server.beyond(&[], move |request| {
        let list = ["list-type=2", "comp=list"].iter().any(|part| request.target.contains(part));
        match answer.load(Ordering::SeqCst) {
            status if status > 0 && list => WireFault::Answer(status),
            _ => WireFault::None,
        }
    });
    let (cache, secret) = (tempfile::tempdir().unwrap(), Secret::KeyFile([7; 32].into()));
    let config = StoreConfig { argon2_kib: 8, argon2_passes: 1, ..StoreConfig::default() };
    let (objects, rt) = (Arc::clone(&place.objects), place.rt.handle().clone());
    let made = Store::init(objects, rt, cache.path(), config, &secret, Env::system());
    let (store, _) = made.unwrap();
    for status in [401, 403, 404] {
        refusing.store(status, Ordering::SeqCst);
        let before = wire.requests();
        let error = store.points().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{status}: {error:?}");
        assert!(wire.requests() - before <= 3, "{status}: it is not asked again and again");
    }
    refusing.store(0, Ordering::SeqCst);
    assert!(store.points().unwrap().is_empty());
}

macro_rules! server_tests {
    ($module:ident, $server:expr) => {
        mod $module {
            use super::*;

            fn place() -> Place {
                $server.place()
            }

            tresor_testkit::objects_conform!(place);
            server_tests!($server;
                a_store_lives_beyond_a_bad_network,
                lost_replies_lose_nothing,
                throttling_and_silence_are_outlasted,
                a_wrong_place_is_explained,
                a_refusal_after_opening_is_told_at_once);
        }
    };
    ($server:expr; $($name:ident),*) => {
        $(#[test]
        fn $name() {
            super::$name(&$server);
        })*
    };
}

server_tests!(s3, S3);
server_tests!(azure, AZURE);

/// Only Azurite looks at the key; the S3 server takes any.
#[test]
fn a_wrong_key_is_explained() {
    let rt = runtime();
    let wrong: BTreeMap<String, String> = environment()
        .into_iter()
        .map(|(name, value)| {
            if name == "AZURE_STORAGE_ACCOUNT_KEY" {
                (name, "AAAA".to_owned())
            } else {
                (name, value)
            }
        })
        .collect();
    let error = AZURE.bucket().connect(&wrong, rt.handle()).unwrap_err();
    let said = format!("{error:#}");
    assert!(said.contains("credentials were refused"), "{said}");
}
