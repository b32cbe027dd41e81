//! Who answered: a person, a machine, a fax, or nobody; and when a machine's greeting is over.
//!
//! A person says a short word and waits. A machine speaks on. So: speech that ends within [`Limits::greeting_max_ms`]
//! and is followed by [`Limits::pause_min_ms`] of silence is a person; speech that goes on longer, or more than
//! [`Limits::words_max`] words, is a machine; a beep before any verdict is a machine too. After a machine the end of
//! its greeting is reported: at the beep, or after [`Limits::greeting_silence_ms`] of silence.

use super::beep;
use super::cadence::{Country, Signal};
use super::progress;
use super::vad;

/// Bounds of the decision, all in ms but one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// No speech for so long after the answer: silence.
    pub silence_max_ms: u32,
    /// A person's greeting is at most so long.
    pub greeting_max_ms: u32,
    /// Silence after a greeting that makes it a person's.
    pub pause_min_ms: u32,
    /// More words than this are a machine's.
    pub words_max: u32,
    /// Latest verdict; what is then unclear counts as a person.
    pub total_max_ms: u32,
    /// Silence that ends a machine's greeting.
    pub greeting_silence_ms: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            silence_max_ms: 4000,
            greeting_max_ms: 1700,
            pause_min_ms: 700,
            words_max: 4,
            total_max_ms: 6000,
            greeting_silence_ms: 1800,
        }
    }
}

/// Who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// A person.
    Human,
    /// An answering machine or a voice mailbox.
    Machine,
    /// A fax machine or a modem.
    Fax,
    /// Nobody spoke.
    Silence,
}

impl Answer {
    /// Its word in outputs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Answer::Human => "human",
            Answer::Machine => "machine",
            Answer::Fax => "fax",
            Answer::Silence => "silence",
        }
    }
}

/// What was found out; `at` in samples since the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Who it is; comes once.
    Answered {
        /// Who.
        answer: Answer,
        /// When it was certain.
        at: u64,
    },
    /// A machine's greeting is over: speak now. Comes once, after [`Answer::Machine`].
    GreetingEnd {
        /// When.
        at: u64,
        /// By a beep, or by silence.
        beep: bool,
    },
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Detector {
    limits: Limits,
    voice: vad::Detector,
    beep: beep::Detector,
    tones: progress::Detector,
    samples: u64,
    /// Where speech began first, where the present or the latest stretch of it began and ended.
    first: Option<u64>,
    ended: u64,
    words: u32,
    answer: Option<Answer>,
    /// A beep that ended here.
    beeped: Option<u64>,
    fax: bool,
    over: bool,
}

impl Default for Detector {
    fn default() -> Self {
        Self::new(&Limits::default())
    }
}

impl Detector {
    /// With these bounds, from the answer on.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        // Words end after 120 ms without voice.
        let voice = vad::Limits { hangover_ms: 120, ..vad::Limits::default() };
        Self {
            limits: *limits,
            voice: vad::Detector::new(&voice),
            beep: beep::Detector::default(),
            tones: progress::Detector::new(Country::Us, &progress::Limits::default()),
            samples: 0,
            first: None,
            ended: 0,
            words: 0,
            answer: None,
            beeped: None,
            fax: false,
            over: false,
        }
    }

    /// The verdict so far.
    #[must_use]
    pub fn answer(&self) -> Option<Answer> {
        self.answer
    }

    /// True when nothing more will come.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.over
    }

    /// Takes samples; calls `emit` for what was found out. Costs about four times a DTMF detector until finished, and
    /// nothing afterwards.
    pub fn feed(&mut self, samples: &[i16], emit: &mut impl FnMut(Event)) {
        // In pieces of 10 ms, so that the verdict does not depend on how the stream is cut.
        let mut rest = samples;
        while !rest.is_empty() && !self.over {
            let left = 80 - usize::try_from(self.samples % 80).expect("less than a frame");
            let (now, later) = rest.split_at(left.min(rest.len()));
            rest = later;
            self.samples += u64::try_from(now.len()).expect("a piece of a frame");
            self.listen(now);
            if self.samples.is_multiple_of(80) {
                self.decide(emit);
            }
        }
    }

    fn listen(&mut self, now: &[i16]) {
        let (first, ended, words) = (&mut self.first, &mut self.ended, &mut self.words);
        self.voice.feed(now, &mut |e| match e.edge {
            vad::Edge::Voice => {
                first.get_or_insert(e.at);
                *words += 1;
            }
            vad::Edge::Silence => *ended = e.at,
        });
        let beeped = &mut self.beeped;
        // A beep at a frequency of fax is left to the tone detector.
        let fax_like = |hz: f32| (hz - 1100.0).abs() < 40.0 || (hz - 2100.0).abs() < 30.0;
        self.beep.feed(now, &mut |b| {
            if !fax_like(b.hz) {
                *beeped = Some(b.end);
            }
        });
        let fax = &mut self.fax;
        self.tones.feed(now, &mut |e| *fax |= matches!(e.signal, Signal::FaxAnswer | Signal::FaxCalling));
    }

    fn decide(&mut self, emit: &mut impl FnMut(Event)) {
        if self.answer == Some(Answer::Machine) {
            self.await_end(emit);
            return;
        }
        if let Some(answer) = self.verdict() {
            self.answer = Some(answer);
            self.over = answer != Answer::Machine;
            emit(Event::Answered { answer, at: self.samples });
            if answer == Answer::Machine {
                self.await_end(emit);
            }
        }
    }

    fn verdict(&self) -> Option<Answer> {
        let now = milliseconds(self.samples);
        if self.fax {
            return Some(Answer::Fax);
        }
        if self.beeped.is_some() && !self.steady_start() {
            return Some(Answer::Machine);
        }
        let Some(first) = self.first.map(milliseconds) else {
            return (now >= self.limits.silence_max_ms).then_some(Answer::Silence);
        };
        if self.beep.beeping() {
            return None;
        }
        let ended = milliseconds(self.ended);
        let silent = !self.voice.speaking();
        let spoken = if silent { ended.saturating_sub(first) } else { now.saturating_sub(first) };
        if spoken > self.limits.greeting_max_ms || self.words > self.limits.words_max {
            Some(Answer::Machine)
        } else if silent && now.saturating_sub(ended) >= self.limits.pause_min_ms {
            Some(Answer::Human)
        } else {
            (now >= self.limits.total_max_ms).then_some(Answer::Human)
        }
    }

    /// A sound that was a pure tone from its beginning may become a fax: wait for that.
    fn steady_start(&self) -> bool {
        self.beep.beeping() && self.words <= 1
    }

    fn await_end(&mut self, emit: &mut impl FnMut(Event)) {
        let quiet = milliseconds(self.samples).saturating_sub(milliseconds(self.ended));
        let silent = !self.voice.speaking() && quiet >= self.limits.greeting_silence_ms;
        if let Some(at) = self.beeped {
            self.over = true;
            emit(Event::GreetingEnd { at, beep: true });
        } else if silent && !self.beep.beeping() {
            self.over = true;
            emit(Event::GreetingEnd { at: self.samples, beep: false });
        }
    }
}

