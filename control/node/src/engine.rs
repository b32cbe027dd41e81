//! A speech engine of somebody else's, by JSON over HTTP: `docs/speech.md` has the whole protocol and an engine in a page
//! of Python. It speaks languages and understands callers that the embedded engines do not.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hw::audio::Sound;
use serde::{Deserialize, Serialize};
use speech::frame::{Reading, Speak};
use std::time::Duration;

/// The engine. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Engine {
    client: reqwest::Client,
    url: String,
}

/// What is to be understood.
#[derive(Debug, Serialize)]
struct Recognise<'a> {
    /// RFC 5646.
    language: &'a str,
    /// Most readings wanted.
    nbest: u32,
    /// What may be said, as JSGF; what is not in it is told as no match.
    grammars: &'a [String],
    /// Mu-law, 8 kHz, base64.
    audio: String,
}

#[derive(Debug, Deserialize)]
struct Recognised {
    nbest: Vec<Said>,
}

#[derive(Debug, Deserialize)]
struct Said {
    text: String,
    confidence: f32,
    #[serde(default)]
    interpretation: Option<serde_json::Value>,
}

/// Octets of an answer that are read.
const ANSWER_MAX: usize = 1 << 20;
/// Octets of sound that are read: ten minutes at 16 kHz.
const SOUND_MAX: usize = 20_000_000;
/// Readings and words of each that are taken.
const NBEST_MAX: usize = 20;
const WORDS_MAX: usize = 200;

impl Engine {
    /// At a URL, each request bounded in time. `None`: no URL, or no client can be made.
    #[must_use]
    pub fn new(url: &str, longest: Duration) -> Option<Self> {
        if url.is_empty() {
            return None;
        }
        let client = reqwest::Client::builder().timeout(longest).no_proxy().build();
        let client = client.inspect_err(|error| tracing::error!(%error, "speech engine")).ok()?;
        Some(Self { client, url: url.trim_end_matches('/').to_owned() })
    }

    async fn post(&self, path: &str, body: &impl Serialize, most: usize) -> Option<Vec<u8>> {
        let body = serde_json::to_vec(body).ok()?;
        let request =
            self.client.post(format!("{}/{path}", self.url)).header("Content-Type", "application/json");
        let answer = request.body(body).send().await.and_then(reqwest::Response::error_for_status);
        // The URL may hold a key: it is in no message.
        let answer = answer.map_err(reqwest::Error::without_url);
        let mut answer = answer.inspect_err(|error| tracing::warn!(%error, path, "speech engine")).ok()?;
        let mut octets = Vec::new();
        while let Some(part) = answer.chunk().await.ok()? {
            if octets.len() + part.len() > most {
                tracing::warn!(path, most, "the speech engine answers too much");
                return None;
            }
            octets.extend_from_slice(&part);
        }
        Some(octets)
    }

    /// What was said, best first; `None`: no answer, or nonsense.
    pub async fn recognise(
        &self,
        language: &str,
        grammars: &[String],
        nbest: u32,
        audio: &[u8],
    ) -> Option<Vec<Reading>> {
        let body = Recognise { language, nbest, grammars, audio: BASE64_STANDARD.encode(audio) };
        let octets = self.post("recognise", &body, ANSWER_MAX).await?;
        let readings = read(&octets);
        if readings.is_none() {
            tracing::warn!("the speech engine answers nonsense");
        }
        readings
    }

    /// A spoken text; `None`: no answer, or no sound.
    pub async fn speak(&self, speak: &Speak) -> Option<Sound> {
        let octets = self.post("speak", speak, SOUND_MAX).await?;
        let limits = hw::audio::Limits::default();
        let sound = hw::audio::read("spoken.wav", &octets, hw::audio::Listen::Mix, &limits);
        sound.inspect_err(|error| tracing::warn!(%error, "the speech engine sends no WAV")).ok()
    }
}

fn read(octets: &[u8]) -> Option<Vec<Reading>> {
    let answer: Recognised = serde_json::from_slice(octets).ok()?;
    let reading = |said: Said| Reading {
        words: said.text.split_whitespace().take(WORDS_MAX).map(str::to_lowercase).collect(),
        confidence: if said.confidence.is_finite() { said.confidence.clamp(0.0, 1.0) } else { 0.0 },
        interpretation: said.interpretation,
    };
    Some(answer.nbest.into_iter().take(NBEST_MAX).map(reading).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_and_nonsense_is_not() {
        let nbest =
            read(br#"{"nbest":[{"text":"Ja  bitte","confidence":7,"interpretation":{"ok":true}}],"more":1}"#);
        let nbest = nbest.expect("an answer");
        assert_eq!(nbest[0].words, ["ja", "bitte"]);
        assert!((nbest[0].confidence - 1.0).abs() < 1e-6 && nbest[0].interpretation.is_some());
        assert_eq!(read(br#"{"nbest":[]}"#), Some(Vec::new()));
        for nonsense in
            ["", "[]", "{}", "{\"nbest\":[{}]}", "\u{0}", "{\"nbest\":[{\"text\":1,\"confidence\":1}]}"]
        {
            assert_eq!(read(nonsense.as_bytes()), None, "{nonsense}");
        }
    }
}
