//! How an ordered call gets out: the trunk is chosen, the intent written, the INVITE sent; and if the trunk refuses or
//! keeps silent before anybody was alerted, the same again by the next trunk.

use super::*;
use crate::trunk::route::{self, Plan, Route};
use crate::trunk::{Busy, Circuit, End};
use signalling::sip::wire::Uri;
use signalling::sip::wire::uri::Host;
use std::time::Duration;
use units::Private;

/// What a call knows of its way out.
#[derive(Debug)]
pub(super) struct Out {
    plan: Plan,
    circuit: Option<Circuit>,
    /// Trunks by which INVITEs of this attempt left.
    invites: Vec<String>,
    /// If nothing at all is heard until then, another trunk is tried.
    pub(super) quiet_until: Option<Mono>,
    /// No trunk is tried after this; counted from the first choice.
    until: Option<Mono>,
    /// Where a 3xx sends the call, if that is somewhere it may go.
    redirect: Option<(Private<String>, SocketAddr)>,
    redirects: u8,
}

/// Redirections that one attempt follows: those of a carrier's own servers are one or two.
const REDIRECTS_MAX: u8 = 3;

/// A trunk that says nothing at all within this is left for another, ms: three INVITEs have gone out by then (RFC 3261
/// §17.1.1.2), and with what it takes to choose it stays under 2 s.
const QUIET_MS_MAX: u64 = 1_800;
/// A call waits so long for a set-up token, and looks for another trunk so long after its first, ms.
const LEAVE_MS_MAX: u64 = 20_000;

impl Out {
    pub(super) fn new(plan: Plan) -> Self {
        let (circuit, quiet_until, until, redirect) = (None, None, None, None);
        Self { plan, circuit, invites: Vec::new(), quiet_until, until, redirect, redirects: 0 }
    }
}

impl Call {
    /// Chooses the trunk; then the intent is written. The permit was spent if this is not the first trunk.
    pub(super) fn leave(&mut self, ctx: &mut Ctx<'_>, permit: Option<Permit>, port: u16, work: Work) {
        let (Some(out), Some(order)) = (&mut self.out, &self.order) else {
            if let Some(permit) = permit {
                permit.waive();
            }
            return self.fail(ctx, Disposition::Failed, Cause::NO_ROUTE, "no route");
        };
        let until = *out.until.get_or_insert(ctx.now.mono + Duration::from_millis(LEAVE_MS_MAX));
        let caller = order.caller_id.as_ref().map(Private::expose).map(String::as_str);
        let (host, ring) = (ctx.settings.sip_host.as_str(), ctx.settings.ring_ms_max);
        let picked = ctx.common.trunks.pick(ctx.now.mono, &out.plan).map(|(trunk, target, circuit)| {
            let route = Route::by((trunk, target), order.to.expose(), caller, host, ring);
            (route, (trunk.name.clone(), target.addr), circuit)
        });
        match picked {
            Ok((Some(route), _, circuit)) => {
                out.circuit = Some(circuit);
                self.taken(ctx, route);
                self.intend(ctx, permit, port, work);
            }
            // The configuration has changed since the plan was made: this trunk shows no such caller id any more.
            Ok((None, way, circuit)) => {
                out.plan.tried.push(way);
                ctx.common.trunks.release(ctx.now.mono, circuit, End::Unused);
                self.leave(ctx, permit, port, work);
            }
            Err(Busy { retry_at: Some(at) }) if at <= until => {
                self.stage = Stage::Waiting { permit, port, work };
                self.stage_until = Some(at);
            }
            Err(_) => {
                if let Some(permit) = permit {
                    permit.waive();
                }
                self.fail(ctx, Disposition::Congestion, Cause::NO_CIRCUIT, "no trunk has room");
            }
        }
    }

    fn taken(&mut self, ctx: &mut Ctx<'_>, route: Route) {
        self.facts.from = route.from.clone();
        self.facts.trunk.clone_from(&route.trunk);
        self.facts.connection.local_uri = route.from.clone();
        self.facts.connection.remote_uri = route.uri.clone();
        ctx.out.push_back(Output::Fact(Fact::TrunkTaken(route.trunk.clone())));
        self.route = Some(route);
    }

