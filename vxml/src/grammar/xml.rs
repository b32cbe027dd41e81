//! The XML form of SRGS 1.0.

use super::compile::check_dtmf;
use super::error::{Fault, GrammarError};
use super::limits::{Limit, Limits};
use super::markup::{self, Child, Element, place};
use super::model::{Form, Grammar, Mode, Node, Rule, RuleRef, fold_space, resolve, tag_format};

/// What an inline `<grammar>` inherits from the VoiceXML document around it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inline<'a> {
    /// `xml:lang` in force, used when the grammar has none.
    pub lang: &'a str,
}

impl Grammar {
    /// Parses a document in the XML form. `base` is its absolute URI. With `inline` it is a `<grammar>` element cut out
    /// of a VoiceXML document: it may lack version and namespace, and inherits its language (VoiceXML 2.0 §3.1.1.4).
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse_xml(
        text: &str,
        base: &str,
        inline: Option<Inline<'_>>,
        limits: &Limits,
    ) -> Result<Self, GrammarError> {
        if text.len() > limits.bytes_max {
            return Err(Fault::TooLarge(Limit::Bytes).into());
        }
        let root = markup::parse(text, inline.is_some(), limits)?;
        if let Some(inner) = inline.and_then(|_| foreign_text(&root)) {
            // VoiceXML 2.0 §3.1.1.1: an inline grammar may be of the ABNF form; others are unknown here.
            let inner = inner.trim_start();
            return match inner.starts_with("#ABNF") {
                true => Self::parse_abnf(inner, base, limits).map_err(|e| markup::within(text, e)),
                false => Err(Fault::UnknownFormat.into()),
            };
        }
        Parser { text, limits, count: 0, mode: Mode::Voice, base: base.into() }.grammar(&root, base, inline)
    }
}

struct Parser<'t> {
    text: &'t str,
    limits: &'t Limits,
    count: usize,
    mode: Mode,
    base: Box<str>,
}

