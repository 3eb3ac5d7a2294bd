//! Snapshots: named views of points in the operational store.
//!
//! A snapshot that a client makes owns its point. One that a backup makes is a view of the
//! recovery point's bytes: deleting it removes the resource and never a byte.

use super::resource::SNAPSHOTS;
use super::{Caller, Outcome, Service};
use crate::catalogue::{Expect, ResourceFilter, Write};
use crate::error::{Error, Fault, FaultKind, Result};
use crate::limits::Table;
use crate::model::{
    Disk, DoomedPoint, Model, Operation, Provisioning, Resource, ResourceId, Snapshot, WorkKind,
};
use jiff::SignedDuration;
use std::collections::BTreeMap;
use tresor_store::PointKey;

/// A snapshot as a client wants it.
#[derive(Clone, Debug)]
pub struct SnapshotSpec {
    /// Its id.
    pub id: ResourceId,
    /// Its location.
    pub location: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The disk; None on an update.
    pub source: Option<ResourceId>,
    /// Whether it is incremental; all are, in the store.
    pub incremental: bool,
    /// Its class.
    pub sku: Option<String>,
    /// Echoed settings.
    pub attributes: BTreeMap<String, serde_json::Value>,
}

impl Service {
    /// Makes a snapshot of a disk, or changes the settings of one.
    ///
    /// # Errors
    /// `InvalidInput` with the field, `LocationChanged`, `Quota`.
    pub async fn snapshot_put(&self, caller: &Caller, spec: SnapshotSpec) -> Result<Outcome> {
        let location = self.location(&spec.location)?;
        let _change = self.change.lock().await;
        self.require_group(&spec.id).await?;
        if let Some(old) = self.catalogue.resource(&spec.id).await? {
            self.same_location(&old, &spec.location)?;
            let was = old.as_snapshot().map(|s| &s.source);
            if spec.source.is_some() && spec.source.as_ref() != was {
                return Err(super::disk::property_change("properties.creationData"));
            }
            return self.change_snapshot(caller, &old, Some(spec.tags), spec.sku).await;
        }
        let (source, disk) = self.snapshot_source(caller, &spec, &location).await?;
        self.check_snapshot_quota(&disk).await?;
        let snapshot = Snapshot {
            unique_id: self.env.uuid(),
            size: disk.size,
            source,
            source_unique_id: disk.unique_id,
            incremental: spec.incremental,
            point: self.env.uuid().simple().to_string(),
            made_by: None,
            provisioning: Provisioning::Creating,
            sku: spec.sku.unwrap_or_else(|| "Standard_LRS".into()),
            attributes: spec.attributes,
        };
        let (unique_id, point) = (snapshot.unique_id, snapshot.point.clone());
        let model = Model::Snapshot(snapshot);
        let new = self.written(caller, None, &spec.id, &location, spec.tags, model);
        let operation = self.begin(caller, &new.id, unique_id);
        let kind = WorkKind::Snapshot { snapshot: new.id.clone(), unique_id, point };
        self.apply(vec![
            Write::PutResource(new.clone(), Expect::Absent),
            Write::AddWork(self.work(kind, Some(operation.id), None)),
            Write::PutOperation(operation.clone()),
        ])
        .await?;
        self.nudge.notify_one();
        Ok(Outcome { resource: new, operation, created: true })
    }

