//! Decides whether, when, on which server and by which trunk to call; conducts the call; says what is written down.
//! Pure: no socket, file, thread, clock or environment (law 1), and no tokio in its `Cargo.toml`.
#![forbid(unsafe_code)]

pub mod bus;
pub mod call;
pub mod campaign;
pub mod cdr;
pub mod conduct;
pub mod config;
pub mod desk;
pub mod dispatch;
pub mod forecast;
pub mod limits;
pub mod order;
pub mod permit;
pub mod policy;
pub mod queue;
pub mod record;
pub mod schedule;
pub mod shard;
pub mod store;
pub mod trunk;
pub mod watch;
