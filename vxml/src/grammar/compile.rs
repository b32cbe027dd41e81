//! From rules to states: the compiler of [`Network`].

use super::builtin;
use super::error::{Fault, GrammarError};
use super::limits::{Limit, Limits};
use super::model::{Form, Grammar, Mode, Node, Repeat, Rule, RuleRef};
use super::network::{Label, NO_TOKEN, Network, Source, State, Subnet, Transition, index, matching_form};
use std::collections::HashMap;
use std::sync::Arc;

pub(super) struct Compiler<'a> {
    externals: &'a dyn Fn(&str) -> Option<Arc<Grammar>>,
    limits: Limits,
    grammars: Vec<Arc<Grammar>>,
    by_uri: HashMap<Box<str>, u32>,
    /// (grammar, rule) to subnet.
    by_rule: HashMap<(u32, usize), u32>,
    work: Vec<(u32, Arc<Rule>, u32)>,
    net: Network,
    /// State to subnet.
    owners: Vec<u32>,
    drafts: Vec<(u32, Transition)>,
    tokens: HashMap<Arc<str>, u32>,
    tags: HashMap<Arc<str>, u32>,
    labels: HashMap<Box<str>, u32>,
    current: u32,
}

/// What a transition costs to enter.
#[derive(Clone, Copy, Default)]
struct Price {
    weight: u16,
    order: u16,
}

impl Price {
    fn plus(self, weight: u16, order: u16) -> Self {
        Self { weight: self.weight.saturating_add(weight), order: self.order.saturating_add(order) }
    }
}

impl<'a> Compiler<'a> {
    pub(super) fn new(
        grammar: &Grammar,
        externals: &'a dyn Fn(&str) -> Option<Arc<Grammar>>,
        limits: &Limits,
    ) -> Self {
        let net = Network {
            mode: grammar.mode,
            lang: grammar.lang.clone().unwrap_or_default(),
            limits: *limits,
            ..Network::default()
        };
        let mut new = Self {
            externals,
            limits: *limits,
            grammars: Vec::new(),
            by_uri: HashMap::new(),
            by_rule: HashMap::new(),
            work: Vec::new(),
            net,
            owners: Vec::new(),
            drafts: Vec::new(),
            tokens: HashMap::new(),
            tags: HashMap::new(),
            labels: HashMap::new(),
            current: 0,
        };
        new.admit(Arc::new(grammar.clone()));
        if !grammar.uri.is_empty() {
            new.by_uri.insert(grammar.uri.split('#').next().unwrap_or_default().into(), 0);
        }
        new
    }

    pub(super) fn run(mut self, rule: Option<&str>) -> Result<Network, GrammarError> {
        let top = self.grammars[0].clone();
        let name = match rule {
            Some(name) => name,
            None => top.root.as_deref().ok_or(Fault::NoRoot)?,
        };
        self.subnet(0, name, rule.is_some())?;
        while let Some((grammar, rule, subnet)) = self.work.pop() {
            self.current = subnet;
            let (start, accept) = {
                let subnet = &self.net.subnets[index(subnet)];
                (subnet.start, subnet.accept)
            };
            self.node(grammar, &rule.expansion, start, accept, Price::default())?;
        }
        self.finish();
        Ok(self.net)
    }

    fn admit(&mut self, grammar: Arc<Grammar>) -> u32 {
        let source = Source { format: grammar.tag_format, header_tags: grammar.header_tags.clone() };
        self.net.sources.push(source);
        self.grammars.push(grammar);
        number(self.grammars.len() - 1)
    }