impl Parser<'_> {
    fn fault(&self, element: &Element, fault: Fault) -> GrammarError {
        GrammarError::at(place(self.text, element.offset), fault)
    }

    /// Gives a fault from below the place of the element.
    fn placed<T>(&self, element: &Element, result: Result<T, GrammarError>) -> Result<T, GrammarError> {
        result.map_err(|e| if e.place.line == 0 { self.fault(element, e.fault) } else { e })
    }

    fn grammar(
        mut self,
        root: &Element,
        uri: &str,
        inline: Option<Inline<'_>>,
    ) -> Result<Grammar, GrammarError> {
        if &*root.name != "grammar" || !root.native {
            return Err(self.fault(root, Fault::NotAGrammar));
        }
        let mut grammar = Grammar::empty(Form::Xml, uri);
        match root.attribute("version") {
            Some("1.0") => {}
            None if inline.is_some() => {}
            None => return Err(self.fault(root, Fault::MissingAttribute("version"))),
            Some(_) => return Err(self.fault(root, Fault::BadVersion)),
        }
        grammar.mode = match root.attribute("mode") {
            None | Some("voice") => Mode::Voice,
            Some("dtmf") => Mode::Dtmf,
            Some(_) => return Err(self.fault(root, Fault::BadValue("mode"))),
        };
        self.mode = grammar.mode;
        grammar.lang = root.attribute("xml:lang").map(Box::from);
        if let Some(inherited) = inline.filter(|i| grammar.lang.is_none() && !i.lang.is_empty()) {
            grammar.lang = Some(inherited.lang.into());
        }
        grammar.root = root.attribute("root").map(|r| r.trim().into());
        grammar.tag_format = root.attribute("tag-format").map(tag_format).unwrap_or_default();
        self.header(root, &mut grammar)?;
        if inline.is_some() && grammar.root.is_none() {
            grammar.root = only_rule(&grammar);
        }
        let checked = grammar.check();
        self.placed(root, checked)?;
        Ok(grammar)
    }

    fn header(&mut self, root: &Element, grammar: &mut Grammar) -> Result<(), GrammarError> {
        self.set_base(root);
        for child in &root.children {
            let child = match child {
                Child::Text(text) if text.trim().is_empty() => continue,
                Child::Text(_) => return Err(self.fault(root, Fault::Syntax("no text outside of rules"))),
                Child::Element(child) => child,
            };
            // Other vocabularies may stand here (SRGS 1.0 §5.4).
            if !child.native {
                continue;
            }
            match &*child.name {
                "rule" => {
                    let rule = self.rule(child)?;
                    if grammar.rules.len() >= self.limits.rules_max {
                        return Err(self.fault(child, Fault::TooLarge(Limit::Rules)));
                    }
                    let added = grammar.add(rule);
                    self.placed(child, added)?;
                }
                "meta" => {
                    let name = child.attribute("name").or_else(|| child.attribute("http-equiv"));
                    let name = name.ok_or_else(|| self.fault(child, Fault::MissingAttribute("name")))?;
                    grammar.metas.push((name.into(), child.attribute("content").unwrap_or_default().into()));
                }
                "lexicon" => {
                    let uri = child.attribute("uri");
                    let uri = uri.ok_or_else(|| self.fault(child, Fault::MissingAttribute("uri")))?;
                    grammar.lexicons.push(resolve(&self.base, uri));
                }
                "tag" => grammar.header_tags.push(child.text().into()),
                "metadata" => {}
                other => return Err(self.fault(child, Fault::UnexpectedElement(other.into()))),
            }
        }
        Ok(())
    }

    /// SRGS 1.0 §4.9: `xml:base`, or else a meta named base, or else where the document came from.
    fn set_base(&mut self, root: &Element) {
        let meta = root.children.iter().find_map(|child| match child {
            Child::Element(e) if &*e.name == "meta" && e.attribute("name") == Some("base") => {
                e.attribute("content")
            }
            _ => None,
        });
        if let Some(base) = root.attribute("xml:base").or(meta) {
            self.base = resolve(&self.base, base);
        }
    }

    fn rule(&mut self, element: &Element) -> Result<Rule, GrammarError> {
        let id = element.attribute("id");
        let name = id.ok_or_else(|| self.fault(element, Fault::MissingAttribute("id")))?.trim();
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || matches!(c, ':' | '.' | '-')) {
            return Err(self.fault(element, Fault::BadRuleName(name.into())));
        }
        let public = match element.attribute("scope") {
            None | Some("private") => false,
            Some("public") => true,
            Some(_) => return Err(self.fault(element, Fault::BadValue("scope"))),
        };
        let nodes = self.expansion(element)?;
        // SRGS 1.0 §3.1: a rule has an expansion, though that may be an empty item.
        if nodes.is_empty() {
            return Err(self.fault(element, Fault::EmptyRule));
        }
        Ok(Rule { name: name.into(), public, expansion: Node::sequence(nodes) })
    }

    fn expansion(&mut self, element: &Element) -> Result<Vec<Node>, GrammarError> {
        let mut nodes = Vec::new();
        for child in &element.children {
            match child {
                Child::Text(text) => self.words(element, text, &mut nodes)?,
                Child::Element(child) if !child.native => {
                    // Words in other vocabularies' elements may be said and need not be.
                    let inner = self.expansion(child)?;
                    if !inner.is_empty() {
                        nodes.push(Node::optional(Node::sequence(inner)));
                    }
                }
                Child::Element(child) => {
                    if let Some(node) = self.element(child)? {
                        self.count(child)?;
                        nodes.push(node);
                    }
                }
            }
        }
        Ok(nodes)
    }

    fn count(&mut self, element: &Element) -> Result<(), GrammarError> {
        self.count += 1;
        if self.count > self.limits.nodes_max {
            return Err(self.fault(element, Fault::TooLarge(Limit::Nodes)));
        }
        Ok(())
    }

    fn element(&mut self, element: &Element) -> Result<Option<Node>, GrammarError> {
        match &*element.name {
            "item" => self.item(element).map(Some),
            "one-of" => self.one_of(element).map(Some),
            "token" => {
                let text = fold_space(&element.text());
                // An empty token takes nothing.
                let node = if text.is_empty() { Node::Null } else { self.token(element, &text)? };
                Ok(Some(node))
            }
            "tag" => {
                let text = element.text();
                self.bounded(element, &text)?;
                Ok(Some(Node::Tag(text.into())))
            }
            "ruleref" => self.ruleref(element).map(Some),
            "example" => Ok(None),
            other => Err(self.fault(element, Fault::UnexpectedElement(other.into()))),
        }
    }

    fn item(&mut self, element: &Element) -> Result<Node, GrammarError> {
        let node = Node::sequence(self.expansion(element)?);
        let prob = match element.attribute("repeat-prob") {
            None => None,
            Some(text) => Some(
                number(text)
                    .filter(|p| *p <= 1.0)
                    .ok_or_else(|| self.fault(element, Fault::BadValue("repeat-prob")))?,
            ),
        };
        let Some(repeat) = element.attribute("repeat") else { return Ok(node) };
        let (min, max) =
            repeat_range(repeat).ok_or_else(|| self.fault(element, Fault::BadValue("repeat")))?;
        Ok(Node::repeat(node, min, max, prob))
    }

    fn one_of(&mut self, element: &Element) -> Result<Node, GrammarError> {
        let mut nodes = Vec::new();
        for child in &element.children {
            match child {
                Child::Text(text) if text.trim().is_empty() => {}
                Child::Text(_) => return Err(self.fault(element, Fault::Syntax("items in one-of"))),
                Child::Element(child) if !child.native || &*child.name == "example" => {}
                Child::Element(child) if &*child.name == "item" => {
                    let weight = match child.attribute("weight") {
                        None => None,
                        Some(text) => {
                            Some(number(text).ok_or_else(|| self.fault(child, Fault::BadValue("weight")))?)
                        }
                    };
                    self.count(child)?;
                    nodes.push((weight, self.item(child)?));
                }
                Child::Element(child) => {
                    return Err(self.fault(child, Fault::UnexpectedElement(child.name.clone())));
                }
            }
        }
        if nodes.is_empty() {
            return Err(self.fault(element, Fault::Syntax("an item in one-of")));
        }
        Ok(Node::OneOf(nodes))
    }

    fn ruleref(&mut self, element: &Element) -> Result<Node, GrammarError> {
        match (element.attribute("special"), element.attribute("uri")) {
            (Some("NULL"), None) => Ok(Node::Null),
            (Some("VOID"), None) => Ok(Node::Void),
            (Some("GARBAGE"), None) => Ok(Node::Garbage),
            (None, Some(uri)) => {
                let reference = reference(uri.trim(), &self.base, element.attribute("type"));
                Ok(Node::Ref(Box::new(reference)))
            }
            (None, None) => Err(self.fault(element, Fault::MissingAttribute("uri"))),
            _ => Err(self.fault(element, Fault::BadValue("special"))),
        }
    }

    /// Plain text: tokens apart by white space, or quoted.
    fn words(&mut self, element: &Element, text: &str, nodes: &mut Vec<Node>) -> Result<(), GrammarError> {
        let mut rest = text.trim_start();
        while let Some(c) = rest.chars().next() {
            let (token, after) = if c == '"' {
                rest[1..]
                    .split_once('"')
                    .ok_or_else(|| self.fault(element, Fault::Syntax("a closing quote")))?
            } else {
                let end = rest.find(|c: char| c.is_ascii_whitespace() || c == '"').unwrap_or(rest.len());
                rest.split_at(end)
            };
            let folded = fold_space(token);
            if !folded.is_empty() {
                self.count(element)?;
                nodes.push(self.token(element, &folded)?);
            }
            rest = after.trim_start();
        }
        Ok(())
    }

    fn token(&mut self, element: &Element, folded: &str) -> Result<Node, GrammarError> {
        self.bounded(element, folded)?;
        let key = check_dtmf(self.mode, folded);
        Ok(self.placed(element, key)?.unwrap_or_else(|| Node::Token(folded.into())))
    }

    fn bounded(&self, element: &Element, text: &str) -> Result<(), GrammarError> {
        if text.len() > self.limits.text_max {
            return Err(self.fault(element, Fault::TooLarge(Limit::Text)));
        }
        Ok(())
    }
}

