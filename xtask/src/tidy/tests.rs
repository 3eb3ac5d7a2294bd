//! Each rule is shown a text that breaks it and a near miss that does not.

use super::*;

/// The rules that one file breaks, with the lines.
fn broken(path: &str, text: &str) -> Vec<(&'static str, usize)> {
    let source = Source { path: path.to_owned(), text: text.to_owned() };
    let findings = check_sources(&[source]).findings;
    findings.into_iter().map(|finding| (finding.rule, finding.line)).collect()
}

const STORE: &str = "crates/store/src/pack.rs";

#[test]
fn a_clean_file_has_no_finding() {
    assert_eq!(broken(STORE, "//! Packs.\n\nfn pack() {}\n"), []);
}

#[test]
fn file_length() {
    assert_eq!(broken(STORE, &"fn a() {}\n".repeat(500)), []);
    assert_eq!(broken(STORE, &"fn a() {}\n".repeat(501)), [("file-length", 500)]);
    assert_eq!(broken("README.md", &"a\n".repeat(900)), []);
}

#[test]
fn line_length() {
    let hundred = format!("//{}\n", "x".repeat(98));
    assert_eq!(broken(STORE, &hundred), []);
    assert_eq!(broken(STORE, &format!("\n/{hundred}")), [("line-length", 2)]);
    let address = format!("//! https://example.org/{}\n", "x".repeat(98));
    assert_eq!(broken(STORE, &address), []);
    let sentence = address.replace("//! ", "//! see also ");
    assert_eq!(broken(STORE, &sentence), [("line-length", 1)]);
}

#[test]
fn ascii() {
    assert_eq!(broken(STORE, "// caf\u{e9}\n"), [("ascii", 1)]);
    assert_eq!(broken("README.md", "caf\u{e9}\n"), []);
}

#[test]
fn open_ends() {
    let marker = concat!("TO", "DO");
    assert_eq!(broken(STORE, &format!("// {marker} later\n")), [("open-end", 1)]);
    assert_eq!(broken(STORE, &format!("// {marker}(#later)\n")), [("open-end", 1)]);
    assert_eq!(broken(STORE, &format!("// {marker}(#12) later\n")), []);
    assert_eq!(broken(STORE, &format!("// {marker}S and A{marker}\n")), []);
}

#[test]
fn places_outside_the_checkout() {
    for place in [concat!("../", "shared/a"), concat!("/work/", "shared"), concat!(".lib", "rary")]
    {
        assert_eq!(broken("README.md", &format!("see {place}\n")), [("outside", 1)], "{place}");
    }
    assert_eq!(broken("README.md", concat!("the standard.lib", "rary\n")), []);
}

#[test]
fn dangling_papers() {
    let paper = concat!("PAPER", ".md");
    let text = format!("see {paper}.\n");
    assert_eq!(broken("crates/store/src/lib.rs", &text), [("dangling", 1)]);
    let sources = [("README.md", text.as_str()), (concat!("docs/PAPER", ".md"), "")]
        .map(|(path, text)| Source { path: path.to_owned(), text: text.to_owned() });
    assert_eq!(check_sources(&sources).findings, []);
}

#[test]
fn module_names() {
    assert_eq!(broken("crates/core/src/utils.rs", ""), [("module-name", 1)]);
    assert_eq!(broken("crates/core/src/common/mod.rs", ""), [("module-name", 1)]);
    assert_eq!(broken("crates/core/src/commonest.rs", ""), []);
}

#[test]
fn time_and_chance() {
    let calls = [
        "let t = SystemTime::now();",
        "let t = std::time::Instant\n::now();",
        "let t = jiff::Timestamp::now();",
        "let id = uuid::Uuid::new_v4();",
        "use rand::Rng;",
        "use aws_lc_rs::{digest, rand::fill};",
        "use std::time::{Duration, Instant}; use Instant::{now};",
        "println!(\"{}\", SystemTime::now());",
    ];
    for call in calls {
        let text = format!("fn a() {{ {call} }}");
        let rules = broken(STORE, &text);
        assert_eq!(rules.iter().filter(|(rule, _)| *rule == "env").count(), 1, "{call}");
        assert_eq!(broken("crates/store/src/env.rs", &text), [], "{call}");
        assert_eq!(broken("crates/tresor/src/main.rs", &text), [], "{call}");
    }
    assert_ne!(broken("crates/core/src/env.rs", "fn a() { Instant::now(); }"), []);
}

