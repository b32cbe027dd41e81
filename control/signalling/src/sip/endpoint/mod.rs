//! The SIP endpoint of one shard: octets and actions in, octets and indications out; no socket, no clock.
//!
//! Legs that come in get ids from 2^63 upwards, those that are placed keep the id that the caller chose below it.
//! Names are not resolved here: `Place::hop` is an address, and a dialog keeps to addresses that stand in its routes.

mod alarms;
mod config;
mod ids;
mod info;
mod leg;
mod midcall;
mod offer;
mod overload;
mod probe;
mod receive;
mod refer;
mod register;
mod reliable;
mod reply;
mod request;
mod retry;
mod session;
mod takeover;
mod tx;
mod uac;
mod uas;

pub use config::{Advertised, EndpointConfig, Limits, Net, Probe, ServerAuth};
pub use ids::shard_of;
pub use overload::Load;

use crate::leg::{Action, Ended, Indication, Transport};
use crate::sip::dialog::DialogSnapshot;
use crate::sip::register::Registration;
use alarms::{Alarms, Who};
use ids::{Keyed, Namer};
use leg::{Leg, Phase};
use overload::{Buckets, Gate};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use tx::Tx;
use units::{Cause, LegId, Mono, Now, Rng, Seed};

/// Where a message came by and answers go: a UDP socket or one stream connection, named by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId(pub u32);

/// What the endpoint is told.
#[derive(Debug)]
pub enum Input<'a> {
    /// A datagram, or octets of a stream in order (framed here, RFC 3261 §18.3).
    Received {
        /// By which flow.
        flow: FlowId,
        /// UDP, TCP or TLS.
        transport: Transport,
        /// From where.
        from: SocketAddr,
        /// Octets.
        bytes: &'a [u8],
    },
    /// A stream closed or a send failed.
    FlowClosed {
        /// Which.
        flow: FlowId,
    },
    /// An ICMP or connect error for an address.
    Unreachable {
        /// Transport.
        transport: Transport,
        /// Address.
        to: SocketAddr,
    },
    /// An action for a leg. `Place` makes the leg; its id is chosen by the caller and new.
    Leg(LegId, Action),
    /// The record that an ACK is about to be sent is durable: send it.
    AckJournalled(LegId),
    /// How loaded the server is from now on.
    Load(Load),
    /// Who is listened to, and who is probed, from now on.
    Peers {
        /// Sources that are trusted.
        peers: Vec<Net>,
        /// Peers asked by OPTIONS.
        probes: Vec<Probe>,
        /// Where we register.
        registrations: Vec<Registration>,
    },
    /// End the call of a server that died, from its journal.
    TakeOver(Box<DialogSnapshot>, Cause),
    /// A deadline passed.
    Timer,
}

/// What the endpoint asks.
#[derive(Debug)]
pub enum Output {
    /// Send these octets.
    Transmit {
        /// By this flow if it is still up; else open one to `to`.
        flow: Option<FlowId>,
        /// Transport.
        transport: Transport,
        /// Where to.
        to: SocketAddr,
        /// One whole message.
        bytes: Vec<u8>,
    },
    /// Close a stream: it broke framing or a limit.
    Close {
        /// Which.
        flow: FlowId,
    },
    /// A leg tells.
    Leg(LegId, Indication),
    /// What a journal keeps of a leg's dialog, so that a neighbour can end the call if this server dies.
    Dialog(LegId, Box<DialogSnapshot>),
    /// A peer that is probed by OPTIONS changed state.
    PeerState {
        /// Which.
        peer: SocketAddr,
        /// Reachable.
        up: bool,
    },
    /// A registration of ours stands, or does not.
    Registered {
        /// Its name.
        name: String,
        /// It stands.
        registered: bool,
        /// The status that said so; `None`: nobody answered.
        status: Option<u16>,
    },
    /// A peer asks for fewer new calls (RFC 7339).
    PeerLoad {
        /// Which.
        peer: SocketAddr,
        /// Percentage to withhold; 0: none any more.
        reduce_percent: u8,
        /// For how long that holds.
        validity_ms: u32,
    },
}

