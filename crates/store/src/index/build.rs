//! Writing a run.

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use super::page::{
    BODY, COVERS, ENTRIES, FENCES, FILTERED, PACKS, PURPOSE, TAIL, Tail, encode_head, filter_bits,
    filter_page,
};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::field::narrow;
use crate::id::Id;
use crate::keys::{KeyRing, ObjectKey};
use crate::pack::{Location, Pack};

/// Where the bytes of a run go.
pub(super) type Sink<'a> = dyn FnMut(&[u8]) -> Result<()> + 'a;

/// A run being written, entry by entry in order.
pub(super) struct Builder<'a> {
    key: ObjectKey,
    sink: &'a mut Sink<'a>,
    written: u64,
    tail: Tail,
    page: Vec<u8>,
    in_page: usize,
    filter: Vec<Vec<u8>>,
    fences: Vec<u64>,
    packs: Vec<Pack>,
    /// By name and size: a pack whose size changed was scanned anew, and merging must not hide
    /// that.
    numbers: HashMap<(Uuid, u32), u32>,
    last: Option<(Id, Uuid, u32)>,
}

impl<'a> Builder<'a> {
    /// Begins a run of at most `count` entries.
    pub(super) fn new(
        ring: &KeyRing,
        env: &Env,
        count: u64,
        sink: &'a mut Sink<'a>,
    ) -> Result<Self> {
        let (epoch, salt) = (ring.epoch(), env.bytes());
        let key = ring.object(PURPOSE, epoch, &salt)?;
        sink(&encode_head(ring.store, epoch, &salt))?;
        let filters = count.div_ceil(FILTERED).max(1);
        let tail = Tail {
            filters: u32::try_from(filters)
                .map_err(|e| Error::internal("too many entries").because(e))?,
            ..Tail::default()
        };
        Ok(Self {
            key,
            sink,
            written: 0,
            tail,
            page: Vec::with_capacity(BODY),
            in_page: 0,
            filter: vec![vec![0; BODY]; filters as usize],
            fences: Vec::new(),
            packs: Vec::new(),
            numbers: HashMap::new(),
            last: None,
        })
    }

    /// Adds an entry; a second one with the same id and place is left out. Another place of the
    /// same id stays: one of them may turn out to be damaged.
    pub(super) fn add(&mut self, id: &Id, at: &Location) -> Result<()> {
        let entry = (*id, at.pack.name, at.offset);
        if self.last == Some(entry) {
            return Ok(());
        }
        if self.last.is_some_and(|(last, ..)| last > *id) {
            return Err(Error::internal("index entries are out of order"));
        }
        self.last = Some(entry);
        if self.in_page == 0 {
            self.fences.push(id.prefix());
        }
        let pack = self.number(&at.pack)?;
        self.page.extend_from_slice(&id.0);
        for field in [pack, at.offset, at.len] {
            self.page.extend_from_slice(&field.to_le_bytes());
        }
        self.in_page += 1;
        self.tail.entries += 1;
        let page = filter_page(id, self.tail.filters) as usize;
        let page = self.filter.get_mut(page).ok_or_else(|| Error::internal("filter page"))?;
        for (byte, bit) in filter_bits(id) {
            if let Some(byte) = page.get_mut(byte) {
                *byte |= bit;
            }
        }
        if self.in_page == ENTRIES { self.flush() } else { Ok(()) }
    }

    fn number(&mut self, pack: &Pack) -> Result<u32> {
        if let Some(number) = self.numbers.get(&(pack.name, pack.size)) {
            return Ok(*number);
        }
        let number = narrow(self.packs.len())?;
        self.packs.push(*pack);
        self.numbers.insert((pack.name, pack.size), number);
        Ok(number)
    }

    /// Writes the rest; `covers` are the runs whose entries are in this one.
    pub(super) fn finish(mut self, covers: &BTreeSet<Uuid>) -> Result<()> {
        self.flush()?;
        for page in std::mem::take(&mut self.filter) {
            self.page.extend_from_slice(&page);
            self.in_page = 1;
            self.flush()?;
        }
        for fence in std::mem::take(&mut self.fences) {
            self.row(&fence.to_le_bytes(), FENCES)?;
        }
        self.flush()?;
        self.tail.packs = narrow(self.packs.len())?;
        for pack in std::mem::take(&mut self.packs) {
            let mut row = pack.name.as_bytes().to_vec();
            row.extend_from_slice(&pack.salt);
            row.extend_from_slice(&pack.epoch.to_le_bytes());
            row.extend_from_slice(&pack.size.to_le_bytes());
            self.row(&row, PACKS)?;
        }
        self.flush()?;
        self.tail.covers = narrow(covers.len())?;
        for run in covers {
            self.row(run.as_bytes(), COVERS)?;
        }
        self.flush()?;
        if self.written != self.tail.pages() {
            return Err(Error::internal("an index run has the wrong number of pages"));
        }
        self.page.extend_from_slice(&self.tail.encode());
        self.in_page = 1;
        self.written = TAIL;
        self.flush()
    }

    fn row(&mut self, row: &[u8], rows: usize) -> Result<()> {
        self.page.extend_from_slice(row);
        self.in_page += 1;
        if self.in_page == rows { self.flush() } else { Ok(()) }
    }

    /// Writes the page that was begun, if there is one.
    fn flush(&mut self) -> Result<()> {
        if self.in_page == 0 {
            return Ok(());
        }
        self.page.resize(BODY, 0);
        let tag = self.key.seal(self.written, &[], &mut self.page)?;
        self.page.extend_from_slice(&tag);
        (self.sink)(&self.page)?;
        self.written += 1;
        self.page.clear();
        self.in_page = 0;
        Ok(())
    }
}
