//! Octets to text, as XML 1.0 appendix F and RFC 7303 want it, and where in the text something stands.

use super::problem::Rule;

/// Line and column, from 1, of what follows a text.
pub(super) fn place_after(text: &str) -> (u32, u32) {
    let at = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).saturating_add(1);
    let last = text.rsplit('\n').next().unwrap_or("");
    (at(text.bytes().filter(|&b| b == b'\n').count()), at(last.chars().count()))
}

/// XML 1.0 §2.2.
pub(super) fn is_xml_char(c: char) -> bool {
    !matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

/// The text of octets; see [`text_of`].
pub(crate) fn decode(octets: &[u8]) -> Option<String> {
    text_of(octets, None).ok()
}

/// XML 1.0 appendix F: a byte order mark, else the charset that was told, else the declaration's encoding, else UTF-8.
/// The error is how many octets were read before it, and what is wrong.
pub(crate) fn text_of(octets: &[u8], charset: Option<&str>) -> Result<String, (usize, Rule)> {
    let utf16 = |octets: &[u8], read: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = octets.chunks_exact(2).map(|c| read([c[0], c[1]])).collect();
        String::from_utf16(&units).map_err(|_| (0, Rule::Encoding))
    };
    let utf8 = |octets: &[u8], before: usize| match std::str::from_utf8(octets) {
        Ok(text) => Ok(text.to_owned()),
        Err(e) => Err((before + e.valid_up_to(), Rule::Encoding)),
    };
    match octets {
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest, 3),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [b'<', 0, ..] => utf16(octets, u16::from_le_bytes),
        [0, b'<', ..] => utf16(octets, u16::from_be_bytes),
        _ => {
            let name = charset.map(str::to_owned).or_else(|| declared_encoding(octets));
            match name.unwrap_or_default().trim().to_ascii_lowercase().as_str() {
                // One that calls itself UTF-16 and yet reads as ASCII is not UTF-16.
                "" | "utf-8" | "utf8" | "us-ascii" | "ascii" | "utf-16" => utf8(octets, 0),
                "iso-8859-1" | "iso8859-1" | "iso_8859-1" | "latin1" | "latin-1" | "windows-1252"
                | "cp1252" => Ok(octets.iter().map(|&b| char::from(b)).collect()),
                other => Err((0, Rule::UnknownEncoding(other.into()))),
            }
        }
    }
}

/// The encoding that an XML declaration names.
fn declared_encoding(octets: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(&octets[..octets.len().min(200)]);
    let declaration = head.strip_prefix("<?xml")?.split("?>").next()?;
    let value = declaration.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    value[1..].split_once(quote).map(|(name, _)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(octets: &[u8], charset: Option<&str>, expected: Result<&str, (usize, Rule)>) {
        assert_eq!(text_of(octets, charset), expected.map(str::to_owned), "{octets:?} {charset:?}");
    }

    #[test]
    fn xml_1_0_4_3_3_encodings() {
        check(b"<a/>", None, Ok("<a/>"));
        check(b"\xef\xbb\xbf<a/>", None, Ok("<a/>"));
        check(b"\xff\xfe<\0", None, Ok("<"));
        check(b"ab\xff", None, Err((2, Rule::Encoding)));
        check(b"\xe9", Some("ISO-8859-1"), Ok("\u{e9}"));
        check(b"\xef\xbb\xbfa", Some("ISO-8859-1"), Ok("a"));
        let latin = b"<?xml version='1.0' encoding='iso-8859-1'?>\xe9";
        check(latin, None, Ok("<?xml version='1.0' encoding='iso-8859-1'?>\u{e9}"));
        check(latin, Some("utf-8"), Err((43, Rule::Encoding)));
        let odd = b"<?xml version='1.0' encoding='klingon'?><a/>";
        check(odd, None, Err((0, Rule::UnknownEncoding("klingon".into()))));
    }

    #[test]
    fn places_count_lines_and_characters() {
        assert_eq!(place_after(""), (1, 1));
        assert_eq!(place_after("a\nb\u{e9}"), (2, 3));
    }
}
