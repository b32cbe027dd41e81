//! The static checker: every problem of a document with line, column and the section it violates.
//!
//! Beyond what makes a session refuse a document it looks for what would only be found at run time: expressions and
//! grammars that do not compile, names that refer to nothing, values that an attribute cannot have.

use crate::document::{Document, NodeId, Problem, Rule, Tag, read};
use crate::grammar::{self, Grammar, Mode, Network};
use crate::limits::Limits;
use engine::{Config, Engine};
use serde_json::{Value, json};
use std::sync::Arc;
use url::Url;

/// Checks a document, with the charset that came with it, if one did. Problems come in the order of lines.
#[must_use]
pub fn check(
    url: &Url,
    octets: &[u8],
    charset: Option<&str>,
    lenient: bool,
    limits: &Limits,
) -> Vec<Problem> {
    let (document, mut problems) = read(url, octets, charset, lenient, limits);
    if let Some(document) = &document {
        let engine = Engine::new(&Config::default()).ok();
        let mut c = Checker { document, engine, problems: Vec::new() };
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

/// What a value may be, where that is no closed list.
type Fits = fn(&str) -> bool;

/// Attributes of any element, and the values they may have.
const SHAPES: &[(&str, Fits)] = &[
    ("fetchhint", |v| matches!(v, "prefetch" | "safe")),
    // SSML 1.0 §3.2.3: of <break>.
    ("time", is_time),
    ("maxage", is_count),
    ("maxstale", is_count),
    ("weight", |v| v.parse::<f32>().is_ok_and(|w| w >= 0.0 && w.is_finite())),
];

/// VoiceXML 2.0 §6.3 and 2.1 §7: the standard's properties and what they may be. Others are the platform's affair.
const PROPERTIES: &[(&str, Fits)] = &[
    ("confidencelevel", is_share),
    ("sensitivity", is_share),
    ("speedvsaccuracy", is_share),
    ("completetimeout", is_time),
    ("incompletetimeout", is_time),
    ("maxspeechtimeout", is_time),
    ("interdigittimeout", is_time),
    ("termtimeout", is_time),
    ("termchar", |v| v.is_empty() || v.len() == 1 && are_keys(v)),
    ("timeout", is_time),
    ("bargein", is_bool),
    ("bargeintype", |v| matches!(v, "speech" | "hotword")),
    ("audiofetchhint", is_hint),
    ("documentfetchhint", is_hint),
    ("grammarfetchhint", is_hint),
    ("objectfetchhint", is_hint),
    ("scriptfetchhint", is_hint),
    ("datafetchhint", is_hint),
    ("audiomaxage", is_count),
    ("documentmaxage", is_count),
    ("grammarmaxage", is_count),
    ("objectmaxage", is_count),
    ("scriptmaxage", is_count),
    ("datamaxage", is_count),
    ("audiomaxstale", is_count),
    ("documentmaxstale", is_count),
    ("grammarmaxstale", is_count),
    ("objectmaxstale", is_count),
    ("scriptmaxstale", is_count),
    ("datamaxstale", is_count),
    ("fetchaudiodelay", is_time),
    ("fetchaudiominimum", is_time),
    ("fetchtimeout", is_time),
    ("inputmodes", |v| v.split_whitespace().all(|m| matches!(m, "dtmf" | "voice"))),
    ("universals", |v| {
        v.split_whitespace().all(|u| matches!(u, "none" | "all" | "help" | "exit" | "cancel"))
    }),
    ("maxnbest", |v| v.parse::<u32>().is_ok_and(|n| n > 0)),
    ("recordutterance", is_bool),
];

fn is_time(v: &str) -> bool {
    crate::machine::time_ms(v).is_some()
}

fn is_share(v: &str) -> bool {
    v.parse::<f32>().is_ok_and(|n| (0.0..=1.0).contains(&n))
}

fn is_bool(v: &str) -> bool {
    matches!(v, "true" | "false")
}

fn is_hint(v: &str) -> bool {
    matches!(v, "prefetch" | "safe")
}

fn is_count(v: &str) -> bool {
    v.parse::<u64>().is_ok()
}

/// DTMF keys, with or without white space between them.
fn are_keys(v: &str) -> bool {
    let mut keys = v.chars().filter(|c| !c.is_whitespace()).peekable();
    keys.peek().is_some() && keys.all(|c| matches!(c, '0'..='9' | '*' | '#' | 'A'..='D' | 'a'..='d'))
}

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
            Tag::Goto | Tag::Choice | Tag::Link | Tag::Submit | Tag::Subdialog => self.reference(node, tag),
            Tag::Field => self.field(node),
            Tag::Filled => self.filled(node),
            Tag::Property => self.property(node),
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
        for (name, fits) in SHAPES {
            if let Some(v) = d.attribute(node, name).filter(|v| !fits(v.trim())) {
                self.report(node, Rule::Value(tag, name, v.into()));
            }
        }
        let count = d.attribute(node, "count").filter(|c| !c.trim().parse::<u32>().is_ok_and(|n| n > 0));
        if let Some(v) = count {
            self.report(node, Rule::Value(tag, "count", v.into()));
        }
        let keys = d.attribute(node, "dtmf").filter(|v| !are_keys(v));
        if let Some(v) = keys.filter(|_| matches!(tag, Tag::Choice | Tag::Option | Tag::Link)) {
            self.report(node, Rule::Value(tag, "dtmf", v.into()));
        }
        // §5.1.1: variables have names that ECMAScript knows as such.
        let name = d.attribute(node, "name").filter(|n| !crate::script::is_identifier(n));
        if let Some(v) = name.filter(|_| tag == Tag::Var || tag.is_form_item()) {
            self.report(node, Rule::Value(tag, "name", v.into()));
        }
    }

    fn property(&mut self, node: NodeId) {
        let d = self.document;
        let (Some(name), Some(value)) = (d.attribute(node, "name"), d.attribute(node, "value")) else {
            return;
        };
        if let Some((known, fits)) = PROPERTIES.iter().find(|(n, _)| *n == name)
            && !fits(value.trim())
        {
            self.report(node, Rule::Value(Tag::Property, known, value.into()));
        }
    }

    /// §2.4: a form's `<filled>` names input items of its form.
    fn filled(&mut self, node: NodeId) {
        let d = self.document;
        let (Some(names), Some(form)) = (d.attribute(node, "namelist"), d.parent(node)) else { return };
        if d.tag(form) != Tag::Form {
            return;
        }
        for name in names.split_whitespace() {
            let mut items = d.children(form).filter(|&c| d.tag(c).is_input_item());
            if !items.any(|c| d.attribute(c, "name") == Some(name)) {
                self.report(node, Rule::Dangling(Tag::Filled, name.into()));
            }
        }
    }

    /// `#id` must be a dialog here, `nextitem` an item of the form around it.
    fn reference(&mut self, node: NodeId, tag: Tag) {
        let d = self.document;
        let next = d.attribute(node, if tag == Tag::Subdialog { "src" } else { "next" });
        if let Some(id) = next.and_then(|n| n.trim().strip_prefix('#'))
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
        self.builtin(node, kind, Mode::Dtmf);
    }

    fn builtin(&mut self, node: NodeId, uri: &str, mode: Mode) {
        let lang = self.document.lang(node).unwrap_or("en-US");
        if let Err(e) = Grammar::from_builtin(uri, mode, lang) {
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
        if let Some(uri) = d.attribute(node, "src").filter(|s| s.starts_with("builtin:")) {
            let mode = if uri.starts_with("builtin:dtmf") { Mode::Dtmf } else { Mode::Voice };
            self.builtin(node, uri, mode);
        }
        if !inline {
            return;
        }
        let lang = d.lang(node).unwrap_or("en-US");
        let limits = grammar::Limits::default();
        let error = match crate::machine::parse_inline(d, node, lang, &limits).map(Arc::new) {
            // What it refers to elsewhere is not fetched here.
            Ok(g) if !g.external_refs().is_empty() => None,
            Ok(g) => Network::compile(&g, &|_| None, &limits).err(),
            Err(e) => Some(e),
        };
        if let Some(e) = error {
            self.report(node, Rule::Grammar(e.to_string().into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(body: &str) -> Vec<String> {
        let url = Url::parse("http://h/d.vxml").expect("a URL");
        let source = format!("<vxml version=\"2.1\" xmlns=\"http://www.w3.org/2001/vxml\">\n{body}\n</vxml>");
        let problems = check(&url, source.as_bytes(), None, false, &Limits::default());
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
        check_one("<form id='a'/><form id='a'/>", "'a' of <form> is used twice");
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

    #[test]
    fn what_a_session_would_refuse_does_not_hide_the_rest() {
        let body = "<form><block><goto/><if cond='a ='>x</if></block></form>";
        let found = found(body);
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn vxml20_6_3_values_of_properties() {
        let of = |name: &str, value: &str| found(&format!("<property name='{name}' value='{value}'/>")).len();
        for (name, good, bad) in [
            ("timeout", "5s", "5"),
            ("inputmodes", "dtmf voice", "voise"),
            ("bargein", "false", "maybe"),
            ("confidencelevel", "0.5", "2"),
            ("termchar", "", "**"),
            ("universals", "help exit", "halp"),
            ("maxnbest", "3", "0"),
            ("documentmaxage", "0", "1s"),
            ("grammarfetchhint", "safe", "later"),
        ] {
            assert_eq!((of(name, good), of(name, bad)), (0, 1), "{name}");
        }
        assert_eq!(of("com.vendor.speed", "anything"), 0);
        check_one("<property name='timeout' value='5'/>", "'5' is no value for 'timeout' of <property>");
    }

    #[test]
    fn names_keys_counts_and_references_are_looked_at() {
        check_one("<var name='1x'/>", "'1x' is no value for 'name' of <var> (VoiceXML 2.0 §5.1.1)");
        check_one(
            "<menu><choice dtmf='z' next='#a'>x</choice></menu><form id='a'/>",
            "for 'dtmf' of <choice>",
        );
        check_one("<form><noinput count='0'>x</noinput></form>", "for 'count' of <noinput>");
        check_one(
            "<form><field name='a' type='digits'/><filled namelist='a b'/></form>",
            "<filled> refers to 'b'",
        );
        check_one("<form><subdialog src='#no'/></form>", "<subdialog> refers to '#no'");
        check_one("<form><field><grammar src='builtin:grammar/zzz'/></field></form>", "zzz");
        check_one(
            "<menu dtmf='true'><choice dtmf='5' next='#a'>x</choice></menu><form id='a'/>",
            "numbers its choices (dtmf=\"true\")",
        );
        let wide = "<item repeat='0-1000'>".repeat(6) + "1" + &"</item>".repeat(6);
        check_one(
            &format!(
                "<form><field><grammar version='1.0' mode='dtmf' root='r'><rule id='r'>{wide}</rule></grammar></field></form>"
            ),
            "too large",
        );
    }
}
