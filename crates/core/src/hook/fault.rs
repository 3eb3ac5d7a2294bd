//! Faults that are armed by a test and fail the next operations that match.
//!
//! A fault for an operation or a job cannot be told where the request is read: the operation does
//! not exist yet. It travels with the task that serves the request ([`Pending`]) to the place where
//! all changes pass ([`altered`]), which is the only one that must know of it. There it is used up,
//! so that a request that makes no operation uses nothing up.

use super::Hooks;
use crate::catalogue::Write;
use crate::error::{Fault, FaultKind, Result};
use crate::model::{OperationStatus, Work};
use crate::service::Service;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// Faults that can be armed at the same time.
pub const ARMED_MAX: usize = 64;
/// How often one armed fault can strike.
pub const TIMES_MAX: u32 = 1000;
/// Work items that wait for a worker to be failed; of more than that the oldest run as usual.
const DOOMED_MAX: usize = 1000;

/// Where a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The request itself is refused.
    Request,
    /// The request is accepted and the operation that it began fails.
    Operation,
    /// The request and its operation succeed and the job fails.
    Job,
}

/// An armed fault.
#[derive(Clone, Debug)]
pub struct Armed {
    /// Its number; later ones have higher numbers.
    pub id: u64,
    /// Which requests it is for, in the words of whoever armed it.
    pub target: String,
    /// Where it strikes.
    pub place: Place,
    /// What clients are told.
    pub fault: Fault,
    /// How often it will still strike.
    pub times: u32,
}

/// The armed faults of a service.
#[derive(Debug, Default)]
pub struct Faults(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: u64,
    armed: Vec<Armed>,
    doomed: VecDeque<(Uuid, Fault)>,
}

impl Faults {
    /// Arms a fault.
    ///
    /// # Errors
    /// `InvalidInput` when `times` is out of range; `Conflict` when too many are armed.
    pub fn arm(&self, target: String, place: Place, fault: Fault, times: u32) -> Result<Armed> {
        if times == 0 || times > TIMES_MAX {
            let message = format!("times: must be from 1 to {TIMES_MAX}.");
            return Err(Fault::invalid("times", message).into());
        }
        let mut state = self.lock();
        if state.armed.len() >= ARMED_MAX {
            let message = format!("{ARMED_MAX} faults are armed, which is the most there can be.");
            return Err(Fault::new(FaultKind::Conflict, message)
                .advise("Clear them with DELETE, or wait until some have struck.")
                .into());
        }
        state.last = state.last.saturating_add(1);
        let armed = Armed { id: state.last, target, place, fault, times };
        state.armed.push(armed.clone());
        Ok(armed)
    }

    /// The armed faults, oldest first.
    #[must_use]
    pub fn armed(&self) -> Vec<Armed> {
        self.lock().armed.clone()
    }

    /// Disarms all faults, also those on their way to a worker.
    pub fn clear(&self) {
        let mut state = self.lock();
        state.armed.clear();
        state.doomed.clear();
    }

    /// The oldest armed fault whose target fits.
    pub fn find(&self, fits: impl Fn(&str) -> bool) -> Option<Armed> {
        self.lock().armed.iter().find(|armed| fits(&armed.target)).cloned()
    }

    /// Counts one strike; None when the fault is not armed any more.
    #[must_use]
    pub fn strike(&self, id: u64) -> Option<Fault> {
        let mut state = self.lock();
        let at = state.armed.iter().position(|armed| armed.id == id)?;
        let armed = state.armed.get_mut(at)?;
        armed.times = armed.times.saturating_sub(1);
        let fault = armed.fault.clone();
        if armed.times == 0 {
            state.armed.remove(at);
        }
        Some(fault)
    }

    /// The fault with which this work shall fail, once.
    pub(crate) fn doom_of(&self, work: Uuid) -> Option<Fault> {
        let mut state = self.lock();
        let at = state.doomed.iter().position(|(doomed, _)| *doomed == work)?;
        state.doomed.remove(at).map(|(_, fault)| fault)
    }

