//! Which grammars are in force (VoiceXML 2.0 §3.1.4), where they come from, and what a match means.

use super::state::{Active, Listening, Matching, Origin, Purpose};
use super::{Documents, Session};
use crate::catch::Event;
use crate::document::{Document, NodeId, Tag};
use crate::grammar::{self, Grammar, Inline, Mode, Network, Parse, ParseEvent};
use crate::session::{Fetched, Listen, ListenId, Resource};
use engine::Value;
use std::sync::Arc;

/// The raw meaning of a match.
pub(crate) enum Made {
    /// The words themselves.
    Plain,
    /// A parse, to be interpreted.
    Parse(Arc<Network>, Box<Parse>),
}

/// Parses a fetched grammar by its media type, or by its looks.
pub(crate) fn parse_fetched(fetched: &Fetched, limits: &grammar::Limits) -> Result<Grammar, String> {
    let text = crate::document::decode(&fetched.body)
        .ok_or_else(|| format!("{}: not in its encoding", fetched.url))?;
    Grammar::parse_xml(&text, &fetched.url, None, limits).map_err(|e| format!("{}: {e}", fetched.url))
}

/// A grammar with the scope and element it stands in.
struct Source {
    doc: Arc<Document>,
    node: NodeId,
    origin: Origin,
}

impl Session {
    pub(crate) fn grammar_limits(&self) -> grammar::Limits {
        grammar::Limits { bytes_max: self.config.limits.grammar_octets_max, ..grammar::Limits::default() }
    }

    /// Collects the grammars of an item and listens; if one must be fetched, this is done again when it has come.
    pub(crate) fn collect(&mut self, documents: &mut Documents, item: usize) -> Result<(), Event> {
        if self.hung_up {
            let reason = self.disconnect_reason();
            self.end(reason, Vec::new());
            return Ok(());
        }
        let Some(active) = self.active_grammars(documents, item, false)? else { return Ok(()) };
        self.grammars.clear();
        let modes = self.property("inputmodes").unwrap_or_default();
        let wants = |mode: &str| modes.split_whitespace().any(|m| m == mode);
        let (voice, dtmf) = (wants("voice"), wants("dtmf"));
        let active: Vec<Active> = active.into_iter().filter(|a| if a.dtmf { dtmf } else { voice }).collect();
        let id = ListenId(self.id());
        let listen = self.listen_output(id, &active, dtmf);
        let timeout_ms = self.queue_timeout_ms.take().or_else(|| self.property_ms("timeout")).unwrap_or(7000);
        let listening = Listening {
            id,
            item,
            active,
            pressed: String::new(),
            dtmf,
            timeout_ms,
            interdigit_ms: self.property_ms("interdigittimeout").unwrap_or(3000),
            term_ms: self.property_ms("termtimeout").unwrap_or(0),
            termchar: self.property("termchar").and_then(|c| c.trim().chars().next()),
            hotword: listen.hotword,
            speech: false,
            timer: None,
            confidence_min: self.property_number("confidencelevel").unwrap_or(0.5),
            outcome: None,
        };
        self.listen(listening, listen);
        Ok(())
    }

    pub(crate) fn listen_output(&mut self, id: ListenId, active: &[Active], dtmf: bool) -> Listen {
        let voice = active.iter().filter(|a| !a.dtmf).filter_map(|a| match &a.matching {
            Matching::Network(net, _) => Some(net.clone()),
            Matching::Phrase(..) => None,
        });
        Listen {
            id,
            voice: voice.collect(),
            dtmf,
            properties: self.properties(),
            lang: self.lang(),
            maxnbest: self.property("maxnbest").and_then(|n| n.trim().parse().ok()).unwrap_or(1),
            record_utterance: self.property_is("recordutterance", "true"),
            hotword: self.property_is("bargeintype", "hotword"),
        }
    }

    fn lang(&self) -> String {
        let lang = self.levels.last().and_then(|l| l.doc.lang(l.doc.root()).map(str::to_owned));
        lang.unwrap_or_else(|| self.config.lang.clone())
    }

    /// The grammars in force, in order of precedence; `None` if a fetch was begun for one of them.
    pub(crate) fn active_grammars(
        &mut self,
        documents: &mut Documents,
        item: usize,
        own_only: bool,
    ) -> Result<Option<Vec<Active>>, Event> {
        let doc = self.level().doc.clone();
        let dialog = self.level().dialog.as_ref().expect("an item is visited");
        let (form, node) = (dialog.node, dialog.items[item].node);
        let modal = own_only || doc.attribute(node, "modal") == Some("true");
        let mut out = Vec::new();
        let mut sources = Vec::new();
        self.item_grammars(&doc, form, node, &mut out, &mut sources)?;
        if !modal {
            self.outer_grammars(&doc, form, node, &mut out, &mut sources)?;
        }
        for source in sources {
            if out.len() >= self.config.limits.grammars_max {
                return Err(Event::semantic("more grammars than grammars_max"));
            }
            match self.network_of(documents, &source)? {
                Some(net) => out.push(Active {
                    dtmf: net.mode() == Mode::Dtmf,
                    origin: source.origin,
                    matching: Matching::Network(net, None),
                }),
                None => return Ok(None),
            }
        }
        Ok(Some(out))
    }

