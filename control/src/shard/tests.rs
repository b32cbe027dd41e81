//! Whole calls in virtual time: a shard, a telephone that is another endpoint, a worker and a web server that are a few
//! lines each. The same [`Shard`] runs in the node.

mod documents;
mod line;
mod transfer;
mod voice;

use super::*;
use crate::conduct::Wanted;
use crate::config;
use crate::order::Order;
use crate::permit::Permit;
use crate::record::Record;
use crate::store::Lease;
use dataplane::command::{Command, PromptHandle};
use dataplane::report::{BearerCounts, DigitVia, PlayEnd};
use signalling::leg::{Media, Rtp};
use signalling::sip::endpoint::{Advertised, EndpointConfig, FlowId, Net};
use std::time::Duration;
use units::{Codec, Digit, Samples, Wall};
use vxml::session::FetchRequest;

const OURS: &str = "127.0.0.1:5060";
const PHONE: &str = "127.0.0.1:5070";
const FLOW: FlowId = FlowId(0);

/// What the telephone does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phone {
    /// Answers, and hangs up after so long; 0: never.
    Answers(u64),
    Refuses(u16),
    Silent,
}

pub(super) struct World {
    pub(super) now: Now,
    pub(super) shard: Shard,
    phone: Endpoint,
    manner: Phone,
    press: Option<char>,
    /// What is to happen to the shard, and when.
    agenda: BTreeMap<(Mono, u32), Event>,
    sequence: u32,
    documents: BTreeMap<&'static str, &'static str>,
    posted: Vec<String>,
    played: Vec<String>,
    pub(super) asked: Vec<Ask>,
    pub(super) finished: Vec<Finished>,
    loaded: BTreeMap<u32, Samples>,
    pub(super) invites: usize,
    /// The telephone was hung up on.
    pub(super) hung_up: bool,
    /// Where the message that is being handled was sent to.
    at: SocketAddr,
    /// What else the telephone does at other addresses; `None`: what is sent there is lost.
    pub(super) manners: BTreeMap<SocketAddr, Option<Phone>>,
    /// SIP that left, and when.
    pub(super) sent: Vec<(Mono, SocketAddr, Vec<u8>)>,
    /// What the telephone of a second call does; it is the same endpoint.
    pub(super) second: Phone,
    /// Whether a transfer may be dialled.
    grant: Result<(), Denied>,
    /// Transfers asked for.
    wishes: Vec<Order>,
    /// What the telephone answers to a REFER, one after the other.
    refer: Vec<u16>,
    /// Where a REFER led.
    referred: Vec<String>,
    commands: Vec<Command>,
    fetched: Vec<String>,
    /// Captures that run: their names and bearers.
    capturing: Vec<(String, BearerId)>,
    /// Who is listened to.
    hearing: Vec<(BearerId, vxml::session::ListenId)>,
    /// Legs of the telephone that are over.
    ended: Vec<LegId>,
    pub(super) store_says: Result<Answer, StoreError>,
}

pub(super) enum Event {
    Shard(Input<'static>),
    ToShard(Vec<u8>),
    ToPhone(SocketAddr, Vec<u8>),
    /// A D-channel frame comes in on a span.
    Line(u16, Vec<u8>),
    PhoneHangsUp(LegId),
}

pub(super) fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn endpoint(own: &str, shard: u16) -> Endpoint {
    let advertised = Advertised { udp: Some(addr(own)), ..Advertised::default() };
    let mut config = EndpointConfig::new(shard, advertised, [7; 32]);
    config.peers = vec![Net::host(addr(own).ip())];
    Endpoint::new(config, Seed(u64::from(shard)))
}

const MENU: &str = "<vxml version='2.1' xmlns='http://www.w3.org/2001/vxml'><form id='f'>
  <field name='a' type='digits?length=1'><prompt><audio src='ask.wav'/></prompt>
  <filled><submit next='done.vxml' namelist='a'/></filled></field></form></vxml>";
const DONE: &str = "<vxml version='2.1' xmlns='http://www.w3.org/2001/vxml'><form><block>
  <prompt><audio src='thanks.wav'/></prompt><var name='ok' expr='1'/><exit namelist='ok'/></block></form></vxml>";

impl World {
    pub(super) fn new(manner: Phone) -> Self {
        Self::by("[[trunks]]\nname=\"t\"\naddress=\"127.0.0.1:5070\"\nprefixes=[\"*\"]\n", manner)
    }

