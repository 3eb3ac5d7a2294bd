//! The file of a change map: header slots and window records, each change durable on return.

use super::bits::{FULL, Group};
use super::header::{self, Header, Slot};
use crate::durable::{self, Directory};
use crate::error::{Error, ErrorKind, Result};
use crate::extent;
use fail::fail_point;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// The name of the map beside the data.
pub(crate) const NAME: &str = "map";
const NEW_NAME: &str = "map.new";

const SLOT: u64 = 4096;
const RECORDS: u64 = 2 * SLOT;
const RECORD: u64 = 64;
const RECORD_LENGTH: usize = 64;
const RECORD_BODY: usize = RECORD_LENGTH - 4;
/// Records go out and come in by at most this many, which bounds the buffer.
const BATCH: u64 = 4096;

const INTENT: u8 = 1;
const EXACT: u8 = 2;

/// What the map says of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Any unit of it may have changed.
    Intent,
    /// Only these units may have changed.
    Exact(Group),
}

/// An open map file.
#[derive(Debug)]
pub(crate) struct MapFile {
    file: File,
}

impl MapFile {
    /// Opens the map of a folder. `None`: there is none, or no header of it is sound.
    pub(crate) fn open(folder: &Directory) -> Result<Option<(Self, Header)>> {
        let file = match folder.file(NAME) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let mut newest: Option<Header> = None;
        for at in [0, SLOT] {
            let mut slot = [0; header::LENGTH];
            read_some(&file, &mut slot, at)?;
            match Header::decode(&slot) {
                Slot::Valid(header) => {
                    if newest.as_ref().is_none_or(|other| other.sequence < header.sequence) {
                        newest = Some(header);
                    }
                }
                Slot::Invalid => {}
                Slot::Unknown(version) => {
                    let path = folder.path().join(NAME);
                    let text = format!("{} has the unknown version {version}", path.display());
                    return Err(Error::new(ErrorKind::Corrupt, text));
                }
            }
        }
        Ok(newest.map(|header| (Self { file }, header)))
    }

    /// Puts a new map in the place of the old one, atomically and durably.
    ///
    /// A failure that is not `Poisoned` has left the old map in its place.
    pub(crate) fn replace(
        folder: &Directory,
        header: &Header,
        records: impl Iterator<Item = (u64, Mark)>,
    ) -> Result<Self> {
        fail_point!("disk.map.write", |_| Err(injected()));
        folder.remove_file(NEW_NAME)?;
        let map = Self { file: folder.create(NEW_NAME)? };
        let written = map
            .write_slot(header)
            .and_then(|()| map.write_records(records))
            .and_then(|()| durable::sync_all(&map.file));
        if let Err(error) = written {
            // Best effort: the next replacement removes it as well.
            if let Err(left) = folder.remove_file(NEW_NAME) {
                tracing::warn!(error = %left, "a new change map was left behind");
            }
            return Err(error);
        }
        folder.rename(NEW_NAME, NAME)?;
        Ok(map)
    }

    /// Makes durable what another process may have written.
    pub(crate) fn settle(&self) -> Result<()> {
        durable::sync_all(&self.file)
    }

    /// Writes the next header into the slot that the current one does not use.
    pub(crate) fn write_header(&self, header: &Header) -> Result<()> {
        fail_point!("disk.map.write", |_| Err(injected()));
        self.write_slot(header)?;
        durable::sync_data(&self.file)
    }

    fn write_slot(&self, header: &Header) -> Result<()> {
        durable::write_at(&self.file, &header.encode(), header.sequence % 2 * SLOT)
    }

    /// Writes records, in ascending order of their windows, and makes them durable.
    pub(crate) fn write(&self, records: impl Iterator<Item = (u64, Mark)>) -> Result<()> {
        fail_point!("disk.map.write", |_| Err(injected()));
        self.write_records(records)?;
        durable::sync_data(&self.file)
    }

    fn write_records(&self, records: impl Iterator<Item = (u64, Mark)>) -> Result<()> {
        let mut batch = Vec::new();
        let mut first = 0;
        let mut next = 0;
        for (window, mark) in records {
            let full = next - first >= BATCH;
            if (window != next || full) && !batch.is_empty() {
                durable::write_at(&self.file, &batch, RECORDS + first * RECORD)?;
                batch.clear();
            }
            if batch.is_empty() {
                first = window;
            }
            batch.extend(encode(window, mark));
            next = window + 1;
        }
        if batch.is_empty() {
            return Ok(());
        }
        durable::write_at(&self.file, &batch, RECORDS + first * RECORD)
    }

