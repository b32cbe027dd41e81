//! What becomes of an order when an attempt is over, or was found open after a crash.

use crate::config::{Policy, Retries};
use crate::order::{Disposition, Doubt};
use crate::store::Orphan;
use std::time::Duration;
use units::{Cause, Now, Retry, Rng};

/// Waits after the first, second, ... failure of a kind, ms; after the last the order ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryTable {
    /// Busy (486, Q.850 17).
    pub busy: Vec<u64>,
    /// Nobody answered (408, 480, 487 by timer, Q.850 18, 19).
    pub no_answer: Vec<u64>,
    /// A machine answered.
    pub machine: Vec<u64>,
    /// Congestion (503, Q.850 34, 38, 42): not the callee's doing, so it does not count as an attempt.
    pub congestion: Vec<u64>,
    /// Any other failure that may pass.
    pub failed: Vec<u64>,
    /// No order is dialled more often, whatever the reasons.
    pub attempts_max: u32,
}

impl Default for RetryTable {
    fn default() -> Self {
        const S: u64 = 1_000;
        const MIN: u64 = 60 * S;
        const HOUR: u64 = 60 * MIN;
        Self {
            busy: vec![5 * MIN, 15 * MIN, HOUR],
            no_answer: vec![HOUR, 4 * HOUR, 24 * HOUR],
            machine: vec![4 * HOUR, 4 * HOUR],
            congestion: vec![
                0,
                30 * S,
                2 * MIN,
                2 * MIN,
                5 * MIN,
                5 * MIN,
                15 * MIN,
                15 * MIN,
                15 * MIN,
                15 * MIN,
            ],
            failed: vec![MIN, 5 * MIN, 15 * MIN],
            attempts_max: 10,
        }
    }
}

impl RetryTable {
    /// The table of a tenant: the program's, changed by what the operator sets, changed by what the tenant sets.
    #[must_use]
    pub fn of(policy: &Policy, tenant: Option<&Retries>) -> Self {
        let mut table = Self { attempts_max: policy.attempts_max, ..Self::default() };
        if let Some(after) = policy.retry_after {
            let waits = vec![after.ms; usize::try_from(policy.attempts_max.min(100)).unwrap_or(100)];
            for row in [&mut table.busy, &mut table.no_answer, &mut table.machine, &mut table.failed] {
                row.clone_from(&waits);
            }
        }
        table.change(&policy.retries);
        if let Some(own) = tenant {
            table.change(own);
            // A tenant's wish is one of three parties': it may not dial oftener than the operator allows.
            table.attempts_max =
                table.attempts_max.min(policy.retries.attempts_max.unwrap_or(policy.attempts_max));
        }
        table
    }

    fn change(&mut self, by: &Retries) {
        let rows = [
            (&mut self.busy, &by.busy),
            (&mut self.no_answer, &by.no_answer),
            (&mut self.machine, &by.machine),
            (&mut self.congestion, &by.congestion),
            (&mut self.failed, &by.failed),
        ];
        for (row, own) in rows {
            if let Some(own) = own {
                *row = own.iter().take(WAITS_MAX).map(|span| span.ms).collect();
            }
        }
        if let Some(max) = by.attempts_max {
            self.attempts_max = max;
        }
    }
}

/// Waits in one row.
const WAITS_MAX: usize = 100;

/// How an attempt went, as far as the queue must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How it counts.
    pub disposition: Disposition,
    /// Q.850.
    pub cause: Cause,
    /// An INVITE or SETUP left.
    pub dialled: bool,
    /// Seconds of patience the network asked for.
    pub retry_after_s: Option<u32>,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The order is over.
    End(Disposition),
    /// Again, after so long.
    Again {
        /// Wait, ms.
        after_ms: u64,
        /// The attempt counts.
        counted: bool,
    },
}

/// What follows an attempt. `attempts` counted ones with this, `tries` uncounted ones since the last counted, with this
/// if it is uncounted.
#[must_use]
pub fn after(outcome: &Outcome, attempts: u32, tries: u32, table: &RetryTable, rng: &mut Rng) -> Next {
    let (waits, counted) = match waits(outcome, table) {
        Some(waits) => waits,
        None => return Next::End(outcome.disposition),
    };
    let failures = if counted { attempts } else { tries };
    let nth = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
    let wait = waits.get(nth).copied().filter(|_| attempts < table.attempts_max || !counted);
    let Some(wait) = wait else { return Next::End(outcome.disposition) };
    let asked = u64::from(outcome.retry_after_s.unwrap_or(0)).saturating_mul(1_000);
    // Jitter, so that what failed together does not come back together: up to a tenth more.
    let wait = wait.max(asked);
    Next::Again { after_ms: wait + rng.below(wait / 10 + 1), counted }
}

/// Which row of the table holds, and whether the attempt counts against the person.
fn waits<'t>(outcome: &Outcome, table: &'t RetryTable) -> Option<(&'t [u64], bool)> {
    match outcome.disposition {
        Disposition::Busy => Some((&table.busy, true)),
        Disposition::NoAnswer => Some((&table.no_answer, true)),
        Disposition::Machine => Some((&table.machine, true)),
        Disposition::Congestion => Some((&table.congestion, false)),
        Disposition::Failed => match outcome.cause.retry() {
            Retry::Never => None,
            Retry::OtherTrunk => Some((&table.congestion, false)),
            Retry::Later => Some((&table.failed, outcome.dialled)),
        },
        // Rejected: not today, and an order asks for one call, not for a siege. The rest is over by its nature.
        _ => None,
    }
}

