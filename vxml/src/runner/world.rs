//! The host that the runner plays, in virtual time.

use super::script::{RecordEnd, Step};
use crate::prompt::segments_text;
use crate::session::{
    Bargein, Exit, ExitReason, FetchError, FetchRequest, Fetched, Hypothesis, Input, Listen, ListenId,
    Output, PlayEnd, PlayId, Prompt, Record, Recording, Segment, Trace, Transfer, TransferEnd, TransferKind,
};
use crate::{Documents, Session, SessionConfig};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use units::{Mono, Now, Wall};

/// One line of the story: the time and a JSON object with `at_ms`, `kind` and what belongs to the kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Line(pub Value);

impl Line {
    /// What kind of line it is.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.0["kind"].as_str().unwrap_or("")
    }

    /// The full text of a prompt, the text of a log, the name of an event.
    #[must_use]
    pub fn text(&self) -> &str {
        self.0["text"].as_str().unwrap_or("")
    }

    /// For people: `  1.200  prompt    Hello`.
    #[must_use]
    pub fn human(&self) -> String {
        let ms = self.0["at_ms"].as_u64().unwrap_or(0);
        let rest: Vec<String> = self
            .0
            .as_object()
            .map(|o| {
                o.iter()
                    .filter(|(k, v)| !matches!(k.as_str(), "at_ms" | "kind" | "segments") && !v.is_null())
                    .filter(|(k, v)| !(*k == "bargein" && *v == "speech") && **v != json!({}))
                    .map(|(k, v)| match v {
                        Value::String(s) if k == "text" => s.clone(),
                        Value::String(s) => format!("{k}={s}"),
                        v => format!("{k}={v}"),
                    })
                    .collect()
            })
            .unwrap_or_default();
        format!("{:>4}.{:03}  {:<10} {}", ms / 1000, ms % 1000, self.kind(), rest.join("  "))
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// The session's own account; `None` if it was cut off at `minutes_max`.
    pub exit: Option<Exit>,
    /// For the process: 0 for exit, disconnect or end of document, 1 for an uncaught error.
    pub status: u8,
}

/// What a run needs beside its session.
pub struct RunConfig {
    /// The session.
    pub session: SessionConfig,
    /// Milliseconds that a character of a prompt lasts.
    pub char_ms: u64,
    /// Length of audio files, which are not decoded here, ms.
    pub audio_ms: u64,
    /// Virtual time after which a run is cut off.
    pub minutes_max: u64,
    /// The wall clock at the start.
    pub wall: Wall,
    /// After the script's last step: hang up (`true`) or stay silent.
    pub hangup_at_end: bool,
}

impl RunConfig {
    /// The defaults for a session.
    #[must_use]
    pub fn new(session: SessionConfig) -> Self {
        Self {
            session,
            char_ms: 60,
            audio_ms: 2000,
            minutes_max: 240,
            wall: Wall(1_700_000_000_000),
            hangup_at_end: true,
        }
    }
}

type Fetcher<'a> = Box<dyn FnMut(&FetchRequest) -> Result<Fetched, FetchError> + 'a>;
type Caller<'a> = Box<dyn FnMut(&str) -> Option<Step> + 'a>;
/// A play, its length in ms, and its marks with their places in ms.
type Playing = (PlayId, u64, Vec<(String, u64)>);

/// A run in progress: a session, its host, and the caller.
pub struct Run<'a> {
    session: Session,
    documents: &'a mut Documents,
    fetch: Fetcher<'a>,
    next_step: Caller<'a>,
    config: RunConfig,
    now: Now,
    events: VecDeque<(Mono, Input)>,
    playing: VecDeque<Playing>,
    play_began: Mono,
    listening: Option<Listen>,
    /// What is said is kept (`recordutterance`).
    keeps_utterance: bool,
    /// Until when what plays may not be cut.
    uncut_until: Mono,
    transferring: Option<Transfer>,
    capturing: Option<(ListenId, Mono)>,
    recordings: u32,
    exit: Option<Exit>,
    lines: VecDeque<Line>,
    listens: u32,
}

