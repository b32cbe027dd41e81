//! Q.931: messages, elements, and the call machine.

pub mod call;
pub mod facility;
pub mod ie;
pub mod wire;

pub use wire::{CallRef, Ie, Kind, Message};
