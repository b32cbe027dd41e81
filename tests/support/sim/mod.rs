//! The whole path in one thread and in virtual time: mail and JSON become orders, the production desk and shard carry
//! them, the production worker moves the sound, simulated telephones answer over a simulated network, and a simulated
//! web server serves the sample application. A seed and a commit are a whole bug report.

pub mod check;
pub mod media;
pub mod plan;
pub mod site;
pub mod wire;

mod intake;

use bench::farend::world::{self, endpoint};
use bench::farend::{CallLog, World, WorldConfig};
use control::call::Start as CallStart;
use control::call::play::{Loaded, Wanted};
use control::conduct;
use control::desk::{self, Desk};
use control::shard::{self, Settings, Shard};
use control::store::{Answer, Ask, Room, Store};
use intake::Intake;
use media::Media;
use node::store::sqlite::Sqlite;
use plan::Plan;
use signalling::leg::Transport;
use signalling::sip::endpoint::{
    Advertised, Endpoint, EndpointConfig, FlowId, Input as SipInput, Net, Output as SipOutput,
};
use site::Site;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use units::{Codec, Mono, Now, OrderId, Seed, Wall};
use vxml::session::{FetchError, Fetched};
use wire::{Datagram, Wire};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const NETWORK: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const SIP_PORT: u16 = 5060;

/// What comes back to a machine later.
enum Later {
    Fetched(shard::Token, Box<Result<Fetched, FetchError>>),
    Prompt(shard::Token, Option<Loaded>),
}

/// Who asked the store.
enum Asker {
    Desk(desk::Token),
    Shard(Option<shard::Token>),
    Intake(Box<desk::Input>),
}

/// See the module.
pub struct Sim {
    pub now: Now,
    pub plan: Plan,
    shard: Shard,
    desk: Desk<intake::Court>,
    store: Sqlite,
    media: Media,
    pub world: World,
    wire: Wire,
    pub site: Site,
    intake: Intake,
    later: BTreeMap<(Mono, u64), Later>,
    laters: u64,
    asks: Vec<(Asker, Ask)>,
    pub logs: Vec<CallLog>,
    pub accepted: Vec<OrderId>,
    pub slots_out: i64,
    /// Transfers asked for.
    pub seconds: u32,
    pub facts: Vec<String>,
    prompts_loaded: i64,
    /// Calls that hold a place of a trunk.
    trunk_calls: i64,
    report_at: Mono,
}

fn sip(ip: Ipv4Addr) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(ip), SIP_PORT)
}

impl Sim {
    pub fn new(plan: Plan) -> Self {
        let seed = Seed(plan.seed);
        // 2026-03-02 is a Monday; 15:00 UTC is morning on one side of the Atlantic and afternoon on the other.
        let now = Now { mono: Mono::from_ms(1_000), wall: Wall(1_772_463_600_000) };
        let config = intake::config(&plan, sip(NETWORK));
        let world_config = WorldConfig {
            sip: sip(NETWORK),
            rtp: SocketAddr::new(IpAddr::V4(NETWORK), 40_000),
            scenario: plan.scenario.clone(),
            keep_audio: true,
            quiet_ms: 900,
            seed: seed.derive(1),
        };
        let world = World::new(world_config.clone(), endpoint(&world_config));
        let settings = Arc::new(Settings::new(&config, IpAddr::V4(SERVER), [7; 32]));
        let shard = Shard::new(settings, server_endpoint(seed), seed.derive(3));
        let bearers = plan.calls_max + 20;
        Self {
            now,
            shard,
            desk: intake::desk(&config, seed.derive(4)),
            store: Sqlite::in_memory(),
            media: Media::new(IpAddr::V4(SERVER), bearers, seed.derive(5)),
            world,
            wire: Wire::new(plan.weather, seed.derive(6)),
            site: Site::new(plan.manners, plan.pages, seed.derive(7).rng()),
            intake: Intake::new(&plan, &config, seed.derive(8)),
            plan,
            later: BTreeMap::new(),
            laters: 0,
            asks: Vec::new(),
            logs: Vec::new(),
            accepted: Vec::new(),
            slots_out: 0,
            seconds: 0,
            facts: Vec::new(),
            prompts_loaded: 0,
            trunk_calls: 0,
            report_at: Mono(0),
        }
    }

