//! The DTMF detector: ITU-T Q.24 by measuring, not by guessing.
//!
//! Every 5 ms the [`analysis`](super::analysis) gives the amplitudes of the eight tones in a window of 15 ms. A *run*
//! follows one pair of tones:
//!
//! * its **duration** is the sum of the amplitudes of the windows over the amplitude at full strength (the windows sum
//!   to a constant), so 23 ms and 40 ms are told apart to about a millisecond wherever the windows fall;
//! * its **frequencies** are the phase gained from window to window, so 1.5 % and 3.5 % are told apart although the
//!   window itself is 133 Hz wide;
//! * its **purity** is the share of the power that the two tones explain (a dial tone that was there before counts as
//!   explained), which speech does not reach for long;
//! * a **gap** is the amplitude missing since the last window at full strength: up to 28 ms are bridged (a lost packet
//!   is 20 ms), a pause of 40 ms is not.
//!
//! Fed slices of any length; no allocation; nothing depends on how the stream was cut.

use super::analysis::{Analysis, Complex, HOP, Window, advance, droop};
use super::digit_at;
use crate::dsp::level;
use units::Digit;

/// Beginning or end of a digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// The digit is certain; its tone goes on or has just ended.
    Start,
    /// The digit is over.
    End,
}

/// What the detector heard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// Which digit.
    pub digit: Digit,
    /// Its beginning or its end.
    pub edge: Edge,
    /// Where that was: samples since the detector began, within about 2 ms. It lies in the past: a start is certain
    /// about 40 ms later, an end 28 ms later.
    pub at: u64,
    /// Level of both tones together, dBm0.
    pub level_dbm0: f32,
    /// High tone minus low tone, dB.
    pub twist_db: f32,
}

/// The bounds of the detector; the defaults are ITU-T Q.24's AT&T column with the bounds put between "operate" and
/// "do not operate".
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Weakest tone taken, dBm0.
    pub weakest_dbm0: f32,
    /// Weakest digit taken, both tones together, dBm0: in weak speech pairs of harmonics stand alone for longer.
    pub weakest_digit_dbm0: f32,
    /// Largest frequency error of a tone taken, as a share.
    pub frequency_error_max: f32,
    /// Largest difference of the errors of the two tones taken. Two harmonics of a voice miss every pair of Q.23 by at
    /// least 3.7 % (4/3 against 941 and 1209 Hz) unless both are higher than the sixth; two tones 1.5 % off differ by
    /// 3 % at most.
    pub skew_max: f32,
    /// High tone over low tone, dB.
    pub twist_max_db: f32,
    /// Low tone over high tone, dB.
    pub reverse_twist_max_db: f32,
    /// Shortest tone taken, ms.
    pub tone_min_ms: f32,
    /// Longest gap bridged, ms.
    pub gap_max_ms: f32,
    /// Share of the power that the two tones must explain, over the whole digit.
    pub purity_min: f32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            weakest_dbm0: -42.0,
            weakest_digit_dbm0: -33.0,
            frequency_error_max: 0.0205,
            skew_max: 0.033,
            twist_max_db: 8.0,
            reverse_twist_max_db: 12.0,
            tone_min_ms: 31.5,
            gap_max_ms: 28.0,
            purity_min: 0.9,
        }
    }
}

/// Limits in the units of the windows.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    weakest_square: f32,
    weakest_digit: f32,
    frequency_error_max: f32,
    skew_max: f32,
    twist_max: f32,
    twist_min: f32,
    tone_min: f32,
    gap_max: f32,
    purity_min: f32,
}

