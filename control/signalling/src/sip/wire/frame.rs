//! Cuts a stream into messages (RFC 3261 §18.3, §7.5): CRLF keep-alives, then a head, then Content-Length octets.

use super::message::{Message, Unframed};
use super::{HeaderId, Limits};

/// Octets of one stream connection that are no whole message yet.
#[derive(Debug, Default)]
pub struct Framer {
    pending: Vec<u8>,
    /// Octets that hold no end of a head: not looked at again, so that a drip of octets costs no square.
    scanned: usize,
}

/// What [`Framer::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Cut {
    /// One message of this many octets stands at the front of [`Framer::bytes`].
    Message(usize),
    /// `CRLF CRLF`: answer `CRLF` (RFC 5626 §4.4.1).
    Ping,
    /// Wait for more.
    More,
    /// What stands in front can be answered, but nothing behind it can be found: answer it and close.
    Last(usize),
    /// Nothing more can be read from this stream: close it.
    Broken,
}

impl Framer {
    /// Takes octets in.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// What is held.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.pending
    }

    /// Drops the first `n` octets.
    pub fn consume(&mut self, n: usize) {
        self.pending.drain(..n.min(self.pending.len()));
        self.scanned = 0;
    }

    /// Looks at the front.
    pub fn next(&mut self, limits: &Limits) -> Cut {
        if self.pending.starts_with(b"\r\n\r\n") {
            self.consume(4);
            return Cut::Ping;
        }
        let blank = self.pending.iter().take_while(|&&b| b == b'\r' || b == b'\n').count();
        if blank > 0 && blank < self.pending.len() {
            self.consume(blank);
        }
        let fresh = self.pending.get(self.scanned..).unwrap_or_default();
        let Some(head) = fresh.windows(4).position(|w| w == b"\r\n\r\n").map(|n| self.scanned + n + 4) else {
            self.scanned = self.pending.len().saturating_sub(3);
            return if self.pending.len() > limits.head_octets_max { Cut::Broken } else { Cut::More };
        };
        if head > limits.head_octets_max {
            return Cut::Broken;
        }
        self.whole(head, limits)
    }

    fn whole(&self, head: usize, limits: &Limits) -> Cut {
        let m = match Message::parse(self.pending.get(..head).unwrap_or_default(), limits) {
            Ok(m) => m,
            // A status that is none still has a length behind which the next message stands.
            Err(Unframed::BadStatus) => return self.bad_status(head, limits),
            Err(_) => return Cut::Broken,
        };
        let mut lengths = m.all(HeaderId::ContentLength);
        let length =
            lengths.next().and_then(|v| std::str::from_utf8(v).ok()).and_then(|v| v.parse::<usize>().ok());
        // RFC 3261 §20.14: a stream needs one Content-Length. Two, or none, and the next message cannot be found.
        match (length, lengths.next()) {
            (Some(length), None) => match head.checked_add(length) {
                Some(total) if total > limits.message_octets_max => Cut::Last(head),
                Some(total) if total <= self.pending.len() => Cut::Message(total),
                Some(_) => Cut::More,
                None => Cut::Last(head),
            },
            _ => Cut::Last(head),
        }
    }

    fn bad_status(&self, head: usize, limits: &Limits) -> Cut {
        let text = String::from_utf8_lossy(self.pending.get(..head).unwrap_or_default()).to_ascii_lowercase();
        let length = text.split("\r\n").find_map(|l| {
            let (name, value) = l.split_once(':')?;
            matches!(name.trim(), "content-length" | "l").then(|| value.trim().parse::<usize>().ok())?
        });
        match length.and_then(|n| head.checked_add(n)) {
            Some(total) if total <= self.pending.len() => Cut::Message(total),
            Some(total) if total <= limits.message_octets_max => Cut::More,
            _ => Cut::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framer(text: &str) -> Framer {
        let mut f = Framer::default();
        f.push(text.as_bytes());
        f
    }

    #[test]
    fn messages_are_cut_at_content_length() {
        let one = "OPTIONS sip:a SIP/2.0\r\nl: 2\r\n\r\nxy";
        let mut f = framer(&format!("\r\n{one}{one}OPT"));
        for _ in 0..2 {
            assert_eq!(f.next(&Limits::default()), Cut::Message(one.len()));
            f.consume(one.len());
        }
        assert_eq!(f.next(&Limits::default()), Cut::More);
    }

    #[test]
    fn what_cannot_be_followed_is_the_last() {
        for text in [
            "OPTIONS sip:a SIP/2.0\r\n\r\n",
            "OPTIONS sip:a SIP/2.0\r\nl: -9\r\n\r\n",
            "OPTIONS sip:a SIP/2.0\r\nl: 0\r\nl: 1\r\n\r\n",
        ] {
            assert_eq!(framer(text).next(&Limits::default()), Cut::Last(text.len()));
        }
        assert_eq!(framer("hello\r\n\r\n").next(&Limits::default()), Cut::Broken);
    }

    #[test]
    fn a_stream_that_never_ends_a_message_is_broken_at_the_limit() {
        assert_eq!(framer(&"a".repeat(20_000)).next(&Limits::default()), Cut::Broken);
        assert_eq!(framer(&"a".repeat(200)).next(&Limits::default()), Cut::More);
    }

    #[test]
    fn rfc5626_4_4_1_a_double_crlf_is_a_ping() {
        assert_eq!(framer("\r\n\r\n").next(&Limits::default()), Cut::Ping);
    }
}
