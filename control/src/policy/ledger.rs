//! The ledger: what a tenant's calls have cost and how many of them nobody spoke to, over a rolling period, as the records say.
//! Rules of money and of abandoned calls ask it. Counted by the hour, so an hour falls out of the period as a whole, and late.

use super::rule::{Check, RuleSet};
use crate::config::Trunk;
use crate::order::Disposition;
use crate::record::{Direction, Record};
use std::collections::{BTreeMap, HashMap};
use units::{TenantId, Wall};

const HOUR_MS: i64 = 3_600_000;
const MINUTE_MS: u64 = 60_000;

/// What calls by a trunk cost, in thousandths of the operator's currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// Each call that is answered.
    pub call: u64,
    /// Each minute from the answer on, by the second.
    pub minute: u64,
}

impl Price {
    /// The price of a trunk, if the configuration says it.
    #[must_use]
    pub fn of(trunk: &Trunk) -> Option<Self> {
        let call = trunk.price_a_call.unwrap_or(0);
        match (trunk.price_a_minute, trunk.price_a_call) {
            (None, None) => None,
            (minute, _) => Some(Self { call, minute: minute.unwrap_or(0) }),
        }
    }

    /// What an answered call of this length costs; a part of a thousandth counts as one.
    #[must_use]
    pub fn cost(self, talk_ms: u64) -> u64 {
        self.call.saturating_add(self.minute.saturating_mul(talk_ms).div_ceil(MINUTE_MS))
    }
}

/// One hour of a tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Hour {
    answered: u64,
    abandoned: u64,
    talk_ms: u64,
    spent: u64,
}

/// How a tenant stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Spent in the period, thousandths.
    pub spent: u64,
    /// Share of answered calls that nobody spoke to, in a thousand, rounded up; none: nobody answered yet.
    pub abandoned_permille: Option<u16>,
    /// A call's mean length, ms; a minute before there was one.
    pub talk_ms: u64,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Ledger {
    period_ms: i64,
    hours: HashMap<TenantId, BTreeMap<i64, Hour>>,
}

impl Ledger {
    /// An empty one over a period.
    #[must_use]
    pub fn new(period_ms: u64) -> Self {
        Self { period_ms: i64::try_from(period_ms).unwrap_or(i64::MAX), hours: HashMap::new() }
    }

    /// Records that ended before this say nothing any more.
    #[must_use]
    pub fn begins(&self, now: Wall) -> Wall {
        Wall(now.0.saturating_sub(self.period_ms))
    }

    /// Enters a record of a call that we placed; `price` is its trunk's. A record is entered once: whoever reads them keeps count.
    pub fn enter(&mut self, record: &Record, price: Option<Price>) {
        if record.direction == Direction::Inbound || record.answered.is_none() {
            return;
        }
        let hours = self.hours.entry(record.tenant).or_default();
        let hour = hours.entry(record.ended.0.div_euclid(HOUR_MS)).or_default();
        hour.answered += 1;
        hour.abandoned += u64::from(nobody_spoke(record));
        hour.talk_ms = hour.talk_ms.saturating_add(record.talk_ms);
        hour.spent = hour.spent.saturating_add(price.unwrap_or_default().cost(record.talk_ms));
    }

    /// Forgets hours that are wholly before the period.
    pub fn forget(&mut self, now: Wall) {
        let first = self.begins(now).0.div_euclid(HOUR_MS);
        for hours in self.hours.values_mut() {
            *hours = hours.split_off(&first);
        }
        self.hours.retain(|_, hours| !hours.is_empty());
    }

    /// How a tenant stands now.
    #[must_use]
    pub fn of(&self, tenant: TenantId, now: Wall) -> Standing {
        let first = self.begins(now).0.div_euclid(HOUR_MS);
        let hours = self.hours.get(&tenant).into_iter().flat_map(|hours| hours.range(first..));
        let all = hours.fold(Hour::default(), |sum, (_, h)| Hour {
            answered: sum.answered + h.answered,
            abandoned: sum.abandoned + h.abandoned,
            talk_ms: sum.talk_ms.saturating_add(h.talk_ms),
            spent: sum.spent.saturating_add(h.spent),
        });
        let permille = (all.abandoned * 1_000)
            .checked_div(all.answered)
            .map(|_| u16::try_from((all.abandoned * 1_000).div_ceil(all.answered)).unwrap_or(1_000));
        let talk_ms = all.talk_ms.checked_div(all.answered).unwrap_or(MINUTE_MS);
        Standing { spent: all.spent, abandoned_permille: permille, talk_ms }
    }
}

