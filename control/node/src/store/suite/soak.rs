//! The queue's tables stay fast whatever has passed through them. Goal: the last tenth of the orders goes as fast as the first
//! ones did. Method: orders are accepted, claimed, dialled and finished in groups; the rate of each tenth is compared.
//!
//! `CARILLON_SOAK_ORDERS` sets how many (4,000; the long form is 10,000,000).

use super::fixture::{START, order};
use super::pg::Server;
use crate::store::{Postgres, Sqlite};
use control::order::{Disposition, Order};
use control::store::{Answer, Ask, Room, Store};
use std::time::Instant;
use units::{Mono, Now, OrderId, Seed, ServerId, TenantId, Wall};

const GROUP: u32 = 200;

fn now(n: u32) -> Now {
    Now { mono: Mono(u64::from(n) * 1_000_000), wall: Wall(START + i64::from(n)) }
}

/// One group's whole way.
fn pass(store: &mut dyn Store, first: u32) {
    let now = now(first);
    let all = |asks: Vec<Ask>, store: &mut dyn Store| {
        let answers = store.run(now, asks);
        assert!(answers.iter().all(Result::is_ok), "{:?}", answers.iter().find(|a| a.is_err()));
        answers
    };
    let accept = |n: u32| {
        // Ids are random in life.
        let id = OrderId(Seed(u64::from(n)).rng().next_u128());
        let order = Order { id, expires: Wall(i64::MAX), ..order(n) };
        Ask::Accept {
            orders: vec![(order, [0; 32])],
            due: vec![now.wall],
            room: Room { tenant: 1_000_000, all: 1_000_000 },
        }
    };
    all((first..first + GROUP).map(accept).collect(), store);
    let (tenant, due, owner) = (TenantId(1), now.wall, ServerId(1));
    let claim = Ask::Claim { priority: 5, tenant, due, max: GROUP, lease_ms: 60_000, owner };
    let Some(Ok(Answer::Claimed(claimed, _))) = store.run(now, vec![claim]).pop() else { panic!("a claim") };
    assert_eq!(claimed.len(), usize::try_from(GROUP).expect("small"));
    let intent = |c: &control::store::Claimed| Ask::Intent {
        lease: c.lease.clone(),
        server: ServerId(1),
        trunk: "t".into(),
        dialog: vec![0; 200],
    };
    all(claimed.iter().map(intent).collect(), store);
    let finish = |c: &control::store::Claimed| Ask::Finish {
        order: c.order.id,
        epoch: c.lease.epoch,
        disposition: Disposition::Completed,
        decision: None,
        result: None,
    };
    all(claimed.iter().map(finish).collect(), store);
}

fn soak(name: &str, store: &mut dyn Store) {
    let orders: u32 =
        std::env::var("CARILLON_SOAK_ORDERS").ok().and_then(|v| v.parse().ok()).unwrap_or(4_000);
    let tenth = (orders / 10 / GROUP).max(1);
    let mut rates = Vec::new();
    for part in 0..10 {
        let begun = Instant::now();
        (0..tenth).for_each(|n| pass(store, (part * tenth + n) * GROUP));
        rates.push(f64::from(tenth * GROUP) / begun.elapsed().as_secs_f64());
    }
    println!("{name}: {} orders, orders/s by tenths: {rates:.0?}", tenth * GROUP * 10);
    // The first tenth warms up; a busy machine may halve any of them, growth of the tables would do worse.
    if orders >= 100_000 {
        assert!(rates[9] > rates[1] * 0.4, "{name}: the last tenth is slower: {rates:.0?}");
    }
}

#[test]
fn the_queue_stays_fast_whatever_has_passed_through() {
    let folder = tempfile::tempdir().expect("a folder");
    soak("SQLite", &mut Sqlite::open(&folder.path().join("store.db")).expect("it opens"));
    if let Some(mut server) = Server::start(true) {
        soak("PostgreSQL", &mut Postgres::open(&server.database()).expect("it opens"));
    }
}
