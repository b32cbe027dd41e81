//! `Call`: the conductor. One call with its leg, its bearer and its VoiceXML session, from the order (or the incoming
//! INVITE) to the record. Figure: `architecture.md` §5, steps 5 to 10.
//!
//! ```text
//! Preparing ──place found, document here──▶ Intending ──intent durable, permit spent──▶ Dialling ──▶ Talking
//!     │                 (incoming: ────────────▶ Accepting ──ACK──▶ Talking)                          │
//!     └──────────────▶ Clearing ──leg and bearer gone──▶ Writing ──record durable──▶ Over ◀───────────┘
//! ```
//!
//! Nobody is called before the document that is to talk with them is here, so a missing document never makes a
//! telephone ring. Nothing leaves before what must be durable is: intent before INVITE, ACK's record before the ACK,
//! the record before any notice.

mod ending;
mod facts;
mod leave;
mod objects;
pub mod outcome;
pub mod play;
mod prepare;
mod second;
mod talk;
mod transfer;
mod voice;

use crate::conduct::{Ctx, Denied, Fact, Finished, Heard, Letter, Output, Purpose};
use crate::config::Encryption;
use crate::order::{Application, Disposition, Order, Origin, Purpose as For, When};
use crate::permit::{Permit, Slot};
use crate::record::Direction;
use crate::store::{Answer, Ask, Error as StoreError, Lease};
use crate::trunk::route::{NoRoute, Route};
use dataplane::command::Command;
use dataplane::report::{CaptureEnd, Report};
use facts::Facts;
use leave::Out;
use play::Loaded;
use second::{First, Joined};
use signalling::leg::{Action, Ended, Indication, Media, Place, Rtp, Srtp};
use signalling::sip::dialog::DialogSnapshot;
use std::net::SocketAddr;
use talk::{Talk, Turn};
use transfer::{Handing, Wish};
use units::{AttemptId, BearerId, CallId, Cause, LegId, Mono, Now, OrderId, Samples, TenantId};
use vxml::session::{
    Caching, Connection, Exit, FetchError, FetchRequest, Fetched, ListenId, Method, Recording, Redirect,
    Resource,
};

/// What the desk hands over for an outbound call.
#[derive(Debug)]
pub struct Start {
    /// Proof that policy allows it.
    pub permit: Permit,
    /// The capacity it uses.
    pub slot: Slot,
    /// The order.
    pub order: Box<Order>,
    /// The claim under which it is written about.
    pub lease: Lease,
    /// Trunks and groups that it may leave by, best first, if they were named; else the tenant's.
    pub trunks: Option<Vec<String>>,
    /// The same attempt after a crash: the far side may know an older offer of ours.
    pub again: bool,
}

/// What a call is told.
#[derive(Debug)]
pub(crate) enum Told {
    Leg(Indication),
    Reserved(Option<(BearerId, SocketAddr)>),
    Report(Report),
    Captured(Captured),
    Heard(ListenId, Heard),
    Fetched(Purpose, Result<Fetched, FetchError>),
    Prompt(Purpose, Option<Loaded>),
    Stored(Purpose, Result<Answer, StoreError>),
    /// From the other call of a transfer.
    Letter(CallId, Letter),
    /// The transfer that this order was made for is not to be dialled.
    Denied(OrderId, Denied),
    /// Clear it from our side.
    Clear(Cause, Disposition),
    Timer,
}

/// A capture that ended, with what was kept of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Captured {
    /// Why.
    pub end: CaptureEnd,
    /// Its length.
    pub length: Samples,
    /// Whether anything was heard.
    pub sound: bool,
    /// What was kept.
    pub recording: Option<Recording>,
}

