//! SIP, SIPS and tel URIs (RFC 3261 §19.1, RFC 3966), borrowed and read once; other schemes are kept whole.

use super::addr::Params;
use super::scan::{ascii, table};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Scheme of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// Any other; only [`Uri::text`] means something.
    Other,
}

/// A host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'a> {
    /// A domain name.
    Name(&'a str),
    /// An address; IPv6 stood in brackets.
    Ip(IpAddr),
}

/// A URI, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri<'a> {
    /// The whole, as written.
    pub text: &'a str,
    /// Scheme.
    pub scheme: Scheme,
    /// User part, escapes untouched; of a `tel:` URI the number.
    pub user: Option<&'a str>,
    /// Host; `None` for `tel:` and other schemes.
    pub host: Option<Host<'a>>,
    /// Port, 1..=65535.
    pub port: Option<u16>,
    /// `;`-parameters.
    pub params: Params<'a>,
    /// What follows `?`.
    pub headers: Option<&'a str>,
}

impl<'a> Uri<'a> {
    /// Reads a URI. `None`: no scheme, or broken within a scheme that we know.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let colon = bytes.iter().position(|&b| b == b':')?;
        let text =
            std::str::from_utf8(bytes).ok().filter(|_| bytes.iter().all(|&b| ALLOWED[usize::from(b)]))?;
        let (scheme, rest) = (bytes.get(..colon)?, text.get(colon + 1..)?);
        match scheme {
            s if s.eq_ignore_ascii_case(b"sip") => Self::sip(text, Scheme::Sip, rest),
            s if s.eq_ignore_ascii_case(b"sips") => Self::sip(text, Scheme::Sips, rest),
            s if s.eq_ignore_ascii_case(b"tel") => Self::tel(text, rest),
            [first, more @ ..] if first.is_ascii_alphabetic() => {
                let ok = more.iter().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b));
                ok.then(|| Self::bare(text, Scheme::Other))
            }
            _ => None,
        }
    }

    /// Number or user name, escapes resolved (RFC 3261 §19.1.2).
    #[must_use]
    pub fn user_plain(&self) -> Option<String> {
        self.user.map(unescape)
    }

    fn bare(text: &'a str, scheme: Scheme) -> Self {
        Self { text, scheme, user: None, host: None, port: None, params: Params::default(), headers: None }
    }

    fn sip(text: &'a str, scheme: Scheme, rest: &'a str) -> Option<Self> {
        // The user part may hold `;` and `?` (RFC 4475 §3.1.1.9), so the `@` is looked for first.
        let (user, rest) = match rest.bytes().rposition(|b| b == b'@') {
            Some(at) => (Some(rest.get(..at)?), rest.get(at + 1..)?),
            None => (None, rest),
        };
        // What follows a colon in it is a password.
        let name = user.map(|u| upto(u, b':').0);
        if name.is_some_and(|u| u.is_empty() || !u.bytes().all(|b| USER[usize::from(b)])) {
            return None;
        }
        let (rest, headers) = upto(rest, b'?');
        let (host_port_text, params) = upto(rest, b';');
        let params = rest.get(host_port_text.len()..).filter(|_| params.is_some()).unwrap_or_default();
        let (host, port) = host_port(host_port_text)?;
        Some(Self {
            user: name,
            host: Some(host),
            port,
            params: Params::of_uri(params)?,
            headers,
            ..Self::bare(text, scheme)
        })
    }

    fn tel(text: &'a str, rest: &'a str) -> Option<Self> {
        let (number, params) = match rest.find(';') {
            Some(at) => (rest.get(..at)?, rest.get(at..)?),
            None => (rest, ""),
        };
        let ok = |b: u8| b.is_ascii_hexdigit() || b"+-.()*#".contains(&b);
        if number.is_empty() || !number.bytes().all(ok) {
            return None;
        }
        Some(Self { user: Some(number), params: Params::of_uri(params)?, ..Self::bare(text, Scheme::Tel) })
    }
}

