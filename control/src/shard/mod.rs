//! `Shard`: all calls of one thread and the SIP endpoint they share, as one machine. The node's shell and the
//! simulation drive the same [`Shard`]; only the doors differ.
//!
//! ```text
//! SIP octets, reports of workers, answers of store, fetcher, prompts ─▶ handle ─▶ poll ─▶ what the doors are to do
//! ```
//!
//! A panic inside `handle` belongs to the call that was being handled: the shell catches it, calls [`Shard::bury`],
//! and every other call goes on.

pub use crate::conduct::{
    Denied, Entrance, Entry, Fact, Finished, Hear, Heard, Output, ScriptClock, Settings, Token,
};

use crate::call::{Arrival, Call, Captured, Start, Told};
use crate::conduct::{Common, Ctx, LegAsk, Loaded, Purpose};
use crate::order::Disposition;
use crate::permit::Slot;
use crate::record::Direction;
use crate::store::{Answer, Ask, Error as StoreError, StoryLine};
use crate::trunk::{Board, BoardLimits, Standing, TrunkView};
use dataplane::report::{Report, SpanEvent};
use signalling::leg::{Action, Incoming, Indication};
use signalling::sip::dialog::DialogSnapshot;
use signalling::sip::endpoint::{Counters, Endpoint, Input as SipInput, Load, Net, Output as SipOutput};
use signalling::sip::locate::Target;
use signalling::tdm::{self, Input as TdmInput, Output as TdmOutput};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use units::{AttemptId, BearerId, CallId, Cause, LegId, Mono, Now, OrderId, Seed, TenantId};
use vxml::Documents;
use vxml::session::{FetchError, Fetched, ListenId};

/// What the shard is told.
#[derive(Debug)]
pub enum Input<'a> {
    /// Place this call.
    Start(Box<Start>),
    /// SIP came in.
    Sip(SipInput<'a>),
    /// Something of the spans.
    Tdm(TdmInput<'a>),
    /// Answer to [`Output::Reserve`]: the bearer's place and its local address; `None`: none is free.
    Reserved(Token, Option<(BearerId, SocketAddr)>),
    /// A worker tells.
    Report(Report),
    /// A worker ended a capture, and the door kept what was recorded.
    Captured(BearerId, Captured),
    /// What was heard of the caller on a bearer, for a listening.
    Heard(BearerId, ListenId, Heard),
    /// Answer to [`Output::Fetch`].
    Fetched(Token, Result<Fetched, FetchError>),
    /// Answer to [`Output::Load`]; `None`: it cannot be had or played.
    Prompt(Token, Option<Loaded>),
    /// Answer to [`Output::Ask`].
    Stored(Token, Result<Answer, StoreError>),
    /// New settings for new calls.
    Settings(Arc<Settings>),
    /// Take no new call; with `true` end those that are up, too.
    Drain(bool),
    /// Where a trunk that has a name is now, best first.
    Located(String, Vec<Target>),
    /// An operator's order about a trunk.
    Trunk(String, Standing),
    /// End one call.
    Clear(AttemptId, Cause),
    /// The owner took an order back: its call ends, if it has not been answered yet.
    Cancelled(OrderId),
    /// A former life left this callee connected: end that call by its journalled dialog ([`Ask::AckIntent`]'s).
    TakeOver(AttemptId, Vec<u8>),
    /// The transfer of this attempt's caller, by this order of ours, is not to be dialled.
    Denied(AttemptId, OrderId, Denied),
    /// A deadline passed.
    Timer,
}

/// The shard. See the module.
#[derive(Debug)]
pub struct Shard {
    settings: Arc<Settings>,
    endpoint: Endpoint,
    /// The spans' signalling; without spans it has nothing to do.
    tdm: tdm::Endpoint,
    calls: BTreeMap<CallId, Call>,
    deadlines: BTreeSet<(Mono, CallId)>,
    legs: BTreeMap<LegId, CallId>,
    by_route: ByRoute,
    common: Common,
    /// The call that is being handled: to whom a panic belongs.
    current: Option<CallId>,
    next_call: u64,
    draining: bool,
    /// The endpoint refuses new calls before it reads them.
    refusing: bool,
    /// A trunk that is down is to be tried again.
    trunks_due: Option<Mono>,
    out: VecDeque<Output>,
}

/// One call as the console and the command line show it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CallView {
    /// Names it.
    pub attempt: AttemptId,
    /// The order, if it has one.
    pub order: Option<OrderId>,
    /// Whose.
    pub tenant: TenantId,
    /// Which way.
    pub direction: Direction,
    /// What it is doing.
    pub stage: &'static str,
    /// Since the beginning, ms.
    pub age_ms: u64,
}

