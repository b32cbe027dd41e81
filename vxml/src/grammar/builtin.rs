//! The seven builtin types of VoiceXML 2.0 appendix P, in DTMF and in voice form.

use super::error::{Fault, GrammarError};
use super::model::{Grammar, Mode, Node, TagFormat};
use serde_json::Value;

/// A builtin type: how its words become a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builtin {
    /// A string of digits.
    Digits,
}

impl Builtin {
    /// What words of the type mean.
    pub(super) fn value(self, words: &[Box<str>]) -> Value {
        match self {
            Builtin::Digits => Value::String(words.concat()),
        }
    }
}

/// Makes a builtin grammar from `builtin:grammar/T?...`, `builtin:dtmf/T?...`, `builtin:T` or `T?...`.
pub(super) fn grammar(uri: &str, mode: Mode, lang: &str) -> Result<Grammar, GrammarError> {
    let name = uri.strip_prefix("builtin:").unwrap_or(uri);
    let (mode, name) = match name.split_once('/') {
        Some(("dtmf", rest)) => (Mode::Dtmf, rest),
        Some(("grammar" | "voice", rest)) => (Mode::Voice, rest),
        _ => (mode, name),
    };
    let (name, query) = name.split_once('?').unwrap_or((name, ""));
    match (name, mode) {
        ("digits", Mode::Dtmf) => digits(query, lang),
        _ => Err(Fault::UnsupportedBuiltin(name.into()).into()),
    }
}

fn digits(query: &str, lang: &str) -> Result<Grammar, GrammarError> {
    let (mut min, mut max) = (1, None);
    for pair in query.split([';', '&']).filter(|p| !p.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let count = value.parse::<u32>().ok().ok_or_else(|| Fault::BadParameter(name.into()))?;
        match name {
            "length" => (min, max) = (count, Some(count)),
            "minlength" => min = count,
            "maxlength" => max = Some(count),
            _ => {}
        }
    }
    if max.is_some_and(|max| max < min || max == 0) {
        return Err(Fault::BadParameter("length".into()).into());
    }
    let digit = Node::OneOf(('0'..='9').map(|c| (None, Node::token(&c.to_string()))).collect());
    let format = TagFormat::Builtin(Builtin::Digits);
    Ok(Grammar::made(Mode::Dtmf, lang, "digits", format, Node::repeat(digit, min, max, None)))
}
