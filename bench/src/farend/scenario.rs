//! Scenario files: who answers how. Line by line, so that a wrong line is told with its number.
//!
//! ```text
//! # what the network does to packets of our side
//! network loss 2% jitter 20ms reorder 1% duplicate 1%
//! # one block a kind of person; `share` weighs them, `number` gives it to numbers that end so
//! person confirms share 80
//!   ring 0.2s..1s
//!   answer
//!   hear prompt within 20s
//!   press 1
//!   hear prompt
//!   press 4711 inband
//!   wait hangup 30s
//! person busy share 5
//!   reject 486
//! ```
//!
//! Steps: `ring T`, `answer`, `reject CODE`, `hear start [within T]`, `hear prompt [within T]`, `wait T`,
//! `press DIGITS [inband]`, `say FILE.wav`, `tone sit|busy|ced|cng|beep T`, `hangup`, `wait hangup T`.
//! A time `T` is `300ms`, `2s`, or a range `1s..3s` drawn evenly. A step whose `within` passes ends the call.

use super::mulaw;
use std::fmt;
use std::sync::Arc;
use units::{Digit, Rng};

/// A time or a range of times, ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// From.
    pub min_ms: u32,
    /// To, not less.
    pub max_ms: u32,
}

impl Span {
    /// Draws one, evenly.
    pub fn draw(self, rng: &mut Rng) -> u32 {
        let width = u64::from(self.max_ms - self.min_ms) + 1;
        self.min_ms + u32::try_from(rng.below(width)).expect("narrower than u32")
    }
}

/// One step of a person.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Ring so long (180 is sent at its start).
    Ring(Span),
    /// Take the call.
    Answer,
    /// Refuse with a SIP status.
    Reject(u16),
    /// Wait for sound to begin.
    HearStart {
        /// At most.
        within_ms: u32,
    },
    /// Wait for a prompt to end.
    HearPrompt {
        /// At most.
        within_ms: u32,
    },
    /// Do nothing for a while.
    Wait(Span),
    /// Press keys.
    Press {
        /// Which.
        digits: Vec<Digit>,
        /// As tones instead of RFC 4733 events.
        in_band: bool,
    },
    /// Speak mu-law audio (a file, or a tone made here).
    Say(Arc<[u8]>),
    /// Hang up.
    Hangup,
    /// Wait for the other side to hang up; hang up after this long.
    WaitHangup(u32),
}

/// One kind of person.
#[derive(Clone, Debug, PartialEq)]
pub struct Person {
    /// Name in reports.
    pub name: String,
    /// Weight among those without a number.
    pub share: u32,
    /// Takes calls to numbers that end so.
    pub number: Option<String>,
    /// What they do.
    pub steps: Vec<Step>,
}

/// What the network does to packets of the far end.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NetworkFaults {
    /// Lost, 0..=1.
    pub loss: f64,
    /// Delayed by up to this, ms.
    pub jitter_ms: u32,
    /// Sent after its successor, 0..=1.
    pub reorder: f64,
    /// Sent twice, 0..=1.
    pub duplicate: f64,
}

/// A whole scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Faults.
    pub network: NetworkFaults,
    /// People, at least one.
    pub people: Vec<Arc<Person>>,
}

/// A line that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    /// From 1.
    pub line: usize,
    /// Why.
    pub why: String,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl std::error::Error for ScenarioError {}

/// Reads an audio file that a `say` step names.
pub type Files<'a> = &'a dyn Fn(&str) -> Option<Vec<u8>>;

impl Scenario {
    /// Parses a scenario; `files` reads what `say` names.
    ///
    /// # Errors
    /// The first line that is wrong, and why.
    pub fn parse(text: &str, files: Files<'_>) -> Result<Self, ScenarioError> {
        let mut network = NetworkFaults::default();
        let mut people: Vec<Person> = Vec::new();
        for (n, raw) in text.lines().enumerate() {
            let line = raw.split('#').next().unwrap_or("").trim();
            let words: Vec<&str> = line.split_whitespace().collect();
            let at = |why: String| ScenarioError { line: n + 1, why };
            match words.as_slice() {
                [] => {}
                ["network", rest @ ..] => network = faults(rest).map_err(at)?,
                ["person", name, rest @ ..] => people.push(person(name, rest).map_err(at)?),
                words => {
                    let last = people
                        .last_mut()
                        .ok_or_else(|| at("a step stands before the first `person`".into()))?;
                    last.steps.push(step(words, files).map_err(at)?);
                }
            }
        }
        if people.is_empty() {
            return Err(ScenarioError {
                line: text.lines().count(),
                why: "no `person` in the scenario".into(),
            });
        }
        Ok(Self { network, people: people.into_iter().map(Arc::new).collect() })
    }

