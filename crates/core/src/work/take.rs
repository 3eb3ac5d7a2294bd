//! Taking a point of a volume: freeze, ingest what changed, commit, adopt.
//!
//! The volume's change map names the point that it is relative to. That name is 16 bytes of the
//! point's key and 16 of its content's root, so the parent is found without a search and a point
//! that was removed, or replaced by another of the same key, is not mistaken for it.

use super::Task;
use super::meter::Meter;
use crate::error::{Error, Fault, FaultKind, Result};
use crate::model::{Disk, Transfer};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tresor_disk::{ErrorKind, View, Volume};
use tresor_store::env::Env;
use tresor_store::{
    Begun, Committed, Ingest, Plan, PointKey, PointRecord, Root, Source, Store, Watch,
};

/// How long to wait for another view of the same volume, and how often to look. Then the work is
/// left for later, so that it does not keep a worker from others.
const BUSY_LOOK: Duration = Duration::from_millis(50);
const BUSY_LOOKS: u32 = 600;

/// A committed point.
pub(super) struct Taken {
    pub(super) record: PointRecord,
    /// What moved; None when an earlier attempt had committed already.
    pub(super) transfer: Option<Transfer>,
}

/// Which steps a taker passes, in order.
pub(super) struct Steps {
    pub(super) ingest: &'static str,
    pub(super) commit: &'static str,
}

/// The name of a point in a volume's change map.
pub(super) fn base_of(key: &PointKey, root: &Root) -> [u8; 32] {
    let mut base = [0; 32];
    let both = key.as_bytes().iter().chain(root.0.iter());
    base.iter_mut().zip(both).for_each(|(to, from)| *to = *from);
    base
}

/// The key in such a name.
pub(super) fn base_key(base: &[u8; 32]) -> Option<PointKey> {
    base.first_chunk().map(|key| PointKey::new(*key))
}

impl Task {
    /// Takes a point of a disk's volume on a thread that may block.
    pub(super) async fn take(
        &self,
        disk: &Disk,
        key: PointKey,
        facts: BTreeMap<String, String>,
        steps: Steps,
    ) -> Result<Taken> {
        let volume = self.service.volume(disk).await?;
        let taker = Taker {
            store: self.service.store.clone(),
            env: self.service.env.clone(),
            meter: Arc::clone(&self.meter),
            work: self.work.id,
            job: self.work.job,
            volume,
            key,
            facts,
            steps,
        };
        let taken = tokio::task::spawn_blocking(move || taker.run()).await;
        taken.map_err(|e| Error::internal("taking a point", e))?
    }
}

struct Taker {
    store: Store,
    env: Env,
    meter: Arc<Meter>,
    work: uuid::Uuid,
    job: Option<uuid::Uuid>,
    volume: Arc<Volume>,
    key: PointKey,
    facts: BTreeMap<String, String>,
    steps: Steps,
}

impl Taker {
    fn run(self) -> Result<Taken> {
        if let Some(record) = self.store.point(&self.key)? {
            return Ok(Taken { record, transfer: None });
        }
        let view = freeze(&self.volume, &self.meter)?;
        let time = ticked(self.env.domain());
        let base = self.volume.base();
        let old_base = base.as_ref().and_then(base_key);
        self.meter.expect(view.size());
        let parent = self.parent(base.as_ref(), old_base.as_ref())?;
        let plan = Plan { point: self.key, parent, size: view.size() };
        let ingest = match self.store.begin(plan) {
            Ok(Begun::New(ingest)) => ingest,
            Ok(Begun::Exists(record)) => {
                view.abandon();
                return Ok(Taken { record, transfer: None });
            }
            Err(error) => {
                view.abandon();
                return Err(error.into());
            }
        };
        let facts = self.facts.clone();
        match self.ingest(ingest, &view, base.as_ref(), facts, time) {
            Ok((Committed { record, won: true }, transfer)) => {
                view.adopt(base_of(&record.key, &record.root))?;
                Ok(Taken { record, transfer: Some(transfer) })
            }
            // Another attempt's point is of another instant: what changed since then still counts.
            Ok((Committed { record, won: false }, _)) => {
                view.abandon();
                Ok(Taken { record, transfer: None })
            }
            Err(error) => {
                view.abandon();
                Err(error)
            }
        }
    }

