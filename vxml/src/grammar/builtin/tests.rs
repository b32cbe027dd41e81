//! VoiceXML 2.0 appendix P, row by row.

use super::*;
use crate::grammar::{Limits, Network, match_words, sisr};
use std::sync::Arc;

/// `type` in one mode: what was said or pressed, and the value (JSON), or "-" for no match.
fn check(kind: &str, mode: Mode, rows: &[(&str, &str)]) {
    let grammar = Grammar::from_builtin(kind, mode, "en-US").expect(kind);
    let net = Arc::new(Network::compile(&grammar, &|_| None, &Limits::default()).expect(kind));
    for (said, expected) in rows {
        let spaced: String = match mode {
            Mode::Dtmf => said.chars().flat_map(|c| [c, ' ']).collect(),
            Mode::Voice => (*said).to_owned(),
        };
        let parse = match_words(&net, spaced.split_whitespace()).expect("within limits");
        let got = match parse.map(|p| sisr::semantics(&p, &net, 1.0)) {
            None => "-".to_owned(),
            Some(sisr::Semantics::Value(serde_json::Value::String(text))) => text,
            Some(sisr::Semantics::Value(other)) => other.to_string(),
            Some(sisr::Semantics::Script(_)) => panic!("builtins need no engine"),
        };
        assert_eq!(got, *expected, "{kind} {mode:?} {said:?}");
    }
}

fn refused(kind: &str) -> Fault {
    Grammar::from_builtin(kind, Mode::Dtmf, "en-US").expect_err(kind).fault
}

#[test]
fn vxml_p_boolean() {
    check("boolean", Mode::Dtmf, &[("1", "true"), ("2", "false"), ("3", "-"), ("11", "-"), ("", "-")]);
    check("boolean?y=7;n=9", Mode::Dtmf, &[("7", "true"), ("9", "false"), ("1", "-")]);
    check("boolean?n=*", Mode::Dtmf, &[("1", "true"), ("*", "false")]);
    check("builtin:dtmf/boolean?y=1;n=2", Mode::Dtmf, &[("1", "true")]);
    check("boolean;y=A;n=#", Mode::Dtmf, &[("A", "true"), ("#", "false")]);
    let voice = [
        ("yes", "true"),
        ("Yes", "true"),
        ("yeah", "true"),
        ("yes please", "true"),
        ("that's right", "true"),
        ("of course", "true"),
        ("no", "false"),
        ("no thank you", "false"),
        ("nope", "false"),
        ("that is not correct", "false"),
        ("of course not", "false"),
        ("maybe", "-"),
        ("yes no", "-"),
        ("1", "-"),
    ];
    check("boolean", Mode::Voice, &voice);
}

#[test]
fn vxml_p_date() {
    let keys = [
        ("20261125", "20261125"),
        ("19991231", "19991231"),
        ("20240229", "20240229"),
        ("20261325", "-"),
        ("20260025", "-"),
        ("20261132", "-"),
        ("20261100", "-"),
        ("2026112", "-"),
        ("202611255", "-"),
    ];
    check("date", Mode::Dtmf, &keys);
    let voice = [
        ("march fourth", "????0304"),
        ("march the fourth two thousand five", "20050304"),
        ("the twenty first of june", "????0621"),
        ("december thirty first nineteen ninety nine", "19991231"),
        ("july four seventeen seventy six", "17760704"),
        ("may twenty twenty four", "202405??"),
        ("may twenty twenty twenty four", "20240520"),
        ("friday the third of october twenty twenty five", "20251003"),
        ("january", "????01??"),
        ("the fifth", "??????05"),
        ("nineteen oh five", "1905????"),
        ("nineteen hundred", "1900????"),
        ("february twenty eighth two thousand and nine", "20090228"),
        ("june thirty first two thousand", "20000631"),
        ("smarch fourth", "-"),
        ("march fortieth", "-"),
    ];
    check("date", Mode::Voice, &voice);
}

