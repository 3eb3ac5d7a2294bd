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
    /// The state of each thread, kept open: asking again is one call.
    files: HashMap<OsString, File>,
}

impl Calm {
    /// For the calling thread.
    pub(crate) fn new() -> Self {
        let own = fs::read_link("/proc/thread-self").ok();
        let own = own.and_then(|path| path.file_name().map(ToOwned::to_owned));
        Self { own, files: HashMap::new() }
    }

    /// Waits until no other thread of the process moves: seen twice in a row, since somebody may
    /// be woken while the others are looked at.
    pub(crate) fn wait(&mut self) {
        let mut calm = 0;
        while calm < 2 {
            if self.all_sleep() {
                calm += 1;
            } else {
                calm = 0;
                thread::yield_now();
            }
        }
    }

    fn all_sleep(&mut self) -> bool {
        // Those seen last time first: whoever moves is mostly among them.
        let mut moving = false;
        self.files.retain(|_, file| {
            let state = if moving { Some('?') } else { state(file) };
            moving |= matches!(state, Some('R' | 'D'));
            // A thread that is gone does not move.
            state.is_some()
        });
        if moving {
            return false;
        }
        for entry in fs::read_dir(TASKS).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if Some(&name) == self.own.as_ref() || self.files.contains_key(&name) {
                continue;
            }
            let Ok(file) = File::open(entry.path().join("stat")) else { continue };
            moving |= matches!(state(&file), Some('R' | 'D'));
            self.files.insert(name, file);
        }
        !moving
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
