//! The third party's simulated web server: the sample application, with seeded slowness and failures.

use bench::demo::web;
use bench::farend::mulaw;
use std::sync::Arc;
use units::Rng;
use vxml::session::{FetchError, FetchRequest, Fetched, FieldValue};

/// How the server behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Manners {
    /// Answers after up to so long, ms.
    pub slow_ms: u64,
    /// Answers 404 to a document, 0..=1.
    pub missing: f64,
    /// Never answers: a timeout, 0..=1.
    pub silent: f64,
}

impl Manners {
    pub const GOOD: Manners = Manners { slow_ms: 20, missing: 0.0, silent: 0.0 };
}

/// What a session submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    pub choice: String,
    pub code: String,
}

/// See the module.
pub struct Site {
    manners: Manners,
    rng: Rng,
    pages: &'static [(&'static str, &'static str)],
    pub submitted: Vec<Submitted>,
    /// Queries of what was submitted to pages of the plan.
    pub queries: Vec<String>,
    pub fetched: u64,
    pub failed: u64,
}

/// Where the pages are.
pub const SITE: &str = "https://app.example/demo/";
const FAREWELL: &str = include_str!("../../../bench/demo/farewell.vxml");

impl Site {
    pub fn new(manners: Manners, pages: &'static [(&'static str, &'static str)], rng: Rng) -> Self {
        Self { manners, rng, pages, submitted: Vec::new(), queries: Vec::new(), fetched: 0, failed: 0 }
    }

    /// The answer to a fetch, and after how many ms it comes.
    pub fn answer(&mut self, request: &FetchRequest) -> (u64, Result<Fetched, FetchError>) {
        let after = 1 + self.rng.below(self.manners.slow_ms + 1);
        self.fetched += 1;
        if self.rng.chance(self.manners.silent) {
            self.failed += 1;
            return (request.timeout_ms, Err(FetchError::Timeout));
        }
        if self.rng.chance(self.manners.missing) {
            self.failed += 1;
            return (after, Err(FetchError::Status(404)));
        }
        (after, self.page(request))
    }

    fn page(&mut self, request: &FetchRequest) -> Result<Fetched, FetchError> {
        let name = request.url.rsplit('/').next().unwrap_or("");
        let (plain, query) = name.split_once('?').unwrap_or((name, ""));
        let page = self.pages.iter().find(|(page, _)| *page == plain);
        if page.is_some() && !query.is_empty() {
            self.queries.push(query.to_owned());
        }
        let body: Vec<u8> = if let Some((_, page)) = page {
            page.as_bytes().to_vec()
        } else if name == "answer" {
            let field = |name: &str| {
                let found = request.fields.iter().find(|f| f.name == name);
                match found.map(|f| &f.value) {
                    Some(FieldValue::Text(t)) => t.clone(),
                    _ => String::new(),
                }
            };
            let (choice, code) = (field("choice"), field("code"));
            let page = FAREWELL.replace("@CHOICE@", &choice).replace("@CODE@", &code);
            self.submitted.push(Submitted { choice, code });
            page.into_bytes()
        } else {
            web::file(name).ok_or(FetchError::Status(404))?.to_vec()
        };
        Ok(Fetched {
            url: request.url.clone(),
            media_type: "application/voicexml+xml".into(),
            charset: None,
            body: Arc::from(body),
            validator: Some(name.to_owned()),
        })
    }

    /// The samples of an audio file, 8 kHz linear.
    pub fn audio(&mut self, url: &str) -> Option<Vec<i16>> {
        let name = url.rsplit('/').next().unwrap_or("");
        let octets = mulaw::from_wav(web::file(name)?)?;
        Some(octets.iter().map(|&o| mulaw::decode(o)).collect())
    }

    /// Text is "spoken" as a tone of 40 ms a letter.
    pub fn spoken(text: &str) -> Vec<i16> {
        let n = u32::try_from(text.len().min(200)).expect("bounded") * 320;
        let sample = |i: u32| (f64::from(i) * std::f64::consts::TAU * 300.0 / 8000.0).sin() * 6000.0;
        #[expect(clippy::cast_possible_truncation, reason = "bounded by 6,000")]
        (0..n).map(|i| sample(i) as i16).collect()
    }
}
