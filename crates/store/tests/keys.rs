//! Key slots: whoever may open the store can, whoever may not cannot, whatever was interrupted.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod rig;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use object_store::ObjectStore;
use object_store::memory::InMemory;
use rig::{Rig, ingest, key, patterned, restore, secret, small};
use tresor_store::{Error, ErrorKind, RecoveryKey, Result, Secret, SlotKind, Store};
use tresor_testkit::{Fault, Faulty, Memory, Operation, Rng};

fn passphrase(text: &str) -> Secret {
    Secret::Passphrase(text.to_owned().into())
}

fn file(byte: u8) -> Secret {
    Secret::KeyFile([byte; 32].into())
}

/// A store with one point and three slots: a key file, a recovery key, a passphrase.
fn start(seed: u64) -> (Rig, Vec<u8>) {
    let rig = Rig::on(Arc::new(InMemory::new()), seed);
    let store = rig.init(small());
    let disk = patterned(&mut Rng::new(seed), 100 << 10);
    ingest(&store, 1, None, &Memory::sparse(disk.clone()), None).unwrap();
    store.add_slot(&passphrase("old"), "the old one").unwrap();
    (rig, disk)
}

fn opens(rig: &Rig, secret: &Secret) -> bool {
    match rig.beside(1000).open_with(secret) {
        Ok(_) => true,
        Err(e) if e.kind() == ErrorKind::WrongKey => false,
        Err(e) => panic!("{secret:?}: {e:?}"),
    }
}

fn labels(store: &Store) -> Vec<String> {
    store.slots().unwrap().into_iter().map(|slot| slot.label).collect()
}

fn slot_objects(rig: &Rig) -> Vec<String> {
    rig.dump().into_keys().filter(|name| name.starts_with("keys/")).collect()
}

fn remove(store: &Store, label: &str) -> Result<()> {
    let slots = store.slots()?;
    let found = slots.iter().find(|slot| slot.label == label);
    found.map_or(Ok(()), |slot| store.remove_slot(slot.id))
}

#[test]
fn slots_are_listed_added_and_removed() {
    let (rig, disk) = start(1);
    let store = rig.open().unwrap();
    let slots = store.slots().unwrap();
    let kinds: Vec<_> = slots.iter().map(|slot| slot.kind).collect();
    assert_eq!(kinds, [SlotKind::KeyFile, SlotKind::Recovery, SlotKind::Passphrase]);
    assert_eq!(labels(&store), ["first", "recovery", "the old one"]);
    assert!(slots.iter().all(|slot| slot.created == rig.env.domain()));
    let added = store.add_slot(&file(9), "a robot").unwrap();
    assert_eq!(added, store.slots().unwrap()[3]);
    assert!(opens(&rig, &file(9)) && opens(&rig, &passphrase("old")) && opens(&rig, &secret()));
    for (name, bytes) in rig.dump() {
        assert!(!bytes.windows(7).any(|w| w == b"a robot"), "a label in clear: {name}");
    }
    store.remove_slot(slots[2].id).unwrap();
    let e = rig.beside(2).open_with(&passphrase("old")).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::WrongKey);
    let said = e.to_string();
    assert!(said.contains("2 x key file, 1 x recovery key"), "{said}");
    assert_eq!(store.remove_slot(slots[2].id).unwrap_err().kind(), ErrorKind::NotFound);
    store.remove_slot(slots[0].id).unwrap();
    store.remove_slot(slots[1].id).unwrap();
    let e = store.remove_slot(added.id).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Invalid, "the last one stays");
    assert_eq!(store.add_slot(&file(1), &"x".repeat(257)).unwrap_err().kind(), ErrorKind::Invalid);
    assert!(!opens(&rig, &secret()));
    let beside = rig.beside(3);
    let again = beside.open_with(&file(9)).unwrap();
    assert!(restore(&again, 1).unwrap() == disk);
    assert_eq!(slot_objects(&rig).len(), 3, "older generations are gone");
    for number in 1..64 {
        store.add_slot(&file(number), "").unwrap();
    }
    assert_eq!(store.add_slot(&file(77), "").unwrap_err().kind(), ErrorKind::Invalid, "bounded");
}

