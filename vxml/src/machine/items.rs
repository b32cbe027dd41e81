//! `<transfer>`, `<subdialog>` and `<object>` (VoiceXML 2.0 §2.3.4, §2.3.5, §2.3.7).

use super::input::{from_json, number, utterance_recording};
use super::state::{Active, After, Answer, Heard, Moving, Phase, Purpose, Target};
use super::transition::json;
use super::{Documents, Session};
use crate::catch::Event;
use crate::document::{Document, NodeId, Tag};
use crate::grammar::Status;
use crate::session::{
    Hypothesis, ListenId, Output, Recording, Resource, Transfer, TransferEnd, TransferKind,
};
use engine::Value;
use std::sync::Arc;
use units::Private;

impl Session {
    pub(crate) fn visit_subdialog(
        &mut self,
        doc: &Arc<Document>,
        node: NodeId,
        item: usize,
    ) -> Result<(), Event> {
        if self.levels.len() >= self.config.limits.subdialogs_max {
            return Err(Event::semantic("more nested subdialogs than subdialogs_max"));
        }
        let reference = self.url_of(doc, node, "src", "srcexpr")?;
        let reference = reference.ok_or_else(|| Event::badfetch("<subdialog> leads nowhere"))?;
        let params = self.params(doc, node)?;
        let names: Vec<String> =
            doc.attribute(node, "namelist").unwrap_or("").split_whitespace().map(str::to_owned).collect();
        let url =
            doc.resolve(&reference).ok_or_else(|| Event::badfetch(format!("'{reference}' is no URL")))?;
        let target = Target {
            fragment: url.fragment().map(str::to_owned),
            url: url.clone(),
            submit: true,
            subdialog: Some((item, params)),
            pending: None,
        };
        if reference.is_empty() || reference.starts_with('#') {
            // The document is here already; its context is new nevertheless.
            let doc = doc.clone();
            return self.arrive(target, doc);
        }
        let mut request = self.request(doc, node, &url, Resource::Document)?;
        self.submit_fields(&mut request, doc, node, &names)?;
        self.fetch(request, Purpose::Document(Box::new(target)));
        Ok(())
    }

    fn params(&mut self, doc: &Arc<Document>, node: NodeId) -> Result<Vec<(String, Value)>, Event> {
        let mut out = Vec::new();
        for p in doc.children(node).filter(|&c| doc.tag(c) == Tag::Param) {
            let Some(name) = doc.attribute(p, "name") else { continue };
            let value = match (doc.expression(p, "expr"), doc.attribute(p, "value")) {
                (Some(e), _) => self.eval(e)?,
                (None, Some(v)) => Value::text(v),
                (None, None) => return Err(Event::badfetch("<param> takes exactly one of expr and value")),
            };
            out.push((name.to_owned(), value));
        }
        Ok(out)
    }

    /// §2.3.5: the host runs what it has registered.
    pub(crate) fn visit_object(
        &mut self,
        doc: &Arc<Document>,
        node: NodeId,
        item: usize,
    ) -> Result<(), Event> {
        let params = self.params(doc, node)?;
        let class = doc.attribute(node, "classid").unwrap_or("").to_owned();
        if !self.config.objects.contains(&class) {
            return Err(Event::with("error.unsupported.objectname", class));
        }
        if self.hung_up {
            let reason = self.disconnect_reason();
            self.end(reason, Vec::new());
            return Ok(());
        }
        let id = ListenId(self.id());
        let params = params.iter().map(|(name, value)| (name.clone(), json(value))).collect();
        self.flush_queue();
        self.emit(Output::Object { id, class, params });
        self.phase = Phase::Object(id, item);
        Ok(())
    }

    pub(crate) fn on_object_done(
        &mut self,
        id: ListenId,
        result: Result<serde_json::Value, (String, String)>,
    ) {
        let Phase::Object(running, item) = &self.phase else { return };
        let (running, item) = (*running, *item);
        if running != id {
            return;
        }
        self.phase = Phase::Running;
        let value = match result {
            Ok(value) => from_json(&value),
            Err((event, message)) => return self.throw(Event::with(event, message)),
        };
        let doc = self.level().doc.clone();
        let Some(dialog) = &self.level().dialog else { return };
        let (scope, name) = (dialog.scope, dialog.items[item].name.clone());
        self.scopes.define(scope, &name, value);
        if let Err(event) = self.just_filled(&doc, &[item]) {
            self.throw(event);
        }
    }

