//! Operations: made with the change they report, polled until they end; and the work that goes on
//! after the answer.

use super::{Caller, Service};
use crate::catalogue::Write;
use crate::error::{Error, Fault, Result, chain};
use crate::model::{DoomedPoint, Operation, OperationStatus, Resource, ResourceId, Work, WorkKind};
use std::collections::BTreeMap;
use std::time::Duration;
use uuid::Uuid;

/// A change, and the operation that a client may poll for it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The resource after the change.
    pub resource: Resource,
    /// The operation, often ended already.
    pub operation: Operation,
    /// Whether the resource is new.
    pub created: bool,
}

impl Service {
    /// An operation that has just begun.
    pub(crate) fn begin(&self, caller: &Caller, about: &ResourceId, family: Uuid) -> Operation {
        Operation {
            id: self.env.uuid(),
            resource: about.clone(),
            family,
            caller: caller.object_id,
            correlation: caller.correlation,
            status: OperationStatus::Running,
            started: self.env.domain(),
            ended: None,
            job: None,
            output: None,
        }
    }

    /// The same, ended well.
    pub(crate) fn done(&self, mut operation: Operation) -> Operation {
        operation.status = OperationStatus::Succeeded;
        operation.ended = Some(self.env.domain());
        operation
    }

    /// The same, failed.
    pub(crate) fn failed(&self, mut operation: Operation, fault: Fault) -> Operation {
        operation.status = OperationStatus::Failed(fault);
        operation.ended = Some(self.env.domain());
        operation
    }

    /// Ends an operation by what came of it; internal causes are logged here.
    pub(crate) fn settled(&self, operation: Operation, result: Result<()>) -> Operation {
        match result {
            Ok(()) => self.done(operation),
            Err(error) => self.failed(operation, log(error)),
        }
    }

    /// An operation.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn operation(&self, id: Uuid) -> Result<Option<Operation>> {
        Ok(self.catalogue.operation(id).await?)
    }

    /// An operation once it has ended, or as it is after `limit` of real time or when the service
    /// stops.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn operation_held(&self, id: Uuid, limit: Duration) -> Result<Option<Operation>> {
        let mut ended = self.ended.subscribe();
        let mut stopping = self.stopping.subscribe();
        let limit = tokio::time::sleep(limit);
        tokio::pin!(limit);
        loop {
            ended.mark_unchanged();
            let found = self.catalogue.operation(id).await?;
            if found.as_ref().is_none_or(|o| o.status != OperationStatus::Running) {
                return Ok(found);
            }
            tokio::select! {
                _ = ended.changed() => {}
                () = &mut limit => return Ok(found),
                _ = stopping.wait_for(|s| *s) => return Ok(found),
            }
        }
    }

    /// Work to be queued.
    pub(crate) fn work(&self, kind: WorkKind, operation: Option<Uuid>, job: Option<Uuid>) -> Work {
        Work { id: self.env.uuid(), kind, operation, job, fence: 0, steps: BTreeMap::new() }
    }

    /// The write that queues the removal of bytes that nothing names any more.
    pub(crate) fn discard(&self, volumes: Vec<Uuid>, points: Vec<DoomedPoint>) -> Write {
        Write::AddWork(self.work(WorkKind::Discard { volumes, points }, None, None))
    }

    /// Tells held polls that an operation ended.
    pub(crate) fn announce_end(&self) {
        self.ended.send_modify(|n| *n = n.wrapping_add(1));
    }
}

/// Logs the internal cause of an error, once, and keeps what people may see.
pub(crate) fn log(error: Error) -> Fault {
    if let Some(cause) = &error.cause {
        tracing::error!(cause = chain(&**cause), "{}", error.fault.message);
    }
    *error.fault
}