#[test]
fn a_new_recovery_key_replaces_the_old_one() {
    let rig = Rig::on(Arc::new(InMemory::new()), 2);
    let (objects, rt) = (Arc::clone(&rig.objects), rig.rt.handle().clone());
    let made = Store::init(objects, rt, rig.cache.path(), small(), &secret(), rig.env.clone());
    let (store, old) = made.unwrap();
    // What nobody could read does not replace anything.
    let unseen = || Error::new(ErrorKind::Sink, "no paper");
    assert_eq!(store.new_recovery_key(|_| Err(unseen())).unwrap_err().kind(), ErrorKind::Sink);
    assert!(opens(&rig, &Secret::Recovery(old.clone())) && labels(&store).len() == 2);
    let mut shown = None;
    let show = |key: &RecoveryKey| {
        // Killed now, either would do.
        assert!([key, &old].iter().all(|key| opens(&rig, &Secret::Recovery((*key).clone()))));
        shown = Some(key.clone());
        Ok(())
    };
    store.new_recovery_key(show).unwrap();
    let new = shown.unwrap();
    assert!(new != old);
    assert!(opens(&rig, &Secret::Recovery(new)) && !opens(&rig, &Secret::Recovery(old)));
    assert_eq!(labels(&store), ["first", "recovery"]);
}

#[test]
fn rotation_wraps_every_slot_anew_or_changes_nothing() {
    let (rig, disk) = start(3);
    let store = rig.open().unwrap();
    store.add_slot(&passphrase("leaver"), "leaver").unwrap();
    let beside = rig.beside(31);
    let held = beside.open().unwrap();
    let other = rig.beside(33);
    let shut_out = other.open_with(&passphrase("leaver")).unwrap();
    let before = store.slots().unwrap();
    let secrets = [passphrase("old"), secret()];
    let e = store.rotate(&secrets, &[]).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Invalid);
    assert!(e.to_string().contains(&before[1].id.to_string()), "{e}");
    assert_eq!(store.slots().unwrap(), before);
    assert_eq!(held.slots().unwrap(), before);
    let leaver = before.iter().find(|slot| slot.label == "leaver").unwrap().id;
    let after = store.rotate(&secrets, &[before[1].id, leaver]).unwrap();
    assert_eq!(after, [before[0].clone(), before[2].clone()]);
    assert!(opens(&rig, &secret()) && opens(&rig, &passphrase("old")));
    store.new_epoch().unwrap();
    ingest(&store, 2, Some(1), &Memory::sparse(disk.clone()), None).unwrap();
    // Who still has a slot goes on, also with what is new.
    assert!(restore(&held, 2).unwrap() == disk);
    assert_eq!(held.slots().unwrap(), after);
    // What somebody kept in memory opens the new slots no longer; the data it knew it can read.
    assert_eq!(shut_out.slots().unwrap_err().kind(), ErrorKind::WrongKey);
    assert_eq!(shut_out.add_slot(&file(5), "").unwrap_err().kind(), ErrorKind::WrongKey);
    assert!(restore(&shut_out, 1).unwrap() == disk);
    assert_eq!(restore(&shut_out, 2).unwrap_err().kind(), ErrorKind::WrongKey);
    let beside = rig.beside(32);
    assert!(restore(&beside.open().unwrap(), 2).unwrap() == disk);
}