    pub(crate) fn visit_transfer(
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
        let kind = transfer_kind(doc, node)?;
        let dest = self.url_of(doc, node, "dest", "destexpr")?;
        let dest =
            dest.ok_or_else(|| Event::badfetch("<transfer> takes exactly one of dest and destexpr"))?;
        let scheme = dest.split(':').next().unwrap_or("");
        if !matches!(scheme, "tel" | "sip" | "sips") {
            return Err(Event::with("error.unsupported.uri", scheme));
        }
        let aai = self.url_of(doc, node, "aai", "aaiexpr")?;
        let Some(active) = self.active_grammars(documents, item, true)? else { return Ok(()) };
        self.grammars.clear();
        let id = ListenId(self.id());
        let bridge = kind == TransferKind::Bridge;
        let listen = (bridge && !active.is_empty()).then(|| Box::new(self.listen_output(id, &active, true)));
        let ms = |name: &str| doc.attribute(node, name).and_then(super::properties::time_ms);
        let audio = doc.attribute(node, "transferaudio").and_then(|a| doc.resolve(a)).map(String::from);
        let transfer = Transfer {
            id,
            kind,
            dest: Private::new(dest),
            connecttimeout_ms: ms("connecttimeout").unwrap_or(30_000),
            maxtime_ms: ms("maxtime").unwrap_or(0),
            transferaudio: audio,
            aai,
            listen,
        };
        self.flush_queue();
        self.moving = Some(Box::new((
            transfer,
            Moving { id, item, kind, active, pressed: String::new(), answer: None },
        )));
        if self.playing.is_empty() {
            self.begin_transfer(item);
        } else {
            // §2.3.7: what is queued is heard before the transfer begins.
            self.phase = Phase::Draining(After::Transfer(item));
        }
        Ok(())
    }

    pub(crate) fn begin_transfer(&mut self, _item: usize) {
        if let Some(moving) = self.moving.take() {
            let (transfer, moving) = *moving;
            self.emit(Output::Transfer(transfer));
            self.phase = Phase::Transferring(Box::new(moving));
        }
    }

    pub(crate) fn press_in_transfer(&mut self, key: char) {
        let Phase::Transferring(t) = &mut self.phase else { return };
        if t.kind != TransferKind::Bridge || t.answer.is_some() {
            return;
        }
        t.pressed.push(key);
        let pressed = t.pressed.clone();
        let mut open = false;
        let mut found = None;
        for (i, a) in t.active.iter_mut().enumerate().filter(|(_, a)| a.dtmf) {
            match a.status(&pressed) {
                Status::NoMatch => {}
                Status::Prefix => open = true,
                Status::Complete { .. } => found = found.or(Some(i)),
            }
        }
        if let Some(i) = found {
            let (origin, made) = (t.active[i].origin.clone(), t.active[i].interpret(&pressed));
            let Some(made) = made else { return };
            let interpretation = self.interpretation(&origin, made, &pressed, 1.0).unwrap_or_default();
            let nbest = vec![Heard { utterance: pressed, confidence: 1.0, interpretation }];
            self.end_bridge(Answer { origin, nbest, dtmf: true, mark: None, recording: None });
        } else if !open {
            t.pressed.clear();
        }
    }

    pub(crate) fn recognised_in_transfer(&mut self, nbest: &[Hypothesis], recording: Option<Recording>) {
        let minimum = self.property_number("confidencelevel").unwrap_or(0.5);
        let Phase::Transferring(t) = &mut self.phase else { return };
        let mut active: Vec<Active> = std::mem::take(&mut t.active);
        let found = self.understand(&mut active, nbest, minimum);
        if let Phase::Transferring(t) = &mut self.phase {
            t.active = active;
        }
        if let Some((origin, nbest)) = found {
            self.end_bridge(Answer { origin, nbest, dtmf: false, mark: None, recording });
        }
    }

