//! The unprivileged backend: each bearer has its two sockets, made by the lender, read by `recvmmsg` when its phase
//! comes, never by epoll. One system call per bearer and 20 ms to read, one to send: the slowest backend that works
//! everywhere.

use super::batch::{Batch, to_raw};
use crate::net::{Arrival, Channel, Net, NetCounts, NetError};
use crate::rtp::PACKET_MAX;
use crate::spec::{Rtp, Sockets};
use std::net::SocketAddr;
use std::ops::Range;

/// Packets read from a socket at once: a bearer gets one in 20 ms, a few after a hiccup.
const BATCH: usize = 8;
/// Phases between two looks at a bearer's RTCP socket: one second.
const RTCP_EVERY: u32 = 50;

/// See the module.
pub struct Plain {
    places: Box<[Option<Sockets>]>,
    batch: Batch,
    buffer: [u8; PACKET_MAX],
    round: u32,
    counts: NetCounts,
}

impl Plain {
    /// For so many places.
    #[must_use]
    pub fn new(places: u32) -> Self {
        let places = (0..places).map(|_| None).collect();
        Self {
            places,
            batch: Batch::new(BATCH),
            buffer: [0; PACKET_MAX],
            round: 0,
            counts: NetCounts::default(),
        }
    }

    fn sockets(&self, place: u32) -> Option<Sockets> {
        *self.places.get(usize::try_from(place).ok()?)?
    }

    fn drain(&mut self, place: u32, channel: Channel, fd: i32, sink: &mut impl FnMut(Arrival<'_>)) {
        let got = self.batch.receive(fd);
        for i in 0..got {
            let (Some(from), bytes) = self.batch.packet(i) else { continue };
            self.counts.received += 1;
            sink(Arrival { place, channel, from, bytes });
        }
    }
}

impl Net for Plain {
    fn attach(&mut self, place: u32, rtp: &Rtp) -> Result<(), NetError> {
        let slot = usize::try_from(place).ok().and_then(|i| self.places.get_mut(i)).ok_or(NetError::Place)?;
        *slot = rtp.sockets;
        slot.map(|_| ()).ok_or(NetError::Unfit)
    }

    fn detach(&mut self, place: u32) {
        if let Some(slot) = usize::try_from(place).ok().and_then(|i| self.places.get_mut(i)) {
            *slot = None;
        }
    }

    fn receive(&mut self, due: Range<u32>, sink: &mut impl FnMut(Arrival<'_>)) {
        self.round = self.round.wrapping_add(1);
        for place in due {
            let Some(sockets) = self.sockets(place) else { continue };
            self.drain(place, Channel::Rtp, sockets.rtp, sink);
            if (self.round / crate::limits::PHASES + place).is_multiple_of(RTCP_EVERY) {
                self.drain(place, Channel::Rtcp, sockets.rtcp, sink);
            }
        }
    }

    fn send(&mut self, place: u32, channel: Channel, to: SocketAddr, write: impl FnOnce(&mut [u8]) -> usize) {
        let Some(sockets) = self.sockets(place) else {
            self.counts.send_failed += 1;
            return;
        };
        let fd = if channel == Channel::Rtp { sockets.rtp } else { sockets.rtcp };
        let len = write(&mut self.buffer).min(PACKET_MAX);
        let raw = to_raw(to);
        // SAFETY: `len` octets of the buffer are readable, and `raw.len` octets of the address.
        let sent = unsafe {
            libc::sendto(
                fd,
                self.buffer.as_ptr().cast(),
                len,
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
                (&raw const raw.storage).cast(),
                raw.len,
            )
        };
        // An ICMP error of an earlier packet is told here once (ECONNREFUSED): the far side's affair.
        if sent < 0 { self.counts.send_failed += 1 } else { self.counts.sent += 1 }
    }

    fn flush(&mut self) {}

    fn counts(&self) -> NetCounts {
        self.counts
    }
}
