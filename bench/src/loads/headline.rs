//! `carillon-bench headline`: complete VoiceXML calls held at once, media on one core and everything else, this tool
//! included, on another.

use super::ivr;
use super::site::{Running, Size};
use crate::demo::server::KEY;
use crate::farend::io::pin_threads;
use crate::load::{Common, Over, RampOptions, Target, publish, run_ramp};
use serde_json::{Value, json};
use std::path::PathBuf;

/// `carillon-bench headline`.
#[derive(Clone, Debug, clap::Args)]
pub struct HeadlineOptions {
    /// Calls held up at once.
    #[arg(long, default_value_t = 5_000)]
    pub hold: u64,
    /// Look for the largest number that goes well, up to this; 0: only --hold.
    #[arg(long, default_value_t = 0)]
    pub max: u64,
    /// Each number is measured so long, s.
    #[arg(long, default_value_t = 30)]
    pub seconds: u64,
    /// Net backend of the server: auto, sockets, xdp or plain.
    #[arg(long, default_value = "auto")]
    pub backend: String,
    /// Interface of the server for xdp; loopback is `lo`.
    #[arg(long)]
    pub interface: Option<String>,
    /// The `carillon` program; default: beside this one.
    #[arg(long)]
    pub carillon: Option<PathBuf>,
    /// Core of everything but the server's media thread, which takes the last one.
    #[arg(long, default_value_t = 0)]
    pub rest_core: usize,
    /// Bind nothing to cores.
    #[arg(long)]
    pub no_pin: bool,
    /// Packets more than 5 ms late that a clean run may have, %.
    #[arg(long, default_value_t = 1.0)]
    pub late_max: f64,
    /// Chance.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Write the result here as JSON.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Write a page with plots here.
    #[arg(long)]
    pub html: Option<PathBuf>,
    /// Plain lines even on a terminal.
    #[arg(long)]
    pub plain: bool,
    /// The server's files stay.
    #[arg(long)]
    pub keep: bool,
}

/// Runs it; true: the number (or the largest one looked for) was held cleanly, and this tool did not bound it.
///
/// # Errors
/// What keeps it from running.
pub async fn headline(options: HeadlineOptions) -> Result<bool, Box<dyn std::error::Error>> {
    let (result, well) = run(&options).await?;
    publish(options.json.as_deref(), options.html.as_deref(), &result)?;
    Ok(well)
}

/// Runs it; the result, and whether it went well.
///
/// # Errors
/// What keeps it from running.
pub async fn run(options: &HeadlineOptions) -> Result<(Value, bool), Box<dyn std::error::Error>> {
    let most = options.hold.max(options.max);
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let rate = most as f64 / ivr::CALL_SECONDS * 1.05;
    let (calls, backend, interface) =
        (usize::try_from(most)?, options.backend.clone(), options.interface.clone());
    let size = Size { calls, rate, backend, interface, trunk: None };
    let mut running = Running::start(options.carillon.as_deref(), "carillon-headline", &size).await?;
    if options.keep {
        running.keep();
        crate::say!("files of the server: {}", running.dir.display());
    }
    let pid = running.server.pid();
    let mut pinned = Value::Null;
    if !options.no_pin {
        // The media threads have bound themselves to the last cores already.
        let (server, own) =
            (pin_threads(pid, options.rest_core, "media-"), pin_threads(0, options.rest_core, ""));
        pinned = json!({ "core": options.rest_core, "threads_of_the_server": server, "threads_of_this_tool": own });
    }
    let common = common(options, &running, pid);
    let target = Target {
        target: running.server.sip_addr(),
        transport: Over::Udp,
        to: "+15559{n}".into(),
        from: "bench".into(),
        rate,
    };
    let ramp = RampOptions::between(
        common,
        target,
        (options.hold, most),
        (options.seconds, ivr::CALL_SECONDS),
        options.late_max,
    );
    let outcome = run_ramp(&ramp).await;
    let records = records(&running).await;
    let site = running.site.result();
    running.stop().await;
    let (mut result, well) = outcome?;
    if let Some(all) = result.as_object_mut() {
        for (name, value) in [
            ("kind", json!("headline")),
            ("pinned", pinned),
            ("backend_asked_for", json!(options.backend)),
            ("calls_by_disposition", records),
            ("documents_fetched", site["by_path"].clone()),
        ] {
            all.insert(name.into(), value);
        }
    }
    Ok((result, well))
}

fn common(options: &HeadlineOptions, running: &Running, pid: u32) -> Common {
    Common {
        scenario: Some(running.dir.join("caller.txt")),
        seed: options.seed,
        core: (!options.no_pin).then_some(options.rest_core),
        // It shares its core with the server's other threads: its ticks are to be punctual all the same.
        realtime: !options.no_pin,
        server_pid: Some(pid),
        plain: options.plain,
        ..Common::default()
    }
}

/// What the server says of its finished calls, by disposition: each has its record.
async fn records(running: &Running) -> Value {
    let url = format!("http://{}/metrics", running.server.http_addr());
    let answer = reqwest::Client::new().get(url).bearer_auth(KEY).send().await;
    let text = match answer {
        Ok(r) => r.text().await.unwrap_or_default(),
        Err(_) => String::new(),
    };
    let mut all = serde_json::Map::new();
    for line in text.lines().filter(|l| l.starts_with("carillon_calls_total")) {
        let name = line.split('"').nth(1).unwrap_or("all");
        let n = line.rsplit(' ').next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0);
        all.insert(name.into(), json!(n));
    }
    Value::Object(all)
}
