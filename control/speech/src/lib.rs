//! The program carillon-speech: synthesis and recognition outside the process that carries calls. A bug in a speech
//! library ends this program, which is started again; no call notices more than a late prompt or one `error.noresource`.
//!
//! Frames on standard input and output: four octets of length (big-endian), then so many octets. A request is a JSON
//! header ([`frame::Ask`]). Speaking is answered by a header ([`frame::Spoken`]) and, if it went well, a frame of linear
//! samples of 16 bits, little-endian, mono. Hearing is followed by frames of the same kind of samples at 8 kHz and by
//! frames of one octet: [`frame::GUESS`] asks for what was understood so far ([`frame::Heard`]), [`frame::END`] ends the
//! utterance. One request at a time; who wants more starts more workers.
//!
//! Out of scope here: caching, limits on how many texts are asked for, time limits, what an utterance means; the node
//! and the interpreter do it. [`utterance`] and [`say`] have no
//! doors, and the node uses them as well.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a process of its own: it is all door"
)]
#![deny(unsafe_code)]

pub mod band;
pub mod child;
pub mod espeak;
pub mod flite;
pub mod frame;
pub mod grammar;
pub mod mrcp;
pub mod phones;
pub mod pls;
pub mod recogniser;
pub mod say;
pub mod serve;
pub mod sphinx;
pub mod utterance;
pub mod work;
