//! One leg: where it stands, its dialogs, its media, and what it waits for.

use super::Hop;
use super::reply::Echo;
use crate::leg::Transport;
use crate::leg::{Credentials, Media, Place, Rtp};
use crate::sdp::{Description, Local};
use crate::sip::dialog::{Dialog, DialogSnapshot};
use crate::sip::wire::fields::SessionExpires;
use crate::sip::wire::{HeaderId, Writer};
use std::time::Duration;
use units::{Cause, LegId, Mono};

/// A leg.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) id: LegId,
    pub(super) phase: Phase,
    pub(super) hop: Hop,
    pub(super) call_id: String,
    pub(super) local_tag: String,
    /// Our name-addr, without tag.
    pub(super) local: String,
    /// Their name-addr, without tag.
    pub(super) remote: String,
    /// Our Contact.
    pub(super) contact: String,
    /// CSeq of our last request.
    pub(super) cseq: u32,
    /// Early dialogs; once answered exactly one.
    pub(super) dialogs: Vec<Dialog>,
    pub(super) sdp: Local,
    pub(super) ours: Option<Rtp>,
    pub(super) theirs: Option<Rtp>,
    /// A 180 or 183 was heard or sent.
    pub(super) alerted: bool,
    /// We sent the INVITE.
    pub(super) uac: bool,
    /// A 2xx of ours that waits for its ACK.
    pub(super) unacked: Option<Unacked>,
    /// Offer of theirs that waits for `Answer`.
    pub(super) offered: Option<Offered>,
    /// Offer of ours that is under way, or waits for its turn.
    pub(super) reoffer: Option<Reoffer>,
    /// Session timer (RFC 4028), once agreed.
    pub(super) session: Option<Session>,
    /// Digest credentials, if the trunk has some.
    pub(super) auth: Option<Box<Auth>>,
    /// Whether the peer takes UPDATE.
    pub(super) updates: bool,
    /// A REFER of theirs.
    pub(super) referred: Option<Referred>,
    /// An incoming leg's key among callers.
    pub(super) caller: Option<Box<[u8]>>,
    pub(super) armed: Option<Mono>,
}

/// Where it stands.
#[derive(Debug)]
pub(super) enum Phase {
    /// We call.
    Calling(Box<Calling>),
    /// Answered; the ACK waits for the journal. `clear`: hang up after it.
    AckDue { cseq: u32, clear: Option<Cause> },
    /// They call.
    Incoming(Box<Waiting>),
    /// Answered. `ack`: CSeq of our INVITE whose 2xx was acknowledged last.
    Up { ack: Option<u32> },
    /// Ended was told.
    Over,
}

/// An INVITE of ours without a final response.
#[derive(Debug)]
pub(super) struct Calling {
    pub(super) place: Place,
    /// Transaction.
    pub(super) tx: u64,
    /// When ringing has been long enough.
    pub(super) ring_until: Mono,
    /// To be cancelled, and why.
    pub(super) cancel: Option<Cause>,
    /// The CANCEL went out; give up then.
    pub(super) cancelled_until: Option<Mono>,
    pub(super) trying_told: bool,
    /// The Session-Expires that we ask for, s; grows by 422.
    pub(super) session_s: Option<u32>,
    /// The Min-SE that a 422 named.
    pub(super) min_se_s: u32,
}

/// An INVITE of theirs without a final response.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Transaction.
    pub(super) tx: u64,
    pub(super) echo: Echo,
    pub(super) offer: Option<Description>,
    /// The answer that went out in a provisional; the 2xx repeats it.
    pub(super) answer: Option<Vec<u8>>,
    /// `Accept` that waits for a PRACK.
    pub(super) accept: Option<Media>,
    /// Whether provisionals may, and must, be reliable (RFC 3262 §3).
    pub(super) rel: (bool, bool),
    /// RSeq of the next reliable provisional.
    pub(super) rseq: u32,
    /// A reliable provisional without its PRACK.
    pub(super) reliable: Option<Reliable>,
    /// Session timer that was asked for.
    pub(super) session: Option<SessionExpires>,
    /// Whether the peer knows session timers.
    pub(super) timer: bool,
    /// The leg that this one replaces.
    pub(super) replaces: Option<LegId>,
    /// When waiting has been long enough.
    pub(super) until: Mono,
}

/// A reliable provisional, retransmitted until its PRACK comes (RFC 3262 §3).
#[derive(Debug)]
pub(super) struct Reliable {
    pub(super) rseq: u32,
    pub(super) hop: Hop,
    pub(super) bytes: Vec<u8>,
    pub(super) next: Mono,
    pub(super) interval: Duration,
    pub(super) until: Mono,
}

