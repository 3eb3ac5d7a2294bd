//! What a store relies on in an object store, as tests for any of them.
//!
//! [`crate::objects_conform`] makes one test of each function here and in [`crate::journey`]. The
//! kinds of target (memory, folders, servers) all go through the same tests: a promise that only
//! some of them keep is one that the store must not rely on.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use tokio::runtime::Runtime;

use crate::Rng;

/// An empty part of an object store, and a runtime to reach it.
pub struct Place {
    /// The objects; nobody else uses them.
    pub objects: Arc<dyn ObjectStore>,
    /// The runtime.
    pub rt: Runtime,
    /// What has to live as long, such as a folder.
    pub keep: Box<dyn std::any::Any + Send + Sync>,
}

impl Place {
    /// A place whose objects are `objects`; `keep` is dropped with it.
    pub fn new(
        objects: Arc<dyn ObjectStore>,
        rt: Runtime,
        keep: impl std::any::Any + Send + Sync,
    ) -> Self {
        Self { objects, rt, keep: Box::new(keep) }
    }

    fn create(&self, name: &str, bytes: impl Into<Bytes>) -> Result<(), Error> {
        let payload = PutPayload::from_bytes(bytes.into());
        let path = Path::from(name);
        let put = self.objects.put_opts(&path, payload, create_only());
        self.rt.block_on(put).map(|_| ())
    }

    fn get(&self, name: &str) -> Result<Bytes, Error> {
        let path = Path::from(name);
        self.rt.block_on(async { self.objects.get(&path).await?.bytes().await })
    }

    fn list(&self, folder: &str) -> Vec<String> {
        let folder = Path::from(folder);
        let listed = self.objects.list(Some(&folder));
        let names = listed.map_ok(|meta| (meta.location.to_string(), meta.size));
        let mut names: Vec<(String, u64)> = self.rt.block_on(names.try_collect()).unwrap();
        names.sort();
        names.into_iter().map(|(name, _)| name).collect()
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Place({})", self.objects)
    }
}

/// A runtime for a place.
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn create_only() -> PutOptions {
    PutOptions::from(PutMode::Create)
}

fn random(seed: u64, len: usize) -> Bytes {
    let mut bytes = vec![0; len];
    Rng::new(seed).fill(&mut bytes);
    bytes.into()
}

/// Of many who create one object at once exactly one wins, and its bytes are those that stay.
pub fn one_of_many_creators_wins(place: &Place) {
    for round in 0..6 {
        let name = format!("race/{round}");
        let gate = std::sync::Barrier::new(8);
        let won: Vec<u64> = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..8)
                .map(|racer| {
                    let (gate, name) = (&gate, &name);
                    scope.spawn(move || {
                        let bytes = random(racer, 3000);
                        gate.wait();
                        match place.create(name, bytes) {
                            Ok(()) => Some(racer),
                            Err(Error::AlreadyExists { .. }) => None,
                            Err(e) => panic!("racer {racer}: {e}"),
                        }
                    })
                })
                .collect();
            racers.into_iter().filter_map(|racer| racer.join().unwrap()).collect()
        });
        assert_eq!(won.len(), 1, "round {round}: {won:?} all won");
        let winner = won.first().copied().unwrap();
        assert!(place.get(&name).unwrap() == random(winner, 3000), "round {round}");
    }
}

/// Objects of all sizes, from nothing to the largest pack, come back as they were.
pub fn bytes_come_back(place: &Place) {
    for len in [0, 1, 4095, 4096, 1 << 20, 32 << 20] {
        let (name, bytes) = (format!("sizes/{len}"), random(len as u64, len));
        place.create(&name, bytes.clone()).unwrap();
        assert!(place.get(&name).unwrap() == bytes, "{len} bytes");
        let head = place.rt.block_on(place.objects.head(&Path::from(name))).unwrap();
        assert_eq!(head.size, len as u64);
    }
}

/// A range is exactly what was asked for; beyond the end there is a failure or less, never
/// anything else.
pub fn ranges_are_exact(place: &Place) {
    let bytes = random(1, 100_000);
    place.create("ranges/a", bytes.clone()).unwrap();
    let path = Path::from("ranges/a");
    let get = |range| place.rt.block_on(place.objects.get_range(&path, range));
    for range in [0..1, 0..100_000, 4096..8192, 99_999..100_000, 12_345..12_346] {
        let want = bytes.slice(range.start..range.end);
        let got = get(range.start as u64..range.end as u64).unwrap();
        assert!(got == want, "{range:?}");
    }
    for range in [99_000..100_001, 99_999..200_000] {
        if let Ok(got) = get(range.clone()) {
            assert!(got == bytes.slice(range.start as usize..), "{range:?}");
        }
    }
    for range in [100_000..100_001, 500_000..600_000] {
        assert!(get(range.clone()).is_err(), "{range:?}");
    }
}

