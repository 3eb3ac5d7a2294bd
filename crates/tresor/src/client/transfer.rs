//! Moving a disk's bytes through a signature, a few requests in flight.
//!
//! Memory is bounded by the requests in flight times their size, whatever the disk's size. What is
//! zero is not moved: it is left out where the disk is known to be empty, cleared where it is not.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use aws_lc_rs::digest;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use super::Client;
use crate::terminal::Progress;

/// Azure's largest Put Page.
const PIECE: u64 = 4 << 20;
/// Requests in flight when nobody says otherwise.
pub(crate) const IN_FLIGHT: usize = 4;

/// Bytes that can be read anywhere: an image.
pub(crate) trait Source: Send + Sync + 'static {
    /// How many there are.
    fn len(&self) -> u64;
    /// Reads those at `offset`.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
}

/// A raw image file; up to the next whole sector it goes on with zeros.
pub(crate) struct RawImage {
    file: File,
    len: u64,
}

impl RawImage {
    /// Opens an image file.
    pub(crate) fn open(path: &Path) -> Result<RawImage> {
        let open = || -> io::Result<RawImage> {
            let file = File::open(path)?;
            let len = file.metadata()?.len();
            Ok(RawImage { file, len })
        };
        let image = open().with_context(|| format!("cannot read {}", path.display()))?;
        ensure!(image.len > 0, "{} is empty", path.display());
        Ok(image)
    }
}

impl Source for RawImage {
    fn len(&self) -> u64 {
        self.len.next_multiple_of(512)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let within = self.len.saturating_sub(offset).min(buf.len() as u64) as usize;
        let (from_file, beyond) = buf.split_at_mut(within);
        self.file.read_exact_at(from_file, offset)?;
        beyond.fill(0);
        Ok(())
    }
}

/// The digests of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Digests {
    pub(crate) sha256: String,
    pub(crate) blake3: String,
}

/// Both digests at once, because reading costs more than either.
struct Hasher {
    sha256: digest::Context,
    blake3: blake3::Hasher,
}

impl Hasher {
    fn new() -> Hasher {
        Hasher { sha256: digest::Context::new(&digest::SHA256), blake3: blake3::Hasher::new() }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.blake3.update(bytes);
    }

    fn finish(self) -> Digests {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Digests {
            sha256: hex(self.sha256.finish().as_ref()),
            blake3: self.blake3.finalize().to_hex().to_string(),
        }
    }
}

/// What is done with the zeros of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zeros {
    /// The disk is new and all zeros.
    Skip,
    /// The disk may hold something there.
    Clear,
}

/// Pieces of at most one request.
fn pieces(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let end = range.end;
    range.step_by(PIECE as usize).map(move |start| start..(start + PIECE).min(end))
}

async fn read<S: Source>(image: &Arc<S>, range: Range<u64>) -> Result<Bytes> {
    let image = image.clone();
    let task = tokio::task::spawn_blocking(move || -> Result<Bytes> {
        let mut bytes = vec![0; usize::try_from(range.end - range.start)?];
        image.read_at(&mut bytes, range.start).context("cannot read the image")?;
        Ok(bytes.into())
    });
    task.await?
}

/// The bytes of `part`, out of those that begin at `offset`.
fn within(bytes: &Bytes, offset: u64, part: &Range<u64>) -> Result<Bytes> {
    let (from, to) = (part.start.checked_sub(offset), part.end.checked_sub(offset));
    let (from, to) = (from.context("a range before its bytes")?, to.unwrap_or_default());
    let (from, to) = (usize::try_from(from)?, usize::try_from(to)?);
    ensure!(from <= to && to <= bytes.len(), "a range behind its bytes");
    Ok(bytes.slice(from..to))
}

/// Uploads a whole image; returns how many bytes were sent.
pub(crate) async fn upload<S: Source>(
    client: &Client,
    sas: &str,
    image: &Arc<S>,
    zeros: Zeros,
    in_flight: usize,
    progress: &Progress,
) -> Result<u64> {
    let one = async |piece: Range<u64>| -> Result<u64> {
        let bytes = read(image, piece.clone()).await?;
        let (mut sent, mut done) = (0, piece.start);
        for part in data_ranges(&bytes, piece.start) {
            if zeros == Zeros::Clear && done < part.start {
                client.clear_pages(sas, &(done..part.start)).await?;
            }
            let page = within(&bytes, piece.start, &part)?;
            sent += page.len() as u64;
            client.put_page(sas, part.start, page).await?;
            done = part.end;
        }
        if zeros == Zeros::Clear && done < piece.end {
            client.clear_pages(sas, &(done..piece.end)).await?;
        }
        progress.add(piece.end - piece.start);
        Ok(sent)
    };
    stream::iter(pieces(0..image.len()))
        .map(one)
        .buffer_unordered(in_flight)
        .try_fold(0, async |sum, sent| Ok(sum + sent))
        .await
}

/// Writes the image's bytes in these ranges to the disk, zeros too.
pub(crate) async fn write<S: Source>(
    client: &Client,
    sas: &str,
    image: &Arc<S>,
    ranges: Vec<Range<u64>>,
    progress: &Progress,
) -> Result<()> {
    let one = async |piece: Range<u64>| -> Result<()> {
        let bytes = read(image, piece.clone()).await?;
        client.put_page(sas, piece.start, bytes).await?;
        progress.add(piece.end - piece.start);
        Ok(())
    };
    stream::iter(ranges.into_iter().flat_map(pieces))
        .map(one)
        .buffer_unordered(IN_FLIGHT)
        .try_collect()
        .await
}

