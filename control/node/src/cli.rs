//! The command line: one binary, its subcommands are its roles and its tools.
//!
//! Exit codes: 0 done; 1 the answer is no (a wrong configuration, a failed call); 2 the command line is wrong (clap);
//! 3 no node answers.

mod audio;
mod show;
mod sign;
mod tenant;
mod tools;
mod vxml;

use crate::admin::Question;
use crate::cluster::Role;
use crate::shard::Maintenance;
use clap::{Args, Parser, Subcommand, ValueEnum};
use control::trunk::Standing;
use std::path::PathBuf;
use std::process::ExitCode;
use units::{AttemptId, OrderId};

/// An order arrives by e-mail or HTTP; a telephone rings; a VoiceXML document talks; a record is kept.
#[derive(Debug, Parser)]
#[command(name = "carillon", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything in one process.
    Serve {
        /// The configuration.
        #[arg(long, default_value = "/etc/carillon/carillon.toml")]
        config: PathBuf,
    },
    /// One process of a cluster: intake, policy, queue, dispatch, console.
    Control {
        /// The configuration.
        #[arg(long, default_value = "/etc/carillon/carillon.toml")]
        config: PathBuf,
    },
    /// One process of a cluster: a telephony server.
    Media {
        /// The configuration.
        #[arg(long, default_value = "/etc/carillon/carillon.toml")]
        config: PathBuf,
    },
    /// Read a configuration and say what is wrong with it.
    CheckConfig {
        /// The configuration.
        #[arg(long, default_value = "/etc/carillon/carillon.toml")]
        config: PathBuf,
    },
    /// Bring the store up to this program's layout.
    Migrate {
        /// The configuration.
        #[arg(long, default_value = "/etc/carillon/carillon.toml")]
        config: PathBuf,
    },
    /// Records as files.
    Cdr {
        #[command(subcommand)]
        what: tools::Cdr,
    },
    /// Replay in virtual time, with the production code.
    Sim {
        #[command(subcommand)]
        what: tools::Sim,
    },
    /// Check and run VoiceXML documents without a telephone.
    Vxml {
        #[command(subcommand)]
        what: vxml::Vxml,
    },
    /// Tell what is heard in a recording.
    Audio {
        #[command(subcommand)]
        what: audio::Audio,
    },
    /// Who may order, and API keys.
    Tenant {
        #[command(subcommand)]
        what: tenant::Tenants,
    },
    /// Sign orders (Ed25519), and make keys for that.
    Sign {
        #[command(subcommand)]
        what: sign::Sign,
    },
    /// Look ahead.
    Campaign {
        #[command(subcommand)]
        what: Campaigns,
        #[command(flatten)]
        node: Running,
    },
    /// Look into a running node.
    Show {
        #[command(subcommand)]
        what: Show,
        #[command(flatten)]
        node: Running,
    },
    /// Have a trunk take no calls, or take them again; calls that are up go on.
    Trunk {
        /// Its name.
        name: String,
        /// What is ordered.
        order: TrunkOrder,
        #[command(flatten)]
        node: Running,
    },
    /// Maintain a T1 or E1 line.
    Span {
        /// Its number.
        number: u16,
        #[command(subcommand)]
        what: Maintain,
        /// One timeslot only.
        #[arg(long, global = true)]
        slot: Option<u8>,
        #[command(flatten)]
        node: Running,
    },
    /// Make a configuration of another system's.
    Import {
        #[command(subcommand)]
        from: Import,
    },
    /// End a call.
    Clear {
        /// Its attempt, as `show calls` prints it.
        attempt: AttemptId,
        #[command(flatten)]
        node: Running,
    },
    /// Have a running node read its configuration again.
    Reload {
        #[command(flatten)]
        node: Running,
    },
    /// Have a running node take no new call and end after the last.
    Drain {
        #[command(flatten)]
        node: Running,
    },
}

/// How a running node is reached.
#[derive(Debug, Args)]
struct Running {
    /// Its admin socket.
    #[arg(long, global = true, default_value = "/run/carillon/admin.sock")]
    socket: PathBuf,
    /// How the answer is printed.
    #[arg(short, long, global = true, default_value = "table")]
    output: Format,
}

