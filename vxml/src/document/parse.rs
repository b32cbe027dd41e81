//! From octets to a tree: encoding, well-formedness, limits, and the rules of the schema with line and column.
//!
//! No DTD is read, no entity but XML's five is known, nothing external is fetched. A problem that makes the document
//! unusable ends in `error.badfetch` for whoever asked for it; the first one is the message.

use super::names::Tag;
use super::schema;
use super::{Attribute, Document, NONE, Node};
use crate::limits::Limits;
use quick_xml::escape::unescape;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;
use std::fmt;
use std::sync::OnceLock;
use url::Url;

/// The namespace of VoiceXML 2.0 and 2.1.
pub(crate) const NAMESPACE: &str = "http://www.w3.org/2001/vxml";

/// Something wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1, in characters.
    pub column: u32,
    /// What is wrong.
    pub rule: Rule,
}

/// The rule that a document breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The octets are no text in the encoding they claim.
    Encoding,
    /// XML 1.0 well-formedness; what the parser says.
    Malformed(Box<str>),
    /// An entity other than XML's own five, or a DTD that declares one.
    Entity(Box<str>),
    /// A limit of ours, by its name.
    Limit(&'static str),
    /// The outermost element is not `<vxml>`.
    NotVxml,
    /// The namespace is missing or another one.
    Namespace,
    /// `version` is neither 2.0 nor 2.1.
    Version(Box<str>),
    /// No such element.
    UnknownElement(Box<str>),
    /// The element may not stand there.
    Misplaced(Tag, Tag),
    /// No such attribute.
    UnknownAttribute(Tag, Box<str>),
    /// The attribute must be given.
    Missing(Tag, &'static str),
    /// Exactly one (`true`) or at most one of these must be given.
    Choose(Tag, &'static [&'static str], bool, &'static str),
    /// A value that the attribute cannot have.
    Value(Tag, &'static str, Box<str>),
    /// Two dialogs, or two form items, with one name.
    Duplicate(Box<str>),
    /// A name that refers to nothing in the document.
    Dangling(Tag, Box<str>),
    /// An expression or program that does not compile.
    Script(Box<str>),
    /// A grammar that does not parse.
    Grammar(Box<str>),
}

impl Rule {
    /// Whether a session that meets it must refuse the document.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        !matches!(self, Rule::Dangling(..) | Rule::Script(_) | Rule::Grammar(_))
    }

    /// The section of the standard that it violates.
    #[must_use]
    pub fn section(&self) -> &'static str {
        match self {
            Rule::Encoding => "XML 1.0 §4.3.3",
            Rule::Malformed(_) => "XML 1.0 §2.1",
            Rule::Entity(_) => "XML 1.0 §4.1",
            Rule::Limit(_) => "limits of the platform",
            Rule::NotVxml | Rule::Namespace | Rule::Version(_) => "VoiceXML 2.0 §1.5.1",
            Rule::UnknownElement(_) => "VoiceXML 2.0 §1.4",
            Rule::Misplaced(..) | Rule::UnknownAttribute(..) | Rule::Missing(..) => "VoiceXML 2.0 appendix B",
            Rule::Choose(_, _, _, section) => section,
            Rule::Value(..) => "VoiceXML 2.0 appendix B",
            Rule::Duplicate(_) => "VoiceXML 2.0 §2.1",
            Rule::Dangling(..) => "VoiceXML 2.0 §5.3.7",
            Rule::Script(_) => "VoiceXML 2.0 §5.1",
            Rule::Grammar(_) => "SRGS 1.0 §4",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Encoding => f.write_str("the text is not in its encoding"),
            Rule::Malformed(what) => write!(f, "not well-formed: {what}"),
            Rule::Entity(name) => write!(f, "entity '{name}' is not known; DTDs are not read"),
            Rule::Limit(name) => write!(f, "larger than the limit {name}"),
            Rule::NotVxml => f.write_str("the outermost element must be <vxml>"),
            Rule::Namespace => write!(f, "the namespace must be {NAMESPACE}"),
            Rule::Version(v) => write!(f, "version '{v}' is not 2.0 or 2.1"),
            Rule::UnknownElement(name) => write!(f, "there is no element <{name}>"),
            Rule::Misplaced(child, parent) => {
                write!(f, "<{}> may not stand in <{}>", child.name(), parent.name())
            }
            Rule::UnknownAttribute(tag, name) => write!(f, "<{}> has no attribute '{name}'", tag.name()),
            Rule::Missing(tag, name) => write!(f, "<{}> needs '{name}'", tag.name()),
            Rule::Choose(tag, of, one, _) => {
                let how = if *one { "exactly one" } else { "at most one" };
                write!(f, "<{}> takes {how} of {}", tag.name(), of.join(", "))
            }
            Rule::Value(tag, name, v) => write!(f, "'{v}' is no value for '{name}' of <{}>", tag.name()),
            Rule::Duplicate(name) => write!(f, "the name '{name}' is used twice"),
            Rule::Dangling(tag, name) => write!(f, "<{}> refers to '{name}', which is not there", tag.name()),
            Rule::Script(what) | Rule::Grammar(what) => f.write_str(what),
        }
    }
}

