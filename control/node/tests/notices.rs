//! Status mails to a mail server that refuses, and digests of campaigns. Goal: three refusals silence an address until its
//! tenant lifts that; what became of a campaign's calls is one mail. Method: the notifier against a mail server of the test.
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a test of doors")]

use arc_swap::ArcSwap;
use control::order::{Disposition, Order};
use control::store::{Answer, Ask, Room};
use node::store::{Handle, Limits, Sqlite};
use node::{bounce, notify::Notifier};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use units::{CampaignId, OrderId, ServerId, TenantId, Wall};

/// What the mail server heard: a recipient that it refused, or a whole mail.
#[derive(Debug, PartialEq)]
enum Heard {
    Refused(String),
    Mail(String),
}

/// A mail server that refuses recipients that begin with `no`.
async fn mail_server() -> (std::net::SocketAddr, mpsc::UnboundedReceiver<Heard>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (heard, hears) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let heard = heard.clone();
            tokio::spawn(async move { converse(stream, heard).await });
        }
    });
    (addr, hears)
}

async fn converse(stream: tokio::net::TcpStream, heard: mpsc::UnboundedSender<Heard>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 test\r\n").await.ok()?;
    let (mut line, mut text, mut in_text) = (String::new(), String::new(), false);
    loop {
        line.clear();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if in_text && line != ".\r\n" {
            text.push_str(&line);
            continue;
        }
        let upper = line.to_ascii_uppercase();
        let answer = match () {
            () if in_text => {
                in_text = false;
                heard.send(Heard::Mail(std::mem::take(&mut text))).ok()?;
                "250 taken\r\n"
            }
            () if upper.starts_with("RCPT TO:<NO") => {
                heard.send(Heard::Refused(line.trim().to_owned())).ok()?;
                "550 5.1.1 no such person\r\n"
            }
            () if upper.starts_with("DATA") => {
                in_text = true;
                "354 go on\r\n"
            }
            () => "250 fine\r\n",
        };
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}

async fn start(addr: std::net::SocketAddr) -> Handle {
    drop(rustls::crypto::ring::default_provider().install_default());
    let store = Handle::start(Sqlite::in_memory(), None::<Sqlite>, Limits::default(), node::clock::for_store)
        .unwrap();
    let mut config = control::config::Config::default();
    config.smtp.smarthost = Some(addr.to_string());
    config.smtp.digest = control::config::Span::from_ms(1_000);
    let notifier = Notifier::new(store.clone(), Arc::new(ArcSwap::from_pointee(config))).unwrap();
    tokio::spawn(notifier.run());
    store
}

/// Accepts an order whose result goes to an address, and ends it.
async fn over(store: &Handle, n: u64, to: &str, campaign: Option<CampaignId>) {
    let json = serde_json::json!({
        "id": OrderId(u128::from(n)).to_string(), "tenant": 1, "request_id": format!("r{n}"), "origin": {"by": "campaign"},
        "to": "+12125550100", "application": {"url": "http://a/"}, "when": "now", "expires": i64::MAX / 4, "purpose": "survey",
        "results_to": [{"mail": to}],
    });
    let mut order: Order = serde_json::from_value(json).unwrap();
    order.campaign = campaign;
    let priority = order.priority;
    let (orders, due) = (vec![(order, [0; 32])], vec![Wall(0)]);
    store.ask(Ask::Accept { orders, due, room: Room::UNBOUNDED }).await.unwrap();
    let (tenant, due, owner) = (TenantId(1), Wall(i64::MAX / 4), ServerId(1));
    let claim = Ask::Claim { priority, tenant, due, max: 1, lease_ms: 60_000, owner };
    let Ok(Answer::Claimed(claimed, _)) = store.ask(claim).await else { panic!("a claim") };
    let (order, epoch) = (claimed[0].lease.order, claimed[0].lease.epoch);
    let disposition = if n.is_multiple_of(2) { Disposition::Completed } else { Disposition::NoAnswer };
    store.ask(Ask::Finish { order, epoch, disposition, decision: None, result: None }).await.unwrap();
}

async fn next(hears: &mut mpsc::UnboundedReceiver<Heard>) -> Heard {
    tokio::time::timeout(Duration::from_secs(20), hears.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn three_refusals_silence_an_address_until_it_is_lifted() {
    let (addr, mut hears) = mail_server().await;
    let store = start(addr).await;
    for n in 1..=4 {
        over(&store, n, "nobody@acme.example", None).await;
        if n < 4 {
            assert!(matches!(next(&mut hears).await, Heard::Refused(_)), "{n}");
            while bounce::of(&store, TenantId(1), "nobody@acme.example")
                .await
                .unwrap()
                .is_none_or(|b| u64::from(b.refusals) < n)
            {
                tokio::task::yield_now().await;
            }
        }
    }
    // The fourth does not get as far as the server: the next thing that it hears is another's.
    over(&store, 5, "ops@acme.example", None).await;
    assert!(matches!(next(&mut hears).await, Heard::Mail(text) if text.contains("ops@acme.example")));
    assert_eq!(bounce::silent(&store, Some(TenantId(1))).await.map(|all| all.len()), Ok(1));
    bounce::forget(&store, TenantId(1), "nobody@acme.example").await.unwrap();
    over(&store, 6, "nobody@acme.example", None).await;
    assert!(matches!(next(&mut hears).await, Heard::Refused(_)));
}

#[tokio::test]
async fn a_campaigns_calls_are_told_in_one_mail() {
    let (addr, mut hears) = mail_server().await;
    let store = start(addr).await;
    for n in 1..=5 {
        over(&store, n, "ops@acme.example", Some(CampaignId(9))).await;
    }
    let mut told = 0;
    while told < 5 {
        let Heard::Mail(text) = next(&mut hears).await else { panic!("a mail") };
        let calls = text.matches("\"request_id\":").count();
        assert!(calls >= 1 && text.contains("report-type=\"call-status\""), "{text}");
        told += calls;
    }
    assert_eq!(told, 5);
    assert!(hears.try_recv().is_err(), "and nothing more");
}