impl From<&Limits> for Bounds {
    fn from(l: &Limits) -> Self {
        Self {
            weakest_square: level::peak(l.weakest_dbm0).powi(2),
            weakest_digit: level::peak(l.weakest_digit_dbm0).powi(2),
            frequency_error_max: l.frequency_error_max,
            skew_max: l.skew_max,
            twist_max: 10f32.powf(l.twist_max_db / 10.0),
            twist_min: 10f32.powf(-l.reverse_twist_max_db / 10.0),
            tone_min: l.tone_min_ms / HOP_MS,
            gap_max: l.gap_max_ms / HOP_MS,
            purity_min: l.purity_min,
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Detector {
    analysis: Analysis,
    before: Window,
    run: Option<Run>,
    /// Mean of the dial tone's power while no run is on.
    dial: f32,
    /// Windows closed.
    windows: u64,
    bounds: Bounds,
}

impl Default for Detector {
    fn default() -> Self {
        Self::new(&Limits::default())
    }
}

impl Detector {
    /// With these bounds.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let bounds = Bounds::from(limits);
        Self {
            analysis: Analysis::new(bounds.weakest_square),
            before: Window::default(),
            run: None,
            dial: 0.0,
            windows: 0,
            bounds,
        }
    }

    /// Takes the next samples; calls `emit` for each edge that became certain.
    pub fn feed(&mut self, samples: &[i16], emit: &mut impl FnMut(Event)) {
        let mut rest = samples;
        while !rest.is_empty() {
            let (window, left) = self.analysis.feed(rest);
            rest = left;
            if let Some(window) = window {
                self.windows += 1;
                self.step(&window, emit);
                self.before = window;
            }
        }
    }

    /// Samples that never came: time goes on in silence, but a digit that was on before and is on after has been on
    /// between. Better than feeding what concealment invents.
    pub fn lost(&mut self, count: usize, emit: &mut impl FnMut(Event)) {
        const NOTHING: [i16; 160] = [0; 160];
        let mut left = count;
        while left > 0 {
            let now = left.min(NOTHING.len());
            if let Some(run) = &mut self.run {
                let more = u8::try_from(now.div_ceil(HOP)).expect("at most four");
                run.lost = (run.lost + f32::from(more)).min(LOST_MAX);
            }
            self.feed(&NOTHING[..now], emit);
            left -= now;
        }
    }

    /// True while a certain digit is on: its tone must not be passed on, and barge-in holds.
    #[must_use]
    pub fn digit(&self) -> Option<Digit> {
        self.run.as_ref().filter(|r| r.certain).map(Run::digit)
    }

    fn step(&mut self, w: &Window, emit: &mut impl FnMut(Event)) {
        let middle = self.middle();
        let seen = self.look(w);
        if let Some(mut run) = self.run.take() {
            if run.gives_way_to(seen, w) {
                run.finish(middle, emit);
            } else {
                run.follow(w, &self.before, self.dial);
                if !run.certain && run.is_certain(&self.bounds) {
                    run.certain = true;
                    emit(run.event(Edge::Start, middle));
                }
                if run.is_over(&self.bounds) {
                    run.finish(middle, emit);
                } else if seen == Some(run.pair) && run.is_spoilt() {
                    // What was concealed or hit by a click must not hide the rest of the digit: begin again here.
                    self.run = Some(Run::new(run.pair, w, &self.before));
                    return;
                } else {
                    self.run = Some(run);
                    return;
                }
            }
        }
        match seen {
            Some(pair) => self.run = Some(Run::new(pair, w, &self.before)),
            None => self.dial += (w.dial_power().min(w.power) - self.dial) * DIAL_MEAN,
        }
    }

    /// Samples from the beginning to the latest window's middle, plus half a hop: up to where amplitudes are summed.
    fn middle(&self) -> u64 {
        let hop = u64::try_from(HOP).expect("small");
        (self.windows * hop).saturating_sub(hop)
    }

    /// The pair of tones that dominates this window, if one does.
    fn look(&self, w: &Window) -> Option<Pair> {
        let low = strongest(w, 0);
        let high = strongest(w, 4);
        let (l, h) = (w.tone(low).square(), w.tone(high).square());
        if l.min(h) < self.bounds.weakest_square * 0.5 {
            return None;
        }
        let explained = (l + h) / 2.0 + explained_dial(w, self.dial);
        (explained >= LOOK_PURITY * w.power).then_some(Pair { low, high })
    }
}

/// Indices of a low (0..4) and a high (4..8) tone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair {
    low: usize,
    high: usize,
}

/// What is known of one tone of a run.
#[derive(Clone, Copy, Debug, Default)]
struct Track {
    /// Sum of amplitudes.
    sum: f32,
    /// Amplitude at full strength: the greatest.
    full: f32,
    /// Sum of the squares of the amplitudes of the windows that are whole.
    squares: f32,
    /// Sum of phase advances, weighted by power.
    advance: Complex,
    /// The weight of that sum.
    weight: f32,
    /// The latest advance was not like those before: the tone did not go on as it was.
    jumped: bool,
}

impl Track {
    fn hz(&self) -> f32 {
        self.advance.im.atan2(self.advance.re) * (WINDOWS_PER_SECOND / (2.0 * std::f32::consts::PI))
    }

