//! Processes that a child started and left behind, also those that made a session of their own.
//!
//! The tool adopts the orphans of its children, so whatever a test started stays among its
//! descendants until it ends, and can be found there.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use rustix::process::{Pid, Signal};

/// Set once by the tool itself; its unit tests share a process and must not adopt.
static ADOPTS: AtomicBool = AtomicBool::new(false);

/// From now on orphans of our descendants become our children.
pub(crate) fn adopt() -> anyhow::Result<()> {
    let this = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(this)).context("become a subreaper")?;
    ADOPTS.store(true, Ordering::Relaxed);
    Ok(())
}

/// Kills everything below `child`, and all orphans that were adopted meanwhile.
pub(crate) fn kill_below(child: Pid) {
    let parents = parents();
    let mut doomed = descendants(&parents, child);
    if ADOPTS.load(Ordering::Relaxed) {
        let ours = descendants(&parents, rustix::process::getpid());
        doomed.extend(ours.into_iter().filter(|pid| *pid != child));
    }
    for pid in doomed {
        // One that has ended meanwhile needs no killing.
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

/// Each process with its parent, as far as they can be read at this instant.
fn parents() -> Vec<(Pid, Pid)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let pairs = pids.filter_map(|pid: i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some((Pid::from_raw(pid)?, parent(&stat)?))
    });
    pairs.collect()
}

/// The parent in `42 (name) S 7 ...`; the name may hold spaces and brackets.
fn parent(stat: &str) -> Option<Pid> {
    let (_, fields) = stat.rsplit_once(')')?;
    Pid::from_raw(fields.split_whitespace().nth(1)?.parse().ok()?)
}

/// Everything below `root`, without `root`.
fn descendants(parents: &[(Pid, Pid)], root: Pid) -> Vec<Pid> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        let children = parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid);
        found.extend(children);
        next = next.saturating_add(1);
    }
    found.split_off(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pid(number: i32) -> Pid {
        Pid::from_raw(number).unwrap()
    }

    #[test]
    fn parent_is_read_behind_any_name() {
        assert_eq!(parent("42 (a) b) S 7 42 42"), Some(pid(7)));
        assert_eq!(parent("1 (init) S 0 1 1"), None);
        assert_eq!(parent("nonsense"), None);
    }

    #[test]
    fn descendants_of_all_degrees() {
        let parents = [(2, 1), (3, 2), (4, 3), (5, 1), (6, 2)];
        let parents = parents.map(|(child, parent)| (pid(child), pid(parent)));
        assert_eq!(descendants(&parents, pid(2)), [pid(3), pid(6), pid(4)]);
        assert_eq!(descendants(&parents, pid(4)), []);
    }

    #[test]
    fn a_running_child_is_found() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let found = descendants(&parents(), rustix::process::getpid());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.contains(&pid(i32::try_from(child.id()).unwrap())));
    }
}
