//! What the targets share: the invariants of intake, and a session that runs a document to its end in virtual time, with a caller who soon hangs up.

#[path = "../orders.rs"]
pub mod orders;

use vxml::runner::{Run, RunConfig, Step, fetched};
use vxml::{Documents, SessionConfig};

/// Runs a document; whatever it is, the session ends.
pub fn run(document: &[u8]) {
    let mut session = SessionConfig::new("http://app/start");
    session.limits.script_steps_max = 50_000;
    // As in a node: a step may be a comparison of long strings, and only a clock knows how long that takes.
    let started = std::time::Instant::now();
    session.clock = Some(std::sync::Arc::new(move || {
        units::Mono(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }));
    session.limits.idle_turns_max = 50;
    let mut config = RunConfig::new(session);
    config.minutes_max = 20;
    let mut cache = Documents::new(8);
    let mut turns = 0;
    let fetch = |_: &vxml::session::FetchRequest| Ok(fetched("http://app/start", "", document));
    let run = Run::new(config, &mut cache, fetch, |_| {
        turns += 1;
        Step::parse(if turns > 3 { "hangup" } else { "press 1" })
    });
    let (_, ended) = run.finish();
    assert!(ended.exit.is_some(), "every session ends");
}

/// Text as it may stand in an attribute.
#[must_use]
pub fn attribute(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
