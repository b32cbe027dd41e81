//! The ABNF form of SRGS 1.0.

use super::compile::check_dtmf;
use super::error::{Fault, GrammarError};
use super::limits::{Limit, Limits};
use super::markup::place;
use super::model::{Form, Grammar, Mode, Node, Rule, fold_space, resolve, tag_format};
use super::xml::{number, reference, repeat_range};

impl Grammar {
    /// Parses a document in the ABNF form. `base` is its absolute URI.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse_abnf(text: &str, base: &str, limits: &Limits) -> Result<Self, GrammarError> {
        if text.len() > limits.bytes_max {
            return Err(Fault::TooLarge(Limit::Bytes).into());
        }
        let mut parser =
            Parser { text, at: 0, limits, count: 0, depth: 0, mode: Mode::Voice, base: base.into() };
        let parsed = parser.grammar(base);
        parsed.map_err(|e| match e.place.line {
            0 => GrammarError::at(place(text, parser.at), e.fault),
            _ => e,
        })
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    limits: &'t Limits,
    count: usize,
    depth: usize,
    mode: Mode,
    base: Box<str>,
}

type Parsed<T> = Result<T, GrammarError>;

/// Which declarations have been made: each but `lexicon`, `meta` and `http-equiv` once.
#[derive(Default)]
struct Declared {
    mode: bool,
    base: bool,
    tag_format: bool,
}

impl<'t> Parser<'t> {
    fn grammar(&mut self, uri: &str) -> Parsed<Grammar> {
        self.identify()?;
        let mut grammar = Grammar::empty(Form::Abnf, uri);
        let mut declared = Declared::default();
        loop {
            self.skip()?;
            match self.peek() {
                None => break,
                Some('$') => break,
                Some('{') => {
                    let tag = self.tag()?;
                    grammar.header_tags.push(tag.into());
                    self.expect(";", "; after a header tag")?;
                }
                Some(_) => {
                    let before = self.at;
                    let word = self.word();
                    if matches!(word, "public" | "private") {
                        self.at = before;
                        break;
                    }
                    self.declaration(word, &mut grammar, &mut declared)?;
                }
            }
        }
        self.finish_base(&grammar, declared.base);
        self.mode = grammar.mode;
        loop {
            self.skip()?;
            if self.peek().is_none() {
                break;
            }
            self.rule(&mut grammar)?;
        }
        grammar.check()?;
        Ok(grammar)
    }

    /// SRGS 1.0 §4.1: `#ABNF 1.0 [encoding];` and a line break, before anything else.
    fn identify(&mut self) -> Parsed<()> {
        let text = self.text.strip_prefix('\u{feff}').unwrap_or(self.text);
        let (line, _) = text.split_once(['\n', '\r']).ok_or(Fault::BadHeader)?;
        let words = line
            .strip_prefix("#ABNF ")
            .and_then(|rest| rest.trim_end().strip_suffix(';'))
            .ok_or(Fault::BadHeader)?;
        if words.contains(';') {
            return Err(Fault::BadHeader.into());
        }
        let mut words = words.split([' ', '\t']).filter(|w| !w.is_empty());
        match words.next() {
            Some("1.0") => {}
            Some(_) => return Err(Fault::BadVersion.into()),
            None => return Err(Fault::BadHeader.into()),
        }
        let rest = words.count();
        if rest > 1 {
            return Err(Fault::BadHeader.into());
        }
        self.at = self.text.len() - text.len() + line.len();
        Ok(())
    }

    /// One declaration of the header (§4).
    fn declaration(&mut self, word: &str, grammar: &mut Grammar, declared: &mut Declared) -> Parsed<()> {
        self.skip()?;
        let twice = match word {
            "language" => grammar.lang.replace(self.word().into()).is_some(),
            "mode" => {
                grammar.mode = match self.word() {
                    "voice" => Mode::Voice,
                    "dtmf" => Mode::Dtmf,
                    _ => return Err(Fault::BadValue("mode").into()),
                };
                std::mem::replace(&mut declared.mode, true)
            }
            "root" => {
                self.expect("$", "a rule name")?;
                grammar.root.replace(self.rule_name()?.into()).is_some()
            }
            "tag-format" => {
                grammar.tag_format = tag_format(self.uri()?);
                std::mem::replace(&mut declared.tag_format, true)
            }
            "base" => {
                self.base = resolve(&grammar.uri, self.uri()?);
                std::mem::replace(&mut declared.base, true)
            }
            "lexicon" => {
                let uri = self.uri()?;
                self.media_type()?;
                grammar.lexicons.push(resolve(&self.base, uri));
                false
            }
            "meta" | "http-equiv" => {
                let name = self.quoted()?;
                self.skip()?;
                if self.word() != "is" {
                    return Err(Fault::Syntax("is").into());
                }
                self.skip()?;
                grammar.metas.push((name.into(), self.quoted()?.into()));
                false
            }
            _ => return Err(Fault::BadDeclaration.into()),
        };
        if twice || grammar.lang.as_deref() == Some("") {
            return Err(Fault::BadDeclaration.into());
        }
        self.expect(";", "; after a declaration")
    }

