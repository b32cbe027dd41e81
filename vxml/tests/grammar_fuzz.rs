//! Seeded fuzz of grammars: mutations of the W3C corpus (and of a few of our own) never panic and stay within limits;
//! random grammars agree with a plain simulation of their flattened network. `CARILLON_FUZZ_TURNS` makes it longer.
#![expect(
    clippy::disallowed_methods,
    reason = "test data is read from the corpora, the length from the environment"
)]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use units::{Rng, Seed};
use vxml::grammar::{FiniteState, Grammar, Inline, Limits, Matcher, Mode, Network, Status, sisr};

fn rounds(default: u64) -> u64 {
    std::env::var("CARILLON_FUZZ_TURNS").ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

fn small() -> Limits {
    Limits {
        bytes_max: 1 << 16,
        rules_max: 500,
        nodes_max: 5_000,
        states_max: 5_000,
        transitions_max: 10_000,
        work_per_word_max: 5_000,
        items_max: 20_000,
        parse_max: 5_000,
        export_states_max: 5_000,
        ..Limits::default()
    }
}

/// Whole documents to be mutated.
fn seeds() -> Vec<Vec<u8>> {
    let own: [&[u8]; 3] = [
        b"#ABNF 1.0 UTF-8;\nlanguage en;\nmode voice;\nroot $r;\ntag-format <semantics/1.0>;\n{var g = 1;};\npublic $r = /2/ a [$b] {out.x = rules.b} | \"c d\"<0-3 /0.5/>!fr-CA;\n$b = ($NULL | $GARBAGE | $VOID | e<2->) {!{out = 'f'}!};",
        b"#ABNF 1.0;\nmode dtmf;\nroot $r;\n$r = (0|1|2|star|\"#\")<1-4> $<builtin:dtmf/digits?length=2>;",
        br##"<grammar xmlns="http://www.w3.org/2001/06/grammar" version="1.0" xml:lang="en" root="r" tag-format="semantics/1.0"><rule id="r" scope="public"><one-of><item weight="2">a <ruleref uri="#b"/><tag>out = rules.b + 'x';</tag></item><item repeat="0-2" repeat-prob=".5"><token>c d</token></item></one-of><ruleref special="GARBAGE"/></rule><rule id="b">e<![CDATA[f]]>&amp;</rule></grammar>"##,
    ];
    let mut seeds: Vec<Vec<u8>> = own.iter().map(|s| s.to_vec()).collect();
    let root = std::env::var("CARILLON_CORPORA")
        .map_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    match std::fs::read_dir(root.join("conformance/srgs10/test")) {
        Ok(files) => {
            let mut paths: Vec<PathBuf> = files.filter_map(|f| f.ok().map(|f| f.path())).collect();
            paths.sort();
            seeds.extend(paths.iter().filter_map(|p| std::fs::read(p).ok()));
        }
        Err(_) => println!("SKIPPED: no corpora; own seeds only"),
    }
    seeds
}

fn pick<'a, T>(rng: &mut Rng, all: &'a [T]) -> &'a T {
    &all[usize::try_from(rng.below(all.len() as u64)).expect("small")]
}

fn below(rng: &mut Rng, bound: usize) -> usize {
    usize::try_from(rng.below(bound.max(1) as u64)).expect("small")
}

fn mutate(rng: &mut Rng, octets: &mut Vec<u8>, other: &[u8]) {
    const BITS: [&[u8]; 20] = [
        b"(",
        b")",
        b"[",
        b"]",
        b"<0->",
        b"<99999>",
        b"<2-1>",
        b"{",
        b"}",
        b"{!{",
        b"|",
        b";",
        b"$r",
        b"$GARBAGE",
        b"\"",
        b"<item>",
        b"</item>",
        b"&x;",
        b"\xff\xfe",
        b"\xc3",
    ];
    for _ in 0..=below(rng, 4) {
        let at = below(rng, octets.len());
        match rng.below(6) {
            0 if !octets.is_empty() => octets[at] = rng.next_u64().to_le_bytes()[0],
            1 if !octets.is_empty() => {
                octets.remove(at);
            }
            2 => drop(octets.splice(at..at, pick::<&[u8]>(rng, &BITS).iter().copied())),
            3 => {
                let end = (at + below(rng, 40)).min(octets.len());
                drop(octets.drain(at..end));
            }
            4 => {
                let from = below(rng, other.len());
                let end = (from + below(rng, 60)).min(other.len());
                drop(octets.splice(at..at, other[from..end].iter().copied()));
            }
            _ => {
                let end = (at + below(rng, 60)).min(octets.len());
                let copy = octets[at..end].to_vec();
                drop(octets.splice(at..at, copy));
            }
        }
    }
}

