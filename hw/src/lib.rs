//! Moves samples and D-channel frames across a card's edge, or pretends to, bit for bit; owns the signal-processing
//! kernels ([`dsp`]).
#![deny(unsafe_code)]

pub mod audio;
pub mod card;
pub mod dsp;
pub mod io;
pub mod soft;
pub mod tdm;