/// What the deadline is for: always the earliest transaction or dialog timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer;

/// See [`Endpoint::deadline`].
pub type Deadline = Option<(Mono, Timer)>;

/// Transport, address, and the flow that leads there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) transport: Transport,
    pub(super) to: SocketAddr,
    pub(super) flow: Option<FlowId>,
}

/// The endpoint could not do what it was told: a mistake of its driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// No such leg, or it has ended.
    NoLeg(LegId),
    /// The leg exists already.
    LegExists(LegId),
    /// The action does not fit the leg's state.
    WrongState(LegId),
}

/// What it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Legs.
    pub legs: usize,
    /// Dialogs, early ones too.
    pub dialogs: usize,
    /// Transactions.
    pub transactions: usize,
}

/// What was dropped without an answer, and why; only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Octets that were no message.
    pub unframed: u64,
    /// Messages from sources that are no peer.
    pub strangers: u64,
    /// Responses that matched nothing or were broken.
    pub stray_responses: u64,
    /// Requests over their source's rate.
    pub over_rate: u64,
    /// New calls refused with 503.
    pub refused_busy: u64,
    /// New calls that did not even get their 503.
    pub dropped_busy: u64,
    /// Streams closed for broken framing or a limit.
    pub streams_closed: u64,
}

/// SIP for the legs of one shard.
pub struct Endpoint {
    config: EndpointConfig,
    namer: Namer,
    rng: Rng,
    legs: HashMap<LegId, Box<Leg>, Keyed>,
    by_tag: HashMap<String, LegId, Keyed>,
    by_caller: HashMap<Box<[u8]>, LegId, Keyed>,
    txs: HashMap<u64, Tx, Keyed>,
    tx_by_key: HashMap<Box<[u8]>, u64, Keyed>,
    /// Transactions that hang on a stream of their own.
    tx_by_stream: HashMap<FlowId, HashSet<u64, Keyed>, Keyed>,
    /// Requests of ours by where they went.
    tx_by_peer: BTreeSet<(Transport, SocketAddr, u64)>,
    tx_next: u64,
    leg_next: u64,
    alarms: Alarms,
    streams: HashMap<FlowId, receive::Stream, Keyed>,
    out: VecDeque<Output>,
    counters: Counters,
    probed: probe::Probed,
    registered: register::Registered,
    buckets: Buckets,
    gate: Gate,
    keyed: Keyed,
    load: Load,
    /// Peers that no stream could be opened to: long requests go there by UDP.
    streamless: HashSet<SocketAddr, Keyed>,
    /// Peers that ask for fewer calls.
    reduced: HashSet<SocketAddr, Keyed>,
}

impl Endpoint {
    /// An endpoint with nothing in it.
    #[must_use]
    pub fn new(config: EndpointConfig, seed: Seed) -> Self {
        let mut rng = seed.rng();
        let keyed = Keyed(rng.next_u64(), rng.next_u64());
        let mut alarms = Alarms::default();
        let mut probed = probe::Probed::default();
        for probe in &config.probes {
            alarms.arm(Who::Probe(probed.add(*probe)), None, Some(Mono::default()));
        }
        Self {
            namer: Namer::new(*config.secret.expose()),
            rng,
            legs: HashMap::with_hasher(keyed),
            by_tag: HashMap::with_hasher(keyed),
            by_caller: HashMap::with_hasher(keyed),
            probed,
            registered: register::Registered::default(),
            buckets: Buckets::new(config.limits.sources_max),
            gate: Gate::default(),
            keyed,
            load: Load::default(),
            streamless: HashSet::with_hasher(keyed),
            reduced: HashSet::with_hasher(keyed),
            txs: HashMap::with_hasher(keyed),
            tx_by_key: HashMap::with_hasher(keyed),
            tx_by_stream: HashMap::with_hasher(keyed),
            tx_by_peer: BTreeSet::new(),
            tx_next: 0,
            leg_next: 0,
            alarms,
            streams: HashMap::with_hasher(keyed),
            out: VecDeque::new(),
            counters: Counters::default(),
            config,
        }
    }

