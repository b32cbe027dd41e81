//! RTCP of a bearer: reports every five seconds or so, BYE at the end, and what the far side tells of itself.

use super::bearer::Bearer;
use crate::net::{Arrival, Channel, Net};
use crate::rtcp::{self, Block, INTERVAL_MS, Told};
use crate::rtp::Refused;
use crate::spec::Spec;
use std::net::SocketAddr;

/// What RTCP remembers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Control {
    /// Where reports go; `None`: nowhere.
    pub(super) remote: Option<SocketAddr>,
    /// Payload octets sent.
    pub(super) octets: u32,
    due_ms: u64,
    chance: u32,
    expected_before: u32,
    received_before: u32,
    last_sr: u32,
    last_sr_ms: u64,
    /// What the far side reported last about our packets.
    pub(super) about_us: Option<Block>,
}

impl Control {
    pub(super) fn begin(&mut self, ms: u64, spec: &Spec) {
        let rtp = spec.as_rtp();
        *self = Self {
            remote: rtp.and_then(|r| r.remote_rtcp),
            chance: rtp.map_or(0, |r| r.ssrc),
            ..Self::default()
        };
        self.plan(ms);
    }

    /// RFC 3550 §6.2: half to one and a half of the interval, so that reports of many do not meet.
    fn plan(&mut self, ms: u64) {
        self.chance = self.chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.due_ms = ms + INTERVAL_MS / 2 + u64::from(self.chance >> 16) * INTERVAL_MS / 65_536;
    }
}

impl Bearer<'_> {
    /// Sends a report when it is time.
    pub(super) fn control(&mut self, ms: u64, wall_ms: u64, net: &mut impl Net) {
        if ms >= self.cold.control.due_ms && self.cold.control.remote.is_some() {
            self.cold.control.plan(ms);
            self.tell(ms, wall_ms, false, net);
        }
    }

    /// Says that we leave (RFC 3550 §6.6), if anything was said before.
    pub(super) fn bye(&mut self, ms: u64, wall_ms: u64, net: &mut impl Net) {
        if self.hot.counts.sent > 0 {
            self.tell(ms, wall_ms, true, net);
        }
    }

    fn tell(&mut self, ms: u64, wall_ms: u64, bye: bool, net: &mut impl Net) {
        let Some(remote) = self.cold.control.remote.filter(|r| r.port() != 0) else { return };
        let told = Told {
            ssrc: self.hot.ssrc,
            wall_ms,
            timestamp: self.hot.tx_timestamp,
            packets: self.hot.counts.sent,
            octets: self.cold.control.octets,
            block: self.block(ms),
            bye,
        };
        let channel = if remote == self.hot.remote { Channel::Rtp } else { Channel::Rtcp };
        let place = self.id.index;
        let srtp = self.srtp();
        net.send(place, channel, remote, |buffer| {
            let len = rtcp::write(buffer, &told);
            srtp.map_or(len, |srtp| srtp.protect_rtcp(buffer, len))
        });
    }

    /// RFC 3550 §A.3: what is lost in all, and of what was expected since the last report.
    fn block(&mut self, ms: u64) -> Option<Block> {
        let hot = &*self.hot;
        if !hot.started {
            return None;
        }
        let c = &mut self.cold.control;
        let expected = hot.rx_sequence.wrapping_sub(hot.rx_base).wrapping_add(1);
        let lost = expected.wrapping_sub(hot.counts.received).cast_signed();
        let expected_now = expected.wrapping_sub(c.expected_before);
        let received_now = hot.counts.received.wrapping_sub(c.received_before);
        (c.expected_before, c.received_before) = (expected, hot.counts.received);
        let lost_now = u64::from(expected_now.saturating_sub(received_now));
        let fraction = (lost_now * 256).checked_div(u64::from(expected_now)).unwrap_or(0).min(255);
        let delay = if c.last_sr == 0 { 0 } else { (ms - c.last_sr_ms).min(60_000) * 65_536 / 1000 };
        Some(Block {
            ssrc: hot.rx_ssrc,
            fraction: u8::try_from(fraction).expect("at most 255"),
            lost,
            highest: hot.rx_sequence.wrapping_sub(0x1_0000),
            jitter: hot.counts.jitter >> 4,
            last_sr: c.last_sr,
            delay: u32::try_from(delay).expect("a minute at most"),
        })
    }

    /// Takes what the far side reports.
    pub(super) fn rtcp(&mut self, ms: u64, arrival: &mut Arrival<'_>) -> Result<(), Refused> {
        let expected = self.cold.control.remote.map(|r| r.ip());
        // RTCP often comes from another port than it is sent to; the address has to be the one of the SDP.
        if expected != Some(arrival.from.ip()) {
            return Err(Refused::Source);
        }
        let clear = match self.srtp() {
            Some(srtp) => srtp.unprotect_rtcp(arrival.bytes)?,
            None => arrival.bytes.len(),
        };
        let read = rtcp::read(&arrival.bytes[..clear], self.hot.ssrc)?;
        let c = &mut self.cold.control;
        if let Some(ntp) = read.sender_ntp {
            (c.last_sr, c.last_sr_ms) = (ntp, ms);
        }
        c.about_us = read.about_us.or(c.about_us);
        Ok(())
    }
}
