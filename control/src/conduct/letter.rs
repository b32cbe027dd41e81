//! What two calls of a shard tell each other when one was placed for the other by a `<transfer>`: the first is the
//! caller's, the second leads to the third person. Each is a call of its own with its own leg, bearer, slot and record;
//! only these words tie them.

use crate::order::Disposition;
use units::{BearerId, Cause, LegId, OrderId};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Letter {
    /// Second to first: it has begun, for this order.
    Begun(OrderId),
    /// Second to first: the network says that it rings; with a bearer, there is early media to be heard.
    Ringing(Option<BearerId>),
    /// Second to first, where the caller is handed over blindly: all is written, the REFER may leave.
    Ready,
    /// Second to first: answered, and its bearer is open.
    Answered(BearerId),
    /// Second to first: the dialog stands on both sides, so that it can be replaced (RFC 3891).
    Up(LegId),
    /// Second to first, once: it is over, or as good as.
    Over(Departed),
    /// First to second: who hears it from now on, and whose digits it hears.
    Joined(BearerId),
    /// First to second, where the caller was handed over blindly: how that went, as a SIP status.
    Referred(u16),
    /// Either way, when both were left joined without a document; else first to second: end.
    End(Cause, Disposition),
}

/// How a second call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Departed {
    /// How it counts.
    pub(crate) disposition: Disposition,
    /// SIP status, if one ended it.
    pub(crate) status: Option<u16>,
    /// An INVITE left.
    pub(crate) dialled: bool,
    /// It was answered.
    pub(crate) answered: bool,
    /// The far end ended it.
    pub(crate) by_peer: bool,
}

/// Why no second call is placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Denied {
    /// Policy, a cap or a suppression list forbids it.
    Policy,
    /// No trunk takes the number.
    NoRoute,
    /// No capacity, or the store cannot write.
    NoResource,
}