#[test]
fn handles_of_an_older_epoch_go_on_and_learn_of_newer_ones() {
    let (rig, first) = start(4);
    let beside = [41, 42, 43].map(|seed| rig.beside(seed));
    let [old, new] = [0, 1].map(|number: usize| beside[number].open().unwrap());
    assert_eq!(new.new_epoch().unwrap(), 2);
    assert_eq!(new.new_epoch().unwrap(), 3);
    let mut rng = Rng::new(44);
    let disks: Vec<_> = (0..3).map(|_| patterned(&mut rng, 80 << 10)).collect();
    ingest(&old, 2, None, &Memory::sparse(disks[0].clone()), None).unwrap();
    ingest(&new, 3, None, &Memory::sparse(disks[1].clone()), None).unwrap();
    let epochs = |name: &str, at: usize| {
        let all = rig.dump().into_iter().filter(|(n, _)| n.starts_with(name));
        let mut all: Vec<_> =
            all.map(|(_, b)| u32::from_le_bytes(b[at..at + 4].try_into().unwrap())).collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    for folder in ["points/", "packs/", "index/"] {
        assert_eq!(epochs(folder, 12), [1, 3], "{folder}");
    }
    assert!(restore(&old, 3).unwrap() == disks[1], "an unknown epoch: the slots are read again");
    ingest(&old, 4, Some(3), &Memory::sparse(disks[2].clone()), None).unwrap();
    for handle in [&old, &new, &beside[2].open().unwrap()] {
        assert!(restore(handle, 1).unwrap() == first);
        for (number, disk) in (2..).zip(&disks) {
            assert!(restore(handle, number).unwrap() == *disk, "point {number}");
        }
    }
}

/// An epoch that nobody knows is damage, and asking for it does not go on for ever.
#[test]
fn an_epoch_that_no_slot_knows_is_damage() {
    let (rig, _) = start(5);
    let name = format!("points/{}", key(1));
    let mut bytes = rig.dump().remove(&name).unwrap();
    bytes[12] = 200;
    rig.overwrite(&name, bytes);
    let e = rig.open().unwrap().point(&key(1)).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Corrupt);
    assert!(e.to_string().contains("epoch 200"), "{e}");
}

/// One change of slots.
type Change = fn(&Store) -> Result<()>;

const CHANGES: [(&str, Change); 6] = [
    ("add", |store| store.add_slot(&file(9), "new").map(drop)),
    ("remove", |store| remove(store, "the old one")),
    ("recovery", |store| store.new_recovery_key(|_| Ok(()))),
    ("rotate", |store| {
        let recovery = store.slots()?.into_iter().find(|slot| slot.kind == SlotKind::Recovery);
        let drop: Vec<_> = recovery.map(|slot| slot.id).into_iter().collect();
        store.rotate(&[secret(), passphrase("old"), file(9)], &drop).map(|_| ())
    }),
    ("epoch", |store| store.new_epoch().map(drop)),
    ("erase", |store| store.erase(store.id())),
];

