//! Answers: what a response repeats of its request (RFC 3261 §8.2.6.2), and where it goes (§18.2.2, RFC 3581).

use super::Hop;
use crate::leg::Transport;
use crate::sip::wire::scan::clean;
use crate::sip::wire::write::Refused;
use crate::sip::wire::{HeaderId, Message, NameAddr, Via, Writer, values};
use std::fmt::Write as _;
use std::net::SocketAddr;

/// Most Via values that are repeated.
const VIAS_MAX: usize = 64;

/// What a response repeats.
#[derive(Clone, Debug)]
pub(super) struct Echo {
    vias: Vec<String>,
    from: Option<String>,
    to: Option<String>,
    to_tagged: bool,
    call_id: Option<String>,
    cseq: Option<String>,
    timestamp: Option<String>,
    /// Record-Route, repeated in what makes a dialog (RFC 3261 §12.1.1).
    pub(super) record_routes: Vec<String>,
    /// Where responses go.
    pub(super) hop: Hop,
}

impl Echo {
    /// From a request, however broken.
    pub(super) fn of(m: &Message<'_>, hop: Hop, oc: &str) -> Self {
        let text = |id| m.first(id).map(clean).filter(|t: &String| !t.is_empty());
        let mut vias: Vec<String> = m.all(HeaderId::Via).map(clean).take(VIAS_MAX).collect();
        let top = m.first(HeaderId::Via).and_then(|v| values(v).next());
        let mut reply_to = hop;
        if let (Some(raw), Some(first)) = (top, vias.first_mut()) {
            let rest = clean(m.first(HeaderId::Via).and_then(|v| v.get(raw.len()..)).unwrap_or_default());
            if let Some(via) = Via::parse(raw) {
                *first = stamped(raw, &via, hop.to);
                first.push_str(oc);
                if !rest.is_empty() {
                    first.push_str(&rest);
                }
                reply_to = destination(&via, hop);
            }
        }
        let to = m.first(HeaderId::To);
        Self {
            vias,
            from: text(HeaderId::From),
            to: text(HeaderId::To),
            to_tagged: to.and_then(NameAddr::parse).is_some_and(|a| a.tag().is_some()),
            call_id: text(HeaderId::CallId),
            cseq: text(HeaderId::CSeq),
            timestamp: text(HeaderId::Timestamp),
            record_routes: m.all(HeaderId::RecordRoute).map(clean).collect(),
            hop: reply_to,
        }
    }

    /// A response up to the fields that it repeats; `tag` is added to a To that has none.
    pub(super) fn response(&self, status: u16, reason: &str, tag: &str) -> Writer {
        let mut w = Writer::response(status, reason);
        for via in &self.vias {
            w.field(HeaderId::Via, via);
        }
        if let Some(from) = &self.from {
            w.field(HeaderId::From, from);
        }
        match &self.to {
            Some(to) if !self.to_tagged && status > 100 && !tag.is_empty() => {
                w.field(HeaderId::To, format_args!("{to};tag={tag}"));
            }
            Some(to) => w.field(HeaderId::To, to),
            None => {}
        }
        if let Some(id) = &self.call_id {
            w.field(HeaderId::CallId, id);
        }
        if let Some(cseq) = &self.cseq {
            w.field(HeaderId::CSeq, cseq);
        }
        if let (100, Some(stamp)) = (status, &self.timestamp) {
            w.field(HeaderId::Timestamp, stamp);
        }
        w
    }

    /// A response without a body.
    pub(super) fn plain(&self, status: u16, reason: &str, tag: &str) -> Result<Vec<u8>, Refused> {
        self.response(status, reason, tag).finish("", b"")
    }
}

/// The topmost Via with `received` and `rport` set (RFC 3261 §18.2.1, RFC 3581 §4).
fn stamped(raw: &[u8], via: &Via<'_>, from: SocketAddr) -> String {
    let at = raw.iter().position(|&b| b == b';').unwrap_or(raw.len());
    let mut text = clean(raw.get(..at).unwrap_or_default());
    let ip = from.ip().to_canonical();
    for (name, value) in via.params.iter() {
        if ["received", "rport", "oc", "oc-algo"].iter().any(|n| name.eq_ignore_ascii_case(n)) {
            continue;
        }
        text.push(';');
        text.push_str(name);
        if !value.is_empty() {
            text.push('=');
            text.push_str(value);
        }
    }
    if via.rport() {
        let _infallible = write!(text, ";rport={}", from.port());
    }
    if via.rport() || via.host != crate::sip::wire::Host::Ip(ip) {
        // RFC 5118 §4.5: an IPv6 address stands without brackets here.
        let _infallible = write!(text, ";received={ip}");
    }
    text
}

/// Over UDP to where the request came from, by its own port only if it asked (`rport`); over a stream by the stream.
/// `maddr` is not followed: it would send answers to a third party.
fn destination(via: &Via<'_>, hop: Hop) -> Hop {
    if hop.transport != Transport::Udp || via.rport() {
        return hop;
    }
    Hop { to: SocketAddr::new(hop.to.ip(), via.port.unwrap_or(5060)), ..hop }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::wire::Limits;

    fn echo(via: &str) -> (String, String) {
        let text = format!("OPTIONS sip:a SIP/2.0\r\nVia: {via}\r\nTo: <sip:b>\r\n\r\n");
        let m = Message::parse(text.as_bytes(), &Limits::default()).expect("framed");
        let hop =
            Hop { transport: Transport::Udp, to: "192.0.2.7:999".parse().expect("address"), flow: None };
        let e = Echo::of(&m, hop, "");
        (e.vias[0].clone(), e.hop.to.to_string())
    }

    #[test]
    fn rfc3581_4_rport_and_received() {
        let (via, to) = echo("SIP/2.0/UDP 10.0.0.1:5070;rport;branch=z9hG4bKx");
        assert_eq!(via, "SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bKx;rport=999;received=192.0.2.7");
        assert_eq!(to, "192.0.2.7:999");
        let (via, to) = echo("SIP/2.0/UDP h:5070;branch=z9hG4bKx, SIP/2.0/TCP g");
        assert_eq!(via, "SIP/2.0/UDP h:5070;branch=z9hG4bKx;received=192.0.2.7, SIP/2.0/TCP g");
        assert_eq!(to, "192.0.2.7:5070");
    }
}
