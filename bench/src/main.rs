//! The program `carillon-bench`: see `carillon-bench --help`.

use bench::demo;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Load, far ends and the demo for Carillon and other SIP servers.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start Carillon on loopback, give it three orders, play the customer, judge.
    Demo(demo::Options),
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Demo(options) => demo::run(options).await,
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("carillon-bench: {e}");
            ExitCode::from(2)
        }
    }
}
