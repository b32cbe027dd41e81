//! Tools that need no running node: `migrate`, `cdr`, `sim`.

use super::{no, print};
use clap::Subcommand;
use control::dispatch::sim::{self, Outcome, plot};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use units::Seed;

/// Spans and trunks of DAHDI's and Asterisk's files, on standard output.
pub(super) fn import_dahdi(system: &Path, chan: Option<&Path>) -> ExitCode {
    let read =
        |path: &Path| std::fs::read_to_string(path).map_err(|why| format!("{}: {why}", path.display()));
    match (read(system), chan.map_or(Ok(String::new()), read)) {
        (Ok(system), Ok(chan)) => {
            print(control::config::dahdi::import(&system, &chan).trim_end());
            ExitCode::SUCCESS
        }
        (Err(why), _) | (_, Err(why)) => no(&why),
    }
}

/// What is replayed.
#[derive(Debug, Subcommand)]
pub(super) enum Sim {
    /// Dispatch: every scheme on the same traffic, then scale and bad days.
    Dispatch {
        /// Whence chance comes.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Length of each run in seconds of virtual time (a day: 86400).
        #[arg(long, default_value_t = 900)]
        length: u32,
        /// Servers of the last run, the one with failures.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(2..=10_000))]
        servers: u32,
        /// Put a picture of each run into this folder, as SVG.
        #[arg(long)]
        plot: Option<PathBuf>,
    },
}

/// What is done with them.
#[derive(Debug, Subcommand)]
pub(super) enum Cdr {
    /// Check every finished file of a folder by its trailer, and that none is missing.
    Check {
        /// The folder.
        folder: PathBuf,
    },
}

impl Cdr {
    pub(super) fn run(self) -> ExitCode {
        let Cdr::Check { folder } = self;
        match crate::books::check(&folder) {
            Ok((files, rows)) => {
                print(&format!("{files} file(s), {rows} row(s), all whole"));
                ExitCode::SUCCESS
            }
            Err(why) => no(&why),
        }
    }
}

impl Sim {
    pub(super) fn run(self) -> ExitCode {
        let Sim::Dispatch { seed, length, servers, plot } = self;
        let mut rows = Vec::new();
        let mut gallery = sim::gallery(Seed(seed));
        if let Some((name, scenario)) = gallery.last_mut() {
            *name = format!("{servers} servers, failures");
            scenario.servers = sim::mixed(usize::try_from(servers).unwrap_or(usize::MAX));
        }
        for (name, mut scenario) in gallery {
            scenario.length_s = f64::from(length.max(1)) + scenario.warm_up_s;
            let out = sim::run(&scenario);
            if let Some(folder) = &plot
                && let Err(error) = picture(folder, &name, &out)
            {
                return no(&error);
            }
            rows.push((name, scenario, out));
        }
        print(Outcome::table(&rows).trim_end());
        ExitCode::SUCCESS
    }
}

fn picture(folder: &Path, name: &str, out: &Outcome) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let file: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    std::fs::write(folder.join(format!("{file}.svg")), plot::svg(name, out))
}

pub(super) fn migrate(config: &Path) -> ExitCode {
    let config = match crate::config::load(config) {
        Ok(config) => config,
        Err(error) => return no(&error),
    };
    match crate::store::migrate(&config.store.url) {
        Ok(0) => print("the store is up to date"),
        Ok(steps) => print(&format!("the store is up to date after {steps} step(s)")),
        Err(error) => return no(&error),
    }
    ExitCode::SUCCESS
}
