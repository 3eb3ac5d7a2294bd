//! Waiting until everything that is due is done.
//!
//! Whoever moves the domain clock wants to look at the world after everything that the new time
//! made due. What runs by time joins here: a reconciler is run once, first, and what it queues is
//! waited for with all other work.

use super::Service;
use crate::error::{Error, Fault, FaultKind, Result};
use jiff::SignedDuration;
use std::time::Duration;

/// What is left when nothing is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// Work items that wait for something else than time, such as a pin that a restore holds.
    pub waiting: u64,
}

impl Service {
    /// Does what is due by domain time and returns when no work is left that can go on: every job
    /// and every operation that was begun has ended. `limit` is real time.
    ///
    /// # Errors
    /// `Conflict` when it takes longer than `limit`, with what is still there; it goes on.
    pub async fn settle(&self, limit: Duration) -> Result<Rest> {
        self.reconcile().await?;
        let mut ended = self.ended.subscribe();
        let mut stopping = self.stopping.subscribe();
        let limited = tokio::time::sleep(limit);
        tokio::pin!(limited);
        loop {
            ended.mark_unchanged();
            let queued = self.catalogue.work_count().await?;
            let waiting = self.meters.waiting();
            if queued <= waiting && self.meters.is_idle() {
                return Ok(Rest { waiting: queued });
            }
            tokio::select! {
                _ = ended.changed() => {}
                () = &mut limited => return Err(unsettled(queued, limit)),
                _ = stopping.wait_for(|s| *s) => return Err(stopped()),
            }
        }
    }

    /// Runs once everything that domain time makes due.
    async fn reconcile(&self) -> Result<()> {
        crate::work::forget_operations(self).await?;
        // What waits for others may look again at once.
        let past = self.env.real().checked_sub(SignedDuration::from_secs(1)).unwrap_or_default();
        for (work, fence) in self.meters.wake() {
            // A worker that has it already does not need to be told.
            if let Err(error) = self.catalogue.renew_work(work, fence, past).await {
                tracing::debug!(%work, %error, "work that waited has gone on by itself");
            }
        }
        self.nudge.notify_waiters();
        self.nudge.notify_one();
        Ok(())
    }
}

fn unsettled(queued: u64, limit: Duration) -> Error {
    let seconds = limit.as_secs_f64();
    let message = format!("{queued} work items are not done after {seconds} s; they go on.");
    Fault::new(FaultKind::Conflict, message).advise("Look at the jobs, or ask again.").into()
}

fn stopped() -> Error {
    Fault::new(FaultKind::Unavailable, "The service stops.").into()
}
