//! swaks gives an order by mail; the far end is the customer; the status mail comes back.

use crate::world::running;
use bench::farend::io::{FarEnd, Sockets};
use bench::farend::world::endpoint;
use bench::farend::{Scenario, World, WorldConfig};
use std::net::SocketAddr;
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

#[tokio::test(flavor = "multi_thread")]
async fn swaks_orders_a_call_and_gets_its_status_by_mail() {
    let Some(swaks) = tool("swaks") else { return };
    let customer =
        customer("person a\n answer\n hear prompt\n press 1\n hear prompt\n press 4711\n wait hangup 30s");
    let run = running(customer.sip_addr(), "").await;
    let out = Command::new(swaks)
        .args(["--server", &run.server.smtp_addr().to_string()])
        .args(["--from", "ops@acme.example", "--to", "call+acme@dispatch.example"])
        .args(["--header", "Call-To: tel:+15550100", "--header", "Call-Purpose: transactional"])
        .args(["--header", &format!("Call-Application: {}", run.web.application())])
        .args(["--header", "Call-Result-To: mailto:ops@acme.example", "--body", "", "--timeout", "20"])
        .output()
        .expect("swaks runs");
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{said}");
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
    let out = Command::new(swaks)
        .args(["--server", &run.server.smtp_addr().to_string(), "--timeout", "20", "--body", ""])
        .args(["--from", "ops@acme.example", "--to", "call+acme@dispatch.example"])
        .args(["--header", "Call-To: tel:nobody", "--header", "Call-Purpose: transactional"])
        .args(["--header", &format!("Call-Application: {}", run.web.application())])
        .output()
        .expect("swaks runs");
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(!out.status.success() && said.contains("554 5.6.0"), "{said}");
    assert!(said.to_ascii_lowercase().contains("call-to") || said.contains("`to`"), "the field is named: {said}");
}
