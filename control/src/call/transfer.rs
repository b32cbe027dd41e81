//! `<transfer>` (VoiceXML 2.0 §2.3.7, 2.1 §7) as the first call sees it: asks for a second call, lets the caller hear
//! how that goes, joins the two or hands the caller over, and tells the document how it ended.
//!
//! ```text
//! Asked ─Begun─▶ Ringing ─Answered─▶ Joined ─────────────▶ over          (bridge)
//!   │               └────Answered, Up──▶ Referring ─2xx──▶ over          (consultation: REFER with Replaces)
//!   │                                        └──refused──▶ HandedOver    (the two are bridged, the document leaves)
//!   └─Ready──▶ Referring ────────────────────────────────▶ over          (blind)
//! ```

use super::second::{First, relay};
use super::talk::Talk;
use crate::conduct::{Ctx, Denied, Departed, Letter};
use crate::order::{Disposition, number};
use crate::store::attempt_of;
use dataplane::command::{Command, Cut, Tone};
use dataplane::report::DigitVia;
use std::time::Duration;
use units::{BearerId, CallId, Cause, Digit, LegId, Mono, OrderId, Private, Samples};
use vxml::session::{
    Bargein, Input, Listen, PlayEnd, PlayId, Prompt, Segment, Transfer, TransferEnd, TransferKind,
};

/// A transfer that is asked for: the call makes an order of it.
#[derive(Debug)]
pub(super) struct Wish {
    /// Callee in its one form.
    pub(super) to: Private<String>,
    /// Give up then, ms from now.
    pub(super) within_ms: u64,
}

/// A REFER that is to leave.
#[derive(Debug)]
pub(super) struct Handing {
    pub(super) to: Private<String>,
    pub(super) replaces: Option<LegId>,
}

/// A transfer under way.
#[derive(Debug)]
pub(super) struct Moving {
    spec: Transfer,
    step: Step,
    since: Mono,
    /// The order made for it.
    order: Option<OrderId>,
    call: Option<CallId>,
    /// Of the second call, once the two hear each other.
    with: Option<BearerId>,
    /// What the caller hears until then.
    sound: Sound,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Asked,
    Ringing,
    Joined { since: Mono },
    Referring { until: Mono },
    HandedOver,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sound {
    Nothing,
    Audio,
    Ringback,
    Early,
}

/// Names the play of `transferaudio`; the interpreter counts up from zero.
pub(super) const TRANSFER_AUDIO: PlayId = PlayId(u32::MAX - 1);
/// Names the ringback tone among the items of the bearer.
pub(super) const RINGBACK: u32 = u32::MAX - 1;
/// A REFER that nobody tells the end of, ms: above 64*T1 (RFC 3261 §17) and the 30 s that most let a telephone ring.
const REFER_MS_MAX: u64 = 65_000;
/// Time for policy and the store beside `connecttimeout`, which is the callee's, ms.
const ASK_MS_MAX: u64 = 5_000;

impl Moving {
    pub(super) fn deadline(&self) -> Option<Mono> {
        let ms = Duration::from_millis;
        match self.step {
            Step::Asked => Some(self.since + ms(self.spec.connecttimeout_ms + ASK_MS_MAX)),
            Step::Ringing => Some(self.since + ms(self.spec.connecttimeout_ms)),
            Step::Joined { since } => (self.spec.maxtime_ms > 0).then(|| since + ms(self.spec.maxtime_ms)),
            Step::Referring { until } => Some(until),
            Step::HandedOver => None,
        }
    }

