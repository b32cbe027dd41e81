//! The weighted network a grammar is compiled to: what the matcher runs and what a recogniser is given.
//!
//! It is a recursive transition network: one subnet per rule, with a start and an accepting state; a reference is a
//! transition that calls another subnet, so recursion costs nothing until it is used. Costs are negative logarithms,
//! never negative themselves: 0 is the best. Alternatives without weights cost nothing; among equals the one that
//! stands first in the document wins, by a second component of the cost that no weight can outvote.

use super::builtin;
use super::compile::Compiler;
use super::error::GrammarError;
use super::limits::Limits;
use super::model::{Grammar, Mode, Rule, RuleRef, TagFormat};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// A compiled grammar with everything it refers to. Immutable; shared by all sessions.
#[derive(Default)]
pub struct Network {
    pub(super) mode: Mode,
    pub(super) lang: Box<str>,
    pub(super) limits: Limits,
    pub(super) subnets: Vec<Subnet>,
    pub(super) states: Vec<State>,
    pub(super) transitions: Vec<Transition>,
    /// Words in matching form.
    pub(super) words: Vec<Box<str>>,
    pub(super) word_ids: HashMap<Box<str>, u32>,
    /// Tokens in the grammar's spelling.
    pub(super) tokens: Vec<Arc<str>>,
    pub(super) tags: Vec<Arc<str>>,
    /// URIs by which subnets of other grammars are called.
    pub(super) labels: Vec<Arc<str>>,
    pub(super) sources: Vec<Source>,
    /// Which subnet a reference of a document calls, and under which label.
    pub(super) links: HashMap<(u32, RuleRef), (u32, u32)>,
}

/// What the semantics of the rules of one document need.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) format: TagFormat,
    pub(super) header_tags: Vec<Arc<str>>,
}

/// One rule of a network.
#[derive(Clone, Debug)]
pub struct Subnet {
    /// The rule's name.
    pub name: Arc<str>,
    /// Where it starts.
    pub start: u32,
    /// Where it has matched.
    pub accept: u32,
    pub(super) source: u32,
    pub(super) rule: Arc<Rule>,
}

/// One state: its transitions are `words` (sorted by word) and then `others`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    pub(super) first: u32,
    pub(super) others: u32,
    pub(super) end: u32,
    /// The subnet it belongs to.
    pub(super) subnet: u32,
    /// Whether a word can follow at once.
    pub(super) scans: bool,
}

/// One transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// What it takes.
    pub label: Label,
    /// Where it leads.
    pub to: u32,
    /// -ln(weight) in 1/1024, capped.
    pub weight: u16,
    /// Later in the document: worse among equals.
    pub order: u16,
}

/// What a transition takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Label {
    /// The word of this number; `token` is the grammar's token that ends with it.
    Word {
        /// Index of the word.
        word: u32,
        /// Index of the token, [`NO_TOKEN`] inside of one.
        token: u32,
    },
    /// Any word: `$GARBAGE`.
    Any,
    /// Nothing.
    Free,
    /// Nothing, and carries a tag.
    Tag(u32),
    /// All that the subnet takes; `label` is the URI by which it is called, [`NO_TOKEN`] if by its name.
    Call {
        /// Index of the subnet.
        subnet: u32,
        /// Index of the URI.
        label: u32,
    },
}

/// No token, or no URI.
pub const NO_TOKEN: u32 = u32::MAX;

/// Cost of a path: weights first, then order.
pub(super) type Cost = u64;

impl Transition {
    pub(super) fn cost(&self) -> Cost {
        (Cost::from(self.weight) << 24) + Cost::from(self.order)
    }
}

impl Network {
    /// Compiles a grammar from its root rule, with all it refers to. `externals` is asked for absolute URIs without
    /// fragment (those of [`Grammar::external_refs`], and of the grammars it gave); builtins are known here.
    ///
    /// # Errors
    /// What is wrong with a grammar or a reference, or the limit that was hit.
    pub fn compile(
        grammar: &Grammar,
        externals: &dyn Fn(&str) -> Option<Arc<Grammar>>,
        limits: &Limits,
    ) -> Result<Self, GrammarError> {
        Self::compile_rule(grammar, None, externals, limits)
    }