    /// With these trunks; all of them show the same caller id.
    pub(super) fn by(trunks: &str, manner: Phone) -> Self {
        let trunks = trunks.replace("[[trunks]]\n", "[[trunks]]\ncaller_id=\"+15550100\"\n");
        let text = format!("{trunks}
            [[tenants]]\nname=\"acme\"\nid=1\n[[inbound]]\nmatch=\"*\"\ntenant=\"acme\"\nurl=\"http://w/menu.vxml\"\n");
        let config = config::parse("t", &text).expect("reads");
        let settings = Arc::new(Settings::new(&config, addr(OURS).ip(), [7; 32]));
        let now = Now { mono: Mono::from_ms(1_000_000), wall: Wall(1_800_000_000_000) };
        Self {
            now,
            shard: Shard::new(settings, endpoint(OURS, 1), Seed(1)),
            phone: endpoint(PHONE, 9),
            manner,
            press: None,
            agenda: BTreeMap::new(),
            sequence: 0,
            documents: BTreeMap::from([("http://w/menu.vxml", MENU), ("http://w/done.vxml", DONE)]),
            posted: Vec::new(),
            played: Vec::new(),
            asked: Vec::new(),
            finished: Vec::new(),
            loaded: BTreeMap::new(),
            invites: 0,
            hung_up: false,
            at: addr(PHONE),
            manners: BTreeMap::new(),
            sent: Vec::new(),
            second: Phone::Answers(0),
            grant: Ok(()),
            wishes: Vec::new(),
            refer: Vec::new(),
            referred: Vec::new(),
            commands: Vec::new(),
            fetched: Vec::new(),
            capturing: Vec::new(),
            hearing: Vec::new(),
            ended: Vec::new(),
            store_says: Ok(Answer::Done),
        }
    }

    pub(super) fn order(&mut self, url: &str) {
        let json = serde_json::json!({
            "id": units::OrderId(5).to_string(), "tenant": 1, "request_id": "r", "origin": {"by": "campaign"},
            "to": "+15551234", "application": {"url": url}, "when": "now", "expires": 0, "purpose": "survey",
        });
        let order: Order = serde_json::from_value(json).expect("an order");
        let lease = Lease { order: order.id, attempt: AttemptId(77), epoch: 1, until: Wall(i64::MAX) };
        let permit = Permit::mint(order.id, lease.attempt, 1, self.now.mono + Duration::from_secs(30));
        let slot = Slot::reserve(units::ServerId(1));
        let start = Start { permit, slot, order: Box::new(order), lease, trunks: None, again: false };
        self.later(0, Event::Shard(Input::Start(Box::new(start))));
    }

    pub(super) fn later(&mut self, ms: u64, event: Event) {
        self.sequence += 1;
        self.agenda.insert((self.now.mono + Duration::from_millis(ms), self.sequence), event);
    }

    /// Runs until nothing is left to do or so much virtual time has passed.
    pub(super) fn run(&mut self, ms: u64) {
        let end = self.now.mono + Duration::from_millis(ms);
        loop {
            let phone = self.phone.deadline().map(|(at, _)| at);
            let event = self.agenda.first_key_value().map(|((at, _), _)| *at);
            let Some(next) = [self.shard.deadline(), phone, event].into_iter().flatten().min() else {
                return;
            };
            if next > end {
                return;
            }
            self.now = self.now.plus(next - self.now.mono);
            if event.is_some_and(|at| at <= self.now.mono) {
                let (_, event) = self.agenda.pop_first().expect("looked at");
                self.happen(event);
            } else if phone.is_some_and(|at| at <= self.now.mono) {
                self.phone.handle(self.now, SipInput::Timer).expect("a timer fits");
            } else {
                self.shard.handle(self.now, Input::Timer);
            }
            self.settle();
        }
    }

