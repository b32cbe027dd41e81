//! The store's doors: SQLite ([`sqlite`], the default), PostgreSQL ([`postgres`], for a cluster), and the handle by which async shells ask.
//!
//! Tables: `orders` (payload, appended), `ready` (narrow: what may be claimed), `live` (one hot row per order that is
//! not over), `intake` (request ids), `caps` (rolling log per key), `records`, `story`, `notices`. A finished order
//! leaves nothing in the hot tables, so they stay as small as the work at hand, whatever has passed through.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "the door")]

mod db;
mod engine;
pub mod handle;
pub mod postgres;
pub mod sqlite;

#[cfg(test)]
mod suite;

pub use handle::{Handle, Limits};
pub use postgres::Postgres;
pub use sqlite::Sqlite;
