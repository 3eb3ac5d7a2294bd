//! Documents with all jobs of a vault, for whoever is given the key to one.
//!
//! A document is a file of the data folder whose name says which export it is and when it ends, in
//! real time: nothing else is needed to give it out, to refuse it later and to sweep it away, after
//! a crash too. It is written page by page by a worker and has its name only when it is whole and
//! durable. At most one export of a vault is under way, and at most [`EXPORTS_MAX`] are kept.

use super::folder::Folder;
use super::{Caller, Service};
use crate::catalogue::{CatalogueError, Write};
use crate::error::{Error, Fault, FaultKind, Result};
use crate::model::{Job, Operation, OperationStatus, ResourceId, WorkKind};
use jiff::{SignedDuration, Timestamp};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tresor_store::durable::{Draft, Durable};
use uuid::Uuid;

/// How long a document can be read, real time.
const KEPT: SignedDuration = SignedDuration::from_hours(1);
/// Documents that are kept at a time.
const EXPORTS_MAX: usize = 64;
/// End of the name of a document that is not whole.
const PART: &str = "part";
/// End of the name of a document.
const WHOLE: &str = "json";

/// Writes one job as it stands in a document.
pub type JobForm = fn(&Job) -> String;

/// The documents of a data folder, and how they are written.
pub(crate) struct Exports {
    folder: PathBuf,
    durable: Durable,
    form: OnceLock<JobForm>,
}

/// A document that can be read.
#[derive(Clone, Debug)]
pub struct Document {
    /// The export that made it.
    pub id: Uuid,
    /// When it was finished, real time.
    pub modified: Timestamp,
    size: u64,
    file: Arc<File>,
}

impl Document {
    /// Its size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads a range; blocking.
    ///
    /// # Errors
    /// When the range leaves the document or the file cannot be read.
    pub fn read(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let length = range.end.min(self.size).saturating_sub(range.start);
        let mut out = vec![0; usize::try_from(length).unwrap_or_default()];
        let read = self.file.read_exact_at(&mut out, range.start);
        read.map_err(|e| Error::internal("reading a document", e))?;
        Ok(out)
    }
}

impl Exports {
    /// Makes the folder if need be and removes what an earlier process left half-written.
    pub(super) fn open(folder: &Folder) -> Result<Self> {
        let durable = folder.durable();
        let folder = folder.private_dir("exports")?;
        let exports = Self { folder, durable, form: OnceLock::new() };
        exports.sweep(|name| name.rsplit('.').next() == Some(PART))?;
        Ok(exports)
    }

    /// Begins the document of an export; an earlier attempt's beginning goes. Blocking.
    pub(crate) fn begin(&self, id: Uuid) -> Result<Draft> {
        let kept = self.names()?.into_iter().filter(|name| expiry(name).is_some()).count();
        if kept >= EXPORTS_MAX {
            let message = format!("{kept} exports are kept already.");
            return Err(Fault::new(FaultKind::Quota, message)
                .advise("Wait an hour: then the oldest are gone.")
                .into());
        }
        let part = self.part(id);
        let made = self.durable.remove(&part).and_then(|()| self.durable.begin(&part));
        made.map_err(failed)
    }

    /// Gives a whole document its name; blocking.
    pub(crate) fn finish(&self, draft: Draft, id: Uuid, expires: Timestamp) -> Result<()> {
        draft.finish(&self.path(id, expires)).map_err(failed)
    }

    /// Removes documents whose time is over; blocking.
    pub(crate) fn sweep_expired(&self, now: Timestamp) -> Result<()> {
        self.sweep(|name| expiry(name).is_some_and(|until| until <= now))
    }

    fn sweep(&self, which: impl Fn(&str) -> bool) -> Result<()> {
        for name in self.names()?.into_iter().filter(|name| which(name)) {
            self.durable.remove(&self.folder.join(name)).map_err(failed)?;
        }
        Ok(())
    }

    fn names(&self) -> Result<Vec<String>> {
        let read = || -> io::Result<Vec<String>> {
            let entries = self.folder.read_dir()?.collect::<io::Result<Vec<_>>>()?;
            Ok(entries.iter().filter_map(|e| e.file_name().into_string().ok()).collect())
        };
        read().map_err(failed)
    }

    fn part(&self, id: Uuid) -> PathBuf {
        self.folder.join(format!("{}.{PART}", id.simple()))
    }

    fn path(&self, id: Uuid, expires: Timestamp) -> PathBuf {
        self.folder.join(format!("{}.{}.{WHOLE}", id.simple(), expires.as_second()))
    }

    /// How jobs are written; None until the wire has said.
    pub(crate) fn form(&self) -> Option<JobForm> {
        self.form.get().copied()
    }
}

