//! Ends the call of a server that died: from its journalled dialog a neighbour sends the BYE, so that nobody is left in
//! silence. So is who answers an INVITE of a former life.

use super::leg::{Leg, Phase};
use super::tx::{Purpose, client_key};
use super::uac::name_addr;
use super::{Endpoint, Hop};
use crate::leg::Transport;
use crate::sdp::Local;
use crate::sip::dialog::{Dialog, DialogSnapshot};
use crate::sip::wire::{Core, HeaderId, Message, Method, Scheme, Writer};
use units::{Cause, LegId, Now};

/// The dead server may have sent requests that its journal does not know; numbers must still grow (RFC 3261 §12.2.1.1).
const CSEQ_GAP: u32 = 1_000;

impl Endpoint {
    /// Sends BYE in a confirmed dialog that another endpoint made. No leg comes of it; a transaction sees to delivery.
    pub(super) fn take_over(&mut self, now: Now, snapshot: DialogSnapshot, cause: Cause) {
        if !snapshot.confirmed {
            return;
        }
        let transport = match snapshot.transport.as_str() {
            "tls" => Transport::Tls,
            "tcp" => Transport::Tcp,
            _ => Transport::Udp,
        };
        let hop = Hop { transport, to: snapshot.to, flow: None };
        let known = Known {
            id: snapshot.leg,
            call_id: snapshot.call_id,
            local: snapshot.local,
            remote: snapshot.remote,
            cseq: snapshot.cseq.saturating_add(CSEQ_GAP),
            dialog: snapshot.dialog,
        };
        let mut leg = self.of_former_life(known, hop);
        let reason = |w: &mut Writer| w.field(HeaderId::Reason, format_args!("Q.850;cause={}", cause.0));
        self.send_in_dialog(now, &mut leg, (0, Purpose::Bye), "BYE", reason, ("", b""));
    }

    /// A 2xx to an INVITE that a former life sent and that nobody here knows of: it rang when the server died. Its
    /// callee would listen to silence; so the answer is acknowledged and the call ended. That it is ours shows by the
    /// branch, which only our secret makes (RFC 3261 §8.1.1.7).
    pub(super) fn late_answer(&mut self, now: Now, hop: Hop, m: &Message<'_>) {
        let Ok(core) = Core::read(m) else { return };
        let accepted = m.status().is_some_and(|s| (200..300).contains(&s));
        let (Some(tag), Some(remote_tag)) = (core.from.tag(), core.to.tag()) else { return };
        let number = core.cseq.number;
        let branch = self.namer.branch(core.call_id, tag, number, "INVITE");
        let ours = core.via.branch() == Some(branch.as_str()) && core.cseq.method == Method::Invite;
        if !accepted || !ours || !self.config.is_peer(hop.to.ip()) || self.by_tag.contains_key(tag) {
            return;
        }
        let dialog = Dialog::of_response(m, remote_tag, core.to.uri.text, self.config.limits.routes_max);
        let known = Known {
            id: LegId(0),
            call_id: core.call_id.to_owned(),
            local: (name_addr(&core.from), tag.to_owned()),
            remote: name_addr(&core.to),
            cseq: number,
            dialog,
        };
        let mut leg = self.of_former_life(known, hop);
        self.send_ack(&leg, 0, number, b"");
        // The 2xx comes again until its ACK has come; one BYE is enough.
        let bye = self.namer.branch(&leg.call_id, &leg.local_tag, number + 1, "BYE");
        if !self.tx_by_key.contains_key(&client_key(&bye, "BYE")) {
            let reason = |w: &mut Writer| {
                w.field(HeaderId::Reason, format_args!("Q.850;cause={}", Cause::TEMPORARY.0));
            };
            self.send_in_dialog(now, &mut leg, (0, Purpose::Bye), "BYE", reason, ("", b""));
        }
    }

    /// A leg that only serves to write what ends it.
    fn of_former_life(&self, known: Known, hop: Hop) -> Leg {
        Leg {
            id: known.id,
            phase: Phase::Up { ack: None },
            hop,
            call_id: known.call_id,
            local: known.local.0,
            local_tag: known.local.1,
            remote: known.remote,
            contact: self.contact(None, hop.transport, Scheme::Sip),
            cseq: known.cseq,
            dialogs: vec![known.dialog],
            sdp: Local::new(0),
            ours: None,
            theirs: None,
            alerted: false,
            uac: true,
            unacked: None,
            offered: None,
            reoffer: None,
            session: None,
            auth: None,
            updates: false,
            referred: None,
            caller: None,
            armed: None,
        }
    }
}

/// What is known of a dialog of a former life.
struct Known {
    id: LegId,
    call_id: String,
    /// Our name-addr and tag.
    local: (String, String),
    /// Their name-addr, without tag.
    remote: String,
    /// CSeq of our last request.
    cseq: u32,
    dialog: Dialog,
}
