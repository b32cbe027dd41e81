//! TDM over Ethernet as DAHDI's `dahdi_dynamic_eth` speaks it (EtherType 0xD00D): one packet a millisecond and span.
//!
//! After the subaddress (two octets, network order): samples per channel (8), flags, counter and number of channels (two
//! octets each), signalling bits of four channels in two octets if a flag says so, then eight octets of each channel.
//! [`Port`] is one span of it: packets in, packets out, a short buffer between the peer's clock and ours, HDLC on its
//! D-channels, alarms when the packets stop. No socket here.

use super::alarm::{Integrator, Output, Times};
use super::hdlc::{self, FRAME_OCTETS_MAX};
use crate::card::{CardReport, SpanKind, alarm};
use std::collections::VecDeque;
use units::Mono;

/// EtherType.
pub const ETHER_TYPE: u16 = 0xD00D;
/// Most octets of a packet after the Ethernet header: 32 channels with their bits.
pub const PACKET_MAX: usize = 2 + 6 + 16 + 32 * 8;
/// Octets before the signalling bits.
const HEAD: usize = 8;
const YELLOW: u8 = 1;
const BITS: u8 = 2;
const LOOPED: u8 = 4;
/// Samples of a channel in a packet.
const SAMPLES: usize = 8;

/// A packet, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Which span of the peer.
    pub subaddress: u16,
    /// The peer has an alarm (yellow).
    pub yellow: bool,
    /// The peer is looped.
    pub looped: bool,
    /// Counts packets.
    pub sequence: u16,
    /// Signalling bits, four channels in two octets, the first in the low nibble of the 16-bit word.
    pub bits: Option<&'a [u8]>,
    /// Eight octets of each channel.
    pub voice: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads what follows the Ethernet header; `None`: it is no such packet. Padding behind it is ignored.
    #[must_use]
    pub fn parse(octets: &'a [u8]) -> Option<Self> {
        let (head, rest) = octets.split_at_checked(HEAD)?;
        let word = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        let (samples, flags, channels) = (head[2], head[3], usize::from(word(6)));
        if usize::from(samples) != SAMPLES || channels == 0 || channels > 32 {
            return None;
        }
        let bits = if flags & BITS != 0 { channels.div_ceil(4) * 2 } else { 0 };
        let (bits, rest) = rest.split_at_checked(bits)?;
        let voice = rest.get(..channels * SAMPLES)?;
        Some(Self {
            subaddress: word(0),
            yellow: flags & YELLOW != 0,
            looped: flags & LOOPED != 0,
            sequence: word(4),
            bits: (!bits.is_empty()).then_some(bits),
            voice,
        })
    }

    /// ABCD of a channel, from 0.
    #[must_use]
    pub fn abcd(&self, channel: usize) -> Option<u8> {
        let at = channel / 4 * 2;
        let word = self.bits?.get(at..at + 2)?;
        let word = u16::from_be_bytes([word[0], word[1]]);
        Some(u8::try_from((word >> (channel % 4 * 4)) & 15).expect("a nibble"))
    }
}

/// How much of the peer's voice is kept between its clock and ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Milliseconds that are waited for before the first is read: the delay.
    pub ms: usize,
    /// Milliseconds kept at most; more means that the peer's clock is faster.
    pub ms_max: usize,
}

impl Buffer {
    /// For a wire.
    pub const WIRE: Buffer = Buffer { ms: 3, ms_max: 24 };
    /// For a peer that is a program on the same host and shares its cores.
    pub const HOST: Buffer = Buffer { ms: 12, ms_max: 60 };
}

/// Without a packet for so long there is a defect, ms.
const SILENT_MS: u64 = 20;
/// Frames waiting at a D-channel before the oldest is lost.
const FRAMES_MAX: usize = 32;
/// Reports waiting.
const REPORTS_MAX: usize = 64;

/// What a port counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets that came.
    pub received: u64,
    /// Packets that never came, by the counter.
    pub lost: u64,
    /// Milliseconds for which nothing was there.
    pub underruns: u64,
    /// Packets that found the buffer full.
    pub overruns: u64,
}

#[derive(Debug)]
struct DChannel {
    slot: u8,
    encoder: hdlc::Encoder,
    decoder: hdlc::Decoder,
    received: VecDeque<Vec<u8>>,
    spare: Vec<Vec<u8>>,
}

/// One span.
#[derive(Debug)]
pub struct Port {
    kind: SpanKind,
    subaddress: u16,
    sequence: u16,
    heard_sequence: Option<u16>,
    /// The peer's milliseconds, oldest first, and how many there are.
    buffer: VecDeque<[u8; 32 * SAMPLES]>,
    filling: bool,
    limits: Buffer,
    d_channels: Vec<DChannel>,
    bits_out: [u8; 32],
    bits_in: [u8; 32],
    sends_bits: bool,
    clock_ms: u64,
    heard_ms: Option<u64>,
    yellow: bool,
    looped: bool,
    alarms: Integrator,
    told: u16,
    reports: VecDeque<CardReport>,
    counts: Counts,
}

