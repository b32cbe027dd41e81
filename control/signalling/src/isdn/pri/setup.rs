//! What a `Pri` keeps of a call.

use super::{Ask, Key, Pri};
use crate::isdn::q931::call::{self, Call};
use units::{Cause, LegId, Mono, Now, Private};

/// A call with its leg and channel.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) call: Call,
    /// Who is told; `None` once the leg has ended, and before an incoming call is offered.
    pub(super) leg: Option<LegId>,
    /// Its B-channel.
    pub(super) channel: Option<usize>,
    /// What was asked, for another try on another channel.
    pub(super) ask: Option<Ask>,
    /// Placed again under this leg once the reference is free.
    pub(super) again: Option<(LegId, Ask)>,
    /// Our channel went to a call of the peer.
    pub(super) robbed: bool,
    pub(super) alerted: bool,
    /// Ring no longer than until then.
    pub(super) ring_until: Option<Mono>,
    /// An incoming call whose number is not complete: what SETUP said, and the digits so far.
    pub(super) waiting: Option<(Box<crate::leg::Incoming>, Private<String>)>,
    pub(super) armed: Option<Mono>,
}

impl Entry {
    pub(super) fn new(call: Call, leg: Option<LegId>, channel: Option<usize>) -> Self {
        Self {
            call,
            leg,
            channel,
            ask: None,
            again: None,
            robbed: false,
            alerted: false,
            ring_until: None,
            waiting: None,
            armed: None,
        }
    }

    /// Whether another channel is worth a try: lost to glare, or the peer says that this one is taken (cause 44).
    pub(super) fn retries_on(&self, cause: Cause) -> bool {
        let left = self.ask.as_ref().is_some_and(|a| a.tries_left > 0);
        left && !self.alerted && (cause == Cause(44) || (self.robbed && cause == Cause::NO_CIRCUIT))
    }
}

impl Pri {
    pub(super) fn alerted(&mut self, key: Key) {
        if let Some(entry) = self.calls.get_mut(&key) {
            entry.alerted = true;
        }
    }

    /// Our own patience with a telephone that rings.
    pub(super) fn ring_expired(&mut self, now: Now, key: Key) {
        let Some(entry) = self.calls.get_mut(&key) else { return };
        if entry.ring_until.is_some_and(|at| at <= now.mono) {
            entry.ring_until = None;
            let cause = if entry.alerted { Cause::NO_ANSWER } else { Cause::NO_RESPONSE };
            self.give(now, key, call::Input::Clear(cause));
        }
    }
}
