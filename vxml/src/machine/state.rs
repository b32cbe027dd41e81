//! The data of a running session: execution contexts, dialogs, form items, and what it waits for.

use crate::catch::{Counters, Event};
use crate::document::{Document, NodeId};
use crate::grammar::{Matcher, Network};
use crate::script::ScopeId;
use crate::session::{Bargein, FetchId, Hypothesis, ListenId, PlayId, Recording, TransferKind};
use engine::Value;
use std::sync::Arc;
use units::Mono;
use url::Url;

/// One execution context: the outermost, or a subdialog's (VoiceXML 2.0 §2.3.4).
pub(crate) struct Level {
    /// The application root document, if the current one is a leaf or is itself the root of one.
    pub(crate) root: Option<Arc<Document>>,
    pub(crate) doc: Arc<Document>,
    pub(crate) application: ScopeId,
    pub(crate) document: ScopeId,
    pub(crate) dialog: Option<Dialog>,
    /// Running executable content.
    pub(crate) exec: Option<Exec>,
    /// Where to go once the document is initialised.
    pub(crate) entry: Option<NodeId>,
    /// `<param>`s, until the dialog has taken them.
    pub(crate) params: Vec<(String, Value)>,
    /// Events that come while no dialog is active.
    pub(crate) counters: Counters,
}

/// The dialog being visited.
pub(crate) struct Dialog {
    pub(crate) node: NodeId,
    pub(crate) scope: ScopeId,
    pub(crate) items: Vec<Item>,
    /// The item being visited.
    pub(crate) current: Option<usize>,
    /// `<goto nextitem>`: visit this one next, whatever its guard says.
    pub(crate) next: Option<usize>,
    /// The last handler ended without `<reprompt>`: the next visit plays no prompts.
    pub(crate) quiet: bool,
    pub(crate) counters: Counters,
    /// `<filled>` elements still to run.
    pub(crate) filled: Vec<NodeId>,
    /// Input that matched a grammar of this dialog while another one was active; used at the first collection.
    pub(crate) pending: Option<Box<Answer>>,
}

/// A form item's state. A menu is a form of one item.
pub(crate) struct Item {
    pub(crate) node: NodeId,
    /// Its variable; a made-up one that no script can name if the author gave none.
    pub(crate) name: String,
    pub(crate) prompt_count: u32,
    pub(crate) counters: Counters,
}

/// Running executable content.
pub(crate) struct Exec {
    pub(crate) role: Role,
    pub(crate) doc: Arc<Document>,
    pub(crate) frames: Vec<Frame>,
    /// Its own scope, if it has one.
    pub(crate) scope: Option<ScopeId>,
}

/// What the content belongs to, and so what follows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Role {
    RootInit,
    DocumentInit,
    DialogInit,
    Block,
    Filled,
    Catch { reprompt: bool, event: String },
}

/// One level of nesting in executable content.
pub(crate) enum Frame {
    /// Elements one after the other.
    Sequence { next: Option<NodeId> },
    /// `<foreach>`.
    Loop { node: NodeId, array: String, item: Option<String>, index: usize, length: usize },
}

/// What the session waits for.
pub(crate) enum Phase {
    /// Nothing: it runs.
    Running,
    /// One fetch that it cannot go on without.
    Fetching { id: FetchId, purpose: Purpose },
    /// The caller.
    Listening(Box<Listening>),
    /// A recording.
    Recording(Box<Capturing>),
    /// A transfer.
    Transferring(Box<Moving>),
    /// An object, for the item of that index.
    Object(ListenId, usize),
    /// The prompts that still play.
    Draining(After),
    /// It is over.
    Over,
}

/// What follows when the prompts have been heard.
pub(crate) enum After {
    Exit(crate::session::Exit),
    Transfer(usize),
}

/// Why a fetch was begun.
pub(crate) enum Purpose {
    /// A document to go to.
    Document(Box<Target>),
    /// The application root of a document that has come already.
    Root(Box<Target>, Arc<Document>),
    /// `<script src>`.
    Script(Option<Box<str>>),
    /// `<data src>`, with the name of its variable.
    Data(Option<String>),
    /// A grammar, wanted by the item being visited.
    Grammar(String),
}

