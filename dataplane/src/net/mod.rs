//! How packets come and go: one trait, chosen at start, static dispatch. The backends stand in `io::net`; [`sim`] is
//! packets in memory for tests.

pub mod sim;

use crate::spec::Rtp;
use std::net::SocketAddr;
use std::ops::Range;

/// Which of a bearer's two ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Media.
    Rtp,
    /// Its control.
    Rtcp,
}

/// One packet that came.
#[derive(Debug)]
pub struct Arrival<'a> {
    /// Whose port it came to: a place of the worker's table; may have no bearer.
    pub place: u32,
    /// Which port.
    pub channel: Channel,
    /// From where.
    pub from: SocketAddr,
    /// What; may be changed in place (SRTP).
    pub bytes: &'a mut [u8],
}

/// A bearer cannot be attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetError {
    /// The place is out of range.
    Place,
    /// The specification lacks what this backend needs (a socket, a known address family).
    Unfit,
    /// The kernel refused; errno.
    Kernel(i32),
}

/// See the module. Nothing here allocates after construction.
pub trait Net {
    /// Makes a place send from and receive at the addresses of `rtp`.
    ///
    /// # Errors
    /// See [`NetError`]; the place is then detached.
    fn attach(&mut self, place: u32, rtp: &Rtp) -> Result<(), NetError>;

    /// Makes a place deaf and dumb.
    fn detach(&mut self, place: u32);

    /// Hands every packet that came to `sink`. Backends with a socket per bearer look only at the places of `due`,
    /// those whose phase it is; shared ones bring all.
    fn receive(&mut self, due: Range<u32>, sink: &mut impl FnMut(Arrival<'_>));

    /// Sends one packet: `write` fills the buffer (at least [`crate::rtp::PACKET_MAX`] octets) and says how many.
    fn send(&mut self, place: u32, channel: Channel, to: SocketAddr, write: impl FnOnce(&mut [u8]) -> usize);

    /// Gives the kernel what has gathered: once at the end of a tick.
    fn flush(&mut self);

    /// What went wrong since the start.
    fn counts(&self) -> NetCounts;
}

/// What a backend counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetCounts {
    /// Packets handed to the worker.
    pub received: u64,
    /// Packets given to the kernel.
    pub sent: u64,
    /// Packets that the kernel did not take.
    pub send_failed: u64,
    /// Packets that the kernel or the ring dropped before we read them, where it tells.
    pub receive_dropped: u64,
    /// Packets to ports of nobody.
    pub stray: u64,
}
