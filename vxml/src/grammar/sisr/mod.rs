//! Semantic Interpretation for Speech Recognition 1.0: from a parse to a value.
//!
//! Literals, builtins, rules without tags and the plain assignments that most grammars consist of are computed here.
//! Whatever is more ECMAScript than that becomes one self-contained program (an expression) for the sandboxed engine,
//! which is an [`Evaluator`]; so a session whose grammars are plain never needs an engine.
//!
//! In a program every rule instance is a function with `out`, `rules` (`latest()`, by name) and `meta` (`current()`,
//! `latest()`, by name, each `text` and `score`); a tag is a direct `eval` in it, so that `var` lasts to the end of the
//! rule and a syntax error is an exception of that tag. Header tags run once per grammar, around its rules.
//!
//! Grammars without `tag-format` are read forgivingly: `'text'` is the string; `var a='x'; b.c=1;` makes an object of the
//! names (as the W3C's VoiceXML tests expect); what mentions `out` is a script; any other text is itself the value.

mod native;
mod script;

use super::builtin::Matched;
use super::model::{Mode, TagFormat};
use super::network::{Network, index, matching_form};
use super::parse::{Parse, ParseEvent};
use serde_json::{Map, Value};
use std::fmt;
use std::sync::Arc;

/// Runs ECMAScript in a sandbox: one program, no state kept, non-strict.
pub trait Evaluator {
    /// What the engine says when it fails.
    type Error;

    /// Evaluates an expression and gives its value as JSON; `undefined` and functions as null.
    ///
    /// # Errors
    /// The program threw, or was stopped.
    fn evaluate(&mut self, program: &str) -> Result<Value, Self::Error>;
}

/// What a parse means, as far as it can be known without an engine.
#[derive(Clone, Debug, PartialEq)]
pub enum Semantics {
    /// The value.
    Value(Value),
    /// A program whose value it is.
    Script(String),
}

/// Semantics failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SisrError<E> {
    /// The engine did.
    Engine(E),
}

impl<E: fmt::Display> fmt::Display for SisrError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SisrError::Engine(error) => write!(f, "semantic interpretation: {error}"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for SisrError<E> {}

/// The value of a parse. `score` (0 ..= 1) is what `meta` tells of the recogniser's confidence.
///
/// # Errors
/// The engine's.
pub fn interpret<E: Evaluator>(
    parse: &Parse,
    net: &Network,
    score: f32,
    evaluator: &mut E,
) -> Result<Value, SisrError<E::Error>> {
    match semantics(parse, net, score) {
        Semantics::Value(value) => Ok(value),
        Semantics::Script(program) => evaluator.evaluate(&program).map_err(SisrError::Engine),
    }
}

/// The value of a parse, or the program that computes it.
#[must_use]
pub fn semantics(parse: &Parse, net: &Network, score: f32) -> Semantics {
    if says_nothing(parse, net) {
        // VoiceXML 2.0 §3.1.6: where a grammar interprets nothing, what was said or pressed is the result.
        return Semantics::Value(Value::String(
            parse.text(0, u32::try_from(parse.words.len()).unwrap_or(u32::MAX)),
        ));
    }
    let mut walk = Walk { parse, net, open: Vec::new(), program: script::Program::new(score), result: None };
    for event in &parse.events {
        walk.event(event);
    }
    match walk.result {
        Some(Computed::Value(value)) => Semantics::Value(value),
        Some(Computed::Slot(slot)) => Semantics::Script(walk.program.finish(slot)),
        None => Semantics::Value(Value::Null),
    }
}

/// No tag ran, no builtin took part, and the grammar declares no `tag-format` whose defaults would hold.
fn says_nothing(parse: &Parse, net: &Network) -> bool {
    parse.events.iter().all(|event| match event {
        ParseEvent::Tag { .. } => false,
        ParseEvent::Open { source, .. } => net.sources[index(*source)].format == TagFormat::Default,
        _ => true,
    })
}

/// A rule's value: known, or a variable of the program.
#[derive(Clone, Debug)]
enum Computed {
    Value(Value),
    Slot(usize),
}

/// What happened within a rule.
#[derive(Clone, Debug)]
enum Act {
    /// A tag ran when the rule had matched `text`.
    Tag { code: Arc<str>, text: String },
    /// Another rule matched.
    Child { rule: Arc<str>, value: Computed, text: String },
}

struct Frame {
    rule: Arc<str>,
    source: u32,
    from: u32,
    /// How far the rule has got.
    to: u32,
    acts: Vec<Act>,
}

struct Walk<'p> {
    parse: &'p Parse,
    net: &'p Network,
    open: Vec<Frame>,
    program: script::Program,
    result: Option<Computed>,
}

