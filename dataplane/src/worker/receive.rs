//! What arrives: strict checks in the order of their cost, each refusal counted by kind; then into the jitter buffer or
//! the event receiver.

use super::Floor;
use super::bearer::Bearer;
use crate::event::{self, EVENT};
use crate::net::{Arrival, Channel};
use crate::report::{DigitVia, Report};
use crate::rtp::{self, Packet, Refused};
use hw::dsp::noise::Comfort;
use units::{Samples, Seed};

/// A jump forwards of the sequence number that is believed at once (RFC 3550 §A.1, `MAX_DROPOUT`).
const DROPOUT_MAX: u16 = 3000;
/// Sequence numbers back that the replay window knows.
const WINDOW: u16 = 64;
/// Longest and shortest audio payload: 60 and 5 ms.
const PAYLOAD_MAX: usize = 480;
const PAYLOAD_MIN: usize = 40;
/// The static payload type of comfort noise (RFC 3389 §4), whether agreed or not: it is harmless.
const COMFORT_NOISE: u8 = 13;
/// Its longest payload: a level and a few coefficients.
const NOISE_MAX: usize = 32;
/// Before the first level is known.
const NOISE_DBM0: f32 = -65.0;

impl Floor {
    /// Takes one packet.
    pub(super) fn arrive(&mut self, ms: u64, mut arrival: Arrival<'_>) {
        let Some(mut bearer) = self.bearer(arrival.place) else { return self.refuse(Refused::Nobody) };
        // RFC 5761 §4: on a shared port RTCP is known by its packet types.
        let multiplexed = bearer.hot.rtp && matches!(arrival.bytes, [_, 192..=223, ..]);
        let result = match arrival.channel {
            Channel::Rtp if !multiplexed => bearer.rtp(ms, &mut arrival),
            Channel::Rtp | Channel::Rtcp => bearer.rtcp(ms, &mut arrival),
        };
        if let Err(kind) = result {
            bearer.hot.counts.refused = bearer.hot.counts.refused.wrapping_add(1);
            self.refuse(kind);
        }
    }
}