impl Shard {
    /// A shard with its endpoint; the seed makes the names of inbound calls.
    #[must_use]
    pub fn new(settings: Arc<Settings>, endpoint: Endpoint, seed: Seed) -> Self {
        let mut trunks = Board::new(BoardLimits::default(), seed.derive(2));
        // At the beginning of time: their buckets are full by now.
        trunks.configure(Mono(0), &settings.trunks, &settings.trunk_groups);
        let common = Common {
            bearers: BTreeMap::new(),
            documents: Documents::new(settings.vxml.cache_entries_max),
            seed: seed.derive(1),
            trunks,
            left_legs: Vec::new(),
            rng: seed.rng(),
            letters: VecDeque::new(),
            tokens: BTreeMap::new(),
            new_legs: Vec::new(),
            leg_asks: VecDeque::new(),
            lines: Vec::new(),
            stories: BTreeMap::new(),
            next_token: 0,
            next_leg: 0,
        };
        Self {
            settings,
            endpoint,
            tdm: tdm::Endpoint::default(),
            calls: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            legs: BTreeMap::new(),
            by_route: ByRoute::default(),
            common,
            current: None,
            next_call: 0,
            draining: false,
            refusing: false,
            trunks_due: None,
            out: VecDeque::new(),
        }
    }

    /// With spans, whose D-channels are brought up now.
    #[must_use]
    pub fn with_tdm(mut self, now: Now, mut tdm: tdm::Endpoint) -> Self {
        tdm.start(now);
        self.tdm = tdm;
        self.pump(now);
        self
    }

    /// The spans, for people and for what they can carry.
    #[must_use]
    pub fn tdm(&self) -> &tdm::Endpoint {
        &self.tdm
    }

    /// Takes one input. Drain [`Self::poll`] before the next.
    pub fn handle(&mut self, now: Now, input: Input<'_>) {
        debug_assert!(self.out.is_empty(), "poll was not drained");
        self.current = None;
        match input {
            Input::Start(start) => self.start(now, *start),
            Input::Sip(input) => self.sip(now, input),
            Input::Tdm(input) => self.tdm.handle(now, input),
            Input::Reserved(token, place) => self.reserved(now, token, place),
            Input::Report(report) => self.report(now, report),
            Input::Captured(bearer, captured) => {
                if let Some(&call) = self.common.bearers.get(&bearer) {
                    self.told(now, call, Told::Captured(captured));
                }
            }
            Input::Heard(bearer, id, heard) => {
                if let Some(&call) = self.common.bearers.get(&bearer) {
                    self.told(now, call, Told::Heard(id, heard));
                }
            }
            Input::Fetched(token, result) => self.answered(now, token, |p| Told::Fetched(p, result)),
            Input::Prompt(token, loaded) => self.prompt(now, token, loaded),
            Input::Stored(token, result) => self.answered(now, token, |p| Told::Stored(p, result)),
            Input::Settings(settings) => self.configure(now, settings),
            Input::Located(name, targets) => {
                self.common.trunks.located(&name, targets);
                self.introduce(now);
            }
            Input::Trunk(name, standing) => drop(self.common.trunks.order(&name, standing)),
            Input::Drain(hard) => self.drain(now, hard),
            Input::Clear(attempt, cause) => {
                self.clear(now, |c| c.attempt() == attempt, cause, Disposition::Cancelled);
            }
            Input::Cancelled(order) => {
                let ringing = |c: &Call| c.order() == Some(order) && !c.is_answered();
                self.clear(now, ringing, Cause::NORMAL, Disposition::Cancelled);
            }
            Input::TakeOver(attempt, dialog) => self.take_over(now, attempt, &dialog),
            Input::Denied(attempt, order, why) => {
                if let Some(id) = self.by_attempt(attempt) {
                    self.told(now, id, Told::Denied(order, why));
                }
            }
            Input::Timer => self.timer(now),
        }
        self.pump(now);
        self.tell_load(now);
        self.current = None;
        self.flush_story();
        self.trunks_due = self.common.trunks.deadline(now.mono);
    }

