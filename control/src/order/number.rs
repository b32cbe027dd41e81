//! Callees and caller ids: what may be written, and the one form it takes in an order: E.164 with its plus
//! (`+15551234567`) or a `sip:`/`sips:` URI.
//!
//! Dial strings (`00…`, `011…`, `*31#…`, short codes) are refused on purpose: what a prefix list cannot read it
//! cannot forbid. A national number is read only in the region that the tenant is configured with.

use super::refusal::Reason;
use crate::policy::zones;

/// Longest `sip:` URI taken as a callee, octets.
pub const SIP_URI_BYTES_MAX: usize = 256;

/// Brings a callee into its one form.
///
/// # Errors
/// [`Reason`] if it is no number and no `sip:` URI, or not in the numbering plan.
pub fn callee(text: &str, region: Option<&str>) -> Result<String, Reason> {
    let text = text.trim();
    if text.chars().any(char::is_control) {
        return Err(Reason::Control);
    }
    let lower = text.get(..5).unwrap_or(text).to_ascii_lowercase();
    if lower.starts_with("sip:") || lower == "sips:" {
        return sip_uri(text);
    }
    number(if lower.starts_with("tel:") { &text[4..] } else { text }, region)
}

/// Brings a telephone number into E.164: `+` and 7 to 15 digits.
///
/// # Errors
/// [`Reason`] as for [`callee`].
pub fn number(text: &str, region: Option<&str>) -> Result<String, Reason> {
    if text.len() > 64 {
        return Err(Reason::TooLong { max: 64 });
    }
    // RFC 3966 §3: parameters would change what is dialled (`ext`, `isub`, `phone-context`), so none is taken.
    if !text.bytes().all(|b| b.is_ascii_digit() || b"+-.() ".contains(&b)) {
        return Err(Reason::NotCallable);
    }
    // RFC 3966 §5.1.1: visual separators carry no meaning.
    let bare: String = text.chars().filter(|c| c.is_ascii_digit() || *c == '+').collect();
    match bare.strip_prefix('+') {
        Some(digits) => e164(digits),
        None => national(&bare, region),
    }
}

fn e164(digits: &str) -> Result<String, Reason> {
    // E.164 §6.2.1: at most 15 digits. Fewer than 7 with a country code is a short code or a slip.
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    if !plain || !(7..=15).contains(&digits.len()) {
        return Err(Reason::NoSuchNumber);
    }
    if !zones::country_code_exists(digits) {
        return Err(Reason::NoSuchNumber);
    }
    Ok(format!("+{digits}"))
}

fn national(digits: &str, region: Option<&str>) -> Result<String, Reason> {
    let region = region.and_then(|r| r.parse().ok()).ok_or(Reason::NationalNumber)?;
    if digits.is_empty() || digits.contains('+') {
        return Err(Reason::NotCallable);
    }
    let parsed = phonenumber::parse(Some(region), digits).map_err(|_| Reason::NoSuchNumber)?;
    if parsed.extension().is_some() || !phonenumber::is_valid(&parsed) {
        return Err(Reason::NoSuchNumber);
    }
    let text = parsed.format().mode(phonenumber::Mode::E164).to_string();
    e164(text.strip_prefix('+').ok_or(Reason::NoSuchNumber)?)
}

fn sip_uri(text: &str) -> Result<String, Reason> {
    if text.len() > SIP_URI_BYTES_MAX {
        return Err(Reason::TooLong { max: SIP_URI_BYTES_MAX });
    }
    let (scheme, rest) = text.split_once(':').ok_or(Reason::NotCallable)?;
    // Embedded headers (`?`) could set From, Route or a body: none is taken. Anything that could break out of the
    // angle brackets of a header is refused with it.
    let clean = rest.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"\\?,`{}|^".contains(&b));
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let host_end = host.find(';').unwrap_or(host.len());
    let host_name = &host[..host_end];
    if !clean || host_name.is_empty() || rest.starts_with('@') || rest.matches('@').count() > 1 {
        return Err(Reason::NotCallable);
    }
    let host_clean = host_name.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b));
    if !host_clean {
        return Err(Reason::NotCallable);
    }
    Ok(format!("{}:{rest}", scheme.to_ascii_lowercase()))
}

