//! One message: start-line, an index of its header fields as ranges, body (RFC 3261 §7).

use super::Limits;
use super::core::Owed;
use super::name::{HeaderId, Method};
use super::scan::{ascii, is_lws, is_token, trim, uncontrolled};
use std::ops::Range;

/// Why octets are no SIP message at all: dropped and counted, never answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unframed {
    /// Nothing but CR and LF: a keep-alive (RFC 5626 §3.5.1).
    KeepAlive,
    /// The first line is no start-line.
    NoStartLine,
    /// A response whose status is outside 100..=699.
    BadStatus,
    /// Start-line and header fields are longer than the limit.
    TooLong,
}

/// The first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start<'a> {
    /// A request.
    Request {
        /// Method.
        method: Method<'a>,
        /// Request-URI as written.
        uri: &'a [u8],
    },
    /// A response.
    Response {
        /// Status, 100..=699.
        status: u16,
        /// Reason phrase as written, perhaps empty.
        reason: &'a [u8],
    },
}

#[derive(Clone, Debug)]
struct Line {
    id: HeaderId,
    name: Range<usize>,
    value: Range<usize>,
}

/// A framed message. What is wrong with it stands in [`Message::defect`].
#[derive(Clone, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
    start: Start<'a>,
    lines: Vec<Line>,
    body: Range<usize>,
    defect: Option<Owed>,
    /// Which fields stand in it: one bit a [`HeaderId`].
    seen: u64,
}

/// A bit of `Message::seen` for each.
const _: () = assert!((HeaderId::Other as u32) < 64);

impl<'a> Message<'a> {
    /// Reads one datagram, or exactly one message cut from a stream.
    ///
    /// # Errors
    /// [`Unframed`]: there is no message to answer.
    pub fn parse(bytes: &'a [u8], limits: &Limits) -> Result<Self, Unframed> {
        let head = bytes.iter().position(|&b| b != b'\r' && b != b'\n').ok_or(Unframed::KeepAlive)?;
        let line = line_end(bytes, head).ok_or(Unframed::NoStartLine)?;
        let (start, defect) = start_line(bytes.get(head..line).unwrap_or_default())?;
        let mut message = Self { bytes, start, lines: Vec::with_capacity(24), body: 0..0, defect, seen: 0 };
        message.index(line + 2, limits)?;
        message.frame_body();
        Ok(message)
    }

    /// Start-line.
    #[must_use]
    pub fn start(&self) -> Start<'a> {
        self.start
    }

    /// Method of a request.
    #[must_use]
    pub fn method(&self) -> Option<Method<'a>> {
        match self.start {
            Start::Request { method, .. } => Some(method),
            Start::Response { .. } => None,
        }
    }

    /// Status of a response.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self.start {
            Start::Request { .. } => None,
            Start::Response { status, .. } => Some(status),
        }
    }

    /// The first thing found wrong while framing.
    #[must_use]
    pub fn defect(&self) -> Option<Owed> {
        self.defect
    }

    /// Body, cut at Content-Length: what a datagram holds beyond is dropped (RFC 3261 §18.3).
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.bytes.get(self.body.clone()).unwrap_or_default()
    }

    /// Values of a field, one per header line, in order, folds untouched, ends trimmed.
    pub fn all(&self, id: HeaderId) -> impl Iterator<Item = &'a [u8]> + '_ {
        let bytes = self.bytes;
        self.lines.iter().filter(move |l| l.id == id).map(move |l| slice(bytes, &l.value))
    }

    /// The first value of a field.
    #[must_use]
    pub fn first(&self, id: HeaderId) -> Option<&'a [u8]> {
        self.lines.iter().find(|l| l.id == id).map(|l| slice(self.bytes, &l.value))
    }

    /// Every header line: which, name as written, value.
    pub fn fields(&self) -> impl Iterator<Item = (HeaderId, &'a [u8], &'a [u8])> + '_ {
        let bytes = self.bytes;
        self.lines.iter().map(move |l| (l.id, slice(bytes, &l.name), slice(bytes, &l.value)))
    }

    /// Indexes the header lines from `at`; ends at the empty line or, with a defect, where the octets end.
    fn index(&mut self, mut at: usize, limits: &Limits) -> Result<(), Unframed> {
        loop {
            if at > limits.head_octets_max {
                return Err(Unframed::TooLong);
            }
            let Some(scan) = field_scan(self.bytes, at) else {
                self.blame(Owed::bad("Header Fields Not Ended"));
                self.body = self.bytes.len()..self.bytes.len();
                return Ok(());
            };
            if scan.end == at {
                self.body = at + 2..self.bytes.len();
                return Ok(());
            }
            if self.lines.len() < limits.header_fields_max {
                self.field(at, &scan);
            } else {
                self.blame(Owed::bad("Too Many Header Fields"));
            }
            at = scan.end + 2;
        }
    }

    fn field(&mut self, at: usize, scan: &Scan) {
        let Some(colon) = scan.colon else {
            return self.blame(Owed::bad("Header Field Without Colon"));
        };
        let raw = self.bytes.get(at..colon).unwrap_or_default();
        let name = trim(raw);
        if name.is_empty() || !name.iter().all(|&b| is_token(b)) || raw.first().is_some_and(|&b| is_lws(b)) {
            return self.blame(Owed::bad("Bad Header Field Name"));
        }
        if scan.stray {
            self.blame(Owed::bad("Control Character In Header Field"));
        }
        let id = HeaderId::of(name);
        let bit = 1u64 << (id as u32);
        let again = self.seen & bit != 0;
        self.seen |= bit;
        if again && id.is_single() {
            // RFC 4475 §3.3.8, §3.3.9: two values where one belongs; choosing one invites smuggling.
            self.blame(Owed::bad("Header Field Given Twice"));
        }
        let after = self.bytes.get(colon + 1..scan.end).unwrap_or_default();
        let from = colon + 1 + after.iter().take_while(|&&b| is_lws(b)).count();
        let value = trim(after);
        self.lines.push(Line { id, name: at..at + name.len(), value: from..from + value.len() });
    }

    /// RFC 3261 §18.3: Content-Length rules the body; a datagram that is shorter is an error.
    fn frame_body(&mut self) {
        let Some(value) = self.first(HeaderId::ContentLength) else { return };
        let length =
            ascii(value).filter(|v| v.bytes().all(|b| b.is_ascii_digit())).and_then(|v| v.parse().ok());
        let Some(length): Option<usize> = length else {
            return self.blame(Owed::bad("Bad Content-Length"));
        };
        if length > self.body.len() {
            return self.blame(Owed::bad("Content-Length Beyond The Message"));
        }
        self.body.end = self.body.start + length;
    }

    fn blame(&mut self, owed: Owed) {
        self.defect.get_or_insert(owed);
    }
}

