//! How well the embedded recogniser understands. The test sets are made here, by Debian's synthetic voices, over a
//! telephone's band and G.711, with noise: labelled synthetic, for people are harder. The short form runs always; the long
//! one, whose figures stand in `bench/PROMISES.md`, with `CARILLON_LONG=1`.
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a test of doors")]

use hw::audio::{Limits, Listen};
use hw::dsp::g711::{linear_to_mu, mu_to_linear};
use speech::frame::{Hear, Reading};
use speech::grammar::Grammar;
use speech::recogniser::{MODEL, Recogniser};
use speech::utterance::{Event, Utterance};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use units::{Rng, Seed};

const DIGITS: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
/// In neither grammar.
const OTHERS: [&str; 20] = [
    "telephone",
    "good morning",
    "elephant",
    "banana",
    "who is this",
    "wait a moment",
    "hello",
    "operator please",
    "what time is it",
    "monday",
    "computer",
    "garden",
    "i do not understand",
    "purple",
    "christmas",
    "kitchen table",
    "call me later",
    "sunshine",
    "railway",
    "december",
];
const STRINGS: [&str; 6] = [
    "four seven one one",
    "zero eight one five",
    "three six nine two",
    "five five two eight",
    "one nine eight four",
    "seven six zero three",
];

#[derive(Clone, Copy)]
enum Voice {
    Flite(&'static str),
    Espeak(&'static str),
}

const VOICES: [Voice; 8] = [
    Voice::Flite("slt"),
    Voice::Espeak("en-us"),
    Voice::Flite("rms"),
    Voice::Flite("awb"),
    Voice::Flite("kal16"),
    Voice::Espeak("en-gb"),
    Voice::Espeak("en-us+f2"),
    Voice::Espeak("en-us+m3"),
];

impl Voice {
    fn name(self) -> String {
        match self {
            Voice::Flite(name) => format!("flite {name}"),
            Voice::Espeak(name) => format!("espeak-ng {name}"),
        }
    }

    /// Speaks at a speed, as a telephone would send it: 8 kHz, a quarter of a second of nothing before and two after.
    fn speak(self, folder: &Path, text: &str, percent: u32) -> Option<Vec<f32>> {
        let file = folder.join("spoken.wav");
        let mut command = match self {
            Voice::Flite(voice) => {
                let mut command = Command::new("flite");
                let stretch = format!("duration_stretch={:.3}", 100.0 / f64::from(percent));
                command.args(["-voice", voice, "--setf", &stretch, "-t", text, "-o"]).arg(&file);
                command
            }
            Voice::Espeak(voice) => {
                let mut command = Command::new("espeak-ng");
                command
                    .args(["-v", voice, "-s", &(160 * percent / 100).to_string(), "-w"])
                    .arg(&file)
                    .arg(text);
                command
            }
        };
        if !command.output().ok()?.status.success() {
            return None;
        }
        let octets = std::fs::read(&file).ok()?;
        let sound = hw::audio::read("spoken.wav", &octets, Listen::Mix, &Limits::default()).ok()?.at_8_khz();
        let mut samples = vec![0.0; 6_000];
        samples.extend(sound.samples.iter().map(|&s| f32::from(s)));
        samples.resize(samples.len() + 16_000, 0.0);
        Some(telephone(&samples))
    }
}

/// 300 Hz to 3,400 Hz, second order each way.
fn telephone(samples: &[f32]) -> Vec<f32> {
    let (mut low, mut high) = ([0.0_f32; 2], [0.0_f32; 2]);
    let mut out = Vec::with_capacity(samples.len());
    for &s in samples {
        let mut x = s;
        for state in &mut high {
            // A pole at 200 Hz: what is below goes.
            *state += (x - *state) * 0.145;
            x -= *state;
        }
        for state in &mut low {
            *state += (x - *state) * 0.93;
            x = *state;
        }
        out.push(x);
    }
    out
}

/// At -20 dBm0 of speech, with noise so many dB below it, and through G.711.
fn line(samples: &[f32], noise_db: Option<f32>, seed: u64) -> Vec<i16> {
    let mut powers: Vec<f32> =
        samples.chunks(80).map(|c| c.iter().map(|s| s * s).sum::<f32>() / 80.0).collect();
    powers.sort_by(|a, b| b.total_cmp(a));
    let loud = powers.len() / 5 + 1;
    let rms = (powers[..loud].iter().sum::<f32>() / f32::from(u16::try_from(loud).unwrap())).sqrt();
    let (gain, level) = (2_250.0 / rms, 2_250.0_f32);
    let noise = noise_db.map_or(0.0, |db| level / 10_f32.powf(db / 20.0));
    let mut rng = Rng::new(Seed(seed));
    // Pink enough: white and three of its running means.
    let mut means = [0.0_f32; 3];
    samples
        .iter()
        .map(|s| {
            let white = hw::dsp::math::narrow((0..12).map(|_| rng.unit()).sum::<f64>() - 6.0);
            for (mean, share) in means.iter_mut().zip([0.3, 0.08, 0.02]) {
                *mean += (white - *mean) * share;
            }
            let pink = (0.35 * white + 1.0 * means[0] + 1.6 * means[1] + 2.6 * means[2]) * 1.25;
            mu_to_linear(linear_to_mu(hw::dsp::math::sample(s * gain + pink * noise)))
        })
        .collect()
}

fn grammar(words: &[&str], again: bool) -> Grammar {
    let share = 1.0 / f64::from(u32::try_from(words.len()).unwrap());
    let mut arrows: Vec<_> = words.iter().map(|w| (0, 1, share, Some((*w).to_owned()))).collect();
    if again {
        arrows.push((1, 0, 0.5, None));
    }
    Grammar { states: 2, accept: 1, arrows }
}

/// Heard by the product's own machine: from the start of speech to its end.
fn understand(recogniser: &mut Recogniser, grammar: &Grammar, line: &[i16]) -> Vec<Reading> {
    recogniser.begin(Hear { grammar: grammar.clone(), nbest: 1 }).unwrap();
    let mut utterance = Utterance::new(speech::utterance::Limits::default());
    for frame in line.chunks(160) {
        utterance.hear(frame);
        while let Some(event) = utterance.poll() {
            match event {
                Event::Audio(samples) => recogniser.hear(samples),
                Event::Guess => utterance.understood(false),
                Event::Ended | Event::TooMuch => return recogniser.guess().unwrap(),
                Event::Started => {}
            }
        }
    }
    Vec::new()
}

#[derive(Default)]
struct Score {
    right: u32,
    all: u32,
    confused: BTreeMap<(String, String), u32>,
}

impl Score {
    fn note(&mut self, said: &str, heard: &str) {
        self.all += 1;
        if said == heard {
            self.right += 1;
        } else {
            *self.confused.entry((said.to_owned(), heard.to_owned())).or_default() += 1;
        }
    }

    fn percent(&self) -> f64 {
        100.0 * f64::from(self.right) / f64::from(self.all.max(1))
    }

    fn print(&self, what: &str) {
        println!("{what}: {} of {} ({:.1} %)", self.right, self.all, self.percent());
        for ((said, heard), n) in &self.confused {
            println!("    {said} heard as {heard}: {n}");
        }
    }
}

/// Words in common in order, by the shortest edit: what "per word" means.
fn words_right(said: &str, heard: &str) -> u32 {
    let (a, b): (Vec<&str>, Vec<&str>) = (said.split(' ').collect(), heard.split_whitespace().collect());
    let mut row = vec![0_u32; b.len() + 1];
    for x in &a {
        let mut diagonal = 0;
        for (n, y) in b.iter().enumerate() {
            let next = if x == y { diagonal + 1 } else { row[n + 1].max(row[n]) };
            diagonal = std::mem::replace(&mut row[n + 1], next);
        }
    }
    row[b.len()]
}

#[test]
fn words_in_common() {
    assert_eq!(words_right("one two three", "one three"), 2);
    assert_eq!(words_right("one", ""), 0);
    assert_eq!(words_right("one two", "two one"), 1);
}

struct Sets {
    yes_no: Score,
    digits: Score,
    strings: (u32, u32),
    doubted: u32,
    rejected: Score,
    by_voice: BTreeMap<String, (Score, Score)>,
    confidences: Vec<(bool, f32)>,
}

#[test]
fn synthetic_voices_are_understood() {
    let long = std::env::var_os("CARILLON_LONG").is_some();
    let folder = tempfile::tempdir().unwrap();
    let mut recogniser = match Recogniser::new(Path::new(MODEL), folder.path()) {
        Ok(recogniser) => recogniser,
        Err(problem) => {
            println!("SKIPPED: {problem}");
            return;
        }
    };
    if Voice::Flite("slt").speak(folder.path(), "yes", 100).is_none()
        || Voice::Espeak("en-us").speak(folder.path(), "yes", 100).is_none()
    {
        println!("SKIPPED: flite or espeak-ng is not installed");
        return;
    }
    let voices = if long { &VOICES[..] } else { &VOICES[..3] };
    let speeds: &[u32] = if long { &[90, 100, 115] } else { &[100] };
    let noises: &[Option<f32>] = if long { &[None, Some(30.0), Some(20.0)] } else { &[Some(30.0)] };
    let mut sets = Sets {
        yes_no: Score::default(),
        digits: Score::default(),
        strings: (0, 0),
        doubted: 0,
        rejected: Score::default(),
        by_voice: BTreeMap::new(),
        confidences: Vec::new(),
    };
    for voice in voices {
        for &speed in speeds {
            for &noise in noises {
                one(&mut recogniser, &mut sets, folder.path(), *voice, speed, noise, long);
            }
        }
    }
    sets.yes_no.print("yes and no");
    sets.digits.print("digits alone");
    println!("    right, but with less confidence than 0.5: {}", sets.doubted);
    let (right, all) = sets.strings;
    println!(
        "digits in strings of four: {right} of {all} words ({:.1} %)",
        100.0 * f64::from(right) / f64::from(all)
    );
    sets.rejected.print("out of grammar");
    for (voice, (yes_no, digits)) in &sets.by_voice {
        println!("{voice}: yes and no {:.1} %, digits {:.1} %", yes_no.percent(), digits.percent());
    }
    calibration(&sets.confidences);
    assert!(sets.yes_no.percent() >= 98.0 || !long && sets.yes_no.right + 1 >= sets.yes_no.all);
    assert!(sets.digits.percent() >= 90.0);
    assert!(sets.rejected.percent() >= 90.0);
}

/// Accepted at the `confidencelevel` that holds when nobody says otherwise.
fn accepted(nbest: &[Reading]) -> String {
    nbest.first().filter(|r| r.confidence >= 0.5).map_or_else(|| "nothing".into(), |r| r.words.join(" "))
}

fn one(
    recogniser: &mut Recogniser,
    sets: &mut Sets,
    folder: &Path,
    voice: Voice,
    speed: u32,
    noise: Option<f32>,
    long: bool,
) {
    let yes_no = grammar(&["yes", "no"], false);
    let (alone, several) = (grammar(&DIGITS, false), grammar(&DIGITS, true));
    let mut say = |text: &str, grammar: &Grammar| {
        let spoken = voice.speak(folder, text, speed).unwrap();
        understand(recogniser, grammar, &line(&spoken, noise, u64::from(speed)))
    };
    for word in ["yes", "no"] {
        let nbest = say(word, &yes_no);
        sets.confidences.extend(nbest.first().map(|r| (r.words.join(" ") == word, r.confidence)));
        let heard = accepted(&nbest);
        sets.yes_no.note(word, &heard);
        sets.by_voice.entry(voice.name()).or_default().0.note(word, &heard);
    }
    for word in DIGITS {
        let nbest = say(word, &alone);
        sets.confidences.extend(nbest.first().map(|r| (r.words.join(" ") == word, r.confidence)));
        // Per word means what was understood; how often it was then doubted is told apart.
        let heard = nbest.first().map_or_else(|| "nothing".into(), |r| r.words.join(" "));
        sets.doubted += u32::from(heard == word && accepted(&nbest) != word);
        sets.digits.note(word, &heard);
        sets.by_voice.entry(voice.name()).or_default().1.note(word, &heard);
    }
    if speed != 100 {
        return;
    }
    for string in STRINGS.iter().take(if long { 6 } else { 2 }) {
        let nbest = say(string, &several);
        sets.confidences.extend(nbest.first().map(|r| (r.words.join(" ") == *string, r.confidence)));
        let heard = nbest.first().map_or_else(String::new, |r| r.words.join(" "));
        sets.strings.0 += words_right(string, &heard);
        sets.strings.1 += 4;
    }
    for other in OTHERS.iter().take(if long { 20 } else { 8 }) {
        for grammar in [&yes_no, &several] {
            let nbest = say(other, grammar);
            sets.confidences.extend(nbest.first().map(|r| (false, r.confidence)));
            sets.rejected.note("nothing", &accepted(&nbest));
        }
    }
}

/// Of what was told with a confidence, how much was right.
fn calibration(all: &[(bool, f32)]) {
    println!("confidence: right of all");
    for tenth in 0..10_u8 {
        let (low, high) = (f32::from(tenth) / 10.0, f32::from(tenth + 1) / 10.0);
        let inside: Vec<_> = all.iter().filter(|(_, c)| *c >= low && (*c < high || tenth == 9)).collect();
        let right = inside.iter().filter(|(right, _)| *right).count();
        println!("    {low:.1}: {right} of {}", inside.len());
    }
    if std::env::var_os("CARILLON_FIT").is_some() {
        for (right, confidence) in all {
            let logit = (f64::from(*confidence) / (1.0 - f64::from(*confidence)).max(1e-9)).ln();
            println!("FIT {} {logit:.3}", u8::from(*right));
        }
    }
}
