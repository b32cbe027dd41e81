//! Hearing one caller by an engine: it judges where speech begins and ends, and what was said.

use super::session::Session;
use super::{Pool, Resource};
use crate::ear::Ear;
use control::shard::Heard;
use speech::frame::Reading;
use speech::mrcp::ask::Listening;
use speech::mrcp::channel::{Ask, Told};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use vxml::grammar::Network;

/// How often the ring is drained into packets.
const EVERY: Duration = Duration::from_millis(20);
/// Octets from before the engine listens that it is still told: 400 ms.
const RECENT: usize = 3_200;
/// How often one listening is begun anew: after silence that only the interpreter times, after no match for a hotword.
const TURNS_MAX: u32 = 1_000;
/// Kept from before the engine was certain that somebody spoke, octets: a second.
const BEFORE: usize = 8_000;
/// Octets of an utterance that are kept: a minute.
const KEPT_MAX: usize = 480_000;

/// Hears until there is something to tell; `None`: no engine gave a session, somebody else may hear.
pub(crate) async fn hear<F: Future<Output = ()>>(
    ear: &mut Ear,
    pool: &Pool,
    tell: &impl Fn(Heard) -> F,
) -> Option<Heard> {
    let voice = ear.hear.listen.voice.clone();
    let written = tokio::task::spawn_blocking(move || written(&voice)).await.ok().flatten();
    let Some(grammars) = written else { return Some(Heard::NoResource) };
    let mut session = pool.open(Resource::Recogniser, &ear.hear.listen.lang).await?;
    let mut names = Vec::new();
    for (n, grammar) in grammars.into_iter().enumerate() {
        let id = format!("g{n}@form-level.store");
        let media_type = "application/srgs+xml".to_owned();
        session.ask(Ask::DefineGrammar { id: id.clone(), media_type, grammar }).await?;
        if !session.done().await {
            return Some(Heard::NoResource);
        }
        names.push(id);
    }
    Some(Turns { ear, session, names, kept: VecDeque::new(), begun: false, turns: 0 }.run(tell).await)
}

/// `None`: too large for any engine.
fn written(voice: &[Arc<Network>]) -> Option<Vec<String>> {
    let all: Result<Vec<String>, _> = voice.iter().map(|net| net.to_srgs()).collect();
    all.inspect_err(|error| tracing::warn!(%error, "a grammar is too large to be heard")).ok()
}

struct Turns<'e> {
    ear: &'e mut Ear,
    session: Session,
    names: Vec<String>,
    kept: VecDeque<u8>,
    /// Somebody speaks.
    begun: bool,
    turns: u32,
}

