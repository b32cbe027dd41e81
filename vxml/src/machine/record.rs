//! `<record>` (VoiceXML 2.0 §2.3.6): the host records; keys and words that a grammar knows end it.

use super::fetch::recording_value;
use super::input::{number, stand, utterance_recording};
use super::state::{Answer, Capturing, Heard, Origin, Phase};
use super::{Documents, Session};
use crate::catch::Event;
use crate::document::{Document, NodeId};
use crate::grammar::Status;
use crate::session::{Bargein, Hypothesis, ListenId, Output, Record, Recording};
use engine::Value;
use std::sync::Arc;
use std::time::Duration;

impl Session {
    pub(crate) fn visit_record(
        &mut self,
        documents: &mut Documents,
        doc: &Arc<Document>,
        node: NodeId,
        item: usize,
    ) -> Result<(), Event> {
        if self.hung_up {
            let reason = self.disconnect_reason();
            self.end(reason, Vec::new());
            return Ok(());
        }
        // §2.3.6: modal is the default: only the item's own grammars are active.
        let modal = doc.attribute(node, "modal") != Some("false");
        let Some(active) = self.active_grammars(documents, item, modal)? else { return Ok(()) };
        self.grammars.clear();
        let (voice, dtmf) = self.input_modes();
        let mut active: Vec<_> = active.into_iter().filter(|a| if a.dtmf { dtmf } else { voice }).collect();
        let ms = |name: &str| doc.attribute(node, name).and_then(super::properties::time_ms);
        let id = ListenId(self.id());
        let timeout_ms = self.queue_timeout_ms.take().or_else(|| self.property_ms("timeout")).unwrap_or(7000);
        let dtmfterm = doc.attribute(node, "dtmfterm") != Some("false");
        let several = "0123456789*#ABCD".chars().any(|key| {
            let standing = stand(&mut active, key.encode_utf8(&mut [0; 4]));
            standing.open
        });
        let listen = (!active.is_empty()).then(|| Box::new(self.listen_output(id, &active, dtmf)));
        let record = Record {
            id,
            beep: doc.attribute(node, "beep") == Some("true"),
            maxtime_ms: ms("maxtime").unwrap_or(300_000),
            finalsilence_ms: ms("finalsilence").unwrap_or(4000),
            // Where a grammar wants more than one key it is not the host that knows which key is the last.
            dtmfterm: dtmfterm && !several,
            timeout_ms,
            media_type: doc.attribute(node, "type").unwrap_or("").to_owned(),
            listen,
        };
        self.typeahead.clear();
        self.flush_queue();
        self.emit(Output::Record(record));
        self.phase = Phase::Recording(Box::new(Capturing {
            id,
            item,
            active,
            dtmfterm,
            pressed: String::new(),
            interdigit_ms: self.property_ms("interdigittimeout").unwrap_or(3000),
            timer: None,
            termchar: None,
            answer: None,
            hung_up: false,
        }));
        Ok(())
    }

    pub(crate) fn press_in_recording(&mut self, key: char) {
        let now = self.now.mono;
        let blocked = self.playing.front().is_some_and(|p| p.bargein == Bargein::None);
        let Phase::Recording(c) = &mut self.phase else { return };
        if blocked || c.answer.is_some() || c.termchar.is_some() {
            return;
        }
        c.pressed.push(key);
        let pressed = c.pressed.clone();
        let standing = stand(&mut c.active, &pressed);
        if standing.open {
            c.timer = Some(now + Duration::from_millis(c.interdigit_ms));
        } else if standing.complete.is_some() {
            self.conclude_recording();
        } else if c.dtmfterm {
            // §2.3.6: a key that no active grammar knows is a match of an anonymous local one.
            c.termchar = Some(key);
            self.stop_recording();
        } else {
            c.pressed.clear();
            c.timer = None;
        }
    }

    /// The keys so far are a sentence, or the interdigit timer has passed.
    pub(crate) fn conclude_recording(&mut self) {
        let Phase::Recording(c) = &mut self.phase else { return };
        c.timer = None;
        let pressed = std::mem::take(&mut c.pressed);
        match self.known_keys(&pressed) {
            Ok(Some(answer)) => self.answer_recording(answer),
            Ok(None) => {
                if let Phase::Recording(c) = &mut self.phase
                    && c.dtmfterm
                {
                    c.termchar = pressed.chars().last();
                    self.stop_recording();
                }
            }
            Err(event) => {
                self.emit_stop();
                self.phase = Phase::Running;
                self.throw(event);
            }
        }
    }

    pub(crate) fn recognised_in_recording(&mut self, nbest: &[Hypothesis], recording: Option<Recording>) {
        let minimum = self.property_number("confidencelevel").unwrap_or(0.5);
        let Phase::Recording(c) = &mut self.phase else { return };
        if c.answer.is_some() || c.termchar.is_some() {
            return;
        }
        let mut active = std::mem::take(&mut c.active);
        let found = self.understand(&mut active, nbest, minimum);
        if let Phase::Recording(c) = &mut self.phase {
            c.active = active;
        }
        if let Some((origin, nbest)) = found {
            self.answer_recording(Answer { origin, nbest, dtmf: false, mark: None, recording });
        }
    }

