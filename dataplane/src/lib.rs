//! Every tick gives each bearer its samples: play, detect, record, jitter, RTP or timeslot.
#![deny(unsafe_code)]

pub mod capture;
pub mod codec;
pub mod command;
pub mod dchannel;
pub mod detect;
pub mod event;
pub mod io;
pub mod jitter;
pub mod limits;
pub mod line;
pub mod net;
pub mod play;
pub mod pool;
pub mod register;
pub mod report;
pub mod rtcp;
pub mod rtp;
pub mod spec;
pub mod srtp;
pub mod worker;
