//! `World`: all telephones of a simulated network, the SIP endpoint before them, and their few RTP addresses.

use super::ear::Ear;
use super::mouth::Mouth;
use super::pacer::{Pace, Pacer};
use super::phone::{Ask, CallLog, Phone};
use super::scenario::{NetworkFaults, Person, Scenario};
use super::slots::{Slot, Slots};
pub use super::tally::{Counts, Rang, Streams};
use hdrhistogram::Histogram;
use signalling::leg::{Action, Ended, Incoming, Indication, Media, Place, Rtp, Transport};
use signalling::sip::endpoint::{
    Advertised, Endpoint, EndpointConfig, FlowId, Input as SipInput, Output as SipOutput,
};
use std::collections::{BTreeMap, BinaryHeap};
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
    /// Octets of a SIP stream.
    Stream {
        /// Which.
        flow: FlowId,
        /// TCP or TLS.
        transport: Transport,
        /// From.
        from: SocketAddr,
        /// Octets.
        bytes: &'a [u8],
    },
    /// A SIP stream closed.
    Closed {
        /// Which.
        flow: FlowId,
    },
    /// Nobody answers there.
    Unreachable {
        /// Transport.
        transport: Transport,
        /// Address.
        to: SocketAddr,
    },
    /// An RTP packet.
    Rtp {
        /// On which of our ports, from 0.
        port: u16,
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
    /// A SIP message for a stream.
    Stream {
        /// By this one if it is up; else one to `to`.
        flow: Option<FlowId>,
        /// TCP or TLS.
        transport: Transport,
        /// To.
        to: SocketAddr,
        /// Octets.
        bytes: Vec<u8>,
    },
    /// Close a SIP stream.
    Close {
        /// Which.
        flow: FlowId,
    },
    /// An RTP packet: the first `length` octets.
    Rtp {
        /// From which of our ports, from 0.
        port: u16,
        /// To.
        to: SocketAddr,
        /// Octets.
        packet: [u8; 172],
        /// How many.
        length: usize,
    },
}

/// Numbers that are kept apart, at most.
const NUMBERS_MAX: usize = 2_000_000;
/// Times that are kept of a number, at most.
const TIMES_MAX: usize = 16;

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

/// Calls to be placed at a pace; `{n}` in the addresses becomes the call's number, from 1.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// How fast.
    pub pace: Pace,
    /// Request-URI.
    pub to: String,
    /// From URI.
    pub from: String,
    /// Next hop.
    pub hop: SocketAddr,
}

/// The SIP endpoint of a simulated network: answers everyone, allows as many calls as memory does.
#[must_use]
pub fn endpoint(config: &WorldConfig) -> Endpoint {
    endpoint_at(config, Advertised { udp: Some(config.sip), ..Advertised::default() })
}

/// The same, reached at these addresses.
#[must_use]
pub fn endpoint_at(config: &WorldConfig, advertised: Advertised) -> Endpoint {
    let mut secret = [0; 32];
    secret[..8].copy_from_slice(&config.seed.0.to_le_bytes());
    let mut endpoint = EndpointConfig::new(0, advertised, secret);
    endpoint.user_agent = "carillon-bench".into();
    endpoint.answer_unknown = true;
    // One server is the source of everything that comes here.
    endpoint.limits.source_rate = 100_000;
    Endpoint::new(endpoint, config.seed)
}

struct Delayed {
    at: Mono,
    port: u16,
    to: SocketAddr,
    packet: [u8; 172],
    length: usize,
}

/// See the module.
pub struct World {
    config: WorldConfig,
    endpoint: Endpoint,
    rng: Rng,
    transport: Transport,
    codecs: Vec<Codec>,
    mute: bool,
    ports: Vec<SocketAddr>,
    port_next: u16,
    slots: Slots,
    phases: Vec<Vec<(u32, LegId)>>,
    ticked_ms: Option<u64>,
    delayed: BinaryHeap<Delayed>,
    out: Vec<Output>,
    logs: Vec<CallLog>,
    campaign: Option<(Campaign, Pacer)>,
    rang: BTreeMap<String, Rang>,
    counts: Counts,
    ended: Streams,
    ended_talk_ms: u64,
    lateness: Histogram<u64>,
    placed: u64,
}

impl World {
    /// A world whose SIP is spoken by this endpoint (made by the caller, so that it may configure it).
    #[must_use]
    pub fn new(config: WorldConfig, endpoint: Endpoint) -> Self {
        Self {
            rng: config.seed.rng(),
            transport: Transport::Udp,
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            mute: false,
            ports: vec![config.rtp],
            port_next: 0,
            config,
            endpoint,
            slots: Slots::default(),
            phases: vec![Vec::new(); 20],
            ticked_ms: None,
            delayed: BinaryHeap::new(),
            out: Vec::new(),
            logs: Vec::new(),
            campaign: None,
            rang: BTreeMap::new(),
            counts: Counts::default(),
            ended: Streams::default(),
            ended_talk_ms: 0,
            lateness: Histogram::new_with_bounds(1, 60_000_000, 3).expect("valid bounds"),
            placed: 0,
        }
    }