/// When the document of this name ends; None for other names.
fn expiry(name: &str) -> Option<Timestamp> {
    let (rest, end) = name.rsplit_once('.')?;
    let (id, seconds) = rest.split_once('.')?;
    let known = end == WHOLE && Uuid::try_parse(id).is_ok();
    known.then(|| Timestamp::from_second(seconds.parse().ok()?).ok()).flatten()
}

fn failed(cause: io::Error) -> Error {
    Error::internal("work on an export", cause)
}

impl Service {
    /// Says how jobs are written into documents; the first one counts.
    pub fn export_as(&self, form: JobForm) {
        let _ = self.exports.form.set(form);
    }

    /// Queues an export of all jobs of a vault.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` while another export of the vault is under way.
    pub async fn export_start(&self, caller: &Caller, vault: &ResourceId) -> Result<Operation> {
        let (head, vault) = self.vault(vault).await?;
        let operation = self.begin(caller, &head.id, vault.unique_id);
        let kind = WorkKind::Export { vault: vault.unique_id };
        let claim = exporting(vault.unique_id);
        let writes = vec![
            Write::Claim { name: claim, holder: operation.id.to_string() },
            Write::PutOperation(operation.clone()),
            Write::AddWork(self.work(kind, Some(operation.id), None)),
        ];
        match self.commit(writes).await {
            Ok(()) => {
                self.nudge.notify_one();
                Ok(operation)
            }
            Err(CatalogueError::Conflict(_)) => {
                let message =
                    format!("An export of the jobs of '{}' runs already.", head.id.name());
                Err(Fault::new(FaultKind::Conflict, message)
                    .at(head.id.as_str())
                    .advise("Wait until it has ended.")
                    .into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// When the document of an export ends; None when the operation is none that succeeded.
    #[must_use]
    pub fn export_expires(&self, operation: &Operation) -> Option<Timestamp> {
        let seconds = operation.output.as_ref()?.strip_prefix(OUTPUT)?.parse().ok()?;
        let succeeded = operation.status == OperationStatus::Succeeded;
        Timestamp::from_second(seconds).ok().filter(|_| succeeded)
    }

    /// The document of an export that ends at `expires`; None when it is gone or has ended.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub async fn document(&self, id: Uuid, expires: Timestamp) -> Result<Option<Document>> {
        if expires <= self.env.real() {
            return Ok(None);
        }
        let path = self.exports.path(id, expires);
        let opened = tokio::task::spawn_blocking(move || open(&path)).await;
        let opened = opened.map_err(|e| Error::internal("opening a document", e))?;
        let Some((file, size, modified)) = opened.map_err(failed)? else {
            return Ok(None);
        };
        Ok(Some(Document { id, modified, size, file: Arc::new(file) }))
    }
}

fn open(path: &Path) -> io::Result<Option<(File, u64, Timestamp)>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let about = file.metadata()?;
    let modified = Timestamp::try_from(about.modified()?).map_err(io::Error::other)?;
    Ok(Some((file, about.len(), modified)))
}

/// What the output of an export begins with.
const OUTPUT: &str = "export until ";

/// The output of an export whose document ends at this time.
pub(crate) fn output(expires: Timestamp) -> String {
    format!("{OUTPUT}{}", expires.as_second())
}

/// When a document that is finished now ends, in whole seconds.
pub(crate) fn ends(now: Timestamp) -> Timestamp {
    let end = now.checked_add(KEPT).unwrap_or(now);
    Timestamp::from_second(end.as_second()).unwrap_or(end)
}

/// The claim that lets one export of a vault run at a time.
pub(crate) fn exporting(vault: Uuid) -> String {
    format!("export:{vault}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_when_its_document_ends() {
        let id = Uuid::from_u128(7).simple();
        let at = Timestamp::from_second(1_700_000_000).unwrap();
        assert_eq!(expiry(&format!("{id}.1700000000.json")), Some(at));
        for other in
            [format!("{id}.part"), format!("{id}.x.json"), "x.1.json".into(), String::new()]
        {
            assert_eq!(expiry(&other), None, "{other}");
        }
        assert_eq!(ends(at).duration_since(at), KEPT);
    }

    #[test]
    fn documents_of_a_service_that_is_thrown_away_are_not_flushed() {
        for (volatile, files) in [(true, "Volatile"), (false, "Disk")] {
            let data = tempfile::tempdir().unwrap();
            let folder = Folder::own(data.path(), volatile).unwrap();
            let durable = format!("{:?}", Exports::open(&folder).unwrap().durable);
            assert!(durable.contains(files), "{durable}");
        }
    }
}
