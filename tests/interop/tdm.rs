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
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    with_line_and(kind, sockets, nowhere, "+1555", "@APP@", ["1", "4711"]).await
}

/// The same with a SIP trunk for other numbers, another document, and other keys of the exchange's telephone.
async fn with_line_and(
    kind: SpanKind,
    sockets: &tempfile::TempDir,
    sip: SocketAddr,
    prefix: &str,
    document: &str,
    keys: [&str; 2],
) -> (Running, Exchange) {
    let (own, peer) = (sockets.path().join("server"), sockets.path().join("exchange"));
    let word = if kind == SpanKind::E1 { "e1" } else { "t1" };
    let extra = format!(
        "[[trunks]]\nname = \"line\"\nspans = [1]\npriority = 10\nprefixes = [\"{prefix}\"]\ncaller_id = \"+15550000\"\n\
         [[spans]]\nnumber = 1\ndevice = \"tdmoe-unix:{},{}\"\nkind = \"{word}\"\nsignalling = \"pri_cpe\"\n\
         [[inbound]]\nmatch = \"+15559000\"\ntenant = \"acme\"\nurl = \"{document}\"\n",
        own.display(),
        peer.display()
    );
    let config =
        ExchangeConfig { own: peer, peer: own, kind, keys: keys.map(str::to_owned).to_vec(), ring_ms: 300 };
    let exchange = Exchange::start(config).expect("a socket");
    let run = running(sip, &extra).await;
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

/// Serves a document that transfers whoever calls to this number, as a bridge.
async fn bridging(dest: &str) -> String {
    let text = format!(
        "<vxml version=\"2.1\" xmlns=\"http://www.w3.org/2001/vxml\"><form>\
         <transfer name=\"t\" dest=\"tel:{dest}\" type=\"bridge\" connecttimeout=\"15s\">\
         <filled><exit/></filled></transfer></form></vxml>"
    );
    format!("http://{}/t.vxml", crate::transfer::serve(text).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sip_call_is_bridged_to_the_line_and_both_hear_each_other() {
    let sockets = tempfile::tempdir().expect("a folder");
    let steps = "person caller\n wait 3s\n tone beep 2s\n wait 6s\n hangup";
    let caller = crate::third_party::customer(steps);
    let document = bridging("+15557000100").await;
    let (run, exchange) =
        with_line_and(SpanKind::E1, &sockets, caller.sip_addr(), "+15557", &document, ["t", ""]).await;
    assert!(idle(&run, 30), "{}", show(&run));
    let person = bench::farend::Scenario::parse(steps, &|_| None).expect("valid").people[0].clone();
    caller.dial(bench::farend::world::Dial {
        to: format!("sip:+15559000@{}", run.server.sip_addr()),
        from: format!("sip:+15551111@{}", caller.sip_addr()),
        hop: run.server.sip_addr(),
        person,
    });
    let seen = calls(exchange.saw(Duration::from_secs(40), |s| matches!(s, Seen::Ended(_))).expect("a call"));
    let log = caller.next_log(Duration::from_secs(30)).expect("the call ends");
    assert!(log.answered, "{log:?}");
    assert!(matches!(&seen[0], Seen::Called(to, ..) if to == "+15557000100"), "{seen:?}");
    let heard = seen.iter().any(|s| matches!(s, Seen::Prompt(ms) if (1_500..=2_500).contains(ms)));
    assert!(heard, "the caller's tone crossed to the line: {seen:?}");
    let frames = support::tone::frames_with(&log.audio, 1_000.0);
    assert!(frames >= 80, "of 100 frames of the line's tone {frames} reached the caller");
    assert!(idle(&run, 30), "{}", show(&run));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_the_line_is_bridged_to_sip_and_both_hear_each_other() {
    let sockets = tempfile::tempdir().expect("a folder");
    let agent = crate::third_party::customer(
        "person agent\n ring 0.3s\n answer\n wait 1s\n tone ced 2s\n wait 6s\n hangup",
    );
    let document = bridging("+15559990001").await;
    let (run, exchange) =
        with_line_and(SpanKind::T1, &sockets, agent.sip_addr(), "+15557", &document, ["t", "t"]).await;
    exchange.call("+15559000", "5550123");
    let seen = calls(exchange.saw(Duration::from_secs(40), |s| matches!(s, Seen::Ended(_))).expect("a call"));
    let log = agent.next_log(Duration::from_secs(30)).expect("the second call ends");
    assert!(log.answered && log.complete, "{log:?}");
    let heard = seen.iter().any(|s| matches!(s, Seen::Prompt(ms) if *ms >= 1_500));
    assert!(heard, "the agent's tone crossed to the line: {seen:?}");
    let frames = support::tone::frames_with(&log.audio, 1_000.0);
    assert!(frames >= 80, "of 100 frames of the line's tone {frames} reached the agent");
    assert!(idle(&run, 23), "{}", show(&run));
}

/// A product whose two spans are wired to each other as E&M trunks: what it orders by one comes in by the other.
async fn with_trunks(kind: &str, signalling: &str, dialing: &str) -> Running {
    let span = |n: u16, more: &str| {
        format!(
            "[[spans]]\nnumber = {n}\ndevice = \"loopback:{}\"\nkind = \"{kind}\"\n\
             signalling = \"{signalling}\"\ndialing = \"{dialing}\"\n{more}",
            3 - n
        )
    };
    let extra = format!(
        "[[trunks]]\nname = \"line\"\nspans = [1]\nprefixes = [\"+1555\"]\ncaller_id = \"+15550000\"\n{}{}\
         [[inbound]]\nmatch = \"15550100\"\ntenant = \"acme\"\nurl = \"{}\"\n",
        span(1, "echocancel = true\n"),
        span(2, "echocancel = true\nrxgain = -1.5\n"),
        crate::transfer::serve(GREETING.to_owned()).await.to_string().replacen("", "http://", 1) + "/g.vxml"
    );
    running(SocketAddr::from(([127, 0, 0, 1], 0)), &extra).await
}

/// Presses a key when it is asked, and is the callee of its own order.
const GREETING: &str = "<vxml version=\"2.1\" xmlns=\"http://www.w3.org/2001/vxml\"><form>\
    <object name=\"keys\" classid=\"carillon:keys\"><param name=\"keys\" value=\",,,,1,,,,,,,,4711#,,,,,,,,,,,,,,,,,,,,\"/></object>\
    <block><exit/></block></form></vxml>";

#[tokio::test(flavor = "multi_thread")]
async fn t1_405_an_order_goes_out_over_e_and_m_trunks_and_comes_in_over_the_others() {
    for (kind, signalling, dialing, channels) in [
        ("t1", "em_w", "dtmf", 24),
        ("e1", "em_w", "mf", 30),
        ("t1", "em", "mf", 24),
        ("e1", "em", "dtmf", 30),
    ] {
        let run = with_trunks(kind, signalling, dialing).await;
        assert!(idle(&run, channels), "{}", show(&run));
        let id = order(&run, "em-1").await;
        let status = run.done(&id, Duration::from_secs(60)).await;
        assert_eq!(status["disposition"], "completed", "{kind} {signalling} {dialing}: {status}");
        run.web.seen(|s| {
            let codes: Vec<_> = s.submissions.iter().map(|x| (x.choice.as_str(), x.code.as_str())).collect();
            assert_eq!(
                codes,
                [("confirm", "4711")],
                "{kind} {signalling} {dialing}: keys in band over the trunk"
            );
        });
        assert!(idle(&run, channels), "{kind} {signalling} {dialing}: {}", show(&run));
        let counters = &show(&run)["counters"];
        assert_eq!((&counters["placed"], &counters["glare"]), (&json!(1), &json!(0)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_is_looped_and_tested_while_it_is_blocked() {
    let run = with_trunks("t1", "em_w", "dtmf").await;
    let socket = run.dir.path().join("admin.sock");
    let span = |words: &[&str]| {
        let out = Command::new(ours("carillon"))
            .args(["span", "1"])
            .args(words)
            .arg("--socket")
            .arg(&socket)
            .output();
        let out = out.expect("carillon runs");
        (out.status.success(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    let (done, why) = span(&["bert", "start"]);
    assert!(!done && why.contains("block it first"), "{why}");
    for words in [&["block"][..], &["loopback", "local"], &["bert", "start", "--slot", "5"]] {
        assert!(span(words).0, "{words:?}");
    }
    let bert = || show(&run)["bert"]["5"].clone();
    let counted = || bert()["bits"].as_u64().is_some_and(|bits| bits > 64_000);
    assert!(support::peers::until(Duration::from_secs(10), counted), "{}", show(&run));
    assert_eq!(
        (&bert()["errors"], &bert()["pattern_found"], &show(&run)["loopback"]),
        (&json!(0), &json!(true), &json!("local"))
    );
    // Without the loop the pattern goes to span 2, which sends silence.
    assert!(span(&["loopback", "off"]).0);
    assert!(
        support::peers::until(Duration::from_secs(10), || bert()["pattern_found"] == false),
        "{}",
        show(&run)
    );
    // Span 2, looped towards the line, sends it back.
    assert!(span(&["bert", "stop", "--slot", "5"]).0 && span(&["unblock"]).0);
    assert_eq!((&bert()["running"], &show(&run)["idle"]), (&json!(false), &json!(24)));
}
