//! The matcher: takes words one by one and says after each what may still become of them.
//!
//! It is Earley's algorithm over a recursive transition network, so left recursion, empty repeats and ambiguity cost at
//! most the cube of the utterance's length and never an exponential. Within one position the items are taken in order of
//! cost (Knuth's generalisation of Dijkstra's algorithm), so the parse found is the best one and its back pointers have no
//! circles. States that cannot lead to acceptance are not in the network, so "may continue" is exact.

use super::error::MatchError;
use super::limits::Limit;
use super::network::{Cost, Label, Network, index, matching_form};
use super::parse::{Parse, extract};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fmt;
use std::sync::Arc;
use units::Digit;

/// Where an utterance stands in a grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// No sentence of the grammar begins like this.
    NoMatch,
    /// Some sentence begins like this; none is this.
    Prefix,
    /// This is a sentence.
    Complete {
        /// And some longer one begins like this.
        may_continue: bool,
    },
}

/// Matches one utterance against one network.
#[derive(Clone)]
pub struct Matcher {
    net: Arc<Network>,
    pub(super) items: Vec<Item>,
    /// Where each position's items begin.
    positions: Vec<u32>,
    /// (state, origin) to item, of the current position.
    known: HashMap<(u32, u32), u32>,
    /// (position, subnet): items that wait for the subnet from there.
    waiting: HashMap<(u32, u32), Vec<(u32, u32)>>,
    /// Items of the current position before a word.
    scanning: Vec<u32>,
    /// The item that has matched everything so far.
    complete: Option<u32>,
    pub(super) words: Vec<Box<str>>,
    /// Steps for the current word, and for all.
    work: usize,
    work_in_all: usize,
}

/// A state reached, counted from where its subnet was entered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) state: u32,
    pub(super) origin: u32,
    pub(super) cost: Cost,
    pub(super) back: Back,
    done: bool,
}

/// How an item was reached.
#[derive(Clone, Copy, Debug)]
pub(super) enum Back {
    /// The subnet begins here.
    Start,
    /// By a transition from an item.
    Step { from: u32, transition: u32 },
    /// By a call that `inner` has completed.
    Call { from: u32, transition: u32, inner: u32 },
}

type Agenda = BinaryHeap<Reverse<(Cost, u32)>>;

impl Matcher {
    /// A matcher before the first word.
    ///
    /// # Errors
    /// The grammar needs more work before its first word than the limits allow.
    pub fn new(net: Arc<Network>) -> Result<Self, MatchError> {
        let mut new = Self {
            net,
            items: Vec::new(),
            positions: Vec::new(),
            known: HashMap::new(),
            waiting: HashMap::new(),
            scanning: Vec::new(),
            complete: None,
            words: Vec::new(),
            work: 0,
            work_in_all: 0,
        };
        new.reset()?;
        Ok(new)
    }

    /// Forgets all words.
    ///
    /// # Errors
    /// As [`Matcher::new`].
    pub fn reset(&mut self) -> Result<(), MatchError> {
        self.items.clear();
        self.positions.clear();
        self.waiting.clear();
        self.words.clear();
        self.work_in_all = 0;
        self.begin_position();
        let mut agenda = Agenda::new();
        if let Some(start) = self.net.subnets.first().map(|s| s.start) {
            self.reach(&mut agenda, start, 0, 0, Back::Start)?;
        }
        self.close(agenda)
    }

    /// Takes what was said: one word, or several with white space between.
    ///
    /// # Errors
    /// A named limit; the matcher then matches nothing until it is reset.
    pub fn push(&mut self, text: &str) -> Result<Status, MatchError> {
        for word in text.split_whitespace() {
            let done = self.push_word(word);
            if done.is_err() {
                self.scanning.clear();
                self.complete = None;
            }
            done?;
        }
        Ok(self.status())
    }

    /// Takes a key.
    ///
    /// # Errors
    /// As [`Matcher::push`].
    pub fn push_digit(&mut self, digit: Digit) -> Result<Status, MatchError> {
        self.push(digit.as_char().encode_utf8(&mut [0; 4]))
    }

    /// Where the utterance stands.
    #[must_use]
    pub fn status(&self) -> Status {
        match (self.complete, self.scanning.is_empty()) {
            (Some(_), done) => Status::Complete { may_continue: !done },
            (None, true) => Status::NoMatch,
            (None, false) => Status::Prefix,
        }
    }

