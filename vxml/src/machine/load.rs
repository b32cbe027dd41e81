//! From one document to another: which scopes live on, and in what order things are initialised (§1.5.2, §5.1.2).

use super::Session;
use super::state::{Dialog, Exec, Frame, Item, Level, Purpose, Role, Target};
use crate::catch::{Counters, Event};
use crate::document::{Document, NodeId, Tag};
use crate::script::ScopeId;
use crate::session::{Resource, Trace};
use engine::Value;
use std::sync::Arc;

impl Session {
    /// A document has come. Its root may have to be fetched before anything of the old context is given up.
    pub(crate) fn arrive(&mut self, target: Target, doc: Arc<Document>) -> Result<(), Event> {
        if doc.dialog(target.fragment.as_deref()).is_none() && target.fragment.is_some() {
            return Err(Event::badfetch(format!(
                "there is no dialog '{}'",
                target.fragment.unwrap_or_default()
            )));
        }
        let Some(root_url) = doc.application() else {
            return self.commit(target, doc, None);
        };
        if root_url == *doc.url() {
            return Err(Event::semantic("the document is its own application root"));
        }
        if !target.submit
            && target.subdialog.is_none()
            && let Some(root) = self.current_root(&root_url)
        {
            return self.commit(target, doc, Some(root));
        }
        let request = self.request(&doc, doc.root(), &root_url, Resource::Document)?;
        self.fetch(request, Purpose::Root(Box::new(target), doc));
        Ok(())
    }

    /// The root document in force, if it is this one: a leaf's root, or a root that is itself the current document.
    fn current_root(&self, url: &url::Url) -> Option<Arc<Document>> {
        let level = self.levels.last()?;
        if let Some(root) = &level.root {
            return (root.url() == url).then(|| root.clone());
        }
        (level.doc.url() == url && level.doc.application().is_none()).then(|| level.doc.clone())
    }

    /// Gives up the old context, makes the new one and begins its initialisation.
    pub(crate) fn commit(
        &mut self,
        target: Target,
        doc: Arc<Document>,
        root: Option<Arc<Document>>,
    ) -> Result<(), Event> {
        let entry = doc.dialog(target.fragment.as_deref());
        self.trace(Trace::Document { url: doc.url().to_string() });
        self.idle_turns += 1;
        if let Some((item, params)) = target.subdialog {
            return self.commit_subdialog(doc, root, entry, params, item);
        }
        let kept = self.kept_application(target.submit, &doc, root.as_ref());
        let fresh_root = kept.is_none();
        if let Some(mut old) = self.levels.pop() {
            self.leave_dialog(&mut old);
            // A root's document scope is its application scope.
            if old.document != old.application {
                self.scopes.close(old.document);
            }
            if fresh_root {
                self.scopes.close(old.application);
            }
        }
        let level = self.new_level(doc, root, kept, entry);
        self.levels.push(level);
        if let Some(answer) = target.pending {
            self.pending_answer = Some(answer);
        }
        self.begin_init(fresh_root);
        Ok(())
    }

    fn commit_subdialog(
        &mut self,
        doc: Arc<Document>,
        root: Option<Arc<Document>>,
        entry: Option<NodeId>,
        params: Vec<(String, Value)>,
        _item: usize,
    ) -> Result<(), Event> {
        let mut level = self.new_level(doc, root, None, entry);
        level.params = params;
        self.levels.push(level);
        self.begin_init(true);
        Ok(())
    }

    /// The application scope that lives on, if the root stays the same.
    fn kept_application(
        &self,
        submit: bool,
        doc: &Arc<Document>,
        root: Option<&Arc<Document>>,
    ) -> Option<ScopeId> {
        let level = self.levels.last()?;
        if submit {
            return None;
        }
        let old = level.root.as_ref().unwrap_or(&level.doc);
        if level.root.is_none() && level.doc.application().is_some() {
            return None;
        }
        let new = root.unwrap_or(doc);
        // From the root document to itself or within one application; a document without root that is reloaded is new.
        let same = old.url() == new.url();
        let leaf_involved = root.is_some() || level.root.is_some();
        (same && leaf_involved).then_some(level.application)
    }

