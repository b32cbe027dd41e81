//! One Via value (RFC 3261 §20.42, RFC 3581).

use super::addr::Params;
use super::scan::{Cursor, ascii, is_lws, trim};
use super::uri::{Host, host_port};
use std::net::IpAddr;

/// A Via value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    /// Transport as written, e.g. `UDP`.
    pub transport: &'a str,
    /// sent-by host.
    pub host: Host<'a>,
    /// sent-by port.
    pub port: Option<u16>,
    /// sent-by as written, for matching.
    pub sent_by: &'a str,
    /// Parameters.
    pub params: Params<'a>,
}

impl<'a> Via<'a> {
    /// Reads one value. The version is not judged here: a message of SIP/7.0 is still answered along its Via.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut c = Cursor::new(trim(bytes));
        c.token().filter(|name| name.eq_ignore_ascii_case("SIP"))?;
        c.eat(b'/').then_some(())?;
        c.token()?;
        c.eat(b'/').then_some(())?;
        let transport = c.token()?;
        c.peek().filter(|&b| is_lws(b))?;
        c.skip_lws();
        let at = c.rest().iter().position(|&b| b == b';').unwrap_or(c.rest().len());
        let (by, params) = c.rest().split_at(at);
        // RFC 3261 §25.1 lets white space stand round the colon; such a sent-by keeps host and port apart.
        let sent_by = ascii(trim(by))?;
        let (host, port) = match sent_by.split_once(|c: char| c.is_ascii_whitespace()) {
            None => host_port(sent_by)?,
            Some((host, rest)) => {
                let port = rest.trim().strip_prefix(':')?.trim().parse().ok()?;
                (host_port(host)?.0, Some(port))
            }
        };
        Some(Self { transport, host, port, sent_by, params: Params::parse(params)? })
    }

    /// `branch`, if it carries the cookie of RFC 3261 §8.1.1.7 and more.
    #[must_use]
    pub fn branch(&self) -> Option<&'a str> {
        self.params.get("branch").filter(|b| b.len() > 7 && b.starts_with("z9hG4bK"))
    }

    /// `received`; IPv6 with or without brackets (RFC 5118 §4.5).
    #[must_use]
    pub fn received(&self) -> Option<IpAddr> {
        self.params.get("received").and_then(|r| r.trim_matches(['[', ']']).parse().ok())
    }

    /// Whether `rport` was asked for (RFC 3581 §4).
    #[must_use]
    pub fn rport(&self) -> bool {
        self.params.get("rport").is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn via_in_every_shape() {
        let v = Via::parse(b"SIP  / 2.0\r\n /UDP\r\n    192.0.2.2:5060 ;branch=390skdjuw").expect("reads");
        assert_eq!((v.transport, v.sent_by, v.port, v.branch()), ("UDP", "192.0.2.2:5060", Some(5060), None));
        let v = Via::parse(
            b"SIP/2.0/TLS [2001:db8::9:1]:5061;received=[2001:db8::9:255];branch=z9hG4bKas3;rport",
        );
        let v = v.expect("reads");
        assert_eq!(v.received(), "2001:db8::9:255".parse().ok());
        assert_eq!((v.branch(), v.rport()), (Some("z9hG4bKas3"), true));
    }

    #[test]
    fn broken_vias_are_refused() {
        for text in
            ["SIP/2.0/UDP 192.0.2.15;;,;,,", "SIP/2.0/UDP", "SIP/2.0 x", "SIP/2.0/UDP 2001:db8::9", "x"]
        {
            assert_eq!(Via::parse(text.as_bytes()), None, "{text}");
        }
    }
}
