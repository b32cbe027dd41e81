//! Offers within a call: re-INVITE and UPDATE of the peer, ours, and glare (RFC 3261 §14, RFC 3311).

use super::Endpoint;
use super::leg::{Leg, Offered, Phase, Reoffer};
use super::reply::Echo;
use super::request::{ALLOW, SUPPORTED};
use super::tx::{Owner, Purpose};
use crate::leg::{Indication, Media, Rtp};
use crate::sdp::{Body, Description, agree, find_body, settle};
use crate::sip::wire::{Core, HeaderId, Message, Method, Writer};
use std::time::Duration;
use units::{Cause, Now};

/// How often an offer of ours that met another is tried again.
const TRIES_MAX: u8 = 5;

impl Endpoint {
    /// A re-INVITE or UPDATE of the peer.
    pub(super) fn reinvited(
        &mut self,
        now: Now,
        tx: u64,
        echo: Echo,
        leg: &mut Leg,
        m: &Message<'_>,
        core: &Core<'_>,
    ) {
        let invite = core.cseq.method == Method::Invite;
        if let Some(status) = busy(leg, invite) {
            return self.say_later(now, tx, &echo, status, leg);
        }
        if let Some(dialog) = leg.dialogs.first_mut() {
            dialog.refresh(m);
        }
        leg.updates |= crate::sip::wire::fields::has(m, HeaderId::Allow, "UPDATE");
        match find_body(m) {
            Body::Empty => self.reinvited_without_offer(now, tx, &echo, leg, m, core),
            Body::Unsupported => self.say(now, tx, &echo, 415, leg),
            Body::Sdp(sdp) => {
                let offer = Description::parse(sdp).ok();
                let far =
                    offer.as_ref().and_then(|o| leg.ours.as_ref().and_then(|ours| agree(ours, &o.rtp).ok()));
                let (Some(offer), Some(far)) = (offer, far) else {
                    return self.say(now, tx, &echo, 488, leg);
                };
                if invite && let Ok(bytes) = echo.plain(100, "Trying", "") {
                    self.respond(now, tx, 100, bytes);
                }
                let mut w = echo.response(200, "OK", &leg.local_tag);
                self.refreshed(now, leg, m, &mut w);
                let until = now.mono + self.config.limits.offer_wait;
                let invite_cseq = invite.then_some(core.cseq.number);
                leg.offered = Some(Offered { tx, echo, invite_cseq, offer, until, response: w });
                self.tell(leg.id, Indication::Offered(Media::Rtp(far)));
            }
        }
    }

    /// A refresh by UPDATE, or a re-INVITE that asks us to offer.
    fn reinvited_without_offer(
        &mut self,
        now: Now,
        tx: u64,
        echo: &Echo,
        leg: &mut Leg,
        m: &Message<'_>,
        core: &Core<'_>,
    ) {
        let mut w = echo.response(200, "OK", &leg.local_tag);
        w.field(HeaderId::Contact, &leg.contact);
        w.field(HeaderId::Allow, ALLOW);
        w.field(HeaderId::Supported, SUPPORTED);
        self.refreshed(now, leg, m, &mut w);
        if core.cseq.method != Method::Invite {
            if let Ok(bytes) = w.finish("", b"") {
                self.respond(now, tx, 200, bytes);
            }
            return;
        }
        let Some(ours) = leg.ours.clone() else { return self.say(now, tx, echo, 488, leg) };
        let offer = leg.sdp.offer(&ours, None);
        if let Ok(bytes) = w.finish("application/sdp", &offer) {
            self.answer_invite(now, leg, tx, echo.hop, bytes, (core.cseq.number, true, true));
        }
    }

    /// `Answer`. Whether there was something to answer.
    pub(super) fn answer(&mut self, now: Now, leg: &mut Leg, media: Media) -> bool {
        let (Some(offered), Media::Rtp(mut ours)) = (leg.offered.take(), media) else { return false };
        let Ok((sdp, far)) = leg.sdp.answer(&ours, &offered.offer) else {
            self.say(now, offered.tx, &offered.echo, 488, leg);
            return true;
        };
        settle(&mut ours, &far);
        leg.ours = Some(ours);
        leg.theirs = Some(far);
        let mut w = offered.response;
        w.field(HeaderId::Contact, &leg.contact);
        w.field(HeaderId::Allow, ALLOW);
        w.field(HeaderId::Supported, SUPPORTED);
        if let Ok(bytes) = w.finish("application/sdp", &sdp) {
            match offered.invite_cseq {
                Some(cseq) => {
                    self.answer_invite(now, leg, offered.tx, offered.echo.hop, bytes, (cseq, false, true))
                }
                None => self.respond(now, offered.tx, 200, bytes),
            }
        }
        true
    }

    /// `Reoffer`. Whether it was taken.
    pub(super) fn reoffer(&mut self, now: Now, leg: &mut Leg, media: Media) -> bool {
        let (Media::Rtp(media), Phase::Up { .. }, None) = (media, &leg.phase, &leg.reoffer) else {
            return false;
        };
        leg.reoffer = Some(Reoffer { media, at: Some(now.mono), tx: None, tries: 0, refresh: false });
        self.reoffer_due(now, leg);
        true
    }