    fn intend(&mut self, ctx: &mut Ctx<'_>, permit: Option<Permit>, port: u16, work: Work) {
        let (lease, route) = (self.lease.clone(), self.route.as_ref());
        let (Some(lease), Some(route)) = (lease, route) else {
            if let Some(permit) = permit {
                permit.waive();
            }
            self.fail(ctx, Disposition::Failed, Cause::NO_ROUTE, "no route");
            return;
        };
        let token = ctx.token(self.id, Purpose::Intent);
        let (server, trunk, dialog) = (ctx.settings.server, route.trunk.clone(), route.constants());
        ctx.ask(token, Ask::Intent { lease, server, trunk, dialog });
        self.stage = Stage::Intending { permit, port, work };
        self.stage_until = Some(ctx.after_ms(INTENT_MS_MAX));
    }

    pub(super) fn intent_stored(&mut self, ctx: &mut Ctx<'_>, result: Result<Answer, StoreError>) {
        if !matches!(self.stage, Stage::Intending { .. }) {
            return;
        }
        let Stage::Intending { permit, port, work } = std::mem::replace(&mut self.stage, Stage::Clearing)
        else {
            unreachable!("matched above");
        };
        match result {
            Ok(Answer::Cancelled(true)) => {
                if let Some(permit) = permit {
                    permit.waive();
                }
                self.fail(ctx, Disposition::Cancelled, Cause::NORMAL, "cancelled by its owner");
            }
            // The permit allows the attempt: a further trunk is still the same one.
            Ok(_) => match permit.map(|permit| permit.spend(ctx.now.mono)) {
                None | Some(Ok(_)) if matches!(work, Work::Refer) => self.refer(ctx),
                None | Some(Ok(_)) => self.dial(ctx, port, work),
                Some(Err(_)) => {
                    self.fail(ctx, Disposition::Congestion, Cause::TEMPORARY, "the permit lapsed")
                }
            },
            Err(error) => {
                if let Some(permit) = permit {
                    permit.waive();
                }
                let why = format!("the intent was not written: {error:?}");
                self.fail(ctx, Disposition::Congestion, Cause::TEMPORARY, &why);
            }
        }
    }

    fn dial(&mut self, ctx: &mut Ctx<'_>, port: u16, work: Work) {
        let route = self.route.as_ref().expect("an outbound call has its route before its intent is written");
        let out = self.out.as_ref().expect("an outbound call has a plan from the start");
        let nth = out.invites.iter().filter(|trunk| **trunk == route.trunk).count();
        let dialog =
            route::dialog_of(self.facts.attempt, &route.trunk, u32::try_from(nth).unwrap_or(u32::MAX));
        self.keys = ctx.settings.keys(dialog, route.srtp);
        let media = self.own_media(ctx, port);
        let route = self.route.as_ref().expect("as above");
        let out = self.out.as_mut().expect("as above");
        let place = Place {
            to: route.uri.clone(),
            from: route.from.clone(),
            asserted: route.asserted.clone(),
            hop: route.hop,
            transport: route.transport,
            attempt: dialog,
            media,
            engine: None,
            credentials: route.credentials.clone(),
            headers: Vec::new(),
            ring_max_ms: route.ring_ms_max,
        };
        out.invites.push(route.trunk.clone());
        // A line has its own timers (Q.931 T303) and says when it is there.
        out.quiet_until = (!self.timeslot).then(|| ctx.after_ms(QUIET_MS_MAX));
        self.stage_until = Some(ctx.after_ms(route.ring_ms_max + CLEAR_MS_MAX));
        let leg = ctx.new_leg(self.id);
        self.leg = Some(leg);
        self.facts.dialled = true;
        ctx.leg(self.leg, Action::Place(Box::new(place)));
        let (kind, said) = if self.timeslot { ("tdm", "SETUP") } else { ("sip", "INVITE") };
        ctx.story(self.facts.attempt, kind, format!("{said} by trunk {}", self.facts.trunk));
        self.stage = Stage::Dialling { work };
    }

