//! `World`: all telephones of a simulated network, the SIP endpoint before them, and their one RTP address.

use super::ear::Ear;
use super::mouth::Mouth;
use super::phone::{Ask, CallLog, Phone};
use super::scenario::{Person, Scenario};
use signalling::leg::{Action, Ended, Incoming, Indication, Media, Place, Rtp, Transport};
use signalling::sip::endpoint::{
    Advertised, Endpoint, EndpointConfig, FlowId, Input as SipInput, Output as SipOutput,
};
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use units::{AttemptId, Cause, Codec, LegId, Mono, Now, Private, Rng, Seed};

/// How a world is set up.
#[derive(Clone, Debug)]
pub struct WorldConfig {
    /// Where its SIP listens.
    pub sip: SocketAddr,
    /// Where all its RTP goes.
    pub rtp: SocketAddr,
    /// Who answers how.
    pub scenario: Arc<Scenario>,
    /// Keep what was heard (8 KB a second and call).
    pub keep_audio: bool,
    /// A prompt has ended after so much quiet, ms.
    pub quiet_ms: u32,
    /// Chance.
    pub seed: Seed,
}

/// What a world is told.
#[derive(Debug)]
pub enum Input<'a> {
    /// A SIP datagram.
    Sip {
        /// From.
        from: SocketAddr,
        /// Octets.
        bytes: &'a [u8],
    },
    /// An RTP packet.
    Rtp {
        /// From.
        from: SocketAddr,
        /// When it arrived, by the kernel if it said so.
        at: Mono,
        /// Octets.
        bytes: &'a [u8],
    },
    /// A millisecond has passed.
    Tick,
}

/// What a world sends.
#[derive(Debug)]
pub enum Output {
    /// A SIP datagram.
    Sip {
        /// To.
        to: SocketAddr,
        /// Octets.
        bytes: Vec<u8>,
    },
    /// An RTP packet: the first `length` octets.
    Rtp {
        /// To.
        to: SocketAddr,
        /// Octets.
        packet: [u8; 172],
        /// How many.
        length: usize,
    },
}

/// Counts of a world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Calls that came in.
    pub incoming: u64,
    /// Calls we placed.
    pub placed: u64,
    /// Calls that are up.
    pub up: u64,
    /// RTP from an address that belongs to no call.
    pub stray_rtp: u64,
}

/// A call to be placed by a world.
#[derive(Clone, Debug)]
pub struct Dial {
    /// Request-URI.
    pub to: String,
    /// From URI.
    pub from: String,
    /// Next hop.
    pub hop: SocketAddr,
    /// What the caller does.
    pub person: Arc<Person>,
}

/// The SIP endpoint of a simulated network: answers everyone, allows as many calls as memory does.
#[must_use]
pub fn endpoint(config: &WorldConfig) -> Endpoint {
    let mut secret = [0; 32];
    secret[..8].copy_from_slice(&config.seed.0.to_le_bytes());
    let advertised = Advertised { udp: Some(config.sip), ..Advertised::default() };
    let mut endpoint = EndpointConfig::new(0, advertised, secret);
    endpoint.user_agent = "carillon-bench".into();
    endpoint.answer_unknown = true;
    // One server is the source of everything that comes here.
    endpoint.limits.source_rate = 100_000;
    Endpoint::new(endpoint, config.seed)
}

struct Delayed {
    at: Mono,
    to: SocketAddr,
    packet: [u8; 172],
    length: usize,
}

/// See the module.
pub struct World {
    config: WorldConfig,
    endpoint: Endpoint,
    rng: Rng,
    phones: HashMap<LegId, Phone>,
    by_address: HashMap<SocketAddr, LegId>,
    phases: Vec<Vec<LegId>>,
    ticked_ms: Option<u64>,
    delayed: BinaryHeap<Delayed>,
    out: Vec<Output>,
    logs: Vec<CallLog>,
    /// How often each number rang; "nobody is called twice" is judged here.
    rang: BTreeMap<String, u32>,
    counts: Counts,
    placed: u64,
}

