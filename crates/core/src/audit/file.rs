//! The file of the trail: one JSON object a line, `begun` or `ended`.
//!
//! Whatever has begun and not ended stands in the newest file: a new file begins with it. So a
//! start reads the newest file and the one before it (a crash may have come between the two) and
//! knows what was left unended.

use super::{AuditSettings, SYNC};
use crate::durable::{LogFile, older};
use crate::model::Event;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::time::Duration;
use tresor_store::env::Env;
use uuid::Uuid;

/// Bytes of a line that is read, at most; longer ones are not ours.
const LINE_MAX: u64 = 64 << 10;
/// Code of an event whose end nobody saw.
const UNKNOWN_END: &str = "Interrupted";

/// Something to be written.
pub(super) enum Line {
    Begun(Event),
    Ended(Event),
    /// Nothing: what was written before is to be durable.
    Sync,
}

/// A line as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    phase: Phase,
    #[serde(flatten)]
    event: Event,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    Begun,
    Ended,
}

/// Writes the file.
pub(super) struct Writer {
    file: LogFile,
    /// Lines of what has begun and not ended. No more than there are requests at one time.
    open: HashMap<Uuid, Vec<u8>>,
    /// When the first line was written that may not be durable, monotonic.
    dirty: Option<Duration>,
    env: Env,
}

impl Writer {
    /// Opens the file; the events that an earlier process left unended, oldest first.
    pub(super) fn open(
        path: &Path,
        settings: AuditSettings,
        volatile: bool,
        env: Env,
    ) -> io::Result<(Self, Vec<Event>)> {
        let unended = unended(path)?;
        let file = LogFile::open(path, settings.file_bytes, settings.files, volatile)?;
        Ok((Self { file, open: HashMap::new(), dirty: None, env }, unended))
    }

    /// Whether something may not be durable.
    pub(super) fn is_dirty(&self) -> bool {
        self.dirty.is_some()
    }

    /// Writes lines, in one piece; makes them durable when it is time or when they ask for it.
    pub(super) fn write(&mut self, lines: &[Line]) -> io::Result<()> {
        let mut text = Vec::new();
        for line in lines {
            match line {
                Line::Begun(event) => {
                    let begun = encode(Phase::Begun, event)?;
                    text.extend_from_slice(&begun);
                    self.open.insert(event.id, begun);
                }
                Line::Ended(event) => {
                    text.extend_from_slice(&encode(Phase::Ended, event)?);
                    self.open.remove(&event.id);
                }
                Line::Sync => {}
            }
        }
        if !text.is_empty() {
            self.file.append(&text)?;
            self.dirty.get_or_insert_with(|| self.env.monotonic());
        }
        if self.file.is_full() {
            let first: Vec<u8> = self.open.values().flatten().copied().collect();
            self.file.turn(&first)?;
        }
        let now = self.env.monotonic();
        let late = self.dirty.is_some_and(|since| now.saturating_sub(since) >= SYNC);
        if late || lines.iter().any(|line| matches!(line, Line::Sync)) {
            return self.sync();
        }
        Ok(())
    }

    /// Makes everything that was written durable.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if self.dirty.take().is_some() { self.file.sync() } else { Ok(()) }
    }
}

fn encode(phase: Phase, event: &Event) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(&Kept { phase, event: event.clone() })?;
    line.push(b'\n');
    Ok(line)
}

fn unended(path: &Path) -> io::Result<Vec<Event>> {
    let mut open = HashMap::new();
    for number in [1, 0] {
        let file = match File::open(older(path, number)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        loop {
            line.clear();
            if reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            // What a crash left of a line is no event; what came of its request nobody was told.
            let Ok(kept) = serde_json::from_slice::<Kept>(&line) else {
                continue;
            };
            match kept.phase {
                Phase::Begun => drop(open.insert(kept.event.id, kept.event)),
                Phase::Ended => drop(open.remove(&kept.event.id)),
            }
        }
    }
    let mut events: Vec<Event> = open.into_values().collect();
    events.sort_by_key(|event| (event.recorded, event.id));
    for event in &mut events {
        event.code = UNKNOWN_END.to_owned();
    }
    Ok(events)
}