    /// The subnet of a rule, made on first use. `outside`: asked for from another grammar.
    fn subnet(&mut self, grammar: u32, name: &str, outside: bool) -> Result<u32, GrammarError> {
        let document = self.grammars[index(grammar)].clone();
        let at = *document.index.get(name).ok_or_else(|| Fault::UndefinedRule(name.into()))?;
        let rule = document.rules[at].clone();
        // SRGS 1.0 §3.2: a private rule is seen from outside only as the root.
        if outside && !rule.public && document.root.as_deref() != Some(name) {
            return Err(Fault::PrivateRule(name.into()).into());
        }
        if let Some(&subnet) = self.by_rule.get(&(grammar, at)) {
            return Ok(subnet);
        }
        if self.net.subnets.len() >= self.limits.rules_max {
            return Err(Fault::TooLarge(Limit::Rules).into());
        }
        let subnet = number(self.net.subnets.len());
        let outer = std::mem::replace(&mut self.current, subnet);
        let (start, accept) = (self.state()?, self.state()?);
        self.current = outer;
        let name = rule.name.clone();
        self.net.subnets.push(Subnet { name, start, accept, source: grammar, rule: rule.clone() });
        self.by_rule.insert((grammar, at), subnet);
        self.work.push((grammar, rule, subnet));
        Ok(subnet)
    }

    fn state(&mut self) -> Result<u32, GrammarError> {
        if self.owners.len() >= self.limits.states_max {
            return Err(Fault::TooLarge(Limit::States).into());
        }
        self.owners.push(self.current);
        Ok(number(self.owners.len() - 1))
    }

    fn transition(&mut self, from: u32, label: Label, to: u32, price: Price) -> Result<(), GrammarError> {
        if self.drafts.len() >= self.limits.transitions_max {
            return Err(Fault::TooLarge(Limit::Transitions).into());
        }
        let Price { weight, order } = price;
        self.drafts.push((from, Transition { label, to, weight, order }));
        Ok(())
    }

    /// Builds a node between two states. Never leads into `from` nor out of `to`, so that neighbours may share them.
    fn node(
        &mut self,
        grammar: u32,
        node: &Node,
        from: u32,
        to: u32,
        price: Price,
    ) -> Result<(), GrammarError> {
        match node {
            Node::Token(text) => self.token(text, from, to, price),
            Node::Tag(text) => {
                let tag = intern(&mut self.tags, &mut self.net.tags, text);
                self.transition(from, Label::Tag(tag), to, price)
            }
            Node::Ref(reference) => self.reference(grammar, reference, from, to, price),
            Node::Sequence(nodes) => self.sequence(grammar, nodes, from, to, price),
            Node::OneOf(nodes) => self.one_of(grammar, nodes, from, to, price),
            Node::Repeat(repeat) => self.repeat(grammar, repeat, from, to, price),
            Node::Null => self.transition(from, Label::Free, to, price),
            Node::Void => Ok(()),
            Node::Garbage => {
                let any = self.state()?;
                self.transition(from, Label::Free, any, price)?;
                // Garbage is what no word of the grammar explains better.
                self.transition(any, Label::Any, any, Price { weight: GARBAGE_WEIGHT, order: 0 })?;
                self.transition(any, Label::Free, to, Price::default())
            }
        }
    }

    fn token(&mut self, text: &Arc<str>, from: u32, to: u32, price: Price) -> Result<(), GrammarError> {
        let token = intern(&mut self.tokens, &mut self.net.tokens, text);
        let words: Vec<String> = text.split(' ').map(matching_form).collect();
        let (mut at, mut price) = (from, price);
        for (n, word) in words.iter().enumerate() {
            let last = n + 1 == words.len();
            let next = if last { to } else { self.state()? };
            let word = self.word(word);
            let token = if last { token } else { NO_TOKEN };
            self.transition(at, Label::Word { word, token }, next, price)?;
            (at, price) = (next, Price::default());
        }
        Ok(())
    }

    fn word(&mut self, word: &str) -> u32 {
        if let Some(&known) = self.net.word_ids.get(word) {
            return known;
        }
        let new = number(self.net.words.len());
        self.net.words.push(word.into());
        self.net.word_ids.insert(word.into(), new);
        new
    }

