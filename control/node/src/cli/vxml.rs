//! `carillon vxml`: tools for those who write VoiceXML and have no telephone at hand.

use crate::fetch::Fetcher;
use clap::{Args, Subcommand};
use std::collections::VecDeque;
use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use units::Seed;
use url::Url;
use vxml::runner::{Run, RunConfig, Step, fetched, parse_script};
use vxml::session::{Caching, Connection, FetchError, FetchRequest, Fetched, Method, Resource};
use vxml::{Documents, Limits, SessionConfig, check};

#[derive(Debug, Subcommand)]
pub(super) enum Vxml {
    /// Tell every problem of documents with line, column and section.
    ///
    /// Exit status: 0 no problem, 1 problems, 2 bad usage or a document that cannot be read.
    Check(Check),
    /// Run a document in virtual time against a scripted caller, or with you as the caller.
    ///
    /// Exit status: 0 the session ended by exit, disconnect, hang-up or the end of the document, 1 by an event that
    /// nobody caught, 2 bad usage.
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
    /// Accept what other platforms accept: VoiceXML 1.0, a missing namespace, unknown attributes, undeclared variables.
    #[arg(long)]
    lenient: bool,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// A file or a URL; `#dialog` names where to begin.
    document: String,
    /// What the caller does, one step a line, taken at each listening, recording and transfer; without it, or as `-`,
    /// steps are read from standard input, whose end hangs up.
    ///
    /// `press 12#`; `say words` (`say a / b@0.4` is an N-best list); `silence`; `nomatch`; `hangup`;
    /// `record 5s`; `transfer END [TIME]`, where END is one of busy, noanswer, answered, network_busy,
    /// near_end_disconnect, far_end_disconnect, network_disconnect, maxtime_disconnect, transferred, unknown,
    /// noauthorization, baddestination, noroute, noresource, unsupported. After the last step the caller hangs up.
    #[arg(long, value_name = "SCRIPT")]
    input: Option<PathBuf>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Accept what other platforms accept: VoiceXML 1.0, a missing namespace, unknown attributes, undeclared variables.
    #[arg(long)]
    lenient: bool,
    /// Where `Math.random` of scripts begins.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Bad usage: a file or script that cannot be read.
const USAGE: u8 = 2;
/// How long `check` waits for a document.
const PATIENCE: Duration = Duration::from_secs(10);

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
    /// All documents are looked at, also after one that cannot be read.
    fn run(&self) -> ExitCode {
        let web = match Web::new() {
            Ok(web) => web,
            Err(why) => return usage(&why),
        };
        let mut status = 0;
        for name in &self.documents {
            match self.problems(&web, name) {
                Ok(0) => {}
                Ok(_) => status = status.max(1),
                Err(why) => {
                    eprintln!("carillon vxml: {why}");
                    status = USAGE;
                }
            }
        }
        ExitCode::from(status)
    }

    fn problems(&self, web: &Web, name: &str) -> Result<usize, String> {
        let url = address(name)?;
        let document = web.get(&url).map_err(|why| format!("{name}: {}", words(&why)))?;
        let limits = Limits::default();
        let charset = document.charset.as_deref();
        let mut grammar = |url: &Url| web.get_as(url, Resource::Grammar).map_err(|why| words(&why));
        let fetch: check::Fetch<'_> = &mut grammar;
        let problems = check::check_with(&url, &document.body, charset, self.lenient, &limits, Some(fetch));
        for check::Found { file, problem } in &problems {
            let file = file.as_deref().map_or(name.to_owned(), shown);
            super::print(&if self.json {
                check::machine(&file, problem).to_string()
            } else {
                check::human(&file, problem)
            });
        }
        Ok(problems.len())
    }
}