/// One call. See the module.
#[derive(Debug)]
pub struct Call {
    pub(crate) id: CallId,
    pub(crate) leg: Option<LegId>,
    pub(crate) bearer: Option<BearerId>,
    /// The worker has the bearer; else it is a reserved place only.
    opened: bool,
    /// It is carried by a timeslot, not by RTP.
    timeslot: bool,
    stage: Stage,
    stage_until: Option<Mono>,
    call_until: Mono,
    lease: Option<Lease>,
    order: Option<Box<Order>>,
    /// How it leaves, once a trunk is chosen.
    route: Option<Route>,
    /// Which trunks it may leave by.
    out: Option<Out>,
    again: bool,
    /// The dialog as a neighbour needs it to end the call.
    dialog: Vec<u8>,
    slot: Option<Slot>,
    /// The application root that is asked for.
    root_url: String,
    /// The call that this one was placed for, until that has been told its end.
    first: Option<First>,
    /// Our SRTP keys; once answered, only if SRTP was agreed.
    keys: Option<Srtp>,
    facts: Facts,
}

/// What a call is for, once it is answered.
#[derive(Debug)]
enum Work {
    /// To talk by these documents, each under the URL it was asked for: the first, and its application root if it has one.
    Talk(Vec<(String, Fetched)>),
    /// To be joined to the first call.
    Join,
    /// To stand for a REFER of the first call.
    Refer,
}

#[derive(Debug)]
enum Stage {
    Preparing {
        permit: Option<Permit>,
        port: Option<u16>,
        work: Option<Work>,
        first: Option<Fetched>,
    },
    /// For a set-up token of a trunk.
    Waiting {
        permit: Option<Permit>,
        port: u16,
        work: Work,
    },
    Intending {
        permit: Option<Permit>,
        port: u16,
        work: Work,
    },
    Dialling {
        work: Work,
    },
    Accepting {
        work: Work,
    },
    Talking(Box<Talk>),
    /// Joined to another call without a document.
    Joined(Joined),
    /// The first call's REFER is under way.
    Referring,
    Clearing,
    Writing {
        tries: u32,
    },
    Over,
}

/// The bearer and the document must be there within this long, ms; the document's own timeout is shorter.
const PREPARE_MS_MAX: u64 = 35_000;
/// The store must answer an intent within this long, ms.
const INTENT_MS_MAX: u64 = 10_000;
/// Leg and bearer must be gone within this long, ms: above 64*T1 (RFC 3261 §17), after which a leg ends by itself.
const CLEAR_MS_MAX: u64 = 40_000;
/// Time between tries to write a record, ms.
const WRITE_RETRY_MS: u64 = 1_000;

impl Call {
    /// An ordered call.
    pub(crate) fn outbound(ctx: &mut Ctx<'_>, id: CallId, start: Start) -> Self {
        let Start { permit, slot, order, lease, trunks, again } = start;
        let application = ctx.settings.application(&order.application);
        let plan = ctx.settings.plan(&order, trunks.as_deref());
        let timeslot = plan.as_ref().is_ok_and(|plan| plan.timeslot);
        let (protocol_name, protocol_version) = protocol(timeslot);
        let connection = Connection {
            protocol_name,
            protocol_version,
            originator_is_local: true,
            ..Connection::default()
        };
        let from = order.caller_id.clone().unwrap_or_default();
        let facts = Facts::new(ctx.now, lease.attempt, order.tenant, Direction::Outbound, connection).named(
            from,
            order.to.clone(),
            "",
            application.unwrap_or_default(),
        );
        let mut call = Self::new(ctx, id, Stage::preparing(Some(permit)), facts);
        call.slot = Some(slot);
        call.lease = Some(lease);
        call.order = Some(order);
        call.again = again;
        call.timeslot = timeslot;
        match plan {
            Ok(plan) => {
                call.out = Some(Out::new(plan));
                call.prepare(ctx);
            }
            Err(why) => call.unroutable(ctx, why),
        }
        call
    }

    /// The configuration has changed since the order was taken.
    pub(super) fn unroutable(&mut self, ctx: &mut Ctx<'_>, why: NoRoute) {
        let (cause, why) = match why {
            NoRoute::NoTrunk => (Cause::INVALID_NUMBER, "no trunk takes this number"),
            NoRoute::NoCallerId => (Cause(50), "no trunk shows this caller id"),
        };
        self.fail(ctx, Disposition::Failed, cause, why);
        self.settle(ctx);
    }

