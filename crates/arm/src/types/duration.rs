//! Durations of jobs in the two forms that the service uses.

use jiff::{RoundMode, SignedDuration, Span, SpanRound, Timestamp, Unit};

/// The smallest step of both forms, in nanoseconds.
const TICK: i32 = 100;

/// The time that a job took; nothing while it runs, as the service reports it.
pub(crate) fn between(start: Timestamp, end: Option<Timestamp>) -> SignedDuration {
    end.map_or(SignedDuration::ZERO, |end| end.duration_since(start))
}

/// The ISO 8601 form of a single job: `PT6M5.7409896S`; zero is `PT0S`, and so is less.
pub(crate) fn iso(duration: SignedDuration) -> String {
    let ticks = SpanRound::new()
        .largest(Unit::Day)
        .days_are_24_hours()
        .increment(TICK.into())
        .mode(RoundMode::Trunc);
    let span = Span::try_from(duration.max(SignedDuration::ZERO));
    span.and_then(|span| span.round(ticks)).unwrap_or_default().to_string()
}

/// The clock form of job lists: `00:03:39.7214322`, with days in front when there are any.
pub(crate) fn clock(duration: SignedDuration) -> String {
    let duration = duration.max(SignedDuration::ZERO);
    let (seconds, ticks) = (duration.as_secs(), duration.subsec_nanos() / TICK);
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let days = if days > 0 { format!("{days}.") } else { String::new() };
    let fraction = if ticks > 0 { format!(".{ticks:07}") } else { String::new() };
    format!("{days}{hours:02}:{:02}:{:02}{fraction}", seconds / 60 % 60, seconds % 60)
}
