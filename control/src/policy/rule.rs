//! What a rule is: whom it comes from, when it applies, what it checks, and what follows if it is not content.

use super::calendar::Calendar;
use super::window::Hours;
use crate::order::Purpose;
use crate::order::number::Line;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// From whom a rule comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Party {
    /// Who receives the order and runs this system: the intermediate party.
    Operator,
    /// A pack of regulation that the operator switched on.
    Regulation,
    /// Whose order it is.
    ThirdParty,
    /// Who is called.
    Customer,
}

/// What follows if a rule is not content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The order ends.
    #[default]
    Refuse,
    /// The order waits until the rule may be content. Where that cannot be known, as with a missing consent, it ends.
    Defer,
}

/// When a rule applies: every list that is not empty must have a match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Applies {
    /// Purposes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub purposes: Vec<Purpose>,
    /// Beginnings of the callee: `+1`, `+1212`, `sip:`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<String>,
    /// In force from this day (UTC), `YYYY-MM-DD`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<jiff::civil::Date>,
    /// In force until before this day (UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<jiff::civil::Date>,
    /// Only orders that name this policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

/// What a cap or a gap counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CapKey {
    /// The called number, whoever calls it.
    Number,
    /// The called number, for one purpose.
    NumberPurpose,
    /// The tenant's customer, by the tenant's own key; the number if the order has none.
    Customer,
    /// The tenant.
    Tenant,
    /// The called number and the subject of the order.
    Subject,
    /// Everything.
    Global,
}

/// When recording is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recording {
    /// Never. (The order of the variants is from tight to loose.)
    Never,
    /// After the callee said yes.
    AfterConsent,
    /// Always.
    Always,
}

/// What a rule checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Check {
    /// Only numbers that begin so; an empty list lets none through.
    AllowPrefixes(Vec<String>),
    /// No number that begins so.
    DenyPrefixes(Vec<String>),
    /// No number on a line of this kind.
    DenyLines(Vec<Line>),
    /// Calling hours.
    Window(Window),
    /// At most `n` attempts in a rolling period.
    Cap {
        /// At most.
        n: u32,
        /// In this period, ms.
        period_ms: u64,
        /// Counted by.
        key: CapKey,
    },
    /// At least so long between two attempts.
    Gap {
        /// Length, ms.
        gap_ms: u64,
        /// Counted by.
        key: CapKey,
    },
    /// At least so long after a conversation with the callee.
    AfterTalk {
        /// Length, ms.
        gap_ms: u64,
    },
    /// Not on a suppression list.
    NotSuppressed {
        /// Lists that must not hold the callee; empty: any list.
        #[serde(default)]
        lists: Vec<String>,
        /// Each list named must have been brought up to date within so many days.
        #[serde(default)]
        max_age_days: Option<u16>,
    },
    /// The callee's consent of this kind.
    Consent {
        /// For instance `prerecorded`, `express_written`, `ai_voice`.
        kind: String,
        /// Given to this seller; any if none.
        #[serde(default)]
        seller: Option<String>,
    },
    /// How long it rings.
    Ring {
        /// At least, ms.
        #[serde(default)]
        min_ms: u32,
        /// At most, ms.
        max_ms: u32,
    },
    /// The application must speak so soon after the answer.
    ConnectWithin {
        /// At most, ms.
        ms: u32,
    },
    /// The caller id.
    CallerId {
        /// There must be one.
        #[serde(default)]
        required: bool,
        /// It must be proven to belong to the tenant.
        #[serde(default)]
        owned: bool,
        /// It must begin so; empty: any.
        #[serde(default)]
        prefixes: Vec<String>,
    },
    /// Whether the call may be recorded.
    Record(Recording),
    /// What the application must have, as the check of its document found it: `opt_out`, `identification`.
    Content {
        /// Properties that must be there.
        needs: Vec<String>,
    },
    /// At most this share of a trunk group and of the system.
    Capacity {
        /// Of the trunk group, in a thousand.
        #[serde(default = "whole")]
        trunk_permille: u16,
        /// Of the system, in a thousand.
        #[serde(default = "whole")]
        system_permille: u16,
    },
    /// At most so many calls begun in a second, with so many more allowed at once.
    Smooth {
        /// In a thousand seconds.
        per_1000s: u32,
        /// At once.
        burst: u32,
        /// Counted apart by so many leading digits of the callee; 0: together.
        #[serde(default)]
        prefix_digits: u8,
    },
    /// Every required resource was fetched and checked.
    Resources,
    /// Authority level of the order, at least.
    Authority {
        /// 0 ..= 4.
        min: u8,
    },
    /// Money, in the operator's currency, in thousandths.
    Money {
        /// One call at most.
        #[serde(default)]
        per_call_max: Option<u64>,
        /// The tenant in the running period at most.
        #[serde(default)]
        per_period_max: Option<u64>,
    },
    /// Share of answered calls nobody spoke to, in the ledger's period.
    Abandoned {
        /// In a thousand, at most.
        max_permille: u16,
    },
    /// Applications by beginning: `https://ivr.acme.example/`, `app:`, `cid:`.
    AllowApplications(Vec<String>),
}

