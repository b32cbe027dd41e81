//! Where a world keeps its phones: slots that are found by leg, and by the address that a packet came from.

use super::phone::Phone;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::SocketAddr;
use units::LegId;

/// A phone in its place.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) leg: LegId,
    pub(super) phone: Phone,
    /// Which of our RTP ports it uses.
    pub(super) port: u16,
    /// Where its packets come from in truth, if that is not what the session description says.
    pub(super) learned: Option<SocketAddr>,
}

/// Our port's number and the other side's address.
type Road = (u16, SocketAddr);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    by_leg: HashMap<LegId, u32>,
    by_road: HashMap<Road, u32, BuildHasherDefault<Fold>>,
    /// By our port's number and the other side's port, for servers with more addresses than they tell.
    by_port: HashMap<(u16, u16), u32, BuildHasherDefault<Fold>>,
}

impl Slots {
    /// Puts a phone in; its place.
    pub(super) fn insert(&mut self, slot: Slot) -> u32 {
        let leg = slot.leg;
        let at = if let Some(at) = self.free.pop() {
            self.slots[index(at)] = Some(slot);
            at
        } else {
            self.slots.push(Some(slot));
            u32::try_from(self.slots.len() - 1).expect("fewer calls than 2^32")
        };
        self.by_leg.insert(leg, at);
        at
    }

    /// Takes a phone out with its roads.
    pub(super) fn remove(&mut self, leg: LegId) -> Option<Slot> {
        let at = self.by_leg.remove(&leg)?;
        let slot = self.slots[index(at)].take()?;
        self.free.push(at);
        for remote in slot.phone.remote.into_iter().chain(slot.learned) {
            self.forget(slot.port, remote, at);
        }
        Some(slot)
    }

    /// By leg.
    pub(super) fn get(&mut self, leg: LegId) -> Option<&mut Slot> {
        let at = *self.by_leg.get(&leg)?;
        self.slots[index(at)].as_mut()
    }

    /// By place, if that leg still has it.
    pub(super) fn at(&mut self, at: u32, leg: LegId) -> Option<&mut Slot> {
        self.slots.get_mut(index(at))?.as_mut().filter(|s| s.leg == leg)
    }

    /// By where a packet came from.
    pub(super) fn from_road(&mut self, port: u16, from: SocketAddr) -> Option<&mut Slot> {
        let at = *self.by_road.get(&(port, from))?;
        self.slots[index(at)].as_mut()
    }

    /// Whether a call already takes packets of this address on this port.
    pub(super) fn taken(&self, port: u16, from: SocketAddr) -> bool {
        self.by_road.contains_key(&(port, from))
    }

    /// Books the address that a phone's packets come from; false: another call's come from there too, and streams of the
    /// two cannot be told apart.
    pub(super) fn book(&mut self, leg: LegId, remote: SocketAddr) -> bool {
        let Some(&at) = self.by_leg.get(&leg) else { return true };
        let Some(slot) = self.slots[index(at)].as_mut() else { return true };
        let old = slot.phone.remote.replace(remote);
        let port = slot.port;
        if let Some(old) = old {
            self.forget(port, old, at);
        }
        self.by_port.insert((port, remote.port()), at);
        self.by_road.insert((port, remote), at).is_none_or(|other| other == at)
    }

    /// A packet came from an address that nobody told: it belongs to the call whose port it is, if that has no such
    /// address yet. A server may send from another of its addresses than it writes into its session description.
    pub(super) fn learn(&mut self, port: u16, from: SocketAddr) -> bool {
        let Some(&at) = self.by_port.get(&(port, from.port())) else { return false };
        match self.slots[index(at)].as_mut() {
            Some(slot) if slot.learned.is_none() => slot.learned = Some(from),
            _ => return false,
        }
        self.by_road.insert((port, from), at);
        true
    }

    fn forget(&mut self, port: u16, remote: SocketAddr, at: u32) {
        if self.by_road.get(&(port, remote)) == Some(&at) {
            self.by_road.remove(&(port, remote));
        }
        if self.by_port.get(&(port, remote.port())) == Some(&at) {
            self.by_port.remove(&(port, remote.port()));
        }
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.by_leg.len()
    }

    /// All phones.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().flatten()
    }
}

fn index(at: u32) -> usize {
    usize::try_from(at).expect("usize is not narrower")
}

/// A hash for addresses that a trusted server chose: one multiplication a word instead of SipHash's rounds.
#[derive(Debug, Default)]
pub(super) struct Fold(u64);

impl Hasher for Fold {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u16(&mut self, n: u16) {
        self.write_u64(u64::from(n));
    }

    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(5) ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests {
    use super::super::ear::Ear;
    use super::super::scenario::Scenario;
    use super::*;
    use units::Mono;

    fn slot(n: u64) -> Slot {
        let s = Scenario::parse("person a\n answer", &|_| None).expect("valid");
        let phone = Phone::new(Mono(0), s.people[0].clone(), String::new(), Ear::new(0, 300, false));
        Slot { leg: LegId(n), phone, port: 0, learned: None }
    }

    #[test]
    fn places_are_used_again_and_roads_go_with_their_phone() {
        let mut slots = Slots::default();
        let at = slots.insert(slot(1));
        let from = SocketAddr::from(([127, 0, 0, 1], 4000));
        assert!(slots.book(LegId(1), from) && slots.book(LegId(1), from));
        assert!(slots.taken(0, from) && !slots.taken(1, from));
        assert_eq!(slots.from_road(0, from).map(|s| s.leg), Some(LegId(1)));
        assert!(slots.remove(LegId(1)).is_some() && slots.remove(LegId(1)).is_none());
        assert!(slots.from_road(0, from).is_none());
        assert_eq!(slots.insert(slot(2)), at);
        assert!(slots.at(at, LegId(1)).is_none() && slots.at(at, LegId(2)).is_some());
        slots.insert(slot(3));
        assert!(slots.book(LegId(2), from));
        assert!(!slots.book(LegId(3), from), "two calls from one address are told");
        assert_eq!((slots.len(), slots.iter().count()), (2, 2));
        let other = SocketAddr::from(([192, 0, 2, 7], 4000));
        assert!(!slots.learn(1, other) && slots.learn(0, other) && !slots.learn(0, from));
        assert_eq!(slots.from_road(0, other).map(|s| s.leg), Some(LegId(3)));
        slots.remove(LegId(3));
        assert!(slots.from_road(0, other).is_none() && !slots.learn(0, other));
    }
}
