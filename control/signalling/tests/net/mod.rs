//! Two endpoints back to back over a network in memory that loses, delays and doubles by a seed; time is virtual.
#![allow(dead_code, reason = "each test binary uses its part")]

use signalling::leg::{Action, Indication, Media, Place, Rtp, Transport};
use signalling::sip::dialog::DialogSnapshot;
use signalling::sip::endpoint::{Advertised, Endpoint, EndpointConfig, FlowId, Input, Net, Output};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;
use units::{AttemptId, Codec, LegId, Mono, Now, Private, Rng, Seed};

/// What the network does to a message.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    /// Probability that it is lost.
    pub(crate) loss: f64,
    /// Probability that it comes twice.
    pub(crate) double: f64,
    /// Longest extra delay, ms; reorders.
    pub(crate) jitter_ms: u64,
}

/// One side: its endpoint and all that it told.
pub(crate) struct Side {
    pub(crate) endpoint: Endpoint,
    pub(crate) addr: SocketAddr,
    pub(crate) told: Vec<(LegId, Indication)>,
    pub(crate) dialogs: BTreeMap<LegId, DialogSnapshot>,
    pub(crate) sent: Vec<Vec<u8>>,
    fresh: VecDeque<(LegId, Indication)>,
    /// Whether ACKs are journalled as soon as they are due.
    pub(crate) journals: bool,
}

/// The two sides and what is between them.
pub(crate) struct World {
    pub(crate) now: Now,
    pub(crate) sides: [Side; 2],
    weather: Weather,
    transport: Transport,
    rng: Rng,
    /// Changes of probed peers.
    pub(crate) states: Vec<bool>,
    flying: BTreeMap<(Mono, u64), (usize, Vec<u8>)>,
    count: u64,
}

/// The address of a side.
pub(crate) fn addr(side: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, u8::try_from(side + 1).expect("a small number")], 5060))
}

/// A configuration of that side which trusts the other.
pub(crate) fn config(side: usize) -> EndpointConfig {
    let own = Some(addr(side));
    let secret = [u8::try_from(side).expect("a small number"); 32];
    let mut config = EndpointConfig::new(0, Advertised { udp: own, tcp: own, tls: own }, secret);
    config.peers = vec![Net::host(addr(1 - side).ip())];
    config
}

/// Media on a port, both directions.
pub(crate) fn media(port: u16) -> Media {
    Media::Rtp(Rtp {
        addr: SocketAddr::from(([198, 51, 100, 1], port)),
        rtcp: None,
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        telephone_event: Some(101),
        sends: true,
        receives: true,
        srtp: None,
        ptime_ms: 20,
    })
}

/// A call from side 0 to side 1.
pub(crate) fn order(attempt: u128) -> Place {
    Place {
        to: Private::new("sip:+12025550123@192.0.2.2".to_owned()),
        from: Private::new("\"Office\" <sip:+12025550100@192.0.2.1>".to_owned()),
        asserted: None,
        hop: addr(1),
        transport: Transport::Udp,
        attempt: AttemptId(attempt),
        media: media(4000),
        engine: None,
        credentials: None,
        headers: vec![],
        ring_max_ms: 60_000,
    }
}

impl World {
    pub(crate) fn new(seed: u64, weather: Weather, transport: Transport) -> Self {
        Self::with(seed, weather, transport, [config(0), config(1)])
    }

    pub(crate) fn with(
        seed: u64,
        weather: Weather,
        transport: Transport,
        configs: [EndpointConfig; 2],
    ) -> Self {
        let mut n = 0;
        let sides = configs.map(|c| {
            n += 1;
            Side {
                endpoint: Endpoint::new(c, Seed(seed).derive(n)),
                addr: addr(usize::try_from(n).expect("a small number") - 1),
                told: vec![],
                dialogs: BTreeMap::new(),
                sent: vec![],
                fresh: VecDeque::new(),
                journals: true,
            }
        });
        let now = Now { mono: Mono::from_ms(1_000), ..Now::default() };
        Self {
            now,
            sides,
            weather,
            transport,
            rng: Seed(seed).rng(),
            states: vec![],
            flying: BTreeMap::new(),
            count: 0,
        }
    }

    pub(crate) fn calm() -> Self {
        Self::new(1, Weather::default(), Transport::Udp)
    }

    /// Places a call on side 0 under this id.
    pub(crate) fn place(&mut self, id: u64) {
        let place = Place { transport: self.transport, ..order(id.into()) };
        self.act(0, LegId(id), Action::Place(Box::new(place)));
    }

    pub(crate) fn act(&mut self, side: usize, id: LegId, action: Action) {
        self.try_act(side, id, action).expect("the action fits");
    }

    pub(crate) fn try_act(
        &mut self,
        side: usize,
        id: LegId,
        action: Action,
    ) -> Result<(), signalling::sip::endpoint::Error> {
        let result = self.sides[side].endpoint.handle(self.now, Input::Leg(id, action));
        self.drain(side);
        result
    }

    pub(crate) fn journal(&mut self, side: usize, id: LegId) {
        let now = self.now;
        self.sides[side].endpoint.handle(now, Input::AckJournalled(id)).expect("an ACK is due");
        self.drain(side);
    }

    /// Octets from the other side, at once.
    pub(crate) fn inject(&mut self, side: usize, bytes: &[u8]) {
        let (now, from, transport) = (self.now, addr(1 - side), self.transport);
        let input = Input::Received { flow: FlowId(1), transport, from, bytes };
        self.sides[side].endpoint.handle(now, input).expect("the network is no error");
        self.drain(side);
    }

