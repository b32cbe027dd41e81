//! Holidays: dates, and the rules by which they come round each year.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A set of holidays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Calendar(pub Vec<Holiday>);

impl Calendar {
    /// Is the date a holiday?
    #[must_use]
    pub fn holds(&self, date: Date) -> bool {
        self.0.iter().any(|h| h.falls_on(date))
    }
}

/// One holiday: `2026-12-25`, `12-25` (each year), `thu#4 11` (fourth Thursday of November), `mon#-1 5` (last Monday
/// of May), `easter+1` (days from Western Easter Sunday).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Holiday {
    /// Once.
    On(Date),
    /// Month and day, each year.
    Each(i8, i8),
    /// Weekday (0 is Monday), which one (negative: from the end), month.
    Nth(i8, i8, i8),
    /// Days from Easter Sunday.
    Easter(i16),
}

/// The text is no holiday.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadHoliday;

impl fmt::Display for BadHoliday {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a holiday is written `2026-12-25`, `12-25`, `thu#4 11`, `mon#-1 5` or `easter+1`")
    }
}

impl std::error::Error for BadHoliday {}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Holiday {
    fn falls_on(self, date: Date) -> bool {
        match self {
            Self::On(d) => d == date,
            Self::Each(month, day) => date.month() == month && date.day() == day,
            Self::Nth(weekday, nth, month) => {
                date.month() == month
                    && date.weekday().to_monday_zero_offset() == weekday
                    && is_nth(date, nth)
            }
            Self::Easter(days) => easter(date.year()).is_some_and(|e| {
                e.checked_add(jiff::Span::new().days(i64::from(days))).is_ok_and(|d| d == date)
            }),
        }
    }
}

fn is_nth(date: Date, nth: i8) -> bool {
    let from_start = (date.day() - 1) / 7 + 1;
    let from_end = -((date.days_in_month() - date.day()) / 7 + 1);
    nth == from_start || nth == from_end
}

/// Easter Sunday of the Gregorian calendar (the anonymous algorithm of 1876).
fn easter(year: i16) -> Option<Date> {
    let y = i32::from(year);
    let (a, b, c) = (y % 19, y / 100, y % 100);
    let (d, e) = (b / 4, b % 4);
    let g = (8 * b + 13) / 25;
    let h = (19 * a + b - d - g + 15) % 30;
    let (j, k) = (c / 4, c % 4);
    let m = (a + 11 * h) / 319;
    let r = (2 * e + 2 * j - k - h + m + 32) % 7;
    let month = (h - m + r + 90) / 25;
    let day = (h - m + r + month + 19) % 32;
    Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

impl FromStr for Holiday {
    type Err = BadHoliday;

    fn from_str(s: &str) -> Result<Self, BadHoliday> {
        let s = s.trim();
        if let Some(days) = s.strip_prefix("easter") {
            let days = if days.is_empty() { 0 } else { days.parse().map_err(|_| BadHoliday)? };
            return if (-100..=100).contains(&days) { Ok(Self::Easter(days)) } else { Err(BadHoliday) };
        }
        if let Some((day, rest)) = s.split_once('#') {
            let weekday = DAYS.iter().position(|d| *d == day).ok_or(BadHoliday)?;
            let (nth, month) = rest.split_once(' ').ok_or(BadHoliday)?;
            let (nth, month): (i8, i8) = (num(nth)?, num(month)?);
            let fits = nth != 0 && (-5..=5).contains(&nth) && (1..=12).contains(&month);
            let weekday = i8::try_from(weekday).map_err(|_| BadHoliday)?;
            return if fits { Ok(Self::Nth(weekday, nth, month)) } else { Err(BadHoliday) };
        }
        if s.len() == 10 {
            return s.parse().map(Self::On).map_err(|_| BadHoliday);
        }
        let (month, day) = s.split_once('-').ok_or(BadHoliday)?;
        let (month, day): (i8, i8) = (num(month)?, num(day)?);
        // 2024 has a 29 February.
        Date::new(2024, month, day).map(|_| Self::Each(month, day)).map_err(|_| BadHoliday)
    }
}

fn num(s: &str) -> Result<i8, BadHoliday> {
    s.trim().parse().map_err(|_| BadHoliday)
}

impl TryFrom<String> for Holiday {
    type Error = BadHoliday;
    fn try_from(s: String) -> Result<Self, BadHoliday> {
        s.parse()
    }
}

impl From<Holiday> for String {
    fn from(h: Holiday) -> String {
        match h {
            Holiday::On(d) => d.to_string(),
            Holiday::Each(m, d) => format!("{m:02}-{d:02}"),
            Holiday::Nth(w, n, m) => {
                format!("{}#{n} {m}", DAYS[usize::try_from(w).expect("0..7 by construction")])
            }
            Holiday::Easter(d) => format!("easter{d:+}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holidays_by_table() {
        for (rule, date, holds) in [
            ("2026-07-03", "2026-07-03", true),
            ("2026-07-03", "2027-07-03", false),
            ("12-25", "2031-12-25", true),
            ("02-29", "2028-02-29", true),
            ("thu#4 11", "2026-11-26", true),
            ("thu#4 11", "2026-11-19", false),
            ("mon#-1 5", "2026-05-25", true),
            ("mon#-1 5", "2026-05-18", false),
            ("mon#1 9", "2026-09-07", true),
            ("easter", "2026-04-05", true),
            ("easter+1", "2026-04-06", true),
            ("easter-2", "2027-03-26", true),
            ("easter+39", "2024-05-09", true),
        ] {
            let h: Holiday = rule.parse().unwrap();
            assert_eq!(h.falls_on(date.parse().unwrap()), holds, "{rule} {date}");
            assert_eq!(String::from(h).parse::<Holiday>(), Ok(h));
        }
        for bad in
            ["", "13-01", "02-30", "thu#0 11", "thu#6 11", "thu#1 13", "xyz#1 1", "easter+999", "2026-13-01"]
        {
            assert_eq!(bad.parse::<Holiday>(), Err(BadHoliday), "{bad}");
        }
    }
}