    /// Who calls while there is no room is refused by the endpoint, by the head of the INVITE alone.
    fn tell_load(&mut self, now: Now) {
        let refuse_new = self.draining || self.calls.len() >= self.settings.inbound_calls_max;
        if refuse_new != self.refusing {
            self.refusing = refuse_new;
            self.sip(now, SipInput::Load(Load { refuse_new, reduce_percent: 0 }));
        }
    }

    /// What SIP dropped or refused so far, and why.
    #[must_use]
    pub fn sip_counters(&self) -> Counters {
        self.endpoint.counters()
    }

    fn configure(&mut self, now: Now, settings: Arc<Settings>) {
        self.common.trunks.configure(now.mono, &settings.trunks, &settings.trunk_groups);
        self.settings = settings;
        self.introduce(now);
    }

    /// Tells the endpoint whom it listens to, whom it asks whether they live, and where it registers.
    fn introduce(&mut self, now: Now) {
        let board = &self.common.trunks;
        let trusted = self.settings.trusted.iter().copied().map(Net::host);
        let peers = board.addresses().map(|a| Net::host(a.ip())).chain(trusted).collect();
        let (probes, registrations) = (board.probes(), board.registrations());
        self.sip(now, SipInput::Peers { peers, probes, registrations });
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to come back with [`Input::Timer`].
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        let endpoint = self.endpoint.deadline().map(|(at, _)| at);
        let call = self.deadlines.first().map(|(at, _)| *at);
        [endpoint, call, self.trunks_due, self.tdm.deadline()].into_iter().flatten().min()
    }

    /// The trunks, for people.
    #[must_use]
    pub fn trunks(&self, now: Now) -> Vec<TrunkView> {
        self.common.trunks.view(now.mono)
    }

    /// Calls that the trunks which work could carry, and set-ups in 1,000 s; `None`: there are no trunks.
    #[must_use]
    pub fn trunk_room(&self, now: Now) -> Option<(u32, u32)> {
        (!self.settings.trunks.is_empty()).then(|| self.common.trunks.room(now.mono))
    }

    /// After a panic in [`Self::handle`]: ends the call that broke, and tells which it was.
    pub fn bury(&mut self, now: Now) -> Option<AttemptId> {
        let id = self.current.take()?;
        let mut call = self.calls.remove(&id)?;
        // What it was armed for is not known any more: the panic may have come between two changes.
        self.deadlines.retain(|(_, whose)| *whose != id);
        let attempt = call.attempt();
        let settings = Arc::clone(&self.settings);
        call.bury(&mut Ctx { now, settings: &settings, out: &mut self.out, common: &mut self.common });
        self.keep(call);
        self.out.push_back(Output::Fact(Fact::Buried(attempt)));
        Some(attempt)
    }

