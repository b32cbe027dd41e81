//! Fields of the extensions: RAck, Session-Expires, Replaces, Refer-To, Reason, Diversion, History-Info, lists of tokens.

use super::addr::{NameAddr, Params, values};
use super::core::{CSeq, seconds};
use super::message::Message;
use super::name::HeaderId;
use super::scan::{Cursor, ascii, trim};
use super::uri::unescape;
use crate::leg::Redirection;
use units::{Cause, Private};

/// RAck (RFC 3262 §7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RAck<'a> {
    /// RSeq of the response that is acknowledged.
    pub rseq: u32,
    /// CSeq of that response.
    pub cseq: CSeq<'a>,
}

impl<'a> RAck<'a> {
    /// Reads a value.
    #[must_use]
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let mut c = Cursor::new(value);
        let rseq = c.number().and_then(|n| u32::try_from(n).ok())?;
        c.skip_lws();
        Some(Self { rseq, cseq: CSeq::parse(c.rest())? })
    }
}

/// Who refreshes a session (RFC 4028 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresher {
    /// The client of this transaction.
    Uac,
    /// The server of this transaction.
    Uas,
}

/// Session-Expires (RFC 4028 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionExpires {
    /// Seconds.
    pub seconds: u32,
    /// Who refreshes, if it is settled.
    pub refresher: Option<Refresher>,
}

impl SessionExpires {
    /// From a message.
    #[must_use]
    pub fn read(m: &Message<'_>) -> Option<Self> {
        let value = m.first(HeaderId::SessionExpires)?;
        let at = value.iter().position(|&b| b == b';').unwrap_or(value.len());
        let params = Params::parse(value.get(at..)?)?;
        let refresher = match params.get("refresher") {
            Some(r) if r.eq_ignore_ascii_case("uac") => Some(Refresher::Uac),
            Some(r) if r.eq_ignore_ascii_case("uas") => Some(Refresher::Uas),
            _ => None,
        };
        Some(Self { seconds: seconds(value)?, refresher })
    }
}

/// Replaces (RFC 3891 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaces<'a> {
    /// Call-ID.
    pub call_id: &'a str,
    /// to-tag: the tag of whoever reads it.
    pub to_tag: &'a str,
    /// from-tag.
    pub from_tag: &'a str,
    /// Only an early dialog may be replaced.
    pub early_only: bool,
}

impl<'a> Replaces<'a> {
    /// Reads a value.
    #[must_use]
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let at = value.iter().position(|&b| b == b';')?;
        let params = Params::parse(value.get(at..)?)?;
        Some(Self {
            call_id: ascii(trim(value.get(..at)?))?,
            to_tag: params.get("to-tag").filter(|t| !t.is_empty())?,
            from_tag: params.get("from-tag").filter(|t| !t.is_empty())?,
            early_only: params.get("early-only").is_some(),
        })
    }
}

/// The Q.850 cause of a Reason header field (RFC 3326 §2), 1..=127.
#[must_use]
pub fn q850(m: &Message<'_>) -> Option<Cause> {
    m.all(HeaderId::Reason).flat_map(values).find_map(|value| {
        let at = value.iter().position(|&b| b == b';')?;
        let protocol = ascii(trim(value.get(..at)?))?;
        let cause: u8 = Params::parse(value.get(at..)?)?.get("cause")?.parse().ok()?;
        (protocol.eq_ignore_ascii_case("Q.850") && (1..=127).contains(&cause)).then_some(Cause(cause))
    })
}

/// The tokens of a list field, over all its lines, without their parameters.
pub fn tokens<'a, 'm>(m: &'m Message<'a>, id: HeaderId) -> impl Iterator<Item = &'a str> + use<'a, 'm> {
    m.all(id).flat_map(values).filter_map(|v| {
        let at = v.iter().position(|&b| b == b';').unwrap_or(v.len());
        ascii(trim(v.get(..at)?)).filter(|t| !t.is_empty())
    })
}

/// Whether a list field holds a token, any case.
#[must_use]
pub fn has(m: &Message<'_>, id: HeaderId, token: &str) -> bool {
    tokens(m, id).any(|t| t.eq_ignore_ascii_case(token))
}

