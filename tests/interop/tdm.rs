//! T1 and E1: an order by HTTP becomes a call over a primary rate line; a simulated exchange answers, hears the prompts,
//! presses keys in band; and the exchange calls in. The line is TDM over Ethernet on Unix datagrams, so that both ends
//! are programs of their own with clocks of their own.

use crate::world::{Running, running};
use bench::farend::{Exchange, ExchangeConfig, Seen};
use hw::card::SpanKind;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;
use support::peers::ours;

/// A product with one span, and the exchange at its other end.
async fn with_line(kind: SpanKind, sockets: &tempfile::TempDir) -> (Running, Exchange) {
    let (own, peer) = (sockets.path().join("server"), sockets.path().join("exchange"));
    let word = if kind == SpanKind::E1 { "e1" } else { "t1" };
    let extra = format!(
        "[[trunks]]\nname = \"line\"\nspans = [1]\nprefixes = [\"+1555\"]\ncaller_id = \"+15550000\"\n\
         [[spans]]\nnumber = 1\ndevice = \"tdmoe-unix:{},{}\"\nkind = \"{word}\"\nsignalling = \"pri_cpe\"\n\
         [[inbound]]\nmatch = \"+15559000\"\ntenant = \"acme\"\nurl = \"@APP@\"\n",
        own.display(),
        peer.display()
    );
    let config =
        ExchangeConfig { own: peer, peer: own, kind, keys: vec!["1".into(), "4711".into()], ring_ms: 300 };
    let exchange = Exchange::start(config).expect("a socket");
    let run = running(SocketAddr::from(([127, 0, 0, 1], 0)), &extra).await;
    assert!(exchange.saw(Duration::from_secs(20), |s| *s == Seen::Up).is_some(), "the D-channel comes up");
    (run, exchange)
}

async fn order(run: &Running, name: &str) -> String {
    let body = json!({ "to": "+15550100", "application": run.web.application(), "purpose": "transactional" });
    let (code, answer) = run.server.post_call(name, &body).await.expect("the API answers");
    assert_eq!(code, 202, "{answer}");
    answer["id"].as_str().expect("an id").to_owned()
}

/// Without what a loaded machine does to the line: its alarms are another test's.
fn calls(mut seen: Vec<Seen>) -> Vec<Seen> {
    seen.retain(|s| !matches!(s, Seen::Alarm(_) | Seen::Up));
    seen
}

/// What `carillon show span 1 -o json` says.
fn show(run: &Running) -> Value {
    let socket = run.dir.path().join("admin.sock");
    let out = Command::new(ours("carillon"))
        .args(["show", "span", "1", "-o", "json", "--socket"])
        .arg(&socket)
        .output()
        .expect("carillon runs");
    serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&out.stderr)))
}

fn idle(run: &Running, channels: u64) -> bool {
    support::peers::until(Duration::from_secs(10), || show(run)["idle"] == channels)
}

async fn an_order_over(kind: SpanKind, channels: u64) {
    let sockets = tempfile::tempdir().expect("a folder");
    let (run, exchange) = with_line(kind, &sockets).await;
    assert!(idle(&run, channels), "{}", show(&run));
    let id = order(&run, "tdm-1").await;
    let seen = calls(exchange.saw(Duration::from_secs(40), |s| matches!(s, Seen::Ended(_))).expect("a call"));
    let status = run.done(&id, Duration::from_secs(30)).await;
    assert_eq!(status["disposition"], "completed", "{status} {seen:?}");
    assert!(
        matches!(&seen[..], [Seen::Called(to, from, _), Seen::Answered(_), ..] if to == "+15550100" && from == "+15550000"),
        "{seen:?}"
    );
    let prompts = seen.iter().filter(|s| matches!(s, Seen::Prompt(ms) if *ms > 500)).count();
    assert!(prompts >= 2 && seen.last() == Some(&Seen::Ended(16)), "{seen:?}");
    run.web.seen(|s| {
        let codes: Vec<_> = s.submissions.iter().map(|x| (x.choice.as_str(), x.code.as_str())).collect();
        assert_eq!(codes, [("confirm", "4711")], "keys pressed in band");
    });
    assert!(idle(&run, channels), "{}", show(&run));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_goes_over_an_e1_and_is_answered_by_keys_in_band() {
    an_order_over(SpanKind::E1, 30).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_goes_over_a_t1_and_is_answered_by_keys_in_band() {
    an_order_over(SpanKind::T1, 23).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_comes_in_by_a_line_runs_its_document() {
    let sockets = tempfile::tempdir().expect("a folder");
    let (run, exchange) = with_line(SpanKind::E1, &sockets).await;
    exchange.call("+15559000", "5550123");
    let seen = calls(exchange.saw(Duration::from_secs(40), |s| matches!(s, Seen::Ended(_))).expect("a call"));
    assert!(matches!(seen[0], Seen::Answered(31)), "{seen:?}");
    assert!(seen.iter().filter(|s| matches!(s, Seen::Prompt(_))).count() >= 2, "{seen:?}");
    run.web.seen(|s| assert_eq!(s.submissions.len(), 1));
    assert!(idle(&run, 30), "{}", show(&run));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_cut_takes_its_calls_and_its_capacity_and_comes_back() {
    let sockets = tempfile::tempdir().expect("a folder");
    let (run, exchange) = with_line(SpanKind::E1, &sockets).await;
    exchange.call("+15559000", "5550123");
    exchange.saw(Duration::from_secs(20), |s| matches!(s, Seen::Prompt(_))).expect("a call that talks");
    exchange.cut(Duration::from_secs(2));
    let began = std::time::Instant::now();
    let dead = support::peers::until(Duration::from_secs(3), || show(&run)["alarm"] == true);
    println!("the alarm shows {} ms after the cut (each look starts a program)", began.elapsed().as_millis());
    assert!(dead && show(&run)["idle"] == 0, "{}", show(&run));
    assert!(idle(&run, 30), "{}", show(&run));
    let socket = run.dir.path().join("admin.sock");
    let block = |what: &str| {
        let out = Command::new(ours("carillon")).args(["span", "1", what, "--socket"]).arg(&socket).status();
        assert!(out.is_ok_and(|s| s.success()));
    };
    block("block");
    assert!(idle(&run, 0), "{}", show(&run));
    block("unblock");
    assert!(idle(&run, 30), "{}", show(&run));
}