impl Turns<'_> {
    async fn run<F: Future<Output = ()>>(mut self, tell: &impl Fn(Heard) -> F) -> Heard {
        if self.recognise().await.is_none() {
            return broken();
        }
        // While the session came about: a burst of what is long over would only fill the engine's buffers.
        let waited = self.ear.drain();
        let recent = waited.get(waited.len().saturating_sub(RECENT)..).unwrap_or_default();
        self.keep(recent);
        self.session.send(recent).await;
        let mut every = tokio::time::interval(EVERY);
        loop {
            tokio::select! {
                _ = every.tick() => {
                    let octets = self.ear.drain();
                    self.keep(&octets);
                    self.session.send(&octets).await;
                }
                told = self.session.next() => {
                    if let Some(heard) = self.told(told, tell).await {
                        return heard;
                    }
                }
            }
        }
    }

    async fn recognise(&mut self) -> Option<()> {
        self.turns += 1;
        let listen = &self.ear.hear.listen;
        let listening = Listening {
            properties: &listen.properties,
            lang: &listen.lang,
            nbest: listen.maxnbest,
            hotword: listen.hotword,
            vendor: &self.session.vendor,
        };
        let (grammars, fields) = (self.names.clone(), listening.fields());
        // The time until somebody speaks is the interpreter's: it knows when the prompt is over.
        self.session.ask(Ask::Recognize { grammars, fields, start_timers: false }).await
    }

    async fn told<F: Future<Output = ()>>(
        &mut self,
        told: Told,
        tell: &impl Fn(Heard) -> F,
    ) -> Option<Heard> {
        match told {
            Told::StartOfInput => self.began(tell).await,
            Told::RecognitionComplete { cause, nbest, .. } => return self.complete(cause, nbest, tell).await,
            Told::Failed { status, .. } => {
                tracing::warn!(status, "a speech engine refused to listen");
                return Some(Heard::NoResource);
            }
            Told::Broken => return Some(broken()),
            Told::Done { .. }
            | Told::Marker(_)
            | Told::SpeakComplete { .. }
            | Told::RecordComplete { .. } => {}
        }
        None
    }

    async fn began<F: Future<Output = ()>>(&mut self, tell: &impl Fn(Heard) -> F) {
        if !std::mem::replace(&mut self.begun, true) && !self.ear.hear.listen.hotword {
            tell(Heard::Started).await;
        }
    }

    /// RFC 6787 §9.4.11.
    async fn complete<F: Future<Output = ()>>(
        &mut self,
        cause: u16,
        nbest: Vec<Reading>,
        tell: &impl Fn(Heard) -> F,
    ) -> Option<Heard> {
        let hotword = self.ear.hear.listen.hotword;
        match cause {
            // 000 success, 008 success-maxtime.
            0 | 8 => {}
            // 001 no-match, 013 partial-match: an utterance that is none of the grammars'; a hotword is waited for on.
            1 | 13 if !hotword => {}
            // 014 partial-match-maxtime, 015 no-match-maxtime.
            14 | 15 if !hotword => return Some(Heard::TooMuch),
            // 002 no-input-timeout, 003 hotword-maxtime, and what a hotword is not.
            1 | 2 | 3 | 13..=15 if self.turns < TURNS_MAX => {
                (self.begun, self.kept) = (false, VecDeque::new());
                return if self.recognise().await.is_some() { None } else { Some(broken()) };
            }
            // 010 language-unsupported.
            10 => return Some(Heard::NoLanguage),
            cause => {
                tracing::warn!(cause, "a speech engine cannot listen");
                return Some(Heard::NoResource);
            }
        }
        self.began(tell).await;
        let kept: Vec<u8> = self.kept.drain(..).collect();
        let nbest = nbest.into_iter().filter_map(said).collect();
        Some(self.ear.recognised(nbest, &kept).await)
    }

    fn keep(&mut self, octets: &[u8]) {
        if !self.ear.keeps() {
            return;
        }
        let most = if self.begun { KEPT_MAX } else { BEFORE };
        self.kept.extend(octets);
        if self.begun {
            self.kept.truncate(most);
        } else {
            let gone = self.kept.len().saturating_sub(most);
            self.kept.drain(..gone);
        }
    }
}

/// The words alone: the grammars went out without their tags, so what an engine calls the meaning is but the text, and the
/// document's own semantics count. An engine that says only that is believed to have heard it.
fn said(mut reading: Reading) -> Option<Reading> {
    let meaning = reading.interpretation.take();
    if reading.words.is_empty() {
        let text = meaning?.as_str()?.to_lowercase();
        reading.words = text.split_whitespace().map(str::to_owned).collect();
    }
    (!reading.words.is_empty()).then_some(reading)
}

fn broken() -> Heard {
    tracing::warn!("a speech engine broke off");
    Heard::NoResource
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn words_count_and_a_meaning_only_where_there_are_none() {
        let check = |words: &[&str], meaning: Option<serde_json::Value>, want: Option<&str>| {
            let words = words.iter().map(|w| (*w).to_owned()).collect();
            let got = said(Reading { words, confidence: 0.9, interpretation: meaning });
            assert!(got.as_ref().is_none_or(|r| r.interpretation.is_none()));
            assert_eq!(got.map(|r| r.words.join(" ")).as_deref(), want);
        };
        check(&["yes"], Some(json!("yes please")), Some("yes"));
        check(&[], Some(json!("Yes Please")), Some("yes please"));
        check(&[], Some(json!({"a": 1})), None);
        check(&[], None, None);
    }
}
