//! The static checker: every problem of a document with line, column and the section it violates.
//!
//! Beyond what makes a session refuse a document it looks for what would only be found at run time: expressions and
//! grammars that do not compile, names that refer to nothing, values that an attribute cannot have.

use crate::document::{Document, NodeId, Problem, Rule, Tag, parse};
use crate::grammar::{self, Grammar, Mode};
use crate::limits::Limits;
use engine::{Config, Engine};
use serde_json::{Value, json};
use url::Url;

/// Checks a document. Problems come in the order of lines.
#[must_use]
pub fn check(url: &Url, octets: &[u8], lenient: bool, limits: &Limits) -> Vec<Problem> {
    let (document, mut problems) = parse(url, octets, lenient, limits);
    if let Some(document) = &document {
        let engine = Engine::new(&Config::default()).ok();
        let mut c = Checker { document, engine, problems: Vec::new() };
        c.names();
        c.node(document.root());
        problems.append(&mut c.problems);
    }
    problems.sort_by_key(|p| (p.line, p.column));
    problems
}

/// `FILE:LINE:COLUMN: MESSAGE (SECTION)`.
#[must_use]
pub fn human(file: &str, p: &Problem) -> String {
    format!("{file}:{}:{}: {} ({})", p.line, p.column, p.rule, p.rule.section())
}

/// One JSON object for `--json`.
#[must_use]
pub fn machine(file: &str, p: &Problem) -> Value {
    json!({
        "file": file,
        "line": p.line,
        "column": p.column,
        "message": p.rule.to_string(),
        "section": p.rule.section(),
        "fatal": p.rule.is_fatal(),
    })
}

struct Checker<'a> {
    document: &'a Document,
    engine: Option<Engine>,
    problems: Vec<Problem>,
}

/// Attributes that hold expressions, on whatever element.
const EXPRESSIONS: &[&str] = &[
    "expr",
    "cond",
    "eventexpr",
    "messageexpr",
    "destexpr",
    "aaiexpr",
    "srcexpr",
    "nameexpr",
    "expritem",
    "array",
];

/// Attributes that hold times.
const TIMES: &[&str] = &["timeout", "fetchtimeout", "maxtime", "finalsilence", "connecttimeout"];

/// Attributes with a closed list of values.
const VALUES: &[(&str, &[Tag], &[&str])] = &[
    ("scope", &[Tag::Form, Tag::Menu, Tag::Grammar], &["dialog", "document"]),
    ("accept", &[Tag::Menu, Tag::Choice, Tag::Option], &["exact", "approximate"]),
    ("mode", &[Tag::Filled], &["all", "any"]),
    ("mode", &[Tag::Grammar], &["voice", "dtmf"]),
    ("dtmf", &[Tag::Menu], &["true", "false"]),
    ("bargein", &[Tag::Prompt], &["true", "false"]),
    ("bargeintype", &[Tag::Prompt], &["speech", "hotword"]),
    ("modal", &[Tag::Field, Tag::Record], &["true", "false"]),
    ("beep", &[Tag::Record], &["true", "false"]),
    ("dtmfterm", &[Tag::Record], &["true", "false"]),
    ("bridge", &[Tag::Transfer], &["true", "false"]),
    ("type", &[Tag::Transfer], &["bridge", "blind", "consultation"]),
    ("method", &[Tag::Submit, Tag::Subdialog, Tag::Data], &["get", "post"]),
    (
        "enctype",
        &[Tag::Submit, Tag::Subdialog, Tag::Data],
        &["application/x-www-form-urlencoded", "multipart/form-data"],
    ),
    ("valuetype", &[Tag::Param], &["data", "ref"]),
];

