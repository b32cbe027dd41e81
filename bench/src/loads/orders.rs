//! `carillon-bench orders`: how many orders a server takes in durably, over HTTP or by mail, and how long each waits for
//! its `202` or `250`.

use crate::load::{ProcessUse, Watch, process_use, quantiles, server_use};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// An answer is waited for so long.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Statuses told apart.
const STATUSES_MAX: usize = 50;

/// `carillon-bench orders`.
#[derive(Clone, Debug, clap::Args)]
pub struct OrdersOptions {
    /// The API, e.g. `http://127.0.0.1:8080`; needs --key.
    #[arg(long, required_unless_present = "smtp", requires = "key")]
    pub http: Option<String>,
    /// API key.
    #[arg(long)]
    pub key: Option<String>,
    /// The mail server instead, e.g. `127.0.0.1:2525`.
    #[arg(long, conflicts_with = "http")]
    pub smtp: Option<SocketAddr>,
    /// Sender of the mails.
    #[arg(long, default_value = "ops@acme.example")]
    pub mail_from: String,
    /// Where the mails go.
    #[arg(long, default_value = "call+acme@dispatch.example")]
    pub mail_to: String,
    /// Number called; an `n` in braces becomes the order's number, six digits.
    #[arg(long, default_value = "+1555{n}")]
    pub to: String,
    /// Application of the orders.
    #[arg(long, default_value = "http://127.0.0.1:8090/app.vxml")]
    pub application: String,
    /// When they are to be called: `+1h` keeps dispatch out of the measurement.
    #[arg(long, default_value = "+1h")]
    pub at: String,
    /// Connections at a time.
    #[arg(long, default_value_t = 32)]
    pub connections: u32,
    /// Orders in all.
    #[arg(long, default_value_t = 10_000)]
    pub orders: u64,
    /// Orders a second, at most; 0: as fast as they are taken.
    #[arg(long, default_value_t = 0.0)]
    pub rate: f64,
    /// Process to measure beside.
    #[arg(long)]
    pub server_pid: Option<u32>,
    /// Write the result here as JSON.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Write a page here.
    #[arg(long)]
    pub html: Option<PathBuf>,
}

/// What one connection found.
struct Found {
    latency_us: Histogram<u64>,
    accepted: Vec<(u64, Instant)>,
    answers: BTreeMap<String, u64>,
}

/// What came of it.
pub struct Given {
    /// The result that is published.
    pub result: Value,
    /// Every order was accepted.
    pub all: bool,
    /// The number that each accepted order calls, and when its acceptance was read.
    pub accepted: Vec<(String, Instant)>,
}

/// What all share.
struct Shared {
    options: OrdersOptions,
    next: AtomicU64,
    stop: AtomicBool,
    begun: Instant,
    run: u64,
}

/// Gives the orders; true: every one was accepted.
///
/// # Errors
/// The server is not there at all, or the result cannot be written.
pub async fn orders(options: OrdersOptions) -> Result<bool, Box<dyn std::error::Error>> {
    let (json, html) = (options.json.clone(), options.html.clone());
    let Given { result, all, .. } = give(options).await?;
    let text = serde_json::to_string_pretty(&result)?;
    if let Some(path) = &json {
        std::fs::write(path, &text).map_err(|e| format!("--json {}: {e}", path.display()))?;
    }
    if let Some(path) = &html {
        let page = crate::report::page(&result);
        std::fs::write(path, page).map_err(|e| format!("--html {}: {e}", path.display()))?;
    }
    crate::say!("{text}");
    Ok(all)
}

