//! Tests of `window`, by table: hours, a zone, an instant, open or not, and when next.

use super::*;
use crate::policy::zones;

fn wall(text: &str) -> Wall {
    Wall(text.parse::<Timestamp>().unwrap().as_millisecond())
}

fn hours(text: &str) -> Hours {
    Hours(text.split('+').map(|s| s.parse().unwrap()).collect())
}

/// (hours joined by `+`, zone, now, the next opening; equal to now if open now; empty if never)
pub(crate) const CASES: &[(&str, &str, &str, &str)] = &[
    // Plain days.
    ("daily 08:00-21:00", "America/New_York", "2026-01-15T12:59:59Z", "2026-01-15T13:00:00Z"),
    ("daily 08:00-21:00", "America/New_York", "2026-01-15T13:00:00Z", "2026-01-15T13:00:00Z"),
    ("daily 08:00-21:00", "America/New_York", "2026-01-16T01:59:59.999Z", "2026-01-16T01:59:59.999Z"),
    ("daily 08:00-21:00", "America/New_York", "2026-01-16T02:00:00Z", "2026-01-16T13:00:00Z"),
    ("mon-fri 09:00-17:00", "Europe/Berlin", "2026-01-17T09:00:00Z", "2026-01-19T08:00:00Z"),
    ("fri-mon 09:00-17:00", "Europe/Berlin", "2026-01-20T09:00:00Z", "2026-01-23T08:00:00Z"),
    (
        "mon-fri 09:00-21:30+sat,sun 10:00-18:00",
        "America/Toronto",
        "2026-01-17T14:59:00Z",
        "2026-01-17T15:00:00Z",
    ),
    (
        "mon-fri 09:00-21:30+sat,sun 10:00-18:00",
        "America/Toronto",
        "2026-01-17T23:00:00Z",
        "2026-01-18T15:00:00Z",
    ),
    ("daily 00:00-24:00", "Asia/Tokyo", "2026-01-17T23:00:00Z", "2026-01-17T23:00:00Z"),
    // Over midnight: the hours belong to the day they begin on.
    ("fri 22:00-02:00", "UTC", "2026-01-17T01:59:59Z", "2026-01-17T01:59:59Z"),
    ("fri 22:00-02:00", "UTC", "2026-01-17T02:00:00Z", "2026-01-23T22:00:00Z"),
    ("fri 22:00-02:00", "UTC", "2026-01-16T01:00:00Z", "2026-01-16T22:00:00Z"),
    ("daily 22:00-06:00", "Asia/Kolkata", "2026-01-17T01:00:00Z", "2026-01-17T16:30:00Z"),
    // Quarter-hour zones and the date line.
    ("daily 09:00-10:00", "Asia/Kathmandu", "2026-01-17T03:14:59Z", "2026-01-17T03:15:00Z"),
    ("mon 09:00-10:00", "Pacific/Kiritimati", "2026-01-18T18:00:00Z", "2026-01-18T19:00:00Z"),
    ("mon 09:00-10:00", "Pacific/Pago_Pago", "2026-01-18T18:00:00Z", "2026-01-19T20:00:00Z"),
    // Clocks go forward: New York 2026-03-08, 02:00 -> 03:00 (07:00Z).
    ("daily 02:15-02:45", "America/New_York", "2026-03-08T05:00:00Z", "2026-03-09T06:15:00Z"),
    ("daily 02:30-04:00", "America/New_York", "2026-03-08T06:59:59Z", "2026-03-08T07:00:00Z"),
    ("daily 08:00-21:00", "America/New_York", "2026-03-08T11:59:59Z", "2026-03-08T12:00:00Z"),
    ("daily 03:00-04:00", "America/New_York", "2026-03-08T06:59:59Z", "2026-03-08T07:00:00Z"),
    ("daily 22:00-02:30", "America/New_York", "2026-03-08T07:00:00Z", "2026-03-09T02:00:00Z"),
    // Clocks go back: New York 2026-11-01, 02:00 -> 01:00 (06:00Z): 01:30 comes twice.
    ("daily 01:30-03:00", "America/New_York", "2026-11-01T05:30:00Z", "2026-11-01T05:30:00Z"),
    ("daily 01:30-03:00", "America/New_York", "2026-11-01T06:00:00Z", "2026-11-01T06:30:00Z"),
    ("daily 00:00-01:30", "America/New_York", "2026-11-01T05:30:00Z", "2026-11-01T06:00:00Z"),
    ("daily 00:00-01:30", "America/New_York", "2026-11-01T06:30:00Z", "2026-11-02T05:00:00Z"),
    ("daily 08:00-21:00", "America/New_York", "2026-11-01T12:59:59Z", "2026-11-01T13:00:00Z"),
    // Europe: 2026-03-29 01:00Z forward, 2026-10-25 01:00Z back.
    ("daily 02:00-03:00", "Europe/Berlin", "2026-03-29T00:30:00Z", "2026-03-30T00:00:00Z"),
    ("daily 02:00-03:00", "Europe/Berlin", "2026-10-25T00:59:59Z", "2026-10-25T00:59:59Z"),
    ("daily 02:00-03:00", "Europe/Berlin", "2026-10-25T01:00:00Z", "2026-10-25T01:00:00Z"),
    ("daily 02:00-03:00", "Europe/Berlin", "2026-10-25T02:00:00Z", "2026-10-26T01:00:00Z"),
    // Half an hour of daylight saving, and the southern hemisphere.
    ("daily 02:00-02:15", "Australia/Lord_Howe", "2026-10-03T15:00:00Z", "2026-10-04T15:00:00Z"),
    ("daily 08:00-20:00", "Australia/Sydney", "2026-10-03T21:00:00Z", "2026-10-03T21:00:00Z"),
    ("daily 08:00-20:00", "Australia/Sydney", "2026-10-02T21:00:00Z", "2026-10-02T22:00:00Z"),
    // Midnight itself is skipped: Santiago 2026-09-06, Cairo's Friday.
    ("daily 00:00-01:30", "America/Santiago", "2026-09-06T03:59:59Z", "2026-09-06T04:00:00Z"),
    // Leap day.
    ("tue 09:00-10:00", "UTC", "2028-02-28T12:00:00Z", "2028-02-29T09:00:00Z"),
];