    /// Sends the offer that waits, once nothing is in its way. Whether one was due.
    pub(super) fn reoffer_due(&mut self, now: Now, leg: &mut Leg) -> bool {
        let Some(mut reoffer) = leg.reoffer.take_if(|r| r.at.is_some_and(|at| at <= now.mono)) else {
            return false;
        };
        if leg.offered.is_some() || leg.unacked.is_some() {
            reoffer.at = Some(now.mono + self.config.timers.t1);
            leg.reoffer = Some(reoffer);
            return true;
        }
        let offer = leg.sdp.offer(&reoffer.media, None);
        let contact = leg.contact.clone();
        let (expires, min_se) = (leg.session, self.config.min_se_s);
        let extra = |w: &mut Writer| {
            w.field(HeaderId::Contact, contact);
            w.field(HeaderId::Allow, ALLOW);
            w.field(HeaderId::Supported, SUPPORTED);
            if let Some(s) = expires {
                let who = if s.ours { "uac" } else { "uas" };
                w.field(HeaderId::SessionExpires, format_args!("{};refresher={who}", s.seconds));
                w.field(HeaderId::MinSe, min_se);
            }
        };
        reoffer.at = None;
        reoffer.tries += 1;
        leg.reoffer = Some(reoffer);
        let tx = self.send_in_dialog(
            now,
            leg,
            (0, Purpose::Reinvite),
            "INVITE",
            extra,
            ("application/sdp", &offer),
        );
        if let Some(r) = &mut leg.reoffer {
            r.tx = tx;
        }
        true
    }

    /// A response to our re-INVITE.
    pub(super) fn reoffer_response(&mut self, now: Now, leg: &mut Leg, m: &Message<'_>, core: &Core<'_>) {
        let status = m.status().unwrap_or(500);
        match status {
            100..=199 => {}
            200..=299 => self.reoffer_taken(now, leg, m, core),
            // RFC 3261 §14.1: who owns the Call-ID waits longer, so that the two do not meet again.
            491 => {
                let wait = if leg.uac { 2_100 + self.rng.below(1_900) } else { self.rng.below(2_000) };
                let again = leg.reoffer.as_mut().filter(|r| r.tries < TRIES_MAX);
                match again {
                    Some(r) => (r.at, r.tx) = (Some(now.mono + Duration::from_millis(wait)), None),
                    None => self.reoffer_refused(leg),
                }
            }
            // RFC 3261 §12.2.1.2: the peer knows of no such dialog any more.
            408 | 481 => self.hang_up(now, leg, Cause::NORMAL_UNSPECIFIED),
            _ => self.reoffer_refused(leg),
        }
    }

    fn reoffer_taken(&mut self, now: Now, leg: &mut Leg, m: &Message<'_>, core: &Core<'_>) {
        self.send_ack(leg, 0, core.cseq.number, b"");
        let Some(reoffer) = leg.reoffer.take() else { return };
        if let Some(dialog) = leg.dialogs.first_mut() {
            dialog.refresh(m);
        }
        leg.phase = Phase::Up { ack: Some(core.cseq.number) };
        self.session_agreed(now, leg, m);
        leg.ours = Some(reoffer.media);
        let media: Option<Rtp> = self.answer_in(leg, m);
        if !reoffer.refresh {
            self.tell(leg.id, Indication::Reanswered(media.map(Media::Rtp)));
        }
    }

    /// The session stays as it was.
    pub(super) fn reoffer_refused(&mut self, leg: &mut Leg) {
        if leg.reoffer.take().is_some_and(|r| !r.refresh) {
            self.tell(leg.id, Indication::Reanswered(None));
        }
    }

    /// The user did not answer an offer in time. Whether one was due.
    pub(super) fn offer_due(&mut self, now: Now, leg: &mut Leg) -> bool {
        let Some(offered) = leg.offered.take_if(|o| o.until <= now.mono) else { return false };
        self.say(now, offered.tx, &offered.echo, 488, leg);
        true
    }

    /// 491 as it is, 500 with a random Retry-After (RFC 3261 §14.2).
    fn say_later(&mut self, now: Now, tx: u64, echo: &Echo, status: u16, leg: &Leg) {
        let mut w = echo.response(status, crate::sip::cause::phrase(status), &leg.local_tag);
        if status == 500 {
            w.field(HeaderId::RetryAfter, self.rng.below(10));
        }
        if let Ok(bytes) = w.finish("", b"") {
            self.respond(now, tx, status, bytes);
        }
    }

    /// A server transaction for a request in the dialog of a leg.
    pub(super) fn server_of(leg: &Leg) -> Owner {
        Owner::Leg(leg.id, Purpose::Reinvite)
    }
}

/// What stands in the way of an offer of the peer's: 500 while one of theirs is open, 491 while one of ours is.
fn busy(leg: &Leg, invite: bool) -> Option<u16> {
    if leg.offered.is_some() || (invite && leg.unacked.as_ref().is_some_and(|u| u.again)) {
        return Some(500);
    }
    let ours_open = leg.reoffer.as_ref().is_some_and(|r| r.at.is_none());
    let settled =
        matches!(leg.phase, Phase::Up { .. }) || (!invite && leg.theirs.is_some() && leg.ours.is_some());
    (ours_open || !settled).then_some(491)
}
