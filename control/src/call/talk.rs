//! The conversation of an answered call: the VoiceXML session on one side, the bearer and the fetcher on the other.

use super::objects::{self, Keying};
use super::play::{Act, Listening, Playlist};
use super::transfer::{Handing, Moving, TRANSFER_AUDIO, Wish};
use super::voice::Voice;
use super::{Captured, Told};
use crate::conduct::{Ctx, Denied, Letter, Loaded, Output, Purpose, ScriptClock, Token, Wanted};
use crate::order::Order;
use dataplane::command::{Command, Cut, Detectors, Tone};
use dataplane::report::{CaptureEnd, PlayEnd as Ended, Report};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, VecDeque};
use units::{AttemptId, BearerId, CallId, Codec, Digit, Mono, OrderId, Samples, TenantId};
use vxml::session::{
    Bargein, Connection, Exit, ExitReason, FetchAudio, FetchError, FetchId, FetchRequest, Fetched, Input,
    Listen, ListenId, Output as Asked, PlayId, Prompt, Record, Resource, Segment, Trace,
};
use vxml::{Session, SessionConfig};

/// What a conversation begins with.
pub(super) struct Opening<'a> {
    pub(super) call: CallId,
    pub(super) attempt: AttemptId,
    pub(super) tenant: TenantId,
    pub(super) order: Option<&'a Order>,
    pub(super) bearer: BearerId,
    pub(super) codec: Codec,
    /// The far side sends digits as RFC 4733 events: no detector is needed.
    pub(super) events: bool,
    pub(super) connection: Connection,
    /// What was fetched before anyone was called, under the URL it was asked for.
    pub(super) pages: Vec<(String, Fetched)>,
    /// As it was asked for.
    pub(super) url: String,
    pub(super) lenient: bool,
}

/// What happens to a conversation.
#[derive(Debug)]
pub(super) enum Turn {
    Begin,
    Told(Told),
    /// A digit by signalling.
    Digit(Digit),
    /// Status of our REFER.
    Referred(u16),
    /// From the other call of a transfer.
    Letter(CallId, Letter),
    /// A transfer is not to be dialled.
    Denied(OrderId, Denied),
    HangUp,
    BearerGone,
    Timer,
}

#[derive(Debug)]
pub(super) struct Talk {
    pub(super) call: CallId,
    pub(super) attempt: AttemptId,
    pub(super) tenant: TenantId,
    order: Option<OrderId>,
    pub(super) bearer: Option<BearerId>,
    codec: Codec,
    pub(super) events: bool,
    session: Session,
    /// Documents fetched before anyone was called, and how they were asked for; each is given once.
    pages: Vec<(String, Fetched)>,
    pub(super) list: Playlist,
    pub(super) inputs: VecDeque<Input>,
    pub(super) listening: Option<(ListenId, Listening)>,
    capture: Option<Capture>,
    captures: u32,
    pub(super) moving: Option<Box<Moving>>,
    pub(super) keying: Option<Keying>,
    pub(super) wish: Option<Wish>,
    pub(super) handing: Option<Handing>,
    /// The caller's leg is gone.
    pub(super) gone: bool,
    fetches: BTreeMap<FetchId, Token>,
    waiting: Option<Waiting>,
    pub(super) hung_up: bool,
    hang_up: bool,
    exit: Option<Exit>,
    values: Map<String, Value>,
    pub(super) recordings: Vec<String>,
    pub(super) voice: Voice,
}