#[test]
fn hours_by_table() {
    for (text, zone, now, next) in CASES {
        let (h, z, now) = (hours(text), &zones::zone(zone).unwrap().rules, wall(now));
        let open = h.open(now, z, &|_| false);
        let opening = if open { Some(now) } else { h.next_opening(now, z, &|_| false, 400) };
        assert_eq!(opening, Some(wall(next)), "{text} in {zone} at {now:?}");
    }
}

#[test]
fn holidays_close_the_day_they_fall_on() {
    let z = &zones::zone("UTC").unwrap().rules;
    let closed = |d: Date| d == Date::constant(2026, 1, 16);
    let night = hours("daily 22:00-02:00");
    assert!(!night.open(wall("2026-01-16T22:30:00Z"), z, &closed));
    assert!(!night.open(wall("2026-01-17T01:30:00Z"), z, &closed), "hours belong to the day they begin on");
    assert!(night.open(wall("2026-01-16T01:30:00Z"), z, &closed));
    assert_eq!(
        night.next_opening(wall("2026-01-16T12:00:00Z"), z, &closed, 9),
        Some(wall("2026-01-17T22:00:00Z"))
    );
    assert_eq!(night.next_opening(wall("2026-01-16T12:00:00Z"), z, &|_| true, 400), None);
}

#[test]
fn hours_are_read_and_written() {
    for good in ["daily 08:00-21:00", "mon,tue,wed 09:00-24:00", "sun 22:00-06:00"] {
        assert_eq!(good.parse::<Span>().unwrap().to_string(), good);
    }
    for bad in
        ["", "daily", "mon-fri 8:00-21:00", "xyz 08:00-21:00", "daily 08:00-08:00", "daily 08:00-25:00"]
    {
        assert_eq!(bad.parse::<Span>(), Err(BadSpan), "{bad}");
    }
}

#[test]
fn the_next_opening_is_open_and_nothing_before_it_is() {
    // Property, by walking a year of quarter hours around both changes in three zones.
    for zone in ["America/New_York", "Australia/Lord_Howe", "America/Santiago"] {
        let z = &zones::zone(zone).unwrap().rules;
        for text in ["daily 01:15-02:45", "mon-fri 22:30-00:15", "sun 00:00-03:00"] {
            let h = hours(text);
            let start = wall("2026-02-20T00:00:00Z").0;
            let open: Vec<bool> =
                (0..96 * 300).map(|i| h.open(Wall(start + i * 900_000), z, &|_| false)).collect();
            for i in (0..open.len() - 96 * 10).step_by(7).filter(|i| !open[*i]) {
                let at = start + i64::try_from(i).unwrap() * 900_000;
                let next = h.next_opening(Wall(at), z, &|_| false, 400).unwrap();
                assert!(h.open(next, z, &|_| false), "{zone} {text}");
                let expected = open[i..].iter().position(|o| *o).unwrap();
                assert_eq!(
                    (next.0 - at).div_euclid(900_000),
                    i64::try_from(expected).unwrap(),
                    "{zone} {text} {at}"
                );
            }
        }
    }
}
