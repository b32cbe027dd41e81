//! Grammars: SRGS 1.0 in both forms, SISR 1.0, the builtin types, and the weighted network they all become.

/// A grammar compiled to a weighted network of tokens: what the matcher runs and what a recogniser is given.
#[derive(Debug, Default)]
pub struct Network {}
