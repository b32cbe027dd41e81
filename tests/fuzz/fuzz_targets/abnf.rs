//! Grammars, above all in ABNF (SRGS 1.0 appendix D): parsed, compiled, held against a few words.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use vxml::grammar::{Grammar, Limits, Matcher, Network};

fuzz_target!(|octets: &[u8]| {
    let limits = Limits { states_max: 5_000, transitions_max: 10_000, work_per_word_max: 5_000, ..Limits::default() };
    let Ok(grammar) = Grammar::parse(octets, "", None, "http://g.test/g", &limits) else { return };
    let Ok(network) = Network::compile(&grammar, &|_| None, &limits) else { return };
    let Ok(mut matcher) = Matcher::new(Arc::new(network)) else { return };
    for word in ["1", "a", "b", "star"] {
        if matcher.push(word).is_err() {
            return;
        }
    }
    let _ = matcher.parse();
});
