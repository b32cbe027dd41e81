//! Hearing one caller: a task between the ring that the dataplane fills and the recognisers. It finds where speech begins
//! and ends, asks what was understood in each pause, and tells the shard. What it waits for, nobody else waits for.

use crate::ears::{Ears, Taken, Waiting};
use crate::mrcp;
use crate::vault::Vault;
use control::shard::{Hear, Heard};
use dataplane::io::recorder::wav_header;
use hw::dsp::g711::{linear_to_mu, mu_to_linear};
use rtrb::Consumer;
use speech::frame::{Heard as Answer, Reading};
use speech::grammar::{ARROWS_MAX, Grammar};
use speech::utterance::{Event, Limits, Utterance, time_ms};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use units::Codec;
use vxml::grammar::{Matcher, Network, Status};
use vxml::session::{Hypothesis, Recording};

/// Octets of the ring that a caller is heard by: four seconds.
pub const RING: usize = 32_000;
/// How often the ring is drained.
const EVERY: Duration = Duration::from_millis(20);

/// What one caller is heard with.
pub struct Ear {
    /// The recognisers.
    pub ears: Ears,
    /// What is wanted.
    pub hear: Hear,
    /// What the caller says, mu-law.
    pub ring: Consumer<u8>,
    /// Set when nobody listens any more: the worker then gives its end back.
    pub gone: Gone,
    /// Where utterances are kept.
    pub recordings: PathBuf,
    /// What they are sealed by.
    pub vault: Arc<Vault>,
}

