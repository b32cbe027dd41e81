//! Fetches: their requests, and what becomes of their answers.

use super::state::{Phase, Purpose, Target};
use super::{Documents, Session};
use crate::catch::Event;
use crate::document::{Document, NodeId, Tag};
use crate::script::{Expr, Program};
use crate::session::{
    Caching, FetchAudio, FetchError, FetchId, FetchRequest, Fetched, FieldValue, FormField, Method, Output,
    Resource,
};
use engine::Value;
use std::sync::Arc;
use url::Url;

/// What a fetch for running content has brought.
pub(crate) enum Arrived {
    /// A script.
    Program(Arc<Program>),
    /// XML for `<data>`, and the URL it came from.
    Data(Fetched, Option<String>),
}

impl Session {
    /// A GET with nothing special about it.
    pub(crate) fn plain_request(&self, url: &Url, resource: Resource) -> FetchRequest {
        let mut url = url.clone();
        url.set_fragment(None);
        FetchRequest {
            url: url.into(),
            resource,
            method: Method::Get,
            fields: Vec::new(),
            timeout_ms: self.property_ms("fetchtimeout").unwrap_or(7000),
            caching: Caching::default(),
            fetchaudio: None,
            prefetch: false,
        }
    }

    /// The request that an element asks for (§6.1).
    ///
    /// # Errors
    /// `error.noauthorization` when a document of the network asks for a file: only a file may name its neighbours.
    pub(crate) fn request(
        &self,
        doc: &Document,
        node: NodeId,
        url: &Url,
        resource: Resource,
    ) -> Result<FetchRequest, Event> {
        if url.scheme() == "file" && doc.url().scheme() != "file" {
            let why = format!("{url}: a document of the network may not read files");
            return Err(Event::with("error.noauthorization", why));
        }
        let kind = match resource {
            Resource::Document => "document",
            Resource::Script => "script",
            Resource::Grammar => "grammar",
            Resource::Data => "data",
            Resource::Audio => "audio",
        };
        let mut request = self.plain_request(url, resource);
        request.caching = self.caching(doc, node, kind);
        if let Some(ms) = doc.attribute(node, "fetchtimeout").and_then(super::properties::time_ms) {
            request.timeout_ms = ms;
        }
        let audio = doc.attribute(node, "fetchaudio").map(str::to_owned);
        let takes_audio = matches!(resource, Resource::Document | Resource::Data);
        let audio = audio.or_else(|| self.property("fetchaudio").filter(|_| resource == Resource::Document));
        if let Some(url) = audio.filter(|_| takes_audio).and_then(|a| doc.resolve(&a)) {
            request.fetchaudio = Some(FetchAudio {
                url: url.into(),
                delay_ms: self.property_ms("fetchaudiodelay").unwrap_or(2000),
                minimum_ms: self.property_ms("fetchaudiominimum").unwrap_or(5000),
            });
        }
        Ok(request)
    }

    /// Begins a fetch that the session waits for.
    pub(crate) fn fetch(&mut self, request: FetchRequest, purpose: Purpose) {
        let id = FetchId(self.id());
        // VoiceXML 2.0 §4.1.8: what is queued is played while a resource with fetchaudio is fetched.
        if request.fetchaudio.is_some() {
            self.flush_queue();
        }
        self.emit(Output::Fetch { id, request });
        self.phase = Phase::Fetching { id, purpose };
    }

    /// §6.1.3: what the author wants fetched ahead (`fetchhint="prefetch"`) of a dialog that is entered. The default
    /// of the property is a mere permission, which is not used: hosts that cache need no hint for what is in use.
    pub(crate) fn prefetch(&mut self, doc: &Document, dialog: NodeId) {
        let mut wanted = Vec::new();
        collect_hinted(doc, dialog, &mut wanted);
        let mut asked: Vec<String> = Vec::new();
        for (node, resource) in wanted {
            let Some(mut url) = doc.attribute(node, "src").and_then(|src| doc.resolve(src)) else { continue };
            url.set_fragment(None);
            let fetchable = matches!(url.scheme(), "http" | "https" | "file");
            if !fetchable || asked.iter().any(|a| *a == *url.as_str()) {
                continue;
            }
            if self.prefetching.len() >= self.config.limits.prefetches_max {
                return;
            }
            let Ok(mut request) = self.request(doc, node, &url, resource) else { continue };
            request.prefetch = true;
            let id = FetchId(self.id());
            self.prefetching.push((id, resource));
            self.emit(Output::Fetch { id, request });
            asked.push(url.into());
        }
    }

