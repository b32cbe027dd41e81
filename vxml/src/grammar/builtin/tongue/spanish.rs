//! Spanish, of Spain and of America.

use super::Words;

const ONES: [&str; 30] = [
    "cero",
    "uno",
    "dos",
    "tres",
    "cuatro",
    "cinco",
    "seis",
    "siete",
    "ocho",
    "nueve",
    "diez",
    "once",
    "doce",
    "trece",
    "catorce",
    "quince",
    "dieciséis",
    "diecisiete",
    "dieciocho",
    "diecinueve",
    "veinte",
    "veintiuno",
    "veintidós",
    "veintitrés",
    "veinticuatro",
    "veinticinco",
    "veintiséis",
    "veintisiete",
    "veintiocho",
    "veintinueve",
];
const TENS: [&str; 7] = ["treinta", "cuarenta", "cincuenta", "sesenta", "setenta", "ochenta", "noventa"];
const HUNDREDS: [&str; 8] =
    ["doscient", "trescient", "cuatrocient", "quinient", "seiscient", "setecient", "ochocient", "novecient"];

fn numbers() -> Vec<(String, u64)> {
    let mut all: Vec<(String, u64)> =
        [("un", 1), ("una", 1), ("veintiún", 21), ("veintiuna", 21), ("cien", 100), ("ciento", 100)]
            .map(|(w, n)| (w.to_owned(), n))
            .into();
    all.extend(ONES.iter().zip(0..).map(|(w, n)| ((*w).to_owned(), n)));
    for (tens, value) in TENS.iter().zip((30..).step_by(10)) {
        all.push(((*tens).to_owned(), value));
        for (one, n) in ONES.iter().zip(0..).take(10).skip(1) {
            all.push((format!("{tens} y {one}"), value + n));
        }
        all.push((format!("{tens} y un"), value + 1));
        all.push((format!("{tens} y una"), value + 1));
    }
    for (hundreds, value) in HUNDREDS.iter().zip((200..).step_by(100)) {
        all.push((format!("{hundreds}os"), value));
        all.push((format!("{hundreds}as"), value));
    }
    all
}

fn ordinals() -> Vec<(String, u64)> {
    vec![("primero".to_owned(), 1)]
}

pub(super) const WORDS: Words = Words {
    digits: &[
        ("cero", 0),
        ("uno", 1),
        ("un", 1),
        ("una", 1),
        ("dos", 2),
        ("tres", 3),
        ("cuatro", 4),
        ("cinco", 5),
        ("seis", 6),
        ("siete", 7),
        ("ocho", 8),
        ("nueve", 9),
    ],
    numbers,
    ordinals,
    parts: &[("cuarto", 15), ("media", 30)],
    times: &[("mil", 1000), ("millón", 1_000_000), ("millones", 1_000_000)],
    answers: [
        "(sí | si) [gracias | señor | señora | claro | señorita | (por favor)] | claro | correcto | exacto | (así es)
  | (asi es) | (de acuerdo) | vale | bueno | (por supuesto) | (es correcto) | (está bien) | (esta bien) | cierto
  | afirmativo | ok | okay",
        "no [gracias | señor | señora | señorita | (es correcto) | (está bien) | (es así)] | incorrecto | falso | nunca
  | jamás | negativo | (para nada) | (de ninguna manera) | (claro que no) | (por supuesto que no)",
    ],
    months: [
        "enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre/setiembre", "octubre",
        "noviembre", "diciembre",
    ],
    minus: &["menos"],
    point: &["coma", "punto"],
    extension: &["extensión", "interno", "anexo"],
    units: &[
        ("euro", "EUR"),
        ("euros", "EUR"),
        ("dólar", "$"),
        ("dólares", "$"),
        ("peso", "P"),
        ("pesos", "P"),
        ("libra", "GBP"),
        ("libras", "GBP"),
        ("yen", "JPY"),
        ("yenes", "JPY"),
    ],
    cents: &[("céntimo", "EUR"), ("céntimos", "EUR"), ("centavo", "P"), ("centavos", "P")],
    halves: &[
        ("de la mañana", 'a'),
        ("de la madrugada", 'a'),
        ("del mediodía", 'p'),
        ("de la tarde", 'p'),
        ("de la noche", 'n'),
    ],
    noon: &["mediodía"],
    midnight: &["medianoche"],
    number: "
$number = [$minus] ($whole [$point $fraction] | $point $fraction);
$whole = $cardinal | $digit<2->;
$fraction = $n<1->;
",
    currency: "
$currency = $major [de] $unit [[con | y] $minor [$cent]] | $minor $cent | $major [$point $fraction];
$major = $cardinal;
$minor = $n;
$fraction = $n | $digit<2>;
",
    phone: "
$phone = $n<1-20> [$ext $n<1-10>];
",
    date: "
$date = [el] [$weekday] [el] [día | dia] $day [de] $month [$year] | [en] $month [$year] | [en] $year;
$weekday = lunes | martes | miércoles | miercoles | jueves | viernes | sábado | sabado | domingo;
$day = $ordinal | $d;
$year = [de | del] [el] [año] [dos] mil [$below];
",
    time: "
$time = [a] (la | las) $hour [en punto | horas | [y] $minute [minutos] | y $after | menos $before] [$half]
  | $hour (hora | horas) [[y] $minute [minutos]] [$half] | [a | al | el | la] $twelve;
$hour = $h;
$minute = $m;
$after = cuarto | media;
$before = cuarto | $m [minutos];
",
    common: "
$cardinal = $below | [$below] mil [$below] | $below (millón | millon | millones) [[$below] mil] [$below];
$below = $n | $c [$n];
",
};
