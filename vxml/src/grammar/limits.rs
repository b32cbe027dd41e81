//! The named limits of grammars: what a document from outside may cost at most.

/// Bounds of parsing, compiling and matching. Every bound that is hit ends in an error that carries its [`Limit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of one grammar document.
    pub bytes_max: usize,
    /// Rules in one document, and rules a network is made of.
    pub rules_max: usize,
    /// Expansion nodes (tokens, tags, references, items) in one document.
    pub nodes_max: usize,
    /// Nesting of expansions or elements.
    pub depth_max: usize,
    /// Characters of one token or tag.
    pub text_max: usize,
    /// States of a network; repeats are unrolled into states.
    pub states_max: usize,
    /// Transitions of a network.
    pub transitions_max: usize,
    /// Documents one network may be built from.
    pub grammars_max: usize,
    /// Words of one utterance.
    pub words_max: usize,
    /// Steps of the matcher for one word.
    pub work_per_word_max: usize,
    /// Steps of the matcher for one utterance.
    pub work_max: usize,
    /// Chart items of one utterance: the memory of a match (40 octets each).
    pub items_max: usize,
    /// Events of one parse tree.
    pub parse_max: usize,
    /// States of an exported finite-state grammar; recursion is expanded until then.
    pub export_states_max: usize,
    /// Depth to which an export expands recursive rules.
    pub export_depth_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes_max: 4 << 20,
            rules_max: 20_000,
            nodes_max: 200_000,
            depth_max: 64,
            text_max: 16_384,
            states_max: 200_000,
            transitions_max: 400_000,
            grammars_max: 64,
            words_max: 512,
            work_per_word_max: 200_000,
            work_max: 1_000_000,
            items_max: 200_000,
            parse_max: 50_000,
            export_states_max: 100_000,
            export_depth_max: 8,
        }
    }
}

/// Which bound was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// [`Limits::bytes_max`].
    Bytes,
    /// [`Limits::rules_max`].
    Rules,
    /// [`Limits::nodes_max`].
    Nodes,
    /// [`Limits::depth_max`].
    Depth,
    /// [`Limits::text_max`].
    Text,
    /// [`Limits::states_max`].
    States,
    /// [`Limits::transitions_max`].
    Transitions,
    /// [`Limits::grammars_max`].
    Grammars,
    /// [`Limits::words_max`].
    Words,
    /// [`Limits::work_per_word_max`].
    WorkPerWord,
    /// [`Limits::work_max`].
    Work,
    /// [`Limits::items_max`].
    Items,
    /// [`Limits::parse_max`].
    Parse,
    /// [`Limits::export_states_max`].
    ExportStates,
}
