//! Calls that come in: INVITE, what we say to it, ACK and CANCEL (RFC 3261 §13.3, §9.2).

use super::leg::{Leg, Phase, Unacked, Waiting};
use super::receive::caller_key;
use super::request::{ALLOW, SUPPORTED};
use super::tx::{Owner, Purpose, server_key};
use super::uac::{by_us, name_addr};
use super::{Endpoint, Error, Hop};
use crate::leg::{Ended, Incoming, Indication, Media, Rtp};
use crate::sdp::{Body, Description, Local, find_body, settle};
use crate::sip::cause::{phrase, to_status};
use crate::sip::dialog::Dialog;
use crate::sip::transaction::server_invite::Input;
use crate::sip::wire::fields::{Replaces, SessionExpires, has, q850, redirections};
use crate::sip::wire::scan::clean;
use crate::sip::wire::{Core, HeaderId, Message, Method, NameAddr, Owed, Scheme, Uri, values};
use units::{Cause, LegId, Now, Private};

/// Ids of incoming legs start here.
const INCOMING: u64 = 1 << 63;

/// RFC 3261 §12.1.1: SIPS if the Request-URI is one, or the topmost Record-Route, or without one the Contact.
fn scheme_asked(m: &Message<'_>, uri: &Uri<'_>) -> Scheme {
    let of = |id| m.all(id).flat_map(values).find_map(NameAddr::parse).map(|a| a.uri.scheme);
    let way = of(HeaderId::RecordRoute).or_else(|| of(HeaderId::Contact));
    if uri.scheme == Scheme::Sips || way == Some(Scheme::Sips) { Scheme::Sips } else { Scheme::Sip }
}

impl Endpoint {
    /// An INVITE that starts a call: a leg, or the refusal that is owed.
    pub(super) fn invited(
        &mut self,
        now: Now,
        hop: Hop,
        m: &Message<'_>,
        core: &Core<'_>,
        uri: &Uri<'_>,
    ) -> Result<(), Owed> {
        let offer = match find_body(m) {
            Body::Empty => None,
            Body::Sdp(sdp) => {
                Some(Description::parse(sdp).map_err(|_| Owed::new(488, "Not Acceptable Here"))?)
            }
            Body::Unsupported => return Err(Owed::new(415, "Unsupported Media Type")),
        };
        let replaces = self.replaced(m)?;
        let caller = caller_key(core);
        let echo = self.echo(now, m, hop);
        self.leg_next += 1;
        let id = LegId(INCOMING | self.leg_next);
        let tx = self.start_server(
            server_key(m, core, Method::Invite),
            Owner::Leg(id, Purpose::Invite),
            echo.hop,
            true,
        );
        if let Ok(trying) = echo.plain(100, "Trying", "") {
            self.respond(now, tx, 100, trying);
        }
        let tag = format!("{:016x}{:016x}", self.rng.next_u64(), self.rng.next_u64());
        let incoming = Incoming { replaces, ..self.incoming(hop, m, core, uri, offer.as_ref()) };
        let limits = self.config.limits;
        let leg = Leg {
            id,
            hop,
            call_id: core.call_id.to_owned(),
            local_tag: tag.clone(),
            local: name_addr(&core.to),
            remote: name_addr(&core.from),
            contact: self.contact(uri.user, hop.transport, scheme_asked(m, uri)),
            cseq: 0,
            dialogs: vec![Dialog::of_request(m, &core.from, core.cseq.number, limits.routes_max)],
            sdp: Local::new(self.rng.next_u64()),
            ours: None,
            theirs: offer.as_ref().map(|o| o.rtp.clone()),
            alerted: false,
            uac: false,
            unacked: None,
            offered: None,
            reoffer: None,
            session: None,
            auth: None,
            updates: has(m, HeaderId::Allow, "UPDATE"),
            referred: None,
            caller: Some(caller.clone()),
            armed: None,
            phase: Phase::Incoming(Box::new(Waiting {
                tx,
                echo,
                offer,
                answer: None,
                accept: None,
                rel: (has(m, HeaderId::Supported, "100rel"), has(m, HeaderId::Require, "100rel")),
                rseq: (self.rng.next_u32() >> 8) + 1,
                reliable: None,
                session: SessionExpires::read(m),
                timer: has(m, HeaderId::Supported, "timer"),
                replaces,
                until: now.mono + limits.incoming_wait,
            })),
        };
        self.by_tag.insert(tag, id);
        self.by_caller.insert(caller, id);
        self.legs.insert(id, Box::new(leg));
        self.with_leg(id, |_, _| {});
        self.tell(id, Indication::Incoming(Box::new(incoming)));
        Ok(())
    }

