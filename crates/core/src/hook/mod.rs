//! What those who test their automation may do to a service: move its clock and make its next
//! operations fail.
//!
//! A service has [`Hooks`] only when it was started for tests; no other service looks here. What is
//! armed lives in memory and goes with the service. Faults take the ways of real ones: a failed
//! operation is an operation that ended so in the catalogue, a failed job is work that a worker
//! gave up, with everything that this cleans up.

mod clock;
mod fault;

pub use clock::ManualClock;
pub use fault::{ARMED_MAX, Armed, Faults, Pending, Place, TIMES_MAX};

pub(crate) use fault::altered;

use crate::model::Job;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Ended jobs that are remembered until somebody asks; older ones are only counted.
pub const ENDED_MAX: usize = 1000;

/// The hooks of one service.
#[derive(Debug, Default)]
pub struct Hooks {
    clock: Option<Arc<ManualClock>>,
    faults: Faults,
    ended: Mutex<Ended>,
}

/// Jobs that ended since somebody asked last.
#[derive(Clone, Debug, Default)]
pub struct Ended {
    /// The jobs, in the order in which they ended.
    pub jobs: VecDeque<Job>,
    /// Jobs that ended before those and are not remembered.
    pub left_out: u64,
}

impl Hooks {
    /// Hooks of a service whose domain time is this clock's; None when it is the machine's.
    #[must_use]
    pub fn new(clock: Option<Arc<ManualClock>>) -> Self {
        Self { clock, ..Self::default() }
    }

    /// The clock that can be moved.
    #[must_use]
    pub fn clock(&self) -> Option<&Arc<ManualClock>> {
        self.clock.as_ref()
    }

    /// The armed faults.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The jobs that ended since this was asked last.
    #[must_use]
    pub fn take_ended(&self) -> Ended {
        std::mem::take(&mut *self.ended())
    }

    /// Notes that a job ended.
    pub(crate) fn note_ended(&self, job: Job) {
        let mut ended = self.ended();
        ended.jobs.push_back(job);
        if ended.jobs.len() > ENDED_MAX {
            ended.jobs.pop_front();
            ended.left_out = ended.left_out.saturating_add(1);
        }
    }

    fn ended(&self) -> MutexGuard<'_, Ended> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
