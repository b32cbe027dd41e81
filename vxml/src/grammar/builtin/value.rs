//! From the words of a builtin's rules to its value (VoiceXML 2.0 appendix P).

use super::Builtin;
use serde_json::Value;

/// Words that turn an answer into no.
pub(super) const NEGATIVE: [&str; 9] =
    ["no", "nope", "nah", "wrong", "incorrect", "false", "negative", "not", "never"];

/// What a rule of a builtin grammar has matched.
pub(in crate::grammar) struct Matched<'m> {
    /// The rule.
    pub(in crate::grammar) rule: &'m str,
    /// Its words, in matching form.
    pub(in crate::grammar) words: Vec<String>,
    /// Rules within it and their values.
    pub(in crate::grammar) inner: Vec<(&'m str, &'m Value)>,
}

impl Builtin {
    /// The value of a rule: of the type for its root, a piece of it (a number or a string) for an inner rule.
    pub(in crate::grammar) fn value(self, voice: bool, matched: &Matched<'_>) -> Value {
        match (self, voice) {
            (Builtin::Boolean(answer), false) => {
                Value::Bool(matched.words.iter().any(|w| w.chars().eq(answer.yes.to_lowercase())))
            }
            (Builtin::Boolean(_), true) => {
                Value::Bool(!matched.words.iter().any(|w| NEGATIVE.contains(&w.as_str())))
            }
            (_, false) => Value::String(self.keys(&matched.words.concat())),
            (_, true) => self.phrase(matched),
        }
    }

    fn keys(self, keys: &str) -> String {
        match self {
            Builtin::Currency(_) => {
                let (whole, fraction) = keys.split_once('*').unwrap_or((keys, ""));
                format!("{}.{:0<2}", trimmed(whole), fraction)
            }
            Builtin::Number => match keys.split_once('*') {
                Some((whole, fraction)) => {
                    format!("{}.{fraction}", if whole.is_empty() { "0" } else { whole })
                }
                None => keys.to_owned(),
            },
            Builtin::Phone => keys.replace('*', "x"),
            Builtin::Time => {
                // There is no key for morning or afternoon: either hour may be meant up to twelve.
                let hour = number(&keys[..keys.len().min(2)]);
                format!("{keys}{}", if (1..=12).contains(&hour) { '?' } else { 'h' })
            }
            Builtin::Boolean(_) | Builtin::Date | Builtin::Digits => keys.to_owned(),
        }
    }

    fn phrase(self, matched: &Matched<'_>) -> Value {
        match matched.rule {
            "digits" => Value::String(spelled(&matched.words)),
            "number" => Value::String(matched.number()),
            "currency" => Value::String(matched.currency(self)),
            "phone" => Value::String(matched.phone()),
            "date" => Value::String(matched.date()),
            "time" => Value::String(matched.time()),
            "major" | "amount" => Value::String(matched.amount()),
            "month" => position(&MONTHS, &matched.words[0]).map_or(0, |n| n + 1).into(),
            "day" | "ordinal" | "tenday" | "past" | "hour" | "hours" | "minute" => {
                cardinal(&matched.words).into()
            }
            "year" => matched.year().into(),
            "minor" => cardinal(&matched.words).into(),
            "spelled" | "fraction" => Value::String(spelled(&matched.words)),
            _ => Value::String(matched.words.join(" ")),
        }
    }
}

