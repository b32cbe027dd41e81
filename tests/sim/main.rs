//! The whole path in virtual time. Goal: every order ends once and nothing leaks, whatever the network, the web server and the
//! people do. Method: seeded days (`support::sim`), judged by checkers; a failing seed and a commit are the bug report.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the wall clock measures the simulation itself"
)]

mod lines;
mod transfer;

use control::order::Disposition;
use support::sim::Sim;
use support::sim::check::{Day, judge};
use support::sim::plan::{MIXED, Plan, scenario};
use support::sim::site::Manners;
use support::sim::wire::Weather;

fn day(plan: Plan) -> Day {
    let mut sim = Sim::new(plan);
    sim.run();
    judge(&mut sim)
}

#[test]
fn on_a_fair_day_every_order_is_completed_and_every_answer_submitted() {
    for seed in 1..=3 {
        let day = day(Plan::fair(seed, 60));
        assert_eq!(day.dispositions.get(&Disposition::Completed), Some(&60), "seed {seed}: {day:?}");
        assert_eq!((day.answered, day.submitted), (60, 60), "seed {seed}");
    }
}

#[test]
fn a_thousand_calls_pass_in_seconds() {
    let begun = std::time::Instant::now();
    let calls = std::env::var("CARILLON_SIM_CALLS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_u32);
    let day = day(Plan { over_ms: 120 * u64::from(calls), ..Plan::fair(11, calls) });
    let per_s = f64::from(calls) / begun.elapsed().as_secs_f64();
    println!("simulated calls per second of wall time: {per_s:.0}");
    let completed = day.dispositions.get(&Disposition::Completed).copied().unwrap_or(0);
    assert_eq!(completed, calls as usize, "{day:?}");
}

#[test]
fn loss_and_delay_lose_no_order() {
    for seed in 21..=24 {
        let weather = Weather { loss: 0.05, delay_ms: 10, jitter_ms: 30, twice: 0.02 };
        let day = day(Plan { weather, ..Plan::fair(seed, 60) });
        let completed = day.dispositions.get(&Disposition::Completed).copied().unwrap_or(0);
        assert!(completed >= 57, "seed {seed}: {day:?}");
    }
}

#[test]
fn all_kinds_of_people_end_in_the_right_status() {
    for seed in 31..=34 {
        let plan = Plan { scenario: scenario(MIXED), patience_ms: 6 * 3_600_000, ..Plan::fair(seed, 100) };
        let day = day(plan);
        assert_eq!(day.dispositions.values().sum::<usize>(), 100, "seed {seed}: {day:?}");
        for kind in [Disposition::Completed, Disposition::NoAnswer, Disposition::Unallocated] {
            assert!(day.dispositions.contains_key(&kind), "seed {seed}: no {kind:?} in {day:?}");
        }
    }
}

#[test]
fn a_web_server_that_fails_ends_in_application_errors_and_never_in_a_hang() {
    for seed in 41..=43 {
        let manners = Manners { slow_ms: 3_000, missing: 0.2, silent: 0.1 };
        let plan =
            Plan { manners, scenario: scenario(MIXED), patience_ms: 6 * 3_600_000, ..Plan::fair(seed, 80) };
        let day = day(plan);
        assert_eq!(day.dispositions.values().sum::<usize>(), 80, "seed {seed}: {day:?}");
        assert!(day.dispositions.contains_key(&Disposition::ApplicationError), "seed {seed}: {day:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_day() {
    let run = || {
        let mut sim =
            Sim::new(Plan { scenario: scenario(MIXED), patience_ms: 6 * 3_600_000, ..Plan::fair(51, 40) });
        sim.run();
        let day = judge(&mut sim);
        (format!("{:?}", day.dispositions), sim.now, sim.logs.iter().map(|l| l.hearing.packets).sum::<u64>())
    };
    assert_eq!(run(), run());
}
