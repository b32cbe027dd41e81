//! Call transfer by the exchange: two calls of this D-channel become one there, and both B-channels are free. EuroISDN
//! has explicit call transfer (EN 300 369-1 §7.2, explicit linkage: a link for the second call, then the transfer on the
//! first), National ISDN 2 the two B-channel transfer (GR-2865). As the exchange we offer none, and say so.

use super::{Key, Pri};
use crate::isdn::q921::Side;
use crate::isdn::q931::facility::{Component, Operation};
use crate::isdn::q931::wire::Kind;
use crate::isdn::switch::Transfer;
use crate::leg::Indication;
use std::time::Duration;
use units::{LegId, Mono, Now};

/// A transfer that the exchange was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moving {
    leg: LegId,
    /// The call that the exchange is asked on, and the other.
    first: Key,
    second: Key,
    invoke: u16,
    until: Mono,
}

/// The exchange's answer; it has a second call's party to move, too.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Transfers under way on one D-channel.
const MOVING_MAX: usize = 64;

/// Outcome of a transfer in the words of [`Indication::ReferProgress`].
mod status {
    pub(super) const DONE: u16 = 200;
    pub(super) const REFUSED: u16 = 603;
    pub(super) const NO_ANSWER: u16 = 408;
    pub(super) const NOT_OFFERED: u16 = 501;
}

impl Pri {
    /// Asks the exchange to join the call of `leg` with the one of `other`.
    pub(super) fn transfer(&mut self, now: Now, leg: LegId, other: Option<LegId>) {
        let keys = self.legs.get(&leg).copied().zip(other.and_then(|o| self.legs.get(&o)).copied());
        let active = |key: &Key| self.calls.get(key).is_some_and(|e| e.call.is_active());
        // Without a second call there is nothing to transfer to: a blind transfer is not for this interface.
        let fits = keys.filter(|(a, b)| a != b && active(a) && active(b));
        let offered =
            self.config.transfer && self.config.side == Side::User && self.moving.len() < MOVING_MAX;
        let Some((first, second)) = fits.filter(|_| offered && self.is_up()) else {
            return self.tell(leg, Indication::ReferProgress { status: status::NOT_OFFERED });
        };
        let invoke = self.new_invoke();
        let moving = Moving { leg, first, second, invoke, until: now.mono + ANSWER_MAX };
        self.moving.push(moving);
        match self.config.switch.transfer {
            Transfer::Explicit => self.invoke(now, second, invoke, Operation::EctLinkIdRequest, None),
            Transfer::TwoChannels => {
                let reference = second.value | (u16::from(!second.ours) << 15);
                self.invoke(now, first, invoke, Operation::InitiateTransfer, Some(reference));
            }
        }
    }

    fn new_invoke(&mut self) -> u16 {
        self.next_invoke = self.next_invoke % 0x7FFF + 1;
        self.next_invoke
    }

    fn invoke(&mut self, now: Now, on: Key, invoke: u16, operation: Operation, argument: Option<u16>) {
        let component = Component::Invoke { invoke, operation: Some(operation), argument };
        self.send(now, on, Kind::FACILITY, vec![component.write()]);
    }

    /// A facility element came with a call.
    pub(super) fn facility(&mut self, now: Now, key: Key, body: &[u8]) {
        match Component::read(body) {
            Some(Component::Invoke { invoke, operation: Some(_), .. }) => {
                // EN 300 369-1 §7.2.2: who does not offer it says so, so that the peer need not wait.
                self.send(now, key, Kind::FACILITY, vec![Component::Failed { invoke }.write()]);
            }
            Some(Component::Done { invoke, result }) => self.transfer_done(now, invoke, result),
            Some(Component::Failed { invoke }) => self.transfer_over(invoke, status::REFUSED),
            Some(Component::Invoke { operation: None, .. }) | None => {}
        }
    }

    fn transfer_done(&mut self, now: Now, invoke: u16, result: Option<u16>) {
        let Some(n) = self.moving.iter().position(|m| m.invoke == invoke) else { return };
        match (self.config.switch.transfer, result) {
            (Transfer::Explicit, Some(link)) => {
                let next = self.new_invoke();
                self.moving[n].invoke = next;
                let on = self.moving[n].first;
                self.invoke(now, on, next, Operation::ExplicitEctExecute, Some(link));
            }
            _ => self.transfer_over(invoke, status::DONE),
        }
    }

    fn transfer_over(&mut self, invoke: u16, status: u16) {
        if let Some(n) = self.moving.iter().position(|m| m.invoke == invoke) {
            let leg = self.moving.swap_remove(n).leg;
            self.tell(leg, Indication::ReferProgress { status });
        }
    }

    /// One of its calls is over: so is the transfer.
    pub(super) fn transfer_left(&mut self, key: Key) {
        self.moving.retain(|m| m.first != key && m.second != key);
    }

    pub(super) fn transfer_deadline(&self) -> Option<Mono> {
        self.moving.iter().map(|m| m.until).min()
    }

    pub(super) fn transfers_due(&mut self, now: Now) {
        while let Some(late) = self.moving.iter().find(|m| m.until <= now.mono).map(|m| m.invoke) {
            self.transfer_over(late, status::NO_ANSWER);
        }
    }
}
