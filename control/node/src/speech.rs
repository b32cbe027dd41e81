//! Texts are spoken by engines of others where there are any, and else by workers (`carillon-speech`). A worker that dies or is too slow is started again; the text it
//! died of is not tried twice.

use crate::engine::Engine;
use crate::mrcp;
use crate::worker::{Link, Source, Workers};
use serde_json::from_slice;
use speech::flite::VOICES;
use speech::frame::{Ask, Phoneme, Speak, Spoken};
use speech::say;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, oneshot};
use vxml::session::Speech as Text;

/// Spoken text: linear samples at their rate.
pub type Sound = hw::audio::Sound;

type Asked = (Speak, oneshot::Sender<Option<Sound>>);

/// A pool of workers. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Speaker {
    queue: mpsc::Sender<Asked>,
    voice: String,
    /// Engines by MRCP, asked first.
    mrcp: Option<mrcp::Pool>,
    /// Somebody else's engine speaks everything.
    engine: Option<Engine>,
    /// The longest that a text may take.
    timeout: Duration,
}

/// Texts that wait for a worker.
const QUEUE_MAX: usize = 1_024;
/// Between two starts of a worker that dies.
const RESTART: Duration = Duration::from_millis(500);

impl Speaker {
    /// Starts the workers. With none configured every text fails at once.
    ///
    /// # Errors
    /// A certificate that cannot be read, in words.
    pub fn start(
        config: &control::config::Speech,
        folder: &Path,
        mrcp: Option<mrcp::Pool>,
    ) -> Result<Self, String> {
        let (queue, asked) = mpsc::channel(QUEUE_MAX);
        let asked = Arc::new(Mutex::new(asked));
        let timeout = config.timeout.duration();
        let workers = Arc::new(Workers::new(Source::of(config, folder)?, "speech", Vec::new()));
        for _ in 0..config.workers {
            let worker = Worker { workers: Arc::clone(&workers), timeout };
            tokio::spawn(worker.run(Arc::clone(&asked)));
        }
        let engine = config.engine_speaks.then(|| Engine::new(&config.engine, timeout)).flatten();
        Ok(Self { queue, voice: config.voice.clone(), mrcp, engine, timeout })
    }

    /// Speaks; `None` if it cannot be spoken.
    pub async fn speak(&self, speak: Speak) -> Option<Sound> {
        if let Some(mrcp) = &self.mrcp
            && mrcp.has(mrcp::Resource::Synthesiser, &speak.lang)
            && let Some(sound) = mrcp::speak(mrcp, &speak, self.timeout).await
        {
            return Some(sound);
        }
        if let Some(engine) = &self.engine
            && let Some(sound) = engine.speak(&speak).await
        {
            return Some(sound);
        }
        let (answer, spoken) = oneshot::channel();
        self.queue.send((speak, answer)).await.ok()?;
        spoken.await.ok()?
    }

    /// What a resolved text asks of the engine.
    #[must_use]
    pub fn wish(&self, text: &Text) -> Speak {
        let english =
            text.lang.is_empty() || text.lang.get(..2).is_some_and(|l| l.eq_ignore_ascii_case("en"));
        let name = text.voice.get("name").map(String::as_str).unwrap_or_default();
        let female = text.voice.get("gender").is_none_or(|g| g != "male");
        // flite's names stand for English; any other name is one of espeak-ng's, if it is for this language at all.
        let named =
            if english { VOICES.contains(&name) || name.starts_with("en-") } else { !VOICES.contains(&name) };
        let voice = match (named && !name.is_empty(), english) {
            (true, _) => name.to_owned(),
            (false, true) if female => self.voice.clone(),
            (false, true) => "rms".to_owned(),
            (false, false) => String::new(),
        };
        let said = match &text.say_as {
            Some(s) => say::spoken(
                &text.text,
                &s.interpret_as,
                s.format.as_deref().or(s.detail.as_deref()).unwrap_or_default(),
                &text.lang,
            ),
            None => text.text.clone(),
        };
        Speak {
            text: said,
            voice,
            lang: text.lang.clone(),
            variant: if female { "+f3".to_owned() } else { String::new() },
            rate: factor(text.prosody.get("rate").map(String::as_str)),
            pitch: factor(text.prosody.get("pitch").map(String::as_str)),
            volume: text.prosody.get("volume").map_or(1.0, |v| say::volume(v)),
            // Only engines of others have voices of other names; for our own it would be another key of the same sound.
            asked: if self.mrcp.is_some() || self.engine.is_some() { name.to_owned() } else { String::new() },
            phoneme: text.phoneme.clone().map(|(alphabet, ph)| Phoneme { alphabet, ph }),
        }
    }
}