fn slice<'a>(bytes: &'a [u8], range: &Range<usize>) -> &'a [u8] {
    bytes.get(range.clone()).unwrap_or_default()
}

/// Index of the CR of the CRLF that ends the start-line at `at`; a bare LF in it makes it none.
fn line_end(bytes: &[u8], at: usize) -> Option<usize> {
    let lf = at + bytes.get(at..)?.iter().position(|&b| b == b'\n')?;
    lf.checked_sub(1).filter(|&cr| cr >= at && bytes.get(cr) == Some(&b'\r'))
}

/// One header field, its folds included.
struct Scan {
    /// Index of the CR that ends it.
    end: usize,
    /// The first colon.
    colon: Option<usize>,
    /// A control character stands where none may.
    stray: bool,
}

/// Where a field's name is looked at: colon and control characters.
static MARK: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 0x20 {
        table[b] = true;
        b += 1;
    }
    table[b':' as usize] = true;
    table[0x7f] = true;
    table
};

/// Looks for the end of the header field at `at`: a CRLF that no white space follows (RFC 3261 §7.3.1).
///
/// RFC 3261 §25.1: a control character is legal only as a quoted-pair (RFC 4475 §3.1.1.2), CR and LF only as a fold.
fn field_scan(bytes: &[u8], at: usize) -> Option<Scan> {
    let (mut i, mut colon, mut stray) = (at, None, false);
    loop {
        let rest = bytes.get(i..)?;
        i += match colon {
            None => rest.iter().position(|&b| MARK[usize::from(b)])?,
            Some(_) => uncontrolled(rest),
        };
        match bytes.get(i)? {
            b':' => {
                colon.get_or_insert(i);
            }
            b'\r' if bytes.get(i + 1) == Some(&b'\n') => {
                if i == at || !matches!(bytes.get(i + 2), Some(b' ' | b'\t')) {
                    return Some(Scan { end: i, colon, stray });
                }
                i += 1;
            }
            b'\t' => {}
            b'\r' | b'\n' => stray = true,
            _ => stray |= bytes.get(i.wrapping_sub(1)) != Some(&b'\\'),
        }
        i += 1;
    }
}

fn start_line(line: &[u8]) -> Result<(Start<'_>, Option<Owed>), Unframed> {
    if line.get(..4).is_some_and(|p| p.eq_ignore_ascii_case(b"SIP/")) {
        return status_line(line).map(|s| (s, None));
    }
    request_line(line)
}