impl Matched<'_> {
    fn says(&self, word: &str) -> bool {
        self.words.iter().any(|w| w == word)
    }

    pub(super) fn inner(&self, rule: &str) -> Option<&Value> {
        self.inner.iter().rev().find(|(name, _)| *name == rule).map(|(_, value)| *value)
    }

    fn inner_number(&self, rule: &str) -> Option<u64> {
        self.inner(rule).and_then(Value::as_u64)
    }

    fn inner_text(&self, rule: &str) -> &str {
        self.inner(rule).and_then(Value::as_str).unwrap_or_default()
    }

    fn number(&self) -> String {
        let negative = self.words.first().is_some_and(|w| w == "minus" || w == "negative");
        let signed =
            usize::from(matches!(self.words[0].as_str(), "minus" | "negative" | "plus" | "positive"));
        let point = self.words.iter().position(|w| w == "point" || w == "dot").unwrap_or(self.words.len());
        let whole = &self.words[signed..point];
        let digits = whole.len() > 1 && whole.iter().all(|w| digit(w).is_some());
        let whole = if digits { spelled(whole) } else { cardinal(whole).to_string() };
        let fraction = self.words.get(point + 1..).map(spelled).unwrap_or_default();
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{}{whole}{point}{fraction}", if negative { "-" } else { "" })
    }

    fn currency(&self, builtin: Builtin) -> String {
        let dollar = match builtin {
            Builtin::Currency(dollar) => dollar.code(),
            _ => "",
        };
        let said = |words: &[&str]| words.iter().any(|w| self.says(w));
        let unit = if said(&["euro", "euros"]) {
            "EUR"
        } else if said(&["pound", "pounds", "pence", "p"]) {
            "GBP"
        } else if said(&["yen"]) {
            "JPY"
        } else if said(&["dollar", "dollars", "buck", "bucks", "cent", "cents", "penny", "pennies"]) {
            dollar
        } else {
            ""
        };
        if self.inner("amount").is_some() {
            return self.inner_text("amount").to_owned();
        }
        let major = self.inner_text("major").split('.').next().unwrap_or_default();
        let minor = self.inner_number("minor").unwrap_or(0);
        format!("{unit}{}.{minor:02}", trimmed(major))
    }

    /// `n` or `n point d d`, as `n.dd`.
    fn amount(&self) -> String {
        let point = self.words.iter().position(|w| w == "point" || w == "dot").unwrap_or(self.words.len());
        let cents = self.words.get(point + 1..).map(spelled).unwrap_or_default();
        format!("{}.{cents:0<2}", cardinal(&self.words[..point]))
    }

    fn phone(&self) -> String {
        let mut out = String::new();
        for word in &self.words {
            match word.as_str() {
                "hundred" => out.push_str("00"),
                "extension" | "ext" | "x" => out.push('x'),
                other => out.extend(digit(other)),
            }
        }
        out
    }

    fn date(&self) -> String {
        let year = self.inner_number("year").map_or_else(|| "????".to_owned(), |y| format!("{y:04}"));
        let two = |n: Option<u64>| n.map_or_else(|| "??".to_owned(), |n| format!("{n:02}"));
        let day = self.inner_number("day").or(self.inner_number("ordinal"));
        format!("{year}{}{}", two(self.inner_number("month")), two(day))
    }

    fn year(&self) -> u64 {
        if self.inner("millennium").is_some() {
            return cardinal(&self.words);
        }
        let twenty_one = self.inner_text("century").ends_with("one");
        let (century, rest) = self.words.split_at(if twenty_one { 2 } else { 1 });
        let rest = if rest[0] == "hundred" { 0 } else { cardinal(rest) };
        cardinal(century) * 100 + rest
    }

    fn time(&self) -> String {
        let at = |hour: u64, minute: u64, half: char| format!("{hour:02}{minute:02}{half}");
        if self.says("noon") || self.says("midday") {
            return at(12, 0, 'p');
        }
        if self.says("midnight") {
            return at(12, 0, 'a');
        }
        let half = match self.inner_text("half") {
            "" => '?',
            "am" | "a.m." | "a m" | "in the morning" => 'a',
            _ => 'p',
        };
        let (hour, minute) = self.hour_and_minute();
        let military = self.inner("military").is_some();
        // A zero hour or one past twelve is said by the 24-hour clock only.
        at(hour, minute, if military { 'h' } else { half })
    }

    fn hour_and_minute(&self) -> (u64, u64) {
        if self.inner("military").is_some() {
            let words: Vec<String> =
                self.words.iter().filter(|w| *w != "hundred" && *w != "hours").cloned().collect();
            return self.military(&words);
        }
        let words = &self.words;
        let Some(turn) = words.iter().position(|w| matches!(w.as_str(), "past" | "to" | "till" | "before"))
        else {
            return clock(words);
        };
        let minutes = match words[turn - 1].as_str() {
            "half" => 30,
            "quarter" => 15,
            _ => cardinal(&words[..turn]),
        };
        let hour = cardinal(&words[turn + 1..turn + 2]);
        match words[turn].as_str() {
            "past" => (hour, minutes),
            _ => (if hour == 1 { 12 } else { hour - 1 }, 60 - minutes),
        }
    }

    fn military(&self, words: &[String]) -> (u64, u64) {
        let hundred = self.says("hundred");
        // The hour takes what the grammar's $hours takes: "zero zero", "oh five", "twenty three", "thirteen".
        let takes = match (words[0].as_str(), words.get(1).map(String::as_str)) {
            (w, Some(second)) if digit(w) == Some('0') => {
                let pair = digit(second).is_some() && (hundred || words.len() > 2);
                if pair { 2 } else { 1 }
            }
            ("twenty", Some("one" | "two" | "three")) => 2,
            _ => 1,
        };
        let rest = &words[takes..];
        (cardinal(&words[..takes]), if rest.is_empty() { 0 } else { cardinal(rest) })
    }
}