    /// The words taken so far, as given.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(|w| &**w)
    }

    /// The network.
    #[must_use]
    pub fn network(&self) -> &Arc<Network> {
        &self.net
    }

    /// The best parse if the words are a sentence.
    ///
    /// # Errors
    /// The parse is larger than the limits allow.
    pub fn parse(&self) -> Result<Option<Parse>, MatchError> {
        self.complete.map(|item| extract(self, &self.net, item)).transpose()
    }

    fn begin_position(&mut self) {
        self.positions.push(number(self.items.len()));
        self.known.clear();
        self.scanning.clear();
        self.complete = None;
        self.work = 0;
    }

    fn push_word(&mut self, word: &str) -> Result<(), MatchError> {
        if self.words.len() >= self.net.limits.words_max {
            return Err(MatchError(Limit::Words));
        }
        self.words.push(word.into());
        let id = self.net.word_ids.get(&*matching_form(word)).copied();
        let net = self.net.clone();
        let before = std::mem::take(&mut self.scanning);
        self.begin_position();
        let mut agenda = Agenda::new();
        for from in before {
            let Item { state, origin, cost, .. } = self.items[index(from)];
            let state = net.states[index(state)];
            let named = id.map_or(0..0, |id| net.word_transitions(state, id));
            let any = |n: &u32| net.transitions[index(*n)].label == Label::Any;
            for transition in named.chain((state.others..state.end).filter(any)) {
                let t = net.transitions[index(transition)];
                let back = Back::Step { from, transition };
                self.reach(&mut agenda, t.to, origin, cost.saturating_add(t.cost()), back)?;
            }
        }
        self.close(agenda)
    }

    /// A way to an item: kept if it is the first or the cheapest.
    fn reach(
        &mut self,
        agenda: &mut Agenda,
        state: u32,
        origin: u32,
        cost: Cost,
        back: Back,
    ) -> Result<(), MatchError> {
        self.work += 1;
        if self.work > self.net.limits.work_per_word_max {
            return Err(MatchError(Limit::WorkPerWord));
        }
        self.work_in_all += 1;
        if self.work_in_all > self.net.limits.work_max {
            return Err(MatchError(Limit::Work));
        }
        let at = match self.known.get(&(state, origin)) {
            Some(&at) => {
                let item = &mut self.items[index(at)];
                if item.done || item.cost <= cost {
                    return Ok(());
                }
                (item.cost, item.back) = (cost, back);
                at
            }
            None => {
                if self.items.len() >= self.net.limits.items_max {
                    return Err(MatchError(Limit::Items));
                }
                let at = number(self.items.len());
                self.items.push(Item { state, origin, cost, back, done: false });
                self.known.insert((state, origin), at);
                at
            }
        };
        agenda.push(Reverse((cost, at)));
        Ok(())
    }

    /// Follows everything that takes no word.
    fn close(&mut self, mut agenda: Agenda) -> Result<(), MatchError> {
        let net = self.net.clone();
        let here = number(self.positions.len() - 1);
        while let Some(Reverse((_, at))) = agenda.pop() {
            if std::mem::replace(&mut self.items[index(at)].done, true) {
                continue;
            }
            let item = self.items[index(at)];
            let state = net.states[index(item.state)];
            if state.scans {
                self.scanning.push(at);
            }
            for n in state.others..state.end {
                let t = net.transitions[index(n)];
                match t.label {
                    Label::Word { .. } | Label::Any => {}
                    Label::Free | Label::Tag(_) => {
                        let back = Back::Step { from: at, transition: n };
                        let cost = item.cost.saturating_add(t.cost());
                        self.reach(&mut agenda, t.to, item.origin, cost, back)?;
                    }
                    Label::Call { subnet, .. } => self.call(&mut agenda, here, at, n, subnet)?,
                }
            }
            if net.subnets[index(state.subnet)].accept == item.state {
                self.accept(&mut agenda, at, state.subnet)?;
            }
        }
        Ok(())
    }

    fn call(
        &mut self,
        agenda: &mut Agenda,
        here: u32,
        from: u32,
        transition: u32,
        subnet: u32,
    ) -> Result<(), MatchError> {
        self.waiting.entry((here, subnet)).or_default().push((from, transition));
        let (start, accept) = {
            let subnet = &self.net.subnets[index(subnet)];
            (subnet.start, subnet.accept)
        };
        self.reach(agenda, start, here, 0, Back::Start)?;
        // The subnet may already have matched nothing from here.
        match self.known.get(&(accept, here)) {
            Some(&inner) if self.items[index(inner)].done => self.resume(agenda, from, transition, inner),
            _ => Ok(()),
        }
    }

    fn accept(&mut self, agenda: &mut Agenda, at: u32, subnet: u32) -> Result<(), MatchError> {
        let origin = self.items[index(at)].origin;
        if subnet == 0 && origin == 0 {
            self.complete = Some(at);
        }
        let count = self.waiting.get(&(origin, subnet)).map_or(0, Vec::len);
        for n in 0..count {
            let (from, transition) = self.waiting[&(origin, subnet)][n];
            self.resume(agenda, from, transition, at)?;
        }
        Ok(())
    }

    /// A caller goes on after its call.
    fn resume(
        &mut self,
        agenda: &mut Agenda,
        from: u32,
        transition: u32,
        inner: u32,
    ) -> Result<(), MatchError> {
        let t = self.net.transitions[index(transition)];
        let caller = self.items[index(from)];
        let cost = caller.cost.saturating_add(t.cost()).saturating_add(self.items[index(inner)].cost);
        self.reach(agenda, t.to, caller.origin, cost, Back::Call { from, transition, inner })
    }

    /// The position, in words, at which an item was reached.
    pub(super) fn position(&self, item: u32) -> u32 {
        number(self.positions.partition_point(|&first| first <= item) - 1)
    }
}