/// `host [":" port]`, IPv6 in brackets (RFC 3261 §25.1, RFC 5118 §4.2).
#[must_use]
pub fn host_port(text: &str) -> Option<(Host<'_>, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (inside, after) = rest.split_once(']')?;
        let port = match after.strip_prefix(':') {
            Some(digits) => Some(port(digits)?),
            None if after.is_empty() => None,
            None => return None,
        };
        return Some((Host::Ip(IpAddr::V6(ipv6(inside)?)), port));
    }
    let (host, digits) = upto(text, b':');
    let port = match digits {
        Some(digits) => Some(port(digits)?),
        None => None,
    };
    if host.as_bytes().first().is_some_and(u8::is_ascii_digit)
        && let Ok(ip) = host.parse::<Ipv4Addr>()
    {
        return Some((Host::Ip(IpAddr::V4(ip)), port));
    }
    let named = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    named.then_some((Host::Name(host), port))
}

/// IPv6 in text. RFC 5118 §4.10: the RFC 3261 grammar lets `:::192.0.2.1` pass for `::192.0.2.1`; we read it so.
fn ipv6(text: &str) -> Option<Ipv6Addr> {
    text.parse().ok().or_else(|| text.strip_prefix(":::").and_then(|t| format!("::{t}").parse().ok()))
}

fn port(digits: &str) -> Option<u16> {
    let ok = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|&p: &u16| ok && p != 0)
}

/// What stands before the first `mark`, and after it if there is one.
fn upto(text: &str, mark: u8) -> (&str, Option<&str>) {
    match text.bytes().position(|b| b == mark) {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
        None => (text, None),
    }
}

/// Printable ASCII but `<`, `>` and `"`.
static ALLOWED: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0x21;
    while b < 0x7f {
        table[b] = b != b'<' as usize && b != b'>' as usize && b != b'"' as usize;
        b += 1;
    }
    table
};

/// unreserved, escaped and user-unreserved; `#` and the like are written by some switches, so they pass.
static USER: [bool; 256] =
    table(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.!~*'()%&=+$,;?/#@");

/// Resolves `%HH`; what is no escape stays. Octets that are no UTF-8, and control characters, become U+FFFD.
#[must_use]
pub fn unescape(text: &str) -> String {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes();
    while let [first, rest @ ..] = bytes {
        let hex = rest.get(..2).and_then(ascii).filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()));
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(octet) if *first == b'%' => {
                plain.push(octet);
                bytes = rest.get(2..).unwrap_or_default();
            }
            _ => {
                plain.push(*first);
                bytes = rest;
            }
        }
    }
    let text = String::from_utf8_lossy(&plain);
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

impl std::fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, user: Option<&str>, host: &str, port: Option<u16>) {
        let uri = Uri::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text} is a URI"));
        let got = uri.host.map(|h| h.to_string()).unwrap_or_default();
        assert_eq!((uri.user, got.as_str(), uri.port), (user, host, port), "{text}");
    }

    #[test]
    fn sip_and_tel_uris_of_every_shape() {
        check("sip:bob@example.com", Some("bob"), "example.com", None);
        check("SIPS:example.com:5061", None, "example.com", Some(5061));
        check("sip:a:secret@[2001:db8::10]:5070;lr", Some("a"), "[2001:db8::10]", Some(5070));
        check(
            "sip:user;par=u%40example.net@example.com",
            Some("user;par=u%40example.net"),
            "example.com",
            None,
        );
        check("tel:+1-201-555-0123;phone-context=x", Some("+1-201-555-0123"), "", None);
        check("sip:[:::192.0.2.1]", None, "[::c000:201]", None);
        check("soap.beep://192.0.2.103:3002", None, "", None);
    }

    #[test]
    fn broken_uris_are_refused() {
        for text in
            ["sip:", "bob", "sip:a b@c", "sip:2001:db8::10", "sip:a@b:99999", "sip:a@b:0", "sip:@b", "1x:y"]
        {
            assert_eq!(Uri::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn rfc4475_3_1_1_3_escapes_resolve_once() {
        assert_eq!(unescape("sip%3Auser%40ex"), "sip:user@ex");
        assert_eq!(unescape("%00%zz%2"), "\u{fffd}%zz%2");
    }
}