#[derive(Debug)]
struct Capture {
    spec: Record,
    stage: CaptureStage,
    heard: bool,
    no_input: bool,
    digit: Option<Digit>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CaptureStage {
    /// What is queued is still played.
    Queued,
    Beeping,
    Running {
        since: Mono,
    },
}

/// `fetchaudio` (VoiceXML 2.0 §6.1.4): after a delay, at least so long, then the answer is handed on.
#[derive(Debug)]
struct Waiting {
    fetch: FetchId,
    audio: FetchAudio,
    from: Mono,
    playing: Option<Mono>,
    answer: Option<Result<Fetched, FetchError>>,
}

/// Names the record beep among the items of the bearer; the playlist counts up from zero and never gets here.
const BEEP: u32 = u32::MAX;
/// The record beep, ms.
const BEEP_MS: u32 = 250;
/// Names the play of `fetchaudio`; the interpreter counts up from zero.
const FETCH_AUDIO: PlayId = PlayId(u32::MAX);
/// Recordings of one call.
const CAPTURES_MAX: u32 = 1_000;

impl Talk {
    pub(super) fn start(ctx: &mut Ctx<'_>, opening: Opening<'_>) -> Self {
        let Opening { call, attempt, tenant, order, bearer, codec, events, connection, pages, url, lenient } =
            opening;
        let session = open_session(ctx, (call, attempt, tenant), connection, &url, lenient);
        let detect = Detectors { dtmf: !events, ..Detectors::default() };
        ctx.out.push_back(Output::Command(Command::Detect { bearer, on: detect }));
        Self {
            call,
            attempt,
            tenant,
            order: order.map(|o| o.id),
            bearer: Some(bearer),
            codec,
            events,
            session,
            pages,
            list: Playlist::default(),
            inputs: VecDeque::new(),
            listening: None,
            capture: None,
            captures: 0,
            moving: None,
            keying: None,
            wish: None,
            handing: None,
            gone: false,
            fetches: BTreeMap::new(),
            waiting: None,
            hung_up: false,
            hang_up: false,
            exit: None,
            values: Map::new(),
            recordings: Vec::new(),
            voice: Voice::new(ctx.settings.hears),
        }
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        let capture = self.capture.as_ref().and_then(Capture::deadline);
        let waiting = self.waiting.as_ref().and_then(|w| w.deadline(self.list.is_idle()));
        let session = self.session.deadline().map(|(at, _)| at);
        let moving = self.moving.as_ref().and_then(|m| m.deadline());
        let keying = self.keying.as_ref().map(Keying::deadline).filter(|_| self.list.is_idle());
        [session, capture, waiting, moving, keying].into_iter().flatten().min()
    }

    /// The document hangs up, and what it said before has been heard.
    pub(super) fn wants_hang_up(&self) -> bool {
        self.hang_up && self.list.is_idle()
    }

    pub(super) fn take_handing(&mut self) -> Option<Handing> {
        self.handing.take()
    }

    pub(super) fn take_wish(&mut self) -> Option<Wish> {
        self.wish.take()
    }

    /// The end, once what was queued before it has been heard.
    pub(super) fn take_exit(&mut self) -> Option<Exit> {
        if self.list.is_idle() || self.hung_up { self.exit.take() } else { None }
    }

    pub(super) fn results(&mut self) -> (Map<String, Value>, Vec<String>) {
        (std::mem::take(&mut self.values), std::mem::take(&mut self.recordings))
    }

    pub(super) fn turn(&mut self, ctx: &mut Ctx<'_>, turn: Turn) {
        match turn {
            // Its first output is the fetch of its document.
            Turn::Begin => self.hear(ctx),
            Turn::Told(told) => self.told(ctx, told),
            Turn::Digit(digit) => self.digit(digit),
            Turn::Referred(status) => self.referred(ctx, status),
            Turn::Letter(from, letter) => self.letter(ctx, from, letter),
            Turn::Denied(order, why) => self.denied(ctx, order, why),
            Turn::HangUp => self.hung_up(ctx),
            Turn::BearerGone => self.bearer_gone(ctx),
            Turn::Timer => self.timer(ctx),
        }
        self.run(ctx);
    }

    fn told(&mut self, ctx: &mut Ctx<'_>, told: Told) {
        match told {
            Told::Fetched(Purpose::Fetch(id), result) => self.fetched(ctx, id, result),
            Told::Prompt(Purpose::Prompt(item), loaded) => self.list.loaded(item, loaded),
            Told::Prompt(Purpose::Ahead(id), loaded) => self.ahead(ctx, id, loaded),
            Told::Captured(captured) => self.captured(captured),
            Told::Heard(id, heard) => self.heard(ctx, id, heard),
            Told::Report(report) => self.report(ctx, report),
            other => discard(ctx, Turn::Told(other)),
        }
    }

    fn report(&mut self, ctx: &mut Ctx<'_>, report: Report) {
        match report {
            Report::Digit { digit, via, length, .. } => {
                self.relay_digit(ctx, digit, via, length);
                self.digit(digit);
            }
            Report::PlayEnded { item: BEEP, .. } => self.start_capture(ctx),
            Report::PlayEnded { item, end, heard, .. } => self.list.ended(item, end, heard),
            Report::Voice { on: true, .. } => {
                if let Some(capture) = &mut self.capture {
                    capture.heard = true;
                }
            }
            _ => {}
        }
    }