/// An offer of ours in the dialog.
#[derive(Debug)]
pub(super) struct Reoffer {
    pub(super) media: Rtp,
    /// When to send it; `None`: it is sent.
    pub(super) at: Option<Mono>,
    /// Its transaction, once sent.
    pub(super) tx: Option<u64>,
    /// How often it was sent.
    pub(super) tries: u8,
    /// It only refreshes the session; the user is told nothing.
    pub(super) refresh: bool,
}

/// A session timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) seconds: u32,
    /// We refresh; else the peer does.
    pub(super) ours: bool,
    /// When to refresh, or when to give up.
    pub(super) at: Mono,
}

/// What a leg has to answer challenges with.
#[derive(Debug)]
pub(super) struct Auth {
    pub(super) credentials: Credentials,
    /// The realm that was answered first: later ones must be the same.
    pub(super) realm: Option<String>,
    /// What the INVITE carried; its ACK repeats it (RFC 3261 §22.1).
    pub(super) last: Option<(HeaderId, String)>,
}

/// A REFER of theirs and its implicit subscription (RFC 3515 §2.4.4).
#[derive(Debug)]
pub(super) struct Referred {
    /// Transaction and what its response repeats, until it is answered.
    pub(super) pending: Option<(u64, Echo)>,
    /// CSeq of the REFER, the `id` of its events.
    pub(super) cseq: u32,
}

/// A 2xx to an INVITE, retransmitted until its ACK comes (RFC 3261 §13.3.1.4).
#[derive(Debug)]
pub(super) struct Unacked {
    pub(super) hop: Hop,
    pub(super) bytes: Vec<u8>,
    /// CSeq of the INVITE.
    pub(super) cseq: u32,
    pub(super) next: Mono,
    pub(super) interval: Duration,
    pub(super) until: Mono,
    /// It held an offer: the answer is in the ACK.
    pub(super) offered: bool,
    /// Whether it is of a re-INVITE.
    pub(super) again: bool,
}

/// An offer in the dialog, not answered yet.
#[derive(Debug)]
pub(super) struct Offered {
    pub(super) tx: u64,
    pub(super) echo: Echo,
    pub(super) invite_cseq: Option<u32>,
    pub(super) offer: Description,
    /// The 200, as far as it is written.
    pub(super) response: Writer,
    pub(super) until: Mono,
}

impl Leg {
    /// The earliest thing that it waits for.
    pub(super) fn deadline(&self) -> Option<Mono> {
        let phase = match &self.phase {
            Phase::Calling(c) => match (c.cancel, c.cancelled_until) {
                (_, Some(until)) => Some(until),
                // Wanted but not allowed yet: the transaction's own timer ends it.
                (Some(_), None) => None,
                (None, None) => Some(c.ring_until),
            },
            Phase::Incoming(w) => {
                let reliable = w.reliable.as_ref().map_or(w.until, |r| r.next.min(r.until));
                Some(w.until.min(reliable))
            }
            _ => None,
        };
        let unacked = self.unacked.as_ref().map(|u| u.next.min(u.until));
        let offered = self.offered.as_ref().map(|o| o.until);
        let reoffer = self.reoffer.as_ref().and_then(|r| r.at);
        let session = self.session.map(|s| s.at);
        [phase, unacked, offered, reoffer, session].into_iter().flatten().min()
    }

    /// What a journal keeps of it.
    pub(super) fn snapshot(&self) -> Option<DialogSnapshot> {
        let dialog = self.dialogs.first()?.clone();
        let transport = match self.hop.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
        };
        Some(DialogSnapshot {
            leg: self.id,
            call_id: self.call_id.clone(),
            local: (self.local.clone(), self.local_tag.clone()),
            remote: self.remote.clone(),
            to: dialog.next_hop(self.hop.transport).unwrap_or(self.hop.to),
            dialog,
            cseq: self.cseq,
            transport: transport.to_owned(),
            confirmed: matches!(self.phase, Phase::Up { .. } | Phase::AckDue { .. }),
        })
    }

    /// Where requests in the dialog go.
    pub(super) fn next_hop(&self, which: usize) -> Hop {
        match self.dialogs.get(which).and_then(|d| d.next_hop(self.hop.transport)) {
            Some(to) if self.hop.transport == Transport::Udp || self.hop.flow.is_none() => {
                Hop { to, ..self.hop }
            }
            _ => self.hop,
        }
    }
}
