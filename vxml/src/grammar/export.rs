//! What a recogniser is given: a network flattened to finite state, and its text as Sphinx FSG or as JSGF.
//!
//! Tags stay here: a recogniser returns words, and the matcher finds the semantics. `$GARBAGE` is left to the
//! recogniser's own fillers and written as nothing. Words that the recogniser does not know can be left out, since
//! most refuse a grammar with one of them in it.

use super::error::{Fault, GrammarError};
use super::limits::Limit;
use super::model::{Node, Repeat};
use super::network::{Label, NO_TOKEN, Network, index, matching_form};
use std::fmt::Write;

/// A weighted finite-state acceptor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FiniteState {
    /// Number of states; the first is where it starts.
    pub states: u32,
    /// Where it ends.
    pub accept: u32,
    /// Its transitions.
    pub arrows: Vec<Arrow>,
}

/// A transition of a [`FiniteState`].
#[derive(Clone, Debug, PartialEq)]
pub struct Arrow {
    /// From this state.
    pub from: u32,
    /// To this one.
    pub to: u32,
    /// Probability; those that leave one state add up to 1.
    pub probability: f64,
    /// The word it takes, lower case; `None`: none.
    pub word: Option<Box<str>>,
}

impl Network {
    /// Flattens the network: calls are copied in place, recursion to [`super::Limits::export_depth_max`] levels.
    ///
    /// Phrases with words that `knows` denies are left out.
    ///
    /// # Errors
    /// [`Limit::ExportStates`].
    pub fn flatten(&self, knows: &dyn Fn(&str) -> bool) -> Result<FiniteState, GrammarError> {
        let known = self.words.iter().map(|w| knows(w)).collect();
        let mut flat =
            Flat { net: self, out: FiniteState::default(), depth: vec![0; self.subnets.len()], known };
        if self.subnets.is_empty() {
            return Ok(flat.out);
        }
        let (start, accept) = (flat.state()?, flat.state()?);
        flat.out.accept = accept;
        flat.all(start, accept)?;
        flat.normalise();
        Ok(flat.out)
    }

    /// The network as a Sphinx finite-state grammar.
    ///
    /// # Errors
    /// As [`Network::flatten`].
    pub fn to_fsg(&self, name: &str, knows: &dyn Fn(&str) -> bool) -> Result<String, GrammarError> {
        let flat = self.flatten(knows)?;
        let mut text = format!("FSG_BEGIN {}\n", identifier(name));
        let mut line = |line: std::fmt::Arguments<'_>| text.write_fmt(line).expect("a string takes all");
        line(format_args!("NUM_STATES {}\nSTART_STATE 0\nFINAL_STATE {}\n", flat.states, flat.accept));
        for arrow in &flat.arrows {
            let Arrow { from, to, probability, word } = arrow;
            match word {
                Some(word) => line(format_args!("TRANSITION {from} {to} {probability:.6} {word}\n")),
                None => line(format_args!("TRANSITION {from} {to} {probability:.6}\n")),
            }
        }
        text.push_str("FSG_END\n");
        Ok(text)
    }

    /// The network as a JSGF grammar: one rule a subnet, the first public. Recursive rules stay so, which a recogniser
    /// may refuse: see [`Network::is_recursive`].
    ///
    /// # Errors
    /// [`Limit::ExportStates`]: a repeat is written out, and that would be longer than any recogniser reads.
    pub fn to_jsgf(&self, name: &str, knows: &dyn Fn(&str) -> bool) -> Result<String, GrammarError> {
        let lang = if self.lang.is_empty() { "en" } else { &self.lang };
        let mut writer = Jsgf { net: self, text: format!("#JSGF V1.0 UTF-8 {lang};\n"), source: 0, knows };
        writer.text.extend(["grammar ", &identifier(name), ";\n"]);
        for (n, subnet) in self.subnets.iter().enumerate() {
            writer.source = subnet.source;
            let public = if n == 0 { "public " } else { "" };
            write!(writer.text, "{public}<{}> = ", writer.name(n)).expect("a string takes all");
            writer.node(&subnet.rule.expansion)?;
            writer.text.push_str(";\n");
        }
        Ok(writer.text)
    }

