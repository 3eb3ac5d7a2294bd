//! Disks: resources whose bytes are volumes of the pool.
//!
//! A volume is made before its row: a crash in between leaves at most an empty volume that nobody
//! names. It is removed after its row, by work that is queued in the same instant the row goes. A
//! PUT on a disk that exists changes its settings and never its content.

use super::{Caller, Outcome, Service};
use crate::catalogue::{Expect, Write};
use crate::error::{Error, Fault, FaultKind, Result};
use crate::model::{
    Disk, DiskState, Model, Operation, Origin, Provisioning, Resource, ResourceId, WorkKind,
};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tresor_disk::{Volume, VolumeName, image::vhd};
use uuid::Uuid;

pub use tresor_disk::{MAX_SIZE as DISK_BYTES_MAX, SECTOR};

/// Bytes of the footer that an uploaded image carries behind the disk.
pub const FOOTER_BYTES: u64 = vhd::FOOTER as u64;

/// A disk as a client wants it.
#[derive(Clone, Debug)]
pub struct DiskSpec {
    /// Its id.
    pub id: ResourceId,
    /// Its location.
    pub location: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Its size in bytes; None takes the origin's, or keeps what is there.
    pub size: Option<u64>,
    /// Where its first content comes from; None on an update.
    pub origin: Option<OriginSpec>,
    /// Its class.
    pub sku: Option<String>,
    /// Echoed settings.
    pub attributes: BTreeMap<String, serde_json::Value>,
}

/// Where a disk's first content shall come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginSpec {
    /// All zeros.
    Empty,
    /// The client will write it; `bytes` includes the 512-byte footer.
    Upload {
        /// Announced size.
        bytes: u64,
    },
    /// A snapshot or disk.
    Copy {
        /// Its id.
        source: ResourceId,
        /// Its unique id, when the client names it.
        unique_id: Option<Uuid>,
    },
    /// An image file of this host.
    Import {
        /// A path or `file://` address inside an allow-listed folder.
        uri: String,
    },
}

/// Changes to a disk.
#[derive(Clone, Debug, Default)]
pub struct DiskPatch {
    /// New tags, all of them.
    pub tags: Option<BTreeMap<String, String>>,
    /// A size not below the present one, bytes.
    pub size: Option<u64>,
    /// A new class.
    pub sku: Option<String>,
    /// Echoed settings to set.
    pub attributes: Option<BTreeMap<String, serde_json::Value>>,
}

impl Service {
    /// Makes a disk, or changes the settings of one.
    ///
    /// # Errors
    /// `InvalidInput` with the field, `LocationChanged`, `GroupNotFound`, `NotFound` of a source.
    pub async fn disk_put(&self, caller: &Caller, spec: DiskSpec) -> Result<Outcome> {
        let location = self.location(&spec.location)?;
        let _change = self.change.lock().await;
        self.require_group(&spec.id).await?;
        if let Some(old) = self.catalogue.resource(&spec.id).await? {
            self.same_location(&old, &spec.location)?;
            refuse_other_origin(&old, spec.origin.as_ref())?;
            let patch = DiskPatch {
                tags: Some(spec.tags),
                size: spec.size,
                sku: spec.sku,
                attributes: Some(spec.attributes),
            };
            return self.change_disk(caller, &old, patch).await;
        }
        let (origin, size) = self.settle_origin(caller, &spec).await?;
        let fills = matches!(origin, Origin::Copy { .. } | Origin::Import { .. });
        let upload = matches!(origin, Origin::Upload { .. });
        let disk = Disk {
            unique_id: self.env.uuid(),
            size,
            origin,
            state: if upload { DiskState::ReadyToUpload } else { DiskState::Unattached },
            provisioning: if fills { Provisioning::Creating } else { Provisioning::Succeeded },
            restored_by: None,
            sku: spec.sku.unwrap_or_else(|| "Premium_LRS".into()),
            attributes: spec.attributes,
        };
        self.make_volume(disk.unique_id, size).await?;
        let unique_id = disk.unique_id;
        let model = Model::Disk(disk);
        let new = self.written(caller, None, &spec.id, &location, spec.tags, model);
        let mut operation = self.begin(caller, &new.id, unique_id);
        let mut writes = vec![Write::PutResource(new.clone(), Expect::Absent)];
        if fills {
            let kind = WorkKind::Fill { disk: new.id.clone(), unique_id };
            writes.push(Write::AddWork(self.work(kind, Some(operation.id), None)));
        } else {
            operation = self.done(operation);
        }
        writes.push(Write::PutOperation(operation.clone()));
        self.apply(writes).await?;
        self.nudge.notify_one();
        Ok(Outcome { resource: new, operation, created: true })
    }