    fn digit(&mut self, digit: Digit) {
        match &mut self.capture {
            // VoiceXML 2.0 §2.3.6: the digit that ends a recording is its termchar and no input to anything else.
            Some(Capture { spec, stage: CaptureStage::Running { .. }, digit: held, .. }) if spec.dtmfterm => {
                held.get_or_insert(digit);
            }
            _ => self.inputs.push_back(Input::Digit { digit }),
        }
    }

    /// Alternates between the playlist and the interpreter until both have nothing to say.
    fn run(&mut self, ctx: &mut Ctx<'_>) {
        loop {
            // What the caller hears during a transfer is cut by nothing: a key is for the transfer's grammar.
            let listening = match &self.moving {
                Some(_) => Listening::default(),
                None => self.listening.map(|(_, l)| l).unwrap_or_default(),
            };
            self.list.pump(listening);
            if let Some(act) = self.list.poll() {
                self.carry_out(ctx, act);
                continue;
            }
            self.step_voice(ctx);
            self.step_capture(ctx);
            self.step_waiting(ctx);
            self.step_keying(ctx);
            let Some(input) = self.inputs.pop_front() else { break };
            if self.exit.is_some() {
                continue;
            }
            if let Err(error) = self.session.handle(&mut ctx.common.documents, ctx.now, input) {
                ctx.story(self.attempt, "vxml", format!("refused: {error:?}"));
            }
            self.hear(ctx);
        }
    }

    fn hear(&mut self, ctx: &mut Ctx<'_>) {
        while let Some(asked) = self.session.poll() {
            self.obey(ctx, asked);
        }
    }

    fn carry_out(&mut self, ctx: &mut Ctx<'_>, act: Act) {
        match (act, self.bearer) {
            (Act::Load { item, wanted }, _) => {
                let token = ctx.token(self.call, Purpose::Prompt(item));
                let (tenant, order, codec) = (self.tenant, self.order, self.codec);
                let call = self.call;
                ctx.out.push_back(Output::Load { token, call, tenant, order, wanted, codec });
            }
            (Act::Unload(prompt), _) => ctx.out.push_back(Output::Unload(prompt)),
            (Act::Play { item, prompt, cut }, Some(bearer)) => {
                let (offset, length) = (Samples(0), Samples(u32::MAX));
                ctx.command(Command::Play { bearer, item, prompt, offset, length, cut });
            }
            (Act::Silence { item, length, cut }, Some(bearer)) => {
                ctx.command(Command::Tone { bearer, item, tone: None, length, cut });
            }
            (Act::Play { item, .. } | Act::Silence { item, .. }, None) => {
                self.list.ended(item, Ended::Stopped, Samples(0));
            }
            (Act::Stop, bearer) => {
                if let Some(bearer) = bearer {
                    ctx.command(Command::StopPlay { bearer });
                }
            }
            (Act::Mark { play, name }, _) => self.inputs.push_back(Input::Mark { play, name }),
            (Act::Ended { play: FETCH_AUDIO, .. }, _) => {}
            (Act::Ended { play: TRANSFER_AUDIO, end, .. }, _) => self.transfer_audio_ended(ctx, end),
            (Act::Ended { play, end, heard_ms, mark }, _) => {
                ctx.story(self.attempt, "media", format!("prompt {end:?} after {heard_ms} ms"));
                self.inputs.push_back(Input::PlayEnded { id: play, end, heard_ms, mark });
            }
        }
    }

    /// Does what the interpreter asks.
    fn obey(&mut self, ctx: &mut Ctx<'_>, asked: Asked) {
        match asked {
            Asked::Fetch { id, request } => self.fetch(ctx, id, request),
            Asked::CancelFetch { id } => {
                if let Some(token) = self.fetches.remove(&id) {
                    ctx.forget(token);
                    ctx.out.push_back(Output::CancelFetch(token));
                }
            }
            Asked::Play { id, prompts } => self.list.push(id, prompts),
            Asked::StopPlay => self.list.stop(),
            Asked::Listen(listen) => self.listen(&listen),
            Asked::StopListen { id } => {
                if self.listening.is_some_and(|(now, _)| now == id) {
                    self.listening = None;
                }
                self.stop_capture(ctx, id);
            }
            Asked::Record(spec) => {
                if let Some(listen) = &spec.listen {
                    self.listen(listen);
                }
                let stage = CaptureStage::Queued;
                self.capture = Some(Capture { spec, stage, heard: false, no_input: false, digit: None });
            }
            Asked::Transfer(transfer) => self.begin_transfer(ctx, transfer),
            Asked::Object { id, class, params } => self.begin_object(ctx, id, &class, &params),
            Asked::EndTransfer { id } => self.release_transfer(ctx, id),
            Asked::Disconnect { values } => {
                self.values.extend(values);
                // A caller that was handed over is not the document's any more.
                self.hang_up = !self.is_handed_over();
            }
            Asked::Log(line) => {
                let label = line.label.map_or_else(String::new, |l| format!("[{l}] "));
                ctx.story(self.attempt, "log", format!("{label}{}", line.text));
            }
            Asked::Trace(trace) => ctx.story(self.attempt, "vxml", traced(&trace)),
            Asked::Exit(exit) => self.exit = Some(exit),
        }
    }

