//! `tresor store` through the binary: what is backed up comes back, in every way that it can be
//! asked for; machines can read what is printed; what is wrong is named.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// The binary under test.
fn binary() -> PathBuf {
    let other = std::env::var_os("TRESOR_BINARY").map(PathBuf::from);
    other.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_tresor")))
}

/// A folder with stores, keys and images.
struct Bench(TempDir);

impl Bench {
    fn new() -> Bench {
        Bench(tempfile::tempdir().unwrap())
    }

    /// A bench with the store `a`.
    fn with_store() -> Bench {
        let bench = Bench::new();
        bench.init("a", &[]);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.current_dir(self.0.path()).arg("store").args(args);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TRESOR_")) {
            command.env_remove(name);
        }
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn init(&self, store: &str, more: &[&str]) -> Value {
        let key = format!("{store}.key");
        let args = ["init", "--store", store, "--key-file", &key, "--json"];
        ok(&self.run(&[&args, more].concat()))
    }

    /// Runs a command on the store `a` and reads its JSON.
    fn json(&self, verb: &str, more: &[&str]) -> Value {
        ok(&self.on("a", verb, &[&["--json"], more].concat()))
    }

    fn on(&self, store: &str, verb: &str, more: &[&str]) -> Output {
        let key = format!("{store}.key");
        self.run(&[&[verb, "--store", store, "--key-file", &key], more].concat())
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Backs up `bytes` as the image `disk` and returns the point.
    fn backup(&self, bytes: &[u8], more: &[&str]) -> String {
        self.write("disk", bytes);
        text(&self.json("backup", &[&["disk"], more].concat())["point"])
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// The JSON of a command that succeeded.
fn ok(output: &Output) -> Value {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    assert_eq!(output.stdout.iter().filter(|b| **b == b'\n').count(), 1, "one object, one line");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Bytes that do not compress, the same for the same seed.
fn noise(seed: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new_keyed(&[seed; 32]).finalize_xof().fill(&mut bytes);
    bytes
}

/// A disk of 5 MiB and half a block with a hole of one MiB.
fn disk(seed: u8) -> Vec<u8> {
    let mut bytes = noise(seed, (5 << 20) + 2048);
    bytes[1 << 20..2 << 20].fill(0);
    bytes
}

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
    let again = bench.on("a", "export", &["out", "--point", &first]);
    assert_eq!(again.status.code(), Some(2), "an image that is there is left alone");
    assert!(bench.read(&format!("out/{first}.raw")) == bytes);
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
        (&["backup", "disk", "--changed", "list"], "--parent"),
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
    assert_eq!(bench.read("there"), b"mine");
    assert!(!bench.path("out").exists());
    assert!(walk(&bench.path("a")) == before, "the store is as it was");
}

/// All files below a folder with their bytes.
fn walk(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push((path.clone(), fs::read(path).unwrap())),
            }
        }
    }
    found.sort();
    found
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
    assert_eq!(output.status.code(), Some(1), "{error}");
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

#[test]
fn keys_come_and_go_without_touching_data() {
    let bench = Bench::new();
    let made = bench.init("a", &[]);
    let bytes = disk(16);
    bench.backup(&bytes, &[]);
    let key = |more: &[&str]| -> Value {
        let (verb, rest) = more.split_first().unwrap();
        let place = ["--store", "a", "--key-file", "a.key", "--json"];
        ok(&bench.run(&[&["key", verb], &place[..], rest].concat()))
    };
    let opens = |name: &str, value: &str| {
        let mut list = bench.command(&["restore", "--store", "a", "--point", "latest", "-"]);
        let output = list.env(name, value).output().unwrap();
        output.status.success() && output.stdout == bytes
    };
    let recovery = text(&made["recovery_key"]);
    assert!(opens("TRESOR_RECOVERY_KEY", &recovery));
    let added = key(&["add", "--new-key-file", "b.key", "--label", "bob"]);
    assert!(bench.path("b.key").exists() && opens("TRESOR_KEY_FILE", "b.key"));
    let slots = key(&["list"]);
    let slots = slots["slots"].as_array().unwrap();
    let bob = slots.iter().find(|slot| slot["label"] == "bob").unwrap();
    assert_eq!((slots.len(), &bob["slot"], &bob["kind"]), (3, &added["slot"], &"key file".into()));
    // A passphrase beside it; then bob goes.
    let mut with = bench.command(&["key", "add", "--store", "a", "--key-file", "a.key", "--json"]);
    ok(&with.env("TRESOR_NEW_PASSPHRASE", "open sesame").output().unwrap());
    assert!(opens("TRESOR_PASSPHRASE", "open sesame"));
    key(&["remove", &text(&added["slot"])]);
    assert!(!opens("TRESOR_KEY_FILE", "b.key"));
    let again =
        bench.run(&["key", "remove", "--store", "a", "--key-file", "a.key", &text(&added["slot"])]);
    assert_eq!(again.status.code(), Some(2), "a slot that is not there is named");
    // Rotation keeps what is given and drops what is named, nothing by accident.
    let refused = bench.run(&["key", "rotate", "--store", "a", "--key-file", "a.key"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(opens("TRESOR_PASSPHRASE", "open sesame"));
    let slots = key(&["list"]);
    let phrase = slots["slots"].as_array().unwrap().iter().find(|s| s["kind"] == "passphrase");
    let phrase = text(&phrase.unwrap()["slot"]);
    let place = ["--store", "a", "--key-file", "a.key", "--json", "--drop", &phrase];
    let mut rotate = bench.command(&[&["key", "rotate"], &place[..]].concat());
    ok(&rotate.env("TRESOR_RECOVERY_KEY", &recovery).output().unwrap());
    assert!(!opens("TRESOR_PASSPHRASE", "open sesame") && opens("TRESOR_RECOVERY_KEY", &recovery));
    let new = text(&key(&["recovery"])["recovery_key"]);
    assert!(opens("TRESOR_RECOVERY_KEY", &new) && !opens("TRESOR_RECOVERY_KEY", &recovery));
    assert_eq!(key(&["epoch"])["epoch"], 2);
    bench.backup(&disk(17), &[]);
    key(&["repair"]);
    // Erasing takes the store's own id, and is for ever.
    let id = text(&made["store"]);
    let place = ["key", "erase", "--store", "a", "--key-file", "a.key", "--confirm"];
    let wrong = bench.run(&[&place[..], &["00000000-0000-0000-0000-000000000000"]].concat());
    assert_eq!(wrong.status.code(), Some(2));
    assert!(opens("TRESOR_KEY_FILE", "a.key") || bench.on("a", "list", &[]).status.success());
    assert!(bench.run(&[&place[..], &[&id]].concat()).status.success());
    assert_eq!(bench.on("a", "list", &[]).status.code(), Some(1));
}

#[test]
fn damage_is_found_named_and_healed() {
    let bench = Bench::with_store();
    bench.init("b", &["--domain-of", "a", "--domain-key-file", "a.key"]);
    let bytes = disk(18);
    let point = bench.backup(&bytes, &[]);
    let copy = ["--to", "b", "--to-key-file", "b.key", "--point", &point];
    bench.json("copy", &copy);
    let clean = bench.json("verify", &["--deep"]);
    assert_eq!((&clean["findings"], &clean["complete"]), (&Value::Array(vec![]), &true.into()));
    assert!(clean["frames"].as_u64().unwrap() > 10 && clean["bytes_read"].as_u64() > Some(4 << 20));
    let parts: u64 = (1..=3)
        .map(|n| bench.json("verify", &["--deep", "--slice", &format!("{n}/3")]))
        .map(|part| part["frames"].as_u64().unwrap())
        .sum();
    assert_eq!(parts, clean["frames"].as_u64().unwrap(), "the parts are the whole");
    for (path, mut bytes) in walk(&bench.path("a/packs")) {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let told = bench.on("a", "verify", &["--deep", "--json", "--read-only"]);
    assert_eq!(told.status.code(), Some(3), "{}", String::from_utf8_lossy(&told.stderr));
    let found = bench.on("a", "verify", &["--deep", "--json"]);
    assert_eq!(found.status.code(), Some(3));
    let report: Value = serde_json::from_slice(&found.stdout).unwrap();
    let hit = report["findings"].as_array().unwrap().iter().find(|f| f["affected_count"] == 1);
    let hit = &hit.unwrap()["affected"][0];
    assert_eq!(text(&hit["point"]), point);
    assert!(hit["ranges"][0][1].as_u64().unwrap() > 0, "{hit}");
    assert_eq!(bench.on("a", "restore", &["--point", &point, "out"]).status.code(), Some(1));
    // The copy has what was lost.
    let healed = bench.on(
        "a",
        "repair",
        &["--json", "--heal-from", "b", "--heal-from-key-file", "b.key", "--deep"],
    );
    let report: Value = serde_json::from_slice(&healed.stdout).unwrap();
    assert!(report["contents_fetched"].as_u64().unwrap() > 0, "{report}");
    assert!(bench.on("a", "restore", &["--point", &point, "-"]).stdout == bytes);
}

#[test]
fn a_store_is_repaired_and_recovered_from_its_packs_alone() {
    let bench = Bench::new();
    let made = bench.init("a", &[]);
    let bytes = disk(19);
    let point = bench.backup(&bytes, &[]);
    fs::remove_dir_all(bench.path("a/index")).unwrap();
    fs::remove_file(bench.path("a/config")).unwrap();
    assert_ne!(bench.on("a", "list", &[]).status.code(), Some(0));
    let before = walk(&bench.path("a"));
    // With the key file, and with the recovery key alone.
    let list = bench.json("recover", &[]);
    assert_eq!(text(&list["points"][0]["point"]), point);
    let args = ["recover", "--store", "a", "--recovery-key", "--point", "latest", "-"];
    let mut recover = bench.command(&args);
    let output = recover.env("TRESOR_RECOVERY_KEY", text(&made["recovery_key"])).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout == bytes);
    assert!(walk(&bench.path("a")) == before, "recovery writes nothing");
    let nonsense = bench.command(&args).env("TRESOR_RECOVERY_KEY", "x").output().unwrap();
    assert_eq!(nonsense.status.code(), Some(2));
    // Where only the index is lost, a repair makes it anew.
    let other = Bench::with_store();
    let point = other.backup(&bytes, &[]);
    fs::remove_dir_all(other.path("a/index")).unwrap();
    let before = walk(&other.path("a"));
    let told = other.on("a", "repair", &["--dry-run", "--json"]);
    assert!(walk(&other.path("a")) == before, "a dry run writes nothing");
    let plan: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert!(plan["frames_found"].as_u64().unwrap() > 10, "{plan}");
    let done = other.json("repair", &[]);
    assert_eq!((&done["frames_found"], &done["dry_run"]), (&plan["frames_found"], &false.into()));
    assert!(other.on("a", "restore", &["--point", &point, "-"]).stdout == bytes);
    assert_eq!(other.json("verify", &["--deep"])["findings"], Value::Array(vec![]));
}

#[test]
fn what_no_point_reaches_is_freed() {
    let bench = Bench::with_store();
    let first = bench.backup(&disk(20), &[]);
    let bytes = disk(21);
    bench.backup(&bytes, &[]);
    bench.json("remove", &[&first]);
    let before = walk(&bench.path("a"));
    let plan = bench.json("gc", &["--dry-run"]);
    assert!(plan["dead_packs"].as_u64().unwrap() > 0, "{plan}");
    assert!(walk(&bench.path("a")) == before, "a dry run writes nothing");
    let done = bench.json("gc", &[]);
    assert!(done["freed_bytes"].as_u64().unwrap() > 4 << 20, "{done}");
    assert!(bench.on("a", "restore", &["--point", "latest", "-"]).stdout == bytes);
    assert_eq!(bench.json("verify", &["--deep"])["findings"], Value::Array(vec![]));
}