fn whole() -> u16 {
    1_000
}

/// Calling hours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Open in these hours.
    pub open: Hours,
    /// On the clock of this zone; otherwise on the callee's clocks, all of them.
    #[serde(default)]
    pub zone: Option<String>,
    /// Closed on the days of these calendars.
    #[serde(default)]
    pub holidays: Vec<String>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Name, unique within its set.
    pub id: Arc<str>,
    /// Where it stands: a law, a contract, a wish.
    #[serde(default)]
    pub citation: Option<Arc<str>>,
    /// When it applies.
    #[serde(default)]
    pub applies: Applies,
    /// What follows if it is not content.
    #[serde(default)]
    pub effect: Effect,
    /// What it checks.
    pub check: Check,
}

/// The rules of one party, with one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSet {
    /// Name of the set.
    pub name: Arc<str>,
    /// Version: what a decision cites.
    pub version: Arc<str>,
    /// From whom.
    pub party: Party,
    /// The rules.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// Holidays that its windows name.
    #[serde(default)]
    pub calendars: BTreeMap<String, Calendar>,
    /// For packs of regulation: a lawyer has looked at it.
    #[serde(default)]
    pub counsel: bool,
}

/// All rules that one order is judged by.
#[derive(Clone, Debug, Default)]
pub struct Rules(pub Vec<Arc<RuleSet>>);

/// A rule set that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadRules {
    /// More rules than allowed.
    TooMany {
        /// At most.
        max: usize,
    },
    /// Two rules of one name, or none.
    Name(Arc<str>),
    /// A window names a calendar that the set does not have.
    NoCalendar(Arc<str>, String),
    /// A window names a zone that does not exist.
    NoZone(Arc<str>, String),
    /// A prefix that no callee begins with.
    Prefix(Arc<str>, String),
    /// A value outside its range.
    Range(Arc<str>),
}

impl RuleSet {
    /// An empty set.
    #[must_use]
    pub fn empty(party: Party, name: &str) -> Self {
        Self {
            name: name.into(),
            version: "0".into(),
            party,
            rules: Vec::new(),
            calendars: BTreeMap::new(),
            counsel: false,
        }
    }

    /// Checks what types cannot: names, calendars, zones, prefixes, ranges.
    ///
    /// # Errors
    /// The first [`BadRules`].
    pub fn check(&self, rules_max: usize) -> Result<(), BadRules> {
        if self.rules.len() > rules_max {
            return Err(BadRules::TooMany { max: rules_max });
        }
        let mut names = std::collections::BTreeSet::new();
        for rule in &self.rules {
            if rule.id.is_empty() || rule.id.len() > 100 || !names.insert(&rule.id) {
                return Err(BadRules::Name(rule.id.clone()));
            }
            self.check_rule(rule)?;
        }
        Ok(())
    }

    fn check_rule(&self, rule: &Rule) -> Result<(), BadRules> {
        let id = || rule.id.clone();
        let prefixes: &[String] = match &rule.check {
            Check::AllowPrefixes(p) | Check::DenyPrefixes(p) | Check::CallerId { prefixes: p, .. } => p,
            _ => &[],
        };
        for p in prefixes.iter().chain(&rule.applies.prefixes) {
            let digits = p.strip_prefix('+').is_some_and(|d| d.bytes().all(|b| b.is_ascii_digit()));
            if !digits && !p.starts_with("sip:") && !p.starts_with("sips:") {
                return Err(BadRules::Prefix(id(), p.clone()));
            }
        }
        let in_range = match &rule.check {
            Check::Window(w) => return self.check_window(rule, w),
            Check::Ring { min_ms, max_ms } => min_ms <= max_ms && *max_ms <= 300_000,
            Check::Capacity { trunk_permille, system_permille } => {
                (1..=1_000).contains(trunk_permille) && (1..=1_000).contains(system_permille)
            }
            Check::Authority { min } => *min <= 4,
            Check::Cap { period_ms, .. } => (1..=366 * 24 * crate::limits::HOUR_MS).contains(period_ms),
            Check::Gap { gap_ms, .. } | Check::AfterTalk { gap_ms } => {
                *gap_ms <= 366 * 24 * crate::limits::HOUR_MS
            }
            Check::Abandoned { max_permille } => *max_permille <= 1_000,
            Check::Smooth { per_1000s, burst, prefix_digits } => {
                *per_1000s > 0 && *burst > 0 && *prefix_digits <= 15
            }
            _ => true,
        };
        if in_range { Ok(()) } else { Err(BadRules::Range(id())) }
    }

    fn check_window(&self, rule: &Rule, w: &Window) -> Result<(), BadRules> {
        if let Some(name) = w.holidays.iter().find(|h| !self.calendars.contains_key(*h)) {
            return Err(BadRules::NoCalendar(rule.id.clone(), name.clone()));
        }
        match &w.zone {
            Some(z) if !super::zones::is_zone(z) => Err(BadRules::NoZone(rule.id.clone(), z.clone())),
            _ => Ok(()),
        }
    }
}
