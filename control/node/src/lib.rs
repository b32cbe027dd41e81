//! The program carillon: every door of the control plane.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "the door")]

pub mod admin;
pub mod books;
pub mod cards;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod desk;
pub mod doors;
pub mod ear;
pub mod ears;
pub mod engine;
pub mod fetch;
pub mod foresee;
pub mod http;
pub mod intake;
pub mod lists;
pub mod locate;
pub mod logs;
pub mod mrcp;
pub mod notify;
pub mod numbers;
pub mod people;
pub mod prompts;
pub mod provision;
pub mod serve;
pub mod shard;
mod sip;
pub mod smtp;
pub mod sources;
pub mod speech;
pub mod spoken;
pub mod store;
pub mod tls;
pub mod vault;
mod worker;
