//! The one place where the program asks what time it is.

use std::time::Duration;
use tokio::time::Instant;
use units::{Mono, Now};

/// Both clocks, read together. The monotonic one is the kernel's, so every thread and the workers agree.
#[must_use]
pub fn now() -> Now {
    dataplane::io::clock::now()
}

/// For [`crate::store::Handle`].
#[must_use]
pub fn for_store() -> crate::store::handle::Clock {
    Box::new(now)
}

/// The runtime's instant for a deadline of a machine.
#[must_use]
pub fn instant(at: Mono) -> Instant {
    Instant::now() + (at - now().mono).max(Duration::ZERO)
}

/// Random octets from the kernel.
///
/// # Panics
/// If the kernel has none, which Linux does not do after boot.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut octets = [0; N];
    getrandom::fill(&mut octets).expect("the kernel gives random octets");
    octets
}

/// A seed from the kernel.
#[must_use]
pub fn seed() -> units::Seed {
    units::Seed(u64::from_le_bytes(random()))
}