/// A list holds every object of the folder, also when there are more than one answer can name,
/// and none of another folder.
pub fn lists_are_whole(place: &Place) {
    const COUNT: usize = 1203;
    let names: Vec<String> = (0..COUNT).map(|n| format!("list/{n:032x}-{n}")).collect();
    let others = ["list2/a", "lis/a", "a"];
    place.rt.block_on(async {
        futures::stream::iter(names.iter().map(String::as_str).chain(others))
            .map(|name| async move {
                let payload = PutPayload::from_static(b"x");
                place.objects.put_opts(&Path::from(name), payload, create_only()).await.unwrap();
            })
            .buffer_unordered(16)
            .collect::<Vec<()>>()
            .await;
    });
    let mut sorted = names.clone();
    sorted.sort();
    assert!(place.list("list") == sorted);
    assert_eq!(place.list("nothing"), Vec::<String>::new());
    assert_eq!(place.list("list2"), ["list2/a"]);
    // Deleted in one go, as far as the target can do that.
    let paths = names.iter().map(|name| Ok(Path::from(name.as_str()))).collect::<Vec<_>>();
    let deleted = place.objects.delete_stream(futures::stream::iter(paths).boxed());
    let deleted: Vec<_> = place.rt.block_on(deleted.try_collect()).unwrap();
    assert_eq!(deleted.len(), COUNT);
    assert_eq!(place.list("list"), Vec::<String>::new());
    assert_eq!(place.list("list2"), ["list2/a"]);
}

/// What was deleted is gone at once: from reads and from lists; deleting again is harmless.
pub fn deleted_is_gone(place: &Place) {
    for name in ["gone/a", "gone/b", "gone/deep/er/c"] {
        place.create(name, random(2, 5000)).unwrap();
    }
    let delete = |name: &str| place.rt.block_on(place.objects.delete(&Path::from(name)));
    assert_eq!(place.list("gone").len(), 3);
    delete("gone/a").unwrap();
    assert_eq!(place.list("gone"), ["gone/b", "gone/deep/er/c"]);
    assert!(matches!(place.get("gone/a"), Err(Error::NotFound { .. })));
    for missing in ["gone/a", "gone/never"] {
        assert!(matches!(delete(missing), Ok(()) | Err(Error::NotFound { .. })), "{missing}");
    }
    delete("gone/deep/er/c").unwrap();
    assert_eq!(place.list("gone"), ["gone/b"]);
}

/// What is not there is told as such, and a list of it is empty.
pub fn missing_is_told(place: &Place) {
    let path = Path::from("missing/a");
    assert!(matches!(place.get("missing/a"), Err(Error::NotFound { .. })));
    let head = place.rt.block_on(place.objects.head(&path));
    assert!(matches!(head, Err(Error::NotFound { .. })), "{head:?}");
    let range = place.rt.block_on(place.objects.get_range(&path, 0..1));
    assert!(matches!(range, Err(Error::NotFound { .. })), "{range:?}");
    assert_eq!(place.list("missing"), Vec::<String>::new());
}

/// Names as the store makes them.
pub fn names_are_kept(place: &Place) {
    let long = "f".repeat(200);
    let mut names = vec![
        "names/config".to_owned(),
        "names/0123456789abcdef0123456789abcdef".to_owned(),
        "names/0123456789abcdef-0123456789abcdef-1.run".to_owned(),
        "names/UPPER".to_owned(),
        "names/upper".to_owned(),
        format!("names/{long}"),
        "names/a/b/c/d".to_owned(),
    ];
    for name in &names {
        place.create(name, name.clone().into_bytes()).unwrap();
    }
    names.sort();
    assert_eq!(place.list("names"), names);
    for name in &names {
        assert_eq!(place.get(name).unwrap(), name.as_bytes());
    }
}

/// Whoever reads while an object is being written sees nothing or all of it.
pub fn a_put_is_seen_whole_or_not_at_all(place: &Place) {
    let bytes = random(9, 8 << 20);
    for round in 0..3 {
        let name = format!("whole/{round}");
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                // Bounded: a put that never appears ends the test and not the patience.
                (0..100_000).find_map(|_| match place.get(&name) {
                    Ok(seen) => Some(seen),
                    Err(Error::NotFound { .. }) => None,
                    Err(e) => panic!("{e}"),
                })
            });
            place.create(&name, bytes.clone()).unwrap();
            assert!(reader.join().unwrap().unwrap() == bytes, "round {round}");
        });
    }
}

/// One test for each promise, on a fresh `$place` each (a function that makes one).
#[macro_export]
macro_rules! objects_conform {
    ($place:path) => {
        $crate::objects_conform!($place, conformance:
            one_of_many_creators_wins, bytes_come_back, ranges_are_exact, lists_are_whole,
            deleted_is_gone, missing_is_told, names_are_kept,
            a_put_is_seen_whole_or_not_at_all);
        $crate::objects_conform!($place, journey:
            a_store_lives_there, large_packs_pass, damage_is_noticed, faults_are_outlasted);
    };
    ($place:path, $module:ident: $($name:ident),*) => {
        $(#[test]
        fn $name() {
            $crate::$module::$name(&$place());
        })*
    };
}