    pub(crate) fn take_over(&mut self, side: usize, snapshot: DialogSnapshot, cause: units::Cause) {
        let now = self.now;
        let input = Input::TakeOver(Box::new(snapshot), cause);
        self.sides[side].endpoint.handle(now, input).expect("always fits");
        self.drain(side);
    }

    pub(crate) fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    fn drain(&mut self, side: usize) {
        while let Some(output) = self.sides[side].endpoint.poll() {
            match output {
                Output::Transmit { bytes, .. } => {
                    self.sides[side].sent.push(bytes.clone());
                    self.fly(1 - side, bytes);
                }
                Output::Leg(id, indication) => {
                    self.sides[side].told.push((id, indication.clone()));
                    self.sides[side].fresh.push_back((id, indication.clone()));
                    if matches!(indication, Indication::AckDue) && self.sides[side].journals {
                        self.journal(side, id);
                    }
                }
                Output::Dialog(id, snapshot) => {
                    self.sides[side].dialogs.insert(id, *snapshot);
                }
                Output::PeerState { up, .. } => self.states.push(up),
                Output::Close { flow } => panic!("closed {flow:?}"),
                _ => {}
            }
        }
    }

    fn fly(&mut self, to: usize, bytes: Vec<u8>) {
        let reliable = self.transport != Transport::Udp;
        let copies = if reliable { 1 } else { 1 + u64::from(self.rng.chance(self.weather.double)) };
        for _ in 0..copies {
            if !reliable && self.rng.chance(self.weather.loss) {
                continue;
            }
            let jitter = if reliable || self.weather.jitter_ms == 0 {
                0
            } else {
                self.rng.below(self.weather.jitter_ms)
            };
            self.count += 1;
            self.flying.insert(
                (self.now.mono + Duration::from_millis(10 + jitter), self.count),
                (to, bytes.clone()),
            );
        }
    }

    /// Moves to the next thing that happens, not past `until`. Whether there was one.
    pub(crate) fn step(&mut self, until: Mono) -> bool {
        let arrival = self.flying.keys().next().map(|k| k.0);
        let timers = [0, 1].map(|s| self.sides[s].endpoint.deadline().map(|d| d.0));
        let Some(next) = [arrival, timers[0], timers[1]].into_iter().flatten().min().filter(|&n| n <= until)
        else {
            self.now.mono = self.now.mono.max(until);
            return false;
        };
        self.now.mono = self.now.mono.max(next);
        if arrival == Some(next) {
            let (_, (to, bytes)) = self.flying.pop_first().expect("one arrives");
            self.inject(to, &bytes);
        } else {
            let side = usize::from(timers[0] != Some(next));
            let now = self.now;
            self.sides[side].endpoint.handle(now, Input::Timer).expect("time is no error");
            self.drain(side);
        }
        true
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, ms: u64) {
        let until = self.now.mono + Duration::from_millis(ms);
        while self.step(until) {}
    }

    /// The next thing that a side told.
    pub(crate) fn next(&mut self, side: usize) -> Option<(LegId, Indication)> {
        self.sides[side].fresh.pop_front()
    }

    /// Short names of all that a side told.
    pub(crate) fn heard(&self, side: usize) -> Vec<String> {
        self.sides[side].told.iter().map(|(_, i)| word(i)).collect()
    }

    /// The leg that came in last on a side.
    pub(crate) fn incoming(&self, side: usize) -> LegId {
        let mut legs = self.sides[side].told.iter().rev();
        legs.find(|(_, i)| matches!(i, Indication::Incoming(_))).expect("a call came in").0
    }

    /// Start-lines of what a side sent.
    pub(crate) fn lines(&self, side: usize) -> Vec<String> {
        let line =
            |b: &Vec<u8>| String::from_utf8_lossy(b).split("\r\n").next().unwrap_or_default().to_owned();
        self.sides[side].sent.iter().map(line).collect()
    }

    /// Sets up a call from side 0 to side 1 and says both legs.
    pub(crate) fn call(&mut self, id: u64) -> [LegId; 2] {
        self.place(id);
        self.run(100);
        let b = self.incoming(1);
        self.act(1, b, Action::Accept { media: media(6000) });
        self.run(200);
        [LegId(id), b]
    }

    /// All is quiet and nothing is left after enough time for every timer.
    pub(crate) fn assert_empty(&mut self) {
        self.run(120_000);
        for side in &self.sides {
            let live = side.endpoint.live();
            assert_eq!((live.legs, live.dialogs, live.transactions), (0, 0, 0), "left on {}", side.addr);
        }
    }
}

/// A short name.
pub(crate) fn word(i: &Indication) -> String {
    match i {
        Indication::Incoming(_) => "incoming".into(),
        Indication::Trying => "trying".into(),
        Indication::Progress { status, media } => {
            format!("{status}{}", if media.is_some() { "+media" } else { "" })
        }
        Indication::Answered { .. } => "answered".into(),
        Indication::AckDue => "ackdue".into(),
        Indication::Engine(channel) => format!("engine {}", channel.identifier),
        Indication::Offered(_) => "offered".into(),
        Indication::Reanswered(m) => format!("reanswered {}", m.is_some()),
        Indication::Digit(_) => "digit".into(),
        Indication::Referred { .. } => "referred".into(),
        Indication::ReferProgress { status } => format!("refer {status}"),
        Indication::Redirected { status, contacts } => format!("redirected {status} {}", contacts.len()),
        Indication::Ended(e) => format!("ended {}{}", e.cause.0, if e.by_peer { " peer" } else { "" }),
    }
}
