//! `[[trunks]]` and `[[trunk_groups]]`: the ways out, what each takes, and how it wants to be spoken to.

use super::sections::transport;
use super::{Rate, Span};
use serde::{Deserialize, Deserializer};
use signalling::leg::Transport;
use signalling::sip::locate::{Target, Wanted};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use units::{Codec, Private};

/// `[[trunks]]`: a way out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trunk {
    /// Name in records.
    pub name: String,
    /// Next hop: address and port, or a host name with or without a port, which DNS is asked for (RFC 3263); none on a
    /// trunk of spans.
    #[serde(default = "nowhere")]
    pub address: Address,
    /// The spans that it is made of, first ones first; empty: it is SIP.
    #[serde(default)]
    pub spans: Vec<u16>,
    /// On spans: type of numbers that go out without a `+`.
    #[serde(default, rename = "pridialplan")]
    pub ton: super::NumberType,
    /// `udp`, `tcp` or `tls`; none: what DNS says of a name, else UDP.
    #[serde(default, deserialize_with = "read_transport")]
    pub transport: Option<Transport>,
    /// The group that it is a member of.
    #[serde(default)]
    pub group: Option<String>,
    /// Lower is tried first, among the trunks that may take a call.
    #[serde(default = "hundred")]
    pub priority: u16,
    /// Share of the calls among trunks of one priority; 0: only when those with a weight have no room.
    #[serde(default = "hundred")]
    pub weight: u16,
    /// Numbers and `sip:` addresses it takes, by their beginning; `*`: all; empty: none.
    #[serde(default)]
    pub prefixes: Vec<String>,
    /// How numbers are written for it.
    #[serde(default)]
    pub dial: Dial,
    /// Host part of the Request-URI; none: the address.
    #[serde(default)]
    pub domain: Option<String>,
    /// Caller id when the order names none, or one that this trunk does not show.
    #[serde(default)]
    pub caller_id: Option<Private<String>>,
    /// Caller ids it shows, by their beginning; empty: all.
    #[serde(default)]
    pub caller_ids: Vec<Private<String>>,
    /// Send `P-Asserted-Identity` too.
    #[serde(default)]
    pub asserted_identity: bool,
    /// Digest user.
    #[serde(default)]
    pub user: Option<Private<String>>,
    /// Digest password.
    #[serde(default)]
    pub password: Option<Private<String>>,
    /// Only challenges of this realm are answered.
    #[serde(default)]
    pub realm: Option<String>,
    /// Calls at a time.
    #[serde(default = "calls_1000")]
    pub calls_max: u32,
    /// New calls per second.
    #[serde(default = "rate_50")]
    pub rate: Rate,
    /// Codecs, best first; empty: those of `[media]`.
    #[serde(default)]
    pub codecs: Vec<Codec>,
    /// Ring no longer than this on this trunk.
    #[serde(default)]
    pub ring_max: Option<Span>,
    /// Ask by OPTIONS so often whether it lives; `0s`: not at all, and only its calls tell.
    #[serde(default)]
    pub probe: Span,
    /// Register there; until that stands the trunk takes no call.
    #[serde(default)]
    pub register: Option<Register>,
    /// What a minute of talk costs, in thousandths of your currency, for rules of money; none: unknown.
    #[serde(default)]
    pub price_a_minute: Option<u64>,
    /// What an answered call costs beside, likewise.
    #[serde(default)]
    pub price_a_call: Option<u64>,
    /// Takes no call until `carillon trunk NAME unblock`.
    #[serde(default)]
    pub blocked: bool,
    /// Whether voice is encrypted, on calls to it and from it.
    #[serde(default)]
    pub srtp: Encryption,
    /// The keys may go by `udp` and `tcp` too, where whoever looks on can read them.
    #[serde(default)]
    pub srtp_keys_in_clear: bool,
}

/// Whether voice is encrypted: SRTP (RFC 3711) with keys in the session descriptions (SDES, RFC 4568).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encryption {
    /// Never: RTP only.
    #[default]
    Refused,
    /// If the other side speaks it.
    Optional,
    /// Always: no call without.
    Required,
}

/// Where a trunk is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// In figures: nobody is asked.
    Figures(SocketAddr),
    /// By name.
    Name {
        /// Host or domain.
        host: String,
        /// Port; with one, SRV is not asked.
        port: Option<u16>,
    },
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(|()| {
            serde::de::Error::custom("an address like \"192.0.2.1:5060\" or \"sip.example.com\" is wanted")
        })
    }
}

impl std::str::FromStr for Address {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        if let Ok(figures) = text.parse() {
            return Ok(Address::Figures(figures));
        }
        // Figures without a port: the transport's own.
        if let Ok(ip) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return Ok(Address::Name { host: ip.to_string(), port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| ())?)),
            None => (text, None),
        };
        let label = |l: &str| {
            (1..=63).contains(&l.len()) && l.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        };
        let sound = host.len() <= 253 && host.trim_end_matches('.').split('.').all(label);
        if !sound {
            return Err(());
        }
        Ok(Address::Name { host: host.trim_end_matches('.').to_ascii_lowercase(), port })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Figures(figures) => figures.fmt(f),
            Address::Name { host, port: Some(port) } => write!(f, "{host}:{port}"),
            Address::Name { host, port: None } => f.write_str(host),
        }
    }
}

