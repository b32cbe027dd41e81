//! From a decision to the right to dial: [`permit`] here, after the caps were taken in the claim's transaction.

use super::decision::{Decision, Verdict};
use crate::limits::PolicyLimits;
use crate::permit::Permit;
use crate::store::{Answer, Error, Lease};
use std::time::Duration;
use units::{Now, Wall};

/// Proof that the store took an order's caps; made from its answer only.
#[derive(Debug)]
pub struct CapsTaken(());

/// The caps were not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// A rule forbids for now.
    Capped {
        /// The rule.
        rule: String,
        /// Not before.
        until: Wall,
    },
    /// The lease is stale, or the store could not write.
    Store(Error),
    /// The order was cancelled.
    Cancelled,
    /// Another question's answer.
    Unasked,
}

impl CapsTaken {
    /// Reads the answer to `Ask::TakeCaps`.
    ///
    /// # Errors
    /// [`NotTaken`] if the answer is any other than `CapsTaken`.
    pub fn from_answer(answer: &Result<Answer, Error>) -> Result<Self, NotTaken> {
        match answer {
            Ok(Answer::CapsTaken) => Ok(Self(())),
            Ok(Answer::Capped { rule, until }) => Err(NotTaken::Capped { rule: rule.clone(), until: *until }),
            Ok(Answer::Cancelled(_)) => Err(NotTaken::Cancelled),
            Ok(_) => Err(NotTaken::Unasked),
            Err(e) => Err(NotTaken::Store(*e)),
        }
    }
}

/// Mints the permit of an admitted order whose caps were taken. `None` if the decision does not admit, is older than
/// a permit lives, or the lease has run out. The permit ends with the lease or after `limits.permit_ms`.
#[must_use]
pub fn permit(
    decision: &Decision,
    lease: &Lease,
    _taken: CapsTaken,
    now: Now,
    limits: &PolicyLimits,
) -> Option<Permit> {
    let Verdict::Admit { .. } = decision.verdict else { return None };
    let age = now.wall.ms_since(decision.at);
    let left = lease.until.ms_since(now.wall);
    let life = i64::try_from(limits.permit_ms).unwrap_or(i64::MAX);
    // A clock that jumped in either direction makes the decision worthless: judge again.
    if !(0..=life).contains(&age) || left <= 0 {
        return None;
    }
    let good = u64::try_from((life - age).min(left)).unwrap_or(0);
    Some(Permit::mint(lease.order, lease.attempt, lease.epoch, now.mono + Duration::from_millis(good)))
}
