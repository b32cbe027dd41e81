//! Grammars: SRGS 1.0 in both forms, SISR 1.0, the builtin types, and the weighted network they all become.
//!
//! ```
//! use std::sync::Arc;
//! use vxml::grammar::{Grammar, Limits, Matcher, Mode, Network, Status};
//! let net = Network::from_builtin("builtin:dtmf/digits?length=2", Mode::Dtmf, "en", &Limits::default())?;
//! let mut matcher = Matcher::new(Arc::new(net))?;
//! assert_eq!(matcher.push("4")?, Status::Prefix);
//! assert_eq!(matcher.push("2")?, Status::Complete { may_continue: false });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod abnf;
mod builtin;
mod choice;
mod compile;
mod error;
mod export;
mod limits;
mod markup;
mod matcher;
mod model;
mod network;
mod parse;
pub mod sisr;
mod srgs;
mod text;
mod xml;

pub use builtin::{Answer, Builtin, Dollar, Spoken, Tongue};
pub use choice::Choice;
pub use error::{Fault, GrammarError, MatchError, Place};
pub use export::{Arrow, FiniteState};
pub use limits::{Limit, Limits};
pub(crate) use markup::{inner_text, place, within};
pub use matcher::{Matcher, Status, match_words};
pub use model::{Form, Grammar, Mode, TagFormat};
pub use network::{Label, NO_TOKEN, Network, Subnet, Transition};
pub use parse::{Parse, ParseEvent};
pub use xml::Inline;
