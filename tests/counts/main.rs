//! What must not rot, counted in machine instructions: the same on every day and under every load. This program runs
//! itself under valgrind's callgrind, once with few and once with more repetitions of one work; the difference is the
//! cost of the rest. Limits hold for the profile `ci`; `bench/PROMISES.md` names the figures. A limit may only go down,
//! unless the commit that raises it says what was bought.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "it starts valgrind and asks who it is"
)]

mod work;

use std::process::Command;
use support::repo::tool;

const ASKED: &str = "CARILLON_COUNT";

/// The half that runs under valgrind: does `name:times` of the environment, and nothing without it.
#[test]
fn child() {
    let Ok(asked) = std::env::var(ASKED) else { return };
    let (name, times) = asked.split_once(':').expect("name:times");
    let times = times.parse().expect("a number");
    work::ALL.iter().find(|(n, _)| *n == name).expect("a known work").1(times);
}

fn instructions(valgrind: &std::path::Path, name: &str, times: u32) -> u64 {
    let me = std::env::current_exe().expect("this program");
    let out = Command::new(valgrind)
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(me)
        .args(["child", "--exact", "--test-threads=1"])
        .env(ASKED, format!("{name}:{times}"))
        .output()
        .expect("valgrind starts");
    let told = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{told}{}", String::from_utf8_lossy(&out.stdout));
    let line = told.lines().find(|l| l.contains("Collected :")).expect("a count");
    line.rsplit(' ').next().expect("a word").parse().expect("a number")
}

/// Instructions for one `name`, which must stay within `limit`.
fn check(name: &str, few: u32, limit: u64) {
    let Some(valgrind) = tool("valgrind") else { return };
    let (base, more) = (instructions(&valgrind, name, few), instructions(&valgrind, name, 3 * few));
    let each = (more - base) / u64::from(2 * few);
    println!("{name}: {each} instructions (limit {limit})");
    assert!(each <= limit, "{name} takes {each} instructions, more than its limit of {limit}");
    assert!(each > limit / 4, "{name} takes {each} instructions: lower the limit of {limit}");
}

#[test]
fn session_start_without_script() {
    check("session", 20, 95_000);
}

#[test]
fn session_start_with_script() {
    check("session_script", 4, 1_300_000);
}

#[test]
fn form_item_visit() {
    check("visit", 100, 10_500);
}

#[test]
fn grammar_digits_compiled() {
    check("grammar", 10, 360_000);
}

#[test]
fn digit_matched() {
    check("digit", 50, 3_300);
}

#[test]
fn invite_read() {
    check("invite", 50, 47_000);
}

#[test]
fn dtmf_frame_of_noise() {
    check("dtmf", 200, 17_500);
}

#[test]
fn bearer_frame() {
    check("bearer", 10, 2_250_000);
}
