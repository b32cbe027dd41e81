//! A cursor over one header value. White space includes CR and LF, since inside a value they are a fold (RFC 3261 §7.3.1).

/// Reads a header value left to right.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Over these octets.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What is left.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether nothing is left but white space.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.rest.iter().all(|&b| is_lws(b))
    }

    /// The next octet, not consumed.
    #[must_use]
    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Skips linear white space.
    #[inline]
    pub fn skip_lws(&mut self) {
        self.take_while(is_lws);
    }

    /// Consumes white space, then `b` if it stands there, then white space.
    pub fn eat(&mut self, b: u8) -> bool {
        self.skip_lws();
        if self.peek() != Some(b) {
            return false;
        }
        self.advance(1);
        self.skip_lws();
        true
    }

    /// Consumes `n` octets, or all that are left.
    #[inline]
    pub fn advance(&mut self, n: usize) {
        self.rest = self.rest.get(n..).unwrap_or_default();
    }

    /// Consumes the octets for which `keep` holds.
    #[inline]
    pub fn take_while(&mut self, keep: impl Fn(u8) -> bool) -> &'a [u8] {
        let n = self.rest.iter().position(|&b| !keep(b)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(n);
        self.rest = rest;
        taken
    }

    /// A token of RFC 3261 §25.1, not empty.
    pub fn token(&mut self) -> Option<&'a str> {
        ascii(self.take_while(is_token)).filter(|t| !t.is_empty())
    }

    /// Decimal digits as a number; `None` without digits or past `u64`.
    pub fn number(&mut self) -> Option<u64> {
        ascii(self.take_while(|b| b.is_ascii_digit()))?.parse().ok()
    }

    /// A quoted-string: what stands between the quotes, escapes untouched. `None` if it is not closed.
    pub fn quoted(&mut self) -> Option<&'a [u8]> {
        if self.peek() != Some(b'"') {
            return None;
        }
        let n = quoted_len(self.rest)?;
        let inner = self.rest.get(1..n - 1)?;
        self.advance(n);
        Some(inner)
    }
}

/// Length of the quoted-string that `bytes` begin with, both quotes included; `None` if it is not closed.
#[must_use]
pub fn quoted_len(bytes: &[u8]) -> Option<usize> {
    let mut escaped = false;
    for (i, &b) in bytes.iter().enumerate().skip(1) {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(i + 1),
            _ => {}
        }
    }
    None
}

/// Linear white space, folds included.
#[must_use]
#[inline]
pub fn is_lws(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

/// `token` of RFC 3261 §25.1.
#[must_use]
#[inline]
pub fn is_token(b: u8) -> bool {
    TOKEN[usize::from(b)]
}

/// A table of octets: one load an octet where it matters (reading an INVITE asks some 2,000 times).
pub(super) const fn table(of: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut i = 0;
    while i < of.len() {
        table[of[i] as usize] = true;
        i += 1;
    }
    table
}

static TOKEN: [bool; 256] =
    table(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-.!%*_+`'~");

/// How many octets stand before the first control character (below 0x20, or DEL): eight are looked at a time, since an
/// INVITE is mostly that.
#[must_use]
#[inline]
pub fn uncontrolled(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let (mut before, mut rest) = (0, bytes);
    while let Some((eight, more)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*eight);
        // A borrow may mark an octet behind one that is found, never one before it: the lowest mark is right.
        let below = word.wrapping_sub(ONES * 0x20) & !word;
        let del = word ^ (ONES * 0x7f);
        let del = del.wrapping_sub(ONES) & !del;
        let found = (below | del) & (ONES * 0x80);
        if found != 0 {
            return before + usize::try_from(found.trailing_zeros() / 8).unwrap_or(0);
        }
        (before, rest) = (before + 8, more);
    }
    before + rest.iter().position(u8::is_ascii_control).unwrap_or(rest.len())
}

/// Without white space at both ends.
#[must_use]
#[inline]
pub fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_lws(*first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && is_lws(*last)
    {
        bytes = rest;
    }
    bytes
}

/// As text, if every octet is ASCII and printable or white space.
#[must_use]
pub fn ascii(bytes: &[u8]) -> Option<&str> {
    if bytes.is_ascii() { std::str::from_utf8(bytes).ok() } else { None }
}

/// A value as owned text: folds become one space, other control characters become `?`, what is no UTF-8 is replaced.
#[must_use]
pub fn clean(bytes: &[u8]) -> String {
    if let Some(text) = ascii(trim(bytes)).filter(|t| t.bytes().all(|b| b >= b' ' && b != 0x7f)) {
        return text.to_owned();
    }
    let text = String::from_utf8_lossy(trim(bytes));
    let mut out = String::with_capacity(text.len());
    let mut folded = false;
    for c in text.chars() {
        if c == '\r' || c == '\n' {
            folded = true;
        } else if folded && (c == ' ' || c == '\t') {
            // Still inside the fold.
        } else {
            if std::mem::take(&mut folded) {
                out.push(' ');
            }
            // A tab is white space; any other control character may stand behind a backslash that must keep its pair.
            out.push(if c == '\t' {
                ' '
            } else if c.is_control() {
                '?'
            } else {
                c
            });
        }
    }
    out
}

/// The text of a quoted-string's inside, escapes resolved.
#[must_use]
pub fn unquote(inner: &[u8]) -> String {
    let mut plain = Vec::with_capacity(inner.len());
    let mut escaped = false;
    for &b in inner {
        if b == b'\\' && !escaped {
            escaped = true;
        } else {
            plain.push(b);
            escaped = false;
        }
    }
    clean(&plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3261_7_3_1_a_fold_reads_as_white_space() {
        let mut c = Cursor::new(b" 5 \r\n\t INVITE");
        c.skip_lws();
        assert_eq!(c.number(), Some(5));
        c.skip_lws();
        assert_eq!(c.token(), Some("INVITE"));
        assert!(c.is_done());
        assert_eq!(clean(b"a \r\n  b\x07"), "a  b?");
    }

    #[test]
    fn the_first_control_character_is_found_wherever_it_stands() {
        for len in 0..40 {
            let plain: Vec<u8> = (0..len).map(|i| [b'a', 0x80, b' ', 0xff, b'~', 0x7e][i % 6]).collect();
            assert_eq!(uncontrolled(&plain), len);
            for at in 0..len {
                for control in [0, 9, 10, 13, 0x1f, 0x7f] {
                    let mut with = plain.clone();
                    with[at] = control;
                    assert_eq!(uncontrolled(&with), at, "{control:#x} of {len}");
                }
            }
        }
    }

    #[test]
    fn quoted_strings_know_escapes_and_must_close() {
        assert_eq!(Cursor::new(br#""a\"b" x"#).quoted(), Some(&br#"a\"b"#[..]));
        assert_eq!(Cursor::new(br#""a\""#).quoted(), None);
        assert_eq!(unquote(br#"a\"b\\"#), r#"a"b\"#);
    }
}
