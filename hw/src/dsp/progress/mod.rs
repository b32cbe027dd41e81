//! Call-progress tones: what the network says without words, by [`cadence`](crate::dsp::cadence) of a country.
//!
//! Every 20 ms the [`bank`] says which of its tones explain the sound of a window of 40 ms. Stretches of the same tones
//! make on and off times, and those make a signal:
//!
//! | signal | recognised after |
//! |---|---|
//! | ringback, busy, congestion | one whole on time and the off time after it (so that one is not taken for the other) |
//! | dial tone | 2.2 s without a break |
//! | special information | three rising tones: 160 ms into the third at 950, 1400, 1800 Hz; at its end for the others in use |
//! | CED | 0.5 s of 2100 Hz, phase reversals allowed |
//! | CNG | an on time of 0.4 to 0.6 s of 1100 Hz |
//!
//! A signal that goes on is reported once; another in between makes it new.

mod bank;

use super::beep::{self, Beep};
use super::cadence::{Cadence, Country, Signal, Step, cadence};
use bank::Bank;

/// What was recognised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// Which.
    pub signal: Signal,
    /// When its tone began: samples since the detector began.
    pub start: u64,
    /// When it was certain.
    pub at: u64,
    /// Level while on, dBm0.
    pub level_dbm0: f32,
}

/// Bounds of the detector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Nothing quieter is a tone, dBm0.
    pub weakest_dbm0: f32,
    /// Share of the power that the tones must explain.
    pub purity_min: f32,
    /// How far on and off times may be from the plan, as a share.
    pub time_tolerance: f32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { weakest_dbm0: -43.0, purity_min: 0.85, time_tolerance: 0.2 }
    }
}

/// See the module. About 1 KB; meant for calls being set up, not for every bearer all the time.
#[derive(Clone, Debug)]
pub struct Detector {
    bank: Bank,
    limits: Limits,
    country: Country,
    /// What is on now, since when (windows), and its power.
    now: Stretch,
    /// The stretches before, newest first.
    past: [Stretch; 5],
    windows: u64,
    last: Option<Signal>,
    /// Bridges a window that no tones explain between two of the same tones.
    doubt: Option<Tones>,
    /// Single sines at any frequency: North America's special information tones are not at the nominal ones.
    sines: beep::Detector,
    /// The two before the latest, newest first.
    sounded: [Option<Beep>; 2],
}

/// Tones that sound together, as the bank names them.
pub(crate) type Tones = u16;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Stretch {
    tones: Tones,
    windows: u32,
    power: f32,
}

impl Stretch {
    fn ms(&self) -> u32 {
        self.windows.saturating_mul(20)
    }
}

impl Detector {
    /// For the tones of a country.
    #[must_use]
    pub fn new(country: Country, limits: &Limits) -> Self {
        Self {
            bank: Bank::new(),
            limits: *limits,
            country,
            now: Stretch::default(),
            past: [Stretch::default(); 5],
            windows: 0,
            last: None,
            doubt: None,
            sines: beep::Detector::default(),
            sounded: [None; 2],
        }
    }

    /// Takes samples; calls `emit` for each signal recognised.
    pub fn feed(&mut self, samples: &[i16], emit: &mut impl FnMut(Event)) {
        let mut rest = samples;
        while !rest.is_empty() {
            let (window, left) = self.bank.feed(rest, &self.limits);
            let taken = &rest[..rest.len() - left.len()];
            self.rising_sines(taken, emit);
            rest = left;
            if let Some(heard) = window {
                self.windows += 1;
                self.window(heard, emit);
            }
        }
    }

    fn window(&mut self, heard: bank::Heard, emit: &mut impl FnMut(Event)) {
        if heard.tones == self.now.tones {
            self.now.windows += 1 + u32::from(self.doubt.take().is_some());
            self.now.power += heard.power;
        } else if self.doubt == Some(heard.tones) {
            // Two windows of something else: a new stretch, which began with the first.
            self.doubt = None;
            self.past.copy_within(..4, 1);
            self.past[0] = self.now;
            self.now = Stretch { tones: heard.tones, windows: 2, power: 2.0 * heard.power };
        } else {
            if self.doubt.is_some() {
                self.now.windows += 1;
            }
            self.doubt = Some(heard.tones);
            return;
        }
        if let Some((signal, back)) = self.recognise()
            && self.last != Some(signal)
        {
            self.last = Some(signal);
            emit(self.event(signal, back));
        }
    }

    /// Three single sines in a row within the bounds of E.180 §3.6, whose middles are not those of the bank: Bellcore's
    /// pairs of 913.8 and 985.2, 1370.6 and 1428.5, and 1776.7 Hz of 276 or 380 ms.
    fn rising_sines(&mut self, samples: &[i16], emit: &mut impl FnMut(Event)) {
        let mut third = None;
        let sounded = &mut self.sounded;
        self.sines.feed(samples, &mut |b| {
            if let [Some(middle), Some(low)] = *sounded
                && let Some(start) = rise(&low, &middle, &b)
            {
                third = Some((start, b.end));
            }
            *sounded = [Some(b), sounded[0]];
        });
        let Some((start, end)) = third.filter(|_| self.last != Some(Signal::SpecialInformation)) else {
            return;
        };
        self.last = Some(Signal::SpecialInformation);
        // Of the windows since, those that were on tell the level.
        let on =
            [self.now, self.past[0], self.past[1]].into_iter().find(|s| s.power > 0.0).unwrap_or_default();
        emit(Event { signal: Signal::SpecialInformation, start, at: end, level_dbm0: mean_dbm0(&on) });
    }

