//! `carillon-bench web`: a server of VoiceXML documents and prompts that is slow, wrong or silent as often as it is told.

use super::ivr;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use units::{Rng, Seed};

use crate::farend::scenario::{Span, percent, span};

/// Octets of the largest file served from a folder.
const FILE_MAX: u64 = 64 << 20;
/// Paths counted apart.
const PATHS_MAX: usize = 1000;

/// `carillon-bench web`.
#[derive(Clone, Debug, clap::Args)]
pub struct WebOptions {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8090")]
    pub listen: SocketAddr,
    /// Folder that is served; without one, the IVR workload (app.vxml and its prompts).
    #[arg(long)]
    pub root: Option<PathBuf>,
    /// Each answer waits so long: `20ms`, or `5ms..200ms` drawn evenly.
    #[arg(long, default_value = "0ms", value_parser = span)]
    pub latency: Span,
    /// Share answered 500.
    #[arg(long, default_value = "0%", value_parser = percent)]
    pub errors: f64,
    /// Share never answered (the connection stays open for ten minutes).
    #[arg(long, default_value = "0%", value_parser = percent)]
    pub hangs: f64,
    /// Share cut in the middle of its body.
    #[arg(long, default_value = "0%", value_parser = percent)]
    pub cuts: f64,
    /// Share of documents that are no XML.
    #[arg(long, default_value = "0%", value_parser = percent)]
    pub garbage: f64,
    /// What Cache-Control says.
    #[arg(long, default_value = "max-age=60")]
    pub cache: String,
    /// Chance.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Stop after so long, s; 0: at ctrl-C.
    #[arg(long, default_value_t = 0)]
    pub seconds: u64,
    /// Write what was asked and answered here as JSON.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

impl WebOptions {
    /// A well-behaved server of the IVR workload.
    #[must_use]
    pub fn good(listen: SocketAddr) -> Self {
        Self {
            listen,
            root: None,
            latency: Span { min_ms: 0, max_ms: 0 },
            errors: 0.0,
            hangs: 0.0,
            cuts: 0.0,
            garbage: 0.0,
            cache: "max-age=3600".into(),
            seed: 1,
            seconds: 0,
            json: None,
        }
    }
}

/// What it did.
#[derive(Debug)]
struct Tally {
    by_path: BTreeMap<String, u64>,
    by_fate: BTreeMap<&'static str, u64>,
    took_us: Histogram<u64>,
    rng: Rng,
}

/// A running web server; it ends with the runtime.
#[derive(Clone)]
pub struct Site {
    options: Arc<WebOptions>,
    files: Arc<BTreeMap<String, (&'static str, Vec<u8>)>>,
    tally: Arc<Mutex<Tally>>,
}

/// What happens to a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Good,
    Error,
    Hang,
    Cut,
    Garbage,
}

/// Serves until the time is over or ctrl-C.
///
/// # Errors
/// The address is refused, or the result cannot be written.
pub async fn web(options: WebOptions) -> Result<bool, Box<dyn std::error::Error>> {
    let (seconds, path) = (options.seconds, options.json.clone());
    let (site, addr) = Site::start(options).await?;
    crate::say!("serving http://{addr}/app.vxml");
    let time = async {
        match seconds {
            0 => std::future::pending().await,
            n => tokio::time::sleep(Duration::from_secs(n)).await,
        }
    };
    tokio::select! {
        () = time => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    let result = site.result();
    if let Some(path) = path {
        std::fs::write(&path, serde_json::to_string_pretty(&result)?)
            .map_err(|e| format!("--json {}: {e}", path.display()))?;
    }
    crate::say!("{}", serde_json::to_string_pretty(&result)?);
    Ok(true)
}

impl Site {
    /// Listens; its address.
    ///
    /// # Errors
    /// The address is refused, or the folder is none.
    pub async fn start(options: WebOptions) -> Result<(Self, SocketAddr), Box<dyn std::error::Error>> {
        if let Some(root) = options.root.as_ref().filter(|r| !r.is_dir()) {
            return Err(format!("--root {}: no folder", root.display()).into());
        }
        let listener = TcpListener::bind(options.listen)
            .await
            .map_err(|e| format!("--listen {}: {e}", options.listen))?;
        let addr = listener.local_addr()?;
        let files = ivr::FILES.iter().filter_map(|n| Some(((*n).to_owned(), ivr::file(n)?))).collect();
        let tally = Tally {
            by_path: BTreeMap::new(),
            by_fate: BTreeMap::new(),
            took_us: Histogram::new(3).expect("three digits are a valid precision"),
            rng: Seed(options.seed).rng(),
        };
        let site =
            Self { options: Arc::new(options), files: Arc::new(files), tally: Arc::new(Mutex::new(tally)) };
        let router = Router::new().fallback(answer).with_state(site.clone());
        tokio::spawn(async move {
            // Ends with the runtime.
            let _ = axum::serve(listener, router).await;
        });
        Ok((site, addr))
    }

    /// What was asked and answered so far.
    #[must_use]
    pub fn result(&self) -> Value {
        let t = self.tally();
        json!({
            "tool": concat!("carillon-bench ", env!("CARGO_PKG_VERSION")), "kind": "web",
            "command": crate::load::command(), "seed": self.options.seed,
            "machine": crate::load::Machine::here(),
            "requests": t.by_path.values().sum::<u64>(), "by_path": t.by_path, "by_fate": t.by_fate,
            "latency_us": crate::load::quantiles(&t.took_us),
        })
    }

    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Draws what happens to a request, and how long it takes.
    fn fate(&self, path: &str) -> (Fate, u32) {
        let o = &self.options;
        let mut t = self.tally();
        let path =
            if t.by_path.len() < PATHS_MAX || t.by_path.contains_key(path) { path } else { "(others)" };
        *t.by_path.entry(path.to_owned()).or_default() += 1;
        let wait = o.latency.draw(&mut t.rng);
        let drawn = t.rng.unit();
        let mut edge = 0.0;
        let fates = [
            (o.errors, Fate::Error, "error"),
            (o.hangs, Fate::Hang, "hang"),
            (o.cuts, Fate::Cut, "cut"),
            (o.garbage, Fate::Garbage, "garbage"),
        ];
        for (share, fate, name) in fates {
            edge += share;
            if drawn < edge {
                *t.by_fate.entry(name).or_default() += 1;
                return (fate, wait);
            }
        }
        *t.by_fate.entry("good").or_default() += 1;
        (Fate::Good, wait)
    }

    fn file(&self, path: &str) -> Option<(&'static str, Vec<u8>)> {
        let name = path.trim_start_matches('/');
        let Some(root) = &self.options.root else { return self.files.get(name).cloned() };
        // Only downwards.
        let relative = Path::new(name);
        if !relative.components().all(|c| matches!(c, Component::Normal(_))) {
            return None;
        }
        let file = root.join(relative);
        if std::fs::metadata(&file).ok().is_none_or(|m| !m.is_file() || m.len() > FILE_MAX) {
            return None;
        }
        let kind = match file.extension().and_then(|e| e.to_str()) {
            Some("vxml" | "xml") => "application/voicexml+xml",
            Some("grxml") => "application/srgs+xml",
            Some("wav") => "audio/x-wav",
            Some("js") => "text/javascript",
            _ => "application/octet-stream",
        };
        Some((kind, std::fs::read(file).ok()?))
    }
}

async fn answer(State(site): State<Site>, uri: Uri) -> Response {
    let begun = Instant::now();
    let (fate, wait) = site.fate(uri.path());
    if wait > 0 {
        tokio::time::sleep(Duration::from_millis(wait.into())).await;
    }
    let response = match fate {
        Fate::Hang => {
            tokio::time::sleep(Duration::from_secs(600)).await;
            StatusCode::GATEWAY_TIMEOUT.into_response()
        }
        Fate::Error => (StatusCode::INTERNAL_SERVER_ERROR, "wrong on purpose").into_response(),
        fate => served(&site, uri.path(), fate),
    };
    let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    // An auto-resizing histogram takes any value.
    let _ = site.tally().took_us.record(took);
    response
}

fn served(site: &Site, path: &str, fate: Fate) -> Response {
    let Some((kind, mut octets)) = site.file(path) else { return StatusCode::NOT_FOUND.into_response() };
    let mut headers = HeaderMap::new();
    let value = |text: &str| header::HeaderValue::from_str(text).ok();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    if let Some(cache) = value(&site.options.cache) {
        headers.insert(header::CACHE_CONTROL, cache);
    }
    match fate {
        Fate::Garbage => octets = b"<vxml><form><block>not closed".to_vec(),
        Fate::Cut => {
            // The length that is told is not kept: the connection breaks.
            headers.insert(header::CONTENT_LENGTH, octets.len().into());
            octets.truncate(octets.len() / 2);
            let half = Ok(axum::body::Bytes::from(octets));
            let broken = Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted));
            let body = axum::body::Body::from_stream(futures::stream::iter([half, broken]));
            return (headers, body).into_response();
        }
        _ => {}
    }
    (headers, octets).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_as_bad_as_told() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let options = WebOptions { errors: 0.3, garbage: 0.2, cuts: 0.1, ..WebOptions::good(any) };
        let (site, addr) = Site::start(options).await.expect("loopback");
        let (mut errors, mut garbage, mut cut, mut good) = (0, 0, 0, 0);
        for _ in 0..200 {
            let answer = reqwest::get(format!("http://{addr}/app.vxml")).await;
            match answer {
                Ok(r) if r.status() == 500 => errors += 1,
                Ok(r) => match r.text().await {
                    Ok(t) if t == ivr::APPLICATION => good += 1,
                    Ok(_) => garbage += 1,
                    Err(_) => cut += 1,
                },
                Err(_) => cut += 1,
            }
        }
        let fates = site.result()["by_fate"].clone();
        assert_eq!(fates, json!({"cut": cut, "error": errors, "garbage": garbage, "good": good}));
        assert!((35..85).contains(&errors) && cut > 5, "{fates}");
        let missing = reqwest::get(format!("http://{addr}/nothing")).await.expect("answers");
        assert!(missing.status() == 404 || missing.status() == 500);
    }
}