/// SSML 1.0 §3.2.4: a label, a percentage with sign, or a number.
fn factor(value: Option<&str>) -> f32 {
    match value.map(str::trim) {
        Some("x-slow" | "x-low") => 0.5,
        Some("slow" | "low") => 0.75,
        Some("fast" | "high") => 1.3,
        Some("x-fast" | "x-high") => 1.7,
        Some(text) => match text.strip_suffix('%') {
            Some(percent) if percent.starts_with(['+', '-']) => {
                percent.parse::<f32>().map_or(1.0, |p| 1.0 + p / 100.0)
            }
            Some(percent) => percent.parse::<f32>().map_or(1.0, |p| p / 100.0),
            None => text.parse().ok().filter(|n| (0.3..=3.0).contains(n)).unwrap_or(1.0),
        },
        None => 1.0,
    }
}

struct Worker {
    workers: Arc<Workers>,
    timeout: Duration,
}

impl Worker {
    async fn run(self, asked: Arc<Mutex<mpsc::Receiver<Asked>>>) {
        let mut running: Option<Link> = None;
        loop {
            let next = asked.lock().await.recv().await;
            let Some((speak, answer)) = next else { return };
            if running.as_mut().is_none_or(|link| !link.sound()) {
                running = self.workers.begin().await;
            }
            let result = match &mut running {
                Some(link) => tokio::time::timeout(self.timeout, ask(link, &speak)).await.ok().flatten(),
                None => None,
            };
            let spoken = match result {
                Some(spoken) => spoken,
                None => {
                    tracing::warn!(
                        started = running.is_some(),
                        "a speech worker broke; the next text starts another"
                    );
                    running = None;
                    tokio::time::sleep(RESTART).await;
                    None
                }
            };
            // Who no longer waits has hung up.
            drop(answer.send(spoken));
        }
    }
}

/// `None`: the worker is broken; `Some(None)`: it is fine but could not speak this.
async fn ask(worker: &mut Link, speak: &Speak) -> Option<Option<Sound>> {
    let header = serde_json::to_vec(&Ask::Speak(speak.clone())).ok()?;
    worker.write(&header).await.ok()?;
    match from_slice(&worker.read().await?).ok()? {
        Spoken::Failed { why } => {
            tracing::warn!(why, "a text was not spoken");
            Some(None)
        }
        Spoken::Sound { hz } => {
            let octets = worker.read().await?;
            let samples = octets.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
            Some(Some(Sound { rate: hz, samples }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssml_rates_are_labels_percentages_or_numbers() {
        let check = |value: &str, want: f32| assert!((factor(Some(value)) - want).abs() < 1e-6, "{value}");
        check("fast", 1.3);
        check("+10%", 1.1);
        check("-20%", 0.8);
        check("150%", 1.5);
        check("2", 2.0);
        check("nonsense", 1.0);
    }

    #[test]
    fn languages_voices_and_say_as_choose_what_is_spoken_and_by_whom() {
        let (queue, _asked) = mpsc::channel(1);
        let (mrcp, engine, timeout) = (None, None, Duration::ZERO);
        let speaker = Speaker { queue, voice: "slt".into(), mrcp, engine, timeout };
        let wish = |lang: &str, voice: &[(&str, &str)], say_as: &str| {
            let voice = voice.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            let say_as = Some(vxml::session::SayAs { interpret_as: say_as.into(), ..Default::default() });
            speaker.wish(&Text { text: "42 7".into(), lang: lang.into(), voice, say_as, ..Text::default() })
        };
        assert_eq!(wish("en-US", &[], "digits").text, "4 2 7");
        assert_eq!(wish("en-US", &[], "").voice, "slt");
        assert_eq!(wish("", &[("gender", "male")], "").voice, "rms");
        assert_eq!(wish("en-GB", &[("name", "en-gb-scotland")], "").voice, "en-gb-scotland");
        assert_eq!(wish("en-US", &[("name", "Allison")], "").voice, "slt");
        let german = wish("de-DE", &[("name", "slt")], "digits");
        assert_eq!(
            (german.voice.as_str(), german.variant.as_str(), german.text.as_str()),
            ("", "+f3", "4 2 7")
        );
    }
}