    /// Changes tags and class of a snapshot.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn snapshot_patch(
        &self,
        caller: &Caller,
        id: &ResourceId,
        tags: Option<BTreeMap<String, String>>,
        sku: Option<String>,
    ) -> Result<Outcome> {
        let _change = self.change.lock().await;
        let (old, _) = self.snapshot(id).await?;
        self.change_snapshot(caller, &old, tags, sku).await
    }

    /// Deletes a snapshot; None when there was none.
    ///
    /// # Errors
    /// `Conflict` while a grant is open or the snapshot is being taken.
    pub async fn snapshot_delete(
        &self,
        caller: &Caller,
        id: &ResourceId,
    ) -> Result<Option<Operation>> {
        let _change = self.change.lock().await;
        let Some(old) = self.catalogue.resource(id).await? else {
            return Ok(None);
        };
        let Some(snapshot) = old.as_snapshot() else {
            return Ok(None);
        };
        self.refuse_if_granted(id).await?;
        self.refuse_if_creating(&old)?;
        let operation = self.done(self.begin(caller, id, snapshot.unique_id));
        self.apply(vec![
            Write::DeleteResource(id.clone()),
            Write::DeleteGrants(id.clone()),
            self.discard(vec![], Self::doomed(snapshot).into_iter().collect()),
            Write::PutOperation(operation.clone()),
        ])
        .await?;
        self.nudge.notify_one();
        Ok(Some(operation))
    }

    /// The point of a snapshot that is deleted, when it owned one.
    pub(crate) fn doomed(snapshot: &Snapshot) -> Option<DoomedPoint> {
        let (key, disk) = (snapshot.point.clone(), Some(snapshot.source_unique_id));
        snapshot.made_by.is_none().then_some(DoomedPoint { key, disk })
    }

    async fn change_snapshot(
        &self,
        caller: &Caller,
        old: &Resource,
        tags: Option<BTreeMap<String, String>>,
        sku: Option<String>,
    ) -> Result<Outcome> {
        let Some(mut snapshot) = old.as_snapshot().cloned() else {
            return Err(Fault::not_found("snapshot", &old.id).into());
        };
        snapshot.sku = sku.unwrap_or(snapshot.sku);
        let unique_id = snapshot.unique_id;
        let tags = tags.unwrap_or_else(|| old.tags.clone());
        let model = Model::Snapshot(snapshot);
        let new = self.written(caller, Some(old), &old.id, &old.location, tags, model);
        let operation = self.done(self.begin(caller, &new.id, unique_id));
        self.apply(vec![
            Write::PutResource(new.clone(), Expect::Version(old.version)),
            Write::PutOperation(operation.clone()),
        ])
        .await?;
        Ok(Outcome { resource: new, operation, created: false })
    }

    async fn snapshot_source(
        &self,
        caller: &Caller,
        spec: &SnapshotSpec,
        location: &str,
    ) -> Result<(ResourceId, Disk)> {
        let field = "properties.creationData.sourceResourceId";
        let Some(source) = &spec.source else {
            return Err(Fault::invalid(field, "sourceResourceId is required.").into());
        };
        self.may_read(caller, source).await?;
        let found = self.find(source).await?;
        let disk = found.as_ref().and_then(|r| r.as_disk().cloned().map(|d| (r, d)));
        let Some((resource, disk)) = disk.filter(|(_, d)| d.provisioning != Provisioning::Failed)
        else {
            let message = format!("sourceResourceId: there is no disk '{source}'.");
            return Err(Fault::new(FaultKind::NotFound, message).at(field).into());
        };
        super::whole(&disk)?;
        if super::canonical_location(&resource.location) != location {
            let message =
                format!("location: a snapshot must be where its disk is, '{}'.", resource.location);
            return Err(Fault::invalid("location", message).into());
        }
        Ok((source.clone(), disk))
    }

    /// Refuses one more snapshot of a disk when Azure's quotas are on and reached.
    pub(crate) async fn check_snapshot_quota(&self, disk: &Disk) -> Result<()> {
        let table = self.settings.limits.table();
        if table.snapshots_per_disk.is_none() && table.snapshots_per_window.is_none() {
            return Ok(());
        }
        let filter = ResourceFilter { kind: Some(SNAPSHOTS.into()), ..ResourceFilter::default() };
        let mut all = self.all(filter).await?;
        all.retain(|r| r.as_snapshot().is_some_and(|s| s.source_unique_id == disk.unique_id));
        let window = SignedDuration::from_mins(Table::SNAPSHOT_WINDOW_MINUTES);
        let from = self.env.domain().checked_sub(window).unwrap_or_default();
        let recent = all.iter().filter(|r| r.created.at >= from).count();
        let over = |most: Option<u32>, count: usize| most.is_some_and(|m| count >= m as usize);
        if over(table.snapshots_per_disk, all.len()) || over(table.snapshots_per_window, recent) {
            let message = "The disk has as many snapshots as Azure allows at a time.";
            return Err(Fault::new(FaultKind::Quota, message)
                .advise("Delete old snapshots or wait five minutes.")
                .into());
        }
        Ok(())
    }
}

/// The store's key of a point.
pub(crate) fn parse_key(text: &str) -> Result<PointKey> {
    text.parse().map_err(|e| Error::internal("naming a point", e))
}

/// Runs a call of the store on a thread that may block.
pub(crate) async fn stored<T: Send + 'static>(
    call: impl FnOnce() -> tresor_store::Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(call).await;
    done.map_err(|e| Error::internal("a call to the store", e))?.map_err(Error::from)
}

impl From<tresor_store::Error> for Error {
    fn from(error: tresor_store::Error) -> Self {
        use tresor_store::ErrorKind;
        let fault = match error.kind() {
            ErrorKind::Corrupt => Fault::new(
                FaultKind::PointDamaged,
                "A recovery point is damaged: its bytes do not match what was stored.",
            )
            .advise("Use another recovery point and check the store's disk."),
            ErrorKind::Full => Fault::new(FaultKind::StoreFull, "The operational store is full.")
                .advise("Free or add space."),
            ErrorKind::Voided => Fault::new(
                FaultKind::Conflict,
                "The work was given up meanwhile: its recovery point can no longer be made.",
            )
            .advise("Start the backup again."),
            ErrorKind::Cancelled => Fault::new(FaultKind::Cancelled, "The work was cancelled."),
            _ => return Self::internal("work on the operational store", error),
        };
        Self { fault: Box::new(fault), cause: Some(std::sync::Arc::new(error)) }
    }
}
