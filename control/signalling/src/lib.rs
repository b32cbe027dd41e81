//! Sets up and clears calls: SIP, SDP, Q.921, Q.931 and E&M trunks as pure state machines behind one word, [`leg`].
#![forbid(unsafe_code)]

pub mod cas;
pub mod isdn;
pub mod leg;
#[cfg(test)]
mod model;
pub mod sdp;
pub mod sip;
pub mod tdm;
