//! Finds the session description in a message body: plain, or one part of a multipart (RFC 2046 §5.1, RFC 5621).

use crate::sip::wire::addr::Params;
use crate::sip::wire::scan::{ascii, trim};
use crate::sip::wire::{HeaderId, Message};

/// Most parts that are looked into.
const PARTS_MAX: usize = 16;

/// What a body holds for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// Nothing.
    Empty,
    /// A session description.
    Sdp(&'a [u8]),
    /// Something that we do not read: 415 is owed.
    Unsupported,
}

/// Looks for `application/sdp`.
#[must_use]
pub fn find<'a>(m: &Message<'a>) -> Body<'a> {
    let body = m.body();
    if body.is_empty() {
        return Body::Empty;
    }
    if m.first(HeaderId::ContentEncoding).is_some_and(|e| !e.eq_ignore_ascii_case(b"identity")) {
        return Body::Unsupported;
    }
    let Some(content_type) = m.first(HeaderId::ContentType) else { return Body::Unsupported };
    if is(content_type, "application/sdp") {
        return Body::Sdp(body);
    }
    let multipart = content_type.get(..10).is_some_and(|t| t.eq_ignore_ascii_case(b"multipart/"));
    match boundary(content_type).filter(|_| multipart) {
        Some(boundary) => parts(body, boundary.as_bytes())
            .take(PARTS_MAX)
            .find_map(sdp_of)
            .map_or(Body::Unsupported, Body::Sdp),
        None => Body::Unsupported,
    }
}

/// Whether a Content-Type is of this kind, parameters aside.
#[must_use]
fn is(content_type: &[u8], kind: &str) -> bool {
    let at = content_type.iter().position(|&b| b == b';').unwrap_or(content_type.len());
    content_type.get(..at).is_some_and(|t| trim(t).eq_ignore_ascii_case(kind.as_bytes()))
}

fn boundary(content_type: &[u8]) -> Option<String> {
    let at = content_type.iter().position(|&b| b == b';')?;
    Params::parse(content_type.get(at..)?)?.text("boundary").filter(|b| !b.is_empty() && b.len() <= 70)
}

/// The octets between delimiter lines.
fn parts<'a>(body: &'a [u8], boundary: &[u8]) -> impl Iterator<Item = &'a [u8]> {
    let delimiter = [b"--", boundary].concat();
    let mut rest = Some(body);
    let mut cut = move || {
        let bytes = rest?;
        let at = bytes.windows(delimiter.len()).position(|w| w == delimiter);
        rest = at.and_then(|n| bytes.get(n + delimiter.len()..));
        bytes.get(..at?)
    };
    cut(); // the preamble
    std::iter::from_fn(cut)
}

fn sdp_of(part: &[u8]) -> Option<&[u8]> {
    let part = part.strip_prefix(b"\r\n")?;
    let end = part.windows(4).position(|w| w == b"\r\n\r\n")?;
    let (head, content) = (part.get(..end)?, part.get(end + 4..)?);
    let head = ascii(head)?;
    let kind = head.split("\r\n").find_map(|l| {
        let (name, value) = l.split_once(':')?;
        (HeaderId::of(name.trim().as_bytes()) == HeaderId::ContentType).then_some(value.trim())
    })?;
    is(kind.as_bytes(), "application/sdp").then(|| content.strip_suffix(b"\r\n").unwrap_or(content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::wire::Limits;

    fn check(content_type: &str, body: &str, want: Body<'_>) {
        let text = format!("INVITE sip:a SIP/2.0\r\nc: {content_type}\r\n\r\n{body}");
        let m = Message::parse(text.as_bytes(), &Limits::default()).expect("framed");
        assert_eq!(find(&m), want, "{content_type}");
    }

    #[test]
    fn plain_and_multipart_bodies() {
        check("application/SDP;charset=x", "v=0", Body::Sdp(b"v=0"));
        check("text/plain", "v=0", Body::Unsupported);
        check("text/plain", "", Body::Empty);
        let mixed = "pre\r\n--b1\r\nContent-Type: application/isup\r\n\r\n\x01\r\n--b1\r\nc: application/sdp\r\n\r\nv=0\r\n\r\n--b1--\r\n";
        check("multipart/mixed;boundary=\"b1\"", mixed, Body::Sdp(b"v=0\r\n"));
        check("multipart/mixed;boundary=zz", mixed, Body::Unsupported);
    }
}
