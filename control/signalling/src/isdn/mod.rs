//! ISDN primary rate signalling: Q.921 (LAPD) and Q.931 as pure machines from the standards' figures, user and network
//! side, and [`pri`], which drives them for the spans of one D-channel and speaks `crate::leg` upwards.

pub mod pri;
pub mod q921;
pub mod q931;
pub mod switch;
