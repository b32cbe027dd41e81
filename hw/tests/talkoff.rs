//! Talk-off: speech in which no digit may be heard.
//!
//! Method: sentences of random words, spoken by the voices of flite and espeak-ng at several speeds and pitches, are
//! coded in mu-law at two levels and played to the detector. A few minutes here; hours with `CARILLON_LONG=1`. The
//! voices are synthetic, which is said wherever the result is quoted.
#![expect(
    clippy::disallowed_methods,
    reason = "a test runs programs, uses files and is told by the environment how long to run"
)]

use hw::audio::{Limits, Listen, read};
use hw::dsp::dtmf::{Detector, Edge};
use hw::dsp::g711::Law;
use hw::dsp::level;
use std::path::Path;
use std::process::Command;
use units::{Rng, Seed};

const WORDS: &str = "about after again air all along also always animal another answer any around away back because \
    before began below between both boy came change children city close come could country cut day different does \
    done door down each early earth east eat eight else end enough even every example eye face family far father feet \
    few find fire first five food form found four friend from game gave girl give good great group grow hand hard head \
    hear help here high home horse house idea inch island just keep kind knew land large last later learn leave left \
    letter life light line list little live long look made make many mean might mile money moon morning most mother \
    mountain move much music must name near need never new next night nine noon north nothing number often old once one \
    only open order other over own page paper part people picture place plant play point port power press problem public \
    question quick rain ran reach read ready real red remember rest right river road rock room rule run same saw say \
    school science sea second seem self sentence set seven she ship short should show side simple since sing six size \
    sleep slow small snow some song soon sound south special spell stand star start state stay step still stop story \
    street study such sun sure table take talk teach tell ten test thank their then thing think thought thousand three \
    through time together told too took top town travel tree true try turn two under until use usual very voice vowel \
    wait walk want war warm watch water week weight west wheel where which while white whole why will wind with woman \
    wonder wood word work world would write year yellow yes young zero you me he we who do who moo see tea key knee";

/// A way of speaking: program and arguments; the file and the text follow.
fn speakers() -> Vec<Vec<String>> {
    let own = |words: &[&str]| words.iter().map(|&w| w.to_owned()).collect::<Vec<_>>();
    let mut all = Vec::new();
    for voice in ["slt", "rms", "awb", "kal", "kal16"] {
        for stretch in ["0.8", "1.0", "1.3"] {
            all.push(own(&["flite", "-voice", voice, "--setf", &format!("duration_stretch={stretch}")]));
        }
    }
    for voice in
        ["en", "en-us", "en-gb-scotland", "de", "fr", "es", "it", "pl", "sv", "pt", "nl", "ru", "tr", "fi"]
    {
        for variant in ["+f2", "+f4", "+m1", "+m3", "+m7", "+f5"] {
            for pitch in ["30", "60", "90"] {
                all.push(own(&["espeak-ng", "-v", &format!("{voice}{variant}"), "-p", pitch, "-s", "150"]));
            }
        }
    }
    all
}

fn text(rng: &mut Rng, words: usize) -> String {
    let all: Vec<&str> = WORDS.split_whitespace().collect();
    let mut text = String::new();
    for n in 0..words {
        text.push_str(all[usize::try_from(rng.below(all.len() as u64)).expect("small")]);
        text.push_str(if n % 9 == 8 { ". " } else { " " });
    }
    text
}

/// Speaks; `None` if the program is missing or this voice is not installed.
fn speak(how: &[String], text: &str, file: &Path) -> Option<Vec<i16>> {
    let mut command = Command::new(&how[0]);
    command.args(&how[1..]);
    if how[0] == "flite" {
        command.arg("-o").arg(file).arg("-t").arg(text);
    } else {
        command.arg("-w").arg(file).arg(text);
    }
    let out = command.output().ok()?;
    let octets = out.status.success().then(|| std::fs::read(file).ok())??;
    let sound = read("a.wav", &octets, Listen::Mix, &Limits::default()).ok()?.at_8_khz();
    (sound.samples.len() > 8000).then_some(sound.samples)
}

/// The same speech at a level, through mu-law.
fn at_level(samples: &[i16], dbm0: f32) -> Vec<i16> {
    let factor = level::ratio(dbm0 - level::of(samples));
    #[expect(clippy::cast_possible_truncation, reason = "saturating is meant")]
    let loud = |s: i16| (f32::from(s) * factor) as i16;
    samples.iter().map(|&s| Law::Mu.to_linear(Law::Mu.to_octet(loud(s)))).collect()
}

#[test]
fn no_digit_is_heard_in_speech() {
    let long = std::env::var("CARILLON_LONG").is_ok_and(|v| v == "1");
    let all = speakers();
    let (rounds, words, step) = if long { (6, 240, 1) } else { (1, 40, 16) };
    let dir = tempfile::tempdir().expect("a place for files");
    let mut rng = Seed(4).rng();
    let (mut seconds, mut voices) = (0.0, 0);
    let mut wrong = Vec::new();
    for round in 0..rounds {
        for (n, how) in all.iter().enumerate().filter(|(n, _)| (n + round) % step == 0) {
            let text = text(&mut rng, words);
            let Some(speech) = speak(how, &text, &dir.path().join("speech.wav")) else { continue };
            voices += 1;
            for dbm0 in [-12.0, -24.0] {
                let played = at_level(&speech, dbm0);
                seconds += f64::from(u32::try_from(played.len()).expect("minutes")) / 8000.0;
                let mut detector = Detector::default();
                for packet in played.chunks(160) {
                    detector.feed(packet, &mut |e| {
                        if e.edge == Edge::Start {
                            wrong.push((n, round, dbm0, e));
                        }
                    });
                }
            }
        }
    }
    if voices == 0 {
        println!("SKIPPED: neither flite nor espeak-ng speaks here");
        return;
    }
    println!(
        "talk-off: {} false digits in {:.2} h of synthetic speech, {voices} voices",
        wrong.len(),
        seconds / 3600.0
    );
    for (n, round, dbm0, e) in &wrong {
        println!("  {:?} round {round} at {dbm0} dBm0: {} {e:?}", all[*n], e.digit.as_char());
    }
    assert!(wrong.is_empty(), "digits were heard in speech");
}
