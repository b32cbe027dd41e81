//! Throwing an event and finding its handler (VoiceXML 2.0 §5.2).

use super::Session;
use super::state::{Purpose, Role};
use crate::catch::{self, Default, Event, matched};
use crate::document::{Document, NodeId, Tag};
use crate::session::{ExitReason, Output, Trace};
use engine::Value;
use std::sync::Arc;

impl Session {
    /// Throws an event where the session stands: what was running there is over.
    pub(crate) fn throw(&mut self, event: Event) {
        self.trace(Trace::Event { name: event.name.clone(), message: event.message.clone() });
        self.throws += 1;
        self.idle_turns += 1;
        self.fetched = None;
        self.level_exec_off();
        if matches!(self.phase, super::Phase::Over) {
            return;
        }
        self.phase = super::Phase::Running;
        if self.throws > self.config.limits.throws_max {
            return self.fail(Event::with("error.max_loop_count_exceeded", "handlers keep throwing"));
        }
        if self.levels.is_empty() {
            return self.uncaught(event);
        }
        self.count(&event.name);
        match self.find_handler(&event) {
            Ok(Some((doc, node))) => self.start_handler(doc, node, event),
            Ok(None) => self.uncaught(event),
            Err(worse) => {
                // A guard that fails must not hide the event; the failure itself is thrown once.
                if self.throws > self.config.limits.throws_max / 2 {
                    self.uncaught(event)
                } else {
                    self.throw(worse)
                }
            }
        }
    }

    fn count(&mut self, name: &str) {
        let level = self.level();
        match &mut level.dialog {
            Some(d) => match d.current {
                Some(i) => d.items[i].counters.count(name),
                None => d.counters.count(name),
            },
            None => level.counters.count(name),
        }
    }

    fn counter(&self, name: &str) -> u32 {
        let Some(level) = self.levels.last() else { return 0 };
        match &level.dialog {
            Some(d) => match d.current {
                Some(i) => d.items[i].counters.of(name),
                None => d.counters.of(name),
            },
            None => level.counters.of(name),
        }
    }

    /// §5.2.4: of the handlers that match, ordered by scope and document order, the first with the highest count not
    /// above the event's.
    fn find_handler(&mut self, event: &Event) -> Result<Option<(Arc<Document>, NodeId)>, Event> {
        let mut best: Option<(u32, Arc<Document>, NodeId)> = None;
        for (doc, node) in self.handlers() {
            let attribute = match doc.tag(node) {
                Tag::Catch => doc.attribute(node, "event"),
                tag => Some(tag.name()),
            };
            let Some(name) = matched(attribute, &event.name) else { continue };
            let count = doc.attribute(node, "count").and_then(|c| c.trim().parse().ok()).unwrap_or(1);
            if count > self.counter(name).max(1) || best.as_ref().is_some_and(|(b, ..)| *b >= count) {
                continue;
            }
            if self.condition(&doc, node)? {
                best = Some((count, doc, node));
            }
        }
        Ok(best.map(|(_, doc, node)| (doc, node)))
    }

    /// All handlers in force: item, dialog, document, root document.
    fn handlers(&self) -> Vec<(Arc<Document>, NodeId)> {
        let Some(level) = self.levels.last() else { return Vec::new() };
        let mut places = Vec::new();
        if let Some(d) = &level.dialog {
            if let Some(i) = d.current
                && d.items[i].node != d.node
            {
                places.push((level.doc.clone(), d.items[i].node));
            }
            places.push((level.doc.clone(), d.node));
        }
        places.push((level.doc.clone(), level.doc.root()));
        if let Some(root) = &level.root {
            places.push((root.clone(), root.root()));
        }
        let mut out = Vec::new();
        for (doc, place) in places {
            for c in doc.children(place).filter(|&c| doc.tag(c).is_catch()) {
                out.push((doc.clone(), c));
            }
        }
        out
    }

