//! What is heard in a recording, and when: the library behind `carillon audio`.
//!
//! Input is linear at 8 kHz; times are milliseconds from its beginning. Each finding prints as one line of JSON.

use crate::dsp::amd;
use crate::dsp::beep;
use crate::dsp::cadence::Country;
use crate::dsp::dtmf::{self, Detector, Edge};
use crate::dsp::progress;
use std::fmt;
use units::Digit;

/// A digit that was heard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Keyed {
    /// Which.
    pub digit: Digit,
    /// When its tone began, ms.
    pub start_ms: u64,
    /// When its tone ended, ms; the end of the recording if it was still on.
    pub end_ms: u64,
    /// Level of both tones, dBm0.
    pub level_dbm0: f32,
    /// High minus low, dB.
    pub twist_db: f32,
}

impl fmt::Display for Keyed {
    /// `{"digit":"5","start_ms":120,"end_ms":170,"level_dbm0":-14.2,"twist_db":0.3}`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{{\"digit\":\"{}\",\"start_ms\":{},\"end_ms\":{},\"level_dbm0\":{:.1},\"twist_db\":{:.1}}}",
            self.digit.as_char(),
            self.start_ms,
            self.end_ms,
            unsigned_zero(self.level_dbm0),
            unsigned_zero(self.twist_db)
        )
    }
}

/// The digits in a recording, in order.
#[must_use]
pub fn dtmf(samples: &[i16], limits: &dtmf::Limits) -> Vec<Keyed> {
    let mut detector = Detector::new(limits);
    let mut heard: Vec<Keyed> = Vec::new();
    let mut open = false;
    detector.feed(samples, &mut |e| match e.edge {
        Edge::Start => {
            open = true;
            heard.push(Keyed {
                digit: e.digit,
                start_ms: milliseconds(e.at),
                end_ms: milliseconds(e.at),
                level_dbm0: e.level_dbm0,
                twist_db: e.twist_db,
            });
        }
        Edge::End => {
            open = false;
            if let Some(last) = heard.last_mut() {
                last.end_ms = milliseconds(e.at);
                (last.level_dbm0, last.twist_db) = (e.level_dbm0, e.twist_db);
            }
        }
    });
    if let Some(last) = heard.last_mut().filter(|_| open) {
        last.end_ms = milliseconds(u64::try_from(samples.len()).unwrap_or(u64::MAX));
    }
    heard
}

/// A call-progress tone, a fax tone or a beep that was heard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tone {
    /// `dial`, `ringback`, `busy`, `congestion`, `sit`, `ced`, `cng` or `beep`.
    pub name: &'static str,
    /// When it began, ms.
    pub start_ms: u64,
    /// When it was certain, ms (a beep: when it ended).
    pub at_ms: u64,
    /// Level, dBm0; a beep has its frequency instead.
    pub level_dbm0: Option<f32>,
    /// Frequency of a beep, Hz.
    pub hz: Option<f32>,
}

impl fmt::Display for Tone {
    /// `{"tone":"busy","start_ms":0,"at_ms":1850,"level_dbm0":-21.0}`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{\"tone\":\"{}\",\"start_ms\":{},\"at_ms\":{}", self.name, self.start_ms, self.at_ms)?;
        if let Some(level) = self.level_dbm0 {
            write!(f, ",\"level_dbm0\":{:.1}", unsigned_zero(level))?;
        }
        if let Some(hz) = self.hz {
            write!(f, ",\"hz\":{hz:.0}")?;
        }
        f.write_str("}")
    }
}

/// The tones of a country and the beeps in a recording, by when they were certain.
#[must_use]
pub fn tones(samples: &[i16], country: Country) -> Vec<Tone> {
    let mut heard = Vec::new();
    let mut detector = progress::Detector::new(country, &progress::Limits::default());
    detector.feed(samples, &mut |e| {
        heard.push(Tone {
            name: e.signal.word(),
            start_ms: milliseconds(e.start),
            at_ms: milliseconds(e.at),
            level_dbm0: Some(e.level_dbm0),
            hz: None,
        });
    });
    // Single sines of a country's tones would all be beeps; those that the detector named are not named twice.
    let named: Vec<(u64, u64)> = heard.iter().map(|t| (t.start_ms, t.at_ms)).collect();
    // A fax repeats its tone.
    let fax = |hz: f32| {
        heard.iter().any(|t| match t.name {
            "cng" => (hz - 1100.0).abs() < 40.0,
            "ced" => (hz - 2100.0).abs() < 30.0,
            _ => false,
        })
    };
    let mut single = Vec::new();
    let mut beeps = beep::Detector::default();
    beeps.feed(samples, &mut |b| {
        let (start_ms, at_ms) = (milliseconds(b.start), milliseconds(b.end));
        let again = named.iter().any(|&(from, _)| at_ms + 40 >= from && b.hz < 630.0)
            || named.iter().any(|&(from, to)| at_ms + 40 >= from && start_ms <= to + 200);
        if !again && !fax(b.hz) {
            single.push(Tone { name: "beep", start_ms, at_ms, level_dbm0: None, hz: Some(b.hz) });
        }
    });
    heard.append(&mut single);
    heard.sort_by_key(|t| t.at_ms);
    heard
}

