//! `docs/coverage.md` says the truth: its rows are made from the table of operations.
//!
//! `UPDATE_DOCS=1 cargo test -p tresor-arm coverage` writes them anew. The last column, which
//! clients prove a row, is not made here: `cargo xtask coverage` writes it from the logs of the
//! client tests, and it is kept.

use super::{Action, routes};
use crate::blob::OPERATIONS;
use crate::dataprotection::refused;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const MARK: &str = "<!-- from here on made by `cargo test -p tresor-arm coverage` -->\n";
const HEAD: &str =
    "\n| operation | request | needs | served | proved by |\n|---|---|---|---|---|\n";
/// What the last column says of a row that no log names.
const UNPROVEN: &str = "unproven";

/// The rows without their last column, by name.
fn rows() -> BTreeMap<String, String> {
    let refused: BTreeSet<&str> = refused().iter().map(|route| route.name).collect();
    let table = routes().into_iter().map(|route| {
        let needs = match route.action {
            Action::Rbac(action) => format!("`{action}`"),
            Action::Open(reason) => reason.to_owned(),
            Action::Public => "nothing".to_owned(),
        };
        let served = if refused.contains(route.name) { "refused" } else { "yes" };
        let (name, method, path) = (route.name, &route.method, route.path);
        (name.to_owned(), format!("| {name} | {method} `{path}` | {needs} | {served} |"))
    });
    let blobs = OPERATIONS.into_iter().map(|(name, request)| {
        let way = if request.starts_with("PUT") { "write" } else { "read" };
        let needs = format!("a signed URL to {way} the disk");
        (name.to_owned(), format!("| {name} | {request} | {needs} | yes |"))
    });
    table.chain(blobs).collect()
}

/// A row of the document: its name, the row without its last column, and that column.
fn split(row: &str) -> Option<(&str, &str, &str)> {
    let name = row.strip_prefix("| ")?.split(' ').next()?;
    let (head, proof) = row.strip_suffix(" |")?.rsplit_once("| ")?;
    Some((name, head.trim_end(), proof))
}

#[test]
fn the_document_lists_every_operation() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/coverage.md");
    let kept = std::fs::read_to_string(&path).unwrap();
    let (head, tail) = kept.split_once(MARK).expect("docs/coverage.md has its mark");
    let listed = tail.strip_prefix(HEAD).unwrap_or_default();
    let proofs: BTreeMap<&str, &str> =
        listed.lines().filter_map(split).map(|(name, _, proof)| (name, proof)).collect();
    let mut made = HEAD.to_owned();
    for (name, row) in rows() {
        let proof = proofs.get(name.as_str()).unwrap_or(&UNPROVEN);
        made.push_str(&format!("{row} {proof} |\n"));
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{head}{MARK}{made}")).unwrap();
        return;
    }
    assert!(tail == made, "docs/coverage.md is old: run UPDATE_DOCS=1 cargo test -p tresor-arm");
}

#[test]
fn a_row_is_taken_apart() {
    let row = "| A_Get | GET `/a` | nothing | yes | az, JS |";
    assert_eq!(split(row), Some(("A_Get", "| A_Get | GET `/a` | nothing | yes", "az, JS")));
    assert_eq!(split("| A_Get"), None);
}
