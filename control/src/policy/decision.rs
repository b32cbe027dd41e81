//! What a judgement says, in the form in which it is stored and explained to people.

use super::rule::{Effect, Party, Recording};
use crate::store::Cap;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use units::Wall;

/// May the order be dialled?
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    /// Now, if these caps can be taken in the claim's transaction.
    Admit {
        /// The caps.
        caps: Vec<Cap>,
    },
    /// Not before `until`; then it is judged again.
    Defer {
        /// Not before.
        until: Wall,
    },
    /// Never.
    Refuse,
}

/// What one rule said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Content.
    Allow,
    /// Content, on terms.
    Terms,
    /// Not before.
    Defer(Wall),
    /// No.
    Refuse,
}

/// What a rule looked at, free of numbers and names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inputs {
    /// Nothing beside the order.
    Order,
    /// A clock.
    Clock {
        /// Zone.
        zone: String,
        /// Its reading, `YYYY-MM-DDTHH:MM`.
        local: String,
    },
    /// No zone is known for the callee.
    NoZone,
    /// The matching prefix of the rule.
    Prefix(String),
    /// A word: a list, a consent, a resource, a property.
    Word(String),
    /// A quantity and its bound.
    Measured {
        /// What it is.
        is: u64,
        /// What it may be.
        max: u64,
    },
    /// An instant.
    Since(Wall),
}

/// One rule's part in a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Because {
    /// The rule, as `set/rule`.
    pub rule: Arc<str>,
    /// Version of its set.
    pub version: Arc<str>,
    /// From whom.
    pub party: Party,
    /// Where it stands.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub citation: Option<Arc<str>>,
    /// What it looked at.
    pub inputs: Inputs,
    /// What it said.
    pub effect: Outcome,
}

/// Terms on which an admitted call is made: the tightest of all rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Rings at least, ms.
    pub ring_min_ms: u32,
    /// Rings at most, ms.
    pub ring_max_ms: u32,
    /// Speaks so soon after the answer, ms.
    pub connect_within_ms: Option<u32>,
    /// May be recorded.
    pub record: Recording,
    /// Share of the trunk group, in a thousand.
    pub trunk_permille: u16,
    /// Share of the system, in a thousand.
    pub system_permille: u16,
    /// Calls begun in 1,000 s, at once, and leading digits counted apart.
    pub smooth: Vec<(u32, u32, u8)>,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            ring_min_ms: 0,
            ring_max_ms: 120_000,
            connect_within_ms: None,
            record: Recording::Always,
            trunk_permille: 1_000,
            system_permille: 1_000,
            smooth: Vec::new(),
        }
    }
}

/// A judgement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// What follows.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// When it was made.
    pub at: Wall,
    /// Every rule that applied, in the order of the sets; those that say no or later are never left out.
    pub because: Vec<Because>,
    /// The earliest instant at which it might be allowed; `None` if never or if allowed now.
    pub next_allowed_at: Option<Wall>,
    /// Terms of the call.
    pub terms: Terms,
    /// What follows, cap by cap, if one cannot be taken: (rule, effect).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub if_capped: Vec<(String, Effect)>,
}

impl Decision {
    /// The decision that follows when the store answers that a cap cannot be taken.
    #[must_use]
    pub fn capped(mut self, rule: &str, until: Wall, expires: Wall) -> Self {
        let effect = self.if_capped.iter().find(|(r, _)| r == rule).map_or(Effect::Defer, |(_, e)| *e);
        let late = until >= expires;
        let defer = effect == Effect::Defer && !late;
        for b in self.because.iter_mut().filter(|b| &*b.rule == rule) {
            b.effect = if defer { Outcome::Defer(until) } else { Outcome::Refuse };
            b.inputs = Inputs::Since(until);
        }
        self.verdict = if defer { Verdict::Defer { until } } else { Verdict::Refuse };
        self.next_allowed_at = Some(until);
        self
    }

    /// The decision with one word more against the call, from outside the rules: a campaign that is paused or
    /// aborted. `until` is when to ask again; `None` means never.
    #[must_use]
    pub fn held(mut self, rule: &str, party: Party, until: Option<Wall>) -> Self {
        let effect = until.map_or(Outcome::Refuse, Outcome::Defer);
        let version = env!("CARGO_PKG_VERSION").into();
        self.because.push(Because {
            rule: rule.into(),
            version,
            party,
            citation: None,
            inputs: Inputs::Order,
            effect,
        });
        self.verdict = match (&self.verdict, until) {
            (Verdict::Refuse, _) | (_, None) => Verdict::Refuse,
            (Verdict::Defer { until: own }, Some(until)) => Verdict::Defer { until: until.max(*own) },
            (Verdict::Admit { .. }, Some(until)) => Verdict::Defer { until },
        };
        self
    }

    /// The decision without what protects a person from being called too often: the number is that of somebody whose
    /// work it is to be called.
    #[must_use]
    pub fn uncounted(mut self) -> Self {
        if let Verdict::Admit { caps } = &mut self.verdict {
            caps.retain(|cap| !cap.key.contains("number:"));
        }
        self
    }

    /// As it is stored.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("a decision has text keys only")
    }

    /// The first rule that says no, or else the first that says later.
    #[must_use]
    pub fn decisive(&self) -> Option<&Because> {
        let refuses = |b: &&Because| b.effect == Outcome::Refuse;
        let defers = |b: &&Because| matches!(b.effect, Outcome::Defer(_));
        self.because.iter().find(refuses).or_else(|| self.because.iter().find(defers))
    }
}
