//! qcow2 images, by the crate `imago`.
//!
//! An image may name other files to read through, which whoever wrote the image has chosen: they
//! are opened only where the caller allows it.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use imago::file::File;
use imago::format::gate::ImplicitOpenGate;
use imago::qcow2::{Qcow2, Qcow2CreateBuilder};
use imago::{
    DenyImplicitOpenGate, FormatAccess, FormatCreateBuilder, FormatDriverBuilder, Mapping, Storage,
    StorageCreateOptions, StorageOpenOptions,
};
use tresor_store::{Sink, Source};

use super::header::Header;
use super::nameless::Nameless;
use super::{Output, file, tables};
use crate::usage::Usage;

/// What the size of a disk is counted in.
const SECTOR: u64 = 512;

/// An image that is read.
pub(in super::super) struct Qcow2Image(FormatAccess<File>);

impl Qcow2Image {
    /// Opens an image; with `backing`, also the files that it names.
    pub(in super::super) fn open(path: &Path, backing: bool) -> Result<Qcow2Image> {
        let opened = check(path).and_then(|()| {
            let file = File::open(StorageOpenOptions::new().filename(path))?;
            Qcow2::<File>::builder(file).open(Gate { backing })
        });
        let image = opened
            .with_context(|| Usage(format!("cannot read the qcow2 image {}", path.display())))?;
        Ok(Qcow2Image(FormatAccess::new(image)))
    }
}

/// Refuses a file that cannot be read as qcow2, or would be misread.
fn check(path: &Path) -> io::Result<()> {
    let mut file = fs::File::open(path)?;
    let header = Header::read(&file)?;
    header.readable()?;
    tables::check(&mut file, &header)
}

/// Opens the backing files that images name, if the caller allows it.
#[derive(Clone, Copy)]
struct Gate {
    backing: bool,
}

impl ImplicitOpenGate<File> for Gate {
    fn open_format<F: FormatDriverBuilder<File>>(
        &mut self,
        builder: F,
    ) -> io::Result<FormatAccess<File>> {
        if let (imago::format::Format::Qcow2, Some(path)) = (F::FORMAT, builder.get_image_path()) {
            check(&path)?;
        }
        builder.open(*self).map(FormatAccess::new)
    }

    fn open_storage(&mut self, options: StorageOpenOptions) -> io::Result<File> {
        if !self.backing {
            let text = "the image reads through another file; --allow-backing lets it";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        options.get_filename().map(file::kind).transpose()?;
        File::open(options)
    }
}

impl Source for Qcow2Image {
    fn len(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read(buf, offset)
    }

    fn allocated(&self, range: Range<u64>) -> io::Result<Vec<Range<u64>>> {
        let mut found: Vec<Range<u64>> = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let (mapping, len) = self.0.get_mapping(at, range.end - at)?;
            let end = at + len;
            match mapping {
                Mapping::Zero { .. } => {}
                Mapping::Eof { .. } => break,
                _ => match found.last_mut().filter(|last| last.end == at) {
                    Some(last) => last.end = end,
                    None => found.push(at..end),
                },
            }
            if len == 0 {
                return Err(io::Error::other("a mapping of no length"));
            }
            at = end;
        }
        Ok(found)
    }
}

/// A new image that is written to; gone again unless it is kept.
pub(in super::super) struct Qcow2Output {
    image: FormatAccess<File>,
    out: Nameless,
    path: PathBuf,
}

impl Qcow2Output {
    /// Makes an image of `size` zeros, and more up to a whole sector, that takes no space yet.
    pub(in super::super) fn create(path: &Path, size: u64) -> Result<Qcow2Output> {
        let context = || Usage(format!("cannot make {}", path.display()));
        // QEMU leaves out what is behind the last whole sector.
        let size = size.checked_next_multiple_of(SECTOR).with_context(context)?;
        let out = Nameless::create(path).with_context(context)?;
        let make = || -> io::Result<FormatAccess<File>> {
            let options = StorageCreateOptions::new().filename(out.address()).overwrite(true);
            let file = File::create_open(options)?;
            let image = Qcow2CreateBuilder::<File>::new(file)
                .size(size)
                .create_open(DenyImplicitOpenGate::default(), |file| {
                    Ok(Qcow2::<File>::builder(file).write(true))
                })?;
            Ok(FormatAccess::new(image))
        };
        let image = make().with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Qcow2Output { image, out, path: path.to_path_buf() })
    }
}

impl Output for Qcow2Output {
    fn keep(mut self: Box<Self>) -> Result<()> {
        let kept = self.image.flush().and_then(|()| self.image.sync());
        let kept = kept.and_then(|()| self.out.keep());
        kept.with_context(|| format!("cannot write {}", self.path.display()))
    }
}

impl Sink for Qcow2Output {
    fn reserve(&self, _range: Range<u64>) -> io::Result<()> {
        Ok(())
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.image.write(data, offset)
    }
}

#[cfg(test)]
mod tests;
