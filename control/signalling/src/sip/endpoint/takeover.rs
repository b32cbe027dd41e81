//! Ends the call of a server that died: from its journalled dialog a neighbour sends the BYE, so that nobody is left in
//! silence.

use super::leg::{Leg, Phase};
use super::tx::Purpose;
use super::{Endpoint, Hop};
use crate::leg::Transport;
use crate::sdp::Local;
use crate::sip::dialog::DialogSnapshot;
use crate::sip::wire::{HeaderId, Writer};
use units::{Cause, Now};

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
        let mut leg = Leg {
            id: snapshot.leg,
            phase: Phase::Up { ack: None },
            hop: Hop { transport, to: snapshot.to, flow: None },
            call_id: snapshot.call_id,
            local: snapshot.local.0,
            local_tag: snapshot.local.1,
            remote: snapshot.remote,
            contact: self.contact(None, transport),
            cseq: snapshot.cseq.saturating_add(CSEQ_GAP),
            dialogs: vec![snapshot.dialog],
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
        };
        let reason = |w: &mut Writer| w.field(HeaderId::Reason, format_args!("Q.850;cause={}", cause.0));
        self.send_in_dialog(now, &mut leg, (0, Purpose::Bye), "BYE", reason, ("", b""));
    }
}