    /// §4.9: a meta named base serves when there is no base declaration.
    fn finish_base(&mut self, grammar: &Grammar, declared: bool) {
        let meta = grammar.metas.iter().find(|(name, _)| &**name == "base").filter(|_| !declared);
        if let Some((_, base)) = meta {
            self.base = resolve(&grammar.uri, base);
        }
    }

    fn rule(&mut self, grammar: &mut Grammar) -> Parsed<()> {
        let start = self.at;
        let public = match self.peek() {
            Some('$') => false,
            _ => match self.word() {
                "public" => true,
                "private" => false,
                _ => return Err(Fault::BadDeclaration.into()),
            },
        };
        self.expect("$", "a rule name")?;
        let name = self.rule_name()?;
        self.expect("=", "= after a rule name")?;
        self.skip()?;
        if self.peek() == Some(';') {
            return Err(Fault::EmptyRule.into());
        }
        let expansion = self.alternatives()?;
        self.expect(";", "; after a rule")?;
        if grammar.rules.len() >= self.limits.rules_max {
            return Err(Fault::TooLarge(Limit::Rules).into());
        }
        let added = grammar.add(Rule { name: name.into(), public, expansion });
        added.map_err(|e| GrammarError::at(place(self.text, start), e.fault))
    }

    /// `/w/ a b | c` (§2.4).
    fn alternatives(&mut self) -> Parsed<Node> {
        self.depth += 1;
        if self.depth > self.limits.depth_max {
            return Err(Fault::TooLarge(Limit::Depth).into());
        }
        let mut nodes = Vec::new();
        loop {
            self.skip()?;
            let weight = match self.peek() {
                Some('/') => Some(self.slashed()?),
                _ => None,
            };
            nodes.push((weight, self.sequence()?));
            self.skip()?;
            if !self.eat("|") {
                break;
            }
        }
        self.depth -= 1;
        if nodes.len() == 1 && nodes[0].0.is_none() {
            return Ok(nodes.pop().expect("one is there").1);
        }
        Ok(Node::OneOf(nodes))
    }

    fn sequence(&mut self) -> Parsed<Node> {
        let mut nodes = Vec::new();
        loop {
            self.skip()?;
            match self.peek() {
                None | Some('|' | ')' | ']' | ';') => break,
                Some(_) => {}
            }
            self.count += 1;
            if self.count > self.limits.nodes_max {
                return Err(Fault::TooLarge(Limit::Nodes).into());
            }
            let node = self.unit()?;
            nodes.push(self.suffixes(node)?);
        }
        if nodes.is_empty() {
            return Err(Fault::Syntax("an expansion").into());
        }
        Ok(Node::sequence(nodes))
    }

    fn unit(&mut self) -> Parsed<Node> {
        match self.peek() {
            Some('(') => {
                self.eat("(");
                self.skip()?;
                // SRGS 1.0 §2.3: empty parentheses are $NULL.
                if self.eat(")") {
                    return Ok(Node::Null);
                }
                let node = self.alternatives()?;
                self.expect(")", ")")?;
                Ok(node)
            }
            Some('[') => {
                self.eat("[");
                let node = self.alternatives()?;
                self.expect("]", "]")?;
                Ok(Node::optional(node))
            }
            Some('{') => {
                let tag = self.tag()?;
                self.bounded(tag)?;
                Ok(Node::Tag(tag.into()))
            }
            Some('$') => self.reference(),
            Some('"') => {
                let text = fold_space(self.quoted()?);
                if text.is_empty() { Ok(Node::Null) } else { self.token(&text) }
            }
            _ => {
                let end = self.rest().find(|c: char| c.is_whitespace() || SYMBOLS.contains(c));
                let text = self.take(end.unwrap_or(self.rest().len()));
                if text.is_empty() {
                    return Err(Fault::Syntax("a token, a reference, a tag or a group").into());
                }
                self.token(text)
            }
        }
    }

