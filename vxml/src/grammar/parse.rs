//! What matched: the logical parse structure of SRGS 1.0 appendix H, as a flat list of events.

use super::error::MatchError;
use super::limits::Limit;
use super::matcher::{Back, Matcher};
use super::model::Mode;
use super::network::{Label, NO_TOKEN, Network, index};
use std::fmt;
use std::sync::Arc;

/// A parsed utterance. Flat, so that no nesting can exhaust a stack.
#[derive(Clone, PartialEq, Eq)]
pub struct Parse {
    /// Rules entered and left, tokens and tags, in order.
    pub events: Vec<ParseEvent>,
    /// The words as given.
    pub words: Vec<Box<str>>,
    /// -ln of the weights taken, in 1/1024.
    pub weight: u64,
    /// Words or keys.
    pub mode: Mode,
}

/// One event of a parse.
#[derive(Clone, PartialEq, Eq)]
pub enum ParseEvent {
    /// A rule begins.
    Open {
        /// The rule's name.
        rule: Arc<str>,
        /// The URI by which it was referred to, if by one.
        uri: Option<Arc<str>>,
        /// The document it belongs to: index within the network.
        source: u32,
        /// Position, in words.
        at: u32,
    },
    /// A token, in the grammar's spelling.
    Token {
        /// The token.
        text: Arc<str>,
        /// Its first word.
        from: u32,
        /// One past its last word.
        to: u32,
    },
    /// A word taken by `$GARBAGE`; not part of the logical parse structure.
    Garbage {
        /// The word.
        at: u32,
    },
    /// A tag.
    Tag {
        /// Its content.
        text: Arc<str>,
    },
    /// The innermost open rule ends.
    Close {
        /// Position, in words.
        at: u32,
    },
}

impl Parse {
    /// The utterance: words with single spaces, keys without (VoiceXML 2.0 §5.1.5).
    #[must_use]
    pub fn utterance(&self) -> String {
        self.words.join(self.separator())
    }

    pub(super) fn separator(&self) -> &'static str {
        match self.mode {
            Mode::Voice => " ",
            Mode::Dtmf => "",
        }
    }

    /// SRGS 1.0 appendix H: `$rule["token",{!{tag}!}]`.
    #[must_use]
    pub fn logical_structure(&self) -> String {
        let mut out = String::new();
        let mut first = true;
        for event in &self.events {
            let closes = matches!(event, ParseEvent::Close { .. });
            if !first && !closes && !matches!(event, ParseEvent::Garbage { .. }) {
                out.push(',');
            }
            match event {
                ParseEvent::Open { rule, uri, .. } => {
                    out.push('$');
                    match uri {
                        Some(uri) => out.extend(["<", uri, ">"]),
                        None => out.push_str(rule),
                    }
                    out.push('[');
                    first = true;
                    continue;
                }
                ParseEvent::Token { text, .. } => out.extend(["\"", text, "\""]),
                ParseEvent::Tag { text } => out.extend(["{!{", text, "}!}"]),
                ParseEvent::Garbage { .. } => continue,
                ParseEvent::Close { .. } => out.push(']'),
            }
            first = false;
        }
        out
    }
}

impl fmt::Debug for Parse {
    // What was said is private.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parse").field("events", &self.events.len()).finish_non_exhaustive()
    }
}

/// Walks the back pointers of a completed item. Backwards, so the events are turned round at the end.
pub(super) fn extract(matcher: &Matcher, net: &Network, complete: u32) -> Result<Parse, MatchError> {
    let mut events = Vec::new();
    let top = Step { item: complete, call: None };
    let mut stack = vec![top];
    // The end of the token that is being read backwards.
    let mut token: Option<(u32, u32)> = None;
    events.push(ParseEvent::Close { at: matcher.position(complete) });
    while let Some(step) = stack.last_mut() {
        if events.len() >= net.limits.parse_max {
            return Err(MatchError(Limit::Parse));
        }
        let at = step.item;
        match matcher.items[index(at)].back {
            Back::Start => {
                let call = step.call;
                stack.pop();
                events.push(open(net, matcher, at, call));
            }
            Back::Step { from, transition } => {
                step.item = from;
                match net.transitions[index(transition)].label {
                    Label::Word { token: id, .. } => {
                        let end = matcher.position(at);
                        if id != NO_TOKEN {
                            token = Some((id, end));
                        }
                        let (id, to) = token.expect("a token ends before its words are read backwards");
                        // Only the first word of a token has something else before it.
                        if begins(matcher, net, from) {
                            let text = net.tokens[index(id)].clone();
                            events.push(ParseEvent::Token { text, from: end - 1, to });
                        }
                    }
                    Label::Any => events.push(ParseEvent::Garbage { at: matcher.position(from) }),
                    Label::Tag(tag) => events.push(ParseEvent::Tag { text: net.tags[index(tag)].clone() }),
                    Label::Free | Label::Call { .. } => {}
                }
            }
            Back::Call { from, transition, inner } => {
                step.item = from;
                events.push(ParseEvent::Close { at: matcher.position(inner) });
                let label = match net.transitions[index(transition)].label {
                    Label::Call { label, .. } => label,
                    _ => NO_TOKEN,
                };
                stack.push(Step { item: inner, call: Some(label) });
            }
        }
    }
    events.reverse();
    let weight = matcher.items[index(complete)].cost >> 24;
    Ok(Parse { events, words: matcher.words.clone(), weight, mode: net.mode })
}

struct Step {
    item: u32,
    call: Option<u32>,
}

/// Whether the item is not within a token of several words.
fn begins(matcher: &Matcher, net: &Network, item: u32) -> bool {
    match matcher.items[index(item)].back {
        Back::Step { transition, .. } => {
            !matches!(net.transitions[index(transition)].label, Label::Word { token: NO_TOKEN, .. })
        }
        Back::Start | Back::Call { .. } => true,
    }
}

fn open(net: &Network, matcher: &Matcher, item: u32, call: Option<u32>) -> ParseEvent {
    let state = matcher.items[index(item)].state;
    let subnet = &net.subnets[index(net.states[index(state)].subnet)];
    let uri = call.filter(|&label| label != NO_TOKEN).map(|label| net.labels[index(label)].clone());
    ParseEvent::Open { rule: subnet.name.clone(), uri, source: subnet.source, at: matcher.position(item) }
}
