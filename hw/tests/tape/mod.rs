//! A tape for DTMF receivers: ITU-T Q.24 (AT&T column) as clips with what must be heard in each, made from a seed.

use hw::dsp::dtmf::{HIGH_HZ, LOW_HZ, position};
use hw::dsp::g711::Law;
use hw::dsp::level;
use hw::dsp::plc::Concealer;
use hw::dsp::tone::{Oscillator, Sine};
use units::{Digit, Rng, Seed};

/// Some audio and the digits in it.
pub(crate) struct Clip {
    pub(crate) samples: Vec<i16>,
    pub(crate) digits: String,
    /// Packets of 20 ms that were lost, where the line says so; the samples are concealed.
    pub(crate) lost: Vec<bool>,
}

/// A row of the acceptance table.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) clips: Vec<Clip>,
    /// Score the oracle with its dial-tone filter on.
    pub(crate) dial_filter: bool,
}

/// One burst.
#[derive(Clone, Copy)]
pub(crate) struct Burst {
    pub low_dbm0: f32,
    pub high_dbm0: f32,
    pub(crate) low_percent: f32,
    pub(crate) high_percent: f32,
    pub(crate) tone_ms: f32,
    pub(crate) pause_ms: f32,
    /// A hole: beginning and length, ms.
    pub(crate) hole_ms: Option<(f32, f32)>,
}

pub(crate) const PLAIN: Burst = Burst {
    low_dbm0: -10.0,
    high_dbm0: -10.0,
    low_percent: 0.0,
    high_percent: 0.0,
    tone_ms: 50.0,
    pause_ms: 50.0,
    hole_ms: None,
};

pub(crate) const ALL: &str = "1234567890*#ABCD";

/// What else is on the line.
#[derive(Clone, Copy)]
pub(crate) enum Line {
    Quiet,
    /// White noise, dB below the digit.
    Noise(f32),
    /// Clicks, how many a second, peak relative to the digit's in dB.
    Impulses(f32, f32),
    /// Continuous sines.
    Tones(&'static [Sine]),
    /// One echo: dB and ms.
    Echo(f32, f32),
    /// Share of the 20 ms packets replaced by silence, never two in a row.
    Loss(f64),
    /// Share of the 20 ms packets lost, bursts too, and concealed as the dataplane does.
    Concealed(f64),
}

/// Makes clips; each call uses up chance, so the order of rows is part of the tape.
pub(crate) struct Maker {
    rng: Rng,
    law: Law,
}

fn samples(ms: f32) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds of a test")]
    let n = (ms * 8.0).round() as usize;
    n
}

impl Maker {
    pub(crate) fn new(seed: u64, law: Law) -> Self {
        Self { rng: Seed(seed).rng(), law }
    }

    #[expect(clippy::cast_possible_truncation, reason = "single precision is enough for chance")]
    fn unit(&mut self) -> f32 {
        self.rng.unit() as f32
    }

    /// Digits keyed alike, with a lead of about 100 ms (its length random, so that windows fall anywhere).
    pub(crate) fn clip(&mut self, digits: &str, burst: &Burst, line: Line) -> Clip {
        let lead = 800 + usize::try_from(self.rng.below(160)).expect("small");
        let mut x = vec![0f32; lead];
        for c in digits.chars() {
            self.key(&mut x, c, burst);
        }
        x.resize(x.len() + 800, 0.0);
        let lost = self.spoil(&mut x, burst, line);
        let samples = x.iter().map(|&s| self.law.to_linear(self.law.to_octet(round(s)))).collect();
        Clip { samples, digits: digits.to_owned(), lost }
    }

    fn key(&mut self, x: &mut Vec<f32>, c: char, b: &Burst) {
        let (row, column) = position(Digit::try_from(c).expect("a digit"));
        let from = x.len();
        let tone = samples(b.tone_ms);
        x.resize(from + tone + samples(b.pause_ms), 0.0);
        for (hz, percent, dbm0) in
            [(LOW_HZ[row], b.low_percent, b.low_dbm0), (HIGH_HZ[column], b.high_percent, b.high_dbm0)]
        {
            let phase = self.unit();
            Oscillator::with_phase(Sine { hz: hz * (1.0 + percent / 100.0), dbm0 }, phase)
                .add_to(&mut x[from..from + tone]);
        }
        if let Some((at, long)) = b.hole_ms {
            x[from + samples(at)..from + samples(at + long)].fill(0.0);
        }
    }

