//! Understanding an utterance: pocketsphinx searches it twice, once by the grammar and once by a loop of all sounds of the
//! language. How much better the loop explains it says how likely something else was said.

use crate::band;
use crate::frame::{Hear, Reading};
use crate::grammar::{ARROWS_MAX, Grammar};
use crate::sphinx::{Decoder, Error, Found};
use std::collections::BTreeSet;
use std::ffi::CStr;
use std::path::{Path, PathBuf};

/// Where Debian puts the model.
pub const MODEL: &str = "/usr/share/pocketsphinx/model/en-us";
/// The only language of the model.
pub const LANGUAGE: &str = "en";
/// Samples of the longest utterance: a minute. What comes after is not heard.
pub const UTTERANCE_MAX: usize = 60 * 8_000;
/// Shorter than this is no word, samples: 60 ms.
const UTTERANCE_MIN: usize = 480;
/// Readings of one utterance.
pub const NBEST_MAX: u32 = 5;

/// Why nothing is understood.
#[derive(Debug)]
pub enum Problem {
    /// The library's.
    Sphinx(Error),
    /// The grammar has more arrows than [`ARROWS_MAX`].
    TooLarge(usize),
    /// None of its sentences has only known words.
    NoWords,
    /// Its file cannot be written.
    File(std::io::Error),
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Problem::Sphinx(error) => error.fmt(f),
            Problem::TooLarge(arrows) => write!(f, "a grammar of {arrows} arrows; {ARROWS_MAX} are heard"),
            Problem::NoWords => f.write_str("no sentence of the grammar has only words of the dictionary"),
            Problem::File(error) => write!(f, "grammar file: {error}"),
        }
    }
}

impl std::error::Error for Problem {}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Problem::Sphinx(error)
    }
}

/// A decoder, the grammar in force and what was heard.
#[derive(Debug)]
pub struct Recogniser {
    decoder: Decoder,
    file: PathBuf,
    varied: BTreeSet<String>,
    grammar: Grammar,
    nbest: u32,
    heard: Vec<i16>,
}

const SAID: &CStr = c"said";
const OTHER: &CStr = c"other";
const SOUNDS: &CStr = c"sounds";

/// The sounds of the model (ARPAbet without stress).
const PHONES: [&str; 39] = [
    "AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G", "HH", "IH", "IY",
    "JH", "K", "L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "T", "TH", "UH", "UW", "V", "W", "Y",
    "Z", "ZH",
];
/// Begins the made-up words that are one sound each; no dictionary word begins so.
const SOUND: &str = "+sound+";
/// Ways to say a word, its dictionary ones included.
const WAYS_MAX: usize = 12;

