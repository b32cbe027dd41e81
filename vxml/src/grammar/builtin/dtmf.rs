//! Builtin types as keys.

use super::Builtin;
use crate::grammar::model::{Grammar, Mode, Node, TagFormat};

pub(super) fn grammar(builtin: Builtin, (min, max): (u32, Option<u32>), lang: &str) -> Grammar {
    let (name, expansion) = match builtin {
        Builtin::Boolean(answer) => ("boolean", one_of([answer.yes, answer.no])),
        Builtin::Date => ("date", Node::Sequence(vec![digits(4, Some(4)), month(), day()])),
        Builtin::Digits => ("digits", digits(min, max)),
        // VoiceXML 2.0 appendix P: the star is the decimal point.
        Builtin::Currency(_) => ("currency", decimal(digits(1, Some(2)))),
        Builtin::Number => ("number", decimal(digits(1, None))),
        // The star is the x before an extension.
        Builtin::Phone => {
            let extension = Node::optional(Node::Sequence(vec![Node::token("*"), digits(1, None)]));
            ("phone", Node::Sequence(vec![digits(1, None), extension]))
        }
        Builtin::Time => ("time", Node::Sequence(vec![hour(), one_of('0'..='5'), digits(1, Some(1))])),
    };
    Grammar::made(Mode::Dtmf, lang, name, TagFormat::Builtin(builtin), expansion)
}

fn one_of(keys: impl IntoIterator<Item = char>) -> Node {
    Node::OneOf(keys.into_iter().map(|c| (None, Node::token(c.encode_utf8(&mut [0; 4])))).collect())
}

fn digits(min: u32, max: Option<u32>) -> Node {
    Node::repeat(one_of('0'..='9'), min, max, None)
}

/// Either a first digit of the first set with a second of the second, or so of the others.
fn pair(choices: &[(&str, &str)]) -> Node {
    let both = |(first, second): &(&str, &str)| {
        (None, Node::Sequence(vec![one_of(first.chars()), one_of(second.chars())]))
    };
    Node::OneOf(choices.iter().map(both).collect())
}

fn month() -> Node {
    pair(&[("0", "123456789"), ("1", "012")])
}

fn day() -> Node {
    pair(&[("0", "123456789"), ("12", "0123456789"), ("3", "01")])
}

fn hour() -> Node {
    pair(&[("01", "0123456789"), ("2", "0123")])
}

/// Digits, then perhaps a point and a fraction; or only point and fraction.
fn decimal(fraction: Node) -> Node {
    let point = |fraction| Node::Sequence(vec![Node::token("*"), fraction]);
    let whole = Node::Sequence(vec![digits(1, None), Node::optional(point(fraction.clone()))]);
    Node::OneOf(vec![(None, whole), (None, point(fraction))])
}
