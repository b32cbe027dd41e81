//! A card whose spans are wired to each other (0 to 1, 2 to 3, ...) or each to itself. What is sent in a tick is
//! received in the same tick. D-channels are real bit HDLC.

use super::{check, first_slot};
use crate::card::{Card, CardError, CardInfo, CardReport, Offload, SpanKind, Tick};
use crate::tdm::hdlc::{self, FRAME_OCTETS_MAX};
use std::collections::VecDeque;

/// How the spans are wired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wiring {
    /// Span 0 to span 1, 2 to 3, and so on; an odd last one to itself.
    Pairs,
    /// Each span to itself.
    Selves,
}

/// See the module.
#[derive(Debug)]
pub struct Loopback {
    info: CardInfo,
    wiring: Wiring,
    channels: Vec<Channel>,
    reports: VecDeque<CardReport>,
    lost: u32,
}

/// The HDLC of one D-channel.
#[derive(Debug)]
struct Channel {
    span: u16,
    slot: u8,
    encoder: hdlc::Encoder,
    decoder: hdlc::Decoder,
    received: VecDeque<Vec<u8>>,
    spare: Vec<Vec<u8>>,
}

/// Frames waiting at a D-channel before the oldest is lost.
const FRAMES_MAX: usize = 32;
/// Reports waiting before some are lost and counted.
const REPORTS_MAX: usize = 256;

impl Loopback {
    /// With these spans; `d_channels` names the slots (span from 0, slot from 1) that carry HDLC. Slots that do not
    /// exist are left out.
    #[must_use]
    pub fn new(spans: &[SpanKind], wiring: Wiring, d_channels: &[(u16, u8)]) -> Self {
        let exists = |&&(span, slot): &&(u16, u8)| {
            spans.get(usize::from(span)).is_some_and(|s| (1..=s.slots()).contains(&slot))
        };
        let channels =
            d_channels.iter().filter(exists).map(|&(span, slot)| Channel::new(span, slot)).collect();
        Self {
            info: CardInfo { name: "loopback".into(), spans: spans.to_vec(), offload: Offload::default() },
            wiring,
            channels,
            reports: VecDeque::with_capacity(REPORTS_MAX),
            lost: 0,
        }
    }

    /// The span that hears this one.
    fn peer(&self, span: usize) -> usize {
        match self.wiring {
            Wiring::Selves => span,
            Wiring::Pairs => {
                let other = span ^ 1;
                let fits = self.info.spans.get(other).is_some_and(|&k| k == self.info.spans[span]);
                if fits { other } else { span }
            }
        }
    }

    fn report(&mut self, report: CardReport) {
        if self.reports.len() < REPORTS_MAX {
            self.reports.push_back(report);
        } else {
            self.lost = self.lost.saturating_add(1);
        }
    }

    fn channel(&mut self, span: u16, slot: u8) -> Option<&mut Channel> {
        self.channels.iter_mut().find(|c| c.span == span && c.slot == slot)
    }
}

impl Channel {
    fn new(span: u16, slot: u8) -> Self {
        let spare = (0..FRAMES_MAX).map(|_| Vec::with_capacity(FRAME_OCTETS_MAX)).collect();
        Self {
            span,
            slot,
            encoder: hdlc::Encoder::new(),
            decoder: hdlc::Decoder::new(),
            received: VecDeque::with_capacity(FRAMES_MAX),
            spare,
        }
    }

    fn receive(&mut self, octets: &[u8]) {
        let (received, spare) = (&mut self.received, &mut self.spare);
        self.decoder.feed(octets, &mut |frame| {
            let Ok(frame) = frame else { return };
            // Buffers go round, so that a tick does not allocate; if nobody reads, the oldest frame is lost.
            let mut buffer =
                spare.pop().or_else(|| received.pop_front()).expect("spare and received are FRAMES_MAX");
            buffer.clear();
            buffer.extend_from_slice(frame);
            received.push_back(buffer);
        });
    }
}

impl Card for Loopback {
    fn info(&self) -> &CardInfo {
        &self.info
    }

    fn exchange(&mut self, tick: &mut Tick<'_>) -> Result<(), CardError> {
        check(&self.info, tick)?;
        for span in 0..self.info.spans.len() {
            let long = usize::from(self.info.spans[span].slots()) * tick.octets;
            let from = first_slot(&self.info, span) * tick.octets;
            let to = first_slot(&self.info, self.peer(span)) * tick.octets;
            tick.rx[to..to + long].copy_from_slice(&tick.tx[from..from + long]);
        }
        for n in 0..self.channels.len() {
            let (span, slot) = (usize::from(self.channels[n].span), usize::from(self.channels[n].slot));
            let at = (first_slot(&self.info, self.peer(span)) + slot - 1) * tick.octets;
            self.channels[n].encoder.fill(&mut tick.rx[at..at + tick.octets]);
        }
        for n in 0..self.channels.len() {
            let (span, slot) = (usize::from(self.channels[n].span), usize::from(self.channels[n].slot));
            let at = (first_slot(&self.info, span) + slot - 1) * tick.octets;
            self.channels[n].receive(&tick.rx[at..at + tick.octets]);
        }
        Ok(())
    }