impl Recogniser {
    /// Loads the model (about half a second); files go to the folder, which nobody else uses.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn new(model: &Path, folder: &Path) -> Result<Self, Problem> {
        let decoder = Decoder::new(&model.join("en-us"), &model.join("cmudict-en-us.dict"))?;
        let file = folder.join("grammar.fsg");
        let (varied, grammar, heard) = (BTreeSet::new(), Grammar::default(), Vec::new());
        let mut new = Self { decoder, file, varied, grammar, nbest: 1, heard };
        let mut sounds = Grammar { states: 2, accept: 1, arrows: vec![(1, 0, SOUND_AGAIN, None)] };
        for phone in PHONES {
            let word = format!("{SOUND}{}", phone.to_lowercase());
            if new.decoder.add(&word, phone) {
                sounds.arrows.push((0, 1, 1.0 / 39.0, Some(word)));
            }
        }
        new.load(SOUNDS, &sounds)?;
        Ok(new)
    }

    fn load(&mut self, name: &CStr, grammar: &Grammar) -> Result<(), Problem> {
        std::fs::write(&self.file, grammar.to_fsg()).map_err(Problem::File)?;
        Ok(self.decoder.grammar(name, &self.file)?)
    }

    /// Begins an utterance.
    ///
    /// # Errors
    /// [`Problem`]; what is heard then is not understood.
    pub fn begin(&mut self, hear: Hear) -> Result<(), Problem> {
        self.heard.clear();
        let Hear { mut grammar, nbest } = hear;
        self.nbest = nbest.clamp(1, NBEST_MAX);
        if grammar.arrows.len() > ARROWS_MAX {
            return Err(Problem::TooLarge(grammar.arrows.len()));
        }
        if grammar == self.grammar {
            return Ok(());
        }
        let words = grammar.words();
        let known: BTreeSet<String> = words.into_iter().filter(|w| self.learn(w)).collect();
        grammar.forget(|word| known.contains(word));
        if !grammar.says_something() {
            return Err(Problem::NoWords);
        }
        self.grammar = Grammar::default();
        self.load(SAID, &grammar)?;
        self.grammar = grammar;
        Ok(())
    }

    /// Whether the dictionary has a word; if so the ways to say it over a telephone are added once: an `s` without what is
    /// above 4 kHz sounds like `th` or `f`, and "six" was half the errors.
    fn learn(&mut self, word: &str) -> bool {
        // What begins otherwise is a filler of the model or one of our own words.
        if !word.starts_with(|c: char| c.is_alphanumeric() || c == '\'') {
            return false;
        }
        let Some(first) = self.decoder.lookup(word) else { return false };
        if !self.varied.insert(word.to_owned()) {
            return true;
        }
        let mut ways = vec![first];
        while let Some(way) = self.decoder.lookup(&format!("{word}({})", ways.len() + 1)) {
            ways.push(way);
        }
        for heard in narrow_ways(&ways) {
            if ways.len() >= WAYS_MAX {
                break;
            }
            if self.decoder.add(&format!("{word}({})", ways.len() + 1), &heard) {
                ways.push(heard);
            }
        }
        true
    }

    /// Takes samples of 8 kHz.
    pub fn hear(&mut self, samples: impl IntoIterator<Item = i16>) {
        let room = UTTERANCE_MAX.saturating_sub(self.heard.len());
        self.heard.extend(samples.into_iter().take(room));
    }

    /// What was said so far: best first, none if nothing was.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn guess(&mut self) -> Result<Vec<Reading>, Problem> {
        if self.heard.len() < UTTERANCE_MIN || self.grammar.states == 0 {
            return Ok(Vec::new());
        }
        let wide = band::widen(&self.heard);
        let sounds = self.decoder.decode(SOUNDS, &wide)?;
        let said = self.decoder.decode(SAID, &wide)?;
        let mut readings = Vec::new();
        let mut rest = self.grammar.clone();
        let mut next = said;
        while let Some(words) = next.words.clone().filter(|w| !w.is_empty()) {
            readings.push(Reading {
                confidence: confidence(&next, &sounds),
                words: words.clone(),
                interpretation: None,
            });
            if readings.len() >= usize::try_from(self.nbest).unwrap_or(1) {
                break;
            }
            rest = rest.without(&words);
            if !rest.says_something() || rest.arrows.len() > ARROWS_MAX {
                break;
            }
            self.load(OTHER, &rest)?;
            next = self.decoder.decode(OTHER, &wide)?;
        }
        Ok(readings)
    }
}

/// Likelihood that another sound follows in the loop.
const SOUND_AGAIN: f64 = 0.9;

/// How a word sounds where nothing above 4 kHz is carried: each `S` by itself as `TH` or `F`.
fn narrow_ways(ways: &[String]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for way in ways {
        let phones: Vec<&str> = way.split(' ').collect();
        for at in (0..phones.len()).filter(|&n| phones[n] == "S") {
            for other in ["TH", "F"] {
                let mut heard = phones.clone();
                heard[at] = other;
                let heard = heard.join(" ");
                if !ways.contains(&heard) && !out.contains(&heard) {
                    out.push(heard);
                }
            }
        }
    }
    out
}

/// By how much the loop of sounds explains the utterance better, per frame, made a number between 0 and 1.
fn confidence(said: &Found, sounds: &Found) -> f32 {
    let frames = said.frames.max(1);
    let worse = (f64::from(sounds.score) - f64::from(said.score)) / f64::from(frames);
    let x = (worse - HALF) / WIDTH;
    hw::dsp::math::narrow(1.0 / (1.0 + x.exp()))
}

/// Where as many were right as wrong in the calibration (`docs/decisions/0019`).
const HALF: f64 = -4.0;
/// How quickly certainty falls.
const WIDTH: f64 = 1.2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_s_may_be_heard_as_th_or_f() {
        let ways = narrow_ways(&["S IH K S".into(), "S EH V".into()]);
        let want = ["TH IH K S", "F IH K S", "S IH K TH", "S IH K F", "TH EH V", "F EH V"];
        assert_eq!(ways, want);
        assert_eq!(narrow_ways(&["N OW".into()]), Vec::<String>::new());
    }

    #[test]
    fn confidence_falls_with_what_the_sounds_explain_better() {
        let found = |score| Found { words: None, score, frames: 100 };
        let at = |worse: i32| confidence(&found(-10_000 - worse * 100), &found(-10_000));
        assert!((at(-4) - 0.5).abs() < 1e-3);
        assert!(at(-10) > 0.95 && at(2) < 0.05 && at(-6) > at(-5));
    }
}
