//! The worker's loop: requests in, answers out, one at a time.

use crate::espeak::Espeak;
use crate::flite::{Flite, VOICES};
use crate::frame::{self, Ask, END, GUESS, Hear, Heard, Speak, Spoken};
use crate::recogniser::{Problem, Recogniser};
use std::io::{self, Read, Write};
use std::path::PathBuf;

/// What a worker works with.
#[derive(Debug)]
pub struct Worker {
    /// The voice that needs no configuration.
    pub flite: Flite,
    /// The voices of other languages.
    pub espeak: Espeak,
    /// The folder for passing files.
    pub folder: PathBuf,
    /// The model.
    pub model: PathBuf,
    /// Loaded at the first request, or before.
    pub recogniser: Option<Recogniser>,
}

impl Worker {
    /// Works until the input ends.
    ///
    /// # Errors
    /// As the streams say.
    pub fn run(&mut self, input: &mut impl Read, output: &mut impl Write) -> io::Result<()> {
        self.converse(&mut Both(input, output))
    }

    /// The same on one stream for both directions.
    ///
    /// # Errors
    /// As the stream says.
    pub fn converse(&mut self, stream: &mut (impl Read + Write)) -> io::Result<()> {
        while let Some(header) = frame::read(stream)? {
            match serde_json::from_slice::<Ask>(&header) {
                Ok(Ask::Speak(speak)) => self.speak(&speak, stream)?,
                Ok(Ask::Hear(hear)) => self.hear(hear, stream)?,
                Err(error) => {
                    let why = error.to_string();
                    frame::write(stream, &serde_json::to_vec(&Spoken::Failed { why })?)?;
                }
            }
        }
        Ok(())
    }

    fn speak(&self, speak: &Speak, output: &mut impl Write) -> io::Result<()> {
        // flite speaks English by its own voices; whatever else is asked for is for espeak-ng.
        let english =
            speak.lang.is_empty() || speak.lang.get(..2).is_some_and(|l| l.eq_ignore_ascii_case("en"));
        let flite = english && (speak.voice.is_empty() || VOICES.contains(&speak.voice.as_str()));
        let spoken = if flite { self.flite.speak(speak) } else { self.espeak.speak(speak) };
        match spoken {
            Ok((hz, mut sound)) => {
                loudness(&mut sound, speak.volume);
                frame::write(output, &serde_json::to_vec(&Spoken::Sound { hz })?)?;
                frame::write(output, &sound)
            }
            Err(error) => {
                let why = error.to_string();
                frame::write(output, &serde_json::to_vec(&Spoken::Failed { why })?)
            }
        }
    }

    /// Loads the model now, so that the first caller does not wait for it.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn load(&mut self) -> Result<&mut Recogniser, Problem> {
        let loaded = match self.recogniser.take() {
            Some(loaded) => loaded,
            None => Recogniser::new(&self.model, &self.folder)?,
        };
        Ok(self.recogniser.insert(loaded))
    }

    fn begin(&mut self, hear: Hear) -> Result<&mut Recogniser, Problem> {
        let recogniser = self.load()?;
        recogniser.begin(hear)?;
        Ok(recogniser)
    }

    /// One utterance, to its end.
    fn hear(&mut self, hear: Hear, stream: &mut (impl Read + Write)) -> io::Result<()> {
        let mut ready = self.begin(hear);
        while let Some(octets) = frame::read(stream)? {
            match octets[..] {
                [END] => break,
                [GUESS] => {
                    let guess = match &mut ready {
                        Ok(recogniser) => recogniser.guess(),
                        Err(problem) => {
                            let why = problem.to_string();
                            frame::write(stream, &serde_json::to_vec(&Heard::Failed { why })?)?;
                            continue;
                        }
                    };
                    let heard = match guess {
                        Ok(nbest) => Heard::Heard { nbest },
                        Err(problem) => Heard::Failed { why: problem.to_string() },
                    };
                    frame::write(stream, &serde_json::to_vec(&heard)?)?;
                }
                _ => {
                    if let Ok(recogniser) = &mut ready {
                        recogniser.hear(octets.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Two streams as one.
struct Both<'s, I, O>(&'s mut I, &'s mut O);

impl<I: Read, O> Read for Both<'_, I, O> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<I, O: Write> Write for Both<'_, I, O> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.1.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.1.flush()
    }
}

/// Makes samples louder or softer; what would be too loud is as loud as can be.
fn loudness(sound: &mut [u8], factor: f32) {
    if (factor - 1.0).abs() < 1e-3 {
        return;
    }
    for pair in sound.chunks_exact_mut(2) {
        let sample = f32::from(i16::from_le_bytes([pair[0], pair[1]])) * factor.clamp(0.0, 4.0);
        pair.copy_from_slice(&hw::dsp::math::sample(sample).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loudness_is_a_factor_and_saturates() {
        let mut sound = [100_i16, -100, 30_000].map(i16::to_le_bytes).concat();
        loudness(&mut sound, 2.0);
        assert_eq!(sound, [200_i16, -200, 32_767].map(i16::to_le_bytes).concat());
        loudness(&mut sound, 0.0);
        assert_eq!(sound, [0; 6]);
    }
}
