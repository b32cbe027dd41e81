//! Requests that we write: their common fields, and how they are sent.

use super::leg::Leg;
use super::tx::{Owner, Purpose};
use super::{Endpoint, Hop};
use crate::leg::Transport;
use crate::sip::wire::{HeaderId, Scheme, Writer};
use std::net::SocketAddr;
use units::Now;

/// Methods that we answer within or outside of a dialog.
pub(super) const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY";
/// Extensions that we speak.
pub(super) const SUPPORTED: &str = "100rel, timer, replaces";

/// We understand what RFC 7339 §4 lets a server say in our Via.
pub(super) const OC: &str = ";oc;oc-algo=\"loss\"";

/// `Via` transport word.
pub(super) fn via_word(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "UDP",
        Transport::Tcp => "TCP",
        Transport::Tls => "TLS",
    }
}

impl Endpoint {
    /// Our address for a transport; a hop that no address was configured for gets the one that it can answer to.
    pub(super) fn own(&self, transport: Transport) -> SocketAddr {
        let any = SocketAddr::from(([0, 0, 0, 0], 5060));
        let a = self.config.advertised;
        a.of(transport).or(a.udp).or(a.tcp).or(a.tls).unwrap_or(any)
    }

    /// Our Contact. RFC 3261 §12.1.1: it is a SIPS URI where the peer asked for one, and only there; there are peers that
    /// speak TLS and know no SIPS.
    pub(super) fn contact(&self, user: Option<&str>, transport: Transport, asked: Scheme) -> String {
        let own = self.own(transport);
        let at = user.map(|u| format!("{u}@")).unwrap_or_default();
        match transport {
            Transport::Udp => format!("<sip:{at}{own}>"),
            Transport::Tcp => format!("<sip:{at}{own};transport=tcp>"),
            Transport::Tls if asked == Scheme::Sips => format!("<sips:{at}{own}>"),
            Transport::Tls => format!("<sip:{at}{own};transport=tls>"),
        }
    }

    /// The fields that every request begins with (RFC 3261 §8.1.1).
    pub(super) fn begin(
        &self,
        leg: &Leg,
        method: &str,
        uri: &str,
        to_tag: &str,
        cseq: u32,
    ) -> (Writer, String) {
        let branch = self.namer.branch(&leg.call_id, &leg.local_tag, cseq, method);
        let mut w = Writer::request(method, uri);
        let (word, own) = (via_word(leg.hop.transport), self.own(leg.hop.transport));
        let oc = if self.config.overload_control { OC } else { "" };
        w.field(HeaderId::Via, format_args!("SIP/2.0/{word} {own};branch={branch};rport{oc}"));
        w.field(HeaderId::MaxForwards, 70);
        w.field(HeaderId::From, format_args!("{};tag={}", leg.local, leg.local_tag));
        if to_tag.is_empty() {
            w.field(HeaderId::To, &leg.remote);
        } else {
            w.field(HeaderId::To, format_args!("{};tag={to_tag}", leg.remote));
        }
        w.field(HeaderId::CallId, &leg.call_id);
        w.field(HeaderId::CSeq, format_args!("{cseq} {method}"));
        (w, branch)
    }

    /// A request in the leg's dialog number `which`, up to its own fields (RFC 3261 §12.2.1.1).
    pub(super) fn in_dialog(
        &self,
        leg: &Leg,
        which: usize,
        method: &str,
        cseq: u32,
    ) -> Option<(Writer, String)> {
        let dialog = leg.dialogs.get(which)?;
        let (uri, routes) = dialog.route();
        let (mut w, branch) = self.begin(leg, method, &uri, &dialog.remote_tag, cseq);
        for route in routes {
            w.field(HeaderId::Route, route);
        }
        w.field(HeaderId::UserAgent, &self.config.user_agent);
        Some((w, branch))
    }

    /// Sends a request in the dialog by a transaction of its own. `extra` writes its fields. The transaction, unless
    /// there is no dialog or a field was refused.
    pub(super) fn send_in_dialog(
        &mut self,
        now: Now,
        leg: &mut Leg,
        (which, purpose): (usize, Purpose),
        method: &str,
        extra: impl FnOnce(&mut Writer),
        body: (&str, &[u8]),
    ) -> Option<u64> {
        leg.cseq += 1;
        let (mut w, branch) = self.in_dialog(leg, which, method, leg.cseq)?;
        extra(&mut w);
        let bytes = w.finish(body.0, body.1).ok()?;
        let hop: Hop = leg.next_hop(which);
        Some(self.start_client(now, Owner::Leg(leg.id, purpose), hop, &branch, method, bytes))
    }

    /// The ACK for a 2xx, which is the dialog's and no transaction's (RFC 3261 §13.2.2.4).
    pub(super) fn send_ack(&mut self, leg: &Leg, which: usize, cseq: u32, body: &[u8]) {
        let Some((mut w, _)) = self.in_dialog(leg, which, "ACK", cseq) else { return };
        // RFC 3261 §22.1: the ACK carries the credentials of its INVITE.
        if let Some((id, value)) = leg.auth.as_ref().and_then(|a| a.last.as_ref()) {
            w.field(*id, value);
        }
        if let Ok(bytes) = w.finish("application/sdp", body) {
            let hop = leg.next_hop(which);
            self.transmit(hop, bytes);
        }
    }
}
