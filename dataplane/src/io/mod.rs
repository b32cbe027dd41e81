//! The door of the dataplane: threads, sockets, clocks, memory locks. [`host::Host`] starts the workers;
//! [`host::ControlEnd`] is a shard's hand on them.
//!
//! ```no_run
//! use dataplane::command::{Command, Cut};
//! use dataplane::io::host::{Config, Host};
//! use dataplane::pool::Prompt;
//! use dataplane::spec::Spec;
//! use units::{Codec, Samples, Seed};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (host, mut ends) = Host::start(Config { shards: 1, ..Config::default() })?;
//! for worker in host.workers() {
//!     println!("{worker}"); // core, scheduling class, backend, and why not better
//! }
//! let mut end = ends.remove(0);
//! // Before the offer: a place and an address for the SDP.
//! let place = end.reserve(None)?;
//! let seed = Seed(0x5eed); // from the kernel in production
//! let spec = Spec::rtp(place.local, "127.0.0.1:4000".parse()?, Codec::Pcmu, seed).with_events(101);
//! // After the answer.
//! end.open(place.bearer, spec)?;
//! let prompt = end.lend_prompt(Prompt::from_linear(&[0; 8000]).into())?;
//! end.send(Command::Play {
//!     bearer: place.bearer,
//!     item: 1,
//!     prompt,
//!     offset: Samples(0),
//!     length: Samples(u32::MAX),
//!     cut: Cut::Digit,
//! })?;
//! // Await `end.doorbell()` (an eventfd) in any event loop: arm, poll to `None`, and only then sleep.
//! loop {
//!     end.arm();
//!     while let Some(report) = end.poll() {
//!         println!("{report:?}");
//!     }
//!     end.doorbell().wait(100);
//!     # break;
//! }
//! # Ok(()) }
//! ```
#![allow(clippy::disallowed_types, clippy::disallowed_methods, unsafe_code, reason = "the door")]

pub mod clock;
pub mod doorbell;
pub mod gauge;
pub mod host;
pub mod net;
pub mod recorder;
pub mod thread;
