//! What the shard's outputs mean here: tasks, rings, files, sockets.

use super::prompts::Lent;
use super::sip::Sip;
use super::{Bell, Inbox, Post, ask, describe};
use crate::ear::{self, Ear, Gone};
use crate::ears::Ears;
use crate::fetch::Fetcher;
use crate::prompts::{Attachments, Prompts, recording_path};
use crate::store::Handle;
use crate::vault::Vault;
use arc_swap::ArcSwap;
use control::call::Captured;
use control::call::play::{Loaded, Wanted};
use control::order::Order;
use control::shard::{Denied, Finished, Hear, Heard, Input, Output, Token};
use dataplane::command::{CaptureHandle, Command};
use dataplane::io::host::{Busy, ControlEnd};
use dataplane::io::recorder::{Recorder, Recording, State};
use dataplane::pool::{CaptureSink, Prompt};
use dataplane::report::Report;
use dataplane::spec::{Direction, Spec};
use dataplane::srtp::{Srtp, Suite};
use signalling::leg::{Rtp, Srtp as Keys};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use units::{BearerId, CallId, Codec, OrderId, Samples};
use vxml::session::{FetchError, FetchRequest, Fetched, ListenId};

/// Commands that found a full ring are tried again after this.
pub(super) const RETRY: Duration = Duration::from_millis(5);
/// How often a finished capture is looked after.
const CAPTURE_POLL: Duration = Duration::from_millis(20);
/// Commands that wait for room in a ring; beyond, the worker is dead and its calls end by their timers.
const WAITING_MAX: usize = 100_000;

pub(super) struct Parts {
    pub(super) number: u16,
    pub(super) post: Post,
    pub(super) sip: Sip,
    pub(super) end: ControlEnd,
    pub(super) spans: Vec<super::Span>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) recordings: PathBuf,
    pub(super) vault: Arc<Vault>,
    pub(super) store: Handle,
    pub(super) fetcher: Arc<ArcSwap<Fetcher>>,
    pub(super) prompts: Arc<Prompts>,
    pub(super) ears: Option<Ears>,
    pub(super) attachments: Attachments,
    pub(super) finished: mpsc::Sender<Box<Finished>>,
    pub(super) desk: crate::desk::Way,
    pub(super) elsewhere: tokio::runtime::Handle,
}

pub(super) struct Doors {
    number: u16,
    pub(super) post: Post,
    pub(super) sip: Sip,
    pub(super) end: ControlEnd,
    pub(super) spans: Vec<super::Span>,
    pub(super) tests: super::tdm::Tests,
    recorder: Arc<Recorder>,
    recordings: PathBuf,
    vault: Arc<Vault>,
    store: Handle,
    fetcher: Arc<ArcSwap<Fetcher>>,
    prompts: Arc<Prompts>,
    ears: Option<Ears>,
    attachments: Attachments,
    finished: mpsc::Sender<Box<Finished>>,
    desk: crate::desk::Way,
    elsewhere: tokio::runtime::Handle,
    lent: Lent,
    pub(super) local: BTreeMap<BearerId, (SocketAddr, Codec)>,
    captures: BTreeMap<BearerId, Kept>,
    hearing: BTreeMap<BearerId, (ListenId, AbortHandle)>,
    fetches: BTreeMap<Token, AbortHandle>,
    waiting: VecDeque<Command>,
}

/// A capture that runs.
#[derive(Debug)]
struct Kept {
    recording: Recording,
    name: String,
    path: PathBuf,
}

