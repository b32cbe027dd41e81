//! Runs every example of `docs/grammars.md`.

use serde_json::Value;
use std::sync::Arc;
use vxml::grammar::{Grammar, Limits, Mode, Network, match_words, sisr};

const PAGE: &str = include_str!("../../docs/grammars.md");

/// Fenced blocks: what stands after the fence, and the content.
fn blocks() -> impl Iterator<Item = (&'static str, &'static str)> {
    PAGE.split("\n```").skip(1).step_by(2).map(|block| block.split_once('\n').expect("a block has lines"))
}

/// The value of a sentence, or `None` for no match.
fn value(net: &Arc<Network>, said: &str) -> Option<Value> {
    let keys: String = said.chars().filter(|c| *c != ' ').flat_map(|c| [c, ' ']).collect();
    let said = if net.mode() == Mode::Dtmf { &keys } else { said };
    let parse = match_words(net, said.split_whitespace()).expect("within limits")?;
    match sisr::semantics(&parse, net, 1.0) {
        sisr::Semantics::Value(value) => Some(value),
        sisr::Semantics::Script(program) => panic!("examples are plain: {program}"),
    }
}

#[test]
fn every_example_of_the_page_is_true() {
    let limits = Limits::default();
    let mut current: Option<Arc<Network>> = None;
    let (mut grammars, mut sentences) = (0, 0);
    for (kind, content) in blocks() {
        match kind.split_once(' ').unwrap_or((kind, "")) {
            ("srgs", _) => {
                let grammar = Grammar::parse(content.as_bytes(), "", None, "http://docs.test/", &limits);
                let grammar = grammar.unwrap_or_else(|e| panic!("{e}\n{content}"));
                let net = Network::compile(&grammar, &|_| None, &limits).unwrap_or_else(|e| panic!("{e}"));
                current = Some(Arc::new(net));
                grammars += 1;
                continue;
            }
            ("said", "") => {}
            ("said", builtin) => {
                let (builtin, lang) = builtin.split_once(' ').unwrap_or((builtin, "en-US"));
                let net = Network::from_builtin(builtin, Mode::Voice, lang, &limits);
                current = Some(Arc::new(net.unwrap_or_else(|e| panic!("{e}"))));
                grammars += 1;
            }
            other => panic!("a block of unknown kind: {other:?}"),
        }
        let net = current.as_ref().expect("a grammar stands before its sentences");
        for line in content.lines() {
            let (said, expected) = line.split_once(" => ").expect("said => value");
            let expected = (expected != "-").then(|| serde_json::from_str::<Value>(expected).expect("JSON"));
            assert_eq!(value(net, said), expected, "{kind}: {said}");
            sentences += 1;
        }
    }
    println!("{grammars} grammars, {sentences} sentences");
    assert!(grammars > 25 && sentences > 60, "{grammars} grammars, {sentences} sentences");
}

#[test]
fn the_table_of_limits_is_true() {
    let Limits { bytes_max, rules_max, nodes_max, depth_max, text_max, states_max, transitions_max, .. } =
        Limits::default();
    let Limits { grammars_max, words_max, work_per_word_max, items_max, parse_max, work_max, .. } =
        Limits::default();
    let row = |name: &str| {
        let line = PAGE.lines().find(|l| l.starts_with(&format!("| {name}"))).expect(name);
        let cell = line.split('|').nth(2).expect("a value");
        cell.replace(", ", " ").replace(',', "").trim().to_owned()
    };
    assert_eq!(row("bytes_max"), format!("{} MiB", bytes_max >> 20));
    assert_eq!(row("rules_max"), rules_max.to_string());
    assert_eq!(row("nodes_max"), nodes_max.to_string());
    assert_eq!(row("depth_max"), depth_max.to_string());
    assert_eq!(row("text_max"), format!("{text_max} octets"));
    assert_eq!(row("states_max"), format!("{states_max} {transitions_max}"));
    assert_eq!(row("grammars_max"), grammars_max.to_string());
    assert_eq!(row("words_max"), words_max.to_string());
    assert_eq!((row("work_per_word_max"), work_per_word_max), (items_max.to_string(), items_max));
    assert_eq!(row("work_max"), work_max.to_string());
    assert_eq!(row("parse_max"), parse_max.to_string());
}
