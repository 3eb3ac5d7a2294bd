//! Grants: doors to the bytes of one disk or snapshot, closed by time or by hand.

use super::{Caller, Service};
use crate::blob::{Blob, Content, Handle};
use crate::catalogue::{Expect, Write};
use crate::error::{Error, Fault, FaultKind, Result};
use crate::model::{
    Access, DiskState, Grant, Model, Operation, Provisioning, Resource, ResourceId,
};
use jiff::SignedDuration;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Doors that one disk or snapshot may have open.
const GRANTS_MAX: usize = 64;
/// Longest time that a door may stay open, seconds: 60 days, as in Azure.
const GRANT_SECONDS_MAX: u32 = 5_184_000;
/// How often opened bytes that nobody uses are looked for.
const SWEEP: Duration = Duration::from_secs(10);

impl Service {
    /// Opens a disk or snapshot for `seconds` of real time. The operation's output names the grant.
    ///
    /// # Errors
    /// `InvalidInput` with the field; `Conflict` while the resource is being created.
    pub async fn grant_open(
        &self,
        caller: &Caller,
        id: &ResourceId,
        access: Access,
        seconds: u32,
    ) -> Result<(Operation, Grant)> {
        if seconds == 0 || seconds > GRANT_SECONDS_MAX {
            let message = format!("durationInSeconds must be between 1 and {GRANT_SECONDS_MAX}.");
            return Err(Fault::invalid("durationInSeconds", message).into());
        }
        let _change = self.change.lock().await;
        let resource = self.resource(id).await?;
        self.refuse_if_creating(&resource)?;
        let unique_id = match &resource.model {
            Model::Disk(disk) => disk.unique_id,
            Model::Snapshot(snapshot) if access == Access::Read => snapshot.unique_id,
            Model::Snapshot(_) => {
                let message = "access: a snapshot can only be read.";
                return Err(Fault::invalid("access", message).into());
            }
            _ => return Err(Fault::not_found("disk or snapshot", id).into()),
        };
        let now = self.env.real();
        let grants = self.catalogue.grants_of(id).await?;
        let (open, expired): (Vec<Grant>, Vec<Grant>) =
            grants.into_iter().partition(|g| g.expires > now);
        if open.len() >= GRANTS_MAX {
            let message = format!("'{}' has {GRANTS_MAX} open grants.", id.name());
            return Err(Fault::new(FaultKind::Conflict, message)
                .advise("Call endGetAccess, which closes them all.")
                .into());
        }
        let until = now.checked_add(SignedDuration::from_secs(seconds.into()));
        let grant = Grant {
            id: self.env.uuid(),
            resource: resource.id.clone(),
            unique_id,
            access,
            expires: until.unwrap_or(jiff::Timestamp::MAX),
        };
        let mut operation = self.done(self.begin(caller, &resource.id, unique_id));
        operation.output = Some(grant.id.to_string());
        // Nobody else removes the rows of grants that ended by time.
        let mut writes: Vec<Write> = expired.iter().map(|g| Write::DeleteGrant(g.id)).collect();
        writes.push(Write::PutGrant(grant.clone()));
        writes.extend(with_state(&resource, |disk_state| match (disk_state, access) {
            (DiskState::ReadyToUpload, Access::Write) => DiskState::ActiveUpload,
            (DiskState::ActiveUpload, _) => DiskState::ActiveUpload,
            (DiskState::ReadyToUpload, Access::Read) => DiskState::ReadyToUpload,
            _ => DiskState::ActiveGrant,
        }));
        writes.push(Write::PutOperation(operation.clone()));
        self.apply(writes).await?;
        Ok((operation, grant))
    }

