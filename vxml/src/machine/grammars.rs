//! Which grammars are in force (VoiceXML 2.0 §3.1.4), where they come from, and what a match means.

use super::state::{Active, Listening, Matching, Origin, Purpose};
use super::{Documents, Session};
use crate::catch::Event;
use crate::document::{Document, NodeId, Tag};
use crate::grammar::sisr::{self, Semantics};
use crate::grammar::{self, Fault, Grammar, GrammarError, Inline, Mode, Network, Parse};
use crate::session::{Bargein, FetchRequest, Fetched, Listen, ListenId, Resource};
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
pub(crate) fn parse_fetched(fetched: &Fetched, limits: &grammar::Limits) -> Result<Grammar, Event> {
    let made =
        Grammar::parse(&fetched.body, &fetched.media_type, fetched.charset.as_deref(), &fetched.url, limits);
    made.map_err(|e| grammar_event(&e, &fetched.url))
}

/// Parses the content of a `<grammar>`: XML, or ABNF if its `type` says so (VoiceXML 2.0 §3.1.1.1).
pub(crate) fn parse_inline(
    doc: &Document,
    node: NodeId,
    lang: &str,
    limits: &grammar::Limits,
) -> Result<Grammar, GrammarError> {
    let (text, base) = (doc.text(node), doc.url().as_str());
    match doc.attribute(node, "type").map(str::trim) {
        Some("application/srgs") => Grammar::parse_abnf(&grammar::inner_text(text), base, limits)
            .map_err(|e| grammar::within(text, e)),
        None
        | Some("" | "application/srgs+xml" | "application/grammar+xml" | "text/xml" | "application/xml") => {
            Grammar::parse_xml(text, base, Some(Inline { lang }), limits)
        }
        // VoiceXML 2.0 §5.2.6: a format that is not spoken here.
        Some(_) => Err(Fault::UnknownFormat.into()),
    }
}

/// A grammar that cannot be used, as its event.
fn grammar_event(e: &GrammarError, url: &str) -> Event {
    Event::with(e.event(), format!("{url}: {e}"))
}

/// A grammar with the scope and element it stands in.
struct Source {
    doc: Arc<Document>,
    node: NodeId,
    origin: Origin,
    kind: Kind,
}

/// What the element gives.
enum Kind {
    /// A `<grammar>`.
    Grammar,
    /// A field's `type`.
    Builtin(Mode),
    /// Its own words; `true` if some of them will do.
    Words(String, bool),
    /// Keys, ready as they are.
    Keys(String),
}

