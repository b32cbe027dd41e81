//! One control channel, from the client's side: requests out, answers and events in, each request ended once.
//!
//! ```text
//! request ──▶ Sent ──200 IN-PROGRESS──▶ Working ──…-COMPLETE──▶ over
//!              │  └──200 COMPLETE, 4xx, 5xx──────────────────▶ over
//!              └──no answer in time──▶ over, and the channel with it
//! ```

use super::result;
use super::wire::{Error as WireError, MESSAGE_MAX, Message, Start, State};
use crate::frame::Reading;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use units::{Mono, Now};

/// What the client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Speak SSML.
    Speak {
        /// The document.
        ssml: String,
        /// Fields as they go out: voice, prosody, vendor's.
        fields: Vec<(String, String)>,
    },
    /// Make a grammar known under a name for the channel's life.
    DefineGrammar {
        /// `name@form-level.store`.
        id: String,
        /// `application/srgs+xml` ...
        media_type: String,
        /// The grammar.
        grammar: String,
    },
    /// Recognise by defined grammars.
    Recognize {
        /// Their names.
        grammars: Vec<String>,
        /// Thresholds, timers, vendor's fields.
        fields: Vec<(String, String)>,
        /// Whether no-input is counted from now; else from [`Ask::StartInputTimers`].
        start_timers: bool,
    },
    /// The prompt is over: no-input is counted from now.
    StartInputTimers,
    /// The caller began to speak while the engine speaks: it stops, if it may.
    BargeInOccurred,
    /// Record.
    Record {
        /// Media, silence, longest.
        fields: Vec<(String, String)>,
    },
    /// End what is in progress.
    Stop,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// A request was refused, or its answer did not come (`None`).
    Failed {
        /// Which.
        id: u32,
        /// RFC 6787 §5.4.
        status: Option<u16>,
    },
    /// A request that has no events is done.
    Done {
        /// Which.
        id: u32,
    },
    /// Somebody began to speak.
    StartOfInput,
    /// A mark of the SSML was passed.
    Marker(String),
    /// Speaking is over.
    SpeakComplete {
        /// RFC 6787 §8.4.7: 000 normal, 001 barge-in ...
        cause: u16,
    },
    /// Recognition is over.
    RecognitionComplete {
        /// RFC 6787 §9.4.11: 000 success, 001 no-match, 002 no-input-timeout ...
        cause: u16,
        /// Best first.
        nbest: Vec<Reading>,
        /// Where the engine keeps the utterance.
        waveform: Option<String>,
    },
    /// Recording is over.
    RecordComplete {
        /// RFC 6787 §10.4.7.
        cause: u16,
        /// Where it is.
        uri: Option<String>,
    },
    /// The channel is of no more use: octets that are no message, or an engine that does not answer.
    Broken,
}

/// Requests that wait for an end.
const REQUESTS_MAX: usize = 64;
/// An engine answers a request within this (RFC 6787 §5.3 leaves it to clients).
const ANSWER: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Sent { until: Mono },
    Working,
}

/// See the module.
#[derive(Debug)]
pub struct Channel {
    identifier: String,
    next: u32,
    requests: BTreeMap<u32, Stage>,
    input: Vec<u8>,
    transmit: VecDeque<Vec<u8>>,
    told: VecDeque<Told>,
    broken: bool,
}

/// A request that was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

impl Channel {
    /// A channel by its identifier as the engine's SDP gave it (`32AECB23433801@speechrecog`).
    #[must_use]
    pub fn new(identifier: String, first_request: u32) -> Self {
        Self {
            identifier,
            next: first_request,
            requests: BTreeMap::new(),
            input: Vec::new(),
            transmit: VecDeque::new(),
            told: VecDeque::new(),
            broken: false,
        }
    }

    /// Sends a request; its number.
    ///
    /// # Errors
    /// The channel is broken, or [`REQUESTS_MAX`] wait.
    pub fn ask(&mut self, now: Now, ask: Ask) -> Result<u32, Refused> {
        if self.broken || self.requests.len() >= REQUESTS_MAX {
            return Err(Refused);
        }
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        let (method, mut fields, body) = ask.parts();
        fields.insert(0, ("Channel-Identifier".into(), self.identifier.clone()));
        let start = Start::Request { method: method.into(), id };
        self.transmit.push_back(Message { start, fields, body: body.into_bytes() }.write());
        self.requests.insert(id, Stage::Sent { until: now.mono + ANSWER });
        Ok(id)
    }

