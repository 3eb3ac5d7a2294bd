//! The audit trail: every change that somebody asks for, in the catalogue and in a file.
//!
//! A change that is let in goes this way, and its answer leaves only at the end of it:
//! 1. *begun* is a line of `audit.log`, in the kernel's hands before the change begins. When it
//!    cannot be written the change is refused: what cannot be recorded is not done.
//! 2. The change is made, durable.
//! 3. The event is a row of the catalogue, durable.
//! 4. *ended* is a line of `audit.log`.
//!
//! So an answered change is in the catalogue whatever happens. When the process dies between 2 and
//! 3 the next start finds *begun* without *ended* and records the event with an unknown end. The
//! file is made durable [`SYNC`] after its first new line at the latest: a loss of power can take
//! its last lines, and with them the trace of a change that was made in that time and never
//! answered. A row that cannot be written is told in the log; the file still has the event then.
//!
//! Events gather while earlier ones become durable, up to [`ROWS`] a commit, so that many requests
//! at once pay for few of them. The queues hold [`QUEUE`] entries; who adds one waits for a place.

mod file;
#[cfg(test)]
mod tests;

use crate::catalogue::{Catalogue, CatalogueError, Write};
use crate::error::{Error, Fault, FaultKind, Result};
use crate::model::Event;
use file::{Line, Writer};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tresor_store::env::Env;

/// Name of the file in the data folder.
pub(crate) const FILE: &str = "audit.log";
/// Longest time that a line is in the kernel's hands alone.
const SYNC: Duration = Duration::from_millis(200);
/// Entries that wait in a queue.
const QUEUE: usize = 1024;
/// Rows of one commit.
const ROWS: usize = 128;
/// Lines of one write.
const LINES: usize = 256;

/// What an operator can choose about the trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    /// Bytes after which a new file begins.
    pub file_bytes: u64,
    /// Older files that are kept.
    pub files: usize,
    /// Days that events stay in the catalogue, real time.
    pub days: u32,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self { file_bytes: 16 << 20, files: 8, days: 90 }
    }
}

/// The recorder of events.
pub(crate) struct Recorder {
    lines: mpsc::Sender<(Line, oneshot::Sender<bool>)>,
    rows: mpsc::Sender<(Event, oneshot::Sender<bool>)>,
}

impl Recorder {
    /// Opens the trail in a data folder and records what an earlier process left unended. The file
    /// of a `volatile` one is never made durable.
    pub(crate) async fn open(
        folder: &Path,
        settings: AuditSettings,
        volatile: bool,
        env: &Env,
        catalogue: &Arc<dyn Catalogue>,
    ) -> Result<Self> {
        let (path, clock) = (folder.join(FILE), env.clone());
        let opened =
            tokio::task::spawn_blocking(move || Writer::open(&path, settings, volatile, clock));
        let opened = opened.await.map_err(|e| Error::internal("opening the audit trail", e))?;
        let (mut writer, unended) = opened.map_err(|e| Error::internal("opening audit.log", e))?;
        for some in unended.chunks(ROWS) {
            let writes = some.iter().cloned().map(Write::AddEvent).collect();
            catalogue.apply(writes).await?;
        }
        let ended = tokio::task::spawn_blocking(move || {
            writer.write(&unended.into_iter().map(Line::Ended).collect::<Vec<_>>())?;
            writer.sync().map(|()| writer)
        });
        let ended = ended.await.map_err(|e| Error::internal("opening the audit trail", e))?;
        let writer = ended.map_err(|e| Error::internal("writing audit.log", e))?;
        let (lines, line_queue) = mpsc::channel(QUEUE);
        let (rows, row_queue) = mpsc::channel(QUEUE);
        tokio::spawn(write_lines(writer, line_queue));
        tokio::spawn(write_rows(Arc::clone(catalogue), row_queue));
        Ok(Self { lines, rows })
    }

    /// Notes that something is about to be done. It must not be done when this fails.
    pub(crate) async fn begin(&self, event: &Event) -> Result<()> {
        if self.line(Line::Begun(event.clone())).await {
            return Ok(());
        }
        let message = "The request cannot be recorded in the audit trail, so it was not done.";
        Err(Fault::new(FaultKind::Unavailable, message)
            .advise("Look whether the disk of the data folder is full or failing.")
            .into())
    }

    /// Records how something ended, durable when this returns.
    pub(crate) async fn end(&self, event: Event) {
        let (done, is_done) = oneshot::channel();
        let sent = self.rows.send((event.clone(), done)).await.is_ok();
        if !(sent && is_done.await.unwrap_or(false)) {
            let (operation, resource) = (&event.operation, &event.resource);
            let id = event.id;
            tracing::error!(%id, operation, %resource, "an event is in no row of the catalogue");
        }
        if !self.line(Line::Ended(event)).await {
            tracing::error!("the end of an event is not in audit.log");
        }
    }

    /// Makes everything that was recorded durable.
    pub(crate) async fn flush(&self) {
        self.line(Line::Sync).await;
    }

    async fn line(&self, line: Line) -> bool {
        let (done, is_done) = oneshot::channel();
        self.lines.send((line, done)).await.is_ok() && is_done.await.unwrap_or(false)
    }
}

/// Writes lines until the recorder is gone.
async fn write_lines(mut writer: Writer, mut queue: mpsc::Receiver<(Line, oneshot::Sender<bool>)>) {
    let mut batch = Vec::with_capacity(LINES);
    loop {
        let next = queue.recv_many(&mut batch, LINES);
        let next = if writer.is_dirty() {
            tokio::time::timeout(SYNC, next).await.ok()
        } else {
            Some(next.await)
        };
        let (lines, waiting): (Vec<Line>, Vec<_>) = batch.drain(..).unzip();
        let written = tokio::task::spawn_blocking(move || {
            let done = match next {
                Some(0) | None => writer.sync(),
                Some(_) => writer.write(&lines),
            };
            (writer, done)
        });
        let Ok((same, done)) = written.await else {
            return;
        };
        writer = same;
        if let Err(error) = &done {
            tracing::error!(%error, "audit.log cannot be written");
        }
        for waiting in waiting {
            // Whoever asked may be gone; the line is written all the same.
            let _ = waiting.send(done.is_ok());
        }
        if next == Some(0) {
            return;
        }
    }
}

/// Adds rows until the recorder is gone.
async fn write_rows(
    catalogue: Arc<dyn Catalogue>,
    mut queue: mpsc::Receiver<(Event, oneshot::Sender<bool>)>,
) {
    let mut batch = Vec::with_capacity(ROWS);
    while queue.recv_many(&mut batch, ROWS).await > 0 {
        let (events, waiting): (Vec<Event>, Vec<_>) = batch.drain(..).unzip();
        let writes = events.into_iter().map(Write::AddEvent).collect();
        let kept: std::result::Result<(), CatalogueError> = catalogue.apply(writes).await;
        if let Err(error) = &kept {
            tracing::error!(%error, "events cannot be kept in the catalogue");
        }
        for waiting in waiting {
            let _ = waiting.send(kept.is_ok());
        }
    }
}