    /// What keys mean in the grammars active during the recording; `None` if no grammar has them.
    fn known_keys(&mut self, pressed: &str) -> Result<Option<Answer>, Event> {
        let Phase::Recording(c) = &mut self.phase else { return Ok(None) };
        let known = c.active.iter_mut().filter(|a| a.dtmf).find_map(|a| {
            let complete = matches!(a.status(pressed), Status::Complete { .. });
            complete.then(|| a.interpret(pressed).map(|made| (a.origin.clone(), made))).flatten()
        });
        let Some((origin, made)) = known else { return Ok(None) };
        let interpretation = self.interpretation(&origin, made, pressed, 1.0)?;
        Ok(Some(by_keys(origin, pressed, interpretation)))
    }

    fn answer_recording(&mut self, answer: Answer) {
        if let Phase::Recording(c) = &mut self.phase {
            c.answer = Some(Box::new(answer));
        }
        self.stop_recording();
    }

    /// Ends the recording; what was kept comes as [`Input::Recorded`](crate::session::Input::Recorded).
    fn stop_recording(&mut self) {
        if let Phase::Recording(c) = &mut self.phase {
            c.timer = None;
        }
        // It may have been a key during the prompt before it.
        self.cut_prompts();
        self.emit_stop();
    }

    /// §2.3.6: the recording up to a hang-up is kept in its variable, for the handlers of the hang-up.
    pub(crate) fn hang_up_recording(&mut self) {
        let Phase::Recording(c) = &mut self.phase else { return };
        c.hung_up = true;
        if c.answer.is_none() && c.termchar.is_none() {
            self.stop_recording();
        }
    }

    fn emit_stop(&mut self) {
        if let Phase::Recording(c) = &self.phase {
            let id = c.id;
            self.emit(Output::StopListen { id });
        }
    }

    pub(crate) fn on_recorded(
        &mut self,
        id: ListenId,
        recording: Option<Recording>,
        termchar: Option<char>,
        maxtime: bool,
    ) {
        let ours = matches!(&self.phase, Phase::Recording(c) if c.id == id);
        if !ours {
            return;
        }
        if recording.is_some() || termchar.is_some() {
            self.alive();
        }
        if let Err(event) = self.recorded(recording, termchar, maxtime) {
            self.phase = Phase::Running;
            self.throw(event);
        }
    }

    fn recorded(
        &mut self,
        recording: Option<Recording>,
        termchar: Option<char>,
        maxtime: bool,
    ) -> Result<(), Event> {
        // A key by which the host ended it may be one that a grammar knows.
        let known = match termchar {
            Some(key) => self.known_keys(key.encode_utf8(&mut [0; 4]))?,
            None => None,
        };
        let Phase::Recording(capturing) = std::mem::replace(&mut self.phase, Phase::Running) else {
            return Ok(());
        };
        if capturing.hung_up {
            if let Some(r) = &recording {
                self.keep_recording(capturing.item, r, None, maxtime, None);
            }
            return Err(Event::new("connection.disconnect.hangup"));
        }
        let grammar = capturing.answer.map(|a| *a).or(known);
        let termchar = termchar.or(capturing.termchar);
        if let Some(answer) = grammar.as_ref().filter(|a| a.origin != Origin::Item) {
            // §2.3.6: a grammar from elsewhere takes the caller there; the item stays unfilled.
            return self.process(answer.clone());
        }
        let by_key = || {
            let key = termchar?.to_string();
            let text = Value::text(&key);
            Some(by_keys(Origin::Item, &key, text))
        };
        let ended_by = grammar.clone().or_else(by_key);
        if let Some(answer) = &ended_by {
            self.set_lastresult(answer);
        }
        let Some(r) = recording else {
            // §2.3.6: ended by input before there was a sound: the item stays unfilled, and this is no no-input.
            return if ended_by.is_some() { Ok(()) } else { Err(Event::new("noinput")) };
        };
        let doc = self.level().doc.clone();
        self.keep_recording(capturing.item, &r, termchar, maxtime, grammar.as_ref());
        self.just_filled(&doc, &[capturing.item])
    }

    /// The item's variable and its shadow variables.
    fn keep_recording(
        &mut self,
        item: usize,
        r: &Recording,
        termchar: Option<char>,
        maxtime: bool,
        grammar: Option<&Answer>,
    ) {
        let Some(dialog) = &self.level().dialog else { return };
        let (scope, name) = (dialog.scope, dialog.items[item].name.clone());
        self.scopes.define(scope, &name, recording_value(&r.name));
        let mut shadow = vec![
            ("duration".to_owned(), number(r.duration_ms)),
            ("size".to_owned(), number(r.size)),
            ("termchar".to_owned(), termchar.map_or(Value::Null, |c| Value::text(c.to_string()))),
            ("maxtime".to_owned(), Value::Bool(maxtime)),
        ];
        if let Some(answer) = grammar {
            let heard = &answer.nbest[0];
            shadow.push(("utterance".into(), Value::text(&heard.utterance)));
            shadow.push(("confidence".into(), Value::Number(f64::from(heard.confidence))));
            shadow.extend(utterance_recording(answer));
        }
        if !name.starts_with('\u{1}') {
            self.scopes.define(scope, &format!("{name}$"), Value::Object(shadow));
        }
    }
}

/// An answer by keys.
fn by_keys(origin: Origin, pressed: &str, interpretation: Value) -> Answer {
    let heard = Heard { utterance: pressed.to_owned(), confidence: 1.0, interpretation };
    Answer { origin, nbest: vec![heard], dtmf: true, mark: None, recording: None }
}
