//! The voices of many languages: espeak-ng, as the program that Debian ships. GPL-3: started as a program of its own and
//! never linked. Text goes by standard input; sound comes back as a WAV file in a private folder.

use crate::child::{self, Error};
use crate::frame::Speak;
use crate::phones;
use std::path::{Path, PathBuf};
use std::process::Command;

/// espeak-ng with a folder for its files.
#[derive(Debug)]
pub struct Espeak {
    file: PathBuf,
}

/// Words a minute at its own speed.
const WORDS_A_MINUTE: f32 = 160.0;
/// Its own pitch, of 0 to 99.
const PITCH: f32 = 50.0;

impl Espeak {
    /// Files go to this folder, which nobody else uses.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { file: folder.join("espoken.wav") }
    }

    /// Speaks: rate in Hz and linear samples as octets. A language with a region falls back to the language.
    ///
    /// # Errors
    /// [`Error`].
    pub fn speak(&self, speak: &Speak) -> Result<(u32, Vec<u8>), Error> {
        if speak.text.trim().is_empty() {
            return Ok((8_000, Vec::new()));
        }
        let lang = speak.lang.to_ascii_lowercase().replace('_', "-");
        let primary = lang.split('-').next().unwrap_or_default().to_owned();
        let mut tried = Err(Error::Voice);
        let named = [speak.voice.as_str(), lang.as_str(), primary.as_str()];
        for voice in named.into_iter().filter(|v| !v.is_empty()) {
            let variant = if voice == speak.voice { "" } else { speak.variant.as_str() };
            tried = self.by(&format!("{voice}{variant}"), speak);
            if !matches!(tried, Err(Error::Status(_) | Error::Voice | Error::Sound)) {
                break;
            }
        }
        tried
    }

    fn by(&self, voice: &str, speak: &Speak) -> Result<(u32, Vec<u8>), Error> {
        let named = voice.chars().all(|c| c.is_ascii_alphanumeric() || "-+_".contains(c));
        if !named || voice.starts_with('-') {
            return Err(Error::Voice);
        }
        let speed = WORDS_A_MINUTE * speak.rate.clamp(0.5, 3.0);
        let pitch = (PITCH * speak.pitch.clamp(0.5, 1.98)).min(99.0);
        let mut espeak = Command::new("espeak-ng");
        espeak
            .args(["-b", "1", "-v", voice, "-s", &format!("{speed:.0}"), "-p", &format!("{pitch:.0}"), "-w"])
            .arg(&self.file)
            .arg("--stdin");
        let said = speak.phoneme.as_ref().and_then(phones::espeak);
        // Brackets of a text would be read as phonemes.
        let text = said.unwrap_or_else(|| speak.text.replace("[[", "[ ["));
        child::sound(&mut espeak, &text, &self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speak(lang: &str, voice: &str, text: &str) -> Speak {
        Speak {
            lang: lang.into(),
            voice: voice.into(),
            text: text.into(),
            rate: 1.0,
            pitch: 1.0,
            volume: 1.0,
            ..Speak::default()
        }
    }

    #[test]
    fn many_languages_are_spoken_and_nonsense_is_refused() {
        let folder = std::env::temp_dir().join(format!("carillon-espeak-test-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let espeak = Espeak::new(&folder);
        if let Err(Error::Start(error)) = espeak.speak(&speak("de-DE", "", "Guten Tag")) {
            println!("SKIPPED: espeak-ng is not installed: {error}");
            return;
        }
        for (lang, text) in
            [("de-DE", "Guten Tag"), ("fr-CA", "Bonjour"), ("es", "Buenos dias"), ("ja", "こんにちは")]
        {
            let (hz, sound) = espeak.speak(&speak(lang, "", text)).expect(lang);
            assert!(hz >= 16_000 && sound.len() > 16_000, "{lang}: {hz} {}", sound.len());
        }
        let said = |text: &str, ph: &str| {
            let phoneme = (!ph.is_empty())
                .then(|| crate::frame::Phoneme { alphabet: "x-sampa".into(), ph: ph.to_owned() });
            espeak.speak(&Speak { phoneme, ..speak("de", "", text) }).expect("speaks").1
        };
        assert_ne!(said("Weg", "vEk"), said("Weg", "ve:k"), "the adverb and the way");
        assert_eq!(said("Weg", "!!"), said("Weg", ""), "no pronunciation: the text");
        assert_ne!(said("[[ve:k]]", ""), said("Weg", "ve:k"), "a text is no pronunciation");
        assert!(espeak.speak(&speak("", "-h", "a")).is_err());
        assert!(espeak.speak(&speak("zz-ZZ", "", "a")).is_err());
        drop(std::fs::remove_dir_all(&folder));
    }
}
