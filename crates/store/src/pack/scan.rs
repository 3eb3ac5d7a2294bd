//! Going through a whole pack, across damage.
//!
//! A frame's head says where the next one begins and carries a checksum of its own, so reading
//! starts again at the next head that is whole: also where bytes are missing in the middle and
//! all that follows has moved. Frames are opened, not only looked at: what is reported as good
//! has been authenticated, decoded and hashed.

use std::ops::Range;

use bytes::Bytes;

use super::{
    FRAME_HEAD, FRAME_MAGIC, FrameHead, Keys, Location, Opener, PACK_HEAD, Pack, decode_pack_head,
};
use crate::error::{Error, Result, chain};
use crate::field::narrow;
use crate::id::Id;
use crate::keys::ObjectKey;
use crate::margins;
use crate::store::Inner;

/// A good frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) id: Id,
    pub(crate) offset: u32,
    pub(crate) len: u32,
}

/// What a pack was found to be.
#[derive(Debug)]
pub(crate) struct Scanned {
    /// The pack by its own head, or as it was known before. Its size is that of the object.
    pub(crate) pack: Option<Pack>,
    /// Bytes that are part of no good frame, merged where they touch.
    pub(crate) damage: Vec<Range<u32>>,
    /// Why, for the first of them.
    pub(crate) why: Option<String>,
}

