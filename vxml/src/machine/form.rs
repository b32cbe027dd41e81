//! The form interpretation algorithm: select, collect, process (VoiceXML 2.0 §2.1.6 and appendix C).

use super::state::{Answer, Origin, Role};
use super::{Documents, Session};
use crate::catch::Event;
use crate::document::{Document, NodeId, Tag};
use crate::session::{ExitReason, Trace};
use engine::Value;
use std::sync::Arc;

impl Session {
    /// The dialog is initialised. Parameters nobody declared are an error (§6.4).
    pub(crate) fn after_dialog_init(&mut self) {
        let left = std::mem::take(&mut self.level().params);
        if let Some((name, _)) = left.first()
            && !self.config.lenient
        {
            self.throw(Event::semantic(format!("the parameter '{name}' is not declared")));
        }
    }

    /// What comes next in the dialog: `<filled>` actions left over, or the next item.
    pub(crate) fn select(&mut self, documents: &mut Documents) -> Result<(), Event> {
        let doc = self.level().doc.clone();
        let Some(dialog) = &mut self.level().dialog else {
            self.end(ExitReason::EndOfDocument, Vec::new());
            return Ok(());
        };
        if !dialog.filled.is_empty() {
            let node = dialog.filled.remove(0);
            self.start_exec(doc.clone(), doc.first_child(node), Role::Filled);
            return Ok(());
        }
        if dialog.pending.is_some() {
            let answer = dialog.pending.take().expect("just seen");
            return self.process(*answer);
        }
        if let Some(item) = self.pick()? {
            self.idle_turns += 1;
            return self.visit(documents, &doc, item);
        }
        // §2.1.6.2: nothing left to visit ends the dialog, and with it the session.
        if self.hung_up {
            let reason = self.disconnect_reason();
            self.end(reason, Vec::new());
        } else {
            self.end(ExitReason::EndOfDocument, Vec::new());
        }
        Ok(())
    }

    /// The item that a `<goto nextitem>` named, or the first whose variable is undefined and whose guard holds.
    fn pick(&mut self) -> Result<Option<usize>, Event> {
        let doc = self.level().doc.clone();
        let dialog = self.level().dialog.as_mut().expect("a dialog is active");
        // The item visited before is visited no more; errors in guards are the form's.
        let previous = dialog.current.take();
        if let Some(next) = dialog.next.take() {
            dialog.quiet &= previous == Some(next);
            dialog.current = Some(next);
            return Ok(Some(next));
        }
        let scope = dialog.scope;
        let items: Vec<(NodeId, String)> = dialog.items.iter().map(|i| (i.node, i.name.clone())).collect();
        let menu = doc.tag(dialog.node) == Tag::Menu;
        for (i, (node, name)) in items.into_iter().enumerate() {
            let undefined = menu || matches!(self.scopes.get(scope, &name), None | Some(Value::Undefined));
            if undefined && (menu || self.condition(&doc, node)?) {
                let dialog = self.level().dialog.as_mut().expect("a dialog is active");
                dialog.current = Some(i);
                return Ok(Some(i));
            }
        }
        Ok(None)
    }

    fn visit(&mut self, documents: &mut Documents, doc: &Arc<Document>, item: usize) -> Result<(), Event> {
        let dialog = self.level().dialog.as_mut().expect("a dialog is active");
        let node = dialog.items[item].node;
        let scope = dialog.scope;
        let name = dialog.items[item].name.clone();
        let label = doc.attribute(dialog.node, "id").unwrap_or("").to_owned();
        let shown = doc.attribute(node, "name").unwrap_or(doc.tag(node).name()).to_owned();
        self.trace(Trace::Visit { dialog: label, item: shown });
        self.legal_properties(node)?;
        if doc.tag(node) == Tag::Block {
            // §2.3.2: the variable is true before the content runs.
            self.scopes.define(scope, &name, Value::Bool(true));
            self.start_exec(doc.clone(), doc.first_child(node), Role::Block);
            return Ok(());
        }
        self.queue_item_prompts(doc, node, item)?;
        match doc.tag(node) {
            Tag::Field | Tag::Initial | Tag::Menu => self.collect(documents, item),
            Tag::Record => self.visit_record(documents, doc, node, item),
            Tag::Transfer => self.visit_transfer(documents, doc, node, item),
            Tag::Subdialog => self.visit_subdialog(doc, node, item),
            Tag::Object => self.visit_object(doc, node, item),
            _ => Ok(()),
        }
    }

