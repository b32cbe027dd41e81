//! Listening: the prompts' end, no-input, digits and their timers (VoiceXML 2.0 §4.1.8, §6.3.3 and appendix D), and
//! what recognisers report.

use super::Session;
use super::state::{Active, After, Answer, Heard, Listening, Matching, Outcome, Phase, words};
use crate::catch::Event;
use crate::grammar::{Matcher, Status};
use crate::script::ScopeId;
use crate::session::{Bargein, Hypothesis, ListenId, Output, PlayId, Recording, Timer, Trace};
use engine::Value;
use std::time::Duration;
use units::Private;

/// Where a string of keys stands in all grammars together.
pub(crate) struct Standing {
    /// The first grammar of which it is a sentence.
    pub(crate) complete: Option<usize>,
    /// Some grammar may or must go on.
    pub(crate) open: bool,
}

impl Session {
    /// Begins to wait for the caller.
    pub(crate) fn listen(&mut self, mut listening: Listening, listen: crate::session::Listen) {
        if self.hung_up {
            // §1.5.4: after a hang-up nobody is listened to; the final processing is over.
            let reason = self.disconnect_reason();
            return self.end(reason, Vec::new());
        }
        if self.queue.iter().any(|p| p.bargein == Bargein::None) {
            // §4.1.5: keys pressed ahead do not get past a prompt that must be heard.
            self.typeahead.clear();
        }
        let ahead = !self.typeahead.is_empty() && listening.dtmf;
        if ahead {
            self.queue.clear();
        }
        self.flush_queue();
        self.emit(Output::Listen(listen));
        if self.playing.is_empty() {
            listening.timer =
                Some((self.now.mono + Duration::from_millis(listening.timeout_ms), Timer::NoInput));
        }
        self.phase = Phase::Listening(Box::new(listening));
        while let Some(key) = self.typeahead.pop_front() {
            if !matches!(&self.phase, Phase::Listening(l) if l.outcome.is_none()) {
                self.typeahead.push_front(key);
                break;
            }
            self.press(key);
        }
    }

    pub(crate) fn on_digit(&mut self, key: char) {
        self.alive();
        match &self.phase {
            Phase::Listening(l) if l.outcome.is_none() => {
                if l.dtmf {
                    let blocked = self.playing.front().is_some_and(|p| p.bargein == Bargein::None);
                    if !blocked {
                        self.press(key);
                    }
                }
            }
            Phase::Transferring(_) => self.press_in_transfer(key),
            Phase::Recording(_) => self.press_in_recording(key),
            Phase::Over => {}
            _ => {
                if self.typeahead.len() < self.config.limits.typeahead_max {
                    self.typeahead.push_back(key);
                }
            }
        }
    }

    /// One key while listening.
    fn press(&mut self, key: char) {
        let now = self.now.mono;
        let Phase::Listening(l) = &mut self.phase else { return };
        let hotword = l.hotword;
        let mut tried = l.pressed.clone();
        tried.push(key);
        let standing = stand(&mut l.active, &tried);
        let dead = standing.complete.is_none() && !standing.open;
        if dead && l.termchar == Some(key) {
            // The terminating key belongs to no grammar: it ends what was entered.
            let pressed = l.pressed.clone();
            let before = stand(&mut l.active, &pressed);
            return self.conclude(before.complete);
        }
        l.pressed = tried;
        if !hotword {
            self.cut_prompts();
        }
        let Phase::Listening(l) = &mut self.phase else { return };
        if dead {
            // §4.1.5: with hotword only a match counts; what cannot match is forgotten.
            if hotword {
                l.pressed.clear();
                return;
            }
            // What is still buffered belongs to the entry that failed.
            self.typeahead.clear();
            return self.conclude(None);
        }
        if standing.open {
            l.timer = Some((now + Duration::from_millis(l.interdigit_ms), Timer::InterDigit));
        } else if l.termchar.is_some() && l.term_ms > 0 {
            // Appendix D: complete, but the terminating key may still come.
            l.timer = Some((now + Duration::from_millis(l.term_ms), Timer::Term));
        } else {
            self.conclude(standing.complete);
        }
    }

    pub(crate) fn on_timer(&mut self) {
        if matches!(&self.phase, Phase::Recording(c) if c.timer.is_some_and(|at| self.now.mono >= at)) {
            return self.conclude_recording();
        }
        let Phase::Listening(l) = &mut self.phase else { return };
        let Some((at, timer)) = l.timer else { return };
        if self.now.mono < at || l.outcome.is_some() {
            return;
        }
        match timer {
            Timer::NoInput => self.settle(Outcome::Event(Event::new("noinput"))),
            Timer::InterDigit | Timer::Term => {
                let pressed = l.pressed.clone();
                let standing = stand(&mut l.active, &pressed);
                self.conclude(standing.complete);
            }
        }
    }

