//! `Refusal`: which field of a request is wrong, why, and what would mend it. Each channel says it in its own way:
//! problem+json, an SMTP reply, a row of an error file.

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};
use std::fmt;

/// One thing that is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The field as the caller wrote it: `to[2]`, `Call-At`, `application`.
    pub field: String,
    /// What is wrong with it.
    pub reason: Reason,
}

/// Why a field is refused. Variants carry facts; words are made by [`Reason::text`] and [`Reason::fix`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It must be there.
    Missing,
    /// No such field.
    UnknownField {
        /// A field with a similar name.
        nearest: Option<&'static str>,
    },
    /// No such parameter in the query of a request.
    NoParameter {
        /// Those that there are.
        known: &'static [&'static str],
    },
    /// The proof that came with the order is too weak for this.
    Level {
        /// Authority level that is needed.
        needed: u8,
        /// Level that was reached.
        reached: u8,
    },
    /// Another kind of value is needed.
    NotA(&'static str),
    /// Not one of these.
    NotOneOf(&'static [&'static str]),
    /// More octets than allowed.
    TooLong {
        /// Octets at most.
        max: usize,
    },
    /// More items than allowed.
    TooMany {
        /// Items at most.
        max: usize,
    },
    /// Neither an E.164 number nor a `sip:` URI.
    NotCallable,
    /// A number in national form, and no region is set to read it in.
    NationalNumber,
    /// It is not in the numbering plan: an unassigned country code or an impossible length.
    NoSuchNumber,
    /// The scheme of the URI is not allowed here.
    Scheme {
        /// What is allowed.
        allowed: &'static str,
    },
    /// The time has passed.
    Past,
    /// Expiry comes before the start.
    ExpiresBeforeStart,
    /// Further away than allowed.
    TooFar {
        /// Days at most.
        days: u64,
    },
    /// Not a time zone of the IANA database.
    NoSuchZone,
    /// Nothing with this name came with the order.
    NotAttached,
    /// The same field twice, where it may stand once.
    Twice,
    /// A control character, a bare CR or a bare LF.
    Control,
    /// It is not well formed: where, as line and column from 1.
    Malformed {
        /// What the body claims to be.
        what: &'static str,
        /// Line, from 1; 0 if not known.
        line: usize,
        /// Column, from 1; 0 if not known.
        column: usize,
    },
    /// The body has no form that can hold an order.
    NoForm,
    /// The digest of the part is not the promised one.
    Digest,
    /// It was asked for and cannot be had.
    Unreachable,
    /// No policy of this name is stored.
    NoSuchPolicy,
    /// Known, but not allowed to this tenant or at this authority level.
    NotAllowed,
    /// The same request id was used with other content.
    Conflict,
    /// No trunk of ours takes it.
    NoTrunk,
    /// The trunks that reach the number show no such caller id, or none is named and they have none.
    NoCallerId,
}

