//! How a call ends: a leg or a bearer that is gone, a clearing from our side, timers, the record, and the way back to
//! the desk.

use super::*;

impl Call {
    pub(super) fn leg_ended(&mut self, ctx: &mut Ctx<'_>, ended: Ended) {
        self.leg = None;
        if self.left_again(ctx, &ended) {
            return;
        }
        self.facts.over.get_or_insert(ctx.now);
        let status = ended.status.map_or_else(String::new, |s| format!(" {s}"));
        let who = if ended.by_peer { "by the far end" } else { "by us" };
        ctx.story_end(self.facts.attempt, "sip", format!("over{status}, cause {}, {who}", ended.cause.0));
        self.facts.cause = ended.cause;
        if self.facts.answered.is_none() {
            let how = outcome::unanswered(&ended, self.facts.rang_out);
            self.facts.disposition.get_or_insert(how);
        }
        self.facts.ended = Some(ended);
        if let Stage::Talking(_) = self.stage {
            self.stage_until = Some(ctx.after_ms(ctx.settings.final_ms_max));
            self.talk(ctx, Turn::HangUp);
        } else {
            self.clear(ctx, self.facts.cause);
        }
    }

    pub(super) fn bearer_told(&mut self, ctx: &mut Ctx<'_>, report: Report) {
        match report {
            Report::Opened { .. } => self.second_opened(ctx),
            Report::OpenFailed { .. } => {
                self.bearer = None;
                self.fail(ctx, Disposition::Congestion, Cause::NO_CIRCUIT, "the bearer did not open");
            }
            Report::Closed { counts, .. } => {
                self.bearer = None;
                self.facts.counts = counts;
                let told = format!(
                    "rtp received {} lost {} late {} refused {} sent {}",
                    counts.received, counts.lost, counts.late, counts.refused, counts.sent
                );
                ctx.story(self.facts.attempt, "media", told);
                self.talk(ctx, Turn::BearerGone);
            }
            other => {
                self.joined_report(ctx, &other);
                self.talk(ctx, Turn::Told(Told::Report(other)));
            }
        }
    }

    /// Ends a call that was never answered, with its reason.
    pub(super) fn fail(&mut self, ctx: &mut Ctx<'_>, disposition: Disposition, cause: Cause, why: &str) {
        ctx.story_end(self.facts.attempt, "call", why.to_owned());
        self.facts.disposition.get_or_insert(disposition);
        self.facts.why.get_or_insert_with(|| why.to_owned());
        self.clear(ctx, cause);
    }

    /// Hangs up, but lets the interpreter do its final processing.
    pub(super) fn hang_up(&mut self, ctx: &mut Ctx<'_>, cause: Cause) {
        self.facts.over.get_or_insert(ctx.now);
        self.facts.cause = cause;
        ctx.leg(self.leg, Action::Clear(cause));
        self.stage_until = Some(ctx.after_ms(ctx.settings.final_ms_max));
    }

    /// Ends everything: leg, bearer, conversation.
    pub(super) fn clear(&mut self, ctx: &mut Ctx<'_>, cause: Cause) {
        self.part(ctx);
        if self.facts.ended.is_none() && self.facts.over.is_none() {
            self.facts.cause = cause;
            if self.leg.is_some() {
                let refuse = self.facts.direction == Direction::Inbound && self.facts.answered.is_none();
                let retry_after_s = None;
                ctx.leg(
                    self.leg,
                    if refuse {
                        Action::Reject { cause, status: None, retry_after_s }
                    } else {
                        Action::Clear(cause)
                    },
                );
            }
        }
        self.facts.over.get_or_insert(ctx.now);
        if matches!(self.stage, Stage::Clearing | Stage::Writing { .. } | Stage::Over)
            && self.stage_until.is_none()
        {
            self.stage_until = Some(ctx.after_ms(CLEAR_MS_MAX));
        }
        match std::mem::replace(&mut self.stage, Stage::Clearing) {
            Stage::Talking(mut talk) => {
                talk.abandon_transfer(ctx);
                talk.turn(ctx, Turn::BearerGone);
                let (values, recordings) = talk.results();
                self.facts.values.extend(values);
                self.facts.recordings.extend(recordings);
            }
            Stage::Preparing { permit: Some(permit), .. }
            | Stage::Waiting { permit: Some(permit), .. }
            | Stage::Intending { permit: Some(permit), .. } => permit.waive(),
            stage @ (Stage::Writing { .. } | Stage::Over) => {
                self.stage = stage;
                return;
            }
            _ => {}
        }
        self.stage_until = Some(ctx.after_ms(CLEAR_MS_MAX));
        self.close_bearer(ctx);
    }

    pub(super) fn timer(&mut self, ctx: &mut Ctx<'_>) {
        let now = ctx.now.mono;
        if now >= self.call_until {
            self.call_until = Mono(u64::MAX);
            self.fail(ctx, Disposition::Completed, Cause::TIMER, "the longest call was reached");
        }
        if self.out.as_ref().and_then(|out| out.quiet_until).is_some_and(|until| now >= until) {
            self.quiet(ctx);
        }
        if self.stage_until.is_some_and(|until| now >= until) {
            self.stage_until = None;
            self.stage_timer(ctx);
        }
        self.talk(ctx, Turn::Timer);
    }