/// Where a transition leads.
pub(crate) struct Target {
    pub(crate) url: Url,
    pub(crate) fragment: Option<String>,
    /// `<submit>` makes the root's variables anew, `<goto>` does not (§1.5.2).
    pub(crate) submit: bool,
    /// A new execution context, for the subdialog item of that index.
    pub(crate) subdialog: Option<(usize, Vec<(String, Value)>)>,
    /// Input to be processed by the target.
    pub(crate) pending: Option<Box<Answer>>,
}

/// Waiting for the caller at an input item, `<initial>` or menu.
pub(crate) struct Listening {
    pub(crate) id: ListenId,
    pub(crate) active: Vec<Active>,
    pub(crate) pressed: String,
    pub(crate) dtmf: bool,
    pub(crate) timeout_ms: u64,
    pub(crate) interdigit_ms: u64,
    pub(crate) term_ms: u64,
    pub(crate) termchar: Option<char>,
    pub(crate) hotword: bool,
    /// The engine has heard speech begin; no-input is off.
    pub(crate) speech: bool,
    pub(crate) timer: Option<(Mono, crate::session::Timer)>,
    pub(crate) confidence_min: f32,
    /// The answer is there; only the end of the cut prompt is awaited for its mark.
    pub(crate) outcome: Option<Outcome>,
}

/// What came of a listening.
pub(crate) enum Outcome {
    Answer(Box<Answer>),
    Event(Event),
}

/// A grammar in force.
pub(crate) struct Active {
    pub(crate) origin: Origin,
    pub(crate) matching: Matching,
    pub(crate) dtmf: bool,
}

/// How input is held against a grammar.
pub(crate) enum Matching {
    /// These keys; what comes of them is told by the origin.
    Keys(String),
    /// A network; the matcher is made when the first word comes.
    Network(Arc<Network>, Option<Box<Matcher>>),
}

/// Where a grammar stands, and so what its match means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The item being visited.
    Item,
    /// An `<option>` of it.
    Option(NodeId),
    /// The form (current or another of the document, or of the root).
    Form(NodeId, bool),
    /// A choice of a menu.
    Choice(NodeId, NodeId, bool),
    /// A link; `true` if it stands in the root document.
    Link(NodeId, bool),
    /// One of the platform's universals (§3.1.5): help, exit, cancel.
    Universal(&'static str),
}

/// Input that matched.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) origin: Origin,
    /// Best first; the first one is what matched `origin`.
    pub(crate) nbest: Vec<Heard>,
    pub(crate) dtmf: bool,
    pub(crate) mark: Option<(String, u64)>,
    pub(crate) recording: Option<Recording>,
}

/// One reading of the input.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) utterance: String,
    pub(crate) confidence: f32,
    pub(crate) interpretation: Value,
}

/// A recording in progress.
pub(crate) struct Capturing {
    pub(crate) id: ListenId,
    pub(crate) item: usize,
    pub(crate) active: Vec<Active>,
    /// Any key ends it, also one that no grammar has.
    pub(crate) dtmfterm: bool,
    pub(crate) pressed: String,
    pub(crate) interdigit_ms: u64,
    pub(crate) timer: Option<Mono>,
    /// The key that ended it without a grammar.
    pub(crate) termchar: Option<char>,
    /// What matched a grammar and ended it.
    pub(crate) answer: Option<Box<Answer>>,
    /// The caller has hung up: what was said until then is kept, and then the event is thrown.
    pub(crate) hung_up: bool,
}

/// A transfer in progress.
pub(crate) struct Moving {
    pub(crate) id: ListenId,
    pub(crate) item: usize,
    pub(crate) kind: TransferKind,
    pub(crate) active: Vec<Active>,
    pub(crate) pressed: String,
    /// What the caller entered to end it.
    pub(crate) answer: Option<Box<Answer>>,
}

/// A play the host has been told of.
pub(crate) struct Playing {
    pub(crate) id: PlayId,
    pub(crate) bargein: Bargein,
    pub(crate) marks: bool,
}

/// Words of a hypothesis.
pub(crate) fn words(h: &Hypothesis) -> Vec<String> {
    h.tokens.iter().flat_map(|t| t.split_whitespace()).map(str::to_owned).collect()
}
