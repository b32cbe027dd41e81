//! What an endpoint is told once: who it is, whom it trusts, its limits and defaults.

use crate::leg::Transport;
use crate::sip::transaction::Timers;
use crate::sip::wire;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use units::Private;

/// Configuration of one shard's endpoint.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// This shard, written into every Call-ID that we make.
    pub shard: u16,
    /// The addresses that peers reach us at, by transport; they stand in Via and Contact.
    pub advertised: Advertised,
    /// From it and the attempt id derive Call-ID, tags and branches. The same after a restart, on one server only.
    pub secret: Private<[u8; 32]>,
    /// User-Agent and Server.
    pub user_agent: String,
    /// Sources that are trusted: trunks and peers. Their P-Asserted-Identity is believed.
    pub peers: Vec<Net>,
    /// Whether requests from other sources are answered at all.
    pub answer_unknown: bool,
    /// T1, T2, T4.
    pub timers: Timers,
    /// Limits.
    pub limits: Limits,
    /// Session timer that we ask for (RFC 4028); `None`: we ask for none, but grant one.
    pub session_expires_s: Option<u32>,
    /// Shortest session interval that we grant, s; at least 90.
    pub min_se_s: u32,
    /// Challenge new calls from sources that are no peer by digest.
    pub auth: Option<ServerAuth>,
    /// Say in our Via that we understand overload control (RFC 7339 §4.1).
    pub overload_control: bool,
    /// Peers probed by OPTIONS.
    pub probes: Vec<Probe>,
}

/// Digest for those who call us without being peers (RFC 3261 §22, RFC 8760).
#[derive(Clone, Debug)]
pub struct ServerAuth {
    /// Realm.
    pub realm: String,
    /// Users and their passwords.
    pub users: Vec<(Private<String>, Private<String>)>,
}

/// A peer that is asked by OPTIONS whether it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Transport.
    pub transport: Transport,
    /// Address.
    pub to: SocketAddr,
    /// Between two probes.
    pub every: Duration,
}

/// Our addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Advertised {
    /// UDP.
    pub udp: Option<SocketAddr>,
    /// TCP.
    pub tcp: Option<SocketAddr>,
    /// TLS.
    pub tls: Option<SocketAddr>,
}

impl Advertised {
    /// The address for a transport.
    #[must_use]
    pub fn of(&self, transport: Transport) -> Option<SocketAddr> {
        match transport {
            Transport::Udp => self.udp,
            Transport::Tcp => self.tcp,
            Transport::Tls => self.tls,
        }
    }
}

/// An address prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    /// Address.
    pub ip: IpAddr,
    /// Leading bits that must match.
    pub bits: u8,
}

impl Net {
    /// One address alone.
    #[must_use]
    pub fn host(ip: IpAddr) -> Self {
        Self { ip, bits: if ip.is_ipv4() { 32 } else { 128 } }
    }

    /// Whether an address is inside. IPv4 mapped into IPv6 counts as IPv4.
    #[must_use]
    pub fn holds(&self, ip: IpAddr) -> bool {
        match (self.ip, ip.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                prefix(u32::from(net).into(), u32::from(ip).into(), self.bits, 32)
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => prefix(net.into(), ip.into(), self.bits, 128),
            _ => false,
        }
    }
}

fn prefix(a: u128, b: u128, bits: u8, width: u8) -> bool {
    let shift = u32::from(width.saturating_sub(bits));
    a.checked_shr(shift).unwrap_or(0) == b.checked_shr(shift).unwrap_or(0)
}

/// What an endpoint may hold and wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages.
    pub wire: wire::Limits,
    /// Legs at once; beyond, new calls get 503.
    pub legs_max: usize,
    /// Server transactions at once; beyond, requests that would make one are dropped.
    pub transactions_max: usize,
    /// Streams at once; beyond, a new one is closed.
    pub streams_max: usize,
    /// Early dialogs of one call; further forks are not followed.
    pub forks_max: usize,
    /// Route set of one dialog.
    pub routes_max: usize,
    /// Header fields kept for the application, of one call.
    pub kept_fields_max: usize,
    /// Octets kept of one such field.
    pub kept_octets_max: usize,
    /// Contacts reported of one 3xx.
    pub contacts_max: usize,
    /// How long an incoming call may wait for `Accept` or `Reject`.
    pub incoming_wait: Duration,
    /// How long an offer in a dialog may wait for `Answer`.
    pub offer_wait: Duration,
    /// How long a stream may hold an unfinished message.
    pub stream_wait: Duration,
    /// Requests a second that start something, from one source address.
    pub source_rate: u32,
    /// New calls a second, from all sources together; what is above gets 503, and peers are asked for less by `oc`.
    pub calls_rate: u32,
    /// Of those refused, so many a second get their 503; the rest is dropped at a glance, over UDP, and comes again.
    pub refusals_rate: u32,
    /// Sources with a bucket at once; beyond, the one least recently heard loses its own.
    pub sources_max: usize,
    /// Retry-After of a 503 for overload, s.
    pub retry_after_s: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wire: wire::Limits::default(),
            legs_max: 100_000,
            transactions_max: 400_000,
            streams_max: 4_096,
            forks_max: 12,
            routes_max: 16,
            kept_fields_max: 64,
            kept_octets_max: 1_024,
            contacts_max: 8,
            incoming_wait: Duration::from_secs(180),
            offer_wait: Duration::from_secs(20),
            stream_wait: Duration::from_secs(20),
            source_rate: 2_000,
            calls_rate: u32::MAX,
            refusals_rate: 2_000,
            sources_max: 4_096,
            retry_after_s: 5,
        }
    }
}

impl EndpointConfig {
    /// Defaults for a shard that is reached at these addresses, with no peer.
    #[must_use]
    pub fn new(shard: u16, advertised: Advertised, secret: [u8; 32]) -> Self {
        Self {
            shard,
            advertised,
            secret: Private::new(secret),
            user_agent: "Carillon".to_owned(),
            peers: Vec::new(),
            answer_unknown: false,
            timers: Timers::default(),
            limits: Limits::default(),
            session_expires_s: Some(1800),
            min_se_s: 90,
            auth: None,
            overload_control: true,
            probes: Vec::new(),
        }
    }

    /// Whether a source is a peer.
    #[must_use]
    pub fn is_peer(&self, ip: IpAddr) -> bool {
        self.peers.iter().any(|n| n.holds(ip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_match_their_own_family_only() {
        let check = |net: &str, bits, ip: &str, want| {
            let net = Net { ip: net.parse().expect("address"), bits };
            assert_eq!(net.holds(ip.parse().expect("address")), want, "{ip}");
        };
        check("192.0.2.0", 24, "192.0.2.77", true);
        check("192.0.2.0", 24, "::ffff:192.0.2.77", true);
        check("192.0.2.0", 24, "192.0.3.1", false);
        check("2001:db8::", 32, "2001:db8:9::1", true);
        check("0.0.0.0", 0, "9.9.9.9", true);
        check("::", 0, "9.9.9.9", false);
    }
}
