//! Q.921 (LAPD) as a primary rate interface uses it: one point-to-point data link, SAPI 0, TEI 0, modulo 128.
//!
//! Out of scope: TEI management (T201, T202, N202 and the states 1 to 3 of figure B.1), because a primary rate
//! interface has TEI 0 by definition (Q.921 §3.3.4), and broadcast links.

pub mod frame;
pub mod link;

pub use frame::{Frame, Invalid, Kind, N201, Side};
pub use link::{Input, Link, Output, Timer, Timers};