    fn incoming(
        &self,
        hop: Hop,
        m: &Message<'_>,
        core: &Core<'_>,
        uri: &Uri<'_>,
        offer: Option<&Description>,
    ) -> Incoming {
        let limits = self.config.limits;
        // RFC 3325 §9.1: an asserted identity is believed from a trusted peer only.
        let asserted = m.all(HeaderId::AssertedIdentity).flat_map(values).find_map(NameAddr::parse);
        let from = asserted.filter(|_| self.config.is_peer(hop.to.ip())).unwrap_or(core.from);
        let fields =
            m.fields().take(limits.kept_fields_max).filter(|(_, _, v)| v.len() <= limits.kept_octets_max);
        Incoming {
            to: Private::new(uri.user_plain().unwrap_or_else(|| uri.text.to_owned())),
            from: Private::new(from.uri.user_plain().unwrap_or_else(|| from.uri.text.to_owned())),
            source: hop.to,
            transport: hop.transport,
            offer: offer.map(|o| Media::Rtp(o.rtp.clone())),
            redirects: redirections(m, limits.contacts_max),
            headers: fields.map(|(_, name, value)| (clean(name), clean(value))).collect(),
            replaces: None,
        }
    }

    /// `Ring`.
    pub(super) fn ring(&mut self, now: Now, leg: &mut Leg, media: Option<Media>) -> Result<(), Error> {
        let id = leg.id;
        let Phase::Incoming(waiting) = &mut leg.phase else { return Err(Error::WrongState(id)) };
        // RFC 3262 §3: one reliable provisional at a time; a second 18x adds nothing that must be heard.
        if waiting.reliable.is_some() {
            return Ok(());
        }
        let status = if media.is_some() { 183 } else { 180 };
        let mut agreed = None;
        if let (Some(Media::Rtp(mut ours)), Some(offer), None) = (media, &waiting.offer, &waiting.answer)
            && let Ok((sdp, far)) = leg.sdp.answer(&ours, offer)
        {
            settle(&mut ours, &far);
            waiting.answer = Some(sdp);
            leg.ours = Some(ours);
            leg.theirs = Some(far.clone());
            agreed = Some(far);
        }
        leg.alerted = true;
        let mut w = waiting.echo.response(status, phrase(status), &leg.local_tag);
        for route in &waiting.echo.record_routes {
            w.field(HeaderId::RecordRoute, route);
        }
        w.field(HeaderId::Contact, &leg.contact);
        w.field(HeaderId::Allow, ALLOW);
        let body = waiting.answer.clone().filter(|_| status == 183).unwrap_or_default();
        // DEVIATES RFC 3262 §5: without an offer in the INVITE nothing is sent reliably, since it would have to offer.
        let reliably = waiting.offer.is_some() && (waiting.rel.1 || (waiting.rel.0 && !body.is_empty()));
        if reliably {
            w.field(HeaderId::Require, "100rel");
            w.field(HeaderId::RSeq, waiting.rseq);
        }
        let (tx, hop) = (waiting.tx, waiting.echo.hop);
        if let Ok(bytes) = w.finish("application/sdp", &body) {
            if reliably {
                self.keep_reliable(now, waiting, hop, bytes.clone());
            }
            self.respond(now, tx, status, bytes);
        }
        if let Some(far) = agreed {
            self.tell(id, Indication::Progress { status, media: Some(Media::Rtp(far)) });
        }
        Ok(())
    }

