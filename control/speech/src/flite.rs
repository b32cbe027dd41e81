//! The voice that needs no configuration: flite, as the program that Debian ships.
//!
//! Text goes by standard input and never through a shell; sound comes back as a WAV file in a private folder.

use crate::frame::Speak;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why a text was not spoken. The text itself is in no message.
#[derive(Debug)]
pub enum Error {
    /// flite is not installed, or would not start.
    Start(std::io::Error),
    /// It ended with this status.
    Status(Option<i32>),
    /// The file it wrote cannot be read.
    Sound,
    /// The voice's name is none.
    Voice,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Start(error) => write!(f, "flite would not start: {error}"),
            Error::Status(status) => write!(f, "flite ended with {status:?}"),
            Error::Sound => f.write_str("what flite wrote is no sound"),
            Error::Voice => f.write_str("no such voice"),
        }
    }
}

impl std::error::Error for Error {}

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
        let mut child = Command::new("flite")
            .args(["-voice", voice])
            .args(["--setf", &format!("duration_stretch={stretch:.3}")])
            .args(["--setf", &format!("f0_shift={shift:.3}")])
            .args(["-f", "/dev/stdin"])
            .arg("-o")
            .arg(&self.file)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::Start)?;
        if let Some(mut input) = child.stdin.take() {
            // flite that dies early is told by its status.
            drop(input.write_all(speak.text.as_bytes()));
        }
        let status = child.wait().map_err(Error::Start)?;
        if !status.success() {
            return Err(Error::Status(status.code()));
        }
        let wav = std::fs::read(&self.file).map_err(|_| Error::Sound)?;
        drop(std::fs::remove_file(&self.file));
        samples(&wav).ok_or(Error::Sound)
    }
}

/// Rate and samples of the plain WAV that flite writes: 16 bits, mono.
pub(crate) fn samples(wav: &[u8]) -> Option<(u32, Vec<u8>)> {
    if wav.get(..4)? != b"RIFF" || wav.get(8..12)? != b"WAVE" {
        return None;
    }
    let mut hz = None;
    let mut rest = wav.get(12..)?;
    while rest.len() >= 8 {
        let length = usize::try_from(u32::from_le_bytes(rest.get(4..8)?.try_into().ok()?)).ok()?;
        let body = rest.get(8..)?;
        match &rest[..4] {
            b"fmt " => hz = Some(u32::from_le_bytes(body.get(4..8)?.try_into().ok()?)),
            b"data" => return Some((hz?, body[..length.min(body.len())].to_vec())),
            _ => {}
        }
        rest = body.get(length + length % 2..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wav_is_read_and_nonsense_is_not() {
        let mut wav =
            b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0".to_vec();
        wav.extend(b"data\x04\0\0\0\x01\0\x02\0");
        assert_eq!(samples(&wav), Some((16_000, vec![1, 0, 2, 0])));
        assert_eq!(samples(b"RIFFxxxxWAVE"), None);
        assert_eq!(samples(b""), None);
    }

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
        drop(std::fs::remove_dir_all(&folder));
        assert!(slow > 16_000 && fast * 3 < slow * 2, "{slow} {fast}");
    }
}
