//! The layering: `tresor -> arm -> core -> {store, disk}`, nothing points up.
//!
//! Checked on the manifests, where a reviewer sees a new edge as one line. Development
//! dependencies may point anywhere: tests may build the world around a crate.

use toml::{Table, Value};

use super::{Finding, Source};

/// What one crate may know: of the project's own crates only those listed, of the others none of
/// those listed.
struct Layer {
    manifest: &'static str,
    own: &'static [&'static str],
    banned: &'static [&'static str],
    why: &'static str,
}

const LAYERS: [Layer; 7] = [
    Layer {
        manifest: "crates/store/Cargo.toml",
        own: &[],
        banned: &["axum", "axum-server", "http", "hyper", "reqwest", "tower", "tower-http", "sqlx"],
        why: "the store names neither HTTP nor SQL nor live disks",
    },
    Layer {
        manifest: "crates/disk/Cargo.toml",
        own: &[],
        banned: &["axum", "http", "hyper", "reqwest", "tower", "sqlx", "object_store", "zstd"],
        why: "live disks know neither the store nor the wire nor a database",
    },
    Layer {
        manifest: "crates/core/Cargo.toml",
        own: &["tresor-store", "tresor-disk"],
        banned: &["axum", "axum-server", "http", "hyper", "reqwest", "tower", "tower-http"],
        why: "the domain is free of transport",
    },
    Layer {
        manifest: "crates/arm/Cargo.toml",
        own: &["tresor-core"],
        banned: &["sqlx", "object_store", "rustix", "zstd", "reqwest"],
        why: "the wire reaches bytes and tables only through the domain",
    },
    Layer {
        manifest: "crates/input/Cargo.toml",
        own: &[],
        banned: &["axum", "hyper", "reqwest", "rustix", "sqlx", "tokio", "tower"],
        why: "what users write is read without looking at anything else",
    },
    Layer {
        manifest: "crates/testkit/Cargo.toml",
        own: &["tresor-store", "tresor-disk", "tresor-core"],
        banned: &["axum", "sqlx"],
        why: "test tools stay below the wire",
    },
    Layer {
        manifest: "crates/tresor/Cargo.toml",
        own: &["tresor-arm", "tresor-core", "tresor-disk", "tresor-input", "tresor-store"],
        banned: &["sqlx"],
        why: "the binary wires, it does not query",
    },
];

/// The forbidden edges of one manifest, and a missing `[lints] workspace = true`.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let member = source.path.strip_suffix("/Cargo.toml");
    let Some(member) = member.filter(|path| path.starts_with("crates/") || *path == "xtask") else {
        return Vec::new();
    };
    let add = |line: usize, text: String| Finding {
        path: source.path.clone(),
        line,
        rule: "layers",
        text,
    };
    let table = match source.text.parse::<Table>() {
        Ok(table) => table,
        Err(error) => return vec![add(1, format!("unreadable manifest: {error}"))],
    };
    if table.contains_key("workspace") {
        // A workspace of its own: it is no part of the product.
        return Vec::new();
    }
    let mut findings = Vec::new();
    if table.get("lints").and_then(|lints| lints.get("workspace")) != Some(&Value::Boolean(true)) {
        findings.push(add(1, "[lints] workspace = true is missing".to_owned()));
    }
    let layer = LAYERS.iter().find(|layer| layer.manifest == source.path);
    if layer.is_none() && member != "xtask" {
        findings.push(add(1, format!("{member} has no layer: add it to the table")));
    }
    for name in dependencies(&table) {
        let reason = layer.map_or_else(|| alone(&name), |layer| forbidden(layer, &name));
        findings.extend(reason.map(|why| add(line_of(&source.text, &name), why)));
    }
    findings
}

fn forbidden(layer: &Layer, name: &str) -> Option<String> {
    let ours = name == "tresor" || name == "xtask" || name.starts_with("tresor-");
    let bad = if ours { !layer.own.contains(&name) } else { layer.banned.contains(&name) };
    bad.then(|| format!("must not depend on {name}: {}", layer.why))
}

/// The tool must build when the product does not.
fn alone(name: &str) -> Option<String> {
    name.starts_with("tresor").then(|| format!("must not depend on {name}: the tool stands alone"))
}

/// Names of all packages that a shipped build of this manifest uses.
fn dependencies(table: &Table) -> Vec<String> {
    let targets = table.get("target").and_then(Value::as_table);
    let tables = std::iter::once(table).chain(
        targets.into_iter().flat_map(|targets| targets.values().filter_map(Value::as_table)),
    );
    let mut names = Vec::new();
    for table in tables {
        for kind in ["dependencies", "build-dependencies"] {
            let listed = table.get(kind).and_then(Value::as_table);
            for (key, value) in listed.into_iter().flatten() {
                let renamed = value.get("package").and_then(Value::as_str);
                names.push(renamed.unwrap_or(key).to_owned());
            }
        }
    }
    names
}

/// The first line that names the package, for the report.
fn line_of(text: &str, name: &str) -> usize {
    let found = text.lines().position(|line| {
        let line = line.trim_start();
        let key = line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '.', '=']));
        key || line.contains(&format!("\"{name}\"")) || line.ends_with(&format!(".{name}]"))
    });
    found.unwrap_or(0).saturating_add(1)
}
