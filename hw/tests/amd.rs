//! Answering-machine detection on greetings spoken by the voices of flite and espeak-ng (synthetic, and called so).
//!
//! Goal: accuracy, printed; at least 95 % of persons and of machines, and the end of every greeting with a beep found
//! within 100 ms. Four voices here, all ten with `CARILLON_LONG=1`.

use hw::audio::{Limits, Listen, read};
use hw::dsp::amd::{self, Answer, Event};
use hw::dsp::level;
use hw::dsp::noise::Comfort;
use hw::dsp::tone::{Chord, Sine};
use std::path::Path;
use std::process::Command;
use units::Seed;

const PERSONS: [&str; 8] = [
    "Hello?",
    "Yes?",
    "Hello, Miller.",
    "Good morning.",
    "Hi, this is Anna.",
    "Smith speaking.",
    "Hello? Hello?",
    "Who is it?",
];
const MACHINES: [&str; 6] = [
    "Hello, you have reached the Millers. We are not at home right now. Please leave a message after the tone.",
    "The person you are calling is not available. Please leave your message after the beep.",
    "Hi, this is John. I can not take your call, but leave your name and number and I will call you back.",
    "Welcome to the voice mail of four one five, five five five, one two one two. Please record your message.",
    "Good afternoon. Our office is closed. We are open from nine to five. Please call again tomorrow.",
    "You have reached the mailbox of Anna Smith. At the tone, please record your message. Thank you.",
];

fn voices() -> Vec<Vec<&'static str>> {
    let mut all: Vec<Vec<&str>> =
        ["slt", "rms", "awb", "kal"].iter().map(|&v| vec!["flite", "-voice", v]).collect();
    all.extend(
        ["en", "en-us", "en-us+f2", "en+f4", "en+m3", "en-gb-scotland"]
            .iter()
            .map(|&v| vec!["espeak-ng", "-v", v, "-s", "155"]),
    );
    all
}

fn speak(how: &[&str], text: &str, file: &Path) -> Option<Vec<i16>> {
    let mut command = Command::new(how[0]);
    command.args(&how[1..]);
    if how[0] == "flite" {
        command.arg("-o").arg(file).arg("-t").arg(text);
    } else {
        command.arg("-w").arg(file).arg(text);
    }
    let out = command.output().ok()?;
    #[expect(clippy::disallowed_methods, reason = "a test uses files")]
    let octets = out.status.success().then(|| std::fs::read(file).ok())??;
    let mut s = read("a.wav", &octets, Listen::Mix, &Limits::default()).ok()?.at_8_khz().samples;
    // The voices begin and end with silence of their own.
    let loud = |x: &i16| x.unsigned_abs() > 200;
    let (first, last) = (s.iter().position(loud)?, s.iter().rposition(loud)?);
    s.truncate(last + 1);
    Some(s.split_off(first))
}

/// Half a second of line, the greeting at -18 dBm0, perhaps a beep half a second later, then ten seconds of line.
fn call(greeting: &[i16], beep: bool) -> (Vec<i16>, u64) {
    let factor = level::ratio(-18.0 - level::of(greeting));
    #[expect(clippy::cast_possible_truncation, reason = "saturating is meant")]
    let spoken: Vec<i16> = greeting.iter().map(|&s| (f32::from(s) * factor) as i16).collect();
    let mut s = vec![0; 4000];
    s.extend(spoken);
    if beep {
        let from = s.len() + 4000;
        s.resize(from + 3200, 0);
        Chord::new(&[Sine { hz: 1000.0, dbm0: -14.0 }]).fill(&mut s[from..]);
    }
    let end = u64::try_from(s.len()).expect("seconds");
    s.resize(s.len() + 80_000, 0);
    let mut noise = vec![0; s.len()];
    Comfort::new(Seed(8), -55.0).fill(&mut noise);
    hw::dsp::mix::add(&mut s, &noise);
    (s, end)
}

fn heard(samples: &[i16]) -> (Option<Answer>, Option<u64>) {
    let (mut who, mut end) = (None, None);
    amd::Detector::default().feed(samples, &mut |e| match e {
        Event::Answered { answer, .. } => who = Some(answer),
        Event::GreetingEnd { at, .. } => end = Some(at),
    });
    (who, end)
}

#[test]
fn persons_and_machines_are_told_apart() {
    let dir = tempfile::tempdir().expect("a place for files");
    let file = dir.path().join("greeting.wav");
    let (mut persons, mut machines, mut ends) = ((0, 0), (0, 0), (0, 0));
    #[expect(clippy::disallowed_methods, reason = "a test is told by the environment how long to run")]
    let step = if std::env::var("CARILLON_LONG").is_ok_and(|v| v == "1") { 1 } else { 3 };
    for how in voices().into_iter().step_by(step) {
        for text in PERSONS {
            let Some(speech) = speak(&how, text, &file) else { continue };
            let right = heard(&call(&speech, false).0).0 == Some(Answer::Human);
            persons = (persons.0 + i32::from(right), persons.1 + 1);
            if !right {
                println!("  not a person: {how:?} {text}");
            }
        }
        for (n, text) in MACHINES.iter().enumerate() {
            let Some(speech) = speak(&how, text, &file) else { continue };
            let (samples, end) = call(&speech, n % 2 == 0);
            let (who, ended) = heard(&samples);
            let right = who == Some(Answer::Machine);
            machines = (machines.0 + i32::from(right), machines.1 + 1);
            if !right {
                println!("  not a machine: {how:?} {text}");
            }
            // With a beep: at its end. Without: some seconds of silence after it.
            let late = ended.map_or(u64::MAX, |at| at.abs_diff(end));
            let bound = if n % 2 == 0 { 800 } else { 8 * 2500 };
            ends = (ends.0 + i32::from(late <= bound), ends.1 + 1);
            if late > bound {
                println!("  end of greeting: {ended:?} for {end} {how:?} {text}");
            }
        }
    }
    if persons.1 == 0 {
        println!("SKIPPED: neither flite nor espeak-ng speaks here");
        return;
    }
    println!(
        "AMD on synthetic speech: persons {persons:?}, machines {machines:?}, ends of greeting {ends:?}"
    );
    assert!(persons.0 * 100 >= persons.1 * 95 && machines.0 * 100 >= machines.1 * 95);
    assert!(ends.0 * 100 >= ends.1 * 95);
}
