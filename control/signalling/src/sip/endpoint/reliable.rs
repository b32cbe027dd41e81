//! Reliable provisional responses and PRACK (RFC 3262), both roles.

use super::leg::{Leg, Phase, Reliable, Waiting};
use super::reply::Echo;
use super::tx::Purpose;
use super::{Endpoint, Hop};
use crate::sip::wire::fields::{RAck, has};
use crate::sip::wire::{Core, HeaderId, Message, Method, Writer};
use units::{Cause, Now};

impl Endpoint {
    /// UAC: acknowledges a reliable provisional by PRACK. Whether the response counts: one that was heard already, or
    /// that is out of order, does not (RFC 3262 §4).
    pub(super) fn take_reliable(
        &mut self,
        now: Now,
        leg: &mut Leg,
        which: usize,
        m: &Message<'_>,
        core: &Core<'_>,
    ) -> bool {
        let rseq = m.first(HeaderId::RSeq).and_then(crate::sip::wire::core::seconds);
        let Some(rseq) = rseq.filter(|_| has(m, HeaderId::Require, "100rel")) else { return true };
        let Some(dialog) = leg.dialogs.get_mut(which) else { return true };
        if dialog.rseq.is_some_and(|last| rseq != last.wrapping_add(1)) {
            return false;
        }
        dialog.rseq = Some(rseq);
        let rack = format!("{rseq} {} INVITE", core.cseq.number);
        self.send_in_dialog(
            now,
            leg,
            (which, Purpose::Prack),
            "PRACK",
            |w: &mut Writer| w.field(HeaderId::RAck, rack),
            ("", b""),
        );
        true
    }

    /// UAS: keeps a reliable provisional until its PRACK.
    pub(super) fn keep_reliable(&self, now: Now, waiting: &mut Waiting, hop: Hop, bytes: Vec<u8>) {
        let timers = self.config.timers;
        let (rseq, interval) = (waiting.rseq, timers.t1);
        waiting.rseq += 1;
        waiting.reliable = Some(Reliable {
            rseq,
            hop,
            bytes,
            next: now.mono + interval,
            interval,
            until: now.mono + timers.t1x64(),
        });
    }

    /// UAS: a PRACK came.
    pub(super) fn pracked(&mut self, now: Now, tx: u64, echo: &Echo, leg: &mut Leg, m: &Message<'_>) {
        let rack = m.first(HeaderId::RAck).and_then(RAck::parse).filter(|r| r.cseq.method == Method::Invite);
        let Phase::Incoming(waiting) = &mut leg.phase else { return self.say(now, tx, echo, 481, leg) };
        let matches = rack.is_some_and(|r| waiting.reliable.as_ref().is_some_and(|w| w.rseq == r.rseq));
        if !matches {
            return self.say(now, tx, echo, 481, leg);
        }
        waiting.reliable = None;
        let accept = waiting.accept.take();
        self.say(now, tx, echo, 200, leg);
        if let Some(media) = accept {
            // The state was checked when the user said `Accept`.
            let _accepted = self.accept(now, leg, media);
        }
    }

    /// UAS: the provisional is due again, or was never acknowledged. Whether it was that.
    pub(super) fn reliable_due(&mut self, now: Now, leg: &mut Leg) -> bool {
        let t1 = self.config.timers;
        let Phase::Incoming(waiting) = &mut leg.phase else { return false };
        let Some(r) = waiting.reliable.as_mut().filter(|r| r.next.min(r.until) <= now.mono) else {
            return false;
        };
        if r.until <= now.mono {
            // RFC 3262 §3: no PRACK in 64*T1, so the INVITE is refused with a 5xx.
            self.refuse(now, leg, Cause::TIMER, None, None);
            return true;
        }
        r.interval *= 2;
        r.next = now.mono + r.interval.min(t1.t1x64());
        let (hop, bytes) = (r.hop, r.bytes.clone());
        self.transmit(hop, bytes);
        true
    }
}
