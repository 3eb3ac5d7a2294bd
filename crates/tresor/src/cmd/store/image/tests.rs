#![expect(clippy::single_range_in_vec_init, reason = "lists of one range are meant")]

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::ops::Range;

use super::*;

fn list(text: &str) -> Result<Vec<Range<u64>>> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    changed_ranges(file.path(), 1000)
}

#[test]
fn what_is_wrong_with_a_list_names_the_file_and_the_place() {
    assert_eq!(list("500 100\n0 10\n10 5\n").unwrap(), [0..15, 500..600]);
    let error = list("0 1\n1\n").unwrap_err();
    assert!(Usage::is_in(&error) && error.to_string().contains(":2: not"), "{error}");
    for wrong in ["[1]", "[{\"offset\":999,\"length\":2}]", "[{\"length\":1}]", "["] {
        let error = list(wrong).unwrap_err();
        assert!(Usage::is_in(&error) && error.to_string().contains("range"), "{wrong}: {error}");
        let chain = format!("{error:#}");
        assert!(chain.matches("not a list of").count() < 2, "{chain}");
    }
    let error =
        list(r#"[{"offset":0,"length":9,"type":3,"description":"hole,zero"}]"#).unwrap_err();
    assert!(Usage::is_in(&error) && error.to_string().contains("dirty-bitmap"), "{error}");
}

/// What is said about `path`; that must not wait for anybody.
fn said<T: 'static>(path: &Path, open: fn(&Path) -> Result<T>) -> String {
    let (send, receive) = std::sync::mpsc::channel();
    let path = path.to_path_buf();
    std::thread::spawn(move || send.send(open(&path).err().map(|e| (Usage::is_in(&e), e))));
    let error = receive.recv_timeout(std::time::Duration::from_secs(20)).unwrap();
    let (usage, error) = error.unwrap();
    assert!(usage, "{error:#}");
    format!("{error:#}")
}

#[test]
fn only_files_and_block_devices_are_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let made = std::process::Command::new("mkfifo").arg(path("pipe")).arg(path("p.qcow2")).status();
    assert!(made.unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
    std::os::unix::fs::symlink(path("pipe"), path("link")).unwrap();
    let others = [
        (path("pipe"), "a pipe"),
        (path("p.qcow2"), "a pipe"),
        (path("link"), "a pipe"),
        (path("socket"), "a socket"),
        (folder.path().to_path_buf(), "a folder"),
        ("/dev/null".into(), "a character device"),
        ("/dev/zero".into(), "a character device"),
    ];
    for (path, what) in &others {
        for said in [
            said(path, |path| open(path, None, false)),
            said(path, |path| changed_ranges(path, 1000)),
            said(path, |path| BlockDevice::open(path, 1000)),
        ] {
            assert!(said.contains(what) && said.contains(&path.display().to_string()), "{said}");
        }
    }
    fs::write(path("empty"), b"").unwrap();
    assert!(open(&path("empty"), None, false).unwrap().is_empty());
}

#[test]
fn holes_are_left_out() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(8 << 20).unwrap();
    file.seek(SeekFrom::Start(4 << 20)).unwrap();
    file.write_all(&[1; 4096]).unwrap();
    let image = RawImage::open(file.path()).unwrap();
    assert_eq!(image.len(), 8 << 20);
    let found = image.allocated(0..8 << 20).unwrap();
    assert_eq!(found, [4 << 20..(4 << 20) + 4096]);
    assert_eq!(image.allocated(0..1 << 20).unwrap(), []);
    assert_eq!(image.allocated(4 << 20..(4 << 20) + 10).unwrap(), [4 << 20..(4 << 20) + 10]);
}

#[test]
fn an_output_is_gone_unless_it_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    for format in [Format::Raw, Format::Qcow2] {
        let path = folder.path().join(format!("out.{}", format.ending()));
        let out = create(&path, format, 1 << 20).unwrap();
        out.write_at(b"x", 10).unwrap();
        drop(out);
        assert!(!path.exists());
        create(&path, format, 1 << 20).unwrap().keep().unwrap();
        assert_eq!(open(&path, None, false).unwrap().len(), 1 << 20);
        assert!(create(&path, format, 1).is_err(), "an existing file is not taken");
    }
}

#[test]
fn a_qcow2_image_holds_what_was_written_from_many_threads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.qcow2");
    let size = (64 << 20) + 512;
    let out = create(&path, Format::Qcow2, size).unwrap();
    let mut expected = vec![0; size as usize];
    let pieces: Vec<(u64, Vec<u8>)> = (0..200u64)
        .map(|n| {
            let start = n * 7 * 40_960 % (60 << 20) / 4096 * 4096;
            (start, vec![n as u8 | 1; 4096 * (1 + n as usize % 5)])
        })
        .collect();
    // Threads never write the same bytes.
    let mut free = vec![true; expected.len() / 4096 + 1];
    let pieces: Vec<_> = pieces
        .into_iter()
        .filter(|(start, bytes)| {
            let blocks = *start as usize / 4096..(*start as usize + bytes.len()) / 4096;
            let mine = free[blocks.clone()].iter().all(|f| *f);
            free[blocks].fill(false);
            mine
        })
        .collect();
    for (start, bytes) in &pieces {
        expected[*start as usize..*start as usize + bytes.len()].copy_from_slice(bytes);
    }
    std::thread::scope(|scope| {
        for part in pieces.chunks(pieces.len().div_ceil(3)) {
            let out = &out;
            scope.spawn(move || {
                part.iter().for_each(|(start, bytes)| out.write_at(bytes, *start).unwrap());
            });
        }
    });
    out.keep().unwrap();
    assert!(fs::metadata(&path).unwrap().len() < 40 << 20, "zeros take no space");
    let image = open(&path, None, false).unwrap();
    let mut bytes = vec![9; size as usize];
    image.read_at(&mut bytes, 0).unwrap();
    assert!(bytes == expected);
    let allocated = image.allocated(0..size).unwrap();
    let mut rest = expected.clone();
    allocated.iter().for_each(|r| rest[r.start as usize..r.end as usize].fill(0));
    assert!(rest.iter().all(|b| *b == 0), "what is allocated covers what is not zero");
    assert!(allocated.iter().map(|r| r.end - r.start).sum::<u64>() < 32 << 20);
}

#[test]
fn an_image_that_another_program_could_have_made_up_is_not_guessed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.img");
    create(&path, Format::Qcow2, 1 << 20).unwrap().keep().unwrap();
    assert!(Usage::is_in(&open(&path, None, false).err().unwrap()));
    assert_eq!(open(&path, Some(Format::Qcow2), false).unwrap().len(), 1 << 20);
    assert!(open(&path, Some(Format::Raw), false).unwrap().len() < 1 << 20 | 1 << 19);
    assert!(Usage::is_in(&open(Path::new("-"), None, false).err().unwrap()));
}

/// Behind the new end there seem to be holes: they are none.
#[test]
fn an_image_that_is_cut_off_is_not_read_as_zeros() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), vec![1; 1 << 20]).unwrap();
    let image = open(file.path(), None, false).unwrap();
    assert_eq!(image.allocated(0..1 << 20).unwrap(), [0..1 << 20]);
    file.as_file().set_len(1 << 19).unwrap();
    assert_eq!(image.allocated(0..1 << 19).unwrap(), [0..1 << 19]);
    let error = image.allocated(1 << 19..1 << 20).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
}
