//! Grammars that mean harm: every one ends by a named limit or in bounded work. Work is counted by the limits
//! themselves, so no clock is needed: a test that would run away hits its own limit first, or hangs and is noticed.

use std::fmt::Write;
use std::sync::Arc;
use vxml::grammar::{
    Fault, Grammar, GrammarError, Limit, Limits, MatchError, Matcher, Network, Status, match_words,
};

fn abnf(rules: &str) -> Result<Grammar, GrammarError> {
    Grammar::parse_abnf(&format!("#ABNF 1.0;\nlanguage en;\nroot $r;\n{rules}"), "", &Limits::default())
}

fn net(rules: &str) -> Arc<Network> {
    let grammar = abnf(rules).expect("legal");
    Arc::new(Network::compile(&grammar, &|_| None, &Limits::default()).expect("compiles"))
}

fn limit(error: GrammarError) -> Limit {
    match error.fault {
        Fault::TooLarge(limit) => limit,
        other => panic!("not a limit: {other}"),
    }
}

/// Whether the words are a sentence.
fn says(net: &Arc<Network>, words: &[&str]) -> Result<bool, MatchError> {
    match_words(net, words.iter().copied()).map(|p| p.is_some())
}

#[test]
fn exponential_ambiguity_is_polynomial() {
    // (a?){50}a{50}: 2^50 ways for a backtracking matcher.
    let net = net("$r = [a]<50> a<50>;");
    assert_eq!(says(&net, &["a"; 49]), Ok(false));
    assert_eq!(says(&net, &["a"; 50]), Ok(true));
    assert_eq!(says(&net, &["a"; 100]), Ok(true));
    assert_eq!(says(&net, &["a"; 101]), Ok(false));
}

#[test]
fn catalan_ambiguity_is_polynomial() {
    // S = S S | a has Catalan-many parses.
    let net = net("$r = $r $r | a;");
    assert_eq!(says(&net, &["a"; 60]), Ok(true));
    assert_eq!(says(&net, &["a", "b"]), Ok(false));
}

#[test]
fn left_recursion_ends() {
    let direct = net("$r = $r a | a;");
    assert_eq!(says(&direct, &["a"; 200]), Ok(true));
    let hidden = net("$r = [$r] $s a | a;\n$s = [$r];");
    assert_eq!(says(&hidden, &["a"; 30]), Ok(true));
    let endless = net("$r = $s;\n$s = $r;");
    assert_eq!(Matcher::new(endless).expect("bounded").status(), Status::NoMatch);
}

