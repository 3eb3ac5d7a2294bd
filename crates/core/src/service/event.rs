//! The audit trail, as it is written and read through the service.

use super::Service;
use crate::catalogue::{EventFilter, Page};
use crate::error::Result;
use crate::model::Event;
use jiff::SignedDuration;

/// Events that one portion of a sweep removes, so that no request waits for long behind it.
const PORTION: u32 = 500;
/// Portions of one sweep; what is left waits for the next.
const PORTIONS: usize = 100;

impl Service {
    /// Notes that a change is about to be made.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be recorded: the change must not be made then.
    pub async fn event_begin(&self, event: &Event) -> Result<()> {
        self.recorder.begin(event).await
    }

    /// Records how an event ended, durable when this returns. What cannot be kept is logged.
    pub async fn event_end(&self, event: Event) {
        self.recorder.end(event).await;
    }

    /// Events, newest first.
    ///
    /// # Errors
    /// `InvalidInput` for a cursor that is none of this list.
    pub async fn events(&self, filter: &EventFilter) -> Result<Page<Event>> {
        Ok(self.catalogue.events(filter).await?)
    }

    /// Forgets events that are older than the operator keeps them; bounded work.
    pub(crate) async fn forget_events(&self) -> Result<()> {
        let kept = SignedDuration::from_hours(i64::from(self.settings.audit.days) * 24);
        let before = self.env.real().checked_sub(kept).unwrap_or_default();
        for _ in 0..PORTIONS {
            if self.catalogue.forget_events(before, PORTION).await? < u64::from(PORTION) {
                break;
            }
        }
        Ok(())
    }
}
