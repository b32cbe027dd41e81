//! Texts are spoken by worker processes (`carillon-speech`). One that dies or is too slow is started again; the text it
//! died of is not tried twice.

use crate::engine::Engine;
use serde_json::from_slice;
use speech::flite::VOICES;
use speech::frame::{Ask, FRAME_OCTETS_MAX, Speak, Spoken};
use speech::say;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
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
    /// Somebody else's engine speaks everything.
    engine: Option<Engine>,
}

/// Texts that wait for a worker.
const QUEUE_MAX: usize = 1_024;
/// Between two starts of a worker that dies.
const RESTART: Duration = Duration::from_millis(500);

impl Speaker {
    /// Starts the workers. With none configured every text fails at once.
    #[must_use]
    pub fn start(config: &control::config::Speech, folder: &Path) -> Self {
        let (queue, asked) = mpsc::channel(QUEUE_MAX);
        let asked = Arc::new(Mutex::new(asked));
        let program = program(&config.program);
        for n in 0..config.workers {
            let worker = Worker {
                program: program.clone(),
                folder: folder.join(format!("speech-{n}")),
                timeout: config.timeout.duration(),
            };
            tokio::spawn(worker.run(Arc::clone(&asked)));
        }
        let engine =
            config.engine_speaks.then(|| Engine::new(&config.engine, config.timeout.duration())).flatten();
        Self { queue, voice: config.voice.clone(), engine }
    }

    /// Speaks; `None` if it cannot be spoken.
    pub async fn speak(&self, speak: Speak) -> Option<Sound> {
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

/// Beside our own program, where a package puts both.
pub(crate) fn program(configured: &str) -> PathBuf {
    if !configured.is_empty() {
        return PathBuf::from(configured);
    }
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name("carillon-speech"));
    beside.filter(|p| p.exists()).unwrap_or_else(|| PathBuf::from("carillon-speech"))
}

struct Worker {
    program: PathBuf,
    folder: PathBuf,
    timeout: Duration,
}

struct Running {
    _child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl Worker {
    async fn run(self, asked: Arc<Mutex<mpsc::Receiver<Asked>>>) {
        let mut running = None;
        loop {
            let next = asked.lock().await.recv().await;
            let Some((speak, answer)) = next else { return };
            if running.is_none() {
                running = self.start().await;
            }
            let result = match &mut running {
                Some(worker) => tokio::time::timeout(self.timeout, worker.speak(&speak)).await.ok().flatten(),
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

    async fn start(&self) -> Option<Running> {
        tokio::fs::create_dir_all(&self.folder).await.ok()?;
        let mut child = Command::new(&self.program)
            .arg("--folder")
            .arg(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .inspect_err(|error| tracing::error!(program = %self.program.display(), %error, "speech"))
            .ok()?;
        let (input, output) = (child.stdin.take()?, child.stdout.take()?);
        Some(Running { _child: child, input, output })
    }
}

impl Running {
    /// `None`: the worker is broken; `Some(None)`: it is fine but could not speak this.
    async fn speak(&mut self, speak: &Speak) -> Option<Option<Sound>> {
        let header = serde_json::to_vec(&Ask::Speak(speak.clone())).ok()?;
        self.input.write_u32(u32::try_from(header.len()).ok()?).await.ok()?;
        self.input.write_all(&header).await.ok()?;
        self.input.flush().await.ok()?;
        match from_slice(&frame(&mut self.output).await?).ok()? {
            Spoken::Failed { why } => {
                tracing::warn!(why, "a text was not spoken");
                Some(None)
            }
            Spoken::Sound { hz } => {
                let octets = frame(&mut self.output).await?;
                let samples = octets.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
                Some(Some(Sound { rate: hz, samples }))
            }
        }
    }
}

/// One frame of a worker; `None`: the worker is broken.
pub(crate) async fn frame(output: &mut ChildStdout) -> Option<Vec<u8>> {
    let length = usize::try_from(output.read_u32().await.ok()?).ok()?;
    if length > FRAME_OCTETS_MAX {
        return None;
    }
    let mut octets = vec![0; length];
    output.read_exact(&mut octets).await.ok()?;
    Some(octets)
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
        let speaker = Speaker { queue, voice: "slt".into(), engine: None };
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