    /// Runs the day to its end: every order is over and every call gone, or patience is.
    pub fn run(&mut self) {
        let end = self.now.mono + Duration::from_millis(self.plan.patience_ms);
        self.desk.handle(self.now, desk::Input::Begin);
        self.pump_desk();
        while self.now.mono < end && !self.over() {
            self.millisecond();
            self.now = self.now.plus(self.step());
        }
        // What a call leaves behind (transactions, lingering timers) is gone after the longest timer.
        let linger = self.now.mono + Duration::from_secs(70);
        while self.now.mono < linger {
            self.millisecond();
            self.now = self.now.plus(self.step());
        }
    }

    fn over(&mut self) -> bool {
        self.intake.is_empty()
            && self.asks.is_empty()
            && self.shard.calls() == 0
            && self.world.live() == 0
            && self.store_open() == 0
    }

    /// Nothing moves while nobody calls: then time jumps.
    fn step(&self) -> Duration {
        let ms = Duration::from_millis(1);
        let busy = self.media.open_bearers() > 0 || self.world.live() > 0 || !self.asks.is_empty();
        if busy {
            return ms;
        }
        let deadlines = [
            self.wire.next(),
            self.later.first_key_value().map(|(k, _)| k.0),
            self.shard.deadline(),
            self.desk.deadline(),
            self.world.deadline(self.now.mono),
            self.intake.next(),
        ];
        // A server that says nothing for two seconds is taken for dead: it reports at least every second.
        let next = deadlines.into_iter().flatten().min().unwrap_or(self.now.mono);
        next.since(self.now.mono).clamp(ms, Duration::from_secs(1))
    }

    fn millisecond(&mut self) {
        for (order, digest, due) in self.intake.give(self.now) {
            let woken = Box::new(intake::woken(&order, due));
            let ask = Ask::Accept { orders: vec![(order, digest)], due: vec![due], room: Room::UNBOUNDED };
            self.asks.push((Asker::Intake(woken), ask));
        }
        self.datagrams();
        self.laters_due();
        self.sound();
        self.world.handle(self.now, world::Input::Tick);
        self.drain_world();
        if self.shard.deadline().is_some_and(|at| at <= self.now.mono) {
            self.shard(shard::Input::Timer);
        }
        if self.desk.deadline().is_some_and(|at| at <= self.now.mono) {
            self.desk(desk::Input::Timer);
        }
        if self.now.mono >= self.report_at {
            self.report_at = self.now.mono + Duration::from_millis(100);
            let report = intake::report(&self.plan, self.shard.calls());
            self.desk(report);
        }
        self.commit();
    }

    fn datagrams(&mut self) {
        while let Some(d) = self.wire.arrive(self.now.mono) {
            if d.to == sip(SERVER) {
                let received = SipInput::Received {
                    flow: FlowId(0),
                    transport: Transport::Udp,
                    from: d.from,
                    bytes: &d.bytes,
                };
                self.shard(shard::Input::Sip(received));
            } else if d.to.ip() == IpAddr::V4(SERVER) {
                self.media.deliver(d.to, d.from, d.bytes);
            } else {
                let input = if d.to.port() == SIP_PORT {
                    world::Input::Sip { from: d.from, bytes: &d.bytes }
                } else {
                    world::Input::Rtp { port: 0, from: d.from, at: self.now.mono, bytes: &d.bytes }
                };
                self.world.handle(self.now, input);
                self.drain_world();
            }
        }
    }

    fn drain_world(&mut self) {
        let rtp = SocketAddr::new(IpAddr::V4(NETWORK), 40_000);
        let outputs: Vec<world::Output> = self.world.drain().collect();
        for output in outputs {
            let datagram = match output {
                world::Output::Sip { to, bytes } => Datagram { from: sip(NETWORK), to, bytes },
                world::Output::Rtp { to, packet, length, .. } => {
                    Datagram { from: rtp, to, bytes: packet[..length].to_vec() }
                }
                // This world speaks UDP.
                world::Output::Stream { .. } | world::Output::Close { .. } => continue,
            };
            self.wire.send(self.now.mono, datagram);
        }
        self.logs.extend(self.world.take_logs());
    }

