//! Every encoding, byte for byte: a change of the format must be meant.

use std::collections::BTreeMap;

use crate::chunk::{Block, Rule};
use crate::codec::{Encoder, Encoding};
use crate::config::{self, StoreConfig};
use crate::fixture::{STORE, env, ring};
use crate::id::{Hasher, Id, Kind, hex};
use crate::map::{Item, Node, Tree};
use crate::memory::Pool;
use crate::pack::{FrameHead, Pack, Writer, encode_pack_head};
use crate::point::{PointKey, PointRecord};
use crate::seal::{self, Record};

fn text(bytes: &[u8]) -> String {
    let mut out = String::new();
    hex(bytes, &mut out).unwrap();
    out
}

/// Long encodings by their digest.
fn digest(bytes: &[u8]) -> String {
    format!("{}:{}", bytes.len(), &blake3::hash(bytes).to_hex()[..32])
}

#[test]
fn ids_and_roots() {
    let hasher = Hasher::new(&[1; 32]);
    let chunk = hasher.id(Kind::Chunk, b"bytes");
    let expected = concat!("e5b7e9f764aebe07f72ae9d202edcc98", "485bc10d8bef439d3ac27622103d7da2");
    assert_eq!(chunk.to_string(), expected);
    assert_ne!(hasher.id(Kind::Node, b"bytes"), chunk);
    let root = hasher.root(5 << 30, 16 << 20, 2, Some(chunk));
    let expected = concat!("e4585868b36ade671059a17da6116006", "16babef405038da12696dc83287f63cb");
    assert_eq!(root.to_string(), expected);
    assert_ne!(hasher.root(5 << 30, 16 << 20, 2, None), root);
    assert_ne!(hasher.root(5 << 30, 16 << 20, 1, Some(chunk)), root);
}

#[test]
fn map_nodes() {
    let leaf = Node::Leaf(vec![
        Item::Chunk { id: Id([0x11; 32]), len: 65536 },
        Item::Hole { len: 8192 },
        Item::Chunk { id: Id([0x22; 32]), len: 512 },
    ]);
    let ids = [text(&[0x11; 32]), text(&[0x22; 32])];
    let expected = format!("0000000100{}0020008000020000{}", ids[0], ids[1]);
    assert_eq!(text(&leaf.encode()), expected);
    assert_eq!(Node::decode(&leaf.encode()).unwrap(), leaf);
    let mut children = vec![None; 256];
    children[1] = Some(Id([0x11; 32]));
    children[255] = Some(Id([0x22; 32]));
    let inner = Node::Inner { level: 2, children };
    let expected = format!("0202{}80{}{}", "00".repeat(30), ids[0], ids[1]);
    assert_eq!(text(&inner.encode()), expected);
    assert_eq!(Node::decode(&inner.encode()).unwrap(), inner);
    assert!(Node::decode(&inner.encode()[..90]).is_err());
    assert!(leaf.items(65536 + 8192 + 512).is_ok() && leaf.items(65536).is_err());
}

#[test]
fn heights() {
    let height = |size: u64| Tree::zero(size, 1 << 20).height;
    let window = 1 << 20;
    assert_eq!([height(0), height(1), height(window)], [0, 0, 0]);
    assert_eq!([height(window + 1), height(256 * window), height(256 * window + 1)], [1, 1, 2]);
    assert_eq!(height(64 << 40), 4);
}

#[test]
fn cuts() {
    let rule = Rule::new(&StoreConfig::default(), &[3; 16]).unwrap();
    let hash = |bytes: &[u8]| format!("{:016x}", rule.hash(bytes).unwrap());
    assert_eq!(hash(&[1; 4096]), "57749e3311871397");
    assert_eq!(hash(&[1; 512]), "12341b06e897f630");
    assert_eq!([Block::of(&[0; 4096]), Block::of(&[0; 512])], [Block::Zero; 2]);
    assert_eq!(Block::of(&[&[0; 4095][..], &[1]].concat()), Block::Data);
}

