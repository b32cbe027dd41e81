//! A mail becomes a request, or is turned away by the table of loops and replies. Nothing is guessed from prose, and
//! what two programs could read in two ways is refused.

use super::form::{self, Fields};
use super::refusal::{Reason, Refusal};
use super::request::is_address;
use crate::limits::{MailLimits, OrderLimits};
use mail_parser::{Address, HeaderName, Message, MessageParser, MessagePart, MimeHeaders, PartType};
use units::Private;

/// A part that came with an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Its Content-ID without brackets.
    pub cid: String,
    /// Its media type, lower case, without parameters.
    pub media_type: String,
    /// Its content, decoded.
    pub content: Vec<u8>,
}

/// A mail that may hold an order.
#[derive(Clone, Debug, PartialEq)]
pub struct Mail {
    /// Its Message-ID without brackets.
    pub message_id: String,
    /// The one author's address.
    pub from: Private<String>,
    /// Where a reply goes; `None`: nowhere (`Auto-Submitted: auto-generated`).
    pub reply_to: Option<Private<String>>,
    /// The Message-ID it answers.
    pub in_reply_to: Option<String>,
    /// Subject, for replies.
    pub subject: Private<String>,
    /// The fields of the request; empty if the mail holds none (`cancel+`, `status+` need none).
    pub fields: Fields,
    /// How they were written.
    pub written: Written,
    /// What came with it.
    pub attachments: Vec<Attachment>,
    /// `Call-Manifest`, `Call-Signature` and `Call-Token`, as they stand.
    pub proofs: Proofs,
}

/// How a mail's request was written, so that it is answered in its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// `Call-*` header fields.
    Header,
    /// A block of `Key: value` lines.
    Block,
    /// JSON, YAML or XML.
    Body,
    /// Not at all.
    Nowhere,
}

impl Written {
    /// A refusal in the words of the mail.
    #[must_use]
    pub fn words(self, refusal: &Refusal) -> String {
        match self {
            Self::Header => refusal.in_header("Call-"),
            Self::Block => refusal.in_header(""),
            Self::Body | Self::Nowhere => refusal.to_string(),
        }
    }

    /// A field in the words of the mail.
    #[must_use]
    pub fn field(self, field: &str) -> String {
        match self {
            Self::Header => super::refusal::header_field(field, "Call-"),
            Self::Block => super::refusal::header_field(field, ""),
            Self::Body | Self::Nowhere => field.to_owned(),
        }
    }
}

/// What is to prove who sent the order, beside DKIM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proofs {
    /// The signed manifest, base64 of JSON.
    pub manifest: Option<String>,
    /// Its signature.
    pub signature: Option<String>,
    /// A token bound to tenant and request id.
    pub token: Option<String>,
}

