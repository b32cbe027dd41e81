//! The fields that every message must hold (RFC 3261 §8.1.1), read and judged: the second layer of the parser.

use super::addr::{NameAddr, values};
use super::message::{Message, Start};
use super::name::{HeaderId, Method};
use super::scan::{Cursor, ascii};
use super::uri::{Scheme, Uri};
use super::via::Via;

/// The answer that a peer is owed for what it sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owed {
    /// Status, 400..=699.
    pub status: u16,
    /// Reason phrase.
    pub reason: &'static str,
}

impl Owed {
    /// Any status.
    #[must_use]
    pub const fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason }
    }

    /// 400 with its ground.
    #[must_use]
    pub const fn bad(reason: &'static str) -> Self {
        Self { status: 400, reason }
    }
}

/// CSeq.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// Below 2^31 (RFC 3261 §8.1.1.5).
    pub number: u32,
    /// Method.
    pub method: Method<'a>,
}

impl<'a> CSeq<'a> {
    /// Reads a value.
    #[must_use]
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let mut c = Cursor::new(value);
        let number = c.number().and_then(|n| u32::try_from(n).ok()).filter(|&n| n < 1 << 31)?;
        let before = c.rest().len();
        c.skip_lws();
        if c.rest().len() == before {
            return None;
        }
        let method = Method::of(c.token()?);
        c.is_done().then_some(Self { number, method })
    }
}

/// The mandatory fields.
#[derive(Clone, Debug)]
pub struct Core<'a> {
    /// Topmost Via.
    pub via: Via<'a>,
    /// From.
    pub from: NameAddr<'a>,
    /// To.
    pub to: NameAddr<'a>,
    /// Call-ID.
    pub call_id: &'a str,
    /// CSeq.
    pub cseq: CSeq<'a>,
    /// Max-Forwards; 70 if absent, as before RFC 3261.
    pub max_forwards: u8,
}

impl<'a> Core<'a> {
    /// Reads and judges them.
    ///
    /// # Errors
    /// What the peer is owed; a response that fails is dropped instead.
    pub fn read(m: &Message<'a>) -> Result<Self, Owed> {
        if let Some(owed) = m.defect() {
            return Err(owed);
        }
        let via = top_via(m).ok_or(Owed::bad("Bad Via"))?;
        let from = name_addr(m, HeaderId::From).ok_or(Owed::bad("Bad From"))?;
        let to = name_addr(m, HeaderId::To).ok_or(Owed::bad("Bad To"))?;
        let call_id = m.first(HeaderId::CallId).and_then(call_id).ok_or(Owed::bad("Bad Call-ID"))?;
        let cseq = m.first(HeaderId::CSeq).and_then(CSeq::parse).ok_or(Owed::bad("Bad CSeq"))?;
        let max_forwards = match m.first(HeaderId::MaxForwards) {
            None => 70,
            Some(v) => octet(v).ok_or(Owed::bad("Bad Max-Forwards"))?,
        };
        let core = Self { via, from, to, call_id, cseq, max_forwards };
        match m.start() {
            Start::Request { method, .. } if method != cseq.method => Err(Owed::bad("CSeq Method Differs")),
            Start::Request { .. } => core.judge_lists(m),
            Start::Response { .. } => Ok(core),
        }
    }

    /// Lists that a request's answer depends on must be well formed, used or not (RFC 4475 §3.1.2.1, §3.1.2.4).
    fn judge_lists(self, m: &Message<'a>) -> Result<Self, Owed> {
        // The topmost is read already.
        if !m.all(HeaderId::Via).flat_map(values).skip(1).all(|v| Via::parse(v).is_some()) {
            return Err(Owed::bad("Bad Via"));
        }
        for id in [HeaderId::Contact, HeaderId::Route, HeaderId::RecordRoute] {
            for value in m.all(id).flat_map(values) {
                let star = id == HeaderId::Contact && value == b"*";
                if !star && NameAddr::parse(value).is_none() {
                    return Err(Owed::bad("Bad Contact Or Route"));
                }
            }
        }
        if m.first(HeaderId::Expires).is_some_and(|v| seconds(v).is_none()) {
            return Err(Owed::bad("Bad Expires"));
        }
        Ok(self)
    }
}

