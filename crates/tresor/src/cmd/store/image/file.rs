//! What a path leads to, asked before it is opened.
//!
//! Opening a pipe waits for whoever is at its other end, and no signal ends that.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// What has bytes at offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A regular file.
    File,
    /// A block device.
    Device,
}

/// What there is, links followed. An error for all that has no bytes at offsets.
pub(super) fn kind(path: &Path) -> io::Result<Kind> {
    let kind = fs::metadata(path)?.file_type();
    if kind.is_file() {
        return Ok(Kind::File);
    }
    if kind.is_block_device() {
        return Ok(Kind::Device);
    }
    let what = match kind {
        kind if kind.is_dir() => "a folder",
        kind if kind.is_fifo() => "a pipe",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_char_device() => "a character device",
        _ => "something else",
    };
    let text = format!("it is {what}, neither a regular file nor a block device");
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}
