//! Trunks that fail, a registrar and a proxy: sipp is the customer, kamailio the carrier.

use crate::world::{Running, running};
use serde_json::{Value, json};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use support::peers::{Peer, free_port, ours, until};
use support::repo::{root, tool};

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// sipp as a customer who answers, presses keys and is hung up on; what a proxy recorded is kept.
fn customer(dir: &Path, sip: u16) -> Option<Peer> {
    let sipp = tool("sipp")?;
    let scenario =
        std::fs::read_to_string(root().join("tests/interop/sipp/customer.xml")).expect("a scenario");
    // In-dialog answers need none, and sipp leaves the line out where there is none.
    let recorded = scenario.replace("[last_Via:]", "[last_Via:]\n[last_Record-Route:]");
    let file = dir.join("recorded.xml");
    std::fs::write(&file, recorded).expect("a file");
    let mut command = Command::new(sipp);
    command
        .current_dir(dir)
        .arg("-sf")
        .arg(&file)
        .args(["-i", "127.0.0.1", "-mi", "127.0.0.1", "-m", "1", "-nostdin", "-timeout", "60"])
        .args(["-p", &sip.to_string(), "-mp", &free_port().to_string()]);
    Some(Peer::start(dir, "sipp", &mut command))
}

/// What `carillon show trunks` says.
fn trunks(run: &Running) -> Vec<Value> {
    let socket = run.dir.path().join("admin.sock");
    let mut command = Command::new(ours("carillon"));
    let out =
        command.args(["show", "trunks", "-o", "json", "--socket"]).arg(socket).output().expect("it runs");
    serde_json::from_slice::<Value>(&out.stdout).ok().and_then(|v| v.as_array().cloned()).unwrap_or_default()
}

fn trunk(run: &Running, name: &str) -> Value {
    trunks(run).into_iter().find(|t| t["name"] == name).unwrap_or_default()
}

fn steer(run: &Running, name: &str, order: &str) -> bool {
    let socket = run.dir.path().join("admin.sock");
    let mut command = Command::new(ours("carillon"));
    command.args(["trunk", name, order, "--socket"]).arg(socket);
    command.status().expect("it runs").success()
}

async fn order(run: &Running, key: &str) -> (u16, Value) {
    let body = json!({ "to": "+15550100", "application": run.web.application(), "purpose": "transactional" });
    run.server.post_call(key, &body).await.expect("the API answers")
}

/// The lines of a call's story.
fn story(run: &Running, id: &str) -> String {
    let socket = run.dir.path().join("admin.sock");
    let mut command = Command::new(ours("carillon"));
    let out = command.args(["show", "call", id, "--socket"]).arg(socket).output().expect("it runs");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// Goal: a trunk that says nothing costs the customer two seconds, not the call. Method: the better trunk is a socket that
/// nobody reads; the other is sipp.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_trunk_is_left_for_the_next_and_shown() {
    let hole = UdpSocket::bind("127.0.0.1:0").expect("loopback has ports");
    let sip = free_port();
    let second = format!(
        "priority = 1\n[[trunks]]\nname = \"second\"\naddress = \"127.0.0.1:{sip}\"\nprefixes = [\"+1555\"]\n\
         caller_id = \"+15550000\"\n"
    );
    let run = running(hole.local_addr().expect("bound"), &second).await;
    let Some(mut sipp) = customer(run.dir.path(), sip) else { return };
    let (code, answer) = order(&run, "trunks-1").await;
    assert_eq!(code, 202, "{answer}");
    let id = answer["id"].as_str().expect("an id");
    let status = run.done(id, Duration::from_secs(60)).await;
    assert!(sipp.wait(Duration::from_secs(20)).success(), "sipp: {}", sipp.output());
    assert_eq!(status["disposition"], "completed", "{status}");
    let story = story(&run, id);
    assert!(story.contains("trunk loopback says nothing: the next"), "{story}");
    let (first, second) = (trunk(&run, "loopback"), trunk(&run, "second"));
    assert_eq!((&first["sent"], &first["failed"], &first["answered"]), (&json!(1), &json!(1), &json!(0)));
    assert_eq!((&second["sent"], &second["answered"], &second["calls"]), (&json!(1), &json!(1), &json!(0)));
    // Ordered out, it is not asked again.
    assert!(steer(&run, "loopback", "drain") && !steer(&run, "nowhere", "drain"));
    assert_eq!(trunk(&run, "loopback")["state"], "draining");
}

