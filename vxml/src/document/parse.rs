//! From octets to a tree: encoding, well-formedness, limits, and the rules of the schema with line and column.
//!
//! No DTD is read, no entity but XML's five is known, nothing external is fetched. A problem that makes the document
//! unusable ends in `error.badfetch` for whoever asked for it; the first one is the message.

use super::encoding::{is_xml_char, place_after, text_of};
use super::names::Tag;
use super::problem::{NAMESPACE, Problem, Rule};
use super::schema;
use super::{Attribute, Document, NONE, Node, NodeId};
use crate::limits::Limits;
use crate::values::illegal_property;
use quick_xml::escape::unescape;
use quick_xml::events::attributes::AttrError;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;
use std::collections::HashSet;
use std::sync::OnceLock;
use url::Url;

/// Parses a document. Problems come in document order; the tree is given only if none of them is fatal.
///
/// In lenient mode a missing or foreign namespace, versions like `1.0`, unknown attributes and misplaced elements
/// pass.
#[must_use]
pub fn parse(url: &Url, octets: &[u8], lenient: bool, limits: &Limits) -> (Option<Document>, Vec<Problem>) {
    parse_as(url, octets, None, lenient, limits)
}

/// Like [`parse`], with the charset that came with the octets, if one did (RFC 7303 §3: it wins over the declaration).
pub(crate) fn parse_as(
    url: &Url,
    octets: &[u8],
    charset: Option<&str>,
    lenient: bool,
    limits: &Limits,
) -> (Option<Document>, Vec<Problem>) {
    let (document, problems) = read(url, octets, charset, lenient, limits);
    let fatal = problems.iter().any(|p| p.rule.is_fatal());
    (document.filter(|_| !fatal), problems)
}

/// The tree as far as the document is well-formed, whatever else is wrong with it.
pub(crate) fn read(
    url: &Url,
    octets: &[u8],
    charset: Option<&str>,
    lenient: bool,
    limits: &Limits,
) -> (Option<Document>, Vec<Problem>) {
    if octets.len() > limits.document_octets_max {
        return (None, vec![problem_at(1, 1, Rule::Limit("document_octets_max"))]);
    }
    let source = match text_of(octets, charset) {
        Ok(source) => source,
        Err((before, rule)) => {
            let (line, column) = place_after(&String::from_utf8_lossy(&octets[..before]));
            return (None, vec![problem_at(line, column, rule)]);
        }
    };
    if let Some((at, c)) = source.char_indices().find(|&(_, c)| !is_xml_char(c)) {
        let (line, column) = place_after(&source[..at]);
        let what = format!("the character U+{:04X} may not stand in XML", u32::from(c));
        return (None, vec![problem_at(line, column, Rule::Malformed(what.into()))]);
    }
    let mut builder = Builder::new(&source, lenient, limits);
    builder.run();
    builder.finish(url)
}

