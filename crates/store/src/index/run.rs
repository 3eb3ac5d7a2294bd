//! Reading a run from a local file, page by page.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

use super::page::{
    BODY, COVERS, ENTRIES, ENTRY, FENCES, HEAD, PACK, PACKS, PAGE, PURPOSE, Pages, TAIL, Tail,
    decode_head, filter_bits, filter_page,
};
use crate::error::{Error, Result};
use crate::field::Fields;
use crate::id::Id;
use crate::keys::{KeyRing, ObjectKey};
use crate::pack::{Location, Pack};

/// Numbers segments, so that pages of one are never taken for another's.
static SERIAL: AtomicU64 = AtomicU64::new(0);

/// The suffix of a segment that was made out of several runs.
pub(super) const MERGED: &str = "merged";

/// The suffix of a segment whose entries are in no run of the store.
pub(super) const SUPPOSED: &str = "supposed";

/// The name of a run in the name of its local copy.
fn own(stem: &std::ffi::OsStr) -> Option<Uuid> {
    stem.to_str().and_then(|stem| Uuid::try_parse(stem).ok())
}

/// Pages read from files so far, by all runs of the process.
#[cfg(test)]
pub(super) static READS: AtomicU64 = AtomicU64::new(0);

/// An opened run.
pub(super) struct Run {
    path: PathBuf,
    file: File,
    key: ObjectKey,
    serial: u64,
    tail: Tail,
    /// The first fence of each page of fences.
    upper: Vec<u64>,
    /// The runs of the store whose entries are here.
    names: Vec<Uuid>,
}

