//! The words all rooms share. No behaviour beyond conversion, no clock, no chance: both are handed in.
#![forbid(unsafe_code)]

pub mod cause;
pub mod codec;
pub mod digit;
pub mod id;
pub mod now;
pub mod private;
pub mod seed;

pub use cause::{Blame, Cause, Retry};
pub use codec::Codec;
pub use digit::Digit;
pub use id::{AttemptId, BearerId, CallId, CampaignId, LegId, OrderId, ServerId, TenantId};
pub use now::{Mono, Now, Samples, Wall};
pub use private::Private;
pub use seed::{Rng, Seed};
