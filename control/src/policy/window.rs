//! Calling hours: `mon-fri 08:00-21:00`, read on the callee's clock. A clock reading inside the hours is inside,
//! whatever daylight saving does to it: an hour that comes twice counts twice, one that never comes not at all.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use units::Wall;

/// One line of hours: on these days, from this minute (inclusive) to that (exclusive). If `to` is not after `from`
/// the hours run over midnight, and belong to the day on which they begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    /// Bit 0 is Monday.
    days: u8,
    from: u16,
    to: u16,
}

/// The text is no line of hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadSpan;

impl fmt::Display for BadSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hours are written `mon-fri 08:00-21:00`, `sat,sun 10:00-18:00` or `daily 00:00-24:00`")
    }
}

impl std::error::Error for BadSpan {}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY_MINUTES: u16 = 1_440;

impl FromStr for Span {
    type Err = BadSpan;

    fn from_str(s: &str) -> Result<Self, BadSpan> {
        let (days, hours) = s.trim().split_once(' ').ok_or(BadSpan)?;
        let (from, to) = hours.trim().split_once('-').ok_or(BadSpan)?;
        let from = crate::order::time::minutes(from.trim()).ok_or(BadSpan)?;
        let to = match to.trim() {
            "24:00" => DAY_MINUTES,
            clock => crate::order::time::minutes(clock).ok_or(BadSpan)?,
        };
        // 00:00-00:00 could mean all day or nothing: neither is guessed.
        if from == to {
            return Err(BadSpan);
        }
        Ok(Self { days: days_mask(days)?, from, to })
    }
}

fn days_mask(text: &str) -> Result<u8, BadSpan> {
    if text.eq_ignore_ascii_case("daily") {
        return Ok(0x7f);
    }
    let day = |d: &str| DAYS.iter().position(|n| n.eq_ignore_ascii_case(d)).ok_or(BadSpan);
    text.split(',').try_fold(0u8, |mask, part| {
        let (a, b) = part.split_once('-').unwrap_or((part, part));
        let (a, b) = (day(a)?, day(b)?);
        // `fri-mon` runs over the end of the week.
        let count = (b + 7 - a) % 7;
        Ok((0..=count).fold(mask, |m, i| m | 1 << ((a + i) % 7)))
    })
}

impl TryFrom<String> for Span {
    type Error = BadSpan;
    fn try_from(s: String) -> Result<Self, BadSpan> {
        s.parse()
    }
}

impl From<Span> for String {
    fn from(s: Span) -> String {
        s.to_string()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days == 0x7f {
            f.write_str("daily")?;
        } else {
            let names: Vec<&str> = (0..7).filter(|d| self.days >> d & 1 == 1).map(|d| DAYS[d]).collect();
            f.write_str(&names.join(","))?;
        }
        let clock = |m: u16| format!("{:02}:{:02}", m / 60, m % 60);
        write!(f, " {}-{}", clock(self.from), clock(self.to))
    }
}

impl Span {
    fn on(self, date: Date) -> bool {
        let day = date.weekday().to_monday_zero_offset();
        self.days >> day & 1 == 1
    }

    /// Is a clock reading inside? `closed` says which dates are holidays: hours that begin on one do not count.
    fn holds(self, local: DateTime, closed: &dyn Fn(Date) -> bool) -> bool {
        let minute = minute_of(local);
        let begins = |date: Date| self.on(date) && !closed(date);
        if self.from < self.to {
            return minute >= self.from && minute < self.to && begins(local.date());
        }
        let evening = minute >= self.from && begins(local.date());
        let morning = minute < self.to && local.date().yesterday().is_ok_and(begins);
        evening || morning
    }
}

/// Hours in all: open whenever one of the spans is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hours(pub Vec<Span>);

impl Hours {
    /// Open at this instant in this zone?
    #[must_use]
    pub fn open(&self, at: Wall, zone: &TimeZone, closed: &dyn Fn(Date) -> bool) -> bool {
        timestamp(at).is_some_and(|t| self.holds(zone.to_datetime(t), closed))
    }

    fn holds(&self, local: DateTime, closed: &dyn Fn(Date) -> bool) -> bool {
        self.0.iter().any(|s| s.holds(local, closed))
    }

    /// The first instant after `at` at which the hours open, looking at most `days` ahead.
    #[must_use]
    pub fn next_opening(
        &self,
        at: Wall,
        zone: &TimeZone,
        closed: &dyn Fn(Date) -> bool,
        days: u16,
    ) -> Option<Wall> {
        let now = timestamp(at)?;
        let today = zone.to_datetime(now).date();
        for ahead in 0..=i64::from(days) {
            let date = today.checked_add(ahead.days()).ok()?;
            let starts = self
                .0
                .iter()
                .filter(|s| s.on(date) && !closed(date))
                .map(|s| date.at(hour(s.from), min(s.from), 0, 0));
            let mut candidates: Vec<Timestamp> = starts.flat_map(|dt| instants(zone, dt)).collect();
            candidates.extend(transition_on(zone, date));
            let first =
                candidates.into_iter().filter(|t| *t > now && self.holds(zone.to_datetime(*t), closed)).min();
            if let Some(t) = first {
                return Some(Wall(t.as_millisecond()));
            }
        }
        None
    }
}

/// The minute of a clock reading, 0..1440.
fn minute_of(local: DateTime) -> u16 {
    u16::from(local.hour().unsigned_abs()) * 60 + u16::from(local.minute().unsigned_abs())
}

fn hour(minutes: u16) -> i8 {
    i8::try_from(minutes / 60).expect("minutes of a day")
}

fn min(minutes: u16) -> i8 {
    i8::try_from(minutes % 60).expect("minutes of an hour")
}

/// The instants at which a clock shows `dt`: one, two (the hour comes twice), or for an hour that never comes the
/// instant as long after the gap as `dt` is inside it.
pub(crate) fn instants(zone: &TimeZone, dt: DateTime) -> Vec<Timestamp> {
    let both = [zone.to_ambiguous_timestamp(dt).earlier(), zone.to_ambiguous_timestamp(dt).later()];
    let mut out: Vec<Timestamp> = both.into_iter().flatten().filter(|t| zone.to_datetime(*t) >= dt).collect();
    out.dedup();
    out
}

/// The daylight-saving change on a date, if there is one.
fn transition_on(zone: &TimeZone, date: Date) -> Option<Timestamp> {
    let start = zone.to_ambiguous_timestamp(date.at(0, 0, 0, 0)).earlier().ok()?;
    let next = zone.following(start.checked_sub(1.second()).ok()?).next()?.timestamp();
    (zone.to_datetime(next).date() == date).then_some(next)
}

/// A wall time as jiff has it.
pub(crate) fn timestamp(at: Wall) -> Option<Timestamp> {
    Timestamp::from_millisecond(at.0).ok()
}

#[cfg(test)]
#[path = "window_tests.rs"]
pub(super) mod tests;
