//! The third party's web server: the application, its audio, the answers that callers submit, and a webhook receiver.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// What a caller's session submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The `choice` field.
    pub choice: String,
    /// The `code` field: the digits.
    pub code: String,
}

/// A webhook that came in.
#[derive(Clone, Debug)]
pub struct Hook {
    /// `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    pub headers: HeaderMap,
    /// Body.
    pub body: String,
}

/// What the web server has seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// Documents and audio fetched, in order.
    pub fetched: Vec<String>,
    /// Submissions.
    pub submissions: Vec<Submission>,
    /// Webhooks.
    pub hooks: Vec<Hook>,
}

/// A running web server.
#[derive(Clone, Debug)]
pub struct Web {
    addr: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

const FILES: &[(&str, &str, &[u8])] = &[
    ("app.vxml", "application/voicexml+xml", include_bytes!("../../demo/app.vxml")),
    ("welcome.wav", "audio/x-wav", include_bytes!("../../demo/welcome.wav")),
    ("code.wav", "audio/x-wav", include_bytes!("../../demo/code.wav")),
    ("another.wav", "audio/x-wav", include_bytes!("../../demo/another.wav")),
    ("thanks.wav", "audio/x-wav", include_bytes!("../../demo/thanks.wav")),
];

const FAREWELL: &str = include_str!("../../demo/farewell.vxml");

/// A file of the sample application.
#[must_use]
pub fn file(name: &str) -> Option<&'static [u8]> {
    FILES.iter().find(|f| f.0 == name).map(|f| f.2)
}

impl Web {
    /// Listens on a free loopback port until the runtime ends.
    ///
    /// # Errors
    /// What the system says.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let web = Self { addr: listener.local_addr()?, seen: Arc::default() };
        let router = Router::new()
            .route("/demo/answer", post(answer))
            .route("/demo/{file}", get(serve))
            .route("/hook", post(hook))
            .with_state(web.seen.clone());
        tokio::spawn(async move {
            // Ends with the runtime.
            let _ = axum::serve(listener, router).await;
        });
        Ok(web)
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// URL of the application.
    #[must_use]
    pub fn application(&self) -> String {
        format!("http://{}/demo/app.vxml", self.addr)
    }

    /// URL that takes webhooks.
    #[must_use]
    pub fn webhook(&self) -> String {
        format!("http://{}/hook", self.addr)
    }

    /// Looks at what has been seen.
    pub fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        let seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        look(&seen)
    }
}

type Shared = State<Arc<Mutex<Seen>>>;

fn note(seen: &Mutex<Seen>, f: impl FnOnce(&mut Seen)) {
    f(&mut seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
}

async fn serve(State(seen): Shared, Path(name): Path<String>) -> Response {
    note(&seen, |s| s.fetched.push(name.clone()));
    match FILES.iter().find(|f| f.0 == name) {
        Some((_, kind, bytes)) => {
            ([(header::CONTENT_TYPE, *kind), (header::CACHE_CONTROL, "max-age=60")], *bytes).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn answer(State(seen): Shared, body: String) -> Response {
    let field = |name: &str| {
        let pairs = body.split('&').filter_map(|p| p.split_once('='));
        // Digits and words only: whatever else came is not repeated into a document.
        pairs
            .filter(|(k, _)| *k == name)
            .map(|(_, v)| v.chars().filter(char::is_ascii_alphanumeric).collect())
            .next()
    };
    let (choice, code): (String, String) =
        (field("choice").unwrap_or_default(), field("code").unwrap_or_default());
    let document = FAREWELL.replace("@CHOICE@", &choice).replace("@CODE@", &code);
    note(&seen, |s| s.submissions.push(Submission { choice, code }));
    ([(header::CONTENT_TYPE, "application/voicexml+xml")], document).into_response()
}

async fn hook(State(seen): Shared, headers: HeaderMap, body: Bytes) -> StatusCode {
    let body = String::from_utf8_lossy(&body).into_owned();
    note(&seen, |s| s.hooks.push(Hook { headers, body }));
    StatusCode::NO_CONTENT
}