/// Redirections, newest first: Diversion (RFC 5806) if there is one, else History-Info (RFC 7044). At most `max`.
#[must_use]
pub fn redirections(m: &Message<'_>, max: usize) -> Vec<Redirection> {
    let diversions: Vec<_> =
        m.all(HeaderId::Diversion).flat_map(values).filter_map(diversion).take(max).collect();
    if !diversions.is_empty() {
        return diversions;
    }
    let mut history: Vec<_> =
        m.all(HeaderId::HistoryInfo).flat_map(values).filter_map(history_entry).take(max).collect();
    history.reverse();
    history
}

fn diversion(value: &[u8]) -> Option<Redirection> {
    let a = NameAddr::parse(value)?;
    Some(Redirection {
        uri: Private::new(a.uri.text.to_owned()),
        reason: a.params.text("reason").unwrap_or_default(),
        privacy: a.params.text("privacy").unwrap_or_default(),
        screen: a.params.text("screen").unwrap_or_default(),
    })
}

/// RFC 7044 §5: an entry whose URI holds a Reason was retargeted; its cause is a SIP status.
fn history_entry(value: &[u8]) -> Option<Redirection> {
    let a = NameAddr::parse(value)?;
    let headers = a.uri.headers?;
    let header = |name: &str| {
        headers
            .split('&')
            .filter_map(|h| h.split_once('='))
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| unescape(v))
    };
    let cause = header("Reason")?;
    let status = cause
        .to_ascii_lowercase()
        .split("cause=")
        .nth(1)
        .map(|c| c.chars().take_while(char::is_ascii_digit).collect::<String>());
    let reason = match status.as_deref() {
        Some("486" | "600") => "user-busy",
        Some("408" | "480") => "no-answer",
        Some("302") => "unconditional",
        Some("487") => "deflection",
        Some("503") => "unavailable",
        _ => "unknown",
    };
    let uri = a.uri.text.split('?').next().unwrap_or_default();
    Some(Redirection {
        uri: Private::new(uri.to_owned()),
        reason: reason.to_owned(),
        privacy: header("Privacy").unwrap_or_default(),
        screen: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::Limits;
    use super::*;

    fn message(fields: &str) -> String {
        format!("BYE sip:a SIP/2.0\r\n{fields}\r\n\r\n")
    }

    fn with<T>(fields: &str, f: impl Fn(&Message<'_>) -> T) -> T {
        f(&Message::parse(message(fields).as_bytes(), &Limits::default()).expect("framed"))
    }

    #[test]
    fn rfc3326_2_only_q850_counts() {
        let got = with("Reason: SIP ;cause=580 ;text=\"x, y\", Q.850 ;cause=16 ;text=\"Terminated\"", q850);
        assert_eq!(got, Some(Cause(16)));
        assert_eq!(with("Reason: Q.850;cause=200", q850), None);
    }

    #[test]
    fn rfc4028_4_session_expires() {
        let se = with("x: 1800 ;refresher=UAS", SessionExpires::read);
        assert_eq!(se, Some(SessionExpires { seconds: 1800, refresher: Some(Refresher::Uas) }));
    }

    #[test]
    fn rfc3891_and_rfc3262_fields() {
        let r = Replaces::parse(b"a@b;to-tag=1;from-tag=2;early-only").expect("reads");
        assert_eq!((r.call_id, r.to_tag, r.from_tag, r.early_only), ("a@b", "1", "2", true));
        let rack = RAck::parse(b"776656 1 INVITE").expect("reads");
        assert_eq!((rack.rseq, rack.cseq.number), (776_656, 1));
    }

    #[test]
    fn rfc5806_and_rfc7044_redirections() {
        let got =
            with("Diversion: <sip:b@x>;reason=user-busy;screen=yes, <sip:a@x>;reason=\"no-answer\"", |m| {
                redirections(m, 9)
            });
        assert_eq!(got.iter().map(|r| r.reason.as_str()).collect::<Vec<_>>(), ["user-busy", "no-answer"]);
        let got =
            with("History-Info: <sip:a@x?Reason=SIP%3Bcause%3D302>;index=1, <sip:b@x>;index=1.1", |m| {
                redirections(m, 9)
            });
        assert_eq!(
            (got.len(), got[0].uri.expose().as_str(), got[0].reason.as_str()),
            (1, "sip:a@x", "unconditional")
        );
    }
}
