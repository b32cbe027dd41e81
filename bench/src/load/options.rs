//! What the load commands are told.

use super::machine::Watch;
use crate::farend::io::{FarEnd, Sockets, Tls};
use crate::farend::pacer::Pace;
use crate::farend::world::{Campaign, endpoint_at};
use crate::farend::{Scenario, World, WorldConfig};
use signalling::leg::Transport;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use units::{Codec, Seed};

type Failure = Box<dyn std::error::Error>;

/// SIP transports, as words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Over {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS.
    Tls,
}

/// Codecs, as words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Coding {
    /// G.711 mu-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
}

/// What both sides share.
#[derive(Clone, Debug, clap::Args)]
pub struct Common {
    /// Scenario file (docs/load.md); `sip` needs none.
    #[arg(long)]
    pub scenario: Option<PathBuf>,
    /// Where our SIP is spoken: UDP, TCP too, and TLS at the port above with --tls-certificate.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub sip: SocketAddr,
    /// Where our RTP goes.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub rtp: SocketAddr,
    /// RTP sockets: as many as calls that the server sends from one address (sipp does); 1 is cheapest.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub rtp_ports: u16,
    /// Codecs offered and taken, best first.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Coding::Pcmu, Coding::Pcma])]
    pub codecs: Vec<Coding>,
    /// Our certificate chain (PEM) for calls over TLS.
    #[arg(long, requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
    /// Check the server's certificate against this authority (PEM); without it any is taken.
    #[arg(long)]
    pub tls_authority: Option<PathBuf>,
    /// A prompt has ended after so much quiet, ms.
    #[arg(long, default_value_t = 900)]
    pub quiet_ms: u32,
    /// Chance; printed in the result, so that a run can be repeated.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Bind the far end's thread to this core.
    #[arg(long)]
    pub core: Option<usize>,
    /// Run the far end's thread under SCHED_FIFO.
    #[arg(long)]
    pub realtime: bool,
    /// Write the result here as JSON.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Write a page with plots here; it needs no other file.
    #[arg(long)]
    pub html: Option<PathBuf>,
    /// Write one line a call here as CSV.
    #[arg(long)]
    pub csv: Option<PathBuf>,
    /// Process to measure beside (the server's): CPU, memory, threads, sockets.
    #[arg(long, conflicts_with = "server_agent")]
    pub server_pid: Option<u32>,
    /// The same on another machine: URL of its `carillon-bench agent`.
    #[arg(long)]
    pub server_agent: Option<String>,
    /// Stop after so long, s; 0: at ctrl-C, or when all calls are over.
    #[arg(long, default_value_t = 0)]
    pub seconds: u64,
    /// Plain lines even on a terminal.
    #[arg(long)]
    pub plain: bool,
    /// Send no RTP: signalling alone.
    #[arg(long)]
    pub mute: bool,
}

impl Default for Common {
    /// What an empty command line says.
    fn default() -> Self {
        #[derive(clap::Parser)]
        struct Alone {
            #[command(flatten)]
            common: Common,
        }
        <Alone as clap::Parser>::parse_from([""]).common
    }
}

impl Common {
    /// The server to measure.
    #[must_use]
    pub fn watch(&self) -> Option<Watch> {
        self.server_pid.map(Watch::Pid).or_else(|| self.server_agent.clone().map(Watch::Agent))
    }
}

/// Whom to call.
#[derive(Clone, Debug, clap::Args)]
pub struct Target {
    /// Next hop.
    #[arg(long)]
    pub target: SocketAddr,
    /// SIP transport to it.
    #[arg(long, value_enum, default_value_t = Over::Udp)]
    pub transport: Over,
    /// User called; `{n}` becomes the call's number.
    #[arg(long, default_value = "1000")]
    pub to: String,
    /// Our user; `{n}` becomes the call's number.
    #[arg(long, default_value = "bench")]
    pub from: String,
    /// New calls a second, at most.
    #[arg(long, default_value_t = 10.0)]
    pub rate: f64,
}

impl Target {
    /// The rate, if it is one.
    ///
    /// # Errors
    /// It is not in 0 < rate <= 10,000.
    pub fn rate(&self) -> Result<f64, Failure> {
        if self.rate > 0.0 && self.rate <= 10_000.0 {
            Ok(self.rate)
        } else {
            Err(format!("--rate {}: 0 < rate <= 10000", self.rate).into())
        }
    }

    /// Calls to it at a pace, from our address.
    #[must_use]
    pub fn campaign(&self, from: SocketAddr, pace: Pace) -> Campaign {
        let over = match self.transport {
            Over::Udp => "",
            Over::Tcp => ";transport=tcp",
            Over::Tls => ";transport=tls",
        };
        Campaign {
            pace,
            to: format!("sip:{}@{}{over}", self.to, self.target),
            from: format!("sip:{}@{from}", self.from),
            hop: self.target,
        }
    }
}

