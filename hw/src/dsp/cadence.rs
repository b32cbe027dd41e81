//! Call-progress signals as data: which sines, in which rhythm, in which country; and a player for them.
//!
//! Values from the annex to ITU-T E.180 ("Various tones used in national networks"), from E.180 itself for the special
//! information tone, and from T.30 §4 for CED and CNG. Levels follow the American precise tone plan; other countries
//! give ranges that contain them.

use super::tone::{Chord, Sine};
use units::Samples;

/// Whose tones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Country {
    /// United States and Canada (precise tone plan).
    #[default]
    Us,
    /// The 425 Hz of ETSI TR 101 041-2 and of most of Europe.
    Eu,
    /// United Kingdom.
    Uk,
    /// Germany.
    De,
    /// France.
    Fr,
    /// Japan.
    Jp,
}

impl Country {
    /// All.
    pub const ALL: [Country; 6] =
        [Country::Us, Country::Eu, Country::Uk, Country::De, Country::Fr, Country::Jp];

    /// From its word in the configuration: `us`, `eu`, `uk`, `de`, `fr`, `jp`.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.word() == word)
    }

    /// Its word in the configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Country::Us => "us",
            Country::Eu => "eu",
            Country::Uk => "uk",
            Country::De => "de",
            Country::Fr => "fr",
            Country::Jp => "jp",
        }
    }
}

/// What a network or a machine says without words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Dial now.
    Dial,
    /// The callee's telephone rings.
    Ringback,
    /// The callee is busy.
    Busy,
    /// No circuits ("reorder").
    Congestion,
    /// Three rising tones before an announcement (E.180 §3.6).
    SpecialInformation,
    /// One beep, as before a recording.
    Beep,
    /// A called fax machine or modem answers: 2100 Hz (T.30).
    FaxAnswer,
    /// A calling fax machine: 1100 Hz, half a second in three and a half (T.30).
    FaxCalling,
}

impl Signal {
    /// Its word in outputs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Signal::Dial => "dial",
            Signal::Ringback => "ringback",
            Signal::Busy => "busy",
            Signal::Congestion => "congestion",
            Signal::SpecialInformation => "sit",
            Signal::Beep => "beep",
            Signal::FaxAnswer => "ced",
            Signal::FaxCalling => "cng",
        }
    }
}

/// One part of a rhythm: some sines (or silence) for a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// None: silence.
    pub sines: &'static [Sine],
    /// How long, ms; 0: for ever.
    pub ms: u32,
}

/// A rhythm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cadence {
    /// In order.
    pub steps: &'static [Step],
    /// After the last step comes the first.
    pub repeats: bool,
}

const fn hz(hz: f32, dbm0: f32) -> Sine {
    Sine { hz, dbm0 }
}

const fn on(sines: &'static [Sine], ms: u32) -> Step {
    Step { sines, ms }
}

const fn off(ms: u32) -> Step {
    Step { sines: &[], ms }
}

static US_DIAL: [Sine; 2] = [hz(350.0, -13.0), hz(440.0, -13.0)];
static US_RING: [Sine; 2] = [hz(440.0, -19.0), hz(480.0, -19.0)];
static US_BUSY: [Sine; 2] = [hz(480.0, -24.0), hz(620.0, -24.0)];
static EU: [Sine; 1] = [hz(425.0, -13.0)];
static UK_DIAL: [Sine; 2] = [hz(350.0, -16.0), hz(450.0, -16.0)];
static UK_RING: [Sine; 2] = [hz(400.0, -19.0), hz(450.0, -19.0)];
static HZ_400: [Sine; 1] = [hz(400.0, -16.0)];
static FR: [Sine; 1] = [hz(440.0, -13.0)];
static SIT_LOW: [Sine; 1] = [hz(950.0, -13.0)];
static SIT_MIDDLE: [Sine; 1] = [hz(1400.0, -13.0)];
static SIT_HIGH: [Sine; 1] = [hz(1800.0, -13.0)];
static BEEP: [Sine; 1] = [hz(1000.0, -13.0)];
static CED: [Sine; 1] = [hz(2100.0, -13.0)];
static CNG: [Sine; 1] = [hz(1100.0, -13.0)];

macro_rules! cadence {
    ($name:ident, $repeats:expr, $($step:expr),+) => {
        static $name: Cadence = {
            static STEPS: &[Step] = &[$($step),+];
            Cadence { steps: STEPS, repeats: $repeats }
        };
    };
}

cadence!(C_US_DIAL, true, on(&US_DIAL, 0));
cadence!(C_US_RING, true, on(&US_RING, 2000), off(4000));
cadence!(C_US_BUSY, true, on(&US_BUSY, 500), off(500));
cadence!(C_US_CONGESTION, true, on(&US_BUSY, 250), off(250));
cadence!(C_EU_DIAL, true, on(&EU, 0));
cadence!(C_EU_RING, true, on(&EU, 1000), off(4000));
cadence!(C_EU_BUSY, true, on(&EU, 500), off(500));
cadence!(C_EU_CONGESTION, true, on(&EU, 200), off(200));
cadence!(C_UK_DIAL, true, on(&UK_DIAL, 0));
cadence!(C_UK_RING, true, on(&UK_RING, 400), off(200), on(&UK_RING, 400), off(2000));
cadence!(C_UK_BUSY, true, on(&HZ_400, 375), off(375));
cadence!(C_UK_CONGESTION, true, on(&HZ_400, 400), off(350), on(&HZ_400, 225), off(525));
cadence!(C_DE_BUSY, true, on(&EU, 480), off(480));
cadence!(C_DE_CONGESTION, true, on(&EU, 240), off(240));
cadence!(C_FR_DIAL, true, on(&FR, 0));
cadence!(C_FR_RING, true, on(&FR, 1500), off(3500));
cadence!(C_FR_BUSY, true, on(&FR, 500), off(500));
cadence!(C_FR_CONGESTION, true, on(&FR, 250), off(250));
cadence!(C_JP_DIAL, true, on(&HZ_400, 0));
cadence!(C_JP_RING, true, on(&HZ_400, 1000), off(2000));
cadence!(C_JP_BUSY, true, on(&HZ_400, 500), off(500));
cadence!(C_JP_CONGESTION, true, on(&HZ_400, 250), off(250));
cadence!(
    C_SIT,
    false,
    on(&SIT_LOW, 330),
    off(15),
    on(&SIT_MIDDLE, 330),
    off(15),
    on(&SIT_HIGH, 330),
    off(1000)
);
cadence!(C_BEEP, false, on(&BEEP, 300));
cadence!(C_CED, false, off(200), on(&CED, 3000), off(75));
cadence!(C_CNG, true, on(&CNG, 500), off(3000));

