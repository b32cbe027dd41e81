//! The way out: which trunk takes a number, and how it wants it written.

use crate::config::{Tenant, Trunk};
use crate::order::Order;
use serde::{Deserialize, Serialize};
use signalling::leg::{Credentials, Transport};
use std::net::SocketAddr;
use units::{Codec, Private};

/// How one call leaves.
#[derive(Clone, Debug)]
pub struct Route {
    /// Trunk, by name.
    pub trunk: String,
    /// Next hop.
    pub hop: SocketAddr,
    /// Transport to it.
    pub transport: Transport,
    /// Request-URI.
    pub uri: Private<String>,
    /// From.
    pub from: Private<String>,
    /// P-Asserted-Identity.
    pub asserted: Option<Private<String>>,
    /// Digest credentials.
    pub credentials: Option<Credentials>,
    /// Codecs; empty: those of the settings.
    pub codecs: Vec<Codec>,
    /// Longest ringing, ms.
    pub ring_ms_max: u64,
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoute {
    /// No trunk takes this number for this tenant.
    NoTrunk,
    /// The order names no caller id and no trunk has one.
    NoCallerId,
}

/// The dialog's constants as they are journalled, so that a neighbour can send the identical INVITE or a BYE.
#[derive(Debug, Serialize, Deserialize)]
struct Constants {
    hop: SocketAddr,
    transport: String,
    to: Private<String>,
    from: Private<String>,
}

impl Route {
    /// The trunks a tenant's order may leave by, best first. `host` is our own address, for `From`.
    ///
    /// # Errors
    /// [`NoRoute`] if none is left.
    pub fn all(
        trunks: &[Trunk],
        tenant: Option<&Tenant>,
        order: &Order,
        host: &str,
        ring_ms_max: u64,
    ) -> Result<Vec<Route>, NoRoute> {
        let number = order.to.expose();
        let allowed = tenant.map(|t| t.trunks.as_slice()).unwrap_or_default();
        let rank = |trunk: &Trunk| match allowed {
            [] => Some(0),
            some => some.iter().position(|name| *name == trunk.name),
        };
        let mut fitting: Vec<(usize, &Trunk)> =
            trunks.iter().filter(|t| t.takes(number)).filter_map(|t| Some((rank(t)?, t))).collect();
        fitting.sort_by_key(|(rank, _)| *rank);
        if fitting.is_empty() {
            return Err(NoRoute::NoTrunk);
        }
        let routes: Vec<Route> =
            fitting.iter().filter_map(|(_, t)| Self::by(t, order, host, ring_ms_max)).collect();
        if routes.is_empty() { Err(NoRoute::NoCallerId) } else { Ok(routes) }
    }

    fn by(trunk: &Trunk, order: &Order, host: &str, ring_ms_max: u64) -> Option<Self> {
        let caller = order.caller_id.as_ref().or(trunk.caller_id.as_ref())?.expose();
        let from = Private::new(trunk.uri(caller, host));
        let credentials = match (&trunk.user, &trunk.password) {
            (Some(user), Some(password)) => Some(Credentials {
                user: user.clone(),
                password: password.clone(),
                realm: trunk.realm.clone(),
            }),
            _ => None,
        };
        let domain = trunk.domain.clone().unwrap_or_else(|| trunk.address.to_string());
        Some(Self {
            trunk: trunk.name.clone(),
            hop: trunk.address,
            transport: trunk.transport,
            uri: Private::new(trunk.called(order.to.expose(), &domain)),
            asserted: trunk.asserted_identity.then(|| from.clone()),
            from,
            credentials,
            codecs: trunk.codecs.clone(),
            ring_ms_max: trunk.ring_max.map_or(ring_ms_max, |own| own.ms.min(ring_ms_max)),
        })
    }

    /// It leaves by a span.
    #[must_use]
    pub fn is_timeslot(&self) -> bool {
        self.uri.expose().starts_with("tel:") && self.uri.expose().contains(";tgrp=")
    }

    /// What is journalled of the dialog, JSON.
    #[must_use]
    pub fn constants(&self) -> Vec<u8> {
        let transport = format!("{:?}", self.transport).to_lowercase();
        let constants = Constants { hop: self.hop, transport, to: self.uri.clone(), from: self.from.clone() };
        serde_json::to_vec(&constants).expect("four texts are always JSON")
    }
}

impl Trunk {
    /// Whether a number or address may leave here.
    #[must_use]
    pub fn takes(&self, number: &str) -> bool {
        // A line takes numbers, not addresses.
        let dialled = self.spans.is_empty() || number.starts_with(|c: char| c == '+' || c.is_ascii_digit());
        dialled && (self.prefixes.is_empty() || self.prefixes.iter().any(|p| number.starts_with(p.as_str())))
    }

    /// The callee as this trunk wants it: a trunk of spans is named in the URI (RFC 4904 §4).
    fn called(&self, number: &str, host: &str) -> String {
        if self.spans.is_empty() {
            return self.uri(number, host);
        }
        let digits = if self.dial.plus { number } else { number.trim_start_matches('+') };
        format!("tel:{}{digits};tgrp={}", self.dial.prefix, self.name)
    }

    /// A number as this trunk wants it, in a SIP URI; a `sip:` URI stays as it is.
    fn uri(&self, number: &str, host: &str) -> String {
        if number.starts_with("sip:") || number.starts_with("sips:") {
            return number.to_owned();
        }
        let digits = if self.dial.plus { number } else { number.trim_start_matches('+') };
        format!("sip:{}{digits}@{host}", self.dial.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn trunks() -> Vec<Trunk> {
        let text = "
[[trunks]]
name = \"wide\"
address = \"127.0.0.1:5080\"
caller_id = \"+15550001\"
[[trunks]]
name = \"uk\"
address = \"127.0.0.1:5081\"
prefixes = [\"+44\"]
caller_id = \"+15550002\"
dial = { prefix = \"9\", plus = false }
domain = \"uk.example\"
";
        config::parse("t", text).expect("reads").trunks
    }

    fn order(to: &str) -> Order {
        let json = serde_json::json!({
            "id": units::OrderId(1).to_string(), "tenant": 1, "request_id": "r", "origin": {"by": "campaign"},
            "to": to, "application": {"url": "http://a/"}, "when": "now", "expires": 0, "purpose": "survey",
        });
        serde_json::from_value(json).expect("an order")
    }

    #[test]
    fn a_number_leaves_as_its_trunk_wants_it() {
        let routes = Route::all(&trunks(), None, &order("+441"), "h", 1).expect("two");
        assert_eq!(routes.len(), 2);
        assert_eq!(routes[1].uri.expose(), "sip:9441@uk.example");
        assert_eq!(routes[1].from.expose(), "sip:915550002@h");
        let one = Route::all(&trunks(), None, &order("+1"), "h", 1).expect("one");
        assert_eq!(one[0].uri.expose(), "sip:+1@127.0.0.1:5080");
    }

    #[test]
    fn a_tenant_may_have_its_own_order_of_trunks() {
        let tenant: Tenant =
            toml::from_str("name = \"a\"\nid = 1\ntrunks = [\"uk\", \"wide\"]").expect("reads");
        let routes = Route::all(&trunks(), Some(&tenant), &order("+441"), "h", 1).expect("two");
        assert_eq!(routes[0].trunk, "uk");
        let only: Tenant = toml::from_str("name = \"a\"\nid = 1\ntrunks = [\"uk\"]").expect("reads");
        let none = Route::all(&trunks(), Some(&only), &order("+1"), "h", 1);
        assert_eq!(none.map(|_| ()), Err(NoRoute::NoTrunk));
    }
}