/// Lets go of the tap when dropped, also when the task is aborted.
#[derive(Debug)]
pub struct Gone(pub Arc<AtomicBool>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// An utterance in progress.
struct Current {
    utterance: Utterance,
    taken: Option<Taken>,
    waiting: Option<Waiting>,
    /// Another pause came while an answer was awaited.
    again: bool,
    nbest: Vec<Reading>,
    kept: Vec<u8>,
}

impl Current {
    fn new(limits: Limits) -> Self {
        let utterance = Utterance::new(limits);
        Self { utterance, taken: None, waiting: None, again: false, nbest: Vec::new(), kept: Vec::new() }
    }
}

/// How hearing goes on.
enum Step {
    On,
    /// The utterance is over.
    Over,
    Tell(Heard),
}

impl Ear {
    /// Hears until there is something to tell that ends the hearing; `tell` is told what comes before.
    pub async fn run<F: Future<Output = ()>>(mut self, tell: impl Fn(Heard) -> F) -> Heard {
        let voice = self.hear.listen.voice.clone();
        let own = voice.iter().all(|net| self.ears.understands(net.lang()));
        let mrcp = self.ears.mrcp.clone();
        let mrcp = mrcp.filter(|pool| pool.has(mrcp::Resource::Recogniser, &self.hear.listen.lang));
        if let Some(pool) = &mrcp
            && let Some(heard) = mrcp::hear(&mut self, pool, &tell).await
        {
            return heard;
        }
        if !own && self.ears.engine.is_none() {
            return if mrcp.is_some() { Heard::NoResource } else { Heard::NoLanguage };
        }
        let compiled = tokio::task::spawn_blocking(move || By::compile(&voice, own)).await.ok().flatten();
        let Some(by) = compiled else { return Heard::NoResource };
        let limits = self.limits();
        let mut current = Current::new(limits);
        let mut every = tokio::time::interval(EVERY);
        loop {
            let answer = async {
                match &mut current.waiting {
                    Some(waiting) => waiting.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = every.tick() => {
                    let samples: Vec<i16> = self.drain().into_iter().map(mu_to_linear).collect();
                    for frame in samples.chunks(160) {
                        current.utterance.hear(frame);
                    }
                }
                (output, answer) = answer => {
                    current.waiting = None;
                    if let Some(taken) = &mut current.taken {
                        taken.answered(output);
                    }
                    match self.understood(&mut current, &by, answer).await {
                        Step::On | Step::Over => {}
                        Step::Tell(heard) => return heard,
                    }
                }
            }
            match self.step(&mut current, &by, &tell).await {
                Step::On => {}
                Step::Tell(heard) => return heard,
                Step::Over => match self.concluded(&mut current).await {
                    Some(heard) => return heard,
                    None => current = Current::new(limits),
                },
            }
        }
    }

    /// What the caller said since the last time, mu-law.
    pub(crate) fn drain(&mut self) -> Vec<u8> {
        let waiting = self.ring.slots();
        let Ok(chunk) = self.ring.read_chunk(waiting) else { return Vec::new() };
        let (a, b) = chunk.as_slices();
        let octets = [a, b].concat();
        chunk.commit_all();
        octets
    }

    /// Does what the utterance's machine asks.
    async fn step<F: Future<Output = ()>>(
        &mut self,
        current: &mut Current,
        by: &By,
        tell: &impl Fn(Heard) -> F,
    ) -> Step {
        while let Some(event) = current.utterance.poll() {
            match event {
                Event::Started => {
                    if !self.hear.listen.hotword {
                        tell(Heard::Started).await;
                    }
                    if let By::Own(grammar) = by {
                        current.taken = self.ears.take(grammar, self.nbest()).await;
                    }
                    if matches!(by, By::Own(_)) && current.taken.is_none() {
                        tracing::warn!("no recogniser is free");
                        return Step::Tell(Heard::NoResource);
                    }
                }
                Event::Audio(samples) => {
                    if self.keeps() || matches!(by, By::Engine(_)) {
                        current.kept.extend(samples.iter().map(|&s| linear_to_mu(s)));
                    }
                    let Some(taken) = &mut current.taken else { continue };
                    if taken.hear(&samples).await.is_none() {
                        return Step::Tell(broken());
                    }
                }
                Event::Guess => {
                    if current.waiting.is_some() {
                        current.again = true;
                    } else if !self.ask(current, by).await {
                        return Step::Tell(broken());
                    }
                }
                Event::Ended => return Step::Over,
                Event::TooMuch if self.hear.listen.hotword => return Step::Over,
                Event::TooMuch => return Step::Tell(Heard::TooMuch),
            }
        }
        Step::On
    }

    /// An answer has come.
    async fn understood(&mut self, current: &mut Current, by: &By, answer: Option<Answer>) -> Step {
        match answer {
            Some(Answer::Heard { nbest }) => current.nbest = nbest,
            Some(Answer::Failed { why }) => {
                tracing::warn!(why, "a caller cannot be understood");
                return Step::Tell(Heard::NoResource);
            }
            None => return Step::Tell(broken()),
        }
        if std::mem::take(&mut current.again) {
            return if self.ask(current, by).await { Step::On } else { Step::Tell(broken()) };
        }
        if current.utterance.pausing() {
            let whole = current.nbest.first().is_some_and(|best| self.is_whole(best));
            current.utterance.understood(whole);
        }
        Step::On
    }

    /// Asks what was understood so far. False: the worker is broken.
    async fn ask(&mut self, current: &mut Current, by: &By) -> bool {
        current.waiting = match (by, &mut current.taken, &self.ears.engine) {
            (By::Own(_), Some(taken), _) => taken.guess().await,
            (By::Engine(grammars), _, Some(engine)) => {
                let (engine, grammars) = (engine.clone(), Arc::clone(grammars));
                let (audio, nbest, lang) =
                    (current.kept.clone(), self.nbest(), self.hear.listen.lang.clone());
                Some(Box::pin(async move {
                    let nbest = engine.recognise(&lang, &grammars, nbest, &audio).await;
                    (None, nbest.map(|nbest| Answer::Heard { nbest }))
                }))
            }
            _ => None,
        };
        current.waiting.is_some()
    }

    fn nbest(&self) -> u32 {
        self.hear.listen.maxnbest.max(1)
    }

    /// The utterance is over: what it was, or nothing if only a match counts and there was none.
    async fn concluded(&mut self, current: &mut Current) -> Option<Heard> {
        let nbest = std::mem::take(&mut current.nbest);
        if self.hear.listen.hotword && !self.matches(&nbest) {
            if let Some(folder) = self.tuning() {
                keep_to_tune_by(&folder, &current.kept, &nbest).await;
            }
            return None;
        }
        Some(self.recognised(nbest, &current.kept).await)
    }

    /// An utterance with what was understood of it; kept if somebody wants it.
    pub(crate) async fn recognised(&mut self, nbest: Vec<Reading>, kept: &[u8]) -> Heard {
        if let Some(folder) = self.tuning() {
            keep_to_tune_by(&folder, kept, &nbest).await;
        }
        let matched = self.matches(&nbest);
        metrics::counter!("carillon_recognitions_total", "matched" => matched.to_string()).increment(1);
        let hypothesis = |r: Reading| Hypothesis {
            tokens: r.words,
            confidence: r.confidence,
            interpretation: r.interpretation,
        };
        Heard::Recognised(nbest.into_iter().map(hypothesis).collect(), self.keep(kept).await)
    }

    /// Something was understood with the confidence that the document wants.
    fn matches(&self, nbest: &[Reading]) -> bool {
        let level = self.property("confidencelevel").and_then(|v| v.trim().parse().ok()).unwrap_or(0.5_f32);
        nbest.iter().any(|reading| reading.confidence >= level)
    }

    /// The utterance is wanted afterwards.
    pub(crate) fn keeps(&self) -> bool {
        self.hear.keep.is_some() || self.tuning().is_some()
    }

    /// Keeps the utterance where the document may play or submit it.
    async fn keep(&mut self, octets: &[u8]) -> Option<Recording> {
        let name = self.hear.keep.clone()?;
        let path = crate::prompts::recording_path(&self.recordings, &name)?;
        let length = u32::try_from(octets.len()).ok()?;
        let mut file = wav_header(Codec::Pcmu, length).to_vec();
        file.extend_from_slice(octets);
        let size = u64::try_from(file.len()).ok()?;
        let vault = Arc::clone(&self.vault);
        let written = tokio::task::spawn_blocking(move || vault.write_file(&path, &file)).await.ok()?;
        written.inspect_err(|error| tracing::error!(%error, "an utterance was not kept")).ok()?;
        let duration_ms = u64::from(length) / 8;
        Some(Recording { name, size, duration_ms, media_type: "audio/x-wav".into() })
    }

    /// Where this utterance is kept to tune by: the operator has named a folder, and the document says by a property that
    /// the caller consented.
    fn tuning(&self) -> Option<Arc<PathBuf>> {
        let consented = self.property(CONSENT).is_some_and(|v| v.trim() == "true");
        self.ears.tuning.clone().filter(|_| consented)
    }

    fn property(&self, name: &str) -> Option<&String> {
        self.hear.listen.properties.get(name)
    }

    fn limits(&self) -> Limits {
        let defaults = Limits::default();
        let ms = |name: &str, default: u32| {
            self.property(name).and_then(|v| time_ms(v)).map_or(default, |ms| ms.min(LONGEST_MS))
        };
        Limits {
            complete_ms: ms("completetimeout", defaults.complete_ms).max(SHORTEST_MS),
            incomplete_ms: ms("incompletetimeout", defaults.incomplete_ms).max(SHORTEST_MS),
            speech_ms_max: ms("maxspeechtimeout", defaults.speech_ms_max),
            ..defaults
        }
    }

    /// A sentence of some grammar that nothing can follow.
    fn is_whole(&self, reading: &Reading) -> bool {
        let text = reading.words.join(" ");
        let mut complete = false;
        for net in &self.hear.listen.voice {
            let status = Matcher::new(Arc::clone(net)).and_then(|mut m| m.push(&text));
            match status {
                Ok(Status::Complete { may_continue: false }) => complete = true,
                Ok(Status::Complete { may_continue: true } | Status::Prefix) => return false,
                Ok(Status::NoMatch) | Err(_) => {}
            }
        }
        complete
    }
}

/// `<property>` by which a document says that its caller consented to have utterances kept.
const CONSENT: &str = "carillon.tuning.consent";

/// An utterance as WAV, and beside it what was understood. Neither names the call or the caller.
async fn keep_to_tune_by(folder: &std::path::Path, octets: &[u8], nbest: &[Reading]) {
    let name = format!("{:016x}", crate::clock::seed().rng().next_u64());
    let Ok(length) = u32::try_from(octets.len()) else { return };
    let mut wav = wav_header(Codec::Pcmu, length).to_vec();
    wav.extend_from_slice(octets);
    let understood = serde_json::to_vec(nbest).unwrap_or_default();
    let kept = async {
        tokio::fs::create_dir_all(folder).await?;
        tokio::fs::write(folder.join(&name).with_extension("wav"), wav).await?;
        tokio::fs::write(folder.join(&name).with_extension("json"), understood).await
    };
    if let Err(error) = kept.await {
        tracing::warn!(%error, "an utterance was not kept to tune by");
    }
}

/// Longest of the times that a document may ask for, ms: as long as an utterance is heard at all.
const LONGEST_MS: u32 = 60_000;
/// Shorter pauses are inside of words, ms.
const SHORTEST_MS: u32 = 220;

fn broken() -> Heard {
    tracing::warn!("a recogniser broke; another begins");
    Heard::NoResource
}

/// Who understands, with the grammars as they are wanted there.
enum By {
    Own(Grammar),
    Engine(Arc<[String]>),
}

impl By {
    fn compile(voice: &[Arc<Network>], own: bool) -> Option<Self> {
        if own {
            return compile(voice).map(By::Own);
        }
        let grammars: Result<Vec<String>, _> =
            voice.iter().map(|net| net.to_jsgf("grammar", &|_| true)).collect();
        let grammars =
            grammars.inspect_err(|error| tracing::warn!(%error, "a grammar is too large to be heard"));
        grammars.ok().map(|g| By::Engine(g.into()))
    }
}

/// Grammars as one that a recogniser takes; `None`: too much for it, or nothing.
fn compile(voice: &[Arc<Network>]) -> Option<Grammar> {
    let mut all = Vec::new();
    let mut arrows = 0;
    for net in voice {
        let flat = net.flatten(&|_| true);
        let flat =
            flat.inspect_err(|error| tracing::warn!(%error, "a grammar is too large to be heard")).ok()?;
        arrows += flat.arrows.len();
        if arrows > ARROWS_MAX {
            tracing::warn!(arrows, most = ARROWS_MAX, "grammars are too large to be heard");
            return None;
        }
        let take = |a: vxml::grammar::Arrow| (a.from, a.to, a.probability, a.word.map(String::from));
        all.push(Grammar {
            states: flat.states,
            accept: flat.accept,
            arrows: flat.arrows.into_iter().map(take).collect(),
        });
    }
    Some(Grammar::any_of(all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vxml::grammar::Mode;

    fn builtin(kind: &str) -> Arc<Network> {
        Arc::new(Network::from_builtin(kind, Mode::Voice, "en-US", &Default::default()).expect("a builtin"))
    }

    #[test]
    fn builtins_compile_and_monsters_are_refused() {
        let both = compile(&[builtin("boolean"), builtin("digits?length=4")]).expect("small");
        let words = both.words();
        assert!(words.contains("yes") && words.contains("seven"), "{words:?}");
        let many: String = (0..100_000).map(|n| format!("w{n} | ")).collect();
        let text = format!("#ABNF 1.0;\nlanguage en-US;\nroot $r;\n$r = {many} end;");
        let limits = vxml::grammar::Limits { bytes_max: 10_000_000, ..Default::default() };
        let grammar = vxml::grammar::Grammar::parse_abnf(&text, "", &limits);
        let net = grammar.and_then(|g| Network::compile(&g, &|_| None, &limits));
        // Either the interpreter refuses it, or the recogniser is never asked.
        assert!(net.is_err() || compile(&[Arc::new(net.expect("looked at"))]).is_none());
    }
}
