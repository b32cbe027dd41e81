//! A network written as SRGS 1.0 in XML, for engines that speak MRCP: every grammar that a listening has, builtins and
//! what it referred to elsewhere included, in one document that names nothing outside.
//!
//! Tags stay here, as with the other exports: an engine returns words, and the matcher finds the semantics.

use super::error::{Fault, GrammarError};
use super::limits::Limit;
use super::model::{Node, Repeat};
use super::network::{NO_TOKEN, Network, index};
use std::fmt::Write;

impl Network {
    /// The network as an SRGS document: one rule a subnet, the first its root.
    ///
    /// # Errors
    /// [`Limit::ExportStates`]: it would be longer than engines read.
    pub fn to_srgs(&self) -> Result<String, GrammarError> {
        let lang = if self.lang.is_empty() { "en-US" } else { &self.lang };
        let mut writer = Srgs { net: self, text: String::new(), source: 0 };
        let root = writer.name(0);
        write!(
            writer.text,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<grammar xmlns=\"http://www.w3.org/2001/06/grammar\" \
             version=\"1.0\" mode=\"voice\" xml:lang=\"{}\" root=\"{root}\">\n",
            escaped(lang)
        )
        .expect("a string takes all");
        for (n, subnet) in self.subnets.iter().enumerate() {
            writer.source = subnet.source;
            let scope = if n == 0 { " scope=\"public\"" } else { "" };
            write!(writer.text, "<rule id=\"{}\"{scope}>", writer.name(n)).expect("a string takes all");
            writer.node(&subnet.rule.expansion)?;
            writer.text.push_str("</rule>\n");
        }
        writer.text.push_str("</grammar>\n");
        Ok(writer.text)
    }
}

struct Srgs<'n> {
    net: &'n Network,
    text: String,
    source: u32,
}

impl Srgs<'_> {
    /// An XML name that no other rule has.
    fn name(&self, subnet: usize) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let own: String = self.net.subnets.get(subnet).map_or("", |s| &s.name).chars().map(plain).collect();
        format!("r{subnet}_{own}")
    }

    fn node(&mut self, node: &Node) -> Result<(), GrammarError> {
        if self.text.len() > 64 * self.net.limits.export_states_max {
            return Err(Fault::TooLarge(Limit::ExportStates).into());
        }
        match node {
            Node::Token(text) => self.text.push_str(&escaped(text)),
            Node::Tag(_) => {}
            Node::Null => self.special("NULL"),
            Node::Void => self.special("VOID"),
            Node::Garbage => self.special("GARBAGE"),
            Node::Ref(reference) => {
                let link = (self.source, reference.as_ref().clone());
                match self.net.links.get(&link) {
                    Some(&(subnet, _)) if subnet != NO_TOKEN => {
                        let name = self.name(index(subnet));
                        self.text.extend(["<ruleref uri=\"#", &name, "\"/>"]);
                    }
                    _ => self.special("VOID"),
                }
            }
            Node::Sequence(nodes) => {
                for (n, node) in nodes.iter().enumerate() {
                    if n > 0 {
                        self.text.push(' ');
                    }
                    self.node(node)?;
                }
            }
            Node::OneOf(nodes) => {
                self.text.push_str("<one-of>");
                for (weight, node) in nodes {
                    match weight {
                        Some(weight) => {
                            write!(self.text, "<item weight=\"{weight}\">").expect("a string takes all")
                        }
                        None => self.text.push_str("<item>"),
                    }
                    self.node(node)?;
                    self.text.push_str("</item>");
                }
                self.text.push_str("</one-of>");
            }
            Node::Repeat(repeat) => self.repeat(repeat)?,
        }
        Ok(())
    }

    fn special(&mut self, name: &str) {
        self.text.extend(["<ruleref special=\"", name, "\"/>"]);
    }

    /// SRGS 1.0 §2.5: `n-m`, or `n-` without bound.
    fn repeat(&mut self, repeat: &Repeat) -> Result<(), GrammarError> {
        let max = repeat.max.map_or_else(String::new, |max| max.to_string());
        write!(self.text, "<item repeat=\"{}-{max}\">", repeat.min).expect("a string takes all");
        self.node(&repeat.node)?;
        self.text.push_str("</item>");
        Ok(())
    }
}

fn escaped(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::{Grammar, Limits, Matcher, Mode, Network, Status};
    use std::sync::Arc;

    fn abnf(rules: &str) -> Network {
        let text = format!("#ABNF 1.0;\nlanguage en-US;\nroot $r;\n{rules}");
        let grammar = Grammar::parse_abnf(&text, "", &Limits::default()).expect("legal");
        Network::compile(&grammar, &|_| None, &Limits::default()).expect("compiles")
    }

    /// What is written is read by our own reader of SRGS, and takes the same sentences.
    fn again(net: &Network) -> Arc<Network> {
        let text = net.to_srgs().expect("small");
        let grammar = Grammar::parse_xml(&text, "", None, &Limits::default())
            .unwrap_or_else(|e| panic!("{e:?}\n{text}"));
        Arc::new(Network::compile(&grammar, &|_| None, &Limits::default()).expect("compiles"))
    }

    fn whole(net: &Arc<Network>, sentence: &str) -> bool {
        let status = Matcher::new(Arc::clone(net)).and_then(|mut m| m.push(sentence));
        matches!(status, Ok(Status::Complete { .. }))
    }

    #[test]
    fn srgs10_what_is_written_takes_the_same_sentences() {
        let rules = "$r = call [the] ($who | /2/ \"a & c\") {t} $d<2-3> x<0-> y<1->; $who = $NULL | boss; $d = 1 | 2;";
        let net = Arc::new(abnf(rules));
        let back = again(&net);
        for sentence in [
            "call the boss 1 2 y",
            "call a & c 1 1 1 x x y y",
            "call 1 2 y",
            "call boss 1 y",
            "call the boss 1 2 3 y",
            "y",
        ] {
            assert_eq!(whole(&net, sentence), whole(&back, sentence), "{sentence}");
        }
        assert!(whole(&back, "call the boss 1 2 y"));
        let text = net.to_srgs().expect("small");
        assert!(text.contains("<item weight=\"2\">a &amp; c</item>") && !text.contains("<tag"), "{text}");
    }

    #[test]
    fn builtins_can_be_sent_to_an_engine() {
        for kind in ["boolean", "date", "digits?length=4", "currency", "number", "phone", "time"] {
            let net = Network::from_builtin(kind, Mode::Voice, "en-US", &Limits::default()).expect(kind);
            let back = again(&net);
            if kind == "boolean" {
                assert!(whole(&back, "yes") && whole(&back, "no") && !whole(&back, "maybe"));
            }
        }
    }
}