    fn token(&self, text: &str) -> Parsed<Node> {
        self.bounded(text)?;
        Ok(check_dtmf(self.mode, text)?.unwrap_or_else(|| Node::Token(text.into())))
    }

    fn bounded(&self, text: &str) -> Parsed<()> {
        if text.len() > self.limits.text_max {
            return Err(Fault::TooLarge(Limit::Text).into());
        }
        Ok(())
    }

    /// Repeats `<m-n /p/>` (§2.5) and languages `!xx` (§2.7) bind to what stands before.
    fn suffixes(&mut self, mut node: Node) -> Parsed<Node> {
        let mut suffixes = 0;
        loop {
            self.skip()?;
            match self.peek() {
                Some('<') => node = self.repeat(node)?,
                Some('!') => {
                    self.eat("!");
                    let tag = self.word();
                    if tag.is_empty() || !tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
                        return Err(Fault::BadValue("language").into());
                    }
                }
                _ => return Ok(node),
            }
            // Each repeat is one more level for the compiler.
            suffixes += 1;
            if self.depth + suffixes > self.limits.depth_max {
                return Err(Fault::TooLarge(Limit::Depth).into());
            }
        }
    }

    fn repeat(&mut self, node: Node) -> Parsed<Node> {
        self.eat("<");
        let end = self.rest().find(['>', '/', ';']).ok_or(Fault::Syntax(">"))?;
        let range = self.take(end);
        let (min, max) = repeat_range(range).ok_or(Fault::BadValue("repeat"))?;
        let prob = match self.peek() {
            Some('/') => {
                Some(self.slashed()?).filter(|p| *p <= 1.0).ok_or(Fault::BadValue("repeat-prob")).map(Some)?
            }
            _ => None,
        };
        self.expect(">", ">")?;
        Ok(Node::repeat(node, min, max, prob))
    }

    /// `/number/`.
    fn slashed(&mut self) -> Parsed<f32> {
        self.eat("/");
        let end = self.rest().find(['/', ';', '\n']).ok_or(Fault::BadValue("weight"))?;
        let value = number(self.take(end)).ok_or(Fault::BadValue("weight"))?;
        if !self.eat("/") {
            return Err(Fault::BadValue("weight").into());
        }
        Ok(value)
    }

    fn reference(&mut self) -> Parsed<Node> {
        self.eat("$");
        if self.peek() == Some('<') {
            let uri = self.uri()?;
            let media_type = self.media_type()?;
            return Ok(Node::Ref(Box::new(reference(uri, &self.base, media_type))));
        }
        let name = self.rule_name()?;
        Ok(match name {
            "NULL" => Node::Null,
            "VOID" => Node::Void,
            "GARBAGE" => Node::Garbage,
            name => Node::Ref(Box::new(reference(&format!("#{name}"), "", None))),
        })
    }

    /// `<uri>`.
    fn uri(&mut self) -> Parsed<&'t str> {
        let closed = self.rest().strip_prefix('<').and_then(|rest| rest.split_once('>'));
        let (uri, _) = closed.ok_or(Fault::Syntax("<uri>"))?;
        self.at += uri.len() + 2;
        let uri = uri.trim();
        if uri.is_empty() || uri.contains(char::is_whitespace) {
            return Err(Fault::BadValue("uri").into());
        }
        Ok(uri)
    }

    /// `~<media type>`.
    fn media_type(&mut self) -> Parsed<Option<&'t str>> {
        if !self.eat("~") {
            return Ok(None);
        }
        self.uri().map(Some)
    }

    /// `{tag}` or `{!{tag}!}` (§2.6), content untouched.
    fn tag(&mut self) -> Parsed<&'t str> {
        let rest = self.rest();
        let (opening, closing) = if rest.starts_with("{!{") { ("{!{", "}!}") } else { ("{", "}") };
        let (tag, _) = rest[opening.len()..].split_once(closing).ok_or(Fault::Syntax("the end of a tag"))?;
        self.at += opening.len() + tag.len() + closing.len();
        Ok(tag)
    }

    fn quoted(&mut self) -> Parsed<&'t str> {
        let quote =
            self.peek().filter(|c| matches!(c, '"' | '\'')).ok_or(Fault::Syntax("a quoted string"))?;
        let (text, _) = self.rest()[1..].split_once(quote).ok_or(Fault::Syntax("a closing quote"))?;
        self.at += text.len() + 2;
        Ok(text)
    }

    /// §3.1: an XML name without `.`, `:`, `-`.
    fn rule_name(&mut self) -> Parsed<&'t str> {
        let end = self.rest().find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(self.rest().len());
        let name = self.take(end);
        if name.is_empty() || name.starts_with(|c: char| c.is_numeric()) {
            return Err(Fault::BadRuleName(name.into()).into());
        }
        Ok(name)
    }

    /// Letters, digits and hyphens.
    fn word(&mut self) -> &'t str {
        let end = self.rest().find(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_')));
        self.take(end.unwrap_or(self.rest().len()))
    }

    /// White space and comments.
    fn skip(&mut self) -> Parsed<()> {
        loop {
            let rest = self.rest();
            self.at += rest.len() - rest.trim_start().len();
            let rest = self.rest();
            if rest.starts_with("//") {
                self.at += rest.find(['\n', '\r']).unwrap_or(rest.len());
            } else if let Some(comment) = rest.strip_prefix("/*") {
                self.at += comment.find("*/").ok_or(Fault::Syntax("the end of a comment"))? + 4;
            } else {
                return Ok(());
            }
        }
    }

    fn expect(&mut self, text: &str, what: &'static str) -> Parsed<()> {
        self.skip()?;
        if self.eat(text) { Ok(()) } else { Err(Fault::Syntax(what).into()) }
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    fn take(&mut self, octets: usize) -> &'t str {
        let taken = &self.rest()[..octets];
        self.at += octets;
        taken
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }
}

