//! Sets up and clears calls: SIP, SDP, Q.921 and Q.931 as pure state machines behind one word, [`leg`].
#![forbid(unsafe_code)]

pub mod leg;
pub mod sdp;
pub mod sip;
