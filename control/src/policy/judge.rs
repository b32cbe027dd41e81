//! The judgement itself. Every rule that applies is asked; one that refuses ends the order, one that defers moves the
//! earliest instant back, and only if all are content is the order admitted, with the union of their caps and the
//! tightest of their terms. So a rule more can only tighten.

use super::calendar::Calendar;
use super::decision::{Because, Decision, Inputs, Outcome, Terms, Verdict};
use super::facts::Facts;
use super::rule::{CapKey, Check, Effect, Party, Rule, RuleSet, Rules, Window};
use super::window::timestamp;
use super::zones::{self, Zone};
use crate::limits::PolicyLimits;
use crate::order::number::{self, Line};
use crate::order::{Application, Order, Purpose, canon};
use crate::store::Cap;
use jiff::civil::Date;
use std::sync::Arc;
use units::Wall;

/// Judges an order as things are at `now`.
///
/// Cost: some 100 ns a rule, and a few microseconds more if hours are closed and the next opening is looked for.
#[must_use]
pub fn judge(order: &Order, rules: &Rules, facts: &Facts, now: Wall, limits: &PolicyLimits) -> Decision {
    let mut court = Court {
        order,
        facts,
        now,
        limits,
        because: Vec::with_capacity(16),
        caps: Vec::new(),
        if_capped: Vec::new(),
        terms: Terms::default(),
        windows: Vec::new(),
        refused: false,
        not_before: now,
    };
    for set in &rules.0 {
        for rule in set.rules.iter().filter(|r| applies(r, order, now)) {
            court.ask(set, rule);
        }
    }
    court.close()
}

fn applies(rule: &Rule, order: &Order, now: Wall) -> bool {
    let a = &rule.applies;
    let to = order.to.expose();
    (a.purposes.is_empty() || a.purposes.contains(&order.purpose))
        && (a.prefixes.is_empty() || a.prefixes.iter().any(|p| begins(to, p)))
        && a.policy.as_ref().is_none_or(|p| order.policy.as_ref() == Some(p))
        && ((a.from.is_none() && a.until.is_none()) || in_force(a.from, a.until, now))
}

fn in_force(from: Option<Date>, until: Option<Date>, now: Wall) -> bool {
    let Some(t) = timestamp(now) else { return true };
    let today = jiff::tz::Offset::UTC.to_datetime(t).date();
    from.is_none_or(|d| today >= d) && until.is_none_or(|d| today < d)
}

/// `sip:` as a prefix means URIs of both schemes.
fn begins(callee: &str, prefix: &str) -> bool {
    callee.starts_with(prefix) || (prefix == "sip:" && callee.starts_with("sips:"))
}

/// A window that was asked, for the search for an instant that pleases all.
struct Asked<'a> {
    window: &'a Window,
    set: &'a RuleSet,
    defers: bool,
}

/// What is known in the middle of a judgement.
struct Court<'a> {
    order: &'a Order,
    facts: &'a Facts,
    now: Wall,
    limits: &'a PolicyLimits,
    because: Vec<Because>,
    caps: Vec<Cap>,
    if_capped: Vec<(String, Effect)>,
    terms: Terms,
    windows: Vec<Asked<'a>>,
    refused: bool,
    not_before: Wall,
}

/// What a check found: content, or not; if not, when it may be (`None`: nobody knows).
enum Found {
    Allow(Inputs),
    Terms,
    No(Inputs),
    NotBefore(Inputs, Wall),
}

impl<'a> Court<'a> {
    fn ask(&mut self, set: &'a RuleSet, rule: &'a Rule) {
        let name: Arc<str> = format!("{}/{}", set.name, rule.id).into();
        let found = self.check(set, rule, &name);
        let (inputs, effect) = match found {
            Found::Allow(i) => (i, Outcome::Allow),
            Found::Terms => (Inputs::Order, Outcome::Terms),
            Found::NotBefore(i, until) if rule.effect == Effect::Defer => (i, Outcome::Defer(until)),
            Found::No(i) | Found::NotBefore(i, _) => (i, Outcome::Refuse),
        };
        match effect {
            Outcome::Refuse => self.refused = true,
            Outcome::Defer(until) => self.not_before = self.not_before.max(until),
            Outcome::Allow | Outcome::Terms => {}
        }
        self.because.push(Because {
            rule: name,
            version: set.version.clone(),
            party: set.party,
            citation: rule.citation.clone(),
            inputs,
            effect,
        });
    }

