//! The kernel's ways for packets, behind one trait ([`crate::net::Net`]), chosen at start by what the host allows.

pub(crate) mod batch;
pub mod plain;
pub mod ports;

use crate::net::{Arrival, Channel, Net, NetCounts, NetError};
use crate::spec::Rtp;
use std::net::SocketAddr;
use std::ops::Range;

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backend {
    /// A socket per bearer; needs no privilege.
    Plain,
}

impl std::fmt::Display for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Backend::Plain => "plain",
        })
    }
}

/// What the configuration asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Choice {
    /// The best that the host allows.
    #[default]
    Auto,
    /// This one or none.
    Only(Backend),
}

/// Whichever was chosen: static dispatch by a match.
pub enum AnyNet {
    /// See [`plain::Plain`].
    Plain(plain::Plain),
}

macro_rules! each {
    ($self:ident, $net:ident => $do:expr) => {
        match $self {
            AnyNet::Plain($net) => $do,
        }
    };
}

impl Net for AnyNet {
    fn attach(&mut self, place: u32, rtp: &Rtp) -> Result<(), NetError> {
        each!(self, net => net.attach(place, rtp))
    }

    fn detach(&mut self, place: u32) {
        each!(self, net => net.detach(place));
    }

    fn receive(&mut self, due: Range<u32>, sink: &mut impl FnMut(Arrival<'_>)) {
        each!(self, net => net.receive(due, sink));
    }

    fn send(&mut self, place: u32, channel: Channel, to: SocketAddr, write: impl FnOnce(&mut [u8]) -> usize) {
        each!(self, net => net.send(place, channel, to, write));
    }

    fn flush(&mut self) {
        each!(self, net => net.flush());
    }

    fn counts(&self) -> NetCounts {
        each!(self, net => net.counts())
    }
}