    /// What was fetched ahead is parsed ahead; the fetch that needs it finds both caches warm.
    fn prefetched(&mut self, documents: &mut Documents, fetched: &Fetched, resource: Resource) {
        let limits = self.grammar_limits();
        match resource {
            Resource::Grammar => drop(documents.grammar(self.config.tenant, fetched, &limits)),
            Resource::Script if fetched.body.len() <= self.config.limits.script_octets_max => {
                drop(documents.program(self.config.tenant, fetched, None));
            }
            _ => {}
        }
    }

    /// Puts a submission's fields into a request (§5.3.8).
    pub(crate) fn submit_fields(
        &mut self,
        request: &mut FetchRequest,
        doc: &Document,
        node: NodeId,
        names: &[String],
    ) -> Result<(), Event> {
        let post = doc.attribute(node, "method").is_some_and(|m| m.eq_ignore_ascii_case("post"));
        let multipart =
            doc.attribute(node, "enctype").is_some_and(|e| e.eq_ignore_ascii_case("multipart/form-data"));
        let chain = self.chain();
        let mut fields = Vec::new();
        for name in names {
            let value = self.scopes.variable(name, &chain).map_err(Event::semantic)?;
            flatten(name, &value, &mut fields, 0);
        }
        if post {
            request.method = if multipart { Method::PostMultipart } else { Method::PostUrlencoded };
            request.fields = fields;
            return Ok(());
        }
        if let Ok(mut url) = Url::parse(&request.url)
            && !fields.is_empty()
        {
            {
                let mut query = url.query_pairs_mut();
                for f in &fields {
                    let text = match &f.value {
                        FieldValue::Text(t) | FieldValue::Recording(t) => t,
                    };
                    query.append_pair(&f.name, text);
                }
            }
            request.url = url.into();
        }
        Ok(())
    }

    pub(crate) fn on_fetched(
        &mut self,
        documents: &mut Documents,
        id: FetchId,
        result: Result<Fetched, FetchError>,
    ) {
        if let Some(i) = self.prefetching.iter().position(|(ahead, _)| *ahead == id) {
            let (_, resource) = self.prefetching.swap_remove(i);
            if let Ok(fetched) = result {
                self.prefetched(documents, &fetched, resource);
            }
            return;
        }
        let ours = matches!(&self.phase, Phase::Fetching { id: waiting, .. } if *waiting == id);
        if !ours {
            return;
        }
        let Phase::Fetching { purpose, .. } = std::mem::replace(&mut self.phase, Phase::Running) else {
            return;
        };
        if let Err(event) = self.arrived(documents, purpose, result) {
            self.throw(event);
        }
    }

    fn arrived(
        &mut self,
        documents: &mut Documents,
        purpose: Purpose,
        result: Result<Fetched, FetchError>,
    ) -> Result<(), Event> {
        match purpose {
            Purpose::Document(target) => {
                let fetched = result.map_err(|e| fetch_event(&e, target.url.as_str()))?;
                self.document_arrived(documents, *target, &fetched)
            }
            Purpose::Root(target, leaf) => {
                let fetched = result.map_err(|e| fetch_event(&e, "the application root document"))?;
                self.root_arrived(documents, *target, leaf, &fetched)
            }
            Purpose::Script(charset) => {
                let fetched = result.map_err(|e| fetch_event(&e, "a script"))?;
                if fetched.body.len() > self.config.limits.script_octets_max {
                    return Err(Event::badfetch("the script is larger than script_octets_max"));
                }
                let program = documents.program(self.config.tenant, &fetched, charset.as_deref());
                let program = program.ok_or_else(|| Event::badfetch("the script's text cannot be read"))?;
                self.fetched = Some(Arrived::Program(program));
                Ok(())
            }
            Purpose::Data(name) => {
                let fetched = result.map_err(|e| fetch_event(&e, "data"))?;
                if fetched.body.len() > self.config.limits.data_octets_max {
                    return Err(Event::badfetch("the data is larger than data_octets_max"));
                }
                self.fetched = Some(Arrived::Data(fetched, name));
                Ok(())
            }
            Purpose::Grammar(url) => {
                let limits = self.grammar_limits();
                let grammar = match result {
                    Ok(f) => documents.grammar(self.config.tenant, &f, &limits),
                    Err(e) => Err(fetch_event(&e, &url)),
                };
                self.grammars.insert(url, grammar);
                Ok(())
            }
        }
    }

    /// An attribute that is a URL, or an expression that gives one, made absolute against the active document.
    pub(crate) fn url_of(
        &mut self,
        doc: &Document,
        node: NodeId,
        plain: &str,
        expr: &str,
    ) -> Result<Option<String>, Event> {
        if let Some(reference) = doc.attribute(node, plain) {
            return Ok(Some(reference.to_owned()));
        }
        match doc.expression(node, expr) {
            Some(e) => Ok(Some(self.eval_text(e)?)),
            None => Ok(None),
        }
    }