    /// The marks of the windows below a bound. A damaged record is an intent.
    pub(crate) fn read(&self, windows: u64) -> Result<BTreeMap<u64, Mark>> {
        let mut marks = BTreeMap::new();
        let end = RECORDS + windows * RECORD;
        let mut at = RECORDS;
        while let Some(extent) = extent::next(&self.file, &(at..end))? {
            let first = (extent.start - RECORDS) / RECORD;
            let last = (extent.end - RECORDS).div_ceil(RECORD).min(first + BATCH).min(windows);
            let length = usize::try_from((last - first) * RECORD).unwrap_or_default();
            let mut batch = vec![0; length];
            read_some(&self.file, &mut batch, RECORDS + first * RECORD)?;
            for (window, record) in (first..last).zip(batch.as_chunks::<RECORD_LENGTH>().0) {
                if let Some(mark) = decode(window, record) {
                    marks.insert(window, mark);
                }
            }
            at = RECORDS + last * RECORD;
        }
        Ok(marks)
    }
}

fn encode(window: u64, mark: Mark) -> [u8; RECORD_LENGTH] {
    let (state, bits) = match mark {
        Mark::Intent => (INTENT, FULL),
        Mark::Exact(bits) => (EXACT, bits),
    };
    let fields = bits.into_iter().chain([window, u64::from(state)]).flat_map(u64::to_le_bytes);
    let mut record = [0; RECORD_LENGTH];
    for (byte, value) in record.iter_mut().zip(fields) {
        *byte = value;
    }
    if let Some((body, check)) = record.split_last_chunk_mut::<4>() {
        *check = crc32fast::hash(body).to_le_bytes();
    }
    record
}

fn decode(window: u64, record: &[u8; RECORD_LENGTH]) -> Option<Mark> {
    if record.iter().all(|&byte| byte == 0) {
        return None;
    }
    let (words, _) = record.as_chunks::<8>();
    let mut words = words.iter().map(|word| u64::from_le_bytes(*word));
    let mut bits = Group::default();
    for slot in &mut bits {
        *slot = words.next().unwrap_or(u64::MAX);
    }
    let (body, check) = record.split_at(RECORD_BODY);
    let sound = crc32fast::hash(body).to_le_bytes() == check && words.next() == Some(window);
    if sound && words.next() == Some(u64::from(EXACT)) {
        Some(Mark::Exact(bits))
    } else {
        Some(Mark::Intent)
    }
}

/// Fills a buffer; what is behind the end of the file stays as it is.
fn read_some(file: &File, buffer: &mut [u8], offset: u64) -> Result<()> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("cannot read a change map", error)),
        }
    }
    Ok(())
}

#[allow(dead_code, reason = "fail points are compiled in for tests only")]
fn injected() -> Error {
    Error::io("a fail point made a change map fail", std::io::Error::other("injected"))
}

#[cfg(test)]
mod tests {
    use super::{Mark, RECORD_LENGTH, decode, encode};
    use proptest::prelude::*;

    #[test]
    fn zeros_are_no_mark() {
        assert_eq!(decode(3, &[0; RECORD_LENGTH]), None);
    }

    proptest! {
        #[test]
        fn reads_back_what_was_written(window in any::<u64>(), bits in any::<[u64; 4]>()) {
            for mark in [Mark::Intent, Mark::Exact(bits)] {
                prop_assert_eq!(decode(window, &encode(window, mark)), Some(mark));
            }
        }

        #[test]
        fn damage_counts_as_the_whole_window(
            window in any::<u64>(), bits in any::<[u64; 4]>(), bit in 0..RECORD_LENGTH * 8,
        ) {
            let mut record = encode(window, Mark::Exact(bits));
            record[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(decode(window, &record), Some(Mark::Intent));
        }

        #[test]
        fn a_torn_record_covers_the_old_and_the_new(
            window in any::<u64>(), old in any::<[u64; 4]>(), new in any::<[u64; 4]>(),
            cut in 0..RECORD_LENGTH,
        ) {
            let mut record = encode(window, Mark::Exact(old));
            record[..cut].copy_from_slice(&encode(window, Mark::Exact(new))[..cut]);
            match decode(window, &record) {
                Some(Mark::Exact(bits)) => prop_assert!(bits == old || bits == new),
                mark => prop_assert_eq!(mark, Some(Mark::Intent)),
            }
        }

        #[test]
        fn a_record_of_another_window_is_damage(window in 1u64.., bits in any::<[u64; 4]>()) {
            let record = encode(window, Mark::Exact(bits));
            prop_assert_eq!(decode(window - 1, &record), Some(Mark::Intent));
        }
    }
}
