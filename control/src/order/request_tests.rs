//! Tests of `request`: each refusal names its field; equal requests have equal digests.

use super::*;
use units::Seed;

const NOW: Wall = Wall(1_800_000_000_000);

fn try_parse(body: &str) -> Result<Parsed, Vec<Refusal>> {
    let limits = OrderLimits::default();
    let attached = ["app@1".to_owned()];
    let cx = Context {
        tenant: TenantId(7),
        origin: Origin::Http { key: "k".into() },
        request_id: "rid-1",
        now: NOW,
        region: None,
        http_allowed: false,
        attached: &attached,
        campaign: None,
        limits: &limits,
    };
    let fields: Map<String, Value> = serde_json::from_str(body).unwrap();
    parse(&fields, &cx, &mut Seed(1).rng())
}

fn refused(body: &str) -> Vec<(String, Reason)> {
    try_parse(body).unwrap_err().into_iter().map(|r| (r.field, r.reason)).collect()
}

/// A good request with one field added or replaced.
fn with(field: &str, value: &str) -> String {
    let mut good =
        json!({"to": "+15551234567", "application": "https://a.example/x.vxml", "purpose": "survey"});
    good[field] = serde_json::from_str(value).unwrap();
    good.to_string()
}

#[test]
fn a_whole_request_becomes_an_order() {
    let p = try_parse(
        r#"{"to":"tel:+1 555 123 4567","application":"https://a.example/x.vxml","purpose":"emergency",
            "at":"+5s","expires":"+1h","priority":9,"caller_id":"+15557654321","zone":"America/New_York",
            "lang":"en-US","params":{"name":"Ann","n":3},"result_to":["mailto:ops@a.example","https://a.example/h"],
            "resources":["https://a.example/p.wav; required; sha-256=E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
            "message":"two\r\nlines","doubt":"at_least_once","lenient":true,"subject":"s","customer":"c-1",
            "policy":"night","request_id":"outage-1"}"#,
    )
    .unwrap();
    let o = &p.orders[0];
    assert_eq!((p.orders.len(), o.to.expose().as_str(), o.priority), (1, "+15551234567", 9));
    assert_eq!(o.when, When::At(Wall(NOW.0 + 5_000)));
    assert_eq!(o.expires, Wall(NOW.0 + 3_600_000));
    assert_eq!(o.request_id, "outage-1");
    assert_eq!(o.params["n"].expose(), "3");
    assert_eq!(o.message.as_ref().unwrap().expose(), "two\nlines");
    assert_eq!(o.results_to.len(), 2);
    assert!(o.resources[0].required && o.resources[0].sha256.as_ref().unwrap().starts_with("e3b0"));
    assert_eq!((o.doubt, o.lenient, o.purpose), (Doubt::AtLeastOnce, true, Purpose::Emergency));
}

