//! The door of `hw`: cards that are reached by sockets and devices.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, unsafe_code, reason = "the door")]

pub mod dahdi;
pub mod tdmoe;
