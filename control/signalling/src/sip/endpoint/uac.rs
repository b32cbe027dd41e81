//! Calls that we place: INVITE, its responses, CANCEL and ACK (RFC 3261 §13.2, §9.1).

use super::leg::{Auth, Calling, Leg, Phase};
use super::request::{ALLOW, SUPPORTED};
use super::tx::{Machine, Owner, Purpose, derived};
use super::{Endpoint, Error, Hop, Output};
use crate::leg::{Ended, Indication, Media, Place, Rtp};
use crate::sdp::{Body, CRYPTO_TAG, Channel, Control, Description, Local, agree, find_body, settle};
use crate::sip::cause;
use crate::sip::dialog::Dialog;
use crate::sip::wire::fields::{has, q850};
use crate::sip::wire::uri::unescape;
use crate::sip::wire::{Core, HeaderId, Message, NameAddr, Scheme, Uri, values};
use std::time::Duration;
use units::{Cause, LegId, Now, Private};

/// An end that we decided.
pub(super) fn by_us(cause: Cause, alerted: bool) -> Ended {
    Ended { cause, status: None, by_peer: false, retry_after_s: None, alerted, redress: None }
}

/// The control channel in a 2xx of a speech engine.
fn channel_in(m: &Message<'_>, engine: &Control) -> Option<Channel> {
    let Body::Sdp(sdp) = find_body(m) else { return None };
    engine.answered(sdp)
}

impl Endpoint {
    pub(super) fn place(&mut self, now: Now, id: LegId, place: Place) -> Result<(), Error> {
        if self.legs.contains_key(&id) {
            return Err(Error::LegExists(id));
        }
        match self.calling(now, id, place) {
            Ok(mut leg) => {
                if let Some(bytes) = self.invite(&mut leg) {
                    self.by_tag.insert(leg.local_tag.clone(), id);
                    self.legs.insert(id, Box::new(leg));
                    self.with_leg(id, |this, leg| this.dial(now, leg, bytes));
                } else {
                    self.tell(id, Indication::Ended(by_us(Cause::INTERWORKING, false)));
                }
            }
            Err(cause) => self.tell(id, Indication::Ended(by_us(cause, false))),
        }
        Ok(())
    }

    /// The leg of a call, before its INVITE is written.
    fn calling(&self, now: Now, id: LegId, place: Place) -> Result<Leg, Cause> {
        let Media::Rtp(ours) = place.media.clone() else { return Err(Cause::BEARER_NOT_IMPLEMENTED) };
        let to = Uri::parse(place.to.expose().as_bytes()).filter(|u| u.scheme != Scheme::Other);
        let to = to.ok_or(Cause::INVALID_NUMBER)?;
        // A Refer-To may name what the call replaces (RFC 3891 §5); no other header field is taken from a URI.
        if to.headers.is_some_and(|h| h.contains('&') || replaces_in(h).is_none()) {
            return Err(Cause::INVALID_NUMBER);
        }
        let from = NameAddr::parse(place.from.expose().as_bytes()).ok_or(Cause::INTERWORKING)?;
        let attempt = place.attempt.0.to_be_bytes();
        let hop = Hop { transport: place.transport, to: place.hop, flow: None };
        Ok(Leg {
            id,
            hop,
            call_id: self.namer.call_id(self.config.shard, place.attempt),
            local_tag: self.namer.name("tag", &[&attempt]),
            local: name_addr(&from),
            remote: format!("<{}>", bare(to.text)),
            contact: self.contact(from.uri.user, hop.transport, to.scheme),
            cseq: 0,
            dialogs: Vec::new(),
            sdp: Local::new(self.namer.number("sdp", &attempt)),
            ours: Some(ours),
            theirs: None,
            alerted: false,
            uac: true,
            unacked: None,
            offered: None,
            reoffer: None,
            session: None,
            auth: place
                .credentials
                .clone()
                .map(|credentials| Box::new(Auth { credentials, realm: None, last: None })),
            updates: false,
            referred: None,
            caller: None,
            armed: None,
            phase: Phase::Calling(Box::new(Calling {
                tx: 0,
                ring_until: now.mono + Duration::from_millis(place.ring_max_ms),
                cancel: None,
                cancelled_until: None,
                trying_told: false,
                session_s: self.config.session_expires_s,
                min_se_s: self.config.min_se_s,
                place,
            })),
        })
    }

