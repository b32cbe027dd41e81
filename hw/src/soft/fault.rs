//! Faults around a card, from a seed: bit errors, slips and alarms on what is received.
//!
//! The D-channel's HDLC is inside the card, so an error in one of its frames shows here as what it becomes there: a
//! frame whose FCS fails, which is lost.

use super::{check, first_slot};
use crate::card::{Card, CardError, CardInfo, CardReport, Tick, alarm};
use std::collections::VecDeque;
use units::{Rng, Seed};

/// How often things go wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Share of received bits that are turned over.
    pub bit_errors: f64,
    /// Chance of a slip of a span in an exchange.
    pub slips: f64,
    /// Chance that an alarm (LOS) of a span begins in an exchange.
    pub alarms: f64,
    /// Exchanges that an alarm lasts.
    pub alarm_exchanges: u32,
}

/// See the module.
#[derive(Debug)]
pub struct Fault<C> {
    card: C,
    rates: Rates,
    rng: Rng,
    /// Bits until the next error.
    gap: u64,
    spans: Vec<Span>,
    reports: VecDeque<CardReport>,
}

/// What is wrong with a span.
#[derive(Debug)]
struct Span {
    /// The octet that each slot lags behind, while the span lags.
    held: Vec<u8>,
    lags: bool,
    alarm: u16,
    /// Exchanges until the alarm ends by itself; 0: it does not.
    left: u32,
}

impl<C: Card> Fault<C> {
    /// Around a card.
    #[must_use]
    pub fn new(card: C, rates: Rates, seed: Seed) -> Self {
        let span = |slots: u8| Span { held: vec![0xFF; usize::from(slots)], lags: false, alarm: 0, left: 0 };
        let spans: Vec<Span> = card.info().spans.iter().map(|s| span(s.slots())).collect();
        let reports = VecDeque::with_capacity(4 * spans.len());
        let mut fault = Self { card, rates, rng: seed.rng(), gap: 0, spans, reports };
        fault.gap = fault.next_gap();
        fault
    }

    /// Puts a span into an alarm (bits of [`alarm`]) until told otherwise; 0 ends it. Spans that do not exist have none.
    pub fn set_alarm(&mut self, span: u16, bits: u16) {
        if let Some(s) = self.spans.get_mut(usize::from(span)) {
            s.left = 0;
            if s.alarm != bits {
                s.alarm = bits;
                self.reports.push_back(CardReport::Alarm { span, bits });
            }
        }
    }

    /// Changes the rates.
    pub fn set_rates(&mut self, rates: Rates) {
        self.rates = rates;
        self.gap = self.next_gap();
    }

    /// The card within.
    pub fn inner(&mut self) -> &mut C {
        &mut self.card
    }

    /// Distance to the next error: geometric.
    fn next_gap(&mut self) -> u64 {
        if self.rates.bit_errors <= 0.0 {
            return u64::MAX;
        }
        let chance = self.rates.bit_errors.min(0.5);
        let gap = (1.0 - self.rng.unit()).ln() / (1.0 - chance).ln();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and saturating"
        )]
        let gap = gap as u64;
        gap
    }

    fn flip(&mut self, octets: &mut [u8]) {
        let bits = u64::try_from(octets.len()).unwrap_or(u64::MAX / 8) * 8;
        while self.gap < bits {
            let at = usize::try_from(self.gap / 8).expect("inside the slice");
            octets[at] ^= 1 << (self.gap % 8);
            self.gap = self.gap.saturating_add(1).saturating_add(self.next_gap());
        }
        self.gap -= if self.gap == u64::MAX { 0 } else { bits };
    }

    fn disturb(&mut self, number: u16, octets: usize, rx: &mut [u8]) {
        let slip = self.rng.chance(self.rates.slips);
        let begins = self.rng.chance(self.rates.alarms);
        let span = &mut self.spans[usize::from(number)];
        if slip {
            self.reports.push_back(CardReport::Slip { span: number, frames: if span.lags { -1 } else { 1 } });
        }
        span.shift(slip, octets, rx);
        if span.left > 0 {
            span.left -= 1;
            if span.left == 0 {
                span.alarm = 0;
                self.reports.push_back(CardReport::Alarm { span: number, bits: 0 });
            }
        } else if begins && span.alarm == 0 {
            (span.alarm, span.left) = (alarm::LOS, self.rates.alarm_exchanges.max(1));
            self.reports.push_back(CardReport::Alarm { span: number, bits: alarm::LOS });
        }
        if span.alarm & DEAD != 0 {
            rx.fill(0xFF);
        }
    }
}

impl Span {
    /// Moves the samples through the lag; a slip begins the lag (a frame is repeated) or ends it (one is dropped).
    fn shift(&mut self, slip: bool, octets: usize, rx: &mut [u8]) {
        for (slot, held) in rx.chunks_exact_mut(octets).zip(&mut self.held) {
            let last = slot[octets - 1];
            match (self.lags, slip) {
                (false, false) => {}
                (false, true) => {
                    slot.copy_within(..octets - 1, 1);
                    slot[0] = *held;
                }
                (true, false) => {
                    slot.copy_within(..octets - 1, 1);
                    slot[0] = *held;
                }
                // The lag ends: the octet that was held is never seen.
                (true, true) => {}
            }
            *held = last;
        }
        self.lags ^= slip;
    }
}

/// Alarms under which nothing is received.
const DEAD: u16 = alarm::LOS | alarm::LOF | alarm::AIS;

