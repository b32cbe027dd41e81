//! The ECMAScript engine behind a safe wrapper: one runtime a session, with limits on memory, stack and time.
//!
//! Scripts see five scope objects (VoiceXML 2.0 §5.1.2) through nested `with`, the recipe that lets an assignment
//! reach the owning scope. Compiled code is bytecode that any [`Engine`] of this process may run, so a document
//! compiles each expression once. `Date`, the zone and `Math.random` come from the host. There are no promises, no
//! proxies, no typed arrays: what a dialogue does not need, a hostile document cannot use.
//!
//! ```
//! use engine::{Config, Engine, Value};
//! let mut e = Engine::new(&Config::default()).expect("memory is there");
//! let s = e.scope();
//! e.set(s, "x", &Value::Number(2.0));
//! let code = e.compile("x * 21").expect("it is an expression");
//! assert_eq!(e.eval(&code, &[s, s, s, s, s]), Ok(Value::Number(42.0)));
//! ```

mod alloc;
mod arena;
mod code;
mod convert;
mod hooks;
mod machine;
mod natives;
mod raw;
mod value;

#[cfg(test)]
mod tests;

pub use code::Code;
pub use machine::{Config, Engine, Slot};
pub use value::{Value, number_text, text_number};

use std::fmt;

/// Why a script did not give a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScriptError {
    /// It is no program.
    Syntax(Thrown),
    /// It threw (also a `ReferenceError` for an undeclared variable).
    Thrown(Thrown),
    /// It wrote to a variable that nobody declared.
    Undeclared(Thrown),
    /// It ran longer than its budget.
    Deadline,
    /// It wanted more memory than its budget.
    Memory,
}

/// The text of an exception: the script's own words, bounded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thrown(pub Box<str>);

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScriptError::Syntax(t) | ScriptError::Thrown(t) => f.write_str(&t.0),
            ScriptError::Undeclared(t) => write!(f, "{} is not declared", t.0),
            ScriptError::Deadline => f.write_str("the script ran too long"),
            ScriptError::Memory => f.write_str("the script used too much memory"),
        }
    }
}

impl std::error::Error for ScriptError {}
