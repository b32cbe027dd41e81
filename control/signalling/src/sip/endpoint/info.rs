//! Digits by INFO: `application/dtmf-relay` (`Signal=5`) and `application/dtmf` (`5`), both read, the first written.

use super::Endpoint;
use super::leg::{Leg, Phase};
use super::reply::Echo;
use super::tx::Purpose;
use crate::leg::Indication;
use crate::sip::wire::scan::{ascii, trim};
use crate::sip::wire::{HeaderId, Message};
use units::{Digit, Now};

impl Endpoint {
    /// `Info`. Whether it could be sent.
    pub(super) fn info(&mut self, now: Now, leg: &mut Leg, digit: Digit) -> bool {
        let body = format!("Signal={}\r\nDuration=160\r\n", digit.as_char());
        matches!(leg.phase, Phase::Up { .. })
            && self
                .send_in_dialog(
                    now,
                    leg,
                    (0, Purpose::Info),
                    "INFO",
                    |_| {},
                    ("application/dtmf-relay", body.as_bytes()),
                )
                .is_some()
    }

    /// An INFO came.
    pub(super) fn informed(&mut self, now: Now, tx: u64, echo: &Echo, leg: &Leg, m: &Message<'_>) {
        if m.body().is_empty() {
            return self.say(now, tx, echo, 200, leg);
        }
        let kind = m.first(HeaderId::ContentType).map(|t| t.split(|&b| b == b';').next().unwrap_or_default());
        let digit = match kind.map(trim).and_then(ascii).map(str::to_ascii_lowercase).as_deref() {
            Some("application/dtmf-relay") => relay(m.body()),
            Some("application/dtmf") => single(m.body()),
            _ => return self.say(now, tx, echo, 415, leg),
        };
        self.say(now, tx, echo, if digit.is_some() { 200 } else { 400 }, leg);
        if let Some(digit) = digit {
            self.tell(leg.id, Indication::Digit(digit));
        }
    }
}

fn relay(body: &[u8]) -> Option<Digit> {
    let text = ascii(body)?;
    let signal = text
        .lines()
        .filter_map(|l| l.split_once('='))
        .find(|(k, _)| k.trim().eq_ignore_ascii_case("signal"))?
        .1;
    single(signal.as_bytes())
}

/// One character, or an event code of two digits (`10` is `*`, `11` is `#`).
fn single(body: &[u8]) -> Option<Digit> {
    let text = ascii(trim(body))?;
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) => Digit::try_from(c).ok(),
        (Some(_), Some(_)) => text.parse().ok().filter(|n| *n >= 10).and_then(Digit::from_event),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_in_both_forms() {
        let char_of = |d: Option<Digit>| d.map(Digit::as_char);
        assert_eq!(char_of(relay(b"Signal= 5\r\nDuration=160")), Some('5'));
        assert_eq!(char_of(relay(b"Duration=160\nsignal=*")), Some('*'));
        assert_eq!(char_of(single(b"11\r\n")), Some('#'));
        for bad in [&b"xx"[..], b"", b"99", b"Signal"] {
            assert_eq!(char_of(single(bad)), None);
        }
    }
}
