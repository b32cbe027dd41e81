//! Octets to text: byte order marks, UTF-16, and the encodings a grammar may declare (SRGS 1.0 §4.1, §4.4).

use super::error::{Fault, GrammarError};
use super::limits::{Limit, Limits};

/// Decodes a document. A byte order mark wins over `charset` (of the transport), which wins over what the document
/// declares; UTF-8 is the default.
pub(super) fn decode(octets: &[u8], charset: Option<&str>, limits: &Limits) -> Result<String, GrammarError> {
    if octets.len() > limits.bytes_max {
        return Err(Fault::TooLarge(Limit::Bytes).into());
    }
    match octets {
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        // Without a mark a document still begins with "<" or "#".
        [b'<' | b'#', 0, ..] => utf16(octets, u16::from_le_bytes),
        [0, b'<' | b'#', ..] => utf16(octets, u16::from_be_bytes),
        _ => match charset.map(str::to_owned).or_else(|| declared(octets)) {
            Some(name) => named(octets, &name),
            None => utf8(octets),
        },
    }
}

fn named(octets: &[u8], name: &str) -> Result<String, GrammarError> {
    match name.trim().to_ascii_lowercase().as_str() {
        "utf-8" | "utf8" | "us-ascii" | "ascii" => utf8(octets),
        "iso-8859-1" | "latin1" | "iso8859-1" | "iso_8859-1" => {
            Ok(octets.iter().map(|&o| char::from(o)).collect())
        }
        "utf-16" | "utf-16be" => utf16(octets, u16::from_be_bytes),
        "utf-16le" => utf16(octets, u16::from_le_bytes),
        _ => Err(Fault::UnsupportedEncoding(name.into()).into()),
    }
}

fn utf8(octets: &[u8]) -> Result<String, GrammarError> {
    String::from_utf8(octets.to_vec()).map_err(|_| Fault::BadEncoding.into())
}

fn utf16(octets: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, GrammarError> {
    let (units, rest) = octets.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Fault::BadEncoding.into());
    }
    char::decode_utf16(units.iter().map(|&u| unit(u)))
        .collect::<Result<_, _>>()
        .map_err(|_| Fault::BadEncoding.into())
}

/// The encoding named in the XML declaration or in the ABNF header.
fn declared(octets: &[u8]) -> Option<String> {
    let end = octets.iter().take(256).position(|&o| o == b'>' || o == b';').unwrap_or(octets.len().min(256));
    let head = std::str::from_utf8(&octets[..end]).ok()?;
    if let Some(rest) = head.trim_start().strip_prefix("<?xml") {
        let rest = rest.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start();
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        return rest[1..].split_once(quote).map(|(name, _)| name.to_owned());
    }
    let rest = head.strip_prefix("#ABNF")?;
    rest.split_ascii_whitespace().nth(1).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(octets: &[u8], charset: Option<&str>, expected: Option<&str>) {
        let text = decode(octets, charset, &Limits::default()).ok();
        assert_eq!(text.as_deref(), expected, "{octets:?} {charset:?}");
    }

    #[test]
    fn srgs_4_4_encodings() {
        check(b"\xef\xbb\xbf#ABNF 1.0;", None, Some("#ABNF 1.0;"));
        check(b"\xff\xfe#\0A\0", None, Some("#A"));
        check(b"\xfe\xff\0#\0A", None, Some("#A"));
        check(b"#\0A\0", None, Some("#A"));
        check(b"\0<\0a", None, Some("<a"));
        check(b"\xff\xfe#\0A", None, None);
        check(b"\xff\xfe\0\xd8", None, None);
        check(b"#ABNF 1.0 ISO-8859-1;\xe9", None, Some("#ABNF 1.0 ISO-8859-1;\u{e9}"));
        check(
            b"<?xml version='1.0' encoding = 'ISO-8859-1'?>\xe9",
            None,
            Some("<?xml version='1.0' encoding = 'ISO-8859-1'?>\u{e9}"),
        );
        check(b"#ABNF 1.0;\xe9", None, None);
        check(b"#ABNF 1.0;\xe9", Some("iso-8859-1"), Some("#ABNF 1.0;\u{e9}"));
        check(b"#ABNF 1.0 KLINGON;", None, None);
        check(b"", None, Some(""));
    }
}