    /// Calls there are.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// The calls, for people.
    #[must_use]
    pub fn view(&self, now: Now) -> Vec<CallView> {
        let age = |call: &Call| u64::try_from((now.mono - call.began().mono).as_millis()).unwrap_or(u64::MAX);
        let view = |call: &Call| CallView {
            attempt: call.attempt(),
            order: call.order(),
            tenant: call.tenant(),
            direction: call.direction(),
            stage: call.stage(),
            age_ms: age(call),
        };
        self.calls.values().map(view).collect()
    }

    fn ctx<'a>(
        now: Now,
        settings: &'a Settings,
        out: &'a mut VecDeque<Output>,
        common: &'a mut Common,
    ) -> Ctx<'a> {
        Ctx { now, settings, out, common }
    }

    fn start(&mut self, now: Now, start: Start) {
        let id = self.new_call();
        let order = start.order.id;
        let waiting = start.order.parent().and_then(|parent| self.by_attempt(parent));
        let first = waiting.and_then(|call| self.calls.get(&call)?.expects(order));
        self.current = Some(id);
        let settings = Arc::clone(&self.settings);
        let mut ctx = Self::ctx(now, &settings, &mut self.out, &mut self.common);
        let call = match start.order.parent() {
            Some(_) => Call::second(&mut ctx, id, start, first),
            None => Call::outbound(&mut ctx, id, start),
        };
        self.keep(call);
        if self.draining || self.calls.len() > self.settings.calls_max {
            let why = Disposition::Congestion;
            self.told(now, id, Told::Clear(Cause::CONGESTION, why));
        }
    }

    fn by_attempt(&self, attempt: AttemptId) -> Option<CallId> {
        self.calls.values().find(|c| c.attempt() == attempt).map(|c| c.id)
    }

    fn new_call(&mut self) -> CallId {
        self.next_call += 1;
        CallId(self.next_call)
    }

    fn keep(&mut self, call: Call) {
        self.note_legs();
        if call.is_over() {
            self.by_route.leave(call.id);
            return;
        }
        self.deadlines.extend(call.deadline().map(|at| (at, call.id)));
        self.calls.insert(call.id, call);
    }

    fn note_legs(&mut self) {
        self.legs.extend(self.common.new_legs.drain(..));
        for leg in self.common.left_legs.drain(..) {
            self.legs.remove(&leg);
        }
    }

    /// Gives one call something. The call stays in the table while it is handled, so that a panic can be buried.
    fn told(&mut self, now: Now, id: CallId, told: Told) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        self.current = Some(id);
        let before = call.deadline();
        let settings = Arc::clone(&self.settings);
        call.told(&mut Self::ctx(now, &settings, &mut self.out, &mut self.common), told);
        let after = call.deadline();
        let over = call.is_over();
        self.note_legs();
        if before != after || over {
            before.map(|at| self.deadlines.remove(&(at, id)));
            self.deadlines.extend(after.filter(|_| !over).map(|at| (at, id)));
        }
        if over {
            self.calls.remove(&id);
            self.by_route.leave(id);
        }
    }

    fn answered(&mut self, now: Now, token: Token, told: impl FnOnce(Purpose) -> Told) {
        if let Some((call, purpose)) = self.common.tokens.remove(&token) {
            self.told(now, call, told(purpose));
        }
    }

    fn reserved(&mut self, now: Now, token: Token, place: Option<(BearerId, SocketAddr)>) {
        match self.common.tokens.remove(&token) {
            Some((call, _)) if self.calls.contains_key(&call) => {
                self.common.bearers.extend(place.map(|(bearer, _)| (bearer, call)));
                self.told(now, call, Told::Reserved(place));
            }
            _ => self.out.extend(place.map(|(bearer, _)| Output::Release(bearer))),
        }
    }

    fn prompt(&mut self, now: Now, token: Token, loaded: Option<Loaded>) {
        match self.common.tokens.remove(&token) {
            Some((call, purpose)) if self.calls.contains_key(&call) => {
                self.told(now, call, Told::Prompt(purpose, loaded));
            }
            _ => self.out.extend(loaded.map(|l| Output::Unload(l.prompt))),
        }
    }

    fn report(&mut self, now: Now, report: Report) {
        if let Report::Span { span, what, .. } = report {
            return self.span_told(now, span, what);
        }
        let Some(bearer) = bearer_of(&report) else { return };
        match self.common.bearers.get(&bearer) {
            Some(&call) => self.told(now, call, Told::Report(report)),
            None => self.out.push_back(Output::Fact(Fact::Stray(bearer))),
        }
        if matches!(report, Report::Closed { .. } | Report::OpenFailed { .. }) {
            self.common.bearers.remove(&bearer);
        }
    }

    /// What a card says of a span; spans are counted from 0 there and from 1 here.
    fn span_told(&mut self, now: Now, span: u16, what: SpanEvent) {
        let span = span + 1;
        self.tdm.handle(
            now,
            match what {
                SpanEvent::Alarm { dead, defect, .. } => TdmInput::Line { span, up: !dead, defect },
                SpanEvent::Bits { slot, abcd } => TdmInput::Bits { span, slot, abcd },
                SpanEvent::Signal { slot, signal } => {
                    let [signal] = signal.into_exposed();
                    TdmInput::Signal { span, slot, signal: char::from(signal) }
                }
                SpanEvent::Said { slot } => TdmInput::Said { span, slot },
                SpanEvent::Slip(_) | SpanEvent::Lost(_) | SpanEvent::Bert { .. } => return,
            },
        );
    }

    fn sip(&mut self, now: Now, input: SipInput<'_>) {
        if let Err(error) = self.endpoint.handle(now, input) {
            self.out.push_back(Output::Fact(Fact::SipRefused(format!("{error:?}"))));
        }
    }

    /// Delivers what calls and endpoint have for each other until nobody has anything left.
    fn pump(&mut self, now: Now) {
        loop {
            self.pump_sip(now);
            let Some((to, from, letter)) = self.common.letters.pop_front() else { break };
            self.told(now, to, Told::Letter(from, letter));
        }
    }

    /// Alternates between the endpoint and the calls until both have nothing to say.
    fn pump_sip(&mut self, now: Now) {
        loop {
            while let Some(output) = self.endpoint.poll() {
                match output {
                    SipOutput::Leg(leg, Indication::Incoming(incoming)) => self.arrival(now, leg, *incoming),
                    SipOutput::Leg(leg, indication) => self.leg_told(now, leg, indication),
                    SipOutput::Dialog(leg, snapshot) => {
                        if let Some(call) = self.legs.get(&leg).and_then(|id| self.calls.get_mut(id)) {
                            call.journal(&snapshot);
                        }
                    }
                    other => {
                        self.hear_peer(now, &other);
                        self.out.push_back(Output::Sip(other));
                    }
                }
            }
            while let Some(output) = self.tdm.poll() {
                match output {
                    TdmOutput::Leg(leg, Indication::Incoming(incoming)) => self.arrival(now, leg, *incoming),
                    TdmOutput::Leg(leg, indication) => self.leg_told(now, leg, indication),
                    other => self.out.push_back(Output::Tdm(other)),
                }
            }
            let Some((leg, ask)) = self.common.leg_asks.pop_front() else { break };
            match ask {
                LegAsk::Do(action) if self.is_on_span(leg, &action) => {
                    self.tdm.handle(now, TdmInput::Leg(leg, action));
                }
                // Its CONNECT was acknowledged at once: a channel's state is the exchange's, and ends with the link.
                LegAsk::Acked if self.tdm.has(leg) => {}
                LegAsk::Do(action) => self.sip(now, SipInput::Leg(leg, action)),
                LegAsk::Acked => self.sip(now, SipInput::AckJournalled(leg)),
            }
        }
    }

    fn hear_peer(&mut self, now: Now, output: &SipOutput) {
        match *output {
            SipOutput::PeerState { peer, up } => self.common.trunks.peer(peer, up),
            SipOutput::PeerLoad { peer, reduce_percent, validity_ms } => {
                self.common.trunks.reduce(now.mono, peer, reduce_percent, validity_ms);
            }
            SipOutput::Registered { ref name, registered, .. } => {
                self.common.trunks.registered(name, registered);
            }
            _ => {}
        }
    }

    fn is_on_span(&self, leg: LegId, action: &Action) -> bool {
        match action {
            Action::Place(place) => self.tdm.takes(place.to.expose()),
            _ => self.tdm.has(leg),
        }
    }

    fn leg_told(&mut self, now: Now, leg: LegId, indication: Indication) {
        let over = matches!(indication, Indication::Ended(_));
        match (self.legs.get(&leg), &indication) {
            (Some(&call), _) => self.told(now, call, Told::Leg(indication)),
            // A leg that was given up was answered all the same: acknowledged and ended, nothing to journal.
            (None, Indication::AckDue) => self.common.leg_asks.push_back((leg, LegAsk::Acked)),
            (None, _) => {}
        }
        if over {
            self.legs.remove(&leg);
        }
    }

    fn arrival(&mut self, now: Now, leg: LegId, incoming: Incoming) {
        let refuse = |shard: &mut Self, cause, retry_after_s, why| {
            shard
                .common
                .leg_asks
                .push_back((leg, LegAsk::Do(Action::Reject { cause, status: None, retry_after_s })));
            shard.out.push_back(Output::Fact(Fact::Refused { cause, why }));
        };
        if self.draining || self.calls.len() >= self.settings.inbound_calls_max {
            return refuse(self, Cause::CONGESTION, Some(RETRY_AFTER_S), "no capacity for incoming calls");
        }
        let by = self.common.trunks.names_at(incoming.source.ip());
        let entry = self.settings.entry(user_of(incoming.to.expose()), &by, now.wall);
        let (tenant, url, route) = match entry {
            Entry::Open(_, _, route) if !self.has_room(&route) => {
                return refuse(
                    self,
                    Cause::CONGESTION,
                    Some(RETRY_AFTER_S),
                    "what is free is kept for others",
                );
            }
            Entry::Open(tenant, url, route) => (tenant, url, route),
            Entry::Closed => return refuse(self, Cause::NO_ANSWER, None, "closed at this hour"),
            Entry::Nobody => {
                return refuse(self, Cause::UNALLOCATED, None, "no route for the number called");
            }
        };
        let (transport, offer) = (incoming.transport, incoming.offer.as_ref());
        let Some(srtp) = self.settings.encryption(&by, transport, offer) else {
            let why = "voice without keys, or keys in the clear, is not taken from this peer";
            return refuse(self, Cause::INCOMPATIBLE, None, why);
        };
        let id = self.new_call();
        self.current = Some(id);
        let slot = Slot::reserve(self.settings.server);
        let attempt = AttemptId(self.common.rng.next_u128());
        self.legs.insert(leg, id);
        self.by_route.enter(id, route);
        let settings = Arc::clone(&self.settings);
        let mut ctx = Self::ctx(now, &settings, &mut self.out, &mut self.common);
        let call = Call::inbound(&mut ctx, id, leg, Arrival { incoming, attempt, slot, tenant, url, srtp });
        self.keep(call);
    }

    /// Whether a call by this route finds room that is not kept for others.
    fn has_room(&self, route: &str) -> bool {
        let entrances = &self.settings.entrances;
        let unused = |e: &Entrance| e.reserve().saturating_sub(self.by_route.up(e.pattern()));
        if entrances.iter().any(|e| e.pattern() == route && unused(e) > 0) {
            return true;
        }
        let kept: usize = entrances.iter().map(unused).sum();
        self.calls.len() + kept < self.settings.inbound_calls_max
    }

    fn clear(&mut self, now: Now, which: impl Fn(&Call) -> bool, cause: Cause, how: Disposition) {
        let ids: Vec<CallId> = self.calls.values().filter(|c| which(c)).map(|c| c.id).collect();
        for id in ids {
            self.told(now, id, Told::Clear(cause, how));
        }
    }

    /// Not a call of ours: no slot, no bearer, no record comes of it, only the BYE, seen to by its transaction.
    fn take_over(&mut self, now: Now, attempt: AttemptId, dialog: &[u8]) {
        let text = match serde_json::from_slice::<DialogSnapshot>(dialog) {
            Ok(snapshot) if snapshot.confirmed => {
                self.sip(now, SipInput::TakeOver(Box::new(snapshot), Cause::TEMPORARY));
                "BYE: the call of a former life was ended from the journal"
            }
            _ => {
                self.out.push_back(Output::Fact(Fact::NoDialog(attempt)));
                "the journal holds no dialog; the callee's session timer ends the call"
            }
        };
        self.common.lines.push(StoryLine { at: now.wall, attempt, kind: "sip".into(), text: text.into() });
    }

    fn drain(&mut self, now: Now, hard: bool) {
        self.draining = true;
        if hard {
            self.clear(now, |_| true, Cause::TEMPORARY, Disposition::Failed);
        }
    }

    fn timer(&mut self, now: Now) {
        if self.tdm.deadline().is_some_and(|at| now.mono >= at) {
            self.tdm.handle(now, TdmInput::Timer);
        }
        if self.endpoint.deadline().is_some_and(|(at, _)| now.mono >= at) {
            self.sip(now, SipInput::Timer);
        }
        // A call whose deadline stays in the past is asked once a turn, not for ever.
        let due: Vec<CallId> =
            self.deadlines.iter().take_while(|(at, _)| *at <= now.mono).map(|(_, id)| *id).collect();
        for id in due {
            self.told(now, id, Told::Timer);
        }
    }

    fn flush_story(&mut self) {
        if !self.common.lines.is_empty() {
            let lines = std::mem::take(&mut self.common.lines);
            self.out.push_back(Output::Ask(None, Ask::Story(lines)));
        }
    }
}