    fn doom(&self, work: Uuid, fault: Fault) {
        let mut state = self.lock();
        state.doomed.push_back((work, fault));
        if state.doomed.len() > DOOMED_MAX {
            state.doomed.pop_front();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

tokio::task_local! {
    static PENDING: Pending;
}

/// A fault that goes with a request to the change that it makes.
#[derive(Clone, Debug)]
pub struct Pending {
    hooks: Arc<Hooks>,
    id: u64,
    place: Place,
}

impl Pending {
    /// Takes an armed fault along.
    #[must_use]
    pub fn new(hooks: &Arc<Hooks>, armed: &Armed) -> Self {
        Self { hooks: Arc::clone(hooks), id: armed.id, place: armed.place }
    }

    /// Serves a request with this fault in its bag.
    pub async fn around<F: Future>(self, request: F) -> F::Output {
        PENDING.scope(self, request).await
    }

    fn strike(&self) -> Option<Fault> {
        self.hooks.faults().strike(self.id)
    }

    fn alter(&self, service: &Service, writes: Vec<Write>) -> Vec<Write> {
        match self.place {
            Place::Request => writes,
            Place::Operation => self.fail_operation(service, writes),
            Place::Job => {
                self.doom_work(&writes, |work| work.job.is_some());
                writes
            }
        }
    }

    /// Where a worker ends the operation, the worker fails it. Where it ends at once, nothing of
    /// the change is made and the operation is written as failed.
    fn fail_operation(&self, service: &Service, writes: Vec<Write>) -> Vec<Write> {
        let begun = writes.iter().find_map(|write| match write {
            Write::PutOperation(o) if !matches!(o.status, OperationStatus::Failed(_)) => Some(o),
            _ => None,
        });
        let Some(operation) = begun else { return writes };
        let ends = |work: &Work| work.operation == Some(operation.id) && work.kind.may_fail();
        if self.doom_work(&writes, ends) {
            return writes;
        }
        let Some(fault) = self.strike() else { return writes };
        let mut failed = service.failed(operation.clone(), fault);
        (failed.job, failed.output) = (None, None);
        vec![Write::PutOperation(failed)]
    }

    /// Whether such work is queued here; then a worker will fail it.
    fn doom_work(&self, writes: &[Write], is: impl Fn(&Work) -> bool) -> bool {
        let queued = writes.iter().find_map(|write| match write {
            Write::AddWork(work) if is(work) => Some(work.id),
            _ => None,
        });
        if let Some(work) = queued
            && let Some(fault) = self.strike()
        {
            self.hooks.faults().doom(work, fault);
        }
        queued.is_some()
    }
}

/// The changes of a request as they are made when a fault goes with it.
pub(crate) fn altered(service: &Service, writes: Vec<Write>) -> Vec<Write> {
    match PENDING.try_with(Pending::clone) {
        Ok(pending) => pending.alter(service, writes),
        Err(_) => writes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault() -> Fault {
        Fault::new(FaultKind::BackupRunning, "made to fail")
    }

    #[test]
    fn a_fault_strikes_as_often_as_it_was_armed_for() {
        let faults = Faults::default();
        let one = faults.arm("a".into(), Place::Request, fault(), 2).unwrap();
        let two = faults.arm("a".into(), Place::Job, fault(), 1).unwrap();
        assert!(faults.find(|target| target == "b").is_none());
        for left in [1, 0] {
            assert_eq!(faults.find(|target| target == "a").unwrap().id, one.id, "the oldest first");
            assert_eq!(faults.strike(one.id), Some(fault()));
            let now = faults.armed().into_iter().find(|armed| armed.id == one.id);
            assert_eq!(now.map_or(0, |armed| armed.times), left);
        }
        assert_eq!(faults.strike(one.id), None);
        assert_eq!(faults.find(|target| target == "a").unwrap().id, two.id);
        faults.clear();
        assert!(faults.armed().is_empty() && faults.strike(two.id).is_none());
    }

    #[test]
    fn what_is_armed_is_bounded() {
        let faults = Faults::default();
        for wrong in [0, TIMES_MAX + 1] {
            let refused = faults.arm("a".into(), Place::Request, fault(), wrong).unwrap_err();
            assert_eq!(refused.fault.target.as_deref(), Some("times"));
        }
        for _ in 0..ARMED_MAX {
            faults.arm("a".into(), Place::Request, fault(), 1).unwrap();
        }
        let refused = faults.arm("a".into(), Place::Request, fault(), 1).unwrap_err();
        assert_eq!(refused.kind(), FaultKind::Conflict);
        for _ in 0..=DOOMED_MAX {
            faults.doom(Uuid::from_u128(1), fault());
        }
        faults.doom(Uuid::from_u128(2), fault());
        assert_eq!(faults.lock().doomed.len(), DOOMED_MAX);
        assert!(faults.doom_of(Uuid::from_u128(2)).is_some());
        assert!(faults.doom_of(Uuid::from_u128(2)).is_none(), "a doom counts once");
    }
}
