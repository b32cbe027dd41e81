//! A tap around a card: what passes becomes a capture that Wireshark reads (pcapng).
//!
//! D-channel frames are of link type LINUX_LAPD (177), with their direction. Chosen timeslots become RTP streams of
//! G.711 in IPv4 (link type 228): slot `n` of span `s` as UDP from 10.0.s.n (received) or 10.1.s.n (sent), port 4000.
//! The capture is collected in memory up to a limit; the owner takes it away and writes it where it likes.

use super::first_slot;
use crate::card::{Card, CardError, CardInfo, CardReport, SpanKind, Tick};
use crate::dsp::g711::Law;
use units::Wall;

/// Bounds of a tap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TapLimits {
    /// Octets collected before blocks are dropped (and counted).
    pub octets_max: usize,
    /// Most timeslots recorded.
    pub slots_max: usize,
}

impl Default for TapLimits {
    fn default() -> Self {
        Self { octets_max: 4 << 20, slots_max: 64 }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Tap<C> {
    card: C,
    capture: Vec<u8>,
    limits: TapLimits,
    slots: Vec<(u16, u8)>,
    start: Wall,
    /// Octets of a slot since the start: the clock.
    clock: u64,
    sequence: u16,
    dropped: u64,
}

impl<C: Card> Tap<C> {
    /// Around a card, recording D-channels and these slots (span from 0, slot from 1). `start` is when the card's first
    /// exchange is; time goes on by the samples.
    #[must_use]
    pub fn new(card: C, slots: &[(u16, u8)], start: Wall, limits: TapLimits) -> Self {
        let exists = |&&(span, slot): &&(u16, u8)| {
            card.info().spans.get(usize::from(span)).is_some_and(|s| (1..=s.slots()).contains(&slot))
        };
        let slots = slots.iter().filter(exists).take(limits.slots_max).copied().collect();
        let mut capture = Vec::with_capacity(limits.octets_max);
        capture.extend_from_slice(&file_header());
        Self { card, capture, limits, slots, start, clock: 0, sequence: 0, dropped: 0 }
    }

    /// Takes what was captured so far: the beginning of a pcapng file the first time, its continuation later.
    pub fn take(&mut self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.capture);
        self.capture.clear();
    }

    /// Packets dropped because nobody took them in time.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The card within.
    pub fn inner(&mut self) -> &mut C {
        &mut self.card
    }

    /// An Enhanced Packet Block (pcapng §4.3) from two parts.
    fn packet(&mut self, interface: u32, head: &[u8], body: &[u8]) {
        let len = head.len() + body.len();
        let padded = len.next_multiple_of(4);
        let total = 32 + padded;
        if self.capture.len() + total > self.limits.octets_max {
            self.dropped += 1;
            return;
        }
        let u32_of = |n: usize| u32::try_from(n).expect("a packet is short").to_le_bytes();
        let micros =
            self.start.0.saturating_mul(1000).cast_unsigned().saturating_add(self.clock.saturating_mul(125));
        let (high, low) = (micros >> 32, micros & 0xFFFF_FFFF);
        let half = |n: u64| u32::try_from(n).expect("32 bits").to_le_bytes();
        let c = &mut self.capture;
        for word in [
            6u32.to_le_bytes(),
            u32_of(total),
            interface.to_le_bytes(),
            half(high),
            half(low),
            u32_of(len),
            u32_of(len),
        ] {
            c.extend_from_slice(&word);
        }
        c.extend_from_slice(head);
        c.extend_from_slice(body);
        c.extend_from_slice(&[0; 3][..padded - len]);
        c.extend_from_slice(&u32_of(total));
    }

    /// The pseudo-header of LINUX_LAPD: who sent it (0: to us, 4: by us), and the network side's bit.
    fn lapd(&mut self, sent: bool, frame: &[u8]) {
        let mut head = [0; 16];
        head[1] = if sent { 4 } else { 0 };
        head[15] = 0x30;
        self.packet(0, &head, frame);
    }

    fn voice(&mut self, span: u16, slot: u8, sent: bool, octets: &[u8]) {
        let law = match self.card.info().spans[usize::from(span)] {
            SpanKind::T1 => Law::Mu,
            SpanKind::E1 => Law::A,
        };
        let source = [10, u8::from(sent), u8::try_from(span & 0xFF).expect("eight bits"), slot];
        let timestamp = u32::try_from(self.clock & 0xFFFF_FFFF).expect("32 bits");
        let head = rtp_in_udp(source, law, self.sequence, timestamp, octets.len());
        self.packet(1, &head, octets);
    }

    fn voices(&mut self, sent: bool, octets: usize, all: &[u8]) {
        for n in 0..self.slots.len() {
            let (span, slot) = self.slots[n];
            let at = (first_slot(self.card.info(), usize::from(span)) + usize::from(slot) - 1) * octets;
            self.voice(span, slot, sent, &all[at..at + octets]);
        }
    }
}

impl<C: Card> Card for Tap<C> {
    fn info(&self) -> &CardInfo {
        self.card.info()
    }

