//! The far end: simulated telephones and the network before them, used by the load tool, the demo and the tests.
//!
//! Pure but for `io/`: [`World`] takes datagrams and `now` and gives datagrams, so that the same telephones ring in a
//! simulation in virtual time and on real sockets. It never looks into the server's code: RTP, RFC 4733 and prompt
//! detection are its own, so that it judges independently; only SIP is shared (`signalling`).
//!
//! All calls of a world share one RTP socket, or a few: streams are told apart by our port and the server's address, which
//! costs one `recvmmsg` a port for all of them.

pub mod ear;
pub mod exchange;
pub mod io;
pub mod mouth;
pub mod mulaw;
pub mod pacer;
pub mod phone;
pub mod prints;
pub mod scenario;
mod slots;
mod tally;
pub mod tones;
pub mod world;

pub use ear::{Ear, Hearing};
pub use exchange::{Exchange, ExchangeConfig, Seen};
pub use mouth::Mouth;
pub use phone::{CallLog, Phone};
pub use scenario::{Scenario, ScenarioError};
pub use world::{Output, World, WorldConfig};
