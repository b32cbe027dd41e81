//! Semantic Interpretation 1.0 with the real engine: rules named by section of SISR 1.0, or of VoiceXML for what
//! grammars without tag-format mean. Each grammar also runs with native evaluation only, to see which need no engine.

use engine::{Config, Engine, ScriptError, Slot};
use serde_json::{Value, json};
use std::sync::Arc;
use vxml::grammar::{Grammar, Limits, Network, Parse, match_words, sisr};

/// The sandbox as a session would have it: one engine, empty scopes.
struct Sandbox {
    engine: Engine,
    chain: [Slot; 5],
    runs: usize,
}

impl Sandbox {
    fn new() -> Self {
        let mut engine = Engine::new(&Config::default()).expect("memory is there");
        let scope = engine.scope();
        Self { engine, chain: [scope; 5], runs: 0 }
    }
}

impl sisr::Evaluator for Sandbox {
    type Error = ScriptError;

    fn evaluate(&mut self, program: &str) -> Result<Value, ScriptError> {
        self.runs += 1;
        let code = self.engine.compile(program)?;
        let value = self.engine.eval(&code, &self.chain)?;
        Ok(serde_json::from_str(&value.to_json()).expect("the engine writes JSON"))
    }
}

fn parse(grammar: &str, said: &str) -> (Parse, Arc<Network>) {
    let grammar = Grammar::parse_abnf(grammar, "http://g.test/g.gram", &Limits::default()).expect("legal");
    let net = Arc::new(Network::compile(&grammar, &|_| None, &Limits::default()).expect("compiles"));
    (match_words(&net, said.split(' ')).expect("bounded").expect("matches"), net)
}

/// `engine`: whether the tags are expected to need one.
fn run(header: &str, rules: &str, said: &str, engine: bool) -> Result<Value, sisr::SisrError<ScriptError>> {
    let (parse, net) = parse(&format!("#ABNF 1.0;\nlanguage en;\nroot $r;\n{header}\n{rules}"), said);
    let mut sandbox = Sandbox::new();
    let value = sisr::interpret(&parse, &net, 0.5, &mut sandbox);
    assert_eq!(sandbox.runs, usize::from(engine), "engine runs for {rules}");
    value
}

const SCRIPT: &str = "tag-format <semantics/1.0>;";

fn plain(rules: &str, said: &str, expected: Value) {
    assert_eq!(run(SCRIPT, rules, said, false), Ok(expected), "{rules}");
}

fn script(rules: &str, said: &str, expected: Value) {
    assert_eq!(run(SCRIPT, rules, said, true), Ok(expected), "{rules}");
}

#[test]
fn sisr_plain_assignments_need_no_engine() {
    plain("$r = a {out = 'x';};", "a", json!("x"));
    plain("$r = a {out.b = \"x\"; out.c = 5; out.d = true};", "a", json!({"b": "x", "c": 5, "d": true}));
    plain("$r = a {!{out = {}; out.b = new Object(); out.b.c = 'd'}!};", "a", json!({"b": {"c": "d"}}));
    plain("$r = a {var x = 'y'; out = x};", "a", json!("y"));
    plain("$r = a {} b {out = 'x'} ;", "a b", json!("x"));
    plain("$r = {out = ''} $d<1-> ; $d = (one {out = '1'} | two {out = '2'});", "one", json!(""));
    plain(
        "$r = {out = ''} ($d {out += rules.d})<1->; $d = one {out = '1'} | two {out = '2'};",
        "one two one",
        json!("121"),
    );
    plain(
        "$r = {out = 0} ($d {out = out + rules.latest()})<1->; $d = one {out = 1} | two {out = 2};",
        "one two two",
        json!(5),
    );
    plain(
        "$r = $city {out.to = rules.city.code} ; $city = boston {out.code = 'BOS'};",
        "boston",
        json!({"to": "BOS"}),
    );
    plain("$r = a b {out = meta.current().text} c;", "a b c", json!("a b"));
    plain("$r = x $s {out = meta.s.text}; $s = y z;", "x y z", json!("y z"));
    plain("$r = x $s {out = meta.latest().text}; $s = y z;", "x y z", json!("y z"));
    plain("$r = a {!{out = 1;}!};", "a", json!(1));
    plain("$r = $s {out = rules.s; out.k = 2}; $s = a {out.j = 1};", "a", json!({"j": 1, "k": 2}));
    // Objects are shared: that takes the engine.
    script(
        "$r = $s {out.a = rules.s; out.b = rules.s; out.a.k = 2}; $s = a {out.k = 1};",
        "a",
        json!({"a": {"k": 2}, "b": {"k": 2}}),
    );
}

