//! Runs a document in virtual time against a scripted caller, for authors who test without a telephone and for the
//! conformance suites.
//!
//! The runner plays the host: it fetches through a function it is given, lets prompts last as long as their text,
//! and answers each listening with the next step of a script. It prints nothing; it gives [`Line`]s.

mod script;
mod world;

pub use script::{BadStep, RecordEnd, Step, parse_script};
pub use world::{Ended, Line, Run, RunConfig, fetched};
