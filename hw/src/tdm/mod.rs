//! Time-division multiplex, in software and pure: what happens to the bits of a span.

pub mod hdlc;
