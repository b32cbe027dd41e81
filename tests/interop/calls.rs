//! What happens within a call and before it, against sipp: hold and resume, UPDATE, offers that meet, session timers, PRACK,
//! INFO, redirections both ways, and who is told to a document to have called. And where a trunk is: NAPTR, SRV and address
//! records of a name server of the test's own, with an address that keeps silent before one that answers.

use crate::names::{Record, naptr, server, srv};
use crate::voice::Site;
use crate::world::{Running, running, running_sip};
use serde_json::{Value, json};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use support::peers::{Peer, free_port, until};
use support::repo::{root, tool};

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// sipp with a scenario; `@PORT@` in it becomes `other`.
fn sipp(dir: &Path, scenario: &str, port: u16, other: u16, more: &[&str]) -> Option<Peer> {
    let sipp = tool("sipp")?;
    let text = std::fs::read_to_string(root().join("tests/interop/sipp").join(scenario)).expect("a scenario");
    let file = dir.join(scenario);
    std::fs::write(&file, text.replace("@PORT@", &other.to_string())).expect("a file");
    let mut command = Command::new(sipp);
    command
        .current_dir(dir)
        .arg("-sf")
        .arg(&file)
        .args(["-i", "127.0.0.1", "-mi", "127.0.0.1", "-m", "1", "-nostdin", "-timeout", "60", "-trace_err"])
        .args(["-p", &port.to_string(), "-mp", &free_port().to_string()])
        .args(more);
    Some(Peer::start(dir, scenario, &mut command))
}

/// What sipp found wrong.
fn errors(dir: &Path) -> String {
    let files = std::fs::read_dir(dir).expect("a folder").flatten().map(|entry| entry.path());
    let logs = files.filter(|path| path.to_string_lossy().ends_with("_errors.log"));
    logs.map(|path| std::fs::read_to_string(path).unwrap_or_default()).collect()
}

/// A document that takes a key and tells who was said to have called.
fn tells(addr: SocketAddr) -> String {
    format!(
        "<vxml version='2.1' xmlns='http://www.w3.org/2001/vxml'><form>
        <var name='who' expr='session.connection.redirect[0].uri'/>
        <var name='why' expr='session.connection.redirect[0].reason'/>
        <var name='caller' expr='session.connection.remote.uri'/>
        <property name='timeout' value='20s'/>
        <field name='d' type='digits?length=1'/>
        <block><submit next='http://{addr}/got' namelist='d who why caller'/></block>
        <catch event='error'><goto next='http://{addr}/error'/></catch></form></vxml>"
    )
}

