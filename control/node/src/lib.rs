//! The program carillon: every door of the control plane.

pub mod store;
