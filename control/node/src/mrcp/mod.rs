//! Speech engines by MRCPv2 (RFC 6787): a pool of servers, whom of them is asked, and sessions with them. A session is one
//! resource for one listening or one text: a SIP dialog, a control channel and an RTP stream of its own. One that does not
//! come about in time costs its server a while of not being asked first, and the next one is tried.
//!
//! The sound passes through the speech adapter, not straight from the worker: 172 octets each 20 ms.

mod hear;
mod session;
mod sip;
mod speak;

pub(crate) use hear::hear;
pub(crate) use speak::speak;

use self::session::Session;
use self::sip::{Order, Signalling};
use control::config::{Mrcp, Speech};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use units::LegId;

/// The servers. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    servers: Vec<Server>,
    orders: mpsc::Sender<Order>,
    /// Our address, as engines are told it.
    ip: IpAddr,
    legs: AtomicU64,
}

/// One engine.
struct Server {
    config: Mrcp,
    tls: Option<TlsConnector>,
    free: Arc<Semaphore>,
    health: Mutex<Health>,
}

/// Whether it is asked before others.
#[derive(Clone, Copy, Debug, Default)]
struct Health {
    /// A session failed: not before then, if another can.
    until: Option<Instant>,
    /// It answers no OPTIONS, or says that it wants no calls.
    silent: bool,
}

/// What an engine is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    /// `speechrecog`.
    Recogniser,
    /// `speechsynth`.
    Synthesiser,
}

/// Servers that one wish is brought to.
const TRIES_MAX: usize = 3;
/// A server that failed is not asked first for this long.
const REST: Duration = Duration::from_secs(15);
/// Orders that wait for the task that speaks SIP.
const ORDERS_MAX: usize = 4_096;

impl Resource {
    fn name(self) -> &'static str {
        match self {
            Resource::Recogniser => "speechrecog",
            Resource::Synthesiser => "speechsynth",
        }
    }
}

impl Pool {
    /// Opens the socket for SIP and begins to ask the servers whether they live. `None`: none is configured.
    ///
    /// # Errors
    /// A certificate that cannot be read, or no socket.
    pub fn start(config: &Speech, ip: IpAddr) -> Result<Option<Self>, String> {
        if config.mrcp.is_empty() {
            return Ok(None);
        }
        let server = |engine: &Mrcp| {
            Ok(Server {
                tls: tls(engine)?,
                free: Arc::new(Semaphore::new(usize::from(engine.sessions_max))),
                health: Mutex::default(),
                config: engine.clone(),
            })
        };
        let servers = config.mrcp.iter().map(server).collect::<Result<Vec<_>, String>>()?;
        let signalling = Signalling::bind(ip).map_err(|error| format!("a socket for MRCP: {error}"))?;
        let (orders, waiting) = mpsc::channel(ORDERS_MAX);
        let pool = Self(Arc::new(Inner { servers, orders, ip, legs: AtomicU64::new(1) }));
        tokio::spawn(signalling.run(pool.addresses(), waiting, Arc::downgrade(&pool.0)));
        Ok(Some(pool))
    }

    fn addresses(&self) -> Vec<String> {
        self.0.servers.iter().map(|s| s.config.address.clone()).collect()
    }

    /// Some server has this resource in this language.
    pub(crate) fn has(&self, resource: Resource, lang: &str) -> bool {
        self.0.servers.iter().any(|s| s.has(resource, lang))
    }

    /// A session with the server that is healthiest and has most room; `None`: none of those that were asked gave one.
    pub(crate) async fn open(&self, resource: Resource, lang: &str) -> Option<Session> {
        for number in self.0.candidates(resource, lang) {
            let server = &self.0.servers[number];
            let Ok(permit) = Arc::clone(&server.free).try_acquire_owned() else { continue };
            let name = server.config.name.as_str();
            match Session::open(&self.0, number, resource, permit).await {
                Ok(session) => {
                    server.says(|health| health.until = None);
                    metrics::counter!("carillon_mrcp_sessions_total", "server" => name.to_owned(), "outcome" => "open").increment(1);
                    return Some(session);
                }
                Err(why) => {
                    server.says(|health| health.until = Some(Instant::now() + REST));
                    metrics::counter!("carillon_mrcp_sessions_total", "server" => name.to_owned(), "outcome" => "failed").increment(1);
                    tracing::warn!(server = name, %why, "a speech engine gave no session");
                }
            }
        }
        tracing::warn!(resource = resource.name(), "no speech engine has a session");
        None
    }
}