/// What cannot stand in a token without quotes (§2.1, §2.5: the usual repeat operators are reserved).
const SYMBOLS: &str = ";=|*+?<>()[]{}/$\"!";

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, expected: Result<(), Fault>) {
        let text = format!("#ABNF 1.0;\nlanguage en;\nroot $a;\n{body}");
        let parsed = Grammar::parse_abnf(&text, "http://a.test/g.gram", &Limits::default());
        assert_eq!(parsed.map(|_| ()).map_err(|e| e.fault), expected, "{body}");
    }

    #[test]
    fn srgs_abnf_syntax() {
        check("$a = b;", Ok(()));
        check("$a = b c<0-1>!en-GB | /2.5/ (d [e]) {t};", Ok(()));
        check("/* c */ $a /* c */ = // c\n b;", Ok(()));
        check("$a = b<2-1>;", Err(Fault::BadValue("repeat")));
        check("$a = b<1-2 /1.5/>;", Err(Fault::BadValue("repeat-prob")));
        check("$a = /x/ b;", Err(Fault::BadValue("weight")));
        check("$a = b*;", Err(Fault::Syntax("a token, a reference, a tag or a group")));
        check("$a = b", Err(Fault::Syntax("; after a rule")));
        check("$a = (b;", Err(Fault::Syntax(")")));
        check("$a = {b;", Err(Fault::Syntax("the end of a tag")));
        check("$a = b | ;", Err(Fault::Syntax("an expansion")));
        check("$a = ;", Err(Fault::EmptyRule));
        check("$a = $b;", Err(Fault::UndefinedRule("b".into())));
        check("$a = b; $a = c;", Err(Fault::DuplicateRule("a".into())));
        check("$a = b; mode voice;", Err(Fault::BadDeclaration));
        check("$1a = b;", Err(Fault::BadRuleName("1a".into())));
    }

    #[test]
    fn srgs_4_1_header() {
        let limits = Limits::default();
        let header = |text: &str| Grammar::parse_abnf(text, "", &limits).map(|_| ()).map_err(|e| e.fault);
        assert_eq!(header("#ABNF 1.0;\nlanguage en;\n$a = b;"), Ok(()));
        assert_eq!(header("#ABNF 1.0 UTF-8;\r\nlanguage en;\n$a = b;"), Ok(()));
        assert_eq!(header("#ABNF 2.0;\nlanguage en;\n$a = b;"), Err(Fault::BadVersion));
        assert_eq!(header("#ABNF;\nlanguage en;\n$a = b;"), Err(Fault::BadHeader));
        assert_eq!(header("#ABNF 1.0; language en;\n$a = b;"), Err(Fault::BadHeader));
        assert_eq!(header("#ABNF 1.0;\n$a = b;"), Err(Fault::MissingLanguage));
        assert_eq!(header("#ABNF 1.0;\nmode dtmf;\n$a = 1 star;"), Ok(()));
        assert_eq!(header("#ABNF 1.0;\nmode dtmf;\n$a = one;"), Err(Fault::BadDtmfToken("one".into())));
    }
}