impl Port {
    /// A span of `kind` at this subaddress, with HDLC in these slots (from 1). A T1 or E1 has 24 or 31 channels.
    #[must_use]
    pub fn new(kind: SpanKind, subaddress: u16, d_channels: &[u8], limits: Buffer) -> Self {
        let d_channel = |&slot: &u8| DChannel {
            slot,
            encoder: hdlc::Encoder::new(),
            decoder: hdlc::Decoder::new(),
            received: VecDeque::with_capacity(FRAMES_MAX),
            spare: (0..FRAMES_MAX).map(|_| Vec::with_capacity(FRAME_OCTETS_MAX)).collect(),
        };
        let times = match kind {
            SpanKind::T1 => Times::T1,
            SpanKind::E1 => Times::E1,
        };
        Self {
            kind,
            subaddress,
            sequence: 0,
            heard_sequence: None,
            buffer: VecDeque::with_capacity(limits.ms_max + 1),
            filling: true,
            limits,
            d_channels: d_channels.iter().filter(|s| (1..=kind.slots()).contains(s)).map(d_channel).collect(),
            bits_out: [0; 32],
            bits_in: [0; 32],
            sends_bits: d_channels.is_empty(),
            clock_ms: 0,
            heard_ms: None,
            yellow: false,
            looped: false,
            alarms: Integrator::new(times),
            told: 0,
            reports: VecDeque::with_capacity(REPORTS_MAX),
            counts: Counts::default(),
        }
    }

    /// T1 or E1.
    #[must_use]
    pub fn kind(&self) -> SpanKind {
        self.kind
    }

    /// Which packets are its.
    #[must_use]
    pub fn subaddress(&self) -> u16 {
        self.subaddress
    }

    /// What it counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Writes the packet of one millisecond into `into`; its length. `tx` holds eight octets of each slot; those of
    /// D-channels are replaced.
    pub fn send(&mut self, tx: &[u8], into: &mut [u8; PACKET_MAX]) -> usize {
        let channels = usize::from(self.kind.slots());
        let failed = self.alarms.failures() & (alarm::LOS | alarm::LOF) != 0;
        let flags = u8::from(failed) * YELLOW + u8::from(self.sends_bits) * BITS;
        into[..2].copy_from_slice(&self.subaddress.to_be_bytes());
        into[2] = 8;
        into[3] = flags;
        into[4..6].copy_from_slice(&self.sequence.to_be_bytes());
        into[6..8].copy_from_slice(&u16::from(self.kind.slots()).to_be_bytes());
        let mut at = HEAD;
        if self.sends_bits {
            for four in self.bits_out[..channels.next_multiple_of(4)].chunks_exact(4) {
                let word = four.iter().rev().fold(0u16, |w, &b| (w << 4) | u16::from(b & 15));
                into[at..at + 2].copy_from_slice(&word.to_be_bytes());
                at += 2;
            }
        }
        let voice = &mut into[at..at + channels * SAMPLES];
        voice.copy_from_slice(&tx[..channels * SAMPLES]);
        for d in &mut self.d_channels {
            let from = (usize::from(d.slot) - 1) * SAMPLES;
            d.encoder.fill(&mut voice[from..from + SAMPLES]);
        }
        self.sequence = self.sequence.wrapping_add(1);
        at + channels * SAMPLES
    }

    /// Takes one packet of its subaddress.
    pub fn receive(&mut self, packet: &Packet<'_>) {
        let channels = usize::from(self.kind.slots());
        if packet.voice.len() < channels * SAMPLES {
            return;
        }
        self.counts.received += 1;
        self.heard_ms = Some(self.clock_ms);
        (self.yellow, self.looped) = (packet.yellow, packet.looped);
        if let Some(last) = self.heard_sequence.replace(packet.sequence) {
            let gap = packet.sequence.wrapping_sub(last).wrapping_sub(1);
            // A counter that starts anew is a peer that did.
            self.counts.lost += if gap < 1_000 { u64::from(gap) } else { 0 };
        }
        for d in &mut self.d_channels {
            let from = (usize::from(d.slot) - 1) * SAMPLES;
            d.receive(&packet.voice[from..from + SAMPLES]);
        }
        for channel in 0..channels {
            let Some(abcd) = packet.abcd(channel).filter(|b| *b != self.bits_in[channel]) else { continue };
            self.bits_in[channel] = abcd;
            if self.reports.len() < REPORTS_MAX {
                let slot = u8::try_from(channel + 1).expect("at most 31");
                self.reports.push_back(CardReport::Bits { span: 0, slot, abcd });
            }
        }
        let Buffer { ms, ms_max } = self.limits;
        if self.buffer.len() >= ms_max {
            // The peer's clock is faster, or we were late: back to the shortest delay.
            self.counts.overruns += 1;
            self.buffer.drain(..ms_max - ms);
            self.slip(-1);
        }
        let mut whole = [0; 32 * SAMPLES];
        whole[..channels * SAMPLES].copy_from_slice(&packet.voice[..channels * SAMPLES]);
        self.buffer.push_back(whole);
    }