    fn happen(&mut self, event: Event) {
        let transport = signalling::leg::Transport::Udp;
        match event {
            Event::Shard(input) => self.shard.handle(self.now, input),
            Event::ToShard(octets) => {
                let (flow, from, bytes) = (FLOW, addr(PHONE), octets.as_slice());
                self.shard.handle(self.now, Input::Sip(SipInput::Received { flow, transport, from, bytes }));
            }
            Event::ToPhone(to, octets) => {
                self.at = to;
                let (flow, from, bytes) = (FLOW, addr(OURS), octets.as_slice());
                let input = SipInput::Received { flow, transport, from, bytes };
                self.phone.handle(self.now, input).expect("the network never errs");
            }
            Event::Line(span, octets) => {
                let input = TdmInput::Frame { span, octets: &octets };
                self.shard.handle(self.now, Input::Tdm(input));
            }
            Event::PhoneHangsUp(leg) => {
                // The call may be over already.
                let _ = self.phone.handle(self.now, SipInput::Leg(leg, Action::Clear(Cause::NORMAL)));
            }
        }
    }

    fn settle(&mut self) {
        while let Some(output) = self.shard.poll() {
            self.carry_out(output);
        }
        while let Some(output) = self.phone.poll() {
            match output {
                SipOutput::Transmit { bytes, .. } => self.later(5, Event::ToShard(bytes)),
                SipOutput::Leg(leg, Indication::Incoming(_)) => self.ring(leg),
                SipOutput::Leg(leg, Indication::Ended(_)) => {
                    self.hung_up = true;
                    self.ended.push(leg);
                }
                SipOutput::Leg(leg, Indication::Referred { to }) => {
                    self.referred.push(to.expose().clone());
                    for status in std::mem::take(&mut self.refer) {
                        let action = Action::ReferResult { status };
                        self.phone.handle(self.now, SipInput::Leg(leg, action)).expect("fits");
                        self.transmit();
                    }
                }
                _ => {}
            }
        }
    }

    fn ring(&mut self, leg: LegId) {
        self.invites += 1;
        let mut act = |action| self.phone.handle(self.now, SipInput::Leg(leg, action)).expect("fits");
        let media = Media::Rtp(Rtp {
            addr: addr("127.0.0.1:7000"),
            rtcp: None,
            codecs: vec![Codec::Pcmu],
            telephone_event: Some(101),
            sends: true,
            receives: true,
            srtp: None,
            ptime_ms: 20,
        });
        let usual = if self.invites > 1 { self.second } else { self.manner };
        match self.manners.get(&self.at).copied().flatten().unwrap_or(usual) {
            Phone::Silent => act(Action::Ring { media: None }),
            Phone::Refuses(status) => {
                let cause = if status == 500 { Cause::TEMPORARY } else { Cause::BUSY };
                act(Action::Reject { cause, status: Some(status), retry_after_s: None });
            }
            Phone::Answers(ms) => {
                act(Action::Ring { media: None });
                act(Action::Accept { media });
                if ms > 0 {
                    self.later(ms, Event::PhoneHangsUp(leg));
                }
            }
        }
        self.transmit();
    }

