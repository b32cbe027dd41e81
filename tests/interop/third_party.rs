//! swaks gives an order by mail; the far end is the customer; the status mail comes back.

use crate::world::{Running, running};
use bench::farend::io::{FarEnd, Sockets};
use bench::farend::world::endpoint;
use bench::farend::{Scenario, World, WorldConfig};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use support::repo::tool;
use units::Seed;

/// A customer who confirms with a code.
pub(crate) fn customer(scenario: &str) -> FarEnd {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let sockets = Sockets::bind(any, any).expect("loopback");
    let config = WorldConfig {
        sip: sockets.sip_addr().expect("bound"),
        rtp: sockets.rtp_addr().expect("bound"),
        scenario: Arc::new(Scenario::parse(scenario, &|_| None).expect("valid")),
        keep_audio: true,
        quiet_ms: 900,
        seed: Seed(1),
    };
    FarEnd::start(sockets, World::new(config.clone(), endpoint(&config))).expect("a thread")
}

/// Gives an order in the header form by swaks; whether it was taken, and the whole conversation.
fn give(swaks: &Path, run: &Running, to: &str) -> (bool, String) {
    let mail = format!(
        "From: ops@acme.example\nTo: call+acme@dispatch.example\nSubject: delivery\n\
         Date: Mon, 02 Mar 2026 15:00:00 +0000\nMessage-ID: <swaks.1@acme.example>\nCall-To: {to}\n\
         Call-Application: {}\nCall-Purpose: transactional\nCall-Result-To: mailto:ops@acme.example\n\n\n",
        run.web.application()
    );
    let file = run.dir.path().join("order.eml");
    std::fs::write(&file, mail).expect("a file");
    let out = Command::new("timeout")
        .arg("40")
        .arg(swaks)
        .args(["--server", &run.server.smtp_addr().to_string(), "--timeout", "20"])
        .args(["--from", "ops@acme.example", "--to", "call+acme@dispatch.example"])
        .args(["--data", &format!("@{}", file.display())])
        .output()
        .expect("swaks runs");
    (out.status.success(), String::from_utf8_lossy(&out.stdout).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn swaks_orders_a_call_and_gets_its_status_by_mail() {
    let Some(swaks) = tool("swaks") else { return };
    let customer =
        customer("person a\n answer\n hear prompt\n press 1\n hear prompt\n press 4711\n wait hangup 30s");
    let run = running(customer.sip_addr(), "").await;
    let (accepted, said) = give(&swaks, &run, "tel:+15550100");
    assert!(accepted, "{said}");
    let id = said.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').find(|w| w.starts_with("call_"));
    let id = id.unwrap_or_else(|| panic!("no id in\n{said}"));
    let status = run.done(id, Duration::from_secs(60)).await;
    assert_eq!(status["disposition"], "completed", "{status}");
    assert!(customer.next_log(Duration::from_secs(5)).is_some_and(|l| l.complete));
    let arrived = tokio::time::timeout(Duration::from_secs(20), async {
        while run.mailbox.mails().is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    arrived.await.expect("a status mail");
    let mail = &run.mailbox.mails()[0];
    assert!(mail.text.contains("completed") && mail.from.is_empty(), "{}", mail.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_order_is_refused_at_the_end_of_data_with_the_field() {
    let Some(swaks) = tool("swaks") else { return };
    let run = running(SocketAddr::from(([127, 0, 0, 1], 9)), "").await;
    let (accepted, said) = give(&swaks, &run, "tel:nobody");
    assert!(!accepted && said.contains("554 5.6.0"), "{said}");
    assert!(
        said.to_ascii_lowercase().contains("call-to") || said.contains("`to`"),
        "the field is named: {said}"
    );
}