#[test]
fn sisr_4_rules_without_tags() {
    plain("$r = a b;", "a b", json!("a b"));
    plain("$r = a $s b; $s = c {out = 'x'};", "a c b", json!("x"));
    plain("$r = $s $t; $s = c {out = 'x'}; $t = d;", "c d", json!("d"));
    plain("$r = [please] $s; $s = $t; $t = d {out.k = 1};", "please d", json!({"k": 1}));
    // A rule with a tag that sets nothing is an empty object.
    script("$r = a {;;var x;};", "a", json!({}));
}

#[test]
fn sisr_3_1_scripts() {
    script("$r = a {!{out = [1, 2, 3].map(function (x) { return x * 2; })}!};", "a", json!([2, 4, 6]));
    script("$r = a {!{if (true) { out = 'y'; } else { out = 'n'; }}!};", "a", json!("y"));
    script("$r = $d {out = rules.d * 10}; $d = two {out = 2};", "two", json!(20));
    script(
        "$r = ($d {out[rules.d] = true})<1->; $d = one {out = 'k1'} | two {out = 'k2'};",
        "one two",
        json!({"k1": true, "k2": true}),
    );
    script("$r = a {var n = 1;} b {n++;} c {out = n};", "a b c", json!(2));
    script("$r = $s {out = rules.s.f.length}; $s = a {out.f = 'four'};", "a", json!(4));
    script("$r = $s {out = typeof rules.t}; $s = a; $t = b;", "a", json!("undefined"));
    script("$r = a {out = meta.current().score};", "a", json!(0.5));
    script("$r = $s {out = meta.s.score + meta.latest().score}; $s = a;", "a", json!(1));
    script("$r = a {var n = [1];} b {out.n = n; var n = 2;};", "a b", json!({"n": [1]}));
    script("$r = a {out = 'it\\'s'};", "a", json!("it's"));
    script(
        "$r = $s $t {out = rules.s.a + rules.t + rules.latest()}; $s = a {out.a = [1].length}; $t = b {out = 'x' + 1 * 2};",
        "a b",
        json!("1x2x2"),
    );
    script("$r = a {out = parseInt('12', 10) // with a remark};", "a", json!(12));
}

#[test]
fn sisr_rule_instances_do_not_see_each_other() {
    script(
        "$r = $s $s {out = [typeof n, rules.s]}; $s = a {out = typeof n; var n = [1]};",
        "a a",
        json!(["undefined", "undefined"]),
    );
    // A tag cannot reach out of its rule by its brackets.
    assert!(run(SCRIPT, "$r = a {!{}); out = 1; (function () {}!};", "a", true).is_err());
    script("$r = a {\"); nosuch(); (\"};", "a", json!({}));
}

#[test]
fn sisr_header_tags_are_global_to_the_grammar() {
    let header = format!("{SCRIPT}\n{{var unit = 'USD';}};");
    let got =
        run(&header, "$r = $n {out.u = unit; out.n = rules.n}; $n = five {out = unit + 5};", "five", true);
    assert_eq!(got, Ok(json!({"u": "USD", "n": "USD5"})));
    let header = format!("{SCRIPT}\n{{!{{function twice(x) {{ return 2 * x; }}}}!}};");
    assert_eq!(run(&header, "$r = five {out = twice(5)};", "five", true), Ok(json!(10)));
}

