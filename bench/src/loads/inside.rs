//! Loads inside one process, without a network of calls: the kernels, the SIP wire, VoiceXML sessions, bearers. They are
//! the rooms' own measurements, so that there is one of each.

#[path = "../../../dataplane/examples/bearers.rs"]
mod bearers;
#[path = "../../../hw/examples/dsp_bench.rs"]
mod dsp_bench;
#[path = "../../../vxml/examples/grammar_speed.rs"]
mod grammar_speed;
#[path = "../../../vxml/examples/measure.rs"]
mod measure;
#[path = "../../../control/signalling/examples/wire_bench.rs"]
mod wire_bench;

/// `carillon-bench dsp`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct DspOptions {
    /// Channels whose states take turns in the caches.
    #[arg(long, default_value_t = 2000)]
    pub channels: usize,
}

/// `carillon-bench media`: its words are those of the example `bearers` of `dataplane`.
#[derive(Clone, Debug, clap::Args)]
pub struct MediaOptions {
    /// --backend B, --bearers N, --seconds S, --ip A, --peer A, --netns NAME, --interface IF, --core N, --far-core N,
    /// --capture.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

/// Nanoseconds per frame and channel of the signal-processing kernels.
pub fn dsp(options: DspOptions) -> bool {
    dsp_bench::run(options.channels);
    true
}

/// Bearers on one worker core with a generator beside, in a process of its own.
pub fn media(options: MediaOptions) -> bool {
    bearers::run(&["media"], options.words);
    true
}

/// Reading an INVITE, setting up and ending a call, memory of a dialog.
pub fn wire() -> bool {
    wire_bench::main();
    true
}

/// Starting sessions, their memory, visits a second; compiling grammars and matching digits.
pub fn vxml() -> bool {
    measure::main();
    grammar_speed::main();
    true
}