    /// The record of the point that the change map names, if it is still that point.
    fn parent(&self, base: Option<&[u8; 32]>, key: Option<&PointKey>) -> Result<Option<PointKey>> {
        let (Some(base), Some(key)) = (base, key) else {
            return Ok(None);
        };
        let record = self.store.point(key)?;
        let same = record.is_some_and(|r| base_of(&r.key, &r.root) == *base);
        Ok(same.then_some(*key))
    }

    fn ingest(
        &self,
        mut ingest: Ingest,
        view: &View,
        base: Option<&[u8; 32]>,
        facts: BTreeMap<String, String>,
        time: Timestamp,
    ) -> Result<(Committed, Transfer)> {
        super::reach(self.steps.ingest, self.work, self.job);
        let has_parent = ingest.parent().is_some();
        let changed = base.filter(|_| has_parent).and_then(|b| view.changed(b));
        if let Some(ranges) = &changed {
            self.meter.expect(ranges.iter().map(|r| r.end - r.start).sum());
        }
        let source = ViewSource(view);
        let ingested = match ingest.run(&source, changed.as_deref(), &*self.meter) {
            Ok(ingested) => ingested,
            Err(error) => {
                ingest.abandon()?;
                return Err(error.into());
            }
        };
        let transfer = Transfer {
            read: view.bytes_read(),
            new: ingested.bytes_new,
            stored: ingested.bytes_stored,
            deduplicated: ingested.bytes_deduplicated,
            found_again: ingested.bytes_found_again,
        };
        tracing::info!(
            work = %self.work,
            job = self.job.map(tracing::field::display),
            incremental = changed.is_some(),
            bytes_read = transfer.read,
            bytes_stored = transfer.stored,
            bytes_found_again = transfer.found_again,
            "ingested"
        );
        super::reach(self.steps.commit, self.work, self.job);
        Ok((ingest.commit(facts, time)?, transfer))
    }
}

/// A time as clients see it, in whole units of 100 ns: a filter that names a point's own time must
/// find it.
fn ticked(time: Timestamp) -> Timestamp {
    let nanoseconds = time.as_nanosecond();
    Timestamp::from_nanosecond(nanoseconds - nanoseconds.rem_euclid(100)).unwrap_or(time)
}

/// A consistent view; waits while another one is open.
fn freeze(volume: &Arc<Volume>, meter: &Meter) -> Result<View> {
    for _ in 0..BUSY_LOOKS {
        match volume.freeze() {
            Ok(view) => return Ok(view),
            Err(error) if error.kind() == ErrorKind::Busy => {
                if meter.cancelled() {
                    let message = "The work was cancelled.";
                    return Err(Fault::new(FaultKind::Cancelled, message).into());
                }
                pause();
            }
            Err(error) => return Err(error.into()),
        }
    }
    let message = "Another snapshot of the disk has been running for too long.";
    Err(Fault::new(FaultKind::Unavailable, message).advise("Try again later.").into())
}

fn pause() {
    std::thread::park_timeout(BUSY_LOOK);
}

/// A frozen view as the store reads it.
struct ViewSource<'a>(&'a View);

impl Source for ViewSource<'_> {
    fn len(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        self.0.read_at(buffer, offset).map_err(std::io::Error::other)
    }

    fn allocated(&self, range: Range<u64>) -> std::io::Result<Vec<Range<u64>>> {
        self.0.allocated(range).map_err(std::io::Error::other)
    }

    fn prefetch(&self, range: Range<u64>) {
        self.0.prefetch(range);
    }
}

/// The volume of a disk that is written.
pub(super) struct VolumeSink(pub(super) Arc<Volume>);

impl tresor_store::Sink for VolumeSink {
    /// A volume finds its space as bytes come: what a stop leaves half written is no more than
    /// what was written.
    fn reserve(&self, _range: Range<u64>) -> std::io::Result<()> {
        Ok(())
    }

    fn write_at(&self, data: &[u8], offset: u64) -> std::io::Result<()> {
        self.0.write_at(data, offset).map_err(std::io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_names_its_point_and_its_content() {
        let key: PointKey = "00112233445566778899aabbccddeeff".parse().unwrap();
        let base = base_of(&key, &Root([7; 32]));
        assert_eq!(base_key(&base).unwrap(), key);
        assert_ne!(base_of(&key, &Root([8; 32])), base);
    }
}