#[test]
fn speaking_of_a_call_is_not_calling() {
    let text = "// SystemTime::now()\nconst A: &str = \"fs::write(\"; /* Uuid::new_v4() */\n";
    assert_eq!(broken(STORE, text), []);
}

#[test]
fn file_writes() {
    let calls = [
        "std::fs::write(a, b);",
        "tokio::fs::rename(a, b);",
        "File::create(a);",
        "use std::fs::{self, remove_file};",
        "use std::{io, fs::{read, create_dir_all}};",
        "OpenOptions::new().read(true).write(true).open(a);",
        "File::options().append(true).open(a);",
        "let mut o = OpenOptions::new(); o.create(true);",
        "rustix::fs::open(a, OFlags::RDONLY | OFlags::CREATE, mode);",
    ];
    for call in calls {
        let text = format!("fn a() {{ {call} }}");
        assert_eq!(broken(STORE, &text), [("durable", 1)], "{call}");
        assert_eq!(broken("crates/disk/src/durable.rs", &text), [], "{call}");
        assert_eq!(broken("crates/store/src/durable/file.rs", &text), [], "{call}");
        assert_eq!(broken("crates/tresor/src/main.rs", &text), [], "{call}");
    }
    assert_eq!(broken(STORE, "fn a() { OpenOptions::new().read(true).open(a); }"), []);
    assert_eq!(broken(STORE, "fn a() { std::fs::read(a); lock.write().push(true); }"), []);
}

#[test]
fn tests_may_write_and_draw() {
    let call = "fn a() { std::fs::write(a, b); Instant::now(); }";
    let inline = format!("#[cfg(test)]\nmod tests {{ {call} }}\n");
    assert_eq!(broken(STORE, &inline), []);
    assert_eq!(broken("crates/store/tests/model.rs", call), []);
    assert_eq!(broken("crates/store/src/pack/tests.rs", call), []);
    // The exemption ends with the item, and a module that also ships has none.
    assert_eq!(broken(STORE, &format!("{inline}\nfn b() {{ fs::write(a, b); }}")).len(), 1);
    let ships = inline.replace("cfg(test)", "cfg(any(test, unix))");
    assert_eq!(broken(STORE, &ships).len(), 2);
}

#[test]
fn modules_declared_for_tests_are_followed() {
    let parent = |text: &str| Source { path: STORE.to_owned(), text: text.to_owned() };
    let child = || Source {
        path: "crates/store/src/pack/model.rs".to_owned(),
        text: "fn a() { std::fs::write(a, b); }".to_owned(),
    };
    assert_eq!(check_sources(&[parent("#[cfg(test)]\nmod model;\n"), child()]).findings, []);
    assert_eq!(check_sources(&[parent("mod model;\n"), child()]).findings.len(), 1);
}

#[test]
fn sleeping_is_banned_even_in_tests() {
    let text = "fn a() { std::thread::sleep(second); }";
    assert_eq!(broken("crates/tresor/tests/serve.rs", text), [("sleep", 1)]);
    assert_eq!(broken(STORE, text), [("sleep", 1)]);
}

#[test]
fn layers() {
    let manifest =
        |rest: &str| format!("[package]\nname = \"a\"\n[lints]\nworkspace = true\n{rest}");
    let lines = |path: &str, rest: &str| broken(path, &manifest(rest));
    let store = "crates/store/Cargo.toml";
    assert_eq!(lines(store, "[dependencies]\nserde.workspace = true\n"), []);
    assert_eq!(lines(store, "[dependencies]\nsqlx.workspace = true\n"), [("layers", 6)]);
    assert_eq!(lines(store, "[dependencies]\ndb = { package = \"sqlx\" }\n"), [("layers", 6)]);
    assert_eq!(lines(store, "[target.'cfg(unix)'.dependencies]\nhttp = \"1\"\n"), [("layers", 6)]);
    assert_eq!(lines(store, "[dependencies]\ntresor-disk.workspace = true\n"), [("layers", 6)]);
    assert_eq!(lines(store, "[dev-dependencies]\ntresor-testkit.workspace = true\n"), []);
    let core = "crates/core/Cargo.toml";
    assert_eq!(lines(core, "[dependencies]\ntresor-store.workspace = true\n"), []);
    assert_eq!(lines(core, "[dependencies]\ntresor-arm.workspace = true\n"), [("layers", 6)]);
    let arm = "crates/arm/Cargo.toml";
    assert_eq!(lines(arm, "[dependencies]\ntresor-store.workspace = true\n"), [("layers", 6)]);
    assert_eq!(lines("xtask/Cargo.toml", "[dependencies.tresor-store]\n"), [("layers", 5)]);
    assert_eq!(lines("crates/new/Cargo.toml", ""), [("layers", 1)]);
    assert_eq!(broken(store, "[package]\nname = \"a\"\n"), [("layers", 1)]);
}