    /// The next millisecond of the peer into `rx`, eight octets of each slot; then time goes on by one.
    pub fn hear(&mut self, rx: &mut [u8]) {
        if self.filling && self.buffer.len() >= self.limits.ms {
            self.filling = false;
        }
        let next = if self.filling { None } else { self.buffer.pop_front() };
        match next {
            Some(ms) => rx.copy_from_slice(&ms[..rx.len()]),
            None => {
                rx.fill(0xFF);
                if !self.filling {
                    self.counts.underruns += 1;
                    self.slip(1);
                }
                self.filling = true;
            }
        }
        self.clock_ms += 1;
        self.watch();
    }

    fn slip(&mut self, frames: i8) {
        if self.heard_ms.is_some() && self.reports.len() < REPORTS_MAX {
            self.reports.push_back(CardReport::Slip { span: 0, frames });
        }
    }

    /// Alarms from what came, or did not.
    fn watch(&mut self) {
        let silent = self.heard_ms.is_none_or(|at| self.clock_ms - at > SILENT_MS);
        let seen = match (silent, self.yellow) {
            (true, _) => alarm::LOS,
            (false, true) => alarm::RAI,
            (false, false) => 0,
        };
        self.alarms.handle(Mono::from_ms(self.clock_ms), seen);
        while let Some(output) = self.alarms.poll() {
            let (Output::Defects(_) | Output::Failures(_)) = output;
        }
        let looped = u16::from(self.looped && !silent) * alarm::LOOPED;
        let bits = self.alarms.failures() | looped | if seen == 0 { 0 } else { alarm::DEFECT };
        if bits != self.told {
            self.told = bits;
            self.reports.push_back(CardReport::Alarm { span: 0, bits });
        }
    }

    /// What happened; spans are 0.
    pub fn poll(&mut self) -> Option<CardReport> {
        self.reports.pop_front()
    }

    /// Sets the bits that a slot (from 1) sends; from then on bits are sent.
    pub fn set_bits(&mut self, slot: u8, abcd: u8) {
        if (1..=self.kind.slots()).contains(&slot) {
            self.bits_out[usize::from(slot) - 1] = abcd & 15;
            self.sends_bits = true;
        }
    }

    /// As `Card::send_frame`.
    pub fn send_frame(&mut self, slot: u8, frame: &[u8]) -> bool {
        self.d_channels.iter_mut().find(|d| d.slot == slot).is_some_and(|d| d.encoder.send(frame))
    }

    /// As `Card::receive_frame`.
    pub fn receive_frame(&mut self, slot: u8, into: &mut [u8]) -> Option<usize> {
        let d = self.d_channels.iter_mut().find(|d| d.slot == slot)?;
        let frame = d.received.pop_front()?;
        let len = frame.len().min(into.len());
        into[..len].copy_from_slice(&frame[..len]);
        d.spare.push(frame);
        Some(len)
    }
}

impl DChannel {
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

#[cfg(test)]
mod tests {
    use super::*;
    use units::Seed;

    fn pair() -> [Port; 2] {
        [(); 2].map(|()| Port::new(SpanKind::E1, 7, &[16], Buffer::WIRE))
    }

    /// One millisecond of both; packets that `keep` refuses are lost. What each heard in slot 1.
    fn tick(ports: &mut [Port; 2], voice: u8, keep: &mut impl FnMut() -> bool) -> [u8; 2] {
        let tx = [voice; 31 * 8];
        let mut packet = [0; PACKET_MAX];
        let mut heard = [0; 2];
        for end in 0..2 {
            let len = ports[end].send(&tx, &mut packet);
            if keep() {
                ports[1 - end].receive(&Packet::parse(&packet[..len]).expect("our own"));
            }
        }
        for (port, heard) in ports.iter_mut().zip(&mut heard) {
            let mut rx = [0; 31 * 8];
            port.hear(&mut rx);
            *heard = rx[0];
        }
        heard
    }

