//! Durations of jobs in the two forms that the service uses.

use jiff::{SignedDuration, Timestamp};

const TICK_NANOS: u128 = 100;
const TICKS_A_SECOND: u128 = 10_000_000;

/// The time that a job took; nothing while it runs, as the service reports it.
pub(crate) fn between(start: Timestamp, end: Option<Timestamp>) -> SignedDuration {
    end.map_or(SignedDuration::ZERO, |end| end.duration_since(start))
}

struct Parts {
    days: u128,
    hours: u128,
    minutes: u128,
    seconds: u128,
    ticks: u128,
}

fn parts(duration: SignedDuration) -> Parts {
    let ticks = u128::try_from(duration.as_nanos()).unwrap_or(0) / TICK_NANOS;
    let seconds = ticks / TICKS_A_SECOND;
    Parts {
        days: seconds / 86_400,
        hours: seconds / 3600 % 24,
        minutes: seconds / 60 % 60,
        seconds: seconds % 60,
        ticks: ticks % TICKS_A_SECOND,
    }
}

/// The ISO 8601 form of a single job: `PT6M5.7409896S`; zero is `PT0S`.
pub(crate) fn iso(duration: SignedDuration) -> String {
    let p = parts(duration);
    let mut out = String::from("P");
    if p.days > 0 {
        out.push_str(&format!("{}D", p.days));
    }
    let mut time = String::new();
    if p.hours > 0 {
        time.push_str(&format!("{}H", p.hours));
    }
    if p.minutes > 0 {
        time.push_str(&format!("{}M", p.minutes));
    }
    if p.ticks > 0 {
        let fraction = format!("{:07}", p.ticks);
        time.push_str(&format!("{}.{}S", p.seconds, fraction.trim_end_matches('0')));
    } else if p.seconds > 0 || (p.days == 0 && time.is_empty()) {
        time.push_str(&format!("{}S", p.seconds));
    }
    if !time.is_empty() {
        out.push('T');
        out.push_str(&time);
    }
    out
}

/// The clock form of job lists: `00:03:39.7214322`, with days in front when there are any.
pub(crate) fn clock(duration: SignedDuration) -> String {
    let p = parts(duration);
    let days = if p.days > 0 { format!("{}.", p.days) } else { String::new() };
    let fraction = if p.ticks > 0 { format!(".{:07}", p.ticks) } else { String::new() };
    format!("{days}{:02}:{:02}:{:02}{fraction}", p.hours, p.minutes, p.seconds)
}
