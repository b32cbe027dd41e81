//! What each test starts: PostgreSQL, NATS, a web server, the customer, and the processes of a cluster.

use crate::customer::{CONTACT, Customer};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use support::infra::{Nats, Postgres};
use support::peers::{Peer, free_port, free_ports, ours};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// One process of the cluster: its configuration stays, its life does not.
pub(crate) struct Process {
    pub(crate) name: String,
    role: &'static str,
    config: PathBuf,
    pub(crate) http: SocketAddr,
    pub(crate) sip: SocketAddr,
    pub(crate) peer: Option<Peer>,
    lives: u32,
}

/// All of it.
pub(crate) struct Cluster {
    pub(crate) postgres: Postgres,
    pub(crate) nats: Nats,
    pub(crate) customer: Customer,
    pub(crate) processes: Vec<Process>,
    pub(crate) client: reqwest::Client,
    pub(crate) document: String,
    pub(crate) accepted: Accepted,
    pub(crate) dir: tempfile::TempDir,
}

/// Orders that were answered 202: number to id, and when the first answer came.
pub(crate) type Accepted = Arc<Mutex<BTreeMap<String, (String, Instant)>>>;

pub(crate) const KEY: &str = "chaos-key";

/// Talks for two seconds, then ends by itself.
const DOCUMENT: &str = r#"<?xml version="1.0"?><vxml version="2.1" xmlns="http://www.w3.org/2001/vxml"><form>
<property name="timeout" value="2s"/><field name="key" type="digits?length=1"><noinput><exit/></noinput></field></form></vxml>"#;

