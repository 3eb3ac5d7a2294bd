//! Verification: is everything there, and is it what it should be?
//!
//! *Shallow* looks at the structure: configuration, key slots, records and index runs are read
//! and authenticated, every pack that the index names must be there with its size, and the maps
//! of all points are walked: each node is read, each chunk must have a usable place. *Deep* also
//! reads the packs: every frame is authenticated, decoded and hashed.
//!
//! Slices, samples, rates and marks concern the packs, whose reading is what costs; the structure
//! is checked as a whole each time. Packs are taken in the order of their random names: slice `n`
//! of `m` is a part of that order, and a mark says how far it was gone.
//!
//! What is damaged goes to the quarantine (see `quarantine`). Damage that is in quarantine
//! already and that no point needs any more, because its content is somewhere else too, is only
//! counted.
//!
//! Verification runs beside everything else. It asks again before it reports what another may
//! have removed rightly meanwhile.

mod maps;
mod pace;
mod packs;
mod report;
mod structure;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, ErrorKind, Result};
use crate::id::Id;
use crate::margins;
use crate::pack::Location;
use crate::point::PointKey;
use crate::source::Watch;
use crate::store::{Inner, Store};

pub(crate) use pace::Pace;
use report::Report;
pub use report::{Finding, FindingKind};

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// The structure: all but the packs' bytes.
    #[default]
    Shallow,
    /// The packs' bytes too.
    Deep,
}

/// One part of the packs. The parts 1 to `of` together are all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Counted from 1.
    pub number: u32,
    /// How many there are.
    pub of: u32,
}

/// A part of the packs drawn by lot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// About how many of a hundred packs are taken: above 0, at most 100.
    pub percent: f64,
    /// Equal seeds take equal packs; take another one each time.
    pub seed: u64,
}

/// How far a verification came; it can be kept as JSON. It fits the same slice and sample only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyMark {
    /// All packs up to this one are done.
    pub pack: Uuid,
}

/// What to verify.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Verify {
    /// How much is read.
    pub depth: Depth,
    /// Only this part of the packs.
    pub slice: Option<Slice>,
    /// Only a sample of the packs.
    pub sample: Option<Sample>,
    /// Only these points, and the packs that hold something of them.
    pub points: Option<Vec<PointKey>>,
    /// Bytes of packs read in a second, at most.
    pub rate: Option<u64>,
    /// Go on where an earlier verification was stopped.
    pub resume: Option<VerifyMark>,
    /// Only report: write nothing to the quarantine and take nothing from it.
    pub read_only: bool,
}

impl Verify {
    /// Everything but the packs' bytes.
    pub fn shallow() -> Self {
        Self::default()
    }

    /// Everything.
    pub fn deep() -> Self {
        Self { depth: Depth::Deep, ..Self::default() }
    }

    fn check(&self) -> Result<()> {
        let invalid = |why: &str| Err(Error::new(ErrorKind::Invalid, why));
        if self.slice.is_some_and(|slice| slice.number == 0 || slice.number > slice.of) {
            return invalid("a slice is numbered from 1 to the count of slices");
        }
        let sound = |sample: Sample| sample.percent > 0.0 && sample.percent <= 100.0;
        if self.sample.is_some_and(|sample| !sound(sample)) {
            return invalid("a sample is more than 0 and at most 100 percent");
        }
        if self.rate == Some(0) {
            return invalid("a rate of 0 bytes a second never ends");
        }
        Ok(())
    }

    /// Whether a pack is among those to look at.
    fn takes(&self, pack: &Uuid) -> bool {
        let [a, b, c, d, ..] = *pack.as_bytes();
        let place = u64::from(u32::from_be_bytes([a, b, c, d]));
        let inside =
            |slice: Slice| (place * u64::from(slice.of)) >> 32 == u64::from(slice.number) - 1;
        let drawn = |sample: Sample| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&sample.seed.to_le_bytes()).update(pack.as_bytes());
            let head = *hasher.finalize().as_bytes().first_chunk().unwrap_or(&[0; 8]);
            u64::from_le_bytes(head) as f64 <= sample.percent / 100.0 * u64::MAX as f64
        };
        self.slice.is_none_or(inside)
            && self.sample.is_none_or(drawn)
            && self.resume.is_none_or(|mark| *pack > mark.pack)
    }
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// What is wrong; at most 1000 things.
    pub findings: Vec<Finding>,
    /// Findings beyond those.
    pub more_findings: u64,
    /// Whether it came to its end. A cancelled one may have findings all the same.
    pub complete: bool,
    /// How far the packs were looked at.
    pub mark: Option<VerifyMark>,
    /// Points whose maps were walked.
    pub points: u64,
    /// Map nodes that were read.
    pub nodes: u64,
    /// Packs that were looked at.
    pub packs: u64,
    /// Frames that were read and found good.
    pub frames: u64,
    /// Bytes of packs that were read.
    pub bytes_read: u64,
    /// Damaged places that are new in the quarantine.
    pub quarantined: u64,
    /// Damaged places that were in the quarantine already and whose content is elsewhere too.
    pub healed: u64,
    /// Places that left the quarantine: they read well again or nothing names them any more.
    pub released: u64,
    /// Damaged places beyond what one verification can hold: mend these and verify again.
    pub more_places: u64,
    /// Damaged places that may be missing from the quarantine, because the store is full.
    pub unkept: u64,
}