/// The text of an inline grammar that has no elements.
fn foreign_text(root: &Element) -> Option<String> {
    let text = root.children.iter().all(|c| matches!(c, Child::Text(_))).then(|| root.text())?;
    (!text.trim().is_empty()).then_some(text)
}

/// An inline grammar that forgot to name its root, when there is only one rule to mean.
fn only_rule(grammar: &Grammar) -> Option<Box<str>> {
    let mut public = grammar.public_rules();
    match (public.next(), public.next()) {
        (Some(only), None) => Some(only.into()),
        (None, _) if grammar.rules.len() == 1 => Some((&*grammar.rules[0].name).into()),
        _ => None,
    }
}

/// A rule reference by URI.
pub(super) fn reference(uri: &str, base: &str, media_type: Option<&str>) -> RuleRef {
    let (document, rule) = match uri.split_once('#') {
        Some((document, rule)) => (document, Some(rule.into())),
        None => (uri, None),
    };
    let uri = (!document.is_empty()).then(|| resolve(base, document));
    RuleRef { uri, rule, media_type: media_type.map(|t| t.trim().to_ascii_lowercase().into()) }
}

/// `n`, `m-n` or `m-` (SRGS 1.0 §2.5).
pub(super) fn repeat_range(text: &str) -> Option<(u32, Option<u32>)> {
    let count = |t: &str| {
        let t = t.trim();
        (!t.is_empty() && t.bytes().all(|b| b.is_ascii_digit())).then(|| t.parse::<u32>().unwrap_or(u32::MAX))
    };
    match text.split_once('-') {
        None => count(text).map(|n| (n, Some(n))),
        Some((min, max)) if max.trim().is_empty() => Some((count(min)?, None)),
        Some((min, max)) => {
            let (min, max) = (count(min)?, count(max)?);
            (min <= max).then_some((min, Some(max)))
        }
    }
}

