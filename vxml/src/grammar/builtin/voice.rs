//! Builtin types as phrases: English here, other languages as [`super::tongue`] has them.

use super::Builtin;
use super::tongue::{Spoken, Tongue};
use crate::grammar::error::{Fault, GrammarError};
use crate::grammar::limits::Limits;
use crate::grammar::model::{Grammar, Mode, Node, Rule, TagFormat};

pub(super) fn grammar(
    builtin: Builtin,
    (min, max): (u32, Option<u32>),
    lang: &str,
) -> Result<Grammar, GrammarError> {
    let lang = if lang.is_empty() { "en-US" } else { lang };
    let language = lang.split(['-', '_']).next().unwrap_or_default();
    if !language.eq_ignore_ascii_case("en") {
        let tongue = Tongue::of(lang).ok_or_else(|| Fault::UnsupportedLanguage(lang.into()))?;
        let spoken = Spoken::of(builtin, tongue, lang);
        let (name, rules) = spoken.rules((min, max));
        return made(lang, name, &rules, TagFormat::Spoken(spoken));
    }
    let (name, rules) = match builtin {
        Builtin::Boolean(_) => ("boolean", BOOLEAN.to_owned()),
        Builtin::Date => ("date", [DATE, NUMERALS].concat()),
        Builtin::Digits => {
            let max = max.map(|m| m.to_string()).unwrap_or_default();
            ("digits", format!("$digits = $digit<{min}-{max}>;\n{DIGIT}"))
        }
        Builtin::Currency(_) => ("currency", [CURRENCY, CARDINAL, NUMERALS, DIGIT].concat()),
        Builtin::Number => ("number", [NUMBER, CARDINAL, NUMERALS, DIGIT].concat()),
        Builtin::Phone => ("phone", [PHONE, DIGIT].concat()),
        Builtin::Time => ("time", [TIME, NUMERALS].concat()),
    };
    made(lang, name, &rules, TagFormat::Builtin(builtin))
}

fn made(lang: &str, name: &str, rules: &str, format: TagFormat) -> Result<Grammar, GrammarError> {
    let text = format!("#ABNF 1.0;\nlanguage {lang};\nroot ${name};\n{rules}");
    let mut grammar = Grammar::parse_abnf(&text, "", &Limits::default())?;
    grammar.tag_format = format;
    grammar.mode = Mode::Voice;
    Ok(as_made(grammar))
}

/// Builtins have no private rules and no form.
fn as_made(grammar: Grammar) -> Grammar {
    let root = grammar.root.clone().unwrap_or_default();
    let lang = grammar.lang.clone().unwrap_or_default();
    let mut made = Grammar::made(Mode::Voice, &lang, &root, grammar.tag_format, Node::Null);
    made.rules.clear();
    made.index.clear();
    for rule in grammar.rules {
        let Rule { name, expansion, .. } = rule.as_ref().clone();
        let public = *name == *root;
        made.add(Rule { name, public, expansion }).expect("the rules of one grammar have different names");
    }
    made
}

/// Negative answers contain one of [`super::value::NEGATIVE`].
const BOOLEAN: &str = "
$boolean = yes [please | sir | \"ma'am\" | it is | that is right | \"that's right\"]
  | yeah | yep | yup | ya | sure | okay | ok | right | correct | true | affirmative | positive | absolutely
  | of course | exactly | certainly | (that is | \"that's\") (right | correct | true | fine)
  | no [sir | \"ma'am\" | thanks | thank you | it is not | \"it isn't\" | that is wrong | \"that's wrong\"]
  | nope | nah | wrong | incorrect | false | negative | not | never | of course not | absolutely not
  | (that is | \"that's\") (wrong | incorrect | false | not right | not correct | not true);
";

const DIGIT: &str = "
$digit = zero | oh | o | nought | one | two | three | four | five | six | seven | eight | nine
  | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9;
";

const NUMERALS: &str = "
$unit = one | two | three | four | five | six | seven | eight | nine;
$teen = ten | eleven | twelve | thirteen | fourteen | fifteen | sixteen | seventeen | eighteen | nineteen;
$tens = twenty | thirty | forty | fifty | sixty | seventy | eighty | ninety;
$tenty = $unit | $teen | $tens [$unit];
";

const CARDINAL: &str = "
$hundreds = $tenty | (a | one | $unit | $teen | $tens $unit) hundred [[and] $tenty];
$thousands = $hundreds | (a | $hundreds) thousand [[and] $hundreds];
$millions = $thousands | (a | $hundreds) million [[and] $thousands];
$cardinal = zero | nought | $millions | (a | $hundreds) billion [[and] $millions];
";

const NUMBER: &str = "
$number = [$sign] ($whole [$point $fraction] | $point $fraction);
$sign = minus | negative | plus | positive;
$whole = $cardinal | $spelled;
$spelled = $digit<2->;
$point = point | dot;
$fraction = $digit<1->;
";

const CURRENCY: &str = "
$currency = $major [[and] $minor] | $minor | $amount;
$major = $cardinal $unitname;
$unitname = dollar | dollars | buck | bucks | euro | euros | pound | pounds | yen;
$minor = $tenty [$minorname];
$minorname = cent | cents | penny | pennies | pence | p;
$amount = $cardinal [(point | dot) $digit<1-2>];
";

const PHONE: &str = "
$phone = $main [$extension];
$main = ($digit | hundred)<1-20>;
$extension = (extension | ext | x) $digit<1-10>;
";

const DATE: &str = "
$date = [$weekday] ($month [the] $day [$year] | [the] $day [of] $month [$year] | $month [of] $year | $month
  | the $ordinal | $year);
$weekday = monday | tuesday | wednesday | thursday | friday | saturday | sunday;
$month = january | february | march | april | may | june | july | august | september | october | november | december;
$day = $ordinal | $tenday;
$tenday = $unit | $teen | twenty [$unit] | thirty [one];
$ordinal = first | second | third | fourth | fifth | sixth | seventh | eighth | ninth | tenth | eleventh | twelfth
  | thirteenth | fourteenth | fifteenth | sixteenth | seventeenth | eighteenth | nineteenth | twentieth
  | twenty (first | second | third | fourth | fifth | sixth | seventh | eighth | ninth) | thirtieth | thirty first;
$year = $century ($teen | $tens [$unit] | $zero $unit | hundred) | $millennium;
$century = seventeen | eighteen | nineteen | twenty | twenty one;
$zero = oh | o | zero;
$millennium = two thousand [[and] $tenty];
";

const TIME: &str = "
$time = $clock [$half] | $relative [$half] | $military | noon | midday | midnight | twelve noon | twelve midnight;
$clock = $hour [\"o'clock\" | $minute];
$hour = $unit | ten | eleven | twelve;
$minute = $zero $unit | $teen | (twenty | thirty | forty | fifty) [$unit];
$zero = oh | o | zero;
$relative = (half | quarter | a quarter | $past [minutes | minute]) past $hour
  | (quarter | a quarter | $past [minutes | minute]) (to | till | before) $hour;
$past = $unit | $teen | twenty [$unit];
$half = am | pm | \"a.m.\" | \"p.m.\" | a m | p m | in the morning | in the afternoon | in the evening | at night;
$military = $hours (hundred [hours] | $minute [hours]);
$hours = zero [zero] | $zero $unit | thirteen | fourteen | fifteen | sixteen | seventeen | eighteen | nineteen
  | twenty [one | two | three];
";