/// Gives the orders.
///
/// # Errors
/// The server is not there at all.
pub async fn give(options: OrdersOptions) -> Result<Given, Box<dyn std::error::Error>> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    if let Some(smtp) = options.smtp {
        TcpStream::connect(smtp).await.map_err(|e| format!("--smtp {smtp}: {e}"))?;
    }
    let watch = options.server_pid;
    if let Some(pid) = watch {
        Watch::Pid(pid)
            .look()
            .await
            .ok_or_else(|| format!("--server-pid {pid}: there is no such process"))?;
    }
    let before = watch.and_then(process_use);
    // A later run is not to be taken for a repetition of an earlier one's orders.
    let run = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(0));
    let (connections, wanted) = (options.connections.max(1), options.orders);
    let by = if options.smtp.is_some() { "smtp" } else { "http" };
    let shared = Arc::new(Shared {
        options,
        next: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        begun: Instant::now(),
        run,
    });
    let set = shared.clone();
    let stopper = tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        set.stop.store(true, Ordering::Relaxed);
    });
    let tasks: Vec<_> = (0..connections).map(|_| tokio::spawn(connection(shared.clone()))).collect();
    let mut latency = Histogram::<u64>::new(3)?;
    let mut answers: BTreeMap<String, u64> = BTreeMap::new();
    let mut times = Vec::new();
    for task in tasks {
        let found = task.await?;
        latency.add(&found.latency_us)?;
        times.extend(found.accepted.into_iter().map(|(n, at)| (shared.number(n), at)));
        for (answer, n) in found.answers {
            *answers.entry(answer).or_default() += n;
        }
    }
    stopper.abort();
    let took = shared.begun.elapsed();
    let accepted = answers.get("accepted").copied().unwrap_or(0);
    if accepted == 0 && answers.keys().any(|k| k.starts_with("no answer")) {
        return Err(
            format!("nobody takes orders there: {}", answers.keys().next().unwrap_or(&by.into())).into()
        );
    }
    let after = watch.and_then(process_use);
    let result = result(by, run, took, &latency, &answers, before.zip(after));
    Ok(Given { result, all: accepted == wanted, accepted: times })
}

fn result(
    by: &str,
    run: u64,
    took: Duration,
    latency: &Histogram<u64>,
    answers: &BTreeMap<String, u64>,
    used: Option<(ProcessUse, ProcessUse)>,
) -> Value {
    let accepted = answers.get("accepted").copied().unwrap_or(0);
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let rate = accepted as f64 / took.as_secs_f64().max(1e-9);
    json!({
        "tool": concat!("carillon-bench ", env!("CARGO_PKG_VERSION")), "kind": "orders", "by": by,
        "command": crate::load::command(), "seed": run, "machine": crate::load::Machine::here(),
        "seconds": took.as_secs_f64(), "accepted": accepted, "accepted_a_second": rate.round(),
        "refused": answers.iter().filter(|(k, _)| *k != "accepted").collect::<BTreeMap<_, _>>(),
        "latency_us": quantiles(latency),
        "server": used.map(|(a, b)| server_use(&a, &b, took, 0)),
    })
}

impl Shared {
    /// The next order's number, when it is due; `None`: enough.
    async fn next(&self) -> Option<u64> {
        let n = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        if n > self.options.orders || self.stop.load(Ordering::Relaxed) {
            return None;
        }
        if self.options.rate > 0.0 {
            #[expect(clippy::cast_precision_loss, reason = "orders are counted in millions")]
            let due = Duration::from_secs_f64((n - 1) as f64 / self.options.rate);
            tokio::time::sleep_until((self.begun + due).into()).await;
        }
        Some(n)
    }

    fn number(&self, n: u64) -> String {
        self.options.to.replace("{n}", &format!("{:06}", n % 1_000_000))
    }
}

async fn connection(shared: Arc<Shared>) -> Found {
    let mut found = Found {
        latency_us: Histogram::new(3).expect("three digits are a valid precision"),
        answers: BTreeMap::new(),
        accepted: Vec::new(),
    };
    let client = reqwest::Client::new();
    let mut smtp: Option<Smtp> = None;
    while let Some(n) = shared.next().await {
        let begun = Instant::now();
        let answer = match shared.options.smtp {
            Some(at) => tokio::time::timeout(ANSWER_MAX, by_mail(&shared, &mut smtp, at, n)).await,
            None => tokio::time::timeout(ANSWER_MAX, by_http(&shared, &client, n)).await,
        };
        let answer = answer.unwrap_or_else(|_| "no answer in 30 s".into());
        if answer == "accepted" {
            found.accepted.push((n, Instant::now()));
            let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
            // An auto-resizing histogram takes any value.
            let _ = found.latency_us.record(took);
        } else {
            smtp = None;
        }
        if found.answers.len() < STATUSES_MAX || found.answers.contains_key(&answer) {
            *found.answers.entry(answer).or_default() += 1;
        }
    }
    found
}

/// A text with every word of digits behind the first word as `N`, so that refusals for one reason count as one.
fn counted(text: &str) -> String {
    let number = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    let words = text.split(' ').enumerate();
    let words: Vec<&str> = words.map(|(i, word)| if i > 0 && number(word) { "N" } else { word }).collect();
    words.join(" ")
}

