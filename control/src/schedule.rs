//! When an order is first due, and when it is tried again.

use crate::order::{Order, When};
use crate::policy::window::{instants, timestamp};
use crate::policy::zones::Zone;
use units::Wall;

/// When an order is first due: now, at its instant, or the next time its time of day comes where the callee is. With
/// several zones it is the instant at which the time has come in all of them.
#[must_use]
pub fn first_due(order: &Order, zones: &[Zone], now: Wall) -> Wall {
    match order.when {
        When::Now => now,
        When::At(at) => at.max(now),
        When::Local(minute) => zones.iter().map(|z| next_local(minute, z, now)).max().unwrap_or(now),
    }
}

/// The next instant, now or later, at which the clock of a zone shows the time of day; on a day on which it never
/// shows it, the instant after the gap.
fn next_local(minute: u16, zone: &Zone, now: Wall) -> Wall {
    let Some(t) = timestamp(now) else { return now };
    let hour = i8::try_from(minute / 60).unwrap_or(0);
    let min = i8::try_from(minute % 60).unwrap_or(0);
    let mut date = zone.rules.to_datetime(t).date();
    for _ in 0..3 {
        if hour < 24 {
            let due = instants(&zone.rules, date.at(hour, min, 0, 0)).into_iter().filter(|i| *i >= t).min();
            if let Some(i) = due {
                return Wall(i.as_millisecond());
            }
        }
        let Ok(next) = date.tomorrow() else { return now };
        date = next;
    }
    now
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::zones;

    fn check(zones_of: &[&str], minute: u16, now: &str, expected: &str) {
        let wall = |t: &str| Wall(t.parse::<jiff::Timestamp>().unwrap().as_millisecond());
        let zs: Vec<Zone> = zones_of.iter().map(|z| zones::zone(z).unwrap().clone()).collect();
        let due = zs.iter().map(|z| next_local(minute, z, wall(now))).max().unwrap();
        assert_eq!(due, wall(expected), "{zones_of:?} {now}");
    }

    #[test]
    fn local_times_by_table() {
        check(&["Europe/Berlin"], 540, "2026-01-15T07:00:00Z", "2026-01-15T08:00:00Z");
        check(&["Europe/Berlin"], 540, "2026-01-15T08:00:00Z", "2026-01-15T08:00:00Z");
        check(&["Europe/Berlin"], 540, "2026-01-15T08:00:00.001Z", "2026-01-16T08:00:00Z");
        check(&["America/New_York"], 150, "2026-03-08T05:00:00Z", "2026-03-08T07:30:00Z");
        check(&["America/New_York"], 90, "2026-11-01T05:31:00Z", "2026-11-01T06:30:00Z");
        check(
            &["America/New_York", "America/Los_Angeles"],
            540,
            "2026-01-15T01:00:00Z",
            "2026-01-15T17:00:00Z",
        );
    }
}