impl Checker<'_> {
    fn report(&mut self, node: NodeId, rule: Rule) {
        let (line, column) = self.document.position(node);
        self.problems.push(Problem { line, column, rule });
    }

    fn node(&mut self, node: NodeId) {
        let d = self.document;
        let tag = d.tag(node);
        for name in EXPRESSIONS {
            if let Some(source) = d.attribute(node, name) {
                self.expression(node, name, source);
            }
        }
        self.values(node, tag);
        match tag {
            Tag::Script if d.first_child(node).is_some() => {
                let source = d.full_text(node);
                let error = self.engine.as_mut().and_then(|e| e.compile_program(&source, &[], &[]).err());
                if let Some(e) = error {
                    self.report(node, Rule::Script(format!("this program does not compile: {e}").into()));
                }
            }
            Tag::Grammar => self.grammar(node),
            Tag::Goto | Tag::Choice | Tag::Link | Tag::Submit => self.reference(node, tag),
            Tag::Field => self.field(node),
            _ => {}
        }
        for child in d.children(node) {
            self.node(child);
        }
    }

    fn expression(&mut self, node: NodeId, name: &str, source: &str) {
        let Some(engine) = &mut self.engine else { return };
        if let Err(e) = engine.compile(source) {
            self.report(node, Rule::Script(format!("'{name}' does not compile: {e}").into()));
        }
    }

    fn values(&mut self, node: NodeId, tag: Tag) {
        let d = self.document;
        for name in TIMES {
            if let Some(v) = d.attribute(node, name)
                && crate::machine::time_ms(v).is_none()
            {
                self.report(node, Rule::Value(tag, name, v.into()));
            }
        }
        for (name, tags, allowed) in VALUES {
            if tags.contains(&tag)
                && let Some(v) = d.attribute(node, name)
                && !allowed.contains(&v.trim())
            {
                self.report(node, Rule::Value(tag, name, v.into()));
            }
        }
        let count = d.attribute(node, "count").filter(|c| c.trim().parse::<u32>().is_err());
        if let Some(v) = count {
            self.report(node, Rule::Value(tag, "count", v.into()));
        }
    }

    /// `#id` must be a dialog here, `nextitem` an item of the form around it.
    fn reference(&mut self, node: NodeId, tag: Tag) {
        let d = self.document;
        if let Some(id) = d.attribute(node, "next").and_then(|n| n.trim().strip_prefix('#'))
            && d.dialog(Some(id)).is_none()
        {
            self.report(node, Rule::Dangling(tag, format!("#{id}").into()));
        }
        let Some(item) = d.attribute(node, "nextitem") else { return };
        let mut at = Some(node);
        while let Some(n) = at {
            if d.tag(n) == Tag::Form {
                let there =
                    d.children(n).any(|c| d.tag(c).is_form_item() && d.attribute(c, "name") == Some(item));
                if !there {
                    self.report(node, Rule::Dangling(tag, item.into()));
                }
                return;
            }
            at = d.parent(n);
        }
    }

    fn field(&mut self, node: NodeId) {
        let Some(kind) = self.document.attribute(node, "type") else { return };
        if let Err(e) = Grammar::from_builtin(kind, Mode::Dtmf, "en") {
            self.report(node, Rule::Grammar(e.to_string().into()));
        }
    }

    fn grammar(&mut self, node: NodeId) {
        let d = self.document;
        let source = d.text(node);
        let referred = ["src", "srcexpr"].iter().filter(|n| d.attribute(node, n).is_some()).count();
        let inline = crate::machine::has_content(source);
        if referred + usize::from(inline) != 1 {
            let of = &["src", "srcexpr", "content"];
            return self.report(node, Rule::Choose(Tag::Grammar, of, true, "VoiceXML 2.0 §3.1.1"));
        }
        if !inline {
            return;
        }
        let lang = d.lang(node).unwrap_or("en-US");
        if let Err(e) = crate::machine::parse_inline(d, node, lang, &grammar::Limits::default()) {
            self.report(node, Rule::Grammar(e.to_string().into()));
        }
    }

    /// Dialog ids and form item names are unique (VoiceXML 2.0 §2.1).
    fn names(&mut self) {
        let d = self.document;
        let mut ids = Vec::new();
        for dialog in d.children(d.root()).filter(|&n| matches!(d.tag(n), Tag::Form | Tag::Menu)) {
            if let Some(id) = d.attribute(dialog, "id") {
                if ids.contains(&id) {
                    self.report(dialog, Rule::Duplicate(id.into()));
                }
                ids.push(id);
            }
            let mut names = Vec::new();
            for item in d.children(dialog).filter(|&n| d.tag(n).is_form_item()) {
                let Some(name) = d.attribute(item, "name") else { continue };
                if names.contains(&name) {
                    self.report(item, Rule::Duplicate(name.into()));
                }
                names.push(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(body: &str) -> Vec<String> {
        let url = Url::parse("http://h/d.vxml").expect("a URL");
        let source = format!("<vxml version=\"2.1\" xmlns=\"http://www.w3.org/2001/vxml\">\n{body}\n</vxml>");
        let problems = check(&url, source.as_bytes(), false, &Limits::default());
        problems.iter().map(|p| human("d.vxml", p)).collect()
    }

    fn check_one(body: &str, expected: &str) {
        let found = found(body);
        assert!(found.iter().any(|f| f.contains(expected)), "{expected} not in {found:?}");
    }

    #[test]
    fn a_good_document_has_no_problem() {
        let body = "<form id='a'><field name='x' type='digits?length=4'><prompt timeout='5s'>Hi</prompt>\
                    <filled><if cond=\"x == '1'\"><goto next='#a'/></if></filled></field></form>";
        assert_eq!(found(body), Vec::<String>::new());
    }

    #[test]
    fn problems_are_told_with_their_place_and_section() {
        check_one("<form>\n<block><goto next='#b'/></block></form>", "d.vxml:3:8: <goto> refers to '#b'");
        check_one("<form><block><if cond='a ='>x</if></block></form>", "'cond' does not compile");
        check_one("<form><block><script>var = 1</script></block></form>", "this program does not compile");
        check_one(
            "<form><block><prompt timeout='5'>x</prompt></block></form>",
            "'5' is no value for 'timeout'",
        );
        check_one("<form id='a'/><form id='a'/>", "'a' is used twice");
        check_one("<form><field name='a' type='zzz'/></form>", "zzz");
        check_one(
            "<form><field name='a'><grammar><rule id='x'>y</rul></grammar></field></form>",
            "d.vxml:2:",
        );
        check_one("<form><field name='a'><grammar/></field></form>", "VoiceXML 2.0 §3.1.1");
        let abnf = |text: &str| {
            format!("<form><field name='a'><grammar type='application/srgs'>{text}</grammar></field></form>")
        };
        assert_eq!(found(&abnf("#ABNF 1.0;\nlanguage en; root $r; $r = yes | no;")), Vec::<String>::new());
        check_one(&abnf("#ABNF 1.0;\nlanguage en; root $r; $r = (yes | no;"), "expected");
        check_one(&abnf("#ABNF 1.0;\nlanguage en; root $x; $r = yes;"), "rule x is not defined");
        let other = "<form><field name='a'><grammar type='application/x-gsl'>[yes]</grammar></field></form>";
        check_one(other, "neither SRGS XML nor SRGS ABNF");
        check_one("<form><block><goto nextitem='zz'/></block></form>", "refers to 'zz'");
        check_one("<form><filled mode='some'/></form>", "'some' is no value for 'mode'");
        check_one("<form><block><exit expr='1' namelist='a'/></block></form>", "§5.3.9");
    }
}
