//! The shell of one shard: a thread with a current-thread runtime that owns the pure [`Shard`], its SIP sockets and
//! its hand on the workers. Whatever takes time is done elsewhere and comes back through the inbox.

mod busy;
mod doors;
mod prompts;
mod sip;
mod tdm;

pub use sip::Tls;
pub use tdm::{Maintenance, Span};

use crate::ears::Ears;
use crate::fetch::Fetcher;
use crate::prompts::Prompts;
use crate::store::Handle;
use arc_swap::ArcSwap;
use control::call::play::Wanted;
use control::call::{Captured, Start};
use control::shard::{CallView, Denied, Fact, Finished, Heard, Input, Output, Settings, Shard, Token};
use control::store::{Answer, Ask, Error as StoreError};
use control::trunk::{Standing, TrunkView};
use dataplane::io::host::ControlEnd;
use dataplane::io::recorder::Recorder;
use dataplane::pool::Prompt;
use doors::Doors;
use signalling::leg::Transport;
use signalling::sip::endpoint::{FlowId, Input as SipInput, Output as SipOutput};
use signalling::sip::locate::{self, Target};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};
use units::{AttemptId, BearerId, Cause, OrderId};
use vxml::session::{FetchError, Fetched, ListenId};

/// What comes to a shard from other threads.
#[derive(Debug)]
pub enum Inbox {
    /// Place a call.
    Start(Box<Start>),
    /// Octets of a stream.
    Stream(FlowId, Transport, SocketAddr, Vec<u8>),
    /// A stream ended.
    FlowClosed(FlowId),
    /// Nothing can be sent there.
    Unreachable(Transport, SocketAddr),
    /// A stream is up; octets for it go here.
    FlowOpened(FlowId, SocketAddr, mpsc::Sender<Vec<u8>>),
    /// A fetch is done.
    Fetched(Token, Result<Fetched, FetchError>),
    /// A prompt is resident, or cannot be had.
    Prompt(Token, Option<Arc<Prompt>>),
    /// The store has answered.
    Stored(Token, Result<Answer, StoreError>),
    /// A caller was heard.
    Heard(BearerId, ListenId, Heard),
    /// A capture's file is complete.
    Captured(BearerId, Captured),
    /// New settings.
    Settings(Arc<Settings>),
    /// Where a trunk that has a name is now.
    Located(String, locate::Wanted, Vec<Target>),
    /// An operator's order about a trunk.
    Trunk(String, Standing),
    /// How the trunks stand.
    Trunks(oneshot::Sender<Vec<TrunkView>>),
    /// Take no new calls; with `true` end those that are up.
    Drain(bool),
    /// End one call.
    Clear(AttemptId, Cause),
    /// Its owner took an order back.
    Cancelled(OrderId),
    /// The transfer of this attempt's caller, by this order, is not dialled.
    Denied(AttemptId, OrderId, Denied),
    /// End the call of a former life by its journalled dialog.
    TakeOver(AttemptId, Vec<u8>),
    /// Which calls there are.
    View(oneshot::Sender<Vec<CallView>>),
    /// Which spans there are, and how they stand.
    Spans(oneshot::Sender<Vec<serde_json::Value>>),
    /// A span, or one slot of it, is taken out or put back.
    Block(u16, Option<u8>, bool),
    /// A span, or one slot of it, is looped or tested.
    Maintain(u16, Option<u8>, Maintenance, oneshot::Sender<Result<(), String>>),
}

/// A way to a shard. Cloning is cheap.
pub type Post = mpsc::Sender<Inbox>;

/// What a shard's thread works with.
pub struct Parts {
    /// Its number.
    pub number: u16,
    /// The machine's settings.
    pub settings: Arc<Settings>,
    /// Its SIP endpoint, not started.
    pub endpoint: signalling::sip::endpoint::Endpoint,
    /// Its spans' signalling, not started.
    pub tdm: signalling::tdm::Endpoint,
    /// Its spans, the first first.
    pub spans: Vec<Span>,
    /// Sockets to listen on, bound.
    pub sockets: Vec<(Transport, Listener)>,
    /// TLS, if it is spoken.
    pub tls: Option<Tls>,
    /// Its hand on the workers.
    pub end: ControlEnd,
    /// The writer of recordings.
    pub recorder: Arc<Recorder>,
    /// Where recordings go.
    pub recordings: PathBuf,
    /// What they are sealed by.
    pub vault: Arc<crate::vault::Vault>,
    /// The store.
    pub store: Handle,
    /// The fetcher in force.
    pub fetcher: Arc<ArcSwap<Fetcher>>,
    /// The prompt store.
    pub prompts: Arc<Prompts>,
    /// The recognisers, if voice is understood here.
    pub ears: Option<Ears>,
    /// `cid:` documents.
    pub attachments: crate::prompts::Attachments,
    /// Calls that are over go to the desk.
    pub finished: mpsc::Sender<Box<Finished>>,
    /// Transfers are asked for there, too.
    pub desk: crate::desk::Way,
    /// Its load, told to the dispatcher.
    pub load: Arc<Load>,
    /// The main runtime, where what takes time is done.
    pub elsewhere: tokio::runtime::Handle,
}

