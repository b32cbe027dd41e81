//! A store with a clock and short words for the questions.

use control::order::{Application, Disposition, Doubt, Order, Origin, Purpose, ResultTo, State, When};
use control::record::{Direction, Record};
use control::store::{Answer, Ask, Cap, Claimed, Error, Lease, Room, Store};
use std::time::Duration;
use units::{AttemptId, Cause, Mono, Now, OrderId, Private, ServerId, TenantId, Wall};

/// The suite's first instant.
pub(in crate::store) const START: i64 = 1_700_000_000_000;

pub(super) struct Bed {
    store: Box<dyn Store>,
    pub(super) now: Now,
}

impl Bed {
    pub(super) fn new(store: impl Store + 'static) -> Self {
        Self { store: Box::new(store), now: Now { mono: Mono(0), wall: Wall(START) } }
    }

    pub(super) fn pass(&mut self, ms: u64) {
        self.now = self.now.plus(Duration::from_millis(ms));
    }

    pub(super) fn ask(&mut self, ask: Ask) -> Result<Answer, Error> {
        self.run(vec![ask]).pop().expect("one answer for one question")
    }

    pub(super) fn run(&mut self, batch: Vec<Ask>) -> Vec<Result<Answer, Error>> {
        let asked = batch.len();
        let answers = self.store.run(self.now, batch);
        assert_eq!(answers.len(), asked, "each question has its answer");
        answers
    }

    pub(super) fn accept(&mut self, order: Order) -> OrderId {
        let due = self.now.wall;
        self.accept_due(order, due)
    }

    pub(super) fn accept_due(&mut self, order: Order, due: Wall) -> OrderId {
        let id = order.id;
        let answer =
            self.ask(Ask::Accept { orders: vec![(order, [7; 32])], due: vec![due], room: Room::UNBOUNDED });
        assert!(matches!(&answer, Ok(Answer::Accepted(a)) if *a == vec![(id, true)]), "{answer:?}");
        id
    }

    pub(super) fn claim(&mut self, priority: u8, max: u32) -> Vec<Claimed> {
        let (tenant, due) = (TenantId(1), self.now.wall);
        match self.ask(Ask::Claim { priority, tenant, due, max, lease_ms: 10_000, owner: ServerId(1) }) {
            Ok(Answer::Claimed(claimed, _)) => claimed,
            other => panic!("not a claim: {other:?}"),
        }
    }

    pub(super) fn claim_one(&mut self) -> Claimed {
        let mut claimed = self.claim(5, 10);
        assert_eq!(claimed.len(), 1, "one order is ready");
        claimed.remove(0)
    }

    pub(super) fn caps(&mut self, lease: &Lease, caps: Vec<Cap>) -> Result<Answer, Error> {
        self.ask(Ask::TakeCaps { lease: lease.clone(), caps, decision: r#"{"allow":true}"#.into() })
    }

    pub(super) fn intent(&mut self, lease: &Lease) -> Result<Answer, Error> {
        let (server, trunk) = (ServerId(1), "main".to_owned());
        self.ask(Ask::Intent { lease: lease.clone(), server, trunk, dialog: vec![1, 2, 3] })
    }

    pub(super) fn finish(&mut self, lease: &Lease, disposition: Disposition) -> Result<Answer, Error> {
        let (decision, result) = (None, Some(r#"{"digits":"1"}"#.to_owned()));
        self.ask(Ask::Finish { order: lease.order, epoch: lease.epoch, disposition, decision, result })
    }

    pub(super) fn requeue(
        &mut self,
        lease: &Lease,
        due: Wall,
        refund: bool,
        counted: bool,
    ) -> Result<Answer, Error> {
        let (order, epoch, deferred, decision, crashed) = (lease.order, lease.epoch, false, None, false);
        self.ask(Ask::Requeue { order, epoch, due, deferred, decision, refund, counted, crashed })
    }

    pub(super) fn state(&mut self, order: OrderId) -> (State, Option<Disposition>, u32) {
        match self.ask(Ask::Status { tenant: None, order }) {
            Ok(Answer::Status(Some(s))) => (s.state, s.disposition, s.attempts),
            other => panic!("no status: {other:?}"),
        }
    }
}

pub(super) fn order(n: u32) -> Order {
    Order {
        id: OrderId(u128::from(n) << 64 | 0xabc),
        tenant: TenantId(1),
        request_id: format!("r-{n}"),
        origin: Origin::Http { key: "k".into() },
        to: Private::new(format!("+1555{n:07}")),
        application: Application::Url("http://127.0.0.1/a.vxml".into()),
        when: When::Now,
        expires: Wall(START + 3_600_000),
        purpose: Purpose::Transactional,
        policy: None,
        priority: 5,
        caller_id: None,
        resources: Vec::new(),
        results_to: Vec::new(),
        params: Default::default(),
        message: None,
        zone: None,
        lang: None,
        subject: None,
        customer: None,
        doubt: Doubt::AtMostOnce,
        campaign: None,
        lenient: false,
        repeat: None,
    }
}

pub(super) fn told(n: u32) -> Order {
    let results_to = vec![
        ResultTo::Webhook("https://example.com/hook".into()),
        ResultTo::Mail(Private::new("a@example.com".into())),
    ];
    Order { results_to, ..order(n) }
}

pub(super) fn cap(key: &str, n: u32, period_ms: u64, min_gap_ms: u64) -> Cap {
    Cap { key: key.into(), n, period_ms, min_gap_ms, rule: format!("{key}-{n}") }
}

pub(crate) fn record(n: u32, tenant: u32) -> Record {
    Record {
        attempt: AttemptId(u128::from(n) + 1),
        order: Some(order(n).id),
        parent: None,
        tenant: TenantId(tenant),
        direction: Direction::Outbound,
        from: Private::new("+15550000000".into()),
        to: Private::new("+15551111111".into()),
        server: ServerId(1),
        trunk: "main".into(),
        application: "app:x".into(),
        started: Wall(START),
        alerted: None,
        answered: None,
        ended: Wall(START + 1_000),
        talk_ms: 0,
        busy_ms: 1_000,
        cause: Cause::BUSY,
        status: Some(486),
        by_peer: true,
        disposition: Disposition::Busy,
        values: Private::new("{}".into()),
        recordings: Vec::new(),
        media: [0; 4],
    }
}
