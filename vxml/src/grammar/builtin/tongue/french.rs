//! French, of France and with the tens of Belgium and Switzerland.

use super::Words;

const ONES: [&str; 20] = [
    "zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "dix", "onze", "douze",
    "treize", "quatorze", "quinze", "seize", "dix-sept", "dix-huit", "dix-neuf",
];

/// What stands for so many tens, and how far it counts.
const TENS: [(&str, u64, usize); 11] = [
    ("vingt", 20, 10),
    ("trente", 30, 10),
    ("quarante", 40, 10),
    ("cinquante", 50, 10),
    ("soixante", 60, 20),
    ("quatre-vingt", 80, 20),
    ("septante", 70, 10),
    ("huitante", 80, 10),
    ("octante", 80, 10),
    ("nonante", 90, 10),
    ("quatre-vingts", 80, 1),
];

fn numbers() -> Vec<(String, u64)> {
    let mut all = vec![("une".to_owned(), 1)];
    let mut push = |word: String, n: u64| {
        all.push((word.replace('-', " "), n));
        all.push((word, n));
    };
    for (n, word) in (0..).zip(ONES) {
        push(word.to_owned(), n);
    }
    for (tens, value, most) in TENS {
        push(tens.to_owned(), value);
        for (n, one) in (0..).zip(ONES).take(most).skip(1) {
            let and = matches!(n, 1 | 11) && tens != "quatre-vingt";
            push(format!("{tens}-{}{one}", if and { "et-" } else { "" }), value + n);
            if one.contains('-') || tens.contains('-') {
                push(format!("{tens} {one}"), value + n);
            }
        }
    }
    all
}

fn ordinals() -> Vec<(String, u64)> {
    vec![("premier".to_owned(), 1)]
}

pub(super) const WORDS: Words = Words {
    digits: &[
        ("zéro", 0),
        ("un", 1),
        ("une", 1),
        ("deux", 2),
        ("trois", 3),
        ("quatre", 4),
        ("cinq", 5),
        ("six", 6),
        ("sept", 7),
        ("huit", 8),
        ("neuf", 9),
    ],
    numbers,
    ordinals,
    parts: &[("quart", 15), ("demie", 30), ("demi", 30)],
    times: &[
        ("cent", 100),
        ("cents", 100),
        ("mille", 1000),
        ("mil", 1000),
        ("million", 1_000_000),
        ("millions", 1_000_000),
    ],
    answers: [
        "oui [merci | madame | monsieur] | (oui \"s'il\" (vous | te) (plaît | plait)) | ouais | ok | okay | (\"d'accord\")
  | exact | exactement | correct | (\"c'est\" (exact | \"ça\" | ca | juste | correct | bon | vrai)) | (bien (sûr | sur))
  | absolument | certainement | (tout à fait) | volontiers | parfait",
        "non [merci | madame | monsieur] | (pas du tout) | faux | incorrect | (\"c'est\" (faux | incorrect))
  | (ce \"n'est\" pas (\"ça\" | ca | exact | juste | correct | vrai | bon)) | jamais | négatif | (surtout pas)",
    ],
    months: [
        "janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre",
        "décembre",
    ],
    minus: &["moins"],
    point: &["virgule", "point"],
    extension: &["poste", "extension"],
    units: &[
        ("euro", "EUR"),
        ("euros", "EUR"),
        ("dollar", "$"),
        ("dollars", "$"),
        ("franc", "CHF"),
        ("francs", "CHF"),
        ("livre", "GBP"),
        ("livres", "GBP"),
        ("yen", "JPY"),
        ("yens", "JPY"),
    ],
    cents: &[("centime", "EUR"), ("centimes", "EUR")],
    halves: &[
        ("du matin", 'a'),
        ("de l'après-midi", 'p'),
        ("du soir", 'p'),
        ("de la nuit", 'n'),
    ],
    noon: &["midi"],
    midnight: &["minuit"],
    number: "
$number = [$minus] ($whole [$point $fraction] | $point $fraction);
$whole = $cardinal | $digit<2->;
$fraction = $n<1->;
",
    currency: "
$currency = $major $unit [[et] $minor [$cent]] | $minor $cent | $major [$point $fraction];
$major = $cardinal;
$minor = $n;
$fraction = $n | $digit<2>;
",
    phone: "
$phone = $n<1-20> [$ext $n<1-10>];
",
    date: "
$date = [le] [$weekday] [le] $day $month [$year] | [en] $month [$year] | [en] $year;
$weekday = lundi | mardi | mercredi | jeudi | vendredi | samedi | dimanche;
$day = $ordinal | $d;
$year = [deux] (mille | mil) [$below] | (dix-huit | dix-neuf | dix huit | dix neuf) (cent | cents) [$n];
",
    time: "
$time = $hour (heure | heures) [$minute [minute | minutes] | et $after | moins [le] $before] [$half]
  | $twelve [$minute | et $after | moins [le] $before];
$hour = $h;
$minute = $m;
$after = quart | demie | demi;
$before = quart | $m;
",
    common: "
$cardinal = $below | [$below] mille [$below] | $below (million | millions) [[$below] mille] [$below];
$below = $n | [$n] (cent | cents) [$n];
",
};
