//! The SIP endpoint of one shard: octets and actions in, octets and indications out; no socket, no clock.

use crate::leg::{Action, Indication, Transport};
use std::net::SocketAddr;
use units::{LegId, Mono};

/// Where a message came by and answers go: a UDP socket or one stream connection, named by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId(pub u32);

/// What the endpoint is told.
#[derive(Debug)]
pub enum Input<'a> {
    /// A datagram, or octets of a stream in order (framed here, RFC 3261 §18.3).
    Received {
        /// By which flow.
        flow: FlowId,
        /// UDP, TCP or TLS.
        transport: Transport,
        /// From where.
        from: SocketAddr,
        /// Octets.
        bytes: &'a [u8],
    },
    /// A stream closed or a send failed.
    FlowClosed {
        /// Which.
        flow: FlowId,
    },
    /// An ICMP or connect error for an address.
    Unreachable {
        /// Transport.
        transport: Transport,
        /// Address.
        to: SocketAddr,
    },
    /// An action for a leg. `Place` makes the leg; its id is chosen by the caller and new.
    Leg(LegId, Action),
    /// The record that an ACK is about to be sent is durable: send it.
    AckJournalled(LegId),
    /// A deadline passed.
    Timer,
}

/// What the endpoint asks.
#[derive(Debug)]
pub enum Output {
    /// Send these octets.
    Transmit {
        /// By this flow if it is still up; else open one to `to`.
        flow: Option<FlowId>,
        /// Transport.
        transport: Transport,
        /// Where to.
        to: SocketAddr,
        /// One whole message.
        bytes: Vec<u8>,
    },
    /// Close a stream: it broke framing or a limit.
    Close {
        /// Which.
        flow: FlowId,
    },
    /// A leg tells.
    Leg(LegId, Indication),
    /// A peer that is probed by OPTIONS changed state.
    PeerState {
        /// Which.
        peer: SocketAddr,
        /// Reachable.
        up: bool,
    },
}

/// What the deadline is for: always the earliest transaction or dialog timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer;

/// See [`Endpoint::deadline`](self).
pub type Deadline = Option<(Mono, Timer)>;
