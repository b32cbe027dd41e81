//! What is wrong with a configuration file, told so that it can be put right: file, line, and what was probably meant.

use std::fmt;

/// One complaint.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// File as it was named.
    pub file: String,
    /// Line, from 1; 0 where the complaint is about no single line.
    pub line: usize,
    /// What.
    pub fault: Fault,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The TOML reader or a value's reader said so; unknown keys come by here too.
    Toml(Box<toml::de::Error>),
    /// A key that is needed is missing or empty.
    Missing(&'static str),
    /// Two entries of one kind share a name.
    Twice(&'static str, Box<str>),
    /// A name that stands nowhere else: kind and name, and those that exist.
    NoSuch(&'static str, Box<str>, Vec<String>),
    /// A value outside its range: key and what is allowed.
    Range(&'static str, &'static str),
    /// A rule set that cannot be used: what is wrong with it.
    Rules(Box<str>),
    /// Contradiction between two keys.
    Against(&'static str, &'static str),
}

impl Problem {
    /// What was probably meant, if one can guess.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match &self.fault {
            Fault::Toml(error) => unknown_hint(error.message()),
            Fault::NoSuch(_, name, known) => nearest(name, known.iter().map(String::as_str)),
            _ => None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.fault)?;
        if let Some(hint) = self.hint() {
            write!(f, " (did you mean `{hint}`?)")?;
        }
        Ok(())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Toml(error) => f.write_str(error.message().trim()),
            Fault::Missing(key) => write!(f, "`{key}` is missing"),
            Fault::Twice(kind, name) => write!(f, "two {kind} are called `{name}`"),
            Fault::NoSuch(kind, name, _) => write!(f, "there is no {kind} called `{name}`"),
            Fault::Range(key, allowed) => write!(f, "`{key}` must be {allowed}"),
            Fault::Rules(why) => write!(f, "the rule set cannot be used: {why}"),
            Fault::Against(key, why) => write!(f, "`{key}`: {why}"),
        }
    }
}

impl std::error::Error for Problem {}

/// Reads the unknown and the expected names out of serde's sentence and picks the nearest.
fn unknown_hint(message: &str) -> Option<String> {
    let rest = message.strip_prefix("unknown field ").or_else(|| message.strip_prefix("unknown variant "))?;
    let mut names = rest.split('`').skip(1).step_by(2);
    let wrong = names.next()?;
    nearest(wrong, names)
}

/// The candidate within an edit distance of a third of the word, at least 2.
fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let allowed = (wrong.chars().count() / 3).max(2);
    known.map(|k| (distance(wrong, k), k)).filter(|&(d, _)| d <= allowed).min().map(|(_, k)| k.to_owned())
}

/// Levenshtein distance; both words are short (keys).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let change = corner + usize::from(ca != *cb);
            corner = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_suggested() {
        let check = |wrong: &str, known: &[&str], want: Option<&str>| {
            assert_eq!(nearest(wrong, known.iter().copied()).as_deref(), want);
        };
        check("lissten", &["listen", "name"], Some("listen"));
        check("zzz", &["listen", "name"], None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
