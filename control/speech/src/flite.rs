//! The voice that needs no configuration: flite, as the program that Debian ships.
//!
//! Text goes by standard input and never through a shell; sound comes back as a WAV file in a private folder.

use crate::child::{self, Error};
use crate::frame::Speak;
use crate::phones;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Voices that Debian's flite has.
pub const VOICES: [&str; 5] = ["slt", "rms", "awb", "kal", "kal16"];

/// flite with a folder for its files.
#[derive(Debug)]
pub struct Flite {
    file: PathBuf,
}

impl Flite {
    /// Files go to this folder, which nobody else uses.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { file: folder.join("spoken.wav") }
    }

    /// Speaks: rate in Hz and linear samples as octets.
    ///
    /// # Errors
    /// [`Error`].
    pub fn speak(&self, speak: &Speak) -> Result<(u32, Vec<u8>), Error> {
        if speak.text.trim().is_empty() {
            return Ok((8_000, Vec::new()));
        }
        if !speak.voice.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(Error::Voice);
        }
        let voice = if speak.voice.is_empty() { "slt" } else { &speak.voice };
        let stretch = 1.0 / speak.rate.clamp(0.3, 3.0);
        let shift = speak.pitch.clamp(0.5, 2.0);
        let mut flite = Command::new("flite");
        flite
            .args(["-voice", voice])
            .args(["--setf", &format!("duration_stretch={stretch:.3}")])
            .args(["--setf", &format!("f0_shift={shift:.3}")]);
        match speak.phoneme.as_ref().and_then(phones::flite) {
            Some(said) => flite.args(["-p", &said]),
            None => flite.args(["-f", "/dev/stdin"]),
        };
        flite.arg("-o").arg(&self.file);
        child::sound(&mut flite, &speak.text, &self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voice_is_a_name_and_no_option() {
        let flite = Flite::new(Path::new("/nonexistent"));
        let speak = Speak { text: "a".into(), voice: "-x".into(), rate: 1.0, pitch: 1.0, ..Speak::default() };
        assert!(matches!(flite.speak(&speak), Err(Error::Voice)));
    }

    #[test]
    fn flite_speaks_faster_when_asked() {
        let folder = std::env::temp_dir().join(format!("carillon-speech-test-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let flite = Flite::new(&folder);
        let speak = |rate| {
            flite.speak(&Speak {
                text: "You have one new message.".into(),
                rate,
                pitch: 1.0,
                ..Speak::default()
            })
        };
        let slow = match speak(1.0) {
            Err(Error::Start(error)) => {
                println!("SKIPPED: flite is not installed: {error}");
                return;
            }
            other => other.expect("speaks").1.len(),
        };
        let fast = speak(2.0).expect("speaks").1.len();
        let tomato = |ph: &str| {
            let phoneme = Some(crate::frame::Phoneme { alphabet: "ipa".into(), ph: ph.into() });
            let wish = Speak { text: "tomato".into(), rate: 1.0, pitch: 1.0, phoneme, ..Speak::default() };
            flite.speak(&wish).expect("speaks").1
        };
        let (british, american, unknown) = (tomato("təˈmɑːtəʊ"), tomato("təˈmeɪtoʊ"), tomato("ǂ"));
        assert!(british != american && american.len() > 8_000, "{} {}", british.len(), american.len());
        assert!(unknown.len() > 8_000 && unknown != british, "the text itself");
        drop(std::fs::remove_dir_all(&folder));
        assert!(slow > 16_000 && fast * 3 < slow * 2, "{slow} {fast}");
    }
}
