//! One window: from bytes of the source to a leaf of the map.

use std::ops::Range;
use std::sync::atomic::Ordering;

use super::Old;
use super::deposit::{Deposit, Hand};
use super::jobs::{Job, Part};
use crate::chunk::{BLOCK, Block, Blocks, Rule, Stretch};
use crate::damage;
use crate::error::{Error, ErrorKind, Result};
use crate::field::{part, part_mut};
use crate::id::{Id, Kind};
use crate::map::{Item, Node, Tree, leaf};
use crate::margins;
use crate::memory::Memory;
use crate::source::{Source, Watch, clip, covers};

/// What is known about a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing yet.
    Unknown,
    /// Zero, without having been read: its place in the buffer holds anything.
    Hole,
    /// Read and looked at.
    Read(Block),
}

/// The blocks of one window, read when they are first asked for.
struct Window<'a> {
    source: &'a dyn Source,
    rule: &'a Rule,
    start: u64,
    len: usize,
    /// A part of the window: what is being cut, and what was read ahead.
    data: Memory,
    /// Where in the window `data` begins.
    base: usize,
    /// Blocks before this one are done with.
    floor: u32,
    states: Vec<State>,
    /// Blocks that are read in large pieces, in order; all others in small ones.
    eager: Vec<Range<u32>>,
    /// Blocks at which a small piece ends, in order.
    stops: Vec<u32>,
    read: u64,
}

/// The tools of one worker.
pub(super) struct Cutter<'a> {
    deposit: &'a Deposit<'a>,
    watch: &'a dyn Watch,
    window: Window<'a>,
    /// Blocks that were hashed last, and found to be another chunk than the parent has there.
    hashed: Option<(Range<u32>, Id)>,
}

/// An item of the parent's leaf and the blocks that it has.
type Numbered = (Range<u32>, Item);

impl<'a> Cutter<'a> {
    pub(super) fn new(
        deposit: &'a Deposit<'a>,
        source: &'a dyn Source,
        watch: &'a dyn Watch,
    ) -> Result<Self> {
        let len = margins::READ_PIECE + 2 * deposit.longest() as usize;
        let window = Window {
            source,
            rule: deposit.rule(),
            start: 0,
            len: 0,
            data: Memory::new(len)?,
            base: 0,
            floor: 0,
            states: Vec::new(),
            eager: Vec::new(),
            stops: Vec::new(),
            read: 0,
        };
        Ok(Self { deposit, watch, window, hashed: None })
    }

    /// Stores a window and its leaf; `None` if all of it is zero.
    pub(super) fn cut(
        &mut self,
        job: &Job,
        before: &Old<'_>,
        hand: &mut Hand,
    ) -> Result<Option<Id>> {
        let old = &before.map;
        let (start, size) = (old.start(job.window), self.window.source.len());
        let len = size.saturating_sub(start).min(u64::from(old.window)) as usize;
        self.window.reset(start, len);
        self.hashed = None;
        let items = match &job.part {
            Part::Allocated(ranges) => {
                let alike = self.alike(job.window, before)?;
                self.whole(ranges, &alike, hand)?
            }
            Part::Changed(_) if old.len(job.window) as usize != len => {
                let all = start..start + len as u64;
                let ranges = self.window.source.allocated(all).map_err(unreadable)?;
                self.whole(&ranges, &[], hand)?
            }
            Part::Changed(ranges) => {
                let base = self.base(old, job.window);
                let all = start..start + len as u64;
                if let Err(e) = &base
                    && damage::is_damage(e)
                    && covers(ranges, &all)
                {
                    // Nothing is known of the parent's window, and nothing needs to be.
                    let ranges = self.window.source.allocated(all).map_err(unreadable)?;
                    self.whole(&ranges, &[], hand)?
                } else {
                    let base = base?;
                    if ranges.is_empty() {
                        return Ok(base.map(|(id, _)| id));
                    }
                    let hole = [Item::Hole { len: len as u32 }];
                    let items = base.as_ref().map_or(&hole[..], |(_, items)| items);
                    self.around(ranges, &number(items), hand)?
                }
            }
        };
        self.deposit.tally().read.fetch_add(self.window.read, Ordering::Relaxed);
        if items.iter().all(|item| matches!(item, Item::Hole { .. })) {
            return Ok(None);
        }
        let node = Node::Leaf(items).encode();
        self.deposit.put(Kind::Node, &node, hand).map(Some)
    }

    /// The parent's leaf of a window, and its items.
    fn base(&self, old: &Tree, window: u64) -> Result<Option<(Id, Vec<Item>)>> {
        let Some((id, node)) = leaf(old, self.deposit.loader(), window)? else {
            return Ok(None);
        };
        Ok(Some((id, node.items(self.window.len as u32)?.to_vec())))
    }

