//! German. Numbers are one word up to 999,999; here up to 999, then with "tausend" up to 99, and years.

use super::Words;

const ONES: [&str; 20] = [
    "null",
    "eins",
    "zwei",
    "drei",
    "vier",
    "fünf",
    "sechs",
    "sieben",
    "acht",
    "neun",
    "zehn",
    "elf",
    "zwölf",
    "dreizehn",
    "vierzehn",
    "fünfzehn",
    "sechzehn",
    "siebzehn",
    "achtzehn",
    "neunzehn",
];
const TENS: [&str; 8] =
    ["zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig"];

/// The small number `n` as it stands before something else: "ein".
fn stem(n: usize) -> &'static str {
    if n == 1 { "ein" } else { ONES[n] }
}

fn below_hundred(n: usize) -> String {
    match (n / 10, n % 10) {
        (0 | 1, _) => ONES[n].to_owned(),
        (tens, 0) => TENS[tens - 2].to_owned(),
        (tens, ones) => format!("{}und{}", stem(ones), TENS[tens - 2]),
    }
}

fn push(all: &mut Vec<(String, u64)>, word: String, n: usize) {
    all.push((word, u64::try_from(n).unwrap_or(0)));
}

fn numbers() -> Vec<(String, u64)> {
    let mut all = Vec::new();
    for n in 0..100 {
        push(&mut all, below_hundred(n), n);
    }
    for (word, n) in [("ein", 1), ("eine", 1), ("einen", 1), ("zwo", 2)] {
        push(&mut all, word.to_owned(), n);
    }
    for (hundreds, digit) in ONES.iter().enumerate().take(10).skip(1) {
        let heads = match hundreds {
            1 => vec!["hundert".to_owned(), "einhundert".to_owned()],
            _ => vec![format!("{digit}hundert")],
        };
        for head in heads {
            // Alone, "hundert" multiplies: see `times`.
            if head != "hundert" {
                push(&mut all, head.clone(), hundreds * 100);
            }
            for n in 1..100 {
                push(&mut all, format!("{head}{}", below_hundred(n)), hundreds * 100 + n);
            }
        }
    }
    for n in 1..100 {
        let head = if n == 1 { "ein".to_owned() } else { below_hundred(n) };
        push(&mut all, format!("{head}tausend"), n * 1000);
    }
    for n in 1..100 {
        push(&mut all, format!("zweitausend{}", below_hundred(n)), 2000 + n);
        push(&mut all, format!("zweitausendund{}", below_hundred(n)), 2000 + n);
    }
    for (century, name) in ONES.iter().enumerate().skip(17) {
        push(&mut all, format!("{name}hundert"), century * 100);
        for n in 1..100 {
            let year = century * 100 + n;
            push(&mut all, format!("{name}hundert{}", below_hundred(n)), year);
        }
    }
    all
}

fn ordinals() -> Vec<(String, u64)> {
    let mut all = Vec::new();
    for n in 1..32 {
        let stem = match n {
            1 => "erste".to_owned(),
            3 => "dritte".to_owned(),
            7 => "siebte".to_owned(),
            8 => "achte".to_owned(),
            n if n < 20 => format!("{}te", ONES[n]),
            n => format!("{}ste", below_hundred(n)),
        };
        for ending in ["", "r", "n"] {
            push(&mut all, format!("{stem}{ending}"), n);
        }
    }
    for ending in ["", "r", "n"] {
        push(&mut all, format!("siebente{ending}"), 7);
    }
    all
}

pub(super) const WORDS: Words = Words {
    digits: &[
        ("null", 0),
        ("eins", 1),
        ("ein", 1),
        ("zwei", 2),
        ("zwo", 2),
        ("drei", 3),
        ("vier", 4),
        ("fünf", 5),
        ("sechs", 6),
        ("sieben", 7),
        ("acht", 8),
        ("neun", 9),
    ],
    numbers,
    ordinals,
    parts: &[("viertel", 15), ("dreiviertel", 15)],
    times: &[("hundert", 100), ("tausend", 1000), ("million", 1_000_000), ("millionen", 1_000_000)],
    answers: [
        "ja [bitte | gerne | danke | genau | richtig] | jawohl | genau | richtig | stimmt | korrekt | okay | ok | gerne
  | klar | natürlich | sicher | selbstverständlich | einverstanden | (das stimmt) | (das ist richtig) | (ist richtig)",
        "nein [danke | falsch] | nee | nö | nicht | falsch | niemals | keinesfalls | (auf keinen fall)
  | ([das] stimmt nicht) | ([das] ist falsch) | ([das] ist nicht richtig) | (nicht richtig)",
    ],
    months: [
        "januar/jänner", "februar/feber", "märz", "april", "mai", "juni/juno", "juli", "august", "september",
        "oktober", "november", "dezember",
    ],
    minus: &["minus"],
    point: &["komma", "punkt"],
    extension: &["durchwahl", "nebenstelle"],
    units: &[
        ("euro", "EUR"),
        ("euros", "EUR"),
        ("dollar", "$"),
        ("franken", "CHF"),
        ("pfund", "GBP"),
        ("yen", "JPY"),
    ],
    cents: &[("cent", "EUR"), ("cents", "EUR"), ("rappen", "CHF")],
    halves: &[
        ("morgens", 'a'),
        ("früh", 'a'),
        ("vormittags", 'a'),
        ("am morgen", 'a'),
        ("am vormittag", 'a'),
        ("nachmittags", 'p'),
        ("abends", 'p'),
        ("am nachmittag", 'p'),
        ("am abend", 'p'),
        ("nachts", 'n'),
        ("in der nacht", 'n'),
    ],
    noon: &["mittag", "mittags"],
    midnight: &["mitternacht"],
    number: "
$number = [$minus] ($whole [$point $fraction] | $point $fraction);
$whole = $cardinal | $digit<2->;
$fraction = $digit<1->;
",
    currency: "
$currency = $major $unit [[und] $minor [$cent]] | $minor $cent | $major [$point $fraction];
$major = $cardinal;
$minor = $n;
$fraction = $digit<1-2>;
",
    phone: "
$phone = $n<1-20> [$ext $n<1-10>];
",
    date: "
$date = [$weekday] [der | den | dem | am] $day ($month | $ordermonth) [$year] | [im] $month [$year] | $year;
$weekday = [am] (montag | dienstag | mittwoch | donnerstag | freitag | samstag | sonnabend | sonntag) [der | den | dem];
$day = $ordinal;
$ordermonth = $ordinal;
$year = [im jahr | im jahre] ($nt | zwei tausend) [[und] $n];
",
    time: "
$time = $hour uhr [$minute [minuten]] [$half] | $hour [$half] | ($after | $before) [$halfto] $hour [uhr] [$half]
  | $halfto $hour [uhr] [$half] | ($after | $before) $twelve | $twelve;
$hour = $h;
$minute = $m;
$after = (viertel | $m [minuten]) nach;
$before = (viertel | $m [minuten]) vor | dreiviertel;
$halfto = halb;
",
    common: "
$cardinal = $below | [$below] tausend [[und] $below] | $nt [[und] $below]
  | $below (million | millionen) [[$below] tausend] [$nt] [$below];
$below = $n3 | [$digit] hundert [[und] $n];
",
};
