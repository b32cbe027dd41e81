//! The bounds of everything that comes from outside this room, by name.

use std::time::Duration;

/// What one session, and one document, may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of a document.
    pub document_octets_max: usize,
    /// Nesting of elements.
    pub depth_max: usize,
    /// Elements and text pieces of a document.
    pub nodes_max: usize,
    /// Attributes of one element.
    pub attributes_max: usize,
    /// Octets of one attribute's value.
    pub attribute_octets_max: usize,
    /// Octets of a fetched script.
    pub script_octets_max: usize,
    /// Octets of XML for `<data>`.
    pub data_octets_max: usize,
    /// Octets of a grammar.
    pub grammar_octets_max: usize,
    /// Executed elements and visits without waiting for input or a fetch in between.
    pub steps_max: u32,
    /// Transitions, visits and catches without any input from the caller: a document that chases itself.
    pub idle_turns_max: u32,
    /// No-inputs in a row that the document has no handler for, without any input in between: whoever is silent and asked
    /// again and again by the platform alone is let go.
    pub silences_max: u32,
    /// Nested subdialogs.
    pub subdialogs_max: usize,
    /// Events thrown while handling events, in a row.
    pub throws_max: u32,
    /// Grammars active at once.
    pub grammars_max: usize,
    /// Prompts queued and not yet played.
    pub prompts_max: usize,
    /// Segments of one prompt.
    pub segments_max: usize,
    /// Characters of one text.
    pub text_max: usize,
    /// Digits kept that nobody has asked for yet.
    pub typeahead_max: usize,
    /// Fetches under way that are mere hints.
    pub prefetches_max: usize,
    /// Turns of one `<foreach>`.
    pub foreach_max: usize,
    /// Documents, grammars and scripts kept parsed.
    pub cache_entries_max: usize,
    /// Script heap, octets.
    pub script_memory_max: usize,
    /// Script steps of one evaluation.
    pub script_steps_max: u64,
    /// Script time of one evaluation by the host's clock.
    pub script_time_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            document_octets_max: 2 << 20,
            depth_max: 64,
            nodes_max: 200_000,
            attributes_max: 64,
            attribute_octets_max: 64 << 10,
            script_octets_max: 1 << 20,
            data_octets_max: 1 << 20,
            grammar_octets_max: 2 << 20,
            steps_max: 100_000,
            idle_turns_max: 5_000,
            silences_max: 10,
            subdialogs_max: 16,
            throws_max: 64,
            grammars_max: 256,
            prompts_max: 256,
            segments_max: 4_096,
            text_max: 64 << 10,
            typeahead_max: 64,
            prefetches_max: 16,
            foreach_max: 10_000,
            cache_entries_max: 512,
            script_memory_max: 4 << 20,
            script_steps_max: 5_000_000,
            script_time_max: Duration::from_millis(100),
        }
    }
}
