//! Recurrence: a request that is to be carried out again and again, by the part of RFC 5545's rules that calls need:
//! `FREQ` (`HOURLY`, `DAILY`, `WEEKLY`, `MONTHLY`), `INTERVAL`, `COUNT` or `UNTIL`, `BYDAY` (without ordinals),
//! `BYMONTHDAY`, `BYHOUR`, `BYMINUTE`. Weeks begin on Monday. What is not understood is refused, never passed over.
//!
//! Times are read on the callee's clock: nine o'clock stays nine o'clock when daylight saving comes and goes; a time that
//! a day does not have is the instant after the gap. A callee who may be in several zones is called when the time has
//! come in all of them.

use super::refusal::Reason;
use crate::policy::window::{instants, timestamp};
use crate::policy::zones::Zone;
use jiff::civil::{Date, DateTime};
use std::str::FromStr;
use units::Wall;

/// Occurrences of one series at most.
pub const OCCURRENCES_MAX: usize = 400;
/// Days looked at for them.
const DAYS_MAX: u32 = 3_660;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Every {
    Hour,
    Day,
    Week,
    Month,
}

/// A rule of recurrence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeat {
    every: Every,
    interval: u32,
    count: Option<usize>,
    until: Option<Until>,
    /// Bit 0 is Monday; 0: any.
    days: u8,
    month_days: Vec<i8>,
    hours: Vec<i8>,
    minutes: Vec<i8>,
}

/// The last instant, or the last day on the callee's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    At(Wall),
    Day(Date),
}

const WANTED: Reason = Reason::NotA(
    "a rule such as FREQ=WEEKLY;BYDAY=MO,TH;BYHOUR=9;BYMINUTE=0;COUNT=10 (COUNT or UNTIL is needed)",
);
const DAYS: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];

impl FromStr for Repeat {
    type Err = Reason;

    fn from_str(text: &str) -> Result<Self, Reason> {
        let text = text.trim().to_ascii_uppercase();
        let text = text.strip_prefix("RRULE:").unwrap_or(&text);
        let mut every = None;
        let mut rule = Self {
            every: Every::Day,
            interval: 1,
            count: None,
            until: None,
            days: 0,
            month_days: Vec::new(),
            hours: Vec::new(),
            minutes: Vec::new(),
        };
        let mut seen: Vec<&str> = Vec::new();
        for part in text.split(';').filter(|p| !p.is_empty()) {
            let (name, value) = part.split_once('=').ok_or(WANTED)?;
            // RFC 5545 §3.3.10: a part must not stand twice.
            if seen.contains(&name) {
                return Err(Reason::Twice);
            }
            seen.push(name);
            match name {
                "FREQ" => every = Some(freq(value)?),
                "INTERVAL" => {
                    rule.interval = value.parse().ok().filter(|n| (1..=1_000).contains(n)).ok_or(WANTED)?
                }
                "COUNT" => rule.count = Some(value.parse().ok().filter(|n| *n > 0).ok_or(WANTED)?),
                "UNTIL" => rule.until = Some(until(value)?),
                "BYDAY" => rule.days = days(value)?,
                "BYMONTHDAY" => rule.month_days = numbers(value, |n| n != 0 && (-31..=31).contains(&n))?,
                "BYHOUR" => rule.hours = numbers(value, |n| (0..24).contains(&n))?,
                "BYMINUTE" => rule.minutes = numbers(value, |n| (0..60).contains(&n))?,
                "WKST" if value == "MO" => {}
                _ => return Err(WANTED),
            }
        }
        rule.every = every.ok_or(WANTED)?;
        // Both would be two ends; none would be no end.
        if rule.count.is_some() == rule.until.is_some() {
            return Err(WANTED);
        }
        if rule.count.is_some_and(|n| n > OCCURRENCES_MAX) {
            return Err(Reason::TooMany { max: OCCURRENCES_MAX });
        }
        Ok(rule)
    }
}

fn freq(word: &str) -> Result<Every, Reason> {
    match word {
        "HOURLY" => Ok(Every::Hour),
        "DAILY" => Ok(Every::Day),
        "WEEKLY" => Ok(Every::Week),
        "MONTHLY" => Ok(Every::Month),
        _ => Err(WANTED),
    }
}

/// `20261231T235959Z`, RFC 3339, or a day: `20261231`, `2026-12-31`.
fn until(text: &str) -> Result<Until, Reason> {
    let plain = text.replace('-', "");
    if let (8, Ok(day)) = (plain.len(), Date::strptime("%Y%m%d", &plain)) {
        return Ok(Until::Day(day));
    }
    let at: jiff::Timestamp = match DateTime::strptime("%Y%m%dT%H%M%SZ", text) {
        Ok(utc) => utc.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| WANTED)?.timestamp(),
        Err(_) => text.parse().map_err(|_| WANTED)?,
    };
    Ok(Until::At(Wall(at.as_millisecond())))
}

