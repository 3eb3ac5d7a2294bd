//! One tool on one journey: a new store, its steps measured one after the other from a cold page
//! cache, every restore compared with its image, everything removed at the end.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::cold::Cold;
use super::figures::{Failure, Figures, Step};
use super::image::{self, Images, Name};
use super::measure::{self, Sample};
use super::tool::{Backup, Journey, Place, Tool};

/// Where a race runs.
pub(super) struct Course<'a> {
    pub(super) images: &'a Images,
    pub(super) folder: &'a Path,
    pub(super) cold: Cold,
}

/// Runs a journey; a step that fails is noted with its tool, and the tool's journey ends there.
pub(super) fn run(
    course: &Course<'_>,
    tool: &dyn Tool,
    journey: Journey,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("store-").tempdir_in(course.folder)?;
    let mut run = Run { course, tool, folder: folder.path(), figures, now: None };
    let done = match journey {
        Journey::Disk => run.disk(),
        Journey::Listed => run.listed(),
        Journey::Random => run.there_and_back(Name::R, Step::Random, Step::RandomRestore),
        Journey::Sparse => run.there_and_back(Name::Z, Step::Sparse, Step::SparseRestore),
        Journey::Copy => run.copy(),
    };
    if let Err(error) = done {
        let step = run.now.map_or("preparation", Step::name).to_owned();
        let error = format!("{error:#}");
        eprintln!("FAILED: {}, {step}: {error}", tool.name());
        figures.failures.push(Failure { tool: tool.name(), step, error });
    }
    folder.close().context("remove the store")
}

struct Run<'a> {
    course: &'a Course<'a>,
    tool: &'a dyn Tool,
    folder: &'a Path,
    figures: &'a mut Figures,
    /// The step that is running, for the report of a failure.
    now: Option<Step>,
}

impl Run<'_> {
    fn disk(&mut self) -> anyhow::Result<()> {
        let place = self.place("store", None)?;
        let first = self.backup(&place, Some(Step::First), Name::D0, None, false)?;
        let next = self.backup(&place, Some(Step::Next), Name::D1, Some(&first), false)?;
        self.backup(&place, Some(Step::Sibling), Name::D2, None, false)?;
        self.restore(&place, Step::Restore, &next, Name::D1)?;
        match self.tool.verify(&place) {
            Some(mut command) => self.measure(Step::Verify, &mut command, &place).map(|_| ()),
            None => Ok(()),
        }
    }

    fn listed(&mut self) -> anyhow::Result<()> {
        let place = self.place("store", None)?;
        // Measured only where the tool has no other first backup.
        let step = (!self.tool.takes(Journey::Disk)).then_some(Step::First);
        let first = self.backup(&place, step, Name::D0, None, false)?;
        let next = self.backup(&place, Some(Step::Listed), Name::D1, Some(&first), true)?;
        self.restore(&place, Step::ListedRestore, &next, Name::D1)
    }

    fn there_and_back(&mut self, name: Name, there: Step, back: Step) -> anyhow::Result<()> {
        let place = self.place("store", None)?;
        let point = self.backup(&place, Some(there), name, None, false)?;
        self.restore(&place, back, &point, name)
    }

    fn copy(&mut self) -> anyhow::Result<()> {
        let from = self.place("from", None)?;
        let to = self.place("to", Some(&from))?;
        let first = self.backup(&from, None, Name::D0, None, false)?;
        self.transfer(Step::CopyFirst, &from, &to, &first)?;
        let next = self.backup(&from, None, Name::D1, Some(&first), false)?;
        let copied = self.transfer(Step::CopyNext, &from, &to, &next)?;
        self.restore(&to, Step::CopyRestore, &copied, Name::D1)
    }

    fn transfer(
        &mut self,
        step: Step,
        from: &Place,
        to: &Place,
        point: &str,
    ) -> anyhow::Result<String> {
        let mut command = self.tool.copy(from, to, point).context("it cannot copy")?;
        let (_, output) = self.measure(step, &mut command, to)?;
        self.tool.copied(point, &output)
    }

    /// A new store.
    fn place(&self, name: &str, twin: Option<&Place>) -> anyhow::Result<Place> {
        let place = Place::make(self.folder, name)?;
        for mut command in self.tool.init(&place, twin)? {
            measure::run(&mut command, &self.log()).context("make the store")?;
        }
        Ok(place)
    }

    fn log(&self) -> PathBuf {
        self.folder.join("output")
    }

    /// Backs an image up, on top of a point and perhaps with the list of changes since.
    fn backup(
        &mut self,
        place: &Place,
        step: Option<Step>,
        name: Name,
        parent: Option<&str>,
        listed: bool,
    ) -> anyhow::Result<String> {
        let path = self.course.images.path(name);
        let (folder, image) = split(&path)?;
        let lists = (self.course.images.list(), self.course.images.hints());
        let lists = listed.then_some((lists.0.as_path(), lists.1.as_path()));
        let backup = Backup { image, folder, parent, lists };
        let mut command = self.tool.backup(place, &backup);
        let output = match step {
            Some(step) => self.measure(step, &mut command, place)?.1,
            None => measure::run(&mut command, &self.log())?.1,
        };
        self.tool.point(image, &output)
    }

    fn restore(
        &mut self,
        place: &Place,
        step: Step,
        point: &str,
        name: Name,
    ) -> anyhow::Result<()> {
        let path = self.course.images.path(name);
        let (_, image) = split(&path)?;
        let out = self.folder.join("restored");
        std::fs::create_dir(&out)?;
        let mut command = self.tool.restore(place, point, image, &out);
        self.measure(step, &mut command, place)?;
        let restored = out.join(image);
        if let Err(error) = image::compare(&path, &restored) {
            // What is not the image was not restored, however fast.
            self.figures.samples.remove(&(step, self.tool.name()));
            return Err(error);
        }
        std::fs::remove_dir_all(&out).context("remove what was restored")
    }

    /// Runs one step from a cold cache; counts what it added to the place's store.
    fn measure(
        &mut self,
        step: Step,
        command: &mut Command,
        place: &Place,
    ) -> anyhow::Result<(Sample, String)> {
        self.now = Some(step);
        let before = stored(&place.store)?;
        self.course.cold.make(&[&self.course.images.folder, self.folder])?;
        let (sample, output) = measure::run(command, &self.log())?;
        // From outside, not as told: also indexes, records and padding count.
        let stored_bytes = Some(stored(&place.store)?.saturating_sub(before));
        let sample = Sample { stored_bytes, ..sample };
        let name = self.tool.name();
        eprintln!("  {name}, {}: {:.2} s", step.name(), sample.seconds);
        self.figures.add(step, name, sample);
        Ok((sample, output))
    }
}

