//! SIP on the wire: octets to a header index to typed fields, and typed fields to octets (RFC 3261 §7, §20, §25).
//!
//! Two layers. [`Message::parse`] drops only what cannot be framed ([`Unframed`], counted by the caller); all else
//! becomes a [`Message`] whose first defect is kept, so that a peer can still be told the status that it is owed
//! ([`Owed`]). Typed fields borrow from the octets: reading an INVITE allocates once, for its header index. Nothing
//! here panics on any octets. Folded lines (RFC 3261 §7.3.1) are read as white space in place.

pub mod addr;
pub mod auth;
pub mod core;
pub mod fields;
pub mod frame;
pub mod message;
pub mod name;
pub mod scan;
pub mod uri;
pub mod via;
pub mod write;

pub use self::addr::{NameAddr, Params, values};
pub use self::core::{Core, Owed};
pub use self::message::{Message, Start, Unframed};
pub use self::name::{HeaderId, Method};
pub use self::uri::{Host, Scheme, Uri};
pub use self::via::Via;
pub use self::write::Writer;

/// What a message may cost to read. Beyond the first three it is not framed or owed 513; beyond the others 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of a whole message; a datagram cannot hold more than 65,535.
    pub message_octets_max: usize,
    /// Octets of start-line and header fields.
    pub head_octets_max: usize,
    /// Header fields in one message.
    pub header_fields_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // A carrier's INVITE is 1 to 3 kB; the longest of RFC 4475 (longreq) has 3.5 kB.
        Self { message_octets_max: 65_535, head_octets_max: 16_384, header_fields_max: 128 }
    }
}
