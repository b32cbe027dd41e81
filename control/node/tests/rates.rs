//! How fast orders come in, measured on demand: `CARILLON_RATES=1 cargo test -p carillon --profile ci --test rates -- --nocapture`.
//! Each figure has the process's CPU time beside the wall time: on a machine that others use, only the first says
//! something. Doors and an embedded store on disk, over loopback; the client runs in the same process and is counted in.
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a test of doors")]

use control::order::form::Fields;
use control::order::{Order, Origin};
use node::http::{self, Api};
use node::intake::{Arrival, Intake};
use node::smtp::{self, Door, Prover};
use node::store::{Handle, Limits, Sqlite};
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use units::TenantId;

const CONFIG: &str = "[policy]\nallow_prefixes = [\"+1\"]\npacks = [\"us\"]\n[fetch]\nplain_http = true\n\
[[tenants]]\nname = \"acme\"\nid = 1\nkeys = { main = \"key-of-the-rates\" }\nmail_from = [\"@acme.example\"]\n\
mail_level_min = 1\napplications = [\"https://a.example/\"]\norders_rate = \"100000000/s\"\nrequests_rate = \"100000000/s\"\n\
orders_waiting_max = 4000000\nhours = \"00:00-23:59\"\n[[trunks]]\nname = \"t\"\naddress = \"127.0.0.1:9\"\nprefixes = [\"*\"]\ncaller_id = \"+15550100\"\n";

struct Clocks(Instant, f64);

/// CPU seconds of this process, all threads: fields 14 and 15 of its stat, in hundredths.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn begin() -> Clocks {
    Clocks(Instant::now(), cpu())
}

impl Clocks {
    fn told(self, what: &str, count: u32) {
        let (wall, cpu) = (self.0.elapsed().as_secs_f64(), cpu() - self.1);
        let n = f64::from(count);
        println!(
            "{what}: {count} in {wall:.2} s wall, {cpu:.2} s CPU: {:.0}/s, {:.1} us CPU each",
            n / wall,
            cpu / n * 1e6
        );
    }
}

struct House {
    intake: Arc<Intake>,
    http: std::net::SocketAddr,
    smtp: std::net::SocketAddr,
    dir: tempfile::TempDir,
    _stop: tokio::sync::watch::Sender<bool>,
}

