//! The B-channels of one D-channel: which call has which, and which may be used.

use super::Key;

/// One B-channel.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    pub(super) span: u16,
    pub(super) slot: u8,
    /// Interface identifier (NFAS).
    pub(super) interface: Option<u8>,
    pub(super) call: Option<Key>,
    /// RESTART is due or under way.
    pub(super) restarting: bool,
    /// Taken out by our operator.
    pub(super) blocked: bool,
    /// Taken out by the peer (SERVICE).
    pub(super) blocked_far: bool,
}

/// What a channel is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChannelState {
    /// Free.
    Idle,
    /// In a call of ours.
    Outgoing,
    /// In a call that came in.
    Incoming,
    /// Waiting for RESTART ACKNOWLEDGE.
    Restarting,
    /// Taken out here.
    Blocked,
    /// Taken out by the peer.
    BlockedFar,
    /// Its span has an alarm.
    Alarm,
    /// No data link.
    NoLink,
    /// Its last call is over, and the peer is off-hook still or the guard time runs (E&M).
    Resting,
}

impl ChannelState {
    /// One word for people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Outgoing => "outgoing",
            Self::Incoming => "incoming",
            Self::Restarting => "restarting",
            Self::Blocked => "blocked",
            Self::BlockedFar => "blocked by the far end",
            Self::Alarm => "in alarm",
            Self::NoLink => "no data link",
            Self::Resting => "resting",
        }
    }
}

/// In which order channels are taken. Two sides that choose from opposite ends meet seldom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Hunt {
    /// Lowest first.
    #[default]
    Ascending,
    /// Highest first.
    Descending,
    /// Onwards from the last one.
    Cyclic,
}

impl Hunt {
    /// From the other end.
    #[must_use]
    pub fn reversed(self) -> Self {
        match self {
            Hunt::Ascending => Hunt::Descending,
            Hunt::Descending | Hunt::Cyclic => Hunt::Ascending,
        }
    }
}

/// All of them, by span and slot.
#[derive(Clone, Debug, Default)]
pub(super) struct Channels {
    pub(super) all: Vec<Channel>,
    last: usize,
}

impl Channels {
    pub(super) fn push(&mut self, span: u16, slot: u8, interface: Option<u8>) {
        self.all.push(Channel {
            span,
            slot,
            interface,
            call: None,
            restarting: false,
            blocked: false,
            blocked_far: false,
        });
    }

    pub(super) fn find(&self, span: u16, slot: u8) -> Option<usize> {
        self.all.iter().position(|c| c.span == span && c.slot == slot)
    }

    /// By the numbers of a channel identification; without an interface, `span` is meant.
    pub(super) fn named(&self, interface: Option<u8>, span: u16, slot: u8) -> Option<usize> {
        let this = |c: &Channel| match interface {
            Some(_) => c.interface == interface,
            None => c.span == span,
        };
        self.all.iter().position(|c| this(c) && c.slot == slot)
    }

    /// A free channel of these spans that `usable` allows, in order of the hunt.
    pub(super) fn hunt(&mut self, hunt: Hunt, usable: impl Fn(&Channel) -> bool) -> Option<usize> {
        let free = |i: &usize| {
            let c = &self.all[*i];
            c.call.is_none() && !c.restarting && !c.blocked && !c.blocked_far && usable(c)
        };
        let n = self.all.len();
        let found = match hunt {
            Hunt::Ascending => (0..n).find(free),
            Hunt::Descending => (0..n).rev().find(free),
            Hunt::Cyclic => (1..=n).map(|i| (self.last + i) % n.max(1)).find(free),
        }?;
        self.last = found;
        Some(found)
    }

    pub(super) fn free(&mut self, call: Key) {
        for channel in self.all.iter_mut().filter(|c| c.call == Some(call)) {
            channel.call = None;
        }
    }
}
