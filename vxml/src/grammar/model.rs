//! A grammar as its document says it (SRGS 1.0): rules and their expansions, not yet linked to anything else.

use super::builtin::{Builtin, Spoken};
use super::error::{Fault, GrammarError};
use super::limits::Limits;
use std::collections::HashMap;
use std::sync::Arc;

/// Spoken words or keys (SRGS 1.0 §4.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Words.
    #[default]
    Voice,
    /// DTMF keys.
    Dtmf,
}

/// How tags are read (SRGS 1.0 §4.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TagFormat {
    /// None declared, or an unknown one: the forgiving reading of [`super::sisr`].
    #[default]
    Default,
    /// `semantics/1.0`: ECMAScript (SISR 1.0 §3).
    Script,
    /// `semantics/1.0-literals`: the text is the value (SISR 1.0 §3.1).
    Literals,
    /// A builtin type: its words are read by [`Builtin`].
    Builtin(Builtin),
    /// A builtin type in a language other than English.
    Spoken(Spoken),
}

/// Which of the two forms a document had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `application/srgs+xml`.
    Xml,
    /// `application/srgs`.
    Abnf,
    /// Made here: builtins, options, choices.
    Made,
}

/// A parsed grammar.
#[derive(Clone, Debug)]
pub struct Grammar {
    pub(super) form: Form,
    pub(super) mode: Mode,
    pub(super) lang: Option<Box<str>>,
    pub(super) uri: Box<str>,
    pub(super) root: Option<Box<str>>,
    pub(super) tag_format: TagFormat,
    pub(super) header_tags: Vec<Arc<str>>,
    pub(super) lexicons: Vec<Box<str>>,
    pub(super) metas: Vec<(Box<str>, Box<str>)>,
    pub(super) rules: Vec<Arc<Rule>>,
    pub(super) index: HashMap<Arc<str>, usize>,
}

/// One rule definition (§3.1).
#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// Its name.
    pub name: Arc<str>,
    /// May be referenced from other grammars (§3.2).
    pub public: bool,
    /// What it matches.
    pub expansion: Node,
}

/// A rule expansion (§2).
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// A token (§2.1), white space folded.
    Token(Arc<str>),
    /// Semantics (§2.6).
    Tag(Arc<str>),
    /// A reference (§2.2).
    Ref(Box<RuleRef>),
    /// One after the other (§2.3).
    Sequence(Vec<Node>),
    /// One of these, with relative weights (§2.4).
    OneOf(Vec<(Option<f32>, Node)>),
    /// So many times (§2.5).
    Repeat(Box<Repeat>),
    /// Matches nothing and always (§2.2.3).
    Null,
    /// Never matches.
    Void,
    /// Any words.
    Garbage,
}

/// Repetition (§2.5).
#[derive(Clone, Debug)]
pub(super) struct Repeat {
    /// What is repeated.
    pub node: Node,
    /// At least.
    pub min: u32,
    /// At most; `None`: without bound.
    pub max: Option<u32>,
    /// Probability of one more.
    pub prob: Option<f32>,
}

/// A rule reference (§2.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct RuleRef {
    /// Absolute URI of the other grammar; `None`: this one.
    pub uri: Option<Box<str>>,
    /// The rule; `None`: the root.
    pub rule: Option<Box<str>>,
    /// The declared media type.
    pub media_type: Option<Box<str>>,
}

impl Grammar {
    pub(super) fn empty(form: Form, uri: &str) -> Self {
        Self {
            form,
            mode: Mode::Voice,
            lang: None,
            uri: uri.into(),
            root: None,
            tag_format: TagFormat::Default,
            header_tags: Vec::new(),
            lexicons: Vec::new(),
            metas: Vec::new(),
            rules: Vec::new(),
            index: HashMap::new(),
        }
    }

    /// A grammar of one public rule that is its root.
    pub(super) fn made(mode: Mode, lang: &str, name: &str, format: TagFormat, expansion: Node) -> Self {
        let mut grammar = Self::empty(Form::Made, "");
        grammar.mode = mode;
        grammar.lang = Some(lang.into());
        grammar.root = Some(name.into());
        grammar.tag_format = format;
        grammar
            .add(Rule { name: name.into(), public: true, expansion })
            .expect("the only rule is no duplicate");
        grammar
    }

    pub(super) fn add(&mut self, rule: Rule) -> Result<(), GrammarError> {
        let name = rule.name.clone();
        if matches!(&*name, "NULL" | "VOID" | "GARBAGE") {
            return Err(Fault::BadRuleName((&*name).into()).into());
        }
        if self.index.insert(name.clone(), self.rules.len()).is_some() {
            return Err(Fault::DuplicateRule((&*name).into()).into());
        }
        self.rules.push(Arc::new(rule));
        Ok(())
    }

    /// What all documents owe, whatever their form: a language, a root that exists, local references that exist.
    pub(super) fn check(&self) -> Result<(), GrammarError> {
        // SRGS 1.0 §4.5: required for voice, ignored for DTMF.
        if self.mode == Mode::Voice && self.lang.is_none() {
            return Err(Fault::MissingLanguage.into());
        }
        if let Some(root) = self.root.as_deref().filter(|r| !self.index.contains_key(*r)) {
            return Err(Fault::UndefinedRule(root.into()).into());
        }
        for reference in self.refs() {
            let local = reference.rule.as_deref().filter(|_| reference.uri.is_none());
            if let Some(name) = local.filter(|name| !self.index.contains_key(*name)) {
                return Err(Fault::UndefinedRule(name.into()).into());
            }
        }
        Ok(())
    }