    fn hears(&self) -> bool {
        matches!(self.step, Step::Joined { .. } | Step::HandedOver) || self.sound == Sound::Early
    }
}

impl Talk {
    pub(super) fn begin_transfer(&mut self, ctx: &mut Ctx<'_>, spec: Transfer) {
        let id = spec.id;
        // What cannot be dialled is told as such before anybody is asked.
        let to = number::callee(spec.dest.expose(), None).ok().map(Private::new);
        let refuse = if self.hung_up { Some(TransferEnd::Unknown) } else { None };
        let refuse = refuse.or_else(|| to.is_none().then_some(TransferEnd::BadDestination));
        if let Some(end) = refuse {
            self.inputs.push_back(Input::TransferEnded { id, end, duration_ms: 0 });
            return;
        }
        if let Some(listen) = &spec.listen {
            self.listen(listen);
        }
        let kind = match spec.kind {
            TransferKind::Bridge => "bridge",
            TransferKind::Blind => "blind",
            TransferKind::Consultation => "consultation",
        };
        ctx.story(self.attempt, "call", format!("transfer ({kind}) asked for"));
        self.wish = to.map(|to| Wish { to, within_ms: spec.connecttimeout_ms + ASK_MS_MAX });
        let moving = Moving {
            step: Step::Asked,
            since: ctx.now.mono,
            order: None,
            call: None,
            with: None,
            sound: Sound::Nothing,
            spec,
        };
        self.moving = Some(Box::new(moving));
        self.play_transfer_audio();
    }

    /// `transferaudio` is heard from the beginning until the callee answers, again and again if it is short.
    fn play_transfer_audio(&mut self) {
        let Some(moving) = &mut self.moving else { return };
        if let Some(url) = moving.spec.transferaudio.clone() {
            moving.sound = Sound::Audio;
            let segment =
                Segment::Audio { url, timeout_ms: 7_000, caching: Default::default(), fallback: vec![] };
            self.list.push(TRANSFER_AUDIO, vec![Prompt { bargein: Bargein::None, segments: vec![segment] }]);
        }
    }

    /// A round of `transferaudio` is over.
    pub(super) fn transfer_audio_ended(&mut self, ctx: &mut Ctx<'_>, end: PlayEnd) {
        let Some(moving) = &mut self.moving else { return };
        match end {
            PlayEnd::Finished if moving.sound == Sound::Audio => self.play_transfer_audio(),
            // §2.3.7.3: audio that cannot be had is ignored; the caller hears what others hear.
            PlayEnd::Failed if moving.sound == Sound::Audio => {
                moving.sound = Sound::Nothing;
                self.ringback(ctx);
            }
            _ => {}
        }
    }

    fn ringback(&mut self, ctx: &mut Ctx<'_>) {
        let (Some(moving), Some(bearer)) = (&mut self.moving, self.bearer) else { return };
        if moving.sound == Sound::Nothing && moving.step == Step::Ringing {
            moving.sound = Sound::Ringback;
            let (length, cut) = (Samples(u32::MAX), Cut::Never);
            ctx.command(Command::Tone { bearer, item: RINGBACK, tone: Some(Tone::Ringback), length, cut });
        }
    }

    /// What the caller heard meanwhile ends.
    fn hush(&mut self, ctx: &mut Ctx<'_>) {
        let Some(moving) = &mut self.moving else { return };
        let sound = moving.sound;
        // What the two sides say to each other before the answer is parted like a bridge.
        moving.sound = if sound == Sound::Early { Sound::Early } else { Sound::Nothing };
        match sound {
            Sound::Audio => self.list.stop(),
            Sound::Ringback => {
                if let Some(bearer) = self.bearer {
                    ctx.command(Command::StopPlay { bearer });
                }
            }
            Sound::Early | Sound::Nothing => {}
        }
    }

    /// The call has made an order of the wish.
    pub(super) fn asked(&mut self, order: OrderId) {
        if let Some(moving) = &mut self.moving {
            moving.order = Some(order);
        }
    }

    /// Whether the call of this order is waited for.
    pub(super) fn expects(&self, order: OrderId) -> Option<(Option<BearerId>, bool)> {
        let moving = self.moving.as_ref()?;
        let waits = moving.order == Some(order) && moving.step == Step::Asked && !self.hung_up;
        waits.then_some((self.bearer, moving.spec.kind == TransferKind::Blind))
    }

    pub(super) fn denied(&mut self, ctx: &mut Ctx<'_>, order: OrderId, why: Denied) {
        if self.moving.as_ref().is_none_or(|m| m.order != Some(order)) {
            return;
        }
        let (told, end) = match why {
            Denied::Policy => ("policy does not allow it", TransferEnd::NoAuthorization),
            Denied::NoRoute => ("no trunk takes the number", TransferEnd::NoRoute),
            Denied::NoResource => ("no capacity", TransferEnd::NoResource),
        };
        ctx.story(self.attempt, "call", format!("transfer denied: {told}"));
        self.end_transfer(ctx, end);
    }