impl<C: Card> Card for Fault<C> {
    fn info(&self) -> &CardInfo {
        self.card.info()
    }

    fn exchange(&mut self, tick: &mut Tick<'_>) -> Result<(), CardError> {
        check(self.card.info(), tick)?;
        self.card.exchange(tick)?;
        for number in 0..self.spans.len() {
            let from = first_slot(self.card.info(), number) * tick.octets;
            let long = self.spans[number].held.len() * tick.octets;
            let number = u16::try_from(number).expect("a card has few spans");
            self.disturb(number, tick.octets, &mut tick.rx[from..from + long]);
        }
        self.flip(tick.rx);
        Ok(())
    }

    fn poll(&mut self) -> Option<CardReport> {
        self.reports.pop_front().or_else(|| self.card.poll())
    }

    fn set_bits(&mut self, span: u16, slot: u8, abcd: u8) {
        self.card.set_bits(span, slot, abcd);
    }

    fn send_frame(&mut self, span: u16, slot: u8, frame: &[u8]) -> bool {
        self.card.send_frame(span, slot, frame)
    }

    fn receive_frame(&mut self, span: u16, slot: u8, into: &mut [u8]) -> Option<usize> {
        let dead = self.spans.get(usize::from(span)).is_none_or(|s| s.alarm & DEAD != 0);
        while let Some(len) = self.card.receive_frame(span, slot, into) {
            let bits = i32::try_from((len + 3) * 8).unwrap_or(i32::MAX);
            let whole = self.rng.chance((1.0 - self.rates.bit_errors.clamp(0.0, 1.0)).powi(bits));
            if whole && !dead {
                return Some(len);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::SpanKind;
    use crate::soft::{Loopback, Wiring};

    fn card(rates: Rates, seed: u64) -> Fault<Loopback> {
        Fault::new(Loopback::new(&[SpanKind::T1], Wiring::Selves, &[(0, 24)]), rates, Seed(seed))
    }

    /// What slot 1 receives when it sends a count.
    fn received(card: &mut Fault<Loopback>, ticks: usize) -> Vec<u8> {
        let mut all = Vec::new();
        let mut count = 0u8;
        for _ in 0..ticks {
            let mut tx = vec![0; 24 * 8];
            for octet in &mut tx[..8] {
                *octet = count;
                count = count.wrapping_add(1);
            }
            let mut rx = vec![0; tx.len()];
            card.exchange(&mut Tick { octets: 8, rx: &mut rx, tx: &tx }).expect("the right shape");
            all.extend_from_slice(&rx[..8]);
        }
        all
    }

    #[test]
    fn the_same_seed_is_the_same_trouble() {
        let rates = Rates { bit_errors: 1e-3, slips: 0.01, alarms: 0.001, alarm_exchanges: 20 };
        let run = |seed| received(&mut card(rates, seed), 500);
        assert!(run(1) == run(1) && run(1) != run(2));
    }

    #[test]
    fn bit_errors_have_their_rate() {
        let mut c = card(Rates { bit_errors: 1e-3, ..Rates::default() }, 3);
        let mut errors = 0;
        for _ in 0..2000 {
            let tx = vec![0x55; 24 * 8];
            let mut rx = vec![0; tx.len()];
            c.exchange(&mut Tick { octets: 8, rx: &mut rx, tx: &tx }).expect("the right shape");
            errors += rx[..23 * 8].iter().map(|&o| (o ^ 0x55).count_ones()).sum::<u32>();
        }
        // 2,944,000 bits at 1e-3: 2944 expected, 5 sigma are 270.
        assert!((2674..3214).contains(&errors), "{errors}");
    }

    #[test]
    fn slips_repeat_or_drop_one_frame_and_are_reported() {
        let mut c = card(Rates { slips: 0.05, ..Rates::default() }, 4);
        let all = received(&mut c, 300);
        let steps: Vec<u8> = all.windows(2).map(|w| w[1].wrapping_sub(w[0])).collect();
        let count = |step| steps.iter().filter(|&&s| s == step).count();
        let reports: Vec<_> = std::iter::from_fn(|| c.poll()).collect();
        let of = |frames| {
            reports.iter().filter(|r| matches!(r, CardReport::Slip { frames: f, .. } if *f == frames)).count()
        };
        assert!(of(1) > 3 && of(1) == count(0) && of(-1) == count(2), "{reports:?}");
        assert_eq!(count(1) + count(0) + count(2), steps.len());
    }

    #[test]
    fn an_alarm_silences_slots_and_frames_until_it_ends() {
        let mut c = card(Rates::default(), 5);
        c.set_alarm(0, alarm::LOS);
        c.set_alarm(7, alarm::LOS);
        assert!(c.send_frame(0, 24, &[1, 2, 3]));
        assert!(received(&mut c, 10).iter().all(|&o| o == 0xFF));
        let mut frame = [0; 16];
        assert_eq!(c.receive_frame(0, 24, &mut frame), None);
        c.set_alarm(0, 0);
        assert!(c.send_frame(0, 24, &[1, 2, 3]));
        received(&mut c, 10);
        assert_eq!(c.receive_frame(0, 24, &mut frame), Some(3));
        let alarms: Vec<_> = std::iter::from_fn(|| c.poll()).collect();
        let bits = |bits| CardReport::Alarm { span: 0, bits };
        assert_eq!(alarms, [bits(alarm::LOS), bits(0)]);
    }
}
