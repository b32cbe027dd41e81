//! Within a dialog: actions, requests of the peer, responses to ours, and the leg's timers.

use super::leg::{Leg, Phase};
use super::reply::Echo;
use super::tx::{Machine, Owner, Purpose, server_key};
use super::uac::by_us;
use super::{Endpoint, Error, Hop};
use crate::leg::{Action, Ended, Indication};
use crate::sip::cause::phrase;
use crate::sip::wire::fields::q850;
use crate::sip::wire::{Core, HeaderId, Message, Method, Writer};
use units::{Cause, LegId, Now};

impl Endpoint {
    pub(super) fn act(&mut self, now: Now, id: LegId, action: Action) -> Result<(), Error> {
        let done = self.with_leg(id, |this, leg| {
            let fits = match action {
                Action::Place(_) => return Err(Error::LegExists(id)),
                Action::Ring { media } => return this.ring(now, leg, media),
                Action::Accept { media } => return this.accept(now, leg, media),
                Action::Reject { cause, status, retry_after_s } => {
                    let waits = matches!(leg.phase, Phase::Incoming(_));
                    if waits {
                        this.refuse(now, leg, cause, status, retry_after_s);
                    }
                    waits
                }
                Action::Clear(cause) => {
                    this.clear(now, leg, cause);
                    true
                }
                Action::Info(digit) => this.info(now, leg, digit),
                Action::Refer { to, replaces } => this.refer(now, leg, &to, replaces),
                Action::Reoffer(media) => this.reoffer(now, leg, media),
                Action::Answer(media) => this.answer(now, leg, media),
                Action::ReferResult { status } => this.refer_result(now, leg, status),
            };
            if fits { Ok(()) } else { Err(Error::WrongState(id)) }
        });
        done.unwrap_or(Err(Error::NoLeg(id)))
    }

    /// `Clear`, at whatever stage.
    pub(super) fn clear(&mut self, now: Now, leg: &mut Leg, cause: Cause) {
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
        self.send_in_dialog(now, leg, (0, Purpose::Bye), "BYE", reason, ("", b""));
        let alerted = leg.alerted;
        self.end(now, leg, by_us(cause, alerted));
    }

    /// RFC 3261 §15.1.2: requests of the peer that wait for an answer get 487.
    pub(super) fn close_pending(&mut self, now: Now, leg: &mut Leg) {
        let reoffer = leg.reoffer.take().and_then(|r| r.tx);
        let call = match &leg.phase {
            Phase::Calling(calling) => Some(calling.tx),
            _ => None,
        };
        for tx in [reoffer, call].into_iter().flatten() {
            self.give_up(tx);
        }
        let offered = leg.offered.take().map(|o| (o.tx, o.echo));
        let referred = leg.referred.take().and_then(|r| r.pending);
        for (tx, echo) in [offered, referred].into_iter().flatten() {
            self.say(now, tx, &echo, 487, leg);
        }
        if let Phase::Incoming(waiting) = &leg.phase {
            let (tx, bytes) = (waiting.tx, waiting.echo.plain(487, phrase(487), &leg.local_tag));
            if let Ok(bytes) = bytes {
                self.respond(now, tx, 487, bytes);
            }
        }
    }

    /// RFC 3261 §17.1.1: an INVITE that was only tried has no timer of its own; once nobody wants its answer, as when the
    /// peer's BYE overtook its 2xx, it is forgotten. One that was answered goes on absorbing what comes again.
    fn give_up(&mut self, tx: u64) {
        let tried = self
            .txs
            .get(&tx)
            .is_some_and(|t| matches!(&t.machine, Machine::ClientInvite(m) if m.is_proceeding()));
        if tried {
            self.drop_tx(tx);
        }
    }

    /// A response for one of our transactions.
    pub(super) fn responded(&mut self, now: Now, tx: u64, owner: Owner, m: &Message<'_>, core: &Core<'_>) {
        let (id, purpose) = match owner {
            Owner::Leg(id, purpose) => (id, purpose),
            Owner::Registration(n) => return self.register_answered(now, n, m),
            Owner::Probe(_) | Owner::Nobody => return self.probe_answered(owner, m),
        };
        let status = m.status().unwrap_or(500);
        let known = self.with_leg(id, |this, leg| {
            if status >= 300 && purpose != Purpose::Cancel && this.retried(now, leg, tx, purpose, m) {
                return;
            }
            match purpose {
                Purpose::Invite => this.invite_response(now, leg, m, core),
                Purpose::Reinvite => this.reoffer_response(now, leg, m, core),
                Purpose::Refer => this.refer_response(leg, status),
                // RFC 3261 §12.2.1.2: the peer knows of no such dialog any more.
                Purpose::Update if matches!(status, 408 | 481) => {
                    this.hang_up(now, leg, Cause::NORMAL_UNSPECIFIED)
                }
                Purpose::Update if status < 300 => this.session_agreed(now, leg, m),
                Purpose::Update
                | Purpose::Cancel
                | Purpose::Bye
                | Purpose::Prack
                | Purpose::Info
                | Purpose::Notify => {}
            }
        });
        if known.is_none() && status < 200 {
            // A provisional stops the timers of an INVITE; with its leg gone nothing else would ever end it.
            self.give_up(tx);
        } else if known.is_none() && purpose == Purpose::Invite && status < 300 {
            self.counters.stray_responses += 1;
        }
    }

