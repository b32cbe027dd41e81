//! Trunks that have a name: asks DNS where they are (RFC 3263) and tells the shards, again whenever the records have run
//! out. The search itself is `signalling::sip::locate`; addresses in figures never come here.

use crate::shard::{Inbox, Post};
use arc_swap::ArcSwap;
use control::config::Config;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use signalling::sip::locate::{Answer, Limits, Locator, Naptr, Question, Srv, Target, Wanted};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Records that claim to hold for less are used for so long all the same.
const TTL_MIN: Duration = Duration::from_secs(5);
/// Nor longer than this: a trunk that moves is found within it.
const TTL_MAX: Duration = Duration::from_secs(3_600);
/// A name that led nowhere is asked for again after this.
const AGAIN: Duration = Duration::from_secs(10);
/// One question may take so long.
const QUESTION_MAX: Duration = Duration::from_secs(5);

/// What the task works with.
pub struct Parts {
    /// The configuration in force.
    pub config: Arc<ArcSwap<Config>>,
    /// The configuration has changed.
    pub changed: Arc<Notify>,
    /// Who is told.
    pub shards: Vec<Post>,
}

/// Keeps the names of the configuration resolved, for ever.
pub async fn run(parts: Parts) {
    let mut due: BTreeMap<String, (Wanted, Instant)> = BTreeMap::new();
    let mut resolver = None;
    loop {
        let config = parts.config.load_full();
        let wanted: BTreeMap<String, Wanted> =
            config.trunks.iter().filter_map(|t| Some((t.name.clone(), t.wanted()?))).collect();
        due.retain(|name, (known, _)| wanted.get(name) == Some(known));
        for (name, wanted) in wanted {
            due.entry(name).or_insert_with(|| (wanted, Instant::now()));
        }
        if !due.is_empty() && resolver.is_none() {
            resolver = start(&config.sip.nameservers);
        }
        let now = Instant::now();
        for (name, (wanted, at)) in due.iter_mut().filter(|(_, (_, at))| *at <= now) {
            let (targets, ttl) = match &resolver {
                Some(resolver) => search(resolver, wanted.clone()).await,
                None => (Vec::new(), None),
            };
            tracing::debug!(trunk = name, targets = targets.len(), "resolved");
            if targets.is_empty() {
                tracing::warn!(
                    trunk = name,
                    host = wanted.host,
                    "its name leads nowhere; what was known is kept"
                );
            }
            *at = now + if targets.is_empty() { AGAIN } else { ttl.unwrap_or(TTL_MAX) };
            for shard in &parts.shards {
                let told = Inbox::Located(name.clone(), wanted.clone(), targets.clone());
                if shard.send(told).await.is_err() {
                    return;
                }
            }
        }
        let next = due.values().map(|(_, at)| *at).min();
        tokio::select! {
            () = parts.changed.notified() => {}
            () = sleep_until(next) => {}
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// A resolver that asks these servers, or those of the system.
fn start(servers: &[SocketAddr]) -> Option<TokioResolver> {
    let builder = if servers.is_empty() {
        TokioResolver::builder_tokio()
    } else {
        let named = servers.iter().map(|server| {
            let (mut udp, mut tcp) = (ConnectionConfig::udp(), ConnectionConfig::tcp());
            (udp.port, tcp.port) = (server.port(), server.port());
            NameServerConfig::new(server.ip(), true, vec![udp, tcp])
        });
        let config = ResolverConfig::from_name_servers(named.collect());
        Ok(TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()))
    };
    builder
        .and_then(|builder| builder.build())
        .inspect_err(|error| tracing::error!(%error, "no DNS: trunks that have a name cannot be reached"))
        .ok()
}

async fn search(resolver: &TokioResolver, wanted: Wanted) -> (Vec<Target>, Option<Duration>) {
    let mut locator = Locator::new(wanted, Limits::default(), crate::clock::seed());
    while let Some(question) = locator.poll() {
        let answer = ask(resolver, &question).await;
        locator.handle(&question, answer);
    }
    let ttl = locator.ttl_s().map(|s| Duration::from_secs(s.into()).clamp(TTL_MIN, TTL_MAX));
    (locator.targets().to_vec(), ttl)
}

async fn ask(resolver: &TokioResolver, question: &Question) -> Answer {
    let (name, kinds): (&str, &[RecordType]) = match question {
        Question::Naptr(name) => (name, &[RecordType::NAPTR]),
        Question::Srv(name) => (name, &[RecordType::SRV]),
        Question::Addresses(name) => (name, &[RecordType::A, RecordType::AAAA]),
    };
    let mut answer = Answer { ttl_s: u32::MAX, ..Answer::default() };
    for kind in kinds {
        // With its dot, so that no search list of the host is tried.
        let lookup = resolver.lookup(format!("{name}."), *kind);
        if let Ok(Ok(found)) = tokio::time::timeout(QUESTION_MAX, lookup).await {
            for record in found.answers() {
                take(&mut answer, record.ttl, &record.data);
            }
        }
    }
    answer
}

fn take(answer: &mut Answer, ttl_s: u32, data: &RData) {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    match data {
        RData::A(a) => answer.addresses.push(a.0.into()),
        RData::AAAA(a) => answer.addresses.push(a.0.into()),
        RData::SRV(srv) => answer.srv.push(Srv {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: srv.target.to_ascii(),
        }),
        RData::NAPTR(naptr) => answer.naptr.push(Naptr {
            order: naptr.order,
            preference: naptr.preference,
            flags: text(&naptr.flags),
            services: text(&naptr.services),
            replacement: naptr.replacement.to_ascii(),
        }),
        // A CNAME on the way also bounds how long the answer holds.
        RData::CNAME(_) => {}
        _ => return,
    }
    answer.ttl_s = answer.ttl_s.min(ttl_s);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a test of the door to DNS")]

    use super::*;
    use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
    use hickory_resolver::proto::rr::rdata::{A, NAPTR, SRV};
    use hickory_resolver::proto::rr::{Name, Record};
    use hickory_resolver::proto::serialize::binary::BinDecodable;
    use signalling::leg::Transport;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).expect("a name")
    }

    fn zone(asked: &str, kind: RecordType) -> Vec<Record> {
        let data: Vec<RData> = match (asked, kind) {
            ("carrier.test.", RecordType::NAPTR) => {
                let service = |n, service: &str, to: &str| {
                    let (flags, services) = (Box::from(&b"S"[..]), Box::from(service.as_bytes()));
                    RData::NAPTR(NAPTR::new(n, 10, flags, services, Box::from(&b""[..]), name(to)))
                };
                vec![
                    service(20, "SIP+D2U", "_sip._udp.carrier.test."),
                    service(10, "SIP+D2T", "_sip._tcp.carrier.test."),
                ]
            }
            ("_sip._tcp.carrier.test.", RecordType::SRV) => vec![
                RData::SRV(SRV::new(2, 0, 5082, name("b.carrier.test."))),
                RData::SRV(SRV::new(1, 0, 5081, name("a.carrier.test."))),
            ],
            ("_sip._udp.carrier.test.", RecordType::SRV) => {
                vec![RData::SRV(SRV::new(1, 0, 5083, name("a.carrier.test.")))]
            }
            ("a.carrier.test.", RecordType::A) => vec![RData::A(A::new(127, 0, 0, 1))],
            ("b.carrier.test.", RecordType::A) => vec![RData::A(A::new(127, 0, 0, 2))],
            _ => Vec::new(),
        };
        data.into_iter().map(|data| Record::from_rdata(name(asked), 60, data)).collect()
    }

    /// A name server on loopback with one zone; counts the questions.
    async fn name_server() -> (SocketAddr, Arc<std::sync::atomic::AtomicU32>) {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("loopback");
        let addr = socket.local_addr().expect("bound");
        let asked = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut buffer = [0; 4_096];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let question = Message::from_bytes(&buffer[..length]).expect("a question");
                let query = question.queries[0].clone();
                let mut answer = Message::response(question.id, question.op_code);
                answer.metadata.message_type = MessageType::Response;
                answer.metadata.authoritative = true;
                answer.metadata.response_code = ResponseCode::NoError;
                answer.add_query(query.clone());
                answer.add_answers(zone(&query.name().to_ascii(), query.query_type()));
                let octets = answer.to_vec().expect("it can be written");
                let _ = socket.send_to(&octets, from).await;
            }
        });
        (addr, asked)
    }

    #[tokio::test]
    async fn a_name_is_found_by_naptr_srv_and_addresses_and_figures_ask_nobody() {
        let (server, asked) = name_server().await;
        let resolver = start(&[server]).expect("a resolver");
        let wanted = |host: &str| Wanted { host: host.into(), port: None, transport: None };
        let (targets, ttl) = search(&resolver, wanted("carrier.test")).await;
        let target = |transport, addr: &str| Target { transport, addr: addr.parse().expect("an address") };
        assert_eq!(
            targets,
            [
                target(Transport::Tcp, "127.0.0.1:5081"),
                target(Transport::Tcp, "127.0.0.2:5082"),
                target(Transport::Udp, "127.0.0.1:5083"),
            ]
        );
        assert_eq!(ttl, Some(Duration::from_secs(60)));
        let before = asked.load(std::sync::atomic::Ordering::Relaxed);
        assert!(before >= 5, "{before}");
        let (targets, _) = search(&resolver, wanted("127.0.0.9")).await;
        assert_eq!(targets, [target(Transport::Udp, "127.0.0.9:5060")]);
        assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), before, "nobody was asked");
    }
}
