//! [`Handle`]: how async shells ask. A bounded queue leads to one writer thread, which takes what has gathered, runs it
//! in one transaction (group commit) and answers after the commit. Questions that only read go to a second thread with
//! its own connection where the store has one.

use crate::vault::Vault;
use control::store::{Answer, Ask, Error, Store};
use std::io;
use std::sync::Arc;
use std::thread;
use tokio::sync::{mpsc, oneshot};
use units::Now;

/// What the store's threads must be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Questions that may wait; more wait at the asker.
    pub queue_max: usize,
    /// Questions in one transaction.
    pub batch_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { queue_max: 4_096, batch_max: 512 }
    }
}

/// A clock, made behind another door.
pub type Clock = Box<dyn Fn() -> Now + Send>;

type Waiting = (Ask, oneshot::Sender<Result<Answer, Error>>);

/// See the module. Cloning is cheap; the threads end when the last clone is gone.
#[derive(Clone, Debug)]
pub struct Handle {
    writer: mpsc::Sender<Waiting>,
    reader: mpsc::Sender<Waiting>,
    vault: Option<Arc<Vault>>,
}

impl Handle {
    /// From now on what this handle brings to the store lies sealed there, and is opened for who asks by it.
    #[must_use]
    pub fn sealed(mut self, vault: Arc<Vault>) -> Self {
        self.vault = Some(vault);
        self
    }

    /// Starts the writer thread over a store, and a reader thread if there is a second connection.
    ///
    /// # Errors
    /// The operating system's, if it grants no thread.
    pub fn start<S: Store + 'static, R: Store + 'static>(
        store: S,
        reader: Option<R>,
        limits: Limits,
        clock: fn() -> Clock,
    ) -> io::Result<Self> {
        let writer = spawn("store-writer", store, limits, clock())?;
        let reader = match reader {
            Some(reader) => spawn("store-reader", reader, limits, clock())?,
            None => writer.clone(),
        };
        Ok(Self { writer, reader, vault: None })
    }

    /// Asks, and waits for the answer: after the commit, for what writes.
    ///
    /// # Errors
    /// The store's; [`Error::Unavailable`] also when its thread is gone.
    pub async fn ask(&self, mut ask: Ask) -> Result<Answer, Error> {
        if let Some(vault) = &self.vault {
            vault.on_the_way_in(&mut ask);
        }
        let queue = if ask.reads_only() { &self.reader } else { &self.writer };
        let (answer, waits) = oneshot::channel();
        queue.send((ask, answer)).await.map_err(|_| Error::Unavailable)?;
        let mut answered = waits.await.map_err(|_| Error::Unavailable)?;
        if let (Some(vault), Ok(answer)) = (&self.vault, &mut answered) {
            vault.on_the_way_out(answer);
        }
        answered
    }
}

fn spawn<S: Store + 'static>(
    name: &str,
    store: S,
    limits: Limits,
    clock: Clock,
) -> io::Result<mpsc::Sender<Waiting>> {
    let (queue, questions) = mpsc::channel(limits.queue_max);
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || serve(store, questions, limits.batch_max, &clock))?;
    Ok(queue)
}

fn serve<S: Store>(mut store: S, mut questions: mpsc::Receiver<Waiting>, batch_max: usize, clock: &Clock) {
    while let Some(first) = questions.blocking_recv() {
        let (mut batch, mut waiting) = (vec![first.0], vec![first.1]);
        while batch.len() < batch_max
            && let Ok((ask, answer)) = questions.try_recv()
        {
            batch.push(ask);
            waiting.push(answer);
        }
        for (answer, waits) in store.run(clock(), batch).into_iter().zip(waiting) {
            // Who no longer waits has given up; what was written stays written.
            let _ = waits.send(answer);
        }
    }
}