    /// Changes settings of a disk.
    ///
    /// # Errors
    /// `NotFound`, and `InvalidInput` when it would shrink.
    pub async fn disk_patch(
        &self,
        caller: &Caller,
        id: &ResourceId,
        patch: DiskPatch,
    ) -> Result<Outcome> {
        let _change = self.change.lock().await;
        let (old, _) = self.disk(id).await?;
        self.change_disk(caller, &old, patch).await
    }

    /// Deletes a disk and its bytes; None when there was none.
    ///
    /// # Errors
    /// `Conflict` while a grant is open or the disk is being filled.
    pub async fn disk_delete(&self, caller: &Caller, id: &ResourceId) -> Result<Option<Operation>> {
        let _change = self.change.lock().await;
        let Some(old) = self.catalogue.resource(id).await? else {
            return Ok(None);
        };
        let Some(disk) = old.as_disk() else {
            return Ok(None);
        };
        self.refuse_if_granted(id).await?;
        self.refuse_if_creating(&old)?;
        let operation = self.done(self.begin(caller, id, disk.unique_id));
        self.apply(vec![
            Write::DeleteResource(id.clone()),
            Write::DeleteGrants(id.clone()),
            self.discard(vec![disk.unique_id], vec![]),
            Write::PutOperation(operation.clone()),
        ])
        .await?;
        self.nudge.notify_one();
        Ok(Some(operation))
    }

    async fn change_disk(
        &self,
        caller: &Caller,
        old: &Resource,
        patch: DiskPatch,
    ) -> Result<Outcome> {
        let Some(mut disk) = old.as_disk().cloned() else {
            return Err(Fault::not_found("disk", &old.id).into());
        };
        if let Some(size) = patch.size.filter(|s| *s != disk.size) {
            self.refuse_if_creating(old)?;
            if size < disk.size {
                let message =
                    format!("diskSizeGB: a disk cannot shrink from {} to {size} bytes.", disk.size);
                return Err(Fault::invalid("properties.diskSizeGB", message).into());
            }
            check_size(size, "properties.diskSizeGB")?;
            let volume = self.volume(&disk).await?;
            blocking(move || volume.grow(size)).await?;
            disk.size = size;
        }
        disk.sku = patch.sku.unwrap_or(disk.sku);
        disk.attributes.extend(patch.attributes.unwrap_or_default());
        let unique_id = disk.unique_id;
        let tags = patch.tags.unwrap_or_else(|| old.tags.clone());
        let model = Model::Disk(disk);
        let new = self.written(caller, Some(old), &old.id, &old.location, tags, model);
        let operation = self.done(self.begin(caller, &new.id, unique_id));
        self.apply(vec![
            Write::PutResource(new.clone(), Expect::Version(old.version)),
            Write::PutOperation(operation.clone()),
        ])
        .await?;
        Ok(Outcome { resource: new, operation, created: false })
    }

