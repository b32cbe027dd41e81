//! One VoiceXML session as a machine: `handle` takes what happened, `poll` gives what to do, `deadline` says when to
//! come back.

mod data;
mod documents;
mod exec;
mod fetch;
mod form;
mod grammars;
mod handlers;
mod input;
mod items;
mod load;
mod properties;
mod record;
mod state;
mod transition;

pub use documents::Documents;

use crate::catch::Event;
use crate::limits::Limits;
use crate::script::{ScopeId, Scopes};
use crate::session::{Connection, Exit, ExitReason, FetchId, Input, LogLine, Output, Prompt, Timer, Trace};
pub(crate) use fetch::recording_name;
pub(crate) use grammars::{choice_keys, has_content, parse_inline};
pub(crate) use properties::time_ms;
pub(crate) use state::Playing;

use state::{After, Level, Phase, Purpose, Target};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use units::{Mono, Now, Seed, TenantId};
use url::Url;

/// What a session needs to begin.
#[derive(Clone)]
pub struct SessionConfig {
    /// Absolute URL of the first document; a fragment names its dialog.
    pub url: String,
    /// Whose documents these are; caches are never shared between tenants.
    pub tenant: TenantId,
    /// What `session.connection` says.
    pub connection: Connection,
    /// `session.id`.
    pub id: String,
    /// Lenient rules: undeclared assignment, `session.telephone`, VoiceXML 1.0 documents, missing namespace.
    pub lenient: bool,
    /// Language where documents give none.
    pub lang: String,
    /// Property values of the platform, below those of documents.
    pub properties: BTreeMap<String, String>,
    /// Messages of the default handlers by event (`help`, `nomatch`, `maxspeechtimeout`, `error`); absent: silence.
    pub messages: BTreeMap<String, String>,
    /// `classid`s of the objects that the host runs; any other is `error.unsupported.objectname`.
    pub objects: Vec<String>,
    /// Languages that the host's synthesis speaks, as RFC 5646 tags; a shorter tag stands for all that begin with it.
    /// Text in another one is `error.unsupported.language`. Empty: any.
    pub languages: Vec<String>,
    /// Where chance begins.
    pub seed: Seed,
    /// Minutes east of Greenwich for scripts.
    pub utc_offset_min: i32,
    /// Bounds of everything that comes from outside.
    pub limits: Limits,
    /// A monotonic clock to bound scripts by time; without it they are bounded by steps.
    pub clock: Option<Arc<dyn Fn() -> Mono + Send + Sync>>,
}

impl SessionConfig {
    /// The defaults for a document.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            tenant: TenantId(0),
            connection: Connection::default(),
            id: String::new(),
            lenient: false,
            lang: "en-US".into(),
            properties: BTreeMap::new(),
            messages: BTreeMap::new(),
            objects: Vec::new(),
            languages: Vec::new(),
            seed: Seed(0),
            utc_offset_min: 0,
            limits: Limits::default(),
            clock: None,
        }
    }
}

/// Why an input was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionError {
    /// The session is over; nothing is to be told it any more.
    Over,
    /// Outputs of the last input are still waiting.
    NotDrained,
}

impl std::fmt::Display for SessionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            SessionError::Over => "the session is over",
            SessionError::NotDrained => "outputs are waiting",
        })
    }
}

impl std::error::Error for SessionError {}

