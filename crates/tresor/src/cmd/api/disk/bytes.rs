//! Raw images in and out of disks, through signed URLs that end with the command.

use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::Value;

use super::super::names::{DISKS, InGroup};
use super::super::session::Session;
use super::super::tags::Tags;
use super::COLUMNS;
use crate::client::blob::Access;
use crate::client::transfer::{self, IN_FLIGHT, RawImage, Source, Zeros};
use crate::client::{Api, body};
use crate::durable;
use crate::serve::Stop;
use crate::terminal::{Progress, note, size};
use crate::usage::{Interrupted, Usage};

/// How long a transfer's access may last: the longest that a day's work needs.
const GRANTED: u32 = 86_400;

#[derive(Args)]
#[command(after_help = "Examples:\n  tresor disk upload -g rg-1 -n disk-1 --file vm.img\n  \
    tresor disk upload -g rg-1 -n disk-1 --file newer.img --overwrite --parallel 8\n\n\
    Zeros are not sent. The image must be raw (qemu-img convert -O raw makes one of any other).")]
pub(crate) struct UploadArgs {
    #[command(flatten)]
    at: InGroup,
    /// Raw image to upload
    #[arg(short, long, value_name = "PATH")]
    file: PathBuf,
    /// Location of a new disk [default: that of the group]
    #[arg(short, long)]
    location: Option<String>,
    /// Write over the disk of that name; it must have the image's size
    #[arg(long)]
    overwrite: bool,
    /// Requests at the same time
    #[arg(long, value_name = "N", default_value_t = IN_FLIGHT as u64)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=64))]
    parallel: u64,
    #[command(flatten)]
    tags: Tags,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  tresor disk download -g rg-1 -n disk-1 --file vm.img\n  \
    tresor disk download -g rg-1 -n disk-1 --file vm.img --force --parallel 8\n\n\
    The file appears under its name when it is whole; it is sparse where the disk is zero.")]
pub(crate) struct DownloadArgs {
    #[command(flatten)]
    at: InGroup,
    /// Where the raw image goes
    #[arg(short, long, value_name = "PATH")]
    file: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
    /// Requests at the same time
    #[arg(long, value_name = "N", default_value_t = IN_FLIGHT as u64)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=64))]
    parallel: u64,
}

/// Does something with a signed URL; the access ends with it, also when it fails or is
/// interrupted.
async fn with_access<T>(
    session: &Session,
    id: &str,
    access: Access,
    work: impl AsyncFnOnce(&str) -> Result<T>,
) -> Result<T> {
    let mut stop = Stop::new()?;
    let sas = session.client.grant(id, access, GRANTED).await?;
    let done = tokio::select! {
        done = work(&sas) => done,
        signal = stop.number() => Err(Interrupted(signal).into()),
    };
    let revoked = session.client.revoke(id).await;
    let done = done?;
    revoked.context("the bytes were moved, but their access is still open")?;
    Ok(done)
}

/// Uploads an image.
pub(super) async fn upload(session: &Session, args: UploadArgs) -> Result<()> {
    let image = RawImage::open(&args.file).context(Usage("there is no image".to_owned()))?;
    let image = Arc::new(image);
    let id = args.at.id(session, DISKS).await?;
    let zeros = match session.client.find(&id, Api::Compute).await? {
        Some(disk) => existing(&disk, &args, image.len())?,
        None => {
            let location = session.location(args.location.as_deref(), &id).await?;
            let mut body = body::upload_disk(&location, image.len());
            args.tags.put_into(&mut body)?;
            session.client.put(&id, Api::Compute, &body).await?;
            Zeros::Skip
        }
    };
    let progress = Progress::bytes("uploading", image.len());
    let in_flight = usize::try_from(args.parallel)?;
    let sent = with_access(session, &id, Access::Write, async |sas| {
        let there = session.client.blob_size(sas).await?;
        ensure!(there == image.len(), "the disk has {there} bytes, the image {}", image.len());
        transfer::upload(&session.client, sas, &image, zeros, in_flight, &progress).await
    });
    let sent = sent.await.with_context(|| {
        format!(
            "the upload did not end, and '{}' may hold a part of it: upload again with --overwrite",
            crate::client::last(&id)
        )
    })?;
    progress.done(format_args!("{} of {} sent, the rest is zeros", size(sent), size(image.len())));
    session.print_one(COLUMNS, &id, Api::Compute).await
}

/// What to do with zeros on a disk that is there already.
fn existing(disk: &Value, args: &UploadArgs, len: u64) -> Result<Zeros> {
    if !args.overwrite {
        return Err(Usage::error(format!(
            "there is a disk '{}' already: give --overwrite to write over it",
            crate::client::last(&args.at.name)
        )));
    }
    let there = disk.pointer("/properties/diskSizeBytes").and_then(Value::as_u64);
    if there != Some(len) {
        let there = there.unwrap_or_default();
        return Err(Usage::error(format!(
            "the disk has {there} bytes and the image {len}: they must be the same"
        )));
    }
    Ok(Zeros::Clear)
}

/// Downloads a disk or a snapshot.
pub(in crate::cmd::api) async fn download(
    session: &Session,
    kind: &str,
    args: DownloadArgs,
) -> Result<()> {
    if args.file.exists() && !args.force {
        let file = args.file.display();
        return Err(Usage::error(format!("{file} is there already: give --force to replace it")));
    }
    let id = args.at.id(session, kind).await?;
    let found = session.client.get(&id, Api::Compute).await?;
    let told = found.pointer("/properties/diskSizeBytes").and_then(Value::as_u64);
    let partial = partial(&args.file)?;
    let in_flight = usize::try_from(args.parallel)?;
    let came = with_access(session, &id, Access::Read, async |sas| {
        let len = session.client.blob_size(sas).await?;
        ensure!(told.is_none_or(|told| told == len), "the disk has {told:?} bytes, its blob {len}");
        fetch(session, sas, len, &partial, in_flight).await
    });
    let (came, len) = match came.await {
        Ok(done) => done,
        Err(error) => {
            durable::remove(&partial)?;
            return Err(error);
        }
    };
    std::fs::rename(&partial, &args.file)
        .with_context(|| format!("cannot name the file {}", args.file.display()))?;
    note(format_args!("{}: {} bytes, {} of them data", args.file.display(), len, size(came)));
    session.format.one(COLUMNS, &found)
}

/// The name of a file that is not whole yet.
fn partial(file: &Path) -> Result<PathBuf> {
    let Some(name) = file.file_name() else {
        return Err(Usage::error(format!("{} names no file", file.display())));
    };
    let mut name = name.to_owned();
    name.push(".part");
    Ok(file.with_file_name(name))
}

/// Brings the bytes into a new file; gives how many came, and the disk's size.
async fn fetch(
    session: &Session,
    sas: &str,
    len: u64,
    to: &Path,
    in_flight: usize,
) -> Result<(u64, u64)> {
    let unwritable = || format!("cannot write {}", to.display());
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let file: File = options.open(to).with_context(unwritable)?;
    file.set_len(len).with_context(unwritable)?;
    let ranges = session.client.page_ranges(sas, len).await?;
    let data: u64 = ranges.iter().map(|range: &Range<u64>| range.end - range.start).sum();
    let progress = Progress::bytes("downloading", data);
    let file = Arc::new(file);
    let came = transfer::download(&session.client, sas, &file, ranges, in_flight, &progress);
    let came = came.await?;
    if came != data || file.metadata().with_context(unwritable)?.len() != len {
        bail!("{} of {} came", size(came), size(data));
    }
    file.sync_all().with_context(unwritable)?;
    progress.done(format_args!("{} came, the rest of {} is zeros", size(came), size(len)));
    Ok((came, len))
}