#[test]
fn finding_reads_as_path_line_rule_text() {
    let source = Source { path: STORE.to_owned(), text: "fn a() { Instant::now(); }".to_owned() };
    let shown: Vec<String> =
        check_sources(&[source]).findings.iter().map(ToString::to_string).collect();
    let expected =
        "crates/store/src/pack.rs:1: env: Instant::now: time and chance come through Env";
    assert_eq!(shown, [expected]);
}

#[test]
fn this_checkout_is_found() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let read = sources(root).unwrap();
    for path in ["Cargo.toml", "xtask/src/tidy/tests.rs", "crates/store/Cargo.toml"] {
        assert!(read.iter().any(|source| source.path == path), "{path}");
    }
    assert!(!read.iter().any(|source| source.path.starts_with("target/")));
}

#[test]
fn exceptions() {
    let with = |line: &str| {
        let call =
            Source { path: STORE.to_owned(), text: "fn a() { fs::write(a, b); }".to_owned() };
        let file = Source { path: allow::FILE.to_owned(), text: format!("# words\n{line}\n") };
        let report = check_sources(&[call, file]);
        let rules: Vec<&str> = report.findings.iter().map(|finding| finding.rule).collect();
        (rules, report.allowed.len())
    };
    assert_eq!(with(""), (vec!["durable"], 0));
    let good = format!("durable | {STORE} | fs::write | it is scratch");
    assert_eq!(with(&good), (vec![], 1));
    // Wrong call, wrong rule, no reason, a rule without exceptions: all have to fail.
    assert_eq!(with(&good.replace("write", "wri")), (vec!["durable", "allow"], 0));
    assert_eq!(with(&good.replace("durable |", "env |")), (vec!["durable", "allow"], 0));
    assert_eq!(with(&good.replace("it is scratch", "")), (vec!["durable", "allow"], 0));
    assert_eq!(with(&good.replace("durable |", "ascii |")), (vec!["durable", "allow"], 0));
    assert_eq!(with(&format!("{good}\n{good}")), (vec!["allow"], 1));
}

#[test]
fn tests_that_are_switched_off() {
    let path = "crates/core/tests/job.rs";
    assert_eq!(broken(path, "#[test]\n#[ignore = \"slow\"]\nfn a() {}\n"), [("ignore", 2)]);
    assert_eq!(broken(path, "#[test]\nfn ignore() {}\n"), []);
}

#[test]
fn claims_name_tests_that_exist() {
    let check = |line: &str| -> Vec<&str> {
        let files = [
            ("docs/threat-model.md", line),
            ("a/b.rs", "#[test]\nfn it_holds() {}\nfn it_holds_too() {}\n"),
            ("t/test_c.py", "def test_it(wire):\n    pass\n"),
        ];
        let source = |(path, text): &(&str, &str)| Source {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        };
        let sources: Vec<Source> = files.iter().map(source).collect();
        let findings = check_sources(&sources).findings;
        findings.iter().map(|finding| finding.rule).collect()
    };
    assert_eq!(
        check("| Who has X cannot Y | `a/b.rs::it_holds`, `t/test_c.py::test_it` |"),
        [""; 0]
    );
    assert_eq!(check("| Who has X cannot Y | `a/b.rs::tests::it_holds_too` |"), [""; 0]);
    assert_eq!(check("Nobody cannot be wrong. `not::a_test` `fn it()`"), [""; 0]);
    for wrong in [
        "| Who has X cannot Y | reviewed |",
        "| Who has X cannot Y | `a/b.rs::it_hold` |",
        "| Who has X cannot Y | `a/c.rs::it_holds` |",
        "| Who has X cannot Y | `t/test_c.py::it_holds` |",
        "See `a/b.rs::gone`.",
    ] {
        assert_eq!(check(wrong), ["threats"], "{wrong}");
    }
}