/// Retry-After when incoming calls find no capacity, s.
const RETRY_AFTER_S: u32 = 5;

fn bearer_of(report: &Report) -> Option<BearerId> {
    match *report {
        Report::Opened { bearer, .. }
        | Report::OpenFailed { bearer }
        | Report::Digit { bearer, .. }
        | Report::PlayEnded { bearer, .. }
        | Report::Voice { bearer, .. }
        | Report::Heard { bearer, .. }
        | Report::CaptureEnded { bearer, .. }
        | Report::FirstPacket { bearer }
        | Report::Silent { bearer, .. }
        | Report::Closed { bearer, .. } => Some(bearer),
        Report::SpecReturned { .. } | Report::PromptReturned { .. } | Report::Span { .. } => None,
    }
}

/// The user part of a SIP or tel URI, or the text itself.
fn user_of(uri: &str) -> &str {
    let rest = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    let user = rest.split_once('@').map_or(rest, |(user, _)| user);
    user.split([';', '?']).next().unwrap_or(user)
}

/// Incoming calls by the route that let them in.
#[derive(Debug, Default)]
struct ByRoute {
    routes: BTreeMap<CallId, String>,
    up: BTreeMap<String, usize>,
}

impl ByRoute {
    fn enter(&mut self, call: CallId, route: String) {
        *self.up.entry(route.clone()).or_default() += 1;
        self.routes.insert(call, route);
    }

    fn leave(&mut self, call: CallId) {
        let Some(route) = self.routes.remove(&call) else { return };
        if let Some(up) = self.up.get_mut(&route) {
            *up -= 1;
            if *up == 0 {
                self.up.remove(&route);
            }
        }
    }

    fn up(&self, route: &str) -> usize {
        self.up.get(route).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod trunk_tests;