    /// The trunk gives a sign of life; with `alerted` it has done its part.
    pub(super) fn trunk_lives(&mut self, ctx: &mut Ctx<'_>, alerted: bool) {
        let Some(out) = &mut self.out else { return };
        out.quiet_until = None;
        if let Some(circuit) = out.circuit.as_mut().filter(|_| alerted) {
            ctx.common.trunks.heard(ctx.now.mono, circuit, End::Fine);
        }
    }

    pub(super) fn trunk_answered(&mut self, ctx: &mut Ctx<'_>) {
        let Some(out) = &mut self.out else { return };
        out.quiet_until = None;
        if let Some(circuit) = &mut out.circuit {
            ctx.common.trunks.answered(ctx.now.mono, circuit);
        }
    }

    /// The trunk is not used any more.
    pub(super) fn hand_back(&mut self, ctx: &mut Ctx<'_>, end: End) {
        let circuit = self.out.as_mut().and_then(|out| out.circuit.take());
        if let Some(circuit) = circuit {
            ctx.common.trunks.release(ctx.now.mono, circuit, end);
            let trunk = self.facts.trunk.clone();
            let failed = matches!(end, End::Failed { .. });
            ctx.out.push_back(Output::Fact(Fact::TrunkReturned { trunk, failed }));
        }
    }

    /// A 3xx names other places. Policy allowed this callee and no other, and calls leave by trunks: so a place is taken
    /// only if it is the same number at an address of one of our trunks (a carrier's router does that).
    pub(super) fn redirected(&mut self, ctx: &mut Ctx<'_>, status: u16, contacts: &[Private<String>]) {
        let (Some(out), Some(order)) = (&mut self.out, &self.order) else { return };
        let number = order.to.expose().trim_start_matches('+');
        let place = |contact: &Private<String>| {
            let uri = Uri::parse(contact.expose().as_bytes())?;
            let Some(Host::Ip(ip)) = uri.host else { return None };
            let addr = SocketAddr::new(ip, uri.port.unwrap_or(5060));
            let user = uri.user?.split(';').next()?.trim_start_matches('+');
            let ours = ctx.common.trunks.addresses().any(|known| known == addr);
            (ours && user == number).then(|| (contact.clone(), addr))
        };
        out.redirect = contacts.iter().find_map(place).filter(|_| out.redirects < REDIRECTS_MAX);
        let taken = if out.redirect.is_some() { "followed" } else { "nowhere that this call may go" };
        ctx.story(self.facts.attempt, "sip", format!("{status}: redirected, {taken}"));
    }

    /// Goes where a 3xx said, on the same circuit. Whether it does.
    fn follows(&mut self, ctx: &mut Ctx<'_>) -> bool {
        let (Some(out), Some(route)) = (&mut self.out, &mut self.route) else { return false };
        let Some((uri, hop)) = out.redirect.take().filter(|_| self.facts.alerted.is_none()) else {
            return false;
        };
        out.redirects += 1;
        (route.uri, route.hop) = (uri, hop);
        match std::mem::replace(&mut self.stage, Stage::Clearing) {
            Stage::Dialling { work } => self.intend(ctx, None, self.facts.local_port, work),
            other => {
                self.stage = other;
                return false;
            }
        }
        true
    }

    /// A leg ended: the trunk's capacity comes back, and another trunk is tried if this one was to blame and nobody has
    /// been alerted. Whether one is.
    pub(super) fn left_again(&mut self, ctx: &mut Ctx<'_>, ended: &Ended) -> bool {
        if self.follows(ctx) {
            return true;
        }
        let alerted = ended.alerted || self.facts.alerted.is_some();
        let failed = !alerted && self.facts.answered.is_none() && is_trunks_fault(ended);
        let end = if failed { End::Failed { retry_after_s: ended.retry_after_s } } else { End::Fine };
        self.hand_back(ctx, end);
        if !failed || !matches!(self.stage, Stage::Dialling { .. }) || !self.has_other(ctx) {
            return false;
        }
        let status = ended.status.map_or_else(|| "silent".to_owned(), |s| s.to_string());
        ctx.story(self.facts.attempt, "sip", format!("{status} by trunk {}: the next", self.facts.trunk));
        self.next_trunk(ctx)
    }

