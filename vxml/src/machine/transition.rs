//! Leaving: `<goto>`, `<submit>`, `<exit>`, `<return>`, `<disconnect>`, choices and links (VoiceXML 2.0 §5.3.7-11).

use super::Session;
use super::state::{Answer, Purpose, Target};
use crate::catch::Event;
use crate::document::{Document, NodeId};
use crate::session::{ExitReason, Output, Resource};
use engine::Value;
use std::sync::Arc;

impl Session {
    /// Ends the running content without what would follow it.
    fn jump(&mut self) {
        self.level_exec_off();
        if let Some(d) = &mut self.level().dialog {
            d.filled.clear();
            d.quiet = false;
        }
    }

    pub(crate) fn goto(&mut self, doc: &Arc<Document>, node: NodeId) -> Result<(), Event> {
        if let Some(name) = self.url_of(doc, node, "nextitem", "expritem")? {
            let Some(dialog) = &mut self.level().dialog else {
                return Err(Event::badfetch("<goto nextitem> outside a form"));
            };
            let item = dialog.items.iter().position(|i| i.name == name);
            let item = item.ok_or_else(|| Event::badfetch(format!("there is no form item '{name}'")))?;
            dialog.next = Some(item);
            dialog.filled.clear();
            dialog.quiet = false;
            self.level_exec_off();
            return Ok(());
        }
        let reference = self.url_of(doc, node, "next", "expr")?;
        let reference = reference.ok_or_else(|| Event::badfetch("<goto> leads nowhere"))?;
        self.goto_reference(doc, node, &reference)
    }

    /// A transition by reference. One that is empty or only a fragment stays in the document (§5.3.7).
    pub(crate) fn goto_reference(
        &mut self,
        attributes: &Arc<Document>,
        node: NodeId,
        reference: &str,
    ) -> Result<(), Event> {
        let reference = reference.trim();
        // As if by copy: a handler's references are the active document's (§5.2.4).
        let doc = self.level().doc.clone();
        if reference.is_empty() || reference.starts_with('#') {
            let id = reference.strip_prefix('#').filter(|s| !s.is_empty());
            let dialog = doc.dialog(id);
            let dialog =
                dialog.ok_or_else(|| Event::badfetch(format!("there is no dialog '{reference}'")))?;
            self.jump();
            self.enter(dialog, None);
            return Ok(());
        }
        let url =
            doc.resolve(reference).ok_or_else(|| Event::badfetch(format!("'{reference}' is no URL")))?;
        let target = Target {
            fragment: url.fragment().map(str::to_owned),
            url: url.clone(),
            submit: false,
            subdialog: None,
            pending: None,
        };
        let request = self.request(attributes, node, &url, Resource::Document)?;
        self.jump_later();
        self.fetch(request, Purpose::Document(Box::new(target)));
        Ok(())
    }

    /// The content that asked for a document is over, but an error of the fetch still belongs to its item.
    fn jump_later(&mut self) {
        self.level_exec_off();
        if let Some(d) = &mut self.level().dialog {
            d.filled.clear();
        }
    }

    pub(crate) fn submit(&mut self, attributes: &Arc<Document>, node: NodeId) -> Result<(), Event> {
        let reference = self.url_of(attributes, node, "next", "expr")?;
        let reference = reference.ok_or_else(|| Event::badfetch("<submit> leads nowhere"))?;
        let doc = self.level().doc.clone();
        let url =
            doc.resolve(&reference).ok_or_else(|| Event::badfetch(format!("'{reference}' is no URL")))?;
        let names = match attributes.attribute(node, "namelist") {
            Some(list) => list.split_whitespace().map(str::to_owned).collect(),
            None => self.named_inputs(),
        };
        let mut request = self.request(attributes, node, &url, Resource::Document)?;
        self.submit_fields(&mut request, attributes, node, &names)?;
        let target = Target {
            fragment: url.fragment().map(str::to_owned),
            url,
            submit: true,
            subdialog: None,
            pending: None,
        };
        self.jump_later();
        self.fetch(request, Purpose::Document(Box::new(target)));
        Ok(())
    }

    /// §5.3.8: without a namelist the named input items are submitted.
    fn named_inputs(&mut self) -> Vec<String> {
        let doc = self.level().doc.clone();
        let Some(dialog) = &self.level().dialog else { return Vec::new() };
        let named =
            dialog.items.iter().filter(|i| doc.tag(i.node).is_input_item() && !i.name.starts_with('\u{1}'));
        named.map(|i| i.name.clone()).collect()
    }