/// A VoiceXML session.
///
/// Made with the URL of its first document; its first output is the fetch of it. Every [`Input`] is one mutation, after
/// which [`Session::poll`] is to be called until it gives `None`.
pub struct Session {
    pub(crate) config: Arc<SessionConfig>,
    out: VecDeque<Output>,
    pub(crate) scopes: Scopes,
    session_scope: ScopeId,
    pub(crate) levels: Vec<Level>,
    phase: Phase,
    now: Now,
    /// Prompts queued, not yet played (VoiceXML 2.0 §4.1.8).
    pub(crate) queue: Vec<Prompt>,
    pub(crate) queue_timeout_ms: Option<u64>,
    pub(crate) playing: VecDeque<Playing>,
    heard_mark: Option<(String, u64)>,
    /// Keys pressed that nobody has asked for yet.
    typeahead: VecDeque<char>,
    next_id: u32,
    /// Grammars this session has fetched for the listening at hand, by URL.
    grammars: HashMap<String, Result<Arc<crate::grammar::Grammar>, Event>>,
    /// Elements of `<data>` and `<script>` whose fetch has come.
    fetched: Option<fetch::Arrived>,
    /// Fetches that are merely hints; the session does not wait for them.
    prefetching: Vec<(FetchId, crate::session::Resource)>,
    pub(crate) hung_up: bool,
    /// It was the document that hung up.
    we_hung_up: bool,
    /// A transfer that waits for the prompts before it.
    moving: Option<Box<(crate::session::Transfer, state::Moving)>>,
    /// Input on its way to a dialog of another document.
    pending_answer: Option<Box<state::Answer>>,
    steps: u32,
    idle_turns: u32,
    throws: u32,
    /// No-inputs in a row that only the platform's handler took.
    silences: u32,
    last_error: Option<Event>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("levels", &self.levels.len())
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// A session whose first output is the fetch of its document.
    #[must_use]
    pub fn new(config: impl Into<Arc<SessionConfig>>, now: Now) -> Self {
        let config: Arc<SessionConfig> = config.into();
        let mut scopes = Scopes::new(
            engine::Config {
                memory_octets_max: config.limits.script_memory_max,
                steps_max: config.limits.script_steps_max,
                time_max: config.limits.script_time_max,
                clock: config.clock.clone(),
                seed: config.seed,
                utc_offset_min: config.utc_offset_min,
                ..engine::Config::default()
            },
            config.lenient,
        );
        scopes.set_wall(now.wall);
        let session_scope = scopes.open(&["session"]);
        let mut session = Self {
            config,
            out: VecDeque::new(),
            scopes,
            session_scope,
            levels: Vec::new(),
            phase: Phase::Running,
            now,
            queue: Vec::new(),
            queue_timeout_ms: None,
            playing: VecDeque::new(),
            heard_mark: None,
            typeahead: VecDeque::new(),
            next_id: 0,
            grammars: HashMap::new(),
            fetched: None,
            prefetching: Vec::new(),
            hung_up: false,
            we_hung_up: false,
            moving: None,
            pending_answer: None,
            steps: 0,
            idle_turns: 0,
            throws: 0,
            silences: 0,
            last_error: None,
        };
        session.define_session_variables();
        session.start();
        session
    }

    /// Tells what happened.
    ///
    /// # Errors
    /// When the session is over, or outputs were not taken. Inputs about things that no longer exist are ignored.
    pub fn handle(&mut self, documents: &mut Documents, now: Now, input: Input) -> Result<(), SessionError> {
        if matches!(self.phase, Phase::Over) {
            return Err(SessionError::Over);
        }
        if !self.out.is_empty() {
            return Err(SessionError::NotDrained);
        }
        self.now = now;
        self.scopes.set_wall(now.wall);
        self.steps = 0;
        self.input(documents, input);
        self.run(documents);
        Ok(())
    }

