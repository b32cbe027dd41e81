//! Measures what the room promises: time to start a session on a cached document with and without script, memory of
//! an idle session, and form-item visits a second. Run it with `--profile ci` or in release.

#[expect(clippy::disallowed_types, reason = "a measurement needs a clock")]
use std::time::Instant;
use units::Now;
use vxml::runner::fetched;
use vxml::session::{Fetched, Input, Output};
use vxml::{Documents, Session, SessionConfig};

const PLAIN: &str = include_str!("documents/plain.vxml");

const SCRIPT: &str = include_str!("documents/script.vxml");

const LOOP: &str = r##"<vxml version="2.1" xmlns="http://www.w3.org/2001/vxml"><var name="n" expr="0"/>
<form id="f"><block><assign name="n" expr="n + 1"/><if cond="n == 2000"><exit/></if></block>
<block name="b" cond="n &lt; 5000"><goto next="#f"/></block></form></vxml>"##;

fn start(text: &str, documents: &mut Documents) -> Session {
    let url = format!("http://h/{}", text.len());
    let mut session = Session::new(SessionConfig::new(url.as_str()), Now::default());
    let answer: Fetched = Fetched { validator: Some("1".into()), ..fetched(&url, "", text.as_bytes()) };
    while let Some(output) = session.poll() {
        if let Output::Fetch { id, .. } = output {
            let input = Input::Fetched { id, result: Ok(answer.clone()) };
            session.handle(documents, Now::default(), input).expect("the session runs");
        }
    }
    session
}

/// Resident octets of this process.
#[expect(clippy::disallowed_methods, reason = "a measurement reads its process's size")]
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize = statm.split_whitespace().nth(1).and_then(|p| p.parse().ok()).unwrap_or(0);
    pages * 4096
}

#[expect(clippy::disallowed_types, reason = "a measurement needs a clock")]
pub(crate) fn main() {
    let mut documents = Documents::new(64);
    for (name, text, n) in [("without script", PLAIN, 2000_u32), ("with script", SCRIPT, 1000)] {
        drop(start(text, &mut documents));
        let before = resident();
        let begin = Instant::now();
        let kept: Vec<Session> = (0..n).map(|_| start(text, &mut documents)).collect();
        let each = begin.elapsed() / n;
        let memory = resident().saturating_sub(before) / kept.len();
        let heap = kept[0].engine_octets();
        println!("start {name}: {each:?}; idle session {memory} octets resident, script heap {heap:?}");
        let begin = Instant::now();
        drop(kept);
        println!("  end {:?} each", begin.elapsed() / n);
    }
    let begin = Instant::now();
    drop(start(LOOP, &mut documents));
    let ran = begin.elapsed();
    // Each round visits two blocks.
    println!("visits: 4000 in {ran:?}: {:.0} a second", 4000.0 / ran.as_secs_f64());
}