    /// The INVITE's octets: from the attempt, the configuration and the order alone, so that a restart repeats them.
    pub(super) fn invite(&mut self, leg: &mut Leg) -> Option<(Vec<u8>, String)> {
        leg.cseq += 1;
        let Phase::Calling(calling) = &leg.phase else { return None };
        let place = &calling.place;
        let offer = leg.sdp.offer(leg.ours.as_ref()?, place.engine.as_ref());
        let (mut w, branch) = self.begin(leg, "INVITE", bare(place.to.expose()), "", leg.cseq);
        if let Some(replaces) = place.to.expose().split_once('?').and_then(|(_, h)| replaces_in(h)) {
            w.field(HeaderId::Replaces, replaces);
            w.field(HeaderId::Require, "replaces");
        }
        w.field(HeaderId::Contact, &leg.contact);
        w.field(HeaderId::Allow, ALLOW);
        w.field(HeaderId::Supported, SUPPORTED);
        if let Some(seconds) = calling.session_s {
            w.field(HeaderId::SessionExpires, seconds);
            w.field(HeaderId::MinSe, calling.min_se_s);
        }
        w.field(HeaderId::UserAgent, &self.config.user_agent);
        if let Some(asserted) = &place.asserted {
            w.field(HeaderId::AssertedIdentity, asserted.expose());
        }
        for (name, value) in &place.headers {
            w.named(name, value);
        }
        w.finish("application/sdp", &offer).ok().map(|bytes| (bytes, branch))
    }

    fn dial(&mut self, now: Now, leg: &mut Leg, (bytes, branch): (Vec<u8>, String)) {
        let tx =
            self.start_client(now, Owner::Leg(leg.id, Purpose::Invite), leg.hop, &branch, "INVITE", bytes);
        if let Phase::Calling(calling) = &mut leg.phase {
            calling.tx = tx;
        }
    }

    /// A response to the INVITE that placed the call.
    pub(super) fn invite_response(&mut self, now: Now, leg: &mut Leg, m: &Message<'_>, core: &Core<'_>) {
        let status = m.status().unwrap_or(500);
        match status {
            100 => self.trying(now, leg),
            101..=199 => self.progress(now, leg, status, m, core),
            200..=299 => self.answered(now, leg, m, core),
            _ => self.failed(now, leg, status, m),
        }
    }

    fn trying(&mut self, now: Now, leg: &mut Leg) {
        if let Phase::Calling(c) = &mut leg.phase
            && !std::mem::replace(&mut c.trying_told, true)
        {
            self.tell(leg.id, Indication::Trying);
        }
        self.cancel_if_wanted(now, leg);
    }

    fn progress(&mut self, now: Now, leg: &mut Leg, status: u16, m: &Message<'_>, core: &Core<'_>) {
        let Phase::Calling(calling) = &leg.phase else { return };
        if calling.cancel.is_some() {
            return self.cancel_if_wanted(now, leg);
        }
        let fork = core.to.tag().and_then(|tag| self.fork(leg, tag, m));
        if let Some(which) = fork
            && !self.take_reliable(now, leg, which, m, core)
        {
            return;
        }
        leg.alerted |= status == 180 || status == 183;
        leg.updates |= has(m, HeaderId::Allow, "UPDATE");
        let media = fork.and_then(|_| self.answer_in(leg, m)).map(Media::Rtp);
        if leg.dialogs.len() == 1 && fork.is_some() {
            self.export(leg);
        }
        self.tell(leg.id, Indication::Progress { status, media });
    }

    /// The early dialog of a To tag, made if it is new (RFC 3261 §12.1.2, §13.2.2.4).
    pub(super) fn fork(&self, leg: &mut Leg, tag: &str, m: &Message<'_>) -> Option<usize> {
        if let Some(which) = leg.dialogs.iter().position(|d| d.remote_tag == tag) {
            if let Some(dialog) = leg.dialogs.get_mut(which) {
                dialog.refresh(m);
            }
            return Some(which);
        }
        if leg.dialogs.len() >= self.config.limits.forks_max {
            return None;
        }
        let fallback = leg.remote.trim_matches(['<', '>']).to_owned();
        leg.dialogs.push(Dialog::of_response(m, tag, &fallback, self.config.limits.routes_max));
        Some(leg.dialogs.len() - 1)
    }

    /// The answer in a body, agreed with our offer; kept as the far side's media.
    pub(super) fn answer_in(&self, leg: &mut Leg, m: &Message<'_>) -> Option<Rtp> {
        let Body::Sdp(sdp) = find_body(m) else { return None };
        let answer = Description::parse(sdp).ok()?;
        let (theirs, ours) = (answer.rtp, leg.ours.as_mut()?);
        // RFC 3264 §6: an answer keeps the profile of its offer; one without keys would be a downgrade.
        if ours.srtp.is_some() != theirs.srtp.is_some() {
            return None;
        }
        // RFC 4568 §5.1.3: the answer names the attribute that it takes, and that it is of our suite.
        if let (Some(own), Some(other)) = (&ours.srtp, &theirs.srtp)
            && (answer.crypto_tag != Some(CRYPTO_TAG) || own.tag_bits != other.tag_bits)
        {
            return None;
        }
        let agreed = agree(ours, &theirs).ok()?;
        settle(ours, &agreed);
        leg.theirs = Some(agreed.clone());
        Some(agreed)
    }

