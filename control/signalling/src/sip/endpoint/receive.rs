//! Octets come in: framing, matching to transactions, dialogs or a new call, and the cheap refusals (RFC 3261 §18.1.2, §8.2).

use super::reply::Echo;
use super::request::{ALLOW, SUPPORTED};
use super::tx::{client_key, server_key};
use super::{Endpoint, FlowId, Hop, Output};
use crate::leg::Transport;
use crate::sip::auth::{Proof, challenges, verify};
use crate::sip::cause::phrase;
use crate::sip::endpoint::alarms::Who;
use crate::sip::transaction::client_invite::Input as Client;
use crate::sip::transaction::server_invite::Input as Server;
use crate::sip::wire::core::{request_uri, top_via};
use crate::sip::wire::fields::{SessionExpires, has, tokens};
use crate::sip::wire::frame::{Cut, Framer};
use crate::sip::wire::{Core, HeaderId, Message, Method, Owed, Unframed};
use std::net::SocketAddr;
use units::{Mono, Now};

/// One stream connection.
#[derive(Debug)]
pub(super) struct Stream {
    framer: Framer,
    /// Whether its source is listened to; no transaction can hang on another's stream.
    welcome: bool,
    /// When the message that is not whole yet has taken too long.
    until: Option<Mono>,
}

impl Endpoint {
    pub(super) fn received(
        &mut self,
        now: Now,
        flow: FlowId,
        transport: Transport,
        from: SocketAddr,
        bytes: &[u8],
    ) {
        let hop = Hop { transport, to: from, flow: Some(flow) };
        if transport == Transport::Udp {
            if !self.is_dropped(now, bytes) {
                self.message(now, hop, bytes);
            }
        } else {
            self.stream(now, flow, hop, bytes);
        }
    }

    fn stream(&mut self, now: Now, flow: FlowId, hop: Hop, bytes: &[u8]) {
        let full = self.streams.len() >= self.config.limits.streams_max;
        let mut stream = match self.streams.remove(&flow) {
            Some(stream) => stream,
            None if full => return self.close(flow),
            None => Stream { framer: Framer::default(), welcome: self.is_welcome(hop), until: None },
        };
        stream.framer.push(bytes);
        loop {
            match stream.framer.next(&self.config.limits.wire) {
                Cut::Message(n) => {
                    let message: Vec<u8> = stream.framer.bytes().get(..n).unwrap_or_default().to_vec();
                    stream.framer.consume(n);
                    stream.until = None;
                    self.message(now, hop, &message);
                }
                Cut::Ping => self.transmit(hop, b"\r\n".to_vec()),
                Cut::More => break,
                Cut::Last(n) => {
                    let message: Vec<u8> = stream.framer.bytes().get(..n).unwrap_or_default().to_vec();
                    self.last_message(now, hop, &message);
                    return self.close(flow);
                }
                Cut::Broken => return self.close(flow),
            }
        }
        if !stream.framer.bytes().is_empty() && stream.until.is_none() {
            let until = now.mono + self.config.limits.stream_wait;
            stream.until = Some(until);
            self.alarms.arm(Who::Stream(flow.0), None, Some(until));
        }
        self.streams.insert(flow, stream);
    }

    fn close(&mut self, flow: FlowId) {
        self.counters.streams_closed += 1;
        self.out.push_back(Output::Close { flow });
    }

    pub(super) fn stream_due(&mut self, now: Now, flow: FlowId) {
        let late = self.streams.get(&flow).is_some_and(|s| s.until.is_some_and(|u| u <= now.mono));
        if late && self.streams.remove(&flow).is_some() {
            self.close(flow);
        }
    }

