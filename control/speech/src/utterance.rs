//! Where an utterance begins and ends: the machine between a caller's voice and a recogniser (VoiceXML 2.0 §6.3.2).
//!
//! ```text
//! Waiting ──voice──▶ Speaking ──silence──▶ Pausing ──completetimeout or incompletetimeout──▶ Over
//!                        ▲                    │
//!                        └───────voice────────┘          Speaking for maxspeechtimeout ──▶ Over
//! ```
//!
//! Time is counted in samples of 8 kHz, so it needs no clock. Waiting for the first sound is not bounded here: that is
//! the interpreter's no-input timer.

use hw::dsp::vad::{self, Edge};
use std::collections::VecDeque;
use std::time::Duration;

/// Times of one utterance, ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Silence that ends what is complete and cannot go on (`completetimeout`).
    pub complete_ms: u32,
    /// Silence that ends anything else (`incompletetimeout`).
    pub incomplete_ms: u32,
    /// Longest utterance (`maxspeechtimeout`).
    pub speech_ms_max: u32,
    /// Heard before voice was certain and given to the recogniser as well.
    pub before_ms: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { complete_ms: 500, incomplete_ms: 1_000, speech_ms_max: 30_000, before_ms: 400 }
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody began to speak.
    Started,
    /// For the recogniser.
    Audio(Vec<i16>),
    /// A pause: ask the recogniser what it understood, and tell by [`Utterance::understood`].
    Guess,
    /// It is over: the last guess stands.
    Ended,
    /// It was too long: over as well.
    TooMuch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Speaking { since: u64 },
    Pausing { since: u64, silent: u64, complete: Option<bool> },
    Over,
}

/// See the module.
#[derive(Debug)]
pub struct Utterance {
    limits: Limits,
    voice: vad::Detector,
    state: State,
    /// Samples heard in all.
    heard: u64,
    before: VecDeque<i16>,
    out: VecDeque<Event>,
}

/// Silence after which a guess is asked for, ms: shorter than any pause that ends an utterance.
const PAUSE_MS: u32 = 200;

impl Utterance {
    /// An utterance that has not begun.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let voice = vad::Detector::new(&vad::Limits { hangover_ms: PAUSE_MS, ..vad::Limits::default() });
        let (before, out) = (VecDeque::new(), VecDeque::new());
        Self { limits, voice, state: State::Waiting, heard: 0, before, out }
    }

    /// Takes samples of 8 kHz; at most a frame of 20 ms at a time keeps the times exact.
    pub fn hear(&mut self, samples: &[i16]) {
        if self.state == State::Over {
            return;
        }
        let mut edges = VecDeque::new();
        self.voice.feed(samples, &mut |event| edges.push_back(event));
        self.heard += u64::try_from(samples.len()).expect("a frame");
        if self.state == State::Waiting {
            self.before.extend(samples);
            let keep = usize::try_from(self.limits.before_ms).unwrap_or(0) * 8;
            let gone = self.before.len().saturating_sub(keep);
            self.before.drain(..gone);
        } else {
            self.out.push_back(Event::Audio(samples.to_vec()));
        }
        for edge in edges {
            self.edge(edge.edge, edge.at);
        }
        self.time();
    }

    fn edge(&mut self, edge: Edge, at: u64) {
        self.state = match (self.state, edge) {
            (State::Waiting, Edge::Voice) => {
                self.out.push_back(Event::Started);
                let before = std::mem::take(&mut self.before);
                self.out.push_back(Event::Audio(before.into()));
                State::Speaking { since: at }
            }
            (State::Pausing { since, .. }, Edge::Voice) => State::Speaking { since },
            (State::Speaking { since }, Edge::Silence) => {
                self.out.push_back(Event::Guess);
                State::Pausing { since, silent: at, complete: None }
            }
            (state, _) => state,
        };
    }

    fn time(&mut self) {
        let ms = |since: u64| (self.heard.saturating_sub(since)) / 8;
        let over = match self.state {
            State::Speaking { since } if ms(since) >= u64::from(self.limits.speech_ms_max) => Event::TooMuch,
            State::Pausing { silent, complete: Some(complete), .. } => {
                let needed = if complete { self.limits.complete_ms } else { self.limits.incomplete_ms };
                if ms(silent) < u64::from(needed) {
                    return;
                }
                Event::Ended
            }
            _ => return,
        };
        self.out.push_back(over);
        self.state = State::Over;
    }

    /// What the recogniser understood is a sentence that nothing can follow, or it is not. Of no consequence if the
    /// caller has gone on meanwhile: then another guess is asked for.
    pub fn understood(&mut self, complete_sentence: bool) {
        if let State::Pausing { complete, .. } = &mut self.state {
            *complete = Some(complete_sentence);
        }
        self.time();
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<Event> {
        self.out.pop_front()
    }

    /// Nobody speaks at the moment: a guess that is here stands.
    #[must_use]
    pub fn pausing(&self) -> bool {
        matches!(self.state, State::Pausing { .. } | State::Over)
    }
}

