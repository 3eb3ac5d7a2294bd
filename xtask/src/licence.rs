//! The rules of `deny.toml`, checked without cargo-deny: what every machine can check.
//!
//! Licences: each package's expression must be satisfied by the allow-list alone. Bans: no listed
//! package is in the graph. Sources: everything comes from crates.io or from the checkout. One
//! TLS provider: two in one process is a choice made by chance at run time.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use spdx::{Expression, ParseMode};

use crate::process;

/// Packages that implement TLS and cryptography for rustls or beside it.
const PROVIDERS: [&str; 5] = ["aws-lc-rs", "ring", "openssl", "native-tls", "boring"];

/// The part of `deny.toml` that is checked here; cargo-deny knows more keys.
#[derive(Deserialize)]
struct Rules {
    graph: Graph,
    licenses: Licences,
    bans: Bans,
}

#[derive(Deserialize)]
struct Graph {
    targets: Vec<String>,
}

#[derive(Deserialize)]
struct Licences {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

/// One package of the graph, as `cargo tree` prints it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Known {
    name: String,
    version: String,
    /// Not from crates.io and not from the checkout.
    foreign: Option<String>,
    licence: String,
}

/// Everything that breaks a rule, one line each.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let path = root.join("deny.toml");
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let rules: Rules = toml::from_str(&text).context("read deny.toml")?;
    let mut known = BTreeSet::new();
    for target in &rules.graph.targets {
        known.extend(tree(root, target)?);
    }
    Ok(findings(&rules, &known.into_iter().collect::<Vec<_>>()))
}

/// The packages that are built for a target. `cargo metadata` would also list those that only a
/// feature which is off would bring, hence the tree.
fn tree(root: &Path, target: &str) -> anyhow::Result<Vec<Known>> {
    let output = process::cargo()
        .args(["tree", "--locked", "--workspace", "--all-features", "--target", target])
        .args(["--prefix", "none", "--format", "{p}|{l}", "--color", "never"])
        .current_dir(root)
        .stdin(Stdio::null())
        .output()
        .context("start cargo tree")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo tree: {}\n{}", output.status, said.trim_end());
    let lines = String::from_utf8(output.stdout).context("read cargo tree")?;
    let lines = lines.lines().filter(|line| !line.is_empty());
    lines.map(|line| known(line).with_context(|| format!("cargo tree: {line:?}"))).collect()
}

/// Reads `name v1.2.3 (proc-macro)|MIT (*)`.
fn known(line: &str) -> Option<Known> {
    let (package, licence) = line.rsplit_once('|')?;
    let mut words = package.splitn(3, ' ');
    let name = words.next()?.to_owned();
    let version = words.next()?.strip_prefix('v')?.to_owned();
    let notes = words.next().unwrap_or_default();
    let foreign = (notes.contains("://") || notes.contains("registry")).then(|| notes.to_owned());
    let licence = licence.trim_end_matches("(*)").trim_end().to_owned();
    Some(Known { name, version, foreign, licence })
}

fn findings(rules: &Rules, packages: &[Known]) -> Vec<String> {
    let mut findings = Vec::new();
    for package in packages {
        let at = format!("{} {}", package.name, package.version);
        if let Some(why) = unlicensed(&rules.licenses.allow, &package.licence) {
            findings.push(format!("{at}: licences: {why}"));
        }
        if let Some(ban) = rules.bans.deny.iter().find(|ban| ban.name == package.name) {
            findings.push(format!("{at}: bans: {}", ban.reason));
        }
        if let Some(source) = &package.foreign {
            findings.push(format!("{at}: sources: {source} is not crates.io"));
        }
    }
    let providers: BTreeSet<&str> = packages
        .iter()
        .map(|package| package.name.as_str())
        .filter(|name| PROVIDERS.contains(name))
        .collect();
    if providers.len() > 1 {
        findings.push(format!("bans: more than one crypto provider: {providers:?}"));
    }
    if packages.is_empty() {
        findings.push("the graph is empty: nothing was checked".to_owned());
    }
    findings
}

/// Why the allow-list does not satisfy the expression.
fn unlicensed(allow: &[String], text: &str) -> Option<String> {
    if text.is_empty() {
        return Some("none is declared".to_owned());
    }
    match Expression::parse_mode(text, ParseMode::LAX) {
        Ok(parsed) => {
            let satisfied =
                parsed.evaluate(|required| allow.iter().any(|name| *name == required.to_string()));
            (!satisfied).then(|| format!("{text:?} is not allowed"))
        }
        Err(error) => Some(format!("{text:?}: {}", error.reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules {
            graph: Graph { targets: Vec::new() },
            licenses: Licences { allow: vec!["MIT".to_owned(), "Apache-2.0".to_owned()] },
            bans: Bans {
                deny: vec![Ban { name: "openssl".to_owned(), reason: "one TLS".to_owned() }],
            },
        }
    }

    fn package(name: &str, licence: &str) -> Known {
        known(&format!("{name} v1.0.0|{licence}")).unwrap()
    }

    fn count(packages: &[Known]) -> usize {
        findings(&rules(), packages).len()
    }

    #[test]
    fn licences() {
        assert_eq!(count(&[package("a", "MIT OR GPL-3.0-only")]), 0);
        assert_eq!(count(&[package("a", "MIT/Apache-2.0")]), 0);
        assert_eq!(count(&[package("a", "MIT AND GPL-3.0-only")]), 1);
        assert_eq!(count(&[package("a", "GPL-3.0-only")]), 1);
        assert_eq!(count(&[package("a", "my own words")]), 1);
        assert_eq!(count(&[package("a", "")]), 1);
    }

    #[test]
    fn bans_and_providers() {
        assert_eq!(count(&[package("openssl", "MIT")]), 1);
        assert_eq!(count(&[package("ring", "MIT")]), 0);
        assert_eq!(count(&[package("ring", "MIT"), package("aws-lc-rs", "MIT")]), 1);
    }

    #[test]
    fn sources() {
        let lines = [
            ("a v1.0.0 (proc-macro)|MIT (*)", 0),
            ("a v1.0.0 (/home/me/tresor/crates/a)|MIT", 0),
            ("a v1.0.0 (https://example.org/a?rev=1#12345678)|MIT", 1),
            ("a v1.0.0 (registry `other`)|MIT", 1),
        ];
        for (line, expected) in lines {
            assert_eq!(count(&[known(line).unwrap()]), expected, "{line}");
        }
        assert_eq!(known("no licence column"), None);
    }

    #[test]
    fn an_empty_graph_is_no_success() {
        assert_eq!(count(&[]), 1);
    }

    #[test]
    fn this_checkout_keeps_its_own_rules() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        assert_eq!(check(root).unwrap(), Vec::<String>::new());
    }
}
