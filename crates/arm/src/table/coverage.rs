//! `docs/coverage.md` says the truth: its table is made from the table of operations.
//!
//! `UPDATE_DOCS=1 cargo test -p tresor-arm coverage` writes it anew.

use super::{Action, routes};
use crate::dataprotection::refused;
use std::collections::BTreeSet;
use std::path::Path;

const MARK: &str = "<!-- from here on made by `cargo test -p tresor-arm coverage` -->\n";

fn rows() -> String {
    let refused: BTreeSet<&str> = refused().iter().map(|route| route.name).collect();
    let mut out = String::from("\n| operation | request | needs | served |\n|---|---|---|---|\n");
    let mut all = routes();
    all.sort_by_key(|route| (route.name, route.path));
    for route in all {
        let needs = match route.action {
            Action::Rbac(action) => format!("`{action}`"),
            Action::Open(reason) => reason.to_owned(),
            Action::Public => "nothing".to_owned(),
        };
        let served = if refused.contains(route.name) { "no" } else { "yes" };
        let (name, method, path) = (route.name, &route.method, route.path);
        out.push_str(&format!("| {name} | {method} `{path}` | {needs} | {served} |\n"));
    }
    out
}

#[test]
fn the_document_lists_every_operation() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/coverage.md");
    let kept = std::fs::read_to_string(&path).unwrap();
    let (head, tail) = kept.split_once(MARK).expect("docs/coverage.md has its mark");
    let rows = rows();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{head}{MARK}{rows}")).unwrap();
        return;
    }
    assert!(tail == rows, "docs/coverage.md is old: run UPDATE_DOCS=1 cargo test -p tresor-arm");
}