    /// Takes octets of the connection.
    pub fn receive(&mut self, octets: &[u8]) {
        if self.broken {
            return;
        }
        if self.input.len() + octets.len() > 2 * MESSAGE_MAX {
            return self.break_off();
        }
        self.input.extend_from_slice(octets);
        loop {
            match Message::read(&self.input) {
                Ok(Some((message, taken))) => {
                    self.input.drain(..taken);
                    self.message(&message);
                }
                Ok(None) => return,
                Err(WireError::Start | WireError::Length | WireError::Field | WireError::TooLarge) => {
                    return self.break_off();
                }
            }
        }
    }

    /// An answer that has not come by its time breaks the channel.
    pub fn timer(&mut self, now: Now) {
        let late = |stage: &Stage| matches!(stage, Stage::Sent { until } if now.mono >= *until);
        if self.requests.values().any(late) {
            self.break_off();
        }
    }

    /// When to come back.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        let until = |stage: &Stage| match stage {
            Stage::Sent { until } => Some(*until),
            Stage::Working => None,
        };
        self.requests.values().filter_map(until).min()
    }

    /// Octets for the connection.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmit.pop_front()
    }

    /// What happened.
    pub fn poll(&mut self) -> Option<Told> {
        self.told.pop_front()
    }

    /// Something was asked that is not over.
    #[must_use]
    pub fn working(&self) -> bool {
        !self.requests.is_empty()
    }

    /// Every request ends once, also when the connection does.
    pub fn break_off(&mut self) {
        if std::mem::replace(&mut self.broken, true) {
            return;
        }
        for id in std::mem::take(&mut self.requests).into_keys() {
            self.told.push_back(Told::Failed { id, status: None });
        }
        self.told.push_back(Told::Broken);
    }

    fn message(&mut self, message: &Message) {
        // RFC 6787 §5.1: connections may be shared; what is another channel's is not ours.
        if message.field("Channel-Identifier").is_some_and(|c| c != self.identifier) {
            return;
        }
        match &message.start {
            Start::Response { id, status, state } => self.answered(*id, *status, *state),
            Start::Event { name, id, state } => self.event(name, *id, *state, message),
            Start::Request { .. } => {}
        }
    }

    fn answered(&mut self, id: u32, status: u16, state: State) {
        // An answer that comes twice, or to nothing, is nothing.
        let Some(stage @ Stage::Sent { .. }) = self.requests.get_mut(&id) else { return };
        match (status, state) {
            (200..=299, State::Pending | State::InProgress) => *stage = Stage::Working,
            (200..=299, State::Complete) => {
                self.requests.remove(&id);
                self.told.push_back(Told::Done { id });
            }
            _ => {
                self.requests.remove(&id);
                self.told.push_back(Told::Failed { id, status: Some(status) });
            }
        }
    }

    fn event(&mut self, name: &str, id: u32, state: State, message: &Message) {
        let Some(stage) = self.requests.get_mut(&id) else { return };
        *stage = Stage::Working;
        let cause = message.field("Completion-Cause").and_then(|c| c.split(' ').next()?.parse().ok());
        let cause = cause.unwrap_or(0);
        // A URI in angle brackets, parameters behind it.
        let uri = |field: &str| {
            let value = message.field(field)?;
            Some(value.split(['<', '>']).nth(1).unwrap_or(value).to_owned()).filter(|u| !u.is_empty())
        };
        let told = match name {
            "START-OF-INPUT" => Told::StartOfInput,
            "SPEECH-MARKER" => {
                // RFC 6787 §8.4.8: timestamp=857206027059;mark-name.
                let value = message.field("Speech-Marker").unwrap_or_default();
                Told::Marker(value.split_once(';').map_or("", |(_, mark)| mark.trim()).to_owned())
            }
            "SPEAK-COMPLETE" => Told::SpeakComplete { cause },
            "RECOGNITION-COMPLETE" => {
                let media_type = message.field("Content-Type").unwrap_or_default();
                // RFC 6787 §9.4.11: 008 is a success that maxspeechtimeout ended.
                let nbest =
                    if matches!(cause, 0 | 8) { result::read(media_type, &message.body) } else { Vec::new() };
                Told::RecognitionComplete { cause, nbest, waveform: uri("Waveform-URI") }
            }
            "RECORD-COMPLETE" => Told::RecordComplete { cause, uri: uri("Record-URI") },
            _ => return,
        };
        if state == State::Complete {
            self.requests.remove(&id);
        }
        self.told.push_back(told);
    }
}

