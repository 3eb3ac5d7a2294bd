//! Opened grants: handles that are kept while clients use them, and the gate of each disk.
//!
//! What must always hold: whoever touches bytes behind a grant is inside the disk's gate first,
//! finds the grant's row there after that, and stays inside until the bytes have moved. Whoever
//! closes grants removes their rows first and then waits until the gate is empty. So nothing moves
//! after a close was reported, and its flush misses no write.
//!
//! A handle that is kept is only a saving: the row decides each time. At most [`KEPT_MAX`] are
//! kept, each until its grant ends, its rows are removed or nobody used it for [`IDLE`]; letting
//! go closes the volume and so makes durable what was written. There are at most as many gates as
//! callers inside or waiting.

use crate::blob::Content;
use crate::catalogue::Write;
use crate::model::{Grant, ResourceId};
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{OwnedRwLockReadGuard, RwLock};
use uuid::Uuid;

/// Handles that are kept.
const KEPT_MAX: usize = 256;
/// How long a handle that nobody uses is kept.
const IDLE: Duration = Duration::from_secs(60);

/// The gates and the kept handles of a service.
#[derive(Default)]
pub(crate) struct Doors {
    gates: Mutex<HashMap<Uuid, Weak<RwLock<()>>>>,
    kept: Mutex<HashMap<Uuid, Kept>>,
}

struct Kept {
    content: Content,
    resource: ResourceId,
    expires: Timestamp,
    /// When it was used last, monotonic.
    used: Duration,
}

impl Doors {
    /// Goes inside the gate of a disk or snapshot, beside others.
    pub(crate) async fn enter(&self, unique_id: Uuid) -> OwnedRwLockReadGuard<()> {
        self.gate(unique_id).read_owned().await
    }

    /// Waits until everybody who was inside has left.
    pub(crate) async fn drained(&self, unique_id: Uuid) {
        drop(self.gate(unique_id).write_owned().await);
    }

    fn gate(&self, unique_id: Uuid) -> Arc<RwLock<()>> {
        let mut gates = locked(&self.gates);
        if let Some(gate) = gates.get(&unique_id).and_then(Weak::upgrade) {
            return gate;
        }
        gates.retain(|_, gate| gate.strong_count() > 0);
        let gate = Arc::default();
        gates.insert(unique_id, Arc::downgrade(&gate));
        gate
    }

    /// The handle that is kept for a grant.
    pub(crate) fn find(&self, grant: Uuid, now: Duration) -> Option<Content> {
        let mut kept = locked(&self.kept);
        let found = kept.get_mut(&grant)?;
        found.used = now;
        Some(found.content.clone())
    }

    /// Keeps a handle; those that it replaces are to be let go.
    #[must_use]
    pub(crate) fn keep(&self, grant: &Grant, content: Content, now: Duration) -> Vec<Content> {
        let mut kept = locked(&self.kept);
        let (resource, expires) = (grant.resource.clone(), grant.expires);
        let new = Kept { content, resource, expires, used: now };
        let mut gone: Vec<Kept> = kept.insert(grant.id, new).into_iter().collect();
        while kept.len() > KEPT_MAX {
            let others = kept.iter().filter(|(id, _)| **id != grant.id);
            let Some(oldest) = others.min_by_key(|(_, k)| k.used).map(|(id, _)| *id) else {
                break;
            };
            gone.extend(kept.remove(&oldest));
        }
        contents(gone)
    }

    /// Takes out the handles of a resource.
    #[must_use]
    pub(crate) fn forget(&self, resource: &ResourceId) -> Vec<Content> {
        self.take(|kept| kept.resource == *resource)
    }

    /// Takes out the handles of grants that have ended or that nobody used for long.
    #[must_use]
    pub(crate) fn stale(&self, real: Timestamp, now: Duration) -> Vec<Content> {
        self.take(|kept| kept.expires <= real || now.saturating_sub(kept.used) >= IDLE)
    }

    /// Takes out all handles.
    #[must_use]
    pub(crate) fn all(&self) -> Vec<Content> {
        self.take(|_| true)
    }

    fn take(&self, which: impl Fn(&Kept) -> bool) -> Vec<Content> {
        let mut kept = locked(&self.kept);
        contents(kept.extract_if(|_, k| which(k)).map(|(_, k)| k))
    }
}

fn contents(kept: impl IntoIterator<Item = Kept>) -> Vec<Content> {
    kept.into_iter().map(|kept| kept.content).collect()
}

/// The resources whose grants these writes remove.
pub(crate) fn closed_by(writes: &[Write]) -> Vec<ResourceId> {
    let closed = writes.iter().filter_map(|write| match write {
        Write::DeleteGrants(resource) => Some(resource.clone()),
        _ => None,
    });
    closed.collect()
}

/// Lets go of handles on a thread that may block: the last one of a volume flushes it.
pub(crate) async fn release(gone: Vec<Content>) {
    if gone.is_empty() {
        return;
    }
    let released = tokio::task::spawn_blocking(|| gone.into_iter().for_each(Content::release));
    if let Err(error) = released.await {
        tracing::error!(%error, "volumes could not be closed");
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