    /// Appendix C: queue the item's prompts, unless the last turn ended in a handler without `<reprompt>`.
    fn queue_item_prompts(&mut self, doc: &Arc<Document>, node: NodeId, item: usize) -> Result<(), Event> {
        let dialog = self.level().dialog.as_mut().expect("a dialog is active");
        if std::mem::take(&mut dialog.quiet) {
            return Ok(());
        }
        dialog.items[item].prompt_count = dialog.items[item].prompt_count.saturating_add(1);
        let count = dialog.items[item].prompt_count;
        self.queue_prompts(doc, node, count)
    }

    /// A handler has run to its end.
    pub(crate) fn after_catch(&mut self, reprompt: bool) {
        let Some(dialog) = &mut self.level().dialog else {
            // Nothing was active: a handler of an event during document initialisation.
            if self.level().entry.is_some() {
                self.after_document_init();
            }
            return;
        };
        dialog.quiet = !reprompt;
    }

    /// Takes the caller's input to where its grammar stands.
    pub(crate) fn process(&mut self, answer: Answer) -> Result<(), Event> {
        self.set_lastresult(&answer);
        let doc = self.level().doc.clone();
        match answer.origin.clone() {
            Origin::Item | Origin::Option(_) => self.fill_item(&doc, &answer),
            Origin::Form(node, root) => {
                let here = self.level().dialog.as_ref().is_some_and(|d| d.node == node) && !root;
                if here { self.fill_form(&doc, node, &answer) } else { self.go_with(node, root, answer) }
            }
            Origin::Choice(menu, choice, root) => {
                let here = self.level().dialog.as_ref().is_some_and(|d| d.node == menu) && !root;
                if here { self.choose(&doc, choice, &answer) } else { self.go_with(menu, root, answer) }
            }
            Origin::Link(node, root) => {
                let owner = if root { self.level().root.clone().unwrap_or(doc) } else { doc };
                self.follow(&owner, node)
            }
            Origin::Universal(name) => Err(Event::new(name)),
        }
    }

    /// Input for a dialog that is not active: go there and use it (§3.1.3).
    fn go_with(&mut self, node: NodeId, root: bool, mut answer: Answer) -> Result<(), Event> {
        // Once there, the dialog is the current document's own.
        if let Origin::Form(_, root) | Origin::Choice(_, _, root) = &mut answer.origin {
            *root = false;
        }
        if !root {
            self.enter(node, Some(Box::new(answer)));
            return Ok(());
        }
        let root = self.level().root.clone().ok_or_else(|| Event::semantic("there is no root document"))?;
        let fragment = root.attribute(node, "id").map(str::to_owned);
        let target = super::state::Target {
            url: root.url().clone(),
            fragment,
            submit: false,
            subdialog: None,
            pending: Some(Box::new(answer)),
        };
        self.arrive(target, root)
    }

    /// §3.1.6: a field's own grammar gives its value.
    fn fill_item(&mut self, doc: &Arc<Document>, answer: &Answer) -> Result<(), Event> {
        let dialog = self.level().dialog.as_mut().expect("an item was visited");
        let item = dialog.current.expect("an item was visited");
        let (node, name, scope) = (dialog.items[item].node, dialog.items[item].name.clone(), dialog.scope);
        let interpretation = &answer.nbest[0].interpretation;
        if doc.tag(node) == Tag::Initial {
            return self.fill_form(doc, self.dialog_node(), answer);
        }
        let slot = doc.attribute(node, "slot").or(doc.attribute(node, "name")).unwrap_or("");
        let value = match interpretation {
            Value::Object(props) => {
                let own = props.iter().find(|(k, _)| k == slot).map(|(_, v)| v.clone());
                own.unwrap_or_else(|| interpretation.clone())
            }
            v => v.clone(),
        };
        self.scopes.define(scope, &name, value);
        self.set_shadow(scope, &name, answer);
        self.just_filled(doc, &[item])
    }