    fn fetch(&mut self, ctx: &mut Ctx<'_>, id: FetchId, request: FetchRequest) {
        let known = self.pages.iter().position(|(url, _)| *url == request.url);
        if let Some(known) = known.filter(|_| request.resource == Resource::Document) {
            let (_, document) = self.pages.swap_remove(known);
            self.inputs.push_back(Input::Fetched { id, result: Ok(document) });
            return;
        }
        if let Some(audio) = request.fetchaudio.clone() {
            self.waiting =
                Some(Waiting { fetch: id, audio, from: ctx.now.mono, playing: None, answer: None });
        }
        if request.resource == Resource::Audio {
            return self.load_ahead(ctx, id, request);
        }
        let token = ctx.token(self.call, Purpose::Fetch(id));
        self.fetches.insert(id, token);
        let (call, tenant, order) = (self.call, self.tenant, self.order);
        ctx.out.push_back(Output::Fetch { token, call, tenant, order, request });
    }

    /// Sound that is wanted ahead is made ready like a prompt, and stays so for a while without anybody's use of it.
    fn load_ahead(&mut self, ctx: &mut Ctx<'_>, id: FetchId, request: FetchRequest) {
        let token = ctx.token(self.call, Purpose::Ahead(id));
        let (call, tenant, order, codec) = (self.call, self.tenant, self.order, self.codec);
        let FetchRequest { url, timeout_ms, caching, .. } = request;
        let wanted = Wanted::Url { url, timeout_ms, caching };
        ctx.out.push_back(Output::Load { token, call, tenant, order, wanted, codec });
    }

    fn ahead(&mut self, ctx: &mut Ctx<'_>, id: FetchId, loaded: Option<Loaded>) {
        ctx.out.extend(loaded.map(|loaded| Output::Unload(loaded.prompt)));
        // The interpreter only counts what is under way.
        self.inputs.push_back(Input::Fetched { id, result: Err(FetchError::Unreachable) });
    }

    fn fetched(&mut self, ctx: &mut Ctx<'_>, id: FetchId, result: Result<Fetched, FetchError>) {
        self.fetches.remove(&id);
        if let Err(error) = &result {
            ctx.story(self.attempt, "fetch", fetch_error(error));
        }
        match &mut self.waiting {
            Some(waiting) if waiting.fetch == id => waiting.answer = Some(result),
            _ => self.inputs.push_back(Input::Fetched { id, result }),
        }
    }

    /// Starts `fetchaudio` after its delay, and hands the answer on once it has played its minimum.
    fn step_waiting(&mut self, ctx: &mut Ctx<'_>) {
        let Some(waiting) = &mut self.waiting else { return };
        let now = ctx.now.mono;
        match (waiting.playing, waiting.answer.is_some()) {
            (None, false) if now >= waiting.audible_from() && self.list.is_idle() => {
                waiting.playing = Some(now);
                let url = waiting.audio.url.clone();
                let segment =
                    Segment::Audio { url, timeout_ms: 7_000, caching: Default::default(), fallback: vec![] };
                self.list.push(FETCH_AUDIO, vec![Prompt { bargein: Bargein::None, segments: vec![segment] }]);
                self.list.pump(Listening::default());
            }
            (Some(since), true)
                if now < since + std::time::Duration::from_millis(waiting.audio.minimum_ms) => {}
            (playing, true) => {
                let waiting = self.waiting.take().expect("looked at above");
                if playing.is_some() {
                    self.list.stop();
                }
                let result = waiting.answer.expect("looked at above");
                self.inputs.push_back(Input::Fetched { id: waiting.fetch, result });
            }
            _ => {}
        }
    }