/// How answers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// What is ordered of a trunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TrunkOrder {
    /// It is broken: no new calls.
    Block,
    /// It takes calls again.
    Unblock,
    /// It is to be taken out: no new calls.
    Drain,
}

/// What is done to a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
enum Maintain {
    /// No new call; those that are up go on.
    Block,
    /// As before; a loop or a test ends.
    Unblock,
    /// Loop its timeslots, D-channel excepted; it must be blocked and without calls.
    Loopback {
        /// Which way.
        how: LoopWay,
    },
    /// Measure bit errors by a pseudo-random pattern (2^11-1, ITU-T O.150) in its timeslots, or in the one of --slot.
    Bert {
        /// What.
        what: BertOrder,
    },
}

/// Which way a line is looped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LoopWay {
    /// What we send is what we hear.
    Local,
    /// What the line sends goes back to it.
    Remote,
    /// No loop.
    Off,
}

/// What is ordered of a bit error test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum BertOrder {
    /// Begin, from zero.
    Start,
    /// End; the result is kept.
    Stop,
    /// The line with the results.
    Show,
}

#[derive(Debug, Subcommand)]
enum Import {
    /// Spans and trunks from DAHDI's and Asterisk's files; what could not be carried over is said in comments.
    Dahdi {
        /// `system.conf`.
        #[arg(long)]
        system: PathBuf,
        /// `chan_dahdi.conf`.
        #[arg(long)]
        chan: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum Campaigns {
    /// How long a campaign will take, how many of its orders are blocked and why, and how many channels it needs: by the
    /// running node's own rules, in virtual time.
    Forecast {
        /// The campaign, `camp_…`.
        id: units::CampaignId,
        /// What is assumed: `channels=100`, `calls_per_1000s=10000`, `answered_permille=600`, `busy_permille=100`,
        /// `talk_s=45`, `ring_s=30`.
        #[arg(value_parser = tenant::word)]
        assume: Vec<(String, serde_json::Value)>,
    },
}

#[derive(Debug, Subcommand)]
enum Show {
    /// Calls that are up.
    Calls,
    /// An order with its records and its whole story.
    Call {
        /// The order, `call_…`.
        id: OrderId,
    },
    /// Servers and their load.
    Servers,
    /// Trunks: state, calls, failures.
    Trunks,
    /// Which application answers which number, in the order in which routes count.
    Numbers,
    /// T1 and E1 lines.
    Spans,
    /// One of them, with its timeslots.
    Span {
        /// Its number.
        number: u16,
    },
    /// Workers: core, scheduling, network backend, and why not better.
    Workers,
    /// Why an order is not being dialled now.
    Why {
        /// The order, `call_…`.
        id: OrderId,
    },
}

/// The answer is no.
const NO: u8 = 1;
/// No node answers.
const NOBODY: u8 = 3;

impl Cli {
    /// Does what was asked.
    #[must_use]
    pub fn run(self) -> ExitCode {
        match self.command {
            Command::Serve { config } => serve(&config, None),
            Command::Control { config } => serve(&config, Some(Role::Control)),
            Command::Media { config } => serve(&config, Some(Role::Media)),
            Command::CheckConfig { config } => match crate::serve::check(&config) {
                Ok(said) => {
                    print(&said);
                    ExitCode::SUCCESS
                }
                Err(error) => no(&error),
            },
            Command::Migrate { config } => tools::migrate(&config),
            Command::Cdr { what } => what.run(),
            Command::Sim { what } => what.run(),
            Command::Vxml { what } => what.run(),
            Command::Audio { what } => what.run(),
            Command::Tenant { what } => what.run(),
            Command::Sign { what } => what.run(),
            Command::Campaign { what: Campaigns::Forecast { id, assume }, node } => {
                node.ask(&Question::Forecast(id, assume.into_iter().collect()))
            }
            Command::Show { what, node } => {
                let question = match &what {
                    Show::Calls => Question::Calls,
                    Show::Call { id } => Question::Call(*id),
                    Show::Servers => Question::Servers,
                    Show::Trunks => Question::Trunks,
                    Show::Numbers => Question::Numbers,
                    Show::Spans => Question::Spans,
                    Show::Span { number } => Question::Span(*number),
                    Show::Workers => Question::Workers,
                    Show::Why { id } => Question::Why(*id),
                };
                node.ask(&question)
            }
            Command::Trunk { name, order, node } => {
                let standing = match order {
                    TrunkOrder::Block => Standing::Blocked,
                    TrunkOrder::Unblock => Standing::Open,
                    TrunkOrder::Drain => Standing::Draining,
                };
                node.ask(&Question::Trunk(name, standing))
            }
            Command::Span { number, what, slot, node } => node.ask(&what.question(number, slot)),
            Command::Import { from: Import::Dahdi { system, chan } } => {
                tools::import_dahdi(&system, chan.as_deref())
            }
            Command::Clear { attempt, node } => node.ask(&Question::Clear(attempt)),
            Command::Reload { node } => node.ask(&Question::Reload),
            Command::Drain { node } => node.ask(&Question::Drain),
        }
    }
}

impl Maintain {
    fn question(self, number: u16, slot: Option<u8>) -> Question {
        let maintain = |what| Question::Maintain(number, slot, what);
        match self {
            Maintain::Block => Question::Block(number, slot, true),
            Maintain::Unblock => Question::Block(number, slot, false),
            Maintain::Loopback { how: LoopWay::Local } => maintain(Maintenance::LoopLocal),
            Maintain::Loopback { how: LoopWay::Remote } => maintain(Maintenance::LoopRemote),
            Maintain::Loopback { how: LoopWay::Off } => maintain(Maintenance::LoopOff),
            Maintain::Bert { what: BertOrder::Start } => maintain(Maintenance::BertStart),
            Maintain::Bert { what: BertOrder::Stop } => maintain(Maintenance::BertStop),
            Maintain::Bert { what: BertOrder::Show } => Question::Span(number),
        }
    }
}

impl Running {
    fn ask(&self, question: &Question) -> ExitCode {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return no(&error),
        };
        match runtime.block_on(crate::admin::ask(&self.socket, question)) {
            Ok(value) => {
                print(&match self.output {
                    Format::Json => value.to_string(),
                    Format::Table => show::table(question, &value),
                });
                ExitCode::SUCCESS
            }
            Err(why) => {
                eprintln!("carillon: {why}");
                ExitCode::from(if why.starts_with("no node") { NOBODY } else { NO })
            }
        }
    }
}

fn serve(config: &std::path::Path, role: Option<Role>) -> ExitCode {
    match crate::serve::serve(config, role) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => no(&error),
    }
}

