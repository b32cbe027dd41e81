//! Nanoseconds per 20 ms frame and channel of the signal-processing kernels, over many channels so that state comes
//! from beyond the first-level cache. The 10th percentile of rounds is printed, as other load only ever adds.
//!
//! `cargo run --release -p carillon-hw --example dsp_bench [channels]`
#![expect(clippy::disallowed_types, reason = "a benchmark reads the clock")]

use hw::dsp::cadence::Country;
use hw::dsp::dtmf::{Detector, Generator, Keying};
use hw::dsp::g711::Law;
use hw::dsp::plc::Concealer;
use hw::dsp::{g722, progress, vad};
use std::hint::black_box;
use std::time::Instant;
use units::{Digit, Seed};

const FRAME: usize = 160;
const ROUNDS: usize = 60;

/// Runs `work` for every channel in every round; prints the cost of one call.
fn measure(name: &str, channels: usize, mut work: impl FnMut(usize, usize)) {
    let mut costs = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let begin = Instant::now();
        for channel in 0..channels {
            work(channel, round);
        }
        costs.push(begin.elapsed().as_nanos() / channels as u128);
    }
    costs.sort_unstable();
    println!("{name:<44} {:>6} ns (median {})", costs[ROUNDS / 10], costs[ROUNDS / 2]);
}

/// Mu-law audio of a second: silence, noise, or digits.
fn audio(kind: &str) -> Vec<u8> {
    let mut rng = Seed(1).rng();
    let mut samples = vec![0i16; FRAME * 50];
    match kind {
        "noise" => {
            samples.iter_mut().for_each(|s| *s = i16::try_from(rng.below(8000)).expect("small") - 4000)
        }
        "digits" => {
            let mut at = 0;
            while at + 1280 <= samples.len() {
                let digit = Digit::from_event(u8::try_from(rng.below(16)).expect("small")).expect("below 16");
                at += Generator::new(digit, &Keying::default()).fill(&mut samples[at..]);
            }
        }
        _ => {}
    }
    let mut octets = vec![0; samples.len()];
    Law::Mu.encode(&samples, &mut octets);
    octets
}

/// What only some channels run at a time.
fn others(channels: usize, octets: &[u8]) {
    let frame = |round: usize| {
        let mut samples = [0i16; FRAME];
        let at = (round % 50) * FRAME;
        Law::Mu.decode(&octets[at..at + FRAME], &mut samples);
        samples
    };
    let mut voices = vec![vad::Detector::default(); channels];
    measure("decode + voice activity, noise", channels, |c, r| voices[c].feed(&frame(r), &mut |_| ()));
    let tones = progress::Detector::new(Country::Us, &progress::Limits::default());
    let mut tones = vec![tones; channels];
    measure("decode + call progress, noise", channels, |c, r| tones[c].feed(&frame(r), &mut |_| ()));
    let mut concealers = vec![Concealer::new(); channels];
    measure("decode + remember for concealment", channels, |c, r| concealers[c].good(&mut frame(r)));
    measure("conceal the first frame of a loss", channels, |c, _| {
        let mut samples = [0i16; FRAME];
        concealers[c].conceal(&mut samples);
        concealers[c].good(&mut samples);
    });
    let mut decoders = vec![g722::Decoder::new(); channels];
    measure("decode G.722", channels, |c, r| {
        let at = (r % 50) * FRAME;
        let mut wide = [0i16; 2 * FRAME];
        decoders[c].decode(&octets[at..at + FRAME], &mut wide);
        black_box(&wide);
    });
    let mut encoders = vec![g722::Encoder::new(); channels];
    measure("encode G.722", channels, |c, r| {
        let mut coded = [0u8; FRAME];
        let (a, b) = (frame(r), frame(r + 1));
        encoders[c].encode(&[a, b].concat(), &mut coded);
        black_box(&coded);
    });
}

#[allow(dead_code, reason = "the load tool includes this file and calls `run`")]
fn main() {
    run(std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(2000));
}

/// Measures everything over so many channels.
pub(crate) fn run(channels: usize) {
    println!("{channels} channels; a DTMF detector is {} octets", size_of::<Detector>());
    for kind in ["silence", "noise", "digits"] {
        let octets = audio(kind);
        let mut detectors = vec![Detector::default(); channels];
        let mut heard = 0;
        measure(&format!("decode mu-law + DTMF, {kind}"), channels, |channel, round| {
            let mut samples = [0i16; FRAME];
            let at = (round % 50) * FRAME;
            Law::Mu.decode(&octets[at..at + FRAME], &mut samples);
            detectors[channel].feed(black_box(&samples), &mut |_| heard += 1);
        });
        black_box(heard);
    }
    let octets = audio("noise");
    others(channels, &octets);
    measure("decode mu-law", channels, |_, round| {
        let mut samples = [0i16; FRAME];
        let at = (round % 50) * FRAME;
        Law::Mu.decode(&octets[at..at + FRAME], &mut samples);
        black_box(&samples);
    });
    measure("encode mu-law", channels, |_, _| {
        let mut out = [0u8; FRAME];
        Law::Mu.encode(black_box(&[1234i16; FRAME]), &mut out);
        black_box(&out);
    });
}
