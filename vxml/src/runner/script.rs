//! The caller's script: one step a line, taken at each listening.

use crate::session::TransferEnd;
use units::Digit;

/// What the scripted caller does when it is his turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `press 1234#`: keys, one after the other.
    Press(Vec<Digit>),
    /// `say words`.
    Say(String),
    /// `silence`: nothing until the timeout.
    Silence,
    /// `nomatch`: something no grammar knows.
    Nomatch,
    /// `hangup`.
    Hangup,
    /// `transfer busy`, `transfer answered 12s`, ...: how the next transfer ends, and after how many ms.
    Transfer(TransferEnd, u64),
    /// `record 5s`, `record 5s #`, `record 5s hangup`: so many ms are spoken into a recording, and what then ends it.
    Record(u64, RecordEnd),
}

/// What ends a scripted recording when all is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordEnd {
    /// Nothing more is said.
    Silence,
    /// A key.
    Key(Digit),
    /// The caller hangs up.
    Hangup,
}

/// A line of the script that is no step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadStep {
    /// Line, from 1.
    pub line: usize,
    /// The line.
    pub text: Box<str>,
}

impl std::fmt::Display for BadStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: '{}' is no step ({})", self.line, self.text, Step::HELP)
    }
}

impl std::error::Error for BadStep {}

/// Parses a script. Empty lines and lines that begin with `#` are skipped.
///
/// # Errors
/// The first line that is no step.
pub fn parse_script(text: &str) -> Result<Vec<Step>, BadStep> {
    // Editors of some systems put a byte order mark before the first line.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().enumerate().map(|(i, l)| (i + 1, l.trim()));
    lines
        .filter(|(_, l)| !l.is_empty() && !l.starts_with('#'))
        .map(|(line, l)| Step::parse(l).ok_or_else(|| BadStep { line, text: l.into() }))
        .collect()
}

impl Step {
    /// What a step looks like, for people.
    pub const HELP: &'static str = "press KEYS, say WORDS, silence, nomatch, hangup, transfer busy|noanswer|\
        answered 12s|far_end_disconnect|..., record 5s, record 5s #, record 5s hangup";

    /// The step as a line.
    #[must_use]
    pub fn line(&self) -> String {
        match self {
            Step::Press(keys) => format!("press {}", keys.iter().map(|k| k.as_char()).collect::<String>()),
            Step::Say(words) => format!("say {words}"),
            Step::Silence => "silence".into(),
            Step::Nomatch => "nomatch".into(),
            Step::Hangup => "hangup".into(),
            Step::Transfer(end, ms) => {
                let end = serde_json::to_value(end).unwrap_or_default();
                format!("transfer {} {ms}ms", end.as_str().unwrap_or_default())
            }
            Step::Record(ms, RecordEnd::Silence) => format!("record {ms}ms"),
            Step::Record(ms, RecordEnd::Key(key)) => format!("record {ms}ms {}", key.as_char()),
            Step::Record(ms, RecordEnd::Hangup) => format!("record {ms}ms hangup"),
        }
    }

    /// One line; `None` if it is no step.
    #[must_use]
    pub fn parse(line: &str) -> Option<Step> {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        match word {
            "press" => {
                let keys: Result<Vec<_>, _> =
                    rest.chars().filter(|c| !c.is_whitespace()).map(Digit::try_from).collect();
                keys.ok().filter(|k| !k.is_empty()).map(Step::Press)
            }
            "say" => (!rest.is_empty()).then(|| Step::Say(rest.to_owned())),
            "silence" => rest.is_empty().then_some(Step::Silence),
            "nomatch" => rest.is_empty().then_some(Step::Nomatch),
            "hangup" => rest.is_empty().then_some(Step::Hangup),
            "record" => {
                let (time, end) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                Some(Step::Record(crate::machine::time_ms(time)?, record_end(end.trim())?))
            }
            "transfer" => {
                let (end, time) = rest.split_once(char::is_whitespace).unwrap_or((rest, "0s"));
                Some(Step::Transfer(transfer_end(end)?, crate::machine::time_ms(time.trim())?))
            }
            _ => None,
        }
    }
}

fn record_end(text: &str) -> Option<RecordEnd> {
    let mut letters = text.chars();
    match (text, letters.next(), letters.next()) {
        ("", ..) => Some(RecordEnd::Silence),
        ("hangup", ..) => Some(RecordEnd::Hangup),
        (_, Some(key), None) => Digit::try_from(key).ok().map(RecordEnd::Key),
        _ => None,
    }
}

fn transfer_end(name: &str) -> Option<TransferEnd> {
    Some(match name {
        "busy" => TransferEnd::Busy,
        "noanswer" => TransferEnd::Noanswer,
        "network_busy" => TransferEnd::NetworkBusy,
        "near_end_disconnect" => TransferEnd::NearEndDisconnect,
        "far_end_disconnect" | "answered" => TransferEnd::FarEndDisconnect,
        "network_disconnect" => TransferEnd::NetworkDisconnect,
        "maxtime_disconnect" => TransferEnd::MaxtimeDisconnect,
        "transferred" => TransferEnd::Transferred,
        "unknown" => TransferEnd::Unknown,
        "noauthorization" => TransferEnd::NoAuthorization,
        "baddestination" => TransferEnd::BadDestination,
        "noroute" => TransferEnd::NoRoute,
        "noresource" => TransferEnd::NoResource,
        "unsupported" => TransferEnd::Unsupported,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_lines() {
        let text = "# a caller\npress 12#\n\nsay new york\nsilence\ntransfer answered 12s\nrecord 5s\nhangup";
        let steps = parse_script(text).expect("all are steps");
        assert_eq!(steps.len(), 6);
        assert_eq!(steps[3], Step::Transfer(TransferEnd::FarEndDisconnect, 12_000));
        assert_eq!(parse_script("\u{feff}press 1\r\n").expect("a mark and a line end of others").len(), 1);
        assert_eq!(
            Step::parse("record 2s  #"),
            Some(Step::Record(2000, RecordEnd::Key(Digit::try_from('#').expect("a key"))))
        );
        assert_eq!(
            Step::parse("record 2s hangup").map(|s| s.line()).as_deref(),
            Some("record 2000ms hangup")
        );
        for line in
            ["hangup now", "silence please", "transfer answered 12", "record", "record 2s 12", "press", "say"]
        {
            assert!(Step::parse(line).is_none(), "{line}");
        }
        assert_eq!(steps[3].line(), "transfer far_end_disconnect 12000ms");
        assert_eq!(parse_script("press x"), Err(BadStep { line: 1, text: "press x".into() }));
    }
}
