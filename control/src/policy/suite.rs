//! The table of policy cases. Each row is one case: rules, an order, facts, an instant, and what must come of it.
//! Expected: `admit`, `refuse RULE`, `defer INSTANT`.

use super::judge::tests::{order, set, wall};
use super::*;
use crate::limits::PolicyLimits;
use crate::order::Order;
use crate::order::number::Line;
use facts::Consent;
use std::sync::Arc;
use units::{Seed, Wall};

fn judged(sets: &[Arc<RuleSet>], o: &Order, facts: &Facts, now: Wall) -> Decision {
    judge(o, &Rules(sets.to_vec()), facts, now, &PolicyLimits::default())
}

fn outcome(d: &Decision) -> String {
    match &d.verdict {
        Verdict::Admit { .. } => "admit".into(),
        Verdict::Defer { until } => format!("defer {}", crate::order::time::rfc3339(*until)),
        Verdict::Refuse => {
            let rule = d.decisive().expect("a refusal has a rule").rule.to_string();
            format!("refuse {}", rule.rsplit('/').next().expect("a name"))
        }
    }
}

/// Milliseconds of days with decimals.
fn days_ms(text: &str) -> i64 {
    let negative = text.starts_with('-');
    let (whole, part) =
        text.trim_start_matches('-').split_once('.').unwrap_or((text.trim_start_matches('-'), "0"));
    let scale = 10_i64.pow(u32::try_from(part.len()).expect("short"));
    let ms = whole.parse::<i64>().expect("days") * 86_400_000
        + part.parse::<i64>().expect("days") * 86_400_000 / scale;
    if negative { -ms } else { ms }
}

/// Facts written as `key=value` words.
fn facts(o: &Order, words: &str, now: Wall) -> Facts {
    let mut f = Facts::of(o);
    for word in words.split_whitespace() {
        let (key, value) = word.split_once('=').expect("key=value");
        let days = |d: &str| Wall(now.0 - days_ms(d));
        match key {
            "list" => f.suppressions.push(Suppression {
                list: value.into(),
                since: Wall(0),
                source: "t".into(),
                binding: None,
            }),
            "grace" => f.suppressions.push(Suppression {
                list: "own".into(),
                since: Wall(0),
                source: "t".into(),
                binding: Some(days(value)),
            }),
            "asof" => {
                let (list, age) = value.split_once(':').expect("list:days");
                f.lists.push((list.into(), days(age)));
            }
            "consent" => {
                let mut parts = value.split(':');
                f.consents.push(Consent {
                    kind: parts.next().expect("kind").into(),
                    seller: parts.next().filter(|s| !s.is_empty()).map(Into::into),
                    until: parts.next().map(days),
                    evidence: None,
                });
            }
            "level" => f.level = value.parse().expect("a level"),
            "owned" => f.caller_id_owned = value == "yes",
            "missing" => f.missing.push(value.into()),
            "talk" => f.last_talk = Some(days(value)),
            "price" => f.price = Some(value.parse().expect("a price")),
            "spent" => f.spent = value.parse().expect("money"),
            "abandoned" => f.abandoned_permille = Some(value.parse().expect("permille")),
            "has" => f.content.push(value.into()),
            "line" => f.line = Some(serde_json::from_value(value.into()).expect("a line")),
            other => panic!("no fact {other}"),
        }
    }
    f
}