impl Reason {
    /// What is wrong, as the end of a sentence that begins with the field.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Missing => "is missing".into(),
            Self::UnknownField { .. } => "is not a field of an order".into(),
            Self::NoParameter { .. } => "is not a parameter of this request".into(),
            Self::Level { needed, reached } => {
                format!("needs authority level {needed}, and what came proves level {reached}")
            }
            Self::NotA(what) => format!("is not {what}"),
            Self::NotOneOf(_) => "is not one of the allowed words".into(),
            Self::TooLong { max } => format!("is longer than {max} octets"),
            Self::TooMany { max } => format!("holds more than {max} items"),
            Self::NotCallable => "is neither a telephone number nor a sip: URI".into(),
            Self::NationalNumber => "is a number without its country code".into(),
            Self::NoSuchNumber => "is not a number of any numbering plan".into(),
            Self::Scheme { .. } => "has a scheme that is not allowed here".into(),
            Self::Past => "has passed".into(),
            Self::ExpiresBeforeStart => "comes before the call may start".into(),
            Self::TooFar { days } => format!("is more than {days} days away"),
            Self::NoSuchZone => "is not a time zone of the IANA database".into(),
            Self::NotAttached => "names a part that did not come with the order".into(),
            Self::Twice => "stands there more than once".into(),
            Self::Control => "holds a control character".into(),
            Self::Malformed { what, line: 0, .. } => format!("is not well-formed {what}"),
            Self::Malformed { what, line, column } => {
                format!("is not well-formed {what} (line {line}, column {column})")
            }
            Self::NoForm => "holds no order".into(),
            Self::Digest => "has another digest than promised".into(),
            Self::Unreachable => "is required and cannot be had".into(),
            Self::NoSuchPolicy => "names a policy that is not stored".into(),
            Self::NotAllowed => "is not allowed to you".into(),
            Self::Conflict => "was used before with other content".into(),
            Self::NoTrunk => "is a number that no trunk takes".into(),
            Self::NoCallerId => "cannot be shown by the trunks that reach the number".into(),
        }
    }

    /// What would mend it.
    #[must_use]
    pub fn fix(&self) -> String {
        match self {
            Self::Missing => "add it".into(),
            Self::UnknownField { nearest: Some(n) } => format!("did you mean `{n}`? otherwise take it out"),
            Self::UnknownField { nearest: None } => "take it out; own values go under `params`".into(),
            Self::NoParameter { known: [] } => {
                "take it out: this request has none; what is asked for stands in the body, and a dry run is \
                 POST /v1/calls:dryrun"
                    .into()
            }
            Self::NoParameter { known } => format!("use one of: {}", known.join(", ")),
            Self::Level { needed: 0 | 1, .. } => "sign the mail by DKIM for the author's domain".into(),
            Self::Level { needed: 2, .. } => "add a Call-Token, or sign the order".into(),
            Self::Level { .. } => "sign the order (Call-Manifest, Call-Signature) or use SMTP AUTH with a key".into(),
            Self::NotA(what) => format!("give {what}"),
            Self::NotOneOf(words) => format!("use one of: {}", words.join(", ")),
            Self::TooLong { .. } => "shorten it".into(),
            Self::TooMany { .. } => "send several requests, or a campaign".into(),
            Self::NotCallable => "write +15551234567, tel:+15551234567 or sip:name@host".into(),
            Self::NationalNumber => "write it with + and the country code".into(),
            Self::NoSuchNumber => "check the number".into(),
            Self::Scheme { allowed } => format!("use {allowed}"),
            Self::Past => "give a time to come, or leave it out to call at once".into(),
            Self::ExpiresBeforeStart => "let it expire after its start, or start it earlier".into(),
            Self::TooFar { .. } => "give an earlier time".into(),
            Self::NoSuchZone => "write a name such as Europe/Berlin".into(),
            Self::NotAttached => "attach the part with this Content-ID, or correct the name".into(),
            Self::Twice => "leave one".into(),
            Self::Control => "take the control character out".into(),
            Self::Malformed { .. } => "correct the syntax".into(),
            Self::NoForm => {
                "send Call-* header fields, or a part of type application/json, application/yaml, application/xml \
                 or text/plain that starts with `Key: value` lines"
                    .into()
            }
            Self::Digest => "send the part that was promised, or its digest".into(),
            Self::Unreachable => "see that its server answers, or take `required` away".into(),
            Self::NoSuchPolicy => "store it by PUT /v1/policies/NAME, or leave the field out".into(),
            Self::NotAllowed => "ask the operator, or sign the order at a higher authority level".into(),
            Self::Conflict => "use a new request id for a new order".into(),
            Self::NoTrunk => "give another number, or ask the operator for a trunk that takes it".into(),
            Self::NoCallerId => "name a caller id that is yours".into(),
        }
    }
}

impl Refusal {
    /// A refusal of a field.
    #[must_use]
    pub fn new(field: impl Into<String>, reason: Reason) -> Self {
        Self { field: field.into(), reason }
    }
}

