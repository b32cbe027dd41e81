//! G.168's tests in kind: hybrids of several delays and losses, noise shaped like speech, G.711 on both ways.

use super::*;
use crate::dsp::g711::Law;
use crate::dsp::tone::{Chord, Sine};
use units::{Rng, Seed};

/// A hybrid: so many samples of delay, then a dispersion of about 8 ms, losing `erl_db`.
fn hybrid(delay: usize, erl_db: f32, seed: u64) -> Vec<f32> {
    let mut rng = Seed(seed).rng();
    let mut path = vec![0.0; delay];
    let mut decay = 1.0;
    for n in 0..64 {
        let white = f32::from(i16::try_from(rng.below(2_000)).expect("small")) / 1_000.0 - 1.0;
        path.push(if n < 3 { white * 0.3 } else { white * decay });
        decay *= 0.93;
    }
    let power: f32 = path.iter().map(|h| h * h).sum();
    let scale = level::ratio(-erl_db) / power.sqrt();
    path.iter().map(|h| h * scale).collect()
}

/// Noise with speech's slope, in syllables of 200 ms with pauses between, at a level while it sounds.
struct Talker {
    rng: Rng,
    low: f32,
    dbm0: f32,
    n: usize,
    pauses: bool,
}

impl Talker {
    fn new(seed: u64, dbm0: f32) -> Self {
        Self { rng: Seed(seed).rng(), low: 0.0, dbm0, n: 0, pauses: true }
    }

    fn steady(seed: u64, dbm0: f32) -> Self {
        Self { pauses: false, ..Self::new(seed, dbm0) }
    }

    fn fill(&mut self, into: &mut [i16]) {
        for s in into {
            let word = u16::try_from(self.rng.below(65_536)).expect("sixteen bits");
            let white = (f32::from(word) - 32_767.5) / 18_918.0;
            self.low += 0.5 * (white - self.low);
            self.n += 1;
            let silent = self.pauses && self.n / 400 % 5 == 4;
            // The low-pass leaves a third of the power.
            let rms = level::mean_square(self.dbm0).sqrt() * 1.732;
            *s = if silent { 0 } else { sample(self.low * rms) };
        }
    }
}

/// A line: what is sent, what comes back, and a near end.
struct Line {
    path: Vec<f32>,
    sent: Vec<i16>,
    law: Law,
}

impl Line {
    fn new(path: Vec<f32>) -> Self {
        Self { path, sent: Vec::new(), law: Law::A }
    }

    /// Runs so many frames; mean squares of the line and of what the canceller made of it, of the frames after `skip`.
    fn run(
        &mut self,
        c: &mut Canceller,
        far: &mut Talker,
        near: Option<&mut Talker>,
        frames: usize,
        skip: usize,
    ) -> [f32; 3] {
        let (mut sums, mut near) = ([0.0f32; 3], near);
        for frame in 0..frames {
            let mut out = [0; 160];
            far.fill(&mut out);
            let out = out.map(|s| self.law.to_linear(self.law.to_octet(s)));
            let start = self.sent.len();
            self.sent.extend(out);
            let mut speech = [0; 160];
            if let Some(near) = &mut near {
                near.fill(&mut speech);
            }
            let mut line = [0; 160];
            for (i, l) in line.iter_mut().enumerate() {
                let at = start + i;
                let back = self.path.iter().enumerate().filter(|(k, _)| *k <= at);
                let echo: f32 = back.map(|(k, h)| h * f32::from(self.sent[at - k])).sum();
                let both = sample(echo + f32::from(speech[i]));
                *l = self.law.to_linear(self.law.to_octet(both));
            }
            let heard = line;
            c.cancel(&out, &mut line);
            if frame >= skip {
                sums[0] += level::power(&heard);
                sums[1] += level::power(&line);
                let off: Vec<i16> = line.iter().zip(&speech).map(|(l, s)| l.saturating_sub(*s)).collect();
                sums[2] += level::power(&off);
            }
        }
        sums
    }
}

fn db(a: f32, b: f32) -> f32 {
    10.0 * (a / b.max(0.01)).log10()
}

#[test]
fn g168_test_2_it_converges_on_hybrids_of_every_delay_and_loss() {
    let mut least = (f32::MAX, f32::MAX);
    for (delay, erl, seed) in
        [(0, 6.0, 1), (80, 8.0, 2), (240, 10.0, 3), (480, 12.0, 4), (800, 6.0, 5), (950, 15.0, 6)]
    {
        for dbm0 in [-10.0, -18.0] {
            let mut line = Line::new(hybrid(delay, erl, seed));
            let mut c = Canceller::linear();
            let mut far = Talker::steady(seed + 10, dbm0);
            let first = line.run(&mut c, &mut far, None, 50, 40);
            let later = line.run(&mut c, &mut far, None, 100, 60);
            let (one, steady) = (db(first[0], first[1]), db(later[0], later[1]));
            println!(
                "delay {delay} ERL {erl} at {dbm0}: ERLE {one:.1} dB in the first second, {steady:.1} dB later"
            );
            least = (least.0.min(one), least.1.min(steady));
        }
    }
    // G.711 bounds what can be had in the end; the worst first second is that of a long, loud echo.
    assert!(least.0 >= 9.0 && least.1 >= 20.0, "{least:?}");
}

