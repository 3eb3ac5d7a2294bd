//! `tresor store` through the binary: what is backed up comes back, in every way that it can be
//! asked for; machines can read what is printed; what is wrong is named.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod rig;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use rig::{Bench, disk, noise, ok, text, walk};
use serde_json::Value;

#[test]
fn what_is_backed_up_comes_back_in_every_way() {
    let bench = Bench::with_store();
    let bytes = disk(1);
    let point = bench.backup(&bytes, &["--fact", "host=web"]);
    let restored = bench.json("restore", &["--point", &point, "out"]);
    assert_eq!(
        (text(&restored["point"]), restored["size"].as_u64()),
        (point.clone(), Some(5 << 20 | 2048))
    );
    assert!(bench.read("out") == bytes);
    // Prefixes, the newest, standard output, a part.
    let stream = bench.on("a", "restore", &["--point", &point[..6], "-"]);
    assert!(stream.status.success() && stream.stdout == bytes);
    assert!(String::from_utf8_lossy(&stream.stderr).contains("restored"));
    let part = bench.on("a", "restore", &["--point", "latest", "--range", "1048000:4000", "-"]);
    assert!(part.stdout == bytes[1_048_000..1_052_000]);
    ok(&bench.on("a", "restore", &["--json", "--point", "latest", "--range", "9:5000", "piece"]));
    assert!(bench.read("piece") == bytes[9..5009]);
    // Over what is there: longer, and full of other bytes.
    bench.write("old", &noise(9, 6 << 20));
    ok(&bench.on("a", "restore", &["--json", "--point", "latest", "--overwrite", "old"]));
    assert!(bench.read("old") == bytes);
    // qcow2, whose size is a multiple of 512, and back.
    ok(&bench.on("a", "restore", &["--json", "--point", "latest", "out.qcow2"]));
    assert_eq!(bench.read("out.qcow2")[..4], *b"QFI\xfb");
    let again = bench.json("backup", &["out.qcow2"]);
    assert_eq!(again["bytes_new"], 0, "the same bytes are known, whatever they came in");
    ok(&bench.on("a", "restore", &["--json", "--point", &text(&again["point"]), "out2"]));
    assert!(bench.read("out2") == bytes);
}

