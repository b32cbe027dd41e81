//! Rules of the choice, one by one; the load goals are in `sim`.

use super::*;

fn report(server: u32, capacity: u32, used: u32) -> ServerReport {
    ServerReport {
        server: ServerId(server),
        capacity,
        used,
        rate: Rate::UNBOUNDED,
        draining: false,
        seen: None,
    }
}

fn dispatcher(reports: &[ServerReport], scheme: Scheme) -> Dispatcher {
    let limits = Limits { silent_ms_max: 0, ..Limits::default() };
    let mut d = Dispatcher::new(limits, scheme, Shares::default(), Seed(1));
    assert!(reports.iter().all(|r| d.report(Mono(0), r)));
    d
}

const LATER: Mono = Mono(60_000_000_000);

fn picks(d: &mut Dispatcher, n: usize) -> Vec<u32> {
    (0..n)
        .filter_map(|_| d.pick(LATER, &Wanted::default()).ok())
        .map(|slot| slot.release(units::Cause::NORMAL).server.0)
        .collect()
}

#[test]
fn every_scheme_gives_each_slot_once_and_no_more_than_there_are() {
    for scheme in [Scheme::P2c, Scheme::P3c, Scheme::Weighted, Scheme::Random, Scheme::Rr, Scheme::Least] {
        let mut d = dispatcher(&[report(1, 3, 0), report(2, 2, 1)], scheme);
        let got = picks(&mut d, 10);
        assert_eq!(got.len(), 4, "{scheme:?}");
        assert_eq!(got.iter().filter(|s| **s == 1).count(), 3, "{scheme:?}");
        assert_eq!(d.pick(LATER, &Wanted::default()).err(), Some(NoServer { retry_at: None }));
        d.release(&Released { server: ServerId(2), cause: units::Cause::NORMAL });
        assert_eq!(picks(&mut d, 2), vec![2], "{scheme:?}");
    }
}

#[test]
fn draining_dead_and_refusing_servers_get_nothing() {
    let mut d = dispatcher(&[report(1, 100, 0), report(2, 100, 0), report(3, 100, 0)], Scheme::P2c);
    d.report(Mono(0), &ServerReport { draining: true, ..report(1, 100, 0) });
    d.down(ServerId(2));
    assert!(picks(&mut d, 50).iter().all(|s| *s == 3));
    let without = [ServerId(3)];
    assert!(d.pick(LATER, &Wanted { without: &without, ..Wanted::default() }).is_err());
}

#[test]
fn set_ups_are_bounded_and_the_next_try_is_told() {
    let rate = Rate { per_1000s: 1_000, burst: 1 };
    let mut d = dispatcher(&[ServerReport { rate, ..report(1, 100, 0) }], Scheme::P2c);
    assert_eq!(picks(&mut d, 1), vec![1]);
    let refused = d.pick(LATER, &Wanted::default()).expect_err("no token");
    assert_eq!(refused.retry_at, Some(LATER + Duration::from_secs(1)));
}

#[test]
fn shares_keep_room_for_others() {
    let mut d = dispatcher(&[report(1, 10, 0)], Scheme::P2c);
    let mut by_priority = [800; 10];
    by_priority[0] = 500;
    d.set_shares(Shares { by_priority, inbound: 1_000 });
    assert_eq!((d.room(0), d.room(5)), (5, 8));
    assert_eq!(picks(&mut d, 10).len(), 5, "lowest priority stops at half");
    let mut more =
        |wanted: Wanted<'_>| d.pick(LATER, &wanted).map(|s| s.release(units::Cause::NORMAL)).is_ok();
    assert!((0..3).all(|_| more(Wanted { priority: 9, ..Wanted::default() })));
    assert!(!more(Wanted { priority: 9, ..Wanted::default() }));
    assert!(more(Wanted { inbound: true, ..Wanted::default() }));
    assert!(!more(Wanted { inbound: true, share_max: 300, ..Wanted::default() }));
}

#[test]
fn failing_fast_does_not_attract_calls() {
    let mut d = dispatcher(&[report(1, 1_000, 100), report(2, 1_000, 100)], Scheme::P2c);
    (0..3).for_each(|_| d.refused(LATER, ServerId(1)));
    let got = picks(&mut d, 100);
    assert!(got.iter().filter(|s| **s == 1).count() < 20);
}

#[test]
fn a_silent_server_is_told_once_and_comes_back_slowly() {
    let mut d = Dispatcher::new(Limits::default(), Scheme::P2c, Shares::default(), Seed(1));
    d.report(Mono(0), &report(1, 100, 0));
    let due = d.silence_due().expect("a server is up");
    assert!(d.silent(Mono(due.0 - 1_000_000)).is_empty());
    assert_eq!(d.silent(due), vec![ServerId(1)]);
    assert!(d.silent(due).is_empty());
    assert!(d.pick(due, &Wanted::default()).is_err());
    d.report(due, &report(1, 100, 0));
    d.pick(due, &Wanted::default()).map(|s| s.release(units::Cause::NORMAL)).expect("alone, it gets all");
}

#[test]
fn calls_between_two_reports_leave_no_trace() {
    let mut d = dispatcher(&[report(1, 10, 0)], Scheme::P2c);
    for _ in 0..1_000 {
        let slot = d.pick(LATER, &Wanted::default()).expect("room");
        d.release(&slot.release(units::Cause::NORMAL));
    }
    assert_eq!((d.room(5), d.slots_out(ServerId(1))), (10, 0));
}