    /// A call that comes in and is to be taken.
    pub(crate) fn inbound(ctx: &mut Ctx<'_>, id: CallId, leg: LegId, arrival: Arrival) -> Self {
        let Arrival { incoming, attempt, slot, tenant, url, srtp } = arrival;
        let timeslot = matches!(incoming.offer, Some(Media::Timeslot { .. }));
        let (protocol_name, protocol_version) = protocol(timeslot);
        let redirect = incoming.redirects.iter().map(|r| Redirect {
            uri: r.uri.clone(),
            pi: r.privacy.clone(),
            si: r.screen.clone(),
            reason: r.reason.clone(),
        });
        let connection = Connection {
            local_uri: incoming.to.clone(),
            remote_uri: incoming.from.clone(),
            protocol_name,
            protocol_version,
            headers: incoming.headers.clone(),
            redirect: redirect.collect(),
            aai: None,
            originator_is_local: false,
        };
        let facts = Facts::new(ctx.now, attempt, tenant, Direction::Inbound, connection).named(
            incoming.from,
            incoming.to,
            "",
            url,
        );
        let mut call = Self::new(ctx, id, Stage::preparing(None), facts);
        call.slot = Some(slot);
        call.leg = Some(leg);
        call.timeslot = timeslot;
        call.keys = ctx.settings.keys(attempt, srtp);
        call.prepare(ctx);
        call
    }

    fn new(ctx: &Ctx<'_>, id: CallId, stage: Stage, facts: Facts) -> Self {
        Self {
            id,
            leg: None,
            bearer: None,
            opened: false,
            timeslot: false,
            stage,
            stage_until: Some(ctx.after_ms(PREPARE_MS_MAX)),
            call_until: ctx.after_ms(ctx.settings.call_ms_max),
            lease: None,
            order: None,
            route: None,
            out: None,
            again: false,
            dialog: Vec::new(),
            slot: None,
            root_url: String::new(),
            first: None,
            keys: None,
            facts,
        }
    }

    /// The attempt, which names the call in stories and logs.
    #[must_use]
    pub fn attempt(&self) -> AttemptId {
        self.facts.attempt
    }

    /// The order, for outbound calls.
    #[must_use]
    pub fn order(&self) -> Option<OrderId> {
        self.order.as_ref().map(|o| o.id)
    }