    /// The parent's items of a window that is read as a whole; none where they are not known,
    /// cannot be read, or are not those of such a window.
    fn alike(&self, window: u64, before: &Old<'_>) -> Result<Vec<Numbered>> {
        let len = self.window.len as u32;
        let map = before.alike.filter(|map| window < map.windows() && map.len(window) == len);
        let found = match map.map(|map| leaf(&map, self.deposit.loader(), window)) {
            Some(Err(e)) if !damage::is_damage(&e) => return Err(e),
            Some(Ok(Some((_, node)))) => number(node.items(len).unwrap_or_default()),
            _ => return Ok(Vec::new()),
        };
        let whole =
            |(blocks, _): &Numbered| clip(before.wounds, self.window.bytes(blocks)).is_empty();
        Ok(found.into_iter().filter(whole).collect())
    }

    /// Cuts a window of which everything in `ranges` has to be read. Where the parent's chunk is
    /// there again, that is all that has to be found out.
    fn whole(
        &mut self,
        ranges: &[Range<u64>],
        alike: &[Numbered],
        hand: &mut Hand,
    ) -> Result<Vec<Item>> {
        let blocks = self.window.blocks();
        self.window.states.fill(State::Hole);
        for range in ranges {
            let touched = self.window.touched(range);
            self.window.mark(touched, State::Unknown);
        }
        self.window.eager.push(0..blocks);
        let mut items = Vec::new();
        let mut at = 0;
        while at < blocks {
            at = match self.again(at, alike, &mut items)? {
                Some(end) => end,
                None => self.next(at, &mut items, hand, None)?,
            };
        }
        Ok(items)
    }

    /// Takes over the parent's chunk that begins at `at` if it is there again; returns its end.
    fn again(&mut self, at: u32, alike: &[Numbered], items: &mut Vec<Item>) -> Result<Option<u32>> {
        let place = alike.binary_search_by_key(&at, |(range, _)| range.start);
        let found = place.ok().and_then(|place| alike.get(place));
        let Some((range, item @ Item::Chunk { id, len })) = found else {
            return Ok(None);
        };
        self.go_on()?;
        self.window.forget(at);
        let (rule, blocks) = (self.window.rule, self.window.blocks());
        if !rule.repeats(&mut self.window, range, blocks)? {
            return Ok(None);
        }
        let now = self.deposit.id(self.window.fetch(range)?);
        // What the parent has can have been lost since: then it is stored, and healed, as new.
        if now != *id || !self.deposit.knows(id, u64::from(*len))? {
            self.hashed = Some((range.clone(), now));
            return Ok(None);
        }
        self.deposit.tally().chunks.fetch_add(1, Ordering::Relaxed);
        items.push(*item);
        Ok(Some(range.end))
    }

