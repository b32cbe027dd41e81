//! REFER and its implicit subscription, both roles (RFC 3515, RFC 3892 names the referrer).

use super::Endpoint;
use super::leg::{Leg, Phase, Referred};
use super::reply::Echo;
use super::tx::Purpose;
use crate::leg::Indication;
use crate::sip::cause::phrase;
use crate::sip::wire::core::name_addr;
use crate::sip::wire::fields::tokens;
use crate::sip::wire::{Core, HeaderId, Message, Writer};
use std::fmt::Write as _;
use units::{LegId, Now, Private};

impl Endpoint {
    /// `Refer`. Whether it could be sent.
    pub(super) fn refer(
        &mut self,
        now: Now,
        leg: &mut Leg,
        to: &Private<String>,
        replaces: Option<LegId>,
    ) -> bool {
        if !matches!(leg.phase, Phase::Up { .. }) {
            return false;
        }
        let mut target = to.expose().clone();
        if let Some(other) = replaces {
            let Some((contact, value)) = self.replaces_value(other) else { return false };
            // RFC 5589 §7.3: the Contact of whom the other leg reached, so that the new call finds the very same device.
            target = contact;
            let join = if target.contains('?') { '&' } else { '?' };
            let _infallible = write!(target, "{join}Replaces={value}");
        }
        let (contact, local) = (leg.contact.clone(), leg.local.clone());
        let extra = |w: &mut Writer| {
            w.field(HeaderId::Contact, contact);
            w.field(HeaderId::ReferTo, format_args!("<{target}>"));
            w.field(HeaderId::ReferredBy, local);
        };
        self.send_in_dialog(now, leg, (0, Purpose::Refer), "REFER", extra, ("", b"")).is_some()
    }

    /// The Contact of another leg's peer, and its Replaces as that peer must see it, escaped for a URI (RFC 3891 §6.1).
    fn replaces_value(&self, other: LegId) -> Option<(String, String)> {
        let leg = self.legs.get(&other).filter(|l| matches!(l.phase, Phase::Up { .. }))?;
        let dialog = leg.dialogs.first()?;
        let remote = &dialog.remote_tag;
        let plain = format!("{};to-tag={remote};from-tag={}", leg.call_id, leg.local_tag);
        let value = plain.bytes().fold(String::new(), |mut text, b| {
            if b.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&b) {
                text.push(char::from(b));
            } else {
                let _infallible = write!(text, "%{b:02X}");
            }
            text
        });
        Some((dialog.target.clone(), value))
    }

    /// A response to our REFER: a refusal ends it, 2xx means that NOTIFYs follow.
    pub(super) fn refer_response(&mut self, leg: &Leg, status: u16) {
        if status >= 300 {
            self.tell(leg.id, Indication::ReferProgress { status });
        }
    }

    /// A NOTIFY came: the `message/sipfrag` in it says how the referred call stands (RFC 3515 §2.4.5).
    pub(super) fn notified(&mut self, now: Now, tx: u64, echo: &Echo, leg: &Leg, m: &Message<'_>) {
        if !tokens(m, HeaderId::Event).any(|e| e.eq_ignore_ascii_case("refer")) {
            return self.say(now, tx, echo, 489, leg);
        }
        self.say(now, tx, echo, 200, leg);
        let status = m
            .body()
            .strip_prefix(b"SIP/2.0 ")
            .and_then(|b| b.get(..3))
            .and_then(|s| std::str::from_utf8(s).ok());
        if let Some(status) = status.and_then(|s| s.parse().ok()).filter(|s| (100..700).contains(s)) {
            self.tell(leg.id, Indication::ReferProgress { status });
        }
    }

    /// A REFER came.
    pub(super) fn referred(
        &mut self,
        now: Now,
        tx: u64,
        echo: Echo,
        leg: &mut Leg,
        m: &Message<'_>,
        core: &Core<'_>,
    ) {
        let target = name_addr(m, HeaderId::ReferTo).map(|a| a.uri.text.to_owned());
        let Some(target) = target else { return self.say(now, tx, &echo, 400, leg) };
        if leg.referred.as_ref().is_some_and(|r| r.pending.is_some()) {
            return self.say(now, tx, &echo, 491, leg);
        }
        leg.referred = Some(Referred { pending: Some((tx, echo)), cseq: core.cseq.number });
        self.tell(leg.id, Indication::Referred { to: Private::new(target) });
    }

    /// `ReferResult`. Whether there is a REFER that it belongs to.
    pub(super) fn refer_result(&mut self, now: Now, leg: &mut Leg, status: u16) -> bool {
        let Some(referred) = &mut leg.referred else { return false };
        let id = referred.cseq;
        let first = referred.pending.take();
        if let Some((tx, echo)) = first {
            if status >= 300 {
                leg.referred = None;
                self.say(now, tx, &echo, status, leg);
                return true;
            }
            let mut w = echo.response(202, phrase(202), &leg.local_tag);
            w.field(HeaderId::Contact, &leg.contact);
            if let Ok(bytes) = w.finish("", b"") {
                self.respond(now, tx, 202, bytes);
            }
        }
        // 202 says that the REFER is accepted, which of the referred call is 100.
        let status = if status == 202 { 100 } else { status };
        if status >= 200 {
            leg.referred = None;
        }
        self.notify(now, leg, id, status);
        true
    }

    fn notify(&mut self, now: Now, leg: &mut Leg, id: u32, status: u16) {
        let contact = leg.contact.clone();
        let extra = |w: &mut Writer| {
            w.field(HeaderId::Contact, contact);
            w.field(HeaderId::Event, format_args!("refer;id={id}"));
            let state = if status >= 200 { "terminated;reason=noresource" } else { "active;expires=180" };
            w.field(HeaderId::SubscriptionState, state);
        };
        let body = format!("SIP/2.0 {status} {}\r\n", phrase(status));
        self.send_in_dialog(
            now,
            leg,
            (0, Purpose::Notify),
            "NOTIFY",
            extra,
            ("message/sipfrag;version=2.0", body.as_bytes()),
        );
    }
}