    /// How steady the phase is: 1 for a pure tone.
    fn coherence(&self) -> f32 {
        if self.weight > 0.0 { self.advance.magnitude() / self.weight } else { 0.0 }
    }

    fn add_advance(&mut self, tone: usize, now: Complex, before: Complex) {
        let a = advance(tone, now, before);
        let along = a.re * self.advance.re + a.im * self.advance.im;
        self.jumped = along < JUMP_COSINE * a.magnitude() * self.advance.magnitude();
        self.weight += a.magnitude();
        self.advance = self.advance.plus(a);
    }
}

/// One pair of tones followed over time.
#[derive(Clone, Copy, Debug)]
struct Run {
    pair: Pair,
    low: Track,
    high: Track,
    /// Windows at full strength that were nearly pure, and that were not.
    good: u16,
    bad: u16,
    /// Power of the windows that are whole, and what of it a dial tone explains.
    power: f32,
    dial: f32,
    /// Amplitude missing since the last window at full strength, in windows.
    gap: f32,
    /// How much of it may be because of lost packets.
    lost: f32,
    /// Gaps bridged, in windows.
    bridged: f32,
    /// Of those, what counts as tone.
    credit: f32,
    /// Impure windows in a row.
    spoilt: u8,
    certain: bool,
}

impl Run {
    fn new(pair: Pair, w: &Window, before: &Window) -> Self {
        let track = |tone| {
            let (now, was) = (w.tone(tone).magnitude(), before.tone(tone).magnitude());
            Track { sum: now + was.min(now), full: now, ..Track::default() }
        };
        Self {
            pair,
            low: track(pair.low),
            high: track(pair.high),
            good: 0,
            bad: 0,
            power: 0.0,
            dial: 0.0,
            gap: 0.0,
            lost: 0.0,
            bridged: 0.0,
            credit: 0.0,
            spoilt: 0,
            certain: false,
        }
    }

    fn digit(&self) -> Digit {
        digit_at(self.pair.low, self.pair.high - 4)
    }

    /// Another pair takes over when this one has not begun well, has faded, or is drowned.
    fn gives_way_to(&self, seen: Option<Pair>, w: &Window) -> bool {
        let Some(pair) = seen.filter(|&p| p != self.pair) else { return false };
        let drowned = w.tone(pair.low).magnitude() > 2.0 * self.low.full
            && w.tone(pair.high).magnitude() > 2.0 * self.high.full;
        self.good == 0 || self.gap > 0.8 || drowned
    }

    fn follow(&mut self, w: &Window, before: &Window, dial: f32) {
        let (l, h) = (w.tone(self.pair.low), w.tone(self.pair.high));
        let (al, ah) = (l.magnitude(), h.magnitude());
        let dial = explained_dial(w, dial);
        let (square_l, square_h) = (al * al / droop(self.low.hz()), ah * ah / droop(self.high.hz()));
        let pure = (square_l + square_h) / 2.0 + dial >= WINDOW_PURITY * w.power;
        if pure {
            self.low.full = self.low.full.max(al);
            self.high.full = self.high.full.max(ah);
        }
        let (rl, rh) = ((al / self.low.full).min(1.0), (ah / self.high.full).min(1.0));
        self.low.sum += rl * self.low.full;
        self.high.sum += rh * self.high.full;
        let least = rl.min(rh);
        if least < FULL_STRENGTH {
            self.gap += 1.0 - least;
            return;
        }
        self.bridged += self.gap;
        self.credit += self.gap.min(CREDIT_MAX + self.lost);
        if self.gap > 0.0 {
            (self.gap, self.lost) = (0.0, 0.0);
        }
        let whole = rl.max(rh) >= WHOLE;
        if whole {
            self.power += w.power;
            self.dial += dial;
            self.low.squares += al * al;
            self.high.squares += ah * ah;
        }
        self.spoilt = if pure { 0 } else { self.spoilt.saturating_add(1) };
        if pure {
            self.good = self.good.saturating_add(1);
            self.low.add_advance(self.pair.low, l, before.tone(self.pair.low));
            self.high.add_advance(self.pair.high, h, before.tone(self.pair.high));
        } else if whole {
            self.bad = self.bad.saturating_add(1);
        }
    }

    /// Share of the power that the tones explain, over the windows that are whole.
    fn purity(&self) -> f32 {
        let tones = self.low.squares / droop(self.low.hz()) + self.high.squares / droop(self.high.hz());
        (tones / 2.0 + self.dial) / self.power.max(1.0)
    }