/// Everything that may be done with a document.
fn exercise(rng: &mut Rng, octets: &[u8]) -> bool {
    let limits = small();
    if let Ok(text) = std::str::from_utf8(octets) {
        let inline = Some(Inline { lang: "en" });
        drop(Grammar::parse_xml(text, "http://g.test/", inline, &limits).map_err(|e| e.to_string()));
    }
    let grammar = match Grammar::parse(octets, "", None, "http://g.test/g", &limits) {
        Ok(grammar) => Arc::new(grammar),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return false;
        }
    };
    // Whatever it refers to is itself.
    let itself = grammar.clone();
    let Ok(net) = Network::compile(&grammar, &|_| Some(itself.clone()), &limits) else { return false };
    let net = Arc::new(net);
    let mut words: Vec<String> = net.vocabulary().take(50).map(str::to_owned).collect();
    words.push("unheard".to_owned());
    let Ok(mut matcher) = Matcher::new(net.clone()) else { return true };
    for _ in 0..6 {
        let word: &String = pick(rng, &words);
        if matcher.push(word).is_err() {
            break;
        }
        if let Ok(Some(parse)) = matcher.parse() {
            assert!(parse.logical_structure().starts_with('$'));
            drop(sisr::semantics(&parse, &net, 0.5));
        }
    }
    let all = |_: &str| true;
    drop((net.flatten(&all), net.to_fsg("f", &all), net.to_jsgf("j", &all), net.is_recursive()));
    true
}

#[test]
fn mutated_documents_never_panic() {
    let seeds = seeds();
    let mut compiled = 0;
    let rounds = rounds(4_000);
    for round in 0..rounds {
        let mut rng = Seed(round).rng();
        let mut octets = pick(&mut rng, &seeds).clone();
        let other: &Vec<u8> = pick(&mut rng, &seeds);
        mutate(&mut rng, &mut octets, other);
        compiled += u64::from(exercise(&mut rng, &octets));
    }
    println!("{compiled} of {rounds} mutated grammars compiled");
    // Most mutations hurt comments and headers only: a good part must get through, or nothing is tested.
    assert!(compiled * 10 > rounds, "{compiled} of {rounds}");
}

#[test]
fn builtin_uris_never_panic() {
    const PARTS: [&str; 22] = [
        "builtin:",
        "dtmf/",
        "grammar/",
        "digits",
        "boolean",
        "date",
        "time",
        "phone",
        "number",
        "currency",
        "?",
        ";",
        "&",
        "length=",
        "minlength=",
        "maxlength=",
        "y=",
        "n=",
        "1",
        "4",
        "99999999999",
        "#é",
    ];
    for round in 0..rounds(3_000) {
        let mut rng = Seed(round).rng();
        let uri: String = (0..=below(&mut rng, 7)).map(|_| *pick::<&str>(&mut rng, &PARTS)).collect();
        for mode in [Mode::Dtmf, Mode::Voice] {
            match Network::from_builtin(&uri, mode, "en", &small()) {
                Ok(net) => assert!(net.state_count() > 0),
                Err(error) => assert!(error.event().starts_with("error."), "{uri}"),
            }
        }
    }
}

