//! `carillon vxml`: tools for those who write VoiceXML and have no telephone at hand.

use clap::{Args, Subcommand};
use std::collections::VecDeque;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use units::Seed;
use url::Url;
use vxml::runner::{Run, RunConfig, Step, fetched, parse_script};
use vxml::session::{FetchError, FetchRequest, Fetched, Method};
use vxml::{Documents, Limits, SessionConfig, check};

#[derive(Debug, Subcommand)]
pub(super) enum Vxml {
    /// Tell every problem of documents with line, column and section.
    Check(Check),
    /// Run a document in virtual time against a scripted caller, or with you as the caller.
    Run(RunArgs),
}

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Files or URLs.
    #[arg(required = true)]
    documents: Vec<String>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Accept what other platforms accept.
    #[arg(long)]
    lenient: bool,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// A file or a URL; `#dialog` names where to begin.
    document: String,
    /// What the caller does, a step a line (`press 12#`, `say words`, `silence`, `nomatch`, `hangup`, `transfer busy`,
    /// `record 5s`); without it steps are read from standard input.
    #[arg(long)]
    input: Option<PathBuf>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Accept what other platforms accept.
    #[arg(long)]
    lenient: bool,
    /// Chance of scripts.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Bad usage: a file or script that cannot be read.
const USAGE: u8 = 2;

fn usage(why: &str) -> ExitCode {
    eprintln!("carillon vxml: {why}");
    ExitCode::from(USAGE)
}

impl Vxml {
    pub(super) fn run(&self) -> ExitCode {
        match self {
            Vxml::Check(c) => c.run(),
            Vxml::Run(r) => r.run(),
        }
    }
}

impl Check {
    fn run(&self) -> ExitCode {
        let web = Web::new();
        let mut bad = false;
        for name in &self.documents {
            let url = match address(name) {
                Ok(url) => url,
                Err(why) => return usage(&why),
            };
            let document = match web.get(&url, Duration::from_secs(10)) {
                Ok(document) => document,
                Err(why) => return usage(&format!("{name}: {why}")),
            };
            for problem in check::check(&url, &document.body, self.lenient, &Limits::default()) {
                bad = true;
                super::print(&if self.json {
                    check::machine(name, &problem).to_string()
                } else {
                    check::human(name, &problem)
                });
            }
        }
        ExitCode::from(u8::from(bad))
    }
}

impl RunArgs {
    fn run(&self) -> ExitCode {
        let url = match address(&self.document) {
            Ok(url) => url,
            Err(why) => return usage(&why),
        };
        let mut script = match self.script() {
            Ok(script) => script,
            Err(why) => return usage(&why),
        };
        let web = Web::new();
        if let Err(why) = web.get(&url, Duration::from_secs(10)) {
            return usage(&format!("{}: {why}", self.document));
        }
        let mut session = SessionConfig::new(url.as_str());
        session.lenient = self.lenient;
        session.seed = Seed(self.seed);
        let started = std::time::Instant::now();
        session.clock = Some(std::sync::Arc::new(move || {
            units::Mono(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX))
        }));
        let mut documents = Documents::new(64);
        let fetch = |request: &FetchRequest| web.answer(request);
        let mut run = Run::new(RunConfig::new(session), &mut documents, fetch, move |turn| script.next(turn));
        while let Some(line) = run.next_line() {
            super::print(&if self.json { line.0.to_string() } else { line.human() });
        }
        ExitCode::from(run.ended().status)
    }

    fn script(&self) -> Result<Caller, String> {
        let Some(path) = &self.input else { return Ok(Caller::Keyboard) };
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let steps = parse_script(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Caller::Script(steps.into()))
    }
}

/// Who plays the caller.
enum Caller {
    Script(VecDeque<Step>),
    Keyboard,
}

impl Caller {
    fn next(&mut self, turn: &str) -> Option<Step> {
        match self {
            Caller::Script(steps) => steps.pop_front(),
            Caller::Keyboard => keyboard(turn),
        }
    }
}

/// Asks at the keyboard until a line is a step; the end of input hangs up.
fn keyboard(turn: &str) -> Option<Step> {
    loop {
        eprint!("{turn}> ");
        let mut line = String::new();
        if std::io::stdin().lock().read_line(&mut line).ok()? == 0 {
            return Some(Step::Hangup);
        }
        match Step::parse(line.trim()) {
            Some(step) => return Some(step),
            None => eprintln!(
                "press KEYS, say WORDS, silence, nomatch, hangup, transfer busy|noanswer|answered 12s|..., record 5s"
            ),
        }
    }
}