async fn by_http(shared: &Shared, client: &reqwest::Client, n: u64) -> String {
    let o = &shared.options;
    let mut body =
        json!({ "to": shared.number(n), "application": o.application, "purpose": "transactional" });
    if !o.at.is_empty() {
        body["at"] = json!(o.at);
    }
    let sent = client
        .post(format!("{}/v1/calls", o.http.as_deref().unwrap_or_default().trim_end_matches('/')))
        .bearer_auth(o.key.as_deref().unwrap_or_default())
        .header("Idempotency-Key", format!("bench-{}-{n}", shared.run))
        .header("Content-Type", "application/json")
        .body(body.to_string())
        .send()
        .await;
    match sent {
        Ok(r) if r.status() == 202 => {
            // The body belongs to the answer.
            if r.bytes().await.is_ok() { "accepted".into() } else { "a broken answer".into() }
        }
        Ok(r) => {
            let status = r.status().as_u16();
            let text: String = r.text().await.unwrap_or_default().chars().take(120).collect();
            counted(&format!("{status} {text}"))
        }
        Err(e) if e.is_connect() => "no answer: connection refused".into(),
        Err(_) => "no answer".into(),
    }
}

/// A session with a mail server.
struct Smtp {
    stream: BufReader<TcpStream>,
    line: String,
}

impl Smtp {
    async fn open(at: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(at).await?;
        stream.set_nodelay(true)?;
        let mut s = Self { stream: BufReader::new(stream), line: String::new() };
        s.expect(b'2').await?;
        s.say("EHLO bench.example\r\n", b'2').await?;
        Ok(s)
    }

    /// Reads one answer, all its lines (RFC 5321 §4.2.1); an error if its class is another.
    async fn expect(&mut self, class: u8) -> std::io::Result<()> {
        loop {
            self.line.clear();
            if self.stream.read_line(&mut self.line).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if self.line.as_bytes().get(3) != Some(&b'-') {
                let well = self.line.as_bytes().first() == Some(&class);
                let text = || self.line.trim().chars().take(80).collect::<String>();
                return if well { Ok(()) } else { Err(std::io::Error::other(text())) };
            }
        }
    }

    async fn say(&mut self, text: &str, class: u8) -> std::io::Result<()> {
        self.stream.get_mut().write_all(text.as_bytes()).await?;
        self.expect(class).await
    }
}

async fn by_mail(shared: &Shared, smtp: &mut Option<Smtp>, at: SocketAddr, n: u64) -> String {
    match mail(shared, smtp, at, n).await {
        Ok(()) => "accepted".into(),
        // What the server answered and was not hoped for.
        Err(e) if e.kind() == std::io::ErrorKind::Other => counted(&e.to_string()),
        Err(e) => format!("no answer: {e}"),
    }
}

async fn mail(shared: &Shared, smtp: &mut Option<Smtp>, at: SocketAddr, n: u64) -> std::io::Result<()> {
    let o = &shared.options;
    if smtp.is_none() {
        *smtp = Some(Smtp::open(at).await?);
    }
    let s = smtp.as_mut().expect("opened above");
    s.say(&format!("MAIL FROM:<{}>\r\n", o.mail_from), b'2').await?;
    s.say(&format!("RCPT TO:<{}>\r\n", o.mail_to), b'2').await?;
    s.say("DATA\r\n", b'3').await?;
    let time = if o.at.is_empty() { String::new() } else { format!("Call-At: {}\r\n", o.at) };
    let text = format!(
        "From: <{}>\r\nTo: <{}>\r\nSubject: order {n}\r\nMessage-ID: <bench.{}.{n}@bench.example>\r\n\
         Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nCall-To: tel:{}\r\nCall-Application: {}\r\n\
         Call-Purpose: transactional\r\n{time}\r\n.\r\n",
        o.mail_from,
        o.mail_to,
        shared.run,
        shared.number(n),
        o.application
    );
    s.say(&text, b'2').await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_for_one_reason_are_one() {
        assert_eq!(
            counted("451 4.7.0 Too fast, try again in 88 ms"),
            "451 4.7.0 Too fast, try again in N ms"
        );
        assert_eq!(counted("no answer"), "no answer");
    }
}