impl Run {
    pub(super) fn open(ring: &KeyRing, path: &Path) -> Result<Self> {
        let fail = |e| Error::io(format!("segment {} cannot be read", path.display()), e);
        let file = File::open(path).map_err(fail)?;
        let size = file.metadata().map_err(fail)?.len();
        let mut head = [0; HEAD];
        file.read_exact_at(&mut head, 0).map_err(|e| match e.kind() {
            ErrorKind::UnexpectedEof => Error::corrupt("an index run has no head").because(e),
            _ => fail(e),
        })?;
        let (epoch, salt) = decode_head(ring.store, &head)?;
        let key = ring.object(PURPOSE, epoch, &salt)?;
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let path = path.to_path_buf();
        let (tail, upper, names) = (Tail::default(), Vec::new(), Vec::new());
        let mut run = Self { path, file, key, serial, tail, upper, names };
        let pages = size.saturating_sub(HEAD as u64) / PAGE as u64;
        let last = pages.checked_sub(1).ok_or_else(|| run.damaged("is empty"))?;
        run.tail = Tail::decode(&run.read(last, TAIL)?)?;
        if run.tail.pages() != last || size != HEAD as u64 + pages * PAGE as u64 {
            return Err(run.damaged("has the wrong size"));
        }
        for page in 0..run.tail.fence_pages() {
            let number = run.tail.first_fence() + page;
            let body = run.read(number, number)?;
            run.upper.push(u64_at(&body, 0)?);
        }
        run.names = match run.path.extension() {
            // Made here out of several runs: it says which.
            Some(suffix) if suffix == MERGED => run.covers()?,
            // In no run of the store at all.
            Some(suffix) if suffix == SUPPOSED => Vec::new(),
            // A copy of one run, which has its name. What that run replaced is of no interest.
            _ => run.path.file_stem().and_then(own).into_iter().collect(),
        };
        Ok(run)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn entries(&self) -> u64 {
        self.tail.entries
    }

    /// Bytes that the run keeps in memory while it is open, besides pages in the cache.
    #[cfg(test)]
    pub(super) fn resident(&self) -> usize {
        size_of::<Self>()
            + self.upper.capacity() * size_of::<u64>()
            + self.names.capacity() * size_of::<Uuid>()
            + self.path.capacity()
    }

    /// Reads and authenticates every page.
    pub(super) fn check(&self) -> Result<()> {
        (0..self.tail.pages()).try_for_each(|number| self.read(number, number).map(|_| ()))
    }

    /// The runs of the store whose entries are here.
    pub(super) fn names(&self) -> &[Uuid] {
        &self.names
    }

    /// The runs that this one says it covers.
    fn covers(&self) -> Result<Vec<Uuid>> {
        let mut out = Vec::new();
        for number in self.tail.first_cover()..self.tail.pages() {
            let body = self.read(number, number)?;
            let left = (self.tail.covers as usize).saturating_sub(out.len()).min(COVERS);
            let (rows, _) = body.as_chunks::<16>();
            out.extend(rows.iter().take(left).map(|row| Uuid::from_bytes(*row)));
        }
        Ok(out)
    }

    /// The first place of `id` in this run that `accept` takes. An id can be in several places:
    /// one that was damaged and stored anew, for example.
    pub(super) fn find(
        &self,
        id: &Id,
        pages: &Pages,
        accept: &mut dyn FnMut(&Location) -> bool,
    ) -> Result<Option<Location>> {
        if self.tail.entries == 0 || !self.perhaps(id, pages)? {
            return Ok(None);
        }
        let Some(mut page) = self.last_page(id.prefix(), pages)? else {
            return Ok(None);
        };
        loop {
            let body = self.page(page, pages)?;
            let rows = self.rows(page, &body);
            let first = rows.partition_point(|row| row.first_chunk::<32>() < Some(&id.0));
            let equal = |row: &&[u8; ENTRY]| row.first_chunk::<32>() == Some(&id.0);
            for row in rows.get(first..).unwrap_or_default().iter().take_while(equal) {
                let at = self.location(row, pages)?;
                if accept(&at) {
                    return Ok(Some(at));
                }
            }
            // Equal ids, and ids with equal prefixes, may begin on the page before.
            let first = rows.first().and_then(|row| row.first_chunk::<32>());
            let before = first.is_some_and(|first| Id(*first).prefix() == id.prefix());
            match page.checked_sub(1).filter(|_| before) {
                Some(previous) => page = previous,
                None => return Ok(None),
            }
        }
    }

    /// The packs that are named here.
    pub(super) fn packs(&self) -> Result<Vec<Pack>> {
        let mut out = Vec::new();
        for page in self.tail.first_pack()..self.tail.first_cover() {
            let body = self.read(page, page)?;
            for place in 0..PACKS.min((self.tail.packs as usize).saturating_sub(out.len())) {
                out.push(pack_at(&body, place)?);
            }
        }
        Ok(out)
    }

    /// All entries in order, for merging.
    pub(super) fn iter(self: &Arc<Self>) -> Entries {
        Entries { run: Arc::clone(self), next: 0, body: Vec::new(), packs: Vec::new() }
    }

    /// How many packs the run names.
    pub(super) fn pack_count(&self) -> u64 {
        u64::from(self.tail.packs)
    }

    /// Tells `visit` of all packs that the run names.
    pub(super) fn each_pack(&self, visit: &mut dyn FnMut(Pack)) -> Result<()> {
        let mut left = self.tail.packs as usize;
        for page in self.tail.first_pack()..self.tail.first_cover() {
            let body = self.read(page, page)?;
            for place in 0..left.min(PACKS) {
                visit(pack_at(&body, place)?);
            }
            left = left.saturating_sub(PACKS);
        }
        Ok(())
    }

    fn perhaps(&self, id: &Id, pages: &Pages) -> Result<bool> {
        let page = self.tail.entry_pages() + u64::from(filter_page(id, self.tail.filters));
        let body = self.page(page, pages)?;
        Ok(filter_bits(id).all(|(byte, bit)| body.get(byte).is_some_and(|b| b & bit != 0)))
    }

    /// The last page of entries whose first prefix is not above `prefix`.
    fn last_page(&self, prefix: u64, pages: &Pages) -> Result<Option<u64>> {
        let above = self.upper.partition_point(|fence| *fence <= prefix);
        let Some(page) = above.checked_sub(1) else {
            return Ok(None);
        };
        let body = self.page(self.tail.first_fence() + page as u64, pages)?;
        let first = page * FENCES;
        let count = (self.tail.entry_pages() as usize).saturating_sub(first).min(FENCES);
        let (fences, _) = body.as_chunks::<8>();
        let fences = fences.get(..count).unwrap_or_default();
        let above = fences.partition_point(|fence| u64::from_le_bytes(*fence) <= prefix);
        Ok(above.checked_sub(1).map(|within| (first + within) as u64))
    }

    fn rows<'b>(&self, page: u64, body: &'b [u8]) -> &'b [[u8; ENTRY]] {
        let left = self.tail.entries.saturating_sub(page * ENTRIES as u64);
        let count = usize::try_from(left).unwrap_or(ENTRIES).min(ENTRIES);
        let (rows, _) = body.as_chunks::<ENTRY>();
        rows.get(..count).unwrap_or_default()
    }

    fn location(&self, row: &[u8; ENTRY], pages: &Pages) -> Result<Location> {
        let (number, offset, len) = fields(row)?;
        let page = self.tail.first_pack() + u64::from(number) / PACKS as u64;
        let body = self.page(page, pages)?;
        let pack = pack_at(&body, number as usize % PACKS)?;
        Ok(Location { pack, offset, len })
    }

    fn page(&self, number: u64, pages: &Pages) -> Result<Arc<Vec<u8>>> {
        let short = u32::try_from(number).map_err(|_| self.damaged("has too many pages"))?;
        if let Some(body) = pages.get(&(self.serial, short)) {
            return Ok(body);
        }
        let body = Arc::new(self.read(number, number)?);
        pages.put((self.serial, short), Arc::clone(&body), 1);
        Ok(body)
    }

    fn read(&self, number: u64, nonce: u64) -> Result<Vec<u8>> {
        #[cfg(test)]
        READS.fetch_add(1, Ordering::Relaxed);
        let mut page = vec![0; PAGE];
        self.file
            .read_exact_at(&mut page, HEAD as u64 + number * PAGE as u64)
            .map_err(|e| self.damaged("is truncated").because(e))?;
        if self.key.open(nonce, &[], &mut page).is_none() {
            return Err(self.damaged("is not authentic"));
        }
        page.truncate(BODY);
        Ok(page)
    }

    fn damaged(&self, why: &str) -> Error {
        Error::corrupt(format!("index segment {} {why}", self.path.display()))
    }
}