/// The tools of one thread that scans packs: its buffers are used again and again.
pub(crate) struct Scan<'a> {
    inner: &'a Inner,
    /// Asked before each request with its bytes; an error ends the scan.
    before: &'a (dyn Fn(u64) -> Result<()> + Sync),
    opener: Opener,
    /// The good frames of the last pack.
    pub(crate) frames: Vec<Frame>,
    name: String,
    size: u64,
    base: u64,
    piece: Bytes,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(
        inner: &'a Inner,
        before: &'a (dyn Fn(u64) -> Result<()> + Sync),
    ) -> Result<Self> {
        let (opener, frames, name) = (Opener::new()?, Vec::new(), String::new());
        Ok(Self { inner, before, opener, frames, name, size: 0, base: 0, piece: Bytes::new() })
    }

    /// Reads the pack `pack`, whose object has `size` bytes; with `known`, its salt and epoch are
    /// believed and the pack's own head must say the same.
    pub(crate) fn pack(&mut self, pack: Pack, size: u64, known: bool) -> Result<Scanned> {
        self.frames.clear();
        self.piece = Bytes::new();
        (self.name, self.size, self.base) = (pack.object(), size, 0);
        let mut out = Scanned { pack: None, damage: Vec::new(), why: None };
        let end = narrow(usize::try_from(size).unwrap_or(usize::MAX))?;
        let ring = &self.inner.ring;
        let head = self.need(0, PACK_HEAD as u64)?;
        let head = decode_pack_head(ring.store, head.get(..PACK_HEAD).unwrap_or_default());
        let pack = match head {
            Ok((_, epoch, salt)) if !known || (epoch, salt) == (pack.epoch, pack.salt) => {
                Pack { epoch, salt, size: end, ..pack }
            }
            Ok(_) => return Ok(out.all(end, "the object holds another pack".to_owned())),
            Err(e) if known => {
                out.bad(0..PACK_HEAD as u32, || chain(&e));
                Pack { size: end, ..pack }
            }
            Err(e) => return Ok(out.all(end, chain(&e))),
        };
        out.pack = Some(pack);
        let key = match pack.key(ring) {
            Ok(key) => key,
            Err(e) => return Ok(out.all(end, chain(&e))),
        };
        let mut at = PACK_HEAD as u64;
        while at < size {
            at = self.step(at, &pack, &key, &mut out)?;
        }
        Ok(out)
    }

    /// One frame, or the bytes up to the next one; returns where to go on.
    fn step(&mut self, at: u64, pack: &Pack, key: &ObjectKey, out: &mut Scanned) -> Result<u64> {
        let bytes = self.need(at, FRAME_HEAD as u64)?;
        let head = bytes.get(..FRAME_HEAD).map(FrameHead::decode);
        let Some(Ok(head)) = head else {
            return self.search(at, at + 1, out, || "a frame has no head".to_owned());
        };
        let len = FRAME_HEAD as u64 + u64::from(head.stored);
        if at + len > self.size || u64::from(head.stored) > longest() {
            return self.search(at, at + 1, out, || "a frame is truncated".to_owned());
        }
        let (offset, short) = (narrow(at as usize)?, narrow(len as usize)?);
        self.need(at, len)?;
        let start = (at - self.base) as usize;
        let frame = self.piece.get(start..start + len as usize);
        let frame = frame.ok_or_else(|| Error::internal("a frame lies outside its piece"))?;
        let place = Location { pack: *pack, offset, len: short };
        let what = (head.kind, head.id);
        let keys = Keys { ring: &self.inner.ring, hasher: &self.inner.loader.hasher, key };
        match self.opener.open(keys, &place, what, frame) {
            Ok(_) => {
                self.frames.push(Frame { id: head.id, offset, len: short });
                Ok(at + len)
            }
            Err(e) => {
                // The next frame may begin inside this one.
                self.search(at, at + FRAME_HEAD as u64, out, || chain(&e))
            }
        }
    }

    /// Finds the next whole head at or behind `from`; all from `at` on is damage.
    fn search(
        &mut self,
        at: u64,
        from: u64,
        out: &mut Scanned,
        why: impl FnOnce() -> String,
    ) -> Result<u64> {
        let mut from = from.min(self.size);
        let mut found = self.size;
        while from < self.size {
            let bytes = self.need(from, FRAME_HEAD as u64)?;
            let heads = bytes.windows(FRAME_HEAD).enumerate();
            let mut heads = heads.filter(|(_, head)| head.starts_with(FRAME_MAGIC));
            if let Some((place, _)) = heads.find(|(_, head)| FrameHead::decode(head).is_ok()) {
                found = from + place as u64;
                break;
            }
            // A head may begin near the end of what was looked at.
            from += (bytes.len() as u64).saturating_sub(FRAME_HEAD as u64 - 1).max(1);
        }
        out.bad(narrow(at as usize)?..narrow(found as usize)?, why);
        Ok(found)
    }

    /// The bytes from `at` on: at least `count` of them, as far as the pack has so many.
    fn need(&mut self, at: u64, count: u64) -> Result<&[u8]> {
        let have = self.base + self.piece.len() as u64;
        let want = (at + count).min(self.size);
        if at < self.base || want > have || self.piece.is_empty() {
            let mut end = (at + count.max(margins::SCAN_PIECE)).min(self.size);
            if self.size - end < margins::DIRECT_READ {
                // A short rest would come from the page cache, where it may lie since it was
                // written, and not from the disk.
                end = self.size;
            }
            if end <= at {
                return Ok(&[]);
            }
            (self.before)(end - at)?;
            // Its memory is free for the next piece before that is asked for.
            self.piece = Bytes::new();
            self.piece = self.inner.objects.get_range(&self.name, at..end)?;
            self.base = at;
        }
        Ok(self.piece.get((at - self.base) as usize..).unwrap_or_default())
    }
}

impl Scanned {
    fn bad(&mut self, range: Range<u32>, why: impl FnOnce() -> String) {
        match self.damage.last_mut().filter(|last| last.end == range.start) {
            Some(last) => last.end = range.end,
            None => self.damage.push(range),
        }
        self.why.get_or_insert_with(why);
    }

    fn all(mut self, end: u32, why: String) -> Self {
        self.damage = std::iter::once(0..end).collect();
        self.why = Some(why);
        self
    }
}

/// Stored bytes above which a frame's head is not believed.
fn longest() -> u64 {
    u64::from(margins::RAW) + (1 << 16)
}