    fn poll(&mut self) -> Option<CardReport> {
        self.reports.pop_front().or_else(|| {
            let lost = std::mem::take(&mut self.lost);
            (lost > 0).then_some(CardReport::Overflow(lost))
        })
    }

    fn set_bits(&mut self, span: u16, slot: u8, abcd: u8) {
        let Some(kind) = self.info.spans.get(usize::from(span)) else { return };
        if (1..=kind.slots()).contains(&slot) {
            let peer = u16::try_from(self.peer(usize::from(span))).expect("a span of this card");
            self.report(CardReport::Bits { span: peer, slot, abcd: abcd & 15 });
        }
    }

    fn send_frame(&mut self, span: u16, slot: u8, frame: &[u8]) -> bool {
        self.channel(span, slot).is_some_and(|c| c.encoder.send(frame))
    }

    fn receive_frame(&mut self, span: u16, slot: u8, into: &mut [u8]) -> Option<usize> {
        let channel = self.channel(span, slot)?;
        let frame = channel.received.pop_front()?;
        let len = frame.len().min(into.len());
        into[..len].copy_from_slice(&frame[..len]);
        channel.spare.push(frame);
        Some(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_spans_hear_each_other_slot_by_slot() {
        let mut card = Loopback::new(&[SpanKind::E1, SpanKind::E1], Wiring::Pairs, &[]);
        let tx: Vec<u8> = (0..62 * 8).map(|n| u8::try_from(n % 251).expect("an octet")).collect();
        let mut rx = vec![0; tx.len()];
        card.exchange(&mut Tick { octets: 8, rx: &mut rx, tx: &tx }).expect("the right shape");
        assert_eq!((&rx[..31 * 8], &rx[31 * 8..]), (&tx[31 * 8..], &tx[..31 * 8]));
    }

    #[test]
    fn frames_cross_on_d_channels_in_order() {
        let mut card =
            Loopback::new(&[SpanKind::T1, SpanKind::T1], Wiring::Pairs, &[(0, 24), (1, 24), (9, 1), (0, 25)]);
        let tx = vec![0xFF; 48 * 8];
        let mut rx = vec![0; tx.len()];
        let mut got = Vec::new();
        let mut next = 0u8;
        for _ in 0..200 {
            if next < 20 && card.send_frame(0, 24, &[0, 1, next]) {
                next += 1;
            }
            card.exchange(&mut Tick { octets: 8, rx: &mut rx, tx: &tx }).expect("the right shape");
            let mut frame = [0; 300];
            while let Some(len) = card.receive_frame(1, 24, &mut frame) {
                got.push(frame[..len].to_vec());
            }
            assert_eq!(card.receive_frame(0, 24, &mut frame), None);
        }
        assert_eq!(got, (0..20).map(|n| vec![0, 1, n]).collect::<Vec<_>>());
        assert!(!card.send_frame(0, 23, &[0, 1, 2]), "no HDLC there");
    }

    #[test]
    fn bits_are_reported_at_the_peer_and_losses_counted() {
        let mut card = Loopback::new(&[SpanKind::E1, SpanKind::E1], Wiring::Pairs, &[]);
        card.set_bits(0, 5, 0b1101);
        assert_eq!(card.poll(), Some(CardReport::Bits { span: 1, slot: 5, abcd: 13 }));
        (0..300).for_each(|_| card.set_bits(0, 5, 1));
        let reports: Vec<_> = std::iter::from_fn(|| card.poll()).collect();
        assert_eq!((reports.len(), reports[256]), (257, CardReport::Overflow(44)));
    }

    #[test]
    fn a_wrong_shape_is_refused() {
        let mut card = Loopback::new(&[SpanKind::T1], Wiring::Selves, &[]);
        for (octets, len) in [(8, 23 * 8), (7, 24 * 7), (0, 0), (168, 24 * 168)] {
            let (mut rx, tx) = (vec![0; len], vec![0; len]);
            let done = card.exchange(&mut Tick { octets, rx: &mut rx, tx: &tx });
            assert_eq!(done, Err(CardError::Shape), "{octets}");
        }
    }
}
