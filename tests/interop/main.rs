//! Real peers: sipp as the customer, swaks as the third party, baresip as a caller, tshark as the judge of RTP.
//! Goal: what the norms say holds against programs that others wrote. Method: start them, call, read what they say.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "interop tests start programs, read files and own sockets"
)]

mod caller;
mod customer;
mod demo;
mod farend;
mod loadtool;
mod tdm;
mod third_party;
mod transfer;
mod voice;
mod house;
mod mailpath;
mod optout;
mod third_party;
mod webdoor;
mod world;
