//! The program carillon: every door of the control plane.

pub mod http;
pub mod intake;
pub mod smtp;
pub mod store;
