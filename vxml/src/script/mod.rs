//! Variables and expressions: the scope chain of VoiceXML 2.0 §5.1, with an engine only when one is needed.
//!
//! Until an expression is met that is more than literals, names and comparisons, variables live in Rust and a session
//! has no engine. The first such expression makes one and moves everything there.

pub(crate) mod dom;
mod light;
mod scan;
mod scopes;

pub use scopes::{Chain, ScopeError, ScopeId, Scopes};

use engine::{Code, ScriptError};
use std::sync::OnceLock;

/// Whether a text is a plain variable name, without members.
#[must_use]
pub fn is_identifier(name: &str) -> bool {
    light::variable(name).is_some_and(|path| path.len() == 1)
}

/// An expression of a document: its source, its simple form if it has one, and its bytecode once somebody needed it.
#[derive(Debug)]
pub struct Expr {
    pub(crate) source: Box<str>,
    pub(crate) light: Option<light::Ast>,
    pub(crate) code: OnceLock<Result<Code, ScriptError>>,
}

impl Expr {
    /// From source text; nothing is compiled yet.
    #[must_use]
    pub fn new(source: &str) -> Self {
        Self { source: source.into(), light: light::parse(source), code: OnceLock::new() }
    }

    /// The text.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }
}

/// A `<script>`'s program with the names that it declares at its top.
#[derive(Debug)]
pub struct Program {
    pub(crate) source: Box<str>,
    pub(crate) declared: scan::Declared,
    pub(crate) code: OnceLock<Result<Code, ScriptError>>,
}

impl Program {
    /// From source text; nothing is compiled yet.
    #[must_use]
    pub fn new(source: &str) -> Self {
        Self { source: source.into(), declared: scan::declared(source), code: OnceLock::new() }
    }

    /// The text.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }
}
