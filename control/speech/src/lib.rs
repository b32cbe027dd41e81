//! The program carillon-speech: synthesis and recognition outside the process that carries calls. A bug in a speech
//! library ends this program, which is started again; no call notices more than a late prompt.
//!
//! Frames on standard input and output: four octets of length (big-endian), a JSON header of that length, and for
//! answers that carry sound a second length and linear samples of 16 bits, little-endian, mono. One request at a time.
//!
//! Out of scope here: choosing voices for languages, caching, limits on how many texts are asked for; the node does it.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a process of its own: it is all door"
)]
#![forbid(unsafe_code)]

pub mod flite;
pub mod frame;
