//! The tables of a qcow2 image, as far as they say where in its file its data is.
//!
//! The crate `imago` takes what lies behind the end of a file for zeros: an image whose end is
//! missing, as after a copy that broke off, would lose data in silence.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use super::header::{Header, unreadable};

/// Where in the file an entry of a table points to.
const PLACE: u64 = 0x00ff_ffff_ffff_fe00;
/// In an entry of the second level: zeros, whatever else it says.
const ZERO: u64 = 1;
/// In an entry of the second level: compressed data, and the rest is laid out otherwise.
const COMPRESSED: u64 = 1 << 62;
/// What the length of compressed data is counted in.
const SECTOR: u64 = 512;
/// Largest table of the first level, in bytes: QEMU's limit.
const LARGEST: u64 = 32 << 20;

/// Refuses an image that has tables or data behind the end of its file.
pub(super) fn check(file: &mut File, header: &Header) -> io::Result<()> {
    // Not the metadata's length: that of a block device is zero.
    let end = file.seek(SeekFrom::End(0))?;
    if header.counts >= end {
        return Err(cut(end));
    }
    let per_table = header.cluster() / size_of::<u64>() as u64;
    let clusters = header.size.div_ceil(header.cluster());
    let tables = clusters.div_ceil(per_table);
    if tables > header.entries || tables > LARGEST / size_of::<u64>() as u64 {
        return Err(unreadable("has a table that is too small or too large for its disk"));
    }
    let mut buf = Vec::new();
    for (number, entry) in (0..).zip(read(file, end, header.table, tables, &mut Vec::new())?) {
        let (first, table) = (number * per_table, entry & PLACE);
        if table == 0 {
            continue;
        }
        let count = per_table.min(clusters.saturating_sub(first));
        for (cluster, entry) in (first..).zip(read(file, end, table, count, &mut buf)?) {
            let left = header.size.saturating_sub(cluster * header.cluster());
            if needed(header, entry, left) > end {
                return Err(cut(end));
            }
        }
    }
    Ok(())
}

/// The entries of a table.
fn read<'a>(
    file: &File,
    end: u64,
    place: u64,
    count: u64,
    buf: &'a mut Vec<u8>,
) -> io::Result<impl Iterator<Item = u64> + 'a> {
    let len = count * size_of::<u64>() as u64;
    if place.checked_add(len).is_none_or(|behind| behind > end) {
        return Err(cut(end));
    }
    buf.resize(len as usize, 0);
    file.read_exact_at(buf, place)?;
    let entries = buf.as_chunks().0.iter();
    Ok(entries.map(|bytes| u64::from_be_bytes(*bytes)))
}

/// How long the file must be for the data of one cluster, of which the disk has the first `left`
/// bytes or all.
fn needed(header: &Header, entry: u64, left: u64) -> u64 {
    if entry & COMPRESSED == 0 {
        return match entry & PLACE {
            0 => 0,
            _ if entry & ZERO != 0 => 0,
            place => place + left.min(header.cluster()),
        };
    }
    let (more, place) = header.split_compressed(entry & (COMPRESSED - 1));
    // The data ends somewhere in its last sector, and the file may end there too.
    (place / SECTOR + more) * SECTOR + 1
}

fn cut(end: u64) -> io::Error {
    let text = format!("is cut off: it has tables or data behind the {end} bytes of its file");
    unreadable(&text)
}