    /// All references, in document order.
    fn refs(&self) -> impl Iterator<Item = &RuleRef> {
        let mut found = Vec::new();
        for rule in &self.rules {
            rule.expansion.collect_refs(&mut found);
        }
        found.into_iter()
    }

    /// Absolute URIs, without fragment, of the grammars this one refers to; builtins are not among them.
    #[must_use]
    pub fn external_refs(&self) -> Vec<String> {
        let mut uris: Vec<String> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for uri in self.refs().filter_map(|r| r.uri.as_deref()) {
            if !uri.starts_with("builtin:") && seen.insert(uri) {
                uris.push(uri.to_owned());
            }
        }
        uris
    }

    /// Voice or DTMF.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Where it came from; an inline grammar: its document.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The declared language.
    #[must_use]
    pub fn lang(&self) -> Option<&str> {
        self.lang.as_deref()
    }

    /// The declared root rule.
    #[must_use]
    pub fn root(&self) -> Option<&str> {
        self.root.as_deref()
    }

    /// How its tags are read.
    #[must_use]
    pub fn tag_format(&self) -> TagFormat {
        self.tag_format
    }

    /// Which form the document had.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// Names of the public rules, in document order.
    pub fn public_rules(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().filter(|r| r.public).map(|r| &*r.name)
    }

    /// Pronunciation lexicons (§4.10), absolute URIs.
    #[must_use]
    pub fn lexicons(&self) -> &[Box<str>] {
        &self.lexicons
    }

    /// `meta` and `http-equiv` entries (§4.11), names as written.
    #[must_use]
    pub fn metas(&self) -> &[(Box<str>, Box<str>)] {
        &self.metas
    }
}

impl Node {
    fn collect_refs<'n>(&'n self, found: &mut Vec<&'n RuleRef>) {
        match self {
            Node::Ref(reference) => found.push(reference),
            Node::Sequence(nodes) => nodes.iter().for_each(|n| n.collect_refs(found)),
            Node::OneOf(nodes) => nodes.iter().for_each(|(_, n)| n.collect_refs(found)),
            Node::Repeat(repeat) => repeat.node.collect_refs(found),
            Node::Token(_) | Node::Tag(_) | Node::Null | Node::Void | Node::Garbage => {}
        }
    }

    /// Several nodes as one.
    pub(super) fn sequence(mut nodes: Vec<Node>) -> Node {
        match nodes.len() {
            0 => Node::Null,
            1 => nodes.pop().expect("one is there"),
            _ => Node::Sequence(nodes),
        }
    }

    /// A repetition; once is the thing itself.
    pub(super) fn repeat(node: Node, min: u32, max: Option<u32>, prob: Option<f32>) -> Node {
        if min == 1 && max == Some(1) {
            return node;
        }
        Node::Repeat(Box::new(Repeat { node, min, max, prob }))
    }

    /// At most once.
    pub(super) fn optional(node: Node) -> Node {
        Node::repeat(node, 0, Some(1), None)
    }

    pub(super) fn token(text: &str) -> Node {
        Node::Token(fold_space(text).into())
    }
}

/// White space folded to single spaces, none at the ends (§2.1).
pub(super) fn fold_space(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for word in text.split_ascii_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        folded.push_str(word);
    }
    folded
}

/// Resolves a reference against a base; as written when the base is no URL.
pub(super) fn resolve(base: &str, reference: &str) -> Box<str> {
    if reference.starts_with("builtin:") {
        return reference.into();
    }
    if let Ok(absolute) = url::Url::parse(reference) {
        return absolute.as_str().into();
    }
    match url::Url::parse(base).and_then(|b| b.join(reference)) {
        Ok(absolute) => absolute.as_str().into(),
        Err(_) => reference.into(),
    }
}

/// A tag-format identifier (§4.8).
pub(super) fn tag_format(name: &str) -> TagFormat {
    match name.trim() {
        "semantics/1.0" | "semantics/1.0.2006" => TagFormat::Script,
        "semantics/1.0-literals" => TagFormat::Literals,
        _ => TagFormat::Default,
    }
}

impl Grammar {
    /// A builtin grammar (VoiceXML 2.0 appendix P) from `builtin:dtmf/digits?length=4` and the like, or from the type
    /// of a field (`digits?length=4`) with a mode.
    ///
    /// # Errors
    /// Unknown type or impossible parameters.
    pub fn from_builtin(uri: &str, mode: Mode, lang: &str) -> Result<Self, GrammarError> {
        super::builtin::grammar(uri, mode, lang)
    }
}

impl Grammar {
    /// Parses a fetched document: its octets with the media type and charset of the transport (empty and `None` where
    /// unknown). A media type of a grammar must be true; any other is ignored and the content decides.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(
        octets: &[u8],
        media_type: &str,
        charset: Option<&str>,
        base: &str,
        limits: &Limits,
    ) -> Result<Self, GrammarError> {
        let text = super::text::decode(octets, charset, limits)?;
        let begins = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
        let form = if begins.starts_with("#ABNF") {
            Form::Abnf
        } else if begins.starts_with('<') {
            Form::Xml
        } else {
            return Err(match media_type {
                "application/srgs" => Fault::BadHeader,
                "application/srgs+xml" => Fault::NotWellFormed,
                _ => Fault::UnknownFormat,
            }
            .into());
        };
        match (form, media_type) {
            (Form::Abnf, "application/srgs+xml") | (Form::Xml, "application/srgs") => {
                Err(Fault::MediaTypeMismatch.into())
            }
            (Form::Abnf, _) => Self::parse_abnf(&text, base, limits),
            _ => Self::parse_xml(&text, base, None, limits),
        }
    }
}
