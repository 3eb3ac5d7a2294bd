//! Entries of the parsers for the fuzz targets. Not part of the interface.
//!
//! Whatever is read from a store is authenticated before it is parsed. The entries do the same
//! with keys of their own, so that the fuzzer reaches what lies behind. None of them may panic,
//! and what is accepted must be the same when it is written and read again.

use std::path::Path;
use std::sync::LazyLock;

use uuid::Uuid;

use crate::codec::{Decoder, Encoding};
use crate::config;
use crate::field::narrow;
use crate::fixture::{env, ring};
use crate::id::{Hasher, Id, Kind};
use crate::keys::{self, KeyRing, TAG};
use crate::map::Node;
use crate::pack::{FRAME_HEAD, FrameHead, Keys, Location, Opener, Pack};
use crate::pin::{PinRecord, WriterRecord};
use crate::point::{PointKey, PointRecord};
use crate::seal::{self, Record};

static RING: LazyLock<KeyRing> = LazyLock::new(ring);

/// `bytes` with the checksum of all before its last four bytes in those.
pub(crate) fn with_sum(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    if let Some((body, sum)) = out.split_last_chunk_mut::<4>() {
        *sum = crc32fast::hash(body).to_le_bytes();
    }
    out
}

/// The configuration object.
pub fn config(bytes: &[u8]) {
    if let Ok(decoded) = config::decode(bytes) {
        assert!(config::encode(decoded.store, &decoded.config).is_ok());
    }
}

/// The slot object, the bundle in it, and a recovery key.
pub fn slots(bytes: &[u8]) {
    keys::fuzz::slots(bytes);
    keys::fuzz::bundle(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        keys::fuzz::recovery(text);
    }
}

/// A record as it lies in the store, and one whose encryption is right.
pub fn record(bytes: &[u8]) {
    let name = "points/00000000000000000000000000000001";
    let _ = seal::open(&RING, Record::Point, name, bytes);
    let sealed = seal::seal(&RING, &env(), Record::Point, name, bytes);
    let opened = sealed.and_then(|sealed| seal::open(&RING, Record::Point, name, &sealed));
    assert!(opened.is_ok_and(|opened| opened == bytes));
    let hasher = Hasher::new(&RING.domain.id_key);
    if let Ok(record) = PointRecord::decode(bytes, &PointKey::new([1; 16]), &hasher) {
        let again = record.encode();
        assert!(again.is_ok_and(|again| {
            PointRecord::decode(&again, &record.key, &hasher).is_ok_and(|again| again == record)
        }));
    }
}

/// The texts of records.
pub fn json(bytes: &[u8]) {
    let hasher = Hasher::new(&RING.domain.id_key);
    if let Ok(record) = serde_json::from_slice::<PointRecord>(bytes) {
        let _ = record.check(&hasher);
    }
    let _ = serde_json::from_slice::<WriterRecord>(bytes);
    if let Ok(pin) = serde_json::from_slice::<PinRecord>(bytes) {
        let _ = pin.point.check(&hasher);
    }
}

/// A frame: as it lies in a pack, and one whose encryption is right.
pub fn frame(bytes: &[u8]) {
    let head = bytes.get(..FRAME_HEAD).unwrap_or(bytes);
    let _ = FrameHead::decode(head);
    let Ok(mut found) = FrameHead::decode(&with_sum(head)) else { return };
    let text = bytes.get(FRAME_HEAD..).unwrap_or_default();
    let pack = Pack { name: Uuid::nil(), salt: [5; 32], epoch: 1, size: 0 };
    let (Ok(key), Ok(mut opener)) = (pack.key(&RING), Opener::new()) else { return };
    // Half of them say the truth about their length.
    if found.number % 2 == 0 {
        found.stored = narrow(text.len() + TAG).unwrap_or_default();
    }
    let mut frame = found.encode().to_vec();
    let aad = pack.aad(RING.store, &frame);
    let mut sealed = text.to_vec();
    let Ok(tag) = key.seal(u64::from(found.number), &aad, &mut sealed) else { return };
    frame.extend_from_slice(&sealed);
    frame.extend_from_slice(&tag);
    let at = Location { pack, offset: 68, len: 0 };
    let hasher = Hasher::new(&RING.domain.id_key);
    let what = (found.kind, found.id);
    let keys = Keys { ring: &RING, hasher: &hasher, key: &key };
    if let Ok(raw) = opener.open(keys, &at, what, &frame) {
        assert!(hasher.id(found.kind, raw) == found.id);
    }
}

/// The decoder of chunks: never more bytes than were asked for.
pub fn codec(bytes: &[u8]) {
    let Some((len, stored)) = bytes.split_first_chunk::<4>() else { return };
    let len = u32::from_le_bytes(*len) as usize % (1 << 20);
    let Ok(mut decoder) = Decoder::new() else { return };
    for encoding in [Encoding::Raw, Encoding::Zstd] {
        let decoded = decoder.decode(encoding, stored, len).map(<[u8]>::to_vec);
        let mut exact = vec![0; len];
        let into = decoder.decode_into(encoding, stored, &mut exact);
        assert_eq!(decoded.is_ok(), into.is_ok());
        assert!(decoded.is_ok_and(|raw| raw == exact) || into.is_err());
    }
}

/// A node of a map: what is accepted is written the same.
pub fn node(bytes: &[u8]) {
    let Ok(node) = Node::decode(bytes) else { return };
    let encoded = node.encode();
    assert_eq!(encoded, bytes);
    for len in [0, 1 << 20, u32::MAX] {
        let _ = node.items(len);
    }
    for level in 0..3 {
        let _ = node.children(level);
    }
    assert!(Hasher::new(&[0; 32]).id(Kind::Node, &encoded) != Id([0; 32]));
}

/// An index run, in a folder for scratch files.
pub fn run(scratch: &Path, bytes: &[u8]) {
    let _ = crate::index::fuzz::run(&RING, scratch, bytes);
}
