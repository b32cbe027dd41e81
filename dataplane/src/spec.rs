//! What a bearer is: lent to the worker in a [`Spec`] and given back at the end.

use crate::codec::Wide;
use crate::command::Detectors;
use crate::line::Treatment;
use crate::srtp::Srtp;
use hw::dsp::cadence::Country;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use units::{Codec, Seed};

/// Which ways sound goes, as the SDP direction attributes say it from our side (RFC 4566 §6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendReceive,
    /// We only send.
    SendOnly,
    /// We only receive.
    ReceiveOnly,
    /// Neither, as on hold.
    Inactive,
}

impl Direction {
    /// We send.
    #[must_use]
    pub fn sends(self) -> bool {
        matches!(self, Direction::SendReceive | Direction::SendOnly)
    }

    /// We listen.
    #[must_use]
    pub fn receives(self) -> bool {
        matches!(self, Direction::SendReceive | Direction::ReceiveOnly)
    }
}

/// The two sockets of a bearer where each has its own (the `plain` backend): kept open by the lender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sockets {
    /// Descriptor of the RTP socket.
    pub rtp: i32,
    /// Descriptor of the RTCP socket.
    pub rtcp: i32,
}

/// An RTP pair.
#[derive(Clone, Debug)]
pub struct Rtp {
    /// Our address, as in our SDP.
    pub local: SocketAddr,
    /// The far side's, as in its SDP. With an unspecified address or port 0 nothing is sent and nothing accepted.
    pub remote: SocketAddr,
    /// Where its RTCP goes (RFC 3605 or the next port); `None`: no RTCP. Equal to `remote`: multiplexed (RFC 5761).
    pub remote_rtcp: Option<SocketAddr>,
    /// Payload type of the codec, both ways.
    pub payload_type: u8,
    /// Payload type of telephone events, if agreed.
    pub event_payload_type: Option<u8>,
    /// Learn the far side's real address from its first packet, once, before we send the first one, and only the port
    /// may differ: off by default (RTP bleed).
    pub symmetric: bool,
    /// SRTP, if agreed; nothing unprotected is then sent or accepted. Respecifying with the same keys goes on counting.
    pub srtp: Option<Box<Srtp>>,
    /// Our synchronisation source.
    pub ssrc: u32,
    /// Our first sequence number.
    pub sequence: u16,
    /// Our first timestamp.
    pub timestamp: u32,
    /// The sockets, where the backend wants one per bearer; filled by the lender.
    pub sockets: Option<Sockets>,
}

/// Where a bearer's samples go.
#[derive(Clone, Debug)]
pub enum Medium {
    /// An RTP pair.
    Rtp(Rtp),
    /// A timeslot of the worker's card.
    Timeslot {
        /// Span from 0.
        span: u16,
        /// Slot from 1.
        slot: u8,
    },
}

/// What a bearer is.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Where its samples go.
    pub medium: Medium,
    /// The voice codec, both ways.
    pub codec: Codec,
    /// Which ways sound goes.
    pub direction: Direction,
    /// In-band detectors that run from the beginning.
    pub detectors: Detectors,
    /// Whose call-progress tones are played and known.
    pub country: Country,
    /// G.722's state; see [`Self::prepared`].
    pub wide: Option<Box<Wide>>,
    /// Gain and echo cancellation of a timeslot.
    pub treatment: Option<Box<Treatment>>,
}

impl Spec {
    /// An RTP bearer with the codec's static payload type, RTCP at the next port, no events and all detectors off;
    /// source, sequence and timestamp come from `seed`, which has to be unpredictable (RFC 3550 §5.1).
    #[must_use]
    pub fn rtp(local: SocketAddr, remote: SocketAddr, codec: Codec, seed: Seed) -> Self {
        let mut rng = seed.rng();
        let rtcp_port = remote.port().checked_add(1);
        Self {
            medium: Medium::Rtp(Rtp {
                local,
                remote,
                remote_rtcp: rtcp_port.map(|port| SocketAddr::new(remote.ip(), port)),
                payload_type: codec.payload_type(),
                event_payload_type: None,
                symmetric: false,
                srtp: None,
                ssrc: rng.next_u32(),
                // Below half the range, so that SRTP's rollover counter cannot be missed at the start (RFC 3711 §3.3.1).
                sequence: u16::try_from(rng.below(0x8000)).expect("below 2^15"),
                timestamp: rng.next_u32(),
                sockets: None,
            }),
            codec,
            direction: Direction::SendReceive,
            detectors: Detectors::default(),
            country: Country::default(),
            wide: None,
            treatment: None,
        }
    }

    /// A timeslot.
    #[must_use]
    pub fn timeslot(span: u16, slot: u8, codec: Codec) -> Self {
        Self {
            medium: Medium::Timeslot { span, slot },
            codec,
            direction: Direction::SendReceive,
            detectors: Detectors::default(),
            country: Country::default(),
            wide: None,
            treatment: None,
        }
    }

    /// With this treatment of its line; no effect on an RTP pair.
    #[must_use]
    pub fn with_treatment(mut self, treatment: Option<Treatment>) -> Self {
        self.treatment = treatment.map(Box::new);
        self
    }

    /// With telephone events (RFC 4733) at this payload type; no effect on a timeslot.
    #[must_use]
    pub fn with_events(mut self, payload_type: u8) -> Self {
        if let Medium::Rtp(rtp) = &mut self.medium {
            rtp.event_payload_type = Some(payload_type);
        }
        self
    }

    /// With SRTP; no effect on a timeslot.
    #[must_use]
    pub fn with_srtp(mut self, srtp: Srtp) -> Self {
        if let Medium::Rtp(rtp) = &mut self.medium {
            rtp.srtp = Some(Box::new(srtp));
        }
        self
    }

    /// With the state that its codec needs, so that the worker need not allocate it; lenders call this last.
    #[must_use]
    pub fn prepared(mut self) -> Self {
        self.wide = (self.codec == Codec::G722).then(Box::default);
        self
    }

    /// The RTP side, if it is one.
    #[must_use]
    pub fn as_rtp(&self) -> Option<&Rtp> {
        match &self.medium {
            Medium::Rtp(rtp) => Some(rtp),
            Medium::Timeslot { .. } => None,
        }
    }
}

/// No address: what a bearer sends to before it knows.
pub const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