#[test]
fn sisr_errors_are_the_engines() {
    assert!(matches!(run(SCRIPT, "$r = a {out = };", "a", true), Err(sisr::SisrError::Engine(_))));
    assert!(matches!(run(SCRIPT, "$r = a {nosuch.x = 1};", "a", true), Err(sisr::SisrError::Engine(_))));
    assert!(matches!(
        run(SCRIPT, "$r = $s {out = rules.t.x}; $s = a; $t = b;", "a", true),
        Err(sisr::SisrError::Engine(_))
    ));
    let endless = run(SCRIPT, "$r = a {while (true);};", "a", true);
    assert_eq!(endless, Err(sisr::SisrError::Engine(ScriptError::Deadline)));
}

#[test]
fn sisr_3_1_literals() {
    let literals = "tag-format <semantics/1.0-literals>;";
    let value = |rules: &str, said: &str| run(literals, rules, said, false).expect("no engine, no error");
    assert_eq!(value("$r = coke {Coca Cola} | pepsi {out = 1};", "coke"), json!("Coca Cola"));
    assert_eq!(value("$r = coke {Coca Cola} | pepsi {out = 1};", "pepsi"), json!("out = 1"));
    assert_eq!(value("$r = a $s; $s = coke {x} {y};", "a coke"), json!("y"));
    assert_eq!(value("$r = a $s {z}; $s = coke {x};", "a coke"), json!("z"));
}

#[test]
fn w3c_vxml_tests_without_tag_format() {
    let value = |rules: &str, engine| run("", rules, "a", engine).expect("fine");
    assert_eq!(value("$r = a {'Chicago'};", false), json!("Chicago"));
    assert_eq!(value("$r = a {\"Chicago\";};", false), json!("Chicago"));
    assert_eq!(value("$r = a {var city='x'; };", false), json!({"city": "x"}));
    assert_eq!(
        value("$r = a {var a=new Object(); a.b='1'; a.c='2'; };", false),
        json!({"a": {"b": "1", "c": "2"}})
    );
    assert_eq!(
        value("$r = a {var a=new Object(); a.b=new Object(); a.b.c='1'; };", false),
        json!({"a": {"b": {"c": "1"}}})
    );
    assert_eq!(value("$r = a {city='x'; state=\"y\"};", false), json!({"city": "x", "state": "y"}));
    assert_eq!(value("$r = a {chicago};", false), json!("chicago"));
    assert_eq!(value("$r = a {12};", false), json!("12"));
    assert_eq!(value("$r = a {out = 'x'};", false), json!("x"));
    assert_eq!(value("$r = a {out.when = 'x'.toUpperCase()};", true), json!({"when": "X"}));
    assert_eq!(value("$r = a;", false), json!("a"));
    assert_eq!(value("$r = a {var x = 'y'.length; z = x + 1};", true), json!({"x": 1, "z": 2}));
}

#[test]
fn vxml_5_1_5_utterances() {
    let (words, _) = parse("#ABNF 1.0;\nlanguage en;\nroot $r;\n$r = New York;", "new  york");
    assert_eq!(words.utterance(), "new york");
    let (keys, net) = parse("#ABNF 1.0;\nmode dtmf;\nroot $r;\n$r = 1 2 star;", "1 2 *");
    assert_eq!(keys.utterance(), "12*");
    assert_eq!(sisr::semantics(&keys, &net, 1.0), sisr::Semantics::Value(json!("12*")));
}

#[test]
fn builtins_within_other_grammars_keep_their_values() {
    let rules =
        "$r = pay $<builtin:grammar/currency> {out.amount = rules.currency; out.said = meta.currency.text};";
    plain(rules, "pay five dollars", json!({"amount": "USD5.00", "said": "five dollars"}));
}

