//! The thread that is measured: a SIP endpoint over a socket, as a shard drives it, and the store that keeps its journal.

use super::Failure;
use control::order::Disposition;
use control::record::{Direction, Record};
use control::store::{Answer, Ask, Claimed, Error, Lease};
use futures::stream::{FuturesUnordered, StreamExt};
use hdrhistogram::Histogram;
use node::store::Handle;
use serde_json::{Value, json};
use signalling::leg::{Action, Indication, Media, Place, Rtp, Transport};
use signalling::sip::endpoint::{Advertised, Endpoint, EndpointConfig, FlowId, Input, Net, Output};
use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use units::{AttemptId, Cause, Codec, LegId, Private, ServerId, TenantId};

/// How calls come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// So many are up at a time: the next begins when one ends.
    Window(usize),
    /// So many begin a second, whatever becomes of them.
    Rate(u32),
}

/// How the server takes calls.
pub(super) struct Taking {
    pub(super) calls_rate: u32,
    pub(super) stop: Arc<AtomicBool>,
}

/// What the measured thread did.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Calls answered and ended, their records durable.
    pub(super) ended: usize,
    wall: Duration,
    cpu_us: u64,
    /// From the wish to the ACK, or from the INVITE to the 200, us.
    setup_us: Histogram<u64>,
    refused: u64,
    dropped: u64,
}

impl Default for Outcome {
    fn default() -> Self {
        Self {
            ended: 0,
            wall: Duration::ZERO,
            cpu_us: 0,
            setup_us: Histogram::new(3).expect("three figures are allowed"),
            refused: 0,
            dropped: 0,
        }
    }
}

impl Outcome {
    pub(super) fn told(&self) -> Value {
        #[expect(clippy::cast_precision_loss, reason = "figures for people")]
        let (ended, cpu) = (self.ended as f64, self.cpu_us as f64);
        json!({
            "ended": self.ended, "seconds": self.wall.as_secs_f64(),
            "a_second": (ended / self.wall.as_secs_f64().max(1e-6)).round(),
            "thread_cpu_us_a_call": (cpu / ended.max(1.0) * 10.0).round() / 10.0,
            "calls_a_second_of_cpu": (ended * 1e6 / cpu.max(1.0)).round(),
            "setup_ms": { "p50": self.ms(0.5), "p99": self.ms(0.99), "max": self.ms(1.0) },
            "refused_with_503": self.refused, "dropped": self.dropped,
        })
    }

    fn ms(&self, quantile: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "figures for people")]
        let us = self.setup_us.value_at_quantile(quantile) as f64;
        us / 1_000.0
    }
}

/// What is being asked of the store for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Intent,
    Ack,
    Record,
}

type Asked = Pin<Box<dyn Future<Output = (LegId, Step, Result<Answer, Error>)> + Send>>;

struct Call {
    lease: Option<Lease>,
    begun: Instant,
    dialog: Vec<u8>,
}

struct Server {
    endpoint: Endpoint,
    socket: UdpSocket,
    own: SocketAddr,
    store: Handle,
    asked: FuturesUnordered<Asked>,
    calls: HashMap<LegId, Call>,
    outcome: Outcome,
}

/// Datagrams that are read before anything else is looked at.
const BURST: usize = 256;

/// Runs a future to its end on this thread, which does nothing else.
pub(super) fn on_its_own(work: impl Future<Output = Result<Outcome, Failure>>) -> Result<Outcome, Failure> {
    let begun = crate::farend::io::thread_cpu_us();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut outcome = runtime.block_on(work)?;
    outcome.cpu_us = crate::farend::io::thread_cpu_us() - begun;
    Ok(outcome)
}

/// Places a call for each claim.
pub(super) async fn place(
    store: Handle,
    socket: std::net::UdpSocket,
    to: SocketAddr,
    claims: Vec<Claimed>,
    pace: Pace,
) -> Result<Outcome, Failure> {
    let mut server = Server::new(store, socket, u32::MAX)?;
    let (begun, all) = (Instant::now(), claims.len());
    let mut claims = claims.into_iter();
    let mut placed = 0;
    while server.outcome.ended < all {
        let due = match pace {
            Pace::Window(window) => placed + window.saturating_sub(server.calls.len()),
            Pace::Rate(rate) => usize::try_from(begun.elapsed().as_micros() * u128::from(rate) / 1_000_000)?,
        };
        while placed < due.min(all) {
            let Some(claim) = claims.next() else { break };
            placed += 1;
            server.intend(LegId(u64::try_from(placed)?), claim.lease);
        }
        let next = match pace {
            Pace::Rate(rate) if placed < all => Duration::from_secs(1) / rate.max(1),
            _ => Duration::from_millis(100),
        };
        server.turn(next, Some(to)).await?;
        if begun.elapsed() > Duration::from_secs(120) {
            return Err(format!("{} of {all} calls ended in two minutes", server.outcome.ended).into());
        }
    }
    server.outcome.wall = begun.elapsed();
    Ok(server.outcome)
}