#[test]
fn qemu_reads_what_is_written_as_qcow2() {
    if Command::new("qemu-img").arg("--version").output().is_err() {
        println!("there is no qemu-img here: its half of this test is left out");
        return;
    }
    let bench = Bench::with_store();
    let bytes = disk(2);
    bench.backup(&bytes, &[]);
    ok(&bench.on("a", "restore", &["--json", "--point", "latest", "out.qcow2"]));
    let qemu = |args: &[&str]| {
        let done = Command::new("qemu-img").current_dir(bench.0.path()).args(args).output();
        let done = done.unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    qemu(&["check", "out.qcow2"]);
    qemu(&["convert", "-O", "raw", "out.qcow2", "out.raw"]);
    assert!(bench.read("out.raw") == bytes);
    // A disk that does not end with a sector: QEMU would leave out what is behind the last one.
    ok(&bench.on(
        "a",
        "restore",
        &["--json", "--point", "latest", "--range", "7:5000", "part.qcow2"],
    ));
    qemu(&["convert", "-O", "raw", "part.qcow2", "part.raw"]);
    let part = bench.read("part.raw");
    assert!(part[..5000] == bytes[7..5007] && part[5000..] == [0; 120]);
    // Compressed, and over a backing file, as QEMU makes them.
    qemu(&["convert", "-c", "-O", "qcow2", "out.raw", "small.qcow2"]);
    assert_eq!(bench.json("backup", &["small.qcow2"])["bytes_new"], 0);
    qemu(&["create", "-f", "qcow2", "-b", "out.raw", "-F", "raw", "over.qcow2"]);
    let refused = bench.on("a", "backup", &["over.qcow2"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--allow-backing"));
    assert_eq!(bench.json("backup", &["--allow-backing", "over.qcow2"])["bytes_new"], 0);
}

#[test]
fn an_increment_reads_what_the_list_says() {
    let bench = Bench::with_store();
    let mut bytes = disk(3);
    let first = bench.backup(&bytes, &[]);
    bytes[8192..12288].fill(7);
    bench.write("disk", &bytes);
    bench.write("changed", b"8192 4096\n");
    let args = ["disk", "--parent", "latest", "--changed", "changed"];
    let second = bench.json("backup", &args);
    assert_eq!(text(&second["parent"]), first);
    assert!(second["bytes_read"].as_u64().unwrap() < 2 << 20, "{second}");
    ok(&bench.on("a", "restore", &["--json", "--point", "latest", "out"]));
    assert!(bench.read("out") == bytes);
    // The difference is a list that a backup understands.
    let diff = bench.on("a", "diff", &[&first, &text(&second["point"])]);
    bench.write("diff", &diff.stdout);
    let args = ["disk", "--parent", &first, "--changed", "diff"];
    assert_eq!(bench.json("backup", &args)["bytes_new"], 0);
    // Relative to the newest point of the image when nothing else is said.
    let newest = text(&bench.json("list", &[])["points"][0]["point"]);
    let next = bench.json("backup", &["disk", "--changed", "diff"]);
    assert_eq!((text(&next["parent"]), next["bytes_new"].as_u64()), (newest, Some(0)));
    // A list is believed: otherwise it would not save any reading.
    bench.write("disk", &noise(4, bytes.len()));
    bench.write("changed", b"");
    ok(&bench.on("a", "backup", &["--json", "disk", "--parent", "latest", "--changed", "changed"]));
    ok(&bench.on("a", "restore", &["--json", "--point", "latest", "out2"]));
    assert!(bench.read("out2") == bytes);
    // Without a word, the parent is the newest point of the image; another image has none.
    let next = bench.json("backup", &["disk"]);
    assert!(next["parent"].is_string());
    bench.write("other", &bytes);
    assert_eq!(bench.json("backup", &["other"])["parent"], Value::Null);
    assert_eq!(bench.json("backup", &["disk", "--parent", "none"])["parent"], Value::Null);
    let named = bench.json("backup", &["other", "--name", &text(&next["image"])]);
    assert!(named["parent"].is_string());
}

#[test]
fn an_image_has_one_name_from_wherever_it_is_called() {
    let bench = Bench::with_store();
    bench.backup(&disk(16), &[]);
    fs::create_dir_all(bench.path("real/sub")).unwrap();
    std::os::unix::fs::symlink("real/sub", bench.path("link")).unwrap();
    std::os::unix::fs::symlink("../disk", bench.path("real/other")).unwrap();
    let (store, key) = (bench.path("a"), bench.path("a.key"));
    let name = |from: &str, path: &str| {
        let mut command = bench.command(&["backup", "--json", path]);
        command.current_dir(bench.path(from)).env("TRESOR_STORE", &store);
        let made = ok(&command.env("TRESOR_KEY_FILE", &key).output().unwrap());
        text(&made["image"])
    };
    let disk = bench.path("disk").display().to_string();
    assert_eq!(text(&bench.json("list", &[])["points"][0]["image"]), disk);
    // Over a link, `..` goes to where the link leads.
    let ways = [(".", "real/../disk"), ("real/sub", "../.././disk"), (".", "link/../../disk")];
    for (from, path) in ways {
        assert_eq!(name(from, path), disk, "{path} from {from}");
    }
    // An image that is a link itself keeps the link's name.
    let other = bench.path("real/other").display().to_string();
    assert_eq!(name("real/sub", "../other"), other);
    assert_eq!(name(".", "real/other"), other);
}

#[test]
fn lists_tell_the_newest_first_and_removal_takes_away() {
    let bench = Bench::with_store();
    assert_eq!(bench.json("list", &[])["points"], Value::Array(Vec::new()));
    let first = bench.backup(&disk(5), &["--name", "vm", "--fact", "host=web"]);
    let second = bench.backup(&disk(6), &["--name", "vm"]);
    let list = bench.json("list", &[]);
    let points: Vec<String> =
        list["points"].as_array().unwrap().iter().map(|p| text(&p["point"])).collect();
    assert_eq!(points, [second.clone(), first.clone()]);
    let oldest = &list["points"][1];
    assert_eq!(
        (text(&oldest["image"]), text(&oldest["facts"]["host"])),
        ("vm".into(), "web".into())
    );
    assert!(oldest["added"].as_u64().unwrap() > 4 << 20);
    let shown = String::from_utf8(bench.on("a", "list", &[]).stdout).unwrap();
    assert!(shown.lines().nth(1).unwrap().starts_with(&second) && shown.contains("5.0 MiB"));
    assert_eq!(bench.json("remove", &[&first])["removed"][0], first.as_str());
    assert_eq!(bench.json("list", &[])["points"].as_array().unwrap().len(), 1);
    assert_eq!(bench.on("a", "remove", &[&first]).status.code(), Some(2));
}

#[test]
fn differences_add_up() {
    let bench = Bench::with_store();
    let mut bytes = disk(7);
    let first = bench.backup(&bytes, &[]);
    bytes[3 << 20..(3 << 20) + 4096].fill(1);
    bytes[4 << 20..(4 << 20) + (512 << 10)].fill(0);
    let second = bench.backup(&bytes, &[]);
    let diff = bench.json("diff", &[&first, &second]);
    let ranges = diff["changed"].as_array().unwrap();
    let sum = |zero: bool| -> u64 {
        let of = ranges.iter().filter(|r| r["zero"] == zero);
        of.map(|r| r["length"].as_u64().unwrap()).sum()
    };
    assert_eq!(diff["ranges"].as_u64().unwrap(), ranges.len() as u64);
    assert_eq!(diff["data_bytes"], sum(false));
    assert_eq!(diff["zero_bytes"], sum(true));
    assert_eq!(sum(true), 512 << 10);
    assert!(sum(false) >= 4096 && sum(false) < 2 << 20, "{diff}");
    let summary = bench.json("diff", &["--summary", &first, &second]);
    assert_eq!((&summary["ranges"], summary.get("changed")), (&diff["ranges"], None));
    assert_eq!(bench.json("diff", &[&first, &first])["ranges"], 0);
}

#[test]
fn a_store_and_its_points_can_be_looked_into() {
    let bench = Bench::new();
    let made = bench.init("a", &["--profile", "vault"]);
    let point = bench.backup(&disk(8), &[]);
    let store = bench.json("inspect", &[]);
    assert_eq!(store["store"], made["store"]);
    assert_eq!(store["objects"]["points"]["objects"], 1);
    assert!(store["objects"]["packs"]["bytes"].as_u64().unwrap() > 4 << 20);
    assert!(store["config"]["level"].as_i64().unwrap() > 1, "the vault profile packs tighter");
    assert_eq!((&store["pins"], &store["writers"]), (&Value::Array(vec![]), &Value::Array(vec![])));
    let shape = bench.json("inspect", &[&point]);
    assert_eq!(shape["zero_bytes"], 1 << 20);
    assert_eq!(shape["data_bytes"], (4 << 20) + 2048);
    assert!(bench.on("a", "inspect", &[&point]).stdout.starts_with(b"point"));
}

#[test]
fn exported_points_need_no_store() {
    let bench = Bench::with_store();
    let bytes = disk(9);
    let first = bench.backup(&bytes, &[]);
    let second = bench.backup(&disk(10), &[]);
    bench.json("export", &["out", "--point", &first]);
    assert!(bench.read(&format!("out/{first}.raw")) == bytes);
    let told: Value = serde_json::from_slice(&bench.read(&format!("out/{first}.json"))).unwrap();
    assert_eq!((text(&told["point"]), text(&told["format"])), (first.clone(), "raw".into()));
    let all = bench.json("export", &["records", "--all", "--records"]);
    assert_eq!(all["points"].as_array().unwrap().len(), 2);
    assert!(bench.path(&format!("records/{second}.json")).exists());
    assert_eq!(fs::read_dir(bench.path("records")).unwrap().count(), 2);
    // Run again it goes on where it was; what is there is never replaced.
    let again = bench.json("export", &["out", "--all"]);
    assert_eq!((again["skipped"].as_u64(), all["skipped"].as_u64()), (Some(1), Some(0)));
    assert!(bench.read(&format!("out/{second}.raw")) == disk(10));
    // An image without a description stands in the way of its own point alone.
    fs::remove_file(bench.path(&format!("out/{first}.json"))).unwrap();
    fs::remove_file(bench.path(&format!("out/{second}.raw"))).unwrap();
    let halted = bench.on("a", "export", &["out", "--all"]);
    let said = String::from_utf8_lossy(&halted.stdout).into_owned();
    assert!(halted.status.code() == Some(1) && said.contains("remove it"), "{said}");
    assert!(bench.read(&format!("out/{second}.raw")) == disk(10));
    for format in ["raw", "qcow2"] {
        fs::write(bench.path(&format!("out/{first}.json")), format).unwrap();
        let other = bench.on("a", "export", &["out", "--point", &first, "--format", format]);
        assert_eq!(other.status.code(), Some(2));
        assert!(bench.read(&format!("out/{first}.json")) == format.as_bytes());
        assert!(bench.read(&format!("out/{first}.raw")) == bytes);
    }
}

#[test]
fn copies_move_what_is_missing() {
    let bench = Bench::with_store();
    bench.init("b", &["--profile", "vault", "--domain-of", "a", "--domain-key-file", "a.key"]);
    bench.init("c", &[]);
    let mut bytes = disk(11);
    let first = bench.backup(&bytes, &[]);
    bytes[8192..12288].fill(7);
    let second = bench.backup(&bytes, &[]);
    let to = |store: &str, more: &[&str]| {
        let key = format!("{store}.key");
        bench.json("copy", &[&["--to", store, "--to-key-file", &key], more].concat())
    };
    let one = to("b", &["--point", &first]);
    assert_eq!(one["points"].as_array().unwrap().len(), 1);
    let rest = to("b", &["--all"]);
    assert_eq!(
        (&rest["points"][0]["copied"], &rest["points"][1]["copied"]),
        (&Value::Bool(false), &Value::Bool(true))
    );
    assert!(rest["points"][1]["bytes_new"].as_u64().unwrap() < 1 << 20, "{rest}");
    assert_eq!(rest["points"][1]["anew"], false);
    let anew = to("c", &["--all"]);
    assert_eq!(anew["points"][1]["anew"], true);
    assert!(anew["points"][1]["bytes_read"].as_u64().unwrap() < 2 << 20, "{anew}");
    for store in ["b", "c"] {
        let out = bench.on(store, "restore", &["--point", &second, "-"]);
        assert!(out.status.success() && out.stdout == bytes, "{store}");
    }
    // The store can also be called --from.
    let again = bench.run(&[
        "copy",
        "--from",
        "a",
        "--key-file",
        "a.key",
        "--to",
        "b",
        "--to-key-file",
        "b.key",
        "--all",
        "--json",
    ]);
    assert!(ok(&again)["points"].as_array().unwrap().iter().all(|p| p["copied"] == false));
    // Passphrases of both.
    let mut with = bench.command(&["init", "--store", "d"]);
    assert!(with.env("TRESOR_PASSPHRASE", "of d").output().unwrap().status.success());
    let mut with = bench.command(&["copy", "--store", "d", "--to", "c", "--all", "--json"]);
    with.env("TRESOR_PASSPHRASE", "of d").env("TRESOR_TO_PASSPHRASE", "wrong");
    let refused = with.output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("help: "));
}

#[test]
fn the_environment_names_the_store_and_its_key() {
    let bench = Bench::with_store();
    let point = bench.backup(&disk(12), &[]);
    let mut command = bench.command(&["list", "--json"]);
    command.env("TRESOR_STORE", "a").env("TRESOR_KEY_FILE", "a.key").env("TRESOR_CACHE", "cache");
    assert_eq!(text(&ok(&command.output().unwrap())["points"][0]["point"]), point);
    assert!(bench.path("cache").is_dir(), "the copies of the index stay");
}

#[test]
fn progress_is_lines_of_json_when_asked_for() {
    let bench = Bench::with_store();
    bench.write("disk", &disk(13));
    let done = bench.on("a", "backup", &["disk", "--progress", "json", "--json"]);
    ok(&done);
    let line = String::from_utf8(done.stderr).unwrap();
    let last: Value = serde_json::from_str(line.lines().last().unwrap()).unwrap();
    assert_eq!((&last["bytes"], &last["total"]), (&last["total"], &Value::from((5 << 20) + 2048)));
    assert_eq!(last["done"], true);
    let quiet = bench.on("a", "backup", &["disk"]);
    assert!(quiet.status.success() && quiet.stderr.is_empty(), "no terminal, no progress");
}

/// Called wrongly: exit code 2, the argument is named, and nothing happens to the store.
#[test]
fn what_is_wrong_is_named() {
    let bench = Bench::with_store();
    bench.backup(&disk(14), &["--name", "vm"]);
    bench.backup(&disk(14), &["--name", "vm"]);
    bench.write("there", b"mine");
    bench.write("bad.key", b"short");
    bench.write("list", b"0 10\nx\n");
    bench.write("good", b"0 10\n");
    bench.write("map.json", b"[{\"length\":1}]");
    fs::copy(bench.path("disk"), bench.path("fake.qcow2")).unwrap();
    let before = walk(&bench.path("a"));
    let none = "0".repeat(32);
    let table: &[(&[&str], &str)] = &[
        (&["restore", "out"], "--point"),
        (&["restore", "--point", "short", "out"], "short"),
        (&["restore", "--point", &none, "out"], &none),
        (&["restore", "--point", "latest:other", "out"], "other"),
        (&["restore", "--point", "latest", "there"], "--overwrite"),
        (&["restore", "--point", "latest", "no/folder/out"], "no/folder/out"),
        (&["restore", "--point", "latest", "--range", "5", "out"], "--range"),
        (&["restore", "--point", "latest", "--range", "5242880:9999", "out"], "--range"),
        (&["restore", "--point", "latest", "--format", "qcow2", "-"], "qcow2"),
        (&["backup"], "IMAGE"),
        (&["backup", "missing"], "missing"),
        (&["backup", "-"], "standard input"),
        (&["backup", "fake.qcow2"], "fake.qcow2"),
        (&["backup", "disk", "--changed", "good"], "no recovery point of /"),
        (&["backup", "disk", "--changed", "good", "--parent", "none"], "--changed"),
        (&["backup", "disk", "--changed", "list"], "list:2"),
        (&["backup", "disk", "--name", "vm", "--changed", "."], "."),
        (&["backup", "."], "a folder"),
        (&["backup", "disk", "--name", ""], "--name"),
        (&["backup", "disk", "--fact", "a=1", "--fact", "a=2"], "--fact a"),
        (&["backup", "disk", "--name", "vm", "--parent", "latest", "--changed", "list"], "list:2"),
        (&["backup", "disk", "--name", "vm", "--parent", "latest", "--changed", "map.json"], "map"),
        (&["backup", "disk", "--parent", "none", "--changed", "map.json"], "map"),
        (&["backup", "disk", "--parent", "latest"], "disk"),
        (&["backup", "disk", "--parent", &none], &none),
        (&["backup", "disk", "--fact", "novalue"], "--fact"),
        (&["backup", "disk", "--fact", "image=x"], "--fact"),
        (&["diff", "latest"], "NEWER"),
        (&["diff", "latest", &none], &none),
        (&["inspect", "nothing"], "nothing"),
        (&["export", "out"], "--point"),
        (&["export", "out", "--point", &none], &none),
        (&["copy", "--all"], "--to"),
        (&["copy", "--to", "b"], "--point"),
        (&["copy", "--to", "nowhere", "--all"], "nowhere"),
        (&["copy", "--to", "a", "--point", &none], &none),
        (&["remove"], "POINTS"),
        (&["remove", "latest", &none], &none),
        (&["list", "--progress", "loud"], "--progress"),
        (&["verify", "--slice", "4/3"], "--slice"),
        (&["verify", "--percent", "101"], "--percent"),
        (&["verify", "--rate", "fast"], "--rate"),
        (&["verify", "--point", &none], &none),
        (&["verify", "--resume", "there"], "there"),
        (&["repair", "--dry-run", "--heal-from", "b"], "--heal-from"),
        (&["recover", "--point", "latest"], "OUT"),
    ];
    for (args, named) in table {
        let output = bench.on("a", args[0], &args[1..]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {error}");
        assert!(error.contains(named), "{args:?} does not name {named}: {error}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
    wrong_stores_and_keys_are_named(&bench);
    assert_eq!(bench.read("there"), b"mine");
    assert!(!bench.path("out").exists());
    assert!(walk(&bench.path("a")) == before, "the store is as it was");
}

fn wrong_stores_and_keys_are_named(bench: &Bench) {
    for (store, key, named) in [
        ("nowhere", "a.key", "nowhere"),
        ("a", "bad.key", "bad.key"),
        ("a", "no.key", "no.key"),
        ("ftp://x/y", "a.key", "ftp"),
    ] {
        let output = bench.run(&["list", "--store", store, "--key-file", key]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{store} {key}: {error}");
        assert!(error.contains(named), "{store} {key}: {error}");
    }
    let keyless = bench.run(&["list", "--store", "a"]);
    assert_eq!(keyless.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&keyless.stderr).contains("TRESOR_PASSPHRASE"));
}

#[test]
fn a_failure_says_what_to_do_next() {
    let bench = Bench::with_store();
    bench.backup(&disk(15), &[]);
    bench.init("b", &[]);
    let output = bench.run(&["list", "--store", "a", "--key-file", "b.key"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("help: give the key"), "{error}");
    for (path, mut bytes) in walk(&bench.path("a/packs")) {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let output = bench.on("a", "restore", &["--point", "latest", "out"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{error}");
    assert!(error.contains("help: `tresor store verify"), "{error}");
    assert!(!bench.path("out").exists(), "nothing was left behind");
    // A second init must not touch the first store.
    let again = bench.on("a", "init", &[]);
    assert_eq!(again.status.code(), Some(1));
}

#[test]
fn every_verb_has_help() {
    let bench = Bench::new();
    let verbs = [
        "init", "backup", "restore", "list", "diff", "inspect", "export", "copy", "remove", "key",
        "verify", "repair", "recover", "gc",
    ];
    for verb in verbs {
        let help = bench.run(&[verb, "--help"]);
        let text = String::from_utf8(help.stdout).unwrap();
        assert!(help.status.success() && text.contains("Usage: tresor store"), "{verb}");
    }
}