    /// Closes every door to a disk or snapshot. What was written is durable when this returns, and
    /// nothing is read or written through those doors afterwards.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn grant_close(&self, caller: &Caller, id: &ResourceId) -> Result<Operation> {
        let _change = self.change.lock().await;
        let resource = self.resource(id).await?;
        let Some(unique_id) = unique_id_of(&resource) else {
            return Err(Fault::not_found("disk or snapshot", id).into());
        };
        // The order is the point: nobody begins after the rows have gone, whoever began before is
        // waited for, and only then is there nothing left that the flush could miss.
        self.apply(vec![Write::DeleteGrants(resource.id.clone())]).await?;
        self.doors.drained(unique_id).await;
        if let Some(disk) = resource.as_disk()
            && disk.provisioning == Provisioning::Succeeded
        {
            let volume = self.volume(disk).await?;
            super::disk::blocking(move || volume.flush()).await?;
        }
        let operation = self.done(self.begin(caller, &resource.id, unique_id));
        let mut writes: Vec<Write> = with_state(&resource, |state| match state {
            DiskState::ReadyToUpload => DiskState::ReadyToUpload,
            _ => DiskState::Unattached,
        })
        .into_iter()
        .collect();
        writes.push(Write::PutOperation(operation.clone()));
        self.apply(writes).await?;
        Ok(operation)
    }

    /// A grant that is open; None when it is unknown, closed or expired, or when the resource is no
    /// longer the one that it was given for.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn grant(&self, id: Uuid) -> Result<Option<Grant>> {
        Ok(self.open_grant(id).await?.map(|(grant, _)| grant))
    }

    /// The bytes behind a grant; None when it is not open (see [`Service::grant`]).
    ///
    /// # Errors
    /// When the bytes cannot be opened.
    pub async fn blob(&self, grant: Uuid) -> Result<Option<Blob>> {
        let Some((grant, resource)) = self.open_grant(grant).await? else {
            return Ok(None);
        };
        let now = self.env.monotonic();
        if let Some(content) = self.doors.find(grant.id, now) {
            return Blob::new(grant, content, resource.modified.at).map(Some);
        }
        let content = self.open_content(&resource).await?;
        super::door::release(self.doors.keep(&grant, content.clone(), now)).await;
        // It may have been closed while it was opened, and then nobody takes the handle away.
        if self.open_grant(grant.id).await?.is_none() {
            super::door::release(self.doors.forget(&grant.resource)).await;
            return Ok(None);
        }
        Blob::new(grant, content, resource.modified.at).map(Some)
    }

    /// Does something with the bytes behind a grant, on a thread that may block, if the grant is
    /// still open; None when it is not. [`Service::grant_close`] waits until this has ended.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn on_blob<T: Send + 'static>(
        &self,
        blob: &Blob,
        work: impl FnOnce(&Blob) -> Result<T> + Send + 'static,
    ) -> Result<Option<T>> {
        let inside = self.doors.enter(blob.grant.unique_id).await;
        if self.grant(blob.grant.id).await?.as_ref() != Some(&blob.grant) {
            return Ok(None);
        }
        let blob = blob.clone();
        // The place inside goes along, so that it is held to the end even if nobody waits for it.
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&blob);
            blob.release();
            drop(inside);
            done
        });
        done.await.map_err(|e| Error::internal("work on a disk", e))?.map(Some)
    }

    /// Lets go of the opened bytes of grants that ended or are not used, until the service stops.
    pub(crate) async fn sweep_doors(self: Arc<Self>) {
        let mut stopping = self.stopping.subscribe();
        while !*stopping.borrow() {
            let stale = self.doors.stale(self.env.real(), self.env.monotonic());
            super::door::release(stale).await;
            tokio::select! {
                () = tokio::time::sleep(SWEEP) => {}
                _ = stopping.wait_for(|s| *s) => {}
            }
        }
        super::door::release(self.doors.all()).await;
    }

    async fn open_grant(&self, id: Uuid) -> Result<Option<(Grant, Resource)>> {
        let found = self.catalogue.grant(id).await?;
        let Some(grant) = found.filter(|g| g.expires > self.env.real()) else {
            return Ok(None);
        };
        let resource = self.catalogue.resource(&grant.resource).await?;
        let resource = resource.filter(|r| unique_id_of(r) == Some(grant.unique_id));
        Ok(resource.map(|resource| (grant, resource)))
    }

    async fn open_content(&self, resource: &Resource) -> Result<Content> {
        match &resource.model {
            Model::Disk(disk) => Ok(Content::Disk(Handle::new(self.volume(disk).await?))),
            Model::Snapshot(snapshot) => {
                let (store, lineage) = (self.store.clone(), snapshot.source_unique_id);
                let key = super::snapshot::parse_key(&snapshot.point)?;
                let opened = move || Ok((store.reader(&key)?, store));
                let (reader, store) = super::snapshot::stored(opened).await?;
                Ok(Content::Snapshot { store, reader: Arc::new(reader), lineage })
            }
            _ => Err(Fault::not_found("disk or snapshot", &resource.id).into()),
        }
    }

    /// The grants of a resource that are still good.
    pub(crate) async fn open_grants(&self, id: &ResourceId) -> Result<Vec<Grant>> {
        let now = self.env.real();
        let mut grants = self.catalogue.grants_of(id).await?;
        grants.retain(|g| g.expires > now);
        Ok(grants)
    }

    pub(crate) async fn refuse_if_granted(&self, id: &ResourceId) -> Result<()> {
        if self.open_grants(id).await?.is_empty() {
            return Ok(());
        }
        let message = format!("'{}' has an active shared access signature.", id.name());
        Err(Fault::new(FaultKind::Conflict, message)
            .at(id.as_str())
            .advise("Call endGetAccess first.")
            .into())
    }
}

/// What tells a disk or snapshot from another one of its name; None for other kinds.
fn unique_id_of(resource: &Resource) -> Option<Uuid> {
    match &resource.model {
        Model::Disk(disk) => Some(disk.unique_id),
        Model::Snapshot(snapshot) => Some(snapshot.unique_id),
        _ => None,
    }
}

/// The write that puts a disk into another state; nothing for other kinds or no change.
fn with_state(resource: &Resource, to: impl Fn(DiskState) -> DiskState) -> Option<Write> {
    let mut disk = resource.as_disk()?.clone();
    let state = to(disk.state);
    if state == disk.state {
        return None;
    }
    disk.state = state;
    let version = resource.version;
    let new = Resource { model: Model::Disk(disk), version: version + 1, ..resource.clone() };
    Some(Write::PutResource(new, Expect::Version(version)))
}
