//! From a decision to the right to dial: [`permit`], after the caps were taken in the claim's transaction, or, where
//! another process dials, [`seal`] here and [`Gate::redeem`] there.

use super::decision::{Decision, Verdict};
use crate::limits::PolicyLimits;
use crate::order::canon;
use crate::permit::Permit;
use crate::store::{Answer, Error, Lease};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::collections::BTreeMap;
use std::time::Duration;
use subtle::ConstantTimeEq;
use units::{AttemptId, Now, OrderId, Wall};

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
    let good = life(decision, lease, now, limits)?;
    Some(Permit::mint(lease.order, lease.attempt, lease.epoch, now.mono + good))
}

/// How long a permit of this decision is good; `None` if it is none.
fn life(decision: &Decision, lease: &Lease, now: Now, limits: &PolicyLimits) -> Option<Duration> {
    let Verdict::Admit { .. } = decision.verdict else { return None };
    let age = now.wall.ms_since(decision.at);
    let left = lease.until.ms_since(now.wall);
    let life = i64::try_from(limits.permit_ms).unwrap_or(i64::MAX);
    // A clock that jumped in either direction makes the decision worthless: judge again.
    if !(0..=life).contains(&age) || left <= 0 {
        return None;
    }
    u64::try_from((life - age).min(left)).ok().map(Duration::from_millis)
}

/// A permit on its way to another process: it says for which attempt, under which fencing number, until when and by
/// which decision, with a MAC under the key that claim and media server share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    order: OrderId,
    attempt: AttemptId,
    epoch: u64,
    /// Wall time of the store.
    expires: Wall,
    /// SHA-256 of the decision as stored, hexadecimal.
    decision: String,
    /// HMAC-SHA-256 over all of the above, hexadecimal.
    mac: String,
}

/// Why a pass was not redeemed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRedeemed {
    /// The MAC is not ours.
    Forged,
    /// Its time has passed.
    Late,
    /// It is not for the lease that is held.
    Fenced,
    /// It was redeemed before.
    Used,
}

/// Seals what [`permit`] would mint, for a media server elsewhere. `None` as for [`permit`].
#[must_use]
pub fn seal(
    decision: &Decision,
    lease: &Lease,
    _taken: CapsTaken,
    now: Now,
    limits: &PolicyLimits,
    key: &[u8; 32],
) -> Option<Pass> {
    let good = life(decision, lease, now, limits)?;
    let mut pass = Pass {
        order: lease.order,
        attempt: lease.attempt,
        epoch: lease.epoch,
        expires: now.wall.plus(good),
        decision: canon::hex(&canon::digest(&decision.json())),
        mac: String::new(),
    };
    pass.mac = canon::hex(&pass.mac(key).finalize().into_bytes());
    Some(pass)
}

impl Pass {
    fn mac(&self, key: &[u8; 32]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
        let text = format!(
            "{}\n{}\n{}\n{}\n{}",
            self.order, self.attempt, self.epoch, self.expires.0, self.decision
        );
        mac.update(text.as_bytes());
        mac
    }
}

/// The media server's side: redeems each pass once.
#[derive(Debug)]
pub struct Gate {
    key: [u8; 32],
    /// Attempts redeemed, until their passes have lapsed anyway.
    used: BTreeMap<AttemptId, Wall>,
}