impl Doors {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            number: parts.number,
            post: parts.post,
            sip: parts.sip,
            end: parts.end,
            spans: parts.spans,
            tests: super::tdm::Tests::default(),
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
            lent: Lent::default(),
            local: BTreeMap::new(),
            captures: BTreeMap::new(),
            hearing: BTreeMap::new(),
            fetches: BTreeMap::new(),
            waiting: VecDeque::new(),
        }
    }

    pub(super) fn doorbell(&self) -> std::io::Result<Bell> {
        let fd = self.end.doorbell().as_fd().try_clone_to_owned()?;
        // SAFETY: the descriptor is our own duplicate, an `OwnedFd` always names the same open file, and nobody else
        // closes or replaces it while the `AsyncFd` has it.
        let bell = unsafe { Bell::register_with_interest(fd, tokio::io::Interest::READABLE) };
        Ok(bell?)
    }

    /// Does what the shard asks; an answer that is here at once comes back.
    pub(super) fn carry_out(&mut self, output: Output) -> Option<Input<'static>> {
        match output {
            Output::Sip(output) => self.sip.carry_out(output, &self.post),
            Output::Reserve(token, beside) => return Some(self.reserve(token, beside)),
            Output::ReserveSlot(token) => return Some(self.reserve_slot(token)),
            Output::OpenSlot { bearer, span, slot } => return self.open_slot(bearer, span, slot),
            Output::Tdm(output) => self.tdm(output),
            Output::Second(order) => return self.second(order),
            Output::Release(bearer) => {
                self.local.remove(&bearer);
                self.end.release(bearer);
            }
            Output::Open { bearer, far, keys } => return self.open(bearer, &far, keys.as_ref()),
            Output::Respec { bearer, far, keys } => {
                if let Some(spec) = self.spec(bearer, &far, keys.as_ref())
                    && let Err(error) = self.end.respec(bearer, spec)
                {
                    tracing::warn!(?bearer, ?error, "a bearer kept its old far side");
                }
            }
            Output::Command(command) => self.command(command),
            capture @ Output::Capture { .. } => return self.capture(capture),
            Output::Hear(hear) => return self.hear(*hear),
            Output::StopHear { bearer, id } => self.hear_no_more(bearer, Some(id)),
            Output::Fetch { token, call, order, request, .. } => self.fetch(token, call, order, request),
            Output::CancelFetch(token) => {
                if let Some(task) = self.fetches.remove(&token) {
                    task.abort();
                }
            }
            Output::Load { token, call, order, wanted, .. } => self.load(token, call, order, wanted),
            Output::Unload(prompt) => self.lent.unload(&mut self.end, prompt),
            Output::Ask(token, question) => ask(&self.store, &self.post, token, question),
            Output::Finished(finished) => self.finish(finished),
            Output::Fact(_) => {}
        }
        None
    }

    /// Asks the desk whether a transfer may be dialled; a desk that is gone or drowned dials nothing.
    fn second(&mut self, order: Box<Order>) -> Option<Input<'static>> {
        let (parent, id) = (order.parent()?, order.id);
        let asked = self.desk.try_send(crate::desk::Message::Second(self.number, order));
        asked.is_err().then_some(Input::Denied(parent, id, Denied::NoResource))
    }

    fn reserve(&mut self, token: Token, beside: Option<BearerId>) -> Input<'static> {
        // Where the other's worker is full, any will do: a ring joins the two.
        let near = beside.map(|other| self.end.reserve(Some(other))).and_then(Result::ok);
        let place = near.map_or_else(|| self.end.reserve(None), Ok);
        let place = place.inspect_err(|error| tracing::warn!(?error, "no bearer")).ok();
        if let Some(place) = place {
            self.local.insert(place.bearer, (place.local, Codec::Pcmu));
        }
        Input::Reserved(token, place.map(|p| (p.bearer, p.local)))
    }

    fn open(&mut self, bearer: BearerId, far: &Rtp, keys: Option<&Keys>) -> Option<Input<'static>> {
        let opened = self.spec(bearer, far, keys).map(|spec| self.end.open(bearer, spec));
        match opened {
            Some(Ok(())) => None,
            failed => {
                tracing::error!(?bearer, ?failed, "a bearer did not open");
                self.local.remove(&bearer);
                self.end.release(bearer);
                Some(Input::Report(Report::OpenFailed { bearer }))
            }
        }
    }

    /// `None`: it would be none that both sides speak; above all nothing that was agreed to be secret goes in the clear.
    fn spec(&mut self, bearer: BearerId, far: &Rtp, keys: Option<&Keys>) -> Option<Spec> {
        let (local, codec) = self.local.get_mut(&bearer)?;
        *codec = *far.codecs.first()?;
        let mut spec = Spec::rtp(*local, far.addr, *codec, crate::clock::seed());
        if let Some(event) = far.telephone_event {
            spec = spec.with_events(event);
        }
        match (&far.srtp, keys) {
            (Some(theirs), Some(ours)) => {
                let suite = if theirs.tag_bits == 32 { Suite::HmacSha1_32 } else { Suite::HmacSha1_80 };
                spec = spec.with_srtp(Srtp::new(suite, &ours.key_salt, &theirs.key_salt));
            }
            (Some(_), None) => return None,
            (None, _) => {}
        }
        // The far side's words, turned round: what it receives we send.
        spec.direction = match (far.receives, far.sends) {
            (true, true) => Direction::SendReceive,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::ReceiveOnly,
            (false, false) => Direction::Inactive,
        };
        Some(spec)
    }

    /// Two bearers on two workers are joined by a ring, which the host sees to.
    fn send(&mut self, command: Command) -> Result<(), Busy> {
        match command {
            Command::Bridge { a, b } => self.end.bridge(a, b),
            command => self.end.send(command),
        }
    }

    fn command(&mut self, command: Command) {
        if self.waiting.is_empty() && !matches!(self.send(command), Err(Busy::Ring)) {
            return;
        }
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(command);
        }
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Commands that found a full ring.
    pub(super) fn retry(&mut self) {
        while let Some(&command) = self.waiting.front() {
            if matches!(self.send(command), Err(Busy::Ring)) {
                return;
            }
            self.waiting.pop_front();
        }
    }

    /// A report as the shard is to see it; ends of captures wait for their file.
    pub(super) fn report(&mut self, report: Report) -> Option<Input<'static>> {
        match report {
            Report::CaptureEnded { bearer, end, length, sound, .. } => {
                let kept = self.captures.remove(&bearer)?;
                let (post, vault) = (self.post.clone(), Arc::clone(&self.vault));
                tokio::task::spawn_local(async move {
                    while kept.recording.state() == State::Running {
                        tokio::time::sleep(CAPTURE_POLL).await;
                    }
                    let path = kept.path.clone();
                    let recording = kept.complete();
                    let sealed = tokio::task::spawn_blocking(move || vault.seal_file(&path)).await;
                    if let Ok(Err(error)) = sealed
                        && recording.is_some()
                    {
                        tracing::error!(%error, "a recording lies unsealed");
                    }
                    let captured = Captured { end, length, sound, recording };
                    drop(post.send(Inbox::Captured(bearer, captured)).await);
                });
                None
            }
            Report::Closed { bearer, .. } => {
                self.hear_no_more(bearer, None);
                self.local.remove(&bearer);
                Some(Input::Report(report))
            }
            Report::PromptReturned { .. } | Report::SpecReturned { .. } => None,
            other => Some(Input::Report(other)),
        }
    }

    fn capture(&mut self, output: Output) -> Option<Input<'static>> {
        let Output::Capture { bearer, name, length_max, final_silence, digit_ends, .. } = output else {
            return None;
        };
        match self.begin_capture(bearer, &name) {
            Ok(handle) => {
                let (into, both) = (handle, false);
                self.command(Command::Capture { bearer, into, both, length_max, final_silence, digit_ends });
                None
            }
            Err(error) => {
                tracing::error!(%error, "a recording did not begin");
                let (end, length) = (dataplane::report::CaptureEnd::Failed, Samples(0));
                Some(Input::Captured(bearer, Captured { end, length, sound: false, recording: None }))
            }
        }
    }

    fn begin_capture(&mut self, bearer: BearerId, name: &str) -> std::io::Result<CaptureHandle> {
        let path = recording_path(&self.recordings, name).ok_or(std::io::ErrorKind::InvalidInput)?;
        let codec = self.local.get(&bearer).map_or(Codec::Pcmu, |(_, codec)| *codec);
        let (sink, recording) = self.recorder.begin(&path, codec)?;
        let handle = self.end.lend_capture(bearer, sink).map_err(|_| std::io::ErrorKind::WouldBlock)?;
        self.captures.insert(bearer, Kept { recording, name: name.to_owned(), path });
        Ok(handle)
    }

    /// Listens along on a bearer, in a task of its own.
    fn hear(&mut self, hear: Hear) -> Option<Input<'static>> {
        let (bearer, id) = (hear.bearer, hear.listen.id);
        self.hear_no_more(bearer, None);
        let ears = self.ears.clone();
        let (sink, ring) = rtrb::RingBuffer::new(ear::RING);
        let failed = Arc::new(AtomicBool::new(false));
        let sink = CaptureSink { ring: sink, codec: Codec::Pcmu, failed: Arc::clone(&failed) };
        let lent = self.end.lend_capture(bearer, sink);
        let (Some(ears), Ok(into)) = (ears, lent) else {
            return Some(Input::Heard(bearer, id, Heard::NoResource));
        };
        self.command(Command::Tap { bearer, into });
        let (post, recordings, vault) = (self.post.clone(), self.recordings.clone(), Arc::clone(&self.vault));
        let task = self.elsewhere.spawn(async move {
            let ear = Ear { ears, hear, ring, gone: Gone(failed), recordings, vault };
            let tell = |heard| {
                let post = post.clone();
                async move { drop(post.send(Inbox::Heard(bearer, id, heard)).await) }
            };
            let heard = ear.run(&tell).await;
            tell(heard).await;
        });
        self.hearing.insert(bearer, (id, task.abort_handle()));
        None
    }

    /// Ends hearing: of one listening, or whatever is heard.
    fn hear_no_more(&mut self, bearer: BearerId, id: Option<ListenId>) {
        if self.hearing.get(&bearer).is_some_and(|(now, _)| id.is_none_or(|id| id == *now))
            && let Some((_, task)) = self.hearing.remove(&bearer)
        {
            task.abort();
        }
    }

    fn fetch(&mut self, token: Token, call: CallId, order: Option<OrderId>, request: FetchRequest) {
        let (post, fetcher, jar) = (self.post.clone(), self.fetcher.load_full(), (self.number, call));
        let attachments = Arc::clone(&self.attachments);
        let task = self.elsewhere.spawn(async move {
            let result = match request.url.strip_prefix("cid:") {
                Some(name) => attached(&attachments, order, name).await,
                None => fetcher.fetch(jar, request).await,
            };
            drop(post.send(Inbox::Fetched(token, result)).await);
        });
        self.fetches.insert(token, task.abort_handle());
    }

    pub(super) fn fetched(&mut self, token: Token) {
        self.fetches.remove(&token);
    }

    fn load(&mut self, token: Token, call: CallId, order: Option<OrderId>, wanted: Wanted) {
        let (post, prompts, jar) = (self.post.clone(), Arc::clone(&self.prompts), (self.number, call));
        self.elsewhere.spawn(async move {
            let what = describe(&wanted);
            let loaded = prompts.load(jar, order, wanted).await;
            let loaded = loaded.inspect_err(|why| tracing::info!(what, why, "a prompt cannot be had"));
            drop(post.send(Inbox::Prompt(token, loaded.ok())).await);
        });
    }

    pub(super) fn lend(&mut self, prompt: Arc<Prompt>) -> Option<Loaded> {
        self.lent.lend(&mut self.end, prompt)
    }

    fn finish(&mut self, finished: Box<Finished>) {
        let (fetcher, jar) = (self.fetcher.load_full(), (self.number, finished.call));
        self.elsewhere.spawn(async move { fetcher.forget(jar).await });
        let how = format!("{:?}", finished.disposition).to_lowercase();
        metrics::counter!("carillon_calls_total", "disposition" => how.clone()).increment(1);
        tracing::info!(
            attempt = %finished.attempt,
            disposition = how,
            cause = finished.cause.0,
            status = finished.status,
            why = finished.why,
            "a call is over"
        );
        // At once if there is room: a shard that has ended its last call polls no task of its own any more.
        let finished = match self.finished.try_send(finished) {
            Ok(()) => return,
            Err(mpsc::error::TrySendError::Full(finished)) => finished,
            Err(mpsc::error::TrySendError::Closed(_)) => {
                tracing::error!("the desk is gone; a finished call was not booked");
                return;
            }
        };
        let desk = self.finished.clone();
        self.elsewhere.spawn(async move {
            if desk.send(finished).await.is_err() {
                tracing::error!("the desk is gone; a finished call was not booked");
            }
        });
    }
}

impl Kept {
    /// What the file holds now.
    fn complete(self) -> Option<vxml::session::Recording> {
        let length = self.recording.length();
        let size = std::fs::metadata(&self.path).ok()?.len();
        (length.0 > 0).then(|| vxml::session::Recording {
            name: self.name,
            size,
            duration_ms: u64::from(length.as_ms()),
            media_type: "audio/x-wav".to_owned(),
        })
    }
}

/// A document that came with the order.
async fn attached(
    attachments: &Attachments,
    order: Option<OrderId>,
    name: &str,
) -> Result<Fetched, FetchError> {
    let order = order.ok_or(FetchError::BadUri)?;
    let (media_type, body) = attachments(order, name.to_owned()).await.ok_or(FetchError::Status(404))?;
    Ok(Fetched {
        url: format!("cid:{name}"),
        media_type,
        charset: None,
        body: Arc::from(body),
        validator: None,
    })
}
