//! The footer of a fixed VHD: 512 bytes behind the disk, all numbers big-endian.
//!
//! ```text
//! 0   "conectix"          8     40  original size   8
//! 8   features (2)        4     48  current size    8
//! 12  format version      4     56  geometry        4  cylinders 2, heads 1, sectors 1
//! 16  data offset (none)  8     60  disk type (2)   4
//! 24  seconds since 2000  4     64  checksum        4
//! 28  creator             4     68  unique id      16
//! 32  creator version     4     84  saved state     1, then zeros
//! 36  creator's system    4
//! ```
//!
//! The format is the "Virtual Hard Disk Image Format Specification" 1.0. Readers that derive the
//! size from the geometry would round it; the creator and the geometry written here are those by
//! which they know that the current size counts.

use crate::error::{Error, ErrorKind, Result};

/// Bytes of a footer.
pub const FOOTER: usize = 512;

const COOKIE: [u8; 8] = *b"conectix";
const FEATURES: u32 = 2;
const VERSION: u32 = 0x0001_0000;
const NO_OFFSET: u64 = u64::MAX;
const CREATOR: [u8; 4] = *b"qem2";
const CREATOR_VERSION: u32 = 0x0005_0003;
const CREATOR_SYSTEM: [u8; 4] = *b"Wi2k";
/// The largest geometry: 65535 cylinders, 16 heads, 255 sectors.
const GEOMETRY: [u8; 4] = [0xff, 0xff, 16, 255];
const FIXED: u32 = 2;
const CHECKSUM_AT: usize = 64;

/// What a footer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    /// The size of the disk in bytes, without the footer.
    pub size: u64,
    /// The id of the image.
    pub unique_id: [u8; 16],
    /// When the image was made, in seconds since 2000-01-01 UTC.
    pub timestamp: u32,
}

/// The footer of a fixed VHD of a size.
pub fn footer(size: u64, unique_id: [u8; 16], timestamp: u32) -> [u8; FOOTER] {
    let mut bytes = Vec::with_capacity(FOOTER);
    bytes.extend(COOKIE);
    bytes.extend(FEATURES.to_be_bytes());
    bytes.extend(VERSION.to_be_bytes());
    bytes.extend(NO_OFFSET.to_be_bytes());
    bytes.extend(timestamp.to_be_bytes());
    bytes.extend(CREATOR);
    bytes.extend(CREATOR_VERSION.to_be_bytes());
    bytes.extend(CREATOR_SYSTEM);
    bytes.extend(size.to_be_bytes());
    bytes.extend(size.to_be_bytes());
    bytes.extend(GEOMETRY);
    bytes.extend(FIXED.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(unique_id);
    let mut footer = [0; FOOTER];
    for (place, byte) in footer.iter_mut().zip(bytes) {
        *place = byte;
    }
    let checksum = checksum(&footer).to_be_bytes();
    for (place, byte) in footer.iter_mut().skip(CHECKSUM_AT).zip(checksum) {
        *place = byte;
    }
    footer
}

/// Reads the footer of a fixed VHD.
///
/// # Errors
/// `Corrupt` when it is none, or not that of a fixed disk of whole sectors.
pub fn parse_footer(footer: &[u8; FOOTER]) -> Result<Footer> {
    let corrupt = |why: &str| Error::new(ErrorKind::Corrupt, format!("a VHD footer {why}"));
    if field(footer, 0) != COOKIE {
        return Err(corrupt("does not begin with its cookie"));
    }
    if u32::from_be_bytes(field(footer, CHECKSUM_AT)) != checksum(footer) {
        return Err(corrupt("has a wrong checksum"));
    }
    if u32::from_be_bytes(field(footer, 12)) >> 16 != VERSION >> 16 {
        return Err(corrupt("has an unknown version"));
    }
    if u32::from_be_bytes(field(footer, 60)) != FIXED {
        return Err(corrupt("is not that of a fixed disk"));
    }
    let size = u64::from_be_bytes(field(footer, 48));
    if size == 0 || !size.is_multiple_of(crate::SECTOR) {
        return Err(corrupt("has a size that is no multiple of a sector"));
    }
    let timestamp = u32::from_be_bytes(field(footer, 24));
    Ok(Footer { size, unique_id: field(footer, 68), timestamp })
}

/// The ones' complement of the sum of all bytes but the checksum.
fn checksum(footer: &[u8; FOOTER]) -> u32 {
    let place = CHECKSUM_AT..CHECKSUM_AT + 4;
    let counted = footer.iter().enumerate().filter(|(at, _)| !place.contains(at));
    !counted.map(|(_, &byte)| u32::from(byte)).sum::<u32>()
}

fn field<const N: usize>(footer: &[u8; FOOTER], at: usize) -> [u8; N] {
    footer.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::{FOOTER, Footer, footer, parse_footer};
    use crate::ErrorKind;
    use proptest::prelude::*;

    const ID: [u8; 16] = [
        0x53, 0x12, 0x2a, 0xe1, 0xe8, 0xbf, 0x4f, 0x87, 0x93, 0x54, 0x1f, 0x53, 0x81, 0x41, 0x17,
        0x4b,
    ];

    /// As `qemu-img create -f vpc -o subformat=fixed,force_size=on disk.vhd 1M` wrote it.
    #[rustfmt::skip]
    const GOLDEN: [u8; 84] = [
        0x63, 0x6f, 0x6e, 0x65, 0x63, 0x74, 0x69, 0x78, 0x00, 0x00, 0x00, 0x02,
        0x00, 0x01, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0x32, 0x95, 0xf0, 0x0e, 0x71, 0x65, 0x6d, 0x32, 0x00, 0x05, 0x00, 0x03,
        0x57, 0x69, 0x32, 0x6b, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0xff, 0xff, 0x10, 0xff,
        0x00, 0x00, 0x00, 0x02, 0xff, 0xff, 0xe6, 0x6f, 0x53, 0x12, 0x2a, 0xe1,
        0xe8, 0xbf, 0x4f, 0x87, 0x93, 0x54, 0x1f, 0x53, 0x81, 0x41, 0x17, 0x4b,
    ];

    #[test]
    fn equals_what_qemu_writes() {
        let bytes = footer(1 << 20, ID, 0x3295_f00e);
        assert_eq!(bytes[..84], GOLDEN);
        assert!(bytes[84..].iter().all(|&byte| byte == 0));
    }

    proptest! {
        #[test]
        fn reads_back_what_was_written(
            sectors in 1u64..1 << 37, unique_id in any::<[u8; 16]>(), timestamp in any::<u32>(),
        ) {
            let size = sectors * 512;
            let read = parse_footer(&footer(size, unique_id, timestamp)).unwrap();
            prop_assert_eq!(read, Footer { size, unique_id, timestamp });
        }

        #[test]
        fn a_changed_bit_is_noticed(bit in 0..FOOTER * 8) {
            let mut bytes = footer(1 << 30, ID, 7);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(parse_footer(&bytes).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }
}
