//! The program: reads [`speech::frame::Speak`] frames, answers each with sound, ends with its input.

use clap::Parser;
use speech::flite::Flite;
use speech::frame::{self, Speak, Spoken};
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

/// Speaks texts for carillon; started by it.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Folder for passing files; nobody else may use it.
    #[arg(long)]
    folder: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&Flite::new(&arguments.folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("carillon-speech: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(flite: &Flite) -> io::Result<()> {
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    while let Some(header) = frame::read(&mut input)? {
        let spoken = serde_json::from_slice::<Speak>(&header)
            .map_err(|error| error.to_string())
            .and_then(|speak| flite.speak(&speak).map_err(|error| error.to_string()));
        let (answer, sound) = match spoken {
            Ok((hz, sound)) => (Spoken::Sound { hz }, Some(sound)),
            Err(why) => (Spoken::Failed { why }, None),
        };
        frame::write(&mut output, &serde_json::to_vec(&answer)?)?;
        if let Some(sound) = sound {
            frame::write(&mut output, &sound)?;
        }
    }
    Ok(())
}
