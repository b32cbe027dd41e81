//! The checkers: they judge a whole day. Every order ends once, every slot and place returns, every answered call hears
//! its prompt, nobody is called twice at a time or after the end, every record stands once.

use super::Sim;
use bench::demo::{audio, web};
use bench::farend::{CallLog, mulaw};
use control::order::{Disposition, State};
use control::record::Direction;
use control::store::{Answer, Ask};
use std::collections::BTreeMap;

/// What a day came to.
#[derive(Clone, Debug, Default)]
pub struct Day {
    pub orders: usize,
    pub dispositions: BTreeMap<Disposition, usize>,
    pub records: usize,
    pub answered: usize,
    pub submitted: usize,
    /// Second calls, by how they counted.
    pub seconds: BTreeMap<Disposition, usize>,
}

/// Judges a day that has run. Panics with the seed on the first broken promise.
pub fn judge(sim: &mut Sim) -> Day {
    let seed = sim.plan.seed;
    let mut day = Day { orders: sim.accepted.len(), submitted: sim.site.submitted.len(), ..Day::default() };
    assert_eq!(day.orders, sim.plan.orders as usize, "seed {seed}: orders accepted");
    for id in sim.accepted.clone() {
        let Answer::Status(Some(status)) = sim.ask(Ask::Status { tenant: None, order: id }) else {
            panic!("seed {seed}: {id} is lost");
        };
        assert_eq!(status.state, State::Done, "seed {seed}: {id} never ended: {status:?}");
        let disposition = status.disposition.expect("what is done has a disposition");
        *day.dispositions.entry(disposition).or_default() += 1;
    }
    nothing_private(sim);
    records(sim, &mut day);
    nobody_twice(sim, seed);
    let left = sim.left();
    assert_eq!(left, super::Left::default(), "seed {seed}: something was not handed back");
    assert!(sim.facts.is_empty(), "seed {seed}: {:?}", sim.facts);
    for log in sim.logs.iter().filter(|_| sim.plan.application == "app.vxml") {
        heard(log, seed, sim.plan.weather.loss);
    }
    day.answered = sim.logs.iter().filter(|l| l.answered).count();
    day
}

/// No story tells a number or the digits that were pressed.
fn nothing_private(sim: &mut Sim) {
    let seed = sim.plan.seed;
    let mut lines = 0;
    for id in sim.accepted.clone() {
        let Answer::Story(story) = sim.ask(Ask::StoryOf(id)) else {
            panic!("seed {seed}: {id} has no story")
        };
        lines += story.len();
        for line in story {
            let digits = if line.kind == "vxml" { "4711" } else { "+1555" };
            let told = ["+1555", "15551", digits].into_iter().find(|word| line.text.contains(word));
            assert!(told.is_none(), "seed {seed}: {id}: a {} line tells {told:?}: {}", line.kind, line.text);
        }
    }
    assert!(lines >= sim.accepted.len(), "seed {seed}: {lines} lines of story");
}

/// One record an attempt, no attempt twice; every INVITE that rang has one.
fn records(sim: &mut Sim, day: &mut Day) {
    let seed = sim.plan.seed;
    let mut seen = BTreeMap::new();
    let mut parents = Vec::new();
    let mut after = 0;
    loop {
        let Answer::Records(page) = sim.ask(Ask::Records { tenant: None, order: None, after, limit: 1_000 })
        else {
            panic!("seed {seed}: no records");
        };
        let Some((last, _)) = page.last() else { break };
        after = *last;
        for (_, record) in page {
            assert!(record.ended >= record.started, "seed {seed}: {record:?}");
            *seen.entry(record.attempt).or_insert(0) += 1;
            assert_eq!(record.parent.is_some(), record.direction == Direction::Transfer, "seed {seed}");
            if let Some(parent) = record.parent {
                parents.push(parent);
                *day.seconds.entry(record.disposition).or_default() += 1;
            }
        }
    }
    assert!(seen.values().all(|&n| n == 1), "seed {seed}: a record stands twice");
    assert!(parents.iter().all(|p| seen.contains_key(p)), "seed {seed}: a second call without its first");
    let second_calls = sim.logs.iter().filter(|l| is_agent(&l.number)).count();
    assert!(
        (second_calls..=sim.seconds as usize).contains(&parents.len()),
        "seed {seed}: {second_calls} agents were called, {} transfers asked for, {} recorded",
        sim.seconds,
        parents.len()
    );
    day.records = seen.len();
    assert!(day.records >= sim.logs.len(), "seed {seed}: {} calls, {} records", sim.logs.len(), day.records);
}

/// A number that answered once and talked to its end is not called again; no number has two calls at once. (Retries
/// after busy or no answer are wanted: so calls are counted that were answered.)
fn nobody_twice(sim: &Sim, seed: u64) {
    let mut answered: BTreeMap<&str, u32> = BTreeMap::new();
    for log in sim.logs.iter().filter(|l| l.answered && !is_agent(&l.number)) {
        *answered.entry(&log.number).or_default() += 1;
    }
    let twice: Vec<_> = answered.iter().filter(|(_, n)| **n > 1).collect();
    assert!(twice.is_empty(), "seed {seed}: called again after an answer: {twice:?}");
}

/// Agents are called as often as callers are transferred to them.
fn is_agent(number: &str) -> bool {
    number.starts_with("+1555999") || number.starts_with("1555999")
}

/// Who answered and stayed heard the first prompt (or what loss left of it).
fn heard(log: &CallLog, seed: u64, loss: f64) {
    if !log.complete || log.hearing.prompts < 3 || log.person == "impatient" {
        return;
    }
    let reference =
        web::file("welcome.wav").and_then(mulaw::from_wav).expect("the sample application has it");
    // The tape begins with the first packet that came; the prompt may have begun with one or two before it.
    let lead = vec![0xff; if loss > 0.0 { 320 } else { 0 }];
    let found = audio::find(&[&lead[..], &log.audio].concat(), reference);
    let least = if loss > 0.0 { 0.8 } else { 0.98 };
    assert!(found.is_some_and(|m| m.likeness > least), "seed {seed}: {} heard {found:?}", log.person);
}
