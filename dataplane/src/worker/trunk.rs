//! Timeslots of a card as bearers: every millisecond eight octets of each slot go both ways; when a bearer's phase
//! comes, its twenty milliseconds are a frame like any other.

use super::register::Registers;
use crate::codec::Octets;
use crate::dchannel::Frame;
use crate::limits::{FRAME, PHASES, REGISTERS};
use crate::register::{Loop, Order};
use crate::report::SpanEvent;
use hw::card::{Card, CardReport, SpanKind, Tick, alarm};
use hw::dsp::g711::Law;
use rtrb::Consumer;
use std::collections::VecDeque;
use units::Digit;

/// Octets of a slot in a millisecond.
pub(super) const OCTETS: usize = 8;
const NOBODY: u32 = u32::MAX;

struct Slot {
    place: u32,
    phase: u8,
    rx: Octets,
    tx: Octets,
}

/// What a card told in an exchange.
pub(super) enum Heard<'a> {
    /// The card heard a digit itself, at this place.
    Digit(u32, Digit),
    /// Something of a span.
    Span(u16, SpanEvent),
    /// A D-channel frame came.
    Frame(&'a Frame),
}

/// A D-channel with the frames that its HDLC has not taken yet.
struct DChannel {
    span: u16,
    slot: u8,
    waiting: VecDeque<Frame>,
}

/// Frames that wait at one D-channel: Q.921's window of 7 and its supervisory frames fit.
const WAITING_MAX: usize = 32;

impl Slot {
    /// Nobody's, and silent.
    fn free(kind: SpanKind) -> Self {
        let silence = idle(kind);
        Self { place: NOBODY, phase: 0, rx: [silence; FRAME], tx: [silence; FRAME] }
    }
}

/// A card with all its slots.
pub(super) struct Trunk {
    card: Box<dyn Card>,
    slots: Box<[Slot]>,
    /// First slot of each span.
    firsts: Box<[usize]>,
    rx: Box<[u8]>,
    tx: Box<[u8]>,
    d_channels: Box<[DChannel]>,
    registers: Registers,
    /// How each span is looped.
    loops: Box<[Loop]>,
    /// Exchanges that failed.
    pub(super) failed: u64,
}

fn alarmed(bits: u16) -> SpanEvent {
    SpanEvent::Alarm { bits, dead: bits & alarm::DEAD != 0, defect: bits != 0 }
}

/// What an idle slot sends: silence in the law of its line (ITU-T G.711: mu-law on a T1, A-law on an E1).
fn idle(kind: SpanKind) -> u8 {
    match kind {
        SpanKind::T1 => 0xff,
        SpanKind::E1 => 0xd5,
    }
}

impl Trunk {
    pub(super) fn new(card: Box<dyn Card>, d_channels: &[(u16, u8)]) -> Self {
        let (mut firsts, mut slots) = (Vec::new(), Vec::new());
        for span in &card.info().spans {
            firsts.push(slots.len());
            slots.extend((0..span.slots()).map(|_| Slot::free(*span)));
        }
        let octets = slots.len() * OCTETS;
        let d_channel = |&(span, slot): &(u16, u8)| DChannel {
            span,
            slot,
            waiting: VecDeque::with_capacity(WAITING_MAX),
        };
        Self {
            d_channels: d_channels.iter().map(d_channel).collect(),
            card,
            slots: slots.into(),
            registers: Registers::new(REGISTERS),
            loops: firsts.iter().map(|_| Loop::Off).collect(),
            firsts: firsts.into(),
            rx: vec![0; octets].into(),
            tx: vec![0; octets].into(),
            failed: 0,
        }
    }

    fn index(&self, span: u16, slot: u8) -> Option<usize> {
        let kind = self.card.info().spans.get(usize::from(span))?;
        let slot = slot.checked_sub(1).filter(|s| *s < kind.slots())?;
        Some(self.firsts[usize::from(span)] + usize::from(slot))
    }

    /// Gives a slot to a place; false: no such slot, or taken.
    pub(super) fn attach(&mut self, place: u32, phase: u32, span: u16, slot: u8, silence: u8) -> bool {
        let Some(slot) = self.index(span, slot).map(|i| &mut self.slots[i]).filter(|s| s.place == NOBODY)
        else {
            return false;
        };
        let phase = u8::try_from(phase).expect("below 20");
        *slot = Slot { place, phase, rx: [silence; FRAME], tx: [silence; FRAME] };
        true
    }

    pub(super) fn detach(&mut self, place: u32, span: u16, slot: u8) {
        let Some(&kind) = self.card.info().spans.get(usize::from(span)) else { return };
        if let Some(slot) = self.index(span, slot).map(|i| &mut self.slots[i]).filter(|s| s.place == place) {
            *slot = Slot::free(kind);
        }
    }

    /// The frame that has just become whole.
    pub(super) fn heard(&self, span: u16, slot: u8) -> Option<&Octets> {
        self.index(span, slot).map(|i| &self.slots[i].rx)
    }

    /// What went out in the twenty milliseconds in which [`Self::heard`] came.
    pub(super) fn said(&self, span: u16, slot: u8) -> Option<&Octets> {
        self.index(span, slot).map(|i| &self.slots[i].tx)
    }

