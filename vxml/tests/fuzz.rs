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
        let _ = vxml::check::check(&url, &body, None, run % 2 == 0, &Limits::default());
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

/// One of a list.
fn one<'a>(rng: &mut Rng, list: &[&'a str]) -> &'a str {
    list[usize::try_from(rng.below(list.len() as u64)).expect("in range")]
}

/// Runs a document to its end with a caller who hangs up after some turns; gives its prompts' segments and its log.
fn story(body: &[u8], steps_max: u64) -> (Vec<serde_json::Value>, usize) {
    let mut session = SessionConfig::new("http://app/start");
    session.limits.script_steps_max = steps_max;
    session.limits.idle_turns_max = 50;
    let limits = session.limits.clone();
    let mut config = RunConfig::new(session);
    config.minutes_max = 20;
    let fetch = |_: &FetchRequest| -> Result<_, FetchError> { Ok(fetched("http://app/start", "", body)) };
    let mut cache = Documents::new(8);
    let mut turns = 0;
    let run = Run::new(config, &mut cache, fetch, |_| {
        turns += 1;
        Step::parse(if turns > 3 { "hangup" } else { "silence" })
    });
    let (lines, ended) = run.finish();
    assert!(ended.exit.is_some(), "every session ends");
    let ends = lines.iter().filter(|l| matches!(l.kind(), "exit" | "error")).count();
    let segments: Vec<_> = lines
        .iter()
        .filter_map(|l| l.0["segments"].as_array())
        .inspect(|s| assert!(s.len() <= limits.segments_max))
        .flatten()
        .cloned()
        .collect();
    (segments, ends)
}

const MARKUP: &[&str] = &[
    "<voice gender=\"female\" age=\"9\">",
    "<voice name=\"a b\" xml:lang=\"de\">",
    "<prosody rate=\"-10%\" volume=\"loud\" pitch=\"+1st\" contour=\"(0%,+20Hz)\">",
    "<prosody rate=\"\">",
    "<emphasis level=\"strong\">",
    "<emphasis>",
    "<say-as interpret-as=\"date\" format=\"ymd\" detail=\"2\">",
    "<phoneme alphabet=\"ipa\" ph=\"&#x2c8;a\">",
    "<sub alias=\"W 3 C\">",
    "<p>",
    "<s xml:lang=\"fr\">",
    "<audio src=\"a.wav\">",
    "<audio src=\"http://[\">",
    "<audio expr=\"undefined\">",
    "<foreach item=\"i\" array=\"[1,2,3]\">",
    "<desc>",
];
const LEAVES: &[&str] = &[
    "word",
    " \n\t ",
    "&amp;&lt;&#x1F600;&#x301;",
    "<break/>",
    "<break time=\"99999999999s\"/>",
    "<break strength=\"x-strong\"/>",
    "<break time=\"-1s\"/>",
    "<mark name=\"m\"/>",
    "<mark nameexpr=\"'n' + 1\"/>",
    "<value expr=\"1 / 3\"/>",
    "<value expr=\"[1, {}]\"/>",
    "<enumerate/>",
    "<lexicon uri=\"l\"/>",
    "<![CDATA[<p>]]>",
    "<!-- no -->",
];

/// Grows markup from a seed, mostly well-formed.
fn markup(rng: &mut Rng, depth: u32, out: &mut String) {
    for _ in 0..rng.below(4) {
        if depth > 0 && rng.below(2) == 0 {
            let open = one(rng, MARKUP);
            out.push_str(open);
            markup(rng, depth - 1, out);
            let name = open[1..].split([' ', '>']).next().unwrap_or("");
            out.push_str(&format!("</{name}>"));
        } else {
            out.push_str(one(rng, LEAVES));
        }
    }
}