fn no(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("{error}");
    ExitCode::from(NO)
}

/// Prints a line; a closed pipe (`| head`) is no error.
fn print(text: &str) {
    use std::io::Write;
    drop(writeln!(std::io::stdout(), "{text}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
        let id = OrderId(1).to_string();
        assert!(Cli::try_parse_from(["carillon", "show", "call", &id, "-o", "json"]).is_ok());
        assert!(Cli::try_parse_from(["carillon", "show", "call", "17"]).is_err());
        assert!(Cli::try_parse_from(["carillon", "trunk", "carrier", "drain"]).is_ok());
        assert!(Cli::try_parse_from(["carillon", "trunk", "carrier", "stop"]).is_err());
        assert!(Cli::try_parse_from(["carillon", "show", "span", "3"]).is_ok());
        assert!(Cli::try_parse_from(["carillon", "span", "3", "block", "--slot", "5"]).is_ok());
        assert!(
            Cli::try_parse_from(["carillon", "span", "3", "loopback", "remote", "--socket", "/s"]).is_ok()
        );
        assert!(Cli::try_parse_from(["carillon", "span", "3", "bert", "start", "--slot", "5"]).is_ok());
        assert!(Cli::try_parse_from(["carillon", "span", "3", "bert"]).is_err());
        assert!(
            Cli::try_parse_from(["carillon", "import", "dahdi", "--system", "/etc/dahdi/system.conf"])
                .is_ok()
        );
    }
}
