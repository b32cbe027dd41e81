//! Forecast: what would become of many orders, in virtual time, by the policy engine and the retry table that would judge
//! them in earnest. How long it takes, how many are blocked and by which rule, how many channels are needed at the
//! busiest moment. What people will do is assumed ([`Assume`]); everything else is the production code.

use crate::order::{Disposition, Order};
use crate::policy::{Decision, Outcome as Said, Verdict};
use crate::queue::{self, Next, Outcome, RetryTable};
use crate::store::Cap;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::time::Duration;
use units::{Cause, Rng, Wall};

/// What is assumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Assume {
    /// Calls at a time.
    pub channels: u32,
    /// New calls in a thousand seconds.
    pub calls_per_1000s: u32,
    /// Share of attempts that are answered, in a thousand.
    pub answered_permille: u16,
    /// Share of attempts that find the line busy, in a thousand.
    pub busy_permille: u16,
    /// An answered call lasts so long, s.
    pub talk_s: u32,
    /// An unanswered one rings so long, s.
    pub ring_s: u32,
}

impl Default for Assume {
    fn default() -> Self {
        Self {
            channels: 100,
            calls_per_1000s: 10_000,
            answered_permille: 600,
            busy_permille: 100,
            talk_s: 45,
            ring_s: 30,
        }
    }
}

impl Assume {
    /// Are the numbers of a world that can be?
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.channels > 0
            && self.calls_per_1000s > 0
            && self.answered_permille.saturating_add(self.busy_permille) <= 1_000
            && (1..=14_400).contains(&self.talk_s)
            && (1..=300).contains(&self.ring_s)
    }
}

/// What would become of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Forecast {
    /// Orders looked at.
    pub orders: u64,
    /// Calls begun.
    pub attempts: u64,
    /// Answered.
    pub completed: u64,
    /// Not reached to the last attempt.
    pub not_reached: u64,
    /// Ended by their expiry.
    pub expired: u64,
    /// Never called, by the rule that forbids it.
    pub blocked: BTreeMap<String, u64>,
    /// Put off at least once, by rule; an order counts once a rule.
    pub deferred: BTreeMap<String, u64>,
    /// First call begun, ms since 1970.
    pub first_at: Option<i64>,
    /// Last call ended, ms since 1970.
    pub finished_at: Option<i64>,
    /// Between them, s.
    pub duration_s: u64,
    /// Calls at a time at the busiest moment.
    pub peak_channels: u32,
    /// Calls begun in each hour from the first call on, at most 10 days.
    pub calls_by_hour: Vec<u64>,
    /// It was broken off: more steps were needed than are granted.
    pub cut_short: bool,
}

/// Steps of one forecast.
const STEPS_MAX: u64 = 3_000_000;
/// Hours that are told one by one.
const HOURS_MAX: usize = 240;

/// An order on its way.
struct Way {
    order: Order,
    attempts: u32,
    tries: u32,
    /// Rules that put it off already.
    put_off: Vec<String>,
}

struct World<'a> {
    assume: &'a Assume,
    table: &'a RetryTable,
    rng: Rng,
    ways: Vec<Way>,
    due: BinaryHeap<Reverse<(Wall, usize)>>,
    ends: BinaryHeap<Reverse<Wall>>,
    ledger: HashMap<String, VecDeque<Wall>>,
    next_call: Wall,
    out: Forecast,
}

/// Runs orders with their first due times through policy, capacity and retries; `judge` is policy with its rules.
pub fn forecast(
    orders: impl IntoIterator<Item = (Order, Wall)>,
    mut judge: impl FnMut(&Order, Wall) -> Decision,
    table: &RetryTable,
    assume: &Assume,
    rng: Rng,
) -> Forecast {
    let mut world = World {
        assume,
        table,
        rng,
        ways: Vec::new(),
        due: BinaryHeap::new(),
        ends: BinaryHeap::new(),
        ledger: HashMap::new(),
        next_call: Wall(i64::MIN),
        out: Forecast::default(),
    };
    for (order, due) in orders {
        world.due.push(Reverse((due, world.ways.len())));
        world.ways.push(Way { order, attempts: 0, tries: 0, put_off: Vec::new() });
    }
    world.out.orders = u64::try_from(world.ways.len()).unwrap_or(u64::MAX);
    let mut steps = 0;
    while let Some(Reverse((at, which))) = world.due.pop() {
        steps += 1;
        if steps > STEPS_MAX {
            world.out.cut_short = true;
            break;
        }
        world.step(at, which, &mut judge);
    }
    world.close()
}