    /// A signal whose pattern is complete now, and how many stretches back its tone began.
    fn recognise(&self) -> Option<(Signal, usize)> {
        let on = self.now.tones != 0;
        if on {
            return self.steady().or_else(|| self.rising());
        }
        let before = self.past[0];
        if before.tones == bank::CNG && (400..=600).contains(&before.ms()) && self.now.ms() >= 100 {
            return Some((Signal::FaxCalling, 0));
        }
        [Signal::Busy, Signal::Congestion, Signal::Ringback]
            .into_iter()
            .find(|&s| self.rhythm(cadence(self.country, s), s == Signal::Ringback))
            .map(|s| (s, if s == Signal::Ringback { 0 } else { 2 }))
    }

    /// Signals that are on without a rhythm.
    fn steady(&self) -> Option<(Signal, usize)> {
        let ms = self.now.ms();
        if self.now.tones == bank::CED && ms >= 500 {
            return Some((Signal::FaxAnswer, usize::MAX));
        }
        let dial = cadence(self.country, Signal::Dial).steps[0].sines;
        (bank::matches(self.now.tones, dial) && ms >= DIAL_MS).then_some((Signal::Dial, usize::MAX))
    }

    /// E.180 §3.6: 950, 1400 and 1800 Hz, 330 ms each; other lengths (276 to 380 ms) are in use.
    fn rising(&self) -> Option<(Signal, usize)> {
        // Silence of up to 30 ms may stand between them.
        let mut tones = self.past.iter().enumerate().filter(|(_, s)| s.tones != 0);
        let ((_, middle), (back, low)) = (tones.next()?, tones.next()?);
        let long = |s: &Stretch| (200..=450).contains(&s.ms());
        let rises = self.now.tones == bank::SIT_HIGH
            && middle.tones == bank::SIT_MIDDLE
            && low.tones == bank::SIT_LOW;
        (rises && long(middle) && long(low) && self.now.ms() >= 160)
            .then_some((Signal::SpecialInformation, back))
    }

    /// Whether the latest on time is of this rhythm and the silence since has lasted as long as it says (for a long
    /// one, long enough to be no shorter rhythm). Short rhythms must have been heard twice: on, off, on.
    fn rhythm(&self, plan: &Cadence, long: bool) -> bool {
        let pairs = plan.steps.as_chunks::<2>().0;
        pairs.iter().enumerate().any(|(n, pair)| {
            let before = pairs[(n + pairs.len() - 1) % pairs.len()];
            self.sounded(0, pair[0])
                && if long {
                    self.now.ms() >= pair[1].ms.min(RING_SILENCE_MS)
                } else {
                    self.now.ms() * 10 >= pair[1].ms * 7
                        && self.sounded(2, before[0])
                        && self.past[1].tones == 0
                        && self.near(self.past[1].ms(), before[1].ms)
                }
        })
    }

    /// Whether a stretch of the past was this step.
    fn sounded(&self, past: usize, step: Step) -> bool {
        bank::matches(self.past[past].tones, step.sines) && self.near(self.past[past].ms(), step.ms)
    }

    fn near(&self, ms: u32, plan: u32) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a rhythm")]
        let (is, should) = (ms as f32, plan as f32);
        // A window is 20 ms, so an edge is known to about one.
        (is - should).abs() <= should * self.limits.time_tolerance + 20.0
    }

    fn event(&self, signal: Signal, back: usize) -> Event {
        let before: u32 = self.past.iter().take(back.wrapping_add(1).min(5)).map(|s| s.windows).sum();
        let windows = u64::from(before + self.now.windows);
        let tone = if self.now.tones == 0 { self.past[0] } else { self.now };
        Event {
            signal,
            // The first window that a tone fills began one hop before it was closed.
            start: self.windows.saturating_sub(windows + 1) * 160,
            at: self.windows * 160,
            level_dbm0: mean_dbm0(&tone),
        }
    }
}

fn mean_dbm0(stretch: &Stretch) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "a count of windows")]
    let power = stretch.power / stretch.windows.max(1) as f32;
    super::level::dbm0(power)
}

/// Where three sines began, if they are a special information tone: E.180 §3.6 lets each be 50 Hz off; between them is
/// no more than a short silence.
fn rise(low: &Beep, middle: &Beep, high: &Beep) -> Option<u64> {
    let at = |b: &Beep, hz: f32| (b.hz - hz).abs() <= 55.0 && (200..=450).contains(&((b.end - b.start) / 8));
    let after = |a: &Beep, b: &Beep| b.start.saturating_sub(a.end) / 8 <= 60;
    let rises = at(low, 950.0) && at(middle, 1400.0) && at(high, 1800.0);
    (rises && after(low, middle) && after(middle, high)).then_some(low.start)
}

