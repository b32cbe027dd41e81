//! Executable content (VoiceXML 2.0 §5.3): one element a step, on an explicit stack, so that a fetch can interrupt it.

use super::fetch::Arrived;
use super::state::{Exec, Frame, Purpose, Role};
use super::{Documents, Session};
use crate::catch::Event;
use crate::document::{Document, NodeId, Tag};
use crate::script::{Expr, ScopeError};
use crate::session::Resource;
use engine::Value;
use std::sync::Arc;

impl Session {
    /// Starts content in a scope of its own.
    pub(crate) fn start_exec(&mut self, doc: Arc<Document>, first: Option<NodeId>, role: Role) {
        let scope = self.scopes.open(&[]);
        self.level().exec =
            Some(Exec { role, doc, frames: vec![Frame::Sequence { next: first }], scope: Some(scope) });
    }

    /// One step of the running content.
    pub(crate) fn step_exec(&mut self, documents: &mut Documents) -> Result<(), Event> {
        let exec = self.level().exec.as_mut().expect("asked for only while content runs");
        let doc = exec.doc.clone();
        match exec.frames.last_mut() {
            None => {
                self.exec_done();
                Ok(())
            }
            Some(Frame::Sequence { next: None }) => {
                exec.frames.pop();
                Ok(())
            }
            Some(Frame::Sequence { next }) => {
                let node = next.expect("None was the arm before");
                if matches!(doc.tag(node), Tag::Else | Tag::Elseif) {
                    // The branch that ran ends here.
                    exec.frames.pop();
                    return Ok(());
                }
                *next = doc.next_sibling(node);
                self.element(documents, &doc, node)
            }
            Some(Frame::Loop { .. }) => self.next_turn(&doc),
        }
    }

    fn exec_done(&mut self) {
        let exec = self.level().exec.take().expect("it was running");
        if let Some(scope) = exec.scope {
            self.scopes.close(scope);
        }
        match exec.role {
            Role::RootInit => self.after_root_init(),
            Role::DocumentInit => self.after_document_init(),
            Role::DialogInit => self.after_dialog_init(),
            Role::Block | Role::Filled => {}
            Role::Catch { reprompt, .. } => self.after_catch(reprompt),
        }
    }

    fn element(&mut self, documents: &mut Documents, doc: &Arc<Document>, node: NodeId) -> Result<(), Event> {
        let tag = doc.tag(node);
        let init = matches!(
            self.level().exec.as_ref().map(|e| &e.role),
            Some(Role::RootInit | Role::DocumentInit | Role::DialogInit)
        );
        if init {
            return match tag {
                Tag::Var | Tag::Script | Tag::Data => self.executable(documents, doc, node, tag),
                t if t.is_form_item() => self.init_item(doc, node),
                _ => Ok(()),
            };
        }
        self.executable(documents, doc, node, tag)
    }

    fn executable(
        &mut self,
        documents: &mut Documents,
        doc: &Arc<Document>,
        node: NodeId,
        tag: Tag,
    ) -> Result<(), Event> {
        match tag {
            Tag::Var => self.var(doc, node),
            Tag::Assign => self.assign(doc, node),
            Tag::Clear => self.clear(doc, node),
            Tag::Script => self.script(doc, node),
            Tag::Data => self.data(documents, doc, node),
            Tag::If => self.branch(doc, node),
            Tag::Foreach => self.foreach(doc, node),
            Tag::Log => self.log_element(doc, node),
            Tag::Prompt => self.queue_prompt(doc, node),
            Tag::Text | Tag::Audio | Tag::Value | Tag::Enumerate => {
                let next = self.queue_bare(doc, node)?;
                self.skip_to(next);
                Ok(())
            }
            Tag::Reprompt => {
                if let Some(Exec { role: Role::Catch { reprompt, .. }, .. }) = &mut self.level().exec {
                    *reprompt = true;
                }
                Ok(())
            }
            Tag::Throw => Err(self.thrown(doc, node, "event", "eventexpr")?),
            Tag::Goto => self.goto(doc, node),
            Tag::Submit => self.submit(doc, node),
            Tag::Exit => self.exit(doc, node),
            Tag::Return => self.return_(doc, node),
            Tag::Disconnect => self.disconnect(doc, node),
            _ => Ok(()),
        }
    }

    /// The event that `<throw>` and its like describe.
    pub(crate) fn thrown(
        &mut self,
        doc: &Document,
        node: NodeId,
        plain: &str,
        expr: &str,
    ) -> Result<Event, Event> {
        let name = match self.url_of(doc, node, plain, expr)? {
            Some(name) => name,
            None => return Err(Event::badfetch("an event is thrown without a name")),
        };
        let message = self.url_of(doc, node, "message", "messageexpr")?;
        Ok(Event { name, message })
    }

    /// The scope in which `<var>` and `<script>` declare.
    fn current_scope(&self) -> crate::script::ScopeId {
        self.chain()[4]
    }

