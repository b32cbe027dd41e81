//! `Permit`: proof that policy allowed an order just now. Unforgeable (its constructors are private to this crate's
//! policy), not `Clone`, short-lived, used up by the leg that dials. `Slot`: one unit of capacity; must be handed back.

use units::{AttemptId, Cause, Mono, OrderId, ServerId};

/// See the module. Made by `policy::judge` or `policy::redeem` only.
#[derive(Debug)]
#[must_use = "a permit is spent by dialling, or dropped on purpose with `waive`"]
pub struct Permit {
    order: OrderId,
    attempt: AttemptId,
    epoch: u64,
    good_until: Mono,
}

/// The permit is past its time: judge again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lapsed;

/// A spent permit: what the leg needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// The order.
    pub order: OrderId,
    /// The attempt that may be made, once.
    pub attempt: AttemptId,
    /// Fencing number of the claim.
    pub epoch: u64,
}

impl Permit {
    pub(crate) fn mint(order: OrderId, attempt: AttemptId, epoch: u64, good_until: Mono) -> Self {
        Self { order, attempt, epoch, good_until }
    }

    /// Uses the permit up.
    ///
    /// # Errors
    /// [`Lapsed`] if its time has passed: a process that slept dials nothing.
    pub fn spend(self, now: Mono) -> Result<Spent, Lapsed> {
        if now > self.good_until {
            return Err(Lapsed);
        }
        Ok(Spent { order: self.order, attempt: self.attempt, epoch: self.epoch })
    }

    /// Which order it is for.
    #[must_use]
    pub fn order(&self) -> OrderId {
        self.order
    }

    /// Which attempt it allows.
    #[must_use]
    pub fn attempt(&self) -> AttemptId {
        self.attempt
    }

    /// Gives the permit up unspent.
    pub fn waive(self) {}
}

/// One reserved unit of a server's capacity. Close it with [`Slot::release`]; dropping one is a bug that panics in
/// debug builds and is counted in production.
#[derive(Debug)]
#[must_use = "a slot must be handed back with `release`"]
pub struct Slot {
    server: ServerId,
    released: bool,
}

impl Slot {
    pub(crate) fn reserve(server: ServerId) -> Self {
        Self { server, released: false }
    }

    /// The server whose capacity it is.
    #[must_use]
    pub fn server(&self) -> ServerId {
        self.server
    }

    /// Hands it back; returns what the dispatcher needs to book it.
    #[must_use = "book the release with the dispatcher"]
    pub fn release(mut self, cause: Cause) -> Released {
        self.released = true;
        Released { server: self.server, cause }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        debug_assert!(self.released || std::thread::panicking(), "a Slot was dropped without release");
    }
}

/// A slot that came back.
#[derive(Debug)]
pub struct Released {
    /// Whose capacity.
    pub server: ServerId,
    /// Why the call ended.
    pub cause: Cause,
}
