//! Signal processing in software: the truth that every accelerator must match.
//!
//! Samples are linear 16-bit at 8 kHz (G.722 at 16 kHz), levels are dBm0 by [`level`]. Nothing here allocates after
//! construction, locks, or asks for the time; everything is fed slices of any length.

pub mod amd;
pub mod beep;
pub mod cadence;
pub mod dtmf;
pub mod echo;
pub mod g711;
pub mod g722;
mod kernel;
pub mod level;
pub mod math;
pub mod mf;
pub mod mix;
pub mod noise;
pub mod plc;
pub mod progress;
pub mod tone;
pub mod vad;