    /// A digit that is not certain and cannot become so, because its beginning was not pure.
    fn is_spoilt(&self) -> bool {
        !self.certain && (self.spoilt >= SPOILT_MAX || self.low.jumped || self.high.jumped)
    }

    /// Windows' worth of tone.
    fn duration(&self) -> f32 {
        (self.low.sum / self.low.full + self.high.sum / self.high.full) / 2.0
    }

    fn is_certain(&self, b: &Bounds) -> bool {
        self.duration() + self.credit >= b.tone_min
            && self.good >= GOOD_MIN
            && self.bad.saturating_mul(GOOD_PER_BAD) <= self.good
            && self.has_levels(b)
            && self.has_frequencies(b)
            && self.purity() >= b.purity_min
    }

    fn has_levels(&self, b: &Bounds) -> bool {
        let (l, h) = (self.low.full * self.low.full, self.high.full * self.high.full);
        // In the tail of a loud vowel the higher of two harmonics is the stronger: weak digits get no margin there.
        let weak = l + h < b.weakest_digit * WEAK_RANGE;
        let twist_max = if weak { b.twist_max.min(WEAK_TWIST_MAX) } else { b.twist_max };
        l.min(h) >= b.weakest_square && l + h >= b.weakest_digit && h <= l * twist_max && h >= l * b.twist_min
    }

    fn has_frequencies(&self, b: &Bounds) -> bool {
        let low = self.low.hz() / HZ[self.pair.low];
        let high = self.high.hz() / HZ[self.pair.high];
        self.low.coherence() >= COHERENCE_MIN
            && self.high.coherence() >= COHERENCE_MIN
            && low.abs().max(high.abs()) <= b.frequency_error_max
            && (low - high).abs() <= b.skew_max
    }

    fn is_over(&self, b: &Bounds) -> bool {
        self.gap >= b.gap_max + self.lost || (!self.certain && self.bad > self.good + BAD_MAX)
    }

    fn finish(&self, middle: u64, emit: &mut impl FnMut(Event)) {
        if self.certain {
            emit(self.event(Edge::End, middle));
        }
    }

    fn event(&self, edge: Edge, middle: u64) -> Event {
        let back = match edge {
            Edge::Start => self.duration() + self.bridged + self.gap,
            Edge::End => self.gap,
        };
        let low = self.low.full * self.low.full / droop(self.low.hz());
        let high = self.high.full * self.high.full / droop(self.high.hz());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a run's samples, not negative"
        )]
        let back = (back * HOP_SAMPLES) as u64;
        Event {
            digit: self.digit(),
            edge,
            at: middle.saturating_sub(back),
            level_dbm0: level::dbm0((low + high) / 2.0),
            twist_db: 10.0 * (high / low).log10(),
        }
    }
}

/// The strongest of the four tones from `first`.
fn strongest(w: &Window, first: usize) -> usize {
    let mut best = first;
    for tone in first + 1..first + 4 {
        if w.tone(tone).square() > w.tone(best).square() {
            best = tone;
        }
    }
    best
}

/// A dial tone counts as explained only as far as it was there before.
fn explained_dial(w: &Window, dial: f32) -> f32 {
    w.dial_power().min(dial * 2.0)
}

