//! Everybody at once, one operation on an object at a time, in orders that seeds decide: every
//! point that is listed can be read bit for bit after every step.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod rig;

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use rig::{Rig, ingest, key, patterned, restore, secret, small, wanted};
use tresor_store::{Begun, Collect, Depth, ErrorKind, Plan, Result, Store, StoreConfig, Verify};
use tresor_testkit::{Actor, Memory, Operation, Rng, Stage, Step, Target};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Seeds of an ordinary run.
const SEEDS: u64 = 400;

/// Nobody here changes the configuration or keys.
const FIXED: &[&str] = &["config", "keys"];

/// Only one stage may run in a process at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// One run: objects with two points, and what is on the disk of each point that may be made.
struct Scene {
    objects: Arc<dyn ObjectStore>,
    seed: u64,
    disks: BTreeMap<u64, Vec<u8>>,
    /// What was wrong, told by actors.
    faults: Mutex<Vec<String>>,
}

impl Scene {
    fn new(seed: u64) -> Self {
        let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let mut rng = Rng::new(seed);
        let config = StoreConfig { check_codec: false, ..small() };
        let rig = Rig::light(Arc::clone(&objects), seed);
        let store = rig.init(config);
        let first = patterned(&mut rng, 40 << 10);
        let mut second = first.clone();
        rng.fill(&mut second[8 << 10..16 << 10]);
        let mut third = second.clone();
        rng.fill(&mut third[28 << 10..36 << 10]);
        // Made of what the first point, which is removed, has and others have not.
        let fourth = first.clone();
        ingest(&store, 1, None, &Memory::sparse(first.clone()), None).unwrap();
        ingest(&store, 2, Some(1), &Memory::sparse(second.clone()), None).unwrap();
        let disks = BTreeMap::from([(1, first), (2, second), (3, third), (4, fourth)]);
        Self { objects, seed, disks, faults: Mutex::default() }
    }

    fn fault(&self, fault: String) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    /// Somebody with a store of his own, whose failures may only be of these kinds.
    fn actor<'a>(
        &'a self,
        name: &'static str,
        number: u64,
        allowed: &'a [ErrorKind],
        run: impl FnOnce(&Self, &Store) -> Result<()> + Send + 'a,
    ) -> Actor<'a> {
        Actor::new(name, move |objects| {
            let rig = Rig::light(objects, self.seed * 100 + number);
            match rig.open().and_then(|store| run(self, &store)) {
                Err(e) if !allowed.contains(&e.kind()) => self.fault(format!("{name}: {e:?}")),
                _ => {}
            }
        })
    }

    /// Every listed point can be read, bit for bit, by somebody who comes now.
    fn check(&self) -> std::result::Result<(), String> {
        let rig = Rig::light(Arc::clone(&self.objects), 7);
        let store = rig.open().map_err(|e| format!("the store does not open: {e:?}"))?;
        let points = store.points().map_err(|e| format!("points: {e:?}"))?;
        for (number, disk) in &self.disks {
            if points.iter().any(|record| record.key == key(*number)) {
                // Read, not restored: that needs no threads, and there are many checks.
                let whole = store.reader(&key(*number)).and_then(|reader| {
                    let mut whole = vec![0; reader.size() as usize];
                    reader.read_at(&mut whole, 0).map(|()| whole)
                });
                match whole {
                    Ok(whole) if whole == *disk => {}
                    Ok(_) => return Err(format!("point {number} has other bytes")),
                    Err(e) => return Err(format!("point {number} cannot be read: {e:?}")),
                }
            }
        }
        Ok(())
    }
}

/// Where two disks of equal size differ, by blocks.
fn changed(old: &[u8], new: &[u8]) -> Vec<Range<u64>> {
    let blocks = old.chunks(4096).zip(new.chunks(4096)).enumerate();
    let differ = blocks.filter(|(_, (old, new))| old != new);
    differ.map(|(number, _)| number as u64 * 4096..number as u64 * 4096 + 4096).collect()
}

/// Makes a point; on a parent that others may remove meanwhile. In two runs of three only what is
/// said to have changed since then is read.
fn back_up(scene: &Scene, store: &Store, point: u64, parent: Option<u64>) -> Result<()> {
    let disk = Memory::sparse(scene.disks[&point].clone());
    let size = disk.bytes().len() as u64;
    let plan = Plan { point: key(point), parent: parent.map(key), size };
    let Begun::New(mut ingest) = store.begin(plan)? else {
        return Ok(());
    };
    let changed = parent.map(|parent| changed(&scene.disks[&parent], &scene.disks[&point]));
    let listed = changed.filter(|_| !scene.seed.is_multiple_of(3));
    ingest.run(&disk, listed.as_deref(), &())?;
    ingest.commit(BTreeMap::new(), jiff::Timestamp::UNIX_EPOCH).map(drop)
}

/// Reads a point under a pin. Once the pin is there the point must stay readable.
fn read_pinned(scene: &Scene, store: &Store, point: u64) -> Result<()> {
    let pin = store.pin(&key(point), "reader")?;
    let done = store.reader(&key(point)).and_then(|reader| {
        let target = Target::new(reader.size());
        reader.restore(&target, &[], &())?;
        Ok(target.bytes().clone())
    });
    match done {
        Ok(bytes) if bytes == scene.disks[&point] => {}
        Ok(_) => scene.fault(format!("the pinned point {point} has other bytes")),
        Err(e) => scene.fault(format!("the pinned point {point} cannot be read: {e:?}")),
    }
    pin.release()
}

