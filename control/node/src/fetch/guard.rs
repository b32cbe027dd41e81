//! Where a third party's URL may lead: scheme, port and address. The address is resolved once, inside the connector,
//! and the connection goes to what was checked, so a name that changes its mind in between gains nothing.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use url::{Host, Url};

/// Rules in a form that is quick to ask.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// Special networks that may be reached all the same.
    allow: Vec<Network>,
    /// `http:` too.
    plain: bool,
    /// Ports; empty: 80, 443 and those above 1023.
    ports: Vec<u16>,
}

/// A network: address and prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    addr: IpAddr,
    bits: u8,
}

/// Why a URL is not fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Not `http:`, `https:`; or no host.
    Uri,
    /// The rules forbid scheme, port or address.
    Forbidden,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the fetch rules forbid this address")
    }
}

impl std::error::Error for Refused {}

impl Network {
    /// Reads `10.0.0.0/8`, `::1/128` or a single address.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (addr, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let addr: IpAddr = addr.trim().parse().ok()?;
        let width = if addr.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(width), |b| b.trim().parse().ok()).filter(|b| *b <= width)?;
        Some(Self { addr, bits })
    }

    /// Whether an address is in it.
    #[must_use]
    pub fn holds(&self, ip: IpAddr) -> bool {
        match (self.addr, ip) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                u32::from(net) & mask == u32::from(ip) & mask
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                u128::from(net) & mask == u128::from(ip) & mask
            }
            _ => false,
        }
    }
}

impl Guard {
    /// From the configuration.
    ///
    /// # Errors
    /// The text that is no network.
    pub fn new(rules: &control::config::Fetch) -> Result<Self, String> {
        let allow = rules
            .allow_networks
            .iter()
            .map(|text| Network::parse(text).ok_or_else(|| text.clone()))
            .collect::<Result<_, _>>()?;
        Ok(Self { allow, plain: rules.plain_http, ports: rules.ports.clone() })
    }

    /// Checks what can be checked before a name is resolved.
    ///
    /// # Errors
    /// [`Refused`] with the reason.
    pub fn check(&self, url: &Url) -> Result<(), Refused> {
        match url.scheme() {
            "https" => {}
            "http" if self.plain => {}
            "http" => return Err(Refused::Forbidden),
            _ => return Err(Refused::Uri),
        }
        let port = url.port_or_known_default().ok_or(Refused::Uri)?;
        let fine = match self.ports.as_slice() {
            [] => port == 80 || port == 443 || port > 1_023,
            some => some.contains(&port),
        };
        if !fine {
            return Err(Refused::Forbidden);
        }
        match url.host().ok_or(Refused::Uri)? {
            Host::Domain(_) => Ok(()),
            // A literal never reaches the resolver, so it is judged here.
            Host::Ipv4(ip) => self.admit(IpAddr::V4(ip)),
            Host::Ipv6(ip) => self.admit(IpAddr::V6(ip)),
        }
    }

    fn admit(&self, ip: IpAddr) -> Result<(), Refused> {
        if self.allows(ip) { Ok(()) } else { Err(Refused::Forbidden) }
    }

    /// Whether an address may be connected to.
    #[must_use]
    pub fn allows(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.allow.iter().any(|net| net.holds(ip)) || !is_special(ip)
    }
}

/// Resolves names and lets only admissible addresses through.
#[derive(Clone, Debug)]
pub(super) struct Resolver(pub(super) Arc<Guard>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = Arc::clone(&self.0);
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            // One forbidden address among good ones is a trap as well: all must be fine.
            if found.is_empty() || !found.iter().all(|a| guard.allows(a.ip())) {
                return Err(Box::new(Refused::Forbidden).into());
            }
            let addrs: Addrs = Box::new(found.into_iter());
            Ok(addrs)
        })
    }
}

/// Addresses that are not for the public: the IANA special-purpose registries (RFC 6890 and its updates).
#[must_use]
pub fn is_special(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => V4_SPECIAL.iter().any(|&(net, bits)| {
            Network { addr: IpAddr::V4(Ipv4Addr::from(net)), bits }.holds(IpAddr::V4(ip))
        }),
        IpAddr::V6(ip) => is_special_v6(ip),
    }
}

/// IANA IPv4 special-purpose address registry, and multicast (RFC 5771) and class E.
const V4_SPECIAL: [([u8; 4], u8); 17] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 31, 196, 0], 24),
    ([192, 52, 193, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([192, 175, 48, 0], 24),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 3),
];

/// Only 2000::/3 is global unicast (RFC 4291 §2.4), and of it these are special. NAT64 (64:ff9b::/96) and 6to4
/// (2002::/16) hold IPv4 addresses and would lead round the rules.
fn is_special_v6(ip: Ipv6Addr) -> bool {
    let s = ip.segments();
    let global = s[0] & 0xe000 == 0x2000;
    let protocol = s[0] == 0x2001 && s[1] < 0x0200; // 2001::/23, Teredo among them
    let documentation = (s[0] == 0x2001 && s[1] == 0x0db8) || s[0] & 0xfff0 == 0x3ff0;
    let six_to_four = s[0] == 0x2002;
    let as112 = s[0] == 0x2620 && s[1] == 0x004f && s[2] == 0x8000;
    !global || protocol || documentation || six_to_four || as112
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allow: &[&str], plain: bool) -> Guard {
        let rules = control::config::Fetch {
            allow_networks: allow.iter().map(|s| (*s).to_owned()).collect(),
            plain_http: plain,
            ..control::config::Fetch::default()
        };
        Guard::new(&rules).expect("networks")
    }

    #[test]
    fn special_addresses_are_refused_in_every_dress() {
        let check = |ip: &str, want: bool| {
            assert_eq!(is_special(ip.parse::<IpAddr>().expect("ip").to_canonical()), want, "{ip}");
        };
        for ip in ["127.0.0.1", "10.1.2.3", "169.254.169.254", "100.64.0.1", "0.0.0.0", "255.255.255.255"] {
            check(ip, true);
        }
        for ip in [
            "::1",
            "::ffff:127.0.0.1",
            "fe80::1",
            "fc00::1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
        ] {
            check(ip, true);
        }
        for ip in ["9.9.9.9", "2620:fe::fe", "192.0.1.1", "2a00:1450::1"] {
            check(ip, false);
        }
    }

    #[test]
    fn urls_are_judged_before_any_name_is_asked() {
        let check = |guard: &Guard, url: &str, want: Result<(), Refused>| {
            assert_eq!(guard.check(&Url::parse(url).expect("url")), want, "{url}");
        };
        let strict = guard(&[], false);
        check(&strict, "https://example.com/a", Ok(()));
        check(&strict, "http://example.com/a", Err(Refused::Forbidden));
        check(&strict, "ftp://example.com/a", Err(Refused::Uri));
        check(&strict, "https://example.com:22/", Err(Refused::Forbidden));
        check(&strict, "https://127.0.0.1/", Err(Refused::Forbidden));
        check(&strict, "https://2130706433/", Err(Refused::Forbidden));
        check(&strict, "https://[::ffff:10.0.0.1]/", Err(Refused::Forbidden));
        let demo = guard(&["127.0.0.0/8"], true);
        check(&demo, "http://127.0.0.1:8000/", Ok(()));
        check(&demo, "http://10.0.0.1:8000/", Err(Refused::Forbidden));
    }
}
