//! `tresor store` stopped by a signal or killed in the middle of its work: the exit code says so,
//! the store is healthy, nothing stays behind that keeps bytes, and the next try works.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod rig;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use rig::{Bench, disk, noise, ok, text};
use serde_json::Value;

fn send(child: &Child, signal: &str) {
    let line = format!("kill -{signal} {}", child.id());
    assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success());
}

/// Starts a command on the store `a`.
fn start(bench: &Bench, verb: &str, more: &[&str]) -> Child {
    let args = [&[verb, "--store", "a", "--key-file", "a.key"], more].concat();
    let mut command = bench.command(&args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Files below a folder.
fn files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let count = |path: &Path| if path.is_dir() { files(path) } else { 1 };
    entries.map(|entry| count(&entry.path())).sum()
}

/// Waits for something that the command does, or for its end.
fn until(child: &mut Child, mut happened: impl FnMut() -> bool) {
    while !happened() && child.try_wait().unwrap().is_none() {
        thread::yield_now();
    }
}

/// The exit code, once all that it says was read.
fn end(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Nothing is damaged, and nobody is announced who is gone.
fn is_healthy(bench: &Bench, store: &str) {
    let json = |verb: &str, more: &[&str]| ok(&bench.on(store, verb, more));
    let found = json("verify", &["--json", "--deep"]);
    assert_eq!(found["findings"], Value::Array(vec![]), "{found}");
    let inspected = json("inspect", &["--json"]);
    let none = Value::Array(vec![]);
    assert_eq!((&inspected["pins"], &inspected["writers"]), (&none, &none), "{store}");
}

#[test]
fn an_interrupted_backup_makes_no_point_and_is_found_again() {
    let bench = Bench::with_store();
    let bytes = noise(1, 192 << 20);
    bench.write("large", &bytes);
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let packs = files(&bench.path("a/packs"));
        let mut child = start(&bench, "backup", &["large"]);
        until(&mut child, || files(&bench.path("a/packs")) > packs);
        send(&child, signal);
        let (ended, said) = end(child);
        assert_eq!(ended, Some(code), "{said}");
        assert!(said.contains("stopping") && said.contains("no recovery point"), "{said}");
        assert_eq!(bench.json("list", &[])["points"], Value::Array(vec![]));
        is_healthy(&bench, "a");
    }
    let done = bench.json("backup", &["large"]);
    assert!(done["bytes_new"].as_u64().unwrap() < 192 << 20, "what was stored is found: {done}");
    ok(&bench.on("a", "restore", &["--json", "--point", "latest", "out"]));
    assert!(bench.read("out") == bytes);
}

#[test]
fn an_interrupted_restore_leaves_no_file_and_no_pin() {
    let bench = Bench::with_store();
    let bytes = noise(2, 96 << 20);
    bench.backup(&bytes, &[]);
    // Nobody reads the pipe: the restore is in the middle of its work for as long as it takes.
    let mut child = start(&bench, "restore", &["--point", "latest", "-"]);
    let mut stream = child.stdout.take().unwrap();
    let mut first = vec![0; 4096];
    stream.read_exact(&mut first).unwrap();
    send(&child, "INT");
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = said.next().unwrap().unwrap();
    assert!(line.contains("stopping"), "{line}");
    let rest = stream.read_to_end(&mut first).unwrap();
    assert!(rest < bytes.len() - 4096 && bytes.starts_with(&first), "it stopped: {rest}");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    is_healthy(&bench, "a");
    let mut child = start(&bench, "restore", &["--point", "latest", "out"]);
    until(&mut child, || files(&bench.path("a/pins")) > 0);
    send(&child, "INT");
    let (ended, said) = end(child);
    // Ended before the signal came, it is whole.
    match ended {
        Some(0) => assert!(bench.read("out") == bytes),
        code => assert!(code == Some(130) && !bench.path("out").exists(), "{code:?}: {said}"),
    }
    is_healthy(&bench, "a");
}

#[test]
fn an_interrupted_collection_goes_on_with_the_next() {
    let bench = Bench::with_store();
    let kept = disk(3);
    let point = bench.backup(&kept, &["--name", "kept"]);
    let mut stopped = 0;
    for round in 0..20 {
        bench.write("large", &noise(40 + round, 128 << 20));
        let large = text(&bench.json("backup", &["large", "--parent", "none"])["point"]);
        bench.json("remove", &[&large]);
        let packs = files(&bench.path("a/packs"));
        let mut child = start(&bench, "gc", &[]);
        until(&mut child, || files(&bench.path("a/packs")) < packs);
        send(&child, "INT");
        let (ended, said) = end(child);
        assert!(matches!(ended, Some(0 | 130)), "{ended:?}: {said}");
        is_healthy(&bench, "a");
        let done = bench.json("gc", &[]);
        assert_eq!(done["dead_packs"].as_u64(), Some(0), "{done}");
        let left: u64 = bench.json("inspect", &[])["objects"]["packs"]["bytes"].as_u64().unwrap();
        assert!(left < 16 << 20, "{left} bytes are left");
        stopped += u32::from(ended == Some(130));
        if stopped == 2 {
            break;
        }
    }
    assert!(stopped > 0, "no signal came in time");
    assert!(bench.on("a", "restore", &["--point", &point, "-"]).stdout == kept);
}

#[test]
fn an_interrupted_copy_releases_its_pin_and_goes_on_with_the_next() {
    let bench = Bench::with_store();
    bench.init("b", &["--domain-of", "a", "--domain-key-file", "a.key"]);
    let bytes = noise(4, 192 << 20);
    let point = bench.backup(&bytes, &[]);
    let args = ["--to", "b", "--to-key-file", "b.key", "--point", &point];
    let mut child = start(&bench, "copy", &args);
    until(&mut child, || files(&bench.path("b/packs")) > 0);
    send(&child, "INT");
    let (ended, said) = end(child);
    assert_eq!(ended, Some(130), "{said}");
    is_healthy(&bench, "a");
    is_healthy(&bench, "b");
    bench.json("copy", &args);
    assert!(bench.on("b", "restore", &["--point", &point, "-"]).stdout == bytes);
    is_healthy(&bench, "a");
}

/// A mark tells how far it came; with it nothing is read twice.
#[test]
fn an_interrupted_verification_goes_on_from_its_mark() {
    let bench = Bench::with_store();
    for seed in 0..4 {
        bench.backup(&noise(60 + seed, 1 << 20), &["--parent", "none"]);
    }
    let all = bench.json("verify", &["--deep"]);
    let slow = ["--deep", "--rate", "1M", "--resume", "mark", "--progress", "json", "--json"];
    let mut child = start(&bench, "verify", &slow);
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    // A line comes once a second at most: something is done by then.
    let line = said.next().unwrap().unwrap();
    assert!(line.contains("verify"), "{line}");
    send(&child, "INT");
    let rest: Vec<String> = said.map(Result::unwrap).collect();
    assert!(rest.iter().any(|line| line.contains("goes on from here")), "{rest:?}");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{rest:?}");
    let first: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(first["complete"], false);
    let second = bench.json("verify", &["--deep", "--resume", "mark"]);
    assert_eq!(second["complete"], true);
    assert!(!bench.path("mark").exists(), "what is complete begins anew");
    let of = |report: &Value, name: &str| report[name].as_u64().unwrap();
    assert!(of(&first, "packs") > 0 && of(&second, "packs") > 0, "{first} {second}");
    assert_eq!(of(&first, "packs") + of(&second, "packs"), of(&all, "packs"));
    let read = of(&first, "bytes_read") + of(&second, "bytes_read");
    assert!(read >= of(&all, "bytes_read"), "{read}");
    // Whatever the machine, the rate is kept: all but the last packs under way were paid for.
    let begun = bench.json("verify", &["--deep", "--rate", "4M"]);
    let least = (of(&begun, "bytes_read") as f64 - f64::from(2 << 20)) / f64::from(4 << 20);
    assert!(begun["seconds"].as_f64().unwrap() >= least, "{begun}");
    bench.write("mark", b"nonsense");
    let refused = bench.on("a", "verify", &["--resume", "mark"]);
    assert_eq!(refused.status.code(), Some(2));
}

/// Parts drawn by lot: equal seeds draw equally, and a hundred percent is everything.
#[test]
fn a_sample_is_a_part_of_the_packs() {
    let bench = Bench::with_store();
    for seed in 0..8 {
        bench.backup(&noise(80 + seed, 300 << 10), &["--parent", "none"]);
    }
    let packs = |percent: &str, seed: &str| {
        let done = bench.json("verify", &["--deep", "--percent", percent, "--seed", seed]);
        assert_eq!(done["complete"], true);
        done["packs"].as_u64().unwrap()
    };
    let all = bench.json("verify", &["--deep"])["packs"].as_u64().unwrap();
    assert_eq!(packs("100", "1"), all);
    assert_eq!(packs("50", "7"), packs("50", "7"));
    let some: Vec<u64> = (0..16).map(|seed| packs("50", &seed.to_string())).collect();
    assert!(some.iter().any(|count| *count < all) && some.iter().any(|count| *count > 0));
    let sum: u64 = some.iter().sum();
    assert!(sum > all * 4 && sum < all * 12, "{some:?} of {all}");
    for wrong in ["0", "101", "x"] {
        let refused = bench.on("a", "verify", &["--percent", wrong]);
        assert_eq!(refused.status.code(), Some(2), "{wrong}");
    }
}

/// The pin of a command that was killed goes with the next collection; that of one that runs
/// stays, whatever is asked for.
#[test]
fn pins_of_the_dead_go_and_those_of_the_living_stay() {
    let bench = Bench::with_store();
    let bytes = noise(5, 32 << 20);
    let point = bench.backup(&bytes, &[]);
    let read_some = |child: &mut Child| {
        let mut stream = child.stdout.take().unwrap();
        stream.read_exact(&mut [0; 4096]).unwrap();
        stream
    };
    let pins = || bench.json("inspect", &[])["pins"].as_array().unwrap().len();
    let mut killed = start(&bench, "restore", &["--point", &point, "-"]);
    let stream = read_some(&mut killed);
    let mut alive = start(&bench, "restore", &["--point", &point, "-"]);
    let mut rest = read_some(&mut alive);
    assert_eq!(pins(), 2);
    killed.kill().unwrap();
    killed.wait().unwrap();
    drop(stream);
    assert_eq!(pins(), 2, "nobody could release it");
    assert_eq!(bench.on("a", "remove", &[&point]).status.code(), Some(1), "it is pinned");
    let args = [&point, "--release-pins", "--older-than", "0s"];
    let refused = bench.on("a", "remove", &args);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("pinned"), "{said}");
    bench.json("gc", &[]);
    assert_eq!(pins(), 1, "only that of the living is left");
    let mut left = Vec::new();
    rest.read_to_end(&mut left).unwrap();
    assert!(bytes.ends_with(&left) && left.len() == bytes.len() - 4096);
    assert!(alive.wait().unwrap().success());
    assert_eq!(pins(), 0);
    bench.json("remove", &[&point]);
}
