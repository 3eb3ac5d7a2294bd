//! Banned calls in product code: time and chance outside `Env`, file writes outside `durable`.
//!
//! The check reads tokens, not lines: comments and strings cannot trip it, a call broken over
//! lines or hidden in a macro's arguments or in a `use` list cannot slip through. It does not
//! resolve names: a glob import or a renamed module would hide a call, and review has to see that.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::{Finding, Source};

/// The crates whose `src` folders hold product code.
const PRODUCT: [&str; 4] =
    ["crates/store/src/", "crates/disk/src/", "crates/core/src/", "crates/arm/src/"];

/// Where the real clock and the system's randomness enter.
const ENV: [&str; 2] = ["crates/store/src/env.rs", "crates/store/src/env/"];

const CHANCE: &str = "time and chance come through Env";
const WRITES: &str = "kept data is written through a durable module";
const SLEEPS: &str = "wait for an event, not for luck";

/// Paths, by their last two segments, that only `Env` may use.
const TIME_AND_CHANCE: [(&str, &str); 13] = [
    ("SystemTime", "now"),
    ("Instant", "now"),
    ("Timestamp", "now"),
    ("Zoned", "now"),
    ("Utc", "now"),
    ("Uuid", "new_v4"),
    ("Uuid", "now_v7"),
    ("rand", "*"),
    ("getrandom", "*"),
    ("SystemRandom", "new"),
    ("RandomState", "new"),
    ("OsRng", "*"),
    ("fastrand", "*"),
];

/// Paths that change the file system.
const FILE_WRITES: [(&str, &str); 26] = [
    ("fs", "write"),
    ("fs", "rename"),
    ("fs", "renameat"),
    ("fs", "renameat_with"),
    ("fs", "copy"),
    ("fs", "hard_link"),
    ("fs", "link"),
    ("fs", "linkat"),
    ("fs", "symlink"),
    ("fs", "unlink"),
    ("fs", "unlinkat"),
    ("fs", "mkdirat"),
    ("fs", "create_dir"),
    ("fs", "create_dir_all"),
    ("fs", "remove_file"),
    ("fs", "remove_dir"),
    ("fs", "remove_dir_all"),
    ("fs", "set_permissions"),
    ("fs", "ftruncate"),
    ("fs", "fallocate"),
    ("File", "create"),
    ("File", "create_new"),
    ("OFlags", "CREATE"),
    ("OFlags", "WRONLY"),
    ("OFlags", "RDWR"),
    ("unix", "symlink"),
];

/// Options that open a file for writing.
const WRITING: [&str; 5] = ["write", "append", "create", "create_new", "truncate"];

/// An identifier or a punctuation mark with its line; groups are flattened between marks.
struct Token {
    text: String,
    line: usize,
}

/// The banned calls of one file. A file that only tests compile may write and draw as it likes.
pub(super) fn check(source: &Source, test_only: bool) -> Vec<Finding> {
    if !source.path.ends_with(".rs") {
        return Vec::new();
    }
    let add = |line: usize, rule: &'static str, text: String| Finding {
        path: source.path.clone(),
        line,
        rule,
        text,
    };
    let Ok(stream) = source.text.parse::<TokenStream>() else {
        return vec![add(1, "syntax", "cannot be read as Rust tokens".to_owned())];
    };
    let mut findings = Vec::new();
    let mut all = Vec::new();
    flatten(stream.clone(), false, &mut all);
    for line in ignored(&all) {
        let text = "a test that does not run proves nothing: mend it or delete it";
        findings.push(add(line, "ignore", text.to_owned()));
    }
    let env = ENV.iter().any(|place| source.path.starts_with(place));
    for (line, path) in paths(&all).filter(|(_, path)| !env && path == "thread::sleep") {
        findings.push(add(line, "sleep", format!("{path}: {SLEEPS}")));
    }
    if test_only || !PRODUCT.iter().any(|folder| source.path.starts_with(folder)) {
        return findings;
    }
    let mut tokens = Vec::new();
    flatten(stream, true, &mut tokens);
    if !env {
        for (line, path) in paths(&tokens).filter(|(_, path)| banned(&TIME_AND_CHANCE, path)) {
            findings.push(add(line, "env", format!("{path}: {CHANCE}")));
        }
    }
    if !is_durable(&source.path) {
        for (line, path) in paths(&tokens).filter(|(_, path)| banned(&FILE_WRITES, path)) {
            findings.push(add(line, "durable", format!("{path}: {WRITES}")));
        }
        for (line, option) in writing_options(&tokens) {
            findings.push(add(line, "durable", format!("OpenOptions::{option}: {WRITES}")));
        }
    }
    findings
}

/// Paths of the files that are compiled for tests only: whole folders named `tests`, files named
/// `tests.rs`, and modules declared under `#[cfg(test)]`.
pub(super) fn test_only_files(sources: &[Source]) -> BTreeSet<String> {
    let mut roots: Vec<String> = Vec::new();
    for source in sources.iter().filter(|source| source.path.ends_with(".rs")) {
        if let Ok(stream) = source.text.parse::<TokenStream>() {
            let folder = module_folder(&source.path);
            let modules = test_modules(stream);
            roots.extend(modules.iter().map(|name| format!("{folder}/{name}")));
        }
    }
    let in_tests = |path: &str| path.contains("/tests/") || path.ends_with("/tests.rs");
    let below = |path: &str, root: &String| {
        let rest = path.strip_prefix(root.as_str());
        rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    };
    let paths = sources.iter().map(|source| &source.path);
    paths
        .filter(|path| in_tests(path) || roots.iter().any(|root| below(path, root)))
        .cloned()
        .collect()
}