    fn end_bridge(&mut self, answer: Answer) {
        let Phase::Transferring(t) = &mut self.phase else { return };
        let id = t.id;
        t.answer = Some(Box::new(answer));
        self.emit(Output::EndTransfer { id });
    }

    pub(crate) fn on_transfer_ended(&mut self, id: ListenId, end: TransferEnd, duration_ms: u64) {
        let kind = match &self.phase {
            Phase::Transferring(t) if t.id == id => t.kind,
            _ => return,
        };
        // A refusal comes at once: a document that asks again and again is one that chases itself.
        let event = transfer_event(end, kind);
        if event.as_ref().is_none_or(|event| !event.name.starts_with("error")) {
            self.awake();
        }
        let Phase::Transferring(moving) = std::mem::replace(&mut self.phase, Phase::Running) else { return };
        if let Some(event) = event {
            if event.name.starts_with("connection.disconnect") {
                self.hung_up = true;
            }
            return self.throw(event);
        }
        let doc = self.level().doc.clone();
        let Some(dialog) = &self.level().dialog else { return };
        let (scope, name) = (dialog.scope, dialog.items[moving.item].name.clone());
        self.scopes.define(scope, &name, Value::text(transfer_text(end)));
        let mut shadow = vec![("duration".to_owned(), seconds(duration_ms))];
        if let Some(answer) = &moving.answer {
            shadow.push(("inputmode".into(), Value::text(if answer.dtmf { "dtmf" } else { "voice" })));
            shadow.push(("utterance".into(), Value::text(&answer.nbest[0].utterance)));
            shadow.extend(utterance_recording(answer));
            self.set_lastresult(answer);
        }
        if !name.starts_with('\u{1}') {
            self.scopes.define(scope, &format!("{name}$"), Value::Object(shadow));
        }
        if let Err(event) = self.just_filled(&doc, &[moving.item]) {
            self.throw(event);
        }
    }
}

/// §2.3.7.2: the duration is in seconds.
fn seconds(ms: u64) -> Value {
    match number(ms) {
        Value::Number(n) => Value::Number(n / 1000.0),
        v => v,
    }
}

fn transfer_kind(doc: &Document, node: NodeId) -> Result<TransferKind, Event> {
    match (doc.attribute(node, "type"), doc.attribute(node, "bridge")) {
        (Some("bridge"), _) | (None, Some("true")) => Ok(TransferKind::Bridge),
        (Some("consultation"), _) => Ok(TransferKind::Consultation),
        (Some("blind"), _) | (None, _) => Ok(TransferKind::Blind),
        (Some(other), _) => Err(Event::badfetch(format!("'{other}' is no type of transfer"))),
    }
}

fn transfer_text(end: TransferEnd) -> &'static str {
    match end {
        TransferEnd::Busy => "busy",
        TransferEnd::Noanswer => "noanswer",
        TransferEnd::NetworkBusy => "network_busy",
        TransferEnd::NearEndDisconnect => "near_end_disconnect",
        TransferEnd::FarEndDisconnect => "far_end_disconnect",
        TransferEnd::NetworkDisconnect => "network_disconnect",
        TransferEnd::MaxtimeDisconnect => "maxtime_disconnect",
        _ => "unknown",
    }
}

/// Ends that are events, not values (§2.3.7.2, table of events).
fn transfer_event(end: TransferEnd, kind: TransferKind) -> Option<Event> {
    Some(Event::new(match end {
        TransferEnd::Transferred => "connection.disconnect.transfer",
        TransferEnd::NoAuthorization => "error.connection.noauthorization",
        TransferEnd::BadDestination => "error.connection.baddestination",
        TransferEnd::NoRoute => "error.connection.noroute",
        TransferEnd::NoResource => "error.connection.noresource",
        TransferEnd::Protocol(status) => return Some(Event::new(format!("error.connection.sip.{status}"))),
        TransferEnd::Unsupported => match kind {
            TransferKind::Bridge => "error.unsupported.transfer.bridge",
            TransferKind::Blind => "error.unsupported.transfer.blind",
            TransferKind::Consultation => "error.unsupported.transfer.consultation",
        },
        _ => return None,
    }))
}