/// A random tag out of the words of plain assignments, most of them no ECMAScript at all.
fn random_tag(rng: &mut units::Rng) -> String {
    const WORDS: [&str; 44] = [
        "out",
        "out",
        "out",
        "x",
        "y",
        "out.a",
        "out.a.b",
        "x.c",
        "rules.s",
        "rules.s.k",
        "rules.t",
        "rules.latest()",
        "rules.latest().k",
        "meta.s.text",
        "meta.latest().text",
        "meta.current().text",
        "'p'",
        "\"q\"",
        "''",
        "1",
        "20",
        "007",
        "1.5",
        "0",
        "true",
        "false",
        "null",
        "new Object()",
        "new Object",
        "undefined",
        "=",
        "=",
        "=",
        "=",
        "+=",
        "+",
        "+",
        "==",
        ";",
        ";",
        "\n",
        " var x",
        "var y",
        "-",
    ];
    let statement = |rng: &mut units::Rng| {
        let pick = |rng: &mut units::Rng, from: u64, to: u64| {
            WORDS[usize::try_from(from + rng.below(to - from)).expect("small")]
        };
        if rng.chance(0.97) {
            // Mostly what can be plain: `out` or a declared name, and what stands between 8 and 27.
            let target = ["out", "out", "out.a", "out.b", "var x", "var y", pick(rng, 0, 8)];
            let target = target[usize::try_from(rng.below(7)).expect("small")];
            let value =
                |rng: &mut units::Rng| if rng.chance(0.9) { pick(rng, 8, 27) } else { pick(rng, 0, 30) };
            let mut text = format!("{target} {} {}", pick(rng, 30, 35), value(rng));
            while rng.chance(0.3) {
                text += &format!(" + {}", value(rng));
            }
            text
        } else {
            (0..rng.below(5)).map(|_| pick(rng, 0, 44)).collect::<Vec<_>>().join(" ")
        }
    };
    let count = 1 + rng.below(3);
    (0..count).map(|_| statement(rng)).collect::<Vec<_>>().join(if rng.chance(0.9) { "; " } else { "\n" })
}

const TAGS: u64 = 2_000;

#[test]
fn what_is_computed_without_an_engine_is_what_the_engine_computes() {
    let mut plain = 0_u32;
    for seed in 0..TAGS {
        let mut rng = units::Seed(seed).rng();
        let before = ["", "var x = 'p'", "out = 'z'", "var y = 2; out.a = y", "out.b = new Object()"];
        let before = before[usize::try_from(rng.below(5)).expect("small")].to_owned();
        let before = if rng.chance(0.8) { before } else { random_tag(&mut rng) };
        let tag = random_tag(&mut rng);
        let inner = ["out = 'w'", "out.k = 'v'", "out = 7", "out = true"]
            [usize::try_from(rng.below(4)).expect("small")];
        let rules = format!("$r = {{{before}}} a $s {{{tag}}};\n$s = b {{{inner}}};\n$t = c;");
        // A header tag, even an empty one, is the engine's business.
        let text = |header: &str| format!("#ABNF 1.0;\nlanguage en;\nroot $r;\n{SCRIPT}\n{header}\n{rules}");
        let (parsed, net) = parse(&text(""), "a b");
        let sisr::Semantics::Value(value) = sisr::semantics(&parsed, &net, 0.5) else { continue };
        plain += 1;
        let (parsed, net) = parse(&text("{;};"), "a b");
        assert!(matches!(sisr::semantics(&parsed, &net, 0.5), sisr::Semantics::Script(_)));
        let by_engine = sisr::interpret(&parsed, &net, 0.5, &mut Sandbox::new());
        assert_eq!(by_engine, Ok(value), "seed {seed}: {before:?} then {tag:?}");
    }
    println!("{plain} of {TAGS} tags were plain");
    assert!(plain > 200, "{plain} are too few to mean anything");
}
