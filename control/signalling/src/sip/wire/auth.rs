//! Digest challenges and credentials as written (RFC 3261 §22, RFC 8760): a scheme and its parameters.

use super::addr::plain;
use super::scan::{Cursor, ascii, is_lws};

/// `Digest a=b, c="d"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthValue<'a> {
    /// Scheme as written.
    pub scheme: &'a str,
    params: &'a [u8],
}

impl<'a> AuthValue<'a> {
    /// Reads a whole header line. Such a line holds one challenge, whatever its commas say (RFC 3261 §7.3.1).
    #[must_use]
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let mut c = Cursor::new(value);
        c.skip_lws();
        let scheme = c.token()?;
        Some(Self { scheme, params: c.rest() })
    }

    /// Whether it is Digest.
    #[must_use]
    pub fn is_digest(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("Digest")
    }

    /// A parameter without its quotes.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        let mut c = Cursor::new(self.params);
        loop {
            while c.eat(b',') {}
            c.skip_lws();
            let key = c.token()?;
            if !c.eat(b'=') {
                return None;
            }
            let before = c.rest();
            let value = if c.peek() == Some(b'"') {
                c.quoted()?;
                ascii(before.get(..before.len() - c.rest().len())?)?
            } else {
                ascii(c.take_while(|b| b != b',' && !is_lws(b)))?
            };
            if key.eq_ignore_ascii_case(name) {
                return Some(plain(value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_in_any_order_and_case() {
        let a = AuthValue::parse(
            b"Digest realm=\"a,b\", Nonce=\"x\\\"y\",\r\n qop=\"auth,auth-int\", algorithm=MD5",
        )
        .expect("reads");
        assert!(a.is_digest());
        assert_eq!(a.get("realm").as_deref(), Some("a,b"));
        assert_eq!(a.get("nonce").as_deref(), Some("x\"y"));
        assert_eq!(a.get("algorithm").as_deref(), Some("MD5"));
        assert_eq!(a.get("opaque"), None);
    }
}
