//! `tresor store restore`.

use std::io;
use std::ops::Range;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use tresor_store::{Affected, ErrorKind, PointKey, Reader, Sink, Store};

use super::image::{self, BlockDevice, Format, Output};
use super::place::{Place, Session, unpin};
use super::points::{NAMES, pick};
use super::report::Report;
use super::verify::Hit;
use crate::terminal::{note, size};
use crate::usage::Usage;

/// Ranges that are told one by one.
const LISTED: usize = 64;

#[derive(Args)]
#[command(after_help = format!("{NAMES}\n\nExamples:\n  \
    tresor store restore --store /backup/a --key-file a.key --point latest disk.qcow2\n  \
    tresor store restore ... --point latest - | ssh host dd of=/dev/vdb bs=4M\n  \
    tresor store restore ... --point 9f3c --overwrite /dev/vdb\n  \
    tresor store restore ... --point latest --range 1048576:512 - | xxd"))]
pub(super) struct RestoreArgs {
    #[command(flatten)]
    pub(super) place: Place,
    /// Recovery point
    #[arg(long, value_name = "POINT")]
    pub(super) point: String,
    /// File that is made, or `-` for standard output
    pub(super) out: PathBuf,
    /// Layout of the file [default: by its name's ending; raw]
    #[arg(long)]
    pub(super) format: Option<Format>,
    /// Only these bytes of the disk; they come first in what is written
    #[arg(long, value_name = "OFFSET:LENGTH", value_parser = range)]
    pub(super) range: Option<Range<u64>>,
    /// Write over a file or block device that is there
    #[arg(long)]
    pub(super) overwrite: bool,
}

/// Reads `OFFSET:LENGTH`.
pub(super) fn range(text: &str) -> Result<Range<u64>, Usage> {
    let parse = || {
        let (offset, length) = text.split_once(':')?;
        let offset: u64 = offset.parse().ok()?;
        Some(offset..offset.checked_add(length.parse().ok()?)?)
    };
    parse().ok_or_else(|| Usage("a range is OFFSET:LENGTH, in bytes".to_owned()))
}

/// A restored recovery point.
#[derive(Serialize)]
struct Restore {
    point: String,
    size: u64,
    seconds: f64,
}

impl Report for Restore {
    fn text(&self) -> String {
        format!("restored {} ({}) in {:.2} s", self.point, size(self.size), self.seconds)
    }
}

/// Writes a point to where the caller wants it.
pub(super) fn run(session: &Session, args: &RestoreArgs) -> Result<()> {
    let store = session.open(&args.place)?;
    to(session, &store, args, true)
}

/// The same from a store that is open.
pub(super) fn to(session: &Session, store: &Store, args: &RestoreArgs, pinned: bool) -> Result<()> {
    let point = pick(store, &args.point)?.key;
    let begun = session.env.monotonic();
    let pin = if pinned { session.pin(store, &point, "restore")? } else { None };
    let written = store.reader(&point).map_err(Into::into).and_then(|reader| {
        let range = args.range.clone().unwrap_or(0..reader.size());
        if range.end > reader.size() {
            let text = format!("--range leaves the disk, which has {} bytes", reader.size());
            return Err(Usage::error(text));
        }
        write(session, args, &reader, range)
    });
    unpin(pin);
    if let Err(e) = &written {
        tell_of_wounds(store, &point, e);
    }
    let restored =
        Restore { point: point.to_string(), size: written?, seconds: session.since(begun) };
    if args.out == Path::new("-") {
        // Standard output holds the disk.
        let json = args.place.json;
        note(if json { serde_json::to_string(&restored)? } else { restored.text() });
        return Ok(());
    }
    restored.print(args.place.json)
}

