//! MRCPv2 (RFC 6787), the client's side, without doors: messages ([`wire`]), what a recogniser's result says ([`result`]),
//! and the machine of one control channel ([`channel`]).
//!
//! Out of scope: the SIP dialog that sets a channel up, its TCP or TLS connection and the RTP beside it. Nothing in the
//! program opens a channel yet.

pub mod channel;
pub mod result;
pub mod wire;
