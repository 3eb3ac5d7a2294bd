//! Moving a disk's bytes through a SAS, a few requests in flight.
//!
//! Memory is bounded by the requests in flight times their size, whatever the disk's size. What is
//! downloaded is hashed in order as it arrives.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use aws_lc_rs::digest;
use futures::{StreamExt, TryStreamExt, stream};

use super::client::Client;
use super::image::{Image, data_ranges};
use crate::terminal::Progress;

/// Azure's largest Put Page.
const PUT: u64 = 4 << 20;
/// Requests in flight.
const IN_FLIGHT: usize = 4;

/// The digests of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Digests {
    pub(super) sha256: String,
    pub(super) blake3: String,
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

/// Pieces of at most `PUT` bytes.
fn pieces(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let end = range.end;
    range.step_by(PUT as usize).map(move |start| start..(start + PUT).min(end))
}

async fn read(image: &Arc<Image>, range: Range<u64>) -> Result<Vec<u8>> {
    let image = image.clone();
    let task = tokio::task::spawn_blocking(move || -> Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(range.end - range.start)?];
        image.read_at(&mut bytes, range.start).context("cannot read the image")?;
        Ok(bytes)
    });
    task.await?
}

/// Uploads all that is not zero to an empty disk; returns how much that was.
pub(super) async fn upload(
    client: &Client,
    sas: &str,
    image: &Arc<Image>,
    progress: &Progress,
) -> Result<u64> {
    let one = async |piece: Range<u64>| -> Result<u64> {
        let bytes = read(image, piece.clone()).await?;
        let mut sent = 0;
        for part in data_ranges(&bytes, piece.start) {
            let from = usize::try_from(part.start - piece.start)?;
            let to = usize::try_from(part.end - piece.start)?;
            let page = bytes.get(from..to).unwrap_or_default().to_vec();
            sent += page.len() as u64;
            client.put_page(sas, part.start, page).await?;
        }
        progress.add(piece.end - piece.start);
        Ok(sent)
    };
    stream::iter(pieces(0..image.len()))
        .map(one)
        .buffer_unordered(IN_FLIGHT)
        .try_fold(0, async |sum, sent| Ok(sum + sent))
        .await
}

/// Writes the image's bytes in these ranges to the disk, zeros too.
pub(super) async fn write(
    client: &Client,
    sas: &str,
    image: &Arc<Image>,
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

/// Downloads the whole disk into a sparse file.
pub(super) async fn download(
    client: &Client,
    sas: &str,
    len: u64,
    to: &Path,
    progress: &Progress,
) -> Result<Digests> {
    let unwritable = || format!("cannot write {}", to.display());
    let file = File::create(to).with_context(unwritable)?;
    file.set_len(len).with_context(unwritable)?;
    let get = async |piece: Range<u64>| -> Result<(u64, Vec<u8>)> {
        let bytes = client.get_range(sas, piece.start, piece.end - piece.start).await?;
        Ok((piece.start, bytes))
    };
    let mut arriving = stream::iter(pieces(0..len)).map(get).buffered(IN_FLIGHT);
    let mut hasher = Hasher::new();
    while let Some((offset, bytes)) = arriving.try_next().await? {
        hasher.update(&bytes);
        for part in data_ranges(&bytes, offset) {
            let from = usize::try_from(part.start - offset)?;
            let to = usize::try_from(part.end - offset)?;
            let data = bytes.get(from..to).unwrap_or_default();
            file.write_all_at(data, part.start).with_context(unwritable)?;
        }
        progress.add(bytes.len() as u64);
    }
    Ok(hasher.finish())
}

/// The digests of the local disk.
pub(super) async fn digests(image: &Arc<Image>) -> Result<Digests> {
    let mut hasher = Hasher::new();
    for piece in pieces(0..image.len()) {
        hasher.update(&read(image, piece).await?);
    }
    Ok(hasher.finish())
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "lists of one range are meant")]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_a_range_once() {
        assert_eq!(pieces(0..0).count(), 0);
        assert_eq!(pieces(512..1024).collect::<Vec<_>>(), [512..1024]);
        let all: Vec<_> = pieces(0..(9 << 20)).collect();
        assert_eq!(all, [0..4 << 20, 4 << 20..8 << 20, 8 << 20..9 << 20]);
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
        use std::io::Write;
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&vec![3; 5 << 20]).unwrap();
        let image = Arc::new(Image::open(file.path()).unwrap());
        let found = digests(&image).await.unwrap();
        assert_eq!(found.blake3, blake3::hash(&vec![3; 5 << 20]).to_hex().to_string());
    }
}