/// Goal: no prompt, whatever its markup, panics or outgrows its limits. Method: grown SSML, damaged in one case of two.
#[test]
fn odd_markup_ends_without_panic() {
    let (mut ends, mut spoken) = (0, 0);
    for run in 0..500_u64 {
        let mut rng = Seed(run).rng();
        let mut inner = String::new();
        markup(&mut rng, 8, &mut inner);
        if run % 2 == 1 && !inner.is_empty() {
            inner = String::from_utf8_lossy(&damage(&mut rng, &inner)).into_owned();
        }
        let body = format!(
            "<vxml version=\"2.1\" xmlns=\"http://www.w3.org/2001/vxml\" xml:lang=\"en\"><form><field name=\"f\" \
             type=\"digits\"><prompt>{inner}</prompt><option dtmf=\"1\">one</option></field></form></vxml>"
        );
        let (segments, end) = story(body.as_bytes(), 100_000);
        ends += end;
        spoken += segments.len();
    }
    assert_eq!(ends, 500, "every session tells its end once");
    assert!(spoken > 500, "the grown prompts are mostly heard: {spoken}");
}

const VALUES: &[&str] = &[
    "x",
    "session",
    "application",
    "document",
    "dialog",
    "undefined",
    "null",
    "NaN",
    "-0",
    "1e309",
    "'a\\ud800'",
    "'\\u0000'",
    "[1,[2,,3]]",
    "{a: {b: x}}",
    "({get a() { throw 1 }})",
    "({toString: function() { throw x }})",
    "({valueOf: function() { return this }, toString: null})",
    "(function() { var a = []; a[0] = a; return a })()",
    "(function f(n) { return n ? [f(n - 1), f(n - 1)] : x })(8)",
    "(function f(n) { return n ? {a: f(n - 1)} : 1 })(300)",
    "Object.create(null)",
    "Symbol('s')",
    "function() {}",
    "new Date(0)",
    "/x/g",
    "new Error('e')",
    "Math",
    "this",
    "arguments",
    "eval('x')",
    "Object.freeze([x])",
    "Object.defineProperty({}, 'a', {get: function() { while (true); }, enumerable: true})",
    "'y'.repeat(70000)",
    "[].concat",
    "lastresult$",
    "name$",
];
const JOINTS: &[&str] = &[
    " + ",
    " == ",
    " = ",
    ", ",
    " in ",
    " instanceof ",
    ".a.b",
    "[0]",
    " && ",
    " ? x : ",
    "(",
    ")",
    "; ",
    "\n//",
];

fn expression(rng: &mut Rng) -> String {
    let mut out = one(rng, VALUES).to_owned();
    for _ in 0..rng.below(3) {
        out.push_str(one(rng, JOINTS));
        if rng.below(4) > 0 {
            out.push_str(one(rng, VALUES));
        }
    }
    out.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

/// Goal: whatever value a script gives, it crosses to the session or is an error event. Method: odd expressions at
/// every place where a value crosses: variables, conditions, logs, prompts, arrays, parameters, submissions, exits.
#[test]
fn odd_expressions_end_without_panic() {
    let mut ends = 0;
    for run in 0..400_u64 {
        let mut rng = Seed(run).rng();
        let e: Vec<String> = (0..8).map(|_| expression(&mut rng)).collect();
        let body = format!(
            "<vxml version=\"2.1\" xmlns=\"http://www.w3.org/2001/vxml\"><var name=\"x\" expr=\"1\"/>\
             <catch event=\"error\"><log expr=\"_message\"/></catch><form>\
             <block><var name=\"y\" expr=\"{}\"/><log expr=\"y\"/></block>\
             <block><assign name=\"x\" expr=\"{}\"/><if cond=\"{}\"><log expr=\"x\"/></if></block>\
             <block><prompt><value expr=\"{}\"/></prompt><foreach item=\"i\" array=\"{}\"><log expr=\"i\"/></foreach></block>\
             <subdialog name=\"s\" src=\"#b\"><param name=\"p\" expr=\"{}\"/></subdialog>\
             <block><throw event=\"a.b\" messageexpr=\"{}\"/></block><block><exit expr=\"{}\"/></block></form>\
             <form id=\"b\"><var name=\"p\"/><block><return namelist=\"p\"/></block></form></vxml>",
            e[0], e[1], e[2], e[3], e[4], e[5], e[6], e[7]
        );
        ends += story(body.as_bytes(), 50_000).1;
    }
    assert_eq!(ends, 400, "every session tells its end once");
}
