//! Requests sent again because the peer asked for something: credentials (401, 407), a longer session (422), or an offer
//! without keys (488).

use super::Endpoint;
use super::leg::{Leg, Phase};
use super::request::{OC, via_word};
use super::tx::{Owner, Purpose};
use crate::sip::auth::Challenge;
use crate::sip::wire::core::seconds;
use crate::sip::wire::scan::clean;
use crate::sip::wire::{HeaderId, Limits, Message, Method, Start, Writer};
use units::Now;

/// How often one request is sent anew: a challenge, a stale nonce, a 422.
const TRIES_MAX: u8 = 3;

impl Endpoint {
    /// Sends a refused request again if what the peer asks for can be given. Whether it was.
    pub(super) fn retried(
        &mut self,
        now: Now,
        leg: &mut Leg,
        tx: u64,
        purpose: Purpose,
        m: &Message<'_>,
    ) -> bool {
        let status = m.status().unwrap_or_default();
        let cancelled = matches!(&leg.phase, Phase::Calling(c) if c.cancel.is_some());
        let Some(old) = self.txs.get(&tx).filter(|t| t.tries < TRIES_MAX && !cancelled) else { return false };
        let request = old.bytes.clone();
        let tries = old.tries;
        let mut offer = None;
        let fields = match status {
            401 | 407 => self.credentials(leg, &request, purpose, m, tries),
            422 => longer(leg, m),
            488 | 606 if purpose == Purpose::Invite => {
                offer = in_the_clear(leg);
                offer.as_ref().map(|_| Vec::new())
            }
            _ => None,
        };
        let Some(fields) = fields else { return false };
        leg.cseq += 1;
        let rewritten = self.rewritten(leg, &request, &fields, offer.as_deref());
        let Some((bytes, branch, method)) = rewritten else { return false };
        let hop = self.txs.get(&tx).map_or(leg.hop, |t| t.hop);
        let new = self.start_client(now, Owner::Leg(leg.id, purpose), hop, &branch, &method, bytes);
        if let Some(t) = self.txs.get_mut(&new) {
            t.tries = tries + 1;
        }
        match (purpose, &mut leg.phase, &mut leg.reoffer) {
            (Purpose::Invite, Phase::Calling(calling), _) => calling.tx = new,
            (Purpose::Reinvite, _, Some(reoffer)) => reoffer.tx = Some(new),
            _ => {}
        }
        true
    }

    /// The Authorization that answers a challenge: of our trunk's realm only, and never a second time with the same
    /// credentials unless the nonce was merely old.
    fn credentials(
        &self,
        leg: &mut Leg,
        request: &[u8],
        purpose: Purpose,
        m: &Message<'_>,
        tries: u8,
    ) -> Option<Vec<(HeaderId, String)>> {
        let auth = leg.auth.as_mut()?;
        let realm = auth.credentials.realm.as_deref().or(auth.realm.as_deref());
        // A dialog whose realm is not known yet answers none: a BYE that is challenged may be a trick to get a digest.
        if realm.is_none() && purpose != Purpose::Invite {
            return None;
        }
        let challenge = Challenge::find(m, realm)?;
        let sent = Message::parse(request, &Limits::default()).ok()?;
        if sent.first(challenge.answer_in).is_some() && !challenge.stale {
            return None;
        }
        let Start::Request { method, uri } = sent.start() else { return None };
        let cnonce =
            self.namer.name("cnonce", &[leg.call_id.as_bytes(), method.as_str().as_bytes(), &[tries]]);
        let value = challenge.answer(&auth.credentials, method.as_str(), &clean(uri), &cnonce);
        auth.realm = Some(challenge.realm.clone());
        if method == Method::Invite {
            auth.last = Some((challenge.answer_in, value.clone()));
        }
        Some(vec![(challenge.answer_in, value)])
    }

    /// The request with a new Via, the next number, these fields in place of old ones, and perhaps another body.
    fn rewritten(
        &self,
        leg: &Leg,
        request: &[u8],
        fields: &[(HeaderId, String)],
        body: Option<&[u8]>,
    ) -> Option<(Vec<u8>, String, String)> {
        let m = Message::parse(request, &Limits::default()).ok()?;
        let Start::Request { method, uri } = m.start() else { return None };
        let method = method.as_str();
        let branch = self.namer.branch(&leg.call_id, &leg.local_tag, leg.cseq, method);
        let (word, own) = (via_word(leg.hop.transport), self.own(leg.hop.transport));
        let mut w = Writer::request(method, &clean(uri));
        let oc = if self.config.overload_control { OC } else { "" };
        w.field(HeaderId::Via, format_args!("SIP/2.0/{word} {own};branch={branch};rport{oc}"));
        for (id, name, value) in m.fields() {
            match id {
                HeaderId::Via | HeaderId::ContentLength | HeaderId::ContentType => {}
                HeaderId::CSeq => w.field(HeaderId::CSeq, format_args!("{} {method}", leg.cseq)),
                _ if fields.iter().any(|(f, _)| *f == id) => {}
                _ => w.named(&clean(name), clean(value)),
            }
        }
        for (id, value) in fields {
            w.field(*id, value);
        }
        let kind = m.first(HeaderId::ContentType).map(clean).unwrap_or_default();
        let bytes = w.finish(&kind, body.unwrap_or(m.body())).ok()?;
        Some((bytes, branch, method.to_owned()))
    }
}

/// RFC 3261 §21.4.26: the offer was not taken. If it had keys that may be left out, the same without them.
fn in_the_clear(leg: &mut Leg) -> Option<Vec<u8>> {
    if !matches!(leg.phase, Phase::Calling(_)) {
        return None;
    }
    let ours = leg.ours.as_mut()?;
    ours.srtp.take_if(|keys| keys.optional)?;
    Some(leg.sdp.offer(ours, None))
}

/// RFC 4028 §7.3: the interval that the peer called too small, raised to its minimum.
fn longer(leg: &mut Leg, m: &Message<'_>) -> Option<Vec<(HeaderId, String)>> {
    let least = m.first(HeaderId::MinSe).and_then(seconds).filter(|&s| s <= 86_400)?;
    let asked = match (&mut leg.phase, &mut leg.session) {
        (Phase::Calling(calling), _) => calling.session_s.as_mut()?,
        (_, Some(session)) => &mut session.seconds,
        _ => return None,
    };
    *asked = (*asked).max(least);
    let asked = *asked;
    Some(vec![(HeaderId::SessionExpires, asked.to_string()), (HeaderId::MinSe, least.to_string())])
}
