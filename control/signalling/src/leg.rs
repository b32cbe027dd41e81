//! `Leg`: our side of one call's signalling, SIP or PRI, in the same words. What is asked of a leg is an [`Action`],
//! what it tells is an [`Indication`]. The machines behind it (`sip::Endpoint`, `isdn`) speak only these upwards.

use crate::sdp::{Channel, Control};
use std::net::SocketAddr;
use units::{Cause, Codec, Digit, LegId, Private};

/// Media of one side as the offer/answer of RFC 3264 settled it, or as a timeslot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Media {
    /// RTP.
    Rtp(Rtp),
    /// A timeslot of a span: octets move in the card's tick.
    Timeslot {
        /// Span, from 1.
        span: u16,
        /// Timeslot, from 1.
        slot: u8,
    },
}

/// An RTP side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rtp {
    /// Where packets go, or come to.
    pub addr: SocketAddr,
    /// Where RTCP goes; `None`: port + 1; equal to `addr` with rtcp-mux (RFC 5761).
    pub rtcp: Option<SocketAddr>,
    /// Agreed codecs, best first. An answer of ours has one.
    pub codecs: Vec<Codec>,
    /// Payload type of `telephone-event/8000` (RFC 4733), 96..=127, if agreed.
    pub telephone_event: Option<u8>,
    /// Whether each direction flows: hold is `(false, _)` or `(_, false)`.
    pub sends: bool,
    /// Whether this side receives.
    pub receives: bool,
    /// SDES keys (RFC 4568), if SRTP was agreed.
    pub srtp: Option<Srtp>,
    /// Packet time, ms.
    pub ptime_ms: u8,
}

/// One SDES crypto attribute (RFC 4568 §6.2): suite and 30 octets of key and salt.
#[derive(Clone, PartialEq, Eq)]
pub struct Srtp {
    /// Of ours: a far side that does not encrypt is taken all the same, as long as nothing is agreed. Of theirs: `false`.
    pub optional: bool,
    /// 80 or 32 bits of tag.
    pub tag_bits: u8,
    /// Master key (16) and salt (14).
    pub key_salt: [u8; 30],
}

impl std::fmt::Debug for Srtp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Srtp(AES_CM_128_HMAC_SHA1_{})", self.tag_bits)
    }
}

/// A call to be placed.
#[derive(Clone, Debug)]
pub struct Place {
    /// Request-URI: `sip:`/`sips:`/`tel:`. Private.
    pub to: Private<String>,
    /// From URI and display name. Private.
    pub from: Private<String>,
    /// P-Asserted-Identity, if the trunk wants it.
    pub asserted: Option<Private<String>>,
    /// Next hop; SIP transport in `transport`.
    pub hop: SocketAddr,
    /// Transport to it.
    pub transport: Transport,
    /// Call-ID, branch and tags derive from it, so that a restart can send the identical INVITE.
    pub attempt: units::AttemptId,
    /// Our media.
    pub media: Media,
    /// The call is to a speech engine: a control channel is offered beside the media (RFC 6787 §4.2), once: a leg with one
    /// offers no new media later.
    pub engine: Option<Control>,
    /// Digest credentials of the trunk.
    pub credentials: Option<Credentials>,
    /// Further header fields, already checked to hold no CR, LF or control character.
    pub headers: Vec<(String, String)>,
    /// Give up ringing after this long, ms.
    pub ring_max_ms: u64,
}

/// SIP transports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// RFC 3261 §18 over UDP.
    Udp,
    /// Over TCP.
    Tcp,
    /// Over TLS.
    Tls,
}

/// Digest credentials (RFC 8760), bound to a realm.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// User.
    pub user: Private<String>,
    /// Password.
    pub password: Private<String>,
    /// Only challenges of this realm are answered; `None`: any from this trunk.
    pub realm: Option<String>,
}

