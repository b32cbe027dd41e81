//! Why a leg ended: an ITU-T Q.850 value, who is to blame, and whether another try makes sense.

use serde::{Deserialize, Serialize};

/// Who has to change something before it works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// Who gave the order: wrong number, wrong document, forbidden.
    Orderer,
    /// The person or machine called.
    Peer,
    /// Trunk, network or switch between.
    Network,
    /// Carillon itself.
    Us,
}

/// Whether another try makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// It would fail again.
    Never,
    /// After a while.
    Later,
    /// At once, on another server or trunk.
    OtherTrunk,
}

/// A Q.850 cause value, 1..=127. Blame and retry follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cause(pub u8);

impl Cause {
    /// Unallocated number.
    pub const UNALLOCATED: Cause = Cause(1);
    /// No route to destination.
    pub const NO_ROUTE: Cause = Cause(3);
    /// Normal call clearing.
    pub const NORMAL: Cause = Cause(16);
    /// User busy.
    pub const BUSY: Cause = Cause(17);
    /// No user responding.
    pub const NO_RESPONSE: Cause = Cause(18);
    /// No answer from user (user alerted).
    pub const NO_ANSWER: Cause = Cause(19);
    /// Call rejected.
    pub const REJECTED: Cause = Cause(21);
    /// Destination out of order.
    pub const OUT_OF_ORDER: Cause = Cause(27);
    /// Invalid number format.
    pub const INVALID_NUMBER: Cause = Cause(28);
    /// Normal, unspecified.
    pub const NORMAL_UNSPECIFIED: Cause = Cause(31);
    /// No circuit or channel available.
    pub const NO_CIRCUIT: Cause = Cause(34);
    /// Network out of order.
    pub const NETWORK_OUT_OF_ORDER: Cause = Cause(38);
    /// Temporary failure.
    pub const TEMPORARY: Cause = Cause(41);
    /// Switching equipment congestion.
    pub const CONGESTION: Cause = Cause(42);
    /// Resource unavailable, unspecified.
    pub const NO_RESOURCE: Cause = Cause(47);
    /// Bearer capability not implemented.
    pub const BEARER_NOT_IMPLEMENTED: Cause = Cause(65);
    /// Incompatible destination.
    pub const INCOMPATIBLE: Cause = Cause(88);
    /// Recovery on timer expiry.
    pub const TIMER: Cause = Cause(102);
    /// Interworking, unspecified.
    pub const INTERWORKING: Cause = Cause(127);

    /// Who has to change something (own reading of Q.850 §2.2.7, table 1).
    #[must_use]
    pub const fn blame(self) -> Blame {
        match self.0 {
            1 | 2 | 3 | 5 | 22 | 28 | 50 | 57 => Blame::Orderer,
            16..=21 | 23 | 26 | 31 | 88 => Blame::Peer,
            47 | 102 => Blame::Us,
            _ => Blame::Network,
        }
    }

    /// Whether another try makes sense (`docs/policy`, retry table).
    #[must_use]
    pub const fn retry(self) -> Retry {
        match self.0 {
            1 | 5 | 21 | 22 | 28 | 50 | 57 | 88 => Retry::Never,
            2 | 3 | 34 | 38 | 42 | 44 | 47 => Retry::OtherTrunk,
            _ => Retry::Later,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_is_the_peers_and_later() {
        assert_eq!((Cause::BUSY.blame(), Cause::BUSY.retry()), (Blame::Peer, Retry::Later));
        assert_eq!((Cause::UNALLOCATED.blame(), Cause::UNALLOCATED.retry()), (Blame::Orderer, Retry::Never));
        assert_eq!(Cause::CONGESTION.retry(), Retry::OtherTrunk);
    }
}