impl World<'_> {
    fn step(&mut self, at: Wall, which: usize, judge: &mut impl FnMut(&Order, Wall) -> Decision) {
        if let Some(later) = self.no_room(at) {
            self.due.push(Reverse((later, which)));
            return;
        }
        if self.ways[which].order.expires <= at {
            self.out.expired += 1;
            return;
        }
        let decision = judge(&self.ways[which].order, at);
        match &decision.verdict {
            Verdict::Refuse => {
                let rule = decisive(&decision, |said| matches!(said, Said::Refuse));
                *self.out.blocked.entry(rule).or_default() += 1;
            }
            Verdict::Defer { until } => {
                let rule = decisive(&decision, |said| matches!(said, Said::Defer(_)));
                self.put_off(which, rule, *until);
            }
            Verdict::Admit { caps } => match self.capped(caps, at) {
                Some((rule, until)) => self.put_off(which, rule, until),
                None => self.call(at, which),
            },
        }
    }

    /// Where every channel is taken, or the pace forbids: when there is room again.
    fn no_room(&mut self, at: Wall) -> Option<Wall> {
        while self.ends.peek().is_some_and(|Reverse(end)| *end <= at) {
            self.ends.pop();
        }
        if self.next_call > at {
            return Some(self.next_call);
        }
        let busy = u32::try_from(self.ends.len()).unwrap_or(u32::MAX) >= self.assume.channels;
        self.ends.peek().filter(|_| busy).map(|Reverse(end)| *end)
    }

    fn put_off(&mut self, which: usize, rule: String, until: Wall) {
        let way = &mut self.ways[which];
        if !way.put_off.contains(&rule) {
            *self.out.deferred.entry(rule.clone()).or_default() += 1;
            way.put_off.push(rule);
        }
        if until >= way.order.expires {
            self.out.expired += 1;
        } else {
            self.due.push(Reverse((until, which)));
        }
    }

    /// The rolling caps as the store takes them: all, or none and when it may be.
    fn capped(&mut self, caps: &[Cap], at: Wall) -> Option<(String, Wall)> {
        for cap in caps {
            let log = self.ledger.entry(cap.key.clone()).or_default();
            let span = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
            let from = at.0.saturating_sub(span(cap.period_ms));
            let within = log.iter().filter(|t| t.0 > from).count();
            if within >= usize::try_from(cap.n).unwrap_or(usize::MAX) {
                let nth = log.len().saturating_sub(usize::try_from(cap.n).unwrap_or(0));
                let freed = log
                    .get(nth)
                    .map_or(at, |t| Wall(t.0.saturating_add(span(cap.period_ms)).saturating_add(1)));
                return Some((cap.rule.clone(), freed));
            }
            let rested = log.back().map(|t| Wall(t.0.saturating_add(span(cap.min_gap_ms))));
            if let Some(rested) = rested.filter(|r| cap.min_gap_ms > 0 && *r > at) {
                return Some((cap.rule.clone(), rested));
            }
        }
        for cap in caps {
            self.ledger.entry(cap.key.clone()).or_default().push_back(at);
        }
        None
    }

    fn call(&mut self, at: Wall, which: usize) {
        let chance = self.rng.below(1_000);
        let answered = u64::from(self.assume.answered_permille);
        let busy = answered + u64::from(self.assume.busy_permille);
        let (disposition, cause, seconds) = match chance {
            n if n < answered => (Disposition::Completed, Cause::NORMAL, self.assume.talk_s),
            n if n < busy => (Disposition::Busy, Cause::BUSY, 2),
            _ => (Disposition::NoAnswer, Cause::NO_ANSWER, self.assume.ring_s),
        };
        let end = at.plus(Duration::from_secs(u64::from(seconds)));
        self.ends.push(Reverse(end));
        self.next_call = Wall(at.0.saturating_add(i64::from(1_000_000 / self.assume.calls_per_1000s.max(1))));
        self.count(at, end);
        let way = &mut self.ways[which];
        way.attempts += 1;
        way.tries += 1;
        let outcome = Outcome { disposition, cause, dialled: true, retry_after_s: None };
        match queue::after(&outcome, way.attempts, way.tries, self.table, &mut self.rng) {
            Next::End(Disposition::Completed) => self.out.completed += 1,
            Next::Again { after_ms, .. } if end.plus(Duration::from_millis(after_ms)) < way.order.expires => {
                self.due.push(Reverse((end.plus(Duration::from_millis(after_ms)), which)));
            }
            Next::End(_) | Next::Again { .. } => self.out.not_reached += 1,
        }
    }

    fn count(&mut self, at: Wall, end: Wall) {
        let out = &mut self.out;
        out.attempts += 1;
        out.peak_channels = out.peak_channels.max(u32::try_from(self.ends.len()).unwrap_or(u32::MAX));
        let first = *out.first_at.get_or_insert(at.0);
        out.finished_at = Some(out.finished_at.unwrap_or(end.0).max(end.0));
        let hour = usize::try_from((at.0 - first) / 3_600_000).unwrap_or(usize::MAX);
        if hour < HOURS_MAX {
            if out.calls_by_hour.len() <= hour {
                out.calls_by_hour.resize(hour + 1, 0);
            }
            out.calls_by_hour[hour] += 1;
        }
    }

    fn close(mut self) -> Forecast {
        if let (Some(first), Some(last)) = (self.out.first_at, self.out.finished_at) {
            self.out.duration_s = u64::try_from((last - first) / 1_000).unwrap_or(0);
        }
        self.out
    }
}