    /// The same from a named rule, which must be public or the root (`grammar src="file#rule"`).
    ///
    /// # Errors
    /// As [`Network::compile`].
    pub fn compile_rule(
        grammar: &Grammar,
        rule: Option<&str>,
        externals: &dyn Fn(&str) -> Option<Arc<Grammar>>,
        limits: &Limits,
    ) -> Result<Self, GrammarError> {
        Compiler::new(grammar, externals, limits).run(rule)
    }

    /// A builtin grammar, e.g. `builtin:dtmf/digits?length=4`, or a type name with a mode, compiled.
    ///
    /// # Errors
    /// Unknown type or impossible parameters.
    pub fn from_builtin(uri: &str, mode: Mode, lang: &str, limits: &Limits) -> Result<Self, GrammarError> {
        let grammar = builtin::grammar(uri, mode, lang)?;
        Self::compile(&grammar, &|_| None, limits)
    }

    /// Voice or DTMF.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The language; empty for DTMF grammars without one.
    #[must_use]
    pub fn lang(&self) -> &str {
        &self.lang
    }

    /// The bounds it was compiled with; they hold for matching too.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Its rules; the first is where matching begins.
    #[must_use]
    pub fn subnets(&self) -> &[Subnet] {
        &self.subnets
    }

    /// Number of states.
    #[must_use]
    pub fn state_count(&self) -> usize {
        self.states.len()
    }

    /// Transitions that leave a state.
    ///
    /// # Panics
    /// If there is no such state.
    #[must_use]
    pub fn transitions(&self, state: u32) -> &[Transition] {
        let state = self.states[index(state)];
        &self.transitions[index(state.first)..index(state.end)]
    }

    /// A word in matching form (lower case).
    #[must_use]
    pub fn word(&self, word: u32) -> Option<&str> {
        self.words.get(index(word)).map(|w| &**w)
    }

    /// A token in the grammar's spelling.
    #[must_use]
    pub fn token(&self, token: u32) -> Option<&str> {
        self.tokens.get(index(token)).map(|t| &**t)
    }

    /// A tag.
    #[must_use]
    pub fn tag(&self, tag: u32) -> Option<&str> {
        self.tags.get(index(tag)).map(|t| &**t)
    }

    /// All words it knows, for a recogniser's dictionary; matching form.
    pub fn vocabulary(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(|w| &**w)
    }

    /// Octets it takes, roughly: for caches.
    #[must_use]
    pub fn size(&self) -> usize {
        let text = |texts: &[Arc<str>]| texts.iter().map(|t| t.len() + 32).sum::<usize>();
        self.states.len() * size_of::<State>()
            + self.transitions.len() * size_of::<Transition>()
            + self.words.iter().map(|w| 2 * w.len() + 64).sum::<usize>()
            + text(&self.tokens)
            + text(&self.tags)
    }

    /// Numbers of the transitions of a state that take a word.
    pub(super) fn word_transitions(&self, state: State, word: u32) -> std::ops::Range<u32> {
        let all = &self.transitions[index(state.first)..index(state.others)];
        let from = all.partition_point(|t| word_of(t) < word);
        let len = all[from..].partition_point(|t| word_of(t) == word);
        let number = |n: usize| state.first + u32::try_from(n).expect("transitions are counted in 32 bits");
        number(from)..number(from + len)
    }
}

fn word_of(transition: &Transition) -> u32 {
    match transition.label {
        Label::Word { word, .. } => word,
        _ => u32::MAX,
    }
}

/// An index of 32 bits as one of the machine.
pub(super) fn index(at: u32) -> usize {
    usize::try_from(at).expect("a machine has at least 32 bits")
}

/// The form in which words are compared: Unicode lower case.
pub(super) fn matching_form(word: &str) -> String {
    word.to_lowercase()
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("mode", &self.mode)
            .field("subnets", &self.subnets.len())
            .field("states", &self.states.len())
            .field("transitions", &self.transitions.len())
            .finish_non_exhaustive()
    }
}
