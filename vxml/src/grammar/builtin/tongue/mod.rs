//! Builtin types as phrases of languages other than English: a table of words for each, and one meaning for all.
//!
//! A language gives its words with their numbers and a grammar for each type, whose rules have the names that
//! [`Spoken::value`] knows. Words with accents are also understood without them. Numbers are read by the longest
//! phrase first: "quatre-vingt-dix" is 90, not 4, 20 and 10.

mod french;
mod german;
mod spanish;

use super::value::Matched;
use super::{Builtin, Dollar};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::sync::OnceLock;

/// A language with voice forms of the builtin types, besides English.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tongue {
    /// de.
    German,
    /// fr.
    French,
    /// es.
    Spanish,
}

/// A builtin type, spoken in a language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spoken {
    /// The type.
    pub builtin: Builtin,
    /// The language.
    pub tongue: Tongue,
    /// ISO 4217 code of what a peso is in the region; empty where there is none.
    pub peso: &'static str,
}

/// What a language gives.
struct Words {
    /// Digits said one by one.
    digits: &'static [(&'static str, u64)],
    /// Every number that is one phrase.
    numbers: fn() -> Vec<(String, u64)>,
    /// Ordinals, 1 to 31.
    ordinals: fn() -> Vec<(String, u64)>,
    /// Parts of an hour, in minutes.
    parts: &'static [(&'static str, u64)],
    /// Words that multiply what stands before them.
    times: &'static [(&'static str, u64)],
    /// Answers for yes, and for no.
    answers: [&'static str; 2],
    months: [&'static str; 12],
    minus: &'static [&'static str],
    point: &'static [&'static str],
    /// What stands before an extension.
    extension: &'static [&'static str],
    /// Names of currencies, and of their hundredths: ISO 4217 code, `$` for the region's dollar, `P` for its peso.
    units: &'static [(&'static str, &'static str)],
    cents: &'static [(&'static str, &'static str)],
    /// Times of day: `a`, `p`, or `n` for the night.
    halves: &'static [(&'static str, char)],
    noon: &'static [&'static str],
    midnight: &'static [&'static str],
    /// Rules of the types, in ABNF, without the lists above.
    number: &'static str,
    currency: &'static str,
    phone: &'static str,
    date: &'static str,
    time: &'static str,
    /// Rules that several of them use.
    common: &'static str,
}

/// A language's words, ready to be looked up.
struct Lexicon {
    words: &'static Words,
    numbers: HashMap<String, u64>,
    digits: HashMap<String, u64>,
    ordinals: HashMap<String, u64>,
    parts: HashMap<String, u64>,
    times: HashMap<String, u64>,
}

/// Longest phrase for a number, in words.
const PHRASE_MAX: usize = 5;

impl Tongue {
    /// By a language tag.
    pub(super) fn of(lang: &str) -> Option<Self> {
        match lang.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "de" => Some(Tongue::German),
            "fr" => Some(Tongue::French),
            "es" => Some(Tongue::Spanish),
            _ => None,
        }
    }

    fn lexicon(self) -> &'static Lexicon {
        static GERMAN: OnceLock<Lexicon> = OnceLock::new();
        static FRENCH: OnceLock<Lexicon> = OnceLock::new();
        static SPANISH: OnceLock<Lexicon> = OnceLock::new();
        match self {
            Tongue::German => GERMAN.get_or_init(|| Lexicon::new(&german::WORDS)),
            Tongue::French => FRENCH.get_or_init(|| Lexicon::new(&french::WORDS)),
            Tongue::Spanish => SPANISH.get_or_init(|| Lexicon::new(&spanish::WORDS)),
        }
    }
}

impl Lexicon {
    fn new(words: &'static Words) -> Self {
        let table = |rows: Vec<(String, u64)>| {
            let plain = rows.iter().map(|(w, n)| (without_accents(w), *n)).collect::<Vec<_>>();
            plain.into_iter().chain(rows).collect::<HashMap<_, _>>()
        };
        let owned = |rows: &[(&str, u64)]| rows.iter().map(|(w, n)| ((*w).to_owned(), *n)).collect();
        let figures = (0..10).map(|n: u64| (n.to_string(), n));
        Self {
            words,
            numbers: table((words.numbers)()),
            digits: table(owned(words.digits)).into_iter().chain(figures).collect(),
            ordinals: table((words.ordinals)()),
            parts: table(owned(words.parts)),
            times: table(owned(words.times)),
        }
    }