fn u64_at(body: &[u8], at: usize) -> Result<u64> {
    let mut fields = Fields::new("an index page", body.get(at..).unwrap_or_default());
    fields.u64()
}

fn fields(row: &[u8; ENTRY]) -> Result<(u32, u32, u32)> {
    let mut fields = Fields::new("an index entry", row);
    fields.take(32)?;
    Ok((fields.u32()?, fields.u32()?, fields.u32()?))
}

fn pack_at(body: &[u8], place: usize) -> Result<Pack> {
    let row = body.get(place * PACK..(place + 1) * PACK).unwrap_or_default();
    let mut fields = Fields::new("an index page", row);
    let name = Uuid::from_bytes(fields.array()?);
    Ok(Pack { name, salt: fields.array()?, epoch: fields.u32()?, size: fields.u32()? })
}

/// The entries of a run in order.
pub(super) struct Entries {
    run: Arc<Run>,
    next: u64,
    body: Vec<u8>,
    /// All packs of the run, read at the first entry.
    packs: Vec<Pack>,
}

impl Entries {
    pub(super) fn next(&mut self) -> Result<Option<(Id, Location)>> {
        if self.next >= self.run.tail.entries {
            return Ok(None);
        }
        if self.packs.is_empty() {
            self.packs = self.run.packs()?;
        }
        let (page, place) = (self.next / ENTRIES as u64, (self.next % ENTRIES as u64) as usize);
        if place == 0 {
            self.body = self.run.read(page, page)?;
        }
        self.next += 1;
        let (rows, _) = self.body.as_chunks::<ENTRY>();
        let row = rows.get(place).ok_or_else(|| self.run.damaged("lacks an entry"))?;
        let id = Id(*row.first_chunk().ok_or_else(|| self.run.damaged("lacks an id"))?);
        let (number, offset, len) = fields(row)?;
        let pack = self.packs.get(number as usize).copied();
        let pack = pack.ok_or_else(|| self.run.damaged("names an unknown pack"))?;
        Ok(Some((id, Location { pack, offset, len })))
    }
}