const HZ: [f32; 8] = [697.0, 770.0, 852.0, 941.0, 1209.0, 1336.0, 1477.0, 1633.0];
const HOP_MS: f32 = 5.0;
const HOP_SAMPLES: f32 = 40.0;
const WINDOWS_PER_SECOND: f32 = 200.0;
/// Purity of the first window of a run: it may be half filled.
const LOOK_PURITY: f32 = 0.55;
/// Share of the full amplitude from which a window counts as whole: an echo of -10 dB may take it down to 0.68.
const FULL_STRENGTH: f32 = 0.6;
/// A hole of 10 ms (Q.24) counts as tone, in windows, with a margin.
const CREDIT_MAX: f32 = 2.4;
/// Share of the full amplitude of either tone from which no edge or hole can be in the window (those weaken both; an
/// echo may weaken one).
const WHOLE: f32 = 0.9;
/// Purity of a single window.
const WINDOW_PURITY: f32 = 0.75;
const GOOD_MIN: u16 = 3;
/// An impulse may spoil one window for each of these.
const GOOD_PER_BAD: u16 = 2;
const BAD_MAX: u16 = 4;
/// Impure windows in a row after which a run begins again; a click spoils three.
const SPOILT_MAX: u8 = 2;
/// Digits within 7 dB of the weakest are weak; their twist is at most 4.5 dB (Q.24 wants 4).
const WEAK_RANGE: f32 = 5.0;
const WEAK_TWIST_MAX: f32 = 2.82;
/// Longest loss bridged: two packets of 20 ms, in windows.
const LOST_MAX: f32 = 8.0;
/// Cosine of the phase by which an advance may miss the mean of those before (noise of S/N 12 dB: 0.98).
const JUMP_COSINE: f32 = 0.94;
const COHERENCE_MIN: f32 = 0.975;
/// Weight of a new window in the mean of the dial tone (about 50 ms).
const DIAL_MEAN: f32 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::dtmf::{Generator, Keying};
    use units::Samples;

    fn heard(samples: &[i16], slice: usize) -> Vec<Event> {
        let mut events = Vec::new();
        let mut d = Detector::default();
        for part in samples.chunks(slice) {
            d.feed(part, &mut |e| events.push(e));
        }
        events
    }

    fn tape(digits: &str, keying: &Keying, lead: usize) -> Vec<i16> {
        let mut s = vec![0i16; lead];
        for c in digits.chars() {
            let mut g = Generator::new(Digit::try_from(c).expect("a digit"), keying);
            let from = s.len();
            s.resize(from + usize::try_from(keying.tone.0 + keying.pause.0).expect("small"), 0);
            g.fill(&mut s[from..]);
        }
        s.resize(s.len() + 800, 0);
        s
    }

    fn digits(events: &[Event]) -> String {
        events.iter().filter(|e| e.edge == Edge::Start).map(|e| e.digit.as_char()).collect()
    }

    #[test]
    fn all_sixteen_at_93_ms_in_slices_of_any_length() {
        let keying = Keying { tone: Samples::from_ms(50), pause: Samples::from_ms(43), ..Keying::default() };
        let s = tape("1234567890*#ABCD", &keying, 123);
        let whole = heard(&s, s.len());
        assert_eq!(digits(&whole), "1234567890*#ABCD");
        for slice in [1, 8, 40, 80, 160, 177] {
            assert_eq!(heard(&s, slice), whole, "slice {slice}");
        }
    }

    #[test]
    fn edges_level_and_twist_are_measured() {
        let keying = Keying { low_dbm0: -16.0, high_dbm0: -13.0, ..Keying::default() };
        for lead in (800..840).step_by(7) {
            let e = heard(&tape("5", &keying, lead), 160);
            assert_eq!(e.len(), 2);
            let at = u64::try_from(lead).expect("small");
            assert!(e[0].at.abs_diff(at) <= 24, "start {} for {lead}", e[0].at);
            assert!(e[1].at.abs_diff(at + 640) <= 24, "end {} for {lead}", e[1].at);
            assert!((e[0].level_dbm0 + 11.24).abs() < 0.5 && (e[0].twist_db - 3.0).abs() < 0.5, "{e:?}");
        }
    }

    #[test]
    fn q24_durations_23_ms_refused_40_ms_taken() {
        for (ms, want) in [(23, ""), (40, "8")] {
            let keying = Keying { tone: Samples::from_ms(ms), ..Keying::default() };
            for lead in 400..440 {
                assert_eq!(digits(&heard(&tape("8", &keying, lead), 160)), want, "{ms} ms, lead {lead}");
            }
        }
    }

    #[test]
    fn known_losses_split_no_digit_and_their_lack_does() {
        // 120 ms of a digit, 40 ms of it lost in the middle.
        let keying = Keying { tone: Samples::from_ms(120), ..Keying::default() };
        let mut s = tape("6", &keying, 800);
        s[1120..1440].fill(0);
        let mut told = String::new();
        let mut d = Detector::default();
        let mut hear = |e: Event| {
            if e.edge == Edge::Start {
                told.push(e.digit.as_char());
            }
        };
        d.feed(&s[..1120], &mut hear);
        d.lost(320, &mut hear);
        d.feed(&s[1440..], &mut hear);
        assert_eq!((told.as_str(), digits(&heard(&s, 160)).as_str()), ("6", "66"));
    }

    #[test]
    fn the_state_is_small() {
        assert!(size_of::<Detector>() <= 640, "{}", size_of::<Detector>());
    }
}