/// The rhythm of a signal in a country.
#[must_use]
pub fn cadence(country: Country, signal: Signal) -> &'static Cadence {
    match (country, signal) {
        (_, Signal::SpecialInformation) => &C_SIT,
        (_, Signal::Beep) => &C_BEEP,
        (_, Signal::FaxAnswer) => &C_CED,
        (_, Signal::FaxCalling) => &C_CNG,
        (Country::Us, Signal::Dial) => &C_US_DIAL,
        (Country::Us, Signal::Ringback) => &C_US_RING,
        (Country::Us, Signal::Busy) => &C_US_BUSY,
        (Country::Us, Signal::Congestion) => &C_US_CONGESTION,
        (Country::Eu | Country::De, Signal::Dial) => &C_EU_DIAL,
        (Country::Eu | Country::De, Signal::Ringback) => &C_EU_RING,
        (Country::Eu, Signal::Busy) => &C_EU_BUSY,
        (Country::Eu, Signal::Congestion) => &C_EU_CONGESTION,
        (Country::Uk, Signal::Dial) => &C_UK_DIAL,
        (Country::Uk, Signal::Ringback) => &C_UK_RING,
        (Country::Uk, Signal::Busy) => &C_UK_BUSY,
        (Country::Uk, Signal::Congestion) => &C_UK_CONGESTION,
        (Country::De, Signal::Busy) => &C_DE_BUSY,
        (Country::De, Signal::Congestion) => &C_DE_CONGESTION,
        (Country::Fr, Signal::Dial) => &C_FR_DIAL,
        (Country::Fr, Signal::Ringback) => &C_FR_RING,
        (Country::Fr, Signal::Busy) => &C_FR_BUSY,
        (Country::Fr, Signal::Congestion) => &C_FR_CONGESTION,
        (Country::Jp, Signal::Dial) => &C_JP_DIAL,
        (Country::Jp, Signal::Ringback) => &C_JP_RING,
        (Country::Jp, Signal::Busy) => &C_JP_BUSY,
        (Country::Jp, Signal::Congestion) => &C_JP_CONGESTION,
    }
}

/// Plays a rhythm.
#[derive(Clone, Debug)]
pub struct Player {
    cadence: &'static Cadence,
    step: usize,
    left: u32,
    chord: Chord,
}

impl Player {
    /// From its beginning.
    #[must_use]
    pub fn new(country: Country, signal: Signal) -> Self {
        let mut player =
            Self { cadence: cadence(country, signal), step: 0, left: 0, chord: Chord::default() };
        player.enter(0);
        player
    }

    /// True after the last step of a rhythm that does not repeat.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.step >= self.cadence.steps.len()
    }

    /// Writes what comes next over the slice; silence once finished.
    pub fn fill(&mut self, into: &mut [i16]) {
        let mut rest = into;
        while !rest.is_empty() && !self.finished() {
            let forever = self.cadence.steps[self.step].ms == 0;
            let left = if forever { rest.len() } else { usize::try_from(self.left).unwrap_or(usize::MAX) };
            let (now, later) = rest.split_at_mut(left.min(rest.len()));
            self.chord.fill(now);
            if !forever {
                self.left -= u32::try_from(now.len()).expect("at most left");
                if self.left == 0 {
                    self.enter(self.step + 1);
                }
            }
            rest = later;
        }
        rest.fill(0);
    }

    fn enter(&mut self, step: usize) {
        self.step = if step >= self.cadence.steps.len() && self.cadence.repeats { 0 } else { step };
        if let Some(step) = self.cadence.steps.get(self.step) {
            self.left = Samples::from_ms(step.ms).0;
            self.chord = Chord::new(step.sines);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::level;

    #[test]
    fn rhythms_last_as_long_as_they_say() {
        let mut p = Player::new(Country::Us, Signal::Busy);
        let mut s = vec![0i16; 16_000];
        for part in s.chunks_mut(77) {
            p.fill(part);
        }
        for (n, half) in s.chunks(4000).enumerate() {
            let want = if n % 2 == 0 { -21.0 } else { level::SILENCE_DBM0 };
            assert!((level::of(half) - want).abs() < 0.2, "{n}: {}", level::of(half));
        }
        assert!(!p.finished());
    }

    #[test]
    fn what_does_not_repeat_ends_in_silence() {
        let mut p = Player::new(Country::Eu, Signal::Beep);
        let mut s = [1i16; 4000];
        p.fill(&mut s);
        assert!(p.finished() && s[2400..].iter().all(|&x| x == 0) && level::of(&s[..2400]) > -13.2);
    }

    #[test]
    fn countries_have_words() {
        assert!(Country::ALL.iter().all(|&c| Country::from_word(c.word()) == Some(c)));
        assert_eq!(Country::from_word("xx"), None);
    }
}