    /// The visited item's own: its grammars, its type, its options, a menu's choices, its links.
    fn item_grammars(
        &mut self,
        doc: &Arc<Document>,
        form: NodeId,
        node: NodeId,
        out: &mut Vec<Active>,
        sources: &mut Vec<Source>,
    ) -> Result<(), Event> {
        if doc.tag(node) == Tag::Menu {
            self.menu_grammars(doc, form, false, out, sources);
            return Ok(());
        }
        if doc.attribute(node, "type").is_some() && doc.tag(node) == Tag::Field {
            sources.push(Source { doc: doc.clone(), node, origin: Origin::Item });
        }
        for child in doc.children(node) {
            match doc.tag(child) {
                Tag::Grammar => sources.push(Source { doc: doc.clone(), node: child, origin: Origin::Item }),
                Tag::Option => option_grammars(doc, child, out),
                Tag::Link => link_grammars(doc, child, false, out, sources),
                _ => {}
            }
        }
        Ok(())
    }

    /// The form's, then the document's, then the root's.
    fn outer_grammars(
        &mut self,
        doc: &Arc<Document>,
        form: NodeId,
        node: NodeId,
        out: &mut Vec<Active>,
        sources: &mut Vec<Source>,
    ) -> Result<(), Event> {
        let _ = node;
        if doc.tag(form) == Tag::Form {
            for child in doc.children(form) {
                match doc.tag(child) {
                    Tag::Grammar => {
                        sources.push(Source {
                            doc: doc.clone(),
                            node: child,
                            origin: Origin::Form(form, false),
                        });
                    }
                    Tag::Link => link_grammars(doc, child, false, out, sources),
                    _ => {}
                }
            }
        }
        self.document_grammars(doc, Some(form), false, out, sources);
        if let Some(root) = self.level().root.clone() {
            self.document_grammars(&root, None, true, out, sources);
        }
        self.universals(out);
        Ok(())
    }

