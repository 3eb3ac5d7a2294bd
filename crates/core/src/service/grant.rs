//! Grants: doors to the bytes of one disk or snapshot, closed by time or by hand.

use super::{Caller, Service};
use crate::blob::Blob;
use crate::catalogue::{Expect, Write};
use crate::error::{Fault, FaultKind, Result};
use crate::model::{
    Access, DiskState, Grant, Model, Operation, Provisioning, Resource, ResourceId,
};
use jiff::SignedDuration;
use uuid::Uuid;

/// Doors that one disk or snapshot may have open.
const GRANTS_MAX: usize = 64;
/// Longest time that a door may stay open, seconds: 60 days, as in Azure.
const GRANT_SECONDS_MAX: u32 = 5_184_000;

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
        if self.open_grants(id).await?.len() >= GRANTS_MAX {
            let message = format!("'{}' has {GRANTS_MAX} open grants.", id.name());
            return Err(Fault::new(FaultKind::Conflict, message)
                .advise("Call endGetAccess, which closes them all.")
                .into());
        }
        let until = self.env.real().checked_add(SignedDuration::from_secs(seconds.into()));
        let grant = Grant {
            id: self.env.uuid(),
            resource: resource.id.clone(),
            unique_id,
            access,
            expires: until.unwrap_or(jiff::Timestamp::MAX),
        };
        let mut operation = self.done(self.begin(caller, &resource.id, unique_id));
        operation.output = Some(grant.id.to_string());
        let mut writes = vec![Write::PutGrant(grant.clone())];
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

    /// Closes every door to a disk or snapshot; what was written is durable when this returns.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn grant_close(&self, caller: &Caller, id: &ResourceId) -> Result<Operation> {
        let _change = self.change.lock().await;
        let resource = self.resource(id).await?;
        let unique_id = match &resource.model {
            Model::Disk(disk) if disk.provisioning == Provisioning::Succeeded => {
                let volume = self.volume(disk).await?;
                super::disk::blocking(move || volume.flush()).await?;
                disk.unique_id
            }
            Model::Disk(disk) => disk.unique_id,
            Model::Snapshot(snapshot) => snapshot.unique_id,
            _ => return Err(Fault::not_found("disk or snapshot", id).into()),
        };
        let operation = self.done(self.begin(caller, &resource.id, unique_id));
        let mut writes = vec![Write::DeleteGrants(resource.id.clone())];
        writes.extend(with_state(&resource, |state| match state {
            DiskState::ReadyToUpload => DiskState::ReadyToUpload,
            _ => DiskState::Unattached,
        }));
        writes.push(Write::PutOperation(operation.clone()));
        self.apply(writes).await?;
        Ok(operation)
    }

    /// The bytes behind a grant; None when it is unknown, closed or expired, or when the resource
    /// is no longer the one that it was given for.
    ///
    /// # Errors
    /// When the bytes cannot be opened.
    pub async fn blob(&self, grant: Uuid) -> Result<Option<Blob>> {
        let Some(grant) = self.catalogue.grant(grant).await? else {
            return Ok(None);
        };
        if grant.expires <= self.env.real() {
            return Ok(None);
        }
        let Some(resource) = self.catalogue.resource(&grant.resource).await? else {
            return Ok(None);
        };
        let modified = resource.modified.at;
        match &resource.model {
            Model::Disk(disk) if disk.unique_id == grant.unique_id => {
                let volume = self.volume(disk).await?;
                Ok(Some(Blob::of_disk(grant, volume, modified)))
            }
            Model::Snapshot(snapshot) if snapshot.unique_id == grant.unique_id => {
                let store = self.store.clone();
                let key = super::snapshot::parse_key(&snapshot.point)?;
                let named = key;
                let reader = super::snapshot::stored(move || store.reader(&named)).await?;
                let reader = (key, reader);
                let blob = Blob::of_snapshot(grant, self.store.clone(), reader, snapshot, modified);
                Ok(Some(blob))
            }
            _ => Ok(None),
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