    /// Nothing has been heard of the trunk. If another is open, the INVITE is given up: its leg clears by itself, with
    /// CANCEL as soon as that may go (RFC 3261 §9.1), and with ACK and BYE should it be answered after all.
    pub(super) fn quiet(&mut self, ctx: &mut Ctx<'_>) {
        if let Some(out) = &mut self.out {
            out.quiet_until = None;
        }
        if !matches!(self.stage, Stage::Dialling { .. }) || !self.has_other(ctx) {
            return;
        }
        ctx.leg(self.leg, Action::Clear(Cause::NETWORK_OUT_OF_ORDER));
        if let Some(leg) = self.leg.take() {
            ctx.common.left_legs.push(leg);
        }
        ctx.story(self.facts.attempt, "sip", format!("trunk {} says nothing: the next", self.facts.trunk));
        self.hand_back(ctx, End::Failed { retry_after_s: None });
        self.next_trunk(ctx);
    }

    fn has_other(&mut self, ctx: &mut Ctx<'_>) -> bool {
        let (Some(out), Some(route)) = (&mut self.out, &self.route) else { return false };
        let way = (route.trunk.clone(), route.hop);
        if !out.plan.tried.contains(&way) {
            out.plan.tried.push(way);
        }
        out.until.is_some_and(|until| ctx.now.mono < until)
            && ctx.common.trunks.has_other(ctx.now.mono, &out.plan)
    }

    fn next_trunk(&mut self, ctx: &mut Ctx<'_>) -> bool {
        let Stage::Dialling { work } = std::mem::replace(&mut self.stage, Stage::Clearing) else {
            unreachable!("who calls this has looked");
        };
        self.leave(ctx, None, self.facts.local_port, work);
        true
    }

    /// A set-up token may be there now.
    pub(super) fn leave_again(&mut self, ctx: &mut Ctx<'_>) {
        if let Stage::Waiting { permit, port, work } = std::mem::replace(&mut self.stage, Stage::Clearing) {
            self.leave(ctx, permit, port, work);
        }
    }
}

/// Whether an end before alerting was the trunk's doing, so that another may do better. 6xx never is: it speaks for all
/// places where the callee could be (RFC 3261 §21.6).
fn is_trunks_fault(ended: &Ended) -> bool {
    match ended.status {
        // RFC 3263 §4.3: 503, and a failure of the transport or the transaction; the other three are a gateway's or a
        // server's own failures.
        Some(500 | 502 | 503 | 504) => true,
        Some(600..) => false,
        Some(_) => matches!(ended.cause, Cause::NO_CIRCUIT | Cause::NETWORK_OUT_OF_ORDER | Cause::CONGESTION),
        // Nothing was heard of a SIP trunk; or a line's exchange gave its cause (Q.850).
        None => matches!(ended.cause, Cause::NO_CIRCUIT | Cause::NETWORK_OUT_OF_ORDER | Cause::CONGESTION),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_trunks_own_failures_are_its_fault() {
        let check = |status: Option<u16>, cause: Cause, want: bool| {
            let by_peer = status.is_some();
            let ended = Ended { cause, status, by_peer, retry_after_s: None, alerted: false, redress: None };
            assert_eq!(is_trunks_fault(&ended), want, "{status:?} {cause:?}");
        };
        check(Some(503), Cause::TEMPORARY, true);
        check(Some(500), Cause::TEMPORARY, true);
        check(Some(480), Cause::NO_CIRCUIT, true);
        check(Some(486), Cause::BUSY, false);
        check(Some(404), Cause::UNALLOCATED, false);
        check(Some(603), Cause::CONGESTION, false);
        check(None, Cause::NETWORK_OUT_OF_ORDER, true);
        check(None, Cause::NO_ANSWER, false);
    }
}