    /// `Accept`.
    pub(super) fn accept(&mut self, now: Now, leg: &mut Leg, media: Media) -> Result<(), Error> {
        let id = leg.id;
        let Phase::Incoming(waiting) = &mut leg.phase else { return Err(Error::WrongState(id)) };
        // RFC 3262 §3: a 2xx waits for the PRACK of a provisional that held the answer.
        if waiting.reliable.is_some() && waiting.answer.is_some() {
            waiting.accept = Some(media);
            return Ok(());
        }
        waiting.reliable = None;
        let Media::Rtp(mut ours) = media else { return Err(Error::WrongState(id)) };
        let body = match (&waiting.answer, &waiting.offer) {
            (Some(answer), _) => Some(answer.clone()),
            (None, Some(offer)) => leg.sdp.answer(&ours, offer).ok().map(|(sdp, far)| {
                settle(&mut ours, &far);
                leg.theirs = Some(far);
                sdp
            }),
            (None, None) => {
                // Nobody could answer our offer by another of its own: what may be plain is offered plain.
                ours.srtp.take_if(|keys| keys.optional);
                Some(leg.sdp.offer(&ours, None))
            }
        };
        leg.ours.get_or_insert(ours);
        match body {
            Some(body) => self.accepted(now, leg, &body),
            None => self.refuse(now, leg, Cause::BEARER_NOT_IMPLEMENTED, None, None),
        }
        Ok(())
    }

    /// Sends the 200 that takes the call.
    fn accepted(&mut self, now: Now, leg: &mut Leg, body: &[u8]) {
        let Phase::Incoming(waiting) = std::mem::replace(&mut leg.phase, Phase::Up { ack: None }) else {
            return;
        };
        let mut w = waiting.echo.response(200, "OK", &leg.local_tag);
        for route in &waiting.echo.record_routes {
            w.field(HeaderId::RecordRoute, route);
        }
        w.field(HeaderId::Contact, &leg.contact);
        w.field(HeaderId::Allow, ALLOW);
        w.field(HeaderId::Supported, SUPPORTED);
        self.grant_session(now, leg, waiting.session, waiting.timer, &mut w);
        let asked = waiting.offer.is_none();
        if let Ok(bytes) = w.finish("application/sdp", body) {
            let cseq = leg.dialogs.first().and_then(|d| d.remote_cseq).unwrap_or(0);
            self.answer_invite(now, leg, waiting.tx, waiting.echo.hop, bytes, (cseq, asked, false));
        }
        self.export(leg);
        if let (Some(theirs), false) = (leg.theirs.clone(), asked) {
            self.tell(leg.id, Indication::Answered { media: Media::Rtp(theirs) });
        }
        if let Some(other) = waiting.replaces {
            // RFC 3891 §3: the call that was replaced is ended.
            self.with_leg(other, |this, leg| this.clear(now, leg, Cause::NORMAL));
        }
    }

    /// The leg that an INVITE asks to replace (RFC 3891 §3).
    fn replaced(&self, m: &Message<'_>) -> Result<Option<LegId>, Owed> {
        let Some(value) = m.first(HeaderId::Replaces) else { return Ok(None) };
        let r = Replaces::parse(value).ok_or(Owed::bad("Bad Replaces"))?;
        let leg = self.by_tag.get(r.to_tag).and_then(|id| self.legs.get(id));
        let leg =
            leg.filter(|l| l.call_id == r.call_id && l.dialogs.iter().any(|d| d.remote_tag == r.from_tag));
        match leg.map(|l| (l.id, &l.phase)) {
            Some((_, Phase::Up { .. })) if r.early_only => Err(Owed::new(486, phrase(486))),
            Some((id, Phase::Up { .. })) => Ok(Some(id)),
            // An early dialog that we did not start must not be taken over; one that we started is not ours to give.
            _ => Err(Owed::new(481, phrase(481))),
        }
    }

    /// Sends a 2xx to an INVITE and keeps it for retransmission (RFC 3261 §13.3.1.4).
    pub(super) fn answer_invite(
        &mut self,
        now: Now,
        leg: &mut Leg,
        tx: u64,
        hop: Hop,
        bytes: Vec<u8>,
        (cseq, offered, again): (u32, bool, bool),
    ) {
        let timers = self.config.timers;
        leg.unacked = Some(Unacked {
            hop,
            bytes: bytes.clone(),
            cseq,
            next: now.mono + timers.t1,
            interval: timers.t1,
            until: now.mono + timers.t1x64(),
            offered,
            again,
        });
        self.respond(now, tx, 200, bytes);
    }

