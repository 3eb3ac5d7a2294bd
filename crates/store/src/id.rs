//! Names of contents.
//!
//! An id is a keyed BLAKE3 hash: without the domain's key nobody can tell whether a store holds
//! a given file. Chunks, map nodes and roots are hashed under different keys, so that no chunk
//! can ever be taken for a node.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

/// The name of a chunk or a map node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id(pub(crate) [u8; 32]);

impl Id {
    /// The first eight bytes as a number; ids are uniform, so this is a fine sort prefix.
    pub(crate) fn prefix(&self) -> u64 {
        let mut head = [0; 8];
        for (to, from) in head.iter_mut().zip(self.0) {
            *to = from;
        }
        u64::from_be_bytes(head)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

/// The name of the whole content of a point: equal roots, equal bytes (within one domain).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Root(pub [u8; 32]);

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl FromStr for Root {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        unhex(text).map(Self)
    }
}

/// Text instead of bytes in JSON.
macro_rules! serde_as_hex {
    ($type:ident) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(from)?;
                unhex(&text).map($type).map_err(serde::de::Error::custom)
            }
        }
    };
}

serde_as_hex!(Id);
serde_as_hex!(Root);

/// The kind of what a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Bytes of a disk.
    Chunk,
    /// A node of a map.
    Node,
}

impl Kind {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Chunk => 1,
            Self::Node => 2,
        }
    }

    pub(crate) fn from_code(code: u8) -> Result<Self> {
        match code {
            1 => Ok(Self::Chunk),
            2 => Ok(Self::Node),
            other => Err(Error::new(ErrorKind::Unsupported, format!("unknown kind {other}"))),
        }
    }
}

/// Makes ids.
pub(crate) struct Hasher {
    chunk: [u8; 32],
    node: [u8; 32],
    root: [u8; 32],
}

impl Hasher {
    /// Derives one key for each kind of content from the domain's id key.
    pub(crate) fn new(id_key: &[u8; 32]) -> Self {
        let derive = |purpose: &[u8]| *blake3::keyed_hash(id_key, purpose).as_bytes();
        Self {
            chunk: derive(b"tresor 0 chunk"),
            node: derive(b"tresor 0 node"),
            root: derive(b"tresor 0 root"),
        }
    }

    /// The id of `bytes`.
    pub(crate) fn id(&self, kind: Kind, bytes: &[u8]) -> Id {
        let key = match kind {
            Kind::Chunk => &self.chunk,
            Kind::Node => &self.node,
        };
        Id(*blake3::keyed_hash(key, bytes).as_bytes())
    }

    /// The root of a map: its size, window, height and topmost node (`None`: all zero).
    pub(crate) fn root(&self, size: u64, window: u32, height: u8, top: Option<Id>) -> Root {
        let mut hasher = blake3::Hasher::new_keyed(&self.root);
        hasher.update(&size.to_le_bytes());
        hasher.update(&window.to_le_bytes());
        hasher.update(&[height, u8::from(top.is_some())]);
        hasher.update(&top.map_or([0; 32], |id| id.0));
        Root(*hasher.finalize().as_bytes())
    }
}

impl Drop for Hasher {
    fn drop(&mut self) {
        use zeroize::Zeroize;
        self.chunk.zeroize();
        self.node.zeroize();
        self.root.zeroize();
    }
}

/// Writes `bytes` as lower-case hex.
pub(crate) fn hex(bytes: &[u8], f: &mut impl fmt::Write) -> fmt::Result {
    bytes.iter().try_for_each(|b| write!(f, "{b:02x}"))
}

/// Reads exactly `N` bytes of lower-case hex.
pub(crate) fn unhex<const N: usize>(text: &str) -> Result<[u8; N]> {
    let bad = || Error::new(ErrorKind::Invalid, format!("not {} lower-case hex digits", 2 * N));
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return Err(bad());
    }
    let digit = |c: u8| match c {
        b'0'..=b'9' => Ok(c - b'0'),
        b'a'..=b'f' => Ok(c - b'a' + 10),
        _ => Err(bad()),
    };
    let mut out = [0; N];
    for (to, [high, low]) in out.iter_mut().zip(pairs) {
        *to = digit(*high)? << 4 | digit(*low)?;
    }
    Ok(out)
}