/// What a shard says of its load.
#[derive(Debug)]
pub struct Load {
    /// Calls that are up.
    pub calls: AtomicU32,
    /// Calls that the trunks which work could carry.
    pub trunk_calls: AtomicU32,
    /// Set-ups in 1,000 s that they take.
    pub trunk_pace: AtomicU32,
}

impl Default for Load {
    /// Nothing is up, and nothing is known of trunks yet.
    fn default() -> Self {
        Self {
            calls: AtomicU32::new(0),
            trunk_calls: AtomicU32::new(u32::MAX),
            trunk_pace: AtomicU32::new(u32::MAX),
        }
    }
}

/// A bound socket.
#[derive(Debug)]
pub enum Listener {
    /// Datagrams.
    Udp(std::net::UdpSocket),
    /// Streams.
    Tcp(std::net::TcpListener),
}

/// Messages that wait for a shard.
const INBOX_MAX: usize = 65_536;
/// From the decision to dial to the INVITE's first octet; more is late.
const LATE: std::time::Duration = std::time::Duration::from_millis(500);
/// Inputs taken from one door before the others are looked at.
const BURST: usize = 256;

/// Starts a shard's thread. It ends after [`Inbox::Drain`] when its last call is over.
///
/// # Errors
/// The operating system's.
pub fn start(parts: Parts) -> std::io::Result<(Post, JoinHandle<()>)> {
    let (post, inbox) = mpsc::channel(INBOX_MAX);
    let own = post.clone();
    let thread = std::thread::Builder::new().name(format!("shard-{}", parts.number)).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => {
                let local = tokio::task::LocalSet::new();
                local.block_on(&runtime, async move {
                    match Shell::new(parts, own) {
                        Ok(shell) => shell.run(inbox).await,
                        Err(error) => tracing::error!(%error, "a shard could not start"),
                    }
                });
            }
            Err(error) => tracing::error!(%error, "a shard has no runtime"),
        }
    })?;
    Ok((post, thread))
}

struct Shell {
    shard: Shard,
    doors: Doors,
    load: Arc<Load>,
    settings: Arc<Settings>,
    draining: bool,
    busy: busy::Busy,
    /// When the input that is being handled was taken up.
    taken: units::Mono,
    /// Inputs that a door answered at once.
    next: VecDeque<Input<'static>>,
}

impl Shell {
    fn new(parts: Parts, post: Post) -> std::io::Result<Self> {
        let shard = Shard::new(Arc::clone(&parts.settings), parts.endpoint, crate::clock::seed());
        let shard = shard.with_tdm(crate::clock::now(), parts.tdm);
        let doors = Doors::new(doors::Parts {
            number: parts.number,
            post,
            sip: sip::Sip::new(parts.sockets, parts.tls)?,
            end: parts.end,
            spans: parts.spans,
            recorder: parts.recorder,
            recordings: parts.recordings,
            vault: parts.vault,
            store: parts.store,
            fetcher: parts.fetcher,
            prompts: parts.prompts,
            ears: parts.ears,
            attachments: parts.attachments,
            finished: parts.finished,
            desk: parts.desk,
            elsewhere: parts.elsewhere,
        });
        Ok(Self {
            shard,
            doors,
            load: parts.load,
            settings: parts.settings,
            draining: false,
            busy: busy::Busy::default(),
            taken: units::Mono(0),
            next: VecDeque::new(),
        })
    }

    async fn run(mut self, mut inbox: mpsc::Receiver<Inbox>) {
        let bell = self.doors.doorbell().expect("the runtime watches descriptors");
        let sockets = self.doors.sip.start(&self.doors.post);
        let mut datagram = vec![0; 65_536];
        // The spans' D-channels are asked for at the start.
        self.drain();
        // With these the endpoint learns whom to listen to, to ask whether they live, and where to register.
        self.handle(Input::Settings(Arc::clone(&self.settings)));
        loop {
            self.reports();
            if self.draining && self.shard.calls() == 0 {
                break;
            }
            let deadline = self.shard.deadline();
            tokio::select! {
                message = inbox.recv() => {
                    let Some(message) = message else { break };
                    self.take(message);
                    for _ in 0..BURST {
                        let Ok(message) = inbox.try_recv() else { break };
                        self.take(message);
                    }
                }
                ready = sip::readable(&sockets) => self.datagrams(&sockets, ready, &mut datagram),
                ready = bell.readable() => {
                    if let Ok(mut ready) = ready {
                        ready.clear_ready();
                    }
                }
                () = sleep_until(deadline) => self.handle(Input::Timer),
                () = tokio::time::sleep(doors::RETRY), if self.doors.has_waiting() => {}
            }
            self.doors.retry();
            self.count();
        }
        tracing::info!("a shard has ended its last call");
    }

