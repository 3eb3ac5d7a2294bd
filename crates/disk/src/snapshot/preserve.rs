//! Old blocks of a disk, copied aside for one view.
//!
//! A block is copied at most once, before it is first overwritten, and only while the view may
//! still need it. The copies go to a sparse file without a name, at the offsets they had, so they
//! take no memory and vanish with the view or the process.

use crate::changed::{Bits, UNIT, bytes, units};
use crate::durable;
use crate::error::{Error, ErrorKind, Result};
use crate::extent;
use crate::volume::{locked, read_exact};
use std::fs::File;
use std::ops::Range;
use std::sync::Mutex;

/// Old blocks are copied in pieces of at most this many units, which bounds the buffer.
const COPY_UNITS: u64 = 16;

/// What is kept aside for one view.
#[derive(Debug)]
pub(crate) struct Preserve {
    size: u64,
    side: File,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Units whose old bytes are in the side file.
    kept: Bits,
    /// Units that the view does not need any more.
    given_up: Bits,
    /// Why the view cannot be read any more.
    lost: Option<ErrorKind>,
}

impl State {
    /// Whether the disk of that instant can still be told.
    fn standing(&self) -> Result<()> {
        match self.lost {
            None => Ok(()),
            Some(kind) => {
                let text = "the view is lost: an old block could not be copied aside";
                Err(Error::new(kind, text))
            }
        }
    }

    /// Whether a range of it can.
    fn readable(&self, range: &Range<u64>) -> Result<()> {
        self.standing()?;
        if !self.given_up.runs_in(units(range)).is_empty() {
            let text = format!("the view has given up a part of {range:?}");
            return Err(Error::new(ErrorKind::OutOfRange, text));
        }
        Ok(())
    }
}