impl Trunk {
    /// Where it is, if that needs no search.
    #[must_use]
    pub fn figures(&self) -> Option<Target> {
        let transport = self.transport.unwrap_or(Transport::Udp);
        match self.address {
            Address::Figures(addr) => Some(Target { transport, addr }),
            Address::Name { .. } => None,
        }
    }

    /// What is to be searched for otherwise.
    #[must_use]
    pub fn wanted(&self) -> Option<Wanted> {
        match &self.address {
            Address::Figures(_) => None,
            Address::Name { host, port } => {
                Some(Wanted { host: host.clone(), port: *port, transport: self.transport })
            }
        }
    }

    /// Whether it is made of lines; else it is SIP.
    #[must_use]
    pub fn is_line(&self) -> bool {
        !self.spans.is_empty()
    }

    /// Whether no address was given.
    #[must_use]
    pub fn is_nowhere(&self) -> bool {
        matches!(self.address, Address::Figures(addr) if addr.port() == 0)
    }

    /// Host part of URIs for it.
    #[must_use]
    pub fn host(&self) -> String {
        self.domain.clone().unwrap_or_else(|| self.address.to_string())
    }
}

/// A registration at a trunk (RFC 3261 §10).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Register {
    /// User part of the address of record; none: the digest user.
    pub user: Option<Private<String>>,
    /// Domain of the address of record and of the registrar; none: the trunk's domain, or its address.
    pub domain: Option<String>,
    /// Interval asked for; the registrar may grant less, and is asked again at half of what it grants.
    pub expires: Span,
}

impl Default for Register {
    fn default() -> Self {
        Self { user: None, domain: None, expires: Span::from_s(600) }
    }
}

/// `[[trunk_groups]]`: trunks that share a capacity, say of one contract.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrunkGroup {
    /// Name, for `[[trunks]]` and for the trunks of a tenant.
    pub name: String,
    /// Lower is tried first; trunks of no group stand at 100.
    #[serde(default = "hundred")]
    pub priority: u16,
    /// Calls at a time over all members.
    #[serde(default = "calls_1000")]
    pub calls_max: u32,
    /// New calls per second over all members.
    #[serde(default = "rate_50")]
    pub rate: Rate,
}

/// How a trunk wants numbers, which orders hold in E.164 with `+`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dial {
    /// Put before every number called, say to get an outside line.
    pub prefix: String,
    /// The `+` stays.
    pub plus: bool,
    /// Country code of the trunk, `+44`: numbers that begin with it are written in national form.
    pub country: Option<String>,
    /// What national form begins with: `0`.
    pub national: String,
    /// What takes the place of `+` on numbers of other countries: `00`.
    pub international: Option<String>,
}

impl Default for Dial {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            plus: true,
            country: None,
            national: String::new(),
            international: None,
        }
    }
}

impl Dial {
    /// A number in E.164 as this trunk writes it, without the prefix for an outside line.
    #[must_use]
    pub fn written(&self, number: &str) -> String {
        let Some(digits) = number.strip_prefix('+') else { return number.to_owned() };
        if let Some(rest) = self.country.as_ref().and_then(|country| number.strip_prefix(country.as_str())) {
            return format!("{}{rest}", self.national);
        }
        match &self.international {
            Some(international) => format!("{international}{digits}"),
            None if self.plus => number.to_owned(),
            None => digits.to_owned(),
        }
    }
}

/// No address: the trunk is made of spans.
fn nowhere() -> Address {
    Address::Figures(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))
}

fn hundred() -> u16 {
    100
}

fn calls_1000() -> u32 {
    1_000
}

fn rate_50() -> Rate {
    Rate::per_s(50)
}

fn read_transport<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Transport>, D::Error> {
    let name = String::deserialize(d)?;
    let read = transport(&name).ok_or_else(|| serde::de::Error::custom("one of udp, tcp, tls is wanted"));
    read.map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_figures_or_a_name() {
        let check = |text: &str, want: Option<&str>| {
            let read = text.parse::<Address>().map(|a| a.to_string()).ok();
            assert_eq!(read.as_deref(), want, "{text}");
        };
        check("192.0.2.1:5060", Some("192.0.2.1:5060"));
        check("[2001:db8::1]:5070", Some("[2001:db8::1]:5070"));
        check("2001:db8::1", Some("2001:db8::1"));
        check("SIP.Example.com.", Some("sip.example.com"));
        check("sip.example.com:5080", Some("sip.example.com:5080"));
        check("sip.example.com:x", None);
        check("sip..example.com", None);
        check("a b", None);
        check("", None);
    }

    #[test]
    fn a_number_is_written_as_the_trunk_wants_it() {
        let check = |dial: &str, number: &str, want: &str| {
            let dial: Dial = toml::from_str(dial).expect("reads");
            assert_eq!(dial.written(number), want, "{dial:?}");
        };
        check("", "+442079460000", "+442079460000");
        check("plus = false", "+442079460000", "442079460000");
        let british = "country = \"+44\"\nnational = \"0\"\ninternational = \"00\"";
        check(british, "+442079460000", "02079460000");
        check(british, "+15550100", "0015550100");
        check("country = \"+1\"\nplus = true", "+15550100", "5550100");
        check("plus = false", "alice", "alice");
    }
}
