//! MRCPv2 (RFC 6787), the client's side, without sockets: messages, one control channel, what is asked, and the results
//! that recognisers send. Session set-up by SIP and the RTP to the engine are the node's.

pub mod ask;
pub mod channel;
pub mod result;
#[cfg(test)]
mod rfc;
pub mod wire;
