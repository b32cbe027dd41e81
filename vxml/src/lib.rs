//! VoiceXML documents and a caller's input become prompts, fetches and an outcome. Sans-IO: no clock, socket or thread.
#![forbid(unsafe_code)]

pub mod document;
pub mod grammar;
pub mod limits;
pub mod script;
pub mod session;

pub use limits::Limits;
