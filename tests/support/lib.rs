//! What all tests share: where the repository and the corpora are, how a skip is said, and the simulated world.
#![allow(missing_docs, reason = "test support, read beside its callers")]
#![allow(unsafe_code, clippy::unwrap_used, reason = "tests signal their own children")]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "tests start peers, read files and own sockets: the last door of the house"
)]

pub mod fuzz;
pub mod infra;
pub mod mrcp;
pub mod peers;
pub mod repo;
pub mod sim;
pub mod tone;