fn problem_at(line: u32, column: u32, rule: Rule) -> Problem {
    Problem { line, column, rule }
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
                    if let Some(open) = self.open.last() {
                        let line = self.nodes[open.node as usize].line;
                        let what = format!("<{}> of line {line} is not closed", open.tag.name());
                        self.fail(Rule::Malformed(what.into()));
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
                    self.fail(Rule::Dtd);
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
            if !self.lenient {
                // The place of its first word, not of the white space before it.
                let blank = &text[..text.len() - text.trim_start().len()];
                let (lines, columns) = place_after(blank);
                let (line, column) =
                    if lines == 1 { (line, column + columns - 1) } else { (line + lines - 1, columns) };
                self.problems.push(problem_at(line, column, Rule::Misplaced(Tag::Text, parent)));
            }
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
        tag: &BytesStart<'_>,
    ) -> Option<(Vec<(String, String)>, Vec<(String, String)>)> {
        let (mut pairs, mut prefixes) = (Vec::new(), Vec::new());
        for attribute in tag.attributes() {
            let attribute = match attribute {
                Ok(a) => a,
                Err(e) => {
                    self.fail(Rule::Malformed(bad_attribute(tag, &e).into()));
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
        if tag == Tag::Choice
            && let Some((_, keys)) = pairs.iter().find(|(n, _)| n == "dtmf")
            && !matches!(keys.trim(), "*" | "#" | "0")
            && self.open.last().is_some_and(|o| o.tag == Tag::Menu && self.has(o.node, "dtmf", "true"))
        {
            self.strict(Rule::MenuKey(keys.as_str().into()));
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

    /// Whether a node has an attribute of that value.
    fn has(&self, node: u32, name: &str, value: &str) -> bool {
        let (from, to) = self.nodes[node as usize].attributes;
        let own = &self.attributes[from as usize..to as usize];
        own.iter().any(|a| *a.name == *name && a.value.trim() == value)
    }

    fn finish(mut self, url: &Url) -> (Option<Document>, Vec<Problem>) {
        if self.failed || self.nodes.is_empty() {
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
            illegal_properties: false,
        };
        let nodes = (0..u32::try_from(document.nodes.len()).expect("bounded by nodes_max")).map(NodeId);
        document.illegal_properties = nodes.filter(|&n| document.tag(n) == Tag::Property).any(|p| {
            let pair = document.attribute(p, "name").zip(document.attribute(p, "value"));
            pair.is_some_and(|(name, value)| illegal_property(name, value).is_some())
        });
        if let Some(base) = document.attribute(document.root(), "xml:base")
            && let Ok(base) = document.url.join(base)
        {
            document.base = base;
        }
        if !self.lenient {
            unique_names(&document, &mut self.problems);
        }
        (Some(document), self.problems)
    }
}

/// Dialogs have ids of their own (VoiceXML 2.0 §2.1), the form items of a form names of their own (§2.3).
fn unique_names(document: &Document, problems: &mut Vec<Problem>) {
    let mut once = |seen: &mut HashSet<String>, node: NodeId, attribute: &'static str| {
        let Some(name) = document.attribute(node, attribute) else { return };
        if !seen.insert(name.to_owned()) {
            let (line, column) = document.position(node);
            problems.push(problem_at(
                line,
                column,
                Rule::Duplicate(document.tag(node), attribute, name.into()),
            ));
        }
    };
    let mut ids = HashSet::new();
    for dialog in document.children(document.root()) {
        if !matches!(document.tag(dialog), Tag::Form | Tag::Menu) {
            continue;
        }
        once(&mut ids, dialog, "id");
        let mut names = HashSet::new();
        for item in document.children(dialog).filter(|&n| document.tag(n).is_form_item()) {
            once(&mut names, item, "name");
        }
    }
}

/// What is wrong with an attribute, in words that name it.
fn bad_attribute(tag: &BytesStart<'_>, error: &AttrError) -> String {
    match error {
        AttrError::Duplicated(at, _) => {
            let rest = String::from_utf8_lossy(tag.get(*at..).unwrap_or_default()).into_owned();
            let name = rest.split(|c: char| c == '=' || c.is_whitespace()).next().unwrap_or("");
            format!("the attribute '{name}' is given twice")
        }
        AttrError::ExpectedEq(_) => "an attribute has no value".to_owned(),
        AttrError::ExpectedValue(_) | AttrError::UnquotedValue(_) => {
            "an attribute's value is not in quotes".to_owned()
        }
        AttrError::ExpectedQuote(..) => "an attribute's closing quote is missing".to_owned(),
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
    fn xml_1_0_what_is_not_well_formed_is_told_where_and_why() {
        let one = |body: &str| {
            let (line, column, rule) = rules(&vxml(body), false)[0].clone();
            format!("{line}:{column}: {rule}")
        };
        assert_eq!(one("<form>\n a\0b"), "3:3: not well-formed: the character U+0000 may not stand in XML");
        assert_eq!(one("<form id='a' id='b'/>"), "2:1: not well-formed: the attribute 'id' is given twice");
        assert_eq!(one("<form>stray</form>"), "2:7: text may not stand in <form>");
        let url = Url::parse("http://h/d.vxml").expect("a URL");
        let open = format!("<vxml version='2.0' xmlns='{NAMESPACE}'>\n<form><block>Hi");
        let (_, problems) = parse(&url, open.as_bytes(), false, &Limits::default());
        assert_eq!(problems[0].rule.to_string(), "not well-formed: <block> of line 2 is not closed");
    }

    #[test]
    fn vxml20_2_3_names_are_unique() {
        let one = |body: &str| rules(&vxml(body), false).first().map(|r| r.2.to_string());
        assert_eq!(
            one("<form id='a'/><menu id='a'/>").as_deref(),
            Some("the id 'a' of <menu> is used twice")
        );
        let items = "<form><field name='a'/><block name='a'/></form>";
        assert_eq!(one(items).as_deref(), Some("the name 'a' of <block> is used twice"));
        assert_eq!(one("<form><field name='a'/></form><form><field name='a'/></form>"), None);
        assert_eq!(rules(&vxml(items), true), []);
    }

    #[test]
    fn xml_1_0_4_1_entities_are_refused() {
        let bomb = format!("<!DOCTYPE v [<!ENTITY a 'b'>]>{}", vxml("<form/>"));
        assert_eq!(rules(&bomb, false)[0].2, Rule::Dtd);
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