    fn check(&mut self, set: &'a RuleSet, rule: &'a Rule, name: &Arc<str>) -> Found {
        match &rule.check {
            Check::AllowPrefixes(list) => self.allow_prefixes(list),
            Check::DenyPrefixes(list) => self.deny_prefixes(list),
            Check::DenyLines(lines) => self.deny_lines(lines),
            Check::Window(w) => self.window(set, w, rule.effect == Effect::Defer),
            Check::Cap { n, period_ms, key } => self.cap(set, rule, name, *key, (*n, *period_ms, 0)),
            Check::Gap { gap_ms, key } => self.cap(set, rule, name, *key, (u32::MAX, *gap_ms, *gap_ms)),
            Check::AfterTalk { gap_ms } => self.after_talk(*gap_ms),
            Check::NotSuppressed { lists, max_age_days } => self.not_suppressed(lists, *max_age_days),
            Check::Consent { kind, seller } => self.consent(kind, seller.as_deref()),
            Check::CallerId { required, owned, prefixes } => self.caller_id(*required, *owned, prefixes),
            Check::Content { needs } => self.content(needs),
            Check::Resources => {
                let missing = self.facts.missing.first();
                yes_if(missing.is_none(), || Inputs::Word(missing.cloned().unwrap_or_default()))
            }
            Check::Authority { min } => at_most(u64::from(*min), u64::from(self.facts.level)),
            Check::Money { per_call_max, per_period_max } => self.money(*per_call_max, *per_period_max),
            Check::Abandoned { max_permille } => {
                at_most(u64::from(self.facts.abandoned_permille.unwrap_or(0)), u64::from(*max_permille))
            }
            Check::AllowApplications(list) => self.application(list),
            terms => self.tighten(terms),
        }
    }

    fn allow_prefixes(&self, list: &[String]) -> Found {
        let to = self.order.to.expose();
        match list.iter().find(|p| begins(to, p)) {
            Some(p) => Found::Allow(Inputs::Prefix(p.clone())),
            None => Found::No(Inputs::Order),
        }
    }

    fn deny_prefixes(&self, list: &[String]) -> Found {
        let to = self.order.to.expose();
        match list.iter().find(|p| begins(to, p)) {
            Some(p) => Found::No(Inputs::Prefix(p.clone())),
            None => Found::Allow(Inputs::Order),
        }
    }

    fn deny_lines(&self, lines: &[Line]) -> Found {
        let line = self.facts.line.unwrap_or_else(|| number::line(self.order.to.expose()));
        yes_if(!lines.contains(&line), || Inputs::Word(format!("{line:?}").to_ascii_lowercase()))
    }

    fn window(&mut self, set: &'a RuleSet, window: &'a Window, defers: bool) -> Found {
        let zones = zones_of(window, &self.facts.zones);
        if zones.is_empty() {
            return Found::No(Inputs::NoZone);
        }
        self.windows.push(Asked { window, set, defers });
        let closed = |d: Date| on_holiday(set, window, d);
        let shut = zones.iter().find(|z| !window.open.open(self.now, &z.rules, &closed));
        match shut {
            None => Found::Allow(clock(&zones[0], self.now)),
            Some(z) => match opening(set, window, zones, self.now, self.limits) {
                Some(until) => Found::NotBefore(clock(z, self.now), until),
                None => Found::No(clock(z, self.now)),
            },
        }
    }

    fn cap(
        &mut self,
        set: &RuleSet,
        rule: &Rule,
        name: &Arc<str>,
        key: CapKey,
        (n, period_ms, min_gap_ms): (u32, u64, u64),
    ) -> Found {
        let key = cap_key(self.order, set.party, key);
        self.caps.push(Cap { key, n, period_ms, min_gap_ms, rule: name.to_string() });
        if rule.effect == Effect::Refuse {
            self.if_capped.push((name.to_string(), Effect::Refuse));
        }
        // A cap of nought can never be taken.
        if n == 0 { Found::No(Inputs::Measured { is: 0, max: 0 }) } else { Found::Terms }
    }

    fn after_talk(&self, gap_ms: u64) -> Found {
        let Some(last) = self.facts.last_talk else { return Found::Allow(Inputs::Order) };
        let until = Wall(last.0.saturating_add(i64::try_from(gap_ms).unwrap_or(i64::MAX)));
        let inputs = Inputs::Since(last);
        if until > self.now { Found::NotBefore(inputs, until) } else { Found::Allow(inputs) }
    }

    fn not_suppressed(&self, lists: &[String], max_age_days: Option<u16>) -> Found {
        let held = self.facts.suppressions.iter().find(|s| {
            let listed = lists.is_empty() || lists.contains(&s.list);
            listed && s.binding.unwrap_or(s.since) <= self.now
        });
        if let Some(s) = held {
            return Found::No(Inputs::Word(s.list.clone()));
        }
        let Some(days) = max_age_days else { return Found::Allow(Inputs::Order) };
        // A registry that is too old, or was never loaded, proves nothing.
        let fresh_from = self.now.0.saturating_sub(i64::from(days) * 86_400_000);
        let as_of = |list: &String| self.facts.lists.iter().find(|(n, _)| n == list).map(|(_, at)| at.0);
        match lists.iter().find(|l| as_of(l).is_none_or(|at| at < fresh_from)) {
            Some(stale) => Found::No(Inputs::Word(format!("{stale}: out of date"))),
            None => Found::Allow(Inputs::Order),
        }
    }