    /// The keys are all there: they match, or they do not.
    fn conclude(&mut self, complete: Option<usize>) {
        let Phase::Listening(l) = &mut self.phase else { return };
        let pressed = l.pressed.clone();
        let heard = complete.map(|i| {
            let active = &mut l.active[i];
            (active.origin.clone(), active.interpret(&pressed))
        });
        self.trace(Trace::Input {
            mode: "dtmf".into(),
            utterance: Private::new(pressed.clone()),
            matched: heard.is_some(),
        });
        let (origin, interpretation) = match heard {
            Some((origin, Some(i))) => (origin, i),
            _ => {
                self.remember_failure(&pressed, true);
                return self.settle(Outcome::Event(Event::new("nomatch")));
            }
        };
        let interpretation = match self.interpretation(&origin, interpretation, &pressed, 1.0) {
            Ok(i) => i,
            Err(event) => return self.settle(Outcome::Event(event)),
        };
        let answer = Answer {
            origin,
            nbest: vec![Heard { utterance: pressed, confidence: 1.0, interpretation }],
            dtmf: true,
            mark: None,
            recording: None,
        };
        self.settle(Outcome::Answer(Box::new(answer)));
    }

    /// The outcome stands; prompts still playing are cut, and their last mark is awaited if they have marks.
    fn settle(&mut self, outcome: Outcome) {
        let Phase::Listening(l) = &mut self.phase else { return };
        let id = l.id;
        l.timer = None;
        l.outcome = Some(outcome);
        self.emit(Output::StopListen { id });
        let marks = self.playing.iter().any(|p| p.marks);
        if !self.playing.is_empty() {
            self.emit(Output::StopPlay);
        }
        if !marks {
            self.playing.clear();
            self.take_outcome();
        }
    }

    fn take_outcome(&mut self) {
        let Phase::Listening(l) = std::mem::replace(&mut self.phase, Phase::Running) else { return };
        let outcome = l.outcome.expect("settled before");
        // What fails at once fails for ever: a document that tries again and again is one that chases itself.
        if !matches!(&outcome, Outcome::Event(event) if event.name.starts_with("error")) {
            self.awake();
        }
        match outcome {
            Outcome::Event(event) => self.throw(event),
            Outcome::Answer(mut answer) => {
                answer.mark = self.heard_mark.take();
                if let Err(event) = self.process(*answer) {
                    self.throw(event);
                }
            }
        }
    }

    /// Barge-in: what plays may be cut (§4.1.5), and what follows it is not played.
    pub(crate) fn cut_prompts(&mut self) {
        if self.playing.front().is_some_and(|p| p.bargein != Bargein::None) {
            self.emit(Output::StopPlay);
            self.playing.retain(|p| p.marks);
        }
        if let Phase::Listening(l) = &mut self.phase
            && l.timer.is_some_and(|(_, t)| t == Timer::NoInput)
        {
            l.timer = None;
        }
    }

    pub(crate) fn on_play_ended(&mut self, id: PlayId, mark: Option<(String, u64)>) {
        if mark.is_some() {
            self.heard_mark = mark;
        }
        self.playing.retain(|p| p.id != id);
        if !self.playing.is_empty() {
            return;
        }
        let now = self.now.mono;
        match &mut self.phase {
            Phase::Listening(l) => {
                if l.outcome.is_some() {
                    self.take_outcome();
                } else if l.timer.is_none() && !l.speech && l.pressed.is_empty() {
                    l.timer = Some((now + Duration::from_millis(l.timeout_ms), Timer::NoInput));
                }
            }
            Phase::Draining(_) => {
                let Phase::Draining(after) = std::mem::replace(&mut self.phase, Phase::Running) else {
                    return;
                };
                match after {
                    After::Exit(exit) => self.finish(exit),
                    After::Transfer(item) => self.begin_transfer(item),
                }
            }
            _ => {}
        }
    }

    pub(crate) fn on_speech(&mut self, id: ListenId) {
        self.alive();
        if let Phase::Listening(l) = &mut self.phase
            && l.id == id
            && l.outcome.is_none()
            && !l.hotword
        {
            // §4.1.5: with hotword only a match counts, and no-input keeps running.
            l.speech = true;
            l.timer = None;
            self.cut_prompts();
        }
    }

