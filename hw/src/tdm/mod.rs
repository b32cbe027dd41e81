//! Time-division multiplex, in software and pure: what happens to the bits of a span.

pub mod alarm;
pub mod cas;
pub mod counters;
pub mod e1;
pub mod hdlc;
pub mod line;
pub mod loopcode;
pub mod oe;
pub mod prbs;
pub mod t1;
