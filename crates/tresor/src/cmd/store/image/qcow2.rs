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
use imago::qcow2::{Qcow2, Qcow2CreateBuilder};
use imago::{
    DenyImplicitOpenGate, FormatAccess, FormatCreateBuilder, FormatDriverBuilder, Mapping,
    PermissiveImplicitOpenGate, Storage, StorageCreateOptions, StorageOpenOptions,
};
use tresor_store::{Sink, Source};

use super::Output;
use crate::durable;
use crate::usage::Usage;

/// An image that is read.
pub(in super::super) struct Qcow2Image(FormatAccess<File>);

impl Qcow2Image {
    /// Opens an image; with `backing`, also the files that it names.
    pub(in super::super) fn open(path: &Path, backing: bool) -> Result<Qcow2Image> {
        let opened = File::open(StorageOpenOptions::new().filename(path)).and_then(|file| {
            let builder = Qcow2::<File>::builder(file);
            match backing {
                true => builder.open(PermissiveImplicitOpenGate::default()),
                false => builder.open(DenyImplicitOpenGate::default()),
            }
        });
        let image = opened.with_context(|| {
            let hint = if backing { "" } else { " (--allow-backing lets it read through others)" };
            Usage(format!("cannot read the qcow2 image {}{hint}", path.display()))
        })?;
        Ok(Qcow2Image(FormatAccess::new(image)))
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
    path: PathBuf,
    kept: bool,
}

impl Qcow2Output {
    /// Makes an image of `size` zeros that takes no space yet.
    pub(in super::super) fn create(path: &Path, size: u64) -> Result<Qcow2Output> {
        let context = || Usage(format!("cannot make {}", path.display()));
        // The crate would write over a file that is there.
        fs::OpenOptions::new().write(true).create_new(true).open(path).with_context(context)?;
        let make = || -> io::Result<FormatAccess<File>> {
            let file =
                File::create_open(StorageCreateOptions::new().filename(path).overwrite(true))?;
            let image = Qcow2CreateBuilder::<File>::new(file)
                .size(size)
                .create_open(DenyImplicitOpenGate::default(), |file| {
                    Ok(Qcow2::<File>::builder(file).write(true))
                })?;
            Ok(FormatAccess::new(image))
        };
        let path = path.to_path_buf();
        match make() {
            Ok(image) => Ok(Qcow2Output { image, path, kept: false }),
            Err(e) => {
                let _ = fs::remove_file(&path);
                Err(anyhow::Error::new(e).context(format!("cannot make {}", path.display())))
            }
        }
    }
}

impl Output for Qcow2Output {
    fn keep(mut self: Box<Self>) -> Result<()> {
        let kept = self.image.flush().and_then(|()| self.image.sync());
        let kept = kept.and_then(|()| durable::sync_folder(&self.path));
        kept.with_context(|| format!("cannot write {}", self.path.display()))?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Qcow2Output {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path);
        }
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
