//! Objects that documents may use (VoiceXML 2.0 §2.3.5).
//!
//! `carillon:keys` presses keys on the line, as a caller would: for whoever was called and answers with a menu of their
//! own. Parameters: `keys` (at most 64 of `0-9*#A-D`; `,` and `p` pause for a second), `length` and `gap` of each in ms
//! (50 to 2,000, 100 each if not given). The variable becomes an object with the number of keys `sent`.
//!
//! ```xml
//! <object name="menu" classid="carillon:keys"><param name="keys" value="1,,42#"/></object>
//! ```

use super::talk::Talk;
use crate::conduct::Ctx;
use dataplane::command::Command;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::time::Duration;
use units::{Digit, Mono, Samples};
use vxml::session::{Input, ListenId};

/// `classid`s that sessions are told of.
pub(super) const CLASSES: &[&str] = &[KEYS];

const KEYS: &str = "carillon:keys";
/// Keys of one object.
const KEYS_MAX: usize = 64;
/// Bounds of a key's length and of the gap after it, ms.
const KEY_MS: std::ops::RangeInclusive<u64> = 50..=2_000;
/// How long a comma waits.
const PAUSE: Duration = Duration::from_secs(1);

/// Keys being pressed.
#[derive(Debug)]
pub(super) struct Keying {
    id: ListenId,
    /// `None`: a pause.
    left: VecDeque<Option<Digit>>,
    length_ms: u64,
    gap_ms: u64,
    next: Mono,
    sent: u32,
}

impl Keying {
    pub(super) fn deadline(&self) -> Mono {
        self.next
    }

    fn of(id: ListenId, params: &[(String, Value)], now: Mono) -> Result<Self, &'static str> {
        let text = |name: &str| {
            let value = params.iter().find(|(n, _)| n == name).map(|(_, v)| v)?;
            Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        };
        let keys = text("keys").ok_or("carillon:keys needs a parameter keys")?;
        if keys.chars().count() > KEYS_MAX {
            return Err("carillon:keys presses 64 keys at most");
        }
        let key = |c: char| match c {
            ',' | 'p' => Ok(None),
            c => Digit::try_from(c).map(Some).map_err(|_| "carillon:keys knows 0-9, *, #, A-D, comma and p"),
        };
        let left = keys.chars().map(key).collect::<Result<_, _>>()?;
        let ms = |name: &str| match text(name) {
            None => Ok(100),
            Some(text) => {
                let ms = text.parse().ok().filter(|ms| KEY_MS.contains(ms));
                ms.ok_or("carillon:keys takes a length and a gap of 50 to 2000 ms")
            }
        };
        Ok(Self { id, left, length_ms: ms("length")?, gap_ms: ms("gap")?, next: now, sent: 0 })
    }
}

impl Talk {
    pub(super) fn begin_object(
        &mut self,
        ctx: &mut Ctx<'_>,
        id: ListenId,
        class: &str,
        params: &[(String, Value)],
    ) {
        // The interpreter lets only registered classes through, and this is the one.
        debug_assert_eq!(class, KEYS);
        match Keying::of(id, params, ctx.now.mono) {
            Ok(keying) => {
                ctx.story(self.attempt, "media", format!("presses {} keys", keying.left.len()));
                self.keying = Some(keying);
            }
            Err(why) => {
                let result = Err(("error.semantic".to_owned(), why.to_owned()));
                self.inputs.push_back(Input::ObjectDone { id, result });
            }
        }
    }

    /// Presses the next key when what is said before has been heard and the last key is over.
    pub(super) fn step_keying(&mut self, ctx: &mut Ctx<'_>) {
        if !self.list.is_idle() {
            return;
        }
        let Some(keying) = self.keying.as_mut().filter(|k| ctx.now.mono >= k.next) else { return };
        let Some(next) = keying.left.pop_front() else {
            let (id, sent) = (keying.id, keying.sent);
            self.keying = None;
            self.inputs.push_back(Input::ObjectDone { id, result: Ok(json!({ "sent": sent })) });
            return;
        };
        match (next, self.bearer) {
            (Some(digit), Some(bearer)) => {
                let length = Samples::from_ms(u32::try_from(keying.length_ms).unwrap_or(u32::MAX));
                keying.next = ctx.now.mono + Duration::from_millis(keying.length_ms + keying.gap_ms);
                keying.sent += 1;
                ctx.command(Command::SendDigit { bearer, digit, length });
            }
            _ => keying.next = ctx.now.mono + PAUSE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(keys: &str, more: &[(&str, &str)]) -> Result<Keying, &'static str> {
        let mut params = vec![("keys".to_owned(), json!(keys))];
        params.extend(more.iter().map(|(n, v)| ((*n).to_owned(), json!(v))));
        Keying::of(ListenId(1), &params, Mono(0))
    }

    #[test]
    fn vxml20_2_3_5_keys_are_judged_before_any_is_pressed() {
        let fine = read("1,4#", &[("length", "80")]).expect("keys");
        assert_eq!((fine.left.len(), fine.length_ms, fine.gap_ms), (4, 80, 100));
        assert_eq!(fine.left[1], None, "a comma pauses");
        for (keys, more) in
            [("1x", &[][..]), (&*"1".repeat(65), &[]), ("1", &[("gap", "5")]), ("1", &[("gap", "soon")])]
        {
            assert!(read(keys, more).is_err(), "{keys} {more:?}");
        }
        assert!(Keying::of(ListenId(1), &[], Mono(0)).is_err());
        assert!(
            Keying::of(ListenId(1), &[("keys".into(), json!(42))], Mono(0)).is_ok(),
            "a number is its digits"
        );
    }
}