    pub(super) fn flow_closed(&mut self, now: Now, flow: FlowId) {
        if self.streams.remove(&flow).is_none_or(|s| !s.welcome) {
            return;
        }
        for id in self.tx_by_stream.remove(&flow).into_iter().flatten() {
            if let Some(tx) = self.txs.get_mut(&id) {
                // An answer that is still to come opens a new connection (RFC 3261 §18.2.2).
                tx.hop.flow = None;
            }
            self.drive_client(now, id, Some(Client::TransportError), None);
        }
    }

    pub(super) fn unreachable(&mut self, now: Now, transport: Transport, to: SocketAddr) {
        let there = (transport, to, 0)..=(transport, to, u64::MAX);
        let lost: Vec<u64> = self.tx_by_peer.range(there).map(|(.., id)| *id).collect();
        for id in lost {
            if !self.falls_back(now, id) {
                self.drive_client(now, id, Some(Client::TransportError), None);
            }
        }
    }

    /// One message.
    fn message(&mut self, now: Now, hop: Hop, bytes: &[u8]) {
        match Message::parse(bytes, &self.config.limits.wire) {
            Ok(m) if m.status().is_some() => self.response(now, hop, &m),
            Ok(m) if self.is_welcome(hop) => self.request(now, hop, &m),
            Ok(_) => self.counters.strangers += 1,
            Err(Unframed::KeepAlive) => {}
            Err(_) => self.counters.unframed += 1,
        }
    }

    /// What stands last on a stream before it breaks: answered, never acted upon.
    fn last_message(&mut self, now: Now, hop: Hop, bytes: &[u8]) {
        if let Ok(m) = Message::parse(bytes, &self.config.limits.wire)
            && self.is_welcome(hop)
            && m.method().is_some_and(|method| method != Method::Ack)
        {
            let owed = m.defect().unwrap_or(Owed::bad("No Usable Content-Length"));
            self.refuse_stateless(now, hop, &m, owed);
        }
    }

    fn is_welcome(&self, hop: Hop) -> bool {
        self.config.answer_unknown || self.config.is_peer(hop.to.ip())
    }

    fn response(&mut self, now: Now, hop: Hop, m: &Message<'_>) {
        let found = Core::read(m).ok().and_then(|core| {
            let branch = core.via.branch()?;
            let id = *self.tx_by_key.get(&client_key(branch, core.cseq.method.as_str()))?;
            Some((id, core))
        });
        match (found, m.status()) {
            (Some((id, core)), Some(status)) => {
                self.hear_overload(hop.to, &core);
                self.drive_client(now, id, Some(Client::Response(status)), Some((m, &core)));
            }
            _ => {
                self.counters.stray_responses += 1;
                self.late_answer(now, hop, m);
            }
        }
    }

    fn request(&mut self, now: Now, hop: Hop, m: &Message<'_>) {
        let core = match Core::read(m) {
            Ok(core) => core,
            // RFC 3261 §17.1.1.3: an ACK is never answered.
            Err(_) if m.method() == Some(Method::Ack) => return,
            Err(owed) => return self.refuse_stateless(now, hop, m, owed),
        };
        let method = core.cseq.method;
        let known = self.tx_by_key.get(&server_key(m, &core, method)).copied();
        match (method, known) {
            (Method::Ack, known) => self.ack(now, known, m, &core),
            (_, Some(tx)) => self.repeated(now, tx),
            (Method::Cancel, None) => self.cancel(now, hop, m, &core),
            (_, None) => match core.to.tag().map(|tag| self.leg_of(tag, core.call_id)) {
                // What is beyond the limit is dropped; the peer repeats it.
                Some(Some(_)) if self.txs.len() >= self.config.limits.transactions_max => {
                    self.counters.over_rate += 1;
                }
                Some(Some(id)) => {
                    self.with_leg(id, |this, leg| this.requested(now, leg, hop, m, &core));
                }
                Some(None) => self.refuse_stateless(now, hop, m, Owed::new(481, phrase(481))),
                None => self.fresh(now, hop, m, &core),
            },
        }
    }

