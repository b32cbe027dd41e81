//! A customer who is spoken to and understood by an engine that speaks MRCPv2 (RFC 6787): the engine is the test's own
//! (`support::mrcp`), everything else is the product and a telephone on its trunk.

use super::voice::{call, one_word};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;
use support::mrcp::{Engine, Fault, Papers};
use support::repo::tool;

/// Somebody who speaks into the prompt.
const SPEAKS: &str = " hear start within 20s\n wait 1s\n say operator.wav\n wait hangup 40s";

fn server(name: &str, engine: &Engine, more: &str) -> String {
    format!("[[speech.mrcp]]\nname = \"{name}\"\naddress = \"{}\"\n{more}\n", engine.address())
}

fn able() -> bool {
    tool("flite").is_some()
}

/// What came of a call whose only recognisers are these.
async fn outcome(servers: &str) -> (Vec<String>, String) {
    let page = |addr| one_word(addr, "en-US", "", "<item>operator</item>");
    let extra = format!("program = \"@SPEECH@\"\n{servers}");
    let (site, _, status, told) = call(&extra, SPEAKS, page).await;
    (site.asked(), format!("{status}\n{told}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_is_asked_and_understood_by_an_engine() {
    if !able() {
        return;
    }
    let engine = Engine::start(Fault::None, "operator", None);
    let more = "speaks = true\nparameters = { \"com.example.mode\" = \"telephone\" }";
    let property = "<property name=\"mrcp.com.example.level\" value=\"2\"/><property name=\"completetimeout\" value=\"700ms\"/>";
    let page = |addr| one_word(addr, "en-US", property, "<item>operator</item><item>nobody</item>");
    let extra = format!("program = \"@SPEECH@\"\nworkers = 0\n{}", server("own", &engine, more));
    let (site, log, status, told) = call(&extra, SPEAKS, page).await;
    let seen = engine.seen();
    let all = seen.join("\n----\n");
    assert_eq!(site.asked(), ["/word?word=operator"], "{status}\n{told}\n{all}");
    let find = |method: &str| {
        let found = seen.iter().find(|m| m.lines().next().is_some_and(|l| l.contains(method)));
        found.unwrap_or_else(|| panic!("no {method}:\n{all}\n{told}"))
    };
    assert!(find(" SPEAK ").contains("Good day, this is a prompt"), "{all}");
    assert!(find(" DEFINE-GRAMMAR ").contains("<item>operator</item><item>nobody</item>"), "{all}");
    let recognize = find(" RECOGNIZE ");
    for line in [
        "Start-Input-Timers:false\r\n",
        "Speech-Complete-Timeout:700\r\n",
        "Speech-Language:en-US\r\n",
        "Vendor-Specific-Parameters:com.example.level=2;com.example.mode=telephone\r\n",
        "\r\n\r\nsession:g0@form-level.store",
    ] {
        assert!(recognize.contains(line), "{line}:\n{recognize}");
    }
    let byes = seen.iter().filter(|m| m.starts_with("BYE ")).count();
    assert_eq!(byes, 2, "a session for the prompt and one for the answer, both over:\n{all}");
    let packets = engine.packets.load(Ordering::Relaxed);
    assert!(packets > 50, "{packets} packets of the caller's voice");
    assert!(!log.talkover_us.is_empty(), "the prompt was cut: {log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_refuses_is_followed_by_the_next() {
    if !able() {
        return;
    }
    let (busy, good) =
        (Engine::start(Fault::Busy, "nobody", None), Engine::start(Fault::None, "operator", None));
    let (asked, told) = outcome(&(server("busy", &busy, "") + &server("good", &good, ""))).await;
    assert_eq!(asked, ["/word?word=operator"], "{told}");
    assert!(busy.seen().iter().any(|m| m.starts_with("INVITE ")), "it was asked first");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_tells_everything_twice_is_understood_once() {
    if !able() {
        return;
    }
    let engine = Engine::start(Fault::Twice, "operator", None);
    let (asked, told) = outcome(&server("twice", &engine, "")).await;
    assert_eq!(asked, ["/word?word=operator"], "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_late_costs_the_call_an_event() {
    if !able() {
        return;
    }
    let engine = Engine::start(Fault::Late, "operator", None);
    let (asked, told) = outcome(&server("late", &engine, "")).await;
    assert_eq!(asked, ["/noresource"], "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_speaks_nonsense_costs_the_call_an_event() {
    if !able() {
        return;
    }
    let engine = Engine::start(Fault::Nonsense, "operator", None);
    let (asked, told) = outcome(&server("nonsense", &engine, "")).await;
    assert_eq!(asked, ["/noresource"], "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_dies_costs_the_call_an_event() {
    if !able() {
        return;
    }
    let engine = Engine::start(Fault::Dies, "operator", None);
    let (asked, told) = outcome(&server("dies", &engine, "")).await;
    assert_eq!(asked, ["/noresource"], "{told}");
}

/// A certificate for 127.0.0.1 that signs itself.
pub(crate) fn papers(dir: &Path, name: &str) -> Option<Papers> {
    let path = |end: &str| dir.join(format!("{name}.{end}")).display().to_string();
    let (certificate, key) = (path("pem"), path("key"));
    let made = Command::new(tool("openssl")?)
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", &key, "-out", &certificate])
        .output();
    made.is_ok_and(|m| m.status.success()).then_some((certificate, key))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_channel_by_tls() {
    let dir = tempfile::tempdir().expect("a folder");
    let (true, Some(own)) = (able(), papers(dir.path(), "engine")) else { return };
    let engine = Engine::start(Fault::None, "operator", Some(&own));
    let more = format!("tls = true\ntls_authorities = \"{}\"", own.0);
    let (asked, told) = outcome(&server("secure", &engine, &more)).await;
    assert_eq!(asked, ["/word?word=operator"], "{told}");
    let stranger = papers(dir.path(), "stranger").expect("another");
    let more = format!("tls = true\ntls_authorities = \"{}\"", stranger.0);
    let (asked, told) = outcome(&server("unbelieved", &engine, &more)).await;
    assert_eq!(asked, ["/noresource"], "{told}");
}
