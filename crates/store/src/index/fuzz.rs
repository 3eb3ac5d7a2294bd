//! Runs whose pages hold anything, for fuzzing: a page is only read once it is authentic, so
//! they are encrypted as an honest writer would.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::page::{BODY, HEAD, PURPOSE, TAIL, encode_head};
use super::run::Run;
use crate::cache::Cache;
use crate::error::Result;
use crate::id::Id;
use crate::keys::KeyRing;
use crate::margins;

/// Reads a run of these pages, the last of which is the tail, in every way there is.
pub(crate) fn run(ring: &KeyRing, scratch: &Path, bytes: &[u8]) -> Result<()> {
    let (salt, epoch) = ([7; 32], ring.epoch());
    let key = ring.object(PURPOSE, epoch, &salt)?;
    let mut out = encode_head(ring.store, epoch, &salt);
    debug_assert_eq!(out.len(), HEAD);
    let mut bodies: Vec<&[u8]> = bytes.chunks(BODY).take(12).collect();
    // The tail comes first in what the fuzzer makes, where it is easy to hit.
    let last = bodies.len().saturating_sub(1);
    bodies.rotate_left(last.min(1));
    for (number, body) in bodies.into_iter().enumerate() {
        let mut page = body.to_vec();
        page.resize(BODY, 0);
        let nonce = if number == last { TAIL } else { number as u64 };
        let tag = key.seal(nonce, &[], &mut page)?;
        out.extend_from_slice(&page);
        out.extend_from_slice(&tag);
    }
    let path = scratch.join(format!("{}.merged", ring.store.simple()));
    let fail = |e| crate::error::Error::io("the scratch file cannot be written", e);
    fs::write(&path, out).map_err(fail)?;
    let run = Arc::new(Run::open(ring, &path)?);
    let pages = Cache::new(margins::INDEX_PAGES);
    run.check()?;
    let some = bytes.chunks_exact(32).take(8).filter_map(|id| id.try_into().ok());
    for id in some.chain([[0; 32], [255; 32]]) {
        run.find(&Id(id), &pages, &mut |_| true)?;
    }
    let mut entries = run.iter();
    while entries.next()?.is_some() {}
    Ok(())
}
