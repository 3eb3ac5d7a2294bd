//! One round of Tresor: first backup, unchanged, changed with and without a list, restore.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use serde::Deserialize;

use super::measure::{self, Sample};
use super::{Bench, Figures, Step, image};

/// What `tresor store backup --json` prints.
#[derive(Deserialize)]
struct Backup {
    point: String,
    bytes_read: u64,
}

/// Runs all steps on a new store, which is gone afterwards.
pub(super) fn round(bench: &Bench, figures: &mut Figures) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(&bench.folder)?;
    let store = folder.path().join("store");
    let round = Round { bench, store: &store, key: &folder.path().join("key"), figures };
    round.run(folder.path())
}

struct Round<'a> {
    bench: &'a Bench,
    store: &'a Path,
    key: &'a Path,
    figures: &'a mut Figures,
}

impl Round<'_> {
    fn run(mut self, folder: &Path) -> anyhow::Result<()> {
        let log = folder.join("init");
        measure::run(&mut self.command("init"), &log).context("store init")?;
        let images = &self.bench.images;
        let first = self.backup("first backup", &images.base, None)?;
        self.backup("unchanged backup", &images.base, Some((&first, None)))?;
        let changed = &images.changed;
        let point = self.backup("1 % changed", &changed.image, Some((&first, None)))?;
        // Another change of the same size: the store does not hold its blocks yet.
        let listed = &images.listed;
        let from = Some((first.as_str(), Some(listed.list.as_path())));
        let known = self.backup("1 % changed, listed", &listed.image, from)?;
        for (name, point, image) in
            [("restore", &point, &changed.image), ("restore, listed", &known, &listed.image)]
        {
            let out = folder.join("restored.img");
            let mut command = self.command("restore");
            command.arg("--point").arg(point).arg(&out);
            let (sample, _) = measure::run(&mut command, &folder.join("restore"))?;
            image::compare(image, &out).with_context(|| name)?;
            std::fs::remove_file(&out)?;
            self.figures.add(Step { tool: "tresor", name }, sample);
        }
        Ok(())
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.bench.binary);
        command.args(["store", verb, "--store"]).arg(self.store);
        command.arg("--key-file").arg(self.key);
        command
    }

    /// Backs up an image, on top of a point and perhaps with a list of changes.
    fn backup(
        &mut self,
        name: &'static str,
        image: &Path,
        from: Option<(&str, Option<&Path>)>,
    ) -> anyhow::Result<String> {
        let before = measure::stored(self.store)?;
        let mut command = self.command("backup");
        command.arg(image).arg("--json");
        if let Some((parent, list)) = from {
            command.args(["--parent", parent]);
            if let Some(list) = list {
                command.arg("--changed").arg(list);
            }
        }
        let log = self.store.with_extension("json");
        let (sample, output) = measure::run(&mut command, &log).context(name)?;
        let backup: Backup = serde_json::from_str(&output)
            .with_context(|| format!("{name}: the answer {output:?}"))?;
        // Measured from outside, not as told: also indexes, records and padding count.
        let stored = measure::stored(self.store)?.saturating_sub(before);
        let sample =
            Sample { read_bytes: Some(backup.bytes_read), stored_bytes: Some(stored), ..sample };
        self.figures.add(Step { tool: "tresor", name }, sample);
        Ok(backup.point)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::bench::image::{Layout, make};

    /// A program with the command line of Tresor that keeps whole copies.
    const COPIES: &str = r#"#!/bin/sh
set -e
shift
verb=$1; shift
while [ $# -gt 0 ]; do
    case $1 in
        --store) store=$2; shift 2;;
        --key-file|--parent) shift 2;;
        --changed) [ -s "$2" ]; shift 2;;
        --point) point=$2; shift 2;;
        --json) shift;;
        *) file=$1; shift;;
    esac
done
case $verb in
    init) mkdir "$store";;
    backup) n=$(ls "$store" | wc -l); cp "$file" "$store/$n"
        echo "{\"point\":\"$n\",\"bytes_read\":4096,\"bytes_stored\":1,\"seconds\":0.5}";;
    restore) cp "$store/$point" "$file";;
esac
"#;

    fn bench(folder: &Path, script: &str) -> Bench {
        let binary = folder.join("tresor");
        std::fs::write(&binary, script).unwrap();
        std::fs::set_permissions(&binary, PermissionsExt::from_mode(0o755)).unwrap();
        let images = make(&Layout::new(2 << 20, 1), folder).unwrap();
        Bench { binary, folder: folder.to_owned(), images }
    }

    #[test]
    fn every_step_is_measured() {
        let folder = tempfile::tempdir().unwrap();
        let mut figures = Figures::default();
        round(&bench(folder.path(), COPIES), &mut figures).unwrap();
        let names: Vec<&str> = figures.order.iter().map(|step| step.name).collect();
        let backups = ["first backup", "unchanged backup", "1 % changed", "1 % changed, listed"];
        assert_eq!(names, [&backups[..], &["restore", "restore, listed"]].concat());
        let first = figures.samples.get(&figures.order[0]).unwrap()[0];
        assert_eq!((first.read_bytes, first.stored_bytes), (Some(4096), Some(2 << 20)));
    }

    #[test]
    fn a_restore_of_other_bytes_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let script = COPIES.replace("$store/$point", "$store/0");
        let error = round(&bench(folder.path(), &script), &mut Figures::default()).unwrap_err();
        assert!(format!("{error:#}").contains("differ"), "{error:#}");
    }
}