impl Preserve {
    pub(crate) fn new(side: File, size: u64) -> Self {
        Self { size, side, state: Mutex::default() }
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Copies aside what of a range is still needed; the caller overwrites it afterwards.
    ///
    /// A failure costs the view, not the writer.
    pub(crate) fn keep(&self, data: &File, range: &Range<u64>) {
        let range = range.start.min(self.size)..range.end.min(self.size);
        let mut state = locked(&self.state);
        if state.lost.is_some() || range.is_empty() {
            return;
        }
        if let Err(error) = self.copy(&mut state, data, units(&range)) {
            tracing::warn!(%error, "a view is lost: an old block could not be copied aside");
            state.lost = Some(error.kind());
        }
    }

    fn copy(&self, state: &mut State, data: &File, units: Range<u64>) -> Result<()> {
        for gap in state.kept.gaps(units) {
            let mut at = gap.start;
            while at < gap.end {
                let needed = bytes(&(at..gap.end), self.size);
                let Some(extent) = extent::next(data, &needed)? else {
                    break;
                };
                at = extent.start / UNIT;
                let end = gap.end.min(at + COPY_UNITS).min(extent.end.div_ceil(UNIT));
                for run in state.given_up.gaps(at..end) {
                    self.copy_run(data, &bytes(&run, self.size))?;
                }
                at = end;
            }
            // Holes read as zeros from the side file as well.
            state.kept.insert(gap);
        }
        Ok(())
    }

    fn copy_run(&self, data: &File, range: &Range<u64>) -> Result<()> {
        let length = usize::try_from(range.end - range.start).unwrap_or_default();
        let mut old = vec![0; length];
        read_exact(data, &mut old, range.start)?;
        durable::write_at(&self.side, &old, range.start)
    }

    /// Puts old bytes in the place of those that had been copied aside when a range was read.
    pub(crate) fn patch(&self, buffer: &mut [u8], range: &Range<u64>) -> Result<()> {
        let runs = {
            let state = locked(&self.state);
            state.readable(range)?;
            state.kept.runs_in(units(range))
        };
        for run in runs {
            let old = bytes(&run, self.size);
            let (start, end) = (old.start.max(range.start), old.end.min(range.end));
            let place = usize::try_from(start - range.start)
                .ok()
                .zip(usize::try_from(end - range.start).ok())
                .and_then(|(from, to)| buffer.get_mut(from..to));
            if let Some(place) = place {
                read_exact(&self.side, place, start)?;
            }
        }
        Ok(())
    }

    /// Where the side file has data. Fails once the view is lost: a block that is punched out
    /// then is no hole of the disk of that instant.
    pub(crate) fn extents(&self, range: &Range<u64>) -> Result<Vec<Range<u64>>> {
        let found = extent::data(&self.side, range)?;
        locked(&self.state).standing()?;
        Ok(found)
    }

    /// Forgets the units that lie wholly inside a range, and gives back what they took.
    pub(crate) fn give_up(&self, range: &Range<u64>) {
        let end = if range.end >= self.size { self.size.div_ceil(UNIT) } else { range.end / UNIT };
        let units = range.start.div_ceil(UNIT)..end;
        if units.is_empty() {
            return;
        }
        let mut state = locked(&self.state);
        state.given_up.insert(units.clone());
        for run in state.kept.runs_in(units) {
            let old = bytes(&run, self.size);
            if let Err(error) = durable::punch(&self.side, old.start, old.end - old.start) {
                tracing::debug!(%error, "space of a view was not given back early");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Preserve;
    use crate::ErrorKind;
    use crate::changed::UNIT;
    use std::fs::File;
    use std::os::unix::fs::{FileExt, MetadataExt};

    const SIZE: u64 = 4 * UNIT;

    fn file(content: u8) -> File {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&vec![content; SIZE as usize], 0).unwrap();
        file
    }

    fn side() -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(SIZE).unwrap();
        file
    }

    #[test]
    fn a_copy_that_fails_costs_the_view() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("side");
        std::fs::write(&path, []).unwrap();
        // Not open for writing, so copying aside fails.
        let preserve = Preserve::new(File::open(path).unwrap(), SIZE);
        let data = file(1);
        let mut bytes = [0; 8];
        preserve.patch(&mut bytes, &(0..8)).unwrap();
        assert_eq!(preserve.extents(&(0..SIZE)).unwrap(), []);
        preserve.keep(&data, &(0..1));
        assert_eq!(preserve.extents(&(0..SIZE)).unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(preserve.patch(&mut bytes, &(0..8)).unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(
            preserve.patch(&mut bytes, &(UNIT..UNIT + 8)).unwrap_err().kind(),
            ErrorKind::Io
        );
    }

    #[test]
    fn a_block_is_copied_once_and_not_after_it_was_given_up() {
        let preserve = Preserve::new(side(), SIZE);
        let (old, new) = (file(1), file(2));
        preserve.give_up(&(2 * UNIT..3 * UNIT));
        preserve.keep(&old, &(UNIT + 5..2 * UNIT + 5));
        preserve.keep(&new, &(0..SIZE));
        assert_eq!(preserve.extents(&(2 * UNIT..3 * UNIT)).unwrap(), []);
        let mut bytes = [0; 4];
        preserve.patch(&mut bytes, &(2 * UNIT - 2..2 * UNIT)).unwrap();
        assert_eq!(bytes, [1, 1, 0, 0]);
        preserve.patch(&mut bytes, &(UNIT - 2..UNIT + 2)).unwrap();
        assert_eq!(bytes, [2, 2, 1, 1]);
    }

    #[test]
    fn what_was_given_up_takes_no_space() {
        let preserve = Preserve::new(side(), SIZE);
        preserve.keep(&file(1), &(0..SIZE));
        let taken = preserve.side.metadata().unwrap().blocks();
        preserve.give_up(&(0..SIZE));
        assert!(taken >= SIZE / 512);
        assert_eq!(preserve.extents(&(0..SIZE)).unwrap(), []);
        assert!(preserve.side.metadata().unwrap().blocks() < taken / 4);
    }
}