impl Bearer<'_> {
    fn rtp(&mut self, ms: u64, arrival: &mut Arrival<'_>) -> Result<(), Refused> {
        // S12: the source is fixed by the SDP; not one octet of another one is looked at.
        if arrival.from != self.hot.remote {
            self.learn_source(arrival)?;
        }
        let clear = match self.srtp() {
            Some(_) if arrival.bytes.len() > rtp::PACKET_MAX => return Err(Refused::Oversized),
            Some(srtp) => srtp.unprotect(arrival.bytes)?,
            None => arrival.bytes.len(),
        };
        let packet = rtp::parse(&arrival.bytes[..clear])?;
        let is_event = packet.payload_type == self.hot.event_type;
        let len = packet.payload.len();
        let is_noise = packet.payload_type == COMFORT_NOISE && self.hot.payload_type != COMFORT_NOISE;
        let fits = if is_event {
            len >= EVENT
        } else if is_noise {
            (1..=NOISE_MAX).contains(&len)
        } else {
            packet.payload_type == self.hot.payload_type && (PAYLOAD_MIN..=PAYLOAD_MAX).contains(&len)
        };
        if !fits || !self.hot.rtp {
            return Err(Refused::Payload);
        }
        self.in_sequence(&packet)?;
        let hot = &mut *self.hot;
        hot.counts.received = hot.counts.received.wrapping_add(1);
        hot.last_rx_ms = low32(ms);
        self.cold.silent_told = 0;
        let now = low32(ms.wrapping_mul(8));
        if is_event {
            self.event(&packet);
        } else if is_noise {
            let seed = Seed(u64::from(self.hot.ssrc));
            let comfort = self.cold.comfort.get_or_insert_with(|| Comfort::new(seed, NOISE_DBM0));
            comfort.follow(packet.payload);
        } else {
            self.jitter(now, packet.timestamp);
            self.place(now, &packet);
        }
        Ok(())
    }

    /// Symmetric RTP, if agreed: another port of the same address, once, before we have sent anything.
    fn learn_source(&mut self, arrival: &Arrival<'_>) -> Result<(), Refused> {
        let hot = &mut *self.hot;
        let may =
            hot.symmetric && hot.counts.sent == 0 && !hot.started && arrival.from.ip() == hot.remote.ip();
        if !may {
            return Err(Refused::Source);
        }
        rtp::parse(arrival.bytes)?;
        hot.remote = arrival.from;
        hot.symmetric = false;
        Ok(())
    }

    /// RFC 3550 §A.1, with a window against replay.
    fn in_sequence(&mut self, packet: &Packet<'_>) -> Result<(), Refused> {
        let hot = &mut *self.hot;
        if !hot.started {
            self.start(packet);
            return Ok(());
        }
        if packet.ssrc != hot.rx_ssrc {
            // A new source at the same address is believed after two packets in a row.
            let confirmed = hot.other_ssrc == packet.ssrc && hot.jump_next == packet.sequence;
            (hot.other_ssrc, hot.jump_next) = (packet.ssrc, packet.sequence.wrapping_add(1));
            if !confirmed {
                return Err(Refused::Ssrc);
            }
            self.cold.jitter.reset();
            self.cold.events = event::Receiver::default();
            self.start(packet);
            return Ok(());
        }
        let [_, _, high, low] = hot.rx_sequence.to_be_bytes();
        let ahead = packet.sequence.wrapping_sub(u16::from_be_bytes([high, low]));
        if ahead != 0 && ahead <= DROPOUT_MAX {
            hot.window = hot.window.checked_shl(u32::from(ahead)).unwrap_or(0) | 1;
            hot.rx_sequence = hot.rx_sequence.wrapping_add(u32::from(ahead));
            return Ok(());
        }
        let back = ahead.wrapping_neg();
        if back < WINDOW {
            let bit = 1 << back;
            if hot.window & bit != 0 {
                return Err(Refused::Replay);
            }
            hot.window |= bit;
            return Ok(());
        }
        if back <= DROPOUT_MAX {
            return Err(Refused::Replay);
        }
        let confirmed = hot.other_ssrc == packet.ssrc && hot.jump_next == packet.sequence;
        (hot.other_ssrc, hot.jump_next) = (packet.ssrc, packet.sequence.wrapping_add(1));
        if !confirmed {
            return Err(Refused::Jump);
        }
        self.start(packet);
        Ok(())
    }

    fn start(&mut self, packet: &Packet<'_>) {
        let hot = &mut *self.hot;
        if !hot.started {
            self.link.edge(Report::FirstPacket { bearer: self.id });
        }
        hot.started = true;
        hot.rx_ssrc = packet.ssrc;
        hot.rx_sequence = u32::from(packet.sequence).wrapping_add(0x1_0000);
        hot.rx_base = hot.rx_sequence.wrapping_sub(hot.counts.received);
        hot.window = 1;
        hot.transit = 0;
    }

    /// Interarrival jitter, RFC 3550 §A.8, with 4 bits of fraction.
    fn jitter(&mut self, now: u32, timestamp: u32) {
        let hot = &mut *self.hot;
        let transit = now.wrapping_sub(timestamp);
        if hot.counts.received > 1 {
            let d = transit.wrapping_sub(hot.transit).cast_signed().unsigned_abs().min(0xffff);
            hot.counts.jitter = (hot.counts.jitter + d).saturating_sub((hot.counts.jitter + 8) >> 4);
        }
        hot.transit = transit;
    }

    fn place(&mut self, now: u32, packet: &Packet<'_>) {
        if !self.hot.direction.receives() {
            return;
        }
        let put = self.cold.jitter.put(now, packet.timestamp, packet.payload);
        if put == crate::jitter::Put::Late {
            self.hot.counts.late = self.hot.counts.late.wrapping_add(1);
        }
    }

    fn event(&mut self, packet: &Packet<'_>) {
        let Some(event) = event::parse(packet.payload) else { return };
        self.cold.events_seen = true;
        match self.cold.events.receive(packet.sequence, packet.timestamp, event) {
            event::Heard::Pressed(digit) => {
                self.digit(digit, DigitVia::Event, Samples(u32::from(event.duration)));
            }
            event::Heard::Nothing => {}
        }
    }
}

/// The low 32 bits.
pub(super) fn low32(x: u64) -> u32 {
    u32::try_from(x & 0xffff_ffff).expect("masked")
}
