//! Within a dialog: actions, requests of the peer, responses to ours, and the leg's timers.

use super::leg::{Leg, Phase};
use super::reply::Echo;
use super::tx::{Owner, Purpose, server_key};
use super::uac::by_us;
use super::{Endpoint, Error, Hop};
use crate::leg::{Action, Ended, Indication};
use crate::sip::cause::phrase;
use crate::sip::wire::fields::q850;
use crate::sip::wire::{Core, HeaderId, Message, Method, Writer};
use units::{Cause, LegId, Now};

impl Endpoint {
    pub(super) fn act(&mut self, now: Now, id: LegId, action: Action) -> Result<(), Error> {
        let done = self.with_leg(id, |this, leg| match action {
            Action::Place(_) => Err(Error::LegExists(id)),
            Action::Ring { media } => this.ring(now, leg, media),
            Action::Accept { media } => this.accept(now, leg, media),
            Action::Reject { cause, status, retry_after_s } if matches!(leg.phase, Phase::Incoming(_)) => {
                this.refuse(now, leg, cause, status, retry_after_s);
                Ok(())
            }
            Action::Clear(cause) => {
                this.clear(now, leg, cause);
                Ok(())
            }
            _ => Err(Error::WrongState(id)),
        });
        done.unwrap_or(Err(Error::NoLeg(id)))
    }

    /// `Clear`, at whatever stage.
    fn clear(&mut self, now: Now, leg: &mut Leg, cause: Cause) {
        match &mut leg.phase {
            Phase::Calling(calling) => {
                calling.cancel.get_or_insert(cause);
                self.cancel_if_wanted(now, leg);
            }
            Phase::AckDue { clear, .. } => {
                clear.get_or_insert(cause);
            }
            Phase::Incoming(_) => self.refuse(now, leg, cause, None, None),
            Phase::Up { .. } => self.hang_up(now, leg, cause),
            Phase::Over => {}
        }
    }

    /// BYE with its Reason (RFC 3326); the leg is over at once, the transaction lives on.
    pub(super) fn hang_up(&mut self, now: Now, leg: &mut Leg, cause: Cause) {
        let reason = |w: &mut Writer| w.field(HeaderId::Reason, format_args!("Q.850;cause={}", cause.0));
        self.send_in_dialog(now, leg, Purpose::Bye, "BYE", reason, ("", b""));
        let alerted = leg.alerted;
        self.end(leg, by_us(cause, alerted));
    }

    /// A response for one of our transactions.
    pub(super) fn responded(&mut self, now: Now, _tx: u64, owner: Owner, m: &Message<'_>, core: &Core<'_>) {
        let Owner::Leg(id, purpose) = owner else { return };
        self.with_leg(id, |this, leg| match purpose {
            Purpose::Invite => this.invite_response(now, leg, m, core),
            Purpose::Cancel | Purpose::Bye => {}
            _ => {}
        });
    }

    /// One of our requests was never answered, or its transport failed.
    pub(super) fn unanswered(&mut self, now: Now, owner: Owner, failed: Option<()>) {
        let _ = (now, failed);
        let Owner::Leg(id, purpose) = owner else { return };
        self.with_leg(id, |this, leg| {
            if purpose == Purpose::Invite {
                this.invite_unanswered(leg);
            }
        });
    }

    /// A request with a To tag that is no ACK, for a leg that exists.
    pub(super) fn requested(&mut self, now: Now, leg: &mut Leg, hop: Hop, m: &Message<'_>, core: &Core<'_>) {
        let echo = Echo::of(m, hop);
        let method = m.method().unwrap_or(Method::Other(""));
        let key = server_key(m, core, method);
        let tx = self.start_server(key, Owner::Leg(leg.id, Purpose::Bye), echo.hop, method == Method::Invite);
        // RFC 3261 §12.2.2: an older number is out of order.
        let remote = leg.dialogs.iter_mut().find(|d| core.from.tag().unwrap_or_default() == d.remote_tag);
        let Some(dialog) = remote else { return self.say(now, tx, &echo, 481, leg) };
        if dialog.remote_cseq.is_some_and(|last| core.cseq.number <= last) {
            return self.say(now, tx, &echo, 500, leg);
        }
        dialog.remote_cseq = Some(core.cseq.number);
        match method {
            Method::Bye => {
                self.say(now, tx, &echo, 200, leg);
                self.ended_by_peer(now, leg, m);
            }
            Method::Options => self.say(now, tx, &echo, 200, leg),
            _ => self.say(now, tx, &echo, 405, leg),
        }
    }

    fn ended_by_peer(&mut self, now: Now, leg: &mut Leg, m: &Message<'_>) {
        let cause = q850(m).unwrap_or(Cause::NORMAL);
        // RFC 3261 §15.1.2: what is still pending gets 487.
        if let Phase::Incoming(waiting) = &leg.phase {
            let (tx, bytes) = (waiting.tx, waiting.echo.plain(487, phrase(487), &leg.local_tag));
            if let Ok(bytes) = bytes {
                self.respond(now, tx, 487, bytes);
            }
        }
        let alerted = leg.alerted;
        self.end(
            leg,
            Ended { cause, status: None, by_peer: true, retry_after_s: None, alerted, redress: None },
        );
    }

    /// A response without a body.
    pub(super) fn say(&mut self, now: Now, tx: u64, echo: &Echo, status: u16, leg: &Leg) {
        if let Ok(bytes) = echo.plain(status, phrase(status), &leg.local_tag) {
            self.respond(now, tx, status, bytes);
        }
    }

    /// Whatever the leg waited for is due.
    pub(super) fn leg_timer(&mut self, now: Now, leg: &mut Leg) {
        if leg.unacked.as_ref().is_some_and(|u| u.next.min(u.until) <= now.mono) {
            return self.unacked_due(now, leg);
        }
        match &leg.phase {
            Phase::Calling(_) => self.calling_due(now, leg),
            Phase::Incoming(waiting) if waiting.until <= now.mono => {
                self.refuse(now, leg, Cause::NO_ANSWER, None, None);
            }
            _ => {}
        }
    }
}
