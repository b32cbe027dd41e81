//! Times as people write them in an order: an instant (RFC 3339), a delay (`+90m`), a time of day where the callee is
//! (`local 09:00`).

use super::When;
use super::refusal::Reason;
use units::Wall;

/// Reads `Call-At`.
///
/// # Errors
/// [`Reason::NotA`] if it is none of the three forms.
pub fn when(text: &str, now: Wall) -> Result<When, Reason> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("now") {
        return Ok(When::Now);
    }
    if let Some(clock) = text.strip_prefix("local ") {
        return minutes(clock.trim())
            .map(When::Local)
            .ok_or(Reason::NotA("a time of day such as `local 09:00`"));
    }
    instant(text, now).map(When::At)
}

/// Reads an instant: RFC 3339 or a delay from now.
///
/// # Errors
/// [`Reason::NotA`] if it is neither.
pub fn instant(text: &str, now: Wall) -> Result<Wall, Reason> {
    let text = text.trim();
    if let Some(delay) = text.strip_prefix('+') {
        let ms = delay_ms(delay).ok_or(Reason::NotA("a delay such as `+30s`, `+90m`, `+2h` or `+1d`"))?;
        return Ok(Wall(now.0.saturating_add(ms)));
    }
    let at: jiff::Timestamp =
        text.parse().map_err(|_| Reason::NotA("an RFC 3339 time, `+90m` or `local 09:00`"))?;
    Ok(Wall(at.as_millisecond()))
}

/// Writes an instant as RFC 3339 in UTC, whole seconds where they are whole.
#[must_use]
pub fn rfc3339(at: Wall) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| "out of range".to_owned(), |t| t.to_string())
}

/// Minutes after midnight of `HH:MM` (24:00 excluded).
#[must_use]
pub fn minutes(clock: &str) -> Option<u16> {
    let (h, m) = clock.split_once(':')?;
    if h.len() != 2 || m.len() != 2 || !h.bytes().chain(m.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (h, m): (u16, u16) = (h.parse().ok()?, m.parse().ok()?);
    (h < 24 && m < 60).then_some(h * 60 + m)
}

/// Milliseconds of `30s`, `90m`, `2h`, `1d`; at most ten years.
fn delay_ms(text: &str) -> Option<i64> {
    let unit = match text.as_bytes().last()? {
        b's' => 1_000,
        b'm' => 60_000,
        b'h' => 3_600_000,
        b'd' => 86_400_000,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let ms = digits.parse::<i64>().ok()?.checked_mul(unit)?;
    (ms <= 3_660 * 86_400_000).then_some(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: Option<When>) {
        assert_eq!(when(input, Wall(1_000)).ok(), expected, "{input}");
    }

    #[test]
    fn three_forms_are_read_and_no_other() {
        check("1970-01-01T00:00:05Z", Some(When::At(Wall(5_000))));
        check("1970-01-01T02:00:05.25+02:00", Some(When::At(Wall(5_250))));
        check("+90m", Some(When::At(Wall(1_000 + 5_400_000))));
        check("+0s", Some(When::At(Wall(1_000))));
        check("local 09:00", Some(When::Local(540)));
        check("local 23:59", Some(When::Local(1_439)));
        check("now", Some(When::Now));
        for bad in ["local 9:00", "local 24:00", "local 09:60", "+m", "+1w", "+9999999999s", "tomorrow", ""] {
            check(bad, None);
        }
    }

    #[test]
    fn rfc3339_out() {
        assert_eq!(rfc3339(Wall(5_250)), "1970-01-01T00:00:05.25Z");
    }
}