/// A document that does nothing.
fn nothing(_: SocketAddr) -> String {
    "<vxml version='2.1' xmlns='http://www.w3.org/2001/vxml'><form><block><exit/></block></form></vxml>"
        .into()
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_holds_resumes_updates_overlaps_and_presses_a_key_by_info() {
    let site = Site::start(tells).await;
    let inbound = format!(
        "\n[[inbound]]\nmatch = \"+15559000\"\ntenant = \"acme\"\nurl = \"http://{}/app.vxml\"\n",
        site.addr
    );
    let run = running(loopback(9), &inbound).await;
    let target = run.server.sip_addr().to_string();
    let dir = run.dir.path();
    let Some(mut caller) = sipp(dir, "midcall.xml", free_port(), 0, &["-s", "+15559000", &target]) else {
        return;
    };
    let content = caller.wait(Duration::from_secs(50)).success();
    let log = std::fs::read_to_string(run.server.log_path()).unwrap_or_default();
    assert!(content, "{}\n{}\n{log}", caller.output(), errors(dir));
    assert_eq!(
        site.asked(),
        ["/got?d=5&who=sip%3A%2B15557777%40example.com&why=user-busy&caller=%2B15553333"],
        "{log}"
    );
}

async fn order(run: &Running, site: &Site, key: &str) -> (String, Value) {
    let application = format!("http://{}/app.vxml", site.addr);
    let body = json!({ "to": "+15550100", "application": application, "purpose": "transactional" });
    let (code, answer) = run.server.post_call(key, &body).await.expect("the API answers");
    assert_eq!(code, 202, "{answer}");
    let id = answer["id"].as_str().expect("an id").to_owned();
    let status = run.done(&id, Duration::from_secs(60)).await;
    (id, status)
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_wants_a_longer_timer_and_a_prack_for_its_early_media() {
    let (site, port) = (Site::start(nothing).await, free_port());
    let run = running(loopback(port), "").await;
    let dir = run.dir.path();
    let Some(mut callee) = sipp(dir, "early.xml", port, 0, &[]) else { return };
    let (_, status) = order(&run, &site, "early").await;
    assert!(callee.wait(Duration::from_secs(20)).success(), "{}\n{}", callee.output(), errors(dir));
    assert_eq!(status["disposition"], "completed", "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_redirects_to_another_address_of_the_carrier() {
    let (site, first, second) = (Site::start(nothing).await, free_port(), free_port());
    let other = format!(
        "priority = 1\n[[trunks]]\nname = \"second\"\naddress = \"127.0.0.1:{second}\"\npriority = 200\n\
         prefixes = [\"+1555\"]\ncaller_id = \"+15550000\"\n"
    );
    let run = running(loopback(first), &other).await;
    let dir = run.dir.path();
    let Some(mut moved) = sipp(dir, "moved.xml", first, second, &[]) else { return };
    let Some(mut answers) = sipp(dir, "answers.xml", second, 0, &[]) else { return };
    let (_, status) = order(&run, &site, "moved").await;
    assert!(moved.wait(Duration::from_secs(20)).success(), "{}\n{}", moved.output(), errors(dir));
    assert!(answers.wait(Duration::from_secs(20)).success(), "{}\n{}", answers.output(), errors(dir));
    assert_eq!(status["disposition"], "completed", "{status}");
}

/// Goal: a trunk that is only a name is found as RFC 3263 has it, and its second address takes the call that the first says
/// nothing to. Method: the product asks the test's name server; the first address of the SRV records is a socket that
/// nobody reads.
#[tokio::test(flavor = "multi_thread")]
async fn rfc3263_a_carrier_is_found_by_naptr_srv_and_a_and_its_second_address_takes_over() {
    let site = Site::start(nothing).await;
    let hole = UdpSocket::bind("127.0.0.1:0").expect("loopback has ports");
    let (silent, answering) = (hole.local_addr().expect("bound").port(), free_port());
    let names = server(vec![
        Record::new("carrier.test", 35, naptr(20, "s", "SIP+D2T", "_sip._tcp.carrier.test")),
        Record::new("carrier.test", 35, naptr(10, "s", "SIP+D2U", "_sip._udp.carrier.test")),
        Record::new("_sip._udp.carrier.test", 33, srv(10, silent, "one.carrier.test")),
        Record::new("_sip._udp.carrier.test", 33, srv(20, answering, "two.carrier.test")),
        Record::new("one.carrier.test", 1, vec![127, 0, 0, 1]),
        Record::new("two.carrier.test", 1, vec![127, 0, 0, 1]),
    ]);
    let named = "[[trunks]]\nname = \"carrier\"\naddress = \"carrier.test\"\nprefixes = [\"+1555\"]\n\
                 caller_id = \"+15550000\"\n";
    let sip = format!("nameservers = [\"{}\"]", names.addr);
    let run = running_sip(loopback(0), named, &sip).await;
    let dir = run.dir.path();
    let Some(mut callee) = sipp(dir, "answers.xml", answering, 0, &[]) else { return };
    let found =
        until(Duration::from_secs(20), || names.asked().iter().filter(|(_, kind)| *kind == 1).count() >= 2);
    assert!(found, "{:?}", names.asked());
    let begun = Instant::now();
    let (_, status) = order(&run, &site, "named").await;
    assert!(callee.wait(Duration::from_secs(20)).success(), "{}\n{}", callee.output(), errors(dir));
    assert_eq!(status["disposition"], "completed", "{status}");
    println!("by the second address: over {} ms after it was ordered", begun.elapsed().as_millis());
    let mut tried = [0; 2_000];
    hole.set_nonblocking(true).expect("a socket");
    assert!(hole.recv(&mut tried).is_ok(), "the first address was tried first");
    let kinds: Vec<u16> = names.asked().into_iter().map(|(_, kind)| kind).collect();
    assert!([35, 33, 1].iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
}
