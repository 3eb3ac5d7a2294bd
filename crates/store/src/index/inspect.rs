//! Looking at the index as a whole: for verification and repair.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use uuid::Uuid;

use super::page::{HEAD, PAGE, PURPOSE, TAIL, Tail, decode_head};
use super::run::SUPPOSED;
use super::{FOLDER, Index, Run, parse};
use crate::error::{Error, Result};
use crate::field::part_mut;
use crate::id::{Id, Root};
use crate::margins;
use crate::pack::{Location, Pack};

/// A pack that the index names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named {
    pub(crate) pack: Pack,
    /// Runs say different things about it: its size changed and it was scanned anew since.
    pub(crate) disputed: bool,
}

impl Named {
    /// Whether an object of so many bytes is what the index says.
    pub(crate) fn fits(&self, size: u64) -> bool {
        !self.disputed && u64::from(self.pack.size) == size
    }
}

impl Index {
    /// The names of the objects of all runs in the store.
    pub(crate) fn runs(&self) -> Result<Vec<String>> {
        let mut names = self.objects.list(FOLDER)?;
        names.retain(|name| parse(name).is_some());
        Ok(names.into_iter().map(|name| format!("{FOLDER}/{name}")).collect())
    }

    /// Reads a run in the store, page by page, and authenticates all of it.
    pub(crate) fn inspect(&self, object: &str) -> Result<()> {
        let size = self.objects.size(object)?;
        let damaged = |why: &str| Error::corrupt(format!("index run {object} {why}"));
        // Nothing at all cannot even be asked for.
        let bytes = size.checked_sub(HEAD as u64).ok_or_else(|| damaged("has no head"))?;
        let head = self.objects.get_range(object, 0..HEAD as u64)?;
        let (epoch, salt) = decode_head(self.ring.store, &head)?;
        let key = self.ring.object(PURPOSE, epoch, &salt)?;
        if bytes == 0 || !bytes.is_multiple_of(PAGE as u64) {
            return Err(damaged("has the wrong size"));
        }
        let pages = bytes / PAGE as u64;
        let mut next = 0;
        while next < pages {
            let count = (margins::INSPECT_PAGES).min(pages - next);
            let start = HEAD as u64 + next * PAGE as u64;
            let bytes = self.objects.get_range(object, start..start + count * PAGE as u64)?;
            let mut bytes = bytes.to_vec();
            for place in 0..count {
                let from = place as usize * PAGE;
                let page = part_mut(&mut bytes, from..from + PAGE)?;
                let last = next + place + 1 == pages;
                let nonce = if last { TAIL } else { next + place };
                let body = key.open(nonce, &[], page).ok_or_else(|| damaged("is not authentic"))?;
                if last && Tail::decode(body)?.pages() + 1 != pages {
                    return Err(damaged("has the wrong number of pages"));
                }
            }
            next += count;
        }
        Ok(())
    }

    /// About how many packs the index names; one that several segments name counts as often.
    pub(crate) fn pack_count(&self) -> u64 {
        self.segments().iter().map(|run| run.pack_count()).sum()
    }

    /// The packs that the index names and `wanted` takes, by name.
    pub(crate) fn packs(&self, wanted: &dyn Fn(&Uuid) -> bool) -> Result<BTreeMap<Uuid, Named>> {
        self.mended(|| {
            let mut out: BTreeMap<Uuid, Named> = BTreeMap::new();
            for run in self.whole_segments()? {
                run.each_pack(&mut |pack| {
                    if wanted(&pack.name) {
                        let first = Named { pack, disputed: false };
                        let named = out.entry(pack.name).or_insert(first);
                        named.disputed |= named.pack != pack;
                    }
                })?;
            }
            Ok(out)
        })
    }

    /// Tells `visit` of all entries, segment by segment; of some twice.
    pub(crate) fn for_each(&self, visit: &mut dyn FnMut(Id, Location) -> Result<()>) -> Result<()> {
        self.mended(|| {
            for run in self.whole_segments()? {
                let mut entries = run.iter();
                while let Some((id, at)) = entries.next()? {
                    visit(id, at)?;
                }
            }
            Ok(())
        })
    }

    /// Makes entries known to this handle alone, until it is closed. A handle that supposes
    /// something writes no points: their chunks would be named nowhere.
    pub(crate) fn suppose(&self, entries: &[(Id, Location)]) -> Result<()> {
        let (_, bytes) = self.encode(entries)?;
        let _growing = self.grow();
        let run = self.folder.add(&self.ring, self.env.uuid(), SUPPOSED, &bytes)?;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.segments.push(Arc::new(run));
        Ok(())
    }

    /// How often this handle learnt of damage.
    pub(crate) fn lessons(&self) -> u64 {
        self.state.read().unwrap_or_else(PoisonError::into_inner).lessons
    }

    /// Remembers that a point reaches nothing damaged, unless there was news since `lessons`.
    pub(crate) fn know_whole(&self, root: Root, lessons: u64) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.lessons == lessons {
            if state.whole.len() >= margins::WHOLE_POINTS {
                state.whole.clear();
            }
            state.whole.insert(root);
        }
    }

    /// Whether a point is known to reach nothing damaged: then nobody needs to walk its map.
    pub(crate) fn is_whole(&self, root: &Root) -> bool {
        self.state.read().unwrap_or_else(PoisonError::into_inner).whole.contains(root)
    }

    /// Whether this handle knows of entries that are not in the store.
    pub(crate) fn supposes(&self) -> bool {
        self.segments().iter().any(|run| run.names().is_empty())
    }

    /// All segments. They stay readable, and nobody waits for whoever reads them.
    fn whole_segments(&self) -> Result<Vec<Arc<Run>>> {
        Ok(self.whole()?.segments.clone())
    }
}
