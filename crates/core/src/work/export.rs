//! An export: all jobs of a vault, page by page, into a document.

use super::Task;
use crate::catalogue::{JobFilter, Write};
use crate::error::{Error, Fault, FaultKind, Result};
use crate::service::{JobForm, ends, exporting, output};
use tresor_store::durable::Draft;
use uuid::Uuid;

/// Jobs that are in memory at a time.
const ROWS: u32 = 200;

pub(super) async fn run(task: &Task, vault: Uuid) -> Result<()> {
    task.step("export.write").await?;
    let Some(operation) = task.operation().await? else {
        return task.apply(vec![release(task, vault), task.finish()]).await;
    };
    let Some(form) = task.service.exports.form() else {
        let message = "The service has not said yet how jobs are written.";
        return Err(Fault::new(FaultKind::Unavailable, message).into());
    };
    let (service, id) = (task.service.clone(), operation.id);
    let draft = blocking(move || service.exports.begin(id)).await?;
    let draft = write(task, vault, form, draft).await?;
    let expires = ends(task.service.env.real());
    let service = task.service.clone();
    blocking(move || service.exports.finish(draft, id, expires)).await?;
    task.step("export.settle").await?;
    let mut done = task.service.done(operation);
    done.output = Some(output(expires));
    task.apply(vec![Write::PutOperation(done), release(task, vault), task.finish()]).await
}

async fn write(task: &Task, vault: Uuid, form: JobForm, draft: Draft) -> Result<Draft> {
    let mut draft = append(draft, "{\"value\":[".into()).await?;
    let mut filter = JobFilter { vault, after: None, limit: ROWS };
    let mut between = "";
    loop {
        if task.meter.is_cancelled() || *task.service.stopping.borrow() {
            return Err(Fault::new(FaultKind::Cancelled, "The work was cancelled.").into());
        }
        let page = task.service.catalogue.jobs(&filter).await?;
        let mut text = String::new();
        for job in &page.rows {
            text.push_str(between);
            text.push_str(&form(job));
            between = ",\n";
        }
        draft = append(draft, text).await?;
        match page.after {
            Some(after) => filter.after = Some(after),
            None => break,
        }
    }
    append(draft, "]}".into()).await
}

async fn append(mut draft: Draft, text: String) -> Result<Draft> {
    blocking(move || match draft.write_all(text.as_bytes()) {
        Ok(()) => Ok(draft),
        Err(cause) => Err(Error::internal("writing an export", cause)),
    })
    .await
}

async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(call).await.map_err(|e| Error::internal("an export", e))?
}

/// Ends a failed export; what it wrote is swept away at the next start, or by its next attempt.
pub(super) async fn fail(task: &Task, vault: Uuid, fault: &Fault) -> Result<()> {
    let mut writes = task.endings(Some(fault)).await?;
    writes.push(release(task, vault));
    writes.push(task.finish());
    task.apply(writes).await
}

fn release(task: &Task, vault: Uuid) -> Write {
    let holder = task.work.operation.unwrap_or_default().to_string();
    Write::Release { name: exporting(vault), holder }
}