/// What is asked of a leg.
#[derive(Clone, Debug)]
pub enum Action {
    /// Call. The caller of this has a `Permit` in hand (`control::call` sees to it).
    Place(Box<Place>),
    /// Incoming: say that it rings (180), or open early media (183) with our media.
    Ring {
        /// Media for early media.
        media: Option<Media>,
    },
    /// Incoming: take the call.
    Accept {
        /// Our media: address, and codecs we would take; the answer picks the first that the offer holds.
        media: Media,
    },
    /// Incoming: refuse.
    Reject {
        /// Why.
        cause: Cause,
        /// Exactly this SIP status, 300..=699, instead of the one that `cause` maps to.
        status: Option<u16>,
        /// Retry-After, s, when it is for overload.
        retry_after_s: Option<u32>,
    },
    /// Hang up, at whatever stage: CANCEL, BYE or a refusal.
    Clear(Cause),
    /// Send digits by INFO when the media cannot.
    Info(Digit),
    /// Blind transfer: REFER (RFC 3515).
    Refer {
        /// Where to.
        to: Private<String>,
        /// Replaces (RFC 3891) for a consultation: the other leg.
        replaces: Option<LegId>,
    },
    /// Offer new media (hold, resume, codec change).
    Reoffer(Media),
    /// Answer to [`Indication::Offered`].
    Answer(Media),
    /// Answer to [`Indication::Referred`]: accept (202) or refuse (603), then tell the progress by NOTIFY.
    ReferResult {
        /// SIP status of the referred call so far.
        status: u16,
    },
}

/// What an incoming call looks like.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The number or user called.
    pub to: Private<String>,
    /// The caller, by P-Asserted-Identity from a trusted peer or by From.
    pub from: Private<String>,
    /// Where it came from.
    pub source: SocketAddr,
    /// Transport it came by.
    pub transport: Transport,
    /// The offer, if there was one.
    pub offer: Option<Media>,
    /// Diversion / History-Info.
    pub redirects: Vec<Redirection>,
    /// Header fields for `session.connection.protocol.sip.headers`.
    pub headers: Vec<(String, String)>,
    /// The leg that this call asks to take the place of (RFC 3891). `Accept` clears that one.
    pub replaces: Option<LegId>,
}

/// One redirection read from Diversion (RFC 5806) or History-Info (RFC 7044).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirection {
    /// Who redirected.
    pub uri: Private<String>,
    /// Reason, e.g. `user-busy`.
    pub reason: String,
    /// Privacy, as written.
    pub privacy: String,
    /// Screening, as written.
    pub screen: String,
}

/// How a leg ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Q.850 cause, from Reason or mapped from the status.
    pub cause: Cause,
    /// SIP status, if a response ended it.
    pub status: Option<u16>,
    /// The far end ended it.
    pub by_peer: bool,
    /// Retry-After, s.
    pub retry_after_s: Option<u32>,
    /// A 180/183 had been heard.
    pub alerted: bool,
    /// Redress contact of a 603+ or 608 (RFC 8688 Call-Info), if any.
    pub redress: Option<String>,
}

/// What a leg tells.
#[derive(Clone, Debug)]
pub enum Indication {
    /// A call comes in. Answer with `Ring`, `Accept` or `Reject`.
    Incoming(Box<Incoming>),
    /// It is on its way (100).
    Trying,
    /// It rings or there is early media: status and media.
    Progress {
        /// 180, 181, 182, 183.
        status: u16,
        /// Early media.
        media: Option<Media>,
    },
    /// Answered: the far side's media, cut to what is agreed. Placed: the ACK has not been sent, see `AckDue`. Incoming:
    /// follows `Accept` at once if the INVITE held an offer, else comes with the ACK that holds the answer.
    Answered {
        /// Far side.
        media: Media,
    },
    /// A speech engine opened the control channel that was asked for; `Answered` follows.
    Engine(Channel),
    /// The ACK for a 2xx is ready; it leaves after `Input::AckJournalled`.
    AckDue,
    /// An offer in the dialog (re-INVITE, UPDATE): answer with `Answer`.
    Offered(Media),
    /// Our re-offer was answered; `None`: refused.
    Reanswered(Option<Media>),
    /// A digit by INFO.
    Digit(Digit),
    /// The peer asks us to call someone else (REFER).
    Referred {
        /// Whom.
        to: Private<String>,
    },
    /// Progress of our REFER: status of the referred call; 200 is success.
    ReferProgress {
        /// Status.
        status: u16,
    },
    /// A 3xx named other places to try; `Ended` follows. Whether one is called is for policy to say.
    Redirected {
        /// 300..=399.
        status: u16,
        /// Contacts, best first.
        contacts: Vec<Private<String>>,
    },
    /// Over. Nothing follows for this leg.
    Ended(Ended),
}
