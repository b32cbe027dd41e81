//! Days of transfers in virtual time. Goal: whoever is connected hears the other side, both calls of a transfer end once
//! with one record each, and nobody is dialled whom policy does not allow. Method: seeded days, judged by the checkers of
//! all days, and by what the telephones heard.

use control::order::Disposition;
use support::sim::Sim;
use support::sim::check::{Day, judge};
use support::sim::plan::{AGENTS, Plan, TRANSFER, scenario};
use support::sim::wire::Weather;
use support::tone::frames_with;

fn plan(seed: u64, orders: u32) -> Plan {
    Plan {
        application: "transfer.vxml",
        pages: TRANSFER,
        scenario: scenario(AGENTS),
        patience_ms: 3_600_000,
        ..Plan::fair(seed, orders)
    }
}

fn day(plan: Plan) -> (Sim, Day) {
    let mut sim = Sim::new(plan);
    sim.run();
    let day = judge(&mut sim);
    (sim, day)
}

#[test]
fn whoever_is_bridged_hears_the_other_side_and_every_leg_comes_to_its_end() {
    let mut ends = String::new();
    for seed in 61..=64 {
        let (sim, day) = day(plan(seed, 60));
        ends.extend(sim.site.queries.iter().map(String::as_str));
        assert!(sim.seconds >= 50, "seed {seed}: {} transfers", sim.seconds);
        let of = |person: &str| sim.logs.iter().filter(|l| l.person == person).collect::<Vec<_>>();
        let (talks, stays) = (of("talks"), of("stays"));
        assert!(talks.len() > 3 && stays.len() > 3 && of("engaged").len() > 3, "seed {seed}");
        // The agents sound 3 s of 2,100 Hz as soon as they answer: some caller hears each of them.
        let heard: usize = sim.logs.iter().map(|l| frames_with(&l.audio, 2_100.0)).sum();
        let sounded = 150 * (talks.len() + stays.len());
        assert!(heard * 10 > sounded * 9, "seed {seed}: callers heard {heard} frames of {sounded}");
        let agents = talks.iter().chain(&stays);
        let back: usize = agents.map(|l| frames_with(&l.audio, 1_000.0)).sum();
        assert!(back > 200, "seed {seed}: agents heard {back} frames of the callers' tone");
        let refused = sim.site.queries.iter().filter(|q| q.contains("noauthorization")).count();
        assert!(refused > 3, "seed {seed}: who may not be called is not: {refused}");
        let recorded: usize = day.seconds.values().sum();
        assert_eq!(recorded + refused, sim.seconds as usize, "seed {seed}: {:?}", day.seconds);
        assert!(day.seconds.contains_key(&Disposition::Completed), "seed {seed}");
    }
    for end in ["far_end_disconnect", "maxtime_disconnect", "near_end_disconnect", "busy"] {
        assert!(ends.matches(end).count() > 3, "{end} came {} times", ends.matches(end).count());
    }
}

#[test]
fn loss_and_delay_leave_no_leg_behind() {
    for seed in 71..=74 {
        let weather = Weather { loss: 0.05, delay_ms: 10, jitter_ms: 30, twice: 0.02 };
        let (sim, day) = day(Plan { weather, ..plan(seed, 40) });
        assert!(sim.seconds > 20, "seed {seed}");
        assert_eq!(day.dispositions.values().sum::<usize>(), 40, "seed {seed}: {day:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_transfers() {
    let run = || {
        let (sim, day) = day(plan(81, 20));
        (format!("{:?}", day.seconds), sim.site.queries.clone(), sim.now)
    };
    assert_eq!(run(), run());
}