    fn sequence(
        &mut self,
        grammar: u32,
        nodes: &[Node],
        from: u32,
        to: u32,
        price: Price,
    ) -> Result<(), GrammarError> {
        let (mut at, mut price) = (from, price);
        for (n, node) in nodes.iter().enumerate() {
            let next = if n + 1 == nodes.len() { to } else { self.state()? };
            self.node(grammar, node, at, next, price)?;
            (at, price) = (next, Price::default());
        }
        if nodes.is_empty() {
            self.transition(from, Label::Free, to, price)?;
        }
        Ok(())
    }

    fn one_of(
        &mut self,
        grammar: u32,
        nodes: &[(Option<f32>, Node)],
        from: u32,
        to: u32,
        price: Price,
    ) -> Result<(), GrammarError> {
        // SRGS 1.0 §2.4.1: no weight is 1.0. Only the ratio counts: the best alternative costs nothing.
        let best = nodes.iter().map(|(w, _)| w.unwrap_or(1.0)).fold(0.0_f32, f32::max);
        for (n, (weight, node)) in nodes.iter().enumerate() {
            let order = u16::try_from(n).unwrap_or(u16::MAX);
            let weight = cost(weight.unwrap_or(1.0) / best.max(f32::MIN_POSITIVE));
            self.node(grammar, node, from, to, price.plus(weight, order))?;
        }
        Ok(())
    }

    /// Unrolled: what is bounded by `states_max` anyway needs no counters at matching.
    fn repeat(
        &mut self,
        grammar: u32,
        repeat: &Repeat,
        from: u32,
        to: u32,
        price: Price,
    ) -> Result<(), GrammarError> {
        let (mut min, mut max) = (repeat.min, repeat.max);
        // SRGS 1.0 §2.5: any number of what takes no words is the same as once.
        if !takes_words(&repeat.node) {
            min = min.min(1);
            max = Some(max.unwrap_or(1).min(1));
        }
        // What cannot fit is refused before it costs anything.
        if index(max.unwrap_or(min)) > self.limits.states_max {
            return Err(Fault::TooLarge(Limit::States).into());
        }
        let (more, stop) = match repeat.prob {
            Some(p) => (cost(p), cost(1.0 - p)),
            None => (0, 0),
        };
        if max == Some(0) {
            return self.transition(from, Label::Free, to, price);
        }
        let (mut at, mut price) = (from, price);
        for n in 0..min {
            let next = if n + 1 == min && max == Some(min) { to } else { self.state()? };
            self.node(grammar, &repeat.node, at, next, price)?;
            (at, price) = (next, Price::default());
        }
        let Some(max) = max else {
            let (head, tail) = (self.state()?, self.state()?);
            self.transition(at, Label::Free, head, price)?;
            self.node(grammar, &repeat.node, head, tail, Price { weight: more, order: 0 })?;
            self.transition(tail, Label::Free, head, Price::default())?;
            return self.transition(head, Label::Free, to, Price { weight: stop, order: 1 });
        };
        for n in min..max {
            // Greedy among equals: stopping early is the second choice.
            self.transition(at, Label::Free, to, price.plus(stop, 1))?;
            let next = if n + 1 == max { to } else { self.state()? };
            self.node(grammar, &repeat.node, at, next, price.plus(more, 0))?;
            (at, price) = (next, Price::default());
        }
        Ok(())
    }

    fn reference(
        &mut self,
        grammar: u32,
        reference: &RuleRef,
        from: u32,
        to: u32,
        price: Price,
    ) -> Result<(), GrammarError> {
        let link = (grammar, reference.clone());
        if let Some(&(subnet, label)) = self.net.links.get(&link) {
            return self.transition(from, Label::Call { subnet, label }, to, price);
        }
        let (subnet, label) = match &reference.uri {
            Some(uri) => {
                let target = self.external(uri, reference)?;
                let document = self.grammars[index(target)].clone();
                let name = reference.rule.as_deref().or(document.root.as_deref()).ok_or(Fault::NoRoot)?;
                let label = match &reference.rule {
                    Some(rule) => format!("{uri}#{rule}"),
                    None => uri.to_string(),
                };
                (self.subnet(target, name, true)?, self.label(&label))
            }
            None => {
                let document = self.grammars[index(grammar)].clone();
                let name = reference.rule.as_deref().or(document.root.as_deref()).ok_or(Fault::NoRoot)?;
                (self.subnet(grammar, name, false)?, NO_TOKEN)
            }
        };
        self.net.links.insert(link, (subnet, label));
        self.transition(from, Label::Call { subnet, label }, to, price)
    }

