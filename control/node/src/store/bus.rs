//! The bus between roles: in-process, and NATS core for a cluster. Saying never waits, and what cannot be said is lost
//! and counted: whatever matters is in the store.
//!
//! Beside words to everybody there are errands to one server, each with an answer. Where no bus reaches the server, an
//! errand goes through the store ([`crate::cluster`]).

use control::bus::{Done, Errand, WORD_BYTES_MAX, Word, errands_of};
use futures::StreamExt;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, oneshot};
use units::ServerId;

/// Words that may wait for a listener or for the wire.
const WAITING_MAX: usize = 4_096;

/// An answer to an errand comes within this, or the asker does not wait for it.
pub const ERRAND_MAX: Duration = Duration::from_millis(800);
/// Octets of an errand; a journalled dialog may be long.
const ERRAND_BYTES_MAX: usize = 16 * WORD_BYTES_MAX;
/// Errands that wait to be looked at.
const ERRANDS_MAX: usize = 1_024;

/// What became of an errand on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It was answered.
    Done(Done),
    /// It went out, and nobody knows what became of it.
    Silent,
    /// It did not go out: there is no bus, or nobody listens.
    Absent,
}

/// An errand that came in, and the way of its answer; unanswered if dropped.
pub type Asking = (Errand, oneshot::Sender<Done>);

/// A bus.
pub trait Bus: Send + Sync {
    /// Asks one server.
    fn ask(&self, server: ServerId, errand: &Errand) -> BoxFuture<'static, Asked>;
    /// Takes the errands of one server from now on.
    fn errands(&self, server: ServerId) -> mpsc::Receiver<Asking>;

    /// Says a word to everybody, oneself included. Never waits.
    fn say(&self, word: &Word);
    /// Hears every word from now on. A listener that is too slow misses some.
    fn hear(&self) -> broadcast::Receiver<Word>;
    /// Words that could not be said.
    fn lost(&self) -> u64;
}

/// The bus inside one process.
#[derive(Debug)]
pub struct Local {
    words: broadcast::Sender<Word>,
}

impl Default for Local {
    fn default() -> Self {
        Self { words: broadcast::channel(WAITING_MAX).0 }
    }
}

impl Bus for Local {
    fn ask(&self, _server: ServerId, _errand: &Errand) -> BoxFuture<'static, Asked> {
        Box::pin(std::future::ready(Asked::Absent))
    }

    fn errands(&self, _server: ServerId) -> mpsc::Receiver<Asking> {
        mpsc::channel(1).1
    }

    fn say(&self, word: &Word) {
        // Nobody listening is no loss.
        let _ = self.words.send(word.clone());
    }

    fn hear(&self) -> broadcast::Receiver<Word> {
        self.words.subscribe()
    }

    fn lost(&self) -> u64 {
        0
    }
}

/// The bus over NATS core. Connects by itself, again and again; until then words reach this process only.
#[derive(Debug)]
pub struct Nats {
    client: async_nats::Client,
    words: broadcast::Sender<Word>,
    out: mpsc::Sender<Word>,
    lost: Arc<AtomicU64>,
}

/// NATS cannot be used as configured.
#[derive(Debug, thiserror::Error)]
#[error("NATS: {0}")]
pub struct BadNats(String);

