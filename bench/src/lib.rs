//! The program `carillon-bench`: simulated telephones and networks, load, the demo, and the figures of
//! `bench/PROMISES.md`.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a load tool owns sockets, threads and clocks: it is all door"
)]

pub mod demo;
pub mod farend;
pub mod load;
pub mod loads;
pub mod out;
pub mod ports;
pub mod promises;
pub mod report;