    fn new_level(
        &mut self,
        doc: Arc<Document>,
        root: Option<Arc<Document>>,
        kept: Option<ScopeId>,
        entry: Option<NodeId>,
    ) -> Level {
        let application = kept.unwrap_or_else(|| self.scopes.open(&["application"]));
        let document = if root.is_some() {
            self.scopes.open(&["document"])
        } else {
            // §5.1.2: in a root document, document and application scope are one.
            self.scopes.label(application, "document");
            application
        };
        if root.is_some() {
            self.scopes.unlabel(application, "document");
        }
        Level {
            root,
            doc,
            application,
            document,
            dialog: None,
            exec: None,
            entry,
            params: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// Initialises the root document if its scope is new, then the document.
    fn begin_init(&mut self, fresh_root: bool) {
        let level = self.level();
        let is_root = level.root.is_none();
        let root = level.root.clone();
        if !is_root && fresh_root {
            let root = root.expect("a leaf has a root");
            self.start_init(root, Role::RootInit);
        } else if !is_root || fresh_root {
            let doc = self.level().doc.clone();
            self.start_init(doc, Role::DocumentInit);
        } else {
            // Back in the root document, whose variables have lived on.
            self.after_document_init();
        }
    }

    fn start_init(&mut self, doc: Arc<Document>, role: Role) {
        let first = doc.first_child(doc.root());
        self.level().exec =
            Some(Exec { role, doc, frames: vec![Frame::Sequence { next: first }], scope: None });
    }

    /// The root is initialised: now the document itself.
    pub(crate) fn after_root_init(&mut self) {
        let doc = self.level().doc.clone();
        self.start_init(doc, Role::DocumentInit);
    }

    /// The document is initialised: enter the dialog that was asked for.
    pub(crate) fn after_document_init(&mut self) {
        match self.level().entry.take() {
            Some(node) => {
                let pending = self.pending_answer.take();
                self.enter(node, pending);
            }
            None => self.end(crate::session::ExitReason::EndOfDocument, Vec::new()),
        }
    }

    /// Leaves the dialog of a level and forgets its scope.
    pub(crate) fn leave_dialog(&mut self, level: &mut Level) {
        if let Some(exec) = level.exec.take()
            && let Some(scope) = exec.scope
        {
            self.scopes.close(scope);
        }
        if let Some(dialog) = level.dialog.take() {
            self.scopes.close(dialog.scope);
        }
    }

    /// Enters a dialog of the current document: new scope, new counters, initialisation in document order (§2.1.6.1).
    pub(crate) fn enter(&mut self, node: NodeId, pending: Option<Box<super::state::Answer>>) {
        self.idle_turns += 1;
        let mut level = self.levels.pop().expect("a document is active");
        self.leave_dialog(&mut level);
        let doc = level.doc.clone();
        let scope = self.scopes.open(&["dialog"]);
        let items = if doc.tag(node) == Tag::Menu {
            vec![Item { node, name: "\u{1}menu".into(), prompt_count: 0, counters: Counters::default() }]
        } else {
            let nodes = doc.children(node).filter(|&c| doc.tag(c).is_form_item());
            let item = |(i, n): (usize, NodeId)| Item {
                node: n,
                name: doc.attribute(n, "name").map_or_else(|| format!("\u{1}item{i}"), str::to_owned),
                prompt_count: 0,
                counters: Counters::default(),
            };
            nodes.enumerate().map(item).collect()
        };
        level.dialog = Some(Dialog {
            node,
            scope,
            items,
            current: None,
            next: None,
            quiet: false,
            counters: Counters::default(),
            filled: Vec::new(),
            pending,
        });
        let first = doc.first_child(node);
        level.exec = Some(Exec {
            role: Role::DialogInit,
            doc: doc.clone(),
            frames: vec![Frame::Sequence { next: first }],
            scope: None,
        });
        self.levels.push(level);
        self.prefetch(&doc, node);
    }

    /// A form item's variable during initialisation (§2.1.6.1). A menu's choices have none.
    pub(crate) fn init_item(&mut self, doc: &Document, node: NodeId) -> Result<(), Event> {
        let dialog = self.level().dialog.as_ref().expect("items belong to a dialog");
        let scope = dialog.scope;
        let Some(name) = dialog.items.iter().find(|i| i.node == node).map(|i| i.name.clone()) else {
            return Ok(());
        };
        match doc.expression(node, "expr") {
            Some(e) => {
                let chain = self.chain();
                self.scopes.eval_into(e, &chain, scope, &name).map_err(Event::semantic)
            }
            None => {
                self.scopes.define(scope, &name, Value::Undefined);
                Ok(())
            }
        }
    }

    /// Session, application, document, dialog and anonymous scope in force.
    pub(crate) fn chain(&self) -> crate::script::Chain {
        let s = self.session_scope;
        let Some(level) = self.levels.last() else { return [s; 5] };
        // While a root document is initialised its own scope is the innermost.
        if level.exec.as_ref().is_some_and(|e| e.role == Role::RootInit) {
            let a = level.application;
            return [s, a, a, a, a];
        }
        let dialog = level.dialog.as_ref().map_or(level.document, |d| d.scope);
        let anonymous = level.exec.as_ref().and_then(|e| e.scope).unwrap_or(dialog);
        [s, level.application, level.document, dialog, anonymous]
    }
}