    /// Its calls go out over this transport.
    #[must_use]
    pub fn over(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Its RTP uses these addresses in turn, so that calls from one address of the server can be told apart.
    #[must_use]
    pub fn with_ports(mut self, ports: Vec<SocketAddr>) -> Self {
        assert!(!ports.is_empty(), "a world has an RTP address");
        self.ports = ports;
        self
    }

    /// It offers and takes these codecs, PCMU and PCMA, best first.
    #[must_use]
    pub fn with_codecs(mut self, codecs: Vec<Codec>) -> Self {
        assert!(!codecs.is_empty(), "a world has a codec");
        self.codecs = codecs;
        self
    }

    /// It sends no RTP: signalling alone.
    #[must_use]
    pub fn muted(mut self, yes: bool) -> Self {
        self.mute = yes;
        self
    }

    /// Takes one input; outputs wait in [`World::drain`].
    pub fn handle(&mut self, now: Now, input: Input<'_>) {
        match input {
            Input::Sip { from, bytes } => {
                let received = SipInput::Received { flow: FlowId(0), transport: Transport::Udp, from, bytes };
                self.sip(now, received);
            }
            Input::Stream { flow, transport, from, bytes } => {
                self.sip(now, SipInput::Received { flow, transport, from, bytes });
            }
            Input::Closed { flow } => self.sip(now, SipInput::FlowClosed { flow }),
            Input::Unreachable { transport, to } => self.sip(now, SipInput::Unreachable { transport, to }),
            Input::Rtp { port, from, at, bytes } => self.rtp(port, at, from, bytes),
            Input::Tick => self.tick(now),
        }
    }

    /// What is to be sent, in order.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Output> {
        self.out.drain(..)
    }

    /// What is to be sent, in order; [`World::sent`] forgets it.
    #[must_use]
    pub fn outputs(&self) -> &[Output] {
        &self.out
    }

    /// Forgets what was to be sent.
    pub fn sent(&mut self) {
        self.out.clear();
    }

    /// Places calls at a pace from now on; `None`: no more.
    pub fn campaign(&mut self, campaign: Option<Campaign>) {
        self.campaign = match (campaign, self.campaign.take()) {
            (Some(c), Some((_, mut pacer))) => {
                pacer.set(c.pace);
                Some((c, pacer))
            }
            (Some(c), None) => {
                let pacer = Pacer::new(c.pace);
                Some((c, pacer))
            }
            (None, _) => None,
        };
    }

    /// Whether calls will still be placed.
    #[must_use]
    pub fn will_place(&self) -> bool {
        self.campaign.as_ref().is_some_and(|(_, p)| !p.done())
    }

