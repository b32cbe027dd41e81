//! Prompts: which are played (VoiceXML 2.0 §4.1), and SSML 1.0 made into plain segments.

use crate::catch::Event;
use crate::document::{Document, NodeId, Tag};
use crate::machine::Session;
use crate::machine::time_ms;
use crate::script::Expr;
use crate::session::{Bargein, Output, PlayId, Prompt, SayAs, Segment, Speech, Trace};
use engine::Value;
use std::sync::Arc;

/// What holds for text at a place: language, voice, prosody.
#[derive(Clone, Debug, Default)]
struct Style {
    speech: Speech,
}

impl Session {
    /// §4.1.6: of an item's prompts whose condition holds, those with the highest count not above the item's counter.
    pub(crate) fn queue_prompts(
        &mut self,
        doc: &Arc<Document>,
        item: NodeId,
        counter: u32,
    ) -> Result<(), Event> {
        let mut chosen: Vec<(u32, NodeId)> = Vec::new();
        for child in doc.children(item) {
            if !doc.tag(child).is_speech() {
                continue;
            }
            let count = doc.attribute(child, "count").filter(|_| doc.tag(child) == Tag::Prompt);
            let count = count.and_then(|c| c.trim().parse().ok()).unwrap_or(1);
            let open = doc.tag(child) != Tag::Prompt || self.condition(doc, child)?;
            if count <= counter && open {
                chosen.push((count, child));
            }
        }
        let Some(correct) = chosen.iter().map(|(c, _)| *c).max() else { return Ok(()) };
        let mut after = None;
        for (_, node) in chosen.iter().filter(|(c, _)| *c == correct) {
            if doc.tag(*node) == Tag::Prompt {
                self.queue_one(doc, &[*node])?;
            } else if after.is_none_or(|a| *node >= a) {
                after = self.queue_bare(doc, *node)?.or(Some(NodeId(u32::MAX)));
            }
        }
        Ok(())
    }

    /// A prompt in executable content.
    pub(crate) fn queue_prompt(&mut self, doc: &Arc<Document>, node: NodeId) -> Result<(), Event> {
        if doc.tag(node) == Tag::Prompt && !self.condition(doc, node)? {
            return Ok(());
        }
        self.queue_one(doc, &[node])
    }

    /// §2.4: text, audio and values in a row are one prompt without the element. Gives what follows them.
    pub(crate) fn queue_bare(&mut self, doc: &Arc<Document>, node: NodeId) -> Result<Option<NodeId>, Event> {
        let mut run = vec![node];
        let mut next = doc.next_sibling(node);
        while let Some(n) = next {
            if !matches!(doc.tag(n), Tag::Text | Tag::Audio | Tag::Value | Tag::Enumerate) {
                break;
            }
            run.push(n);
            next = doc.next_sibling(n);
        }
        self.queue_one(doc, &run)?;
        Ok(next)
    }

    fn queue_one(&mut self, doc: &Arc<Document>, nodes: &[NodeId]) -> Result<(), Event> {
        let node = nodes[0];
        if self.queue.len() >= self.config.limits.prompts_max {
            return Err(Event::semantic("more prompts than prompts_max are queued"));
        }
        let own = |name: &str| doc.attribute(node, name).map(str::to_owned);
        let prompt = doc.tag(node) == Tag::Prompt;
        if prompt && let Some(ms) = own("timeout").as_deref().and_then(time_ms) {
            self.queue_timeout_ms = Some(ms);
        }
        let barge = own("bargein").filter(|_| prompt).or_else(|| self.property("bargein"));
        let kind = own("bargeintype").filter(|_| prompt).or_else(|| self.property("bargeintype"));
        let bargein = match (barge.as_deref(), kind.as_deref()) {
            (Some("false"), _) => Bargein::None,
            (_, Some("hotword")) => Bargein::Hotword,
            _ => Bargein::Speech,
        };
        let mut segments = Vec::new();
        let mut style = Style::default();
        style.speech.lang = doc.lang(node).unwrap_or(&self.config.lang).to_owned();
        if prompt {
            style.speech.lexicons = self.lexicons(doc, node);
            self.speak_children(doc, node, &style, &mut segments)?;
        } else {
            for node in nodes {
                self.speak(doc, *node, &style, &mut segments)?;
            }
        }
        tidy(&mut segments);
        self.speakable(&segments)?;
        if !segments.is_empty() {
            self.queue.push(Prompt { bargein, segments });
        }
        Ok(())
    }

