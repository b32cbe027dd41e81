//! Transfers against real programs: sipp is whom a caller is transferred to, then the caller, then a telephone that is
//! referred elsewhere. Every RTP packet that reaches sipp comes back (`-rtp_echo`), so whoever hears its own tone has been
//! heard: sound crosses the bridge both ways.

use crate::third_party::customer;
use crate::world::{Running, running};
use bench::farend::Scenario;
use bench::farend::world::Dial;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use support::peers::{Peer, free_port, until};
use support::repo::{root, tool};
use support::tone::frames_with;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Serves one document under any name, for as long as the test lives.
pub(crate) async fn serve(document: String) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
    let addr = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4_096];
            let _ = stream.read(&mut request).await;
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/voicexml+xml\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n",
                document.len()
            );
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(document.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    addr
}

/// A document that transfers whoever calls, and logs how that ended.
pub(crate) fn document(kind: &str) -> String {
    format!(
        "<vxml version=\"2.1\" xmlns=\"http://www.w3.org/2001/vxml\">
        <catch event=\"connection.disconnect.transfer\"><log>ended: <value expr=\"_event\"/></log><exit/></catch>
        <catch event=\"error\"><log>ended: <value expr=\"_event\"/></log><exit/></catch>
        <form><transfer name=\"t\" dest=\"tel:+15559990001\" type=\"{kind}\" connecttimeout=\"15s\">
        <filled><log>ended: <value expr=\"t\"/> <value expr=\"t$.duration &gt; 3\"/></log><exit/></filled>
        </transfer></form></vxml>"
    )
}

async fn server(kind: &str, trunk: SocketAddr) -> Running {
    let web = serve(document(kind)).await;
    let inbound =
        format!("\n[[inbound]]\nmatch = \"+15559000\"\ntenant = \"acme\"\nurl = \"http://{web}/t.vxml\"\n");
    running(trunk, &inbound).await
}

fn sipp(dir: &Path, scenario: &str, port: u16, more: &[&str]) -> Option<Peer> {
    let sipp = tool("sipp")?;
    let media = free_port();
    let mut command = Command::new(sipp);
    command
        .current_dir(dir)
        .arg("-sf")
        .arg(root().join("tests/interop/sipp").join(scenario))
        .args(["-i", "127.0.0.1", "-mi", "127.0.0.1", "-m", "1", "-nostdin", "-timeout", "60", "-rtp_echo"])
        .args(["-p", &port.to_string(), "-mp", &media.to_string()])
        .args(more);
    Some(Peer::start(dir, scenario, &mut command))
}

/// Both calls of the transfer end, and as completed.
fn judge(run: &Running) {
    let log = || std::fs::read_to_string(run.server.log_path()).unwrap_or_default();
    let over = |log: &str| log.lines().filter(|l| l.contains("a call is over")).count();
    assert!(until(Duration::from_secs(20), || over(&log()) == 2), "both calls end:\n{}", log());
    let log = log();
    let completed = log.lines().filter(|l| l.contains("a call is over") && l.contains("completed")).count();
    assert_eq!(completed, 2, "both are completed:\n{log}");
    assert!(!log.contains("panicked") && !log.contains("refused a note"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_is_whom_the_caller_is_transferred_to_and_both_hear_each_other() {
    let port = free_port();
    let run = server("bridge", SocketAddr::from(([127, 0, 0, 1], port))).await;
    let Some(mut agent) = sipp(run.dir.path(), "agent.xml", port, &[]) else { return };
    // The caller sounds 1,000 Hz while the agent is there, and hears it come back.
    let steps = "person caller\n wait 3s\n tone beep 2s\n wait hangup 40s";
    let person = Scenario::parse(steps, &|_| None).expect("valid").people[0].clone();
    let caller = customer(steps);
    caller.dial(Dial {
        to: format!("sip:+15559000@{}", run.server.sip_addr()),
        from: format!("sip:+15551111@{}", caller.sip_addr()),
        hop: run.server.sip_addr(),
        person,
    });
    let log = caller.next_log(Duration::from_secs(60)).expect("the call ends");
    assert!(log.answered, "{log:?}");
    assert!(agent.wait(Duration::from_secs(20)).success(), "sipp: {}", agent.output());
    let frames = frames_with(&log.audio, 1_000.0);
    assert!(frames >= 80, "of 100 frames sent {frames} came back through the bridge and sipp");
    judge(&run);
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_is_the_caller_and_hears_the_agent_who_hears_sipp() {
    let steps = "person agent\n ring 0.3s\n answer\n wait 1s\n tone ced 2s\n wait 2s\n hangup";
    let agent = customer(steps);
    let run = server("bridge", agent.sip_addr()).await;
    let target = run.server.sip_addr().to_string();
    let Some(mut caller) = sipp(run.dir.path(), "caller.xml", free_port(), &["-s", "+15559000", &target])
    else {
        return;
    };
    let log = agent.next_log(Duration::from_secs(60)).expect("the second call ends");
    assert!(log.answered && log.complete, "{log:?}");
    assert!(caller.wait(Duration::from_secs(20)).success(), "sipp: {}", caller.output());
    let frames = frames_with(&log.audio, 2_100.0);
    assert!(frames >= 80, "of 100 frames sent {frames} came back through the bridge and sipp");
    judge(&run);
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc3891_sipp_is_referred_to_the_dialog_that_the_consultation_opened() {
    let steps = "person agent\n ring 0.3s\n answer\n wait hangup 40s";
    let agent = customer(steps);
    let run = server("consultation", agent.sip_addr()).await;
    let target = run.server.sip_addr().to_string();
    let Some(mut caller) = sipp(run.dir.path(), "referred.xml", free_port(), &["-s", "+15559000", &target])
    else {
        return;
    };
    assert!(caller.wait(Duration::from_secs(40)).success(), "sipp: {}", caller.output());
    let log = agent.next_log(Duration::from_secs(60)).expect("the second call ends");
    assert!(log.answered && log.complete, "{log:?}");
    judge(&run);
}