fn days(text: &str) -> Result<u8, Reason> {
    text.split(',').try_fold(0, |mask, day| {
        let bit = DAYS.iter().position(|d| *d == day.trim()).ok_or(WANTED)?;
        Ok(mask | 1 << bit)
    })
}

fn numbers(text: &str, fits: impl Fn(i8) -> bool) -> Result<Vec<i8>, Reason> {
    let mut list: Vec<i8> = text
        .split(',')
        .map(|n| n.trim().parse().ok().filter(|n| fits(*n)).ok_or(WANTED))
        .collect::<Result<_, _>>()?;
    list.sort_unstable();
    list.dedup();
    Ok(list)
}

impl Repeat {
    /// The instants of a series whose first may be `start`, in order.
    ///
    /// # Errors
    /// [`Reason::TooMany`] if there are more than [`OCCURRENCES_MAX`]; [`Reason::NotA`] if there is none.
    pub fn occurrences(&self, start: Wall, zones: &[Zone]) -> Result<Vec<Wall>, Reason> {
        const NEVER: Reason = Reason::NotA("a rule by which there is a time after the start");
        let first = zones.first().ok_or(NEVER)?;
        let begin = timestamp(start).map(|t| first.rules.to_datetime(t)).ok_or(NEVER)?;
        let mut found = Vec::new();
        let mut date = begin.date();
        for _ in 0..DAYS_MAX {
            if self.past(date) {
                break;
            }
            for at in self.times(date, begin) {
                let instant = zones.iter().filter_map(|z| instants(&z.rules, at).into_iter().min()).max();
                let Some(instant) = instant.map(|i| Wall(i.as_millisecond())).filter(|i| *i >= start) else {
                    continue;
                };
                if matches!(self.until, Some(Until::At(end)) if instant > end) {
                    return if found.is_empty() { Err(NEVER) } else { Ok(found) };
                }
                found.push(instant);
                if self.count == Some(found.len()) {
                    return Ok(found);
                }
                if found.len() > OCCURRENCES_MAX {
                    return Err(Reason::TooMany { max: OCCURRENCES_MAX });
                }
            }
            let Ok(next) = date.tomorrow() else { break };
            date = next;
        }
        if found.is_empty() { Err(NEVER) } else { Ok(found) }
    }

    fn past(&self, date: Date) -> bool {
        matches!(self.until, Some(Until::Day(last)) if date > last)
    }

    /// Times of a day, on the callee's clock.
    fn times(&self, date: Date, begin: DateTime) -> Vec<DateTime> {
        if !self.holds(date, begin.date()) {
            return Vec::new();
        }
        let minutes = if self.minutes.is_empty() { vec![begin.minute()] } else { self.minutes.clone() };
        let hours: Vec<i8> = match (self.every, self.hours.is_empty()) {
            (Every::Hour, true) => (0..24).filter(|h| self.hour_holds(date, *h, begin)).collect(),
            (Every::Hour, false) => {
                self.hours.iter().copied().filter(|h| self.hour_holds(date, *h, begin)).collect()
            }
            (_, true) => vec![begin.hour()],
            (_, false) => self.hours.clone(),
        };
        let second = if self.minutes.is_empty() && self.hours.is_empty() { begin.second() } else { 0 };
        let at = |h: i8| minutes.iter().map(move |m| date.at(h, *m, second, 0));
        hours.into_iter().flat_map(at).collect()
    }

    fn hour_holds(&self, date: Date, hour: i8, begin: DateTime) -> bool {
        let whole = |d: Date, h: i8| i64::from(days_since_epoch(d)) * 24 + i64::from(h);
        let since = whole(date, hour) - whole(begin.date(), begin.hour());
        since >= 0 && since % i64::from(self.interval) == 0
    }

    fn holds(&self, date: Date, begin: Date) -> bool {
        let weekday = date.weekday().to_monday_zero_offset();
        let on_day = |mask: u8| mask & (1 << weekday) != 0;
        let month_day = |list: &[i8]| {
            let from_end = date.day() - date.days_in_month() - 1;
            list.contains(&date.day()) || list.contains(&from_end)
        };
        let listed = (self.days == 0 || on_day(self.days))
            && (self.month_days.is_empty() || month_day(&self.month_days));
        let interval = i32::try_from(self.interval).unwrap_or(1);
        let days = days_since_epoch(date) - days_since_epoch(begin);
        match self.every {
            Every::Hour => listed,
            Every::Day => listed && days % interval == 0,
            Every::Week => {
                let monday = |d: Date| days_since_epoch(d) - i32::from(d.weekday().to_monday_zero_offset());
                let weeks = (monday(date) - monday(begin)) / 7;
                let own = self.days == 0 && date.weekday() == begin.weekday();
                weeks % interval == 0 && listed && (self.days != 0 || own)
            }
            Every::Month => {
                let months = |d: Date| i32::from(d.year()) * 12 + i32::from(d.month());
                let own = date.day() == begin.day();
                let chosen = self.days != 0 || !self.month_days.is_empty();
                (months(date) - months(begin)) % interval == 0 && listed && (chosen || own)
            }
        }
    }
}