#[test]
fn vxml_p_digits() {
    check(
        "digits",
        Mode::Dtmf,
        &[("1", "1"), ("0123456789", "0123456789"), ("", "-"), ("1*", "-"), ("A", "-")],
    );
    check("digits?length=4", Mode::Dtmf, &[("1234", "1234"), ("0000", "0000"), ("123", "-"), ("12345", "-")]);
    let between = [("12", "-"), ("123", "123"), ("12345", "12345"), ("123456", "-")];
    check("digits?minlength=3;maxlength=5", Mode::Dtmf, &between);
    check("digits?minlength=3&maxlength=5", Mode::Dtmf, &between);
    check("digits?minlength=2", Mode::Dtmf, &[("1", "-"), ("12", "12"), ("123456789012", "123456789012")]);
    check("digits?maxlength=1", Mode::Dtmf, &[("7", "7"), ("77", "-")]);
    check("builtin:dtmf/digits?length=2", Mode::Dtmf, &[("42", "42")]);
    check("digits?length=3;minlength=1;maxlength=9", Mode::Dtmf, &[("123", "123"), ("12", "-")]);
    check("digits", Mode::Voice, &[("one two three", "123"), ("oh nought o zero 9", "00009"), ("ten", "-")]);
    check("digits?length=2", Mode::Voice, &[("four two", "42"), ("four", "-"), ("four two one", "-")]);
    check("builtin:grammar/digits?maxlength=2", Mode::Voice, &[("seven", "7"), ("seven seven seven", "-")]);
}

#[test]
fn vxml_p_currency() {
    let keys = [
        ("12*50", "12.50"),
        ("12", "12.00"),
        ("12*5", "12.50"),
        ("*99", "0.99"),
        ("0", "0.00"),
        ("007*01", "7.01"),
        ("12*", "-"),
        ("12*505", "-"),
        ("1*2*3", "-"),
        ("#", "-"),
    ];
    check("currency", Mode::Dtmf, &keys);
    let voice = [
        ("twelve dollars and fifty cents", "USD12.50"),
        ("one dollar", "USD1.00"),
        ("a hundred dollars", "USD100.00"),
        ("twenty dollars five", "USD20.05"),
        ("ninety nine cents", "USD0.99"),
        ("three euros", "EUR3.00"),
        ("three euros twenty cents", "EUR3.20"),
        ("two pounds ten pence", "GBP2.10"),
        ("five hundred yen", "JPY500.00"),
        ("two thousand five hundred and one dollars", "USD2501.00"),
        ("twelve point five", "12.50"),
        ("twelve point five zero", "12.50"),
        ("dollars", "-"),
    ];
    check("currency", Mode::Voice, &voice);
    let canada = Grammar::from_builtin("currency", Mode::Voice, "en-CA").expect("known");
    assert_eq!(canada.tag_format(), crate::grammar::TagFormat::Builtin(Builtin::Currency(Dollar::Canada)));
}

#[test]
fn vxml_p_number() {
    let keys = [
        ("123", "123"),
        ("12*5", "12.5"),
        ("*5", "0.5"),
        ("007", "007"),
        ("5*", "-"),
        ("1*2*3", "-"),
        ("", "-"),
    ];
    check("number", Mode::Dtmf, &keys);
    let voice = [
        ("one hundred twenty three", "123"),
        ("five point three", "5.3"),
        ("minus five", "-5"),
        ("negative two point five oh", "-2.50"),
        ("plus seven", "7"),
        ("zero", "0"),
        ("point five", "0.5"),
        ("zero point zero one", "0.01"),
        ("nineteen hundred and four", "1904"),
        ("a million", "1000000"),
        ("three hundred thousand and two", "300002"),
        ("two million five hundred thousand one hundred and eleven", "2500111"),
        ("four billion two", "4000000002"),
        ("one two three four", "1234"),
        ("oh oh seven", "007"),
        ("forty two", "42"),
        ("hundred", "-"),
        ("point", "-"),
        ("five point", "-"),
        ("twenty twelve", "-"),
    ];
    check("number", Mode::Voice, &voice);
}