impl Gate {
    /// A gate that shares a key with who claims.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self { key, used: BTreeMap::new() }
    }

    /// Turns a pass into a permit, once, under the lease that the store says is held.
    ///
    /// # Errors
    /// [`NotRedeemed`].
    pub fn redeem(&mut self, pass: &Pass, held: &Lease, now: Now) -> Result<Permit, NotRedeemed> {
        let given = canon::hex(&pass.mac(&self.key).finalize().into_bytes());
        if !bool::from(given.as_bytes().ct_eq(pass.mac.as_bytes())) {
            return Err(NotRedeemed::Forged);
        }
        if (held.order, held.attempt, held.epoch) != (pass.order, pass.attempt, pass.epoch) {
            return Err(NotRedeemed::Fenced);
        }
        let left = pass.expires.min(held.until).ms_since(now.wall);
        let Some(left) = u64::try_from(left).ok().filter(|l| *l > 0) else { return Err(NotRedeemed::Late) };
        self.used.retain(|_, until| *until > now.wall);
        if self.used.insert(pass.attempt, pass.expires).is_some() {
            return Err(NotRedeemed::Used);
        }
        Ok(Permit::mint(pass.order, pass.attempt, pass.epoch, now.mono + Duration::from_millis(left)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Terms, Verdict};
    use units::Mono;

    const KEY: [u8; 32] = [3; 32];

    fn at(ms: u64) -> Now {
        Now { mono: Mono::from_ms(ms), wall: Wall(1_000_000 + i64::try_from(ms).unwrap()) }
    }

    fn lease(epoch: u64) -> Lease {
        Lease { order: OrderId(1), attempt: AttemptId(2), epoch, until: Wall(1_060_000) }
    }

    fn decision(verdict: Verdict) -> Decision {
        Decision {
            verdict,
            at: at(0).wall,
            because: Vec::new(),
            next_allowed_at: None,
            terms: Terms::default(),
            if_capped: Vec::new(),
        }
    }

    fn sealed() -> Pass {
        let admitted = decision(Verdict::Admit { caps: Vec::new() });
        seal(&admitted, &lease(5), CapsTaken(()), at(100), &PolicyLimits::default(), &KEY).unwrap()
    }

    #[test]
    fn only_an_admission_with_its_caps_becomes_a_permit_and_it_lapses() {
        let limits = PolicyLimits::default();
        let mint = |d: &Decision, now: Now| permit(d, &lease(5), CapsTaken(()), now, &limits);
        let admitted = decision(Verdict::Admit { caps: Vec::new() });
        let good = mint(&admitted, at(100)).unwrap();
        assert_eq!(good.spend(at(1_900).mono).map(|s| s.epoch), Ok(5));
        assert!(mint(&admitted, at(100)).unwrap().spend(at(2_001).mono).is_err(), "who slept dials nothing");
        assert!(mint(&admitted, at(2_001)).is_none(), "an old decision");
        assert!(mint(&admitted, at(60_001)).is_none(), "an old lease");
        assert!(mint(&decision(Verdict::Refuse), at(1)).is_none());
        assert!(mint(&decision(Verdict::Defer { until: Wall(0) }), at(1)).is_none());
        let mut back = at(0);
        back.wall = Wall(999_999);
        assert!(mint(&admitted, back).is_none(), "a clock that went back");
    }

    #[test]
    fn the_stores_answer_alone_proves_that_caps_were_taken() {
        assert!(CapsTaken::from_answer(&Ok(Answer::CapsTaken)).is_ok());
        assert_eq!(CapsTaken::from_answer(&Ok(Answer::Done)).unwrap_err(), NotTaken::Unasked);
        let capped = Ok(Answer::Capped { rule: "r".into(), until: Wall(9) });
        assert_eq!(
            CapsTaken::from_answer(&capped).unwrap_err(),
            NotTaken::Capped { rule: "r".into(), until: Wall(9) }
        );
        assert_eq!(CapsTaken::from_answer(&Err(Error::Fenced)).unwrap_err(), NotTaken::Store(Error::Fenced));
    }

    #[test]
    fn a_pass_is_redeemed_once_in_time_and_under_its_lease() {
        let mut gate = Gate::new(KEY);
        let pass = sealed();
        assert_eq!(gate.redeem(&pass, &lease(6), at(200)).unwrap_err(), NotRedeemed::Fenced);
        assert_eq!(gate.redeem(&pass, &lease(5), at(2_001)).unwrap_err(), NotRedeemed::Late);
        assert_eq!(gate.redeem(&pass, &lease(5), at(200)).unwrap().attempt(), AttemptId(2));
        assert_eq!(gate.redeem(&pass, &lease(5), at(300)).unwrap_err(), NotRedeemed::Used);
        let forged = Pass { expires: Wall(9_999_999), ..sealed() };
        assert_eq!(gate.redeem(&forged, &lease(5), at(200)).unwrap_err(), NotRedeemed::Forged);
        assert_eq!(
            Gate::new([4; 32]).redeem(&sealed(), &lease(5), at(200)).unwrap_err(),
            NotRedeemed::Forged
        );
    }
}
