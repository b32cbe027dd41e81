//! `carillon serve` as a child process, configured for loopback as a user would.

use crate::ports;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The tenant's API key in the demo.
pub const KEY: &str = "demo-key-for-loopback-only";
/// The secret of the tenant's webhooks in the demo.
pub const WEBHOOK_SECRET: &str = "demo-webhook-secret";

/// How a server is set up.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// The program; `None`: `carillon` beside this one.
    pub program: Option<&'a Path>,
    /// Folder for its files.
    pub dir: &'a Path,
    /// The trunk that reaches numbers beginning with +1555; with port 0 there is none, and `extra` brings one.
    pub trunk: SocketAddr,
    /// The mail server that takes status mails.
    pub mailbox: SocketAddr,
    /// Further sections of its configuration.
    pub extra: &'a str,
}

/// A running server. It is ended when dropped.
pub struct Server {
    child: Child,
    config: PathBuf,
    http: SocketAddr,
    smtp: SocketAddr,
    sip: SocketAddr,
    client: reqwest::Client,
    log: PathBuf,
}

/// The program `carillon`: the one that is named, or the one beside this.
///
/// # Errors
/// There is none.
pub fn program(named: Option<&Path>) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let program = match named {
        Some(p) => p.to_owned(),
        None => std::env::current_exe()?.with_file_name("carillon"),
    };
    if program.is_file() {
        Ok(program)
    } else {
        Err(format!("{}: not found; build it with `cargo build -p carillon`", program.display()).into())
    }
}

/// Where a server listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// HTTP.
    pub http: SocketAddr,
    /// SMTP.
    pub smtp: SocketAddr,
    /// SIP.
    pub sip: SocketAddr,
}

impl Addresses {
    /// Free ones on loopback.
    ///
    /// # Errors
    /// What the system says.
    pub fn free() -> std::io::Result<Self> {
        let one = || Ok::<_, std::io::Error>(SocketAddr::from(([127, 0, 0, 1], ports::pair()?)));
        Ok(Self { http: one()?, smtp: one()?, sip: one()? })
    }
}

impl Server {
    /// Writes a configuration into the setup's folder and starts the program.
    ///
    /// # Errors
    /// What the system says; a missing program is named.
    pub fn start(setup: &Setup<'_>) -> Result<Self, Box<dyn std::error::Error>> {
        let dir = setup.dir;
        let program = program(setup.program)?;
        let at = Addresses::free()?;
        Self::launch(&program, dir, at, &setup.text(at)?)
    }