    /// One of our requests was never answered, or its transport failed.
    pub(super) fn unanswered(&mut self, now: Now, owner: Owner) {
        let (id, purpose) = match owner {
            Owner::Leg(id, purpose) => (id, purpose),
            Owner::Registration(n) => return self.register_unanswered(now, n),
            Owner::Probe(_) | Owner::Nobody => return,
        };
        self.with_leg(id, |this, leg| match purpose {
            Purpose::Invite => this.invite_unanswered(now, leg),
            // RFC 3261 §12.2.1.2, RFC 4028 §10: no answer at all is a 408, and ends the dialog.
            Purpose::Reinvite | Purpose::Update if matches!(leg.phase, Phase::Up { .. }) => {
                this.hang_up(now, leg, Cause::TIMER);
            }
            Purpose::Refer => this.tell(id, Indication::ReferProgress { status: 408 }),
            _ => {}
        });
    }

    /// A request with a To tag that is no ACK, for a leg that exists.
    pub(super) fn requested(&mut self, now: Now, leg: &mut Leg, hop: Hop, m: &Message<'_>, core: &Core<'_>) {
        let echo = self.echo(now, m, hop);
        let method = core.cseq.method;
        let tx = self.start_server(
            server_key(m, core, method),
            Self::server_of(leg),
            echo.hop,
            method == Method::Invite,
        );
        // RFC 3261 §12.2.2: an older number is out of order.
        let remote = leg.dialogs.iter_mut().find(|d| core.from.tag().unwrap_or_default() == d.remote_tag);
        let Some(dialog) = remote else { return self.say(now, tx, &echo, 481, leg) };
        if dialog.remote_cseq.is_some_and(|last| core.cseq.number <= last) {
            return self.say(now, tx, &echo, 500, leg);
        }
        if super::receive::unsupported(m).next().is_some() {
            return self.refuse_extension(now, tx, &echo, leg, m);
        }
        dialog.remote_cseq = Some(core.cseq.number);
        match method {
            Method::Bye => {
                self.say(now, tx, &echo, 200, leg);
                self.ended_by_peer(now, leg, m);
            }
            Method::Invite | Method::Update => self.reinvited(now, tx, echo, leg, m, core),
            Method::Prack => self.pracked(now, tx, &echo, leg, m),
            Method::Info => self.informed(now, tx, &echo, leg, m),
            Method::Refer => self.referred(now, tx, echo, leg, m, core),
            Method::Notify => self.notified(now, tx, &echo, leg, m),
            Method::Options => self.say(now, tx, &echo, 200, leg),
            _ => self.say(now, tx, &echo, 405, leg),
        }
    }

    fn refuse_extension(&mut self, now: Now, tx: u64, echo: &Echo, leg: &Leg, m: &Message<'_>) {
        let mut w = echo.response(420, phrase(420), &leg.local_tag);
        for token in super::receive::unsupported(m) {
            w.field(HeaderId::Unsupported, token);
        }
        if let Ok(bytes) = w.finish("", b"") {
            self.respond(now, tx, 420, bytes);
        }
    }

    fn ended_by_peer(&mut self, now: Now, leg: &mut Leg, m: &Message<'_>) {
        let cause = q850(m).unwrap_or(Cause::NORMAL);
        let alerted = leg.alerted;
        self.end(
            now,
            leg,
            Ended { cause, status: None, by_peer: true, retry_after_s: None, alerted, redress: None },
        );
    }

    /// A response without a body.
    pub(super) fn say(&mut self, now: Now, tx: u64, echo: &Echo, status: u16, leg: &Leg) {
        let mut w = echo.response(status, phrase(status), &leg.local_tag);
        if status == 405 {
            w.field(HeaderId::Allow, super::request::ALLOW);
        }
        if status == 415 {
            w.field(
                HeaderId::Accept,
                "application/sdp, application/dtmf-relay, application/dtmf, message/sipfrag",
            );
        }
        if let Ok(bytes) = w.finish("", b"") {
            self.respond(now, tx, status, bytes);
        }
    }

    /// Whatever the leg waited for is due.
    pub(super) fn leg_timer(&mut self, now: Now, leg: &mut Leg) {
        if leg.unacked.as_ref().is_some_and(|u| u.next.min(u.until) <= now.mono) {
            return self.unacked_due(now, leg);
        }
        if self.reliable_due(now, leg)
            || self.offer_due(now, leg)
            || self.reoffer_due(now, leg)
            || self.session_due(now, leg)
        {
            return;
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