    /// `Reject`, or any other refusal before the call is answered.
    pub(super) fn refuse(
        &mut self,
        now: Now,
        leg: &mut Leg,
        cause: Cause,
        status: Option<u16>,
        retry_after_s: Option<u32>,
    ) {
        let (status, reason) = match status.filter(|s| (300..=699).contains(s)) {
            Some(status) => (status, phrase(status)),
            None if retry_after_s.is_some() => (503, phrase(503)),
            None => to_status(cause),
        };
        self.refuse_with(now, leg, status, reason, cause, retry_after_s);
        let alerted = leg.alerted;
        self.end(now, leg, by_us(cause, alerted));
    }

    fn refuse_with(
        &mut self,
        now: Now,
        leg: &Leg,
        status: u16,
        reason: &str,
        cause: Cause,
        retry_after_s: Option<u32>,
    ) {
        let Phase::Incoming(waiting) = &leg.phase else { return };
        let mut w = waiting.echo.response(status, reason, &leg.local_tag);
        // RFC 6432: a Reason may stand in a response.
        w.field(HeaderId::Reason, format_args!("Q.850;cause={}", cause.0));
        if let Some(s) = retry_after_s {
            w.field(HeaderId::RetryAfter, s);
        }
        let (tx, bytes) = (waiting.tx, w.finish("", b""));
        if let Ok(bytes) = bytes {
            self.respond(now, tx, status, bytes);
        }
    }

    /// CANCEL for an INVITE that is not answered yet (RFC 3261 §9.2).
    pub(super) fn cancelled(&mut self, now: Now, leg: &mut Leg, m: &Message<'_>) {
        if !matches!(leg.phase, Phase::Incoming(_)) {
            return;
        }
        let cause = q850(m).unwrap_or(Cause::NORMAL);
        self.refuse_with(now, leg, 487, phrase(487), cause, None);
        let alerted = leg.alerted;
        self.end(
            now,
            leg,
            Ended { cause, status: None, by_peer: true, retry_after_s: None, alerted, redress: None },
        );
    }

    /// An ACK that reached a leg: of a 2xx. It may hold the answer to an offer in that 2xx.
    pub(super) fn acked(&mut self, now: Now, leg: &mut Leg, m: &Message<'_>, core: &Core<'_>) {
        let Some(unacked) = leg.unacked.take_if(|u| u.cseq == core.cseq.number) else { return };
        if !unacked.offered {
            return;
        }
        let media: Option<Rtp> = self.answer_in(leg, m);
        match (media, unacked.again) {
            (Some(media), false) => self.tell(leg.id, Indication::Answered { media: Media::Rtp(media) }),
            (media, true) => self.tell(leg.id, Indication::Reanswered(media.map(Media::Rtp))),
            // RFC 3261 §13.2.2.4: an offer without an answer makes no session.
            (None, false) => self.hang_up(now, leg, Cause::INCOMPATIBLE),
        }
    }

    /// The 2xx is due again, or was never acknowledged.
    pub(super) fn unacked_due(&mut self, now: Now, leg: &mut Leg) {
        let Some(unacked) = &mut leg.unacked else { return };
        if unacked.until <= now.mono {
            leg.unacked = None;
            // RFC 3261 §13.3.1.4: no ACK in 64*T1, so the session is ended.
            return self.hang_up(now, leg, Cause::TIMER);
        }
        unacked.interval = (unacked.interval * 2).min(self.config.timers.t2);
        unacked.next = now.mono + unacked.interval;
        let (hop, bytes) = (unacked.hop, unacked.bytes.clone());
        self.transmit(hop, bytes);
    }

    /// The INVITE came again: what was said last is repeated by its transaction.
    pub(super) fn repeated(&mut self, now: Now, tx: u64) {
        self.drive_server(now, tx, Input::Again);
    }
}