    /// Writes this configuration, which names these addresses, into a folder and starts the program with it.
    ///
    /// # Errors
    /// What the system says.
    pub fn launch(
        program: &Path,
        dir: &Path,
        at: Addresses,
        text: &str,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        // One provider for the process; a second call finds it there.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let Addresses { http, smtp, sip } = at;
        let config = dir.join("carillon.toml");
        std::fs::write(&config, text)?;
        let log = dir.join("carillon.log");
        let sink = std::fs::File::create(&log)?;
        let child = Command::new(program)
            .args(["serve", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(sink.try_clone()?)
            .stderr(sink)
            .spawn()?;
        Ok(Self { child, config, http, smtp, sip, client: reqwest::Client::new(), log })
    }

    /// Waits until `/healthz` says so.
    ///
    /// # Errors
    /// It ended or did not come up in time; the tail of its log.
    pub async fn ready(&self, at_most: Duration) -> Result<(), Box<dyn std::error::Error>> {
        let until = Instant::now() + at_most;
        let url = format!("http://{}/healthz", self.http);
        while Instant::now() < until {
            if self.client.get(&url).send().await.is_ok_and(|r| r.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(15).collect();
        Err(format!("carillon did not come up:\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"))
            .into())
    }

    /// Its configuration file.
    #[must_use]
    pub fn config_path(&self) -> &Path {
        &self.config
    }

    /// Its log.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// Where mail is taken.
    #[must_use]
    pub fn smtp_addr(&self) -> SocketAddr {
        self.smtp
    }

    /// Where SIP is spoken (UDP).
    #[must_use]
    pub fn sip_addr(&self) -> SocketAddr {
        self.sip
    }

    /// Where HTTP is spoken.
    #[must_use]
    pub fn http_addr(&self) -> SocketAddr {
        self.http
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The status pages for people.
    #[must_use]
    pub fn status_url(&self) -> String {
        format!("http://{}/console", self.http)
    }

    /// `POST /v1/calls`.
    ///
    /// # Errors
    /// No answer, or none that is JSON.
    pub async fn post_call(&self, key: &str, body: &Value) -> Result<(u16, Value), reqwest::Error> {
        let r = self
            .client
            .post(format!("http://{}/v1/calls", self.http))
            .bearer_auth(KEY)
            .header("Idempotency-Key", key)
            .header("Content-Type", "application/json")
            .body(body.to_string())
            .send()
            .await?;
        let status = r.status().as_u16();
        Ok((status, json(&r.text().await?)))
    }

    /// `GET /v1/calls/{id}`.
    ///
    /// # Errors
    /// No answer.
    pub async fn status(&self, id: &str) -> Result<Value, reqwest::Error> {
        let url = format!("http://{}/v1/calls/{id}", self.http);
        Ok(json(&self.client.get(url).bearer_auth(KEY).send().await?.text().await?))
    }

    /// Asks it to drain, and waits for its end.
    pub async fn stop(mut self) {
        let pid = i32::try_from(self.child.id()).unwrap_or(0);
        terminate(pid);
        for _ in 0..100 {
            if self.child.try_wait().is_ok_and(|s| s.is_some()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[allow(unsafe_code, reason = "one signal to our own child")]
fn terminate(pid: i32) {
    if pid > 0 {
        // SAFETY: `pid` is a child of ours that has not been waited for.
        unsafe { libc::kill(pid, libc::SIGTERM) };
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already ended is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::String(text.to_owned()))
}

impl Setup<'_> {
    /// The configuration that [`Server::start`] writes, for who wants to change it before [`Server::launch`]; its media
    /// ports are reserved.
    ///
    /// # Errors
    /// No ports are left.
    pub fn text(&self, at: Addresses) -> std::io::Result<String> {
        // Two ports a call, for the calls that `[limits]` allows by default.
        let low = ports::range(1_000)?;
        Ok(text(self, at, [low, low + 999]))
    }
}

fn text(setup: &Setup<'_>, at: Addresses, [low, high]: [u16; 2]) -> String {
    let Addresses { http, smtp, sip } = at;
    let Setup { trunk: customer, mailbox, extra, .. } = setup;
    let dir = setup.dir.display();
    let trunk = match customer.port() {
        0 => String::new(),
        _ => format!(
            "[[trunks]]\nname = \"loopback\"\naddress = \"{customer}\"\nprefixes = [\"+1555\"]\ncaller_id = \"+15550000\"\n"
        ),
    };
    format!(
        r#"# Written by `carillon-bench demo`: everything on loopback.
[node]
name = "demo"
state = "{dir}/state"
admin_socket = "{dir}/admin.sock"
drain_max = "5s"

[sip]
listen = ["udp:{sip}", "tcp:{sip}"]

[media]
workers = 1
rtp_ports = [{low}, {high}]
recordings = "{dir}/recordings"

[limits]
calls_max = 50

[smtp]
listen = "{smtp}"
hostname = "dispatch.example"
smarthost = "{mailbox}"
from = "carillon@dispatch.example"

[http]
listen = "{http}"

[policy]
allow_prefixes = ["+1555"]
attempts_max = 1

[store]
url = "sqlite:{dir}/carillon.db"

[fetch]
plain_http = true
allow_networks = ["127.0.0.0/8"]

[[tenants]]
name = "acme"
id = 1
keys = {{ demo = "{KEY}" }}
mail_from = ["ops@acme.example"]
mail_level_min = 0
webhook_secret = "{WEBHOOK_SECRET}"

{trunk}{extra}
"#
    )
}
