//! `carillon-bench demo`: starts Carillon as a user would, on loopback, gives it three orders (by mail, by HTTP, and one
//! scheduled), plays the customer, and judges whether everything went exactly as the sample application demands.

pub mod audio;
mod judge;
pub mod mail;
mod orders;
pub mod server;
pub mod web;

use crate::farend::io::{FarEnd, Sockets};
use crate::farend::world::endpoint;
use crate::farend::{Scenario, World, WorldConfig};
use mail::Mailbox;
use orders::Given;
use server::Server;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use units::Seed;
use web::Web;

/// What the demo is told on its command line.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Leave everything running after the calls and print the URL of the status page.
    #[arg(long)]
    pub keep: bool,
    /// The `carillon` program; default: beside this one.
    #[arg(long)]
    pub carillon: Option<PathBuf>,
    /// Where the WAV files of what the customer heard go; default: a new temporary folder.
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// The customer: who answers how, by the last digits of the number.
const SCENARIO: &str = "\
person confirms number 0100
  ring 0.5s
  answer
  hear prompt within 20s
  press 1
  hear prompt within 20s
  press 4711
  hear start within 20s
  wait hangup 30s
person changes number 0101
  ring 0.5s
  answer
  hear prompt within 20s
  press 2
  hear prompt within 20s
  press 24
  hear start within 20s
  wait hangup 30s
person waits number 0102
  ring 1s
  answer
  hear prompt within 20s
  press 1
  hear prompt within 20s
  press 0815
  hear start within 20s
  wait hangup 30s
";

/// A prompt has ended after so much quiet; longer than the pauses inside the sample's prompts.
const QUIET_MS: u32 = 900;

/// The calls take at most this long.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs the demo. True: all went as it should.
///
/// # Errors
/// What keeps it from running at all.
pub async fn run(options: Options) -> Result<bool, Box<dyn std::error::Error>> {
    let begun = Instant::now();
    let say = |what: &str| crate::say!("{:>7.1}s  {what}", begun.elapsed().as_secs_f64());
    let out = options.out.clone().unwrap_or_else(|| scratch("carillon-demo"));
    std::fs::create_dir_all(&out)?;
    let web = Web::start().await?;
    say(&format!("the third party's web server: {}", web.application()));
    let mailbox = Mailbox::start().await?;
    say(&format!("the third party's mailbox: {}", mailbox.addr()));
    let customer = customer()?;
    say(&format!("the customer's telephones: sip {}", customer.sip_addr()));
    let server = Server::start(&server::Setup {
        program: options.carillon.as_deref(),
        dir: &out,
        trunk: customer.sip_addr(),
        mailbox: mailbox.addr(),
        extra: "",
    })?;
    server.ready(Duration::from_secs(20)).await?;
    say(&format!("carillon serve --config {} is up", server.config_path().display()));

    let mut given = orders::give_all(&server, &web).await?;
    for g in &given {
        say(&format!("{}: accepted as {}", g.what, g.id));
    }
    follow(&server, &mut given, &say).await?;
    let logs = collect(&customer, given.len());
    let verdict = judge::judge(&judge::Evidence {
        given: &given,
        logs: &logs,
        web: &web,
        mailbox: &mailbox,
        out: &out,
    })
    .await;
    judge::print(&given, &web, &mailbox, &verdict);
    if options.keep {
        crate::say!("\nstatus pages: {}  (key: {})\nctrl-C ends it", server.status_url(), server::KEY);
        tokio::signal::ctrl_c().await?;
    }
    server.stop().await;
    customer.stop();
    Ok(verdict.all_well())
}

fn customer() -> Result<FarEnd, Box<dyn std::error::Error>> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let sockets = Sockets::bind(any, any)?;
    let config = WorldConfig {
        sip: sockets.sip_addr()?,
        rtp: sockets.rtp_addr()?,
        scenario: Arc::new(Scenario::parse(SCENARIO, &|_| None)?),
        keep_audio: true,
        quiet_ms: QUIET_MS,
        seed: Seed(u64::from(std::process::id())),
    };
    let world = World::new(config.clone(), endpoint(&config));
    Ok(FarEnd::start(sockets, world)?)
}

/// Shows each change of each order until all are done.
async fn follow(
    server: &Server,
    given: &mut [Given],
    say: &dyn Fn(&str),
) -> Result<(), Box<dyn std::error::Error>> {
    let until = Instant::now() + PATIENCE;
    while given.iter().any(|g| !g.done()) {
        if Instant::now() > until {
            say("patience is over");
            break;
        }
        for g in given.iter_mut() {
            let status = server.status(&g.id).await?;
            if g.take(status) {
                say(&format!("{}: {}", g.what, g.state_line()));
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

fn collect(customer: &FarEnd, n: usize) -> Vec<crate::farend::CallLog> {
    (0..n).map_while(|_| customer.next_log(Duration::from_secs(5))).collect()
}

/// A new folder below the system's temporary one.
#[must_use]
pub fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("{name}-{}", std::process::id()))
}