    /// The number that words name; other words do not count.
    fn number(&self, words: &[String]) -> u64 {
        let (mut total, mut part) = (0_u64, 0_u64);
        let mut at = 0;
        while at < words.len() {
            let longest = (1..=PHRASE_MAX.min(words.len() - at)).rev().find_map(|n| {
                let phrase = words[at..at + n].join(" ");
                let number = [&self.numbers, &self.ordinals, &self.parts].iter().find_map(|t| t.get(&phrase));
                number.map(|v| (n, *v))
            });
            let (taken, value) = longest.unwrap_or((1, 0));
            match self.times.get(&words[at]) {
                Some(100) if taken == 1 => part = part.max(1).saturating_mul(100),
                Some(&times) if taken == 1 => {
                    total = total.saturating_add(part.max(1).saturating_mul(times));
                    part = 0;
                }
                _ if value >= 1000 => total = total.saturating_add(value),
                _ => part = part.saturating_add(value),
            }
            at += taken;
        }
        total.saturating_add(part)
    }

    /// Numbers below a hundred said one after the other, written one after the other.
    fn concatenated(&self, words: &[String]) -> String {
        let mut out = String::new();
        let mut at = 0;
        while at < words.len() {
            let longest = (1..=PHRASE_MAX.min(words.len() - at)).rev().find_map(|n| {
                let phrase = words[at..at + n].join(" ");
                let number = self.numbers.get(&phrase).or_else(|| self.digits.get(&phrase));
                number.map(|v| (n, *v))
            });
            match longest {
                Some((taken, value)) => {
                    out.push_str(&value.to_string());
                    at += taken;
                }
                None => {
                    if self.words.extension.iter().any(|e| *e == words[at]) {
                        out.push('x');
                    }
                    at += 1;
                }
            }
        }
        out
    }

    fn are_digits(&self, words: &[String]) -> bool {
        words.len() > 1 && words.iter().all(|w| self.digits.contains_key(w))
    }
}

impl Spoken {
    pub(super) fn of(builtin: Builtin, tongue: Tongue, lang: &str) -> Self {
        let region = lang.rsplit(['-', '_']).next().unwrap_or_default().to_ascii_uppercase();
        let peso = match region.as_str() {
            "MX" => "MXN",
            "AR" => "ARS",
            "CL" => "CLP",
            "CO" => "COP",
            "CU" => "CUP",
            "DO" => "DOP",
            "UY" => "UYU",
            _ => "",
        };
        Self { builtin, tongue, peso }
    }