    fn sound(&mut self) {
        let mut sent = Vec::new();
        let reports = self.media.tick(self.now, &mut sent);
        for packet in sent {
            // RTCP goes to a port that no telephone of this world listens on.
            if packet.remote.port() == 40_000 {
                let datagram = Datagram { from: packet.local, to: packet.remote, bytes: packet.bytes };
                self.wire.send(self.now.mono, datagram);
            }
        }
        for report in reports {
            self.shard(shard::Input::Report(report));
        }
    }

    fn later(&mut self, after_ms: u64, what: Later) {
        self.laters += 1;
        self.later.insert((self.now.mono + Duration::from_millis(after_ms), self.laters), what);
    }

    fn laters_due(&mut self) {
        while let Some(entry) = self.later.first_entry() {
            if entry.key().0 > self.now.mono {
                return;
            }
            match entry.remove() {
                Later::Fetched(token, result) => self.shard(shard::Input::Fetched(token, *result)),
                Later::Prompt(token, loaded) => self.shard(shard::Input::Prompt(token, loaded)),
            }
        }
    }

    fn shard(&mut self, input: shard::Input<'_>) {
        self.shard.handle(self.now, input);
        let mut outputs = Vec::new();
        while let Some(output) = self.shard.poll() {
            outputs.push(output);
        }
        for output in outputs {
            self.obey(output);
        }
    }

    fn obey(&mut self, output: shard::Output) {
        match output {
            shard::Output::Sip(SipOutput::Transmit { to, bytes, .. }) => {
                self.wire.send(self.now.mono, Datagram { from: sip(SERVER), to, bytes });
            }
            shard::Output::Reserve(token, _) => {
                let place = self.media.reserve();
                self.shard(shard::Input::Reserved(token, place));
            }
            shard::Output::Release(bearer) => self.media.release(bearer),
            shard::Output::Open { bearer, far, .. } => self.media.open(bearer, &far),
            shard::Output::Respec { bearer, far, .. } => self.media.respec(bearer, &far),
            shard::Output::Command(command) => self.media.command(command),
            shard::Output::Fetch { token, request, .. } => {
                let (after, result) = self.site.answer(&request);
                self.later(after, Later::Fetched(token, Box::new(result)));
            }
            shard::Output::Load { token, wanted, codec, .. } => self.load(token, &wanted, codec),
            shard::Output::Unload(_) => self.prompts_loaded -= 1,
            shard::Output::Ask(token, ask) => self.asks.push((Asker::Shard(token), ask)),
            shard::Output::Finished(finished) => self.finished(*finished),
            shard::Output::Second(order) => {
                self.seconds += 1;
                self.desk(desk::Input::Second(order, units::ServerId(1)));
            }
            shard::Output::Fact(conduct::Fact::TrunkTaken(_)) => self.trunk_calls += 1,
            shard::Output::Fact(conduct::Fact::TrunkReturned { .. }) => self.trunk_calls -= 1,
            shard::Output::Fact(fact) => self.facts.push(format!("{fact:?}")),
            _ => {}
        }
    }

    fn load(&mut self, token: shard::Token, wanted: &Wanted, _codec: Codec) {
        let (name, samples) = match wanted {
            Wanted::Url { url, .. } => (url.clone(), self.site.audio(url)),
            Wanted::Text(speech) => (speech.text.clone(), Some(Site::spoken(&speech.text))),
            Wanted::Recording(_) => (String::new(), None),
        };
        let loaded = samples.map(|samples| {
            let (prompt, resident) = self.media.prompt(&name, &samples);
            self.prompts_loaded += 1;
            Loaded { prompt, length: resident.length() }
        });
        self.later(2, Later::Prompt(token, loaded));
    }

    fn finished(&mut self, finished: shard::Finished) {
        self.slots_out -= 1;
        match intake::desk_finished(finished) {
            Ok(for_desk) => self.desk(desk::Input::Finished(Box::new(for_desk))),
            Err(released) => self.desk(desk::Input::Returned(released)),
        }
    }

