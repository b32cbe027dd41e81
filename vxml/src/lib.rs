//! VoiceXML documents and a caller's input become prompts, fetches and an outcome. Sans-IO: no clock, socket or thread.
#![forbid(unsafe_code)]

mod catch;
pub mod check;
pub mod document;
pub mod grammar;
pub mod limits;
mod machine;
mod prompt;
pub mod runner;
pub mod script;
pub mod session;
mod values;

pub use limits::Limits;
pub use machine::{Documents, Session, SessionConfig, SessionError};