impl Cluster {
    /// `None` with a word why, if the machine lacks something.
    pub(crate) async fn start(control: usize, media: usize) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let postgres = Postgres::start(dir.path())?;
        let nats = Nats::start(dir.path())?;
        let customer = Customer::start();
        let _ = CONTACT.set(customer.addr().to_string());
        let document = web().await;
        let roles = std::iter::repeat_n("control", control).chain(std::iter::repeat_n("media", media));
        let mut processes = Vec::new();
        for (n, role) in roles.enumerate() {
            processes.push(Process::new(n, role, &dir, &postgres, &nats, customer.addr()));
        }
        let migrated =
            Command::new(ours("carillon")).args(["migrate", "--config"]).arg(&processes[0].config).output();
        let migrated = migrated.expect("carillon starts");
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        processes.iter_mut().for_each(|p| p.boot(&dir));
        // One provider for the process; a second call finds it there.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().expect("a client");
        let cluster =
            Self { postgres, nats, customer, processes, client, document, accepted: Arc::default(), dir };
        for process in &cluster.processes {
            cluster.ready(process).await;
        }
        Some(cluster)
    }

    async fn ready(&self, process: &Process) {
        let end = Instant::now() + Duration::from_secs(60);
        let url = format!("http://{}/healthz", process.http);
        while !self.client.get(&url).send().await.is_ok_and(|r| r.status().is_success()) {
            assert!(Instant::now() < end, "{} does not come up:\n{}", process.name, process.log(&self.dir));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) fn boot(&mut self, n: usize) {
        let (process, dir) = (&mut self.processes[n], &self.dir);
        process.boot(dir);
    }

    /// What orders with, from other tasks too.
    pub(crate) fn orderer(&self) -> Orderer {
        let doors = self.processes.iter().filter(|p| p.role == "control").map(|p| p.http).collect();
        Orderer {
            client: self.client.clone(),
            doors,
            document: self.document.clone(),
            accepted: Arc::clone(&self.accepted),
        }
    }

    /// An order's status, from whichever control node answers.
    pub(crate) async fn status(&self, id: &str) -> Option<Value> {
        for process in self.processes.iter().filter(|p| p.role == "control") {
            let url = format!("http://{}/v1/calls/{id}", process.http);
            if let Ok(answer) = self.client.get(url).bearer_auth(KEY).send().await
                && answer.status().is_success()
            {
                return serde_json::from_str(&answer.text().await.ok()?).ok();
            }
        }
        None
    }

    /// Waits until every accepted order is over; how each ended, by number.
    pub(crate) async fn all_over(&self, at_most: Duration) -> BTreeMap<String, String> {
        let end = Instant::now() + at_most;
        let mut over = BTreeMap::new();
        let accepted = lock(&self.accepted).clone();
        for (number, (id, _)) in accepted {
            loop {
                let status = self.status(&id).await.unwrap_or(Value::Null);
                if status["state"] == "done" {
                    over.insert(number, status["disposition"].as_str().unwrap_or("-").to_owned());
                    break;
                }
                let logs: String = self.processes.iter().map(|p| p.log(&self.dir)).collect();
                assert!(Instant::now() < end, "lost: order {id} to {number} is not over: {status}\n{logs}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        over
    }
}

pub(crate) fn lock(accepted: &Accepted) -> std::sync::MutexGuard<'_, BTreeMap<String, (String, Instant)>> {
    accepted.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A third party that repeats itself until it is answered.
#[derive(Clone)]
pub(crate) struct Orderer {
    client: reqwest::Client,
    doors: Vec<SocketAddr>,
    document: String,
    accepted: Accepted,
}

impl Orderer {
    /// One try at one door; the status, and the id if it is 202.
    pub(crate) async fn try_once(&self, door: usize, n: u32) -> Option<(u16, Option<String>)> {
        let number = number(n);
        let body = json!({ "to": number, "application": self.document, "purpose": "transactional" });
        let answer = self
            .client
            .post(format!("http://{}/v1/calls", self.doors[door % self.doors.len()]))
            .bearer_auth(KEY)
            .header("Idempotency-Key", format!("chaos-{n}"))
            .header("Content-Type", "application/json")
            .body(body.to_string())
            .send()
            .await
            .ok()?;
        let code = answer.status().as_u16();
        let value: Value = serde_json::from_str(&answer.text().await.ok()?).unwrap_or(Value::Null);
        let id = value["id"].as_str().filter(|_| code == 202).map(str::to_owned);
        if let Some(id) = &id {
            let mut accepted = lock(&self.accepted);
            let first = &accepted.entry(number).or_insert_with(|| (id.clone(), Instant::now())).0;
            assert_eq!(first, id, "one key, two orders");
        }
        Some((code, id))
    }

    /// Until it is taken.
    pub(crate) async fn order(&self, n: u32) {
        for turn in 0..600 {
            let door = usize::try_from(n).expect("small") + turn;
            if matches!(self.try_once(door, n).await, Some((_, Some(_)))) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("order {n} was never taken");
    }
}

pub(crate) fn number(n: u32) -> String {
    format!("+1555{n:07}")
}

impl Process {
    fn new(
        n: usize,
        role: &'static str,
        dir: &tempfile::TempDir,
        postgres: &Postgres,
        nats: &Nats,
        customer: SocketAddr,
    ) -> Self {
        let name = format!("{role}-{n}");
        let http = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let sip = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let config = dir.path().join(format!("{name}.toml"));
        let low = free_ports(500);
        let own = dir.path().join(&name);
        let own = own.display();
        let text = format!(
            r#"
[node]
name = "{name}"
state = "{own}"
admin_socket = "{own}/admin.sock"
drain_max = "30s"
[sip]
listen = ["udp:{sip}"]
[media]
workers = 1
realtime = false
backend = "plain"
rtp_ports = [{low}, {high}]
recordings = "{own}/recordings"
[http]
listen = "{http}"
[policy]
attempts_max = 1
permit_max = "5s"
[store]
url = "{store}"
lease = "20s"
[cluster]
nats = "{nats}"
secret = "only for loopback, only for tests"
[fetch]
plain_http = true
allow_networks = ["127.0.0.0/8"]
[speech]
workers = 0
[limits]
calls_max = 100
[[tenants]]
name = "acme"
id = 1
keys = {{ chaos = "{KEY}" }}
orders_rate = "10000/s"
orders_waiting_max = 1000000
[[trunks]]
name = "loopback"
address = "{customer}"
prefixes = ["+"]
caller_id = "+15550000"
"#,
            high = low + 499,
            store = postgres.url(),
            nats = nats.url(),
        );
        std::fs::write(&config, text).expect("the test's folder");
        Self { name, role, config, http, sip, peer: None, lives: 0 }
    }

    fn boot(&mut self, dir: &tempfile::TempDir) {
        self.lives += 1;
        let mut command = Command::new(ours("carillon"));
        command.args([self.role, "--config"]).arg(&self.config);
        let log = format!("{}.{}", self.name, self.lives);
        self.peer = Some(Peer::start(dir.path(), &log, &mut command));
    }

    pub(crate) fn kill(&mut self) {
        if let Some(peer) = self.peer.take() {
            peer.kill();
        }
    }

    pub(crate) fn is_media(&self) -> bool {
        self.role == "media"
    }

    /// The command line against it.
    pub(crate) fn show(&self, dir: &tempfile::TempDir, what: &str) -> Value {
        let socket = dir.path().join(&self.name).join("admin.sock");
        let out = Command::new(ours("carillon"))
            .args(["show", what, "-o", "json", "--socket"])
            .arg(socket)
            .output()
            .expect("carillon starts");
        serde_json::from_slice(&out.stdout).unwrap_or(Value::Null)
    }

    /// The end of its last log.
    pub(crate) fn log(&self, dir: &tempfile::TempDir) -> String {
        let path = dir.path().join(format!("{}.{}.log", self.name, self.lives));
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let tail: Vec<&str> = text.lines().rev().take(12).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        format!("--- {}\n{}\n", self.name, tail.join("\n"))
    }
}

/// A web server with one document; its URL.
async fn web() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let url = format!("http://{}/talk.vxml", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut octets = [0; 8_192];
                // One request a connection is enough here.
                let _ = stream.read(&mut octets).await;
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/voicexml+xml\r\nConnection: close\r\n\
                     Cache-Control: max-age=3600\r\nContent-Length: {}\r\n\r\n{DOCUMENT}",
                    DOCUMENT.len()
                );
                let _ = stream.write_all(head.as_bytes()).await;
            });
        }
    });
    url
}