    /// What goes out in the next twenty milliseconds.
    pub(super) fn say(&mut self, span: u16, slot: u8, said: &Octets) {
        if let Some(i) = self.index(span, slot) {
            self.slots[i].tx = *said;
        }
    }

    pub(super) fn register(&mut self, span: u16, slot: u8, order: Order) {
        let Some(&kind) = self.card.info().spans.get(usize::from(span)) else { return };
        let law = if kind == SpanKind::T1 { Law::Mu } else { Law::A };
        if let Some(index) = self.index(span, slot) {
            self.registers.order(index, span, slot, law, order);
        }
    }

    pub(super) fn set_loop(&mut self, span: u16, how: Loop) {
        if let Some(old) = self.loops.get_mut(usize::from(span)) {
            *old = how;
        }
    }

    /// The octets of a span in a millisecond of the card.
    fn octets_of(&self, span: usize) -> std::ops::Range<usize> {
        let end = self.firsts.get(span + 1).copied().unwrap_or(self.slots.len());
        self.firsts[span] * OCTETS..end * OCTETS
    }

    /// Towards the line: what came a millisecond ago goes back. Towards us: what is sent is what came.
    fn turn_round(&mut self, which: Loop) {
        for span in 0..self.loops.len() {
            if self.loops[span] != which {
                continue;
            }
            let octets = self.octets_of(span);
            match which {
                Loop::Remote => self.tx[octets.clone()].copy_from_slice(&self.rx[octets]),
                Loop::Local => self.rx[octets.clone()].copy_from_slice(&self.tx[octets]),
                Loop::Off => {}
            }
        }
    }

    pub(super) fn set_bits(&mut self, span: u16, slot: u8, abcd: u8) {
        self.card.set_bits(span, slot, abcd);
    }

    /// Takes frames from the shard's ring and gives them to the card as its HDLC has room. A D-channel whose queue is
    /// full holds up the ring only until it has sent one.
    pub(super) fn send_frames(&mut self, ring: &mut Consumer<Frame>) {
        while let Ok(frame) = ring.peek() {
            let (span, slot) = (frame.span(), frame.slot());
            let channel = self.d_channels.iter_mut().find(|d| d.span == span && d.slot == slot);
            if let Some(channel) = channel {
                if channel.waiting.len() == WAITING_MAX {
                    break;
                }
                channel.waiting.push_back(*frame);
            }
            // A frame for no D-channel is dropped.
            let _taken = ring.pop();
        }
        for channel in &mut self.d_channels {
            while let Some(frame) = channel.waiting.front()
                && self.card.send_frame(channel.span, channel.slot, frame.octets())
            {
                channel.waiting.pop_front();
            }
        }
    }

    /// One millisecond of every slot; `heard` is told what the card tells.
    pub(super) fn exchange(&mut self, ms: u64, mut heard: impl FnMut(Heard<'_>)) {
        let at = |slot: &Slot| {
            let since = (ms + u64::from(PHASES) - u64::from(slot.phase) - 1) % u64::from(PHASES);
            usize::try_from(since).expect("below 20") * OCTETS
        };
        let (outs, _) = self.tx.as_chunks_mut::<OCTETS>();
        for (slot, out) in self.slots.iter().zip(outs.iter_mut()) {
            out.copy_from_slice(&slot.tx[at(slot)..][..OCTETS]);
        }
        self.registers.speak(outs, |span, what| heard(Heard::Span(span, what)));
        self.turn_round(Loop::Remote);
        let mut tick = Tick { octets: OCTETS, rx: &mut self.rx, tx: &self.tx };
        if self.card.exchange(&mut tick).is_err() {
            self.failed += 1;
        }
        self.turn_round(Loop::Local);
        let (ins, _) = self.rx.as_chunks::<OCTETS>();
        self.registers.listen(ins, |span, what| heard(Heard::Span(span, what)));
        for (slot, octets) in self.slots.iter_mut().zip(ins) {
            let at = at(slot);
            slot.rx[at..at + OCTETS].copy_from_slice(octets);
        }
        while let Some(report) = self.card.poll() {
            match report {
                CardReport::Digit { span, slot, digit, down: true } => {
                    if let Some(i) = self.index(span, slot) {
                        heard(Heard::Digit(self.slots[i].place, digit));
                    }
                }
                CardReport::Digit { .. } => {}
                CardReport::Alarm { span, bits } => heard(Heard::Span(span, alarmed(bits))),
                CardReport::Bits { span, slot, abcd } => {
                    heard(Heard::Span(span, SpanEvent::Bits { slot, abcd }));
                }
                CardReport::Slip { span, frames } => heard(Heard::Span(span, SpanEvent::Slip(frames))),
                CardReport::Overflow(lost) => heard(Heard::Span(0, SpanEvent::Lost(lost))),
            }
        }
        for channel in &self.d_channels {
            let mut frame = Frame::empty(channel.span, channel.slot);
            while frame.fill(|into| self.card.receive_frame(channel.span, channel.slot, into)) {
                heard(Heard::Frame(&frame));
            }
        }
    }
}
