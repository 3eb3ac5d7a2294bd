use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use object_store::memory::InMemory;
use tokio::runtime::Runtime;
use tresor_testkit::{Fault, Faulty, Operation};

use super::*;
use crate::env::{Chance, Clock};
use crate::margins;

/// A clock on which waiting takes no time; it notes how long each pause was.
#[derive(Default)]
struct Pauses(Mutex<Vec<Duration>>);

impl Clock for Pauses {
    fn domain(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
    fn real(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
    fn monotonic(&self) -> Duration {
        self.0.lock().unwrap().iter().sum()
    }
    fn pause(&self, time: Duration) {
        self.0.lock().unwrap().push(time);
    }
}

/// Some bytes, the same in each run.
struct Seeded(Mutex<blake3::OutputReader>);

impl Chance for Seeded {
    fn fill(&self, out: &mut [u8]) {
        self.0.lock().unwrap().fill(out);
    }
}

struct Rig {
    objects: Objects,
    faulty: Arc<Faulty>,
    pauses: Arc<Pauses>,
    _rt: Runtime,
}

/// Objects in memory that fail as planned.
fn rig(plan: impl Fn(Operation, u64) -> Fault + Send + Sync + 'static) -> Rig {
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let inner = Arc::new(InMemory::new());
    let faulty = Arc::new(Faulty::new(inner, move |operation, _, before| plan(operation, before)));
    let pauses = Arc::new(Pauses::default());
    let chance = Arc::new(Seeded(Mutex::new(blake3::Hasher::new().finalize_xof())));
    let env = Env::new(Arc::clone(&pauses) as Arc<dyn Clock>, chance);
    let store = Arc::clone(&faulty) as Arc<dyn ObjectStore>;
    Rig { objects: Objects::new(store, rt.handle().clone(), env), faulty, pauses, _rt: rt }
}

const BYTES: &[u8] = b"0123456789";

fn bytes() -> Bytes {
    Bytes::from_static(BYTES)
}

fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn every_operation_outlasts_all_failures_but_one_too_many() {
    let tries = u64::from(margins::TRIES);
    let rig =
        rig(move |_, before| if before % tries == tries - 1 { Fault::None } else { Fault::Refuse });
    let objects = &rig.objects;
    // A failed put is followed by a look, which fails as often as it may: the plan of reads is
    // asked on its own count.
    assert_eq!(objects.create("a/b", bytes()).unwrap(), Put::Ours);
    assert_eq!(objects.get("a/b", 10).unwrap(), BYTES);
    assert_eq!(objects.size("a/b").unwrap(), 10);
    assert_eq!(objects.list("a").unwrap(), ["b"]);
    objects.delete("a/b").unwrap();
    assert_eq!(rig.faulty.count(Operation::Put), tries);
    assert_eq!(rig.faulty.count(Operation::List), tries);
    assert_eq!(rig.faulty.count(Operation::Delete), tries);
}

#[test]
fn pauses_grow_to_a_limit_and_end() {
    let rig = rig(|operation, _| match operation {
        Operation::List => Fault::Refuse,
        _ => Fault::None,
    });
    assert_eq!(kind(rig.objects.list("a")), ErrorKind::Transient);
    let pauses = rig.pauses.0.lock().unwrap().clone();
    assert_eq!(pauses.len() as u32, margins::TRIES - 1);
    let mut longest = margins::PAUSE;
    for pause in &pauses {
        assert!(longest / 2 <= *pause && *pause <= longest, "{pauses:?}");
        longest = (longest * 4).min(margins::PAUSE_MAX);
    }
    let total: Duration = pauses.iter().sum();
    assert!(total >= Duration::from_secs(17), "{total:?}");
}

#[test]
fn what_will_not_go_away_is_told_at_once() {
    for (fault, expected) in [(Fault::Full, ErrorKind::Full), (Fault::Medium, ErrorKind::Corrupt)] {
        let rig = rig(move |operation, _| match operation {
            Operation::Put => Fault::None,
            _ => fault,
        });
        rig.objects.create("a", bytes()).unwrap();
        assert_eq!(kind(rig.objects.get("a", 10)), expected);
        assert_eq!(kind(rig.objects.get_range("a", 1..2)), expected);
        assert!(rig.pauses.0.lock().unwrap().is_empty(), "{fault:?}");
    }
}

/// A plan in which only the first put fails.
fn first_put(fault: Fault) -> impl Fn(Operation, u64) -> Fault {
    move |operation, before| match (operation, before) {
        (Operation::Put, 0) => fault,
        _ => Fault::None,
    }
}

#[test]
fn a_failed_put_is_settled_by_what_is_there() {
    for fault in [Fault::Refuse, Fault::LoseReply, Fault::Conflict] {
        let rig = rig(first_put(fault));
        assert_eq!(rig.objects.create("a", bytes()).unwrap(), Put::Ours, "{fault:?}");
        assert_eq!(rig.objects.get("a", 10).unwrap(), BYTES);
        let puts = if fault == Fault::LoseReply { 1 } else { 2 };
        assert_eq!(rig.faulty.count(Operation::Put), puts, "{fault:?}");
        let other = Bytes::from_static(b"other");
        assert_eq!(rig.objects.create("a", other.clone()).unwrap(), Put::Theirs);
        assert_eq!(kind(rig.objects.create_unique("a", other)), ErrorKind::Corrupt);
    }
}

#[test]
fn a_part_of_a_write_is_never_taken_for_the_whole() {
    let rig = rig(first_put(Fault::Partial));
    let error = rig.objects.create_unique("a", bytes()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("parts of a failed write"), "{error}");
    assert_eq!(rig.objects.get("a", 10).unwrap(), BYTES[..5]);
}

#[test]
fn an_answer_that_ends_early_is_asked_for_again() {
    let plan = |operation, before| match operation {
        Operation::Get if before % 3 != 2 => Fault::Short,
        _ => Fault::None,
    };
    let rig = rig(plan);
    rig.objects.create("a", bytes()).unwrap();
    for _ in 0..5 {
        assert_eq!(rig.objects.get("a", 10).unwrap(), BYTES);
        assert_eq!(rig.objects.get_range("a", 2..9).unwrap(), BYTES[2..9]);
    }
}

#[test]
fn an_object_that_is_too_short_is_damage_and_not_asked_for_again() {
    let rig = rig(|_, _| Fault::None);
    rig.objects.create("a", bytes()).unwrap();
    for range in [5..11, 9..12, 10..11, 30..31] {
        assert_eq!(
            kind(rig.objects.get_range("a", range.clone())),
            ErrorKind::Corrupt,
            "{range:?}"
        );
    }
    assert_eq!(kind(rig.objects.get("a", 9)), ErrorKind::Corrupt);
    assert_eq!(kind(rig.objects.get_range("b", 0..1)), ErrorKind::NotFound);
    assert!(rig.pauses.0.lock().unwrap().is_empty());
}

#[test]
fn a_deletion_is_repeatable_and_a_lost_reply_to_it_is_no_error() {
    let rig = rig(|operation, before| match (operation, before) {
        (Operation::Delete, 0) => Fault::LoseReply,
        _ => Fault::None,
    });
    rig.objects.create("a", bytes()).unwrap();
    rig.objects.delete("a").unwrap();
    rig.objects.delete("a").unwrap();
    assert_eq!(kind(rig.objects.get("a", 10)), ErrorKind::NotFound);
}

#[test]
fn a_target_that_keeps_its_promises_is_taken_and_left_clean() {
    let rig = rig(|_, _| Fault::None);
    rig.objects.probe().unwrap();
    assert!(rig.objects.list("probe").unwrap().is_empty());
    assert!(rig.pauses.0.lock().unwrap().is_empty());
}

#[test]
fn a_target_that_breaks_a_promise_is_refused_by_its_name() {
    for (liar, nth, words) in [
        (Operation::Put, None, "overwrites objects"),
        (Operation::Get, None, "other bytes or sizes"),
        (Operation::List, Some(0), "does not list"),
        (Operation::Delete, Some(0), "still returns"),
    ] {
        let rig = rig(move |operation, before| {
            let lies = operation == liar && nth.is_none_or(|nth| nth == before);
            if lies { Fault::Lie } else { Fault::None }
        });
        let error = rig.objects.probe().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(words), "{error}");
        assert!(rig.objects.list("probe").unwrap().is_empty(), "{words}: nothing is left behind");
    }
}