/// Who answered, and when the greeting was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// `{"answer":"machine","at_ms":2400}`
    Who {
        /// Who.
        answer: amd::Answer,
        /// When that was certain, ms.
        at_ms: u64,
    },
    /// `{"greeting_end_ms":5200,"beep":true}`
    GreetingEnd {
        /// When, ms.
        at_ms: u64,
        /// By a beep or by silence.
        beep: bool,
    },
    /// `{"answer":"undecided","at_ms":1200}`: the recording ended before it was clear.
    Undecided {
        /// Its end, ms.
        at_ms: u64,
    },
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answered::Who { answer, at_ms } => {
                write!(f, "{{\"answer\":\"{}\",\"at_ms\":{at_ms}}}", answer.word())
            }
            Answered::GreetingEnd { at_ms, beep } => {
                write!(f, "{{\"greeting_end_ms\":{at_ms},\"beep\":{beep}}}")
            }
            Answered::Undecided { at_ms } => write!(f, "{{\"answer\":\"undecided\",\"at_ms\":{at_ms}}}"),
        }
    }
}

/// Who answers in a recording that begins with the answer.
#[must_use]
pub fn amd(samples: &[i16], limits: &amd::Limits) -> Vec<Answered> {
    let mut heard = Vec::new();
    amd::Detector::new(limits).feed(samples, &mut |e| {
        heard.push(match e {
            amd::Event::Answered { answer, at } => Answered::Who { answer, at_ms: milliseconds(at) },
            amd::Event::GreetingEnd { at, beep } => Answered::GreetingEnd { at_ms: milliseconds(at), beep },
        });
    });
    if heard.is_empty() {
        let end = u64::try_from(samples.len()).unwrap_or(u64::MAX);
        heard.push(Answered::Undecided { at_ms: milliseconds(end) });
    }
    heard
}

/// Samples to the nearest millisecond.
fn milliseconds(at: u64) -> u64 {
    at.saturating_add(4) / 8
}

/// Keeps "-0.0" out of the output.
fn unsigned_zero(x: f32) -> f32 {
    if x.abs() < 0.05 { 0.0 } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::dtmf::{Generator, Keying};
    use units::Samples;

    #[test]
    fn a_digit_prints_as_one_line_of_json() {
        let digit = Digit::try_from('5').expect("a digit");
        let k = Keyed { digit, start_ms: 120, end_ms: 170, level_dbm0: -14.24, twist_db: 0.26 };
        assert_eq!(
            k.to_string(),
            r#"{"digit":"5","start_ms":120,"end_ms":170,"level_dbm0":-14.2,"twist_db":0.3}"#
        );
        assert!(Keyed { twist_db: -0.01, ..k }.to_string().contains("\"twist_db\":0.0"));
    }

    #[test]
    fn tones_and_answers_print_as_lines_of_json() {
        let mut s = vec![0i16; 40_000];
        crate::dsp::cadence::Player::new(Country::De, crate::dsp::cadence::Signal::Busy).fill(&mut s);
        let heard = tones(&s, Country::De);
        assert_eq!(heard.len(), 1, "{heard:?}");
        let line = heard[0].to_string();
        assert!(line.starts_with("{\"tone\":\"busy\",\"start_ms\":") && line.ends_with('}'), "{line}");
        s.fill(0);
        let lines: Vec<String> = amd(&s, &amd::Limits::default()).iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["{\"answer\":\"silence\",\"at_ms\":4000}"]);
        let short = amd(&s[..8000], &amd::Limits::default());
        assert_eq!(short, [Answered::Undecided { at_ms: 1000 }]);
        let mut fax = vec![0i16; 80_000];
        crate::dsp::cadence::Player::new(Country::De, crate::dsp::cadence::Signal::FaxCalling).fill(&mut fax);
        let names: Vec<_> = tones(&fax, Country::De).iter().map(|t| t.name).collect();
        assert_eq!(names, ["cng"], "its second and third sound are no beeps");
        let mut chord = crate::dsp::tone::Chord::new(&[crate::dsp::tone::Sine { hz: 1000.0, dbm0: -9.0 }]);
        chord.fill(&mut s[8000..10_400]);
        let heard = tones(&s, Country::De);
        assert!(heard.len() == 1 && heard[0].name == "beep" && heard[0].hz.is_some(), "{heard:?}");
    }

    #[test]
    fn a_recording_that_ends_in_a_digit_ends_the_digit() {
        let keying = Keying { tone: Samples::from_ms(500), ..Keying::default() };
        let mut s = vec![0i16; 2000];
        Generator::new(Digit::try_from('7').expect("a digit"), &keying).fill(&mut s[800..]);
        let heard = dtmf(&s, &dtmf::Limits::default());
        assert_eq!(heard.len(), 1);
        assert!(heard[0].start_ms.abs_diff(100) <= 3 && heard[0].end_ms == 250, "{heard:?}");
    }
}