/// `carillon-bench call`.
#[derive(Clone, Debug, clap::Args)]
pub struct CallOptions {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) target: Target,
    /// Hold so many up; 0: the rate alone.
    #[arg(long, default_value_t = 0)]
    pub(super) hold: usize,
    /// Place so many in all; 0: no bound but the time.
    #[arg(long, default_value_t = 0)]
    pub(super) calls: u64,
}

/// `carillon-bench pstn`.
#[derive(Clone, Debug, clap::Args)]
pub struct PstnOptions {
    #[command(flatten)]
    pub(super) common: Common,
    /// Write here what rang: number, how often, and when (ms since the first ring).
    #[arg(long)]
    pub(super) rang: Option<PathBuf>,
}

/// `carillon-bench sip`.
#[derive(Clone, Debug, clap::Args)]
pub struct SipOptions {
    #[command(flatten)]
    pub(super) common: Common,
    /// Next hop; without one, what two endpoints in this process do.
    #[arg(long)]
    pub(super) target: Option<SocketAddr>,
    /// SIP transport to it.
    #[arg(long, value_enum, default_value_t = Over::Udp)]
    pub(super) transport: Over,
    /// User called; `{n}` becomes the call's number.
    #[arg(long, default_value = "1000")]
    pub(super) to: String,
    /// Calls a second.
    #[arg(long, default_value_t = 100.0)]
    pub(super) rate: f64,
    /// Calls in all; 0: no bound but --seconds.
    #[arg(long, default_value_t = 1000)]
    pub(super) calls: u64,
}

/// A call that is ended as soon as it is up.
pub(super) const SIGNALLING: &str = "person caller\n answer\n hangup\n";

/// The scenario that is named, or the one that a command brings.
fn scenario_of(common: &Common, own: Option<&str>) -> Result<Scenario, Failure> {
    match (&common.scenario, own) {
        (Some(path), _) => scenario(path),
        (None, Some(text)) => Ok(Scenario::parse(text, &|_| None)?),
        (None, None) => Err("--scenario FILE is missing (docs/load.md tells what stands in one)".into()),
    }
}

fn scenario(path: &Path) -> Result<Scenario, Failure> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let beside = path.parent().unwrap_or(Path::new(".")).to_owned();
    Scenario::parse(&text, &|name| std::fs::read(beside.join(name)).ok())
        .map_err(|e| format!("{}: {e}", path.display()).into())
}

/// Starts a far end as told; its calls go out over UDP.
///
/// # Errors
/// The scenario's wrong line, or what the system says of the sockets.
pub fn start(common: &Common) -> Result<(FarEnd, Arc<Scenario>), Failure> {
    start_over(common, Over::Udp, None)
}

/// Starts a far end that calls out over a transport, with the scenario that is named or else `own`.
///
/// # Errors
/// The scenario's wrong line, or what the system says of the sockets and certificates.
pub fn start_over(
    common: &Common,
    over: Over,
    own: Option<&str>,
) -> Result<(FarEnd, Arc<Scenario>), Failure> {
    let scenario = Arc::new(scenario_of(common, own)?);
    let certificate = common.tls_certificate.as_deref().zip(common.tls_key.as_deref());
    let tls = if certificate.is_some() || over == Over::Tls {
        Some(Tls::load(certificate, common.tls_authority.as_deref())?)
    } else {
        None
    };
    let sockets = Sockets::bind_many(common.sip, common.rtp, common.rtp_ports)
        .and_then(|s| s.listen(tls))
        .map_err(|e| format!("cannot listen on {} and {}: {e}", common.sip, common.rtp))?
        .placed(common.core, common.realtime);
    let config = WorldConfig {
        sip: sockets.sip_addr()?,
        rtp: sockets.rtp_addr()?,
        scenario: scenario.clone(),
        keep_audio: false,
        quiet_ms: common.quiet_ms,
        seed: Seed(common.seed),
    };
    let transport = match over {
        Over::Udp => Transport::Udp,
        Over::Tcp => Transport::Tcp,
        Over::Tls => Transport::Tls,
    };
    let codec = |c: &Coding| match c {
        Coding::Pcmu => Codec::Pcmu,
        Coding::Pcma => Codec::Pcma,
    };
    let world = World::new(config.clone(), endpoint_at(&config, sockets.advertised()))
        .over(transport)
        .with_ports(sockets.rtp_addrs()?)
        .with_codecs(common.codecs.iter().map(codec).collect())
        .muted(common.mute);
    Ok((FarEnd::start(sockets, world)?, scenario))
}
