//! Who holds a pin, told so that a later command can see whether he is still there.
//!
//! The text names the process: its number and when it began, in which space of numbers, in which
//! run of which machine. It is gone for sure if this is that run and that space and no process of
//! that number and beginning is there. Of anybody else nothing can be told but the age.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use jiff::Timestamp;
use tresor_store::PinRecord;

const OURS: &str = "tresor store ";

/// A process that no other one is taken for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Process {
    /// Names this run of this machine.
    boot: String,
    /// Names the space in which processes are numbered: containers have their own.
    space: u64,
    number: u32,
    /// Ticks of the machine's clock.
    begun: u64,
}

impl Process {
    fn own() -> Option<Process> {
        let number = std::process::id();
        let (state, begun) = look(number)?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
        let space = fs::metadata("/proc/self/ns/pid").ok()?.ino();
        (state != 'Z' && !boot.is_empty()).then_some(Process { boot, space, number, begun })
    }

    fn parse(holder: &str) -> Option<Process> {
        let inside = holder.strip_prefix(OURS)?.strip_suffix(')')?.split_once(" (boot ")?.1;
        let mut words = inside.split_whitespace();
        let boot = words.next()?.to_owned();
        let mut named = |name: &str| (words.next()? == name).then(|| words.next())?;
        let space = named("space")?.parse().ok()?;
        let number = named("process")?.parse().ok()?;
        let begun = named("begun")?.parse().ok()?;
        Some(Process { boot, space, number, begun })
    }

    /// Whether it has ended; nothing if that cannot be seen from here.
    fn has_ended(&self) -> Option<bool> {
        let here = Process::own()?;
        if (&here.boot, here.space) != (&self.boot, self.space) {
            return None;
        }
        let there = look(self.number);
        Some(there.is_none_or(|(state, begun)| begun != self.begun || matches!(state, 'Z' | 'X')))
    }
}

/// The state of a process and when it began; nothing if there is none.
fn look(number: u32) -> Option<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    // The name before may hold anything.
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split_whitespace().collect();
    let state = fields.first()?.chars().next()?;
    // The state is the third field of all, the beginning the twenty-second.
    Some((state, fields.get(19)?.parse().ok()?))
}

/// What a command of this process is called in its pins.
pub(super) fn own(command: &str) -> String {
    match Process::own() {
        Some(Process { boot, space, number, begun }) => {
            format!("{OURS}{command} (boot {boot} space {space} process {number} begun {begun})")
        }
        None => format!("{OURS}{command}"),
    }
}

/// Whether the command that set the pin has ended without releasing it: for sure.
pub(super) fn is_gone(pin: &PinRecord) -> bool {
    Process::parse(&pin.holder).and_then(|process| process.has_ended()) == Some(true)
}

/// Whether the pin may be given up when asked for: its holder is gone, or cannot be seen and set
/// it long ago. Never that of a process that lives.
pub(super) fn may_go(pin: &PinRecord, now: Timestamp, after: Duration) -> bool {
    let seen = Process::parse(&pin.holder).and_then(|process| process.has_ended());
    let age = Duration::try_from(now.duration_since(pin.time)).unwrap_or_default();
    seen.unwrap_or(age >= after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_all_others() {
        let own = own("restore");
        let process = Process::parse(&own).unwrap();
        assert_eq!(process.has_ended(), Some(false), "{own}");
        // The number was given to another process since.
        let other = Process { begun: process.begun + 1, ..process.clone() };
        assert_eq!(other.has_ended(), Some(true));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let (_, begun) = look(child.id()).unwrap();
        let child_process = Process { number: child.id(), begun, ..process.clone() };
        assert_eq!(child_process.has_ended(), Some(false));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(child_process.has_ended(), Some(true));
        for elsewhere in [
            Process { boot: "another".into(), ..child_process.clone() },
            Process { space: process.space + 1, ..child_process },
        ] {
            assert_eq!(elsewhere.has_ended(), None, "nobody can see that from here");
        }
    }

    #[test]
    fn other_texts_name_no_process() {
        for text in ["", "work-17", "tresor store restore", "tresor store restore (boot x)"] {
            assert_eq!(Process::parse(text), None, "{text}");
        }
        let odd = "tresor store a (boot b space 1 process 2 begun 3)";
        let process = Process { boot: "b".into(), space: 1, number: 2, begun: 3 };
        assert_eq!(Process::parse(odd), Some(process));
    }
}
