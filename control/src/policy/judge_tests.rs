//! Tests of `judge`: small cases by hand. The large table is in `suite`.

use super::*;
use crate::policy::facts::Suppression;

pub(crate) fn wall(text: &str) -> Wall {
    Wall(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

pub(crate) fn order(fields: &str) -> Order {
    let mut json = serde_json::json!({
        "id": units::OrderId(1), "tenant": 7, "request_id": "r", "origin": {"by": "http", "key": "k"},
        "to": "+12125551234", "application": {"url": "https://a.example/"}, "when": "now",
        "expires": wall("2030-01-01T00:00:00Z"), "purpose": "transactional"
    });
    let more: serde_json::Map<String, serde_json::Value> = serde_json::from_str(fields).unwrap();
    for (k, v) in more {
        json[k] = v;
    }
    serde_json::from_value(json).unwrap()
}

pub(crate) fn set(party: Party, rules: &str) -> Arc<RuleSet> {
    let set = RuleSet {
        rules: serde_json::from_str(rules).unwrap(),
        version: "3".into(),
        ..RuleSet::empty(party, "s")
    };
    set.check(500).unwrap();
    Arc::new(set)
}

fn judged(order: &Order, sets: &[Arc<RuleSet>], facts: &Facts, now: &str) -> Decision {
    judge(order, &Rules(sets.to_vec()), facts, wall(now), &PolicyLimits::default())
}

#[test]
fn one_rule_of_each_party() {
    let operator = set(Party::Operator, r#"[{"id":"prefix","check":{"allow_prefixes":["+1"]}}]"#);
    let third = set(
        Party::ThirdParty,
        r#"[{"id":"hours","effect":"defer","check":{"window":{"open":["daily 08:00-21:00"]}}}]"#,
    );
    let customer = set(Party::Customer, r#"[{"id":"opt_out","check":{"not_suppressed":{}}}]"#);
    let sets = [operator, third, customer];
    let o = order("{}");
    let mut facts = Facts::of(&o);

    let d = judged(&o, &sets, &facts, "2026-01-15T15:00:00Z");
    assert_eq!(d.verdict, Verdict::Admit { caps: vec![] });
    assert_eq!(d.because.len(), 3, "rules that allow are told too");

    let d = judged(&o, &sets, &facts, "2026-01-15T03:00:00Z");
    assert_eq!(d.verdict, Verdict::Defer { until: wall("2026-01-15T13:00:00Z") });
    assert_eq!(d.next_allowed_at, Some(wall("2026-01-15T13:00:00Z")));
    assert_eq!(&*d.decisive().unwrap().rule, "s/hours");

    let abroad = order(r#"{"to":"+4930901820"}"#);
    let d = judged(&abroad, &sets, &Facts::of(&abroad), "2026-01-15T15:00:00Z");
    assert_eq!((d.verdict.clone(), &*d.decisive().unwrap().rule), (Verdict::Refuse, "s/prefix"));

    facts.suppressions.push(Suppression {
        list: "own".into(),
        since: Wall(0),
        source: "keypad".into(),
        binding: None,
    });
    let d = judged(&o, &sets, &facts, "2026-01-15T15:00:00Z");
    let b = d.decisive().unwrap();
    assert_eq!((d.verdict.clone(), b.party, &*b.version), (Verdict::Refuse, Party::Customer, "3"));
}

#[test]
fn a_decision_is_stored_and_read_back() {
    let s = set(
        Party::Operator,
        r#"[{"id":"cap","citation":"47 CFR 64.1200","check":{"cap":{"n":3,"period_ms":1000,"key":"number"}}},
            {"id":"ring","check":{"ring":{"min_ms":15000,"max_ms":60000}}}]"#,
    );
    let o = order("{}");
    let d = judged(&o, &[s], &Facts::of(&o), "2026-01-15T15:00:00Z");
    let back: Decision = serde_json::from_str(&d.json()).unwrap();
    assert_eq!(back, d);
    assert!(!d.json().contains("2125551234"), "no number in a decision");
    assert!(d.json().contains("47 CFR 64.1200"));
    assert_eq!(d.terms.ring_min_ms, 15_000);
}

#[test]
fn two_windows_defer_to_a_time_that_pleases_both() {
    let a = set(
        Party::Operator,
        r#"[{"id":"a","effect":"defer","check":{"window":{"open":["mon-fri 08:00-10:00"]}}}]"#,
    );
    let b = set(
        Party::ThirdParty,
        r#"[{"id":"b","effect":"defer","check":{"window":{"open":["daily 09:30-12:00"]}}}]"#,
    );
    let o = order(r#"{"zone":"UTC"}"#);
    let d = judged(&o, &[a.clone(), b], &Facts::of(&o), "2026-01-16T10:30:00Z");
    assert_eq!(d.verdict, Verdict::Defer { until: wall("2026-01-19T09:30:00Z") });
    let never = set(
        Party::ThirdParty,
        r#"[{"id":"n","effect":"defer","check":{"window":{"open":["sun 08:00-10:00"]}}}]"#,
    );
    let d = judged(&o, &[a, never], &Facts::of(&o), "2026-01-16T10:30:00Z");
    assert_eq!((d.verdict.clone(), &*d.decisive().unwrap().rule), (Verdict::Refuse, "system/no_common_time"));
}

#[test]
fn a_cap_that_is_full_defers_or_refuses_as_its_rule_says() {
    let s = set(
        Party::ThirdParty,
        r#"[{"id":"soft","effect":"defer","check":{"cap":{"n":1,"period_ms":1000,"key":"number"}}},
            {"id":"hard","check":{"cap":{"n":9,"period_ms":1000,"key":"tenant"}}}]"#,
    );
    let o = order("{}");
    let d = judged(&o, &[s], &Facts::of(&o), "2026-01-15T15:00:00Z");
    let Verdict::Admit { caps } = &d.verdict else { panic!("admitted") };
    assert!(caps[0].key.starts_with("t7/number:") && caps[1].key == "t7/tenant:7");
    let until = Wall(d.at.0 + 500);
    assert_eq!(d.clone().capped("s/soft", until, o.expires).verdict, Verdict::Defer { until });
    assert_eq!(d.clone().capped("s/hard", until, o.expires).verdict, Verdict::Refuse);
    assert_eq!(d.clone().capped("s/soft", o.expires, o.expires).verdict, Verdict::Refuse);
}