    /// The rules of the type's voice form, root first.
    pub(super) fn rules(self, (min, max): (u32, Option<u32>)) -> (&'static str, String) {
        let lexicon = self.tongue.lexicon();
        let w = lexicon.words;
        let max = max.map(|m| m.to_string()).unwrap_or_default();
        let (name, rules) = match self.builtin {
            Builtin::Boolean(_) => {
                return (
                    "boolean",
                    format!("$boolean = $yes | $no;\n$yes = {};\n$no = {};\n", w.answers[0], w.answers[1]),
                );
            }
            Builtin::Digits => ("digits", format!("$digits = $digit<{min}-{max}>;\n")),
            Builtin::Date => ("date", w.date.to_owned()),
            Builtin::Currency(_) => ("currency", w.currency.to_owned()),
            Builtin::Number => ("number", w.number.to_owned()),
            Builtin::Phone => ("phone", w.phone.to_owned()),
            Builtin::Time => ("time", w.time.to_owned()),
        };
        let pairs = |rows: &'static [(&'static str, &'static str)]| rows.iter().map(|(w, _)| *w).collect();
        let lists: [(&str, Vec<&str>); 17] = [
            ("digit", lexicon.digits.keys().map(String::as_str).collect()),
            ("n", within(&lexicon.numbers, 0..100)),
            ("d", within(&lexicon.numbers, 1..32)),
            ("h", within(&lexicon.numbers, 0..25)),
            ("m", within(&lexicon.numbers, 0..60)),
            ("c", within(&lexicon.numbers, 100..1000)),
            ("n3", within(&lexicon.numbers, 0..1000)),
            ("nt", within(&lexicon.numbers, 1000..u64::MAX)),
            ("ordinal", lexicon.ordinals.keys().map(String::as_str).collect()),
            ("month", w.months.iter().flat_map(|m| m.split('/')).collect()),
            ("minus", w.minus.to_vec()),
            ("point", w.point.to_vec()),
            ("ext", w.extension.to_vec()),
            ("unit", pairs(w.units)),
            ("cent", pairs(w.cents)),
            ("half", w.halves.iter().map(|(w, _)| *w).collect()),
            ("twelve", w.noon.iter().chain(w.midnight).copied().collect()),
        ];
        let mut text = rules;
        if ["$cardinal", "$below"].iter().any(|rule| text.contains(rule)) {
            text.push_str(w.common);
        }
        for (rule, words) in lists {
            // A rule that nobody mentions need not be there.
            let named = text
                .match_indices(&format!("${rule}"))
                .any(|(at, m)| !text[at + m.len()..].starts_with(|c: char| c.is_alphanumeric()));
            if named {
                let words: BTreeSet<String> =
                    words.iter().flat_map(|w| both(w)).map(|w| phrase(&w)).collect();
                let words: Vec<String> = words.into_iter().collect();
                text.push_str(&format!("${rule} = {};\n", words.join(" | ")));
            }
        }
        (name, text)
    }

    /// The value of a rule, by its name.
    pub(in crate::grammar) fn value(self, matched: &Matched<'_>) -> Value {
        let lexicon = self.tongue.lexicon();
        let words = &matched.words;
        match matched.rule {
            "boolean" => Value::Bool(matched.inner.iter().any(|(rule, _)| *rule == "yes")),
            "digits" | "fraction" | "phone" => Value::String(lexicon.concatenated(words)),
            "number" => Value::String(self.number(matched)),
            "currency" => Value::String(self.currency(matched)),
            "date" => Value::String(date(matched)),
            "time" => Value::String(self.time(matched)),
            "whole" if lexicon.are_digits(words) => Value::String(lexicon.concatenated(words)),
            "whole" => Value::String(lexicon.number(words).to_string()),
            "month" => {
                let said = words.join(" ");
                let names = |m: &str| m.split('/').flat_map(both).any(|name| name == said);
                lexicon.words.months.iter().position(|m| names(m)).map_or(0, |n| n + 1).into()
            }
            "day" | "year" | "hour" | "minute" | "after" | "before" | "major" | "minor" | "ordermonth" => {
                lexicon.number(words).into()
            }
            _ => Value::String(words.join(" ")),
        }
    }

    fn number(self, matched: &Matched<'_>) -> String {
        let minus = matched.inner("minus").map_or("", |_| "-");
        let whole = matched.inner("whole").and_then(Value::as_str).unwrap_or("0");
        match matched.inner("fraction").and_then(Value::as_str) {
            Some(fraction) => format!("{minus}{whole}.{fraction}"),
            None => format!("{minus}{whole}"),
        }
    }