/// A URL as it is, or a file as a `file:` URL; a `#dialog` behind a file's name stays.
fn address(name: &str) -> Result<Url, String> {
    if name.starts_with("http://") || name.starts_with("https://") {
        return Url::parse(name).map_err(|e| format!("{name}: {e}"));
    }
    let (file, fragment) = match name.split_once('#') {
        Some((file, fragment)) if !Path::new(name).exists() => (file, Some(fragment)),
        _ => (name, None),
    };
    let path = std::fs::canonicalize(file).map_err(|e| format!("{file}: {e}"))?;
    let mut url = Url::from_file_path(path).map_err(|()| format!("{file} is no file"))?;
    url.set_fragment(fragment);
    Ok(url)
}

/// The author's own disk and network: no guard stands between, since who runs this tool may read both anyway.
struct Web {
    runtime: Option<tokio::runtime::Runtime>,
    client: reqwest::Client,
}

impl Web {
    fn new() -> Self {
        // A second call finds the provider there.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok();
        Self { runtime, client: reqwest::Client::new() }
    }

    fn get(&self, url: &Url, at_most: Duration) -> Result<Fetched, String> {
        self.send(url, self.client.get(url.clone()).timeout(at_most)).map_err(|e| match e {
            FetchError::Status(code) => format!("HTTP {code}"),
            other => format!("{other:?}"),
        })
    }

    fn answer(&self, request: &FetchRequest) -> Result<Fetched, FetchError> {
        let url = Url::parse(&request.url).map_err(|_| FetchError::BadUri)?;
        let fields: Vec<(String, String)> = request
            .fields
            .iter()
            .map(|f| match &f.value {
                vxml::session::FieldValue::Text(text) => (f.name.clone(), text.clone()),
                vxml::session::FieldValue::Recording(name) => (f.name.clone(), name.clone()),
            })
            .collect();
        let builder = match request.method {
            Method::Get => self.client.get(url.clone()),
            Method::PostUrlencoded => {
                let body =
                    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
                let kind = "application/x-www-form-urlencoded";
                self.client.post(url.clone()).header("Content-Type", kind).body(body)
            }
            Method::PostMultipart => {
                let form = fields
                    .into_iter()
                    .fold(reqwest::multipart::Form::new(), |form, (name, value)| form.text(name, value));
                self.client.post(url.clone()).multipart(form)
            }
        };
        self.send(&url, builder.timeout(Duration::from_millis(request.timeout_ms.clamp(1, 60_000))))
    }

    fn send(&self, url: &Url, request: reqwest::RequestBuilder) -> Result<Fetched, FetchError> {
        if url.scheme() == "file" {
            let path = url.to_file_path().map_err(|()| FetchError::BadUri)?;
            let body = std::fs::read(path).map_err(|_| FetchError::Status(404))?;
            return Ok(fetched(url.as_str(), kind_of(url.path()), body));
        }
        if !matches!(url.scheme(), "http" | "https") {
            return Err(FetchError::BadUri);
        }
        let runtime = self.runtime.as_ref().ok_or(FetchError::Unreachable)?;
        runtime.block_on(async {
            let failed = |e: reqwest::Error| {
                if e.is_timeout() { FetchError::Timeout } else { FetchError::Unreachable }
            };
            let answer = request.send().await.map_err(failed)?;
            if !answer.status().is_success() {
                return Err(FetchError::Status(answer.status().as_u16()));
            }
            let header = answer.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or("");
            let kind = header.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
            let at = answer.url().to_string();
            let body = answer.bytes().await.map_err(failed)?;
            Ok(fetched(&at, &kind, body.to_vec()))
        })
    }
}

/// The media type that a file's ending stands for.
fn kind_of(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or("") {
        "vxml" => "application/voicexml+xml",
        "grxml" => "application/srgs+xml",
        "gram" => "application/srgs",
        "js" => "application/ecmascript",
        "xml" => "application/xml",
        "wav" => "audio/x-wav",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_dialog_is_a_fragment() {
        let dir = std::env::temp_dir();
        let file = dir.join(format!("carillon-cli-{}.vxml", std::process::id()));
        std::fs::write(&file, "<vxml/>").expect("a temporary file");
        let url = address(&format!("{}#menu", file.display())).expect("a URL");
        std::fs::remove_file(&file).expect("ours");
        assert_eq!((url.scheme(), url.fragment()), ("file", Some("menu")));
        assert!(address("/nowhere/at/all.vxml").is_err());
    }
}