impl Refusal {
    /// In the words of a header form, where fields are written with this before them (`Call-`, or nothing): `Call-To`
    /// for `to`, `Call-Param-x` for `params.x`, `Call-To (item 3)` for `to[2]`.
    #[must_use]
    pub fn in_header(&self, before: &str) -> String {
        let fix = match &self.reason {
            Reason::UnknownField { nearest: Some(n) } => {
                format!("did you mean {}? otherwise take it out", header_field(n, before))
            }
            Reason::UnknownField { nearest: None } => {
                format!("take it out; own values go into {before}Param-NAME")
            }
            other => other.fix(),
        };
        format!("{} {}: {fix}", header_field(&self.field, before), self.reason.text())
    }
}

/// A field's name in a header form. What is written with a capital already is the sender's own writing.
#[must_use]
pub fn header_field(field: &str, before: &str) -> String {
    let (name, place) = field.split_once('[').map_or((field, None), |(n, p)| (n, p.strip_suffix(']')));
    if name.starts_with(|c: char| c.is_ascii_uppercase())
        || matches!(name, "body" | "header")
        || name.contains(':')
    {
        return field.to_owned();
    }
    let capital = |w: &str| {
        let mut letters = w.chars();
        letters.next().map_or_else(String::new, |c| c.to_ascii_uppercase().to_string() + letters.as_str())
    };
    let name = match name.split_once('.') {
        Some(("params", param)) => format!("Param-{param}"),
        _ if name == "resources" => "Resource".to_owned(),
        _ => name.split('_').map(capital).collect::<Vec<_>>().join("-"),
    };
    match place.and_then(|p| p.parse::<usize>().ok()) {
        None | Some(0) => format!("{before}{name}"),
        Some(n) => format!("{before}{name} (item {})", n + 1),
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.field, self.reason.text(), self.reason.fix())
    }
}

impl std::error::Error for Refusal {}

impl Serialize for Refusal {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut out = s.serialize_struct("Refusal", 3)?;
        out.serialize_field("field", &self.field)?;
        out.serialize_field("reason", &self.reason.text())?;
        out.serialize_field("fix", &self.reason.fix())?;
        out.end()
    }
}

/// The word of `known` that is nearest to `word`, if it is near enough to be a slip of the hand.
#[must_use]
pub fn nearest(word: &str, known: &[&'static str]) -> Option<&'static str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    if word.len() > 32 {
        return None;
    }
    known
        .iter()
        .map(|k| (distance(&word, k), *k))
        .filter(|(d, k)| *d <= 1 + k.len() / 4)
        .min()
        .map(|(_, k)| k)
}

/// Levenshtein's distance over octets; both are short.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.bytes().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(ca != cb)).min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_hand_finds_the_field() {
        let known = ["application", "purpose", "priority", "to"];
        assert_eq!(nearest("aplication", &known), Some("application"));
        assert_eq!(nearest("Priorty", &known), Some("priority"));
        assert_eq!(nearest("colour", &known), None);
        assert_eq!(nearest(&"x".repeat(100_000), &known), None);
    }

    #[test]
    fn a_mail_is_told_its_own_words() {
        for (field, before, expected) in [
            ("to", "Call-", "Call-To"),
            ("to[0]", "Call-", "Call-To"),
            ("to[2]", "Call-", "Call-To (item 3)"),
            ("request_id", "Call-", "Call-Request-Id"),
            ("resources[0]", "Call-", "Call-Resource"),
            ("params.a_b", "Call-", "Call-Param-a_b"),
            ("result_to", "", "Result-To"),
            ("Call-At", "Call-", "Call-At"),
            ("body", "Call-", "body"),
        ] {
            assert_eq!(header_field(field, before), expected);
        }
        let r = Refusal::new("purpos", Reason::UnknownField { nearest: Some("purpose") });
        assert!(r.in_header("Call-").contains("did you mean Call-Purpose?"), "{}", r.in_header("Call-"));
    }

    #[test]
    fn a_refusal_names_field_reason_and_fix() {
        let r = Refusal::new("to[1]", Reason::NotCallable);
        let json = serde_json::to_value(&r).unwrap();
        assert_eq!(json["field"], "to[1]");
        assert!(json["reason"].as_str().unwrap().contains("number"));
        assert!(json["fix"].as_str().unwrap().contains("+1555"));
    }
}
