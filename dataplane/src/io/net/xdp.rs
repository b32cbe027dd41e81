//! AF_XDP in copy mode: media bypasses the kernel's stack both ways. What the program passes on (fragments, IP options,
//! other interfaces) and what goes to neighbours that are not known yet (and IPv6) takes the way of
//! [`sockets`](super::sockets), which this backend contains.

use super::bpf::{self, MapKind, ProgramKind};
use super::neighbour::{Mac, Neighbours};
use super::sockets::{Pair, Shared};
use super::wire::{HEADROOM, decapsulate, encapsulate};
use super::xsk::Xsk;
use super::{PortRange, Refusal, Step, refused};
use crate::net::{Arrival, Channel, Net, NetCounts, NetError};
use crate::rtp::PACKET_MAX;
use crate::spec::Rtp;
use std::ffi::CString;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::fd::OwnedFd;

const ETHERNET: usize = 14;
/// Generic mode: the driver needs to know nothing.
const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;

/// See the module.
pub struct Xdp {
    xsk: Xsk,
    slow: Shared,
    neighbours: Neighbours,
    mac: Mac,
    id: u16,
    received: u64,
    sent: u64,
    stray: u64,
    _link: OwnedFd,
    _program: OwnedFd,
    _map: OwnedFd,
}

impl Xdp {
    /// On queue 0 of `interface`, with the sockets of the slow path.
    ///
    /// # Errors
    /// Which step the kernel refused.
    pub fn new(
        interface: &str,
        ip: IpAddr,
        range: &PortRange,
        pair: Pair,
        places: u32,
    ) -> Result<Self, Refusal> {
        let name = CString::new(interface).map_err(|_| Refusal { step: Step::Interface, errno: 0 })?;
        // SAFETY: a C string; the call only reads it.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        let mac = mac(interface).ok_or(Refusal { step: Step::Interface, errno: 0 })?;
        if index == 0 {
            return Err(refused(Step::Interface)(std::io::Error::last_os_error()));
        }
        let xsk = Xsk::open(index, 0).map_err(refused(Step::Xsk))?;
        let map = bpf::make_map(MapKind::Xsk, 1).map_err(refused(Step::Map))?;
        bpf::put_socket(&map, 0, xsk.raw_fd()).map_err(refused(Step::Map))?;
        let program = bpf::xdp(&map, range.first, range.last, ip.is_ipv6());
        let program = bpf::load(ProgramKind::Xdp, &program).map_err(refused(Step::Program))?;
        let target = i32::try_from(index).expect("interfaces are few");
        let link = bpf::attach(&program, target, ProgramKind::Xdp, XDP_FLAGS_SKB_MODE)
            .map_err(refused(Step::Attach))?;
        let neighbours = Neighbours::watch(interface).map_err(refused(Step::Interface))?;
        let slow = Shared::new(pair, range, places);
        let (received, sent, stray) = (0, 0, 0);
        Ok(Self {
            xsk,
            slow,
            neighbours,
            mac,
            id: 0,
            received,
            sent,
            stray,
            _link: link,
            _program: program,
            _map: map,
        })
    }

    fn next_hop(&self, to: SocketAddr) -> Option<Mac> {
        match to.ip() {
            IpAddr::V4(ip) => self.neighbours.find(ip),
            IpAddr::V6(_) => None,
        }
    }
}

fn mac(interface: &str) -> Option<Mac> {
    let text = std::fs::read_to_string(format!("/sys/class/net/{interface}/address")).ok()?;
    let octets: Vec<u8> = text.trim().split(':').filter_map(|o| u8::from_str_radix(o, 16).ok()).collect();
    octets.try_into().ok()
}

impl Net for Xdp {
    fn attach(&mut self, place: u32, rtp: &Rtp) -> Result<(), NetError> {
        self.slow.attach(place, rtp)
    }

    fn detach(&mut self, place: u32) {
        self.slow.detach(place);
    }

    fn receive(&mut self, due: Range<u32>, sink: &mut impl FnMut(Arrival<'_>)) {
        let (map, received, stray) = (self.slow.map(), &mut self.received, &mut self.stray);
        self.xsk.receive(|frame| {
            let packet = frame.get_mut(ETHERNET..).unwrap_or_default();
            let read = decapsulate(packet).and_then(|(from, to, at)| Some((from, map.find(to)?, at)));
            match read {
                Some((from, (place, channel), at)) => {
                    *received += 1;
                    sink(Arrival { place, channel, from, bytes: &mut packet[at] });
                }
                None => *stray += 1,
            }
        });
        self.slow.receive(due, sink);
    }

    fn send(&mut self, place: u32, channel: Channel, to: SocketAddr, write: impl FnOnce(&mut [u8]) -> usize) {
        let (Some(next), Some(from)) = (self.next_hop(to), self.slow.map().local(place, channel)) else {
            return self.slow.send(place, channel, to, write);
        };
        self.id = self.id.wrapping_add(1).max(1);
        let (id, mac) = (self.id, self.mac);
        let sent = self.xsk.send(|frame| {
            let frame = &mut frame[..ETHERNET + HEADROOM + PACKET_MAX];
            let len = write(&mut frame[ETHERNET + HEADROOM..]).min(PACKET_MAX);
            let start = encapsulate(&mut frame[ETHERNET..], len, from, to, id)?;
            frame[start..start + 6].copy_from_slice(&next);
            frame[start + 6..start + 12].copy_from_slice(&mac);
            let kind = if to.is_ipv6() { [0x86, 0xdd] } else { [0x08, 0x00] };
            frame[start + 12..start + 14].copy_from_slice(&kind);
            Some(start..ETHERNET + HEADROOM + len)
        });
        if sent { self.sent += 1 } else { self.slow.count_failed() }
    }

    fn flush(&mut self) {
        self.xsk.flush();
        self.slow.flush();
    }

    fn counts(&self) -> NetCounts {
        let mut counts = self.slow.counts();
        counts.received += self.received;
        counts.sent += self.sent;
        counts.stray += self.stray;
        counts
    }
}