    pub(crate) fn on_listen_event(&mut self, id: ListenId, event: Event) {
        if !event.name.starts_with("error") {
            self.alive();
        }
        if matches!(&self.phase, Phase::Listening(l) if l.id == id && l.outcome.is_none()) {
            self.settle(Outcome::Event(event));
        }
    }

    pub(crate) fn on_recognised(&mut self, id: ListenId, nbest: &[Hypothesis], recording: Option<Recording>) {
        self.alive();
        if matches!(&self.phase, Phase::Transferring(t) if t.id == id) {
            return self.recognised_in_transfer(nbest, recording);
        }
        if matches!(&self.phase, Phase::Recording(c) if c.id == id) {
            return self.recognised_in_recording(nbest, recording);
        }
        let Phase::Listening(l) = &mut self.phase else { return };
        if l.id != id || l.outcome.is_some() {
            return;
        }
        let (minimum, hotword) = (l.confidence_min, l.hotword);
        let mut active = std::mem::take(&mut l.active);
        let found = self.understand(&mut active, nbest, minimum);
        if let Phase::Listening(l) = &mut self.phase {
            l.active = active;
        }
        let text = nbest.first().map(|h| words(h).join(" ")).unwrap_or_default();
        self.trace(Trace::Input {
            mode: "voice".into(),
            utterance: Private::new(text.clone()),
            matched: found.is_some(),
        });
        match found {
            Some((origin, nbest)) => {
                let answer = Answer { origin, nbest, dtmf: false, mark: None, recording };
                self.settle(Outcome::Answer(Box::new(answer)));
            }
            None if hotword => {}
            None => {
                self.remember_failure(&text, false);
                self.settle(Outcome::Event(Event::new("nomatch")));
            }
        }
    }

    /// Holds hypotheses against the voice grammars: origin of the best, and all that matched up to `maxnbest`.
    pub(crate) fn understand(
        &mut self,
        active: &mut [Active],
        nbest: &[Hypothesis],
        minimum: f32,
    ) -> Option<(super::state::Origin, Vec<Heard>)> {
        let most: usize = self.property("maxnbest").and_then(|n| n.trim().parse().ok()).unwrap_or(1).max(1);
        let mut out = Vec::new();
        let mut first = None;
        for h in nbest.iter().filter(|h| h.confidence >= minimum) {
            if out.len() >= most {
                break;
            }
            let text = words(h).join(" ");
            let Some((origin, made)) = active.iter_mut().filter(|a| !a.dtmf).find_map(|a| {
                let i = a.interpret(&text)?;
                Some((a.origin.clone(), i))
            }) else {
                continue;
            };
            let interpretation = match &h.interpretation {
                Some(json) => from_json(json),
                // SISR that fails makes this reading none.
                None => match self.interpretation(&origin, made, &text, h.confidence) {
                    Ok(i) => i,
                    Err(_) => continue,
                },
            };
            first.get_or_insert(origin);
            out.push(Heard { utterance: text, confidence: h.confidence, interpretation });
        }
        first.map(|origin| (origin, out))
    }

    /// VoiceXML 2.0 §5.1.5: what was heard without a match is told as well.
    fn remember_failure(&mut self, text: &str, dtmf: bool) {
        let answer = Answer {
            origin: super::state::Origin::Item,
            nbest: vec![Heard {
                utterance: text.to_owned(),
                confidence: if dtmf { 1.0 } else { 0.0 },
                interpretation: Value::Undefined,
            }],
            dtmf,
            mark: None,
            recording: None,
        };
        self.set_lastresult(&answer);
    }

    /// `application.lastresult$` (§5.1.5): an array whose first element's properties are its own too.
    pub(crate) fn set_lastresult(&mut self, answer: &Answer) {
        let Some(level) = self.levels.last() else { return };
        let scope = level.application;
        let mut props = shadow(&answer.nbest[0], answer);
        let mut n = 0_u32;
        for (i, heard) in answer.nbest.iter().enumerate() {
            props.push((i.to_string(), Value::Object(shadow(heard, answer))));
            n += 1;
        }
        props.push(("length".into(), Value::Number(f64::from(n))));
        self.scopes.define(scope, "lastresult$", Value::Object(props));
    }

    /// `name$` (§2.3.1, 2.1 §7).
    pub(crate) fn set_shadow(&mut self, scope: ScopeId, name: &str, answer: &Answer) {
        if !name.starts_with('\u{1}') {
            let props = shadow(&answer.nbest[0], answer);
            self.scopes.define(scope, &format!("{name}$"), Value::Object(props));
        }
    }
}