/// Why a mail is turned away. No reply mail is ever sent for these: the SMTP reply is the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turned {
    /// Not a message at all.
    NoMessage,
    /// Null reverse path or a report: bounces order nothing.
    Bounce,
    /// Somebody's automatic reply.
    AutoReplied,
    /// From a list, or in bulk.
    List,
    /// From ourselves, or seen too often.
    Loop,
    /// Two of a header field that may stand once.
    Two(&'static str),
    /// No such field, and it is needed.
    Without(&'static str),
    /// Not exactly one author.
    Authors,
    /// More of something than allowed.
    TooMany(&'static str),
    /// A control character or NUL in the header.
    Control,
    /// The request in it is refused.
    Refused(Vec<Refusal>),
}

/// What the door knows about a mail.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    /// Reverse path of the envelope.
    pub reverse_path: &'a str,
    /// Is this address one of ours?
    pub is_ours: &'a dyn Fn(&str) -> bool,
    /// Bounds of a mail.
    pub limits: &'a MailLimits,
    /// Bounds of an order.
    pub order: &'a OrderLimits,
}

/// Reads a mail.
///
/// # Errors
/// [`Turned`]: what is wrong with it.
pub fn read(raw: &[u8], seen: Seen<'_>) -> Result<Mail, Turned> {
    screen(raw, seen.limits)?;
    let message = parser().parse(raw).ok_or(Turned::NoMessage)?;
    if message.parts.len() > seen.limits.parts_max || nesting(&message) > seen.limits.nesting_max {
        return Err(Turned::TooMany("parts"));
    }
    singletons(&message)?;
    loops(&message, seen)?;
    let from = one_author(&message)?;
    let message_id = message.message_id().ok_or(Turned::Without("Message-ID"))?.to_owned();
    let generated = auto_submitted(&message).is_some_and(|a| a.starts_with("auto-generated"));
    let reply_to = if generated { None } else { Some(Private::new(from.clone())) };
    let attachments = attachments(&message)?;
    let (fields, written) = fields(&message, seen.order).map_err(|r| Turned::Refused(vec![r]))?;
    Ok(Mail {
        written,
        message_id,
        reply_to,
        in_reply_to: first_id(&message),
        subject: Private::new(message.subject().unwrap_or_default().to_owned()),
        proofs: Proofs {
            manifest: text(&message, "call-manifest"),
            signature: text(&message, "call-signature"),
            token: text(&message, "call-token"),
        },
        from: Private::new(from),
        fields,
        attachments,
    })
}

/// Reads the body of an HTTP request that is a multipart as a mail's is read: the first part that has a form is the
/// request, each part with a Content-ID comes with it.
///
/// # Errors
/// A [`Refusal`] of the body or of a part.
pub fn multipart(
    content_type: &str,
    octets: &[u8],
    limits: &MailLimits,
    order: &OrderLimits,
) -> Result<(Fields, Vec<Attachment>), Refusal> {
    let malformed = || Refusal::new("body", Reason::Malformed { what: "multipart", line: 0, column: 0 });
    if content_type.chars().any(char::is_control) || octets.len() > limits.message_bytes_max {
        return Err(malformed());
    }
    let dashes = octets.split(|b| *b == b'\n').filter(|line| line.starts_with(b"--")).count();
    if dashes > limits.parts_max * 20 {
        return Err(Refusal::new("body", Reason::TooMany { max: limits.parts_max }));
    }
    let mut raw = format!("MIME-Version: 1.0\r\nContent-Type: {content_type}\r\n\r\n").into_bytes();
    raw.extend_from_slice(octets);
    let message = parser().parse(raw.as_slice()).ok_or_else(malformed)?;
    if message.parts.len() > limits.parts_max || nesting(&message) > limits.nesting_max {
        return Err(Refusal::new("body", Reason::TooMany { max: limits.parts_max }));
    }
    let first = |turned: Turned| match turned {
        Turned::Refused(refusals) => refusals.into_iter().next().unwrap_or_else(malformed),
        _ => malformed(),
    };
    singletons(&message).map_err(first)?;
    let attached = attachments(&message).map_err(first)?;
    match fields(&message, order)? {
        (_, Written::Nowhere) => Err(Refusal::new("body", Reason::NoForm)),
        (fields, _) => Ok((fields, attached)),
    }
}

/// Structured fields by their own grammars, every other as text with its encoded words read (RFC 2047).
fn parser() -> MessageParser {
    MessageParser::new()
        .with_mime_headers()
        .with_date_headers()
        .with_address_headers()
        .with_message_ids()
        .default_header_text()
}

/// Bounds what the parser will have to build, before it builds it: a nested message costs a header field, a part a
/// line that begins with two hyphens.
fn screen(raw: &[u8], limits: &MailLimits) -> Result<(), Turned> {
    if raw.len() > limits.message_bytes_max {
        return Err(Turned::TooMany("octets"));
    }
    let (mut in_header, mut header_bytes, mut headers, mut types, mut dashes) = (true, 0, 0, 0, 0);
    for line in raw.split(|b| *b == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > limits.text_line_bytes_max {
            return Err(Turned::TooMany("octets in a line"));
        }
        if in_header {
            header_bytes += line.len() + 2;
            headers += usize::from(line.first().is_some_and(|b| *b != b' ' && *b != b'\t'));
            in_header = !line.is_empty();
            if line.iter().any(|b| (*b < 0x20 && *b != b'\t') || *b == 0x7f) {
                return Err(Turned::Control);
            }
        }
        types += usize::from(line.len() >= 12 && line[..12].eq_ignore_ascii_case(b"content-type"));
        dashes += usize::from(line.starts_with(b"--"));
    }
    match () {
        () if header_bytes > limits.header_bytes_max => Err(Turned::TooMany("octets in the header")),
        () if headers > limits.headers_max => Err(Turned::TooMany("header fields")),
        () if types > limits.parts_max * 2 || dashes > limits.parts_max * 20 => Err(Turned::TooMany("parts")),
        () => Ok(()),
    }
}

/// Messages and multiparts inside each other.
fn nesting(message: &Message<'_>) -> usize {
    fn deepest(message: &Message<'_>, part: usize, left: usize) -> usize {
        if left == 0 {
            return usize::MAX / 2;
        }
        match message.parts.get(part).map(|p| &p.body) {
            Some(PartType::Multipart(ids)) => {
                let below = ids.iter().map(|id| usize::try_from(*id).unwrap_or(usize::MAX));
                // A part that lists itself would never end; parts come after what holds them.
                1 + below.filter(|id| *id > part).map(|id| deepest(message, id, left - 1)).max().unwrap_or(0)
            }
            Some(PartType::Message(inner)) => 1 + deepest(inner, 0, left - 1),
            _ => 0,
        }
    }
    deepest(message, 0, 64)
}

/// Header fields that RFC 5322 §3.6 and the MIME documents allow once. Two of one are read differently by different
/// programs, so such a mail proves nothing.
const ONCE: [(&str, &str); 14] = [
    ("from", "From"),
    ("sender", "Sender"),
    ("reply-to", "Reply-To"),
    ("to", "To"),
    ("cc", "Cc"),
    ("date", "Date"),
    ("message-id", "Message-ID"),
    ("in-reply-to", "In-Reply-To"),
    ("subject", "Subject"),
    ("mime-version", "MIME-Version"),
    ("content-type", "Content-Type"),
    ("content-transfer-encoding", "Content-Transfer-Encoding"),
    ("content-id", "Content-ID"),
    ("auto-submitted", "Auto-Submitted"),
];

fn singletons(message: &Message<'_>) -> Result<(), Turned> {
    for part in &message.parts {
        for (lower, name) in ONCE {
            if part.headers.iter().filter(|h| h.name().eq_ignore_ascii_case(lower)).count() > 1 {
                return Err(Turned::Two(name));
            }
        }
    }
    for once in ["call-manifest", "call-signature", "call-token"] {
        if message.headers().iter().filter(|h| h.name().eq_ignore_ascii_case(once)).count() > 1 {
            return Err(Turned::Two("Call-Manifest, Call-Signature or Call-Token"));
        }
    }
    Ok(())
}

/// The table of loops: who must never be dialled for and never be answered.
fn loops(message: &Message<'_>, seen: Seen<'_>) -> Result<(), Turned> {
    let report = message.parts.first().is_some_and(|p| p.is_content_type("multipart", "report"));
    if seen.reverse_path.is_empty() || report {
        return Err(Turned::Bounce);
    }
    // RFC 3834 §5: `auto-generated` is what a monitoring system sets, rightly; `auto-replied` answers somebody.
    if auto_submitted(message)
        .is_some_and(|a| a.starts_with("auto-replied") || a.starts_with("auto-notified"))
    {
        return Err(Turned::AutoReplied);
    }
    let bulk = |v: &str| matches!(v.trim().to_ascii_lowercase().as_str(), "bulk" | "junk" | "list");
    if has(message, "list-id") || text(message, "precedence").is_some_and(|p| bulk(&p)) {
        return Err(Turned::List);
    }
    let received = message.headers().iter().filter(|h| h.name().eq_ignore_ascii_case("received")).count();
    let from_us = addresses(message.from()).iter().any(|a| (seen.is_ours)(a));
    if received > seen.limits.received_max || from_us || (seen.is_ours)(seen.reverse_path) {
        return Err(Turned::Loop);
    }
    Ok(())
}

fn has(message: &Message<'_>, name: &str) -> bool {
    message.headers().iter().any(|h| h.name().eq_ignore_ascii_case(name))
}

fn auto_submitted(message: &Message<'_>) -> Option<String> {
    text(message, "auto-submitted").map(|a| a.trim().to_ascii_lowercase())
}

/// The text of the first header field of this name.
fn text(message: &Message<'_>, name: &str) -> Option<String> {
    let header = message.headers().iter().find(|h| h.name().eq_ignore_ascii_case(name))?;
    let raw = message.raw_message.get(start(header)..end(header))?;
    header
        .value()
        .as_text()
        .map(str::to_owned)
        .or_else(|| Some(String::from_utf8_lossy(raw).trim().to_owned()))
}

fn start(h: &mail_parser::Header<'_>) -> usize {
    usize::try_from(h.offset_start()).unwrap_or(usize::MAX)
}

fn end(h: &mail_parser::Header<'_>) -> usize {
    usize::try_from(h.offset_end()).unwrap_or(0)
}

fn addresses(field: Option<&Address<'_>>) -> Vec<String> {
    field.map_or_else(Vec::new, |a| a.iter().filter_map(|x| x.address().map(str::to_owned)).collect())
}

fn one_author(message: &Message<'_>) -> Result<String, Turned> {
    if !has(message, "from") {
        return Err(Turned::Without("From"));
    }
    match addresses(message.from()).as_slice() {
        [one] if is_address(one) => Ok(one.to_ascii_lowercase()),
        _ => Err(Turned::Authors),
    }
}

fn first_id(message: &Message<'_>) -> Option<String> {
    let field = message.in_reply_to();
    let first = field.as_text_list().and_then(|ids| ids.first().map(|i| i.to_string()));
    first.or_else(|| field.as_text().map(str::to_owned))
}

fn attachments(message: &Message<'_>) -> Result<Vec<Attachment>, Turned> {
    let mut out: Vec<Attachment> = Vec::new();
    for part in message.parts.iter().skip(1).filter(|p| !p.is_multipart()) {
        let Some(cid) = part.content_id() else { continue };
        let cid = cid.trim_matches(|c| c == '<' || c == '>').to_owned();
        if out.iter().any(|a| a.cid == cid) {
            return Err(Turned::Refused(vec![Refusal::new(format!("cid:{cid}"), Reason::Twice)]));
        }
        out.push(Attachment { cid, media_type: media_type(part), content: part.contents().to_vec() });
    }
    Ok(out)
}

fn media_type(part: &MessagePart<'_>) -> String {
    part.content_type().map_or_else(
        || "text/plain".to_owned(),
        |c| format!("{}/{}", c.ctype(), c.subtype().unwrap_or("plain")).to_ascii_lowercase(),
    )
}

/// The request: header fields if `Call-To` or `Call-Application` stands there, else the first part that has a form.
fn fields(message: &Message<'_>, limits: &OrderLimits) -> Result<(Fields, Written), Refusal> {
    let in_header = has(message, "call-to") || has(message, "call-application");
    if in_header {
        let lines: Vec<(String, String)> = message.headers().iter().filter_map(call_header).collect();
        let mut fields = form::header(lines.iter().map(|(n, v)| (n.as_str(), v.as_str())), false, limits)?;
        if let Some(spoken) = spoken(message).filter(|_| !fields.contains_key("message")) {
            fields.insert("message".into(), spoken.into());
        }
        return Ok((fields, Written::Header));
    }
    for part in message.parts.iter().filter(|p| !p.is_multipart()) {
        if part.content_id().is_some() && message.parts.len() > 1 && !is_request(part) {
            continue;
        }
        if let Some(read) = body(part, limits) {
            let written = if media_type(part) == "text/plain" { Written::Block } else { Written::Body };
            return read.map(|fields| (fields, written));
        }
    }
    Ok((Fields::new(), Written::Nowhere))
}

/// A part with a Content-ID is an attachment, unless it is marked as the request itself.
fn is_request(part: &MessagePart<'_>) -> bool {
    part.content_disposition().is_some_and(mail_parser::ContentType::is_inline)
}

fn call_header(h: &mail_parser::Header<'_>) -> Option<(String, String)> {
    let HeaderName::Other(name) = &h.name else { return None };
    name.get(..5).filter(|p| p.eq_ignore_ascii_case("call-"))?;
    // What cannot be read as text is kept as an empty value and refused by the field's own check.
    Some((name.to_string(), h.value().as_text().unwrap_or_default().to_owned()))
}

fn spoken(message: &Message<'_>) -> Option<String> {
    let part = message.parts.iter().find(|p| media_type(p) == "text/plain" && p.content_id().is_none())?;
    let text = part.text_contents()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// A part's request, if its type has a form. A body whose charset lies is refused by the form: JSON must be UTF-8.
fn body(part: &MessagePart<'_>, limits: &OrderLimits) -> Option<Result<Fields, Refusal>> {
    if part.contents().len() > limits.body_bytes_max {
        return Some(Err(Refusal::new("body", Reason::TooLong { max: limits.body_bytes_max })));
    }
    match media_type(part).as_str() {
        "text/plain" => form::block(part.text_contents()?, limits),
        media_type => form::by_type(media_type, part.contents(), limits),
    }
}

#[cfg(test)]
#[path = "mail_tests.rs"]
mod tests;
