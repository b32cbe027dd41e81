//! What is heard in a recording, and when: the library behind `carillon audio`.
//!
//! Input is linear at 8 kHz; times are milliseconds from its beginning. Each finding prints as one line of JSON.

use crate::dsp::dtmf::{self, Detector, Edge};
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
    fn a_recording_that_ends_in_a_digit_ends_the_digit() {
        let keying = Keying { tone: Samples::from_ms(500), ..Keying::default() };
        let mut s = vec![0i16; 2000];
        Generator::new(Digit::try_from('7').expect("a digit"), &keying).fill(&mut s[800..]);
        let heard = dtmf(&s, &dtmf::Limits::default());
        assert_eq!(heard.len(), 1);
        assert!(heard[0].start_ms.abs_diff(100) <= 3 && heard[0].end_ms == 250, "{heard:?}");
    }
}