    fn count(&self) {
        let calls = u32::try_from(self.shard.calls()).unwrap_or(u32::MAX);
        self.load.calls.store(calls, Ordering::Relaxed);
        let room = self.shard.trunk_room(crate::clock::now()).unwrap_or((u32::MAX, u32::MAX));
        self.load.trunk_calls.store(room.0, Ordering::Relaxed);
        self.load.trunk_pace.store(room.1, Ordering::Relaxed);
        metrics::gauge!("carillon_calls").set(f64::from(calls));
        let sip = self.shard.sip_counters();
        for (why, count) in [
            ("refused_busy", sip.refused_busy),
            ("dropped_busy", sip.dropped_busy),
            ("over_rate", sip.over_rate),
            ("strangers", sip.strangers),
            ("unframed", sip.unframed),
        ] {
            metrics::counter!("carillon_sip_turned_away_total", "why" => why).absolute(count);
        }
        self.count_spans();
    }

    /// What the workers say, until they say nothing more; the bell is armed before the last look.
    fn reports(&mut self) {
        self.doors.end.arm();
        while let Some(report) = self.doors.end.poll() {
            self.note(&report);
            if let Some(input) = self.doors.report(report) {
                self.handle(input);
            }
        }
        self.frames();
    }

    fn datagrams(&mut self, sockets: &[sip::Udp], ready: usize, buffer: &mut [u8]) {
        for _ in 0..BURST {
            let Ok((length, from)) = sockets[ready].socket.try_recv_from(buffer) else { return };
            let (flow, transport) = (sockets[ready].flow, Transport::Udp);
            let octets = buffer[..length].to_vec();
            self.handle(Input::Sip(SipInput::Received { flow, transport, from, bytes: &octets }));
        }
    }

    fn take(&mut self, message: Inbox) {
        match message {
            Inbox::Start(start) => self.handle(Input::Start(start)),
            Inbox::Stream(flow, transport, from, octets) => {
                self.handle(Input::Sip(SipInput::Received { flow, transport, from, bytes: &octets }));
            }
            Inbox::FlowClosed(flow) => {
                self.doors.sip.closed(flow);
                self.handle(Input::Sip(SipInput::FlowClosed { flow }));
            }
            Inbox::Unreachable(transport, to) => {
                self.doors.sip.unreachable(to);
                self.handle(Input::Sip(SipInput::Unreachable { transport, to }));
            }
            Inbox::FlowOpened(flow, to, writer) => self.doors.sip.opened(flow, to, writer),
            Inbox::Fetched(token, result) => {
                self.doors.fetched(token);
                self.handle(Input::Fetched(token, result));
            }
            Inbox::Prompt(token, prompt) => {
                let loaded = prompt.and_then(|prompt| self.doors.lend(prompt));
                self.handle(Input::Prompt(token, loaded));
            }
            Inbox::Stored(token, result) => self.handle(Input::Stored(token, result)),
            Inbox::Heard(bearer, id, heard) => self.handle(Input::Heard(bearer, id, heard)),
            Inbox::Captured(bearer, captured) => self.handle(Input::Captured(bearer, captured)),
            Inbox::Settings(settings) => self.handle(Input::Settings(settings)),
            Inbox::Located(name, wanted, targets) => {
                self.doors.sip.named(&wanted.host, &targets);
                self.handle(Input::Located(name, targets));
            }
            Inbox::Trunk(name, standing) => self.handle(Input::Trunk(name, standing)),
            // Who asked may have gone.
            Inbox::Trunks(answer) => drop(answer.send(self.shard.trunks(crate::clock::now()))),
            Inbox::Drain(hard) => {
                self.draining = true;
                self.handle(Input::Drain(hard));
            }
            Inbox::Clear(attempt, cause) => self.handle(Input::Clear(attempt, cause)),
            Inbox::Cancelled(order) => self.handle(Input::Cancelled(order)),
            Inbox::Denied(attempt, order, why) => self.handle(Input::Denied(attempt, order, why)),
            Inbox::TakeOver(attempt, dialog) => self.handle(Input::TakeOver(attempt, dialog)),
            Inbox::Block(span, slot, on) => {
                if !on {
                    self.end_maintenance(span, slot);
                }
                self.handle(Input::Tdm(signalling::tdm::Input::Block { span, slot, on }));
            }
            // Who asked may have gone.
            Inbox::Maintain(span, slot, what, answer) => drop(answer.send(self.maintain(span, slot, what))),
            // Who asked may have gone.
            Inbox::Spans(answer) => drop(answer.send(self.view_spans())),
            Inbox::View(answer) => drop(answer.send(self.shard.view(crate::clock::now()))),
        }
    }