    fn consent(&self, kind: &str, seller: Option<&str>) -> Found {
        let given = self.facts.consents.iter().any(|c| {
            c.kind == kind
                && seller.is_none_or(|s| c.seller.as_deref() == Some(s))
                && c.until.is_none_or(|u| u > self.now)
        });
        yes_if(given, || Inputs::Word(kind.to_owned()))
    }

    fn caller_id(&self, required: bool, owned: bool, prefixes: &[String]) -> Found {
        match &self.order.caller_id {
            None => yes_if(!required, || Inputs::Word("no caller id".into())),
            Some(_) if owned && !self.facts.caller_id_owned => Found::No(Inputs::Word("not owned".into())),
            Some(id) => {
                let fits = prefixes.is_empty() || prefixes.iter().any(|p| begins(id.expose(), p));
                yes_if(fits, || Inputs::Word("prefix".into()))
            }
        }
    }

    fn content(&self, needs: &[String]) -> Found {
        let lacking = needs.iter().find(|n| !self.facts.content.contains(n));
        yes_if(lacking.is_none(), || Inputs::Word(lacking.cloned().unwrap_or_default()))
    }

    fn money(&self, per_call: Option<u64>, per_period: Option<u64>) -> Found {
        // A price that nobody knows counts as too high where a bound is set.
        let price = self.facts.price.unwrap_or(u64::MAX);
        if let Some(max) = per_call.filter(|max| price > *max) {
            return Found::No(Inputs::Measured { is: price, max });
        }
        let spent = self.facts.spent.saturating_add(self.facts.price.unwrap_or(0));
        match per_period.filter(|max| spent > *max) {
            Some(max) => Found::No(Inputs::Measured { is: spent, max }),
            None => Found::Allow(Inputs::Order),
        }
    }

    fn application(&self, list: &[String]) -> Found {
        let text = match &self.order.application {
            Application::Url(u) => u.clone(),
            Application::Attached(n) => format!("cid:{n}"),
            Application::Registered(n) => format!("app:{n}"),
        };
        match list.iter().find(|p| text.starts_with(p.as_str())) {
            Some(p) => Found::Allow(Inputs::Prefix(p.clone())),
            None => Found::No(Inputs::Order),
        }
    }

    fn tighten(&mut self, check: &Check) -> Found {
        let t = &mut self.terms;
        match check {
            Check::Ring { min_ms, max_ms } => {
                t.ring_min_ms = t.ring_min_ms.max(*min_ms);
                t.ring_max_ms = t.ring_max_ms.min(*max_ms);
                // One party wants it to ring longer than another allows: there is no such call.
                if t.ring_min_ms > t.ring_max_ms {
                    let (is, max) = (u64::from(t.ring_min_ms), u64::from(t.ring_max_ms));
                    return Found::No(Inputs::Measured { is, max });
                }
            }
            Check::ConnectWithin { ms } => {
                t.connect_within_ms = Some(t.connect_within_ms.map_or(*ms, |c| c.min(*ms)));
            }
            Check::Record(r) => t.record = t.record.min(*r),
            Check::Capacity { trunk_permille, system_permille } => {
                t.trunk_permille = t.trunk_permille.min(*trunk_permille);
                t.system_permille = t.system_permille.min(*system_permille);
            }
            Check::Smooth { per_1000s, burst, prefix_digits } => {
                t.smooth.push((*per_1000s, *burst, *prefix_digits));
            }
            _ => unreachable!("every other check is asked in `check`"),
        }
        Found::Terms
    }

    fn close(mut self) -> Decision {
        if self.order.expires <= self.now {
            self.built_in("expiry", Inputs::Since(self.order.expires), Outcome::Refuse);
        }
        let earliest = if self.not_before > self.now { self.agree() } else { Some(self.now) };
        if !self.refused {
            match earliest {
                None => self.built_in("no_common_time", Inputs::Order, Outcome::Refuse),
                // Waiting would outlive the order: it ends now, and says when it could have been.
                Some(t) if t > self.now && t >= self.order.expires => {
                    self.built_in("expires_before_allowed", Inputs::Since(t), Outcome::Refuse);
                }
                Some(_) => {}
            }
        }
        let later = earliest.filter(|t| *t > self.now);
        let verdict = match (self.refused, later) {
            (true, _) => Verdict::Refuse,
            (false, Some(until)) => Verdict::Defer { until },
            (false, None) => Verdict::Admit { caps: self.caps },
        };
        Decision {
            verdict,
            at: self.now,
            because: self.because,
            next_allowed_at: later,
            terms: self.terms,
            if_capped: self.if_capped,
        }
    }

