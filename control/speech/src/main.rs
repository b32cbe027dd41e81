//! The program: reads [`speech::frame::Ask`] frames, answers each, ends with its input.

use clap::Parser;
use speech::espeak::Espeak;
use speech::flite::Flite;
use speech::recogniser::MODEL;
use speech::serve::{Door, Farm, Papers};
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
    /// Serve others instead of standard input: `tls:host:port` or `unix:path`. Each connection is a worker.
    #[arg(long)]
    listen: Option<Door>,
    /// Workers at a time, when listening.
    #[arg(long, default_value_t = 4)]
    workers: usize,
    /// PEM file of our certificate, for `tls:`.
    #[arg(long)]
    certificate: Option<PathBuf>,
    /// PEM file of its key.
    #[arg(long)]
    key: Option<PathBuf>,
    /// PEM file of who signs the certificates of those who may connect.
    #[arg(long)]
    authorities: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(door) = &arguments.listen {
        return serve(door, &arguments);
    }
    let Arguments { folder, model, recognise, .. } = arguments;
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

fn serve(door: &Door, arguments: &Arguments) -> ExitCode {
    let papers = match (&arguments.certificate, &arguments.key, &arguments.authorities) {
        (Some(certificate), Some(key), Some(authorities)) => Some(Papers {
            certificate: certificate.clone(),
            key: key.clone(),
            authorities: authorities.clone(),
        }),
        _ => None,
    };
    let Arguments { folder, model, recognise, workers, .. } = arguments;
    let farm =
        Farm { folder: folder.clone(), model: model.clone(), recognise: *recognise, workers: *workers };
    match farm.serve(door, papers.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("carillon-speech: {error}");
            ExitCode::FAILURE
        }
    }
}