impl RunArgs {
    fn run(&self) -> ExitCode {
        let ready = address(&self.document).and_then(|url| Ok((url, self.script()?, Web::new()?)));
        let (url, mut script, web) = match ready {
            Ok(ready) => ready,
            Err(why) => return usage(&why),
        };
        let mut session = SessionConfig::new(url.as_str());
        session.lenient = self.lenient;
        session.seed = Seed(self.seed);
        session.id = "run".into();
        session.connection = Connection {
            local_uri: LOCAL.to_owned().into(),
            remote_uri: REMOTE.to_owned().into(),
            protocol_name: "sip".into(),
            protocol_version: "2.0".into(),
            ..Connection::default()
        };
        let started = std::time::Instant::now();
        session.clock = Some(Arc::new(move || {
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
        let Some(path) = self.input.as_ref().filter(|p| p.as_os_str() != "-") else {
            return Ok(Caller::Keyboard);
        };
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let steps = parse_script(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Caller::Script(steps.into()))
    }
}

/// What `session.connection` says in a run: the caller's number and ours.
const REMOTE: &str = "tel:+15555550100";
/// See [`REMOTE`].
const LOCAL: &str = "sip:carillon@localhost";

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

/// Asks until a line is a step; the end of input hangs up. A person is prompted, a pipe is not; there as in a script
/// empty lines and comments are passed over.
fn keyboard(turn: &str) -> Option<Step> {
    let person = std::io::stdin().is_terminal();
    loop {
        if person {
            eprint!("{turn}> ");
        }
        let mut line = String::new();
        if std::io::stdin().lock().read_line(&mut line).ok()? == 0 {
            return Some(Step::Hangup);
        }
        let line = line.trim().trim_start_matches('\u{feff}');
        if !person && (line.is_empty() || line.starts_with('#')) {
            continue;
        }
        match Step::parse(line) {
            Some(step) => return Some(step),
            None => eprintln!("carillon vxml: '{line}' is no step ({})", Step::HELP),
        }
    }
}

/// A URL as it is, or a file as a `file:` URL; a `#dialog` behind a file's name stays.
fn address(name: &str) -> Result<Url, String> {
    // A scheme has two letters at least: `C:` is a drive.
    let scheme = name.split_once(':').map(|(s, _)| s).filter(|s| s.len() > 1 && !Path::new(name).exists());
    let url = match scheme.filter(|s| s.bytes().all(|b| b.is_ascii_alphanumeric())) {
        Some(_) => Url::parse(name).map_err(|e| format!("{name}: {e}"))?,
        None => return file_address(name),
    };
    match url.scheme() {
        "http" | "https" | "file" => Ok(url),
        other => Err(format!("{name}: a document is fetched by http:, https: or file:, not by {other}:")),
    }
}

/// A URL as people write it: a file by its path.
fn shown(url: &str) -> String {
    let path = Url::parse(url).ok().filter(|u| u.scheme() == "file").and_then(|u| u.to_file_path().ok());
    path.map_or_else(|| url.to_owned(), |p| p.display().to_string())
}

fn file_address(name: &str) -> Result<Url, String> {
    let (file, fragment) = match name.split_once('#') {
        Some((file, fragment)) if !Path::new(name).exists() => (file, Some(fragment)),
        _ => (name, None),
    };
    let path = std::fs::canonicalize(file).map_err(|e| format!("{file}: {e}"))?;
    if path.is_dir() {
        return Err(format!("{file}: this is a directory"));
    }
    let mut url = Url::from_file_path(path).map_err(|()| format!("{file} is no file"))?;
    url.set_fragment(fragment);
    Ok(url)
}

/// Why there is no document, for people.
fn words(error: &FetchError) -> String {
    match error {
        FetchError::Status(404) => "not found (404)".into(),
        FetchError::Status(code) => format!("the server answers {code}"),
        FetchError::Timeout => format!("no answer within {} s", PATIENCE.as_secs()),
        FetchError::Unreachable => "the server cannot be reached".into(),
        FetchError::Forbidden => "not allowed".into(),
        FetchError::TooLarge => "too large".into(),
        FetchError::TooManyRedirects => "too many redirects".into(),
        FetchError::BadUri => "no URL that can be fetched".into(),
    }
}

/// The author's own disk and network: the fetcher of the node with its cookies, cache, limits and redirects, but no
/// address is forbidden, since who runs this tool may reach them all anyway. Files are read for documents that are
/// files themselves; the session refuses them to others.
struct Web {
    runtime: tokio::runtime::Runtime,
    fetcher: Arc<Fetcher>,
    octets_max: u64,
}

impl Web {
    fn new() -> Result<Self, String> {
        // A second call finds the provider there.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let rules = control::config::Fetch {
            allow_networks: vec!["0.0.0.0/0".into(), "::/0".into()],
            plain_http: true,
            ports: (1..=u16::MAX).collect(),
            ..control::config::Fetch::default()
        };
        let octets_max = rules.body_max.bytes;
        // The runner keeps no sound: a recording is a second of silence.
        let recordings = Arc::new(|_: &str| Some(("audio/basic".to_owned(), vec![0xFF; 8000])));
        let fetcher = Fetcher::new(&rules, recordings)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Self { runtime: runtime.map_err(|e| e.to_string())?, fetcher, octets_max })
    }

    fn get(&self, url: &Url) -> Result<Fetched, FetchError> {
        self.get_as(url, Resource::Document)
    }

    fn get_as(&self, url: &Url, resource: Resource) -> Result<Fetched, FetchError> {
        let mut url = url.clone();
        url.set_fragment(None);
        self.answer(&FetchRequest {
            url: url.into(),
            resource,
            method: Method::Get,
            fields: Vec::new(),
            timeout_ms: u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX),
            caching: Caching::default(),
            fetchaudio: None,
            prefetch: false,
        })
    }

    fn answer(&self, request: &FetchRequest) -> Result<Fetched, FetchError> {
        let url = Url::parse(&request.url).map_err(|_| FetchError::BadUri)?;
        if url.scheme() == "file" {
            return self.file(&url);
        }
        self.runtime.block_on(self.fetcher.fetch((0, units::CallId(0)), request.clone()))
    }

    fn file(&self, url: &Url) -> Result<Fetched, FetchError> {
        let path = url.to_file_path().map_err(|()| FetchError::BadUri)?;
        let about = std::fs::metadata(&path).map_err(|_| FetchError::Status(404))?;
        if about.len() > self.octets_max {
            return Err(FetchError::TooLarge);
        }
        let body = std::fs::read(path).map_err(|_| FetchError::Status(404))?;
        Ok(fetched(url.as_str(), kind_of(url.path()), body))
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

    #[test]
    fn an_address_that_is_none_is_told_in_words() {
        let why = |name: &str| address(name).expect_err("no address");
        assert_eq!(
            why("ftp://h/a.vxml"),
            "ftp://h/a.vxml: a document is fetched by http:, https: or file:, not by ftp:"
        );
        assert!(why("/tmp").ends_with("this is a directory"));
        assert!(why("https://").ends_with("empty host"));
        assert_eq!(address("HTTP://h/a").map(String::from), Ok("http://h/a".to_owned()));
        assert_eq!(
            address("file:///a.vxml#m").map(|u| u.fragment().map(str::to_owned)),
            Ok(Some("m".to_owned()))
        );
    }

    #[test]
    fn a_file_of_that_name_is_not_there() {
        let web = Web::new().expect("a fetcher");
        let url = Url::parse("file:///nowhere/at/all.vxml").expect("a URL");
        assert_eq!(web.get(&url).map(|f| f.body.len()), Err(FetchError::Status(404)));
    }
}