    fn exchange(&mut self, tick: &mut Tick<'_>) -> Result<(), CardError> {
        self.card.exchange(tick)?;
        self.voices(true, tick.octets, tick.tx);
        self.voices(false, tick.octets, tick.rx);
        self.clock += u64::try_from(tick.octets).expect("small");
        self.sequence = self.sequence.wrapping_add(1);
        Ok(())
    }

    fn poll(&mut self) -> Option<CardReport> {
        self.card.poll()
    }

    fn set_bits(&mut self, span: u16, slot: u8, abcd: u8) {
        self.card.set_bits(span, slot, abcd);
    }

    fn send_frame(&mut self, span: u16, slot: u8, frame: &[u8]) -> bool {
        let taken = self.card.send_frame(span, slot, frame);
        if taken {
            self.lapd(true, frame);
        }
        taken
    }

    fn receive_frame(&mut self, span: u16, slot: u8, into: &mut [u8]) -> Option<usize> {
        let len = self.card.receive_frame(span, slot, into)?;
        self.lapd(false, &into[..len]);
        Some(len)
    }
}

/// A Section Header Block and two Interface Description Blocks (pcapng §4.1, §4.2).
fn file_header() -> [u8; 68] {
    let mut h = [0; 68];
    let mut at = 0;
    let mut put = |words: &[u32]| {
        for w in words {
            h[at..at + 4].copy_from_slice(&w.to_le_bytes());
            at += 4;
        }
    };
    put(&[0x0A0D_0D0A, 28, 0x1A2B_3C4D, 1, u32::MAX, u32::MAX, 28]);
    for link_type in [177, 228] {
        put(&[1, 20, link_type, 0, 20]);
    }
    h
}

/// IPv4, UDP and RTP (RFC 3550 §5.1) before `len` octets of G.711.
fn rtp_in_udp(source: [u8; 4], law: Law, sequence: u16, timestamp: u32, len: usize) -> [u8; 40] {
    let payload = u16::try_from(len).expect("a slot's octets are few");
    let mut h = [0; 40];
    h[0] = 0x45;
    h[2..4].copy_from_slice(&(payload + 40).to_be_bytes());
    (h[8], h[9]) = (64, 17);
    h[12..16].copy_from_slice(&source);
    h[16..20].copy_from_slice(&[10, 255, 0, 1]);
    let sum: u32 = h[..20].as_chunks::<2>().0.iter().map(|&w| u32::from(u16::from_be_bytes(w))).sum();
    let folded = u16::try_from((sum & 0xFFFF) + (sum >> 16)).expect("ten words carry little");
    h[10..12].copy_from_slice(&(!folded).to_be_bytes());
    h[20..22].copy_from_slice(&4000u16.to_be_bytes());
    h[22..24].copy_from_slice(&4000u16.to_be_bytes());
    h[24..26].copy_from_slice(&(payload + 20).to_be_bytes());
    h[28] = 0x80;
    h[29] = if law == Law::Mu { 0 } else { 8 };
    h[30..32].copy_from_slice(&sequence.to_be_bytes());
    h[32..36].copy_from_slice(&timestamp.to_be_bytes());
    h[36..40].copy_from_slice(&source);
    h
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soft::{Loopback, Wiring};

    fn tapped(limits: TapLimits) -> Tap<Loopback> {
        let card = Loopback::new(&[SpanKind::T1], Wiring::Selves, &[(0, 24)]);
        let mut tap = Tap::new(card, &[(0, 3), (0, 99)], Wall(1_700_000_000_000), limits);
        assert!(tap.send_frame(0, 24, &[0, 1, 0x7F]));
        for _ in 0..3 {
            let tx = vec![0xFF; 24 * 160];
            let mut rx = vec![0; tx.len()];
            tap.exchange(&mut Tick { octets: 160, rx: &mut rx, tx: &tx }).expect("the right shape");
        }
        assert_eq!(tap.receive_frame(0, 24, &mut [0; 64]), Some(3));
        tap
    }

    #[test]
    fn blocks_follow_each_other_and_their_lengths_agree() {
        let mut file = Vec::new();
        tapped(TapLimits::default()).take(&mut file);
        let (mut at, mut kinds) = (0, Vec::new());
        while at < file.len() {
            let word = |n: usize| u32::from_le_bytes(file[n..n + 4].try_into().expect("four"));
            let len = usize::try_from(word(at + 4)).expect("small");
            kinds.push(word(at));
            assert_eq!(word(at + len - 4), word(at + 4));
            at += len;
        }
        assert_eq!(
            kinds,
            [&[0x0A0D_0D0A, 1, 1][..], &[6; 8]].concat(),
            "two frames, three exchanges both ways"
        );
    }

    #[test]
    fn a_full_capture_drops_and_counts() {
        let tap = tapped(TapLimits { octets_max: 300, slots_max: 1 });
        assert!(tap.capture.len() <= 300 && tap.dropped() > 0);
    }
}
