//! SIP: wire, transactions, dialogs and the endpoint that a shard drives.

pub mod endpoint;
pub mod transaction;
pub mod wire;