    #[test]
    fn a_packet_of_a_t1_is_226_octets_with_ethernet_and_bits_are_nibbles_from_the_right() {
        let mut port = Port::new(SpanKind::T1, 3, &[24], Buffer::WIRE);
        let mut packet = [0; PACKET_MAX];
        let len = port.send(&[0x55; 192], &mut packet);
        // The figure that was measured at the kernel: 14 of Ethernet, 8 of head, 12 of bits, 192 of voice.
        assert_eq!(14 + len, 214);
        port.set_bits(1, 0b1101);
        port.set_bits(6, 0b0001);
        let len = port.send(&[0x55; 192], &mut packet);
        assert_eq!(14 + len, 226);
        let read = Packet::parse(&packet[..len]).expect("our own");
        assert_eq!((read.subaddress, read.sequence, read.voice.len()), (3, 1, 192));
        assert_eq!((read.abcd(0), read.abcd(5), read.abcd(6)), (Some(0b1101), Some(1), Some(0)));
        assert_eq!(&packet[8..12], &[0x00, 0x0D, 0x00, 0x10]);
    }

    #[test]
    fn voice_frames_and_bits_pass() {
        let mut ports = pair();
        assert!(ports[0].send_frame(16, &[1, 2, 3, 4]));
        let heard: Vec<u8> = (0..40).map(|n| tick(&mut ports, n, &mut || true)[1]).collect();
        assert!(heard.windows(2).skip(4).all(|w| w[1] == w[0].wrapping_add(1)), "{heard:?}");
        assert_eq!(ports[1].receive_frame(16, &mut [0; 16]), Some(4));
        ports[0].set_bits(3, 9);
        tick(&mut ports, 0, &mut || true);
        let bits = |r: &CardReport| matches!(r, CardReport::Bits { slot: 3, abcd: 9, .. });
        assert!(std::iter::from_fn(|| ports[1].poll()).any(|r| bits(&r)));
    }

    #[test]
    fn packets_that_stop_are_a_defect_at_once_an_alarm_soon_and_yellow_at_the_peer() {
        let mut ports = pair();
        (0..300).for_each(|_| {
            tick(&mut ports, 1, &mut || true);
        });
        let reports = |p: &mut Port| {
            let alarms = std::iter::from_fn(|| p.poll()).filter_map(|r| match r {
                CardReport::Alarm { bits, .. } => Some(bits),
                _ => None,
            });
            alarms.collect::<Vec<_>>()
        };
        reports(&mut ports[0]);
        reports(&mut ports[1]);
        // Port 0 is cut off: it has LOS, its peer goes on and hears of it.
        let mut turn = 0;
        for _ in 0..300 {
            tick(&mut ports, 1, &mut || {
                turn += 1;
                turn % 2 == 1
            });
        }
        assert_eq!(reports(&mut ports[0]), [alarm::DEFECT, alarm::DEFECT | alarm::LOS]);
        assert_eq!(reports(&mut ports[1]), [alarm::DEFECT, alarm::DEFECT | alarm::RAI]);
        (0..500).for_each(|_| {
            tick(&mut ports, 1, &mut || true);
        });
        assert_eq!(reports(&mut ports[0]).last(), Some(&0));
        assert_eq!(reports(&mut ports[1]).last(), Some(&0));
    }

    #[test]
    fn lost_packets_and_drifting_clocks_are_counted_and_do_no_more() {
        let mut ports = pair();
        let mut rng = Seed(4).rng();
        (0..5_000).for_each(|_| {
            tick(&mut ports, 1, &mut || !rng.chance(0.05));
        });
        let counts = ports[0].counts();
        assert!(
            (150..350).contains(&counts.lost) && ports[0].buffer.len() <= Buffer::WIRE.ms_max,
            "{counts:?}"
        );
        // A peer whose clock is ten percent fast.
        let mut packet = [0; PACKET_MAX];
        for n in 0..2_000 {
            tick(&mut ports, 1, &mut || true);
            if n % 10 == 0 {
                let len = ports[1].send(&[2; 31 * 8], &mut packet);
                ports[0].receive(&Packet::parse(&packet[..len]).expect("our own"));
            }
        }
        assert!(ports[0].counts().overruns > 5 && ports[0].buffer.len() <= Buffer::WIRE.ms_max);
    }

    #[test]
    fn babble_is_no_packet() {
        let mut rng = Seed(5).rng();
        let mut port = Port::new(SpanKind::T1, 0, &[24], Buffer::WIRE);
        for _ in 0..50_000 {
            let mut octets: Vec<u8> = (0..rng.below(300)).map(|_| rng.next_u64().to_le_bytes()[0]).collect();
            if let Some(samples) = octets.get_mut(2) {
                *samples = 8;
            }
            if let Some(packet) = Packet::parse(&octets) {
                assert!((0..40).filter_map(|c| packet.abcd(c)).all(|b| b < 16));
                port.receive(&packet);
            }
        }
        assert_eq!(Packet::parse(&[0, 0, 8, 0, 0, 0, 0, 33]), None);
    }
}