/// Runs `change` with the operations after `fatal` failing; says whether any did.
fn interrupted(rig: &Rig, change: Change, fatal: u64, fault: Fault) -> (Result<()>, bool) {
    let (count, hit, armed) =
        (AtomicU64::new(0), Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (seen, on) = (Arc::clone(&hit), Arc::clone(&armed));
    let faulty = Faulty::new(Arc::clone(&rig.objects), move |operation, _, _| {
        let number = if on.load(SeqCst) { count.fetch_add(1, SeqCst) } else { return Fault::None };
        let mutates = matches!(operation, Operation::Put | Operation::Delete);
        // A lost reply happens once, a death for ever.
        let fails = if fault == Fault::LoseReply { number == fatal } else { number >= fatal };
        if !fails {
            return Fault::None;
        }
        seen.store(true, SeqCst);
        if mutates { fault } else { Fault::Refuse }
    });
    let other = Rig::on(Arc::new(faulty), 500 + fatal);
    let store = other.open().unwrap();
    armed.store(true, SeqCst);
    let done = change(&store);
    (done, hit.load(SeqCst))
}

/// A change dies at any operation, or any reply is lost: whoever is not concerned opens the
/// store, the change is made or not, repair leaves three equal copies and nothing else.
#[test]
fn a_change_of_slots_may_be_interrupted_anywhere() {
    for (name, change) in CHANGES {
        for fault in [Fault::Refuse, Fault::LoseReply] {
            for fatal in 0.. {
                let (rig, disk) = start(60);
                let (done, hit) = interrupted(&rig, change, fatal, fault);
                let context = format!("{name}, {fault:?} at operation {fatal}: {done:?}");
                if name == "erase" {
                    erased(&rig, done.is_ok(), &context);
                } else {
                    settled(&rig, name, done, &disk, &context);
                }
                if !hit {
                    assert!(fatal > 5, "{context}: operations to be interrupted at");
                    break;
                }
            }
        }
    }
}

fn settled(rig: &Rig, name: &str, done: Result<()>, disk: &[u8], context: &str) {
    let beside = rig.beside(700);
    let made = |store: &Store| match name {
        "add" => opens(rig, &file(9)),
        "remove" => !opens(rig, &passphrase("old")),
        // Counted by names: the key itself is lost with the process.
        "recovery" => labels(store).iter().filter(|label| *label == "recovery").count() == 1,
        "rotate" => labels(store).len() == 2,
        _ => true,
    };
    let store = beside.open().unwrap_or_else(|e| panic!("{context}: {e:?}"));
    let was = made(&store);
    assert!(was || done.is_err() || name == "recovery", "{context}: nothing happened");
    let before = store.slots().unwrap();
    store.repair_slots().unwrap();
    assert!(!store.repair_slots().unwrap(), "{context}: repaired once and for all");
    assert!(store.slot_copies().unwrap().is_sound() && slot_objects(rig).len() == 3, "{context}");
    assert_eq!(store.slots().unwrap(), before, "{context}");
    assert_eq!(made(&store), was, "{context}: repair decides nothing");
    assert!(opens(rig, &secret()), "{context}");
    assert!(name == "remove" || opens(rig, &passphrase("old")), "{context}");
    assert!(restore(&store, 1).unwrap() == disk, "{context}");
    let change = CHANGES.iter().find(|(of, _)| *of == name).unwrap().1;
    change(&store).unwrap_or_else(|e| panic!("{context}: again: {e:?}"));
    assert!(made(&store), "{context}: the next attempt gets through");
}

/// Once the mark is there the store is gone for everybody, and no key is left.
fn erased(rig: &Rig, done: bool, context: &str) {
    let marked = slot_objects(rig).iter().any(|name| name.ends_with("-erased"));
    assert!(marked || !done, "{context}");
    match rig.beside(701).open() {
        Ok(_) => assert!(!marked && slot_objects(rig).len() == 3, "{context}"),
        Err(e) => {
            assert_eq!(e.kind(), ErrorKind::NotFound, "{context}: {e:?}");
            assert!(e.to_string().contains("erased"), "{context}");
            assert!(marked && slot_objects(rig).len() == 1, "{context}: keys are left");
        }
    }
}

#[test]
fn erasing_needs_the_stores_own_id_and_is_for_ever() {
    let (rig, disk) = start(7);
    let store = rig.open().unwrap();
    let other = rig.beside(71).open().unwrap();
    let wrong = store.erase(uuid::Uuid::nil()).unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Invalid);
    assert!(restore(&store, 1).unwrap() == disk);
    store.erase(store.id()).unwrap();
    assert_eq!(store.point(&key(1)).unwrap_err().kind(), ErrorKind::NotFound, "keys are forgotten");
    assert_eq!(other.new_epoch().unwrap_err().kind(), ErrorKind::NotFound);
    for secret in [secret(), passphrase("old")] {
        let e = rig.beside(72).open_with(&secret).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NotFound);
    }
    assert_eq!(slot_objects(&rig).len(), 1, "only the mark");
}