/// Takes calls until it is told to stop, and all records are durable.
pub(super) async fn take(
    store: Handle,
    socket: std::net::UdpSocket,
    taking: Taking,
) -> Result<Outcome, Failure> {
    let mut server = Server::new(store, socket, taking.calls_rate)?;
    let begun = Instant::now();
    while !taking.stop.load(Ordering::Relaxed) || !server.asked.is_empty() {
        server.turn(Duration::from_millis(20), None).await?;
    }
    let counters = server.endpoint.counters();
    (server.outcome.refused, server.outcome.dropped) = (counters.refused_busy, counters.dropped_busy);
    server.outcome.wall = begun.elapsed();
    Ok(server.outcome)
}

impl Server {
    fn new(store: Handle, socket: std::net::UdpSocket, calls_rate: u32) -> Result<Self, Failure> {
        socket.set_nonblocking(true)?;
        let own = socket.local_addr()?;
        let advertised = Advertised { udp: Some(own), ..Advertised::default() };
        let mut config = EndpointConfig::new(0, advertised, [7; 32]);
        config.peers = vec![Net { ip: own.ip(), bits: 8 }];
        config.limits.source_rate = u32::MAX;
        config.limits.calls_rate = calls_rate;
        Ok(Self {
            endpoint: Endpoint::new(config, node::clock::seed()),
            socket: UdpSocket::from_std(socket)?,
            own,
            store,
            asked: FuturesUnordered::new(),
            calls: HashMap::new(),
            outcome: Outcome::default(),
        })
    }

    /// Whatever has come, then waits for more: at most so long.
    async fn turn(&mut self, at_most: Duration, to: Option<SocketAddr>) -> Result<(), Failure> {
        let mut octets = [0; 8_192];
        for _ in 0..BURST {
            let Ok((length, from)) = self.socket.try_recv_from(&mut octets) else { break };
            let (flow, transport) = (FlowId(0), Transport::Udp);
            self.tell(Input::Received { flow, transport, from, bytes: &octets[..length] })?;
        }
        while let Some(Some(answer)) = futures::FutureExt::now_or_never(self.asked.next()) {
            self.stored(answer, to)?;
        }
        let now = node::clock::now().mono;
        let due = self.endpoint.deadline().map(|(at, _)| at);
        if due.is_some_and(|at| at <= now) {
            self.tell(Input::Timer)?;
        }
        let wait = due.map_or(at_most, |at| at_most.min(at.since(now).max(Duration::from_micros(100))));
        let answer = tokio::select! {
            biased;
            _ = self.socket.readable() => None,
            answer = self.asked.next(), if !self.asked.is_empty() => answer,
            () = tokio::time::sleep(wait) => None,
        };
        answer.map_or(Ok(()), |answer| self.stored(answer, to))
    }

