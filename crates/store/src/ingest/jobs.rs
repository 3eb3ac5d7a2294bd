//! Which windows have to be looked at, in order, found while going along.

use std::ops::Range;

use crate::error::{Error, ErrorKind, Result};
use crate::map::Tree;
use crate::margins;
use crate::source::{Source, clip, tidy};

/// One window to look at.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) window: u64,
    /// What to read of it.
    pub(super) part: Part,
    /// Bytes of the whole work that are done with this window.
    pub(super) work: u64,
}

/// What is to be read of a window. Ranges count bytes of the disk.
#[derive(Debug)]
pub(super) enum Part {
    /// Everything that may be other than zero.
    Allocated(Vec<Range<u64>>),
    /// What may differ from the parent.
    Changed(Vec<Range<u64>>),
}

/// The windows of one attempt.
pub(super) struct Jobs<'a> {
    source: &'a dyn Source,
    new: Tree,
    old: Tree,
    /// Tidy ranges that may differ from the parent; `None`: look at everything.
    changed: Option<Vec<Range<u64>>>,
    next: u64,
    /// Allocated ranges of the windows before `asked`.
    allocated: Vec<Range<u64>>,
    asked: u64,
    /// Where the work that jobs account for has come to.
    accounted: u64,
}

impl<'a> Jobs<'a> {
    pub(super) fn new(
        source: &'a dyn Source,
        new: Tree,
        old: Tree,
        changed: Option<&[Range<u64>]>,
    ) -> Self {
        let changed = changed.map(|ranges| {
            let mut ranges = ranges.to_vec();
            ranges.push(old.size..new.size);
            tidy(&ranges, new.size)
        });
        Self { source, new, old, changed, next: 0, allocated: Vec::new(), asked: 0, accounted: 0 }
    }

    /// Bytes of the disk.
    pub(super) fn size(&self) -> u64 {
        self.new.size
    }

    /// The sum of the work of all jobs, and of what is left at the end.
    pub(super) fn work(&self) -> u64 {
        match &self.changed {
            None => self.new.size,
            Some(ranges) => ranges.iter().map(|r| r.end - r.start).sum(),
        }
    }

    /// Work that no job accounted for: what lies behind the last one.
    pub(super) fn left(&self) -> u64 {
        self.work().saturating_sub(self.accounted)
    }

    /// The next window.
    pub(super) fn next(&mut self) -> Result<Option<Job>> {
        let found = match &self.changed {
            None => self.next_allocated()?,
            Some(_) => self.next_changed(),
        };
        if let Some(job) = &found {
            self.next = job.window + 1;
            self.accounted += job.work;
        }
        Ok(found)
    }

    /// Tells the source what a job is going to read, while the jobs before it are still at work.
    /// Around a change the rest of the chunk that it lies in is read, too.
    pub(super) fn announce(&self, job: &Job) {
        match &job.part {
            Part::Allocated(ranges) => {
                ranges.iter().for_each(|range| self.source.prefetch(range.clone()));
            }
            Part::Changed(ranges) => {
                let bounds = self.bounds(job.window);
                let around = ranges.iter().map(|range| {
                    let start = range.start.saturating_sub(margins::PREFETCH_AROUND);
                    start.max(bounds.start)..range.end.saturating_add(margins::PREFETCH_AROUND)
                });
                let around: Vec<_> = around.collect();
                for range in tidy(&around, bounds.end) {
                    self.source.prefetch(range);
                }
            }
        }
    }

    fn bounds(&self, window: u64) -> Range<u64> {
        let start = self.new.start(window);
        start..start + u64::from(self.new.len(window))
    }

    /// A window of a disk that is read as a whole. Windows of which nothing is allocated are
    /// left out, many at a time.
    fn next_allocated(&mut self) -> Result<Option<Job>> {
        while self.next < self.new.windows() {
            if self.next >= self.asked {
                self.ask()?;
            }
            let bounds = self.bounds(self.next);
            let first = self.allocated.partition_point(|r| r.end <= bounds.start);
            match self.allocated.get(first) {
                None => self.next = self.asked,
                Some(range) if range.start >= bounds.end => {
                    self.next = range.start / u64::from(self.new.window);
                }
                Some(_) => {
                    let part = Part::Allocated(clip(&self.allocated, bounds.clone()));
                    let work = bounds.end - self.accounted;
                    return Ok(Some(Job { window: self.next, part, work }));
                }
            }
        }
        Ok(None)
    }

    fn ask(&mut self) -> Result<()> {
        let start = self.new.start(self.next);
        self.asked = (self.next + margins::ALLOCATION_WINDOWS).min(self.new.windows());
        let end = self.new.start(self.asked).min(self.new.size);
        let found = self.source.allocated(start..end).map_err(|e| {
            Error::new(ErrorKind::Source, "the source cannot tell what is allocated").because(e)
        })?;
        self.allocated = clip(&tidy(&found, self.new.size), start..end);
        Ok(())
    }

    /// A window that a change touches, or whose length changed, or that is the last one of a
    /// disk that changed its size: the path to it must be made anew.
    fn next_changed(&self) -> Option<Job> {
        let ranges = self.changed.as_deref().unwrap_or_default();
        let from = self.new.start(self.next);
        let first = ranges.partition_point(|r| r.end <= from);
        let touched = ranges.get(first).map(|r| r.start.max(from) / u64::from(self.new.window));
        let resized = self.old.size != self.new.size && self.new.windows() > 0;
        let forced = [
            self.new.windows().checked_sub(1),
            self.old.windows().checked_sub(1).filter(|w| *w < self.new.windows()),
        ];
        let forced = forced.into_iter().flatten().filter(|w| resized && *w >= self.next).min();
        let window = touched.into_iter().chain(forced).min()?;
        let ranges = clip(ranges, self.bounds(window));
        let work = ranges.iter().map(|r| r.end - r.start).sum();
        Some(Job { window, part: Part::Changed(ranges), work })
    }
}
