//! Real peers: sipp as the customer, swaks as the third party, baresip as a caller, tshark as the judge of RTP.
//! Goal: what the norms say holds against programs that others wrote. Method: start them, call, read what they say.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "interop tests start programs, read files and own sockets"
)]

mod caller;
mod calls;
mod customer;
mod demo;
mod farend;
mod farm;
mod house;
mod linphone;
mod loadtool;
mod mailpath;
mod mrcp;
mod names;
mod optout;
mod srtp;
mod tdm;
mod third_party;
mod transfer;
mod trunks;
mod voice;
mod webdoor;
mod world;