    fn tell(&mut self, input: Input<'_>) -> Result<(), Failure> {
        let fits = self.endpoint.handle(node::clock::now(), input);
        fits.map_err(|error| format!("the endpoint: {error:?}"))?;
        while let Some(output) = self.endpoint.poll() {
            match output {
                Output::Transmit { to, bytes, .. } => {
                    // A full buffer loses a datagram as the network may.
                    let _ = self.socket.try_send_to(&bytes, to);
                }
                Output::Dialog(leg, snapshot) => {
                    if let Some(call) = self.calls.get_mut(&leg) {
                        call.dialog = serde_json::to_vec(&snapshot)?;
                    }
                }
                Output::Leg(leg, indication) => self.told(leg, indication)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn told(&mut self, leg: LegId, indication: Indication) -> Result<(), Failure> {
        match indication {
            Indication::Incoming(_) => {
                let (begun, lease, dialog) = (Instant::now(), None, Vec::new());
                self.calls.insert(leg, Call { lease, begun, dialog });
                let media = self.media();
                self.tell(Input::Leg(leg, Action::Accept { media }))?;
                self.outcome.setup_us.saturating_record(micros(begun));
            }
            Indication::AckDue => {
                let Some(call) = self.calls.get_mut(&leg) else { return Ok(()) };
                let Some(lease) = &call.lease else { return Ok(()) };
                let dialog = std::mem::take(&mut call.dialog);
                let ask = Ask::AckIntent { attempt: lease.attempt, epoch: lease.epoch, dialog };
                self.ask(leg, Step::Ack, ask);
            }
            Indication::Ended(_) => {
                let Some(call) = self.calls.get(&leg) else { return Ok(()) };
                let record = record(leg, call.lease.as_ref());
                self.ask(leg, Step::Record, Ask::Append(vec![record]));
            }
            _ => {}
        }
        Ok(())
    }

    fn intend(&mut self, leg: LegId, lease: Lease) {
        let dialog = vec![b'x'; 200];
        let ask = Ask::Intent { lease: lease.clone(), server: ServerId(1), trunk: "bench".into(), dialog };
        self.calls.insert(leg, Call { lease: Some(lease), begun: Instant::now(), dialog: Vec::new() });
        self.ask(leg, Step::Intent, ask);
    }

    fn ask(&mut self, leg: LegId, step: Step, ask: Ask) {
        let store = self.store.clone();
        self.asked.push(Box::pin(async move { (leg, step, store.ask(ask).await) }));
    }

    fn stored(
        &mut self,
        (leg, step, answer): (LegId, Step, Result<Answer, Error>),
        to: Option<SocketAddr>,
    ) -> Result<(), Failure> {
        answer.map_err(|error| format!("the store: {step:?} {error:?}"))?;
        match (step, to) {
            (Step::Intent, Some(to)) => {
                let attempt = self.calls.get(&leg).and_then(|c| c.lease.as_ref()).map(|l| l.attempt);
                let place = self.order(to, attempt.unwrap_or(AttemptId(0)));
                self.tell(Input::Leg(leg, Action::Place(Box::new(place))))
            }
            (Step::Ack, _) => {
                self.tell(Input::AckJournalled(leg))?;
                if let Some(call) = self.calls.get(&leg) {
                    self.outcome.setup_us.saturating_record(micros(call.begun));
                }
                self.tell(Input::Leg(leg, Action::Clear(Cause::NORMAL)))
            }
            _ => {
                self.calls.remove(&leg);
                self.outcome.ended += 1;
                Ok(())
            }
        }
    }

    fn order(&self, hop: SocketAddr, attempt: AttemptId) -> Place {
        Place {
            to: Private::new(format!("sip:+15550100@{hop}")),
            from: Private::new(format!("<sip:+15550000@{}>", self.own)),
            asserted: None,
            hop,
            transport: Transport::Udp,
            attempt,
            media: self.media(),
            credentials: None,
            headers: Vec::new(),
            ring_max_ms: 60_000,
            engine: None,
        }
    }

    fn media(&self) -> Media {
        Media::Rtp(Rtp {
            addr: SocketAddr::new(self.own.ip(), 30_000),
            rtcp: None,
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            telephone_event: Some(101),
            sends: true,
            receives: true,
            srtp: None,
            ptime_ms: 20,
        })
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// A record as the product writes it.
fn record(leg: LegId, lease: Option<&Lease>) -> Record {
    let now = node::clock::now();
    let direction = if lease.is_some() { Direction::Outbound } else { Direction::Inbound };
    // An incoming call has a name by chance.
    let named = units::Seed(leg.0 ^ now.mono.0).rng().next_u128();
    Record {
        attempt: lease.map_or(AttemptId(named), |lease| lease.attempt),
        order: lease.map(|lease| lease.order),
        parent: None,
        tenant: TenantId(1),
        direction,
        from: Private::new("+15551111".to_owned()),
        to: Private::new("+15559000".to_owned()),
        server: ServerId(1),
        trunk: "bench".to_owned(),
        application: "https://bench.invalid/app.vxml".to_owned(),
        started: now.wall,
        alerted: None,
        answered: Some(now.wall),
        ended: now.wall,
        talk_ms: 1,
        busy_ms: 1,
        cause: Cause::NORMAL,
        status: None,
        by_peer: lease.is_none(),
        disposition: Disposition::Completed,
        values: Private::new("{}".to_owned()),
        recordings: Vec::new(),
        media: [0; 4],
    }
}