    async fn settle_origin(&self, caller: &Caller, spec: &DiskSpec) -> Result<(Origin, u64)> {
        let field = "properties.diskSizeGB";
        let (origin, least) = match &spec.origin {
            None => {
                let field = "properties.creationData";
                let message = "creationData is required to make a disk.";
                return Err(Fault::invalid(field, message).into());
            }
            Some(OriginSpec::Empty) => {
                let size = spec.size.ok_or_else(|| {
                    Fault::invalid(field, "diskSizeGB is required for an empty disk.")
                })?;
                (Origin::Empty, size)
            }
            Some(OriginSpec::Upload { bytes }) => {
                let size = bytes.checked_sub(FOOTER_BYTES).unwrap_or_default();
                check_size(size, "properties.creationData.uploadSizeBytes")?;
                return Ok((Origin::Upload { bytes: *bytes }, size));
            }
            Some(OriginSpec::Copy { source, unique_id }) => {
                self.copy_source(caller, source, *unique_id).await?
            }
            Some(OriginSpec::Import { uri }) => self.import_source(uri).await?,
        };
        let size = spec.size.unwrap_or(least);
        if size < least {
            let message = format!("diskSizeGB is smaller than the source of {least} bytes.");
            return Err(Fault::invalid(field, message).into());
        }
        check_size(size, field)?;
        Ok((origin, size))
    }

    async fn copy_source(
        &self,
        caller: &Caller,
        id: &ResourceId,
        unique_id: Option<Uuid>,
    ) -> Result<(Origin, u64)> {
        let field = "properties.creationData.sourceResourceId";
        if ![super::resource::DISKS, super::resource::SNAPSHOTS].contains(&id.kind().as_str()) {
            let message = format!("sourceResourceId: '{id}' is neither a disk nor a snapshot.");
            return Err(Fault::invalid(field, message).into());
        }
        self.may_read(caller, id).await?;
        let found = self.catalogue.resource(id).await?;
        let (known, size) = match found.as_ref().map(|r| &r.model) {
            Some(Model::Disk(d)) if d.provisioning == Provisioning::Succeeded => {
                (d.unique_id, d.size)
            }
            Some(Model::Snapshot(s)) if s.provisioning == Provisioning::Succeeded => {
                (s.unique_id, s.size)
            }
            _ => {
                let message = format!("sourceResourceId: there is no complete source '{id}'.");
                return Err(Fault::new(FaultKind::NotFound, message).at(field).into());
            }
        };
        if unique_id.is_some_and(|wanted| wanted != known) {
            let field = "properties.creationData.sourceUniqueId";
            let message = format!("sourceUniqueId: '{id}' is {known} now.");
            return Err(Fault::invalid(field, message).into());
        }
        Ok((Origin::Copy { source: id.clone(), source_unique_id: known }, size))
    }

    async fn import_source(&self, uri: &str) -> Result<(Origin, u64)> {
        let field = "properties.creationData.sourceUri";
        let path = PathBuf::from(uri.strip_prefix("file://").unwrap_or(uri));
        // Nothing is ever fetched: whatever names another host is refused before it is looked at.
        if !path.is_absolute() || (uri.contains("://") && !uri.starts_with("file:///")) {
            let message = "sourceUri must be an absolute path or a file:/// address of an image on \
                           this host; images are not fetched from elsewhere.";
            return Err(Fault::invalid(field, message).into());
        }
        let (open, allowed) = (path.clone(), self.settings.import.clone());
        let image = tokio::task::spawn_blocking(move || {
            tresor_disk::image::raw::RawImage::open(&open, &allowed)
        });
        let image = image.await.map_err(|e| Error::internal("opening an image", e))?;
        let image = image.map_err(|e| {
            let message = format!("sourceUri: the image cannot be imported: {e}.");
            Error::from(
                Fault::invalid(field, message)
                    .advise("Name a raw image file inside a folder of the import allow-list."),
            )
        })?;
        let size = image.size().next_multiple_of(SECTOR);
        Ok((Origin::Import { uri: uri.to_owned(), path }, size))
    }

    /// The volume of this unique id, made when there is none.
    pub(crate) async fn volume_or_new(&self, unique_id: Uuid, size: u64) -> Result<Arc<Volume>> {
        let (pool, name) = (self.pool.clone(), volume_name(unique_id)?);
        let generation = self.env.bytes::<16>();
        blocking(move || match pool.open_volume(&name) {
            Err(error) if error.kind() == tresor_disk::ErrorKind::NotFound => {
                pool.create(&name, size, generation)
            }
            other => other,
        })
        .await
    }