impl<'a> Run<'a> {
    /// A run. `fetch` answers fetches at once; `step` is asked for the caller's next step at each listening, with the
    /// kind of turn (`listen`, `record`, `transfer`).
    pub fn new(
        config: RunConfig,
        documents: &'a mut Documents,
        fetch: impl FnMut(&FetchRequest) -> Result<Fetched, FetchError> + 'a,
        step: impl FnMut(&str) -> Option<Step> + 'a,
    ) -> Self {
        let now = Now { mono: Mono(0), wall: config.wall };
        let session = Session::new(config.session.clone(), now);
        Self {
            session,
            documents,
            fetch: Box::new(fetch),
            next_step: Box::new(step),
            config,
            now,
            events: VecDeque::new(),
            playing: VecDeque::new(),
            play_began: Mono(0),
            listening: None,
            keeps_utterance: false,
            uncut_until: Mono(0),
            transferring: None,
            capturing: None,
            recordings: 0,
            exit: None,
            lines: VecDeque::new(),
            listens: 0,
        }
    }

    /// The next line of the story; `None` when it is over.
    pub fn next_line(&mut self) -> Option<Line> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some(line);
            }
            if self.exit.is_some() || !self.advance() {
                return None;
            }
        }
    }

    /// Runs to the end and gives the whole story.
    pub fn finish(mut self) -> (Vec<Line>, Ended) {
        let mut all = Vec::new();
        while let Some(line) = self.next_line() {
            all.push(line);
        }
        let ended = self.ended();
        (all, ended)
    }

    /// How it ended.
    #[must_use]
    pub fn ended(&self) -> Ended {
        let failed = match &self.exit {
            Some(exit) => matches!(exit.reason, ExitReason::Error { .. }),
            None => true,
        };
        Ended { exit: self.exit.clone(), status: u8::from(failed) }
    }

    /// The session, to measure it.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Schedules an input; those of one instant keep their order.
    fn at(&mut self, at: Mono, input: Input) {
        let place = self.events.partition_point(|(t, _)| *t <= at);
        self.events.insert(place, (at, input));
    }

    fn line(&mut self, kind: &str, mut fields: Value) {
        let object = fields.as_object_mut().expect("made by json! as an object");
        let mut out = serde_json::Map::new();
        out.insert("at_ms".into(), self.now.mono.as_ms().into());
        out.insert("kind".into(), kind.into());
        out.append(object);
        self.lines.push_back(Line(Value::Object(out)));
    }

    /// Takes the session's outputs, then lets the next thing happen. False when nothing more will.
    fn advance(&mut self) -> bool {
        while let Some(output) = self.session.poll() {
            self.output(output);
            if self.exit.is_some() {
                return true;
            }
        }
        let Some((at, input)) = self.next_input() else {
            return false;
        };
        if at.as_ms() > self.config.minutes_max * 60_000 {
            self.line("error", json!({"text": "the run is longer than minutes_max"}));
            self.exit = Some(Exit {
                reason: ExitReason::Error {
                    event: "error.runner.minutes_max".into(),
                    message: String::new(),
                },
                values: Vec::new(),
            });
            return true;
        }
        if at > self.now.mono {
            let by = at - self.now.mono;
            self.now = self.now.plus(by);
        }
        self.before(&input);
        self.session.handle(self.documents, self.now, input).is_ok()
    }

    /// The earliest of: a waiting event, the end of a play, the session's own deadline, the caller's next step.
    fn next_input(&mut self) -> Option<(Mono, Input)> {
        let at = |ms: u64| Duration::from_millis(ms);
        let play = self.playing.front().map(|(id, ms, marks)| {
            let mark = marks.last().map(|(n, m)| (n.clone(), ms - m));
            (
                self.play_began + at(*ms),
                Input::PlayEnded { id: *id, end: PlayEnd::Finished, heard_ms: *ms, mark },
            )
        });
        let timer = self.session.deadline().map(|(t, _)| (t, Input::Timer));
        let event = self.events.front().map(|(t, _)| *t);
        let others = [play, timer].into_iter().flatten().min_by_key(|(t, _)| *t);
        match (event, others) {
            (Some(t), Some((o, _))) if t <= o => self.events.pop_front(),
            (Some(_), None) => self.events.pop_front(),
            (_, Some(other)) => Some(other),
            (None, None) => None,
        }
    }

    fn before(&mut self, input: &Input) {
        match input {
            Input::PlayEnded { id, .. } if self.playing.front().is_some_and(|(p, ..)| p == id) => {
                self.playing.pop_front();
                self.play_began = self.now.mono;
            }
            Input::HangUp => {
                self.line("input", json!({"text": "hangup"}));
                self.playing.clear();
            }
            Input::Recorded { recording: Some(r), termchar, maxtime, .. } => {
                let key = termchar.map(|k| k.as_char().to_string());
                let (ms, size) = (r.duration_ms, r.size);
                let told = json!({"mode": "record", "duration_ms": ms, "size": size, "termchar": key, "maxtime": maxtime});
                self.line("input", told);
            }
            _ => {}
        }
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Fetch { id, request } => {
                let result = (self.fetch)(&request);
                let status = match &result {
                    Ok(f) => json!(f.body.len()),
                    Err(e) => json!(format!("{e:?}")),
                };
                let ahead = if request.prefetch { "prefetch " } else { "" };
                let method = format!("{ahead}{:?}", request.method);
                self.line("fetch", json!({"url": request.url, "method": method, "result": status}));
                self.at(self.now.mono, Input::Fetched { id, result });
            }
            Output::CancelFetch { id } => {
                self.events.retain(|(_, i)| !matches!(i, Input::Fetched { id: f, .. } if *f == id));
            }
            Output::Play { id, prompts } => self.play(id, &prompts),
            Output::StopPlay => self.stop_play(),
            Output::Listen(listen) => self.listen(listen),
            Output::StopListen { id } => {
                self.listening = None;
                self.stop_record(id);
                self.events.retain(|(_, i)| {
                    !matches!(
                        i,
                        Input::Recognised { .. } | Input::SpeechStarted { .. } | Input::TooMuchSpeech { .. }
                    )
                });
            }
            Output::Record(record) => self.record(record),
            Output::Transfer(transfer) => self.transfer(transfer),
            Output::EndTransfer { id } => {
                self.events.retain(|(_, i)| !matches!(i, Input::TransferEnded { .. }));
                let end = TransferEnd::NearEndDisconnect;
                self.at(self.now.mono, Input::TransferEnded { id, end, duration_ms: 1000 });
            }
            Output::Object { id, class, params } => {
                let params: serde_json::Map<_, _> = params.into_iter().collect();
                self.line("object", json!({"text": class, "params": params}));
                // The runner has no line to work on: an object does nothing, well.
                self.at(self.now.mono, Input::ObjectDone { id, result: Ok(json!({})) });
            }
            Output::Disconnect { values } => {
                let values: serde_json::Map<_, _> = values.into_iter().collect();
                self.line("disconnect", json!({"values": values}));
            }
            Output::Log(log) => self.line("log", json!({"label": log.label, "text": log.text})),
            Output::Trace(trace) => self.trace(trace),
            Output::Exit(exit) => self.over(exit),
        }
    }

    fn over(&mut self, exit: Exit) {
        let values: serde_json::Map<_, _> = exit.values.iter().cloned().collect();
        match &exit.reason {
            ExitReason::Error { event, message } => {
                self.line("error", json!({"text": event, "message": message}));
            }
            reason => self.line("exit", json!({"reason": reason, "values": values})),
        }
        self.exit = Some(exit);
    }

    fn trace(&mut self, trace: Trace) {
        match trace {
            Trace::Document { url } => self.line("document", json!({"url": url})),
            Trace::Event { name, message } => self.line("event", json!({"text": name, "message": message})),
            Trace::Input { mode, utterance, matched } => {
                self.line("input", json!({"mode": mode, "text": utterance.expose(), "matched": matched}));
            }
            Trace::Unheard { text } => self.line("prompt", json!({"text": text, "heard": false})),
            Trace::Visit { .. } => {}
        }
    }

    fn play(&mut self, id: PlayId, prompts: &[Prompt]) {
        let mut ms = 0;
        let mut marks = Vec::new();
        for prompt in prompts {
            let text = segments_text(&prompt.segments);
            let bargein = format!("{:?}", prompt.bargein).to_lowercase();
            let plain: Vec<Value> = prompt.segments.iter().map(|s| json!(s)).collect();
            self.line("prompt", json!({"text": text, "bargein": bargein, "segments": plain}));
            for s in &prompt.segments {
                if let Segment::Mark { name } = s {
                    marks.push((name.clone(), ms));
                }
                ms += self.length_ms(s);
            }
        }
        if self.playing.is_empty() {
            self.play_began = self.now.mono;
        }
        self.playing.push_back((id, ms, marks));
        if prompts.iter().any(|p| p.bargein == Bargein::None) {
            let total: u64 = self.playing.iter().map(|(_, ms, _)| ms).sum();
            self.uncut_until = self.play_began + Duration::from_millis(total);
        }
    }

    fn length_ms(&self, s: &Segment) -> u64 {
        match s {
            Segment::Text(t) => u64::try_from(t.text.chars().count()).unwrap_or(0) * self.config.char_ms,
            Segment::Audio { .. } | Segment::Recording { .. } => self.config.audio_ms,
            Segment::Break { ms } => *ms,
            Segment::Mark { .. } => 0,
        }
    }

    fn stop_play(&mut self) {
        let heard = (self.now.mono - self.play_began).as_millis();
        let mut heard_ms = u64::try_from(heard).unwrap_or(0);
        for (id, ms, marks) in std::mem::take(&mut self.playing) {
            let passed =
                marks.iter().rfind(|(_, at)| *at <= heard_ms).map(|(n, at)| (n.clone(), heard_ms - at));
            let end = PlayEnd::Barged;
            let input = Input::PlayEnded { id, end, heard_ms: heard_ms.min(ms), mark: passed };
            self.events.push_front((self.now.mono, input));
            heard_ms = 0;
        }
    }

    /// The caller's turn. He waits for prompts that he may not cut, and otherwise cuts in half a second after they
    /// began.
    fn listen(&mut self, listen: Listen) {
        self.listens += 1;
        let id = listen.id;
        self.line(
            "listen",
            json!({"turn": self.listens, "dtmf": listen.dtmf, "grammars": listen.voice.len()}),
        );
        let voice = !listen.voice.is_empty();
        self.keeps_utterance = listen.record_utterance;
        self.listening = Some(listen);
        let step = (self.next_step)("listen");
        let unheard = match &step {
            // No recogniser listens: whoever speaks is not heard, as on a real line.
            Some(Step::Say(_)) if !voice => Some("no voice grammar is active: the caller is not heard"),
            Some(Step::Transfer(..)) => Some("no transfer is under way: the caller stays silent"),
            Some(Step::Record(..)) => Some("nothing is being recorded: the caller stays silent"),
            _ => None,
        };
        if let (Some(step), Some(why)) = (&step, unheard) {
            return self.line("input", json!({"text": step.line(), "matched": false, "note": why}));
        }
        let at = self.turn_begins();
        self.act(id, step, at);
    }

    fn turn_begins(&self) -> Mono {
        self.now.mono.max(self.uncut_until) + Duration::from_millis(500)
    }

    fn act(&mut self, id: ListenId, step: Option<Step>, at: Mono) {
        match step {
            Some(Step::Press(keys)) => {
                for (i, digit) in keys.into_iter().enumerate() {
                    let at = at + Duration::from_millis(200 * u64::try_from(i).unwrap_or(0));
                    self.at(at, Input::Digit { digit });
                }
            }
            Some(Step::Say(words)) => self.recognised(id, &words, 0.9, at),
            Some(Step::Nomatch) => self.recognised(id, "", 0.0, at),
            Some(Step::Hangup) => self.at(at, Input::HangUp),
            Some(Step::Silence | Step::Transfer(..) | Step::Record(..)) => {}
            None if self.config.hangup_at_end => self.at(at, Input::HangUp),
            None => {}
        }
    }

    /// `words`, or several readings `first / second` with falling confidence, or `words @0.4`.
    fn recognised(&mut self, id: ListenId, words: &str, confidence: f32, at: Mono) {
        let mut best = confidence;
        let nbest = words.split(" / ").filter(|w| !w.trim().is_empty()).map(|reading| {
            let (text, own) = match reading.rsplit_once('@') {
                Some((text, c)) if c.trim().parse::<f32>().is_ok() => {
                    (text, c.trim().parse().unwrap_or(best))
                }
                _ => (reading, best),
            };
            best -= 0.1;
            let tokens = text.split_whitespace().map(str::to_owned).collect();
            Hypothesis { tokens, confidence: own, interpretation: None }
        });
        let nbest: Vec<Hypothesis> = nbest.collect();
        let said = nbest.first().map_or(1, |h| h.tokens.len().max(1));
        let ms = WORD_MS * u64::try_from(said).unwrap_or(1);
        let recording = self.keeps_utterance.then(|| self.recording(ms + AROUND_MS));
        self.at(at, Input::SpeechStarted { id });
        let end = at + Duration::from_millis(ms);
        self.at(end, Input::Recognised { id, nbest, recording });
    }

    fn recording(&mut self, ms: u64) -> Recording {
        self.recordings += 1;
        Recording {
            name: format!("recording-{}", self.recordings),
            size: ms * 8,
            duration_ms: ms,
            media_type: "audio/basic".into(),
        }
    }

    /// A grammar ended the recording.
    fn stop_record(&mut self, id: ListenId) {
        let Some((_, begins)) = self.capturing.take_if(|(running, _)| *running == id) else { return };
        self.events.retain(|(_, i)| !matches!(i, Input::Recorded { .. }));
        let ms = u64::try_from((self.now.mono.max(begins) - begins).as_millis()).unwrap_or(0);
        self.recorded(id, self.now.mono, ms, None, false);
    }

    fn record(&mut self, record: Record) {
        let Record { id, maxtime_ms, timeout_ms, finalsilence_ms, dtmfterm, listen, .. } = record;
        self.line("record", json!({"maxtime_ms": maxtime_ms}));
        let total: u64 = self.playing.iter().map(|(_, ms, _)| ms).sum();
        let begins = self.play_began.max(self.now.mono) + Duration::from_millis(total);
        self.capturing = Some((id, begins));
        self.keeps_utterance = listen.as_ref().is_some_and(|l| l.record_utterance);
        let after = |ms: u64| begins + Duration::from_millis(ms);
        // He speaks for so long, and then does this.
        let (spoken, then) = match (self.next_step)("record") {
            Some(Step::Record(ms, RecordEnd::Silence)) => (ms, None),
            Some(Step::Record(ms, RecordEnd::Key(key))) => (ms, Some(Step::Press(vec![key]))),
            Some(Step::Record(ms, RecordEnd::Hangup)) => (ms, Some(Step::Hangup)),
            Some(step @ (Step::Press(_) | Step::Say(_))) => (SPOKEN_MS, Some(step)),
            Some(Step::Hangup) => (1000, Some(Step::Hangup)),
            None if self.config.hangup_at_end => (1000, Some(Step::Hangup)),
            _ => {
                let nothing = Input::Recorded { id, recording: None, termchar: None, maxtime: false };
                return self.at(after(timeout_ms), nothing);
            }
        };
        match then {
            Some(Step::Press(keys)) if dtmfterm && spoken < maxtime_ms => {
                return self.recorded(id, after(spoken), spoken, keys.first().copied(), false);
            }
            // Nobody listens to words: they are part of what is recorded.
            Some(Step::Say(_)) if listen.is_none() => {}
            Some(step) => self.act(id, Some(step), after(spoken)),
            None => {}
        }
        let quiet = spoken + finalsilence_ms;
        if quiet >= maxtime_ms {
            self.recorded(id, after(maxtime_ms), maxtime_ms, None, true);
        } else {
            self.recorded(id, after(quiet), spoken, None, false);
        }
    }

    fn recorded(&mut self, id: ListenId, at: Mono, ms: u64, termchar: Option<units::Digit>, maxtime: bool) {
        let recording = (ms > 0).then(|| self.recording(ms));
        self.at(at, Input::Recorded { id, recording, termchar, maxtime });
    }

    fn transfer(&mut self, transfer: Transfer) {
        let id = transfer.id;
        self.line("transfer", json!({"transfer": transfer.kind, "dest": transfer.dest.expose()}));
        let bridge = transfer.kind == TransferKind::Bridge;
        let step = (self.next_step)("transfer");
        self.keeps_utterance = transfer.listen.as_ref().is_some_and(|l| l.record_utterance);
        let (connect, max) = (transfer.connecttimeout_ms, transfer.maxtime_ms);
        self.transferring = Some(transfer);
        let soon = self.now.mono + Duration::from_millis(1000);
        let (at, end, duration_ms) = match step {
            Some(Step::Transfer(end, ms)) => {
                let long = max > 0 && ms > max;
                let end = if long { TransferEnd::MaxtimeDisconnect } else { end };
                let ms = if long { max } else { ms };
                let wait = if end == TransferEnd::Noanswer { connect } else { ms };
                (self.now.mono + Duration::from_millis(wait.max(1)), end, ms)
            }
            Some(step @ (Step::Press(_) | Step::Say(_) | Step::Hangup)) => {
                self.act(id, Some(step), soon);
                let end = if bridge { TransferEnd::FarEndDisconnect } else { TransferEnd::Transferred };
                (soon + Duration::from_millis(3_600_000), end, 0)
            }
            _ if bridge => (soon + Duration::from_millis(5000), TransferEnd::FarEndDisconnect, 5000),
            _ => (soon, TransferEnd::Transferred, 0),
        };
        self.at(at, Input::TransferEnded { id, end, duration_ms });
    }
}

/// How long the caller speaks into a recording before he presses keys or says what a grammar has, ms.
const SPOKEN_MS: u64 = 3000;
/// How long a word takes to say, and the silence around an utterance, ms.
const WORD_MS: u64 = 600;
const AROUND_MS: u64 = 400;

/// A file's octets as an answer to a fetch.
#[must_use]
pub fn fetched(url: &str, media_type: &str, body: impl Into<Arc<[u8]>>) -> Fetched {
    Fetched {
        url: url.to_owned(),
        media_type: media_type.to_owned(),
        charset: None,
        body: body.into(),
        validator: None,
    }
}