/// The folder where a file's child modules lie.
fn module_folder(path: &str) -> String {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    match file.trim_end_matches(".rs") {
        "mod" | "lib" | "main" => folder.to_owned(),
        stem => format!("{folder}/{stem}"),
    }
}

fn is_durable(path: &str) -> bool {
    path.contains("/src/durable/") || path.ends_with("/src/durable.rs")
}

fn banned(list: &[(&str, &str)], path: &str) -> bool {
    let segments = path.split_once("::");
    segments.is_some_and(|(first, second)| {
        list.iter().any(|(place, name)| first == *place && (*name == "*" || second == *name))
    })
}

/// Names of the out-of-line modules that stand under `#[cfg(test)]`.
fn test_modules(stream: TokenStream) -> Vec<String> {
    let trees: Vec<TokenTree> = stream.into_iter().collect();
    let mut names = Vec::new();
    let mut rest = trees.as_slice();
    while let [first, tail @ ..] = rest {
        rest = match (first, tail) {
            (TokenTree::Punct(mark), [TokenTree::Group(attribute), after @ ..])
                if mark.as_char() == '#' && is_cfg_test(&attribute.stream()) =>
            {
                let (item, after) = split_item(after);
                names.extend(module_name(item));
                after
            }
            _ => tail,
        };
    }
    names
}

/// The name in `mod name;`.
fn module_name(item: &[TokenTree]) -> Option<String> {
    let [.., TokenTree::Ident(keyword), TokenTree::Ident(name), TokenTree::Punct(end)] = item
    else {
        return None;
    };
    (keyword == "mod" && end.as_char() == ';').then(|| name.to_string())
}

/// True for `[cfg(test)]` and `[cfg(all(test, ...))]`; `any` and `not` also ship.
fn is_cfg_test(attribute: &TokenStream) -> bool {
    let text: String = attribute.to_string().split_whitespace().collect();
    text == "cfg(test)" || text.starts_with("cfg(all(test,")
}

/// The item at the start (to its body's end or its semicolon) and what follows it.
fn split_item(trees: &[TokenTree]) -> (&[TokenTree], &[TokenTree]) {
    let end = trees.iter().position(|tree| match tree {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(mark) => mark.as_char() == ';',
        _ => false,
    });
    let length = end.map_or(trees.len(), |end| end.saturating_add(1));
    trees.split_at(length)
}

/// Writes the stream as flat tokens, without items under `#[cfg(test)]` when `product` is set.
fn flatten(stream: TokenStream, product: bool, out: &mut Vec<Token>) {
    let trees: Vec<TokenTree> = stream.into_iter().collect();
    let mut rest = trees.as_slice();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let line = first.span().start().line;
        match first {
            TokenTree::Punct(mark) if product && mark.as_char() == '#' => {
                if let [TokenTree::Group(attribute), after @ ..] = tail
                    && is_cfg_test(&attribute.stream())
                {
                    rest = split_item(after).1;
                }
            }
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::None => ("", ""),
                };
                out.push(Token { text: open.to_owned(), line });
                flatten(group.stream(), product, out);
                let line = group.span_close().start().line;
                out.push(Token { text: close.to_owned(), line });
            }
            other => out.push(Token { text: other.to_string(), line }),
        }
    }
}

/// Every `first::second` in the tokens, also those that a `use` list spells as `first::{second}`.
fn paths(tokens: &[Token]) -> impl Iterator<Item = (usize, String)> + '_ {
    (0..tokens.len()).flat_map(|at| {
        let text = |offset: usize| {
            tokens.get(at.saturating_add(offset)).map_or("", |token| token.text.as_str())
        };
        let is_path = text(1) == ":" && text(2) == ":" && is_name(text(0));
        let seconds = match text(3) {
            _ if !is_path => Vec::new(),
            "{" => listed(tokens.get(at.saturating_add(4)..).unwrap_or_default()),
            second if is_name(second) => tokens.get(at.saturating_add(3)).into_iter().collect(),
            _ => Vec::new(),
        };
        let first = text(0).to_owned();
        seconds.into_iter().map(move |second| (second.line, format!("{first}::{}", second.text)))
    })
}

/// The first segments of the entries of a `use` list, given what follows its opening brace.
fn listed(tokens: &[Token]) -> Vec<&Token> {
    let mut depth = 0_usize;
    let mut starts = true;
    let mut found = Vec::new();
    for token in tokens {
        match token.text.as_str() {
            "{" => depth = depth.saturating_add(1),
            "}" if depth == 0 => break,
            "}" => depth = depth.saturating_sub(1),
            "," if depth == 0 => starts = true,
            name => {
                if starts && depth == 0 && is_name(name) {
                    found.push(token);
                }
                starts = false;
            }
        }
    }
    found
}

fn is_name(text: &str) -> bool {
    text.starts_with(|char: char| char.is_ascii_alphabetic() || char == '_')
}

/// Places where an option that opens a file for writing is switched on: `.create(true)`.
fn writing_options(tokens: &[Token]) -> impl Iterator<Item = (usize, String)> + '_ {
    tokens.windows(4).filter_map(|window| match window {
        [dot, name, open, value]
            if (dot.text.as_str(), open.text.as_str(), value.text.as_str())
                == (".", "(", "true")
                && WRITING.contains(&name.text.as_str()) =>
        {
            Some((name.line, name.text.clone()))
        }
        _ => None,
    })
}

/// Places where a test is switched off.
fn ignored(tokens: &[Token]) -> impl Iterator<Item = usize> + '_ {
    tokens.windows(3).filter_map(|window| match window {
        [mark, open, name] => {
            let found = mark.text == "#" && open.text == "[" && name.text == "ignore";
            found.then_some(name.line)
        }
        _ => None,
    })
}