    /// Links of a document, and its dialogs whose grammars have document scope (§3.1.3).
    fn document_grammars(
        &mut self,
        doc: &Arc<Document>,
        except: Option<NodeId>,
        root: bool,
        out: &mut Vec<Active>,
        sources: &mut Vec<Source>,
    ) {
        for child in doc.children(doc.root()) {
            let wide = doc.attribute(child, "scope") == Some("document");
            match doc.tag(child) {
                Tag::Link => link_grammars(doc, child, root, out, sources),
                Tag::Menu if wide && Some(child) != except => {
                    self.menu_grammars(doc, child, root, out, sources)
                }
                Tag::Form if Some(child) != except => {
                    for g in doc.children(child).filter(|&g| doc.tag(g) == Tag::Grammar) {
                        let scope = doc.attribute(g, "scope");
                        if scope == Some("document") || wide && scope.is_none() {
                            sources.push(Source {
                                doc: doc.clone(),
                                node: g,
                                origin: Origin::Form(child, root),
                            });
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn menu_grammars(
        &mut self,
        doc: &Arc<Document>,
        menu: NodeId,
        root: bool,
        out: &mut Vec<Active>,
        sources: &mut Vec<Source>,
    ) {
        let keys = choice_keys(doc, menu);
        for (choice, key) in keys {
            let origin = Origin::Choice(menu, choice, root);
            if let Some(key) = key {
                out.push(phrase(&key, true, false, origin.clone()));
            }
            let mut own = false;
            for g in doc.children(choice).filter(|&g| doc.tag(g) == Tag::Grammar) {
                own = true;
                sources.push(Source { doc: doc.clone(), node: g, origin: origin.clone() });
            }
            // §2.2.2: a choice's own grammar overrides the one made of its text.
            let text = doc.full_text_without_grammars(choice);
            if !own && !text.trim().is_empty() {
                let accept = doc.attribute(choice, "accept").or(doc.attribute(menu, "accept"));
                out.push(phrase(&text, false, accept == Some("approximate"), origin));
            }
        }
    }

    fn universals(&mut self, out: &mut Vec<Active>) {
        let wanted = self.property("universals").unwrap_or_default();
        for name in ["help", "exit", "cancel"] {
            if wanted.split_whitespace().any(|w| w == name || w == "all") {
                out.push(phrase(name, false, false, Origin::Universal(name)));
            }
        }
    }

    /// The compiled network of a source; `None` when its fetch was begun.
    fn network_of(
        &mut self,
        documents: &mut Documents,
        source: &Source,
    ) -> Result<Option<Arc<Network>>, Event> {
        let (doc, node) = (&source.doc, source.node);
        let limits = self.grammar_limits();
        let tenant = self.config.tenant;
        let lang = doc.lang(node).map_or_else(|| self.lang(), str::to_owned);
        if doc.tag(node) == Tag::Field {
            let kind = doc.attribute(node, "type").unwrap_or("");
            return self.builtin(documents, kind, Mode::Dtmf, &lang).map(Some);
        }
        let inline = !doc.text(node).is_empty() && has_content(doc.text(node));
        let reference = self.url_of(doc, node, "src", "srcexpr")?;
        let Some(reference) = reference else {
            if !inline {
                return Err(Event::badfetch("<grammar> takes exactly one of src, srcexpr and content"));
            }
            let name = format!("{lang}\u{1}{}\u{1}{}", doc.url(), doc.text(node));
            let text = doc.text(node);
            let base = doc.url().as_str();
            let made = documents.network(tenant, &name, || {
                let g = Grammar::parse_xml(text, base, Some(Inline { lang: &lang }), &limits);
                let g = g.map_err(|e| e.to_string())?;
                Network::compile(&g, &|_| None, &limits).map_err(|e| e.to_string())
            });
            return made.map(Some).map_err(Event::badfetch);
        };
        if inline {
            return Err(Event::badfetch("<grammar> takes exactly one of src, srcexpr and content"));
        }
        if reference.starts_with("builtin:") {
            let mode = if reference.starts_with("builtin:dtmf") { Mode::Dtmf } else { Mode::Voice };
            return self.builtin(documents, &reference, mode, &lang).map(Some);
        }
        self.external(documents, doc, node, &reference)
    }

    fn builtin(
        &mut self,
        documents: &mut Documents,
        uri: &str,
        mode: Mode,
        lang: &str,
    ) -> Result<Arc<Network>, Event> {
        let limits = self.grammar_limits();
        let name = format!("{mode:?}\u{1}{lang}\u{1}{uri}");
        let made = documents.network(self.config.tenant, &name, || {
            Network::from_builtin(uri, mode, lang, &limits).map_err(|e| e.to_string())
        });
        made.map_err(|e| Event::with("error.unsupported.builtin", e))
    }

    fn external(
        &mut self,
        documents: &mut Documents,
        doc: &Arc<Document>,
        node: NodeId,
        reference: &str,
    ) -> Result<Option<Arc<Network>>, Event> {
        let mut url =
            doc.resolve(reference).ok_or_else(|| Event::badfetch(format!("'{reference}' is no URL")))?;
        let rule = url.fragment().map(str::to_owned);
        url.set_fragment(None);
        let Some(known) = self.grammars.get(url.as_str()).cloned() else {
            let request = self.request(doc, node, &url, Resource::Grammar);
            self.fetch(request, Purpose::Grammar(url.into()));
            return Ok(None);
        };
        let grammar = known?;
        // What it refers to must be there too before it can be compiled.
        for wanted in self.missing_externals(&grammar) {
            if let Ok(url) = url::Url::parse(&wanted) {
                let request = self.request(doc, node, &url, Resource::Grammar);
                self.fetch(request, Purpose::Grammar(wanted));
                return Ok(None);
            }
            return Err(Event::badfetch(format!("'{wanted}' is no URL")));
        }
        let limits = self.grammar_limits();
        let grammars = &self.grammars;
        let find = |uri: &str| grammars.get(uri).and_then(|g| g.as_ref().ok().cloned());
        let name = format!("{:p}\u{1}{url}\u{1}{}", Arc::as_ptr(&grammar), rule.as_deref().unwrap_or(""));
        let made = documents.network(self.config.tenant, &name, || {
            Network::compile_rule(&grammar, rule.as_deref(), &find, &limits).map_err(|e| e.to_string())
        });
        made.map(Some).map_err(Event::badfetch)
    }

    /// References of a grammar, and of those it refers to, that have not been fetched.
    fn missing_externals(&self, grammar: &Arc<Grammar>) -> Vec<String> {
        let mut seen = Vec::new();
        let mut stack = vec![grammar.clone()];
        while let Some(g) = stack.pop() {
            for uri in g.external_refs() {
                match self.grammars.get(&uri) {
                    None => return vec![uri],
                    Some(Ok(inner)) if !seen.contains(&uri) => {
                        stack.push(inner.clone());
                        seen.push(uri);
                    }
                    Some(_) => {}
                }
            }
        }
        Vec::new()
    }

    /// The semantic result of a match.
    pub(crate) fn interpretation(&mut self, origin: &Origin, made: Made, text: &str) -> Value {
        match made {
            Made::Plain => match origin {
                Origin::Option(node) => {
                    let doc = self.level().doc.clone();
                    option_value(&doc, *node)
                }
                _ => Value::text(text),
            },
            Made::Parse(net, parse) => self.semantics(&net, &parse, text),
        }
    }

    fn semantics(&mut self, _net: &Arc<Network>, parse: &Parse, text: &str) -> Value {
        let tags: Vec<&str> = parse
            .events
            .iter()
            .filter_map(|e| match e {
                ParseEvent::Tag { text } => Some(&**text),
                _ => None,
            })
            .collect();
        match tags[..] {
            [] => Value::text(text),
            [one] => literal_tag(one),
            _ => tags.last().map_or(Value::Undefined, |t| literal_tag(t)),
        }
    }
}

/// A tag that is nothing but a literal, or assignments of literals.
fn literal_tag(tag: &str) -> Value {
    let t = tag.trim().trim_end_matches(';');
    let quoted = |s: &str| {
        let s = s.trim();
        let inner = s.strip_prefix('\'').and_then(|s| s.strip_suffix('\''));
        inner.or_else(|| s.strip_prefix('"').and_then(|s| s.strip_suffix('"'))).map(str::to_owned)
    };
    if let Some(s) = quoted(t) {
        return Value::String(s);
    }
    let mut props = Vec::new();
    for part in t.split(';') {
        let part = part.trim().trim_start_matches("var ");
        if let Some((name, value)) = part.split_once('=')
            && let Some(v) = quoted(value)
        {
            props.push((
                name.trim().trim_start_matches("$.").trim_start_matches("out.").to_owned(),
                Value::String(v),
            ));
        }
    }
    if props.is_empty() { Value::text(t) } else { Value::Object(props) }
}

/// A grammar made of a text.
fn phrase(text: &str, dtmf: bool, approximate: bool, origin: Origin) -> Active {
    let words = if dtmf {
        text.chars().filter(|c| !c.is_whitespace()).map(String::from).collect()
    } else {
        let clean: String =
            text.chars().map(|c| if c.is_alphanumeric() || c == '\'' { c } else { ' ' }).collect();
        clean.split_whitespace().map(str::to_lowercase).collect()
    };
    Active { origin, matching: Matching::Phrase(words, approximate), dtmf }
}

fn option_grammars(doc: &Document, option: NodeId, out: &mut Vec<Active>) {
    if let Some(key) = doc.attribute(option, "dtmf") {
        out.push(phrase(key, true, false, Origin::Option(option)));
    }
    let text = doc.full_text(option);
    if !text.trim().is_empty() {
        let approximate = doc.attribute(option, "accept") == Some("approximate");
        out.push(phrase(&text, false, approximate, Origin::Option(option)));
    }
}

/// §2.3.1.3: the value, else the text, else the keys.
fn option_value(doc: &Document, option: NodeId) -> Value {
    let text = doc.full_text(option);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match (doc.attribute(option, "value"), text.is_empty()) {
        (Some(v), _) => Value::text(v),
        (None, false) => Value::String(text),
        (None, true) => doc.attribute(option, "dtmf").map_or(Value::Undefined, Value::text),
    }
}

fn link_grammars(
    doc: &Arc<Document>,
    link: NodeId,
    root: bool,
    out: &mut Vec<Active>,
    sources: &mut Vec<Source>,
) {
    let origin = Origin::Link(link, root);
    if let Some(key) = doc.attribute(link, "dtmf") {
        out.push(phrase(key, true, false, origin.clone()));
    }
    for g in doc.children(link).filter(|&g| doc.tag(g) == Tag::Grammar) {
        sources.push(Source { doc: doc.clone(), node: g, origin: origin.clone() });
    }
}

/// §2.2.2: a choice's own key, or, with `dtmf="true"`, the first nine in order as far as none is taken.
pub(crate) fn choice_keys(doc: &Document, menu: NodeId) -> Vec<(NodeId, Option<String>)> {
    let numbered = doc.attribute(menu, "dtmf") == Some("true");
    let mut next = 0;
    let choices = doc.children(menu).filter(|&c| doc.tag(c) == Tag::Choice);
    choices
        .map(|c| {
            let own = doc.attribute(c, "dtmf").map(str::to_owned);
            let key = own.or_else(|| {
                (numbered && next < 9).then(|| {
                    next += 1;
                    next.to_string()
                })
            });
            (c, key)
        })
        .collect()
}

/// Whether a grammar element's source has anything between its tags.
fn has_content(source: &str) -> bool {
    let Some(open) = source.find('>') else { return false };
    if source[..open].ends_with('/') {
        return false;
    }
    let inner = &source[open + 1..];
    let close = inner.rfind("</").unwrap_or(inner.len());
    !inner[..close].trim().is_empty()
}