    /// Whether some rule refers to itself, directly or not.
    #[must_use]
    pub fn is_recursive(&self) -> bool {
        // Rules that call nothing that is left are taken away; what remains goes in circles.
        let mut callers: Vec<Vec<u32>> = vec![Vec::new(); self.subnets.len()];
        let mut calls = vec![0_u32; self.subnets.len()];
        for (state, transitions) in
            self.states.iter().map(|s| (s, &self.transitions[index(s.others)..index(s.end)]))
        {
            for transition in transitions {
                if let Label::Call { subnet, .. } = transition.label {
                    callers[index(subnet)].push(state.subnet);
                    calls[index(state.subnet)] += 1;
                }
            }
        }
        let mut done: Vec<usize> = (0..calls.len()).filter(|&n| calls[n] == 0).collect();
        let mut left = calls.len();
        while let Some(subnet) = done.pop() {
            left -= 1;
            for &caller in &callers[subnet] {
                calls[index(caller)] -= 1;
                if calls[index(caller)] == 0 {
                    done.push(index(caller));
                }
            }
        }
        left > 0
    }
}

struct Flat<'n> {
    net: &'n Network,
    out: FiniteState,
    /// How often each subnet is open on the way to here.
    depth: Vec<usize>,
    /// Which words the recogniser knows.
    known: Vec<bool>,
}

/// A subnet being copied; `map` gives its states their new numbers.
struct Copy {
    subnet: u32,
    map: std::collections::HashMap<u32, u32>,
    todo: Vec<u32>,
    /// Subnet, entry and exit of calls that are still to be copied.
    calls: Vec<(u32, u32, u32)>,
}

impl Flat<'_> {
    fn state(&mut self) -> Result<u32, GrammarError> {
        if index(self.out.states) >= self.net.limits.export_states_max {
            return Err(Fault::TooLarge(Limit::ExportStates).into());
        }
        self.out.states += 1;
        Ok(self.out.states - 1)
    }

    fn arrow(&mut self, from: u32, to: u32, weight: u16, word: Option<&str>) -> Result<(), GrammarError> {
        if self.out.arrows.len() >= 4 * self.net.limits.export_states_max {
            return Err(Fault::TooLarge(Limit::ExportStates).into());
        }
        let probability = (-f64::from(weight) / 1024.0).exp();
        self.out.arrows.push(Arrow { from, to, probability, word: word.map(Box::from) });
        Ok(())
    }

    /// Copies the first subnet and all that it calls; a stack of its own instead of recursion.
    fn all(&mut self, start: u32, accept: u32) -> Result<(), GrammarError> {
        let mut open = vec![self.open(0, start, accept)];
        while let Some(copy) = open.last_mut() {
            if let Some((subnet, enter, to)) = copy.calls.pop() {
                let callee = self.open(subnet, enter, to);
                open.push(callee);
            } else if let Some(state) = copy.todo.pop() {
                self.copy_state(copy, state)?;
            } else {
                self.depth[index(copy.subnet)] -= 1;
                open.pop();
            }
        }
        Ok(())
    }

    fn copy_state(&mut self, copy: &mut Copy, state: u32) -> Result<(), GrammarError> {
        let from = copy.map[&state];
        for transition in self.net.transitions(state) {
            let to = match copy.map.get(&transition.to) {
                Some(&to) => to,
                None => {
                    let new = self.state()?;
                    copy.map.insert(transition.to, new);
                    copy.todo.push(transition.to);
                    new
                }
            };
            match transition.label {
                Label::Word { word, .. } if !self.known[index(word)] => {}
                Label::Word { word, .. } => self.arrow(from, to, transition.weight, self.net.word(word))?,
                Label::Free | Label::Tag(_) => self.arrow(from, to, transition.weight, None)?,
                Label::Any => {}
                // The depth counts the copies around this one.
                Label::Call { subnet, .. }
                    if self.depth[index(subnet)] < self.net.limits.export_depth_max =>
                {
                    let enter = self.state()?;
                    self.arrow(from, enter, transition.weight, None)?;
                    copy.calls.push((subnet, enter, to));
                }
                Label::Call { .. } => {}
            }
        }
        Ok(())
    }

    fn open(&mut self, subnet: u32, start: u32, accept: u32) -> Copy {
        self.depth[index(subnet)] += 1;
        let rule = &self.net.subnets[index(subnet)];
        let map = [(rule.accept, accept), (rule.start, start)].into_iter().collect();
        Copy { subnet, map, todo: vec![rule.start], calls: Vec::new() }
    }

    /// Makes the weights that leave a state probabilities.
    fn normalise(&mut self) {
        let mut sums = vec![0.0; index(self.out.states)];
        for arrow in &self.out.arrows {
            sums[index(arrow.from)] += arrow.probability;
        }
        for arrow in &mut self.out.arrows {
            arrow.probability /= sums[index(arrow.from)];
        }
    }
}

struct Jsgf<'n> {
    net: &'n Network,
    text: String,
    source: u32,
    knows: &'n dyn Fn(&str) -> bool,
}

