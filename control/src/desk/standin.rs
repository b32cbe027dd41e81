//! The shape of `policy` until it lands.

use crate::permit::Permit;
use crate::store::{Answer, Cap, Error, Lease};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use units::{Now, Wall};

/// May the order be dialled?
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Verdict {
    /// Now, if these caps can be taken.
    Admit {
        /// The caps.
        caps: Vec<Cap>,
    },
    /// Not before; then it is judged again.
    Defer {
        /// Not before.
        until: Wall,
    },
    /// Never.
    Refuse,
}

/// A judgement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// What follows.
    pub verdict: Verdict,
    /// When it was made.
    pub at: Wall,
}

impl Decision {
    /// What follows when a cap cannot be taken.
    #[must_use]
    pub fn capped(mut self, _rule: &str, until: Wall, expires: Wall) -> Self {
        self.verdict = if until < expires { Verdict::Defer { until } } else { Verdict::Refuse };
        self
    }
    /// As it is stored.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("a decision has text keys only")
    }
}

/// Proof that the store took an order's caps.
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
    /// [`NotTaken`] if the answer is any other.
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

/// Bounds.
#[derive(Clone, Copy, Debug)]
pub struct PolicyLimits {
    /// A permit lives so long, ms.
    pub permit_ms: u64,
}

/// Mints.
#[must_use]
pub fn permit(
    d: &Decision,
    lease: &Lease,
    _taken: CapsTaken,
    now: Now,
    limits: &PolicyLimits,
) -> Option<Permit> {
    let Verdict::Admit { .. } = d.verdict else { return None };
    let age = now.wall.ms_since(d.at);
    let left = lease.until.ms_since(now.wall);
    let life = i64::try_from(limits.permit_ms).unwrap_or(i64::MAX);
    if !(0..=life).contains(&age) || left <= 0 {
        return None;
    }
    let good = u64::try_from((life - age).min(left)).unwrap_or(0);
    Some(Permit::mint(lease.order, lease.attempt, lease.epoch, now.mono + Duration::from_millis(good)))
}