/// Where a point cannot be read because something is damaged or gone: which of its bytes are lost,
/// as far as that is known without reading all.
fn tell_of_wounds(store: &Store, point: &PointKey, error: &anyhow::Error) {
    let damaged = error.chain().filter_map(|link| link.downcast_ref::<tresor_store::Error>());
    if !damaged.into_iter().any(|e| e.kind() == ErrorKind::Corrupt) {
        return;
    }
    let mut affected = Affected { point: *point, ranges: Vec::new(), count: 0, bytes: 0 };
    let wounds = store.wounds(point).unwrap_or_default();
    affected.count = wounds.len() as u64;
    affected.bytes = wounds.iter().map(|range| range.end - range.start).sum();
    affected.ranges = wounds.into_iter().take(LISTED).collect();
    match affected.count {
        0 => note("note: `verify --deep` tells which bytes are damaged"),
        _ => note(format_args!("note: {}", Hit::of(&affected).line())),
    }
}

fn write(session: &Session, args: &RestoreArgs, reader: &Reader, range: Range<u64>) -> Result<u64> {
    let watcher = session.watcher("restore", &args.place);
    let size = range.end - range.start;
    if args.out == Path::new("-") {
        if args.format == Some(Format::Qcow2) {
            return Err(Usage::error("qcow2 cannot be written to a stream; name a file"));
        }
        image::stream(reader, range, &mut io::stdout().lock(), &watcher)?;
        watcher.done();
        return Ok(size);
    }
    let out = output(args, size)?;
    let shifted = Shifted { out: &*out, start: range.start };
    let left =
        if args.overwrite { "the target is half written" } else { "nothing was left behind" };
    reader
        .restore_range(&shifted, range, &watcher)
        .with_context(|| format!("the restore failed; {left}"))?;
    out.keep()?;
    watcher.done();
    Ok(size)
}

fn output(args: &RestoreArgs, size: u64) -> Result<Box<dyn Output>> {
    let format = args.format.unwrap_or_else(|| Format::of_name(&args.out));
    let there = std::fs::metadata(&args.out);
    let device = there.as_ref().is_ok_and(|data| data.file_type().is_block_device());
    if there.is_ok() && !args.overwrite {
        let what = if device { "is a block device" } else { "is there already" };
        let text = format!("{} {what}; --overwrite writes over it", args.out.display());
        return Err(Usage::error(text));
    }
    match (there.is_ok(), format) {
        (false, format) => image::create(&args.out, format, size),
        (true, Format::Raw) => Ok(Box::new(BlockDevice::open(&args.out, size)?)),
        (true, Format::Qcow2) => {
            Err(Usage::error("--overwrite writes raw bytes; remove the qcow2 file first"))
        }
    }
}

/// A target whose first byte is not that of the disk.
struct Shifted<'a> {
    out: &'a dyn Output,
    start: u64,
}

impl Shifted<'_> {
    fn place(&self, offset: u64) -> io::Result<u64> {
        offset.checked_sub(self.start).ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }
}

impl Sink for Shifted<'_> {
    fn reserve(&self, range: Range<u64>) -> io::Result<()> {
        self.out.reserve(self.place(range.start)?..self.place(range.end)?)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.out.write_at(data, self.place(offset)?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Notes what it is told.
    #[derive(Default)]
    struct Noting(Mutex<Vec<(&'static str, Range<u64>)>>);

    impl Noting {
        fn note(&self, what: &'static str, range: Range<u64>) -> io::Result<()> {
            self.0.lock().unwrap().push((what, range));
            Ok(())
        }
    }

    impl Sink for Noting {
        fn reserve(&self, range: Range<u64>) -> io::Result<()> {
            self.note("reserve", range)
        }

        fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
            self.note("write", offset..offset + data.len() as u64)
        }
    }

    impl Output for Noting {
        fn keep(self: Box<Self>) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_part_of_a_disk_is_laid_out_and_written_from_the_beginning_of_the_target() {
        let out = Noting::default();
        let shifted = Shifted { out: &out, start: 4096 };
        shifted.reserve(4096..12288).unwrap();
        shifted.write_at(&[1; 100], 8192).unwrap();
        assert_eq!(*out.0.lock().unwrap(), [("reserve", 0..8192), ("write", 4096..4196)]);
        assert!(shifted.reserve(0..8192).is_err());
        assert!(shifted.write_at(&[1], 0).is_err());
    }
}