    /// Who takes a call to this number.
    pub fn choose(&self, number: &str, rng: &mut Rng) -> Arc<Person> {
        let by_number = |p: &&Arc<Person>| p.number.as_deref().is_some_and(|n| number.ends_with(n));
        if let Some(p) = self.people.iter().find(by_number) {
            return p.clone();
        }
        let rest: Vec<_> = self.people.iter().filter(|p| p.number.is_none()).collect();
        let total: u64 = rest.iter().map(|p| u64::from(p.share)).sum();
        if total == 0 {
            return self.people[0].clone();
        }
        let mut drawn = rng.below(total);
        for p in rest {
            let share = u64::from(p.share);
            if drawn < share {
                return p.clone();
            }
            drawn -= share;
        }
        self.people[0].clone()
    }
}

fn person(name: &str, rest: &[&str]) -> Result<Person, String> {
    let mut p = Person { name: name.into(), share: 1, number: None, steps: Vec::new() };
    for pair in rest.chunks(2) {
        match pair {
            ["share", n] => p.share = n.parse().map_err(|_| format!("`{n}` is no share (a whole number)"))?,
            ["number", n] => p.number = Some((*n).into()),
            other => {
                return Err(format!("`{}`: a person has `share N` and `number SUFFIX`", other.join(" ")));
            }
        }
    }
    Ok(p)
}

fn faults(words: &[&str]) -> Result<NetworkFaults, String> {
    let mut f = NetworkFaults::default();
    for pair in words.chunks(2) {
        match pair {
            ["loss", p] => f.loss = percent(p)?,
            ["reorder", p] => f.reorder = percent(p)?,
            ["duplicate", p] => f.duplicate = percent(p)?,
            ["jitter", t] => f.jitter_ms = time(t)?,
            other => {
                return Err(format!(
                    "`{}`: the network has loss, reorder, duplicate (%) and jitter (ms)",
                    other.join(" ")
                ));
            }
        }
    }
    Ok(f)
}

fn step(words: &[&str], files: Files<'_>) -> Result<Step, String> {
    Ok(match words {
        ["ring", t] => Step::Ring(span(t)?),
        ["answer"] => Step::Answer,
        ["reject", code] => match code.parse() {
            Ok(n @ 300..=699) => Step::Reject(n),
            _ => return Err(format!("`{code}` is no SIP status of 300..699")),
        },
        ["hear", "start"] => Step::HearStart { within_ms: 30_000 },
        ["hear", "start", "within", t] => Step::HearStart { within_ms: time(t)? },
        ["hear", "prompt"] => Step::HearPrompt { within_ms: 60_000 },
        ["hear", "prompt", "within", t] => Step::HearPrompt { within_ms: time(t)? },
        ["wait", "hangup", t] => Step::WaitHangup(time(t)?),
        ["wait", t] => Step::Wait(span(t)?),
        ["press", digits] => Step::Press { digits: keys(digits)?, in_band: false },
        ["press", digits, "inband"] => Step::Press { digits: keys(digits)?, in_band: true },
        ["say", file] => {
            let bytes = files(file).ok_or_else(|| format!("`{file}` cannot be read"))?;
            let audio =
                mulaw::from_wav(&bytes).ok_or_else(|| format!("`{file}` is no 8 kHz mono mu-law WAV"))?;
            Step::Say(audio.into())
        }
        ["tone", kind, t] => Step::Say(tone(kind, time(t)?)?.into()),
        ["hangup"] => Step::Hangup,
        other => return Err(format!("`{}` is no step (see `carillon-bench pstn --help`)", other.join(" "))),
    })
}