    fn var(&mut self, doc: &Document, node: NodeId) -> Result<(), Event> {
        let Some(name) = doc.attribute(node, "name") else { return Ok(()) };
        if !crate::script::is_identifier(name) {
            // §5.1.1: names are ECMAScript identifiers; a scope's name cannot be given in a declaration.
            return Err(Event::semantic(format!("'{name}' cannot be declared")));
        }
        let scope = self.current_scope();
        let in_dialog = matches!(self.level().exec.as_ref().map(|e| &e.role), Some(Role::DialogInit));
        if in_dialog && let Some(i) = self.level().params.iter().position(|(n, _)| n == name) {
            // §2.3.4: a parameter wins over the variable's own expression.
            let (_, value) = self.level().params.remove(i);
            self.scopes.define(scope, name, value);
            return Ok(());
        }
        match doc.expression(node, "expr") {
            Some(e) => {
                let chain = self.chain();
                self.scopes.eval_into(e, &chain, scope, name).map_err(Event::semantic)
            }
            None => {
                // §5.3.1: declared again without expression it keeps its value.
                if !self.scopes.has(scope, name) {
                    self.scopes.define(scope, name, Value::Undefined);
                }
                Ok(())
            }
        }
    }

    fn assign(&mut self, doc: &Document, node: NodeId) -> Result<(), Event> {
        let (Some(name), Some(expr)) = (doc.attribute(node, "name"), doc.expression(node, "expr")) else {
            return Ok(());
        };
        let chain = self.chain();
        self.scopes.assign(name, expr, &chain).map_err(|e: ScopeError| Event::semantic(e))
    }

    fn clear(&mut self, doc: &Document, node: NodeId) -> Result<(), Event> {
        let names: Option<Vec<String>> =
            doc.attribute(node, "namelist").map(|l| l.split_whitespace().map(str::to_owned).collect());
        let chain = self.chain();
        let Some(names) = names else {
            let Some(dialog) = &mut self.level().dialog else { return Ok(()) };
            let scope = dialog.scope;
            let items: Vec<String> = dialog
                .items
                .iter_mut()
                .map(|i| {
                    i.prompt_count = 0;
                    i.counters.clear();
                    i.name.clone()
                })
                .collect();
            for name in items {
                self.scopes.define(scope, &name, Value::Undefined);
            }
            return Ok(());
        };
        for name in names {
            self.scopes.variable(&name, &chain).map_err(Event::semantic)?;
            let undefined = Expr::new("undefined");
            self.scopes.assign(&name, &undefined, &chain).map_err(Event::semantic)?;
            let plain = name.strip_prefix("dialog.").unwrap_or(&name);
            if let Some(dialog) = &mut self.level().dialog
                && let Some(item) = dialog.items.iter_mut().find(|i| i.name == plain)
            {
                item.prompt_count = 0;
                item.counters.clear();
            }
        }
        Ok(())
    }

    fn script(&mut self, doc: &Arc<Document>, node: NodeId) -> Result<(), Event> {
        let chain = self.chain();
        let scope = self.current_scope();
        if let Some(Arrived::Program(p)) = self.fetched.take() {
            return self.scopes.run(&p, &chain, scope).map_err(Event::semantic);
        }
        let inline = doc.first_child(node).is_some();
        let reference = self.url_of(doc, node, "src", "srcexpr")?;
        match (reference, inline) {
            (None, true) => {
                let program = doc.program(node).ok_or_else(|| Event::badfetch("no program"))?;
                self.scopes.run(program, &chain, scope).map_err(Event::semantic)
            }
            (Some(reference), false) => {
                let url = doc.resolve(&reference).ok_or_else(|| Event::badfetch(reference))?;
                let request = self.request(doc, node, &url, Resource::Script)?;
                self.again(node);
                let charset = doc.attribute(node, "charset").map(Box::from);
                self.fetch(request, Purpose::Script(charset));
                Ok(())
            }
            (None, false) if doc.attribute(node, "src").is_none() && doc.children(node).next().is_none() => {
                // An empty element has an empty program; the standard wants a source, old pages do not care.
                Err(Event::badfetch("<script> takes exactly one of src, srcexpr and content"))
            }
            _ => Err(Event::badfetch("<script> takes exactly one of src, srcexpr and content")),
        }
    }

    /// Comes back to an element when its fetch is done.
    pub(crate) fn again(&mut self, node: NodeId) {
        self.skip_to(Some(node));
    }

    /// Goes on with this element of the running sequence.
    fn skip_to(&mut self, node: Option<NodeId>) {
        if let Some(exec) = &mut self.level().exec
            && let Some(Frame::Sequence { next }) = exec.frames.last_mut()
        {
            *next = node;
        }
    }