#[test]
fn empty_repeats_end() {
    let nested = net("$r = (([a]<0->)<0->)<0-> b;");
    assert_eq!(says(&nested, &["a", "a", "b"]), Ok(true));
    assert_eq!(says(&nested, &["b"]), Ok(true));
    let nothing = net("$r = $e<0-> b;\n$e = () | {t};");
    assert_eq!(says(&nothing, &["b"]), Ok(true));
    let tags = net("$r = ({t}<0->)<5-> b;");
    let parse = match_words(&tags, ["b"]).expect("bounded").expect("matches");
    assert_eq!(parse.logical_structure(), r#"$r[{!{t}!},"b"]"#);
}

#[test]
fn parse_trees_cannot_explode() {
    // Each rule calls the one below twice: 2^40 empty matches below the first.
    let mut rules = String::from("$r = $x40 a;\n$x0 = {t};\n");
    for n in 1..=40 {
        writeln!(rules, "$x{n} = $x{0} $x{0};", n - 1).expect("a string");
    }
    let net = net(&rules);
    let mut matcher = Matcher::new(net).expect("bounded");
    assert_eq!(matcher.push("a"), Ok(Status::Complete { may_continue: false }));
    assert_eq!(matcher.parse().expect_err("too large"), MatchError(Limit::Parse));
}

#[test]
fn deep_chains_of_rules_are_flat_here() {
    let mut rules = String::from("$r = $x0;\n");
    for n in 0..15_000 {
        writeln!(rules, "$x{n} = $x{} ;", n + 1).expect("a string");
    }
    rules.push_str("$x15000 = a;\n");
    let net = net(&rules);
    let parse = match_words(&net, ["a"]).expect("bounded").expect("matches");
    assert_eq!(parse.events.len(), 2 * 15_002 + 1);
}

#[test]
fn garbage_and_long_utterances_are_bounded() {
    let net = net("$r = $GARBAGE a $GARBAGE b $GARBAGE;");
    let mut words = vec!["x"; 300];
    (words[100], words[200]) = ("a", "b");
    assert_eq!(says(&net, &words), Ok(true));
    assert_eq!(says(&net, &["x"; 300]), Ok(false));
    assert_eq!(says(&net, &["x"; 1000]), Err(MatchError(Limit::Words)));
}

#[test]
fn work_for_one_word_has_a_limit() {
    // Cubic in the utterance, and large in the grammar.
    let mut rules = String::from("$r = ");
    for n in 0..400 {
        write!(rules, "$x{n} | ").expect("a string");
    }
    rules.push_str("a;\n");
    for n in 0..400 {
        writeln!(rules, "$x{n} = $r $r;").expect("a string");
    }
    let net = net(&rules);
    let mut matcher = Matcher::new(net).expect("bounded");
    let end = (0..500).find_map(|_| matcher.push("a").err()).expect("cannot go on for ever");
    assert!(matches!(end, MatchError(Limit::WorkPerWord | Limit::Work | Limit::Items)), "{end}");
    assert_eq!(matcher.status(), Status::NoMatch, "after a limit nothing matches");
}

#[test]
fn work_for_one_utterance_has_a_limit() {
    // Little for each word, much for all: every word can end every rule that has begun.
    let net = net("$r = $r $r | a;");
    let mut matcher = Matcher::new(net).expect("bounded");
    let end = (0..512).find_map(|_| matcher.push("a").err());
    assert_eq!(end, Some(MatchError(Limit::Work)));
}

#[test]
fn a_hundred_thousand_words_match_at_once() {
    let mut rules = String::from("$r = w0");
    for n in 1..100_000 {
        write!(rules, " | w{n}").expect("a string");
    }
    rules.push(';');
    let net = net(&rules);
    let mut matcher = Matcher::new(net).expect("bounded");
    assert_eq!(matcher.push("w99999"), Ok(Status::Complete { may_continue: false }));
    matcher.reset().expect("bounded");
    assert_eq!(matcher.push("nothing"), Ok(Status::NoMatch));
}

#[test]
fn a_million_rules_are_refused() {
    let mut xml = String::from(
        r#"<grammar xmlns="http://www.w3.org/2001/06/grammar" version="1.0" xml:lang="en" root="r0">"#,
    );
    let mut rules = String::new();
    for n in 0..1_000_000 {
        write!(xml, r#"<rule id="r{n}">a</rule>"#).expect("a string");
        writeln!(rules, "$r{n}=a;").expect("a string");
    }
    xml.push_str("</grammar>");
    let limits = Limits { bytes_max: usize::MAX, ..Limits::default() };
    let abnf = format!("#ABNF 1.0;\nlanguage en;\n{rules}");
    assert_eq!(Grammar::parse_abnf(&abnf, "", &limits).map_err(limit).expect_err("many"), Limit::Rules);
    assert_eq!(Grammar::parse_xml(&xml, "", None, &limits).map_err(limit).expect_err("many"), Limit::Nodes);
    let limits = Limits::default();
    assert_eq!(Grammar::parse_xml(&xml, "", None, &limits).map_err(limit).expect_err("large"), Limit::Bytes);
    assert_eq!(
        Grammar::parse(xml.as_bytes(), "", None, "", &limits).map_err(limit).expect_err("large"),
        Limit::Bytes
    );
}

#[test]
fn nesting_is_refused_before_the_stack_ends() {
    let deep = |open: &str, close: &str| format!("$r = {}a{};", open.repeat(100_000), close.repeat(100_000));
    assert_eq!(abnf(&deep("(", ")")).map_err(limit).expect_err("deep"), Limit::Depth);
    assert_eq!(abnf(&deep("[", "]")).map_err(limit).expect_err("deep"), Limit::Depth);
    assert_eq!(abnf(&deep("", "<2>")).map_err(limit).expect_err("deep"), Limit::Depth);
    let xml = format!(
        r#"<grammar xmlns="http://www.w3.org/2001/06/grammar" version="1.0" xml:lang="en"><rule id="r">{}</rule></grammar>"#,
        "<item>".repeat(100_000)
    );
    let refused = Grammar::parse_xml(&xml, "", None, &Limits::default()).expect_err("deep");
    assert_eq!(refused.place.line, 1);
    assert_eq!(limit(refused), Limit::Depth);
}

#[test]
fn repeats_of_repeats_are_refused() {
    for rules in ["$r = ((((a<100>)<100>)<100>)<100>)<100>;", "$r = a<4000000000>;", "$r = a<0-999999999>;"] {
        let grammar = abnf(rules).expect("legal");
        let refused = Network::compile(&grammar, &|_| None, &Limits::default()).expect_err("large");
        assert!(matches!(limit(refused), Limit::States | Limit::Transitions), "{rules}");
    }
    // But rules are shared, not copied.
    let shared = net("$r = $a<1000>;\n$a = $b<1000>;\n$b = c;");
    assert!(shared.state_count() < 3_000);
}

#[test]
fn no_dtd_no_entities() {
    let laughs = r#"<!DOCTYPE grammar [<!ENTITY a "ha"><!ENTITY b "&a;&a;"><!ENTITY f SYSTEM "file:///etc/passwd">]>
<grammar xmlns="http://www.w3.org/2001/06/grammar" version="1.0" xml:lang="en"><rule id="r">&b; &f;</rule></grammar>"#;
    let refused = Grammar::parse_xml(laughs, "", None, &Limits::default()).expect_err("no such entity");
    assert_eq!(refused.fault, Fault::UnknownEntity("b".into()));
    assert_eq!(refused.place.line, 2);
    let attribute = r#"<!DOCTYPE grammar [<!ENTITY a "en">]>
<grammar xmlns="http://www.w3.org/2001/06/grammar" version="1.0" xml:lang="&a;"><rule id="r">b</rule></grammar>"#;
    assert!(Grammar::parse_xml(attribute, "", None, &Limits::default()).is_err());
}

#[test]
fn endless_chains_of_documents_are_refused() {
    // Every grammar refers to a next one.
    let grammar = |n: usize| {
        let text = format!("#ABNF 1.0;\nlanguage en;\nroot $r;\n$r = $<http://h.test/{}>;", n + 1);
        Grammar::parse_abnf(&text, &format!("http://h.test/{n}"), &Limits::default()).expect("legal")
    };
    let next = |uri: &str| {
        let n = uri.rsplit('/').next().and_then(|n| n.parse().ok());
        n.map(|n| Arc::new(grammar(n)))
    };
    let refused = Network::compile(&grammar(0), &next, &Limits::default()).expect_err("endless");
    assert_eq!(limit(refused), Limit::Grammars);
}

#[test]
fn documents_that_refer_to_each_other_are_fine() {
    let parse = |text: &str, uri: &str| Grammar::parse_abnf(text, uri, &Limits::default()).expect("legal");
    let a = parse("#ABNF 1.0;\nlanguage en;\nroot $r;\npublic $r = a [$<b#s>];", "http://h.test/a");
    let b = Arc::new(parse("#ABNF 1.0;\nlanguage en;\npublic $s = b [$<a>];", "http://h.test/b"));
    assert_eq!(a.external_refs(), ["http://h.test/b"]);
    let externals = |uri: &str| (uri == "http://h.test/b").then(|| b.clone());
    let net = Arc::new(Network::compile(&a, &externals, &Limits::default()).expect("compiles"));
    assert_eq!(says(&net, &["a", "b", "a", "b"]), Ok(true));
    assert_eq!(says(&net, &["b"]), Ok(false));
}