/// Writes what of `bytes` is not zero into a sparse file.
fn keep(file: &File, bytes: &Bytes, offset: u64) -> Result<()> {
    for part in data_ranges(bytes, offset) {
        file.write_all_at(&within(bytes, offset, &part)?, part.start)?;
    }
    Ok(())
}

/// Downloads every byte of a disk into a new sparse file, and digests them as they arrive.
pub(crate) async fn download_digested(
    client: &Client,
    sas: &str,
    len: u64,
    to: &Path,
    progress: &Progress,
) -> Result<Digests> {
    let unwritable = || format!("cannot write {}", to.display());
    let file = File::create(to).with_context(unwritable)?;
    file.set_len(len).with_context(unwritable)?;
    let get = async |piece: Range<u64>| -> Result<(u64, Bytes)> {
        Ok((piece.start, client.get_range(sas, &piece).await?))
    };
    let mut arriving = stream::iter(pieces(0..len)).map(get).buffered(IN_FLIGHT);
    let mut hasher = Hasher::new();
    while let Some((offset, bytes)) = arriving.try_next().await? {
        hasher.update(&bytes);
        keep(&file, &bytes, offset).with_context(unwritable)?;
        progress.add(bytes.len() as u64);
    }
    Ok(hasher.finish())
}

/// Downloads the ranges of a disk that hold data into an empty file; returns how many bytes came.
pub(crate) async fn download(
    client: &Client,
    sas: &str,
    file: &Arc<File>,
    ranges: Vec<Range<u64>>,
    in_flight: usize,
    progress: &Progress,
) -> Result<u64> {
    let one = async |piece: Range<u64>| -> Result<u64> {
        let bytes = client.get_range(sas, &piece).await?;
        let (file, len) = (file.clone(), bytes.len() as u64);
        let task = tokio::task::spawn_blocking(move || keep(&file, &bytes, piece.start));
        task.await?.context("cannot write the file")?;
        progress.add(len);
        Ok(len)
    };
    stream::iter(ranges.into_iter().flat_map(pieces))
        .map(one)
        .buffer_unordered(in_flight)
        .try_fold(0, async |sum, came| Ok(sum + came))
        .await
}

/// The digests of a local image.
pub(crate) async fn digests<S: Source>(image: &Arc<S>) -> Result<Digests> {
    let mut hasher = Hasher::new();
    for piece in pieces(0..image.len()) {
        hasher.update(&read(image, piece).await?);
    }
    Ok(hasher.finish())
}

/// The parts of `bytes`, read at `offset`, that are not zero. Whole sectors, holes shorter than
/// 64 KiB not cut out.
pub(crate) fn data_ranges(bytes: &[u8], offset: u64) -> Vec<Range<u64>> {
    const GRAIN: usize = 64 << 10;
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for (grain, at) in bytes.chunks(GRAIN).zip((offset..).step_by(GRAIN)) {
        if grain.iter().all(|byte| *byte == 0) {
            continue;
        }
        let end = at + grain.len() as u64;
        match ranges.last_mut() {
            Some(last) if last.end == at => last.end = end,
            _ => ranges.push(at..end),
        }
    }
    ranges
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "lists of one range are meant")]
mod tests {
    use std::io::Write;

    use super::*;

    fn image_of(bytes: &[u8]) -> RawImage {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        RawImage::open(file.path()).unwrap()
    }

    #[test]
    fn pieces_cover_a_range_once() {
        assert_eq!(pieces(0..0).count(), 0);
        assert_eq!(pieces(512..1024).collect::<Vec<_>>(), [512..1024]);
        let all: Vec<_> = pieces(0..(9 << 20)).collect();
        assert_eq!(all, [0..4 << 20, 4 << 20..8 << 20, 8 << 20..9 << 20]);
    }

    #[test]
    fn only_what_is_not_zero_is_moved() {
        let mut bytes = vec![0; 1 << 20];
        assert_eq!(data_ranges(&bytes, 0), []);
        bytes[0] = 1;
        bytes[(64 << 10) + 5] = 1;
        bytes[(1 << 20) - 1] = 1;
        let offset = 4 << 20;
        let expected = [offset..offset + (128 << 10), offset + (960 << 10)..offset + (1 << 20)];
        assert_eq!(data_ranges(&bytes, offset), expected);
        assert_eq!(data_ranges(&[1; 512], 0), [0..512]);
    }

    #[test]
    fn an_image_goes_on_with_zeros_to_a_whole_sector() {
        let image = image_of(&[7; 1000]);
        assert_eq!(image.len(), 1024);
        let mut bytes = [1; 1024];
        image.read_at(&mut bytes, 0).unwrap();
        assert!(bytes[..1000].iter().all(|byte| *byte == 7));
        assert!(bytes[1000..].iter().all(|byte| *byte == 0));
        assert!(RawImage::open(Path::new("/nowhere/at/all")).is_err());
    }

    #[test]
    fn digests_are_the_well_known_ones() {
        let mut hasher = Hasher::new();
        hasher.update(b"ab");
        hasher.update(b"c");
        let digests = hasher.finish();
        assert_eq!(
            digests.sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            digests.blake3,
            "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"
        );
    }

    #[tokio::test]
    async fn a_disks_digests_are_those_of_its_bytes() {
        let image = Arc::new(image_of(&vec![3; 5 << 20]));
        let found = digests(&image).await.unwrap();
        assert_eq!(found.blake3, blake3::hash(&vec![3; 5 << 20]).to_hex().to_string());
    }
}
