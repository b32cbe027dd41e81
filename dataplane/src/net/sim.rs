//! Packets in memory: what a test puts in comes to the worker, what the worker sends is kept in order.

use super::{Arrival, Channel, Net, NetCounts, NetError};
use crate::rtp::PACKET_MAX;
use crate::spec::Rtp;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::ops::Range;

/// A packet under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimPacket {
    /// The worker's side.
    pub local: SocketAddr,
    /// The far side.
    pub remote: SocketAddr,
    /// Octets.
    pub bytes: Vec<u8>,
}

/// See the module. Local addresses are matched as in the specifications; RTCP is the next port.
#[derive(Debug, Default)]
pub struct SimNet {
    incoming: VecDeque<SimPacket>,
    outgoing: VecDeque<SimPacket>,
    places: Vec<Option<SocketAddr>>,
    by_address: HashMap<SocketAddr, u32>,
    counts: NetCounts,
    silent: bool,
    /// Packets that were handed over, kept so that a sealed tick does not free them.
    kept: Vec<SimPacket>,
}

impl SimNet {
    /// For a worker of so many places.
    #[must_use]
    pub fn new(places: u32) -> Self {
        let places = usize::try_from(places).unwrap_or(0);
        let by_address = HashMap::with_capacity(places);
        Self { places: vec![None; places], by_address, ..Self::default() }
    }

    /// Throws away what is sent, so that nothing allocates (for sealing tests and instruction counts).
    pub fn silence(&mut self) {
        self.silent = true;
    }

    /// Reserves room for packets under way.
    pub fn reserve(&mut self, packets: usize) {
        self.incoming.reserve(packets);
        self.outgoing.reserve(packets);
    }

    /// Keeps up to so many packets after they were handed over, so that a tick frees nothing.
    pub fn keep(&mut self, packets: usize) {
        self.kept.reserve(packets);
    }

    /// Lets a packet arrive at the next tick.
    pub fn deliver(&mut self, packet: SimPacket) {
        self.incoming.push_back(packet);
    }

    /// The next packet that was sent.
    pub fn sent(&mut self) -> Option<SimPacket> {
        self.outgoing.pop_front()
    }

    fn find(&self, local: SocketAddr) -> Option<(u32, Channel)> {
        if let Some(&place) = self.by_address.get(&local) {
            return Some((place, Channel::Rtp));
        }
        let rtp = SocketAddr::new(local.ip(), local.port().checked_sub(1)?);
        self.by_address.get(&rtp).map(|&place| (place, Channel::Rtcp))
    }

    fn forget(&mut self, slot: usize) {
        if let Some(address) = self.places.get_mut(slot).and_then(Option::take) {
            self.by_address.remove(&address);
        }
    }
}

impl Net for SimNet {
    fn attach(&mut self, place: u32, rtp: &Rtp) -> Result<(), NetError> {
        let slot = usize::try_from(place).ok().filter(|&i| i < self.places.len()).ok_or(NetError::Place)?;
        self.forget(slot);
        self.places[slot] = Some(rtp.local);
        self.by_address.insert(rtp.local, place);
        Ok(())
    }

    fn detach(&mut self, place: u32) {
        if let Ok(slot) = usize::try_from(place) {
            self.forget(slot);
        }
    }

    fn receive(&mut self, _due: Range<u32>, sink: &mut impl FnMut(Arrival<'_>)) {
        while let Some(mut packet) = self.incoming.pop_front() {
            match self.find(packet.local) {
                Some((place, channel)) => {
                    self.counts.received += 1;
                    sink(Arrival { place, channel, from: packet.remote, bytes: &mut packet.bytes });
                }
                None => self.counts.stray += 1,
            }
            if self.kept.len() < self.kept.capacity() {
                self.kept.push(packet);
            }
        }
    }

    fn send(&mut self, place: u32, channel: Channel, to: SocketAddr, write: impl FnOnce(&mut [u8]) -> usize) {
        let Some(Some(mut local)) = usize::try_from(place).ok().and_then(|i| self.places.get(i)).copied()
        else {
            self.counts.send_failed += 1;
            return;
        };
        if channel == Channel::Rtcp {
            local.set_port(local.port().saturating_add(1));
        }
        let mut buffer = [0; PACKET_MAX];
        let len = write(&mut buffer);
        self.counts.sent += 1;
        if !self.silent {
            self.outgoing.push_back(SimPacket { local, remote: to, bytes: buffer[..len].to_vec() });
        }
    }

    fn flush(&mut self) {}

    fn counts(&self) -> NetCounts {
        self.counts
    }
}
