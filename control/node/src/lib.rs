//! The program carillon: every door of the control plane.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "the door")]

pub mod admin;
pub mod books;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod desk;
pub mod doors;
pub mod fetch;
pub mod http;
pub mod intake;
pub mod locate;
pub mod logs;
pub mod notify;
pub mod prompts;
pub mod serve;
pub mod shard;
pub mod smtp;
pub mod speech;
pub mod store;
pub mod tls;
