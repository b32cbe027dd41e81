//! A seeded smoke fuzz: documents damaged at random are parsed, checked and run; nothing may panic, every run must end.
//! `CARILLON_FUZZ_RUNS` makes it longer.

use units::{Rng, Seed};
use vxml::runner::{Run, RunConfig, Step, fetched};
use vxml::session::{FetchError, FetchRequest};
use vxml::{Documents, Limits, SessionConfig};

const SEEDS: &[&str] = &[
    r##"<vxml version="2.1" xmlns="http://www.w3.org/2001/vxml" xml:lang="en-US"><var name="x" expr="1"/>
<link event="help" dtmf="0"/><catch event="noinput nomatch" count="2"><prompt>Sorry <value expr="x"/></prompt><reprompt/></catch>
<form id="a"><block><script>var l = [1, 2]; function f(n) { return n + x; }</script><if cond="f(1) == 2">Yes<else/>No</if>
<foreach item="i" array="l"><log expr="i"/></foreach></block>
<field name="d" type="digits?length=2"><prompt bargein="false">Say <break time="1s"/><emphasis>it</emphasis></prompt><filled><goto next="#m"/></filled></field>
<subdialog name="s" src="#b"><param name="p" expr="x"/></subdialog></form>
<form id="b"><var name="p"/><block><return namelist="p"/></block></form>
<menu id="m" dtmf="true"><prompt><enumerate/></prompt><choice next="#a">one</choice><choice event="exit">two</choice></menu></vxml>"##,
    r##"<vxml version="2.0" xmlns="http://www.w3.org/2001/vxml"><form><grammar version="1.0" root="r" tag-format="semantics/1.0">
<rule id="r"><one-of><item>a<tag>out.f='1'</tag></item><item repeat="0-2">b</item></one-of></rule></grammar><initial/><field name="f"/>
<record name="rec" maxtime="3s"/><transfer name="t" dest="tel:+1" bridge="true"/><data name="q" src="start"/>
<block><assign name="f" expr="f + '!'"/><submit next="start" namelist="f rec" method="post" enctype="multipart/form-data"/></block></form></vxml>"##,
];

fn damage(rng: &mut Rng, text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=rng.below(4) {
        let n = bytes.len() as u64;
        let at = usize::try_from(rng.below(n)).expect("in range");
        let to = usize::try_from(rng.below(n)).expect("in range");
        match rng.below(5) {
            0 => bytes[at] = u8::try_from(rng.below(128)).expect("in range"),
            1 => bytes.truncate(at.max(1)),
            2 => {
                let piece: Vec<u8> = bytes[at.min(to)..at.max(to)].iter().copied().take(400).collect();
                bytes.splice(at..at, piece);
            }
            3 => {
                bytes.drain(at.min(to)..at.max(to).min(at.min(to) + 40));
            }
            _ => bytes.insert(at, b"<>\"'&#{}()"[usize::try_from(rng.below(10)).expect("in range")]),
        }
        if bytes.is_empty() {
            bytes.push(b'<');
        }
    }
    bytes
}

fn step(rng: &mut Rng) -> Option<Step> {
    let line = match rng.below(8) {
        0 => "press 1",
        1 => "press 12#",
        2 => "say a",
        3 => "silence",
        4 => "nomatch",
        5 => "hangup",
        6 => "record 2s",
        _ => "transfer busy",
    };
    Step::parse(line)
}

#[test]
fn damaged_documents_end_without_panic() {
    #[expect(clippy::disallowed_methods, reason = "a longer fuzz is asked for by the environment")]
    let runs = std::env::var("CARILLON_FUZZ_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(400_u64);
    let mut ended = 0;
    for run in 0..runs {
        let mut rng = Seed(run).rng();
        let text = SEEDS[usize::try_from(rng.below(2)).expect("in range")];
        let body = damage(&mut rng, text);
        let url = url::Url::parse("http://app/start").expect("a URL");
        let _ = vxml::check::check(&url, &body, run % 2 == 0, &Limits::default());
        let mut session = SessionConfig::new("http://app/start");
        session.lenient = run % 2 == 0;
        session.limits.script_steps_max = 200_000;
        session.limits.idle_turns_max = 200;
        let mut config = RunConfig::new(session);
        config.minutes_max = 20;
        let fetch =
            |_: &FetchRequest| -> Result<_, FetchError> { Ok(fetched("http://app/start", "", body.clone())) };
        let mut cache = Documents::new(8);
        let mut turns = 0;
        let story = Run::new(config, &mut cache, fetch, |_| {
            turns += 1;
            if turns > 20 { Step::parse("hangup") } else { step(&mut rng) }
        });
        let (lines, _) = story.finish();
        assert!(!lines.is_empty(), "seed {run}");
        ended += 1;
    }
    assert_eq!(ended, runs);
}