    pub(super) fn letter(&mut self, ctx: &mut Ctx<'_>, from: CallId, letter: Letter) {
        let Some(moving) = &mut self.moving else { return };
        match letter {
            Letter::Begun(order) if moving.order == Some(order) => {
                moving.call = Some(from);
                moving.step = Step::Ringing;
                // What policy and the store took is not the callee's.
                moving.since = ctx.now.mono;
                let second = attempt_of(order, 1);
                ctx.story(self.attempt, "call", format!("transfer: {order}, {second}"));
            }
            _ if moving.call != Some(from) => {}
            Letter::Ringing(None) => self.ringback(ctx),
            Letter::Ringing(Some(early)) => self.early(ctx, early),
            Letter::Ready => self.hand_over(ctx, None),
            Letter::Answered(bearer) => self.second_is_there(ctx, from, bearer),
            Letter::Up(leg) if moving.spec.kind == TransferKind::Consultation => {
                self.hand_over(ctx, Some(leg));
            }
            Letter::Over(departed) => self.second_is_gone(ctx, departed),
            Letter::Begun(_) | Letter::Up(_) | Letter::Joined(_) | Letter::Referred(_) | Letter::End(..) => {}
        }
    }

    /// Early media of the network: the caller hears it, unless the document has something else for the ear.
    fn early(&mut self, ctx: &mut Ctx<'_>, early: BearerId) {
        let (Some(moving), Some(a)) = (&self.moving, self.bearer) else { return };
        if moving.spec.kind != TransferKind::Bridge || moving.sound == Sound::Audio {
            return;
        }
        self.hush(ctx);
        if let Some(moving) = &mut self.moving {
            moving.sound = Sound::Early;
            moving.with = Some(early);
        }
        ctx.command(Command::Bridge { a, b: early });
    }

    fn second_is_there(&mut self, ctx: &mut Ctx<'_>, second: CallId, b: BearerId) {
        let Some(moving) = &mut self.moving else { return };
        moving.with = Some(b);
        if moving.spec.kind != TransferKind::Bridge || moving.step != Step::Ringing {
            return;
        }
        let joined = moving.sound == Sound::Early;
        self.join(ctx, second, b, joined);
        if let Some(moving) = &mut self.moving {
            moving.step = Step::Joined { since: ctx.now.mono };
        }
        ctx.story(self.attempt, "media", "bridged".into());
    }

    fn join(&mut self, ctx: &mut Ctx<'_>, second: CallId, b: BearerId, joined: bool) {
        self.hush(ctx);
        let Some(a) = self.bearer else { return };
        if !joined {
            ctx.command(Command::Bridge { a, b });
        }
        ctx.letter(second, self.call, Letter::Joined(a));
    }

    /// The REFER may leave: blindly, or so that the other end's dialog is replaced by one with the caller's telephone.
    fn hand_over(&mut self, ctx: &mut Ctx<'_>, replaces: Option<LegId>) {
        let Some(moving) = &mut self.moving else { return };
        if moving.step != Step::Ringing {
            return;
        }
        let until = ctx.after_ms(REFER_MS_MAX);
        moving.step = Step::Referring { until };
        self.handing = Some(Handing { to: moving.spec.dest.clone(), replaces });
        let told = if replaces.is_some() { "REFER with Replaces" } else { "REFER" };
        ctx.story(self.attempt, "sip", told.into());
    }

    /// How our REFER goes.
    pub(super) fn referred(&mut self, ctx: &mut Ctx<'_>, status: u16) {
        ctx.story(self.attempt, "sip", format!("transfer: {status}"));
        let Some(moving) = &self.moving else { return };
        let (Step::Referring { .. }, kind, call, with) =
            (moving.step, moving.spec.kind, moving.call, moving.with)
        else {
            return;
        };
        match (status, kind) {
            (..200, _) => {}
            (_, TransferKind::Blind) => {
                if let Some(call) = call {
                    ctx.letter(call, self.call, Letter::Referred(status));
                }
                self.end_transfer(ctx, transfer_end(status));
            }
            (200..300, _) => self.end_transfer(ctx, TransferEnd::Transferred),
            // 2.1 §7: the caller is to end up with the callee. Where the caller's telephone will not see to it, we do.
            _ => match (call, with) {
                (Some(call), Some(with)) => self.stay_between(ctx, call, with),
                _ => self.end_transfer(ctx, TransferEnd::FarEndDisconnect),
            },
        }
    }

