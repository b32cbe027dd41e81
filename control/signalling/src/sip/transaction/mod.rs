//! The four transaction machines of RFC 3261 §17 with the Accepted states of RFC 6026, one file a figure.
//!
//! They hold no octets and know no sockets: an output says *what* to send (the request, its ACK, the last response),
//! and who owns the machine holds those octets. `.dot` files beside the tests show their transitions.

pub mod client_invite;
pub mod client_other;
mod resend;
pub mod server_invite;
pub mod server_other;

pub use client_invite::ClientInvite;
pub use client_other::ClientOther;
pub use server_invite::ServerInvite;
pub use server_other::ServerOther;

use std::time::Duration;

/// T1, T2 and T4 of RFC 3261 §17.1.1.1 and §17.1.2.2; timers A to M derive from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Round trip estimate, 500 ms.
    pub t1: Duration,
    /// Longest interval between retransmissions, 4 s.
    pub t2: Duration,
    /// How long a message stays in the network, 5 s.
    pub t4: Duration,
    /// Timer D over UDP, at least 32 s.
    pub d: Duration,
}

impl Timers {
    /// 64*T1: timers B, F, H, J, L and M.
    #[must_use]
    pub fn t1x64(&self) -> Duration {
        self.t1 * 64
    }
}

impl Timers {
    /// How long a machine stays to absorb what comes again: not at all over a reliable transport.
    fn absorb(now: units::Mono, reliable: bool, interval: Duration) -> units::Mono {
        if reliable { now } else { now + interval }
    }
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            d: Duration::from_secs(32),
        }
    }
}

/// What a client transaction asks of its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientOutput {
    /// Send the request.
    SendRequest,
    /// Send the ACK for a non-2xx (built by the owner from the response just handled, then kept).
    SendAck,
    /// The response just handled is for the transaction user.
    Deliver,
    /// No answer in time (timer B or F).
    TimedOut,
    /// The transport failed.
    Failed,
    /// Over: forget the machine.
    Gone,
}

/// What a server transaction asks of its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerOutput {
    /// Send the last response.
    SendResponse,
    /// The ACK just handled is for the transaction user.
    Deliver,
    /// No ACK came in time (timer H).
    TimedOut,
    /// The transport failed.
    Failed,
    /// Over: forget the machine.
    Gone,
}

/// At most four outputs between two `handle`s: a machine never has more to say at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outbox<T> {
    items: [Option<T>; 4],
}

impl<T: Copy> Outbox<T> {
    pub(crate) fn new() -> Self {
        Self { items: [None; 4] }
    }

    pub(crate) fn push(&mut self, item: T) {
        let free = self.items.iter_mut().find(|i| i.is_none()).expect("drained before the next input");
        *free = Some(item);
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let first = self.items[0].take();
        self.items.rotate_left(1);
        first
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items[0].is_none()
    }
}
