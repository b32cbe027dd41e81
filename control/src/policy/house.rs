//! The rules that the configuration asks for: one set of the operator, one of each tenant, and the customer's.

use super::rule::{Applies, CapKey, Check, Effect, Party, Rule, RuleSet, Window};
use super::window::{BadSpan, Hours};
use crate::config;
use crate::order::Purpose;

/// Every purpose but emergencies: what calling hours are for.
const ORDINARY: [Purpose; 5] =
    [Purpose::Transactional, Purpose::Telemarketing, Purpose::Debt, Purpose::Political, Purpose::Survey];

const DAY_MS: u64 = 86_400_000;

fn rule(id: &str, check: Check) -> Rule {
    Rule { id: id.into(), citation: None, applies: Applies::default(), effect: Effect::Refuse, check }
}

/// The operator's rules, from `[policy]`.
#[must_use]
pub fn operator(policy: &config::Policy) -> RuleSet {
    let mut set = RuleSet::empty(Party::Operator, "operator");
    set.version = "config".into();
    if !policy.allow_prefixes.is_empty() {
        let mut allowed = policy.allow_prefixes.clone();
        if policy.sip_addresses {
            allowed.push("sip:".into());
        }
        set.rules.push(rule("allow_prefixes", Check::AllowPrefixes(allowed)));
    }
    let mut denied = policy.deny_prefixes.clone();
    if !policy.sip_addresses {
        denied.push("sip:".into());
    }
    if !denied.is_empty() {
        set.rules.push(rule("deny_prefixes", Check::DenyPrefixes(denied)));
    }
    let a_day = Check::Cap { n: policy.attempts_a_day_max, period_ms: DAY_MS, key: CapKey::Number };
    set.rules.push(Rule { effect: Effect::Defer, ..rule("attempts_a_day", a_day) });
    let ring_ms = u32::try_from(policy.ring_max.ms).unwrap_or(u32::MAX).min(300_000);
    set.rules.push(rule("ring", Check::Ring { min_ms: 0, max_ms: ring_ms }));
    set.rules.push(rule("caller_id", Check::CallerId { required: false, owned: true, prefixes: Vec::new() }));
    set.rules.push(rule("resources", Check::Resources));
    set
}

/// A tenant's rules, from `[[tenants]]`.
///
/// # Errors
/// [`BadSpan`] if its hours cannot be read.
pub fn tenant(tenant: &config::Tenant) -> Result<RuleSet, BadSpan> {
    let mut set = RuleSet::empty(Party::ThirdParty, &format!("tenant-{}", tenant.name));
    set.version = "config".into();
    if let Some(text) = &tenant.hours {
        let check = Check::Window(Window { open: hours(text)?, zone: None, holidays: Vec::new() });
        let applies = Applies { purposes: ORDINARY.to_vec(), ..Applies::default() };
        set.rules.push(Rule { effect: Effect::Defer, applies, ..rule("hours", check) });
    }
    Ok(set)
}

/// The customer's rule: who does not want to be called is not called. Emergencies pass, as the law of most places
/// has it; whoever is on the list `never` is not called even then.
#[must_use]
pub fn customer() -> RuleSet {
    let mut set = RuleSet::empty(Party::Customer, "customer");
    set.version = "1".into();
    let applies = Applies { purposes: ORDINARY.to_vec(), ..Applies::default() };
    let any = Check::NotSuppressed { lists: Vec::new(), max_age_days: None };
    set.rules.push(Rule { applies, ..rule("opt_out", any) });
    let never = Check::NotSuppressed { lists: vec!["never".into()], max_age_days: None };
    set.rules.push(rule("never", never));
    set
}

/// Hours as the configuration writes them: `08:00-21:00` for every day, or spans separated by `;`.
///
/// # Errors
/// [`BadSpan`].
pub fn hours(text: &str) -> Result<Hours, BadSpan> {
    if text.trim_start().starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(Hours(vec![format!("daily {}", text.trim()).parse()?]));
    }
    text.split(';').map(str::parse).collect::<Result<_, _>>().map(Hours)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::Order;
    use crate::policy::judge::tests::{order, wall};
    use crate::policy::{Facts, Rules, Verdict, judge};
    use std::sync::Arc;

    fn verdict(o: &Order, facts: &Facts, now: &str) -> Verdict {
        let policy = config::Policy { allow_prefixes: vec!["+1".into()], ..config::Policy::default() };
        let tenant_config: config::Tenant =
            toml::from_str("name = \"acme\"\nid = 7\nhours = \"08:00-21:00\"").unwrap();
        let sets = [operator(&policy), tenant(&tenant_config).unwrap(), customer()];
        for s in &sets {
            s.check(500).unwrap();
        }
        let rules = Rules(sets.into_iter().map(Arc::new).collect());
        judge(o, &rules, facts, wall(now), &crate::limits::PolicyLimits::default()).verdict
    }

    #[test]
    fn the_configuration_gives_a_rule_to_each_party() {
        let o = order("{}");
        let mut facts = Facts::of(&o);
        let day = "2026-01-15T15:00:00Z";
        assert!(matches!(verdict(&o, &facts, day), Verdict::Admit { caps } if caps.len() == 1));
        assert!(matches!(verdict(&o, &facts, "2026-01-15T04:00:00Z"), Verdict::Defer { .. }));
        let urgent = order(r#"{"purpose":"emergency"}"#);
        assert!(matches!(verdict(&urgent, &facts, "2026-01-15T04:00:00Z"), Verdict::Admit { .. }));
        let abroad = order(r#"{"to":"+4930901820"}"#);
        assert_eq!(verdict(&abroad, &Facts::of(&abroad), day), Verdict::Refuse);
        let sip = order(r#"{"to":"sip:bob@h","zone":"America/New_York"}"#);
        assert!(matches!(verdict(&sip, &Facts::of(&sip), day), Verdict::Admit { .. }));
        let own = |list: &str| crate::policy::Suppression {
            list: list.into(),
            since: units::Wall(0),
            source: "api".into(),
            binding: None,
        };
        facts.suppressions = vec![own("own")];
        assert_eq!(verdict(&o, &facts, day), Verdict::Refuse);
        assert!(matches!(verdict(&urgent, &facts, day), Verdict::Admit { .. }));
        facts.suppressions = vec![own("never")];
        assert_eq!(verdict(&urgent, &facts, day), Verdict::Refuse);
        let foreign = order(r#"{"caller_id":"+15550001111"}"#);
        assert_eq!(
            verdict(&foreign, &Facts::of(&foreign), day),
            Verdict::Refuse,
            "a caller id that is not owned"
        );
    }
}