    fn stay_between(&mut self, ctx: &mut Ctx<'_>, call: CallId, with: BearerId) {
        ctx.story(self.attempt, "media", "the REFER was refused: bridged instead".into());
        self.join(ctx, call, with, false);
        let Some(moving) = &mut self.moving else { return };
        moving.step = Step::HandedOver;
        let (id, end) = (moving.spec.id, TransferEnd::Transferred);
        self.listening = None;
        self.inputs.push_back(Input::TransferEnded { id, end, duration_ms: 0 });
    }

    pub(super) fn is_handed_over(&self) -> bool {
        self.moving.as_ref().is_some_and(|m| m.step == Step::HandedOver)
    }

    /// The call to stay joined to when the document is over.
    pub(super) fn handed_over(&mut self) -> Option<(CallId, BearerId)> {
        let over = self.moving.as_ref().is_some_and(|m| m.step == Step::HandedOver) && !self.gone;
        let moving = self.moving.take_if(|_| over)?;
        moving.call.zip(moving.with)
    }

    fn second_is_gone(&mut self, ctx: &mut Ctx<'_>, departed: Departed) {
        let Some(moving) = &mut self.moving else { return };
        let kind = moving.spec.kind;
        // Who is replaced gets a BYE from the callee, often before the NOTIFY that tells so.
        moving.call = None;
        match (moving.step, kind) {
            (Step::Referring { .. }, TransferKind::Consultation) => moving.with = None,
            (Step::HandedOver, _) => self.moving = None,
            _ => self.end_transfer(ctx, departed_end(&departed)),
        }
    }

    /// The caller entered what ends a bridge.
    pub(super) fn release_transfer(&mut self, ctx: &mut Ctx<'_>, id: vxml::session::ListenId) {
        if self.moving.as_ref().is_some_and(|m| m.spec.id == id) {
            self.end_transfer(ctx, TransferEnd::NearEndDisconnect);
        }
    }

    pub(super) fn transfer_timer(&mut self, ctx: &mut Ctx<'_>) {
        let Some(moving) = &self.moving else { return };
        if moving.deadline().is_none_or(|at| ctx.now.mono < at) {
            return;
        }
        match (moving.step, moving.spec.kind) {
            (Step::Asked, _) => self.end_transfer(ctx, TransferEnd::NoResource),
            (Step::Ringing, _) => self.end_transfer(ctx, TransferEnd::Noanswer),
            (Step::Joined { .. }, _) => self.end_transfer(ctx, TransferEnd::MaxtimeDisconnect),
            (Step::Referring { .. }, TransferKind::Consultation) => self.referred(ctx, 408),
            (Step::Referring { .. }, _) => self.end_transfer(ctx, TransferEnd::Unknown),
            (Step::HandedOver, _) => {}
        }
    }

    /// The caller has hung up. `true`: the document is told that the transfer went well, and of no hang-up.
    pub(super) fn caller_left(&mut self, ctx: &mut Ctx<'_>) {
        let Some(moving) = &self.moving else { return };
        match moving.step {
            // RFC 3515 §2.4.4: the referee may hang up before it has told how it went.
            Step::Referring { .. } => {
                if let Some(call) = moving.call.filter(|_| moving.spec.kind == TransferKind::Blind) {
                    ctx.letter(call, self.call, Letter::Referred(200));
                }
                self.end_transfer(ctx, TransferEnd::Transferred);
            }
            _ => self.abandon_transfer(ctx),
        }
    }

    /// Ends the second call, whatever it is at; the document is not told.
    pub(super) fn abandon_transfer(&mut self, ctx: &mut Ctx<'_>) {
        self.hush(ctx);
        let Some(moving) = self.moving.take() else { return };
        let how = match moving.step {
            Step::Asked | Step::Ringing => Disposition::Cancelled,
            _ => Disposition::Completed,
        };
        self.let_go(ctx, &moving, Cause::NORMAL, how);
    }

