//! The goals of load balancing, in short form: each row fails if the production code gets worse.

use super::*;

fn go(scenario: &Scenario) -> Outcome {
    let seeds = [1, 2, 3].map(Seed);
    let runs = seeds.map(|seed| run(&Scenario { seed, ..scenario.clone() }));
    let mean = |f: fn(&Outcome) -> f64| runs.iter().map(f).sum::<f64>() / 3.0;
    let sum = |f: fn(&Outcome) -> u64| runs.iter().map(f).sum();
    Outcome {
        calls: sum(|o| o.calls),
        lost: sum(|o| o.lost),
        refusals: sum(|o| o.refusals),
        balance: mean(|o| o.balance),
        balance_p99: mean(|o| o.balance_p99),
        worst_second: runs.iter().map(|o| o.worst_second).fold(0.0, f64::max),
        cut: sum(|o| o.cut),
        samples: Vec::new(),
    }
}

fn show(name: &str, out: &Outcome) {
    println!(
        "{name}: max/mean {:.4} p99 {:.4} lost {:.5} refusals {:.6} worst second {:.2}",
        out.balance,
        out.balance_p99,
        out.lost_share(),
        out.refusals_per_call(),
        out.worst_second
    );
}

#[test]
fn lb1_even_within_three_percent_with_events() {
    let out = go(&Scenario { report_s: 0.0, ..Scenario::default() });
    show("LB1", &out);
    assert!(out.balance <= 1.03, "{}", out.balance);
    assert!(out.balance_p99 <= 1.05, "{}", out.balance_p99);
}

#[test]
fn lb2_even_with_stale_reports_and_sixteen_dispatchers() {
    let out = go(&Scenario { report_s: 5.0, dispatchers: 16, ..Scenario::default() });
    show("LB2 5 s", &out);
    assert!(out.balance <= 1.06, "{}", out.balance);
    assert!(out.balance_p99 <= 1.11, "{}", out.balance_p99);
    let out = go(&Scenario { report_s: 30.0, dispatchers: 16, ..Scenario::default() });
    show("LB2 30 s", &out);
    assert!(out.balance <= 1.09, "{}", out.balance);
}

#[test]
fn lb3_never_worse_than_random_however_stale() {
    let random = go(&Scenario { scheme: Scheme::Random, ..Scenario::default() });
    show("LB3 random", &random);
    for report_s in [1.0, 10.0, 60.0, 120.0, 300.0] {
        let out = go(&Scenario { report_s, dispatchers: 16, ..Scenario::default() });
        show(&format!("LB3 {report_s} s"), &out);
        assert!(out.balance <= random.balance, "{report_s}: {} > {}", out.balance, random.balance);
    }
}

#[test]
fn lb4_hot_servers_lose_at_most_twice_what_a_pool_would() {
    let pooled = erlang_b(0.95 * 1_920.0, 1_920);
    for report_s in [1.0, 30.0] {
        let out = go(&Scenario { load: 0.95, report_s, length_s: 6_300.0, ..Scenario::default() });
        show(&format!("LB4 {report_s} s"), &out);
        assert!(out.lost_share() <= 2.0 * pooled, "{report_s}: {} of {pooled}", out.lost_share());
    }
    let out = go(&Scenario { load: 0.85, ..Scenario::default() });
    show("LB4 0.85", &out);
    assert!(out.refusals_per_call() <= 0.001, "{}", out.refusals_per_call());
}

#[test]
fn lb5_a_fresh_server_is_not_flooded() {
    for report_s in [0.0, 5.0] {
        let servers = vec![1_000; 16];
        let out = go(&Scenario { servers, report_s, restart_s: 120.0, ..Scenario::default() });
        show(&format!("LB5 {report_s} s"), &out);
        assert!(out.cut > 0);
        assert!(out.worst_second <= 3.0, "{}", out.worst_second);
    }
}

#[test]
fn mixed_sizes_fill_evenly() {
    let out = go(&Scenario { servers: mixed(16), load: 0.85, ..Scenario::default() });
    show("mixed", &out);
    assert!(out.balance <= 1.11, "{}", out.balance);
}

#[test]
fn erlang_b_has_its_textbook_value() {
    assert!((erlang_b(10.0, 10) - 0.2146).abs() < 1e-4);
}
