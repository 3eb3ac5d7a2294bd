use std::io::Write;

use super::make::{PARTITION, check};
use super::*;

fn image_of(bytes: &[u8]) -> Image {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    Image::open(file.path()).unwrap()
}

fn whole(image: &Image) -> Vec<u8> {
    let mut bytes = vec![1; usize::try_from(image.len()).unwrap()];
    image.read_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn a_disk_is_whole_sectors() {
    let image = image_of(&[7; 1000]);
    assert_eq!(image.len(), 1024);
    let bytes = whole(&image);
    assert!(bytes[..1000].iter().all(|byte| *byte == 7));
    assert!(bytes[1000..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_change_is_what_it_says_and_nothing_else() {
    let before = vec![9; 40 << 20];
    let mut image = image_of(&before);
    let ranges = image.change().unwrap();
    let after = whole(&image);
    let changed: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    assert_eq!(changed, (40 << 20) / 100 / BLOCK * BLOCK);
    assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start), "not coalesced");
    for (block, at) in after.chunks_exact(4096).zip((0_u64..).step_by(4096)) {
        let says = ranges.iter().any(|range| range.contains(&at));
        assert_eq!(block != &before[..4096], says, "block at {at}");
    }
}

#[test]
fn a_changed_disk_reads_the_same_in_any_pieces() {
    let mut image = image_of(&vec![9; 8 << 20]);
    image.change().unwrap();
    let at_once = whole(&image);
    let mut pieces = vec![0; at_once.len()];
    for (index, piece) in pieces.chunks_mut(10_007).enumerate() {
        image.read_at(piece, index as u64 * 10_007).unwrap();
    }
    assert!(at_once == pieces);
}

#[test]
fn rows_change_when_there_are_any() {
    let mut bytes = vec![0; 4 << 20];
    for number in 0..64 {
        let at = (256 + number) * 4096;
        bytes[at..at + 4096].copy_from_slice(&row(number as u64, 0));
    }
    let mut image = image_of(&bytes);
    let ranges = image.change().unwrap();
    assert!(!ranges.is_empty());
    for range in &ranges {
        assert!(range.start >= 256 * 4096 && range.end <= 320 * 4096, "{range:?}");
    }
    assert!(whole(&image) != bytes);
}

#[test]
fn a_tiny_disk_changes_nothing_or_its_one_block() {
    assert_eq!(image_of(&[1; 512]).change().unwrap(), []);
    assert_eq!(image_of(&[1; 4096]).change().unwrap(), [0..4096]);
}

#[test]
fn a_made_image_is_a_disk_with_a_sound_file_system() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.img");
    make(&path, 32, folder.path()).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 32 << 20);
    assert_eq!(check(&path).unwrap(), Some(true));

    let disk = gpt::GptConfig::new().open(&path).unwrap();
    let partitions: Vec<_> = disk.partitions().values().collect();
    assert_eq!(partitions.len(), 1);
    assert_eq!(partitions[0].first_lba, PARTITION / 512);
    assert_eq!(partitions[0].last_lba, (31 << 20) / 512 - 1);

    // The file system is still sound after the change: only rows of a file differ.
    let mut image = Image::open(&path).unwrap();
    let changed: u64 = image.change().unwrap().iter().map(|range| range.end - range.start).sum();
    assert_eq!(changed, (32 << 20) / 100 / BLOCK * BLOCK);
    let after = folder.path().join("after.img");
    std::fs::write(&after, whole(&image)).unwrap();
    assert_eq!(check(&after).unwrap(), Some(true));

    // And the check can fail.
    let mut broken = whole(&image);
    broken[(1 << 20) + 1024..(1 << 20) + 2048].fill(0xff);
    std::fs::write(&after, broken).unwrap();
    assert_eq!(check(&after).unwrap(), Some(false));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "scratch was left behind");
}

#[test]
fn an_image_too_small_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(make(&folder.path().join("disk.img"), 1, folder.path()).is_err());
}