impl Walk<'_> {
    fn event(&mut self, event: &ParseEvent) {
        match event {
            ParseEvent::Open { rule, source, at, .. } => {
                self.open.push(Frame {
                    rule: rule.clone(),
                    source: *source,
                    from: *at,
                    to: *at,
                    acts: Vec::new(),
                });
            }
            ParseEvent::Close { .. } => self.close(),
            ParseEvent::Token { to, .. } => self.advance(*to),
            ParseEvent::Garbage { at } => self.advance(at + 1),
            ParseEvent::Tag { text: code } => {
                if let Some(frame) = self.open.last() {
                    let text = self.parse.text(frame.from, frame.to);
                    self.act(Act::Tag { code: code.clone(), text });
                }
            }
        }
    }

    fn advance(&mut self, to: u32) {
        if let Some(frame) = self.open.last_mut() {
            frame.to = to;
        }
    }

    fn act(&mut self, act: Act) {
        if let Some(frame) = self.open.last_mut() {
            frame.acts.push(act);
        }
    }

    fn close(&mut self) {
        let Some(frame) = self.open.pop() else { return };
        let text = self.parse.text(frame.from, frame.to);
        let value = self.compute(&frame, &text);
        if self.open.is_empty() {
            self.result = Some(value);
            return;
        }
        self.advance(frame.to);
        self.act(Act::Child { rule: frame.rule, value, text });
    }

    fn compute(&mut self, frame: &Frame, text: &str) -> Computed {
        let source = &self.net.sources[index(frame.source)];
        if matches!(source.format, TagFormat::Builtin(_) | TagFormat::Spoken(_)) {
            let words = &self.parse.words[index(frame.from)..index(frame.to)];
            let inner = frame.acts.iter().filter_map(|a| match a {
                Act::Child { rule, value: Computed::Value(value), .. } => Some((&**rule, value)),
                _ => None,
            });
            let words = words.iter().map(|w| matching_form(w)).collect();
            let matched = Matched { rule: &frame.rule, words, inner: inner.collect() };
            return Computed::Value(match source.format {
                TagFormat::Spoken(spoken) => spoken.value(&matched),
                TagFormat::Builtin(builtin) => builtin.value(self.parse.mode == Mode::Voice, &matched),
                _ => Value::Null,
            });
        }
        let tags = || {
            frame.acts.iter().filter_map(|a| if let Act::Tag { code, .. } = a { Some(code) } else { None })
        };
        let Some(last) = tags().next_back() else {
            // SISR 1.0 §4: without tags a rule's value is that of the last rule it refers to, or else its words.
            let child = frame.acts.iter().rev().find_map(|a| match a {
                Act::Child { value, .. } => Some(value.clone()),
                Act::Tag { .. } => None,
            });
            return child.unwrap_or_else(|| Computed::Value(Value::String(text.to_owned())));
        };
        let plain = match source.format {
            TagFormat::Literals => Some(Value::String(last.to_string())),
            TagFormat::Script if source.header_tags.is_empty() => native::run(&frame.acts, Map::new(), false),
            TagFormat::Script => None,
            TagFormat::Default | TagFormat::Builtin(_) | TagFormat::Spoken(_) => {
                native::forgiving(&frame.acts)
            }
        };
        match plain {
            Some(value) => Computed::Value(value),
            None => {
                let mut acts = frame.acts.clone();
                if let Some((before, after)) =
                    native::collect(&acts).filter(|_| source.format == TagFormat::Default)
                {
                    acts.insert(0, Act::Tag { code: before.into(), text: String::new() });
                    acts.push(Act::Tag { code: after.into(), text: text.to_owned() });
                }
                Computed::Slot(self.program.rule(frame.source, &source.header_tags, &acts))
            }
        }
    }
}

impl Parse {
    /// Words of a range as text: digits together, words with spaces.
    fn text(&self, from: u32, to: u32) -> String {
        self.words[index(from)..index(to)].join(self.separator())
    }
}