/// The kind of line a number is on, as far as the numbering plan tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// Fixed, mobile, or either.
    Ordinary,
    /// The caller pays more.
    Premium,
    /// The cost is shared.
    SharedCost,
    /// The callee pays.
    TollFree,
    /// Follows a person.
    Personal,
    /// A pager, voice mail, a company's own numbers.
    Special,
    /// The plan does not know it.
    Unknown,
    /// A `sip:` URI.
    Sip,
}

/// Is it surely a mobile number? (In North America the plan does not tell, and the answer is no.)
#[must_use]
pub fn is_mobile(callee: &str) -> bool {
    let parsed = callee.starts_with('+').then(|| phonenumber::parse(None, callee).ok()).flatten();
    parsed.is_some_and(|p| p.number_type(&phonenumber::metadata::DATABASE) == phonenumber::Type::Mobile)
}

/// Looks the kind of line up. Tens of microseconds: once per order, at acceptance.
#[must_use]
pub fn line(callee: &str) -> Line {
    use phonenumber::Type;
    if !callee.starts_with('+') {
        return Line::Sip;
    }
    let Ok(parsed) = phonenumber::parse(None, callee) else { return Line::Unknown };
    match parsed.number_type(&phonenumber::metadata::DATABASE) {
        Type::FixedLine | Type::Mobile | Type::FixedLineOrMobile | Type::Voip => Line::Ordinary,
        Type::PremiumRate => Line::Premium,
        Type::SharedCost => Line::SharedCost,
        Type::TollFree => Line::TollFree,
        Type::PersonalNumber => Line::Personal,
        Type::Unknown => Line::Unknown,
        _ => Line::Special,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: Result<&str, Reason>) {
        assert_eq!(callee(input, None), expected.map(str::to_owned), "{input}");
    }

    #[test]
    fn numbers_take_one_form() {
        check("+15551234567", Ok("+15551234567"));
        check(" tel:+1-555-123.4567 ", Ok("+15551234567"));
        check("+49 (30) 901820", Ok("+4930901820"));
        check("TEL:+442071838750", Ok("+442071838750"));
    }

    #[test]
    fn dial_strings_and_tricks_are_refused() {
        check("0015551234567", Err(Reason::NationalNumber));
        check("01115551234567", Err(Reason::NationalNumber));
        check("911", Err(Reason::NationalNumber));
        check("*31#+15551234567", Err(Reason::NotCallable));
        check("+1555123456७", Err(Reason::NotCallable));
        check("+１5551234567", Err(Reason::NotCallable));
        check("tel:+15551234567;ext=9", Err(Reason::NotCallable));
        check("tel:911;phone-context=+1", Err(Reason::NotCallable));
        check("+1555123456789012", Err(Reason::NoSuchNumber));
        check("+0015551234567", Err(Reason::NoSuchNumber));
        check("++15551234567", Err(Reason::NoSuchNumber));
        check("+1555\r\nX: y", Err(Reason::Control));
        check("", Err(Reason::NationalNumber));
        check("+2101234567", Err(Reason::NoSuchNumber));
    }

    #[test]
    fn national_numbers_need_a_region() {
        assert_eq!(callee("030 901820", Some("DE")), Ok("+4930901820".to_owned()));
        assert_eq!(callee("030 901820", Some("nowhere")), Err(Reason::NationalNumber));
    }

    #[test]
    fn sip_uris_carry_no_headers() {
        check("sip:bob@127.0.0.1:5070", Ok("sip:bob@127.0.0.1:5070"));
        check("SIP:bob@[::1]:5070;transport=udp", Ok("sip:bob@[::1]:5070;transport=udp"));
        check("sip:bob@host?Route=%3Csip:evil%3E", Err(Reason::NotCallable));
        check("sip:bob@host>;tag=1", Err(Reason::NotCallable));
        check("sip:", Err(Reason::NotCallable));
        check("sip:@host", Err(Reason::NotCallable));
        check("sip:a@b@c", Err(Reason::NotCallable));
    }

    #[test]
    fn the_plan_knows_premium_lines() {
        assert_eq!(line("+19002345678"), Line::Premium);
        assert_eq!(line("+442071838750"), Line::Ordinary);
        assert_eq!(line("sip:bob@host"), Line::Sip);
    }
}