fn milliseconds(samples: u64) -> u32 {
    u32::try_from(samples / 8).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::cadence::Player;
    use crate::dsp::noise::Comfort;
    use crate::dsp::tone::{Chord, Sine};
    use units::Seed;

    /// Ten seconds of quiet line with "speech" (noise in syllables) in these stretches, ms.
    fn line(speech: &[(usize, usize)]) -> Vec<i16> {
        let mut s = vec![0i16; 80_000];
        Comfort::new(Seed(1), -58.0).fill(&mut s);
        let mut voice = Comfort::new(Seed(2), -18.0);
        for &(from, to) in speech {
            for syllable in (from..to).step_by(180) {
                voice.fill(&mut s[syllable * 8..(syllable + 120).min(to) * 8]);
            }
        }
        s
    }

    fn heard(s: &[i16]) -> Vec<Event> {
        let mut d = Detector::default();
        let mut all = Vec::new();
        for part in s.chunks(57) {
            d.feed(part, &mut |e| all.push(e));
        }
        all
    }

    fn who(s: &[i16]) -> Option<Answer> {
        heard(s).first().map(|e| match e {
            Event::Answered { answer, .. } => *answer,
            Event::GreetingEnd { .. } => panic!("an end before a beginning"),
        })
    }

    #[test]
    fn a_short_word_is_a_person_and_a_long_greeting_a_machine() {
        assert_eq!(who(&line(&[(500, 1000)])), Some(Answer::Human));
        assert_eq!(who(&line(&[(300, 700), (900, 1400)])), Some(Answer::Human));
        assert_eq!(who(&line(&[(300, 5000)])), Some(Answer::Machine));
        assert_eq!(who(&line(&[])), Some(Answer::Silence));
    }

    #[test]
    fn the_end_of_a_greeting_is_its_beep_or_silence() {
        let mut s = line(&[(300, 4000)]);
        Chord::new(&[Sine { hz: 1000.0, dbm0: -12.0 }]).fill(&mut s[36_000..38_400]);
        let e = heard(&s);
        assert_eq!(e.len(), 2, "{e:?}");
        let Event::GreetingEnd { at, beep } = e[1] else { panic!("{e:?}") };
        assert!(beep && at.abs_diff(38_400) <= 160, "{e:?}");
        let e = heard(&line(&[(300, 4000)]));
        let Some(&Event::GreetingEnd { at, beep: false }) = e.get(1) else { panic!("{e:?}") };
        assert!((5700..6200).contains(&(at / 8)), "{e:?}");
    }

    #[test]
    fn a_fax_is_a_fax() {
        for signal in [Signal::FaxAnswer, Signal::FaxCalling] {
            let mut s = line(&[]);
            Player::new(Country::Us, signal).fill(&mut s[4000..]);
            assert_eq!(who(&s), Some(Answer::Fax), "{signal:?}");
        }
    }
}