    fn currency(self, matched: &Matched<'_>) -> String {
        let words = self.tongue.lexicon().words;
        let code = |rows: &[(&str, &'static str)], rule: &str| {
            let said = matched.inner(rule).and_then(Value::as_str)?;
            rows.iter().find(|(w, _)| both(w).iter().any(|w| w == said)).map(|(_, code)| *code)
        };
        let dollar = if let Builtin::Currency(dollar) = self.builtin { dollar } else { Dollar::default() };
        let unit = match code(words.units, "unit").or_else(|| code(words.cents, "cent")) {
            Some("$") => dollar.code(),
            Some("P") => self.peso,
            Some(code) => code,
            None => "",
        };
        let number = |rule: &str| matched.inner(rule).and_then(Value::as_u64).unwrap_or(0);
        let major = number("major");
        match matched.inner("fraction").and_then(Value::as_str) {
            Some(fraction) => format!("{unit}{major}.{fraction:0<2}"),
            None => format!("{unit}{major}.{:02}", number("minor")),
        }
    }

    fn time(self, matched: &Matched<'_>) -> String {
        let words = self.tongue.lexicon().words;
        let says = |list: &[&str]| {
            list.iter()
                .any(|w| both(w).iter().any(|w| matched.inner("twelve").and_then(Value::as_str) == Some(w)))
        };
        let number = |rule: &str| matched.inner(rule).and_then(Value::as_u64);
        let half = matched.inner("half").and_then(Value::as_str);
        let half = half.and_then(|said| words.halves.iter().find(|(w, _)| both(w).iter().any(|w| w == said)));
        let half = half.map(|(_, half)| *half);
        let (noon, midnight) = (says(words.noon), says(words.midnight));
        let hour = if noon || midnight { 12 } else { number("hour").unwrap_or(0) };
        let early = number("before").unwrap_or(0) + if matched.inner("halfto").is_some() { 30 } else { 0 };
        let late = number("after").or_else(|| number("minute")).unwrap_or(0);
        let minutes = (hour + 24) * 60 + late - early.min(24 * 60);
        let (mut then, minute) = (minutes / 60 % 24, minutes % 60);
        if then == 0 && (1..=12).contains(&hour) {
            then = 12;
        }
        let mark = match half {
            _ if noon => {
                if early > 0 {
                    'a'
                } else {
                    'p'
                }
            }
            _ if midnight => {
                if early > 0 {
                    'p'
                } else {
                    'a'
                }
            }
            _ if then == 0 || then > 12 => 'h',
            Some('n') if then == 12 || then < 6 => 'a',
            Some('n') => 'p',
            Some(half) => half,
            None => '?',
        };
        if (noon || midnight) && early > 0 {
            then = 11;
        }
        format!("{then:02}{minute:02}{mark}")
    }
}

fn date(matched: &Matched<'_>) -> String {
    let number = |rule: &str| matched.inner(rule).and_then(Value::as_u64);
    let year = number("year").map_or_else(|| "????".to_owned(), |y| format!("{y:04}"));
    let two = |n: Option<u64>| n.map_or_else(|| "??".to_owned(), |n| format!("{n:02}"));
    format!("{year}{}{}", two(number("month").or_else(|| number("ordermonth"))), two(number("day")))
}

/// The phrases for numbers of a range.
fn within(numbers: &HashMap<String, u64>, range: std::ops::Range<u64>) -> Vec<&str> {
    numbers.iter().filter(|(_, n)| range.contains(n)).map(|(w, _)| w.as_str()).collect()
}

/// A word as it is, and as those write it who have no accents.
fn both(word: &str) -> Vec<String> {
    let plain = without_accents(word);
    if plain == word { vec![plain] } else { vec![word.to_owned(), plain] }
}

fn without_accents(word: &str) -> String {
    word.chars()
        .flat_map(|c| match c {
            'ä' => vec!['a', 'e'],
            'ö' => vec!['o', 'e'],
            'ü' => vec!['u', 'e'],
            'ß' => vec!['s', 's'],
            'á' | 'à' | 'â' => vec!['a'],
            'é' | 'è' | 'ê' => vec!['e'],
            'í' | 'î' => vec!['i'],
            'ó' | 'ô' => vec!['o'],
            'ú' | 'ù' | 'û' => vec!['u'],
            'ñ' => vec!['n'],
            'ç' => vec!['c'],
            c => vec![c],
        })
        .collect()
}

/// Words as ABNF has them.
fn phrase(words: &str) -> String {
    let each = words.split(' ').map(|w| format!("\"{w}\"")).collect::<Vec<_>>().join(" ");
    format!("({each})")
}

#[cfg(test)]
mod tests;