#[test]
fn packs_and_frames() {
    let head = encode_pack_head(STORE, Kind::Node, 1, &[5; 32]);
    let expected = format!(
        "{}0000020001000000{}{}0bf52ef8",
        text(b"TRSRPACK"),
        text(&[0xAA; 16]),
        text(&[5; 32])
    );
    assert_eq!(text(&head), expected);
    let frame = FrameHead {
        kind: Kind::Chunk,
        encoding: Encoding::Zstd,
        number: 7,
        stored: 1000,
        raw: 65536,
        id: Id([9; 32]),
    };
    let out = frame.encode();
    let expected =
        format!("{}0101000007000000e803000000000100{}03aed007", text(b"TFRM"), text(&[9; 32]));
    assert_eq!(text(&out), expected);
    assert_eq!(FrameHead::decode(&out).unwrap(), frame);
    let memory = Pool::new(0, 0).lend(9).unwrap();
    let mut writer = Writer::new(&ring(), &env(), Kind::Chunk, memory).unwrap();
    let mut encoder = Encoder::new(1, true).unwrap();
    writer.encode(Id([9; 32]), b"bytes", &mut encoder).unwrap();
    writer.encode(Id([8; 32]), b"more", &mut encoder).unwrap();
    let closed = writer.close().unwrap();
    assert_eq!(digest(&closed.bytes), "221:a7da49cd3ecf635e5dd382c7fc52b3a9");
    assert_eq!(closed.frames[1].1.offset as usize, 68 + 56 + 5 + 16);
    let pack = Pack { name: STORE, salt: [0; 32], epoch: 1, size: 9 };
    assert_eq!(pack.object(), "packs/aa/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
}

#[test]
fn configuration() {
    let ring = ring();
    let encoded = config::encode(STORE, &StoreConfig::default()).unwrap();
    assert_eq!(digest(&encoded), "244:705fe3275a6740dff64993b13ff2c43d");
    let expected = concat!("c30e59f61758e2246413a34381a10064", "f4fdf80f56c7f62565534f59b5baf00e");
    assert_eq!(text(&ring.code("purpose", b"bytes").unwrap()), expected);
}

#[test]
fn records() {
    let ring = ring();
    let hasher = Hasher::new(&ring.domain.id_key);
    let map = Tree { size: 512, window: 16 << 20, height: 0, top: Some(Id([4; 32])) };
    let record = PointRecord {
        key: PointKey::new([0xAB; 16]),
        root: map.root(&hasher),
        size: 512,
        time: "2026-11-22T18:20:00.5Z".parse().unwrap(),
        parent: Some(PointKey::new([1; 16])),
        facts: BTreeMap::from([("disk".to_owned(), "d1".to_owned())]),
        nonce: STORE,
        map,
    };
    let body = record.encode().unwrap();
    let expected = concat!(
        r#"{"key":"abababababababababababababababab","root":"e3ee017f22f54558df185fa69800"#,
        r#"7b41c9e66d068bc807221ef6a3c5ff916c55","size":512,"time":"2026-11-22T18:20:00.5"#,
        r#"Z","parent":"01010101010101010101010101010101","facts":{"disk":"d1"},"nonce":""#,
        r#"aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa","map":{"size":512,"window":16777216,"hei"#,
        r#"ght":0,"top":"0404040404040404040404040404040404040404040404040404040404040404"#,
        r#""}}"#,
    );
    assert_eq!(String::from_utf8(body.clone()).unwrap(), expected);
    let name = record.key.object();
    let sealed = seal::seal(&ring, &env(), Record::Point, &name, &body).unwrap();
    assert_eq!(digest(&sealed), "461:adac52057457ae6c9b3bd596e3bb95ca");
    assert_eq!(seal::open(&ring, Record::Point, &name, &sealed).unwrap(), body);
    assert!(seal::open(&ring, Record::Point, "points/other", &sealed).is_err());
    assert!(seal::open(&ring, Record::Pin, &name, &sealed).is_err());
    assert_eq!(PointRecord::decode(&body, &record.key, &hasher).unwrap(), record);
    assert!(PointRecord::decode(&body, &PointKey::new([0; 16]), &hasher).is_err());
}
