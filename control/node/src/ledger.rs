//! The ledger's reader: goes through the store's records, from the beginning of the period on, and follows them. Only while a
//! rule asks. Until it has read all there is, orders that such rules judge wait; nothing is admitted on half a ledger.

use crate::intake::{Intake, Tenant};
use crate::settings::Settings;
use control::order::Order;
use control::policy::ledger::{self, Ledger, Price, Standing};
use control::policy::{Decision, Facts, Party};
use control::store::{Answer, Ask, Error};
use control::trunk::route::Plan;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use units::{Now, Wall};

/// New records are looked for so often: a rule sees a call within this after it was booked.
const LOOK: Duration = Duration::from_secs(1);
/// Records read at once.
const PAGE: u32 = 1_000;
/// An order that finds the ledger half read is looked at again after this.
const AGAIN: Duration = Duration::from_secs(10);

/// What has been read so far.
#[derive(Debug)]
pub struct Reading {
    ledger: Ledger,
    /// Records up to this number are in it; none: nothing was read yet.
    cursor: Option<u64>,
    /// All there was has been read.
    whole: bool,
}

impl Reading {
    /// Nothing yet.
    #[must_use]
    pub fn new(period_ms: u64) -> Self {
        Self { ledger: Ledger::new(period_ms), cursor: None, whole: false }
    }
}

