//! name-addr and addr-spec with their parameters, and lists of values (RFC 3261 §20, §25.1).

use super::scan::{Cursor, ascii, is_lws, is_token, quoted_len, trim, unquote};
use super::uri::Uri;

/// `;`-parameters, checked for form once and searched on demand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<'a> {
    raw: &'a [u8],
}

impl<'a> Params<'a> {
    /// Parameters of a header value: `*(SEMI generic-param)`. `None` if anything else stands there.
    #[must_use]
    pub fn parse(raw: &'a [u8]) -> Option<Self> {
        let mut c = Cursor::new(raw);
        while !c.is_done() {
            next(&mut c)?;
        }
        Some(Self { raw })
    }

    /// Parameters of a URI, which may hold more characters than a token.
    #[must_use]
    pub(super) fn of_uri(raw: &'a str) -> Option<Self> {
        named(raw.as_bytes()).then_some(Self { raw: raw.as_bytes() })
    }

    /// The value of a parameter, name in any case: `Some("")` if it has none. Quotes are kept.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }

    /// Like `get`, quotes and escapes resolved.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(plain)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let mut c = Cursor::new(self.raw);
        std::iter::from_fn(move || if c.is_done() { None } else { next(&mut c) })
    }

    /// As written.
    #[must_use]
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }
}

/// Whether a name follows each semicolon.
fn named(raw: &[u8]) -> bool {
    let bad = |after: Option<&u8>| matches!(after, None | Some(b';' | b'='));
    !raw.iter().enumerate().any(|(i, &b)| b == b';' && bad(raw.get(i + 1)))
}

/// A parameter value without its quotes.
#[must_use]
pub fn plain(value: &str) -> String {
    match Cursor::new(value.as_bytes()).quoted() {
        Some(inner) => unquote(inner),
        None => value.to_owned(),
    }
}

fn next<'a>(c: &mut Cursor<'a>) -> Option<(&'a str, &'a str)> {
    if !c.eat(b';') {
        return None;
    }
    let name = ascii(c.take_while(|b| is_token(b) || b"/[]:&$".contains(&b))).filter(|n| !n.is_empty())?;
    if !c.eat(b'=') {
        return Some((name, ""));
    }
    let whole = c.rest();
    let value = if c.peek() == Some(b'"') {
        c.quoted()?;
        whole.get(..whole.len() - c.rest().len())?
    } else {
        // Wider than token: host with brackets, and URI parameter characters.
        c.take_while(|b| !is_lws(b) && !b";,\"<>?=".contains(&b) && b > b' ' && b != 0x7f)
    };
    let value = std::str::from_utf8(value).ok().filter(|v| !v.is_empty())?;
    c.skip_lws();
    Some((name, value))
}

/// `[display-name] <uri> *(;param)`, or `uri *(;param)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// Display name as written, quotes stripped, escapes not resolved; perhaps no UTF-8.
    pub display: &'a [u8],
    /// The URI.
    pub uri: Uri<'a>,
    /// Header parameters.
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// Reads one value, whole.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let bytes = trim(bytes);
        let mut c = Cursor::new(bytes);
        let display = if c.peek() == Some(b'"') {
            let name = c.quoted()?;
            c.skip_lws();
            (c.peek() == Some(b'<')).then_some(name)?
        } else if let Some(open) = bytes.iter().position(|&b| b == b'<') {
            let name = trim(bytes.get(..open)?);
            c.advance(open);
            // RFC 4475 §3.1.2.15: an unquoted display name is tokens and white space (UTF-8 is let pass).
            name.iter().all(|&b| is_token(b) || is_lws(b) || b >= 0x80).then_some(name)?
        } else {
            return Self::addr_spec(bytes);
        };
        c.advance(1);
        let uri = c.take_while(|b| b != b'>');
        c.eat(b'>').then_some(())?;
        Some(Self { display, uri: Uri::parse(uri)?, params: Params::parse(c.rest())? })
    }

    /// RFC 3261 §20.10: without `<>`, what follows the first `;` belongs to the header; `?` and `,` are not allowed.
    fn addr_spec(bytes: &'a [u8]) -> Option<Self> {
        let at = bytes.iter().position(|&b| b == b';').unwrap_or(bytes.len());
        let (uri, params) = bytes.split_at(at);
        let uri = Uri::parse(trim(uri)).filter(|u| u.headers.is_none() && !u.text.contains(','))?;
        Some(Self { display: b"", uri, params: Params::parse(params)? })
    }

    /// The `tag` parameter.
    #[must_use]
    pub fn tag(&self) -> Option<&'a str> {
        self.params.get("tag").filter(|t| !t.is_empty())
    }

    /// Display name as text, escapes resolved.
    #[must_use]
    pub fn display_text(&self) -> String {
        unquote(self.display)
    }
}

/// The values of one header line: split at commas outside quotes and angle brackets, trimmed; empty ones included.
pub fn values(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let bytes = rest?;
        // One value, as almost always.
        if !bytes.contains(&b',') {
            rest = None;
            return Some(trim(bytes));
        }
        let (mut i, mut angle) = (0, false);
        while let Some(&b) = bytes.get(i) {
            match b {
                b'"' if !angle => match bytes.get(i..).and_then(quoted_len) {
                    Some(n) => i += n - 1,
                    None => i = bytes.len(),
                },
                b'<' => angle = true,
                b'>' => angle = false,
                b',' if !angle => {
                    rest = bytes.get(i + 1..);
                    return bytes.get(..i).map(trim);
                }
                _ => {}
            }
            i += 1;
        }
        rest = None;
        Some(trim(bytes))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, display: &str, uri: &str, tag: Option<&str>) {
        let a = NameAddr::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text} reads"));
        assert_eq!((a.display_text().as_str(), a.uri.text, a.tag()), (display, uri, tag), "{text}");
    }

    #[test]
    fn name_addr_in_every_shape() {
        check("\"J \\\\\\\"\" <sip:j@x>\r\n  ; tag = 98", "J \\\"", "sip:j@x", Some("98"));
        check("caller<sip:caller@example.com>;tag=323", "caller", "sip:caller@example.com", Some("323"));
        check("sip:a@b;tag=1", "", "sip:a@b", Some("1"));
        check("<sip:a@b;lr?Route=x>", "", "sip:a@b;lr?Route=x", None);
        check("A B <tel:+1>", "A B", "tel:+1", None);
    }

    #[test]
    fn rfc4475_3_1_2_what_is_broken_is_refused() {
        for text in [
            "\"x <sip:a@b>",
            "Bell, A <sip:a@b>",
            "< sip:a@b >",
            "sip:a@b?x=y",
            "<sip:a@b>;",
            "<sip:a@b",
            "<sip:a@b>;;a",
        ] {
            assert_eq!(NameAddr::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn lists_split_outside_quotes_and_brackets() {
        let got: Vec<_> = values(b"\"a,b\" <sip:x,y>;p , <sip:z>,").collect();
        assert_eq!(got, [&b"\"a,b\" <sip:x,y>;p"[..], b"<sip:z>", b""]);
    }
}