    /// The leg of a To tag of ours and its Call-ID.
    fn leg_of(&self, tag: &str, call_id: &str) -> Option<units::LegId> {
        let id = *self.by_tag.get(tag)?;
        self.legs.get(&id).filter(|l| l.call_id == call_id).map(|_| id)
    }

    fn ack(&mut self, now: Now, known: Option<u64>, m: &Message<'_>, core: &Core<'_>) {
        let for_user = known.is_none_or(|tx| self.drive_server(now, tx, Server::Ack));
        let leg = core.to.tag().and_then(|tag| self.leg_of(tag, core.call_id));
        if let (true, Some(id)) = (for_user, leg) {
            self.with_leg(id, |this, leg| this.acked(now, leg, m, core));
        }
    }

    /// RFC 3261 §9.2: 200 to the CANCEL of a transaction that exists, then 487 to its INVITE if it is open.
    fn cancel(&mut self, now: Now, hop: Hop, m: &Message<'_>, core: &Core<'_>) {
        let Some(&invite) = self.tx_by_key.get(&server_key(m, core, Method::Invite)) else {
            return self.refuse_stateless(now, hop, m, Owed::new(481, phrase(481)));
        };
        let echo = self.echo(now, m, hop);
        let tx =
            self.start_server(server_key(m, core, Method::Cancel), super::tx::Owner::Nobody, echo.hop, false);
        let owner = self.txs.get(&invite).map(|t| t.owner);
        let leg = match owner {
            Some(super::tx::Owner::Leg(id, super::tx::Purpose::Invite)) => Some(id),
            _ => None,
        };
        // RFC 3261 §9.2: the To tag is that of the INVITE's response.
        let tag = leg.and_then(|id| self.legs.get(&id)).map(|l| l.local_tag.clone()).unwrap_or_default();
        if let Ok(bytes) = echo.plain(200, "OK", &tag) {
            self.respond(now, tx, 200, bytes);
        }
        if let Some(id) = leg {
            self.with_leg(id, |this, leg| this.cancelled(now, leg, m));
        }
    }

    /// A request outside of any dialog.
    fn fresh(&mut self, now: Now, hop: Hop, m: &Message<'_>, core: &Core<'_>) {
        match self.admitted(now, hop, core) {
            Ok(()) => {}
            Err(Some(owed)) => return self.refuse_stateless(now, hop, m, owed),
            Err(None) => return,
        }
        let judged = request_uri(m).and_then(|uri| match core.cseq.method {
            Method::Invite | Method::Options => self.extensions(m).map(|()| uri),
            Method::Bye | Method::Prack | Method::Update | Method::Info | Method::Notify => {
                Err(Owed::new(481, phrase(481)))
            }
            Method::Other(_) => Err(Owed::new(501, phrase(501))),
            _ => Err(Owed::new(405, phrase(405))),
        });
        let result = match judged {
            Ok(_) if core.cseq.method == Method::Options => Err(Owed::new(200, "OK")),
            Ok(uri) => self.screened(now, hop, m, core).and_then(|()| self.invited(now, hop, m, core, &uri)),
            Err(owed) => Err(owed),
        };
        if let Err(owed) = result {
            self.refuse_stateless(now, hop, m, owed);
        }
    }

    /// What a new call must pass before its body is read: loops, credentials, its session timer.
    fn screened(&self, now: Now, hop: Hop, m: &Message<'_>, core: &Core<'_>) -> Result<(), Owed> {
        // RFC 3261 §8.2.2.2: the same request by another way has come before.
        if self.by_caller.contains_key(&caller_key(core)) {
            return Err(Owed::new(482, phrase(482)));
        }
        if let Some(auth) = self.config.auth.as_ref().filter(|_| !self.config.is_peer(hop.to.ip())) {
            match verify(m, &auth.realm, &auth.users, self.config.secret.expose(), now.mono) {
                Proof::Good => {}
                Proof::Stale => return Err(STALE),
                Proof::None => return Err(Owed::new(401, phrase(401))),
            }
        }
        // RFC 4028 §9: too short an interval is refused with ours, if the peer can hear it.
        let short = SessionExpires::read(m).is_some_and(|s| s.seconds < self.config.min_se_s);
        if short && has(m, HeaderId::Supported, "timer") {
            return Err(Owed::new(422, phrase(422)));
        }
        Ok(())
    }