impl Verified {
    /// Whether nothing was found that is wrong.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.more_findings == 0
    }
}

/// What the stages of one verification share.
struct Check<'a> {
    store: &'a Store,
    inner: &'a Inner,
    wanted: &'a Verify,
    watch: &'a dyn Watch,
    report: RefCell<Report>,
    /// Places that were found damaged and what should be there.
    bad: RefCell<HashMap<(Uuid, u32), Id>>,
    /// Ids that are in no index run.
    missing: RefCell<BTreeSet<Id>>,
    /// Places in quarantine that were read and are good.
    well: HashSet<(Uuid, u32)>,
}

impl Store {
    /// Checks the store, or a part of it. Being cancelled is no error here: what was found until
    /// then is returned, with a mark to go on from.
    ///
    /// Damage is never an error of this call; it is what the call is for. Errors are what keeps
    /// it from looking, such as an object store that cannot be reached.
    pub fn verify(&self, wanted: &Verify, watch: &dyn Watch) -> Result<Verified> {
        wanted.check()?;
        let inner = self.inner();
        inner.learn_quarantine()?;
        inner.index.try_damaged_again()?;
        let mut check = Check {
            store: self,
            inner,
            wanted,
            watch,
            report: RefCell::default(),
            bad: RefCell::default(),
            missing: RefCell::default(),
            well: HashSet::new(),
        };
        let done = check.structure().and_then(|()| check.packs()).and_then(|()| check.maps());
        let complete = match done {
            Ok(()) => true,
            Err(e) if e.kind() == ErrorKind::Cancelled => false,
            Err(e) => return Err(e),
        };
        check.finish(complete)
    }
}

impl Check<'_> {
    /// Whether a place was found damaged in this verification.
    fn is_bad(&self, at: &Location) -> bool {
        let bad = self.bad.borrow();
        !bad.is_empty() && bad.contains_key(&(at.pack.name, at.offset))
    }

    /// Notes a damaged place.
    fn spoil(&self, id: Id, at: &Location) {
        let mut bad = self.bad.borrow_mut();
        if bad.len() >= margins::BAD_PLACES {
            self.report.borrow_mut().done.more_places += 1;
            return;
        }
        if bad.insert((at.pack.name, at.offset), id).is_none() {
            let known = self.inner.index.is_shunned(at);
            self.report.borrow_mut().spoiled(at.pack.name, id, known);
        }
    }

    /// Changes the quarantine and makes the report.
    fn finish(self, complete: bool) -> Result<Verified> {
        let mut report = self.report.into_inner();
        report.done.complete = complete;
        if !self.wanted.read_only {
            let places = self.bad.into_inner();
            let places = places.into_iter().map(|(place, id)| (id, Some(place)));
            let missing = self.missing.into_inner().into_iter().map(|id| (id, None));
            let bad: Vec<_> = places.chain(missing).collect();
            let (inner, affected) = (self.inner, report.affected());
            let kept = inner.with_reserve(|| inner.quarantine(&bad, &affected)).and_then(|new| {
                let release = || inner.release_quarantine(&self.well);
                let released = if complete { inner.with_reserve(release)? } else { 0 };
                Ok((new, released))
            });
            match kept {
                // What was found is worth more than where it is kept.
                Err(e) if e.kind() == ErrorKind::Full => report.done.unkept = bad.len() as u64,
                kept => (report.done.quarantined, report.done.released) = kept?,
            }
        }
        Ok(report.finish(complete))
    }
}