fn days_since_epoch(date: Date) -> i32 {
    const EPOCH: Date = jiff::civil::date(1970, 1, 1);
    // Years are bounded by the calendar: the difference fits.
    EPOCH.until((jiff::Unit::Day, date)).map_or(0, |span| span.get_days())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::zones;

    fn check(rule: &str, zone: &[&str], start: &str, expected: &[&str]) {
        let zones: Vec<Zone> = zone.iter().map(|z| zones::zone(z).unwrap().clone()).collect();
        let at = |t: &str| Wall(t.parse::<jiff::Timestamp>().unwrap().as_millisecond());
        let rule: Repeat = rule.parse().unwrap();
        let found = rule.occurrences(at(start), &zones).unwrap();
        assert_eq!(found, expected.iter().map(|t| at(t)).collect::<Vec<_>>(), "{rule:?}");
    }

    #[test]
    fn rfc5545_3_3_10_by_table() {
        let berlin = &["Europe/Berlin"][..];
        // Nine o'clock in Berlin, over the change to summer time of 29 March 2026.
        check(
            "FREQ=DAILY;COUNT=3;BYHOUR=9;BYMINUTE=0",
            berlin,
            "2026-03-27T12:00:00Z",
            &["2026-03-28T08:00:00Z", "2026-03-29T07:00:00Z", "2026-03-30T07:00:00Z"],
        );
        check(
            "FREQ=WEEKLY;BYDAY=MO,TH;COUNT=3;BYHOUR=10;BYMINUTE=30",
            berlin,
            "2026-01-06T00:00:00Z",
            &["2026-01-08T09:30:00Z", "2026-01-12T09:30:00Z", "2026-01-15T09:30:00Z"],
        );
        check(
            "RRULE:FREQ=WEEKLY;INTERVAL=2;UNTIL=20260131",
            berlin,
            "2026-01-06T08:00:00Z",
            &["2026-01-06T08:00:00Z", "2026-01-20T08:00:00Z"],
        );
        check(
            "FREQ=MONTHLY;BYMONTHDAY=-1;COUNT=3",
            berlin,
            "2026-01-15T08:00:00Z",
            &["2026-01-31T08:00:00Z", "2026-02-28T08:00:00Z", "2026-03-31T07:00:00Z"],
        );
        check(
            "FREQ=HOURLY;INTERVAL=6;COUNT=3",
            berlin,
            "2026-01-15T08:00:00Z",
            &["2026-01-15T08:00:00Z", "2026-01-15T14:00:00Z", "2026-01-15T20:00:00Z"],
        );
        check(
            "FREQ=DAILY;UNTIL=20260116T080000Z",
            berlin,
            "2026-01-15T08:00:00Z",
            &["2026-01-15T08:00:00Z", "2026-01-16T08:00:00Z"],
        );
        // In both zones it must be nine.
        check(
            "FREQ=DAILY;COUNT=1;BYHOUR=9;BYMINUTE=0",
            &["America/New_York", "America/Los_Angeles"],
            "2026-01-15T00:00:00Z",
            &["2026-01-15T17:00:00Z"],
        );
        // The 31st comes in few months.
        check(
            "FREQ=MONTHLY;COUNT=2",
            berlin,
            "2026-01-31T08:00:00Z",
            &["2026-01-31T08:00:00Z", "2026-03-31T07:00:00Z"],
        );
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for bad in [
            "",
            "FREQ=DAILY",
            "COUNT=3",
            "FREQ=YEARLY;COUNT=1",
            "FREQ=DAILY;COUNT=0",
            "FREQ=DAILY;COUNT=3;UNTIL=20260101",
            "FREQ=DAILY;COUNT=3;BYDAY=1MO",
            "FREQ=DAILY;COUNT=3;BYHOUR=24",
            "FREQ=DAILY;COUNT=3;COUNT=3",
            "FREQ=DAILY;COUNT=401",
            "FREQ=DAILY;COUNT=2;BYSETPOS=1",
            "FREQ=DAILY;INTERVAL=0;COUNT=1",
            "every day",
        ] {
            assert!(bad.parse::<Repeat>().is_err(), "{bad}");
        }
        let rule: Repeat = "FREQ=HOURLY;UNTIL=20270101".parse().unwrap();
        let zones = [zones::zone("UTC").unwrap().clone()];
        assert_eq!(
            rule.occurrences(Wall(1_767_225_600_000), &zones),
            Err(Reason::TooMany { max: OCCURRENCES_MAX })
        );
        let never: Repeat = "FREQ=DAILY;UNTIL=20200101".parse().unwrap();
        assert!(never.occurrences(Wall(1_767_225_600_000), &zones).is_err());
    }
}