/// Runs `meanwhile` on another handle just before a put of this copy through the returned
/// objects happens: a process that slept at the worst moment.
fn sleeping(
    rig: &Rig,
    copy: &'static str,
    meanwhile: impl Fn(&Store) + Send + Sync + 'static,
) -> Rig {
    let objects = Arc::clone(&rig.objects);
    let (slept, meanwhile) = (AtomicBool::new(false), Arc::new(meanwhile));
    let faulty = Faulty::new(Arc::clone(&rig.objects), move |operation, path, _| {
        let this = path.as_ref().ends_with(copy);
        if operation == Operation::Put && this && !slept.swap(true, SeqCst) {
            let (objects, meanwhile) = (Arc::clone(&objects), Arc::clone(&meanwhile));
            // On a thread of its own: this one is inside an asynchronous call.
            let other = std::thread::spawn(move || {
                let rig = Rig::on(objects, 81);
                meanwhile(&rig.open().unwrap());
            });
            other.join().unwrap();
        }
        Fault::None
    });
    Rig::on(Arc::new(faulty), 82)
}

fn expect_conflict(done: Result<impl Sized>) {
    let e: Error = done.err().unwrap();
    assert_eq!(e.kind(), ErrorKind::Transient, "{e:?}");
    assert!(e.to_string().contains("try again"), "{e}");
}

#[test]
fn a_change_that_slept_too_long_is_refused_and_leaves_nothing() {
    for others in 1..4 {
        let (rig, _) = start(8);
        let asleep = sleeping(&rig, "-00000002-0", move |store| {
            for number in 0..others {
                store.add_slot(&file(100 + number), &format!("other {number}")).unwrap();
            }
        });
        let store = asleep.open().unwrap();
        expect_conflict(store.add_slot(&file(9), "sleeper"));
        let mut expected = vec!["first", "recovery", "the old one"];
        expected.extend(["other 0", "other 1", "other 2"].iter().take(usize::from(others)));
        assert_eq!(labels(&store), expected, "{others} others");
        assert!(store.slot_copies().unwrap().is_sound(), "{others} others");
        store.add_slot(&file(9), "sleeper").unwrap();
        assert!(opens(&rig, &file(9)), "the second try gets through");
    }
}

#[test]
fn a_change_that_others_built_upon_is_made_and_leaves_nothing() {
    let (rig, _) = start(13);
    let asleep = sleeping(&rig, "-00000002-1", |store| {
        store.add_slot(&file(100), "other").unwrap();
    });
    let store = asleep.open().unwrap();
    store.add_slot(&file(9), "sleeper").unwrap();
    assert_eq!(labels(&store), ["first", "recovery", "the old one", "sleeper", "other"]);
    assert!(store.slot_copies().unwrap().is_sound());
}

#[test]
fn a_change_during_an_erasure_does_not_bring_keys_back() {
    let (rig, _) = start(9);
    let asleep = sleeping(&rig, "-00000002-0", |store| store.erase(store.id()).unwrap());
    let e = asleep.open().unwrap().add_slot(&file(9), "sleeper").unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound, "{e:?}");
    assert_eq!(slot_objects(&rig).len(), 1, "only the mark");
}