/// A weight or probability (SRGS 1.0 §2.4.1): digits with at most one point, or a float with exponent.
pub(super) fn number(text: &str) -> Option<f32> {
    let text = text.trim();
    let legal = text.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'));
    text.parse::<f32>().ok().filter(|n| legal && n.is_finite() && *n >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::super::{Network, match_words};
    use super::*;
    use std::sync::Arc;

    fn document(attributes: &str, content: &str) -> String {
        format!(
            r#"<grammar xmlns="http://www.w3.org/2001/06/grammar" version="1.0" {attributes}>
{content}</grammar>"#
        )
    }

    fn check(attributes: &str, content: &str, expected: Result<(), Fault>) {
        let text = document(attributes, content);
        let parsed = Grammar::parse_xml(&text, "http://a.test/g.grxml", None, &Limits::default());
        assert_eq!(parsed.map(|_| ()).map_err(|e| e.fault), expected, "{attributes} {content}");
    }

    #[test]
    fn srgs_xml_documents() {
        let en = r#"xml:lang="en""#;
        check(en, r#"<rule id="a">b</rule>"#, Ok(()));
        check("", r#"<rule id="a">b</rule>"#, Err(Fault::MissingLanguage));
        check(r#"mode="dtmf""#, r#"<rule id="a">1 * star "2"</rule>"#, Ok(()));
        check(r#"mode="dtmf""#, r#"<rule id="a">x</rule>"#, Err(Fault::BadDtmfToken("x".into())));
        check(r#"mode="tones""#, r#"<rule id="a">x</rule>"#, Err(Fault::BadValue("mode")));
        check(en, r#"<rule>b</rule>"#, Err(Fault::MissingAttribute("id")));
        check(en, r#"<rule id="a-b">b</rule>"#, Err(Fault::BadRuleName("a-b".into())));
        check(en, r#"<rule id="NULL">b</rule>"#, Err(Fault::BadRuleName("NULL".into())));
        check(en, r#"<rule id="a"></rule>"#, Err(Fault::EmptyRule));
        check(en, r#"<rule id="a"><item/></rule>"#, Ok(()));
        check(en, r#"<rule id="a">"b</rule>"#, Err(Fault::Syntax("a closing quote")));
        check(en, r#"<rule id="a" scope="open">b</rule>"#, Err(Fault::BadValue("scope")));
        check(en, r#"<rule id="a"><one-of/></rule>"#, Err(Fault::Syntax("an item in one-of")));
        check(en, r#"<rule id="a"><one-of>b</one-of></rule>"#, Err(Fault::Syntax("items in one-of")));
        check(en, r#"<rule id="a"><item repeat="2-1">b</item></rule>"#, Err(Fault::BadValue("repeat")));
        check(
            en,
            r#"<rule id="a"><item repeat="2" repeat-prob="2">b</item></rule>"#,
            Err(Fault::BadValue("repeat-prob")),
        );
        check(
            en,
            r#"<rule id="a"><one-of><item weight="-1">b</item></one-of></rule>"#,
            Err(Fault::BadValue("weight")),
        );
        check(en, r#"<rule id="a"><ruleref/></rule>"#, Err(Fault::MissingAttribute("uri")));
        check(en, r##"<rule id="a"><ruleref uri="#b"/></rule>"##, Err(Fault::UndefinedRule("b".into())));
        check(
            en,
            r##"<rule id="a"><ruleref uri="#a" special="NULL"/></rule>"##,
            Err(Fault::BadValue("special")),
        );
        check(en, r#"<rule id="a"><bold>b</bold></rule>"#, Err(Fault::UnexpectedElement("bold".into())));
        check(en, r#"<rule id="a">b</rule><rule id="a">c</rule>"#, Err(Fault::DuplicateRule("a".into())));
        check(en, r#"<rule id="a">b</rule"#, Err(Fault::NotWellFormed));
        check(r#"xml:lang="en" root="z""#, r#"<rule id="a">b</rule>"#, Err(Fault::UndefinedRule("z".into())));
    }

    #[test]
    fn faults_have_their_place() {
        let text = document(r#"xml:lang="en""#, "<rule id=\"a\">b\n  <bold/></rule>");
        let error = Grammar::parse_xml(&text, "", None, &Limits::default()).expect_err("bold is unknown");
        assert_eq!((error.place.line, error.place.column), (3, 3));
        assert_eq!(error.to_string(), "line 3, column 3: element bold must not stand here");
    }

    fn inline(text: &str, said: &str) -> Result<bool, Fault> {
        let limits = Limits::default();
        let grammar =
            Grammar::parse_xml(text, "", Some(Inline { lang: "en" }), &limits).map_err(|e| e.fault)?;
        let net = Network::compile(&grammar, &|_| None, &limits).map_err(|e| e.fault)?;
        Ok(match_words(&Arc::new(net), [said]).expect("small").is_some())
    }

    #[test]
    fn vxml_3_1_1_inline_grammars() {
        assert_eq!(inline(r#"<grammar root="a"><rule id="a">b</rule></grammar>"#, "b"), Ok(true));
        assert_eq!(inline(r#"<grammar><rule id="a">b</rule></grammar>"#, "b"), Ok(true));
        let public = r##"<grammar><rule id="x">b</rule><rule id="a" scope="public"><ruleref uri="#x"/></rule></grammar>"##;
        assert_eq!(inline(public, "b"), Ok(true));
        let unclear = r#"<grammar><rule id="x">b</rule><rule id="a">c</rule></grammar>"#;
        assert_eq!(inline(unclear, "b"), Err(Fault::NoRoot));
        let abnf = "<grammar type=\"application/srgs\"><![CDATA[\n#ABNF 1.0;\nlanguage en;\nroot $a;\n$a = b;]]></grammar>";
        assert_eq!(inline(abnf, "b"), Ok(true));
        assert_eq!(inline("<grammar type=\"text/gsl\">[ (b) ]</grammar>", "b"), Err(Fault::UnknownFormat));
        assert_eq!(inline("<g:grammar><g:rule id=\"a\">b</g:rule></g:grammar>", "b"), Ok(true));
    }
}