    fn answered(&mut self, now: Now, leg: &mut Leg, m: &Message<'_>, core: &Core<'_>) {
        let tag = core.to.tag().unwrap_or_default();
        let (clear, engine) = match &leg.phase {
            Phase::Calling(calling) => (calling.cancel, calling.place.engine.clone()),
            // RFC 3261 §13.2.2.4: a 2xx that comes again is acknowledged again, one of another fork also ended.
            Phase::Up { ack: Some(cseq) } if *cseq == core.cseq.number => {
                return self.again(now, leg, tag, m, core);
            }
            // What is not in the journal yet is not acknowledged; the peer will repeat itself.
            _ => return,
        };
        // An answer may have come in a provisional of the same fork, and then need not be repeated.
        let early = leg.dialogs.iter().any(|d| d.remote_tag == tag).then(|| leg.theirs.clone()).flatten();
        leg.dialogs.retain(|d| d.remote_tag == tag);
        let Some(_) = self.fork(leg, tag, m) else { return };
        if let Some(dialog) = leg.dialogs.first_mut() {
            // RFC 3261 §13.2.2.4: the route set is computed anew from the 2xx.
            let fresh = Dialog::of_response(m, tag, &dialog.target, self.config.limits.routes_max);
            *dialog = Dialog { remote_cseq: dialog.remote_cseq, ..fresh };
        }
        let channel = engine.as_ref().and_then(|engine| channel_in(m, engine));
        // An engine that opens no channel is of no use, whatever it would hear.
        let media = self.answer_in(leg, m).or(early).filter(|_| engine.is_some() == channel.is_some());
        leg.updates |= has(m, HeaderId::Allow, "UPDATE");
        self.session_agreed(now, leg, m);
        let clear = clear.or(media.is_none().then_some(Cause::INCOMPATIBLE));
        leg.phase = Phase::AckDue { cseq: core.cseq.number, clear };
        self.export(leg);
        if let (Some(media), None) = (media, clear) {
            if let Some(channel) = channel {
                self.tell(leg.id, Indication::Engine(channel));
            }
            self.tell(leg.id, Indication::Answered { media: Media::Rtp(media) });
        }
        self.tell(leg.id, Indication::AckDue);
    }

    /// A further 2xx after the ACK.
    fn again(&mut self, now: Now, leg: &mut Leg, tag: &str, m: &Message<'_>, core: &Core<'_>) {
        if leg.dialogs.first().is_some_and(|d| d.remote_tag == tag) {
            return self.send_ack(leg, 0, core.cseq.number, b"");
        }
        let keep = std::mem::take(&mut leg.dialogs);
        if self.fork(leg, tag, m).is_some() {
            self.send_ack(leg, 0, core.cseq.number, b"");
            self.send_in_dialog(now, leg, (0, Purpose::Bye), "BYE", |_| {}, ("", b""));
        }
        leg.dialogs = keep;
    }

    pub(super) fn ack_journalled(&mut self, now: Now, id: LegId) -> Result<(), Error> {
        let done = self.with_leg(id, |this, leg| {
            let Phase::AckDue { cseq, clear } = leg.phase else { return Err(Error::WrongState(id)) };
            this.send_ack(leg, 0, cseq, b"");
            leg.phase = Phase::Up { ack: Some(cseq) };
            if let Some(cause) = clear {
                this.hang_up(now, leg, cause);
            }
            Ok(())
        });
        done.unwrap_or(Err(Error::NoLeg(id)))
    }

    fn failed(&mut self, now: Now, leg: &mut Leg, status: u16, m: &Message<'_>) {
        let Phase::Calling(calling) = &leg.phase else { return };
        let wanted = calling.cancel;
        if (300..400).contains(&status) && wanted.is_none() {
            let contacts = self.redirect_contacts(m);
            self.tell(leg.id, Indication::Redirected { status, contacts });
        }
        let cause = wanted.or_else(|| q850(m)).unwrap_or_else(|| cause::of_status(status));
        let retry_after_s = m.first(HeaderId::RetryAfter).and_then(crate::sip::wire::core::seconds);
        let redress = matches!(status, 603 | 608).then(|| redress(m)).flatten();
        let alerted = leg.alerted;
        self.end(
            now,
            leg,
            Ended { cause, status: Some(status), by_peer: wanted.is_none(), retry_after_s, alerted, redress },
        );
    }