    fn transmit(&mut self) {
        let more: Vec<SipOutput> = std::iter::from_fn(|| self.phone.poll()).collect();
        for output in more {
            if let SipOutput::Transmit { bytes, .. } = output {
                self.later(5, Event::ToShard(bytes));
            }
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Sip(SipOutput::Transmit { to, bytes, .. }) => {
                self.sent.push((self.now.mono, to, bytes.clone()));
                if self.manners.get(&to) != Some(&None) {
                    self.later(5, Event::ToPhone(to, bytes));
                }
            }
            Output::Reserve(token, _) => {
                let bearer = BearerId { worker: 0, generation: 0, index: self.sequence };
                let place = Some((bearer, addr("127.0.0.1:20000")));
                self.later(0, Event::Shard(Input::Reserved(token, place)));
            }
            Output::ReserveSlot(token) => {
                let bearer = BearerId { worker: 0, generation: 0, index: self.sequence };
                self.later(0, Event::Shard(Input::Reserved(token, Some((bearer, addr("0.0.0.0:0"))))));
            }
            Output::OpenSlot { bearer, .. } => {
                self.later(1, Event::Shard(Input::Report(Report::Opened { bearer, port: 0 })));
            }
            // Spans 1 and 2 are wired to each other.
            Output::Tdm(TdmOutput::Frame { span, octets }) => self.later(5, Event::Line(3 - span, octets)),
            Output::Capture { bearer, name, .. } => {
                self.capturing.push((name, bearer));
                let report = Report::Voice { bearer, on: true };
                self.later(100, Event::Shard(Input::Report(report)));
            }
            Output::Hear(hear) => self.hearing.push((hear.bearer, hear.listen.id)),
            Output::StopHear { bearer, id } => self.hearing.retain(|h| *h != (bearer, id)),
            Output::Open { bearer, .. } => {
                self.later(1, Event::Shard(Input::Report(Report::Opened { bearer, port: 0 })));
            }
            Output::Second(order) => self.wished(*order),
            Output::Fetch { token, request, .. } => self.fetch(token, &request),
            Output::Load { token, wanted, .. } => self.load(token, &wanted),
            Output::Command(command) => self.command(command),
            Output::Ask(token, ask) => {
                if let Some(token) = token {
                    self.later(2, Event::Shard(Input::Stored(token, self.store_says.clone())));
                }
                self.asked.push(ask);
            }
            Output::Finished(finished) => self.finished.push(*finished),
            _ => {}
        }
    }

    fn fetch(&mut self, token: Token, request: &FetchRequest) {
        self.fetched.push(request.url.clone());
        let plain = request.url.split('?').next().unwrap_or_default();
        if request.url.contains('?') {
            self.posted.push(request.url.clone());
        }
        let result = match self.documents.get(plain) {
            Some(body) => Ok(Fetched {
                url: request.url.clone(),
                media_type: "application/voicexml+xml".into(),
                charset: None,
                body: Arc::from(body.as_bytes()),
                validator: None,
            }),
            None => Err(FetchError::Status(404)),
        };
        self.later(20, Event::Shard(Input::Fetched(token, result)));
    }

    fn load(&mut self, token: Token, wanted: &Wanted) {
        let name = match wanted {
            Wanted::Url { url, .. } => url.clone(),
            other => format!("{other:?}"),
        };
        let prompt = PromptHandle(u32::try_from(self.played.len()).expect("few"));
        let loaded = (!name.contains("missing")).then_some(Loaded { prompt, length: Samples(8_000) });
        if loaded.is_some() {
            self.played.push(name);
            self.loaded.insert(prompt.0, Samples(8_000));
        }
        self.later(10, Event::Shard(Input::Prompt(token, loaded)));
    }

    fn command(&mut self, command: Command) {
        self.commands.push(command);
        match command {
            Command::Tone { length: Samples(u32::MAX), .. } => {}
            Command::Play { bearer, item, .. } | Command::Tone { bearer, item, .. } => {
                let (end, heard) = (PlayEnd::Finished, Samples(8_000));
                self.later(
                    1_000,
                    Event::Shard(Input::Report(Report::PlayEnded { bearer, item, end, heard })),
                );
                if let Some(key) = self.press.take() {
                    let digit = Digit::try_from(key).expect("a digit");
                    let (via, length) = (DigitVia::Event, Samples(800));
                    self.later(
                        1_500,
                        Event::Shard(Input::Report(Report::Digit { bearer, digit, via, length })),
                    );
                }
            }
            Command::StopCapture { bearer } => self.captured(bearer),
            Command::Close { bearer } => {
                let counts = BearerCounts { received: 50, ..BearerCounts::default() };
                self.later(1, Event::Shard(Input::Report(Report::Closed { bearer, counts })));
            }
            _ => {}
        }
    }