/// Longer than any ringback is on.
const DIAL_MS: u32 = 2200;
/// After so much silence a tone was no busy tone.
const RING_SILENCE_MS: u32 = 900;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::cadence::Player;
    use crate::dsp::g711::Law;
    use crate::dsp::noise::Comfort;
    use units::Seed;

    fn heard(country: Country, samples: &[i16]) -> Vec<Event> {
        let mut d = Detector::new(country, &Limits::default());
        let mut events = Vec::new();
        for part in samples.chunks(80) {
            d.feed(part, &mut |e| events.push(e));
        }
        events
    }

    /// A signal of a country for some seconds, after 300 ms, over noise, in A-law.
    fn played(country: Country, signal: Signal, seconds: usize) -> Vec<i16> {
        let mut s = vec![0i16; 2400 + 8000 * seconds];
        Player::new(country, signal).fill(&mut s[2400..]);
        let mut noise = vec![0i16; s.len()];
        Comfort::new(Seed(5), -50.0).fill(&mut noise);
        crate::dsp::mix::add(&mut s, &noise);
        s.iter().map(|&x| Law::A.to_linear(Law::A.to_octet(x))).collect()
    }

    const ALL: [Signal; 7] = [
        Signal::Dial,
        Signal::Ringback,
        Signal::Busy,
        Signal::Congestion,
        Signal::SpecialInformation,
        Signal::FaxAnswer,
        Signal::FaxCalling,
    ];

    #[test]
    fn every_signal_of_every_country_is_itself_and_once() {
        for country in Country::ALL {
            for signal in ALL {
                let events = heard(country, &played(country, signal, 8));
                let names: Vec<_> = events.iter().map(|e| e.signal).collect();
                assert_eq!(names, [signal], "{country:?}");
                assert!(events[0].level_dbm0 > -25.0 && events[0].level_dbm0 < -9.0, "{events:?}");
            }
        }
    }

    #[test]
    fn e180_3_6_the_special_information_tones_of_north_america() {
        use crate::dsp::tone::{Chord, Sine};
        let segments = [(913.8, 985.2), (1370.6, 1428.5), (1776.7, 1776.7)];
        for (n, gap) in [(0usize, 0usize), (3, 0), (5, 20), (6, 40)] {
            let mut s = vec![0i16; 24_000];
            let mut at = 2400;
            for (i, pair) in segments.iter().enumerate() {
                let (hz, ms) = if n >> i & 1 == 0 { (pair.0, 276) } else { (pair.1, 380) };
                Chord::new(&[Sine { hz, dbm0: -14.0 }]).fill(&mut s[at..at + ms * 8]);
                at += (ms + gap) * 8;
            }
            let mut noise = vec![0i16; s.len()];
            Comfort::new(Seed(5), -50.0).fill(&mut noise);
            crate::dsp::mix::add(&mut s, &noise);
            let e = heard(Country::Us, &s);
            assert_eq!(
                e.iter().map(|e| e.signal).collect::<Vec<_>>(),
                [Signal::SpecialInformation],
                "{n} {gap}"
            );
            assert!(e[0].start.abs_diff(2400) <= 160 && (e[0].level_dbm0 + 14.0).abs() < 2.0, "{e:?}");
        }
    }

    #[test]
    fn a_signal_begins_where_its_tone_began() {
        for signal in
            [Signal::Dial, Signal::Ringback, Signal::Busy, Signal::SpecialInformation, Signal::FaxCalling]
        {
            let e = heard(Country::Us, &played(Country::Us, signal, 8))[0];
            assert!(e.start.abs_diff(2400) <= 160, "{signal:?} at {} ms", e.start / 8);
        }
    }

    #[test]
    fn a_signal_is_known_in_time() {
        let check = |signal, ms: u64| {
            let e = heard(Country::Us, &played(Country::Us, signal, 8))[0];
            assert!(e.at / 8 <= 300 + ms, "{signal:?} at {}", e.at / 8);
        };
        check(Signal::Busy, 2000);
        check(Signal::Congestion, 1100);
        check(Signal::Ringback, 3100);
        check(Signal::SpecialInformation, 1000);
        check(Signal::FaxAnswer, 900);
        check(Signal::FaxCalling, 800);
    }

    #[test]
    fn noise_and_digits_are_no_signals() {
        let mut s = vec![0i16; 80_000];
        Comfort::new(Seed(6), -20.0).fill(&mut s);
        assert_eq!(heard(Country::Us, &s), []);
        let mut at = 0;
        let keying = crate::dsp::dtmf::Keying::default();
        while at + 1280 < s.len() {
            let digit =
                units::Digit::from_event(u8::try_from(at / 1280 % 16).expect("small")).expect("below 16");
            at += crate::dsp::dtmf::Generator::new(digit, &keying).fill(&mut s[at..]);
        }
        assert_eq!(heard(Country::Us, &s[..at]), []);
    }
}
