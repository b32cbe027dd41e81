//! The typed writer: the only way to put a message together. Control characters cannot pass it.

use super::name::HeaderId;
use std::fmt::{self, Write as _};

/// A value held a control character: somebody tried to inject a header field, or a configuration is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// Builds one message.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
    refused: bool,
}

impl Writer {
    /// A request up to its start-line.
    #[must_use]
    pub fn request(method: &str, uri: &str) -> Self {
        let mut w = Self::with_capacity(1024);
        w.push(method);
        w.refused |= uri.contains(' ') || method.contains(' ');
        w.bytes.push(b' ');
        w.push(uri);
        w.bytes.extend_from_slice(b" SIP/2.0\r\n");
        w
    }

    /// A response up to its start-line.
    #[must_use]
    pub fn response(status: u16, reason: &str) -> Self {
        let mut w = Self::with_capacity(640);
        w.push_fmt(format_args!("SIP/2.0 {status} {reason}"));
        w.end();
        w
    }

    fn with_capacity(n: usize) -> Self {
        Self { bytes: Vec::with_capacity(n), refused: false }
    }

    /// A header field by its known name.
    pub fn field(&mut self, id: HeaderId, value: impl fmt::Display) {
        self.named(id.as_str(), value);
    }

    /// A header field by any name.
    pub fn named(&mut self, name: &str, value: impl fmt::Display) {
        self.refused |= name.is_empty() || !name.bytes().all(super::scan::is_token);
        self.push(name);
        self.bytes.extend_from_slice(b": ");
        self.push_fmt(format_args!("{value}"));
        self.end();
    }

    /// Content-Type (if there is a body), Content-Length, the empty line and the body.
    ///
    /// # Errors
    /// [`Refused`] if anything written held a control character.
    pub fn finish(mut self, content_type: &str, body: &[u8]) -> Result<Vec<u8>, Refused> {
        if !body.is_empty() {
            self.field(HeaderId::ContentType, content_type);
        }
        self.field(HeaderId::ContentLength, body.len());
        self.end();
        self.bytes.extend_from_slice(body);
        if self.refused { Err(Refused) } else { Ok(self.bytes) }
    }

    fn push_fmt(&mut self, args: fmt::Arguments<'_>) {
        let _infallible = self.write_fmt(args);
    }

    fn push(&mut self, text: &str) {
        // RFC 3261 §25.1: no control character belongs in a header value; CR and LF would end it.
        self.refused |= text.bytes().any(|b| b < 0x20 || b == 0x7f);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn end(&mut self) {
        self.bytes.extend_from_slice(b"\r\n");
    }
}

impl fmt::Write for Writer {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.push(s);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_written_whole() {
        let mut w = Writer::request("OPTIONS", "sip:a@b");
        w.field(HeaderId::CSeq, "1 OPTIONS");
        let bytes = w.finish("text/plain", b"x").expect("clean");
        assert_eq!(bytes, b"OPTIONS sip:a@b SIP/2.0\r\nCSeq: 1 OPTIONS\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\nx");
    }

    #[test]
    fn nobody_injects_a_header_field() {
        for value in ["a\r\nRoute: <sip:evil>", "a\nb", "a\0", "a\x7f"] {
            let mut w = Writer::response(200, "OK");
            w.field(HeaderId::Subject, value);
            assert_eq!(w.finish("", b""), Err(Refused));
        }
        let mut w = Writer::response(200, "OK");
        w.named("X Y", "z");
        assert_eq!(w.finish("", b""), Err(Refused));
    }
}