    fn step_capture(&mut self, ctx: &mut Ctx<'_>) {
        let Some(capture) = &mut self.capture else { return };
        if capture.stage != CaptureStage::Queued || !self.list.is_idle() {
            return;
        }
        let Some(bearer) = self.bearer else {
            self.capture_failed();
            return;
        };
        if capture.spec.beep {
            capture.stage = CaptureStage::Beeping;
            let length = Samples::from_ms(BEEP_MS);
            ctx.command(Command::Tone {
                bearer,
                item: BEEP,
                tone: Some(Tone::Beep),
                length,
                cut: Cut::Never,
            });
        } else {
            self.start_capture(ctx);
        }
    }

    fn start_capture(&mut self, ctx: &mut Ctx<'_>) {
        let Some(capture) = &mut self.capture else { return };
        let Some(bearer) = self.bearer.filter(|_| self.captures < CAPTURES_MAX) else {
            self.capture_failed();
            return;
        };
        capture.stage = CaptureStage::Running { since: ctx.now.mono };
        self.captures += 1;
        let samples = |ms: u64| Samples::from_ms(u32::try_from(ms).unwrap_or(u32::MAX));
        let detect = Detectors { dtmf: !self.events, voice: true, ..Detectors::default() };
        ctx.command(Command::Detect { bearer, on: detect });
        ctx.out.push_back(Output::Capture {
            bearer,
            name: format!("{}-{}", self.attempt, self.captures),
            media_type: capture.spec.media_type.clone(),
            length_max: samples(capture.spec.maxtime_ms),
            final_silence: samples(capture.spec.finalsilence_ms),
            digit_ends: capture.spec.dtmfterm,
        });
    }

    /// Nothing can be recorded any more: told like silence.
    fn capture_failed(&mut self) {
        if let Some(capture) = self.capture.take() {
            let id = capture.spec.id;
            self.listening = self.listening.take_if(|(now, _)| *now != id);
            self.inputs.push_back(Input::Recorded { id, recording: None, termchar: None, maxtime: false });
        }
    }

    fn captured(&mut self, captured: Captured) {
        let Some(capture) = self.capture.take() else { return };
        self.listening = self.listening.take_if(|(now, _)| *now != capture.spec.id);
        let kept = captured.recording.filter(|_| captured.sound && !capture.no_input);
        self.recordings.extend(kept.as_ref().map(|r| r.name.clone()));
        let ended_by_digit = captured.end == CaptureEnd::Digit;
        self.inputs.push_back(Input::Recorded {
            id: capture.spec.id,
            recording: kept,
            termchar: capture.digit.filter(|_| ended_by_digit),
            maxtime: captured.end == CaptureEnd::Full,
        });
    }

    pub(super) fn record_listen(&self) -> Option<&Listen> {
        self.capture.as_ref()?.spec.listen.as_deref()
    }

    /// A grammar of the document ended the recording, or the caller has gone: what there is of it is handed over.
    fn stop_capture(&mut self, ctx: &mut Ctx<'_>, id: ListenId) {
        let Some(capture) = self.capture.as_ref().filter(|c| c.spec.id == id) else { return };
        match (capture.stage, self.bearer) {
            (CaptureStage::Running { .. }, Some(bearer)) => ctx.command(Command::StopCapture { bearer }),
            _ => self.capture_failed(),
        }
    }

    fn hung_up(&mut self, ctx: &mut Ctx<'_>) {
        self.gone = true;
        if self.hung_up || self.hang_up {
            self.hung_up = true;
            self.abandon_transfer(ctx);
            return;
        }
        self.hung_up = true;
        self.caller_left(ctx);
        self.list.stop();
        // A recording that runs is stopped by the interpreter, which wants what was said until now.
        self.inputs.push_back(Input::HangUp);
    }

    fn bearer_gone(&mut self, ctx: &mut Ctx<'_>) {
        self.bearer = None;
        self.list.abort();
        self.capture_failed();
        for token in std::mem::take(&mut self.fetches).into_values() {
            ctx.forget(token);
            ctx.out.push_back(Output::CancelFetch(token));
        }
    }

