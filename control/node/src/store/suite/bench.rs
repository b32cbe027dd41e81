//! Rates of the stores and of dispatch, for people:
//! `CARILLON_RATES=1 cargo test --release -p carillon --lib -- --nocapture rates`.

use super::fixture::{START, order, record};
use super::pg::Server;
use crate::store::{Postgres, Sqlite};
use control::dispatch::{self, Dispatcher, Rate, Scheme, ServerReport, Shares, Wanted};
use control::order::Disposition;
use control::store::{Answer, Ask, Cap, Claimed, Room, Store};
use std::time::Instant;
use units::{Mono, Now, OrderId, Seed, ServerId, TenantId, Wall};

const NOW: Now = Now { mono: Mono(0), wall: Wall(START) };

fn per_second(n: u32, since: Instant) -> f64 {
    f64::from(n) / since.elapsed().as_secs_f64()
}

fn numbered(n: u32) -> control::order::Order {
    // Ids are random in life: scattered over the key space.
    control::order::Order { id: OrderId(Seed(u64::from(n)).rng().next_u128()), ..order(n) }
}

fn accepts(store: &mut dyn Store, from: u32, n: u32, batch: u32) -> f64 {
    let start = Instant::now();
    for first in (from..from + n).step_by(batch as usize) {
        let one = |n| Ask::Accept {
            orders: vec![(numbered(n), [0; 32])],
            due: vec![NOW.wall],
            room: Room::UNBOUNDED,
        };
        assert!(store.run(NOW, (first..first + batch).map(one).collect()).iter().all(Result::is_ok));
    }
    per_second(n, start)
}

fn claims(store: &mut dyn Store, batch: u32, most: u32) -> (f64, Vec<Claimed>) {
    let start = Instant::now();
    let mut all = Vec::new();
    while all.len() < most as usize {
        let (tenant, due, owner) = (TenantId(1), NOW.wall, ServerId(1));
        let ask = Ask::Claim { priority: 5, tenant, due, max: batch, lease_ms: 600_000, owner };
        match store.run(NOW, vec![ask]).pop() {
            Some(Ok(Answer::Claimed(c, _))) if !c.is_empty() => all.extend(c),
            _ => break,
        }
    }
    (per_second(u32::try_from(all.len()).unwrap_or(0), start), all)
}

/// The rest of a dispatch: caps, intent, ACK, record and end, each in its own transaction with the others' of a batch.
fn dispatches(store: &mut dyn Store, claimed: &[Claimed], batch: usize) -> f64 {
    let start = Instant::now();
    for group in claimed.chunks(batch) {
        let key = |c: &Claimed| c.order.to.expose().clone();
        let caps = |c: &Claimed| {
            vec![Cap { key: key(c), n: 3, period_ms: 86_400_000, min_gap_ms: 60_000, rule: "op/cap".into() }]
        };
        let steps: [&dyn Fn(&Claimed) -> Ask; 5] = [
            &|c| Ask::TakeCaps { lease: c.lease.clone(), caps: caps(c), decision: "{}".into() },
            &|c| Ask::Intent {
                lease: c.lease.clone(),
                server: ServerId(1),
                trunk: "t".into(),
                dialog: vec![0; 400],
            },
            &|c| Ask::AckIntent { attempt: c.lease.attempt, epoch: c.lease.epoch, dialog: vec![0; 400] },
            &|c| {
                let mut r = record(1, 1);
                (r.attempt, r.order) = (c.lease.attempt, Some(c.order.id));
                Ask::Append(vec![r])
            },
            &|c| Ask::Finish {
                order: c.order.id,
                epoch: c.lease.epoch,
                disposition: Disposition::Completed,
                decision: None,
                result: Some("{}".into()),
            },
        ];
        for step in steps {
            let answers = store.run(NOW, group.iter().map(step).collect());
            assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        }
    }
    per_second(u32::try_from(claimed.len()).unwrap_or(0), start)
}

fn rates(name: &str, store: &mut dyn Store) {
    let single = accepts(store, 0, 200, 1);
    let grouped = accepts(store, 200, 10_000, 100);
    let (claim, all) = claims(store, 50, 10_000);
    let dispatch = dispatches(store, &all, 50);
    let one = dispatches_single(store);
    println!(
        "{name}: accepts/s {single:.0} alone, {grouped:.0} in groups of 100; claims/s {claim:.0} by 50; dispatches/s (caps, \
         intent, ack, record, end) {dispatch:.0} in groups of 50, {one:.0} alone"
    );
}

fn dispatches_single(store: &mut dyn Store) -> f64 {
    accepts(store, 20_000, 100, 100);
    let (_, few) = claims(store, 50, 100);
    dispatches(store, &few, 1)
}

/// A measurement asserts nothing, so it runs only when it is asked for.
fn asked_for() -> bool {
    let asked = std::env::var("CARILLON_RATES").is_ok();
    if !asked {
        println!("SKIPPED: a measurement; set CARILLON_RATES");
    }
    asked
}

#[test]
fn rates_of_the_stores() {
    if !asked_for() {
        return;
    }
    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a folder on a real disk");
    rates("SQLite", &mut Sqlite::open(&folder.path().join("store.db")).expect("it opens"));
    if let Some(mut server) = Server::start(true) {
        rates("PostgreSQL", &mut Postgres::open(&server.database()).expect("it opens"));
    }
}

#[test]
fn rates_of_dispatch() {
    if !asked_for() {
        return;
    }
    for n in [16_u32, 1_024] {
        let limits = dispatch::Limits { silent_ms_max: 0, ..dispatch::Limits::default() };
        let mut d = Dispatcher::new(limits, Scheme::P2c, Shares::default(), Seed(1));
        let capacity = [24, 96, 120, 480];
        for server in 0..n {
            let capacity = capacity[server as usize % 4] * 100;
            let (used, rate) = (capacity / 2, Rate::per_second(100_000));
            let server = ServerId(server);
            d.report(Mono(0), &ServerReport { server, capacity, used, rate, draining: false, seen: None });
        }
        let later = Mono(60_000_000_000);
        let start = Instant::now();
        for i in 0..1_000_000_u64 {
            let slot = d.pick(Mono(later.0 + i * 10_000), &Wanted::default()).expect("room");
            d.release(&slot.release(units::Cause::NORMAL));
        }
        println!("dispatch over {n} servers: {:.0} ns a choice", start.elapsed().as_secs_f64() * 1_000.0);
    }
}
