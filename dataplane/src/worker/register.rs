//! Registers at work: tones and digits of slots that have no bearer, a millisecond at a time. A fixed number of them is
//! made at the start and goes round; nothing here allocates.

use super::trunk::OCTETS;
use crate::register::{Order, Pulse, Signals};
use crate::report::SpanEvent;
use hw::dsp::cadence::{self, Country};
use hw::dsp::dtmf::{self, Edge, Keying};
use hw::dsp::g711::Law;
use hw::dsp::mf;
use hw::tdm::prbs::{self, Pattern};
use units::{Digit, Private, Samples};

/// One register.
pub(super) struct Register {
    /// The slot's place in the trunk.
    index: usize,
    span: u16,
    slot: u8,
    law: Law,
    work: Work,
}

enum Work {
    Free,
    Dtmf(dtmf::Detector),
    Mf(mf::Detector),
    Say { signals: (Pulse, Signals), at: usize, voice: Option<Voice> },
    Busy(cadence::Player),
    Bert { sends: prbs::Generator, hears: prbs::Counter, ms: u16 },
}

enum Voice {
    Dtmf(dtmf::Generator),
    Mf(mf::Generator),
}

/// A test pattern's result is told so often, ms.
const BERT_MS: u16 = 1_000;
/// A receiver that has lost count of digits would rather have 60 ms of each (Q.24: 40 ms are enough).
const KEYING_MS: u32 = 70;

impl Register {
    fn free() -> Self {
        Self { index: 0, span: 0, slot: 0, law: Law::Mu, work: Work::Free }
    }

    fn is_free(&self) -> bool {
        matches!(self.work, Work::Free)
    }

    /// What its slot sends in this millisecond, over `out`.
    fn speak(&mut self, out: &mut [u8; OCTETS], told: &mut impl FnMut(u16, SpanEvent)) {
        let mut samples = [0; OCTETS];
        match &mut self.work {
            Work::Free => return,
            Work::Dtmf(_) | Work::Mf(_) => {}
            Work::Busy(player) => player.fill(&mut samples),
            Work::Bert { sends, .. } => {
                out.iter_mut().for_each(|o| *o = sends.octet());
                return;
            }
            Work::Say { signals, at, voice } => {
                if voice.as_ref().is_none_or(Voice::is_over) {
                    *voice = next_voice(signals, at);
                }
                match voice {
                    Some(Voice::Dtmf(g)) => {
                        let done = g.fill(&mut samples);
                        samples[done..].fill(0);
                    }
                    Some(Voice::Mf(g)) => g.fill(&mut samples),
                    None => {
                        self.work = Work::Free;
                        told(self.span, SpanEvent::Said { slot: self.slot });
                        return;
                    }
                }
            }
        }
        for (octet, sample) in out.iter_mut().zip(samples) {
            *octet = self.law.to_octet(sample);
        }
    }

    /// What its slot received in this millisecond.
    fn listen(&mut self, octets: &[u8; OCTETS], told: &mut impl FnMut(u16, SpanEvent)) {
        let (span, slot, law) = (self.span, self.slot, self.law);
        let samples = octets.map(|o| law.to_linear(o));
        let mut signal = |signal: char| {
            told(
                span,
                SpanEvent::Signal { slot, signal: Private::new([u8::try_from(signal).unwrap_or(b'?')]) },
            );
        };
        match &mut self.work {
            Work::Free | Work::Say { .. } | Work::Busy(_) => {}
            Work::Dtmf(d) => d.feed(&samples, &mut |event| {
                if event.edge == Edge::Start {
                    signal(event.digit.as_char());
                }
            }),
            Work::Mf(d) => d.feed(&samples, &mut signal),
            Work::Bert { hears, ms, .. } => {
                octets.iter().for_each(|&o| hears.octet(o));
                *ms += 1;
                if *ms == BERT_MS {
                    *ms = 0;
                    let (bits, errors, losses) = hears.result();
                    let found = hears.synchronous();
                    told(span, SpanEvent::Bert { slot, bits, errors, losses, found });
                }
            }
        }
    }
}

impl Voice {
    fn is_over(&self) -> bool {
        match self {
            Voice::Dtmf(g) => g.finished(),
            Voice::Mf(g) => g.finished(),
        }
    }
}

fn next_voice(signals: &(Pulse, Signals), at: &mut usize) -> Option<Voice> {
    let (pulse, signals) = signals;
    let signal = signals.at(*at)?;
    *at += 1;
    match pulse {
        Pulse::Dtmf => {
            let length = Samples::from_ms(KEYING_MS);
            let keying = Keying { tone: length, pause: length, ..Keying::default() };
            Digit::try_from(signal).ok().map(|d| Voice::Dtmf(dtmf::Generator::new(d, &keying)))
        }
        Pulse::Mf => mf::Generator::new(signal).map(Voice::Mf),
    }
}

/// All of a trunk's.
pub(super) struct Registers {
    all: Box<[Register]>,
    /// Orders that found none free.
    pub(super) refused: u64,
}

impl Registers {
    pub(super) fn new(count: usize) -> Self {
        Self { all: (0..count).map(|_| Register::free()).collect(), refused: 0 }
    }

    /// Gives the register of a slot an order; the slot's first takes a free one.
    pub(super) fn order(&mut self, index: usize, span: u16, slot: u8, law: Law, order: Order) {
        let of_slot = |r: &&mut Register| !r.is_free() && r.index == index;
        if let Some(register) = self.all.iter_mut().find(of_slot) {
            register.work = Work::Free;
        }
        let work = match order {
            Order::Off => return,
            Order::Listen(Pulse::Dtmf) => Work::Dtmf(dtmf::Detector::default()),
            Order::Listen(Pulse::Mf) => Work::Mf(mf::Detector::default()),
            Order::Say(pulse, signals) => Work::Say { signals: (pulse, signals), at: 0, voice: None },
            Order::Busy => Work::Busy(cadence::Player::new(Country::default(), cadence::Signal::Busy)),
            Order::Bert => Work::Bert {
                sends: prbs::Generator::new(Pattern::P11),
                hears: prbs::Counter::new(Pattern::P11),
                ms: 0,
            },
        };
        match self.all.iter_mut().find(|r| r.is_free()) {
            Some(register) => *register = Register { index, span, slot, law, work },
            None => self.refused += 1,
        }
    }

    pub(super) fn speak(&mut self, outs: &mut [[u8; OCTETS]], mut told: impl FnMut(u16, SpanEvent)) {
        for register in self.all.iter_mut().filter(|r| !r.is_free()) {
            register.speak(&mut outs[register.index], &mut told);
        }
    }

    pub(super) fn listen(&mut self, ins: &[[u8; OCTETS]], mut told: impl FnMut(u16, SpanEvent)) {
        for register in self.all.iter_mut().filter(|r| !r.is_free()) {
            register.listen(&ins[register.index], &mut told);
        }
    }
}
