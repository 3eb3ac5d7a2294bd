//! Block devices through the binary: backed up, restored to, compared. Loop devices stand for
//! disks, and only root can make them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod rig;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;

use rig::{Bench, disk, noise, ok, text};

/// A file as a block device.
struct Loop(String);

impl Loop {
    fn on(file: &Path) -> Loop {
        let made = Command::new("losetup").args(["--find", "--show"]).arg(file).output();
        let made = made.unwrap_or_else(|e| panic!("losetup, of util-linux, is needed: {e}"));
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "this test needs loop devices, so it runs as root: {said}");
        Loop(String::from_utf8(made.stdout).unwrap().trim().to_owned())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &self.0]).status();
    }
}

#[test]
fn a_block_device_is_backed_up_and_restored_to() {
    let bench = Bench::with_store();
    let mut bytes = disk(30);
    bench.write("source", &bytes);
    let source = Loop::on(&bench.path("source"));
    let made = bench.json("backup", &[&source.0, "--name", "disk"]);
    assert_eq!(made["size"].as_u64(), Some(bytes.len() as u64));
    let first = text(&made["point"]);
    // Through the page cache of the device, as a guest's writes come.
    bytes[8192..16384].copy_from_slice(&noise(31, 8192));
    let dd = format!("dd of={} bs=4096 seek=2 conv=notrunc,fsync status=none", source.0);
    bench.write("piece", &bytes[8192..16384]);
    let piece = fs::File::open(bench.path("piece")).unwrap();
    assert!(Command::new("sh").args(["-c", &dd]).stdin(piece).status().unwrap().success());
    bench.write("changed", b"8192 8192\n");
    let args = [&source.0, "--name", "disk", "--parent", &first, "--changed", "changed"];
    let second = bench.json("backup", &args);
    assert!(second["bytes_read"].as_u64().unwrap() < 2 << 20, "{second}");
    assert_eq!(bench.json("backup", &[&source.0, "--name", "disk"])["bytes_new"], 0);
    // A larger device, full of other bytes: what is behind the point stays.
    let old = noise(32, 8 << 20);
    bench.write("target", &old);
    let target = Loop::on(&bench.path("target"));
    let refused = bench.on("a", "restore", &["--point", "latest", &target.0]);
    assert_eq!(refused.status.code(), Some(2), "not without --overwrite");
    ok(&bench.on("a", "restore", &["--json", "--point", "latest", "--overwrite", &target.0]));
    drop(target);
    let written = bench.read("target");
    assert!(written[..bytes.len()] == bytes && written[bytes.len()..] == old[bytes.len()..]);
    // And one that is too small is left alone.
    bench.write("small", &old[..1 << 20]);
    let small = Loop::on(&bench.path("small"));
    let refused = bench.on("a", "restore", &["--point", "latest", "--overwrite", &small.0]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && said.contains("1048576"), "{said}");
    drop(small);
    assert!(bench.read("small") == old[..1 << 20]);
}

#[test]
fn a_device_that_somebody_uses_or_that_has_no_bytes_is_left_alone() {
    let bench = Bench::with_store();
    bench.backup(&disk(33), &[]);
    let old = noise(34, 8 << 20);
    bench.write("target", &old);
    let target = Loop::on(&bench.path("target"));
    // As a mount does, or swap.
    let exclusive = 0o200;
    let held = OpenOptions::new().read(true).custom_flags(exclusive).open(&target.0).unwrap();
    let args = ["--point", "latest", "--overwrite", &target.0];
    let refused = bench.on("a", "restore", &args);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && said.contains("unmount it first"), "{said}");
    assert!(bench.read("target") == old);
    drop(held);
    ok(&bench.on("a", "restore", &[&["--json"], &args[..]].concat()));
    drop(target);
    assert!(bench.read("target") != old);

    bench.write("empty", b"");
    let empty = Loop::on(&bench.path("empty"));
    let refused = bench.on("a", "backup", &[&empty.0]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && said.contains("no bytes"), "{said}");
    assert_eq!(bench.json("backup", &["empty"])["size"], 0, "a file may be empty");
}
