//! `tresor store` through the binary, what keeps a store alive: its keys are changed, damage is
//! found and healed, what was lost is made anew, what nobody needs is freed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod rig;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use rig::{Bench, disk, noise, ok, text, walk};
use serde_json::Value;

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
    assert_eq!(bench.on("a", "restore", &["--point", &point, "out"]).status.code(), Some(3));
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

/// Overwrites files with other bytes of the same length.
fn spoil<'a>(files: impl IntoIterator<Item = &'a PathBuf>) {
    for path in files {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn packs(bench: &Bench) -> BTreeSet<PathBuf> {
    walk(&bench.path("a/packs")).into_iter().map(|(path, _)| path).collect()
}

fn report(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {said}"))
}

/// A newest point whose record is damaged is not passed over for an older one.
#[test]
fn the_latest_point_is_the_latest_or_none() {
    let bench = Bench::with_store();
    let bytes = disk(22);
    let older = bench.backup(&bytes, &["--name", "vm"]);
    let newer = bench.backup(&disk(23), &["--name", "vm"]);
    let record = bench.path(&format!("a/points/{newer}"));
    spoil([&record]);
    bench.write("list", b"0 4096\n");
    let calls: [&[&str]; 8] = [
        &["restore", "--point", "latest", "out"],
        &["restore", "--point", "latest:vm", "out"],
        &["restore", "--point", &newer[..8], "out"],
        &["backup", "disk", "--name", "vm", "--parent", "latest:vm", "--changed", "list"],
        &["backup", "disk", "--name", "vm", "--parent", "latest", "--changed", "list"],
        &["backup", "disk", "--name", "vm", "--changed", "list"],
        &["diff", &older, "latest"],
        &["recover", "--point", "latest", "out"],
    ];
    for call in calls {
        let refused = bench.on("a", call[0], &call[1..]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(3), "{call:?}: {said}");
        assert!(said.contains(&format!("points/{newer}")), "{call:?}: {said}");
        if call.iter().any(|word| word.starts_with("latest")) {
            assert!(said.contains("by its key") && said.contains("store list"), "{said}");
        }
    }
    assert!(!bench.path("out").exists());
    // What is named by its key needs no other.
    assert!(bench.on("a", "restore", &["--point", &older, "-"]).stdout == bytes);
    assert!(bench.on("a", "restore", &["--point", &older[..8], "-"]).stdout == bytes);
    assert_eq!(bench.json("list", &[])["points"].as_array().unwrap().len(), 1);
    // A backup that reads everything may follow whatever there is.
    assert_eq!(bench.json("backup", &["disk", "--name", "vm"])["parent"], older.as_str());
    let found = bench.on("a", "verify", &[]);
    let said = String::from_utf8(found.stdout).unwrap();
    assert_eq!(found.status.code(), Some(3));
    assert!(said.contains(&format!("point {newer} cannot be read at all")), "{said}");
    let hit = &report(&bench.on("a", "verify", &["--json"]))["findings"][0]["affected"][0];
    assert_eq!((&hit["whole"], &hit["ranges"]), (&true.into(), &Value::Array(vec![])));
    // Collection says what to do, and that can be done.
    let refused = bench.on("a", "gc", &[]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(3) && !said.contains("again"), "{said}");
    assert!(said.contains(&format!("`tresor store remove {newer}`")), "{said}");
    assert_eq!(bench.json("remove", &[&newer])["removed"][0], newer.as_str());
    ok(&bench.on("a", "restore", &["--json", "--point", "latest", "out"]));
    bench.json("gc", &[]);
    let name = "0".repeat(32);
    for (folder, leaf, what) in [
        ("points", "stray.txt", "no part of a store"),
        ("pins", &*name, "repair --release-damaged"),
        ("writers", &*name, "repair --release-damaged"),
    ] {
        let object = format!("{folder}/{leaf}");
        bench.write(&format!("a/{object}"), b"stray");
        for how in [&[][..], &["--dry-run"]] {
            let refused = bench.on("a", "gc", how);
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert_eq!(refused.status.code(), Some(3), "{object}: {said}");
            assert!(said.contains(&object) && said.contains(what), "{object}: {said}");
        }
        fs::remove_file(bench.path(&format!("a/{object}"))).unwrap();
    }
    // What cannot be a record holds nothing.
    bench.write("a/pins/stray.txt", b"stray");
    bench.json("gc", &[]);
}

/// What is damaged is named in the end; all else is copied and exported.
#[test]
fn damage_of_a_point_keeps_no_other_from_being_copied_or_exported() {
    let bench = Bench::with_store();
    bench.init("b", &["--domain-of", "a", "--domain-key-file", "a.key"]);
    bench.init("c", &[]);
    let alone = ["--parent", "none"];
    let first = bench.backup(&disk(24), &alone);
    let before = packs(&bench);
    let second = bench.backup(&disk(25), &alone);
    spoil(packs(&bench).difference(&before));
    let bytes = disk(26);
    let third = bench.backup(&bytes, &alone);
    let copy = |store: &str, more: &[&str]| {
        let key = format!("{store}.key");
        bench.on("a", "copy", &[&["--to", store, "--to-key-file", &key], more].concat())
    };
    // Moved as they are, and cut anew.
    for store in ["b", "c"] {
        let copied = copy(store, &["--all", "--json"]);
        let told = report(&copied);
        assert_eq!(copied.status.code(), Some(3), "{told}");
        let done: Vec<String> =
            told["points"].as_array().unwrap().iter().map(|one| text(&one["point"])).collect();
        assert_eq!(done, [first.clone(), third.clone()]);
        assert_eq!((&told["failed_count"], &told["damaged_count"]), (&1.into(), &0.into()));
        assert_eq!(text(&told["failed"][0]["point"]), second);
        assert!(!text(&told["failed"][0]["why"]).is_empty());
        assert!(bench.on(store, "restore", &["--point", &third, "-"]).stdout == bytes);
        // Named, it is what was asked for.
        let refused = copy(store, &["--point", &second]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(3) && said.contains(&second), "{store}: {said}");
    }
    spoil([&bench.path(&format!("a/points/{first}"))]);
    let copied = copy("b", &["--all"]);
    let (said, error) = (String::from_utf8_lossy(&copied.stdout), &copied.stderr);
    assert_eq!(copied.status.code(), Some(3));
    assert!(said.contains(&format!("damaged: points/{first}: ")), "{said}");
    assert!(said.contains(&format!("failed: {second}: ")), "{said}");
    assert!(said.contains("copied 0 of 3 points"), "{said}");
    assert!(String::from_utf8_lossy(error).contains("2 points were not copied"));
    let exported = bench.on("a", "export", &["out", "--all", "--json"]);
    let told = report(&exported);
    assert_eq!(exported.status.code(), Some(3), "{told}");
    assert_eq!(text(&told["points"][0]["point"]), third);
    assert_eq!(text(&told["failed"][0]["point"]), second);
    assert_eq!(text(&told["damaged"][0]["object"]), format!("points/{first}"));
    assert!(bench.read(&format!("out/{third}.raw")) == bytes);
    assert_eq!(fs::read_dir(bench.path("out")).unwrap().count(), 2, "nothing half is left");
    let again = bench.on("a", "export", &["out", "--all"]);
    let said = String::from_utf8_lossy(&again.stdout);
    assert!(again.status.code() == Some(3) && said.contains("1 were there already"), "{said}");
}

/// What a verification found before it was stopped is not forgotten by the one that goes on.
#[test]
fn a_stopped_verification_keeps_what_it_found() {
    let bench = Bench::with_store();
    bench.init("b", &[]);
    for seed in 0..4 {
        bench.backup(&noise(90 + seed, 1 << 20), &["--parent", "none"]);
    }
    let whole = walk(&bench.path("a/packs"));
    spoil(whole.iter().map(|(path, _)| path));
    let slow = ["verify", "--store", "a", "--key-file", "a.key", "--deep", "--read-only", "--json"];
    let mark = ["--rate", "1M", "--resume", "mark", "--progress", "json"];
    let mut command = bench.command(&[&slow[..], &mark].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A line comes when something was done.
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    said.next().unwrap().unwrap();
    send(&child, "INT");
    said.for_each(|line| drop(line.unwrap()));
    let output = child.wait_with_output().unwrap();
    let first = report(&output);
    assert_eq!((output.status.code(), &first["complete"]), (Some(130), &false.into()));
    let kept: Value = serde_json::from_slice(&bench.read("mark")).unwrap();
    let packs = first["packs"].as_u64().unwrap();
    assert!(packs > 0 && packs < whole.len() as u64, "{first}");
    assert_eq!((&kept["findings"], kept["store"].is_string()), (&packs.into(), true), "{kept}");
    let other = bench.on("b", "verify", &["--resume", "mark"]);
    let said = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(other.status.code() == Some(2) && said.contains("another store"), "{said}");
    // Nothing else is wrong: what was found is not looked at again.
    for (path, bytes) in &whole {
        fs::write(path, bytes).unwrap();
    }
    let copy = bench.read("mark");
    let second = bench.on("a", "verify", &["--deep", "--read-only", "--resume", "mark", "--json"]);
    let told = report(&second);
    assert_eq!(second.status.code(), Some(3), "{told}");
    assert_eq!((&told["findings_before"], &told["complete"]), (&packs.into(), &true.into()));
    assert_eq!(told["findings"], Value::Array(vec![]));
    assert!(!bench.path("mark").exists(), "what is complete begins anew");
    bench.write("mark", &copy);
    let words = bench.on("a", "verify", &["--deep", "--read-only", "--resume", "mark"]);
    let said = String::from_utf8_lossy(&words.stdout).into_owned();
    assert!(said.contains(&format!("{packs} findings before the stop")), "{said}");
    // The mark of an earlier version says no more than how far it came.
    let old = format!("{{\"pack\":{}}}", kept["pack"]);
    bench.write("mark", old.as_bytes());
    let read = bench.json("verify", &["--deep", "--read-only", "--resume", "mark"]);
    assert_eq!(read["packs"].as_u64(), Some(whole.len() as u64 - packs));
}

fn send(child: &Child, signal: &str) {
    let line = format!("kill -{signal} {}", child.id());
    assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success());
}

/// A dry run says for whom a collection waits and whom it gives up, as it does then.
#[test]
fn a_plan_tells_of_writers_what_is_done_with_them() {
    let bench = Bench::with_store();
    let point = bench.backup(&disk(27), &[]);
    bench.json("remove", &[&point]);
    bench.write("large", &noise(100, 192 << 20));
    let args = ["backup", "--store", "a", "--key-file", "a.key", "large"];
    let mut child = bench.command(&args).stdout(Stdio::null()).spawn().unwrap();
    let announced =
        || fs::read_dir(bench.path("a/writers")).is_ok_and(|mut all| all.next().is_some());
    while !announced() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().code(), None, "it was killed before its end");
    let figures = |told: &Value| {
        let names = ["deleted_packs", "freed_bytes", "voided", "waiting_for"];
        names.map(|name| told[name].clone())
    };
    let announced = text(&bench.json("inspect", &[])["writers"][0]["time"]);
    let waits = format!("waits for 1 writer (announced {announced}); nothing is deleted before");
    let words = |args: &[&str]| String::from_utf8(bench.on("a", "gc", args).stdout).unwrap();
    // Twice: the second time a sentence waits already.
    for _ in 0..2 {
        let plan = bench.json("gc", &["--dry-run"]);
        let told = words(&["--dry-run"]);
        assert!(told.contains(&waits) && told.contains("after 24h (--void-after)"), "{told}");
        assert!(told.contains("would delete 0 packs, 0 B, at once and"), "{told}");
        assert!(plan["later_packs"].as_u64() > Some(0), "{plan}");
        let done = bench.json("gc", &[]);
        assert_eq!(figures(&plan), figures(&done));
        assert_eq!((&done["deleted_packs"], &done["voided"]), (&0.into(), &Value::Array(vec![])));
        assert!(words(&[]).contains(&waits));
    }
    let now = ["--void-after", "0s"];
    let plan = bench.json("gc", &[&now[..], &["--dry-run"]].concat());
    let told = words(&[&now[..], &["--dry-run"]].concat());
    assert!(told.contains("would give up the backup of") && !told.contains("waits"), "{told}");
    assert_eq!(plan["voided"].as_array().unwrap().len(), 1);
    let done = bench.json("gc", &now);
    assert_eq!(figures(&plan), figures(&done));
    assert!(done["deleted_packs"].as_u64() > Some(0), "{done}");
    let help = String::from_utf8(bench.run(&["gc", "--help"]).stdout).unwrap();
    assert!(help.contains("[default: 24h]"), "{help}");
}
