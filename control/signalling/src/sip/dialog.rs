//! Dialogs (RFC 3261 §12): what each side calls the other, the route between, and the numbers of requests.

use crate::leg::Transport;
use crate::sip::wire::scan::clean;
use crate::sip::wire::uri::Host;
use crate::sip::wire::{HeaderId, Message, NameAddr, values};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use units::LegId;

/// The far half of a dialog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialog {
    /// Remote tag; empty if the peer has none (RFC 2543).
    pub remote_tag: String,
    /// Remote target: the URI that requests are for.
    pub target: String,
    /// Route set, first hop first, each a name-addr.
    pub routes: Vec<String>,
    /// CSeq of the last request from the peer.
    pub remote_cseq: Option<u32>,
    /// RSeq of the last reliable provisional response from the peer (RFC 3262 §4).
    pub rseq: Option<u32>,
}

/// All that a neighbour needs to end a call whose server died: kept in the journal with the call.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialogSnapshot {
    /// Leg in the shard that made it.
    pub leg: LegId,
    /// Call-ID.
    pub call_id: String,
    /// Our name-addr and tag.
    pub local: (String, String),
    /// Their name-addr, without tag.
    pub remote: String,
    /// The far half.
    pub dialog: Dialog,
    /// CSeq of our last request; a neighbour leaves a gap behind it.
    pub cseq: u32,
    /// Transport: `udp`, `tcp` or `tls`.
    pub transport: String,
    /// Where requests go.
    pub to: SocketAddr,
    /// Whether the call is answered: else it can only be cancelled.
    pub confirmed: bool,
}

impl std::fmt::Debug for DialogSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Names and numbers stay out of logs.
        write!(f, "DialogSnapshot({:?}, confirmed: {})", self.leg, self.confirmed)
    }
}

impl Dialog {
    /// Of a response to our INVITE: the route set is its Record-Route, reversed (RFC 3261 §12.1.2).
    #[must_use]
    pub fn of_response(m: &Message<'_>, remote_tag: &str, fallback: &str, routes_max: usize) -> Self {
        let mut routes = record_routes(m, routes_max);
        routes.reverse();
        Self {
            remote_tag: remote_tag.to_owned(),
            target: contact(m).unwrap_or_else(|| fallback.to_owned()),
            routes,
            remote_cseq: None,
            rseq: None,
        }
    }

    /// Of an INVITE to us: the route set is its Record-Route in order (RFC 3261 §12.1.1). An RFC 2543 caller has no
    /// Contact; its From is called instead.
    #[must_use]
    pub fn of_request(m: &Message<'_>, from: &NameAddr<'_>, cseq: u32, routes_max: usize) -> Self {
        Self {
            remote_tag: from.tag().unwrap_or_default().to_owned(),
            target: contact(m).unwrap_or_else(|| from.uri.text.to_owned()),
            routes: record_routes(m, routes_max),
            remote_cseq: Some(cseq),
            rseq: None,
        }
    }

    /// A target refresh (RFC 3261 §12.2.1.2, §12.2.2).
    pub fn refresh(&mut self, m: &Message<'_>) {
        if let Some(target) = contact(m) {
            self.target = target;
        }
    }

    /// Request-URI and Route values of a request in this dialog (RFC 3261 §12.2.1.1).
    #[must_use]
    pub fn route(&self) -> (String, Vec<String>) {
        let first = self.routes.first().and_then(|r| NameAddr::parse(r.as_bytes()));
        match first {
            // A strict router takes the Request-URI's place, and the target goes last.
            Some(first) if first.uri.params.get("lr").is_none() => {
                let mut routes = self.routes.get(1..).unwrap_or_default().to_vec();
                routes.push(format!("<{}>", self.target));
                (first.uri.text.to_owned(), routes)
            }
            _ => (self.target.clone(), self.routes.clone()),
        }
    }

    /// The address of the next hop, if first route or target hold one in figures. Names are not resolved here: a dialog
    /// then keeps to the hop that worked.
    #[must_use]
    pub fn next_hop(&self, transport: Transport) -> Option<SocketAddr> {
        let first = self.routes.first().and_then(|r| NameAddr::parse(r.as_bytes())).map(|a| a.uri);
        let uri = first.or_else(|| crate::sip::wire::Uri::parse(self.target.as_bytes()))?;
        let default = if transport == Transport::Tls { 5061 } else { 5060 };
        match uri.host? {
            Host::Ip(ip) => Some(SocketAddr::new(ip, uri.port.unwrap_or(default))),
            Host::Name(_) => None,
        }
    }
}

/// The URI of the first Contact.
#[must_use]
pub fn contact(m: &Message<'_>) -> Option<String> {
    let value = m.all(HeaderId::Contact).flat_map(values).next()?;
    NameAddr::parse(value).map(|a| a.uri.text.to_owned())
}

fn record_routes(m: &Message<'_>, max: usize) -> Vec<String> {
    m.all(HeaderId::RecordRoute)
        .flat_map(values)
        .filter(|v| NameAddr::parse(v).is_some())
        .map(clean)
        .take(max)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialog(routes: &[&str]) -> Dialog {
        Dialog {
            remote_tag: "t".into(),
            target: "sip:b@192.0.2.4:5070".into(),
            routes: routes.iter().map(|r| (*r).to_owned()).collect(),
            remote_cseq: None,
            rseq: None,
        }
    }

    #[test]
    fn rfc3261_12_2_1_1_loose_and_strict_routes() {
        let loose = dialog(&["<sip:p1;lr>", "<sip:p2;lr>"]);
        assert_eq!(
            loose.route(),
            ("sip:b@192.0.2.4:5070".into(), vec!["<sip:p1;lr>".into(), "<sip:p2;lr>".into()])
        );
        let strict = dialog(&["<sip:p1>", "<sip:p2;lr>"]);
        assert_eq!(
            strict.route(),
            ("sip:p1".into(), vec!["<sip:p2;lr>".into(), "<sip:b@192.0.2.4:5070>".into()])
        );
    }

    #[test]
    fn the_next_hop_is_the_first_route_or_the_target() {
        assert_eq!(dialog(&[]).next_hop(Transport::Udp), "192.0.2.4:5070".parse().ok());
        assert_eq!(dialog(&["<sip:192.0.2.9;lr>"]).next_hop(Transport::Tls), "192.0.2.9:5061".parse().ok());
        assert_eq!(dialog(&["<sip:p1;lr>"]).next_hop(Transport::Udp), None);
    }
}