impl Nats {
    /// Starts on the running tokio runtime; `url` as `nats://host:port`.
    ///
    /// # Errors
    /// [`BadNats`] if the URL is none. A server that does not answer yet is no error.
    pub async fn start(url: &str) -> Result<Self, BadNats> {
        let options = async_nats::ConnectOptions::new()
            .name("carillon")
            .no_echo()
            .retry_on_initial_connect()
            .ping_interval(Duration::from_secs(2));
        let client = options.connect(url).await.map_err(|e| BadNats(e.to_string()))?;
        let heard = client.subscribe("carillon.>").await.map_err(|e| BadNats(e.to_string()))?;
        let (words, (out, mut waiting)) =
            (broadcast::channel(WAITING_MAX).0, mpsc::channel::<Word>(WAITING_MAX));
        let lost = Arc::new(AtomicU64::new(0));
        let (here, counted, own) = (words.clone(), lost.clone(), client.clone());
        tokio::spawn(async move {
            while let Some(word) = waiting.recv().await {
                if client.publish(word.subject(), word.encode().into()).await.is_err() {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        tokio::spawn(async move {
            let mut heard = heard;
            while let Some(message) = heard.next().await {
                if let Some(word) = Word::decode(&message.payload) {
                    let _ = here.send(word);
                }
            }
        });
        Ok(Self { client: own, words, out, lost })
    }
}

impl Bus for Nats {
    fn ask(&self, server: ServerId, errand: &Errand) -> BoxFuture<'static, Asked> {
        // What is sent while there is no connection would wait and come late.
        if self.client.connection_state() != async_nats::connection::State::Connected {
            return Box::pin(std::future::ready(Asked::Absent));
        }
        let (client, octets) = (self.client.clone(), serde_json::to_vec(errand).unwrap_or_default());
        Box::pin(async move {
            let request = async_nats::Request::new().payload(octets.into()).timeout(Some(ERRAND_MAX));
            match client.send_request(errands_of(server), request).await {
                Ok(message) => serde_json::from_slice(&message.payload).map_or(Asked::Silent, Asked::Done),
                Err(error) if error.kind() == async_nats::RequestErrorKind::NoResponders => Asked::Absent,
                Err(_) => Asked::Silent,
            }
        })
    }

    fn errands(&self, server: ServerId) -> mpsc::Receiver<Asking> {
        let (out, taken) = mpsc::channel(ERRANDS_MAX);
        let client = self.client.clone();
        tokio::spawn(async move {
            let mut heard = match client.subscribe(errands_of(server)).await {
                Ok(heard) => heard,
                Err(error) => return tracing::error!(%error, "no errands are taken from the bus"),
            };
            while let Some(message) = heard.next().await {
                let errand = (message.payload.len() <= ERRAND_BYTES_MAX)
                    .then(|| serde_json::from_slice(&message.payload).ok())
                    .flatten();
                let (Some(errand), Some(back)) = (errand, message.reply) else { continue };
                let (answer, waits) = oneshot::channel();
                if out.try_send((errand, answer)).is_err() {
                    continue;
                }
                let client = client.clone();
                tokio::spawn(async move {
                    let Ok(done) = waits.await else { return };
                    let octets = serde_json::to_vec(&done).unwrap_or_default();
                    // Who asked takes silence for doubt.
                    drop(client.publish(back, octets.into()).await);
                });
            }
        });
        taken
    }

    fn say(&self, word: &Word) {
        let _ = self.words.send(word.clone());
        if self.out.try_send(word.clone()).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn hear(&self) -> broadcast::Receiver<Word> {
        self.words.subscribe()
    }

    fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::process::{Command, Stdio};
    use units::OrderId;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
    }

    #[test]
    fn words_in_one_process_reach_every_listener() {
        runtime().block_on(async {
            let bus = Local::default();
            let (mut a, mut b) = (bus.hear(), bus.hear());
            let word = Word::Cancel { order: OrderId(7) };
            bus.say(&word);
            assert_eq!((a.recv().await.ok(), b.recv().await.ok()), (Some(word.clone()), Some(word)));
        });
    }

    /// Goal: two processes' buses over a real server hear each other, and each hears its own word once.
    #[test]
    fn words_cross_nats_and_come_once() {
        const SERVER: &str = "/usr/sbin/nats-server";
        if !std::path::Path::new(SERVER).exists() {
            println!("SKIPPED: nats-server is not installed");
            return;
        }
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let mut server = Command::new(SERVER)
            .args(["-a", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let heard = runtime().block_on(async {
            let url = format!("nats://127.0.0.1:{port}");
            let (one, two) =
                (Nats::start(&url).await.expect("a URL"), Nats::start(&url).await.expect("a URL"));
            let (mut own, mut other) = (one.hear(), two.hear());
            let mut n = 0;
            // Until the connection stands, words are lost by design: say until one is heard.
            let first = loop {
                n += 1;
                one.say(&Word::Cancel { order: OrderId(n) });
                if let Ok(Ok(word)) = tokio::time::timeout(Duration::from_millis(100), other.recv()).await {
                    break word;
                }
                assert!(n < 200, "it comes up");
            };
            let mut mine: u128 = 0;
            while own.try_recv().is_ok() {
                mine += 1;
            }
            (first, mine, n)
        });
        server.kill().expect("it ends");
        server.wait().expect("it ended");
        let (first, mine, n) = heard;
        assert!(matches!(first, Word::Cancel { order } if order.0 <= n));
        assert_eq!(mine, n, "each own word once, no echo");
    }
}
