//! How long grammars take: compiling and matching, in microseconds. `cargo run --release -p carillon-vxml --example
//! grammar_speed`. Informs; nothing is gated by it.
#![expect(clippy::disallowed_types, reason = "a measurement needs a clock")]

use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;
use vxml::grammar::{Choice, Grammar, Limits, Matcher, Mode, Network, match_words, sisr};

/// Best of five runs, microseconds for one.
fn time(what: &str, times: u32, mut run: impl FnMut()) {
    let best = (0..5).map(|_| {
        let start = Instant::now();
        (0..times).for_each(|_| run());
        start.elapsed().as_secs_f64() * 1e6 / f64::from(times)
    });
    println!("{:>10.2} us  {what}", best.fold(f64::INFINITY, f64::min));
}

fn compile(grammar: &Grammar) -> Arc<Network> {
    Arc::new(Network::compile(grammar, &|_| None, &Limits::default()).expect("legal"))
}

pub(crate) fn main() {
    let limits = Limits::default();
    let builtin = |kind: &str, mode| Network::from_builtin(kind, mode, "en-US", &limits).expect("known");
    for kind in ["digits?length=4", "digits", "boolean", "date"] {
        time(&format!("make and compile builtin:dtmf/{kind}"), 1000, || {
            drop(black_box(builtin(kind, Mode::Dtmf)))
        });
    }
    for kind in ["digits", "boolean", "date", "currency", "number"] {
        time(&format!("make and compile builtin:grammar/{kind}"), 200, || {
            drop(black_box(builtin(kind, Mode::Voice)))
        });
    }
    let sixteen = Arc::new(builtin("digits", Mode::Dtmf));
    time("match 16 digits one by one, with status (divide by 16)", 1000, || {
        let mut matcher = Matcher::new(sixteen.clone()).expect("small");
        for digit in "0123456789012345".chars() {
            black_box(matcher.push(digit.encode_utf8(&mut [0; 4])).expect("small"));
        }
    });
    let said = "two million five hundred thousand one hundred and eleven";
    let number = Arc::new(builtin("number", Mode::Voice));
    time("match and interpret a spoken number of nine words", 500, || {
        let parse = match_words(&number, said.split(' ')).expect("small").expect("a number");
        black_box(sisr::semantics(&parse, &number, 1.0));
    });
    let names: Vec<String> =
        (0..5000).map(|n| format!("first{} middle{} last{n}", n % 70, n % 300)).collect();
    let choices = |approximate| -> Vec<Choice<'_>> {
        names.iter().map(|text| Choice { text, approximate, ..Choice::default() }).collect()
    };
    for (kind, list) in [("exact", choices(false)), ("approximate", choices(true))] {
        let grammar =
            Grammar::from_options(&list, Mode::Voice, "en", &limits).expect("legal").expect("not empty");
        time(&format!("compile a list of 5,000 choices of three words, {kind}"), 5, || {
            drop(compile(&grammar))
        });
        let net = compile(&grammar);
        println!("{:>10} KB  its network, {} states", net.size() / 1024, net.state_count());
        time("  match one of them and its value", 200, || {
            let parse =
                match_words(&net, ["first11", "middle81", "last4281"]).expect("small").expect("a choice");
            black_box(sisr::semantics(&parse, &net, 1.0));
        });
    }
    let mut xml = String::from(
        r#"<grammar xmlns="http://www.w3.org/2001/06/grammar" version="1.0" xml:lang="en" root="r"><rule id="r"><one-of>"#,
    );
    (0..5000).for_each(|n| write!(xml, "<item>street {n}<tag>out = {n}</tag></item>").expect("a string"));
    xml.push_str("</one-of></rule></grammar>");
    time(&format!("parse {} KB of XML with 5,000 items", xml.len() / 1024), 5, || {
        drop(black_box(Grammar::parse_xml(&xml, "", None, &limits).expect("legal")));
    });
}
