//! The worker's loop: requests in, answers out, one at a time.

use crate::flite::Flite;
use crate::frame::{self, Ask, END, GUESS, Hear, Heard, Speak, Spoken};
use crate::recogniser::{Problem, Recogniser};
use std::io::{self, Read, Write};
use std::path::PathBuf;

/// What a worker works with.
#[derive(Debug)]
pub struct Worker {
    /// The voice that needs no configuration.
    pub flite: Flite,
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
        while let Some(header) = frame::read(input)? {
            match serde_json::from_slice::<Ask>(&header) {
                Ok(Ask::Speak(speak)) => self.speak(&speak, output)?,
                Ok(Ask::Hear(hear)) => self.hear(hear, input, output)?,
                Err(error) => {
                    let why = error.to_string();
                    frame::write(output, &serde_json::to_vec(&Spoken::Failed { why })?)?;
                }
            }
        }
        Ok(())
    }

    fn speak(&self, speak: &Speak, output: &mut impl Write) -> io::Result<()> {
        match self.flite.speak(speak) {
            Ok((hz, sound)) => {
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
    fn hear(&mut self, hear: Hear, input: &mut impl Read, output: &mut impl Write) -> io::Result<()> {
        let mut ready = self.begin(hear);
        while let Some(octets) = frame::read(input)? {
            match octets[..] {
                [END] => break,
                [GUESS] => {
                    let guess = match &mut ready {
                        Ok(recogniser) => recogniser.guess(),
                        Err(problem) => {
                            let why = problem.to_string();
                            frame::write(output, &serde_json::to_vec(&Heard::Failed { why })?)?;
                            continue;
                        }
                    };
                    let heard = match guess {
                        Ok(nbest) => Heard::Heard { nbest },
                        Err(problem) => Heard::Failed { why: problem.to_string() },
                    };
                    frame::write(output, &serde_json::to_vec(&heard)?)?;
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