    fn spoil(&mut self, x: &mut [f32], b: &Burst, line: Line) -> Vec<bool> {
        match line {
            Line::Quiet => {}
            Line::Noise(db) => {
                let power = level::mean_square(b.low_dbm0) + level::mean_square(b.high_dbm0);
                self.noise(x, power.sqrt() * level::ratio(-db));
            }
            Line::Impulses(rate, db) => {
                let peak = (level::peak(b.low_dbm0) + level::peak(b.high_dbm0)) * level::ratio(db);
                self.impulses(x, rate, peak);
            }
            Line::Tones(sines) => {
                for &sine in sines {
                    let phase = self.unit();
                    Oscillator::with_phase(sine, phase).add_to(x);
                }
            }
            Line::Echo(db, ms) => {
                let (factor, delay) = (level::ratio(db), samples(ms));
                for n in (delay..x.len()).rev() {
                    x[n] += factor * x[n - delay];
                }
            }
            Line::Loss(share) => self.lose(x, share),
            Line::Concealed(share) => return self.conceal(x, share),
        }
        Vec::new()
    }

    /// Gaussian noise (sum of twelve uniform numbers), of this root mean square.
    fn noise(&mut self, x: &mut [f32], rms: f32) {
        for s in x {
            let g: f32 = (0..12).map(|_| self.unit()).sum::<f32>() - 6.0;
            *s += g * rms;
        }
    }

    /// Clicks of half a millisecond that ring at a random frequency.
    fn impulses(&mut self, x: &mut [f32], rate: f32, peak: f32) {
        let mut n = 0;
        loop {
            n += samples(1000.0 / rate * (0.5 + self.unit()));
            if n + 8 > x.len() {
                return;
            }
            let sign = if self.unit() < 0.5 { -1.0 } else { 1.0 };
            let hz = 1000.0 + 2000.0 * self.unit();
            let mut size = peak * sign;
            let mut ring = Oscillator::with_phase(Sine { hz, dbm0: level::dbm0(0.5) }, 0.25);
            for s in &mut x[n..n + 8] {
                *s += size * ring.next_value();
                size *= 0.6;
            }
        }
    }

    fn conceal(&mut self, x: &mut [f32], share: f64) -> Vec<bool> {
        let mut lost = Vec::new();
        let mut concealer = Concealer::new();
        for packet in x.chunks_mut(160) {
            let mut samples: Vec<i16> = packet.iter().map(|&s| round(s)).collect();
            lost.push(self.rng.chance(share));
            if lost.last() == Some(&true) {
                concealer.conceal(&mut samples);
            } else {
                concealer.good(&mut samples);
            }
            packet.iter_mut().zip(&samples).for_each(|(x, &s)| *x = f32::from(s));
        }
        lost
    }