    /// VoiceXML 2.0 §5.2.6: text in a language that nobody speaks is an error, not silence.
    fn speakable(&self, segments: &[Segment]) -> Result<(), Event> {
        let languages = &self.config.languages;
        let speaks = |tag: &str| {
            languages.is_empty()
                || languages.iter().any(|known| {
                    let tag = tag.to_ascii_lowercase();
                    let rest = tag.strip_prefix(known.to_ascii_lowercase().as_str());
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
                })
        };
        let wrong = segments.iter().find_map(|s| match s {
            Segment::Text(speech) if !speaks(&speech.lang) => Some(speech.lang.clone()),
            _ => None,
        });
        match wrong {
            Some(lang) => Err(Event::with("error.unsupported.language", format!("nobody speaks '{lang}'"))),
            None => Ok(()),
        }
    }

    /// A message of the platform's own.
    pub(crate) fn queue_platform_text(&mut self, text: String) {
        let speech = Speech { text, lang: self.config.lang.clone(), ..Speech::default() };
        self.queue.push(Prompt { bargein: Bargein::Speech, segments: vec![Segment::Text(speech)] });
    }

    /// Gives the queue to the host: one play for each run of prompts that are cut alike.
    pub(crate) fn flush_queue(&mut self) {
        if self.hung_up {
            for prompt in std::mem::take(&mut self.queue) {
                let text = segments_text(&prompt.segments);
                self.emit(Output::Trace(Trace::Unheard { text }));
            }
            return;
        }
        let mut run: Vec<Prompt> = Vec::new();
        for prompt in std::mem::take(&mut self.queue) {
            if run.last().is_some_and(|p| p.bargein != prompt.bargein) {
                self.play(std::mem::take(&mut run));
            }
            run.push(prompt);
        }
        if !run.is_empty() {
            self.play(run);
        }
    }

    fn play(&mut self, prompts: Vec<Prompt>) {
        let id = PlayId(self.id());
        let marks = prompts.iter().flat_map(|p| &p.segments).any(|s| matches!(s, Segment::Mark { .. }));
        let bargein = prompts[0].bargein;
        self.playing.push_back(crate::machine::Playing { id, bargein, marks });
        self.emit(Output::Play { id, prompts });
    }

    /// SSML 1.0 §3.1.4: the lexicons of a prompt. One whose URL is none is as one that cannot be had.
    fn lexicons(&self, doc: &Arc<Document>, prompt: NodeId) -> Vec<String> {
        let base = self.prompt_base(doc, prompt);
        let all = doc.children(prompt).filter(|&child| doc.tag(child) == Tag::Lexicon);
        let urls = all.filter_map(|child| base.join(doc.attribute(child, "uri")?).ok());
        urls.take(LEXICONS_MAX).map(Into::into).collect()
    }

    fn speak_children(
        &mut self,
        doc: &Arc<Document>,
        node: NodeId,
        style: &Style,
        out: &mut Vec<Segment>,
    ) -> Result<(), Event> {
        for child in doc.children(node) {
            self.speak(doc, child, style, out)?;
        }
        Ok(())
    }

    fn speak(
        &mut self,
        doc: &Arc<Document>,
        node: NodeId,
        style: &Style,
        out: &mut Vec<Segment>,
    ) -> Result<(), Event> {
        if out.len() >= self.config.limits.segments_max {
            return Err(Event::semantic("a prompt has more segments than segments_max"));
        }
        let own = |name: &str| doc.attribute(node, name);
        match doc.tag(node) {
            Tag::Text => say(doc.text(node), style, out),
            Tag::Value => {
                if let Some(e) = doc.expression(node, "expr") {
                    let v = self.eval(e)?;
                    if let Some(name) = crate::machine::recording_name(&v) {
                        out.push(Segment::Recording { name });
                    } else {
                        say(&v.to_text(), style, out);
                    }
                }
            }
            Tag::Audio => self.audio(doc, node, style, out)?,
            Tag::Break => out.push(Segment::Break { ms: break_ms(doc, node) }),
            Tag::Mark => {
                let name = match (own("name"), doc.expression(node, "nameexpr")) {
                    (Some(name), _) => name.to_owned(),
                    (None, Some(e)) => self.eval_text(e)?,
                    (None, None) => return Ok(()),
                };
                out.push(Segment::Mark { name });
            }
            Tag::Sub => say(own("alias").unwrap_or(""), style, out),
            Tag::Enumerate => self.enumerate(doc, node, style, out)?,
            Tag::Foreach => {
                let (array, turns) = self.foreach_turns(doc, node)?;
                let item = own("item").map(str::to_owned);
                for turn in 0..turns {
                    if let Some(item) = &item {
                        self.set_item(&array, turn, item)?;
                    }
                    self.speak_children(doc, node, style, out)?;
                }
            }
            Tag::Desc | Tag::Lexicon | Tag::Meta | Tag::Metadata | Tag::Other => {}
            tag => {
                let style = style.inside(doc, node, tag);
                self.speak_children(doc, node, &style, out)?;
            }
        }
        Ok(())
    }

