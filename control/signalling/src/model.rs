//! Test support: explores a machine by trying every input in every state that it can reach, and draws what it saw.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Write as _};
use units::{Mono, Now};

/// What the explorer needs of a machine.
pub(crate) trait Machine: Clone {
    type Input: Copy + 'static;
    type Output: Debug;
    const INPUTS: &'static [(&'static str, Self::Input)];
    const TIMER: Self::Input;
    fn step(&mut self, now: Now, input: Self::Input);
    fn next(&mut self) -> Option<Self::Output>;
    fn due(&self) -> Option<(Mono, String)>;
    fn state(&self) -> &'static str;
}

/// Milliseconds after the origin.
pub(crate) fn at(ms: u64) -> Now {
    Now { mono: Mono::from_ms(ms), ..Now::default() }
}

/// All outputs.
pub(crate) fn drain<M: Machine>(m: &mut M) -> Vec<M::Output> {
    std::iter::from_fn(|| m.next()).collect()
}

/// The transitions as a `.dot` graph: `state -> state [label="input / outputs"]`, sorted, each once.
pub(crate) fn dot<M: Machine>(name: &str, start: M) -> String {
    let mut edges = BTreeSet::new();
    let mut seen = BTreeMap::from([(start.state().to_owned(), 0)]);
    let mut todo = vec![(start, Mono::default())];
    while let Some((machine, now)) = todo.pop() {
        let timer = machine.due().map(|(when, t)| (format!("timer {t}"), M::TIMER, when));
        let inputs = M::INPUTS.iter().map(|&(label, input)| (label.to_owned(), input, now));
        for (label, input, when) in inputs.chain(timer) {
            let mut m = machine.clone();
            m.step(Now { mono: when, ..Now::default() }, input);
            let out = drain(&mut m).iter().map(|o| format!("{o:?}")).collect::<Vec<_>>().join(", ");
            let (from, to) = (machine.state(), m.state());
            if from != to || !out.is_empty() {
                edges.insert(format!("  {from} -> {to} [label=\"{label} / {out}\"];"));
            }
            // A state is entered some dozen times, since its data (how often retransmitted) tells when it ends.
            let visits = seen.entry(to.to_owned()).or_insert(0);
            if *visits < 24 {
                *visits += 1;
                todo.push((m, when));
            }
        }
    }
    let mut text = format!("digraph {name} {{\n");
    for edge in edges {
        let _infallible = writeln!(text, "{edge}");
    }
    text.push_str("}\n");
    text
}

/// A random life: inputs by chance, deadlines obeyed; `last` closes what only its user can close. Every output is counted,
/// and the machine must say `Gone` exactly once and nothing after it.
pub(crate) fn live<M: Machine>(start: impl Fn() -> M, last: M::Input) {
    for seed in 0..2_000 {
        let (mut rng, mut m, mut now) = (units::Seed(seed).rng(), start(), Now::default());
        let mut gone = 0;
        for step in 0..4_000 {
            let due = m.due().map(|d| d.0);
            let pick = M::INPUTS.get(usize::try_from(rng.below(64)).unwrap_or(0)).map(|i| i.1);
            let input = match (pick, due) {
                (Some(input), _) if step < 200 => input,
                (_, Some(at)) => {
                    now.mono = now.mono.max(at);
                    M::TIMER
                }
                (_, None) => last,
            };
            m.step(now, input);
            let out = drain(&mut m);
            assert!(gone == 0 || out.is_empty(), "seed {seed}: {out:?} after Gone");
            gone += out.iter().filter(|o| format!("{o:?}") == "Gone").count();
        }
        assert_eq!((gone, m.state(), m.due()), (1, "Terminated", None), "seed {seed}");
    }
}