    fn label(&mut self, label: &str) -> u32 {
        if let Some(&known) = self.labels.get(label) {
            return known;
        }
        let new = number(self.net.labels.len());
        self.net.labels.push(label.into());
        self.labels.insert(label.into(), new);
        new
    }

    /// The grammar behind a URI.
    fn external(&mut self, uri: &str, reference: &RuleRef) -> Result<u32, GrammarError> {
        let known = match self.by_uri.get(uri) {
            Some(&known) => known,
            None => {
                if self.grammars.len() >= self.limits.grammars_max {
                    return Err(Fault::TooLarge(Limit::Grammars).into());
                }
                let document = match uri.strip_prefix("builtin:") {
                    Some(_) => Arc::new(builtin::grammar(uri, self.net.mode, &self.net.lang)?),
                    None => (self.externals)(uri).ok_or_else(|| Fault::Unresolved(uri.into()))?,
                };
                let new = self.admit(document);
                self.by_uri.insert(uri.into(), new);
                new
            }
        };
        let document = &self.grammars[index(known)];
        if document.mode != self.net.mode {
            return Err(Fault::ModeMismatch.into());
        }
        // SRGS 1.0 §2.2.2: a declared type that the document contradicts is an error.
        let declared = match reference.media_type.as_deref() {
            Some("application/srgs+xml" | "application/grammar+xml") => Some(Form::Xml),
            Some("application/srgs" | "application/grammar") => Some(Form::Abnf),
            _ => None,
        };
        if declared.is_some_and(|form| form != document.form && document.form != Form::Made) {
            return Err(Fault::MediaTypeMismatch.into());
        }
        Ok(known)
    }

    /// Drops what cannot lead to acceptance, so that every state the matcher reaches is a promise, and sorts the rest.
    fn finish(&mut self) {
        let alive = self.alive();
        let subnets = &self.net.subnets;
        self.drafts.retain(|(from, t)| {
            let callee = match t.label {
                Label::Call { subnet, .. } => alive[index(subnets[index(subnet)].start)],
                _ => true,
            };
            callee && alive[index(*from)] && alive[index(t.to)]
        });
        // Words first, by number; the rest in document order.
        self.drafts.sort_by_key(|(from, t)| {
            let word = match t.label {
                Label::Word { word, .. } => word,
                _ => u32::MAX,
            };
            (*from, word)
        });
        let mut states: Vec<State> =
            self.owners.iter().map(|&subnet| State { subnet, ..State::default() }).collect();
        let mut at = 0;
        for (from, state) in states.iter_mut().enumerate() {
            state.first = number(at);
            state.others = state.first;
            while let Some((_, t)) = self.drafts.get(at).filter(|(f, _)| index(*f) == from) {
                at += 1;
                match t.label {
                    Label::Word { .. } => (state.others, state.scans) = (number(at), true),
                    Label::Any => state.scans = true,
                    _ => {}
                }
            }
            state.end = number(at);
        }
        self.net.states = states;
        self.net.transitions = self.drafts.drain(..).map(|(_, t)| t).collect();
        self.net.transitions.shrink_to_fit();
    }