impl Jsgf<'_> {
    fn name(&self, subnet: usize) -> String {
        format!("r{subnet}_{}", identifier(&self.net.subnets[subnet].name))
    }

    fn node(&mut self, node: &Node) -> Result<(), GrammarError> {
        if self.text.len() > 64 * self.net.limits.export_states_max {
            return Err(Fault::TooLarge(Limit::ExportStates).into());
        }
        match node {
            Node::Token(text) => self.token(text),
            Node::Tag(_) | Node::Null | Node::Garbage => self.text.push_str("<NULL>"),
            Node::Void => self.text.push_str("<VOID>"),
            Node::Ref(reference) => {
                let link = (self.source, reference.as_ref().clone());
                let (subnet, _) = self.net.links.get(&link).copied().unwrap_or((NO_TOKEN, NO_TOKEN));
                let name = if subnet == NO_TOKEN { "VOID".to_owned() } else { self.name(index(subnet)) };
                self.text.extend(["<", &name, ">"]);
            }
            Node::Sequence(nodes) => {
                for (n, node) in nodes.iter().enumerate() {
                    if n > 0 {
                        self.text.push(' ');
                    }
                    self.node(node)?;
                }
            }
            Node::OneOf(nodes) => self.one_of(nodes)?,
            Node::Repeat(repeat) => self.repeat(repeat)?,
        }
        Ok(())
    }

    fn token(&mut self, text: &str) {
        let words: Vec<String> = text.split(' ').map(matching_form).collect();
        if !words.iter().all(|w| (self.knows)(w)) {
            return self.text.push_str("<VOID>");
        }
        for (n, word) in words.iter().enumerate() {
            let space = if n > 0 { " " } else { "" };
            // What JSGF reserves stands in quotes; anything else must not, for quotes become part of the word.
            let quote = if word.contains(|c: char| JSGF_RESERVED.contains(c)) { "\"" } else { "" };
            let word = word.replace('\\', "\\\\").replace('"', "\\\"");
            self.text.extend([space, quote, &word, quote]);
        }
    }

    fn one_of(&mut self, nodes: &[(Option<f32>, Node)]) -> Result<(), GrammarError> {
        // JSGF has weights on all alternatives or on none.
        let weighted = nodes.iter().any(|(weight, _)| weight.is_some());
        self.text.push('(');
        for (n, (weight, node)) in nodes.iter().enumerate() {
            if n > 0 {
                self.text.push_str(" | ");
            }
            if weighted {
                write!(self.text, "/{}/ ", weight.unwrap_or(1.0)).expect("a string takes all");
            }
            self.node(node)?;
        }
        self.text.push(')');
        Ok(())
    }

    fn repeat(&mut self, repeat: &Repeat) -> Result<(), GrammarError> {
        for n in 0..repeat.min {
            // The last of `m-` takes the plus.
            let plus = n + 1 == repeat.min && repeat.max.is_none();
            self.group(&repeat.node, if plus { "+ " } else { " " })?;
        }
        match repeat.max {
            None if repeat.min == 0 => self.group(&repeat.node, "*")?,
            None => {}
            Some(0) => self.text.push_str("<NULL>"),
            Some(max) => {
                for _ in repeat.min..max {
                    self.text.push('[');
                    self.group(&repeat.node, " ")?;
                }
                self.text.extend((repeat.min..max).map(|_| ']'));
            }
        }
        Ok(())
    }

    fn group(&mut self, node: &Node, after: &str) -> Result<(), GrammarError> {
        self.text.push('(');
        self.node(node)?;
        self.text.extend([")", after]);
        Ok(())
    }
}

const JSGF_RESERVED: &str = ";=|*+<>()[]{}/\"\\#";

