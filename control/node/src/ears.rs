//! The recognisers: workers (`carillon-speech --recognise`, here or on a farm), each for one utterance at a time. A caller
//! who only listens takes none: a worker is taken when somebody begins to speak. One that breaks is replaced.

use crate::engine::Engine;
use crate::mrcp;
use crate::worker::{Link, Output, Source, Workers, frame as read_frame};
use speech::frame::{Ask, END, GUESS, Hear as Question, Heard as Answer};
use speech::grammar::Grammar;
use speech::recogniser::LANGUAGE;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Who understands callers. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Ears {
    pool: Option<Arc<Pool>>,
    /// Somebody else's engine, for what the own recogniser does not speak.
    pub engine: Option<Engine>,
    /// Where utterances are kept to tune by, of callers who consented.
    pub tuning: Option<Arc<PathBuf>>,
    /// Engines by MRCP, asked before anybody else.
    pub mrcp: Option<mrcp::Pool>,
}

#[derive(Debug)]
struct Pool {
    workers: Workers,
    answer_max: Duration,
    free: Arc<Semaphore>,
    idle: Mutex<Vec<Worker>>,
}

/// A worker that was reached.
#[derive(Debug)]
struct Worker {
    link: Link,
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
    ///
    /// # Errors
    /// A certificate that cannot be read, in words.
    pub fn start(
        config: &control::config::Speech,
        folder: &std::path::Path,
        mrcp: Option<mrcp::Pool>,
    ) -> Result<Option<Self>, String> {
        if !config.recognises() {
            return Ok(None);
        }
        let engine = Engine::new(&config.engine, config.recognition_max.duration());
        let tuning = (!config.tuning.is_empty()).then(|| Arc::new(PathBuf::from(&config.tuning)));
        if config.recognisers == 0 {
            return Ok(Some(Self { pool: None, engine, tuning, mrcp }));
        }
        let mut arguments = vec!["--recognise".to_owned()];
        if !config.model.is_empty() {
            arguments.extend(["--model".to_owned(), config.model.clone()]);
        }
        let pool = Arc::new(Pool {
            workers: Workers::new(Source::of(config, folder)?, "ear", arguments),
            answer_max: config.recognition_max.duration(),
            free: Arc::new(Semaphore::new(usize::from(config.recognisers))),
            idle: Mutex::default(),
        });
        for _ in 0..config.recognisers {
            tokio::spawn(Arc::clone(&pool).refill());
        }
        Ok(Some(Self { pool: Some(pool), engine, tuning, mrcp }))
    }

    /// Takes a worker for an utterance; `None`: all are busy, or none starts.
    pub async fn take(&self, grammar: &Grammar, nbest: u32) -> Option<Taken> {
        let pool = self.pool.as_ref()?;
        let free = Arc::clone(&pool.free);
        let permit = tokio::time::timeout(CLAIM_MAX, free.acquire_owned()).await.ok()?.ok()?;
        let worker = match pool.idle() {
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
    /// One that waits and may still be asked.
    fn idle(&self) -> Option<Worker> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(mut worker) = idle.pop() {
            if worker.link.sound() {
                return Some(worker);
            }
        }
        None
    }

    async fn begin(&self) -> Option<Worker> {
        self.workers.begin().await.map(|link| Worker { link, open: false })
    }

    async fn refill(self: Arc<Self>) {
        if let Some(worker) = self.begin().await {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(worker);
        }
    }
}

/// What waits for an answer, with the way back for the stream.
pub type Waiting = futures::future::BoxFuture<'static, (Option<Output>, Option<Answer>)>;

impl Taken {
    async fn write(&mut self, octets: &[u8]) -> Option<()> {
        let write = self.worker.as_mut()?.link.write(octets);
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
        let mut output = self.worker.as_mut()?.link.output.take()?;
        let longest = self.pool.answer_max;
        Some(Box::pin(async move {
            let octets = tokio::time::timeout(longest, read_frame(&mut output)).await.ok().flatten();
            let answer = octets.and_then(|o| serde_json::from_slice(&o).ok());
            (Some(output), answer)
        }))
    }

    /// The answer is here; the stream goes back.
    pub fn answered(&mut self, output: Option<Output>) {
        if let Some(worker) = &mut self.worker {
            worker.link.output = output;
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // Who gave up while waiting for an answer leaves a worker whose next words answer an old question: it ends, and
        // another begins.
        let alive = self.worker.take().and_then(|mut w| w.link.sound().then_some(w));
        match alive {
            Some(worker) => self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(worker),
            None => drop(tokio::spawn(Arc::clone(&self.pool).refill())),
        }
    }
}
