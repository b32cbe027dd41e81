//! The W3C's SRGS 1.0 implementation report: every input of every grammar, both forms, against the logical parse
//! structure of SRGS 1.0 appendix H. The scoreboard beside this file may only improve.
#![expect(clippy::disallowed_methods, reason = "test data is read from the corpora")]

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vxml::grammar::{Grammar, Limits, Network, match_words};

const BASE: &str = "http://corpus.test/srgs10/test/";

/// The corpora's folder, if this machine has them.
fn corpus() -> Option<PathBuf> {
    let root = std::env::var("CARILLON_CORPORA")
        .map_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let folder = root.join("conformance/srgs10");
    folder.join("cases.json").exists().then_some(folder)
}

fn load(folder: &Path, file: &str) -> Option<Arc<Grammar>> {
    let octets = std::fs::read(folder.join("test").join(file)).ok()?;
    let media_type = if file.ends_with(".gram") { "application/srgs" } else { "application/srgs+xml" };
    let uri = format!("{BASE}{file}");
    Grammar::parse(&octets, media_type, None, &uri, &Limits::default()).ok().map(Arc::new)
}

/// The two grammars of lang-ruleref that the suite leaves to the tester.
fn jose() -> Option<Arc<Grammar>> {
    let text = "#ABNF 1.0;\nlanguage es;\nroot $name;\n$name = Jose;";
    Grammar::parse_abnf(text, "", &Limits::default()).ok().map(Arc::new)
}

/// Cases whose published expectation contradicts itself: file, number, and the structure that SRGS 1.0 gives.
const ERRATA: [(&str, u64, &str); 3] = [
    // One bracket too many closes.
    (
        "lang-ruleref.gram",
        1,
        r#"$main[$<http://www.example.com/multilingual1.grx>["Jose"],"in","the","US","and",$<http://www.example.com/multilingual2.grx>["Jose"],"in","Mexico"]"#,
    ),
    // The same, and the grammar has `<token>in the US and</token>`: by section 2.1 that is one token, not four.
    (
        "lang-ruleref.grxml",
        1,
        r#"$main[$<http://www.example.com/multilingual1.grx>["Jose"],"in the US and",$<http://www.example.com/multilingual2.grx>["Jose"],"in Mexico"]"#,
    ),
    // The input says "multiple" once, the expectation twice; `multiple<1->` takes what was said.
    ("repeat-abnf-symbols.gram", 3, r#"$main["but",$goodrule["multiple"]]"#),
];

/// What becomes of an input, in the notation of the suite.
fn outcome(folder: &Path, file: &str, rule: Option<&str>, input: &str) -> String {
    let reject = || "REJECT".to_owned();
    let Some(grammar) = load(folder, file) else { return reject() };
    let externals = |uri: &str| match uri.strip_prefix(BASE) {
        Some(file) => load(folder, file),
        None if uri.starts_with("http://www.example.com/multilingual") => jose(),
        None => None,
    };
    let rule = rule.filter(|r| Some(*r) != grammar.root());
    let Ok(net) = Network::compile_rule(&grammar, rule, &externals, &Limits::default()) else {
        return reject();
    };
    match match_words(&Arc::new(net), input.split_whitespace()) {
        Ok(Some(parse)) => parse.logical_structure(),
        _ => reject(),
    }
}

/// Rule names of the form `$<uri>` made absolute, as ours are.
fn absolute(structure: &str) -> String {
    let base = url::Url::parse(BASE).expect("a URL");
    let mut out = String::new();
    let mut rest = structure;
    while let Some((before, after)) = rest.split_once("$<") {
        let (uri, after) = after.split_once('>').expect("the suite closes its URIs");
        let uri = base.join(uri).expect("the suite's URIs are good");
        out.extend([before, "$<", uri.as_str(), ">"]);
        rest = after;
    }
    out + rest
}

/// The rule a structure begins with.
fn head(structure: &str) -> Option<&str> {
    structure.strip_prefix('$')?.split('[').next()
}

#[test]
fn w3c_srgs_suite_scoreboard_only_improves() {
    let Some(folder) = corpus() else {
        println!("SKIPPED: no corpora");
        return;
    };
    let index = std::fs::read_to_string(folder.join("cases.json")).expect("readable");
    let index: Vec<Value> = serde_json::from_str(&index).expect("JSON");
    let (mut passed, mut failed) = (BTreeSet::new(), BTreeSet::new());
    for entry in &index {
        let file = entry["file"].as_str().expect("named");
        for case in entry["cases"].as_array().expect("a list") {
            let (input, expected) =
                (case["input"].as_str().expect("text"), case["expect"].as_str().expect("text"));
            let erratum = ERRATA.iter().find(|(f, n, _)| *f == file && case["n"] == *n);
            let expected = absolute(erratum.map_or(expected, |(.., corrected)| corrected));
            let got = outcome(&folder, file, head(&expected), input);
            let name = format!("{file} {}", case["n"]);
            if got == expected {
                passed.insert(name);
            } else {
                println!("{name}: {input:?}\n  expected {expected}\n  got      {got}");
                failed.insert(name);
            }
        }
    }
    let all = passed.len() + failed.len();
    println!("SRGS 1.0: {} of {all} cases, {} of them by an erratum", passed.len(), ERRATA.len());
    let board = include_str!("srgs10.scoreboard");
    for line in board.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        assert!(passed.contains(line), "{line} passed before");
    }
    assert_eq!(failed, BTreeSet::new(), "add nothing to the scoreboard that fails");
    assert_eq!(
        passed.len(),
        board.lines().filter(|l| !l.starts_with('#')).count(),
        "the scoreboard is to list all"
    );
}

#[test]
fn w3c_vxml_suite_inline_grammars_compile() {
    let Some(folder) = corpus() else {
        println!("SKIPPED: no corpora");
        return;
    };
    let (mut count, mut refused) = (0, Vec::new());
    for entry in std::fs::read_dir(folder.join("../vxml20/vxml")).expect("readable") {
        let path = entry.expect("readable").path();
        let Ok(document) = std::fs::read_to_string(&path) else { continue };
        for piece in document.split("<grammar").skip(1) {
            let Some((body, _)) = piece.split_once("</grammar>") else { continue };
            // An empty element followed by others, or a commented one.
            if body.split('>').next().is_some_and(|tag| tag.ends_with('/')) {
                continue;
            }
            let text = format!("<grammar{body}</grammar>");
            let inline = Some(vxml::grammar::Inline { lang: "en-US" });
            let limits = Limits::default();
            let grammar = Grammar::parse_xml(&text, BASE, inline, &limits);
            let compiled = grammar.and_then(|g| Network::compile(&g, &|_| None, &limits));
            count += 1;
            if let Err(error) = compiled {
                refused.push(format!("{}: {error}", path.display()));
            }
        }
    }
    println!("{count} inline grammars");
    assert_eq!(refused, Vec::<String>::new());
    assert!(count >= 15, "{count}");
}
