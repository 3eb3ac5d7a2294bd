//! Making a pack in memory.

use bytes::Bytes;
use uuid::Uuid;

use super::{FRAME_HEAD, FrameHead, Location, PURPOSE, Pack, encode_pack_head};
use crate::codec::{Encoder, Encoding};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::field::narrow;
use crate::id::{Id, Kind};
use crate::keys::{KeyRing, ObjectKey, TAG};
use crate::memory::Lent;

/// A pack that is being filled.
pub(crate) struct Writer {
    kind: Kind,
    store: Uuid,
    pack: Pack,
    key: ObjectKey,
    bytes: Lent,
    frames: Vec<(Id, u32, u32)>,
}

/// A pack that is full: its object and where each frame is in it.
pub(crate) struct Closed {
    pub(crate) pack: Pack,
    pub(crate) kind: Kind,
    pub(crate) bytes: Bytes,
    pub(crate) frames: Vec<(Id, Location)>,
}

impl Writer {
    /// Begins a pack under a new name and a new salt, in memory that may have been used before.
    pub(crate) fn new(ring: &KeyRing, env: &Env, kind: Kind, mut bytes: Lent) -> Result<Self> {
        let (name, salt, epoch) = (env.uuid(), env.bytes(), ring.epoch());
        bytes.clear();
        bytes.extend(&encode_pack_head(ring.store, kind, epoch, &salt))?;
        let pack = Pack { name, salt, epoch, size: 0 };
        let key = ring.object(PURPOSE, epoch, &salt)?;
        Ok(Self { kind, store: ring.store, pack, key, bytes, frames: Vec::new() })
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether no frame is in the pack.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Encodes, encrypts and appends a frame, all of it in place; returns the bytes that it
    /// takes. After an error the pack is of no use any more.
    pub(crate) fn encode(&mut self, id: Id, raw: &[u8], encoder: &mut Encoder) -> Result<u32> {
        let offset = self.bytes.len();
        self.bytes.extend(&[0; FRAME_HEAD])?;
        let encoding = encoder.append(raw, &mut self.bytes)?;
        self.finish(offset, id, raw.len(), encoding)
    }

    fn finish(&mut self, offset: usize, id: Id, raw: usize, encoding: Encoding) -> Result<u32> {
        let number = narrow(self.frames.len())?;
        let frame = self.bytes.get_mut(offset..).unwrap_or_default();
        let (head, text) = frame
            .split_first_chunk_mut::<FRAME_HEAD>()
            .ok_or_else(|| Error::internal("frame bounds"))?;
        let stored = narrow(text.len() + TAG)?;
        let fields = FrameHead { kind: self.kind, encoding, number, stored, raw: narrow(raw)?, id };
        *head = fields.encode();
        let aad = self.pack.aad(self.store, head);
        let tag = self.key.seal(u64::from(number), &aad, text)?;
        self.bytes.extend(&tag)?;
        let len = narrow(self.bytes.len() - offset)?;
        self.frames.push((id, narrow(offset)?, len));
        Ok(len)
    }

    /// Ends the pack.
    pub(crate) fn close(mut self) -> Result<Closed> {
        self.pack.size = narrow(self.bytes.len())?;
        let pack = self.pack;
        let located = |(id, offset, len)| (id, Location { pack, offset, len });
        let frames = self.frames.into_iter().map(located).collect();
        Ok(Closed { pack, kind: self.kind, bytes: Bytes::from_owner(self.bytes), frames })
    }
}
