//! The test suites below `examples/`, run as their READMEs say.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::{Places, node};

/// The suite in Python.
pub(super) const PYTHON: &str = "examples/python";
/// The suite in JavaScript.
const JS: &str = "examples/js";

/// Node's own runner on a copy of the suite in JavaScript: packages are found beside the sources
/// only, and the checkout stays as it is.
pub(super) fn node(places: &Places, limit: Duration) -> anyhow::Result<Command> {
    let folder = places.root.join(JS);
    let packages = node::packages(&folder, &places.cache, limit)?;
    let copy = places.work.join("examples-js");
    fresh(&copy).with_context(|| format!("make {}", copy.display()))?;
    for entry in std::fs::read_dir(&folder).context("list the example in JavaScript")? {
        let path = entry?.path();
        if let (true, Some(name)) = (path.is_file(), path.file_name()) {
            std::fs::copy(&path, copy.join(name)).context("copy the example in JavaScript")?;
        }
    }
    std::os::unix::fs::symlink(packages.join("node_modules"), copy.join("node_modules"))
        .context("link the packages of the example")?;
    let mut command = Command::new("node");
    command.args(["--test", "--test-reporter=tap"]).current_dir(&copy);
    Ok(command)
}

/// Makes an empty folder.
fn fresh(folder: &Path) -> std::io::Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder)
}
