//! sipp answers, presses keys by RFC 4733, is hung up on; tshark judges our RTP. Then the ways a customer does not answer.

use crate::world::running;
use serde_json::json;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use support::peers::{Capture, Peer, free_port};
use support::repo::{root, tool};

fn sipp(dir: &Path, scenario: &str, sip: u16, media: u16) -> Option<Peer> {
    let sipp = tool("sipp")?;
    let mut command = Command::new(sipp);
    command
        .current_dir(dir)
        .arg("-sf")
        .arg(root().join("tests/interop/sipp").join(scenario))
        .args(["-i", "127.0.0.1", "-mi", "127.0.0.1", "-m", "1", "-nostdin", "-timeout", "60"])
        .args(["-p", &sip.to_string(), "-mp", &media.to_string()]);
    Some(Peer::start(dir, "sipp", &mut command))
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_answers_presses_keys_and_tshark_finds_no_packet_lost() {
    let (sip, media) = (free_port(), free_port());
    let run = running(SocketAddr::from(([127, 0, 0, 1], sip)), "").await;
    let Some(mut customer) = sipp(run.dir.path(), "customer.xml", sip, media) else { return };
    let Some(capture) = Capture::start(run.dir.path(), &format!("udp port {media}")) else { return };
    let body = json!({ "to": "+15550100", "application": run.web.application(), "purpose": "transactional" });
    let (code, answer) = run.server.post_call("sipp-1", &body).await.expect("the API answers");
    assert_eq!(code, 202, "{answer}");
    let id = answer["id"].as_str().expect("an id").to_owned();
    let status = run.done(&id, Duration::from_secs(60)).await;
    assert!(customer.wait(Duration::from_secs(20)).success(), "sipp: {}", customer.output());
    assert_eq!(status["disposition"], "completed", "{status}");
    run.web.seen(|s| {
        let codes: Vec<_> = s.submissions.iter().map(|x| (x.choice.as_str(), x.code.as_str())).collect();
        assert_eq!(codes, [("confirm", "4711")]);
    });
    let streams = capture.rtp_streams(&[media]);
    let ours = streams.iter().filter(|s| s.to_port == media).max_by_key(|s| s.packets).expect("our stream");
    assert!(ours.packets > 250 && ours.lost == 0, "{ours:?}");
    println!("tshark: {} packets, {} lost, mean jitter {} ms", ours.packets, ours.lost, ours.mean_jitter_ms);
}

/// Orders one call to a sipp that plays a scenario; its disposition.
async fn outcome(scenario: &str, extra: &str) -> Option<String> {
    let (sip, media) = (free_port(), free_port());
    let run = running(SocketAddr::from(([127, 0, 0, 1], sip)), extra).await;
    let _customer = sipp(run.dir.path(), scenario, sip, media)?;
    let body = json!({
        "to": "+15550100", "application": run.web.application(), "purpose": "transactional",
    });
    let (code, answer) = run.server.post_call("sipp-2", &body).await.expect("the API answers");
    assert_eq!(code, 202, "{answer}");
    let status = run.done(answer["id"].as_str().expect("an id"), Duration::from_secs(60)).await;
    Some(status["disposition"].as_str().unwrap_or("-").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_customer_is_busy() {
    if let Some(disposition) = outcome("busy.xml", "").await {
        assert_eq!(disposition, "busy");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_customer_did_not_answer() {
    if let Some(disposition) = outcome("silent.xml", "ring_max = \"3s\"").await {
        assert_eq!(disposition, "no_answer");
    }
}