/// Matches a whole utterance.
///
/// # Errors
/// A named limit.
pub fn match_words<'w>(
    net: &Arc<Network>,
    words: impl IntoIterator<Item = &'w str>,
) -> Result<Option<Parse>, MatchError> {
    let mut matcher = Matcher::new(net.clone())?;
    for word in words {
        if matcher.push(word)? == Status::NoMatch {
            return Ok(None);
        }
    }
    matcher.parse()
}

fn number(n: usize) -> u32 {
    u32::try_from(n).expect("limits keep counts below 2^32")
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matcher")
            .field("words", &self.words.len())
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Grammar, Limits};
    use super::*;

    fn net(header: &str, rules: &str) -> Arc<Network> {
        let text = format!("#ABNF 1.0;\n{header}\nroot $r;\n{rules}");
        let grammar = Grammar::parse_abnf(&text, "", &Limits::default()).expect("legal");
        Arc::new(Network::compile(&grammar, &|_| None, &Limits::default()).expect("compiles"))
    }

    /// The status after each word.
    fn statuses(net: &Arc<Network>, said: &str) -> Vec<Status> {
        let mut matcher = Matcher::new(net.clone()).expect("small");
        said.split(' ').map(|word| matcher.push(word).expect("small")).collect()
    }

    const PREFIX: Status = Status::Prefix;
    const MORE: Status = Status::Complete { may_continue: true };
    const END: Status = Status::Complete { may_continue: false };

    #[test]
    fn every_key_tells_whether_another_may_follow() {
        let keys = net("mode dtmf;", "$r = 1 | 1 2 3<0-2> | 2 $VOID | 9<1->;");
        assert_eq!(statuses(&keys, "1"), [MORE]);
        assert_eq!(statuses(&keys, "1 2 3 3"), [MORE, MORE, MORE, END]);
        assert_eq!(statuses(&keys, "1 3 2"), [MORE, Status::NoMatch, Status::NoMatch]);
        // What leads to $VOID only is no way at all.
        assert_eq!(statuses(&keys, "2"), [Status::NoMatch]);
        assert_eq!(statuses(&keys, "9 9 9"), [MORE, MORE, MORE]);
        let mut matcher = Matcher::new(keys).expect("small");
        assert_eq!(matcher.push_digit(Digit::try_from('1').expect("a key")), Ok(MORE));
        assert_eq!(matcher.status(), MORE);
        matcher.reset().expect("small");
        assert_eq!((matcher.status(), matcher.words().count()), (PREFIX, 0));
    }

    /// The parse of an ambiguous sentence.
    fn check(rules: &str, said: &str, expected: &str) {
        let parse =
            match_words(&net("language en;", rules), said.split(' ')).expect("small").expect("matches");
        assert_eq!(parse.logical_structure(), expected, "{rules}");
    }

    #[test]
    fn srgs_2_4_1_the_better_weight_wins_then_the_first() {
        check("$r = a {first} | a {second};", "a", r#"$r["a",{!{first}!}]"#);
        check("$r = a {first} | /2/ a {second};", "a", r#"$r["a",{!{second}!}]"#);
        check("$r = /0.5/ a {first} | a {second};", "a", r#"$r["a",{!{second}!}]"#);
        check("$r = $x | /3/ $y; $x = /9/ a | b; $y = a;", "a", r#"$r[$y["a"]]"#);
        check("$r = $GARBAGE {g} | a {w};", "a", r#"$r["a",{!{w}!}]"#);
        check("$r = $GARBAGE a $GARBAGE;", "b a c", r#"$r["a"]"#);
    }

    #[test]
    fn words_are_compared_without_case() {
        check("$r = \"New  York\" ÉTÉ;", "new YORK été", r#"$r["New York","ÉTÉ"]"#);
    }

    #[test]
    fn what_was_said_is_not_shown() {
        let mut matcher = Matcher::new(net("mode dtmf;", "$r = 4 7 1 1;")).expect("small");
        matcher.push("4 7 1 1").expect("small");
        let parse = matcher.parse().expect("small").expect("matches");
        assert_eq!(format!("{parse:?}"), "Parse { events: 6, .. }");
        assert_eq!(
            format!("{matcher:?}"),
            "Matcher { words: 4, status: Complete { may_continue: false }, .. }"
        );
    }
}
