//! Whether anything in the process moves.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::thread;

const TASKS: &str = "/proc/self/task";

/// What one thread knows of all others. The kernel knows who moves: whoever waits for a lock, a
/// channel or a call of the stage sleeps, and whoever was just woken does not.
#[derive(Debug, Default)]
pub(crate) struct Calm {
    own: Option<OsString>,
    /// What the kernel tells of each thread, kept open: asking again is one call.
    threads: HashMap<OsString, Told>,
}

#[derive(Debug)]
struct Told {
    stat: File,
    /// Not every kernel counts.
    schedstat: Option<File>,
}

impl Calm {
    /// For the calling thread.
    pub(crate) fn new() -> Self {
        let own = fs::read_link("/proc/thread-self").ok();
        let own = own.and_then(|path| path.file_name().map(ToOwned::to_owned));
        Self { own, threads: HashMap::new() }
    }

    /// Waits until no other thread of the process moves: all sleep, twice in a row, and none has
    /// run in between. Two threads that wake each other by turns may both be seen asleep, each
    /// while the other runs.
    pub(crate) fn wait(&mut self) {
        let mut before = None;
        loop {
            let runs = self.asleep();
            if runs.is_some() && runs == before {
                return;
            }
            if runs.is_none() {
                thread::yield_now();
            }
            before = runs;
        }
    }

    /// How often all threads together were run, if all of them sleep.
    fn asleep(&mut self) -> Option<u64> {
        // Those seen last time first: whoever moves is mostly among them.
        let (mut moving, mut runs) = (false, 0_u64);
        self.threads.retain(|_, told| {
            let state = if moving { Some('?') } else { state(&told.stat) };
            moving |= matches!(state, Some('R' | 'D'));
            if !moving {
                runs = runs.wrapping_add(told.runs());
            }
            // A thread that is gone does not move.
            state.is_some()
        });
        if moving {
            return None;
        }
        for entry in fs::read_dir(TASKS).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if Some(&name) == self.own.as_ref() || self.threads.contains_key(&name) {
                continue;
            }
            let Ok(stat) = File::open(entry.path().join("stat")) else { continue };
            let told = Told { stat, schedstat: File::open(entry.path().join("schedstat")).ok() };
            moving |= matches!(state(&told.stat), Some('R' | 'D'));
            runs = runs.wrapping_add(told.runs());
            self.threads.insert(name, told);
        }
        (!moving).then_some(runs)
    }
}

impl Told {
    /// How often the thread was run: the last of three numbers.
    fn runs(&self) -> u64 {
        let mut text = [0; 64];
        let read = self.schedstat.as_ref().and_then(|file| file.read_at(&mut text, 0).ok());
        let text = std::str::from_utf8(text.get(..read.unwrap_or(0)).unwrap_or_default());
        text.ok().and_then(|text| text.split_whitespace().last()?.parse().ok()).unwrap_or(0)
    }
}

/// A thread's state, the letter behind its name; nothing once it is gone.
fn state(file: &File) -> Option<char> {
    let mut text = [0; 64];
    let read = file.read_at(&mut text, 0).ok()?;
    let text = text.get(..read)?;
    let name = text.windows(2).rposition(|two| two == b") ")?;
    text.get(name + 2).map(|letter| char::from(*letter))
}