/// Several processes add slots at once: no slot that was reported as added is ever lost.
#[test]
fn slots_that_are_added_at_the_same_time_are_all_there() {
    let (rig, _) = start(10);
    let ids: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4u8)
            .map(|worker| {
                let beside = rig.beside(90 + u64::from(worker));
                scope.spawn(move || {
                    let store = beside.open().unwrap();
                    let mut added = Vec::new();
                    for number in 0..4 {
                        // Every loss is somebody's win: that many tries are enough.
                        let tries = (0..64).find_map(|_| {
                            match store.add_slot(&file(16 * worker + number), "") {
                                Ok(slot) => Some(slot.id),
                                Err(e) if e.kind() == ErrorKind::Transient => None,
                                Err(e) => panic!("{e:?}"),
                            }
                        });
                        added.push(tries.unwrap());
                    }
                    added
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let store = rig.open().unwrap();
    let slots = store.slots().unwrap();
    assert_eq!(ids.len(), 16);
    assert!(ids.iter().all(|id| slots.iter().any(|slot| slot.id == *id)), "a slot was lost");
    store.repair_slots().unwrap();
    assert!(store.slot_copies().unwrap().is_sound());
}

#[test]
fn copies_stand_in_for_each_other_and_are_repaired() {
    use object_store::ObjectStoreExt;
    let (rig, disk) = start(11);
    let store = rig.open().unwrap();
    assert!(store.slot_copies().unwrap().is_sound() && !store.repair_slots().unwrap());
    let copies = slot_objects(&rig);
    let good = rig.dump().remove(&copies[0]).unwrap();
    let mut bad = good.clone();
    bad[100] ^= 4;
    rig.overwrite(&copies[0], bad.clone());
    rig.overwrite(&copies[2], good[..50].to_vec());
    let found = store.slot_copies().unwrap();
    assert_eq!(found.damaged, [copies[0].clone(), copies[2].clone()]);
    assert_eq!((found.whole, found.missing), (1, 0));
    assert!(opens(&rig, &secret()));
    assert!(store.repair_slots().unwrap() && store.slot_copies().unwrap().is_sound());
    let copies = slot_objects(&rig);
    let path = object_store::path::Path::from(copies[1].as_str());
    rig.rt.block_on(rig.objects.delete(&path)).unwrap();
    assert_eq!(store.slot_copies().unwrap().missing, 1);
    assert!(store.repair_slots().unwrap());
    assert_eq!(slot_objects(&rig).len(), 3);
    let beside = rig.beside(111);
    assert!(restore(&beside.open().unwrap(), 1).unwrap() == disk);
}

/// A left-over older generation lists a slot that was removed since.
#[test]
fn an_older_generation_counts_only_where_every_newer_copy_is_damaged() {
    let (rig, _) = start(12);
    let older: Vec<_> =
        rig.dump().into_iter().filter(|(name, _)| name.starts_with("keys/")).collect();
    let store = rig.open().unwrap();
    remove(&store, "the old one").unwrap();
    let newer = slot_objects(&rig);
    for (name, bytes) in &older {
        rig.overwrite(name, bytes.clone());
    }
    assert_eq!(store.slot_copies().unwrap().left_over.len(), 3);
    let good = rig.dump().remove(&newer[0]).unwrap();
    for name in &newer {
        assert!(!opens(&rig, &passphrase("old")), "{name}: one whole copy is enough");
        rig.overwrite(name, b"rubbish".to_vec());
    }
    assert!(opens(&rig, &passphrase("old")), "nothing newer is left: better than losing all");
    let found = store.slot_copies().unwrap();
    assert_eq!((found.damaged.len(), found.left_over.len()), (3, 0));
    assert!(!found.is_sound());
    // An old generation under a new name is not a new generation.
    let next = newer[0].replace("-00000002-0", "-00000007-0");
    assert_ne!(next, newer[0]);
    rig.overwrite(&next, older[0].1.clone());
    assert!(store.slot_copies().unwrap().damaged.contains(&next));
    // A copy that cannot be read now is no damage.
    let unreadable = newer[1].clone();
    let faulty = Faulty::new(Arc::clone(&rig.objects), move |operation, path, _| {
        let this = operation == Operation::Get && path.as_ref() == unreadable;
        if this { Fault::Refuse } else { Fault::None }
    });
    let e = Rig::on(Arc::new(faulty) as Arc<dyn ObjectStore>, 121).open().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Transient);
    // The newer ones come back: so does the removal.
    rig.overwrite(&newer[2], good);
    assert!(!opens(&rig, &passphrase("old")));
    assert!(store.repair_slots().unwrap() && store.slot_copies().unwrap().is_sound());
    assert!(!opens(&rig, &passphrase("old")) && slot_objects(&rig).len() == 3);
}
