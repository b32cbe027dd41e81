//! SIP: wire, transactions, dialogs and the endpoint that a shard drives.

pub mod auth;
pub mod cause;
pub mod dialog;
pub mod endpoint;
pub mod locate;
pub mod register;
pub mod transaction;
pub mod wire;