fn keys(text: &str) -> Result<Vec<Digit>, String> {
    text.chars().map(|c| Digit::try_from(c).map_err(|e| format!("`{c}`: {e}"))).collect()
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|n| n.parse::<f64>().ok());
    number
        .filter(|n| (0.0..=100.0).contains(n))
        .map(|n| n / 100.0)
        .ok_or_else(|| format!("`{text}` is no share (`5%`)"))
}

fn time(text: &str) -> Result<u32, String> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(n) => (n, 1.0),
        None => {
            (text.strip_suffix('s').ok_or_else(|| format!("`{text}` is no time (`300ms`, `2s`)"))?, 1000.0)
        }
    };
    let value = number.parse::<f64>().ok().filter(|v| (0.0..=86_400.0).contains(v));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0..=86,400,000")]
    value.map(|v| (v * unit).round() as u32).ok_or_else(|| format!("`{text}` is no time (`300ms`, `2s`)"))
}

fn span(text: &str) -> Result<Span, String> {
    let (min_ms, max_ms) = match text.split_once("..") {
        Some((a, b)) => (time(a)?, time(b)?),
        None => (time(text)?, time(text)?),
    };
    if min_ms > max_ms {
        Err(format!("`{text}`: the range ends before it begins"))
    } else {
        Ok(Span { min_ms, max_ms })
    }
}

/// Tones of a network or a machine (ITU-T E.180, T.30), -13 dBm0.
fn tone(kind: &str, ms: u32) -> Result<Vec<u8>, String> {
    let hz: &[f64] = match kind {
        "sit" => &[950.0, 1400.0, 1800.0],
        "busy" => &[425.0],
        "ced" => &[2100.0],
        "cng" => &[1100.0],
        "beep" => &[1000.0],
        other => return Err(format!("`{other}` is no tone: sit, busy, ced, cng, beep")),
    };
    let n = ms * 8;
    let part = (n / u32::try_from(hz.len()).expect("three at most")).max(1);
    Ok((0..n)
        .map(|i| {
            let f = hz[usize::try_from(i / part).expect("small").min(hz.len() - 1)];
            let off = kind == "busy" && (i / 4000) % 2 == 1;
            let v =
                if off { 0.0 } else { (std::f64::consts::TAU * f * f64::from(i) / 8000.0).sin() * 5_000.0 };
            #[expect(clippy::cast_possible_truncation, reason = "bounded by 5,000")]
            mulaw::encode(v as i16)
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::Seed;

    fn none(_: &str) -> Option<Vec<u8>> {
        None
    }

    #[test]
    fn a_scenario_reads_as_written() {
        let text = "network loss 2% jitter 20ms\nperson a share 3\n ring 1s..2s # rings\n answer\n hear prompt\n press 12#\n hangup\nperson b number 99\n reject 486\n";
        let s = Scenario::parse(text, &none).expect("valid");
        assert_eq!((s.network.loss, s.network.jitter_ms, s.people.len()), (0.02, 20, 2));
        assert_eq!(s.people[0].steps[0], Step::Ring(Span { min_ms: 1000, max_ms: 2000 }));
        assert_eq!(s.people[0].steps.len(), 5);
        let mut rng = Seed(1).rng();
        assert_eq!(s.choose("+15550099", &mut rng).name, "b");
        assert_eq!(s.choose("+15550000", &mut rng).name, "a");
    }

    #[test]
    fn a_wrong_line_is_told_with_its_number() {
        for (text, line, word) in [
            ("person a\n reject 99", 2, "SIP status"),
            ("person a\n dance", 2, "no step"),
            ("answer", 1, "before the first"),
            ("person a\n wait 5", 2, "no time"),
            ("person a\n wait 5s..1s", 2, "ends before"),
            ("person a\n\n say x.wav", 3, "cannot be read"),
            ("network loss 5", 1, "no share"),
            ("", 0, "no `person`"),
        ] {
            let e = Scenario::parse(text, &none).expect_err(text);
            assert!(e.line == line && e.why.contains(word), "{text:?}: {e}");
        }
    }

    #[test]
    fn shares_are_kept() {
        let s =
            Scenario::parse("person a share 9\n answer\nperson b share 1\n answer", &none).expect("valid");
        let mut rng = Seed(3).rng();
        let a = (0..10_000).filter(|_| s.choose("1", &mut rng).name == "a").count();
        assert!((8_800..9_200).contains(&a), "{a}");
    }
}