impl World {
    /// A world whose SIP is spoken by this endpoint (made by the caller, so that it may configure it).
    #[must_use]
    pub fn new(config: WorldConfig, endpoint: Endpoint) -> Self {
        Self {
            rng: config.seed.rng(),
            config,
            endpoint,
            phones: HashMap::new(),
            by_address: HashMap::new(),
            phases: vec![Vec::new(); 20],
            ticked_ms: None,
            delayed: BinaryHeap::new(),
            out: Vec::new(),
            logs: Vec::new(),
            rang: BTreeMap::new(),
            counts: Counts::default(),
            placed: 0,
        }
    }

    /// Takes one input; outputs wait in [`World::drain`].
    pub fn handle(&mut self, now: Now, input: Input<'_>) {
        match input {
            Input::Sip { from, bytes } => {
                let received = SipInput::Received { flow: FlowId(0), transport: Transport::Udp, from, bytes };
                self.sip(now, received);
            }
            Input::Rtp { from, at, bytes } => self.rtp(at, from, bytes),
            Input::Tick => self.tick(now),
        }
    }

    /// What is to be sent, in order.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Output> {
        self.out.drain(..)
    }

    /// When the next tick is needed at the latest: SIP timers, and every millisecond while calls are up.
    #[must_use]
    pub fn deadline(&self, now: Mono) -> Option<Mono> {
        let sip = self.endpoint.deadline().map(|(at, _)| at);
        if self.phones.is_empty() && self.delayed.is_empty() {
            return sip;
        }
        let next = Mono::from_ms(now.as_ms() + 1);
        Some(sip.map_or(next, |s| s.min(next)))
    }

    /// Places a call.
    pub fn dial(&mut self, now: Now, dial: &Dial) -> LegId {
        self.placed += 1;
        self.counts.placed += 1;
        let leg = LegId((1 << 48) | self.placed);
        let ear = Ear::new(0, self.config.quiet_ms, self.config.keep_audio);
        self.enlist(leg, Phone::new(now.mono, dial.person.clone(), dial.to.clone(), ear));
        let place = Place {
            to: Private::new(dial.to.clone()),
            from: Private::new(dial.from.clone()),
            asserted: None,
            hop: dial.hop,
            transport: Transport::Udp,
            attempt: AttemptId(self.rng.next_u128()),
            media: self.media(&[Codec::Pcmu], Some(101)),
            credentials: None,
            headers: Vec::new(),
            ring_max_ms: 120_000,
        };
        self.sip(now, SipInput::Leg(leg, Action::Place(Box::new(place))));
        leg
    }

    /// Hangs up on everyone (ctrl-C).
    pub fn clear_all(&mut self, now: Now) {
        let legs: Vec<LegId> = self.phones.keys().copied().collect();
        for leg in legs {
            self.sip(now, SipInput::Leg(leg, Action::Clear(Cause::NORMAL)));
        }
    }

    /// Logs of calls that are over, taken out.
    pub fn take_logs(&mut self) -> Vec<CallLog> {
        std::mem::take(&mut self.logs)
    }

    /// Counts so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts { up: self.phones.values().filter(|p| p.is_up()).count() as u64, ..self.counts }
    }

    /// Calls in progress, ringing ones too.
    #[must_use]
    pub fn live(&self) -> usize {
        self.phones.len()
    }

    /// How often each number rang.
    #[must_use]
    pub fn rang(&self) -> &BTreeMap<String, u32> {
        &self.rang
    }

    fn enlist(&mut self, leg: LegId, phone: Phone) {
        self.phones.insert(leg, phone);
        let phase = usize::try_from(self.rng.below(20)).expect("below 20");
        self.phases[phase].push(leg);
    }

    fn media(&self, codecs: &[Codec], telephone_event: Option<u8>) -> Media {
        Media::Rtp(Rtp {
            addr: self.config.rtp,
            rtcp: None,
            codecs: codecs.to_vec(),
            telephone_event,
            sends: true,
            receives: true,
            srtp: None,
            ptime_ms: 20,
        })
    }

    fn sip(&mut self, now: Now, input: SipInput<'_>) {
        // What cannot be understood is counted by the endpoint; a telephone has nothing to add.
        let _ = self.endpoint.handle(now, input);
        while let Some(output) = self.endpoint.poll() {
            match output {
                SipOutput::Transmit { to, bytes, .. } => self.out.push(Output::Sip { to, bytes }),
                SipOutput::Leg(leg, indication) => self.indicated(now, leg, indication),
                _ => {}
            }
        }
    }

    fn indicated(&mut self, now: Now, leg: LegId, indication: Indication) {
        match indication {
            Indication::Incoming(call) => self.incoming(now, leg, &call),
            Indication::Answered { media } => {
                self.connect(leg, &media);
                if let Some(p) = self.phones.get_mut(&leg).filter(|p| !p.is_up()) {
                    p.up(now.mono);
                }
            }
            Indication::AckDue => self.sip(now, SipInput::AckJournalled(leg)),
            Indication::Offered(offer) => {
                self.connect(leg, &offer);
                let answer = self.answer_to(&offer);
                self.sip(now, SipInput::Leg(leg, Action::Answer(answer)));
            }
            Indication::Referred { .. } => {
                self.sip(now, SipInput::Leg(leg, Action::ReferResult { status: 603 }))
            }
            Indication::Ended(ended) => self.ended(now, leg, &ended),
            _ => {}
        }
    }

    fn incoming(&mut self, now: Now, leg: LegId, call: &Incoming) {
        self.counts.incoming += 1;
        let number = user_part(call.to.expose()).to_owned();
        let person = self.config.scenario.choose(&number, &mut self.rng);
        *self.rang.entry(number.clone()).or_default() += 1;
        let ear = Ear::new(0, self.config.quiet_ms, self.config.keep_audio);
        let mut phone = Phone::new(now.mono, person, number, ear);
        phone.remote = None;
        self.enlist(leg, phone);
        if let Some(offer) = &call.offer {
            self.connect(leg, offer);
        }
        self.go_on(now, leg);
    }

    /// Learns the other side's media: where RTP goes and what it is.
    fn connect(&mut self, leg: LegId, media: &Media) {
        let Media::Rtp(rtp) = media else { return };
        let Some(phone) = self.phones.get_mut(&leg) else { return };
        if let Some(old) = phone.remote.replace(rtp.addr) {
            self.by_address.remove(&old);
        }
        self.by_address.insert(rtp.addr, leg);
        let codec = rtp.codecs.first().copied().unwrap_or(Codec::Pcmu);
        if phone.mouth.is_none() {
            let seed = Seed(self.rng.next_u64());
            phone.mouth = Some(Mouth::new(seed, codec.payload_type(), rtp.telephone_event));
        }
    }

    fn answer_to(&self, offer: &Media) -> Media {
        match offer {
            Media::Rtp(r) => self.media(&[Codec::Pcmu], r.telephone_event),
            Media::Timeslot { .. } => self.media(&[Codec::Pcmu], None),
        }
    }

    fn ended(&mut self, now: Now, leg: LegId, ended: &Ended) {
        let Some(mut phone) = self.phones.remove(&leg) else { return };
        if let Some(address) = phone.remote {
            self.by_address.remove(&address);
        }
        if let Some(status) = ended.status {
            phone.refused(status);
        }
        self.logs.push(phone.over(now.mono));
    }

    fn rtp(&mut self, at: Mono, from: SocketAddr, bytes: &[u8]) {
        let Some(phone) = self.by_address.get(&from).and_then(|l| self.phones.get_mut(l)) else {
            self.counts.stray_rtp += 1;
            return;
        };
        if let Some(what) = phone.ear.packet(at, bytes) {
            phone.noticed(at, what);
        }
    }

    fn tick(&mut self, now: Now) {
        if self.endpoint.deadline().is_some_and(|(at, _)| at <= now.mono) {
            self.sip(now, SipInput::Timer);
        }
        let ms = now.mono.as_ms();
        let last = self.ticked_ms.replace(ms).unwrap_or(ms.saturating_sub(1));
        for t in (last + 1..=ms).rev().take(20) {
            self.phase(now, usize::try_from(t % 20).expect("below 20"));
        }
        while self.delayed.peek().is_some_and(|d| d.at <= now.mono) {
            let d = self.delayed.pop().expect("peeked");
            self.out.push(Output::Rtp { to: d.to, packet: d.packet, length: d.length });
        }
    }

    /// One twentieth of the phones: each sends its frame and goes on with its steps.
    fn phase(&mut self, now: Now, phase: usize) {
        let mut legs = std::mem::take(&mut self.phases[phase]);
        legs.retain(|leg| self.phones.contains_key(leg));
        for &leg in &legs {
            self.frame(now.mono, leg);
            self.go_on(now, leg);
        }
        self.phases[phase].append(&mut legs);
    }

    fn frame(&mut self, now: Mono, leg: LegId) {
        let Some(phone) = self.phones.get_mut(&leg).filter(|p| p.is_up()) else { return };
        if let Some(what) = phone.ear.pause(now) {
            phone.noticed(now, what);
        }
        let (Some(mouth), Some(to)) = (&mut phone.mouth, phone.remote) else { return };
        let mut packet = [0; 172];
        let length = mouth.frame(&mut packet);
        self.send(now, to, packet, length);
    }

    /// Sends through the network's faults.
    fn send(&mut self, now: Mono, to: SocketAddr, packet: [u8; 172], length: usize) {
        let f = self.config.scenario.network;
        if f == super::scenario::NetworkFaults::default() {
            self.out.push(Output::Rtp { to, packet, length });
            return;
        }
        if self.rng.chance(f.loss) {
            return;
        }
        let copies = if self.rng.chance(f.duplicate) { 2 } else { 1 };
        for _ in 0..copies {
            let mut delay = self.rng.below(u64::from(f.jitter_ms) + 1);
            if self.rng.chance(f.reorder) {
                delay += 25;
            }
            self.delayed.push(Delayed {
                at: now + std::time::Duration::from_millis(delay),
                to,
                packet,
                length,
            });
        }
    }

    fn go_on(&mut self, now: Now, leg: LegId) {
        while let Some(phone) = self.phones.get_mut(&leg) {
            let Some(ask) = phone.step(now.mono, &mut self.rng) else { return };
            let action = match ask {
                Ask::Ring => Action::Ring { media: None },
                Ask::Accept => {
                    phone.up(now.mono);
                    let event = phone.mouth.as_ref().and_then(Mouth::event_type);
                    Action::Accept { media: self.media(&[Codec::Pcmu, Codec::Pcma], event.or(Some(101))) }
                }
                Ask::Reject(status) => {
                    Action::Reject { cause: cause_of(status), status: Some(status), retry_after_s: None }
                }
                Ask::Clear => Action::Clear(Cause::NORMAL),
            };
            self.sip(now, SipInput::Leg(leg, action));
        }
    }
}

