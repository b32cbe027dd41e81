//! What tests of the doors start: intake over a store in memory, HTTP and SMTP on loopback, and a client written by hand.
#![allow(dead_code, reason = "each test takes what it needs")]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a test of doors")]
#![allow(missing_docs, unreachable_pub, reason = "names say it")]

use node::http::{self, Api};
use node::intake::Intake;
use node::smtp::{self, Door};
use node::store::{Handle, Limits, Sqlite};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use units::{Mono, Now, Wall};

pub const CONFIG: &str = r#"
[policy]
allow_prefixes = ["+1"]
[fetch]
plain_http = true
[http]
operator_key = "root-of-all"
[[tenants]]
name = "acme"
id = 1
keys = { main = "secret-1" }
mail_from = ["@acme.example"]
mail_level_min = 0
[[tenants]]
name = "other"
id = 2
keys = { main = "secret-2" }
trunks = ["narrow", "nameless"]
[[trunks]]
name = "wide"
address = "127.0.0.1:5099"
prefixes = ["*"]
caller_id = "+15550100"
[[trunks]]
name = "narrow"
address = "127.0.0.1:5098"
prefixes = ["+1555"]
caller_id = "+15550100"
[[trunks]]
name = "nameless"
address = "127.0.0.1:5097"
prefixes = ["+1556"]
"#;

pub fn now() -> Now {
    Now { mono: Mono(1), wall: Wall(1_800_000_000_000) }
}

pub struct House {
    pub intake: Arc<Intake>,
    pub http: String,
    pub smtp: std::net::SocketAddr,
    pub stop: watch::Sender<bool>,
}

pub async fn house() -> House {
    house_with(None).await
}

pub async fn house_with(tls: Option<tokio_rustls::TlsAcceptor>) -> House {
    let config = control::config::parse("test", CONFIG).expect("a good configuration");
    let store =
        Handle::start(Sqlite::in_memory(), None::<Sqlite>, Limits::default(), || Box::new(now)).unwrap();
    let intake = Arc::new(Intake::new(store, now, config).unwrap());
    intake.opens(control::order::stop::StopKey::new(&[7; 32])).unwrap();
    intake.learn().await.unwrap();
    let (stop, stopped) = watch::channel(false);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = format!("http://{}", listener.local_addr().unwrap());
    let api = Api {
        intake: intake.clone(),
        metrics: None,
        recordings: None,
        sealer: http::Sealer::new().unwrap(),
        doorman: http::Doorman::default(),
        body_bytes_max: 1 << 20,
        requests_max: 100,
    };
    tokio::spawn(http::serve(listener, http::router(api), stopped.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let smtp = listener.local_addr().unwrap();
    let role = control::order::smtp::Role::Smtp;
    let door = Door { intake: intake.clone(), role, prover: None, tls, sessions_max: 10 };
    tokio::spawn(smtp::serve(listener, door, stopped));
    House { intake, http, smtp, stop }
}

pub struct Said {
    pub status: u16,
    pub json: serde_json::Value,
}

pub fn said(answer: &str) -> Said {
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, b)| b);
    Said { status, json: serde_json::from_str(body).unwrap_or(serde_json::Value::Null) }
}

impl House {
    pub async fn put(&self, path: &str, headers: &str, body: &str) -> Said {
        said(&self.raw("PUT", path, "secret-1", headers, body).await)
    }

    pub async fn ask(&self, method: &str, path: &str, key: &str, headers: &str, body: &str) -> Said {
        let headers = format!("Content-Type: application/json\r\n{headers}");
        said(&self.raw(method, path, key, &headers, body).await)
    }

    /// One request, written by hand so that the test needs no client.
    pub async fn raw(&self, method: &str, path: &str, key: &str, headers: &str, body: &str) -> String {
        let addr = self.http.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let text = format!(
            "{method} {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n\
             Content-Length: {}\r\n{headers}\r\n{body}",
            body.len()
        );
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(Duration::from_secs(60), stream.read_to_string(&mut answer))
            .await
            .unwrap()
            .unwrap();
        answer
    }

    pub async fn order(&self, id: &str, body: &str) -> Said {
        self.ask("POST", "/v1/calls", "secret-1", &format!("Idempotency-Key: {id}\r\n"), body).await
    }

    pub async fn mail(&self, conversation: &str) -> String {
        let mut stream = TcpStream::connect(self.smtp).await.unwrap();
        stream.write_all(conversation.as_bytes()).await.unwrap();
        let mut said = String::new();
        tokio::time::timeout(Duration::from_secs(60), stream.read_to_string(&mut said))
            .await
            .unwrap()
            .unwrap();
        said
    }
}

pub const GOOD: &str =
    r#"{"to":"+12125551234","application":"https://a.example/x.vxml","purpose":"transactional"}"#;