    /// Runs a handler as if it stood where the event was thrown (§5.2.4).
    fn start_handler(&mut self, doc: Arc<Document>, node: NodeId, event: Event) {
        if event.name == "noinput" {
            self.silences = 0;
        }
        if let Some(d) = &mut self.level().dialog {
            d.filled.clear();
        }
        let first = doc.first_child(node);
        self.start_exec(doc, first, Role::Catch { reprompt: false, event: event.name.clone() });
        let scope = self.chain()[4];
        self.scopes.define(scope, "_event", Value::text(&event.name));
        let message = event.message.as_deref().map_or(Value::Undefined, Value::text);
        self.scopes.define(scope, "_message", message);
        self.last_error = event.name.starts_with("error").then_some(event);
    }

    /// §5.2.5: what the platform does when no handler is there.
    fn uncaught(&mut self, event: Event) {
        match catch::default_handler(&event.name) {
            Default::Nothing => self.after_default(false),
            Default::Reprompt(message) => {
                if event.name == "noinput" {
                    self.silences += 1;
                    if self.silences >= self.config.limits.silences_max {
                        return self.give_up_on_silence();
                    }
                }
                if let Some(text) = message.and_then(|m| self.config.messages.get(m).cloned()) {
                    self.queue_platform_text(text);
                }
                self.after_default(true);
            }
            Default::Exit => {
                let reason = match event.name.as_str() {
                    "connection.disconnect.transfer" => ExitReason::Transferred,
                    name if name.starts_with("connection.disconnect") => self.disconnect_reason(),
                    _ => ExitReason::Exit,
                };
                self.end(reason, Vec::new());
            }
            Default::Fail => self.fail(event),
        }
    }

    /// Nobody has said or pressed anything for `silences_max` times, and the document does not care.
    fn give_up_on_silence(&mut self) {
        let message =
            format!("{} no-inputs in a row without a handler in the document (silences_max)", self.silences);
        let event = Event::with("error.max_noinput_count_exceeded", message);
        self.trace(Trace::Event { name: event.name.clone(), message: event.message.clone() });
        self.fail(event);
    }

    pub(crate) fn disconnect_reason(&self) -> ExitReason {
        if self.we_hung_up { ExitReason::Disconnect } else { ExitReason::HangUp }
    }

    fn after_default(&mut self, reprompt: bool) {
        if let Some(d) = &mut self.level().dialog {
            d.filled.clear();
        }
        self.after_catch(reprompt);
    }

    /// The caller is gone: the handlers run, but nobody is listened to any more (§1.5.4).
    pub(crate) fn on_hangup(&mut self) {
        if self.hung_up {
            return;
        }
        self.hung_up = true;
        self.queue.clear();
        self.typeahead.clear();
        self.awake();
        if let super::Phase::Recording(_) = &self.phase {
            return self.hang_up_recording();
        }
        let phase = std::mem::replace(&mut self.phase, super::Phase::Running);
        match phase {
            super::Phase::Listening(l) => self.emit(Output::StopListen { id: l.id }),
            super::Phase::Fetching { id, purpose } => {
                // A transition under way is given up; what runs now are the handlers of the old place.
                if matches!(purpose, Purpose::Document(_) | Purpose::Root(..)) && self.levels.is_empty() {
                    self.emit(Output::CancelFetch { id });
                    return self.end(ExitReason::HangUp, Vec::new());
                }
                if let (Purpose::Grammar(_), Some(level)) = (&purpose, self.levels.last_mut())
                    && let Some(dialog) = &mut level.dialog
                {
                    dialog.next = None;
                }
                self.emit(Output::CancelFetch { id });
            }
            super::Phase::Draining(super::After::Exit(exit)) => {
                self.playing.clear();
                return self.finish(exit);
            }
            _ => {}
        }
        if !self.playing.is_empty() {
            self.playing.clear();
            self.emit(Output::StopPlay);
        }
        self.throw(Event::new("connection.disconnect.hangup"));
    }
}