    /// One input; then drain [`Endpoint::poll`].
    ///
    /// # Errors
    /// [`Error`] when an action does not fit. What comes from the network is never an error.
    pub fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Error> {
        match input {
            Input::Received { flow, transport, from, bytes } => {
                self.received(now, flow, transport, from, bytes)
            }
            Input::FlowClosed { flow } => self.flow_closed(now, flow),
            Input::Unreachable { transport, to } => self.unreachable(now, transport, to),
            Input::Leg(id, Action::Place(place)) => return self.place(now, id, *place),
            Input::Leg(id, action) => return self.act(now, id, action),
            Input::AckJournalled(id) => return self.ack_journalled(now, id),
            Input::Load(load) => self.load = load,
            Input::Peers { peers, probes, registrations } => {
                self.config.peers = peers;
                self.set_probes(now, &probes);
                self.set_registrations(now, registrations);
            }
            Input::TakeOver(snapshot, cause) => self.take_over(now, *snapshot, cause),
            Input::Timer => self.due(now),
        }
        Ok(())
    }

    /// Next output.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to come back with [`Input::Timer`]. It may be early, never late.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        self.alarms.next().map(|at| (at, Timer))
    }

    /// What it holds now.
    #[must_use]
    pub fn live(&self) -> Live {
        Live {
            legs: self.legs.len(),
            dialogs: self.legs.values().map(|l| l.dialogs.len()).sum(),
            transactions: self.txs.len(),
        }
    }

    /// What was dropped so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn tell(&mut self, id: LegId, indication: Indication) {
        self.out.push_back(Output::Leg(id, indication));
    }

    /// Lends a leg out of the table to `f`; afterwards it goes back, or, if it is over, away with all that names it.
    fn with_leg<T>(&mut self, id: LegId, f: impl FnOnce(&mut Self, &mut Leg) -> T) -> Option<T> {
        let mut leg = self.legs.remove(&id)?;
        let result = f(self, &mut leg);
        if matches!(leg.phase, Phase::Over) {
            self.by_tag.remove(&leg.local_tag);
            if let Some(caller) = &leg.caller {
                self.by_caller.remove(caller);
            }
        } else {
            leg.armed = self.alarms.arm(Who::Leg(id.0), leg.armed, leg.deadline());
            self.legs.insert(id, leg);
        }
        Some(result)
    }

    /// Tells the end of a leg; the rest of its signalling goes on in transactions alone.
    fn end(&mut self, now: Now, leg: &mut Leg, ended: Ended) {
        self.close_pending(now, leg);
        leg.phase = Phase::Over;
        self.tell(leg.id, Indication::Ended(ended));
    }

    fn due(&mut self, now: Now) {
        while let Some((at, who)) = self.alarms.pop(now.mono) {
            match who {
                Who::Tx(id) => self.tx_due(now, id, at),
                Who::Leg(id) => self.leg_due(now, LegId(id), at),
                Who::Stream(flow) => self.stream_due(now, FlowId(flow)),
                Who::Probe(n) => self.probe_due(now, n),
                Who::Registration(n) => self.registration_due(now, n),
            }
        }
        let alive = self.txs.len() + self.legs.len() + self.streams.len();
        if self.alarms.is_stale(alive) {
            let (txs, legs) = (&self.txs, &self.legs);
            self.alarms.sweep(|at, who| match who {
                Who::Tx(id) => txs.get(&id).is_some_and(|t| t.armed == Some(at)),
                Who::Leg(id) => legs.get(&LegId(id)).is_some_and(|l| l.armed == Some(at)),
                Who::Stream(_) | Who::Probe(_) | Who::Registration(_) => true,
            });
        }
    }

    fn leg_due(&mut self, now: Now, id: LegId, at: Mono) {
        if self.legs.get(&id).is_none_or(|l| l.armed != Some(at)) {
            return;
        }
        self.with_leg(id, |this, leg| {
            leg.armed = None;
            while leg.deadline().is_some_and(|d| d <= now.mono) {
                this.leg_timer(now, leg);
                if matches!(leg.phase, Phase::Over) {
                    break;
                }
            }
        });
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Endpoint({:?}, {:?})", self.live(), self.counters)
    }
}