impl Source {
    fn grammar(doc: &Arc<Document>, node: NodeId, origin: Origin) -> Self {
        Self { doc: doc.clone(), node, origin, kind: Kind::Grammar }
    }
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
        if active.is_empty() && !self.config.lenient {
            // §3.1.4: where input is expected some grammar must be active.
            return Err(Event::semantic("no grammar is active where input is expected"));
        }
        let (voice, dtmf) = self.input_modes();
        let active: Vec<Active> = active.into_iter().filter(|a| if a.dtmf { dtmf } else { voice }).collect();
        let id = ListenId(self.id());
        let listen = self.listen_output(id, &active, dtmf);
        let timeout_ms = self.queue_timeout_ms.take().or_else(|| self.property_ms("timeout")).unwrap_or(7000);
        let listening = Listening {
            id,
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

    /// `inputmodes` (§6.3.6): voice, DTMF.
    pub(crate) fn input_modes(&self) -> (bool, bool) {
        let modes = self.property("inputmodes").unwrap_or_default();
        let wants = |mode: &str| modes.split_whitespace().any(|m| m == mode);
        (wants("voice"), wants("dtmf"))
    }

    pub(crate) fn listen_output(&mut self, id: ListenId, active: &[Active], dtmf: bool) -> Listen {
        let voice = active.iter().filter(|a| !a.dtmf).filter_map(|a| match &a.matching {
            Matching::Network(net, _) => Some(net.clone()),
            Matching::Keys(_) => None,
        });
        Listen {
            id,
            voice: voice.collect(),
            dtmf,
            properties: self.properties(),
            lang: self.lang(),
            maxnbest: self.property("maxnbest").and_then(|n| n.trim().parse().ok()).unwrap_or(1),
            record_utterance: self.property_is("recordutterance", "true"),
            hotword: self.hotword(),
        }
    }

    /// §4.1.5: what may cut the prompts that are about to be played; a prompt's own `bargeintype` wins over the property.
    fn hotword(&self) -> bool {
        let mut kinds = self.queue.iter().map(|p| p.bargein).filter(|b| *b != Bargein::None).peekable();
        match kinds.peek() {
            Some(_) => kinds.all(|b| b == Bargein::Hotword),
            None => self.property_is("bargeintype", "hotword"),
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
        item_grammars(&doc, form, node, &mut sources);
        if !modal {
            self.outer_grammars(&doc, form, &mut sources);
        }
        for source in sources {
            if out.len() >= self.config.limits.grammars_max {
                return Err(Event::semantic("more grammars than grammars_max"));
            }
            if let Kind::Keys(text) = &source.kind {
                out.push(keys(text, source.origin));
                continue;
            }
            if let Kind::Words(text, approximate) = &source.kind {
                let lang = source.doc.lang(source.node).map_or_else(|| self.lang(), str::to_owned);
                if let Some(net) = self.voice_phrase(documents, text, *approximate, &lang)? {
                    out.push(Active {
                        dtmf: false,
                        origin: source.origin,
                        matching: Matching::Network(net, None),
                    });
                }
                continue;
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

    /// The form's, then the document's, then the root's.
    fn outer_grammars(&mut self, doc: &Arc<Document>, form: NodeId, sources: &mut Vec<Source>) {
        if doc.tag(form) == Tag::Form {
            for child in doc.children(form) {
                match doc.tag(child) {
                    Tag::Grammar => sources.push(Source::grammar(doc, child, Origin::Form(form, false))),
                    Tag::Link => link_grammars(doc, child, false, sources),
                    _ => {}
                }
            }
        }
        document_grammars(doc, Some(form), false, sources);
        if let Some(root) = self.level().root.clone() {
            document_grammars(&root, None, true, sources);
        }
        let wanted = self.property("universals").unwrap_or_default();
        for name in ["help", "exit", "cancel"] {
            if wanted.split_whitespace().any(|w| w == name || w == "all") {
                sources.push(Source {
                    doc: doc.clone(),
                    node: doc.root(),
                    origin: Origin::Universal(name),
                    kind: Kind::Words(name.to_owned(), false),
                });
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
        if let Kind::Builtin(mode) = source.kind {
            let kind = doc.attribute(node, "type").unwrap_or("");
            return self.builtin(documents, kind, mode, &lang).map(Some);
        }
        let inline = !doc.text(node).is_empty() && has_content(doc.text(node));
        let reference = self.url_of(doc, node, "src", "srcexpr")?;
        let Some(reference) = reference else {
            if !inline {
                return Err(Event::badfetch("<grammar> takes exactly one of src, srcexpr and content"));
            }
            let name = format!("{lang}\u{1}{}\u{1}{}", doc.url(), doc.text(node));
            if let Some(known) = documents.known_network(tenant, &name) {
                return known.map(Some);
            }
            let parsed = parse_inline(doc, node, &lang, &limits);
            let grammar = Arc::new(parsed.map_err(|e| grammar_event(&e, doc.url().as_str()))?);
            return self.compiled(documents, doc, node, grammar, None, &name);
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
        documents.network(self.config.tenant, &name, || {
            Network::from_builtin(uri, mode, lang, &limits).map_err(|e| grammar_event(&e, uri))
        })
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
            let request = self.request(doc, node, &url, Resource::Grammar)?;
            self.fetch_grammar(request, url.into());
            return Ok(None);
        };
        let grammar = known?;
        let name = format!("{:p}\u{1}{url}\u{1}{}", Arc::as_ptr(&grammar), rule.as_deref().unwrap_or(""));
        self.compiled(documents, doc, node, grammar, rule.as_deref(), &name)
    }

    /// Begins the fetch of a grammar. When it has come the same item is visited again, whose prompts are queued already.
    fn fetch_grammar(&mut self, request: FetchRequest, url: String) {
        if let Some(dialog) = &mut self.level().dialog {
            dialog.next = dialog.current;
            dialog.quiet = true;
        }
        self.fetch(request, Purpose::Grammar(url));
    }

    /// Compiles a grammar; `None` when the fetch of one it refers to was begun.
    fn compiled(
        &mut self,
        documents: &mut Documents,
        doc: &Arc<Document>,
        node: NodeId,
        grammar: Arc<Grammar>,
        rule: Option<&str>,
        name: &str,
    ) -> Result<Option<Arc<Network>>, Event> {
        // What it refers to must be there too before it can be compiled.
        if let Some((wanted, from)) = self.missing_external(&grammar) {
            if wanted.starts_with("file:") && !from.starts_with("file:") {
                let why = format!("{wanted}: a grammar of the network may not read files");
                return Err(Event::with("error.noauthorization", why));
            }
            let url =
                url::Url::parse(&wanted).map_err(|_| Event::badfetch(format!("'{wanted}' is no URL")))?;
            let request = self.request(doc, node, &url, Resource::Grammar)?;
            self.fetch_grammar(request, wanted);
            return Ok(None);
        }
        let limits = self.grammar_limits();
        let grammars = &self.grammars;
        let find = |uri: &str| grammars.get(uri).and_then(|g| g.as_ref().ok().cloned());
        let url = doc.url().to_string();
        let made = documents.network(self.config.tenant, name, || {
            Network::compile_rule(&grammar, rule, &find, &limits).map_err(|e| grammar_event(&e, &url))
        });
        made.map(Some)
    }

    /// A reference of a grammar, or of those it refers to, that has not been fetched, and where it stands.
    fn missing_external(&self, grammar: &Arc<Grammar>) -> Option<(String, String)> {
        let mut seen = Vec::new();
        let mut stack = vec![grammar.clone()];
        while let Some(g) = stack.pop() {
            for uri in g.external_refs() {
                match self.grammars.get(&uri) {
                    None => return Some((uri, g.uri().to_owned())),
                    Some(Ok(inner)) if !seen.contains(&uri) => {
                        stack.push(inner.clone());
                        seen.push(uri);
                    }
                    Some(_) => {}
                }
            }
        }
        None
    }

    /// The semantic result of a match.
    pub(crate) fn interpretation(
        &mut self,
        origin: &Origin,
        made: Made,
        text: &str,
        confidence: f32,
    ) -> Result<Value, Event> {
        match (made, origin) {
            (_, Origin::Option(node)) => {
                let doc = self.level().doc.clone();
                Ok(option_value(&doc, *node))
            }
            (
                Made::Parse(net, parse),
                Origin::Item | Origin::Form(..) | Origin::Choice(..) | Origin::Link(..),
            ) => {
                match sisr::semantics(&parse, &net, confidence) {
                    Semantics::Value(v) => Ok(super::input::from_json(&v)),
                    // SISR 1.0 §3: a program of its own, that sees no variable of the dialogue.
                    Semantics::Script(program) => self.scopes.eval_alone(&program).map_err(Event::semantic),
                }
            }
            _ => Ok(Value::text(text)),
        }
    }

    /// The voice network of a phrase of the document's own: a choice, an option, a universal.
    fn voice_phrase(
        &mut self,
        documents: &mut Documents,
        text: &str,
        approximate: bool,
        lang: &str,
    ) -> Result<Option<Arc<Network>>, Event> {
        let limits = self.grammar_limits();
        let name = format!("{approximate}\u{1}{lang}\u{1}\u{1}{text}");
        let made = documents.network(self.config.tenant, &name, || {
            let grammar = Grammar::from_choice_text(text, approximate, lang, &limits);
            let grammar = grammar.map_err(|e| grammar_event(&e, text))?;
            let grammar = grammar.ok_or_else(|| Event::new(""))?;
            Network::compile(&grammar, &|_| None, &limits).map_err(|e| grammar_event(&e, text))
        });
        match made {
            Err(e) if e.name.is_empty() => Ok(None),
            made => made.map(Some),
        }
    }
}

/// A grammar made of keys.
fn keys(text: &str, origin: Origin) -> Active {
    let keys = text.chars().filter(|c| !c.is_whitespace()).collect();
    Active { origin, matching: Matching::Keys(keys), dtmf: true }
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

/// The visited item's own: its grammars, its type, its options, a menu's choices, its links.
fn item_grammars(doc: &Arc<Document>, form: NodeId, node: NodeId, sources: &mut Vec<Source>) {
    if doc.tag(node) == Tag::Menu {
        return menu_grammars(doc, form, false, sources);
    }
    if doc.attribute(node, "type").is_some() && doc.tag(node) == Tag::Field {
        for mode in [Mode::Dtmf, Mode::Voice] {
            sources.push(Source { kind: Kind::Builtin(mode), ..Source::grammar(doc, node, Origin::Item) });
        }
    }
    for child in doc.children(node) {
        match doc.tag(child) {
            Tag::Grammar => sources.push(Source::grammar(doc, child, Origin::Item)),
            Tag::Option => {
                let own = |kind| Source { kind, ..Source::grammar(doc, child, Origin::Option(child)) };
                if let Some(key) = doc.attribute(child, "dtmf") {
                    sources.push(own(Kind::Keys(key.to_owned())));
                }
                let approximate = doc.attribute(child, "accept") == Some("approximate");
                sources.push(own(Kind::Words(doc.full_text(child), approximate)));
            }
            Tag::Link => link_grammars(doc, child, false, sources),
            _ => {}
        }
    }
}

/// Links of a document, and its dialogs whose grammars have document scope (§3.1.3).
fn document_grammars(doc: &Arc<Document>, except: Option<NodeId>, root: bool, sources: &mut Vec<Source>) {
    for child in doc.children(doc.root()) {
        let wide = doc.attribute(child, "scope") == Some("document");
        match doc.tag(child) {
            Tag::Link => link_grammars(doc, child, root, sources),
            Tag::Menu if wide && Some(child) != except => menu_grammars(doc, child, root, sources),
            Tag::Form if Some(child) != except => {
                for g in doc.children(child).filter(|&g| doc.tag(g) == Tag::Grammar) {
                    let scope = doc.attribute(g, "scope");
                    if scope == Some("document") || wide && scope.is_none() {
                        sources.push(Source::grammar(doc, g, Origin::Form(child, root)));
                    }
                }
            }
            _ => {}
        }
    }
}

fn menu_grammars(doc: &Arc<Document>, menu: NodeId, root: bool, sources: &mut Vec<Source>) {
    for (choice, key) in choice_keys(doc, menu) {
        let own = |kind| Source { kind, ..Source::grammar(doc, choice, Origin::Choice(menu, choice, root)) };
        if let Some(key) = key {
            sources.push(own(Kind::Keys(key)));
        }
        let grammars: Vec<NodeId> = doc.children(choice).filter(|&g| doc.tag(g) == Tag::Grammar).collect();
        for &g in &grammars {
            sources.push(Source { node: g, ..own(Kind::Grammar) });
        }
        // §2.2.2: a choice's own grammar overrides the one made of its text.
        if grammars.is_empty() {
            let accept = doc.attribute(choice, "accept").or(doc.attribute(menu, "accept"));
            let text = doc.full_text_without_grammars(choice);
            sources.push(own(Kind::Words(text, accept == Some("approximate"))));
        }
    }
}

fn link_grammars(doc: &Arc<Document>, link: NodeId, root: bool, sources: &mut Vec<Source>) {
    let own = |kind| Source { kind, ..Source::grammar(doc, link, Origin::Link(link, root)) };
    if let Some(key) = doc.attribute(link, "dtmf") {
        sources.push(own(Kind::Keys(key.to_owned())));
    }
    for g in doc.children(link).filter(|&g| doc.tag(g) == Tag::Grammar) {
        sources.push(Source { node: g, ..own(Kind::Grammar) });
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
pub(crate) fn has_content(source: &str) -> bool {
    let Some(open) = source.find('>') else { return false };
    if source[..open].ends_with('/') {
        return false;
    }
    let inner = &source[open + 1..];
    let close = inner.rfind("</").unwrap_or(inner.len());
    !inner[..close].trim().is_empty()
}
