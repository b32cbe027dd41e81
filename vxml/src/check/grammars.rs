//! The checker's look into grammars: inline ones where they stand, others where they come from.

use super::{Checker, Found};
use crate::document::{NodeId, Problem, Rule, Tag};
use crate::grammar::{self, Fault, Grammar, GrammarError, Mode, Network, Place};
use std::sync::Arc;
use url::Url;

impl Checker<'_, '_> {
    pub(super) fn field(&mut self, node: NodeId) {
        let Some(kind) = self.document.attribute(node, "type") else { return };
        self.builtin(node, kind, Mode::Dtmf);
    }

    fn builtin(&mut self, node: NodeId, uri: &str, mode: Mode) {
        let lang = self.document.lang(node).unwrap_or("en-US");
        if let Err(e) = Grammar::from_builtin(uri, mode, lang) {
            self.report(node, Rule::Grammar(e.to_string().into()));
        }
    }

    pub(super) fn grammar(&mut self, node: NodeId) {
        let d = self.document;
        let source = d.text(node);
        let referred = ["src", "srcexpr"].iter().filter(|n| d.attribute(node, n).is_some()).count();
        let inline = crate::machine::has_content(source);
        if referred + usize::from(inline) != 1 {
            let of = &["src", "srcexpr", "content"];
            return self.report(node, Rule::Choose(Tag::Grammar, of, true, "VoiceXML 2.0 §3.1.1"));
        }
        match d.attribute(node, "src") {
            Some(uri) if uri.starts_with("builtin:") => {
                let mode = if uri.starts_with("builtin:dtmf") { Mode::Dtmf } else { Mode::Voice };
                self.builtin(node, uri, mode);
            }
            Some(uri) => self.referred(node, uri),
            None => {}
        }
        if !inline {
            return;
        }
        let lang = d.lang(node).unwrap_or("en-US");
        match crate::machine::parse_inline(d, node, lang, &grammar::Limits::default()) {
            Ok(g) => self.compile(node, &g, None),
            Err(e) => self.inside(node, &e),
        }
    }

    /// `<grammar src="file#rule">`.
    fn referred(&mut self, node: NodeId, uri: &str) {
        let Some(mut url) = self.document.resolve(uri) else {
            return self.report(node, Rule::Grammar(format!("'{uri}' is no URL").into()));
        };
        let rule = url.fragment().map(str::to_owned);
        url.set_fragment(None);
        if let Some(g) = self.load(node, url.as_str()) {
            self.compile(node, &g, rule.as_deref());
        }
    }

    /// With all it refers to, if that can be had.
    fn compile(&mut self, node: NodeId, grammar: &Grammar, rule: Option<&str>) {
        let limits = grammar::Limits::default();
        let mut wanted = grammar.external_refs();
        let mut seen = 0;
        while let Some(uri) = wanted.get(seen).cloned() {
            seen += 1;
            let Some(g) = self.load(node, &uri) else { return };
            for uri in g.external_refs() {
                if !wanted.contains(&uri) && wanted.len() <= limits.grammars_max {
                    wanted.push(uri);
                }
            }
        }
        let known = &self.external;
        let made = Network::compile_rule(grammar, rule, &|uri| known.get(uri).cloned().flatten(), &limits);
        if let Err(e) = made {
            self.inside(node, &e);
        }
    }

    /// A grammar from elsewhere, once. Its own problems are told under its own name.
    fn load(&mut self, node: NodeId, uri: &str) -> Option<Arc<Grammar>> {
        if let Some(known) = self.external.get(uri) {
            return known.clone();
        }
        let loaded = self.fetch_grammar(node, uri);
        self.external.insert(uri.to_owned(), loaded.clone());
        loaded
    }

    fn fetch_grammar(&mut self, node: NodeId, uri: &str) -> Option<Arc<Grammar>> {
        let fetch = self.fetch.as_mut()?;
        let url = Url::parse(uri).ok()?;
        let fetched = if url.scheme() == "file" && self.document.url().scheme() != "file" {
            Err("a document from the network may not read files".to_owned())
        } else {
            fetch(&url)
        };
        let fetched = match fetched {
            Ok(fetched) => fetched,
            Err(why) => {
                self.report(node, Rule::Grammar(format!("{uri}: {why}").into()));
                return None;
            }
        };
        let limits = grammar::Limits::default();
        let charset = fetched.charset.as_deref();
        match Grammar::parse(&fetched.body, &fetched.media_type, charset, &fetched.url, &limits) {
            Ok(g) => Some(Arc::new(g)),
            Err(e) => {
                let text = String::from_utf8_lossy(&fetched.body);
                let place = place_of(&text, &e);
                let problem = Problem {
                    line: place.line.max(1),
                    column: place.column.max(1),
                    rule: Rule::Grammar(e.fault.to_string().into()),
                };
                self.elsewhere.push(Found { file: Some(uri.to_owned()), problem });
                None
            }
        }
    }

    /// A problem within a `<grammar>` of the document: at its own line and column, or else at the element's.
    fn inside(&mut self, node: NodeId, e: &GrammarError) {
        let rule = Rule::Grammar(e.fault.to_string().into());
        let place = place_of(self.document.text(node), e);
        let (line, column) = self.document.position(node);
        let (line, column) = match place.line {
            0 => (line, column),
            1 => (line, column + place.column.saturating_sub(1)),
            n => (line + n - 1, place.column),
        };
        self.problems.push(Problem { line, column, rule });
    }
}

/// Where in the text it is wrong: a rule that is not there is looked for by its name.
fn place_of(text: &str, e: &GrammarError) -> Place {
    let Fault::UndefinedRule(name) = &e.fault else { return e.place };
    let ends =
        |at: usize| !text[at..].starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
    let found = ["#", "$", "root=\"", "root='"].iter().find_map(|before| {
        let whole = format!("{before}{name}");
        text.match_indices(&whole).map(|(at, w)| (at, at + w.len())).find(|(_, end)| ends(*end))
    });
    found.map_or(e.place, |(at, _)| grammar::place(text, at))
}
