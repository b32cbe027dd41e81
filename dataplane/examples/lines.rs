//! What timeslots cost: E1 spans of a card in software, thirty bearers each, prompts playing and in-band DTMF detection on,
//! served by one worker in virtual time. `lines [SPANS [SECONDS [echo]]]` prints CPU time of this process, with `echo` with a canceller
//! on every bearer; nothing else runs in it.

#![allow(clippy::disallowed_methods, reason = "a program of its own: it reads /proc")]

use dataplane::command::{Command, Cut, Detectors, PromptHandle, SpecHandle};
use dataplane::limits::Limits;
use dataplane::line::Treatment;
use dataplane::net::sim::SimNet;
use dataplane::pool::{Lent, Prompt};
use dataplane::spec::Spec;
use dataplane::worker::{Worker, links};
use hw::card::SpanKind;
use hw::dsp::g711::Law;
use hw::soft::{Loopback, Wiring};
use std::sync::Arc;
use units::{BearerId, Codec, Mono, Now, Samples, Seed};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |n: usize, usual: u16| words.get(n).map_or(usual, |w| w.parse().expect("a number"));
    let (spans, seconds) = (number(0, 33), u64::from(number(1, 20)));
    let cancels = words.get(2).is_some_and(|w| w == "echo");
    let bearers = u32::from(spans) * 30;
    let limits =
        Limits { bearers, specs: bearers, prompts: 4, command_ring_slots: 65_536, ..Limits::default() };
    let (mut control, ends) = links(&limits);
    let d_channels: Vec<(u16, u8)> = (0..spans).map(|s| (s, 16)).collect();
    let card = Loopback::new(&vec![SpanKind::E1; usize::from(spans)], Wiring::Selves, &d_channels);
    let mut net = SimNet::new(limits.places());
    net.silence();
    let mut worker = Worker::new(0, limits, net, vec![ends]).with_board(Box::new(card), &d_channels);
    let mut rng = Seed(5).rng();
    let voice: Vec<i16> =
        (0..8_000 * 30).map(|_| i16::try_from(rng.below(6_000)).expect("small") - 3_000).collect();
    let prompt = Arc::new(Prompt::from_linear(&voice));
    control.lends.push(Lent::Prompt(PromptHandle(0), prompt)).expect("room");
    let slots = (0..spans).flat_map(|span| (1..=31).filter(|s| *s != 16).map(move |slot| (span, slot)));
    for (index, (span, slot)) in (0..).zip(slots) {
        let treatment = Treatment::new(Law::A, cancels, 0.0, 0.0);
        let mut spec = Spec::timeslot(span, slot, Codec::Pcma).with_treatment(treatment);
        spec.detectors = Detectors { dtmf: true, ..Detectors::default() };
        let bearer = BearerId { worker: 0, generation: 0, index };
        control.lends.push(Lent::Spec(SpecHandle(index), Box::new(spec))).expect("room");
        control.commands.push(Command::Open { bearer, spec: SpecHandle(index) }).expect("room");
        for item in 0..4 {
            let (prompt, offset) = (PromptHandle(0), Samples(index * 40 % 200_000));
            let (length, cut) = (Samples(u32::MAX), Cut::Digit);
            control.commands.push(Command::Play { bearer, item, prompt, offset, length, cut }).expect("room");
        }
    }
    let mut ms = 0;
    let mut run = |worker: &mut Worker<SimNet>, seconds: u64| {
        for _ in 0..seconds * 1_000 {
            worker.tick(Now { mono: Mono::from_ms(ms), ..Now::default() });
            ms += 1;
            while control.reports.pop().is_ok() {}
        }
    };
    run(&mut worker, 2);
    let before = cpu_ns();
    run(&mut worker, seconds);
    let ns = cpu_ns() - before;
    let per_second = ns / seconds;
    println!(
        "{{\"spans\":{spans},\"cancellers\":{cancels},\"bearers\":{},\"cpu_us_per_span_second\":{},\"cpu_us_per_bearer_second\":{},\"core_percent\":{}}}",
        worker.counts().open,
        per_second / 1_000 / u64::from(spans),
        per_second / 1_000 / u64::from(bearers),
        per_second / 10_000_000
    );
}

/// CPU time of this process, ns (`/proc/self/schedstat`).
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").expect("Linux");
    text.split_whitespace().next().and_then(|w| w.parse().ok()).expect("a number")
}
