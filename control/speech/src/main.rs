//! The program: reads [`speech::frame::Ask`] frames, answers each, ends with its input.

use clap::Parser;
use speech::espeak::Espeak;
use speech::flite::Flite;
use speech::recogniser::MODEL;
use speech::work::Worker;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

/// Speaks and hears for carillon; started by it.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Folder for passing files; nobody else may use it.
    #[arg(long)]
    folder: PathBuf,
    /// Folder of the recogniser's model and dictionary.
    #[arg(long, default_value = MODEL)]
    model: PathBuf,
    /// Load the recogniser's model at once.
    #[arg(long)]
    recognise: bool,
}

fn main() -> ExitCode {
    let Arguments { folder, model, recognise } = Arguments::parse();
    let flite = Flite::new(&folder);
    let espeak = Espeak::new(&folder);
    let mut worker = Worker { flite, espeak, folder, model, recogniser: None };
    if recognise && let Err(problem) = worker.load() {
        eprintln!("carillon-speech: {problem}");
        return ExitCode::FAILURE;
    }
    match worker.run(&mut io::stdin().lock(), &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("carillon-speech: {error}");
            ExitCode::FAILURE
        }
    }
}
