//! Several cards as one, so that one worker serves them all: the spans of the first, then those of the second, and so
//! on.

use super::{check, first_slot};
use crate::card::{Card, CardError, CardInfo, CardReport, Offload, Tick};

/// See the module.
pub struct Bundle {
    info: CardInfo,
    cards: Vec<Box<dyn Card>>,
    /// First span of each card.
    firsts: Vec<u16>,
    /// The card that is asked next.
    next: usize,
}

impl std::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bundle({})", self.info.name)
    }
}

impl Bundle {
    /// Of these cards. What it offers in hardware is what all of them do.
    #[must_use]
    pub fn new(cards: Vec<Box<dyn Card>>) -> Self {
        let (mut spans, mut firsts, mut names) = (Vec::new(), Vec::new(), Vec::new());
        let mut offload = cards.first().map_or(Offload::default(), |c| c.info().offload);
        for card in &cards {
            let info = card.info();
            firsts.push(u16::try_from(spans.len()).expect("spans are few"));
            spans.extend(info.spans.iter().copied());
            names.push(info.name.as_str());
            offload.dtmf &= info.offload.dtmf;
            offload.echo_tail_ms = offload.echo_tail_ms.min(info.offload.echo_tail_ms);
        }
        let info = CardInfo { name: names.join("+"), spans, offload };
        Self { info, cards, firsts, next: 0 }
    }

    /// The card of a span, and the span's number on it.
    fn home(&mut self, span: u16) -> Option<(&mut Box<dyn Card>, u16)> {
        let n = self.firsts.iter().rposition(|first| *first <= span)?;
        let own = span - self.firsts[n];
        let card = self.cards.get_mut(n)?;
        (usize::from(own) < card.info().spans.len()).then_some((card, own))
    }
}

impl Card for Bundle {
    fn info(&self) -> &CardInfo {
        &self.info
    }

    fn exchange(&mut self, tick: &mut Tick<'_>) -> Result<(), CardError> {
        check(&self.info, tick)?;
        let mut failed = Ok(());
        for (card, &first) in self.cards.iter_mut().zip(&self.firsts) {
            let from = first_slot(&self.info, usize::from(first)) * tick.octets;
            let long = first_slot(card.info(), card.info().spans.len()) * tick.octets;
            let (rx, tx) = (&mut tick.rx[from..from + long], &tick.tx[from..from + long]);
            // One that is gone does not stop the others.
            if let Err(error) = card.exchange(&mut Tick { octets: tick.octets, rx, tx }) {
                failed = Err(error);
            }
        }
        failed
    }

    fn poll(&mut self) -> Option<CardReport> {
        for _ in 0..self.cards.len() {
            let (card, first) = (&mut self.cards[self.next], self.firsts[self.next]);
            if let Some(report) = card.poll() {
                return Some(moved(report, first));
            }
            self.next = (self.next + 1) % self.cards.len();
        }
        None
    }

    fn set_bits(&mut self, span: u16, slot: u8, abcd: u8) {
        if let Some((card, span)) = self.home(span) {
            card.set_bits(span, slot, abcd);
        }
    }

    fn send_frame(&mut self, span: u16, slot: u8, frame: &[u8]) -> bool {
        self.home(span).is_some_and(|(card, span)| card.send_frame(span, slot, frame))
    }

    fn receive_frame(&mut self, span: u16, slot: u8, into: &mut [u8]) -> Option<usize> {
        let (card, span) = self.home(span)?;
        card.receive_frame(span, slot, into)
    }
}

fn moved(report: CardReport, first: u16) -> CardReport {
    match report {
        CardReport::Digit { span, slot, digit, down } => {
            CardReport::Digit { span: span + first, slot, digit, down }
        }
        CardReport::Alarm { span, bits } => CardReport::Alarm { span: span + first, bits },
        CardReport::Bits { span, slot, abcd } => CardReport::Bits { span: span + first, slot, abcd },
        CardReport::Slip { span, frames } => CardReport::Slip { span: span + first, frames },
        lost @ CardReport::Overflow(_) => lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::SpanKind;
    use crate::soft::{Loopback, Wiring};

    #[test]
    fn spans_of_the_second_card_follow_those_of_the_first() {
        let first = Loopback::new(&[SpanKind::T1], Wiring::Selves, &[]);
        let second = Loopback::new(&[SpanKind::E1, SpanKind::E1], Wiring::Pairs, &[(0, 16), (1, 16)]);
        let mut bundle = Bundle::new(vec![Box::new(first), Box::new(second)]);
        let slots = 24 + 31 + 31;
        let tx: Vec<u8> = (0..slots * 8).map(|n| u8::try_from(n / 8).expect("few slots")).collect();
        let mut rx = vec![0; tx.len()];
        assert!(bundle.send_frame(1, 16, &[1, 2, 3]) && !bundle.send_frame(3, 16, &[1, 2, 3]));
        for _ in 0..3 {
            bundle.exchange(&mut Tick { octets: 8, rx: &mut rx, tx: &tx }).expect("the right shape");
        }
        assert_eq!((rx[0], rx[24 * 8], rx[(24 + 31) * 8]), (0, 55, 24));
        assert_eq!(bundle.receive_frame(2, 16, &mut [0; 8]), Some(3));
        bundle.set_bits(2, 5, 9);
        assert_eq!(bundle.poll(), Some(CardReport::Bits { span: 1, slot: 5, abcd: 9 }));
        let mut short = vec![0; 8];
        let wrong = bundle.exchange(&mut Tick { octets: 8, rx: &mut short, tx: &tx });
        assert_eq!(wrong, Err(CardError::Shape));
    }
}