/// Parses a document. Problems come in document order; the tree is given only if none of them is fatal.
///
/// In lenient mode a missing or foreign namespace, versions like `1.0`, unknown attributes and misplaced elements
/// pass.
#[must_use]
pub fn parse(url: &Url, octets: &[u8], lenient: bool, limits: &Limits) -> (Option<Document>, Vec<Problem>) {
    if octets.len() > limits.document_octets_max {
        return (None, vec![problem_at(1, 1, Rule::Limit("document_octets_max"))]);
    }
    let Some(source) = decode(octets) else {
        return (None, vec![problem_at(1, 1, Rule::Encoding)]);
    };
    let mut builder = Builder::new(&source, lenient, limits);
    builder.run();
    builder.finish(url)
}

fn problem_at(line: u32, column: u32, rule: Rule) -> Problem {
    Problem { line, column, rule }
}

/// XML 1.0 appendix F: a byte order mark, else the declaration's encoding, else UTF-8.
pub(crate) fn decode(octets: &[u8]) -> Option<String> {
    let utf16 = |octets: &[u8], read: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = octets.chunks_exact(2).map(|c| read([c[0], c[1]])).collect();
        String::from_utf16(&units).ok()
    };
    match octets {
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8(rest.to_vec()).ok(),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [b'<', 0, ..] => utf16(octets, u16::from_le_bytes),
        [0, b'<', ..] => utf16(octets, u16::from_be_bytes),
        _ => {
            let head = String::from_utf8_lossy(&octets[..octets.len().min(200)]).to_ascii_lowercase();
            let declared = head.split("?>").next().unwrap_or("");
            let latin = declared.starts_with("<?xml")
                && ["iso-8859-1", "latin1", "windows-1252"].iter().any(|e| declared.contains(e));
            if latin {
                Some(octets.iter().map(|&b| char::from(b)).collect())
            } else {
                String::from_utf8(octets.to_vec()).ok()
            }
        }
    }
}

struct Open {
    node: u32,
    last: u32,
    tag: Tag,
    prefixes: Vec<(String, String)>,
}

struct Builder<'a> {
    source: &'a str,
    lenient: bool,
    limits: &'a Limits,
    nodes: Vec<Node>,
    attributes: Vec<Attribute>,
    text: String,
    open: Vec<Open>,
    problems: Vec<Problem>,
    // Position of `offset` in lines and columns, moved on as events come.
    offset: usize,
    line: u32,
    column: u32,
    /// Inside a grammar: where it began and how deep we are in it.
    grammar: Option<(u32, usize, usize)>,
    pending: Option<(u32, u32, String)>,
    failed: bool,
}

impl<'a> Builder<'a> {
    fn new(source: &'a str, lenient: bool, limits: &'a Limits) -> Self {
        Self {
            source,
            lenient,
            limits,
            nodes: Vec::new(),
            attributes: Vec::new(),
            text: String::new(),
            open: Vec::new(),
            problems: Vec::new(),
            offset: 0,
            line: 1,
            column: 1,
            grammar: None,
            pending: None,
            failed: false,
        }
    }

    fn run(&mut self) {
        let mut reader = Reader::from_str(self.source);
        while !self.failed {
            let start = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
            let event = reader.read_event();
            let end = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
            self.advance(start);
            match event {
                Ok(Event::Eof) => {
                    if !self.open.is_empty() {
                        self.fail(Rule::Malformed("an element is not closed".into()));
                    }
                    break;
                }
                Ok(event) => self.event(event, start, end),
                Err(e) => self.fail(Rule::Malformed(e.to_string().into())),
            }
        }
        if self.nodes.is_empty() && !self.failed {
            self.fail(Rule::NotVxml);
        }
    }

