//! Disk images as the store reads and writes them: raw files, block devices, qcow2.

mod block;
mod changed;
mod direct;
mod file;
mod header;
mod nameless;
mod qcow2;
mod raw;
mod stream;
mod tables;

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;
use tresor_store::{Sink, Source};

use crate::usage::Usage;

pub(super) use block::BlockDevice;
pub(super) use changed::changed_ranges;
pub(super) use qcow2::{Qcow2Image, Qcow2Output};
pub(super) use raw::{RawImage, RawOutput};
pub(super) use stream::stream;

/// How an image is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// The bytes of the disk, one after another; zeros are holes in the file
    Raw,
    /// QEMU's copy-on-write format; versions 2 and 3 are read, without encryption, compression
    /// other than zlib, extended L2 entries or an external data file; version 3 is written
    Qcow2,
}

impl Format {
    /// The format that a file's name speaks of.
    pub(super) fn of_name(path: &Path) -> Format {
        let name = path.extension().map(|e| e.to_ascii_lowercase());
        match name.as_deref().and_then(|e| e.to_str()) {
            Some("qcow2" | "qcow") => Format::Qcow2,
            _ => Format::Raw,
        }
    }

    /// The usual ending of a file's name.
    pub(super) fn ending(self) -> &'static str {
        match self {
            Format::Raw => "raw",
            Format::Qcow2 => "qcow2",
        }
    }
}

const QCOW2_MAGIC: &[u8; 4] = b"QFI\xfb";

/// Opens an image for a backup. A guest writes its own raw disk: only a file whose *name* says
/// so is looked into for another format, or one that the caller vouches for with `format`.
pub(super) fn open(path: &Path, format: Option<Format>, backing: bool) -> Result<Box<dyn Source>> {
    if path == Path::new("-") {
        return Err(Usage::error(
            "standard input cannot be backed up, because an image is read at several places at \
             once; write it to a file first",
        ));
    }
    file::kind(path).with_context(|| Usage(format!("cannot read the image {}", path.display())))?;
    match format.unwrap_or_else(|| Format::of_name(path)) {
        Format::Qcow2 => Ok(Box::new(Qcow2Image::open(path, backing)?)),
        Format::Raw => {
            if format.is_none() && looks_like_qcow2(path)? {
                return Err(Usage::error(format!(
                    "{} begins like a qcow2 image; say --format qcow2 or --format raw",
                    path.display()
                )));
            }
            Ok(Box::new(RawImage::open(path)?))
        }
    }
}

fn looks_like_qcow2(path: &Path) -> Result<bool> {
    let mut head = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(4).read_to_end(&mut head));
    read.with_context(|| Usage(format!("cannot read the image {}", path.display())))?;
    Ok(head == QCOW2_MAGIC)
}

/// A file or device that is being written; what was made is gone again unless it is kept.
pub(super) trait Output: Sink {
    /// All is written: make it durable.
    fn keep(self: Box<Self>) -> Result<()>;
}

/// Makes a new image of `size` zeros.
pub(super) fn create(path: &Path, format: Format, size: u64) -> Result<Box<dyn Output>> {
    match format {
        Format::Raw => Ok(Box::new(RawOutput::create(path, size)?)),
        Format::Qcow2 => Ok(Box::new(Qcow2Output::create(path, size)?)),
    }
}

#[cfg(test)]
mod tests;