/// The properties of one result.
fn shadow(heard: &Heard, answer: &Answer) -> Vec<(String, Value)> {
    let mut props = vec![
        ("confidence".to_owned(), Value::Number(f64::from(heard.confidence))),
        ("utterance".to_owned(), Value::text(&heard.utterance)),
        ("inputmode".to_owned(), Value::text(if answer.dtmf { "dtmf" } else { "voice" })),
        ("interpretation".to_owned(), heard.interpretation.clone()),
    ];
    if let Some((name, ms)) = &answer.mark {
        props.push(("markname".into(), Value::text(name)));
        props.push(("marktime".into(), number(*ms)));
    }
    props.extend(utterance_recording(answer));
    props
}

/// VoiceXML 2.1 §7: what was said while a grammar was listened to, if it was kept.
pub(crate) fn utterance_recording(answer: &Answer) -> Vec<(String, Value)> {
    let Some(r) = &answer.recording else { return Vec::new() };
    vec![
        ("recording".into(), super::fetch::recording_value(&r.name)),
        ("recordingsize".into(), number(r.size)),
        ("recordingduration".into(), number(r.duration_ms)),
    ]
}

/// Sizes and times are far below 2^53.
pub(crate) fn number(n: u64) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let n = n as f64;
    Value::Number(n)
}

/// JSON as script data.
pub(crate) fn from_json(v: &serde_json::Value) -> Value {
    match v {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(b) => Value::Bool(*b),
        serde_json::Value::Number(n) => Value::Number(n.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(s) => Value::text(s),
        serde_json::Value::Array(a) => Value::Array(a.iter().map(from_json).collect()),
        serde_json::Value::Object(o) => {
            Value::Object(o.iter().map(|(k, v)| (k.clone(), from_json(v))).collect())
        }
    }
}

/// Holds keys against all DTMF grammars.
pub(crate) fn stand(active: &mut [Active], pressed: &str) -> Standing {
    let mut out = Standing { complete: None, open: false };
    for (i, a) in active.iter_mut().enumerate().filter(|(_, a)| a.dtmf) {
        match a.status(pressed) {
            Status::NoMatch => {}
            Status::Prefix => out.open = true,
            Status::Complete { may_continue } => {
                out.complete.get_or_insert(i);
                out.open |= may_continue;
            }
        }
    }
    out
}

impl Active {
    /// Where keys stand in this grammar.
    pub(crate) fn status(&mut self, pressed: &str) -> Status {
        match &mut self.matching {
            Matching::Keys(keys) => {
                if pressed == keys {
                    Status::Complete { may_continue: false }
                } else if keys.starts_with(pressed) {
                    Status::Prefix
                } else {
                    Status::NoMatch
                }
            }
            Matching::Network(net, matcher) => {
                let m = match matcher {
                    Some(m) => m,
                    None => match Matcher::new(net.clone()) {
                        Ok(m) => matcher.insert(Box::new(m)),
                        Err(_) => return Status::NoMatch,
                    },
                };
                advance(m, pressed)
            }
        }
    }

    /// What a whole utterance means in this grammar; `None` if it is not in it.
    pub(crate) fn interpret(&mut self, text: &str) -> Option<super::grammars::Made> {
        let dtmf = self.dtmf;
        match &mut self.matching {
            Matching::Keys(keys) => (text == keys).then_some(super::grammars::Made::Plain),
            Matching::Network(net, _) => {
                let mut m = Matcher::new(net.clone()).ok()?;
                let status = if dtmf { advance(&mut m, text) } else { m.push(text).ok()? };
                if !matches!(status, Status::Complete { .. }) {
                    return None;
                }
                m.parse().ok()?.map(|parse| super::grammars::Made::Parse(net.clone(), Box::new(parse)))
            }
        }
    }
}

/// Brings a matcher to a string of keys, from what it has if that is its beginning.
fn advance(m: &mut Matcher, pressed: &str) -> Status {
    let known: String = m.words().collect();
    let rest = match pressed.strip_prefix(known.as_str()) {
        Some(rest) => rest.to_owned(),
        None => {
            if m.reset().is_err() {
                return Status::NoMatch;
            }
            pressed.to_owned()
        }
    };
    for key in rest.chars() {
        if m.push(key.encode_utf8(&mut [0; 4])).is_err() {
            return Status::NoMatch;
        }
    }
    m.status()
}