    fn branch(&mut self, doc: &Document, node: NodeId) -> Result<(), Event> {
        let mut open = self.condition(doc, node)?;
        let mut run = Vec::new();
        for child in doc.children(node) {
            match doc.tag(child) {
                Tag::Elseif | Tag::Else if open => break,
                Tag::Elseif => open = self.condition(doc, child)?,
                Tag::Else => open = true,
                _ if open && run.is_empty() => run.push(child),
                _ => {}
            }
        }
        if let Some(&first) = run.first() {
            let exec = self.level().exec.as_mut().expect("content runs");
            exec.frames.push(Frame::Sequence { next: Some(first) });
        }
        Ok(())
    }

    /// `cond` of an element; absent is true.
    pub(crate) fn condition(&mut self, doc: &Document, node: NodeId) -> Result<bool, Event> {
        match doc.expression(node, "cond") {
            Some(e) => self.eval_bool(e),
            None => Ok(true),
        }
    }

    fn foreach(&mut self, doc: &Document, node: NodeId) -> Result<(), Event> {
        let Some(array) = doc.expression(node, "array") else { return Ok(()) };
        let chain = self.chain();
        let scope = chain[4];
        let depth = self.level().exec.as_ref().map_or(0, |e| e.frames.len());
        let hidden = format!("$foreach{depth}");
        self.scopes.eval_into(array, &chain, scope, &hidden).map_err(Event::semantic)?;
        let length = self.array_length(&hidden)?;
        let item = doc.attribute(node, "item").map(str::to_owned);
        let exec = self.level().exec.as_mut().expect("content runs");
        exec.frames.push(Frame::Loop { node, array: hidden, item, index: 0, length });
        Ok(())
    }

    /// The length of the array under a variable; anything else is `error.semantic` (VoiceXML 2.1 §6).
    pub(crate) fn array_length(&mut self, name: &str) -> Result<usize, Event> {
        let chain = self.chain();
        let length = Expr::new(&format!("{name} instanceof Array || {name}.item ? {name}.length : -1"));
        let v = match self.scopes.variable(name, &chain) {
            Ok(Value::Array(items)) => return self.bounded(items.len()),
            // `application.lastresult$` (VoiceXML 2.0 §5.1.5) is an array with properties of its own.
            Ok(Value::Object(props)) if ["0", "length"].iter().all(|n| props.iter().any(|(k, _)| k == n)) => {
                let places = (0..).take_while(|i: &usize| props.iter().any(|(k, _)| *k == i.to_string()));
                return self.bounded(places.count());
            }
            Ok(_) => self.scopes.eval(&length, &chain).map_err(Event::semantic)?,
            Err(e) => return Err(Event::semantic(e)),
        };
        match v {
            Value::Number(n) if n >= 0.0 => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a length, saturating"
                )]
                let n = n as usize;
                self.bounded(n)
            }
            _ => Err(Event::semantic("foreach needs an array")),
        }
    }

    fn bounded(&self, length: usize) -> Result<usize, Event> {
        if length > self.config.limits.foreach_max {
            return Err(Event::semantic("the array is longer than foreach_max"));
        }
        Ok(length)
    }

    fn next_turn(&mut self, doc: &Document) -> Result<(), Event> {
        let exec = self.level().exec.as_mut().expect("content runs");
        let Some(Frame::Loop { node, array, item, index, length }) = exec.frames.last_mut() else {
            return Ok(());
        };
        if index >= length {
            exec.frames.pop();
            return Ok(());
        }
        let (node, turn, item, array) = (*node, *index, item.clone(), array.clone());
        *index += 1;
        exec.frames.push(Frame::Sequence { next: doc.first_child(node) });
        if let Some(item) = item {
            let chain = self.chain();
            let element = Expr::new(&format!("{array}[{turn}]"));
            self.scopes.eval_into(&element, &chain, chain[4], &item).map_err(Event::semantic)?;
        }
        Ok(())
    }

    fn log_element(&mut self, doc: &Document, node: NodeId) -> Result<(), Event> {
        let label = doc.attribute(node, "label").map(str::to_owned);
        let mut text = String::new();
        if let Some(e) = doc.expression(node, "expr") {
            text.push_str(&self.eval_text(e)?);
        }
        self.log_text(doc, node, &mut text)?;
        let folded: Vec<&str> = text.split_whitespace().collect();
        self.log(label, folded.join(" "));
        Ok(())
    }

    fn log_text(&mut self, doc: &Document, node: NodeId, out: &mut String) -> Result<(), Event> {
        for child in doc.children(node) {
            match doc.tag(child) {
                Tag::Text => out.push_str(doc.text(child)),
                Tag::Value => {
                    if let Some(e) = doc.expression(child, "expr") {
                        out.push_str(&self.eval_text(e)?);
                    }
                }
                Tag::Foreach => {
                    let turns = self.foreach_turns(doc, child)?;
                    for turn in 0..turns.1 {
                        if let Some(item) = doc.attribute(child, "item") {
                            self.set_item(&turns.0, turn, item)?;
                        }
                        self.log_text(doc, child, out)?;
                    }
                }
                _ => {}
            }
            if out.len() > self.config.limits.text_max {
                return Err(Event::semantic("the text is longer than text_max"));
            }
        }
        Ok(())
    }
}