/// Bytes below a folder, none when there is no such folder yet.
fn stored(path: &Path) -> anyhow::Result<u64> {
    if path.exists() { measure::stored(path) } else { Ok(0) }
}

fn split(path: &Path) -> anyhow::Result<(&Path, &str)> {
    let parts = path.parent().zip(path.file_name().and_then(|name| name.to_str()));
    parts.with_context(|| format!("{} has no folder", path.display()))
}

#[cfg(test)]
mod tests {
    use super::super::tool::Family;
    use super::*;

    /// Keeps whole copies, or claims to.
    struct Copies {
        honest: bool,
        verb: &'static str,
    }

    impl Tool for Copies {
        fn name(&self) -> &'static str {
            "copies"
        }

        fn family(&self) -> Family {
            Family::Whole
        }

        fn takes(&self, _journey: Journey) -> bool {
            true
        }

        fn init(&self, place: &Place, _twin: Option<&Place>) -> anyhow::Result<Vec<Command>> {
            std::fs::create_dir_all(&place.store)?;
            Ok(Vec::new())
        }

        fn backup(&self, place: &Place, backup: &Backup<'_>) -> Command {
            let mut command = Command::new(self.verb);
            command.arg(backup.folder.join(backup.image)).arg(place.store.join(backup.image));
            command
        }

        fn point(&self, image: &str, _output: &str) -> anyhow::Result<String> {
            Ok(image.to_owned())
        }

        fn restore(&self, place: &Place, point: &str, _image: &str, out: &Path) -> Command {
            let mut command = Command::new("cp");
            let point = if self.honest { point } else { "D0.img" };
            command.arg(place.store.join(point)).arg(out.join("D1.img"));
            command
        }

        fn verify(&self, place: &Place) -> Option<Command> {
            let mut command = Command::new("ls");
            command.arg(&place.store);
            Some(command)
        }
    }

    fn raced(honest: bool, verb: &'static str) -> Figures {
        let folder = tempfile::tempdir().unwrap();
        let images = Images::make(&[Name::D0, Name::D2], 10, 1, folder.path()).unwrap();
        let work = tempfile::tempdir().unwrap();
        let course = Course { images: &images, folder: work.path(), cold: Cold::Advised };
        let mut figures = Figures::default();
        run(&course, &Copies { honest, verb }, Journey::Disk, &mut figures).unwrap();
        assert_eq!(std::fs::read_dir(work.path()).unwrap().count(), 0);
        figures
    }

    #[test]
    fn every_step_is_measured_and_nothing_is_left() {
        let figures = raced(true, "cp");
        assert!(figures.failures.is_empty(), "{:?}", figures.failures);
        let steps: Vec<Step> = figures.rows().iter().map(|row| row.step).collect();
        let all = [Step::First, Step::Next, Step::Sibling, Step::Restore, Step::Verify];
        assert_eq!(steps, all);
        let first = figures.row(Step::First, "copies").unwrap();
        assert!(first.stored.unwrap() > 50.0);
    }

    #[test]
    fn a_peer_that_lies_is_a_failure_without_a_figure() {
        let figures = raced(false, "cp");
        assert_eq!(figures.failures.len(), 1);
        assert!(figures.failures[0].error.contains("differ"), "{:?}", figures.failures);
        assert_eq!(figures.failures[0].step, Step::Restore.name());
        assert_eq!(figures.row(Step::Restore, "copies"), None);
        assert!(figures.row(Step::First, "copies").is_some());
    }

    #[test]
    fn a_step_that_fails_is_told_with_its_name() {
        let figures = raced(true, "false");
        assert_eq!(figures.failures.len(), 1);
        assert_eq!(figures.failures[0].step, Step::First.name());
        assert!(figures.rows().is_empty());
    }
}