/// `six thirty`, `six oh five`, `six o'clock`, each perhaps with its half of the day.
fn clock(words: &[String]) -> (u64, u64) {
    let minutes: Vec<String> =
        words[1..].iter().take_while(|w| numeral(w).is_some() || digit(w).is_some()).cloned().collect();
    (cardinal(&words[..1]), if minutes.is_empty() { 0 } else { cardinal(&minutes) })
}

/// Digits said one by one.
fn spelled(words: &[String]) -> String {
    words.iter().filter_map(|w| digit(w)).collect()
}

fn digit(word: &str) -> Option<char> {
    match word {
        "zero" | "oh" | "o" | "nought" => Some('0'),
        _ if word.len() == 1 => word.chars().next().filter(char::is_ascii_digit),
        _ => position(&SMALL, word)
            .filter(|n| *n < 10)
            .and_then(|n| char::from_digit(u32::try_from(n).ok()?, 10)),
    }
}

/// The number that words name: cardinals, ordinals below a hundred; other words do not count.
fn cardinal(words: &[String]) -> u64 {
    let (mut total, mut part) = (0_u64, 0_u64);
    for word in words {
        match word.as_str() {
            "hundred" => part = part.max(1) * 100,
            "thousand" => (total, part) = (total + part.max(1) * 1_000, 0),
            "million" => (total, part) = (total + part.max(1) * 1_000_000, 0),
            "billion" => (total, part) = (total + part.max(1) * 1_000_000_000, 0),
            other => part += numeral(other).unwrap_or(0),
        }
    }
    total + part
}

fn numeral(word: &str) -> Option<u64> {
    if let Some(n) = position(&SMALL, word) {
        return Some(n);
    }
    if let Some(n) = position(&TENS, word) {
        return Some(n * 10 + 20);
    }
    if let Some(n) = position(&ORDINALS, word) {
        return Some(n + 1);
    }
    match word {
        "twentieth" => Some(20),
        "thirtieth" => Some(30),
        _ => None,
    }
}

fn position(names: &[&str], word: &str) -> Option<u64> {
    names.iter().position(|n| *n == word).and_then(|n| u64::try_from(n).ok())
}

fn number(keys: &str) -> u64 {
    keys.parse().unwrap_or(0)
}

/// Without leading zeros, but never nothing.
fn trimmed(digits: &str) -> &str {
    match digits.trim_start_matches('0') {
        "" => "0",
        rest => rest,
    }
}

const SMALL: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
const ORDINALS: [&str; 19] = [
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