    fn built_in(&mut self, rule: &str, inputs: Inputs, effect: Outcome) {
        self.refused |= effect == Outcome::Refuse;
        self.because.push(Because {
            rule: format!("system/{rule}").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            party: Party::Operator,
            citation: None,
            inputs,
            effect,
        });
    }

    /// The first instant from `not_before` on at which every window is open.
    fn agree(&self) -> Option<Wall> {
        let horizon = self.now.0.saturating_add(i64::from(self.limits.horizon_days) * 86_400_000);
        let mut at = self.not_before;
        for _ in 0..self.limits.search_steps_max {
            let later = self.windows.iter().filter(|a| a.defers).find_map(|a| {
                let zones = zones_of(a.window, &self.facts.zones);
                let open = opening(a.set, a.window, zones, at, self.limits);
                if open == Some(at) { None } else { Some(open) }
            });
            match later {
                None => return Some(at),
                Some(None) => return None,
                Some(Some(t)) if t.0 > horizon => return None,
                Some(Some(t)) => at = t,
            }
        }
        None
    }
}

/// The zones whose clocks a window is read on.
fn zones_of<'z>(window: &Window, callee: &'z [Zone]) -> &'z [Zone] {
    match window.zone.as_deref().and_then(zones::zone) {
        Some(z) => std::slice::from_ref(z),
        None => callee,
    }
}

fn on_holiday(set: &RuleSet, window: &Window, date: Date) -> bool {
    window.holidays.iter().filter_map(|n| set.calendars.get(n)).any(|c: &Calendar| c.holds(date))
}

/// The first instant from `at` on at which a window is open in all zones.
fn opening(set: &RuleSet, window: &Window, zones: &[Zone], at: Wall, limits: &PolicyLimits) -> Option<Wall> {
    let closed = |d: Date| on_holiday(set, window, d);
    let horizon = at.0.saturating_add(i64::from(limits.horizon_days) * 86_400_000);
    let mut at = at;
    for _ in 0..limits.search_steps_max {
        let Some(shut) = zones.iter().find(|z| !window.open.open(at, &z.rules, &closed)) else {
            return Some(at);
        };
        at = window.open.next_opening(at, &shut.rules, &closed, limits.horizon_days)?;
        if at.0 > horizon {
            return None;
        }
    }
    None
}

fn clock(zone: &Zone, at: Wall) -> Inputs {
    let local = timestamp(at).map_or_else(String::new, |t| {
        let d = zone.rules.to_datetime(t);
        format!("{}T{:02}:{:02}", d.date(), d.hour(), d.minute())
    });
    Inputs::Clock { zone: zone.name.to_owned(), local }
}

fn yes_if(content: bool, inputs: impl FnOnce() -> Inputs) -> Found {
    if content { Found::Allow(Inputs::Order) } else { Found::No(inputs()) }
}

fn at_most(is: u64, max: u64) -> Found {
    let inputs = Inputs::Measured { is, max };
    if is <= max { Found::Allow(inputs) } else { Found::No(inputs) }
}

/// What is counted together. A tenant's own rules count its own attempts; the others' count everybody's. The number
/// stands there as a digest, so that a cap's key can be logged and shown.
fn cap_key(order: &Order, party: Party, key: CapKey) -> String {
    let scope = if party == Party::ThirdParty { format!("t{}/", order.tenant.0) } else { String::new() };
    let hash = |text: &str| canon::hex(&canon::digest(text)[..12]);
    let number = || hash(order.to.expose());
    let rest = match key {
        CapKey::Number => format!("number:{}", number()),
        CapKey::NumberPurpose => format!("purpose:{}:{}", purpose_word(order.purpose), number()),
        CapKey::Customer => match &order.customer {
            Some(c) => format!("customer:{}:{}", order.tenant.0, hash(c.expose())),
            None => format!("number:{}", number()),
        },
        CapKey::Tenant => format!("tenant:{}", order.tenant.0),
        CapKey::Subject => {
            format!(
                "subject:{}",
                hash(&format!("{}\n{}", order.subject.as_deref().unwrap_or(""), order.to.expose()))
            )
        }
        CapKey::Global => "global".to_owned(),
    };
    scope + &rest
}

fn purpose_word(p: Purpose) -> &'static str {
    match p {
        Purpose::Emergency => "emergency",
        Purpose::Transactional => "transactional",
        Purpose::Telemarketing => "telemarketing",
        Purpose::Debt => "debt",
        Purpose::Political => "political",
        Purpose::Survey => "survey",
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
pub(crate) mod tests;