async fn house(name_server: Option<std::net::SocketAddr>) -> House {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.db");
    let (writer, reader) = (Sqlite::open(&file).unwrap(), Sqlite::reader(&file).unwrap());
    let store = Handle::start(writer, Some(reader), Limits::default(), node::clock::for_store).unwrap();
    let config = control::config::parse("rates", CONFIG).unwrap();
    let intake = Arc::new(Intake::new(store, node::clock::now, config).unwrap());
    intake.learn().await.unwrap();
    // A door closes when nobody can tell it to any more.
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = listener.local_addr().unwrap();
    let api = Api {
        intake: intake.clone(),
        metrics: None,
        recordings: None,
        sealer: http::Sealer::new().unwrap(),
        doorman: http::Doorman::default(),
        body_bytes_max: 256 << 20,
        requests_max: 1_000,
    };
    tokio::spawn(http::serve(listener, http::router(api), stopped.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let smtp = listener.local_addr().unwrap();
    let role = control::order::smtp::Role::Smtp;
    let prover = Some(Arc::new(Prover::new(name_server)));
    let door = Door { intake: intake.clone(), role, prover, tls: None, sessions_max: 100 };
    tokio::spawn(smtp::serve(listener, door, stop.subscribe()));
    House { intake, http, smtp, dir, _stop: stop }
}

async fn post(stream: &mut TcpStream, key: &str, body: &str) {
    let head = format!(
        "POST /v1/calls HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer key-of-the-rates\r\nIdempotency-Key: {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    let mut octets = vec![0; 64 << 10];
    let whole = |said: &[u8]| {
        let end = said.windows(4).position(|w| w == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&said[..end]).to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 202"), "{head}\n{}", String::from_utf8_lossy(&said[end..]));
        let length = head.lines().find_map(|l| l.strip_prefix("content-length: "))?.parse::<usize>().ok()?;
        (said.len() >= end + 4 + length).then_some(())
    };
    while whole(&said).is_none() {
        let n = stream.read(&mut octets).await.unwrap();
        assert!(n > 0, "closed");
        said.extend_from_slice(&octets[..n]);
    }
}

fn number(n: u32) -> String {
    format!("+1212{:07}", 2_000_000 + n)
}

fn single(n: u32) -> String {
    json!({ "to": number(n), "application": "https://a.example/x.vxml", "purpose": "transactional", "at": "+2h" }).to_string()
}

async fn http_orders(house: &House) {
    let mut stream = TcpStream::connect(house.http).await.unwrap();
    let clocks = begin();
    for n in 0..300 {
        post(&mut stream, &format!("one-{n}"), &single(n)).await;
    }
    clocks.told("HTTP orders, one after the other", 300);
    let clocks = begin();
    let tasks = (0..32_u32).map(|t| {
        let addr = house.http;
        tokio::spawn(async move {
            let mut stream = TcpStream::connect(addr).await.unwrap();
            for n in 0..100_u32 {
                post(&mut stream, &format!("many-{t}-{n}"), &single(1_000 + t * 100 + n)).await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    clocks.told("HTTP orders, 32 connections", 3_200);
    let clocks = begin();
    for batch in 0..10_u32 {
        let to: Vec<String> = (0..1_000).map(|n| number(10_000 + batch * 1_000 + n)).collect();
        let body = json!({ "to": to, "application": "https://a.example/x.vxml", "purpose": "transactional", "at": "+2h" });
        post(&mut stream, &format!("batch-{batch}"), &body.to_string()).await;
    }
    clocks.told("HTTP orders, 1,000 recipients a request", 10_000);
}

async fn upload(house: &House) {
    let client = reqwest::Client::new();
    let base = format!("http://{}/v1/campaigns", house.http);
    let common = json!({ "name": "rates", "application": "https://a.example/x.vxml", "purpose": "transactional", "expires": "+3d" });
    let made = client
        .post(&base)
        .bearer_auth("key-of-the-rates")
        .header("idempotency-key", "rates")
        .header("content-type", "application/json")
        .body(common.to_string())
        .send()
        .await
        .unwrap();
    let made: serde_json::Value = serde_json::from_str(&made.text().await.unwrap()).unwrap();
    let rows = 20_000_u32;
    let mut list = String::from("to,tz,param.name\r\n");
    for n in 0..rows {
        list.push_str(&format!("{},America/New_York,Ann {n}\r\n", number(100_000 + n)));
    }
    let before = resident_kib();
    let clocks = begin();
    let url = format!("{base}/{}/contacts", made["id"].as_str().unwrap());
    let sent =
        client.put(url).bearer_auth("key-of-the-rates").header("content-type", "text/csv").body(list).send();
    let text = sent.await.unwrap().text().await.unwrap();
    clocks.told("campaign rows uploaded, judged and durable", rows);
    let done: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(done["accepted"].as_u64(), Some(u64::from(rows)), "{text}");
    let disk = std::fs::read_dir(house.dir.path())
        .unwrap()
        .flatten()
        .map(|e| e.metadata().unwrap().len())
        .sum::<u64>();
    println!(
        "waiting orders: {} octets of resident memory more each (caches of the store included), {} octets on disk each",
        (resident_kib().saturating_sub(before)) * 1_024 / u64::from(rows),
        disk / u64::from(rows + 13_500)
    );
}

fn decisions(house: &House) {
    let settings = house.intake.settings.load_full();
    let tenant = &settings.tenants[&TenantId(1)];
    let fields: Fields = serde_json::from_str(&single(1)).unwrap();
    let origin = Origin::Http { key: "k".into() };
    let arrival = Arrival { tenant: TenantId(1), origin, request_id: "r", attached: &[], campaign: None };
    let parsed = house.intake.read(&fields, arrival, node::clock::now()).unwrap();
    let order: &Order = &parsed.orders[0];
    let at = node::clock::now().wall;
    let clocks = begin();
    let count = 100_000;
    for _ in 0..count {
        std::hint::black_box(house.intake.judged(std::hint::black_box(order), tenant, &settings, at));
    }
    clocks.told("policy decisions with the US pack, one thread", count);
}

#[tokio::test(flavor = "multi_thread")]
async fn rates() {
    if std::env::var_os("CARILLON_RATES").is_none() {
        println!("SKIPPED: set CARILLON_RATES=1");
        return;
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let house = house(None).await;
    http_orders(&house).await;
    upload(&house).await;
    decisions(&house);
    mails(&house).await;
}

/// Mails with a DKIM signature by a pinned key, one after the other on one connection.
async fn mails(house: &House) {
    let signed = match signed_mails(400) {
        Some(signed) => signed,
        None => return println!("SKIPPED: no openssl to make a DKIM key with"),
    };
    let mut config = (**house.intake.config.load()).clone();
    config.tenants[0].dkim_keys.insert("s1._domainkey.acme.example".into(), signed.0);
    house.intake.take_file(&config).unwrap();
    let mut stream = TcpStream::connect(house.smtp).await.unwrap();
    let mut said = vec![0; 4_096];
    let n = stream.read(&mut said).await.unwrap();
    assert!(said[..n].starts_with(b"220"));
    let clocks = begin();
    let (mut ok, mut count) = (0_u32, 0_u32);
    for mail in &signed.1 {
        let text =
            format!("MAIL FROM:<ops@acme.example>\r\nRCPT TO:<call+acme@d.example>\r\nDATA\r\n{mail}.\r\n");
        let hello = if count == 0 { "EHLO a\r\n" } else { "" };
        stream.write_all(format!("{hello}{text}").as_bytes()).await.unwrap();
        let mut answer = String::new();
        while !answer
            .lines()
            .any(|l| l.starts_with("250 2.0.0 call_") || l.starts_with("55") || l.starts_with("451"))
        {
            let n = stream.read(&mut said).await.unwrap();
            assert!(n > 0, "closed: {answer}");
            answer.push_str(&String::from_utf8_lossy(&said[..n]));
        }
        count += 1;
        ok += u32::from(answer.contains("250 2.0.0 call_"));
        assert_eq!(ok, count, "{answer}");
    }
    clocks.told("mails with DKIM verified, one connection", count);
}

/// The key record and mails signed with it, by mail-auth's own signer.
fn signed_mails(count: u32) -> Option<(String, Vec<String>)> {
    use base64::Engine;
    use mail_auth::common::crypto::Ed25519Key;
    use mail_auth::dkim::DkimSigner;
    let seed = [9_u8; 32];
    let pkcs8: Vec<u8> =
        [&[0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20][..], &seed[..]].concat();
    let public = control::order::proof::public_key(&seed);
    let record =
        format!("v=DKIM1; k=ed25519; p={}", base64::engine::general_purpose::STANDARD.encode(public));
    let mut mails = Vec::new();
    for n in 0..count {
        let key = Ed25519Key::from_pkcs8_maybe_unchecked_der(&pkcs8).ok()?;
        let signer = DkimSigner::from_key(key).domain("acme.example").selector("s1").headers([
            "From",
            "To",
            "Subject",
            "Date",
            "Message-ID",
            "Content-Type",
            "Call-To",
            "Call-Application",
            "Call-Purpose",
        ]);
        let mail = format!(
            "From: ops@acme.example\r\nTo: call+acme@d.example\r\nSubject: s\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n\
             Message-ID: <m{n}@acme.example>\r\nContent-Type: text/plain\r\nCall-To: tel:{}\r\n\
             Call-Application: https://a.example/x.vxml\r\nCall-Purpose: transactional\r\n\r\n\r\n",
            number(500_000 + n)
        );
        let signature = signer.sign(mail.as_bytes()).ok()?;
        use mail_auth::common::headers::HeaderWriter;
        mails.push(format!("{}{mail}", signature.to_header()));
    }
    Some((record, mails))
}