impl Ord for Delayed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.at.cmp(&self.at)
    }
}

impl PartialOrd for Delayed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Delayed {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Delayed {}

/// The user part of a `sip:` URI, or the number of a `tel:` URI.
fn user_part(uri: &str) -> &str {
    let rest = uri.trim_start_matches('<');
    let rest = rest.split_once(':').map_or(rest, |(_, r)| r);
    rest.split(['@', ';', '>']).next().unwrap_or(rest)
}

/// The cause whose usual SIP status is this one (RFC 3398 §8.2.6.1, turned round).
fn cause_of(status: u16) -> Cause {
    match status {
        404 | 410 | 604 => Cause::UNALLOCATED,
        480 => Cause::NO_RESPONSE,
        484 => Cause::INVALID_NUMBER,
        486 | 600 => Cause::BUSY,
        403 | 603 | 607 | 608 => Cause::REJECTED,
        488 | 606 => Cause::INCOMPATIBLE,
        500 => Cause::TEMPORARY,
        502 => Cause::NETWORK_OUT_OF_ORDER,
        503 => Cause::CONGESTION,
        _ => Cause::NORMAL_UNSPECIFIED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_the_user_part() {
        for (uri, number) in
            [("sip:+1555@127.0.0.1:5060", "+1555"), ("tel:+1555;ext=1", "+1555"), ("<sip:a@b>", "a")]
        {
            assert_eq!(user_part(uri), number);
        }
    }
}
