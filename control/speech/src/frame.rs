//! The frames between the node and a speech worker. See the crate.

use crate::grammar::Grammar;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};

/// A request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "ask")]
pub enum Ask {
    /// Speak a text.
    Speak(Speak),
    /// Hear an utterance.
    Hear(Hear),
}

/// What an utterance is held against.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hear {
    /// What may be said.
    pub grammar: Grammar,
    /// Most readings wanted; 1..=5.
    pub nbest: u32,
}

/// Asks what was understood so far.
pub const GUESS: u8 = b'?';
/// The utterance is over, or nobody wants to know any more.
pub const END: u8 = b'.';

/// Answer to [`GUESS`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub enum Heard {
    /// Readings, best first; none if nothing of the grammar was said.
    Heard {
        /// See [`Reading`].
        nbest: Vec<Reading>,
    },
    /// It cannot be heard.
    Failed {
        /// Why, free of what was said.
        why: String,
    },
}

/// One reading of an utterance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Its words.
    pub words: Vec<String>,
    /// 0.0 ..= 1.0; 0.5 where as many are right as wrong.
    pub confidence: f32,
    /// What it means, where the engine says so itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interpretation: Option<serde_json::Value>,
}

/// What is to be spoken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Speak {
    /// The text, plain.
    pub text: String,
    /// Voice of the engine; empty: its own choice.
    #[serde(default)]
    pub voice: String,
    /// Language (RFC 5646); empty: English.
    #[serde(default)]
    pub lang: String,
    /// A variant of espeak-ng's voices (`+f3`), where no voice is named.
    #[serde(default)]
    pub variant: String,
    /// Loudness: 1.0 is the voice's own; 0.0..=4.0.
    #[serde(default = "one")]
    pub volume: f32,
    /// Speed: 1.0 is the voice's own, 2.0 twice as fast; 0.3..=3.0.
    #[serde(default = "one")]
    pub rate: f32,
    /// Pitch: 1.0 is the voice's own; 0.5..=2.0.
    #[serde(default = "one")]
    pub pitch: f32,
    /// The voice's name as the document wrote it, for engines of others; empty: none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub asked: String,
    /// How the text is pronounced (SSML 1.0 §3.1.9), if the document says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phoneme: Option<Phoneme>,
}

/// A pronunciation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phoneme {
    /// `ipa`, `x-sampa` ...
    pub alphabet: String,
    /// In that alphabet.
    pub ph: String,
}

fn one() -> f32 {
    1.0
}

/// Answer to a [`Speak`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub enum Spoken {
    /// Sound follows.
    Sound {
        /// Samples per second.
        hz: u32,
    },
    /// It could not be spoken.
    Failed {
        /// Why, free of the text itself.
        why: String,
    },
}

/// Longest header or sound, octets: ten minutes at 16 kHz.
pub const FRAME_OCTETS_MAX: usize = 20_000_000;

/// Writes one length and what it counts.
///
/// # Errors
/// As the stream says; `InvalidInput` if it is too long.
pub fn write(to: &mut impl Write, octets: &[u8]) -> io::Result<()> {
    if octets.len() > FRAME_OCTETS_MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let length = u32::try_from(octets.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    to.write_all(&length.to_be_bytes())?;
    to.write_all(octets)?;
    to.flush()
}

/// Reads one frame; `None` at the end of the stream.
///
/// # Errors
/// As the stream says; `InvalidData` if it is too long.
pub fn read(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| io::ErrorKind::InvalidData)?;
    if length > FRAME_OCTETS_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut octets = vec![0; length];
    from.read_exact(&mut octets)?;
    Ok(Some(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_round_trip_and_end_cleanly() {
        let mut stream = Vec::new();
        write(&mut stream, b"abc").expect("a vector takes all");
        write(&mut stream, b"").expect("a vector takes all");
        let mut from = stream.as_slice();
        assert_eq!(read(&mut from).expect("whole"), Some(b"abc".to_vec()));
        assert_eq!(read(&mut from).expect("whole"), Some(Vec::new()));
        assert_eq!(read(&mut from).expect("the end"), None);
    }

    #[test]
    fn a_lying_length_is_refused() {
        let mut from = &[0xff, 0xff, 0xff, 0xff, 1][..];
        assert_eq!(read(&mut from).expect_err("too long").kind(), io::ErrorKind::InvalidData);
    }
}