    /// What a response repeats of this request.
    pub(super) fn echo(&self, now: Now, m: &Message<'_>, hop: Hop) -> Echo {
        let asks = top_via(m).is_some_and(|v| v.params.get("oc").is_some());
        Echo::of(m, hop, &self.overload_params(asks, now))
    }

    /// RFC 3261 §8.2.2.3, §20.1: what the peer requires of us, and what it takes.
    fn extensions(&self, m: &Message<'_>) -> Result<(), Owed> {
        if unsupported(m).next().is_some() {
            return Err(Owed::new(420, phrase(420)));
        }
        let mut accepts = tokens(m, HeaderId::Accept).peekable();
        let takes =
            |t: &str| matches!(t.to_ascii_lowercase().as_str(), "*/*" | "application/*" | "application/sdp");
        if m.method() == Some(Method::Invite) && accepts.peek().is_some() && !accepts.any(takes) {
            return Err(Owed::new(406, phrase(406)));
        }
        Ok(())
    }

    /// An answer without a transaction: the same request gets the same octets, and nothing is remembered.
    pub(super) fn refuse_stateless(&mut self, now: Now, hop: Hop, m: &Message<'_>, owed: Owed) {
        let echo = self.echo(now, m, hop);
        let via = m.first(HeaderId::Via).unwrap_or_default();
        let call_id = m.first(HeaderId::CallId).unwrap_or_default();
        let tag = self.namer.name("stateless", &[via, call_id]);
        let mut w = echo.response(owed.status, owed.reason, &tag);
        match owed.status {
            200 | 405 | 501 => w.field(HeaderId::Allow, ALLOW),
            401 => {
                let stale = owed == STALE;
                let realm = self.config.auth.as_ref().map(|a| a.realm.as_str()).unwrap_or_default();
                for challenge in challenges(realm, self.config.secret.expose(), now.mono, stale) {
                    w.field(HeaderId::WwwAuthenticate, challenge);
                }
            }
            422 => w.field(HeaderId::MinSe, self.config.min_se_s),
            _ => {}
        }
        match owed.status {
            200 | 406 | 415 => w.field(HeaderId::Accept, "application/sdp, multipart/mixed"),
            420 => {
                for token in unsupported(m) {
                    w.field(HeaderId::Unsupported, token);
                }
            }
            503 => w.field(HeaderId::RetryAfter, self.config.limits.retry_after_s),
            _ => {}
        }
        if owed.status == 200 {
            w.field(HeaderId::Supported, SUPPORTED);
        }
        w.field(HeaderId::Server, &self.config.user_agent);
        if let Ok(bytes) = w.finish("", b"") {
            self.transmit(echo.hop, bytes);
        }
    }
}

/// What tells a caller's request apart, by whatever way it comes (RFC 3261 §8.2.2.2).
pub(super) fn caller_key(core: &Core<'_>) -> Box<[u8]> {
    [core.from.tag().unwrap_or_default().as_bytes(), b"|", core.call_id.as_bytes()].concat().into()
}

/// A challenge whose answer was right but old.
const STALE: Owed = Owed::new(401, "Unauthorized, Stale Nonce");

/// Option tags that are required and that we do not speak.
pub(super) fn unsupported<'m>(m: &'m Message<'_>) -> impl Iterator<Item = &'m str> {
    let known = |t: &&str| SUPPORTED.split(", ").any(|s| s.eq_ignore_ascii_case(t));
    tokens(m, HeaderId::Require).filter(move |t| !known(t))
}
