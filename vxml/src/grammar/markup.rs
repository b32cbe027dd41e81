//! A small XML tree for grammar documents: bounded, namespace-aware, without DTD or external entities.

use super::error::{Fault, GrammarError, Place};
use super::limits::{Limit, Limits};
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

/// An element.
#[derive(Debug, Default)]
pub(super) struct Element {
    /// Local name.
    pub(super) name: Box<str>,
    /// In the namespace of grammars (or, inline in VoiceXML, in none of its own).
    pub(super) native: bool,
    /// Attributes without prefix, and `xml:` ones with it.
    pub(super) attributes: Vec<(Box<str>, Box<str>)>,
    pub(super) children: Vec<Child>,
    /// Octet offset of its start tag.
    pub(super) offset: usize,
}

/// Content.
#[derive(Debug)]
pub(super) enum Child {
    Element(Element),
    Text(String),
}

impl Element {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| &**n == name).map(|(_, v)| &**v)
    }

    /// The text of all that is inside.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for child in &self.children {
            match child {
                Child::Text(t) => text.push_str(t),
                Child::Element(e) => text.push_str(&e.text()),
            }
        }
        text
    }
}

/// The namespace of SRGS 1.0.
pub(super) const SRGS: &str = "http://www.w3.org/2001/06/grammar";
const VXML: &str = "http://www.w3.org/2001/vxml";

/// Parses a document to its root element. `inline`: cut out of a VoiceXML document, whose namespace declarations are
/// not seen here; then only foreign default namespaces count as foreign.
pub(super) fn parse(text: &str, inline: bool, limits: &Limits) -> Result<Element, GrammarError> {
    let mut builder =
        Builder { text, inline, limits, open: Vec::new(), scopes: Vec::new(), root: None, count: 0 };
    let mut reader = Reader::from_str(text);
    loop {
        let offset = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        match reader.read_event() {
            Err(_) => return Err(builder.fault(offset, Fault::NotWellFormed)),
            Ok(Event::Eof) => break,
            Ok(event) => builder.event(event, offset)?,
        }
    }
    if !builder.open.is_empty() {
        return Err(builder.fault(text.len(), Fault::NotWellFormed));
    }
    builder.root.ok_or_else(|| Fault::NotAGrammar.into())
}

/// Line and column of an octet offset.
pub(crate) fn place(text: &str, offset: usize) -> Place {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line = before.bytes().filter(|&b| b == b'\n').count() + 1;
    let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Place { line: small(line), column: small(column) }
}

/// The character data of a `<grammar>` without elements, from its source: where it begins, and whether it is raw.
fn inner(source: &str) -> (usize, usize, bool) {
    const RAW: &str = "<![CDATA[";
    let open = source.find('>').map_or(source.len(), |open| open + 1);
    let close = source[open..].rfind("</").map_or(source.len(), |close| open + close);
    let text = &source[open..close];
    let trimmed = text.trim();
    match trimmed.strip_prefix(RAW).and_then(|s| s.strip_suffix("]]>")) {
        Some(raw) => {
            let from = open + (text.len() - text.trim_start().len()) + RAW.len();
            (from, from + raw.len(), true)
        }
        None => (open, close, false),
    }
}

/// The ABNF that stands as text in a `<grammar>`, from its source.
pub(crate) fn inner_text(source: &str) -> String {
    let (from, to, raw) = inner(source);
    let text = &source[from..to];
    if raw {
        return text.trim_start().to_owned();
    }
    let plain = quick_xml::escape::unescape(text);
    plain.map_or_else(|_| text.to_owned(), std::borrow::Cow::into_owned).trim_start().to_owned()
}

/// An error in the ABNF that stands as text in a `<grammar>`, at its place in the element's source.
pub(crate) fn within(source: &str, e: GrammarError) -> GrammarError {
    if e.place.line == 0 {
        return e;
    }
    let (from, to, raw) = inner(source);
    let text = &source[from..to];
    let skipped = text.len() - text.trim_start().len();
    let (mut line, mut column) = (1, 1);
    let mut at = skipped;
    while at < text.len() && (line, column) != (e.place.line, e.place.column) && line <= e.place.line {
        let rest = &text[at..];
        let c = rest.chars().next().unwrap_or(' ');
        // A reference is one character of the text.
        let entity = rest.find(';').filter(|_| !raw && c == '&');
        at += entity.map_or(c.len_utf8(), |end| end + 1);
        (line, column) = if c == '\n' { (line + 1, 1) } else { (line, column + 1) };
    }
    GrammarError::at(place(source, from + at), e.fault)
}