    /// Which states can reach the accepting state of their subnet.
    fn alive(&self) -> Vec<bool> {
        let mut into = Chains::new(self.owners.len(), self.drafts.len());
        let mut calls = Chains::new(self.owners.len(), self.drafts.len());
        for (n, (_, t)) in self.drafts.iter().enumerate() {
            into.add(t.to, number(n));
            if let Label::Call { subnet, .. } = t.label {
                calls.add(self.net.subnets[index(subnet)].start, number(n));
            }
        }
        let mut alive = vec![false; self.owners.len()];
        let mut todo: Vec<u32> = self.net.subnets.iter().map(|s| s.accept).collect();
        while let Some(state) = todo.pop() {
            if std::mem::replace(&mut alive[index(state)], true) {
                continue;
            }
            for n in into.of(state).chain(calls.of(state)) {
                let (from, t) = self.drafts[index(n)];
                let callee = match t.label {
                    Label::Call { subnet, .. } => alive[index(self.net.subnets[index(subnet)].start)],
                    _ => true,
                };
                if callee && alive[index(t.to)] && !alive[index(from)] {
                    todo.push(from);
                }
            }
        }
        alive
    }
}

/// Lists of draft numbers by state, in two arrays.
struct Chains {
    heads: Vec<u32>,
    nexts: Vec<u32>,
}

impl Chains {
    fn new(states: usize, drafts: usize) -> Self {
        Self { heads: vec![u32::MAX; states], nexts: vec![u32::MAX; drafts] }
    }

    fn add(&mut self, state: u32, draft: u32) {
        self.nexts[index(draft)] = std::mem::replace(&mut self.heads[index(state)], draft);
    }

    fn of(&self, state: u32) -> impl Iterator<Item = u32> {
        let some = |n: u32| (n != u32::MAX).then_some(n);
        std::iter::successors(some(self.heads[index(state)]), move |&n| some(self.nexts[index(n)]))
    }
}

/// Whether a node can take a word: references count as such.
fn takes_words(node: &Node) -> bool {
    match node {
        Node::Token(_) | Node::Ref(_) | Node::Garbage => true,
        Node::Tag(_) | Node::Null | Node::Void => false,
        Node::Sequence(nodes) => nodes.iter().any(takes_words),
        Node::OneOf(nodes) => nodes.iter().any(|(_, n)| takes_words(n)),
        Node::Repeat(repeat) => repeat.max != Some(0) && takes_words(&repeat.node),
    }
}

fn intern(ids: &mut HashMap<Arc<str>, u32>, texts: &mut Vec<Arc<str>>, text: &Arc<str>) -> u32 {
    if let Some(&known) = ids.get(text) {
        return known;
    }
    let new = number(texts.len());
    texts.push(text.clone());
    ids.insert(text.clone(), new);
    new
}

fn number(n: usize) -> u32 {
    u32::try_from(n).expect("limits keep counts below 2^32")
}

/// -ln(p) in 1/1024, for p in 0..=1; impossible is merely very dear.
fn cost(p: f32) -> u16 {
    let nats = -f64::from(p.clamp(f32::MIN_POSITIVE, 1.0)).ln();
    let scaled = (nats.min(MAX_NATS) * 1024.0).round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 ..= 16384 by the bounds above"
    )]
    let units = scaled as u16;
    units
}

const MAX_NATS: f64 = 16.0;
const GARBAGE_WEIGHT: u16 = 8 * 1024;

pub(super) fn check_dtmf(mode: Mode, text: &str) -> Result<Option<Node>, GrammarError> {
    if mode == Mode::Voice {
        return Ok(None);
    }
    // SRGS 1.0 appendix E: keys, and "star", "pound" as names.
    let key = |c: char| units::Digit::try_from(c).is_ok();
    let name = match text {
        "star" => "*",
        "pound" | "hash" => "#",
        other => other,
    };
    if name.is_empty() || !name.chars().all(|c| key(c) || c == ' ') {
        return Err(Fault::BadDtmfToken(text.into()).into());
    }
    let keys = name.chars().filter(|c| *c != ' ').map(|c| Node::token(&c.to_string()));
    Ok(Some(Node::sequence(keys.collect())))
}