/// The rule that decided.
fn decisive(decision: &Decision, is: impl Fn(&Said) -> bool) -> String {
    decision
        .because
        .iter()
        .find(|b| is(&b.effect))
        .map_or_else(|| "system".to_owned(), |b| b.rule.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PolicyLimits;
    use crate::policy::judge::tests::{order, wall};
    use crate::policy::{Applies, CapKey, Check, Effect, Facts, Party, Rule, RuleSet, Rules, judge};
    use std::sync::Arc;
    use units::Seed;

    fn rule(id: &str, effect: Effect, check: Check) -> Rule {
        Rule { id: id.into(), citation: None, applies: Applies::default(), effect, check }
    }

    fn run(numbers: u32, rules: Vec<Rule>, assume: Assume) -> Forecast {
        let mut set = RuleSet::empty(Party::Operator, "t");
        set.rules = rules;
        let rules = Rules(vec![Arc::new(set)]);
        let start = wall("2026-01-15T15:00:00Z");
        let orders = (0..numbers).map(|n| {
            let mut o = order(&format!(r#"{{"to":"+1212555{:04}"}}"#, 1_000 + n));
            o.expires = start.plus(Duration::from_secs(3 * 86_400));
            (o, start)
        });
        let judged = |o: &Order, at| judge(o, &rules, &Facts::of(o), at, &PolicyLimits::default());
        forecast(orders, judged, &RetryTable::default(), &assume, Seed(7).rng())
    }

    #[test]
    fn capacity_and_pace_bound_how_long_it_takes() {
        let all = Assume {
            answered_permille: 1_000,
            busy_permille: 0,
            talk_s: 60,
            channels: 10,
            ..Assume::default()
        };
        let f = run(100, Vec::new(), all);
        assert_eq!((f.completed, f.attempts, f.peak_channels), (100, 100, 10));
        assert!((600..=620).contains(&f.duration_s), "ten at a time, a minute each: {}", f.duration_s);
        let slow = Assume { calls_per_1000s: 1_000, channels: 1_000, ..all };
        let f = run(100, Vec::new(), slow);
        assert!((155..=165).contains(&f.duration_s), "one a second, and the last minute: {}", f.duration_s);
        assert!(f.peak_channels <= 61);
    }

    #[test]
    fn what_is_blocked_or_put_off_is_told_by_rule() {
        let none = Assume { answered_permille: 1_000, busy_permille: 0, ..Assume::default() };
        let f =
            run(20, vec![rule("no", Effect::Refuse, Check::DenyPrefixes(vec!["+12125551001".into()]))], none);
        assert_eq!((f.completed, f.blocked.get("t/no")), (19, Some(&1)));
        let cap = Check::Cap { n: 5, period_ms: 3_600_000, key: CapKey::Global };
        let f = run(20, vec![rule("five_an_hour", Effect::Defer, cap)], none);
        assert_eq!((f.completed, f.deferred.get("t/five_an_hour")), (20, Some(&15)));
        assert!(f.duration_s >= 3 * 3_600, "{}", f.duration_s);
        assert_eq!(f.calls_by_hour.iter().sum::<u64>(), 20);
    }

    #[test]
    fn who_does_not_answer_is_tried_again_by_the_table() {
        let nobody = Assume { answered_permille: 0, busy_permille: 0, ..Assume::default() };
        let f = run(10, Vec::new(), nobody);
        assert_eq!((f.attempts, f.not_reached, f.completed), (40, 10, 0), "{f:?}");
        assert!(f.duration_s >= 29 * 3_600);
    }
}