/// Somebody answered, and there was nothing for them: the application failed, or we did. A machine is nobody.
fn nobody_spoke(record: &Record) -> bool {
    use Disposition::{ApplicationError, Congestion, Failed, Quarantined, Unknown};
    matches!(record.disposition, ApplicationError | Congestion | Failed | Quarantined | Unknown)
}

/// Does a set have a rule that asks the ledger?
#[must_use]
pub fn asks(set: &RuleSet) -> bool {
    set.rules.iter().any(|rule| matches!(rule.check, Check::Money { .. } | Check::Abandoned { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::{AttemptId, Cause, Private, ServerId};

    fn record(n: u64, hour: i64, talk_ms: u64, disposition: Disposition) -> Record {
        Record {
            attempt: AttemptId(u128::from(n)),
            order: None,
            parent: None,
            tenant: TenantId(1),
            direction: Direction::Outbound,
            from: Private::default(),
            to: Private::default(),
            server: ServerId(1),
            trunk: "t".into(),
            application: String::new(),
            started: Wall(0),
            alerted: None,
            answered: Some(Wall(hour * HOUR_MS)),
            ended: Wall(hour * HOUR_MS + 1),
            talk_ms,
            busy_ms: talk_ms,
            cause: Cause::NORMAL,
            status: None,
            by_peer: true,
            disposition,
            values: Private::default(),
            recordings: Vec::new(),
            media: [0; 4],
        }
    }

    #[test]
    fn prices_are_by_the_second_and_rounded_up() {
        let price = Price { call: 5, minute: 12 };
        for (talk_ms, expected) in
            [(0, 5), (1, 6), (5_000, 6), (60_000, 17), (90_000, 23), (u64::MAX, u64::MAX / 60_000 + 6)]
        {
            assert_eq!(price.cost(talk_ms), expected, "{talk_ms}");
        }
    }

    #[test]
    fn a_period_rolls_by_the_hour() {
        let mut ledger = Ledger::new(24 * 3_600_000);
        let price = Some(Price { call: 0, minute: 10 });
        for hour in 0..30 {
            ledger.enter(&record(1, hour, 60_000, Disposition::Completed), price);
        }
        let at = |hour: i64| Wall(hour * HOUR_MS);
        assert_eq!(
            ledger.of(TenantId(1), at(24)).spent,
            300,
            "all thirty are at most a day old or yet to come"
        );
        assert_eq!(ledger.of(TenantId(1), at(30)).spent, 240);
        assert_eq!(ledger.of(TenantId(1), at(53)).spent, 10);
        assert_eq!(
            ledger.of(TenantId(1), at(54)),
            Standing { spent: 0, abandoned_permille: None, talk_ms: 60_000 }
        );
        assert_eq!(ledger.of(TenantId(2), at(24)).spent, 0);
        ledger.forget(at(54));
        assert!(ledger.hours.is_empty());
    }

    #[test]
    fn only_people_who_heard_nothing_were_abandoned() {
        let mut ledger = Ledger::new(24 * 3_600_000);
        for (n, how) in [
            Disposition::Completed,
            Disposition::Completed,
            Disposition::Machine,
            Disposition::ApplicationError,
            Disposition::Completed,
            Disposition::Completed,
            Disposition::Completed,
        ]
        .into_iter()
        .enumerate()
        {
            ledger.enter(&record(n as u64, 1, 30_000, how), None);
        }
        let mut unanswered = record(9, 1, 0, Disposition::NoAnswer);
        unanswered.answered = None;
        ledger.enter(&unanswered, Some(Price { call: 9, minute: 9 }));
        let mut inbound = record(10, 1, 9, Disposition::ApplicationError);
        inbound.direction = Direction::Inbound;
        ledger.enter(&inbound, Some(Price { call: 9, minute: 9 }));
        let standing = ledger.of(TenantId(1), Wall(2 * HOUR_MS));
        assert_eq!(
            standing,
            Standing { spent: 0, abandoned_permille: Some(143), talk_ms: 30_000 },
            "one of seven, rounded up"
        );
    }
}