#[test]
fn vxml_p_phone() {
    let keys = [("8005551234", "8005551234"), ("8005551234*789", "8005551234x789"), ("1*", "-"), ("*1", "-")];
    check("phone", Mode::Dtmf, &keys);
    let voice = [
        ("five five five one two one two", "5551212"),
        ("one eight hundred five five five one two three four", "18005551234"),
        ("eight oh oh five five five one two three four extension seven eight nine", "8005551234x789"),
        ("extension five", "-"),
        ("nine x one", "9x1"),
    ];
    check("phone", Mode::Voice, &voice);
}

#[test]
fn vxml_p_time() {
    let keys = [
        ("0930", "0930?"),
        ("1200", "1200?"),
        ("1330", "1330h"),
        ("0005", "0005h"),
        ("2359", "2359h"),
        ("2400", "-"),
        ("0960", "-"),
        ("930", "-"),
        ("09300", "-"),
    ];
    check("time", Mode::Dtmf, &keys);
    let voice = [
        ("nine thirty", "0930?"),
        ("nine thirty am", "0930a"),
        ("nine thirty p m", "0930p"),
        ("six o'clock", "0600?"),
        ("six o'clock in the evening", "0600p"),
        ("seven", "0700?"),
        ("seven in the morning", "0700a"),
        ("ten oh five", "1005?"),
        ("half past six", "0630?"),
        ("quarter to five p.m.", "0445p"),
        ("a quarter past one", "0115?"),
        ("ten minutes to one", "1250?"),
        ("twenty five past eleven am", "1125a"),
        ("noon", "1200p"),
        ("twelve midnight", "1200a"),
        ("thirteen thirty", "1330h"),
        ("fourteen hundred hours", "1400h"),
        ("zero five hundred", "0500h"),
        ("twenty three fifty nine", "2359h"),
        ("zero zero thirty", "0030h"),
        ("twenty four fifty", "-"),
        ("nine sixty", "-"),
    ];
    check("time", Mode::Voice, &voice);
}

#[test]
fn vxml_p_bad_requests_have_their_events() {
    for kind in ["nosuch", "", "builtin:dtmf/nosuch", "builtin:doesnotexist"] {
        assert!(matches!(refused(kind), Fault::UnsupportedBuiltin(_)), "{kind}");
    }
    let impossible = [
        "digits?length=0",
        "digits?length=x",
        "digits?length=-1",
        "digits?minlength=5;maxlength=4",
        "digits?length=4;minlength=5",
        "digits?length=4;maxlength=3",
        "digits?maxlength=0",
        "digits?length=99999999999",
        "boolean?y=12",
        "boolean?y=",
        "boolean?y=2",
        "boolean?y=5;n=5",
        "boolean?n=x",
    ];
    for kind in impossible {
        assert!(matches!(refused(kind), Fault::BadParameter(_)), "{kind}");
    }
    let Err(italian) = Grammar::from_builtin("digits", Mode::Voice, "it-IT") else {
        panic!("no Italian here")
    };
    assert_eq!(italian.event(), "error.unsupported.language");
    assert!(Grammar::from_builtin("digits", Mode::Dtmf, "it-IT").is_ok(), "keys have no language");
    assert_eq!(GrammarError::new(refused("nosuch")).event(), "error.unsupported.builtin");
    assert_eq!(GrammarError::new(refused("digits?length=x")).event(), "error.badfetch");
}

#[test]
fn too_many_digits_end_at_a_named_limit() {
    let grammar = Grammar::from_builtin("digits?maxlength=4000000000", Mode::Dtmf, "en").expect("legal");
    let refused = Network::compile(&grammar, &|_| None, &Limits::default()).expect_err("too large");
    assert!(matches!(refused.fault, Fault::TooLarge(_)));
}
