//! The program `carillon-bench`: see `carillon-bench --help`.

use bench::loads::{calls, dispatch, headline, inside, ivr, orders, web};
use bench::{demo, load, promises, report};
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
    /// Find the largest number of calls that a server holds up within limits.
    Ramp(load::RampOptions),
    /// Hold a load for long and tell what grows.
    Soak(load::SoakOptions),
    /// Signalling only: calls that end as soon as they are up; without a target, inside one process.
    Sip(load::SipOptions),
    /// Signalling on one thread with its journal on: calls a second, set-up times, goodput when too many call.
    Calls(calls::CallsOptions),
    /// Complete VoiceXML calls held at once by a Carillon of its own: the headline of bench/PROMISES.md.
    Headline(headline::HeadlineOptions),
    /// Give orders over HTTP or by mail as fast as they are taken.
    Orders(orders::OrdersOptions),
    /// Orders in, INVITEs out, no media, with a Carillon of its own.
    Dispatch(dispatch::DispatchOptions),
    /// Serve VoiceXML documents with latency, errors and hangs.
    Web(web::WebOptions),
    /// Write the files of the IVR workload that comparisons use.
    Workload(ivr::WorkloadOptions),
    /// Bearers only, on one worker core.
    Media(inside::MediaOptions),
    /// Signal-processing kernels only.
    Dsp(inside::DspOptions),
    /// VoiceXML sessions and grammars only.
    Vxml,
    /// Run what bench/PROMISES.md states, and say pass or short.
    Promises(promises::PromisesOptions),
    /// Tell over HTTP what a server's process uses, for a load tool on another machine.
    Agent(load::AgentOptions),
    /// Make a page with plots of a result.
    Report(report::ReportOptions),
    /// Tell what changed between two results.
    Compare(report::CompareOptions),
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    // One provider for the whole process; whoever installs it again finds it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let result = match Cli::parse().command {
        Command::Demo(options) => demo::run(options).await,
        Command::Pstn(options) => load::pstn(options).await,
        Command::Call(options) => load::call(options).await,
        Command::Ramp(options) => load::ramp(options).await,
        Command::Soak(options) => load::soak(options).await,
        Command::Sip(options) => load::sip(options).await,
        Command::Calls(options) => calls::calls(options).await,
        Command::Headline(options) => headline::headline(options).await,
        Command::Orders(options) => orders::orders(options).await,
        Command::Dispatch(options) => dispatch::dispatch(options).await,
        Command::Web(options) => web::web(options).await,
        Command::Workload(options) => ivr::workload(&options),
        Command::Media(options) => Ok(inside::media(options)),
        Command::Dsp(options) => Ok(inside::dsp(options)),
        Command::Vxml => Ok(inside::vxml()),
        Command::Promises(options) => promises::promises(&options).await,
        Command::Agent(options) => load::agent(options).await,
        Command::Report(options) => report::report(&options),
        Command::Compare(options) => report::compare(&options),
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