    pub(super) fn records(&self) -> Vec<&Record> {
        let record = |ask: &'_ Ask| if let Ask::Append(records) = ask { Some(records.clone()) } else { None };
        assert!(self.asked.iter().filter_map(record).all(|r| r.len() == 1));
        self.asked.iter().filter_map(|a| if let Ask::Append(r) = a { r.first() } else { None }).collect()
    }

    /// Every call ended once, its slot came back, and nothing is left behind.
    pub(super) fn is_clean(&self) {
        assert_eq!(self.shard.calls(), 0, "{:?}", self.shard.view(self.now));
        assert!(self.shard.common.bearers.is_empty() && self.shard.legs.is_empty());
        assert!(self.shard.deadlines.is_empty() && self.shard.common.tokens.is_empty());
    }
}

/// The whole way: document first, intent before the INVITE, prompt, digit, submit, values, record before the end.
#[test]
fn an_order_is_called_talked_to_and_recorded() {
    let mut world = World::new(Phone::Answers(0));
    world.press = Some('4');
    world.order("http://w/menu.vxml");
    world.run(60_000);
    world.is_clean();
    assert_eq!(world.posted, ["http://w/done.vxml?a=4"]);
    assert_eq!(world.played, ["http://w/ask.wav", "http://w/thanks.wav"]);
    let [over] = world.finished.as_slice() else { panic!("one end: {:?}", world.finished) };
    assert_eq!((over.disposition, over.answered), (Disposition::Completed, true));
    assert_eq!(over.result.as_deref(), Some("{\"values\":{\"ok\":1},\"recordings\":[]}"));
    let record = world.records()[0];
    assert_eq!((record.disposition, record.media[0]), (Disposition::Completed, 50));
    assert!(record.talk_ms > 2_000 && record.alerted.is_some());
    let intent = world.asked.iter().position(|a| matches!(a, Ask::Intent { .. })).expect("written");
    let ack = world.asked.iter().position(|a| matches!(a, Ask::AckIntent { .. })).expect("written");
    assert!(intent < ack);
}

#[test]
fn a_missing_document_rings_no_telephone() {
    let mut world = World::new(Phone::Answers(0));
    world.order("http://w/nowhere.vxml");
    world.run(60_000);
    world.is_clean();
    assert_eq!(world.invites, 0);
    let over = &world.finished[0];
    assert_eq!((over.disposition, over.dialled), (Disposition::ApplicationError, false));
    assert_eq!(over.why.as_deref(), Some("document: HTTP 404"));
    assert!(world.records().is_empty(), "no attempt was made");
}

#[test]
fn who_does_not_talk_ends_in_the_right_disposition() {
    let check = |manner, want| {
        let mut world = World::new(manner);
        world.order("http://w/menu.vxml");
        world.run(120_000);
        world.is_clean();
        assert_eq!(world.finished[0].disposition, want, "{manner:?}");
        assert_eq!(world.records()[0].disposition, want);
    };
    check(Phone::Refuses(486), Disposition::Busy);
    check(Phone::Refuses(603), Disposition::Rejected);
    check(Phone::Refuses(404), Disposition::Unallocated);
    check(Phone::Refuses(503), Disposition::Congestion);
    check(Phone::Silent, Disposition::NoAnswer);
}

#[test]
fn a_caller_who_hangs_up_ends_the_call_and_nothing_else() {
    let mut world = World::new(Phone::Answers(500));
    world.order("http://w/menu.vxml");
    world.run(60_000);
    world.is_clean();
    let over = &world.finished[0];
    assert_eq!((over.disposition, over.cause), (Disposition::Completed, Cause::NORMAL));
    assert!(world.records()[0].by_peer);
}

#[test]
fn a_fenced_lease_dials_nobody() {
    let mut world = World::new(Phone::Answers(0));
    world.order("http://w/menu.vxml");
    world.store_says = Err(StoreError::Fenced);
    world.run(60_000);
    world.is_clean();
    assert_eq!((world.invites, world.finished.len()), (0, 1));
}

#[test]
fn a_drained_shard_takes_no_new_call_and_ends_the_old_when_told() {
    let mut world = World::new(Phone::Answers(0));
    world.order("http://w/menu.vxml");
    world.run(900);
    assert_eq!(world.shard.view(world.now)[0].stage, "talking");
    world.later(0, Event::Shard(Input::Drain(false)));
    world.order("http://w/menu.vxml");
    world.run(100);
    assert_eq!((world.invites, world.finished.len()), (1, 1), "the second was refused at once");
    world.later(0, Event::Shard(Input::Drain(true)));
    world.run(60_000);
    world.is_clean();
    assert_eq!(world.finished.len(), 2);
}

#[test]
fn a_buried_call_gives_everything_back_and_others_go_on() {
    let mut world = World::new(Phone::Answers(0));
    world.order("http://w/menu.vxml");
    world.run(900);
    world.shard.current = world.shard.calls.keys().next().copied();
    assert_eq!(world.shard.bury(world.now), Some(AttemptId(77)));
    world.settle();
    world.run(60_000);
    world.is_clean();
    assert_eq!(world.finished[0].disposition, Disposition::Failed);
}

/// Goal: after a crash the callee is let go. Method: a call is up, its shard is replaced by a new one that knows nothing,
/// and only the journalled dialog is handed over; the telephone judges.
#[test]
fn a_callee_of_a_former_life_gets_its_bye() {
    let mut world = World::new(Phone::Answers(0));
    world.order("http://w/menu.vxml");
    world.run(900);
    let acked = |ask: &Ask| if let Ask::AckIntent { dialog, .. } = ask { Some(dialog.clone()) } else { None };
    let dialog = world.asked.iter().find_map(acked).expect("the ACK was journalled");
    assert!(!world.hung_up, "the call is up");
    let settings = Arc::clone(&world.shard.settings);
    let newer = Shard::new(settings, endpoint(OURS, 1), Seed(2));
    // A crash drops nothing in order: neither must this.
    std::mem::forget(std::mem::replace(&mut world.shard, newer));
    for (_, event) in std::mem::take(&mut world.agenda) {
        std::mem::forget(event);
    }
    world.later(0, Event::Shard(Input::TakeOver(AttemptId(77), dialog)));
    world.run(60_000);
    assert!(world.hung_up, "the telephone was told");
    assert_eq!(world.invites, 1, "nobody is rung twice");
    assert!(world.finished.is_empty(), "the desk has ended the order already");
    world.is_clean();
}

#[test]
fn a_journal_without_a_dialog_is_told_and_sends_nothing() {
    for journal in [&b""[..], b"{}", b"\xff"] {
        let mut world = World::new(Phone::Silent);
        world.shard.handle(world.now, Input::TakeOver(AttemptId(77), journal.to_vec()));
        let out: Vec<Output> = std::iter::from_fn(|| world.shard.poll()).collect();
        assert!(out.iter().any(|o| matches!(o, Output::Fact(Fact::NoDialog(AttemptId(77))))));
        assert!(!out.iter().any(|o| matches!(o, Output::Sip(_))));
    }
}

#[test]
fn private_data_is_in_no_story() {
    let mut world = World::new(Phone::Answers(0));
    world.press = Some('4');
    world.order("http://w/menu.vxml");
    world.run(60_000);
    let stories: Vec<&StoryLine> = world
        .asked
        .iter()
        .filter_map(|a| if let Ask::Story(l) = a { Some(l) } else { None })
        .flatten()
        .collect();
    assert!(stories.len() > 8);
    assert!(stories.iter().all(|l| !l.text.contains("1234") && !l.text.contains("a=4")), "{stories:?}");
}