    fn desk(&mut self, input: desk::Input) {
        self.desk.handle(self.now, input);
        self.pump_desk();
    }

    fn pump_desk(&mut self) {
        let mut outputs = Vec::new();
        while let Some(output) = self.desk.poll() {
            outputs.push(output);
        }
        for output in outputs {
            match output {
                desk::Output::Ask(token, ask) => self.asks.push((Asker::Desk(token), ask)),
                desk::Output::Start(start) => self.start(*start),
                desk::Output::Denied(order, _, why) => {
                    let parent = order.parent().expect("only transfers are denied");
                    self.shard(shard::Input::Denied(parent, order.id, why));
                }
                desk::Output::HangUp(_) => self.facts.push("a former life's call".into()),
                desk::Output::Fact(_) | desk::Output::Woken { .. } => {}
                desk::Output::Offer(_) => unreachable!("one process offers nothing"),
            }
        }
    }

    fn start(&mut self, start: desk::Start) {
        self.slots_out += 1;
        let call = CallStart {
            permit: start.permit,
            slot: start.slot,
            order: start.order,
            lease: start.lease,
            trunks: None,
            again: false,
        };
        self.shard(shard::Input::Start(Box::new(call)));
    }

    /// One group commit: all that was asked in this millisecond in one transaction.
    fn commit(&mut self) {
        let (askers, asks): (Vec<Asker>, Vec<Ask>) = std::mem::take(&mut self.asks).into_iter().unzip();
        if asks.is_empty() {
            return;
        }
        let answers = self.store.run(self.now, asks);
        for (asker, answer) in askers.into_iter().zip(answers) {
            match asker {
                Asker::Desk(token) => self.desk(desk::Input::Stored(token, answer)),
                Asker::Shard(Some(token)) => self.shard(shard::Input::Stored(token, answer)),
                Asker::Shard(None) => assert!(answer.is_ok(), "the store refused: {answer:?}"),
                Asker::Intake(woken) => self.taken(answer, *woken),
            }
        }
    }

    fn taken(&mut self, answer: Result<Answer, control::store::Error>, woken: desk::Input) {
        let Ok(Answer::Accepted(ids)) = answer else { panic!("not accepted: {answer:?}") };
        self.accepted.extend(ids.iter().map(|(id, _)| *id));
        self.desk(woken);
    }

    fn store_open(&mut self) -> usize {
        let limit = 1_000;
        let mut open = 0;
        for state in [
            control::order::State::Scheduled,
            control::order::State::Deferred,
            control::order::State::Calling,
            control::order::State::Talking,
        ] {
            let ask = Ask::List { tenant: None, after: None, state: Some(state), limit };
            match self.store.run(self.now, vec![ask]).pop() {
                Some(Ok(Answer::List(page))) => open += page.len(),
                other => panic!("the store lists no more: {other:?}"),
            }
        }
        open
    }

    /// Asks the store about the end of the day.
    pub fn ask(&mut self, ask: Ask) -> Answer {
        let answer = self.store.run(self.now, vec![ask]).pop().expect("an answer for each question");
        answer.expect("the store answers")
    }

    /// What is left: calls, legs, bearers' places, slots, prompts in use.
    pub fn left(&self) -> Left {
        Left {
            calls: self.shard.calls(),
            places: self.media.taken(),
            slots: self.slots_out,
            prompts: self.prompts_loaded,
            trunk_calls: self.trunk_calls,
        }
    }
}

/// What must be nothing at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    pub calls: usize,
    pub places: usize,
    pub trunk_calls: i64,
    pub slots: i64,
    pub prompts: i64,
}

fn server_endpoint(seed: Seed) -> Endpoint {
    let advertised = Advertised { udp: Some(sip(SERVER)), ..Advertised::default() };
    let mut config = EndpointConfig::new(0, advertised, [7; 32]);
    config.peers = vec![Net::host(IpAddr::V4(NETWORK))];
    config.limits.source_rate = 100_000;
    Endpoint::new(config, seed.derive(2))
}