    async fn make_volume(&self, unique_id: Uuid, size: u64) -> Result<Arc<Volume>> {
        let (pool, name) = (self.pool.clone(), volume_name(unique_id)?);
        let generation = self.env.bytes::<16>();
        blocking(move || pool.create(&name, size, generation)).await
    }

    /// The volume of a disk.
    pub(crate) async fn volume(&self, disk: &Disk) -> Result<Arc<Volume>> {
        let (pool, name) = (self.pool.clone(), volume_name(disk.unique_id)?);
        blocking(move || pool.open_volume(&name)).await
    }

    /// Removes the volume of a disk that is gone; absent is fine.
    pub(crate) async fn remove_volume(&self, unique_id: Uuid) -> Result<()> {
        let (pool, name) = (self.pool.clone(), volume_name(unique_id)?);
        blocking(move || pool.remove(&name)).await
    }
}

/// A PUT on a disk that exists cannot give it other content; saying again where its content came
/// from is fine, also as Azure shows it.
fn refuse_other_origin(old: &Resource, wanted: Option<&OriginSpec>) -> Result<()> {
    let Some(disk) = old.as_disk() else { return Ok(()) };
    let same = match (wanted, &disk.origin) {
        (None, _) | (Some(OriginSpec::Empty), Origin::Empty) => true,
        (Some(OriginSpec::Upload { bytes }), Origin::Upload { bytes: was }) => bytes == was,
        (Some(OriginSpec::Import { uri }), Origin::Import { uri: was, .. }) => uri == was,
        (
            Some(OriginSpec::Copy { source, unique_id }),
            Origin::Copy { source: was, source_unique_id },
        ) => source == was && unique_id.is_none_or(|id| id == *source_unique_id),
        (Some(OriginSpec::Copy { source, .. }), Origin::Restore { source: was }) => source == was,
        _ => false,
    };
    if same { Ok(()) } else { Err(property_change("properties.creationData")) }
}

/// The refusal to change what a resource was made of.
pub(super) fn property_change(field: &str) -> Error {
    let name = field.rsplit('.').next().unwrap_or(field);
    let message = format!("Changing property '{name}' is not allowed: it was set when made.");
    Fault::new(FaultKind::PropertyChange, message)
        .at(field)
        .advise("Choose another name, or delete the resource first.")
        .into()
}

pub(crate) fn volume_name(unique_id: Uuid) -> Result<VolumeName> {
    VolumeName::new(unique_id.to_string()).map_err(|e| Error::internal("naming a volume", e))
}

fn check_size(size: u64, field: &str) -> Result<()> {
    let name = field.rsplit('.').next().unwrap_or(field);
    if size == 0 || !size.is_multiple_of(SECTOR) || size > DISK_BYTES_MAX {
        let message = format!(
            "{name}: the disk must have between {SECTOR} and {DISK_BYTES_MAX} bytes, a multiple of \
             {SECTOR}."
        );
        return Err(Fault::invalid(field, message).into());
    }
    Ok(())
}

/// Runs a call of the disks on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> tresor_disk::Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(call).await;
    done.map_err(|e| Error::internal("a call to the disks", e))?.map_err(Error::from)
}

impl From<tresor_disk::Error> for Error {
    fn from(error: tresor_disk::Error) -> Self {
        if error.kind() == tresor_disk::ErrorKind::TooLarge {
            let message = "diskSizeGB: the file system of the pool cannot hold a disk this large.";
            return Fault::invalid("properties.diskSizeGB", message).into();
        }
        let full = error.kind() == tresor_disk::ErrorKind::Full;
        let mut out = Self::internal("work on a disk", error);
        if full {
            let message = "The pool of volumes is full.";
            *out.fault = Fault::new(FaultKind::StoreFull, message).advise("Free or add space.");
        }
        out
    }
}
