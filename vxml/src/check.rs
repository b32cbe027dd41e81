//! The static checker: every problem of a document with line, column and the section it violates.
//!
//! Beyond what makes a session refuse a document it looks for what would only be found at run time: expressions and
//! grammars that do not compile, names that refer to nothing, values that an attribute cannot have.

mod grammars;

use crate::document::{Document, NodeId, Problem, Rule, Tag, read};
use crate::grammar::Grammar;
use crate::limits::Limits;
use crate::session::Fetched;
use crate::values::{self, Fits, are_keys, is_count, is_time};
use engine::{Config, Engine};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use url::Url;

/// A problem, and the document it is in if that is another one than the one checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Absolute URL of an external grammar.
    pub file: Option<String>,
    /// What is wrong, and where in that document.
    pub problem: Problem,
}

/// Gets what a document refers to; or says why it is not to be had.
pub type Fetch<'a> = &'a mut dyn FnMut(&Url) -> Result<Fetched, String>;

/// Checks a document by itself, with the charset that came with it, if one did. Problems come in the order of lines.
#[must_use]
pub fn check(
    url: &Url,
    octets: &[u8],
    charset: Option<&str>,
    lenient: bool,
    limits: &Limits,
) -> Vec<Problem> {
    let found = check_with(url, octets, charset, lenient, limits, None);
    found.into_iter().filter(|f| f.file.is_none()).map(|f| f.problem).collect()
}