/// A random expansion over the words a, b, c and the rules below `rule`.
fn expansion(rng: &mut Rng, depth: u32, rule: u32, out: &mut String) {
    let choice = if depth == 0 { rng.below(4) } else { rng.below(12) };
    let nest = |rng: &mut Rng, open: &str, close: &str, out: &mut String| {
        out.push_str(open);
        expansion(rng, depth - 1, rule, out);
        out.push_str(close);
    };
    match choice {
        0 => out.push_str("a "),
        1 => out.push_str("b "),
        2 => out.push_str("c "),
        3 if rule > 0 => write!(out, "$r{} ", rng.below(u64::from(rule))).expect("a string"),
        3 => out.push_str("$NULL "),
        4 => nest(rng, "[", "] ", out),
        5 | 6 => {
            nest(rng, "(", "|", out);
            nest(rng, "", ") ", out);
        }
        7 | 8 => {
            nest(rng, "(", ") ", out);
            nest(rng, "(", ") ", out);
        }
        9 => {
            let (min, more) = (rng.below(3), rng.below(3));
            nest(rng, "(", &format!(")<{min}-{}> ", min + more), out);
        }
        10 => nest(rng, "(", ")<1-> ", out),
        _ => nest(rng, "(/2/", "| $VOID) {t} ", out),
    }
}

/// States of the flattened network after some words, and whether one accepts.
fn simulate(flat: &FiniteState, words: &[&str]) -> (BTreeSet<u32>, bool) {
    let close = |mut states: BTreeSet<u32>| {
        let mut todo: Vec<u32> = states.iter().copied().collect();
        while let Some(state) = todo.pop() {
            for arrow in flat.arrows.iter().filter(|a| a.from == state && a.word.is_none()) {
                if states.insert(arrow.to) {
                    todo.push(arrow.to);
                }
            }
        }
        states
    };
    let mut states = close([0].into());
    for word in words {
        let taken =
            flat.arrows.iter().filter(|a| states.contains(&a.from) && a.word.as_deref() == Some(word));
        states = close(taken.map(|a| a.to).collect());
    }
    let accepts = states.contains(&flat.accept);
    (states, accepts)
}

#[test]
fn random_grammars_agree_with_a_simulation() {
    let (mut sentences, mut checked) = (0_u64, 0_u64);
    for round in 0..rounds(600) {
        let mut rng = Seed(round ^ 0x5eed).rng();
        let mut text = String::from("#ABNF 1.0;\nlanguage en;\nroot $r3;\n");
        for rule in 0..4 {
            let mut body = String::new();
            expansion(&mut rng, 4, rule, &mut body);
            writeln!(text, "$r{rule} = {body};").expect("a string");
        }
        let grammar = Grammar::parse_abnf(&text, "", &small()).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let Ok(net) = Network::compile(&grammar, &|_| None, &small()) else { continue };
        let Ok(flat) = net.flatten(&|_| true) else { continue };
        let net = Arc::new(net);
        for _ in 0..8 {
            let words: Vec<&str> =
                (0..below(&mut rng, 8)).map(|_| *pick::<&str>(&mut rng, &["a", "b", "c"])).collect();
            let mut matcher = Matcher::new(net.clone()).expect("small");
            for word in &words {
                matcher.push(word).expect("small");
            }
            let (states, accepts) = simulate(&flat, &words);
            let continues = flat.arrows.iter().any(|a| states.contains(&a.from) && a.word.is_some());
            let expected = match (accepts, continues) {
                (true, may_continue) => Status::Complete { may_continue },
                (false, true) => Status::Prefix,
                (false, false) => Status::NoMatch,
            };
            assert_eq!(matcher.status(), expected, "seed {round}, {words:?}\n{text}");
            checked += 1;
            if accepts {
                sentences += 1;
                let parse = matcher.parse().expect("small").expect("it is a sentence");
                let said: Vec<String> = tokens(&parse.logical_structure());
                assert_eq!(said, words, "seed {round}\n{text}");
            }
        }
    }
    println!("{checked} utterances, {sentences} sentences");
    assert!(sentences > 100, "{sentences} sentences: too few to mean anything");
}

/// The tokens of a logical parse structure.
fn tokens(structure: &str) -> Vec<String> {
    structure.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}