    /// §4.1.3: audio by URL or from a variable, with what is spoken when it cannot be had.
    fn audio(
        &mut self,
        doc: &Arc<Document>,
        node: NodeId,
        style: &Style,
        out: &mut Vec<Segment>,
    ) -> Result<(), Event> {
        let reference = match (doc.attribute(node, "src"), doc.expression(node, "expr")) {
            (Some(src), None) => src.to_owned(),
            (None, Some(e)) => {
                let v = self.eval(e)?;
                if let Some(name) = crate::machine::recording_name(&v) {
                    out.push(Segment::Recording { name });
                    return Ok(());
                }
                // §4.1.3: an undefined expression: the element is ignored, alternate content and all.
                if v == Value::Undefined {
                    return Ok(());
                }
                v.to_text()
            }
            _ => return Err(Event::badfetch("<audio> takes exactly one of src and expr")),
        };
        let mut fallback = Vec::new();
        self.speak_children(doc, node, style, &mut fallback)?;
        tidy(&mut fallback);
        let Some(url) = self.prompt_base(doc, node).join(&reference).ok() else {
            out.append(&mut fallback);
            return Ok(());
        };
        let caching = self.caching(doc, node, "audio");
        let timeout = doc.attribute(node, "fetchtimeout").and_then(time_ms);
        let timeout_ms = timeout.or_else(|| self.property_ms("fetchtimeout")).unwrap_or(7000);
        out.push(Segment::Audio { url: url.into(), timeout_ms, caching, fallback });
        Ok(())
    }

    /// `xml:base` of the prompt, else of the active document.
    fn prompt_base(&self, doc: &Arc<Document>, node: NodeId) -> url::Url {
        let active = self.levels.last().map_or_else(|| doc.base().clone(), |l| l.doc.base().clone());
        let mut at = Some(node);
        while let Some(n) = at {
            if doc.tag(n) == Tag::Prompt
                && let Some(base) = doc.attribute(n, "xml:base")
            {
                return active.join(base).unwrap_or(active);
            }
            at = doc.parent(n);
        }
        active
    }

    /// §2.2.4: the choices of the menu, or the options of the field, one after the other.
    fn enumerate(
        &mut self,
        doc: &Arc<Document>,
        node: NodeId,
        style: &Style,
        out: &mut Vec<Segment>,
    ) -> Result<(), Event> {
        let entries = self.enumerable();
        let Some(entries) = entries else {
            return Err(Event::semantic("<enumerate> has neither choices nor options"));
        };
        let template = doc.first_child(node).is_some();
        for (text, key) in entries {
            if !template {
                say(&text, style, out);
                out.push(Segment::Break { ms: 250 });
                continue;
            }
            let scope = self.chain()[4];
            self.scopes.define(scope, "_prompt", Value::text(text.trim()));
            self.scopes.define(scope, "_dtmf", key.map_or(Value::Undefined, Value::String));
            self.speak_children(doc, node, style, out)?;
        }
        Ok(())
    }

    /// Text and key of what can be chosen at the item being visited.
    fn enumerable(&mut self) -> Option<Vec<(String, Option<String>)>> {
        let doc = self.level().doc.clone();
        let dialog = self.level().dialog.as_ref()?;
        let node = dialog.current.map_or(dialog.node, |i| dialog.items[i].node);
        if doc.tag(node) == Tag::Menu {
            let keys = crate::machine::choice_keys(&doc, node);
            return Some(keys.into_iter().map(|(c, k)| (doc.full_text_without_grammars(c), k)).collect());
        }
        let options = doc.children(node).filter(|&c| doc.tag(c) == Tag::Option);
        let list: Vec<_> =
            options.map(|o| (doc.full_text(o), doc.attribute(o, "dtmf").map(str::to_owned))).collect();
        (!list.is_empty()).then_some(list)
    }