/// The Request-URI, judged: 400 if it is no URI, 416 for a scheme that we do not speak (RFC 3261 §8.2.2.1).
///
/// # Errors
/// What the peer is owed.
pub fn request_uri<'a>(m: &Message<'a>) -> Result<Uri<'a>, Owed> {
    let Start::Request { uri, .. } = m.start() else { return Err(Owed::bad("No Request")) };
    let uri = Uri::parse(uri).ok_or(Owed::bad("Bad Request-URI"))?;
    match uri.scheme {
        Scheme::Other => Err(Owed::new(416, "Unsupported URI Scheme")),
        // RFC 3261 §19.1.5, RFC 4475 §3.1.2.11: header fields in a Request-URI are never acted upon.
        _ if uri.headers.is_some() => Err(Owed::bad("Header Fields In Request-URI")),
        _ => Ok(uri),
    }
}

/// The topmost Via, also of a message that is broken elsewhere.
#[must_use]
pub fn top_via<'a>(m: &Message<'a>) -> Option<Via<'a>> {
    Via::parse(values(m.first(HeaderId::Via)?).next()?)
}

/// A header that holds one name-addr.
#[must_use]
pub fn name_addr<'a>(m: &Message<'a>, id: HeaderId) -> Option<NameAddr<'a>> {
    NameAddr::parse(m.first(id)?)
}

/// Delta-seconds below 2^32; a parameter or comment may follow.
#[must_use]
pub fn seconds(value: &[u8]) -> Option<u32> {
    let mut c = Cursor::new(value);
    let n = c.number().and_then(|n| u32::try_from(n).ok())?;
    c.skip_lws();
    matches!(c.peek(), None | Some(b';' | b'(')).then_some(n)
}

fn octet(value: &[u8]) -> Option<u8> {
    ascii(value).filter(|v| v.bytes().all(|b| b.is_ascii_digit())).and_then(|v| v.parse().ok())
}

fn call_id(value: &[u8]) -> Option<&str> {
    let word = |b: u8| b > b' ' && b < 0x7f && !b",;".contains(&b);
    ascii(value).filter(|v| !v.is_empty() && v.bytes().all(word))
}

#[cfg(test)]
mod tests {
    use super::super::Limits;
    use super::*;

    const GOOD: &str = "OPTIONS sip:b@x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@y>;tag=1\r\n\
                        To: <sip:b@x>\r\nCall-ID: c@h\r\nCSeq: 7 OPTIONS\r\nMax-Forwards: 70\r\n\r\n";

    fn owed(text: &str) -> Option<u16> {
        let m = Message::parse(text.as_bytes(), &Limits::default()).expect("framed");
        Core::read(&m).and_then(|_| request_uri(&m)).err().map(|o| o.status)
    }

    #[test]
    fn a_plain_request_is_owed_nothing() {
        assert_eq!(owed(GOOD), None);
    }

    #[test]
    fn what_is_missing_or_out_of_range_is_owed_400() {
        for (from, to) in [
            ("7 OPTIONS", "36893488147419103232 OPTIONS"),
            ("7 OPTIONS", "2147483648 OPTIONS"),
            ("7 OPTIONS", "7 INVITE"),
            ("Max-Forwards: 70", "Max-Forwards: 256"),
            ("Max-Forwards: 70", "Expires: 1000000000000000000000"),
            ("Call-ID: c@h\r\n", ""),
            ("Via: SIP/2.0/UDP h;branch=z9hG4bK1", "Via: SIP/2.0/UDP h;;,;,,"),
            ("To: <sip:b@x>", "To: \"b <sip:b@x>"),
            ("sip:b@x SIP/2.0", "sip:b@x?Route=z SIP/2.0"),
        ] {
            assert_eq!(owed(&GOOD.replace(from, to)), Some(400), "{to}");
        }
        assert_eq!(owed(&GOOD.replace("sip:b@x SIP/2.0", "nobody:x SIP/2.0")), Some(416));
    }
}