    /// One input, then all that follows from it. A panic ends the call it belongs to and no other.
    fn handle(&mut self, input: Input<'_>) {
        let now = crate::clock::now();
        self.taken = now.mono;
        self.busy.pass(now.mono, self.shard.calls());
        let shard = &mut self.shard;
        if catch_unwind(AssertUnwindSafe(|| shard.handle(now, input))).is_err() {
            metrics::counter!("carillon_calls_broken_total").increment(1);
            let attempt = self.shard.bury(now);
            tracing::error!(?attempt, "a call broke the program and was ended; all others go on");
        }
        self.drain();
        while let Some(input) = self.next.pop_front() {
            self.handle(input);
        }
    }

    /// Between the last look at the lease and the first octet of the INVITE nothing can be fenced: a process that is
    /// stopped just there dials late, and is counted.
    fn count_late(&self, output: &Output) {
        let Output::Sip(SipOutput::Transmit { bytes, .. }) = output else { return };
        if bytes.starts_with(b"INVITE ") && crate::clock::now().mono.since(self.taken) > LATE {
            metrics::counter!("carillon_dialled_late_total").increment(1);
            tracing::warn!("an INVITE left later than it was decided: this process was stopped in between");
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.shard.poll() {
            match output {
                Output::Fact(fact) => told(&fact),
                output => {
                    self.count_late(&output);
                    self.busy.see(&output);
                    self.next.extend(self.doors.carry_out(output));
                }
            }
        }
    }
}

fn told(fact: &Fact) {
    match fact {
        Fact::Refused { cause, why } => {
            metrics::counter!("carillon_inbound_refused_total").increment(1);
            tracing::info!(cause = cause.0, why, "an incoming call was refused");
        }
        Fact::TrunkTaken(trunk) => {
            metrics::counter!("carillon_trunk_calls_total", "trunk" => trunk.clone()).increment(1);
            metrics::gauge!("carillon_trunk_calls", "trunk" => trunk.clone()).increment(1.0);
        }
        Fact::TrunkReturned { trunk, failed } => {
            metrics::gauge!("carillon_trunk_calls", "trunk" => trunk.clone()).decrement(1.0);
            if *failed {
                metrics::counter!("carillon_trunk_failures_total", "trunk" => trunk.clone()).increment(1);
                tracing::warn!(trunk, "a trunk failed a call");
            }
        }
        Fact::SipRefused(why) => tracing::warn!(why, "sip"),
        Fact::Stray(bearer) => tracing::debug!(?bearer, "a report for no call"),
        Fact::NoDialog(attempt) => {
            tracing::warn!(%attempt, "a former life left a call without its dialog; its session timer ends it");
        }
        Fact::Buried(attempt) => tracing::error!(%attempt, "buried"),
    }
}

async fn sleep_until(deadline: Option<units::Mono>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(crate::clock::instant(at)).await,
        None => std::future::pending().await,
    }
}

/// The doorbell as something to await.
type Bell = AsyncFd<std::os::fd::OwnedFd>;

/// A wanted prompt in a few words, for logs.
fn describe(wanted: &Wanted) -> String {
    match wanted {
        Wanted::Url { url, .. } => url.split('?').next().unwrap_or_default().to_owned(),
        Wanted::Recording(name) => format!("recording {name}"),
        Wanted::Text(text) => format!("text of {} characters", text.text.chars().count()),
    }
}

/// Tells the store without waiting, in the order of asking; the answer goes to the inbox if a token says so.
fn ask(store: &Handle, post: &Post, token: Option<Token>, ask: Ask) {
    let (store, post) = (store.clone(), post.clone());
    let mut asked = Box::pin(async move { store.ask(ask).await });
    // Polled once here, so that the question stands in the queue before the next one does.
    let first = futures::FutureExt::now_or_never(&mut asked);
    tokio::task::spawn_local(async move {
        let result = match first {
            Some(result) => result,
            None => asked.await,
        };
        match token {
            Some(token) => drop(post.send(Inbox::Stored(token, result)).await),
            None => {
                if let Err(error) = result {
                    tracing::warn!(?error, "the store refused a note");
                }
            }
        }
    });
}