/// What to do with an attempt that was found open after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Nothing was dialled: it goes back.
    Requeue,
    /// The INVITE may be sent again, octet for octet: the far side takes it for a retransmission.
    Resend,
    /// Answered and acknowledged: a BYE, so that nobody listens to silence; then it ends as unknown.
    HangUp,
    /// Nobody can know: it ends as unknown.
    Unknown,
    /// Nobody can know, and a second ring is acceptable: it is dialled anew.
    Redial,
    /// Nobody can know: it waits until someone decides, or its time runs out.
    Ask,
}

/// RFC 3261 §17.2.3: a server transaction repeats its answer to the same INVITE for 64·T1, which is 32 s; less what it takes
/// to fetch the document again before it is sent.
const RESEND_WITHIN: Duration = Duration::from_secs(24);

/// Decides over an orphan. `resend`: the shell can send a journalled INVITE again from the same address.
#[must_use]
pub fn recover(orphan: &Orphan, now: Now, resend: bool) -> Recovery {
    let Some((at, _, _)) = &orphan.intent else { return Recovery::Requeue };
    // An acknowledged INVITE sent again was taken for a new call by a stack in the field: only a BYE is safe.
    if orphan.acked.is_some() {
        return Recovery::HangUp;
    }
    let age = now.wall.ms_since(*at);
    let young = (0..i64::try_from(RESEND_WITHIN.as_millis()).unwrap_or(0)).contains(&age);
    match (resend && young, orphan.order.doubt) {
        (true, _) => Recovery::Resend,
        (false, Doubt::AtLeastOnce) => Recovery::Redial,
        (false, Doubt::Ask) => Recovery::Ask,
        (false, Doubt::AtMostOnce) => Recovery::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::Seed;

    fn check(disposition: Disposition, cause: Cause, counters: (u32, u32), expected: Option<(u64, bool)>) {
        let outcome = Outcome { disposition, cause, dialled: true, retry_after_s: None };
        let next = after(&outcome, counters.0, counters.1, &RetryTable::default(), &mut Seed(1).rng());
        match (next, expected) {
            (Next::End(d), None) => assert_eq!(d, disposition),
            (Next::Again { after_ms, counted }, Some((wait, counts))) => {
                assert!((wait..=wait + wait / 10).contains(&after_ms), "{disposition:?}: {after_ms}");
                assert_eq!(counted, counts);
            }
            other => panic!("{disposition:?} {counters:?}: {other:?}"),
        }
    }

    #[test]
    fn the_default_table_is_the_documented_one() {
        const MIN: u64 = 60_000;
        use Disposition as D;
        check(D::Busy, Cause::BUSY, (1, 0), Some((5 * MIN, true)));
        check(D::Busy, Cause::BUSY, (3, 0), Some((60 * MIN, true)));
        check(D::Busy, Cause::BUSY, (4, 0), None);
        check(D::NoAnswer, Cause::NO_ANSWER, (2, 0), Some((240 * MIN, true)));
        check(D::Congestion, Cause::CONGESTION, (0, 1), Some((0, false)));
        check(D::Congestion, Cause::CONGESTION, (9, 3), Some((2 * MIN, false)));
        check(D::Congestion, Cause::CONGESTION, (0, 11), None);
        check(D::Failed, Cause::NO_CIRCUIT, (1, 2), Some((30_000, false)));
        check(D::Failed, Cause::TEMPORARY, (1, 0), Some((MIN, true)));
        check(D::Failed, Cause::INCOMPATIBLE, (1, 0), None);
        for over in [D::Completed, D::Rejected, D::Unwanted, D::Blocked, D::Unallocated, D::ApplicationError]
        {
            check(over, Cause::NORMAL, (1, 0), None);
        }
    }

    #[test]
    fn tenants_change_rows_of_the_operators_table() {
        let read = |text: &str| toml::from_str::<Policy>(text).expect("a policy");
        let own = |text: &str| toml::from_str::<Retries>(text).expect("a table");
        let plain = RetryTable::of(&read(""), None);
        assert_eq!(plain, RetryTable { attempts_max: 4, ..RetryTable::default() });
        let short = RetryTable::of(&read("retry_after = \"1m\"\nattempts_max = 2"), None);
        assert_eq!(
            (short.busy, short.no_answer, short.failed),
            (vec![60_000; 2], vec![60_000; 2], vec![60_000; 2])
        );
        let policy = read("attempts_max = 3\nretries = { busy = [\"1s\", \"2s\"] }");
        let tenant = own("no_answer = [\"5s\"]\nattempts_max = 9");
        let both = RetryTable::of(&policy, Some(&tenant));
        assert_eq!((both.busy, both.no_answer, both.attempts_max), (vec![1_000, 2_000], vec![5_000], 3));
    }

    #[test]
    fn patience_asked_for_is_kept() {
        let outcome = Outcome {
            disposition: Disposition::Congestion,
            cause: Cause::CONGESTION,
            dialled: true,
            retry_after_s: Some(90),
        };
        let next = after(&outcome, 0, 1, &RetryTable::default(), &mut Seed(1).rng());
        assert!(matches!(next, Next::Again { after_ms: 90_000..=99_000, counted: false }));
    }
}
