//! The kernel's ways for packets, behind one trait ([`crate::net::Net`]), chosen at start by what the host allows.

pub(crate) mod batch;
pub(crate) mod bpf;
pub(crate) mod choose;
pub(crate) mod neighbour;
pub mod plain;
pub mod ports;
pub mod sockets;
pub mod uring;
pub(crate) mod wire;
pub mod xdp;
pub(crate) mod xsk;

use crate::net::{Arrival, Channel, Net, NetCounts, NetError};
use crate::spec::Rtp;
use std::net::SocketAddr;
use std::ops::Range;

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backend {
    /// A socket per bearer; needs no privilege.
    Plain,
    /// Two sockets per worker, steered by `SK_LOOKUP`; needs `CAP_NET_RAW` and `CAP_BPF` (with `CAP_NET_ADMIN`).
    Sockets,
    /// The sockets of [`Self::Sockets`] driven by io_uring.
    Uring,
    /// AF_XDP in copy mode on one interface and one worker, [`Self::Sockets`] for the rest.
    Xdp,
}

/// The UDP ports of the dataplane; RTP even, RTCP odd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

/// What a backend could not do at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The interface: none was named, or it does not exist.
    Interface,
    /// One queue of an interface feeds one worker; more were asked for.
    Workers,
    /// An io_uring.
    Uring,
    /// An AF_XDP socket.
    Xsk,
    /// A receiving socket.
    Socket,
    /// A raw sending socket.
    Raw,
    /// A BPF map.
    Map,
    /// Loading the BPF program.
    Program,
    /// Attaching it.
    Attach,
    /// The port range: another program on this host takes its packets, so that no backend would hear them.
    Taken,
}

/// Why a backend was passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What was tried.
    pub step: Step,
    /// What the kernel said; 0: nothing.
    pub errno: i32,
}

fn refused(step: Step) -> impl Fn(std::io::Error) -> Refusal {
    move |e| Refusal { step, errno: e.raw_os_error().unwrap_or(0) }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self.step {
            Step::Interface => "no such interface, or none was named",
            Step::Workers => "one interface queue feeds one worker, and there are more",
            Step::Uring => "no io_uring (6.1 or newer, not disabled by kernel.io_uring_disabled)",
            Step::Xsk => "no AF_XDP socket (CAP_NET_RAW, CAP_NET_ADMIN)",
            Step::Socket => "no receiving socket",
            Step::Raw => "no raw socket (CAP_NET_RAW)",
            Step::Map => "no BPF map (CAP_BPF)",
            Step::Program => "the BPF program was not accepted (CAP_BPF, CAP_NET_ADMIN)",
            Step::Taken => {
                "another program on this host (a second Carillon?) takes the packets of the port range"
            }
            Step::Attach => "the BPF program could not be attached",
        };
        f.write_str(what)?;
        if self.errno != 0 {
            write!(f, ": {}", std::io::Error::from_raw_os_error(self.errno))?;
        }
        Ok(())
    }
}

impl std::fmt::Display for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Backend::Plain => "plain",
            Backend::Sockets => "sockets",
            Backend::Uring => "uring",
            Backend::Xdp => "xdp",
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

/// No such backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownBackend;

impl std::fmt::Display for UnknownBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a backend is one of auto, plain, sockets, uring, xdp")
    }
}

impl std::error::Error for UnknownBackend {}

impl std::str::FromStr for Choice {
    type Err = UnknownBackend;
    fn from_str(s: &str) -> Result<Self, UnknownBackend> {
        match s {
            "auto" => Ok(Choice::Auto),
            "plain" => Ok(Choice::Only(Backend::Plain)),
            "sockets" => Ok(Choice::Only(Backend::Sockets)),
            "uring" => Ok(Choice::Only(Backend::Uring)),
            "xdp" => Ok(Choice::Only(Backend::Xdp)),
            _ => Err(UnknownBackend),
        }
    }
}

/// Whichever was chosen: static dispatch by a match.
pub enum AnyNet {
    /// See [`plain::Plain`].
    Plain(Box<plain::Plain>),
    /// See [`sockets::Shared`].
    Sockets(Box<sockets::Shared>),
    /// See [`uring::Uring`].
    Uring(Box<uring::Uring>),
    /// See [`xdp::Xdp`].
    Xdp(Box<xdp::Xdp>),
}

macro_rules! each {
    ($self:ident, $net:ident => $do:expr) => {
        match $self {
            AnyNet::Plain($net) => $do,
            AnyNet::Sockets($net) => $do,
            AnyNet::Uring($net) => $do,
            AnyNet::Xdp($net) => $do,
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
