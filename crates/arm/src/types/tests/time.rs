//! Instants and durations.

use super::at;
use crate::types::{duration, time};
use jiff::SignedDuration;

#[test]
fn instants_have_seven_digits() {
    assert_eq!(time::instant(at("2021-08-30T10:02:11.6354913Z")), "2021-08-30T10:02:11.6354913Z");
    assert_eq!(time::instant(at("2026-01-08T06:08:54Z")), "2026-01-08T06:08:54.0000000Z");
    // Truncated, not rounded: an instant must never be shown later than it was.
    assert_eq!(time::instant(at("2026-01-08T06:08:54.999999999Z")), "2026-01-08T06:08:54.9999999Z");
}

#[test]
fn versions_count_ticks_since_the_year_1() {
    assert_eq!(time::ticks(at("2021-07-01T13:27:13.6647408Z")), "637607428336647408");
}

#[test]
fn entity_tags_of_jobs() {
    let tag = time::job_etag(at("2021-08-26T07:18:16.157629Z"));
    assert_eq!(tag, "W/\"datetime'2021-08-26T07%3A18%3A16.157629Z'\"");
    assert_eq!(
        time::job_etag(at("2021-08-26T07:18:16Z")),
        "W/\"datetime'2021-08-26T07%3A18%3A16Z'\""
    );
}

#[test]
fn http_dates_are_read_back() {
    let text = time::http_date(at("1994-11-06T08:49:37Z"));
    assert_eq!(text, "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(time::parse_http_date(&text), Some(at("1994-11-06T08:49:37Z")));
    assert_eq!(time::parse_http_date("yesterday"), None);
}

#[test]
fn durations_in_both_forms() {
    let cases = [
        (0, "PT0S", "00:00:00"),
        (365_740_989_600, "PT6M5.7409896S", "00:06:05.7409896"),
        (219_721_432_200, "PT3M39.7214322S", "00:03:39.7214322"),
        (60_000_000_000, "PT1M", "00:01:00"),
        (59_999_999_999, "PT59.9999999S", "00:00:59.9999999"),
        (500_000_000, "PT0.5S", "00:00:00.5000000"),
        (3_600_000_000_000, "PT1H", "01:00:00"),
        (86_400_000_000_000, "P1D", "1.00:00:00"),
        (90_061_000_000_000, "P1DT1H1M1S", "1.01:01:01"),
    ];
    for (nanos, iso, clock) in cases {
        let duration = SignedDuration::from_nanos(nanos);
        assert_eq!(duration::iso(duration), iso);
        assert_eq!(duration::clock(duration), clock);
    }
}

#[test]
fn a_running_job_shows_no_duration() {
    let start = at("2026-01-08T06:00:00Z");
    assert_eq!(duration::between(start, None), SignedDuration::ZERO);
    let end = at("2026-01-08T06:00:02.5Z");
    assert_eq!(duration::iso(duration::between(start, Some(end))), "PT2.5S");
    let backwards = duration::between(end, Some(start));
    assert_eq!(duration::iso(backwards), "PT0S");
}