/// `"1.5s"`, `"300ms"` (VoiceXML 2.0 §6.5), in ms.
#[must_use]
pub fn time_ms(text: &str) -> Option<u32> {
    let text = text.trim();
    let (number, scale) = match text.strip_suffix("ms") {
        Some(number) => (number, 1.0),
        None => (text.strip_suffix('s')?, 1_000.0),
    };
    let ms = number.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0)? * scale;
    u32::try_from(Duration::from_secs_f64((ms / 1_000.0).min(86_400.0)).as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tone and silence in turns, ms of each; when what happened (ms), audio left out.
    fn check(turns: &[u32], complete: bool, limits: Limits) -> Vec<(u64, Event)> {
        let mut utterance = Utterance::new(limits);
        let (mut told, mut n) = (Vec::new(), 0_u32);
        for (i, ms) in turns.iter().enumerate() {
            for _ in 0..ms / 20 {
                let frame: Vec<i16> = (0..160)
                    .map(|k: u16| {
                        let x = (f32::from(k) * 0.5).sin() * 4_000.0;
                        if i % 2 == 1 { hw::dsp::math::sample(x) } else { 0 }
                    })
                    .collect();
                utterance.hear(&frame);
                n += 20;
                while let Some(event) = utterance.poll() {
                    if event == Event::Guess {
                        utterance.understood(complete);
                    }
                    if !matches!(event, Event::Audio(_)) {
                        told.push((u64::from(n), event));
                    }
                }
            }
        }
        told
    }

    fn names(told: &[(u64, Event)]) -> Vec<Event> {
        told.iter().map(|(_, e)| e.clone()).collect()
    }

    #[test]
    fn vxml20_6_3_2_completetimeout_ends_what_is_complete() {
        let told = check(&[500, 600, 3_000], true, Limits::default());
        assert_eq!(names(&told), [Event::Started, Event::Guess, Event::Ended]);
        assert!((540..=600).contains(&told[0].0), "{told:?}");
        assert!((1_300..=1_340).contains(&told[1].0), "{told:?}");
        assert!((1_600..=1_640).contains(&told[2].0), "{told:?}");
    }

    #[test]
    fn vxml20_6_3_2_incompletetimeout_ends_what_could_go_on() {
        let told = check(&[500, 600, 3_000], false, Limits::default());
        assert!((2_100..=2_140).contains(&told[2].0), "{told:?}");
    }

    #[test]
    fn a_pause_shorter_than_the_timeout_ends_nothing() {
        let told = check(&[500, 400, 400, 400, 3_000], false, Limits::default());
        assert_eq!(names(&told), [Event::Started, Event::Guess, Event::Guess, Event::Ended]);
        let told = check(&[500, 400, 700, 400, 3_000], true, Limits::default());
        assert_eq!(names(&told), [Event::Started, Event::Guess, Event::Ended], "a new one would begin");
    }

    #[test]
    fn vxml20_6_3_2_maxspeechtimeout_ends_what_does_not_end() {
        let limits = Limits { speech_ms_max: 2_000, ..Limits::default() };
        let told = check(&[500, 10_000], true, limits);
        assert_eq!(names(&told), [Event::Started, Event::TooMuch]);
        assert!((2_460..=2_560).contains(&told[1].0), "{told:?}");
    }

    #[test]
    fn silence_is_nothing_and_what_came_before_certainty_is_heard_too() {
        assert_eq!(check(&[60_000], true, Limits::default()), []);
        let mut utterance = Utterance::new(Limits::default());
        let mut audio = 0;
        for n in 0..100 {
            utterance.hear(&[if n >= 50 { 3_000 } else { 0 }; 160]);
            while let Some(event) = utterance.poll() {
                if let Event::Audio(samples) = event {
                    audio += samples.len();
                }
            }
        }
        // 400 ms before certainty and all after it.
        assert!((50 * 160 + 2_000..=50 * 160 + 3_200).contains(&audio), "{audio}");
    }

    #[test]
    fn vxml20_6_5_times() {
        assert_eq!((time_ms("1.5s"), time_ms("300ms"), time_ms("x")), (Some(1_500), Some(300), None));
        assert_eq!(time_ms("1e300s"), Some(86_400_000));
    }

    #[test]
    fn a_guess_that_does_not_come_keeps_it_open() {
        let mut utterance = Utterance::new(Limits::default());
        let mut ended = false;
        for n in 0..500 {
            utterance.hear(&[if n < 20 { 3_000 } else { 0 }; 160]);
            while let Some(event) = utterance.poll() {
                ended |= event == Event::Ended;
            }
        }
        assert!(!ended);
        utterance.understood(true);
        assert_eq!(utterance.poll(), Some(Event::Ended));
    }
}