/// (check, effect, order, facts, expected) at noon UTC of Thursday 2026-01-15.
const CHECKS: &[(&str, &str, &str, &str, &str)] = &[
    // Prefixes.
    (r#"{"allow_prefixes":["+1"]}"#, "refuse", "{}", "", "admit"),
    (r#"{"allow_prefixes":["+1212"]}"#, "refuse", "{}", "", "admit"),
    (r#"{"allow_prefixes":["+1213"]}"#, "refuse", "{}", "", "refuse r"),
    (r#"{"allow_prefixes":[]}"#, "refuse", "{}", "", "refuse r"),
    (r#"{"allow_prefixes":["+44","+1"]}"#, "refuse", "{}", "", "admit"),
    (r#"{"allow_prefixes":["+1"]}"#, "refuse", r#"{"to":"sip:b@h"}"#, "", "refuse r"),
    (r#"{"allow_prefixes":["sip:"]}"#, "refuse", r#"{"to":"sip:b@h"}"#, "", "admit"),
    (r#"{"allow_prefixes":["sip:"]}"#, "refuse", r#"{"to":"sips:b@h"}"#, "", "admit"),
    (r#"{"allow_prefixes":["+"]}"#, "refuse", r#"{"to":"sip:b@h"}"#, "", "refuse r"),
    (r#"{"allow_prefixes":["+1"]}"#, "defer", r#"{"to":"+4930901820"}"#, "", "refuse r"),
    (r#"{"deny_prefixes":["+1900"]}"#, "refuse", r#"{"to":"+19002345678"}"#, "", "refuse r"),
    (r#"{"deny_prefixes":["+1900"]}"#, "refuse", "{}", "", "admit"),
    (r#"{"deny_prefixes":["+881","+882","+979"]}"#, "refuse", r#"{"to":"+88213000000"}"#, "", "refuse r"),
    (r#"{"deny_prefixes":["sip:"]}"#, "refuse", r#"{"to":"sips:b@h"}"#, "", "refuse r"),
    (r#"{"deny_prefixes":[]}"#, "refuse", "{}", "", "admit"),
    // Lines.
    (r#"{"deny_lines":["premium"]}"#, "refuse", r#"{"to":"+19002345678"}"#, "", "refuse r"),
    (r#"{"deny_lines":["premium"]}"#, "refuse", "{}", "", "admit"),
    (r#"{"deny_lines":["toll_free"]}"#, "refuse", r#"{"to":"+18002345678"}"#, "", "refuse r"),
    (r#"{"deny_lines":["sip"]}"#, "refuse", r#"{"to":"sip:b@h"}"#, "", "refuse r"),
    (r#"{"deny_lines":["unknown"]}"#, "refuse", "{}", "line=unknown", "refuse r"),
    (r#"{"deny_lines":["shared_cost","personal"]}"#, "refuse", "{}", "line=personal", "refuse r"),
    // Hours: noon UTC is 07:00 in New York and 13:00 in Berlin.
    (r#"{"window":{"open":["daily 08:00-21:00"]}}"#, "defer", "{}", "", "defer 2026-01-15T13:00:00Z"),
    (r#"{"window":{"open":["daily 08:00-21:00"]}}"#, "refuse", "{}", "", "refuse r"),
    (r#"{"window":{"open":["daily 07:00-21:00"]}}"#, "defer", "{}", "", "admit"),
    (r#"{"window":{"open":["daily 07:01-21:00"]}}"#, "defer", "{}", "", "defer 2026-01-15T12:01:00Z"),
    (r#"{"window":{"open":["daily 05:00-07:00"]}}"#, "defer", "{}", "", "defer 2026-01-16T10:00:00Z"),
    (r#"{"window":{"open":["daily 08:00-21:00"]}}"#, "defer", r#"{"to":"+4930901820"}"#, "", "admit"),
    (
        r#"{"window":{"open":["daily 08:00-21:00"],"zone":"Asia/Tokyo"}}"#,
        "defer",
        "{}",
        "",
        "defer 2026-01-15T23:00:00Z",
    ),
    (r#"{"window":{"open":["daily 08:00-22:00"],"zone":"Asia/Tokyo"}}"#, "defer", "{}", "", "admit"),
    (
        r#"{"window":{"open":["daily 08:00-21:00"]}}"#,
        "defer",
        r#"{"zone":"Asia/Tokyo"}"#,
        "",
        "defer 2026-01-15T23:00:00Z",
    ),
    (r#"{"window":{"open":["daily 08:00-21:00"]}}"#, "defer", r#"{"to":"sip:b@h"}"#, "", "refuse r"),
    (
        r#"{"window":{"open":["daily 08:00-21:00"]}}"#,
        "defer",
        r#"{"to":"sip:b@h","zone":"UTC"}"#,
        "",
        "admit",
    ),
    (r#"{"window":{"open":[]}}"#, "defer", "{}", "", "refuse r"),
    (r#"{"window":{"open":["sun 09:00-10:00"]}}"#, "defer", "{}", "", "defer 2026-01-18T14:00:00Z"),
    (r#"{"window":{"open":["daily 22:00-08:00"]}}"#, "defer", "{}", "", "admit"),
    (r#"{"window":{"open":["thu 22:00-08:00"]}}"#, "defer", "{}", "", "defer 2026-01-16T03:00:00Z"),
    (r#"{"window":{"open":["wed 22:00-08:00"]}}"#, "defer", "{}", "", "admit"),
    // Toll-free numbers: every zone of North America must be open, from Honolulu to St. John's, and beyond the date line.
    (
        r#"{"window":{"open":["daily 09:00-24:00"]}}"#,
        "defer",
        r#"{"to":"+18002345678"}"#,
        "",
        "defer 2026-01-15T23:00:00Z",
    ),
    // A number that may be in four zones of which one closes earlier.
    (r#"{"window":{"open":["daily 08:00-21:00"]}}"#, "defer", r#"{"to":"+442071838750"}"#, "", "admit"),
    // Suppression.
    (r#"{"not_suppressed":{}}"#, "refuse", "{}", "", "admit"),
    (r#"{"not_suppressed":{}}"#, "refuse", "{}", "list=own", "refuse r"),
    (r#"{"not_suppressed":{}}"#, "defer", "{}", "list=own", "refuse r"),
    (r#"{"not_suppressed":{"lists":["dnc"]}}"#, "refuse", "{}", "list=own", "admit"),
    (r#"{"not_suppressed":{"lists":["dnc"]}}"#, "refuse", "{}", "list=dnc", "refuse r"),
    (r#"{"not_suppressed":{"lists":["own","dnc"]}}"#, "refuse", "{}", "list=dnc", "refuse r"),
    (r#"{"not_suppressed":{}}"#, "refuse", "{}", "grace=-10", "admit"),
    (r#"{"not_suppressed":{}}"#, "refuse", "{}", "grace=1", "refuse r"),
    (r#"{"not_suppressed":{"lists":["dnc"],"max_age_days":31}}"#, "refuse", "{}", "asof=dnc:30", "admit"),
    (r#"{"not_suppressed":{"lists":["dnc"],"max_age_days":31}}"#, "refuse", "{}", "asof=dnc:31", "admit"),
    (
        r#"{"not_suppressed":{"lists":["dnc"],"max_age_days":31}}"#,
        "refuse",
        "{}",
        "asof=dnc:31.1",
        "refuse r",
    ),
    (r#"{"not_suppressed":{"lists":["dnc"],"max_age_days":31}}"#, "refuse", "{}", "asof=other:1", "refuse r"),
    (r#"{"not_suppressed":{"lists":["dnc"],"max_age_days":31}}"#, "refuse", "{}", "", "refuse r"),
    (
        r#"{"not_suppressed":{"lists":["a","b"],"max_age_days":31}}"#,
        "refuse",
        "{}",
        "asof=a:1 asof=b:40",
        "refuse r",
    ),
    // Consent.
    (r#"{"consent":{"kind":"ai_voice"}}"#, "refuse", "{}", "", "refuse r"),
    (r#"{"consent":{"kind":"ai_voice"}}"#, "refuse", "{}", "consent=ai_voice", "admit"),
    (r#"{"consent":{"kind":"ai_voice"}}"#, "refuse", "{}", "consent=prerecorded", "refuse r"),
    (r#"{"consent":{"kind":"ai_voice"}}"#, "refuse", "{}", "consent=ai_voice::-1", "admit"),
    (r#"{"consent":{"kind":"ai_voice"}}"#, "refuse", "{}", "consent=ai_voice::1", "refuse r"),
    (r#"{"consent":{"kind":"ai_voice","seller":"acme"}}"#, "refuse", "{}", "consent=ai_voice:acme", "admit"),
    (
        r#"{"consent":{"kind":"ai_voice","seller":"acme"}}"#,
        "refuse",
        "{}",
        "consent=ai_voice:other",
        "refuse r",
    ),
    (r#"{"consent":{"kind":"ai_voice","seller":"acme"}}"#, "refuse", "{}", "consent=ai_voice", "refuse r"),
    (r#"{"consent":{"kind":"ai_voice"}}"#, "defer", "{}", "", "refuse r"),
    // After a conversation.
    (r#"{"after_talk":{"gap_ms":604800000}}"#, "defer", "{}", "", "admit"),
    (r#"{"after_talk":{"gap_ms":604800000}}"#, "defer", "{}", "talk=6", "defer 2026-01-16T12:00:00Z"),
    (r#"{"after_talk":{"gap_ms":604800000}}"#, "refuse", "{}", "talk=6", "refuse r"),
    (r#"{"after_talk":{"gap_ms":604800000}}"#, "defer", "{}", "talk=7", "admit"),
    (r#"{"after_talk":{"gap_ms":0}}"#, "defer", "{}", "talk=0", "admit"),
    // Caller id.
    (r#"{"caller_id":{}}"#, "refuse", "{}", "", "admit"),
    (r#"{"caller_id":{"required":true}}"#, "refuse", "{}", "", "refuse r"),
    (r#"{"caller_id":{"required":true}}"#, "refuse", r#"{"caller_id":"+12125550000"}"#, "", "admit"),
    (r#"{"caller_id":{"owned":true}}"#, "refuse", r#"{"caller_id":"+12125550000"}"#, "", "refuse r"),
    (r#"{"caller_id":{"owned":true}}"#, "refuse", r#"{"caller_id":"+12125550000"}"#, "owned=yes", "admit"),
    (r#"{"caller_id":{"owned":true}}"#, "refuse", "{}", "", "admit"),
    (r#"{"caller_id":{"prefixes":["+1"]}}"#, "refuse", r#"{"caller_id":"+12125550000"}"#, "", "admit"),
    (r#"{"caller_id":{"prefixes":["+44"]}}"#, "refuse", r#"{"caller_id":"+12125550000"}"#, "", "refuse r"),
    // Content, resources, authority.
    (r#"{"content":{"needs":["opt_out"]}}"#, "refuse", "{}", "", "refuse r"),
    (r#"{"content":{"needs":["opt_out"]}}"#, "refuse", "{}", "has=opt_out", "admit"),
    (r#"{"content":{"needs":["opt_out","identification"]}}"#, "refuse", "{}", "has=opt_out", "refuse r"),
    (r#"{"content":{"needs":[]}}"#, "refuse", "{}", "", "admit"),
    (r#""resources""#, "refuse", "{}", "", "admit"),
    (r#""resources""#, "refuse", "{}", "missing=cid:x", "refuse r"),
    (r#""resources""#, "defer", "{}", "missing=cid:x", "refuse r"),
    (r#"{"authority":{"min":0}}"#, "refuse", "{}", "level=0", "admit"),
    (r#"{"authority":{"min":1}}"#, "refuse", "{}", "level=0", "refuse r"),
    (r#"{"authority":{"min":3}}"#, "refuse", "{}", "level=3", "admit"),
    (r#"{"authority":{"min":3}}"#, "refuse", "{}", "level=2", "refuse r"),
    (r#"{"authority":{"min":4}}"#, "refuse", "{}", "level=4", "admit"),
    // Money.
    (r#"{"money":{}}"#, "refuse", "{}", "", "admit"),
    (r#"{"money":{"per_call_max":100}}"#, "refuse", "{}", "price=100", "admit"),
    (r#"{"money":{"per_call_max":100}}"#, "refuse", "{}", "price=101", "refuse r"),
    (r#"{"money":{"per_call_max":100}}"#, "refuse", "{}", "", "refuse r"),
    (r#"{"money":{"per_period_max":1000}}"#, "refuse", "{}", "spent=900 price=100", "admit"),
    (r#"{"money":{"per_period_max":1000}}"#, "refuse", "{}", "spent=901 price=100", "refuse r"),
    (r#"{"money":{"per_period_max":1000}}"#, "refuse", "{}", "spent=1000", "admit"),
    (
        r#"{"money":{"per_period_max":1000}}"#,
        "refuse",
        "{}",
        "spent=18446744073709551615 price=9",
        "refuse r",
    ),
    // The ledger of abandoned calls.
    (r#"{"abandoned":{"max_permille":30}}"#, "refuse", "{}", "", "admit"),
    (r#"{"abandoned":{"max_permille":30}}"#, "refuse", "{}", "abandoned=30", "admit"),
    (r#"{"abandoned":{"max_permille":30}}"#, "refuse", "{}", "abandoned=31", "refuse r"),
    // Applications.
    (r#"{"allow_applications":["https://a.example/"]}"#, "refuse", "{}", "", "admit"),
    (r#"{"allow_applications":["https://a.example.evil/"]}"#, "refuse", "{}", "", "refuse r"),
    (r#"{"allow_applications":["app:"]}"#, "refuse", r#"{"application":{"registered":"x"}}"#, "", "admit"),
    (r#"{"allow_applications":["app:"]}"#, "refuse", r#"{"application":{"attached":"x"}}"#, "", "refuse r"),
    (r#"{"allow_applications":["cid:"]}"#, "refuse", r#"{"application":{"attached":"x"}}"#, "", "admit"),
    (r#"{"allow_applications":[]}"#, "refuse", "{}", "", "refuse r"),
    // Caps and terms admit here: the store says later whether a cap is full.
    (r#"{"cap":{"n":3,"period_ms":1000,"key":"number"}}"#, "defer", "{}", "", "admit"),
    (r#"{"cap":{"n":0,"period_ms":1000,"key":"number"}}"#, "defer", "{}", "", "refuse r"),
    (r#"{"gap":{"gap_ms":1000,"key":"customer"}}"#, "defer", "{}", "", "admit"),
    (r#"{"ring":{"max_ms":30000}}"#, "refuse", "{}", "", "admit"),
    (r#"{"connect_within":{"ms":2000}}"#, "refuse", "{}", "", "admit"),
    (r#"{"record":"never"}"#, "refuse", "{}", "", "admit"),
    (r#"{"capacity":{"trunk_permille":500}}"#, "refuse", "{}", "", "admit"),
    (r#"{"smooth":{"per_1000s":100,"burst":1}}"#, "refuse", "{}", "", "admit"),
    // Expiry.
    (r#"{"allow_prefixes":["+1"]}"#, "refuse", r#"{"expires":0}"#, "", "refuse expiry"),
    (
        r#"{"window":{"open":["daily 08:00-21:00"]}}"#,
        "defer",
        r#"{"expires":1768480200000}"#,
        "",
        "refuse expires_before_allowed",
    ),
];

#[test]
fn checks_by_table() {
    let now = wall("2026-01-15T12:00:00Z");
    for (check, effect, fields, words, expected) in CHECKS {
        let s = set(Party::Operator, &format!(r#"[{{"id":"r","effect":"{effect}","check":{check}}}]"#));
        let o = order(fields);
        assert_eq!(
            outcome(&judged(&[s], &o, &facts(&o, words, now), now)),
            *expected,
            "{check} {fields} {words}"
        );
    }
}

/// (applies, order, does it apply?) for a rule that refuses all.
const APPLIES: &[(&str, &str, bool)] = &[
    ("{}", "{}", true),
    (r#"{"purposes":["debt"]}"#, "{}", false),
    (r#"{"purposes":["transactional"]}"#, "{}", true),
    (r#"{"purposes":["debt","survey"]}"#, r#"{"purpose":"survey"}"#, true),
    (r#"{"prefixes":["+44"]}"#, "{}", false),
    (r#"{"prefixes":["+44","+1212"]}"#, "{}", true),
    (r#"{"prefixes":["sip:"]}"#, r#"{"to":"sips:b@h"}"#, true),
    (r#"{"from":"2026-01-15"}"#, "{}", true),
    (r#"{"from":"2026-01-16"}"#, "{}", false),
    (r#"{"until":"2026-01-15"}"#, "{}", false),
    (r#"{"until":"2026-01-16"}"#, "{}", true),
    (r#"{"from":"2026-01-01","until":"2026-02-01"}"#, "{}", true),
    (r#"{"policy":"night"}"#, "{}", false),
    (r#"{"policy":"night"}"#, r#"{"policy":"night"}"#, true),
    (r#"{"policy":"night"}"#, r#"{"policy":"day"}"#, false),
    (r#"{"purposes":["transactional"],"prefixes":["+44"]}"#, "{}", false),
];

#[test]
fn applies_by_table() {
    let now = wall("2026-01-15T12:00:00Z");
    for (applies, fields, yes) in APPLIES {
        let rules = format!(r#"[{{"id":"r","applies":{applies},"check":{{"allow_prefixes":[]}}}}]"#);
        let o = order(fields);
        let d = judged(&[set(Party::Operator, &rules)], &o, &Facts::of(&o), now);
        assert_eq!(d.verdict == Verdict::Refuse, *yes, "{applies} {fields}");
    }
}

/// Hours of the US pack: (a number, a zone, days and clock readings with what they give: `a` admit, `d` defer).
const US_HOURS: &[(&str, &str, &str)] = &[
    ("+12125551234", "America/New_York", "2026-01-15 07:59d 08:00a 12:00a 20:59a 21:00d 23:59d 00:00d"),
    ("+12125551234", "America/New_York", "2026-01-18 07:59d 08:00a 20:59a 21:00d"),
    ("+13055551234", "America/New_York", "2026-01-15 07:59d 08:00a 19:59a 20:00d 20:30d 21:00d"),
    ("+13055551234", "America/New_York", "2026-01-18 08:00a 19:59a 20:00d"),
    ("+14055551234", "America/Chicago", "2026-01-15 07:59d 08:00a 19:59a 20:00d"),
    ("+12035551234", "America/New_York", "2026-01-15 08:30d 08:59d 09:00a 19:59a 20:00d"),
    ("+12055551234", "America/Chicago", "2026-01-17 07:59d 08:00a 19:59a 20:00d"),
    ("+12055551234", "America/Chicago", "2026-01-18 08:00d 12:00d 19:59d"),
    ("+12055551234", "America/Chicago", "2026-01-19 09:00d 12:00d"),
    ("+12055551234", "America/Chicago", "2026-01-20 08:00a"),
    ("+12255551234", "America/Chicago", "2026-11-26 09:00d 12:00d"),
    ("+12255551234", "America/Chicago", "2026-11-27 08:00a 20:00d"),
    ("+12255551234", "America/Chicago", "2026-11-29 12:00d"),
    ("+12285551234", "America/Chicago", "2026-07-04 12:00d"),
    ("+12285551234", "America/Chicago", "2026-07-05 12:00d"),
    ("+12285551234", "America/Chicago", "2026-07-06 08:00a 19:59a 20:00d"),
    ("+15025551234", "America/New_York", "2026-01-15 09:00d 09:59d 10:00a 20:59a 21:00d"),
    ("+12155551234", "America/New_York", "2026-01-15 08:59d 09:00a 20:59a 21:00d"),
    ("+12155551234", "America/New_York", "2026-01-18 09:00d 13:29d 13:30a 20:59a 21:00d"),
    ("+14015551234", "America/New_York", "2026-01-15 08:59d 09:00a 17:59a 18:00d"),
    ("+14015551234", "America/New_York", "2026-01-17 09:59d 10:00a 16:59a 17:00d"),
    ("+14015551234", "America/New_York", "2026-01-18 12:00d"),
    ("+14155551234", "America/Los_Angeles", "2026-01-15 07:59d 08:00a 20:59a 21:00d"),
    ("+18085551234", "Pacific/Honolulu", "2026-01-15 07:59d 08:00a 20:59a 21:00d"),
    ("+16025551234", "America/Phoenix", "2026-07-15 07:59d 08:00a 20:59a 21:00d"),
    ("+19075551234", "America/Anchorage", "2026-01-15 12:00a 20:59a 21:00d"),
    // The days on which clocks change.
    ("+12125551234", "America/New_York", "2026-03-08 01:59d 03:00d 07:59d 08:00a 20:59a 21:00d"),
    ("+12125551234", "America/New_York", "2026-11-01 00:59d 01:30d 07:59d 08:00a 20:59a 21:00d"),
    ("+13055551234", "America/New_York", "2026-03-08 07:59d 08:00a 19:59a 20:00d"),
    ("+13055551234", "America/New_York", "2026-11-01 07:59d 08:00a 19:59a 20:00d"),
];

/// What the US pack asks of a solicitation beside its hours.
const US_PAPERS: &str = "consent=express_written asof=us_dnc:1 has=opt_out has=identification";

fn local(zone: &str, date: &str, clock: &str) -> Wall {
    let at: jiff::civil::DateTime = format!("{date}T{clock}:00").parse().expect("a clock reading");
    Wall(
        at.to_zoned(zones::zone(zone).expect("a zone").rules.clone())
            .expect("in range")
            .timestamp()
            .as_millisecond(),
    )
}

#[test]
fn us_hours_by_table() {
    let us = Arc::new(packs::pack("us").unwrap());
    let mut cases = 0;
    for (number, zone, row) in US_HOURS {
        let o = order(&format!(r#"{{"to":"{number}","zone":"{zone}","purpose":"telemarketing"}}"#));
        let mut words = row.split(' ');
        let date = words.next().expect("a date");
        for word in words {
            let (clock, expected) = word.split_at(5);
            let now = local(zone, date, clock);
            let d = judged(std::slice::from_ref(&us), &o, &facts(&o, US_PAPERS, now), now);
            assert_eq!(outcome(&d).get(..1), Some(expected), "{number} {date} {clock}: {}", outcome(&d));
            if let Verdict::Defer { until } = d.verdict {
                let then = judged(std::slice::from_ref(&us), &o, &facts(&o, US_PAPERS, until), until);
                assert_eq!(
                    outcome(&then),
                    "admit",
                    "{number} {date} {clock}: a deferral ends in an admission"
                );
            }
            cases += 1;
        }
    }
    assert!(cases >= 100, "{cases}");
}

/// The rest of the US pack at noon in New York: (order, facts, expected).
const US_REST: &[(&str, &str, &str)] = &[
    (r#"{"purpose":"telemarketing"}"#, US_PAPERS, "admit"),
    (
        r#"{"purpose":"telemarketing"}"#,
        "asof=us_dnc:1 has=opt_out has=identification",
        "refuse prerecorded_written_consent",
    ),
    (
        r#"{"purpose":"telemarketing"}"#,
        "consent=express_written has=opt_out has=identification",
        "refuse do_not_call_registry",
    ),
    (
        r#"{"purpose":"telemarketing"}"#,
        "consent=express_written asof=us_dnc:32 has=opt_out has=identification",
        "refuse do_not_call_registry",
    ),
    (
        r#"{"purpose":"telemarketing"}"#,
        "consent=express_written asof=us_dnc:1 has=opt_out",
        "refuse identify_and_opt_out",
    ),
    (
        r#"{"purpose":"telemarketing"}"#,
        "list=us_dnc consent=express_written asof=us_dnc:1 has=opt_out has=identification",
        "refuse do_not_call_registry",
    ),
    (
        r#"{"purpose":"telemarketing"}"#,
        "abandoned=31 consent=express_written asof=us_dnc:1 has=opt_out has=identification",
        "refuse abandoned_3_percent",
    ),
    (r#"{"purpose":"telemarketing","to":"+4930901820"}"#, "", "admit"),
    (r#"{"purpose":"transactional"}"#, "", "admit"),
    (r#"{"purpose":"emergency"}"#, "list=us_dnc", "admit"),
    (r#"{"purpose":"survey"}"#, "", "admit"),
    (r#"{"purpose":"debt"}"#, "", "admit"),
    (r#"{"purpose":"debt"}"#, "talk=8", "admit"),
    (r#"{"purpose":"debt"}"#, "talk=6", "defer 2026-01-16T17:00:00Z"),
    (r#"{"purpose":"debt"}"#, "talk=6.75", "defer 2026-01-15T23:00:00Z"),
];

#[test]
fn the_rest_of_the_us_pack_by_table() {
    let us = Arc::new(packs::pack("us").unwrap());
    let now = wall("2026-01-15T17:00:00Z");
    for (fields, words, expected) in US_REST {
        let o = order(fields);
        assert_eq!(
            outcome(&judged(std::slice::from_ref(&us), &o, &facts(&o, words, now), now)),
            *expected,
            "{fields} {words}"
        );
    }
    let caps = |purpose: &str, to: &str| {
        let o = order(&format!(r#"{{"purpose":"{purpose}","to":"{to}"}}"#));
        match judged(std::slice::from_ref(&us), &o, &facts(&o, US_PAPERS, now), now).verdict {
            Verdict::Admit { caps } => {
                caps.iter().map(|c| (c.n, c.period_ms / 86_400_000)).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(caps("survey", "+12125551234"), [(3, 30)]);
    assert_eq!(caps("debt", "+12125551234"), [(7, 7)]);
    assert_eq!(caps("telemarketing", "+13055551234"), [(3, 1)]);
    assert_eq!(caps("emergency", "+13055551234"), []);
}

/// Intersections: (zone a, zone b, hours, now, expected), for a callee who may be in both zones.
const BOTH: &[(&str, &str, &str, &str, &str)] = &[
    (
        "America/New_York",
        "America/Los_Angeles",
        "daily 08:00-21:00",
        "2026-01-15T15:59:00Z",
        "defer 2026-01-15T16:00:00Z",
    ),
    ("America/New_York", "America/Los_Angeles", "daily 08:00-21:00", "2026-01-15T16:00:00Z", "admit"),
    ("America/New_York", "America/Los_Angeles", "daily 08:00-21:00", "2026-01-16T01:59:00Z", "admit"),
    (
        "America/New_York",
        "America/Los_Angeles",
        "daily 08:00-21:00",
        "2026-01-16T02:00:00Z",
        "defer 2026-01-16T16:00:00Z",
    ),
    ("Europe/London", "Asia/Tokyo", "daily 08:00-20:00", "2026-01-15T09:00:00Z", "admit"),
    (
        "Europe/London",
        "Asia/Tokyo",
        "daily 08:00-20:00",
        "2026-01-15T11:00:00Z",
        "defer 2026-01-16T08:00:00Z",
    ),
    ("Europe/London", "Asia/Tokyo", "daily 09:00-17:00", "2026-01-15T12:00:00Z", "refuse r"),
    (
        "Pacific/Kiritimati",
        "Pacific/Pago_Pago",
        "daily 10:00-24:00",
        "2026-01-15T12:00:00Z",
        "defer 2026-01-15T21:00:00Z",
    ),
    (
        "Pacific/Kiritimati",
        "Pacific/Pago_Pago",
        "mon-fri 00:00-24:00",
        "2026-01-16T11:00:00Z",
        "defer 2026-01-19T11:00:00Z",
    ),
    (
        "Europe/Berlin",
        "Europe/London",
        "mon-fri 09:00-17:00",
        "2026-01-16T16:00:00Z",
        "defer 2026-01-19T09:00:00Z",
    ),
    (
        "Europe/Berlin",
        "Europe/London",
        "sat,sun 10:00-11:30",
        "2026-01-17T09:00:00Z",
        "defer 2026-01-17T10:00:00Z",
    ),
    (
        "Europe/Berlin",
        "Europe/London",
        "sat,sun 10:00-11:30",
        "2026-01-17T10:30:00Z",
        "defer 2026-01-18T10:00:00Z",
    ),
    ("Europe/Berlin", "Europe/London", "sat 10:00-10:30", "2026-01-17T10:30:00Z", "refuse r"),
    (
        "America/Phoenix",
        "America/Denver",
        "daily 08:00-09:00",
        "2026-07-15T12:00:00Z",
        "defer 2026-11-01T15:00:00Z",
    ),
    (
        "America/Phoenix",
        "America/Denver",
        "daily 08:00-09:00",
        "2026-01-15T12:00:00Z",
        "defer 2026-01-15T15:00:00Z",
    ),
    (
        "America/New_York",
        "Europe/London",
        "daily 08:00-13:00",
        "2026-03-10T11:00:00Z",
        "defer 2026-03-10T12:00:00Z",
    ),
    (
        "America/New_York",
        "Europe/London",
        "daily 08:00-13:00",
        "2026-03-31T11:59:00Z",
        "defer 2026-10-25T12:00:00Z",
    ),
];

#[test]
fn several_zones_by_table() {
    for (a, b, hours, now, expected) in BOTH {
        let rules = format!(r#"[{{"id":"r","effect":"defer","check":{{"window":{{"open":["{hours}"]}}}}}}]"#);
        let o = order("{}");
        let mut f = Facts::of(&o);
        f.zones = [a, b].iter().map(|z| zones::zone(z).expect("a zone").clone()).collect();
        let d = judged(&[set(Party::Operator, &rules)], &o, &f, wall(now));
        assert_eq!(outcome(&d), *expected, "{a} {b} {hours} {now}");
    }
}

#[test]
fn the_suite_has_three_hundred_cases() {
    let us: usize = US_HOURS.iter().map(|(_, _, row)| row.split(' ').count() - 1).sum();
    let hours = super::window::tests::CASES.len();
    let all = CHECKS.len() + APPLIES.len() + us + US_REST.len() + BOTH.len() + hours;
    assert!(all >= 300, "{all} cases");
}

/// A random rule, from what the suite knows.
fn random_set(rng: &mut units::Rng, name: &str) -> Arc<RuleSet> {
    let party =
        [Party::Operator, Party::ThirdParty, Party::Customer][usize::try_from(rng.below(3)).expect("small")];
    let count = rng.below(4);
    let rules: Vec<String> = (0..count)
        .map(|i| {
            let (check, effect, ..) = CHECKS[usize::try_from(rng.below(CHECKS.len() as u64)).expect("small")];
            format!(r#"{{"id":"{name}{i}","effect":"{effect}","check":{check}}}"#)
        })
        .collect();
    set(party, &format!("[{}]", rules.join(",")))
}

/// How tight a verdict is: refused, or put off until, or admitted now.
fn tightness(d: &Decision) -> i64 {
    match d.verdict {
        Verdict::Refuse => i64::MAX,
        Verdict::Defer { until } => until.0,
        Verdict::Admit { .. } => d.at.0,
    }
}

#[test]
fn composition_never_loosens() {
    // Property, seeded: whatever rules are added, in whatever order, nothing becomes allowed, nor allowed earlier; caps
    // are never dropped and terms never widen.
    let mut rng = Seed(11).rng();
    let mut tightened = 0;
    for _ in 0..3_000 {
        let (a, b) = (random_set(&mut rng, "a"), random_set(&mut rng, "b"));
        let (_, _, fields, words, _) =
            CHECKS[usize::try_from(rng.below(CHECKS.len() as u64)).expect("small")];
        let o = order(fields);
        let now =
            Wall(wall("2026-01-15T00:00:00Z").0 + i64::try_from(rng.below(400 * 86_400_000)).expect("small"));
        let f = facts(&o, words, now);
        let alone = judged(std::slice::from_ref(&a), &o, &f, now);
        let both = judged(&[a.clone(), b.clone()], &o, &f, now);
        let turned = judged(&[b, a], &o, &f, now);
        assert!(tightness(&both) >= tightness(&alone), "{fields} {words}");
        assert_eq!(tightness(&both), tightness(&turned), "the order of parties does not matter");
        tightened += usize::from(tightness(&both) > tightness(&alone));
        assert!(both.terms.ring_max_ms <= alone.terms.ring_max_ms && both.terms.record <= alone.terms.record);
        assert!(both.terms.trunk_permille <= alone.terms.trunk_permille);
        if let (Verdict::Admit { caps: few }, Verdict::Admit { caps: many }) = (&alone.verdict, &both.verdict)
        {
            assert!(few.iter().all(|c| many.contains(c)));
        }
    }
    assert!(tightened > 300, "the second set matters: {tightened}");
}

#[test]
fn a_deferral_ends_where_all_is_open() {
    // Property, seeded: judged again at the instant it named, an order deferred by hours is admitted, and a clock that
    // jumps anywhere never admits outside the hours.
    let us = Arc::new(packs::pack("us").unwrap());
    let mut rng = Seed(12).rng();
    for _ in 0..2_000 {
        let (number, ..) = US_HOURS[usize::try_from(rng.below(US_HOURS.len() as u64)).expect("small")];
        let o = order(&format!(r#"{{"to":"{number}","purpose":"telemarketing"}}"#));
        let now =
            Wall(wall("2026-01-01T00:00:00Z").0 + i64::try_from(rng.below(700 * 86_400_000)).expect("small"));
        let d = judged(std::slice::from_ref(&us), &o, &facts(&o, US_PAPERS, now), now);
        if let Verdict::Defer { until } = d.verdict {
            let f = facts(&o, US_PAPERS, until);
            assert_eq!(outcome(&judged(std::slice::from_ref(&us), &o, &f, until)), "admit");
            let f = facts(&o, US_PAPERS, Wall(until.0 - 1));
            assert_ne!(outcome(&judged(std::slice::from_ref(&us), &o, &f, Wall(until.0 - 1))), "admit");
        } else {
            for zone in &facts(&o, US_PAPERS, now).zones {
                let hour = zone.rules.to_datetime(window::timestamp(now).expect("in range")).hour();
                assert!((8..21).contains(&hour), "{number} at {hour}");
            }
        }
    }
}

#[test]
fn lines_have_words() {
    assert_eq!(serde_json::to_value(Line::TollFree).unwrap(), "toll_free");
}