fn status_line(line: &[u8]) -> Result<Start<'_>, Unframed> {
    let rest = line
        .get(..8)
        .filter(|p| p.eq_ignore_ascii_case(b"SIP/2.0 "))
        .and_then(|_| line.get(8..))
        .ok_or(Unframed::NoStartLine)?;
    // RFC 4475 §3.1.2.19: a status of more than three digits is no status; it must not wrap.
    let digits = rest.get(..3).and_then(ascii).filter(|d| d.bytes().all(|b| b.is_ascii_digit()));
    let status = digits.and_then(|d| d.parse().ok()).filter(|s| (100..700).contains(s));
    match (status, rest.get(3)) {
        (Some(status), None | Some(b' ')) => {
            Ok(Start::Response { status, reason: rest.get(4..).unwrap_or_default() })
        }
        _ => Err(Unframed::BadStatus),
    }
}

fn request_line(line: &[u8]) -> Result<(Start<'_>, Option<Owed>), Unframed> {
    let space = line.iter().position(|&b| b == b' ').ok_or(Unframed::NoStartLine)?;
    let method = line.get(..space).filter(|m| !m.is_empty() && m.iter().all(|&b| is_token(b)));
    let method = Method::of(method.and_then(ascii).ok_or(Unframed::NoStartLine)?);
    let rest = line.get(space + 1..).unwrap_or_default();
    let tail = trim(rest);
    let last = tail.iter().rposition(|&b| b == b' ').map_or(0, |n| n + 1);
    let version = tail.get(last..).unwrap_or_default();
    if !version.get(..4).is_some_and(|p| p.eq_ignore_ascii_case(b"SIP/")) {
        return Err(Unframed::NoStartLine);
    }
    let uri = trim(tail.get(..last).unwrap_or_default());
    let defect = if !version.eq_ignore_ascii_case(b"SIP/2.0") {
        Some(Owed::new(505, "Version Not Supported"))
    } else if rest.len() != uri.len() + 1 + version.len() || uri.iter().any(|&b| b <= b' ' || b == 0x7f) {
        // RFC 4475 §3.1.2.8 to §3.1.2.10: exactly one SP between the elements, none within or after.
        Some(Owed::bad("Bad Request-Line"))
    } else {
        None
    };
    Ok((Start::Request { method, uri }, defect))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Message<'_>, Unframed> {
        Message::parse(text.as_bytes(), &Limits::default())
    }

    #[test]
    fn header_lines_fold_repeat_and_keep_their_order() {
        let m = parse("OPTIONS sip:a SIP/2.0\r\nVia: one,\r\n two\r\nv: three\r\nX-A:\r\n\r\nbody")
            .expect("framed");
        let vias: Vec<_> = m.all(HeaderId::Via).collect();
        assert_eq!(vias, [&b"one,\r\n two"[..], b"three"]);
        assert_eq!((m.body(), m.defect()), (&b"body"[..], None));
    }

    #[test]
    fn rfc4475_3_1_2_19_a_long_status_never_wraps() {
        assert_eq!(parse("SIP/2.0 4294967301 better\r\n\r\n").err(), Some(Unframed::BadStatus));
        assert_eq!(parse("SIP/2.0 100\r\n\r\n").expect("framed").status(), Some(100));
    }

    #[test]
    fn what_is_no_message_is_dropped() {
        for (text, why) in [
            ("\r\n\r\n", Unframed::KeepAlive),
            ("", Unframed::KeepAlive),
            ("GET / HTTP/1.1\r\n\r\n", Unframed::NoStartLine),
            ("hello\r\n\r\n", Unframed::NoStartLine),
            ("INVITE sip:a SIP/2.0", Unframed::NoStartLine),
        ] {
            assert_eq!(parse(text).err(), Some(why), "{text:?}");
        }
    }

    #[test]
    fn defects_name_the_status_that_is_owed() {
        for (text, status) in [
            ("OPTIONS sip:a SIP/7.0\r\n\r\n", 505),
            ("OPTIONS  sip:a SIP/2.0\r\n\r\n", 400),
            ("OPTIONS sip:a SIP/2.0 \r\n\r\n", 400),
            ("OPTIONS sip:a SIP/2.0\r\nl: 1\r\nl: 1\r\n\r\nx", 400),
            ("OPTIONS sip:a SIP/2.0\r\nl: -1\r\n\r\n", 400),
            ("OPTIONS sip:a SIP/2.0\r\nl: 9\r\n\r\nx", 400),
            ("OPTIONS sip:a SIP/2.0\r\nVia x\r\n\r\n", 400),
            ("OPTIONS sip:a SIP/2.0\r\nX: a\nVia: b\r\n\r\n", 400),
            ("OPTIONS sip:a SIP/2.0\r\nX: a\0\r\n\r\n", 400),
        ] {
            assert_eq!(parse(text).expect("framed").defect().map(|o| o.status), Some(status), "{text:?}");
        }
    }

    #[test]
    fn rfc3261_18_3_octets_beyond_content_length_are_dropped() {
        assert_eq!(parse("OPTIONS sip:a SIP/2.0\r\nl: 2\r\n\r\nxyz").expect("framed").body(), b"xy");
    }
}