/// A name with nothing but ASCII letters, digits and underscores.
fn identifier(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Grammar, Limits, Mode};
    use super::*;
    use std::collections::BTreeSet;

    fn net(rules: &str) -> Network {
        let text = format!("#ABNF 1.0;\nlanguage en-US;\nroot $r;\n{rules}");
        let grammar = Grammar::parse_abnf(&text, "", &Limits::default()).expect("legal");
        Network::compile(&grammar, &|_| None, &Limits::default()).expect("compiles")
    }

    /// All sentences of at most `longest` words.
    fn sentences(flat: &FiniteState, longest: usize) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut todo = vec![(0, Vec::<&str>::new())];
        while let Some((state, words)) = todo.pop() {
            if !seen.insert((state, words.clone())) {
                continue;
            }
            for arrow in flat.arrows.iter().filter(|a| a.from == state) {
                let mut words = words.clone();
                words.extend(arrow.word.as_deref());
                if words.len() <= longest {
                    todo.push((arrow.to, words));
                }
            }
        }
        seen.into_iter().filter(|(s, _)| *s == flat.accept).map(|(_, w)| w.join(" ")).collect()
    }

    fn check(rules: &str, expected: &[&str]) {
        let flat = net(rules).flatten(&|_| true).expect("small");
        assert_eq!(sentences(&flat, 4), expected.iter().map(|s| (*s).to_owned()).collect(), "{rules}");
        let mut sums = std::collections::BTreeMap::new();
        flat.arrows.iter().for_each(|a| *sums.entry(a.from).or_insert(0.0) += a.probability);
        assert!(sums.values().all(|s: &f64| (s - 1.0).abs() < 1e-9), "{rules}");
    }

    #[test]
    fn flattened_networks_say_the_same() {
        check(
            "$r = Call [the] $who; $who = boss | \"New York\";",
            &["call boss", "call new york", "call the boss", "call the new york"],
        );
        check("$r = a<1-3> {t};", &["a", "a a", "a a a"]);
        check("$r = $s $s; $s = a | b;", &["a a", "a b", "b a", "b b"]);
        check("$r = a [$r];", &["a", "a a", "a a a", "a a a a"]);
        check("$r = a $GARBAGE b | $VOID;", &["a b"]);
        check("$r = (a $r b | c);", &["a c b", "c"]);
    }

    #[test]
    fn recursion_is_cut_at_its_depth() {
        let limits = Limits { export_depth_max: 3, ..Limits::default() };
        let text = "#ABNF 1.0;\nlanguage en;\nroot $r;\n$r = a $r b | c;";
        let grammar = Grammar::parse_abnf(text, "", &limits).expect("legal");
        let net = Network::compile(&grammar, &|_| None, &limits).expect("compiles");
        assert!(net.is_recursive());
        let all = sentences(&net.flatten(&|_| true).expect("small"), 20);
        assert_eq!(all, ["c", "a c b", "a a c b b"].map(str::to_owned).into());
    }

    #[test]
    fn expansion_without_end_is_refused() {
        let refused =
            net("$r = $a<300>; $a = $b<300>; $b = $c<300>; $c = w;").flatten(&|_| true).expect_err("large");
        assert_eq!(refused.fault, Fault::TooLarge(Limit::ExportStates));
        let refused = net("$r = (a<400>)<400>;").to_jsgf("g", &|_| true);
        assert!(refused.is_ok(), "small enough to write out");
    }

    #[test]
    fn sphinx_fsg_text() {
        let text = net("$r = /2/ yes | /2/ no;").to_fsg("yes-no", &|_| true).expect("small");
        let expected = "FSG_BEGIN yes_no\nNUM_STATES 2\nSTART_STATE 0\nFINAL_STATE 1\n\
            TRANSITION 0 1 0.500000 yes\nTRANSITION 0 1 0.500000 no\nFSG_END\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn jsgf_text() {
        let rules = "$r = Call [the] ($who | /2/ \"a/c\") {t} $d<2-3> x<0-> y<1->; $who = $NULL | boss; $d = 1 | $VOID;";
        let expected = "#JSGF V1.0 UTF-8 en-US;\ngrammar g;\n\
            public <r0_r> = call [(the) ] (/1/ <r1_who> | /2/ \"a/c\") <NULL> (<r2_d>) (<r2_d>) [(<r2_d>) ] (x)* (y)+ ;\n\
            <r1_who> = (<NULL> | boss);\n<r2_d> = (1 | <VOID>);\n";
        assert_eq!(net(rules).to_jsgf("g", &|_| true).expect("small"), expected);
        assert!(!net(rules).is_recursive());
    }

    #[test]
    fn unknown_words_are_left_out() {
        let net = net("$r = yes | \"yes 7\" | 7 [no];");
        let knows = |word: &str| word != "7";
        assert_eq!(sentences(&net.flatten(&knows).expect("small"), 4), ["yes".to_owned()].into());
        let jsgf = net.to_jsgf("g", &knows).expect("small");
        assert!(jsgf.contains("(yes | <VOID> | <VOID> [(no) ])"), "{jsgf}");
    }

    #[test]
    fn builtins_can_be_exported() {
        for kind in ["boolean", "date", "digits", "currency", "number", "phone", "time"] {
            let net = Network::from_builtin(kind, Mode::Voice, "en-US", &Limits::default()).expect(kind);
            assert!(net.to_jsgf(kind, &|_| true).expect(kind).contains("public <r0_"));
            let flat = net.flatten(&|_| true).expect(kind);
            assert!(flat.states > 1 && !flat.arrows.is_empty(), "{kind}");
            println!("{kind}: {} states, {} arrows", flat.states, flat.arrows.len());
        }
    }
}
