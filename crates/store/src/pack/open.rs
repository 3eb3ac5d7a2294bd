//! Opening a frame: decrypted, decoded, and checked against the id that was asked for.

use super::{FRAME_HEAD, FrameHead, Location};
use crate::codec::{Decoder, Encoding};
use crate::error::{Error, Result};
use crate::id::{Hasher, Id, Kind};
use crate::keys::{KeyRing, ObjectKey, TAG};
use crate::margins;

/// What frames of one pack are opened with.
#[derive(Clone, Copy)]
pub(crate) struct Keys<'a> {
    pub(crate) ring: &'a KeyRing,
    pub(crate) hasher: &'a Hasher,
    pub(crate) key: &'a ObjectKey,
}

/// The buffers of one thread that opens frames; they are used again and again. Frames are left
/// as they are: what was fetched may belong to somebody else, and a frame that does not open can
/// be searched for what is whole in it.
pub(crate) struct Opener {
    decoder: Decoder,
    plain: Vec<u8>,
}

impl Opener {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { decoder: Decoder::new()?, plain: Vec::new() })
    }

    /// Opens the frame of `id` at `location`, whose bytes are `frame`, and hands back what it
    /// holds. Nothing is handed back that does not hash to `id`.
    pub(crate) fn open(
        &mut self,
        keys: Keys<'_>,
        location: &Location,
        (kind, id): (Kind, Id),
        frame: &[u8],
    ) -> Result<&[u8]> {
        let sealed = Sealed::new(location, (kind, id), frame)?;
        self.plain.resize(sealed.text.len(), 0);
        sealed.decrypt(keys, &mut self.plain)?;
        let raw = self
            .decoder
            .decode(sealed.head.encoding, &self.plain, sealed.head.raw as usize)
            .map_err(|e| wrong(location, "cannot be decoded").because(e))?;
        if keys.hasher.id(kind, raw) != id {
            return Err(wrong(location, "does not hash to its id"));
        }
        Ok(raw)
    }

    /// The same, into memory of exactly the right size. After an error `out` may hold anything.
    pub(crate) fn open_into(
        &mut self,
        keys: Keys<'_>,
        location: &Location,
        (kind, id): (Kind, Id),
        frame: &[u8],
        out: &mut [u8],
    ) -> Result<()> {
        let sealed = Sealed::new(location, (kind, id), frame)?;
        if sealed.head.raw as usize != out.len() {
            return Err(wrong(location, "has the wrong length"));
        }
        let undecoded = |e| wrong(location, "cannot be decoded").because(e);
        match sealed.head.encoding {
            Encoding::Raw if sealed.text.len() == out.len() => sealed.decrypt(keys, out)?,
            encoding => {
                self.plain.resize(sealed.text.len(), 0);
                sealed.decrypt(keys, &mut self.plain)?;
                self.decoder.decode_into(encoding, &self.plain, out).map_err(undecoded)?;
            }
        }
        if keys.hasher.id(kind, out) != id {
            return Err(wrong(location, "does not hash to its id"));
        }
        Ok(())
    }
}

/// A frame whose head says what it should.
struct Sealed<'a> {
    location: &'a Location,
    head: FrameHead,
    head_bytes: &'a [u8],
    text: &'a [u8],
    tag: &'a [u8; TAG],
}

impl<'a> Sealed<'a> {
    fn new(location: &'a Location, (kind, id): (Kind, Id), frame: &'a [u8]) -> Result<Self> {
        let wrong = |why: &str| wrong(location, why);
        let (head_bytes, text) =
            frame.split_at_checked(FRAME_HEAD).ok_or_else(|| wrong("is truncated"))?;
        let head = FrameHead::decode(head_bytes).map_err(|e| wrong("has no head").because(e))?;
        if head.id != id || head.kind != kind {
            return Err(wrong("holds something else"));
        }
        let length = head.stored as usize == text.len() && head.raw <= margins::RAW;
        let parts = text.split_last_chunk().filter(|_| length);
        let (text, tag) = parts.ok_or_else(|| wrong("has the wrong length"))?;
        Ok(Self { location, head, head_bytes, text, tag })
    }

    /// Decrypts into memory of exactly the right size.
    fn decrypt(&self, keys: Keys<'_>, out: &mut [u8]) -> Result<()> {
        let aad = self.location.pack.aad(keys.ring.store, self.head_bytes);
        let number = u64::from(self.head.number);
        match keys.key.open_apart(number, &aad, (self.text, self.tag), out) {
            true => Ok(()),
            false => Err(wrong(self.location, "is not authentic")),
        }
    }
}

fn wrong(location: &Location, why: &str) -> Error {
    let (pack, offset) = (location.pack.name.simple(), location.offset);
    Error::corrupt(format!("the frame at {offset} in pack {pack} {why}"))
}