    pub(super) fn stage_timer(&mut self, ctx: &mut Ctx<'_>) {
        match &self.stage {
            Stage::Preparing { .. } => {
                self.fail(ctx, Disposition::ApplicationError, Cause::TIMER, "the document did not come");
            }
            Stage::Waiting { .. } => self.leave_again(ctx),
            Stage::Intending { .. } => {
                self.fail(ctx, Disposition::Congestion, Cause::TIMER, "the store did not answer");
            }
            Stage::Dialling { .. } | Stage::Accepting { .. } => {
                self.facts.rang_out = true;
                self.fail(ctx, Disposition::NoAnswer, Cause::NO_ANSWER, "nobody answered");
            }
            Stage::Joined(_) => {}
            Stage::Referring => {
                self.fail(ctx, Disposition::Unknown, Cause::TIMER, "nobody told how the REFER went");
            }
            Stage::Talking(_) => {
                self.fail(ctx, Disposition::Completed, Cause::NORMAL, "final processing took too long")
            }
            // Neither the far end nor the worker told its end: what is ours is taken back without them.
            Stage::Clearing => {
                self.leg = None;
                if let Some(bearer) = self.bearer.take() {
                    ctx.common.bearers.remove(&bearer);
                }
            }
            Stage::Writing { tries } => {
                let tries = tries + 1;
                self.write(ctx, tries);
            }
            Stage::Over => {}
        }
    }

    /// When leg and bearer are gone the record is written.
    pub(super) fn settle(&mut self, ctx: &mut Ctx<'_>) {
        if matches!(self.stage, Stage::Clearing) && self.leg.is_none() && self.bearer.is_none() {
            if self.facts.dialled || self.facts.direction == Direction::Inbound {
                self.write(ctx, 0);
            } else {
                self.finish(ctx);
            }
        }
    }

    pub(super) fn write(&mut self, ctx: &mut Ctx<'_>, tries: u32) {
        let token = ctx.token(self.id, Purpose::Record);
        let record = self.facts.record(ctx, self.order(), self.facts.parent);
        ctx.ask(token, Ask::Append(vec![record]));
        self.stage = Stage::Writing { tries };
        self.stage_until = None;
    }

    pub(super) fn record_stored(&mut self, ctx: &mut Ctx<'_>, result: Result<Answer, StoreError>) {
        if !matches!(self.stage, Stage::Writing { .. }) {
            return;
        }
        match result {
            // Losing a record is not allowed: it is tried until the store takes it.
            Err(StoreError::Unavailable) => self.stage_until = Some(ctx.after_ms(WRITE_RETRY_MS)),
            _ => self.finish(ctx),
        }
    }

    pub(super) fn finish(&mut self, ctx: &mut Ctx<'_>) {
        self.hand_back(ctx, crate::trunk::End::Unused);
        ctx.close_story(self.facts.attempt);
        let facts = &self.facts;
        let slot = self.slot.take().expect("a call hands its slot back once, here");
        let result = (!facts.values.is_empty() || !facts.recordings.is_empty()).then(|| facts.result());
        ctx.out.push_back(Output::Finished(Box::new(Finished {
            call: self.id,
            attempt: facts.attempt,
            lease: self.lease.take(),
            direction: facts.direction,
            tenant: facts.tenant,
            customer: if facts.direction == Direction::Inbound {
                facts.from.clone()
            } else {
                facts.to.clone()
            },
            disposition: facts.disposition.unwrap_or(Disposition::Failed),
            cause: facts.cause,
            status: facts.ended.as_ref().and_then(|e| e.status),
            retry_after_s: facts.ended.as_ref().and_then(|e| e.retry_after_s),
            alerted: facts.alerted.is_some(),
            dialled: facts.dialled,
            answered: facts.answered.is_some(),
            why: facts.why.clone(),
            result,
            released: slot.release(facts.cause),
        })));
        self.stage = Stage::Over;
        self.stage_until = None;
    }

    /// The call broke: a panic of ours. Everything it holds goes back; what can be told of it is told.
    pub(crate) fn bury(&mut self, ctx: &mut Ctx<'_>) {
        if self.is_over() || self.slot.is_none() {
            ctx.close_story(self.facts.attempt);
            self.stage = Stage::Over;
            return;
        }
        self.facts.disposition = Some(Disposition::Failed);
        self.facts.why = Some("it broke the program".to_owned());
        self.facts.cause = Cause::TEMPORARY;
        self.facts.over.get_or_insert(ctx.now);
        // Whoever hears it, or was placed for it, is told.
        let second = if let Stage::Talking(talk) = &self.stage { talk.second_call() } else { None };
        self.part(ctx);
        if let Some(second) = second {
            ctx.letter(second, self.id, Letter::End(Cause::TEMPORARY, Disposition::Failed));
        }
        ctx.leg(self.leg.take(), Action::Clear(Cause::TEMPORARY));
        self.close_bearer(ctx);
        // The conversation is the likeliest to be broken: it is forgotten, not asked again.
        self.stage = Stage::Clearing;
        self.stage_until = Some(ctx.after_ms(CLEAR_MS_MAX));
    }
}
