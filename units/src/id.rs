//! Identifiers. Public ones (orders, campaigns, attempts) are 128 random bits, printed with a prefix; ones inside a
//! process are small integers.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The text is no identifier of this kind: wrong prefix, or not 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadId;

impl fmt::Display for BadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an identifier of this kind")
    }
}

impl std::error::Error for BadId {}

macro_rules! public_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub u128);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{:032x}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(s: &str) -> Result<Self, BadId> {
                let hex = s.strip_prefix($prefix).ok_or(BadId)?;
                if hex.len() != 32 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(BadId);
                }
                u128::from_str_radix(hex, 16).map(Self).map_err(|_| BadId)
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(s: String) -> Result<Self, BadId> {
                s.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
    };
}

public_id!(
    /// One asked-for call (the API's *call*).
    OrderId, "call_"
);
public_id!(
    /// One try to reach the callee.
    AttemptId, "att_"
);
public_id!(
    /// Many orders with one policy and one progress.
    CampaignId, "camp_"
);

macro_rules! small_id {
    ($(#[$doc:meta])* $name:ident, $int:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub $int);
    };
}

small_id!(
    /// A tenant (third party), by its row in the store.
    TenantId, u32
);
small_id!(
    /// A telephony server, by its row in the registry.
    ServerId, u32
);
small_id!(
    /// A call within a shard; never reused while the process lives.
    CallId, u64
);
small_id!(
    /// A leg within a shard; never reused while the process lives.
    LegId, u64
);

/// A bearer: its worker, its place there, and a generation, so that a late report of a closed bearer is recognised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BearerId {
    /// Which worker owns it.
    pub worker: u16,
    /// Generation of the place, wrapping.
    pub generation: u16,
    /// Place in the worker's table.
    pub index: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_ids_round_trip_and_refuse_the_rest() {
        let id = OrderId(0xfeed);
        assert_eq!(id.to_string().parse::<OrderId>(), Ok(id));
        assert_eq!("call_1".parse::<OrderId>(), Err(BadId));
        assert_eq!(id.to_string().parse::<AttemptId>(), Err(BadId));
        assert_eq!("call_+0000000000000000000000000000001".parse::<OrderId>(), Err(BadId));
    }
}