    fn lose(&mut self, x: &mut [f32], share: f64) {
        let mut before = false;
        for packet in x.chunks_mut(160) {
            before = !before && self.rng.chance(share);
            if before {
                packet.fill(0.0);
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "saturating is meant")]
fn round(x: f32) -> i16 {
    x.round() as i16
}

/// Collects rows.
pub(crate) struct Tape {
    pub(crate) maker: Maker,
    pub(crate) rows: Vec<Row>,
}

impl Tape {
    /// All sixteen digits, each alone in a clip, `times` over, for each burst on each line.
    pub(crate) fn singles(
        &mut self,
        name: &'static str,
        take: bool,
        times: usize,
        bursts: &[Burst],
        lines: &[Line],
    ) {
        let mut clips = Vec::new();
        for burst in bursts {
            for &line in lines {
                for c in ALL.chars().cycle().take(16 * times) {
                    let mut clip = self.maker.clip(&c.to_string(), burst, line);
                    if !take {
                        clip.digits.clear();
                    }
                    clips.push(clip);
                }
            }
        }
        self.rows.push(Row { name, clips, dial_filter: false });
    }

    /// Trains of digits drawn at random, none like the one before unless `twice`.
    pub(crate) fn trains(
        &mut self,
        name: &'static str,
        count: usize,
        long: usize,
        twice: bool,
        bursts: &[Burst],
        lines: &[Line],
    ) {
        let mut clips = Vec::new();
        for burst in bursts {
            for &line in lines {
                for _ in 0..count {
                    let mut digits = String::new();
                    while digits.len() < long {
                        let at = usize::try_from(self.maker.rng.below(16)).expect("small");
                        digits.push_str(&ALL[at..=at]);
                        if twice {
                            digits.push_str(&ALL[at..=at]);
                        }
                    }
                    clips.push(self.maker.clip(&digits, burst, line));
                }
            }
        }
        self.rows.push(Row { name, clips, dial_filter: false });
    }
}

fn levels(low: f32, high: f32) -> Burst {
    Burst { low_dbm0: low, high_dbm0: high, ..PLAIN }
}

fn off(low: f32, high: f32, ms: f32) -> Burst {
    Burst { low_percent: low, high_percent: high, tone_ms: ms, ..PLAIN }
}

fn lasting(tone: f32, pause: f32) -> Burst {
    Burst { tone_ms: tone, pause_ms: pause, ..PLAIN }
}

fn corners(percent: f32, ms: f32) -> [Burst; 4] {
    [(1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)].map(|(l, h)| off(l * percent, h * percent, ms))
}

fn edges(percent: f32, ms: f32) -> [Burst; 4] {
    [(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)].map(|(l, h)| off(l * percent, h * percent, ms))
}

const fn sine(hz: f32, dbm0: f32) -> Sine {
    Sine { hz, dbm0 }
}

/// The whole tape; `times` repeats each burst, at least once.
pub(crate) fn q24(times: usize) -> Vec<Row> {
    let mut t = Tape { maker: Maker::new(24, Law::Mu), rows: Vec::new() };
    frequencies(&mut t, times);
    levels_and_twist(&mut t, times);
    times_and_holes(&mut t, times);
    disturbances(&mut t, times);
    let mut filtered = Tape { maker: Maker::new(24, Law::Mu), rows: Vec::new() };
    dial(&mut filtered, times);
    for row in &mut filtered.rows {
        row.dial_filter = true;
    }
    dial(&mut t, times);
    t.rows.extend(filtered.rows);
    t.rows
}

fn frequencies(t: &mut Tape, times: usize) {
    t.singles("nominal, 50 ms", true, 2 * times, &[PLAIN], &[Line::Quiet]);
    t.singles("one tone at 1.5 %, 40 ms", true, times, &edges(1.5, 40.0), &[Line::Quiet]);
    t.singles("both tones at 1.5 %, 40 ms", true, times, &corners(1.5, 40.0), &[Line::Quiet]);
    t.singles("both tones at 1.5 %, 50 ms", true, times, &corners(1.5, 50.0), &[Line::Quiet]);
    t.singles("one tone at 3.5 %, 50 ms", false, times, &edges(3.5, 50.0), &[Line::Quiet]);
    t.singles("one tone at 3.5 %, 200 ms", false, times, &edges(3.5, 200.0), &[Line::Quiet]);
    t.singles("both tones at 3.5 %, 50 ms", false, times, &corners(3.5, 50.0), &[Line::Quiet]);
    let beyond: Vec<Burst> = [4.0, 4.5, 5.0].iter().flat_map(|&p| edges(p, 100.0)).collect();
    t.singles("one tone at 4 to 5 %, 100 ms", false, times, &beyond, &[Line::Quiet]);
}

fn levels_and_twist(t: &mut Tape, times: usize) {
    let flat: Vec<Burst> = [0.0, -5.0, -10.0, -15.0, -20.0, -25.0].iter().map(|&l| levels(l, l)).collect();
    t.singles("level 0 to -25 dBm0", true, times, &flat, &[Line::Quiet]);
    let dead: Vec<Burst> = [-55.0, -58.0].iter().map(|&l| levels(l, l)).collect();
    t.singles("level -55 dBm0 and below", false, times, &dead, &[Line::Quiet]);
    let twisted = [levels(-10.0, -6.0), levels(-6.0, -14.0), levels(-17.0, -13.0), levels(-13.0, -21.0)];
    t.singles("twist +4 and -8 dB", true, times, &twisted, &[Line::Quiet]);
    let weak = [levels(-25.0, -21.0), levels(-17.0, -25.0), levels(-29.0, -25.0), levels(-25.0, -33.0)];
    t.singles("twist +4 and -8 dB, weak", true, times, &weak, &[Line::Quiet]);
    let worst: Vec<Burst> = corners(1.5, 40.0)
        .iter()
        .flat_map(|&b| {
            [
                Burst { low_dbm0: -29.0, high_dbm0: -25.0, ..b },
                Burst { low_dbm0: -25.0, high_dbm0: -33.0, ..b },
            ]
        })
        .collect();
    t.singles("twist, weak, 1.5 %, 40 ms", true, times, &worst, &[Line::Quiet]);
}

fn times_and_holes(t: &mut Tape, times: usize) {
    t.singles("40 ms", true, 2 * times, &[lasting(40.0, 50.0)], &[Line::Quiet]);
    let short: Vec<Burst> = [23.0, 20.0, 15.0, 10.0].iter().map(|&ms| lasting(ms, 50.0)).collect();
    t.singles("23 ms and below", false, times, &short, &[Line::Quiet]);
    let weak: Vec<Burst> = [-3.0, -25.0].iter().map(|&l| Burst { tone_ms: 23.0, ..levels(l, l) }).collect();
    t.singles("23 ms, strong and weak", false, times, &weak, &[Line::Quiet]);
    let hole = |tone_ms, at| Burst { tone_ms, hole_ms: Some((at, 10.0)), ..PLAIN };
    let holes = [hole(110.0, 50.0), hole(100.0, 40.0), hole(90.0, 25.0), hole(70.0, 30.0), hole(60.0, 10.0)];
    t.singles("10 ms hole bridged", true, times, &holes, &[Line::Quiet]);
    t.singles("10 ms hole in 50 ms", true, times, &[hole(50.0, 20.0), hole(50.0, 30.0)], &[Line::Quiet]);
    t.trains(
        "pause of 40 ms splits",
        4 * times,
        8,
        true,
        &[lasting(40.0, 40.0), lasting(60.0, 40.0)],
        &[Line::Quiet],
    );
    let quick = [lasting(50.0, 43.0), lasting(40.0, 53.0), lasting(53.0, 40.0)];
    t.trains("93 ms a digit", 4 * times, 16, false, &quick, &[Line::Quiet]);
}

fn disturbances(t: &mut Tape, times: usize) {
    let both = [lasting(40.0, 50.0), PLAIN, Burst { tone_ms: 50.0, ..levels(-25.0, -25.0) }];
    t.singles("S/N 15 dB", true, 2 * times, &both, &[Line::Noise(15.0)]);
    t.singles("S/N 12 dB (beyond Q.24)", true, times, &both, &[Line::Noise(12.0)]);
    let mut corner_noise = corners(1.5, 50.0).to_vec();
    corner_noise.push(Burst { low_dbm0: -6.0, high_dbm0: -14.0, ..PLAIN });
    t.singles("S/N 15 dB, 1.5 % and twist", true, times, &corner_noise, &[Line::Noise(15.0)]);
    t.trains(
        "impulses 10/s",
        4 * times,
        8,
        false,
        &[PLAIN, lasting(80.0, 80.0)],
        &[Line::Impulses(10.0, 0.0), Line::Impulses(10.0, -6.0)],
    );
    let echoes = [5.0, 10.0, 15.0, 20.0].map(|ms| Line::Echo(-10.0, ms));
    t.trains("echo -10 dB, 5 to 20 ms", 3 * times, 8, false, &[PLAIN, lasting(50.0, 43.0)], &echoes);
    let lost = [0.01, 0.03, 0.05].map(Line::Loss);
    t.trains(
        "packet loss 1 to 5 %, 80 ms",
        6 * times,
        8,
        true,
        &[lasting(80.0, 80.0), lasting(100.0, 60.0)],
        &lost,
    );
    t.trains("packet loss 1 to 5 %, 60 ms", 6 * times, 8, true, &[lasting(60.0, 60.0)], &lost);
    let concealed = [0.01, 0.03, 0.05].map(Line::Concealed);
    let name = "loss 1 to 5 %, bursts too, known (beyond Q.24)";
    t.trains(name, 12 * times, 8, true, &[lasting(80.0, 80.0), lasting(100.0, 60.0)], &concealed);
}

fn dial(t: &mut Tape, times: usize) {
    static US: [Sine; 2] = [sine(350.0, -21.0), sine(440.0, -21.0)];
    static US_LOUD: [Sine; 2] = [sine(350.0, -13.0), sine(440.0, -13.0)];
    static EU: [Sine; 1] = [sine(425.0, -15.0)];
    static UK: [Sine; 2] = [sine(350.0, -18.0), sine(450.0, -18.0)];
    let bursts = [levels(-10.0, -10.0), levels(-17.0, -15.0), levels(-21.0, -21.0), levels(-25.0, -25.0)];
    let lines = [Line::Tones(&US), Line::Tones(&UK), Line::Tones(&EU)];
    t.singles("dial tone -21 to -15 dBm0", true, times, &bursts, &lines);
    t.singles("dial tone 2 x -13 dBm0", true, times, &bursts[..3], &[Line::Tones(&US_LOUD)]);
}