/// Reads everything, finds nothing wrong and changes nothing.
fn verify(scene: &Scene, store: &Store) -> Result<()> {
    let verified = store.verify(&Verify { depth: Depth::Deep, ..Verify::shallow() }, &())?;
    if verified.complete && verified.findings.is_empty() && verified.quarantined == 0 {
        return Ok(());
    }
    scene.fault(format!("the verification finds {:?}", verified.findings));
    Ok(())
}

/// Copies a point to another store of the domain, where it must be whole.
fn copy(scene: &Scene, store: &Store, point: u64) -> Result<()> {
    let rig = Rig::light(Arc::new(InMemory::new()), scene.seed + 1000);
    let (objects, rt) = (Arc::clone(&rig.objects), rig.rt.handle().clone());
    let (domain, config) = (store.domain(), store.config().clone());
    let cache = rig.cache.path();
    let made = Store::init_in(domain, objects, rt, cache, config, &secret(), rig.env.clone());
    let (target, _) = made?;
    store.copy_point(&key(point), &target, &())?;
    if restore(&target, point)? != scene.disks[&point] {
        scene.fault(format!("the copy of point {point} has other bytes"));
    }
    Ok(())
}

/// Collects garbage, rewriting all that is not quite full; twice, so that the second finishes
/// what the first began. Writers are given up after so long.
fn collect(scene: &Scene, store: &Store, void_after: Duration) -> Result<()> {
    for _ in 0..2 {
        let how = Collect { void_after, max_unused_percent: 0.0, ..Collect::default() };
        let collected = store.collect(&how, &())?;
        if collected.lost_ids > 0 || !collected.lost_points.is_empty() {
            scene.fault(format!("the collection misses something: {collected:?}"));
        }
    }
    Ok(())
}

fn cast(scene: &Scene) -> Vec<Actor<'_>> {
    use ErrorKind::{NotFound, Pinned, Voided};
    vec![
        scene.actor("strict", 8, &[], |scene, store| collect(scene, store, Duration::ZERO)),
        scene.actor("patient", 9, &[], |scene, store| collect(scene, store, DAY)),
        scene.actor("verifier", 6, &[], verify),
        scene.actor("copier", 7, &[NotFound], |scene, store| copy(scene, store, 1)),
        scene.actor("writer", 1, &[Voided], |scene, store| back_up(scene, store, 3, Some(2))),
        scene.actor("rival", 2, &[Voided], |scene, store| back_up(scene, store, 3, Some(1))),
        scene.actor("orphan", 3, &[Voided], |scene, store| back_up(scene, store, 4, Some(1))),
        scene.actor("reader", 4, &[NotFound], |scene, store| read_pinned(scene, store, 1)),
        scene.actor("remover", 5, &[Pinned], |_, store| store.remove_point(&key(1))),
    ]
}

/// Steps after which something may have been lost.
fn risky(step: &Step) -> bool {
    let folder = step.path.split('/').next().unwrap_or_default();
    match step.operation {
        Operation::Put => folder == "points",
        Operation::Delete => matches!(folder, "points" | "packs" | "index"),
        Operation::Get | Operation::List => false,
    }
}

/// One run; the fault, if there was one, with the steps that led to it.
fn play(seed: u64) -> (usize, std::result::Result<(), String>) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let scene = Scene::new(seed);
    let stage = Stage::new(Arc::clone(&scene.objects), seed).fixed(FIXED);
    let mut found = Ok(());
    let (steps, names) = stage.run(cast(&scene), |step| {
        if risky(step) {
            found = scene.check();
        }
        if found.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let found = found.and_then(|()| scene.check()).and_then(|()| {
        let rig = Rig::light(Arc::clone(&scene.objects), 8);
        let done = rig.open().and_then(|store| collect(&scene, &store, Duration::ZERO));
        done.map_err(|e| format!("the last collection fails: {e:?}"))
    });
    let found = found.and_then(|()| scene.check()).and_then(|()| {
        let faults = scene.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.first().map_or(Ok(()), |fault| Err(fault.clone()))
    });
    let told = found.map_err(|fault| {
        let lines = steps
            .iter()
            .map(|step| format!("  {:?} {} by {}", step.operation, step.path, names[step.actor]));
        format!("seed {seed}: {fault}\n{}", lines.collect::<Vec<_>>().join("\n"))
    });
    (steps.len(), told)
}

#[test]
fn whoever_meets_whom_every_listed_point_is_whole() {
    let (first, count) = (wanted("TRESOR_CAMPAIGN_SEED", 1), wanted("TRESOR_SEEDS", SEEDS));
    let mut steps = 0;
    for seed in first..first + count {
        let (taken, told) = play(seed);
        steps += taken;
        if let Err(fault) = told {
            panic!("{fault}");
        }
    }
    println!("campaign: interleave, seeds {first}..{}, {steps} steps, 0 faults", first + count);
}

/// The same seed is the same run.
#[test]
fn a_seed_repeats_its_run() {
    let trace = |seed| {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let scene = Scene::new(seed);
        let stage = Stage::new(Arc::clone(&scene.objects), seed).fixed(FIXED);
        let (steps, _) = stage.run(cast(&scene), |_| ControlFlow::Continue(()));
        steps.into_iter().map(|step| (step.actor, step.path)).collect::<Vec<_>>()
    };
    for seed in 1..6 {
        assert_eq!(trace(seed), trace(seed), "seed {seed}");
    }
}