impl Intake {
    /// Reads records for ever, while a rule asks for them.
    pub async fn keep_ledger(self: Arc<Self>) {
        loop {
            if self.ledger_is_asked() {
                match self.read_on().await {
                    Ok(true) => {}
                    Ok(false) => tokio::time::sleep(LOOK).await,
                    Err(error) => {
                        tracing::warn!(?error, "the ledger waits for the store");
                        tokio::time::sleep(AGAIN).await;
                    }
                }
            } else {
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    fn ledger_is_asked(&self) -> bool {
        let settings = self.settings.load();
        let policies = self.policies.read().unwrap_or_else(PoisonError::into_inner);
        settings.tenants.values().any(|t| t.asks_ledger) || policies.asks_ledger()
    }

    /// Reads a page; true if there may be more.
    ///
    /// # Errors
    /// The store's.
    pub async fn read_on(&self) -> Result<bool, Error> {
        let now = (self.now)().wall;
        let (cursor, begins) = {
            let reading = self.ledger.read().unwrap_or_else(PoisonError::into_inner);
            (reading.cursor, reading.ledger.begins(now))
        };
        let after = match cursor {
            Some(cursor) => cursor,
            None => self.first_after(begins).await?,
        };
        let ask = Ask::Records { tenant: None, order: None, after, limit: PAGE };
        let Answer::Records(page) = self.store.ask(ask).await? else { return Err(Error::Corrupt) };
        let settings = self.settings.load();
        let more = page.len() >= usize::try_from(PAGE).unwrap_or(usize::MAX);
        let mut reading = self.ledger.write().unwrap_or_else(PoisonError::into_inner);
        for (_, record) in &page {
            let trunk = settings.trunks.0.iter().find(|t| t.name == record.trunk);
            reading.ledger.enter(record, trunk.and_then(Price::of));
        }
        reading.cursor = Some(page.last().map_or(after, |(n, _)| *n));
        reading.whole = !more;
        reading.ledger.forget(now);
        Ok(more)
    }

    /// The number after which the records of the period begin. They are numbered in the order of their ends, but for some that
    /// a crash delayed: an hour more is read for those.
    async fn first_after(&self, begins: Wall) -> Result<u64, Error> {
        let begins = Wall(begins.0.saturating_sub(3_600_000));
        let (mut low, mut high) = (0_u64, 1 << 40);
        while low < high {
            let middle = low + (high - low) / 2;
            let ask = Ask::Records { tenant: None, order: None, after: middle, limit: 1 };
            let Answer::Records(found) = self.store.ask(ask).await? else { return Err(Error::Corrupt) };
            match found.first() {
                Some((_, record)) if record.ended < begins => low = middle + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// What the ledger says about an order, where a rule asks.
    pub(crate) fn informed(
        &self,
        order: &Order,
        tenant: &Tenant,
        settings: &Settings,
        facts: &mut Facts,
        at: Wall,
    ) {
        if !self.asks_about(order, tenant) {
            return;
        }
        let reading = self.ledger.read().unwrap_or_else(PoisonError::into_inner);
        // Half a ledger says too little of money and too much or too little of shares: such an order waits.
        let standing = if reading.whole { reading.ledger.of(order.tenant, at) } else { Standing::default() };
        facts.spent = standing.spent;
        facts.abandoned_permille = standing.abandoned_permille;
        facts.price = expected(order, tenant, settings, standing);
    }

    fn asks_about(&self, order: &Order, tenant: &Tenant) -> bool {
        tenant.asks_ledger || {
            let policies = self.policies.read().unwrap_or_else(PoisonError::into_inner);
            policies.asks_ledger() && policies.holding(order).iter().any(|set| ledger::asks(set))
        }
    }

    /// An order that a rule of the ledger judges waits until the ledger was read.
    pub(crate) fn unread(&self, order: &Order, tenant: &Tenant, decision: Decision, now: Now) -> Decision {
        let whole = self.ledger.read().unwrap_or_else(PoisonError::into_inner).whole;
        if whole || !self.asks_about(order, tenant) {
            return decision;
        }
        decision.held("ledger/not_read", Party::Operator, Some(now.wall.plus(AGAIN)))
    }
}

/// What a call is expected to cost: as long as the tenant's calls are on the average, by the dearest trunk that may take it.
/// `None`: one of them has no price, or there is none.
fn expected(order: &Order, tenant: &Tenant, settings: &Settings, standing: Standing) -> Option<u64> {
    let (trunks, groups) = &settings.trunks;
    let caller = order.caller_id.as_ref().map(|id| id.expose().as_str());
    let plan = Plan::new(trunks, groups, &tenant.config.trunks, order.to.expose(), caller).ok()?;
    let cost = |name: &str| {
        let trunk = trunks.iter().find(|t| t.name == name)?;
        Some(Price::of(trunk)?.cost(standing.talk_ms))
    };
    plan.ways.iter().map(|way| cost(&way.trunk)).collect::<Option<Vec<_>>>()?.into_iter().max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::{Arrival, Bench};
    use crate::store::{Handle, Limits, Sqlite};
    use control::desk::Judge;
    use control::order::{Disposition, Origin};
    use control::policy::Verdict;
    use units::{AttemptId, Mono, TenantId};

    const NOW: Now = Now { mono: Mono(1), wall: Wall(1_800_000_000_000) };
    const CONFIG: &str = "[[tenants]]\nname = \"acme\"\nid = 1\n[[trunks]]\nname = \"t\"\naddress = \"127.0.0.1:9\"\n\
        prefixes = [\"*\"]\nprice_a_minute = 60\ncaller_id = \"+15550100\"\n";

    fn intake() -> Intake {
        let config = control::config::parse("t", CONFIG).expect("reads");
        let store =
            Handle::start(Sqlite::in_memory(), None::<Sqlite>, Limits::default(), || Box::new(|| NOW));
        Intake::new(store.expect("starts"), || NOW, config).expect("good settings")
    }

    async fn book(intake: &Intake, n: u32, ago_ms: i64, talk_ms: u64, disposition: Disposition) {
        let mut record = crate::store::suite::fixture::record(n, 1);
        (record.attempt, record.tenant, record.trunk) = (AttemptId(n.into()), TenantId(1), "t".into());
        (record.answered, record.ended) = (Some(Wall(0)), Wall(NOW.wall.0 - ago_ms));
        (record.talk_ms, record.disposition) = (talk_ms, disposition);
        intake.store.ask(Ask::Append(vec![record])).await.expect("kept");
    }

    fn order(intake: &Intake) -> Order {
        let fields = serde_json::json!({ "to": "+12125550100", "application": "https://a.example/", "purpose": "survey" });
        let origin = Origin::Http { key: "k".into() };
        let arrival = Arrival { tenant: TenantId(1), origin, request_id: "r", attached: &[], campaign: None };
        let fields = fields.as_object().expect("an object").clone();
        intake.read(&fields, arrival, NOW).expect("good").orders.remove(0)
    }

    async fn rule(intake: &Intake, check: &str) {
        let text = format!(
            "{{\"name\":\"operator/x\",\"version\":\"1\",\"party\":\"operator\",\"rules\":[{{\"id\":\"r\",\"check\":{check}}}]}}"
        );
        let set = serde_json::from_str(&text).expect("a set");
        intake.store_policy(None, "x", Some(set)).await.expect("kept");
    }

    #[tokio::test]
    async fn money_is_what_the_records_say_and_half_a_ledger_admits_nobody() {
        let intake = Arc::new(intake());
        // 31 days ago, two hours ago, now: a minute costs 60.
        for (n, ago_ms, talk_ms) in [(1, 31 * 86_400_000, 600_000), (2, 7_200_000, 60_000), (3, 0, 120_000)] {
            book(&intake, n, ago_ms, talk_ms, Disposition::Completed).await;
        }
        let order = order(&intake);
        let verdict = || Bench(Arc::clone(&intake)).judge(NOW, &order).verdict;
        assert!(matches!(verdict(), Verdict::Admit { .. }), "no rule asks");
        rule(&intake, r#"{"money":{"per_period_max":269}}"#).await;
        assert!(matches!(verdict(), Verdict::Defer { .. }), "it was not read yet");
        while intake.read_on().await.expect("answers") {}
        // Spent 180 in thirty days, and a call of the mean length is 90 more: 270.
        assert_eq!(verdict(), Verdict::Refuse);
        rule(&intake, r#"{"money":{"per_period_max":270,"per_call_max":90}}"#).await;
        assert!(matches!(verdict(), Verdict::Admit { .. }));
        rule(&intake, r#"{"money":{"per_call_max":89}}"#).await;
        assert_eq!(verdict(), Verdict::Refuse);
        book(&intake, 4, 0, 60_000, Disposition::Completed).await;
        rule(&intake, r#"{"money":{"per_period_max":319}}"#).await;
        assert!(!intake.read_on().await.expect("answers"), "what is new is followed");
        assert_eq!(verdict(), Verdict::Refuse, "240 and 80");
    }

    #[tokio::test]
    async fn too_many_abandoned_calls_stop_the_next() {
        let intake = Arc::new(intake());
        for n in 1..=33 {
            let how = if n == 1 { Disposition::ApplicationError } else { Disposition::Completed };
            book(&intake, n, 0, 30_000, how).await;
        }
        rule(&intake, r#"{"abandoned":{"max_permille":30}}"#).await;
        while intake.read_on().await.expect("answers") {}
        let order = order(&intake);
        let decision = Bench(Arc::clone(&intake)).judge(NOW, &order);
        assert_eq!(decision.verdict, Verdict::Refuse, "31 in a thousand");
        book(&intake, 34, 0, 30_000, Disposition::Completed).await;
        intake.read_on().await.expect("answers");
        assert!(
            matches!(Bench(Arc::clone(&intake)).judge(NOW, &order).verdict, Verdict::Admit { .. }),
            "30 in a thousand"
        );
    }
}