    /// The transfer is over: the two are parted, the second call ends, the document goes on.
    fn end_transfer(&mut self, ctx: &mut Ctx<'_>, end: TransferEnd) {
        self.hush(ctx);
        let Some(moving) = self.moving.take() else { return };
        let (cause, how) = match end {
            TransferEnd::Noanswer => (Cause::NO_ANSWER, Disposition::NoAnswer),
            TransferEnd::Unknown => (Cause::NORMAL, Disposition::Unknown),
            _ if matches!(moving.step, Step::Asked | Step::Ringing) => {
                (Cause::NORMAL, Disposition::Cancelled)
            }
            _ => (Cause::NORMAL, Disposition::Completed),
        };
        self.let_go(ctx, &moving, cause, how);
        let since = match moving.step {
            Step::Joined { since } => ctx.now.mono.since(since),
            _ => Duration::ZERO,
        };
        let duration_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        ctx.story(self.attempt, "call", format!("transfer: {end:?} after {duration_ms} ms"));
        self.inputs.push_back(Input::TransferEnded { id: moving.spec.id, end, duration_ms });
    }

    fn let_go(&mut self, ctx: &mut Ctx<'_>, moving: &Moving, cause: Cause, how: Disposition) {
        self.listening = self.listening.take_if(|(id, _)| *id != moving.spec.id);
        if let (true, Some(with)) = (moving.hears(), moving.with) {
            // Two that are joined over a ring between workers are parted at both ends.
            for bearer in [self.bearer, Some(with)].into_iter().flatten() {
                ctx.command(Command::Unbridge { bearer });
            }
        }
        if let Some(call) = moving.call {
            ctx.letter(call, self.call, Letter::End(cause, how));
        }
    }

    /// A key of the caller's, for whoever the caller is joined to.
    pub(super) fn relay_digit(&self, ctx: &mut Ctx<'_>, digit: Digit, via: DigitVia, length: Samples) {
        if let Some(moving) = self.moving.as_ref().filter(|m| m.hears()) {
            relay(ctx, moving.with, digit, via, length);
        }
    }

    pub(super) fn transfer_listen(&self) -> Option<&Listen> {
        self.moving.as_ref()?.spec.listen.as_deref()
    }

    pub(super) fn second_call(&self) -> Option<CallId> {
        self.moving.as_ref()?.call
    }
}

/// For whom a second call is placed, as the shard asks.
pub(super) fn first(
    call: CallId,
    attempt: units::AttemptId,
    (beside, blind): (Option<BearerId>, bool),
) -> First {
    First { call, attempt, beside, blind }
}

/// VoiceXML 2.0 §2.3.7.2, from how the second call went.
fn departed_end(d: &Departed) -> TransferEnd {
    if d.answered {
        return if d.by_peer { TransferEnd::FarEndDisconnect } else { TransferEnd::NetworkDisconnect };
    }
    match d.disposition {
        Disposition::Congestion if !d.dialled => TransferEnd::NoResource,
        // "The endpoint refused the call."
        Disposition::Busy | Disposition::Rejected | Disposition::Unwanted if d.status != Some(403) => {
            TransferEnd::Busy
        }
        Disposition::Rejected => TransferEnd::NoAuthorization,
        Disposition::NoAnswer => TransferEnd::Noanswer,
        Disposition::Congestion | Disposition::Blocked => TransferEnd::NetworkBusy,
        Disposition::Unallocated => TransferEnd::BadDestination,
        _ => d.status.filter(|s| (400..700).contains(s)).map_or(TransferEnd::Unknown, TransferEnd::Protocol),
    }
}

/// VoiceXML 2.0 §2.3.7.2, from the final status of the referred call.
fn transfer_end(status: u16) -> TransferEnd {
    match status {
        200..=299 => TransferEnd::Transferred,
        486 | 600 => TransferEnd::Busy,
        408 | 480 | 487 => TransferEnd::Noanswer,
        404 | 484 | 604 => TransferEnd::BadDestination,
        403 | 603 => TransferEnd::NoAuthorization,
        405 | 501 => TransferEnd::Unsupported,
        503 => TransferEnd::NetworkBusy,
        _ => TransferEnd::Unknown,
    }
}