#[test]
fn g168_test_2_with_the_processor_little_is_left_of_the_echo() {
    for (delay, erl, seed) in [(0, 6.0, 1), (240, 10.0, 3), (800, 6.0, 5)] {
        let mut line = Line::new(hybrid(delay, erl, seed));
        let mut c = Canceller::default();
        let mut far = Talker::new(seed, -15.0);
        line.run(&mut c, &mut far, None, 100, 0);
        let [_, left, _] = line.run(&mut c, &mut far, None, 100, 0);
        assert!(level::dbm0(left / 100.0) < -42.0, "{}", level::dbm0(left / 100.0));
    }
}

#[test]
fn g168_test_3_near_speech_passes_and_spoils_nothing() {
    for near_dbm0 in [-12.0, -18.0, -24.0] {
        let mut line = Line::new(hybrid(160, 8.0, 7));
        let mut c = Canceller::linear();
        let (mut far, mut near) = (Talker::new(1, -15.0), Talker::new(2, near_dbm0));
        line.run(&mut c, &mut far, None, 150, 0);
        let [_, _, off] = line.run(&mut c, &mut far, Some(&mut near), 150, 0);
        let speech = level::mean_square(near_dbm0) * 150.0 * 0.8;
        let after = line.run(&mut c, &mut far, None, 25, 5);
        let (distortion, erle) = (db(speech, off), db(after[0], after[1]));
        println!(
            "near at {near_dbm0}: speech {distortion:.1} dB over what is wrong with it, ERLE {erle:.1} dB after it"
        );
        assert!(distortion > 6.0 && erle > 12.0);
    }
}

#[test]
fn a_line_without_echo_is_left_as_it_is() {
    // G.168 test 5: infinite return loss.
    let mut line = Line::new(vec![0.0]);
    let mut c = Canceller::default();
    let (mut far, mut near) = (Talker::new(1, -15.0), Talker::new(2, -20.0));
    // The first seconds are spent on finding that there is nothing to learn.
    let [heard, left, off] = line.run(&mut c, &mut far, Some(&mut near), 250, 125);
    println!("without echo: {:.2} dB of loss, {:.1} dB of distortion", db(heard, left), db(heard, off));
    assert!(db(heard, left).abs() < 1.0 && db(heard, off) > 15.0);
}

#[test]
fn another_path_is_learnt_and_a_tone_spoils_nothing() {
    let mut line = Line::new(hybrid(100, 8.0, 1));
    let mut c = Canceller::linear();
    let mut far = Talker::steady(3, -15.0);
    line.run(&mut c, &mut far, None, 100, 0);
    line.path = hybrid(300, 7.0, 2);
    line.run(&mut c, &mut far, None, 100, 0);
    let after = line.run(&mut c, &mut far, None, 50, 0);
    println!("after another path: ERLE {:.1} dB", db(after[0], after[1]));
    assert!(db(after[0], after[1]) > 18.0);
    // G.168 test 6: a narrow band must not make it diverge.
    let mut chord = Chord::new(&[Sine { hz: 697.0, dbm0: -10.0 }, Sine { hz: 1209.0, dbm0: -10.0 }]);
    for _ in 0..150 {
        let (mut out, mut back) = ([0; 160], [0; 160]);
        chord.fill(&mut out);
        let start = line.sent.len();
        line.sent.extend(out);
        for (i, b) in back.iter_mut().enumerate() {
            let echo: f32 =
                line.path.iter().enumerate().map(|(k, h)| h * f32::from(line.sent[start + i - k])).sum();
            *b = sample(echo);
        }
        c.cancel(&out, &mut back);
    }
    let after = line.run(&mut c, &mut far, None, 25, 0);
    assert!(db(after[0], after[1]) > 12.0, "{}", db(after[0], after[1]));
}

#[test]
fn both_forms_of_the_filter_agree() {
    let mut rng = Seed(9).rng();
    let mut numbers = || f32::from(i16::try_from(rng.below(2_000)).expect("small")) - 1_000.0;
    let mut a: [f32; TAPS] = std::array::from_fn(|_| numbers() / 1e4);
    let samples: Vec<f32> = (0..=TAPS).map(|_| numbers()).collect();
    let mut b = a;
    let one = step(&mut a, 1e-5, &samples[..TAPS], &samples[1..]);
    let two = narrow(&mut b, 1e-5, &samples[..TAPS], &samples[1..]);
    assert!((one - two).abs() < 1.0, "{one} {two}");
    assert!(a.iter().zip(&b).all(|(x, y)| (x - y).abs() < 1e-5));
}