    fn dialog_node(&self) -> NodeId {
        let dialog = self.levels.last().and_then(|l| l.dialog.as_ref());
        dialog.expect("a dialog is active").node
    }

    /// §3.1.6.1: a form's grammar fills each input item whose slot the result has.
    fn fill_form(&mut self, doc: &Arc<Document>, form: NodeId, answer: &Answer) -> Result<(), Event> {
        debug_assert_eq!(doc.tag(form), Tag::Form);
        let dialog = self.level().dialog.as_mut().expect("a form is active");
        let scope = dialog.scope;
        let items: Vec<(usize, NodeId, String)> =
            dialog.items.iter().enumerate().map(|(i, item)| (i, item.node, item.name.clone())).collect();
        let mut filled = Vec::new();
        for (i, node, name) in &items {
            if !doc.tag(*node).is_input_item() {
                continue;
            }
            let slot = doc.attribute(*node, "slot").unwrap_or(name);
            let value = match &answer.nbest[0].interpretation {
                Value::Object(props) => slot_value(props, slot),
                _ => None,
            };
            if let Some(value) = value {
                self.scopes.define(scope, name, value);
                self.set_shadow(scope, name, answer);
                filled.push(*i);
            }
        }
        // §2.3.3: once something is filled, <initial> has done its work.
        for (_, node, name) in items.iter().filter(|(_, n, _)| doc.tag(*n) == Tag::Initial) {
            let _ = node;
            if !filled.is_empty() {
                self.scopes.define(scope, name, Value::Bool(true));
            }
            self.set_shadow(scope, name, answer);
        }
        self.just_filled(doc, &filled)
    }

    /// §2.4: which `<filled>` elements are to run, in document order.
    pub(crate) fn just_filled(&mut self, doc: &Arc<Document>, filled: &[usize]) -> Result<(), Event> {
        let dialog = self.level().dialog.as_ref().expect("a dialog is active");
        let scope = dialog.scope;
        let form = dialog.node;
        let names: Vec<String> = filled.iter().map(|&i| dialog.items[i].name.clone()).collect();
        let nodes: Vec<NodeId> = filled.iter().map(|&i| dialog.items[i].node).collect();
        let inputs: Vec<String> =
            dialog.items.iter().filter(|i| doc.tag(i.node).is_input_item()).map(|i| i.name.clone()).collect();
        let mut actions = Vec::new();
        for child in doc.children(form) {
            if nodes.contains(&child) {
                actions.extend(doc.children(child).filter(|&c| doc.tag(c) == Tag::Filled));
            }
            if doc.tag(child) != Tag::Filled || filled.is_empty() {
                continue;
            }
            let list: Vec<String> = match doc.attribute(child, "namelist") {
                Some(l) => l.split_whitespace().map(str::to_owned).collect(),
                None => inputs.clone(),
            };
            if let Some(unknown) = list.iter().find(|n| !inputs.contains(n)) {
                return Err(Event::badfetch(format!("<filled> names '{unknown}', which is no input item")));
            }
            let any = list.iter().any(|n| names.contains(n));
            let mut run = any;
            if any && doc.attribute(child, "mode") != Some("any") {
                for n in &list {
                    run &= !matches!(self.scopes.get(scope, n), None | Some(Value::Undefined));
                }
            }
            if run {
                actions.push(child);
            }
        }
        let dialog = self.level().dialog.as_mut().expect("a dialog is active");
        dialog.filled = actions;
        Ok(())
    }
}

/// A slot's value: a property, or `a.b` as a property of a property (§3.1.6.1).
fn slot_value(props: &[(String, Value)], slot: &str) -> Option<Value> {
    if let Some((_, v)) = props.iter().find(|(k, _)| k == slot) {
        return (*v != Value::Undefined).then(|| v.clone());
    }
    let (head, rest) = slot.split_once('.')?;
    match props.iter().find(|(k, _)| k == head) {
        Some((_, Value::Object(inner))) => slot_value(inner, rest),
        _ => None,
    }
}
