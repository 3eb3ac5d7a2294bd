//! Child processes with a hard time limit.
//!
//! Each child leads a process group of its own. The group, and whatever left it for a session of
//! its own, is killed when the limit is reached, when the tool is interrupted, and also when the
//! child has ended by itself: nothing that a test started outlives its part. The leader is reaped
//! last, so that its number cannot have been given to another process when the group is killed.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};
use wait4::{ResourceUsage, Wait4 as _};

use crate::orphan;

/// Groups that are running now, for the signal handler.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// Folders that must not stay when the tool is interrupted.
static DOOMED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// How often the removal of a folder into which threads still write is begun again.
const REMOVALS: u32 = 50;

/// The cargo that runs this tool.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It exited with this code.
    Code(i32),
    /// A signal that was not ours ended it.
    Signal,
    /// It was killed at its limit.
    Limit,
}

/// What is known of a child that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) end: End,
    pub(crate) wall: Duration,
    pub(crate) usage: ResourceUsage,
}

impl Ended {
    /// True when the child exited with code 0.
    pub(crate) fn ok(&self) -> bool {
        self.end == End::Code(0)
    }

    /// The end in words, for a report.
    pub(crate) fn words(&self) -> String {
        match self.end {
            End::Code(code) => format!("exit code {code}"),
            End::Signal => "ended by a signal".to_owned(),
            End::Limit => format!("killed at its limit, after {:.0} s", self.wall.as_secs_f64()),
        }
    }
}

/// Runs `command` without input, both output streams going to the file `log`.
pub(crate) fn run_logged(
    command: &mut Command,
    limit: Duration,
    log: &Path,
) -> anyhow::Result<Ended> {
    let file = File::create(log).with_context(|| format!("create {}", log.display()))?;
    let again = file.try_clone().context("share the log file")?;
    command.stdout(file).stderr(again);
    run(command, limit)
}

/// Runs `command` without input; its output streams are as the caller set them.
pub(crate) fn run(command: &mut Command, limit: Duration) -> anyhow::Result<Ended> {
    command.stdin(Stdio::null()).process_group(0);
    let start = Instant::now();
    let (child, group) = spawn(command)?;
    let limited = wait(group, start, limit);
    kill(group);
    running().retain(|other| *other != group);
    let reaped = child.wait4().context("wait for the child")?;
    let wall = start.elapsed();
    let end = match (limited?, reaped.status.code()) {
        (true, _) => End::Limit,
        (false, Some(code)) => End::Code(code),
        (false, None) => End::Signal,
    };
    Ok(Ended { end, wall, usage: reaped.rusage })
}

/// The folder that cargo builds in.
pub(crate) fn target_folder(root: &Path) -> anyhow::Result<PathBuf> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .current_dir(root)
        .no_deps()
        .exec()
        .context("ask cargo for its target folder")?;
    Ok(metadata.target_directory.into_std_path_buf())
}

/// From now on this folder is removed when the tool is asked to stop.
pub(crate) fn remove_on_signal(folder: &Path) {
    DOOMED.lock().unwrap_or_else(PoisonError::into_inner).push(folder.to_owned());
}

/// Kills the children's groups and exits when the tool is asked to stop.
pub(crate) fn stop_children_on_signal() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        let groups = running();
        for group in groups.iter() {
            kill(*group);
        }
        for folder in DOOMED.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            remove(folder);
        }
        // The lock is held to the end: no child can be started any more.
        std::process::exit(130);
    })
    .context("install the signal handler")
}

/// Removes a folder, also while the tool's own threads put more into it.
fn remove(folder: &Path) {
    for _ in 0..REMOVALS {
        let removed = std::fs::remove_dir_all(folder);
        if removed.is_ok_and(|()| !folder.exists()) {
            return;
        }
    }
}

/// Kills a child that was not reaped yet, its group and everything below it.
fn kill(group: Pid) {
    orphan::kill_below(group);
    // An empty group is what is wanted.
    let _ = rustix::process::kill_process_group(group, Signal::KILL);
}

/// Starts the child while the list is locked: the signal handler cannot miss it.
fn spawn(command: &mut Command) -> anyhow::Result<(Child, Pid)> {
    let mut groups = running();
    let program = command.get_program().to_string_lossy().into_owned();
    let child = command.spawn().with_context(|| format!("start {program}"))?;
    let group = Pid::from_child(&child);
    groups.push(group);
    Ok((child, group))
}

/// Waits until the child has ended (false) or its limit is reached (true); does not reap it.
fn wait(child: Pid, start: Instant, limit: Duration) -> anyhow::Result<bool> {
    let handle = rustix::process::pidfd_open(child, PidfdFlags::empty()).context("pidfd_open")?;
    loop {
        let left = limit.saturating_sub(start.elapsed());
        let timeout = Timespec::try_from(left).context("a limit that fits the system's clock")?;
        let mut watched = [PollFd::new(&handle, PollFlags::IN)];
        match rustix::event::poll(&mut watched, Some(&timeout)) {
            Ok(0) => return Ok(true),
            Ok(_) => return Ok(false),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("poll the child"),
        }
    }
}

fn running() -> MutexGuard<'static, Vec<Pid>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdout(Stdio::null());
        command
    }

    #[test]
    fn exit_code_is_reported() {
        let ended = run(&mut shell("exit 7"), Duration::from_secs(30)).unwrap();
        assert_eq!(ended.end, End::Code(7));
        assert!(!ended.ok());
    }

    #[test]
    fn limit_kills_the_whole_group() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        // The grandchild holds the pipe open; the read below ends only when it is dead too.
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let script = format!("sleep 600 > '{}' & wait", pipe.display());
        let reader = std::thread::spawn(move || std::fs::read(pipe).unwrap());
        let ended = run(&mut shell(&script), Duration::from_millis(300)).unwrap();
        assert_eq!(ended.end, End::Limit);
        assert_eq!(reader.join().unwrap(), b"");
    }

    #[test]
    fn what_the_child_left_running_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let script = format!("exec 3<>'{0}'; sleep 600 > '{0}' 3>&- & exit 0", pipe.display());
        let reader = std::thread::spawn(move || std::fs::read(pipe).unwrap());
        let ended = run(&mut shell(&script), Duration::from_secs(60)).unwrap();
        assert!(ended.ok());
        assert_eq!(reader.join().unwrap(), b"");
    }

    #[test]
    fn limit_also_kills_what_left_the_group() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let script = format!("setsid --wait sleep 600 > '{}'", pipe.display());
        let reader = std::thread::spawn(move || std::fs::read(pipe).unwrap());
        let ended = run(&mut shell(&script), Duration::from_millis(300)).unwrap();
        assert_eq!(ended.end, End::Limit);
        assert_eq!(reader.join().unwrap(), b"");
    }

    #[test]
    fn output_goes_to_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut command = shell("echo out; echo err >&2");
        run_logged(&mut command, Duration::from_secs(30), &log).unwrap();
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "out\nerr\n");
    }
}