    /// The hidden variable and length of a `<foreach>` that is run at once.
    pub(crate) fn foreach_turns(&mut self, doc: &Document, node: NodeId) -> Result<(String, usize), Event> {
        let Some(array) = doc.expression(node, "array") else { return Ok((String::new(), 0)) };
        let chain = self.chain();
        let hidden = format!("$each{}", doc.position(node).0);
        self.scopes.eval_into(array, &chain, chain[4], &hidden).map_err(Event::semantic)?;
        let length = self.array_length(&hidden)?;
        Ok((hidden, length))
    }

    /// Sets a loop's variable to one element.
    pub(crate) fn set_item(&mut self, array: &str, turn: usize, item: &str) -> Result<(), Event> {
        let chain = self.chain();
        let element = Expr::new(&format!("{array}[{turn}]"));
        self.scopes.eval_into(&element, &chain, chain[4], item).map_err(Event::semantic)
    }
}

/// Lexicons of one prompt; further ones are not looked into.
const LEXICONS_MAX: usize = 8;

impl Style {
    fn inside(&self, doc: &Document, node: NodeId, tag: Tag) -> Style {
        let mut style = self.clone();
        let s = &mut style.speech;
        if let Some(lang) = doc.attribute(node, "xml:lang") {
            lang.clone_into(&mut s.lang);
        }
        let mut take = |names: &[&str], voice: bool| {
            for name in names {
                if let Some(v) = doc.attribute(node, name) {
                    let map = if voice { &mut s.voice } else { &mut s.prosody };
                    map.insert((*name).to_owned(), v.to_owned());
                }
            }
        };
        match tag {
            Tag::Voice => take(&["gender", "age", "variant", "name"], true),
            Tag::Prosody => take(&["pitch", "contour", "range", "rate", "duration", "volume"], false),
            Tag::Emphasis => {
                let level = doc.attribute(node, "level").unwrap_or("moderate");
                s.prosody.insert("emphasis".into(), level.to_owned());
            }
            Tag::SayAs => {
                let kind = doc.attribute(node, "interpret-as").or(doc.attribute(node, "type")).unwrap_or("");
                s.say_as = Some(SayAs {
                    interpret_as: kind.to_owned(),
                    format: doc.attribute(node, "format").map(str::to_owned),
                    detail: doc.attribute(node, "detail").map(str::to_owned),
                });
            }
            Tag::Phoneme => {
                let alphabet = doc.attribute(node, "alphabet").unwrap_or("ipa");
                s.phoneme = Some((alphabet.to_owned(), doc.attribute(node, "ph").unwrap_or("").to_owned()));
            }
            _ => {}
        }
        style
    }
}

/// Adds text, to the segment before if it sounds the same.
fn say(text: &str, style: &Style, out: &mut Vec<Segment>) {
    if let Some(Segment::Text(last)) = out.last_mut() {
        let same = Speech { text: String::new(), ..last.clone() }
            == Speech { text: String::new(), ..style.speech.clone() };
        if same {
            last.text.push_str(text);
            return;
        }
    }
    out.push(Segment::Text(Speech { text: text.to_owned(), ..style.speech.clone() }));
}

/// The words of a prompt; audio as its URL in brackets.
pub(crate) fn segments_text(segments: &[Segment]) -> String {
    let parts = segments.iter().filter_map(|s| match s {
        Segment::Text(t) => Some(t.text.clone()),
        Segment::Audio { url, .. } => Some(format!("[{url}]")),
        Segment::Recording { name } => Some(format!("[{name}]")),
        Segment::Break { .. } | Segment::Mark { .. } => None,
    });
    parts.collect::<Vec<_>>().join(" ")
}

/// Folds white space and drops what is left empty.
fn tidy(segments: &mut Vec<Segment>) {
    for s in segments.iter_mut() {
        if let Segment::Text(speech) = s {
            speech.text = speech.text.split_whitespace().collect::<Vec<_>>().join(" ");
        }
    }
    segments.retain(|s| !matches!(s, Segment::Text(speech) if speech.text.is_empty()));
}

/// SSML 1.0 §3.2.3: a time, or a strength with the platform's idea of it.
fn break_ms(doc: &Document, node: NodeId) -> u64 {
    if let Some(ms) = doc.attribute(node, "time").and_then(time_ms) {
        return ms;
    }
    match doc.attribute(node, "strength").or(doc.attribute(node, "size")) {
        Some("none") => 0,
        Some("x-weak") => 100,
        Some("weak" | "small") => 250,
        Some("strong" | "large") => 1000,
        Some("x-strong") => 1500,
        _ => 500,
    }
}
