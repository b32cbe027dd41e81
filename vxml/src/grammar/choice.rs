//! Grammars made of a document's own words: `<option>`, `<choice>`, and what `accept="approximate"` allows
//! (VoiceXML 2.0 §2.2.5, §2.3.1.3).

use super::compile::check_dtmf;
use super::error::{Fault, GrammarError};
use super::limits::{Limit, Limits};
use super::model::{Grammar, Mode, Node, TagFormat, fold_space};

/// One `<option>` or `<choice>`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choice<'a> {
    /// What is said; punctuation at the ends of words does not count.
    pub text: &'a str,
    /// Keys, with or without spaces.
    pub dtmf: &'a str,
    /// The value it stands for; empty: the text, or else the keys.
    pub value: &'a str,
    /// `accept="approximate"`: any of the words, in order, will do.
    pub approximate: bool,
}

impl Grammar {
    /// The voice or DTMF grammar of a list of options; its value is the chosen option's. Options without text (or
    /// keys) are left out; `None` when nothing is left.
    ///
    /// # Errors
    /// Keys that do not exist, or limits.
    pub fn from_options(
        options: &[Choice<'_>],
        mode: Mode,
        lang: &str,
        limits: &Limits,
    ) -> Result<Option<Self>, GrammarError> {
        let mut nodes = Vec::with_capacity(options.len());
        let mut count = 0;
        for option in options {
            let phrase = match mode {
                Mode::Voice => voice(option.text, option.approximate, limits)?,
                Mode::Dtmf => keys(option.dtmf)?,
            };
            let Some((size, phrase)) = phrase else { continue };
            count += size;
            if count > limits.nodes_max {
                return Err(Fault::TooLarge(Limit::Nodes).into());
            }
            let value = [option.value.to_owned(), fold_space(option.text), option.dtmf.to_owned()];
            let value = value.into_iter().find(|v| !v.is_empty()).unwrap_or_default();
            nodes.push((None, Node::Sequence(vec![phrase, Node::Tag(value.into())])));
        }
        let made = |nodes| Self::made(mode, lang, "option", TagFormat::Literals, Node::OneOf(nodes));
        Ok((!nodes.is_empty()).then(|| made(nodes)))
    }

    /// The voice grammar of one `<choice>`'s or `<option>`'s words; its value is its text. `None` without words.
    ///
    /// # Errors
    /// Limits.
    pub fn from_choice_text(
        text: &str,
        approximate: bool,
        lang: &str,
        limits: &Limits,
    ) -> Result<Option<Self>, GrammarError> {
        let choice = Choice { text, approximate, ..Choice::default() };
        Self::from_options(&[choice], Mode::Voice, lang, limits)
    }

    /// The DTMF grammar of a `dtmf` attribute; its value is the keys.
    ///
    /// # Errors
    /// Keys that do not exist.
    pub fn from_dtmf(keys: &str) -> Result<Option<Self>, GrammarError> {
        let choice = Choice { dtmf: keys, ..Choice::default() };
        Self::from_options(&[choice], Mode::Dtmf, "", &Limits::default())
    }
}

fn keys(dtmf: &str) -> Result<Option<(usize, Node)>, GrammarError> {
    let folded = fold_space(dtmf);
    if folded.is_empty() {
        return Ok(None);
    }
    let node = check_dtmf(Mode::Dtmf, &folded)?;
    Ok(node.map(|node| (folded.len(), node)))
}

fn voice(text: &str, approximate: bool, limits: &Limits) -> Result<Option<(usize, Node)>, GrammarError> {
    if text.len() > limits.text_max {
        return Err(Fault::TooLarge(Limit::Text).into());
    }
    let bare = |word: &str| word.trim_matches(|c: char| c.is_ascii_punctuation() && c != '\'').to_lowercase();
    let words: Vec<String> = text.split_whitespace().map(bare).filter(|w| !w.is_empty()).collect();
    let token = |word: &String| Node::token(word);
    match words.len() {
        0 => Ok(None),
        n if !approximate || n == 1 => Ok(Some((n, Node::sequence(words.iter().map(token).collect())))),
        n if n > APPROXIMATE_WORDS_MAX => Err(Fault::TooLarge(Limit::Nodes).into()),
        n => {
            // Every non-empty subset in order: begin at any word, then each later one may be said.
            let from = |first: usize| {
                let rest = words[first + 1..].iter().map(|w| Node::optional(token(w)));
                (None, Node::sequence(std::iter::once(token(&words[first])).chain(rest).collect()))
            };
            Ok(Some((n * n, Node::OneOf((0..n).map(from).collect()))))
        }
    }
}

/// Words of an approximate phrase: its grammar grows with their square.
const APPROXIMATE_WORDS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::super::{Network, match_words, sisr};
    use super::*;
    use std::sync::Arc;

    fn check(choice: Choice<'_>, mode: Mode, said: &str, expected: Option<&str>) {
        let limits = Limits::default();
        let grammar =
            Grammar::from_options(&[choice], mode, "en", &limits).expect("legal").expect("not empty");
        let net = Arc::new(Network::compile(&grammar, &|_| None, &limits).expect("compiles"));
        let parse = match_words(&net, said.split(' ')).expect("within limits");
        let value = parse.map(|p| sisr::semantics(&p, &net, 1.0));
        assert_eq!(value, expected.map(|v| sisr::Semantics::Value(v.into())), "{said}");
    }

    #[test]
    fn vxml_2_2_5_exact_takes_the_whole_phrase() {
        let news = Choice { text: "Stargazer astrophysics news.", value: "n", ..Choice::default() };
        check(news, Mode::Voice, "stargazer astrophysics news", Some("n"));
        check(news, Mode::Voice, "stargazer news", None);
        check(news, Mode::Voice, "news", None);
    }

    #[test]
    fn vxml_2_2_5_approximate_takes_words_in_order() {
        let news = Choice { text: "Stargazer astrophysics news", approximate: true, ..Choice::default() };
        for said in ["stargazer", "astrophysics", "news", "stargazer news", "stargazer astrophysics news"] {
            check(news, Mode::Voice, said, Some("Stargazer astrophysics news"));
        }
        check(news, Mode::Voice, "news stargazer", None);
        check(news, Mode::Voice, "other", None);
    }

    #[test]
    fn vxml_2_3_1_3_option_values() {
        check(Choice { text: " a  b ", dtmf: "1", ..Choice::default() }, Mode::Dtmf, "1", Some("a b"));
        check(Choice { dtmf: "1 #", ..Choice::default() }, Mode::Dtmf, "1 #", Some("1 #"));
        check(Choice { dtmf: "12", value: "x", ..Choice::default() }, Mode::Dtmf, "1 2", Some("x"));
        check(Choice { dtmf: "12", value: "x", ..Choice::default() }, Mode::Dtmf, "1", None);
        assert!(Grammar::from_dtmf("1e").is_err());
        assert!(
            Grammar::from_choice_text(" ... ", false, "en", &Limits::default()).expect("legal").is_none()
        );
    }
}
