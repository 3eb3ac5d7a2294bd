//! The footer of a fixed VHD, which clients upload behind the bytes of a disk.
//!
//! A disk keeps no footer: one is made when the blob is read. What a client writes there is
//! checked against the size of the disk, so that an image of another size or kind is noticed, and
//! then forgotten. Layout: Virtual Hard Disk Image Format Specification, Microsoft, 2006.

const COOKIE: &[u8] = b"conectix";
const SIZE_AT: usize = 48;
const KIND_AT: usize = 60;
const SUM_AT: usize = 64;
const FIXED: [u8; 4] = 2_u32.to_be_bytes();

/// What is wrong with a footer for a disk of this size.
pub(super) fn problem(footer: &[u8], size: u64) -> Option<String> {
    if footer.get(..COOKIE.len()) != Some(COOKIE) {
        return Some("it does not begin with 'conectix'".into());
    }
    if footer.get(SUM_AT..SUM_AT + 4) != Some(&sum(footer).to_be_bytes()) {
        return Some("its checksum does not fit".into());
    }
    if footer.get(KIND_AT..KIND_AT + 4) != Some(&FIXED) {
        return Some("it is not that of a fixed disk".into());
    }
    let own = footer.get(SIZE_AT..SIZE_AT + 8).and_then(|b| b.try_into().ok());
    let own = own.map(u64::from_be_bytes).unwrap_or_default();
    (own != size).then(|| format!("it is that of a disk of {own} bytes, and this has {size}"))
}

/// One's complement of the sum of all bytes but those of the checksum.
fn sum(footer: &[u8]) -> u32 {
    let all = footer.iter().enumerate().filter(|(at, _)| !(SUM_AT..SUM_AT + 4).contains(at));
    !all.fold(0_u32, |sum, (_, byte)| sum.wrapping_add(u32::from(*byte)))
}