/// The same, with the grammars that it refers to if somebody fetches them. Their problems come last.
#[must_use]
pub fn check_with(
    url: &Url,
    octets: &[u8],
    charset: Option<&str>,
    lenient: bool,
    limits: &Limits,
    fetch: Option<Fetch<'_>>,
) -> Vec<Found> {
    let (document, mut problems) = read(url, octets, charset, lenient, limits);
    let mut elsewhere = Vec::new();
    if let Some(document) = &document {
        let engine = Engine::new(&Config::default()).ok();
        let mut c = Checker {
            document,
            engine,
            fetch,
            external: HashMap::new(),
            problems: Vec::new(),
            elsewhere: Vec::new(),
        };
        c.node(document.root());
        problems.append(&mut c.problems);
        elsewhere = c.elsewhere;
    }
    problems.sort_by_key(|p| (p.line, p.column));
    problems.into_iter().map(|problem| Found { file: None, problem }).chain(elsewhere).collect()
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

struct Checker<'a, 'f> {
    document: &'a Document,
    engine: Option<Engine>,
    fetch: Option<Fetch<'f>>,
    /// Grammars from elsewhere by absolute URL; `None`: not to be had, or none.
    external: HashMap<String, Option<Arc<Grammar>>>,
    problems: Vec<Problem>,
    elsewhere: Vec<Found>,
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

/// Attributes of any element, and the values they may have.
const SHAPES: &[(&str, Fits)] = &[
    ("fetchhint", |v| matches!(v, "prefetch" | "safe")),
    // SSML 1.0 §3.2.3: of <break>.
    ("time", is_time),
    ("maxage", is_count),
    ("maxstale", is_count),
    ("weight", |v| v.parse::<f32>().is_ok_and(|w| w >= 0.0 && w.is_finite())),
];

impl Checker<'_, '_> {
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
        if let Some(known) = values::illegal_property(name, value) {
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
    fn problems_within_grammars_have_their_own_places() {
        // Line 1 is <vxml>, so the body's first line is 2.
        let xml = "<form><field name='a'>\n<grammar root='r' version='1.0'>\n<rule id='r'>\n  <itm>x</itm></rule></grammar></field></form>";
        check_one(xml, "d.vxml:5:3: ");
        let undefined = "<form><field name='a'>\n<grammar root='r' version='1.0'>\n<rule id='r'>yes\n   <ruleref uri='#zz'/></rule></grammar></field></form>";
        check_one(undefined, "d.vxml:5:18: rule zz is not defined");
        check_one(
            "<form><field name='a'>  <grammar root='no' version='1.0'><rule id='r'>yes</rule></grammar></field></form>",
            "d.vxml:2:34: ",
        );
        let abnf = "<form><field name='a'><grammar type='application/srgs'>\n#ABNF 1.0;\nlanguage en;\nroot $r;\n$r = a &lt;0-1> (b | c;\n</grammar></field></form>";
        check_one(abnf, "d.vxml:6:");
        let raw = "<form><field name='a'><grammar type='application/srgs'><![CDATA[#ABNF 1.0;\nlanguage en;\nroot $r;\n$r = yes $zz;\n]]></grammar></field></form>";
        check_one(raw, "d.vxml:5:10: ");
        let untyped = "<form><field name='a'><grammar>#ABNF 1.0;\nlanguage en;\nroot $r;\n$r = (yes;\n</grammar></field></form>";
        check_one(untyped, "d.vxml:5:");
    }

    /// Goal: what stands in external grammars is told under their names. Method: a little web of files.
    #[test]
    fn external_grammars_are_looked_into() {
        let files = [
            (
                "http://h/ok.grxml",
                "<grammar xmlns='http://www.w3.org/2001/06/grammar' version='1.0' xml:lang='en' root='r'><rule id='r'>yes <ruleref uri='more.gram#m'/></rule></grammar>",
            ),
            ("http://h/more.gram", "#ABNF 1.0;\nlanguage en;\npublic $m = please;\n"),
            ("http://h/bad.gram", "#ABNF 1.0;\nlanguage en;\nroot $m;\n$m = (please;\n"),
            (
                "http://h/bad.grxml",
                "<grammar xmlns='http://www.w3.org/2001/06/grammar' version='1.0' xml:lang='en' root='r'>\n<rule id='r'>\n<bad/></rule></grammar>",
            ),
        ];
        let mut asked = Vec::new();
        let mut found = |body: &str| {
            let url = Url::parse("http://h/d.vxml").expect("a URL");
            let source = format!(
                "<vxml version=\"2.1\" xmlns=\"http://www.w3.org/2001/vxml\"><form><field name='a'>{body}</field></form></vxml>"
            );
            let mut get = |url: &Url| {
                asked.push(url.to_string());
                let file = files.iter().find(|(name, _)| *name == url.as_str());
                file.map(|(name, text)| crate::runner::fetched(name, "", text.as_bytes()))
                    .ok_or("not found (404)".to_owned())
            };
            let all = check_with(&url, source.as_bytes(), None, false, &Limits::default(), Some(&mut get));
            all.iter().map(|f| human(f.file.as_deref().unwrap_or("d.vxml"), &f.problem)).collect::<Vec<_>>()
        };
        assert_eq!(found("<grammar src='ok.grxml'/><grammar src='ok.grxml#r'/>"), Vec::<String>::new());
        let bad = found("<grammar src='bad.gram'/>");
        assert!(bad.len() == 1 && bad[0].starts_with("http://h/bad.gram:4:"), "{bad:?}");
        let bad = found("<grammar src='bad.grxml'/>");
        assert!(bad.len() == 1 && bad[0].starts_with("http://h/bad.grxml:3:1: "), "{bad:?}");
        let bad = found("<grammar src='none.grxml'/>");
        assert!(bad.len() == 1 && bad[0].contains("none.grxml: not found (404)"), "{bad:?}");
        let bad = found("<grammar src='ok.grxml#nix'/>");
        assert!(bad.len() == 1 && bad[0].contains("rule nix is not defined"), "{bad:?}");
        let bad =
            found("<grammar version='1.0' root='r'><rule id='r'><ruleref uri='bad.gram'/></rule></grammar>");
        assert!(bad.len() == 1 && bad[0].starts_with("http://h/bad.gram:4:"), "{bad:?}");
        let bad = found("<grammar src='file:///etc/passwd'/>");
        assert!(bad.len() == 1 && bad[0].contains("may not read files"), "{bad:?}");
        assert_eq!(asked.iter().filter(|url| url.ends_with("ok.grxml")).count(), 2, "once for each check");
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
