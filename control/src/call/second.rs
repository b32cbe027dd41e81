//! The second call of a transfer (VoiceXML 2.0 §2.3.7): placed by a call of the same shard for its caller, and a call
//! of its own in everything else: own permit, intent, leg, bearer, slot and record. It runs no document; what it has
//! to tell goes to the first call as a [`Letter`].
//!
//! ```text
//! Preparing ─▶ Intending ─▶ Dialling ─▶ Joined ─▶ Clearing ─▶ ...      (bridge, consultation)
//!                   └─────▶ Referring ─────────▶ Clearing ─▶ ...      (blind: the first call's REFER dials)
//! ```

use super::*;
use crate::conduct::{Departed, Letter};
use dataplane::report::DigitVia;
use units::Digit;

/// For which call a second one is placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct First {
    pub(crate) call: CallId,
    pub(crate) attempt: AttemptId,
    /// Its bearer; the second one's stands on the same worker if it can.
    pub(crate) beside: Option<BearerId>,
    /// The caller is handed over by REFER: nothing is dialled from here.
    pub(crate) blind: bool,
}

/// Two calls that hear each other without a document.
#[derive(Debug)]
pub(super) struct Joined {
    /// The call it is joined to.
    pub(super) other: CallId,
    /// That call's bearer, once they hear each other.
    pub(super) with: Option<BearerId>,
}

impl Call {
    /// The second call of a transfer. `first`: the call that asked for it, if that is still there and waits.
    pub(crate) fn second(ctx: &mut Ctx<'_>, id: CallId, start: Start, first: Option<First>) -> Self {
        let Start { permit, slot, order, lease, trunks, .. } = start;
        let plan = ctx.settings.plan(&order, trunks.as_deref());
        let facts =
            Facts::new(ctx.now, lease.attempt, order.tenant, Direction::Transfer, Connection::default());
        let application = ctx.settings.application(&order.application).unwrap_or_default();
        let facts =
            facts.named(order.caller_id.clone().unwrap_or_default(), order.to.clone(), "", application);
        let work = if first.is_some_and(|f| f.blind) { Work::Refer } else { Work::Join };
        let blind = matches!(work, Work::Refer);
        let stage = Stage::Preparing {
            permit: Some(permit),
            port: blind.then_some(0),
            work: Some(work),
            first: None,
        };
        let mut call = Self::new(ctx, id, stage, facts);
        call.facts.parent = order.parent();
        let order_id = order.id;
        call.timeslot = plan.as_ref().is_ok_and(|plan| plan.timeslot);
        (call.slot, call.lease, call.order) = (Some(slot), Some(lease), Some(order));
        call.first = first;
        let Some(first) = first else {
            call.fail(ctx, Disposition::Cancelled, Cause::NORMAL, "the call that asked for it is over");
            call.settle(ctx);
            return call;
        };
        ctx.letter(first.call, id, Letter::Begun(order_id));
        ctx.story(call.facts.attempt, "call", format!("transfer for {}", first.attempt));
        match plan {
            Ok(plan) => call.out = Some(Out::new(plan)),
            Err(why) => {
                call.unroutable(ctx, why);
                return call;
            }
        }
        if blind {
            call.prepared(ctx);
            call.settle(ctx);
        } else {
            call.reserve(ctx, first.beside);
        }
        call
    }

    /// The intent is written and the permit spent: the first call's leg sends the REFER.
    pub(super) fn refer(&mut self, ctx: &mut Ctx<'_>) {
        self.facts.dialled = true;
        self.stage = Stage::Referring;
        let ring = self.route.as_ref().map_or(0, |route| route.ring_ms_max);
        self.stage_until = Some(ctx.after_ms(ring + CLEAR_MS_MAX));
        self.tell_first(ctx, Letter::Ready);
    }

    pub(super) fn tell_first(&self, ctx: &mut Ctx<'_>, letter: Letter) {
        if let Some(first) = self.first {
            ctx.letter(first.call, self.id, letter);
        }
    }

    /// Ringing is told on, and early media is opened, so that the caller hears what the network says.
    pub(super) fn second_rings(&mut self, ctx: &mut Ctx<'_>, media: Option<&Media>) {
        if self.first.is_none() {
            return;
        }
        match media {
            Some(media) if self.bearer.is_some() => self.far_side(ctx, media),
            _ => self.tell_first(ctx, Letter::Ringing(None)),
        }
    }

    /// The callee has answered; the first call is told when the bearer is open, which it may be already.
    pub(super) fn second_answered(&mut self, ctx: &mut Ctx<'_>, first: First, media: &Media) {
        let already = self.opened;
        self.far_side(ctx, media);
        self.stage = Stage::Joined(Joined { other: first.call, with: None });
        if already && let Some(bearer) = self.bearer {
            self.tell_first(ctx, Letter::Answered(bearer));
        }
    }