    pub(crate) fn eval(&mut self, expr: &Expr) -> Result<Value, Event> {
        let chain = self.chain();
        self.scopes.eval(expr, &chain).map_err(Event::semantic)
    }

    pub(crate) fn eval_text(&mut self, expr: &Expr) -> Result<String, Event> {
        let chain = self.chain();
        self.scopes.eval_text(expr, &chain).map_err(Event::semantic)
    }

    pub(crate) fn eval_bool(&mut self, expr: &Expr) -> Result<bool, Event> {
        let chain = self.chain();
        self.scopes.eval_bool(expr, &chain).map_err(Event::semantic)
    }

    pub(crate) fn document_arrived(
        &mut self,
        documents: &mut Documents,
        target: Target,
        fetched: &Fetched,
    ) -> Result<(), Event> {
        let url = Url::parse(&fetched.url).unwrap_or_else(|_| target.url.clone());
        let parsed =
            documents.document(self.config.tenant, fetched, &url, self.config.lenient, &self.config.limits);
        let doc = parsed.map_err(|p| problem_event(&url, &p))?;
        self.arrive(target, doc)
    }

    fn root_arrived(
        &mut self,
        documents: &mut Documents,
        target: Target,
        leaf: Arc<Document>,
        fetched: &Fetched,
    ) -> Result<(), Event> {
        let url = Url::parse(&fetched.url).map_err(|_| Event::badfetch("the root's URL is none"))?;
        let parsed =
            documents.document(self.config.tenant, fetched, &url, self.config.lenient, &self.config.limits);
        let root = parsed.map_err(|p| problem_event(&url, &p))?;
        if root.application().is_some() {
            // VoiceXML 2.0 §1.5.2: a root document must not name a root itself.
            return Err(Event::semantic("the application root document has an application root itself"));
        }
        self.commit(target, leaf, Some(root))
    }
}

/// Grammars, scripts and sounds below a node that are to be fetched ahead.
fn collect_hinted(doc: &Document, node: NodeId, out: &mut Vec<(NodeId, Resource)>) {
    for child in doc.children(node) {
        let resource = match doc.tag(child) {
            Tag::Grammar => Some(Resource::Grammar),
            Tag::Script => Some(Resource::Script),
            Tag::Audio => Some(Resource::Audio),
            _ => None,
        };
        let hinted = doc.attribute(child, "fetchhint").is_some_and(|h| h.trim() == "prefetch");
        if let Some(resource) = resource.filter(|_| hinted) {
            out.push((child, resource));
        }
        collect_hinted(doc, child, out);
    }
}

fn problem_event(url: &Url, p: &crate::document::Problem) -> Event {
    Event::badfetch(format!("{url}:{}:{}: {} ({})", p.line, p.column, p.rule, p.rule.section()))
}

/// VoiceXML 2.0 §5.2.6: `error.badfetch.http.404` and its like.
pub(crate) fn fetch_event(e: &FetchError, what: &str) -> Event {
    match e {
        FetchError::Status(code) => Event::with(format!("error.badfetch.http.{code}"), what),
        FetchError::Timeout => Event::with("error.badfetch", format!("{what}: fetchtimeout passed")),
        FetchError::Unreachable => Event::with("error.badfetch", format!("{what}: cannot be reached")),
        FetchError::Forbidden => Event::with("error.noauthorization", format!("{what}: not allowed")),
        FetchError::TooLarge => Event::with("error.badfetch", format!("{what}: too large")),
        FetchError::TooManyRedirects => Event::with("error.badfetch", format!("{what}: too many redirects")),
        FetchError::BadUri => Event::with("error.unsupported.uri", what.to_owned()),
    }
}

/// VoiceXML 2.0 §5.3.8: an object is submitted as its properties; undefined as the empty text... of `ToString`.
fn flatten(name: &str, value: &Value, out: &mut Vec<FormField>, depth: u32) {
    if let Some(recording) = recording_name(value) {
        out.push(FormField { name: name.to_owned(), value: FieldValue::Recording(recording) });
        return;
    }
    match value {
        Value::Object(props) if depth < 8 => {
            for (k, v) in props {
                flatten(&format!("{name}.{k}"), v, out, depth + 1);
            }
        }
        v => out.push(FormField { name: name.to_owned(), value: FieldValue::Text(v.to_text()) }),
    }
}

/// A recording is an object that carries the host's name for it.
pub(crate) fn recording_name(value: &Value) -> Option<String> {
    match value {
        Value::Object(props) => match props.iter().find(|(k, _)| k == "\u{1}recording") {
            Some((_, Value::String(s))) => Some(s.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// The script value that stands for a recording.
pub(crate) fn recording_value(name: &str) -> Value {
    Value::Object(vec![("\u{1}recording".into(), Value::text(name))])
}
