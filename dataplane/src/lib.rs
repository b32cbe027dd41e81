//! Every tick gives each bearer its samples: play, detect, record, jitter, RTP or timeslot.
#![deny(unsafe_code)]

pub mod command;
pub mod report;