type Parts = (&'static str, Vec<(String, String)>, String);

impl Ask {
    fn parts(self) -> Parts {
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        match self {
            Ask::Speak { ssml, mut fields } => {
                fields.push(field("Content-Type", "application/ssml+xml"));
                ("SPEAK", fields, ssml)
            }
            Ask::DefineGrammar { id, media_type, grammar } => {
                let fields =
                    vec![field("Content-Type", &media_type), field("Content-ID", &format!("<{id}>"))];
                ("DEFINE-GRAMMAR", fields, grammar)
            }
            Ask::Recognize { grammars, mut fields, start_timers } => {
                fields.push(field("Start-Input-Timers", if start_timers { "true" } else { "false" }));
                // RFC 6787 §9.5.1: grammars that were defined are named by session: URIs.
                fields.push(field("Content-Type", "text/uri-list"));
                let list: Vec<String> = grammars.iter().map(|g| format!("session:{g}")).collect();
                ("RECOGNIZE", fields, list.join("\r\n"))
            }
            Ask::StartInputTimers => ("START-INPUT-TIMERS", Vec::new(), String::new()),
            Ask::BargeInOccurred => ("BARGE-IN-OCCURRED", Vec::new(), String::new()),
            Ask::Record { fields } => ("RECORD", fields, String::new()),
            Ask::Stop => ("STOP", Vec::new(), String::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::tests::{COMPLETE, example};
    use super::*;

    const ID: &str = "32AECB23433801@speechrecog";

    fn channel() -> Channel {
        Channel::new(ID.into(), 543_257)
    }

    fn told(channel: &mut Channel) -> Vec<Told> {
        std::iter::from_fn(|| channel.poll()).collect()
    }

    fn response(id: u32, status: u16, state: State) -> Vec<u8> {
        let fields = vec![("Channel-Identifier".to_owned(), ID.to_owned())];
        Message { start: Start::Response { id, status, state }, fields, body: Vec::new() }.write()
    }

    fn event(name: &str, id: u32, fields: &[(&str, &str)], state: State) -> Vec<u8> {
        let fields = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Message { start: Start::Event { name: name.into(), id, state }, fields, body: Vec::new() }.write()
    }

    fn recognize() -> Ask {
        let fields = vec![("Vendor-Specific-Parameters".into(), "com.example.x=1".into())];
        Ask::Recognize { grammars: vec!["yes@form-level.store".into()], fields, start_timers: false }
    }

    #[test]
    fn rfc6787_9_9_recognize_from_request_to_result() {
        let mut channel = channel();
        assert_eq!(channel.ask(Now::default(), recognize()), Ok(543_257));
        let sent = channel.poll_transmit().expect("a request");
        let (sent, _) = Message::read(&sent).expect("legal").expect("whole");
        assert_eq!(sent.body, b"session:yes@form-level.store");
        assert_eq!(sent.field("Vendor-Specific-Parameters"), Some("com.example.x=1"));
        assert!(channel.deadline().is_some());
        channel.receive(&response(543_257, 200, State::InProgress));
        assert_eq!((told(&mut channel), channel.deadline()), (vec![], None));
        channel.receive(&event("START-OF-INPUT", 543_257, &[("Input-Type", "speech")], State::InProgress));
        // In pieces, as TCP brings them.
        for piece in example(COMPLETE).chunks(7) {
            channel.receive(piece);
        }
        let all = told(&mut channel);
        assert_eq!(all[0], Told::StartOfInput);
        let Told::RecognitionComplete { cause: 0, nbest, waveform } = &all[1] else { panic!("{all:?}") };
        assert_eq!(nbest[0].words.join(" "), "may i speak to andre roy");
        assert_eq!(waveform.as_deref(), Some("http://web.media.com/session123/audio.wav"));
        // The same again is nothing: that request is over.
        channel.receive(&example(COMPLETE));
        assert_eq!(told(&mut channel), []);
    }

    #[test]
    fn rfc6787_8_speak_marks_barge_in_and_stop() {
        let mut channel = channel();
        let speak = channel.ask(Now::default(), Ask::Speak { ssml: "<speak/>".into(), fields: vec![] });
        let speak = speak.expect("room");
        channel.receive(&response(speak, 200, State::InProgress));
        let marker = [("Speech-Marker", "timestamp=857206027059;here")];
        channel.receive(&event("SPEECH-MARKER", speak, &marker, State::InProgress));
        let barge = channel.ask(Now::default(), Ask::BargeInOccurred).expect("room");
        channel.receive(&response(barge, 200, State::Complete));
        let cause = [("Completion-Cause", "001 barge-in")];
        channel.receive(&event("SPEAK-COMPLETE", speak, &cause, State::Complete));
        let stop = channel.ask(Now::default(), Ask::Stop).expect("room");
        channel.receive(&response(stop, 402, State::Complete));
        let want = [
            Told::Marker("here".into()),
            Told::Done { id: barge },
            Told::SpeakComplete { cause: 1 },
            Told::Failed { id: stop, status: Some(402) },
        ];
        assert_eq!(told(&mut channel), want);
    }

    #[test]
    fn recorder_and_timers() {
        let mut channel = channel();
        let record = channel.ask(Now::default(), Ask::Record { fields: vec![] }).expect("room");
        let timers = channel.ask(Now::default(), Ask::StartInputTimers).expect("room");
        channel.receive(&response(record, 200, State::InProgress));
        channel.receive(&response(timers, 200, State::Complete));
        let fields = [("Completion-Cause", "000 success-silence"), ("Record-URI", "<file://m/a.wav>;size=2")];
        channel.receive(&event("RECORD-COMPLETE", record, &fields, State::Complete));
        let uri = Some("file://m/a.wav".to_owned());
        assert_eq!(told(&mut channel), [Told::Done { id: timers }, Told::RecordComplete { cause: 0, uri }]);
    }

    #[test]
    fn an_engine_that_is_late_or_speaks_nonsense_ends_every_request_once() {
        let mut late = channel();
        late.ask(Now::default(), recognize()).expect("room");
        late.ask(Now::default(), Ask::StartInputTimers).expect("room");
        let at = Now { mono: late.deadline().expect("both wait"), ..Now::default() };
        late.timer(at);
        late.timer(at);
        let failed = |id| Told::Failed { id, status: None };
        assert_eq!(told(&mut late), [failed(543_257), failed(543_258), Told::Broken]);
        assert_eq!(late.ask(at, Ask::Stop), Err(Refused));
        let mut odd = channel();
        odd.ask(Now::default(), recognize()).expect("room");
        odd.receive(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        odd.receive(b"more");
        assert_eq!(told(&mut odd), [failed(543_257), Told::Broken]);
    }

    #[test]
    fn what_is_another_channels_or_answers_nothing_is_nothing() {
        let mut channel = channel();
        let id = channel.ask(Now::default(), recognize()).expect("room");
        let other = [("Channel-Identifier", "1@speechsynth")];
        channel.receive(&event("START-OF-INPUT", id, &other, State::InProgress));
        channel.receive(&response(id + 7, 200, State::Complete));
        channel.receive(&event("START-OF-INPUT", id + 7, &[], State::InProgress));
        assert_eq!(told(&mut channel), []);
        for _ in 1..REQUESTS_MAX {
            channel.ask(Now::default(), Ask::StartInputTimers).expect("room");
        }
        assert_eq!(channel.ask(Now::default(), Ask::StartInputTimers), Err(Refused));
    }
}