/// A carrier: registrar and proxy with digest for both, and Record-Route.
fn kamailio(dir: &Path, own: u16, callee: u16) -> Option<Peer> {
    let kamailio = tool("kamailio")?;
    let modules = "/usr/lib/x86_64-linux-gnu/kamailio/modules";
    if !Path::new(modules).is_dir() {
        println!("SKIPPED: no kamailio modules in {modules}");
        return None;
    }
    let config = format!(
        r#"#!KAMAILIO
debug=2
log_stderror=yes
children=1
disable_tcp=yes
auto_aliases=no
listen=udp:127.0.0.1:{own}
mpath="{modules}/"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("REGISTER")) {{
        if (!pv_www_authenticate("carrier.test", "wonderland", "0")) {{ www_challenge("carrier.test", "0"); exit; }}
        save("location");
        xlog("L_WARN", "BOUND $au expires $hdr(Expires)\n");
        exit;
    }}
    if (has_totag()) {{
        if (!loose_route()) {{ sl_send_reply("404", "No Route"); exit; }}
        xlog("L_WARN", "ROUTED $rm\n");
        t_relay();
        exit;
    }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) {{ t_relay(); }} exit; }}
    if (is_method("INVITE")) {{
        if (!pv_proxy_authenticate("carrier.test", "wonderland", "0")) {{ proxy_challenge("carrier.test", "0"); exit; }}
        consume_credentials();
        record_route();
        $du = "sip:127.0.0.1:{callee}";
        xlog("L_WARN", "PASSED $au\n");
        t_relay();
        exit;
    }}
    sl_send_reply("200", "OK");
}}
"#
    );
    let file = dir.join("kamailio.cfg");
    std::fs::write(&file, config).expect("a file");
    let mut command = Command::new(kamailio);
    command
        .arg("-f")
        .arg(&file)
        .args(["-DD", "-E", "-m", "32", "-M", "4", "-P"])
        .arg(dir.join("kamailio.pid"));
    Some(Peer::start(dir, "kamailio", &mut command))
}

/// Goal: a carrier that wants registration, challenges every call and stays in the path is called through. Method: kamailio
/// between us and sipp; BYE must come by its Record-Route.
#[tokio::test(flavor = "multi_thread")]
async fn kamailio_registers_us_challenges_the_call_and_stays_in_its_path() {
    let (carrier, callee) = (free_port(), free_port());
    let extra = "user = \"alice\"\npassword = \"wonderland\"\nrealm = \"carrier.test\"\ndomain = \"carrier.test\"\n\
                 probe = \"1s\"\nregister = { expires = \"60s\" }\n";
    let dir = tempfile::tempdir().expect("a temporary folder");
    let Some(mut proxy) = kamailio(dir.path(), carrier, callee) else { return };
    let Some(mut sipp) = customer(dir.path(), callee) else { return };
    let run = running(loopback(carrier), extra).await;
    // Should the first REGISTER have met a closed port, the next one comes within half a minute.
    let up = until(Duration::from_secs(45), || trunk(&run, "loopback")["state"] == "up");
    let (code, answer) = order(&run, "trunks-2").await;
    let id = answer["id"].as_str().unwrap_or_default().to_owned();
    let status = if up { run.done(&id, Duration::from_secs(60)).await } else { Value::Null };
    let pressed = up && sipp.wait(Duration::from_secs(20)).success();
    // Ended before anything is judged: its children would outlive a test that fails.
    proxy.signal(libc::SIGTERM);
    let said = proxy.output();
    assert!(up, "{:?}\n{said}", trunk(&run, "loopback"));
    assert_eq!(code, 202, "{answer}");
    assert!(pressed, "sipp: {}\n{said}", sipp.output());
    assert_eq!(status["disposition"], "completed", "{status}\n{said}");
    for words in ["BOUND alice", "PASSED alice", "ROUTED ACK", "ROUTED BYE"] {
        assert!(said.contains(words), "kamailio never said `{words}`:\n{said}");
    }
}