#[test]
fn each_refusal_names_its_field() {
    let cases: &[(&str, &str, &str, Reason)] = &[
        ("to", r#""12""#, "to", Reason::NationalNumber),
        ("to", r#"["+15551234567","x"]"#, "to[1]", Reason::NotCallable),
        ("to", r#"["+15551234567","+1-555-123-4567"]"#, "to[1]", Reason::Twice),
        ("to", r#"[]"#, "to", Reason::Missing),
        ("to", r#"[{"to":"+15551234567","zone":"Mars/Dome"}]"#, "to[0].zone", Reason::NoSuchZone),
        (
            "to",
            r#"[{"to":"+15551234567","tz":"UTC"}]"#,
            "to[0].tz",
            Reason::UnknownField { nearest: Some("to") },
        ),
        ("application", r#""ftp://x/y""#, "application", Reason::Scheme { allowed: "https:" }),
        ("application", r#""http://x/y""#, "application", Reason::Scheme { allowed: "https:" }),
        ("application", r#""cid:none@1""#, "application", Reason::NotAttached),
        (
            "application",
            r#""https://u:p@h/""#,
            "application",
            Reason::NotA("a URL with a host and without a user name"),
        ),
        ("application", "null", "application", Reason::Missing),
        ("purpose", "null", "purpose", Reason::Missing),
        ("at", r#""yesterday""#, "at", Reason::NotA("an RFC 3339 time, `+90m` or `local 09:00`")),
        ("at", r#""2001-01-01T00:00:00Z""#, "at", Reason::Past),
        ("at", r#""2999-01-01T00:00:00Z""#, "at", Reason::TooFar { days: 366 }),
        ("expires", r#""2001-01-01T00:00:00Z""#, "expires", Reason::Past),
        ("priority", "10", "priority", Reason::NotA("a whole number from 0 to 9")),
        ("priority", "-1", "priority", Reason::NotA("a whole number from 0 to 9")),
        ("params", r#"{"a-b":"x"}"#, "params.a-b", Reason::NotA("a variable name (letters, digits, _)")),
        ("params", r#"{"a":{}}"#, "params.a", Reason::NotA("a text, a number or a boolean")),
        ("caller_id", r#""boss""#, "caller_id", Reason::NotCallable),
        ("result_to", r#""mailto:a b@c""#, "result_to", Reason::NotA("a mail address")),
        ("lenient", "3", "lenient", Reason::NotA("true or false")),
        ("message", r#""a\u0007""#, "message", Reason::Control),
        ("request_id", r#""a#2""#, "request_id", Reason::NotA("a name without `#`")),
        ("aplication", "1", "aplication", Reason::UnknownField { nearest: Some("application") }),
        ("subject", r#""a\nb""#, "subject", Reason::Control),
    ];
    for (field, value, at, reason) in cases {
        assert_eq!(refused(&with(field, value)), vec![((*at).to_owned(), reason.clone())], "{field}={value}");
    }
    let together =
        refused(r#"{"at":"+2h","expires":"+1h","to":"+15551234567","application":"app:x","purpose":"debt"}"#);
    assert_eq!(together, vec![("expires".to_owned(), Reason::ExpiresBeforeStart)]);
}

#[test]
fn nothing_is_half_accepted_and_all_is_told_at_once() {
    let all = refused(r#"{"priority":11,"purpose":"fun"}"#);
    let fields: Vec<&str> = all.iter().map(|(f, _)| f.as_str()).collect();
    assert_eq!(fields, ["application", "purpose", "priority", "to"]);
}

#[test]
fn equal_requests_have_equal_digests() {
    let a = try_parse(&with("to", r#""+1-555-123-4567""#)).unwrap();
    let b = try_parse(&with("to", r#"["tel:+15551234567"]"#)).unwrap();
    assert_eq!(a.canonical, b.canonical);
    assert_eq!(a.digests, b.digests);
    let c = try_parse(&with("priority", "1")).unwrap();
    assert_ne!(a.digests, c.digests);
    let delayed = try_parse(&with("at", r#""+5m""#)).unwrap();
    assert!(delayed.canonical.contains(r#""at":"+5m""#), "a delay stays relative in the digest");
}

#[test]
fn recipients_share_what_they_do_not_have_of_their_own() {
    let p = try_parse(
        r#"{"to":[{"to":"+15551234567","params":{"a":"2"}},"sip:bob@h"],"application":"cid:<app@1>",
            "purpose":"debt","params":{"a":"1","b":"x"},"zone":"UTC"}"#,
    )
    .unwrap();
    assert_eq!(p.orders[0].params["a"].expose(), "2");
    assert_eq!(p.orders[0].params["b"].expose(), "x");
    assert_eq!(p.orders[1].params["a"].expose(), "1");
    assert_eq!(p.orders[1].request_id, "rid-1#2");
    assert_eq!(p.orders[1].zone.as_deref(), Some("UTC"));
    assert_ne!(p.digests[0], p.digests[1]);
    assert_eq!(p.orders[0].application, Application::Attached("app@1".into()));
}

#[test]
fn more_than_the_limits_is_refused() {
    let many: Vec<String> = (0..1_001).map(|i| format!("+1555{i:07}")).collect();
    let body = with("to", &serde_json::to_string(&many).unwrap());
    assert_eq!(refused(&body), vec![("to".to_owned(), Reason::TooMany { max: 1_000 })]);
    let unknown: String = (0..50).map(|i| format!(r#""z{i}zzzzzz":1,"#)).collect();
    assert_eq!(refused(&format!("{{{unknown}\"to\":\"x\"}}")).len(), 20);
}