    fn event(&mut self, event: Event<'_>, start: usize, end: usize) {
        match event {
            Event::Start(e) => self.start(&e, start, false),
            Event::Empty(e) => {
                self.start(&e, start, true);
                self.end(end);
            }
            Event::End(_) => self.end(end),
            Event::Text(t) => match t.decode() {
                Ok(s) => self.characters(&s),
                Err(e) => self.fail(Rule::Malformed(e.to_string().into())),
            },
            Event::CData(t) => match t.decode() {
                Ok(s) => self.characters(&s),
                Err(e) => self.fail(Rule::Malformed(e.to_string().into())),
            },
            Event::GeneralRef(r) => {
                let name = String::from_utf8_lossy(&r).into_owned();
                match unescape(&format!("&{name};")) {
                    Ok(s) => self.characters(&s),
                    Err(_) => self.fail(Rule::Entity(name.into())),
                }
            }
            Event::DocType(d) => {
                if d.windows(8).any(|w| w == b"<!ENTITY") {
                    self.fail(Rule::Entity("declared in the DTD".into()));
                }
            }
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::Eof => {}
        }
    }

    /// Moves the line and column counters to an offset.
    fn advance(&mut self, to: usize) {
        let to = to.min(self.source.len());
        for c in self.source.get(self.offset..to).unwrap_or("").chars() {
            if c == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.offset = self.offset.max(to);
    }

    fn report(&mut self, rule: Rule) {
        if self.problems.len() < 1000 {
            self.problems.push(problem_at(self.line, self.column, rule));
        }
    }

    fn fail(&mut self, rule: Rule) {
        self.report(rule);
        self.failed = true;
    }

    /// A rule that lenient mode waives.
    fn strict(&mut self, rule: Rule) {
        if !self.lenient {
            self.report(rule);
        }
    }

    fn start(&mut self, e: &BytesStart<'_>, start: usize, _empty: bool) {
        if let Some((_, _, depth)) = &mut self.grammar {
            *depth += 1;
            let deep = *depth;
            if deep + self.open.len() > self.limits.depth_max {
                self.fail(Rule::Limit("depth_max"));
            }
            return;
        }
        self.flush_text();
        if self.open.len() >= self.limits.depth_max {
            return self.fail(Rule::Limit("depth_max"));
        }
        let Some((pairs, prefixes)) = self.attribute_list(e) else { return };
        let name = String::from_utf8_lossy(e.name().as_ref()).into_owned();
        let tag = self.tag_of(&name, &prefixes);
        let parent = self.open.last().map(|o| o.tag);
        match (parent, tag) {
            (None, Tag::Vxml) => {}
            (None, _) => return self.fail(Rule::NotVxml),
            (Some(Tag::Other | Tag::Metadata), _) => {}
            (Some(_), Tag::Other) if !name.contains(':') => self.strict(Rule::UnknownElement(name.into())),
            (Some(_), Tag::Other) => {}
            (Some(p), t) if !schema::nests(p, t) => self.strict(Rule::Misplaced(t, p)),
            _ => {}
        }
        self.check_attributes(tag, &pairs);
        let node = self.push(tag, pairs, (0, 0));
        self.open.push(Open { node, last: NONE, tag, prefixes });
        if tag == Tag::Grammar {
            self.grammar = Some((node, start, 1));
        }
    }

    fn end(&mut self, end: usize) {
        if let Some((node, start, depth)) = &mut self.grammar {
            *depth -= 1;
            if *depth > 0 {
                return;
            }
            let (node, start) = (*node, *start);
            self.grammar = None;
            let source = self.source;
            let range = self.intern(source.get(start..end).unwrap_or(""));
            self.nodes[node as usize].text = range;
        }
        self.flush_text();
        self.open.pop();
    }

    fn characters(&mut self, s: &str) {
        if self.grammar.is_some() || self.open.is_empty() {
            return;
        }
        if let Some((_, _, text)) = &mut self.pending {
            text.push_str(s);
        } else {
            self.pending = Some((self.line, self.column, s.to_owned()));
        }
    }

    /// Makes a node of the text read so far; white space alone matters only where text may stand.
    fn flush_text(&mut self) {
        let Some((line, column, text)) = self.pending.take() else { return };
        let parent = self.open.last().map_or(Tag::Other, |o| o.tag);
        let mixed = parent == Tag::Prompt || parent.is_ssml() || parent == Tag::Log;
        if text.trim().is_empty() && !mixed {
            return;
        }
        if !matches!(parent, Tag::Other | Tag::Metadata) && !schema::nests(parent, Tag::Text) {
            self.strict(Rule::Misplaced(Tag::Text, parent));
            return;
        }
        let range = self.intern(&text);
        let node = self.push(Tag::Text, Vec::new(), range);
        let n = &mut self.nodes[node as usize];
        (n.line, n.column) = (line, column);
    }

    fn intern(&mut self, s: &str) -> (u32, u32) {
        let at = |n: usize| u32::try_from(n).expect("bounded by document_octets_max");
        let start = at(self.text.len());
        self.text.push_str(s);
        (start, at(self.text.len()))
    }

    fn push(&mut self, tag: Tag, pairs: Vec<(String, String)>, text: (u32, u32)) -> u32 {
        if self.nodes.len() >= self.limits.nodes_max {
            self.fail(Rule::Limit("nodes_max"));
        }
        let index = |n: usize| u32::try_from(n).expect("bounded by nodes_max");
        let first = index(self.attributes.len());
        self.attributes.extend(pairs.into_iter().map(|(name, value)| Attribute {
            name: name.into(),
            value: value.into(),
            compiled: OnceLock::new(),
        }));
        let node = index(self.nodes.len());
        let parent = self.open.last().map_or(NONE, |o| o.node);
        self.nodes.push(Node {
            tag,
            parent,
            first: NONE,
            next: NONE,
            attributes: (first, index(self.attributes.len())),
            text,
            line: self.line,
            column: self.column,
        });
        if let Some(open) = self.open.last_mut() {
            if open.last == NONE {
                self.nodes[open.node as usize].first = node;
            } else {
                self.nodes[open.last as usize].next = node;
            }
            open.last = node;
        }
        node
    }

    #[expect(clippy::type_complexity, reason = "attributes and the prefixes they declare, used once")]
    fn attribute_list(
        &mut self,
        e: &BytesStart<'_>,
    ) -> Option<(Vec<(String, String)>, Vec<(String, String)>)> {
        let (mut pairs, mut prefixes) = (Vec::new(), Vec::new());
        for attribute in e.attributes() {
            let attribute = match attribute {
                Ok(a) => a,
                Err(e) => {
                    self.fail(Rule::Malformed(e.to_string().into()));
                    return None;
                }
            };
            if pairs.len() + prefixes.len() >= self.limits.attributes_max {
                self.fail(Rule::Limit("attributes_max"));
                return None;
            }
            if attribute.value.len() > self.limits.attribute_octets_max {
                self.fail(Rule::Limit("attribute_octets_max"));
                return None;
            }
            let name = String::from_utf8_lossy(attribute.key.as_ref()).into_owned();
            let raw = String::from_utf8_lossy(&attribute.value).into_owned();
            if raw.contains('<') {
                self.fail(Rule::Malformed("'<' in an attribute".into()));
                return None;
            }
            let Ok(value) = unescape(&raw) else {
                self.fail(Rule::Entity(raw.into()));
                return None;
            };
            // XML 1.0 §3.3.3: line ends in attribute values read as spaces.
            let value = value.replace(['\n', '\r', '\t'], " ");
            if name == "xmlns" {
                prefixes.push((String::new(), value));
            } else if let Some(prefix) = name.strip_prefix("xmlns:") {
                prefixes.push((prefix.to_owned(), value));
            } else {
                pairs.push((name, value));
            }
        }
        Some((pairs, prefixes))
    }

    /// The element that a qualified name means, by the namespaces in scope.
    fn tag_of(&mut self, name: &str, own: &[(String, String)]) -> Tag {
        let (prefix, local) = name.split_once(':').unwrap_or(("", name));
        let bound = own
            .iter()
            .chain(self.open.iter().rev().flat_map(|o| &o.prefixes))
            .find(|(p, _)| p == prefix)
            .map(|(_, uri)| uri.as_str());
        let ours = match bound {
            Some(NAMESPACE | "http://www.w3.org/2001/06/grammar" | "http://www.w3.org/2001/10/synthesis") => {
                true
            }
            Some(_) => self.lenient && prefix.is_empty(),
            None => prefix.is_empty(),
        };
        if local == "vxml" && self.open.is_empty() && (!ours || bound.is_none()) {
            self.strict(Rule::Namespace);
            return Tag::Vxml;
        }
        if ours { Tag::from_name(local) } else { Tag::Other }
    }

    fn check_attributes(&mut self, tag: Tag, pairs: &[(String, String)]) {
        if tag == Tag::Other {
            return;
        }
        let has = |name: &str| pairs.iter().any(|(n, _)| n == name);
        for (name, _) in pairs {
            let foreign = name.contains(':') && !name.starts_with("xml:");
            if !foreign && name != "xml:space" && !schema::allows(tag, name) {
                self.strict(Rule::UnknownAttribute(tag, name.as_str().into()));
            }
        }
        for name in schema::required(tag) {
            if !has(name) {
                self.report(Rule::Missing(tag, name));
            }
        }
        for choose in schema::choices(tag) {
            let given = choose.of.iter().filter(|n| has(n)).count();
            if given > 1 || given == 0 && choose.one {
                self.report(Rule::Choose(tag, choose.of, choose.one, choose.section));
            }
        }
        if tag == Tag::Vxml {
            let version = pairs.iter().find(|(n, _)| n == "version").map(|(_, v)| v.as_str());
            if let Some(v) = version
                && v != "2.0"
                && v != "2.1"
            {
                self.strict(Rule::Version(v.into()));
            }
        }
    }

    fn finish(self, url: &Url) -> (Option<Document>, Vec<Problem>) {
        let fatal = self.problems.iter().any(|p| p.rule.is_fatal());
        if fatal || self.nodes.is_empty() {
            return (None, self.problems);
        }
        let mut url = url.clone();
        url.set_fragment(None);
        let scripts = self.nodes.iter().enumerate().filter(|(_, n)| n.tag == Tag::Script);
        let programs = scripts
            .map(|(i, _)| (u32::try_from(i).expect("bounded by nodes_max"), OnceLock::new()))
            .collect();
        let mut document = Document {
            base: url.clone(),
            url,
            nodes: self.nodes,
            attributes: self.attributes,
            text: self.text,
            programs,
        };
        if let Some(base) = document.attribute(document.root(), "xml:base")
            && let Ok(base) = document.url.join(base)
        {
            document.base = base;
        }
        (Some(document), self.problems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(source: &str, lenient: bool) -> Vec<(u32, u32, Rule)> {
        let url = Url::parse("http://h/d.vxml").expect("a URL");
        let (_, problems) = parse(&url, source.as_bytes(), lenient, &Limits::default());
        problems.into_iter().map(|p| (p.line, p.column, p.rule)).collect()
    }

    fn vxml(body: &str) -> String {
        format!("<vxml version=\"2.0\" xmlns=\"{NAMESPACE}\">\n{body}\n</vxml>")
    }

    #[test]
    fn a_good_document_has_no_problem() {
        assert_eq!(rules(&vxml("<form id='a'><block>Hi &amp; bye<exit/></block></form>"), false), []);
    }

    #[test]
    fn problems_carry_line_and_column() {
        assert_eq!(
            rules(&vxml("<form>\n <blok/></form>"), false),
            [(3, 2, Rule::UnknownElement("blok".into()))]
        );
        assert_eq!(
            rules(&vxml("<form><block><goto/></block></form>"), false)[0].2.to_string(),
            "<goto> takes exactly one of next, expr, nextitem, expritem"
        );
        assert_eq!(rules(&vxml("<form><field bar='1'/></form>"), true), []);
    }

    #[test]
    fn xml_1_0_4_1_entities_are_refused() {
        let bomb = format!("<!DOCTYPE v [<!ENTITY a 'b'>]>{}", vxml("<form/>"));
        assert!(matches!(rules(&bomb, false)[0].2, Rule::Entity(_)));
        assert!(matches!(rules(&vxml("<form><block>&a;</block></form>"), false)[0].2, Rule::Entity(_)));
    }

    #[test]
    fn hostile_shapes_end_at_a_named_limit() {
        let deep = vxml(&format!("<form>{}", "<block>".repeat(100_000)));
        assert!(rules(&deep, true).iter().any(|r| r.2 == Rule::Limit("depth_max")));
        let wide = vxml(&format!("<form {}/>", (0..1000).map(|i| format!("a{i}='' ")).collect::<String>()));
        assert!(rules(&wide, true).iter().any(|r| r.2 == Rule::Limit("attributes_max")));
        let many = vxml(&"<form/>".repeat(200_001));
        assert!(rules(&many, true).iter().any(|r| r.2 == Rule::Limit("nodes_max")));
        assert_eq!(rules(&" ".repeat(3 << 20), true)[0].2, Rule::Limit("document_octets_max"));
    }

    #[test]
    fn a_grammar_keeps_its_source() {
        let url = Url::parse("http://h/d.vxml").expect("a URL");
        let source = vxml("<form><field name='a'><grammar><rule id='r'>x</rule></grammar></field></form>");
        let d = parse(&url, source.as_bytes(), false, &Limits::default()).0.expect("parses");
        let field = d.first_child(d.dialog(None).expect("a form")).expect("a field");
        let grammar = d.first_child(field).expect("a grammar");
        assert_eq!(d.text(grammar), "<grammar><rule id='r'>x</rule></grammar>");
    }
}