    /// Whose it is.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.facts.tenant
    }

    /// What it is doing, in one word.
    #[must_use]
    pub fn stage(&self) -> &'static str {
        match &self.stage {
            Stage::Preparing { .. } => "preparing",
            Stage::Waiting { .. } => "waiting",
            Stage::Intending { .. } => "intending",
            Stage::Dialling { .. } if self.facts.alerted.is_some() => "ringing",
            Stage::Dialling { .. } => "dialling",
            Stage::Accepting { .. } => "accepting",
            Stage::Talking(_) => "talking",
            Stage::Joined(_) => "joined",
            Stage::Referring => "referring",
            Stage::Clearing => "clearing",
            Stage::Writing { .. } => "writing",
            Stage::Over => "over",
        }
    }

    /// Whether it was answered.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.facts.answered.is_some()
    }

    /// When it began.
    #[must_use]
    pub fn began(&self) -> Now {
        self.facts.began
    }

    /// Which way it goes.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.facts.direction
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    pub(crate) fn deadline(&self) -> Option<Mono> {
        let talk = match &self.stage {
            Stage::Talking(talk) => talk.deadline(),
            _ => None,
        };
        let cap = (!matches!(self.stage, Stage::Clearing | Stage::Writing { .. } | Stage::Over))
            .then_some(self.call_until);
        let quiet = self.out.as_ref().and_then(|out| out.quiet_until);
        [talk, cap, self.stage_until, quiet].into_iter().flatten().min()
    }

    pub(crate) fn told(&mut self, ctx: &mut Ctx<'_>, told: Told) {
        match told {
            Told::Leg(indication) => self.leg_told(ctx, indication),
            Told::Reserved(place) => self.reserved(ctx, place),
            Told::Report(report) => self.bearer_told(ctx, report),
            Told::Fetched(Purpose::Document, result) => self.document_here(ctx, result),
            Told::Fetched(Purpose::Root, result) => self.root_here(ctx, result),
            Told::Stored(Purpose::Intent, result) => self.intent_stored(ctx, result),
            Told::Stored(Purpose::Ack, result) => self.ack_stored(ctx, result),
            Told::Stored(Purpose::Record, result) => self.record_stored(ctx, result),
            Told::Clear(cause, disposition) => {
                self.facts.disposition.get_or_insert(disposition);
                self.clear(ctx, cause);
            }
            Told::Letter(from, letter) => self.letter(ctx, from, letter),
            Told::Denied(order, why) => self.talk(ctx, Turn::Denied(order, why)),
            Told::Timer => self.timer(ctx),
            Told::Fetched(..) | Told::Prompt(..) | Told::Captured(_) | Told::Heard(..) => {
                self.talk(ctx, Turn::Told(told))
            }
            Told::Stored(..) => {}
        }
        self.settle(ctx);
    }

    /// Gives the bearer back: a place at once, an open one when its worker has told its end.
    fn close_bearer(&mut self, ctx: &mut Ctx<'_>) {
        match self.bearer {
            Some(bearer) if self.opened => ctx.command(Command::Close { bearer }),
            Some(bearer) => {
                self.bearer = None;
                ctx.common.bearers.remove(&bearer);
                ctx.out.push_back(Output::Release(bearer));
            }
            None => {}
        }
    }

    fn own_media(&self, ctx: &Ctx<'_>, port: u16) -> Media {
        if self.timeslot {
            // Which one is for the span's signalling to say.
            return Media::Timeslot { span: 0, slot: 0 };
        }
        let codecs = match &self.route {
            Some(route) if !route.codecs.is_empty() => route.codecs.clone(),
            _ => ctx.settings.codecs.clone(),
        };
        Media::Rtp(Rtp {
            addr: SocketAddr::new(ctx.settings.media_ip, port),
            rtcp: None,
            codecs,
            telephone_event: Some(TELEPHONE_EVENT),
            sends: true,
            receives: true,
            srtp: self.keys.clone(),
            ptime_ms: 20,
        })
    }

    fn leg_told(&mut self, ctx: &mut Ctx<'_>, indication: Indication) {
        match indication {
            // Calls go to people; an engine is spoken to elsewhere.
            Indication::Incoming(_) | Indication::Engine(_) => {}
            Indication::Trying => self.trunk_lives(ctx, false),
            Indication::Progress { status, media } => {
                self.trunk_lives(ctx, true);
                self.facts.alerted.get_or_insert(ctx.now.wall);
                ctx.story(self.facts.attempt, "sip", format!("{status}"));
                self.second_rings(ctx, media.as_ref());
            }
            Indication::Answered { media } => self.answered(ctx, &media),
            Indication::AckDue => self.ack_due(ctx),
            Indication::Offered(media) => {
                self.far_side(ctx, &media);
                ctx.leg(self.leg, Action::Answer(self.own_media(ctx, self.facts.local_port)));
            }
            Indication::Reanswered(media) => {
                if let Some(media) = media {
                    self.far_side(ctx, &media);
                }
            }
            Indication::Redirected { status, contacts } => self.redirected(ctx, status, &contacts),
            Indication::Referred { .. } => ctx.leg(self.leg, Action::ReferResult { status: 603 }),
            Indication::Digit(digit) => self.talk(ctx, Turn::Digit(digit)),
            Indication::ReferProgress { status } => self.talk(ctx, Turn::Referred(status)),
            Indication::Ended(ended) => self.leg_ended(ctx, ended),
        }
    }

    /// What a neighbour needs to end the call, as it stands now.
    pub(crate) fn journal(&mut self, snapshot: &DialogSnapshot) {
        self.dialog = serde_json::to_vec(snapshot).unwrap_or_default();
    }

    /// Journalled before the ACK leaves: who finds this never sends the INVITE again (`docs/reliability`).
    fn ack_due(&mut self, ctx: &mut Ctx<'_>) {
        match &self.lease {
            Some(lease) => {
                let (attempt, epoch, dialog) = (lease.attempt, lease.epoch, self.dialog.clone());
                let token = ctx.token(self.id, Purpose::Ack);
                ctx.ask(token, Ask::AckIntent { attempt, epoch, dialog });
            }
            None => self.ack(ctx),
        }
    }

    fn ack_stored(&mut self, ctx: &mut Ctx<'_>, result: Result<Answer, StoreError>) {
        // The call is up already, so the ACK leaves in any case: without it the callee would be cut off after 64*T1.
        if let Err(error) = result {
            ctx.story(self.facts.attempt, "store", format!("the ACK was not journalled: {error:?}"));
        }
        self.ack(ctx);
    }

    fn ack(&self, ctx: &mut Ctx<'_>) {
        if let Some(leg) = self.leg {
            ctx.acked(leg);
            if self.again {
                // The copy of the INVITE that was answered named the address of a former life.
                ctx.leg(self.leg, Action::Reoffer(self.own_media(ctx, self.facts.local_port)));
            }
            self.tell_first(ctx, Letter::Up(leg));
        }
    }

    fn far_side(&mut self, ctx: &mut Ctx<'_>, media: &Media) {
        let Some(bearer) = self.bearer else { return };
        let output = match media {
            // A timeslot stays what it is.
            Media::Timeslot { .. } if self.opened => return,
            Media::Timeslot { span, slot } => Output::OpenSlot { bearer, span: *span, slot: *slot },
            Media::Rtp(far) => {
                let (far, keys) = (Box::new(far.clone()), self.keys.clone().filter(|_| far.srtp.is_some()));
                if self.opened {
                    Output::Respec { bearer, far, keys }
                } else {
                    Output::Open { bearer, far, keys }
                }
            }
        };
        self.opened = true;
        ctx.out.push_back(output);
    }

    fn answered(&mut self, ctx: &mut Ctx<'_>, media: &Media) {
        let (Stage::Dialling { .. } | Stage::Accepting { .. }) = &self.stage else {
            self.far_side(ctx, media);
            return;
        };
        let (Stage::Dialling { work } | Stage::Accepting { work }) =
            std::mem::replace(&mut self.stage, Stage::Clearing)
        else {
            unreachable!("matched above");
        };
        self.facts.answered = Some(ctx.now);
        self.trunk_answered(ctx);
        self.stage_until = None;
        let encrypted = matches!(media, Media::Rtp(far) if far.srtp.is_some());
        if !encrypted {
            // What it was answered as it stays: no later offer of ours asks for more.
            self.keys = None;
        }
        let how = if encrypted { "answered, voice encrypted (SRTP)" } else { "answered" };
        ctx.story(self.facts.attempt, "sip", how.into());
        if let Some(lease) = &self.lease {
            let ask =
                Ask::Progress { order: lease.order, epoch: lease.epoch, state: crate::order::State::Talking };
            ctx.tell(ask);
        }
        match (work, self.first) {
            (Work::Talk(pages), _) => self.begin_talk(ctx, media, pages),
            (_, Some(first)) => self.second_answered(ctx, first, media),
            (_, None) => self.clear(ctx, Cause::NORMAL),
        }
    }

    fn begin_talk(&mut self, ctx: &mut Ctx<'_>, media: &Media, pages: Vec<(String, Fetched)>) {
        self.far_side(ctx, media);
        let (codec, events) = match media {
            Media::Rtp(far) => (far.codecs.first().copied(), far.telephone_event.is_some()),
            Media::Timeslot { span, .. } => (Some(ctx.settings.span_codec(*span)), false),
        };
        let bearer = self.bearer.expect("a call is answered with its bearer open");
        let opening = talk::Opening {
            call: self.id,
            attempt: self.facts.attempt,
            tenant: self.facts.tenant,
            order: self.order.as_deref(),
            bearer,
            codec: codec.unwrap_or(ctx.settings.codecs[0]),
            events,
            url: self.facts.application.clone(),
            connection: std::mem::take(&mut self.facts.connection),
            pages,
            lenient: self.lenient(ctx),
        };
        self.stage = Stage::Talking(Box::new(Talk::start(ctx, opening)));
        self.talk(ctx, Turn::Begin);
    }

    /// Gives the conversation a turn, and carries out what it decided about the call itself.
    fn talk(&mut self, ctx: &mut Ctx<'_>, turn: Turn) {
        let Stage::Talking(talk) = &mut self.stage else {
            talk::discard(ctx, turn);
            return;
        };
        talk.turn(ctx, turn);
        if let Some(Handing { to, replaces }) = talk.take_handing() {
            ctx.leg(self.leg, Action::Refer { to, replaces });
        }
        if let Some(wish) = talk.take_wish() {
            self.ask_second(ctx, wish);
        }
        let Stage::Talking(talk) = &mut self.stage else { return };
        if talk.wants_hang_up() && self.leg.is_some() && self.facts.over.is_none() {
            self.hang_up(ctx, Cause::NORMAL);
        }
        let Stage::Talking(talk) = &mut self.stage else { return };
        if let Some(exit) = talk.take_exit() {
            self.exited(ctx, exit);
        }
    }

    /// Makes an order of a transfer, which is judged like any other.
    fn ask_second(&mut self, ctx: &mut Ctx<'_>, wish: Wish) {
        let id = OrderId(ctx.common.rng.next_u128());
        let own = self.order.as_deref();
        let order = Order {
            id,
            tenant: self.facts.tenant,
            request_id: format!("transfer-{id}"),
            origin: Origin::Transfer { parent: self.facts.attempt },
            to: wish.to,
            application: own.map_or_else(
                || Application::Url(self.facts.application.clone()),
                |own| own.application.clone(),
            ),
            when: When::Now,
            expires: ctx.now.wall.plus(std::time::Duration::from_millis(wish.within_ms)),
            purpose: own.map_or(For::default(), |own| own.purpose),
            policy: own.and_then(|own| own.policy.clone()),
            // Somebody waits on the line.
            priority: 9,
            caller_id: own.and_then(|own| own.caller_id.clone()),
            resources: Vec::new(),
            results_to: Vec::new(),
            params: Default::default(),
            message: None,
            zone: None,
            lang: None,
            subject: None,
            customer: None,
            doubt: Default::default(),
            campaign: None,
            lenient: false,
            repeat: None,
        };
        if let Stage::Talking(talk) = &mut self.stage {
            talk.asked(id);
        }
        ctx.out.push_back(Output::Second(Box::new(order)));
    }

    /// For whom the call of this order would be placed, if it is waited for here.
    pub(crate) fn expects(&self, order: OrderId) -> Option<First> {
        let Stage::Talking(talk) = &self.stage else { return None };
        talk.expects(order).map(|how| transfer::first(self.id, self.facts.attempt, how))
    }

    fn exited(&mut self, ctx: &mut Ctx<'_>, exit: Exit) {
        ctx.story_end(self.facts.attempt, "vxml", format!("exit: {}", talk::exit_reason(&exit)));
        if let Stage::Talking(talk) = &mut self.stage {
            let (values, recordings) = talk.results();
            self.facts.values.extend(values);
            self.facts.recordings.extend(recordings);
        }
        self.facts.disposition.get_or_insert(outcome::answered(Some(&exit)));
        if let vxml::session::ExitReason::Error { event, .. } = &exit.reason {
            self.facts.why.get_or_insert(event.clone());
        }
        for (name, value) in exit.values {
            self.facts.values.insert(name, value);
        }
        if let Stage::Talking(talk) = &mut self.stage
            && let Some((other, with)) = talk.handed_over()
            && self.leg.is_some()
        {
            return self.stay_joined(ctx, other, with);
        }
        self.clear(ctx, Cause::NORMAL);
    }
}

/// Payload type we offer for `telephone-event/8000`; the one most peers use.
const TELEPHONE_EVENT: u8 = 101;

/// `session.connection.protocol` (VoiceXML 2.1 §5.1.4): its name and version.
fn protocol(timeslot: bool) -> (String, String) {
    let (name, version) = if timeslot { ("isdn", "q931") } else { ("sip", "2.0") };
    (name.into(), version.into())
}

/// An incoming call that a route matched.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) incoming: signalling::leg::Incoming,
    pub(crate) attempt: AttemptId,
    pub(crate) slot: Slot,
    pub(crate) tenant: TenantId,
    pub(crate) url: String,
    /// Whether its voice is encrypted.
    pub(crate) srtp: Encryption,
}

impl Stage {
    fn preparing(permit: Option<Permit>) -> Self {
        Stage::Preparing { permit, port: None, work: None, first: None }
    }
}