    /// The next thing for the host to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When [`Input::Timer`] is wanted, and what for.
    #[must_use]
    pub fn deadline(&self) -> Option<(Mono, Timer)> {
        match &self.phase {
            Phase::Listening(l) => l.timer,
            Phase::Recording(c) => c.timer.map(|at| (at, Timer::InterDigit)),
            _ => None,
        }
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Whether a script engine was needed so far, and its heap in octets.
    #[must_use]
    pub fn engine_octets(&self) -> Option<usize> {
        self.scopes.has_engine().then(|| self.scopes.engine_octets())
    }

    fn start(&mut self) {
        match Url::parse(&self.config.url) {
            Ok(url) => {
                let target = Target {
                    fragment: url.fragment().map(str::to_owned),
                    url,
                    submit: true,
                    subdialog: None,
                    pending: None,
                };
                let request = self.plain_request(&target.url, crate::session::Resource::Document);
                self.fetch(request, Purpose::Document(Box::new(target)));
            }
            Err(_) => self.finish(Exit {
                reason: ExitReason::Error {
                    event: "error.badfetch".into(),
                    message: "the URL is none".into(),
                },
                values: Vec::new(),
            }),
        }
    }

    fn input(&mut self, documents: &mut Documents, input: Input) {
        match input {
            Input::Fetched { id, result } => self.on_fetched(documents, id, result),
            Input::Digit { digit } => self.on_digit(digit.as_char()),
            Input::SpeechStarted { id } => self.on_speech(id),
            Input::Recognised { id, nbest, recording } => self.on_recognised(id, &nbest, recording),
            Input::TooMuchSpeech { id } => self.on_listen_event(id, Event::new("maxspeechtimeout")),
            Input::NoResource { id } => self.on_listen_event(id, Event::new("error.noresource")),
            Input::NoLanguage { id } => self.on_listen_event(id, Event::new("error.unsupported.language")),
            Input::Mark { name, .. } => self.heard_mark = Some((name, 0)),
            Input::PlayEnded { id, mark, .. } => self.on_play_ended(id, mark),
            Input::Recorded { id, recording, termchar, maxtime } => {
                self.on_recorded(id, recording, termchar.map(units::Digit::as_char), maxtime);
            }
            Input::TransferEnded { id, end, duration_ms } => self.on_transfer_ended(id, end, duration_ms),
            Input::ObjectDone { id, result } => self.on_object_done(id, result),
            Input::HangUp => self.on_hangup(),
            Input::Timer => self.on_timer(),
        }
    }

    /// Steps until the session waits for something.
    fn run(&mut self, documents: &mut Documents) {
        while matches!(self.phase, Phase::Running) {
            self.steps += 1;
            if self.steps > self.config.limits.steps_max
                || self.idle_turns > self.config.limits.idle_turns_max
            {
                let event = Event::with(
                    "error.max_loop_count_exceeded",
                    "the document runs in circles without input",
                );
                return self.fail(event);
            }
            if let Err(event) = self.step(documents) {
                self.throw(event);
            }
        }
    }

    fn step(&mut self, documents: &mut Documents) -> Result<(), Event> {
        let Some(level) = self.levels.last() else {
            self.end(ExitReason::EndOfDocument, Vec::new());
            return Ok(());
        };
        if level.exec.is_some() {
            return self.step_exec(documents);
        }
        self.select(documents)
    }

    pub(crate) fn id(&mut self) -> u32 {
        self.next_id = self.next_id.wrapping_add(1);
        self.next_id
    }

    pub(crate) fn emit(&mut self, output: Output) {
        self.out.push_back(output);
    }

    fn trace(&mut self, trace: Trace) {
        self.emit(Output::Trace(trace));
    }

    fn log(&mut self, label: Option<String>, text: String) {
        self.emit(Output::Log(LogLine { label, text }));
    }

    pub(crate) fn level(&mut self) -> &mut Level {
        self.levels.last_mut().expect("asked for only while a document is active")
    }

    /// Ends the session when what is queued has been heard.
    fn end(&mut self, reason: ExitReason, values: Vec<(String, serde_json::Value)>) {
        let exit = Exit { reason, values };
        self.level_exec_off();
        self.flush_queue();
        if self.playing.is_empty() || self.hung_up {
            self.finish(exit);
        } else {
            self.phase = Phase::Draining(After::Exit(exit));
        }
    }

    fn level_exec_off(&mut self) {
        if let Some(level) = self.levels.last_mut()
            && let Some(exec) = level.exec.take()
            && let Some(scope) = exec.scope
        {
            self.scopes.close(scope);
        }
    }

    /// Ends the session with an uncaught event.
    fn fail(&mut self, event: Event) {
        if let Some(text) = self.config.messages.get("error").cloned() {
            self.queue_platform_text(text);
        }
        let reason = ExitReason::Error { event: event.name, message: event.message.unwrap_or_default() };
        self.end(reason, Vec::new());
    }

    fn finish(&mut self, exit: Exit) {
        for (id, _) in std::mem::take(&mut self.prefetching) {
            self.emit(Output::CancelFetch { id });
        }
        self.emit(Output::Exit(exit));
        self.phase = Phase::Over;
        self.levels.clear();
    }

    /// The caller did something: the line is not dead.
    fn alive(&mut self) {
        self.silences = 0;
        self.awake();
    }

    /// Something came from outside: the document does not merely chase itself.
    fn awake(&mut self) {
        self.idle_turns = 0;
        self.throws = 0;
    }
}