    fn timer(&mut self, ctx: &mut Ctx<'_>) {
        let now = ctx.now.mono;
        if self.session.deadline().is_some_and(|(at, _)| now >= at) {
            self.inputs.push_back(Input::Timer);
        }
        self.transfer_timer(ctx);
        let silent = self.capture.as_ref().and_then(Capture::deadline).is_some_and(|at| now >= at);
        if let (true, Some(capture), Some(bearer)) = (silent, &mut self.capture, self.bearer) {
            capture.no_input = true;
            ctx.command(Command::StopCapture { bearer });
        }
    }
}

impl Capture {
    /// VoiceXML 2.0 §2.3.6: no sound within `timeout` is a noinput.
    fn deadline(&self) -> Option<Mono> {
        match self.stage {
            CaptureStage::Running { since } if !self.heard && !self.no_input => {
                Some(since + std::time::Duration::from_millis(self.spec.timeout_ms))
            }
            _ => None,
        }
    }
}

impl Waiting {
    fn audible_from(&self) -> Mono {
        self.from + std::time::Duration::from_millis(self.audio.delay_ms)
    }

    fn deadline(&self, idle: bool) -> Option<Mono> {
        match (self.playing, self.answer.is_some()) {
            (None, false) => idle.then(|| self.audible_from()),
            (Some(since), true) => Some(since + std::time::Duration::from_millis(self.audio.minimum_ms)),
            _ => None,
        }
    }
}

/// What comes for a conversation that is not there (any more): what was lent for it goes back.
pub(super) fn discard(ctx: &mut Ctx<'_>, turn: Turn) {
    if let Turn::Told(Told::Prompt(_, Some(loaded))) = turn {
        ctx.out.push_back(Output::Unload(loaded.prompt));
    }
}

/// A fetch error in a few words.
pub(super) fn fetch_error(error: &FetchError) -> String {
    match error {
        FetchError::Status(status) => format!("HTTP {status}"),
        FetchError::Timeout => "timeout".into(),
        FetchError::Unreachable => "unreachable".into(),
        FetchError::Forbidden => "forbidden by the fetch rules".into(),
        FetchError::TooLarge => "too large".into(),
        FetchError::TooManyRedirects => "too many redirects".into(),
        FetchError::BadUri => "not a URL that can be fetched".into(),
    }
}

/// An exit in a few words.
pub(super) fn exit_reason(exit: &Exit) -> String {
    match &exit.reason {
        ExitReason::Error { event, message } if message.is_empty() => event.clone(),
        ExitReason::Error { event, message } => format!("{event}: {}", without_digits(message)),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// A URL as a story may hold it: what a caller pressed travels in the query.
pub(super) fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

/// A message without runs of digits that a person could have typed; single ones (lines, columns, codes) stay.
fn without_digits(message: &str) -> String {
    let mut told = String::new();
    let mut run = 0;
    for c in message.chars().take(200) {
        run = if c.is_ascii_digit() { run + 1 } else { 0 };
        match run {
            0..=3 => told.push(c),
            4 => told.push('…'),
            _ => {}
        }
    }
    told
}

fn traced(trace: &Trace) -> String {
    match trace {
        Trace::Document { url } => format!("document {}", without_query(url)),
        Trace::Visit { dialog, item } => format!("visits {dialog}/{item}"),
        Trace::Event { name, message } => match message {
            // What a script or a document put into it may hold what the caller pressed: only our own words are told.
            Some(message) if name.starts_with("error.") => {
                format!("event {name}: {}", without_digits(message))
            }
            _ => format!("event {name}"),
        },
        Trace::Unheard { .. } => "a prompt that nobody hears any more".into(),
        Trace::Input { mode, matched, .. } => {
            format!("{mode} input {}", if *matched { "matched" } else { "did not match" })
        }
    }
}

/// The interpreter for a call.
fn open_session(
    ctx: &mut Ctx<'_>,
    (call, attempt, tenant): (CallId, AttemptId, TenantId),
    connection: Connection,
    url: &str,
    lenient: bool,
) -> Session {
    let settings = ctx.settings;
    let config = SessionConfig {
        tenant,
        connection,
        id: attempt.to_string(),
        lenient,
        objects: objects::CLASSES.iter().map(|class| (*class).to_owned()).collect(),
        languages: settings.languages.clone(),
        properties: BTreeMap::from([("fetchtimeout".to_owned(), format!("{}ms", settings.fetch_timeout_ms))]),
        seed: ctx.common.seed.derive(call.0),
        limits: settings.vxml.clone(),
        clock: settings.script_clock.clone().map(|ScriptClock(clock)| clock),
        ..SessionConfig::new(url)
    };
    Session::new(config, ctx.now)
}