    /// When the next tick is needed at the latest: SIP timers, and every millisecond while calls are up.
    #[must_use]
    pub fn deadline(&self, now: Mono) -> Option<Mono> {
        let sip = self.endpoint.deadline().map(|(at, _)| at);
        if self.slots.len() == 0 && self.delayed.is_empty() && self.campaign.is_none() {
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
        let port = self.port_next;
        self.port_next = (port + 1) % u16::try_from(self.ports.len()).unwrap_or(u16::MAX);
        let phone = self.phone(now, dial.person.clone(), dial.to.clone()).outgoing();
        self.enlist(Slot { leg, phone, port, learned: None });
        let place = Place {
            to: Private::new(dial.to.clone()),
            from: Private::new(dial.from.clone()),
            asserted: None,
            hop: dial.hop,
            transport: self.transport,
            attempt: AttemptId(self.rng.next_u128()),
            media: self.media(port, Some(101)),
            engine: None,
            credentials: None,
            headers: Vec::new(),
            ring_max_ms: 120_000,
        };
        self.sip(now, SipInput::Leg(leg, Action::Place(Box::new(place))));
        leg
    }

    /// Hangs up on everyone (ctrl-C).
    pub fn clear_all(&mut self, now: Now) {
        self.campaign = None;
        let legs: Vec<LegId> = self.slots.iter().map(|s| s.leg).collect();
        for leg in legs {
            if let Some(slot) = self.slots.get(leg) {
                slot.phone.clear();
            }
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
        Counts { up: self.slots.iter().filter(|s| s.phone.is_up()).count() as u64, ..self.counts }
    }

    /// What was heard so far, in ended calls and in live ones.
    #[must_use]
    pub fn streams(&self) -> Streams {
        self.slots.iter().fold(self.ended, |sum, s| sum.with(s.phone.ear.hearing()))
    }

    /// Time that calls were up so far, ended ones and live ones, ms.
    #[must_use]
    pub fn talk_ms(&self, now: Mono) -> u64 {
        self.slots.iter().fold(self.ended_talk_ms, |sum, s| sum + s.phone.talk_ms(now))
    }

    /// How late packets were against their grid so far, us.
    #[must_use]
    pub fn lateness(&self) -> &Histogram<u64> {
        &self.lateness
    }

    /// Calls in progress, ringing ones too.
    #[must_use]
    pub fn live(&self) -> usize {
        self.slots.len()
    }

    /// How often each number rang; "nobody is called twice" is judged here.
    #[must_use]
    pub fn rang(&self) -> &BTreeMap<String, Rang> {
        &self.rang
    }

    fn phone(&self, now: Now, person: Arc<Person>, number: String) -> Phone {
        let prints = &self.config.scenario.prints;
        let ear = Ear::new(0, self.config.quiet_ms, self.config.keep_audio).knowing(prints);
        Phone::new(now.mono, person, number, ear).knowing(prints)
    }

    fn enlist(&mut self, slot: Slot) {
        let leg = slot.leg;
        let at = self.slots.insert(slot);
        let phase = usize::try_from(self.rng.below(20)).expect("below 20");
        self.phases[phase].push((at, leg));
    }

    fn media(&self, port: u16, telephone_event: Option<u8>) -> Media {
        Media::Rtp(Rtp {
            addr: self.ports[usize::from(port)],
            rtcp: None,
            codecs: self.codecs.clone(),
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
                SipOutput::Transmit { transport: Transport::Udp, to, bytes, .. } => {
                    self.out.push(Output::Sip { to, bytes });
                }
                SipOutput::Transmit { flow, transport, to, bytes } => {
                    self.out.push(Output::Stream { flow, transport, to, bytes });
                }
                SipOutput::Close { flow } => self.out.push(Output::Close { flow }),
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
                if let Some(s) = self.slots.get(leg).filter(|s| !s.phone.is_up()) {
                    s.phone.up(now.mono);
                }
            }
            Indication::Progress { media: Some(media), .. } => self.connect(leg, &media),
            Indication::AckDue => self.sip(now, SipInput::AckJournalled(leg)),
            Indication::Offered(offer) => {
                self.connect(leg, &offer);
                let port = self.slots.get(leg).map_or(0, |s| s.port);
                let event = match &offer {
                    Media::Rtp(r) => r.telephone_event,
                    Media::Timeslot { .. } => None,
                };
                let answer = self.media(port, event);
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
        self.ring_up(now.mono, &number);
        let phone = self.phone(now, person, number);
        let port = self.free_port(call.offer.as_ref());
        self.enlist(Slot { leg, phone, port, learned: None });
        if let Some(offer) = &call.offer {
            self.connect(leg, offer);
        }
        self.go_on(now, leg);
    }

    fn ring_up(&mut self, now: Mono, number: &str) {
        if self.rang.len() >= NUMBERS_MAX && !self.rang.contains_key(number) {
            return;
        }
        let rang = self.rang.entry(number.to_owned()).or_default();
        rang.times += 1;
        self.counts.numbers += u64::from(rang.times == 1);
        self.counts.numbers_twice += u64::from(rang.times == 2);
        if rang.at_ms.len() < TIMES_MAX {
            rang.at_ms.push(now.0 / 1_000_000);
        }
    }

    /// The next of our ports on which nothing comes from the offer's address yet.
    fn free_port(&mut self, offer: Option<&Media>) -> u16 {
        let n = u16::try_from(self.ports.len()).unwrap_or(u16::MAX);
        let next = self.port_next;
        self.port_next = (next + 1) % n;
        let Some(Media::Rtp(rtp)) = offer else { return next };
        (0..n).map(|i| (next + i) % n).find(|p| !self.slots.taken(*p, rtp.addr)).unwrap_or(next)
    }

    /// Learns the other side's media: where RTP goes and what it is.
    fn connect(&mut self, leg: LegId, media: &Media) {
        let Media::Rtp(rtp) = media else { return };
        if self.slots.get(leg).is_none() {
            return;
        }
        if !self.slots.book(leg, rtp.addr) {
            self.counts.ambiguous += 1;
        }
        let agreed = self.codecs.iter().find(|c| rtp.codecs.contains(c));
        let payload_type = agreed.copied().unwrap_or(Codec::Pcmu).payload_type();
        let seed = Seed(self.rng.next_u64());
        let Some(Slot { phone, .. }) = self.slots.get(leg) else { return };
        phone.ear.agree(payload_type, rtp.telephone_event);
        let mouth = phone.mouth.get_or_insert_with(|| Mouth::new(seed, payload_type, rtp.telephone_event));
        mouth.agree(payload_type, rtp.telephone_event);
    }

    fn ended(&mut self, now: Now, leg: LegId, ended: &Ended) {
        let Some(Slot { mut phone, .. }) = self.slots.remove(leg) else { return };
        if let Some(status) = ended.status {
            phone.refused(status);
        }
        let log = phone.over(now.mono);
        self.ended = self.ended.with(log.hearing);
        self.ended_talk_ms += log.talk_ms;
        self.logs.push(log);
    }

    fn rtp(&mut self, port: u16, at: Mono, from: SocketAddr, bytes: &[u8]) {
        if self.slots.on_road(port, from).is_none() && self.slots.learn(port, from) {
            self.counts.learned += 1;
        }
        let Some(Slot { phone, .. }) = self.slots.on_road(port, from) else {
            self.counts.stray_rtp += 1;
            return;
        };
        if let Some(what) = phone.ear.packet(at, bytes) {
            phone.noticed(at, what);
        }
        if let Some(late) = phone.ear.late_us() {
            self.lateness.saturating_record(late);
        }
    }

    fn tick(&mut self, now: Now) {
        if self.endpoint.deadline().is_some_and(|(at, _)| at <= now.mono) {
            self.sip(now, SipInput::Timer);
        }
        let ms = now.mono.as_ms();
        let last = self.ticked_ms.replace(ms).unwrap_or(ms.saturating_sub(1));
        if ms.saturating_sub(last) > 20 {
            self.counts.frames_skipped += (ms - last - 20) * self.slots.len() as u64 / 20;
        }
        for t in (last + 1..=ms).rev().take(20) {
            self.phase(now, usize::try_from(t % 20).expect("below 20"));
        }
        self.place_due(now);
        while self.delayed.peek().is_some_and(|d| d.at <= now.mono) {
            let d = self.delayed.pop().expect("peeked");
            self.out.push(Output::Rtp { port: d.port, to: d.to, packet: d.packet, length: d.length });
        }
    }

    fn place_due(&mut self, now: Now) {
        let live = self.slots.len();
        let Some((campaign, pacer)) = &mut self.campaign else { return };
        let before = pacer.placed();
        let n = pacer.due(now.mono, live);
        if n == 0 {
            return;
        }
        let Campaign { to, from, hop, .. } = campaign.clone();
        for i in before + 1..=before + n {
            let number = i.to_string();
            let person = self.config.scenario.choose("", &mut self.rng);
            let (to, from) = (to.replace("{n}", &number), from.replace("{n}", &number));
            self.dial(now, &Dial { to, from, hop, person });
        }
    }

    /// One twentieth of the phones: each sends its frame and goes on with its steps.
    fn phase(&mut self, now: Now, phase: usize) {
        let mut places = std::mem::take(&mut self.phases[phase]);
        places.retain(|&(at, leg)| self.slots.at(at, leg).is_some());
        for &(at, leg) in &places {
            self.go_on(now, leg);
            self.frame(now.mono, at, leg);
        }
        self.phases[phase].append(&mut places);
    }

    fn frame(&mut self, now: Mono, at: u32, leg: LegId) {
        let Some(Slot { phone, port, .. }) = self.slots.at(at, leg).filter(|s| s.phone.sends()) else {
            return;
        };
        if let Some(what) = phone.ear.pause(now) {
            phone.noticed(now, what);
        }
        let (Some(mouth), Some(to)) = (&mut phone.mouth, phone.remote) else { return };
        let port = *port;
        if self.mute {
            return;
        }
        let mut packet = [0; 172];
        let length = mouth.frame(&mut packet);
        self.send(now, port, to, packet, length);
    }

    /// Sends through the network's faults.
    fn send(&mut self, now: Mono, port: u16, to: SocketAddr, packet: [u8; 172], length: usize) {
        let f = self.config.scenario.network;
        if f == NetworkFaults::default() {
            self.out.push(Output::Rtp { port, to, packet, length });
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
                port,
                to,
                packet,
                length,
            });
        }
    }

    fn go_on(&mut self, now: Now, leg: LegId) {
        while let Some(Slot { phone, port, .. }) = self.slots.get(leg) {
            let port = *port;
            let Some(ask) = phone.step(now.mono, &mut self.rng) else { return };
            let event = phone.mouth.as_ref().and_then(Mouth::event_type);
            if ask == Ask::Accept {
                phone.up(now.mono);
            }
            let action = match ask {
                Ask::Ring => Action::Ring { media: None },
                Ask::Early => Action::Ring { media: Some(self.media(port, event.or(Some(101)))) },
                Ask::Accept => Action::Accept { media: self.media(port, event.or(Some(101))) },
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
