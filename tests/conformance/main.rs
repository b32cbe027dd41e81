//! The norms' own cases against the running product. (Those that need no process stand beside their rooms:
//! `vxml/tests` for VoiceXML, SRGS and SISR with their scoreboards, `control/signalling/tests` for the torture messages
//! against the bare endpoint.)
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a live server is tried over real sockets"
)]

mod torture;
