//! Scenario files: who answers how. Line by line, so that a wrong line is told with its number.
//!
//! ```text
//! # what the network does to packets of our side
//! network loss 2% jitter 20ms reorder 1% duplicate 1%
//! # prompts that are to be known by their sound
//! prompt welcome welcome.wav
//! # one block a kind of person; `share` weighs them, `number` gives it to numbers that end so
//! person confirms share 80
//!   ring 0.2s..1s
//!   answer
//!   hear prompt welcome within 20s
//!   press 1
//!   hear prompt
//!   press 4711 inband
//!   wait hangup 30s
//! person busy share 5
//!   reject 486
//! person box like voicemail share 15
//! ```
//!
//! Steps: `ring T`, `early`, `answer`, `reject CODE`, `noanswer [T]`, `abandon T`, `hear start [within T]`,
//! `hear prompt [NAME] [within T]`, `hear digits DIGITS [within T]`, `wait T`, `wait said`, `at T`,
//! `press DIGITS [inband] [for T] [gap T]`, `say FILE.wav`, `speech T`, `tone KIND T`, `hush`, `hangup`, `wait hangup T`.
//! A time `T` is `300ms`, `2s`, or a range `1s..3s` drawn evenly. A step whose `within` passes ends the call.

use super::prints::{Print, Prints};
use super::{mulaw, tones};
use std::fmt;
use std::sync::Arc;
use units::{Digit, Rng, Seed};

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
    /// Ring and never answer; the other side gives up within this, ms.
    NoAnswer(u32),
    /// Open media before the answer (183).
    Early,
    /// A caller's: give up unless answered within this, ms.
    Abandon(Span),
    /// Wait until so long after the answer.
    At(u32),
    /// Wait for keys by RFC 4733.
    HearDigits {
        /// Which.
        digits: Vec<Digit>,
        /// At most.
        within_ms: u32,
    },
    /// Wait until everything has been said.
    WaitSaid,
    /// Wait for sound to begin.
    HearStart {
        /// At most.
        within_ms: u32,
    },
    /// Wait for a prompt to end.
    HearPrompt {
        /// It must be this one of the declared prompts.
        which: Option<u16>,
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
        /// A key is held so long, ms.
        hold_ms: u16,
        /// Between two keys, ms.
        gap_ms: u16,
    },
    /// Speak mu-law audio (a file, or a tone made here).
    Say(Arc<[u8]>),
    /// Stop what is being said.
    Hush,
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
    /// Each step as it was written, with its line: how a report names it.
    pub told: Vec<String>,
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
    /// Prompts that are known by their sound.
    pub prints: Arc<Prints>,
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
        let mut prints = Prints::default();
        for (n, raw) in text.lines().enumerate() {
            let words = words(raw);
            let at = |why: String| ScenarioError { line: n + 1, why };
            match words.as_slice() {
                [] => {}
                ["network", rest @ ..] => network = faults(rest).map_err(at)?,
                ["prompt", name, file] => {
                    let audio = audio(file, files).map_err(at)?;
                    let print = Print::new(name, &audio)
                        .ok_or_else(|| at(format!("`{file}`: a prompt has 200 ms of sound at least")))?;
                    prints.add(print);
                }
                ["person", name, rest @ ..] => people.push(person(name, rest).map_err(at)?),
                words => {
                    let last = people
                        .last_mut()
                        .ok_or_else(|| at("a step stands before the first `person`".into()))?;
                    last.steps.push(step(words, files, &prints).map_err(at)?);
                    last.told.push(format!("line {}: {}", n + 1, words.join(" ")));
                }
            }
        }
        if people.is_empty() {
            return Err(ScenarioError {
                line: text.lines().count(),
                why: "no `person` in the scenario".into(),
            });
        }
        Ok(Self { network, people: people.into_iter().map(Arc::new).collect(), prints: Arc::new(prints) })
    }

    /// Whether callers may do all this.
    ///
    /// # Errors
    /// A step that only who is called can do, as it was written.
    pub fn for_callers(&self) -> Result<(), String> {
        let called =
            |s: &Step| matches!(s, Step::Ring(_) | Step::Reject(_) | Step::NoAnswer(_) | Step::Early);
        let all = self.people.iter().flat_map(|p| p.steps.iter().zip(&p.told));
        match all.into_iter().find(|(s, _)| called(s)) {
            Some((_, told)) => Err(format!("{told}: only who is called can do that")),
            None => Ok(()),
        }
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

/// The words of a line up to its comment; `#` is a key where keys stand.
fn words(line: &str) -> Vec<&str> {
    let mut words: Vec<&str> = Vec::new();
    for word in line.split_whitespace() {
        let key = matches!(words.as_slice(), ["press"] | ["hear", "digits"]);
        if word.starts_with('#') && !key {
            break;
        }
        words.push(word);
    }
    words
}

fn person(name: &str, rest: &[&str]) -> Result<Person, String> {
    let mut p = Person { name: name.into(), share: 1, number: None, steps: Vec::new(), told: Vec::new() };
    for pair in rest.chunks(2) {
        match pair {
            ["like", kind] => like(&mut p, kind)?,
            ["share", n] => p.share = n.parse().map_err(|_| format!("`{n}` is no share (a whole number)"))?,
            ["number", n] => p.number = Some((*n).into()),
            other => {
                return Err(format!(
                    "`{}`: a person has `share N`, `number SUFFIX` and `like KIND`",
                    other.join(" ")
                ));
            }
        }
    }
    Ok(p)
}

/// People whom everybody meets, as steps.
const KINDS: &[(&str, &str)] = &[
    ("human", "ring 2s..12s|answer|speech 1.2s|hear prompt within 60s|wait hangup 120s"),
    ("busy", "reject 486"),
    ("noanswer", "noanswer 180s"),
    ("sit", "early|tone sit-ic 1.2s|wait said|reject 404"),
    ("reject", "reject 603"),
    ("voicemail", "ring 15s..25s|answer|wait 0.4s|speech 6s|tone beep 0.4s|wait hangup 120s"),
    ("fax", "ring 2s..6s|answer|wait 1s|tone ced 3s|wait hangup 60s"),
    (
        "screening",
        "ring 1s..3s|answer|speech 3s|hear prompt within 60s|wait 2s..5s|speech 1s|wait hangup 120s",
    ),
];

fn like(p: &mut Person, kind: &str) -> Result<(), String> {
    let Some((_, steps)) = KINDS.iter().find(|(name, _)| *name == kind) else {
        let names: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
        return Err(format!("`{kind}` is no kind of person: {}", names.join(", ")));
    };
    for text in steps.split('|') {
        let words: Vec<&str> = text.split_whitespace().collect();
        p.steps.push(step(&words, &|_| None, &Prints::default())?);
        p.told.push(format!("like {kind}: {text}"));
    }
    Ok(())
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

fn step(words: &[&str], files: Files<'_>, prints: &Prints) -> Result<Step, String> {
    Ok(match words {
        ["ring", t] => Step::Ring(span(t)?),
        ["early"] => Step::Early,
        ["answer"] => Step::Answer,
        ["reject", code] => match code.parse() {
            Ok(n @ 300..=699) => Step::Reject(n),
            _ => return Err(format!("`{code}` is no SIP status of 300..699")),
        },
        ["noanswer"] => Step::NoAnswer(180_000),
        ["noanswer", t] => Step::NoAnswer(time(t)?),
        ["abandon", t] => Step::Abandon(span(t)?),
        ["hear", "start"] => Step::HearStart { within_ms: 30_000 },
        ["hear", "start", "within", t] => Step::HearStart { within_ms: time(t)? },
        ["hear", "prompt", rest @ ..] => hear_prompt(rest, prints)?,
        ["hear", "digits", d] => Step::HearDigits { digits: keys(d)?, within_ms: 30_000 },
        ["hear", "digits", d, "within", t] => Step::HearDigits { digits: keys(d)?, within_ms: time(t)? },
        ["wait", "hangup", t] => Step::WaitHangup(time(t)?),
        ["wait", "said"] => Step::WaitSaid,
        ["wait", t] => Step::Wait(span(t)?),
        ["at", t] => Step::At(time(t)?),
        ["press", digits, rest @ ..] => press(digits, rest)?,
        ["say", file] => Step::Say(audio(file, files)?.into()),
        ["speech", t] => Step::Say(tones::speech(time(t)?, Seed(u64::from(time(t)?))).into()),
        ["tone", kind, t] => {
            let sound = tones::tone(kind, time(t)?);
            Step::Say(sound.ok_or_else(|| format!("`{kind}` is no tone: {}", tones::KINDS))?.into())
        }
        ["hush"] => Step::Hush,
        ["hangup"] => Step::Hangup,
        other => return Err(format!("`{}` is no step (see docs/load.md)", other.join(" "))),
    })
}

fn hear_prompt(words: &[&str], prints: &Prints) -> Result<Step, String> {
    let named = |name: &str| {
        prints.number(name).ok_or_else(|| format!("`{name}`: no `prompt {name} FILE.wav` stands above"))
    };
    let (which, within_ms) = match words {
        [] => (None, 60_000),
        ["within", t] => (None, time(t)?),
        [name] => (Some(named(name)?), 60_000),
        [name, "within", t] => (Some(named(name)?), time(t)?),
        other => return Err(format!("`{}`: hear prompt [NAME] [within T]", other.join(" "))),
    };
    Ok(Step::HearPrompt { which, within_ms })
}

fn press(digits: &str, words: &[&str]) -> Result<Step, String> {
    let (mut in_band, mut hold_ms, mut gap_ms) = (false, 100, 60);
    let short = |t: &str| {
        let ms = time(t)?;
        u16::try_from(ms).ok().filter(|ms| *ms <= 8_000).ok_or_else(|| format!("`{t}`: 8s at most"))
    };
    let mut rest = words;
    loop {
        rest = match rest {
            [] => break,
            ["inband", rest @ ..] => {
                in_band = true;
                rest
            }
            ["for", t, rest @ ..] => {
                hold_ms = short(t)?;
                rest
            }
            ["gap", t, rest @ ..] => {
                gap_ms = short(t)?;
                rest
            }
            other => return Err(format!("`{}`: press DIGITS [inband] [for T] [gap T]", other.join(" "))),
        };
    }
    Ok(Step::Press { digits: keys(digits)?, in_band, hold_ms, gap_ms })
}

fn audio(file: &str, files: Files<'_>) -> Result<Vec<u8>, String> {
    let bytes = files(file).ok_or_else(|| format!("`{file}` cannot be read"))?;
    let audio = mulaw::from_wav(&bytes).ok_or_else(|| format!("`{file}` is no 8 kHz mono mu-law WAV"))?;
    Ok(audio.to_vec())
}

fn keys(text: &str) -> Result<Vec<Digit>, String> {
    text.chars().map(|c| Digit::try_from(c).map_err(|e| format!("`{c}`: {e}"))).collect()
}

/// `5%` as 0.05.
pub(crate) fn percent(text: &str) -> Result<f64, String> {
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

/// `300ms`, `2s`, or a range of such times.
pub(crate) fn span(text: &str) -> Result<Span, String> {
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
        assert!(matches!(&s.people[0].steps[3], Step::Press { digits, .. } if digits.len() == 3));
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
            ("person a\n hear prompt x", 2, "stands above"),
            ("person a like cat", 1, "no kind of person"),
            ("person a\n press 1 for 9s", 2, "8s at most"),
            ("person a\n tone moo 1s", 2, "no tone"),
        ] {
            let e = Scenario::parse(text, &none).expect_err(text);
            assert!(e.line == line && e.why.contains(word), "{text:?}: {e}");
        }
    }

    #[test]
    fn people_whom_everybody_meets_are_known_and_callers_cannot_be_called() {
        for (kind, _) in KINDS {
            let s = Scenario::parse(&format!("person x like {kind} share 3"), &none).expect(kind);
            assert!(!s.people[0].steps.is_empty() && s.people[0].steps.len() == s.people[0].told.len());
        }
        let s = Scenario::parse("person a\n hear prompt\n reject 486 # no", &none).expect("valid");
        assert_eq!(s.for_callers(), Err("line 3: reject 486: only who is called can do that".into()));
        let s = Scenario::parse("person a\n answer\n press #4 for 80ms gap 1s # done", &none).expect("valid");
        assert_eq!(s.for_callers(), Ok(()));
        let Step::Press { digits, hold_ms: 80, gap_ms: 1000, .. } = &s.people[0].steps[1] else {
            panic!("{:?}", s.people[0].steps)
        };
        assert_eq!(digits.len(), 2);
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