struct Builder<'t> {
    text: &'t str,
    inline: bool,
    limits: &'t Limits,
    open: Vec<Element>,
    /// Per open element: namespace declarations it made.
    scopes: Vec<Vec<(Box<str>, Box<str>)>>,
    root: Option<Element>,
    count: usize,
}

impl Builder<'_> {
    fn fault(&self, offset: usize, fault: Fault) -> GrammarError {
        GrammarError::at(place(self.text, offset), fault)
    }

    fn event(&mut self, event: Event<'_>, offset: usize) -> Result<(), GrammarError> {
        match event {
            Event::Start(start) => self.start(&start, offset),
            Event::Empty(start) => {
                self.start(&start, offset)?;
                self.end(offset)
            }
            Event::End(_) => self.end(offset),
            Event::Text(text) => {
                let text = text.decode().map_err(|_| self.fault(offset, Fault::BadEncoding))?;
                self.add(&text, offset)
            }
            Event::CData(text) => {
                let text = text.decode().map_err(|_| self.fault(offset, Fault::BadEncoding))?;
                self.add(&text, offset)
            }
            Event::GeneralRef(reference) => {
                if let Ok(Some(c)) = reference.resolve_char_ref() {
                    return self.add(c.encode_utf8(&mut [0; 4]), offset);
                }
                let name = reference.decode().unwrap_or_default();
                let text = match &*name {
                    "lt" => "<",
                    "gt" => ">",
                    "amp" => "&",
                    "quot" => "\"",
                    "apos" => "'",
                    other => return Err(self.fault(offset, Fault::UnknownEntity(other.into()))),
                };
                self.add(text, offset)
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) | Event::Eof => Ok(()),
        }
    }

    fn start(&mut self, start: &BytesStart<'_>, offset: usize) -> Result<(), GrammarError> {
        if self.open.len() >= self.limits.depth_max {
            return Err(self.fault(offset, Fault::TooLarge(Limit::Depth)));
        }
        self.count += 1;
        if self.count > self.limits.nodes_max {
            return Err(self.fault(offset, Fault::TooLarge(Limit::Nodes)));
        }
        if self.root.is_some() {
            return Err(self.fault(offset, Fault::NotWellFormed));
        }
        let mut element = Element { offset, ..Element::default() };
        let mut declared = Vec::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|_| self.fault(offset, Fault::NotWellFormed))?;
            let key = std::str::from_utf8(attribute.key.as_ref()).map_err(|_| Fault::BadEncoding)?;
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|_| self.fault(offset, Fault::NotWellFormed))?;
            match key.split_once(':') {
                _ if key == "xmlns" => declared.push((Box::from(""), Box::from(&*value))),
                Some(("xmlns", prefix)) => declared.push((prefix.into(), Box::from(&*value))),
                // Attributes of other vocabularies are none of ours.
                Some((prefix, _)) if prefix != "xml" => {}
                _ => element.attributes.push((key.into(), Box::from(&*value))),
            }
        }
        self.scopes.push(declared);
        let name = start.name();
        let name = std::str::from_utf8(name.as_ref()).map_err(|_| Fault::BadEncoding)?;
        let (prefix, local) = name.split_once(':').unwrap_or(("", name));
        element.native = match self.namespace(prefix) {
            Some(uri) => uri == SRGS || (self.inline && uri == VXML),
            None => self.inline,
        };
        element.name = local.into();
        self.open.push(element);
        Ok(())
    }

    fn namespace(&self, prefix: &str) -> Option<&str> {
        let declared = self.scopes.iter().rev().flat_map(|s| s.iter().rev());
        declared.filter(|(p, _)| &**p == prefix).map(|(_, uri)| &**uri).next()
    }

    fn end(&mut self, offset: usize) -> Result<(), GrammarError> {
        self.scopes.pop();
        let done = self.open.pop().ok_or_else(|| self.fault(offset, Fault::NotWellFormed))?;
        match self.open.last_mut() {
            Some(parent) => parent.children.push(Child::Element(done)),
            None => self.root = Some(done),
        }
        Ok(())
    }

    fn add(&mut self, text: &str, offset: usize) -> Result<(), GrammarError> {
        match self.open.last_mut() {
            None if text.trim().is_empty() => Ok(()),
            None => Err(self.fault(offset, Fault::NotWellFormed)),
            Some(parent) => {
                match parent.children.last_mut() {
                    Some(Child::Text(last)) => last.push_str(text),
                    _ => parent.children.push(Child::Text(text.to_owned())),
                }
                Ok(())
            }
        }
    }
}
