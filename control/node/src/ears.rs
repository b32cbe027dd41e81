//! The recognisers: worker processes (`carillon-speech --recognise`), each for one utterance at a time. A caller who only
//! listens takes none: a worker is taken when somebody begins to speak. One that breaks is replaced.

use crate::engine::Engine;
use crate::speech::{frame as read_frame, program};
use speech::frame::{Ask, END, GUESS, Hear as Question, Heard as Answer};
use speech::grammar::Grammar;
use speech::recogniser::LANGUAGE;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Who understands callers. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Ears {
    pool: Option<Arc<Pool>>,
    /// Somebody else's engine, for what the own recogniser does not speak.
    pub engine: Option<Engine>,
    /// Where utterances are kept to tune by, of callers who consented.
    pub tuning: Option<Arc<PathBuf>>,
}

#[derive(Debug)]
struct Pool {
    program: PathBuf,
    model: String,
    folder: PathBuf,
    answer_max: Duration,
    free: Arc<Semaphore>,
    idle: Mutex<Vec<Worker>>,
    next: std::sync::atomic::AtomicU32,
}

/// A started process.
#[derive(Debug)]
struct Worker {
    child: Child,
    input: ChildStdin,
    /// `None` while somebody waits for an answer.
    output: Option<ChildStdout>,
    /// An utterance was begun and not ended.
    open: bool,
}

/// A worker taken for an utterance; goes back when dropped.
#[derive(Debug)]
pub struct Taken {
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
    /// `Some` until it is dropped.
    worker: Option<Worker>,
}

/// Who begins to speak waits no longer for a worker; what is said meanwhile is kept.
const CLAIM_MAX: Duration = Duration::from_millis(1_500);
/// Octets of audio in one frame at most: two seconds.
const AUDIO_OCTETS_MAX: usize = 32_000;

impl Ears {
    /// Starts the workers, which load their model while nobody waits. `None`: nobody understands callers here.
    #[must_use]
    pub fn start(config: &control::config::Speech, folder: &std::path::Path) -> Option<Self> {
        let engine = Engine::new(&config.engine, config.recognition_max.duration());
        let tuning = (!config.tuning.is_empty()).then(|| Arc::new(PathBuf::from(&config.tuning)));
        if config.recognisers == 0 {
            return engine.map(|engine| Self { pool: None, engine: Some(engine), tuning });
        }
        let pool = Arc::new(Pool {
            program: program(&config.program),
            model: config.model.clone(),
            folder: folder.to_owned(),
            answer_max: config.recognition_max.duration(),
            free: Arc::new(Semaphore::new(usize::from(config.recognisers))),
            idle: Mutex::default(),
            next: std::sync::atomic::AtomicU32::new(0),
        });
        for _ in 0..config.recognisers {
            tokio::spawn(Arc::clone(&pool).refill());
        }
        Some(Self { pool: Some(pool), engine, tuning })
    }

    /// Takes a worker for an utterance; `None`: all are busy, or none starts.
    pub async fn take(&self, grammar: &Grammar, nbest: u32) -> Option<Taken> {
        let pool = self.pool.as_ref()?;
        let free = Arc::clone(&pool.free);
        let permit = tokio::time::timeout(CLAIM_MAX, free.acquire_owned()).await.ok()?.ok()?;
        let idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let worker = match idle {
            Some(worker) => worker,
            None => pool.begin().await?,
        };
        let mut taken = Taken { pool: Arc::clone(pool), _permit: permit, worker: Some(worker) };
        taken.question(grammar, nbest).await?;
        Some(taken)
    }

    /// The own recogniser understands this language.
    #[must_use]
    pub fn understands(&self, lang: &str) -> bool {
        let primary = lang.split(['-', '_']).next().unwrap_or_default();
        self.pool.is_some() && (primary.is_empty() || primary.eq_ignore_ascii_case(LANGUAGE))
    }
}

impl Pool {
    async fn begin(&self) -> Option<Worker> {
        let n = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = self.folder.join(format!("ear-{n}"));
        tokio::fs::create_dir_all(&folder).await.ok()?;
        let mut command = Command::new(&self.program);
        command.arg("--folder").arg(&folder).arg("--recognise");
        if !self.model.is_empty() {
            command.arg("--model").arg(&self.model);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .inspect_err(|error| tracing::error!(program = %self.program.display(), %error, "recogniser"))
            .ok()?;
        let (input, output) = (child.stdin.take()?, child.stdout.take()?);
        Some(Worker { child, input, output: Some(output), open: false })
    }

    async fn refill(self: Arc<Self>) {
        if let Some(worker) = self.begin().await {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(worker);
        }
    }
}

/// What waits for an answer, with the way back for the stream.
pub type Waiting = futures::future::BoxFuture<'static, (Option<ChildStdout>, Option<Answer>)>;

impl Taken {
    async fn write(&mut self, octets: &[u8]) -> Option<()> {
        let length = u32::try_from(octets.len()).ok()?;
        let input = &mut self.worker.as_mut()?.input;
        let write = async {
            input.write_u32(length).await?;
            input.write_all(octets).await?;
            input.flush().await
        };
        tokio::time::timeout(self.pool.answer_max, write).await.ok()?.ok()
    }

    async fn question(&mut self, grammar: &Grammar, nbest: u32) -> Option<()> {
        if self.worker.as_ref()?.open {
            self.write(&[END]).await?;
        }
        let ask = Ask::Hear(Question { grammar: grammar.clone(), nbest });
        let header = serde_json::to_vec(&ask).ok()?;
        self.write(&header).await?;
        self.worker.as_mut()?.open = true;
        Some(())
    }

    /// Gives it samples of 8 kHz; `None`: it is broken.
    pub async fn hear(&mut self, samples: &[i16]) -> Option<()> {
        let octets: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
        for part in octets.chunks(AUDIO_OCTETS_MAX) {
            self.write(part).await?;
        }
        Some(())
    }

    /// Asks what it understood; nothing else may be asked until [`Self::answered`]. `None`: it is broken.
    pub async fn guess(&mut self) -> Option<Waiting> {
        self.write(&[GUESS]).await?;
        let mut output = self.worker.as_mut()?.output.take()?;
        let longest = self.pool.answer_max;
        Some(Box::pin(async move {
            let octets = tokio::time::timeout(longest, read_frame(&mut output)).await.ok().flatten();
            let answer = octets.and_then(|o| serde_json::from_slice(&o).ok());
            (Some(output), answer)
        }))
    }

    /// The answer is here; the stream goes back.
    pub fn answered(&mut self, output: Option<ChildStdout>) {
        if let Some(worker) = &mut self.worker {
            worker.output = output;
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // Who gave up while waiting for an answer leaves a worker whose next words answer an old question: it ends, and
        // another begins.
        let sound = self.worker.take().filter(|w| w.output.is_some());
        let alive =
            sound.and_then(|mut w| w.child.try_wait().is_ok_and(|ended| ended.is_none()).then_some(w));
        match alive {
            Some(worker) => self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(worker),
            None => drop(tokio::spawn(Arc::clone(&self.pool).refill())),
        }
    }
}