    fn go_on(&self) -> Result<()> {
        if self.deposit.stopped() || self.watch.cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "the backup was cancelled"));
        }
        Ok(())
    }

    /// Cuts a window around its changed ranges and takes over the parent's items elsewhere.
    fn around(
        &mut self,
        ranges: &[Range<u64>],
        old: &[Numbered],
        hand: &mut Hand,
    ) -> Result<Vec<Item>> {
        let changed = self.prepare(ranges, old)?;
        let (blocks, reach) = (self.window.blocks(), self.window.rule.hole);
        let next_change = |from: u32| {
            let place = changed.partition_point(|c| c.end <= from);
            changed.get(place).map(|c| c.start.max(from))
        };
        let mut items = Vec::new();
        // Everything before `at` is cut; `at` is a boundary of both cuttings.
        let mut at = 0;
        while let Some(change) = next_change(at) {
            let begin = restart(old, change, reach).max(at);
            take_over(old, at..begin, &mut items);
            at = begin;
            loop {
                at = self.next(at, &mut items, hand, Some((old, &changed)))?;
                let calm = next_change(at).is_none_or(|next| next >= at + reach);
                let shared = old.binary_search_by_key(&at, |(range, _)| range.start).is_ok();
                if at >= blocks || at > change && calm && shared {
                    break;
                }
            }
        }
        take_over(old, at..blocks, &mut items);
        Ok(items)
    }

    /// Marks what is known without reading; returns the changed blocks, merged.
    fn prepare(&mut self, ranges: &[Range<u64>], old: &[Numbered]) -> Result<Vec<Range<u32>>> {
        let window = &mut self.window;
        for (range, item) in old {
            if matches!(item, Item::Hole { .. }) {
                window.mark(range.clone(), State::Hole);
            }
            window.stops.push(range.end);
        }
        let mut changed: Vec<Range<u32>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            join(&mut changed, window.touched(range));
        }
        for blocks in &changed {
            window.mark(blocks.clone(), State::Hole);
            let bytes = window.bytes(blocks);
            for range in window.source.allocated(bytes.clone()).map_err(unreadable)? {
                let range = range.start.max(bytes.start)..range.end.min(bytes.end);
                if range.start < range.end {
                    let touched = window.touched(&range);
                    window.mark(touched, State::Unknown);
                }
            }
            window.stops.push(blocks.start);
        }
        window.stops.sort_unstable();
        // All of the chunk that a change lies in is needed: it is cut and hashed again.
        for blocks in &changed {
            let last = old.partition_point(|(range, _)| range.end < blocks.end);
            let end = old.get(last).map_or(blocks.end, |(range, _)| range.end);
            join(&mut window.eager, restart(old, blocks.start, window.rule.hole)..end);
        }
        Ok(changed)
    }

    /// Cuts and stores the stretch at `at`; returns where it ends. An item of the parent with
    /// the same bounds and no change in it is taken over without looking at its bytes.
    fn next(
        &mut self,
        at: u32,
        items: &mut Vec<Item>,
        hand: &mut Hand,
        base: Option<(&[Numbered], &[Range<u32>])>,
    ) -> Result<u32> {
        self.go_on()?;
        let rule = self.window.rule;
        let blocks = self.window.blocks();
        self.window.forget(at);
        let Stretch { blocks: range, hole } = rule.next(&mut self.window, at, blocks)?;
        let bytes = self.window.bytes(&range);
        let len = (bytes.end - bytes.start) as u32;
        if hole {
            self.deposit.tally().zero.fetch_add(u64::from(len), Ordering::Relaxed);
            items.push(Item::Hole { len });
            return Ok(range.end);
        }
        self.deposit.tally().chunks.fetch_add(1, Ordering::Relaxed);
        let same = base.and_then(|(old, changed)| unchanged(old, changed, &range));
        let hashed = self.hashed.take().filter(|(blocks, _)| *blocks == range);
        let id = match (same, hashed) {
            (Some(id), _) => id,
            (None, Some((_, id))) => {
                self.deposit.put_as(id, Kind::Chunk, self.window.fetch(&range)?, hand)?
            }
            (None, None) => self.deposit.put(Kind::Chunk, self.window.fetch(&range)?, hand)?,
        };
        items.push(Item::Chunk { id, len });
        Ok(range.end)
    }
}

impl Window<'_> {
    fn reset(&mut self, start: u64, len: usize) {
        (self.start, self.len, self.read) = (start, len, 0);
        (self.base, self.floor) = (0, 0);
        self.states.clear();
        self.states.resize(len.div_ceil(BLOCK), State::Unknown);
        self.eager.clear();
        self.stops.clear();
    }

    fn blocks(&self) -> u32 {
        self.states.len() as u32
    }

    /// The bytes of the disk that some blocks have.
    fn bytes(&self, blocks: &Range<u32>) -> Range<u64> {
        let end = (blocks.end as usize * BLOCK).min(self.len);
        self.start + u64::from(blocks.start) * BLOCK as u64..self.start + end as u64
    }

    /// The blocks that a range of bytes of the disk touches.
    fn touched(&self, range: &Range<u64>) -> Range<u32> {
        let end = self.start + self.len as u64;
        let (from, to) = (range.start.max(self.start), range.end.min(end));
        let block = BLOCK as u64;
        let first = (from.saturating_sub(self.start) / block) as u32;
        first..(to.saturating_sub(self.start).div_ceil(block) as u32).max(first)
    }

    fn mark(&mut self, blocks: Range<u32>, state: State) {
        let range = blocks.start as usize..blocks.end as usize;
        self.states.get_mut(range).unwrap_or_default().fill(state);
    }

    fn state(&self, number: u32) -> State {
        self.states.get(number as usize).copied().unwrap_or(State::Hole)
    }

    /// The blocks that one read from `number` on should get.
    fn piece(&self, number: u32) -> Range<u32> {
        let place = self.eager.partition_point(|range| range.end <= number);
        let eager = self.eager.get(place).filter(|range| range.start <= number);
        let limit = match eager {
            Some(range) => range.end.min(number + (margins::READ_PIECE / BLOCK) as u32),
            None => {
                let stop = self.stops.partition_point(|stop| *stop <= number);
                let stop = self.stops.get(stop).copied().unwrap_or(u32::MAX);
                stop.min(number + margins::RESYNC_BLOCKS as u32)
            }
        };
        let end = limit.min(self.blocks());
        let known = (number..end).find(|n| self.state(*n) != State::Unknown);
        number..known.unwrap_or(end)
    }

    /// Reads and looks at a block and some that follow.
    fn load(&mut self, number: u32) -> Result<()> {
        let mut piece = self.piece(number);
        let blocks = self.data.len() / BLOCK;
        if number as usize >= self.floor as usize + blocks {
            // No chunk is that long: all that was looked at is a hole, whose bytes nobody wants.
            self.floor = number;
        }
        // There is always room for what is being cut and a piece more.
        let room = self.floor as usize + blocks;
        piece.end = piece.end.min(u32::try_from(room).unwrap_or(u32::MAX));
        let place = self.place(&piece)?;
        let bytes = self.bytes(&piece);
        let buffer = part_mut(&mut self.data, place)?;
        self.source.read_at(buffer, bytes.start).map_err(unreadable)?;
        self.read += buffer.len() as u64;
        let states = self.states.get_mut(piece.start as usize..piece.end as usize);
        for (state, block) in states.unwrap_or_default().iter_mut().zip(buffer.chunks(BLOCK)) {
            *state = State::Read(Block::of(block));
        }
        Ok(())
    }

    /// Where some blocks lie in the buffer; moves what is still needed to its front if they do
    /// not fit otherwise.
    fn place(&mut self, blocks: &Range<u32>) -> Result<Range<usize>> {
        let start = blocks.start as usize * BLOCK;
        let end = (blocks.end as usize * BLOCK).min(self.len);
        if end > self.base + self.data.len() {
            let floor = self.floor as usize * BLOCK;
            let gone = (floor - self.base).min(self.data.len());
            self.data.copy_within(gone.., 0);
            self.base = floor;
        }
        match (start.checked_sub(self.base), end.checked_sub(self.base)) {
            (Some(start), Some(end)) if end <= self.data.len() => Ok(start..end),
            _ => Err(Error::internal("blocks lie outside the buffer of their window")),
        }
    }

    /// The bytes of some blocks that all have been looked at.
    fn fetch(&mut self, blocks: &Range<u32>) -> Result<&[u8]> {
        let place = self.place(blocks)?;
        for number in blocks.clone().filter(|n| self.state(*n) == State::Hole).collect::<Vec<_>>() {
            let place = self.place(&(number..number + 1))?;
            part_mut(&mut self.data, place)?.fill(0);
        }
        part(&self.data, place)
    }
}