    /// Contacts of a 3xx, by descending `q` (RFC 3261 §8.1.3.4).
    fn redirect_contacts(&self, m: &Message<'_>) -> Vec<Private<String>> {
        let q = |a: &NameAddr<'_>| a.params.get("q").and_then(|q| q.parse::<f32>().ok()).unwrap_or(1.0);
        let mut list: Vec<_> =
            m.all(HeaderId::Contact).flat_map(values).filter_map(NameAddr::parse).collect();
        list.sort_by(|a, b| q(b).total_cmp(&q(a)));
        list.truncate(self.config.limits.contacts_max);
        list.into_iter().map(|a| Private::new(a.uri.text.to_owned())).collect()
    }

    /// Nothing was heard, or the transport failed.
    pub(super) fn invite_unanswered(&mut self, now: Now, leg: &mut Leg) {
        let cancel = match &leg.phase {
            Phase::Calling(calling) => calling.cancel,
            _ => return,
        };
        // A trunk that is silent is the network's fault, and another trunk may do better.
        let cause = cancel.unwrap_or(Cause::NETWORK_OUT_OF_ORDER);
        let alerted = leg.alerted;
        self.end(now, leg, by_us(cause, alerted));
    }

    /// Ringing has been long enough, or a CANCEL was not obeyed.
    pub(super) fn calling_due(&mut self, now: Now, leg: &mut Leg) {
        let alerted = leg.alerted;
        let Phase::Calling(calling) = &mut leg.phase else { return };
        if let (Some(until), Some(cause)) = (calling.cancelled_until, calling.cancel)
            && until <= now.mono
        {
            // RFC 3261 §9.1: 64*T1 after the CANCEL the INVITE counts as ended.
            let tx = calling.tx;
            self.drop_tx(tx);
            return self.end(now, leg, by_us(cause, alerted));
        }
        if calling.cancel.is_none() && calling.ring_until <= now.mono {
            calling.cancel = Some(if alerted { Cause::NO_ANSWER } else { Cause::NO_RESPONSE });
            self.cancel_if_wanted(now, leg);
        }
    }

    /// Sends the CANCEL that is wanted as soon as it may go: after a provisional (RFC 3261 §9.1).
    pub(super) fn cancel_if_wanted(&mut self, now: Now, leg: &mut Leg) {
        let Phase::Calling(calling) = &mut leg.phase else { return };
        let (Some(cause), None) = (calling.cancel, calling.cancelled_until) else { return };
        let Some(tx) = self.txs.get(&calling.tx) else { return };
        let proceeding = matches!(&tx.machine, Machine::ClientInvite(m) if m.is_proceeding());
        if !proceeding {
            return;
        }
        let reason = format!("Q.850;cause={}", cause.0);
        let (bytes, hop) = (derived(&tx.bytes, "CANCEL", None, Some(&reason)), tx.hop);
        calling.cancelled_until = Some(now.mono + self.config.timers.t1x64());
        let branch = self.namer.branch(&leg.call_id, &leg.local_tag, leg.cseq, "INVITE");
        if let Some(bytes) = bytes {
            self.start_client(now, Owner::Leg(leg.id, Purpose::Cancel), hop, &branch, "CANCEL", bytes);
        }
    }

    /// Hands the dialog to the journal.
    pub(super) fn export(&mut self, leg: &Leg) {
        if let Some(snapshot) = leg.snapshot() {
            self.out.push_back(Output::Dialog(leg.id, Box::new(snapshot)));
        }
    }
}

/// A URI without its header fields.
fn bare(uri: &str) -> &str {
    uri.split('?').next().unwrap_or_default()
}

/// The Replaces among a URI's header fields, escapes resolved.
fn replaces_in(headers: &str) -> Option<String> {
    let (name, value) = headers.split_once('=')?;
    name.eq_ignore_ascii_case("Replaces").then(|| unescape(value))
}

/// A name-addr as we write it: display name quoted anew, URI in brackets, no parameters.
pub(super) fn name_addr(a: &NameAddr<'_>) -> String {
    let display = a.display_text();
    if display.is_empty() {
        return format!("<{}>", a.uri.text);
    }
    let quoted = display.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{quoted}\" <{}>", a.uri.text)
}

/// RFC 8688 §4: a Call-Info with purpose `jcard`.
fn redress(m: &Message<'_>) -> Option<String> {
    let value = m.all(HeaderId::CallInfo).flat_map(values).next()?;
    NameAddr::parse(value).map(|a| a.uri.text.to_owned())
}