/// How its control channel is secured; `None`: not.
///
/// # Errors
/// A certificate that cannot be read, in words.
pub(crate) fn tls(engine: &Mrcp) -> Result<Option<TlsConnector>, String> {
    engine.tls.then(|| crate::tls::client(engine.tls_authorities.as_deref(), None)).transpose()
}

impl Inner {
    /// Numbers of the servers to be asked, in that order.
    fn candidates(&self, resource: Resource, lang: &str) -> Vec<usize> {
        let now = Instant::now();
        let has = |n: &usize| self.servers[*n].has(resource, lang);
        let mut all: Vec<usize> = (0..self.servers.len()).filter(has).collect();
        // In tenths, so that servers that are about as full stay in the order of the file.
        let full = |s: &Server| {
            let most = usize::from(s.config.sessions_max);
            10 * most.saturating_sub(s.free.available_permits()) / most.max(1)
        };
        all.sort_by_key(|&n| (self.servers[n].rests(now), full(&self.servers[n])));
        all.truncate(TRIES_MAX);
        all
    }

    fn leg(&self) -> LegId {
        LegId(self.legs.fetch_add(1, Ordering::Relaxed))
    }

    /// OPTIONS says so.
    fn lives(&self, server: usize, up: bool) {
        let Some(server) = self.servers.get(server) else { return };
        server.says(|health| health.silent = !up);
        metrics::gauge!("carillon_mrcp_up", "server" => server.config.name.clone())
            .set(f64::from(u8::from(up)));
        tracing::info!(server = server.config.name, up, "a speech engine changed state");
    }
}

impl Server {
    fn has(&self, resource: Resource, lang: &str) -> bool {
        let does = match resource {
            Resource::Recogniser => self.config.recognises,
            Resource::Synthesiser => self.config.speaks,
        };
        does && (self.config.languages.is_empty()
            || self.config.languages.iter().any(|own| speaks(own, lang)))
    }

    fn says(&self, change: impl FnOnce(&mut Health)) {
        change(&mut self.health.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn rests(&self, now: Instant) -> bool {
        let health = *self.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.silent || health.until.is_some_and(|until| now < until)
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({})", self.config.name)
    }
}

/// `en` stands for all its regions, `en-GB` for itself; what has no language may be any.
fn speaks(own: &str, lang: &str) -> bool {
    let lang = lang.replace('_', "-");
    lang.is_empty()
        || own.eq_ignore_ascii_case(&lang)
        || lang.split_once('-').is_some_and(|(primary, _)| own.eq_ignore_ascii_case(primary))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, languages: &[&str], sessions_max: u16) -> Server {
        let config = Mrcp {
            name: name.into(),
            sessions_max,
            languages: languages.iter().map(|l| (*l).to_owned()).collect(),
            ..Mrcp::default()
        };
        let free = Arc::new(Semaphore::new(usize::from(sessions_max)));
        Server { config, tls: None, free, health: Mutex::default() }
    }

    fn names(inner: &Inner, lang: &str) -> Vec<String> {
        inner
            .candidates(Resource::Recogniser, lang)
            .iter()
            .map(|&n| inner.servers[n].config.name.clone())
            .collect()
    }

    fn inner(servers: Vec<Server>) -> Inner {
        let (orders, _) = mpsc::channel(1);
        Inner { servers, orders, ip: IpAddr::from([127, 0, 0, 1]), legs: AtomicU64::new(1) }
    }

    #[tokio::test]
    async fn the_healthiest_with_most_room_is_asked_first_and_failed_ones_last() {
        let inner = inner(vec![server("a", &[], 4), server("b", &["en"], 4), server("c", &["de-AT"], 4)]);
        assert_eq!(names(&inner, "en-US"), ["a", "b"]);
        let _taken: Vec<_> =
            (0..3).map(|_| Arc::clone(&inner.servers[0].free).try_acquire_owned().expect("room")).collect();
        assert_eq!(names(&inner, "en-US"), ["b", "a"], "a is nearly full");
        inner.servers[1].says(|h| h.until = Some(Instant::now() + REST));
        assert_eq!(names(&inner, "en"), ["a", "b"], "b failed just now");
        inner.lives(0, false);
        inner.servers[1].says(|h| h.until = None);
        assert_eq!(names(&inner, "en"), ["b", "a"], "a is silent, and still better than nobody");
        assert_eq!(names(&inner, "de-AT"), ["c", "a"]);
        assert!(inner.candidates(Resource::Synthesiser, "en").is_empty());
    }
}
