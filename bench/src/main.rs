//! The program `carillon-bench`: see `carillon-bench --help`.

use bench::{demo, load};
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
    /// Be a telephone network: answer calls by a scenario and judge what is heard.
    Pstn(load::PstnOptions),
    /// Place calls at a rate, or hold a number of them up, and judge what is heard.
    Call(load::CallOptions),
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Demo(options) => demo::run(options).await,
        Command::Pstn(options) => load::pstn(options).await,
        Command::Call(options) => load::call(options).await,
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