impl Blocks for Window<'_> {
    fn forget(&mut self, before: u32) {
        self.floor = self.floor.max(before);
    }

    fn block(&mut self, number: u32) -> Result<Block> {
        if self.state(number) == State::Unknown {
            self.load(number)?;
        }
        match self.state(number) {
            State::Read(block) => Ok(block),
            State::Hole => Ok(Block::Zero),
            State::Unknown => Err(Error::internal("a block was not read")),
        }
    }

    fn data(&mut self, number: u32) -> Result<&[u8]> {
        let place = self.place(&(number..number + 1))?;
        part(&self.data, place)
    }
}

/// The items of a leaf with the blocks that they have.
fn number(items: &[Item]) -> Vec<Numbered> {
    let mut at = 0;
    let mut out = Vec::with_capacity(items.len());
    for item in items {
        let end = at + item.len().div_ceil(BLOCK as u32);
        out.push((at..end, *item));
        at = end;
    }
    out
}

/// Adds a range that begins at or behind the last one, merged with it where they touch.
fn join(ranges: &mut Vec<Range<u32>>, range: Range<u32>) {
    match ranges.last_mut().filter(|last| last.end >= range.start) {
        Some(last) => last.end = last.end.max(range.end),
        None => ranges.push(range),
    }
}

/// Where cutting must begin so that a change at block `change` is seen rightly: see the module
/// [`crate::chunk`].
fn restart(old: &[Numbered], change: u32, reach: u32) -> u32 {
    let place = old.partition_point(|(range, _)| range.end <= change);
    let start = |place: usize| old.get(place).map(|(range, _)| range.start);
    match start(place) {
        Some(begin) if change - begin >= reach => begin,
        Some(begin) => place.checked_sub(1).and_then(start).unwrap_or(begin),
        None => 0,
    }
}

/// Copies the parent's items in `range`, whose ends are boundaries of items.
fn take_over(old: &[Numbered], range: Range<u32>, items: &mut Vec<Item>) {
    let first = old.partition_point(|(blocks, _)| blocks.start < range.start);
    let rest = old.get(first..).unwrap_or_default();
    items.extend(rest.iter().take_while(|(b, _)| b.end <= range.end).map(|(_, item)| *item));
}

/// The id of the parent's chunk that has exactly these blocks, if none of them changed.
fn unchanged(old: &[Numbered], changed: &[Range<u32>], range: &Range<u32>) -> Option<Id> {
    let place = old.binary_search_by_key(&range.start, |(blocks, _)| blocks.start).ok()?;
    let (blocks, item) = old.get(place)?;
    let touched = changed.iter().any(|c| c.start < range.end && range.start < c.end);
    match item {
        Item::Chunk { id, .. } if blocks == range && !touched => Some(*id),
        _ => None,
    }
}

fn unreadable(source: std::io::Error) -> Error {
    Error::new(ErrorKind::Source, "the source cannot be read").because(source)
}