    pub(super) fn second_opened(&mut self, ctx: &mut Ctx<'_>) {
        let Some(bearer) = self.bearer else { return };
        match &self.stage {
            Stage::Dialling { .. } => self.tell_first(ctx, Letter::Ringing(Some(bearer))),
            Stage::Joined(_) => self.tell_first(ctx, Letter::Answered(bearer)),
            _ => {}
        }
    }

    /// A key of one side is a key for the other: RFC 4733 events are not sound and do not cross a bridge by themselves.
    pub(super) fn joined_report(&self, ctx: &mut Ctx<'_>, report: &Report) {
        if let (Stage::Joined(joined), Report::Digit { digit, via, length, .. }) = (&self.stage, report) {
            relay(ctx, joined.with, *digit, *via, *length);
        }
    }

    /// Once: the first call hears how this one went.
    pub(super) fn tell_over(&mut self, ctx: &mut Ctx<'_>) {
        if self.facts.direction == Direction::Transfer && self.facts.answered.is_some() {
            self.facts.disposition.get_or_insert(Disposition::Completed);
        }
        let Some(first) = self.first.take() else { return };
        let facts = &self.facts;
        let departed = Departed {
            disposition: facts.disposition.unwrap_or(Disposition::Completed),
            status: facts.ended.as_ref().and_then(|e| e.status),
            dialled: facts.dialled,
            answered: facts.answered.is_some(),
            by_peer: facts.ended.as_ref().is_some_and(|e| e.by_peer),
        };
        ctx.letter(first.call, self.id, Letter::Over(departed));
    }

    /// What the other call of a transfer says.
    pub(super) fn letter(&mut self, ctx: &mut Ctx<'_>, from: CallId, letter: Letter) {
        match letter {
            letter if matches!(self.stage, Stage::Talking(_)) => self.talk(ctx, Turn::Letter(from, letter)),
            Letter::Joined(bearer) => {
                if let Stage::Joined(joined) = &mut self.stage
                    && joined.other == from
                {
                    joined.with = Some(bearer);
                }
            }
            Letter::Referred(status) if matches!(self.stage, Stage::Referring) => {
                self.second_referred(ctx, status);
            }
            Letter::End(cause, how) if self.is_tied_to(from) => {
                self.facts.disposition.get_or_insert(how);
                // Who ends it knows that it ends.
                self.first = None;
                self.clear(ctx, cause);
            }
            Letter::Over(_) if matches!(&self.stage, Stage::Joined(j) if j.other == from) => {
                self.clear(ctx, Cause::NORMAL);
            }
            _ => {}
        }
    }

    fn is_tied_to(&self, other: CallId) -> bool {
        let first = self.first.is_some_and(|first| first.call == other);
        first || matches!(&self.stage, Stage::Joined(joined) if joined.other == other)
    }

    fn second_referred(&mut self, ctx: &mut Ctx<'_>, status: u16) {
        let by_peer = true;
        let cause = if status < 300 { Cause::NORMAL } else { Cause::NORMAL_UNSPECIFIED };
        let ended = Ended {
            cause,
            status: Some(status),
            by_peer,
            retry_after_s: None,
            alerted: false,
            redress: None,
        };
        let how = if status < 300 { Disposition::Completed } else { outcome::unanswered(&ended, false) };
        self.facts.disposition.get_or_insert(how);
        self.facts.cause = cause;
        self.facts.ended = Some(ended);
        self.first = None;
        self.clear(ctx, cause);
    }

    /// The document is over and the caller stays with the person it was handed to: nothing but the two legs is left.
    pub(super) fn stay_joined(&mut self, ctx: &mut Ctx<'_>, other: CallId, with: BearerId) {
        ctx.story(self.facts.attempt, "call", "the document is over; the two stay connected".into());
        self.stage = Stage::Joined(Joined { other, with: Some(with) });
        self.stage_until = None;
    }

    /// Says good-bye to whoever hears this call.
    pub(super) fn part(&mut self, ctx: &mut Ctx<'_>) {
        self.tell_over(ctx);
        if let Stage::Joined(joined) = &self.stage
            && self.facts.direction != Direction::Transfer
        {
            ctx.letter(joined.other, self.id, Letter::End(Cause::NORMAL, Disposition::Completed));
        }
    }
}

/// Passes a key on that was heard as an event; as a tone it crosses the bridge by itself.
pub(super) fn relay(ctx: &mut Ctx<'_>, to: Option<BearerId>, digit: Digit, via: DigitVia, length: Samples) {
    if let (Some(bearer), DigitVia::Event) = (to, via) {
        ctx.command(Command::SendDigit { bearer, digit, length: length.max(Samples(DIGIT_SAMPLES_MIN)) });
    }
}

/// A key that is passed on lasts at least 100 ms, however short it was when it was heard first.
const DIGIT_SAMPLES_MIN: u32 = 800;
