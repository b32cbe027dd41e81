//! The seven builtin types of VoiceXML 2.0 appendix P, in DTMF form for every language and in voice form for English, German, French and
//! Spanish.
//!
//! | type | parameters | value |
//! |---|---|---|
//! | boolean | `y`, `n`: keys (1, 2) | true or false |
//! | date | | `yyyymmdd`, `?` for what was not said |
//! | digits | `length`, or `minlength` and `maxlength` | the digits |
//! | currency | | `UUUmm.nn`, without `UUU` when no currency was said |
//! | number | | digits, at most one point, `-` |
//! | phone | | digits, `x` before an extension |
//! | time | | `hhmmx`, x one of a, p, h, ? |
//!
//! Values are computed here from the words of each rule; no script is involved.

mod dtmf;
mod tongue;
mod value;
mod voice;

use super::error::{Fault, GrammarError};
use super::model::{Grammar, Mode};
pub use tongue::{Spoken, Tongue};
pub(super) use value::Matched;

/// A builtin type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Builtin {
    /// Yes or no.
    Boolean(Answer),
    /// A calendar date.
    Date,
    /// A string of digits.
    Digits,
    /// An amount of money, with what a dollar is here.
    Currency(Dollar),
    /// A number.
    Number,
    /// A telephone number.
    Phone,
    /// A time of day.
    Time,
}

/// The keys of a boolean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Answer {
    /// The key for yes.
    pub yes: char,
    /// The key for no.
    pub no: char,
}

/// Which dollar is meant, from the region of the language.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dollar {
    /// United States, and everywhere else.
    #[default]
    Us,
    /// Canada.
    Canada,
    /// Australia.
    Australia,
    /// New Zealand.
    NewZealand,
}

impl Dollar {
    fn of(lang: &str) -> Self {
        match lang.rsplit(['-', '_']).next().unwrap_or_default().to_ascii_uppercase().as_str() {
            "CA" => Dollar::Canada,
            "AU" => Dollar::Australia,
            "NZ" => Dollar::NewZealand,
            _ => Dollar::Us,
        }
    }

    /// Its ISO 4217 code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Dollar::Us => "USD",
            Dollar::Canada => "CAD",
            Dollar::Australia => "AUD",
            Dollar::NewZealand => "NZD",
        }
    }
}

/// Makes a builtin grammar from `builtin:grammar/T?...`, `builtin:dtmf/T?...`, `builtin:T?...` or `T?...`.
pub(super) fn grammar(uri: &str, mode: Mode, lang: &str) -> Result<Grammar, GrammarError> {
    let name = uri.trim();
    let name = name.strip_prefix("builtin:").unwrap_or(name);
    let (mode, name) = match name.split_once('/') {
        Some(("dtmf", rest)) => (Mode::Dtmf, rest),
        Some(("grammar" | "voice", rest)) => (Mode::Voice, rest),
        _ => (mode, name),
    };
    let (name, query) = name.split_once('?').unwrap_or((name, ""));
    // Some authors leave out the question mark: "boolean;y=1;n=2".
    let (name, query) = match name.split_once(';') {
        Some((name, rest)) if query.is_empty() => (name, rest),
        _ => (name, query),
    };
    let parameters = Parameters(query);
    let builtin = match name {
        "boolean" => Builtin::Boolean(parameters.answer()?),
        "date" => Builtin::Date,
        "digits" => Builtin::Digits,
        "currency" => Builtin::Currency(Dollar::of(lang)),
        "number" => Builtin::Number,
        "phone" => Builtin::Phone,
        "time" => Builtin::Time,
        _ => return Err(Fault::UnsupportedBuiltin(name.into()).into()),
    };
    let lengths = if builtin == Builtin::Digits { parameters.lengths()? } else { (1, None) };
    match mode {
        Mode::Dtmf => Ok(dtmf::grammar(builtin, lengths, lang)),
        Mode::Voice => voice::grammar(builtin, lengths, lang),
    }
}

/// `name=value` pairs, apart by `;` or `&`. What a type does not know is ignored.
struct Parameters<'q>(&'q str);

impl Parameters<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let pairs = self.0.split([';', '&']).filter_map(|pair| pair.split_once('='));
        pairs.map(|(n, v)| (n.trim(), v.trim())).find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// VoiceXML 2.0 appendix P: a length excludes the other two, and a minimum must not exceed a maximum.
    fn lengths(&self) -> Result<(u32, Option<u32>), GrammarError> {
        let count = |name: &str| match self.get(name) {
            None => Ok(None),
            Some(text) => match text.parse::<u32>() {
                Ok(n) if n > 0 || name == "minlength" => Ok(Some(n)),
                _ => Err(Fault::BadParameter(name.into())),
            },
        };
        let (length, min, max) = (count("length")?, count("minlength")?, count("maxlength")?);
        match (length, min, max) {
            (Some(n), None, None) => Ok((n, Some(n))),
            (Some(n), min, max) => {
                let agrees = min.is_none_or(|m| m <= n) && max.is_none_or(|m| m >= n);
                if agrees { Ok((n, Some(n))) } else { Err(Fault::BadParameter("length".into()).into()) }
            }
            (None, min, max) => {
                let min = min.unwrap_or(1).max(1);
                if max.is_some_and(|max| max < min) {
                    return Err(Fault::BadParameter("maxlength".into()).into());
                }
                Ok((min, max))
            }
        }
    }

    fn answer(&self) -> Result<Answer, GrammarError> {
        let key = |name: &str, default: char| {
            let text = self.get(name).unwrap_or_default();
            let mut keys = text.chars();
            match (keys.next(), keys.next()) {
                (None, _) if self.get(name).is_none() => Ok(default),
                (Some(key), None) if units::Digit::try_from(key).is_ok() => Ok(key.to_ascii_uppercase()),
                _ => Err(Fault::BadParameter(name.into())),
            }
        };
        let answer = Answer { yes: key("y", '1')?, no: key("n", '2')? };
        if answer.yes == answer.no {
            return Err(Fault::BadParameter("n".into()).into());
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests;