    /// A namelist's values as JSON.
    fn values(&mut self, doc: &Document, node: NodeId) -> Result<Vec<(String, serde_json::Value)>, Event> {
        let names: Vec<&str> = doc.attribute(node, "namelist").unwrap_or("").split_whitespace().collect();
        let chain = self.chain();
        let mut out = Vec::new();
        for name in names {
            let value = self.scopes.variable(name, &chain).map_err(Event::semantic)?;
            out.push((name.to_owned(), json(&value)));
        }
        Ok(out)
    }

    pub(crate) fn exit(&mut self, doc: &Document, node: NodeId) -> Result<(), Event> {
        let mut values = self.values(doc, node)?;
        if let Some(e) = doc.expression(node, "expr") {
            values.push((String::new(), json(&self.eval(e)?)));
        }
        self.end(ExitReason::Exit, values);
        Ok(())
    }

    pub(crate) fn disconnect(&mut self, doc: &Document, node: NodeId) -> Result<(), Event> {
        let values = self.values(doc, node)?;
        if self.hung_up {
            // §1.5.4: nobody is left to disconnect from; the final processing ends here, as by <exit>.
            let reason = self.disconnect_reason();
            self.end(reason, values);
            return Ok(());
        }
        // §5.3.11: what is queued is heard before the line is cut.
        self.flush_queue();
        self.emit(Output::Disconnect { values });
        self.hung_up = true;
        self.we_hung_up = true;
        Err(Event::new("connection.disconnect.hangup"))
    }

    pub(crate) fn return_(&mut self, doc: &Document, node: NodeId) -> Result<(), Event> {
        if self.levels.len() < 2 {
            return Err(Event::semantic("<return> outside a subdialog"));
        }
        let event = if doc.attribute(node, "event").is_some() || doc.attribute(node, "eventexpr").is_some() {
            Some(self.thrown(doc, node, "event", "eventexpr")?)
        } else {
            None
        };
        let names: Vec<String> =
            doc.attribute(node, "namelist").unwrap_or("").split_whitespace().map(str::to_owned).collect();
        let chain = self.chain();
        let mut result = Vec::new();
        for name in names {
            let value = self.scopes.variable(&name, &chain).map_err(Event::semantic)?;
            result.push((name, value));
        }
        self.leave_subdialog();
        match event {
            Some(event) => Err(event),
            None => self.subdialog_done(Value::Object(result)),
        }
    }

    /// Forgets the innermost execution context.
    fn leave_subdialog(&mut self) {
        let mut level = self.levels.pop().expect("a subdialog is active");
        self.leave_dialog(&mut level);
        if level.document != level.application {
            self.scopes.close(level.document);
        }
        self.scopes.close(level.application);
    }

    fn subdialog_done(&mut self, result: Value) -> Result<(), Event> {
        let doc = self.level().doc.clone();
        let Some(dialog) = &self.level().dialog else { return Ok(()) };
        let Some(item) = dialog.current else { return Ok(()) };
        let (scope, name) = (dialog.scope, dialog.items[item].name.clone());
        self.scopes.define(scope, &name, result);
        self.just_filled(&doc, &[item])
    }

    /// A menu's choice was taken (§2.2.2).
    pub(crate) fn choose(
        &mut self,
        doc: &Arc<Document>,
        choice: NodeId,
        answer: &Answer,
    ) -> Result<(), Event> {
        let _ = answer;
        self.follow(doc, choice)
    }

    /// What a `<choice>` or `<link>` leads to: a document, or an event.
    pub(crate) fn follow(&mut self, doc: &Arc<Document>, node: NodeId) -> Result<(), Event> {
        if doc.attribute(node, "event").is_some() || doc.attribute(node, "eventexpr").is_some() {
            return Err(self.thrown(doc, node, "event", "eventexpr")?);
        }
        let reference = self.url_of(doc, node, "next", "expr")?;
        let reference = reference.ok_or_else(|| Event::badfetch("the way leads nowhere"))?;
        self.goto_reference(doc, node, &reference)
    }
}

/// A script's value as JSON, for whoever asked for the session.
pub(crate) fn json(v: &Value) -> serde_json::Value {
    serde_json::from_str(&v.to_json()).unwrap_or(serde_json::Value::Null)
}
