//! VoiceXML documents as compact, immutable trees that all sessions of a tenant share.
//!
//! A document is parsed once. Its expressions are compiled at first use and kept beside the attribute they stand in,
//! so a second session starts with what the first one learnt. Nothing in here changes what a session sees.

mod encoding;
mod names;
mod parse;
mod problem;
mod schema;

pub(crate) use encoding::{decode, text_of};
pub use names::Tag;
pub use parse::parse;
pub(crate) use parse::{parse_as, read};
pub use problem::{Problem, Rule};

use crate::script::Expr;
use std::sync::OnceLock;
use url::Url;

/// A node by its place in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) u32);

const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) tag: Tag,
    pub(crate) parent: u32,
    pub(crate) first: u32,
    pub(crate) next: u32,
    /// Range in `Document::attributes`.
    pub(crate) attributes: (u32, u32),
    /// Text of a text node; the source of a `<grammar>`, brackets and all.
    pub(crate) text: (u32, u32),
    pub(crate) line: u32,
    pub(crate) column: u32,
}

#[derive(Debug)]
pub(crate) struct Attribute {
    pub(crate) name: Box<str>,
    pub(crate) value: Box<str>,
    pub(crate) compiled: OnceLock<Box<Expr>>,
}

/// A parsed document.
#[derive(Debug)]
pub struct Document {
    pub(crate) url: Url,
    pub(crate) base: Url,
    pub(crate) nodes: Vec<Node>,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) text: String,
    /// Inline scripts and text that is a program, by node.
    pub(crate) programs: Vec<(u32, OnceLock<Box<crate::script::Program>>)>,
    /// Some `<property>` has a value that the standard does not know for it.
    pub(crate) illegal_properties: bool,
}

impl Document {
    /// The URL it came from, without fragment.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The `<vxml>` element.
    #[must_use]
    pub fn root(&self) -> NodeId {
        NodeId(0)
    }

    /// What kind of node it is.
    #[must_use]
    pub fn tag(&self, node: NodeId) -> Tag {
        self.nodes[node.0 as usize].tag
    }

    /// Line and column, from 1.
    #[must_use]
    pub fn position(&self, node: NodeId) -> (u32, u32) {
        let n = &self.nodes[node.0 as usize];
        (n.line, n.column)
    }

    /// The element around it.
    #[must_use]
    pub fn parent(&self, node: NodeId) -> Option<NodeId> {
        let p = self.nodes[node.0 as usize].parent;
        (p != NONE).then_some(NodeId(p))
    }

    /// Its children in document order.
    pub fn children(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let mut at = self.nodes[node.0 as usize].first;
        std::iter::from_fn(move || {
            let here = (at != NONE).then_some(NodeId(at))?;
            at = self.nodes[at as usize].next;
            Some(here)
        })
    }

    /// Its first child.
    #[must_use]
    pub fn first_child(&self, node: NodeId) -> Option<NodeId> {
        let at = self.nodes[node.0 as usize].first;
        (at != NONE).then_some(NodeId(at))
    }

    /// The node after it under the same parent.
    #[must_use]
    pub fn next_sibling(&self, node: NodeId) -> Option<NodeId> {
        let at = self.nodes[node.0 as usize].next;
        (at != NONE).then_some(NodeId(at))
    }

    /// Character data of a text node, or the source of a `<grammar>`.
    #[must_use]
    pub fn text(&self, node: NodeId) -> &str {
        let (a, b) = self.nodes[node.0 as usize].text;
        &self.text[a as usize..b as usize]
    }

    /// All character data below a node.
    #[must_use]
    pub fn full_text(&self, node: NodeId) -> String {
        if self.tag(node) == Tag::Text {
            return self.text(node).to_owned();
        }
        self.children(node).map(|c| self.full_text(c)).collect()
    }

    fn own_attributes(&self, node: NodeId) -> &[Attribute] {
        let (a, b) = self.nodes[node.0 as usize].attributes;
        &self.attributes[a as usize..b as usize]
    }

    /// An attribute's value.
    #[must_use]
    pub fn attribute(&self, node: NodeId, name: &str) -> Option<&str> {
        self.own_attributes(node).iter().find(|a| *a.name == *name).map(|a| &*a.value)
    }

    /// An attribute's value as an expression, compiled at first use.
    #[must_use]
    pub fn expression(&self, node: NodeId, name: &str) -> Option<&Expr> {
        let a = self.own_attributes(node).iter().find(|a| *a.name == *name)?;
        Some(a.compiled.get_or_init(|| Box::new(Expr::new(&a.value))))
    }

    /// The program in an inline `<script>`.
    #[must_use]
    pub fn program(&self, node: NodeId) -> Option<&crate::script::Program> {
        let i = self.programs.binary_search_by_key(&node.0, |(n, _)| *n).ok()?;
        Some(self.programs[i].1.get_or_init(|| Box::new(crate::script::Program::new(&self.full_text(node)))))
    }

    /// All character data below a node, but for what stands in grammars.
    #[must_use]
    pub fn full_text_without_grammars(&self, node: NodeId) -> String {
        match self.tag(node) {
            Tag::Text => self.text(node).to_owned(),
            Tag::Grammar => String::new(),
            _ => self.children(node).map(|c| self.full_text_without_grammars(c)).collect(),
        }
    }

    /// The `<property>` elements directly below a node, the one that holds first: name and value.
    pub(crate) fn properties(&self, node: NodeId) -> impl Iterator<Item = (&str, &str)> {
        let all: Vec<NodeId> = self.children(node).filter(|&c| self.tag(c) == Tag::Property).collect();
        let pair = |p: NodeId| self.attribute(p, "name").zip(self.attribute(p, "value"));
        all.into_iter().rev().filter_map(pair)
    }

    /// What references are resolved against.
    #[must_use]
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// A dialog of this document by its id, or the first one.
    #[must_use]
    pub fn dialog(&self, id: Option<&str>) -> Option<NodeId> {
        let mut dialogs =
            self.children(self.root()).filter(|&n| matches!(self.tag(n), Tag::Form | Tag::Menu));
        match id {
            None => dialogs.next(),
            Some(id) => dialogs.find(|&n| self.attribute(n, "id") == Some(id)),
        }
    }

    /// The absolute URL of the application root document, if this one is a leaf.
    #[must_use]
    pub fn application(&self) -> Option<Url> {
        let reference = self.attribute(self.root(), "application")?;
        let mut url = self.base.join(reference).ok()?;
        url.set_fragment(None);
        Some(url)
    }

    /// The language in force at a node (`xml:lang`).
    #[must_use]
    pub fn lang(&self, node: NodeId) -> Option<&str> {
        let mut at = Some(node);
        while let Some(n) = at {
            if let Some(lang) = self.attribute(n, "xml:lang") {
                return Some(lang);
            }
            at = self.parent(n);
        }
        None
    }

    /// Makes a reference in this document absolute (`xml:base` of `<vxml>` holds, VoiceXML 2.0 §1.5.1).
    #[must_use]
    pub fn resolve(&self, reference: &str) -> Option<Url> {
        self.base.join(reference.trim()).ok()
    }

    /// Octets of memory this tree takes, roughly.
    #[must_use]
    pub fn size_octets(&self) -> usize {
        self.nodes.len() * size_of::<Node>()
            + self
                .attributes
                .iter()
                .map(|a| size_of::<Attribute>() + a.name.len() + a.value.len())
                .sum::<usize>()
            + self.text.len()
    }
}
